"""Chapter 5.7's game with attention and without, under losses that keep more colours than the hinge loss.

    python benchmarks/attention.py          # goes on where it was stopped; about 25 minutes of one core
    python benchmarks/attention.py tuning:both games:both      # one arm

The pictures are `twins()`, the critic is convolutional. G has local noise only (`LocalGenerator`), or is fully connected: the
reference, in which every pixel depends on all of z. Six arms: attention in neither player, in G, in D, in both; the dense G against
a critic without attention and with it.

Tuning: every arm tries the same seven settings on seeds 100 to 103 for 600 steps. The one with the largest mean overlap (1 - total
variation to the law of the data, where pictures with no clear pair are an outcome of their own) is played on seeds 0 to 7 for 1200
steps. The grid was drawn up after two trials of 1200 steps on seeds 100 to 103, with attention in both players and weights 1 and 2:
both kept all colours. No trial was made for another arm.

Thresholds, written before any game on seeds 0 to 7 was played:
1. Attention in both players keeps the colours if all eight seeds capture all three.
2. It is used if the lower end of the interval of the mean overlap is above 0.512, the most that a local G without it can reach.
3. It helps if the paired difference in overlap to attention in neither player has an interval above zero; so for G alone, D alone.
4. The reference keeps the colours if all eight seeds capture all three with the dense G and attention in D.

An earlier version of this file tried six settings for two arms (400 steps; weights up to 0.5; IMLE-GAN among the losses) and played
the best for 800 steps: four of eight seeds with attention captured all three colours, none without.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import asked, known, packed, record
from torch import nn
from tqdm import tqdm

from modelab.data.twins import twins
from modelab.evaluation.coverage import coverages
from modelab.methods.relativistic import Relativistic
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.attention import LocalGenerator
from modelab.networks.layers import mlp_generator
from modelab.networks.players import Networks
from modelab.training.game import AdversarialGame
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
TUNING, STEPS, SAMPLES = 600, 1200, 2000
ARMS = {"both": ("local", "GD"), "neither": ("local", ""), "dense G, attention in D": ("dense", "D"), "D": ("local", "D"),
        "G": ("local", "G"), "dense G": ("dense", "")}  # the kind of G, and who has attention


@dataclass(kw_only=True)
class Game(AdversarialGame):
    """Beside a game: its generator has local noise only, or is fully connected."""
    kind: str = "local"

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: list) -> dict[str, nn.Module]:
        """The game's players, with another G."""
        made = super().players(event, latent, runs, generator)
        G = mlp_generator(latent, event, 64, 2, runs, generator) if self.kind == "dense" else \
            LocalGenerator(runs, generator, "G" in self.networks.attention)
        return made | {"G": G}


@dataclass(kw_only=True)
class WithR1(Game, ZeroCentred):
    """The original game with R1."""


@dataclass(kw_only=True)
class WithRelativistic(Game, Relativistic):
    """R3GAN's loss."""


def settings() -> dict[str, tuple[type, float, dict[str, Any]]]:
    """The seven settings: a loss, a learning rate, and the loss's own numbers."""
    found: dict[str, tuple[type, float, dict[str, Any]]] = {}
    for weight, rate in ((.1, 4e-3), (.5, 4e-3), (1., 4e-3), (2., 4e-3), (4., 4e-3), (2., 2e-3)):
        found[f"relativistic, weight {weight:g}, rate {rate:g}"] = WithRelativistic, rate, dict(weight=weight, fake_weight=weight)
    found["R1, weight 2, rate 0.004"] = WithR1, 4e-3, dict(weight=2.)
    return found


def played(setting: str, arm: str, steps: int, runs: int, seed: int) -> Run:
    """A game after all its steps; the rates fall over the second half."""
    (game, rate, own), (kind, attention) = settings()[setting], ARMS[arm]
    networks = Networks("conv", width=8, latent=64, attention=attention)
    rates = Optimiser(rate, (0., .9), schedule=Schedule("linear", steps, stairs=10))
    return Run(game(networks=networks, optimiser=rates, kind=kind, **own), twins(), runs=runs, seed=seed, batch=16, average=.98,
               device="cpu").step(steps, progress=False)


def measured(run: Run) -> dict:
    """Overlap with the law of the data, agreement and captured colours, seed by seed."""
    found = coverages(run.sample(SAMPLES), run.modes, "fair")
    return {"overlap": [round(1 - c.tv, 4) for c in found], "agreement": [round(c.high_quality, 4) for c in found],
            "captured": [int(c.captured) for c in found]}


def tuning(only: str = "") -> None:
    """Every setting of every arm, on four seeds that are used for nothing else."""
    for arm in [arm for arm in ARMS if not only or arm == only]:
        for setting in tqdm(settings(), desc=arm):
            name = f"{arm}: {setting}"
            if name not in known(FILE, "tuning"):
                began = time.process_time()
                run = played(setting, arm, TUNING, 4, 100)
                spent = round(time.process_time() - began, 1)
                record(FILE, "tuning", {"setting": name, "arm": arm, "chosen from": setting, "steps": TUNING} | measured(run)
                       | {"seconds": spent})


def chosen(arm: str) -> str:
    """The setting with the largest mean overlap among an arm's."""
    rows = [row for row in known(FILE, "tuning").values() if row["arm"] == arm]
    if len(rows) != len(settings()):
        sys.exit(f"{arm}: the tuning is not complete")
    return max(rows, key=lambda row: statistics.mean(row["overlap"]))["chosen from"]


def games(only: str = "") -> None:
    """Each arm with its chosen setting, on eight other seeds."""
    for arm in [arm for arm in ARMS if not only or arm == only]:
        if arm not in known(FILE, "games"):
            setting, began = chosen(arm), time.process_time()
            run = played(setting, arm, STEPS, 8, 0)
            spent = round(time.process_time() - began, 1)
            record(FILE, "games", {"setting": arm, "chosen": setting, "steps": STEPS} | measured(run)
                   | {"seconds": spent, "samples": packed(run.sample(4)[:4])})


PARTS = {"tuning": tuning, "games": games}


def main() -> None:
    """Measure the parts that are asked for, or some arms of them."""
    for part, only in asked(sys.argv[1:], PARTS):
        PARTS[part](only)


if __name__ == "__main__":
    main()
