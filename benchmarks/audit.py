"""How often an audit accuses a perfect generator, and how often it finds what is there.

    python benchmarks/audit.py              # everything, recorded in benchmarks/audit.json (half a day on one core)
    python benchmarks/audit.py --only rates --resume         # go on after an interruption
    python benchmarks/audit.py --only rates --resume --rows "pictures, 500"      # these rows only
    python benchmarks/audit.py --only "big files"            # renew this part, keep the others
    python benchmarks/audit.py --only repeats                # the interval of repeats alone (10 minutes)

Rates are those of 400 perfect draws and of 20 draws of each fault, with 500, 2,000 and 5,000 samples: ten overlapping
modes in 16 dimensions, drawn anew each time; tables of categories, where most rows are equal to another one; and pictures
(MNIST, if the folder that MODELAB_DATA names holds it, else drawn faces), as they are and as features of a network with
random weights. One row is of drawn faces of which one attribute, 6 % of the data, is lost. A row is written every ten draws, and `--resume` goes on behind the last one. Other parts audit MNIST's
digits, 2 GB of training data from a file, and 50,000 pictures against 50,000, and say what time and memory these took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rows import cropped, moved, turned
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.statistics import wilson_interval
from modelab.data.mixtures import mixture
from modelab.data.mnist import mnist
from modelab.data.pictures import faces
from modelab.evaluation.annotations import Annotations
from modelab.evaluation.audit import audit, AUDIT_TESTS
from modelab.evaluation.audit_tests import closest_pairs, floor_of_repeats, permutation_test, repeats_interval

N, LARGE, LARGEST, MODES, WIDTH, LEVEL = 500, 2000, 5000, 10, 16, .05
BATTERY = "6: copies and junk by groups, an example counts three times, transformed copies, shift of the mean"  # rates of another one are not kept


class Bags:
    """Samples, training data and held-out data of one law, `n` of each, and generators with known faults."""

    def __init__(self, n: int, seed: int):
        self.n, self.generator = n, torch.Generator().manual_seed(seed)
        self.law = mixture(2 * torch.randn(MODES, WIDTH, generator=self.generator), std=1.)
        self.samples, self.mode = self.law.sample_with_modes(2 * n, generator=self.generator)
        self.train, self.unseen = (self.law.sample(n, generator=self.generator) for _ in range(2))

    def perfect(self):
        return self.samples[:self.n]

    def two_modes_lost(self):
        return self.samples[self.mode > 1][:self.n]

    def a_tenth_copied(self):
        return torch.cat([self.train[:self.n // 10], self.samples[:self.n - self.n // 10]])

    def a_tenth_copied_with_noise(self):
        made = self.a_tenth_copied()
        return made + .1 * torch.randn(made.shape, generator=self.generator)

    def a_twentieth_junk(self):
        made = self.perfect().clone()
        made[:self.n // 20] *= 3
        return made

    def timid_by_a_tenth(self):
        return self.perfect() + .1 * (self.law.centers[self.mode[:self.n]] - self.perfect())

    def timid_by_a_third(self):
        return self.perfect() + .3 * (self.law.centers[self.mode[:self.n]] - self.perfect())

    def shifted(self):
        return self.perfect() + .15 * self.train.std(0)

    def labels(self):
        return torch.cdist(self.train, self.law.centers).argmin(1)

    def annotations(self):
        return Annotations()


class Tables(Bags):
    """Three columns of four, five and six categories and a rounded number: most rows have equals."""

    def __init__(self, n: int, seed: int):
        self.n, self.generator = n, torch.Generator().manual_seed(seed)
        draw = lambda: torch.cat([torch.stack([torch.randint(k, (n,), generator=self.generator) for k in (4, 5, 6)], 1).float(),
                                  torch.randn(n, 1, generator=self.generator).round()], 1)
        self.samples, self.train, self.unseen = draw(), draw(), draw()

    def labels(self):
        return self.train[:, 0].long()


@cache
def scans() -> tuple[torch.Tensor, torch.Tensor, str]:
    """Pictures (n, 1, h, w) in [0, 1] with their classes, and what they are."""
    try:
        file = mnist()
        return file._images.float()[:, None] / 255, file._labels, "MNIST"
    except FileNotFoundError:
        x, mode = faces().sample_with_modes(20_000, generator=torch.Generator().manual_seed(0))
        return x / 2 + .5, mode, "drawn faces"


CHANGES = {"moved by 1 pixel": lambda x, g: moved(x, 0, 1), "moved by 2 pixels": lambda x, g: moved(x, -2, 1),
           "mirrored": lambda x, g: x.flip(-1), "dimmed": lambda x, g: .7 * x, "cropped": lambda x, g: cropped(x, .9),
           "with noise": lambda x, g: x + .1 * torch.randn(x.shape, generator=g), "turned": lambda x, g: turned(x, 10.)}


class Pictures:
    """Samples, training data and held-out data, disjoint, of one file of pictures."""

    features = None

    def __init__(self, n: int, seed: int):
        self.n, self.generator = n, torch.Generator().manual_seed(seed)
        x, label, _ = scans()
        rows = torch.randperm(len(x), generator=self.generator)[:3 * n].split(n)
        self.samples, self.train, self.unseen = (x[part] for part in rows)
        self.label, self.train_label = label[rows[0]], label[rows[1]]

    def labels(self):
        return self.train_label.long()

    def annotations(self):
        return Annotations()

    def perfect(self):
        return self.samples

    def timid_by_a_third(self):
        means = {int(c): self.train[self.train_label == c].mean(0) for c in self.train_label.unique()}
        middle = torch.stack([means.get(int(c), self.train.mean(0)) for c in self.label])
        return self.samples.lerp(middle, .3)

    def __getattr__(self, fault: str):
        """A tenth of the samples are training pictures after a change, such as `dimmed`."""
        change = CHANGES[fault.replace("_", " ")]
        count = self.n // 10
        return lambda: torch.cat([change(self.train[:count], self.generator), self.samples[count:]])


@cache
def random_network() -> torch.nn.Module:
    """A network with random weights, always the same; 128 features."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(scans()[0].shape[1], 32, 5, stride=2), torch.nn.ReLU(),
                                  torch.nn.Conv2d(32, 64, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(3),
                                  torch.nn.Flatten(), torch.nn.Linear(576, 128))
    torch.set_rng_state(state)
    return network


