"""The long runs of chapter 3.2: GANs beside the inclusive GAN, eight seeds each, in equal time.

    python benchmarks/imle_gan.py                    # all parts, one after the other
    python benchmarks/imle_gan.py weak ablation      # some of them; `rare_modes:no R1` only such settings
    python benchmarks/imle_gan.py --mnist DATA       # stacked MNIST from the folder DATA, a short walk on a CPU

Every setting is recorded in benchmarks/imle_gan.json, none left out; the quicker rates and the penalty of `fuller` were chosen
before, by walks of 30 and 100 s of two seeds of their own (100 and 101). Time is CPU time of one thread, for eight seeds together; the whole takes about
seven hours, and `--scale .1` a tenth of that.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rows import asked, by_seed, chosen, record

from modelab.core.registry import set_setting, with_settings
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import rare_modes
from modelab.data.mnist import stacked_mnist
from modelab.evaluation.features import train_picture_encoder
from modelab.methods.imle import IMLE
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import Wasserstein, ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE, SEEDS = Path(__file__).with_suffix(".json"), 8


def by_digit(run: Run) -> dict:
    """Ten times the share of each digit, over channels and seeds; and the part of each seed's KL that lies in such shares."""
    modes = torch.stack([run.modes.assign(x)[0] for x in run.sample(26_000)])
    digits = torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)  # (runs, channels, samples)
    shares = torch.stack([(digits == d).double().mean(-1) for d in range(10)], -1)
    return {"shares": [round(10 * s, 3) for s in shares.mean((0, 1)).tolist()],
            "kl": by_seed(torch.special.xlogy(shares, 10 * shares).sum((1, 2)).tolist())}


def timed(run: Run, seconds: float, looks: int = 1, fade: float = .5) -> list[dict]:
    """Train for so many seconds of one thread's time, the rates fading from that share of it on; what is covered at each look."""
    lr, spent, rows = run.game.optimiser.lr, 0., []
    rates = lr if isinstance(lr, dict) else dict.fromkeys("GD", lr)
    while len(rows) < looks:
        share = min(1, max(.02, (1 - spent / seconds) / (1 - fade)))
        set_setting(run.game, "lr", {k: v * share for k, v in rates.items()})
        start = time.process_time()
        run.step(20)
        spent += time.process_time() - start
        if spent >= seconds * 2. ** (len(rows) + 1 - looks):
            found = run.coverage(n=None if len(rows) == looks - 1 else 10_000)
            rows.append({"seconds": round(spent), "steps": run.steps,
                         **{k: by_seed([getattr(c, k) for c in found]) for k in ("captured", "kl", "high_quality")}})
    set_setting(run.game, "lr", lr)
    rows[-1]["digits"] = by_digit(run)
    return rows


def keep(part: str, row: dict) -> None:
    """Record a row, and show it."""
    record(FILE, part, row)
    print(part, json.dumps(row), flush=True)


WEAK, STRONG = dict(networks=Networks(d_width=32, latent=32)), dict(networks=Networks(latent=32))


def inclusive(**settings) -> IMLEGAN:
    """The inclusive GAN on stacked digits; the interpolation term only where it is asked for."""
    return IMLEGAN(**({"weight": .01, "interpolation_weight": 0.} | STRONG | settings))


def thousand(part: str, games: dict[str, Callable], seconds: float, average: float = .99, looks: int = 4, batch: int = 64, only: str = "",
             fade: float = .5) -> None:
    """Coverage of stacked digits against time."""
    for name, make in chosen(games, only):
        run = Run(make(), stacked_digits(), runs=SEEDS, batch=batch, average=average, device="cpu")
        keep(part, {"setting": name, "of": run.modes.n_modes, "looks": timed(run, seconds, looks, fade)})


def weak(scale: float, only: str = "") -> None:
    """A discriminator of 32 units: GANs at several settings, IMLE, which has none, and the inclusive GAN."""
    thousand("weak", {
        "GAN, lr 2e-4, beta1 .5": lambda: Minimax(optimiser=Optimiser(2e-4, betas=(.5, .999)), **WEAK),
        "GAN, lr 1e-3, beta1 0": lambda: Minimax(**WEAK),
        "inclusive GAN": lambda: inclusive(**WEAK),
        "GAN + R1 0.1": lambda: ZeroCentred(weight=.1, **WEAK),
        "WGAN-GP": lambda: Wasserstein(weight=10., n_critic=1, **WEAK),
        "IMLE": lambda: IMLE(reals=512, refresh=50, jitter=.05, networks=Networks(latent=32), optimiser=Optimiser(betas=(0., .9))),
    }, 24 * scale, only=only)


