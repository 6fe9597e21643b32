"""AutoInt and AutoInt+ (CIKM 2019), with the conventions of FuxiCTR."""

import torch
from torch import nn

from .parts import Fields, Tower, Turned, named_linear, named_norm


class Interacting(nn.Module):
    """One interacting layer: multi-head self-attention among the fields, residual, layer norm, ReLU. x [B, M, d] → [B, M, width]."""

    def __init__(self, d, width, heads, scale, layer_norm, dropout=0.0):
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(d, width, bias=False) for _ in range(3))
        self.residual = nn.Linear(d, width, bias=False) if d != width else None
        self.scale = self.head**-0.5 if scale else 1.0
        self.norm = nn.LayerNorm(width) if layer_norm else None
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x):
        b, m, _ = x.shape
        q, k, v = (f(x).view(b, m, self.heads, self.head).transpose(1, 2) for f in (self.query, self.key, self.value))
        alpha = self.dropout(torch.softmax(self.scale * (q @ k.transpose(2, 3)), -1))
        y = (alpha @ v).transpose(1, 2).reshape(b, m, -1)
        y = y + (x if self.residual is None else self.residual(x))
        return torch.relu(y if self.norm is None else self.norm(y))

    def names(self, prefix):
        blocks = [self.query, self.key, self.value] + ([self.residual] if self.residual is not None else [])
        found = {prefix + "/weight": Turned(b.weight for b in blocks)}
        if self.norm is not None:
            found |= named_norm(prefix + "/norm", self.norm)
        return found


class AutoInt(nn.Module):
    """Interacting layers over vectors e [B, M, d] → logit [B]; units make it AutoInt+."""

    def __init__(self, m, d, layers, width, heads, scale=False, layer_norm=False, units=(), batch_norm=False, dropout=0.0):
        super().__init__()
        self.layers = nn.ModuleList(Interacting(width if i else d, width, heads, scale, layer_norm, dropout) for i in range(layers))
        self.out = nn.Linear(m * width, 1)
        self.tower = Tower(m * d, units, batch_norm=batch_norm, dropout=dropout, out=1) if units else None

    def forward(self, e):
        x = e
        for layer in self.layers:
            x = layer(x)
        z = self.out(x.flatten(1))
        if self.tower is not None:
            z = z + self.tower(e.flatten(1))
        return z[:, 0]

    def names(self):
        found = named_linear("out", self.out)
        for i, layer in enumerate(self.layers):
            found |= layer.names(f"attention/{i}")
        if self.tower is not None:
            found |= self.tower.names("dnn", "dnn/out")
        return found


class Golden(nn.Module):
    """AutoInt+ with everything on, over categories, a list and a number."""

    schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: price, type: numeric}, {name: tags, type: multi}]\n"
    model = (
        "model: AutoInt+\nembedding_dim: 6\nattention_layers: 2\nattention_dim: 8\nnum_heads: 2\nuse_scale: true\nlayer_norm: true\nuse_wide: true\n"
        "dnn_hidden_units: [7, 5]\nbatch_norm: true\n"
    )
    lists, numbers = ["tags"], ["price"]

    def __init__(self, ids):
        super().__init__()
        self.fields = Fields(["user", "item"], ["tags"], ["price"], ids, 6)
        self.wide = Fields(["user", "item"], ["tags"], ["price"], ids, 1, add=True)
        self.net = AutoInt(4, 6, 2, 8, 2, True, True, [7, 5], True)

    def forward(self, batch):
        return self.net(self.fields(batch)) + self.wide(batch).sum((1, 2))

    def names(self):
        return self.net.names() | self.fields.names("emb") | self.wide.names("wide")
