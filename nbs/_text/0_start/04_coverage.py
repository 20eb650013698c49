# %% [markdown]
# # Mode coverage: captured modes, high quality, KL
# > How many modes does my generator capture, and what do a perfect generator and noise score?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How many modes does my generator capture, and what do a perfect generator and noise score? |
# | **You will be able to** | compute the coverage numbers of the literature from one array of samples, and say what they miss |
# | **Paper** | Srivastava et al. 2017 (VEEGAN), Lin et al. 2018 (PacGAN) |
# | **Needs** | [0.2](02_evidence.ipynb), [0.3](03_modes.ipynb) |
# | **Time** | about 20 seconds of computing on two cores |

# %%
#| default_exp evaluation.coverage

# %%
#| export evaluation.protocols
"Coverage protocols: how samples are counted, and the divergences between the shares of modes."
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from modelab.core.checks import check_tensors
from modelab.core.signatures import (Count, NonNegative, Positive, Share, check_fields, checked)

# %%
#| export evaluation.reference_law
"The law of a perfect generator and of uniform noise: which modes their samples would fall on."
from __future__ import annotations

import functools
import json
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelab.data.digits import DigitSet
from modelab.data.mixtures import Mixture
from modelab.evaluation.protocols import Protocol, has_judge, within_share

# %%
#| export evaluation.scores
"From counts of samples per mode to scores: captured modes, KL, total variation, spread."
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelab.data.mixtures import Mixture
from modelab.evaluation.protocols import Protocol, kl, total_variation, within_share
from modelab.evaluation.reference_law import ReferenceLaw

# %%
#| export
"Mode coverage: captured modes, high quality, KL, total variation; floor, ceiling and null."
from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import check_batch, check_choice, check_number, refuse_bytes
from modelab.core.plotting import FAKE, REAL
from modelab.core.statistics import Interval, interval, wilson_interval
from modelab.data.mixtures import Mixture
from modelab.evaluation.protocols import PROTOCOLS, Protocol
from modelab.evaluation.reference_law import (ReferenceLaw, assign_modes, cached_per_set,
                                              check_mode_set, good_rule, reference_law)
from modelab.evaluation.scores import (draw_tallies, expected_spread, mode_scores, mode_spreads,
                                       needed_counts, occupancy_error)

# %%
import statistics

from modelab.core import statistics as statistics_module
from modelab.core.checks import error_message
from modelab.core.plotting import MISSING, Picture, axes, image_grid, scatter
from modelab.course.claims import claim
from modelab.course.notebooks import patch
from modelab.data import mixtures as mixtures_module
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import mixture

# %% [markdown]
# ## Noise captures more modes than a published method
# The grid is a common test set: 25 narrow modes on a square lattice. The usual score draws 2,500 samples. A sample is *high
# quality* if it lies within three standard deviations of the nearest mode. A mode is *captured* if at least one high-quality
# sample belongs to it.
#
# Our first generator is a call to `rand`: uniform noise over the whole square. It was not trained.
#
# **Predict:** how many of the 25 modes does noise capture? Write a number down.

# %%
grid = mixtures_module.grid()
low, high = grid.bounds
g = torch.Generator().manual_seed(0)
noise = low + (high - low) * torch.rand(2500, 2, generator=g)

# %%
mode, good = grid.assign(noise)
mode[good].unique().numel(), f"{good.float().mean():.2%} high quality"

# %% [markdown]
# Noise captures more than twenty, with about 2 % of its samples near a mode. The next picture compares this with published
# scores under the same rule. ALI is a GAN with an encoder (chapter [2.2](../2_inverse/02_bigan.ipynb)). In PacGAN the
# discriminator gets several samples at once; PacGAN4 gives it four.
# (VEEGAN's text gives neither the spacing of its grid nor the width of the modes, so the numbers from its table are less certain.)

# %%
published = {
    "GAN, as VEEGAN's table has it": (3.3, .005),
    "GAN, as PacGAN's table has it": (17.3, .948),
    "ALI, as VEEGAN's table has it": (15.8, .016),
    "ALI, as PacGAN's table has it": (24.1, .957),
    "PacGAN4": (24.8, .936),
}

# %%
figure, ax = axes(size=(5.2, 3.2))
for (name, (count, sharp)), mark in zip(published.items(), "sDv^P"):
    ax.plot(100 * sharp, count, mark, ms=8, label=name)
ax.plot(100 * good.float().mean(), mode[good].unique().numel(), "x", c="k", ms=10, mew=2,
        label="noise (ours)")
ax.set(xlabel="high-quality samples (%)", ylabel="modes captured (of 25)", ylim=(0, 26),
       title="published scores on the grid, and noise")
ax.legend(frameon=False, loc="center")
Picture(figure, "Modes captured against high-quality share: "
                "noise captures more modes than three of five published scores")

# %% [markdown]
# The picture shows two problems. First, a plain GAN has 3.3 modes in one paper and 17.3 in another. (On the ring of eight it has 1
# mode and 6.3.) This difference is larger than the difference between the methods in PacGAN's table. Second, noise captures more modes than a
# published method, because one sample per mode is a very low threshold.
#
# Noise captures so many not by a lucky seed: a disc of radius $3\sigma$ covers a share $p$ of the square, and a mode is missed
# with probability $(1-p)^n$.

# %%
p = math.pi * (3 * .05) ** 2 / (high - low).prod().item()
by_hand = 25 * (1 - (1 - p) ** 2500), 25 * p
many = low + (high - low) * torch.rand(50 * 2500, 2, generator=g)
mode, good = (v.reshape(50, 2500) for v in grid.assign(many))
seen = [m[ok].unique().numel() for m, ok in zip(mode, good)]
caught = statistics_module.interval(seen, low=0, high=25)
caught, by_hand

# %%
assert caught.low - .3 < by_hand[0] < caught.high + .3
assert round(by_hand[0], 1) == 20.7 and round(by_hand[1], 4) == .0177
claim("Uniform noise captures more of the grid's modes than a published method",
      paper="Srivastava et al. 2017", section="Table 1, ALI", figure="15.8 of 25", ours=caught,
      baseline="ALI 15.8", holds=caught.low > 15.8)

# %% [markdown]
# This chapter builds a measure that shows such problems. Every number comes with three reference values, *computed by
# the same code*:
#
# - the **floor**: the score of a perfect generator with as many samples as yours;
# - the **ceiling**: the score of a perfect generator with infinitely many samples;
# - the **null**: the score of uniform noise in the set's box.
#
# ## The ceiling of high quality is 98.9 %
# In two dimensions the squared distance from the centre of a mode, in standard deviations, has an exponential
# distribution. So a *perfect* sampler has $1-e^{-9/2}$ of its samples within three standard deviations ($3\sigma$).

# %%
ceiling_2d = 1 - math.exp(-9 / 2)
real = grid.sample(100_000, generator=g)
ceiling_2d, grid.assign(real)[1].float().mean().item()


# %% [markdown]
# A generator with 99.9 % is not better than the data: its modes are *narrower* than those of the data. In $d$
# dimensions the ceiling is $P(\chi^2_d < 9)$, where $\chi^2_d$ is the squared length of $d$ standard normal numbers. In many dimensions hardly any sample of a perfect generator is within $3\sigma$.

# %%
#| export evaluation.protocols
@checked
def within_share(within: NonNegative,  # in standard deviations
                 d: Count,  # dimensions of an example
                 ) -> float:
    "Share of a normal law in `d` dimensions within a Mahalanobis distance `within` of its mean."
    half = min(within, 1e100) ** 2 / 2
    return torch.special.gammainc(torch.tensor(d / 2).double(), torch.tensor(half).double()).item()

# %%
shares = {d: round(within_share(3, d), 4) for d in (1, 2, 3, 10, 30)}
assert math.isclose(within_share(3, 2), ceiling_2d)
assert math.isclose(within_share(3, 1), math.erf(3 / 2 ** .5))
shares

# %%
narrow = grid.centers[torch.randint(25, (2500,), generator=g)]
narrow = narrow + .6 * .05 * torch.randn(2500, 2, generator=g)
grid.assign(narrow)[1].float().mean().item()  # above the ceiling: every mode is too narrow


# %% [markdown]
# ## The KL divergence of the mode shares, and its floor
# The number of captured modes does not show whether the modes have the right shares. The usual number for this is the
# Kullback-Leibler divergence
#
# $$\mathrm{KL}(\hat p\,\|\,q)=\sum_k \hat p_k \log\frac{\hat p_k}{q_k}$$
#
# in nats (natural logarithm). Here $\hat p_k$ is the share of generated samples in mode $k$. The reference $q$ is usually uniform. This
# direction is called *reverse* KL. It stays finite when a mode is missing ($0\log 0=0$). The other direction, *forward* KL$(q\|\hat
# p)$, is infinite if a mode is missing. A third number is the total variation $\frac12\sum_k|\hat p_k-q_k|$.

# %%
#| export evaluation.protocols
def kl(p: Tensor,  # (..., k) shares that sum to one
       q: Tensor,  # (..., k) shares that sum to one
       ) -> Tensor:
    "Kullback-Leibler divergence KL(p‖q) in nats, (...); infinite where p has mass that q lacks."
    _check_shares(p, q)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1).clamp_min(0)

# %% [markdown]
# `total_variation` lies between 0 and 1. A missing mode makes it larger but never infinite.

# %%
#| export evaluation.protocols
def total_variation(p: Tensor,  # (..., k) shares that sum to one
                    q: Tensor,  # (..., k) shares that sum to one
                    ) -> Tensor:
    "Total variation distance, half the summed absolute difference, (...)."
    _check_shares(p, q)
    return (p - q).abs().sum(-1) / 2

# %% [markdown]
# Both functions check that `p` and `q` are shares of the same number of modes and not negative. NaN is allowed: it means that nothing was counted.

# %%
#| export evaluation.protocols
def _check_shares(p: Tensor, q: Tensor) -> None:
    "Refuse what are no shares of the same things, and negative shares."
    check_tensors(p=p, q=q)
    axes = list(zip(p.shape[::-1], q.shape[::-1]))
    if p.shape[-1] != q.shape[-1] or any(a != b and 1 not in (a, b) for a, b in axes):
        raise ValueError(f"p, q: expected shares (..., k) of the same k things, got "
                         f"{tuple(p.shape)} and {tuple(q.shape)}")
    if (p < 0).any() or (q < 0).any():
        raise ValueError(f"p, q: expected shares, got {min(float(p.min()), float(q.min())):.3g}")

