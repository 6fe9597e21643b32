"""Golden values: small inputs, weights, outputs and gradients of each model from its PyTorch writing in models/, for the Go tests.

Weights are float32; everything is computed from them in float64 and rounded once, so that what differs in a test is millrace's own rounding.
One safetensors file a case, models/MODEL/testdata/NAME.safetensors, with schema and model file as its metadata:

  ids/FIELD [B] or [T]     offsets/FIELD [B+1] of lists     value/FIELD, missing/FIELD [B] of numbers     label [B], of several tasks label/TASK with NaN where there is none
  weight/NAME, table/NAME  before the step; row i of a table is id i, row 0 is for unknown ids, buffers are among the weights
  logit [B] or logit/TASK  scoring, with the running statistics as given
  loss [1], grad/NAME, tablegrad/NAME, after/NAME (buffers)   one step of training
"""

import argparse
import importlib
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

from models.parts import Turned

# A case is a module of models/, a class in it, and the folder and file of its values. A model to come adds a line.
CASES = [
    ("autoint", "Golden", "autoint", "golden"),
    ("finalmlp", "Golden", "finalmlp", "golden"),
    ("din", "Golden", "din", "golden"),
    ("din", "GoldenSoftmax", "din", "golden-softmax"),
    ("dtrn", "Golden", "dtrn", "golden"),
    ("dtrn", "GoldenPLE", "dtrn", "golden-ple"),
    ("dtrn", "GoldenMMoE", "dtrn", "golden-mmoe"),
    ("dien", "Golden", "dien", "golden"),
    ("dien", "GoldenAGRU", "dien", "golden-agru"),
    ("dien", "GoldenAIGRU", "dien", "golden-aigru"),
    ("aitm", "Golden", "multitask", "golden-aitm"),
]
ROWS, IDS, UNKNOWN = 24, 9, 77


def draw(net, rng):
    """Fill all weights and buffers with numbers of float32."""
    with torch.no_grad():
        for name, p in list(net.named_parameters()) + list(net.named_buffers()):
            if p.dtype != torch.float64:
                continue
            x = rng.normal(size=p.shape)
            if name.endswith("running_var"):
                x = 0.5 + x * x
            elif p.dim() == 2:
                x = x * (0.5 if "tables" in name else getattr(net, "gain", 1.0) / np.sqrt(p.shape[1]))
            elif "norm" in name and name.endswith("weight") or "gamma" in name:
                x = 1 + 0.2 * x
            else:
                x = 0.3 * x
            p.copy_(torch.from_numpy(np.float64(np.float32(x))))


def make_batch(net, categories, rng):
    """A batch for PyTorch and the same as tensors of the file."""
    batch, file = {"rows": ROWS}, {}
    for f in categories:
        ids = rng.integers(1, IDS + 1, ROWS)
        ids[-1] = UNKNOWN
        file[f"ids/{f}"] = ids
        batch[f] = torch.from_numpy(np.where(ids == UNKNOWN, 0, ids))
    for group in getattr(net, "groups", [net.lists]):  # lists of one group are as long as each other
        lengths = rng.integers(0, 6, ROWS)
        lengths[3] = 0
        for f in group:
            ids = rng.integers(1, IDS + 1, lengths.sum())
            file[f"ids/{f}"], file[f"offsets/{f}"] = ids, np.concatenate([[0], np.cumsum(lengths)])
            batch[f] = (torch.from_numpy(ids), torch.from_numpy(np.repeat(np.arange(ROWS), lengths)))
    for f in net.numbers:
        missing = np.float32(rng.random(ROWS) < 0.2)
        value = np.float32(rng.normal(size=ROWS)) * (1 - missing)
        file[f"value/{f}"], file[f"missing/{f}"] = value, missing
        batch[f] = (torch.from_numpy(np.float64(value)), torch.from_numpy(np.float64(missing)))
    return batch, file


def suffixes(net):
    """What a task's tensors end in: nothing where there is one task."""
    return ["/" + t for t in net.tasks] if hasattr(net, "tasks") else [""]


def logits(net, batch):
    out = net(batch)
    return out if isinstance(out, list) else [out]


def make_labels(net, rng):
    """0 and 1; of several tasks some rows have no label."""
    if suffixes(net) == [""]:
        return {"label": np.float32(rng.integers(0, 2, ROWS))}
    labels = {"label" + t: np.float32(rng.random(ROWS) < 0.3) for t in suffixes(net)}
    for y in labels.values():
        y[rng.random(ROWS) < 0.2] = np.nan
    return labels


def loss_of(logit, label):
    """The mean over the rows that have a label."""
    known = ~np.isnan(label)
    return torch.nn.functional.binary_cross_entropy_with_logits(logit[torch.from_numpy(known)], torch.from_numpy(np.float64(label[known])))


def joined(parts, get):
    """A tensor of a checkpoint from PyTorch's."""
    xs = [get(p).detach().clone() for p in parts]
    if isinstance(parts, Turned):
        return torch.cat([x.t() for x in xs], 1)
    return xs[0] if xs[0].dim() == 2 else xs[0][None]


def case(module, name, rng):
    torch.set_default_dtype(torch.float64)
    net = getattr(importlib.import_module("models." + module), name)(IDS)
    draw(net, rng)
    batch, file = make_batch(net, net.fields.categories, rng)
    file |= make_labels(net, rng)
    names = net.names()
    for k, parts in names.items():
        file[k if k.startswith("table/") else "weight/" + k] = joined(parts, lambda p: p)
    net.eval()
    file |= dict(zip(["logit" + t for t in suffixes(net)], logits(net, batch)))
    net.train()
    loss = sum(loss_of(z, file["label" + t]) for t, z in zip(suffixes(net), logits(net, batch)))
    loss = loss + getattr(net, "auxiliary", 0)  # what a model adds to the loss in training
    loss.backward()
    file["loss"] = loss[None]
    for k, parts in names.items():
        if not parts[0].requires_grad:
            file["after/" + k] = joined(parts, lambda p: p)
        elif k.startswith("table/"):
            file["tablegrad/" + k[len("table/"):]] = joined(parts, lambda p: p.grad)
        else:
            g = joined(parts, lambda p: p.grad)
            if g.abs().max() < 1e-14:  # a bias in front of a batch norm: no gradient but for rounding
                g.zero_()
            file["grad/" + k] = g
    tensors = {}
    for k, x in file.items():
        x = x.detach().numpy() if isinstance(x, torch.Tensor) else x
        tensors[k] = np.ascontiguousarray(x.astype(np.int64 if k.startswith(("ids/", "offsets/")) else np.float32))
    return tensors, {"schema": net.schema, "model": net.model}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--root", default=str(pathlib.Path(__file__).resolve().parents[2]), help="the repository")
    args = p.parse_args()
    for i, (module, name, folder, file) in enumerate(CASES):
        path = pathlib.Path(args.root) / "models" / folder / "testdata" / (file + ".safetensors")
        path.parent.mkdir(exist_ok=True)
        tensors, meta = case(module, name, np.random.default_rng(100 + i))
        save_file(tensors, path, meta)
        path.chmod(0o644)
        print(f"{path}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
