"""A heavy central mode: seven games on a street that is mostly empty, on rare points, and on a real film of a fixed camera.

    python benchmarks/street.py                 # all parts, about forty minutes on one core
    python benchmarks/street.py scenes film:GAN # some of them; the others keep what they recorded
    python benchmarks/street.py tune "scenes:GAN + R1, tuned"   # eight settings of R1 on four seeds of their own, then the best

Every game takes the same number of generator steps with the same batch; the CPU seconds stand beside. Eight seeds (the film: four), none left out.
`film` needs frames of a fixed camera, static_camera/static_camera_48x64.npz in the folder that MODELAB_DATA names. Only numbers
of it are recorded, no picture.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pairwise import DEEP, made
from rows import asked, by_seed, chosen, packed, record

from modelab.data.frames import median_background, read_frames
from modelab.data.mixtures import rare_modes
from modelab.data.pictures import scenes
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.methods.wasserstein import Wasserstein, ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

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


def played(setting: str, game: Any, data: Any, looks: Sequence[int], average: float, say: Callable, seeds: int = SEEDS,
           first: int = 0, batch: int = 64, of: int = 0) -> tuple:
    """Train, and at each of these steps note what `say` says of every seed's samples, counts up to `of`; the last samples, and the row."""
    run, spent = Run(game, data, runs=seeds, seed=first, batch=batch, device="cpu", average=average), 0.
    row: dict[str, Any] = {"setting": setting, "steps": looks[-1], "seeds": seeds, **({"of": of} if of else {}), "looks": []}
    for steps in looks:
        start = time.process_time()
        run.step(steps - run.steps)
        spent += time.process_time() - start
        x = run.sample(SAMPLES)
        found = {name: by_seed(value) for name, value in say(x).items()}
        row["looks"].append({"steps": steps, "cpu_seconds": round(spent), **found})
        print(setting, steps, round(spent), {name: value["interval"] for name, value in found.items()}, flush=True)
    return x, row | {"cpu_seconds": round(spent), **found}


def games(**bigan: Any) -> dict[str, Callable[[], Any]]:
    """The six. E must be stochastic: nine pictures of ten are one point, and a point has no codes to be spread over."""
    return {"GAN": lambda: Minimax(networks=Networks(latent=4)), "GAN + R1 0.1": lambda: ZeroCentred(weight=.1, networks=Networks(latent=4)),
            "WGAN-GP, n_critic 1, lr 2e-3": lambda: Wasserstein(n_critic=1, networks=Networks(latent=4), optimiser=Optimiser(2e-3)),
            "WGAN-GP": lambda: Wasserstein(networks=Networks(latent=4)),
            "BiGAN": lambda: made(PairwiseBiGAN, weight=0., **bigan),
            "BiGAN with the penalty": lambda: made(PairwiseBiGAN, weight=1., **bigan)}


STREET = {"latent": 4, "stochastic": True, "lr": {"G": 1e-3, "E": 1e-3, "D": 2e-3}, "betas": (0., .99)}


def vehicles(x: torch.Tensor) -> dict[str, list]:
    """Vehicle rate over the true one, of all and of well drawn ones; tracks shown well at a tenth of their rate or more; seed by seed."""
    data = scenes()
    seen = [data.assign(one) for one in x]
    lanes = torch.stack([(data.attributes(one) & good[:, None]).float().mean(0) for one, (_, good) in zip(x, seen)])
    return {"rate": [(mode > 0).float().mean().item() / .1 for mode, _ in seen],
            "tracks": (lanes >= data.rates / 10).sum(1).tolist(),
            "good": [good.float().mean().item() for _, good in seen],
            "well": [(good & (mode > 0)).float().mean().item() / .1 for mode, good in seen]}


RATES = {"default rates": Optimiser(), "D twice as fast": Optimiser({"G": 1e-3, "D": 2e-3}, (0., .99)),
         "quick, falls late": Optimiser(4e-3, (0., .99), Schedule("linear", 10_000))}
R1_SETTINGS = {f"weight {weight}, {rates}": (weight, RATES[rates]) for rates, weights in
               (("default rates", (.01, 1., 10.)), ("D twice as fast", (.01, .1, 1.)), ("quick, falls late", (.1, 1.))) for weight in weights}


def r1_game(setting: str) -> ZeroCentred:
    """The GAN with R1 at one of the eight settings."""
    weight, optimiser = R1_SETTINGS[setting]
    return ZeroCentred(weight=weight, networks=Networks(latent=4), optimiser=optimiser)


