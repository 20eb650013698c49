"""Priors and paths for interpolation on MNIST, for chapter 5.5: how good are samples in the middle of two latents?

    MODELAB_DATA=FOLDER python benchmarks/priors_pictures.py   # a quarter of an hour of one idle core; goes on where it was stopped

Digits at 16×16 pixels, for cost. The R1 GAN with convolutional players (4 channels at the picture's own size), 100 latents as in the paper,
batch 32, 400 steps, rates that fall over the second half, averaged weights, seeds 0 to 7, and the weight 3 of R1 that `few_labels.py` chose on
these digits. All priors have variance one: normal, uniform, and the paper's non-parametric one with a spread of 0.054, and also of 0.03, 0.1
and 0.2. The normal and the non-parametric prior (0.054) play with a style generator as well (4 channels, two layers from z to w, and the
discriminator that belongs to it). The paper trains a DCGAN on colour pictures.

Each setting gets its own rate, by the Fréchet distance on pixels after all 400 steps, the mean of the seeds 100 and 101. The rates 0.005 and 0.01
are tried first. While the best one is the largest of those tried, the next is twice as large, up to 0.04; while it is the smallest, the next is
half, down to 0.00125. Earlier records chose after 100 steps on one seed. The first had only two rates, 0.005 and 0.01, and both priors took the
larger one. In the second, which was stopped, the normal prior took 0.02 by this trial, and after 400 steps it was worse than with 0.01 (at the
ends 7.9 in place of 5.2 on pixels). So a short trial prefers too large a rate.

Paths between two independent latents: the straight line for each prior, and for the normal prior also the arc (spherical interpolation) and
the rescaled line, with the same generators. Measured seed by seed on 1,000 pairs, at the places 0 (an end), 0.25 and 0.5: the Fréchet distance
to 5,000 draws of unseen digits in the 64 features of the course's digit classifier, which sees the pictures enlarged to 28×28, and on pixels;
the share of readable digits (the classifier is sure by 0.9); precision and recall among the first 1,000 draws in the same features. The draws
are with replacement from 10,000, and copies are kept: 3,940 of the 5,000 and 960 of the 1,000 are different digits. The ceiling is what
training digits score, the null is uniform noise.

Written before the first run, by intervals of eight seeds; all Fréchet distances are on features. Claim 1 (the paper's): in the middle of
straight lines the non-parametric prior has a lower distance than the normal one. Claim 2: in the middle of straight lines between normal latents
recall falls by a third or more, and precision rises, as on the 8×8 digits. Claim 3: in the middle of straight lines more digits are readable with
the non-parametric prior than with the normal one. Claim 4: the middles of the non-parametric prior have a lower distance than those of the arc
between normal latents, seed by seed. Claim 5: at the ends the distance is at most a tenth higher with the non-parametric prior than with the
normal one. We expect 3 and 4 not to hold: short normal latents gave typical digits on the 8×8 scans, and the arc needs no other prior.

Written before the second run, which has more rates and more priors. Claims 1 to 5 are judged again. Claim 6: in the middle of straight lines the
non-parametric prior has a lower distance than the uniform one, seed by seed. Claim 7: from an end to the middle the distance grows less at a
spread of 0.03 than at 0.2, seed by seed. Claim 8: with a style generator and normal latents the distance in the middle of straight lines is
within a tenth of that at the ends (limits of the interval of the difference, over the mean at the ends). Claim 9: with a style generator, too,
the middles of the non-parametric prior have a lower distance than those of the normal one, seed by seed. We expect 9 not to hold: a style
generator divides z by its length first, and so the middle of two normal latents has for it exactly the distribution of a draw. The style
generators were first measured without their noise, by mistake, and then again with it, at the same rates; the mean distances of
ends and middles agreed then, too, within a hundredth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rows import asked, by_seed, chosen, known, packed, record, smaller
from torch import Tensor

from modelab.data.mnist import mnist
from modelab.evaluation.interpolation import slerp
from modelab.evaluation.precision_recall import frechet_distance, precision_recall
from modelab.methods.priors import NonParametricPrior, rescaled_lerp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE, SEEDS, STEPS, N = Path(__file__).with_suffix(".json"), 8, 400, 1000
RATES, LEAST, MOST = (.005, .01), .00125, .04
STRAIGHT = {"straight": torch.lerp}
NETWORKS = {"conv": Networks("conv", width=4, latent=100), "style": Networks("style", width=4, depth=2, latent=100)}
SETTINGS: dict[str, tuple[dict, str, dict[str, Callable]]] = {  # the prior, the networks, and the paths
    "normal": ({"prior": "normal"}, "conv", STRAIGHT | {"arc": slerp, "rescaled": rescaled_lerp}),
    "nonparametric": ({}, "conv", STRAIGHT),
    "uniform": ({"prior": "uniform"}, "conv", STRAIGHT),
    "style, normal": ({"prior": "normal"}, "style", STRAIGHT | {"rescaled": rescaled_lerp}),
    "style, nonparametric": ({}, "style", STRAIGHT),
    **{f"spread {spread:g}": ({"spread": spread}, "conv", STRAIGHT) for spread in (.03, .2, .1)}}
PLACES = (0., .25, .5)


class Halved:
    """The digits of MNIST at 16×16 pixels."""

    event = (1, 16, 16)

    def __init__(self, unseen: bool = False):
        self.modes = mnist().held_out if unseen else mnist()

    def to(self, device: Any) -> Halved:
        """Itself: the benchmark runs on the processor."""
        return self

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Drawn with replacement, (n, 1, 16, 16)."""
        return smaller(self.modes.sample(n, generator=generator))


