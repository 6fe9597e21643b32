"""Runs exported models in ONNX Runtime and compares their outputs.

Reads the folder named on the command line: cases.json lists {"name", "model", "rows"}, rows being a safetensors file with the inputs of
one batch and, under "expected/NAME", what each output must be. Writes one JSON object to standard output: for each case the largest
difference, or the error.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file

folder = Path(sys.argv[1])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
sessions, results = {}, {}
for case in json.loads((folder / "cases.json").read_text()):
    try:
        if case["model"] not in sessions:
            sessions[case["model"]] = ort.InferenceSession(str(folder / case["model"]), options, providers=["CPUExecutionProvider"])
        session = sessions[case["model"]]
        rows = load_file(folder / case["rows"])
        expected = {k.removeprefix("expected/"): v for k, v in rows.items() if k.startswith("expected/")}
        feeds = {i.name: rows[i.name] for i in session.get_inputs()}
        worst = 0.0
        for out, got in zip(session.get_outputs(), session.run(None, feeds)):
            want = expected.pop(out.name)
            assert got.shape == want.shape, f"{out.name} has shape {got.shape}, want {want.shape}"
            assert not np.isnan(got).any(), f"{out.name} has a NaN"
            worst = max(worst, float(np.max(np.abs(got.astype(np.float64) - want), initial=0)))
        assert not expected, f"outputs {list(expected)} are missing"
        results[case["name"]] = {"difference": worst}
    except Exception as e:
        results[case["name"]] = {"error": str(e)}
print(json.dumps(results))
