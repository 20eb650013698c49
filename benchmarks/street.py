"""A heavy central mode: four games on a street that is mostly empty, on rare points, and on a real film of a fixed camera.

    python benchmarks/street.py                 # all parts, about ten minutes on one core
    python benchmarks/street.py scenes          # some of them; the others keep what they recorded

Every game takes the same number of generator steps with the same batch; the CPU seconds stand beside. Eight seeds (the film: four), none left out.
`film` needs frames of a fixed camera, static_camera/static_camera_48x64.npz in the folder that MODELAB_DATA names. Only numbers
of it are recorded, no picture.
"""

from __future__ import annotations

import base64
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pairwise import REGIME
from rows import by_seed, record

from modelab.minimax import Minimax
from modelab.modes import rare_modes
from modelab.pairwise import PairwiseBiGAN
from modelab.pictures import background, busy, read_frames, scenes
from modelab.training import Run
from modelab.wasserstein import Wasserstein

SEEDS, SAMPLES = 8, 2500


@dataclass
class Footage:
    """Frames of a fixed camera as a set to draw from: what departs from the running background, in grey."""
    frames: torch.Tensor  # (n, 1, h, w)

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return tuple(self.frames.shape[1:])

    def to(self, device: Any) -> Footage:
        """The same on another device."""
        return Footage(self.frames.to(device))

    def sample(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Frames drawn with replacement."""
        return self.frames[torch.randint(len(self.frames), (n,), generator=generator)]


def played(setting: str, game: Any, data: Any, steps: int, average: float, seeds: int = SEEDS) -> tuple[torch.Tensor, dict]:
    """Samples `(seeds, 2500, *event)` of a trained game, and the head of its row."""
    start = time.process_time()
    run = Run(game, data, runs=seeds, batch=64, device="cpu", average=average).step(steps)
    row = {"setting": setting, "steps": steps, "seeds": seeds, "cpu_seconds": round(time.process_time() - start)}
    return run.sample(SAMPLES), row


def kept(row: dict, **values: list[float]) -> dict:
    """The row with each measure as an interval and seed by seed."""
    row |= {name: by_seed(value) for name, value in values.items()}
    print({k: v["interval"] if isinstance(v, dict) else v for k, v in row.items() if k != "pictures"}, flush=True)
    return row


def packed(x: torch.Tensor) -> str:
    """Pictures in [-1, 1] as compressed bytes in text."""
    return base64.b64encode(zlib.compress(x.add(1).mul(127.5).round().clamp(0, 255).byte().numpy().tobytes(), 9)).decode()


def games(**bigan: Any) -> dict[str, Callable[[], Any]]:
    """The four. E must be stochastic: nine pictures of ten are one point, and a point has no codes to be spread over."""
    return {"GAN": lambda: Minimax(latent=4), "WGAN-GP": lambda: Wasserstein(latent=4),
            "BiGAN": lambda: PairwiseBiGAN(weight=0., **bigan), "BiGAN with the penalty": lambda: PairwiseBiGAN(weight=1., **bigan)}


STREET = {"latent": 4, "stochastic": True, "lr": {"G": 1e-3, "E": 1e-3, "D": 2e-3}, "betas": (0., .99)}


def street() -> Iterator[dict]:
    """Vehicle rate over the true one, of all and of well drawn ones; tracks shown well at a tenth of their rate or more."""
    data, steps = scenes(), 1500
    for name, make in games(**STREET).items():
        x, row = played(name, make(), data, steps, .99)
        seen = [data.assign(one) for one in x]
        lanes = torch.stack([(data.attributes(one) & good[:, None]).float().mean(0) for one, (_, good) in zip(x, seen)])
        first = torch.cat([x[0][:6], x[0][seen[0][0] > 0][:6]])
        row["pictures"] = {"of": [min(6, len(first)), max(0, len(first) - 6)], "bytes": packed(first)}
        yield kept(row, rate=[(mode > 0).float().mean().item() / .1 for mode, _ in seen],
                   tracks=(lanes >= data.rates / 10).sum(1).tolist(),
                   good=[good.float().mean().item() for _, good in seen],
                   well=[(good & (mode > 0)).float().mean().item() / .1 for mode, good in seen])


def rare() -> Iterator[dict]:
    """Nine modes of which one holds 90 %: modes shown, and the share of samples in the rare ones over the true one."""
    data, steps = rare_modes(), 5000
    made = {**REGIME, "fade": steps, "settle": steps // 2, "latent": 2}
    four = {**games(**made), "GAN": lambda: Minimax(latent=2), "GAN, saturating": lambda: Minimax(latent=2, saturating=True),
            "WGAN-GP": lambda: Wasserstein(latent=2, weight=.1)}
    for name, make in four.items():
        x, row = played(name, make(), data, steps, 0.)
        seen = [data.assign(one) for one in x]
        counts = torch.stack([torch.bincount(mode[good], minlength=9) for mode, good in seen])
        yield kept(row, modes=(counts > 0).sum(1).tolist(), rate=[c[1:].sum().item() / SAMPLES / .1 for c in counts],
                   good=[good.float().mean().item() for _, good in seen])


def film() -> Iterator[dict]:
    """Busy frames, generated over real, on a real film; nothing where there is none."""
    source = Path(os.environ.get("MODELAB_DATA", "."), "static_camera", "static_camera_48x64.npz")
    if not source.is_file():
        print("MODELAB_DATA names no folder with such a film: nothing measured")
        return
    grey = read_frames(source, (24, 32)).mean(1, keepdim=True)
    data = Footage(grey - background(grey, 101))
    true = share(data.frames)
    for name, make in games(**STREET).items():
        x, row = played(name, make(), data, 800, .99, seeds=4)
        row["true"] = round(true, 4)
        yield kept(row, rate=[share(one) / true for one in x],
                   grain=[one.std(0).mean().item() / data.frames.std(0).mean().item() for one in x])


def share(residual: torch.Tensor, least: float = .01, threshold: float = .2) -> float:
    """The share of frames in which at least a hundredth of the pixels depart from the background."""
    return ((residual.abs().amax(1) > threshold).float().mean((1, 2)) >= least).float().mean().item()


PARTS = {"scenes": street, "rare": rare, "film": film}


def main() -> None:
    """Measure the parts that are asked for, keep the others, record after each row."""
    path = Path(__file__).with_suffix(".json")
    for part in sys.argv[1:] or PARTS:
        for row in PARTS[part]():
            record(path, part, row)


if __name__ == "__main__":
    main()