# %%
five = torch.tensor([.2, .2, .2, .2, .2], dtype=torch.float64)
three = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0, 0], dtype=torch.float64)
assert torch.isclose(kl(three, five), torch.tensor(5 / 3).double().log())
assert kl(five, three) == math.inf
kl(three, five).item(), kl(five, three).item(), total_variation(three, five).item()

# %% [markdown]
# For $k$ of $K$ equal modes, equally filled, reverse KL is $\log(K/k)$ and total variation is $1-k/K$.
#
# The KL of a finite sample is not zero, even for a perfect generator. Draw 2,500 samples from a *perfect* generator of 1,000 equal
# modes. A mode gets 2.5 samples on average, by chance more or fewer. Every deviation from equal shares makes KL positive.
#
# **Predict:** what is the KL of this perfect generator?

# %%
rng = np.random.default_rng(0)

def perfect_kl(n: int, k: int = 1000, draws: int = 200) -> torch.Tensor:
    "KL to uniform of `draws` perfect generators with `n` samples of `k` equal modes."
    counts = torch.from_numpy(rng.multinomial(n, np.full(k, 1 / k), size=draws)).double()
    return kl(counts / n, torch.full((k,), 1 / k, dtype=torch.float64))

floors = {n: perfect_kl(n).mean().item() for n in (2_500, 10_000, 24_000, 26_000, 50_000)}
{n: round(v, 4) for n, v in floors.items()}

# %% [markdown]
# To second order in the errors $\hat p_k-p_k$, whose variances are $p_k(1-p_k)/n$, the floor is
#
# $$\mathbb E\,\mathrm{KL}(\hat p\,\|\,p)\;\approx\;\sum_k\frac{\mathbb E(\hat p_k-p_k)^2}{2p_k}=\frac{K-1}{2n}.$$
#
# With ten samples per mode the error of this formula is about 2 %. With 2.5 per mode the formula is 10 % too low.

# %%
ns = [round(10 ** e) for e in torch.linspace(3, 5, 9).tolist()]
simulated = [perfect_kl(n, draws=20).mean().item() for n in ns]
expansion = [999 / (2 * n) for n in ns]

# %%
figure, ax = axes(size=(5, 3))
ax.loglog(ns, simulated, "o", c=REAL, label="perfect generator, simulated")
ax.loglog(ns, expansion, c=MISSING, label="(K - 1) / 2n")
for name, value in (("R3GAN: 0.029", .029), ("PacGAN: 0.06", .06)):
    ax.axhline(value, c=FAKE, lw=.8, ls="--")
    ax.text(1e3, value * 1.05, name, color=FAKE)
ax.set(xlabel="samples n", ylabel="KL to uniform (nats)",
       title="KL of a perfect generator, 1,000 modes")
ax.legend(frameon=False)
Picture(figure, "KL of a perfect generator falls as one over n; at 26,000 samples it is 0.0193")

# %%
known = {2_500: .2225, 10_000: .0511, 24_000: .0210, 26_000: .0193, 50_000: .0101}
assert all(abs(floors[n] - v) < .02 * v for n, v in known.items())
assert abs(floors[26_000] * 2 * 26_000 / 999 - 1) < .05
assert abs(999 / 20_000 / floors[10_000] - .98) < .01 and abs(999 / 5000 / floors[2500] - .9) < .01
claim("A perfect generator of 1,000 equal modes scores KL 0.019, not 0, "
      "at the 26,000 samples of the protocol",
      paper="Lin et al. 2018", section="Table 2 (stacked digits)",
      ours=statistics_module.interval(perfect_kl(26_000).tolist(), low=0),
      baseline="0", holds=abs(floors[26_000] - .0193) < .0005)


# %% [markdown]
# A KL of 0.05 is the floor at 10,000 samples and five times the floor at 50,000. Compare a score with the floor at the same
# number of samples.
#
# ## Total variation with an invalid bucket
# KL over the high-quality samples ignores the other samples. If 98 % of the samples are invalid, it can still be at its floor. So total
# variation gets one more bucket, *invalid*, for samples that are not good. A perfect generator has samples in this bucket too
# (1.1 % in 2-D), and so has the reference. Modes that are too narrow leave this bucket empty, which makes the distance larger.

# %%
def with_bucket(mode, good, k: int) -> torch.Tensor:
    "Shares of the good samples of each of `k` modes, then the share of all that are not good."
    return torch.bincount(torch.where(good, mode, k), minlength=k + 1).double() / len(mode)

perfect = torch.tensor([ceiling_2d / 25] * 25 + [1 - ceiling_2d], dtype=torch.float64)
own, most = torch.Generator().manual_seed(1), len(real)  # 100,000 of each
drawn = {"real": real, "noise": low + (high - low) * torch.rand(most, 2, generator=own),
         "narrow": grid.centers[torch.randint(25, (most,), generator=own)]
         + .6 * .05 * torch.randn(most, 2, generator=own)}
found = {name: total_variation(with_bucket(*grid.assign(x), 25), perfect).item()
         for name, x in drawn.items()}
assert found["narrow"] > found["real"] + .003 and found["noise"] > .95
{name: round(value, 3) for name, value in found.items()}


# %% [markdown]
# ## Protocols
# Papers differ in how many samples they draw, in the rule for a good sample, and in which samples enter KL. So numbers from
# different papers may not be comparable. `Protocol` holds these settings. Where a source does not state a number, the field is
# `None`.

# %%
#| export evaluation.protocols
@dataclass(frozen=True)
class Protocol:
    "How coverage is counted."
    name: str
    source: str
    points: Count | None = None  # samples asked for on points; None: the source does not say
    images: Count | None = None  # samples asked for on pictures
    per_mode: Count | None = None  # samples per mode on pictures, if the source says that
    within: Positive = 3.0  # a point is good within so many standard deviations of its mode,
    metric: Literal["mahalanobis", "box"] = "mahalanobis"  # "box": in each coordinate for itself
    least: Share = 0.0  # a mode counts from this share of what a perfect generator puts there
    kl_over: Literal["good", "all"] = "good"  # which points enter KL
    sure: bool = False  # whether a picture counts only if its judge is sure
    reference: Literal["uniform", "own"] = "uniform"  # law of KL; "own": that of the set itself

    def __post_init__(self):
        check_fields(self)

# %% [markdown]
# `asks` says how many samples the source asks for, on points or on pictures.

# %%
#| export evaluation.protocols
@patch
def asks(self: Protocol, modes: Any) -> int | None:
    "How many samples the source asks for on such a set; None where it does not say."
    if not has_judge(modes):
        return self.points
    return self.per_mode * modes.n_modes if self.per_mode else self.images

# %% [markdown]
# `samples` is the number to draw in an experiment. Where a source gives no number, it is PacGAN's.

# %%
#| export evaluation.protocols
@patch
def samples(self: Protocol, modes: Any) -> int:
    "How many samples to draw: what the source asks for, or PacGAN's number where it is silent."
    return self.asks(modes) or PROTOCOLS["pacgan"].asks(modes)

# %% [markdown]
# A *tally* is a table of counts with two rows: for each mode the number of samples that are not good (*doubtful*), and of good ones. `counts` returns the counts that decide whether a mode is captured, and the counts that enter KL.

# %%
#| export evaluation.protocols
@patch
def counts(self: Protocol, tally: Tensor, judged: bool) -> tuple[Tensor, Tensor]:
    "The counts (..., n_modes) that decide what is captured, and those that enter KL."
    good, every = tally[..., 1, :], tally.sum(-2)
    if judged:
        return (good, good) if self.sure else (every, every)
    return good, good if self.kl_over == "good" else every

# %% [markdown]
# On pictures a classifier (`judge`, chapter [0.3](03_modes.ipynb)) predicts the mode of an example. `has_judge` tells whether a set has one, without fitting it, since that can take seconds.

# %%
#| export evaluation.protocols
def has_judge(modes: Any) -> bool:
    "Whether a judge decides what an example shows (asked without fitting it)."
    return hasattr(type(modes), "judge") or "judge" in getattr(modes, "__dict__", {})

# %% [markdown]
# These are the protocols of the literature and, in the last row, our own. `coverage` takes them by name.

# %%
#| export evaluation.protocols
PROTOCOLS = {p.name: p for p in (
    Protocol("veegan", "Srivastava et al. 2017", points=2_500, images=26_000),
    Protocol("pacgan", "Lin et al. 2018", points=2_500, images=26_000),
    Protocol("selfcond", "Liu et al. 2020, self-conditioned GAN", points=50_000, metric="box",
             kl_over="all"),
    Protocol("meg", "Kumar et al. 2019, maximum entropy generators", per_mode=26),
    Protocol("inclusive", "Yu et al. 2020, Inclusive GAN", images=24_000),
    Protocol("fair", "this course", points=10_000, images=26_000, least=.5, sure=True,
             reference="own"),
)}

# %% [markdown]
# The last row, `fair`, is ours and is never the default. A mode is captured only if it has *half* of the good samples that a perfect
# generator would have there. A picture counts only if the classifier is confident. The reference is the set's own shares instead of
# equal ones. Half is a convention: a perfect generator with 30 samples per mode almost never fails it.

# %%
for protocol in PROTOCOLS.values():
    pictures = f"{protocol.per_mode}/mode" if protocol.per_mode else protocol.images
    print(f"{protocol.name:10} points {protocol.points!s:7} pictures {pictures!s:7}"
          f" {protocol.metric:12} KL over {protocol.kl_over:5} against {protocol.reference}")


# %% [markdown]
# ## Reference laws: a perfect generator, and noise
# Floor, ceiling and null need no generated examples. All numbers except the spread (below) depend on the samples only through their
# tally. So it is enough to know the probability of each cell of the tally, for a perfect generator and for noise. The code calls these
# probabilities a *law*. For well separated modes both laws have closed forms. For pictures we apply the classifier to held-out real scans
# and to noise. Stacked digits draw their channels independently, so the law of a thousand modes is the product of
# three small ones. (You can skip the code of this section at first reading.)

# %%
#| export evaluation.reference_law
@dataclass(frozen=True, eq=False)
class ReferenceLaw:
    "Laws of the tally, (2, n_modes) float64 each: row 0 doubtful samples, row 1 good ones."
    real: Tensor  # of a perfect generator
    noise: Tensor  # of uniform noise in the set's box
    exact: bool  # closed form, or measured once
    judged: bool  # whether a judge says what an example shows
    d: int  # numbers in one example

# %% [markdown]
# Such a law is the same at each call, so it is computed once for each set.

