"""DIEN (AAAI 2019), padded and step by step: extraction, the guess of the next behaviour, attention, evolution."""

import torch
from torch import nn
from torch.nn import functional as F

from .parts import Fields, Tower, named_linear


class Unit(nn.Module):
    """A gated recurrent unit; gates in the order reset, update, candidate. With attention in the update gate (AUGRU), in its place (AGRU) or in the input (AIGRU)."""

    def __init__(self, width, kind="GRU"):
        super().__init__()
        self.width, self.kind = width, kind
        gates = 2 if kind == "AGRU" else 3
        self.input, self.state = nn.Linear(width, gates * width, bias=False), nn.Linear(width, gates * width, bias=False)
        self.bias = nn.Parameter(torch.zeros(2, gates * width))

    def forward(self, x, mask, attention=None):
        """x [B, L, H], mask and attention [B, L] → states [B, L, H]."""
        h, states = x.new_zeros(len(x), self.width), []
        for t in range(x.shape[1]):
            a = attention[:, t : t + 1] if attention is not None else None
            now = a * x[:, t] if self.kind == "AIGRU" else x[:, t]
            g = (self.input(now) + self.bias[0]).split(self.width, 1)
            s = (self.state(h) + self.bias[1]).split(self.width, 1)
            n = torch.tanh(g[-1] + torch.sigmoid(g[0] + s[0]) * s[-1])
            if self.kind == "AGRU":
                u = a
            else:
                u = torch.sigmoid(g[1] + s[1])
                if self.kind == "AUGRU":
                    u = a * u
            h = torch.where(mask[:, t : t + 1], (1 - u) * h + u * n, h)
            states.append(h)
        return torch.stack(states, 1)

    def names(self, prefix):
        return named_linear(f"{prefix}/input", self.input) | named_linear(f"{prefix}/state", self.state) | {f"{prefix}/bias": [self.bias]}


def mix(x):
    """The output function of splitmix64."""
    m = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & m
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & m
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & m
    return x ^ x >> 31


def shuffled(n, seed, step, position):
    """The order of millrace's negatives: Sattolo's algorithm with numbers from splitmix64."""
    key, order = mix((mix((mix(seed) + step) & (1 << 64) - 1) + position) & (1 << 64) - 1), list(range(n))
    for i in range(n - 1, 0, -1):
        j = mix((key + i * 0x9E3779B97F4A7C15) & (1 << 64) - 1) * i >> 64
        order[i], order[j] = order[j], order[i]
    return torch.tensor(order, dtype=torch.long)


class DIEN(nn.Module):
    """x [B, X], candidate q [B, H], behaviours k [T, H] with the row of each [T] → logit [B] and the auxiliary loss."""

    def __init__(self, x, h, kind, unit, guess, tower, activation, seed, step):
        super().__init__()
        self.extraction, self.evolution = Unit(h), Unit(h, kind)
        self.unit = Tower(4 * h, unit, "sigmoid", out=1) if unit else None
        self.kernel = None if unit else nn.Parameter(torch.eye(h))
        self.guess = Tower(2 * h, guess, "relu", out=1)
        self.tower = Tower(x + h, tower, activation, True, out=1)
        self.seed, self.step = seed, step

    def forward(self, x, q, k, row):
        rows = len(q)
        count = torch.bincount(row, minlength=rows)
        place = torch.arange(len(k)) - (count.cumsum(0) - count)[row]
        longest = int(count.max())
        padded = k.new_zeros(rows, longest, k.shape[1]).index_put((row, place), k)
        mask = torch.arange(longest)[None] < count[:, None]
        h = self.extraction(padded, mask)

        both = mask[:, 1:]
        before, after = h[:, :-1][both], padded[:, 1:][both]
        drawn = after[shuffled(len(after), self.seed, self.step, 1)]
        real, false = (self.guess(torch.cat([before, v], 1)) for v in (after, drawn))
        guess = F.softplus(-real).mean() + F.softplus(false).mean()

        if self.unit:
            at = q[:, None].expand_as(h)
            scores = self.unit(torch.cat([at, h, at - h, at * h], 2))[:, :, 0]
        else:
            scores = ((q @ self.kernel)[:, None] * h).sum(2)
        scores = scores.masked_fill(~mask, -1e30)
        last = self.evolution(h, mask, torch.softmax(scores, 1))[:, -1]
        return self.tower(torch.cat([x, last], 1))[:, 0], guess

    def names(self):
        found = self.extraction.names("interest/extraction") | self.evolution.names("interest/evolution") | self.guess.names("interest/next")
        found |= self.unit.names("interest/attention") if self.unit else {"interest/attention/weight": [self.kernel]}
        return found | self.tower.names("dnn", "out")


class Golden(nn.Module):
    """AUGRU with a bilinear attention, Dice in the tower, items and categories as one behaviour, an empty history among the rows."""

    schema = (
        "item: item\nuser: user\nlabels: [{name: y}]\nhistory: {actions: [click], max: 8}\nfields:\n  - {name: user, from: user}\n  - {name: item, from: item}\n"
        "  - {name: category, from: item}\n  - {name: hist_item, type: sequence, from: history, shares: item, max: 8}\n"
        "  - {name: hist_category, type: sequence, from: history, shares: category, max: 8}\n"
    )
    keys = (
        "model: DIEN\nembedding_dim: 4\ngru_type: {kind}\nattention_type: {attention}\nattention_hidden_units: [7]\nattention_activation: sigmoid\naux_loss_alpha: 0.7\n"
        "aux_hidden_units: [6, 5]\ndnn_hidden_units: [10, 5]\ndnn_activations: {activation}\nbatch_norm: true\n"
        "dien_target_field: [[item, category]]\ndien_sequence_field: [[hist_item, hist_category]]\n"
    )
    lists, numbers = ["hist_item", "hist_category"], []
    kind, unit, activation = "AUGRU", [], "dice"

    def __init__(self, ids):
        super().__init__()
        attention = "din_attention" if self.unit else "bilinear_attention"
        self.model = self.keys.format(kind=self.kind, attention=attention, activation=self.activation)
        self.fields = Fields(["user", "item", "category"], [], [], ids, 4)
        self.net = DIEN(12, 8, self.kind, self.unit, [6, 5], [10, 5], self.activation, seed=7, step=1)  # as the Go test runs it

    def forward(self, batch):
        e, t = self.fields(batch), self.fields.tables
        (items, row), (categories, _) = batch["hist_item"], batch["hist_category"]
        k = torch.cat([t["item"](items), t["category"](categories)], 1)
        logit, guess = self.net(e.flatten(1), e[:, 1:].flatten(1), k, row)
        self.auxiliary = 0.7 * guess
        return logit

    def names(self):
        return self.net.names() | self.fields.names("emb")


class GoldenAGRU(Golden):
    kind, unit, activation = "AGRU", [7], "prelu"


class GoldenAIGRU(Golden):
    kind, unit, activation = "AIGRU", [7], "relu"
