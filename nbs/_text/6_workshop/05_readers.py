# %% [markdown]
# # Readers
# > How are samples read from arrays, archives and folders of pictures?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are samples read from arrays, archives and folders of pictures? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp data.readers

# %%
#| export
"Readers of samples: .npy, .npz, .pt, idx files and folders of pictures, read in parts."
from __future__ import annotations

import functools
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import check_batch, check_int
from modelab.core.seeding import generator_or_default

# %%
#| export data.mnist
"MNIST, stacked MNIST and Fashion-MNIST as mode sets, read from local files."
from __future__ import annotations

import functools
import gzip
import math
import os
import zlib
from pathlib import Path

import torch

from modelab.core.checks import check_choice, check_int
from modelab.core.registry import register_mode_set
from modelab.data.digits import DigitArchive, DigitSet

# %%
#| export data.mnist
MNIST = {"train-images-idx3-ubyte": "9.9 MB", "train-labels-idx1-ubyte": "29 kB",
         "t10k-images-idx3-ubyte": "1.6 MB", "t10k-labels-idx1-ubyte": "4.5 kB"}
_HOW = ("MNIST is four files, " + ", ".join(f"{name}.gz ({size})" for name, size in MNIST.items()) + ": put them, "
       "gzipped or not, into one folder and name it, as in mnist(folder) or by the environment variable MODELAB_DATA; "
       "data_scripts/mnist.py fetches them")