# %%
#| export evaluation.reference_law
def cached_per_set(work: Callable) -> Callable:
    "Compute `work(modes, ...)` once per set: per `.spec` if that says everything, else per object."
    by_spec, by_object = {}, weakref.WeakKeyDictionary()

    @functools.wraps(work)
    def remembered(modes, *rest):
        spec = json.dumps(getattr(modes, "spec", None), sort_keys=True)
        own = spec == "null" or '"own"' in spec
        store = by_object.setdefault(modes, {}) if own else by_spec.setdefault(spec, {})
        if rest not in store:
            store[rest] = work(modes, *rest)
        return store[rest]
    return remembered

# %% [markdown]
# The count needs the mode of each example and whether it is good. `assign_modes` gets both from the set and checks them, since the set may be your own.

# %%
#| export evaluation.reference_law
def assign_modes(modes: Any, x: Tensor, *near: Any) -> tuple[Tensor, Tensor]:
    "Mode and goodness of each example, on the CPU; `near` is what a mixture means by good."
    mode, good = (v.cpu() for v in modes.assign(x, *near))
    if not 0 <= int(mode.min()) <= int(mode.max()) < modes.n_modes:
        raise ValueError(f"modes: its assign gave {mode.min()} to {mode.max()}, "
                         f"expected 0 to {modes.n_modes - 1}")
    return mode, good.bool()

# %% [markdown]
# `_seen_law` computes a law from real examples whose mode is known: how often is each mode recognised, and as which mode?

# %%
#| export evaluation.reference_law
def _seen_law(truth: Tensor, mode: Tensor, good: Tensor, weights: Tensor) -> Tensor:
    "Law (2, k) of what is seen; the examples of known `truth` need not come in the right shares."
    k, seen = len(weights), torch.bincount(truth, minlength=len(weights))
    p = torch.bincount(mode + k * good, (weights / seen)[truth], minlength=2 * k).reshape(2, k)
    p[1] += torch.where(seen == 0, weights, 0)
    return p

# %% [markdown]
# The null is uniform noise in the set's box. The set gives the two corners of the box as `bounds`.

# %%
#| export evaluation.reference_law
def _uniform_noise(modes: Any, n: int, g: torch.Generator) -> Tensor:
    "Uniform noise `(n, *event)` in the set's box."
    low, high = (torch.as_tensor(b, device=g.device) for b in modes.bounds)
    return low + (high - low) * torch.rand(n, *modes.event, generator=g, device=g.device)

# %% [markdown]
# The closed forms hold only if the regions of good samples do not overlap and lie inside the box.

# %%
#| export evaluation.reference_law
def _well_separated(modes: Mixture, within: float, box: bool) -> bool:
    "Whether the regions of good samples are disjoint, inside the box, and of a known volume."
    c, s, d = modes.centers.cpu().double(), modes.covariances.cpu().double(), modes.event[0]
    low, high = (b.cpu().double() for b in modes.bounds)
    side = s.diagonal(dim1=-2, dim2=-1).sqrt()
    tilted = bool((s - torch.diag_embed(s.diagonal(dim1=-2, dim2=-1))).any())
    widest = (side.norm(dim=-1) if tilted else side).amax().item()
    reach = within * (math.sqrt(d) if box else 1) * widest
    rim = within * side - 1e-6 * (high - low)
    parts = c.split(1024) if len(c) > 1 else ()
    near = [torch.cdist(part, c).kthvalue(2).values.min().item() for part in parts]
    touching = min(near, default=math.inf) < reach + (math.sqrt(d) + 6) * widest
    return not (touching or (c - rim < low).any() or (c + rim > high).any() or box and tilted)

# %% [markdown]
# Then a perfect generator's share is known, and noise hits a mode in proportion to the volume of
# its region.

# %%
#| export evaluation.reference_law
def _closed_form(modes: Mixture, within: float, metric: str) -> tuple[float, Tensor] | None:
    "Good share of a perfect generator, and of noise per mode; None where there is no closed form."
    box, d = metric == "box", modes.event[0]
    if not _well_separated(modes, within, box):
        return None
    low, high = (b.cpu().double() for b in modes.bounds)
    share = math.erf(within / 2 ** .5) ** d if box else within_share(within, d)
    ball = d * math.log(2) if box else d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    factor = torch.linalg.cholesky(modes.covariances.cpu().double())
    volume = ball + d * math.log(within) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return share, (volume - (high - low).log().sum()).exp()

# %% [markdown]
# For digits the classifier is applied to one channel; the law of all channels follows from it.

