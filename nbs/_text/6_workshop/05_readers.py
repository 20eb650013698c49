# %% [markdown]
# # Readers
# > How are samples read from folders of pictures, archives, arrays and tables as people keep them, and MNIST from its idx files?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are samples read from files, in little memory and without running what is in them? |
# | **You will be able to** | read your own samples for a measure; see what was converted; read MNIST; add a format |
# | **Needs** | [0.3](../0_start/03_modes.ipynb) |
# | **Time** | seconds |
#
# This chapter is for everybody who has samples in files, and for contributors who add a format. The audit ([4.2](../4_evidence/02_audit.ipynb)) and the command line read files with the functions below. Most users need one of these calls:
#
# ```python
# from modelab.data.readers import open_samples, read_samples
# from modelab.data.matching import match_sources
#
# x = read_samples("samples.npz")                  # all examples as one tensor; pictures in [0, 1]
# file = open_samples("photos/", size=64)          # a folder, read when examples are asked for
# file.shape, file.notes, file.labels              # the shape, what was converted, labels if any
# (real, made), notes = match_sources(open_samples("train.zip"), file)    # one shape and one scale
# ```
#
# | You have | Section |
# |---|---|
# | a folder of pictures, a `.zip` or a `.tar` | Pictures in folders; Archives |
# | a table, `.csv` or `.tsv` | Tables |
# | labels, in a file or by sub-folders | Labels |
# | `.npy`, `.npz`, `.pt`, `.safetensors` | Arrays; Pictures in arrays |
# | a folder of the library `datasets`, or `.parquet` | Hugging Face |
# | samples and training data of different sizes or ranges | Two sources that do not match |
# | features that take long to compute | Keep what was computed |
# | MNIST or Fashion-MNIST | MNIST from its four files |
#
# The next cells only name the modules and their imports.

# %%
#| default_exp data.readers

# %%
#| export data.rows
"What a reader of samples returns, natural order of names, and one form of error."
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

# %%
#| export data.image_files
"Picture files in folders and archives: modes, sizes, damage, one size and one kind for all."
from __future__ import annotations

import collections
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, IO

import numpy as np
from tqdm.auto import tqdm

from modelab.core.checks import check_int, check_number
from modelab.data.rows import first_few, natural_key, FoundRows

# %%
#| export data.archive_members
"Members of zip and tar archives, read without unpacking and without trusting names."
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from modelab.data.image_files import Members
from modelab.data.rows import natural_key

# %%
#| export data.tables
"Tables (.csv, .tsv) as numbers: number columns standardised, text columns one-hot."
from __future__ import annotations

import collections
import csv
import io
import itertools
import math
import pickletools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modelab.data.image_files import SUFFIXES
from modelab.data.rows import first_few, natural_key, FoundRows

# %%
#| export data.labels
"Labels from .txt, .csv, .npy and .json files, from tables beside pictures and from sub-folders."
from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import check_int
from modelab.data.image_files import Members, SUFFIXES
from modelab.data.rows import first_few, natural_key, readable
from modelab.data.tables import plain_text, read_cells, table_columns

# %%
#| export data.array_files
"Arrays and tensors in .npy, .npz, .pt and .safetensors files; no pickled object is loaded."
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelab.data.labels import encode_labels
from modelab.data.rows import FoundRows

# %%
#| export data.picture_arrays
"Arrays of pictures: the order of the axes and the range of the values, told from the data."
from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from modelab.data.rows import FoundRows

# %%
#| export data.arrow_files
"Folders of the library `datasets` and .parquet files, read with pyarrow where it is installed."
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from modelab.data.image_files import Members, read_pictures
from modelab.data.labels import class_labels
from modelab.data.rows import natural_key, FoundRows
from modelab.data.tables import read_table

# %%
#| export
"""Readers of samples: folders and archives of pictures, arrays, tensors and tables, in parts."""
from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from modelab.core.checks import check_batch, check_int, check_number
from modelab.core.seeding import generator_or_default
from modelab.data.archive_members import tar_members, zip_members
from modelab.data.array_files import read_npy, read_npz, read_pt, read_safetensors
from modelab.data.arrow_files import arrow_folder, read_arrow, read_parquet
from modelab.data.image_files import (check_size, fit_picture, folder_members, Members,
                                      read_pictures, SUFFIXES)
from modelab.data.labels import labels_beside
from modelab.data.picture_arrays import are_pictures, as_pictures
from modelab.data.rows import readable, FoundRows
from modelab.data.tables import table_file

# %%
#| export data.matching
"Bring several sources of samples to one shape: axes, channels, sizes, and one encoding of tables."
from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelab.core.checks import check_batch
from modelab.data.picture_arrays import as_pictures, value_range
from modelab.data.readers import index_parts, resize_rows, SampleFile
from modelab.data.rows import first_few, FoundRows
from modelab.data.tables import TableEncoder

# %%
#| export data.feature_cache
"Keep what is computed from files in a cache beside them, under the SHA-256 of what they hold."
from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from modelab.core.files import atomic_write
from modelab.data.image_files import folder_members
from modelab.data.readers import SampleFile

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
from modelab.course.notebooks import patch

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A file that runs a program
# A `.npy` file may hold Python objects. They are stored as a *pickle*, Python's format for objects, and a pickle may call any function when it is loaded. The one below only prints a line. A file from somebody else could delete your files.

# %%
class Surprise:
    def __reduce__(self):
        return print, ("this line was run by the file",)

np.save(folder / "surprise.npy", np.array([Surprise()], dtype=object))

# %%
np.load(folder / "surprise.npy", allow_pickle=True);

# %% [markdown]
# So no reader here loads objects. NumPy files are read without pickles, and `.pt` files with `weights_only=True`, which refuses objects that could run code. A pickle under another name is not a picture or a table, so it is refused too.
#
# ## What a reader returns
# Each reader below returns `FoundRows`: the shape of all examples, and a function from an array of indices to those examples. The other fields hold what else the files say, such as names and labels. `notes` holds plain sentences: what was converted, resized or left out.

# %%
#| export data.rows
@dataclass
class FoundRows:
    "What a reader found in a file or folder."
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], Any]  # indices to examples
    names: list[str] | None = None  # of the files
    labels: Tensor | None = None  # classes (n,), or attributes (n, k) of 0 and 1; int64
    label_names: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    table: dict[str, list[str]] | None = None  # the columns, where the file is a table

# %% [markdown]
# `readable` calls a reader. If the reader fails, for whatever reason, the error names the file. NumPy's own error for a pickle names the option that would load it, and torch's error for an array of text is a long list of types. Both are replaced.

# %%
#| export data.rows
def readable(path: Path | str, read: Callable) -> Any:
    "What `read` returns; `ValueError` with the file's name if it cannot."
    try:
        return read()
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # damaged files make each library raise something else
        reason = " ".join(str(error).split())[:4000] or type(error).__name__
        if "allow_pickle" in reason or "Python objects in dtype" in reason:
            reason = "it holds Python objects, which are never loaded; save numbers instead"
        elif "can't convert np.ndarray of type" in reason:
            reason = "expected numbers, got " + re.sub(r".*of type numpy\.(\w+).*", r"\1", reason)
        reason = reason.removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not readable as examples: {reason}") from error

# %% [markdown]
# Files are taken in natural order: 1, 2, 10, as people number them, and not 1, 10, 2. `natural_key` sorts in this order. If labels are listed in the order of the files, they depend on it.

# %%
#| export data.rows
def natural_key(name: str) -> tuple:
    "A key that sorts `2.png` before `10.png`, folder by folder."
    return tuple([(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece)
                  for piece in re.split(r"(\d+)", part) if piece] for part in name.split("/"))

# %%
assert sorted(["10.png", "2.png", "1.png"], key=natural_key) == ["1.png", "2.png", "10.png"]

# %% [markdown]
# `first_few` shortens a long list of names in a message: a few names, and the number of the others.

# %%
#| export data.rows
def first_few(names: Sequence[str], most: int = 8) -> str:
    "Some names, and how many more there are."
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more

# %% [markdown]
# ## Pictures in folders
# Pillow reads picture files. It is an optional package. If it is missing, the error says how to install it. These endings are read:

# %%
#| export data.image_files
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")

# %% [markdown]
# `_pillow` imports it when the first picture is opened.

# %%
#| export data.image_files
def _pillow() -> Any:
    "The module `PIL.Image`."
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError("pictures are read with Pillow, which is not installed: "
                         "pip install pillow") from error
    return Image

# %% [markdown]
# ### One picture
# Grey pictures may have 1, 8 or 16 bits. `_deep_grey` reads those of 16 bits, which are divided by 65,535 and not by 255, and those of floats, which must be in [0, 1] already.

# %%
#| export data.image_files
def _deep_grey(image: Any) -> np.ndarray:
    "A grey picture of 16 bits or of floats, as float32 in [0, 1]."
    x = np.asarray(image).astype(np.float32)
    top = 1 if image.mode == "F" else 65535
    if not (x.min() >= 0 and x.max() <= top):
        raise ValueError(f"values from {x.min():g} to {x.max():g}, expected 0 to {top}")
    return x / top

# %% [markdown]
# A picture with an alpha channel (transparency) also has colours where it is invisible. In some pictures only the alpha channel shows the shape. So `alpha_composite` puts the picture on a grey background, and what is visible is measured.

# %%
#| export data.image_files
def alpha_composite(x: np.ndarray,  # (..., 4, height, width) in [0, 1]
                  background: float) -> np.ndarray:
    "Pictures with alpha on a background of one grey, (..., 3, height, width)."
    alpha = x[..., 3:, :, :]
    return x[..., :3, :, :] * alpha + np.float32(background) * (1 - alpha)

# %% [markdown]
# `decode_picture` turns one file into numbers in [0, 1], channels first. Cameras store their orientation in EXIF, a block of data in the file. The picture is turned upright.

# %%
#| export data.image_files
def decode_picture(file: IO[bytes], background: float = .5) -> np.ndarray:
    "One picture, (channels, height, width), float32 in [0, 1], with one channel or three."
    Image = _pillow()
    from PIL import ImageOps
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode[0] in "IF":
        return _deep_grey(image)[None]
    alpha = image.has_transparency_data
    grey = image.mode in ("1", "L") and not alpha
    mode = "L" if grey else "RGBA" if alpha else "RGB"
    x = np.asarray(image if image.mode == mode else image.convert(mode), np.float32) / 255
    x = np.atleast_3d(x).transpose(2, 0, 1)
    return alpha_composite(x, background) if alpha else x

# %% [markdown]
# Many grey sets are stored as RGB with three equal channels. So the format of a file does not say whether the picture is in colour: `shows_colour` compares the channels. JPEG rounds each channel by itself. There, a difference of up to two of the 255 steps does not count as colour.

# %%
#| export data.image_files
def shows_colour(x: np.ndarray,  # (channels, height, width) in [0, 1]
                 lossy: bool = False) -> bool:
    "Whether the channels differ."
    most = float(np.abs(np.diff(x, axis=0)).max()) if len(x) > 1 else 0.
    return most > (2.5 if lossy else .5) / 255

# %% [markdown]
# ### What the head of a file says
# A picture file begins with a *head*: its format, size and kind of pixels. Before any work all files of a folder are inspected once. `Head` keeps what is needed of each file.

# %%
#| export data.image_files
@dataclass
class Head:
    "What is known of a picture file before it is read as an example."
    mode: str  # Pillow's: 1, L, P, RGB, RGBA, I;16, ...
    format: str
    size: tuple[int, int]  # height and width, upright
    alpha: bool
    turned: bool  # by EXIF
    frames: int
    colour: bool | None = None  # None: not looked at yet
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)  # in bytes, if kept

# %% [markdown]
# `read_head` reads the head only. If EXIF turns the picture by a quarter, height and width are exchanged. For TIFF, Pillow has done that already.

# %%
#| export data.image_files
def read_head(file: IO[bytes]) -> Head:
    "The head of a picture file."
    with _pillow().open(file) as image:
        kind = image.format
        exif = image.getexif() if "exif" in image.info or kind in ("TIFF", "MPO") else {}
        turn = exif.get(0x0112, 1)
        width, height = image.size
        size = (width, height) if turn in (5, 6, 7, 8) and kind != "TIFF" else (height, width)
        frames = 1 if kind == "MPO" else getattr(image, "n_frames", 1)
        alpha = image.mode[0] not in "IF" and image.has_transparency_data
        return Head(image.mode, kind, size, alpha, turn not in (0, 1), frames,
                    None if alpha or image.mode[0] not in "1LIF" else False)

# %% [markdown]
# A file that was cut off may still have a good head, so `inspect_picture` looks for damage. Small pictures, of up to 16,384 pixels, are decoded in full, which is fast. If bytes hold their values without loss, the bytes are kept, so that these pictures are not decoded again. For large pictures a faster test is used. PNG files have checksums. JPEG and GIF files must have the right bytes at the end. In all other cases a large picture is decoded, too.

# %%
#| export data.image_files
def inspect_picture(file: IO[bytes], background: float = .5) -> Head:
    "The head of a picture file, after a look for damage; raises if there is any."
    head = read_head(file)
    ends = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "GIF": b";"}
    file.seek(0)
    if head.size[0] * head.size[1] > 1 << 14 and head.format == "PNG":
        with _pillow().open(file) as image:
            image.verify()
        return head
    if head.size[0] * head.size[1] > 1 << 14 and head.format in ends:
        length = file.seek(0, 2)
        file.seek(max(0, length - 64))
        if ends[head.format] in file.read():
            return head
        file.seek(0)
    x = decode_picture(file, background)
    head.colour = shows_colour(x, head.format in ("JPEG", "MPO", "WEBP"))
    pixels = np.rint(x * 255).astype(np.uint8)
    if head.size[0] * head.size[1] <= 1 << 14 and (pixels.astype(np.float32) / 255 == x).all():
        head.pixels = pixels
    return head

# %% [markdown]
# ### Files by name
# A folder and an archive are read by the same code. Both become `Members`: names, and a function that opens the file of one name.

# %%
#| export data.image_files
@dataclass
class Members:
    "Files in a folder or an archive: their names, in natural order, and how one is opened."
    path: Path
    names: list[str]  # with slashes, from the folder on
    open: Callable[[str], IO[bytes]]

    def pictures(self) -> list[str]:
        "The names that end as pictures do."
        return [name for name in self.names if os.path.splitext(name)[1].lower() in SUFFIXES]

# %% [markdown]
# `folder_members` finds the files of a folder. Sub-folders and links to folders are read too, each folder once. Names that begin with a dot, such as `.DS_Store`, belong to the system and are left out.

# %%
#| export data.image_files
def folder_members(path: Path) -> Members:
    "The files of a folder and of all folders in it, without hidden ones."
    found, seen = [], set()
    for place, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else \
            sorted(f for f in folders if f[0] != "." and f != "__MACOSX")
        if real not in seen:
            inside = Path(place).relative_to(path)
            found += [(inside / file).as_posix() for file in files if file[0] != "."]
        seen.add(real)
    return Members(path, sorted(found, key=natural_key), lambda name: open(path / name, "rb"))

