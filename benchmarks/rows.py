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
    """Numbers seed by seed, and their interval if all are finite."""
    values = [round(v, digits) for v in values]
    return {"interval": f"{interval(values)}" if all(map(math.isfinite, values)) else "", "by seed": values}


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
    """Put one row of one part into the file; a row of the same setting is replaced, the others stay."""
    known = {"torch": torch.__version__.split("+")[0]} | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
    known[part] = list(({r["setting"]: r for r in known.get(part, [])} | {row["setting"]: row}).values())
    atomic_write(file, (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())
