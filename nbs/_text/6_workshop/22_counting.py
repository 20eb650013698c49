# %% [markdown]
# # How coverage is computed: reference laws, scores, intervals and tables
# > How are floor, ceiling and null computed without samples, and where do the intervals of coverage come from?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are floor, ceiling and null computed without samples, and where do the intervals of coverage come from? |
# | **You will be able to** | say which reference values are closed forms; explain each interval; use `coverage` with a mode set of your own |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors, and for readers who want to check a number of `coverage`. To score samples, call `coverage(samples, modes)`. The last section shows a mode set of your own. Chapter 0.4 explains the numbers and tests them on generators with known faults.

# %%
#| default_exp evaluation.coverage

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
from modelab.core.statistics import clopper_pearson, Interval, interval
from modelab.data.mixtures import Mixture
from modelab.evaluation.protocols import PROTOCOLS, Protocol
from modelab.evaluation.reference_law import (ReferenceLaw, assign_modes, cached_per_set,
                                              check_mode_set, good_rule, reference_law)
from modelab.evaluation.scores import (draw_tallies, expected_spread, mode_scores, mode_spreads,
                                       needed_counts, occupancy_error)

# %%
from modelab.core.checks import error_message
from modelab.course.notebooks import patch
from modelab.data.mixtures import grid, mixture

# %% [markdown]
# ## Reference laws: a perfect generator, and noise
# The *tally* of some samples has two numbers for each mode: how many samples of this mode are not good, and how many are good. All measures except the spread depend on the samples only through their tally. So it is enough to know the probability of each cell of the tally, for a perfect generator and for noise. The code calls this probability distribution a *law*. `ReferenceLaw` holds both. For well separated modes both laws have closed forms. For pictures the classifier is applied to held-out real scans and to noise. Stacked digits draw their channels independently, so the law of a thousand modes is the product of three small ones.

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
# Such a law is the same at each call, so `cached_per_set` computes it once for each set.

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
# Then the share of good samples of a perfect generator is known, and noise hits a mode in proportion to the volume of its region.

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
# The channels of stacked digits are independent, so the probability of a mode is the product over its digits. An example is good only if every channel is good. The remaining probability goes to the row of samples that are not good (*doubtful* in the code).

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
    "Probabilities of the tally's cells for a perfect generator and for noise; cached per set."
    check_mode_set(modes)
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol: expected a Protocol, got {protocol!r:.60}")
    return _law(modes, *good_rule(modes, protocol))

# %% [markdown]
# `check_mode_set` refuses a set without the attributes and methods that the count needs. The error names those that are absent.

# %%
#| export evaluation.reference_law
def check_mode_set(modes: Any) -> None:
    "`TypeError` for an object that is no mode set; the message names what it lacks."
    needs = ("n_modes", "weights", "event", "bounds", "assign", "sample_with_modes")
    if absent := [name for name in needs if not hasattr(modes, name)]:
        raise TypeError("modes: expected a set whose modes are known, such as grid(), "
                        f"got {modes!r:.60} without {', '.join(absent)}")

# %% [markdown]
# For a mixture the protocol decides what a good sample is, by a distance and a metric. `good_rule` returns these two. A set with a classifier uses its own confidence threshold.

# %%
#| export evaluation.reference_law
def good_rule(modes: Any, protocol: Protocol) -> tuple:
    "Distance and metric that make a sample of a mixture good; empty for a set with a judge."
    return (protocol.within, protocol.metric) if isinstance(modes, Mixture) else ()

# %% [markdown]
# **Fidelity.** The closed form agrees with counting 200,000 samples, on the grid and on a mixture with tilted modes:

# %%
tilted = torch.tensor([[[.05, .03], [.03, .05]], [[.05, -.03], [-.03, .05]]])

# %%
for modes in (grid(), mixture([[-2., 0.], [2., 0.]], tilted)):
    law, g = reference_law(modes, PROTOCOLS["pacgan"]), torch.Generator().manual_seed(0)
    low, high = modes.bounds
    noise = low + (high - low) * torch.rand(200_000, 2, generator=g)
    shares = [modes.assign(x)[1].double().mean() for x in (modes.sample(200_000, g), noise)]
    assert law.exact and abs(law.real[1].sum() - shares[0]) < .001
    assert abs(law.noise[1].sum() - shares[1]) < .002

# %% [markdown]
# ## From a tally to the numbers
# One function turns tallies into scores: the tally of the samples, those of hundreds of perfect samples, and those of hundreds of draws of noise. So the floor is always computed by the same code as the score.
#
# `needed_counts` gives the number of samples that a mode needs to be captured: one, or the number of the protocol.

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
# `draw_tallies` draws tallies of perfect generators and of noise from their law.

