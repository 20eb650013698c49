"""Settings that hold on more than one set: chosen on 50 random sets, reported on 100 others (`random_modes`, chapter 0.3).

    python benchmarks/family.py tune              # each method: 8 settings, the worse half dropped twice; seeds 0 to 49 of the family
    python benchmarks/family.py report            # the best setting of each on seeds 1000 to 1099
    python benchmarks/family.py table             # what is recorded: seconds, settings, measures, and each method beside BiGAN
    python benchmarks/family.py picture           # the map of the penalty and BiGAN as family.png (chapter 6.20)
    python benchmarks/family.py tune --only BiGAN PairwiseBiGAN

One core; two processes with other methods may share the file. Both parts go on where they were stopped; a row is one set. All seeds of a
row train side by side; the same seeds, data and latents for every method. Data are standardised: rates and penalty weights are per unit
of that. Schedules end where the walk ends. A setting is judged by the total variation between its samples and the set over all modes
and "not good": the mean over sets and seeds; a run that diverged has 1. Records benchmarks/family.json; `--steps`, `--runs`, `--sets` and
`--out` are for small trials.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rows import record

from modelab.core.files import atomic_write, file_lock
from modelab.core.registry import with_settings
from modelab.core.statistics import interval
from modelab.course.family_map import beside, plot_family
from modelab.data.random_mixtures import random_modes, RandomMixture
from modelab.methods.bigan import BiGAN
from modelab.methods.imle import IMLE
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.methods.wasserstein import Wasserstein, ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Diverged, Run

FILE = Path(__file__).with_suffix(".json")
ROUNDS = range(0, 8), range(8, 20), range(20, 50)  # sets that are added before half of the settings are dropped
REPORTED = range(1000, 1100)
MEASURES = "captured", "high_quality", "tv"


@dataclass(frozen=True)
class Setting:
    """What may be chosen for a method; `own` are settings of the game."""
    rate: float = 1e-3  # of G, and of E
    d_rate: float | None = None  # of D; None: as `rate`
    betas: tuple[float, float] = (0., .99)
    schedule: str | None = None  # of the rates over the walk: "cosine"; "linear", over the second half; None: constant
    average: float = 0.
    extra: int = 0  # latents beyond as many as the data have dimensions
    own: dict[str, Any] = field(default_factory=dict)

    def game(self, kind: type, modes: RandomMixture, steps: int) -> Any:
        rates: Any = self.rate
        if self.d_rate is not None:
            rates = {"G": self.rate, "D": self.d_rate} | ({"E": self.rate} if issubclass(kind, BiGAN) else {})
        schedule = Schedule(self.schedule, steps) if self.schedule else None
        latent = max(2, modes.event[0]) + self.extra
        return with_settings(kind(networks=Networks("mlp", width=64, depth=2, latent=latent),
                                  optimiser=Optimiser(rates, self.betas, schedule)), **self.own)


KINDS = {"Minimax": Minimax, "WGAN-GP": Wasserstein, "R1": ZeroCentred, "BiGAN": BiGAN, "PairwiseBiGAN": PairwiseBiGAN, "IMLE": IMLE,
         "IMLEGAN": IMLEGAN}

def settings(own: dict[str, dict[str, Any]] | None = None, **base: Any) -> dict[str, Setting]:
    """Eight settings: the defaults of the library, four of rates and averaging, and three of the method's own (`own`) on top of one of these.

    A trial (seeds 0, 3, 7; 1,000 steps, two seeds) put the averaged G and a quicker D first, and a stochastic E for games that have one.
    """
    plain, quick = {"own": base}, {"rate": 2e-3, "d_rate": 4e-3, "own": base}
    steady = quick | {"average": .99}
    found = {"defaults": Setting(betas=(0., .9)), "quick, falls as a cosine": Setting(**quick, schedule="cosine"),
             "quick, averaged": Setting(**steady), "quick, averaged, falls late": Setting(**steady, schedule="linear"),
             "slow, averaged, falls late": Setting(rate=1e-3, d_rate=2e-3, average=.99, schedule="linear", **plain)}
    late = steady | {"schedule": "linear"}
    return found | {name: Setting(**late | more | {"own": base | more.get("own", {})}) for name, more in (own or {}).items()}


def matched(**own: Any) -> Setting:
    """IMLE has no D: one rate, and Adam as in its own chapter."""
    return Setting(**{"rate": 2e-3, "betas": (.9, .99), "average": .99, "schedule": "linear"} | own)


SETTINGS: dict[str, dict[str, Setting]] = {
    "Minimax": settings({"four more latents": {"extra": 4}, "both quick": {"rate": 4e-3, "d_rate": 4e-3}, "momentum .5": {"betas": (.5, .99)}}),
    "WGAN-GP": settings({"weight .1": {"own": {"weight": .1}}, "weight 10": {"own": {"weight": 10.}}, "one turn of D": {"own": {"n_critic": 1}}}),
    "R1": settings({"weight .01": {"own": {"weight": .01}}, "weight 1": {"own": {"weight": 1.}}, "both quick": {"rate": 4e-3, "d_rate": 4e-3}}),
    "BiGAN": settings({"E without noise": {"own": {"stochastic": False}}, "linear loss of G and E": {"own": {"form": "linear"}},
                       "both quick": {"rate": 4e-3, "d_rate": 4e-3}}, stochastic=True),
    "PairwiseBiGAN": settings({"weight .1": {"own": {"weight": .1}}, "weight 1": {"own": {"weight": 1.}},
                               "norm, weight .1": {"own": {"weight": .1, "penalty_form": "norm"}}}, stochastic=True, weight=.3),
    "IMLE": {"defaults": Setting(betas=(.9, .99)), "falls late, averaged": matched(), "slow": matched(rate=1e-3), "quick": matched(rate=5e-3),
             "averaged": matched(schedule=None), "pool of 30": matched(own={"pool": 30, "reals": 512}),
             "matched twice as often": matched(own={"refresh": 8, "reals": 512}), "four more latents": matched(extra=4)},
    "IMLEGAN": settings({"weight .1": {"own": {"weight": .1}}, "R1 .1": {"own": {"r1_weight": .1}},
                         "without interpolation": {"own": {"interpolation_weight": 0.}}})}


def play(method: str, setting: Setting, seed: int, steps: int, runs: int, first: int) -> dict:
    """One method on one set of the family: each measure seed by seed, `captured` as a share of the modes."""
    modes, start = random_modes(seed), time.process_time()
    row: dict[str, Any] = {"kind": modes.kind, "modes": modes.n_modes, "dimensions": modes.event[0],
                           "weights": round((modes.weights.max() / modes.weights.min()).item(), 2)}
    try:
        found = Run(setting.game(KINDS[method], modes, steps), modes, runs=runs, seed=first, batch=128, average=setting.average,
                    device="cpu", standardise=True).step(steps).coverage()
        row |= {name: [round(float(getattr(c, name)), 4) for c in found] for name in MEASURES}
        row["captured"] = [round(c.captured / modes.n_modes, 4) for c in found]
        floor = found[0].floor
        row["perfect"] = {"captured": round(float(floor.captured) / modes.n_modes, 4), "high_quality": round(floor.high_quality, 4),
                          "tv": round(floor.tv, 4)}
    except Diverged as error:
        row |= {"captured": [0.] * runs, "high_quality": [0.] * runs, "tv": [1.] * runs, "diverged": str(error)}
    return row | {"seconds": round(time.process_time() - start, 1)}


def title(method: str, name: str, seed: int) -> str:
    return f"{method}, {name}, set {seed}"


class Record:
    """Rows of a file, by part and title; what is there is not played again."""

    def __init__(self, file: Path, steps: int, runs: int | None):
        self.file, self.steps, self.runs = file, steps, runs
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if any(row["steps"] != steps for part in ("tune", "report") for row in found.get(part, [])):
            raise ValueError(f"out: {file} holds rows of other steps than {steps}; choose another file")
        self.rows = {part: {row["setting"]: row for row in found.get(part, [])} for part in ("tune", "report")}

    def row(self, part: str, method: str, name: str, seed: int) -> dict:
        """A row, played now if it is not there."""
        known = title(method, name, seed)
        if known not in self.rows[part]:
            runs, first = (self.runs or 4, 0) if part == "tune" else (self.runs or 8, 100)
            found = play(method, SETTINGS[method][name], seed, self.steps, runs, first)
            row = {"setting": known, "method": method, "name": name, "set": seed, "steps": self.steps, **found}
            self.rows[part][known] = row
            with file_lock(self.file.with_suffix(".lock"), wait=True):
                record(self.file, part, row)
            print(f"{part}: {known} ({row['kind']}, {row['modes']} modes in {row['dimensions']}-D), "
                  + ", ".join(f"{m} {mean(row[m]):.3f}" for m in MEASURES) + f", {row['seconds']:.0f} s", flush=True)
        return self.rows[part][known]


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def best(method: str, row: Callable[[str, str, int], dict], sets: int | None = None) -> str:
    """The setting that is left after each round; `row(method, name, set)` gives what was measured, or raises KeyError."""
    left, seen = list(SETTINGS[method]), []
    for fresh in ROUNDS:
        seen += list(fresh)[:sets]
        score = {name: mean(mean(row(method, name, seed)["tv"]) for seed in seen) for name in left}
        left = sorted(left, key=score.__getitem__)[:len(left) // 2]
    return left[0]


def tune(book: Record, methods: Sequence[str], sets: int | None) -> None:
    """Choose a setting of each method."""
    for method in methods:
        print(f"{method}: {best(method, lambda *what: book.row('tune', *what), sets)}", flush=True)


def report(book: Record, methods: Sequence[str], sets: int | None) -> None:
    """The chosen settings on the other sets, one set after the other."""
    names = {method: best(method, lambda m, n, s: book.rows["tune"][title(m, n, s)], sets) for method in methods}
    for seed in list(REPORTED)[:sets]:
        for method, name in names.items():
            book.row("report", method, name, seed)


def table(book: Record, methods: Sequence[str], sets: int | None) -> None:
    """Print what is recorded."""
    for part, rows in ((part, list(found.values())) for part, found in book.rows.items()):
        if rows:
            spent = {m: [r["seconds"] for r in rows if r["method"] == m] for m in methods}
            print(f"{part}: {len(rows)} rows, {sum(r['seconds'] for r in rows) / 3600:.2f} hours; seconds a set: "
                  + ", ".join(f"{m} {mean(s):.1f}" for m, s in spent.items() if s))
    for method in methods:
        for name in SETTINGS[method]:
            rows = [r for r in book.rows["tune"].values() if (r["method"], r["name"]) == (method, name)]
            if rows:
                print(f"{method:14s} {name:34s} {len(rows):3d} sets  " + "  ".join(f"{m} {mean(mean(r[m]) for r in rows):.3f}" for m in MEASURES))
    rows = list(book.rows["report"].values())
    for method in methods:
        own = [r for r in rows if r["method"] == method]
        if len(own) > 1:
            print(f"{method:14s} " + "  ".join(f"{m} {interval([mean(r[m]) for r in own])}" for m in MEASURES))
        for name, found in (beside(rows, method, "BiGAN") if method != "BiGAN" else {}).items():
            print(f"    {name:20s} {found}")


def picture(book: Record, methods: Sequence[str], sets: int | None) -> None:
    """Draw the map beside the record."""
    target = book.file.with_suffix(".png")
    atomic_write(target, plot_family(list(book.rows["report"].values()), names=("the penalty", "BiGAN")).png)
    print(f"wrote {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "report", "table", "picture"))
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="METHOD", help=", ".join(KINDS))
    parser.add_argument("--steps", type=int, default=2000, help="default 2000")
    parser.add_argument("--runs", type=int, help="seeds of each row; default 4 to tune and 8 to report")
    parser.add_argument("--sets", type=int, help="the first sets only, of each round of tuning and of the report")
    parser.add_argument("--out", type=Path, default=FILE, help="default: family.json beside this script")
    args = parser.parse_args()
    torch.set_num_threads(1)
    {"tune": tune, "report": report, "table": table, "picture": picture}[args.what](Record(args.out, args.steps, args.runs), args.only, args.sets)


if __name__ == "__main__":
    main()
