"""What real data costs while one trains on it: memory beyond the bytes themselves, and time spent waiting for it.

    MODELAB_DATA=... python benchmarks/data.py            # measures and records benchmarks/data.json
    MODELAB_DATA=... python benchmarks/data.py --no-record

Memory: the peak of a process that reads the 60,000 + 10,000 scans of MNIST, trains on them and has the result judged,
minus the peak of the same process on 600 + 600 of them, divided by the 47 MB of the 60,000 scans. Beside it: all scans
turned to float32 once, as loaders often do. Time: the share of a training step that goes into drawing its real batches.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from modelab.core.files import atomic_write
from modelab.core.registry import make
from modelab.data.mnist import idx_files, read_idx
from modelab.methods.minimax import Minimax
from modelab.networks.convolutional import conv_discriminator, conv_generator
from modelab.training.run import Run

RAW = 60_000 * 28 * 28
CASES = [(1, "mlp", 256), (8, "mlp", 256), (1, "conv", 64)]  # runs, networks, batch


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    status = Path("/proc/self/status")  # getrusage counts the parent's memory, too, as it was when this process began
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def process(name: str, folder: str, as_float: bool) -> dict[str, int]:
    """Read, train, judge in this process; its peaks."""
    made = make("modes", {"name": name, "folder": folder})
    if as_float:
        made._images = made._images.float()
    run = Run(Minimax(), made, runs=1, batch=64, device="cpu").step(20)
    trained = peak()
    made.assign(run.sample(2000)[0])
    return {"train": trained, "judge": peak()}


def copy(folder: Path, few: int | None) -> Path:
    """MNIST's files in `folder`, where a judge can be kept beside them; only the first `few` scans of each split."""
    folder.mkdir()
    for path, kind in zip(idx_files("mnist"), ["images", "labels"] * 2):
        part = read_idx(path, kind)[:few]
        head = bytes([0, 0, 8, part.ndim]) + b"".join(n.to_bytes(4, "big") for n in part.shape)
        (folder / f"{path.name.removesuffix('.gz')}.gz").write_bytes(gzip.compress(head + part.numpy().tobytes(), 1))
    return folder


def memory(names: tuple[str, ...], repeats: int) -> dict[str, dict[str, float]]:
    """Medians over `repeats` of the memory that the data takes, per byte of the training scans."""
    def ask(name: str, folder: Path, *more: str) -> dict[str, int]:
        call = [sys.executable, __file__, "--process", name, str(folder), *more]
        return json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    ratios: dict[str, dict[str, list[float]]] = {name: {"train": [], "judge": [], "float32": []} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        few, full = copy(Path(folder, "few"), 600), copy(Path(folder, "full"), None)
        ask(names[0], few), ask(names[0], full)  # fits the judges, which are kept
        for name in names * repeats:
            base, ours, floats = ask(name, few), ask(name, full), ask(name, full, "--float")
            for phase in ("train", "judge"):
                ratios[name][phase].append((ours[phase] - base[phase]) / RAW)
            ratios[name]["float32"].append((floats["train"] - base["train"]) / RAW)
    return {name: {k: round(statistics.median(v), 2) for k, v in of.items()} for name, of in ratios.items()}


def waiting(name: str, runs: int, net: str, size: int, seconds: float) -> float:
    """Median share of a step that drawing real batches takes, over slices of four steps."""
    event = (3 if name == "stacked_mnist" else 1, 28, 28)
    own = {"G": lambda: conv_generator(64, event), "D": lambda: conv_discriminator(event), "latent": 64}
    run = Run(Minimax(**(own if net == "conv" else {})), name, runs=runs, batch=size, device="cpu").step(2)
    spent, draw = [0.], run.modes.sample

    def timed(*args, **kw) -> torch.Tensor:
        start = time.perf_counter()
        try:
            return draw(*args, **kw)
        finally:
            spent[0] += time.perf_counter() - start
    run.modes.sample, shares, end = timed, [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(shares) < 5:
        spent[0], start = 0., time.perf_counter()
        run.step(4)
        shares.append(spent[0] / (time.perf_counter() - start))
    del run.modes.sample
    return round(statistics.median(shares), 4)


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="per timing")
    parser.add_argument("--only", choices=["memory", "waiting"], help="measure one of the two, keep the other's record")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--process", nargs=2, metavar=("SET", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--float", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.process:
        print(json.dumps(process(*args.process, args.float)))
        return
    sets, out = ("mnist", "stacked_mnist"), Path(__file__).with_suffix(".json")
    result = json.loads(out.read_text()) if args.only and out.exists() else {}
    result |= {
        "what": "memory per byte of the 60,000 training scans (47.04 MB), beyond the same process on 1,200 scans; share of a training step spent drawing",
        "device": f"cpu, {(n := torch.get_num_threads())} thread{'s' * (n > 1)}", "torch": torch.__version__.split("+")[0]}
    if args.only != "waiting":
        result["memory"] = memory(sets, args.repeats)
    if args.only != "memory":
        result["waiting"] = {f"{name}, {net}, {runs} run{'s' * (runs > 1)} of {size}":
                             waiting(name, runs, net, size, args.seconds) for name in sets for runs, net, size in CASES}
    print(json.dumps(result, indent=1))
    if not args.no_record:
        atomic_write(out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
