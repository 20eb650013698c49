"""What the scripts share: their arguments, their data, and writing the report."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from modelab import Monitor, Report
from modelab.core.files import atomic_write
from modelab.data.mnist import idx_files, MNIST, read_idx
from modelab.data.readers import open_samples
from modelab.evaluation.report import html_document


CPU_ONLY = 'CPU only: no --device. For a graphics card take a game of the chapters: Run(game, modes, device="cuda").'


def check(name: str, value: Any, allowed: tuple[str, ...] | int = ()) -> None:
    """Stop the script with one sentence if an option has a value that is not allowed."""
    if isinstance(allowed, int):
        if value < 1 or value % allowed:
            raise SystemExit(f"--{name}: expected a positive multiple of {allowed}, got {value}")
    elif allowed and value not in allowed:
        raise SystemExit(f"--{name}: expected {', '.join(allowed[:-1])} or {allowed[-1]}, got {value!r}")


def arguments(doc: str, steps: int | None, by: str = "", **more: tuple) -> argparse.Namespace:
    """The arguments of a script; `more` gives a default and a help text for each further option.

    A third entry says what is allowed: some words, or the number of which the option is a multiple. Without `steps` the script
    trains nothing. Each value of the option `by` has a folder of its own.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=CPU_ONLY)
    out = Path("runs", Path(sys.argv[0]).stem, by.upper())
    more = {"steps": (steps, "training steps"), "seed": (0, "of all random numbers"), "samples": (1000, "are audited at the end"),
            "out": (out, "folder for samples, pictures and the report")} | more
    if steps is None:
        del more["steps"]
    for name, (default, text, *_) in more.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", help=text + f" (default {default})" * (default not in ("", False)), **kind)
    opt = parser.parse_args()
    for name, (_, _, *allowed) in more.items():
        check(name, getattr(opt, name), *allowed)
    if by and opt.out == out:
        opt.out = out.parent / getattr(opt, by)
    opt.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(opt.seed)
    return opt


