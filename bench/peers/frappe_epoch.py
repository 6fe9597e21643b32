"""Epochs on Frappe in the benchmark's settings, each with its validation: millrace beside FuxiCTR on PyTorch, taking turns in one run.

FuxiCTR's package gives the data loader, the training loop (BaseModel.fit), the embeddings and, for FinalMLP, gates, streams and fusion. Its own FinalMLP reads sequences
and leaves the gates out, so that forward is written here as published; it has no AutoInt, whose layers are those of models/autoint.py. --loader tensors slices batches out
of one tensor instead of FuxiCTR's loader of rows: the recipe without its overhead in Python. An epoch of ours is what passes between the lines that end two epochs of
`millrace train`. --share 0.2 takes the first fifth of the training and validation rows, for a busy machine. Both sides say their validation AUC after as many epochs.

  bench/peers/.venv/bin/python bench/peers/frappe_epoch.py --data FOLDER --models finalmlp,autoint-plus --threads 2 --rounds 2
"""

import argparse
import csv
import gzip
import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from model_zoo.LongCTR.FinalMLP.FinalMLP import FeatureSelection, InteractionAggregation

import measure
from models.autoint import AutoInt

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {"train": "x1_train_rebuilt.csv.gz", "valid": "x1_valid.csv.gz"}
COMMON = dict(
    gpu=-1, task="binary_classification", optimizer="adam", loss="binary_crossentropy", metrics=["logloss", "AUC"], monitor="AUC", verbose=0, learning_rate=1e-3,
    early_stop_patience=1000, net_regularizer=0,
)


class Timed(BaseModel):
    """FuxiCTR's loop, which notes when each epoch has ended and its AUC."""

    def checkpoint_and_earlystop(self, logs, **keys):
        super().checkpoint_and_earlystop(logs, **keys)
        self.ended.append(time.perf_counter())
        self.aucs.append(logs["AUC"])

    def epochs(self, n, train, valid):
        """Seconds of each of n more epochs."""
        self.ended, self.aucs = [time.perf_counter()], getattr(self, "aucs", [])
        self.fit(train, epochs=n, validation_data=valid)
        return list(np.diff(self.ended))

    def load_weights(self, checkpoint):
        """The last weights go on; the loop would put back the best ones."""


class FinalMLP(Timed):
    def __init__(self, features, root):
        super().__init__(features, model_id="finalmlp", model_root=root, embedding_regularizer=0.05, **COMMON)
        width = features.sum_emb_out_dim()
        self.embedding_layer = FeatureEmbedding(features, 10)
        tower = dict(input_dim=width, hidden_activations="ReLU", dropout_rates=0.4, batch_norm=True)
        self.mlp1, self.mlp2 = MLP_Block(hidden_units=[400], **tower), MLP_Block(hidden_units=[100], **tower)
        self.fs_module = FeatureSelection(features, width, 10, [400], ["user"], ["item"])
        self.fusion_module = InteractionAggregation(400, 100, num_heads=5)
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        one, two = self.fs_module(x, self.embedding_layer(x).flatten(start_dim=1))
        return {"y_pred": self.output_activation(self.fusion_module(self.mlp1(one), self.mlp2(two)))}


class AutoIntPlus(Timed):
    def __init__(self, features, root):
        super().__init__(features, model_id="autoint-plus", model_root=root, embedding_regularizer=0.1, **COMMON)
        self.embedding_layer = FeatureEmbedding(features, 10)
        self.net = AutoInt(features.num_fields, 10, 5, 128, 4, scale=True, layer_norm=True, units=[400, 400, 400], batch_norm=True, dropout=0.1)
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()

    def forward(self, inputs):
        return {"y_pred": self.output_activation(self.net(self.embedding_layer(self.get_inputs(inputs)))[:, None])}


MODELS = {"finalmlp": FinalMLP, "autoint-plus": AutoIntPlus}


