# %% [markdown]
# # Readers
# > How are samples read from arrays, archives and folders of pictures, and MNIST from its idx files?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are samples read from files, in little memory and without running what is in them? |
# | **You will be able to** | read your own samples for a measure; read MNIST; add a format |
# | **Needs** | [0.3](../0_start/03_modes.ipynb) |
# | **Time** | seconds |
#
# The first part is for everybody who has samples in a file: the audit ([4.2](../4_evidence/02_audit.ipynb)) and the command line read them with it. The second part reads the files of MNIST.

# %%
#| default_exp data.readers

# %%
#| export
"Readers of samples: .npy, .npz, .pt files and folders of pictures, read in parts."
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
from typing import IO

import torch

from modelab.core.checks import check_choice, check_int
from modelab.core.registry import register_mode_set
from modelab.data.digits import DigitArchive, DigitSet

# %%
import shutil
import tempfile

from modelab.core.checks import error_message

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A file that runs a program
# A `.npy` file may hold Python objects. They are stored as a pickle, and a pickle may call any function when it is loaded. The one below only prints a line. A file from somebody else could delete your files.

# %%
class Surprise:
    def __reduce__(self):
        return print, ("this line was run by the file",)

np.save(folder / "surprise.npy", np.array([Surprise()], dtype=object))

# %%
np.load(folder / "surprise.npy", allow_pickle=True);

# %% [markdown]
# So no reader here loads objects: NumPy files are read without pickles, and `.pt` files with `weights_only=True`, which builds tensors and nothing else.
#
# ## Examples that stay in their file
# A million pictures do not fit into memory twice. `SampleFile` knows the shape of what is in a file, and reads examples when they are asked for by their indices.

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

# %% [markdown]
# Pictures are often stored as bytes, 0 to 255. They become numbers in [0, 1]. Labels are bytes, too, so an array needs more than two axes to count as pictures.

# %%
#| export
def pictures_to_floats(x: Tensor) -> Tensor:
    "Pictures in bytes as floats in [0, 1]; all else as it is."
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor, got {x!r:.60}")
    return x.float() / 255 if x.dtype == torch.uint8 and x.ndim > 2 else x

# %% [markdown]
# If a reader fails, for whatever reason, the error names the file.

# %%
#| export
def _readable(path: Path, read: Callable) -> Any:
    "What `read` returns; `ValueError` with the file's name if it cannot."
    try:
        return read()
    except (OSError, EOFError, RuntimeError, TypeError, KeyError, ValueError,
            zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path}: not readable as examples: {reason}") from error

# %% [markdown]
# ### NumPy
# A reader returns the shape and a function from indices to examples. A `.npy` file is mapped into memory anew for each part: when a map is closed, the operating system may free the memory of what was read.

# %%
#| export
def _npy(path: Path) -> tuple:
    "An array, mapped anew for each part, so that what was read can be forgotten."
    mapped = functools.partial(np.load, path, mmap_mode="r", allow_pickle=False)
    return mapped().shape, lambda index: _native(mapped()[index])

# %% [markdown]
# A file may come from a machine that stores the bytes of a number in the other order. torch takes only this machine's.

# %%
#| export
def _native(x: np.ndarray) -> np.ndarray:
    "In this machine's byte order."
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))

# %% [markdown]
# An archive of arrays is packed, so the array is read at once. If it holds several, `file.npz:name` says which.

# %%
#| export
def _npz(path: Path, name: str = "") -> tuple:
    "One array of an archive."
    with np.load(path, allow_pickle=False) as archive:
        if not name and len(archive.files) != 1:
            raise ValueError(f"it holds {', '.join(archive.files)}; "
                             f"say which: {path}:{archive.files[0]}")
        found = _native(archive[name or archive.files[0]])
    return found.shape, lambda index: found[index]

# %% [markdown]
# ### torch
# A `.pt` file of one tensor, or of a dictionary with one tensor in it.

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

