"""How often `compare` sees a difference where there is none, how often it sees one that is there, and what its intervals hold.

    MODELAB_DATA=… python benchmarks/compare.py        # three quarters of an hour; goes on where it was stopped
    python benchmarks/compare.py --draws .25           # a quarter of the draws

Two generators, seeds 0, 1, 2 …: the reference, A and B are drawn anew each time. "The true difference" is the mean over all draws.
399 shuffles a comparison. Without MNIST in the folder that MODELAB_DATA names, its settings are left out.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rows import record
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.statistics import wilson_interval
from modelab.data.mixtures import grid, mixture
from modelab.data.mnist import mnist
from modelab.evaluation.compare import COMPARED, compare

Draw = Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def sound(n: int, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    return tuple(grid().sample(n, generator=g) for _ in range(3))


def mode_lost(n: int, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    return *sound(n, g)[:2], mixture(grid().centers[1:], .05).sample(n, generator=g)


def narrow(n: int, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    return *sound(n, g)[:2], grid(std=.045).sample(n, generator=g)


def with_junk(n: int, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    real, a, b = sound(n, g)
    b[:n // 50] = 12 * torch.rand(n // 50, 2, generator=g) - 6
    return real, a, b


mnist = functools.cache(mnist)


def digits(n: int, g: torch.Generator, lost: int | None = None) -> tuple[torch.Tensor, ...]:
    """MNIST training digits without repetition; B may lack a class."""
    file = mnist()
    rows = torch.randperm(len(file._images), generator=g)
    b = rows[2 * n:]
    if lost is not None:
        b = b[file._labels[b] != lost]
    return tuple(file._images[part].float() / 255 for part in (rows[:n], rows[n:2 * n], b[:n]))


def without_fours(n: int, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    return digits(n, g, 4)


SETTINGS: list[tuple[str, int, int, Draw]] = [  # name, samples, draws, how
    ("25 modes, one law", 500, 200, sound), ("MNIST, one law", 500, 200, digits),
    ("25 modes, one law", 2000, 200, sound), ("MNIST, one law", 2000, 100, digits),
    ("25 modes, one lost", 500, 60, mode_lost), ("25 modes, one lost", 2000, 60, mode_lost),
    ("25 modes, spread 10 % too small", 2000, 60, narrow), ("25 modes, 2 % junk", 2000, 60, with_junk),
    ("MNIST, no fours", 500, 60, without_fours), ("MNIST, no fours", 2000, 40, without_fours),
]


def one(draw: Draw, n: int, seed: int) -> list[list[float]]:
    """Per measure: difference, limits, and p adjusted."""
    g = torch.Generator().manual_seed(seed)
    real, a, b = draw(n, g)
    found = compare(a, b, real, rounds=399, generator=g)
    return [[round(v, 6) for v in (r.difference, r.low, r.high, r.adjusted)] for r in found.rows]


def summary(name: str, n: int, draws: list) -> dict:
    """Rates over the draws of one setting."""
    x = np.array(draws)  # (draws, measures, 4)
    alarm = x[:, :, 3] <= .05
    true = np.zeros(len(COMPARED)) if "one law" in name else x[:, :, 0].mean(0)
    holds = ((x[:, :, 1] <= true) & (true <= x[:, :, 2])).mean(0)
    share = float(alarm.any(1).mean())
    by_name = lambda values: {m: round(float(v), 4) for m, v in zip(COMPARED, values)}
    return {"setting": f"{name}, n = {n:,}", "draws": len(draws), "any": round(share, 4),
            "95 %": [round(v, 4) for v in wilson_interval(share, len(draws))], "power": by_name(alarm.mean(0)),
            "covers": by_name(holds), "difference": by_name(x[:, :, 0].mean(0)),
            "half width": by_name((x[:, :, 2] - x[:, :, 1]).mean(0) / 2)}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=float, default=1., help="share of the draws (default 1)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "modelab-compare.json",
                        help="results seed by seed, so that a stopped run goes on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cache = json.loads(args.cache.read_text()) if args.cache.is_file() else {}
    for name, n, draws, draw in SETTINGS:
        try:
            draw(40, torch.Generator())
        except FileNotFoundError:
            continue
        done = cache.setdefault(f"{name}, n = {n:,}", [])
        for seed in tqdm(range(len(done), math.ceil(args.draws * draws)), desc=f"{name} {n}"):
            done.append(one(draw, n, seed))
            if seed % 10 == 9:
                atomic_write(args.cache, json.dumps(cache).encode())
        atomic_write(args.cache, json.dumps(cache).encode())
        record(args.out, "rates", summary(name, n, done))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
