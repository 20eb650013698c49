"""Coverage by critics beside tuned minimax baselines: every setting, eight seeds, none left out.

    python benchmarks/wasserstein.py        # recorded in benchmarks/wasserstein.json (half an hour)

Ring, grid and rare modes. The rate falls over the second half of the walk, samples come from averaged weights; a game with
more turns of D makes fewer steps, so that all make about as many updates.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from rows import possible
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.registry import with_settings
from modelab.core.statistics import interval
from modelab.data.mixtures import grid, rare_modes, ring
from modelab.evaluation.coverage import coverages
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ClippedWasserstein, Wasserstein, ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

UPDATES, WIDTH, BATCH, SEEDS = 10_000, 64, 128, 8
NETS = Networks(width=WIDTH)


def settings() -> dict:
    """Name to game."""
    games = {}
    for saturating in (False, True):
        for lr in (1e-3, 3e-3):
            name = "saturating" if saturating else "non-saturating"
            games[f"minimax {name}, lr {lr:g}"] = Minimax(saturating=saturating, networks=NETS, optimiser=Optimiser(lr))
    for bound, lr in ((.03, 1e-3), (.1, 1e-3), (.3, 1e-3)):
        games[f"WGAN clip {bound:g}, lr {lr:g}"] = ClippedWasserstein(bound=bound, networks=NETS, optimiser=Optimiser(lr))
    games["WGAN-GP textbook: weight 10, n_critic 5, lr 1e-4, beta1 .5"] = Wasserstein(
        weight=10., n_critic=5, networks=NETS, optimiser=Optimiser(1e-4, betas=(.5, .9)))
    for weight in (.1, 1., 10.):
        for n_critic, lr in ((1, 1e-3), (1, 3e-3), (5, 3e-3)):
            games[f"WGAN-GP weight {weight:g}, n_critic {n_critic}, lr {lr:g}"] = Wasserstein(
                weight=weight, n_critic=n_critic, networks=NETS, optimiser=Optimiser(lr))
    for weight in (.01, .1, 1.):
        games[f"R1 weight {weight:g}, lr 0.003"] = ZeroCentred(weight=weight, networks=NETS, optimiser=Optimiser(3e-3))
    return games


def cover(name: str, game, modes) -> dict:
    """Coverage of eight seeds under the pacgan protocol, and what a step costs."""
    total = UPDATES // len(game.turns.split())
    game = with_settings(game, schedule=Schedule("linear", total, stairs=20))
    run, start = Run(game, modes, runs=SEEDS, batch=BATCH, average=.995, device="cpu"), time.process_time()
    run.step(total - total % 20)  # whole stairs
    seconds = time.process_time() - start
    x = run.sample(2500)
    found = coverages(x, modes)
    row = {"setting": name, "of": modes.n_modes, "by seed": [c.captured for c in found]}
    for measure in ("captured", "high_quality", "tv"):  # KL has no value where nothing is good
        row[measure] = str(interval([getattr(c, measure) for c in found], **possible("wasserstein", measure, modes.n_modes)))
    row["companions"] = {k: round(getattr(found[0], k).captured, 2) for k in ("floor", "ceiling", "null")}
    return row | {"steps": total, "ms per step and seed": round(1000 * seconds / total / SEEDS, 3)}


def main() -> None:
    """Measure all settings and record them."""
    sets = {"ring": ring(radius=2, std=.02), "grid": grid(), "rare_modes": rare_modes()}
    result = {"what": f"8 seeds, {UPDATES:,} updates of D and G together, batch {BATCH}, width {WIDTH}, averaged weights",
              "torch": torch.__version__.split("+")[0]}
    for name, modes in sets.items():
        result[name] = [cover(text, game, modes) for text, game in tqdm(settings().items(), desc=name)]
        atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
