# %% [markdown]
# # Data sets whose modes are known
# > How many modes does my data have, and how can I know that one is missing?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How many modes does my data have, and how can I know that one is missing? |
# | **You will be able to** | build sets whose modes, weights and density are exact; read a real digit's mode with a classifier whose errors you know |
# | **Paper** | the toy sets of Metz et al. 2017, Srivastava et al. 2017 and Lin et al. 2018, and stacked digits after them |
# | **Needs** | [0.2](02_evidence.ipynb) |
# | **Time** | about 20 seconds of computing |

# %%
#| default_exp data.mixtures

# %%
#| export
"Mode sets with known modes: Gaussian mixtures, ring, grid, line and rare modes."
from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch

from modelab.core.checks import check_batch, check_choice, check_int, check_ints, check_number
from modelab.core.registry import register_mode_set

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import FAKE, MISSING, REAL, Picture, axes, image_grid, scatter
from modelab.core.statistics import Interval
from modelab.course.claims import claim
from modelab.course.notebooks import patch
from modelab.data.mnist import stacked_mnist

# %% [markdown]
# ## A well-known ring of eight
# The ring of eight is the standard toy set for mode collapse: eight small normal distributions on a circle. A well-known public
# demo places the centres at eight equally spaced angles from 0 to $2\pi$, both included.

# %%
angle = torch.linspace(0, 2 * math.pi, 8, dtype=torch.float64)
famous = torch.stack([angle.cos(), angle.sin()], 1)
g = torch.Generator().manual_seed(0)
x = famous[torch.randint(8, (2000,), generator=g)] + .01 * torch.randn(2000, 2, generator=g)

# %% [markdown]
# Each of the eight centres is equally likely, so each should get about 250 of the 2,000 draws.
#
# **Predict:** how many clusters will you see, and how many draws will be in the one on the far right?

# %%
figure, (plane, counts) = axes(1, 2)
scatter(plane, x, limit=1.3)
places = famous.round(decimals=6).unique(dim=0)  # from left to right
seen = torch.bincount(torch.cdist(x, places).argmin(1))
counts.bar(range(len(seen)), seen, color=REAL)
counts.set(xlabel="cluster, from left to right", ylabel="draws of 2,000", xticks=range(len(seen)))
Picture(figure, f"{len(seen)} clusters on a circle; from left to right they hold {seen.tolist()} "
                "draws")

# %% [markdown]
# There are seven clusters. `linspace` includes both ends, and the angles 0 and $2\pi$ are the same point. So the ring has seven
# modes, and one of them is twice as heavy.
#
# A score that uses the same list of centres does not show the error. The literature counts a mode as captured if a sample
# lies within three standard deviations of its centre. By this rule the broken ring gets the full score:

# %%
reached = (torch.cdist(x, famous) < .03).any(0)
distinct = len(places)
assert 400 < seen[-1] < 600 and reached.all() and distinct == 7
int(reached.sum()), distinct

# %%
claim("The ring of 8 in the public demo of Unrolled GAN has 7 distinct modes",
      paper="Metz et al. 2017", section="public demo", figure="8 modes",
      ours=f"{distinct} distinct", holds=distinct == 7)

# %% [markdown]
# The score is eight of eight, on data with seven modes. A bug that is in the sampler *and* in the scorer does not show in the
# score. Score the same draws with the centres of a correct ring: only one of its eight centres has draws near it.

# %%
angle = torch.arange(8, dtype=torch.float64) * 2 * math.pi / 8
honest = torch.stack([angle.cos(), angle.sin()], 1)
reached = (torch.cdist(x, honest) < .03).any(0)
assert reached.sum() == 1
int(reached.sum())


# %% [markdown]
# So this chapter builds data sets whose modes are known exactly and whose settings are checked.

# %% [markdown]
# ## What a mode set provides
# The *density* of a distribution at a point is the probability of a small region around it, divided by the size of the region. A *mode* is a region where the density has a peak. In our synthetic data the modes are the components of a mixture of normal
# distributions:
#
# $$p(x)=\sum_{k=1}^{K} w_k\,\mathcal N(x;\,c_k,\Sigma_k),\qquad w_k>0,\quad \textstyle\sum_k w_k=1.$$
#
# Component $k$ has centre $c_k$, covariance $\Sigma_k$ and weight $w_k$. So four questions have exact answers: how many modes there
# are ($K$), how heavy each is ($w_k$), how likely an example is ($p$), and which mode an example belongs to. This needs components
# that hardly overlap. (Two equal one-dimensional components have two peaks only if their centres are more than two
# standard deviations apart.)
#
# The settings are checked first. `_numbers` converts them to float64 and refuses what is not a finite number. A
# spread is one number, one number per mode, one per mode and coordinate, or full covariances. Two centres closer than a
# thousandth of a standard deviation are refused: they would be one mode counted twice.
#
# **You can skip the code from here to the heading "Mixtures of your own" at first reading.**

# %%
#| export
def _numbers(name: str, values) -> torch.Tensor:
    "A float64 copy of `values` on the CPU; refused unless all are numbers that float32 can hold."
    try:
        if (given := torch.as_tensor(values)).is_complex() or given.dtype == torch.bool:
            raise TypeError(f"got {given.dtype}")
        table = torch.as_tensor(values, dtype=torch.float64, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(values).__name__
        raise TypeError(f"{name}: expected real numbers, got {kind} ({error})") from error
    if not torch.isfinite(table.float()).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN, infinity or more than "
                         "float32 can hold")
    return table

# %% [markdown]
# `_scales` turns a spread, in any of its four forms, into standard deviations for each mode and coordinate, or into Cholesky factors of full covariances.

# %%
#| export
def _scales(std, k: int, d: int) -> torch.Tensor:
    "Standard deviations (k, d), or Cholesky factors (k, d, d) where `std` holds covariances."
    s = _numbers("std", std)
    if tuple(s.shape) not in ((), (k,), (k, d), (k, d, d)):
        raise ValueError(f"std: expected a number or shape ({k},), ({k}, {d}) or ({k}, {d}, {d}), "
                         f"got {tuple(s.shape)}")
    if s.ndim == 3:
        return _cholesky(s)
    if not (s > 0).all():
        raise ValueError(f"std: expected numbers > 0, got {s.min().item():g}")
    return (s[:, None] if s.ndim == 1 else s).expand(k, d).contiguous()

# %% [markdown]
# A covariance matrix must be symmetric and positive definite. Its Cholesky factor $L$, with $\Sigma=LL^\top$, turns standard normal numbers into numbers with this covariance. A matrix without such a factor is refused, and the error names its mode.

# %%
#| export
def _cholesky(s: torch.Tensor) -> torch.Tensor:
    "Cholesky factors (k, d, d) of covariances (k, d, d)."
    factor, failed = torch.linalg.cholesky_ex(s)
    uneven = (s - s.mT).abs().flatten(1).amax(1) > 1e-6 * s.abs().flatten(1).amax(1)
    if (wrong := (failed > 0) | uneven).any():
        k = int(wrong.nonzero()[0])
        raise ValueError("std: expected symmetric positive definite covariances, "
                         f"got {s[k].tolist()} for mode {k}")
    return factor

