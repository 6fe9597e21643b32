"""What the comparisons share: the repetition protocol of `millrace bench`, the binary's figures, and the table of ratios."""

import argparse
import json
import platform
import subprocess
import sys
import time


def arguments(description, threads="1,2", repeat=7, min_ms=60.0):
    """Parse the flags that every comparison has."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--millrace", default="./millrace", help="the binary to compare")
    p.add_argument("--threads", default=threads, help="numbers of threads, with commas")
    p.add_argument("--repeat", type=int, default=repeat, help="repetitions of which the fastest counts, on both sides")
    p.add_argument("--min-ms", type=float, default=min_ms, help="least duration of a repetition, on both sides")
    p.add_argument("--rounds", type=int, default=3, help="how often the sides take turns; the fastest round of each counts")
    a = p.parse_args()
    a.threads = [int(t) for t in a.threads.split(",")]
    return a


def fastest(call, repeat, min_ms):
    """Seconds of one call in the fastest of the repetitions, each of at least min_ms, after a warm-up as long."""
    best, calls = float("inf"), 1
    for i in range(repeat + 1):
        done, start = 0, time.perf_counter()
        while True:
            for _ in range(calls):
                call()
            done += calls
            spent = time.perf_counter() - start
            if spent * 1e3 >= min_ms:
                break
        each = spent / done
        if i:
            best = min(best, each)
        calls = max(1, int(min_ms / 1e3 / 16 / each))
    return best


def millrace(args, *command):
    """The figures of one `millrace bench` command."""
    run = subprocess.run([args.millrace, "bench", *command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{args.millrace} bench {' '.join(command)}: exit {run.returncode}\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def table(head, rows):
    """Print rows of texts under a head, columns aligned to the right."""
    rows = [head] + rows
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for r in rows:
        print("  ".join(cell.rjust(w) for cell, w in zip(r, widths)), flush=True)
