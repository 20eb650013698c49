"""How often copies are found, and how often a generator that copies nothing is accused: digits, MNIST, drawn faces.

    python benchmarks/copies.py              # twenty draws of each, recorded in benchmarks/copies.json (an hour on one core)
    python benchmarks/copies.py --only digits --draws 5

One process. Each draw is written at once, and a second call goes on where the first one stopped. MNIST is left out where
the folder that MODELAB_DATA names does not hold it. Thresholds and the list of changes were chosen on seeds 100 and up.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rows import cropped, moved, turned
from torch import Tensor
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.seeding import generator_or_default
from modelab.core.statistics import wilson_interval
from modelab.data.mnist import mnist
from modelab.data.pictures import faces
from modelab.evaluation.copies import _copy_findings, _copy_tests, _Examiner, _Scores, _timid_test, TransformedRatios
from modelab.evaluation.neighbours import MAX_BYTES

SIZES = {"digits": (599, 599, 599), "MNIST": (2000, 4000, 2000), "faces": (1000, 2000, 1000)}  # samples, train, held-out
WHAT = {"digits": "8×8 scans", "MNIST": "28×28 scans", "faces": "drawn faces of 32×32, noise .02"}
NOISE = {"digits": .1, "MNIST": .1, "faces": .02}  # of a noisy copy, in a range of [0, 1]


def scans(name: str, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Pictures in [0, 1], (n, 1, h, w), and their classes, in random order; None where the data is not there."""
    if name == "faces":
        x, mode = faces().sample_with_modes(sum(SIZES[name]) + 2000, generator=generator)
        return x / 2 + .5, mode
    if name == "digits":
        from sklearn.datasets import load_digits
        x, label = (torch.as_tensor(v) for v in (load_digits().images / 16, load_digits().target))
    else:
        try:
            file = mnist()
        except FileNotFoundError:
            return None
        x, label = file._images / 255, file._labels
    order = torch.randperm(len(x), generator=generator)[:sum(SIZES[name]) + 8000]
    return x[order].float().reshape(len(order), 1, *x.shape[-2:]), label[order]


def jpeg(x: Tensor, quality: int) -> Tensor:
    """Grey pictures written as JPEG files and read again."""
    from PIL import Image
    out = []
    for picture in (x[:, 0].clamp(0, 1) * 255).round().byte():
        file = io.BytesIO()
        Image.fromarray(picture.numpy()).save(file, "JPEG", quality=quality)
        out.append(torch.as_tensor(np.asarray(Image.open(file)).copy()).float() / 255)
    return torch.stack(out)[:, None]


