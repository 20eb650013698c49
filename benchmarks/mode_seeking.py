"""Four remedies for mode collapse beside the plain game and R1, on modes of which one holds most of the data.

    python benchmarks/mode_seeking.py        # recorded in benchmarks/mode_seeking.json (minutes of one core)

The mode in the centre has 60 % of the data, eight rare modes have 5 % each, all with a standard deviation of 0.1. D is twice as quick
as G, the rates fall over the second half, and samples come from averaged weights. This set, these rates and this length were found by a
trial of R1 (weight 0.1) and of the plain game on seeds 100 to 103: R1 holds rare modes there, the plain game few or none. So a remedy
that works can be seen. (An older record had 80 % and 60 %, a standard deviation of 0.05 and 700 steps; no method held more than two
modes, and a trial of R1 held the centre only, so it could not tell the remedies apart.) Each method gets four settings: two pairs of
rates, and two values of what is its own (the plain game: of the batch, because PacGAN sees more examples in a step; R1, in
benchmarks/relativistic.py: four pairs of weights). A mode is held if good samples of it are at least a quarter of its share: captured
modes would count a generator of noise. The setting is chosen on seeds 100 to 103 after 1,000 steps: the most modes held, then the
largest part of the rare modes' share that good samples cover. The chosen one is trained on seeds 0 to 7 for 1,500 steps. The controls
were added when PacGAN had been tuned: the plain game at both rates, with as many examples in a step as the chosen PacGAN. Goes on where
it was stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rows import known, record

from modelab.data.mixtures import rare_modes
from modelab.evaluation.coverage import Coverage, coverages
from modelab.methods.minimax import Minimax
from modelab.methods.mode_seeking import DeviationMLP, ModeSeeking, PacGAN, Unrolled
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
WIDTH, BATCH, MODES = 64, 64, rare_modes(share=.6, std=.1)
SLOW, QUICK = 2e-3, 4e-3  # rates of G; D has twice as much
TUNING, RESULT = dict(steps=1000, runs=4, seed=100), dict(steps=1500, runs=8, seed=0)


def deviating(group: int, **kw: Any) -> Game:
    """The plain game with minibatch deviation in D."""
    return Minimax(D=lambda: DeviationMLP(2, WIDTH, group=group), **kw)


METHODS: dict[str, tuple[Callable[..., Game], str, tuple]] = {
    "plain": (Minimax, "batch", (64, 128)), "PacGAN": (PacGAN, "packing", (2, 4)), "mode seeking": (ModeSeeking, "weight", (1., .1)),
    "minibatch deviation": (deviating, "group", (4, 16)), "unrolled": (Unrolled, "unroll", (1, 5))}


def held(found: Coverage, weights: torch.Tensor) -> int:
    """Modes of which good samples are at least a quarter of the share."""
    return int((found.counts >= found.n * weights.to(found.counts.device) / 4).sum())


def covered(found: Coverage, weights: torch.Tensor) -> float:
    """The part of the rare modes' share that good samples cover; 0 for a generator of the centre, mode 0, alone."""
    counts, weights = found.counts[1:].double() / found.n, weights[1:].to(found.counts.device)
    return round((torch.minimum(counts, weights).sum() / weights.sum()).item(), 4)


def rates(rate: float, steps: int) -> Optimiser:
    """Adam of both players; the rates fall over the second half of so many steps."""
    return Optimiser({"G": rate, "D": 2 * rate}, (0., .99), Schedule("linear", steps, stairs=20))


def told(name: str, rate: float, own: Any) -> str:
    """A setting of a method in words."""
    return f"rate {rate:g}, {METHODS[name][1]} {own:g}"


def measured(name: str, rate: float, own: Any, steps: int, runs: int, seed: int) -> dict:
    """Coverage of each seed, beside the floor and the null."""
    make, argument, _ = METHODS[name]
    settings = {argument: own} if argument != "batch" else {}
    game = make(networks=Networks(width=WIDTH), optimiser=rates(rate, steps), **settings)
    batch = own if argument == "batch" else BATCH
    run = Run(game, MODES, runs=runs, seed=seed, batch=batch, average=.99, device="cpu").step(steps)
    found, weights = coverages(run.sample(2500), MODES), MODES.weights
    row = {"setting": told(name, rate, own), "held": [held(c, weights) for c in found],
           "rare": [covered(c, weights) for c in found]}
    for measure in ("captured", "high_quality", "tv"):
        row[measure] = [round(getattr(c, measure), 4) for c in found]
    known = {k: getattr(found[0], k) for k in ("floor", "null")}
    return row | {k: {"held": held(c, weights), "rare": covered(c, weights), "captured": round(c.captured, 2), "tv": round(c.tv, 4)}
                  for k, c in known.items()}


def row_of(part: str, name: str, rate: float, own: Any, how: dict[str, int]) -> dict:
    """A row of the record; what is not there yet is measured."""
    row = known(FILE, part).get(told(name, rate, own))
    if row is None:
        row = measured(name, rate, own, **how)
        record(FILE, part, row)
        print(part, row, flush=True)
    return row


def main() -> None:
    """Tune every method, measure the chosen setting, and record all rows."""
    torch.set_num_threads(1)
    chosen = {}
    for name, (_, _, values) in METHODS.items():
        settings = list(itertools.product((SLOW, QUICK), values))
        rows = [row_of(f"{name} tuning", name, *setting, TUNING) for setting in settings]
        chosen[name] = settings[max(range(4), key=lambda i: (sum(rows[i]["held"]), sum(rows[i]["rare"])))]
        row_of(name, name, *chosen[name], RESULT)
    for rate in (SLOW, QUICK):
        row_of("control", "plain", rate, BATCH * chosen["PacGAN"][1], RESULT)


if __name__ == "__main__":
    main()
