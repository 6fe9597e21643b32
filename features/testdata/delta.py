"""Writes the delta-encoded Parquet files beside it; run with pyarrow in this folder."""
import pyarrow as pa
import pyarrow.parquet as pq

rows = 1000
table = pa.table({
    "b": pa.array([f"/shop/{k // 10}/item-{k * k}" for k in range(rows)]),
    "l": pa.array([None if k % 7 == 3 else f"v{k % 50}" * (k % 4) for k in range(rows)]),
    "i": pa.array([None if k % 5 == 1 else k * k - 7 * k for k in range(rows)], pa.int64()),
    "j": pa.array([(k * 37) % 101 - 50 for k in range(rows)], pa.int32()),
    "m": pa.array([[f"t{k % 9}"] * (k % 3) for k in range(rows)], pa.list_(pa.string())),
    "o": pa.array([None] * rows, pa.string()),
})
encodings = {"b": "DELTA_BYTE_ARRAY", "l": "DELTA_LENGTH_BYTE_ARRAY", "i": "DELTA_BINARY_PACKED", "j": "DELTA_BINARY_PACKED", "m.list.element": "DELTA_BYTE_ARRAY", "o": "DELTA_LENGTH_BYTE_ARRAY"}
for version, codec in (("1.0", "none"), ("1.0", "snappy"), ("2.0", "zstd"), ("2.0", "gzip")):
    pq.write_table(table, f"delta_{codec}_v{version[0]}.parquet", row_group_size=400, use_dictionary=False, column_encoding=encodings,
                   data_page_version=version, data_page_size=2000, write_batch_size=100, compression=codec)
