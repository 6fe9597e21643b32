"""What the models share: fields turned into vectors, towers, Dice, and the names that their tensors have in a checkpoint of millrace."""

import torch
from torch import nn


class Dice(nn.Module):
    """DIN's activation: p·x + (1−p)·α·x with p the sigmoid of x normed by batch statistics."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-9, momentum=0.01)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        p = torch.sigmoid(self.norm(x))
        return p * x + (1 - p) * self.alpha * x


ACTIVATIONS = {"relu": lambda n: nn.ReLU(), "sigmoid": lambda n: nn.Sigmoid(), "dice": Dice, "prelu": lambda n: nn.PReLU(n, 0.1)}


class Tower(nn.Module):
    """Layers of linear map, batch norm, activation and dropout; with out a last linear map."""

    def __init__(self, width, units, activation="relu", batch_norm=False, dropout=0.0, out=None):
        super().__init__()
        self.linear, self.norm, self.act = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        for n in units:
            self.linear.append(nn.Linear(width, n))
            self.norm.append(nn.BatchNorm1d(n) if batch_norm else nn.Identity())
            self.act.append(ACTIVATIONS[activation](n))
            width = n
        self.out = nn.Linear(width, out) if out else nn.Identity()

    def forward(self, x):
        for linear, norm, act in zip(self.linear, self.norm, self.act):
            x = self.dropout(act(norm(linear(x))))
        return self.out(x)

    def names(self, prefix, out=None):
        """Names of the layers' tensors; out is what the last linear map is called."""
        found = {}
        for i, (linear, norm, act) in enumerate(zip(self.linear, self.norm, self.act)):
            found |= named_linear(f"{prefix}/{i}", linear)
            if isinstance(norm, nn.BatchNorm1d):
                found |= named_norm(f"{prefix}/{i}/bn", norm)
            if isinstance(act, Dice):
                found |= {f"{prefix}/{i}/act/alpha": [act.alpha], f"{prefix}/{i}/act/mean": [act.norm.running_mean], f"{prefix}/{i}/act/var": [act.norm.running_var]}
            if isinstance(act, nn.PReLU):
                found |= {f"{prefix}/{i}/act/alpha": [act.weight]}
        if isinstance(self.out, nn.Linear):
            found |= named_linear(out or f"{prefix}/out", self.out)
        return found


class Fields(nn.Module):
    """Vectors of fields side by side: {field: ids [B]}, lists as (ids [T], row of each [T]) averaged or added up, then numbers (value, missing) [B]."""

    def __init__(self, categories, lists, numbers, ids, dim, add=False):
        super().__init__()
        self.categories, self.lists, self.numbers, self.dim, self.add = categories, lists, numbers, dim, add
        self.tables = nn.ModuleDict({f: nn.Embedding(ids + 1, dim) for f in categories + lists})  # row 0 stands for unknown ids
        self.values = nn.Parameter(torch.zeros(2 * len(numbers), dim))

    def forward(self, batch):
        rows = batch["rows"]
        vectors = [self.tables[f](batch[f]) for f in self.categories]
        for f in self.lists:
            ids, row = batch[f]
            total = self.values.new_zeros(rows, self.dim).index_add(0, row, self.tables[f](ids))
            count = torch.bincount(row, minlength=rows).clamp(min=1)[:, None]
            vectors.append(total if self.add else total / count)
        for i, f in enumerate(self.numbers):
            value, missing = batch[f]
            vectors.append(value[:, None] * self.values[2 * i] + missing[:, None] * self.values[2 * i + 1])
        return torch.stack(vectors, 1)  # [B, F, dim]

    def names(self, prefix):
        found = {f"table/{prefix}/{f}": [t.weight] for f, t in self.tables.items()}
        if self.numbers:
            found[f"{prefix}/numeric"] = [self.values]
        return found


class Turned(list):
    """Linear weights, [out, in] in PyTorch: transposed and put side by side in a checkpoint."""


def named_linear(name, linear):
    found = {name + "/weight": Turned([linear.weight])}
    if linear.bias is not None:
        found[name + "/bias"] = [linear.bias]
    return found


def named_norm(name, norm):
    found = {name + "/gamma": [norm.weight], name + "/beta": [norm.bias]}
    if isinstance(norm, nn.BatchNorm1d):
        found |= {name + "/mean": [norm.running_mean], name + "/var": [norm.running_var]}
    return found