def tune(only: str) -> Iterator[dict]:
    """Eight settings of R1 on the street, with seeds that report nothing."""
    for name, _ in chosen(R1_SETTINGS, only):
        yield played(name, r1_game(name), scenes(), (10_000,), .99, vehicles, seeds=4, first=100, of=4)[1]


def tuned() -> dict[str, Callable[[], Any]]:
    """R1 at the setting that draws most vehicles well, by the recorded tuning; nothing before all eight are recorded."""
    path = Path(__file__).with_suffix(".json")
    rows = json.loads(path.read_text(encoding="utf-8")).get("tune", []) if path.is_file() else []
    if {row["setting"] for row in rows} != R1_SETTINGS.keys():
        return {}
    best = max(rows, key=lambda row: sum(row["well"]["by seed"]))["setting"]
    return {"GAN + R1, tuned": lambda: r1_game(best)}


def street(only: str) -> Iterator[dict]:
    """The games on the street, with pictures of the first seed."""
    data = scenes()
    for name, make in chosen(games(**STREET) | tuned(), only):
        x, row = played(name, make(), data, (1500, 3000, 6000, 10_000), .99, vehicles, of=len(data.rates))
        first = torch.cat([x[0][:6], x[0][data.assign(x[0])[0] > 0][:6]])
        yield row | {"pictures": {"of": [min(6, len(first)), max(0, len(first) - 6)], "bytes": packed(first)}}


def rare(only: str) -> Iterator[dict]:
    """Nine modes of which one holds 90 %: modes shown, and the share of samples in the rare ones over the true one."""
    data, steps = rare_modes(), 5000

    def say(x: torch.Tensor) -> dict[str, list]:
        seen = [data.assign(one) for one in x]
        counts = torch.stack([torch.bincount(mode[good], minlength=9) for mode, good in seen])
        return {"modes": (counts > 0).sum(1).tolist(), "rate": [c[1:].sum().item() / SAMPLES / .1 for c in counts],
                "good": [good.float().mean().item() for _, good in seen]}
    regime = {**DEEP, "fade": steps, "settle": steps // 2, "latent": 2}
    changed = {"GAN": lambda: Minimax(networks=Networks(latent=2)), "GAN, saturating": lambda: Minimax(saturating=True, networks=Networks(latent=2)),
               "GAN + R1 0.1": lambda: ZeroCentred(weight=.1, networks=Networks(latent=2)), "WGAN-GP": lambda: Wasserstein(weight=.1, networks=Networks(latent=2))}
    for name, make in chosen({**games(**regime), **changed}, only):
        yield played(name, make(), data, [steps], 0., say, of=9)[1]
    falls = Optimiser(3e-3, schedule=Schedule("linear", steps, stairs=20))
    best = {"GAN + R1 0.1, tuned in 1.4": ZeroCentred(weight=.1, networks=Networks(width=64, latent=2), optimiser=falls)}
    for name, game in chosen(best, only):  # the best in benchmarks/wasserstein.py on this set; seeds 0 to 7 chose it there
        yield played(name, game, data, [steps], .995, say, first=SEEDS, batch=128, of=9)[1]


def film(only: str) -> Iterator[dict]:
    """Busy frames, generated over real, on a real film; nothing where there is none."""
    source = Path(os.environ.get("MODELAB_DATA", "."), "static_camera", "static_camera_48x64.npz")
    if not source.is_file():
        print("MODELAB_DATA names no folder with such a film: nothing measured")
        return
    grey = read_frames(source, (24, 32)).mean(1, keepdim=True)
    data = Footage(grey - median_background(grey, 101))
    true, grain = share(data.frames), data.frames.std(0).mean().item()

    def say(x: torch.Tensor) -> dict[str, list]:
        return {"rate": [share(one) / true for one in x], "grain": [one.std(0).mean().item() / grain for one in x]}
    for name, make in chosen(games(**STREET), only):
        yield played(name, make(), data, (800, 2000, 5000), .99, say, seeds=4)[1] | {"true": round(true, 4)}


def share(residual: torch.Tensor, least: float = .01, threshold: float = .2) -> float:
    """The share of frames in which at least a hundredth of the pixels depart from the background."""
    return ((residual.abs().amax(1) > threshold).float().mean((1, 2)) >= least).float().mean().item()


PARTS = {"tune": tune, "scenes": street, "rare": rare, "film": film}


def main() -> None:
    """Measure the parts that are asked for, keep the others, record after each row."""
    path = Path(__file__).with_suffix(".json")
    for part, only in asked(sys.argv[1:], PARTS):
        for row in PARTS[part](only):
            record(path, part, row)


if __name__ == "__main__":
    main()
