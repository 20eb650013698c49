"""The long runs of chapter 12: GANs beside the inclusive GAN, eight seeds each, in equal time.

    python benchmarks/imle_gan.py                    # all parts, one after the other
    python benchmarks/imle_gan.py weak ablation      # some of them
    python benchmarks/imle_gan.py mnist DATA         # stacked MNIST from the folder DATA, a short walk on a CPU

Every setting that was tried is recorded in benchmarks/imle_gan.json, none left out. Time is CPU time of one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from modelab.course import interval, replace
from modelab.imle import IMLE
from modelab.imle_gan import IMLEGAN, self_trained
from modelab.minimax import Minimax
from modelab.modes import digits, faces, rare_modes, stacked_digits, stacked_mnist
from modelab.training import Run
from modelab.wasserstein import Wasserstein, ZeroCentred

FILE, SEEDS = Path(__file__).with_suffix(".json"), 8


def by_seed(values: list[float], digits: int = 4) -> dict:
    """Numbers seed by seed and their interval."""
    return {"interval": str(interval(values)).split(" over")[0], "by seed": [round(v, digits) for v in values]}


def timed(run: Run, seconds: float, looks: int = 1, fade: bool = True) -> list[dict]:
    """Train for so many seconds of one thread's time, the rates fading over the second half; what is covered at each look."""
    lr, spent, rows, last = run.game.lr, 0., [], 0.
    while len(rows) < looks:
        run.game.lr = lr * min(1, max(.02, 2 * (1 - spent / seconds))) if fade else lr
        start = time.process_time()
        run.step(20)
        spent += time.process_time() - start
        if spent >= seconds * 2. ** (len(rows) + 1 - looks):
            found = run.coverage(n=None if len(rows) == looks - 1 else 10_000)
            rows.append({"seconds": round(spent), "steps": run.steps,
                         **{k: by_seed([getattr(c, k) for c in found]) for k in ("captured", "kl", "high_quality")}})
    run.game.lr = lr
    return rows


def record(part: str, rows: list[dict], **more) -> None:
    """Put one part into the file, leaving the others as they are."""
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    known |= {"torch": torch.__version__.split("+")[0], "seeds": SEEDS, part: rows, **more}
    replace(FILE, (json.dumps(known, indent=1) + "\n").encode())


def weak_rivals(width: int = 32) -> dict[str, Callable]:
    """GANs with a discriminator of few units, and IMLE, which has none."""
    common = dict(d_width=width, latent=32)
    return {
        "GAN, lr 2e-4, beta1 .5": lambda: Minimax(lr=2e-4, betas=(.5, .999), **common),
        "GAN, lr 1e-3, beta1 .5": lambda: Minimax(lr=1e-3, betas=(.5, .999), **common),
        "GAN, lr 1e-3, beta1 0": lambda: Minimax(**common),
        "GAN + R1 0.1": lambda: ZeroCentred(weight=.1, **common),
        "WGAN-GP 1, n_critic 1": lambda: Wasserstein(weight=1., n_critic=1, **common),
        "WGAN-GP 10, n_critic 1": lambda: Wasserstein(weight=10., n_critic=1, **common),
        "IMLE": lambda: IMLE(reals=512, refresh=50, latent=32, jitter=.05, betas=(0., .9)),
    }


def weak_inclusive(width: int = 32) -> dict[str, Callable]:
    """The inclusive GAN in the same seat."""
    code = self_trained(digits())
    common = dict(d_width=width, latent=32)
    games = {f"IMLE-GAN, pixels, weight {w:g}": lambda w=w: IMLEGAN(weight=w, interpolation=0., **common) for w in (.003, .01, .03, .1)}
    games |= {f"IMLE-GAN, features, weight {w:g}": lambda w=w: IMLEGAN(weight=w, space=code, interpolation=0., **common) for w in (.3, 1.)}
    games["IMLE-GAN, pixels, weight 0.03, interpolation 0.4"] = lambda: IMLEGAN(weight=.03, **common)
    return games


def weak(which: Callable, seconds: float = 26.) -> list[dict]:
    """Coverage of stacked digits against time, with a weak discriminator."""
    modes, rows = stacked_digits(), []
    for name, make in which().items():
        run = Run(make(), modes, runs=SEEDS, batch=64, average=.99, device="cpu")
        rows.append({"setting": name, "looks": timed(run, seconds, 3)})
        print(json.dumps(rows[-1]), flush=True)
    return rows