# %% [markdown]
# ### A folder of pictures
# One picture is opened as grey or as colours, as the first one is.

# %%
#| export
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")

# %% [markdown]
# `_open_image` reads one picture as numbers in [0, 1]. The order of the axes is that of torch: channels first.

# %%
#| export
def _open_image(file: Path, mode: str) -> np.ndarray:
    "One picture, (channels, height, width), float32 in [0, 1]."
    from PIL import Image
    with Image.open(file) as image:
        pixels = np.asarray(image.convert(mode), np.float32) / 255
    return np.atleast_3d(pixels).transpose(2, 0, 1)

# %% [markdown]
# Pictures must be of one size: to resize them without saying so would change what is measured.

# %%
#| export
def _folder(path: Path) -> tuple:
    "Images of one size, (n, channels, height, width); each is opened when it is asked for."
    from PIL import Image
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError("expected images (.png, .jpg, .bmp, .webp), found none")
    with Image.open(files[0]) as image:
        mode = "L" if image.mode in ("1", "L") else "RGB"
    shape = _open_image(files[0], mode).shape

    def take(index: np.ndarray) -> np.ndarray:
        images = [_open_image(files[i], mode) for i in index]
        for i, image in zip(index, images):
            if image.shape != shape:
                raise ValueError(f"{files[i].name}: expected {shape} as in {files[0].name}, "
                                 f"got {image.shape}")
        return np.stack(images)
    return (len(files), *shape), take

# %% [markdown]
# ### Any of them
# `open_samples` chooses the reader by the ending of the name and refuses everything else. It is the function that other modules call.

# %%
#| export
def open_samples(source: str | Path,  # .npy, .npz, .npz:name, .pt, or a folder of equal images
                 ) -> SampleFile:
    "The examples of a file or folder; only its head is read. Pickled objects are refused, not run."
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise TypeError(f"source: expected a path, got {source!r:.60}")
    path, _, name = str(source).partition(".npz:")
    path = Path(path + (".npz" if name else ""))
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    readers = {".npy": _npy, ".npz": functools.partial(_npz, name=name), ".pt": _pt, ".pth": _pt}
    reader = _folder if path.is_dir() else readers.get(path.suffix)
    if not reader:
        raise ValueError(f"{path}: expected .npy, .npz, .pt or a folder of images, "
                         f"got {path.suffix or 'no suffix'}")
    shape, take = _readable(path, lambda: reader(path))
    if not shape:
        raise ValueError(f"{path}: expected examples along a first axis, got a single number")
    return SampleFile(path, tuple(shape), take)

# %%
np.save(folder / "points.npy", np.arange(20.).reshape(10, 2))
rows = open_samples(folder / "points.npy")
assert rows[torch.tensor([3, 9])].tolist() == [[6, 7], [18, 19]]
rows.shape, len(rows)

# %% [markdown]
# **Check.** The file of the beginning is refused, and so are a file of another kind and an array of text.

# %%
np.save(folder / "text.npy", np.array(["a", "b"]))
messages = [error_message(open_samples, folder / "surprise.npy"),
            error_message(open_samples(folder / "text.npy").__getitem__, torch.tensor([0]))]
assert "objects" in messages[0] and "this line" not in str(messages)
[message.replace(f"{folder}/", "") for message in messages]

# %% [markdown]
# ## In parts
# A measure goes through all examples in parts of bounded size. `index_parts` cuts the indices, for a tensor and for a file alike.