class Features(Pictures):
    """The same pictures, compared by features."""

    @staticmethod
    def features(x):
        return random_network()(x.float())


class Faces(Bags):
    """Drawn faces; the reference's attributes are known, and five nearest real faces say what the others show."""

    def __init__(self, n: int, seed: int):
        self.n, self.generator, self.law = n, torch.Generator().manual_seed(seed), faces()
        self.samples, self.mode = self.law.sample_with_modes(2 * n, generator=self.generator)
        self.train, mode = self.law.sample_with_modes(n, generator=self.generator)
        self.unseen, self.shows = self.law.sample(n, generator=self.generator), self.law.kinds[mode]

    def labels(self):
        return None

    def annotations(self):
        return Annotations(attributes=self.shows, names=self.law.traits)

    def eyeglasses_lost(self):
        return self.samples[~self.law.kinds[self.mode][:, 0]][:self.n]


FAULTS = "two_modes_lost a_tenth_copied a_tenth_copied_with_noise a_twentieth_junk timid_by_a_tenth timid_by_a_third shifted".split()


def rates(kind: type, fault: str, n: int, draws: int, before: dict | None, write) -> None:
    """Share of draws with any alarm, with its 95 % interval, and with each alarm; how often intervals hold the floor."""
    tests = [test for test in AUDIT_TESTS if test != "transformed" or issubclass(kind, (Pictures, Faces))]
    done, seconds = (before["draws"], before["seconds per draw"] * before["draws"]) if before else (0, 0.)
    hits, held = ({test: round(before[key][test] * done) if before else 0 for test in tests}
                  for key in ("alarms", "intervals that hold the floor"))
    more = dict.fromkeys(["missing group", "the lost attribute", "another attribute"], 0) if kind is Faces else {}
    more = {name: round(before["alarms"][name] * done) if before else 0 for name in more}
    some = round(before["any alarm"] * done) if before else 0
    for seed in tqdm(range(done, draws), desc=f"{kind.__name__}, {fault}, {n}"):
        bags, start = kind(n, seed), time.process_time()
        report = audit(getattr(bags, fault)(), bags.train, bags.unseen, labels=bags.labels(), level=LEVEL,
                       features=getattr(bags, "features", None), generator=torch.Generator().manual_seed(seed),
                       annotations=bags.annotations())
        seconds += time.process_time() - start
        for f in report.findings:
            hits[f.test] += f.alarm
            held[f.test] += f.low <= f.floor <= f.high
        if more:
            found = {row.name for row in report.attributes.rows if row.alarm}
            for name, seen in zip(more, (report.kinds, "eyeglasses" in found, found - {"eyeglasses"})):
                more[name] += bool(seen)
        some, count = some + (not report.sound), seed + 1
        if count % 10 == 0 or count == draws:
            write({"n": n, "draws": count, "any alarm": some / count,
                   "95 %": [round(v, 4) for v in wilson_interval(some / count, count)],
                   "alarms": {test: found / count for test, found in (hits | more).items()},
                   "intervals that hold the floor": {test: found / count for test, found in held.items()},
                   "seconds per draw": round(seconds / count, 2)})