class Tensors:
    """Batches cut out of one tensor, in a new order each epoch."""

    def __init__(self, columns, shuffle):
        self.names, self.shuffle = list(columns), shuffle
        self.rows = torch.from_numpy(np.stack(list(columns.values()), 1))

    def __len__(self):
        return -(-len(self.rows) // 4096)

    def __iter__(self):
        order = torch.randperm(len(self.rows)) if self.shuffle else torch.arange(len(self.rows))
        for part in order.split(4096):
            yield dict(zip(self.names, self.rows[part].unbind(1)))


def read(path, share):
    """Header and rows of a file, the first share of them."""
    with gzip.open(path, "rt", newline="") as f:
        lines = list(csv.reader(f))
    return lines[0], lines[1 : 1 + int(share * (len(lines) - 1))]


def prepare(args, folder, names=FILES):
    """FuxiCTR's feature map and encoded files, and the same rows as files for millrace."""
    files = {part: read(pathlib.Path(args.data) / name, args.share) for part, name in names.items()}
    head = files["train"][0]
    columns = {part: {c: np.array([int(r[i]) for r in rows]) for i, c in enumerate(head)} for part, (_, rows) in files.items()}
    specs = []
    for c in head[1:]:
        known, count = np.unique(columns["train"][c], return_counts=True)
        known = known[np.argsort(-count, kind="stable")]  # 0 is padding, ids by frequency, the last one is for unknown ids
        code = {v: i + 1 for i, v in enumerate(known)}
        for part in columns.values():
            part[c] = np.array([code.get(v, len(known) + 1) for v in part[c]])
        specs.append({c: {"source": "", "type": "categorical", "padding_idx": 0, "vocab_size": len(known) + 2}})
    for part, (_, rows) in files.items():
        np.savez(folder / f"{part}.npz", **columns[part])
        with gzip.open(folder / f"{part}.csv.gz", "wt", compresslevel=1, newline="") as f:
            csv.writer(f).writerows([head] + rows)
    (folder / "feature_map.json").write_text(json.dumps({"dataset_id": "frappe", "labels": ["label"], "input_length": len(specs), "num_fields": len(specs), "features": specs}))
    features = FeatureMap("frappe", str(folder))
    features.load(str(folder / "feature_map.json"), {"embedding_dim": 10})
    return features, columns


def loaders(args, features, columns, folder):
    if args.loader == "tensors":
        order = list(features.features) + ["label"]
        return tuple(Tensors({c: columns[part][c] for c in order}, part == "train") for part in ("train", "valid"))
    return RankDataLoader(features, stage="train", train_data=str(folder / "train.npz"), valid_data=str(folder / "valid.npz"), batch_size=4096, shuffle=True)


def ours(args, model, folder, epochs):
    """Seconds of the epochs after the first, and the validation AUC of all, of one `millrace train`."""
    text = (ROOT / "examples" / "frappe" / f"{model}.yaml").read_text()
    lines = [x for x in text.splitlines() if not x.startswith(("epochs:", "early_stop_patience:"))]
    (folder / "model.yaml").write_text("\n".join(lines + [f"epochs: {epochs + 1}", "early_stop_patience: 1000"]) + "\n")
    command = [args.millrace, "train", "--schema", ROOT / "examples" / "frappe" / "schema.yaml", "--model", folder / "model.yaml", "--train", folder / "train.csv.gz",
               "--valid", folder / "valid.csv.gz", "--out", folder / "run", "--overwrite", "--threads", args.threads, "--json"]
    run = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    ended, aucs, said = [], [], []
    for line in run.stderr:
        said.append(line)
        if line.startswith("epoch ") and ": loss " in line:
            ended.append(time.perf_counter())
            aucs.append(float(line.split("valid AUC ")[1].split(",")[0]))
    if run.wait():
        sys.exit("".join(said))
    return list(np.diff(ended)), aucs


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--millrace", default="./millrace", help="the binary to compare")
    p.add_argument("--data", required=True, help="the folder with " + " and ".join(FILES.values()))
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=2, help="how often the sides take turns; the fastest epoch of each counts")
    p.add_argument("--epochs", type=int, default=1, help="epochs a side and turn")
    p.add_argument("--share", type=float, default=1.0, help="take the first rows only")
    p.add_argument("--loader", choices=["fuxictr", "tensors"], default="fuxictr")
    args = p.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    print(f"{measure.processor()}; torch {torch.__version__}; {args.threads} threads; share {args.share}; loader {args.loader}")
    rows, figures = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        features, columns = prepare(args, folder)
        (folder / "frappe").mkdir()
        for name in args.models.split(","):
            seed_everything(2021)
            net, data = MODELS[name](features, str(folder)), loaders(args, features, columns, folder)
            mine, theirs, aucs = [], [], []
            for _ in range(args.rounds):
                seconds, aucs = ours(args, name, folder, args.epochs)
                mine += seconds
                print(f"{name}: millrace {', '.join(f'{t:.2f}' for t in seconds)} s", file=sys.stderr, flush=True)
                theirs += net.epochs(args.epochs, *data)
                print(f"{name}: FuxiCTR {', '.join(f'{t:.2f}' for t in theirs[-args.epochs:])} s", file=sys.stderr, flush=True)
            n = min(len(aucs), len(net.aucs))
            figures.append({"model": name, "threads": args.threads, "share": args.share, "loader": args.loader, "millrace_s": min(mine), "fuxictr_s": min(theirs),
                            "ratio": min(theirs) / min(mine), "epochs": n, "millrace_auc": aucs[n - 1], "fuxictr_auc": net.aucs[n - 1],
                            "millrace_all_s": mine, "fuxictr_all_s": theirs})
            rows.append([name, f"{min(mine):.2f}", f"{min(theirs):.2f}", f"{min(theirs) / min(mine):.2f}", str(n), f"{aucs[n - 1]:.4f}", f"{net.aucs[n - 1]:.4f}"])
    measure.table(["epoch", "millrace s", "FuxiCTR s", "ratio", "AUC after", "millrace", "FuxiCTR"], rows)
    print(json.dumps({"frappe": figures}))


if __name__ == "__main__":
    main()