# %% [markdown]
# All files are inspected in one pass, so that one error can name all damaged ones. A bar shows the progress in a terminal. At most `KEPT_BYTES` of decoded small pictures are kept:

# %%
#| export data.image_files
KEPT_BYTES = 1 << 26


# %% [markdown]
# `_inspect_all` makes this pass. Small pictures beyond the limit are decoded again when they are read.

# %%
#| export data.image_files
def _inspect_all(members: Members, names: list[str], background: float,
                 progress: bool) -> tuple[dict[str, Head], dict[str, str]]:
    "Heads of the good files, and what is wrong with the others."
    heads, bad, kept = {}, {}, 0
    _pillow()
    for name in tqdm(names, "looking at pictures", unit=" files", leave=False,
                     disable=not progress or None):
        try:
            with members.open(name) as file:
                head = heads[name] = inspect_picture(file, background)
            kept += 0 if head.pixels is None else head.pixels.nbytes
            head.pixels = head.pixels if kept <= KEPT_BYTES else None
        except MemoryError:
            raise
        except Exception as error:  # each format raises something else
            empty = str(error).startswith("cannot identify") and not _length(members, name)
            reason = str(error).partition(" <_io")[0].partition(" '")[0]
            bad[name] = "empty" if empty else reason or type(error).__name__
    return heads, bad

# %% [markdown]
# An empty file gets its own message. `_length` finds such files.

# %%
#| export data.image_files
def _length(members: Members, name: str) -> int:
    "The bytes of a file; 0 if it cannot be opened."
    try:
        with members.open(name) as file:
            return file.seek(0, io.SEEK_END)
    except Exception:  # whatever an archive raises, it was said before
        return 0

# %% [markdown]
# `_refuse_bad` refuses damaged files. The error names the first 20 of them, and counts the others. With `skip_bad` they are left out, and a note says so.

# %%
#| export data.image_files
def _refuse_bad(bad: dict[str, str], total: int, skip_bad: bool) -> list[str]:
    "A note about the files that were left out; `ValueError` where that was not allowed."
    if not bad:
        return []
    named = first_few([f"{name} ({reason[:60]})" for name, reason in bad.items()], 20)
    said = f"{len(bad):,} of {total:,} picture files cannot be read: {named}"
    if not skip_bad:
        raise ValueError(f"{said}; mend or delete them, or leave them out with skip_bad=True "
                         "(in a shell: --skip-bad)")
    return [f"{said}; left out."]

# %% [markdown]
# A set is in colour if any of its files shows colour. The first file alone must not decide, since it may be the only grey one. `_any_colour` stops at the first picture with colour.

# %%
#| export data.image_files
def _any_colour(members: Members, heads: dict[str, Head], background: float,
                progress: bool) -> bool:
    "Whether any picture shows colour."
    if any(head.colour for head in heads.values()):
        return True
    unknown = [name for name, head in heads.items() if head.colour is None]
    for name in tqdm(unknown, "looking for colour", unit=" files", leave=False,
                     disable=not progress or None):
        with members.open(name) as file:
            x = decode_picture(file, background)
        if shows_colour(x, heads[name].format in ("JPEG", "MPO", "WEBP")):
            return True
    return False

# %% [markdown]
# Pictures of several sizes are brought to one size: the size that is asked for, or the most common one. A size may have at most this many pixels:

# %%
#| export data.image_files
MOST_PIXELS = 1 << 24  # of one picture; three channels of so many take 400 MB in float64


# %% [markdown]
# `check_size` refuses a larger size, and anything that is no size, before any picture is read.

# %%
#| export data.image_files
def check_size(size: Any) -> tuple[int, int] | None:
    "Height and width from a number, a pair or None."
    if size is None:
        return None
    pair = (size, size) if not isinstance(size, (tuple, list)) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"size: expected a number or (height, width), got {size!r:.60}")
    height, width = check_int("size", pair[0]), check_int("size", pair[1])
    if height * width > MOST_PIXELS:
        raise ValueError(f"size: expected at most {MOST_PIXELS:,} pixels, got {height}×{width}")
    return height, width

# %% [markdown]
# `_common_size` chooses the size. A note says how many pictures had which other size, and what was done to them.

# %%
#| export data.image_files
def _common_size(heads: dict[str, Head], size: tuple[int, int] | None,
                 notes: list[str]) -> tuple[int, int]:
    "The size of all examples; a note if pictures are resized to it."
    counts = collections.Counter(head.size for head in heads.values()).most_common()
    target = size or counts[0][0]
    others = [(s, n) for s, n in counts if s != target]
    if others:
        listed = first_few([f"{n:,} of {h}×{w}" for (h, w), n in others], 4)
        why = "the size asked for" if size else "the most common size"
        notes.append(f"Pictures of other sizes ({listed}) were cropped about the centre and "
                     f"resized to {target[0]}×{target[1]}, {why} (bicubic, antialiased).")
    return target

# %% [markdown]
# `fit_picture` resizes one picture. It takes the largest part around the centre that has the aspect ratio of the target. Then it uses Pillow's bicubic filter. This filter is antialiased: when a picture is made smaller, it averages over more pixels. Each channel is resized as floats, without rounding to bytes.

# %%
#| export data.image_files
def fit_picture(x: np.ndarray,  # (channels, height, width), float32, as a rule in [0, 1]
                size: tuple[int, int]) -> np.ndarray:
    "A picture cropped about its centre to the aspect of `size` and resized to it, antialiased."
    if x.shape[1:] == tuple(size):
        return x
    Image = _pillow()
    height, width = x.shape[1:]
    scale = min(height / size[0], width / size[1])
    inner = [max(1, round(scale * side)) for side in size]
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    middle = x[:, top:top + inner[0], left:left + inner[1]]
    resized = [Image.fromarray(np.ascontiguousarray(channel, np.float32)).resize(
        size[::-1], Image.Resampling.BICUBIC) for channel in middle]
    found = np.stack([np.asarray(channel) for channel in resized])
    return found.clip(min(0, x.min()), max(1, x.max()))  # bicubic weights overshoot

# %% [markdown]
# `_conversions` writes one sentence about each kind of conversion.

# %%
#| export data.image_files
def _conversions(heads: dict[str, Head], colour: bool, background: float) -> list[str]:
    "Notes about what was converted."
    all_heads = list(heads.values())
    several = [h for h in all_heads if h.mode[0] in "RCY"]  # RGB, RGBA, CMYK, YCbCr
    grey = sum(h.mode[0] in "1LIF" and not h.mode.startswith("LAB") for h in all_heads)
    said = {
        "have several channels that are equal: taken as grey": 0 if colour else len(several),
        "are stored as grey: given three equal channels, since others show colour":
            grey if colour else 0,
        f"have an alpha channel: laid on a ground of grey {background:g} "
        "(0 is black, 1 is white)": sum(h.alpha for h in all_heads),
        "have a palette: converted": sum(h.mode[0] == "P" for h in all_heads),
        "have 16 bits or floats: taken with their full range":
            sum(h.mode[0] in "IF" for h in all_heads),
        "have one bit: converted": sum(h.mode == "1" for h in all_heads),
        "were turned upright by their EXIF orientation": sum(h.turned for h in all_heads),
        "have several frames: the first was taken": sum(h.frames > 1 for h in all_heads)}
    return [f"{n:,} of {len(all_heads):,} pictures {what}." for what, n in said.items() if n]

# %% [markdown]
# `read_pictures` reads a whole folder or archive. It inspects all files, and decodes the larger pictures when they are needed.

# %%
#| export data.image_files
def read_pictures(members: Members, names: list[str] | None = None, *, size: Any = None,
                  skip_bad: bool = False, background: float = .5,
                  progress: bool = True) -> FoundRows:
    "Pictures of one size and one kind, (n, channels, height, width)."
    background, target = check_number("background", background, 0, 1), check_size(size)
    order = "natural (1, 2, 10), folder by folder" if names is None else "that of the rows"
    names = _check_pictures(members, names)
    heads, bad = _inspect_all(members, names, background, progress)
    notes = _refuse_bad(bad, len(names), skip_bad)
    names = list(heads)
    if len(names) < 2:
        raise ValueError(f"expected at least two pictures, found {len(names)}")
    colour = _any_colour(members, heads, background, progress)
    notes += [f"Order of the pictures: {order}.", *_conversions(heads, colour, background)]
    target = _common_size(heads, target, notes)

    def take(index: np.ndarray) -> np.ndarray:
        found = []
        for i in index:
            pixels = heads[names[i]].pixels
            x = _decoded(members, names[i], background) if pixels is None else \
                pixels.astype(np.float32) / 255
            found.append(_as_others(x, colour, target))
        return np.stack(found)
    return FoundRows((len(names), 3 if colour else 1, *target), take, names, notes=notes)

# %% [markdown]
# If a folder has no pictures, the error of `_check_pictures` says what it holds instead.

# %%
#| export data.image_files
def _check_pictures(members: Members, names: list[str] | None) -> list[str]:
    "The names of the pictures; `ValueError` if there are none."
    names = members.pictures() if names is None else names
    if not names:
        held = f"it holds {first_few(members.names, 4)}" if members.names else "it is empty"
        raise ValueError(f"expected pictures ({', '.join(SUFFIXES)}), found none: {held}")
    return names

# %% [markdown]
# `_decoded` decodes a picture that was not kept.

# %%
#| export data.image_files
def _decoded(members: Members, name: str, background: float) -> np.ndarray:
    "One picture; damage is named."
    try:
        with members.open(name) as file:
            return decode_picture(file, background)
    except Exception as error:  # damage that the first look did not see, or a file that is gone
        raise ValueError(f"{name}: {error}") from error

# %% [markdown]
# `_as_others` gives one picture the channels and the size of all examples.

# %%
#| export data.image_files
def _as_others(x: np.ndarray, colour: bool, size: tuple[int, int]) -> np.ndarray:
    "One picture with the channels and the size of all."
    x = np.repeat(x, 3, 0) if colour and len(x) == 1 else x if colour else x[:1]
    return fit_picture(x, size)

# %% [markdown]
# **Check.** A folder with four kinds of pictures: a grey one, a colour one with an alpha channel, a grey one of 16 bits and another size, and a `.JPEG`. Then two damaged files are added, and the error names both.

# %%
from PIL import Image

(folder / "mixed").mkdir()
Image.new("L", (8, 8), 100).save(folder / "mixed/1.png")
Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(folder / "mixed/2.png")
Image.fromarray(np.full((16, 12), 13107, np.uint16)).save(folder / "mixed/10.png")
Image.new("RGB", (8, 8), (0, 90, 0)).save(folder / "mixed/11.JPEG")

# %%
mixed = read_pictures(folder_members(folder / "mixed"), progress=False)
x = mixed.take(np.arange(4))
assert mixed.names == ["1.png", "2.png", "10.png", "11.JPEG"] and mixed.shape == (4, 3, 8, 8)
assert np.allclose(x[1], .5) and np.allclose(x[2], .2)
mixed.notes

# %%
(folder / "mixed/12.png").write_bytes((folder / "mixed/1.png").read_bytes()[:50])
(folder / "mixed/13.png").write_bytes(b"")
error_message(read_pictures, folder_members(folder / "mixed"), progress=False)

# %% [markdown]
# ## Archives
# A name in an archive may be `../../.bashrc`. A program that unpacks such an archive could overwrite that file. Here, no member is written to disk under its name, so a name can do no harm. A member may also unpack to more bytes than it announces, even to gigabytes. So it is read up to a limit.

# %%
#| export data.archive_members
MEMBER_BYTES = 1 << 29  # a member that unpacks to more is refused

# %% [markdown]
# `_visible` leaves out hidden names and the folders that macOS adds, as for folders.

# %%
#| export data.archive_members
def _visible(names: list[str]) -> list[str]:
    "Names of files that are meant for the user, in natural order."
    kept = [name for name in names
            if not any(p == "__MACOSX" or p[:1] == "." and p not in (".", "..")
                       for p in name.split("/"))]
    return sorted(kept, key=natural_key)

# %% [markdown]
# `zip_members` lists a zip archive. Any member of it can be read by itself.

# %%
#| export data.archive_members
def zip_members(path: Path) -> Members:
    "The files in a zip archive; each is unpacked into memory when it is opened."
    archive = zipfile.ZipFile(path)
    sizes = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}

    def read(name: str) -> IO[bytes]:
        with archive.open(name) as member:
            data = member.read(MEMBER_BYTES + 1)
        if len(data) > MEMBER_BYTES:
            raise ValueError(f"it unpacks to more than {MEMBER_BYTES >> 20} MiB")
        return io.BytesIO(data)
    return Members(path, _visible(list(sizes)), read)

# %% [markdown]
# A compressed tar archive can only be read from its beginning. `_plain_tar` decompresses it once, into a temporary file without a name, which is gone when the process ends.

# %%
#| export data.archive_members
def _plain_tar(path: Path) -> IO[bytes]:
    "A tar archive that can be read at any place."
    with open(path, "rb") as file:
        packed = file.read(6)
    openers = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    if packed[:2] not in openers:
        return open(path, "rb")
    plain = tempfile.TemporaryFile()
    with openers[packed[:2]](path) as unpacked:
        while piece := unpacked.read(1 << 20):
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if plain.tell() % (1 << 26) == 0 and free < 1 << 28:
                raise ValueError("it unpacks to more than the disk for temporary files holds")
            plain.write(piece)
    plain.seek(0)
    return plain

# %% [markdown]
# `tar_members` lists a tar archive. Only plain files are taken: a link in a tar archive could point to a file outside of it.

# %%
#| export data.archive_members
def tar_members(path: Path) -> Members:
    "The files in a tar archive, packed or not; links and devices are left out."
    archive = tarfile.open(fileobj=_plain_tar(path), mode="r:")
    found = {info.name.removeprefix("./"): info for info in archive if info.isreg()}

    def read(name: str) -> IO[bytes]:
        if found[name].size > MEMBER_BYTES:
            raise ValueError(f"it holds more than {MEMBER_BYTES >> 20} MiB")
        return io.BytesIO(archive.extractfile(found[name]).read())
    return Members(path, _visible(list(found)), read)

# %% [markdown]
# **Check.** A zip archive with a name that leads out of its folder is read like any other.

# %%
import zipfile

with zipfile.ZipFile(folder / "two.zip", "w") as archive:
    archive.write(folder / "mixed/1.png", "../1.png")
    archive.write(folder / "mixed/2.png", "2.png")
read_pictures(zip_members(folder / "two.zip"), progress=False).names

# %% [markdown]
# ## Tables
# A table has columns of numbers and columns of words. A distance needs numbers in one unit. So numbers are standardised, and each word becomes a column of 0 and 1 (one-hot). The mean, the standard deviation and the list of words come from the reference alone, and are used for the samples too. If the samples were standardised by their own numbers, a generator that makes everything twice as large would look right.
#
# `plain_text` decodes the file. A pickle or another binary file under the name `.csv` is refused.

