"""AITM (KDD 2021): a tower a task, what each passes on to the next, and the calibrator."""

import torch
from torch import nn

from .parts import Fields, Tower, named_linear


class Transfer(nn.Module):
    """The AIT module: attention of a task over its own representation and what the task before passes on."""

    def __init__(self, d):
        super().__init__()
        self.info = nn.Linear(d, d)
        self.key, self.query, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))

    def forward(self, p, before):
        u = torch.stack([p, self.info(before)], 1)  # [B, 2, d]
        score = (self.key(u) * self.query(u)).sum(2) / u.shape[2] ** 0.5
        return (torch.softmax(score, 1)[:, :, None] * self.value(u)).sum(1)

    def names(self, prefix):
        found = {}
        for part in ("info", "key", "query", "value"):
            found |= named_linear(f"{prefix}/{part}", getattr(self, part))
        return found


class Golden(nn.Module):
    """A funnel of three tasks over a bottom, batch norm in all towers."""

    tasks = ["click", "cart", "buy"]
    schema = "labels: [{name: click}, {name: cart}, {name: buy}]\nfields: [{name: user}, {name: item}, {name: tags, type: multi, max: 8}, {name: price, type: numeric}]\n"
    model = "model: AITM\nembedding_dim: 4\nbottom_hidden_units: [12]\ntower_hidden_units: [9, 6]\nbatch_norm: true\ncalibrator_alpha: 0.6\n"
    lists, numbers = ["tags"], ["price"]

    def __init__(self, ids):
        super().__init__()
        self.fields = Fields(["user", "item"], ["tags"], ["price"], ids, 4)
        self.bottom = Tower(16, [12], batch_norm=True)
        self.towers = nn.ModuleList(Tower(12, [9, 6], batch_norm=True) for _ in self.tasks)
        self.transfers = nn.ModuleList(Transfer(6) for _ in self.tasks[1:])
        self.out = nn.ModuleList(nn.Linear(6, 1) for _ in self.tasks)

    def forward(self, batch):
        x, z, logits = self.bottom(self.fields(batch).flatten(1)), None, []
        for i, tower in enumerate(self.towers):
            p = tower(x)
            z = p if z is None else self.transfers[i - 1](p, z)
            logits.append(self.out[i](z)[:, 0])
        y = [torch.sigmoid(v) for v in logits]
        self.auxiliary = 0.6 * sum(torch.clamp(later - sooner, min=0).mean() for sooner, later in zip(y, y[1:]))
        return logits

    def names(self):
        found = self.fields.names("emb") | self.bottom.names("bottom")
        for i, task in enumerate(self.tasks):
            found |= self.towers[i].names(f"tower/{task}") | named_linear(f"out/{task}", self.out[i])
            if i:
                found |= self.transfers[i - 1].names(f"transfer/{task}")
        return found
