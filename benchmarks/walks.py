"""Walks between the codes of two faces, of which one has a rare attribute, and whose codes lie next to each other.

    python benchmarks/walks.py                   # all parts, about an hour on one core; goes on where it was stopped
    python benchmarks/walks.py tune "walks:penalty"    # a part alone, or the games with these words in their name
    python benchmarks/walks.py --pause walks     # stops after each checkpoint of eight seeds; call it again

Three games with the same networks (two hidden layers of 256 units, a latent of 16, noise in E): BiGAN, BiGAN whose discriminator has R1 (a slope
penalty that knows no pairs), BiGAN with the pair-wise penalty. D learns at twice the rate of G and E at a quarter of it: with equal rates and no noise
the codes spread 3.5 to 9 times as wide as the prior (seeds 100 and 101). `tune` tries two rates of each for half the steps on these seeds and
keeps the one with the most good pictures on its walks; `walks` trains it on seeds 0 to 7. All rates fall to a hundredth, and nothing is averaged.

A walk goes in eight steps, both ends included, straight from the code of a face without any of the four attributes to the code of one with.
A picture is *good* within three noise widths of a clean face. (Within five, a plain cross-fade of the two faces would be good at nearly every step.)
`reached`: share of the last three steps that are good and show the attribute. `middle`: share of the four middle steps that are good.
`nearest`: share of the last three steps whose nearest clean face shows the attribute, good or not.
`start`, `end`: share of walks whose first picture is good and shows no attribute; whose last is good and shows the attribute.
`shown`: share of 2,000 samples whose nearest clean face shows one of the four attributes; in the data it is `true`.
`codes`: how often the nearest other code of a face shows the same of all four attributes; 50 faces of each of the twelve modes, two pictures of one
clean face never compared.

Thresholds, set before the run. Reaching: the interval of the penalty's `reached` lies above that of each other game. Passing: the interval of its
`middle` lies above the cross-fade's. Grouping: the interval of its `codes` lies above that of the untrained encoder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from rows import asked, by_seed, known, packed, record

from modelab.data.mixtures import sample_modes
from modelab.data.pictures import faces
from modelab.losses.penalties import input_gradient
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE, SEEDS, STEPS, LOOKS = Path(__file__).with_suffix(".json"), 8, 6000, 3
MEASURES, PAUSE = ("reached", "nearest", "middle", "start", "end"), "--pause" in sys.argv
PAIRS, WALK, EACH, SAME = 50, 8, 50, .065  # SAME: distance per pixel below which two pictures have one clean face


class WithR1(PairwiseBiGAN):
    """BiGAN with R1 in x on its discriminator, with a weight that stays."""
    def pair_penalty(self, D: Callable, x: torch.Tensor, z: torch.Tensor, x_hat: torch.Tensor, generator: Any) -> torch.Tensor:
        """‖∇D‖²/2 at the real point."""
        return input_gradient(lambda p: D(p, z), x, lead=2)[1].flatten(2).square().sum(-1) / 2

    def weight_at(self, step: int) -> float:
        """The same at each step."""
        return self.weight


def games(steps: int) -> dict[str, dict[str, PairwiseBiGAN]]:
    """Two settings of each of the three games; the penalty and R1 have the weight 1."""
    def game(kind: type, weight: float, rate: float) -> PairwiseBiGAN:
        optimiser = Optimiser({"G": rate, "E": rate / 4, "D": 2 * rate}, (0., .99), Schedule("cosine", steps))
        return kind(weight=weight, stochastic=True, networks=Networks("mlp", width=256, depth=2, latent=16), optimiser=optimiser)
    kinds = {"BiGAN": (PairwiseBiGAN, 0.), "BiGAN with the penalty": (PairwiseBiGAN, 1.), "BiGAN with R1": (WithR1, 1.)}
    return {name: {f"rate {rate:g}": game(kind, weight, rate) for rate in (5e-4, 1e-3)} for name, (kind, weight) in kinds.items()}


def ends(modes: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each attribute, faces without any and as many with this one, (PAIRS, 1, 32, 32) each; the same in every call."""
    g = torch.Generator().manual_seed(1)
    common = torch.nonzero(~modes.kinds.any(1))[:, 0].tolist()
    return [(sample_modes(modes, common, PAIRS, generator=g), sample_modes(modes, torch.nonzero(shows)[:, 0].tolist(), PAIRS, generator=g))
            for shows in modes.kinds.T]


def judged(modes: Any, walks: list[torch.Tensor]) -> dict[str, Any]:
    """The measures of one seed's walks, (PAIRS, WALK, 1, 32, 32) for each attribute."""
    seen = [[part.view(PAIRS, WALK) for part in modes.assign(x.flatten(0, 1))] for x in walks]
    near = [modes.kinds[mode, i] for i, (mode, _) in enumerate(seen)]
    shows = [good & n for n, (_, good) in zip(near, seen)]
    reached = [s[:, -3:].float().mean().item() for s in shows]
    good = torch.stack([good for _, good in seen])
    bare = torch.stack([good[:, 0] & ~modes.kinds[mode[:, 0]].any(1) for mode, good in seen])
    return {"reached": sum(reached) / len(reached), "nearest": torch.stack(near)[..., -3:].float().mean().item(),
            "middle": good[..., 2:6].float().mean().item(), "start": bare.float().mean().item(),
            "end": torch.stack([s[:, -1] for s in shows]).float().mean().item(), "good by step": good.float().mean((0, 1)).tolist(),
            "shows by step": torch.stack(shows).float().mean((0, 1)).tolist(),
            "nearest by step": torch.stack(near).float().mean((0, 1)).tolist(), "reached by attribute": reached}


