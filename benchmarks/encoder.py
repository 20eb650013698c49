"""What chapter 2.1 shows and has no time to run: encoders on two sets, with two priors, one and two latents, with and without noise.

    python benchmarks/encoder.py                 # all parts, about six minutes on one core
    python benchmarks/encoder.py grid            # some of them; the others keep what they recorded

Eight seeds each, 1,000 steps, none left out; 1,000 fresh codes are measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from modelab.core.files import atomic_write
from modelab.core.registry import with_settings
from modelab.core.statistics import interval
from modelab.course.claims import recorded
from modelab.data.mixtures import line, ring
from modelab.methods.encoder import Encoder, joint_ks_statistic, ks_statistic, separated_modes
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

REGIME = Encoder(prior="uniform", networks=Networks(latent=1, width=32), optimiser=Optimiser({"E": 5e-4, "D": 2e-3}))
STEPS, CODES = 1000, 1000


@torch.no_grad()
def measure(setting: str, modes: Any, steps: int = STEPS, **settings: Any) -> dict[str, Any]:
    """Train eight encoders and measure fresh codes: uniformity per axis and jointly beside a draw of the prior, modes kept apart."""
    run = Run(with_settings(REGIME, **settings), modes, batch=256, device="cpu")
    with torch.enable_grad():
        run.step(steps)
    draw, prior = run.generators, run.game.prior
    x, mode = map(torch.stack, zip(*(modes.sample_with_modes(CODES, generator=g) for g in draw("look"))))
    z = run.noise(CODES, draw("look", 1))
    turn = SimpleNamespace(x=x, z=z, generator=draw("look", 2), **run.players.nets)
    code = run.game.encode(turn)
    apart = separated_modes(code, mode, modes.n_modes).tolist()
    row = {"setting": setting, "ks": f"{interval(ks_statistic(code, prior).mean(-1), low=0, high=1):.3f}", "null": f"{ks_statistic(z, prior).mean():.3f}",
           "joint": f"{interval(joint_ks_statistic(code, prior), low=0, high=1):.3f}", "joint null": f"{joint_ks_statistic(z, prior).mean():.3f}",
           "of": modes.n_modes, "kept": f"{interval(apart, low=0, high=modes.n_modes):.2f}", "kept by seed": apart}
    print(row, flush=True)
    return row


def sets() -> dict[str, Any]:
    """The two sets."""
    return {"line of 5": line(5, spacing=1., std=.02), "ring of 8": ring(8, radius=2, std=.02)}


def grid() -> Iterator[dict]:
    """Every combination."""
    for name, modes in sets().items():
        for latent in (1, 2):
            for prior in ("uniform", "normal"):
                for noise in (False, True):
                    yield measure(f"{name}, {latent}-D {prior}, {'with noise' if noise else 'deterministic'}", modes,
                                  latent=latent, prior=prior, stochastic=noise)


def width() -> Iterator[dict]:
    """The line of five with modes of growing width: points cannot fill an interval, wide modes can be stretched."""
    for std in (.005, .02, .1, .3):
        yield measure(f"deterministic, modes of width {std:g}", line(5, spacing=1., std=std))


def tuning() -> Iterator[dict]:
    """What was tried on the line of five, without and with noise."""
    changes: dict[str, dict] = {
        "as in the chapter": {}, "no price on D's slope": {"weight": 0.}, "price 3": {"weight": 3.}, "all rates 1e-3": {"lr": 1e-3},
        "no price, all rates 1e-3": {"weight": 0., "lr": 1e-3}}
    for name, change in changes.items():
        for noise in (False, True):
            yield measure(f"{name}, {'with noise' if noise else 'deterministic'}", sets()["line of 5"], stochastic=noise, **change)


def forward() -> Iterator[dict]:
    """The generator that the chapter starts with, and the same with the encoder's own settings: what it shows of the line of five."""
    games = {"minimax": Minimax(networks=Networks(latent=1, width=32)), "minimax, three times the rates": Minimax(networks=Networks(latent=1, width=32), optimiser=Optimiser(3e-3)),
             "with the price 1 on D's slope": ZeroCentred(weight=1., networks=Networks(latent=1, width=32), optimiser=Optimiser({"G": 5e-4, "D": 2e-3}))}
    for setting, game in games.items():
        found = Run(game, sets()["line of 5"], batch=256, device="cpu").step(STEPS).coverage()
        row = {"setting": setting, "of": 5, "captured": f"{interval((c.captured for c in found), low=0, high=5):.2f}",
               "high quality": f"{interval((c.high_quality for c in found), low=0, high=1):.2f}"}
        print(row, flush=True)
        yield row


PARTS = {"forward": forward, "grid": grid, "width": width, "tuning": tuning}


def main() -> None:
    """Measure the parts that are asked for, keep the others, record after each row."""
    path = Path(__file__).with_suffix(".json")
    for part in sys.argv[1:] or PARTS:
        rows = []
        for row in PARTS[part]():
            rows.append(row)
            result = {"torch": torch.__version__.split("+")[0], **recorded("encoder"), part: rows}
            atomic_write(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
