"""The network of task-specific bottom representations after DTRN's description (CIKM 2023), over padded sequences with masks."""

import torch
from torch import nn

from .parts import Fields, Tower, named_linear


def padded(vectors, row, rows):
    """Ragged vectors [T, d] with the row of each, oldest first → [B, L, d] and a mask [B, L], True for behaviours."""
    lengths = torch.bincount(row, minlength=rows)
    mask = torch.arange(max(int(lengths.max()), 1))[None, :] < lengths[:, None]
    x = vectors.new_zeros(*mask.shape, vectors.shape[1])
    x[mask] = vectors
    return x, mask


class Layer(nn.Module):
    """The weights of a Transformer layer that all pairs share."""

    def __init__(self, d, heads, wide):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, wide * d), nn.Linear(wide * d, d)

    def attend(self, x, mask):
        b, l, d = x.shape
        q, k, v = (f(x).view(b, l, self.heads, d // self.heads).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) / (d // self.heads) ** 0.5
        scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        scores = scores.masked_fill(~mask.any(1)[:, None, None, None], 0)  # nothing to attend to: no NaN; the row is read as zero
        return self.out((torch.softmax(scores, 3) @ v).transpose(1, 2).reshape(b, l, d))

    def feed(self, z):
        return self.down(torch.relu(self.up(z)))

    def names(self, prefix):
        found = {}
        for what, linear in [("query", self.query), ("key", self.key), ("value", self.value), ("out", self.out), ("feed_forward/0", self.up), ("feed_forward/1", self.down)]:
            found |= named_linear(prefix + what, linear)
        return found


class TIM(nn.Module):
    """Interests v_ik [B, d] of tasks and behaviour types."""

    def __init__(self, tasks, types, d, task_dim, behaviour_dim, hyper_dim, heads, layers, wide, longest, readout, pre, condition):
        super().__init__()
        self.readout, self.pre, self.condition = readout, pre, condition
        self.layers = nn.ModuleList(Layer(d, heads, wide) for _ in range(layers))
        if condition:
            self.task = nn.ParameterList(nn.Parameter(torch.zeros(1, task_dim)) for _ in range(tasks))
            self.behaviour = nn.ParameterList(nn.Parameter(torch.zeros(1, behaviour_dim)) for _ in range(types))
            self.hyper = nn.Linear(task_dim + behaviour_dim, hyper_dim)
            self.gamma = nn.ModuleList(nn.Linear(hyper_dim, d) for _ in range(2 * layers))
            self.beta = nn.ModuleList(nn.Linear(hyper_dim, d) for _ in range(2 * layers))
        more = 1 if readout == "append" else 0
        self.positions = nn.ParameterList(nn.Parameter(torch.zeros(n + more, d)) for n in longest)
        if readout == "target":
            self.unit = nn.ModuleList(Tower(4 * d, [d], "sigmoid", out=1) for _ in range(types))

    def norms(self, i, k):
        """Functions of x: the layer norms of a pair."""
        if not self.condition:
            return [lambda x: nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6) for _ in self.layers for _ in range(2)]
        u = torch.relu(self.hyper(torch.cat([self.task[i], self.behaviour[k]], 1)))
        made = []
        for gamma, beta in zip(self.gamma, self.beta):
            g, b = gamma(u)[0], beta(u)[0]
            made.append(lambda x, g=g, b=b: g * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-6) + b)
        return made

    def forward(self, i, k, vectors, row, q):
        x, mask = padded(vectors, row, len(q))
        some = mask.any(1)[:, None].to(x.dtype)
        if self.readout == "append":  # the candidate goes behind the newest behaviour
            length = mask.sum(1)
            x = torch.cat([x, torch.zeros_like(q)[:, None]], 1)
            x = torch.where((torch.arange(x.shape[1]) == length[:, None])[:, :, None], q[:, None], x)
            mask = torch.arange(x.shape[1])[None, :] <= length[:, None]
        place = (mask.sum(1)[:, None] - 1 - torch.arange(x.shape[1])).clamp(min=0)  # the newest at 0
        x = x + self.positions[k][place]
        n = self.norms(i, k)
        for l, layer in enumerate(self.layers):
            if self.pre:
                x = x + layer.attend(n[2 * l](x), mask)
                x = x + layer.feed(n[2 * l + 1](x))
            else:
                z = n[2 * l](x + layer.attend(x, mask))
                x = n[2 * l + 1](z + layer.feed(z))
        if self.readout == "append":
            return x[torch.arange(len(q)), mask.sum(1) - 1] * some
        weight = mask.to(x.dtype)
        if self.readout == "target":
            at = q[:, None].expand_as(x)
            a = self.unit[k](torch.cat([at, x, at - x, at * x], 2))[:, :, 0]
            weight = weight * torch.exp(a - a.max())
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-300)
        return (weight[:, :, None] * x).sum(1)

    def names(self, tasks):
        found = {f"tim/{k}/positions": [p] for k, p in enumerate(self.positions)}
        for l, layer in enumerate(self.layers):
            found |= layer.names(f"tim/transformer/{l}/")
        if self.condition:
            found |= named_linear("tim/hyper", self.hyper)
            found |= {"tim/task/" + t: [p] for t, p in zip(tasks, self.task)} | {f"tim/behaviour/{k}": [p] for k, p in enumerate(self.behaviour)}
            for l, (gamma, beta) in enumerate(zip(self.gamma, self.beta)):
                found |= named_linear(f"tim/norm/{l}/gamma", gamma) | named_linear(f"tim/norm/{l}/beta", beta)
        if self.readout == "target":
            for k, unit in enumerate(self.unit):
                found |= unit.names(f"tim/{k}/readout")
        return found


