"""Requests to DIN: millrace beside ONNX Runtime, one user's candidates with one history, taking turns in one run.

ONNX Runtime runs two forms of the model: as PyTorch exports it, with histories padded to 100 and repeated for each candidate, and split and folded by
hand (din_model.py). All three have the weights and the requests that `millrace bench score --write` wrote, and their scores are compared. Prints
milliseconds and ratios; the last line is one JSON object.
"""

import json
import os
import tempfile
import warnings

import numpy as np
import onnxruntime
import torch
from safetensors.numpy import load_file

import din_model
import measure

PADDED = 100
LARGEST_DIFFERENCE = 1e-5
NAMES = {"exported": ["user", "item", "category", "items", "categories", "length"], "folded": ["user", "item", "category", "items", "categories"]}


def loaded(weights):
    """DIN with the weights that millrace wrote: its matrices are [in, out]."""
    din = din_model.DIN().eval()
    linears = {"attention/0": din.unit[0], "attention/1": din.unit[2], "attention/out": din.unit[4], "dnn/0": din.tower[0], "dnn/1": din.tower[2], "out": din.tower[4]}
    with torch.no_grad():
        for name, layer in linears.items():
            layer.weight.copy_(torch.from_numpy(weights[name + "/weight"]).t())
            layer.bias.copy_(torch.from_numpy(weights[name + "/bias"]).flatten())
        for name, layer in {"dnn/0": din.tower[1], "dnn/1": din.tower[3]}.items():
            layer.weight.copy_(torch.from_numpy(weights[name + "/act/alpha"]).flatten())
        for name, table in {"emb/user": din.user, "emb/item": din.item, "emb/category": din.category}.items():
            table.weight.copy_(torch.from_numpy(weights[name]))
    return din


def requests(weights):
    """The requests by name, each as the operands of both forms, with millrace's scores."""
    out = {}
    for key in weights:
        if not key.endswith("/scores"):
            continue
        name = key.split("/")[0]
        of = {f: weights[f"{name}/{f}"].astype(np.int64) for f in ("user", "item", "category", "hist_item", "hist_category")}
        candidates, length = len(of["item"]), len(of["hist_item"])
        pad = lambda ids: np.repeat(np.pad(ids, (0, PADDED - length))[None], candidates, 0)
        out[name] = {
            "exported": [np.repeat(of["user"], candidates), of["item"], of["category"], pad(of["hist_item"]), pad(of["hist_category"]), np.full(candidates, length)],
            "folded": [of["user"], of["item"], of["category"], of["hist_item"], of["hist_category"]],
            "scores": weights[key],
        }
    return out


def export(din, folder):
    """Write both forms and return their files."""
    b, n = torch.export.Dim("candidates", min=1, max=8192), torch.export.Dim("behaviours", min=1, max=512)
    files = {form: os.path.join(folder, form + ".onnx") for form in NAMES}
    ids = lambda *shape: torch.ones(shape, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            din, (ids(9), ids(9), ids(9), ids(9, PADDED), ids(9, PADDED), ids(9)), files["exported"], input_names=NAMES["exported"], output_names=["score"],
            dynamo=True, verbose=False, dynamic_shapes=({0: b}, {0: b}, {0: b}, {0: b}, {0: b}, {0: b}),
        )
        torch.onnx.export(
            din_model.FoldedDIN(din).eval(), (ids(1), ids(9), ids(9), ids(7), ids(7)), files["folded"], input_names=NAMES["folded"], output_names=["score"],
            dynamo=True, verbose=False, dynamic_shapes=(None, {0: b}, {0: b}, {0: n}, {0: n}),
        )
    return files


def session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def main():
    args = measure.arguments(__doc__.splitlines()[0], threads="1")
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, "written.safetensors")
        flags = ["score", "--repeat", str(args.repeat), "--min-time", f"{args.min_ms}ms"]
        measure.millrace(args, "score", "--repeat", "1", "--min-time", "1ms", "--write", written)
        weights = load_file(written)
        files, asked = export(loaded(weights), folder), requests(weights)
        figures, rows = [], []
        for threads in args.threads:
            sessions = {form: session(file, threads) for form, file in files.items()}
            best, worst = {}, {}
            for _ in range(args.rounds):
                for s in measure.millrace(args, *flags, "--threads", str(threads))["score"]:
                    key = (f"{s['candidates']}x{s['behaviours']}", "millrace")
                    best[key] = min(best.get(key, float("inf")), s["fastest_ms"])
                for name, request in asked.items():
                    for form, run in sessions.items():
                        feed = dict(zip(NAMES[form], request[form]))
                        difference = float(np.abs(run.run(None, feed)[0] - request["scores"]).max())
                        worst[name, form] = max(worst.get((name, form), 0), difference)
                        if difference > LARGEST_DIFFERENCE:
                            raise SystemExit(f"{form} differs from millrace by {difference:.2g} in request {name}")
                        ms = 1e3 * measure.fastest(lambda: run.run(None, feed), args.repeat, args.min_ms)
                        best[name, form] = min(best.get((name, form), float("inf")), ms)
            for name in asked:
                ours = best[name, "millrace"]
                for form in NAMES:
                    theirs = best[name, form]
                    figures.append({"request": name, "threads": threads, "form": form, "millrace_ms": ours, "onnxruntime_ms": theirs, "ratio": theirs / ours, "difference": worst[name, form]})
                    rows.append([name, str(threads), form, f"{ours:.4f}", f"{theirs:.4f}", f"{theirs / ours:.2f}", f"{worst[name, form]:.1e}"])
    print(f"{measure.processor()}, PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}")
    measure.table(["candidates x behaviours", "threads", "form", "millrace ms", "ONNX Runtime ms", "ratio", "difference"], rows)
    print(json.dumps({"din_score": figures}))


if __name__ == "__main__":
    main()
