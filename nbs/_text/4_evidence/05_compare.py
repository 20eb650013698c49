# %% [markdown]
# # Compare two generators
# > Which differences between two generators are real, and how many samples are needed to see a smaller one?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Is generator A better than generator B, and how sure is that? |
# | **You will be able to** | compare two or more generators on one yardstick, with an interval and a p-value for each measure; and say how many samples are needed to see a loss of a given size |
# | **Papers** | Heusel et al. 2017 (Fréchet distance); Naeem et al. 2020 (density, coverage); Salvy et al. 2025 (clipped density and coverage) |
# | **Needs** | [4.1](01_precision_recall.ipynb), [4.2](02_audit.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp evaluation.compare

# %%
#| export
"Compare generators: an interval and a p-value for each difference, and what cannot be told apart."
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import check_int, check_number
from modelab.core.seeding import generator_or_default
from modelab.core.signatures import checked, Real, Texts, Whole
from modelab.evaluation.attributes import holm_adjusted
from modelab.evaluation.clipped import expected_coverage
from modelab.evaluation.compare_parts import (close_pairs, COMPARED, compared_features,
    comparison_document, COVERAGE_K, enough_rounds, html_table, LETTERS_SAY, LOST_K, mark_of,
    marks_say, notes_on_pair, PRECISION_K, protocol_line, random_half, SHARES, shared_letters,
    SIZED, squares_to_rows, surely_before, text_table, thin_samples, two_names)
from modelab.evaluation.copying import ExampleSource, nearest_k, nearest_others, refuse_known
from modelab.evaluation.feature_networks import FeatureChoice, FeatureSource
from modelab.evaluation.neighbours import MAX_BYTES, row_blocks
from modelab.evaluation.page import join_words, save_document
from modelab.evaluation.precision_recall import frechet_distance

# %%
#| export evaluation.clipped
"Clipped density and clipped coverage: both are 1 for a perfect generator."
from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import numpy as np
from torch import Tensor

from modelab.core.checks import check_int
from modelab.core.signatures import checked, Count, Samples
from modelab.evaluation.balls import balls_holding, neighbour_radii
from modelab.evaluation.copying import flat_rows, nearest_k
from modelab.evaluation.neighbours import MAX_BYTES

# %%
#| export evaluation.power
"How many samples are needed to see that a group of the data was lost; exact."
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from modelab.core.signatures import checked, Count, Labels, Real

# %%
#| export evaluation.compare_parts
"What `compare` reads its samples with, and the tables that it shows."
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelab._index import VERSION
from modelab.core.plotting import axes, FAKE, MISSING, Picture
from modelab.data.examples import check_columns, note_on_ranges, notes_on_sources
from modelab.evaluation.copying import check_spread, count_equal, FeatureRows
from modelab.evaluation.missing import space_name, value_space
from modelab.evaluation.neighbours import exact_squared_distances, row_blocks
from modelab.evaluation.page import chart, html_file, STYLE

# %%
#| export evaluation.compare_command
"The command `modelab compare`: files of two or more generators in, what differs out."
from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from modelab.core.checks import check_int, check_number
from modelab.core.registry import register_command
from modelab.data.readers import SampleFile
from modelab.evaluation.audit_command import (check_holdout, check_outputs, command_features,
                                              memory_bytes, open_matched, reading_options)
from modelab.evaluation.audit_sources import least_examples
from modelab.evaluation.compare import compare, compare_all
from modelab.evaluation.compare_parts import comparison_document
from modelab.evaluation.page import utf8_text, write_report

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import axes, FAKE, Film, Picture, REAL
from modelab.course.claims import claim, fast_mode, recorded, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import grid, mixture
from modelab.evaluation.precision_recall import density_coverage, precision_recall

# %% [markdown]
# ## Two perfect generators, and one looks better
# In a table of a paper generator A has the Fréchet distance .040 and generator B has .031. B is printed in bold. We build such a table with two generators that are both perfect: they draw from the law of the data.
#
# **Predict:** in how many of 20 such tables is the better distance smaller by a fifth or more?

# %%
law = grid()


def bags(seed: int, n: int = 500, count: int = 3):
    "Reference data and perfect samples, all of one law."
    g = torch.Generator().manual_seed(seed)
    return [law.sample(n, generator=g).double() for _ in range(count)]


# %%
gains = []
for seed in range(20):
    real, a, b = bags(seed)
    best, worst = sorted(frechet_distance(real, x) for x in (a, b))
    gains.append(1 - best / worst)
wins = sum(gain > .2 for gain in gains)
f"smaller by a fifth or more in {wins} of 20 tables, by {np.median(gains):.0%} in the middle one"

# %%
assert wins > 10

# %% [markdown]
# In most of them. The generators do not differ at all; only the random draws do. So a table without an interval may show nothing but chance.
#
# The number of samples matters, too. Here is the same perfect generator with 500 samples and with 2,000:

# %%
real, many = bags(0, 2000, 2)
sizes = {n: round(frechet_distance(real, many[:n]), 4) for n in (500, 2000)}
assert sizes[500] > sizes[2000]
sizes

# %% [markdown]
# The distance is larger with fewer samples. The mean and the covariance of few samples are farther from the true ones, and an error in any direction makes the distance larger.
#
# So a fair comparison needs three things: the same number of samples for both, an answer to "could this be chance?", and an interval that says how large the difference may be.
#
# ## Two more measures, made for comparing
# *Density* of [4.1](01_precision_recall.ipynb) has no upper limit: samples on one dense place may score more than real data. *Coverage* does not fall in proportion: if a tenth of the samples become junk, it hardly changes. Salvy et al. change both measures. Let $B_k(r)$ be the ball around the real example $r$ that reaches to its $k$-th nearest other one. A radius above the median radius is cut to the median. Then
#
# $$\text{clipped density}=\frac{\operatorname{mean}_{s}\min\big(1,\tfrac1k\#\{r:s\in B_k(r)\}\big)}{\text{the same for the real examples themselves}},$$
#
# and a value above 1 is set to 1. Here $s$ are the samples, $r$ the real examples, and $\#$ counts the balls that hold $s$; $k$ is 5. A sample counts at most once, however many balls hold it. And there are no more huge balls around outliers.

# %%
#| export evaluation.clipped
def _clipped_counts(real: Tensor, radius: Tensor, made: Tensor) -> Tensor:
    "How many clipped balls of real examples hold each sample."
    clipped = radius.clamp(max=float(radius.quantile(.5)))
    return balls_holding(real, made, clipped, None, MAX_BYTES)[0]


# %% [markdown]
# A real example lies in its own ball. This ball is not counted, because a sample has no ball of its own.

# %%
#| export evaluation.clipped
@checked
def clipped_density(real: Annotated[Tensor, Samples("real *event", 2)],  # or their features
                    made: Annotated[Tensor, Samples("made *event")],
                    k: Count = 5) -> float:
    """How real samples look, 1 for a perfect generator; outliers and heaps do not help it.

    Salvy, Talbot, Thirion 2025.

    >>> import torch
    >>> x = torch.arange(10.)
    >>> clipped_density(x, x + 100)
    0.0
    """
    x, y = flat_rows(real), flat_rows(made)
    check_int("k", k, 1, len(x) - 1)
    radius = neighbour_radii(x, k)
    counts = _clipped_counts(x, radius, y), _clipped_counts(x, radius, x) - 1
    of_made, of_real = (float((c.double() / k).clamp(max=1).mean()) for c in counts)
    return min(1., of_made / max(of_real, 1e-12))


# %%
busy = (torch.cdist(real, real).square() <= neighbour_radii(real, 5)[:, None]).sum(0).argmax()
heap = real[busy] + .001 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
numbers = {"density": density_coverage(real, heap).density,
           "clipped density": clipped_density(real, heap)}
assert numbers["density"] > 1.5 > numbers["clipped density"]
numbers

# %% [markdown]
# All samples of this heap lie in the densest place. Its density is about twice that of real data. Its clipped density is 1, no more than that of a perfect generator. So clipped density does not show a heap as a fault; that is what coverage is for.
#
# Clipped coverage first takes, for each real example, how many of its $k$ nearest samples lie in its ball, over $k$. Let $N$ be the number of real examples. If $m$ of $M$ samples are perfect and the others are far away, the number $X_m$ of samples in a ball has the beta-binomial law. So the expectation $g(m)$ is known without any data:
#
# $$g(m)=\frac1k\,\mathrm E\min(k,X_m),\qquad X_m\sim\text{Beta-binomial}(m;\,k,\,N-k).$$
#
# Clipped coverage is the $m/M$ at which $g(m)$ equals the measured value. It means "as good as this share of perfect samples".

# %%
#| export evaluation.clipped
@lru_cache(64)
def expected_coverage(real: int, made: int, k: int = 5) -> np.ndarray:
    "The expectation g(m) before it is mapped, for m = 0 … 2·made perfect samples; see 4.5."
    from scipy.stats import betabinom
    m = np.arange(2 * made + 1)
    short = sum((k - j) * np.where(m >= j, betabinom.pmf(j, np.maximum(m, j), k, real - k), 0.)
                for j in range(k))
    return np.maximum.accumulate(1 - short / k)


# %% [markdown]
# The measured value is looked up in the table of expectations.

# %%
#| export evaluation.clipped
@checked
def clipped_coverage(real: Annotated[Tensor, Samples("real *event", 2)],  # or their features
                     made: Annotated[Tensor, Samples("made *event")],
                     k: Count = 5) -> float:
    """Covers the data as well as this share of perfect samples would; Salvy et al. 2025.

    >>> import torch
    >>> x = torch.arange(10.)
    >>> clipped_coverage(x, x + 100)
    0.0
    """
    x, y = flat_rows(real), flat_rows(made)
    check_int("k", k, 1, min(len(x), len(y)) - 1)
    inside = nearest_k(x, y, k)[0].square() < neighbour_radii(x, k)[:, None]
    scale = expected_coverage(len(x), len(y), k)
    seen = float(inside.double().mean())
    return min(1., float(np.interp(seen, scale, np.arange(len(scale)) / len(y))))


# %% [markdown]
# **Fidelity.** First, the expectation equals the mean of 200 draws in one dimension, up to chance. Second, clipped coverage falls in proportion as junk replaces perfect samples.

# %%
g = torch.Generator().manual_seed(1)
seen = []
for _ in range(200):
    x, y = torch.rand(40, 1, generator=g).double(), torch.rand(25, 1, generator=g).double()
    radius = nearest_k(x, x, 6)[0][:, 5:]
    seen.append(((x - y.T).abs() < radius).double().sum(1).clamp(max=5).mean().item() / 5)
assert abs(np.mean(seen) - expected_coverage(40, 25)[25]) < 4 * np.std(seen) / 200 ** .5
np.mean(seen), expected_coverage(40, 25)[25]

# %%
rows = {}
for junk in (0, .1, .2, .4):
    spoilt = many.clone()
    spoilt[:round(junk * 2000)] += 1000
    rows[junk] = density_coverage(real, spoilt).coverage, clipped_coverage(real, spoilt)
    assert abs(rows[junk][1] - (1 - junk)) < .06
print("\n".join(f"junk {k:3.0%}: coverage {c:.3f}, clipped coverage {d:.3f}"
                for k, (c, d) in rows.items()))

# %% [markdown]
# ## The same reference and the same number of samples
# Both generators are measured with the same balls around the same real examples, and with the same number of samples. The measures:

# %%
#| export evaluation.compare_parts
COMPARED = {  # name: (whether more is better, what is said of the better one)
    "Fréchet distance": (False, "nearer in mean and covariance"),
    "precision": (True, "looks more real"), "density": (True, "looks more real"),
    "clipped density": (True, "looks more real"), "recall": (True, "covers more"),
    "coverage": (True, "covers more"), "clipped coverage": (True, "covers more"),
    "lost": (False, "covers more"), "junk": (False, "makes less junk"),
}