# %%
#| export
def index_parts(bag: Any,  # a tensor, or `SampleFile`
                rows: Tensor,  # indices
                max_bytes: int = 1 << 26,  # of a part in float64
                ) -> tuple[Tensor, ...]:
    "The indices in parts that may be looked at one after the other."
    if not hasattr(bag, "shape") or not len(bag.shape):
        raise TypeError("bag: expected a tensor of examples or the rows of a file, "
                        f"got {bag!r:.60}")
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1:
        raise TypeError(f"rows: expected indices (n,), int64, got {rows!r:.60}")
    example = 8 * max(1, math.prod(bag.shape[1:]))
    return rows.split(max(1, min(1 << 14, check_int("max_bytes", max_bytes) // example)))

# %% [markdown]
# `read_samples` reads a whole file, or a random part of it. The result is made first and filled in parts, so a large file is never held twice.

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

# %% [markdown]
# **Check.** The same pictures from bytes in a `.npy`, from an archive, from a tensor and from a folder.

# %%
from PIL import Image

pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
np.save(folder / "a.npy", pixels)
np.savez(folder / "b.npz", pictures=pixels, labels=np.arange(5))
torch.save(torch.tensor(pixels), folder / "c.pt")
(folder / "d").mkdir()
for i, picture in enumerate(pixels):
    Image.fromarray(picture).save(folder / f"d/{i}.png")

# %%
names = ["a.npy", "b.npz:pictures", "c.pt", "d"]
read = [read_samples(f"{folder}/{name}").reshape(5, 6, 4) for name in names]
assert all(torch.allclose(x, torch.tensor(pixels) / 255) for x in read)
read_samples(folder / "a.npy", most=2).shape

# %% [markdown]
# ## MNIST from its four files
# MNIST comes as four files in a format of its own. A file begins with four bytes that say how many axes it has, then the length of each axis, then one byte a number.

# %%
#| export data.mnist
MNIST = {"train-images-idx3-ubyte": "9.9 MB", "train-labels-idx1-ubyte": "29 kB",
         "t10k-images-idx3-ubyte": "1.6 MB", "t10k-labels-idx1-ubyte": "4.5 kB"}

# %% [markdown]
# The error for a missing file should say what is missing and how to get it. This text is used in all such errors.

# %%
#| export data.mnist
_FILES = ", ".join(f"{name}.gz ({size})" for name, size in MNIST.items())
_HOW = (f"MNIST is four files, {_FILES}: put them, gzipped or not, into one folder and name it, "
        "as in mnist(folder) or by the environment variable MODELAB_DATA; data_scripts/mnist.py "
        "fetches them")

# %% [markdown]
# The header cannot be trusted. A file of a few bytes may announce gigabytes, so the announced length is compared with what the file can hold: deflate compresses at most 1032 to 1.

# %%
#| export data.mnist
def _idx_shape(file: IO[bytes], kind: str | None, size: int, most: int) -> list[int]:
    "The shape that the header of an idx file promises; `ValueError` says what is there instead."
    magic = file.read(4)
    kinds = {b"\0\0\x08\3": ("images", 3), b"\0\0\x08\1": ("labels", 1)}
    found, dims = kinds.get(magic, (None, 0))
    if kind not in (None, found) or not found:
        raise ValueError(found or f"a file that starts with bytes {magic.hex(' ') or 'missing'}")
    head = file.read(4 * dims)
    shape = [int.from_bytes(head[i:i + 4], "big") for i in range(0, 4 * dims, 4)]
    if len(head) < 4 * dims or not 0 < math.prod(shape) <= most:
        promised = " × ".join(map(str, shape))
        raise ValueError(f"a header that promises {promised} bytes in a file of {size} "
                         f"(at most {most} are unpacked)")
    return shape

# %% [markdown]
# The numbers are read in pieces into one buffer, which becomes the tensor. So memory holds the pixels once.

# %%
#| export data.mnist
def _read_exactly(file: IO[bytes], length: int) -> bytearray:
    "All that is left of a file; `ValueError` if it is not of this length."
    data = bytearray()
    while len(data) <= length and (piece := file.read(min(2 ** 20, length + 1 - len(data)))):
        data += piece
    if len(data) != length:
        much = "more" if len(data) > length else "fewer"
        raise ValueError(f"{much} than the {length} bytes that its header promises")
    return data

# %% [markdown]
# `read_idx` reads one file. Whether the file is gzipped is found from its first two bytes, since its name may be wrong.

# %%
#| export data.mnist
def read_idx(path: str | Path,  # plain or gzipped, whatever its name says
             kind: str | None = None,  # "images" or "labels", where only one of them will do
             limit: int = 2 ** 30,  # refuse to unpack more bytes than this
             ) -> torch.Tensor:
    "Images (n, h, w) or labels (n,) of an idx file, uint8; `ValueError` for any other file."
    path = _checked_path(path)
    kind = None if kind is None else check_choice("kind", kind, ["images", "labels"])
    size, limit = path.stat().st_size, check_int("limit", limit)
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            shape = _idx_shape(file, kind, size, min(limit, 1032 * size if packed else size))
            data = _read_exactly(file, math.prod(shape))
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        got = error if isinstance(error, ValueError) else f"damage ({error})"
        wanted = f"an idx file of {kind or 'images or labels'}"
        raise ValueError(f"path: expected {wanted}, got {got} in {path}") from None
    return torch.frombuffer(data, dtype=torch.uint8).reshape(shape)

# %% [markdown]
# `_checked_path` refuses a file that does not exist, and its error says how to get MNIST.

# %%
#| export data.mnist
def _checked_path(path: str | Path) -> Path:
    "The path of a file that is there."
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {path!r:.80}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"path: no file {path}. {_HOW}")
    return Path(path)

# %%
def idx(array: np.ndarray) -> bytes:
    "An idx file of bytes."
    lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()

# %% [markdown]
# **Check.** A small file is read, plain and gzipped; a cut one, one that announces too much and one of another kind are refused.

# %%
good = idx(pixels)
(folder / "good").write_bytes(good)
(folder / "packed").write_bytes(gzip.compress(good))
(folder / "cut").write_bytes(gzip.compress(good[:-1]))
(folder / "large").write_bytes(good[:4] + b"\xff" * 4 + good[8:])

# %%
for name in ("good", "packed"):
    assert np.array_equal(read_idx(folder / name, "images").numpy(), pixels)
bad = [error_message(read_idx, folder / "cut"), error_message(read_idx, folder / "large"),
       error_message(read_idx, folder / "good", "labels")]
[message.replace(f"{folder}/", "") for message in bad]

# %% [markdown]
# ## Four files as a mode set
# The files are found in a folder that is named, or in the data folder `MODELAB_DATA`. The data folder may hold MNIST's files themselves, or a folder for each set. Fashion-MNIST's files have the same names, so they must be in a folder of their own.

# %%
#| export data.mnist
def idx_files(name: str,  # mnist or fashion_mnist, whose files bear the same names
              folder: str | Path | None = None,  # theirs, or its parent; default: MODELAB_DATA
              ) -> list[Path]:
    "The four files of a set, plain or .gz; `FileNotFoundError` if one is absent."
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder: expected a path, got {folder!r}")
    root = os.environ.get("MODELAB_DATA") if folder is None else folder
    own = folder is not None or name == "mnist"  # MODELAB_DATA itself may hold MNIST's files only
    places = [Path(root)] * own + [Path(root, name)] if root else []
    tries = [[d / f"{file}{end}" for d in places for end in ("", ".gz")] for file in MNIST]
    files = [next(filter(Path.is_file, paths), None) for paths in tries]
    if None in files:
        how = f"data_scripts/{name}.py fetches the four files of {name}"
        lacks = f"{root} lacks some of the files" if root else "none is set"
        raise FileNotFoundError(f"folder: {lacks}. {_HOW if name == 'mnist' else how}")
    return files

# %% [markdown]
# Reading 70,000 pictures takes a moment, so the same files are read once. A file counts as the same if path, size and time of change are.

# %%
#| export data.mnist
def _idx(name: str, folder: str | Path | None) -> DigitArchive:
    "The archive of a set of four idx files."
    stats = [(path, path.stat()) for path in idx_files(name, folder)]
    return _read_idx_set(*((path, s.st_size, s.st_mtime_ns) for path, s in stats))

# %% [markdown]
# Files of other sets in the same format are refused: the classifier that names the modes is made for this size.

# %%
#| export data.mnist
@functools.lru_cache(2)
def _read_idx_set(*files: tuple) -> DigitArchive:
    "Read and check the four files; the same files (path, size, time) are read once."
    parts = [read_idx(path, kind) for (path, *_), kind in zip(files, ["images", "labels"] * 2)]
    splits = {"train": (parts[0], parts[1].long()), "held_out": (parts[2], parts[3].long())}
    for split, (images, labels) in splits.items():
        if tuple(images.shape[1:]) != (28, 28) or len(images) != len(labels) or labels.max() > 9:
            got = f"{tuple(images.shape)} and {len(labels)} labels up to {int(labels.max())}"
            raise ValueError("folder: expected 28×28 images with as many labels 0 to 9, "
                             f"got images {got} for {split}")
    keep = files[0][0].parent / "modelab-judge.safetensors"
    return DigitArchive(splits, top=255, walk=1500, keep=keep)

# %% [markdown]
# Three sets are made of such files: the digits, three digits as one picture, and clothes.

# %%
#| export data.mnist
@register_mode_set
def mnist(folder: str | None = None,  # of the idx files, or its parent; default: MODELAB_DATA
          split: str = "train",  # or "held_out": the test files
          ) -> DigitSet:
    "Ten modes: the 70,000 digits of MNIST, 28×28, read from the four idx files."
    return DigitSet(_idx("mnist", folder), split, 1, functools.partial(mnist, folder))

# %% [markdown]
# Stacked MNIST is the usual benchmark of mode coverage: three random digits make one of a thousand modes.

# %%
#| export data.mnist
@register_mode_set
def stacked_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "A thousand modes: three MNIST digits as the channels of one picture."
    return DigitSet(_idx("mnist", folder), split, 3, functools.partial(stacked_mnist, folder))

# %% [markdown]
# Shirts look like coats, so the classifier that names the modes of Fashion-MNIST errs more often: look at its accuracy.

# %%
#| export data.mnist
@register_mode_set
def fashion_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "Ten modes: the clothes of Fashion-MNIST, in files of MNIST's format."
    make = functools.partial(fashion_mnist, folder)
    return DigitSet(_idx("fashion_mnist", folder), split, 1, make)

# %% [markdown]
# **Check.** A small MNIST of noise is found in its folder and in the folder above; Fashion-MNIST is not found there.

# %%
(folder / "mnist").mkdir()
rng = np.random.default_rng(1)
for (name, _), n in zip(MNIST.items(), (40, 40, 20, 20)):
    noise = rng.integers(0, 256, (n, 28, 28), np.uint8) if "images" in name else np.arange(n) % 10
    (folder / "mnist" / name).write_bytes(idx(noise.astype(np.uint8)))

# %%
small = mnist(str(folder))
assert small.n_modes == 10 and stacked_mnist(str(folder / "mnist")).n_modes == 1000
try:
    fashion_mnist(str(folder / "none"))
except FileNotFoundError as error:
    print(str(error).replace(f"{folder}/", ""))
small.n_modes, small.event

# %%
shutil.rmtree(folder)

# %% [markdown]
# ## Exercises
# **1.** Add `.csv` to `open_samples`. Which two things must your reader return?
#
# **2.** Why does `read_idx` compare the header with the size of the file before it reads on?

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** The shape of all examples, and a function from an array of indices to an array of those examples. A `.csv` has no index, so the reader reads it once, as `_npz` does.
#
# **2.** A file of a hundred bytes may announce four gigabytes. Without the comparison the buffer would be allocated, or a small gzipped file would be unpacked until memory is full.
# </details>

# %% [markdown]
# ## Recap
# - Files of samples hold numbers. Whatever could run a program is refused.
# - A `SampleFile` is read in parts, by indices; `read_samples` fills one tensor with them.
# - The header of an idx file may be wrong. Its length is compared with what the file can hold.
