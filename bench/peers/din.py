"""Training steps of DIN on ragged histories: millrace beside PyTorch, taking turns in one run.

Batches of 1024 rows in memory: lengths geometric with mean 10, cut at 100; 50,000 users, 60,000 items, 800 categories of 16, uniform. PyTorch trains on
batches whose rows are bucketed by length (sorted within 64 batches, each padded to its own longest), and on batches padded to 100; its tables are
trained by Adam over whole tables and by SparseAdam over the rows that were read, and the faster counts. millrace takes the rows as they come. Prints rows a
second and ratios; the last line is one JSON object.
"""

import json
import statistics
import time

import numpy as np
import torch

import din_model
import measure

ROWS, MEAN, LONGEST = 1024, 10, 100
BATCHES = {"bucketed": 64, "padded": 8}


def batches(form, rng):
    """Batches as operands of DIN.logits with labels: of so many rows in order of length, or padded to the longest length there is."""
    lengths = np.minimum(rng.geometric(1 / MEAN, ROWS * BATCHES[form]), LONGEST)
    if form == "bucketed":
        lengths.sort()
    ids = lambda limit, *shape: torch.from_numpy(rng.integers(1, limit + 1, shape))
    out = []
    for i in range(BATCHES[form]):
        length = torch.from_numpy(lengths[i * ROWS : (i + 1) * ROWS])
        longest = LONGEST if form == "padded" else int(length.max())
        there = torch.arange(longest)[None] < length[:, None]
        histories = [ids(limit, ROWS, longest) * there for limit in (din_model.ITEMS, din_model.CATEGORIES)]
        x = (ids(din_model.USERS, ROWS), ids(din_model.ITEMS, ROWS), ids(din_model.CATEGORIES, ROWS), *histories, length)
        out.append((x, torch.from_numpy(rng.integers(0, 2, ROWS)).float()))
    rng.shuffle(out)
    return out


def step(form, sparse):
    """A call that trains on the next batch, and how many there are."""
    din, data, count = din_model.DIN(sparse), batches(form, np.random.default_rng(1)), 0
    tables = [din.user.weight, din.item.weight, din.category.weight]
    dense = [*din.unit.parameters(), *din.tower.parameters()]
    if sparse:
        optimizers = [torch.optim.Adam(dense, fused=True), torch.optim.SparseAdam(tables)]
    else:
        optimizers = [torch.optim.Adam(dense + tables, fused=True)]

    def run():
        nonlocal count
        x, y = data[count % len(data)]
        count += 1
        for o in optimizers:
            o.zero_grad(set_to_none=True)
        torch.nn.functional.binary_cross_entropy_with_logits(din.logits(*x), y).backward()
        for o in optimizers:
            o.step()

    return run, len(data)


def seconds(run, batches, min_ms):
    """Mean seconds of a step: batches differ in length, so whole rounds over them count, as many as min_ms takes, after some steps to warm up."""
    for _ in range(5):
        run()
    rounds, start = 0, time.perf_counter()
    while not rounds or time.perf_counter() - start < min_ms / 1e3:
        for _ in range(batches):
            run()
        rounds += 1
    return (time.perf_counter() - start) / rounds / batches


def main():
    args = measure.arguments(__doc__.splitlines()[0], repeat=1, min_ms=3000.0)
    figures, rows = [], []
    for threads in args.threads:
        torch.set_num_threads(threads)
        peers = {(form, name): step(form, name == "SparseAdam") for form in BATCHES for name in ("Adam", "SparseAdam")}
        ours, theirs = [], {key: [] for key in peers}
        for _ in range(args.rounds):
            s = measure.millrace(args, "train", "--model", "din", "--rows", str(ROWS), "--threads", str(threads), "--min-time", f"{args.min_ms}ms", "--repeat", str(args.repeat))
            ours.append(s["train"][0]["rows_per_second"])
            for key, (run, n) in peers.items():
                theirs[key].append(ROWS / seconds(run, n, args.min_ms))
        for form in BATCHES:
            name, speeds = max(((k[1], v) for k, v in theirs.items() if k[0] == form), key=lambda t: max(t[1]))
            figures.append({"threads": threads, "form": form, "peer": name, "millrace_rows_per_second": max(ours), "peer_rows_per_second": max(speeds),
                            "ratio": max(ours) / max(speeds), "ratio_of_medians": statistics.median(ours) / statistics.median(speeds)})
            rows.append([str(threads), form, f"{max(ours):,.0f}", name, f"{max(speeds):,.0f}", f"{max(ours) / max(speeds):.2f}", f"{figures[-1]['ratio_of_medians']:.2f}"])
    print(f"{measure.processor()}, PyTorch {torch.__version__}")
    measure.table(["threads", "PyTorch's batches", "millrace rows/s", "best peer", "rows/s", "ratio", "of medians"], rows)
    print(json.dumps({"din_train": figures}))


if __name__ == "__main__":
    main()
