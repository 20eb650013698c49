"""The 15 sanity checks of Räisä, van Breugel and van der Schaar (ICML 2025, arXiv 2505.22450), for ten measures and the audit.

    python benchmarks/checks.py                      # 20 seeds, about an hour of one core; goes on where it was stopped
    python benchmarks/checks.py "mode collapse"      # only the checks with these words in their name
    python benchmarks/checks.py --draw               # the picture benchmarks/checks.png from the recorded file

A check is a series of pairs: 1,000 real rows and 1,000 generated ones of known laws. All rows are standardised by the real
ones, as the paper does. The paper draws up to 51 points on a line and up to 10,000 rows; here are up to 10 points, among them
all that its criteria name, and up to 3,162 rows.

A measure passes if the mean over the seeds meets the criterion of the paper's code: .95 to 1.05 where the value should be 1,
-.05 to .05 where it should be 0; a rise, a fall or a bell must be .2 high; a level line may move by .05. A measure of
diversity may treat samples that are too wide as good ("high") or as bad ("low"), but the same everywhere in a check.

The audit gives findings instead of numbers. What counts as a pass was written down before the first run:

- same     the laws are equal (measures: 1): the audit is sound. All such pairs of a check together: the 95 % interval of the
           rate of false alarms does not lie above 5 %.
- apart    fidelity and diversity should be 0 (hypercubes: .2): any finding but copies.
- junk     fidelity should be 0, diversity may be anything: junk is found.
- lack     fidelity should be 1, diversity should be 0 or fall: something is found that says that variety is lacking (lost,
           balance, repeats, timid, missing groups), and no more than 5 % of junk is found.
- invented fidelity should be below 1, diversity should be 1: junk is found, and no more than 5 % are found to be lost.

A share is found where its test raises an alarm. Where the test is silent the audit says "no sign", whatever it estimates.

Each of the last four in 95 % of the seeds, at each point. And nothing is copied in any pair: the interval of the rate at which
copies are found, over all pairs of a check, does not lie above 5 %. The audit gets the same rows as the measures: it puts half
of the real ones aside by itself. It is asked at the points that the paper's criteria name; where the number of rows grows, from
1,000 rows on.

The audit's test of junk was changed after its first record (seeds 0 to 19) had failed two checks: it now compares inside groups
of similar examples, tells the smaller of two estimates, and tests samples that are far from all data by themselves. While it was
changed, seeds 0 to 19, 100 to 219 and 300 to 339 were looked at. Its record of seeds 400 to 419 failed the check with one outlier:
8 % of its pairs were called copies. So one training example now counts at most three times in that test (once, in a version
recorded on seeds 600 to 619, which found fewer copies); seeds 500 to 513 were looked at. The audit is recorded on seeds that
chose nothing. On seeds 700 to 719, an estimate of junk counted also where its test was silent, and two points of dropped modes failed
by that alone (12 checks passed). Since then a silent test states no share; this was decided on seeds 700 to 719, so the record is
of seeds 800 and above. The other criteria are the same.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from rows import chosen, record
from torch import Tensor, nn
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.statistics import interval, wilson_interval
from modelab.evaluation.audit import audit, AUDIT_TESTS
from modelab.evaluation.clipped import expected_coverage

N, SEEDS, DIMS = 1000, 20, (1, 8, 64)
FIRST_SEED = {"balls": 0, "audit": 800, "network": 0}
SIZES = 100, 316, 1000, 3162
FIDELITY = "precision", "density", "clipped density", "alpha-precision", "P-precision"
DIVERSITY = "recall", "coverage", "clipped coverage", "beta-recall", "P-recall"
LACK = {"lost", "balance", "repeats", "timid", "groups"}
Random = np.random.Generator


# the pairs

@dataclass(frozen=True)
class Pair:
    """Real and generated rows at one point of a line, and what the audit should say of them; None: it is not asked."""
    line: str
    x: float
    real: np.ndarray
    fake: np.ndarray
    want: str | None = None


def modes(random: Random, n: int, centers: np.ndarray, std: float, weights: np.ndarray | None = None) -> np.ndarray:
    mode = random.choice(len(centers), n, p=None if weights is None else weights / weights.sum())
    return centers[mode] + std * random.normal(size=(n, centers.shape[1]))


def at_end(x: float, far: float) -> str | None:
    """The same in the middle, apart at the upper end; the lower one is its mirror image."""
    return {0: "same", far: "apart"}.get(x)


def mean_moved(random: Random) -> Iterator[Pair]:
    for d, far in zip(DIMS, (6, 3, 1)):
        real = random.normal(size=(N, d))
        for x in np.linspace(-far, far, 5):
            yield Pair(f"{d} dimensions", x, real, x + random.normal(size=(N, d)), at_end(x, far))


def mean_moved_with_outlier(random: Random) -> Iterator[Pair]:
    for d, far in zip(DIMS, (6, 3, 1)):
        real, outlier = random.normal(size=(N, d)), np.full((1, d), float(far))
        more = np.concatenate([real, outlier])
        for x in np.linspace(-far, far, 5):
            fake = x + random.normal(size=(N, d))
            yield Pair(f"{d} dimensions, real outlier", x, more, fake, at_end(x, far))
            yield Pair(f"{d} dimensions, generated outlier", x, real, np.concatenate([fake, outlier]), at_end(x, far))


def spread_changed(random: Random) -> Iterator[Pair]:
    for d, far in zip(DIMS, (3, 1, .5)):
        real = random.normal(size=(N, d))
        for x in np.linspace(-far, far, 5):
            yield Pair(f"{d} dimensions", x, real, 10 ** x * random.normal(size=(N, d)),
                       {0: "same", -far: "lack", far: "junk"}.get(x))


def one_coordinate_rescaled(random: Random) -> Iterator[Pair]:
    for x in np.linspace(-3, 3, 5):
        scale = np.array([1, 10 ** x])
        yield Pair("", x, scale * random.normal(size=(N, 2)), scale * random.normal((6, 0), size=(N, 2)),
                   "apart" if x in (-3, 0, 3) else None)


def mean_moved_with_pareto(random: Random) -> Iterator[Pair]:
    draw = lambda shift: np.stack([shift + random.normal(size=N), 1 + random.pareto(1.01, N)], 1)
    real = draw(0)
    for x in np.linspace(-6, 6, 5):
        yield Pair("", x, real, draw(x), at_end(x, 6))


def one_coordinate_disjoint(random: Random) -> Iterator[Pair]:
    for extra in (1, 6, 16, 31, 60, 100, 178, 1000):
        real, fake = random.normal(size=(2, N, extra + 1))
        fake[:, 0] += 6
        yield Pair("", extra, real, fake, "apart" if extra in (1, 31, 1000) else None)


def ten_modes(random: Random, lost: dict[float, np.ndarray], wants: dict[float, str]) -> Iterator[Pair]:
    for d, std in zip(DIMS, (1 / 6, 1 / 3, 1)):
        centers = np.linspace(0, 10, 10)[:, None].repeat(d, 1)
        real = modes(random, N, centers, std)
        for x, weights in lost.items():
            yield Pair(f"{d} dimensions", x, real, modes(random, N, centers, std, weights), wants.get(x))


def modes_dropped_at_once(random: Random) -> Iterator[Pair]:
    weights = {x: np.array([1.] + 9 * [1 - x]) for x in (0, .3, .6, 47 / 49, 1)}
    return ten_modes(random, weights, {0: "same", 47 / 49: "lack", 1: "lack"})


def modes_dropped_in_turn(random: Random) -> Iterator[Pair]:
    return ten_modes(random, {x: np.arange(10.) < 10 - x for x in range(10)}, {0: "same", 1: "lack", 9: "lack"})


CENTERS = np.array([  # the paper's
    [5.46794328, -4.08481523], [4.87211875, -13.64864684], [-16.39432073, 9.09802249], [-2.15447941, 12.46200019],
    [11.55784483, -4.96049923], [-24.60558474, 14.18020818], [16.84215967, -3.18710751], [-5.47807206, -6.77247129],
    [9.46726546, 1.05922347], [-5.40346201, -17.29490131]])


def modes_dropped_and_invented(random: Random) -> Iterator[Pair]:
    real = modes(random, N, CENTERS[:5], .25)
    for x in range(1, 11):
        yield Pair("", x, real, modes(random, N, CENTERS[:x], .25), {1: "lack", 5: "same", 10: "invented"}.get(x))


def mode_collapse(random: Random) -> Iterator[Pair]:
    for d in DIMS:
        for x in np.linspace(0, 5, 4):
            real = modes(random, N, np.array([[-x / 2], [x / 2]]).repeat(d, 1), 1)
            fake = (1 + x ** 2) ** .5 * random.normal(size=(N, d))
            yield Pair(f"{d} dimensions", x, real, fake, {0: "same", 5: "junk"}.get(x))


def sphere(random: Random, n: int, d: int) -> np.ndarray:
    x = random.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def spheres(random: Random) -> Iterator[Pair]:
    for d in (2, 16, 128):
        real = sphere(random, N, d)
        for radius in (.1, .55, 1, 1.45, 1.9):
            yield Pair(f"{d} dimensions", radius, real, radius * sphere(random, N, d),
                       {1: "same", .1: "apart", 1.9: "apart"}.get(radius))


def cubes(random: Random, both: bool) -> Iterator[Pair]:
    """Cubes that share a fifth of their volume."""
    for d in DIMS:
        real = random.random((N, d))
        for n in SIZES:
            real = random.random((n, d)) if both else real
            yield Pair(f"{d} dimensions", n, real, 1 - .2 ** (1 / d) + random.random((n, d)), "apart" if n >= N else None)


def cubes_of_growing_size(random: Random) -> Iterator[Pair]:
    return cubes(random, True)


def cubes_of_growing_sample(random: Random) -> Iterator[Pair]:
    return cubes(random, False)


def sphere_and_torus(random: Random) -> Iterator[Pair]:
    def ball(n: int, d: int, radius: float) -> np.ndarray:
        return radius * random.random((n, 1)) ** (1 / d) * sphere(random, n, d)

    def torus(n: int) -> np.ndarray:
        (across, height), angle = ball(n, 2, .1).T, 2 * np.pi * random.random(n)
        return np.stack([(1 + across) * np.cos(angle), (1 + across) * np.sin(angle), height], 1)
    laws = {"real sphere": lambda n: ball(n, 3, .8), "real torus": torus}
    for (line, law), other in zip(laws.items(), list(laws.values())[::-1]):
        real = law(N)
        for n in SIZES:
            yield Pair(line, n, real, other(n), "apart" if n >= N else None)


def rounded_and_continuous(random: Random) -> Iterator[Pair]:
    for line, want in (("rounded real", "junk"), ("rounded samples", "lack")):
        for x in np.linspace(0, 3, 5):
            real, fake = 10 ** x * random.normal(size=(2, N, 1))
            real, fake = (real.round(), fake) if line == "rounded real" else (real, fake.round())
            yield Pair(line, x, real, fake, want if x in (0, 1.5, 3) else None)


# the criteria of the paper's code, for a curve: values by x, in rising order

Curve = dict[float, float]
Answer = bool | str  # "low" and "high": a pass of this kind
Criterion = Callable[[Curve], Answer]


def value_at(x: float, target: float) -> Criterion:
    return lambda curve: abs(curve[x] - target) <= .05


def level(curve: Curve) -> bool:
    return max(curve.values()) - min(curve.values()) <= .05


def settles(curve: Curve) -> bool:
    """Level from the middle of the sizes on."""
    return level({x: v for x, v in curve.items() if x >= np.median(list(curve))})


def falls(curve: Curve) -> bool:
    first, *_, last = v = list(curve.values())
    return first - last >= .2 and max(v) - first <= .1 and last - min(v) <= .1


def rises(curve: Curve) -> bool:
    return falls(dict(reversed(curve.items())))


def falls_early(x: float) -> Criterion:
    """A fall of which .1 is seen at x already."""
    return lambda curve: falls(curve) and next(iter(curve.values())) - curve[x] >= .1


def bell(middle: float) -> Criterion:
    def criterion(curve: Curve) -> bool:
        first, *_, last = v = list(curve.values())
        return (curve[middle] - max(first, last) >= .2 and max(v) - curve[middle] <= .1
                and min(first, last) - min(v) <= .1)
    return criterion


def low_or_high(low: Criterion, high: Criterion) -> Criterion:
    return lambda curve: "low" if low(curve) else "high" if high(curve) else False


def end(criterion: Callable[[float], Criterion]) -> Criterion:
    """A criterion for the last point of a curve."""
    return lambda curve: criterion(list(curve)[-1])(curve)


def start(criterion: Callable[[float], Criterion]) -> Criterion:
    return lambda curve: criterion(next(iter(curve)))(curve)


ZERO, ONE, FIFTH = (functools.partial(value_at, target=target) for target in (0., 1., .2))


@dataclass(frozen=True)
class Check:
    """A check: its pairs, and the criteria for each line of measures of fidelity and of diversity."""
    pairs: Callable[[Random], Iterator[Pair]]
    fidelity: list[Criterion]
    diversity: list[Criterion]


MOVED = [ONE(0.), start(ZERO), end(ZERO), bell(0.)]
APART = [start(ZERO), end(ZERO), level]
RINGS = [ONE(1), start(ZERO), end(ZERO), bell(1)]
CUBES = [settles, end(FIFTH)]
DROPPED = [start(ONE), end(ONE), level]
EITHER = low_or_high(end(ZERO), end(ONE))
CHECKS = {
    "mean moved": Check(mean_moved, MOVED, MOVED),
    "mean moved, one outlier": Check(mean_moved_with_outlier, MOVED, MOVED),
    "mean moved, Pareto beside": Check(mean_moved_with_pareto, MOVED, MOVED),
    "spread changed": Check(spread_changed, [ONE(0.), start(ONE), end(ZERO), falls],
                            [ONE(0.), start(ZERO), EITHER, low_or_high(bell(0.), rises)]),
    "one coordinate rescaled": Check(one_coordinate_rescaled, APART, APART),
    "one disjoint coordinate of many": Check(one_coordinate_disjoint, APART, APART),
    "modes dropped at once": Check(modes_dropped_at_once, DROPPED, [start(ONE), falls_early(47 / 49)]),
    "modes dropped in turn": Check(modes_dropped_in_turn, DROPPED, [start(ONE), falls_early(5)]),
    "modes dropped, then invented": Check(modes_dropped_and_invented, [ONE(5), start(ONE), falls],
                                          [ONE(5), end(ONE), rises]),
    "mode collapse": Check(mode_collapse, [start(ONE), falls], [start(ONE), low_or_high(falls, level)]),
    "sphere surfaces": Check(spheres, RINGS, RINGS),
    "hypercubes, both samples grow": Check(cubes_of_growing_size, CUBES, CUBES),
    "hypercubes, generated sample grows": Check(cubes_of_growing_sample, CUBES, CUBES),
    "sphere and torus": Check(sphere_and_torus, [settles, end(ZERO)], [settles, end(ZERO)]),
    "rounded and continuous": Check(rounded_and_continuous, [], []),  # the two lines differ: see criteria_of
}


def criteria_of(check: Check, line: str, metric: str) -> list[Criterion]:
    """The criteria for one line of one measure."""
    if check.pairs is rounded_and_continuous:
        if line == "rounded real":
            return [level, *([start(ZERO), end(ZERO)] if metric in FIDELITY else [low_or_high(start(ZERO), start(ONE)), EITHER])]
        return [level, *(f(ONE if metric in FIDELITY else ZERO) for f in (start, end))]
    return check.fidelity if metric in FIDELITY else check.diversity


def passes(check: Check, metric: str, curves: dict[str, Curve]) -> Answer:
    """Whether a measure passes: all criteria on all lines, and of the same kind everywhere."""
    answers = [criterion(curve) for line, curve in curves.items() for criterion in criteria_of(check, line, metric)]
    kinds = {answer for answer in answers if isinstance(answer, str)}
    return all(answers) and len(kinds) < 2 and (kinds.pop() if kinds else True)


# the measures

def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Float64; by differences in few dimensions, where rows may be equal, else by products."""
    if x.shape[1] <= 4:
        return sum((x[:, i, None] - y[:, i]).square_() for i in range(x.shape[1]))
    square = torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True))
    return square.clamp_(min=0)


