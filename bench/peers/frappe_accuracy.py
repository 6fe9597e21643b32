"""Accuracy on Frappe over seeds, millrace beside FuxiCTR on the same files: whole trainings with early stopping, then test AUC and logloss.

FuxiCTR's package gives the training loop (BaseModel.fit, evaluate), embeddings, towers, cross layers, FM and bilinear products; its own FinalMLP and DCN-v2 read sequences, and
DeepFM, FiBiNET and AutoInt are not in the package, so how the layers hang together is written here as published. FiBiNET's two sets of products share their matrix, as in the
published parameter count. Batches are slices of one tensor in a new order each epoch, in place of FuxiCTR's loader of rows. Settings are those of examples/frappe.

One run is one file SIDE-MODEL-SEED.json in --out, and what is there is not run again: stop it and start it again at will. Runs go seed by seed, one at a time. With --figures
nothing is run. The table has means, standard errors of the mean, and the difference with two of its standard errors.

  bench/peers/.venv/bin/python bench/peers/frappe_accuracy.py --data FOLDER --out runs/accuracy --models dcnv2,deepfm --seeds 2021,1,2 --threads 1
"""

import argparse
import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from fuxictr.pytorch.layers import BilinearInteraction, CrossNetV2, FactorizationMachine, FeatureEmbedding, LogisticRegression, MLP_Block, SqueezeExcitation
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from torch import nn

import frappe_epoch
import measure
from models.autoint import AutoInt as Interacting

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = frappe_epoch.FILES | {"test": "x1_test.csv.gz"}
FIELDS, DIM = 10, 10


class Whole(frappe_epoch.Timed):
    """FuxiCTR's loop to its early stop, which puts back the weights of the best epoch."""

    def __init__(self, features, root, embedding_regularizer=0.05):
        super().__init__(features, model_id="peer", model_root=root, embedding_regularizer=embedding_regularizer, **frappe_epoch.COMMON)
        self.embedding_layer = FeatureEmbedding(features, DIM)

    def ready(self):
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.logit(x, self.embedding_layer(x)))}

    load_weights = BaseModel.load_weights


def tower(inputs, dropout, output=None):
    return MLP_Block(input_dim=inputs, hidden_units=[400, 400, 400], hidden_activations="ReLU", output_dim=output, dropout_rates=dropout, batch_norm=True)


class DCNv2(Whole):
    def __init__(self, features, root):
        super().__init__(features, root)
        self.crossnet, self.dnn = CrossNetV2(FIELDS * DIM, 4), tower(FIELDS * DIM, 0.4)
        self.fc = nn.Linear(FIELDS * DIM + 400, 1)
        self.ready()

    def logit(self, x, e):
        e = e.flatten(1)
        return self.fc(torch.cat([self.crossnet(e), self.dnn(e)], -1))


class DeepFM(Whole):
    def __init__(self, features, root):
        super().__init__(features, root)
        self.fm, self.dnn = FactorizationMachine(features), tower(FIELDS * DIM, 0.2, 1)
        self.ready()

    def logit(self, x, e):
        return self.fm(x, e) + self.dnn(e.flatten(1))


class FiBiNET(Whole):
    def __init__(self, features, root):
        super().__init__(features, root)
        self.senet, self.bilinear = SqueezeExcitation(FIELDS, 2, "ReLU"), BilinearInteraction(FIELDS, DIM, "field_all")
        self.lr, self.dnn = LogisticRegression(features, use_bias=False), tower(FIELDS * (FIELDS - 1) * DIM, 0.3, 1)
        self.ready()

    def logit(self, x, e):
        pairs = torch.cat([self.bilinear(e), self.bilinear(self.senet(e))], 1)
        return self.lr(x) + self.dnn(pairs.flatten(1))


class AutoInt(Whole):
    def __init__(self, features, root):
        super().__init__(features, root)
        self.net = Interacting(FIELDS, DIM, 6, 128, 4)
        self.ready()

    def logit(self, x, e):
        return self.net(e)[:, None]


class FinalMLP(frappe_epoch.FinalMLP):
    load_weights = BaseModel.load_weights


class AutoIntPlus(frappe_epoch.AutoIntPlus):
    load_weights = BaseModel.load_weights


MODELS = {"finalmlp": FinalMLP, "deepfm": DeepFM, "dcnv2": DCNv2, "autoint-plus": AutoIntPlus, "autoint": AutoInt, "fibinet": FiBiNET}


