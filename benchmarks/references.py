"""Gaussian mixture, kernel density, VAE and flow matching on sets with known modes, beside the GAN with R1.

    python benchmarks/references.py               # recorded in benchmarks/references.json (some minutes of one core)
    python benchmarks/references.py points:grid   # one set; the parts are points, family and digits

Points: each network makes 5,000 steps with batch 128 and width 64 on seeds 0 to 7. Its rate falls over the second half, and
samples come from averaged weights. Four settings of each network are tried for 2,500 steps on seeds 100 to 103; the one with the
smallest mean total variation is trained. Mixture and kernel density are fitted to 5,000 examples of each seed and choose their
own settings from these. The family is random_modes(0) to (7), for the two density models. Digits: all methods learn the training
scans. Four settings of each network are tried on seeds 100 to 103 and chosen in the same way; trials and reported runs make
2,000 steps. A row that is recorded is not measured again. The part `unequal tuning` was recorded before the rivals were tuned alike:
two settings of VAE and flow for 1,000 steps, and for the GAN the best R1 weight of chapter 1.4, chosen on the reported seeds.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import asked, known, record
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_score, StratifiedKFold
from torch import Tensor

from modelab.core.registry import with_settings
from modelab.core.seeding import derive_seed
from modelab.data.digits import digits
from modelab.data.mixtures import grid, rare_modes
from modelab.data.random_mixtures import random_modes
from modelab.evaluation.copies import copies
from modelab.evaluation.copying import authenticity
from modelab.evaluation.coverage import coverages
from modelab.evaluation.protocols import PROTOCOLS
from modelab.methods.density_models import fit_gaussian_mixture, fit_kernel_density
from modelab.methods.flow_matching import FlowMatching
from modelab.methods.vae import VAE
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
POINTS = {"grid": grid(), "rare_modes": rare_modes()}
OWN = dataclasses.replace(PROTOCOLS["pacgan"], reference="own")  # KL to the set's own law
MEASURES = "captured", "high_quality", "kl", "tv", "spread"
TRAIN, STEPS, TUNING_STEPS, DIGIT_STEPS, BATCH = 5000, 5000, 2500, 2000, 128
FITS = {"Gaussian mixture": fit_gaussian_mixture, "kernel density": fit_kernel_density}


def games() -> dict[str, dict[str, Game]]:
    """For each network its four settings on points, by name."""
    def flow(lr: float, depth: int) -> Game:
        return FlowMatching(networks=Networks(width=64, depth=depth), optimiser=Optimiser(lr))
    nets = Networks(width=64)
    return {"flow matching": {f"lr {lr:g}, depth {d}": flow(lr, d) for lr in (3e-3, 1e-2) for d in (3, 4)},
            "VAE": {f"std {v:g}, lr {lr:g}": VAE(std=v, networks=nets, optimiser=Optimiser(lr))
                    for v, lr in ((.05, 3e-3), (.1, 3e-3), (.2, 3e-3), (.2, 1e-2))},
            "GAN with R1": {f"weight {v:g}, lr {lr:g}": ZeroCentred(weight=v, networks=nets, optimiser=Optimiser(lr))
                            for v, lr in ((.01, 3e-3), (.1, 3e-3), (1., 3e-3), (.1, 1e-2))}}


def games_of_digits() -> dict[str, dict[str, Game]]:
    """For each network its four settings on digits, by name."""
    return {"flow matching": {f"lr {lr:g}": FlowMatching(optimiser=Optimiser(lr)) for lr in (1e-3, 3e-3, 1e-2, 3e-2)},
            "VAE": {f"std {v:g}, lr {lr:g}": VAE(std=v, optimiser=Optimiser(lr))
                    for v, lr in ((.2, 3e-3), (.3, 3e-3), (.5, 3e-3), (.3, 1e-2))},
            "GAN with R1": {f"weight {v:g}, lr {lr:g}": ZeroCentred(weight=v, optimiser=Optimiser(lr))
                            for v in (.1, 1.) for lr in (1e-3, 3e-3)}}


def trained(game: Game, modes: Any, steps: int, runs: int, seed: int) -> tuple[Run, float]:
    """A run after all its steps, and the processor seconds of one seed."""
    game = with_settings(game, schedule=Schedule("linear", steps, stairs=20))
    start = time.process_time()
    run = Run(game, modes, runs=runs, seed=seed, batch=BATCH, average=.995, device="cpu").step(steps)
    return run, (time.process_time() - start) / runs


def number(value: float) -> float | None:
    """A number for the record; None for a spread on pictures, which has no value."""
    return round(value, 4) if math.isfinite(value) else None


def measured(x: Tensor, modes: Any) -> dict:
    """Coverage of samples (runs, n, *event), seed by seed, beside the floor and the null."""
    found = coverages(x, modes, OWN)
    row: dict = {m: [number(getattr(c, m)) for c in found] for m in MEASURES}
    return row | {name: {m: number(getattr(getattr(found[0], name), m)) for m in MEASURES} for name in ("floor", "null")}


def fitted(fit: Callable, data: list[Tensor], n: int, seeds: list[int]) -> tuple[Tensor, list[float], float]:
    """Samples (runs, n, *event) of a model fitted to each of the data, what each chose, and the seconds of one."""
    start = time.process_time()
    models = [fit(x, seed=seed) for x, seed in zip(data, seeds)]
    seconds = (time.process_time() - start) / len(models)
    x = [m.sample(n, torch.Generator().manual_seed(derive_seed(seed, "samples"))) for m, seed in zip(models, seeds)]
    return torch.stack(x), [float(f"{m.chosen:.4g}") for m in models], seconds


def once(part: str, setting: str, measure: Callable[[], dict]) -> dict:
    """The row of a setting: the recorded one, or measured now."""
    if setting not in known(FILE, part):
        row = {"setting": setting} | measure()
        record(FILE, part, row)
        print(part, row, flush=True)
    return known(FILE, part)[setting]


def tune(part: str, name: str, choices: dict[str, Game], modes: Any, steps: int) -> str:
    """The setting with the least mean total variation on seeds 100 to 103."""
    def look(game: Game) -> dict:
        found = measured(trained(game, modes, steps, 4, 100)[0].sample(2500), modes)
        return {"steps": steps} | {m: found[m] for m in ("tv", "high_quality", "captured")}
    rows = {key: once(f"{part} tuning", f"{name}, {key}", lambda game=game: look(game)) for key, game in choices.items()}
    return min(rows, key=lambda key: statistics.fmean(rows[key]["tv"]))


def points(only: str) -> None:
    """The two sets of points."""
    for name, modes in POINTS.items():
        if only and only != name:
            continue
        data = [modes.sample(TRAIN, torch.Generator().manual_seed(derive_seed(s, "training examples"))) for s in range(8)]

        def fit(method: str) -> dict:
            x, chosen, seconds = fitted(FITS[method], data, 2500, list(range(8)))
            return measured(x, modes) | {"chosen": chosen, "seconds": round(seconds, 2)}
        for method in FITS:
            once("points", f"{name}: {method}", lambda: fit(method))

        def play(game: Game, key: str) -> dict:
            run, seconds = trained(game, modes, STEPS, 8, 0)
            return measured(run.sample(2500), modes) | {"chosen": key, "seconds": round(seconds, 2)}
        for method, choices in games().items():
            key = tune("points", f"{name}: {method}", choices, modes, TUNING_STEPS)
            once("points", f"{name}: {method}", lambda: play(choices[key], key))


def family(only: str) -> None:
    """Both density models on eight random sets, one seed each."""
    sets = [random_modes(seed) for seed in range(8)]
    for method, fit in FITS.items():
        def look(fit: Callable = fit) -> dict:
            data = [modes.sample(TRAIN, torch.Generator().manual_seed(derive_seed(0, "training examples"))) for modes in sets]
            made = [fitted(fit, [x], 2500, [0]) for x in data]
            rows = [measured(x, modes) for (x, _, _), modes in zip(made, sets)]
            return {m: [row[m][0] for row in rows] for m in MEASURES} | {
                side: {m: [row[side][m] for row in rows] for m in MEASURES} for side in ("floor", "null")} | {
                "sets": [f"{m.kind}, {m.n_modes} modes, {m.event[0]} d" for m in sets], "modes": [m.n_modes for m in sets]}
        once("family", method, look)


def scans() -> tuple[Tensor, Tensor]:
    """The distinct training scans and held-out scans of `digits`."""
    g = torch.Generator().manual_seed(0)
    return tuple(torch.unique(modes.sample(40_000, g), dim=0) for modes in (digits(), digits().held_out))


def recognised(x: Tensor, real: Tensor) -> float:
    """How often trees tell samples from as many real examples that they did not learn from; 0.5 is chance."""
    both = torch.cat([real, x[:len(real)]]).flatten(1).numpy()
    parts = StratifiedKFold(5, shuffle=True, random_state=0)  # the scans are sorted
    says = cross_val_score(ExtraTreesClassifier(60, random_state=0), both, np.repeat([0, 1], len(real)), cv=parts)
    return round(float(says.mean()), 4)


def pictures(only: str) -> None:
    """Digits: coverage by the judge, whether trees recognise samples, and how near they are to training scans."""
    modes, (train, unseen) = digits(), scans()

    def judged(x: Tensor) -> dict:
        reports = [copies(v[:600], train, unseen) for v in x]
        return measured(x, modes) | {
            "recognised": [recognised(v, unseen) for v in x], "copy alarms": sum(bool(r.alarms) for r in reports),
            "authenticity": [round(authenticity(v[:600], train), 4) for v in x],
            "pictures": x[0, :16].mul(100).round().int().tolist()}

    def fit(method: str) -> dict:
        x, chosen, seconds = fitted(FITS[method], [train] * 8, 2500, list(range(8)))
        return judged(x) | {"chosen": chosen, "seconds": round(seconds, 2)}

    def play(game: Game, key: str) -> dict:
        run, seconds = trained(game, modes, DIGIT_STEPS, 8, 0)
        return judged(run.sample(2500)) | {"chosen": key, "seconds": round(seconds, 2)}
    for method in FITS:
        once("digits", method, lambda: fit(method))
    chance = [recognised(train[torch.randperm(len(train), generator=torch.Generator().manual_seed(s))], unseen) for s in range(8)]
    once("digits", "training scans", lambda: {"recognised": chance, "authenticity": [round(authenticity(unseen, train), 4)]})
    for method, choices in games_of_digits().items():
        key = tune("digits", method, choices, modes, DIGIT_STEPS)
        once("digits", method, lambda: play(choices[key], key))


def main() -> None:
    """Measure the parts that are asked for, row by row."""
    torch.set_num_threads(1)
    parts = {"points": points, "digits": pictures, "family": family}
    for part, only in asked(sys.argv[1:], parts):
        parts[part](only)


if __name__ == "__main__":
    main()