def trained(setting: str, rate: float, steps: int, seed: int, runs: int) -> Run:
    """The R1 GAN of this setting after all its steps."""
    prior, networks, _ = SETTINGS[setting]
    game = NonParametricPrior(**prior, weight=3., networks=NETWORKS[networks],
                              optimiser=Optimiser(rate, (0., .9), Schedule("linear", steps, stairs=10)))
    return Run(game, Halved(), runs=runs, seed=seed, batch=32, average=.99, device="cpu").step(steps)


def tuned(distance: Callable[[float], float]) -> dict[float, float]:
    """Distances by rate: those tried first, then more while the best one is the largest or the smallest."""
    tried = {rate: distance(rate) for rate in RATES}
    while True:
        best = min(tried, key=tried.get)
        new = 2 * best if best == max(tried) else best / 2 if best == min(tried) else 0.
        if not LEAST <= new <= MOST:
            return tried
        tried[new] = distance(new)


def unseen(n: int = 5000) -> Tensor:
    """Digits that no player has seen, drawn with replacement; copies are kept."""
    return Halved(unseen=True).sample(n, torch.Generator().manual_seed(0))


def seen_by_judge(x: Tensor) -> tuple[Tensor, float]:
    """Features of pictures (n, 1, 16, 16) before the digit classifier decides, (n, 64), and the share of which it is sure by 0.9."""
    judge, x = mnist().judge, F.interpolate(x.clamp(-1, 1), scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]
    return judge.features(x), (judge.predict(x)[1] >= .9).float().mean().item()


def scores(real: Tensor, samples: list[Tensor]) -> dict:
    """All measures of several sets of samples."""
    known, (made, readable) = seen_by_judge(real)[0], zip(*map(seen_by_judge, samples))
    near = [precision_recall(known[:1000], x, k=5) for x in made]
    return {"Fréchet": by_seed(frechet_distance(known, x) for x in made),
            "pixels": by_seed(frechet_distance(real, x) for x in samples), "readable": by_seed(readable),
            "precision": by_seed(v.precision for v in near), "recall": by_seed(v.recall for v in near)}


@torch.no_grad()
def made(run: Run, z: Tensor) -> Tensor:
    """What the averaged generators make of latents (runs, n, 100), in parts; noise of a style generator is the same at each call."""
    G = run.player("G", raw=False)
    return torch.cat([G(part) for part in z.split(250, 1)], 1)


def walks(run: Run, path: Callable, a: Tensor, b: Tensor, rows: int = 4, stops: int = 7) -> Tensor:
    """Some walks of seed 0, (rows · stops, 1, 16, 16)."""
    steps = torch.linspace(0, 1, stops).tolist()
    return torch.stack([made(run, path(a[:, :rows], b[:, :rows], t))[0] for t in steps], 1).flatten(0, 1)


def measure(setting: str) -> None:
    """One setting: a rate chosen on two other seeds, eight seeds, and each path."""
    real = unseen()
    tried = tuned(lambda rate: sum(frechet_distance(real, x) for x in trained(setting, rate, STEPS, 100, 2).sample(N)) / 2)
    rate = min(tried, key=tried.get)
    run = trained(setting, rate, STEPS, 0, SEEDS)
    a, b = (run.noise(N, run.generators(name)) for name in ("start", "end"))
    for name, path in SETTINGS[setting][2].items():
        row = {f"{t:g}": scores(real, list(made(run, path(a, b, t)))) for t in PLACES[0 if name == "straight" else 1:]}
        row = {"setting": f"{setting}, {name}", "steps": STEPS, "rate": rate, "tried": {f"{k:g}": round(v, 2) for k, v in tried.items()},
               **row, "walk": packed(walks(run, path, a, b).clamp(-1, 1))}
        record(FILE, "priors", row)
        print(row["setting"], tried, {t: {k: v["interval"] for k, v in row[t].items()} for t in ("0", "0.25", "0.5") if t in row}, flush=True)


def companions() -> None:
    """What training digits and noise score, eight times."""
    real, g = unseen(), [torch.Generator().manual_seed(seed) for seed in range(SEEDS)]
    record(FILE, "priors", {"setting": "real digits", **scores(real, [Halved().sample(N, s) for s in g])})
    noise = [torch.rand(N, 1, 16, 16, generator=s) * 2 - 1 for s in g]
    record(FILE, "priors", {"setting": "noise", **scores(real, noise)})


def main() -> None:
    """Measure the priors that are not recorded yet."""
    torch.set_num_threads(1)
    for _, only in asked(sys.argv[1:], ["priors"]):
        done = known(FILE, "priors")
        if "noise" not in done:
            companions()
        for setting, (*_, paths) in chosen(SETTINGS, only):
            if any(f"{setting}, {path}" not in done for path in paths):
                measure(setting)


if __name__ == "__main__":
    main()
