# %% [markdown]
# # Drawn picture sets with known rare attributes
# > How can picture sets be drawn for which it is known, without a classifier, what each picture shows?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can picture sets be drawn for which it is known, without a classifier, what each picture shows? |
# | **You will be able to** | train on a folder of your own pictures; draw a picture set with an exact judge; condition it on what is rare; read frames of a camera and CelebA |
# | **Needs** | [0.3](../0_start/03_modes.ipynb) |
# | **Time** | seconds |
#
# This chapter is for readers who want to train on pictures of their own, and for contributors who add a picture set. Your own pictures need one call, `image_folder`. Its code is in the section *Your own pictures*:
#
# ```python
# import torch
# from modelab import image_folder
#
# photos = image_folder("photos/", size=32)                 # each sub-folder is a mode
# photos.sample(64, torch.Generator().manual_seed(0))       # (64, 3, 32, 32), values in [-1, 1]
# photos.held_out                                           # a tenth, which training never sees
# celeba = image_folder("celeba/", attributes=["Eyeglasses", "Bald"])  # each combination is a mode
# ```
#
# The chapter exports three modules: `data.picture_folders` makes a mode set of your pictures, `data.pictures` draws street scenes and faces with known rare attributes, and `data.frames` reads the frames of a fixed camera and CelebA.

# %%
#| default_exp data.pictures

# %%
#| export
"Drawn pictures with known rare attributes: street scenes and faces."
from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from modelab.core.checks import check_batch, check_choice, check_number
from modelab.core.registry import register_mode_set
from modelab.data.mixtures import ModeSet

# %%
#| export data.frames
"Frames of a fixed camera and CelebA, read from local files; background and foreground."
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from modelab.core.checks import check_batch, check_int, check_number

# %%
import torch.nn.functional as F
from modelab.core.plotting import axes, image_grid, Picture

# %% [markdown]
# ## An empty street has a good score
# Nine pictures of ten show an empty street. A generator that draws nothing else is right for nine of ten. An average error hardly shows the fault, and a look at
# some of the pictures does not show it either. To find it we must know, for every picture, which vehicles are in it, without a classifier that might err.
#
# Drawn pictures make this possible. Let there be finitely many **clean** pictures $c_1, …, c_m$, each belonging to one mode. An example
# is one of them plus normal noise of standard deviation $σ$. If all pictures of a mode are equally frequent, and the
# noise is small compared with their distances, the most likely picture is the nearest one:
#
# $$\hat{k}(x) = \mathrm{mode}\bigl(\arg\min_i \lVert x - c_i \rVert\bigr), \qquad
# \text{good} \iff \lVert x - c_{\hat\imath} \rVert \le w\,σ\sqrt{d}.$$

# %%
from modelab.course.notebooks import patch

# %% [markdown]
# `RenderedPictures` is such a set. The bank of clean pictures is kept in the order of modes, so that a first index and a count find the pictures of a mode.

# %%
#| export
class RenderedPictures(ModeSet):
    """Pictures drawn from a finite bank of clean ones, plus normal noise, clipped to [-1, 1].

    `traits` names what a picture may show; `kinds` (n_modes, traits) says which each mode shows.
    """
    held_out = None

    def __init__(self, clean: torch.Tensor,  # (m, c, h, w), values in [-1, 1]
                 mode: torch.Tensor,  # (m,) the mode of each; every mode has at least one
                 kinds: torch.Tensor,  # (n_modes, traits) bool
                 weights: torch.Tensor,  # (n_modes,) sums to one
                 traits: Sequence[str],
                 noise: float):
        order = mode.argsort(stable=True)
        self._clean, self._mode, self._copies = clean[order].float(), mode[order], {}
        self._count = torch.bincount(mode, minlength=len(kinds))
        self._first = self._count.cumsum(0) - self._count
        self.kinds, self.weights = kinds, weights.float()
        self.traits, self.noise = tuple(traits), noise
        self.n_modes, self.event = len(kinds), tuple(clean.shape[1:])
        self._high = torch.ones(self.event, dtype=torch.float32)
        self._low = -self._high

# %% [markdown]
# To draw an example, choose a mode by its weight, then a picture of this mode, and add noise.

# %%
#| export
@patch
def _draw(self: RenderedPictures, n, generator):
    mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
    u = torch.rand(n, generator=generator, device=self.device, dtype=torch.float64)
    x = self._clean[self._first[mode] + (u * self._count[mode]).long()]
    noise = torch.randn(x.shape, generator=generator, device=self.device, dtype=torch.float32)
    return noise.mul_(self.noise).add_(x).clamp_(-1, 1), mode

# %% [markdown]
# The function that says what a picture shows is called the *judge* here. Its core is `_nearest`, which finds the nearest clean picture. The length of $x$ does not change which one is nearest and is left out.