def changes(name: str, noise: Callable[[Tensor], Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to training pictures."""
    return {"exact": lambda x: x, "with noise": noise, "dimmed to .7": lambda x: .7 * x,
            "low contrast": lambda x: .6 * x + .2, "JPEG 75": lambda x: jpeg(x, 75), "JPEG 30": lambda x: jpeg(x, 30),
            "moved by (0, 1)": lambda x: moved(x, 0, 1), "moved by (-1, 1)": lambda x: moved(x, -1, 1),
            "moved by (1, 2)": lambda x: moved(x, 1, 2), "mirrored": lambda x: x.flip(-1),
            "cropped to .9": lambda x: cropped(x, .9), "cropped to .8": lambda x: cropped(x, .8),
            "moved, dimmed, noisy": lambda x: noise(.8 * moved(x, 1, 1)),
            "turned by 10 degrees": lambda x: turned(x, 10.), "blurred": lambda x: F.avg_pool2d(x, 3, 1, 1)}


def honest(x: Tensor, middle: Tensor, more: Tensor, more_label: Tensor, noise: Callable) -> dict[str, Tensor]:
    """Samples that copy nothing; `more` are real pictures that nobody trained on."""
    made = {"perfect": x, "timid, 10 %": x.lerp(middle, .1), "timid, 30 %": x.lerp(middle, .3),
            "blurred": F.avg_pool2d(x, 3, 1, 1), "dimmed to .7": .7 * x, "noisy": noise(x)}
    if len(more) >= len(x):
        most = more[more_label == 1][:len(x) // 2]
        made["too many of class 1"] = torch.cat([most, x[:len(x) - len(most)]])
        made["class 4 lost"] = more[more_label != 4][:len(x)]
    return made


class Draw:
    """Training data, held-out data and samples of one seed, measured once."""
    def __init__(self, name: str, seed: int):
        g = torch.Generator().manual_seed(seed)
        n, known, m = SIZES[name]
        found = scans(name, g)
        if found is None:
            raise FileNotFoundError(name)
        (self.real, self.train, self.new, more), (label, train_label, _, more_label) = (
            v.split([n, known, m, len(v) - n - known - m]) for v in found)
        self.noise = lambda x: x + NOISE[name] * torch.randn(x.shape, generator=g)
        means = {int(c): self.train[train_label == c].mean(0) for c in train_label.unique()}
        middle = torch.stack([means.get(int(c), self.train.mean(0)) for c in label])
        self.honest = honest(self.real, middle, more, more_label, self.noise)
        self.examine = _Examiner(self.train, None, 5, True, MAX_BYTES)
        self.held, self.g = self.examine(self.new), g

    def alarms(self, x: Tensor, scores: _Scores) -> tuple[list[bool], float, float]:
        """Which tests alarm: copies, transformed, timid; and the interval of the share of copies."""
        tests = {**_copy_tests(scores, self.held), "timid": _timid_test(self.examine, x, self.new, generator_or_default(None))}
        found = _copy_findings(tests, .05)
        return [f.alarm for f in found.values()], found["copies"].low, found["copies"].high


def joined(one: _Scores, two: _Scores) -> _Scores:
    """The scores of both, one after the other."""
    both = {f.name: torch.cat([getattr(one, f.name), getattr(two, f.name)]) for f in fields(_Scores) if f.name != "found"}
    found = TransformedRatios(*(torch.cat(pair) for pair in zip(one.found[:3], two.found[:3])), one.found.changes)
    return _Scores(**both, found=found)


def after(scores: _Scores, count: int) -> _Scores:
    """All scores but the first."""
    rest = {f.name: getattr(scores, f.name)[count:] for f in fields(_Scores) if f.name != "found"}
    return _Scores(**rest, found=TransformedRatios(*(v[count:] for v in scores.found[:3]), scores.found.changes))


def draw_of(name: str, seed: int) -> dict[str, list]:
    """The alarms of every generator in one draw."""
    draw, rows = Draw(name, seed), {}
    for kind, x in draw.honest.items():
        scores = draw.examine(x)
        if kind == "perfect":
            base = scores
        rows[f"honest: {kind}"] = draw.alarms(x, scores)
    for kind, change in changes(name, draw.noise).items():
        for share in ((.1, .3) if name == "digits" else (.1,)):
            count = round(share * len(draw.real))
            copied = change(draw.train[torch.randperm(len(draw.train), generator=draw.g)[:count]])
            scores = joined(draw.examine(copied), after(base, count))
            rows[f"{share:.0%} {kind}"] = draw.alarms(torch.cat([copied, draw.real[count:]]), scores)
    return rows


def perfect_of(seed: int) -> list[bool]:
    """The alarms of a perfect generator of digits."""
    draw = Draw("digits", seed)
    return draw.alarms(draw.real, draw.examine(draw.real))[0]


def summary(kept: dict) -> dict:
    """Counts over the draws."""
    sets = {}
    for name, draws in kept["draws"].items():
        kinds = {kind: {"draws": len(draws), "copies": sum(d[kind][0][0] for d in draws.values()),
                        "transformed": sum(d[kind][0][1] for d in draws.values()),
                        "either": sum(any(d[kind][0][:2]) for d in draws.values()),
                        "timid": sum(d[kind][0][2] for d in draws.values())} for kind in next(iter(draws.values()))}
        n, known, m = SIZES[name]
        sets[name] = {"what": f"{WHAT[name]}, {n:,} samples, {known:,} training and {m:,} held-out examples",
                      "true share in interval": sum(d["10% exact"][1] <= .1 <= d["10% exact"][2] for d in draws.values()),
                      "kinds": kinds}
    perfect = kept["perfect"].values()
    accused = sum(map(any, perfect))
    return {"sets": sets, "false alarms": {
        "draws": len(perfect), "any": accused, "copying": sum(any(p[:2]) for p in perfect),
        "95 %": [round(v, 4) for v in wilson_interval(accused / max(1, len(perfect)), max(1, len(perfect)))]}}


def main() -> None:
    """Measure, record after each draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20, help="draws of each set; perfect generators get ten times as many")
    parser.add_argument("--first", type=int, default=0, help="the first seed; 100 and up are for choosing settings")
    parser.add_argument("--only", choices=[*SIZES, "perfect"], help="only this set")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    kept = json.loads(args.out.read_text()) if args.out.is_file() else {"draws": {}, "perfect": {}}

    def store() -> None:
        result = {"torch": torch.__version__.split("+")[0], **summary(kept), "draws": kept["draws"],
                  "perfect": kept["perfect"]}
        atomic_write(args.out, (json.dumps(result) + "\n").encode())
    jobs = [(name, seed) for name in SIZES for seed in range(args.first, args.first + args.draws)]
    jobs += [("perfect", seed) for seed in range(1000, 1000 + 10 * args.draws)]
    for name, seed in tqdm([job for job in jobs if args.only in (None, job[0])]):
        place = kept["perfect"] if name == "perfect" else kept["draws"].setdefault(name, {})
        if str(seed) in place:
            continue
        try:
            place[str(seed)] = perfect_of(seed) if name == "perfect" else draw_of(name, seed)
        except FileNotFoundError:
            del kept["draws"][name]
            continue
        store()
    print(json.dumps(summary(kept), indent=1))


if __name__ == "__main__":
    main()
