"""The tuned minimax baseline of chapter 1.1: every setting, eight seeds, none left out; recorded in benchmarks/minimax.json.

    python benchmarks/minimax.py
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from rows import possible
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.statistics import interval
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import rare_modes
from modelab.evaluation.coverage import coverages
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

STEPS, DIGIT_STEPS = 4000, 1500


def rare(saturating: bool, lr: float, beta1: float, latent: int) -> dict:
    """Rare modes that eight seeds show, of eight, among 2,500 samples."""
    data = rare_modes()
    game = Minimax(saturating=saturating, networks=Networks(latent=latent, width=64), optimiser=Optimiser(lr, betas=(beta1, .9)))
    run = Run(game, data, batch=128, device="cpu").step(STEPS)
    seen = []
    for x in run.sample(2500):
        mode, good = data.assign(x)
        seen.append(mode[good & (mode > 0)].unique().numel())
    name = f"{'saturating' if saturating else 'non-saturating'}, lr {lr:g}, beta1 {beta1}, latent {latent}"
    return {"setting": name, "of": data.n_modes - 1, "rare seen": str(interval(seen, **possible("minimax", "rare seen", data.n_modes - 1))), "by seed": seen}


def digits(d_width: int, lr: float, betas: tuple[float, float]) -> dict:
    """Modes of 1,000 and KL that eight seeds reach, with the running average of G and without."""
    game = Minimax(networks=Networks(width=128, d_width=d_width), optimiser=Optimiser(lr, betas=betas))
    run = Run(game, stacked_digits(), batch=64, average=.99, device="cpu").step(DIGIT_STEPS)
    row: dict = {"setting": f"D {d_width} units, lr {lr:g}, betas {betas}", "of": run.modes.n_modes}
    for name, raw in (("averaged", False), ("raw", True)):
        scores = coverages(run.sample(26_000, raw=raw), run.modes)
        row[name] = {k: str(interval([getattr(c, k) for c in scores], **possible("minimax", k, row["of"]))) for k in ("captured", "kl")}
    return row


def main() -> None:
    """Measure all settings and record them."""
    settings = list(itertools.product((False, True), (1e-3, 3e-4), (0., .5), (2, 16)))
    rows = [rare(*s) for s in tqdm(settings, desc="rare modes")]
    wide = [(w, lr, b) for w in (128, 16) for lr, b in ((1e-3, (0., .9)), (1e-3, (.5, .9)), (3e-4, (0., .9)))]
    result = {"what": f"minimax, 8 seeds: {STEPS} steps on rare_modes, {DIGIT_STEPS} on stacked_digits",
              "torch": torch.__version__.split("+")[0], "rare_modes": rows,
              "stacked_digits": [digits(*s) for s in tqdm(wide, desc="digits")]}
    atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
