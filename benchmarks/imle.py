"""What chapter 3.1 shows and has no time to run: IMLE beside tuned non-saturating games, and its three knobs one by one.

    python benchmarks/imle.py                  # all parts, about five minutes on one core
    python benchmarks/imle.py grid knobs:pool  # some of them, or some rows; the others keep what they recorded

Eight seeds, none left out; the running average of the last generator, 2,500 samples or 26,000 of digits. Seconds are of all
eight seeds on one core.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rows import asked, possible

from modelab.core.files import atomic_write
from modelab.core.statistics import interval
from modelab.course.claims import recorded
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import grid, rare_modes, ring
from modelab.evaluation.neighbours import nearest
from modelab.methods.imle import IMLE
from modelab.methods.minimax import Minimax
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

SETS = {"ring": lambda: ring(8, 2, .02), "grid": grid, "rare": rare_modes, "digits": stacked_digits}
STEPS = {"ring": 1500, "grid": 4000, "rare": 1500, "digits": 1500}
POINTS = {"optimiser": Optimiser(3e-3), "reals": 512, "refresh": 4, "pool": 2}
PICTURES = {"optimiser": Optimiser(1e-3), "reals": 1024, "refresh": 32}
BASELINES = [Optimiser(1e-3, (0., .9)), Optimiser(3e-3, (0., .9)), Optimiser(1e-3, (.5, .99))]
KNOBS = {"pool": (1, 2, 10), "refresh": (1, 4, 64), "jitter": (0., .1, .3)}


def measured(name: str, game: Any, steps: int | None = None, batch: int = 128) -> dict:
    """Train eight seeds and count."""
    run, start = Run(game, SETS[name](), batch=batch, average=.99, device="cpu"), time.process_time()
    run.step(steps or STEPS[name])
    seconds, counts = time.process_time() - start, run.coverage()
    row: dict = {"steps": run.steps, "seconds": round(seconds), "of": run.modes.n_modes}
    for field in ("captured", "high_quality", "kl", "tv"):
        values = [getattr(c, field) for c in counts]
        row[field], row[f"{field} by seed"] = str(interval(values, **possible("imle", field, row["of"]))), [round(v, 4) for v in values]
    if name == "rare":
        row["rare seen by seed"] = [int((c.counts[1:] > 0).sum()) for c in counts]
    with torch.no_grad():
        real = torch.stack([run.modes.sample(2000, generator=g) for g in run.generators("look", 0)])
    away, _ = nearest(real, run.sample(10_000), runs=1)
    row["from a real point to the nearest of 10,000 samples"] = float(f"{away.mean():.3g}")
    return row


def jobs(part: str) -> dict[str, tuple]:
    """The rows of a part by name, each as the arguments of `measured`."""
    if part == "knobs":
        return {f"{knob} {v:g}": ("grid", IMLE(**POINTS | {knob: v}), 500) for knob, vs in KNOBS.items() for v in vs}
    rows = {"IMLE": (part, IMLE(**PICTURES if part == "digits" else POINTS), None, 64 if part == "digits" else 128)}
    tuned = BASELINES if part in ("ring", "grid") else BASELINES[:1]  # benchmarks/minimax.py tries more on the other two
    return rows | {f"non-saturating, lr {o.lr:g}, β₁ {o.betas[0]:g}": (part, Minimax(optimiser=o), None, rows["IMLE"][3])
                   for o in tuned}


def main() -> None:
    """Measure the parts that are asked for, print, record."""
    for part, only in asked(sys.argv[1:], [*SETS, "knobs"]):
        for name, job in jobs(part).items():
            if not name.startswith(only):
                continue
            row, kept = measured(*job), recorded("imle")
            print(part, name, row, flush=True)
            kept |= {"what": "8 seeds each", "torch": torch.__version__.split("+")[0], part: kept.get(part, {}) | {name: row}}
            atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
