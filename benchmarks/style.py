"""What each part of the style generator does to modes: parts are left out one at a time; recorded in benchmarks/style.json.

    python benchmarks/style.py                  # about half an hour of one idle core; settings that are recorded already are skipped
    python benchmarks/style.py --only noise     # the settings with this word in their name, again

Every setting is tuned alike: two learning rates, seeds 100 to 103. Then it is measured on seeds 0 to 7.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import torch
from rows import by_seed, chosen, known, record

from modelab.evaluation.coverage import Coverage, coverages
from modelab.evaluation.precision_recall import precision_recall
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.convolutional import conv_discriminator, conv_generator
from modelab.networks.layers import Moment
from modelab.networks.players import Networks
from modelab.networks.style import style_discriminator, style_generator
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
STEPS, TUNING, SAMPLES, RATES, PSIS = 1000, 500, 10_000, (1e-3, 3e-3), (1., .7, .5, .3)
STYLE, PLAIN = functools.partial(style_generator, width=8, layers=2), functools.partial(conv_generator, width=8)
D, PLAIN_D = functools.partial(style_discriminator, width=8), functools.partial(conv_discriminator, width=8)
SETTINGS = {
    "style": (STYLE, D),
    "convolutional G, same D": (PLAIN, D),
    "convolutional G and D": (PLAIN, PLAIN_D),
    "no mapping network": (functools.partial(STYLE, layers=0), D),
    "mapping network of 8 layers": (functools.partial(STYLE, layers=8), D),
    "no mixing": (functools.partial(STYLE, mixing=0.), D),
    "no noise": (functools.partial(STYLE, noise=False), D),
    "no demodulation": (functools.partial(STYLE, demodulate=False), D),
    "deviation map in D": (STYLE, functools.partial(D, deviation=4)),
}


@dataclass(kw_only=True)
class Ablation(ZeroCentred):
    """The game of non-saturating losses and R1 with given players."""
    make_G: Any = None
    make_D: Any = None

    def players(self, event, latent, runs, generator):
        kw = dict(runs=runs, generator=generator)
        return {"G": self.make_G(latent, event, **kw), "D": self.make_D(event, **kw)}


def play(name: str, lr: float, steps: int, seed: int, runs: int) -> Run:
    """Some seeds of one setting on the thousand modes."""
    make_G, make_D = SETTINGS[name]
    game = Ablation(make_G=make_G, make_D=make_D, weight=.1, networks=Networks(latent=16), optimiser=Optimiser(lr, (0., .99)))
    return Run(game, "stacked_digits", runs=runs, seed=seed, batch=32, average=.99, device="cpu").step(steps)


def measures(scores: list[Coverage]) -> dict:
    """Modes of the thousand, share of good samples and total variation, seed by seed."""
    return {key: by_seed([getattr(c, key) for c in scores]) for key in ("captured", "high_quality", "tv")}


def truncated(run: Run, psi: float) -> dict:
    """What is left of a run's samples at a truncation: modes, quality, precision and recall on pixels."""
    real = run.modes.sample(2000, torch.Generator().manual_seed(0)).flatten(1)
    z, noise = run.noise(SAMPLES, run.generators("truncation")), run.generators("truncation noise")
    with torch.no_grad():
        x = torch.cat([run.players.averaged(part, Moment(run.steps, noise), psi) for part in z.split(2000, 1)], 1)
    near = [precision_recall(real, v[:2000].flatten(1)) for v in x]
    return {"psi": psi, **measures(coverages(x, run.modes)),
            **{key: by_seed([float(getattr(n, key)) for n in near]) for key in ("precision", "recall")}}


def measure(name: str) -> dict:
    """One setting, tuned on seeds of its own, then measured."""
    tuning = {lr: measures(play(name, lr, TUNING, 100, 4).coverage(n=SAMPLES)) for lr in RATES}
    lr = min(RATES, key=lambda rate: sum(tuning[rate]["tv"]["by seed"]))
    start = process_time()
    run = play(name, lr, STEPS, 0, 8)
    seconds = process_time() - start
    row = {"setting": name, "of": run.modes.n_modes, "lr": lr, "steps": STEPS, **measures(run.coverage(n=SAMPLES)),
           "ms per step and seed": round(seconds / STEPS / 8 * 1000, 2), "tuning": {f"{rate:g}": m for rate, m in tuning.items()}}
    return row | ({"truncation": [truncated(run, psi) for psi in PSIS]} if name == "style" else {})


def main() -> None:
    """Measure the settings that are not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="settings with this text in their name, even if they are recorded")
    only = parser.parse_args().only
    done = {name for name, row in known(FILE, "ablation").items() if row["steps"] == STEPS}
    for name, _ in chosen(SETTINGS, only):
        if only or name not in done:
            row = measure(name)
            record(FILE, "ablation", row)
            print(name, row["lr"], {key: row[key]["interval"] for key in ("captured", "high_quality", "tv")}, flush=True)


if __name__ == "__main__":
    main()