def plan(draws: int, perfect: int) -> dict:
    """What is drawn, by name; perfect generators first, the small ones before the large ones."""
    what = scans()[2]
    kinds = {"": Bags, f"{what}, ": Pictures, f"features of {what}, ": Features, "a table of categories, ": Tables}
    rows = {f"perfect, {name}{n:,} samples": (kind, "perfect", n, perfect) for n in (N, LARGE, LARGEST)
            for name, kind in kinds.items()}
    for n in (N, LARGE):
        rows |= {f"{fault.replace('_', ' ')}, {n:,} samples": (Bags, fault, n, draws) for fault in FAULTS}
        for name, kind in ((f"{what}, ", Pictures), (f"features of {what}, ", Features)):
            rows |= {f"a tenth copied, {change}, {name}{n:,} samples": (kind, change.replace(" ", "_"), n, draws)
                     for change in CHANGES}
            rows |= {f"timid by a third, {name}{n:,} samples": (kind, "timid_by_a_third", n, draws)}
    rows = dict(sorted(rows.items(), key=lambda row: row[1][1] == "perfect" and row[1][0] in (Pictures, Tables)))  # asked first
    return rows | {f"an attribute of 6 % lost, drawn faces, {LARGE:,} samples": (Faces, "eyeglasses_lost", LARGE, draws)}


