# %% [markdown]
# # Precision and recall
# > Are the samples real enough, and do they reach all of the data?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Are my samples real enough, and do they reach all of the data, where nobody labelled the modes? |
# | **You will be able to** | draw a precision–recall curve from two sets of samples, read it against a floor, a ceiling and a null, and say what it cannot see |
# | **Papers** | Sajjadi et al. 2018; Simon, Webster, Rabin 2019; Kynkäänniemi et al. 2019; Naeem et al. 2020 |
# | **Needs** | [0.3](../0_start/03_modes.ipynb), [0.4](../0_start/04_coverage.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp evaluation.precision_recall

# %%
#| export
"Precision, recall, density, coverage, precision-recall curves and the Fréchet distance."
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from modelab.core.checks import check_batch, check_choice, check_int
from modelab.core.seeding import generator_or_default
from modelab.core.signatures import checked, Count, Function, Positive, Real, Samples, Shape, Whole
from modelab.core.statistics import Interval
from modelab.evaluation.balls import balls_holding, neighbour_radii
from modelab.evaluation.neighbours import MAX_BYTES, row_blocks

# %%
#| export evaluation.balls
"Balls that reach to the k-th nearest neighbour: their radii, and which points lie inside; exact."
from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from modelab.core.checks import check_int
from modelab.core.signatures import checked, Count, Samples
from modelab.evaluation.neighbours import (CentredRows, exact_squared_distances, MAX_BYTES,
                                           rounding_bound, row_blocks)

# %%
import numpy as np

from modelab.data.readers import read_samples

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, Film, interval_plot, Picture, REAL, scatter
from modelab.core.statistics import interval
from modelab.course.claims import claim, recorded, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import mixture, ring

# %% [markdown]
# ## The Fréchet distance does not see half of the data missing
# Chapter 0.4 counted modes because it knew them. For most data there is no list of modes. So people compare two sets of samples by one number, most often the Fréchet distance: fit a normal distribution to each set (in some feature space) and measure the distance between the two distributions.
#
# Here is a ring of eight modes, and two generators that we built. The *forgetful* one shows every second mode and nothing else. The *blurry* one shows all eight, each five times too wide.
#
# **Predict:** which of them gets the better (smaller) Fréchet distance?

# %%
real = ring(radius=2, std=.1)
forgetful = mixture(real.centers[::2], .1)
blurry = ring(radius=2, std=.5)
g = torch.Generator().manual_seed(0)
laws = {"real": real, "forgetful": forgetful, "blurry": blurry}
samples = {name: law.sample(5000, generator=g) for name, law in laws.items()}

# %%
figure, panels = axes(1, 2, size=(2.6, 2.6), sharey=True)
for ax, name in zip(panels, ("forgetful", "blurry")):
    scatter(ax, samples["real"][:600], samples[name][:600], limit=3.2, size=4)
    ax.set_title(name)
Picture(figure, "The forgetful generator shows every second mode sharply; "
                "the blurry one shows all eight, too wide")


# %% [markdown]
# Examples may be points, pictures or rows of a table. Every measure of this chapter uses rows of numbers, so each example is flattened to one row.

