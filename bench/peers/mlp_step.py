"""Training steps of the tower 320-400-400-400-1: millrace beside PyTorch, taking turns in one run.

mlp is forward, backward (the input's gradient with it) and Adam over the tower. dnn looks the input up in 20 tables of 10,000
rows of 16 first; PyTorch's tables are trained by Adam over whole tables and by SparseAdam over the rows that were read, and the
faster counts. Prints milliseconds and ratios of the fastest and of the median steps; the last line is one JSON object.
"""

import json
import statistics
import time

import torch

import measure

ROWS, FIELDS, DIM, IDS, UNITS = 4096, 20, 16, 10_000, 400


def tower():
    layers, width = [], FIELDS * DIM
    for _ in range(3):
        layers += [torch.nn.Linear(width, UNITS), torch.nn.ReLU()]
        width = UNITS
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))


def adam(parameters):
    """Adam in the form that is fastest on a CPU: all of a parameter's update in one kernel."""
    return torch.optim.Adam(parameters, fused=True)


def mlp_step():
    net, x, y = tower(), torch.randn(ROWS, FIELDS * DIM, requires_grad=True), torch.randint(0, 2, (ROWS, 1)).float()
    optimizer = adam(net.parameters())

    def step():
        optimizer.zero_grad(set_to_none=True)
        x.grad = None
        torch.nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()

    return step


def dnn_step(sparse):
    tables = torch.nn.ModuleList(torch.nn.Embedding(IDS, DIM, sparse=sparse) for _ in range(FIELDS))
    net = tower()
    optimizers = [adam(net.parameters()), torch.optim.SparseAdam(tables.parameters()) if sparse else adam(tables.parameters())]
    batches = [(torch.randint(0, IDS, (ROWS, FIELDS)), torch.randint(0, 2, (ROWS, 1)).float()) for _ in range(8)]
    count = 0

    def step():
        nonlocal count
        ids, y = batches[count % len(batches)]
        count += 1
        for o in optimizers:
            o.zero_grad(set_to_none=True)
        x = torch.cat([t(ids[:, i]) for i, t in enumerate(tables)], dim=1)
        torch.nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        for o in optimizers:
            o.step()

    return step


PEERS = {"mlp": {"torch": mlp_step}, "dnn": {"torch, Adam": lambda: dnn_step(False), "torch, SparseAdam": lambda: dnn_step(True)}}


def steps(step, repeat, min_ms):
    """Milliseconds of the fastest step, and the fastest of the medians, over repetitions of at least min_ms, after five steps to warm up."""
    for _ in range(5):
        step()
    fast, median = [], []
    for _ in range(repeat):
        times, end = [], time.perf_counter() + min_ms / 1e3
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - start))
        fast.append(min(times))
        median.append(statistics.median(times))
    return min(fast), min(median)


def main():
    args = measure.arguments(__doc__.splitlines()[0], repeat=1, min_ms=3000.0)
    print(f"{measure.processor()}; torch {torch.__version__}")
    rows, figures = [], []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for model, peers in PEERS.items():
            made = {name: make() for name, make in peers.items()}
            ours, theirs, share = [float("inf")] * 2, {name: [float("inf")] * 2 for name in made}, 0.0
            for _ in range(args.rounds):
                r = measure.millrace(args, "train", "--model", model, "--threads", str(threads), "--rows", str(ROWS), "--min-time", f"{args.min_ms}ms",
                                     "--repeat", str(args.repeat))
                s = r["train"][0]
                ours = [min(a, b) for a, b in zip(ours, (s["fastest_ms"], s["median_ms"]))]
                share = max(share, s["peak_share"])
                for name, step in made.items():
                    theirs[name] = [min(a, b) for a, b in zip(theirs[name], steps(step, args.repeat, args.min_ms))]
            name, best = min(theirs.items(), key=lambda t: t[1][1])
            figures.append({"model": model, "threads": threads, "millrace_fastest_ms": ours[0], "millrace_median_ms": ours[1], "peer": name,
                            "peer_fastest_ms": best[0], "peer_median_ms": best[1], "ratio_fastest": best[0] / ours[0], "ratio_median": best[1] / ours[1],
                            "peak_share": share})
            rows.append([model, str(threads), f"{ours[0]:.2f}", f"{ours[1]:.2f}", name, f"{best[0]:.2f}", f"{best[1]:.2f}", f"{best[0] / ours[0]:.2f}",
                         f"{best[1] / ours[1]:.2f}", f"{100 * share:.1f} %"])
    measure.table(["step", "threads", "millrace ms", "median", "best peer", "ms", "median", "ratio", "of medians", "of peak"], rows)
    print(json.dumps({"train": figures}))


if __name__ == "__main__":
    main()
