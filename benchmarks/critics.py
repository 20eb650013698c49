"""LGAN (chapter 5.1) and WWGAN (5.2) on MNIST at 28×28 with convolutional players, beside R1 and WGAN-GP at equal steps.

    MODELAB_DATA=FOLDER python benchmarks/critics.py             # five minutes of one idle core; goes on where it was stopped
    MODELAB_DATA=FOLDER python benchmarks/critics.py games:LGAN   # the games with this text in their name

All games have the same players (4 channels at the picture's own size, 16 latents), batches of 32, 200 steps with one turn of D for one
of G, rates that fall over the second half, averaged weights. Each has two rates, 0.002 and 0.005, and trains 100 steps with each on
seed 100; the one with the lower Fréchet distance is measured on seeds 0 to 7. Other settings are the chapter's defaults; R1 has the
weight 3 that `few_labels.py` chose on these digits, WGAN-GP the usual 10. The papers train a hundred times longer, on colour pictures.

Measured seed by seed: the Fréchet distance of 2,000 samples to 5,000 draws with replacement from 10,000 unseen digits, on pixels; recall
among the first 1,000 draws; the roughness of D's gradient at 500 draws (summed squared differences of neighbours over summed squares;
independent noise has about 3.9); and the processor time of a step. Copies are kept: 3,940, 960 and 489 of these draws are different
digits. The floor is what training digits score, the null is uniform noise.

Written before the run, by intervals of eight seeds. Chapter 5.1, claim 1: LGAN with the logistic objective has a lower Fréchet distance
than with the linear one (abstract: "consistently higher quality samples compared with WGAN"). Claim 2: the better of the two has a lower
distance than R1. Chapter 5.2, claim 3: with Γ = 1 the distance is lower than with the Euclidean penalty. Claim 4: transport alone (Γ = 0) makes
D's gradient less rough than the Euclidean penalty does. Claim 5: a step with Γ = 1 costs at most a tenth more time than one with the
Euclidean penalty ("negligible", says the abstract).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from rows import asked, by_seed, chosen, known, packed, record
from torch import Tensor

from modelab.core.registry import with_settings
from modelab.data.mnist import mnist
from modelab.evaluation.precision_recall import frechet_distance, precision_recall
from modelab.losses.penalties import gradient_penalty, input_gradient
from modelab.methods.ground_metric import GroundMetric
from modelab.methods.lipschitz import Lipschitz
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE, STEPS, RATES = Path(__file__).with_suffix(".json"), 200, (2e-3, 5e-3)


class Euclidean(GroundMetric):
    """The same game with the penalty of WGAN-GP."""

    def penalty(self, critic, real, fake, generator):
        return gradient_penalty(critic, real, fake, generator=generator)


GAMES = {"R1": ZeroCentred(weight=3.), "LGAN, logistic": Lipschitz(), "LGAN, linear": Lipschitz(objective="linear"),
         "Euclidean": Euclidean(n_critic=1, weight=10.), "Γ = 1": GroundMetric(n_critic=1), "Γ = 0": GroundMetric(n_critic=1, gamma=0.)}


def trained(game: Any, lr: float, steps: int, seed: int, runs: int) -> tuple[Run, float]:
    """A game after all its steps, and its processor milliseconds for a step and seed."""
    game = with_settings(game, optimiser=Optimiser(lr, (0., .9), Schedule("linear", steps, stairs=10)),
                         networks=Networks("conv", width=4, d_width=4, latent=16))
    run, start = Run(game, mnist(), runs=runs, seed=seed, batch=32, average=.99, device="cpu"), time.process_time()
    run.step(steps)
    return run, (time.process_time() - start) / steps / runs * 1000


def unseen(n: int = 5000) -> Tensor:
    """Digits that no player has seen, drawn with replacement; copies are kept."""
    return mnist().held_out.sample(n, torch.Generator().manual_seed(0))


def roughness(run: Run, n: int = 500) -> list[float]:
    """Of D's gradient at unseen digits, seed by seed."""
    x = unseen(n).expand(run.runs, -1, -1, -1, -1)
    slope = input_gradient(run.players.nets["D"], x)[1].detach()
    steep = slope.diff(dim=-1).square().sum((-2, -1)) + slope.diff(dim=-2).square().sum((-2, -1))
    return (steep / slope.square().sum((-2, -1))).flatten(2).mean((1, 2)).tolist()


def quality(real: Tensor, samples: list[Tensor]) -> dict:
    """Fréchet distance and recall of several sets of samples."""
    recalls = (precision_recall(real[:1000], x[:1000], k=5).recall for x in samples)
    return {"Fréchet": by_seed(frechet_distance(real, x) for x in samples), "recall": by_seed(recalls)}


def measure(name: str) -> dict:
    """One game: a rate chosen on seed 100, then eight seeds."""
    real = unseen()
    tried = {lr: frechet_distance(real, trained(GAMES[name], lr, STEPS // 2, 100, 1)[0].sample(2000)[0]) for lr in RATES}
    lr = min(tried, key=tried.get)
    run, ms = trained(GAMES[name], lr, STEPS, 0, 8)
    return {"setting": name, "steps": STEPS, "rate": lr, "tried": {f"{k:g}": round(v, 2) for k, v in tried.items()},
            **quality(real, list(run.sample(2000))), "roughness": by_seed(roughness(run)), "ms per step and seed": round(ms, 2),
            "sample": packed(run.sample(20)[0].clamp(-1, 1))}


def companions() -> None:
    """What training digits and noise score, eight times."""
    real, g = unseen(), [torch.Generator().manual_seed(seed) for seed in range(8)]
    record(FILE, "games", {"setting": "real digits", **quality(real, [mnist().sample(2000, s) for s in g])})
    noise = [torch.rand(2000, 1, 28, 28, generator=s) * 2 - 1 for s in g]
    record(FILE, "games", {"setting": "noise", **quality(real, noise)})


def main() -> None:
    """Measure the games that are not recorded yet."""
    torch.set_num_threads(1)
    for _, only in asked(sys.argv[1:], ["games"]):
        done = {name for name, row in known(FILE, "games").items() if row.get("steps", STEPS) == STEPS}
        for name, _ in chosen(GAMES, only):
            if name not in done:
                row = measure(name)
                record(FILE, "games", row)
                print(name, row["rate"], {k: v["interval"] for k, v in row.items() if isinstance(v, dict) and "interval" in v},
                      row["ms per step and seed"], flush=True)
        if "noise" not in done:
            companions()


if __name__ == "__main__":
    main()
