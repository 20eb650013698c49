# %% [markdown]
# # Digits as a mode set, and the classifier that reads them
# > How does a set of pictures know its modes, and why does the same data give the same classifier?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does a set of pictures know its modes, and why does the same data give the same classifier? |
# | **You will be able to** | make a set of labelled pictures; say what is stored of a fitted classifier, and when it is fitted again |
# | **Needs** | [0.3](../0_start/03_modes.ipynb) |
# | **Time** | about 10 seconds |
#
# This chapter is for contributors, and for users who want to make a set of labelled pictures of their own (section *Sets of scans*). To use the digits, call `digits()` or `stacked_digits()`. Chapter 0.3 uses these sets, and measures the errors of the classifier.

# %%
#| default_exp data.digits

# %%
#| export
"Handwritten digits as mode sets: digits, stacked digits, and the classifier that names modes."
from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F

from modelab.core.checks import check_batch, check_choice, check_number
from modelab.core.files import atomic_write
from modelab.core.registry import register_mode_set
from modelab.core.seeding import rand
from modelab.data.mixtures import ModeSet

# %%
import gzip
import tempfile

from modelab.core.checks import error_message
from modelab.course.notebooks import patch
from modelab.data.mnist import read_idx

# %% [markdown]
# ## The scans, in two splits
# scikit-learn contains 1,797 handwritten digits. In each class two of every nine scans are *held out*: no model is trained on them.

# %%
#| export
def _load_digits() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    "scikit-learn's 8×8 scans: uint8 images 0…16 and labels, in two splits."
    from sklearn.datasets import load_digits
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.uint8)
    labels = torch.tensor(data.target, dtype=torch.int64)
    rank = torch.stack([(labels == c).cumsum(0) - 1 for c in range(10)])
    rank = rank[labels, torch.arange(len(labels))]  # of a scan in its class
    held = (rank % 9 == 3) | (rank % 9 == 7)
    return {"train": (images[~held], labels[~held]), "held_out": (images[held], labels[held])}

# %% [markdown]
# ## The classifier
# A classifier says which mode a picture shows. The code calls it the *judge*. The network has two strided convolutions and two linear layers. `_hidden` is all of it but the last layer, and gives the 64 numbers from which it decides:

# %%
#| export
def _hidden(layers: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    "The numbers (n, 64) before the last of the `layers`, for (n, h, w) in [-1, 1]."
    x = x.unsqueeze(1)
    for weight, bias in zip(layers[:4:2], layers[1:4:2]):
        x = F.conv2d(x, weight, bias, stride=2, padding=2).relu()
    return F.linear(x.flatten(1), *layers[4:6]).relu()

# %% [markdown]
# `_votes` is the whole network. It gives ten scores, one for each class. (These are called logits, too, but here the softmax of all ten makes the probabilities, not a sigmoid.)

# %%
#| export
def _votes(layers: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    "Logits (n, classes) of the network `layers` (weight, bias, …) for (n, h, w) in [-1, 1]."
    return F.linear(_hidden(layers, x), *layers[6:])

# %% [markdown]
# `augment_pictures` rotates and shifts the scans at random (data augmentation). This reduces overfitting.

# %%
#| export
def augment_pictures(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    "Pictures (n, h, w) turned by up to .15 radians and moved by up to a sixteenth of their size."
    u = rand(3, len(x), generator=generator, device=x.device, dtype=x.dtype)
    turn, *move = (u * 2 - 1).unbind()
    turn, move = turn * .15, [m / 8 for m in move]  # the picture is 2 wide
    rows = [turn.cos(), -turn.sin(), move[0], turn.sin(), turn.cos(), move[1]]
    rows = torch.stack(rows, 1).reshape(-1, 2, 3)
    where = F.affine_grid(rows, [len(x), 1, *x.shape[1:]], align_corners=False)
    return F.grid_sample((x + 1).unsqueeze(1), where, align_corners=False).squeeze(1) - 1

# %% [markdown]
# The classifier must not be confident about pictures that show no digit. So it is also trained on such pictures, called *junk*. One half of the junk is uniform noise. The other half is scans with shuffled pixels, which have the grey levels of real scans.

# %%
#| export
def _junk(x: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    "`n` pictures that show nothing: one half uniform noise, the other scans with shuffled pixels."
    noise = torch.rand(n - n // 2, *x.shape[1:], generator=generator, dtype=x.dtype) * 2 - 1
    order = torch.randperm(x[0].numel(), generator=generator)
    return torch.cat([noise, x[:n // 2].flatten(1)[:, order].unflatten(1, x.shape[1:])])


# %% [markdown]
# `DigitClassifier` holds the fitted layers. It measures its accuracy and its confusion matrix on held-out scans, because a mode count is only as reliable as the classifier behind it.

# %%
#| export
class DigitClassifier:
    """A digit classifier with a confidence, which gives the mode of a picture.

    `accuracy` and `confusion` (row: truth, column: verdict) come from `exam_size` scans that it was
    not fitted on.
    """
    def __init__(self, layers: list[torch.Tensor], exam: tuple[torch.Tensor, torch.Tensor],
                 top: int):
        images, labels = exam
        self.layers, self.event = [t.detach() for t in layers], tuple(images.shape[1:])
        k, parts = len(layers[-1]), images.split(2048)
        verdict = torch.cat([self.predict(p.float() * (2 / top) - 1)[0] for p in parts])
        self.confusion = torch.bincount(labels * k + verdict, minlength=k * k).reshape(k, k)
        self.accuracy = (verdict == labels).double().mean().item()
        self.exam_size = len(labels)

    def __repr__(self) -> str:
        return f"Judge: {self.accuracy:.1%} of {self.exam_size} held-out scans right"

# %% [markdown]
# A picture goes through the network on its device, 4,096 at a time:

# %%
#| export
@patch
def _apply(self: DigitClassifier, network: Callable, x: torch.Tensor) -> list[torch.Tensor]:
    "What `network` makes of the checked pictures (n, h, w) or (n, 1, h, w), part by part."
    x = check_batch("x", x)
    x = check_batch("x", x.squeeze(1) if x.ndim == 4 else x, self.event)
    layers = [t.to(x.device) for t in self.layers]
    return [network(layers, part.float()) for part in x.split(4096)]

# %% [markdown]
# `predict` gives the most likely class of each picture and its probability. This probability is called the *confidence*.

# %%
#| export
@patch
@torch.no_grad()
def predict(self: DigitClassifier, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    "Class and its probability, (n,) each, of pictures (n, h, w) or (n, 1, h, w) in [-1, 1]."
    votes = [v.softmax(1).max(1) for v in self._apply(_votes, x)]
    return torch.cat([v.indices for v in votes]), torch.cat([v.values for v in votes])

# %% [markdown]
# `features` gives the 64 numbers, for measures that compare pictures by what the classifier sees.

# %%
#| export
@patch
@torch.no_grad()
def features(self: DigitClassifier, x: torch.Tensor) -> torch.Tensor:
    "The numbers (n, 64) from which the class is found, of pictures as in `predict`."
    return torch.cat(self._apply(_hidden, x))

# %% [markdown]
# It is trained by AdamW with a falling learning rate. The same scans should give the same classifier each time. So the training has its own random number generator, and it runs on one thread: the order of a sum depends on the number of threads. (Another processor or another version of torch may still round differently.)

# %%
#| export
@contextmanager
def _one_thread() -> Iterator[None]:
    "Inside, torch computes on one thread: the result must not depend on their number."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small batches gain nothing from more
    try:
        yield
    finally:
        torch.set_num_threads(threads)

# %% [markdown]
# The weights start as normal numbers with the variance of He et al. (2015), two divided by the number of inputs. The biases start at zero.

# %%
#| export
def _initial_layers(h: int, w: int, k: int, g: torch.Generator) -> list[torch.Tensor]:
    "Weight and bias of two convolutions and two linear layers, for pictures (h, w) of k classes."
    shapes = [(16, 1, 5, 5), (32, 16, 5, 5), (64, 32 * -(-h // 4) * -(-w // 4)), (k, 64)]
    layers = []
    for s in shapes:
        weight = torch.randn(s, generator=g, dtype=torch.float32)
        layers += [weight * (2 / math.prod(s[1:])) ** .5, torch.zeros(s[0], dtype=torch.float32)]
    return layers

# %% [markdown]
# `_train_classifier` fits the layers by cross-entropy. For junk the target is the same probability for each class.

# %%
#| export
@torch.enable_grad()  # also when somebody first asks the judge where no gradients are recorded
def _train_classifier(train: tuple[torch.Tensor, torch.Tensor],  # images (n, h, w), labels (n,)
                      top: int,  # the brightest level: images are whole numbers 0…top
                      walk: int = 600,  # optimiser steps of 96 scans
                      junk: int = 32,  # pictures of nothing per step, to be doubtful about
                      ) -> list[torch.Tensor]:
    "The layers of a judge; the same scans give the same judge."
    images, labels = train
    g, k = torch.Generator().manual_seed(0), int(labels.max()) + 1
    layers = _initial_layers(*images.shape[1:], k, g)
    adam = torch.optim.AdamW([t.requires_grad_() for t in layers], weight_decay=1e-4, fused=True)
    doubt = torch.full((junk, k), 1 / k, dtype=torch.float32)
    with _one_thread():
        for step in range(walk):
            adam.param_groups[0]["lr"] = 5e-3 * (1 - step / walk)
            i = torch.randint(len(images), (96,), generator=g)
            x = augment_pictures(images[i].float() * (2 / top) - 1, g)
            x = torch.cat([x, _junk(x, junk, g)])
            target = torch.cat([F.one_hot(labels[i], k), doubt])
            adam.zero_grad()
            F.cross_entropy(_votes(layers, x), target).backward()
            adam.step()
    return layers

# %% [markdown]
# The same scans give the same classifier, also if torch may use more threads. Five steps of training show it:

# %%
split = _load_digits()
threads = torch.get_num_threads()

# %%
short = []
for n in (1, 2):
    torch.set_num_threads(n)
    short.append(_train_classifier(split["train"], top=16, walk=5))
torch.set_num_threads(threads)
assert all(torch.equal(a, b) for a, b in zip(*short))

# %% [markdown]
# ## Sets of scans
# `DigitArchive` holds the scans of both splits and their classifier, so that all sets over the same scans share one classifier. It is fitted at first use. For ten classes of your own, give it `splits`: a dict with images and labels for "train" and for "held_out". Images are uint8, `(n, h, w)`, and `top` is their brightest level. `walk` is the number of training steps.

# %%
#| export
class DigitArchive:
    "Labelled scans in two splits, and the judge fitted on the first; sets over them share both."
    def __init__(self, splits: dict, top: int, walk: int, keep: Path | None = None):
        self.splits, self.top, self.walk, self.keep = splits, top, walk, keep

    @functools.cached_property
    def judge(self) -> DigitClassifier:
        "Fitted at first use, or read from where an earlier process kept it."
        layers = self.keep and _read_cache(self.keep, self._stamp())
        if not layers:
            layers = _train_classifier(self.splits["train"], self.top, self.walk)
            if self.keep:
                _write_cache(self.keep, layers, self._stamp())
        return DigitClassifier(layers, self.splits["held_out"], self.top)

# %% [markdown]
# A fitted classifier can be kept in a file, which is done for MNIST below. A stamp shows whether the file is still valid. It holds hashes of the training scans and of the code that fits the classifier.

# %%
#| export
@patch
def _stamp(self: DigitArchive) -> dict[str, str]:
    "What a kept judge was made from: fingerprints of the scans and of the code that fits it."
    scans = hashlib.sha256()
    for part in self.splits["train"]:
        scans.update(part.numpy())
    parts = _train_classifier, _initial_layers, _votes, augment_pictures, _junk
    code = f"{self.walk}" + "".join(map(inspect.getsource, parts))
    return {"scans": scans.hexdigest(), "code": hashlib.sha256(code.encode()).hexdigest()}

# %% [markdown]
# `DigitSet` is a set of digits. It draws scans, one for each channel. `make` is the function that returns the set, as `digits` below; `held_out` calls it again with the other split.

# %%
#| export
class DigitSet(ModeSet):
    """Real scans, one per channel, drawn with replacement from one split.

    A mode is what they show, 100a + 10b + c. Examples are (channels, h, w) with values in [-1, 1].
    `assign` asks `judge`, a classifier fitted on the first split.
    """
    def __init__(self, archive: DigitArchive, split: str, channels: int,
                 make: Callable[..., DigitSet]):
        self._archive, self._make, self._copies = archive, make, {}
        self._split = check_choice("split", split, ["train", "held_out"])
        self._images, self._labels = archive.splits[split]
        share = torch.bincount(self._labels, minlength=10).double() / len(self._labels)
        law = functools.reduce(lambda a, b: torch.outer(a, b).flatten(), [share] * channels)
        self.n_modes, self.weights = 10 ** channels, law.float()
        self.event = (channels, *self._images.shape[1:])
        self._high = torch.ones(self.event, dtype=torch.float32)
        self._low = -self._high
        self._decimals = 10 ** torch.arange(channels - 1, -1, -1)

# %% [markdown]
# `judge` gives access to the classifier, for instance to print its accuracy.

# %%
#| export
@patch(as_prop=True)
def judge(self: DigitSet) -> DigitClassifier:
    "The classifier behind `assign`; fitted at first use, shared by all sets over these scans."
    return self._archive.judge

# %% [markdown]
# `held_out` is the same set over the held-out scans. Chapter [0.4](../0_start/04_coverage.ipynb) uses it to measure the errors of the classifier on real pictures that it was not trained on.

# %%
#| export
@patch
@functools.cached_property
def held_out(self: DigitSet) -> DigitSet | None:
    "The set over scans that neither generator nor judge has seen; None if this is that set."
    if self._split != "train":
        return None
    return self._make(split="held_out").to(self.device)

# %% [markdown]
# An example is made of scans drawn at random, one for each channel, scaled to $[-1,1]$. Its mode is the number that the digits form.

# %%
#| export
@patch
def _draw(self: DigitSet, n, generator):
    c = self.event[0]
    i = torch.randint(len(self._images), (n * c,), generator=generator, device=self.device)
    x = self._images.index_select(0, i).float().mul_(2 / self._archive.top).sub_(1)
    digit = self._labels[i].unflatten(0, (n, c))
    return x.unflatten(0, (n, c)), (digit * self._decimals).sum(1)

# %% [markdown]
# `assign` applies the classifier to each channel. An example is good if the classifier is confident about every channel.

# %%
#| export
@patch
def assign(self: DigitSet, x: torch.Tensor,  # (n, *event), values in [-1, 1]
           confidence: float = .9,  # how sure the judge must be of every channel
           ) -> tuple[torch.Tensor, torch.Tensor]:
    "The mode the judge sees, (n,) int64, and whether it is sure of every channel, (n,) bool."
    x = check_batch("x", x, self.event)
    confidence = check_number("confidence", confidence, 0, 1)
    digit, sure = (v.reshape(len(x), -1) for v in self.judge.predict(x.flatten(0, 1)))
    return (digit * self._decimals.to(x.device)).sum(1), (sure >= confidence).all(1)

# %% [markdown]
# `picture` brings examples into the form and the range that plotting functions expect.

# %%
#| export
@patch
def picture(self: DigitSet, x: torch.Tensor) -> torch.Tensor:
    "Examples to show, values in [0, 1]: (n, h, w) for one channel, else (n, h, w, channels)."
    x = check_batch("x", x, self.event).add(1).div(2).clamp(0, 1)
    return x.squeeze(1) if self.event[0] == 1 else x.movedim(1, -1)

# %% [markdown]
# `_summary` is the second half of the `repr`: the number of modes, the shape of an example, the number of scans.

# %%
#| export
@patch
def _summary(self: DigitSet) -> str:
    size = "×".join(map(str, self.event))
    return f"{self.n_modes} modes, {size} from {len(self._images)} scans"

# %% [markdown]
# Two sets are made of the 8×8 digits. They share one archive.

# %%
#| export
@functools.cache
def _digits() -> DigitArchive:
    "The archive of the digits that come with scikit-learn, opened once."
    return DigitArchive(_load_digits(), top=16, walk=600)


# %% [markdown]
# `digits` has one channel: ten modes.

# %%
#| export
@register_mode_set
def digits(split: str = "train") -> DigitSet:  # or "held_out"
    "Ten modes: 1,797 real handwritten digits of 8×8 pixels that come with scikit-learn."
    return DigitSet(_digits(), split, 1, digits)


# %% [markdown]
# `stacked_digits` has three channels: a thousand modes.

# %%
#| export
@register_mode_set
def stacked_digits(split: str = "train") -> DigitSet:  # or "held_out"
    "A thousand modes: three of the 8×8 digits as the channels of one picture."
    return DigitSet(_digits(), split, 3, stacked_digits)


# %% [markdown]
# ## A classifier in a file
# MNIST's classifier takes some fifteen seconds to fit, so it is kept in a file beside the data. `_read_cache` returns the layers only if the stamp in the file is the expected one.

# %%
#| export
def _read_cache(path: Path, stamp: dict[str, str]) -> list[torch.Tensor] | None:
    "The layers that were kept at `path` if they carry this `stamp`."
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, "pt") as file:
            return [file.get_tensor(str(i)) for i in range(8)] if file.metadata() == stamp else None
    except (OSError, SafetensorError):
        return None


# %% [markdown]
# `_write_cache` writes that file. If the folder is read-only or full, it writes nothing, and the classifier is fitted again next time.

# %%
#| export
def _write_cache(path: Path, layers: list[torch.Tensor], stamp: dict[str, str]) -> None:
    "Keep `layers` at `path`, unless the folder is marked read-only (to root, too) or has no room."
    from safetensors.torch import save
    if not path.parent.stat().st_mode & 0o222:
        return
    tensors = {str(i): t.detach().contiguous() for i, t in enumerate(layers)}
    try:
        atomic_write(path, save(tensors, stamp))
    except OSError:
        pass


# %% [markdown]
# A stored classifier is used only for the same scans and the same code:

# %%
with tempfile.TemporaryDirectory() as folder:
    path, stamp = Path(folder, "judge"), _digits()._stamp()
    _write_cache(path, short[0], stamp)
    assert all(torch.equal(a, b) for a, b in zip(_read_cache(path, stamp), short[0]))
    assert _read_cache(path, stamp | {"code": "other"}) is None

# %% [markdown]
# ## Damaged files of MNIST
# MNIST is four files in the *idx* format: a magic number, the sizes, the bytes. The reader compares the sizes in the header with the size of the file *before* it allocates memory. The next cell damages a file in six ways and shows the errors:

# %%
def told(data: bytes, kind: str = "images") -> str:
    "What `read_idx` says about a file with these bytes, without its folder."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        return error_message(read_idx, path, kind).replace(folder, "")

# %%
head = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2])
labels_file = bytes([0, 0, 8, 1, 0, 0, 0, 1, 5])
[told(b"<html>"), told(head + bytes(7)), told(head + bytes(9)), told(labels_file),
 told(head[:4] + b"\xff" * 12), told(gzip.compress(head + bytes(8))[:-9])]