# %%
#| export
@patch
@torch.no_grad()
def _nearest(self: RenderedPictures, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mode of the nearest clean picture, (n,), and its distance per pixel, root mean
    square, (n,) float32.
    """
    x, here = check_batch("x", x, self.event), self.to(x.device)
    bank, parts = here._clean.flatten(1), []
    for part in x.flatten(1).float().split(4096):
        i = (bank.square().sum(1) - 2 * part @ bank.T).argmin(1)
        parts.append((here._mode[i], (part - bank[i]).square().mean(1).sqrt()))
    return tuple(torch.cat(v) for v in zip(*parts))

# %% [markdown]
# Every mode set has a method `assign`. It gives the mode of a picture, and whether the picture is good enough to count.

# %%
#| export
@patch
def assign(self: RenderedPictures, x: torch.Tensor,  # (n, *event)
           within: float = 3.,  # largest distance to a clean picture, in units of the noise
           ) -> tuple[torch.Tensor, torch.Tensor]:
    """The mode of the nearest clean picture, (n,) int64, and whether it is near enough, (n,)
    bool.
    """
    within = check_number("within", within, above=0)
    mode, distance = self._nearest(x)
    return mode, distance <= within * self.noise

# %% [markdown]
# A *trait* is something that a picture may show, such as a vehicle on the east lane. A mode may show several traits, and a trait may belong to several modes. `attributes` gives the traits of pictures.

# %%
#| export
@patch
def attributes(self: RenderedPictures, x: torch.Tensor) -> torch.Tensor:
    """Which of `traits` each picture (n, *event) shows, by the nearest clean picture.

    (n, traits) bool.
    """
    return self.kinds.to(x.device)[self._nearest(x)[0]]

# %% [markdown]
# So the rate of a trait is the sum of the weights of the modes that show it. `rates` gives it for all traits.

# %%
#| export
@patch(as_prop=True)
def rates(self: RenderedPictures) -> torch.Tensor:
    "The share of pictures that show each of `traits`, (traits,) float32."
    return self.weights @ self.kinds.float()

# %% [markdown]
# Whether the judge can be wrong depends on the distance between modes, which `gap` measures.

# %%
#| export
@patch
def gap(self: RenderedPictures) -> float:
    """The least distance between clean pictures of different modes, in units of the noise's
    length σ√d.
    """
    bank, least = self._clean.double().flatten(1), math.inf
    for part, own in zip(bank.split(256), self._mode.split(256)):
        apart = torch.cdist(part, bank).masked_fill(own[:, None] == self._mode, math.inf)
        least = min(least, apart.min().item())
    return least / (self.noise * math.prod(self.event) ** .5)

# %% [markdown]
# Plots need values from 0 to 1, while networks use values from -1 to 1. `picture` converts them.

# %%
#| export
@patch
def picture(self: RenderedPictures, x: torch.Tensor) -> torch.Tensor:
    "Examples for showing, values in [0, 1], (n, h, w)."
    return check_batch("x", x, self.event).add(1).div(2).clamp(0, 1).squeeze(1)

# %% [markdown]
# A set prints one line with its traits and their rates.

# %%
#| export
@patch
def _summary(self: RenderedPictures) -> str:
    shown = ", ".join(f"{t} {r:.1%}" for t, r in zip(self.traits, self.rates.tolist()))
    return f"{self.n_modes} modes, {'×'.join(map(str, self.event))}, {shown}"

# %% [markdown]
# ## The street
# Two roads cross on sixteen by sixteen pixels. There are four lanes. A vehicle has four by two pixels and thirteen possible places on its lane.
# Two vehicles appear only on opposite lanes, so none hides another. They are never side by side: in the middle, east beside
# west and north beside south would be the same square.

# %%
#| export
LANES = ("east", "west", "north", "south")

# %% [markdown]
# A picture of the street is drawn from the places of the vehicles.

# %%
#| export
def _street(places: Sequence[int | None]) -> torch.Tensor:
    """The junction (1, 16, 16) with a vehicle at each of the four `places` along its lane, or none
    there.
    """
    x = torch.full((16, 16), .1)
    x[5:11], x[:, 5:11] = -.5, -.5
    x[5:11, 5:11] = -.55
    for lane, at in enumerate(places):
        if at is not None:
            across = slice(8, 10) if lane in (0, 2) else slice(6, 8)
            along = slice(at, at + 4)
            x[(across, along) if lane < 2 else (along, across)] = .9
    return x[None]

# %% [markdown]
# `scenes` is the set. Nine pictures of ten are empty; the others are shared between the lanes and the pairs of lanes.

# %%
#| export
@register_mode_set
def scenes(empty: float = .9,  # share of pictures without a vehicle
           noise: float = .04,  # standard deviation of every pixel
           ) -> RenderedPictures:
    """A street junction that is mostly empty: mode 0; one vehicle on one of four lanes: 1 to 4; on
    two opposite: 5, 6.

    The rest of the law is shared 3 : 2 : 2 : 1 between the lanes, and 1 : 1 between the pairs.
    """
    empty, noise = check_number("empty", empty, above=0), check_number("noise", noise, above=0)
    if empty >= 1:
        raise ValueError(f"empty: expected a number between 0 and 1, got {empty:g}")
    on = [(), (0,), (1,), (2,), (3,), (0, 1), (2, 3)]
    kinds = torch.tensor([[lane in lanes for lane in range(4)] for lanes in on])
    clean, mode = [], []
    for k, lanes in enumerate(on):
        for spot in range(13 ** len(lanes)):
            at = dict(zip(lanes, (spot % 13, spot // 13)))
            if len(at) == 2 and abs(spot % 13 - spot // 13) < 2:
                continue  # abreast in the middle, the two pairs would be one and the same picture
            clean.append(_street([at.get(lane) for lane in range(4)]))
            mode.append(k)
    rest = torch.tensor([3, 2, 2, 1, 1, 1], dtype=torch.float64) / 10 * (1 - empty)
    weights = torch.cat([rest.new_tensor([empty]), rest])
    return RenderedPictures(torch.stack(clean), torch.tensor(mode), kinds, weights, LANES, noise)

# %%
street = scenes()
street

# %%
x, truth = street.sample_with_modes(4000, torch.Generator().manual_seed(0))
verdict, good = street.assign(x)
assert (verdict == truth).all() and good.all()
(verdict == 0).float().mean().item()

# %% [markdown]
# There is no error in four thousand pictures, and none is expected. Clean pictures of two modes are more than six noise lengths
# $σ\sqrt d$ apart. So a picture that is good (within $w = 3$ such lengths) cannot belong to two modes. A real picture
# is about one such length away from its clean picture. So a generator may add about two more by blur or by wrong tones.

# %%
street.gap()

# %%
assert street.gap() > 6

# %%
figure, ax = axes(1, 7, size=(1.2, 1.4))
for k, a in enumerate(ax):
    a.imshow(street.picture(x[truth == k][:1])[0], cmap="gray", vmin=0, vmax=1)
    a.set_title(f"mode {k}: {street.weights[k]:.0%}", fontsize=8)
    a.set(xticks=[], yticks=[])
Picture(
    figure,
    "Seven pictures of a junction: empty, one vehicle on each of four lanes, two pairs on opposite "
    "lanes",
)

# %% [markdown]
# ## Does the code equal the equation?
# The check computes in float64 with differences. The library uses a matrix product:

# %%
bank, probe = street._clean.double().flatten(1), x[:500].double().flatten(1)
by_hand = street._mode[
    torch.cdist(probe, bank, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
]
assert torch.equal(by_hand, verdict[:500])
torch.equal(by_hand, verdict[:500])

# %% [markdown]
# ## Faces
# Glasses and beard are not independent here: 1 % of the faces have both, but .06 × .10 would be .6 %. On the head there is
# hair, a hat or nothing, independent of the rest. Under a hat a bald head cannot be seen, so this combination does not occur.

# %%
#| export
TRAITS = ("eyeglasses", "bald", "hat", "beard")

# %% [markdown]
# `_face` draws a face from ellipses and stripes, in an order that lets the hat cover the hair.

# %%
#| export
def _face(shows: Sequence[bool], skin: float, hair: float, down: int, right: int) -> torch.Tensor:
    "A face (1, 32, 32) that shows what `shows` says about `TRAITS`, moved by pixels."
    glasses, bald, hat, beard = shows
    v, u = torch.meshgrid(
        torch.arange(32.0) - 16 - down, torch.arange(32.0) - 15.5 - right, indexing="ij"
    )
    x = torch.zeros(32, 32)
    face = (u / 8.5) ** 2 + ((v - 1) / 11) ** 2 <= 1
    if not bald:
        x[((u / 10) ** 2 + ((v + 2) / 12) ** 2 <= 1) & (v < 2)] = hair
    x[(v > 8) & (u.abs() < 4)] = skin - .15
    x[(v > 13) & (u.abs() < 3 * v - 33)] = -.35
    x[face] = skin
    if not bald:
        x[face & (v < -5)] = hair
    if beard:
        x[face & (v > 5)] = hair
    x[(v == 8) & (u.abs() < 3)] = 0
    side = (u.abs() - 3.5).abs()
    x[(side < 1) & ((v == -1) | (v == 0))] = -.9
    if glasses:
        x[(torch.maximum(side, v.abs()) == 3) | (v == 0) & (u.abs() > 6) & (u.abs() < 9)] = -1
    if hat:
        x[(u.abs() < 9) & (v > -14) & (v < -6) | (u.abs() < 12) & (v >= -7) & (v < -5)] = .95
    return x[None]

# %% [markdown]
# Glasses and beards occur together more often than if they were independent; hair and hats are independent of them. `_face_combinations` lists the combinations with their shares. The next function draws the pictures of a combination.

# %%
#| export
def _face_combinations(wanted: list[int]) -> list[tuple[list[bool], float]]:
    "What a face may show, in the order of `TRAITS`, with its share: all that is wanted."
    found = []
    for (glasses, beard), low in {(0, 0): .85, (1, 0): .05, (0, 1): .09, (1, 1): .01}.items():
        for (bald, hat), top in {(0, 0): .925, (1, 0): .025, (0, 1): .05}.items():
            shows = [bool(v) for v in (glasses, bald, hat, beard)]
            if all(shows[i] for i in wanted):
                found.append((shows, low * top))
    return found

# %% [markdown]
# Each combination is drawn in every skin tone and every hair tone, at nine places: in the middle, and moved by a pixel.

# %%
#| export
def _face_pictures(shows: list[bool]) -> list[torch.Tensor]:
    "Every clean picture of a combination: skins, colours of hair, and small moves."
    _, bald, _, beard = shows
    tones = (-.9, -.6) if beard or not bald else (0.,)  # who has no hair has no colour of hair
    moves = (-1, 0, 1)
    return [_face(shows, skin, hair, down, right) for skin in (.35, .6, .85) for hair in tones
            for down in moves for right in moves]

# %% [markdown]
# `faces` is the set. With `include` it holds only the faces that show the named traits: a set of a minority.

# %%
#| export
@register_mode_set
def faces(include: str | Sequence[str] = (),  # only faces that show all of these `TRAITS`
          noise: float = .04,  # standard deviation of every pixel
          ) -> RenderedPictures:
    """Simple faces: eyeglasses 6 %, bald 2.5 %, hat 5 %, beard 10 %, glasses and beard 1 %.

    `include` conditions the law: modes that lack a named attribute are left out, the others keep
    their proportions.
    """
    if not isinstance(include, (str, list, tuple, set, frozenset)):
        raise TypeError(f"include: expected names from {', '.join(TRAITS)}, got {include!r:.60}")
    names = [include] if isinstance(include, str) else list(include)
    wanted = [TRAITS.index(check_choice("include", name, TRAITS)) for name in names]
    noise, found = check_number("noise", noise, above=0), _face_combinations(wanted)
    if not found:
        raise ValueError(f"include: expected attributes that occur together, got {names}")
    pictures = [_face_pictures(shows) for shows, _ in found]
    mode = torch.tensor([k for k, part in enumerate(pictures) for _ in part])
    law = torch.tensor([share for _, share in found], dtype=torch.float64)
    kinds = torch.tensor([shows for shows, _ in found])
    clean = torch.stack([picture for part in pictures for picture in part])
    return RenderedPictures(clean, mode, kinds, law / law.sum(), TRAITS, noise)

# %%
people = faces()
people

# %%
x, truth = people.sample_with_modes(16_000, torch.Generator().manual_seed(1))
shows = people.attributes(x)
assert torch.equal(shows, people.kinds[truth]) and people.assign(x)[1].all() and people.gap() > 6
dict(zip(people.traits, shows.float().mean(0).tolist()))

# %%
both = people.weights @ (people.kinds[:, 0] & people.kinds[:, 3]).float()
assert abs(both - .01) < 1e-6
both.item()

# %%
figure, ax = axes(2, 6, size=(1.2, 1.5))
for k, a in enumerate(ax.flat):
    a.imshow(people.picture(x[truth == k][:1])[0], cmap="gray", vmin=0, vmax=1)
    a.set_title("\n".join(t for t, on in zip(TRAITS, people.kinds[k]) if on) or "none", fontsize=7)
    a.set(xticks=[], yticks=[])
Picture(figure, "Twelve drawn faces, one of each mode, titled with the attributes that they show")

# %% [markdown]
# To train on a minority, name its trait:

# %%
minority = faces(include="eyeglasses")
assert minority.attributes(minority.sample(500, torch.Generator().manual_seed(2)))[:, 0].all()
minority

# %% [markdown]
# ## How large may the errors of a picture be?
# The errors of generators are not normal noise. Pictures are blurred, pale, or show half a pair of glasses. For such pictures there is no proof that the judge is right,
# but we can measure it: pictures with known attributes are distorted and judged again. Here each pixel is mixed
# with its neighbours, several times.
#
# **Predict:** which attribute does the judge miss first? Is its rate then too high or too low?

# %%
def blurred(x: torch.Tensor, times: int) -> torch.Tensor:
    "Each pixel a weighted mean of its 3×3 neighbourhood, `times` over."
    k = torch.tensor([1., 2, 1]) / 4
    for _ in range(times):
        x = F.conv2d(F.pad(x, [1] * 4, mode="replicate"), torch.outer(k, k)[None, None])
    return x

# %%
def hits(
    made: RenderedPictures, x: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision and recall of the judge's verdict on each trait, (traits,) each.

    Precision is NaN where it sees none.
    """
    seen, shows = made.attributes(x), made.kinds[truth]
    both = (seen & shows).sum(0).float()
    return both / seen.sum(0), both / shows.sum(0)

# %%
grain = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
times, stds = [0, 1, 2, 3, 4, 6], [0, .5, 1, 1.5, 2, 3]
spoiled = {"times blurred": (times, [blurred(x, t) for t in times]),
           "standard deviation of added noise": (stds, [x + s * grain for s in stds])}
found = {how: [hits(people, y, truth) for y in ys] for how, (_, ys) in spoiled.items()}

# %%
figure, panels = axes(1, 2, sharey=True)
for ax, (how, (amounts, _)) in zip(panels, spoiled.items()):
    for name, values, mark in zip(TRAITS, torch.stack([r for _, r in found[how]]).T, "o^sD"):
        ax.plot(amounts, values, marker=mark, label=name)
    ax.set(xlabel=how, ylim=(-.03, 1.05))
panels[0].set(ylabel="share of those who show it\nin whom the judge sees it")
panels[0].legend(frameon=False)
Picture(
    figure,
    "Recall of the judge per attribute: under blur only eyeglasses vanish; under noise all stay at "
    "about 1 up to a standard deviation of 2, and bald heads fall to .87 at 3",
)

# %%
(precision, recall), (_, grainy) = (
    found["times blurred"][1],
    found["standard deviation of added noise"][2],
)
assert (
    precision.min() > 0.99
    and recall[1:].min() > 0.97
    and 0.5 < recall[0] < 0.9
    and grainy.min() > 0.97
)
assert found["times blurred"][2][1][0] == 0  # no glasses are found after two
assert found["standard deviation of added noise"][4][1].min() > 0.97
assert 0.85 < found["standard deviation of added noise"][-1][1][1] < 0.89
{name: f"precision {p:.3f}, recall {r:.3f}" for name, p, r in zip(TRAITS, precision, recall)}

# %% [markdown]
# The frames of glasses are one pixel wide. After one blur the judge misses three glasses of ten, and after two all of them. Hats, beards
# and bald heads are large and are still found. All errors go towards the common face: where the judge finds
# glasses, there are glasses. So if a generator makes *soft* pictures, a low rate of glasses means "few drawn clearly", not "few
# drawn". Moderate noise changes little, because it spreads over 1,024 pixels. Of the faces
# that were blurred twice, the judge calls fewer than one in twenty *good*:

# %%
shares = [people.assign(y)[1].float().mean().item() for y in spoiled["times blurred"][1][:4]]
assert shares[0] == 1 and shares[2] < .05
[round(s, 3) for s in shares]

# %%
figure, ax = axes(size=(7, 2.4))
image_grid(
    ax,
    people.picture(torch.cat([y[truth == 3][:12] for y in spoiled["times blurred"][1][:4]])),
    columns=12,
)
ax.set_title("eyeglasses, blurred 0 to 3 times")
Picture(
    figure,
    "Twelve faces with eyeglasses; row by row the frames dissolve, from crisp to a faint shadow",
)

# %% [markdown]
# So `attributes` says what an imperfect generator draws, and `assign` says whether it is drawn well. On the street, a
# faded vehicle still counts as one if it has more than half of its brightness:

# %%
x, truth = street.sample_with_modes(4000, torch.Generator().manual_seed(5))
empty = street._clean[street._mode == 0]
faded = {
    share: hits(street, empty + share * (x - empty), truth)[1].min().item()
    for share in (1, 0.8, 0.6, 0.4)
}
assert faded[.6] == 1 and faded[.4] < .2
faded

# %% [markdown]
# ## Real frames and real faces
# For real pictures there is no exact judge. With a fixed camera the median frame is the empty scene, and a frame that differs from it
# is busy. This holds while the light stays the same. Over an hour the light changes, and then the whole picture differs. So we take the median over
# the frames *around* each frame: a running median. For CelebA the attributes are in a table. CelebA is for
# non-commercial research and comes from its authors. `data_scripts/celeba.py` says how to get it, and unpacks an archive that
# you already have.

# %%
#| export data.frames
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}

