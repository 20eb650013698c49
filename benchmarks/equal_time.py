"""Nine generators of a thousand modes in the same processor time: losses, matching, and the networks of StyleGAN and progressive growing.

    python benchmarks/equal_time.py                      # stacked digits of 8x8 pixels: 30 s a seed, more than an hour of one core
    python benchmarks/equal_time.py --only style         # the methods with this word in their name, again
    python benchmarks/equal_time.py --mnist FOLDER       # three MNIST digits of 28x28 pixels, from the folder with its four files

Every method is tuned alike: six settings, each for a quarter of the time on four seeds of their own; the least mean TV is trained on the
eight seeds that are reported. Batch 64 and an averaged G for all; rates fall over the second half. On 8x8 pixels the players of a loss
are fully connected unless the name says otherwise, on 28x28 they are convolutions. Time is that of the training alone; all seeds of a
row train side by side and share it. Sharpness is the mean difference of neighbouring pixels, over that of real pictures. Records
benchmarks/equal_time.json, method by method; what is there is not played again. Chapter 3.4 shows it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rows import by_seed, chosen, known, packed, record

from modelab.core.registry import set_setting, with_settings
from modelab.data.digits import stacked_digits
from modelab.data.mnist import stacked_mnist
from modelab.methods.imle import IMLE
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.minimax import Minimax
from modelab.methods.relativistic import Relativistic
from modelab.methods.wasserstein import Wasserstein, ZeroCentred
from modelab.networks.growing import growth_over
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
RATES, TUNED, SEEDS, PART, PICTURES = (1e-3, 2e-3, 4e-3), 4, 8, .25, 24
MEASURES = "captured", "kl", "tv", "high_quality", "sharpness"
R1 = {"weight": .1}, {"weight": 1.}
Method = tuple[Callable[[Any, int], Game], tuple[dict, dict]]  # from an optimiser and the steps there will be; the settings that are tried


def methods(own: Networks, latent: int, levels: int) -> dict[str, Method]:
    """Each method, and its own two settings that are tried with each rate; `own`: the networks of the losses."""
    def grown(steps: int) -> Networks:
        return Networks("grown", width=8, latent=latent, grow=growth_over(max(steps, 8 * levels), levels=levels))

    def game(kind: type, **kw: Any) -> Callable[[Any, int], Game]:
        return lambda optimiser, steps: kind(networks=own, optimiser=optimiser, **kw)

    def pictures(networks: Networks) -> Method:
        return lambda optimiser, steps: ZeroCentred(networks=networks, optimiser=optimiser), R1

    return {
        "GAN": (game(Minimax), ({"betas": (0., .99)}, {"betas": (.5, .99)})),
        "GAN + R1": (game(ZeroCentred), R1),
        "R3GAN's loss": (game(Relativistic), tuple({"weight": w, "fake_weight": w} for w in (.1, 1.))),
        "WGAN-GP": (game(Wasserstein, n_critic=1), ({"weight": 1.}, {"weight": 10.})),
        "IMLE": (game(IMLE, reals=512, jitter=.05), ({"refresh": 10}, {"refresh": 50})),
        "inclusive GAN + R1": (game(IMLEGAN, interpolation_weight=0., r1_weight=.1), ({"weight": .003}, {"weight": .03})),
        "convolutions + R1": pictures(Networks("conv", width=8, d_width=16, latent=latent)),
        "style generator + R1": pictures(Networks("style", width=8, latent=latent)),
        "grown networks + R1": (lambda optimiser, steps: ZeroCentred(networks=grown(steps), optimiser=optimiser), R1),
    }


def train(make: Callable[[Any, int], Game], modes: Any, rate: float, own: dict, seconds: float, runs: int, seed: int) -> Run:
    """Some seeds side by side, for so many seconds of processor time each."""
    spent, total = 0., runs * seconds

    def start(steps: int) -> Run:
        game = with_settings(make(Optimiser(rate, (0., .99)), steps), **own)
        return Run(game, modes, runs=runs, seed=seed, batch=64, average=.99, device="cpu")

    trial, begun = start(0).step(3), time.process_time()  # at full size, to know how many steps there will be
    trial.step(5)
    run = start(round(5 * total / (time.process_time() - begun)))
    while spent < total:
        set_setting(run.game, "lr", rate * min(1, max(.02, 2 - 2 * spent / total)))
        begun = time.process_time()
        run.step(10)
        spent += time.process_time() - begun
    return run


def sharpness(x: torch.Tensor) -> torch.Tensor:
    """The mean difference of neighbouring pixels, a value a run."""
    return (x.diff(dim=-1).abs().flatten(1).mean(1) + x.diff(dim=-2).abs().flatten(1).mean(1)) / 2


def scores(run: Run, modes: Any, n: int) -> dict:
    """What is covered and how sharp the pictures are, seed by seed."""
    found = run.coverage(n=n)
    real = sharpness(modes.sample(5000, torch.Generator().manual_seed(0))[None])
    values = {key: [getattr(c, key) for c in found] for key in MEASURES[:-1]} | {"sharpness": (sharpness(run.sample(1000)) / real).tolist()}
    return {key: by_seed(v) for key, v in values.items()} | {"perfect": round(found[0].floor.kl, 4), "perfect tv": round(found[0].floor.tv, 4)}


def measure(name: str, method: Method, modes: Any, seconds: float) -> dict:
    """One method: six settings on seeds of their own, and the best on the seeds that are reported."""
    make, options = method
    settings = {f"rate {rate:g}, " + ", ".join(f"{key} {value}" for key, value in own.items()): (rate, own)
                for rate, own in itertools.product(RATES, options)}
    tried = {}
    for title, setting in settings.items():
        run = train(make, modes, *setting, PART * seconds, TUNED, 100)
        tried[title] = {"tv": by_seed(c.tv for c in run.coverage(n=10_000))}
        print(f"{name}: {title}: TV {tried[title]['tv']['interval']}, {run.steps} steps", flush=True)
    rate, own = settings[min(tried, key=lambda title: sum(tried[title]["tv"]["by seed"]))]
    run = train(make, modes, rate, own, seconds, SEEDS, 0)
    return {"setting": name, "of": modes.n_modes, "rate": rate, **own, "seconds": seconds, "steps": run.steps, **scores(run, modes, 26_000),
            "tried": tried, "pictures": packed(run.sample(PICTURES)[0])}


def main() -> None:
    """Measure the methods that are not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="methods with this text in their name, even if they are recorded")
    parser.add_argument("--mnist", metavar="FOLDER", help="three MNIST digits of 28x28 pixels instead of stacked digits")
    parser.add_argument("--seconds", type=float, help="processor seconds a seed (default 30; with MNIST 120)")
    parser.add_argument("--out", type=Path, default=FILE, help="default: equal_time.json beside this script")
    args = parser.parse_args()
    torch.set_num_threads(1)
    part, seconds = ("mnist", args.seconds or 120.) if args.mnist else ("digits", args.seconds or 30.)
    modes = stacked_mnist(args.mnist) if args.mnist else stacked_digits()
    found = methods(Networks("conv", width=8, d_width=16, latent=32) if args.mnist else Networks(latent=32), 32, 2 if args.mnist else 1)
    if args.mnist:
        del found["convolutions + R1"]  # GAN + R1 has them already
    done = {name for name, row in known(args.out, part).items() if row["seconds"] == seconds}
    for name, method in chosen(found, args.only):
        if args.only or name not in done:
            row = measure(name, method, modes, seconds)
            record(args.out, part, row)
            print(name, row["rate"], row["steps"], {key: row[key]["interval"] for key in MEASURES}, flush=True)


if __name__ == "__main__":
    main()
