"""FinalMLP (AAAI 2023), with the conventions of FuxiCTR."""

import torch
from torch import nn

from .parts import Fields, Tower, named_linear


class FinalMLP(nn.Module):
    """Two gated streams and their bilinear fusion: e, x1, x2 [B, …] → logit [B]."""

    def __init__(self, width, x1, x2, units1, units2, gate, heads, batch_norm=True, dropout1=0.0, dropout2=0.0):
        super().__init__()
        self.gate1, self.gate2 = Tower(x1, gate, out=width), Tower(x2, gate, out=width)
        self.mlp1 = Tower(width, units1, batch_norm=batch_norm, dropout=dropout1)
        self.mlp2 = Tower(width, units2, batch_norm=batch_norm, dropout=dropout2)
        p, q = units1[-1], units2[-1]
        self.x, self.y, self.heads = nn.Linear(p, 1), nn.Linear(q, 1), heads
        self.w = nn.Parameter(torch.empty(p * q // heads, 1))
        nn.init.xavier_normal_(self.w)

    def forward(self, e, x1, x2):
        o1 = self.mlp1(2 * torch.sigmoid(self.gate1(x1)) * e)
        o2 = self.mlp2(2 * torch.sigmoid(self.gate2(x2)) * e)
        a, b = (o.view(len(e), self.heads, -1) for o in (o1, o2))
        w = self.w.view(self.heads, a.shape[2], b.shape[2])
        return self.x(o1)[:, 0] + self.y(o2)[:, 0] + torch.einsum("bji,jik,bjk->b", a, w, b)

    def names(self):
        found = self.gate1.names("fs1/gate") | self.gate2.names("fs2/gate") | self.mlp1.names("mlp1") | self.mlp2.names("mlp2")
        return found | named_linear("fusion/x", self.x) | named_linear("fusion/y", self.y) | {"fusion/bilinear": [self.w]}


class Golden(nn.Module):
    """FinalMLP with a user and an item gate over three categories and a number."""

    schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}, {name: price, type: numeric}]\n"
    model = (
        "model: FinalMLP\nembedding_dim: 4\nmlp1_hidden_units: [10, 8]\nmlp2_hidden_units: [6]\nmlp1_batch_norm: true\nmlp2_batch_norm: true\nnum_heads: 2\n"
        "fs_hidden_units: [5]\nfs1_context: [user]\nfs2_context: [item, hour]\n"
    )
    lists, numbers = [], ["price"]

    def __init__(self, ids):
        super().__init__()
        self.fields = Fields(["user", "item", "hour"], [], ["price"], ids, 4)
        self.context1, self.context2 = Fields(["user"], [], [], ids, 4), Fields(["item", "hour"], [], [], ids, 4)
        self.net = FinalMLP(16, 4, 8, [10, 8], [6], [5], 2)

    def forward(self, batch):
        return self.net(*(f(batch).flatten(1) for f in (self.fields, self.context1, self.context2)))

    def names(self):
        return self.net.names() | self.fields.names("emb") | self.context1.names("fs1") | self.context2.names("fs2")