class TRM(nn.Module):
    """Weights of n vectors [B, n, d]."""

    def __init__(self, n, d, mean, relu):
        super().__init__()
        hidden = max(4, n // 2)
        self.mean, self.relu = mean, relu
        self.first, self.second = nn.Linear(n if mean else n * d, hidden), nn.Linear(hidden, n)

    def forward(self, x):
        z = self.second(torch.relu(self.first(x.mean(2) if self.mean else x.flatten(1))))
        return (torch.relu(z) if self.relu else 2 * torch.sigmoid(z))[:, :, None] * x

    def names(self, prefix):
        return named_linear(prefix + "/0", self.first) | named_linear(prefix + "/1", self.second)


class Mixture(nn.Module):
    """A gate's mixture of experts: softmax(W·tower(x)) over their outputs."""

    def __init__(self, width, units, experts):
        super().__init__()
        self.tower, self.out = Tower(width, units), nn.Linear(units[-1] if units else width, experts, bias=False)

    def forward(self, x, experts):
        return (torch.softmax(self.out(self.tower(x)), 1)[:, :, None] * torch.stack(experts, 1)).sum(1)

    def names(self, prefix):
        return self.tower.names(prefix) | named_linear(prefix + "/out", self.out)


class MMoE(nn.Module):
    def __init__(self, tasks, width, experts, units, gate):
        super().__init__()
        self.experts = nn.ModuleList(Tower(width, units) for _ in range(experts))
        self.gates = nn.ModuleList(Mixture(width, gate, experts) for _ in range(tasks))

    def forward(self, xs):
        return [gate(x, [e(x) for e in self.experts]) for gate, x in zip(self.gates, xs)]

    def names(self, tasks):
        found = {}
        for i, e in enumerate(self.experts):
            found |= e.names(f"expert/{i}")
        for t, g in zip(tasks, self.gates):
            found |= g.names("gate/" + t)
        return found


class PLE(nn.Module):
    """Layers of task experts, shared ones that read each task's input in turn, and gates; between layers a gate over all experts feeds the shared ones, its own input the tasks' mean at first."""

    def __init__(self, tasks, width, layers, shared, own, units, gate):
        super().__init__()
        widths = [width] + [units[-1]] * (layers - 1)
        self.shared = nn.ModuleList(nn.ModuleList(Tower(w, units) for _ in range(shared)) for w in widths)
        self.own = nn.ModuleList(nn.ModuleList(nn.ModuleList(Tower(w, units) for _ in range(own)) for _ in range(tasks)) for w in widths)
        self.gates = nn.ModuleList(nn.ModuleList(Mixture(w, gate, own + shared) for _ in range(tasks)) for w in widths)
        self.between = nn.ModuleList(Mixture(w, gate, tasks * own + shared) for w in widths[:-1])

    def forward(self, xs):
        common = None
        for l in range(len(self.shared)):
            outs = [[e(x if common is None else common) for e in self.shared[l]] for x in xs]
            owns = [[e(x) for e in experts] for x, experts in zip(xs, self.own[l])]
            new = [gate(x, own + out) for gate, x, own, out in zip(self.gates[l], xs, owns, outs)]
            if l < len(self.between):
                common = self.between[l](sum(xs) / len(xs) if common is None else common, sum(owns, []) + [sum(o) / len(o) for o in zip(*outs)])
            xs = new
        return xs

    def names(self, tasks):
        found = {}
        for l in range(len(self.shared)):
            for e, expert in enumerate(self.shared[l]):
                found |= expert.names(f"layer{l}/shared/{e}")
            for t, experts, gate in zip(tasks, self.own[l], self.gates[l]):
                found |= gate.names(f"layer{l}/gate/{t}")
                for e, expert in enumerate(experts):
                    found |= expert.names(f"layer{l}/expert/{t}/{e}")
            if l < len(self.between):
                found |= self.between[l].names(f"layer{l}/gate/shared")
        return found


class Golden(nn.Module):
    """Two tasks, two behaviour types, one of two fields that are projected; towers straight on the refined vectors."""

    schema = (
        "user: user\nitem: item\nlabels: [{name: click}, {name: buy}]\nfields:\n  - {name: user, from: user}\n  - {name: item, from: item}\n  - {name: category, from: item}\n"
        "  - {name: price, type: numeric}\n  - {name: clicks, type: sequence, shares: item, max: 6}\n  - {name: click_categories, type: sequence, shares: category, max: 6}\n"
        "  - {name: buys, type: sequence, shares: item, max: 7}\n"
    )
    sizes = (
        "model: DTRN\ndtrn_sequence_field: [[clicks, click_categories], [buys]]\nembedding_dim: 6\ntask_dim: 3\nbehaviour_dim: 2\nhyper_dim: 5\ntransformer_heads: 2\n"
        "transformer_layers: 2\ntransformer_feed_forward: 2\ntransformer_dropout: 0\ntower_hidden_units: [7]\n"
    )
    keys = ""
    gain = 1.1  # of the weights drawn: through so many layers, logits and gradients would be lost in the rounding of what they are differences of
    tasks = ["click", "buy"]
    groups = [["clicks", "click_categories"], ["buys"]]
    lists, numbers = ["clicks", "click_categories", "buys"], ["price"]
    readout, pre, condition, refine, mean, relu, head = "target", False, True, "task", False, False, None

    def __init__(self, ids):
        super().__init__()
        self.model = self.sizes + self.keys
        d, n = 6, 6  # user, item, category, price and two interests
        self.fields = Fields(["user", "item", "category"], [], self.numbers, ids, d)
        self.projection = nn.Linear(2 * d, d)
        self.tim = TIM(len(self.tasks), 2, d, 3, 2, 5, 2, 2, 2, [6, 7], self.readout, self.pre, self.condition)
        self.trm = nn.ModuleList(TRM(n, d, self.mean, self.relu) for _ in {"task": self.tasks, "shared": [0], "none": []}[self.refine])
        self.over = self.head(len(self.tasks), n * d) if self.head else None
        self.tower = nn.ModuleList(Tower(8 if self.over else n * d, [7], out=1) for _ in self.tasks)

    def forward(self, batch):
        e, t = self.fields(batch), self.fields.tables
        (items, row), (categories, _) = batch["clicks"], batch["click_categories"]
        clicks = self.projection(torch.cat([t["item"](items), t["category"](categories)], 1))
        buys, bought = batch["buys"]
        candidate = self.projection(e[:, 1:3].flatten(1))
        xs = []
        for i in range(len(self.tasks)):
            v = [self.tim(i, 0, clicks, row, candidate), self.tim(i, 1, t["item"](buys), bought, e[:, 1])]
            x = torch.cat([e, torch.stack(v, 1)], 1)
            if len(self.trm):
                x = self.trm[i % len(self.trm)](x)
            xs.append(x.flatten(1))
        if self.over:
            xs = self.over(xs)
        return [tower(x)[:, 0] for tower, x in zip(self.tower, xs)]

    def names(self):
        found = self.fields.names("emb") | named_linear("tim/0/projection", self.projection) | self.tim.names(self.tasks)
        for t, trm in zip(self.tasks if len(self.trm) > 1 else [None], self.trm):
            found |= trm.names("trm/" + t if t else "trm")
        if self.over:
            found |= self.over.names(self.tasks)
        for t, tower in zip(self.tasks, self.tower):
            found |= tower.names("tower/" + t)
        return found


class GoldenPLE(Golden):
    """Norms before each part, the candidate behind the newest behaviour, TRM by means and ReLU, two layers of PLE."""

    keys = (
        "transformer_norm: pre\ntim_readout: append\ntrm_squeeze: mean\ntrm_gate: relu\nhead: ple\nnum_layers: 2\nnum_shared_experts: 2\nnum_specific_experts: 1\n"
        "expert_hidden_units: [9, 8]\ngate_hidden_units: [8]\n"
    )
    readout, pre, mean, relu = "append", True, True, True

    @staticmethod
    def head(tasks, width):
        return PLE(tasks, width, 2, 2, 1, [9, 8], [8])


class GoldenMMoE(Golden):
    """One bottom for both tasks: norms of 1 and 0, means of behaviours, a shared TRM; MMoE."""

    keys = "tim_condition: none\ntim_readout: mean\ntrm: shared\nhead: mmoe\nnum_experts: 3\nexpert_hidden_units: [9, 8]\ngate_hidden_units: []\n"
    readout, condition, refine = "mean", False, "shared"

    @staticmethod
    def head(tasks, width):
        return MMoE(tasks, width, 3, [9, 8], [])