# %% [markdown]
# Five of them are shares. Five depend on the number of samples.

# %%
#| export evaluation.compare_parts
SHARES = {"precision", "recall", "coverage", "lost", "junk"}  # differ by 1 at most
SIZED = {"Fréchet distance", "recall", "coverage", "clipped coverage", "lost"}  # depend on n
PRECISION_K, COVERAGE_K, LOST_K = 3, 5, 10  # neighbours that a ball reaches to


# %% [markdown]
# *Lost* is the share of real examples whose ball, which reaches to the tenth nearest other real example, holds no sample. *Junk* is the share of samples that are farther from real data than 99 % of real examples are from their nearest other one. Precision and recall have $k=3$, density and coverage $k=5$, as in 4.1. Clipped density and coverage are not cut at 1 here, because the difference of two values that are both cut would be 0.
#
# The measures are computed many times, on halves of the data and with shuffled labels. So all distances are computed once. Each row has a sorted list of its nearest others. In a half, the $k$-th of the list that is still there is used.

# %%
#| export
DEPTH = 32  # neighbours in a list: in a half, about 16 of them are left


# %% [markdown]
# Squared distances by differences:

# %%
#| export evaluation.compare_parts
def squares_to_rows(x: Tensor, y: Tensor, index: Tensor) -> np.ndarray:
    "Squared distances of each row of x to some rows of y; a copy is at 0 exactly."
    rows = torch.arange(len(x)).repeat_interleave(index.shape[1])
    return exact_squared_distances(x, y, rows, index.flatten()).view(index.shape).numpy()


# %% [markdown]
# The sorted lists. A row does not count as its own neighbour. Another row that equals it does count.

# %%
#| export
def _nearest_others(x: Tensor, depth: int) -> tuple[np.ndarray, np.ndarray]:
    "Squared distances and indices of the nearest other rows of each row, nearest first."
    index = nearest_others(x, depth)[1]
    return squares_to_rows(x, x, index), index.numpy()


# %% [markdown]
# The look-up in a half:

