"""Drawn faces with rare attributes: a GAN with R1 beside the inclusive GAN, when different faces ask. What chapter 3.2 shows.

    python benchmarks/faces.py                    # all settings, about half an hour each on one core; goes on where it was stopped
    python benchmarks/faces.py "nobody"           # the settings with these words in their name

All settings have the same networks (two hidden layers of 256 units), rates and number of steps. They were chosen by walks of seed 100 in which faces ask:
rates of 1e-3 and 2e-3, weights of .01, .03 and .1, R1 of .01, .1 and .5, noise on matched latents or none. Where nobody asks, R1 of .1,
.5 and 2 at a rate of 2e-3, and of 1 and 5 at 1e-3 were tried; 2 kept the most hats and beards, and no setting kept eyeglasses. The weight
2 was then taken for the faces that ask, too; no other was tried there. Recorded are seeds 0 to 7.
A sample is good if it lies within five noise widths of a clean face; `within 3` has the same ratios within three widths (added later: the first
three rows lack it). Precision of an attribute that no sample shows is undefined (null).
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import torch
from rows import by_seed, chosen, packed, record

from modelab.core.registry import current_spec
from modelab.data.pictures import faces
from modelab.evaluation.precision_recall import frechet_distance
from modelab.evaluation.traits import precision_recall_by_trait
from modelab.methods.imle_gan import IMLEGAN
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE, SEEDS, STEPS, SAMPLES = Path(__file__).with_suffix(".json"), 8, 10_000, 5000
ASKING = {"nobody asks": ("", 0.), "nobody asks, R1 2": ("", 0., 2.), "all four attributes ask": ("any", .03), "eyeglasses ask": ("eyeglasses", .03),
          "eyeglasses with a beard ask": ("eyeglasses+beard", .03), "hats ask": ("hat", .03),
          "all four attributes ask, R1 2": ("any", .03, 2.)}


def asking_modes(modes, asks: str) -> list[int] | None:
    """The modes that show all of the attributes; "any": one of the four; None: nobody asks."""
    if not asks:
        return None
    columns = [modes.traits.index(name) for name in modes.traits] if asks == "any" else [modes.traits.index(a) for a in asks.split("+")]
    shows = modes.kinds[:, columns]
    return (shows.any(1) if asks == "any" else shows.all(1)).nonzero()[:, 0].tolist()


def game(modes, steps: int, asks: str, weight: float, r1: float = .1) -> IMLEGAN:
    """The inclusive GAN; with weight 0 it is a GAN with R1."""
    return IMLEGAN(weight=weight, interpolation_weight=0., r1_weight=r1, reals=128, pool=10, refresh=20,
                   minority=asking_modes(modes, asks), networks=Networks("mlp", width=256, latent=32),
                   optimiser=Optimiser(2e-3, (0., .99), Schedule("cosine", steps)))


def or_none(values: list[float]) -> dict:
    """Numbers seed by seed with their interval; null where one is undefined."""
    if all(map(math.isfinite, values)):
        return by_seed(values)
    return {"interval": "", "by seed": [round(v, 4) if math.isfinite(v) else None for v in values]}


def seen(run: Run, n: int) -> dict:
    """What the samples of each seed show."""
    modes, fresh = run.modes, run.modes.sample(n, torch.Generator().manual_seed(1))
    names, samples = [*modes.traits, "eyeglasses+beard"], run.sample(n)
    found, strict = ([precision_recall_by_trait(modes, x, names, within=within) for x in samples] for within in (5., 3.))
    shown = [modes.attributes(x) for x in samples]
    shown = [torch.cat([s, (s[:, :1] & s[:, 3:4])], 1).double().mean(0) for s in shown]
    return {"traits": {name: {"precision": or_none([f[name][0] for f in found]), "recall": by_seed([f[name][1] for f in found]),
                              "rate": by_seed([s[i].item() for s in shown])} for i, name in enumerate(names)},
            "within 3": {name: {"precision": or_none([f[name][0] for f in strict]), "recall": by_seed([f[name][1] for f in strict])}
                         for name in names},
            "good": by_seed([modes.assign(x, 5.)[1].double().mean().item() for x in samples]),
            "frechet": by_seed([frechet_distance(fresh, x) for x in samples])}


def sheet(run: Run, n: int) -> dict[str, str]:
    """Faces of seed 0: the first sixteen, and the first eight with each attribute."""
    x = run.sample(n)[0]
    shown = run.modes.attributes(x)
    first = {"first": x[:16]} | {name: x[on][:8] for name, on in zip(run.modes.traits, shown.T)}
    return {name: packed(faces) for name, faces in first.items()}


def walk(name: str, setting: tuple, steps: int, runs: int) -> Run:
    """The run at its last step; it goes on from a checkpoint."""
    modes, path = faces(), Path(tempfile.gettempdir()) / f"modelab-faces-{name.replace(' ', '-')}-{steps}-{runs}.safetensors"
    run = Run.load(path, modes=modes, device="cpu") if path.is_file() else \
        Run(game(modes, steps, *setting), modes, runs=runs, batch=64, average=.995, device="cpu")
    if current_spec(run.game) != current_spec(game(modes, steps, *setting)):
        sys.exit(f"{path} was made with other settings; delete it")
    while run.steps < steps:
        start = time.process_time()
        run.step(min(500, steps - run.steps), progress=False).save(path)
        print(f"{name}: step {run.steps} of {steps}, {time.process_time() - start:.0f} s", flush=True)
    return run


def main() -> None:
    """Train, measure, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="?", default="", help="words in the names of settings (default: all)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--runs", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    modes = faces()
    x = [modes.sample(SAMPLES, torch.Generator().manual_seed(2 + i)) for i in range(2)]
    perfect = {k: dict(zip(("precision", "recall"), v)) for k, v in precision_recall_by_trait(
        modes, x[0], [*modes.traits, "eyeglasses+beard"], within=5.).items()}
    record(args.out, "perfect", {"setting": "a perfect generator", "samples": SAMPLES, "traits": perfect, "frechet": frechet_distance(*x)})
    for name, setting in chosen(ASKING, args.words):
        run = walk(name, setting, args.steps, args.runs)
        row = {"setting": name, **dict(zip(("asks", "weight"), setting)), "seeds": args.runs, "steps": run.steps, **seen(run, SAMPLES)}
        record(args.out, "faces", row | {"pictures": sheet(run, SAMPLES)})
        print({k: [v["precision"]["interval"], v["recall"]["interval"]] for k, v in row["traits"].items()}, flush=True)


if __name__ == "__main__":
    main()