# %% [markdown]
# Weights are scaled to sum to one.

# %%
#| export
def _shares(weights, k: int) -> torch.Tensor:
    "`weights` (k,) scaled to sum to one; equal shares for None."
    w = torch.ones(k, dtype=torch.float64) if weights is None else _numbers("weights", weights)
    if tuple(w.shape) != (k,):
        raise ValueError(f"weights: expected one per mode, shape ({k},), got {tuple(w.shape)}")
    share = w / w.max()
    if not (w > 0).all() or not (share.float() / k > 0).all():
        raise ValueError("weights: expected numbers > 0 that float32 can tell from 0, "
                         f"got {w.min().item():g}")
    return share / share.sum()

# %% [markdown]
# Two centres at nearly the same place would be counted as two modes. `_check_distinct` refuses them.

# %%
#| export
def _check_distinct(centers: torch.Tensor, least: float) -> None:
    "Refuse two `centers` less than `least` apart."
    exact = "donot_use_mm_for_euclid_dist"
    for start in range(0, len(centers), 512):
        gap = torch.cdist(centers[start:start + 512], centers, compute_mode=exact)
        gap.diagonal(start).fill_(math.inf)
        if (gap < least).any():
            i, j = (gap < least).nonzero()[0].tolist()
            raise ValueError(f"centers: expected distinct modes, got the same point for rows "
                             f"{start + i} and {j}: {centers[j].tolist()}; "
                             "for one heavier mode give `weights`")

# %% [markdown]
# Examples are float32 numbers. Far from the origin two neighbouring float32 numbers are far apart. A very narrow mode there would consist of a few points only. `_check_resolution` refuses such a spread.

# %%
#| export
def _check_resolution(centers: torch.Tensor, sides: torch.Tensor) -> None:
    "Refuse standard deviations (k, d) that float32 numbers near `centers` cannot show."
    finest = max(centers.abs().max().item() * 2 ** -20, 1e-30)
    if sides.min() < finest:
        raise ValueError(f"std: expected at least {finest:.3g}, so that float32 examples at these "
                         f"centers can show it, got {sides.min().item():.3g}")

# %% [markdown]
# Every set, of points or of pictures, has the same interface. Randomness comes only from the generator that you pass: the
# same seed gives the same examples, and the global random state of your program does not change.

# %%
#| export
class ModeSet:
    """Data whose modes are known.

    `n_modes`; `weights` (n_modes,), the law of the modes; `event`, the shape of one example;
    `held_out`, a set of the same kind over examples that training never sees, or None;
    `assign(x) -> (mode, good)`.
    """
    n_modes: int
    weights: torch.Tensor
    event: tuple[int, ...]
    held_out: ModeSet | None = None

    device = property(lambda self: self.weights.device, doc="Where the set's tensors live.")

    @property
    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        "Lowest and highest corner, each of shape `event`, of the box that uniform noise fills."
        return self._low, self._high

    def __repr__(self) -> str:
        spec = getattr(self, "spec", None) or {"name": type(self).__name__}
        settings = [f"{k}={v!r}" for k, v in spec.items() if k != "name" and len(repr(v)) < 30]
        return f"{spec['name']}({', '.join(settings)}): {self._summary()}"

# %% [markdown]
# Examples are drawn with their modes or without.

# %%
#| export
@patch
def sample(self: ModeSet, n: int, generator: torch.Generator) -> torch.Tensor:
    "Draw `n` examples (n, *event), float32, on the device of `generator`."
    return self.sample_with_modes(n, generator)[0]

# %% [markdown]
# `sample_with_modes` also returns the mode that each example was drawn from. Later chapters use these labels to measure how often real examples are assigned to the right mode.

# %%
#| export
@patch
def sample_with_modes(self: ModeSet, n: int,
                      generator: torch.Generator,  # the only source of randomness
                      ) -> tuple[torch.Tensor, torch.Tensor]:
    "The same draws, and the mode each came from, (n,) int64."
    n = check_int("n", n)
    _check_generator(generator)
    return self.to(generator.device)._draw(n, generator)

# %% [markdown]
# The caller passes a `torch.Generator` (torch's random number generator, not the G of a GAN). A seed or `None` is refused.

# %%
#| export
def _check_generator(generator) -> None:
    "Refuse what is no torch.Generator."
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator, got {generator!r}")

# %% [markdown]
# A set lives on one device; a copy of it on another device is made once.

# %%
#| export
@patch
def to(self: ModeSet, device: str | torch.device) -> ModeSet:
    "The same set with its tensors on `device`; copies are kept, so asking again costs nothing."
    if device == self.device:
        return self
    try:
        device = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError("device: expected one that this machine has, such as cpu, "
                         f"got {device!r}") from error
    if device != self.device and device not in self._copies:
        there = self._copies[device] = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (torch.Tensor, ModeSet)):
                setattr(there, name, value.to(device))
    return self._copies.get(device, self)

# %% [markdown]
# Later chapters measure some modes separately, or leave some out. For that they draw from a few modes, in their own proportions:

# %%
#| export
def sample_modes(modes: ModeSet,
                 minority: Sequence[int],  # modes
                 n: int,
                 generator: torch.Generator) -> torch.Tensor:  # (n, *event)
    "`n` examples of the modes in `minority`, in their own proportions."
    if not isinstance(modes, ModeSet):
        raise TypeError(f"modes: expected a mode set, got {modes!r}")
    _check_generator(generator)
    minority = check_ints("minority", minority, 0, modes.n_modes - 1)
    n = check_int("n", n, 0)
    wanted = torch.as_tensor(sorted(minority), device=generator.device)
    share = modes.weights.to(generator.device)[wanted].sum().item()
    if n and not share:
        raise ValueError(f"minority: {modes!r} never draws the modes {minority}")
    kept = [modes.sample(1, generator)[:0]]
    while (missing := n - sum(map(len, kept))) > 0:
        tried = min(8192, int(1.1 * missing / share) + 16)
        x, mode = modes.sample_with_modes(tried, generator)
        kept.append(x[torch.isin(mode, wanted)])
    return torch.cat(kept)[:n]

# %% [markdown]
# Distances are measured in standard deviations. For a mode with covariance $\Sigma=LL^\top$ the *whitened* offset is
# $u=L^{-1}(x-c)$. Its length is the Mahalanobis distance. The log density follows from it:
#
# $$\log\mathcal N(x;c,\Sigma)=-\tfrac12\|u\|^2-\log\det L-\tfrac d2\log 2\pi .$$

# %% [markdown]
# A mixture adds its density and its rule of membership. An example belongs to the nearest mode. It is *good* (the literature says *high
# quality*) if it is within three standard deviations of this mode. Some papers test each coordinate separately, which makes the
# region a box instead of an ellipse: `metric="box"`.