# %%
#| export data.tables
def plain_text(data: bytes) -> str:
    "The text of a file; `ValueError` for binary files and for pickles."
    if b"\0" in data or data[:1] == b"\x80":
        raise ValueError("a binary file, not a text")
    if data.rstrip()[-1:] == b"." and _is_pickle(data):
        raise ValueError("a pickle, not a text; pickles are never loaded")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")

# %% [markdown]
# The oldest kind of pickle consists of letters, like a text. `_is_pickle` recognises it by its structure, without running it.

# %%
#| export data.tables
def _is_pickle(data: bytes) -> bool:
    "Whether the bytes are the instructions of a pickle from begin to end."
    try:
        *_, (last, _, _) = pickletools.genops(data)
    except Exception:  # a text is no pickle; how the search fails does not matter
        return False
    return last.name == "STOP"

# %% [markdown]
# `_rows` uses Python's own reader of such files. It understands quoted cells, which may hold separators and line breaks.

# %%
#| export data.tables
def _rows(text: str, mark: str) -> Iterator[list[str]]:
    "The rows of a text whose cells are separated by `mark`."
    return csv.reader(io.StringIO(text, newline=""), delimiter=mark)

# %% [markdown]
# `read_cells` finds the separator: a comma, a tab, a semicolon or a bar. It takes the one that divides all lines into the same number of cells, as many as possible.

# %%
#| export data.tables
def read_cells(data: bytes, delimiter: str | None = None) -> list[list[str]]:
    "The cells of a text with one line a row, all of one length."
    text = plain_text(data)
    found = []
    for mark in [delimiter] if delimiter else [",", "\t", ";", "|"]:
        rows = [row for row in itertools.islice(_rows(text, mark), 50) if row]
        widths = {len(row) for row in rows}
        width = max(widths, default=0)
        found.append((len(widths) == 1 and width > 1, width, mark))
    mark = max(found, key=lambda item: item[:2])[2]
    if not delimiter and not max(found)[0] and len(lines := text.split("\n")) > 1:
        spaced = [line.split() for line in lines if line.strip()]
        if len({len(row) for row in spaced}) == 1 and all(
                _number(cell) is not None for row in spaced for cell in row):
            return spaced  # as numpy.savetxt writes
    rows = [[cell.strip() for cell in row] for row in _rows(text, mark)
            if any(cell.strip() for cell in row)]
    wrong = [i for i, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    if wrong:
        raise ValueError(f"row {wrong[0]} has {len(rows[wrong[0] - 1])} cells, "
                         f"the first has {len(rows[0])}")
    return rows

# %% [markdown]
# A cell is a number if Python can read it as one. Some words, such as `nan` and `null`, mean a missing value:

# %%
#| export data.tables
MISSING_CELLS = {"", "na", "n/a", "nan", "null", "none", "?", "-", "<na>"}

# %% [markdown]
# `_number` reads one cell. In many countries a comma is the decimal point, as in `1,5`. This is understood, too.

# %%
#| export data.tables
def _number(cell: str) -> float | None:
    "The number that a cell holds; NaN for a missing one, None for text."
    if cell.lower() in MISSING_CELLS:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        pass
    comma = re.fullmatch(r"[-+]?\d+,\d+", cell)
    return float(cell.replace(",", ".")) if comma else None

# %% [markdown]
# `has_header` says whether the first row names the columns. It does unless it holds a number or the name of a picture.

# %%
#| export data.tables
def has_header(rows: list[list[str]]) -> bool:
    "Whether the first row names the columns."
    return not any(_number(cell) is not None and cell or cell.lower().endswith(SUFFIXES)
                   for cell in rows[0])

# %% [markdown]
# `table_columns` divides the table into columns with names. pandas writes its index as a first column without a name. Such a first row is a header as well.

# %%
#| export data.tables
def table_columns(rows: list[list[str]]) -> dict[str, list[str]]:
    "Columns by name; without a header they are called column 1, column 2, …"
    if not rows:
        raise ValueError("it is empty")
    named = has_header(rows) or rows[0][0] == "" and has_header([rows[0][1:]])
    names = rows[0] if named else [f"column {i + 1}" for i in range(len(rows[0]))]
    twice = [name for name, n in collections.Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f"several columns have the same name: {first_few(twice)}")
    return {name: [row[i] for row in rows[named:]] for i, name in enumerate(names)}

# %% [markdown]
# `TableEncoder` stores how each column becomes numbers.

# %%
#| export data.tables
@dataclass
class TableEncoder:
    "How columns of a table become numbers; see `TableEncoder.fit`."
    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)  # mean and spread
    kinds: dict[str, list[str]] = field(default_factory=dict)  # the values of a column of words
    unseen: set[str] = field(default_factory=set)  # columns with values the reference has not
    gaps: set[str] = field(default_factory=set)  # columns with missing values
    left: dict[str, str] = field(default_factory=dict)  # columns left out, and why
    unlike: list[str] = field(default_factory=list)  # notes about other tables

# %% [markdown]
# A column with very many words would become as many columns, so there is a limit.

# %%
#| export data.tables
MOST_KINDS = 100  # values with a column of their own, for each column of words

# %% [markdown]
# `_column_kind` decides whether a column holds numbers or words. If every cell is a number, it holds numbers. There is one exception: whole numbers with at most 12 values, each of them ten times or more on average, are probably codes, such as 1 for teacher. The difference of two codes means nothing, so they are taken as words. Columns of many different texts, and columns that only number the rows, are left out.

