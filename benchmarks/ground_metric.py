"""Coverage under the ground metric and the Euclidean penalty, both tuned; recorded in benchmarks/ground_metric.json.

    python benchmarks/ground_metric.py
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from time import perf_counter

import torch
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.registry import with_settings
from modelab.core.statistics import interval
from modelab.evaluation.coverage import coverages
from modelab.losses.penalties import gradient_penalty
from modelab.methods.ground_metric import GroundMetric
from modelab.training.run import Run

STEPS = 400


class Euclidean(GroundMetric):
    """The same game with the penalty of WGAN-GP."""

    def penalty(self, critic, real, fake, generator):
        return gradient_penalty(critic, real, fake, generator=generator)


def play(gamma: float | None, weight: float, lr: float, d_width: int) -> dict:
    """What eight seeds cover of the 1,000 modes; Γ = None is the Euclidean penalty."""
    settings = {"weight": weight, "lr": lr, "d_width": d_width}
    game = with_settings(Euclidean() if gamma is None else GroundMetric(gamma=gamma), **settings)
    start = perf_counter()
    run = Run(game, "stacked_digits", batch=64, average=.99, device="cpu").step(STEPS)
    seconds = perf_counter() - start
    scores = coverages(run.sample(26_000), run.modes)
    row = {"ruler": "Euclidean" if gamma is None else f"Γ = {gamma:g}", **settings}
    for name in ("captured", "kl", "high_quality"):
        row[name] = [round(getattr(c, name), 5) for c in scores]
    row["ms per step and seed"] = round(seconds / STEPS / 8 * 1000, 2)
    return row | {"kl, interval": str(interval(row["kl"], low=0))}


def main() -> None:
    """Measure all settings and record them."""
    grid = list(itertools.product((None, 0., .1, 1.), (1., 10., 30.), (1e-3,), (128, 16)))
    grid += itertools.product((None, 1.), (10.,), (3e-4, 3e-3), (128,))
    rows = [play(*settings) for settings in tqdm(grid)]
    result = {"what": f"{STEPS} steps on stacked_digits, batch 64, three critic turns, running average of G, 8 seeds",
              "torch": torch.__version__.split("+")[0], "rows": rows}
    atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