# %%
#| export
def _kth_kept(square: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    "The k-th of each row's list that is kept; the last one where fewer are."
    count = kept.cumsum(1, dtype=np.int8)
    at = np.where(count[:, -1] >= k, (count >= k).argmax(1), square.shape[1] - 1)
    return square[np.arange(len(square)), at]


# %%
square, who = _nearest_others(real[:6, :1], 5)
kept = np.ones(6, bool)
kept[who[0, 0]] = False  # without its nearest, the next one is
_kth_kept(square, kept[who], 1)[0] == square[0, 1]


# %% [markdown]
# A pair of a real example and a sample matters only if one lies within reach of the other. Only these pairs are kept. Fast products find candidates, and exact differences decide.

# %%
#| export evaluation.compare_parts
def close_pairs(x: Tensor, y: Tensor, x_reach: np.ndarray,
                y_reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "Rows of x and of y within either's squared reach, and their squared distances."
    middle, found = x.mean(0), []
    near, far = x - middle, y - middle
    a, b = near.square().sum(1), far.square().sum(1)
    slack = 1e-12 * float(a.max() + b.max())
    x_limit, y_limit = (torch.as_tensor(v) + slack for v in (x_reach, y_reach))
    for rows in row_blocks(len(x), 512):
        tile = torch.addmm(b[None], near[rows], far.T, alpha=-2).add_(a[rows, None])
        close = tile <= torch.maximum(x_limit[rows, None], y_limit[None])
        r, c = close.nonzero(as_tuple=True)
        found.append((r + rows.start, c))
    r, c = map(torch.cat, zip(*found))
    return r.numpy(), c.numpy(), exact_squared_distances(x, y, r, c).numpy()


# %% [markdown]
# All lists and pairs of one comparison. The samples of A come first, then as many of B.

# %%
#| export
class _Near:
    "Real examples and the samples of A and then of B, as many of each, and who is near whom."
    def __init__(self, real: Tensor, made: Tensor):
        self.real, self.made, self.n = real, made, len(made) // 2
        self.is_a = np.arange(len(made)) < self.n
        self.real_square, self.real_who = _nearest_others(real, DEPTH)
        self.pool_square, self.pool_who = _nearest_others(made, DEPTH // 2)  # A and B together
        parts = [_nearest_others(part, DEPTH // 2) for part in made.split(self.n)]
        self.own_square = np.concatenate([square for square, _ in parts])
        self.own_who = np.concatenate([who + i * self.n for i, (_, who) in enumerate(parts)])
        index = nearest_k(made, real, min(DEPTH // 2, len(real)))[1]
        self.first_square, self.first_who = squares_to_rows(made, real, index), index.numpy()
        reach = np.maximum(self.pool_square[:, -1], self.own_square[:, -1])
        self.r, self.s, self.square = close_pairs(real, made, self.real_square[:, -1], reach)


# %% [markdown]
# The balls around those real examples that are kept:

# %%
#| export
@patch
def limits(self: _Near, real: np.ndarray) -> dict[str, np.ndarray]:
    "Squared radii of the balls around real examples, when some of these are kept."
    kept = real[self.real_who]
    found = {name: _kth_kept(self.real_square, kept, k) for name, k in (
        ("first", 1), ("precision", PRECISION_K), ("coverage", COVERAGE_K), ("lost", LOST_K))}
    middle = float(np.median(found["coverage"][real]))
    return found | {"clipped": np.minimum(found["coverage"], middle)}


# %% [markdown]
# Four measures are means over samples:

# %%
#| export
@patch
def of_samples(self: _Near, limits: dict[str, np.ndarray], real: np.ndarray,
               used: np.ndarray) -> dict[str, np.ndarray]:
    "One value per sample of each measure that is a mean over samples."
    counts = {name: np.bincount(self.s[used & (self.square <= limits[name][self.r])],
                                minlength=len(self.made))
              for name in ("precision", "coverage", "clipped")}
    among = self.real_square <= limits["clipped"][:, None]
    among &= real[:, None] & real[self.real_who]
    held = np.bincount(self.real_who[among], minlength=len(real))[real]
    perfect = max(float(np.minimum(held / COVERAGE_K, 1).mean()), 1e-12)
    far = np.quantile(limits["first"][real], .99)
    first = _kth_kept(self.first_square, real[self.first_who], 1)
    return {"precision": (counts["precision"] > 0).astype(float),
            "density": counts["coverage"] / COVERAGE_K,
            "clipped density": np.minimum(counts["clipped"] / COVERAGE_K, 1) / perfect,
            "junk": (first > far).astype(float)}


# %% [markdown]
# Three are means over real examples, of how many samples each ball holds:

# %%
#| export
@patch
def balls(self: _Near, limits: dict[str, np.ndarray], used: np.ndarray) -> dict[str, Any]:
    "Which real example's ball holds which sample, as sparse matrices."
    from scipy.sparse import csr_matrix
    inside = {"coverage": self.square <= limits["coverage"][self.r],
              "clipped coverage": self.square < limits["coverage"][self.r],
              "lost": self.square <= limits["lost"][self.r]}
    found = {}
    for name, pairs in inside.items():
        pairs = pairs & used  # pairs are in the order of real examples
        of_each = np.bincount(self.r[pairs], minlength=len(self.real))
        ends = np.concatenate([[0], of_each.cumsum()])
        ones = np.ones(ends[-1], np.float32)
        found[name] = csr_matrix((ones, self.s[pairs], ends), (len(self.real), len(self.made)))
    return found


# %% [markdown]
# Counts become measures. The same function serves one column of counts, or one for each shuffle.

# %%
#| export
def _of_balls(counts: dict[str, np.ndarray], real: int, made: int) -> dict[str, np.ndarray]:
    "Coverage, clipped coverage and lost from counts of samples per ball, `(real, columns)`."
    scale = expected_coverage(real, made, COVERAGE_K)
    seen = np.minimum(counts["clipped coverage"], COVERAGE_K).mean(0, dtype=np.float64)
    mapped = np.interp(seen / COVERAGE_K, scale, np.arange(len(scale)) / made)
    return {"coverage": (counts["coverage"] > 0).mean(0), "clipped coverage": mapped,
            "lost": (counts["lost"] == 0).mean(0)}


# %% [markdown]
# `values` takes all measures for both sides, on all rows or on some of them.

# %%
#| export
@patch
def values(self: _Near, real: np.ndarray | None = None,  # which rows are kept; None: all
           made: np.ndarray | None = None) -> dict[str, np.ndarray]:
    "Each measure of A and of B."
    real = np.ones(len(self.real), bool) if real is None else real
    made = np.ones(len(self.made), bool) if made is None else made
    used, limits = real[self.r] & made[self.s], self.limits(real)
    of_samples, balls = self.of_samples(limits, real, used), self.balls(limits, used)
    radius = _kth_kept(self.own_square, made[self.own_who], PRECISION_K)
    held, sides = used & (self.square <= radius[self.s]), []
    for side in (self.is_a, ~self.is_a):
        mine, reached = side & made, np.zeros(len(real), bool)
        reached[self.r[held & side[self.s]]] = True
        counts = {name: (ball @ mine.astype(np.float32))[real, None]
                  for name, ball in balls.items()}
        found = _of_balls(counts, int(real.sum()), int(mine.sum()))
        sides.append({name: x[mine].mean() for name, x in of_samples.items()}
                     | {name: x[0] for name, x in found.items()}
                     | {"recall": reached[real].mean(), "Fréchet distance": frechet_distance(
                         self.real[torch.as_tensor(real)], self.made[torch.as_tensor(mine)])})
    return {name: np.array([side[name] for side in sides]) for name in COMPARED}


# %% [markdown]
# **Fidelity.** The same values as the functions that measure one generator:

# %%
real, a, b = bags(0)
near = _Near(real, torch.cat([a, b]))
one, five = precision_recall(real, b), density_coverage(real, b)
alone = {"Fréchet distance": frechet_distance(real, b), "precision": one.precision,
         "recall": one.recall, "density": five.density, "coverage": five.coverage}
assert all(abs(near.values()[name][1] - value) < 1e-7 for name, value in alone.items())

# %%
both = near.values()
assert math.isclose(min(1, both["clipped coverage"][1]), clipped_coverage(real, b))
assert math.isclose(min(1, both["clipped density"][1]), clipped_density(real, b))
{name: value.round(4).tolist() for name, value in both.items()}

# %% [markdown]
# ## Could it be chance? Shuffle the labels
# If A and B have one law, the labels "A" and "B" of all samples may be shuffled, and the distribution stays the same. Let $T$ be a measure, and $\pi$ a random relabelling, of which $R$ are tried. Then
#
# $$p=\frac{1+\#\{\pi:|T(\pi A)-T(\pi B)|\ge|T(A)-T(B)|\}}{1+R},$$
#
# and $p\le\alpha$ happens with a chance of at most $\alpha$. This is true for every measure and for every reference that is the same for both.
#
# Most measures are sums over samples or counts in balls. For these a shuffle is one matrix product. Recall needs new balls around the samples for each shuffle. The radius is the distance to the third sample with the same label, among the sixteen nearest samples.

# %%
#| export
@patch
def recalls(self: _Near, labels: np.ndarray) -> np.ndarray:
    "Recall of A less that of B, for columns of labels `(made, columns)`, True for A."
    close = self.square <= self.pool_square[:, -1][self.s]
    r, s, square, out = self.r[close], self.s[close], self.square[close], []
    first = np.flatnonzero(np.diff(r, prepend=-1))  # of the pairs of one real example
    for a in labels.T:
        radius = _kth_kept(self.pool_square, a[self.pool_who] == a[:, None], PRECISION_K)
        held, mine = square <= radius[s], a[s]
        a_held, b_held = (int(np.logical_or.reduceat(pairs, first).sum())
                          for pairs in (held & mine, held & ~mine))
        out.append((a_held - b_held) / len(self.real))
    return np.array(out)


# %% [markdown]
# For the Fréchet distance, a new matrix root for each shuffle would be slow. Let $\bar F$ be the law of the pool of A and B, with mean $\mu$ and covariance $\Sigma$; the reference has $\mu_R$ and $\Sigma_R$. We replace the difference of the distances of A and B by its first derivative at $\bar F$. The error is of third order only: the pool lies in the middle between A and B, so the terms of second order cancel. The derivative is a sum over samples; $I$ is the identity matrix:
#
# $$\varphi(x)=2\,(\mu-\mu_R)^\top(x-\mu)+(x-\mu)^\top\Big(I-\Sigma_R^{1/2}\big(\Sigma_R^{1/2}\Sigma\,\Sigma_R^{1/2}\big)^{-1/2}\Sigma_R^{1/2}\Big)(x-\mu).$$

# %%
#| export
def _frechet_influence(real: Tensor, made: Tensor) -> np.ndarray:
    "By how much each sample moves the Fréchet distance of all to the real examples, times n."
    a, b = (torch.cov(x.T).reshape(x.shape[1], -1) for x in (real, made))
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    values, vectors = torch.linalg.eigh(root @ b @ root)
    sure = values > 1e-10 * values.max()
    inverse = torch.where(sure, values.clamp(min=1e-300).rsqrt(), 0.)
    slope = torch.eye(len(a), dtype=a.dtype) - root @ (vectors * inverse @ vectors.T) @ root
    x, shift = made - made.mean(0), made.mean(0) - real.mean(0)
    return (2 * x @ shift + ((x @ slope) * x).sum(1)).numpy()


# %%
moved = torch.cat([a, 1.1 * b + .1])
direct = frechet_distance(real, moved[:500]) - frechet_distance(real, moved[500:])
phi = _frechet_influence(real, moved)
assert abs(phi[:500].mean() - phi[500:].mean() - direct) < .03 * abs(direct)
direct, phi[:500].mean() - phi[500:].mean()


# %% [markdown]
# All measures under shuffled labels, a hundred shuffles at a time. The true labels come first.

# %%
#| export
@patch
def shuffled(self: _Near, rounds: int,
             generator: torch.Generator) -> Iterator[dict[str, np.ndarray]]:
    "A less B in each measure, in parts: first the true labels, then shuffled ones."
    every, pairs = np.ones(len(self.real), bool), np.ones(len(self.r), bool)
    limits, labels = self.limits(every), torch.as_tensor(self.is_a)
    of_samples, balls = self.of_samples(limits, every, pairs), self.balls(limits, pairs)
    of_samples["Fréchet distance"] = _frechet_influence(self.real, self.made)
    total = {name: np.asarray(ball.sum(1)) for name, ball in balls.items()}
    for part in row_blocks(rounds + 1, 100):
        orders = [torch.randperm(len(labels), generator=generator) if i else
                  torch.arange(len(labels)) for i in range(part.start, part.stop)]
        a = torch.stack([labels[order] for order in orders], 1).numpy()
        mine = {name: ball @ a.astype(np.float32) for name, ball in balls.items()}
        others = {name: total[name] - count for name, count in mine.items()}
        sides = [_of_balls(counts, len(every), self.n) for counts in (mine, others)]
        found = {name: x @ (2. * a - 1) / self.n for name, x in of_samples.items()}
        found |= {name: sides[0][name] - sides[1][name] for name in sides[0]}
        yield found | {"recall": self.recalls(a)}


# %% [markdown]
# Then the p-values are counts.

# %%
#| export
@patch
def p_values(self: _Near, rounds: int, generator: torch.Generator) -> dict[str, float]:
    "The exact chance of so large a difference, had A and B one law."
    reached, seen = dict.fromkeys(COMPARED, 0), {}
    for part in self.shuffled(rounds, generator):
        seen = seen or {name: abs(x[0]) - 1e-12 for name, x in part.items()}
        for name, x in part.items():
            reached[name] += int((np.abs(x) >= seen[name]).sum())
    return {name: count / (rounds + 1) for name, count in reached.items()}


# %%
g = torch.Generator().manual_seed(0)
{name: round(p, 3) for name, p in near.p_values(steps(999, fast=99), g).items()}

# %% [markdown]
# **Fidelity.** Four samples have six labellings. We compute precision for all six by hand, and compare with the function:

# %%
few = _Near(real, torch.cat([a[:2], a[2:4] + .15]))
every_real, every_pair = np.ones(500, bool), np.ones(len(few.r), bool)
worth = few.of_samples(few.limits(every_real), every_real, every_pair)
splits = [sum(worth["precision"][list(pair)]) for pair in combinations(range(4), 2)]
every = [abs(2 * part - worth["precision"].sum()) for part in splits]
exact = np.mean([value >= every[0] - 1e-12 for value in every])
found = few.p_values(1999, g)["precision"]
assert abs(found - exact) < .05
exact, found

# %% [markdown]
# ## How large is the difference? Split in halves
# A p-value does not say how large a difference is. An interval needs the variance of the difference over new draws of A, of B and of the real examples. Two usual methods do not fit. The bootstrap repeats examples, and a repeated example is its own nearest neighbour. The jackknife leaves examples out. It is proven for smooth measures only, and the radius of a ball jumps if a neighbour is left out. ([4.2](02_audit.ipynb) uses a jackknife with twenty large parts for the share *lost*, and checks its interval by draws. Nine measures would need nine such checks.)
#
# So we split the real examples, A and B into two halves each. The halves are two independent experiments of half the size. Their differences $D_1,D_2$ have
#
# $$\operatorname{Var}(D)\approx\tfrac12\operatorname{Var}(D_1)=\tfrac14\,\mathrm E(D_1-D_2)^2 .$$
#
# Twenty random splits are averaged. No example is repeated, and the measure need not be smooth. The only assumption is that the variance falls as $1/n$. For this there must be enough examples: if a mode has twelve of them, it has six in a half, and balls reach into other modes. So a table says *95 % if n is large*, and [below](#How-well-it-is-calibrated) we measure how often the interval holds the difference. For a mean, the average over all splits is $s^2/n$ (checked below).

# %%
#| export
SPLITS = 20
HALF_WIDTH = 2.228  # Student's t for 95 % with the ten degrees of freedom that splits are worth


# %% [markdown]
# A random half:

# %%
#| export evaluation.compare_parts
def random_half(n: int, generator: torch.Generator) -> np.ndarray:
    "Half of n rows, at random, `(n,)` bool."
    return (torch.randperm(n, generator=generator) < n // 2).numpy()


# %% [markdown]
# If a share, such as *lost*, is 0 in every half, the variance would be 0 as well. So the smallest standard error is one example.

# %%
#| export
@patch
def errors(self: _Near, generator: torch.Generator) -> dict[str, float]:
    "Standard errors of B less A in each measure, by splits of everything in halves."
    square = dict.fromkeys(COMPARED, 0.)
    for _ in range(SPLITS):
        real = random_half(len(self.real), generator)
        made = np.concatenate([random_half(self.n, generator) for _ in range(2)])
        one, two = self.values(real, made), self.values(~real, ~made)
        for name in square:
            square[name] += float(np.diff(one[name] - two[name])[0] ** 2) / 4 / SPLITS
    least = 1 / min(self.n, len(self.real))  # where a share is 0 in every half
    return {name: max(math.sqrt(v), least * (name in SHARES)) for name, v in square.items()}


# %%
{name: round(error, 4) for name, error in near.errors(g).items()}

# %%
x = torch.randn(8, generator=g).double()
splits = [set(half) for half in combinations(range(8), 4)]
gaps = [x[list(half)].mean() - x[list(set(range(8)) - half)].mean() for half in splits]
assert math.isclose(np.mean([gap ** 2 / 4 for gap in gaps]), x.var() / 8, rel_tol=1e-12)


# %% [markdown]
# ## The comparison
# You may skip the code of this section and continue with [two generators in one table](#Two-generators-in-one-table).
#
# The result has one row for each measure. Nine measures are tested, so the p-values are adjusted by Holm's rule ([4.2](02_audit.ipynb)).

# %%
#| export
@dataclass(frozen=True)
class Difference:
    "One measure of A and of B; the difference is B less A, with an interval: 95 % for large n."
    measure: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float  # of this measure alone
    adjusted: float  # by Holm's rule over all measures, and over all pairs of several
    differs: bool
    floor: float | None = None  # what as many unseen real examples score

    @property
    def better(self) -> int:
        "0 if A is the better one by this measure, 1 if B."
        return int((self.difference > 0) == COMPARED[self.measure][0])


# %% [markdown]
# The verdict is one sentence: who is better in what. The numbers are in the table below it.

# %%
#| export
def _verdict(rows: Iterable[Difference], names: tuple[str, ...], n: int) -> str:
    "Who is better in what, in one sentence."
    said: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.differs:
            better = said.setdefault(names[row.better], {})
            better.setdefault(COMPARED[row.measure][1], []).append(row.measure)
    if not said:
        row = next(row for row in rows if row.measure == "recall")
        return (f"{names[0]} and {names[1]} cannot be told apart with {n:,} samples each; the "
                f"difference in recall is between {row.low:+.3g} and {row.high:+.3g}")
    told = [f"{name} is better " + join_words([f"in {join_words(by, 'and')} ({why})"
            for why, by in better.items()], "and") for name, better in said.items()]
    rest = any(not row.differs for row in rows)
    told += [f"nothing else can be told apart with {n:,} samples each"] * rest
    return "; ".join(told)


# %% [markdown]
# The whole comparison:

# %%
#| export
@dataclass(frozen=True)
class Comparison:
    "Two generators side by side."
    names: tuple[str, ...]
    rows: list[Difference]
    sizes: dict[str, int]
    space: str  # what distances are taken in
    level: float  # chance of any false difference
    notes: list[str]

    @property
    def verdict(self) -> str:
        "One plain sentence."
        return _verdict(self.rows, self.names, self.sizes["samples"])

    @property
    def status(self) -> int:
        "0 if nothing can be told apart, else 1; the exit status of `modelab compare`."
        return int(any(row.differs for row in self.rows))

    def __getitem__(self, measure: str) -> Difference:
        return {row.measure: row for row in self.rows}[measure]


# %% [markdown]
# One line that you can cite says what was done:

# %%
#| export evaluation.compare_parts
def protocol_line(sizes: dict[str, int], space: str, level: float) -> str:
    "The version, the sizes and the tests of a comparison, in one line."
    said = f"{sizes['samples']:,} samples of each" + "".join(
        f", {n:,} {name} examples" for name, n in sizes.items() if name != "samples")
    return (f"modelab {VERSION}, compare: {said}, distances in {space}, p by shuffled labels, "
            f"Holm's rule at level {level:g}")


# %% [markdown]
# Of a comparison:

# %%
#| export
@patch(as_prop=True)
def protocol(self: Comparison) -> str:
    "The version, the sizes and the tests, in one line."
    return protocol_line(self.sizes, self.space, self.level)


# %% [markdown]
# A table of texts becomes a printed table or a page. A star marks a sure difference: its $p$ is at most the level after Holm's rule over all tests. An interval is about one measure alone, so one of nine intervals may exclude 0 by chance. Such a row gets a star in brackets, and a line below the table explains both marks. Only a star without brackets means a sure difference.

# %%
#| export evaluation.compare_parts
def mark_of(row: Any) -> str:  # a `Difference`
    "A star if the difference is sure; one in brackets if only its own interval leaves out 0."
    return " *" if row.differs else " (*)" if row.low > 0 or row.high < 0 else ""


# %% [markdown]
# What the marks mean, if there are any:

# %%
#| export evaluation.compare_parts
def marks_say(rows: Iterable[Any], level: float) -> list[str]:
    "What the marks of a table mean; only what is in it."
    marks = {mark_of(row).strip() for row in rows}
    inside = any(row.differs and row.low <= 0 <= row.high for row in rows)
    said = f"* a sure difference: p ≤ {level:g} after Holm's rule over all tests"
    said += "; where its interval holds 0, the exact p decides" * inside
    alone = ("(*) not sure: the interval of this measure alone leaves out 0, but Holm's rule "
             "over all tests does not call it a difference")
    return [f"{said}."] * ("*" in marks) + [f"{alone}."] * ("(*)" in marks)


# %% [markdown]
# The table:

# %%
#| export
@patch
def cells(self: Comparison) -> list[list[str]]:
    "The table as texts, its head first."
    number = lambda v: "" if v is None else f"{v:.3f}"
    a, b = self.names
    head = ["", a, b, f"{b} − {a}", "95 % if n is large", "p", "unseen"]
    return [head] + [[row.measure + mark_of(row), number(row.a), number(row.b),
                      f"{row.difference:+.3f}", f"[{row.low:+.3f}, {row.high:+.3f}]",
                      f"{row.adjusted:.3g}", number(row.floor)] for row in self.rows]


# %% [markdown]
# Printed:

# %%
#| export evaluation.compare_parts
def text_table(cells: list[list[str]]) -> str:
    "A table with columns of equal width."
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(row, widths)).rstrip()
                     for row in cells)


# %% [markdown]
# The same as HTML. Names come from users, so all texts are escaped.

# %%
#| export evaluation.compare_parts
def html_table(cells: list[list[str]], lines: Iterable[str]) -> str:
    "Sentences and a table as HTML; all texts are escaped."
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    rows = ("".join(f"<{tag}>{escape(text)}</{tag}>" for text in row)
            for tag, row in zip(["th", *["td"] * len(cells)], cells))
    return f"<div>{said}<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table></div>"


# %% [markdown]
# A comparison shows its verdict first.

# %%
#| export
@patch
def __repr__(self: Comparison) -> str:
    marks = marks_say(self.rows, self.level)
    return "\n".join([self.verdict, *self.notes, text_table(self.cells()), *marks])


# %% [markdown]
# In a notebook it is a table.

# %%
#| export
@patch
def _repr_html_(self: Comparison) -> str:
    "The same for a notebook and for a page."
    marks = marks_say(self.rows, self.level)
    return html_table(self.cells(), [self.verdict, *self.notes, *marks])


# %% [markdown]
# For programs:

# %%
#| export
@patch
def to_json(self: Comparison) -> dict[str, Any]:
    "Everything as plain JSON."
    return {"verdict": self.verdict, "status": self.status, "protocol": self.protocol,
            **asdict(self)}


# %% [markdown]
# Distances are taken in `value_space` of [4.3](03_missing.ipynb), unless there are features. More than 64 values become 64 principal directions, which are fitted on the examples of all sets together. If they were fitted on the reference alone, they would fit its noise. Then few real examples of many values lie too far from each other, so that precision rises to 1 and recall falls to 0 for every generator. Features are checked: there must be one row for each example, all of one width, and the examples of the reference must not all be equal.

# %%
#| export evaluation.compare_parts
def compared_features(given: dict[str, Any],  # tensors or files
                      rows: dict[str, Tensor], features: Callable | None,
                      memory: int) -> tuple[str, dict[str, Tensor]]:
    "The name of the space, and features of the rows of all sets, read in parts and checked."
    check_columns(**given)
    beside = [(x, rows[name]) for name, x in given.items() if name != "reference"]
    space, read = ((space_name(features), features) if features is not None
                   else value_space(given["reference"], rows["reference"], beside))
    found = {name: FeatureRows(name, x, read, memory // 2)[rows[name]]
             for name, x in given.items()}
    width = found["reference"].shape[1]
    for name, x in found.items():
        if x.shape[1] != width:
            raise ValueError(f"features: expected one row of {width} numbers for each of "
                             f"{len(rows[name])} examples of {name}, got {tuple(x.shape)}")
    check_spread(found["reference"], features is not None)
    return space, found


# %% [markdown]
# The larger set of samples is thinned at random to the size of the smaller one. A note says so.

# %%
#| export evaluation.compare_parts
def thin_samples(given: dict[str, Any], made: Iterable[str], most: int,
                 generator: torch.Generator) -> tuple[dict[str, Tensor], list[str]]:
    "Rows: as many samples of each generator, at most `most` of anything; and what was done."
    n = min(most, *(len(given[name]) for name in made))
    kept, notes = {}, note_on_ranges(given) + notes_on_sources(given)
    for name, x in given.items():
        size = n if name in made else min(most, len(x))
        if name == "holdout":
            size = min(n, len(x))
        kept[name] = torch.randperm(len(x), generator=generator)[:size].sort().values
        if size < len(x) and name != "holdout":
            notes.append(f"{name}: {size:,} of {len(x):,} examples were used, drawn at random"
                         + ", so that all generators have as many" * (name in made) + ".")
    return kept, notes


# %% [markdown]
# Held-out data, real examples that no generator saw, takes no part in the test. Its column shows what a perfect generator would score. If a generator scores much better than unseen data, it may have copied: run `modelab audit` ([4.2](02_audit.ipynb)). A slightly better score may be chance, as in the first table below.

# %%
#| export
def _floors(sets: dict[str, Tensor], n: int) -> dict[str, float | None]:
    "What as many held-out examples score; None where there are too few for a measure."
    if "holdout" not in sets:
        return dict.fromkeys(COMPARED)
    unseen = sets["holdout"]
    for name in (name for name in sets if name != "holdout"):
        refuse_known(nearest_k(unseen, sets[name], 2)[0], name)
    found = _Near(sets["reference"], torch.cat([unseen, unseen])).values()
    return {name: float(v[0]) if len(unseen) == n or name not in SIZED else None
            for name, v in found.items()}


# %% [markdown]
# The smallest $p$ with $R$ shuffles is $1/(R+1)$. Holm's rule multiplies it by the number of tests. So a low level, or many tests, needs more than 999 shuffles. With too few no difference could be found.

# %%
#| export evaluation.compare_parts
MOST_ROUNDS = 10 ** 6  # shuffles


# %% [markdown]
# The number is twice what the smallest $p$ needs, so that a single shuffle with as large a difference does not decide:

# %%
#| export evaluation.compare_parts
def enough_rounds(rounds: int, tests: int, level: float) -> int:
    "`rounds`, or twice as many as the least p of so many tests needs, if that is more."
    needed = math.ceil(2 * tests / level)
    if needed > MOST_ROUNDS:
        raise ValueError(f"level: {tests} tests at level {level:g} need {needed:,} shuffles, "
                         f"which is more than {MOST_ROUNDS:,}; give a higher level")
    return max(rounds, needed)


# %%
assert enough_rounds(999, 9, .05) == 999
enough_rounds(999, 9, .001), error_message(enough_rounds, 999, 9, 1e-6)

# %% [markdown]
# Notes say if two sets of samples share rows, and that a clipped measure may exceed 1 here.

# %%
#| export evaluation.compare_parts
def notes_on_pair(near: Any, rows: Iterable[Any], names: tuple[str, ...]) -> list[str]:
    "Sentences about copies, equal samples, and clipped measures above 1."
    equal, notes = count_equal(*near.made.split(near.n)), notes_on_copies(near, names)
    if equal:
        notes.append(f"{names[0]}: {equal:,} of {near.n:,} samples equal a sample of {names[1]}.")
    if any(max(row.a, row.b) > 1.0005 for row in rows if row.measure.startswith("clipped")):
        notes.append("Clipped density and coverage are not cut at 1 here, so that differences can "
                     "be read. Values above 1 are nearer to this reference than new data is on "
                     "average: by chance, or by copying.")
    return notes


# %% [markdown]
# Values, errors and p-values make the rows.

# %%
#| export
def _differences(near: _Near, rounds: int, level: float, floors: dict[str, float | None],
                 generator: torch.Generator) -> list[Difference]:
    "All rows of a comparison."
    values, errors = near.values(), near.errors(generator)
    p = near.p_values(rounds, generator)
    adjusted = dict(zip(COMPARED, holm_adjusted([p[name] for name in COMPARED])))
    rows = []
    for name in COMPARED:
        a, b = map(float, values[name])
        half, most = HALF_WIDTH * errors[name], 1. if name in SHARES else math.inf
        low, high = max(-most, b - a - half), min(most, b - a + half)
        rows.append(Difference(name, a, b, b - a, low, high, p[name], adjusted[name],
                               adjusted[name] <= level, floors[name]))
    return rows


# %% [markdown]
# The whole in one call:

# %%
#| export
@checked
def compare(a: Annotated[Tensor, ExampleSource("a *event", 40)],  # what A makes
            b: Annotated[Tensor, ExampleSource("b *event", 40)],
            reference: Annotated[Tensor, ExampleSource("reference *event", 40)],  # real examples
            holdout: Annotated[Tensor, ExampleSource("holdout *event", 40)] | None = None,  # unseen
            *, features: FeatureChoice | None = None,
            names: Annotated[tuple, Texts()] | None = None,  # of the generators; None: A and B
            level: Annotated[float, Real(0., .5, above=0.)] = .05,  # chance of any false difference
            most: Annotated[int, Whole(40)] = 5000,  # of each set; thinned at random
            rounds: Annotated[int, Whole(19)] = 999,  # shuffles at least; a low level needs more
            generator: torch.Generator | None = None,
            memory: Annotated[int, Whole(1 << 22)] = MAX_BYTES) -> Comparison:  # bytes of one read
    """Which of two generators is better, by nine measures, each with an interval and an exact p.

    Sets: see `held_examples`; labels within them are not used.

    >>> real, a, b = torch.randn(3, 200, 2, generator=torch.Generator().manual_seed(0))
    >>> compare(a, b, real, rounds=99).status, compare(a, b[b[:, 0] < 0], real, rounds=999).status
    (0, 1)
    """
    names, made = two_names(names), {"a": a, "b": b}
    given = made | {"reference": reference} | ({} if holdout is None else {"holdout": holdout})
    generator = generator_or_default(generator)
    return _compare(given, names, features, level, most, rounds, generator, memory)


# %% [markdown]
# Two generators need two names.

# %%
#| export evaluation.compare_parts
def two_names(names: tuple[str, ...] | None) -> tuple[str, ...]:
    "The names of two generators, checked."
    names = names or ("A", "B")
    if len(set(names)) != 2 or len(names) != 2:
        raise ValueError(f"names: expected two different names, got {names!r:.80}")
    return names


# %% [markdown]
# A generator that copies the reference looks better in this comparison. The audit tests for copies. Here a note counts the samples that *equal* a real example.

# %%
#| export evaluation.compare_parts
def notes_on_copies(near: Any,  # with the distances of a comparison
                    names: Iterable[str]) -> list[str]:
    "A sentence about each generator whose samples equal a real example, or each other."
    notes, repeated = [], lambda x: len(x) - len(x.unique(dim=0))
    for name, side, mine in zip(names, (near.is_a, ~near.is_a), near.made.split(near.n)):
        equal = int((near.first_square[side, 0] == 0).sum())
        if equal:
            notes.append(f"{name}: {equal:,} of {near.n:,} samples equal a reference example. "
                         "Copies score well by every measure here; `modelab audit` tests for them.")
        if (again := repeated(mine)) and not repeated(near.real):
            notes.append(f"{name}: {again:,} of {near.n:,} samples repeat another one of {name}, "
                         "which no measure here counts; `modelab audit` tests for repeats.")
    return notes


# %% [markdown]
# The steps in order:

# %%
#| export
def _compare(given: dict[str, Any], names: tuple[str, ...], features: Callable | None, level: float,
             most: int, rounds: int, generator: torch.Generator, memory: int) -> Comparison:
    "Thin the sets, take features, measure."
    rounds = enough_rounds(rounds, len(COMPARED), level)
    kept, notes = thin_samples(given, ("a", "b"), most, generator)
    space, sets = compared_features(given, kept, features, memory)
    n = len(sets["a"])
    near = _Near(sets["reference"], torch.cat([sets["a"], sets["b"]]))
    rows = _differences(near, rounds, level, _floors(sets, n), generator)
    sizes = {"samples": n} | {k: len(x) for k, x in sets.items() if k not in ("a", "b")}
    shown = dict(zip("ab", names))
    notes = [shown.get(note[0], note[0]) + note[1:] if note[1] == ":" else note for note in notes]
    return Comparison(names, rows, sizes, space, level, notes + notes_on_pair(near, rows, names))


# %% [markdown]
# ### Two generators in one table
# First two perfect generators, with 1,000 samples each. Expect no star. The last column is the score of as many unseen real examples.

# %%
real, a, b = bags(0, 1000)
unseen = law.sample(1000, generator=torch.Generator().manual_seed(99)).double()
perfect = compare(a, b, real, unseen, rounds=steps(999, fast=99))
perfect

# %%
assert perfect.status == 0

# %% [markdown]
# No difference is sure, although most numbers differ. Every interval holds 0.
#
# Now B loses one of 25 modes. In the second comparison B makes 2 % junk instead. This draw of 1,000 samples does not show it. The benchmark below records how often 2,000 samples do.

# %%
lossy = mixture(law.centers[1:], .05).sample(1000, generator=g).double()
lost = compare(a, lossy, real, unseen, rounds=steps(999, fast=199))
lost.verdict

# %%
junk = b.clone()
junk[:20] = 10 * torch.rand(20, 2, generator=g).double() - 5
junky = compare(a, junk, real, rounds=steps(999, fast=199))
covers = [lost[name] for name in ("recall", "coverage", "lost")]
assert fast_mode() or all(row.differs and row.better == 0 for row in covers)
assert junky.status == 0
junky.verdict

# %% [markdown]
# A generator of which 30 % are copies looks better than a perfect one, and a note says why:

# %%
copied = compare(torch.cat([real[:300], a[:700]]), b, real, rounds=steps(999, fast=99))
seems = [copied[name] for name in ("density", "coverage")]
assert fast_mode() or all(row.differs and row.better == 0 for row in seems)
assert "300 of 1,000 samples equal" in copied.notes[0]
copied.verdict, copied.notes

# %% [markdown]
# The p-value decides what is a sure difference. The interval is computed in another way, so near 0 the two may disagree.
#
# The number of samples gives no advantage. Here A has 1,000 samples and B has 500 from the same law:

# %%
unequal = compare(a, b[:500], real, rounds=99)
assert unequal.sizes["samples"] == 500
unequal.notes


# %% [markdown]
# ## Three and more
# With several generators there are many pairs. The p-values of all pairs and all measures are adjusted together by Holm's rule, so the level bounds the chance of any false difference in the whole table. Letters mark what cannot be told apart: two generators that share a letter in a column cannot be told apart by that measure. The generators with one letter are a largest set without any sure difference.

# %%
#| export evaluation.compare_parts
def shared_letters(order: list[str], differs: set[frozenset[str]]) -> dict[str, str]:
    "Letters of each name, best first: names that share one cannot be told apart."
    sets = [frozenset(order)]
    for pair in differs:
        split = [part - {name} for part in sets if pair <= part for name in pair]
        sets = [part for part in sets if not pair <= part] + split
        sets = list(dict.fromkeys(s for s in sets if not any(s < other for other in sets)))
    sets.sort(key=lambda part: sorted(order.index(name) for name in part))
    return {name: "".join(chr(97 + i % 26) for i, part in enumerate(sets) if name in part)
            for name in order}


# %%
marks = shared_letters(["best", "middle", "worst"], {frozenset(["best", "worst"])})
assert marks == {"best": "a", "middle": "ab", "worst": "b"}
marks

# %% [markdown]
# For one measure, a sentence names the first generator that is surely better than some others, and it names these others. It also names all further generators that are surely better than all of these others. The first one is usually the best one. But the best one may have a wide interval and share a letter with all.

# %%
#| export evaluation.compare_parts
def surely_before(order: list[str],  # the best first
                  letters: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    "Who is surely better than whom; None if nobody is."
    for place, first in enumerate(order):
        alone = set(letters[first])
        behind = [name for name in order[place:] if not alone & set(letters[name])]
        if behind:
            taken = set("".join(letters[name] for name in behind))
            ahead = order[place:order.index(behind[0])]
            ahead = [name for name in ahead if not taken & set(letters[name])]
            return tuple(sorted(ahead)), tuple(sorted(behind))
    return None


# %%
surely_before(["best", "middle", "worst"], marks)


# %% [markdown]
# The result keeps every pair, with its intervals.

# %%
#| export
@dataclass(frozen=True)
class Comparisons:
    "Several generators side by side, and every pair of them."
    names: tuple[str, ...]
    values: dict[str, dict[str, float]]  # by measure and name
    letters: dict[str, dict[str, str]]  # who shares a letter cannot be told apart
    pairs: list[Comparison]  # p-values adjusted over all pairs and measures
    floors: dict[str, float | None]
    notes: list[str]

    @property
    def status(self) -> int:
        "0 if nothing can be told apart, else 1."
        return int(any(pair.status for pair in self.pairs))


# %% [markdown]
# The line to cite is the same for all pairs.

# %%
#| export
@patch(as_prop=True)
def protocol(self: Comparisons) -> str:
    "The version, the sizes and the tests, in one line."
    return (f"{self.pairs[0].protocol} over {len(COMPARED)} measures of {len(self.pairs)} "
            "pairs of generators")


# %% [markdown]
# The verdict names who is better than whom for every measure with a sure difference. It is true of every pair that it names, but may leave out pairs; then it says so.

# %%
#| export
@patch(as_prop=True)
def verdict(self: Comparisons) -> str:
    "Who is better than whom in what, in one sentence."
    said: dict[tuple, list[str]] = {}
    first = ["recall", "precision", "Fréchet distance"]
    for measure in [*first, *(name for name in COMPARED if name not in first)]:
        ranked = _ranked(self.values[measure], measure)
        if order := surely_before(ranked, self.letters[measure]):
            said.setdefault(order, []).append(measure)
    n = self.pairs[0].sizes["samples"]
    if not said:
        return f"no two of them can be told apart with {n:,} samples each"
    told = [f"{join_words(ahead, 'and')} {'is' if len(ahead) == 1 else 'are'} better than "
            f"{join_words(behind, 'and')} in {join_words(by, 'and')}"
            for (ahead, behind), by in said.items()]
    named = sum(len(ahead) * len(behind) * len(by) for (ahead, behind), by in said.items())
    rest = ("the table shows more sure differences" if _count_apart(self.letters) > named else
            f"nothing else can be told apart with {n:,} samples each")
    return "; ".join([*told, rest])


# %% [markdown]
# How many differences are sure:

# %%
#| export
def _count_apart(letters: dict[str, dict[str, str]]) -> int:
    "How many pairs are told apart, over all measures."
    return sum(not set(a) & set(b) for marks in letters.values()
               for a, b in combinations(marks.values(), 2))


# %% [markdown]
# Ranks by a measure:

# %%
#| export
def _ranked(values: Mapping[str, float], measure: str) -> list[str]:
    "Names by a measure, the best first."
    return sorted(values, key=values.get, reverse=COMPARED[measure][0])


# %% [markdown]
# Its table has a row for each generator.

# %%
#| export
@patch
def cells(self: Comparisons) -> list[list[str]]:
    "The table as texts, its head first: a row for each generator."
    rows = [["", *COMPARED]]
    for name in self.names:
        rows.append([name] + [f"{self.values[m][name]:.3f} {self.letters[m][name]}"
                              for m in COMPARED])
    if any(v is not None for v in self.floors.values()):
        rows.append(["unseen data"] + ["" if self.floors[m] is None else f"{self.floors[m]:.3f}"
                                       for m in COMPARED])
    return rows


# %% [markdown]
# What the letters mean is said under each table.

# %%
#| export evaluation.compare_parts
LETTERS_SAY = "In one column, generators that share a letter cannot be told apart."


# %% [markdown]
# Printed:

# %%
#| export
@patch
def __repr__(self: Comparisons) -> str:
    return "\n".join([self.verdict, *self.notes, text_table(self.cells()), LETTERS_SAY])


# %% [markdown]
# In a notebook:

# %%
#| export
@patch
def _repr_html_(self: Comparisons) -> str:
    "The same for a notebook and for a page."
    return html_table(self.cells(), [self.verdict, LETTERS_SAY, *self.notes])


# %% [markdown]
# For programs:

# %%
#| export
@patch
def to_json(self: Comparisons) -> dict[str, Any]:
    "Everything as plain JSON."
    kept = {key: value for key, value in self.__dict__.items() if key != "pairs"}
    return {"verdict": self.verdict, "status": self.status, "protocol": self.protocol, **kept,
            "pairs": [pair.to_json() for pair in self.pairs]}


# %% [markdown]
# After all pairs are measured, their p-values are adjusted: three generators are three pairs, and with nine measures that makes 27 tests.

# %%
#| export
def _adjust_over_all(pairs: list[Comparison], level: float) -> list[Comparison]:
    "The same comparisons, with p-values adjusted over all pairs and measures together."
    adjusted = iter(holm_adjusted([row.p for pair in pairs for row in pair.rows]))
    found = []
    for pair in pairs:
        rows = [replace(row, adjusted=next(adjusted)) for row in pair.rows]
        found.append(replace(pair, rows=[replace(row, differs=row.adjusted <= level)
                                         for row in rows]))
    return found


# %% [markdown]
# Values and letters are gathered from the pairs.

# %%
#| export
def _gather(names: tuple[str, ...], pairs: list[Comparison], floors: dict[str, float | None],
            notes: list[str]) -> Comparisons:
    "Values and letters of all generators."
    values = {measure: {} for measure in COMPARED}
    differs = {measure: set() for measure in COMPARED}
    for pair in pairs:
        for row in pair.rows:
            values[row.measure] |= dict(zip(pair.names, (row.a, row.b)))
            if row.differs:
                differs[row.measure].add(frozenset(pair.names))
    letters = {measure: shared_letters(_ranked(v, measure), differs[measure])
               for measure, v in values.items()}
    return Comparisons(names, values, letters, pairs, floors, notes)


# %% [markdown]
# More pairs are more tests, so they need more shuffles.

# %%
#| export
def compare_all(samples: Mapping[str, Tensor],  # by the names of the generators, two or more
                reference: Tensor, holdout: Tensor | None = None,  # as for `compare`
                *, features: FeatureChoice | None = None, level: float = .05, most: int = 5000,
                rounds: int = 999, generator: torch.Generator | None = None,
                memory: int = MAX_BYTES) -> Comparisons:
    "Several generators: a table that says which differences are sure, and every pair."
    given, names = _check_all(samples, reference, holdout, most)
    check_number("level", level, 0, .5, above=0)
    memory = check_int("memory", memory, 1 << 22)
    features = None if features is None else FeatureSource().check("features", features)
    pairs, rounds = list(combinations(names, 2)), check_int("rounds", rounds, 19)
    rounds = enough_rounds(rounds, len(pairs) * len(COMPARED), level)
    generator = generator_or_default(generator)
    kept, notes = thin_samples(given, names, most, generator)
    space, sets = compared_features(given, kept, features, memory)
    floors, found = _floors(sets, len(sets[names[0]])), []
    sizes = {"samples": len(sets[names[0]]), "reference": len(sets["reference"])}
    for pair in pairs:
        near = _Near(sets["reference"], torch.cat([sets[name] for name in pair]))
        rows = _differences(near, rounds, level, floors, generator)
        said = notes_on_pair(near, rows, pair)
        found.append(Comparison(pair, rows, sizes, space, level, said))
    notes = dict.fromkeys(notes + [note for pair in found for note in pair.notes])
    return _gather(names, _adjust_over_all(found, level), floors, list(notes))


# %% [markdown]
# The sets come in a mapping, so they are checked one by one.

# %%
#| export
def _check_all(samples: Any, reference: Any, holdout: Any,
               most: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    "All sets by name, checked."
    if not isinstance(samples, Mapping) or len(samples) < 2:
        raise TypeError("samples: expected a mapping from two or more names to samples, "
                        f"got {samples!r:.60}")
    taken = {"reference", "holdout"} & set(samples)
    if taken or len({str(name) for name in samples}) < len(samples):
        raise ValueError(f"samples: a generator cannot be named {taken.pop()!r}" if taken else
                         f"samples: expected names that differ as texts, got {list(samples)!r:.60}")
    check_int("most", most, 40)
    given = {str(name): x for name, x in samples.items()} | {"reference": reference}
    given |= {} if holdout is None else {"holdout": holdout}
    given = ExampleSource.together({name: ExampleSource("n *event", 40).check(name, x)
                                    for name, x in given.items()})
    for name, x in given.items():
        if x.shape[1:] != given["reference"].shape[1:]:
            raise ValueError(f"{name}: expected examples of shape "
                             f"{tuple(given['reference'].shape[1:])} as in reference, "
                             f"got {tuple(x.shape[1:])}")
    return given, tuple(str(name) for name in samples)


# %%
table = compare_all({"100k": lossy[:600], "200k": a[:600], "300k": b[:600]}, real[:600],
                    rounds=steps(999, fast=99))
if not fast_mode():  # what the text below says
    assert all(table.letters[name]["200k"] == "ab" for name in ("recall", "coverage"))
    assert table.letters["lost"] == {"100k": "b", "200k": "a", "300k": "a"}
table

# %% [markdown]
# The first generator has lost a mode. By *lost* it has a letter of its own, so it is surely worse than both others. By recall and coverage the second generator has both letters: with 600 samples it cannot be told from the first one, nor from the third one.
#
# **Fidelity.** The smallest p-value of 27 is multiplied by 27:

# %%
rows = [row for pair in table.pairs for row in pair.rows]
first = min(rows, key=lambda row: row.p)
assert len(rows) == 27 and first.adjusted == min(1, 27 * first.p)
first.measure, first.p, first.adjusted

# %% [markdown]
# ## How many samples are needed?
# "No difference" may only mean that there were too few samples. How small a loss would have been found? Take a group that holds the share $q$ of the data. The simplest sign of its loss is this: $Y$ of $m$ unseen real examples lie in it, and none of $n$ samples. If the generator were perfect, all places for the $Y$ members among the $n+m$ examples would be equally likely:
#
# $$p=\binom{m}{Y}\Big/\binom{n+m}{Y}\;\approx\;\Big(\frac{m}{n+m}\Big)^{Y},\qquad Y\sim\text{Binomial}(m,q).$$
#
# With as many unseen examples as samples, $p\approx2^{-Y}$, so five members are enough at the level .05. If $K$ groups are tested, the level is divided by $K$. The **power** is the chance that the loss is found. It is a sum over the binomial law of $Y$. If a share $\ell$ of the group is *left*, the count in the samples is binomial, too, and the test is Fisher's.

# %%
#| export evaluation.power
def _most_that_alarms(in_holdout: np.ndarray, n: int, holdout: int, level: float,
                      most: int) -> np.ndarray:  # the largest count to try
    "For each count in held-out data the largest count in samples with p ≤ level, -1: none."
    from scipy.stats import hypergeom
    low, high = np.full(len(in_holdout), -1), np.full(len(in_holdout), most + 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        p = hypergeom.cdf(middle, n + holdout, middle + in_holdout, n)
        low, high = np.where(p <= level, middle, low), np.where(p <= level, high, middle)
    return low


# %%
assert math.comb(100, 5) / math.comb(200, 5) <= .05 < math.comb(100, 4) / math.comb(200, 4)
_most_that_alarms(np.array([4, 5, 20]), 100, 100, .05, 99)


# %% [markdown]
# For a group without any sample, p is the quotient above.

# %%
#| export evaluation.power
def _log_p_of_none(in_holdout: np.ndarray, n: int, holdout: int) -> np.ndarray:
    "The logarithm of p of a group with no sample, for each count in held-out data."
    from scipy.special import gammaln
    rest = holdout - in_holdout
    return (gammaln(holdout + 1) - gammaln(rest + 1)
            + gammaln(n + rest + 1) - gammaln(n + holdout + 1))


# %%
assert math.isclose(np.exp(_log_p_of_none(5, 100, 80)), math.comb(80, 5) / math.comb(180, 5))

# %% [markdown]
# The power sums over the count in held-out data.

# %%
#| export evaluation.power
def _power(share: float, n: int, holdout: int, left: float, level: float) -> float:
    "The exact chance that the test of one group alarms."
    from scipy.stats import binom
    low, high = (int(binom.ppf(tail, holdout, share)) for tail in (1e-9, 1 - 1e-9))
    counts = np.arange(low, high + 1)
    if not left:  # all or none: the test needs a certain count in held-out data
        enough = _log_p_of_none(counts, n, holdout) <= np.log(level)
        return float(binom.sf(counts[enough.argmax()] - 1, holdout, share)) if enough.any() else 0.
    most = int(binom.isf(1e-9, n, left * share))
    most = _most_that_alarms(counts, n, holdout, level, min(n, most))
    chance = binom.pmf(counts, holdout, share) * binom.cdf(most, n, left * share)
    return float(min(1., chance.sum()))


# %% [markdown]
# Arguments that are shares:

# %%
#| export evaluation.power
_Share = Annotated[float, Real(0., 1., above=0.)]
_Part = Annotated[float, Real(0., 1.)]


# %% [markdown]
# In one call:

# %%
#| export evaluation.power
@checked
def lost_power(share: _Share,  # of the data that the group holds
               n: Count,  # samples
               holdout: Count | None = None,  # unseen real examples; None: as many as samples
               *, left: _Part = 0.,  # which part of the group's samples is still made
               level: _Share = .05, tests: Count = 1,  # groups that are tested
               ) -> float:
    """The chance that the loss of a group is seen; exact.

    >>> round(lost_power(.1, 100), 3)
    0.976
    """
    return _power(share, n, n if holdout is None else holdout, left, level / tests)


# %% [markdown]
# `samples_needed` finds the number of samples that gives a wanted power.

# %%
#| export evaluation.power
def _first(enough: Callable[[int], bool], most: int) -> int | None:
    "The smallest whole number that is enough, by doubling and halving; None up to `most`."
    low, high = 0, 1
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


# %% [markdown]
# The smallest number is returned, and an error says so if no number is enough.

# %%
#| export evaluation.power
@checked
def samples_needed(share: _Share,  # of the data that the lost group holds
                   power: Annotated[float, Real(0., 1., above=0.)] = .95,  # chance to see it
                   *, holdout: Count | None = None,  # unseen real examples; None: as many
                   left: _Part = 0., level: _Share = .05, tests: Count = 1) -> int:
    """How many samples it takes to see that a group of this share was lost.

    >>> samples_needed(.01)
    913
    """
    def enough(n: int) -> bool:
        m = n if holdout is None else holdout
        return _power(share, n, m, left, level / tests) >= power
    most = 10 ** 5 if left else 10 ** 8
    found = _first(enough, most) if left < 1 else None
    if found is None:
        raise ValueError(f"holdout: with {holdout:,} unseen examples no number of samples shows "
                         f"such a loss with power {power:g}; give more of them" if holdout else
                         f"{'left' if left else 'share'}: the loss is too small to be seen with "
                         f"power {power:g} by {most:,} samples")
    return found


# %% [markdown]
# `smallest_loss` finds the smallest loss that $n$ samples would have shown. This number belongs beside every "no sign of a loss".

# %%
#| export evaluation.power
@checked
def smallest_loss(n: Count, holdout: Count | None = None,  # None: as many as samples
                  power: Annotated[float, Real(0., 1., above=0.)] = .95,
                  *, left: _Part = 0., level: _Share = .05, tests: Count = 1) -> float:
    """The smallest group, as a share of the data, whose loss would have been seen; inf: none.

    >>> round(smallest_loss(1000), 4)
    0.0091
    """
    m, low, high = n if holdout is None else holdout, 0., 1.
    if _power(1., n, m, left, level / tests) < power:
        return math.inf
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        seen = _power(middle, n, m, left, level / tests) >= power
        low, high = (low, middle) if seen else (middle, high)
    return high


# %%
for n in (100, 1000, 10_000):
    print(f"{n:6,} samples: a group of {smallest_loss(n):.2%}, or of "
          f"{smallest_loss(n, tests=100):.2%} if it is one of 100")
assert lost_power(smallest_loss(1000), 1000) >= .95 > lost_power(.99 * smallest_loss(1000), 1000)

# %% [markdown]
# Ten times as many samples find a group a tenth as large. If the group is one of 100 that are tested, it must be nearly twice as large to be found.
#
# ### The test, for many groups
# `lost_groups` is the test itself. You say which group each sample and each unseen example is in: the nearest cluster of the *reference*, or a class. Some groups are so small that their $p$ cannot be small, whatever the samples are. Such groups need not be counted (Tarone 1990): the level is divided by the number of groups that could raise an alarm at all.

# %%
#| export evaluation.power
def _tarone(least: np.ndarray, level: float) -> int:
    "By how many to divide the level, from the least p that each test can reach."
    return next(k for k in range(1, len(least) + 2) if (least <= level / k).sum() <= k)


# %% [markdown]
# The p-values of all groups come from the hypergeometric law.

# %%
#| export evaluation.power
@checked
def lost_groups(samples: Annotated[Tensor, Labels("samples")],  # the group of each sample
                holdout: Annotated[Tensor, Labels("holdout")],  # of each unseen real example
                level: _Share = .05) -> dict[int, float]:  # chance of any false alarm
    """Groups that samples hit too seldom, with p adjusted by Tarone's rule.

    >>> unseen = torch.arange(5).repeat(40)
    >>> list(lost_groups(unseen[unseen != 3], unseen))
    [3]
    """
    from scipy.stats import hypergeom
    n, m = len(samples), len(holdout)
    groups = torch.cat([samples, holdout]).unique()
    mine, total = ((x[:, None] == groups).sum(0).numpy()
                   for x in (samples, torch.cat([samples, holdout])))
    least = hypergeom.cdf(np.maximum(0, total - m), n + m, total, n)
    p = _tarone(least, level) * hypergeom.cdf(mine, n + m, total, n)
    return {int(k): float(v) for k, v in zip(groups, p) if v <= level}


# %% [markdown]
# **Fidelity.** One of 25 equal groups is lost. The share of 400 draws in which it is found is compared with the computed power.

# %%
def seen(n: int, lost: bool, draws: int = steps(400, fast=100)) -> tuple[float, float]:
    "In which share of draws group 0 is found, and any other group."
    g, weights = torch.Generator().manual_seed(n), torch.ones(25)
    weights[0] = 0. if lost else 1.
    found = [lost_groups(torch.multinomial(weights, n, True, generator=g),
                         torch.randint(25, (n,), generator=g)) for _ in range(draws)]
    return np.mean([0 in f for f in found]), np.mean([bool(set(f) - {0}) for f in found])


# %%
for n in (150, 250, 400):
    simulated, expected = seen(n, True)[0], lost_power(.04, n, tests=25)
    print(f"{n} samples: seen in {simulated:.2f}, computed {expected:.2f}")
    assert expected - .08 < simulated  # Tarone's rule may see more
false = seen(250, False)
assert fast_mode() or sum(false) < .05
false

# %% [markdown]
# ## Under your hands: the power for n samples
# Drag $n$. Each curve shows the chance to find the loss of a group, by its share of the data.

# %%
def curves(n: int):
    "The chance to see a loss by its share, for one group and for one of 100, at this n."
    shares = np.geomspace(.0005, .3, 24)
    figure, ax = axes(size=(4.6, 2.6))
    for tests, left, colour, dash in ((1, 0., REAL, "-"), (100, 0., FAKE, "--"), (1, .5, "k", ":")):
        name = "half lost" if left else f"lost, one of {tests}" if tests > 1 else "lost"
        power = [lost_power(s, n, tests=tests, left=left) for s in shares]
        ax.semilogx(100 * shares, power, dash, c=colour, label=name)
    ax.axhline(.95, c=".6", lw=1)
    ax.set(xlabel="share of the data, %", ylabel="chance to see it", ylim=(0, 1.03),
           title=f"{n:,} samples, {n:,} unseen examples")
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.))
    return Picture(figure, f"With {n:,} samples a lost group of {smallest_loss(n):.2%} is seen "
                           "with a chance of 95 %")


# %%
counts = [100, 200, 500, 1000, 2000, 5000, 10_000]
film = Film([curves(n) for n in counts], [f"n = {n:,}" for n in counts])
film

# %%
film.widget.slider.value = 5
assert film.widget.image.value == film.frames[5].png
film.widget.slider.value = 0

# %% [markdown]
# ## How well it is calibrated
# The settings, 20 splits and ten degrees of freedom, were chosen on seeds of 100 and more. Then, on seeds from 0 up, `benchmarks/compare.py` compared two generators of one law, and generators with a known fault. The data is 25 modes in two dimensions, and MNIST digits in principal directions (those of all sets together). The picture shows for each setting the share of draws with any sure difference, and with a sure difference in each measure.

# %%
kept = recorded("compare").get("rates", [])


def draw_power():
    "A row for each setting: the share of draws with any sure difference, and in each measure."
    columns = ["any", *COMPARED]
    share = np.array([[row["any"], *row["power"].values()] for row in kept])
    figure, ax = axes(size=(6.6, .27 * len(kept) + 1.2))
    ax.imshow(share, cmap="Oranges", vmin=0, vmax=1.6, aspect="auto")
    for i, j in np.ndindex(share.shape):
        ax.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=9)
    ax.set(xticks=range(len(columns)), yticks=range(len(kept)), title="share of draws, %",
           yticklabels=[f"{row['setting']} ({row['draws']} draws)" for row in kept])
    ax.set_xticklabels(columns, rotation=35, ha="right")
    return Picture(figure, "Share of draws with a sure difference: rare for one law, and by the "
                           "measures that fit the fault where there is one")


draw_power() if kept else "not recorded here"

# %%
power = {row["setting"]: row["power"] | {"any": row["any"]} for row in kept}
if power:  # what the text below says
    assert .35 < power["MNIST, no fours, n = 500"]["any"] < .65
    assert power["MNIST, no fours, n = 2,000"]["any"] == 1
    for case, names in {"spread 10 % too small": ("density", "clipped density"),
                        "one lost": ("lost", "coverage"), "2 % junk": ("junk",)}.items():
        assert all(power[f"25 modes, {case}, n = 2,000"][name] > .5 for name in names)

# %% [markdown]
# No single measure finds all faults: a spread that is too small shows in density, a lost mode in *lost* and coverage, junk in *junk*. So read all rows. The number of samples matters as well: with 500 samples the loss of one digit of MNIST is found in about half of the draws, with 2,000 in all of them.
#
# The claim is about all pairs of one law together. It fails if the interval of the rate lies above 5 %.

# %%
from modelab.core.statistics import wilson_interval

sound = [row for row in kept if "one law" in row["setting"]]
if sound:
    draws = sum(row["draws"] for row in sound)
    rate = sum(row["any"] * row["draws"] for row in sound) / draws
    low, high = wilson_interval(rate, draws)
    ours = f"{rate:.3f} [{low:.3f}, {high:.3f}] of {draws} comparisons"
    made = claim("Two generators of one law are not told apart surely more often than in 5 %",
                 paper="this course", ours=ours, holds=low <= .05)
made if sound else "not recorded here"

# %% [markdown]
# How often does the interval hold the true difference, which is the mean over all draws? The upper ten rows are those of the recording above. For the lower rows `benchmarks/intervals.py` took 300 and 1,000 samples of 25 modes, twelve and forty of each mode, with four generators, and made 200 draws of each. Each dot is one measure. The grey bar is two standard errors around 95 %, for the number of draws of that setting. A dot to the left of the bar is an interval that is too short.

# %%
many, by_size = kept, {}
for row in recorded("intervals").get("compare", []):
    setting, measure = row["setting"].rsplit(": ", 1)
    rows = by_size.setdefault("1,000" in setting, [])
    if not rows or rows[-1]["setting"] != setting:
        rows.append({"setting": setting, "draws": row["draws"], "covers": {}})
    rows[-1]["covers"][measure] = row["held"]
small, large = by_size.get(False, []), by_size.get(True, [])

# %%
two_errors = lambda row: 2 * (.95 * .05 / row["draws"]) ** .5

def draw_covers():
    "A row for each setting: how often each measure's interval held the true difference."
    rows = many + large + small
    figure, ax = axes(size=(6, .28 * len(rows) + .8))
    for place, row in enumerate(rows):
        shares, error = list(row["covers"].values()), two_errors(row)
        ax.plot([.95 - error, min(1, .95 + error)], [place] * 2, c=".8", lw=7, zorder=0)
        ax.plot(shares, [place] * len(shares), "o", c=FAKE, ms=4, alpha=.6)
    ax.axvline(.95, c="k", lw=1, ls=":")
    names = [f"{row['setting']} ({row['draws']} draws)" for row in rows]
    ax.set(yticks=range(len(rows)), yticklabels=names, xlabel="share of intervals that hold it",
           ylim=(len(rows) - .5, -.5))
    return Picture(figure, "Of the rows with 500 samples or more two have a dot to the left of the "
                           "grey bar, those of MNIST without fours; with 300 samples more have "
                           "one, and one of them is near .75")


draw_covers() if many else "not recorded here"

# %%
lowest = lambda rows: min((share, measure, row["setting"]) for row in rows
                          for measure, share in row["covers"].items())
if many and small and large:
    short = [(row["setting"], name) for row in many + large
             for name, share in row["covers"].items() if share <= .95 - two_errors(row)]
    assert short == [(f"MNIST, no fours, n = {n}", "lost") for n in ("500", "2,000")]
    assert .8 < lowest(many)[0] < .9  # as the text says
    assert lowest(small)[0] < .85 and lowest(small)[1] == "lost"
    tried = recorded("intervals")["earlier"]["held"]  # the jackknife
    assert min(tried, key=tried.get).endswith("lost") and np.median(list(tried.values())) > .98
    print(lowest(many), lowest(large), lowest(small), sep="\n")

# %% [markdown]
# With 500 samples or more only one interval is too short by more than chance: that of *lost* where MNIST lacks a digit. It holds the true difference in 82 % and 88 % of the draws, for 500 and 2,000 samples. All others hold, without a fault and with the faults of 25 modes. With twelve examples in a mode the intervals of the two densities are too short in three of four settings, and that of *lost* is too short if a mode is lost. (There the dot of precision lies just beside the bar, too.) A jackknife that leaves out a twentieth at a time was tried instead. It held the differences there in nearly all draws, so it was much too long, but that in *lost* in 84 %. So read the intervals with care if a kind of example has fewer than forty examples, and that of *lost* where a whole kind of picture is lost. (Without a fault all held with twenty examples of each kind.) The p-value is exact for any number of samples.

# %% [markdown]
# ## The command
# `modelab compare` reads files and prints a sentence and a table. The exit status is 0 if nothing can be told apart, 1 if something can, and 2 for any error, such as bad input. So a script can check whether a new [checkpoint](../glossary.ipynb) differs from the last one.

# %%
#| export evaluation.compare_command
@register_command("compare")
def _compare_command(parser: argparse.ArgumentParser) -> Callable:
    """is generator A better than B? Exit status 0 cannot be told apart, 1 differ, 2 any error

    modelab compare a/ b/ --reference train/ --holdout test/ --out report.html
    modelab compare 100k.npy 200k.npy 300k.npy --reference train.npy --features inception
    """
    option = parser.add_argument
    option("samples", nargs="+", metavar="SAMPLES", help="what each generator makes: two or more "
           "folders of pictures, .npy, .npz:name, .pt, .csv, …")
    option("--reference", required=True, help="real examples")
    option("--holdout", help="real examples that no generator saw: says what perfect would score")
    reading_options(parser)
    option("--level", type=float, default=.05, help="chance of any false difference (0.05)")
    option("--most", type=int, default=5000, help="examples used of each file (default 5000)")
    option("--out", help="report to write, one HTML file that needs nothing else")
    option("--json", help="report to write as JSON")
    return _run_compare


# %% [markdown]
# Only as many rows are read as are used. A generator is called by the name of its file, or by its path where two names are equal. The words `reference` and `holdout` have a meaning of their own in the tables, so a folder of that name is called by its path. Characters that no text can hold are replaced.

# %%
#| export evaluation.compare_command
def _named(paths: list[str]) -> list[str]:
    "A short name for each path, all different."
    if len(paths) < 2:
        raise ValueError(f"samples: expected two or more files or folders, got {len(paths)}")
    short = [Path(path).name or path for path in paths]
    clear = len(set(short)) == len(short) and not {"reference", "holdout"} & set(short)
    names = short if clear else [str(Path(path).absolute()) for path in paths]
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise ValueError("samples: the same file was given twice")
    return [name.encode("utf-8", "replace").decode() for name in names]


# %% [markdown]
# Sources of unlike shapes are brought to one, as in [6.5](../6_workshop/05_readers.ipynb), and notes say what was done. The order of the examples in a file does not matter. Of large files only the rows that are used are read.

# %%
#| export evaluation.compare_command
def _open_all(args: argparse.Namespace) -> tuple[list[SampleFile | None], list[str]]:
    "The reference, the holdout or None, and all samples, of one shape; and what was converted."
    sources, notes = open_matched(args, args.reference, args.holdout, *args.samples)
    for source in filter(None, sources):
        least_examples(source.path.name, len(source), 40)
    return sources, notes


# %% [markdown]
# A table shows how large a difference is. A picture shows which generator is better. The measures have different scales, so all intervals are drawn with one width. A mark lies to the left if A is better, and to the right if B is better. If an interval crosses the line, the sign of the difference is not known.

# %%
#| export evaluation.compare_parts
def interval_picture(pair: Any) -> Picture:  # a `Comparison`
    "The difference in each measure with its interval, all drawn to one width."
    figure, ax = axes(size=(4.6, 2.7))
    ax.axvline(0, c="k", lw=1)
    for at, row in enumerate(reversed(pair.rows)):
        middle, half = (row.low + row.high) / 2, max((row.high - row.low) / 2, 1e-12)
        x = max(-8., min(8., middle / half)) * (1 if COMPARED[row.measure][0] else -1)
        colour = FAKE if row.differs else MISSING
        ax.plot([x - 1, x + 1], [at, at], c=colour, lw=2)
        ax.plot(x, at, "o", c=colour, mfc=colour if row.differs else "w")
    ax.set_yticks(range(len(pair.rows)), [row.measure for row in reversed(pair.rows)])
    ax.set(xlabel="← first better      second better →", xticks=[], xlim=(-9.5, 9.5))
    return Picture(figure, f"First: {pair.names[0]}, second: {pair.names[1]}. A filled mark is "
                           "a sure difference")


# %%
interval_picture(lost)

# %% [markdown]
# The page needs no other file. It has the frame of the audit's page ([6.17](../6_workshop/17_report.ipynb)): it is readable in the dark and on a phone, and every name is escaped. Of many pairs the first ten are drawn.

# %%
#| export evaluation.compare_parts
def comparison_document(found: Any) -> bytes:  # a `Comparison`, or `Comparisons`
    "A comparison as a file that a browser opens: offline, dark or light, wide or narrow."
    pairs = getattr(found, "pairs", [found])
    charts = "".join(chart(interval_picture(pair)) for pair in pairs[:10])
    cite = f"<p><small>To cite: {escape(found.protocol)}</small></p>"
    return html_file("modelab compare", f'<div class="modelab-audit"><style>{STYLE}</style>'
                                        f"{found._repr_html_()}{charts}{cite}</div>")


# %% [markdown]
# `save` writes this page, or all numbers as JSON, from Python.

# %%
#| export
@patch
def save(self: Comparison, path: str | Path) -> None:
    "Write the comparison as .html, one file that needs nothing else, or as .json."
    save_document(path, lambda folder: comparison_document(self), self.to_json)


# %% [markdown]
# Several generators have the same method.

# %%
#| export
@patch
def save(self: Comparisons, path: str | Path) -> None:
    "Write all comparisons as .html, one file that needs nothing else, or as .json."
    save_document(path, lambda folder: comparison_document(self), self.to_json)


# %% [markdown]
# Options are checked before the work starts: numbers, the paths of reports, and packages that a page needs. A report may not overwrite a file that is read.

# %%
#| export evaluation.compare_command
def _check_options(args: argparse.Namespace) -> None:
    "Refuse what cannot be meant and reports that cannot be written."
    check_int("--most", args.most, 40)
    check_number("--level", args.level, 0, .5, above=0)
    inputs = (*args.samples, args.reference, args.holdout, args.features)
    check_outputs(inputs, ("matplotlib", "seaborn"), out=args.out, json=args.json)
    made = {f"samples {path}": path for path in args.samples}
    check_holdout(args.holdout, reference=args.reference, **made)


# %% [markdown]
# The whole command:

# %%
#| export evaluation.compare_command
def _run_compare(args: argparse.Namespace) -> int:
    "What `modelab compare` does; returns the exit status."
    _check_options(args)
    names = _named(args.samples)
    memory, features = memory_bytes(args.memory), command_features(args)
    (reference, holdout, *made), notes = _open_all(args)
    options = dict(features=features, level=args.level, most=args.most, memory=memory)
    if len(made) == 2:
        found = compare(*made, reference, holdout, names=tuple(names), **options)
    else:
        found = compare_all(dict(zip(names, made)), reference, holdout, **options)
    found.notes[:] = dict.fromkeys([*notes, *found.notes, *getattr(features, "notes", [])])
    if args.json is not None:
        text = json.dumps(found.to_json(), indent=1) + "\n"
        write_report("--json", args.json, text.encode())
    if args.out is not None:
        write_report("--out", args.out, comparison_document(found))
    print(utf8_text(str(found)))
    return found.status


# %%
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from modelab.__main__ import main

folder = tempfile.TemporaryDirectory()
for name, x in (("old", a[:400]), ("new", 1.1 * b[:400]), ("train", real[:400])):
    np.save(f"{folder.name}/{name}.npy", x.numpy())
old, new, train = (f"{folder.name}/{name}.npy" for name in ("old", "new", "train"))
page, record = (Path(folder.name, name) for name in ("page.html", "pair.json"))
with redirect_stdout(StringIO()) as printed:
    status = main(["compare", old, new, "--reference", train, "--out", str(page),
                   "--json", str(record)])
page, rows = page.read_bytes(), json.loads(record.read_text())["rows"]
assert status == 1 and b"http" not in page and len(page) < 2e6
assert [row["measure"] for row in rows if not row["differs"]] == ["Fréchet distance"]
print("\n".join(printed.getvalue().split("\n")[:3]))  # a row for each measure follows
status

# %% [markdown]
# The new samples are stretched by a tenth, so most of them lie beside their modes. Eight of the nine measures show this. The Fréchet distance does not: with 400 samples its change may be chance, because it uses the mean and the covariance only.

# %% [markdown]
# ## In your own code
# Generator B draws from a law that is too narrow. Expect it to look more real by precision, and A to cover more by recall. Each set may also be a `DataLoader`, a `Dataset`, a table or a path, as for [the audit](02_audit.ipynb). `found.save("report.html")` writes the table and the picture as a page.

# %%
torch.manual_seed(0)
real, a, b = torch.randn(3, 300, 8)
found = compare(a, .7 * b, real)
assert found["precision"].differs and found["precision"].better == 1
assert found["recall"].differs and found["recall"].better == 0
found.status, found.verdict, samples_needed(.05)

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.compare import grade_size, grade_holm, grade_made

# %% [markdown]
# **1.** (medium, 10 minutes) A class holds 2 % of the data. You have as many unseen real examples as samples, and this class is the only one that you test. About how many samples do you need to find its loss with a chance of 95 %? Use $p\approx2^{-Y}$ and a Poisson law before you call the function.
#
# <details><summary>Hint</summary>
#
# How many unseen members $Y$ make $2^{-Y}\le.05$? Which mean makes a Poisson number at least this large with a chance of .95?
#
# </details>

# %%
answer = ...
grade_size(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Five members are needed. A Poisson number with mean 9.15 is at least five with a chance of .95. So 2 % of $n$ must be 9.15.
#
# ```python
# answer = 9.15 / .02
# ```
#
# `samples_needed(.02)` gives the exact number.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `holm(p)`: the p-values of a list, adjusted by Holm's rule, in the same order as the list. The formula stands in [4.2](02_audit.ipynb).
#
# <details><summary>Hint</summary>
#
# Go through the p-values from the smallest. Each is multiplied by the number of those that are left. An adjusted value is never smaller than one before it, and never above 1.
#
# </details>

# %%
def holm(p):
    ...

answer = holm
grade_holm(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def holm(p):
#     adjusted, largest = [0.] * len(p), 0.
#     for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
#         largest = max(largest, min(1., (len(p) - place) * p[i]))
#         adjusted[i] = largest
#     return adjusted
#
# answer = holm
# ```
#
# </details>

# %% [markdown]
# **3.** (hard, 20 minutes) Make samples that have a smaller Fréchet distance than those of a perfect generator, and are surely worse by precision. Write `made(real)`, a function of 400 real examples from the grid of 25 modes, `(400, 2)`.
#
# <details><summary>Hint</summary>
#
# The Fréchet distance uses the mean and the covariance only. Draw from a normal law, and then give the draw exactly the mean and the covariance of the real examples.
#
# </details>

# %%
def made(real):
    ...

answer = made
grade_made(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def made(real):
#     x = torch.randn(len(real), 2, generator=torch.Generator().manual_seed(7)).double()
#     x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
#     return real.mean(0) + x @ torch.linalg.cholesky(torch.cov(real.T)).T
#
# answer = made
# ```
#
# After the second line $x$ has mean 0 and the identity as its covariance. The last line gives it those of the real examples, so the Fréchet distance is 0 up to rounding. But most samples lie between the modes.
#
# </details>

# %% [markdown]
# ## Recap
# - Two numbers without an interval do not show a difference: two perfect generators differ, too. The p-value decides whether there is a difference. The interval says how large it may be.
# - If both generators have one law, their labels may be shuffled. This test is exact for every measure.
# - The bootstrap repeats examples, and the jackknife is proven for smooth measures only. So both are doubtful for measures with nearest neighbours. Splits in halves repeat no example and need no smoothness. They need enough examples: a half must look like a small version of the whole.
# - Use the same number of samples for both. Fréchet distance, recall and coverage depend on the number.
# - "No difference" depends on the number of samples: `smallest_loss` says which loss would have been found.
#
# **For later.**
#
# 1. Why do terms of second order cancel at the law of the pool?
# 2. The reference may be the training set of A alone. Then the p-value is still exact, but the comparison is unfair. Why?
# 3. Why do small groups need no share of the level?
#
# <details><summary>Answers</summary>
#
# 1. A is the pool plus a small change, and B is the pool less the same change. A term of second order has the same value for both signs, so it cancels in the difference.
# 2. If A and B have one law, their labels may be shuffled for any fixed reference. But a reference that only A was trained on may be nearer to A. Then the difference that is found is real, but it is a difference in closeness to the training data of A.
# 3. The smallest p-value of such a group is above its limit. So it can never raise a false alarm, and nothing must be paid for it.
#
# </details>
#
# **References.** M. Heusel et al., *GANs trained by a two time-scale update rule converge to a local Nash equilibrium*, NeurIPS 2017. M. F. Naeem et al., *Reliable fidelity and diversity metrics for generative models*, ICML 2020. N. Salvy, H. Talbot, B. Thirion, *Enhanced generative model evaluation with clipped density and coverage*, 2025. R. E. Tarone, *A modified Bonferroni method for discrete data*, Biometrics 1990. S. Holm, *A simple sequentially rejective multiple test procedure*, 1979.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.compare
"Graders of chapter 4.5."
import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import grid
from modelab.evaluation.attributes import holm_adjusted
from modelab.evaluation.compare import compare
from modelab.evaluation.power import samples_needed

# %%
#| export course.graders.compare
@exercise(accepts=[458, 455, 470], rejects=[50, 150, 250, 5000, "x"])
def grade_size(answer):
    assert abs(as_number(answer) / samples_needed(.02) - 1) < .05, \
        "how many unseen members are needed, and which mean makes at least so many likely?"

# %%
#| export course.graders.compare
def stepwise(p, rising=True, cut=True, first=0, same=False):
    "Holm's rule, and wrong ones by the options."
    out, largest = [0.] * len(p), 0.
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        value = (len(p) if same else len(p) - place - first) * p[i]
        value = min(1., value) if cut else value
        largest = max(largest, value) if rising else value
        out[i] = largest
    return out

# %%
#| export course.graders.compare
@exercise(accepts=[stepwise, lambda p: holm_adjusted(list(p))],
          rejects=[lambda p: stepwise(p, rising=False), lambda p: stepwise(p, cut=False),
                   lambda p: stepwise(p, first=1), lambda p: stepwise(p, same=True),
                   lambda p: sorted(stepwise(p)), lambda p: list(p)])
def grade_holm(holm):
    for p in ([.01, .04, .03], [.6, .9, .2, .001], [.03, .031, .032], [.2]):
        found = [as_number(value) for value in holm(list(p))]
        assert len(found) == len(p), "one value for each p-value"
        assert max(found) <= 1, "a p-value is at most 1"
        assert all(abs(a - b) < 1e-9 for a, b in zip(found, holm_adjusted(p))), \
            f"{p}: check the factors, that values never fall, and the order"

# %%
#| export course.graders.compare
def bags(seed: int, n: int, count: int) -> list[torch.Tensor]:
    "Sets of one law: 25 modes."
    g = torch.Generator().manual_seed(seed)
    return [grid().sample(n, generator=g).double() for _ in range(count)]

# %%
#| export course.graders.compare
def normal_of(real):
    "A normal draw with exactly the mean and the covariance of the real examples."
    x = torch.randn(len(real), 2, generator=torch.Generator().manual_seed(7)).double()
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return real.mean(0) + x @ torch.linalg.cholesky(torch.cov(real.T)).T

# %%
#| export course.graders.compare
@exercise(accepts=[normal_of], rejects=[lambda real: real, lambda real: real + 1,
                                        lambda real: bags(5, 400, 1)[0]])
def grade_made(made):
    real, honest = bags(3, 400, 2)
    found = compare(honest, made(real), real, rounds=99)
    assert found["Fréchet distance"].better == 1, "the perfect one is nearer by Fréchet distance"
    row = found["precision"]
    assert row.better == 0 and row.p < .05, "precision is not surely worse"
