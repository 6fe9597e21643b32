"""DIN (KDD 2018) in the form of FuxiCTR, over ragged histories."""

import torch
from torch import nn

from .parts import Fields, Tower


class DIN(nn.Module):
    """x [B, X], candidate q [B, H], behaviours k [T, H] with the row of each [T] → logit [B]."""

    def __init__(self, x, h, unit, tower, unit_activation, activation, batch_norm, softmax):
        super().__init__()
        self.unit = Tower(4 * h, unit, unit_activation, out=1)
        self.tower = Tower(x + h, tower, activation, batch_norm, out=1)
        self.softmax = softmax

    def forward(self, x, q, k, row):
        at = q[row]
        alpha = self.unit(torch.cat([at, k, at - k, at * k], 1))
        if self.softmax:
            alpha = torch.exp(alpha - alpha.max())
            alpha = alpha / alpha.new_zeros(len(q), 1).index_add(0, row, alpha)[row]
        v = torch.zeros_like(q).index_add(0, row, alpha * k)
        return self.tower(torch.cat([x, v], 1))[:, 0]

    def names(self):
        return self.unit.names("attention") | self.tower.names("dnn", "out")


class Golden(nn.Module):
    """DIN with Dice in the unit and PReLU in the tower, items and categories attended to together, an empty history among the rows."""

    schema = (
        "item: item\nuser: user\nlabels: [{name: y}]\nhistory: {actions: [click], max: 8}\nfields:\n  - {name: user, from: user}\n  - {name: item, from: item}\n"
        "  - {name: category, from: item}\n  - {name: hist_item, type: sequence, from: history, shares: item, max: 8}\n"
        "  - {name: hist_category, type: sequence, from: history, shares: category, max: 8}\n"
    )
    model = (
        "model: DIN\nembedding_dim: 4\nattention_hidden_units: [9, 6]\nattention_hidden_activations: dice\ndin_use_softmax: {softmax}\ndnn_hidden_units: [10, 5]\n"
        "dnn_activations: prelu\nbatch_norm: true\ndin_target_field: [[item, category]]\ndin_sequence_field: [[hist_item, hist_category]]\n"
    )
    lists, numbers = ["hist_item", "hist_category"], []
    softmax = False

    def __init__(self, ids):
        super().__init__()
        self.model = Golden.model.replace("{softmax}", str(self.softmax).lower())
        self.fields = Fields(["user", "item", "category"], [], [], ids, 4)
        self.net = DIN(12, 8, [9, 6], [10, 5], "dice", "prelu", True, self.softmax)

    def forward(self, batch):
        e, t = self.fields(batch), self.fields.tables
        (items, row), (categories, _) = batch["hist_item"], batch["hist_category"]
        return self.net(e.flatten(1), e[:, 1:].flatten(1), torch.cat([t["item"](items), t["category"](categories)], 1), row)

    def names(self):
        return self.net.names() | self.fields.names("emb")


class GoldenSoftmax(Golden):
    softmax = True