# %%
#| export evaluation.reference_law
def _scan_laws(modes: DigitSet, g: torch.Generator) -> list[Tensor]:
    "Laws of held-out scans and of noise, from showing the judge one picture in every channel."
    channels, n = modes.event[0], min(2 ** 15, 2 ** 24 // math.prod(modes.event))
    share = modes.weights.cpu().double().reshape(10, -1).sum(1)
    scans, truth = (modes.held_out or modes).sample_with_modes(n, generator=g)
    laws = []
    for x, digit in ((scans, truth.cpu() // 10 ** (channels - 1)),
                     (_uniform_noise(modes, n, g), None)):
        mode, good = (v.cpu() for v in modes.assign(x[:, :1].expand(x.shape)))
        if digit is None:
            one = (torch.bincount(mode % 10 + 10 * good, minlength=20).reshape(2, 10) / n).double()
        else:
            one = _seen_law(digit, mode % 10, good, share / share.sum())
        laws.append(_channel_product(one, channels))
    return laws

# %% [markdown]
# The channels of stacked digits are independent, so the probability of a mode is the product over its digits. An example is good only if every channel is good; the remaining probability goes to the doubtful row.

# %%
#| export evaluation.reference_law
def _channel_product(one: Tensor, channels: int) -> Tensor:
    "The law (2, 10 ** channels) of independent channels that each have the law `one` (2, 10)."
    good, every = (functools.reduce(lambda a, b: torch.outer(a, b).flatten(), [p] * channels)
                   for p in (one[1], one.sum(0)))
    return torch.stack([(every - good).clamp_min(0), good])

# %% [markdown]
# For any other set the laws are measured from samples, as many as memory allows. Where a closed form holds, it is used instead.

# %%
#| export evaluation.reference_law
def _measured_laws(modes: Any, weights: Tensor, g: torch.Generator, *near: Any) -> list[Tensor]:
    "Laws of real examples and of noise by counting, or in closed form where `near` allows it."
    k, size, points = modes.n_modes, math.prod(modes.event), isinstance(modes, Mixture)
    n = min(2 ** 17, max(2 ** 12, 2 ** 24 // (size * (k if points else 8))))
    mode, good = assign_modes(modes, _uniform_noise(modes, n, g), *near)
    noise = torch.bincount(mode + k * good, minlength=2 * k).reshape(2, k).double() / n
    if points and (exact := _closed_form(modes, *near)):
        noise = torch.stack([noise[0] / noise[0].sum() * (1 - exact[1].sum()), exact[1]])
        return [torch.stack([weights * (1 - exact[0]), weights * exact[0]]), noise, True]
    x, truth = (getattr(modes, "held_out", None) or modes).sample_with_modes(n, generator=g)
    return [_seen_law(truth.cpu(), *assign_modes(modes, x, *near), weights), noise, False]

# %% [markdown]
# `_law` chooses the method and keeps the result for the set. Its random numbers come from a fixed seed, so the reference values are always the same.

# %%
#| export evaluation.reference_law
@cached_per_set
def _law(modes: Any, *near: Any) -> ReferenceLaw:
    "The laws of a set; `near` is what a mixture means by good."
    g = torch.Generator(device=getattr(modes, "device", "cpu")).manual_seed(0)
    size = math.prod(modes.event)
    if isinstance(modes, DigitSet):
        return ReferenceLaw(*_scan_laws(modes, g), False, True, size)
    weights = torch.as_tensor(modes.weights).cpu().double()
    laws = _measured_laws(modes, weights / weights.sum(), g, *near)
    return ReferenceLaw(*laws, has_judge(modes), size)

# %% [markdown]
# `reference_law` is the public function. It checks its arguments and returns the law.

# %%
#| export evaluation.reference_law
def reference_law(modes: Any,  # a set whose modes are known
                  protocol: Protocol,  # decides what is good
                  ) -> ReferenceLaw:
    "What a perfect generator and what noise leave in the tally; always the same, and remembered."
    check_mode_set(modes)
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol: expected a Protocol, got {protocol!r:.60}")
    return _law(modes, *good_rule(modes, protocol))

# %% [markdown]
# A set of your own must have the attributes and methods that the count needs. The error names those that are absent.

# %%
#| export evaluation.reference_law
def check_mode_set(modes: Any) -> None:
    "Refuse what is no set of known modes."
    needs = ("n_modes", "weights", "event", "bounds", "assign", "sample_with_modes")
    if absent := [name for name in needs if not hasattr(modes, name)]:
        raise TypeError("modes: expected a set whose modes are known, such as grid(), "
                        f"got {modes!r:.60} without {', '.join(absent)}")

# %% [markdown]
# For a mixture the protocol decides what a good sample is, by a distance and a metric. A set with a classifier uses its own confidence threshold.

# %%
#| export evaluation.reference_law
def good_rule(modes: Any, protocol: Protocol) -> tuple:
    "What a mixture means by a good sample; a judge has a rule of its own."
    return (protocol.within, protocol.metric) if isinstance(modes, Mixture) else ()

# %% [markdown]
# **Fidelity.** The closed form agrees with counting 200,000 samples:

# %%
exact = reference_law(grid, PROTOCOLS["pacgan"])
drawn = grid.assign(grid.sample(200_000, generator=g))[1].double().mean()
assert exact.exact and abs(exact.real[1].sum() - drawn) < .001
assert abs(exact.noise[1].sum() - 25 * p) < 1e-8
exact.real[1].sum().item(), drawn.item()


# %% [markdown]
# ## From a tally to the numbers
# One function turns tallies into scores: the tally of your samples, those of hundreds of perfect samples, and those of hundreds of
# draws of noise. So the floor is always computed by the same code as the score.
#
# First, `needed_counts` gives the number of samples that a mode needs to be captured: one, or the number of the protocol.

# %%
#| export evaluation.scores
def needed_counts(law: ReferenceLaw, protocol: Protocol, n: Tensor | float) -> Tensor:
    "How many of `n` samples a mode needs before it counts, (..., n_modes)."
    return (protocol.least * n * law.real[1]).clamp_min(1)

# %% [markdown]
# `mode_scores` computes captured modes, high quality, both KL divergences and the total variation. It scores many tallies in one call.

# %%
#| export evaluation.scores
def mode_scores(tally: Tensor, law: ReferenceLaw, protocol: Protocol) -> dict[str, Tensor]:
    "The scores (...) of tallies (..., 2, n_modes), by name."
    n = tally.sum((-1, -2)).unsqueeze(-1)
    deciding, entering = protocol.counts(tally, law.judged)
    own = protocol.counts(law.real, law.judged)[1]
    share = entering / entering.sum(-1, keepdim=True)
    q = own / own.sum() if protocol.reference == "own" else torch.full_like(own, 1 / len(own))
    bucket = torch.cat([tally[..., 1, :], tally[..., :1, :].sum(-1)], -1) / n
    right = torch.cat([law.real[1], law.real[:1].sum(-1)])
    return {"captured": (deciding >= needed_counts(law, protocol, n)).sum(-1).double(),
            "kl": kl(share, q), "high_quality": tally[..., 1, :].sum(-1) / n[..., 0],
            "forward": kl(q, share), "tv": total_variation(bucket, right)}

# %% [markdown]
# Tallies of perfect generators and of noise are drawn from their law.

# %%
#| export evaluation.scores
def draw_tallies(p: Tensor, n: int, draws: int) -> Tensor:
    "Tallies (draws, 2, n_modes) of `n` samples from the law `p` (2, n_modes); always the same."
    flat = p.flatten().numpy()
    counts = np.random.default_rng(0).multinomial(n, flat / flat.sum(), size=draws)
    return torch.from_numpy(counts).double().reshape(draws, *p.shape)

# %% [markdown]
# ## The spread within a mode
# Captured modes, KL and high quality do not show that each mode is half as wide as it should be, or a single point. So we also
# compare widths: the *spread* is the standard deviation of the good samples in a mode over the true one, averaged over modes. Good
# samples of a perfect generator are cut off at $3\sigma$ too, which narrows them by 2.6 % in 2-D. This factor is divided out.
# `_kept_variance` gives its square.

# %%
#| export evaluation.scores
def _kept_variance(within: float, d: int, metric: str) -> float:
    "Variance of a coordinate of a standard normal law that was cut off at `within`."
    if metric == "box":
        density = math.exp(-within ** 2 / 2)
        return 1 - 2 * within * density / math.sqrt(2 * math.pi) / math.erf(within / 2 ** .5)
    return within_share(within, d + 2) / (within_share(within, d) or math.nan)

# %% [markdown]
# The offset of a sample from its centre is divided by the true width, then the variance is taken.

# %%
#| export evaluation.scores
def _whitened(x: Tensor, mode: Tensor, modes: Mixture) -> Tensor:
    "Offsets of `x` (n, d) from the centres of their modes, in standard deviations, float64."
    scale = torch.linalg.cholesky(modes.covariances.cpu().double())
    x = x.double() - modes.centers.cpu().double()[mode]
    for m in mode.unique().tolist():
        own = mode == m
        x[own] = torch.linalg.solve_triangular(scale[m], x[own].T, upper=False).T
    return x

# %% [markdown]
# `mode_spreads` divides the standard deviation of the good samples in each mode by the true one. It handles several runs in one call.

# %%
#| export evaluation.scores
def mode_spreads(x: Tensor,  # samples (rows * n, d)
                 cell: Tensor,  # mode + n_modes * row of each
                 good: Tensor,  # which of them are good
                 modes: Mixture, protocol: Protocol, rows: int) -> Tensor:
    "Sample over true standard deviation of good samples, (rows, n_modes); NaN below two samples."
    k, (d,) = modes.n_modes, modes.event
    x, cell = x.detach().cpu()[good], cell[good]
    x = _whitened(x, cell % k, modes)
    n = torch.bincount(cell, minlength=rows * k).double()
    total = torch.zeros(rows * k, d, dtype=torch.float64).index_add_(0, cell, x)
    squares = torch.zeros(rows * k, dtype=torch.float64).index_add_(0, cell, x.square().sum(1))
    variance = (squares - total.square().sum(1) / n).clamp_min(0) / (n - 1) / d
    ratio = (variance / _kept_variance(protocol.within, d, protocol.metric)).sqrt()
    return torch.where(n > 1, ratio, math.nan).reshape(rows, k)

# %% [markdown]
# For floor and null the mean of the spread is computed by a formula, without samples.

# %%
#| export evaluation.scores
def expected_spread(modes: Any, protocol: Protocol, counts: Tensor, noise: bool) -> Tensor:
    "Mean of `mode_spreads`, (n_modes,), for perfection or noise with `counts` (draws, n_modes)."
    d, w, ratio = modes.event[0], protocol.within, 1.0
    if noise:
        part = 3 if protocol.metric == "box" else d + 2
        ratio = math.sqrt(w ** 2 / part / _kept_variance(w, d, protocol.metric))
    dof = (d * (counts - 1)).clamp(1, 1e6)
    log_gammas = torch.lgamma((dof + 1) / 2), torch.lgamma(dof / 2)
    # the root of an estimated variance is too small on average
    shrunk = (math.log(2) / 2 - dof.log() / 2 + log_gammas[0] - log_gammas[1]).exp()
    return torch.where(counts > 1, ratio * shrunk, math.nan).nanmean(0)

# %% [markdown]
# ## Coverage
# One frozen object, `Coverage`, holds each number and its reference values. Its method `interval` estimates the *expected* score of
# this generator at this many samples. For KL and total variation (TV) the tally is redrawn 400 times (a bootstrap). A plain bootstrap
# would add the sampling floor a second time, so the redraws are shifted until their mean is the score. A bootstrap never contains
# a mode that was not seen. So the mode count has its own formula: how many more modes would appear in a second sample?
#
# `MEASURES` lists the numbers and their names in tables.

# %%
#| export
MEASURES = {"captured": "modes captured", "high_quality": "high quality",
            "kl": "KL(generated‖reference), nats", "forward": "KL(reference‖generated), nats",
            "tv": "TV with invalid bucket", "spread": "spread within modes"}
COMPANIONS = ("floor: a perfect generator with as many samples; ceiling: with infinitely many; "
              "null: uniform noise.")

# %% [markdown]
# A mode count has a random error: another set of samples would contain other rare modes. `occupancy_error` estimates this error from the numbers of modes that were seen once, twice, and so on.

# %%
#| export evaluation.scores
def occupancy_error(counts: Tensor, n: float) -> float:
    """Standard error of the number of modes seen, from `counts` (n_modes,) of `n` samples.

    Its variance is the number of new modes that as many further samples would show. Good and
    Toulmin (1956) estimate that from how many modes were seen once, twice, …; the weights damp
    their alternating sum (Efron and Thisted 1976).
    """
    seen = counts[counts > 0]
    times = torch.bincount(seen.clamp_max(7).long(), minlength=8)[1:7]
    weighted = times * torch.tensor([63, -57, 42, -22, 7, -1]) / 64
    fresh = weighted.sum() - times[0] ** 2 / n
    lost = (-seen).exp()
    spread = (lost * (1 - lost)).sum().item() - (seen * lost).sum().item() ** 2 / n
    return max(0.0, fresh.item(), spread) ** .5

# %% [markdown]
# One coverage and a list of coverages are both shown as a table. They share this base class.

# %%
#| export
class _ShownAsTable:
    "Shows itself as a table."
    def __repr__(self) -> str:
        return repr(coverage_table(self))

    def _repr_html_(self) -> str:
        return coverage_table(self)._repr_html_()

# %% [markdown]
# The `Interval` of chapter [0.2](02_evidence.ipynb) is over seeds. `SampleInterval` is the same for one set of samples. Its text says "from … samples".

# %%
#| export
@dataclass(frozen=True, repr=False)
class SampleInterval(Interval):
    "An estimate from one set of samples with its confidence interval."
    def __repr__(self) -> str:
        return f"{self} from {self.n} samples"


# %% [markdown]
# `Coverage` holds the scores of one set of samples. Floor, ceiling and null are `Coverage` objects in three of its fields.

# %%
#| export
@dataclass(frozen=True, repr=False)
class Coverage(_ShownAsTable):
    "What samples cover of the modes of a set, beside what perfection and noise would have scored."
    captured: float  # modes captured
    n_modes: float  # of so many
    high_quality: float  # share of good samples: near a mode, or recognised with confidence
    kl: float  # KL(generated ‖ reference law) in nats, "reverse KL"; NaN if no sample enters
    forward: float  # KL(reference law ‖ generated); infinite as soon as a mode is missing
    tv: float  # total variation to the set's own law over modes and "not good"
    spread: float  # mean over modes of sample ÷ true standard deviation; NaN for pictures
    n: float  # samples
    protocol: Protocol
    of: str  # the set's name
    asked: int | None  # samples the protocol asks for, if its source says
    law: ReferenceLaw = field(compare=False)
    tally: Tensor = field(compare=False)  # (2, n_modes): doubtful and good samples per mode
    spreads: Tensor = field(compare=False)  # (n_modes,)
    # A perfect generator with as many samples, one with infinitely many, and uniform noise:
    floor: Coverage | None = field(default=None, compare=False)
    ceiling: Coverage | None = field(default=None, compare=False)
    null: Coverage | None = field(default=None, compare=False)

# %% [markdown]
# `reverse` is a second name for `kl`, since the field calls this direction *reverse* KL.

# %%
#| export
@patch(as_prop=True)
def reverse(self: Coverage) -> float:
    "KL(generated ‖ reference), another name for `kl`."
    return self.kl

# %% [markdown]
# On pictures, `low_confidence` is the share of samples that the classifier is not confident about. It is high for pictures that show no digit.

# %%
#| export
@patch(as_prop=True)
def low_confidence(self: Coverage) -> float:
    "Share of pictures of which the judge is not sure; NaN where there is no judge."
    return 1 - self.high_quality if self.law.judged else math.nan

# %% [markdown]
# `counts` is the number of good samples in each mode.

# %%
#| export
@patch(as_prop=True)
def counts(self: Coverage) -> Tensor:
    "Good samples per mode, (n_modes,)."
    return self.tally[1]

# %% [markdown]
# `missing` lists the modes that are not captured under the protocol, so that you can look at them.

# %%
#| export
@patch(as_prop=True)
def missing(self: Coverage) -> list[int]:
    "The modes that are not captured."
    deciding = self.protocol.counts(self.tally, self.law.judged)[0]
    short = deciding < needed_counts(self.law, self.protocol, self.n)
    return short.nonzero().flatten().tolist()

# %% [markdown]
# `numbers` gives all measures as a dictionary, for a file or a table of your own.

# %%
#| export
@patch
def numbers(self: Coverage) -> dict[str, float]:
    "All measures by name, as plain floats."
    return {name: getattr(self, name) for name in MEASURES}

# %% [markdown]
# ### The interval of a measure
# Every measure has a possible range: none is negative, a share is at most 1, and a count is at most the number of modes. No interval leaves this range.

# %%
#| export
@patch
def _largest(self: Coverage, name: str) -> float:
    "The largest possible value of a measure."
    return {"captured": self.n_modes, "tv": 1.0, "high_quality": 1.0}.get(name, math.inf)

# %% [markdown]
# `interval` chooses the method. High quality, spread and the mode count each have a formula. For KL, TV, and the mode count of a protocol with a threshold, tallies are redrawn (a bootstrap).

# %%
#| export
@patch
def interval(self: Coverage, name: str,  # a measure, such as "kl"
             confidence: float = .95,  # chance that it holds the expected score at this n
             ) -> SampleInterval:
    "A measure with an interval for what this generator scores on average at as many samples."
    value = getattr(self, check_choice("name", name, MEASURES))
    tail = (1 - check_number("confidence", confidence, most=.9999, above=0)) / 2
    if not math.isfinite(value + self.n):
        return SampleInterval(value, value, value, self.n)
    if name == "high_quality":
        low, high = wilson_interval(value, self.n, 1 - 2 * tail)
    elif name == "spread":
        low, high = self._spread_limits(tail)
    elif name == "captured" and not self.protocol.least:
        low, high = self._captured_limits(tail)
    else:
        low, high = self._redrawn_limits(name, tail)
    low, high = min(max(low, 0.0), value), max(min(high, self._largest(name)), value)
    return SampleInterval(value, low, high, self.n)

# %% [markdown]
# The spread is a mean of estimated standard deviations. The error of each one follows from its number of samples, by the normal approximation.

# %%
#| export
@patch
def _spread_limits(self: Coverage, tail: float) -> tuple[float, float]:
    "Limits of the spread: m points in d dimensions have d (m - 1) degrees of freedom."
    dof = self.law.d * (self.counts - 1).clamp_min(1)
    error = (self.spreads.square() / (2 * dof))[self.spreads.isfinite()]
    half = NormalDist().inv_cdf(1 - tail) * error.sum().sqrt().item() / len(error)
    return self.spread - half, self.spread + half

# %% [markdown]
# The limits of the mode count use `occupancy_error`. The upper limit also allows for modes that were not seen.

# %%
#| export
@patch
def _captured_limits(self: Coverage, tail: float) -> tuple[float, float]:
    "Limits of the mode count."
    deciding = self.protocol.counts(self.tally, self.law.judged)[0]
    half = NormalDist().inv_cdf(1 - tail) * occupancy_error(deciding, self.n)
    # the rule of three: unseen modes may together hold -log(1 - confidence) of n samples
    return self.captured - half, self.captured + max(half, -math.log(2 * tail))

# %% [markdown]
# The other limits are quantiles of the scores of redrawn tallies, shifted so that their mean is the score.

# %%
#| export
@patch
def _redrawn_limits(self: Coverage, name: str, tail: float) -> tuple[float, float]:
    "Limits of a measure from redraws that are moved so that they centre on its value."
    drawn = self._redrawn[name]
    finite = drawn[drawn.isfinite()]
    if not len(finite):
        return -math.inf, math.inf
    ends = finite.quantile(torch.tensor([tail, 1 - tail]).double())
    low, high = (getattr(self, name) - finite.mean() + ends).tolist()
    return low, high if len(finite) == len(drawn) else math.inf

# %% [markdown]
# The 400 tallies are drawn from shares between the observed ones and the set's own law. If the two differ by chance only, the shares are close to the law. So chance differences of the sample are not counted a second time in the redraws.

# %%
#| export
@patch
@functools.cached_property
def _redrawn(self: Coverage) -> dict[str, Tensor]:
    "Scores of 400 redraws of the tally, pulled towards the set's law where that explains it."
    p = self.tally / self.n
    goal = torch.where(p > 0, self.law.real, 0)
    goal = goal / goal.sum() if goal.sum() > 0 else p
    chi2 = (self.n * torch.where(p > 0, (p - goal).square() / goal, 0).sum()).clamp_min(1e-9)
    keep = (1 - ((p > 0).sum() - 1) / chi2).clamp_min(0).sqrt()
    tallies = draw_tallies(goal + keep * (p - goal), self.n, 400)
    return mode_scores(tallies, self.law, self.protocol)

# %% [markdown]
# A table can show one coverage, a list of seeds, or several methods by name. `Table` prints its rows as text and as HTML.

# %%
#| export
@dataclass(frozen=True, repr=False)
class Table:
    "Rows of text under a head, as text and as HTML."
    title: str
    rows: tuple[tuple[str, ...], ...]  # the first is the head
    note: str = ""

    def __repr__(self) -> str:
        wide = [max(map(len, column)) for column in zip(*self.rows)]
        lines = ["  ".join([row[0].ljust(wide[0]), *map(str.rjust, row[1:], wide[1:])]).rstrip()
                 for row in self.rows]
        return "\n".join(filter(None, [self.title, *lines, self.note]))

    def _repr_html_(self) -> str:
        from html import escape
        body = "".join("<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"
                       for row, tag in zip(self.rows, ["th"] + ["td"] * len(self.rows)))
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<table>{caption}{body}</table><small>{escape(self.note)}</small>"

# %% [markdown]
# `coverages` (below) returns one `Coverage` per run in this list. It is shown as one table with means over runs.

# %%
#| export
class Coverages(_ShownAsTable, list):
    "A list of `Coverage`, one per run, that shows itself as their table."

# %% [markdown]
# A cell of the table holds one measure, as text.

# %%
#| export
def _as_text(name: str, value: float) -> str:
    "`value` as a reader wants to see this measure."
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    if name == "high_quality":
        return f"{100 * value:.3g} %"
    if name == "captured":
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.3g}" if value >= .1 else f"{value:.4f}"

# %% [markdown]
# `_cell` joins a mean and its interval. With several runs the interval is over runs, with one run it is over its samples.

# %%
#| export
def _cell(name: str, group: Sequence[Coverage]) -> str:
    "Mean and interval of one measure: over runs, or over the samples of a single one."
    values = [getattr(c, name) for c in group]
    finite = [v for v in values if math.isfinite(v)]
    if not finite or len(finite) < 2 <= len(values):
        return ", ".join(sorted({_as_text(name, v) for v in values}))
    if len(values) > 1:
        most = group[0]._largest(name)
        of = interval(finite, low=0, high=most if math.isfinite(most) else None)
    else:
        of = group[0].interval(name)
    text = _as_text(name, of.mean)
    if math.isfinite(group[0].n):
        text += f" [{_as_text(name, of.low)}, {_as_text(name, of.high)}]"
    return text + f" ({len(finite)} of {len(values)})" * (len(finite) < len(values))

# %% [markdown]
# Coverages are shown in one table only if they were counted in the same way.

# %%
#| export
def _kind(c: Coverage) -> tuple:
    "What must be equal for two coverages to be compared."
    return c.of, c.n_modes, c.n, c.protocol.name

# %% [markdown]
# `_comparable` checks this, and refuses a mixture of sets, sample sizes or protocols.

# %%
#| export
def _comparable(coverages: Any) -> list[Coverage]:
    "One or several comparable coverages as a list."
    group = [coverages] if isinstance(coverages, Coverage) else coverages
    if not isinstance(group, Sequence) or not group \
            or not all(isinstance(c, Coverage) for c in group):
        raise TypeError("coverages: expected one Coverage, a list of them, or a dict of either, "
                        f"got {coverages!r:.80}")
    kinds = set(map(_kind, group))
    if len(kinds) > 1:
        raise ValueError("coverages: expected one set, number of samples and protocol, "
                         f"got {sorted(kinds)}")
    return list(group)

# %% [markdown]
# `coverage_table` is the public function. A dictionary gives one row per name; one coverage, or a list over seeds, gives one row per measure.

# %%
#| export
def coverage_table(coverages: Coverage | Sequence[Coverage] | Mapping[str, Any],
                   ) -> Table:
    """Measures with 95 % intervals beside floor, ceiling and null.

    `coverages` is one, or one per run, or a dict of either by name, which gives one row per name.
    """
    if isinstance(coverages, Mapping):
        groups = {str(k): _comparable(v) for k, v in coverages.items()} or _comparable([])
        return _table_by_name(groups)
    return _table_of_one(_comparable(coverages))

# %% [markdown]
# A table shows floor, ceiling and null only if they are the same for all its coverages.

# %%
#| export
def _companion_names(coverages: Sequence[Coverage]) -> list[str]:
    "Which of floor, ceiling and null these coverages have in common."
    alike = len(set(map(_kind, coverages))) == 1
    names = ("floor", "ceiling", "null")
    return [name for name in names if alike and getattr(coverages[0], name)]

# %% [markdown]
# For a dictionary the table has one row per name and, below them, the reference values.

# %%
#| export
def _table_by_name(groups: dict[str, list[Coverage]]) -> Table:
    "A table with one row per name, and one for each companion."
    first = [group[0] for group in groups.values()]
    shown = [m for m in MEASURES if m != "forward" and not (m == "spread" and first[0].law.judged)]
    rows = [(k, *(_cell(m, v) for m in shown)) for k, v in groups.items()]
    sides = _companion_names(first)
    for side in sides:
        companion = getattr(first[0], side)
        rows.append((side, *(_as_text(m, getattr(companion, m)) for m in shown)))
    return Table("", (("", *map(MEASURES.get, shown)), *rows), COMPANIONS * bool(sides))

# %% [markdown]
# Otherwise it has one row per measure, with the reference values beside the score. For a single run a note lists the modes that were not captured.

# %%
#| export
def _table_of_one(group: list[Coverage]) -> Table:
    "A table with one row per measure: of one coverage, or of one per run."
    c, runs, sides = group[0], len(group), _companion_names(group[:1])
    rows = [(MEASURES[m], _cell(m, group), *(_as_text(m, getattr(getattr(c, s), m)) for s in sides))
            for m in MEASURES if not (m == "spread" and c.law.judged)]
    asks = f"asks for {c.asked:,}" if c.asked else "names no number"
    title = f"{c.of}: {c.n_modes:g} modes, {c.n:,} samples, protocol {c.protocol.name}"
    title += f" ({asks})" * (c.asked != c.n)
    note = COMPANIONS * bool(sides)
    if sides and runs == 1 and c.missing:
        more = " …" * (len(c.missing) > 12)
        note = f"Not captured: {', '.join(map(str, c.missing[:12]))}{more}. " + note
    head = ("", "score [95 %]" if runs == 1 else f"mean of {runs} runs [95 %]", *sides)
    return Table(title, (head, *rows), note)

# %% [markdown]
# The public functions check the input, assign the samples to modes, and count. `coverage` takes one array of samples,
# `coverages` an array with runs in front. `_from_scores` puts the results into a `Coverage`.

# %%
#| export
def _from_scores(scores: Mapping[str, Tensor], tally: Tensor, spreads: Tensor, modes: Any,
                 protocol: Protocol, n: float, **companions: Coverage) -> Coverage:
    "A `Coverage` from its parts."
    numbers = {k: v.item() for k, v in {**scores, "spread": spreads.nanmean()}.items()}
    # one NaN object for all: two coverages may be equal
    numbers = {k: math.nan if math.isnan(v) else v for k, v in numbers.items()}
    of = (getattr(modes, "spec", None) or {}).get("name", type(modes).__name__)
    return Coverage(**numbers, n_modes=float(modes.n_modes), n=n, protocol=protocol, of=of,
                    asked=protocol.asks(modes), law=reference_law(modes, protocol), tally=tally,
                    spreads=spreads, **companions)

# %% [markdown]
# Floor, ceiling and null depend only on the set, the protocol and the number of samples, so they are computed once. Floor and null are means over many random tallies; the ceiling uses the law itself.

# %%
#| export
@cached_per_set
def _companions(modes: Any, protocol: Protocol, n: int) -> dict[str, Coverage]:
    "Floor, ceiling and null for `n` samples; floor and null are means over 200 or more tallies."
    known, made = reference_law(modes, protocol), {}
    draws = max(200, min(2000, 10 ** 5 // modes.n_modes))
    for name, p, m in (("floor", known.real, n), ("ceiling", known.real, math.inf),
                       ("null", known.noise, n)):
        tallies = draw_tallies(p, n, draws) if m == n else (p * 1e18)[None]
        scores = {k: v.nanmean() for k, v in mode_scores(tallies, known, protocol).items()}
        tally, spreads = tallies.mean(0), torch.full((modes.n_modes,), math.nan)
        if isinstance(modes, Mixture):
            spreads = expected_spread(modes, protocol, tallies[:, 1], name == "null")
        made[name] = _from_scores(scores, tally, spreads, modes, protocol, m)
    return made

# %% [markdown]
# `_measure` does the work for several runs at once: it assigns the samples, counts, scores, and attaches the reference values.

# %%
#| export
def _measure(x: Tensor, modes: Any, protocol: Protocol) -> Coverages:
    "One `Coverage` for each row of `x` (rows, n, *event)."
    (rows, n), k, x = x.shape[:2], modes.n_modes, x.flatten(0, 1)
    mode, good = assign_modes(modes, x, *good_rule(modes, protocol))
    cell = mode + k * torch.arange(rows).repeat_interleave(n)
    tallies = torch.stack([torch.bincount(cell[of], minlength=rows * k).reshape(rows, k)
                           for of in (~good, good)], 1).double()
    scores = mode_scores(tallies, reference_law(modes, protocol), protocol)
    spreads = torch.full((rows, k), math.nan)
    if isinstance(modes, Mixture):
        spreads = mode_spreads(x, cell, good, modes, protocol, rows)
    companions = _companions(modes, protocol, n)
    return Coverages(_from_scores({name: v[i] for name, v in scores.items()}, tallies[i],
                                  spreads[i], modes, protocol, n, **companions)
                     for i in range(rows))

# %% [markdown]
# Samples come as tensors or as NumPy arrays. `_check_samples` refuses wrong shapes and empty input, and looks up a protocol by its name.

# %%
#| export
def _check_samples(x: Any, modes: Any, protocol: str | Protocol,
                   runs: bool) -> tuple[Tensor, Protocol]:
    "`x` as a finite tensor of the right shape, and the protocol."
    check_mode_set(modes)
    if not isinstance(protocol, Protocol):
        protocol = PROTOCOLS[check_choice("protocol", protocol, PROTOCOLS)]
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        x = np.array(x, dtype=x.dtype.newbyteorder("="))  # any strides, order, write protection
    refuse_bytes("x", x)
    x, event = check_batch("x", x), tuple(modes.event)
    several, lead = x.ndim > len(event) + 1, x.ndim - len(event)
    if lead < 1 or x.shape[lead:] != event or x.numel() == 0 or several and not runs:
        hint = "; for several runs use coverages(x, ...): one Coverage per run" * several
        want = ", ".join(["*runs"] * runs + ["n", *map(str, event)])
        raise ValueError(f"x: expected shape ({want}) with n ≥ 1, got {tuple(x.shape)}{hint}")
    return x.detach(), protocol

# %% [markdown]
# `coverage` scores one set of samples.

# %%
#| export
def coverage(x: Any,  # samples (n, *event), a tensor or an array
             modes: Any,  # the set whose modes they should cover
             protocol: str | Protocol = "pacgan",  # one of `PROTOCOLS`, or your own
             ) -> Coverage:
    """What `x` covers of `modes`, beside what perfection and noise would have scored.

    Any number of samples will do; the result says how many the protocol asks for. No randomness
    comes from outside. Raises ValueError or TypeError for wrong shapes, no samples, NaN or
    infinity, unknown protocols.

    >>> from modelab.data.mixtures import ring
    >>> x = ring(8).sample(2500, generator=torch.Generator().manual_seed(0))
    >>> coverage(x, ring(8)).captured
    8.0
    """
    x, protocol = _check_samples(x, modes, protocol, False)
    return _measure(x[None], modes, protocol)[0]

# %% [markdown]
# `coverages` scores an array with a run axis in front and gives one `Coverage` per run.

# %%
#| export
def coverages(x: Any,  # samples (*runs, n, *event), a tensor or an array
              modes: Any,  # the set whose modes they should cover
              protocol: str | Protocol = "pacgan",  # one of `PROTOCOLS`, or your own
              ) -> Coverages:
    "One `Coverage` per run, in a list that shows itself as a table over runs."
    x, protocol = _check_samples(x, modes, protocol, True)
    return _measure(x.reshape(-1, *x.shape[x.ndim - len(modes.event) - 1:]), modes, protocol)

# %% [markdown]
# `plot_coverage` shows the share of each mode. A band shows where the share lies in 95 % of the samples of a perfect generator.

# %%
#| export
def plot_coverage(coverage: Coverage,  # what to draw
                  ax: Any,  # matplotlib axes
                  ) -> None:
    "Each mode's share as a bar over a perfect generator's; above 64 modes, sorted curves."
    c, few = coverage, coverage.n_modes <= 64
    tallies = torch.cat([c.tally[None], draw_tallies(c.law.real, c.n, 400)])
    shares = 100 * c.protocol.counts(tallies, c.law.judged)[0] / c.n
    shares = (shares if few else shares.sort(-1, descending=True).values).numpy()
    low, high = np.quantile(shares[1:], [.025, .975], axis=0)
    k = np.arange(len(low))
    style = {"color": REAL, "alpha": .45, "lw": 0, "label": "95 % of perfect generators"}
    if few:
        ax.bar(k, high - low, 1, low, **style)
        ax.bar(k, shares[0], .55, color=FAKE, alpha=.8, label="generated")
        ax.set_ylim(0, 1.5 * max(high.max(), shares[0].max()))
    else:
        ax.fill_between(k, low, high, **style)
        ax.plot(k, shares[0], color=FAKE, lw=1.2, label="generated")
        ax.set_yscale("log")
    ax.set(xlabel="mode" if few else "modes, most frequent first", ylabel="share of samples (%)",
           title=f"{c.captured:g} of {c.n_modes:g} modes captured")
    ax.legend(frameon=False, loc="upper right")

# %% [markdown]
# Noise again, now with its reference values:

# %%
null = coverage(noise, grid)
assert abs(null.null.captured - by_hand[0]) < .2 and abs(null.null.high_quality - by_hand[1]) < 5e-4
null

# %%
figure, (left, right) = axes(1, 2, size=(4.2, 2.8))
plot_coverage(null, left)
plot_coverage(coverage(grid.sample(2500, generator=g), grid), right)
Picture(figure, "Bars per mode: noise gives each about 0.07 %; "
                "the real data give each about 4 %, inside the band")


# %% [markdown]
# ## Generators whose faults are known
# The measure itself must be tested. The simulated generator below has a setting for each fault: the modes that it keeps, the share of
# noise among its samples, and a factor for the width of each mode. Its expected scores can be computed by hand.

# %%
def impostor(n: int, keep=range(25), share: float = 0, shrink: float = 1) -> torch.Tensor:
    "Samples of the grid: modes to `keep`, scaled by `shrink`, a `share` of them replaced by noise."
    centers = grid.centers[torch.tensor(list(keep))]
    x = centers[torch.randint(len(centers), (n,), generator=g)]
    x = x + shrink * .05 * torch.randn(n, 2, generator=g)
    dust = low + (high - low) * torch.rand(n, 2, generator=g)
    return torch.where(torch.rand(n, 1, generator=g) < share, dust, x)


# %%
faults = {"perfect": {}, "5 modes of 25": {"keep": range(5)}, "one mode": {"keep": [12]},
          "half noise": {"share": .5}, "95 % noise": {"share": .95},
          "modes half as wide": {"shrink": .5}, "25 points": {"shrink": 0}}
scored = {name: coverage(impostor(2500, **fault), grid) for name, fault in faults.items()}
coverage_table(scored)

# %%
lost, half = scored["5 modes of 25"], scored["half noise"]
assert lost.captured == 5 and lost.missing == list(range(5, 25)) and lost.forward == math.inf
assert abs(lost.kl - math.log(5)) < .01 and abs(lost.tv - ceiling_2d * .8) < .02
assert abs(half.high_quality - (ceiling_2d + 25 * p) / 2) < .04
assert abs(scored["25 points"].spread) < 1e-4
thin, worst = scored["modes half as wide"], scored["95 % noise"]
assert thin.high_quality == 1 and abs(thin.spread - .5 / .9744) < .02
assert thin.captured == worst.captured == 25 and thin.interval("kl").low < thin.floor.kl


# %% [markdown]
# *95 % noise* captures all 25 modes; its high quality of 7 % shows the fault. *Modes half as wide* has all modes, a KL at the floor, and
# a high quality that is higher than that of the data. Its `spread` of 0.51 shows the fault. (It is not 0.50: with narrow modes nothing is
# cut off at $3\sigma$, so the division by 0.974 is too much.) No single column separates every fault from the perfect
# generator. TV does not see narrow modes at this number of samples; spread does not see missing modes. So we need several.
#
# Now count the same generators under three protocols, with the number of samples of each protocol:

# %%
def judged_by(fault: dict, name: str) -> str:
    "Modes and KL under one protocol."
    protocol = PROTOCOLS[name]
    c = coverage(impostor(protocol.samples(grid), **fault), grid, protocol)
    return f"{c.captured:g} / {c.kl:.3f}"

names = ["pacgan", "selfcond", "fair"]
rows = [(fault, *(judged_by(faults[fault], name) for name in names)) for fault in faults]
everyone = Table("modes captured / KL", (("", *names), *rows))
everyone

# %%
cells = {row[0]: dict(zip(names, row[1:])) for row in rows}
noisy = cells["95 % noise"]
assert noisy["pacgan"].startswith("25") and noisy["fair"].startswith("0 ")
assert float(noisy["selfcond"].split("/")[1]) < .003 < float(noisy["pacgan"].split("/")[1])

# %% [markdown]
# `selfcond` draws 50,000 samples and takes KL over *all* of them, good or not. In its column 95 % noise looks perfect: 25 modes and a
# KL of 0.000. Under `fair` the same generator captures no mode. So the protocol decides which faults are visible.
#
# ## Random pixels and the classifier
# On pictures a classifier predicts the mode. The protocols of the literature use the most likely class, not its confidence. Apply
# this to *static*: stacked pictures of which every pixel is random.
#
# **Predict:** our classifier reads 99 % of real digits correctly. How many of 1,000 modes does it find in static?

# %%
stacked = stacked_digits()
static = 2 * torch.rand(26_000, *stacked.event, generator=g) - 1          # pixels live in [-1, 1]
c = coverage(static, stacked)
c

# %% [markdown]
# It finds more than two hundred. VEEGAN's table has 150 for VEEGAN and 99 for DCGAN, a GAN with convolutions (on larger digits, with
# another classifier). Our classifier was trained with junk (chapter 0.3). Now take one that was not: a plain
# logistic regression on the same scans.

# %%
from sklearn.linear_model import LogisticRegression

def flat(x, mode):
    "Channels as rows of pixels, and their digits."
    digit = torch.stack([mode // 100, mode // 10 % 10, mode % 10], 1)
    return x.flatten(0, 1).flatten(1), digit.flatten()

plain = LogisticRegression(max_iter=1000).fit(*flat(*stacked.sample_with_modes(400, generator=g)))
digit = torch.from_numpy(plain.predict(static.flatten(0, 1).flatten(1))).reshape(-1, 3)
shown = torch.bincount(digit @ torch.tensor([100, 10, 1]), minlength=1000).double()

# %%
exam = plain.score(*flat(*stacked.held_out.sample_with_modes(1000, generator=g)))
even = torch.full((1000,), .001).double()
by_plain = (shown > 0).sum().item(), kl(shown / shown.sum(), even).item()
assert exam > .93 and by_plain[0] > 900 and by_plain[1] < .5
f"{exam:.1%} right on real digits", by_plain

# %% [markdown]
# Both classifiers read real digits well. In the same static one finds about 225 modes, the other 999 or so with a KL of
# 0.19. So mode counts from different classifiers cannot be compared, and a count that ignores confidence means little. Therefore
# the table also shows high quality, total variation and the null. `fair` counts only pictures with a confidence of at least 90 %.
# The KL of no samples is undefined, printed as NaN.

# %%
c_fair = coverage(static, stacked, "fair")
assert c_fair.captured <= 1 and c.low_confidence > .99 and c_fair.floor.captured > 980
c_fair.captured, c_fair.kl, f"{c.low_confidence:.1%} low confidence"

# %% [markdown]
# The next claim compares a count by our classifier, on 8×8 digits, with a published count by another classifier on larger digits. So it
# does not compare two generators. It shows that a count of 150 can be the count of noise, if the null is not given.

# %%
seeds = [torch.Generator().manual_seed(seed) for seed in range(8)]
static_runs = [coverage(2 * torch.rand(26_000, *stacked.event, generator=s) - 1, stacked)
               for s in seeds]
caught = statistics_module.interval([run.captured for run in static_runs], low=0, high=1000)
claim("Our classifier finds more of 1,000 stacked digits in random pixels than VEEGAN's table has",
      paper="Srivastava et al. 2017", section="Table 2, VEEGAN; here on 8×8 digits", figure="150",
      ours=caught, baseline="VEEGAN 150", holds=caught.low > 150)

# %% [markdown]
# Real scans are the opposite case. For a set with a classifier the floor is not a formula. It is measured once, on scans that
# were *held out* when the classifier was trained. So held-out scans must score at the floor. Training scans have a higher
# confidence, so more of them are "good", and their total variation is above the floor.

# %%
rows = {"held-out scans": coverage(stacked.held_out.sample(26_000, generator=g), stacked),
        "training scans": coverage(stacked.sample(26_000, generator=g), stacked), "static": c}
coverage_table(rows)

# %%
held, floor = rows["held-out scans"], c.floor
assert held.captured >= 999 and abs(held.kl - floor.kl) < .003
assert abs(held.high_quality - floor.high_quality) < .02
assert abs(held.tv - floor.tv) < .015 and abs(floor.kl - c.ceiling.kl - 999 / 52_000) < .002
stacked.judge, round(floor.kl - c.ceiling.kl, 4), round(999 / 52_000, 4)

# %%
figure, ax = axes(size=(5, 3))
plot_coverage(held, ax)
static_share = 100 * c.tally.sum(0).sort(descending=True).values / c.n
ax.lines[0].set_label("held-out scans")
ax.plot(static_share, c=MISSING, lw=1.2, label="static")
ax.legend(frameon=False)
Picture(figure, "Sorted shares of 1,000 modes: held-out scans lie in the band of perfect "
                "generators, static is far steeper")

# %% [markdown]
# ## Is the interval correct?
# Take a generator with unequal and missing modes, and draw 200 sets of samples from it. The mean of the 200 scores is nearly the
# expected score. How many of the 200 intervals hold it?

# %%
lopsided = [0] * 8 + [1] * 4 + list(range(2, 20))  # mode 0 too heavy, 20 to 24 missing
several = coverages(torch.stack([impostor(1000, lopsided) for _ in range(200)]), grid)
names = ("captured", "high_quality", "kl", "tv", "spread")
truth = {name: statistics.fmean(getattr(v, name) for v in several) for name in names}
within = {name: [v.interval(name) for v in several] for name in truth}
inside = {k: statistics.fmean(i.low <= truth[k] <= i.high for i in found)
          for k, found in within.items()}
inside

# %%
assert all(share > .87 for share in inside.values())
assert inside["kl"] < .95 and inside["tv"] < .95 and inside["captured"] > .98
several[0].interval("kl"), several[0].interval("captured")

# %% [markdown]
# The intervals of high quality and spread hold the expected score in about 95 % of the sets. Those of KL and TV hold it in about 91 %: they
# are a little too short here. The interval of the mode count holds it always: it is too long. It reaches three modes above the 20
# that were seen. If none of $n$ samples lies in a mode, its share can still be $3/n$ (the *rule of three*: $(1-3/n)^n\approx 0.05$).
#
# One set of samples describes one training run. Different seeds differ too, usually by more. `coverage_table` of a list of runs gives the
# mean over runs with an interval over runs.

# %%
kept = (17, 21, 14, 19, 18, 22, 16, 19)
runs = Coverages([coverage(impostor(2500, range(k)), grid) for k in kept])
runs

# %% [markdown]
# ## What these numbers cannot see
# The coverage numbers depend on the class of a picture only. Take ten held-out scans of each digit, a hundred scans in all, and build all
# 26,000 samples from them.

# %%
pool, kind = stacked.held_out.sample_with_modes(2000, generator=g)
ten_each = [pool[kind // 100 == digit][:10, 0] for digit in range(10)]
ten_each = torch.stack(ten_each)  # (digit, copy, 8, 8)
which = torch.randint(10, (2, 26_000, 3), generator=g)
repeats = ten_each[which[0], which[1]]

# %%
copied = coverage(repeats, stacked)
assert copied.captured == 1000 and copied.kl < 1.5 * copied.floor.kl
copied

# %%
figure, (left, right) = axes(1, 2)
image_grid(left, stacked.picture(stacked.sample(60, generator=g)), title="real")
image_grid(right, stacked.picture(repeats[:60]), title="built from a hundred scans")
Picture(figure, "Two sheets of stacked digits. On the right the same few scans return; "
                "the mode count does not show it")

# %% [markdown]
# All thousand modes are captured, and KL is at its floor. So on pictures mode coverage does not measure variety *within* a mode, and it does not
# detect copying from the training set. Chapter [4.1](../4_evidence/01_precision_recall.ipynb) measures variety (recall), and
# chapter [4.4](../4_evidence/04_copying.ipynb) copying.
#
# ## Sliders: cause each fault yourself
# Set the sliders so that the mode count is 25 although the picture shows a bad generator. Then
# set them so that high quality is above that of the data.

# %%
low, high = grid.bounds

def scene(kept: int, share: float, shrink: float, n: int):
    "Samples of an impostor, its bars, and its numbers."
    x = impostor(n, range(kept), share, shrink)
    score = coverage(x, grid)
    figure, (left, right) = axes(1, 2, size=(3.6, 3))
    scatter(left, grid.sample(500, generator=torch.Generator().manual_seed(1)), x[:1500], limit=5.2)
    left.set_title("real: discs, generated: crosses")
    plot_coverage(score, right)
    text = f"{score.captured:g} of 25 modes, {score.high_quality:.1%} high quality"
    return score, Picture(figure, text)


# %%
import ipywidgets as w

knobs = {"kept": w.IntSlider(12, 1, 25, description="modes kept"),
         "share": w.FloatSlider(value=.2, max=1, step=.05, description="noise"),
         "shrink": w.FloatSlider(value=1, max=2, step=.1, description="width"),
         "n": w.IntSlider(2500, 100, 10_000, step=100, description="samples")}
view, numbers = w.Image(format="png"), w.HTML()

def turn(change=None):
    score, image = scene(**{name: knob.value for name, knob in knobs.items()})
    view.value, numbers.value = image.png, score._repr_html_()

for knob in knobs.values():
    knob.observe(turn, "value")
turn()
w.VBox([w.HBox([w.VBox(list(knobs.values())), numbers]), view])

# %%
before = numbers.value
knobs["shrink"].value = .5
assert numbers.value != before and "12" in numbers.value
scene(25, .9, .5, 2500)[1]

# %% [markdown]
# ## Use it in your own code
# `coverage` takes arrays of NumPy or torch, on the CPU or the GPU. Your own modes are given by centres, widths and
# weights. This generator is untrained, so its scores are those of noise or worse:

# %%
torch.manual_seed(3)
G = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
mine = mixture(centers=[[-1, 0], [1, 0], [0, 2]], std=.1, weights=[.5, .3, .2])
samples = G(torch.randn(2500, 2, generator=g))
score = coverage(samples, mine, protocol="fair")
score

# %% [markdown]
# Wrong input is refused before any work is done.

# %%
bad = [(samples, mine, "pac gan"), (samples[None], mine), (samples, "grid")]
[error_message(coverage, *arguments) for arguments in bad]


# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.coverage import (grade_ceiling, grade_kl, grade_samples, grade_squash,
                                             grade_twice)

# %% [markdown]
# **1.** (easy, 10 minutes) Write `mode_kl(mode, k)`: the KL divergence, in nats, of the shares of `k` modes to equal shares. `mode` is an int64 tensor with the mode of each sample. It must be finite when a mode has no sample.
#
# <details><summary>Hint</summary>
#
# `torch.bincount(mode, minlength=k)` counts. For a share of zero, $p\log p$ is zero: use `torch.xlogy`.
#
# </details>

# %%
def mode_kl(mode, k):
    ...

answer = mode_kl
grade_kl(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mode_kl(mode, k):
#     p = torch.bincount(mode, minlength=k).double() / len(mode)
#     return torch.xlogy(p, p * k).sum().item()
#
# answer = mode_kl
# ```
#
# With $q_k=1/K$ the sum is $\sum_k p_k\log(Kp_k)$. Without `minlength` the last modes are left out of `p` if they have no sample. This does not change the sum, but other measures need all modes.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) A public evaluation script adds each batch to its mode counts twice but divides by the number of samples once. So its "shares" sum to $s=2$. It printed KL = 1.49 for a model on 1,000 modes. Write `undo(printed, s)`: the KL that right code would print.
#
# <details><summary>Hint</summary>
#
# Put $s\hat p$ in place of $\hat p$ into the formula of KL, and split the logarithm.
#
# </details>

# %%
def undo(printed, s):
    ...

answer = undo
grade_twice(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\sum_k s\hat p_k\log\frac{s\hat p_k}{q_k}=s\,\mathrm{KL}(\hat p\|q)+s\log s$, because the shares $\hat p$ sum to one.
#
# ```python
# def undo(printed, s):
#     return (printed - s * math.log(s)) / s
#
# answer = undo
# ```
#
# For the script this gives 0.05 in place of 1.49.
#
# </details>

# %% [markdown]
# **3.** (easy, 5 minutes) You want a floor of KL 0.005 on 1,000 equal modes. How many samples do you need, to the nearest thousand?
#
# <details><summary>Hint</summary>
#
# The floor is about $(K-1)/2n$.
#
# </details>

# %%
answer = ...
grade_samples(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = round(999 / (2 * .005))
# ```
#
# About 100,000 samples, four times as many as the protocols of the literature draw.
#
# </details>

# %% [markdown]
# **4.** (easy, 10 minutes) Somebody calls a sample good within *two* standard deviations, in *three* dimensions. Which share of a perfect generator's samples is good?
#
# <details><summary>Hint</summary>
#
# `within_share` computes it. A simulation with `torch.randn` does, too.
#
# </details>

# %%
answer = ...
grade_ceiling(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = within_share(2, 3)
# ```
#
# This is 0.739, the probability that a $\chi^2$ number with three degrees of freedom is below 4.
#
# </details>

# %% [markdown]
# **5.** (hard, 20 minutes) Write `squash(n)`: `n` samples of the grid that capture 25 of 25 modes, with high quality above that of the data and KL at its floor, but whose `spread` is below 0.8.
#
# <details><summary>Hint</summary>
#
# Take real samples, and change the offset of each one from the centre of its mode. `grid.assign` gives the mode, `grid.centers` the centres.
#
# </details>

# %%
def squash(n):
    ...

answer = squash
grade_squash(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# grid = mixtures_module.grid()
#
# def squash(n):
#     data = mixtures_module.grid()
#     x = data.sample(n, generator=torch.Generator().manual_seed(5))
#     center = data.centers[data.assign(x)[0]]
#     return center + (x - center) * torch.tensor([1., 0.])
#
# answer = squash
# ```
#
# Each mode becomes a line: the second coordinate has no offset. Counts by mode do not change, and more samples are within three standard deviations. Only the spread shows the fault.
#
# </details>

# %% [markdown]
# ## Recap
# - A mode count alone means little: noise captures 21 of the grid's 25 modes, and its count on 1,000 stacked digits depends on the
# classifier.
# - A perfect generator has 98.9 % high quality in 2-D. A higher score means narrower modes.
# - KL has a floor of about $(K-1)/2n$. Compare KL at equal $n$ only.
# - Reverse KL stays finite when modes are missing; forward KL is infinite. Total variation with an invalid bucket counts all samples.
# - Every `Coverage` has a floor, a ceiling and a null, computed by the same code.
#
# **For later.**
#
# 1. Why does the KL of a perfect generator grow with the number of modes?
# 2. What is the ceiling of high quality in one dimension?
# 3. Which of our numbers changes if a generator repeats ten training pictures of each digit?
# 4. Why can a bootstrap of KL count the floor twice?
#
# <details><summary>Answers</summary>
#
# 1. With $n$ fixed, each mode gets fewer samples, so the shares deviate more from their expected values: $(K-1)/2n$.
# 2. 99.7 %, because $P(|u|<3)=0.9973$ for one normal number.
# 3. Captured modes and KL hardly change. High quality and total variation change a little, because the classifier may be more or less confident about these pictures. None of them measures the repetition.
# 4. The observed shares contain the random errors of one sample already. Redrawing from them adds errors of the same size again.
#
# </details>
#
# ## References
# - A. Srivastava et al., *VEEGAN: Reducing mode collapse in GANs using implicit variational learning*, NeurIPS 2017.
# - Z. Lin et al., *PacGAN: The power of two samples in generative adversarial networks*, NeurIPS 2018.
# - S. Liu et al., *Diverse image generation via self-conditioned GANs*, CVPR 2020.
# - R. Kumar et al., *Maximum entropy generators for energy-based models*, 2019.
# - N. Yu et al., *Inclusive GAN: Improving data and minority coverage in generative models*, ECCV 2020.
# - Y. Huang et al., *The GAN is dead; long live the GAN! A modern GAN baseline*, NeurIPS 2024 (KL 0.029).

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.coverage
"Graders of chapter 0.4."
import math

import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import grid
from modelab.evaluation.coverage import coverage
from modelab.evaluation.protocols import kl

# %%
#| export course.graders.coverage
def shares_kl(mode, k, log=torch.log, of=None):
    "The right answer; its options make wrong ones."
    p = torch.bincount(mode, minlength=k).double() / (of or len(mode))
    seen = p > 0
    return (p[seen] * log(p[seen] * k)).sum().item()

# %%
#| export course.graders.coverage
def forward_kl(mode, k):
    "A wrong answer: the other direction."
    p = torch.bincount(mode, minlength=k).double() / len(mode)
    return -(p * k).log().mean().item()

# %%
#| export course.graders.coverage
def plain_kl(mode, k):
    "A wrong answer: NaN when a mode is missing."
    p = torch.bincount(mode, minlength=k).double() / len(mode)
    return (p * (p * k).log()).sum().item()

# %%
#| export course.graders.coverage
@exercise(accepts=[shares_kl, lambda mode, k: torch.tensor(shares_kl(mode, k))],
          rejects=[forward_kl, plain_kl, lambda mode, k: shares_kl(mode, k, torch.log2),
                   lambda mode, k: shares_kl(mode, len(mode.unique())),
                   lambda mode, k: shares_kl(mode, k, of=k), lambda mode, k: 0.])
def grade_kl(mode_kl):
    g = torch.Generator().manual_seed(0)
    for mode, k in ((torch.randint(7, (500,), generator=g), 7),
                    (torch.randint(3, (90,), generator=g), 10)):
        p = torch.bincount(mode, minlength=k).double() / len(mode)
        found, right = as_number(mode_kl(mode, k)), kl(p, torch.full((k,), 1 / k).double()).item()
        if len(mode.unique()) == k:
            assert abs(found - right) < 1e-6, "wrong for 7 modes that all have samples"
        assert abs(found - right) < 1e-6, f"wrong when only 3 of {k} modes have samples"

# %%
#| export course.graders.coverage
def undone(printed, s):
    "The right answer."
    return (printed - s * math.log(s)) / s

# %%
#| export course.graders.coverage
@exercise(accepts=[undone],
          rejects=[lambda printed, s: printed / s, lambda printed, s: printed - math.log(s), .05,
                   lambda printed, s: (printed - math.log(s)) / s])
def grade_twice(undo):
    for k, s in ((10, 2.0), (100, 1.92)):
        p, q = torch.arange(1., k + 1).double(), torch.full((k,), 1 / k).double()
        p = p / p.sum()
        printed = (s * p * (s * p / q).log()).sum().item()
        assert abs(undo(printed, s) - kl(p, q)) < 1e-9, \
            "put s times the shares into KL; which part of the sum does not depend on the shares?"

# %%
#| export course.graders.coverage
@exercise(accepts=[99_900, 100_000], rejects=[26_000, 200_000, 50_000, 1000, 99_000, 101_000])
def grade_samples(n):
    assert abs(as_number(n) - 999 / (2 * .005)) <= 500, "set the formula of the floor to 0.005"

# %%
#| export course.graders.coverage
@exercise(accepts=[.7385, .74], rejects=[.9889, .9545, .8647, 73.85])
def grade_ceiling(share):
    drawn = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    simulated = (drawn < 2).double().mean()
    assert abs(as_number(share) - simulated) < .006, \
        "how many normal vectors of length 3 are shorter than 2? Give a share between 0 and 1"

# %%
#| export course.graders.coverage
def filaments(n):
    "A right answer: in each mode only one direction is left."
    law = grid()
    x = law.sample(n, generator=torch.Generator().manual_seed(5))
    center = law.centers[law.assign(x)[0]]
    return center + (x - center) * torch.tensor([1., 0.])

# %%
#| export course.graders.coverage
def unchanged(n):
    "A wrong answer: samples of the data."
    return grid().sample(n, generator=torch.Generator().manual_seed(5))

# %%
#| export course.graders.coverage
@exercise(accepts=[filaments], rejects=[unchanged, lambda n: filaments(n) * 0,
                                        lambda n: 2 * unchanged(n) - grid().centers[
                                            grid().assign(unchanged(n))[0]]])
def grade_squash(squash):
    c = coverage(squash(2500), grid())
    assert c.captured == 25, f"{c.captured:g} of 25 modes are captured"
    assert c.high_quality > .99, f"high quality is {c.high_quality:.1%}, not above the data's"
    assert c.kl < .01, f"KL is {c.kl:.3f}, above its floor"
    assert c.spread < .8, f"spread is {c.spread:.2f}"