# %%
#| export data.tables
def _column_kind(name: str, cells: Sequence[str]) -> str:
    "numbers, kinds, or why the column is left out."
    values = [_number(cell) for cell in cells]
    known = [cell for cell, value in zip(cells, values) if value is None or not math.isnan(value)]
    distinct = len(set(known))
    if not known:
        return "it is empty"
    if None in values:
        most = max(20, len(known) // 2)
        return f"it has {distinct:,} different texts" if distinct > most else "kinds"
    whole = all(v.is_integer() for v in values if not math.isnan(v))
    counter = name == "" or re.fullmatch(r"unnamed: \d+|index|id|row", name, re.I)
    if counter and whole and distinct == len(cells):
        return "it numbers the rows"
    return "kinds" if whole and distinct <= 12 and len(known) >= 10 * distinct else "numbers"

# %% [markdown]
# `TableEncoder.fit` learns the encoding from the reference. In the other tables it only looks for missing cells, and for values that the reference does not have. Each of the two gets a column of its own.

# %%
#| export data.tables
@patch(cls_method=True)
def fit(cls: TableEncoder, columns: dict[str, list[str]],  # of the reference
        others: Sequence[dict[str, list[str]]] = (),  # what else will be encoded
        ) -> TableEncoder:
    "Learn the encoding from the reference's columns; other tables must have the same ones."
    table = cls()
    for name, cells in columns.items():
        kind = _column_kind(name, cells)
        if kind == "numbers":
            table.numbers[name] = _spread(name, cells)
        elif kind == "kinds":
            known = collections.Counter(c for c in cells if c.lower() not in MISSING_CELLS)
            most = [value for value, _ in known.most_common(MOST_KINDS)]
            table.kinds[name] = sorted(most, key=natural_key)
        else:
            table.left[name] = kind
    if not table.numbers and not table.kinds:
        raise ValueError("no column can be used: " + "; ".join(
            f"{name or 'column 1'}: {why}" for name, why in table.left.items()))
    for name in table.numbers:
        _check_cells(name, [cell for t in (columns, *others) for cell in t.get(name, [])])
    table._look_at([columns, *others])
    return table

# %% [markdown]
# In a column with whole numbers, `1,000` may mean one or a thousand. `_check_cells` refuses such a column. It also refuses infinity, and numbers above $10^{30}$, which are too large for float32 computations.

# %%
#| export data.tables
def _check_cells(name: str, cells: Sequence[str]) -> np.ndarray:
    "The numbers in a column without the missing ones; refuses what has no clear value."
    values = np.array([_number(cell) for cell in cells], float)
    values = values[~np.isnan(values)]
    if not np.isfinite(values).all():
        raise ValueError(f"column {name}: {np.isinf(values).sum()} cells hold infinity")
    if (most := np.abs(values).max(initial=0)) > 1e30:
        raise ValueError(f"column {name}: the number {most:g} is too large, expected at most 1e30")
    commas = [cell for cell in cells if re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", cell)]
    if commas and any(re.fullmatch(r"[-+]?\d+", cell) for cell in cells):
        raise ValueError(f"column {name}: it holds whole numbers and {commas[0]}, whose comma may "
                         "separate thousands or decimals; write numbers without such commas")
    return values

# %% [markdown]
# `_spread` gives the mean and the standard deviation of a column, without missing cells. A constant column has no spread. It becomes zero.

# %%
#| export data.tables
def _spread(name: str, cells: Sequence[str]) -> tuple[float, float]:
    "Mean and standard deviation of the numbers in a column."
    values = _check_cells(name, cells)
    spread = float(values.std())
    return float(values.mean()), spread if spread > 1e-12 * max(1, abs(values).max()) else 1.

# %% [markdown]
# `_look_at` looks for gaps and new values in all tables, before any table is encoded. So all of them get the same columns.

# %%
#| export data.tables
@patch
def _look_at(self: TableEncoder, tables: Sequence[dict[str, list[str]]]) -> None:
    "Note gaps and unseen values."
    for i, columns in enumerate(tables):
        for name in [*self.numbers, *self.kinds]:
            cells = columns.get(name, [])
            known = {cell for cell in cells if cell.lower() not in MISSING_CELLS}
            if len(known) < len(set(cells)):
                self.gaps.add(name)
            if name not in self.kinds or known <= set(self.kinds[name]):
                continue
            self.unseen.add(name)
            new = first_few(sorted(known - set(tables[0][name]), key=natural_key), 5)
            if new:
                self.unlike.append(f"Table {i + 1}, column {name}: values that the reference "
                                   f"has not, {new}.")
            elif not i:
                self.unlike.append(f"Column {name} has {len(known):,} values; the {MOST_KINDS} "
                                   "most frequent have a column each, the others share one.")

# %% [markdown]
# `column_names` names the encoded columns.

# %%
#| export data.tables
@patch(as_prop=True)
def column_names(self: TableEncoder) -> list[str]:
    "What each encoded column stands for."
    return [name for name, _ in self._encoded({})]

# %% [markdown]
# `_encoded` gives the encoded columns one after the other. A missing number becomes zero, which is the mean, and is marked in a column of its own.

# %%
#| export data.tables
@patch
def _encoded(self: TableEncoder,
             columns: dict[str, list[str]]) -> Iterator[tuple[str, np.ndarray]]:
    "Each encoded column, with its name."
    for name, (mean, spread) in self.numbers.items():
        values = np.array([_number(cell) for cell in columns.get(name, [])], float)
        absent = np.isnan(values)
        yield name, np.where(absent, 0, (values - mean) / spread)
        if name in self.gaps:
            yield f"{name} is missing", absent
    for name, kinds in self.kinds.items():
        cells = np.array(columns.get(name, []), dtype=object)
        seen = np.zeros(len(cells), bool)
        for kind in kinds:
            seen |= cells == kind
            yield f"{name} = {kind}", cells == kind
        absent = np.array([cell.lower() in MISSING_CELLS for cell in cells], bool)
        if name in self.gaps:
            yield f"{name} is missing", absent
        if name in self.unseen:
            yield f"{name} = another value", ~(seen | absent)

# %% [markdown]
# `encode` encodes a table. It finds the columns by name, so their order does not matter.

# %%
#| export data.tables
@patch
def encode(self: TableEncoder, columns: dict[str, list[str]]) -> np.ndarray:
    "The columns as float32, (rows, encoded columns)."
    wanted = [*self.numbers, *self.kinds]
    lacks = [name for name in wanted if name not in columns]
    more = [name for name in columns if name not in wanted and name not in self.left]
    if lacks or more:
        raise ValueError("the columns differ from the reference's: "
                         + "; ".join([f"it lacks {first_few(lacks)}"] * bool(lacks)
                                     + [f"it has {first_few(more)} too"] * bool(more)))
    for name in self.numbers:
        text = [cell for cell in columns[name] if _number(cell) is None]
        if text:
            raise ValueError(f"column {name}: numbers in the reference, here {len(text):,} "
                             f"cells with text, such as {text[0]!r:.40}")
    return np.stack([np.asarray(x, np.float32) for _, x in self._encoded(columns)], 1)

# %% [markdown]
# `notes` says in sentences how the columns were encoded.

# %%
#| export data.tables
@patch
def notes(self: TableEncoder) -> list[str]:
    "The columns by kind, in sentences."
    said = ["Columns of numbers, standardised by the reference: "
            f"{first_few(list(self.numbers))}."] * bool(self.numbers)
    if self.kinds:
        listed = [f"{name} ({len(kinds)} values)" for name, kinds in self.kinds.items()]
        said.append(f"Columns of words or codes, one column a value: {first_few(listed)}.")
    if self.gaps:
        listed = first_few(sorted(self.gaps))
        said.append(f"Missing values are marked in columns of their own: {listed}.")
    said += [f"Column {name or '1, without a name,'} is left out: {why}."
             for name, why in self.left.items()]
    return said + self.unlike

# %% [markdown]
# `read_table` makes examples of a table. A single table is encoded by its own mean and standard deviation. `match_sources` encodes several tables by those of the reference.

# %%
#| export data.tables
def read_table(columns: dict[str, list[str]], table: TableEncoder | None = None) -> FoundRows:
    "The rows of a table, encoded by `table` or by its own numbers."
    n = len(next(iter(columns.values()), []))
    if n < 2:
        raise ValueError(f"expected at least two rows below the names of the columns, got {n}")
    own = TableEncoder.fit(columns) if table is None else table
    x = own.encode(columns)
    return FoundRows(x.shape, lambda index: x[index], notes=own.notes(), table=columns)

# %% [markdown]
# `table_file` reads a table from a file. The whole file is read, since a text has no index by which single rows could be found.

# %%
#| export data.tables
def table_file(path: Path) -> FoundRows:
    "A table in a .csv or .tsv file."
    mark = "\t" if path.suffix.lower() == ".tsv" else None
    return read_table(table_columns(read_cells(path.read_bytes(), mark)))

# %% [markdown]
# **Check.** The reference has a column of ages and a column of jobs with one missing cell. The sample is encoded by the reference: its age is two standard deviations above the mean of the reference. A table with other columns is refused.

# %%
people = {"age": ["30", "50", "40", "40"], "job": ["baker", "smith", "", "baker"]}
table = TableEncoder.fit(people)
made = table.encode({"job": ["smith"], "age": ["54.14213"]})
assert np.allclose(made, [[2, 0, 1, 0]])
table.column_names, error_message(table.encode, {"age": ["3"], "Job": ["smith"]})

# %% [markdown]
# ## Labels
# Labels are words or numbers. Words are numbered in natural order, and `label_names` keeps them. A table with several columns of 0 and 1 holds *attributes*: traits that an example has or has not. A `LabelSet` holds either kind.

# %%
#| export data.labels
class LabelSet(NamedTuple):
    "Classes (n,) or attributes (n, k), int64, their names, and notes."
    labels: Tensor
    label_names: list[str]
    notes: list[str]

# %% [markdown]
# `class_labels` makes classes of words or numbers. Each label is the index of its name in the list of names, so `label_names[labels[i]]` is what the file said.

# %%
#| export data.labels
def class_labels(values: Sequence[Any], names: Sequence[str] | None = None) -> LabelSet:
    "Classes from words or whole numbers; `names`: of the numbers, where the file gives them."
    if names is not None:
        return LabelSet(torch.as_tensor(np.asarray(values, np.int64)), list(names), [])
    words = [str(int(v)) if isinstance(v, (float, np.floating)) and float(v).is_integer()
             else str(v) for v in values]
    known = sorted(set(words), key=natural_key)
    place = {word: i for i, word in enumerate(known)}
    return LabelSet(torch.tensor([place[word] for word in words], dtype=torch.int64), known, [])

# %% [markdown]
# `encode_labels` reads an array of labels: classes, one-hot rows or attributes. Other numbers are refused.

# %%
#| export data.labels
def encode_labels(x: np.ndarray, names: Sequence[str] | None = None) -> LabelSet:
    "Labels from an array (n,), (n, 1) or (n, k) of words, whole numbers, or 0 and 1."
    x = np.asarray(x)
    x = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
    if x.dtype.kind == "S":
        x = x.astype(str)
    if x.ndim not in (1, 2) or x.dtype.kind not in "biufU" or x.ndim == 2 and x.dtype.kind == "U":
        raise ValueError(f"expected labels (n,) or (n, k), got {x.shape} of {x.dtype}")
    if x.dtype.kind == "f" and not (np.isfinite(x).all() and (x == np.round(x)).all()):
        raise ValueError("expected whole numbers as labels, got fractions")
    if x.ndim == 1:
        return class_labels(x.tolist())
    if x.dtype.kind != "b" and not np.isin(x, (-1, 0, 1)).all():
        raise ValueError(f"expected attributes of 0 and 1, got values up to {x.max()}")
    x = (x > 0).astype(np.int64)
    names = list(map(str, names or range(x.shape[1])))
    if names[0] == "0" and (x.sum(1) == 1).all():
        return class_labels(x.argmax(1).tolist())
    return LabelSet(torch.from_numpy(x), names, [])

# %% [markdown]
# Tables of labels name files in several ways: with folders, without folders, without the ending. `_keys` lists all names of a file. A name that several files have stands for none of them.

# %%
#| export data.labels
def _keys(names: Sequence[str]) -> dict[str, int | None]:
    "What a file may be called in a table, and its number; None where several are called so."
    found: dict[str, int | None] = {}
    for i, name in enumerate(names):
        path = PurePosixPath(name)
        for key in {name, str(path.with_suffix("")), path.name, path.stem}:
            found[key] = None if key in found else i
    return found | {name: i for i, name in enumerate(names)}

# %% [markdown]
# `_by_name` finds the row of each file.

# %%
#| export data.labels
def _by_name(files: Sequence[str], names: Sequence[str]) -> tuple[list[int], list[str]]:
    "For each name the row that speaks of it, and notes; `ValueError` if some have none."
    keys, row_of, extra = _keys(names), {}, 0
    for row, file in enumerate(files):
        key = file.replace("\\", "/").removeprefix("./")
        place = keys.get(key)
        if place is not None and place in row_of:
            raise ValueError(f"{names[place]} has several rows")
        extra += place is None
        row_of[place] = row
    lacking = [name for i, name in enumerate(names) if i not in row_of]
    if lacking:
        raise ValueError(f"{len(lacking):,} of {len(names):,} files have no label: "
                         f"{first_few(lacking)}")
    notes = [f"{extra:,} labels belong to no file that was read."] * bool(extra)
    return [row_of[i] for i in range(len(names))], notes

# %% [markdown]
# `_file_column` finds the column with the names of files. It tries columns with a usual name first, such as `file_name`. At least half of the cells must be names of files.

# %%
#| export data.labels
def _file_column(columns: dict[str, list[str]], names: Sequence[str]) -> str | None:
    "The column that names the files; None if there is none."
    keys = _keys(names)
    known = ("file_name", "filename", "file", "image", "image_id", "path", "name", "id")
    likely = [c for c in columns if c.strip().lower().replace(" ", "_") in known]
    for column in [*likely, *[c for c in columns if c not in likely]]:
        cells = [c for c in columns[column] if column in likely or not c.isdecimal()]
        hits = sum(c.replace("\\", "/").removeprefix("./") in keys for c in cells)
        if hits and hits >= min(len(names), len(columns[column])) / 2:
            return column
    return None

# %% [markdown]
# Then the columns with the labels must be found. If more than half of the cells of a column hold one of these texts, the column is taken for one of 0 and 1:

# %%
#| export data.labels
_BITS = {"0", "1", "-1", "0.0", "1.0"}


# %% [markdown]
# `_share_of_bits` counts them.

# %%
#| export data.labels
def _share_of_bits(cells: Sequence[str]) -> float:
    "The share of cells that hold 0, 1 or -1."
    return sum(cell in _BITS for cell in cells) / max(1, len(cells))

# %% [markdown]
# `_label_columns` chooses. The labels are in the only column besides the file names, or in one with a usual name such as `label`, or in all others if these hold 0 and 1.

# %%
#| export data.labels
def _label_columns(columns: dict[str, list[str]], aside: str | None) -> list[str]:
    "The columns that hold the labels; none if that is not clear."
    rest = [c for c in columns if c != aside]
    called = [c for c in rest if c.strip().lower() in ("label", "labels", "class", "target", "y")]
    if len(rest) == 1 or called:
        return (called or rest)[:1]
    return rest if all(_share_of_bits(columns[c]) > .5 for c in rest) else []

# %% [markdown]
# A single column of labels must have no empty cell. Several columns must hold 0 and 1 only. `_odd_cell` finds the first cell that is something else. It counts rows as a spreadsheet does.

# %%
#| export data.labels
def _odd_cell(columns: dict[str, list[str]], chosen: Sequence[str], what: str,
              bits: bool) -> str | None:  # whether the columns hold 0 and 1
    "Where a column holds no label, in words; None if all cells do."
    first = 1 if next(iter(columns)) == "column 1" else 2  # below the names of the columns
    odd = ((row, c, cell) for c in chosen for row, cell in enumerate(columns[c], first)
           if (cell not in _BITS if bits else not cell))
    row, column, cell = min(odd, default=(0, "", ""))
    expected = "0 or 1" if bits else "a label"
    said = f"row {row} of {what}, column {column}: expected {expected}"
    return f"{said}, got {repr(cell)[:40] if cell else 'an empty cell'}" if row else None

# %% [markdown]
# A table beside pictures may hold something else, such as captions. Then it gives no labels, and a note says why: the sentence of `_why_no_labels`.

# %%
#| export data.labels
def _why_no_labels(columns: dict[str, list[str]], names: Sequence[str], what: str) -> str | None:
    "Why a table holds no labels of these files; None if it does."
    files = _file_column(columns, names)
    if files is None:
        return f"no column of {what} names the files, such as {names[0]}"
    chosen, rest = _label_columns(columns, files), [c for c in columns if c != files]
    if not chosen:
        return (f"which column of {what} holds the labels? It has {first_few(rest)}; "
                "call one of them label, or leave only columns of 0 and 1")
    cells = columns[chosen[0]]
    if len(chosen) == 1 and len(cells) > 20 and len(set(cells)) > len(cells) / 2:
        return f"column {chosen[0]} of {what} has {len(set(cells)):,} different values, no classes"
    return _odd_cell(columns, chosen, what, len(chosen) > 1)

# %% [markdown]
# If the table does hold labels, `_table_labels` reads them.

# %%
#| export data.labels
def _table_labels(columns: dict[str, list[str]], names: Sequence[str], what: str) -> LabelSet:
    "Labels from a table with a column of file names."
    if why := _why_no_labels(columns, names, what):
        raise ValueError(why)
    files = _file_column(columns, names)
    chosen = _label_columns(columns, files)
    rows, notes = _by_name(columns[files], names)
    notes.insert(0, f"Labels by file name from {what}, columns {files} and {first_few(chosen)}.")
    if len(chosen) == 1:
        found = class_labels([columns[chosen[0]][row] for row in rows])
    else:
        x = np.array([[float(columns[c][row]) for c in chosen] for row in rows])
        found = encode_labels(x, chosen)
    return found._replace(notes=notes)

# %% [markdown]
# StyleGAN's archives hold a `dataset.json`: pairs of a file's name and its class, or null. `_json_labels` reads it.

# %%
#| export data.labels
def _json_labels(data: bytes, names: Sequence[str], what: str) -> LabelSet | None:
    "Labels from a `dataset.json`; None if it says that there are none."
    found = json.loads(data)
    pairs = found.get("labels") if isinstance(found, dict) and "labels" in found else found
    if pairs is None:
        return None
    pairs = list(pairs.items() if isinstance(pairs, dict) else pairs)
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"{what}: expected pairs of a file name and a label")
    rows, notes = _by_name([str(name) for name, _ in pairs], names)
    values = [pairs[row][1] for row in rows]
    many = isinstance(values[0], list)
    labels = encode_labels(np.array(values)) if many else class_labels(values)
    return labels._replace(notes=[f"Labels by file name from {what}.", *notes])

# %% [markdown]
# A `metadata.jsonl` has one JSON object in each line. `_jsonl_columns` makes columns of it.

# %%
#| export data.labels
def _jsonl_columns(data: bytes) -> dict[str, list[str]]:
    "Columns of a file with one JSON object a line."
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    return {key: [str(row.get(key, "")) for row in rows] for key in dict.fromkeys(
        key for row in rows for key in row)}

# %% [markdown]
# If there are no labels, `_no_labels` returns an empty set with a note that says why.

# %%
#| export data.labels
def _no_labels(note: str) -> LabelSet:
    "No labels, and why."
    return LabelSet(torch.zeros(0, dtype=torch.int64), [], [note])

# %% [markdown]
# Without a table of labels, sub-folders are the classes: `cat/1.png` is a cat. `_folder_labels` reads them. Folders called train and test are not classes: the error asks for one of them.

# %%
#| export data.labels
def _folder_labels(names: Sequence[str]) -> LabelSet | None:
    "Labels from the first folder in each name; None if there are none."
    first = [name.split("/")[0] if "/" in name else None for name in names]
    known = set(first)
    if known <= {None} or len(known) == 1:
        inner = ["/".join(name.split("/")[1:]) for name in names]
        return _folder_labels(inner) if known != {None} else None
    if {w.lower() for w in known if w} <= {"train", "test", "val", "valid", "validation"}:
        raise ValueError(f"it holds {', '.join(sorted(w for w in known if w))}; name one of them")
    if None in known:
        return _no_labels("Some pictures are in sub-folders and others are not: no labels were "
                          "taken.")
    found = class_labels(first)
    said = f"Labels from the sub-folders: {first_few(found.label_names)}."
    return found._replace(notes=[said])

# %% [markdown]
# These are the names of tables that are looked for, in this order. `labels.csv` is a usual name. Hugging Face uses `metadata.csv` and `metadata.jsonl`.

# %%
#| export data.labels
LABEL_FILES = ("labels.csv", "labels.tsv", "metadata.csv", "metadata.jsonl", "dataset.json")

# %% [markdown]
# `labels_beside` takes the first of these tables that is there. If there is none, it takes the sub-folders.

# %%
#| export data.labels
def labels_beside(members: Members, names: Sequence[str]) -> LabelSet | None:
    "Labels from a table among the files, or from the sub-folders."
    there = {name.rsplit("/", 1)[-1].lower(): name for name in members.names
             if name.count("/") <= 1}
    for what in LABEL_FILES:
        if what not in there:
            continue
        with members.open(there[what]) as file:
            data = file.read()
        if what == "dataset.json":
            found = _json_labels(data, names, there[what])
        else:
            columns = _jsonl_columns(data) if what.endswith("l") else \
                table_columns(read_cells(data))
            why = _why_no_labels(columns, names, there[what])
            if why:
                return _no_labels(f"No labels were taken: {why}.")
            found = _table_labels(columns, names, there[what])
        if found:
            return found
    return _folder_labels(names)

# %% [markdown]
# A file of labels may also be given by the user, as `.txt`, `.csv`, `.tsv`, `.npy` or `.json`. Its lines belong to the examples in their order, or by name. `table.csv:column` takes one column of a table. `_path_and_column` divides such a text.

# %%
#| export data.labels
def _path_and_column(source: str | Path) -> tuple[Path, str | None]:
    "A file of labels, and the column that the source names, or None."
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise TypeError(f"source: expected a path, got {source!r:.60}")
    path, column = Path(source), None
    if not path.exists() and ":" in str(source):
        whole, _, column = str(source).rpartition(":")
        path = Path(whole)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, expected a file of labels, such as labels.csv")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return path, column

# %% [markdown]
# A table may be needed twice: for its columns before the pictures are read, and for the labels afterwards. A `LabelFile` reads it once.

# %%
#| export data.labels
class LabelFile:
    "A file of labels, which is read when it is first needed and then kept."
    def __init__(self, source: str | Path):  # .txt, .csv, .tsv, .npy, .json, or table.csv:column
        self.path, self.column = _path_and_column(source)
        self.kind = self.path.suffix.lower()

    @functools.cached_property
    def data(self) -> bytes:
        "All of the file."
        return self.path.read_bytes()

    @functools.cached_property
    def cells(self) -> list[list[str]]:
        "The cells of a table, row by row."
        return read_cells(self.data)

    def rows(self, names: list[str] | None) -> list[list[str]]:
        "The cells of a text, row by row; the lines of a .txt file are cut if they name the files."
        return _lines(self.data, names) if self.kind == ".txt" else self.cells

# %% [markdown]
# `read_labels` is the function that other modules call. It returns one label for each example.

# %%
#| export data.labels
def read_labels(source: str | Path | LabelFile,
                names: Sequence[str] | int,  # the files that were read, or how many examples
                ) -> LabelSet:
    "The labels of these examples; `ValueError` if the count or the names do not match."
    file = source if isinstance(source, LabelFile) else LabelFile(source)
    n = check_int("names", names) if not isinstance(names, Sequence) else len(names)
    known = list(names) if isinstance(names, Sequence) else None
    found = readable(file.path, lambda: _label_file(file, known, n))
    if len(found.labels) != n:
        raise ValueError(f"{file.path}: it holds {len(found.labels):,} labels for {n:,} examples")
    return found

# %% [markdown]
# Reading pictures may take minutes. `attribute_names` reads the names of the attributes before that, and finds wrong cells.

# %%
#| export data.labels
def attribute_names(source: str | Path | LabelFile) -> list[str]:
    "The columns of 0 and 1 of a text table; `ValueError` names a cell that is something else."
    file = source if isinstance(source, LabelFile) else LabelFile(source)
    if file.kind not in (".csv", ".tsv", ".txt"):
        return []
    return readable(file.path, lambda: _bit_columns(file))

# %% [markdown]
# `_bit_columns` finds the columns of 0 and 1. In a table of one or two columns, a column may also hold classes, such as 0 to 9. There it is taken for an attribute only if more than nine in ten cells are 0 or 1.

# %%
#| export data.labels
def _bit_columns(file: LabelFile) -> list[str]:
    "The columns that are meant to hold 0 and 1, all of whose cells do."
    columns = table_columns(file.rows(None))
    if file.column is not None:
        columns = {c: cells for c, cells in columns.items() if c == file.column}
    least = .5 if len(columns) > 2 else .9
    chosen = [c for c, cells in columns.items() if _share_of_bits(cells) > least]
    if odd := _odd_cell(columns, chosen, file.path.name, True) if chosen else None:
        raise ValueError(odd)
    return chosen

# %% [markdown]
# `_json_file` reads a `.json` file. It holds a list of labels in the order of the examples, or names the files.

# %%
#| export data.labels
def _json_file(data: bytes, names: Sequence[str] | None, what: str) -> LabelSet:
    "Labels from a .json file: a list of words or numbers, or files and their labels."
    found = json.loads(data)
    if isinstance(found, list) and not any(isinstance(value, (list, dict)) for value in found):
        return encode_labels(np.array(found))._replace(
            notes=[f"Labels in the order of the examples from {what}."])
    if names is None:
        raise ValueError("it names files, but the examples have no file names; expected a list "
                         "of labels")
    labels = _json_labels(data, names, what)
    if labels is None:
        raise ValueError("its labels are null")
    return labels

# %% [markdown]
# `_label_file` chooses by the ending of the name.

# %%
#| export data.labels
def _label_file(file: LabelFile, names: list[str] | None, n: int) -> LabelSet:
    "Labels by the kind of file."
    kind, what = file.kind, file.path.name
    if kind == ".npy":
        found = encode_labels(np.load(file.path, allow_pickle=False))
    elif kind == ".json":
        return _json_file(file.data, names, what)
    elif kind in (".csv", ".tsv", ".txt"):
        return _text_labels(file, names, n)
    else:
        raise ValueError(f"expected .txt, .csv, .tsv, .npy or .json, got {kind or 'no suffix'}")
    return found._replace(notes=[f"Labels in the order of the examples from {what}."])

# %% [markdown]
# A `.txt` file has one label in each line, or a file's name and a label. `_lines` divides the lines.

# %%
#| export data.labels
def _lines(data: bytes, names: list[str] | None) -> list[list[str]]:
    "The lines of a text, cut into a name and a label if they name the files."
    lines = [line.strip() for line in plain_text(data).splitlines() if line.strip()]
    if lines and lines[0].isdecimal() and len(lines) == int(lines[0]) + 2:
        return [["file", *lines[1].split()], *[line.split() for line in lines[2:]]]  # CelebA's own
    pairs = [re.split(r"[\s,;]+(?=\S+$)", line, maxsplit=1) for line in lines]
    files = [pair[0] for pair in pairs]
    if names and all(len(p) == 2 for p in pairs) and _file_column({"": files}, names) is not None:
        return pairs
    return [[line] for line in lines]

# %% [markdown]
# `_text_labels` finds the labels in these lines, or in a table that may have other columns too.

# %%
#| export data.labels
def _text_labels(file: LabelFile, names: list[str] | None, n: int) -> LabelSet:
    "Labels from a table or from lines."
    rows, column, what = file.rows(names), file.column, file.path.name
    if not rows:
        raise ValueError("it is empty")
    if len(rows[0]) == 1 and column in (None, rows[0][0]):
        return _one_column([row[0] for row in rows], file.data, n, what)
    columns = table_columns(rows)
    if column is not None and column not in columns:
        raise ValueError(f"there is no column {column}; it has {first_few(list(columns))}")
    if names and _file_column(columns, names) is not None:
        files = _file_column(columns, names)
        chosen = columns if column is None else {c: columns[c] for c in (files, column)}
        return _table_labels(chosen, names, what)
    strange = [c for cells in columns.values() for c in cells if c.lower().endswith(SUFFIXES)]
    if names and strange:
        raise ValueError(f"it names files, such as {strange[0]}, none of which was read")
    return _column_labels(columns, column, what)

# %% [markdown]
# `_one_column` reads a file with one label in each line, with or without a header. A line that was left empty by mistake is an error.

# %%
#| export data.labels
def _one_column(values: list[str], data: bytes, n: int, what: str) -> LabelSet:
    "Labels from lines."
    if len(values) == n + 1 and values[0] not in values[1:]:
        values = values[1:]  # below a header
    lines = plain_text(data).rstrip().splitlines()
    empty = [row for row, line in enumerate(lines, 1) if not line.strip(' \t",;')]
    if empty and not (len(values) == n and values[0] in values[1:]):
        raise ValueError(f"row {empty[0]} of {what} is empty, expected a label")
    said = f"Labels in the order of the examples from {what}."
    return class_labels(values)._replace(notes=[said])

# %% [markdown]
# `_column_labels` reads a table without names of files. Its labels are in the order of the rows.

# %%
#| export data.labels
def _column_labels(columns: dict[str, list[str]], column: str | None, what: str) -> LabelSet:
    "Labels from a column, in the order of the rows."
    chosen = [column] if column else _label_columns(columns, None)
    if not chosen:
        raise ValueError("no column names the files that were read, and which one holds the "
                         f"labels is not clear; say which: {what}:{list(columns)[-1]}")
    if odd := _odd_cell(columns, chosen, what, len(chosen) > 1):
        raise ValueError(odd)
    said = [f"Labels in the order of the rows from {what}, {first_few(chosen)}."]
    if len(chosen) > 1:
        x = np.array([[float(cell) for cell in columns[c]] for c in chosen]).T
        return encode_labels(x, chosen)._replace(notes=said)
    return class_labels(columns[chosen[0]])._replace(notes=said)

# %% [markdown]
# **Check.** The rows of a table with file names find their files in any order. A wrong number of labels and a file without a label are refused.

# %%
(folder / "labels.csv").write_text("file,label\n10.png,cat\n2.png,dog\n1.png,cat\n")
(folder / "labels.txt").write_text("cat\ndog\n")
files = ["1.png", "2.png", "10.png"]
labels = read_labels(folder / "labels.csv", files)
assert [labels.label_names[i] for i in labels.labels] == ["cat", "dog", "cat"]
bad = [error_message(read_labels, folder / "labels.txt", files),
       error_message(read_labels, folder / "labels.csv", ["3.png", "2.png"])]
[message.replace(f"{folder}/", "") for message in bad]

# %% [markdown]
# ## Arrays
# ### NumPy
# `read_npy` maps a `.npy` file into memory: the operating system reads from the disk only what is used. The file is mapped anew for each part, because after a map is closed, the system may free its memory.

# %%
#| export data.array_files
def read_npy(path: Path) -> FoundRows:
    "An array, mapped anew for each part, so that what was read can be forgotten."
    mapped = functools.partial(np.load, path, mmap_mode="r", allow_pickle=False)
    if mapped().dtype.kind not in "biufc":
        raise ValueError(f"expected numbers, got {mapped().dtype.type.__name__}")
    return FoundRows(mapped().shape, lambda index: _native(mapped()[index]))

# %% [markdown]
# A file may come from a machine that stores the bytes of a number in the other order. torch accepts only the order of this machine, so `_native` converts them.

# %%
#| export data.array_files
def _native(x: np.ndarray) -> np.ndarray:
    "In this machine's byte order."
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))