# %%
#| export
def _feature_rows(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    "Both sets of samples as `(n, features)`, of one type on one device."
    real, fake = (x.reshape(len(x), -1) for x in (real, fake))
    return real, fake.to(real)


# %%
[tuple(rows.shape) for rows in _feature_rows(torch.zeros(5, 1, 8, 8), torch.zeros(9, 1, 8, 8))]

# %% [markdown]
# Features of many pictures in float64 need much memory, so mean and covariance are summed in parts.

# %%
#| export
def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    "Mean and covariance in float64, summed in parts of 32 MB."
    parts = row_blocks(len(x), max(1, (1 << 22) // x.shape[1]))
    mean = sum(x[rows].double().sum(0) for rows in parts) / len(x)
    covariance, bands = mean.new_zeros(len(mean), len(mean)), row_blocks(len(mean), 512)
    for rows in parts:
        gap = (x[rows] - mean).T
        for band in bands:  # only what is not below the diagonal
            covariance[band, band.start:] += gap[band] @ gap[band.start:].T
        del gap  # before the next part is made
    for band in bands:
        covariance[band.stop:, band] = covariance[band, band.stop:].T
    return mean, covariance.div_(len(x) - 1)


# %%
mean, covariance = _moments(samples["real"])
assert torch.equal(covariance, torch.cov(samples["real"].double().T))
mean, covariance

# %% [markdown]
# With $\mu,\nu$ the means and $A,B$ the covariances of the two sets, the squared distance of the two normal distributions is $\lVert\mu-\nu\rVert^2+\mathrm{tr}\big(A+B-2(AB)^{1/2}\big)$. The trace of the root is the sum of the roots of the eigenvalues of $AB$. If $A=FF^\top$, these are the eigenvalues of $F^\top BF$, which is symmetric. Cholesky's $F$ takes less time than eigenvectors. It does not exist if some features depend linearly on others.

# %%
#| export
def _factor(a: Tensor) -> Tensor:
    "F with F Fᵀ = a: Cholesky's, or by eigenvectors where a is singular."
    factor, failed = torch.linalg.cholesky_ex(a)
    if failed:
        values, vectors = torch.linalg.eigh(a)
        factor = vectors * values.clamp(min=0).sqrt()
    return factor


# %%
full = covariance.new_tensor([[2., 1], [1, 2]])
for a in (full, torch.ones_like(full)):  # the second one is singular
    assert torch.allclose(_factor(a) @ _factor(a).T, a)

# %% [markdown]
# The means, the traces and the eigenvalues give the distance.

# %%
#| export
@checked
def frechet_distance(real: Annotated[Tensor, Samples("real *event", 2)],  # or their features
                     fake: Annotated[Tensor, Samples("fake *event", 2)],
                     ) -> float:
    """Squared Fréchet distance of normal laws fitted to both sets, in float64; Heusel et al. 2017.

    >>> x = torch.tensor([[0.], [2.]])
    >>> frechet_distance(x, x + 3)
    9.0
    """
    (x, a), (y, b) = map(_moments, _feature_rows(real, fake))
    distance, factor = (x - y).square().sum() + a.trace() + b.trace(), _factor(a)
    del a  # 33 MB for 2048 features
    b = b @ factor
    shared = torch.linalg.eigvalsh(factor.T @ b).clamp(min=0).sqrt().sum()
    return (distance - 2 * shared).clamp(min=0).item()  # rounding may go below


# %%
fresh = real.sample(5000, generator=g)
compared = {**samples, "real": fresh}
distances = {name: round(frechet_distance(samples["real"], x), 4) for name, x in compared.items()}
assert 3 * distances["forgetful"] < distances["blurry"]
assert distances["forgetful"] < 2 * distances["real"]  # about that of a fresh real sample
for moment in (lambda x: x.mean(0), lambda x: x.T.cov(correction=0)):  # the same for both
    assert torch.allclose(moment(real.centers), moment(forgetful.centers), atol=1e-6)
distances

# %% [markdown]
# The forgetful one has the smaller distance, about that of a fresh real sample. The reason: the even modes of this ring have the *same* mean and the same covariance as all eight. Half of the data is missing, and the number does not show it. And a larger distance would not say whether modes are missing or samples are bad.
#
# ## Two questions instead of one
# *Precision* is the share of the generated samples that is real. *Recall* is the share of the real data that is generated. Take two probability laws on a finite set, $P$ real and $Q$ generated. The points $\omega$ of the set are called *atoms*. The common mass of the two laws, with weight $\lambda$ for the real law, is
#
# $$\alpha_\lambda=\sum_\omega\min\big(\lambda P(\omega),\,Q(\omega)\big),\qquad \beta_\lambda=\alpha_\lambda/\lambda,\qquad 0<\lambda<\infty.$$
#
# $\alpha$ is precision and $\beta$ is recall. For $\lambda\to\infty$, $\alpha$ is the mass of $Q$ on all atoms that are real *at all*. For $\lambda\to0$, $\beta$ is the mass of $P$ on all atoms that are generated *at all*. All $\lambda$ together give a curve.

# %%
#| export
ANGLES = 1001  # points on a curve


# %% [markdown]
# A curve keeps its points and the slope at each.

# %%
#| export
@dataclass(frozen=True, eq=False)
class PRCurve:
    "A precision–recall curve: `precision` α and `recall` β at slopes λ = α/β, in rising order."
    precision: Tensor
    recall: Tensor
    slopes: Tensor
    method: str

    def __repr__(self) -> str:
        return (f"PRCurve by {self.method}: F₈ {self.f(8):.3f}, F₁/₈ {self.f(1 / 8):.3f}, "
                f"area {self.area:.3f}")


# %% [markdown]
# A curve has three summaries. The F-score $F_b$ weighs recall $b$ times as much as precision and takes the best point of the curve. Its argument is called `beta`, as in other libraries; it is not the recall $\beta$.

# %%
#| export
@patch
@checked
def f(self: PRCurve, beta: Positive) -> float:
    "The best F-score on the curve; beta > 1 weighs recall more, beta < 1 precision."
    beta = min(beta, 1e100)
    a, b = self.precision, self.recall
    return float(((1 + beta ** 2) * a * b / (beta ** 2 * a + b).clamp(min=1e-300)).max())


# %% [markdown]
# The second is the area under the curve. It is an integral in polar coordinates: the angle of the slope is the polar angle of the point $(\beta,\alpha)$.

# %%
#| export
@patch(as_prop=True)
def area(self: PRCurve) -> float:
    "Area under the curve, 1 at most."
    square = self.precision.square() + self.recall.square()
    return float(torch.trapezoid(square / 2, self.slopes.atan()))


# %% [markdown]
# The third is one point of the curve:

# %%
#| export
@patch
@checked
def at(self: PRCurve, slope: Positive) -> tuple[float, float]:
    "Precision and recall at the slope nearest to the one asked for."
    i = int((self.slopes.atan() - math.atan(slope)).abs().argmin())
    return float(self.precision[i]), float(self.recall[i])


# %% [markdown]
# The slopes of a curve are the tangents of angles that are spread evenly.

# %%
#| export
def _slopes(angles: int) -> Tensor:
    "λ = tan θ for angles over the open quarter circle, its ends as near as float64 allows."
    return torch.linspace(1e-10, math.pi / 2 - 1e-10, angles, dtype=torch.float64).tan()


# %% [markdown]
# Two laws on a finite set are two lists of probabilities. The class below marks such an argument in a signature and refuses any other input.

# %%
#| export
class Probabilities(Shape):
    "Marks probabilities of sum one, one for each atom of a finite set; float64 on the CPU."

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as such a tensor, or an error."
        p = check_batch(name, value).double().flatten().cpu()
        if (p < 0).any() or abs(p.sum() - 1) > 1e-6:
            raise ValueError(f"{name}: expected probabilities of sum 1, got sum {p.sum():g}")
        return p

    def example(self, sizes: dict[str, int], generator: torch.Generator) -> Tensor:
        "Some such probabilities, for tests."
        p = torch.rand(sizes[self.axes], generator=generator, dtype=torch.float64)
        return p / p.sum()


# %% [markdown]
# `histogram_curve` is the formula above for a list of slopes. The other estimates of this chapter are checked against it.

# %%
#| export
@checked
def histogram_curve(p: Annotated[Tensor, Probabilities("atoms")],  # of the real law
                    q: Annotated[Tensor, Probabilities("atoms")],  # of the generated law
                    angles: Annotated[int, Whole(3)] = ANGLES,
                    method: str = "histogram") -> PRCurve:
    "The exact curve of two laws on a finite set (Sajjadi et al. 2018, eq. 3)."
    slopes = _slopes(angles)
    shared = torch.stack([torch.minimum(slope * p, q).sum() for slope in slopes])
    return PRCurve(shared, shared / slopes, slopes, method)


# %%
error_message(histogram_curve, torch.tensor([.5, .6]), torch.tensor([.5, .5]))

# %%
uniform = torch.full((8,), 1 / 8, dtype=torch.float64)
half = torch.tensor([1., 0] * 4, dtype=torch.float64) / 4
lost = histogram_curve(uniform, half)
lost

# %%
smeared = histogram_curve(torch.cat([uniform, torch.zeros(8)]), torch.cat([uniform, uniform]) / 2)
skewed = histogram_curve(uniform, torch.tensor([9., 1, 1, 1, 1, 1, 1, 1]) / 16)
figure, ax = axes(size=(5.4, 3))
names = "half the modes lost", "half the samples are junk", "one mode too heavy"
for curve, name, style in zip((lost, smeared, skewed), names, ("-", "--", ":")):
    ax.plot(curve.recall, curve.precision, style, label=name)
ax.set(xlabel="recall β", ylabel="precision α", xlim=(0, 1.03), ylim=(0, 1.03))
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.))
Picture(figure, "Lost modes cut recall, junk cuts precision, a wrong balance bends the corner")

# %% [markdown]
# If half of the modes are lost, the curve ends at a recall of one half. If half of the samples are junk, precision is at most one half. A wrong balance bends the corner. F₈ gives more weight to recall and F₁/₈ to precision, so many tables show this pair.
#
# **[Fidelity](../glossary.ipynb).** We test three properties of the definition. At $\lambda=1$ the curve is one minus the [total variation](../glossary.ipynb). If $P$ and $Q$ are exchanged, precision and recall are exchanged. And $\alpha_\lambda$ is the smallest error of any test. A test is a set $A$ of atoms that it calls "real":
#
# $$\alpha_\lambda=\min_A\;\lambda\,P(A^c)+Q(A).$$
#
# Six atoms have 64 subsets. We try all of them.

# %%
p, q = torch.rand(2, 6, generator=g, dtype=torch.float64)
p, q = p / p.sum(), q / q.sum()
curve, swapped = histogram_curve(p, q), histogram_curve(q, p)
assert math.isclose(curve.at(1)[0], 1 - (p - q).abs().sum().item() / 2, abs_tol=1e-12)
assert torch.allclose(curve.precision, swapped.recall.flip(0), rtol=1e-5)

# %%
subsets = torch.tensor([[i >> b & 1 for b in range(6)] for i in range(64)], dtype=torch.float64)
errors = curve.slopes[:, None] * ((1 - subsets) @ p) + subsets @ q
assert torch.allclose(errors.amin(1), curve.precision, rtol=1e-12)
"the best of 64 tests has error α, for each of", len(curve.slopes), "slopes"

# %% [markdown]
# This equation is the main result of Simon, Webster and Rabin. Precision and recall are the *errors of the best classifier* that tells real from generated. So they are defined for any two laws, not only for histograms. The equation also says what a poor classifier does. A minimum over fewer sets is larger, so **a weak classifier makes the generator look better than it is**.
#
# ## From samples: count in clusters
# Samples of continuous data have no atoms. Sajjadi et al. use clusters as atoms: k-means on the union of both sets, with twenty clusters, gives two histograms. Here is a case where this fails. The data has 20 groups of five narrow modes each. The generator shows one mode of every group. Its true recall is one fifth.
#
# **Predict:** what recall do twenty clusters report?

# %%
columns, rows = torch.meshgrid(torch.arange(5.), torch.arange(4.), indexing="xy")
side = torch.stack([columns, rows], -1).reshape(-1, 2) * 5
cross = .8 * torch.tensor([[0., 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
fine = mixture((side[:, None] + cross).reshape(-1, 2), .08)
narrow = mixture(side, .08)

# %%
P, Q = fine.sample(4000, generator=g), narrow.sample(4000, generator=g)
figure, ax = axes(size=(4.2, 3.2))
scatter(ax, P[:2500], Q[:700], size=3)
Picture(figure, "Twenty groups of five tight modes; "
                "the generator's crosses sit on the middle mode of each group")


# %% [markdown]
# scikit-learn needs a whole number as its seed. We draw it from our random generator, so that one seed determines all results.

# %%
#| export
def _random_state(generator: torch.Generator) -> int:
    "A seed for scikit-learn."
    return int(torch.randint(2 ** 31 - 1, (), generator=generator))


# %% [markdown]
# Both sets must have the same size, so the larger one is thinned at random.

# %%
#| export
def _equal_counts(real: Tensor, fake: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    "As many real examples as generated ones, in random order."
    n = min(len(real), len(fake))
    return tuple(x[torch.randperm(len(x), generator=generator)[:n]] for x in (real, fake))


# %%
[tuple(x.shape) for x in _equal_counts(P, Q[:100], torch.Generator().manual_seed(0))]

# %% [markdown]
# Cluster the union, count each set per cluster, and take the exact curve of the two histograms.

# %%
#| export
def _clustered_curve(real: Tensor, fake: Tensor, clusters: int, angles: int,
                     generator: torch.Generator) -> PRCurve:
    "The curve of two histograms over k-means clusters of the union (Sajjadi et al. 2018)."
    from sklearn.cluster import MiniBatchKMeans
    both = torch.cat(_equal_counts(real, fake, generator))
    check_int("clusters", clusters, 2, len(both))
    means = MiniBatchKMeans(clusters, n_init=10, random_state=_random_state(generator))
    cluster = torch.as_tensor(means.fit(both.numpy()).labels_).long()
    counts = [torch.bincount(part, minlength=clusters).double() for part in cluster.chunk(2)]
    p, q = (count / count.sum() for count in counts)
    return histogram_curve(p, q, angles)


# %% [markdown]
# k-means depends on its start, so several clusterings are averaged.

# %%
#| export
def _mean_curve(curves: list[PRCurve], method: str) -> PRCurve:
    "Precision and recall averaged over curves of the same slopes."
    precision = torch.stack([curve.precision for curve in curves]).mean(0)
    recall = torch.stack([curve.recall for curve in curves]).mean(0)
    return PRCurve(precision, recall, curves[0].slopes, method)


# %% [markdown]
# ## From samples: train a classifier
# A classifier needs no clusters. Train it on one half of both sets to tell real from generated, and compute its scores on the other half. Each threshold $t$ of the score is a set $A$. Its miss rate is $\mathrm{fnr}(t)$, its false-alarm rate is $\mathrm{fpr}(t)$, and
#
# $$\hat\alpha_\lambda=\min_t\;\lambda\,\mathrm{fnr}(t)+\mathrm{fpr}(t).$$

# %%
#| export
@checked
def error_curve(real_scores: Annotated[Tensor, Samples("real")],  # of held-out data; high = real
                fake_scores: Annotated[Tensor, Samples("fake")],
                angles: Annotated[int, Whole(3)] = ANGLES,
                method: str = "classifier") -> PRCurve:
    "The curve of all thresholds on a score: type I and II errors (Simon, Webster, Rabin 2019)."
    real, fake = (scores.double().cpu().sort().values for scores in (real_scores, fake_scores))
    infinity = torch.tensor([math.inf], dtype=torch.float64)
    cuts = torch.cat([torch.cat([real, fake]).unique(), infinity])
    missed = torch.searchsorted(real, cuts) / len(real)      # real below the cut
    alarms = 1 - torch.searchsorted(fake, cuts) / len(fake)  # generated at or above it
    slopes = _slopes(angles)
    least = torch.stack([(slope * missed.double() + alarms).min() for slope in slopes])
    return PRCurve(least, least / slopes, slopes, method)


# %%
error_curve(torch.tensor([.6, .7, .9]), torch.tensor([.1, .2, .65])).at(1)

# %% [markdown]
# You may give any classifier of scikit-learn. The default is a hundred extremely randomised trees.

# %%
#| export
def _seeded_classifier(classifier: Any, generator: torch.Generator) -> Any:
    "An untrained copy of the classifier, or trees for None, with a seed from the generator."
    from sklearn.base import clone
    from sklearn.ensemble import ExtraTreesClassifier
    if classifier is None:
        classifier = ExtraTreesClassifier(100, min_samples_leaf=5)
    classifier = clone(classifier)
    if "random_state" in classifier.get_params():
        classifier.set_params(random_state=_random_state(generator))
    return classifier


# %% [markdown]
# `_classifier_curve` trains on one half of both sets and scores the other. With `held_out=False` it scores the training half, to show below why that is wrong.

# %%
#| export
def _classifier_curve(real: Tensor, fake: Tensor, classifier: Any, held_out: bool, angles: int,
                      generator: torch.Generator) -> PRCurve:
    "Train on one half of both sets and score the other."
    classifier = _seeded_classifier(classifier, generator)
    real, fake = _equal_counts(real, fake, generator)
    half = len(real) // 2
    is_real = torch.arange(2 * half) < half
    classifier.fit(torch.cat([real[:half], fake[:half]]).numpy(), is_real.numpy())
    score = getattr(classifier, "predict_proba", None) or classifier.decision_function
    judged = [x[half:] if held_out else x[:half] for x in (real, fake)]
    scores = [torch.as_tensor(score(x.numpy())) for x in judged]
    scores = [s[:, -1] if s.ndim > 1 else s for s in scores]
    return error_curve(*scores, angles, type(classifier).__name__)


# %% [markdown]
# Both ways behind one name:

# %%
#| export
@checked
def pr_curve(real: Annotated[Tensor, Samples("real *event", 4)],  # examples or their features
             fake: Annotated[Tensor, Samples("fake *event", 4)],  # generated ones
             method: Literal["classifier", "clusters"] = "classifier",
             *, clusters: Annotated[int, Whole(2)] = 20,  # for "clusters": how many
             rounds: Count = 10,  # for "clusters": how many clusterings to average
             classifier: Any = None,  # for "classifier": one of scikit-learn; None: 100 trees
             held_out: bool = True,  # False scores the training half, to show why one must not
             angles: Annotated[int, Whole(3)] = ANGLES,  # points on the curve
             generator: torch.Generator | None = None,  # for shuffling and seeds; None: a fixed one
             ) -> PRCurve:
    """Precision and recall of samples against real data, for every trade-off between them.

    >>> round(pr_curve(torch.randn(400, 2), torch.randn(400, 2) + 50).area, 2)  # nothing in common
    0.0
    """
    real, fake = (x.cpu() for x in _feature_rows(real, fake))
    generator = generator_or_default(generator)
    if method == "classifier":
        return _classifier_curve(real, fake, classifier, held_out, angles, generator)
    curves = [_clustered_curve(real, fake, clusters, angles, generator) for _ in range(rounds)]
    return _mean_curve(curves, f"{clusters} clusters")


# %%
from sklearn.neighbors import KNeighborsClassifier

truth = histogram_curve(torch.full((100,), .01), torch.tensor([1., 0, 0, 0, 0] * 20) / 20)
found = {f"{k} clusters": pr_curve(P, Q, "clusters", clusters=k, rounds=3)
         for k in (20, 40, 100, 200)}
found["20 neighbours"] = pr_curve(P, Q, classifier=KNeighborsClassifier(20))
found |= {"trees": pr_curve(P, Q), "truth": truth}
for name, curve in found.items():
    print(f"{name:24} F8 {curve.f(8):.3f}   F1/8 {curve.f(1 / 8):.3f}   area {curve.area:.3f}")

# %% [markdown]
# With twenty clusters each group is one cluster, so differences inside a group are not counted. They report full recall although four fifths of the data are missing. With a hundred clusters the recall is right, but then you must know that there are a hundred modes. A held-out classifier does not need to know it. The claim, over eight draws of the data:

# %%
def recalls(seed: int) -> tuple[float, float]:
    "F₈ by twenty clusters and by a held-out classifier, on fresh samples."
    g = torch.Generator().manual_seed(seed)
    P, Q = fine.sample(4000, generator=g), narrow.sample(4000, generator=g)
    return pr_curve(P, Q, "clusters", rounds=2, generator=g).f(8), pr_curve(P, Q, generator=g).f(8)


# %%
by_clusters, by_classifier = (interval(v, low=0, high=1)
                              for v in zip(*(recalls(s) for s in range(8))))

# %%
claim("A held-out classifier finds the true recall of .20 where twenty clusters report full recall",
      paper="Simon, Webster, Rabin 2019", section="in this course's setting: groups in the plane",
      figure="no number in its abstract; classes of CIFAR-10 there", ours=by_classifier,
      baseline=by_clusters,
      holds=by_classifier.high < .25 and by_clusters.low > .9)

# %% [markdown]
# The classifier must be scored on *held-out* data. Give it two sets from the same law. On data that it has not seen it finds no difference, which is right. On its own training half it "finds" differences that are not there.

# %%
P, P2 = fine.sample(4000, generator=g), fine.sample(4000, generator=g)
fair, unfair = pr_curve(P, P2), pr_curve(P, P2, held_out=False)
assert fair.area > .95 > unfair.area
fine_clusters = pr_curve(P, P2, "clusters", clusters=200, rounds=2)
curves = {"held out": fair, "on its own training half": unfair, "200 clusters": fine_clusters}
{name: round(curve.area, 3) for name, curve in curves.items()}

# %% [markdown]
# With enough data the estimate is an upper bound of the curve. A weak classifier makes it too good. Here a linear classifier must tell the ring from every second of its modes.

# %%
from sklearn.linear_model import LogisticRegression

ring_truth = histogram_curve(uniform, half)
judges = {"a straight line": LogisticRegression(), "trees": None}
flattered = {name: pr_curve(samples["real"], samples["forgetful"], classifier=c)
             for name, c in judges.items()}
figure, ax = axes(size=(4.8, 3))
for (name, curve), style in zip([("truth", ring_truth), *flattered.items()], ("-", "--", ":")):
    ax.plot(curve.recall, curve.precision, style, label=name)
ax.set(xlabel="recall β", ylabel="precision α", xlim=(0, 1.03), ylim=(0, 1.03))
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.))
areas = {name: curve.area for name, curve in flattered.items()}
Picture(figure, f"Area under the curve: {areas['a straight line']:.2f} with a straight line, "
                f"{areas['trees']:.2f} with trees, {ring_truth.area:.2f} in truth")

# %%
assert areas["a straight line"] > .7 and abs(areas["trees"] - ring_truth.area) < .05
{name: curve for name, curve in flattered.items()}

# %% [markdown]
# ## What is from Simon, Webster and Rabin
# | Part of the paper | In this chapter |
# |---|---|
# | precision and recall of any two laws, as the errors of the best test | faithful; exact for laws on a finite set, checked over all 64 tests of six atoms |
# | one half of the samples to train, the other to score; all thresholds, slopes of equal angles | faithful, but for the split: their code decides by a coin, for each pair of a real and a generated example, which of the two is trained on |
# | a linear classifier on features of an Inception network, the median of ten | simplified: a hundred trees, or any classifier of scikit-learn, once, on the examples or on features that you give |
# | training stopped by the half that is scored (released code) | not done: this half is for the score alone |
# | pictures of CIFAR-10, the first $q$ classes against the first five, on features of an Inception network | [below](#Pictures-with-a-known-curve) with MNIST, on pixels and on features of the digit classifier. The paper's curves are not quoted, since we read only its abstract and its code |
#
# ## Balls around points
# The measures that most papers print use balls. They are called k-nearest-neighbour (k-NN) measures. Around every real point there is a ball that reaches to its $k$-th nearest real neighbour. The union of these balls stands for the support of the data, the place where it lies. *Precision* is the share of generated points inside it. *Recall* is the same with balls around the generated points and real points inside. *Density* is the mean number of real balls that hold a generated point, over $k$. *[Coverage](../glossary.ipynb)* is the share of real balls that hold any generated point.
#
# Two details decide whether such code can be trusted. First **ties**: with $<$ instead of $\le$, two identical sets of repeated values score zero. Second **rounding**: fast distances, $|x|^2+|y|^2-2x\cdot y$ in float32, do not give a copy the distance zero:

# %%
images = torch.rand(2000, 3072, generator=g)
gap = torch.cdist(images, images.clone(), compute_mode="use_mm_for_euclid_dist").diagonal()
f"{(gap > 1e-3).sum()} of 2000 exact copies are more than .001 away, the worst {gap.max():.3f}"


# %% [markdown]
# We keep the speed and remove the error. The fast product has an error bound. A pair that is farther from the limit than this bound is decided. The few other pairs are computed again, by differences in float64. Only one block of distances is in memory at a time. The method is that of the search in [3.1](../3_inclusion/01_imle.ipynb). You may skip its cells at a first reading and continue with [the four numbers](#The-four-numbers).

# %% [markdown]
# First a common mean is subtracted from all rows, because rounding errors are smallest near zero.

# %%
#| export evaluation.balls
def _mean_row(x: Tensor) -> Tensor:
    "The mean of the rows, summed in parts: a mean in float64 would first make all of x float64."
    sums = (x[rows].sum(0, dtype=torch.float64) for rows in row_blocks(len(x), 1024))
    return sum(sums).div(len(x)).to(x.dtype)


# %% [markdown]
# `_centred` holds the rows less that mean. It computes products in float32 where torch computes these in full precision, otherwise in float64.

# %%
#| export evaluation.balls
def _centred(x: Tensor, middle: Tensor | None = None) -> CentredRows:
    "Rows about a common middle; in float32 unless products are set to be coarser."
    exact = torch.get_float32_matmul_precision() == "highest" and x.dtype == torch.float32
    middle = _mean_row(x) if middle is None else middle
    return CentredRows(x, middle, torch.float32 if exact else torch.float64)


# %% [markdown]
# The error of a fast distance has a bound that holds for all pairs of rows.

# %%
#| export evaluation.balls
def _rounding_error(near: CentredRows, far: CentredRows) -> float:
    "A bound on the rounding error of |x|² + |y|² - 2x·y over all pairs of rows."
    longest = float(near.square.max().sqrt() + far.square.max().sqrt())
    return rounding_bound(near.x.shape[1], near.kind) * longest ** 2


# %% [markdown]
# Distances are computed in square blocks, called *tiles*. `_tiles` chooses their size by the memory that is allowed.

# %%
#| export evaluation.balls
def _tiles(n: int, max_bytes: int) -> list[slice]:
    "Rows in blocks, so that the distances of a block to a block stay under `max_bytes`."
    side = min(n, math.isqrt(max_bytes // 24))
    return row_blocks(n, max(16, side // 16 * 16))  # multiples of 16: others are slower by a third


# %% [markdown]
# `_tile` computes one block of squared distances by the fast product.

# %%
#| export evaluation.balls
def _tile(near: CentredRows, rows: slice, far: CentredRows, columns: slice) -> Tensor:
    "Squared distances of a block of rows to a block of others, by the fast product."
    tile = torch.addmm(far.square[columns], near[rows], far[columns].T, alpha=-2)
    return tile.add_(near.square[rows, None])


# %% [markdown]
# ### How far each ball reaches
# For each row we keep a short list of its `k` + 3 nearest others, found by fast products. Then exact distances remove two possible errors. First, rounding may have put the list in a wrong order. Second, a row outside the list may be nearer than the `k`-th inside.

# %%
#| export evaluation.balls
class _RadiusSearch:
    "The distance of each row to its k-th nearest other row: first a short list, then the doubts."
    def __init__(self, x: Tensor, k: int, max_bytes: int):
        self.x, self.k, self.n = x, k, len(x)
        self.width = min(self.n - 1, k + 3)  # of the short list
        self.rows = _centred(x)
        self.error = _rounding_error(self.rows, self.rows)
        self.tiles = _tiles(self.n, max_bytes)
        self.best = self.rows.square.new_full((self.n, self.width), math.inf)
        self.who = torch.zeros((self.n, self.width), dtype=torch.long, device=x.device)


# %% [markdown]
# The matrix of distances is symmetric, so half of its tiles are enough. Each tile serves its rows, and transposed its columns.

# %%
#| export evaluation.balls
@patch
def offer(self: _RadiusSearch, rows: slice, tile: Tensor, first: int) -> None:
    """Put the nearest of a tile, whose columns begin at `first`, on the short lists of some
    rows.
    """
    values, at = tile.topk(min(self.width, tile.shape[1]), largest=False)
    values = torch.cat([self.best[rows], values], 1)
    at = torch.cat([self.who[rows], at + first], 1)
    self.best[rows], kept = values.topk(self.width, largest=False)
    self.who[rows] = at.gather(1, kept)


# %% [markdown]
# `fill_short_lists` computes one half of the tiles and offers each to both sides. A row is not offered to itself.

# %%
#| export evaluation.balls
@patch
def fill_short_lists(self: _RadiusSearch) -> None:
    "Look at every pair of rows once."
    for i, rows in enumerate(self.tiles):
        for columns in self.tiles[i:]:
            tile = _tile(self.rows, rows, self.rows, columns)
            if columns is rows:
                tile.fill_diagonal_(math.inf)  # a row is not its own neighbour
            self.offer(rows, tile, columns.start)
            if columns is not rows:
                self.offer(columns, tile.T, rows.start)


# %% [markdown]
# If two distances of a list differ by less than the error bound, the whole list is computed exactly.

# %%
#| export evaluation.balls
@patch
def listed_radii(self: _RadiusSearch) -> Tensor:
    "Exact squared distance to the k-th of the short list."
    x, every = self.x, torch.arange(self.n, device=self.x.device)
    kth = self.best[:, self.k - 1, None]
    radius = exact_squared_distances(x, x, every, self.who[:, self.k - 1])
    ties = every[((self.best - kth).abs() <= 2 * self.error).sum(1) > 1]
    rows, columns = ties.repeat_interleave(self.width), self.who[ties].flatten()
    listed = exact_squared_distances(x, x, rows, columns).view(-1, self.width)
    radius[ties] = listed.kthvalue(self.k, dim=1).values
    return radius


# %% [markdown]
# If the last distance of the list is not certainly larger than the radius, all rows that could be nearer are computed exactly.

# %%
#| export evaluation.balls
@patch
def search_all(self: _RadiusSearch, i: int, radius: Tensor) -> Tensor:
    "The exact radius of row i, at most `radius`, from all rows that could lie that near."
    near = self.rows[i:i + 1].T
    products = torch.cat([self.rows[rows] @ near for rows in self.tiles])[:, 0]
    distance = products.mul_(-2).add_(self.rows.square).add_(self.rows.square[i])
    distance[i] = math.inf
    close = (distance <= radius + self.error).nonzero()[:, 0]
    exact = exact_squared_distances(self.x, self.x, torch.full_like(close, i), close)
    return exact.kthvalue(self.k).values


# %% [markdown]
# `radii` joins the steps: the short lists, the exact distances in them, and the full search for the rows that are still in doubt.

# %%
#| export evaluation.balls
@patch
def radii(self: _RadiusSearch) -> Tensor:
    "Squared, in float64."
    self.fill_short_lists()
    radius = self.listed_radii()
    if self.width < self.n - 1:
        doubt = self.best[:, -1].double() - self.error < radius
        for i in doubt.nonzero()[:, 0].tolist():
            radius[i] = self.search_all(i, radius[i])
    return radius


# %% [markdown]
# `neighbour_radii` is the function that the measures call.

# %%
#| export evaluation.balls
@checked
def neighbour_radii(x: Annotated[Tensor, Samples("n features", 2)],
                    k: Count,  # less than n
                    max_bytes: Count = MAX_BYTES,  # for the distances held at a time
                    ) -> Tensor:  # (n,) squared, float64
    "Squared distance of each row to its k-th nearest other row, exact: ties and copies included."
    check_int("k", k, 1, len(x) - 1)
    return _RadiusSearch(x, k, max_bytes).radii()


# %%
corners = torch.tensor([[0., 0], [0, 1], [0, 1], [3, 1]])
assert neighbour_radii(corners, 1).tolist() == [1, 0, 0, 9]  # the copy is at distance zero
neighbour_radii(corners, 2)


# %% [markdown]
# ### Which points lie inside which ball
# Fast distances decide each tile, except for the pairs that are closer to the limit than the error bound. These are computed exactly.

# %%
#| export evaluation.balls
class _Inside:
    "Which pairs of rows of x and y are within a limit, a tile at a time; exact."
    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y, self.near = x, y, _centred(x)
        self.far = _centred(y, self.near.middle)
        self.error = _rounding_error(self.near, self.far)

    def decide(self, tile: Tensor, limit: Tensor, rows: slice, columns: slice) -> Tensor:
        "Where the squared distances of a tile are within the limit, `(rows, 1)` or `(1, columns)`."
        answer = tile <= (limit - self.error).to(tile.dtype)
        doubt = (tile <= (limit + self.error).to(tile.dtype)) ^ answer
        r, c = doubt.nonzero(as_tuple=True)
        exact = exact_squared_distances(self.x, self.y, r + rows.start, c + columns.start)
        answer[r, c] = exact <= limit.expand(tile.shape)[r, c]
        return answer


# %% [markdown]
# `balls_holding` goes through all pairs once, a tile at a time. The four numbers need only its three results.

# %%
#| export evaluation.balls
def balls_holding(x: Tensor, y: Tensor,  # (n, features), (m, features)
                  x_radius: Tensor,  # (n,) squared, of the balls around x
                  y_radius: Tensor | None,  # (m,) of the balls around y; None: not asked for
                  max_bytes: int) -> tuple[Tensor, Tensor, Tensor]:  # (m,) counts; (n,), (n,) bool
    "How many x-balls hold each y; which x-balls hold any y; which x are held by any y-ball."
    inside = _Inside(x, y)
    count = torch.zeros(len(y), dtype=torch.long, device=x.device)
    holds = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    held = torch.zeros_like(holds)
    columns_of_y = _tiles(len(y), max_bytes)
    for rows in _tiles(len(x), max_bytes):
        for columns in columns_of_y:
            tile = _tile(inside.near, rows, inside.far, columns)
            answer = inside.decide(tile, x_radius[rows, None], rows, columns)
            count[columns] += answer.sum(0)
            holds[rows] |= answer.any(1)
            if y_radius is not None:
                held[rows] |= inside.decide(tile, y_radius[None, columns], rows, columns).any(1)
    return count, holds, held


# %% [markdown]
# ### The four numbers
# Each number is a mean over points: over generated points for precision and density, over real ones for recall and coverage. We keep the value of each point.

# %%
#| export
@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    "Numbers from k-nearest-neighbour balls: means of one value per point, kept in `points`."
    k: int
    points: dict[str, Tensor] = field(repr=False)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self.points:
            raise AttributeError(f"{name}: this measure has {', '.join(self.points)}")
        return float(self.points[name].double().mean())

    def __repr__(self) -> str:
        numbers = (f"{name} {getattr(self, name):.3f}" for name in self.points)
        return f"k = {self.k}: " + ", ".join(numbers)


# %% [markdown]
# The interval is a [bootstrap](../glossary.ipynb): it draws the points again, with the balls as they are.

# %%
#| export
@patch
@checked
def interval(self: Neighbourhoods, name: str,  # such as "recall"
             confidence: Annotated[float, Real(0., 1., above=0.)] = .95,
             rounds: Annotated[int, Whole(10)] = 1000,
             generator: torch.Generator | None = None) -> Interval:
    "Bootstrap interval over the points that are counted, the balls staying as they are."
    values = self.points[check_choice("name", name, self.points)].double().cpu()
    n, generator = len(values), generator_or_default(generator)
    draws = (torch.randint(n, (n,), generator=generator) for _ in range(rounds))
    means = torch.stack([values[draw].mean() for draw in draws])
    tail = (1 - confidence) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(float(values.mean()), low, high, n)


# %% [markdown]
# Precision and recall ask for the balls of both sets, density and coverage only for the real ones.

# %%
#| export
@checked
def precision_recall(real: Annotated[Tensor, Samples("real *event", 2)],  # or their features
                     fake: Annotated[Tensor, Samples("fake *event", 2)],
                     k: Count = 3,  # a ball reaches to the k-th neighbour
                     max_bytes: Count = MAX_BYTES,  # for the distances held at a time
                     ) -> Neighbourhoods:
    """Share of generated points inside real balls (`.precision`) and the reverse (`.recall`).

    Kynkäänniemi et al. 2019. Density and coverage for the same k are there too.

    >>> x = torch.arange(10.)
    >>> precision_recall(x, x[:5])
    k = 3: precision 1.000, recall 0.800, density 1.533, coverage 0.700
    """
    real, fake = _feature_rows(real, fake)
    check_int("k", k, 1, min(len(real), len(fake)) - 1)
    radii = [neighbour_radii(x, k, max_bytes) for x in (real, fake)]
    count, holds, held = balls_holding(real, fake, *radii, max_bytes)
    return Neighbourhoods(k, {"precision": count > 0, "recall": held, "density": count / k,
                              "coverage": holds})


# %% [markdown]
# `density_coverage` needs only the balls around real points, so the radii of the generated points are not computed.

# %%
#| export
@checked
def density_coverage(real: Annotated[Tensor, Samples("real *event", 2)],
                     fake: Annotated[Tensor, Samples("fake *event")],
                     k: Count = 5, max_bytes: Count = MAX_BYTES) -> Neighbourhoods:
    """Real balls per sample over k (`.density`), share of real balls not empty (`.coverage`).

    Naeem et al. 2020.

    >>> x = torch.arange(10.)
    >>> density_coverage(x, x[:2]).coverage
    0.5
    """
    real, fake = _feature_rows(real, fake)
    radius = neighbour_radii(real, k, max_bytes)
    count, holds, _ = balls_holding(real, fake, radius, None, max_bytes)
    return Neighbourhoods(k, {"density": count / k, "coverage": holds})


# %% [markdown]
# **Fidelity.** Against the definitions, written as loops over all pairs in float64, on points of a lattice, where ties are the rule:

# %%
def by_definition(real, fake, k):
    "The four numbers straight from their definitions."
    d = lambda a, b: (a.double()[:, None] - b.double()).square().sum(-1)
    ball = lambda a: d(a, a).fill_diagonal_(math.inf).sort().values[:, k - 1]
    inside, around = d(fake, real) <= ball(real), d(real, fake) <= ball(fake)
    values = inside.any(1), around.any(1), inside.sum(1) / k, inside.any(0)
    return [v.double().mean().item() for v in values]


# %%
for scale, event in ((3, 2), (2, 5), (50, 3)):
    lattice = [torch.randint(scale, (n, event), generator=g).float() + 1000 for n in (300, 200)]
    pr, dc = precision_recall(*lattice, k=4), density_coverage(*lattice, k=4)
    assert [pr.precision, pr.recall, dc.density, dc.coverage] == by_definition(*lattice, 4)
pr, dc

# %% [markdown]
# Identical sets score one, copies are seen, and a constant set is not zero:

# %%
same = torch.ones(50, 4)
assert precision_recall(same, same.clone()).precision == 1
assert density_coverage(same, same.clone()).coverage == 1
assert precision_recall(images, images.clone()).recall == 1
[error_message(precision_recall, same, same[:, :2]),
 error_message(density_coverage, same, same, k=50)]

# %% [markdown]
# ## Floor, ceiling and null, again
# Which value is good? Two sets from the *same* law do not score one. `neighbourhood_companions` computes three values for comparison. The *[floor](../glossary.ipynb)* is that of a perfect generator, the *[ceiling](../glossary.ipynb)* that of a copy of the reference, and the *[null](../glossary.ipynb)* that of noise.

# %%
#| export
@checked
def neighbourhood_companions(
        measure: Annotated[Callable[[Tensor, Tensor], Any], Function()],  # takes (real, fake)
        real: Annotated[Tensor, Samples("real *event", 4)],
        fake: Annotated[Tensor, Samples("fake *event", 2)],
        heldout: Annotated[Tensor, Samples("heldout *event")] | None = None,  # None: half of `real`
        generator: torch.Generator | None = None,  # None: a fixed one
        ) -> dict[str, Any]:  # by name: yours, floor, ceiling, null
    "A measure of your samples, of held-out data (floor), of `real` (ceiling) and of noise (null)."
    generator = generator_or_default(generator)
    if heldout is None:
        order = torch.randperm(len(real), generator=generator)
        real, heldout = real[order[::2]], real[order[1::2]]
    n = min(len(fake), len(heldout), len(real))
    low, high = real.amin(0), real.amax(0)
    noise = low + (high - low) * torch.rand(n, *real.shape[1:], generator=generator).to(real)
    yours = fake[torch.randperm(len(fake), generator=generator)[:n]]
    compared = {"yours": yours, "floor": heldout[:n], "ceiling": real[:n], "null": noise}
    return {name: measure(real, samples) for name, samples in compared.items()}


# %%
def four(real, fake) -> dict[str, float]:
    "Precision, recall, density and coverage."
    found = precision_recall(real, fake)
    return {name: round(getattr(found, name), 3) for name in found.points}


neighbourhood_companions(four, real.sample(4000, generator=g), samples["forgetful"][:2000])

# %% [markdown]
# The floor of recall and of coverage is below one. A copy of the reference has the values of the ceiling. So a value far above the floor is no success: it suggests copies or [timid](../glossary.ipynb) samples. The floor of coverage has a closed form. A real ball is empty if the $k$ nearest of the other $n-1$ real points and the $m$ generated points are all real. If both sets have one law, all orders are equally likely:
#
# $$\mathbb E[\text{coverage}]=1-\prod_{i=1}^{k}\frac{n-i}{n+m-i}.$$

# %%
n, m, k = 400, 300, 5
pairs = ((real.sample(n, generator=g), real.sample(m, generator=g)) for _ in range(40))
draws = [density_coverage(a, b, k) for a, b in pairs]
expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
seen = interval([d.coverage for d in draws], low=0, high=1)
assert seen.low - .005 < expected < seen.high + .005
assert abs(interval([d.density for d in draws], low=0).mean - 1) < .1
seen, round(expected, 4)

# %% [markdown]
# Recall has one more weakness: outliers among the *generated* points have balls that hold everything. Recall uses these balls. Coverage uses only balls around real points, so it is not affected.

# %%
data = torch.randn(1000, 2, generator=g)
outliers = torch.tensor([[40., 0], [-40, 0], [0, 40], [0, -40]])
stray = torch.cat([torch.randn(996, 2, generator=g) * .02, outliers])
fooled = precision_recall(data, stray), density_coverage(data, stray)
assert fooled[0].recall > .99 and fooled[1].coverage < .05
fooled

# %% [markdown]
# ## What each of them cannot see
# The data has ten modes in eight dimensions, and the training set has a thousand points. We build generators with known faults. *half lost* shows five modes. *skewed* shows all ten, but one has ten times the weight of each other mode. *copies* repeats the training set, and *half copies* does so every second time. *noisy* adds noise, and *timid* moves each sample towards the centre of its mode.
#
# **Predict:** which measure detects the copies?

# %%
ten = mixture(3 * torch.randn(10, 8, generator=g), 1.)
tilted = mixture(ten.centers, 1., weights=[10.] + [1.] * 9)
five = mixture(ten.centers[:5], 1.)


def generators(train, g) -> dict:
    "A thousand samples of each built generator; the first is perfect."
    n = len(train)
    perfect, half_lost, skewed = (law.sample(n, generator=g) for law in (ten, five, tilted))
    fresh, (x, mode) = ten.sample(n, generator=g), ten.sample_with_modes(n, generator=g)
    half_copies = torch.where(torch.rand(n, 1, generator=g) < .5, train, fresh)
    noisy = fresh + .5 * torch.randn(fresh.shape, generator=g)
    timid = x + .3 * (ten.centers[mode] - x)
    return {"perfect": perfect, "half lost": half_lost, "skewed": skewed, "copies": train.clone(),
            "half copies": half_copies, "noisy": noisy, "timid": timid}


# %%
def verdicts(train, fake, g) -> dict[str, float]:
    "Six measures of one generator."
    curve = pr_curve(train, fake, generator=g)
    near, balls = precision_recall(train, fake), density_coverage(train, fake)
    return {"precision": near.precision, "recall": near.recall, "density": balls.density,
            "coverage": balls.coverage, "F₁/₈": curve.f(1 / 8), "F₈": curve.f(8)}


# %%
draws = []
for seed in range(steps(8, fast=2)):
    g = torch.Generator().manual_seed(seed)
    train = ten.sample(1000, generator=g)
    draws.append({name: verdicts(train, x, g) for name, x in generators(train, g).items()})
value = torch.tensor([[list(row.values()) for row in draw.values()] for draw in draws])
value.shape  # draws, generators, measures

# %% [markdown]
# A measure *detects* a fault if its mean leaves the range in which a perfect generator varies from draw to draw. Each cell shows the mean over the draws. A shaded cell lies more than three standard deviations of the perfect row below its mean: it looks worse than perfect, which is an alarm. A cell with a triangle lies as far above: it looks *better* than perfect, which is a warning if you know the floor.

# %%
faults, measures = list(draws[0]), list(draws[0]["perfect"])
mean, floor = value.mean(0), value[:, 0]
far = (mean - floor.mean(0)) / floor.std(0)
figure, ax = axes(size=(6, 3))
ax.imshow((far < -3).float(), cmap="Oranges", vmin=0, vmax=2, aspect="auto")
for i, j in torch.cartesian_prod(torch.arange(len(faults)), torch.arange(len(measures))).tolist():
    text = f"{mean[i, j]:.2f}" + (" ▲" if far[i, j] > 3 else "")
    ax.text(j, i, text, ha="center", va="center", fontsize=8)
ax.set(xticks=range(len(measures)), xticklabels=measures, xlabel="measure")
ax.set(yticks=range(len(faults)), yticklabels=faults, ylabel="generator")
ax.grid(False)
Picture(figure, "Six measures, seven generators; shaded: worse than perfect, triangle: better. "
                "Copies never look worse")

# %%
alarm = {(f, m): bool(far[i, j] < -3) for i, f in enumerate(faults) for j, m in enumerate(measures)}
copied = [m for m in measures if alarm["copies", m]]
claim("No kind of precision or recall takes a copied training set "
      "for worse than a perfect generator",
      paper="this course", section="blindness", ours=f"{len(copied)} of {len(measures)} measures",
      holds=not copied)

# %% [markdown]
# Read the picture by rows. Lost modes show in recall, coverage and F₈, but not in precision. A wrong balance does not show in the k-NN precision and recall, because one point is enough to cover a ball. Noise lowers precision, density and coverage, and *raises* recall. Timid samples lower recall, F₁/₈ and F₈. They *raise* precision, density and, a little, coverage, although being narrower than the data is a fault. And copies look perfect or better in every column. They need another kind of test, which chapter [4.2](02_audit.ipynb) builds.

# %%
noticed = {f: [m for m in measures if alarm[f, m]] for f in faults[1:]}
above = {f: {m for m, x in zip(measures, row) if x > 3} for f, row in zip(faults, far.tolist())}
if steps(8, fast=2) == 8:
    assert {"recall", "coverage", "F₈"} <= set(noticed["half lost"])
    assert "precision" not in noticed["half lost"]
    assert not {"precision", "recall"} & set(noticed["skewed"]) and "coverage" in noticed["skewed"]
    assert {"precision", "density", "coverage"} <= set(noticed["noisy"])
    assert "recall" in above["noisy"]
    assert {"recall", "F₁/₈", "F₈"} <= set(noticed["timid"])
    assert {"precision", "density"} <= above["timid"]
    timid, coverage = faults.index("timid"), measures.index("coverage")
    assert mean[timid, coverage] > mean[0, coverage]
noticed

# %% [markdown]
# How precise is one such number? The bootstrap draws the counted points again and keeps the balls. We draw 60 fresh pairs of sets, and count how often its 95 % interval holds the mean over all pairs.

# %%
def holds_mean(name: str, measure, rounds: int) -> float:
    "Share of bootstrap intervals that hold the mean over all draws."
    g = torch.Generator().manual_seed(0)
    found = [measure(ten.sample(400, generator=g), five.sample(400, generator=g))
             for _ in range(rounds)]
    mean = sum(getattr(m, name) for m in found) / rounds
    spans = [m.interval(name, rounds=200) for m in found]
    return sum(s.low <= mean <= s.high for s in spans) / rounds


# %%
measures_of = {"precision": precision_recall, "recall": precision_recall,
               "coverage": density_coverage}
rounds = steps(60, fast=4)
held = {name: round(holds_mean(name, measure, rounds), 2) for name, measure in measures_of.items()}
assert rounds < 60 or held["precision"] < .88 < held["coverage"]
held

# %% [markdown]
# If this share is far below .95, as for precision, the random balls matter as well as the random points. The interval is valid for fixed balls only, so it understates the uncertainty. If you can, draw new data and compute the measure again.

# %% [markdown]
# ## Pictures with a known curve
# In the plane we knew the truth. Simon, Webster and Rabin know it for pictures, too. They take a labelled set of ten classes. The *data* are the first five classes. The *model* is no network: it shows other pictures of the first $q$ classes, in equal parts. With $q=2$ three of the five classes are missing, and the recall is $2/5$. With $q=8$ three eighths of the samples belong to no class of the data, and the precision is $5/8$. Let $m=\min(q,5)$ be the number of common classes. The exact curve is a rectangle:
#
# $$\alpha_\lambda=m\,\min\Big(\frac\lambda5,\frac1q\Big)=\min\big(\lambda\,\beta^*,\alpha^*\big),\qquad \alpha^*=\frac mq,\quad\beta^*=\frac m5.$$

# %%
classes = torch.arange(10)

def ideal(q: int) -> PRCurve:
    "The exact curve where the data are the first five of ten classes, the model the first q."
    return histogram_curve((classes < 5).double() / 5, (classes < q).double() / q)


# %%
for q in range(1, 10):
    curve, best, most = ideal(q), min(1, 5 / q), min(1, q / 5)
    assert torch.allclose(curve.precision, (curve.slopes * most).clamp(max=best), rtol=1e-12)
    for beta in (1 / 8, 8):  # the best point of a rectangle is its corner
        corner = (1 + beta ** 2) * best * most / (beta ** 2 * best + most)
        assert math.isclose(curve.f(beta), corner, abs_tol=1e-3)
ideal(2), ideal(8)

# %% [markdown]
# `python benchmarks/precision_recall.py` does the experiment with the training digits of MNIST, 2,000 pictures on each side, $q=1$ to 9, and eight draws. Each measure gets the 784 pixels, and then the 64 features of the course's digit classifier. This classifier was trained on these digits with their labels, so its features separate the classes well. The measures are three held-out classifiers (a linear one, a hundred trees, a vote of twenty neighbours), twenty clusters, and the balls, whose precision and recall are one point.
#
# **Predict:** with which measures, and in which of the two spaces, does the model look better than it is?

# %%
kept = recorded("precision_recall")["classes"]
rows = {(row["space"], row["q"]): row for row in kept}
marks = {"linear": (REAL, "-"), "trees": ("#56B4E9", ":"), "20 neighbours": (ACCENT, "-."),
         "20 clusters": (FAKE, "--"), "balls": ("k", "o")}
with_curve = list(marks)[:-1]


# %%
def of_balls(row: dict, name: str) -> float:
    "Precision or recall by balls, the mean over the draws."
    return sum(row["balls"][name]["by seed"]) / row["draws"]


# %%
def draw_case(ax, space: str, q: int) -> None:
    "The ideal curve, the mean estimated curves, and the point of the balls."
    row, exact = rows[space, q], ideal(q)
    ax.fill_between(exact.recall, 0, exact.precision, color="#DDDDDD", lw=0)
    for name in with_curve:
        colour, style = marks[name]
        ax.plot(row[name]["curve"]["recall"], row[name]["curve"]["precision"], style, c=colour)
    ax.plot(of_balls(row, "recall"), of_balls(row, "precision"), "ko", ms=4)
    ax.set(xlim=(0, 1.03), ylim=(0, 1.03), title=f"{space}, q = {q}", xlabel="recall β")


# %%
figure, panels = axes(2, 3, size=(2.4, 2.1), sharex=True, sharey=True)
for line, space in zip(panels, ("pixels", "features")):
    for ax, q in zip(line, (2, 5, 8)):
        draw_case(ax, space, q)
        ax.label_outer()
    line[0].set_ylabel("precision α")

# %%
for name, (colour, style) in marks.items():
    panels[0, 0].plot([], [], style, c=colour, label=name)
figure.legend(*panels[0, 0].get_legend_handles_labels(), ncols=5, frameon=False,
              loc="outside lower center", fontsize=8)
Picture(figure, "Estimated curves beside the true rectangle. In pixels the linear and the cluster "
        "curves lie far outside it; in features all four follow it, and the balls lie inside")

# %% [markdown]
# The grey rectangle is the truth; a curve outside it *flatters* the model, which looks better than it is. For each measure we compute one *error*: the mean absolute difference to the truth, over the nine $q$ and over two numbers. For curves these are F₁/₈ and F₈, for the balls precision and recall. Five claims were written down before the run, and the first is our form of the paper's comparison.

# %%
scores, ends = ("F1/8", "F8"), ("end precision", "end recall")

def true_numbers(q: int, keys: tuple) -> list:
    "Both F-scores of the ideal curve, or its precision and recall."
    curve = ideal(q)
    return [curve.f(1 / 8), curve.f(8)] if keys == scores else [min(1, 5 / q), min(1, q / 5)]


# %%
def gaps(space: str, name: str, keys: tuple = scores) -> torch.Tensor:
    "Measured less true, (9 models, 2 numbers, draws)."
    keys = ("precision", "recall") if name == "balls" else keys
    found = [[rows[space, q][name][k]["by seed"] for k in keys] for q in range(1, 10)]
    true = [true_numbers(q, keys) for q in range(1, 10)]
    return torch.tensor(found) - torch.tensor(true)[..., None]


# %%
def error(space: str, name: str, keys: tuple = scores) -> torch.Tensor:
    "Mean absolute difference to the truth, (draws,)."
    return gaps(space, name, keys).abs().mean((0, 1))


# %%
def of(values: torch.Tensor):
    "An interval over the draws."
    return interval(values.tolist())


# %%
in_pixels, in_features = ({name: error(space, name) for name in marks}
                          for space in ("pixels", "features"))
null = (1 - torch.tensor([true_numbers(q, scores) for q in range(1, 10)])).mean().item()

# %%
figure, panels = axes(1, 2, size=(2.9, 2.1), sharey=True)
for ax, (space, found) in zip(panels, {"pixels": in_pixels, "features": in_features}.items()):
    interval_plot(ax, {name: of(v) for name, v in found.items()})
    ax.axvline(null, c="#888888", ls=":")
    ax.set(title=space, xlabel="error, eight draws", xlim=(0, .2))
Picture(figure, "Errors in pixels: linear and clusters .07, trees and neighbours .03; in features "
        "the four are near .01; balls .08 in both")

# %% [markdown]
# The dotted line is the error of a measure that always says 1. A measure that knows the class of each picture has the error 0.

# %%
ours, theirs = in_features["linear"], in_features["20 clusters"]
claim("On features a held-out linear classifier is nearer to the known precision and recall than "
      "twenty clusters are", paper="Simon, Webster, Rabin 2019",
      section="in this course's setting: classes of MNIST, 64 features",
      figure="no number in its abstract; classes of CIFAR-10 there",
      ours=of(ours), baseline=of(theirs), holds=of(ours - theirs).high < 0, expect=False)

# %% [markdown]
# The claim does not hold. On these features the classes are clusters, and both errors are near 0.01. The other four claims, and whether they hold:

# %%
tips, flattery = error("features", "linear", ends) - ours, gaps("pixels", "linear").mean((0, 1))
judged = {"on features the linear classifier's error is below 0.05": of(ours).high < .05,
          "the end points of its curve are worse by 0.05 or more": of(tips).low >= .05,
          "on pixels it flatters by more than 0.05": of(flattery).low > .05,
          "on features the balls' error is smaller": of(in_features["balls"] - ours).high < 0}

# %%
assert list(judged.values()) == [True, False, True, False]
judged

# %%
for name in ("trees", "20 neighbours"):
    assert all(of(in_pixels[poor] - 2 * in_pixels[name]).low > 0
               for poor in ("linear", "20 clusters"))
assert of(in_pixels["linear"] - in_pixels["20 clusters"]).low < 0

# %%
for name in ("linear", "20 clusters"):
    assert abs(gaps("pixels", name)[-1, 0].mean() + ideal(9).f(1 / 8) - .89) < .005  # q = 9

# %%
worst, least = (pick(found[name].mean() for name in with_curve)
                for pick, found in ((max, in_features), (min, in_pixels)))
assert worst < .015 and 2 * worst < least

# %%
perfect = [of_balls(rows[space, 5], k) for space in ("pixels", "features")
           for k in ("precision", "recall")]
assert .875 < min(perfect) and max(perfect) < .895

# %%
for space, found in (("pixels", in_pixels), ("features", in_features)):
    assert all(error(space, name, ends).mean() > found[name].mean() for name in with_curve)
tip = error("features", "20 clusters", ends)
assert of(tip).low > 5 * in_features["20 clusters"].mean() and abs(tip.mean() - .07) < .005

# %% [markdown]
# What the pictures show:
#
# - **In pixels** twenty clusters and the linear classifier flatter alike. At $q=9$ four ninths of the samples are of no class of the data, and both have an F₁/₈ of 0.89 instead of 0.56. Likely reasons: a cluster of pixels holds several classes, and no plane separates the classes. Trees and neighbours have less than half of this error. So which classifier one takes matters more than whether one takes a classifier or clusters.
# - **In features** all four are right within about 0.01. With twenty clusters for ten classes that form clusters, counting is enough; the groups in the plane above were harder. Every error in features is less than half of the smallest one in pixels, but for the balls.
# - **The balls** report 0.88 to 0.89 for a perfect model ($q=5$), in both spaces. This is their floor. So compare their numbers with the floor ("Floor, ceiling and null, again", above), not with 1.
# - **The ends of a curve** are a bad place to read it, because one strange picture decides there. For all four kinds of curve they are farther from the truth, on average, than the F-scores. For twenty clusters on features the end points have an error of 0.07, more than five times that of the F-scores.
# - **The limit.** MNIST is easy, the classifier behind the features knows the classes, and the model is no GAN. The paper has CIFAR-10 and the features of an Inception network.

# %% [markdown]
# ## Under your hands: the slope λ
# There are two normal laws on a line. The slope $\lambda$ chooses a test: it calls real every $x$ with $\lambda\,p(x)\ge q(x)$. The two errors of all these tests form a curve, the *frontier*. The tangent of the frontier at the chosen test has slope $-1/\lambda$ ([false alarms](../glossary.ipynb) to the right, misses upwards). It meets the axis of false alarms at $\alpha$.

# %%
line = torch.linspace(-4, 5, 1801, dtype=torch.float64)
def bell(at, std):
    "The probability of each small step of the line under a normal law."
    density = torch.exp(-((line - at) / std) ** 2 / 2) / (std * math.sqrt(2 * math.pi))
    return density * (line[1] - line[0])


# %%
p, q = bell(0, 1), bell(1.4, .7)
p, q = p / p.sum(), q / q.sum()
exact = histogram_curve(p, q)


# %%
tests = [s * p >= q for s in exact.slopes[::10]]
frontier = torch.stack([torch.stack([q[real].sum(), p[~real].sum()]) for real in tests])


def draw_laws(ax, chosen):
    "The two laws, and what the test calls real."
    ax.plot(line, p, c=REAL, label="real p")
    ax.plot(line, q, "--", c=FAKE, label="generated q")
    ax.fill_between(line, 0, p.max(), where=chosen, color=REAL, alpha=.12, lw=0)
    ax.set(xlabel="x", ylabel="probability", yticks=[], title="shaded: called real")
    ax.legend(fontsize=7)


# %%
def at_slope(slope: float):
    "The set, the frontier and the curve at one slope."
    chosen = slope * p >= q
    fnr, fpr = p[~chosen].sum(), q[chosen].sum()
    precision, recall = slope * fnr + fpr, fnr + fpr / slope
    figure, (law, front, curve) = axes(3, 1, size=(3.2, 2.1))
    draw_laws(law, chosen)
    front.plot(*frontier.T, c="k")
    front.plot([0, precision], [recall, 0], c=FAKE, lw=1)
    front.plot(fpr, fnr, "o", c=FAKE)
    front.set(xlabel="false alarms", ylabel="misses", xlim=(0, 1), ylim=(0, 1),
              title=f"slope λ = {slope:.2g}")
    curve.plot(exact.recall, exact.precision, c="k")
    curve.plot(recall, precision, "o", c=FAKE)
    curve.set(xlabel="recall β", ylabel="precision α", xlim=(0, 1.03), ylim=(0, 1.03))
    return Picture(figure, f"At slope {slope:.2g}: precision {precision:.2f}, recall {recall:.2f}")


# %%
angles = torch.linspace(.08, math.pi / 2 - .08, 11).tan().tolist()
film = Film([at_slope(s) for s in angles], [f"λ = {s:.2g}" for s in angles])
film

# %%
film.widget.slider.value = 8
assert film.widget.image.value == film.frames[8].png
film.widget.slider.value = 5

# %% [markdown]
# ## Samples in files
# Samples may be a file (`.npy`, `.npz`, `.pt`) or a folder of pictures, and may be larger than memory. Rows are read in parts when they are needed.

# %%
import tempfile

folder = tempfile.TemporaryDirectory()
pictures = np.random.default_rng(0).integers(0, 256, (1000, 8, 8), np.uint8)
np.save(f"{folder.name}/many.npy", pictures)
assert np.array_equal(read_samples(f"{folder.name}/many.npy"), (pictures / np.float32(255)))
some = read_samples(f"{folder.name}/many.npy", most=100)
some.shape, some.dtype, round(some.max().item(), 3)

# %% [markdown]
# A pickle can run code when it is read. Such files are refused:

# %%
np.save(f"{folder.name}/trap.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
error_message(read_samples, f"{folder.name}/trap.npy").replace(folder.name, "…")

# %% [markdown]
# ## In your own code
# Use any two arrays of the same width: pixels, or better the features of an [encoder](../glossary.ipynb) that you trust. For two folders of pictures `examples/pr_curve.py --real FOLDER --made OTHER` draws the curve, beside that of two parts of the real pictures, which is its floor.

# %%
train = torch.randn(500, 1, 4, 4, generator=g)
made = torch.randn(400, 1, 4, 4, generator=g)
near, balls = precision_recall(train, made), density_coverage(train, made)
curve = pr_curve(train, made)
near.precision, near.recall, balls.density, balls.coverage, curve.f(8), curve.f(1 / 8)

# %% [markdown]
# The time grows with the square of the number of points, the memory with the number. `python benchmarks/metrics.py` compares with the package `prdc`, which holds whole matrices of distances. The values agree.

# %%
for row in recorded("metrics").get("rows", []):
    ours = f"{row['seconds']:6.1f} s, {row['MB']:4} MB"
    theirs = "prdc needs too much memory"
    if "prdc MB" in row:
        theirs = f"prdc {row['prdc seconds']:5.1f} s, {row['prdc MB']:5} MB"
    print(f"{row['points']:6,} × {row['features']:4}: {ours}    {theirs}")

# %% [markdown]
# `python benchmarks/peers.py` starts from two folders of pictures and compares with other tools. All of them use features of the same network. The table shows what modelab needs, as a share of what the other tool needs for the same numbers. A value below 1 means that modelab needs less. Processor time is what a tool itself used. Time by the clock includes the waiting for files and other programs. One round of each tool was recorded, on a machine that did nothing else.

# %%
besides = {row["peer"]: row for row in recorded("peers").get("beside", [])}
for peer, row in besides.items():
    if "share of its memory" in row:
        times = ", ".join(f"{name} {share:.2f}"
                          for name, share in row["share of its processor time"].items())
        print(f"{peer:15} processor time: {times}\n{'':15} time by the clock: "
              f"{row['share of its clock time']:.2f}; memory: {row['share of its memory']:.2f}")
for row in recorded("peers").get("rows", [])[:1]:
    print(f"one round of modelab: {row['seconds']['all']:.0f} s of processor time, "
          f"{row['clock']['all']:.0f} s by the clock")

# %% [markdown]
# All tools give the same values; the largest differences are:

# %%
gaps = {peer: max(row["differences"].values()) for peer, row in besides.items()}
assert all(gap < 1e-6 for gap in gaps.values())
{peer: f"{gap:.1e}" for peer, gap in gaps.items()}

# %% [markdown]
# ## Fifteen checks by others
# Räisä, van Breugel and van der Schaar use fifteen series of pairs of laws. For each pair it is known what a measure of fidelity (are the samples real?) and a measure of diversity (is all of the data made?) should give. They found that every published measure they tried fails many of the checks. `python benchmarks/checks.py` repeats the checks for ten measures, and for the [audit](../glossary.ipynb) of [4.2](02_audit.ipynb), which gets the same rows, mostly 1,000 real and 1,000 generated ones. For cost it takes at most ten points of a series and 3,162 rows; the paper has up to 51 points and 10,000 rows.
#
# A measure passes if its mean over the recorded seeds (printed below) meets all criteria of the paper's code: near 1 where the laws are equal, near 0 where they have nothing in common, and of the right shape in between. The audit has no such number. It passes if it raises hardly any alarm where the laws are equal, and if it finds a fault of the right kind where they are not. The first lines of the script define all criteria. They also say how the audit was changed after earlier records, and that it is recorded on seeds that were not looked at for these changes.

# %%
checks = recorded("checks").get("checks", [])
verdicts = {row["setting"]: {"audit": row["audit"]["passes"]}
            | {name: bool(m["passes"]) for name, m in row["measures"].items()} for row in checks}
totals = {name: sum(row[name] for row in verdicts.values())
          for name in next(iter(verdicts.values()), {})}
seeds_of = {row["setting"]: {m["seeds that pass"]["of"] for m in row["measures"].values()}
            | {row["audit"]["called copies"]["of"] // len(row["audit"]["points"])}
            for row in checks}
seeds_of = {name: " to ".join(map(str, sorted({min(of), max(of)})))
            for name, of in seeds_of.items()}
totals, {f"{of} seeds": list(seeds_of.values()).count(of) for of in seeds_of.values()}

# %%
raised = {test for row in checks for point in row["audit"]["points"] for test in point["alarms"]}
if verdicts and "shift" not in raised:
    print("Recorded before the audit had its test of shift: no check raised it.")
assert all(of == "20" for of in seeds_of.values())


# %%
def draw_verdicts():
    "Rows are checks, columns are the audit, five measures of fidelity, and five of diversity."
    figure, ax = axes(size=(6, 5))
    passed = torch.tensor([[*row.values()] for row in verdicts.values()]).float()
    ax.imshow(passed, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for i, j in torch.cartesian_prod(*map(torch.arange, passed.shape)).tolist():
        good = bool(passed[i, j])
        ax.text(j, i, "✓" if good else "✗", ha="center", va="center", color="w" if good else FAKE)
    ax.set(yticks=range(len(verdicts)), yticklabels=list(verdicts), xticks=range(len(totals)))
    ax.set_xticklabels([f"{name}  {n}" for name, n in totals.items()], rotation=60, ha="left",
                       rotation_mode="anchor")
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    return Picture(figure, "Which of fifteen checks are passed: " + ", ".join(
        f"{name} {n}" for name, n in totals.items()))


draw_verdicts() if verdicts else "not recorded here"

# %% [markdown]
# The criteria of the audit and those of the measures differ, so the two numbers below cannot be compared directly. A likely reason for the difference: a measure must be near a fixed number, such as 1 for equal laws, but its value depends on the dimension and on the sizes of the samples. The audit compares samples with real rows that it puts aside, and its [p-values](../glossary.ipynb) are exact for any sizes.

# %%
if verdicts:
    most = max(n for name, n in totals.items() if name != "audit")
    best = [name for name, n in totals.items() if n == most and name != "audit"]
    assert totals["audit"] > most
    print(f"By its own criteria the audit passes {totals['audit']} of {len(verdicts)}; by the "
          f"paper's criteria no measure passes more than {most} ({', '.join(best)}).")

# %% [markdown]
# Checks that at most one of them passes:

# %%
{name: [k for k, passed in row.items() if passed] or "nobody passes"
 for name, row in verdicts.items() if sum(row.values()) < 2}

# %% [markdown]
# The points that the audit does not pass. A line has the check, the place `x` in its series (the script explains it), in how many seeds the audit found a fault of the right kind, and how often each of its tests alarmed:

# %%
missed = {}
for row in checks:
    points = row["audit"]["points"]
    seeds = row["audit"]["called copies"]["of"] // len(points)
    missed |= {f"{row['setting']}, {point['line']}, x = {point['x']:g}":
               f"right in {point['right']} of {seeds} seeds, alarms {point['alarms'] or 'none'}"
               for point in points
               if point["want"] != "same" and point["right"] < .95 * seeds}
    copies = row["audit"]["called copies"]
    missed |= {f"{row['setting']}, copies": f"found in {copies['hits']} of {copies['of']} pairs"
               for limit in [copies["95 %"][0]] if limit > .05}
print("\n".join(f"{name}: {text}" for name, text in missed.items()))

# %% [markdown]
# A small fault, or one that looks like another fault, may not be found. Likely reasons for the points above:

# %%
reasons = {
    "dropped": "where few modes are left, the junk inside a group is estimated from few held-out "
               "rows, so junk may be measured where there is none",
    "rounded": "values rounded to a thousandth of the spread are close to unrounded ones; those "
               "rounded to few points may lie in a gap between real rows, as junk does"}
for word, reason in reasons.items():
    if any(word in name for name in missed):
        print(f"{word}: {reason}")
others = [name for name in missed if not any(word in name for word in reasons)]
if others:
    print("no reason is known for:", "; ".join(others))

# %% [markdown]
# How often the audit raises an alarm for pairs of one law, over all checks, and how often it finds copies where nothing is copied:

# %%
if verdicts:
    (false,) = recorded("checks")["false alarms"]
    copies = [row["audit"]["called copies"] for row in checks]
    assert false["95 %"][0] <= .05
    print(f"false alarms: {false['hits']} of {false['of']}, 95 % interval {false['95 %']}; "
          f"copies: {sum(c['hits'] for c in copies)} of {sum(c['of'] for c in copies)}")

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.precision_recall import grade_overlap, grade_coverage, grade_swap

# %% [markdown]
# **1.** (easy, 5 minutes) The data has 4 equally likely modes. The generator shows 3 of them, in equal parts and perfectly. Give precision and recall at $\lambda=1$ (they are equal there).
#
# <details><summary>Hint</summary>
#
# Sum $\min(P,Q)$ over the modes.
#
# </details>

# %%
answer = ...
grade_overlap(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# On three modes the smaller one of $\frac14$ and $\frac13$ is $\frac14$. On the fourth it is 0.
#
# ```python
# answer = 3 * min(1 / 4, 1 / 3) + min(1 / 4, 0)
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `my_coverage(real, fake, k)` for points `(n, d)` and `(m, d)`: the share of the balls around real points that hold a generated point. A ball reaches to the `k`-th nearest *other* real point, and is closed.
#
# <details><summary>Hint</summary>
#
# Squared distances by differences: `(a[:, None] - b).square().sum(-1)`. Which entry of the matrix of real points must not count?
#
# </details>

# %%
def my_coverage(real, fake, k):
    ...

answer = my_coverage
grade_coverage(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_coverage(real, fake, k):
#     squared = lambda a, b: (a.double()[:, None] - b.double()).square().sum(-1)
#     among = squared(real, real).fill_diagonal_(math.inf)
#     radius = among.sort(1).values[:, k - 1]
#     return (squared(real, fake) <= radius[:, None]).any(1).double().mean().item()
#
# answer = my_coverage
# ```
#
# With $<$ the ball is open. Then a set of repeated values does not even cover itself.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) A function `measure(real, fake)` returns a pair called (precision, recall). The two may be exchanged: a well-known library had them reversed for years. Write `swapped(measure)`, which says whether they are.
#
# <details><summary>Hint</summary>
#
# Build a generator for which you know which of the two numbers must be small.
#
# </details>

# %%
def swapped(measure):
    ...

answer = swapped
grade_swap(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def swapped(measure):
#     g = torch.Generator().manual_seed(0)
#     law = ring(radius=2, std=.1)
#     half = mixture(law.centers[::2], .1)
#     precision, recall = measure(law.sample(400, generator=g), half.sample(400, generator=g))
#     return bool(precision < recall)
#
# answer = swapped
# ```
#
# A generator that loses half of the modes keeps its precision, and its recall falls to about one half.
#
# </details>

# %% [markdown]
# ## Recap
# - Precision and recall are the two errors of the best test between real and generated, one pair for every slope λ.
# - Twenty clusters do not show differences inside a cluster. A held-out classifier does. A weak classifier makes the generator look too good. A classifier that is scored on its training half makes it look too bad.
# - Precision, recall, density and coverage of nearest neighbours need closed balls and exact distances. Compare them with the floor. A high value is not always good: a copy of the reference scores higher than a perfect generator, and a timid generator has the highest density.
# - On classes of MNIST the true curve is known. In features of a digit classifier clusters and classifiers find it. In pixels twenty clusters and a linear classifier flatter; trees and neighbours have less than half of their error.
# - k-NN precision and recall hardly react to a wrong balance, as long as every mode gets some samples. No measure of this chapter detects copies.
#
# **For later.**
#
# 1. Why does a test that was trained on other data bound the curve from above?
# 2. What does a ball around a stray generated point do to recall?
# 3. Which measure would you show beside F₈, and why?
#
# <details><summary>Answers</summary>
#
# 1. Its threshold is some set $A$, and its errors on new data are the errors of this set. $\alpha_\lambda$ is the minimum over all sets, so it is at most this error, up to chance.
# 2. The ball reaches to the next generated points, which are far away. So it is large and holds many real points, and recall rises although nothing was generated near them.
# 3. F₁/₈, because F₈ hardly reacts to junk. And a test of copies, because both are perfect for copies.
#
# </details>
#
# **References.** M. Sajjadi, O. Bachem, M. Lučić, O. Bousquet, S. Gelly, *Assessing generative models via precision and recall*, NeurIPS 2018. L. Simon, R. Webster, J. Rabin, *Revisiting precision and recall definition for generative model evaluation*, ICML 2019.
# T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, *Improved precision and recall metric*, NeurIPS 2019. M. Naeem, S. Oh, Y. Uh, Y. Choi, J. Yoo, *Reliable fidelity and diversity metrics*, ICML 2020. O. Räisä, B. van Breugel, M. van der Schaar, *Position: all current generative fidelity and diversity metrics are flawed*, ICML 2025.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.precision_recall
"Graders of chapter 4.1."
import functools
import math

import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import mixture
from modelab.evaluation.precision_recall import density_coverage, precision_recall

# %%
#| export course.graders.precision_recall
@exercise(accepts=[3 / 4, torch.tensor(.75)], rejects=[1, .5, .25, 1 / 3, "x"])
def grade_overlap(answer):
    assert abs(as_number(answer) - 3 / 4) < 1e-3, "sum the smaller one of P and Q over the modes"

# %%
#| export course.graders.precision_recall
def by_pairs(real, fake, k, closed=True, itself=False, turned=False, points=False, total=False):
    "The right coverage, and wrong ones by the options."
    squared = lambda a, b: (a.double()[:, None] - b.double()).square().sum(-1)
    around, others = (fake, real) if turned else (real, fake)
    among = squared(around, around)
    if not itself:
        among.fill_diagonal_(math.inf)
    radius, gap = among.sort(1).values[:, k - 1, None], squared(around, others)
    inside = gap <= radius if closed else gap < radius
    return (inside.double().sum() / k / len(others) if total
            else inside.any(0 if points else 1).double().mean()).item()

# %%
#| export course.graders.precision_recall
@exercise(accepts=[by_pairs, lambda real, fake, k: density_coverage(real, fake, k).coverage],
          rejects=[functools.partial(by_pairs, **{wrong: wrong != "closed"}) for wrong in
                   ("closed", "itself", "turned", "points", "total")])
def grade_coverage(my_coverage):
    g = torch.Generator().manual_seed(0)
    same = torch.arange(5.).repeat(6)[:, None]
    assert abs(as_number(my_coverage(same, same.clone(), 3)) - 1) < 1e-6, \
        "a set with repeated values must cover itself: is the ball closed?"
    for top in (4, 60):
        real, fake = (torch.randint(top, (n, 2), generator=g).float() for n in (60, 25))
        right = density_coverage(real, fake, 4).coverage
        assert abs(as_number(my_coverage(real, fake, 4)) - right) < 1e-6, \
            "which points have balls, does a point count as its own neighbour, what is averaged?"

# %%
#| export course.graders.precision_recall
@functools.cache
def ten_modes() -> tuple:
    "A law of ten modes in eight dimensions, and one of five of these."
    ten = mixture(3 * torch.randn(10, 8, generator=torch.Generator().manual_seed(0)), 1.)
    return ten, mixture(ten.centers[:5], 1.)

# %%
#| export course.graders.precision_recall
def by_lost_modes(measure):
    "Whether the second number of a generator that loses modes is the larger one."
    g, (ten, five) = torch.Generator().manual_seed(0), ten_modes()
    precision, recall = measure(ten.sample(400, generator=g), five.sample(400, generator=g))
    return recall > precision

# %%
#| export course.graders.precision_recall
def both_numbers(real, fake):
    "Precision and recall."
    found = precision_recall(real, fake)
    return found.precision, found.recall

# %%
#| export course.graders.precision_recall
@exercise(accepts=[by_lost_modes],
          rejects=[lambda m: True, lambda m: False, lambda m: not by_lost_modes(m)])
def grade_swap(swapped):
    assert not swapped(both_numbers), "a function in the right order is called reversed"
    assert swapped(lambda real, fake: both_numbers(real, fake)[::-1]), "a reversed one is not found"
