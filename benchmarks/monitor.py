"""How often the monitor alarms in sound training runs, how soon it finds broken ones, and what a look costs.

    python benchmarks/monitor.py                 # about an hour; goes on where it was stopped
    python benchmarks/monitor.py sound:Zero      # the rows of a part with these words in their name
    python benchmarks/monitor.py --batches 2     # fewer runs of each game
    python benchmarks/monitor.py --trial         # seeds below 1,000, on which the settings were chosen; nothing is recorded

Real training runs of the engine on the ring of eight modes, 32 seeds at a time, with a look at 1,000 samples every 25 steps.
ZeroCentred is sampled from the moving average of G, as people sample; Wasserstein from G as it is. (G of ZeroCentred as it is
swings: the judge calls most such runs not sound.)

A separate program, the judge, decides. The monitor does not use it. It knows the true modes, and has 4,000 samples of its own
at each look. A run is *sound* if, from the first look at which every mode has half of its share, every mode keeps a quarter of
its share at every look, and the share of samples within three standard deviations of a mode is never ten points below its best
mean of three looks. A run that never gets there is not sound.

Runs of the same seeds are broken after 80 looks, in four ways that share these looks. Only those count that were sound till
then, with every mode there for ten looks. A mode that is taken out and copies that are fed in begin at a known look. A rate
that is too high and a D that is frozen need not break a run. A run is *broken* from the first look at which the judge finds
less than a tenth of a mode's share, or a share of good samples 25 points below its best: there the delay begins, where three
looks are left. Runs between sound and broken are counted in neither. These rules were fixed on seeds below 1,000; the recorded
seeds are 1,000 and above.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from rows import asked, chosen, record
from torch import nn, Tensor

import modelab
from modelab.core.statistics import wilson_interval
from modelab.data.mixtures import ring
from modelab.evaluation.monitor import Monitor
from modelab.evaluation.sequential_test import SETTLE
from modelab.networks.players import Networks
from modelab.training.run import Diverged, Run

FILE = Path(__file__).with_suffix(".json")
SEEDS, EVERY, LOOKS, BATCHES, FIRST = 32, 25, 200, 4, 1000
BEFORE, AFTER = 80, 30  # looks before a run is broken, and after it
RING = ring(std=.1)
REFERENCE, KINDS = RING.sample_with_modes(1000, torch.Generator().manual_seed(5))
GAMES = {"ZeroCentred": (modelab.ZeroCentred, .99), "Wasserstein": (modelab.Wasserstein, 0.)}  # decay of the average of G


class Judge:
    """Least share of a mode and share of good samples, look by look, from samples of its own."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.good: list[float] = []

    def add(self, x: Tensor) -> None:
        near, mode = torch.cdist(x, RING.centers.float()).min(1)
        good = near <= .3
        self.low.append(float(torch.bincount(mode[good], minlength=8).min()) / len(x) * 8)
        self.good.append(float(good.float().mean()))

    def start(self) -> int | None:
        """The first look with half of its share in every mode."""
        return next((t for t, low in enumerate(self.low) if low >= .5), None)

    def below(self, share: float, drop: float) -> int | None:
        """The first look at which a mode has less than this share of its own, or good samples are that much rarer than at best."""
        start = self.start()
        for t in range(start, len(self.low)):
            best = max((sum(self.good[s - 3:s]) / 3 for s in range(start + 3, t + 1)), default=0.)
            if self.low[t] < share or self.good[t] < best - drop:
                return t
        return None

    def sound(self) -> bool:
        return self.start() is not None and self.below(.25, .1) is None

    def broken(self) -> int | None:
        return self.below(.1, .25)


class Watched:
    """One seed of a run with its monitor and its judge."""

    def __init__(self) -> None:
        self.x, self.judge = None, Judge()
        self.monitor = Monitor(REFERENCE, self.draw, every=1, budget=1., on_alarm=lambda look: None)

    def draw(self, n: int) -> Tensor:
        return self.x[:n]

    def add(self, x: Tensor, look: int) -> None:
        self.x = x
        self.judge.add(x[1000:])
        self.monitor(look)


def begun(name: str, batch: int) -> tuple[Run, list[Watched]]:
    """A run of many seeds, each with its monitor and its judge, at step 0."""
    make, average = GAMES[name]
    run = Run(make(networks=Networks(width=32)), RING, runs=SEEDS, seed=FIRST + SEEDS * batch, batch=64, device="cpu",
              average=average)
    one = Watched()
    return run, [copy.deepcopy(one) for _ in range(SEEDS)]