# %%
#| export data.mnist
def read_idx(path: str | Path,  # plain or gzipped, whatever its name says
             kind: str | None = None,  # "images" or "labels", where only one of them will do
             limit: int = 2 ** 30,  # refuse to unpack more bytes than this
             ) -> torch.Tensor:
    """Read an idx file of bytes: images (n, h, w) or labels (n,), uint8.

    ValueError if it is another file, the other kind, damaged, cut short or too long; FileNotFoundError if absent.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {path!r:.80}")
    path, kind = Path(path), None if kind is None else check_choice("kind", kind, ["images", "labels"])
    check_int("limit", limit)
    if not path.is_file():
        raise FileNotFoundError(f"path: no file {path}. {_HOW}")

    def bad(got: str) -> ValueError:
        return ValueError(f"path: expected an idx file of {kind or 'images or labels'}, got {got} in {path}")

    size = path.stat().st_size
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file, room = (gzip.GzipFile(fileobj=raw), 1032 * size) if packed else (raw, size)  # deflate's best ratio
        try:
            magic = file.read(4)
            found, dims = {b"\0\0\x08\3": ("images", 3), b"\0\0\x08\1": ("labels", 1)}.get(magic, (None, 0))
            if kind not in (None, found) or not found:
                raise bad(found or f"a file that starts with bytes {magic.hex(' ') or 'missing'}")
            head = file.read(4 * dims)
            shape = [int.from_bytes(head[i:i + 4], "big") for i in range(0, 4 * dims, 4)]
            length = math.prod(shape)
            if len(head) < 4 * dims or not 0 < length <= min(limit, room):
                raise bad(f"a header that promises {' × '.join(map(str, shape))} bytes in a file of {size} "
                          f"(at most {limit} are unpacked)")
            data = bytearray()
            while len(data) <= length and (piece := file.read(min(2 ** 20, length + 1 - len(data)))):
                data += piece  # in pieces, so that memory holds the pixels once
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise bad(f"damage ({error})") from error
    if len(data) != length:
        raise bad(f"{'more' if len(data) > length else 'fewer'} than the {length} bytes that its header promises")
    return torch.frombuffer(data, dtype=torch.uint8).reshape(shape)


# %%
#| export data.mnist
@register_mode_set
def mnist(folder: str | None = None,  # where the idx files are, or their `mnist` folder; default: MODELAB_DATA
          split: str = "train",  # or "held_out"
          ) -> DigitSet:
    "Ten modes: the 70,000 digits of MNIST, 28×28, read from the four idx files; the test files are the held-out split."
    return DigitSet(_idx("mnist", folder), split, 1, functools.partial(mnist, folder))


# %%
#| export data.mnist
@register_mode_set
def stacked_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "A thousand modes: three MNIST digits as the channels of one picture."
    return DigitSet(_idx("mnist", folder), split, 3, functools.partial(stacked_mnist, folder))


# %%
#| export data.mnist
@register_mode_set
def fashion_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "Ten modes: the clothes of Fashion-MNIST, in files as MNIST's; mind the judge's accuracy, shirts look like coats."
    return DigitSet(_idx("fashion_mnist", folder), split, 1, functools.partial(fashion_mnist, folder))


# %%
#| export data.mnist
def idx_files(name: str,  # mnist or fashion_mnist, whose files bear the same names
              folder: str | Path | None = None,  # where they are, or their folder `name`; default: MODELAB_DATA
              ) -> list[Path]:
    "The four files of a set, plain or .gz; `FileNotFoundError` if one is absent."
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder: expected a path, got {folder!r}")
    root = os.environ.get("MODELAB_DATA") if folder is None else folder
    own = folder is not None or name == "mnist"  # MODELAB_DATA itself may hold MNIST's files, and nobody else's
    places = [Path(root)] * own + [Path(root, name)] if root else []
    tries = [[d / f"{file}{end}" for d in places for end in ("", ".gz")] for file in MNIST]
    files = [next(filter(Path.is_file, paths), None) for paths in tries]
    if None in files:
        how = _HOW if name == "mnist" else f"data_scripts/{name}.py fetches the four files of {name}"
        raise FileNotFoundError(f"folder: {f'{root} lacks some of the files' if root else 'none is set'}. {how}")
    return files


# %%
#| export data.mnist
def _idx(name: str, folder: str | Path | None) -> DigitArchive:
    "The archive of a set of four idx files."
    return _read_idx_set(*((p, p.stat().st_size, p.stat().st_mtime_ns) for p in idx_files(name, folder)))


# %%
#| export data.mnist
@functools.lru_cache(2)
def _read_idx_set(*files: tuple) -> DigitArchive:
    "Read and check the four files; the same files (path, size, time) are read once."
    parts = [read_idx(path, kind) for (path, *_), kind in zip(files, ["images", "labels"] * 2)]
    splits = {"train": (parts[0], parts[1].long()), "held_out": (parts[2], parts[3].long())}
    for split, (images, labels) in splits.items():
        if tuple(images.shape[1:]) != (28, 28) or len(images) != len(labels) or labels.max() > 9:
            raise ValueError(f"folder: expected 28×28 images with as many labels 0 to 9, got images "
                             f"{tuple(images.shape)} and {len(labels)} labels up to {int(labels.max())} for {split}")
    return DigitArchive(splits, top=255, walk=1500, keep=files[0][0].parent / "modelab-judge.safetensors")


# %%
#| export
@dataclass
class SampleFile:
    "Examples in a file, read when they are asked for, by their indices; see `open_samples`."
    path: Path
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], Any] = field(repr=False)  # indices to examples

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        part = _readable(self.path, lambda: torch.as_tensor(self.take(index.numpy())))
        return check_batch(self.path.name, pictures_to_floats(part))


# %%
#| export
def pictures_to_floats(x: Tensor) -> Tensor:
    "Pictures in bytes as floats in [0, 1]; all else as it is."
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor, got {x!r:.60}")
    return x.float() / 255 if x.dtype == torch.uint8 and x.ndim > 2 else x


# %%
#| export
def index_parts(bag: Any,  # a tensor, or `SampleFile`
                rows: Tensor,  # indices
                max_bytes: int = 1 << 26,  # of a part in float64
                ) -> tuple[Tensor, ...]:
    "The indices in parts that may be looked at one after the other."
    if not hasattr(bag, "shape") or not len(bag.shape):
        raise TypeError(f"bag: expected a tensor of examples or the rows of a file, got {bag!r:.60}")
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1:
        raise TypeError(f"rows: expected indices (n,), int64, got {rows!r:.60}")
    return rows.split(max(1, min(1 << 14, check_int("max_bytes", max_bytes) // (8 * max(1, math.prod(bag.shape[1:]))))))


# %%
#| export
def _readable(path: Path, read: Callable) -> Any:
    "What `read` returns; `ValueError` with the file's name if it cannot."
    try:
        return read()
    except (OSError, EOFError, RuntimeError, TypeError, KeyError, ValueError,
            zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: not readable as examples: {str(error).partition(chr(10))[0][:200]}") from error


# %%
#| export
def _npy(path: Path) -> tuple:
    "An array, mapped anew for each part, so that what was read can be forgotten."
    mapped = functools.partial(np.load, path, mmap_mode="r", allow_pickle=False)
    return mapped().shape, lambda index: _native(mapped()[index])


# %%
#| export
def _native(x: np.ndarray) -> np.ndarray:
    "In this machine's byte order."
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


# %%
#| export
def _npz(path: Path, name: str = "") -> tuple:
    "One array of an archive."
    with np.load(path, allow_pickle=False) as archive:
        if not name and len(archive.files) != 1:
            raise ValueError(f"it holds {', '.join(archive.files)}; say which: {path}:{archive.files[0]}")
        found = _native(archive[name or archive.files[0]])
    return found.shape, lambda index: found[index]


# %%
#| export
def _pt(path: Path) -> tuple:
    "A tensor, mapped rather than read; nothing but tensors is loaded."
    def mapped() -> Tensor:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if isinstance(found, dict) and len(found) == 1:
            found = next(iter(found.values()))
        if not isinstance(found, Tensor):
            raise ValueError(f"expected one tensor, got {type(found).__name__}")
        return found.detach()
    return mapped().shape, lambda index: mapped()[index]


# %%
#| export
def _folder(path: Path) -> tuple:
    "Images of one size as (n, channels, height, width) in [0, 1]; each is opened when it is asked for."
    from PIL import Image
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".webp"))
    if not files:
        raise ValueError("expected images (.png, .jpg, .bmp, .webp), found none")
    with Image.open(files[0]) as image:
        mode = "L" if image.mode in ("1", "L") else "RGB"

    def one(file: Path) -> np.ndarray:
        with Image.open(file) as image:
            return np.atleast_3d(np.asarray(image.convert(mode), np.float32) / 255).transpose(2, 0, 1)
    shape = one(files[0]).shape

    def take(index: np.ndarray) -> np.ndarray:
        images = [one(files[i]) for i in index]
        for i, image in zip(index, images):
            if image.shape != shape:
                raise ValueError(f"{files[i].name}: expected {shape} as in {files[0].name}, got {image.shape}")
        return np.stack(images)
    return (len(files), *shape), take


# %%
#| export
def open_samples(source: str | Path,  # .npy, .npz, .npz:name, .pt (a tensor), or a folder of images of one size
                 ) -> SampleFile:
    "The rows of a file or folder; nothing but its head is read yet. Pickled objects are refused, not run."
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise TypeError(f"source: expected a path, got {source!r:.60}")
    path, _, name = str(source).partition(".npz:")
    path = Path(path + (".npz" if name else ""))
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    readers = {".npy": _npy, ".npz": functools.partial(_npz, name=name), ".pt": _pt, ".pth": _pt}
    if not path.is_dir() and path.suffix not in readers:
        raise ValueError(f"{path}: expected .npy, .npz, .pt or a folder of images, got {path.suffix or 'no suffix'}")
    shape, take = _readable(path, lambda: _folder(path) if path.is_dir() else readers[path.suffix](path))
    if not shape:
        raise ValueError(f"{path}: expected examples along a first axis, got a single number")
    return SampleFile(path, tuple(shape), take)


# %%
#| export
def read_samples(source: str | Path,  # as for `open_samples`
                 most: int | None = None,  # read at most so many examples, chosen at random
                 generator: torch.Generator | None = None) -> Tensor:
    "Examples from a file, bytes of pictures as [0, 1]; a large .npy or .pt is never held twice."
    rows, generator = open_samples(source), generator_or_default(generator)
    chosen = torch.arange(len(rows))
    if most is not None and check_int("most", most) < len(rows):
        chosen = torch.randperm(len(rows), generator=generator)[:most].sort().values
    out, done = rows[chosen[:1]].new_empty(len(chosen), *rows.shape[1:]), 0
    for part in index_parts(rows, chosen):
        out[done:done + len(part)] = rows[part]
        done += len(part)
    return out
