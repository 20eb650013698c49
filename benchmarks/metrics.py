"""Precision, recall, density and coverage beside the package prdc: same numbers, time and memory.

    python benchmarks/metrics.py            # a table, recorded in benchmarks/metrics.json (some minutes)

Each measurement is a process of its own, so that its peak memory is its own. Times are medians of three. What the data and
the interpreter take before the measure starts is subtracted from the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from modelab.core.files import atomic_write

SIZES = [(10_000, 64), (10_000, 2048), (20_000, 64), (50_000, 64)]
K = 5


def once(who: str, n: int, width: int) -> dict:
    """Measure in this process."""
    import torch
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(n, width, generator=generator) for _ in range(2))
    fake *= .95
    if who == "prdc":
        import prdc
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = prdc.compute_prdc(real.numpy(), fake.numpy(), K)
    else:
        from modelab.evaluation.precision_recall import precision_recall
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        balls = precision_recall(real, fake, K)
        found = {name: getattr(balls, name) for name in balls.points}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": time.perf_counter() - start, "MB": peak / 1024, **{k: float(v) for k, v in found.items()}}


def fresh(who: str, n: int, width: int, rounds: int) -> dict:
    """Measure in processes of their own: median seconds, largest memory, the numbers."""
    command = [sys.executable, __file__, "--once", who, str(n), str(width)]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
             for _ in range(rounds)]
    return {**found[0], "seconds": statistics.median(f["seconds"] for f in found), "MB": max(f["MB"] for f in found)}


def row(n: int, width: int, rounds: int) -> dict:
    """One line of the table; prdc's matrices are asked for up to 10,000 points."""
    ours = fresh("modelab", n, width, rounds)
    found = {"points": n, "features": width, "seconds": round(ours["seconds"], 2), "MB": round(ours["MB"])}
    if n <= 10_000:
        theirs = fresh("prdc", n, width, rounds)
        found |= {"prdc seconds": round(theirs["seconds"], 2), "prdc MB": round(theirs["MB"]),
                  "times faster": round(theirs["seconds"] / ours["seconds"], 2),
                  "share of its memory": round(ours["MB"] / max(1, theirs["MB"]), 3),
                  "largest difference": max(abs(ours[m] - theirs[m]) for m in ("precision", "recall", "density", "coverage"))}
    return found


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", nargs=3, metavar=("WHO", "N", "WIDTH"), help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs=2, type=int, metavar=("POINTS", "FEATURES"), help="renew this line, keep the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(args.once[0], *map(int, args.once[1:]))))
        return
    import torch
    kept = json.loads(args.out.read_text())["rows"] if args.only and args.out.is_file() else []
    rows = {(r["points"], r["features"]): r for r in kept}
    for n, width in [tuple(args.only)] if args.only else SIZES:
        rows[n, width] = row(n, width, args.rounds)
        print(rows[n, width], flush=True)
    result = {"what": f"precision, recall, density and coverage of two bags, k = {K}, float32 input",
              "device": f"cpu, {torch.get_num_threads()} threads", "torch": torch.__version__.split("+")[0],
              "rows": [rows[key] for key in sorted(rows)]}
    atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())
    print(f"recorded in {args.out.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