# %%
#| export evaluation.scores
def draw_tallies(p: Tensor, n: int, draws: int) -> Tensor:
    "Tallies (draws, 2, n_modes) of `n` samples from the law `p` (2, n_modes); always the same."
    flat = p.flatten().numpy()
    counts = np.random.default_rng(0).multinomial(n, flat / flat.sum(), size=draws)
    return torch.from_numpy(counts).double().reshape(draws, *p.shape)

# %% [markdown]
# ## The spread within a mode
# Good samples of a perfect generator are cut off at $3\sigma$, which narrows them by 2.6 % in 2-D. The spread is divided by this factor. `_kept_variance` gives its square.

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
# For floor and null `expected_spread` computes the mean of the spread by a formula, without samples.

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
# ## The object
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
# The `Interval` of chapter [0.2](../0_start/02_evidence.ipynb) is over seeds. `SampleInterval` is the same for one set of samples. Its text says "from … samples".

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
    "Mode coverage of one set of samples, beside the scores of a perfect generator and of noise."
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
# `interval` chooses the method. High quality, spread and the mode count each have a formula. For KL, TV, and the mode count of a protocol with a threshold, tallies are redrawn (a bootstrap). Chapter [0.4](../0_start/04_coverage.ipynb) measures how often each interval holds the expected score: in 95 % of draws or more, within the error of its simulation.

# %%
#| export
@patch
def interval(self: Coverage, name: str,  # a measure, such as "kl"
             confidence: float = .95,  # least chance that it holds the expected score at this n
             ) -> SampleInterval:
    "A measure with an interval for what this generator scores on average at as many samples."
    value = getattr(self, check_choice("name", name, MEASURES))
    tail = (1 - check_number("confidence", confidence, most=.9999, above=0)) / 2
    if not math.isfinite(value + self.n):
        return SampleInterval(value, value, value, self.n)
    if name == "high_quality":
        low, high = clopper_pearson(int(self.counts.sum()), self.n, tail)
    elif name == "spread":
        low, high = self._spread_limits(tail)
    elif name == "captured" and not self.protocol.least:
        low, high = self._captured_limits(tail)
    else:
        low, high = self._redrawn_limits(name, tail)
    low, high = min(max(low, 0.0), value), max(min(high, self._largest(name)), value)
    return SampleInterval(value, low, high, self.n)

# %% [markdown]
# High quality is a share of independent samples. Its limits are the exact ones of Clopper and Pearson (1934), which hold the share with a chance of at least 95 %. Wilson's interval is a little shorter, but has 95 % only on average over shares ([0.2](../0_start/02_evidence.ipynb) compares both).
#
# The spread is a mean of estimated standard deviations. The error of each one follows from its number of samples, by the normal approximation. This error is proportional to the standard deviation. A mode with two or three samples may seem narrow by chance, and then its error would seem small. So the standard deviation over all modes is taken instead if it is larger.

# %%
#| export
@patch
def _spread_limits(self: Coverage, tail: float) -> tuple[float, float]:
    "Limits of the spread: m points in d dimensions have d (m - 1) degrees of freedom."
    seen = self.spreads.isfinite()
    dof, square = self.law.d * (self.counts[seen] - 1), self.spreads[seen].square()
    error = square.clamp_min((dof * square).sum() / dof.sum()) / (2 * dof)
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
    half += min(half, .5)  # a whole number
    # the rule of three: unseen modes may together hold -log(1 - confidence) of n samples
    return self.captured - half, self.captured + max(half, -math.log(2 * tail))

# %% [markdown]
# The other limits lie equally far from the score on both sides: $z$ standard errors, where $z$ is 1.96 for a confidence of 95 %. The standard error is that of redrawn tallies. Tallies are redrawn from two laws, and the larger of the two standard errors is taken. A mode count is a whole number, so half a mode is added. If a redraw has an infinite score, as the forward KL may, there is no upper limit.

# %%
#| export
@patch
def _redrawn_limits(self: Coverage, name: str, tail: float) -> tuple[float, float]:
    "Limits of a measure from the larger standard error of two kinds of redraws."
    drawn = [scores[name] for scores in self._redrawn]
    finite = [x[x.isfinite()] for x in drawn]
    if min(map(len, finite)) < 2:
        return -math.inf, math.inf
    half = NormalDist().inv_cdf(1 - tail) * max(x.std().item() for x in finite)
    value, half = getattr(self, name), half + (name == "captured") / 2
    whole = sum(map(len, finite)) == sum(map(len, drawn))
    return value - half, value + half if whole else math.inf

