# %% [markdown]
# # Data whose modes are known
# > Before you count what a generator lost, count what there was

# %%
#| default_exp modes

# %%
#| export
from __future__ import annotations

import copy
import functools
import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F

from modelab.course import batch, mode_set, number, one_of, replace, whole

# %%
#| export
class ModeSet:
    """Data whose modes are known.

    `n_modes`; `weights` (n_modes,), the law of the modes; `event`, the shape of one example; `bounds`, two opposite corners
    (each of shape `event`) of the box that uniform noise would fill; `held_out`, a set of the same kind over examples
    that training never sees, or None.
    """
    n_modes: int
    weights: torch.Tensor
    event: tuple[int, ...]
    held_out: ModeSet | None = None

    @property
    def device(self) -> torch.device:
        "Where the set's tensors live."
        return self.weights.device

    @property
    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        "The lowest and the highest corner of the box that uniform noise would fill."
        return self._low, self._high

    def sample(self, n: int,  # how many
               generator: torch.Generator,  # the only source of randomness
               ) -> torch.Tensor:
        "Draw `(n, *event)` float32 examples on the generator's device."
        return self.sample_with_modes(n, generator)[0]

    def sample_with_modes(self, n: int,  # how many
                          generator: torch.Generator,  # the only source of randomness
                          ) -> tuple[torch.Tensor, torch.Tensor]:
        "Draw `n` examples and say which mode each came from: `x (n, *event)` float32 and `mode (n,)` int64."
        n = whole("n", n)
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"generator: expected a torch.Generator, got {generator!r}")
        return self.to(generator.device)._draw(n, generator)

    def to(self, device: str | torch.device) -> ModeSet:
        "The same set with its tensors on `device`; copies are kept, so asking again is free."
        if device == self.device:
            return self
        try:
            device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device: expected one that this machine has, such as cpu or cuda, got {device!r}") from error
        if device == self.device:
            return self
        if device not in self._copies:
            there = copy.copy(self)
            there._copies = {}
            for name, value in vars(self).items():
                if isinstance(value, torch.Tensor):
                    setattr(there, name, value.to(device))
            self._copies[device] = there
        return self._copies[device]

    def __repr__(self) -> str:
        spec = dict(getattr(self, "spec", None) or {"name": type(self).__name__.lower()})
        name, short = spec.pop("name"), {k: v for k, v in spec.items() if len(repr(v)) < 20}
        return f"{name}({', '.join(f'{k}={v!r}' for k, v in short.items())}): {self._summary()}"

