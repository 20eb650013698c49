"""Relativistic pairing beside the original loss, both with R1 and R2: four pairs of weights each, then eight other seeds.

    python benchmarks/relativistic.py        # recorded in benchmarks/relativistic.json (a few minutes of one core)

Rare modes of 0.6 %, grid and ring. The pair of weights is chosen on seeds 100 to 103 after 400 steps: the most modes
captured, then the least total variation. The chosen one is trained on seeds 0 to 7 for 1,000 steps. The learning rate falls
over the second half, samples come from averaged weights. The control was added after the result was seen: the original loss on
the rare modes with the weights that were chosen for the paired one.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from modelab.core.files import atomic_write
from modelab.data.mixtures import grid, rare_modes, ring
from modelab.evaluation.coverage import coverages
from modelab.methods.relativistic import Relativistic
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

GAMES = {"standard": ZeroCentred, "relativistic": Relativistic}
WEIGHTS = [(gamma, fake) for gamma in (.1, 1.) for fake in (0., gamma)]
TUNING, WHOLE = dict(steps=400, runs=4, seed=100), dict(steps=1000, runs=8, seed=0)


def trained(kind: str, modes, weights: tuple[float, float], steps: int, runs: int, seed: int) -> Run:
    """A run of one loss with its weights of R1 and R2, after all its steps."""
    rates = Optimiser(3e-3, schedule=Schedule("linear", steps, stairs=20))
    game = GAMES[kind](weight=weights[0], fake_weight=weights[1], networks=Networks(width=64), optimiser=rates)
    return Run(game, modes, runs=runs, seed=seed, batch=128, average=.98, device="cpu").step(steps)


def measured(kind: str, modes, weights: tuple[float, float], **how: int) -> dict:
    """Coverage of each seed, beside the floor, the ceiling and the null."""
    run = trained(kind, modes, weights, **how)
    found = coverages(run.sample(2500), modes)
    row = {"setting": f"{kind}, R1 {weights[0]:g}, R2 {weights[1]:g}"}
    for measure in ("captured", "high_quality", "tv"):
        row[measure] = [round(getattr(c, measure), 4) for c in found]
    row["companions"] = {k: round(getattr(found[0], k).captured, 2) for k in ("floor", "ceiling", "null")}
    return row


def main() -> None:
    """Tune both losses on each set, measure the chosen ones, and record all rows."""
    sets = {"rare_modes": rare_modes(share=.95), "grid": grid(), "ring": ring(radius=2, std=.02)}
    result: dict = {"what": "tuning: seeds 100 to 103, 400 steps; result: seeds 0 to 7, 1,000 steps; width 64, batch 128",
                    "torch": torch.__version__.split("+")[0], "tuning": {}, "result": {}}
    for name, modes in sets.items():
        for kind in GAMES:
            rows = [measured(kind, modes, weights, **TUNING) for weights in WEIGHTS]
            best = max(range(len(rows)), key=lambda i: (sum(rows[i]["captured"]), -sum(rows[i]["tv"])))
            result["tuning"].setdefault(name, []).extend(rows)
            result["result"].setdefault(name, []).append(measured(kind, modes, WEIGHTS[best], **WHOLE))
            atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())
            print(name, result["result"][name][-1], flush=True)
    result["control"] = {"rare_modes": [measured("standard", sets["rare_modes"], (1., 1.), **WHOLE)]}
    atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