def theirs(args, model, seed, features, columns, folder):
    """Figures of one training by FuxiCTR's loop."""
    seed_everything(seed)
    net = MODELS[model](features, str(folder))
    net._early_stop_patience, net.ended, net.aucs = 2, [], []
    order = list(features.features) + ["label"]
    train, valid, test = (frappe_epoch.Tensors({c: columns[part][c] for c in order}, part == "train") for part in FILES)
    net.fit(train, epochs=args.epochs, validation_data=valid)
    figures = net.evaluate(test, ["AUC", "logloss"])
    return {"auc": figures["AUC"], "logloss": figures["logloss"], "valid_auc": max(net.aucs), "epochs": len(net.aucs), "valid_aucs": net.aucs,
            "parameters": sum(p.numel() for p in net.parameters()), "torch": torch.__version__}


def ours(args, model, seed, folder):
    """Figures of one `millrace train`."""
    text = (ROOT / "examples" / "frappe" / f"{model}.yaml").read_text()
    (folder / "model.yaml").write_text("".join(f"epochs: {args.epochs}\n" if x.startswith("epochs:") else x for x in text.splitlines(True)))
    command = [args.millrace, "train", "--schema", ROOT / "examples" / "frappe" / "schema.yaml", "--model", folder / "model.yaml", "--seed", seed]
    command += [x for part in FILES for x in ("--" + part, folder / f"{part}.csv.gz")]
    command += ["--out", folder / "run", "--overwrite", "--threads", args.threads, "--json"]
    run = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    said = json.loads(run.stdout.splitlines()[-1])
    return {k: said[k] for k in ("auc", "logloss", "valid_auc", "epochs", "best_epoch", "parameters")}


def spread(values):
    """Mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def compare(runs, models):
    """Table and figures of the models that both sides have runs of."""
    rows, figures = [], []
    for model in models:
        sides = {side: [r for r in runs if r["side"] == side and r["model"] == model] for side in ("millrace", "fuxictr")}
        if not all(sides.values()):
            continue
        (a, ea), (b, eb) = (spread([r["auc"] for r in sides[s]]) for s in sides)
        la, lb = (statistics.mean([r["logloss"] for r in sides[s]]) for s in sides)
        error = 2 * (ea**2 + eb**2) ** 0.5
        figures.append({"model": model, "seeds": [len(s) for s in sides.values()], "millrace_auc": a, "millrace_se": ea, "fuxictr_auc": b, "fuxictr_se": eb,
                        "difference": a - b, "two_se": error, "millrace_logloss": la, "fuxictr_logloss": lb})
        rows.append([model, "/".join(str(len(s)) for s in sides.values()), f"{a:.6f} ± {ea:.6f}", f"{b:.6f} ± {eb:.6f}", f"{a - b:+.6f}", f"{error:.6f}", f"{la:.6f}", f"{lb:.6f}"])
    measure.table(["model", "seeds", "millrace AUC", "FuxiCTR AUC", "difference", "2 SE", "logloss", "FuxiCTR"], rows)
    return figures


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--millrace", default="./millrace", help="the binary to compare")
    p.add_argument("--data", help="the folder with " + ", ".join(FILES.values()))
    p.add_argument("--out", required=True, help="the folder of the runs' figures")
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--seeds", default="2021,1,2")
    p.add_argument("--sides", default="fuxictr,millrace")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--epochs", type=int, default=100, help="at most")
    p.add_argument("--share", type=float, default=1.0, help="take the first rows only")
    p.add_argument("--figures", action="store_true", help="only the table of the runs in --out")
    args = p.parse_args()
    if not args.figures and not args.data:
        p.error("--data is missing")
    out, models = pathlib.Path(args.out), args.models.split(",")
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    out.mkdir(parents=True, exist_ok=True)
    wanted = [(seed, model, side) for seed in args.seeds.split(",") for model in models for side in args.sides.split(",")]
    todo = [x for x in wanted if not args.figures and not (out / "{2}-{1}-{0}.json".format(*x)).exists()]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if todo:
            features, columns = frappe_epoch.prepare(args, folder, FILES)
            (folder / "frappe").mkdir()
        for seed, model, side in todo:
            start = time.perf_counter()
            run = ours(args, model, int(seed), folder) if side == "millrace" else theirs(args, model, int(seed), features, columns, folder)
            run |= {"side": side, "model": model, "seed": int(seed), "threads": args.threads, "share": args.share, "seconds": time.perf_counter() - start}
            name = out / f"{side}-{model}-{seed}.json"
            name.with_suffix(".new").write_text(json.dumps(run, indent=1))
            os.replace(name.with_suffix(".new"), name)
            print(f"{side} {model} seed {seed}: test AUC {run['auc']:.6f}, logloss {run['logloss']:.6f}, {run['seconds']:.0f} s", file=sys.stderr, flush=True)
    runs = [json.loads(f.read_text()) for f in sorted(out.glob("*-*.json"))]
    print(json.dumps({"frappe_accuracy": compare([r for r in runs if r["model"] in models], models)}))


if __name__ == "__main__":
    main()