# %% [markdown]
# An archive or a dictionary may hold several arrays. The examples are the one array whose name is not in this list. If several are left, the user must choose, by `file.npz:name`.

# %%
#| export data.array_files
LABEL_NAMES = {"labels", "label", "y", "targets", "target", "classes", "class"}

# %% [markdown]
# `_choose` finds the array of examples, and that of the labels, if it has as many rows. `arr_0` and `arr_1` are the names that `np.savez` gives to arrays without a name: these are taken as examples and labels if `arr_1` has one axis.

# %%
#| export data.array_files
def _choose(path: Path, name: str, arrays: dict[str, Any],  # shapes are all that is needed
            ) -> tuple[str, str | None]:
    "Which array holds the examples, and which the labels, or None."
    if name and name not in arrays:
        raise ValueError(f"it holds no {name}, but {', '.join(arrays)}")
    others = [key for key in arrays if key.lower() not in LABEL_NAMES]
    labels = [key for key in arrays if key.lower() in LABEL_NAMES]
    if others == ["arr_0", "arr_1"] and len(arrays["arr_1"].shape) == 1:
        others, labels = ["arr_0"], ["arr_1"]
    if not name and len(others) != 1 and len(arrays) > 1:
        raise ValueError(f"it holds {', '.join(arrays)}; say which: {path}:{[*arrays][0]}")
    chosen = name or (others or list(arrays))[0]
    n = arrays[chosen].shape[:1]
    labels = [key for key in labels if key != chosen and arrays[key].shape[:1] == n]
    return chosen, labels[0] if len(labels) == 1 else None

# %% [markdown]
# `read_npz` reads an archive of arrays. Its arrays cannot be mapped, so the examples are read at once. Arrays that are not needed are not read.

# %%
#| export data.array_files
def read_npz(path: Path, name: str = "") -> FoundRows:
    "An array of an archive, and its labels."
    with np.load(path, allow_pickle=False) as archive:
        if not archive.files:
            raise ValueError("it holds no array")
        shapes = {key: archive[key] if key == "arr_1" or key.lower() in LABEL_NAMES else
                  _Shape(archive, key) for key in archive.files}
        chosen, labels = _choose(path, name, shapes)
        x = _native(archive[chosen])
        return _with_labels(FoundRows(x.shape, lambda index: x[index]),
                            labels, labels and archive[labels])

# %% [markdown]
# The shape of an array in an archive is in its head. `_Shape` reads the head only.

# %%
#| export data.array_files
class _Shape:
    "The shape of an array in an archive, from its head."

    def __init__(self, archive: Any, key: str):
        with archive.zip.open(f"{key}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) \
                else np.lib.format.read_array_header_2_0
            self.shape = read(file)[0]

# %% [markdown]
# `_with_labels` adds the labels to the rows. Labels that cannot be understood are left out, and a note says so.

# %%
#| export data.array_files
def _with_labels(rows: FoundRows, name: str | None, labels: Any) -> FoundRows:
    "The rows with the labels that were found beside them."
    if name is None:
        return rows
    try:
        found = encode_labels(np.asarray(labels))
    except ValueError as error:
        rows.notes.append(f"{name} was not taken as labels: {error}.")
        return rows
    rows.labels, rows.label_names = found.labels, found.label_names
    rows.notes.append(f"Labels from the array {name}.")
    return rows

# %% [markdown]
# ### torch
# A `.pt` file may hold one tensor, a list of batches, a list of pairs of examples and labels, or a dictionary of such. `_tensor_lists` turns each of these into a dictionary of lists of tensors.

# %%
#| export data.array_files
def _tensor_lists(found: Any) -> dict[str, list[Tensor]]:
    "Tensors by name, each as a list of parts; the name of a single one is x."
    if isinstance(found, Tensor):
        return {"x": [found.detach()]}
    if isinstance(found, dict):
        lists = {str(key): _tensor_lists(value).get("x", []) for key, value in found.items()
                 if isinstance(value, (Tensor, list, tuple))}
        return {key: value for key, value in lists.items() if value}
    items = list(found) if isinstance(found, (list, tuple)) else []
    if len(items) == 2 and all(isinstance(t, Tensor) for t in items) and _are_labels(*items):
        return {"x": [items[0].detach()], "labels": [items[1]]}
    if items and all(isinstance(t, Tensor) for t in items):
        return {"x": _batches([t.detach() for t in items])}
    if items and all(isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], Tensor)
                     and isinstance(p[1], Tensor) and p[1].shape[:1] == p[0].shape[:1]
                     for p in items):
        return {"x": [p[0].detach() for p in items], "labels": [p[1] for p in items]}
    return {}

# %% [markdown]
# `_are_labels` recognises a pair of examples and labels: the second tensor has one whole number for each example.

# %%
#| export data.array_files
def _are_labels(x: Tensor, labels: Tensor) -> bool:
    "Whether the second tensor may hold classes of the first."
    return (labels.ndim == 1 and x.ndim > 1 and len(labels) == len(x)
            and not labels.is_floating_point())

# %% [markdown]
# A list of tensors may be a list of batches or of single examples. If all have the shape of a point or of a picture, they are single examples, and `_batches` gives each of them a batch axis.

# %%
#| export data.array_files
def _batches(items: list[Tensor]) -> list[Tensor]:
    "Parts with a batch axis and equal examples."
    shape = items[0].shape
    single = len({t.shape for t in items}) == 1 and (
        len(shape) < 2 or len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 3)
    items = [t[None] for t in items] if single else items
    if any(not t.ndim or t.shape[1:] != items[0].shape[1:] for t in items):
        raise ValueError(f"it holds {len(items)} tensors of unlike shapes: "
                         f"{', '.join(sorted({str(tuple(t.shape)) for t in items})[:4])}")
    return items

# %% [markdown]
# `_rows_of_parts` takes rows from a list of parts, without joining the parts.

# %%
#| export data.array_files
def _rows_of_parts(parts: list[Tensor], index: np.ndarray) -> Tensor:
    "Rows by their number, counted through all parts."
    if len(parts) == 1:
        return parts[0][index]
    ends = np.cumsum([len(part) for part in parts])
    which = np.searchsorted(ends, index, side="right")
    out = parts[0].new_empty(len(index), *parts[0].shape[1:])
    for k in np.unique(which):
        here = torch.from_numpy(np.flatnonzero(which == k))
        out[here] = parts[k][index[here.numpy()] - (ends[k] - len(parts[k]))].to(out.dtype)
    return out

# %% [markdown]
# `_load_pt` maps the file. Files of old versions of torch cannot be mapped. They are read once.