def intervals_of_repeats(most: int = 400) -> dict:
    """How often the interval of repeats holds its floor for a perfect generator, and how often Wilson's with one trial for each pair would."""
    found = {}
    for n, draws in ((N, most), (LARGE, most), (LARGEST, most // 2)):
        for name, kind in (("", Bags), (f"features of {scans()[2]}, ", Features)):
            held = []
            for seed in tqdm(range(draws), desc=f"repeats, {name}{n}"):
                bags, generator = kind(n, seed), torch.Generator().manual_seed(seed)
                seen = getattr(bags, "features", None) or (lambda x: x)
                with torch.no_grad():
                    samples, unseen = (seen(x.double()).flatten(1) for x in (bags.perfect(), bags.unseen))
                order = torch.randperm(2 * n, generator=generator)
                pairs, floor = closest_pairs(torch.cat([samples, unseen])[order]), floor_of_repeats(n, n)
                share = lambda label: label[:, pairs].all(2).double().mean(1)
                value, shuffled, _ = permutation_test(share, order < n, generator)
                both = repeats_interval(float(value), shuffled, floor, len(pairs)), wilson_interval(float(value), len(pairs))
                held.append([low <= floor <= high for low, high in both])
            holds, single = (sum(column) / draws for column in zip(*held))
            found[f"perfect, {name}{n:,} samples"] = {"draws": draws, "holds": holds, "one a pair": single,
                                                      "95 %": [round(v, 4) for v in wilson_interval(holds, draws)]}
    return found


def digits_of_mnist() -> dict | None:
    """Verdicts on real digits, 2,000 a bag without repetition; None where there are none."""
    n = LARGE
    try:
        train = mnist()
    except FileNotFoundError:
        return None
    order = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))
    images, labels = ((v[order]) for v in (train._images, train._labels))
    file = train.held_out._images.double() / 255
    unseen = file[torch.randperm(10_000, generator=torch.Generator().manual_seed(1))]
    images = images.double() / 255
    without = images[n:][labels[n:] != 4][:n]
    dim = images[:n].clone()
    dim[:n // 10] *= .7
    shifted = moved(images[:n, None], 0, 1)[:, 0]
    tried = {"test digits, a tenth of them training digits moved by a pixel": (
                 torch.cat([shifted[:n // 10], unseen[:n - n // 10]]), unseen[n:2 * n]),
             "test digits, a tenth of them training digits at 70 % brightness": (
                 torch.cat([dim[:n // 10], unseen[:n - n // 10]]), unseen[n:2 * n]),
             "test digits": (unseen[:n], unseen[n:2 * n]), "training digits": (images[:n], unseen[n:2 * n]),
             "nine of ten digits": (without, unseen[n:2 * n]),
             "the first half of the test file against the second": (file[:5000][:n], file[5000:][:n])}
    return {name: audit(x, images[:n], new, labels=labels[:n]).verdict for name, (x, new) in tried.items()}


BIG = """
import sys, threading, time
from modelab.__main__ import main
held = lambda: int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])  # kB, without the pages of mapped files
most, done = [held()], threading.Event()
def watch():
    while not done.wait(.02):
        most.append(max(most[-1], held()))
watcher = threading.Thread(target=watch, daemon=True)
start, worked, before = time.perf_counter(), time.process_time(), held()
watcher.start()
status = main(["audit", "made.npy", "--reference", "train.npy", "--holdout", "new.npy", *sys.argv[1:]])
done.set()
print(status, time.perf_counter() - start, time.process_time() - worked, (most[-1] - before) // 1024)
"""


def big_files(gigabytes: float = 3.) -> dict:
    """`modelab audit` on pictures in bytes: 32×32×3, a tenth of the samples copied from anywhere in the training file."""
    count, random = int(gigabytes * 2 ** 30 / 3072), np.random.default_rng(0)
    basis = random.normal(size=(24, 3072)).astype(np.float32) * 12

    def pictures(n: int) -> np.ndarray:
        noise = random.normal(size=(n, 3072)).astype(np.float32)
        made = random.normal(size=(n, 24)).astype(np.float32) @ basis / 24 ** .5 * 4 + noise + 128
        return made.clip(0, 255).astype(np.uint8).reshape(n, 3, 32, 32)
    with tempfile.TemporaryDirectory() as folder:
        train = np.lib.format.open_memmap(f"{folder}/train.npy", mode="w+", dtype=np.uint8, shape=(count, 3, 32, 32))
        for at in tqdm(range(0, count, 8192), desc="writing"):
            train[at:at + 8192] = pictures(min(8192, count - at))
        made = pictures(5000)
        made[:500] = train[np.sort(random.choice(count, 500, replace=False))]
        np.save(f"{folder}/made.npy", made)
        np.save(f"{folder}/new.npy", pictures(5000))
        found = measured(folder)
    return {"what": f"{count:,} pictures of 3×32×32 bytes, a tenth of 5,000 samples copied", "GB": gigabytes, **found}


def measured(folder: str, *options: str) -> dict:
    """Time, memory, exit status and verdict of the command in a process of its own."""
    done = subprocess.run([sys.executable, "-c", BIG, *options], cwd=folder, check=True, capture_output=True, text=True).stdout
    status, seconds, worked, megabytes = done.splitlines()[-1].split()
    return {"seconds": round(float(seconds), 1), "processor seconds": round(float(worked), 1), "MB": int(megabytes), "status": int(status), "verdict": done.splitlines()[0]}


def many_rows(count: int = 50_000) -> dict:
    """All of 50,000 samples against all of 50,000 training pictures of 28×28, with 10,000 held out."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(24, 784)).astype(np.float32) * 12

    def pictures(n: int) -> np.ndarray:
        noise = random.normal(size=(n, 784)).astype(np.float32)
        made = random.normal(size=(n, 24)).astype(np.float32) @ basis / 24 ** .5 * 4 + noise + 128
        return made.clip(0, 255).astype(np.uint8).reshape(n, 28, 28)
    with tempfile.TemporaryDirectory() as folder:
        for name, n in (("made", count), ("train", count), ("new", count // 5)):
            np.save(f"{folder}/{name}.npy", pictures(n))
        found = measured(folder, "--most", str(count), "--memory", "128M")
    return {"what": f"{count:,} samples, {count:,} training and {count // 5:,} held-out pictures of 28×28 bytes, all of them "
                    "looked at, searches bound to 128 MB", **found}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20, help="draws per faulty generator")
    parser.add_argument("--perfect", type=int, default=400, help="draws per perfect generator")
    parser.add_argument("--only", choices=["rates", "repeats", "mnist", "big files", "many rows"], help="renew this part, keep the others")
    parser.add_argument("--rows", default="", help="only rates whose names hold this text")
    parser.add_argument("--resume", action="store_true", help="keep the rates that the file has already, and go on")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    measures = {"repeats": intervals_of_repeats, "mnist": digits_of_mnist, "big files": big_files, "many rows": many_rows}
    kept = json.loads(args.out.read_text()) if args.out.is_file() else {}
    known = kept.get("rates", {}) if kept.get("battery") == BATTERY else {}
    result = {"what": f"samples, training and held-out data, as many of each, with labels; {MODES} modes in {WIDTH} dimensions "
                      f"or {scans()[2]}", "level": LEVEL, "battery": BATTERY, "torch": torch.__version__.split("+")[0],
              "rates": known if args.resume or args.only not in (None, "rates") or args.rows else {}}
    write = lambda: atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())
    for name, measure in measures.items():
        result[name] = measure() if args.only in (None, name) else kept.get(name)

    def keep(name: str, row: dict) -> None:
        result["rates"][name] = row
        write()
    for name, (kind, fault, n, draws) in plan(args.draws, args.perfect).items():
        before = result["rates"].get(name) if args.resume else None
        if args.only in (None, "rates") and args.rows in name and (before or {"draws": 0})["draws"] < draws:
            rates(kind, fault, n, draws, before, lambda row, name=name: keep(name, row))
    write()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