def blocks(n: int) -> list[slice]:
    return [slice(a, a + 500) for a in range(0, n, 500)]


def neighbour_distances(x: Tensor, k: int = 5) -> Tensor:
    """Squared distances to the k nearest other rows."""
    found = []
    for rows in blocks(len(x)):
        square = squared_distances(x[rows], x)
        square[torch.arange(len(square)), torch.arange(len(square)) + rows.start] = torch.inf
        found.append(square.topk(k, largest=False).values)
    return torch.cat(found)


def ball_measures(real: Tensor, fake: Tensor) -> dict[str, float]:
    """All measures that look at balls, k = 3 for precision and recall, 5 for density and coverage, 4 for P-precision."""
    of_real, of_fake = neighbour_distances(real), neighbour_distances(fake)
    radius, clipped = of_real[:, 4], of_real[:, 4].clamp(max=float(of_real[:, 4].quantile(.5)))
    reach = [1.2 * float(near[:, 3].sqrt().mean()) for near in (of_real, of_fake)]
    inside, heaped, dense = torch.zeros(3, len(fake), dtype=torch.float64)
    missed, own = torch.ones(len(fake), dtype=torch.float64), torch.zeros(len(real), dtype=torch.float64)
    recall, coverage, full, of_recall = 0., 0., 0., 0.
    for rows in blocks(len(real)):
        square = squared_distances(real[rows], fake)
        inside += (square <= of_real[rows, 2:3]).sum(0)
        dense += (square <= radius[rows, None]).sum(0)
        heaped += (square <= clipped[rows, None]).sum(0)
        recall += float((square <= of_fake[:, 2]).any(1).sum())
        coverage += float((square <= radius[rows, None]).any(1).sum())
        full += float((square < radius[rows, None]).sum(1).clamp(max=5).sum())
        gap = square.sqrt_()
        missed *= (gap / max(reach[0], 1e-300)).clamp_(max=1).prod(0)
        of_recall += float((gap / max(reach[1], 1e-300)).clamp_(max=1).prod(1).sum())
        own += (squared_distances(real[rows], real) <= clipped[rows, None]).sum(0)
    scale = expected_coverage(len(real), len(fake))
    share = np.interp(full / 5 / len(real), scale, np.arange(len(scale)) / len(fake))
    return {"precision": float((inside > 0).double().mean()), "recall": recall / len(real),
            "density": float(dense.mean()) / 5, "coverage": coverage / len(real),
            "clipped density": min(1., float(heaped.clamp(max=5).mean()) / max(float((own - 1).clamp(0, 5).mean()), 1e-12)),
            "clipped coverage": min(1., float(share)),
            "P-precision": 1 - float(missed.mean()), "P-recall": 1 - of_recall / len(real)}


