"""Precision, recall and Fréchet distance of two folders of pictures: modelab beside torch-fidelity, prdc and torchmetrics.

    pip install torch-fidelity prdc torchmetrics torchvision
    python benchmarks/peers.py              # a table, recorded in benchmarks/peers.json (half an hour of one core)
    python benchmarks/peers.py --only prdc  # renew the lines of these tools, keep the others

10,000 real and 10,000 generated PNG files of 32×32, drawn here: waves of random colour and direction; the generated ones lack a
sixth of the directions and are a little blurred. All tools take features from one small TorchScript network with fixed random
weights and 2,048 outputs, each through its own way for networks of one's own (prdc takes arrays only, and torchmetrics batches:
their pictures are read with Pillow in a plain loop). k = 3.

Each measurement is a process of its own. Times are processor seconds with all child processes, and by the clock; medians of
three rounds. Memory is the peak of the process less what the imports took. Single precision can turn a comparison of nearly
equal distances, so the peers are also asked once for precision and recall of the same features in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from modelab.core.files import atomic_write

N, SIDE, WIDTH, K = 10_000, 32, 2048, 3
PAIR = "real", "made"


# pictures and network

def waves(n: int, made: bool, seed: int) -> np.ndarray:
    """Coloured waves, `(n, side, side, 3)` bytes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle = random.random(n) * np.pi * (5 / 6 if made else 1)
    speed = 2 * np.pi * random.uniform(1, 3, n)
    along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    wave = np.sin(speed[:, None, None] * along + 2 * np.pi * random.random((n, 1, 1)))
    colour, ground = random.uniform(-.4, .4, (2, n, 1, 1, 3))
    noise = random.normal(scale=.02 if made else .05, size=(n, SIDE, SIDE, 3))
    return ((.5 + .3 * ground + colour * wave[..., None] + noise).clip(0, 1) * 255).round().astype(np.uint8)