# %%
#| export data.array_files
def _load_pt(path: Path) -> Callable[[], Any]:
    "A function that returns what the file holds; nothing but tensors is loaded."
    load = functools.partial(torch.load, path, map_location="cpu", weights_only=True)
    try:
        load(mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        found = load()
        return lambda: found
    return functools.partial(load, mmap=True)

# %% [markdown]
# `read_pt` reads a `.pt` file. If the file holds other objects than tensors, torch's error is long, and names the option that would load them. Here the error is short.

# %%
#| export data.array_files
def read_pt(path: Path, name: str = "") -> FoundRows:
    "Tensors of a .pt file, mapped rather than read."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch tells of pickles that are refused all the same
            load = _load_pt(path)
    except Exception as error:  # a pickle, a file that was cut off, another format
        code = "weights_only" in str(error) or "Unsupported" in str(error)
        why = "it holds objects other than tensors, which are never loaded" if code else error
        raise ValueError(str(why).partition("\n")[0]) from error
    lists = _tensor_lists(load())
    if not lists:
        raise ValueError("expected a tensor, a list of batches or a dictionary of tensors")
    shapes = {key: _Joined(parts) for key, parts in lists.items()}
    chosen, labels = _choose(path, name, shapes)
    rows = FoundRows(shapes[chosen].shape,
                     lambda index: _rows_of_parts(_tensor_lists(load())[chosen], index))
    if len(lists[chosen]) > 1:
        rows.notes.append(f"A list of {len(lists[chosen]):,} tensors was joined.")
    return _with_labels(rows, labels, labels and torch.cat(lists[labels]).numpy())

# %% [markdown]
# `_Joined` holds the shape of several parts together.

# %%
#| export data.array_files
class _Joined:
    "The shape of parts that are joined along their first axis."

    def __init__(self, parts: list[Tensor]):
        self.shape = parts[0].shape
        if len(parts) > 1:
            self.shape = (sum(map(len, parts)), *parts[0].shape[1:])

# %% [markdown]
# `read_safetensors` reads a `.safetensors` file. This format holds tensors and no code. It is mapped as well.

# %%
#| export data.array_files
def read_safetensors(path: Path, name: str = "") -> FoundRows:
    "A tensor of a .safetensors file, and its labels."
    from safetensors import safe_open

    def tensor(key: str) -> Tensor:
        with safe_open(path, "pt") as file:
            return file.get_tensor(key)
    with safe_open(path, "pt") as file:
        tensors = {key: _Joined([file.get_tensor(key)]) for key in file.keys()}
    if not tensors:
        raise ValueError("it holds no tensor")
    chosen, labels = _choose(path, name, tensors)
    rows = FoundRows(tensors[chosen].shape, lambda index: tensor(chosen)[index])
    return _with_labels(rows, labels, labels and tensor(labels).numpy())

# %% [markdown]
# ## Pictures in arrays
# An array does not say what its axes and numbers mean. Many programs store pictures with the channels last, as `(n, height, width, channels)`. torch has the channels first. The values may be bytes, or floats in [0, 1], in [-1, 1] (from a generator that ends in tanh), or from 0 to 255. Two sets of the same pictures in different ranges would look entirely different to a measure. `are_pictures` recognises pictures by their shape.

# %%
#| export data.picture_arrays
def are_pictures(shape: tuple[int, ...]) -> bool:
    "Whether an array of this shape holds pictures."
    if len(shape) == 3:
        return min(shape[1:]) >= 8
    return len(shape) == 4 and (shape[1] in (1, 3) or shape[3] in (1, 3, 4)) \
        and sorted(shape[1:])[1] >= 2

# %% [markdown]
# `channels_last` says where the channels are. They are last if the last axis has 1, 3 or 4 entries, and the axis after the first has neither 1 nor 3.

# %%
#| export data.picture_arrays
def channels_last(shape: tuple[int, ...]) -> bool:
    "Whether pictures of this shape are stored as (n, height, width, channels)."
    return len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3)

# %% [markdown]
# `value_range` finds the range of the values from some rows. For floats it uses the quantiles 0.001 and 0.999 and not the extremes, because a generator without a bound may leave its range a little.

# %%
#| export data.picture_arrays
def value_range(x: Tensor) -> tuple[str, float, float]:
    "The range that values of pictures are in, and what to add and to multiply for [0, 1]."
    low, high = (float(v) for v in np.quantile(x.double().numpy(), (.001, .999)))
    if not x.is_floating_point():
        top = int(x.max())
        step = 1 if top <= 1 else 255 if top <= 255 else 65535
        known = int(x.min()) >= 0 and top <= 65535
        return (f"0 to {step}", 0., 1 / step) if known else (f"{low:.4g} to {high:.4g}", 0., 1.)
    if low >= -.25 and high <= 1.25:
        return "[0, 1]", 0., 1.
    if low >= -1.5 and high <= 1.5:
        return "[-1, 1]", 1., .5
    if high > 16 and low > -.1 * high and high <= 271:
        return "0 to 255", 0., 1 / 255
    return f"{low:.4g} to {high:.4g}", 0., 1.

# %% [markdown]
# `_some_rows` chooses the rows, evenly spread. Their number depends on the size of a row.

# %%
#| export data.picture_arrays
def _some_rows(rows: FoundRows) -> np.ndarray:
    "Indices of up to 256 rows, evenly spread."
    most = max(4, min(256, (1 << 22) // max(1, math.prod(rows.shape[1:]))))
    return np.unique(np.linspace(0, rows.shape[0] - 1, min(most, rows.shape[0])).astype(np.int64))

# %% [markdown]
# `as_pictures` converts axes and values. Both conversions are made when rows are taken, so nothing is copied now.

# %%
#| export data.picture_arrays
def as_pictures(rows: FoundRows, background: float = .5) -> FoundRows:
    "Rows with channels first and values in [0, 1], if they are pictures; what was done is noted."
    if not are_pictures(rows.shape) or not rows.shape[0]:
        return rows
    index = _some_rows(rows)
    some = torch.as_tensor(rows.take(index))
    if some.is_complex() or some.is_floating_point() and not bool(torch.isfinite(some).all()):
        return rows  # refused when it is read
    if some.dtype != torch.uint8:
        some = some.float() if some.is_floating_point() else some.long()
    name, add, times = value_range(some)
    notes, last = [], channels_last(rows.shape)
    shape = tuple(rows.shape[i] for i in (0, 3, 1, 2)) if last else rows.shape
    alpha = last and shape[1] == 4
    convert = _conversion(last, alpha, add, times, background)
    looked = f"{len(index):,} of {shape[0]:,} rows looked at, evenly spread"
    notes += [_range_note(name, looked)] if (add, times) != (0, 1) or name != "[0, 1]" else []
    notes += ["Axes: channels last, (n, height, width, channels); put first."] if last else []
    notes += [f"Four channels: laid on a ground of grey {background:g}."] if alpha else []
    shape = (shape[0], 3, *shape[2:]) if alpha else shape
    return dataclasses.replace(rows, shape=shape, notes=notes + rows.notes,
                               take=lambda i: convert(torch.as_tensor(rows.take(i))))

# %% [markdown]
# `_conversion` is what is done to each part of the rows.

# %%
#| export data.picture_arrays
def _conversion(last: bool, alpha: bool, add: float, times: float,
                background: float) -> Callable[[Tensor], Tensor]:
    "What is done to each part of the rows."
    def convert(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if last else x
        if not x.is_floating_point() or (add, times) != (0, 1):
            divide = not add and times < 1  # x / 255, bit for bit as elsewhere
            x = x.float() / round(1 / times) if divide else (x.float() + add) * times
        if alpha:
            x = x[:, :3] * x[:, 3:] + background * (1 - x[:, 3:])
        return x
    return convert

# %% [markdown]
# `_range_note` writes the note. A range that is none of the known ones is left as it is, and the note says so.

# %%
#| export data.picture_arrays
def _range_note(name: str, looked: str) -> str:
    "What was found about the values."
    if name in ("0 to 1", "0 to 255", "0 to 65535", "[-1, 1]"):
        return f"Values {'in ' * (name[0] == '[')}{name} ({looked}): mapped to [0, 1]."
    return f"Values {name} ({looked}): no range of pictures, left as they are."

# %% [markdown]
# **Check.** The same five pictures are stored in six forms: as bytes, in [0, 1], in [-1, 1], as floats from 0 to 255, with the channels last, and in 16 bits. All give the same rows.

# %%
pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 9), np.uint8)
same = [pixels, pixels / 255, pixels / 127.5 - 1, pixels.astype(float),
        pixels.transpose(0, 2, 3, 1), pixels.astype(np.uint16) * 257]
found = [as_pictures(FoundRows(x.shape, x.__getitem__)) for x in same]
every = np.arange(5)
assert all(np.allclose(f.take(every), pixels / 255, atol=1e-6) for f in found)
[f.notes for f in found]

# %% [markdown]
# ## Hugging Face
# The library `datasets` of Hugging Face saves a set as a folder of Arrow files, and many sets on its hub are `.parquet` files. Both need `pyarrow`. This package is large, so it is optional. `_pyarrow` imports it.

# %%
#| export data.arrow_files
def _pyarrow() -> Any:
    "The module `pyarrow`."
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError("Arrow and Parquet files are read with pyarrow, which is not installed: "
                         "pip install pyarrow") from error
    return pyarrow

# %% [markdown]
# `arrow_folder` finds the files of such a set. If the folder holds several splits, such as train and test, the user must name one of them.

# %%
#| export data.arrow_files
def arrow_folder(path: Path) -> list[Path] | None:
    "The files of a saved set in their order; None if the folder is something else."
    splits = path / "dataset_dict.json"
    if splits.is_file():
        names = json.loads(splits.read_text("utf-8"))["splits"]
        if len(names) != 1:
            raise ValueError(f"it holds {', '.join(names)}; name one of them: {path / names[0]}")
        path = path / Path(names[0]).name
    if (path / "state.json").is_file():
        state = json.loads((path / "state.json").read_text("utf-8"))
        if state.get("_indices_data_files"):
            raise ValueError("its rows were chosen or shuffled without being written anew; call "
                             "flatten_indices() before save_to_disk")
        return [path / Path(file["filename"]).name for file in state["_data_files"]]
    files = sorted(path.rglob("*.parquet"), key=lambda p: natural_key(p.as_posix()))
    parts = {file.name.split("-")[0] for file in files}
    if len(parts) > 1 and any("-of-" in file.name for file in files):
        raise ValueError(f"it holds {', '.join(sorted(parts))}; name the files of one of them")
    return files or None

# %% [markdown]
# `read_arrow` reads the files. An Arrow file is mapped. A Parquet file is read into memory, but its pictures stay compressed as PNG or JPEG.

# %%
#| export data.arrow_files
def read_arrow(files: list[Path], **options: Any) -> FoundRows:
    "The rows of Arrow or Parquet files: pictures, or a table."
    pa = _pyarrow()
    tables = []
    for file in files:
        if file.suffix == ".parquet":
            tables.append(pa.parquet.read_table(file))
            continue
        source = pa.memory_map(str(file))
        try:
            tables.append(pa.ipc.open_stream(source).read_all())
        except pa.ArrowInvalid:
            tables.append(pa.ipc.open_file(source).read_all())
    return _arrow_rows(pa, pa.concat_tables(tables), files[0], options)

# %% [markdown]
# `read_parquet` reads a single file.

# %%
#| export data.arrow_files
def read_parquet(path: Path, **options: Any) -> FoundRows:
    "The rows of one .parquet or .arrow file."
    return read_arrow([path], **options)

# %% [markdown]
# A cell of a table is one number or one text. `datasets` can also keep a picture as a list of lists. As text, each such picture would be a category of its own. So `_cells` refuses lists.

# %%
#| export data.arrow_files
def _cells(column: str, values: list[Any]) -> list[str]:
    "The cells of a column as text; `ValueError` if they are lists, structures or bytes."
    if any(isinstance(v, (list, dict, bytes)) or hasattr(v, "shape") for v in values):
        raise ValueError(f"column {column}: expected one number or text a cell, got lists, "
                         "structures or bytes; save arrays as .npy, and pictures as files")
    return ["" if v is None else str(v) for v in values]

# %% [markdown]
# `_arrow_rows` makes examples of the rows. A column of pictures has a field of bytes and usually one of paths. Without such a column, the rows are a table.

# %%
#| export data.arrow_files
def _arrow_rows(pa: Any, table: Any, path: Path, options: dict) -> FoundRows:
    "Pictures with their labels, or the rows of a table."
    pictures = [f.name for f in table.schema if pa.types.is_struct(f.type)
                and "bytes" in [f.type.field(i).name for i in range(f.type.num_fields)]]
    if not pictures:
        return read_table({name: _cells(name, table[name].to_pylist())
                           for name in table.column_names})
    if len(pictures) > 1:
        raise ValueError(f"it holds several columns of pictures: {', '.join(pictures)}")
    column = table[pictures[0]]
    names = [f"row {i}" for i in range(len(column))]

    def read(name: str) -> io.BytesIO:
        data = column[int(name[4:])].as_py()["bytes"]
        if data is None:
            raise ValueError("its bytes are not in the file, only a path")
        return io.BytesIO(data)
    rows = read_pictures(Members(path, names, read), names, **options)
    return _arrow_labels(table, rows)

# %% [markdown]
# `_arrow_labels` reads the labels. `datasets` writes the names of the classes into the metadata of the file.

# %%
#| export data.arrow_files
def _arrow_labels(table: Any, rows: FoundRows) -> FoundRows:
    "The rows with the labels in the column called label, if there is one."
    column = next((c for c in table.column_names if c in ("label", "labels", "class")), None)
    if column is None:
        return rows
    told = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    kind = told.get("info", {}).get("features", {}).get(column, {})
    values = table[column].to_pylist()
    chosen = [values[int(name[4:])] for name in rows.names]
    if not all(isinstance(v, (int, str)) for v in chosen):
        rows.notes.append(f"The column {column} was not taken as labels: it holds no classes.")
        return rows
    found = class_labels(chosen, kind.get("names"))
    rows.labels, rows.label_names = found.labels, found.label_names
    rows.notes.append(f"Labels from the column {column}.")
    return rows

# %% [markdown]
# ## Any of them
# A million pictures may not fit into memory. So a `SampleFile` only knows the shape of what is in a file, and reads examples when they are asked for by their indices. This is the object that users and other modules get.

# %%
#| export
@dataclass
class SampleFile:
    "Examples in a file, read when they are asked for, by their indices; see `open_samples`."
    path: Path
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], Any] = field(repr=False)  # indices to examples
    names: list[str] | None = field(default=None, repr=False)  # of the files; None: rows
    labels: Tensor | None = field(default=None, repr=False)  # int64, (n,), or (n, k) of 0 and 1
    label_names: list[str] | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)  # what was done, in sentences
    table: dict[str, list[str]] | None = field(default=None, repr=False)  # columns of a table
    how: str = field(default="", repr=False)  # which array of the file, and on which ground

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        part = readable(self.path, lambda: torch.as_tensor(self.take(index.numpy())))
        try:
            return check_batch(self.path.name, pictures_to_floats(part))
        except ValueError as error:
            part_only = str(error).endswith("examples") and len(index) < len(self)
            read = f" that were read, of {len(self):,} in all" * part_only
            raise ValueError(f"{error}{read}") from None

# %% [markdown]
# `pictures_to_floats` turns pictures in bytes into numbers in [0, 1]. Labels may be bytes, too, so only an array with more than two axes counts as pictures.

# %%
#| export
def pictures_to_floats(x: Tensor) -> Tensor:
    "Pictures in bytes as floats in [0, 1]; all else as it is."
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor, got {x!r:.60}")
    return x.float() / 255 if x.dtype == torch.uint8 and x.ndim > 2 else x

# %% [markdown]
# `_folder` decides whether a folder is a saved set of `datasets` or a folder of pictures.

# %%
#| export
def _folder(path: Path, **options: Any) -> FoundRows:
    "A folder by what is in it."
    files = arrow_folder(path)
    members = folder_members(path)
    if files and not members.pictures():
        return read_arrow(files, **options)
    return _labelled(members, **options)

# %% [markdown]
# `_labelled` reads pictures, and the labels that are found beside them.