def go_on(run: Run, watched: list[Watched], looks: range, change: Callable[[Tensor], Tensor] = lambda x: x) -> None:
    """Train on, with so many looks; a run that diverges is over."""
    for look in looks:
        try:
            samples = run.step(EVERY).sample(5000)
        except Diverged as error:
            print(error)
            return
        for one, x in zip(watched, samples):
            one.add(change(x), look)


def sound(name: str, batch: int) -> dict:
    """One batch of runs that nobody breaks."""
    run, watched = begun(name, batch)
    go_on(run, watched, range(1, LOOKS + 1))
    first = [one.monitor.alarms[0] if one.monitor.alarms else None for one in watched]
    return {"sound": [one.judge.sound() for one in watched],
            "alarm": [look and look.step for look in first], "said": [look.says if look else "" for look in first],
            "settled": [int((one.monitor.test.settled > 0).sum()) for one in watched]}


def without_a_mode(x: Tensor) -> Tensor:
    """Samples near the fourth mode are left out; the last ones are made up by the first."""
    mode = torch.cdist(x, RING.centers.float()).argmin(1)
    kept = (mode != 3).nonzero()[:, 0]
    return x[kept[torch.arange(len(x)) % len(kept)]] if len(kept) else x


def with_copies(x: Tensor) -> Tensor:
    """A tenth of the samples is replaced by training examples."""
    copied = torch.rand(len(x)) < .1
    return torch.where(copied[:, None], REFERENCE[torch.randint(len(REFERENCE), (len(x),))], x)


CHANGES = {"a mode taken out": without_a_mode, "10 % copies fed in": with_copies}  # of the samples, at a known look
RATES = {"rate × 10": {"G": 10, "D": 10}, "D frozen": {"G": 1, "D": 0}}  # factors of the learning rates
RIGHT = {"a mode taken out": {"lost"}, "10 % copies fed in": {"copies"}, "rate × 10": {"lost", "junk"},
         "D frozen": {"lost", "junk"}}


@lru_cache(maxsize=1)
def before_the_break(name: str, batch: int) -> tuple[Run, list[Watched]]:
    """Runs at the last look before they are broken, in four ways."""
    run, watched = begun(name, batch)
    go_on(run, watched, range(1, BEFORE + 1))
    return run, watched


def broken(name: str, kind: str, batch: int) -> dict:
    """One batch of runs broken after `BEFORE` looks; all looks count from 1."""
    run, watched = copy.deepcopy(before_the_break(name, batch))
    torch.manual_seed(batch)
    good = [one.judge.sound() and one.judge.start() <= BEFORE - SETTLE for one in watched]
    if kind in RATES:
        rates = {player: factor * run.game.optimiser.rates(player)["lr"] for player, factor in RATES[kind].items()}
        run.game.optimiser = replace(run.game.optimiser, lr=rates)
    go_on(run, watched, range(BEFORE + 1, BEFORE + AFTER + 1), CHANGES.get(kind, lambda x: x))
    found = {"broken at": [], "alarm": [], "finding": []}
    for one, counts in zip(watched, good):
        began = None if not counts else BEFORE if kind in CHANGES else one.judge.broken()
        first = one.monitor.alarms[0] if one.monitor.alarms else None
        found["broken at"].append(None if began is None or began > BEFORE + AFTER - 3 else began + 1)
        found["alarm"].append(first and first.step)
        found["finding"].append(sorted({a.finding for a in first.alarms}) if first else [])
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
            "95 %": [round(low, 4), round(high, 4)], "right": sum(set(found) <= RIGHT[kind] for found in soon),
            "delays": {str(d): delays.count(d) for d in sorted(set(delays))},
            "alarmed before": sum(at is not None and alarm is not None and alarm <= BEFORE for at, alarm, _ in runs),
            "not broken, alarmed": sum(at is None and alarm is not None for at, alarm, _ in runs)}


def a_look(event: tuple[int, ...], rows: int) -> dict:
    """Milliseconds of processor time of a look, and seconds to make a monitor."""
    reference = torch.rand(rows, *event, generator=torch.Generator().manual_seed(0))
    start = time.process_time()
    monitor = Monitor(reference, lambda n: torch.rand(n, *event), every=1, budget=1.)
    built = time.process_time() - start
    start = time.process_time()
    for step in range(1, 11):
        monitor(step)
    return {"ms": round((time.process_time() - start) * 100, 1), "built": round(built, 2)}


