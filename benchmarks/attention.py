"""Chapter 5.7's game with attention and without, under losses that keep more colours than the hinge loss.

    python benchmarks/attention.py          # goes on where it was stopped; about six minutes of one idle core

The generator has local noise only (`LocalGenerator`), the critic is convolutional, the pictures are `twins()`. Each arm, with
attention in both players and in neither, tries six settings: three losses, two weights each. The one with the largest mean
overlap (1 - total variation to the law of the data, where pictures with no clear pair are an outcome of their own) is chosen on
seeds 100 to 103 after 400 steps, and played on seeds 0 to 7 for 800 steps.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rows import asked, known, packed, record
from torch import nn
from tqdm import tqdm

from modelab.data.twins import twins
from modelab.evaluation.coverage import coverages
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.relativistic import Relativistic
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.attention import LocalGenerator
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
ARMS = {"neither": "", "both": "GD"}  # who has attention


class Local:
    """Beside a game: its generator has local noise only."""

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: list) -> dict[str, nn.Module]:
        """The game's players, with another G."""
        made = super().players(event, latent, runs, generator)
        return made | {"G": LocalGenerator(runs, generator, "G" in self.networks.attention)}


class LocalR1(Local, ZeroCentred):
    """The original game with R1."""


class LocalRelativistic(Local, Relativistic):
    """R3GAN's loss."""


class LocalIMLEGAN(Local, IMLEGAN):
    """The inclusive GAN, with R1 at 0.1."""


def settings() -> dict[str, tuple[type, dict[str, float]]]:
    """Each loss at two weights."""
    found: dict[str, tuple[type, dict[str, Any]]] = {}
    for weight in (.1, .5):
        found[f"R1, weight {weight:g}"] = LocalR1, dict(weight=weight)
        found[f"relativistic, weight {weight:g}"] = LocalRelativistic, dict(weight=weight, fake_weight=weight)
    for weight in (1., 10.):
        found[f"IMLE-GAN, weight {weight:g}"] = LocalIMLEGAN, dict(weight=weight, r1_weight=.1, reals=64)
    return found


def played(setting: str, arm: str, steps: int, runs: int, seed: int) -> Run:
    """A game after all its steps; the rates fall over the second half."""
    game, own = settings()[setting]
    networks = Networks("conv", width=8, latent=64, attention=ARMS[arm])
    rates = Optimiser(4e-3, (0., .9), schedule=Schedule("linear", steps, stairs=10))
    return Run(game(networks=networks, optimiser=rates, **own), twins(), runs=runs, seed=seed, batch=16, average=.98,
               device="cpu").step(steps)


def measured(run: Run) -> dict:
    """Overlap with the law of the data, agreement and captured colours, seed by seed."""
    found = coverages(run.sample(2000), run.modes, "fair")
    return {"overlap": [round(1 - c.tv, 4) for c in found], "agreement": [round(c.high_quality, 4) for c in found],
            "captured": [int(c.captured) for c in found]}


def tuning(steps: int = 400) -> None:
    """Every setting of both arms, on four seeds that are used for nothing else."""
    for arm in ARMS:
        for setting in tqdm(settings(), desc=arm):
            name = f"{arm}: {setting}"
            if name not in known(FILE, "tuning"):
                began = time.process_time()
                row = measured(played(setting, arm, steps, 4, 100))
                record(FILE, "tuning", {"setting": name, "arm": arm, "chosen from": setting, "steps": steps} | row
                       | {"seconds": round(time.process_time() - began, 1)})


def chosen(arm: str) -> str:
    """The setting with the largest mean overlap among an arm's."""
    rows = [row for row in known(FILE, "tuning").values() if row["arm"] == arm]
    return max(rows, key=lambda row: statistics.mean(row["overlap"]))["chosen from"]


def games(steps: int = 800) -> None:
    """Each arm with its chosen setting, on eight other seeds."""
    for arm in ARMS:
        if arm not in known(FILE, "games"):
            began, setting = time.process_time(), chosen(arm)
            run = played(setting, arm, steps, 8, 0)
            record(FILE, "games", {"setting": arm, "chosen": setting, "steps": steps} | measured(run)
                   | {"seconds": round(time.process_time() - began, 1), "samples": packed(run.sample(4)[:4])})


PARTS = {"tuning": tuning, "games": games}


def main() -> None:
    """Measure the parts that are asked for."""
    for part, _ in asked(sys.argv[1:], PARTS):
        PARTS[part]()


if __name__ == "__main__":
    main()