# %%
#| export
def _labelled(members: Members, **options: Any) -> FoundRows:
    "Pictures with the labels that stand beside them."
    rows = read_pictures(members, **options)
    found = labels_beside(members, rows.names)
    if found is not None:
        rows.notes += found.notes
        if len(found.labels):
            rows.labels, rows.label_names = found.labels, found.label_names
    return rows

# %% [markdown]
# `is_archive` says by the ending of the name whether a file is an archive of pictures.

# %%
#| export
def is_archive(path: Path) -> bool:
    "Whether the name of a file is that of an archive, such as .zip or .tar.gz."
    endings = r"\.(zip|tar|tgz|tbz2|txz|tar\.(gz|bz2|xz))$"
    return re.search(endings, path.name.lower()) is not None


# %% [markdown]
# `_read` chooses the reader by the ending of the name. Arrays then go through `as_pictures`.

# %%
#| export
def _read(path: Path, name: str, options: dict) -> FoundRows:
    "The rows of a file or folder, by its kind."
    kind = path.suffix.lower()
    arrays = {".npz": read_npz, ".pt": read_pt, ".pth": read_pt, ".safetensors": read_safetensors}
    if path.is_dir():
        return _folder(path, **options)
    if kind in (".npy", *arrays):
        rows = arrays[kind](path, name) if kind in arrays else read_npy(path)
        return as_pictures(rows, options["background"])
    if kind in (".csv", ".tsv"):
        return table_file(path)
    if kind in (".parquet", ".arrow"):
        return read_parquet(path, **options)
    if is_archive(path):
        members = zip_members if kind == ".zip" else tar_members
        return _labelled(members(path), **options)
    raise ValueError(_unknown_kind(kind))

# %% [markdown]
# If there is no reader for a file, `_unknown_kind` says what to do.

# %%
#| export
def _unknown_kind(kind: str) -> str:
    "Why a file of this kind is not read."
    if kind in (".pkl", ".pickle", ".joblib"):
        return "pickles run code when they are loaded, so none is read; save arrays with numpy.save"
    if kind in SUFFIXES:
        return "one picture; name the folder it is in"
    return ("expected .npy, .npz, .pt, .safetensors, .csv, .tsv, .parquet, .zip, .tar or a folder "
            f"of pictures, got {kind or 'no suffix'}")

# %% [markdown]
# `resize_rows` resizes pictures from arrays in the same way as those from picture files.