def dcgan(steps: int) -> dict:
    """A DCGAN on 28×28 pictures of digits, with a look due every ten steps: the share of the time that looks take."""
    torch.manual_seed(0)
    real = F.interpolate(modelab.digits().sample(5000, generator=torch.Generator().manual_seed(1)), (28, 28), mode="bilinear")
    G = nn.Sequential(nn.ConvTranspose2d(100, 128, 7), nn.BatchNorm2d(128), nn.ReLU(),
                      nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(.2), nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128),
                      nn.LeakyReLU(.2), nn.Flatten(), nn.Linear(128 * 49, 1))
    g, d = (torch.optim.Adam(net.parameters(), 2e-4, (.5, .999)) for net in (G, D))
    monitor = Monitor(real, lambda n: G(torch.randn(n, 100, 1, 1)), every=10, eval_of=[G], on_alarm=lambda look: None)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        fake = G(torch.randn(64, 100, 1, 1))
        loss = F.softplus(-D(real[torch.randint(len(real), (64,))])).mean() + F.softplus(D(fake.detach())).mean()
        d.zero_grad(), loss.backward(), d.step()
        loss = F.softplus(-D(fake)).mean()
        g.zero_grad(), loss.backward(), g.step()
        monitor(step)
    whole = time.perf_counter() - start
    return {"share": round(monitor.seconds / whole, 4), "budget": monitor.budget, "steps": steps, "looks": len(monitor.looks),
            "left out": monitor.left_out, "seconds of training": round(whole - monitor.seconds, 1),
            "seconds of a look": round(monitor.seconds / len(monitor.looks), 2)}


MEMORY = """
import sys, torch
from modelab.evaluation.monitor import Monitor

def pages(word):
    return int(next(line for line in open("/proc/self/status") if line.startswith(word)).split()[1]) / 1024

def looked(rows, bound):
    x = torch.rand(rows, 1, 28, 28)
    before = pages("VmSize")
    monitor = Monitor(x, lambda n: torch.rand(n, 1, 28, 28), features=torch.nn.Flatten(), every=1, budget=1., max_bytes=bound)
    monitor(1)
    return pages("VmPeak") - before, len(monitor.yardstick.rows)

looked(1000, 1 << 24)  # what the libraries load
print(*looked(60000, int(sys.argv[1]) << 20))
"""


def memory(bound: int) -> dict:
    """MiB of address space that a monitor of 60,000 × 784 numbers adds at most, in a process of its own (Linux only)."""
    told = subprocess.run([sys.executable, "-c", MEMORY, str(bound)], capture_output=True, text=True, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}).stdout.split()
    return {"MiB": round(float(told[0])), "allowed": bound, "rows kept": int(told[1])}


COST = {"points, 2,000 × 2": (a_look, (2,), 2000), "pictures, 10,000 × 784": (a_look, (1, 28, 28), 10_000),
        "a DCGAN, 28 × 28, look due every 10 steps": (dcgan, 400),
        **{f"memory, 60,000 × 784, max_bytes {bound} MiB": (memory, bound) for bound in (32, 128, 512)}}


def main() -> None:
    global FILE, FIRST
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="cost, sound, broken; with :words for some of its rows")
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--trial", action="store_true", help="seeds below 1,000, nothing is recorded")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.trial:
        FILE, FIRST = Path(tempfile.mkdtemp()) / "trial.json", 0
    settings = {"sound": {f"{name}, nobody breaks it": (name,) for name in GAMES},
                "broken": {f"{name}, {kind}": (name, kind) for name in GAMES for kind in RIGHT}}
    measure, parts = {"sound": (sound, sum_up_sound), "broken": (broken, sum_up_broken)}, asked(args.parts, ("cost", "sound", "broken"))
    for _, only in [part for part in parts if part[0] == "cost"]:
        for setting, (work, *given) in chosen(COST, only):
            row = {"setting": setting} | work(*given)
            record(FILE, "cost", row)
            print("cost", row, flush=True)
    for batch in range(args.batches):  # breadth first: after a stop every setting has as many
        for part, only in [part for part in parts if part[0] != "cost"]:
            work, sum_up = measure[part]
            for setting, given in chosen(settings[part], only):
                title = f"{setting}, batch {batch}"
                if title in [row["setting"] for row in rows_of(part, setting)]:
                    continue
                record(FILE, f"{part} batches", {"setting": title} | work(*given, batch))
                record(FILE, part, sum_up(setting))
                print(part, sum_up(setting), flush=True)


if __name__ == "__main__":
    main()
