"""How often an audit accuses a perfect generator, and how often it finds what is there.

    python benchmarks/audit.py              # rates over draws, recorded in benchmarks/audit.json (a quarter of an hour)
    python benchmarks/audit.py --only "big files"            # renew this part, keep the others
    python benchmarks/audit.py --only rates --resume         # go on after an interruption

Ten overlapping modes in 16 dimensions, drawn anew each time, 500 samples a bag, and again with 2,000; and tables of
categories, where most rows are equal to another one. With MNIST in the folder that MODELAB_DATA names, audits of its
digits are recorded too. A last part audits 2 GB of training data from a file, and says what time and memory it took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.data.mixtures import mixture
from modelab.data.mnist import mnist
from modelab.core.statistics import wilson_interval
from modelab.evaluation.audit import audit, AUDIT_TESTS

N, LARGE, MODES, WIDTH, LEVEL = 500, 2000, 10, 16, .05


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

    def labels(self):
        return torch.cdist(self.train, self.law.centers).argmin(1)


class Tables(Bags):
    """Three columns of four, five and six categories and a rounded number: most rows have equals."""

    def __init__(self, n: int, seed: int):
        self.n, self.generator = n, torch.Generator().manual_seed(seed)
        draw = lambda: torch.cat([torch.stack([torch.randint(k, (n,), generator=self.generator) for k in (4, 5, 6)], 1).float(),
                                  torch.randn(n, 1, generator=self.generator).round()], 1)
        self.samples, self.train, self.unseen = draw(), draw(), draw()

    def labels(self):
        return self.train[:, 0].long()


FAULTS = "two_modes_lost a_tenth_copied a_tenth_copied_with_noise a_twentieth_junk timid_by_a_tenth timid_by_a_third".split()


def rates(kind: type, fault: str, n: int, draws: int) -> dict:
    """Share of draws with any alarm, with its 95 % interval, and with each alarm; how often intervals hold the floor."""
    alarms, held, any_alarm = [], [], []
    for seed in tqdm(range(draws), desc=f"{kind.__name__}, {fault}, {n}"):
        bags = kind(n, seed)
        report = audit(getattr(bags, fault)(), bags.train, bags.unseen, labels=bags.labels(), level=LEVEL,
                       generator=torch.Generator().manual_seed(seed))
        alarms.append([f.alarm for f in report.findings])
        held.append([f.low <= f.floor <= f.high for f in report.findings])
        any_alarm.append(not report.sound)
    found, share = torch.tensor(alarms).double().mean(0).tolist(), sum(any_alarm) / draws
    result = {"n": n, "draws": draws, "any alarm": share, "95 %": [round(v, 4) for v in wilson_interval(share, draws)],
              **dict(zip(AUDIT_TESTS, found))}
    if fault == "perfect":
        result["intervals that hold the floor"] = dict(zip(AUDIT_TESTS, torch.tensor(held).double().mean(0).tolist()))
    return result


def plan(draws: int, large: int) -> dict:
    """What is drawn, by name; the perfect generator gets twenty times as many draws as a faulty one."""
    few = {f"{fault.replace('_', ' ')}, {LARGE:,} samples": (Bags, fault, LARGE, large) for fault in FAULTS}
    return {"perfect": (Bags, "perfect", N, 20 * draws), **{fault.replace("_", " "): (Bags, fault, N, draws) for fault in FAULTS},
            "perfect, a table of categories": (Tables, "perfect", N, 10 * draws),
            f"perfect, {LARGE:,} samples": (Bags, "perfect", LARGE, 4 * large), **few}


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
    tried = {"test digits, a tenth of them training digits at 70 % brightness": (
                 torch.cat([dim[:n // 10], unseen[:n - n // 10]]), unseen[n:2 * n]),
             "test digits": (unseen[:n], unseen[n:2 * n]), "training digits": (images[:n], unseen[n:2 * n]),
             "nine of ten digits": (without, unseen[n:2 * n]),
             "the first half of the test file against the second": (file[:5000][:n], file[5000:][:n])}
    return {name: audit(x, images[:n], new, labels=labels[:n]).verdict for name, (x, new) in tried.items()}


BIG = """
import threading, time
from modelab.__main__ import main
held = lambda: int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])  # kB, without the pages of mapped files
most, done = [held()], threading.Event()
def watch():
    while not done.wait(.02):
        most.append(max(most[-1], held()))
watcher = threading.Thread(target=watch, daemon=True)
start, before = time.perf_counter(), held()
watcher.start()
status = main(["audit", "made.npy", "--reference", "train.npy", "--holdout", "new.npy"])
done.set()
print(status, time.perf_counter() - start, (most[-1] - before) // 1024)
"""


def big_files(gigabytes: float = 2.) -> dict:
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
        done = subprocess.run([sys.executable, "-c", BIG], cwd=folder, check=True, capture_output=True, text=True).stdout
    status, seconds, megabytes = done.splitlines()[-1].split()
    return {"what": f"{count:,} pictures of 3×32×32 bytes, a tenth of 5,000 samples copied", "GB": gigabytes,
            "seconds": round(float(seconds), 1), "MB": int(megabytes), "status": int(status), "verdict": done.splitlines()[0]}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20, help="draws per faulty generator; the perfect one gets twenty times as many")
    parser.add_argument("--large", type=int, default=5, help="the same with 2,000 samples; the perfect one gets four times as many")
    parser.add_argument("--only", choices=["rates", "mnist", "big files"], help="renew this part, keep the others")
    parser.add_argument("--resume", action="store_true", help="keep the rates that the file has already")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    measures = {"mnist": digits_of_mnist, "big files": big_files}
    kept = json.loads(args.out.read_text()) if (args.only or args.resume) and args.out.is_file() else {}
    result = {"what": f"{N:,} samples, {N:,} training and {N:,} held-out examples of {MODES} modes in {WIDTH} dimensions, "
                      "with labels", "level": LEVEL, "torch": torch.__version__.split("+")[0], "rates": kept.get("rates", {})}
    for name, measure in measures.items():
        result[name] = measure() if args.only in (None, name) else kept.get(name)
    if args.only in (None, "rates"):
        result["rates"] = dict(result["rates"]) if args.resume else {}
        for name, how in plan(args.draws, args.large).items():
            if name not in result["rates"]:
                result["rates"][name] = rates(*how)
                atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())
    atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