# %% [markdown]
# `_load` reads a picture file. It is cut to its middle square if that is asked for, then resized by averaging.

# %%
#| export data.frames
def _load(path: Path, size: tuple[int, int] | None, crop: bool = False) -> torch.Tensor:
    """One picture file as uint8 (3, h, w), its middle square if `crop`, resized to `size` (height,
    width).
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            if crop:
                w, h = image.size
                s = min(w, h)
                image = image.crop(((w - s) // 2, (h - s) // 2, (w + s) // 2, (h + s) // 2))
            if size:
                image = image.resize(size[::-1], Image.Resampling.BOX)
            return torch.from_numpy(np.array(image)).movedim(-1, 0)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"path: expected a picture, got {path.name} ({error})") from error

# %% [markdown]
# Frames come as a folder of pictures, in the order of their names, or as a NumPy file. `_stored_frames` reads both.

# %%
#| export data.frames
def _stored_frames(path: Path, size: tuple[int, int] | None) -> Any:
    "The frames in a folder of pictures, in the array `frames` of an .npz file, or in an .npy file."
    import numpy as np
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            kinds = ", ".join(sorted(PICTURE_SUFFIXES))
            raise FileNotFoundError(f"source: no pictures ({kinds}) in {path}")
        frames = [_load(p, size) for p in files]
        if len({f.shape for f in frames}) > 1:
            raise ValueError("source: expected frames of one size, got several; give `size`")
        return torch.stack(frames).movedim(1, -1)
    if not path.is_file():
        raise FileNotFoundError(f"source: no file or folder {path}")
    stored = np.load(path, allow_pickle=False)
    if path.suffix == ".npz" and "frames" not in stored:
        names = ", ".join(stored) or "none"
        raise ValueError(f"source: expected an array `frames`, got {names} in {path.name}")
    return stored["frames"] if path.suffix == ".npz" else stored

# %% [markdown]
# Frames must be bytes, as `_frames_as_bytes` checks. With floats it is not clear whether 1.0 means white or almost black.

# %%
#| export data.frames
def _frames_as_bytes(source: Any) -> torch.Tensor:
    "An array of frames as uint8 (n, c, h, w)."
    try:
        frames = torch.as_tensor(source)
    except (TypeError, ValueError, RuntimeError) as error:
        got = type(source).__name__
        raise TypeError(f"source: expected a path or an array of uint8, got {got}") from error
    colours = frames.shape[-1] in (1, 3) if frames.ndim == 4 else frames.ndim == 3
    if frames.dtype != torch.uint8 or not colours:
        raise ValueError("source: expected uint8 (n, h, w) or (n, h, w, 3), got "
                         f"{frames.dtype} {tuple(frames.shape)}")
    return frames[:, None] if frames.ndim == 3 else frames.movedim(-1, 1)

# %% [markdown]
# `read_frames` reads them all, and converts them to floats in [-1, 1].

# %%
#| export data.frames
def read_frames(source,  # a folder of pictures, an .npz or .npy file, or an array of uint8
                size: tuple[int, int] | None = None,  # height and width of the result; None: as is
                ) -> torch.Tensor:
    "Frames of a fixed camera in order (by file name), (n, c, h, w) float32 in [-1, 1]."
    if size is not None and (not isinstance(size, Sequence) or len(size) != 2):
        raise ValueError(f"size: expected (height, width), got {size!r}")
    size = None if size is None else tuple(check_int("size", v) for v in size)
    if isinstance(source, (str, os.PathLike)):
        source = _stored_frames(Path(source), size)
    frames = _frames_as_bytes(source).float() / 127.5 - 1
    if size is None or tuple(frames.shape[-2:]) == size:
        return frames
    return torch.nn.functional.interpolate(frames, size=size, mode="area")

# %% [markdown]
# `median_background` gives the empty scene of each frame. The running median is the costly part, so it is taken once for every quarter of its window.

# %%
#| export data.frames
def median_background(frames: torch.Tensor,  # (n, c, h, w)
                      window: int | None = None,  # of so many frames around each; None: of all
                      ) -> torch.Tensor:  # (n, c, h, w)
    """What each frame shows when nobody is there: the median over frames, pixel by pixel.

    With `window` it follows the light, and is taken anew for every quarter of a window. Whoever
    stands still for half a window becomes background.
    """
    frames = check_batch("frames", frames)
    if frames.ndim != 4:
        raise ValueError(f"frames: expected shape (n, c, h, w), got {tuple(frames.shape)}")
    n = len(frames)
    if window is None:
        return frames.median(0, keepdim=True).values.expand_as(frames)
    window, parts = check_int("window", window, 3, n), []
    for first in range(0, n, step := max(1, window // 4)):
        start = max(0, min(first + step // 2 - window // 2, n - window))
        median = frames[start:start + window].median(0, keepdim=True).values
        parts.append(median.expand(min(step, n - first), *median.shape[1:]))
    return torch.cat(parts)

# %% [markdown]
# `foreground_share` says how busy each frame is. A pixel is foreground if it differs from the background in some channel.

# %%
#| export data.frames
def foreground_share(frames: torch.Tensor,  # (n, c, h, w)
                     threshold: float = .2,  # least distance of a pixel from the background
                     window: int | None = None,  # of `median_background`; for changing light
                     ) -> torch.Tensor:
    "The share of each frame's pixels that depart from the background in some channel, (n,)."
    frames, threshold = check_batch("frames", frames), check_number("threshold", threshold, 0)
    return (
        ((frames - median_background(frames, window)).abs().amax(1) > threshold)
        .float()
        .mean((1, 2))
    )

# %% [markdown]
# CelebA's table names the attributes in its second line. A row is a file name and a mark 1 or -1 for each.

# %%
#| export data.frames
def _celeba_table(folder: Path) -> tuple[list[str], list[list[str]]]:
    "The names of the attributes, and for each picture its file name and its marks, 1 or -1."
    table = folder / "list_attr_celeba.txt"
    if not table.is_file():
        raise FileNotFoundError(f"folder: no list_attr_celeba.txt in {folder}; "
                                "data_scripts/celeba.py says how to get it")
    lines = table.read_text(encoding="utf-8").splitlines()
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise ValueError("folder: expected list_attr_celeba.txt to start with a number and a line "
                         "of names")
    rows = [line.split() for line in lines[2:] if line.strip()]
    if len(rows) != int(lines[0]):
        raise ValueError(f"folder: list_attr_celeba.txt promises {lines[0].strip()} rows, "
                         f"got {len(rows)}")
    return lines[1].split(), rows

# %% [markdown]
# `read_celeba` gives the pictures and their attributes. A file name with a slash in it is refused, so pictures are read from their folder only.

# %%
#| export data.frames
def read_celeba(folder: str | Path,  # holds list_attr_celeba.txt and img_align_celeba/
                size: int = 32,  # side of the square that the middle of a picture is brought to
                limit: int | None = None,  # read only so many, from the first
                ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    "Pictures (n, 3, size, size) in [-1, 1], attributes (n, k) bool, and the k names."
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder: expected a path, got {folder!r:.80}")
    folder, size = Path(folder), check_int("size", size)
    names, rows = _celeba_table(folder)
    rows = rows[:None if limit is None else check_int("limit", limit)]
    for file, *marks in rows:
        if len(marks) != len(names) or not set(marks) <= {"1", "-1"} or Path(file).name != file:
            raise ValueError(f"folder: expected a file name and {len(names)} marks 1 or -1, got "
                             f"the row of {file!r}")
    shows = torch.tensor([[mark == "1" for mark in marks] for _, *marks in rows])
    files = [folder / "img_align_celeba" / file for file, *_ in rows]
    x = torch.stack([_load(file, (size, size), crop=True) for file in files])
    return x.float() / 127.5 - 1, shows, names

# %% [markdown]
# We draw the street as a film of 400 frames, and the same film in a light that falls quickly.
#
# **Predict:** what share of the darkening film's frames is busy, compared with its median frame?

# %%
g = torch.Generator().manual_seed(3)
reel, lane = street.sample_with_modes(400, g)
dusk = reel - torch.linspace(0, .8, 400)[:, None, None, None]
steady, drifting, followed = (
    foreground_share(f, 0.3, w) > 0 for f, w in ((reel, None), (dusk, None), (dusk, 40))
)
[round(b.float().mean().item(), 3) for b in (steady, drifting, followed)]

# %%
assert (
    torch.equal(steady, lane > 0)
    and torch.equal(followed, lane > 0)
    and drifting.float().mean() > 0.5
)
(lane > 0).float().mean().item()

# %% [markdown]
# Compared with one median frame, the frames near both ends are busy, with and without a vehicle. Compared with the running median, exactly the frames with a vehicle are busy. The window must be longer than two visits of a vehicle, and shorter than the time in which the light changes. A vehicle that parks for half a window becomes
# part of the background:

# %%
parked = reel.clone()
parked[100:200] = reel[lane == 1][0]
seen = [(foreground_share(parked, .3, w)[140:160] > 0).float().mean().item() for w in (40, 300)]
assert seen == [0, 1]
seen

# %% [markdown]
# ## Your own pictures
# A folder of pictures is a mode set too. A mode is a class (a sub-folder, or a column of a table), or a combination of
# attributes that you name. Without labels all pictures are one mode. So the games for pictures can be trained on your own. A game
# that cannot use them raises an error. The call is `image_folder`, at the end of this section; what comes before it are its parts.

# %%
#| export data.picture_folders
"Pictures of your own as a mode set: a folder, an archive or CelebA, with classes or attributes."
from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch

from modelab.core.checks import check_batch, check_choice, check_number
from modelab.core.registry import register_mode_set
from modelab.core.signatures import checked, Real, Texts, Whole
from modelab.data.labels import LabelSet, read_labels
from modelab.data.mixtures import ModeSet
from modelab.data.readers import index_parts, open_samples, SampleFile, show_parts

# %% [markdown]
# `FolderPictures` is the set that `image_folder` returns. The pictures stay bytes in memory and become floats when they are drawn: 200,000 pictures of 64×64 pixels in colour
# take 2.5 GB.

# %%
#| export data.picture_folders
class FolderPictures(ModeSet):
    """Pictures that you have, drawn with replacement; a mode is a class, or attributes together.

    `mode_names` names the modes; `traits` the attributes, and `kinds` (n_modes, traits) says which
    of them each mode shows. `assign` goes by the nearest picture in pixels: a rough judge.
    """
    def __init__(self, pixels: torch.Tensor,  # (n, c, h, w) uint8
                 mode: torch.Tensor,  # (n,) int64
                 mode_names: Sequence[str],
                 kinds: torch.Tensor,  # (n_modes, traits) bool
                 traits: Sequence[str]):
        self._pixels, self._mode, self._copies = pixels, mode, {}
        self.mode_names, self.kinds, self.traits = list(mode_names), kinds, tuple(traits)
        self.n_modes, self.event = len(mode_names), tuple(pixels.shape[1:])
        self.weights = torch.bincount(mode, minlength=self.n_modes).double().div(len(mode)).float()
        self._high = torch.ones(self.event, dtype=torch.float32)
        self._low, self._radius = -self._high, {}

    def __len__(self) -> int:
        return len(self._pixels)

    def _summary(self) -> str:
        size, known = "×".join(map(str, self.event)), ", ".join(self.mode_names[:6])
        return (f"{len(self):,} pictures of {size}, {self.n_modes} mode{'s' * (self.n_modes > 1)}: "
                f"{known}{', …' * (self.n_modes > 6)}")

# %% [markdown]
# Networks use floats from -1 to 1.

# %%
#| export data.picture_folders
def _floats(pixels: torch.Tensor) -> torch.Tensor:
    "Bytes as floats in [-1, 1]; floats as they are."
    return pixels.float().div_(127.5).sub_(1) if pixels.dtype == torch.uint8 else pixels

# %% [markdown]
# A draw takes pictures at random, with replacement. The same generator gives the same pictures.

# %%
#| export data.picture_folders
@patch
def _draw(self: FolderPictures, n: int,
          generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    "`n` pictures, and the mode of each."
    i = torch.randint(len(self), (n,), generator=generator, device=self.device)
    return _floats(self._pixels[i]), self._mode[i]

# %% [markdown]
# The judge uses pixels alone: a sample has the mode of the nearest picture. It is good if it is as near to
# a picture as 95 of 100 pictures are to another one. Comparing with all pictures of a large folder would take long, so only a part is used:

# %%
#| export data.picture_folders
BANK = 5000  # pictures at most that samples are compared with

# %% [markdown]
# `_bank` takes this part: of a large folder every second, third, … picture, so that it is spread over the whole.

# %%
#| export data.picture_folders
@patch
def _bank(self: FolderPictures) -> tuple[torch.Tensor, torch.Tensor]:
    "The pictures that samples are compared with, in floats, and their modes."
    every = math.ceil(len(self) / BANK)
    return _floats(self._pixels[::every]), self._mode[::every]

# %% [markdown]
# `_nearest` finds the nearest picture, by squared distances.

# %%
#| export data.picture_folders
@patch
def _nearest(self: FolderPictures, x: torch.Tensor,
             itself: bool = False,  # leave out the nearest: x is in the bank
             ) -> tuple[torch.Tensor, torch.Tensor]:
    "The mode of the nearest picture, (n,), and its distance per pixel, root mean square, (n,)."
    bank, of = self.to(x.device)._bank()
    bank = bank.flatten(1)
    square, parts = bank.square().sum(1), []
    for part in x.flatten(1).float().split(1024):
        apart = part.square().sum(1, keepdim=True) + square - 2 * part @ bank.T
        distance, i = apart.topk(1 + itself, largest=False)
        parts.append((of[i[:, -1]], distance[:, -1].clamp_min(0)))
    mode, distance = (torch.cat(v) for v in zip(*parts))
    return mode, (distance / bank.shape[1]).sqrt()

# %% [markdown]
# `assign` is the judge. How near the pictures are to each other is measured at its first call and kept.

# %%
#| export data.picture_folders
@patch
@torch.no_grad()
def assign(self: FolderPictures, x: torch.Tensor,  # (n, *event), values in [-1, 1]
           within: float = .95,  # the share of pictures that have another one so near
           ) -> tuple[torch.Tensor, torch.Tensor]:
    "The mode of the nearest picture in pixels, (n,) int64, and whether it is near, (n,) bool."
    x, within = check_batch("x", x, self.event), check_number("within", within, 0, 1)
    if "apart" not in self._radius:
        own, _ = self._bank()
        self._radius["apart"] = self._nearest(own, itself=len(own) > 1)[1].cpu()
    mode, distance = self._nearest(x)
    return mode, distance <= self._radius["apart"].quantile(within).item() + 1e-6

# %% [markdown]
# `attributes` says what a picture shows. This follows from its mode:

# %%
#| export data.picture_folders
@patch
def attributes(self: FolderPictures, x: torch.Tensor) -> torch.Tensor:
    "Which `traits` each picture (n, *event) shows, by the nearest one; (n, traits) bool."
    return self.kinds.to(x.device)[self._nearest(check_batch("x", x, self.event))[0]]

# %% [markdown]
# For figures, `picture` gives values in [0, 1]:

# %%
#| export data.picture_folders
@patch
def picture(self: FolderPictures, x: torch.Tensor) -> torch.Tensor:
    "Examples to show, values in [0, 1]: (n, h, w) for one channel, else (n, h, w, channels)."
    x = check_batch("x", x, self.event).add(1).div(2).clamp(0, 1)
    return x.squeeze(1) if self.event[0] == 1 else x.movedim(1, -1)

# %% [markdown]
# `_bytes_of` reads all pictures. Many of them take a while, so a bar shows the progress.

# %%
#| export data.picture_folders
def _bytes_of(rows: SampleFile) -> torch.Tensor:
    "The pictures of a source as bytes (n, c, h, w)."
    if len(rows.shape) != 4 or rows.shape[1] not in (1, 3):
        raise ValueError(f"folder: expected pictures, got examples of shape {rows.shape[1:]}")
    out = torch.empty(rows.shape, dtype=torch.uint8)
    parts = index_parts(rows, torch.arange(len(rows)))
    for part in show_parts(parts, f"reading {rows.path.name}"):
        out[part] = rows[part].mul(255).round().clamp(0, 255).byte()
    return out

# %% [markdown]
# `_modes_of` decides what the modes are. Classes are the modes as they are. With attributes, each combination that occurs is a mode. If `attributes` names classes, each of these is a mode, and all other pictures are one mode more, `none`.

# %%
#| export data.picture_folders
def _modes_of(labels: torch.Tensor | None, names: Sequence[str], wanted: Sequence[str],
              n: int) -> tuple[torch.Tensor, list[str], torch.Tensor, list[str]]:
    "The mode of each picture, the names of the modes, and which attributes each mode shows."
    if labels is None or not len(labels):
        if wanted:
            raise ValueError("attributes: the pictures have no labels; give `table`")
        return torch.zeros(n, dtype=torch.int64), ["all"], torch.zeros(1, 0, dtype=torch.bool), []
    if labels.ndim == 1 and not wanted:
        return labels, list(names), torch.eye(len(names), dtype=torch.bool), list(names)
    if labels.ndim == 1:  # each class is an attribute
        labels = torch.nn.functional.one_hot(labels, len(names))
    wanted = list(wanted or names)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"attributes: expected each once, got {', '.join(wanted)}")
    if len(wanted) > 8:
        raise ValueError(f"attributes: expected at most 8 of {', '.join(names[:40])}; name some")
    columns = [list(names).index(check_choice("attributes", w, names)) for w in wanted]
    kinds, mode = labels[:, columns].bool().unique(dim=0, return_inverse=True)
    called = ["+".join(w for w, on in zip(wanted, row) if on) or "none" for row in kinds.tolist()]
    return mode, called, kinds, wanted

# %% [markdown]
# A folder of CelebA is recognised by its table `list_attr_celeba.txt`.

# %%
#| export data.picture_folders
def _source(folder: str | os.PathLike, table: str | os.PathLike | None, size: int,
            attributes: Sequence[str], skip_bad: bool) -> tuple[SampleFile, LabelSet | None]:
    "The pictures, and what the table says of them."
    for name, path in {"folder": folder, "table": table}.items():
        if (name, path) != ("table", None) and (not isinstance(path, (str, os.PathLike))
                                                or not os.fspath(path)):
            raise TypeError(f"{name}: expected a path, got {path!r:.60}")
    celeba = Path(folder, "list_attr_celeba.txt")
    if celeba.is_file():
        folder, table = Path(folder, "img_align_celeba"), table or celeba
    rows = open_samples(folder, size=size, skip_bad=skip_bad)
    if table is None:
        known = rows.labels is not None and len(rows.labels)
        return rows, LabelSet(rows.labels, rows.label_names, []) if known else None
    if len(attributes) != 1:
        return rows, read_labels(table, rows.names or len(rows))
    return rows, _one_attribute(read_labels(f"{os.fspath(table)}:{attributes[0]}",
                                            rows.names or len(rows)), attributes[0])

# %% [markdown]
# A single column of 0 and 1 is an attribute, not a set of classes.

# %%
#| export data.picture_folders
def _one_attribute(found: LabelSet, name: str) -> LabelSet:
    "The labels of one column as an attribute of this name."
    if found.labels.ndim == 2 or not {"1"} <= set(found.label_names) <= {"-1", "0", "1"}:
        return found
    shown = found.labels == found.label_names.index("1")
    return LabelSet(shown.long()[:, None], [name], found.notes)

# %% [markdown]
# A run that is resumed after weeks should notice if its pictures have changed, so `_files_digest` makes a hash. Names, sizes and modes are enough for that, and take no time.

# %%
#| export data.picture_folders
def _files_digest(rows: SampleFile, mode: torch.Tensor) -> str:
    "SHA-256 over the names and sizes of the files, and the modes of their pictures."
    told = hashlib.sha256(mode.numpy().tobytes())
    whole = rows.path.is_file()
    for name in [rows.path.name] if whole or rows.names is None else rows.names:
        path = rows.path if whole else rows.path / name
        told.update(f"\0{name}\0{path.stat().st_size if path.is_file() else 0}".encode())
    return told.hexdigest()

# %% [markdown]
# Some pictures are put aside, so that samples can be compared with pictures that the training never saw. Of each mode at least one picture stays in the training set.

# %%
#| export data.picture_folders
def _put_aside(mode: torch.Tensor, share: float) -> torch.Tensor:
    "Which pictures are put aside, (n,) bool: the same ones each time."
    order = torch.randperm(len(mode), generator=torch.Generator().manual_seed(0))
    first = torch.stack([order[mode[order] == k][-1] for k in mode.unique()])
    aside = torch.zeros(len(mode), dtype=torch.bool)
    aside[order[:round(share * len(mode))]] = True
    aside[first] = False
    return aside

# %% [markdown]
# If labels were not taken or damaged pictures were left out, a warning says so.

# %%
#| export data.picture_folders
def _warn_of_losses(rows: SampleFile, folder: str) -> None:
    "Warn of labels that were not taken and of pictures that were left out."
    for note in rows.notes:
        if "no labels were taken" in note.lower() or note.endswith("left out."):
            warnings.warn(f"{folder}: {note}", stacklevel=4)

# %% [markdown]
# `image_folder` puts the parts together. It is the function that you call:

# %%
#| export data.picture_folders
@register_mode_set
@checked
def image_folder(folder: str,  # of pictures, an archive of them, or CelebA's own folder
                 size: Annotated[int, Whole(4)] = 32,  # side; the middle square is resized to it
                 attributes: Annotated[Sequence[str], Texts()] = (),  # that make the modes
                 table: str | None = None,  # labels by file name; None: what is there
                 held_out: Annotated[float, Real(0., .9)] = .1,  # share that training never sees
                 skip_bad: bool = False,  # leave damaged pictures out, and warn
                 ) -> FolderPictures:
    """Pictures of your own; modes are sub-folders, classes of a table, or attributes together.

    Without labels there is one mode; without `attributes` all of a table count, up to 8. With a
    `table`, sub-folders do not count. `ValueError` for damaged files or labels that do not match.
    """
    rows, found = _source(folder, table, size, attributes, skip_bad)
    _warn_of_losses(rows, folder)
    labels, names = (None, []) if found is None else (found.labels, found.label_names)
    pixels = _bytes_of(rows)
    mode, *named = _modes_of(labels, names, attributes, len(rows))
    aside = _put_aside(mode, held_out)
    made = FolderPictures(pixels[~aside], mode[~aside], *named)
    made.digest = _files_digest(rows, mode)
    if aside.any():
        made.held_out = FolderPictures(pixels[aside], mode[aside], *named)
    return made

# %% [markdown]
# ## What you hold in memory
# Perhaps your data are no folder: you hold a tensor or an array with labels, a `Dataset` or a `DataLoader` of PyTorch, a dataset of Hugging Face, or a table of pandas. `held_examples` reads all of these once, and gives rows that can be asked for by their numbers. The audit ([4.2](../4_evidence/02_audit.ipynb)), `missing`, `compare` and the `Monitor` use it, so each of them takes the same kinds of data.

# %%
#| export data.examples
"Examples that a user holds, read once: a DataLoader, a Dataset, an iterator, a table, a path."
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (BatchSampler, DataLoader, Dataset, IterableDataset,
                              SequentialSampler)

from modelab.core.checks import check_batch
from modelab.core.randomness import _own_randomness
from modelab.data.labels import class_labels
from modelab.data.matching import _match_shapes, _unlike_units
from modelab.data.mixed_tables import is_frame
from modelab.data.readers import open_samples, SampleFile

# %% [markdown]
# The result is a `SampleFile`, as of a file, that also knows where it comes from. `ordered` says whether row `i` is example `i` of what was given. It is not so if a loader shuffles.

# %%
#| export data.examples
@dataclass
class HeldExamples(SampleFile):
    "Examples that were read once, from a DataLoader, a Dataset, an iterator or a table."
    kind: str = ""  # the name of the class that gave them
    ordered: bool = True  # row i is example i of what was given
    columns: tuple[str, ...] = ()  # of a table


# %% [markdown]
# A loader gives batches, a `Dataset` gives one example at a time. Each may be a tensor, a tuple whose first part is the example and whose second is its label, or a dict. In a dict the names tell which is which:

# %%
#| export data.examples
EXAMPLE_KEYS = ("image", "images", "img", "pixel_values", "x", "data", "input", "inputs")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")


# %% [markdown]
# `_pair` takes what was given apart.

# %%
#| export data.examples
def _pair(name: str, row: Any) -> tuple[Any, Any]:
    "The example and the label in what a loader or a Dataset gives; None: no label."
    if isinstance(row, Mapping):
        by = {str(key).lower(): value for key, value in row.items()}
        known = [key for key in EXAMPLE_KEYS if key in by][:1]
        known = known or [key for key in by if key not in LABEL_KEYS]
        if len(known) != 1:
            raise TypeError(f"{name}: expected an entry with the examples, such as 'image', got "
                            f"{', '.join(map(repr, list(row)[:8])) or 'none'}")
        return by[known[0]], next((by[key] for key in LABEL_KEYS if key in by), None)
    if not isinstance(row, (tuple, list)):
        return row, None
    if not row or isinstance(row[0], (int, float)):
        raise TypeError(f"{name}: expected tensors, or pairs of an example and a label, got a "
                        f"{type(row).__name__} of {len(row)} numbers")
    return row[0], row[1] if len(row) > 1 else None


# %% [markdown]
# The example becomes a tensor on the CPU: bytes stay bytes, all other whole numbers become floats.

# %%
#| export data.examples
def _numbers(name: str, x: Any, kind: str) -> Tensor:
    "An example or a batch as a tensor of bytes or floats."
    fixed = isinstance(x, np.ndarray) and not x.flags.writeable
    try:
        x = torch.as_tensor(x.copy() if fixed else x).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected tensors from {kind}, got {type(x).__name__}; a Dataset "
                        "of pictures needs transform=ToTensor(), one of Hugging Face "
                        '.with_format("torch")') from error
    if x.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    if x.dtype == torch.bfloat16:
        return x.float()
    return x if x.is_floating_point() or x.dtype == torch.uint8 else x.float()


# %% [markdown]
# Labels are joined if there is one for each example. If not, `why` says what else was found.

# %%
#| export data.examples
class _Labels:
    "Labels as they come, and why there are none."
    def __init__(self):
        self.parts, self.why = [], ""

    def add(self, y: Any, n: int) -> None:
        "Labels of n more examples."
        if self.why or y is None and not self.parts:
            return
        try:
            y = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
        except (TypeError, ValueError, RuntimeError):
            y = np.asarray(None)
        if y.dtype.kind not in "biufUS":
            self.why = "no label beside each example"
        elif y.size != n:
            self.why = f"labels of shape {y.shape} beside {n} example{'s' * (n > 1)}"
        else:
            self.parts.append(y.reshape(n))

    def joined(self) -> np.ndarray | None:
        "All labels, (n,), or None."
        return None if self.why or not self.parts else np.concatenate(self.parts)


# %% [markdown]
# Examples are kept in memory up to 64 MiB. If there are more, all of them go to a temporary file, which is deleted when nobody needs it any more. So a large data set needs room on the disk (set `TMPDIR` for another one), and not in memory.

# %%
#| export data.examples
HELD_BYTES = 1 << 26


class _Joined:
    "Examples as they come, joined in memory or, if there are many, in a file."
    def __init__(self, name: str):
        self.name, self.parts, self.bytes, self.count, self.file = name, [], 0, 0, None

    def to_disk(self) -> None:
        "Write what is in memory; an empty part keeps the shape and the type."
        self.file = self.file or tempfile.TemporaryFile()
        for part in self.parts:
            self.file.write(part.contiguous().numpy().data)
        self.parts = [self.parts[0][:0].clone()]

    def tensor(self) -> Tensor:
        "All examples; those in a file are read when they are asked for."
        if self.file is None:
            return torch.cat(self.parts)
        self.file.flush()
        shape = (self.count, *self.parts[0].shape[1:])
        return torch.from_numpy(np.memmap(self.file, self.parts[0].numpy().dtype, "c", shape=shape))


# %% [markdown]
# All parts must have one shape and one type.

# %%
#| export data.examples
@patch
def add(self: _Joined, x: Tensor) -> None:
    "Some more examples."
    first = self.parts[0] if self.parts else x
    if x.shape[1:] != first.shape[1:]:
        shapes = " and ".join(map(str, sorted({tuple(x.shape[1:]), tuple(first.shape[1:])})))
        raise ValueError(f"{self.name}: expected examples of one shape, got {shapes}")
    if x.dtype != first.dtype:
        raise TypeError(f"{self.name}: expected one type of numbers, got {first.dtype} and "
                        f"{x.dtype}")
    self.parts.append(x)
    self.bytes, self.count = self.bytes + x.nbytes, self.count + len(x)
    if self.bytes > HELD_BYTES:
        self.to_disk()


# %% [markdown]
# How many examples are there? A source that does not say its length may be endless. Then more than 100,000 examples are refused; so are more than twice as many as the length says, and a length above ten million. The error says what to do: give a part, as of `itertools.islice`.

# %%
#| export data.examples
STREAMED = 100_000  # examples of a source without a length
MOST_HELD = 10 ** 7


def _length(name: str, data: Any) -> int | None:
    "How many batches or examples there are; None if nobody says."
    try:
        n = len(data)
    except (TypeError, NotImplementedError, AttributeError):
        return None
    if n > MOST_HELD:
        raise ValueError(f"{name}: expected at most {MOST_HELD:,} examples, got {n:,}; give a part "
                         "of them, as of torch.utils.data.Subset")
    return n


# %% [markdown]
# While the parts come, they are counted.

# %%
#| export data.examples
def _refuse_endless(name: str, kind: str, length: int | None, items: int, count: int) -> None:
    "An error if more comes than can be."
    if length is None and count > STREAMED:
        raise ValueError(f"{name}: expected an end, got more than {STREAMED:,} examples from "
                         f"{kind}, which has no length; give a part, such as "
                         "itertools.islice(data, 100), or define __len__")
    if length is not None and items > 2 * length + 8:
        raise ValueError(f"{name}: expected {length:,} parts from {kind}, as its length says, got "
                         "more than twice as many")


# %% [markdown]
# Loaders shuffle and augment with random numbers. While the data are read, all random numbers start from a fixed seed, also those of a `generator` that the loader holds. So the same loader gives the same report, and the training that follows is as it would have been without the audit.

# %%
#| export data.examples
@contextmanager
def _fixed_order(data: Any) -> Iterator[None]:
    "Inside, a loader shuffles as it always does here; afterwards all random states are as before."
    owners = (data, getattr(data, "sampler", None), getattr(data, "batch_sampler", None))
    own = {id(g): g for g in (getattr(owner, "generator", None) for owner in owners)
           if isinstance(g, torch.Generator)}
    before = {key: g.get_state() for key, g in own.items()}
    for g in own.values():
        g.manual_seed(0)
    try:
        with _own_randomness(0):
            yield
    finally:
        for key, g in own.items():
            g.set_state(before[key])


# %% [markdown]
# An error within the user's own data, such as a file that is gone, gets the name of the argument.

# %%
#| export data.examples
def _items(name: str, data: Any, kind: str) -> Iterator[Any]:
    "What a source gives, one after the other."
    by_number = isinstance(data, Dataset) and not isinstance(data, IterableDataset)
    if by_number and _length(name, data) is None:
        raise TypeError(f"{name}: expected a {kind} with a length, got none; define __len__")
    source = (data[i] for i in range(len(data))) if by_number else data
    try:
        yield from source
    except Exception as error:  # of the user's own code
        lines = f"{type(error).__name__}: {error}".strip().splitlines()
        worker = "in DataLoader worker" in lines[0]  # the error itself is at the end
        raise ValueError(f"{name}: {kind} failed: {lines[-1 if worker else 0][:200]}") from error


# %% [markdown]
# A `DataLoader` with `batch_size=None` gives what its `Dataset` gives: one example, if its label is one label, and else a batch.

# %%
#| export data.examples
def _is_one(data: Any, y: Any) -> bool:
    "Whether what came is one example, and no batch."
    if isinstance(data, DataLoader):
        return data.batch_sampler is None and y is not None and not np.ndim(y)
    return isinstance(data, Dataset) or type(data).__module__.partition(".")[0] == "datasets"


# %% [markdown]
# Each part is checked when it comes.

# %%
#| export data.examples
def _check_part(name: str, x: Tensor, number: int) -> None:
    "Refuse a part with NaN or infinity, or without numbers."
    try:
        check_batch(name, x)
    except ValueError as error:
        raise ValueError(f"{error} of part {number}") from None


# %% [markdown]
# Here all is read, in one pass.

# %%
#| export data.examples
def read_batches(data: Any,  # a DataLoader, a Dataset, or an iterator of batches
                 name: str = "data",  # of the argument, for an error
                 ) -> tuple[Tensor, np.ndarray | None, str]:  # labels (n,), or why there are none
    "All examples `(n, *event)`, bytes or floats, in the order in which they come."
    kind, found, labels = type(data).__name__, _Joined(name), _Labels()
    length = _length(name, data)
    with _fixed_order(data):
        for i, row in enumerate(_items(name, data, kind), 1):
            x, y = _pair(name, row)
            x = _numbers(name, x, kind)
            x = x[None] if _is_one(data, y) else x
            if not x.ndim:
                raise TypeError(f"{name}: expected batches of examples from {kind}, got one number")
            if len(x):
                _check_part(name, x, i)
                found.add(x)
                labels.add(y, len(x))
            _refuse_endless(name, kind, length, i, found.count)
    if not found.count:
        raise ValueError(f"{name}: expected two or more examples, got an empty {kind}")
    return found.tensor(), labels.joined(), labels.why


# %% [markdown]
# Which labels are classes? Whole numbers and words, if there are not nearly as many of them as examples. All others are left out, and a note says why.

# %%
#| export data.examples
def _classes(values: np.ndarray | None,
             why: str) -> tuple[Tensor | None, list[str] | None, list[str]]:
    "Classes `(n,)`, int64, the names of words, and a note if labels are left out."
    if values is not None and values.dtype.kind == "f" and (values != np.round(values)).any():
        why = "fractions"
    elif values is not None and 20 < len(values) < 2 * len(distinct := np.unique(values)):
        why = f"{len(distinct):,} different ones"
    if why or values is None:
        return None, None, [f"Labels are not used: they are no classes, got {why}."] * bool(why)
    if values.dtype.kind in "US":
        found = class_labels(values.astype(str).tolist())
        return found.labels, found.label_names, []
    return torch.from_numpy(values.astype(np.int64)), None, []


# %% [markdown]
# A loader keeps the order of its `Dataset` if it takes the examples one after the other.

# %%
#| export data.examples
def _keeps_order(data: Any) -> bool:
    "Whether row i is example i of the user's data set."
    if isinstance(data, DataLoader):
        plain = type(data.batch_sampler) in (BatchSampler, type(None))
        return _keeps_order(data.dataset) and plain and type(data.sampler) is SequentialSampler
    return hasattr(data, "__getitem__") and not isinstance(data, IterableDataset)


# %% [markdown]
# What was read stands behind a `HeldExamples`.

# %%
#| export data.examples
def _held(name: str, x: Tensor, **known: Any) -> HeldExamples:
    "A tensor as rows that are asked for by their numbers."
    return HeldExamples(Path(name), tuple(x.shape), lambda index: x[torch.as_tensor(index)],
                        **known)


# %% [markdown]
# In a table each column is a number. A column of words is refused, because there is no distance between words; `modelab.data.tables` encodes them.

# %%
#| export data.examples
def frame_numbers(name: str, frame: Any, beside: str = "") -> Tensor:
    "The columns of a DataFrame, `(n, columns)` float64; `beside` names a column left out before."
    words = [column for column in frame if frame[column].dtype.kind not in "biuf"]
    if words or not len(frame.columns):
        more = f" beside {beside!r}" if beside else ""
        raise ValueError(f"{name}: expected columns of numbers{more}, got "
                         f"{', '.join(map(repr, words[:4])) or 'none'}")
    return torch.tensor(frame.to_numpy(np.float64))


# %% [markdown]
# An iterator is told from an array or a list by what it lacks: rows by number.

# %%
#| export data.examples
def _gives_examples(data: Any) -> bool:
    "Whether it gives batches or examples one after the other, and is no array or list."
    if isinstance(data, (DataLoader, Dataset)):
        return True
    if type(data).__module__.partition(".")[0] == "datasets" and hasattr(data, "__iter__"):
        return not isinstance(data, Mapping)
    return hasattr(data, "__iter__") and not hasattr(data, "__getitem__")


# %% [markdown]
# All of this together:

# %%
#| export data.examples
def _read_once(name: str, data: Any) -> HeldExamples:
    "The rows of a DataLoader, a Dataset or an iterator."
    x, *labels = read_batches(data, name)
    (classes, names, notes), kind = _classes(*labels), type(data).__name__
    if not (ordered := _keeps_order(data)):
        notes.append(f"Rows are numbered in the order in which the {kind} gave them.")
    return _held(name, x, kind=kind, ordered=ordered, labels=classes, label_names=names,
                 notes=notes)


# %% [markdown]
# A path is read as by `open_samples` ([6.5](05_readers.ipynb)), so pictures of a folder are in [0, 1].

# %%
#| export data.examples
def _read_path(name: str, path: str | os.PathLike) -> SampleFile:
    "The rows of a file or folder; an error that begins with the name of the argument."
    try:
        return open_samples(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: {error}") from error


# %% [markdown]
# Now the call. What it does not know, such as a tensor or an array, is given back as it is.

# %%
#| export data.examples
def held_examples(data: Any,  # a DataLoader, Dataset, iterator of batches, DataFrame, or path
                  name: str = "data",  # of the argument, for an error
                  ) -> Any:  # a `SampleFile`; a tensor, an array and all else as they are
    """`data` as rows that are asked for by their numbers, read once, with its labels.

    A batch or example is a tensor, a pair (example, label), or a dict. Bytes of pictures become
    floats in [0, 1] when they are asked for; floats stay. Random numbers start from a fixed seed
    while a loader is read. 64 MiB are kept in memory, more in a temporary file. `ValueError` or
    `TypeError`, which begins with `name`, for examples of several shapes, NaN, no end, no example.
    """
    if isinstance(data, (str, os.PathLike)):
        return _read_path(name, data)
    if is_frame(data):
        x = check_batch(name, frame_numbers(name, data))
        return _held(name, x, kind=type(data).__name__, columns=tuple(map(str, data.columns)))
    known = isinstance(data, (SampleFile, Tensor)) or not _gives_examples(data)
    return data if known else _read_once(name, data)


# %% [markdown]
# Labels may also be given beside the data, in their order. They are refused where that order is not known.

# %%
#| export data.examples
def check_beside(name: str, values: Any, part: str, source: Any) -> None:
    "`ValueError` for values, one a row, that do not fit a source, or whose order is not known."
    if len(values) != len(source):
        raise ValueError(f"{name}: expected {len(source)} rows, one per example of {part}, "
                         f"got {len(values)}")
    if isinstance(source, HeldExamples) and not source.ordered:
        raise ValueError(f"{name}: expected none beside a {source.kind}, which gives its examples "
                         "in an order of its own; let it give pairs with labels")


# %% [markdown]
# `known_classes` takes the labels that came with the data, if no others are given. Both at once are refused, but for a file: the command line names labels for it.

# %%
#| export data.examples
def known_classes(source: Any,  # what `held_examples` gave
                  labels: Tensor | None,  # that the user gave; None: those beside the examples
                  ) -> tuple[Tensor | None, list[str] | None]:  # (n,), and the names of words
    "Classes of examples, or None, and their names if these came with the examples."
    own = source.labels if isinstance(source, SampleFile) else None
    if labels is not None:
        if own is not None and isinstance(source, HeldExamples):
            raise ValueError(f"labels: expected none beside a {source.kind}, which has its own")
        check_beside("labels", labels, "reference", source)
        return labels, None
    return (None, None) if own is None or own.ndim != 1 else (own, source.label_names)


# %% [markdown]
# Two tables must have the same columns in the same order.

# %%
#| export data.examples
def check_columns(**sources: Any) -> None:  # by the name of the argument
    "`ValueError` if two tables differ in their columns, or in the order of these."
    tables = {name: x.columns for name, x in sources.items() if isinstance(x, HeldExamples)
              and x.columns}
    first = "reference" if "reference" in tables else next(iter(tables), "")
    for name, mine in tables.items():
        if mine != tables[first]:
            raise ValueError(f"{name}: expected the columns of {first}, "
                             f"{', '.join(tables[first][:8])}, got {', '.join(mine[:8])}; write "
                             f"{name}[list({first}.columns)]")


# %% [markdown]
# The columns of two tables in files may come in another order, and words become numbers by the values that a table holds. So files are read together. The reference decides how tables are encoded; pictures are brought to the smallest size. An array beside the file of a table is refused, because the columns of the table are standardised.

# %%
#| export data.examples
def match_held(sets: dict[str, Any]) -> dict[str, Any]:
    "Sets by name; those that were read from paths are matched, as in `match_sources`."
    paths = [name for name, x in sets.items()
             if isinstance(x, SampleFile) and not isinstance(x, HeldExamples)]
    paths.sort(key=lambda name: name not in ("reference", "train"))
    table = next((name for name in paths if sets[name].table is not None), None)
    if table and len(paths) < len(sets):
        other = next(name for name in sets if name not in paths)
        raise ValueError(f"{other}: expected a path, as {table} is: the columns of a table in a "
                         "file are standardised; or give two tables of pandas")
    if len(paths) < 2:
        return sets
    return sets | dict(zip(paths, _match_shapes([sets[name] for name in paths])))


# %% [markdown]
# What a reader did to a set is told with the name of the file.

# %%
#| export data.examples
def notes_on_sources(sets: dict[str, Any]) -> list[str]:
    "Sentences on what was done when sets were read, but for the order of the files."
    return [note if note.startswith(x.path.name) else f"{x.path.name}: {note}"
            for x in sets.values() if isinstance(x, SampleFile) for note in x.notes
            if not note.startswith("Order of the pictures")]


# %% [markdown]
# Bytes of a `Dataset` are in [0, 1] when they are read, and many generators work in [-1, 1]. A note says if the ranges differ. For tensors of pictures it does so if one set fills [0, 1] and another one [-1, 1] or 0 to 255: a generator without a bounded output has no such range.

# %%
#| export data.examples
def note_on_ranges(sources: dict[str, Any]) -> list[str]:
    "A sentence if tensors, loaders or files of pictures are on unlike scales."
    return _unlike_units([x if isinstance(x, SampleFile) else _held(name, x)
                          for name, x in sources.items()],
                         sure=not any(isinstance(x, HeldExamples) for x in sources.values()))


# %% [markdown]
# **Fidelity.** Four sources of the same points give the same rows and the same labels. A loader that shuffles gives them in another order, and in the same one each time; the global random numbers are as before.

# %%
import itertools
from torch.utils.data import TensorDataset
from modelab.core.checks import error_message

g = torch.Generator().manual_seed(0)
kind = torch.randint(4, (400,), generator=g)
points = torch.eye(4)[kind] * 5 + torch.randn(400, 4, generator=g)
pairs = TensorDataset(points, kind)
batches = ({"image": x, "label": y} for x, y in DataLoader(pairs, batch_size=7))
same = [held_examples(x) for x in (pairs, DataLoader(pairs, batch_size=64), batches)]
for read in same:
    assert torch.equal(read[torch.arange(400)], points) and torch.equal(read.labels, kind)

# %%
before = torch.get_rng_state()
mixed = [held_examples(DataLoader(pairs, 64, shuffle=True)) for _ in range(2)]
rows = [read[torch.arange(400)] for read in mixed]
assert torch.equal(*rows) and not torch.equal(rows[0], points)
assert torch.equal(rows[0].sort(0).values, points.sort(0).values)
assert torch.equal(torch.get_rng_state(), before)
mixed[0].notes

# %% [markdown]
# What cannot be read is refused in one line that begins with the name of the argument:

# %%
endless = (torch.zeros(100, 2) for _ in itertools.count())
gap = DataLoader([torch.tensor([0., math.nan]), torch.zeros(2)])
[error_message(held_examples, bad, "reference") for bad in (endless, gap, "photos/")]

# %% [markdown]
# ### As a mode set
# `labelled_modes` makes a mode set of labelled data. Each label is a mode, so `coverage` can count modes of your own data:
#
# ```python
# from modelab import coverage, labelled_modes
#
# coverage(samples, labelled_modes(train_loader))           # the first of a batch is the example, the second its label
# coverage(samples, labelled_modes(x, y))                   # tensors, arrays or lists
# coverage(samples, labelled_modes(table, "kind"))          # a DataFrame with a column of labels
# coverage(samples, labelled_modes("photos/"))              # as image_folder
# ```

# %%
#| export data.labelled
"Labelled data of your own as a mode set: tensors, arrays, a DataLoader, a DataFrame, a folder."
from __future__ import annotations

import os
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import check_batch
from modelab.core.signatures import checked, Real
from modelab.data.examples import _gives_examples, frame_numbers, read_batches
from modelab.data.labels import encode_labels, LabelSet
from modelab.data.mixed_tables import is_frame
from modelab.data.picture_folders import _modes_of, _put_aside, FolderPictures, image_folder

# %% [markdown]
# The set is like the one of a folder, but an example may have any shape. Floats keep their values, so a sample must be on the same scale as your data. Bytes of shape `(n, channels, h, w)` become floats in [-1, 1]; bytes of any other shape keep their values, from 0 to 255.
#
# A tenth of the examples is put aside (`held_out`). It is chosen by place, and a loader that shuffles is read in the same order each time, so it is the same tenth each time.

# %%
#| export data.labelled
class LabelledExamples(FolderPictures):
    """Examples that you have, drawn with replacement; a mode is a label.

    `assign` goes by the nearest example, value by value: a rough judge for pictures. A sample is
    good if it is as near as 95 % of the examples are to another one.
    """
    def __init__(self, x: Tensor,  # (n, *event) floats or uint8
                 mode: Tensor,  # (n,) int64
                 *named: Any):  # as for `FolderPictures`
        super().__init__(x, mode, *named)
        if x.is_floating_point():
            parts = (x.amin(0), x.amax(0)) if x.ndim == 2 else torch.aminmax(x)
            self._low, self._high = (part.expand(self.event).clone() for part in parts)

    def _summary(self) -> str:
        return super()._summary().replace(" pictures of ", " examples of ", 1)

    def picture(self, x: Tensor) -> Tensor:
        "Examples to show, values in [0, 1]: (n, h, w) for one channel, else (n, h, w, channels)."
        if len(self.event) != 3:
            raise ValueError(f"x: expected pictures (c, h, w), got examples of {self.event}")
        low, high = self._low.min().to(x.device), self._high.max().to(x.device)
        return super().picture((x - low) / (high - low).clamp(min=1e-12) * 2 - 1)


# %% [markdown]
# In a table one column holds the labels. All other columns must be numbers; `modelab.data.tables` encodes words.

# %%
#| export data.labelled
def _from_table(data: Any, column: Any) -> tuple[Tensor, np.ndarray]:  # a DataFrame
    "The numbers of a DataFrame, and its column of labels."
    if not isinstance(column, str) or column not in data.columns:
        known = ", ".join(map(str, list(data.columns)[:8]))
        raise ValueError(f"labels: expected the name of a column ({known}), got {column!r:.40}")
    if data[column].isna().any():
        raise ValueError(f"labels: {int(data[column].isna().sum())} cells of {column!r} are empty")
    return frame_numbers("data", data.drop(columns=column), column), data[column].to_numpy()


# %% [markdown]
# What gives batches or examples must give their labels, too.

# %%
#| export data.labelled
def _from_batches(data: Any, labels: Any) -> tuple[Tensor, np.ndarray]:
    "All examples of a DataLoader, a Dataset or an iterator, and their labels."
    kind = type(data).__name__
    if labels is not None:
        raise ValueError(f"labels: expected none beside a {kind}, which has its own")
    x, y, why = read_batches(data)
    if y is None:
        raise TypeError(f"data: expected pairs of examples and labels from {kind}, got "
                        f"{why or 'examples alone'}")
    return x, y


# %% [markdown]
# What was given is told from its type.

# %%
#| export data.labelled
def _examples_of(data: Any, labels: Any) -> tuple[Tensor, Any]:
    "Examples and labels, whatever holds them."
    if is_frame(data):
        return _from_table(data, labels)
    if _gives_examples(data):
        return _from_batches(data, labels)
    if labels is None:
        raise ValueError("labels: expected one per example; only a DataLoader, a Dataset and a "
                         f"folder have their own, got {type(data).__name__}")
    try:
        return torch.as_tensor(data).detach().cpu(), labels
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError("data: expected a tensor, an array, a DataLoader, a Dataset, a DataFrame "
                        f"or a folder, got {type(data).__name__}") from error


# %% [markdown]
# Labels are whole numbers or words.

# %%
#| export data.labelled
def _checked_labels(labels: Any, n: int) -> LabelSet:
    "Classes of `n` examples and their names."
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    values = values.astype(str) if values.dtype.kind == "O" else values
    if values.shape[:1] != (n,) or values.size != n:
        raise ValueError(f"labels: expected {n}, one per example, got shape {values.shape}")
    try:
        return encode_labels(values.reshape(n))
    except ValueError as error:
        raise ValueError(f"labels: {error}") from error


# %% [markdown]
# Both are checked. Pictures of bytes stay bytes in memory.

# %%
#| export data.labelled
def _checked_examples(data: Any, labels: Any) -> tuple[Tensor, LabelSet]:
    "Examples `(n, *event)`, bytes or float32, and their classes."
    x, labels = _examples_of(data, labels)
    numbers = check_batch("data", x, least=2)
    if x.ndim < 2:
        raise ValueError(f"data: expected examples (n, *event), got shape {tuple(x.shape)}")
    if x.dtype == torch.uint8 and x.ndim in (3, 4):
        return x if x.ndim == 4 else x[:, None], _checked_labels(labels, len(x))
    return numbers.float(), _checked_labels(labels, len(x))


# %% [markdown]
# A path must be there.

# %%
#| export data.labelled
def _known_path(data: str | os.PathLike) -> str:
    "The path of a folder or an archive, as text."
    if not os.path.exists(data):
        raise ValueError(f"data: there is no file or folder {os.fspath(data)!r:.80}")
    return os.fspath(data)


# %% [markdown]
# The call:

# %%
#| export data.labelled
@checked
def labelled_modes(data: Any,  # (n, *event) tensor or array; DataLoader, Dataset, DataFrame, path
                   labels: Any = None,  # (n,) whole numbers or words; of a DataFrame: a column
                   held_out: Annotated[float, Real(0., .9)] = .1,  # share of each label set aside
                   ) -> FolderPictures:
    """Labelled data of your own as a mode set: each label is a mode. All of it is kept in memory.

    A DataLoader or Dataset gives pairs (example, label), see `held_examples`. Floats stay; bytes
    (n, [c,] h, w) become floats in [-1, 1]. A part is set aside by place, the same in each call. A
    path is a folder, as for `image_folder`. `ValueError` for labels that do not match, NaN.

    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> labelled_modes(x, [0, 1, 2] * 20, held_out=0)
    LabelledExamples(): 60 examples of 2, 3 modes: 0, 1, 2
    """
    if isinstance(data, (str, os.PathLike)):
        return image_folder(_known_path(data), held_out=held_out)
    x, found = _checked_examples(data, labels)
    mode, *named = _modes_of(found.labels, found.label_names, (), len(x))
    aside = _put_aside(mode, held_out)
    made = LabelledExamples(x[~aside], mode[~aside], *named)
    if aside.any():
        made.held_out = LabelledExamples(x[aside], mode[aside], *named)
    return made


# %% [markdown]
# A loader and its tensors give the same set.

# %%
own = labelled_modes(DataLoader(pairs, batch_size=64))
assert torch.equal(own._pixels, labelled_modes(points, kind)._pixels)
own

# %% [markdown]
# The judge is the nearest example. Here it is right on more than 95 % of the held-out points. Where your labels overlap, it errs more. `coverage` measures this on the held-out examples: its *floor* is what a perfect generator of this size would get.
#
# In the next cell the samples are the points themselves without the third kind. So more of them are *good* than of a perfect generator: nine of ten are in the set and have distance 0. A high score of quality does not exclude copies.

# %%
from modelab import coverage

test, truth = own.held_out._pixels, own.held_out._mode
right = (own.assign(test)[0] == truth).double().mean().item()
assert right > .95
missed = coverage(points[kind != 2], own)
assert missed.captured == 3
right, missed

# %% [markdown]
# ## In your own code
# Any callable that samples pictures can be judged. Here is a generator that draws only the empty street:

# %%
lazy = street._clean[:1].expand(1000, -1, -1, -1)
mode, good = street.assign(lazy)
good.float().mean().item(), mode.unique().numel()

# %%
assert good.all() and mode.unique().numel() == 1

# %% [markdown]
# All its pictures are good, and it covers one mode of seven.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.pictures import grade_both, grade_draws

# %% [markdown]
# **1.** (easy, 5 minutes) A generator draws eyeglasses and beard independently, at the right rates .06 and .10. What share of its faces has both?
#
# <details><summary>Hint</summary>
#
# For independent attributes, what is the rate of both together?
#
# </details>

# %%
answer = ...
grade_both(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = .06 * .10
# ```
#
# In the data the rate of both is .01, more than .006. A comparison of the two separate rates finds no difference. So rare combinations must be counted as modes of their own.
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) A rare combination has the rate .01. How many faces of a perfect generator must you draw at least, so that one or more of them show it with probability .95? Give the smallest whole number.
#
# <details><summary>Hint</summary>
#
# With which probability do $n$ independent faces all lack the combination?
#
# </details>

# %%
answer = ...
grade_draws(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The combination is in none of $n$ faces with probability $0.99^n$. This must be at most 0.05, so $n\ge\log 0.05/\log 0.99=298.07$.
#
# ```python
# import math
# answer = math.ceil(math.log(.05) / math.log(.99))
# ```
#
# This is 299, about $3/0.01$. With fewer faces a missing combination proves little.
#
# </details>

# %% [markdown]
# ## Recap
# - With finitely many clean pictures the nearest one gives the mode exactly, since the modes are far enough apart.
# - `image_folder` makes a mode set of your own pictures. Its judge goes by pixels, so it is a rough one.
# - `labelled_modes` makes one of what you hold in memory: tensors, a loader, a table. Its judge is a rough one, too.
# - `held_examples` reads a loader, a data set, a table or a path once. The audit, `missing`, `compare` and the monitor take what it reads.
# - The rates of rare attributes are known, alone and in combination; `include` draws a minority only.
#
# **For later.**
#
# 1. Why does the empty street score well?
# 2. Why must a bald head never wear a hat here?
# 3. What makes `good` unambiguous?
#
# <details><summary>Answers</summary>
#
# 1. Nine real pictures of ten show it. Each of its pictures is good, and an average error hardly changes if the other modes are missing.
# 2. The hat would hide the bald head. Two modes would then have the same picture, and nothing could tell them apart.
# 3. The clean pictures are farther apart than twice the distance within which a picture counts as good. So a picture cannot be good for two modes.
#
# </details>
#
# ## References
# - Liu, Luo, Wang, Tang 2015, *Deep Learning Face Attributes in the Wild*: CelebA.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.pictures
"Graders of chapter 6.11."
from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.pictures
@exercise(accepts=[.006, .06 * .1], rejects=[.01, .16, .06, .1, .04, "0.006"])
def grade_both(answer):
    assert abs(as_number(answer) - .006) < 1e-6, \
        "which rate follows from the two separate rates if the attributes are independent?"

# %%
#| export course.graders.pictures
@exercise(accepts=[299, 299.], rejects=[300, 298, 298.07, 100, 95, 20, 69, 458])
def grade_draws(answer):
    assert as_number(answer) == int(as_number(answer)), "a whole number of faces"
    assert .99 ** answer <= .05 < .99 ** (answer - 1), \
        "compute the probability that none of them shows it, for this number and for one less"