class Bytes(nn.Module):
    """Features of pictures in bytes, or of floats in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten(),
                                 nn.Linear(64 * 36, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.float() / 255 if x.dtype == torch.uint8 else x)


def prepare(folder: Path, n: int) -> None:
    """The pictures and the network, as files."""
    for seed, name in enumerate(PAIR):
        (folder / name).mkdir()
        for at in range(0, n, 1000):
            for i, picture in enumerate(waves(min(1000, n - at), name == "made", 1000 * seed + at // 1000)):
                Image.fromarray(picture).save(folder / name / f"{at + i:05d}.png")
    torch.manual_seed(0)
    torch.jit.script(Bytes().eval()).save(str(folder / "network.pt"))


# one measurement

def peak() -> float:
    """MB, of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stages:
    """Processor and clock seconds by stage, and the peak of memory until its end."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.before, self.peaks = peak(), {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        before = sum(os.times()[:4]), time.perf_counter()
        yield
        spent = sum(os.times()[:4]) - before[0], time.perf_counter() - before[1]
        self.seconds[name] = [round(a + b, 2) for a, b in zip(self.seconds.get(name, (0, 0)), spent)]
        self.peaks[name] = round(peak() - self.before)


def read_with_pillow(folder: Path) -> Iterator[Tensor]:
    """Batches of 64 pictures in bytes."""
    files = sorted(folder.iterdir())
    for at in range(0, len(files), 64):
        yield torch.stack([torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)
                           for file in files[at:at + 64]])


def modelab(folder: Path, stage: Stages, asked: set[str]) -> dict[str, float]:
    from modelab.data.readers import index_parts, join_parts, open_samples
    from modelab.evaluation.feature_networks import feature_network
    from modelab.evaluation.precision_recall import frechet_distance, precision_recall
    def features(pictures: Path) -> Tensor:
        rows = open_samples(pictures, progress=False)
        parts = index_parts(rows, torch.arange(len(rows)), 1 << 24)
        return join_parts((net(rows[part]) for part in parts), len(rows))
    with stage("features"):
        net = feature_network(folder / "network.pt")
        found = [features(folder / name) for name in PAIR]
        del net
    numbers = {}
    if "balls" in asked:
        with stage("precision and recall"):
            balls = precision_recall(*found, K)
            numbers |= {"precision": balls.precision, "recall": balls.recall}
    if "frechet" in asked:
        with stage("Fréchet distance"):
            numbers["Fréchet distance"] = frechet_distance(*found)
    return numbers


def torch_fidelity(folder: Path, stage: Stages, asked: set[str], double: bool = False) -> dict[str, float]:
    from torch_fidelity import metric_fid, metric_prc, register_feature_extractor, utils
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Extractor(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **kwargs: object) -> None:
            super().__init__(name, features_list)
            self.net = torch.jit.load(str(folder / "network.pt"))

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.net(x).double() if double else self.net(x),)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return ("2048",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "2048"

        @staticmethod
        def can_be_compiled() -> bool:
            return False
    register_feature_extractor("waves", Extractor)
    # the steps of `calculate_metrics(…, prc=True, fid=True)`, one by one
    options = dict(input1=str(folder / "made"), input2=str(folder / "real"), cuda=False, cache=False, verbose=False,
                   feature_extractor="waves", fid=True, prc=True)
    with stage("features"):
        extractor = utils.create_feature_extractor("waves", ["2048"], **options)
        made, real = (utils.extract_featuresdict_from_input_id_cached(i, extractor, **options) for i in (1, 2))
    numbers = {}
    if "frechet" in asked:
        with stage("Fréchet distance"):
            moments = [metric_fid.fid_featuresdict_to_statistics(x, "2048") for x in (made, real)]
            numbers["Fréchet distance"] = metric_fid.fid_statistics_to_metric(*moments, False)["frechet_inception_distance"]
    if "balls" in asked:
        with stage("precision and recall"):
            found = metric_prc.prc_featuresdict_to_metric(made, real, "2048", **options)
            numbers |= {name: found[name] for name in ("precision", "recall")}
    return numbers


def plain_features(folder: Path) -> list[Tensor]:
    net = torch.jit.load(str(folder / "network.pt"))
    return [torch.cat([net(batch) for batch in read_with_pillow(folder / name)]) for name in PAIR]


def prdc(folder: Path, stage: Stages, asked: set[str], double: bool = False) -> dict[str, float]:
    import prdc
    with stage("features"):
        real, made = (x.double().numpy() if double else x.numpy() for x in plain_features(folder))
    with stage("precision and recall"):
        found = prdc.compute_prdc(real, made, K)
    return {name: float(found[name]) for name in ("precision", "recall")}


def torchmetrics(folder: Path, stage: Stages, asked: set[str]) -> dict[str, float]:
    from torchmetrics.image.fid import FrechetInceptionDistance
    with stage("features"):
        net = torch.jit.load(str(folder / "network.pt"))
        net.num_features = WIDTH
        metric = FrechetInceptionDistance(feature=net)
        for name in PAIR:
            for batch in read_with_pillow(folder / name):
                metric.update(batch, real=name == "real")
    with stage("Fréchet distance"):
        return {"Fréchet distance": float(metric.compute())}


TOOLS: dict[str, tuple[Callable, dict]] = {  # name: what is called, and with what
    "modelab": (modelab, {"asked": {"balls", "frechet"}}),
    "torch-fidelity": (torch_fidelity, {"asked": {"balls", "frechet"}}),
    "modelab, precision and recall only": (modelab, {"asked": {"balls"}}),
    "prdc": (prdc, {"asked": {"balls"}}),
    "modelab, Fréchet distance only": (modelab, {"asked": {"frechet"}}),
    "torchmetrics": (torchmetrics, {"asked": {"frechet"}}),
    "torch-fidelity, float64": (torch_fidelity, {"asked": {"balls"}, "double": True}),
    "prdc, float64": (prdc, {"asked": {"balls"}, "double": True}),
}
MODULES = {"torch-fidelity": "torch_fidelity", "prdc": "prdc", "torchmetrics": "torchmetrics.image.fid"}


@torch.no_grad()
def once(tool: str, folder: Path) -> dict:
    """Measure in this process."""
    import importlib
    warnings.simplefilter("ignore")
    for module in (MODULES.get(tool.partition(",")[0], "modelab.evaluation.feature_networks"),
                   "modelab.evaluation.precision_recall", "scipy.linalg", "sklearn.metrics"):
        importlib.import_module(module)
    stage = Stages()
    call, options = TOOLS[tool]
    numbers = call(folder, stage, **options)
    return {"stages": stage.seconds, "MB until the end of": stage.peaks, "MB": round(peak() - stage.before), "numbers": numbers}


# the table

def line(tool: str, folder: Path, rounds: int) -> dict:
    """Measure in processes of their own: median seconds, largest memory, the numbers."""
    command = [sys.executable, __file__, "--once", tool, str(folder)]
    found = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
             for _ in range(rounds)]
    stages = {name: [round(statistics.median(f["stages"][name][i] for f in found), 2) for i in range(2)]
              for name in found[0]["stages"]}
    whole = [round(statistics.median(sum(s[i] for s in f["stages"].values()) for f in found), 2) for i in range(2)]
    return {"tool": tool, "rounds": rounds, "seconds": {"all": whole[0], **{k: v[0] for k, v in stages.items()}},
            "clock": {"all": whole[1], **{k: v[1] for k, v in stages.items()}}, "MB": max(f["MB"] for f in found),
            "numbers": found[0]["numbers"]}


def beside(rows: dict[str, dict]) -> list[dict]:
    """Each peer beside modelab doing the same: shares of time and memory, and the largest differences."""
    pairs = {"torch-fidelity": "modelab", "prdc": "modelab, precision and recall only",
             "torchmetrics": "modelab, Fréchet distance only", "torch-fidelity, float64": "modelab", "prdc, float64": "modelab"}
    found = []
    for peer, us in pairs.items():
        if peer in rows and us in rows:
            a, b = rows[us], rows[peer]
            gaps = {name: abs(a["numbers"][name] - value) for name, value in b["numbers"].items()}
            share = {name: round(a["seconds"][name] / max(b["seconds"][name], .01), 3) for name in b["seconds"]
                     if name in a["seconds"]}
            found.append({"peer": peer, "differences": gaps} | ({} if "float64" in peer else {
                "share of its processor time": share, "share of its clock time": round(a["clock"]["all"] / b["clock"]["all"], 3),
                "share of its memory": round(a["MB"] / b["MB"], 3)}))
    return found


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", nargs=2, metavar=("TOOL", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", help="renew the lines with these words in their name, keep the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=N, help="in each folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(args.once[0], Path(args.once[1]))))
        return
    kept = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.out.is_file() and args.only else []
    rows = {row["tool"]: row for row in kept}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), args.pictures)
        for tool in TOOLS:
            if not args.only or any(word in tool for word in args.only):
                rows[tool] = line(tool, Path(folder), 1 if "float64" in tool else args.rounds)
                print(rows[tool], flush=True)
                from importlib.metadata import version
                result = {"what": f"{args.pictures:,} and {args.pictures:,} PNG files of {SIDE}×{SIDE}, {WIDTH:,} features of a "
                                  f"small fixed network, k = {K}", "device": f"cpu, {torch.get_num_threads()} threads",
                          "versions": {"torch": torch.__version__.split("+")[0]} | {t: version(t) for t in MODULES},
                          "rows": [rows[t] for t in TOOLS if t in rows], "beside": beside(rows)}
                atomic_write(args.out, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
