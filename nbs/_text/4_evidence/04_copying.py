# %% [markdown]
# # Detect copied training data
# > Does this generator copy its training data, or does it only stay close to it?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Does this generator copy its training examples, perhaps moved, mirrored or dimmed, or does it only stay close to them? |
# | **You will be able to** | test samples for copies and for transformed copies, tell a timid generator from one that copies, and list each copy with its original |
# | **Papers** | Meehan, Chaudhuri, Dasgupta 2020 (data copying, C_T); Alaa et al. 2022 (authenticity); Carlini et al. 2023 (distance relative to other neighbours) |
# | **Needs** | [4.2](02_audit.ipynb) |
# | **Time** | less than a minute of computing |

# %%
#| default_exp evaluation.copies

# %%
#| export
"Copying told from closeness: copies, transformed copies and timid samples, with exact tests."
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from modelab.core.checks import check_int
from modelab.core.seeding import generator_or_default
from modelab.core.signatures import checked, Count, Real, Samples, Whole
from modelab.data.readers import index_parts
from modelab.evaluation.copy_report import CopyFinding, CopyMatch, CopyReport
from modelab.evaluation.copying import (authentic_share, check_spread, copying_z, ExampleSource,
                                        FeatureRows, flat_rows, nearest_rows)
from modelab.evaluation.excess import ShareInterval
from modelab.evaluation.feature_networks import FeatureChoice
from modelab.evaluation.neighbours import MAX_BYTES
from modelab.evaluation.picture_search import (searchable, change_name, changed_scores,
                                               PictureSearch, shrunk, transformed_test,
                                               TransformedRatios)
from modelab.evaluation.ratio_test import group_finder, near_ratio, ratio_test, relevant_scores

# %%
#| export evaluation.ratio_test
"The test of ratios of distances: too many samples with one training example much nearer."
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from modelab.evaluation.copying import flat_rows, spaced_rows
from modelab.evaluation.excess import excess_chance, excess_share, ShareInterval

# %%
#| export evaluation.picture_search
"The search for training pictures that were moved, mirrored, cropped, or given another brightness."
from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from modelab.core.checks import check_int
from modelab.core.signatures import checked, Whole
from modelab.data.readers import index_parts, show_parts
from modelab.evaluation.copying import ExampleSource, spaced_rows
from modelab.evaluation.excess import ShareInterval
from modelab.evaluation.neighbours import MAX_BYTES
from modelab.evaluation.ratio_test import near_ratio, ratio_test, relevant_scores

# %%
#| export evaluation.excess
"More samples than held-out data among extreme points: an exact chance, and the share."
from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from torch import Tensor

from modelab.core.checks import check_int
from modelab.core.signatures import Bools, checked, Count, Index, Labels
from modelab.core.statistics import wilson_interval

# %%
#| export evaluation.copy_report
"What a search for copies found: findings, pairs of sample and training example, numbers, JSON."
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

# %%
import torch.nn.functional as F

from modelab.core.checks import error_message
from modelab.core.plotting import axes, FAKE, image_grid, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, fast_mode, recorded, recorded_pictures, steps
from modelab.course.notebooks import patch
from modelab.data.pictures import faces
from modelab.evaluation.copying import authenticity, nearest_k
from modelab.evaluation.excess import excess_chance, excess_share
from modelab.evaluation.features import train_picture_encoder

# %% [markdown]
# ## Four generators, and which of them copy
# The 1,797 real scans of digits are split into three sets, as in [4.2](02_audit.ipynb): training data, held-out data, and the samples of a perfect generator. From the perfect generator we make three others.
#
# - **timid**: every sample is moved three tenths of the way to the mean of its class. Nothing is copied.
# - **copies**: a tenth of the samples are training scans.
# - **moved copies**: three tenths are training scans, moved by one pixel.

# %%
from sklearn.datasets import load_digits

g = torch.Generator().manual_seed(1)
scans, classes = (torch.as_tensor(v) for v in (load_digits().images / 16, load_digits().target))
order = torch.randperm(len(scans), generator=g)
train, unseen, perfect = scans[order].float()[:, None].split([599, 599, 599])
label = dict(zip(("train", "unseen", "perfect"), classes[order].split([599, 599, 599])))


# %%
def moved(x, down: int, right: int):
    "Pictures moved by whole pixels; what comes in is black."
    top, left = max(down, 0), max(right, 0)
    low, far = max(-down, 0), max(-right, 0)
    x = x[..., low:x.shape[-2] - top, far:x.shape[-1] - left]
    return F.pad(x, (left, far, top, low))


# %%
def with_copies(share: float, change=lambda x: x):
    "The perfect generator, with a share of training scans that `change` was applied to."
    x, count = perfect.clone(), round(share * len(perfect))
    x[:count] = change(train[torch.randperm(len(train), generator=g)[:count]])
    return x


# %%
means = torch.stack([train[label["train"] == c].mean(0) for c in range(10)])
pulled = lambda strength: perfect + strength * (means[label["perfect"]] - perfect)
made = {"perfect": perfect, "timid": pulled(.3), "copies": with_copies(.1),
        "moved copies": with_copies(.3, lambda x: moved(x, 0, 1))}

# %% [markdown]
# The usual measures look at closeness. $C_T$ ranks the distances to the training data; a value far below 0 is called copying. The **distance to the closest record** (DCR) of a sample is its distance to the nearest training example; its median is reported. Authenticity is that of [4.2](02_audit.ipynb).
#
# **Predict:** for which of the four generators will these measures report copying?

# %%
def usual(x) -> tuple[float, float, float]:
    "One-cell C_T, median DCR and authenticity."
    near = nearest_k(x, train)[0].median().item()
    return copying_z(x, train, unseen), near, authenticity(x, train)


by_usual = {name: usual(x) for name, x in (made | {"held out": unseen}).items()}
for name, (z, near, authentic) in by_usual.items():
    print(f"{name:13} one-cell C_T {z:+5.1f}   median DCR {near:.2f}   authentic {authentic:.2f}")

# %%
order_of = ("timid", "copies", "perfect", "moved copies")  # by each of the three measures
assert all(list(column) == sorted(column) for column in zip(*(by_usual[k] for k in order_of)))

# %% [markdown]
# By these measures the timid generator looks worse than the one that copies a tenth of its samples. The moved copies look better than the perfect generator. A picture that is moved by one pixel is far from all training pictures, also from its original. A sample may be close to the training data because it lies where the data is dense. So closeness alone does not show copying.
#
# ## One example much nearer than the next
# A copy is near to *one* training example and not to the others. A timid sample is near to many. So we compare the nearest distance with the $k$-th nearest one:
# $$r_k(x)=\frac{d_{(1)}(x)}{d_{(k)}(x)},\qquad d_{(1)}\le d_{(2)}\le\dots\ \text{the distances of}\ x\ \text{to the training examples.}$$
# The ratio is 0 for a copy. It is closer to 1 if no training example is much nearer than the others. With $k=2$ it is called the *nearest neighbour distance ratio* (NNDR). We take $k=5$: then a copy is found even if the training set holds its original four times.
#
# Examples may be a tensor, an array, or a file that is larger than memory (`ExampleSource` of [4.2](02_audit.ipynb)).

# %%
ExampleSource("n *event").check("x", (255 * train[:3]).byte()).dtype

# %% [markdown]
# `nearest_rows` of [4.2](02_audit.ipynb) searches all of the training data, in parts that fit into `max_bytes`. The distances are the same for one part and for many.

# %%
whole, parts = (nearest_rows(perfect, train, 5, max_bytes=size) for size in (1 << 27, 1 << 16))
assert torch.equal(whole[0], parts[0])  # where two are as near, either may be named
whole[0][:2]


# %% [markdown]
# `near_ratio` computes the ratio from sorted distances. Features have rounding errors, so a ratio below a millionth counts as 0.

# %%
#| export evaluation.ratio_test
def near_ratio(distance: Tensor) -> Tensor:  # (n, k), ascending, to training examples
    "The nearest distance over the k-th; 0 below 1e-6, or where even the k-th is 0."
    ratio = distance[:, 0] / distance[:, -1].clamp(min=1e-12)
    return torch.where(ratio < 1e-6, 0., ratio)


