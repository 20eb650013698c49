"""How often an audit accuses a perfect generator, and how often it finds what is there: 2,000 samples a bag.

    python benchmarks/audit.py              # rates over draws, recorded in benchmarks/audit.json (a quarter of an hour)
    python benchmarks/audit.py --only "big files"            # renew this part, keep the others

Ten overlapping modes in 16 dimensions, drawn anew each time. With MNIST in the folder that MODELAB_DATA names, audits of its
digits are recorded too. A third part audits 2 GB of training data from a file, and says what time and memory it took.
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

N, MODES, WIDTH = 2000, 10, 16


def bags(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples with their modes, training data and held-out data of one law."""
    generator = torch.Generator().manual_seed(seed)
    law = mixture(2 * torch.randn(MODES, WIDTH, generator=generator), std=1.)
    (samples, mode), train, unseen = law.sample_with_modes(2 * N, generator=generator), *(
        law.sample(N, generator=generator) for _ in range(2))
    return samples, mode, train, unseen


def perfect(samples, mode, train):
    return samples[:N]


def two_modes_lost(samples, mode, train):
    return samples[mode > 1][:N]


def a_tenth_copied(samples, mode, train):
    return torch.cat([train[:N // 10], samples[:N - N // 10]])


def rates(make, draws: int) -> dict:
    """Share of draws with any alarm, with its 95 % interval, and with each alarm."""
    alarms = []
    for seed in tqdm(range(draws), desc=make.__name__):
        samples, mode, train, unseen = bags(seed)
        report = audit(make(samples, mode, train), train, unseen, generator=torch.Generator().manual_seed(seed))
        alarms.append([f.alarm for f in report.findings])
    found = torch.tensor(alarms)
    share = found.any(1).double().mean().item()
    return {"draws": draws, "any alarm": share, "95 %": [round(v, 4) for v in wilson_interval(share, draws)],
            **{test: found[:, i].double().mean().item() for i, test in enumerate(AUDIT_TESTS)}}


def digits_of_mnist() -> dict | None:
    """Verdicts on real digits, 2,000 a bag without repetition; None where there are none."""
    try:
        train = mnist()
    except FileNotFoundError:
        return None
    order = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))
    images, labels = ((v[order]) for v in (train._images, train._labels))
    file = train.held_out._images.double() / 255
    unseen = file[torch.randperm(10_000, generator=torch.Generator().manual_seed(1))]
    images = images.double() / 255
    without = images[N:][labels[N:] != 4][:N]
    tried = {"test digits": (unseen[:N], unseen[N:2 * N]), "training digits": (images[:N], unseen[N:2 * N]),
             "nine of ten digits": (without, unseen[N:2 * N]),
             "the first half of the test file against the second": (file[:5000][:N], file[5000:][:N])}
    return {name: audit(x, images[:N], new, labels=labels[:N]).verdict for name, (x, new) in tried.items()}


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
    parser.add_argument("--draws", type=int, default=60, help="draws per faulty generator; the perfect one gets four times as many")
    parser.add_argument("--only", choices=["rates", "mnist", "big files"], help="renew this part, keep the others")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    measures = {"mnist": digits_of_mnist, "big files": big_files, "rates": lambda: {
        make.__name__.replace("_", " "): rates(make, args.draws * (4 if make is perfect else 1))
        for make in (perfect, two_modes_lost, a_tenth_copied)}}
    kept = json.loads(args.out.read_text()) if args.only and args.out.is_file() else {}
    result = {"what": f"{N:,} samples, {N:,} training and {N:,} held-out examples of {MODES} modes in {WIDTH} dimensions",
              "torch": torch.__version__.split("+")[0]}
    for name, measure in measures.items():
        result[name] = measure() if args.only in (None, name) else kept.get(name)
    atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