# %%
#| export
class Mixture(ModeSet):
    """A mixture of normal distributions; every component is a mode.

    `centers` (k, d); `covariances` (k, d, d); `weights` (k,). Densities and distances are computed in float64.
    """
    def __init__(self, centers, std, weights=None, pad=None):
        c = _table("centers", centers)
        k, d = c.shape
        self.n_modes, self.event, self._copies = k, (d,), {}
        s = _spread(std, k, d)
        w = _shares(weights, k)
        _distinct(c, s)
        self._full, self._law = s.ndim == 3, (w.log(), c, s)
        self.weights, self.centers, self._scale = w.float(), c.float(), s.float()
        self._even = bool((w == w[0]).all())
        self.covariances = (s @ s.mT if self._full else torch.diag_embed(s.square())).float()
        high, low = c.amax(0), c.amin(0)
        pad = torch.maximum((high - low) / 4, 3 * self._marginal().amax(0)) if pad is None else pad
        self._low, self._high = (low - pad).float(), (high + pad).float()

    def _marginal(self) -> torch.Tensor:
        "Standard deviation of every coordinate of every mode, (k, d) float64."
        scale = self._law[2]
        return scale.square().sum(-1).sqrt() if self._full else scale

    def _draw(self, n, generator):
        if self._even:
            mode = torch.randint(self.n_modes, (n,), generator=generator, device=self.device)
        else:
            mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, *self.event, generator=generator, device=self.device)
        scale = self._scale[mode]
        noise = (scale @ noise.unsqueeze(-1)).squeeze(-1) if self._full else noise.mul_(scale)
        return noise.add_(self.centers[mode]), mode

    def _offsets(self, x: torch.Tensor):
        "Chunks of `x - center` in float64, each (rows, k, d): few enough rows to stay small."
        centers = self._law[1].to(x.device)
        rows = max(1, 2 ** 21 // centers.numel())
        return (part.double()[:, None] - centers for part in x.split(rows))

    def _whiten(self, offset: torch.Tensor) -> torch.Tensor:
        "Offsets in units of standard deviations: their squared length is the squared Mahalanobis distance."
        scale = self._law[2].to(offset.device)
        if not self._full:
            return offset / scale
        return torch.linalg.solve_triangular(scale, offset.movedim(0, -1), upper=False).movedim(-1, 0)

    def log_prob(self, x: torch.Tensor,  # (n, d)
                 ) -> torch.Tensor:
        "Exact log density, (n,) float64, in nats."
        x = _exact(batch("x", x, self.event))
        log_weights, _, scale = (t.to(x.device) for t in self._law)
        volume = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1) if self._full else scale.log().sum(-1)
        constant = log_weights - volume - self.event[0] / 2 * math.log(2 * math.pi)
        return torch.cat([(constant - self._whiten(o).square().sum(-1) / 2).logsumexp(-1) for o in self._offsets(x)])

    def assign(self, x: torch.Tensor,  # (n, d)
               within: float = 3.0,  # how many standard deviations away an example may be
               metric: str = "mahalanobis",  # or "box": every coordinate for itself
               ) -> tuple[torch.Tensor, torch.Tensor]:
        "The nearest mode of each example by Mahalanobis distance, (n,) int64, and whether it is close enough, (n,) bool."
        x, within = _exact(batch("x", x, self.event)), number("within", within, above=0)
        one_of("metric", metric, ["mahalanobis", "box"])
        sides = self._marginal().to(x.device)
        modes, goods = [], []
        for offset in self._offsets(x):
            distance, mode = self._whiten(offset).square().sum(-1).min(-1)
            if metric == "box":
                nearest = offset[torch.arange(len(mode), device=x.device), mode]
                distance = (nearest / sides[mode]).abs().amax(-1).square()
            modes.append(mode)
            goods.append(distance <= within ** 2)
        return torch.cat(modes), torch.cat(goods)

    def _summary(self) -> str:
        even = "equal weights" if self._even else f"weights {self.weights.min():.3g} to {self.weights.max():.3g}"
        return f"{self.n_modes} modes in {self.event[0]}-D, {even}"


def _exact(x: torch.Tensor) -> torch.Tensor:
    "`x` where float64 exists: some accelerators have none."
    return x.cpu() if x.device.type == "mps" else x


def _table(name: str, values) -> torch.Tensor:
    "`values` as a float64 table on the CPU, refused unless it is (k, d) and finite."
    table = batch(name, values).detach().double().cpu()
    if table.ndim != 2 or table.shape[1] < 1:
        raise ValueError(f"{name}: expected shape (k, d), got {tuple(table.shape)}")
    return table


def _spread(std, k: int, d: int) -> torch.Tensor:
    "Standard deviations (k, d), or Cholesky factors (k, d, d) where `std` holds covariances."
    try:
        s = torch.as_tensor(std).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"std: expected numbers, got {std!r}") from error
    if s.ndim == 0:
        number("std", s.item(), above=0)
    if tuple(s.shape) not in ((), (k,), (k, d), (k, d, d)):
        raise ValueError(f"std: expected a number or shape ({k},), ({k}, {d}) or ({k}, {d}, {d}), got {tuple(s.shape)}")
    if not torch.isfinite(s).all():
        raise ValueError("std: expected finite numbers, got NaN or infinity")
    if s.ndim < 3:
        if (s <= 0).any():
            raise ValueError(f"std: expected numbers > 0, got {s.min().item():g}")
        return (s.reshape(-1, 1) if s.ndim == 1 else s).expand(k, d).contiguous()
    factor, info = torch.linalg.cholesky_ex(s)
    wrong = (info > 0) | ((s - s.mT).abs() > 1e-6 * s.abs().amax((1, 2), keepdim=True)).flatten(1).any(1)
    if wrong.any():
        raise ValueError(f"std: expected symmetric positive definite covariances, got {s[wrong][0].tolist()} "
                         f"for mode {int(wrong.nonzero()[0])}")
    return factor