# %%
#| export
class Mixture(ModeSet):
    """A mixture of normal distributions, every one a mode.

    `centers` (k, d), `covariances` (k, d, d), `weights` (k,). Densities and distances are float64.
    """
    def __init__(self, centers, std, weights=None, pad: float | None = None):
        c = _numbers("centers", centers)
        if c.ndim != 2 or not c.numel():
            raise ValueError(f"centers: expected shape (modes, dimensions), got {tuple(c.shape)}")
        scales, shares = _scales(std, *c.shape), _shares(weights, len(c))
        pad = pad if pad is None else check_number("pad", pad, 0)
        self._full = scales.ndim == 3
        sides = scales.norm(dim=-1) if self._full else scales  # of every coordinate, (k, d)
        _check_distinct(c, sides.amax(1).min().item() / 1000)
        _check_resolution(c, sides)
        self._law, self._copies = (c, scales, shares, sides), {}  # the exact law stays on the CPU
        self.n_modes, self.event = len(c), (c.shape[1],)
        self._even = bool((shares == shares[0]).all())
        self.weights, self.centers, self._scales = shares.float(), c.float(), scales.float()
        covariances = scales @ scales.mT if self._full else torch.diag_embed(scales ** 2)
        self.covariances = covariances.float()
        apart = torch.maximum((c.amax(0) - c.amin(0)) / 4, 3 * sides.amax(0))
        margin = apart if pad is None else pad
        self._low, self._high = (c.amin(0) - margin).float(), (c.amax(0) + margin).float()

# %% [markdown]
# An example is a mode's centre and a normal offset with the mode's covariance.

# %%
#| export
@patch
def _draw(self: Mixture, n, generator):
    if self._even:
        mode = torch.randint(self.n_modes, (n,), generator=generator, device=self.device)
    else:
        mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
    noise = torch.randn(n, *self.event, generator=generator, device=self.device,
                        dtype=torch.float32)
    scales = self._scales[mode]
    noise = (scales @ noise[..., None]).squeeze(-1) if self._full else noise.mul_(scales)
    return noise.add_(self.centers[mode]), mode

# %% [markdown]
# Density and membership need the offset of each example from each centre.