# %%
#| export
def resize_rows(rows: Any,  # `FoundRows` or `SampleFile`
                size: tuple[int, int]) -> Any:
    "The same rows of pictures, (n, channels, height, width), at another size."
    def take(index: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(rows.take(index)).float().numpy()
        return np.stack([fit_picture(picture, size) for picture in x])
    return dataclasses.replace(rows, shape=(*rows.shape[:2], *size), take=take)

# %% [markdown]
# `open_samples` is the function that users and other modules call. `file.npz:name` names an array in a file.

# %%
#| export
def open_samples(source: str | Path,  # a folder of pictures, .zip, .tar, .npy, .npz, .pt, .csv, …
                 *, size: int | tuple[int, int] | None = None,  # of pictures: height, width
                 skip_bad: bool = False,  # leave damaged files out
                 background: float | int = .5,  # under pictures with alpha: 0 black, 1 white
                 progress: bool = True) -> SampleFile:
    "The examples of a file or folder, with names, labels and notes; pickled objects are refused."
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise TypeError(f"source: expected a path, got {source!r:.60}")
    path, name, target = Path(source), "", check_size(size)
    inside = re.fullmatch(r"(.*\.(?:npz|pt|pth|safetensors)):(.+)", str(source), re.I | re.S)
    if inside and not path.exists():
        path, name = Path(inside[1]), inside[2]
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    options = dict(size=target, skip_bad=skip_bad, progress=progress,
                   background=check_number("background", background, 0, 1))
    rows = readable(path, lambda: _resized(_read(path, name, options), target))
    if not rows.shape:
        raise ValueError(f"{path}: expected examples along a first axis, got a single number")
    rows.shape = tuple(rows.shape)
    return SampleFile(path, **vars(rows), how=f"{name!r} {options['background']}")

# %% [markdown]
# `_resized` resizes the rows if a size was asked for. Only pictures have a size.

# %%
#| export
def _resized(rows: FoundRows, size: tuple[int, int] | None) -> FoundRows:
    "The rows at the size asked for."
    if size is None or rows.shape[-2:] == size:
        return rows
    if len(rows.shape) == 3:
        known = are_pictures(rows.shape)
        rows = dataclasses.replace(rows, shape=(rows.shape[0], 1, *rows.shape[1:]), take=lambda
                                   index, take=rows.take: torch.as_tensor(take(index))[:, None])
        rows = rows if known else as_pictures(rows)  # small ones: their range is still unknown
    if len(rows.shape) != 4:
        raise ValueError(f"size: expected pictures, got examples of shape {rows.shape[1:]}")
    height, width = rows.shape[2:]
    rows.notes.append(f"Pictures of {height}×{width} were cropped about the centre and resized to "
                      f"{size[0]}×{size[1]}, the size asked for (bicubic, antialiased).")
    return resize_rows(rows, size)

# %%
np.save(folder / "points.npy", np.arange(20.).reshape(10, 2))
rows = open_samples(folder / "points.npy")
assert rows[torch.tensor([3, 9])].tolist() == [[6, 7], [18, 19]]
rows.shape, len(rows)

# %% [markdown]
# **Check.** The file from the beginning of the chapter is refused. So are an array of text and a pickle under another name.

# %%
import pickle

np.save(folder / "text.npy", np.array(["a", "b"]))
(folder / "table.csv").write_bytes(pickle.dumps(Surprise(), protocol=0))
messages = [error_message(open_samples, folder / "surprise.npy"),
            error_message(open_samples, folder / "text.npy"),
            error_message(open_samples, folder / "table.csv")]
assert "objects" in messages[0] and "this line" not in str(messages)
[message.replace(f"{folder}/", "") for message in messages]

# %% [markdown]
# ## In parts
# A measure goes through all examples in parts of bounded size. `index_parts` divides the indices into parts, for a tensor or for a file.

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
# `show_parts` shows a progress bar, because many parts may take long. A single part gets no bar: some loops search hundreds of small sets, and each would show one.

# %%
#| export
def show_parts(parts: Sequence[Any], what: str) -> Iterable[Any]:
    "The parts, one after the other; a progress bar if several take more than a second."
    if len(parts) < 2:
        return parts
    return tqdm(parts, what, unit=" parts", leave=False, disable=None, delay=1)

# %%
few = [torch.zeros(3)]
assert show_parts(few, "looking") is few
assert [len(part) for part in show_parts(torch.arange(5).split(2), "looking")] == [2, 2, 1]

# %% [markdown]
# Features are computed part by part. `torch.cat` of all parts would need the memory twice. So `join_parts` makes one tensor when it knows the shape of the first part, and copies each part into it.

# %%
#| export
def join_parts(parts: Iterable[Tensor],  # (some, *event) each
               n: int,  # rows of all parts together
               ) -> Tensor:  # (n, *event)
    "The parts as one tensor, never held twice."
    joined, first = None, 0
    for part in parts:
        joined = part.new_empty(n, *part.shape[1:]) if joined is None else joined
        if part.shape[1:] != joined.shape[1:]:
            raise ValueError(f"parts: expected rows of shape {tuple(joined.shape[1:])} as before, "
                             f"got {tuple(part.shape[1:])}")
        joined[first:first + len(part)] = part
        first += len(part)
    if joined is None or first != n:
        raise ValueError(f"parts: expected {n} rows in all, got {first}")
    return joined

# %%
assert join_parts((torch.full((2, 3), float(i)) for i in range(4)), 8).sum(1).tolist() == [
    0, 0, 3, 3, 6, 6, 9, 9]

# %% [markdown]
# `read_samples` reads a whole file into one tensor, or a random part of the examples.

# %%
#| export
def read_samples(source: str | Path | SampleFile,  # as for `open_samples`, or what it returned
                 most: int | None = None,  # read at most so many examples, chosen at random
                 generator: torch.Generator | None = None,
                 **options: Any) -> Tensor:  # of `open_samples`
    "Examples from a file, pictures in [0, 1]; a large .npy or .pt is never held twice."
    rows = source if isinstance(source, SampleFile) else open_samples(source, **options)
    generator, chosen = generator_or_default(generator), torch.arange(len(rows))
    if most is not None and check_int("most", most) < len(rows):
        chosen = torch.randperm(len(rows), generator=generator)[:most].sort().values
    return join_parts((rows[part] for part in index_parts(rows, chosen)), len(chosen))

# %% [markdown]
# **Check.** Five pictures are stored in a `.npy`, in a `.npz`, in a `.pt` and in a folder. All four give the same tensor.

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
names = ["a.npy", "b.npz", "c.pt", "d"]
read = [read_samples(f"{folder}/{name}").reshape(5, 6, 4) for name in names]
assert all(torch.allclose(x, torch.tensor(pixels) / 255) for x in read)
open_samples(folder / "b.npz").labels, read_samples(folder / "a.npy", most=2).shape

# %% [markdown]
# ## Two sources that do not match
# Samples and training data often come from different programs. `match_sources`, at the end of this section, brings them to one shape where only one way makes sense, and says what it did. The first step is about axes: grey pictures may have an axis for one channel or none, and rows of 784 numbers are pictures of 28×28 if the reference has such pictures. `_changed` makes a source whose examples are changed when they are read.

# %%
#| export data.matching
def _changed(source: SampleFile, event: Sequence[int], change: Callable[[Tensor], Tensor],
             *notes: str) -> SampleFile:
    "The same examples after a change that is made when they are read."
    return dataclasses.replace(
        source, shape=(len(source), *event), notes=[*source.notes, *notes],
        take=lambda index: change(source[torch.as_tensor(index)]))

# %% [markdown]
# `_reshaped` gives the examples another shape, with the numbers in the same order.

# %%
#| export data.matching
def _reshaped(source: SampleFile, event: Sequence[int], *notes: str) -> SampleFile:
    "The same numbers in examples of another shape."
    return _changed(source, event, lambda x: x.reshape(-1, *event), *notes)

# %% [markdown]
# `_unflatten` turns flat rows into pictures. A row must have as many numbers as the pictures have pixels, or three times as many for colour. Then the range of its values is found as for other pictures.

# %%
#| export data.matching
def _unflatten(source: SampleFile, like: tuple[int, ...]) -> SampleFile:
    "Flat rows as pictures of the height and width in `like`."
    width, pixels = source.shape[1], math.prod(like[1:])
    if width not in (pixels, 3 * pixels):
        raise ValueError(f"{source.path.name}: {width} numbers an example do not make a picture of "
                         f"{like[1]}×{like[2]}; save it with its axes, (n, channels, height, "
                         "width)")
    event = (width // pixels, *like[1:])
    said = (f"{source.path.name}: rows of {width:,} numbers were read as pictures {event}, "
            "channels first.")
    found = _reshaped(source, event, said)
    rows = as_pictures(FoundRows(found.shape, lambda i: found[torch.as_tensor(i)]))
    return dataclasses.replace(found, take=rows.take, notes=[*found.notes, *rows.notes])

# %% [markdown]
# `_match_axes` brings all sources to the same number of axes. Shapes that differ only in axes of length one are reshaped. If there are pictures, all become (n, channels, height, width).

# %%
#| export data.matching
def _match_axes(sources: list[SampleFile]) -> list[SampleFile]:
    "Sources whose examples have the same number of axes."
    event = sources[0].shape[1:]
    long = [n for n in event if n > 1]
    sources = [_reshaped(s, event) if s.shape[1:] != event and
               [n for n in s.shape[1:] if n > 1] == long else s for s in sources]
    if len({s.shape[1:] for s in sources}) == 1:
        return sources
    sources = [_reshaped(s, [n for n in s.shape[1:] if n > 1]) if len(s.shape) > 2 and
               sum(n > 1 for n in s.shape[1:]) == 1 else s for s in sources]
    sources = [_reshaped(s, (1, *s.shape[1:])) if len(s.shape) == 3 else s for s in sources]
    pictures = [s.shape[1:] for s in sources if len(s.shape) == 4]
    if pictures:
        sources = [_unflatten(s, pictures[0]) if len(s.shape) == 2 else s for s in sources]
    return sources

# %% [markdown]
# The second step is about channels. `_is_grey` says whether the channels are equal in every picture.

# %%
#| export data.matching
def _is_grey(source: SampleFile) -> bool:
    "Whether all channels of all pictures are equal, to half a step of 255."
    for part in index_parts(source, torch.arange(len(source))):
        x = source[part]
        if float((x - x[:, :1]).abs().max()) > .5 / 255:
            return False
    return True

# %% [markdown]
# If some sources have one channel and others three, `_match_channels` decides. If all are grey, they get one channel. If one is in colour, all get three.

# %%
#| export data.matching
def _match_channels(sources: list[SampleFile]) -> list[SampleFile]:
    "Sources with one channel, or all with three."
    if {len(s.shape) for s in sources} != {4} or len({s.shape[1] for s in sources}) == 1:
        return sources
    if not {s.shape[1] for s in sources} <= {1, 3}:
        return sources  # refused at the end
    grey = [s.shape[1] == 1 or _is_grey(s) for s in sources]
    if all(grey):
        said = "its three channels are equal: taken as grey, as the other pictures are."
        return [s if s.shape[1] == 1 else _changed(
            s, (1, *s.shape[2:]), lambda x: x[:, :1], f"{s.path.name}: {said}") for s in sources]
    said = "grey pictures were given three equal channels, since the others show colour."
    return [s if s.shape[1] == 3 else _changed(
        s, (3, *s.shape[2:]), lambda x: x.expand(-1, 3, -1, -1), f"{s.path.name}: {said}")
        for s in sources]

# %% [markdown]
# The third step is about sizes. `_match_sizes` brings the larger pictures to the size of the smaller ones. If the smaller ones were enlarged, they would be blurred, and a measure would find this difference.

# %%
#| export data.matching
def _match_sizes(sources: list[SampleFile]) -> list[SampleFile]:
    "Sources with pictures of the smallest size among them."
    if {len(s.shape) for s in sources} != {4} or not {s.shape[1] for s in sources} <= {1, 3}:
        return sources
    size = min((s.shape[2:] for s in sources), key=math.prod)
    out = []
    for s in sources:
        said = (f"{s.path.name}: pictures of {s.shape[2]}×{s.shape[3]} were cropped about the "
                f"centre and resized to {size[0]}×{size[1]}, the smallest size (bicubic, "
                "antialiased).")
        if s.shape[2:] != size:
            same = _changed(s, s.shape[1:], lambda x: x, said)
            s = resize_rows(same, size)
        out.append(s)
    return out

# %% [markdown]
# For tables, `_match_tables` encodes all of them by the reference.

# %%
#| export data.matching
def _match_tables(sources: list[SampleFile]) -> list[SampleFile]:
    "Tables encoded by the first one."
    lacking = [s.path.name for s in sources if s.table is None]
    if lacking:
        raise ValueError(f"{first_few(lacking)}: expected a table, as the others are")
    reference, *others = [s.table for s in sources]
    table = TableEncoder.fit(reference, others)
    table.unlike = [re.sub(r"^Table (\d+)", lambda m: sources[int(m[1]) - 1].path.name, note)
                    for note in table.unlike]
    out = []
    for s in sources:
        try:
            x = table.encode(s.table)
        except ValueError as error:
            raise ValueError(f"{s.path.name}: {error}") from error
        notes = table.notes() if s is sources[0] else []
        out.append(dataclasses.replace(s, shape=x.shape, notes=notes, table=None,  # done once
                                       take=lambda index, x=x: x[index]))
    return out

# %% [markdown]
# If the values are still in different ranges, such as [0, 1] and an unknown one, no step can repair that. `_unlike_units` writes a warning, and it comes first in the notes.

# %%
#| export data.matching
def _unlike_units(sources: list[SampleFile], sure: bool = False) -> list[str]:
    "A note if the values of the sources lie in unlike ranges; `sure`: in unlike known ones."
    if any(s.table is not None for s in sources) or min(map(len, sources)) < 1:
        return []
    found = []
    for s in sources:
        rows = torch.linspace(0, len(s) - 1, min(len(s), 64)).long()
        found.append(value_range(s[rows])[0])
    bounded = {"[0, 1]", "[-1, 1]", "0 to 255"}
    kinds = bounded & {*found}
    if not sure and not bounded >= {*found}:
        kinds.add("unknown")
    wide = math.prod(sources[0].shape[1:]) >= 64  # flat pictures, perhaps
    if len(kinds) < 2 or len(sources[0].shape) < 3 and not (
            wide and "0 to 255" in kinds and "unknown" not in kinds):
        return []
    listed = "; ".join(f"{s.path.name}: {f}" for s, f in zip(sources, found))
    return [f"The values are in unlike ranges ({listed}). If these are unlike units, nothing "
            "below can be trusted: bring them to one."]

# %% [markdown]
# `_check_matched` refuses all other differences. The error says what to do.

# %%
#| export data.matching
def _check_matched(sources: list[SampleFile]) -> None:
    "Refuse sources whose examples still differ in shape."
    if len({s.shape[1:] for s in sources}) > 1:
        listed = "; ".join(f"{s.path.name}: {tuple(s.shape[1:])}" for s in sources)
        raise ValueError(f"the examples have unlike shapes ({listed}); save them with the same "
                         "axes, (n, channels, height, width) for pictures, (n, numbers) for points")

# %% [markdown]
# Tensors and arrays can be matched as well. `_as_source` makes a `SampleFile` of them.

# %%
#| export data.matching
def _as_source(source: Any, name: str) -> SampleFile:
    "A file that was opened, or a tensor or array as one."
    if isinstance(source, SampleFile):
        return source
    x = source if isinstance(source, Tensor) else torch.as_tensor(check_batch(name, source))
    rows = as_pictures(FoundRows(tuple(x.shape), lambda index: x[torch.as_tensor(index)].cpu()))
    return SampleFile(Path(name), **vars(rows))

# %% [markdown]
# `_match_shapes` does all these steps for files that were opened.

# %%
#| export data.matching
def _match_shapes(sources: list[SampleFile]) -> list[SampleFile]:
    "Sources with examples of one shape, tables by the encoding of the first; refuses the rest."
    if any(s.table is not None for s in sources):
        sources = _match_tables(sources)
    else:
        for step in (_match_axes, _match_channels, _match_sizes):
            sources = step(sources)
    _check_matched(sources)
    return sources

# %% [markdown]
# `match_sources` takes tensors and arrays, too, and tells what was done. A source that is None stays None.

# %%
#| export data.matching
def match_sources(reference: Any,  # `SampleFile`, a tensor or an array
                  *others: Any,  # to be matched to it; None stays None
                  ) -> tuple[list[SampleFile | None], list[str]]:
    "All sources with examples of one shape, and notes on what was done, the gravest first."
    sources = [None if s is None else _as_source(s, f"source {i}" if i else "reference")
               for i, s in enumerate((reference, *others))]
    given = [s for s in sources if s is not None]
    before = [len(s.notes) if s is old else 0
              for s, old in zip(sources, (reference, *others)) if s is not None]
    if any(s.table is not None for s in given):
        before = [0] * len(given)
    given = _match_shapes(given)
    notes = _unlike_units(given) + [
        note if note.startswith(s.path.name) else f"{s.path.name}: {note}"
        for s, n in zip(given, before) for note in s.notes[n:]]
    found = iter(given)
    return [None if s is None else next(found) for s in sources], notes

# %% [markdown]
# **Check.** Rows of 64 bytes, and colour pictures of another size whose channels are equal, are matched to a grey reference of 8×8.

# %%
grey = torch.rand(20, 1, 8, 8)
flat = (grey * 255).byte().reshape(20, 64)
large = torch.rand(20, 1, 12, 16).expand(-1, 3, -1, -1)
sources, notes = match_sources(grey, flat, large, None)
assert [s and s.shape for s in sources] == [(20, 1, 8, 8)] * 3 + [None]
assert (sources[1][torch.arange(20)] - grey).abs().max() < 1 / 255
notes

# %%
error_message(match_sources, grey, torch.rand(20, 50))

# %% [markdown]
# ## Keep what was computed
# The features of 50,000 pictures may take minutes to compute, and the reference is the same at each audit. So features are kept in a cache. `content_key` makes the key: the SHA-256 of names and bytes. A file that has changed has another key.

# %%
#| export data.feature_cache
def content_key(source: str | Path | SampleFile) -> str:
    "SHA-256 over the names and bytes of a file or folder, and over how it was opened."
    opened = source if isinstance(source, SampleFile) else None
    if opened is None and not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source: expected a path or a SampleFile, got {source!r:.60}")
    path = opened.path if opened else Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    how = (opened.shape, opened.notes, opened.how) if opened else None
    told = hashlib.sha256(repr(how).encode())
    members = folder_members(path) if path.is_dir() else None
    for name in members.names if members else [path.name]:
        with open(path / name if members else path, "rb") as file:
            told.update(f"\0{name}\0{os.fstat(file.fileno()).st_size}\0".encode())
            while piece := file.read(1 << 20):
                told.update(piece)
    return told.hexdigest()

# %% [markdown]
# A file of the cache also holds the SHA-256 of its key and its tensors, computed by `_tensor_digest`. So a file that is damaged, cut off or renamed is noticed, and its content is computed again.

# %%
#| export data.feature_cache
def _tensor_digest(key: str, parts: dict[str, Tensor]) -> str:
    "SHA-256 over a key and over the names, types, shapes and bytes of tensors."
    told = hashlib.sha256(key.encode())
    for name, x in sorted(parts.items()):
        told.update(f"\0{name}\0{x.dtype}\0{tuple(x.shape)}\0".encode())
        told.update(x.flatten().view(torch.uint8).numpy())
    return told.hexdigest()

# %% [markdown]
# `_load` reads a file of the cache.

# %%
#| export data.feature_cache
def _load(path: Path) -> Tensor | dict[str, Tensor] | None:
    "What was kept; None if there is nothing, or if it is damaged or was kept under another key."
    try:
        data = path.read_bytes()
        found = safetensors.torch.load(data)
        head = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    except (OSError, SafetensorError, ValueError):
        return None
    if head.get("__metadata__", {}).get("sha256") != _tensor_digest(path.stem, found):
        return None
    return found["value"] if list(found) == ["value"] else found

# %% [markdown]
# `cache_places` says where the cache is. What belongs to `photos/train` is kept in `photos/.modelab/train`. It is not inside `photos/train`, because `ImageFolder` of torchvision would take it for a class there. If this place cannot be written, as on a read-only disk, the user's own cache is used: `$XDG_CACHE_HOME/modelab`, by default `~/.cache/modelab`. With `MODELAB_CACHE=DIR` everything is kept in `DIR`. Use this if `photos` itself is read as a set of classes. The cache may be deleted at any time.

# %%
#| export data.feature_cache
def cache_places(source: str | Path) -> list[Path]:
    "Where things about a file or folder are kept: the first of these that can be written."
    path = Path(os.path.abspath(source))
    told = f"{path.name[:40]}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    if own := os.environ.get("MODELAB_CACHE"):
        return [Path(own).expanduser().absolute() / told]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    users = [Path(base, "modelab", told)] if os.path.isabs(base) else []
    return [path.parent / ".modelab" / (path.name or "root"), *users]

# %% [markdown]
# `_keep` writes a file into the first of these places that can be written.

# %%
#| export data.feature_cache
def _keep(places: list[Path], name: str, data: bytes) -> OSError | None:
    "Write a file into the first folder that can be written; the last error if there is none."
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            return atomic_write(place / name, data)
        except OSError as error:
            last = error
    return last

# %% [markdown]
# `cached` is the function that other modules call. It looks for the key in all these places. If it finds nothing, it computes and keeps the result. If nothing can be written, the result is returned all the same.

# %%
#| export data.feature_cache
def cached(source: str | Path,  # a file or a folder that `compute` reads
           key: str,  # such as a `content_key` and the name of the network
           compute: Callable[[], Tensor | dict[str, Tensor]],
           notes: list[str] | None = None,  # gets a sentence if nothing can be kept
           ) -> Tensor | dict[str, Tensor]:
    "What `compute` returns, kept in one of `cache_places(source)` for the next time."
    if not isinstance(key, str) or not re.fullmatch(r"\w[\w.+-]{0,200}", key):
        raise ValueError(f"key: expected letters, digits, - . + _, got {key!r:.60}")
    places, name = cache_places(source), f"{key}.safetensors"
    known = (_load(place / name) for place in places)
    found = next((kept for kept in known if kept is not None), None)
    if found is None:
        found = compute()
        parts = {"value": found} if isinstance(found, Tensor) else found
        parts = {name: x.detach().cpu().contiguous().clone() for name, x in parts.items()}
        told = {"sha256": _tensor_digest(key, parts)}
        failed = _keep(places, name, safetensors.torch.save(parts, told))
        if failed is not None and notes is not None:
            reason = failed.strerror or "it cannot be written"
            notes.append(f"Nothing was kept in {places[-1]}: {reason}.")
    return found

# %% [markdown]
# **Check.** The second call computes nothing.

# %%
key = content_key(folder / "d")
calls = []
for _ in range(2):
    kept = cached(folder / "d", key, lambda: calls.append(1) or torch.eye(2))
assert len(calls) == 1 and torch.equal(kept, torch.eye(2)) and key == content_key(folder / "d")
[path.name[:12] for path in (folder / ".modelab/d").iterdir()]

# %% [markdown]
# ## MNIST from its four files
# MNIST comes as four files in a format of its own, *idx*. A file begins with four bytes that say what kind of numbers follow and how many axes there are. Then come the length of each axis, and one byte for each number.

# %%
#| export data.mnist
MNIST = {"train-images-idx3-ubyte": "9.9 MB", "train-labels-idx1-ubyte": "29 kB",
         "t10k-images-idx3-ubyte": "1.6 MB", "t10k-labels-idx1-ubyte": "4.5 kB"}

# %% [markdown]
# The error for a missing file says what is missing and how to get it. This text is used in all such errors.

# %%
#| export data.mnist
_FILES = ", ".join(f"{name}.gz ({size})" for name, size in MNIST.items())
_HOW = (f"MNIST is four files, {_FILES}: put them, gzipped or not, into one folder and name it, "
        "as in mnist(folder) or by the environment variable MODELAB_DATA; data_scripts/mnist.py "
        "fetches them")

# %% [markdown]
# The header may be wrong. A file of a few bytes may announce gigabytes. So `_idx_shape` compares the announced length with what the file can hold: gzip compresses at most 1032 bytes into one.

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
# `_read_exactly` reads the numbers in pieces into one buffer, which becomes the tensor. So the pixels are in memory only once.

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
# `idx_files` finds the files in a folder that is given, or in the data folder `MODELAB_DATA`. The data folder may hold MNIST's files themselves, or a folder for each set. Fashion-MNIST's files have the same names, so in the data folder they must be in a folder of their own, `fashion_mnist`.

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
# `_idx` gives the pictures of a set. The same files are read only once. Files count as the same if path, size and time of change are equal.

# %%
#| export data.mnist
def _idx(name: str, folder: str | Path | None) -> DigitArchive:
    "The archive of a set of four idx files."
    stats = [(path, path.stat()) for path in idx_files(name, folder)]
    return _read_idx_set(*((path, s.st_size, s.st_mtime_ns) for path, s in stats))

# %% [markdown]
# `_read_idx_set` reads the four files. Files of other sets in the same format are refused, because the classifier that names the modes is made for 28×28 pixels and ten classes.

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
# Three mode sets are made of such files. `mnist` has the digits.

# %%
#| export data.mnist
@register_mode_set
def mnist(folder: str | None = None,  # of the idx files, or its parent; default: MODELAB_DATA
          split: str = "train",  # or "held_out": the test files
          ) -> DigitSet:
    "Ten modes: MNIST, 28×28; 60,000 digits to train on and 10,000 held out, from four idx files."
    return DigitSet(_idx("mnist", folder), split, 1, functools.partial(mnist, folder))

# %% [markdown]
# `stacked_mnist` is a common benchmark of mode coverage: three random digits, as the three channels of one picture, make one of a thousand modes.

# %%
#| export data.mnist
@register_mode_set
def stacked_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "A thousand modes: three MNIST digits as the channels of one picture."
    return DigitSet(_idx("mnist", folder), split, 3, functools.partial(stacked_mnist, folder))

# %% [markdown]
# `fashion_mnist` has clothes. Shirts look like coats, so look at the accuracy of the classifier that names the modes (`judge.accuracy`, chapter [6.21](21_digits.ipynb)) before you trust a count.

# %%
#| export data.mnist
@register_mode_set
def fashion_mnist(folder: str | None = None, split: str = "train") -> DigitSet:  # as for `mnist`
    "Ten modes: the clothes of Fashion-MNIST, in files of MNIST's format."
    make = functools.partial(fashion_mnist, folder)
    return DigitSet(_idx("fashion_mnist", folder), split, 1, make)

# %% [markdown]
# **Check.** Four small files of noise in the format of MNIST are found, by their own folder and by the folder above it. A folder that does not exist gives an error that says how to get the files.

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
# **1.** Suppose that `open_samples` should also read `.txt` files with one point in each line. Which two things must the new reader return?
#
# **2.** Why does `read_idx` compare the header with the size of the file before it reads on?

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** The shape of all examples, and a function from an array of indices to an array of those examples. A text has no index by which single rows could be found, so the reader reads all of it once, as `table_file` does.
#
# **2.** A file of a hundred bytes may announce four gigabytes. With the comparison it is refused at once. Without it, a small gzipped file could be unpacked until the memory is full.
# </details>

# %% [markdown]
# ## Recap
# - Files of samples hold pictures, numbers or tables. Pickled objects, which could run a program, are refused.
# - `notes` say what was converted, resized or left out. `match_sources` brings samples and reference to one form.
# - A `SampleFile` is read in parts, by indices. `read_samples` reads all of it into one tensor.
# - The header of an idx file may be wrong. The length that it announces is compared with what the file can hold.