def _shares(weights, k: int) -> torch.Tensor:
    "Positive `weights` (k,) scaled to sum to one; equal shares for None."
    w = torch.ones(k) if weights is None else batch("weights", weights).detach()
    if tuple(w.shape) != (k,):
        raise ValueError(f"weights: expected one per mode, shape ({k},), got {tuple(w.shape)}")
    if (w <= 0).any():
        raise ValueError(f"weights: expected numbers > 0, got {w.min().item():g}")
    w = w.double().cpu()
    return w / w.sum()


def _distinct(c: torch.Tensor, s: torch.Tensor) -> None:
    "Refuse two centres closer than a thousandth of a standard deviation: they are one mode counted twice."
    least = s.flatten(1).abs().amax(1).min() / 1000
    for start in range(0, len(c), 512):
        distance = torch.cdist(c[start:start + 512], c, compute_mode="donot_use_mm_for_euclid_dist")
        distance.diagonal(start).fill_(math.inf)
        if (distance < least).any():
            i, j = (distance < least).nonzero()[0].tolist()
            raise ValueError(f"centers: expected distinct modes, got rows {start + i} and {j} at the same point "
                             f"{[round(v, 6) for v in c[j].tolist()]}; for a heavier mode give one centre and weights")

# %%
#| export
@mode_set
def mixture(centers,  # (k, d) numbers
            std,  # a number, (k,), (k, d), or covariances (k, d, d)
            weights=None,  # (k,) positive numbers of any sum; default: equal
            ) -> Mixture:
    "Normal modes of your own."
    return Mixture(centers, std, weights)


@mode_set
def ring(n: int = 8,  # modes, all distinct
         radius: float = 1,  # distance of every mode from the origin
         std: float = .01,  # of every coordinate
         ) -> Mixture:
    "`n` equal modes on a circle."
    n, radius, std = whole("n", n), number("radius", radius, above=0), number("std", std, above=0)
    return Mixture(_circle(n, radius), std, pad=radius / 2)


def _circle(n: int, radius: float) -> torch.Tensor:
    "The `n` corners of a regular polygon, (n, 2) float64."
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


@mode_set
def grid(side: int = 5,  # modes along each side
         spacing: float = 2,  # between neighbours
         std: float = .05,  # of every coordinate
         ) -> Mixture:
    "`side`² equal modes on a square lattice centred on the origin."
    side, spacing, std = whole("side", side), number("spacing", spacing, above=0), number("std", std, above=0)
    ticks = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    return Mixture(torch.cartesian_prod(ticks, ticks), std, pad=spacing / 2)


