"""How often each interval that the library prints holds the true value, with and without a fault.

    python benchmarks/intervals.py              # 40 minutes on one core; a recorded row is not measured again
    python benchmarks/intervals.py seeds audit:perfect       # these parts, or rows with these words
    python benchmarks/intervals.py --again coverage          # measure the rows of a part again

A row is one interval in one setting. "held" is the share of draws whose interval holds the true value; "below" and "above" are
the shares in which the true value lies below or above it. "says" is what the library says of this interval: "95 %" or "at least
95 %", and "if normal" where a condition belongs to it. The true value is known by construction, or it is the mean over many draws.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from rows import asked, known, moved, record
from sklearn.datasets import load_digits

from modelab.core.statistics import interval, wilson_interval
from modelab.data.mixtures import grid, line, mixture
from modelab.evaluation.attributes import attribute_table
from modelab.evaluation.audit_tests import (Aside, EXTREME_SHARES, excess_interval, extreme_test, far_distance, Near, Pool,
                                            copies_test, junk_test, shuffled_tests)
from modelab.evaluation.compare import _Near, COMPARED, HALF_WIDTH
from modelab.evaluation.copies import _copy_tests, _Examiner, _timid_test
from modelab.evaluation.copying import nearest_k, nearest_others
from modelab.evaluation.coverage import coverages
from modelab.evaluation.excess import excess_share
from modelab.evaluation.missing import missing
from modelab.evaluation.neighbours import MAX_BYTES
from modelab.evaluation.precision_recall import precision_recall
from modelab.evaluation.ratio_test import group_finder, near_ratio

Row = tuple[str, float, list]  # what, its true value (NaN: the mean over the draws), and (value, low, high) of each draw
AT_LEAST = "at least 95 %"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tidy(setting: str, says: str, true: float, found: list) -> dict:
    """A row of the record."""
    value, low, high = np.array(found, dtype=float).T
    true = float(value.mean()) if math.isnan(true) else true
    share = lambda which: round(float(which.mean()), 4)
    return {"setting": setting, "says": says, "draws": len(value), "true": round(true, 5),
            "held": share((low <= true + 1e-9) & (true - 1e-9 <= high)), "below": share(true < low - 1e-9),
            "above": share(true > high + 1e-9), "length": float(f"{(high - low).mean():.4g}")}


# ---------------------------------------------------------------- a mean over seeds, a share, an excess

LAWS: dict[str, tuple[Callable, float, dict, str]] = {  # how eight values are drawn, their mean, their range, what is said
    "normal": (lambda g: g.normal(size=8), 0., {}, "95 %"),
    "uniform": (lambda g: g.random(8), .5, {"low": 0, "high": 1}, "95 % if normal"),
    "modes of 25 that noise captures": (lambda g: g.binomial(25, .83, 8), 20.75, {"low": 0, "high": 25}, "95 % if normal"),
    "skewed (exponential)": (lambda g: g.exponential(size=8), 1., {"low": 0}, "95 % if normal"),
    "modes of 8, one lost in a seed of four": (lambda g: 8. - (g.random(8) < .25), 7.75, {"low": 0, "high": 8}, "95 % if normal"),
    "one value in nine of ten seeds": (lambda g: 1 - .2 * (g.random(8) < .1), .98, {"low": 0, "high": 1}, "95 % if normal")}


def seeds_of(law: Callable, true: float, limits: dict, says: str) -> Iterator[tuple]:
    g = np.random.default_rng(0)
    found = (interval(law(g).tolist(), **limits) for _ in range(4000))
    yield "", says, true, [(f.mean, f.low, f.high) for f in found]


def wilson_of(p: float, n: int) -> Iterator[tuple]:
    """All outcomes with their chance, so no draw is needed: 10,000 draws that follow the law exactly."""
    from scipy.stats import binom
    copies = np.diff(np.round(10_000 * binom.cdf(np.arange(-1, n + 1), n, p))).astype(int)
    yield "", "95 % on average over shares", p, [(k / n, *wilson_interval(k / n, n)) for k in range(n + 1) for _ in range(copies[k])]


def newcombe_of(a: float, b: float, n: int) -> Iterator[tuple]:
    g = np.random.default_rng(0)
    x, y = g.binomial(n, a, 2000) / n, g.binomial(n, b, 2000) / n
    yield "", AT_LEAST, a - b, [(p - q, *excess_interval(p, n, q, n)) for p, q in zip(x, y)]


def excess_of(share: float, n: int, m: int) -> Iterator[tuple]:
    g = np.random.default_rng(0)
    draws = zip(g.binomial(n, share + (1 - share) * .05, 2000).tolist(), g.binomial(m, .05, 2000).tolist())
    yield "", AT_LEAST, share, [excess_share(hits, n, seen, m) for hits, seen in draws]


def rate_of(share: float, n: int) -> Iterator[tuple]:
    found = []
    for seed in range(1000):
        made, real = torch.rand(2, n, 1, generator=seeded(seed)) < share
        row = attribute_table(made, real).rows[0]
        found.append((row.rate, row.low, row.high))
    yield "", "95 % on average over shares", share, found


# ---------------------------------------------------------------- coverage of one set of samples

def impostor(modes, weights, n: int, noise: float, g: torch.Generator, shrink: float = 1.) -> torch.Tensor:
    """Samples of a set whose modes have these weights, a share of them replaced by noise, each mode made narrower or wider."""
    mode = torch.multinomial(torch.as_tensor(weights, dtype=torch.float64), n, True, generator=g)
    std = modes.covariances[0, 0, 0].sqrt()
    x = modes.centers[mode] + shrink * std * torch.randn(n, len(modes.bounds[0]), generator=g)
    low, high = modes.bounds
    dust = low + (high - low) * torch.rand(n, len(low), generator=g)
    return torch.where(torch.rand(n, 1, generator=g) < noise, dust, x)


EVEN = np.ones(25)
GENERATORS = {  # set, weights, samples, share of noise, width, protocol
    "perfect, 1,000 samples": (grid, EVEN, 1000, 0., 1., "pacgan"),
    "perfect, 200 samples": (grid, EVEN, 200, 0., 1., "pacgan"),
    "unequal and missing modes, 1,000 samples": (grid, [8, 4] + [1] * 18 + [0] * 5, 1000, 0., 1., "pacgan"),
    "unequal and missing modes, 300 samples": (grid, [8, 4] + [1] * 18 + [0] * 5, 300, 0., 1., "pacgan"),
    "5 modes of 25, 1,000 samples": (grid, [1] * 5 + [0] * 20, 1000, 0., 1., "pacgan"),
    "half noise, 1,000 samples": (grid, EVEN, 1000, .5, 1., "pacgan"),
    "95 % noise, 1,000 samples": (grid, EVEN, 1000, .95, 1., "pacgan"),
    "modes half as wide, 1,000 samples": (grid, EVEN, 1000, 0., .5, "pacgan"),
    "a mode of 0.1 % beside one mode, 1,000 samples": (lambda: grid(2), [.999, .001, 0, 0], 1000, 0., 1., "pacgan"),
    "200 modes, perfect, 500 samples": (lambda: line(200), np.ones(200), 500, 0., 1., "pacgan"),
    "200 modes, rare ones, 1,000 samples": (lambda: line(200), np.exp(-np.arange(200) / 20), 1000, 0., 1., "pacgan"),
    "200 modes, rare ones, 300 samples": (lambda: line(200), np.exp(-np.arange(200) / 20), 300, 0., 1., "pacgan"),
    "unequal and missing modes, 1,000 samples, fair": (grid, [8, 4] + [1] * 18 + [0] * 5, 1000, 0., 1., "fair"),
    "8 modes half as heavy, 1,000 samples, fair": (grid, [1] * 17 + [.5] * 8, 1000, 0., 1., "fair")}


def coverage_of(modes: Callable, weights, n: int, noise: float, shrink: float, protocol: str) -> Iterator[tuple]:
    g, modes, draws = seeded(0), modes(), 1000
    found = [c for _ in range(10) for c in coverages(torch.stack([impostor(modes, weights, n, noise, g, shrink)
                                                                  for _ in range(draws // 10)]), modes, protocol)]
    for name in ("captured", "high_quality", "kl", "tv", "spread"):
        mine = [c.interval(name) for c in found]
        yield name, AT_LEAST, math.nan, [(i.mean, i.low, i.high) for i in mine]


# ---------------------------------------------------------------- precision and recall

def neighbours_of(scale: float, fixed: bool) -> Iterator[tuple]:
    """Points in three dimensions; `fixed`: the balls stay, so only the points that are counted are new."""
    names, real = ("precision", "recall", "density", "coverage"), torch.randn(200, 3, generator=seeded(1))
    made, held = scale * torch.randn(200, 3, generator=seeded(2)), {name: [] for name in names}
    many = torch.randn(2, 20_000, 3, generator=seeded(3))
    truth = dict.fromkeys(names, math.nan)
    if fixed:
        wide, tall = precision_recall(real, scale * many[0]), precision_recall(many[1], made)
        truth = {"precision": wide.precision, "density": wide.density, "recall": tall.recall}
    for seed in range(400):
        a, b = torch.randn(2, 200, 3, generator=seeded(10 + seed))
        over_samples = precision_recall(real if fixed else a, scale * b)
        over_real = precision_recall(a, made if fixed else scale * b)
        for name in truth:
            of = (over_real if name == "recall" else over_samples).interval(name, rounds=200)
            held[name].append((of.mean, of.low, of.high))
    for name, true in truth.items():
        yield name, "95 % for balls as they are", true, held[name]


# ---------------------------------------------------------------- the audit

TEN = mixture(3 * torch.randn(10, 8, generator=seeded(5)), 1.)
N = 300


def bag(fault: str, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Generator]:
    """Training data, held-out data and samples, `N` of each."""
    g = seeded(seed)
    train, new, (x, mode) = TEN.sample(N, generator=g), TEN.sample(N, generator=g), TEN.sample_with_modes(2 * N, generator=g)
    few, some = x[torch.arange(N) % (9 * N // 10)], torch.randperm(N, generator=g)[:N // 10]
    made = {"perfect": lambda: x[:N], "two modes lost": lambda: x[mode > 1][:N], "a tenth repeated": lambda: few,
            "one mode four times as heavy": lambda: torch.cat([x[mode == 0][:N // 4], x[mode > 0]])[:N],
            "shifted": lambda: x[:N] + .15 * train.std(0), "a tenth copied": lambda: torch.cat([train[some], x[N // 10:N]]),
            "a tenth junk": lambda: torch.cat([4 * x[:N // 10] + 20, x[N // 10:N]]),
            "timid": lambda: x[:N] + .3 * (TEN.centers[mode[:N]] - x[:N])}
    return train, new, made[fault](), g


def shuffles_of(fault: str, draws: int = 250) -> Iterator[tuple]:
    """The four tests with shuffled labels."""
    held, floor = {name: [] for name in ("lost", "balance", "repeats", "shift")}, {}
    for seed in range(draws):
        train, new, made, g = bag(fault, seed)
        for name, f in shuffled_tests(Pool(made, new, train, g), g, 499).items():
            held[name].append((f.value, f.low, f.high))
            floor[name] = f.floor
    for name, found in held.items():
        yield name, AT_LEAST, floor[name] if fault == "perfect" and name != "shift" else math.nan, found


def near_of(train: torch.Tensor, new: torch.Tensor, made: torch.Tensor) -> Near:
    """The distances that the tests of extreme points need."""
    find, ((near, row), (held, held_row)) = group_finder(train), (nearest_k(x, train, 5) for x in (made, new))
    return Near(near, held, nearest_k(made, new)[0][:, 0], nearest_k(train, new)[0][:, 0], find(made), find(new), row[:, 0],
                held_row[:, 0], far_distance(train))


def extremes_of(fault: str, draws: int = 400) -> Iterator[tuple]:
    """Junk, copies and timid; the true excess of a timid generator depends on the share that the test chose."""
    held, parts = {"junk": [], "copies": [], "timid": []}, {part: [] for part in EXTREME_SHARES["timid"]}
    for seed in range(draws):
        near = near_of(*bag(fault, seed)[:3])
        both, mine = torch.cat([near.samples, near.holdout]), torch.arange(2 * N) < N
        close = torch.cat([near.samples_to_unseen, near.reference_to_unseen])
        found = {"copies": copies_test(near), "timid": extreme_test(close, mine, EXTREME_SHARES["timid"]),
                 "junk": junk_test(both[:, 0], mine, torch.cat([near.group, near.holdout_group]), near.far)}
        for part in parts:
            parts[part].append(extreme_test(close, mine, (part,)).value)
        for name, f in found.items():
            held[name].append((f.value, f.low, f.high))
    planted = {"copies": .1 * (fault == "a tenth copied"), "junk": .1 * (fault == "a tenth junk"), "timid": 0.}
    if fault == "timid":  # as an error of the chosen share, so that the true value is 0
        mean = {part: np.mean(values) for part, values in parts.items()}
        chosen = [min(parts, key=lambda part: abs(parts[part][i] - f[0])) for i, f in enumerate(held["timid"])]
        held["timid"] = [tuple(v - mean[part] for v in f) for part, f in zip(chosen, held["timid"])]
    for name in ("junk", "copies", "timid"):
        if fault == "perfect" or name in fault or (name, fault) == ("copies", "a tenth copied"):
            yield name, AT_LEAST, planted[name], held[name]


def aside_of(fault: str, draws: int = 300) -> Iterator[tuple]:
    """Copies without held-out data of one's own: half of the training data plays its part."""
    found = []
    for seed in range(draws):
        train, _, made, _ = bag(fault, seed)
        rest, unseen = train[:N // 2], train[N // 2:]
        near, (other, row), (mine, place) = near_of(rest, unseen, made), nearest_k(made, unseen, 5), nearest_k(rest, unseen, 5)
        usual, find = near_ratio(nearest_others(unseen, 5)[0]), group_finder(unseen)
        aside = Aside(other, mine, find(made), find(rest), row[:, 0], place[:, 0], float(usual.quantile(.01)))
        f = copies_test(Near(**{**near.__dict__, "aside": aside}))
        found.append((f.value, f.low, f.high))
    yield "copies", AT_LEAST, .1 * (fault == "a tenth copied"), found


# ---------------------------------------------------------------- copies, groups, two generators

SCANS = torch.as_tensor(load_digits().images / 16).float()[:, None]


def search_of(share: float, change: Callable, name: str, draws: int = 200) -> Iterator[tuple]:
    """The report on copies of 8×8 scans: shares of copies, of transformed copies, and of samples too near unseen data."""
    held = {"copies": [], "transformed": [], "timid": []}
    for seed in range(draws):
        g = seeded(seed)
        train, new, made = SCANS[torch.randperm(len(SCANS), generator=g)[:900]].split(300)
        count = round(share * 300)
        made = torch.cat([change(train[torch.randperm(300, generator=g)[:count]]), made[count:]])
        examine = _Examiner(train, None, 5, True, MAX_BYTES)
        tests = _copy_tests(examine(made), examine(new)) | {"timid": _timid_test(examine, made, new, g)}
        for test, (_, of) in tests.items():
            held[test].append(tuple(of))
    for test, found in held.items():
        if not share or test == name:
            yield test, AT_LEAST, share, found


def two_groups(n: int, share: float, g: torch.Generator) -> torch.Tensor:
    """Points of two groups apart; the second one holds this share."""
    x = torch.randn(n, 2, generator=g)
    x[torch.rand(n, generator=g) < share] += 30
    return x


def groups_of(kept: float, draws: int = 220) -> Iterator[tuple]:
    """A group apart of a quarter of the data, of which the samples make this part; a draw that misses the group is left out.

    The group as found is a region: where the nearest reference example is one of the group. A sample counts only if it is no farther
    from it than 99 % of the held-out data is. 4,000 new examples say what the region holds, and the rows are of the error, so their
    true value is 0.
    """
    data, samples = [], []
    for seed in range(draws):
        g = seeded(seed)
        real, unseen, made = (two_groups(200, share, g) for share in (.25, .25, .25 * kept))
        gate = nearest_k(unseen, real)[0].quantile(.99)
        for group in missing(made, real, unseen, rounds=99, generator=g).groups[:1]:
            inside = torch.zeros(len(real), dtype=torch.bool)
            inside[group.indices] = True
            parts = ((data, (group.share, group.low, group.high), .25, math.inf),
                     (samples, (group.samples_share, group.samples_low, group.samples_high), .25 * kept, gate))
            for found, of, share, most in parts:
                far, near = (v[:, 0] for v in nearest_k(two_groups(4000, share, g), real))
                true = float((inside[near] & (far <= most)).double().mean())
                found.append(tuple(v - true for v in of))
    yield "share of the data", "95 % of the group as found", 0., data
    yield "share of the samples", "95 % of the group as found", 0., samples


TWO = {"one law": lambda n, g: grid().sample(n, generator=g),
       "one mode lost": lambda n, g: mixture(grid().centers[1:], .05).sample(n, generator=g),
       "modes a tenth too narrow": lambda n, g: grid(std=.045).sample(n, generator=g),
       "2 % junk": lambda n, g: torch.cat([12 * torch.rand(n // 50, 2, generator=g) - 6, grid().sample(n - n // 50, generator=g)])}


MANY = 1000  # samples of 25 modes: 40 of each


def compare_of(other: Callable, n: int, draws: int = 200) -> Iterator[tuple]:
    """The nine differences of `compare`, without its p-values."""
    held, same = {name: [] for name in COMPARED}, other is TWO["one law"]
    for seed in range(draws):
        g = seeded(seed)
        near = _Near(grid().sample(n, generator=g).double(), torch.cat([grid().sample(n, generator=g), other(n, g)]).double())
        errors = near.errors(g)
        for name, (a, b) in near.values().items():
            half = HALF_WIDTH * errors[name]
            held[name].append((b - a, b - a - half, b - a + half))
    for name, found in held.items():
        yield name, AT_LEAST if n >= MANY else "95 % if n is large", 0. if same else math.nan, found


PARTS: dict[str, dict[str, Callable[[], Iterator[tuple]]]] = {
    "seeds": {name: lambda law=law: seeds_of(*law) for name, law in LAWS.items()},
    "share": {f"{p:g} of {n}": lambda p=p, n=n: wilson_of(p, n)
              for p, n in ((.5, 40), (.1, 40), (.02, 500), (.05, 500), (.3, 500), (.002, 500), (.0003, 500))},
    "attribute": {f"{p:g} of {n}": lambda p=p, n=n: rate_of(p, n) for p, n in ((.02, 150), (.1, 150), (.5, 150))},
    "excess": {f"{a:g} less {b:g}, 150 of each": lambda a=a, b=b: newcombe_of(a, b, 150)
               for a, b in ((.05, .05), (.2, .05), (.5, .4))},
    "copied share": {f"{p:g} of 600": lambda p=p: excess_of(p, 600, 400) for p in (0., .02, .1, .5)},
    "coverage": {name: lambda made=made: coverage_of(*made) for name, made in GENERATORS.items()},
    "neighbours": {f"samples {s:g} times as wide, {'balls as they are' if f else 'all drawn anew'}":
                   lambda s=s, f=f: neighbours_of(s, f) for s in (1., 1.3) for f in (True, False)},
    "audit": {fault: lambda fault=fault: shuffles_of(fault) for fault in
              ("perfect", "two modes lost", "one mode four times as heavy", "a tenth repeated", "shifted", "timid")},
    "audit, extreme points": {fault: lambda fault=fault: extremes_of(fault)
                              for fault in ("perfect", "a tenth copied", "a tenth junk", "timid")},
    "audit, no held-out data": {fault: lambda fault=fault: aside_of(fault) for fault in ("perfect", "a tenth copied")},
    "copies": {name: lambda set_=set_: search_of(*set_) for name, set_ in {
        "perfect": (0., lambda x: x, ""), "a tenth copied": (.1, lambda x: x, "copies"),
        "a tenth moved by one pixel": (.1, lambda x: moved(x, 0, 1), "transformed")}.items()},
    "groups": {f"{kept:.0%} of a group is made": lambda kept=kept: groups_of(kept) for kept in (0., .25)},
    "compare": {f"{name}, {n:,} samples": lambda other=other, n=n: compare_of(other, n)
                for n in (300, MANY) for name, other in TWO.items()}}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; after a colon, words of a row")
    parser.add_argument("--again", action="store_true", help="measure rows that are recorded already")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for part, only in asked(args.parts, PARTS):
        for name, measure in PARTS[part].items():
            done = [setting for setting in known(args.out, part) if setting == name or setting.startswith(f"{name}: ")]
            if only not in name or done and not args.again:
                continue
            for what, says, true, found in measure():
                row = tidy(f"{name}: {what}" if what else name, says, true, found)
                record(args.out, part, row)
                print(f"{part}, {row['setting']:60} {row['held']:.3f} of {row['draws']} ({row['says']})", flush=True)


if __name__ == "__main__":
    main()
