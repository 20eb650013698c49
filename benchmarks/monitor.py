"""How often the monitor alarms in sound training runs, how soon it finds broken ones, and what a look costs.

    python benchmarks/monitor.py                 # about an hour and a half; goes on where it was stopped
    python benchmarks/monitor.py sound:Zero      # the rows of a part with these words in their name
    python benchmarks/monitor.py --batches 2     # fewer runs of each game

Real training runs of the engine on the ring of eight modes, 16 seeds at a time, with a look at 1,000 samples every 50 steps. Who
is right is said by a judge that the monitor does not know: he has the true modes, and 1,000 samples of his own at each look. A run
is *sound* if, from the first look at which every mode has half of its share, every mode keeps a quarter of its share at every look,
and the share of samples within three standard deviations of a mode is never ten points below its best mean of three looks. A run
that never gets there is not sound either. A broken run counts if the judge sees it break: at that look its delay begins.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rows import asked, chosen, record
from torch import Tensor

import modelab
from modelab.core.statistics import wilson_interval
from modelab.data.mixtures import ring
from modelab.evaluation.monitor import Look, Monitor
from modelab.networks.players import Networks
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
SEEDS, EVERY, LOOKS, BATCHES = 16, 50, 200, 7
BEFORE, AFTER = 60, 20  # looks before a run is broken, and after it
RING = ring(std=.1)
REFERENCE, KINDS = RING.sample_with_modes(2000, torch.Generator().manual_seed(5))
GAMES = {"ZeroCentred": modelab.ZeroCentred, "Wasserstein": modelab.Wasserstein}


class Judge:
    """Least share of a mode and share of good samples, look by look, from samples of his own."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.good: list[float] = []

    def add(self, x: Tensor) -> None:
        near, mode = torch.cdist(x, RING.centers.float()).min(1)
        good = near <= .3
        self.low.append(float(torch.bincount(mode[good], minlength=8).min()) / len(x) * 8)
        self.good.append(float(good.float().mean()))

    def broken(self) -> int | None:
        """The first look that is not sound; the number of looks if no mode set was ever whole; None for a sound run."""
        start = next((t for t, low in enumerate(self.low) if low >= .5), None)
        if start is None:
            return len(self.low)
        for t in range(start, len(self.low)):
            best = max((sum(self.good[s - 3:s]) / 3 for s in range(start + 3, t + 1)), default=0.)
            if self.low[t] < .25 or self.good[t] < best - .1:
                return t
        return None


class Watched:
    """One seed of a run with its monitor and its judge."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda x: x):
        self.x, self.change, self.judge = None, change, Judge()
        self.monitor = Monitor(REFERENCE, lambda n: self.x[:n], every=1, budget=1., on_alarm=lambda look: None)

    def add(self, x: Tensor, look: int, changed: bool) -> Look:
        self.x = self.change(x) if changed else x
        self.judge.add(self.x[1000:])
        return self.monitor(look)


def trained(name: str, batch: int, looks: int) -> Iterator[tuple[Run, Tensor]]:
    """The run after each look's steps, and 2,000 samples of each seed."""
    game = GAMES[name](networks=Networks(width=32))
    run = Run(game, RING, runs=SEEDS, seed=1000 + SEEDS * batch, batch=64, device="cpu")
    for _ in range(looks):
        run.step(EVERY)
        yield run, run.sample(2000)


def sound(name: str, batch: int) -> dict:
    """One batch of runs that nobody breaks."""
    watched = [Watched() for _ in range(SEEDS)]
    for look, (_, samples) in enumerate(trained(name, batch, LOOKS), 1):
        for one, x in zip(watched, samples):
            one.add(x, look, False)
    return {"sound": [one.judge.broken() is None for one in watched],
            "alarm": [one.monitor.alarms[0].step if one.monitor.alarms else None for one in watched],
            "said": [one.monitor.alarms[0].says if one.monitor.alarms else "" for one in watched],
            "settled": [int((one.monitor.test.settled > 0).sum()) for one in watched]}


def without_a_mode(x: Tensor) -> Tensor:
    """Samples near the fourth mode are replaced by others."""
    mode = torch.cdist(x, RING.centers.float()).argmin(1)
    kept = (mode != 3).nonzero()[:, 0]
    return x[kept[torch.arange(len(x)) % len(kept)][torch.randperm(len(x))]] if len(kept) else x


def with_copies(x: Tensor) -> Tensor:
    """A tenth of the samples is replaced by training examples."""
    copied = torch.rand(len(x)) < .1
    return torch.where(copied[:, None], REFERENCE[torch.randint(len(REFERENCE), (len(x),))], x)


CHANGES = {"a mode taken out": (without_a_mode, {}), "10 % copies fed in": (with_copies, {}),
           "rate × 10": (lambda x: x, {"G": .01, "D": .01}), "D frozen": (lambda x: x, {"G": .001, "D": 0.})}
RIGHT = {"a mode taken out": {"lost"}, "10 % copies fed in": {"copies"}, "rate × 10": {"lost", "junk"},
         "D frozen": {"lost", "junk"}}


