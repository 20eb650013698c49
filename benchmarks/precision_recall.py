"""The experiment of Simon, Webster and Rabin (2019) on MNIST, for chapter 4.1: how far are estimates of precision and recall from a known curve?

    MODELAB_DATA=FOLDER python benchmarks/precision_recall.py   # about five minutes of one idle core; goes on where it was stopped

The paper takes pictures of CIFAR-10: the data are the first five classes, and a "model" shows the first q classes, in equal parts. Both are
real pictures, and no picture is in both sets. So the curve is known. It is a rectangle: for q ≤ 5 precision is 1 and recall q/5, for q > 5
precision is 5/q and recall 1. Here the pictures are training digits of MNIST at 28×28, 2,000 on each side, q = 1 to 9, and eight draws. The
paper has 5,000 on each side, and features of an Inception network.

Each measure gets the 784 pixels, and the 64 features of the course's digit classifier. That classifier was trained on these digits with their
labels, so its features separate the classes better than the features of a foreign network would. The measures:

    linear          logistic regression (C = 0.01), trained on one half of both sets and scored on the other; all slopes
    trees           the same with the hundred extremely randomised trees that are the default of `pr_curve`
    20 neighbours   the same with a vote of twenty neighbours
    20 clusters     k-means on the union, the curve of both histograms, the mean of two clusterings (ten in Sajjadi et al. 2018)
    balls           precision and recall by balls that reach to the third neighbour (Kynkäänniemi et al. 2019); it has no curve

From a curve we take four numbers. F₁/₈ and F₈ are close to the precision and the recall of a rectangle, and they are compared with the same two
numbers of the ideal curve. The two end points of the curve are compared with its ideal precision and recall. The balls have only these two.

Written before the run, after one draw of q = 7 that is none of the eight. The error of a measure is the mean, over nine q and over precision and recall, of the absolute difference to the ideal
one (F₁/₈ and F₈ for curves). Claim 1, our form of the paper's comparison: on features the error of the linear classifier is below that of the
twenty clusters, draw by draw (upper limit of the interval of the difference below 0). Claim 2: on features the error of the linear classifier
is below 0.05 (upper limit). Claim 3: the end points of its curve are worse than its F-scores, by 0.05 or more in the mean over q (lower limit
of the difference). Claim 4: on pixels the linear classifier flatters: its mean signed error is above 0.05 (lower limit). Claim 5: on features
the balls have a smaller error than the linear classifier. We expect 5 not to hold: one strange picture is enough for a large ball.
The null is a measure that always says 1. The floor is the same error where the true class of each picture is known: 0 for equal parts.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rows import by_seed, known, record
from torch import Tensor

from modelab.data.mnist import idx_files, mnist, read_idx
from modelab.evaluation.precision_recall import histogram_curve, PRCurve, pr_curve, precision_recall

FILE, DRAWS, N, HALF, K, ANGLES = Path(__file__).with_suffix(".json"), 8, 2000, 5, 3, 1001
SPACES = "pixels", "features"
KEPT = slice(0, None, 40)  # points of the mean curve that are recorded


def curves() -> dict[str, Callable[..., PRCurve]]:
    """The measures that give a curve, by name."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    return {"linear": functools.partial(pr_curve, classifier=LogisticRegression(C=.01, max_iter=1000)),
            "trees": pr_curve,
            "20 neighbours": functools.partial(pr_curve, classifier=KNeighborsClassifier(20)),
            "20 clusters": functools.partial(pr_curve, method="clusters", clusters=20, rounds=2)}


def ideal(q: int) -> tuple[float, float]:
    """Precision and recall of a model that shows the first q classes, in equal parts; the data are the first five."""
    return min(1., HALF / q), min(1., q / HALF)


def ideal_curve(q: int) -> PRCurve:
    """The curve of the two laws over ten classes."""
    classes = torch.arange(10)
    return histogram_curve((classes < HALF).double() / HALF, (classes < q).double() / q, ANGLES)


@functools.cache
def training_digits() -> tuple[Tensor, Tensor]:
    """The 60,000 training digits, (n, 28, 28) of 0 to 255, and what they show."""
    images, labels = (read_idx(path) for path in idx_files("mnist")[:2])
    return images, labels.long()


def sides(q: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n pictures of the first five classes and n of the first q, (n, 1, 28, 28) in [-1, 1], each in equal parts; no picture twice."""
    images, labels = training_digits()
    order = torch.randperm(len(labels), generator=generator)
    where = [order[labels[order] == c] for c in range(10)]
    parts = [(torch.arange(k) + 1) * n // k - torch.arange(k) * n // k for k in (HALF, q)]
    real = torch.cat([where[c][:m] for c, m in enumerate(parts[0].tolist())])
    fake = torch.cat([where[c][len(where[c]) - m:] for c, m in enumerate(parts[1].tolist())])
    assert not set(real.tolist()) & set(fake.tolist())
    return tuple(images[i].float().div(127.5).sub(1).unsqueeze(1) for i in (real, fake))


def four(curve: PRCurve) -> dict[str, float]:
    """Both F-scores and both ends of a curve."""
    return {"F1/8": curve.f(1 / 8), "F8": curve.f(8), "end precision": float(curve.precision[-1]), "end recall": float(curve.recall[0])}


def measure(space: str, q: int, draws: int = DRAWS, n: int = N) -> dict:
    """All measures of one model in one space, draw by draw, and their mean curves."""
    found: dict[str, list] = {name: [] for name in (*curves(), "balls")}
    for seed in range(draws):
        g = torch.Generator().manual_seed(1000 * q + seed)
        real, fake = (x.flatten(1) if space == "pixels" else mnist().judge.features(x) for x in sides(q, n, g))
        for name, curve in curves().items():
            found[name].append(curve(real, fake, angles=ANGLES, generator=g))
        found["balls"].append(precision_recall(real, fake, K))
    balls = found.pop("balls")
    row = {"setting": f"{space}, q = {q}", "space": space, "q": q, "draws": draws, "n": n,
           "balls": {name: by_seed([getattr(b, name) for b in balls]) for name in ("precision", "recall")}}
    for name, drawn in found.items():
        numbers = [four(curve) for curve in drawn]
        row[name] = {key: by_seed([v[key] for v in numbers]) for key in numbers[0]}
        row[name]["curve"] = {key: [round(v, 3) for v in torch.stack([getattr(c, key) for c in drawn]).mean(0)[KEPT].tolist()]
                              for key in ("precision", "recall")}
    return row


def main() -> None:
    """Measure the settings that are not recorded yet, all or those whose name holds the first argument."""
    torch.set_num_threads(1)
    done, only = known(FILE, "classes"), "".join(sys.argv[1:2])  # such as "features", or "q = 3"
    for q in range(1, 10):
        for space in SPACES:
            name = f"{space}, q = {q}"
            if only in name and name not in done:
                row = measure(space, q)
                record(FILE, "classes", row)
                print(name, ideal(q), {m: {k: v["interval"] for k, v in row[m].items() if "interval" in v} for m in (*curves(), "balls")}, flush=True)


if __name__ == "__main__":
    main()