def long(scale: float, only: str = "") -> None:
    """The weak discriminator again, ten times as long."""
    thousand("long", {
        "inclusive GAN": lambda: inclusive(**WEAK),
        "inclusive GAN, G 256": lambda: inclusive(networks=Networks(d_width=32, latent=32, width=256)),
        "inclusive GAN, weight 0.1": lambda: inclusive(**WEAK | {"weight": .1}),
        "IMLE": lambda: IMLE(reals=512, refresh=50, jitter=.05, networks=Networks(latent=32), optimiser=Optimiser(betas=(0., .9))),
        "GAN, lr 1e-3, beta1 0": lambda: Minimax(**WEAK),
    }, 240 * scale, .995, 3, only=only)
    thousand("long", {
        "inclusive GAN, weight 0.1, twice as long": lambda: inclusive(**WEAK | {"weight": .1}),
        "inclusive GAN, weight 1, twice as long": lambda: inclusive(**WEAK | {"weight": 1.}),
    }, 480 * scale, .995, 4, only=only)


def full(scale: float, only: str = "") -> None:
    """A discriminator as wide as the generator."""
    thousand("full", {
        "inclusive GAN + R1 0.1": lambda: inclusive(r1_weight=.1, weight=.003),
        "WGAN-GP": lambda: Wasserstein(weight=10., n_critic=1, networks=Networks(latent=32)),
        "GAN + R1 0.1": lambda: ZeroCentred(weight=.1, networks=Networks(latent=32)),
        "GAN": lambda: Minimax(networks=Networks(latent=32)),
    }, 240 * scale, .995, 3, only=only)


def fuller(scale: float, only: str = "") -> None:
    """Wider nets and longer walks, with larger batches, or with quicker rates and a slower average: how close to a perfect generator?"""
    thousand("fuller", {
        "inclusive GAN + R1 0.1": lambda: inclusive(r1_weight=.1, weight=.003, networks=Networks(latent=32, width=256)),
    }, 960 * scale, .995, 5, 128, only)
    quick = dict(networks=Networks(width=256, latent=32), optimiser=Optimiser(2e-3, (0., .99)))
    thousand("fuller", {
        "inclusive GAN + R1 0.1, rate 0.002": lambda: inclusive(r1_weight=.1, weight=.003, reals=128, **quick),
        "plain GAN + R1 0.1, rate 0.002": lambda: ZeroCentred(weight=.1, **quick),
    }, 1200 * scale, .999, 5, 64, only)
    slower = quick | {"optimiser": Optimiser({"G": 2e-3, "D": 1e-3}, (0., .99))}
    games = {"inclusive GAN + R1 0.1": lambda: inclusive(r1_weight=.1, weight=.003, reals=128, **slower),
             "plain GAN + R1 0.1": lambda: ZeroCentred(weight=.1, **slower)}
    thousand("fuller", {"inclusive GAN + R1 0.1, twice as long": games["inclusive GAN + R1 0.1"],
                        "inclusive GAN + R1 0.03, twice as long": lambda: inclusive(r1_weight=.03, weight=.003, reals=128, **slower)},
             2400 * scale, .999, 6, 64, only, .75)
    thousand("fuller", {"inclusive GAN + R1 1, twice as long": lambda: inclusive(r1_weight=1., weight=.003, reals=128, **slower),
                        "plain GAN + R1 1, twice as long": lambda: ZeroCentred(weight=1., **slower)}, 2400 * scale, .999, 6, 64, only, .75)
    thousand("fuller", {f"{name}, three times as long": make for name, make in games.items()}, 3600 * scale, .999, 6, 64, only, .75)


def ablation(scale: float, only: str = "") -> None:
    """What each part of the inclusive GAN does, with the weak discriminator."""
    code = train_picture_encoder(digits())
    seen = dict(space=code, weight=.3, **WEAK)  # features are in units of their own: 37 times the pixels' weight
    thousand("ablation", {
        "pixels (the game above)": lambda: inclusive(**WEAK),
        "pool x1": lambda: inclusive(pool=1, **WEAK),
        "stale: matched once": lambda: inclusive(refresh=10 ** 6, **WEAK),
        "with interpolation 0.4": lambda: inclusive(interpolation_weight=.4, **WEAK),
        "features, matched in features": lambda: inclusive(**seen),
        "features, matched in pixels": lambda: inclusive(matching="pixels", **seen),
        "features, with interpolation 0.4": lambda: inclusive(interpolation_weight=.4, **seen),
        "weight 100: D has no say": lambda: inclusive(weight=100., **WEAK),
    }, 24 * scale, looks=1, only=only)