@mode_set
def line(n: int = 5,  # modes in the middle
         spacing: float = .25,  # between neighbours
         std: float = .01,  # of every mode
         far: int = 0,  # further modes at 5, -5, 10, -10, …
         ) -> Mixture:
    "Equal modes on the real line, examples of shape (1,): `n` close together, `far` far away."
    n, far = whole("n", n), whole("far", far, 0)
    spacing, std = number("spacing", spacing, above=0), number("std", std, above=0)
    near = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * spacing
    away = torch.tensor([5. * (i // 2 + 1) * (1 - 2 * (i % 2)) for i in range(far)], dtype=torch.float64)
    if far and near.max() >= 5:
        raise ValueError(f"n, spacing: expected the line to end before the first far mode at 5, got {near.max():g}")
    return Mixture(torch.cat([near, away])[:, None], std)


@mode_set
def rare_modes(share: float = .9,  # what the central mode holds
               n: int = 8,  # rare modes, on a circle, with equal shares of the rest
               radius: float = 2,  # of the circle
               std: float = .05,  # of every coordinate
               ) -> Mixture:
    "One heavy mode at the origin (mode 0) and `n` rare ones around it."
    share, n = number("share", share, most=1 - 1e-9, above=0), whole("n", n)
    radius, std = number("radius", radius, above=0), number("std", std, above=0)
    centers = torch.cat([torch.zeros(1, 2, dtype=torch.float64), _circle(n, radius)])
    return Mixture(centers, std, [share] + [(1 - share) / n] * n, pad=radius / 2)

# %%
#| export
class Judge:
    """A classifier of ten digits that says how sure it is: a few small networks that vote.

    Fitted once on training scans. `accuracy` and `confusion` (10, 10; row: truth, column: verdict) come from held-out ones.
    """
    def __init__(self, layers: list[torch.Tensor], images: torch.Tensor, labels: torch.Tensor):
        self.layers = [t.detach() for t in layers]
        verdict = self.predict(images)[0]
        self.confusion = torch.bincount(labels * 10 + verdict, minlength=100).reshape(10, 10)
        self.accuracy = (self.confusion.diagonal().sum() / len(labels)).item()
        self.n = len(labels)

    def predict(self, x: torch.Tensor,  # (n, h, w) or (n, 1, h, w), values in [-1, 1]
                ) -> tuple[torch.Tensor, torch.Tensor]:
        "The class of each picture, (n,) int64, and the probability given to it, (n,) float32."
        x = batch("x", x)
        pixels = self.layers[0].shape[1]
        if x[0].numel() != pixels:
            raise ValueError(f"x: expected pictures of {pixels} pixels, got shape {tuple(x.shape)}")
        layers = [t.to(x.device) for t in self.layers]
        votes = [_votes(layers, part.flatten(1).float()).softmax(-1).mean(0).max(-1) for part in x.split(8192)]
        return torch.cat([v.indices for v in votes]), torch.cat([v.values for v in votes])

    def __repr__(self) -> str:
        return f"Judge: {self.accuracy:.1%} right on {self.n} held-out scans"


def _votes(layers: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    "Logits (members, n, 10) of the networks in `layers` (weight, bias, weight, bias, …) for flat pictures `x`."
    x = x.expand(len(layers[0]), *x.shape[-2:])
    for i in range(0, len(layers), 2):
        x = torch.baddbmm(layers[i + 1], x.relu() if i else x, layers[i])
    return x


def _fit(images: torch.Tensor, labels: torch.Tensor, width=128, members=4, walk=600, size=128, rate=2e-3) -> list[torch.Tensor]:
    "Weights of `members` networks of one hidden layer, each trained on batches of its own; always the same ones."
    g = torch.Generator().manual_seed(0)
    widths, layers = [images[0].numel(), width, 10], []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.randn(members, a, b, generator=g) * (2 / a) ** .5, torch.zeros(members, 1, b)]
    layers = [t.requires_grad_() for t in layers]
    adam = torch.optim.AdamW(layers, rate, weight_decay=1e-4)
    for step in range(walk):
        adam.param_groups[0]["lr"] = rate * (1 - step / walk)
        i = torch.randint(len(images), (members, size), generator=g)
        x = images[i.flatten()].reshape(members, size, -1)
        loss = F.cross_entropy(_votes(layers, x).flatten(0, 1), labels[i.flatten()]) * members
        adam.zero_grad()
        loss.backward()
        adam.step()
    return layers

# %%
#| export
class Scans(ModeSet):
    """Real scanned digits, one per channel; a mode is what the channels show: 100a + 10b + c for three of them.

    Pixels are kept as integers 0…`top` and handed out in [-1, 1]; `picture` turns them back for showing. Draws are with
    replacement from one split. `judge` names the digits of `assign`.
    """
    def __init__(self, images, labels, top: int, channels: int, judge, held_out):
        self._images, self._labels, self._top, self._copies = images, labels, top, {}
        self._judge, self._held_out = judge, held_out
        share = torch.bincount(labels, minlength=10).double() / len(labels)
        law = functools.reduce(lambda a, b: torch.outer(a, b).flatten(), [share] * channels)
        self.n_modes, self.weights, self.event = 10 ** channels, law.float(), (channels, *images.shape[1:])
        self._low, self._high = -torch.ones(self.event), torch.ones(self.event)
        self._place = 10 ** torch.arange(channels - 1, -1, -1)

    @property
    def judge(self) -> Judge:
        "The classifier behind `assign`, fitted on the training split at first use."
        return self._judge()

    @property
    def held_out(self) -> Scans | None:
        "The same set over the scans that neither a generator nor the judge was trained on."
        return self._held_out and self._held_out()

    def _draw(self, n, generator):
        i = torch.randint(len(self._images), (n, self.event[0]), generator=generator, device=self.device)
        return self._images[i].float().mul_(2 / self._top).sub_(1), (self._labels[i] * self._place).sum(1)

    def assign(self, x: torch.Tensor,  # (n, *event), values in [-1, 1]
               confidence: float = .9,  # how sure the judge must be of every channel
               ) -> tuple[torch.Tensor, torch.Tensor]:
        "The mode the judge sees in each example, (n,) int64, and whether it is sure of every channel, (n,) bool."
        x, confidence = batch("x", x, self.event), number("confidence", confidence, 0, 1)
        digit, sure = (v.reshape(len(x), -1) for v in self.judge.predict(x.flatten(0, 1)))
        return (digit * self._place.to(x.device)).sum(1), (sure >= confidence).all(1)

    def picture(self, x: torch.Tensor,  # (n, *event), values in [-1, 1]
                ) -> torch.Tensor:
        "Examples as pictures in [0, 1]: (n, h, w) grey, or (n, h, w, 3) where the three channels are red, green, blue."
        x = batch("x", x, self.event).add(1).div(2).clamp(0, 1)
        return x.squeeze(1) if self.event[0] == 1 else x.movedim(1, -1)

    def _summary(self) -> str:
        return f"{self.n_modes} modes, {self.event[0]}×{self.event[1]}×{self.event[2]} from {len(self._images)} scans"

# %%
#| export
@mode_set
def digits(split: str = "train",  # or "held_out"
           ) -> Scans:
    "Ten modes: 1,797 real handwritten digits of 8×8 pixels, shipped with scikit-learn."
    return _small(1, split)


@mode_set
def stacked_digits(split: str = "train",  # or "held_out"
                   ) -> Scans:
    "A thousand modes: three of the 8×8 digits as the channels of one picture."
    return _small(3, split)


def _small(channels: int, split: str) -> Scans:
    one_of("split", split, ["train", "held_out"])
    images, labels = _optdigits()[split]
    other = {1: digits, 3: stacked_digits}[channels]
    return Scans(images, labels, 16, channels, _small_judge,
                 functools.partial(other, "held_out") if split == "train" else None)


@functools.lru_cache(1)
def _optdigits() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    "The 8×8 scans, split: in each class, two of every nine are held out."
    from sklearn.datasets import load_digits
    data = load_digits()
    images, labels = torch.tensor(data.images, dtype=torch.uint8), torch.tensor(data.target, dtype=torch.int64)
    rank = torch.stack([(labels == c).cumsum(0) - 1 for c in range(10)])[labels, torch.arange(len(labels))]
    held = (rank % 9 == 3) | (rank % 9 == 7)
    return {"train": (images[~held], labels[~held]), "held_out": (images[held], labels[held])}


@functools.lru_cache(1)
def _small_judge() -> Judge:
    data = {split: (images / 8 - 1, labels) for split, (images, labels) in _optdigits().items()}
    return Judge(_fit(*data["train"]), *data["held_out"])