def broken(name: str, kind: str, batch: int) -> dict:
    """One batch of runs broken after `BEFORE` looks; delays count looks from the first broken one, which is 1."""
    change, rates = CHANGES[kind]
    torch.manual_seed(batch)
    watched, known = [Watched(change) for _ in range(SEEDS)], kind in ("a mode taken out", "10 % copies fed in")
    for look, (run, samples) in enumerate(trained(name, batch, BEFORE + AFTER), 1):
        for one, x in zip(watched, samples):
            one.add(x, look, look > BEFORE)
        if look == BEFORE and rates:
            run.game.optimiser = replace(copy.copy(run.game.optimiser), lr=rates)
    found = {"broken at": [], "alarm": [], "finding": []}
    for one in watched:
        began = BEFORE if known else one.judge.broken()
        early = one.judge.broken() is not None and one.judge.broken() < BEFORE
        found["broken at"].append(None if early or began is None or began >= BEFORE + AFTER else began + 1)
        found["alarm"].append(one.monitor.alarms[0].step if one.monitor.alarms else None)
        found["finding"].append(sorted({a.finding for a in one.monitor.alarms[0].alarms}) if one.monitor.alarms else [])
    return found


def rows_of(part: str, setting: str) -> list[dict]:
    """What was recorded of a setting, batch by batch."""
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return [row for row in known.get(f"{part} batches", []) if row["setting"].rpartition(", batch")[0] == setting]


def sum_up_sound(setting: str) -> dict:
    """False alarms among the sound runs of all batches."""
    pairs = [pair for row in rows_of("sound", setting) for pair in zip(row["sound"], row["alarm"])]
    alarms = [alarm is not None for good, alarm in pairs if good]
    low, high = wilson_interval(sum(alarms) / len(alarms), len(alarms)) if alarms else (0., 1.)
    return {"setting": setting, "runs": len(pairs), "sound": len(alarms), "alarmed": sum(alarms),
            "95 %": [round(low, 4), round(high, 4)], "looks": LOOKS,
            "alarmed of the others": sum(alarm is not None for good, alarm in pairs if not good)}


def sum_up_broken(setting: str) -> dict:
    """Delays of the broken runs of all batches; an alarm before the break is no find."""
    kind = setting.partition(", ")[2]
    runs = [run for row in rows_of("broken", setting) for run in zip(row["broken at"], row["alarm"], row["finding"])]
    counted = [(at, alarm, found) for at, alarm, found in runs if at is not None]
    delays = [alarm - at + 1 for at, alarm, _ in counted if alarm is not None and alarm > BEFORE]
    soon = [found for at, alarm, found in counted if alarm is not None and alarm > BEFORE and alarm - at + 1 <= 3]
    low, high = wilson_interval(len(soon) / len(counted), len(counted)) if counted else (0., 1.)
    return {"setting": setting, "runs": len(runs), "broken": len(counted), "within three looks": len(soon),
            "95 %": [round(low, 4), round(high, 4)], "right": sum(bool(set(found) & RIGHT[kind]) for found in soon),
            "delays": {str(d): delays.count(d) for d in sorted(set(delays))},
            "alarm without a break": sum(at is None and alarm is not None for at, alarm, _ in runs)}


def cost() -> Iterator[dict]:
    """Milliseconds of processor time of a look, and seconds to make a monitor."""
    g = torch.Generator().manual_seed(0)
    for title, shape in (("points, 2,000 × 2", (2000, 2)), ("pictures, 10,000 × 784", (10_000, 1, 28, 28))):
        reference = torch.rand(shape, generator=g)
        start = time.process_time()
        monitor = Monitor(reference, lambda n, event=shape[1:]: torch.rand(n, *event), every=1, budget=1.)
        built = time.process_time() - start
        start = time.process_time()
        for step in range(1, 11):
            monitor(step)
        yield {"setting": title, "ms": round((time.process_time() - start) * 100, 1), "built": round(built, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="sound, broken, cost; with :words for some of its rows")
    parser.add_argument("--batches", type=int, default=BATCHES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"sound": {f"{name}, nobody breaks it": (name,) for name in GAMES},
                "broken": {f"{name}, {kind}": (name, kind) for name in GAMES for kind in CHANGES}}
    measure = {"sound": (sound, sum_up_sound), "broken": (broken, sum_up_broken)}
    for part, only in asked(args.parts, ("cost", "sound", "broken")):
        if part == "cost":
            for row in cost():
                record(FILE, part, row)
            continue
        work, sum_up = measure[part]
        batches = args.batches if part == "sound" else min(args.batches, 3)
        for batch in range(batches):  # breadth first: after a stop every setting has as many
            for setting, given in chosen(settings[part], only):
                title = f"{setting}, batch {batch}"
                if title not in [row["setting"] for row in rows_of(part, setting)]:
                    record(FILE, f"{part} batches", {"setting": title} | work(*given, batch))
                record(FILE, part, sum_up(setting))
                print(part, sum_up(setting), flush=True)


if __name__ == "__main__":
    main()