# %%
near_ratio(torch.tensor([[1., 1, 2, 2, 2], [1e-9, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).double())


# %% [markdown]
# For everyday use, in one call:

# %%
#| export
@checked
def copy_ratio(x: Annotated[Tensor, ExampleSource("n *event")],
               train: Annotated[Tensor, ExampleSource("train *event", 2)],
               k: Annotated[int, Whole(2)] = 5,  # compare with the k-th nearest
               *, max_bytes: Annotated[int, Whole(1 << 16)] = MAX_BYTES,
               ) -> Tensor:  # (n,) float64
    """Distance to the nearest training example over that to the k-th nearest.

    0 for a copy, towards 1 for an example that is not nearer to one than to others.
    """
    return near_ratio(nearest_rows(x, train, k, max_bytes=max_bytes)[0])


# %% [markdown]
# The equation against the code, for one sample and by hand:

# %%
d = (perfect[:1].double() - train.double()).flatten(1).norm(dim=1).sort().values
assert torch.allclose(copy_ratio(perfect[:1], train), d[0] / d[4])
d[:5]

# %%
figure, ax = axes(size=(4.6, 2.4))
sets = {"held out": unseen, **{name: made[name] for name in ("timid", "copies")}}
ratios = {name: copy_ratio(x, train).sort().values for name, x in sets.items()}
for (name, ratio), colour, dash in zip(ratios.items(), (REAL, "k", FAKE), ("-", ":", "--")):
    ax.plot(ratio, torch.linspace(0, 1, len(ratio)), dash, c=colour, label=name)
ax.set(xlabel="ratio of the nearest to the fifth distance", ylabel="share of samples below")
ax.legend()
assert ratios["timid"].median() > ratios["held out"].median()
assert abs((ratios["copies"] == 0).double().mean() - .1) < .01
Picture(figure, "The ratios of the timid generator are larger than held-out ones; "
                "of the copies a tenth is at 0")

# %% [markdown]
# ## An exact test
# If the generator is perfect, its samples and the held-out data are exchangeable ([4.2](02_audit.ipynb)). Take the points of the pool with the smallest ratios; we call them *extreme*. In a group of $N$ points with $n$ samples, the number of samples among its $e$ extreme points has the hypergeometric law.
#
# There is one difficulty. The ratio is smaller where the data has few degrees of freedom: ones are nearly a line, eights are not. A generator that makes too many ones has many small ratios although it copies nothing. So the labels are shuffled *within* groups of similar examples. The chance is that of the sum over the groups,
# $$p=P\Big(\sum_c X_c\ge \text{seen}\Big),\qquad X_c\sim\text{Hypergeometric}(N_c,n_c,e_c)\ \text{independent}.$$
# K-means finds the groups in real data alone, with about 50 examples in each and at most 64 groups.

# %%
#| export evaluation.ratio_test
PER_GROUP = 50  # real examples to a group of k-means, on average


# %% [markdown]
# K-means is fitted in at most 32 main directions, so that wide examples cost little. A group with few held-out examples shows little. So if you say how many held-out examples there are, there is at most one group for 50 of them. A group that gets less than half as many real examples as usual is joined to its neighbours.

# %%
#| export evaluation.ratio_test
def group_finder(real: Tensor, unseen: int | None = None) -> Callable[[Tensor], Tensor]:
    "Groups of similar examples, fitted on real ones: from examples to the number of their group."
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import pairwise_distances_argmin
    values = flat_rows(spaced_rows(real, 5000)).numpy()
    width = min(32, *values.shape)
    pca = PCA(width, svd_solver="randomized", random_state=0).fit(values)
    rows = pca.transform(values)
    count = min(64, min(len(values), len(real) if unseen is None else unseen) // PER_GROUP)
    count = max(1, min(count, len(np.unique(rows, axis=0))))
    means = KMeans(count, n_init=1, random_state=0).fit(rows)
    large = np.bincount(means.labels_, minlength=count) >= len(values) / count / 2
    centers = means.cluster_centers_[large]
    return lambda x: torch.as_tensor(
        pairwise_distances_argmin(pca.transform(flat_rows(x).numpy()), centers)).long()


# %%
groups = group_finder(train)
ones = groups(train[label["train"] == 1]).bincount(minlength=11)
ones  # how the ones of the training data are spread over the groups


# %% [markdown]
# The law of the sum is the convolution of the laws of the groups. A p-value is never 0, so the smallest number that is stored is:

# %%
#| export evaluation.excess
LEAST_P = 1e-305  # a p-value is never stored as 0


# %% [markdown]
# The convolution:

# %%
#| export evaluation.excess
@checked
def excess_chance(extreme: Annotated[Tensor, Bools("pool")],  # the points that are counted
                  is_sample: Annotated[Tensor, Bools("pool")],
                  group: Annotated[Tensor, Labels("pool")],  # labels are shuffled within groups
                  ) -> float:
    "Chance of so many samples among the extreme points if labels were shuffled within groups."
    from scipy.stats import hypergeom
    law, seen = np.ones(1), int((extreme & is_sample).sum())
    for which in group[extreme].unique():
        here = group == which
        n, e = int((here & is_sample).sum()), int((here & extreme).sum())
        law = np.convolve(law, hypergeom.pmf(np.arange(e + 1), int(here.sum()), n, e))
    return min(1., max(LEAST_P, float(law[seen:].sum())))


# %% [markdown]
# **Fidelity.** With one group it is the hypergeometric chance. With two groups it agrees with shuffled labels.

# %%
from scipy.stats import hypergeom

mine = torch.arange(200) < 100
some = (torch.rand(200, generator=g) < torch.where(mine, .3, .2))
one = excess_chance(some, mine, torch.zeros(200).long())
assert abs(one - hypergeom.sf(int((some & mine).sum()) - 1, 200, 100, int(some.sum()))) < 1e-12
half = torch.randint(2, (200,), generator=g)


# %%
def shuffled(within):
    "The labels, shuffled within groups."
    out = mine.clone()
    for which in (0, 1):
        at = (within == which).nonzero()[:, 0]
        out[at] = mine[at[torch.randperm(len(at), generator=g)]]
    return out


hits = torch.stack([(some & shuffled(half)).sum() for _ in range(4000)])
exact, drawn = excess_chance(some, mine, half), (hits >= (some & mine).sum()).double().mean()
assert abs(exact - drawn) < .03
exact, drawn.item()

# %% [markdown]
# Three shares of the pool are tried as extreme points, so the smallest chance is multiplied by three.

# %%
#| export evaluation.ratio_test
COPY_SHARES = .01, .05, .2  # of the pool that is looked at, smallest scores first


# %% [markdown]
# The test itself:

# %%
#| export evaluation.ratio_test
def smallest_chance(score: Tensor, is_sample: Tensor, group: Tensor) -> float:
    "p-value of too many samples among the smallest scores; an infinite score never counts."
    tried = []
    for part in COPY_SHARES:
        count = max(1, round(part * len(score)))
        extreme = (score <= score.kthvalue(count).values) & score.isfinite()  # with all its ties
        tried.append(excess_chance(extreme, is_sample, group) if extreme.any() else 1.)
    return min(1., len(COPY_SHARES) * min(tried))


# %% [markdown]
# With thousands of samples even a tiny shift of the ratios is significant. But a ratio of .92 where .95 is usual does not mean a copy. So a point counts only if its ratio is at most half of a usual one. The usual ratio is a high quantile of the pool, such that it is a held-out value even if all samples are copies. The rule is the same for samples and held-out data, so the test stays exact.

# %%
#| export evaluation.ratio_test
NEARER = .5


# %% [markdown]
# Scores beyond that bound become infinite, and what is infinite never counts:

# %%
#| export evaluation.ratio_test
def relevant_scores(score: tuple[Tensor, Tensor],
                    usual: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    "Scores of samples and held-out data; infinite where they are near to the usual ratio."
    both = torch.cat(usual)
    middle = len(both) - len(usual[1]) // 2  # of the held-out data, if that has the largest ratios
    bound = NEARER * both.kthvalue(max(1, middle)).values
    return tuple(torch.where(x <= bound, x, math.inf) for x in score)


# %%
def chance(x, grouped: bool = True):
    "The p-value of the ratios of x against held-out ones."
    both = torch.cat([x, unseen])
    group = groups(both) if grouped else torch.zeros(len(both)).long()
    ratio = copy_ratio(both, train).split([len(x), len(unseen)])
    score = torch.cat(relevant_scores(ratio, ratio))
    return smallest_chance(score, torch.arange(len(both)) < len(x), group)


chances = {name: chance(x) for name, x in made.items()}
assert chances["copies"] < 1e-6 and all(p > .05 for k, p in chances.items() if k != "copies")
{name: f"{p:.2g}" for name, p in chances.items()}

# %% [markdown]
# The copies are found, and the timid generator is not accused of copying. In the picture its ratios are larger than those of held-out scans, not smaller. The moved copies are not found yet.
#
# This example shows why groups are needed. The data has two kinds, one in a plane and one in twenty dimensions. The generator makes fresh samples of both, but too many of the first kind.

# %%
def two_kinds(n: int, share: float):
    "Points of which a share lies in a plane, the others in twenty dimensions far from it."
    x = torch.randn(n, 20, generator=g)
    flat = torch.arange(n) < share * n
    x[flat, 2:] = 0
    x[~flat] += 20
    return x

known, new, unbalanced = two_kinds(600, .5), two_kinds(600, .5), two_kinds(600, .8)
score, who = copy_ratio(torch.cat([unbalanced, new]), known), torch.arange(1200) < 600
kinds = group_finder(known)(torch.cat([unbalanced, new]))
alone, within = (smallest_chance(score, who, group) for group in (0 * kinds, kinds))
assert alone < .001 and within > .05
f"without groups p = {alone:.1g}, with groups p = {within:.1g}"

# %% [markdown]
# ## How many copies
# The test says whether there are copies. How many are there? A sample *counts* if its ratio is among the smallest twentieth of the held-out ratios. Let $a$ be the share of the samples that count, and $b$ the share of the held-out data. Suppose that a share $\pi$ of the samples are copies that all count, and that the others count as often as held-out data does. Then $a=\pi+(1-\pi)\,b$, so
# $$\pi=1-\frac{1-a}{1-b}.$$
# Copies that do not count are missed, so $\pi$ is the share of copies that count. A report says *at least* for the lower end of its interval only. The interval combines the Wilson intervals of $1-a$ and $1-b$ to one of their ratio (Donner, Zou 2012) and is cut to $[0, 1]$.

# %%
#| export evaluation.excess
class ShareInterval(NamedTuple):
    "A share with an interval of at least 95 %, all between 0 and 1."
    share: float
    low: float
    high: float


# %% [markdown]
# In code, with the counts:

# %%
#| export evaluation.excess
@checked
def excess_share(hits: Index, n: Count,  # samples that count, of how many
                 expected: Index, m: Count,  # held-out examples that count, of how many
                 ) -> ShareInterval:
    "Share of samples that count beyond what held-out data would: 1 - (1 - a) / (1 - b)."
    hits, expected = check_int("hits", hits, 0, n), check_int("expected", expected, 0, m)
    if expected == m:  # all of the held-out data counts: nothing can be beyond it
        return ShareInterval(0., 0., 1.)
    a, b = 1 - hits / n, 1 - expected / m
    (a_low, a_high), (b_low, b_high) = wilson_interval(a, n), wilson_interval(b, m)
    down = (a * b) ** 2 - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    up = (a * b) ** 2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    small = (a * b - max(down, 0.) ** .5) / (b_high * (2 * b - b_high))
    large = (a * b + max(up, 0.) ** .5) / (b_low * (2 * b - b_low))
    cut = lambda value: min(1., max(0., 1 - value))
    return ShareInterval(cut(a / b), cut(large), cut(small))


# %% [markdown]
# Does the interval hold the true share in 95 % of cases, or more? We try four true shares, with 2,000 draws each. The standard error of a share of 2,000 is half a percentage point.

# %%
def holds(share: float, n: int = 600) -> float:
    "How often the interval holds the true share."
    a = torch.full((2000,), share + (1 - share) * .05)
    drawn = zip(*(torch.binomial(torch.full((2000,), float(n)), p, generator=g).int().tolist()
                  for p in (a, torch.full((2000,), .05))))
    found = [excess_share(hits, n, expected, n) for hits, expected in drawn]
    return sum(f.low <= share <= f.high for f in found) / 2000


covered = {share: holds(share) for share in (0., .02, .1, .5)}
assert min(covered.values()) > .95 - 2 * (.95 * .05 / 2000) ** .5 and covered[0] > .97
covered

# %% [markdown]
# If there are no copies, the share is at its limit 0, and the interval misses it only from one side. So the interval holds the true share more often. A report says *≥ 95 %*.
#
# ## Copies that were changed
# If a training picture is moved by one pixel, its distance to the original is large. So we search over a list of **changes** $c$: small moves, the mirror, and crops. Each change is undone, and the distance of a sample $x$ to a training picture $y$ is the smallest over the list,
# $$\tilde d(x,y)=\min_c\,\big\|s\big(w(c^{-1}x)\big)-s\big(w(y)\big)\big\|,\qquad \tilde r(x)=\tilde d_{(1)}(x)\,/\,\tilde d_{(5)}(x).$$
# $w$ takes a window in the middle, so that the border, where a move brings in new pixels, does not count. $s$ subtracts the mean and divides by the length, which removes brightness and contrast. Pictures larger than 32 pixels are first made smaller.

# %%
#| export evaluation.picture_search
SEARCH_SIDE = 32  # pictures are shrunk to this for the search


# %% [markdown]
# A change has a name that a report can show:

# %%
#| export evaluation.picture_search
class PictureChange(NamedTuple):
    "What was done to a training picture; the search undoes it."
    mirror: bool
    zoom: float  # the share of the side that a crop kept
    down: int  # pixels, after shrinking
    right: int

    def __str__(self) -> str:
        said = ["mirrored"] * self.mirror + [f"cropped to {self.zoom:.0%}"] * (self.zoom < 1)
        if self.down or self.right:
            said.append(f"moved by ({self.down}, {self.right})")
        return ", ".join(said) or "in place"


# %% [markdown]
# The largest move is a fourteenth of the side, and at least one pixel: one for 8×8, two for 28×28.

# %%
#| export evaluation.picture_search
def _largest_move(side: int) -> int:
    "The largest move that is searched, in pixels."
    return max(1, round(side / 14))


# %% [markdown]
# The first entry of the list is no change, for copies that stand as they are.

# %%
#| export evaluation.picture_search
@checked
def picture_changes(side: Annotated[int, Whole(6)]) -> list[PictureChange]:
    "The changes that are searched for pictures whose shorter side is `side`; the first is none."
    most = _largest_move(side)
    fine, coarse = range(-most, most + 1), (-most, 0, most)
    found = [PictureChange(mirror, zoom, down, right) for mirror in (False, True)
             for zoom in (1., .9, .8) for down in (fine if zoom == 1 else coarse)
             for right in (fine if zoom == 1 else coarse)]
    return sorted(found, key=lambda change: change != (False, 1., 0, 0))


# %%
changes = picture_changes(8)
len(changes), len(picture_changes(28)), str(changes[0]), str(changes[-1])


# %% [markdown]
# Large pictures are made smaller with an anti-aliasing filter.

# %%
#| export evaluation.picture_search
def shrunk(x: Tensor, side: int = SEARCH_SIDE) -> Tensor:
    "Pictures (n, c, h, w) or (n, h, w) as (n, c, h, w), with a shorter side of at most `side`."
    x = (x[:, None] if x.ndim == 3 else x).float()
    height, width = x.shape[2:]
    if min(height, width) <= side:
        return x
    scale = side / min(height, width)
    size = round(height * scale), round(width * scale)
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


# %% [markdown]
# Only pictures are searched. Points and tables cannot be moved or mirrored.

# %%
#| export evaluation.picture_search
def searchable(shape: tuple[int, ...]) -> bool:
    "Whether examples of a source of this shape are pictures: (n, h, w) or (n, 1, 3 or 4, h, w)."
    channels = len(shape) == 3 or len(shape) == 4 and shape[1] in (1, 3, 4)
    return channels and min(shape[-2:]) >= 6


# %%
assert searchable(train.shape) and not searchable((5, 2)) and not searchable((5, 4, 4))
shrunk(torch.rand(2, 3, 64, 96, generator=g)).shape


# %% [markdown]
# Brightness and contrast are divided out:

# %%
#| export evaluation.picture_search
def _standardised(x: Tensor) -> Tensor:
    "Rows about their mean, of length one: brightness and contrast are gone."
    x = x - x.mean(-1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)


# %% [markdown]
# The window in the middle leaves room for the largest move on every side.

# %%
#| export evaluation.picture_search
def _middle(x: Tensor, down: int = 0, right: int = 0) -> Tensor:
    "The window in the middle of pictures, moved: (n, values)."
    most = _largest_move(min(x.shape[2:]))
    height, width = (size - 2 * most for size in x.shape[2:])
    return x[..., most + down:most + down + height, most + right:most + right + width].flatten(1)


# %% [markdown]
# A crop enlarges a part of the picture to the size of the whole. To undo it, the sample is made smaller, and its border is continued outward.

# %%
#| export evaluation.picture_search
def _zoomed_out(x: Tensor, zoom: float) -> Tensor:
    "Pictures shrunk by `zoom`, in the middle of a canvas of the old size; the border goes on."
    if zoom == 1:
        return x
    size = [round(side * zoom) for side in x.shape[2:]]
    small = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    (high, low), (left, right) = [((old - new) // 2, old - new - (old - new) // 2)
                                  for old, new in zip(x.shape[2:], size)]
    return F.pad(small, (left, right, high, low), mode="replicate")


# %% [markdown]
# A *view* is a picture with one change undone. All views of a picture go into one tensor. The windows of one zoomed picture are copied in one step, to the places that their changes have in the list. `_view_plan` finds these places once for a size of pictures.

# %%
#| export evaluation.picture_search
@cache
def _view_plan(side: int) -> list[tuple[bool, float, Tensor, Tensor, Tensor]]:
    "By mirror and zoom: which changes of the list, and where their windows begin."
    changes, most, plan = picture_changes(side), _largest_move(side), []
    for kind in dict.fromkeys(change[:2] for change in changes):
        place = [i for i, change in enumerate(changes) if change[:2] == kind]
        starts = torch.tensor([[changes[i].down + most, changes[i].right + most] for i in place])
        plan.append((*kind, torch.tensor(place), *starts.T))
    return plan


# %% [markdown]
# The views:

# %%
#| export evaluation.picture_search
def _views(x: Tensor) -> Tensor:
    "Every change of each picture undone: (n, changes, values), standardised."
    side, plan = min(x.shape[2:]), _view_plan(min(x.shape[2:]))
    height, width = (size - 2 * _largest_move(side) for size in x.shape[2:])
    count = sum(len(place) for _, _, place, _, _ in plan)
    out = x.new_empty(len(x), count, x.shape[1], height, width)
    for mirror, zoom, place, down, right in plan:
        seen = _zoomed_out(x.flip(-1) if mirror else x, zoom)
        windows = seen.unfold(2, height, 1).unfold(3, width, 1)  # (n, c, moves, moves, h, w)
        out[:, place] = windows[:, :, down, right].transpose(1, 2)
    return _standardised(out.flatten(2))


# %% [markdown]
# A moved training picture equals the original in one of its views:

# %%
views = _views(moved(train[:1], 0, 1))[0]
gaps = (views - _standardised(_middle(train[:1]))).norm(dim=1)
assert gaps.min() < 1e-6 and str(changes[gaps.argmin()]) == "moved by (0, 1)"
gaps.min().item(), gaps.median().item()

# %% [markdown]
# Comparing all views of all samples with all training pictures would take too long. So the search has two steps. First it uses the 32 main directions of the training windows to pick 16 candidates for each sample. Then it computes the full distances to the candidates.

# %%
#| export evaluation.picture_search
CANDIDATES = 16


# %% [markdown]
# The search prepares the training pictures once: their windows, and from these the main directions. The window of each training picture becomes a short **code**, which is kept; that takes 128 bytes a picture.

# %%
#| export evaluation.picture_search
class PictureSearch:
    "The nearest training pictures up to a change; `rows` are those that are searched."
    def __init__(self, train: Any, max_bytes: int = MAX_BYTES, rows: Tensor | None = None):
        from sklearn.decomposition import PCA
        self.train, self.max_bytes = train, max_bytes
        self.rows = torch.arange(len(train)) if rows is None else rows
        self.changes = picture_changes(min(SEARCH_SIDE, *train.shape[-2:]))
        values = self.windows(spaced_rows(self.rows, 2000)).numpy()
        width = min(32, *values.shape)
        pca = PCA(width, svd_solver="randomized", random_state=0).fit(values)
        self.directions = torch.as_tensor(pca.components_).float().T.contiguous()
        self.middle = torch.as_tensor(pca.mean_).float() @ self.directions
        parts = show_parts(self.rows.split(2048), "preparing the search for changed copies")
        self.known = torch.cat([self.codes(self.windows(part)) for part in parts])

    def windows(self, rows: Tensor) -> Tensor:
        "The standardised windows of some training pictures."
        parts = index_parts(self.train, rows, self.max_bytes // 4)
        return torch.cat([_standardised(_middle(shrunk(self.train[part]))) for part in parts])


# %% [markdown]
# Windows become codes in the main directions:

# %%
#| export evaluation.picture_search
@patch
def codes(self: PictureSearch, windows: Tensor) -> Tensor:
    "Windows in the main directions."
    return windows @ self.directions - self.middle


# %% [markdown]
# All views of a sample need much memory, so samples are taken in small parts.

# %%
#| export evaluation.picture_search
@patch
def parts(self: PictureSearch, x: Any, index: Tensor) -> tuple[Tensor, ...]:
    "Indices of x in parts whose views fit into memory."
    views = len(self.changes) * len(self.directions)  # numbers of one sample
    example = 8 * max(1, math.prod(x.shape[1:]))
    rows = max(1, min(self.max_bytes // (16 * views), self.max_bytes // (4 * example)))
    return index_parts(x, index, rows * example)


# %% [markdown]
# A few pictures at a time, so that their views stay in the cache of the processor: a megabyte, or four pictures.

# %%
#| export evaluation.picture_search
@patch
def views(self: PictureSearch, x: Tensor) -> Tensor:
    "Every change of each picture undone: (n, changes, values), standardised."
    few = max(4, (1 << 18) // (len(self.changes) * len(self.directions)))
    return torch.cat([_views(part) for part in shrunk(x).split(few)])


# %% [markdown]
# Distances of many pairs are cheapest as one matrix product:

# %%
#| export evaluation.picture_search
def _squared_gaps(a: Tensor, b: Tensor) -> Tensor:
    "Squared distances of all pairs in one product, (..., n, m); quick, and exact to some 1e-7."
    products = torch.linalg.vecdot(a, a)[..., None] - 2 * (a @ b.mT)
    return products.add_(torch.linalg.vecdot(b, b)[..., None, :])


# %%
a, b = torch.randn(2, 5, 3, generator=g)
assert torch.allclose(_squared_gaps(a, b), torch.cdist(a, b).square(), atol=1e-5)


# %% [markdown]
# The first step compares codes. For each training picture only the nearest view counts.

# %%
#| export evaluation.picture_search
def _nearest_views(code: Tensor, known: Tensor) -> Tensor:
    "Squared distance of the nearest view, (n, m), for codes (n, changes, width) and (m, width)."
    one, flat = torch.ones(len(known), 1), code.flatten(0, 1)
    right = torch.cat([-2 * known, one, torch.linalg.vecdot(known, known)[:, None]], 1).T
    left = torch.cat([flat, torch.linalg.vecdot(flat, flat)[:, None], torch.ones(len(flat), 1)], 1)
    rows = 4 * code.shape[1]
    return torch.cat([(part @ right).view(-1, code.shape[1], len(known)).amin(1)
                      for part in left.split(rows)])


# %%
own = torch.Generator().manual_seed(0)
code, known = torch.randn(6, 7, 4, generator=own), torch.randn(9, 4, generator=own)
direct = (code[:, :, None] - known).square().sum(-1).amin(1)
assert torch.allclose(_nearest_views(code, known), direct, atol=1e-4)


# %% [markdown]
# `candidates` goes through all of the training data and keeps the best ones.

# %%
#| export evaluation.picture_search
@patch
def candidates(self: PictureSearch, code: Tensor) -> Tensor:
    "Places in `rows` of what may be nearest up to a change, (n, candidates)."
    count = min(CANDIDATES, len(self.known))
    best = torch.full((len(code), count), math.inf)
    who = torch.zeros(len(code), count, dtype=torch.long)
    for places in torch.arange(len(self.known)).split(2048):
        both = torch.cat([best, _nearest_views(code, self.known[places])], 1)
        best, order = both.topk(count, largest=False)
        who = torch.cat([who, places.expand(len(code), -1)], 1).gather(1, order)
    return who


# %% [markdown]
# What the search returns:

# %%
#| export evaluation.picture_search
class TransformedRatios(NamedTuple):
    "For each picture the ratio up to a change, the training picture found, and which change."
    ratio: Tensor  # (n,) float64
    source: Tensor  # (n,) row of the training data
    change: Tensor  # (n,) place in `picture_changes`
    changes: list[PictureChange]


# %% [markdown]
# The second step takes the full distances to the candidates, in every view.

# %%
#| export evaluation.picture_search
@patch
def __call__(self: PictureSearch, x: Any, k: int = 5,
             index: Tensor | None = None) -> TransformedRatios:  # rows of x; None: all
    "Ratios of the distances up to a change."
    found = []
    for some in show_parts(self.parts(x, torch.arange(len(x)) if index is None else index),
                           "searching for changed copies"):
        views = self.views(x[some])
        who = self.rows[self.candidates(self.codes(views))]
        rows, place = who.unique(return_inverse=True)
        gaps = _squared_gaps(views, self.windows(rows)[place])  # (part, changes, candidates)
        near, change = gaps.clamp(min=0).min(1)
        near, order = near.double().sqrt().sort(1)
        first = order[:, :1]
        found.append((near_ratio(near[:, :min(k, near.shape[1])]), who.gather(1, first)[:, 0],
                      change.gather(1, first)[:, 0]))
    return TransformedRatios(*(torch.cat(part) for part in zip(*found)), self.changes)


# %% [markdown]
# The change in words, for a report:

# %%
#| export evaluation.picture_search
def change_name(found: TransformedRatios, i: int) -> str:
    "What was done to the training picture that the i-th sample was made from."
    change = found.changes[found.change[i]]
    return "brightness or contrast" if change == found.changes[0] else str(change)


# %% [markdown]
# For everyday use, in one call:

# %%
#| export evaluation.picture_search
@checked
def transformed_ratio(x: Annotated[Tensor, ExampleSource("n channels height width")],
                      train: Annotated[Tensor, ExampleSource("train channels height width", 2)],
                      k: Annotated[int, Whole(2)] = 5,
                      *, max_bytes: Annotated[int, Whole(1 << 16)] = MAX_BYTES,
                      ) -> TransformedRatios:
    """`copy_ratio` of pictures up to moves, mirroring, cropping, brightness and contrast.

    The k nearest are taken from 16 candidates, which stand out in 32 main directions.
    """
    if min(train.shape[2:]) < 6:
        raise ValueError(f"train: expected at least 6 pixels a side, got {tuple(train.shape)}")
    return PictureSearch(train, max_bytes)(x, check_int("k", k, 2, len(train)))


# %%
found = transformed_ratio(made["moved copies"], train)
for i in (0, 1, 2, 590):
    print(f"ratio {found.ratio[i]:.2f}  {found.changes[found.change[i]]}")
assert found.ratio[:180].max() < .01 and found.ratio[180:].median() > .7

# %% [markdown]
# **Fidelity.** The equation for three held-out scans, with all changes and all training scans at once:

# %%
windows = _standardised(_middle(train)).double()
gaps = torch.stack([torch.cdist(views.double(), windows).amin(0) for views in _views(unseen[:3])])
gaps = gaps.sort(1).values
assert torch.allclose(transformed_ratio(unseen[:3], train).ratio, gaps[:, 0] / gaps[:, 4],
                      rtol=1e-4)
gaps[:, 0] / gaps[:, 4]

# %% [markdown]
# A copy that was *not* changed would be found here again. The test of copies finds it already. So two scores are tested that leave it out.
#
# - **moved**, mirrored or cropped: the ratio, if the search found the nearest training picture under such a change. Otherwise the score is infinite.
# - **brightness**: the ratio, if the nearest training picture was found in place. A sample counts only if its ratio became much smaller when brightness and contrast were removed. Held-out data counts without this condition. This can only lower the count of samples, so the p-value stays valid.

# %%
#| export evaluation.picture_search
MUCH_SMALLER = .75


# %% [markdown]
# Both scores from what the search found:

# %%
#| export evaluation.picture_search
def _change_scores(found: TransformedRatios,
                   plain: Tensor | None = None,  # ratios of samples as they are
                   ) -> dict[str, Tensor]:
    "Scores of the search: under a move, mirror or crop, and in place with another brightness."
    in_place, far = found.change == 0, torch.full_like(found.ratio, math.inf)
    dimmed = in_place if plain is None else in_place & (found.ratio < MUCH_SMALLER * plain)
    return {"moved": torch.where(in_place, far, found.ratio),
            "brightness": torch.where(dimmed, found.ratio, far)}


# %% [markdown]
# The rule of half of a usual ratio is used here, too:

# %%
#| export evaluation.picture_search
def changed_scores(mine: TransformedRatios, held: TransformedRatios,
                   plain: Tensor,  # ratios of samples as they are
                   ) -> dict[str, tuple[Tensor, Tensor]]:
    "Both scores of samples and of held-out pictures; infinite for what does not count."
    ours, theirs = _change_scores(mine, plain), _change_scores(held)
    usual = mine.ratio, held.ratio
    return {name: relevant_scores((ours[name], theirs[name]), usual) for name in ours}


# %% [markdown]
# Many samples may lie near one and the same training example without being copies of it. This is so if an example is alone, and the generator makes samples of its own all around there. So of the points near one training example only three count, those with the smallest ratios. Equal ratios are put in a random order that does not look at labels, so the test stays exact. A point that equals its training example always counts. What this costs: a generator that makes many noisy copies of a few examples only is not called a copier. Its samples repeat each other, and the audit of [4.2](02_audit.ipynb) tests this.

# %%
#| export evaluation.ratio_test
PER_ROW = 3  # points near one training example that count


# %% [markdown]
# Which points count:

# %%
#| export evaluation.ratio_test
def few_per_row(score: Tensor,  # (pool,), smaller for a point nearer to its training example
                row: Tensor,  # (pool,) this training example
                most: int = PER_ROW) -> Tensor:
    "Scores, infinite for all but the smallest ones of each training example; 0 always stays."
    order = torch.randperm(len(score), generator=torch.Generator().manual_seed(0))
    order = order[score[order].argsort(stable=True)]
    order = order[row[order].argsort(stable=True)]  # by row, and by score within a row
    first = torch.searchsorted(row[order], row[order])
    kept = order[torch.arange(len(order)) - first < most]
    few = torch.full_like(score, math.inf)
    few[kept] = score[kept]
    return torch.where(score == 0, score, few)


# %%
few = few_per_row(torch.tensor([.3, .2, .5, 0, 0]).double(), torch.tensor([1, 1, 2, 3, 3]), most=1)
assert few.isinf().tolist() == [True, False, False, False, False]
few

# %% [markdown]
# `ratio_test` returns the p-value and the share. The share is counted at the smallest twentieth of the held-out scores. It counts all samples.

# %%
#| export evaluation.ratio_test
COUNTED = .05  # of the held-out data counts


# %% [markdown]
# One test with its share:

# %%
#| export evaluation.ratio_test
def ratio_test(score: tuple[Tensor, Tensor], group: tuple[Tensor, Tensor],
               row: tuple[Tensor, Tensor] | None = None,  # the training example of each point
               ) -> tuple[float, ShareInterval]:
    "p-value and share for scores of samples and of what they are compared with; small is bad."
    both, mine = torch.cat(score), torch.arange(len(score[0]) + len(score[1])) < len(score[0])
    counted = both if row is None else few_per_row(both, torch.cat(row))
    p = smallest_chance(counted, mine, torch.cat(group))
    bound = score[1].kthvalue(max(1, math.ceil(COUNTED * len(score[1])))).values
    counts = (both <= bound) & both.isfinite()
    return p, excess_share(int((counts & mine).sum()), len(score[0]),
                           int((counts & ~mine).sum()), len(score[1]))


# %% [markdown]
# The test of transformed copies tries two scores, so the smaller p-value is doubled.

# %%
#| export evaluation.picture_search
def transformed_test(mine: TransformedRatios, held: TransformedRatios, plain: Tensor,
                     groups: tuple[Tensor, Tensor]) -> tuple[float, ShareInterval]:
    "p-value and share of transformed copies: the more striking of two scores, doubled."
    tests = [ratio_test(pair, groups, (mine.source, held.source))
             for pair in changed_scores(mine, held, plain).values()]
    p, share = min(tests, key=lambda test: (test[0], -test[1].share))
    return min(1., len(tests) * p), share


# %%
plain, held = copy_ratio(made["moved copies"], train), transformed_ratio(unseen, train)
of = groups(made["moved copies"]), groups(unseen)
p = {name: ratio_test(pair, of)[0] for name, pair in changed_scores(found, held, plain).items()}
assert p["moved"] < 1e-10 and p["brightness"] > .05
assert transformed_test(found, held, plain, of)[0] == 2 * p["moved"]
p

# %% [markdown]
# ## A test for timid generators
# A timid generator stays in the middle of the data. Then its samples lie nearer to *unseen* data than the training data itself does. So samples and training examples are pooled, and their distances to the held-out data are tested in the same way. Copies do not raise this alarm: a copy is as near to unseen data as any training example.

# %%
p = {}
for name in ("timid", "copies"):
    both = torch.cat([made[name], train])
    score, group = nearest_rows(both, unseen, 1)[0][:, 0], group_finder(unseen)(both)
    p[name] = smallest_chance(score, torch.arange(len(both)) < 599, group)
assert p["timid"] < .01 and p["copies"] > .05
p

# %% [markdown]
# ## Measures without an alarm
# **$C_T$ per cell**, as published. K-means divides the space into cells $\pi$. In each cell, $Z_U(\pi)$ is the value of the rank test of distances to the training examples of that cell. $C_T$ is the mean of these values, weighted by the share $P_n(\pi)$ of the held-out data in the cell:
# $$C_T=\frac{\sum_{\pi\in\Pi_\tau}P_n(\pi)\,Z_U(\pi)}{\sum_{\pi\in\Pi_\tau}P_n(\pi)}.$$
# Cells with too few samples are left out ($\Pi_\tau$). `copying_z` of [4.2](02_audit.ipynb) is $Z_U$ with all of the space as one cell.

# %%
#| export
class CellScores(NamedTuple):
    "C_T with the rank test of each cell; None for what had too few samples."
    c_t: float | None
    z: list[float | None]  # by cell
    weight: list[float]  # share of held-out data in each cell


# %% [markdown]
# The cells are the groups from above, found in the training data:

# %%
#| export
@checked
def copying_c_t(samples: Annotated[Tensor, Samples("samples *event")],
                train: Annotated[Tensor, Samples("train *event")],
                holdout: Annotated[Tensor, Samples("holdout *event")],
                least: Count = 20,  # samples that a cell must have
                ) -> CellScores:
    """Mean z of `copying_z` over the cells of k-means, weighted by held-out data: C_T.

    Meehan et al. 2020. None if no cell has enough samples.
    """
    find = group_finder(train)
    cell = [find(x) for x in (samples, train, holdout)]
    z, weight = [], []
    for c in range(int(cell[1].max()) + 1):
        mine, known, new = (x[at == c] for x, at in zip((samples, train, holdout), cell))
        enough = len(mine) >= least and len(known) and len(new)
        z.append(copying_z(mine, known, new) if enough else None)
        weight.append(len(new) / len(holdout))
    kept = [(score, share) for score, share in zip(z, weight) if score is not None]
    total = sum(share for _, share in kept)
    mean = sum(score * share for score, share in kept) / total if kept else None
    return CellScores(mean, z, weight)


# %%
in_cells = {name: copying_c_t(x, train, unseen) for name, x in made.items()}
for name, found in in_cells.items():
    print(f"{name:13} C_T {found.c_t:+.2f} over {len(found.z) - found.z.count(None)} cells")
assert in_cells["timid"].c_t < in_cells["copies"].c_t < 0

# %% [markdown]
# With cells, too, $C_T$ is farther below 0 for the timid generator than for the one that copies.
#
# The report also shows three numbers of samples and of held-out data. The first are the **quantiles of the DCR**. The second is **authenticity**: the share of examples that are farther from their training neighbour than that neighbour is from another one. The third is the share of **exact copies**, which a data set may hold by nature.

# %%
#| export
DCR_QUANTILES = .01, .05, .25, .5


# %% [markdown]
# Authenticity needs distances between training examples, but only for those that are the nearest of some example. They are computed in parts, too.

# %%
#| export
def _authentic(near: Tensor, who: Tensor, train: Any, max_bytes: int) -> float:
    "Share farther from their nearest training example than that one is from another."
    rows, place = who[:, 0].unique(return_inverse=True)
    few = min(2, len(train))
    apart = []
    for part in index_parts(train, rows, max_bytes // 4):
        apart.append(nearest_rows(train[part], train, few, max_bytes=max_bytes)[0][:, -1])
    return authentic_share(near[:, 0], place, torch.cat(apart))


# %%
near, who = nearest_rows(perfect, train, 5)
mine = _authentic(near, who, train, MAX_BYTES)
assert abs(mine - authenticity(perfect, train)) < .005  # ties may fall either way
mine

# %% [markdown]
# An exact copy equals its training example in every value:

# %%
#| export
def _equal_rows(x: Any, train: Any, who: Tensor, near: Tensor) -> Tensor:
    "Which examples equal their nearest training example in every value, (n,) bool."
    same = torch.zeros(len(x), dtype=torch.bool)
    for part in (near[:, 0] <= 1e-3 * near[:, -1]).nonzero()[:, 0].split(256):
        if len(part):
            same[part] = (x[part].flatten(1) == train[who[part, 0]].flatten(1)).all(1)
    return same


# %%
near, who = nearest_rows(made["copies"], train, 5)
assert _equal_rows(made["copies"], train, who, near).sum() == 60

# %% [markdown]
# ## The report
# The next cells collect the results and put them into words. You may skip them and continue with [three reports](#Three-reports).
#
# A finding is a row of the report. A match is a sample with the training example that it is nearest to.

# %%
#| export evaluation.copy_report
@dataclass(frozen=True)
class CopyFinding:
    "One test: whether it alarms, its p-value, and the share of samples with an interval."
    test: str
    alarm: bool
    p: float  # chance of so bad a value for a perfect generator
    share: float  # of samples that count beyond what is expected
    low: float  # of an interval that holds the true share with a chance of 95 % or more
    high: float


# %% [markdown]
# A suspicious pair:

# %%
#| export evaluation.copy_report
@dataclass(frozen=True)
class CopyMatch:
    "A suspicious sample: which one, its training example, the ratio, and what was changed."
    sample: int
    source: int
    ratio: float
    change: str


# %% [markdown]
# The sentence of each finding. The share is an estimate. The lower end of its interval follows as *at least*, unless it is 0:

# %%
#| export evaluation.copy_report
COPY_WORDS = {
    "copies": "about {share} of the samples are copies of training examples",
    "transformed": "about {share} of the samples are training pictures that were moved, "
                   "mirrored, cropped, or given another brightness or contrast",
    "timid": "the samples are timid: about {share} more samples than training examples lie very "
             "near unseen data; that is no copying",
}


# %% [markdown]
# All of it together:

# %%
#| export evaluation.copy_report
@dataclass
class CopyReport:
    "What `copies` found. `alarms` names the tests that raised an alarm."
    findings: dict[str, CopyFinding]  # by test
    numbers: dict[str, Any]  # exact copies, dcr, authenticity: samples and held-out; c_t
    matches: list[CopyMatch]  # most suspicious first
    sizes: dict[str, int]
    level: float  # chance that a perfect generator raises any alarm
    ratios: dict[str, Tensor] = field(repr=False, default_factory=dict)  # by test and set

    def __repr__(self) -> str:
        lines = [self.verdict, f"{'':12}{'share':>7} {'≥ 95 % interval':>17} {'p':>8}"]
        for f in self.findings.values():
            lines.append(f"{f.test:12}{f.share:7.1%} [{f.low:7.1%}, {f.high:6.1%}] {f.p:8.2g}"
                         + ("  ALARM" if f.alarm else ""))
        return "\n".join([*lines, self.numbers_in_words])


# %% [markdown]
# The alarms by name:

# %%
#| export evaluation.copy_report
@patch(as_prop=True)
def alarms(self: CopyReport) -> list[str]:
    "The tests that raised an alarm."
    return [name for name, found in self.findings.items() if found.alarm]


# %% [markdown]
# The verdict is one sentence for each alarm, and names the tests that were quiet.

# %%
#| export evaluation.copy_report
@patch(as_prop=True)
def verdict(self: CopyReport) -> str:
    "The findings in plain words."
    share = lambda f: f"{f.share:.1%}" + f" (at least {f.low:.1%})" * (f.low >= .0005)
    said = [COPY_WORDS[name].format(share=share(f))
            for name, f in self.findings.items() if f.alarm]
    quiet = [name for name in self.findings if name not in self.alarms]
    text = "; ".join(said)
    none = f"no sign of {', '.join(quiet)}" if quiet else ""
    whole = "; ".join(part for part in (text, none) if part)
    return whole[:1].upper() + whole[1:] + "."


# %% [markdown]
# The numbers stand below the table:

# %%
#| export evaluation.copy_report
@patch(as_prop=True)
def numbers_in_words(self: CopyReport) -> str:
    "The numbers that raise no alarm, each beside that of held-out data."
    pairs = {name: self.numbers[name] for name in ("exact copies", "authenticity")}
    said = [f"{name} {v['samples']:.1%} (held-out {v['holdout']:.1%})"
            for name, v in pairs.items()]
    dcr = self.numbers["dcr"]
    said.append(f"median DCR {dcr['samples'][-1]:.3g} (held-out {dcr['holdout'][-1]:.3g})")
    c_t = self.numbers["c_t"]
    said.append("C_T unknown, cells too small" if c_t is None else f"C_T {c_t:+.2f}")
    return "; ".join(said)


# %% [markdown]
# For programs, the same as JSON:

# %%
#| export evaluation.copy_report
@patch
def to_json(self: CopyReport) -> dict[str, Any]:
    "Everything but the ratios, as plain JSON."
    return {"verdict": self.verdict, "alarms": self.alarms, "level": self.level,
            "findings": [asdict(f) for f in self.findings.values()], "numbers": self.numbers,
            "matches": [asdict(match) for match in self.matches], "sizes": self.sizes}


# %% [markdown]
# What is measured of one set of examples, samples or held-out data:

# %%
#| export
@dataclass
class _Scores:
    "Of each example of a set: its nearest training examples, its ratios, and its group."
    near: Tensor  # (n, k) distances
    who: Tensor  # (n, k) rows of the training data
    ratio: Tensor  # (n,)
    group: Tensor  # (n,)
    same: Tensor  # (n,) bool: equal to a training example in every value
    found: TransformedRatios | None  # by the search
    plain: Tensor  # (n,) the ratio between the values, without features


# %% [markdown]
# Distances are taken between the values, or between the features that your function returns. The groups are found in the same space, or in pictures of at most 32 pixels a side.

# %%
#| export
class _Examiner:
    "Measures sets of examples against one training set."
    def __init__(self, train: Any, features: Callable | None, k: int, transformed: bool,
                 max_bytes: int):
        self.train, self.features, self.k = train, features, check_int("k", k, 2, len(train))
        self.max_bytes, self.pictures = max_bytes, searchable(train.shape)
        self.known = self.coarse(train)
        check_spread(self.known, features is not None, "train")
        self.group_of = group_finder(self.known)
        search = transformed and self.pictures
        self.search = PictureSearch(train, max_bytes) if search else None

    def space(self, x: Any) -> Any:
        "What distances are taken between: the rows of a set, or their features."
        return x if self.features is None else FeatureRows("examples", x, self.features,
                                                             self.max_bytes)


# %% [markdown]
# Groups need no detail:

# %%
#| export
@patch
def coarse(self: _Examiner, x: Any, most: int | None = 5000) -> Tensor:
    "Examples, thinned to `most`, for groups: features, small pictures or values; float64."
    rows = torch.arange(0, len(x), -(-len(x) // (most or len(x))))
    small = shrunk if self.pictures and self.features is None else lambda some: some
    x = self.space(x)
    return torch.cat([flat_rows(small(x[part]))
                      for part in index_parts(x, rows, self.max_bytes // 4)])


# %% [markdown]
# Neighbours in the chosen space:

# %%
#| export
@patch
def nearest(self: _Examiner, x: Any, others: Any, k: int) -> tuple[Tensor, Tensor]:
    "The k nearest of others, in the space of the examiner."
    return nearest_rows(self.space(x), self.space(others), k, max_bytes=self.max_bytes)


# %% [markdown]
# One set is measured as follows. The search compares pictures, so what it improves on is the ratio between pictures, also where features are given.

# %%
#| export
@patch
def __call__(self: _Examiner, x: Any) -> _Scores:
    "All that is measured of one set."
    near, who = self.nearest(x, self.train, self.k)
    ratio, found = near_ratio(near), self.search and self.search(x, self.k)
    plain = ratio
    if self.search and self.features is not None:
        plain = copy_ratio(x, self.train, self.k, max_bytes=self.max_bytes)
    group, same = self.group_of(self.coarse(x, None)), _equal_rows(x, self.train, who, near)
    return _Scores(near, who, ratio, group, same, found, plain)


# %% [markdown]
# What is tested, by name:

# %%
#| export
def _copy_scores(mine: _Scores, held: _Scores) -> dict[str, tuple[Tensor, Tensor]]:
    "Scores of samples and held-out data that are tested; infinite for what does not count."
    usual = mine.ratio, held.ratio
    changed = {} if mine.found is None else changed_scores(mine.found, held.found, mine.plain)
    return {"copies": relevant_scores(usual, usual)} | changed


# %% [markdown]
# Both tests with their shares:

# %%
#| export
def _copy_tests(mine: _Scores, held: _Scores) -> dict[str, tuple[float, ShareInterval]]:
    "p-value and share of copies, and of transformed copies."
    groups, usual = (mine.group, held.group), (mine.ratio, held.ratio)
    rows = mine.who[:, 0], held.who[:, 0]
    tests = {"copies": ratio_test(relevant_scores(usual, usual), groups, rows)}
    if mine.found is not None:
        tests["transformed"] = transformed_test(mine.found, held.found, mine.plain, groups)
    return tests


# %% [markdown]
# The test of timidity compares samples with training examples. So its groups are found in the held-out data.

# %%
#| export
def _timid_test(examine: _Examiner, samples: Any, holdout: Any,
                generator: torch.Generator) -> tuple[float, ShareInterval]:
    "Whether samples lie nearer to held-out data than training examples do."
    train = examine.train
    some = train[torch.randperm(len(train), generator=generator)[:len(holdout)]]
    group_of = group_finder(examine.coarse(holdout))
    score, group = [], []
    for x in (samples, some):
        score.append(examine.nearest(x, holdout, 1)[0][:, 0])
        group.append(group_of(examine.coarse(x, None)))
    return ratio_test(tuple(score), tuple(group))


# %% [markdown]
# Several tests share one level by Holm's rule, as in [4.2](02_audit.ipynb).

# %%
#| export
def _copy_findings(tests: dict[str, tuple[float, ShareInterval]],
                   level: float) -> dict[str, CopyFinding]:
    "The tests as rows; at most `level` chance that a perfect generator raises any alarm."
    going, alarm = True, {}
    for rank, name in enumerate(sorted(tests, key=lambda test: tests[test][0])):
        going = going and tests[name][0] <= level / (len(tests) - rank)
        alarm[name] = going
    return {name: CopyFinding(name, alarm[name], p, *share) for name, (p, share) in tests.items()}


# %%
holm = lambda **p: [f.alarm for f in _copy_findings({k: (v, (0, 0, 0)) for k, v in p.items()},
                                                    .05).values()]
assert holm(a=.01, b=.04, c=.02) == [True] * 3 and holm(a=.03, b=.03) == [False] * 2

# %% [markdown]
# A sample is suspicious if its ratio is among the smallest hundredth of the held-out ratios.

# %%
#| export
SUSPICIOUS = .01  # of held-out data would be listed


# %% [markdown]
# A sample with several small ratios is listed once, with the smallest.

# %%
#| export
def _matches(mine: _Scores, held: _Scores) -> list[CopyMatch]:
    "Suspicious samples with their training examples, the smallest ratio first; each once."
    found: dict[int, CopyMatch] = {}
    for name, (score, expected) in _copy_scores(mine, held).items():
        bound = expected.kthvalue(max(1, round(SUSPICIOUS * len(expected)))).values
        source = mine.who[:, 0] if name == "copies" else mine.found.source
        for i in ((score <= bound) & score.isfinite()).nonzero()[:, 0].tolist():
            change = "none" if name == "copies" else change_name(mine.found, i)
            match = CopyMatch(i, int(source[i]), float(score[i]), change)
            found[i] = min(found.get(i, match), match, key=lambda one: one.ratio)
    return sorted(found.values(), key=lambda match: match.ratio)


# %% [markdown]
# The numbers that raise no alarm:

# %%
#| export
def _copy_numbers(examine: _Examiner, sets: dict[str, Any],
                  scores: dict[str, _Scores]) -> dict[str, Any]:
    "The numbers that are no alarms, of samples and held-out data."
    cells = copying_c_t(examine.coarse(sets["samples"]), examine.known,
                        examine.coarse(sets["holdout"]))
    at = torch.tensor(DCR_QUANTILES, dtype=torch.float64)
    return {"exact copies": {name: float(s.same.double().mean()) for name, s in scores.items()},
            "authenticity": {name: _authentic(s.near, s.who, examine.space(examine.train),
                                              examine.max_bytes) for name, s in scores.items()},
            "dcr": {"quantiles": list(DCR_QUANTILES),
                    **{name: s.near[:, 0].quantile(at).tolist() for name, s in scores.items()}},
            "c_t": cells.c_t, "cells": cells.z}


# %% [markdown]
# All of it in one call. The tests are exact if training and held-out data were drawn at random from one set.

# %%
#| export
@checked
def copies(samples: Annotated[Tensor, ExampleSource("samples *event", 2)],
           train: Annotated[Tensor, ExampleSource("train *event", 2)],  # all of it is searched
           holdout: Annotated[Tensor, ExampleSource("holdout *event", 2)],  # real, never trained on
           *, transformed: bool = True,  # search pictures for changed copies, too
           features: FeatureChoice | None = None,
           level: Annotated[float, Real(0., .5, above=0.)] = .05,  # chance of any false alarm
           k: Annotated[int, Whole(2)] = 5,  # compare the nearest with the k-th nearest
           max_bytes: Annotated[int, Whole(1 << 20)] = MAX_BYTES,
           generator: torch.Generator | None = None,  # None: a fixed one
           ) -> CopyReport:
    """Does it copy? Copies, transformed copies of pictures, and timid samples, each with a test.

    >>> x, new, made = torch.randn(3, 200, 4, generator=torch.Generator().manual_seed(0))
    >>> copies(torch.cat([x[:40], made[40:]]), x, new).alarms
    ['copies']
    """
    examine = _Examiner(train, features, k, transformed, max_bytes)
    sets = {"samples": samples, "holdout": holdout}
    scores = {name: examine(x) for name, x in sets.items()}
    return _copy_report(examine, sets, scores, level, generator_or_default(generator))


# %% [markdown]
# The last step puts tests, numbers and pairs together.

# %%
#| export
def _copy_report(examine: _Examiner, sets: dict[str, Any], scores: dict[str, _Scores],
                 level: float, generator: torch.Generator) -> CopyReport:
    "The tests, the numbers and the matches of sets that were measured."
    mine, held = scores["samples"], scores["holdout"]
    tests, ratios = _copy_tests(mine, held), {"samples": mine.ratio, "holdout": held.ratio}
    if examine.search:
        ratios |= {f"transformed {name}": s.found.ratio for name, s in scores.items()}
    tests["timid"] = _timid_test(examine, sets["samples"], sets["holdout"], generator)
    sizes = {"samples": len(mine.ratio), "train": len(examine.train), "holdout": len(held.ratio)}
    return CopyReport(_copy_findings(tests, level), _copy_numbers(examine, sets, scores),
                      _matches(mine, held), sizes, level, ratios)


# %% [markdown]
# ### Three reports
# The reports of the copies, of the moved copies and of the timid generator. Expect one alarm in each: *copies*, *transformed* and *timid*.

# %%
report = copies(made["copies"], train, unseen)
assert report.alarms == ["copies"] and abs(report.findings["copies"].share - .1) < .02
report

# %%
report = copies(made["moved copies"], train, unseen)
assert report.alarms == ["transformed"] and abs(report.findings["transformed"].share - .3) < .02
report

# %%
report = copies(made["timid"], train, unseen)
assert report.alarms == ["timid"]
report

# %% [markdown]
# Each report has the one alarm that was expected, and the first two shares are close to the true ones, a tenth and three tenths. $C_T$ and authenticity, in the last line, point to the timid generator instead.
#
# The p-value decides about an alarm, not the interval. The test tries three shares within groups. The interval is about one share over all groups. So a finding may raise an alarm although its interval begins at 0, as *timid* does here.
#
# The picture shows suspicious samples in the upper row, and under each the training picture that it was made from.

# %%
report = copies(made["moved copies"], train, unseen)
pairs = report.matches[:12]
figure, ax = axes(size=(6, 1.2))
image_grid(ax, torch.cat([made["moved copies"][[m.sample for m in pairs], 0],
                          train[[m.source for m in pairs], 0]]), 12)
Picture(figure, "Twelve moved copies in the upper row, their training scans in the lower one")

# %%
assert all(m.change == "moved by (0, 1)" for m in pairs)
pairs[0]

# %% [markdown]
# ## Which fault raises which alarm
# We make eight generators. In each draw the scans are split anew.
#
# **Predict:** which rows have no alarm of copying?

# %%
def generators(seed: int) -> tuple:
    "Training data, held-out data, and samples of eight generators: one split of the scans."
    g = torch.Generator().manual_seed(seed)
    parts = torch.randperm(len(scans), generator=g).split([599, 599, 599])
    known, new, real = (scans[part].float()[:, None] for part in parts)
    means = torch.stack([known[classes[parts[0]] == c].mean(0) for c in range(10)])
    middle, source = means[classes[parts[2]]], known[torch.randperm(599, generator=g)[:180]]
    start = lambda x: torch.cat([x, real[len(x):]])
    return known, new, {
        "perfect": real, "dimmed": .7 * real, "timid, 10 %": real.lerp(middle, .1),
        "timid, 30 %": real.lerp(middle, .3), "10 % copies": start(source[:60]),
        "10 % with noise": start(source[:60] + .05 * torch.randn(60, 1, 8, 8, generator=g)),
        "30 % moved": start(moved(source, 0, 1)), "30 % mirrored": start(source.flip(-1))}


# %%
def alarms_of(seed: int) -> dict[str, list[bool]]:
    "Which of the tests alarm, for each generator."
    known, new, all_made = generators(seed)
    reports = {name: copies(x, known, new) for name, x in all_made.items()}
    return {name: [f.alarm for f in report.findings.values()] for name, report in reports.items()}


# %%
draws = [alarms_of(seed) for seed in range(steps(4, fast=1))]
rate = {name: torch.tensor([d[name] for d in draws]).double().mean(0) for name in draws[0]}
figure, ax = axes(size=(3.6, 2.6))
shares = torch.stack(list(rate.values()))
ax.imshow(shares, cmap="Oranges", vmin=0, vmax=1.6, aspect="auto")
for i, j in torch.cartesian_prod(*map(torch.arange, shares.shape)).tolist():
    ax.text(j, i, f"{shares[i, j]:.0%}", ha="center", va="center", fontsize=9)
ax.set(xticks=range(len(report.findings)), xticklabels=list(report.findings), xlabel="test",
       yticks=range(len(rate)), yticklabels=list(rate), ylabel="samples")
print(f"{len(draws)} draws; the perfect generator was called timid in "
      f"{sum(d['perfect'][2] for d in draws)}, accused of copying in "
      f"{sum(any(d['perfect'][:2]) for d in draws)}")
Picture(figure, "Share of draws in which each test alarms: copies are found as copies, moved and "
                "mirrored scans as transformed copies, scans pulled by 30 % as timid; those "
                "pulled by 10 % are called timid no more often than the perfect ones")

# %% [markdown]
# The four rows at the top have no alarm of copying. These generators contain no copies; the recorded picture below calls them *honest*. One of the four draws calls the perfect generator timid. At a rate of 5 % at least one false alarm in four draws has a chance of about one in five, so this says little. Most generators here contain many samples of the perfect one. So in a draw in which the perfect one is called timid by chance, others may be called timid as well. Samples that are pulled by 30 % are called timid in every draw; those pulled by 10 % in one of four, no more often than the perfect ones.

# %%
timid_in = {name: share[2].item() for name, share in rate.items()}
assert timid_in["timid, 10 %"] <= timid_in["perfect"] < timid_in["timid, 30 %"] == 1 or fast_mode()

# %%
honest = ["perfect", "dimmed", "timid, 10 %", "timid, 30 %"]
one_cell = {name: copying_z(made[name], train, unseen) for name in ("timid", "copies")}
accused = sum(any(d[name][:2]) for d in draws for name in honest)
missed = sum(not any(d[name][:2]) for d in draws for name in d if name not in honest)
claim("Copies are found, changed or not, and a timid generator is not accused of copying",
      paper="this course", section="which fault, which finding", holds=missed == 0 and accused <= 2,
      ours=f"{missed} of {4 * len(draws)} copying generators missed, "
           f"{accused} of {len(honest) * len(draws)} honest ones accused",
      baseline=f"one-cell C_T: timid {one_cell['timid']:+.1f}, "
               f"a tenth copied {one_cell['copies']:+.1f}")

# %% [markdown]
# Four small draws show the pattern, not the rates. `python benchmarks/copies.py` makes more draws with more faults: of digits, of MNIST with 2,000 samples, and of drawn faces. Its settings were chosen on other seeds. The picture shows in which share of the recorded draws each test raised an alarm.

# %%
kept = recorded("copies")
sets, tests = kept.get("sets", {}), ("copies", "transformed", "either", "timid")
for data, part in sets.items():
    draws = sorted({row["draws"] for row in part["kinds"].values()})
    print(f"{data}: {part['what']}; draws: {', '.join(map(str, draws))}")


# %%
def draw_rates():
    "A panel for each set of data: the share of draws in which each test alarmed, by fault."
    figure, panels = axes(1, max(1, len(sets)), size=(4, 7), squeeze=False)
    for ax, (data, part) in zip(panels[0], sets.items()):
        kinds = part["kinds"]
        rate = torch.tensor([[row[test] / row["draws"] for test in tests]
                             for row in kinds.values()])
        ax.imshow(rate, cmap="Oranges", vmin=0, vmax=1.6, aspect="auto")
        for i, j in torch.cartesian_prod(*map(torch.arange, rate.shape)).tolist():
            ax.text(j, i, f"{rate[i, j]:.0%}", ha="center", va="center", fontsize=9)
        ax.set(title=data, xticks=range(len(tests)), xticklabels=tests, xlabel="test",
               yticks=range(len(kinds)), yticklabels=list(kinds))
        ax.tick_params(axis="x", rotation=30)
        ax.grid(False)
    always = {data: [row["either"] == row["draws"] for name, row in part["kinds"].items()
                     if "honest" not in name] for data, part in sets.items()}
    said = "; ".join(f"{data}: {sum(every)} of {len(every)} kinds of copies always raise an alarm "
                     f"of copying" for data, every in always.items())
    return Picture(figure, f"Share of draws with an alarm, by kind and test. {said}")


draw_rates() if sets else "not recorded here"

# %% [markdown]
# Which kinds of copies are found in under half of the draws?

# %%
for data, part in sets.items():
    rare = [name for name, row in part["kinds"].items()
            if "honest" not in name and row["either"] < row["draws"] / 2]
    print(f"{data}: {'; '.join(rare) or 'none'}\n")

# %% [markdown]
# There are reasons to expect these misses. Turning is not in the list of changes. On 8×8 scans a move by two pixels is larger than the list goes, and after a crop few pixels are left to compare. Several changes at once, with noise, change most of the scan. A blurred copy may be near to other scans, too. These reasons were not tested one by one.
#
# The drawn faces show a limit of the ratio. Most faces have no glasses, beard or hat, and are not bald. There are 54 clean drawings of this kind, and about 29 of each are among 2,000 training faces. They differ by noise alone. So for a new face of this kind, too, the nearest and the fifth face are nearly equally far, and a sample counts only if its ratio is at most half of that. The ratio of a copy with fresh noise is above this bound:

# %%
people = faces()
drawn, kind = people.sample_with_modes(3000, generator=g)
known, fresh = drawn.split([2000, 1000])
with_noise = known[:500] + people.noise * torch.randn(500, *people.event, generator=g)
noisy_ratio, fresh_ratio = (copy_ratio(x, known).median().item()
                            for x in (with_noise, fresh))
assert fresh_ratio > .95 and .5 < noisy_ratio < .65
print(f"median ratio: a new face {fresh_ratio:.2f}, a copy with noise {noisy_ratio:.2f}")

# %% [markdown]
# How often was a generator accused of copying that copies nothing?

# %%
accused_of = {f"{data}, {name.removeprefix('honest: ')}": (row["either"], row["draws"])
              for data, part in sets.items() for name, row in part["kinds"].items()
              if name.startswith("honest")}
assert all(count <= 2 for count, _ in accused_of.values())
timid_of = {data: part["kinds"]["honest: timid, 30 %"]["timid"] for data, part in sets.items()}
assert timid_of == {"digits": 20, "MNIST": 20, "faces": 0} or not timid_of
{name: f"{count} of {of}" for name, (count, of) in accused_of.items() if count}

# %% [markdown]
# Of the honest generators in the picture, only these were ever accused. A timid generator never was. On digits and MNIST the one that is pulled to class means by 30 % always raises *timid*. On the drawn faces it raises nothing. There a face that is mixed with the mean of its kind is no longer a clean drawing, so it lies farther from real faces than a real one does:

# %%
middle = torch.stack([known[kind[:2000] == k].mean(0) for k in kind[:500]])
near_mean = known[:500].lerp(middle, .3)
to_fresh = {name: nearest_k(x.flatten(1), fresh.flatten(1))[0].median().item()
            for name, x in (("real", known[:500]), ("pulled", near_mean))}
assert to_fresh["pulled"] > to_fresh["real"]
to_fresh

# %% [markdown]
# The rate of false alarms, from draws of perfect generators of digits:

# %%
alarmed = kept.get("false alarms", {"draws": 0})
if alarmed["draws"]:
    print(f"{alarmed['any']} of {alarmed['draws']} perfect generators raised any alarm, "
          f"{alarmed['copying']} were accused of copying")
    assert alarmed["95 %"][0] <= .05
else:
    print("not recorded yet")

# %% [markdown]
# ## Pixels or features?
# Copies among faces may be searched in two spaces: by the L1 distance of the middle of the picture (the sum of the absolute differences of its pixels), and by the features of a network. Which of them finds the original? The search over changes of this chapter is the third candidate. Our faces are drawn, so the original is known. There are a few dozen different ones, and each is taken in one position. Each training face gets a look-alike: moved, dimmed, cropped, with fresh noise, or with several of these.

# %%
clean = faces(noise=1e-6).sample(3000, generator=g) / 2 + .5
top = (clean - .5).abs().amax((1, 3)).gt(.1).double().argmax(1)  # the first row of each face
upper = torch.stack([x[:, row:row + 24] for x, row in zip(clean, top)])
spectrum = torch.fft.rfft2(upper.double()).abs().flatten(1).round()  # the same for a moved face
_, who = spectrum.unique(dim=0, return_inverse=True)
first = torch.full((int(who.max()) + 1,), 3000).scatter_reduce(0, who, torch.arange(3000), "amin")
noisy = lambda x: (x + .02 * torch.randn(x.shape, generator=g)).clamp(0, 1)
portraits = noisy(clean[first])
len(portraits)


# %%
def cropped(x, share: float):
    "The middle of pictures, enlarged to the old size."
    side = round(x.shape[-1] * share)
    at = (x.shape[-1] - side) // 2
    part = x[..., at:at + side, at:at + side]
    return F.interpolate(part, x.shape[-2:], mode="bilinear", antialias=True, align_corners=False)


# %%
look_alikes = {"fresh noise": noisy(clean[first]), "moved": moved(portraits, 1, 2),
               "dimmed": .7 * portraits, "cropped": cropped(portraits, .9),
               "moved and noisy": noisy(moved(clean[first], 2, -1)),
               "moved, dimmed, noisy": noisy(.7 * moved(clean[first], 2, -1))}

# %% [markdown]
# The feature network is a small encoder of this course. It is trained without labels to give a face the same features if it is turned, moved or noisy. You may use any function from pictures to features. The next section has a network for photographs.

# %%
eye = train_picture_encoder(faces(), walk=steps(60, fast=2))
l1 = lambda x: torch.cdist(x[..., 4:28, 4:28].flatten(1), portraits[..., 4:28, 4:28].flatten(1), 1)
with torch.no_grad():
    features = lambda x: eye(2 * x - 1)
    known = features(portraits)
spaces = {"L1 of the middle": lambda x: l1(x).argmin(1),
          "features": lambda x: torch.cdist(features(x), known).argmin(1),
          "search over changes": lambda x: transformed_ratio(x, portraits).source}

# %%
with torch.no_grad():
    recall = {name: {space: (find(x) == torch.arange(len(x))).double().mean().item()
                     for space, find in spaces.items()} for name, x in look_alikes.items()}
print(f"{'found again':22}" + "".join(f"{space:>21}" for space in spaces))
for name, row in recall.items():
    print(f"{name:22}" + "".join(f"{share:21.0%}" for share in row.values()))
if steps(60, fast=2) == 60:
    search = {name: row["search over changes"] for name, row in recall.items()}
    assert search["moved"] == search["dimmed"] == 1
    others = [recall["moved, dimmed, noisy"][space] for space in ("L1 of the middle", "features")]
    assert search["moved, dimmed, noisy"] > 2 * max(others)
    assert min(list(recall["fresh noise"].values())[:2]) > .9 > search["fresh noise"]

# %% [markdown]
# The first row shows look-alikes that were moved, dimmed and noisy. The rows below show the nearest training face by L1, by features, and by the search.

# %%
shown = torch.randperm(len(portraits), generator=g)[:12]
queries = look_alikes["moved, dimmed, noisy"][shown]
with torch.no_grad():
    rows = [queries] + [portraits[find(queries)] for find in spaces.values()]
figure, ax = axes(size=(6, 2.2))
image_grid(ax, torch.cat(rows)[:, 0], 12)
Picture(figure, "Look-alikes, then the nearest face by L1, by features, and by the search")

# %% [markdown]
# No space finds all originals. Plain distance and features find all or nearly all of them under fresh noise. The search finds all that were only moved or only dimmed. If a face was moved, dimmed and made noisy, the search finds far more originals than the other two.
#
# Under fresh noise alone the search finds the fewest of the three. A likely reason is that it divides out brightness and contrast, and many of these faces differ in little else. The last row of the picture supports this: every face there has the hat, the glasses and the beard of its look-alike. So where the search names the wrong face here, only the brightness of skin, hair or hat is wrong. So both kinds of distance are needed: `copies(..., features=f)` uses distances between `f(x)`, and still searches the pictures.
#
# The tests have a limit. Drawn faces of one kind differ by little more than noise. In the next cell a fifth of the samples are copies that were moved, dimmed, and given fresh noise as strong as that of the set itself. They look like other faces of their kind, and the test finds them in neither space.

# %%
known, new, drawn = (faces().sample(900, generator=g) / 2 + .5).split([300, 300, 300])
drawn[:60] = noisy(.8 * moved(known[:60], -1, 2))
for name, space in (("pixels", None), ("features", features)):
    asked = copies(drawn, known, new, features=space)
    assert fast_mode() or not asked.alarms
    print(f"{name:9}" + "  ".join(f"{f.test} p = {f.p:.1g}" for f in asked.findings.values()))

# %% [markdown]
# ## A network that was trained on faces
# For photographs of people one would take a network that was trained to tell persons apart. dlib's network gives 128 numbers for a face ([6.16](../6_workshop/16_feature_networks.ipynb)). By its rule two faces nearer than .6 show one person. `python benchmarks/look_alikes.py` compares it with pixels, on drawn faces and on photographs of 38 of the 40 persons of The Database of Faces (AT&T Laboratories Cambridge; the photographs are not shown here). Of two persons public copies differ, so they are left out. A *person* among the drawn faces is a clean drawing at nine positions, with noise.
#
# **Predict:** the network was trained on photographs. Can it tell drawn faces apart?

# %%
alike = {name: {row["setting"]: row for row in rows}
         for name, rows in recorded("look_alikes").items() if name != "torch"}
for name, rows in alike.items():
    seen = rows["apart"]
    print(f"{name}: {seen['pictures']} pictures of {seen['persons']} persons")
    for space in ("L1 of the middle", "L2 of all pixels", "face network"):
        share = seen[space]["one person nearer"]
        print(f"  {space:17} a pair of one person is nearer than a pair of two: {share:.1%}")
    print(f"  face network, nearer than .6: {seen['one person within .6']:.1%} of pairs of one, "
          f"{seen['two persons within .6']:.1%} of pairs of two")

# %%
photo, drawing = (alike[name]["apart"] for name in ("photographs", "drawn"))
assert photo["face network"]["one person nearer"] > .999 > .95 > photo["two persons within .6"]
assert drawing["two persons within .6"] > .95
nearer = {space: drawing[space]["one person nearer"] for space in ("face network",
          "L1 of the middle", "L2 of all pixels")}
assert list(nearer.values()) == sorted(nearer.values(), reverse=True)

# %% [markdown]
# On photographs the network tells almost all pairs apart. By the rule of .6 almost all drawn faces are one person, so the rule must not be used on drawings. But distances of the network still order pairs of drawn faces better than pixels do. A likely reason: a move by a pixel changes many pixels, and nine positions count as one person here.
#
# Does it find look-alikes? In each of 20 draws half of the persons are in the training data, a quarter is held out, and a quarter are the samples. Then 15 samples are replaced by look-alikes: changed training pictures, or other pictures of training persons (*another picture*). The upper panels show the share of look-alikes whose nearest training picture is the original. In the row *another picture* it is the share whose nearest training picture shows the same person. The lower panels show in which share of the draws the test of copies alarms ($p\le.05$); for the search it is the test of transformed copies. The row *honest* has no look-alikes.
#
# *Encoder* is a small encoder as in the last section. It is trained without labels on all pictures of the set. *Untrained* is the same one with random weights. *Lit from the left* means that the brightness falls to two fifths at the right border.

# %%
columns = {"L1 of the middle": "L1", "L2 of all pixels": "L2", "face network": "face network",
           "small encoder": "encoder", "untrained encoder": "untrained",
           "search over changes": "search"}


def by_draw(data: str, kind: str, space: str, what: str) -> list[float]:
    "A share of the look-alikes in every draw, or 1 for each draw with an alarm."
    found = [row["found"][kind][space] for setting, row in alike[data].items()
             if setting.startswith("draw ")]
    return [float(one["p"] <= .05) if what == "alarm" else one[what] for one in found]


# %%
def mean(data: str, kind: str, space: str, what: str) -> float:
    "The mean over the draws; in place of the original the person, if the original is not there."
    what = "person" if (kind, what) == ("another picture", "original") else what
    values = by_draw(data, kind, space, what)
    return sum(values) / len(values)


figure, panels = axes(2, 2, size=(4.4, 3))
for what, line in zip(("original", "alarm"), panels):
    for data, ax in zip(alike, line):
        kinds = [k for k in alike[data]["draw 0"]["found"] if what == "alarm" or k != "honest"]
        share = torch.tensor([[mean(data, k, s, what) for s in columns] for k in kinds])
        ax.imshow(share, cmap="Oranges", vmin=0, vmax=1.6, aspect="auto")
        for i, j in torch.cartesian_prod(*map(torch.arange, share.shape)).tolist():
            ax.text(j, i, f"{share[i, j]:.0%}", ha="center", va="center", fontsize=9)
        ax.set(title=f"{data}: {'found again' if what == 'original' else 'test alarms'}",
               xticks=range(6), xticklabels=columns.values(), yticks=range(len(kinds)),
               yticklabels=kinds)
        ax.tick_params(axis="x", rotation=30)
lit, hard = "lit from the left", "moved, lit, noisy"
said = [f"{data}, {kind}: the face network finds {mean(data, kind, 'face network', 'original'):.0%}"
        f" of the originals, L1 {mean(data, kind, 'L1 of the middle', 'original'):.0%}"
        for data in alike for kind in (lit, "noisy")]
Picture(figure, f"Shares found again, and of draws with an alarm. {'. '.join(said)}")

# %%
drawn, photos = ({(kind, columns[space]): mean(data, kind, space, "original")
                  for space in columns for kind in kinds if kind != "honest"}
                 for data in ("drawn", "photographs"))
assert drawn["noisy", "face network"] < .6 and photos["noisy", "face network"] < .85
assert all(found["noisy", "L1"] == 1 for found in (drawn, photos))
assert drawn[lit, "face network"] > .95 and photos[lit, "face network"] > .99
assert max(found[lit, s] for found in (drawn, photos) for s in ("L1", "L2", "encoder")) < .35
assert all(found[k, "search"] == 1 for found in (drawn, photos) for k in ("moved", "mirrored"))
assert drawn[hard, "search"] > .75 > .05 > drawn[hard, "face network"]
assert photos[hard, "search"] > .5 > photos[hard, "face network"] > .25 > .05 > photos[hard, "L1"]

# %% [markdown]
# No space is best for every change. Under fresh noise L1 finds all originals, and the face network finds fewer. If the light comes from the left, the network finds almost all, and pixels about a third or fewer. The search over changes finds everything that was only moved or mirrored. If a face was moved, lit and noisy, the search finds most originals; the network comes second on photographs, and fails on drawings.
#
# Another picture of a training person is a different question. On photographs the network always names the right person. Pixels do so almost always, too; the photographs of one person may be alike in light, pose and background. On drawings only the small encoder and the search name the right person almost always. There the pictures of one person differ by position and noise alone:

# %%
other = "another picture"
assert photos[other, "face network"] == 1 and min(photos[other, s] for s in ("L1", "L2")) > .9
assert min(drawn[other, s] for s in ("encoder", "search")) > .95
assert max(drawn[other, s] for s in ("L1", "L2", "face network")) < .4
{data: {s: round(found[other, s], 2) for s in columns.values()}
 for data, found in (("drawn", drawn), ("photographs", photos))}

# %% [markdown]
# A nearest picture is not an alarm. With distances of the face network the test never alarms on drawings. On photographs it always alarms for side light, and seldom for the other changes. A likely reason: the test compares with the fifth nearest training picture. Here this one often shows the same person, and for the network it is nearly as near as the original.
#
# Some alarms of the other spaces are false: with L1 and L2 the test accused honest drawn samples in a quarter of the draws or more. It is exact for independent examples, and nine pictures of one face are not independent. If you have several pictures of a person or a patient, keep them in one set, and take one of each for the test.

# %%
alarm = {(data, kind, columns[s]): mean(data, kind, s, "alarm") for data in alike for s in columns
         for kind in kinds}
of_face = {key[:2]: share for key, share in alarm.items() if key[2] == "face network"}
assert all(share == 0 for (data, _), share in of_face.items() if data == "drawn")
assert of_face.pop(("photographs", lit)) == 1 and max(of_face.values()) < .5
honest_alarms = {s: alarm["drawn", "honest", s] for s in columns.values()}
assert min(honest_alarms[s] for s in ("L1", "L2")) >= .25
honest_alarms

# %% [markdown]
# The sheets show look-alikes of drawn faces, their originals, and what is nearest in three spaces.

# %%
sheets = [row for setting, row in alike["drawn"].items() if setting.startswith("sheet")]
figure, panels = axes(2, 1, size=(6, 2.6))
for row, ax in zip(sheets, panels):
    pictures = recorded_pictures(row["pictures"], -1, row["side"], row["side"])
    image_grid(ax, pictures, 10, row["setting"].removeprefix("sheet: "))
    for line, name in enumerate(row["rows"]):
        ax.text(-6, 16 + 33 * line, columns.get(name, name), ha="right", va="center", fontsize=8)
Picture(figure, "Ten look-alikes lit from the left and ten that were moved, lit and noisy; below "
                "each its original and the nearest face by L1, by the face network, by the search")

# %% [markdown]
# Four statements stood in the script before these draws, the last one since two trial draws. Each counts as shown if the 95 % intervals over the 20 draws are apart. The draws divide the same 38 persons, or 66 drawings, again and again. So the intervals are about other divisions of these, not about other people. All four hold. The second holds by a small margin: pixels name the right person of 98 % of the unseen photographs. We had expected it to fail.

# %%
def versus(data: str, kind: str, what: str, names=("L1 of the middle", "L2 of all pixels")):
    "The face network, and the best of the other spaces, as intervals over the draws."
    face, *others = (interval(by_draw(data, kind, s, what), low=0, high=1)
                     for s in ("face network", *names))
    return face, max(others, key=lambda one: one.mean)


face, pixels = versus("drawn", "noisy", "original", ["L1 of the middle"])
claim("Of drawn faces with fresh noise a face network finds fewer originals than L1",
      paper="this course", section="look-alikes, 20 draws", holds=face.high < pixels.low, ours=face,
      baseline=f"L1 {pixels}")

# %%
face, pixels = versus("photographs", other, "person")
assert pixels.mean > .97
claim("A face network names the person of an unseen photograph more often than pixels do",
      paper="this course", section="look-alikes, 20 draws", holds=face.low > pixels.high, ours=face,
      baseline=f"best of L1 and L2 {pixels}")

# %%
face, pixels = versus("photographs", hard, "original", ["L1 of the middle"])
claim("Of photographs that were moved, lit and noisy a face network finds more originals than L1",
      paper="this course", section="look-alikes, 20 draws", holds=face.low > pixels.high, ours=face,
      baseline=f"L1 {pixels}")

# %%
face, pixels = versus("photographs", lit, "person")
claim("A face network names the person of a photograph lit from the left more often than pixels do",
      paper="this course", section="look-alikes, 20 draws", holds=face.low > pixels.high, ours=face,
      baseline=f"best of L1 and L2 {pixels}")

# %% [markdown]
# ## Under your hands
# **Predict:** in which of the two pictures below will moved copies differ from held-out data? Choose a fault, and the share of the samples that have it. The curves show the ratios of the pictures as they are, and the ratios after the search.

# %%
faults = {"timid": lambda x: pulled(.3)[:len(x)], "exact": lambda x: x, "dimmed": lambda x: .7 * x,
          "moved": lambda x: moved(x, 1, 0), "mirrored": lambda x: x.flip(-1)}


# %%
def look(fault: str, share: float):
    "The alarms, and a picture of the ratios."
    x, count = perfect.clone(), round(share * len(perfect))
    x[:count] = faults[fault](train[:count])
    report = copies(x, train, unseen)
    figure, panels = axes(1, 2, size=(3, 2.3))
    for ax, kind, title in zip(panels, ("", "transformed "), ("as they are", "up to a change")):
        for name, colour, dash in (("holdout", REAL, "-"), ("samples", FAKE, "--")):
            values = report.ratios[kind + name].sort().values
            ax.plot(values, torch.linspace(0, 1, len(values)), dash, c=colour, label=name)
        ax.set(xlim=(0, 1), xlabel=f"ratio, {title}", ylabel="share below")
    panels[0].legend()
    said = ", ".join(report.alarms) or "none"
    figure.suptitle(f"{share:.0%} {fault}: alarms {said}", fontsize=9)
    return report.alarms, Picture(figure, f"With {share:.0%} {fault} the alarms are: {said}")


# %%
import ipywidgets as w

knobs = [w.ToggleButtons(options=list(faults)),
         w.SelectionSlider(options=[0., .02, .05, .1, .2, .3], value=.1, description="share")]
view = w.Image(format="png")

def show(change=None):
    view.value = look(*(knob.value for knob in knobs))[1].png

for knob in knobs:
    knob.observe(show, "value")
show()
w.VBox([*knobs, view])

# %%
before = view.value
knobs[0].value = "moved"
assert view.value != before
look("moved", .3)[1]

# %% [markdown]
# ## In your own code
# A tenth of the samples are mirrored training pictures. The report names the test, the pair and the change.

# %%
torch.manual_seed(0)
x, new, mine = torch.rand(3, 300, 3, 16, 16)
mine[:30] = x[:30].flip(-1)
report = copies(mine, x, new)
report.alarms, report.matches[0], report.to_json()["verdict"]

# %% [markdown]
# An error names the argument, what came, and what was expected:

# %%
print(error_message(copies, mine, x, new[:, :1]))
print(error_message(copies, mine, x, new, features=lambda v: v[:3]))
print(error_message(transformed_ratio, torch.rand(9, 1, 4, 4), torch.rand(9, 1, 4, 4)))

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.copying import grade_ratio, grade_share, grade_k, grade_mirrored

# %% [markdown]
# **1.** (easy, 3 minutes) A sample is 2 away from its nearest training example and 8 from the fifth nearest. Then all distances are doubled, because the unit changes. What is the ratio now?
#
# <details><summary>Hint</summary>
#
# What happens to both distances?
#
# </details>

# %%
answer = ...
grade_ratio(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Both distances are doubled, so the ratio does not change.
#
# ```python
# answer = (2 * 2) / (2 * 8)
# ```
#
# </details>

# %% [markdown]
# **2.** (easy, 5 minutes) Of 1,000 samples 140 *count*, of 1,000 held-out examples 50. About how many of the samples are copies?
#
# <details><summary>Hint</summary>
#
# Use $\pi=1-\frac{1-a}{1-b}$, and multiply by the number of samples.
#
# </details>

# %%
answer = ...
grade_share(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $a=.14$ and $b=.05$. The difference of the counts, 90, is too small: copies would not be among the 5 % that count by chance.
#
# ```python
# answer = 1000 * (1 - (1 - .14) / (1 - .05))
# ```
#
# </details>

# %% [markdown]
# **3.** (medium, 10 minutes) A training set holds every scan three times. Which is the smallest `k` for which *noisy* copies still have a small ratio $r_k$?
#
# <details><summary>Hint</summary>
#
# Which training examples are the three nearest ones of a noisy copy? The first *other* example is the next one.
#
# </details>

# %%
answer = ...
grade_k(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The three nearest examples are the same scan, at the same distance. So $r_2$ and $r_3$ are about 1.
#
# ```python
# answer = 4
# ```
#
# </details>

# %% [markdown]
# **4.** (medium, 15 minutes) Write `mirrored_ratio(x, train)` for pictures `(n, h, w)` and `(m, h, w)`. It is the ratio of the nearest to the fifth nearest distance. The distance of a sample to a training picture is the smaller one of two: that of the sample as it is, and that of the sample mirrored from left to right.
#
# <details><summary>Hint</summary>
#
# Make two matrices of distances, `(n, m)` each, and take the smaller entry at each place. Only then sort.
#
# </details>

# %%
def mirrored_ratio(x, train):
    ...

answer = mirrored_ratio
grade_mirrored(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mirrored_ratio(x, train):
#     known = train.flatten(1).double()
#     views = [torch.cdist(v.flatten(1).double(), known) for v in (x, x.flip(-1))]
#     near = torch.minimum(*views).sort(1).values
#     return near[:, 0] / near[:, 4]
#
# answer = mirrored_ratio
# ```
#
# The smaller of two *ratios* is something else: the fifth nearest distance must be taken over the same list of changes. And joining both matrices side by side would count a training picture twice.
#
# </details>

# %% [markdown]
# ## Recap
# - A sample that is close to training data need not be a copy. A copy has one training example much nearer than the next. The ratio of distances shows this; a distance alone does not.
# - Tests against held-out data are exact. Groups prevent a false alarm for a generator that makes too many of one kind.
# - Copies may be moved, mirrored, cropped or dimmed. Search for the change, in the same way for samples and for held-out data.
# - A timid generator lacks variety, but it does not copy. DCR, authenticity and $C_T$ do not tell the two apart. Read them beside their held-out values.
# - Which space finds a look-alike depends on the change: pixels under noise, a face network under another light, the search after a move. A nearest picture is not an alarm yet.
# - Changes that are not in the list, such as turning, are not found. The audit of [4.2](02_audit.ipynb) contains both tests of copies of this chapter.
#
# **For later.**
#
# 1. Why must the groups be found without looking at samples?
# 2. Why does a data set that holds each picture ten times hide its *noisy* copies from $r_5$, and not its exact ones?
# 3. Which change would you add for your pictures?
#
# <details><summary>Answers</summary>
#
# 1. If samples helped to form the groups, the groups would depend on the labels. Then labels shuffled within groups are not exchangeable, and the test is not exact.
# 2. The five nearest examples of a noisy copy are the same picture at the same distance, so the ratio is about 1. For an exact copy even the fifth distance is 0, and then `near_ratio` returns 0.
# 3. It depends on the pictures: turns for microscopy or satellite pictures, colour changes for photos, or another cut-out. Every change must be searched for held-out pictures, too. A longer list makes small ratios more usual, so it costs power.
#
# </details>
#
# **References.** C. Meehan, K. Chaudhuri, S. Dasgupta, *A non-parametric test to detect data-copying in generative models*, AISTATS 2020. A. Alaa, B. van Breugel, E. Saveliev, M. van der Schaar, *How faithful is your synthetic data?*, ICML 2022. N. Carlini and others, *Extracting training data from diffusion models*, USENIX Security 2023. F. Samaria, A. Harter, *Parameterisation of a stochastic model for human face identification*, WACV 1994. A. Donner, G. Zou, *Closed-form confidence intervals for functions of the normal mean and standard deviation*, 2012. S. Holm, *A simple sequentially rejective multiple test procedure*, 1979.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.copying
"Graders of chapter 4.4."
import functools

import torch

from modelab.course.exercises import as_number, exercise
from modelab.evaluation.copies import copy_ratio

# %%
#| export course.graders.copying
@exercise(accepts=[.25, 2 / 8], rejects=[.5, 4, 2, .125, "x"])
def grade_ratio(answer):
    assert abs(as_number(answer) - 2 / 8) < 1e-9, "what happens to both distances?"

# %%
#| export course.graders.copying
@exercise(accepts=[1000 * (1 - .86 / .95), 95], rejects=[90, 140, 50, .095, 900])
def grade_share(answer):
    assert abs(as_number(answer) - 90 / .95) < 1, \
        "some samples would count without being copies: use the formula with both shares"

# %%
#| export course.graders.copying
@functools.cache
def thrice() -> tuple[torch.Tensor, torch.Tensor]:
    "Noisy copies of scans, and a training set that holds every scan three times."
    from sklearn.datasets import load_digits
    scans = torch.as_tensor(load_digits().images / 16)[:600]
    noise = torch.randn(200, 8, 8, generator=torch.Generator().manual_seed(0))
    return scans[:200] + .05 * noise, scans.repeat(3, 1, 1)

# %%
#| export course.graders.copying
@exercise(accepts=[4], rejects=[2, 3, 5, 1, 10])
def grade_k(answer):
    k = int(as_number(answer))
    assert k > 1, "the ratio of the nearest distance to itself is always 1"
    assert copy_ratio(*thrice(), k).median() < .5, "the k nearest are all the same scan"
    assert k == 2 or copy_ratio(*thrice(), k - 1).median() > .9, "a smaller k works, too"

# %%
#| export course.graders.copying
def by_views(x, train, flip=-1, of_ratios=False, twice=False, power=1):
    "The right ratio, and wrong ones by the options."
    known = train.flatten(1).double()
    views = x, (x.flip(flip) if flip else x)
    one, two = (torch.cdist(v.flatten(1).double(), known) ** power for v in views)
    if of_ratios:
        return torch.minimum(*(d.sort(1).values[:, 0] / d.sort(1).values[:, 4] for d in (one, two)))
    near = (torch.cat([one, two], 1) if twice else torch.minimum(one, two)).sort(1).values
    return near[:, 0] / near[:, 4]

# %%
#| export course.graders.copying
@exercise(accepts=[by_views], rejects=[functools.partial(by_views, **wrong) for wrong in (
    dict(flip=-2), dict(flip=None), dict(of_ratios=True), dict(twice=True), dict(power=2))])
def grade_mirrored(mirrored_ratio):
    g = torch.Generator().manual_seed(0)
    train, x = torch.rand(40, 6, 5, generator=g), torch.rand(12, 6, 5, generator=g)
    x[0], x[1] = train[3], train[4].flip(-1)
    train[30:] = (train[:10] + train[:10].flip(-1)) / 2  # as near to a picture as to its mirror
    found = mirrored_ratio(x, train)
    assert found.shape == (12,), "one ratio for each sample"
    assert found[0] < 1e-4, "a copy as it is has ratio 0"
    assert found[1] < 1e-4, "a training picture mirrored from left to right has ratio 0"
    assert torch.allclose(found.double(), by_views(x, train), atol=1e-5), \
        "take the smaller distance to each training picture first; then sort, and divide"
