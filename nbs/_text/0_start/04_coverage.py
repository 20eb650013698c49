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
#| default_exp evaluation.protocols

# %%
#| export
"Coverage protocols: how samples are counted, and the divergences between the shares of modes."
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from modelab.core.checks import check_tensors
from modelab.core.signatures import (Count, NonNegative, Positive, Share, check_fields, checked)

# %%
import math
import statistics

import numpy as np

from modelab.core import statistics as statistics_module
from modelab.core.checks import error_message
from modelab.core.plotting import (FAKE, MISSING, Picture, REAL, axes, image_grid, interval_plot,
                                  scatter)
from modelab.course.claims import claim, recorded
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
# This is not the luck of one seed: a disc of radius $3\sigma$ covers a share $p$ of the square, and a mode is missed
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
#| export
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
#| export
def kl(p: Tensor,  # (..., k) shares that sum to one
       q: Tensor,  # (..., k) shares that sum to one
       ) -> Tensor:
    "Kullback-Leibler divergence KL(p‖q) in nats, (...); infinite where p has mass that q lacks."
    _check_shares(p, q)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1).clamp_min(0)

# %% [markdown]
# `total_variation` lies between 0 and 1. A missing mode makes it larger but never infinite.

# %%
#| export
def total_variation(p: Tensor,  # (..., k) shares that sum to one
                    q: Tensor,  # (..., k) shares that sum to one
                    ) -> Tensor:
    "Total variation distance, half the summed absolute difference, (...)."
    _check_shares(p, q)
    return (p - q).abs().sum(-1) / 2

# %% [markdown]
# Both functions check that `p` and `q` are shares of the same number of modes and not negative. NaN is allowed: it means that nothing was counted.

# %%
#| export
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
# KL over the high-quality samples ignores the other samples. If 98 % of the samples are invalid, KL depends on the remaining 2 % only. So total
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
#| export
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
#| export
@patch
def asks(self: Protocol, modes: Any) -> int | None:
    "How many samples the source asks for on such a set; None where it does not say."
    if not has_judge(modes):
        return self.points
    return self.per_mode * modes.n_modes if self.per_mode else self.images

# %% [markdown]
# `samples` is the number to draw in an experiment. Where a source gives no number, it is PacGAN's.

# %%
#| export
@patch
def samples(self: Protocol, modes: Any) -> int:
    "How many samples to draw: what the source asks for, or PacGAN's number where it is silent."
    return self.asks(modes) or PROTOCOLS["pacgan"].asks(modes)

# %% [markdown]
# A *tally* is a table of counts with two rows: for each mode the number of samples that are not good (*doubtful*), and of good ones. `counts` returns the counts that decide whether a mode is captured, and the counts that enter KL.

# %%
#| export
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
#| export
def has_judge(modes: Any) -> bool:
    "Whether a judge decides what an example shows (asked without fitting it)."
    return hasattr(type(modes), "judge") or "judge" in getattr(modes, "__dict__", {})

# %% [markdown]
# These are the protocols of the literature and, in the last row, our own. `coverage` takes them by name.

# %%
#| export
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
# equal ones. Half is a convention. If a perfect generator puts 30 samples into a mode on average, this mode fails the rule about once in a thousand times.

# %%
for protocol in PROTOCOLS.values():
    pictures = f"{protocol.per_mode}/mode" if protocol.per_mode else protocol.images
    print(f"{protocol.name:10} points {protocol.points!s:7} pictures {pictures!s:7}"
          f" {protocol.metric:12} KL over {protocol.kl_over:5} against {protocol.reference}")


# %% [markdown]
# ## Floor, ceiling and null: closed forms
# Floor, ceiling and null need no generated examples: it is enough to know the probability of each cell of the tally, for a perfect generator and for noise. The code calls these probabilities a *law*. For well separated modes both laws have closed forms: the share $1-e^{-9/2}$ of a perfect generator, and the share of the box that a mode's ellipse fills. For pictures we apply the classifier to held-out real scans and to noise. Chapter [6.22](../6_workshop/22_counting.ipynb) has the code, and that of all that follows.
#
# The floor is the mean score of at least 200 tallies that are drawn from this law. It is computed by the same code as the score of your samples.

# %% [markdown]
# **Fidelity.** The closed form agrees with counting 200,000 samples:

# %%
from modelab.evaluation.protocols import PROTOCOLS
from modelab.evaluation.reference_law import reference_law

exact = reference_law(grid, PROTOCOLS["pacgan"])
drawn = grid.assign(grid.sample(200_000, generator=g))[1].double().mean()
assert exact.exact and abs(exact.real[1].sum() - drawn) < .001
assert abs(exact.noise[1].sum() - 25 * p) < 1e-8
exact.real[1].sum().item(), drawn.item()