# %%
#| export
@patch
def _offsets(self: Mixture, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    "`x - center` and the same whitened, in chunks (rows, k, d) that stay small."
    centers, scales = (t.to(x.device) for t in self._law[:2])
    for part in x.split(max(1, 2 ** 21 // centers.numel())):
        o = part.double()[:, None] - centers
        if self._full:
            u = torch.linalg.solve_triangular(scales, o.movedim(0, -1), upper=False)
            yield o, u.movedim(-1, 0)
        else:
            yield o, o / scales

# %% [markdown]
# `log_prob` is the exact log density of the mixture in float64. The sum over modes is taken with `logsumexp`, which stays finite far from all modes.

# %%
#| export
@patch
def log_prob(self: Mixture, x: torch.Tensor) -> torch.Tensor:
    "Exact log density in nats, (n,) float64, of `x` (n, d)."
    x, (_, scales, shares, _) = _on_cpu_if_mps(check_batch("x", x, self.event)), self._law
    widths = scales.diagonal(dim1=-2, dim2=-1) if self._full else scales
    constant = shares.log() - widths.log().sum(1) - self.event[0] / 2 * math.log(2 * math.pi)
    constant = constant.to(x.device)
    return torch.cat([(constant - u.square().sum(-1) / 2).logsumexp(-1)
                      for _, u in self._offsets(x)])

# %% [markdown]
# `assign` gives each example its nearest mode and says whether it is good. Coverage is counted from these two answers.

# %%
#| export
@patch
@torch.no_grad()
def assign(self: Mixture, x: torch.Tensor,  # (n, d)
           within: float = 3.0,  # how many standard deviations away an example may be
           metric: str = "mahalanobis",  # or "box": every coordinate for itself
           ) -> tuple[torch.Tensor, torch.Tensor]:
    "The nearest mode by Mahalanobis distance, (n,) int64, and if it is near enough, (n,) bool."
    x, within = check_batch("x", x, self.event), check_number("within", within, above=0)
    box = check_choice("metric", metric, ["mahalanobis", "box"]) == "box"
    parts, sides = [], self._law[3].to(_on_cpu_if_mps(x).device)
    for offset, whitened in self._offsets(_on_cpu_if_mps(x)):
        distance, mode = whitened.norm(dim=-1).min(-1)
        if box:
            nearest = offset[torch.arange(len(mode), device=mode.device), mode]
            distance = (nearest / sides[mode]).abs().amax(-1)
        parts.append((mode, distance <= within))
    return tuple(torch.cat(v).to(x.device) for v in zip(*parts))

# %% [markdown]
# The second half of a set's `repr`: the number of modes, the dimension, and the range of the weights.

# %%
#| export
@patch
def _summary(self: Mixture) -> str:
    d, w = self.event[0], self.weights
    shares = "equal" if self._even else f"from {w.min():.3g} to {w.max():.3g}"
    return f"{self.n_modes} modes in {d} dimension{'s' * (d > 1)}, weights {shares}"

# %% [markdown]
# Apple's GPU backend (`mps`) has no float64. For tensors there, densities and distances are computed on the CPU.

# %%
#| export
def _on_cpu_if_mps(x: torch.Tensor) -> torch.Tensor:
    "`x`, brought to the CPU from an accelerator that has no float64."
    return x.cpu() if x.device.type == "mps" else x


# %% [markdown]
# ### Mixtures of your own
# `mixture` is the public function: centres, spreads and weights of your own. `register_mode_set` makes it known by its name, for instance to the command line, and records its settings in the set's `spec`.

# %%
#| export
@register_mode_set
def mixture(centers,  # (k, d): as many modes as rows
            std,  # one number, (k,), (k, d), or covariances (k, d, d)
            weights=None,  # (k,) positive numbers, scaled to sum to one; default: equal
            ) -> Mixture:
    "A mixture of normal distributions of your own."
    return Mixture(centers, std, weights)


# %% [markdown]
# The broken ring is now refused:

# %%
error_message(mixture, famous, .01)

# %% [markdown]
# `n_modes` counts components. If they overlap, the density may have fewer peaks. Here are two components, and the log density is highest between their centres:

# %%
close = mixture([[0.], [1.]], std=1.)
density = close.log_prob(torch.tensor([[0.], [.5], [1.]]))
assert density[1] > max(density[0], density[2])
close.n_modes, density.tolist()

# %% [markdown]
# A mixture that uses all settings: three modes, unequal weights, full covariances.

# %%
tilted = torch.tensor([[[.5, .4], [.4, .5]], [[.5, -.4], [-.4, .5]], [[.1, 0], [0, .02]]])
three = mixture([[-2, 0], [2, 0], [0, 2]], tilted, weights=[3, 2, 1])
x, mode = three.sample_with_modes(1500, g)
three, three.weights

# %%
figure, ax = axes(size=(4.4, 3.4))
scatter(ax, x)
span = torch.linspace(-5, 5, 201)
plane = torch.cartesian_prod(span, span)
density = three.log_prob(plane).reshape(201, 201).T
ax.contour(span, span, density, levels=[-8, -6, -4, -2], colors=MISSING, linewidths=.7)
ax.set_title("1,500 draws and contours of the log density")
Picture(figure, "Three clusters, two tilted and one small and flat, each inside its own contours")

# %% [markdown]
# ## Is the density right?
# There are three independent checks. First, one mode in one dimension is compared with the formula of the normal density. Second,
# the mixture above is compared with `torch.distributions`.

# %%
u = torch.tensor([[.7]], dtype=torch.float64)
bell = -(u - 1) ** 2 / (2 * .5 ** 2) - math.log(.5 * math.sqrt(2 * math.pi))
assert torch.allclose(mixture([[1.]], .5).log_prob(u), bell.flatten(), rtol=0, atol=1e-12)

# %%
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
reference = MixtureSameFamily(Categorical(torch.tensor([3., 2, 1]).double()), MultivariateNormal(
    torch.tensor([[-2., 0], [2, 0], [0, 2]]).double(), tilted.double()))
gap = (three.log_prob(x) - reference.log_prob(x.double())).abs().max()
assert gap < 1e-12
f"largest difference on 1,500 points: {gap:.0e}"

# %% [markdown]
# Third, a density must integrate to one. On a fine grid the sum of $p$ times the cell area is 1 to ten decimals:

# %%
fine = torch.linspace(-9, 9, 601, dtype=torch.float64)
total = three.log_prob(torch.cartesian_prod(fine, fine)).exp().sum() * .03 ** 2
assert abs(total - 1) < 1e-10
round(total.item(), 10)

# %% [markdown]
# The sampler must agree with the weights. In 60,000 draws the counts should differ from $nw_k$ by chance only. Pearson's
# chi-squared test gives a *[p-value](../glossary.ipynb)*: the probability of a difference at least as large, if the sampler is right. The measured covariance of each mode should be close
# to its $\Sigma_k$.

# %%
from scipy.stats import chisquare
x, mode = three.sample_with_modes(60_000, g)
count = torch.bincount(mode).double()
p_value = chisquare(count, 60_000 * three.weights.double() / three.weights.double().sum()).pvalue
measured = torch.stack([x[mode == k].T.cov() for k in range(3)])
assert p_value > 1e-3 and (measured - three.covariances).abs().max() < .02
count.tolist(), f"p = {p_value:.2f}"


# %% [markdown]
# ## Four toy sets
# Toy sets have different difficulties. The *ring* has eight equal modes on a circle. The *grid* has 25
# modes, in two dimensions and at different distances from the origin. The *line* has one-dimensional examples, so the data, the generator and the
# discriminator can be plotted in one figure. Its *far* modes are at 5, −5, 10, …, far from the first samples of a generator. In *rare
# modes* nine of ten examples are in the central mode, and eight rare modes share the rest.
#
# The user of such a set gives a radius or a spacing, not centres. `_mixture_from` makes errors name the settings that the user gave.

# %%
#| export
def _mixture_from(names: str, *law, **more) -> Mixture:
    "A mixture whose centers follow from other settings: what is wrong with them is said of these."
    try:
        return Mixture(*law, **more)
    except ValueError as error:
        raise ValueError(f"{names}: {error}") from error


# %% [markdown]
# The modes of the ring, and the rare modes, are on a circle. `_circle` places `n` points at equal angles. It does not repeat the first one, which was the bug above.

# %%
#| export
def _circle(n: int, radius: float) -> torch.Tensor:
    "The `n` corners of a regular polygon, (n, 2) float64; the first is not repeated at the end."
    angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    return radius * torch.stack([angle.cos(), angle.sin()], 1)

# %% [markdown]
# `ring` is the set of the opening, with all modes distinct.

# %%
#| export
@register_mode_set
def ring(n: int = 8,  # modes, all distinct
         radius: float = 1,  # distance of every mode from the origin
         std: float = .01,  # of every coordinate
         ) -> Mixture:
    """`n` equal modes on a circle.

    >>> ring(8).sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """
    n, radius = check_int("n", n), check_number("radius", radius, above=0)
    std = check_number("std", std, above=0)
    return _mixture_from("radius, std", _circle(n, radius), std, pad=radius / 2)


# %% [markdown]
# `grid` puts its modes on a square lattice.

# %%
#| export
@register_mode_set
def grid(side: int = 5,  # modes along each side
         spacing: float = 2,  # between neighbours
         std: float = .05,  # of every coordinate
         ) -> Mixture:
    "`side`² equal modes on a square lattice around the origin."
    side, spacing = check_int("side", side), check_number("spacing", spacing, above=0)
    ticks = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    centers, std = torch.cartesian_prod(ticks, ticks), check_number("std", std, above=0)
    return _mixture_from("spacing, std", centers, std, pad=spacing / 2)


# %% [markdown]
# `line` has modes close together and, with `far`, modes far away from them. They must not overlap, so a near part that reaches 5 is refused.

# %%
#| export
@register_mode_set
def line(n: int = 5,  # modes close together, around 0
         spacing: float = .25,  # between neighbours
         std: float = .01,  # of every mode
         far: int = 0,  # further modes: at 5, -5, 10, -10, … in this order
         ) -> Mixture:
    "Equal modes on the real line; an example has shape (1,)."
    n, far = check_int("n", n), check_int("far", far, 0)
    spacing = check_number("spacing", spacing, above=0)
    near = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * spacing
    if far and near.max() >= 5:
        raise ValueError("n, spacing: expected a line that ends before the first far mode at 5, "
                         f"got {near.max():g}")
    away = [5. * (i // 2 + 1) * (-1) ** i for i in range(far)]
    centers = torch.cat([near, near.new_tensor(away)])[:, None]
    return _mixture_from("spacing, std", centers, check_number("std", std, above=0))


# %% [markdown]
# `rare_modes` has unequal weights: a heavy mode at the origin, and rare modes around it that share the rest equally. Chapter [1.1](../1_game/01_minimax.ipynb) trains GANs on it that miss the rare modes.

# %%
#| export
@register_mode_set
def rare_modes(share: float = .9,  # what the central mode holds
               n: int = 8,  # rare modes on a circle, with equal shares of the rest
               radius: float = 2,  # of that circle
               std: float = .05,  # of every coordinate
               ) -> Mixture:
    "A heavy mode at the origin, which is mode 0, and `n` rare ones around it."
    share, n = check_number("share", share, above=0), check_int("n", n)
    if share >= 1:
        raise ValueError(f"share: expected a number between 0 and 1, got {share:g}")
    radius, std = check_number("radius", radius, above=0), check_number("std", std, above=0)
    centers = torch.cat([torch.zeros(1, 2, dtype=torch.float64), _circle(n, radius)])
    weights = [share] + [(1 - share) / n] * n
    return _mixture_from("share, radius, std", centers, std, weights, pad=radius / 2)


# %%
figure, panels = axes(2, 2, size=(3.6, 2.6))
for ax, made in zip(panels.flat, (ring(), grid(), line(far=3), rare_modes())):
    x = made.sample(500, g)
    scatter(ax, x if made.event == (2,) else torch.cat([x, torch.zeros_like(x)], 1))
    ax.set(title=repr(made).split(":")[0], aspect="auto")
ax.set_title("rare_modes(): 500 draws")
panels[1, 0].set(title="line(far=3)", ylabel="", yticks=[], xlabel="x")
Picture(figure, "500 draws each of a ring of 8, a grid of 25, a line of 5 with 3 far modes, "
                "a heavy centre with 8 rare")

# %% [markdown]
# The same seed gives the same examples, and torch's global random state does not change:

# %%
before = torch.get_rng_state()
again = [ring().sample(4, torch.Generator().manual_seed(7)) for _ in range(2)]
assert torch.equal(*again) and torch.equal(before, torch.get_rng_state())
again[0]


# %% [markdown]
# ## A family of sets
# Settings that were chosen on one set may fail on the next one. Four toy sets are too few to see this. So there is a family of sets: `random_modes(seed)` draws a set at random. Such a set has 3 to 40 modes in 1 to 8 dimensions, in one of six shapes. Weights differ by up to 50 to 1. Spreads differ between modes and between directions. The size of the data is between .01 and 100.
#
# `benchmarks/family.py` chooses settings on seeds 0 to 49 and reports them on seeds 1000 to 1099. Chapter [6.20](../6_workshop/20_random_sets.ipynb) has the code and its recorded results. The dimension matters for the counts. Of a perfect sampler's examples 99.7 % are within three standard deviations of a mode in one dimension. It is 98.9 % in two dimensions and 65.8 % in eight.

# %% [markdown]
# The picture shows twelve sets, seeds 0 to 11, each in the plane of its two largest variances. The number after the shape is the size. The second line gives modes, dimensions, and the ratio of largest to least weight.

# %%
from modelab.data.random_mixtures import random_modes

def widest(made: Mixture, x: torch.Tensor) -> torch.Tensor:
    "Examples in the plane of their two largest variances, in units of the set's size; (n, 2)."
    x = (x - made.centers.mean(0)).double() / made.size
    return (torch.nn.functional.pad(x, (0, 1)) @ torch.linalg.svd(
        torch.nn.functional.pad(x, (0, 1)), full_matrices=False)[2].T)[:, :2]

# %%
figure, panels = axes(3, 4, size=(1.9, 1.9), sharex=True, sharey=True)
family = [random_modes(seed) for seed in range(12)]
for ax, made in zip(panels.flat, family):
    x = made.sample(1000, torch.Generator().manual_seed(0))
    scatter(ax, widest(made, x), limit=1.6, size=3)
    ratio = (made.weights.max() / made.weights.min()).item()
    ax.set(title=f"{made.kind} {made.size:.2g}\n{made.n_modes} modes, {made.event[0]}-D, "
                 f"{ratio:.0f}:1", xlabel="", ylabel="")
Picture(figure, "Twelve random sets of six shapes: " + ", ".join(m.kind for m in family))

# %% [markdown]
# ## The unit of the data
# The sizes of these sets differ by up to four orders of magnitude. Training settings such as the learning rate suit one size of the data. So the course's trainer, `Run` ([1.2](../1_game/02_training.ipynb)), can train the networks on standardised data. With $m$ the mean of the data and $s^2$ the mean square of all coordinates about it, the networks see
#
# $$\tilde x=\frac{x-m}{s},\qquad s^2=\frac1d\,\mathbb E\,\|x-m\|^2 .$$
#
# $s$ is one number, so no direction is stretched, and the shape of the modes stays. Samples from a run are in the units of the data. `Run` standardises points only if $s$ is below .1 or above 10, or if the mean is far from 0. The four toy sets above have $s$ between .3 and 4.5, so they are not changed.

# %% [markdown]
# The ring keeps its unit. These are the smallest and the largest of the twelve sets, each with its factor $s$:

# %%
from modelab.data.scaling import choose_scale, measure_scale

toys = ring(), grid(), line(), line(far=3), rare_modes()
assert all(.3 < measure_scale(toy).size < 4.5 and choose_scale(toy).mean is None for toy in toys)
ends = min(family, key=lambda made: made.size), max(family, key=lambda made: made.size)
[f"{made.kind} of size {made.size:.3g}: s = {choose_scale(made).size:.3g}" for made in ends]

# %% [markdown]
# ## The score of a perfect generator
# In one dimension 99.7 % of a normal distribution is within three standard deviations. In two dimensions $\|u\|^2$ is
# exponential with mean 2, so the share is $1-e^{-9/2}$.
#
# **Predict:** with `metric="box"` each coordinate is tested separately. Is the share of good points of a *perfect* sampler
# on the ring then larger or smaller than with the usual metric? And than on the line?

# %%
def good_share(made: Mixture, metric="mahalanobis") -> float:
    "Share of 100,000 perfect samples that count as good."
    return made.assign(made.sample(100_000, g), metric=metric)[1].double().mean().item()

share = {"line": good_share(line()), "ring": good_share(ring()),
         "ring, box": good_share(ring(), "box")}
share

# %%
inside = math.erf(3 / math.sqrt(2))
exact = {"line": inside, "ring": 1 - math.exp(-9 / 2), "ring, box": inside ** 2}
error = {k: math.sqrt(v * (1 - v) / 100_000) for k, v in exact.items()}
assert all(abs(share[k] - exact[k]) < 4 * error[k] for k in exact)
{k: round(v, 4) for k, v in exact.items()}


# %% [markdown]
# So a perfect generator of two-dimensional data gets 98.9 % by the usual rule. The box holds 99.5 %: it contains the circle, but two
# coordinates must be within three standard deviations, and on the line only one. A score that is clearly above 98.9 % means that the
# generated modes are too *narrow*. Chapter [0.4](04_coverage.ipynb) prints the score of a perfect generator beside other scores.

# %% [markdown]
# ## From points to pictures
# scikit-learn contains real data: 1,797 handwritten digits of 13 people, scanned and reduced to 8×8 pixels with 17 grey
# levels. No download is needed. The ten classes are used as ten modes. In each class two of every nine scans
# are *held out*: no model is trained on them, so they can test one.

# %%
from modelab.data.digits import (DigitClassifier, _load_digits, stacked_digits,
                                 _train_classifier)

split = _load_digits()
images, labels = split["train"]
figure, ax = axes(size=(6, 2.6))
four_each = torch.stack([images[labels == c][:4] for c in range(10)])
image_grid(ax, four_each.movedim(1, 0).flatten(0, 1) / 16)
ax.set_title(f"{len(images):,} scans to train on, {len(split['held_out'][0])} held out")
Picture(figure, "Four scans of each digit from 0 to 9, eight by eight pixels, grey on black")


# %% [markdown]
# For pictures no formula gives the mode of an example. A small **classifier** predicts the digit and gives a probability, its *confidence*. In the code it is called `judge`. It has two convolutions and two linear layers, and is trained once on the training scans by cross-entropy. (A *convolution* multiplies the numbers of each small patch of a picture by the same weights, and adds the products; chapter [0.5](05_networks.ipynb) builds one. These take every second patch only.) The scans are rotated and shifted a little (data augmentation), which reduces overfitting. A picture is *good* if the confidence is at least 90 %. Chapter [6.21](../6_workshop/21_digits.ipynb) has the code.
#
# First train it on scans alone, and apply the classifier to unseen digits and to pictures that are not digits: uniform noise, and a
# picture that is completely black.
#
# **Predict:** what is its confidence for the black picture?

# %%
layers = _train_classifier(split["train"], top=16, junk=0)
naive = DigitClassifier(layers, split["held_out"], top=16)
noise, black = torch.rand(1000, 8, 8, generator=g) * 2 - 1, -torch.ones(1, 8, 8)
sure = (naive.predict(noise)[1] >= .9).float().mean()
naive, naive.predict(black), f"sure of {sure:.0%} of pure noise"

# %%
assert naive.accuracy >= .97 and naive.predict(black)[1] > .5 and sure > .2

# %% [markdown]
# The classifier reads the [held-out](../glossary.ipynb) digits well. It also gives high confidence to the black picture and to many pictures of noise.
# Nothing in its training fixes its answer for pictures without a digit, and an early generator makes such pictures. The remedy: a
# quarter of each batch is *junk*, pictures that show no digit, with the same target probability for all ten classes. One half of the junk is uniform noise. The other half is scans with shuffled pixels, which have the grey levels of real scans.

# %%
judge = DigitClassifier(_train_classifier(split["train"], top=16), split["held_out"], top=16)
doubts = [judge.predict(p)[1].max().item() for p in (black, noise)]
assert max(doubts) < .9 and judge.accuracy >= .97
judge, [round(d, 2) for d in doubts]

# %% [markdown]
# How good is the classifier? We report the share of right answers with Clopper and Pearson's interval. It is computed from the
# binomial distribution, without the normal approximation. The confusion matrix shows which digits are confused.

# %%
from scipy.stats import binomtest
def share_of(right: int, n: int) -> Interval:
    "A share of `n` with its exact 95 % interval."
    low, high = binomtest(right, n).proportion_ci()
    return Interval(right / n, low, high, n)

right = int(judge.confusion.diagonal().sum())
claim("A small judge reads at least 97 % of held-out 8×8 digits",
      paper="this course", section="0.3",
      ours=f"{share_of(right, judge.exam_size):.3f} of {judge.exam_size} scans",
      holds=right / judge.exam_size >= .97)

# %%
figure, ax = axes(size=(4, 3.6))
ax.imshow(judge.confusion, cmap="Blues", vmax=12)
for t, v in judge.confusion.nonzero().tolist():
    ax.text(v, t, int(judge.confusion[t, v]), ha="center", va="center",
            color="white" if t == v else "black")
ax.set(xticks=range(10), yticks=range(10), xlabel="verdict", ylabel="truth", title="held-out scans")
Picture(figure, f"Confusion matrix: {right} of {judge.exam_size} on the diagonal, "
                f"{judge.exam_size - right} off it")

# %% [markdown]
# These are the held-out scans with a confidence below 90 %:

# %%
images, labels = split["held_out"]
verdict, sure = judge.predict(images / 8 - 1)
unsure = (sure < .9).nonzero().flatten()[:20]
figure, ax = axes(size=(6.4, 1.5))
image_grid(ax, images[unsure] / 16, columns=max(1, len(unsure)),
           title=f"{(sure < .9).sum()} of {len(sure)} are below .9")
Picture(figure, f"Low-confidence scans; truth {labels[unsure].tolist()}, "
                f"verdict {verdict[unsure].tolist()}")

# %% [markdown]
# ### An easy test set
# Two of every nine scans are held out, in file order. So the held-out scans come from the same parts of the file as the
# training scans, probably from the same writers. Now hold out the *last* scans of each class instead.

# %%
from sklearn.datasets import load_digits
data = load_digits()
images, labels = torch.tensor(data.images, dtype=torch.uint8), torch.tensor(data.target)
last = torch.zeros(len(labels), dtype=torch.bool)
for c in range(10):
    of_class = (labels == c).nonzero().flatten()
    last[of_class[-(len(of_class) * 2 // 9):]] = True
layers = _train_classifier((images[~last], labels[~last]), top=16)
strict = DigitClassifier(layers, (images[last], labels[last]), top=16)

# %%
same_hands = share_of(right, judge.exam_size)
new_hands = share_of(int(strict.confusion.diagonal().sum()), strict.exam_size)
claim("A judge reads the last scans of the digits file as well as scans from all over it",
      paper="this course", section="0.3", ours=f"{new_hands:.3f}", baseline=f"{same_hands:.3f}",
      expect=False, holds=new_hands.high > same_hands.low)

# %% [markdown]
# The accuracy is lower on the last scans. A possible reason is that their writers are nearly absent from the other scans. The
# file does not name the writers, so this cannot be checked. For our purpose the easier test set is the right one, because the generators of this course are
# trained on scans of all writers. But its accuracy holds for these writers, not for handwriting in general.
#
# A classifier of digits does not detect two faults. It often gives high confidence to the average of two scans (next cell).
# And it counts a thousand copies of one seven as a thousand sevens. Chapters [0.4](04_coverage.ipynb) and
# [4.4](../4_evidence/04_copying.ipynb) are about the second.

# %%
scans = split["train"][0]
a, b = (scans[torch.randint(len(scans), (500,), generator=g)] / 8 - 1 for _ in range(2))
sure = (judge.predict((a + b) / 2)[1] >= .9).float().mean()
assert sure > .3
f"sure of {sure:.0%} of averages of two scans"


# %% [markdown]
# ## A thousand modes from ten
# `digits()` is a mode set of these scans, with ten modes. `stacked_digits()` draws one digit for each colour channel, independently. This gives $10\times10\times10$ modes, numbered $100a+10b+c$. The weight of a mode is the product of its digits' frequencies. Stacked MNIST is made in this way from larger scans. An example is good if the classifier is confident about every channel.
#
# Examples have pixels in $[-1,1]$, the range of a generator that ends in `tanh`. The method `picture` converts them to $[0,1]$. (The published code of PacGAN, a GAN whose discriminator gets several samples at once, has real data in $[0,1]$ and a generator in $[-1,1]$. Negative pixels alone then show that a sample is generated.)

# %%
stacks = stacked_digits()
x, mode = stacks.sample_with_modes(12, g)
figure, panels = axes(2, 6, size=(1.1, 1.3))
for ax, picture, m in zip(panels.flat, stacks.picture(x), mode.tolist()):
    image_grid(ax, picture[None], 1, f"{m:03d}")
shown = ", ".join(f"{m:03d}" for m in mode.tolist())
Picture(figure, f"Twelve coloured triples of digits: {shown}")

# %%
x, mode = stacks.held_out.sample_with_modes(20_000, g)
seen, good = stacks.assign(x)
agree, clear = (seen == mode).double().mean().item(), good.double().mean().item()
assert abs(agree - judge.accuracy ** 3) < .01 and abs(clear - .94) < .02
stacks, f"{agree:.1%} of held-out triples read right", f"{clear:.1%} called good"


# %% [markdown]
# All three digits must be read correctly. So the error rate is about three times that of one digit, and so is the share of low
# confidence. Even of real, unseen triples only 94 % are "good". Compare a generator's score with this number, not with 100 %.

# %% [markdown]
# ## MNIST, if you have it
# MNIST has digits of 28×28 pixels. `mnist(folder)` has ten modes, `stacked_mnist(folder)` a thousand. They have the same interface as the sets above. Their classifier takes some fifteen seconds to fit at first use, and is kept beside the data. `fashion_mnist()` reads files of the same names from another folder. Chapter [6.12](../6_workshop/12_download.ipynb) downloads all of them and explains `MODELAB_DATA`. Chapter [6.21](../6_workshop/21_digits.ipynb) shows how a damaged download is recognised.

# %%
try:
    big = stacked_mnist()
    print(big)
except FileNotFoundError as error:
    print(error)


# %% [markdown]
# ## Sliders: how many modes does a perfect generator miss?
# The set has a heavy mode and `n` rare ones. Raise the share of the heavy mode until 500 samples of a *perfect* generator
# no longer show every mode. Mode $k$ stays unseen with probability $(1-w_k)^{500}$, so the expected number of unseen
# modes is $\sum_k(1-w_k)^{500}$.
#
# **Predict:** with eight rare modes, at which share of the centre is one mode unseen on average?

# %%
def view(n=8, radius=2., std=.05, share=.9):
    "500 draws of a perfect generator, counted by mode."
    law = rare_modes(share, n, radius, std)
    x, mode = law.sample_with_modes(500, torch.Generator().manual_seed(1))
    seen, missed = torch.bincount(mode, minlength=n + 1), (1 - law.weights).pow(500).sum()
    figure, (plane, bars) = axes(1, 2)
    scatter(plane, x, limit=4.5, size=8)
    bars.bar(range(n + 1), seen, color=REAL)
    zero = (seen == 0).nonzero().flatten()
    bars.plot(zero, 0 * zero, "x", color=FAKE, clip_on=False)
    bars.set_yscale("symlog", linthresh=1)  # logarithmic, but with a zero
    bars.set(xlabel="mode (0 is the centre)", ylabel="draws of 500", ylim=(0, 700),
             title=f"{len(zero)} of {n + 1} unseen, {missed:.2f} expected")
    return Picture(figure, f"500 draws: {len(zero)} of {n + 1} modes unseen, {missed:.2f} expected")


# %%
import ipywidgets as w
sliders = dict(n=w.IntSlider(8, 2, 16), radius=w.FloatSlider(value=2, min=.5, max=4, step=.1),
               std=w.FloatSlider(value=.05, min=.01, max=.5, step=.01),
               share=w.FloatSlider(value=.9, min=.1, max=.995, step=.005, readout_format=".3f"))
screen = w.Image(value=view().png, format="png", layout=w.Layout(max_width="100%"))

def redraw(change=None):
    "Show the set that the sliders describe."
    screen.value = view(**{name: slider.value for name, slider in sliders.items()}).png

for name, slider in sliders.items():
    slider.description, slider.continuous_update = name, False
    slider.observe(redraw, "value")
w.VBox([w.HBox(list(sliders.values())[:2]), w.HBox(list(sliders.values())[2:]), screen])

# %%
was, sliders["share"].value = screen.value, .99
assert screen.value == view(share=.99).png != was
sliders["share"].value = .9
view(share=.99)

# %% [markdown]
# One mode of nine is unseen on average where $8\,(1-w)^{500}=1$. Here $w$ is the weight of one rare mode, and the centre has $1-8w$:

# %%
heavy = 1 - 8 * (1 - 8 ** (-1 / 500))
assert abs((1 - rare_modes(heavy).weights).pow(500).sum() - 1) < 1e-3
round(heavy, 3)

# %% [markdown]
# ## Use it in your own code
# Train on `real` and call `assign` on your own samples. The number of modes among the good samples is a first measure of coverage.

# %%
from torch import nn
torch.manual_seed(0)
mine = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))  # yours; here untrained
rng = torch.Generator().manual_seed(0)
real = ring().sample(256, rng)  # your training batch
mode, good = ring().assign(mine(torch.randn(2500, 2, generator=rng)))
mode[good].unique().numel(), good.double().mean().item()

# %% [markdown]
# For modes of your own call `mixture`. Wrong settings are refused at once:

# %%
centers = [[0., 0.], [1., 0.], [4., 4.]]
[error_message(mixture, centers, -.1), error_message(mixture, centers, .1, [1, 2]),
 error_message(ring, 8.5), error_message(mixture, centers, [[[1, 2], [2, 1]]] * 3),
 error_message(ring(n=3).assign, torch.zeros(5, 3))]

# %% [markdown]
# Two more sets, `scenes()` and `faces()`, are pictures drawn by a program. Chapter
# [6.11](../6_workshop/11_pictures.ipynb) makes them.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.modes import (grade_corners, grade_density, grade_narrow,
                                          grade_triples)

# %% [markdown]
# **1.** (easy, 5 minutes) Write `corners(n)`: the angles of a ring with exactly `n` distinct modes at equal distances, as a list or tensor.
#
# <details><summary>Hint</summary>
#
# With `n` modes there are `n` equal steps. The last step leads from the last mode back to the first.
#
# </details>

# %%
def corners(n):
    ...

answer = corners
grade_corners(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def corners(n):
#     return 2 * math.pi * torch.arange(n) / n
#
# answer = corners
# ```
#
# `torch.linspace(0, 2 * math.pi, n)` includes both ends and makes `n - 1` steps, so its first and its last point are the same. `torch.linspace(0, 2 * math.pi, n + 1)[:-1]` is right, too.
#
# </details>

# %% [markdown]
# **2.** (easy, 10 minutes) A generator draws from `ring()` perfectly, except that each mode is three quarters as wide as it should be. Which share of its points is within three of the *true* standard deviations? Give the share as a number between 0 and 1, with five digits.
#
# <details><summary>Hint</summary>
#
# Three true standard deviations are four of the generator's own. In two dimensions the squared distance, in standard deviations, is exponential with mean 2.
#
# </details>

# %%
answer = ...
grade_narrow(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $P(\|u\|>4)=e^{-4^2/2}$ for two-dimensional normal $u$.
#
# ```python
# answer = 1 - math.exp(-4 ** 2 / 2)
# ```
#
# This is 0.99966. A perfect generator has 0.989. So a higher share of "high quality" does not mean a better generator.
#
# </details>

# %% [markdown]
# **3.** (easy, 5 minutes) A classifier reads one digit right with probability .99. A generator of stacked digits makes perfect pictures, but of one single mode, say 000. For which share of them does the classifier predict another mode?
#
# <details><summary>Hint</summary>
#
# The mode is right only if all three digits are read right.
#
# </details>

# %%
answer = ...
grade_triples(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = 1 - .99 ** 3
# ```
#
# About 3 % of the samples seem to be in other modes. A generator that has collapsed to one mode seems to capture several.
#
# </details>

# %% [markdown]
# **4.** (medium, 20 minutes) Write `log_density(x, centers, std, weights)`: the log density of a mixture in [nats](../glossary.ipynb) (the unit of the natural logarithm) at the points `x` `(n, d)`. All modes have the same standard deviation `std` in each coordinate. `centers` is `(k, d)`, and `weights` `(k,)` sum to one. It must be finite far from all modes.
#
# <details><summary>Hint</summary>
#
# First compute the log density of each mode at each point, `(n, k)`, and add the log weights. Then sum over modes with `torch.logsumexp`.
#
# </details>

# %%
def log_density(x, centers, std, weights):
    ...

answer = log_density
grade_density(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def log_density(x, centers, std, weights):
#     d = x.shape[1]
#     squares = (x[:, None] - centers).square().sum(-1) / std ** 2
#     each = -squares / 2 - d * math.log(std) - d / 2 * math.log(2 * math.pi)
#     return torch.logsumexp(each + weights.log(), 1)
#
# answer = log_density
# ```
#
# At a distance of 100 standard deviations a density is smaller than the smallest positive number of float64. Its logarithm, $-5000$, is an ordinary number. So add logarithms with `logsumexp`, and do not take the logarithm of a sum of densities.
#
# </details>

# %% [markdown]
# ## Recap
# - On a set with known modes the number of modes, their weights, the density and the mode of an example are exact. The ring of eight of a
# well-known demo has seven modes.
# - A bug that sampler and scorer share does not show in the score. Check the data against something independent.
# - Settings that were chosen on one set hold for that set. `random_modes(seed)` is a family of sets to choose and to report on.
# - `Run` standardises points for training if their spread is below .1 or above 10, or if their mean is far from 0. Results are in the unit of the data.
# - A perfect sampler scores 98.9 % "[high quality](../glossary.ipynb)" in two dimensions, not 100 %.
# - On pictures a classifier predicts the modes. Measure its errors. Train it to have low confidence in pictures that show no digit.
#
# **For later.**
#
# 1. Why did the broken ring score 8 of 8?
# 2. What are the weights of the modes of stacked digits, and why?
# 3. Why is the classifier trained on junk?
# 4. How many of 1,000 equal modes does a perfect generator leave unseen after 1,000 draws?
#
# <details><summary>Answers</summary>
#
# 1. The score used the same wrong list of centres as the sampler. Each centre of the list had samples near it.
# 2. The product of the frequencies of its three digits, because the channels are drawn independently.
# 3. Without it the confidence for pictures without a digit is arbitrary, and an early generator makes such pictures.
# 4. $1000\,(1-\frac1{1000})^{1000}\approx368$.
#
# </details>
#
# ## References
# - Metz, Poole, Pfau, Sohl-Dickstein 2017, *Unrolled Generative Adversarial Networks*: the ring of eight, and stacked
# digits.
# - Srivastava, Valkov, Russell, Gutmann, Sutton 2017, *VEEGAN*; Lin, Khetan, Fanti, Oh 2018, *PacGAN*: the ring, the
# grid and their scores.
# - Alpaydin, Kaynak 1998, *Cascading classifiers*: the 8×8 digits. LeCun, Bottou, Bengio, Haffner 1998: MNIST.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.modes
"Graders of chapter 0.3."
import math

import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import mixture

# %%
#| export course.graders.modes
TURN = 2 * math.pi


@exercise(accepts=[lambda n: [TURN * i / n for i in range(n)],
                   lambda n: torch.linspace(0, TURN, n + 1)[:-1]],
          rejects=[lambda n: torch.linspace(0, TURN, n), lambda n: range(n), lambda n: [0] * n,
                   lambda n: torch.linspace(0, TURN, n + 1), 8])
def grade_corners(answer):
    for n in (3, 8, 25):
        a = torch.as_tensor(list(answer(n)), dtype=torch.float64)
        assert len(a) == n, f"corners({n}) gives {len(a)} angles"
        gaps = torch.cat([a, a[:1] + TURN]).diff()
        back = f"for n = {n} the step back to the start is {gaps[-1]:.3f}"
        assert (gaps - TURN / n).abs().max() < 1e-5, back

# %%
#| export course.graders.modes
@exercise(accepts=[1 - math.exp(-8), .99966],
          rejects=[.989, .5, 1, math.erf(4 / math.sqrt(2)), 1 - math.exp(-4), "1", True])
def grade_narrow(answer):
    hint = "how many of the generator's own standard deviations are three true ones?"
    assert abs(as_number(answer) - (1 - math.exp(-8))) < 1e-5, hint

# %%
#| export course.graders.modes
@exercise(accepts=[1 - .99 ** 3, .0297], rejects=[.01, .03 ** 3, .99 ** 3, .1])
def grade_triples(answer):
    hint = "how many digits must be read right for the mode to be right? And which share is asked?"
    assert abs(as_number(answer) - (1 - .99 ** 3)) < 2e-4, hint

# %%
#| export course.graders.modes
def by_logsumexp(x, centers, std, weights, power=1., half=.5, log=True):
    "The right answer; its options make wrong ones."
    d = x.shape[1]
    squares = (x[:, None] - centers).square().sum(-1) / std ** 2
    each = -half * squares - power * d * math.log(std) - d / 2 * math.log(2 * math.pi)
    each = each + weights.log()
    return torch.logsumexp(each, 1) if log else each.exp().sum(1).log()

# %%
#| export course.graders.modes
@exercise(accepts=[by_logsumexp],
          rejects=[lambda x, c, s, w: by_logsumexp(x, c, s, torch.full_like(w, 1 / len(w))),
                   lambda x, c, s, w: by_logsumexp(x, c, s, w, power=0.),
                   lambda x, c, s, w: by_logsumexp(x, c, s, w, half=1.),
                   lambda x, c, s, w: by_logsumexp(x, c, s, w, log=False),
                   lambda x, c, s, w: by_logsumexp(x, c, s, w).exp()])
def grade_density(log_density):
    g = torch.Generator().manual_seed(0)
    for d in (1, 3):
        centers, x = (torch.randn(n, d, generator=g, dtype=torch.float64) for n in (4, 50))
        weights, std = torch.tensor([.1, .2, .3, .4], dtype=torch.float64), .6
        right = mixture(centers, std, weights).log_prob(x)
        found = log_density(x, centers, std, weights)
        assert found.shape == (50,), f"one number per point: (50,), got {tuple(found.shape)}"
        assert torch.allclose(found, right, atol=1e-6), \
            "wrong near the modes: look at the weights, the factor of the square, and std ** d"
        far = log_density(x + 100, centers, std, weights)
        assert torch.isfinite(far).all(), "it is infinite far from the modes: use logsumexp"