# %% [markdown]
# The first of the two laws lies between the observed shares and the set's own law. If the two differ by chance only, it is close to the set's law. So the chance differences of this sample are not added to those of the redraws.

# %%
#| export
@patch
def _pulled_law(self: Coverage) -> Tensor:
    "Shares of the tally, pulled towards the set's law where that explains them."
    p = self.tally / self.n
    goal = torch.where(p > 0, self.law.real, 0)
    goal = goal / goal.sum() if goal.sum() > 0 else p
    chi2 = (self.n * torch.where(p > 0, (p - goal).square() / goal, 0).sum()).clamp_min(1e-9)
    keep = (1 - ((p > 0).sum() - 1) / chi2).clamp_min(0).sqrt()
    return goal + keep * (p - goal)

# %% [markdown]
# The second law is the observed shares themselves, with room for modes that were not seen. The share of samples whose mode was seen only once estimates the share of all modes that were not seen (Good 1953). It is taken as three samples at least, because modes with a share of $3/n$ may be unseen by chance (the rule of three). It is divided among these modes as in the set's law. Without this room, the standard errors are too small if modes are rare, and zero if only one mode was seen.

# %%
#| export
@patch
def _open_law(self: Coverage) -> Tensor:
    "Shares of the tally, with a share for the modes that were not seen."
    p, counts = self.tally / self.n, self.protocol.counts(self.tally, self.law.judged)[1]
    unseen = torch.where(self.counts == 0, self.law.real[1], 0)
    if not unseen.sum() > 0:
        return p
    fresh = min(1., max(3, int((counts == 1).sum())) / self.n)
    p = (1 - fresh) * p
    p[1] += fresh * unseen / unseen.sum()
    return p

# %% [markdown]
# From each law 400 tallies are drawn.

# %%
#| export
@patch
@functools.cached_property
def _redrawn(self: Coverage) -> list[dict[str, Tensor]]:
    "Scores of 400 redraws of the tally from each of two laws."
    return [mode_scores(draw_tallies(p, self.n, 400), self.law, self.protocol)
            for p in (self._pulled_law(), self._open_law())]

# %% [markdown]
# ## Tables
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
# `coverages` (below) returns one `Coverage` per run in a list, `Coverages`. It is shown as one table with means over runs.

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
    """Measures with intervals beside floor, ceiling and null.

    `coverages` is one, or one per run, or a dict of either by name, which gives one row per name.
    The interval of one run holds the expected score with a chance of at least 95 %. The interval
    over runs is Student's: its chance is 95 % if the scores of the runs are normal.
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
    score = "score [≥ 95 %]" if runs == 1 else f"mean of {runs} runs [95 % if normal]"
    return Table(title, (("", score, *sides), *rows), note)

# %% [markdown]
# ## The public functions
# Two functions check the input, assign the samples to modes, and count: `coverage` takes one array of samples, `coverages` an array with runs in front. `_from_scores` puts the results into a `Coverage`.

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
    """Mode coverage of samples: captured modes, quality, KL, TV; a perfect generator, and noise.

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
# `plot_coverage` shows the share of each mode. A band shows where the share lies in 95 % of the samples of a perfect generator. Chapter [0.4](../0_start/04_coverage.ipynb) has such pictures.

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
# ## A mode set of your own
# A mode set of your own needs `n_modes`, `weights`, `event` (the shape of an example), `bounds`, and the methods `assign` and `sample_with_modes`. The error names those that are absent:

# %%
class Halves:
    "Two modes: points left and right of zero. A point is good if it lies in [-1, 1]."
    n_modes, weights, event = 2, torch.ones(2) / 2, (1,)
    bounds = torch.tensor([-2.]), torch.tensor([2.])
    __repr__ = lambda self: "halves"

    def assign(self, x):
        return (x[:, 0] > 0).long(), x[:, 0].abs() <= 1

# %%
print(error_message(coverage, torch.zeros(9, 1), Halves()))

# %%
class WholeHalves(Halves):
    "The same with a sampler."
    def sample_with_modes(self, n, generator):
        x = 2 * torch.rand(n, 1, generator=generator) - 1
        return x, (x[:, 0] > 0).long()

found = coverage(torch.rand(1000, 1, generator=g), WholeHalves())
assert found.captured == 1 and found.high_quality == 1 and found.missing == [0]
found