# %% [markdown]
# ## The spread within a mode
# A generator may make each mode half as wide as it should be, or a single point. Captured modes and KL do not show this. So we also compare widths: the *spread* is the standard deviation of the good samples in a mode over the true one, averaged over modes. Good samples of a perfect generator are cut off at $3\sigma$ too, which narrows them by 2.6 % in 2-D. This factor is divided out.

# %% [markdown]
# ## Coverage
# `coverage(samples, modes)` returns one frozen object with each number and its reference values:
#
# | field | meaning |
# |---|---|
# | `captured` | modes with at least one good sample |
# | `high_quality` | share of good samples |
# | `kl`, `forward` | KL of the mode shares to equal shares, and the other direction |
# | `tv` | total variation with the invalid bucket |
# | `spread` | width of a mode over its true width; undefined on pictures |
# | `floor`, `ceiling`, `null` | the same numbers of a perfect generator and of noise |
# | `counts`, `missing` | good samples in each mode; the modes that are not captured |
#
# Its method `interval` estimates the *expected* score of this generator at this many samples:
#
# - High quality is a share. Its interval is exact (Clopper and Pearson 1934). The spread has a normal approximation.
# - For KL and total variation (TV) the tally is redrawn 400 times (a bootstrap). The mean of the redraws would contain the sampling floor twice. So only their standard error is used: the interval reaches 1.96 of it to both sides of the score. The tally is redrawn in two ways ([6.22](../6_workshop/22_counting.ipynb)), and the larger standard error counts.
# - The mode count has its own formula: how many more modes would appear in a second sample? It is estimated from the numbers of modes that were seen once, twice, and so on (Good and Toulmin 1956). Under a protocol with a threshold, such as `fair`, it is redrawn too.
#
# A table says *≥ 95 %* above these intervals: each of them holds the expected score with a chance of 95 % or more (measured below, under "Is the interval correct?"). No interval leaves the possible range: no number is negative, a share is at most 1, and a count at most the number of modes. The interval is about this set of samples. `coverages` takes several runs at once; a table of several runs shows Student's intervals over runs (chapter [0.2](02_evidence.ipynb)). They have 95 % if the scores of the runs are normal.
#
# Noise again, now with its reference values:

# %%
from modelab.evaluation.coverage import Coverages, Table, coverage, coverages, plot_coverage

null = coverage(noise, grid)
assert abs(null.null.captured - by_hand[0]) < .2 and abs(null.null.high_quality - by_hand[1]) < 5e-4
null

# %%
figure, (left, right) = axes(1, 2, size=(4.2, 2.8))
plot_coverage(null, left)
plot_coverage(coverage(grid.sample(2500, generator=g), grid), right)
Picture(figure, f"Bars per mode: noise gives each at most {null.counts.max() / null.n:.1%}; "
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

# %% [markdown]
# Each mark is a score with its interval. The solid line is the floor, the dotted one noise. So a score on the solid line shows no fault.

# %%
shown = {"captured": "modes", "high_quality": "high quality", "kl": "KL (nats)", "tv": "TV",
         "spread": "spread"}
companions = {"perfect generator": "floor", "noise": "null"}
figure, panels = axes(1, 5, size=(1.5, 2.6), sharey=True)
for ax, (measure, words) in zip(panels, shown.items()):
    interval_plot(ax, {name: c.interval(measure) for name, c in scored.items()}, color=FAKE)
    for style, (label, side) in zip(("-", ":"), companions.items()):
        ax.axvline(getattr(getattr(null, side), measure), c="k", lw=1, ls=style, label=label)
    ax.set(xlabel=words, xlim=(-.1 * ax.dataLim.xmax, 1.1 * ax.dataLim.xmax))
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2,
              frameon=False)
Picture(figure, "Five scores of seven generators. Of the six faults the mode count shows two, the "
                "high quality four, the KL three, the TV four, the spread three; none shows all")

# %%
lost, half = scored["5 modes of 25"], scored["half noise"]
assert lost.captured == 5 and lost.missing == list(range(5, 25)) and lost.forward == math.inf
assert abs(lost.kl - math.log(5)) < .01 and abs(lost.tv - ceiling_2d * .8) < .02
assert abs(half.high_quality - (ceiling_2d + 25 * p) / 2) < .04
assert abs(scored["25 points"].spread) < 1e-4
thin, worst = scored["modes half as wide"], scored["95 % noise"]
assert thin.high_quality == 1 and abs(thin.spread - .5 / .9744) < .02
assert thin.captured == worst.captured == 25 and thin.interval("kl").low < thin.floor.kl
assert abs(thin.tv - scored["perfect"].tv) < .02 and abs(lost.spread - 1) < .05
f"95 % noise: high quality {worst.high_quality:.1%}; half as wide: spread {thin.spread:.2f}"