def digits(size: int, data: str = "") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits in [-1, 1] and their labels for training, then held-out ones.

    By default the 1,797 scans of scikit-learn, enlarged to `size`; MNIST, if `data` is the folder of its four files.
    """
    if data:
        parts = [read_idx(path) for path in idx_files("mnist", data)]
        x, labels, first = torch.cat(parts[::2])[:, None] / 127.5 - 1, torch.cat(parts[1::2]).long(), len(parts[0])
        order = torch.arange(len(x))
    else:
        from sklearn.datasets import load_digits
        x, labels = map(torch.as_tensor, load_digits(return_X_y=True))
        x, labels, first = x.float().view(-1, 1, 8, 8) / 8 - 1, labels.long(), 1397
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    if x.shape[-1] != size:
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    train, held = order[:first], order[first:]
    return x[train], labels[train], x[held], labels[held]


def is_digits(data: str) -> bool:
    """Whether `data` stands for digits: nothing, or a folder with a file of MNIST."""
    return not data or any(next(Path(data).glob(f"{name}*"), None) for name in MNIST)


def labelled_pictures(size: int, data: str = "") -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Pictures in [-1, 1] for training, their classes (-1: no label), held-out pictures, and the names of the classes.

    Digits as `digits` reads them, unless `data` is a folder with a sub-folder of pictures for each class. There a sub-folder
    `unlabelled` has pictures of any class. Held out is a fifth of these, or of each class if there are none.
    """
    if is_digits(data):
        train, labels, held, _ = digits(size, data)
        return train, labels, held, [*map(str, range(10))]
    rows = open_samples(data, size=size)
    if rows.labels is None or rows.labels.ndim != 1 or len(names := [n for n in rows.label_names if n != "unlabelled"]) < 2:
        raise SystemExit(f"--data: expected MNIST's files, or a sub-folder of pictures for each class, in {data}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    x, folder = rows[order] * 2 - 1, rows.labels[order]
    labels = torch.tensor([names.index(n) if n in names else -1 for n in rows.label_names])[folder]
    held, parts = torch.zeros(len(x), dtype=torch.bool), [-1] if (labels < 0).any() else range(len(names))
    for k in parts:
        held[(labels == k).nonzero()[:(labels == k).sum() // 5, 0]] = True
    return x[~held], labels[~held], x[held], names


NUMBERS = ["age", "income", "hours"]
KINDS = {"job": ["clerk", "nurse", "driver", "teacher", "farmer", "pilot"],
         "region": ["north", "south", "east", "west"], "member": ["no", "yes"]}


def customers(n: int, seed: int) -> np.ndarray:
    """A made table, rows (n, 6): age, income, hours, then the numbers of job, region and member."""
    g = np.random.default_rng(seed)
    job = g.choice(6, n, p=[.40, .25, .17, .12, .05, .01])
    age = np.where(g.random(n) < .6, g.normal(30, 5, n), g.normal(58, 6, n)).clip(18, 90)
    income = np.exp(g.normal(np.array([10.2, 10.5, 10.3, 10.6, 10.0, 11.8])[job], .25))
    hours = np.where(g.random(n) < .5, 40, g.normal(30, 6, n)).clip(5, 60)
    member = g.random(n) < np.where(age > 45, .7, .2)
    return np.stack([age, income, hours, job, g.choice(4, n, p=[.4, .3, .2, .1]), member], 1)


def cells(rows: np.ndarray) -> dict[str, list[str]]:
    """The columns of a table as text, as they stand in a file."""
    columns = {name: [f"{v:.5g}" for v in rows[:, i]] for i, name in enumerate(NUMBERS)}
    return columns | {name: [KINDS[name][int(v)] for v in rows[:, 3 + i]] for i, name in enumerate(KINDS)}


def pictures(size: int, data: str = "") -> tuple[Tensor, Tensor]:
    """Pictures in [-1, 1] for training and held-out ones: digits, or a folder or archive of yours, of which a fifth is held out."""
    if is_digits(data):
        train, _, held, _ = digits(size, data)
        return train, held
    rows = open_samples(data, size=size)
    if len(rows) < 50:  # the monitor compares with forty or more
        raise SystemExit(f"--data: expected 50 pictures or more, got {len(rows)} in {data}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    held, train = (rows[part] * 2 - 1 for part in order.split([len(rows) // 5, len(rows) - len(rows) // 5]))
    return train, held


def resumable(opt: argparse.Namespace, **parts: Any) -> tuple[int, Callable[[int], None]]:
    """The step at which a run of the same arguments was stopped (0: none), and a function that saves one.

    `parts` are networks, optimisers and the monitor; those of a stopped run are loaded. More steps or samples, or another
    folder, are the same arguments.
    """
    path, said = opt.out / "checkpoint.pt", {k: str(v) for k, v in vars(opt).items() if k not in ("steps", "samples", "out")}
    found = torch.load(path) if path.exists() else {"said": None}
    if path.exists() and found["said"] != said:
        print(f"{path} is of other arguments and is not used")
    if resumed := found["said"] == said:
        torch.set_rng_state(found["random"])
        for name, part in parts.items():
            part.load_state_dict(found["parts"][name])
        print(f"goes on from step {found['step']}")

    def save(step: int) -> None:
        state = {name: part.state_dict() for name, part in parts.items()}
        put(path, lambda file: torch.save({"said": said, "step": step, "random": torch.get_rng_state(), "parts": state}, file))
    return found["step"] if resumed else 0, save


def put(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Write what `save` writes, whole: a script that is killed leaves the old file or the new one."""
    buffer = io.BytesIO()
    save(buffer)
    atomic_write(path, buffer.getvalue())


def put_csv(path: Path, rows: list[list]) -> None:
    """Write rows as a table with commas, whole."""
    table = io.StringIO()
    csv.writer(table).writerows(rows)
    atomic_write(path, table.getvalue().encode())


def sheet(path: Path, x: Tensor, columns: int = 16) -> None:
    """Write full rows of pictures in [-1, 1], grey or coloured, as one picture."""
    rows = F.pad((x + 1) * 127.5, (1, 1, 1, 1), value=90).byte().movedim(1, -1).split(columns)
    whole = torch.cat([torch.cat([*row], 1) for row in rows if len(row) == columns]).squeeze(-1)
    picture = Image.fromarray(whole.numpy())
    picture = picture.resize((768, 768 * picture.height // picture.width), Image.Resampling.NEAREST)
    put(path, lambda file: picture.save(file, "png"))


def keep(out: Path, samples: Tensor) -> None:
    """Write samples: all as they are, and sixty-four as a picture."""
    put(out / "samples.pt", lambda file: torch.save(samples, file))
    sheet(out / "samples.png", samples[:64])


def write(out: Path, monitor: Monitor, report: Report) -> None:
    """Print what the monitor and the audit found; write the picture of the one, the page of the other."""
    print(monitor.report(), report, sep="\n\n")
    atomic_write(out / "monitor.png", monitor.plot().png)
    atomic_write(out / "report.html", html_document(report))
