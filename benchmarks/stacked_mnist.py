"""Three MNIST digits of 28x28 pixels, a thousand modes, on a graphics card: the inclusive GAN beside the GAN with R1 alone.

    python benchmarks/stacked_mnist.py FOLDER                # FOLDER holds the four files of MNIST; five seeds of both, ten minutes
    python benchmarks/stacked_mnist.py FOLDER --seconds 60 --seeds 2 --device cpu --width 4

Same convolutional players, rates, batch and time for both; rates fall over the second half. A seed is a process of its own; the
five of a game run at once, and fill a card. Records benchmarks/stacked_mnist.json, game by game, with what the first seed made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from rows import by_seed, packed, record

from modelab.core.registry import set_setting
from modelab.data.mnist import stacked_mnist
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
GAMES = {"inclusive GAN + R1": lambda kw: IMLEGAN(weight=.0003, interpolation_weight=0., reals=64, r1_weight=1., **kw),
         "GAN + R1": lambda kw: ZeroCentred(weight=1., **kw)}


def one(args: argparse.Namespace) -> dict:
    """One seed of one game: what is covered at an eighth, a quarter, half and the end of its time."""
    game = GAMES[args.one](dict(networks=Networks("conv", width=args.width, latent=64),
                                optimiser=Optimiser(args.rate, (0., .99))))
    run = Run(game, stacked_mnist(args.folder), runs=1, seed=args.seed, batch=64, average=.999, device=args.device)
    looks, start = [], time.monotonic()
    while len(looks) < 4:
        spent = (time.monotonic() - start) / args.seconds
        set_setting(game, "lr", args.rate * min(1, max(.02, 2 * (1 - spent))))
        run.step(20)
        if spent >= 2. ** (len(looks) - 3):
            found = run.coverage()[0]
            looks.append({"steps": run.steps, **{k: getattr(found, k) for k in ("captured", "kl", "high_quality")}})
            print(f"{args.one}, seed {args.seed}: {looks[-1]}", file=sys.stderr, flush=True)
    return {"looks": looks, "perfect": found.floor.kl, "pictures": packed(run.sample(12)[0].cpu())}


def together(name: str, args: argparse.Namespace) -> list[dict]:
    """All seeds of a game at once, each in a process of its own."""
    same = [f"--{k}={getattr(args, k)}" for k in ("seconds", "device", "width", "rate")]
    children = [subprocess.Popen([sys.executable, __file__, args.folder, "--one", name, "--seed", str(seed), *same], stdout=subprocess.PIPE, text=True)
                for seed in range(args.seed, args.seed + args.seeds)]
    found = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit(f"a seed of {name} failed; its own message is above, and nothing is recorded")
    return [json.loads(text) for text in found]


def main() -> None:
    """Train, and record one row per game."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where MNIST's four files are")
    for name, default in (("seconds", 300.), ("seeds", 5), ("seed", 0), ("width", 32), ("rate", 5e-4)):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--one", choices=GAMES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=FILE, help="default: stacked_mnist.json beside this script")
    args = parser.parse_args()
    if args.one:
        return print(json.dumps(one(args)))
    stacked_mnist(args.folder).judge  # fitted once, kept beside the files
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu"
    for name in args.games:
        seeds = together(name, args)
        looks = [{k: by_seed([look[k] for look in at]) for k in at[0]} for at in zip(*(seed["looks"] for seed in seeds))]
        row = {"setting": name, "of": 1000, "device": device, **{k: getattr(args, k) for k in ("seconds", "width", "rate")}, "looks": looks}
        row |= {k: seeds[0][k] for k in ("perfect", "pictures")}
        record(args.out, "games", row)
        print(json.dumps(row))


if __name__ == "__main__":
    main()