class OneClass:
    """The network of alpha-precision (Alaa et al. 2022): real rows are mapped near the point (1, …, 1)."""

    def __init__(self, real: Tensor, seed: int):
        torch.manual_seed(seed)
        d, x = real.shape[1], real.float()
        self.net = nn.Sequential(nn.Linear(d, 200, bias=False), nn.ReLU(), nn.Linear(200, 200, bias=False), nn.ReLU(),
                                 nn.Linear(200, d, bias=False))
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3, weight_decay=1e-2)
        for _ in range(100):
            optimizer.zero_grad()
            ((self.net(x) - 1).square().sum(1).mean() / .01).backward()
            optimizer.step()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return self.net(x.float()).double()


def alpha_beta(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Integrated alpha-precision and beta-recall of embedded rows."""
    alphas = torch.linspace(0, 1, 30, dtype=torch.float64)
    radii = (real - 1).norm(dim=1).quantile(alphas)
    precision = ((fake - 1).norm(dim=1)[:, None] <= radii).double().mean(0)
    gap = neighbour_distances(real, 1)[:, 0]
    nearest = [squared_distances(real[rows], fake).min(1) for rows in blocks(len(real))]
    square, who = (torch.cat([n[i] for n in nearest]) for i in range(2))
    central = (fake[who] - fake.mean(0)).norm(dim=1)
    recall = ((square <= gap)[:, None] & (central[:, None] <= central.quantile(alphas))).double().mean(0)
    return {name: 1 - 2 * float((alphas - curve).abs().sum()) / 29
            for name, curve in (("alpha-precision", precision), ("beta-recall", recall))}


def standardised(pair: Pair) -> tuple[Tensor, Tensor]:
    middle, spread = pair.real.mean(0), pair.real.std(0)
    spread = np.where(spread > 0, spread, 1)
    return tuple(torch.as_tensor((x - middle) / spread) for x in (pair.real, pair.fake))


def random_of(name: str, seed: int) -> Random:
    return np.random.default_rng([seed, list(CHECKS).index(name)])


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(v, 5) for name, v in values.items()}


def by_balls(name: str, seed: int) -> list[dict[str, float]]:
    """What looks at balls, of all pairs of one check."""
    return [rounded(ball_measures(*standardised(pair))) for pair in CHECKS[name].pairs(random_of(name, seed))]


def by_network(name: str, seed: int) -> list[dict[str, float]]:
    """Alpha-precision and beta-recall of all pairs; a network is trained once for each set of real rows."""
    found, trained = [], {}
    for pair in CHECKS[name].pairs(random_of(name, seed)):
        real, fake = standardised(pair)
        if id(pair.real) not in trained:
            trained[id(pair.real)] = pair.real, OneClass(real, seed)  # the array is kept, so that its id is not used again
        net = trained[id(pair.real)][1]
        found.append(rounded(alpha_beta(net(real), net(fake))))
    return found


# the audit

def audited(name: str, seed: int) -> list[dict]:
    """What the audit says of the pairs that it is asked about."""
    found = []
    for pair in CHECKS[name].pairs(random_of(name, seed)):
        if pair.want:
            real, fake = standardised(pair)
            report = audit(fake, real, generator=torch.Generator().manual_seed(seed))
            stated = {f.test: round(f.value, 4) if f.alarm else 0. for f in report.findings}  # no alarm: "no sign"
            found.append({"alarms": [f.test for f in report.findings if f.alarm] + ["groups"] * bool(report.kinds),
                          "junk": stated["junk"], "lost": stated["lost"]})
    return found


def right(want: str, found: dict) -> bool:
    """Whether the audit says what it should of one pair."""
    alarms = set(found["alarms"]) - {"copies"}
    return {"same": not found["alarms"], "apart": bool(alarms), "junk": "junk" in alarms,
            "lack": bool(alarms & LACK) and found["junk"] <= .05,
            "invented": "junk" in alarms and found["lost"] <= .05}[want]


def rate(hits: int, of: int) -> dict:
    """A number of hits with the 95 % interval of its rate."""
    return {"hits": int(hits), "of": of, "95 %": [round(v, 4) for v in wilson_interval(hits / of, of)]} if of else {}


def audit_row(points: list[Pair], draws: list[list[dict]]) -> dict:
    """The audit's part of the record of one check."""
    rows = []
    for i, pair in enumerate(points):
        seen = [draw[i] for draw in draws]
        counts = {test: n for test in (*AUDIT_TESTS, "groups") if (n := sum(test in s["alarms"] for s in seen))}
        rows.append({"line": pair.line, "x": round(float(pair.x), 4), "want": pair.want,
                     "right": sum(right(pair.want, s) for s in seen), "alarms": counts})
    seeds = len(draws)
    same, faulty = ([r for r in rows if (r["want"] == "same") is which] for which in (True, False))
    false = rate(sum(seeds - r["right"] for r in same), seeds * len(same))
    copies = rate(sum(r["alarms"].get("copies", 0) for r in rows), seeds * len(rows))
    silent = not same or false["95 %"][0] <= .05
    return {"passes": bool(silent and copies["95 %"][0] <= .05 and all(r["right"] >= .95 * seeds for r in faulty)),
            "false alarms": false, "called copies": copies, "points": rows}


# the record

PARTS = {"balls": by_balls, "audit": audited, "network": by_network}
PART = {m: "network" if m in ("alpha-precision", "beta-recall") else "balls" for m in (*FIDELITY, *DIVERSITY)}


def summary(name: str, found: dict[str, list[list[dict]]], before: dict | None = None) -> dict:
    """One row of the record, of what each part found, seed by seed; what was not measured again stays as it was `before`."""
    check, pairs = CHECKS[name], list(CHECKS[name].pairs(random_of(name, 0)))
    lines = list(dict.fromkeys(pair.line for pair in pairs))

    def curves(of: Iterable[float]) -> dict[str, Curve]:
        of = list(of)
        return {line: {pair.x: v for pair, v in zip(pairs, of) if pair.line == line} for line in lines}
    asked = [pair for pair in pairs if pair.want]
    row = {"setting": name, "rows": N, "audit": audit_row(asked, found["audit"]) if found["audit"] else before["audit"],
           "measures": {}}
    for metric in (*FIDELITY, *DIVERSITY):
        if not found[PART[metric]]:
            row["measures"][metric] = before["measures"][metric]
            continue
        values = np.array([[pair[metric] for pair in draw] for draw in found[PART[metric]]])  # (seeds, pairs)
        alone = sum(bool(passes(check, metric, curves(v))) for v in values)
        spans = curves(interval(v) for v in values.T.tolist())
        row["measures"][metric] = {
            "passes": passes(check, metric, curves(values.mean(0))), "seeds that pass": rate(alone, len(values)),
            "lines": {line: {"x": [round(float(x), 4) for x in span], "mean": [round(s.mean, 3) for s in span.values()],
                             "half width": [round((s.high - s.low) / 2, 3) for s in span.values()]}
                      for line, span in spans.items()}}
    return row


def false_alarms(known: dict) -> dict:
    """All pairs of equal laws together."""
    found = [row["audit"]["false alarms"] for row in known.get("checks", []) if row["audit"]["false alarms"]]
    return {"setting": "pairs of one law, all checks", **rate(sum(f["hits"] for f in found), sum(f["of"] for f in found))}


def draw_picture(known: dict, file: Path) -> None:
    """Rows are checks, columns are the audit and the measures."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    rows = sorted(known["checks"], key=lambda row: list(CHECKS).index(row["setting"]))
    columns = ["audit", *FIDELITY, *DIVERSITY]
    passed = [[row["audit"]["passes"], *(bool(row["measures"][m]["passes"]) for m in columns[1:])] for row in rows]
    figure, ax = plt.subplots(figsize=(5.6, 5.8), layout="constrained", dpi=130)
    for j, column in enumerate(columns):
        for i, of_row in enumerate(passed):
            good = of_row[j]
            ax.add_patch(plt.Rectangle((j - .5, i - .5), 1, 1, fc="#0072b2" if good else "#fbe3d3", ec="w", lw=1.5))
            ax.text(j, i, "✓" if good else "✗", ha="center", va="center", fontsize=11, c="w" if good else "#b04000")
    totals = [f"{sum(column)}" for column in zip(*passed)]
    ax.set(xlim=(-.5, len(columns) - .5), ylim=(len(rows) - .5, -.5), yticks=range(len(rows)), xticks=range(len(columns)))
    ax.set_yticklabels([row["setting"] for row in rows], fontsize=9)
    ax.set_xticklabels([f"{name}  {n}" for name, n in zip(columns, totals)], rotation=60, ha="left", rotation_mode="anchor",
                       fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for x in (.5, .5 + len(FIDELITY)):
        ax.axvline(x, c="k", lw=1)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure.supxlabel(f"✓ passes, ✗ fails. Behind each name: how many of {len(rows)} are passed.\n"
                     "Columns 2 to 6 measure fidelity, 7 to 11 diversity.", fontsize=9)
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def seeds_of(part: str, count: int) -> range:
    return range(FIRST_SEED[part], FIRST_SEED[part] + count)


def measure(part: str, names: list[str], seeds: range, file: Path) -> None:
    """One part of what is not in the cache yet: all checks with one seed, then with the next."""
    cache = read(file)
    for seed, name in tqdm(list(product(seeds, names)), desc=part, mininterval=5):
        known = cache.setdefault(f"{name}, {part}", {})
        if str(seed) not in known:
            known[str(seed)] = PARTS[part](name, seed)
            atomic_write(file, json.dumps(cache).encode())


def main() -> None:
    """Measure, record, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="words in the names of the checks to run (default: all)")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS, help="only these are measured")
    parser.add_argument("--draw", action="store_true", help="only the picture")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "modelab-checks.json",
                        help="results seed by seed, so that a stopped run goes on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = list(dict.fromkeys(name for word in args.words or [""] for name, _ in chosen(CHECKS, word)))
    if not args.draw:
        for part in args.parts:
            measure(part, names, seeds_of(part, args.seeds), args.cache)
        cache, before = read(args.cache), {row["setting"]: row for row in read(args.out).get("checks", [])}
        for name in names:
            known = {part: cache.get(f"{name}, {part}", {}) for part in PARTS}
            found = {part: [known[part][str(seed)] for seed in seeds_of(part, args.seeds) if str(seed) in known[part]]
                     for part in PARTS}
            kept = set(PARTS) - set(args.parts) if name in before else set()  # their own record stays
            found |= {part: [] for part in kept}
            if all(found[part] for part in set(PARTS) - kept):
                record(args.out, "checks", summary(name, found, before.get(name)))
        record(args.out, "false alarms", false_alarms(read(args.out)))
    if read(args.out).get("checks"):
        draw_picture(read(args.out), args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