def near_rare(run: Run, n: int = 2500) -> dict:
    """Of each seed: rare modes with a good sample, mass within half a unit of one, good samples at the centre."""
    found: dict[str, list] = {"seen": [], "mass": [], "centre": []}
    for x in run.sample(n):
        mode, good = run.modes.assign(x)
        found["seen"].append(mode[good & (mode > 0)].unique().numel())
        found["mass"].append((torch.cdist(x, run.modes.centers[1:]).amin(1) < .5).float().mean().item())
        found["centre"].append((good & (mode == 0)).float().mean().item())
    return {k: by_seed(v) for k, v in found.items()}


def in_stairs(game: IMLEGAN, steps: int) -> IMLEGAN:
    """The game with rates that fall over the second half of so many steps, in twenty stairs."""
    return with_settings(game, schedule=Schedule("linear", steps, stairs=20))


def rare(scale: float, only: str = "") -> None:
    """A heavy centre and eight rare modes: who asks for neighbours, in how large a pool, and how loudly."""
    small = dict(networks=Networks(width=64), reals=40, pool=2, refresh=5, interpolation_weight=0., r1_weight=.1,
                 optimiser=Optimiser(3e-3))
    large = small | dict(reals=256, pool=10, refresh=25)
    minority = dict(minority=range(1, 9))
    settings = {"GAN": small | {"weight": 0., "r1_weight": 0., "optimiser": Optimiser(1e-3)}, "GAN + R1 0.1": small | {"weight": 0.},
                "everybody asks, pool 80, weight 0.45": small | {"weight": .45}}
    settings |= {f"the minority asks, pool 80, weight {w:g}": small | minority | {"weight": w} for w in (.1, .2, .45, 1.)}
    settings["the minority asks, pool 2560, weight 0.45"] = large | minority | {"weight": .45}
    settings["the minority asks, pool 80, weight 0.45, interpolation 0.4"] = small | minority | {"weight": .45, "interpolation_weight": .4}
    settings["the minority asks, pool 80, weight 0.45, no R1"] = small | minority | {"weight": .45, "r1_weight": 0., "optimiser": Optimiser(1e-3)}
    for name, kw in chosen(settings, only):
        game = in_stairs(IMLEGAN(**kw), steps := 20 * round(80 * scale))
        run = Run(game, rare_modes(), runs=SEEDS, batch=128, average=.99, device="cpu")
        start = time.process_time()
        run.step(steps)
        keep("rare_modes", {"setting": name, "of": run.modes.n_modes - 1, "steps": run.steps, "seconds": round(time.process_time() - start), **near_rare(run)})


def mnist(folder: str, scale: float) -> None:
    """Stacked MNIST for a short while on a CPU, two seeds."""
    modes = stacked_mnist(folder)
    run, start = Run(IMLEGAN(weight=.001, interpolation_weight=0., networks=Networks(latent=64, width=256)), modes, runs=2, batch=64, average=.99, device="cpu"), time.process_time()
    run.step(round(400 * scale))
    seconds, found = round(time.process_time() - start), run.coverage()
    keep("mnist", {"setting": "inclusive GAN, MLPs of 256 units, 2 seeds", "steps": run.steps, "seconds": seconds,
                     "captured": sum(c.captured for c in found) / 2, "kl": sum(c.kl for c in found) / 2, "perfect": found[0].floor.kl})


PARTS = {"weak": weak, "long": long, "full": full, "fuller": fuller, "ablation": ablation, "rare_modes": rare}


def main() -> None:
    """Measure the parts named, or all, and record them row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; `fuller:R1 1` only such settings (default all)")
    parser.add_argument("--scale", type=float, default=1., help="share of the recorded time (default 1)")
    parser.add_argument("--mnist", metavar="FOLDER", help="instead: stacked MNIST from this folder, a short walk on a CPU")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.mnist:
        return mnist(args.mnist, args.scale)
    for part, only in asked(args.parts, PARTS):
        PARTS[part](args.scale, only)


if __name__ == "__main__":
    main()