# %%
def shows(measure: str) -> int:
    "Faults whose interval does not hold the score of a perfect generator."
    found, fair = (scored[name].interval(measure) for name in faults), getattr(null.floor, measure)
    return sum(not v.low <= fair <= v.high for v in found)

assert [shows(measure) for measure in shown] == [2, 4, 3, 4, 3]


# %% [markdown]
# *95 % noise* captures all 25 modes; its high quality of 7 % shows the fault. *Modes half as wide* has all modes, a KL at the floor, and
# a high quality that is higher than that of the data. Its `spread` of 0.51 shows the fault. (It is not 0.50: with narrow modes nothing is
# cut off at $3\sigma$, so the division by 0.974 is too much.) No single panel separates every fault from the perfect
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

# %%
assert c.captured > 200 and c.high_quality < .01

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
        "training scans": coverage(stacked.sample(26_000, generator=g), stacked)}
"; ".join(f"{name}: high quality {v.high_quality:.1%}, TV {v.tv:.3f}"
          for name, v in {**rows, "floor": c.floor}.items())

# %%
held, floor = rows["held-out scans"], c.floor
assert held.captured >= 999 and abs(held.kl - floor.kl) < .003
assert abs(held.high_quality - floor.high_quality) < .02
known = rows["training scans"]
assert known.high_quality > floor.high_quality + .03 and known.tv > floor.tv + .02
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
error = math.sqrt(.95 * .05 / 200)
assert all(share > .95 - 2 * error for share in inside.values()) and inside["captured"] > .98
several[0].interval("kl"), several[0].interval("captured")

# %% [markdown]
# An interval that holds the expected score in 95 % of draws gives a share of 95 % here, with a standard error of 1.5 percentage
# points. `benchmarks/intervals.py` did the same with 1,000 draws in each of fourteen settings (a generator, a number of samples and a protocol):

# %%
drawn = {}
for row in recorded("intervals").get("coverage", []):
    generator, measure = row["setting"].rsplit(": ", 1)
    drawn.setdefault(measure, {})[generator] = row["held"]
    assert row["held"] > .95 - 2 * math.sqrt(.95 * .05 / row["draws"])  # at least 95 %
"; ".join(f"{name} {min(v.values()):.1%} to {max(v.values()):.1%}" for name, v in drawn.items())

# %% [markdown]
# Above stand the smallest and the largest share of each measure. None is below 95 % by more than two standard errors. Many are above: these intervals are
# longer than they need to be. There are three reasons.
#
# - A count, or a share at its limit, cannot be 95 % exactly. The mode count is a whole number. Its interval reaches three modes above the 20
# that were seen: if none of $n$ samples lies in a mode, its share can still be $3/n$ (the *rule of three*: $(1-3/n)^n\approx 0.05$).
# - Of a perfect generator, the redraws of KL and TV vary more than new samples do, because a redraw starts from shares that are already unequal by chance.
# - The mode shares of a generator with many rare modes are hard to know. The larger of two standard errors is safe there, and too large elsewhere.
#
# One set of samples describes one training run. Different seeds differ too, usually by more. A table of several runs gives the
# mean over runs with an interval over runs. Here eight simulated runs keep between 14 and 22 modes:

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
copied.captured, round(copied.kl, 4), f"floor {copied.floor.kl:.4f}"

# %%
figure, (left, right) = axes(1, 2)
image_grid(left, stacked.picture(stacked.sample(60, generator=g)), title="real")
image_grid(right, stacked.picture(repeats[:60]), title="built from a hundred scans")
Picture(figure, "Two sheets of stacked digits. On the right the same few scans return; "
                "the mode count does not show it")

# %% [markdown]
# All thousand modes are captured, and KL is at its floor. So on pictures mode coverage does not measure variety *within* a mode, and it does not
# detect [copying](../glossary.ipynb) from the training set. Chapter [4.1](../4_evidence/01_precision_recall.ipynb) measures variety (recall), and
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
# - C. J. Clopper, E. S. Pearson, *The use of confidence or fiducial limits illustrated in the case of the binomial*, Biometrika 1934.
# - I. J. Good, G. H. Toulmin, *The number of new species, and the increase in population coverage, when a sample is increased*, Biometrika 1956.

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