def attributes_shown(modes: Any, x: torch.Tensor) -> float:
    """The share of pictures whose nearest clean face shows an attribute."""
    return modes.kinds[modes.assign(x)[0]].any(1).float().mean().item()


def neighbours(modes: Any, encode: Callable) -> torch.Tensor:
    """Accuracy of the nearest code, one for each run; `encode` makes (runs, n, ·) from pictures."""
    g = torch.Generator().manual_seed(2)
    x = torch.cat([sample_modes(modes, [k], EACH, generator=g) for k in range(modes.n_modes)])
    mode, flat = torch.arange(modes.n_modes).repeat_interleave(EACH), x.flatten(1)
    same = torch.cdist(flat, flat) / flat.shape[1] ** .5 < SAME
    return torch.stack([(mode[torch.cdist(c, c).masked_fill(same, torch.inf).argmin(1)] == mode).float().mean() for c in encode(x)])


@torch.no_grad()
def coded(run: Run, x: torch.Tensor) -> torch.Tensor:
    """Codes (runs, n, latent) of pictures."""
    x = x.expand(run.runs, *x.shape)
    turn = SimpleNamespace(x=x, z=run.noise(x.shape[1], run.generators("look")), generator=run.generators("look", 1), **run.players.nets)
    return run.game.encode(turn)


@torch.no_grad()
def walked(run: Run) -> list[torch.Tensor]:
    """Walks of all runs, (runs, PAIRS, WALK, 1, 32, 32) for each attribute."""
    found = []
    for pair in ends(run.modes):
        a, b = (coded(run, x) for x in pair)
        path = torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, WALK)], 2)
        found.append(run.players.nets["G"](path.flatten(1, 2)).unflatten(1, (PAIRS, WALK)))
    return found


def measured(setting: str, game: PairwiseBiGAN, steps: int, seeds: int, first: int) -> tuple[dict, list[torch.Tensor]]:
    """Train, from a checkpoint if there is one; what the walks reach halfway and at the end; all measures at the end; and the walks."""
    modes, way = faces(), []
    path = Path(tempfile.gettempdir()) / f"modelab-walks-{setting.replace(' ', '-').replace(':', '')}-{steps}-{first}.safetensors"
    run = Run(game, modes, runs=seeds, seed=first, batch=64, device="cpu")
    untrained = neighbours(modes, lambda x: coded(run, x))
    if path.is_file():
        run = Run.load(path, game, modes, device="cpu")
    while True:
        if run.steps:
            walks = walked(run)
            found = [judged(modes, [x[r] for x in walks]) for r in range(seeds)]
            way.append({"steps": run.steps} | {name: round(sum(f[name] for f in found) / seeds, 3) for name in MEASURES})
            print(setting, way[-1], f"{time.process_time():.0f} s", flush=True)
        if run.steps >= steps:
            break
        run.step(steps // LOOKS, progress=False).save(path)
        if PAUSE and seeds == SEEDS and run.steps < steps:
            sys.exit(f"{setting}: paused at step {run.steps}")
    row = {"setting": setting, "steps": steps, "seeds": seeds, "looks": way} | {name: by_seed(f[name] for f in found) for name in MEASURES}
    row |= {name: [[round(v, 3) for v in f[name]] for f in found]
            for name in ("good by step", "shows by step", "nearest by step", "reached by attribute")}
    row["shown"] = by_seed(attributes_shown(modes, x) for x in run.sample(2000))
    row["codes"] = by_seed(neighbours(modes, lambda x: coded(run, x)).tolist())
    return row | {"untrained codes": by_seed(untrained.tolist())}, walks


def tune(only: str) -> Iterator[dict]:
    """Two rates of each game on two seeds that report nothing."""
    for game, settings in games(STEPS // 2).items():
        for name, made in settings.items():
            if only in (setting := f"{game}: {name}") and setting not in known(FILE, "tune"):
                yield measured(setting, made, STEPS // 2, 2, 100)[0]


def walks(only: str) -> Iterator[dict]:
    """The best setting of each game on eight seeds, with the first walks of seed 0; nothing for a game that is not tuned yet."""
    tuned, done = known(FILE, "tune"), known(FILE, "walks")
    for game, settings in games(STEPS).items():
        rows = [tuned.get(f"{game}: {name}") for name in settings]
        if only in game and game not in done and all(rows):
            best = max(rows, key=lambda row: sum(map(sum, row["good by step"])))["setting"].split(": ")[1]
            row, walks = measured(game, settings[best], STEPS, SEEDS, 0)
            yield row | {"tuned": best, "pictures": packed(torch.stack([x[0, 0] for x in walks]))}


def null(only: str) -> Iterator[dict]:
    """What needs no encoder: the cross-fade of the two faces, and the pixels as codes."""
    modes = faces()
    fades = [torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, WALK)], 1) for a, b in ends(modes)]
    row = {"setting": "cross-fade", "true": round(modes.weights[modes.kinds.any(1)].sum().item(), 4)} | judged(modes, fades) | {"pictures": packed(torch.stack([x[0] for x in fades]))}
    yield row | {"codes": round(neighbours(modes, lambda x: x.flatten(1)[None]).item(), 4)}


PARTS = {"null": null, "tune": tune, "walks": walks}


def main() -> None:
    """Measure the parts that are asked for, keep the others, record after each row."""
    for part, only in asked([word for word in sys.argv[1:] if word != "--pause"], PARTS):
        for row in PARTS[part](only):
            record(FILE, part, row)


if __name__ == "__main__":
    main()
