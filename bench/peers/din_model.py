"""DIN (KDD 2018) in PyTorch at the sizes of `millrace bench`: item and category of 16, attention unit 80-40 sigmoid with softmax, tower 200-80 PReLU.

Two forms of the same function. DIN is what people write and export: histories padded, the unit over [q; k; q-k; q*k] of each pair. FoldedDIN is
split and folded by hand for one user's candidates: the history once, the unit's first layer as one matrix a candidate.
"""

import torch
from torch import nn

DIM, UNIT, TOWER = 16, (80, 40), (200, 80)
USERS, ITEMS, CATEGORIES = 50_000, 60_000, 800


class DIN(nn.Module):
    def __init__(self, sparse=False):
        super().__init__()
        h = 2 * DIM
        # Row 0 is the unknown row here as there; padding is masked, whatever its ids.
        self.user = nn.Embedding(USERS + 1, DIM, sparse=sparse)
        self.item = nn.Embedding(ITEMS + 1, DIM, sparse=sparse)
        self.category = nn.Embedding(CATEGORIES + 1, DIM, sparse=sparse)
        for table in (self.user, self.item, self.category):
            nn.init.normal_(table.weight, std=1e-2)
        self.unit = nn.Sequential(nn.Linear(4 * h, UNIT[0]), nn.Sigmoid(), nn.Linear(UNIT[0], UNIT[1]), nn.Sigmoid(), nn.Linear(UNIT[1], 1))
        self.tower = nn.Sequential(
            nn.Linear(DIM + 2 * h, TOWER[0]), nn.PReLU(TOWER[0], 0.1), nn.Linear(TOWER[0], TOWER[1]), nn.PReLU(TOWER[1], 0.1), nn.Linear(TOWER[1], 1)
        )

    def logits(self, user, item, category, items, categories, length):
        """user, item, category [B]; items, categories [B, L] padded at the end; length [B] → [B]."""
        q = torch.cat([self.item(item), self.category(category)], 1)
        k = torch.cat([self.item(items), self.category(categories)], 2)
        queries = q[:, None].expand_as(k)
        a = self.unit(torch.cat([queries, k, queries - k, queries * k], 2))[..., 0]
        there = torch.arange(items.shape[1], device=items.device)[None] < length[:, None]
        alpha = torch.softmax(a.masked_fill(~there, -1e9), 1)
        v = (alpha[..., None] * k).sum(1) * (length > 0)[:, None]
        return self.tower(torch.cat([self.user(user), q, v], 1))[:, 0]

    def forward(self, user, item, category, items, categories, length):
        return torch.sigmoid(self.logits(user, item, category, items, categories, length))


class FoldedDIN(nn.Module):
    """One user's candidates with one history: user [1], item and category [B], items and categories [L] → [B]."""

    def __init__(self, din):
        super().__init__()
        self.din = din
        first, h = din.unit[0], 2 * DIM
        wq, wk, wd, wp = (first.weight.detach()[:, i * h : (i + 1) * h].t().contiguous() for i in range(4))
        self.for_q, self.for_k, self.product = (nn.Parameter(w) for w in (wq + wd, wk - wd, wp))
        self.bias = nn.Parameter(first.bias.detach())

    def forward(self, user, item, category, items, categories):
        d = self.din
        q = torch.cat([d.item(item), d.category(category)], 1)
        k = torch.cat([d.item(items), d.category(categories)], 1)
        folded = self.for_k + q[:, :, None] * self.product
        x = torch.sigmoid(torch.matmul(k, folded) + (torch.addmm(self.bias, q, self.for_q))[:, None])
        a = d.unit[4](torch.sigmoid(d.unit[2](x)))[..., 0]
        v = torch.matmul(torch.softmax(a, 1), k)
        u = d.user(user).expand(q.shape[0], DIM)
        return torch.sigmoid(d.tower(torch.cat([u, q, v], 1))[:, 0])
