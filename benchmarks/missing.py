"""How often `missing` finds what is lost, and how often it accuses a perfect generator.

    MODELAB_DATA=… python benchmarks/missing.py        # a quarter of an hour; goes on where it was stopped
    python benchmarks/missing.py --only "false alarms"       # renew this part, keep the others

Points of ten modes, MNIST and drawn faces, 20 seeds each, n samples, n held-out and 2 n reference examples. False alarms are
counted with 199 shuffles, power with 999. Beside it two baselines: k-means clusters of the reference with a hypergeometric test
each (the better of two choices of k), and in some cases a classifier of extremely randomised trees that half of the samples
train and the other half tests. What is done is stored, and a second call goes on. MNIST is read from the folder that
MODELAB_DATA names; without it these cases are left out.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.stats import hypergeom
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.statistics import wilson_interval
from modelab.data.mixtures import mixture
from modelab.data.mnist import mnist
from modelab.data.pictures import faces
from modelab.evaluation.copying import nearest_k
from modelab.evaluation.missing import feature_space, missing

faces, mnist = functools.cache(faces), functools.cache(mnist)
SEEDS, SCALE = 20, {2: 6., 8: 3., 64: 1.}
Draw = tuple[Tensor, Tensor, Tensor, Tensor]  # reference, samples, holdout, more samples of the same generator


def points(seed: int, n: int, width: int, lost: bool) -> Draw:
    """Ten normal modes; the generator loses the first."""
    g = torch.Generator().manual_seed(seed)
    law = mixture(SCALE[width] * torch.randn(10, width, generator=g), 1.)
    x, mode = law.sample_with_modes(3 * n, g)
    x = x[mode > 0] if lost else x
    return law.sample(2 * n, g), x[:n], law.sample(n, g), x[n:]


def drawn_faces(seed: int, n: int, lost: bool) -> Draw:
    """Drawn faces; the generator never shows eyeglasses, which 6 % wear."""
    g, law = torch.Generator().manual_seed(seed), faces()
    x, mode = law.sample_with_modes(3 * n, g)
    x = x[~law.kinds[mode][:, 0]] if lost else x
    return law.sample(2 * n, g), x[:n], law.sample(n, g), x[n:]


def digits(seed: int, n: int, lost: float, rare: float = 1.) -> Draw:
    """MNIST; the fours are thinned to a share `rare` of theirs in the data, and the generator loses a share of them."""
    g, files = torch.Generator().manual_seed(seed), mnist()
    order = torch.randperm(60_000, generator=g)
    order = order[(files._labels[order] != 4) | (torch.rand(60_000, generator=g) < rare)]
    reference, holdout, rest = order.split([2 * n, n, len(order) - 3 * n])
    rest = rest[(files._labels[rest] != 4) | (torch.rand(len(rest), generator=g) >= lost)]
    return tuple(files._images[i].float() / 255 for i in (reference, rest[:n], holdout, rest[n:2 * n]))


WITH_CLASSIFIER = ("points in 2 dimensions, a mode of ten lost, n = 500", "points in 8 dimensions, a mode of ten lost, n = 500",
                   "MNIST, a digit lost, n = 1,000")


def cases() -> Iterator[tuple[str, Callable[[int], Draw]]]:
    """Names and draws of what is lost."""
    for width in SCALE:
        yield f"points in {width} dimensions, a mode of ten lost, n = 500", lambda seed, w=width: points(seed, 500, w, True)
    yield "MNIST, a digit lost, n = 500", lambda seed: digits(seed, 500, 1.)
    yield "drawn faces, eyeglasses lost, n = 2,000", lambda seed: drawn_faces(seed, 2000, True)
    yield "MNIST, a kind of 2 % lost, n = 1,326", lambda seed: digits(seed, 1326, 1., .19)
    yield "MNIST, half of a digit lost, n = 1,000", lambda seed: digits(seed, 1000, .5)
    for n in (2000, 1000):
        yield f"MNIST, a digit lost, n = {n:,}", lambda seed, n=n: digits(seed, n, 1.)
    yield "MNIST, half of a digit lost, n = 2,000", lambda seed: digits(seed, 2000, .5)


def perfect_cases() -> Iterator[tuple[str, Callable[[int], Draw], int]]:
    """Names and draws of perfect generators, and how many."""
    yield "drawn faces, n = 500", lambda seed: drawn_faces(seed, 500, False), 200
    yield "points in 8 dimensions, n = 500", lambda seed: points(seed, 500, 8, False), 200
    yield "MNIST, n = 500", lambda seed: digits(seed, 500, 0.), 200


def clusters(t: np.ndarray, s: np.ndarray, h: np.ndarray, sizes: tuple[int, ...]) -> float:
    """The least p of k-means clusters of the reference that samples come to too seldom, times their number."""
    tried = []
    for k in sizes:
        fitted = KMeans(k, n_init=1, random_state=0).fit(t)
        mine, theirs = (np.bincount(fitted.predict(x), minlength=k) for x in (s, h))
        tried += hypergeom.cdf(mine, len(s) + len(h), len(s), mine + theirs).tolist()
    return min(1., min(tried) * len(tried))


def classifier(t: np.ndarray, s: np.ndarray, h: np.ndarray) -> float:
    """p of the region that a classifier of reference against half of the samples calls real, tested with the other half."""
    best = []
    for seen, tested in ((s[::2], s[1::2]), (s[1::2], s[::2])):
        x, y = np.concatenate([t, seen]), np.r_[np.ones(len(t)), np.zeros(len(seen))]
        trees = ExtraTreesClassifier(100, min_samples_leaf=3, bootstrap=True, oob_score=True, class_weight="balanced",
                                     random_state=0).fit(x, y)
        real, made = (trees.oob_decision_function_[y == v, 1] for v in (1, 0))
        cuts = [np.nanquantile(real, 1 - share) for share in (.01, .02, .05, .1, .2, .3)]
        z = [((real >= c).mean() - (made >= c).mean()) / max((real >= c).mean(), 1e-9) ** .5 for c in cuts]
        cut = cuts[int(np.argmax(z))]
        mine, theirs = (int((trees.predict_proba(v)[:, 1] >= cut).sum()) for v in (tested, h))
        best.append(hypergeom.cdf(mine, len(tested) + len(h), len(tested), mine + theirs))
    return min(1., 2 * min(best))


def try_case(name: str, draw: Callable[[int], Draw]) -> dict:
    """Power of `missing` and of the baselines, and the shares of the first group."""
    found = {"missing": [], "clusters of 16": [], "clusters of 8, 32, 128": [], "classifier": []}
    data, reported, fresh = [], [], []
    for seed in tqdm(range(SEEDS), desc=name):
        reference, samples, holdout, more = draw(seed)
        result = missing(samples, reference, holdout)
        space = feature_space(None, reference)[1]
        t, s, h = (space(x).numpy() for x in (reference, samples, holdout))
        found["missing"].append(result.p)
        found["clusters of 16"].append(clusters(t, s, h, (16,)))
        found["clusters of 8, 32, 128"].append(clusters(t, s, h, (8, 32, 128)))
        if name in WITH_CLASSIFIER:
            found["classifier"].append(classifier(t, s, h))
        if result.groups:
            inside = torch.isin(nearest_k(space(more), space(reference))[1][:, 0], torch.tensor(result.groups[0].indices))
            data.append(result.groups[0].share)
            reported.append(result.groups[0].samples_share)
            fresh.append(float(inside.double().mean()))
    row = {k: float(np.mean(np.array(v) <= .05)) for k, v in found.items() if v}
    both = [row.pop("clusters of 16"), row.pop("clusters of 8, 32, 128")]
    shares = {"data": data, "reported": reported, "fresh": fresh}
    return row | {"clusters": max(both), "seeds": SEEDS, "largest p": max(found["missing"]),
                  "shares": {k: round(float(np.mean(v)), 4) for k, v in shares.items() if v}}


def try_perfect(name: str, draw: Callable[[int], Draw], draws: int, kept: dict) -> Iterator[dict]:
    """How often a perfect generator is accused; goes on from what is kept, and yields what to store now and then."""
    hits, start = round(kept.get("any group", 0) * kept.get("draws", 0)), kept.get("draws", 0)
    for seed in tqdm(range(start, draws), desc=name, initial=start, total=draws):
        reference, samples, holdout, _ = draw(seed)
        g = torch.Generator().manual_seed(10 ** 6 + seed)  # shuffles of their own, unlike those that drew the data
        hits += len(missing(samples, reference, holdout, rounds=199, generator=g)) > 0
        n = seed + 1
        if n % 25 == 0 or n == draws:
            yield {"draws": n, "any group": hits / n, "95 %": [round(v, 4) for v in wilson_interval(hits / n, n)]}


def with_mnist() -> bool:
    """Whether MNIST is at hand."""
    try:
        return bool(mnist())
    except FileNotFoundError:
        return False


def store(path: Path, result: dict) -> None:
    """Write what is known so far."""
    atomic_write(path, (json.dumps(result, indent=1) + "\n").encode())


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["power", "false alarms"], help="renew this part, keep the others")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    kept = json.loads(args.out.read_text()) if args.out.is_file() else {}
    if args.only:
        kept.pop(args.only, None)
    result = kept | {"what": "n samples, n held-out and 2 n reference examples; groups at the 5 % level",
                     "torch": torch.__version__.split("+")[0]}
    here = [*cases(), *perfect_cases()] if with_mnist() else [c for c in (*cases(), *perfect_cases()) if "MNIST" not in c[0]]
    for name, draw, *draws in here:
        rows = result.setdefault("false alarms" if draws else "power", {})
        if not draws and name not in rows:
            rows[name] = try_case(name, draw)
            store(args.out, result)
        for row in try_perfect(name, draw, *draws, rows.get(name, {})) if draws else ():
            rows[name] = row
            store(args.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
