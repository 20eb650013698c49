"""What the long benchmarks share: which parts to measure, a measure seed by seed with its interval, pictures as text, changes of pictures, and a record that grows row by row."""

from __future__ import annotations

import base64
import json
import math
import sys
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modelab.core.files import atomic_write
from modelab.core.statistics import interval


def asked(words: list[str], parts: Collection[str]) -> list[tuple[str, str]]:
    """The parts named on a command line, each with the text that narrows it, as in `sets:grid`; all parts if none is named."""
    found = [(part, only) for part, _, only in (word.partition(":") for word in words or parts)]
    for part, _ in found:
        if part not in parts:
            sys.exit(f"there is no part {part!r}; the parts are {', '.join(parts)}")
    return found


def chosen(settings: dict[str, Any], only: str) -> list[tuple[str, Any]]:
    """The settings with these words in their name; all of them for an empty text."""
    return [(name, setting) for name, setting in settings.items() if only in name]


def by_seed(values: Iterable[float], digits: int = 4) -> dict:
    """Numbers seed by seed, and their interval if all are finite; `record` cuts it at the possible range."""
    values = [round(v, digits) for v in values]
    return {"interval": spelled(values), "by seed": values}


def spelled(values: list[float | None], **limits: float | None) -> str:
    """The interval of numbers as text, cut at these limits; empty if a number is undefined."""
    return f"{interval(values, **limits)}" if all(v is not None and math.isfinite(v) for v in values) else ""


SHARES = ("precision", "recall", "end precision", "end recall", "F1/8", "F8", "rate", "good", "well", "readable", "mass", "centre",
          "high_quality", "high quality", "tv", "same digit", "left out", "clothes", "ks", "joint",
          "reached", "nearest", "middle", "start", "end", "shown", "codes", "untrained codes")
COUNTS = ("captured", "modes captured", "fair", "seen", "rare seen", "kept", "kept apart", "modes", "tracks")  # up to `of` in the row
COSINES = ("aim", "cosine, turn", "cosine, grow", "cosine of the second latent, turn", "cosine of the second latent, grow")
FROM_ZERO = ("sharpness", "Fréchet", "frechet", "pixels", "kl", "KL", "roughness", "length", "farthest point", "steepest", "grain", "steps",
             "x to z to x", "z to x to z")
FREE = ("speed, turn", "speed, grow", "winding", "nats")
RANGES: dict[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(SHARES, (0, 1)), **dict.fromkeys(COUNTS, (0, None)), **dict.fromkeys(COSINES, (-1, 1)),
    **dict.fromkeys(FROM_ZERO, (0, None)), **dict.fromkeys(FREE, (None, None))}
OF_ONE_FILE = {"street": {"rate": (0, None), "well": (0, None)}}  # shares over the true share


def possible(file: str, name: str, of: float | None = None) -> dict[str, float | None]:
    """The smallest and the largest possible value of a measure of a file, as `interval` takes them; a count goes up to `of`."""
    low, high = OF_ONE_FILE.get(file, {}).get(name) or RANGES.get(name, (None, None))
    return {"low": low, "high": of if name in COUNTS else high}


def cut_intervals(node: Any, file: str, of: float | None = None, name: str = "") -> Any:
    """A record with each interval made anew from its values by seed and cut at the possible range; again changes nothing."""
    if isinstance(node, list):
        return [cut_intervals(part, file, of, name) for part in node]
    if not isinstance(node, dict):
        return node
    if {"interval", "by seed"} <= node.keys():
        return node | {"interval": spelled(node["by seed"], **possible(file, name, of))}
    of = node.get("of", of)
    return {key: cut_intervals(part, file, of, "nats" if name == "nats" else key) for key, part in node.items()}


def cut_file(file: Path) -> None:
    """Cut the intervals of a file that is recorded already; again changes nothing."""
    write(file, cut_intervals(json.loads(file.read_text(encoding="utf-8")), file.stem))


def write(file: Path, found: dict) -> None:
    """A record as a file."""
    atomic_write(file, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())


def packed(x: torch.Tensor) -> str:
    """Pictures in [-1, 1] as compressed bytes in text."""
    return base64.b64encode(zlib.compress(x.add(1).mul(127.5).round().clamp(0, 255).byte().numpy().tobytes(), 9)).decode()


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """Pictures moved by whole pixels; what comes in is black."""
    out = torch.zeros_like(x)
    h, w = x.shape[-2:]
    out[..., max(down, 0):h + min(down, 0), max(right, 0):w + min(right, 0)] = \
        x[..., max(-down, 0):h - max(down, 0), max(-right, 0):w - max(right, 0)]
    return out


def cropped(x: Tensor, share: float) -> Tensor:
    """The middle of pictures, enlarged to the old size."""
    h, w = x.shape[-2:]
    side = round(h * share)
    at = (h - side) // 2
    return F.interpolate(x[..., at:at + side, at:at + side], (h, w), mode="bilinear", antialias=True, align_corners=False)


def turned(x: Tensor, degrees: float) -> Tensor:
    """Pictures turned about their middle: a change that no search of the library knows."""
    angle = torch.tensor(degrees).deg2rad()
    where = torch.tensor([[angle.cos(), -angle.sin(), 0.], [angle.sin(), angle.cos(), 0.]])
    return F.grid_sample(x, F.affine_grid(where.expand(len(x), 2, 3), list(x.shape), align_corners=False),
                         align_corners=False)


def smaller(x: Tensor) -> Tensor:
    """Pictures (n, 1, 28, 28) in [-1, 1] at 16×16 pixels: with a border of two pixels, then the means of 2×2 pixels."""
    return F.avg_pool2d(F.pad(x, [2] * 4, value=-1.), 2)


def known(file: Path, part: str) -> dict[str, dict]:
    """The rows of a part that are recorded already, by setting."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {row["setting"]: row for row in kept.get(part, [])}


def record(file: Path, part: str, row: dict) -> None:
    """Put one row of one part into the file, its intervals cut at the possible range; a row of the same setting is replaced, the others stay."""
    known = {"torch": torch.__version__.split("+")[0]} | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
    known[part] = list(({r["setting"]: r for r in known.get(part, [])} | {row["setting"]: cut_intervals(row, file.stem)}).values())
    write(file, known)
