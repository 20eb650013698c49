# %% [markdown]
# # Entropic GANs: how likely is this example?
# > A generator makes samples. How likely does it find a given example, in nats?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | A generator only makes samples. How likely does it find a given example, in nats? |
# | **You will be able to** | compute an entropic transport plan that does not overflow, turn it into a likelihood bound for any generator, and say what such a number measures and what it misses |
# | **Paper** | Balaji, Hassani, Chellappa and Feizi, *Entropic GANs meet VAEs: a statistical approach to compute sample likelihoods in GANs*, ICML 2019 |
# | **Needs** | [0.2](../0_start/02_evidence.ipynb), [0.4](../0_start/04_coverage.ipynb), [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp methods.likelihood

# %%
#| export
"Entropic GANs and their likelihood: Sinkhorn transport (Balaji et al. 2019)."
from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn, Tensor

from modelab.core.registry import register_game
from modelab.core.signatures import checked, Count, Finite, Lead, Real, Shape, Share
from modelab.networks.layers import make_player
from modelab.networks.players import Player
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import (ACCENT, axes, FAKE, image_grid, interval_plot, MISSING, Picture,
                                   REAL, scatter)
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, steps
from modelab.data.digits import digits
from modelab.data.mixtures import mixture, ring, sample_modes
from modelab.evaluation.coverage import coverages
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.run import Run

# %% [markdown]
# The chapter tests the logit of a discriminator as a density. Then it builds entropic transport, makes a likelihood bound of it, trains a generator with it, and puts the bound to the same tests.
#
# ## The discriminator as a density
# The data are eight modes on a circle. Four are common and four are rare, three to one. The distribution is known, so every point has a true log density. Logarithms are natural, so densities are in nats.

# %%
eight = mixture(ring(radius=2).centers, .15, weights=[3, 1] * 4)
g = torch.Generator().manual_seed(0)
x, mode = eight.sample_with_modes(1000, g)
low, high = eight.bounds
noise = low + (high - low) * torch.rand(1000, 2, generator=g)
eight.log_prob(x).mean().item(), eight.log_prob(noise).mean().item()


# %% [markdown]
# A score for how likely a point is has to pass two tests. Is it higher for data than for noise? And *among the data*, is it higher for the likelier point? For the first we count the pairs of a data point and a noise point in which the data point has the higher score (AUROC, the area under the ROC curve: 0.5 is chance, 1 is perfect). A pair with equal scores counts half. For the second we use the rank correlation with the true density (1: the same order, 0: no relation).

# %%
#| export
@checked
def auroc(inside: Annotated[Tensor, Shape("*runs inside")],  # scores of one group
          outside: Annotated[Tensor, Shape("*runs outside")],  # scores of the other
          ) -> Tensor:  # (*runs,)
    "How often a score of the first group is above one of the second, run by run; ties count half."
    a, b = inside[..., :, None], outside[..., None, :]
    return ((a > b).float() + (a == b).float() / 2).mean((-2, -1))

# %% [markdown]
# **Check.** Of the six pairs of these scores four are in the right order, one is equal and one is wrong:

# %%
assert auroc(torch.tensor([2., 1., 3.]), torch.tensor([0., 2.])).item() == (4 + 1 / 2) / 6

# %%
def order(scores, truth):
    "Rank correlation of scores (runs, n) with the truth (n,), run by run."
    a, b = (v.double().argsort(-1).argsort(-1).double() for v in (scores, truth.expand_as(scores)))
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(a, b)])

# %%
@torch.no_grad()
def two_tests(score) -> dict:
    "Both answers of `score`, which takes points (8, n, 2) to numbers (8, n), seed by seed."
    at_x, at_noise = (score(v.expand(8, *v.shape)) for v in (x, noise))
    return {"against noise": auroc(at_x, at_noise), "order": order(at_x, eight.log_prob(x))}


# %%
LEAST = {"order": -1}
MOST = {"captured": 8, "high_quality": 1, "tv": 1, "against noise": 1, "order": 1}

def intervals(row: dict) -> dict:
    "An interval over the seeds for each entry; what is not finite is shown as it is."
    return {name: interval(v, low=LEAST.get(name, 0), high=MOST.get(name))
            if torch.as_tensor(v).isfinite().all() else v for name, v in row.items()}


# %%
truth = two_tests(lambda v: eight.log_prob(v.flatten(0, 1)).reshape(v.shape[:2]))
ceiling = {name: v[0].item() for name, v in truth.items()}
ceiling

# %% [markdown]
# This is the [ceiling](../glossary.ipynb). On average no score does better: the noise is uniform, so the likelihood ratio rises with the density (Neyman and Pearson). It is below 1 because some noise falls onto modes.
#
# The logit of the discriminator is often used as such a score. We try three rates of the minimax game, and R1 of chapter [1.4](../1_game/04_wasserstein.ipynb) at the middle rate, with eight seeds each. All intervals below are over trainings; the test points are the same for all.
#
# **Predict:** $D$ has been trained for hundreds of steps on data and samples. What are its two numbers?

# %%
settings = {f"rate {lr:g}": Minimax(networks=Networks(width=64), optimiser=Optimiser(lr))
            for lr in (.001, .003, .01)}
settings["R1"] = ZeroCentred(networks=Networks(width=64), optimiser=Optimiser(.003))

# %%
def trained(game, n, modes=eight, runs=8):
    "So many seeds of a game after n steps."
    return Run(game, modes, runs=runs, batch=128, average=.99, device="cpu").step(n)


# %%
@functools.cache
def gan_after(n: int, name: str):
    "Eight seeds of the game with one of the settings; a second call trains nothing."
    return trained(settings[name], n)

# %%
def to_true_shares(c) -> float:
    "KL from the shares of the modes among the good samples to those of the data, in nats."
    q = c.counts / c.counts.sum()
    return (q * (q / eight.weights).log()).nansum().item()


# %%
def covered(y) -> dict:
    "Measures of coverage of samples, seed by seed; `rare` is the rare modes' share of the good."
    found = coverages(y, eight)
    row = {k: [getattr(c, k) for c in found] for k in ("captured", "high_quality", "tv")}
    rare = [(c.counts[1::2].sum() / c.counts.sum()).item() for c in found]
    return row | {"kl": [to_true_shares(c) for c in found], "rare": rare}

# %%
def plane(score, n: int = 33):
    "Values (8, n, n) of `score` on a grid over the box."
    side = torch.linspace(-3, 3, n)
    points = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(1, -1, 2)
    with torch.no_grad():
        return score(points.expand(8, -1, -1)).unflatten(-1, (n, n))

# %% [markdown]
# The games were trained once and recorded; the cell replays their first steps (chapter [0.2](../0_start/02_evidence.ipynb)). So do all cells below that call an `@experiment`. A replay compares 100 samples, the record 1,000.

# %%
rare, here = mode % 2 == 1, x.expand(8, -1, -1)

@experiment("04_likelihood", early=10)
def discriminators(total=600):
    "What D and the nearest sample say with each setting, and what G covers, seed by seed."
    found = {}
    for name in settings:
        run = gan_after(total, name)
        D, y = run.players.nets["D"], run.sample(min(1000, 10 * total))
        with torch.no_grad():
            at_x = D(here)
        found[name] = covered(run.sample(2500)) | {
            "D": two_tests(D), "nearest": two_tests(lambda v: -torch.cdist(v, y).amin(-1)),
            "rare less common": at_x[:, rare].mean(1) - at_x[:, ~rare].mean(1),
            "map": plane(D)[0].round(decimals=2)}
    return found


# %%
gans = discriminators()
logits = {name: intervals(row["D"]) for name, row in gans.items()}
for name, row in logits.items():
    print(f"{name:10}", "   ".join(f"{k} {v}" for k, v in row.items()))

# %%
best = max(logits, key=lambda name: logits[name]["against noise"].mean)
quality = {name: interval(row["high_quality"]).mean for name, row in gans.items()}
by_others = [logits[name]["order"].mean for name in logits if name != best]
assert best == "rate 0.01" == min(quality, key=quality.get) or fast_mode()
assert logits[best]["order"].mean > .5 and max(by_others) < .25 or fast_mode()

# %%
of_G = {name: intervals({key: row[key] for key in ("high_quality", "rare")})
        for name, row in gans.items()}
measures = {"D: AUROC against noise": (logits, "against noise", ceiling["against noise"]),
            "D: rank correlation": (logits, "order", ceiling["order"]),
            "G: high quality": (of_G, "high_quality", None),
            "G: share of rare modes": (of_G, "rare", .25)}
figure, panels = axes(1, 4, size=(2.2, 1.7), sharey=True)
for ax, (label, (rows, key, level)) in zip(panels, measures.items()):
    interval_plot(ax, {name: row[key] for name, row in rows.items()})
    if level is not None:
        ax.axvline(level, c=MISSING, ls=":")
    ax.set(xlabel=label)
Picture(figure, "Four settings. The discriminator at rate 0.01 is nearest to the ceiling in both "
        "tests; its generator has the least high quality. All make too few of the rare modes")

# %% [markdown]
# (Dotted lines: the two ceilings, and the share of the rare modes in the data.) With the best setting, rate 0.01, the discriminator tells data from noise nearly as well as the ceiling. But the best setting can only be found if the true densities are known. Among the data its rank correlation with the true density is 0.55 there, and below 0.25 with the others. Compare the generators, too: the best discriminator belongs to the *worst* generator, by [high quality](../glossary.ipynb). Four settings prove nothing, and the other three show no such order. The theory says: the optimal logit is $\log p/q$, the data's density over the generator's. The better the generator, the nearer is this to zero *everywhere*.

# %%
def heat(ax, values, title, lowest=None, highest=None, unit="nats"):
    "A map over the plane; what is below `lowest` looks the same."
    shown = ax.imshow(values, origin="lower", extent=(-3, 3, -3, 3), cmap="cividis",
                      vmin=lowest, vmax=highest)
    ax.figure.colorbar(shown, ax=ax, shrink=.7, label=unit)
    ax.figure.get_layout_engine().set(wspace=.06)  # room between a bar's label and the next map
    ax.set(title=title, xlabel="x₁", ylabel="x₂")


# %%
true_plane = plane(lambda v: eight.log_prob(v.flatten(0, 1)).reshape(v.shape[:2]))
says = {name: row["map"] for name, row in list(gans.items())[1:]}  # without the lowest rate

# %%
figure, panels = axes(1, 4, size=(2.9, 2.5))
heat(panels[0], true_plane[0], "true log density", -15)
for ax, (name, values) in zip(panels[1:], says.items()):
    heat(ax, values, f"logit of D, {name}", unit="logit")
Picture(figure, "Left eight peaks, four high and four lower, all below -15 in one colour; right "
        "the logits of three discriminators of seed 0, each on its own scale: hills "
        "and rays that run on beyond the data at rate 0.003 and with R1, a ring at rate 0.01")

# %% [markdown]
# At rate 0.003 and with R1 the logit of $D$ has a pit in the middle, and hills and rays that continue where there are neither data nor samples. At rate 0.01 it is a ring without separate modes. What about the rare modes? Their true log density is lower by about $\log3$ (the exact difference of this sample is the last number):

# %%
logit_of = {name: interval(row["rare less common"]) for name, row in gans.items()}
assert [name for name, i in logit_of.items() if i.high < 0] == ["rate 0.01"] or fast_mode()
assert fast_mode() or all(interval(row["rare"]).high < .25 for row in gans.values())
logit_of, (eight.log_prob(x[rare]).mean() - eight.log_prob(x[~rare]).mean()).item()

# %% [markdown]
# Three of the four discriminators score the rare modes *higher*. That fits $\log p/q$: the rare modes hold a quarter of the data, and all four generators make too few of them (last panel of the picture), so $q$ is small there.
#
# Another common score is minus the distance to the nearest sample. It orders the data about as well as the best discriminator, and is worse against noise. A distance is no density either: it does not depend on how *many* samples are near.

# %%
nearest = intervals(gans[best]["nearest"])
by_best = logits[best]
assert nearest["against noise"].high < by_best["against noise"].low or fast_mode()
assert by_best["order"].low < nearest["order"].mean < by_best["order"].high or fast_mode()
nearest

# %% [markdown]
# Neither score is in nats. A likelihood needs a model with a density, and a generator alone need not have one. If it has fewer latents than pixels, its samples lie on a curved surface of lower dimension. Off the surface no density exists.
#
# ## Entropic transport
# Where can a density come from? This section has the tool, the next but one the density. Start with the distance of [1.4](../1_game/04_wasserstein.ipynb): a **plan** $\pi$ says which share of each data point $x_i$ goes to which sample $y_j$. Its row sums are $1/n$, its column sums $1/m$. Now add an entropy term with a weight $\lambda$, which favours plans that spread. With the squared distance as cost,
#
# $$L_\lambda=\min_\pi\ \sum_{ij}\pi_{ij}\,\|x_i-y_j\|^2+\lambda\,\mathrm{KL}\Big(\pi\ \Big\|\ \tfrac1{nm}\Big).$$
#
# (The paper writes $-\lambda H(\pi)$; the two differ by the entropies of the row sums and of the column sums, which are constant.) An example: two data points at 0 and 1, and two samples at the same places. The plan has one free number, the share $s$ on the diagonal:

# %%
lam = .5
s = torch.linspace(.001, .499, 499, dtype=torch.float64)
def objective(s, lam):
    return (1 - 2 * s) + lam * 2 * (s * (4 * s).log() + (.5 - s) * (2 - 4 * s).log())


# %%
s[objective(s, lam).argmin()].item(), .5 / (1 + math.exp(-1 / lam))

# %% [markdown]
# The share is half of the mass times a logistic function of $1/\lambda$. In general the best plan is a product of three factors,
#
# $$\pi_{ij}=\tfrac1{nm}\,e^{v_{ij}/\lambda},\qquad v_{ij}=f_i+g_j-\|x_i-y_j\|^2,$$
#
# with one number $f_i$ per data point and one $g_j$ per sample. They are the two critics of the paper, $f=D_1$ and $g=-D_2$. The minimum above is called the **primal** problem. The best $f$ and $g$ maximise its **dual** (at the optimum both have the same value; for any other $f,g$ the dual is smaller),
#
# $$\mathbb E f+\mathbb E g-\lambda\,\mathbb E\,e^{v/\lambda}+\lambda .$$
#
# Sinkhorn's iteration chooses $f$ so that the row sums are right, then $g$ so that the column sums are right, and repeats this. Written with exponentials:

# %%
def naive(cost, lam, sweeps=50):
    "Sinkhorn's iteration as textbooks print it."
    kernel, b = (-cost / lam).exp(), torch.ones(cost.shape[1])
    for _ in range(sweeps):
        a = 1 / (kernel @ b / cost.shape[1])
        b = 1 / (kernel.T @ a / cost.shape[0])
    return a[:, None] * kernel * b / cost.numel()


# %%
two = torch.tensor([[0., 1.], [1., 0.]])
naive(two, .5)

# %% [markdown]
# Now take data and samples that are far apart, as at the start of a training. **Predict:** what is the result at $\lambda=0.02$?

# %%
apart = torch.cdist(x[:50], x[50:100] + 1).square()
{lam: naive(apart, lam).sum().item() for lam in (1., .1, .02)}

# %% [markdown]
# The result is NaN. $e^{-c/\lambda}$ of a whole row is zero in float32, and its inverse is infinite. So the iteration must work with logarithms. $f$ is a smoothed minimum. The largest exponent is taken out first, so that every exponent is at most zero:
#
# $$f_i=-\lambda\log\frac1m\sum_j e^{(g_j-c_{ij})/\lambda}.$$
#
# Exponents far below the maximum need not be computed:

# %%
#| export
_FLOOR = -60.  # an exponent below it adds nothing, and numbers too small for the format are slow


# %% [markdown]
# The sum of exponentials, with the maximum taken out and the rest cut off there. Most of the time of an iteration is spent here, so it works in place.

# %%
#| export
def _logsumexp(exponents: Tensor, dim: int) -> Tensor:
    "log Σ exp along `dim`, in place: `exponents` is spent."
    top = exponents.detach().amax(dim, keepdim=True)
    return exponents.sub_(top).clamp_(min=_FLOOR).exp_().sum(dim).log() + top.squeeze(dim)


# %% [markdown]
# Half a sweep computes $f$ from $g$, or $g$ from $f$.

# %%
#| export
def _update_potential(scores: Tensor, potential: Tensor, dim: int) -> Tensor:
    "The potential that makes the other marginal right; all three are in units of the entropy."
    column_or_row = potential.unsqueeze(-1 if dim == -2 else -2)
    return math.log(scores.shape[dim]) - _logsumexp(scores + column_or_row, dim)


# %% [markdown]
# Two potentials determine a plan. `value` and `error` say how good it is.

# %%
#| export
@dataclass(frozen=True, eq=False)
class TransportPlan:
    "An entropic plan between x (*runs, n, *event) and y (*runs, m, *event), by its two potentials."
    f: Tensor  # of x, (*runs, n): D₁ of Balaji et al. 2019
    g: Tensor  # of y, (*runs, m): their -D₂
    cost: Tensor  # squared distances, (*runs, n, m)
    entropy: float  # λ

    @functools.cached_property
    def plan(self) -> Tensor:
        "The share from each x to each y, (*runs, n, m). Columns sum to 1/m, rows nearly to 1/n."
        v = self.f[..., :, None] + self.g[..., None, :] - self.cost
        return v.div_(self.entropy).clamp_(min=_FLOOR).exp_() / math.prod(self.cost.shape[-2:])

    @property
    def value(self) -> Tensor:
        "The dual objective, (*runs,): it rises to the plan's cost plus λ KL(plan‖product)."
        total = self.plan.sum((-2, -1))
        return self.f.mean(-1) + self.g.mean(-1) + self.entropy * (1 - total)

    @property
    def error(self) -> Tensor:
        "Total variation between the rows' sums and 1/n, (*runs,): 0 where the iteration is done."
        return (self.plan.sum(-1) - 1 / self.cost.shape[-2]).abs().sum(-1) / 2


# %% [markdown]
# One sweep sets $f$, then $g$.

# %%
#| export
def _sweep(scores: Tensor, g: Tensor, sweeps: int) -> tuple[Tensor, Tensor]:
    "Both potentials after so many sweeps from `g`, on logarithms."
    for _ in range(sweeps):
        f = _update_potential(scores, g, -1)
        g = _update_potential(scores, f, -2)
    return f, g


# %% [markdown]
# A sweep on logarithms takes two exponentials for each entry. Once the sums of the rows change little, there is a cheaper way (Schmitzer 2019): compute the plan of the present potentials, multiply its rows and columns as in `naive` for twenty sweeps, and put the factors into the potentials. A sweep does not enlarge the largest change of a potential. If a row's sum is wrong by a factor below $e$, the potentials move by at most 40 in twenty sweeps, so what was cut off at $e^{-60}$ stays below $e^{-20}$.

# %%
#| export
_BLOCK = 20  # sweeps between two looks at the plan


# %% [markdown]
# Only the rows' factors are needed: the columns follow from them.

# %%
#| export
def _row_factors(plan: Tensor, sweeps: int) -> Tensor:
    "log of what so many sweeps multiply the rows of a plan by, (*runs, n)."
    n, m = plan.shape[-2:]
    b = plan.new_ones(*plan.shape[:-2], m, 1)
    for _ in range(sweeps):
        a = 1 / (plan @ b * n)
        b = 1 / (plan.mT @ a * m)
    return a[..., 0].log()


# %% [markdown]
# The iteration looks at the plan after each block, and ends where the rows are right. Each run ends by its own error, so that a run has the same plan beside others as alone.

# %%
#| export
def _sinkhorn_iterations(cost: Tensor, entropy: float, sweeps: int,
                         tolerance: float = 0.) -> TransportPlan:
    "Sinkhorn's iteration: to the tolerance, or for so many sweeps."
    with torch.no_grad():
        scores = cost / -entropy
        f, g = _sweep(scores, scores.new_zeros(scores[..., 0, :].shape), min(sweeps, _BLOCK))
        for done in range(_BLOCK, sweeps, _BLOCK):
            plan = (scores + f[..., :, None] + g[..., None, :]).clamp_(min=_FLOOR).exp_()
            plan /= math.prod(plan.shape[-2:])
            wrong = plan.sum(-1) * plan.shape[-2]  # 1 where a row is right
            open = ((wrong - 1).abs().mean(-1, keepdim=True) / 2 > tolerance)
            if not open.any():
                break
            more = min(_BLOCK, sweeps - done)
            if wrong.log().abs().max() < 1:
                moved = f + _row_factors(plan, more)
                new = moved, _update_potential(scores, moved, -2)
            else:
                new = _sweep(scores, g, more)
            f, g = (torch.where(open, a, b) for a, b in zip(new, (f, g)))
        return TransportPlan(f * entropy, g * entropy, cost.detach(), entropy)


# %% [markdown]
# The arguments are checked next. Two batches may differ in length, so `lead` says how many axes come before the event: 1 for a plain batch, 2 where runs come first. An entropy that single precision cannot hold is refused.

# %%
#| export
DataBatch = Annotated[Tensor, Shape("*runs n *event")]
GeneratedBatch = Annotated[Tensor, Shape("*runs m *event")]
Entropy = Annotated[float, Real(above=1.2e-38, most=3.4e38)]  # λ, in units of squared distance


# %% [markdown]
# The squared distance of two pictures is that of their pixels in one row. Half precision is too coarse for it.

# %%
#| export
def _as_vectors(x: Tensor, lead: int) -> Tensor:
    "Examples as vectors, (*runs, n, d), in at least single precision."
    x = x.flatten(lead) if x.ndim > lead else x[..., None]
    return x.float() if x.dtype.itemsize < 4 else x


# %% [markdown]
# All squared distances come from one matrix product, which is fast. Its rounding error grows with the distance from the origin, so both batches are shifted by the mean of the first.

# %%
#| export
def _squares(x: Tensor, y: Tensor) -> Tensor:
    "Squared distances (*runs, n, m), about the middle of x, where rounding hurts least."
    middle = x.detach().mean(-2, keepdim=True)
    x, y = x - middle, y - middle
    return x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :] - 2 * x @ y.mT


# %% [markdown]
# If the cost over the entropy overflows, the plan would be all zeros, without an error. So it is refused.

# %%
#| export
def _check_cost(cost: Tensor, entropy: float, names: str) -> Tensor:
    "`cost`, unless it or its ratio to the entropy is NaN or more than its type can hold."
    most, room = cost.detach().abs().amax().item(), torch.finfo(cost.dtype).max / 1024
    if not most < room * min(1., entropy):
        raise ValueError(f"{names}, entropy: expected finite numbers whose squared distances over "
                         f"the entropy {entropy:g} {cost.dtype} can hold, got {most:g}")
    return cost


# %% [markdown]
# Now the function itself. It is a measure, not a loss, so it refuses what is not finite.

# %%
#| export
@checked
def sinkhorn(x: DataBatch, y: GeneratedBatch, entropy: Entropy = .1,
             *, sweeps: Count = 10_000,  # at most; each sets f, then g
             tolerance: Share = 1e-3,  # of `error`, which is looked at each 20 sweeps
             lead: Lead = 1,  # axes before the event; 2 if the first counts runs
             ) -> TransportPlan:
    """The plan that minimises squared distance + λ KL(plan‖product), by Sinkhorn's iteration.

    `x` is `(*runs, n, *event)`, `y` `(*runs, m, *event)`. No gradient flows. `RuntimeWarning` if
    `error` is above the tolerance after all sweeps; with 0 it takes them all. `ValueError` for
    NaN, shapes that do not fit, and an entropy that the number format cannot resolve.

    >>> ends = torch.tensor([[0.], [1.]])
    >>> sinkhorn(ends, ends, entropy=.01).plan.round(decimals=4)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    cost = _squares(_as_vectors(x, lead), _as_vectors(y, lead)).detach()
    found = _sinkhorn_iterations(_check_cost(cost, entropy, "x, y"), entropy, sweeps, tolerance)
    if tolerance and not (worst := found.error.max().item()) <= 1.01 * tolerance:
        warnings.warn(f"sinkhorn: the rows' error is {worst:.2g} after {sweeps} sweeps, above the "
                      f"tolerance {tolerance:g}", RuntimeWarning, stacklevel=3)
    return found


# %% [markdown]
# **Fidelity.** The two points from above; the marginals; the batch that gave NaN:

# %%
ends = torch.tensor([[0.], [1.]], dtype=torch.float64)
for lam in (.05, .5, 5.):
    assert abs(sinkhorn(ends, ends, lam).plan[0, 0].item() - .5 / (1 + math.exp(-1 / lam))) < 1e-12

# %%
near, far = x[:50], x[50:100] + 1
hard = sinkhorn(near.double(), x[50:100].double() + 1, .02, sweeps=20_000, tolerance=0)
single = sinkhorn(near, far, .02)
assert hard.error < 1e-4 and (hard.plan.sum(0) - 1 / 50).abs().max() < 1e-14
assert single.error <= 1e-3 and abs(single.plan.sum().item() - 1) < 1e-4

# %%
error_after = {n: sinkhorn(near, far, .02, sweeps=n, tolerance=0).error.item()
               for n in (10, 100, 1000, 10_000)}
assert error_after[100] > .1 and error_after[10_000] < .01
{"in float64": f"{hard.error.item():.1e}"} | {n: f"{v:.1e}" for n, v in error_after.items()}

# %% [markdown]
# **A trap.** A small $\lambda$ needs thousands of sweeps, and an unfinished plan looks like any other. `error` says which share of the rows' mass is still in the wrong row. `sinkhorn` goes on until it is below `tolerance`, and warns if the sweeps do not suffice.
#
# The fast sweeps must be the plain ones:

# %%
spread_out, g_plain = torch.cdist(near.double(), near.double() + 1).square() / -.1, torch.zeros(50)
for _ in range(300):
    f_plain = math.log(50) - (spread_out + g_plain).logsumexp(1)
    g_plain = math.log(50) - (spread_out + f_plain[:, None]).logsumexp(0)
fast = sinkhorn(near.double(), near.double() + 1, .1, sweeps=300, tolerance=0)
assert torch.allclose(fast.g / .1, g_plain, atol=1e-6)
(fast.g / .1 - g_plain).abs().max().item()

# %% [markdown]
# For a small $\lambda$ the value must be that of transport without entropy, which for equally many points is an assignment problem. For normal distributions $\mathcal N(0,a^2)$ and $\mathcal N(0,b^2)$ there is a closed form: the best plan is normal with the covariance $\kappa=\sqrt{a^2b^2+\lambda^2/16}-\lambda/4$.

# %%
from scipy.optimize import linear_sum_assignment

# %%
p, q = torch.randn(2, 30, 3, dtype=torch.float64, generator=g)
c = torch.cdist(p, q).square()
exact = c[linear_sum_assignment(c)].mean().item()
gaps = {lam: abs(sinkhorn(p, q, lam, sweeps=3000, tolerance=0).value.item() - exact)
        for lam in (1., .1, .01)}
assert gaps[.01] <= .01 * math.log(30) and gaps[.01] < gaps[.1] < gaps[1.]
{"exact": round(exact, 3)} | {f"gap at λ = {lam:g}": round(v, 3) for lam, v in gaps.items()}

# %%
def normal_cost(a, b, lam):
    "The entropic cost between N(0, a²) and N(0, b²)."
    kappa = ((a * b) ** 2 + lam ** 2 / 16) ** .5 - lam / 4
    return a ** 2 + b ** 2 - 2 * kappa - lam / 2 * math.log(1 - (kappa / (a * b)) ** 2)


# %%
levels = torch.special.ndtri((torch.arange(300, dtype=torch.float64) + .5) / 300)[:, None]
found = [sinkhorn(levels * 1.5, levels * .8, lam).value.item() for lam in (.2, 1., 5.)]
formula = [normal_cost(1.5, .8, lam) for lam in (.2, 1., 5.)]
assert all(abs(a / b - 1) < .02 for a, b in zip(found, formula))
found, formula

# %% [markdown]
# The effect of $\lambda$, on twelve points each:

# %%
few, made = x[:12], x[12:24] * .8
figure, panels = axes(1, 3, size=(2.5, 2.6), sharey=True)
for ax, lam in zip(panels, (.02, .5, 5.)):
    flow = sinkhorn(few, made, lam).plan * 12
    for i, j in (flow > .02).nonzero().tolist():
        ax.plot(*torch.stack([few[i], made[j]]).T, c=ACCENT, lw=1.2, zorder=0,
                alpha=flow[i, j].clamp(.1, 1).item())
    scatter(ax, few, made, limit=3, size=40)
    ax.set_title(f"λ = {lam:g}")
Picture(figure, "Twelve data points (discs) and twelve samples (crosses): at a small λ one line "
        "each, at a large one nearly all with all")


# %% [markdown]
# ## A loss without a critic
# The paper trains two networks for $f$ and $g$, as a WGAN trains its critic, and $G$ descends the dual. For one batch no network is needed: Sinkhorn's iteration finds $f$ and $g$, and the generator can descend $L_\lambda$ itself. Its gradient is simple. The plan depends on the samples too, but at the optimum a small change of the plan changes nothing to first order ([envelope theorem](https://en.wikipedia.org/wiki/Envelope_theorem)). So keep the plan fixed and differentiate the distances:
#
# $$\frac{\partial L_\lambda}{\partial y_j}=\sum_i\pi_{ij}\,\frac{\partial}{\partial y_j}\|x_i-y_j\|^2 .$$

# %%
#| export
@checked
def entropic_loss(x: DataBatch, y: GeneratedBatch, entropy: Entropy = .1,
                  *, sweeps: Count = 10,  # of Sinkhorn's iteration; it takes them all
                  lead: Lead = 1,  # axes before the event; 2 if the first counts runs
                  ) -> Tensor:
    """The entropic transport cost of two batches, `(*runs,)`; its gradient holds the plan still.

    `x` is `(*runs, n, *event)`, `y` `(*runs, m, *event)`. After few sweeps the value is below the
    cost, and the gradient is that of the cost of an unfinished plan: `sinkhorn(x, y).error` tells.
    The primal of Balaji et al. 2019 with λ KL(plan‖product) for their -λ H(plan). `ValueError`
    for shapes that do not fit.
    """
    cost = _squares(_as_vectors(x, lead), _as_vectors(y, lead))
    found = _sinkhorn_iterations(cost, entropy, sweeps)
    return found.value + (found.plan * (cost - found.cost)).sum((-2, -1))


# %% [markdown]
# **Fidelity.** First autograd through three thousand sweeps of a plain Sinkhorn iteration; then a finite difference of the value.

# %%
a, b = p[:8], q[:9].clone().requires_grad_()
def through(a, b, lam=.3):
    cost = (a[:, None] - b).square().sum(-1)
    g = torch.zeros(9, dtype=torch.float64)
    for _ in range(3000):
        f = -lam * (((g - cost) / lam).logsumexp(1) - math.log(9))
        g = -lam * (((f[:, None] - cost) / lam).logsumexp(0) - math.log(8))
    return f.mean() + g.mean()


# %%
slope, = torch.autograd.grad(entropic_loss(a, b, .3, sweeps=3000), b)
long_way, = torch.autograd.grad(through(a, b), b)
assert torch.allclose(slope, long_way, atol=1e-10)
(slope - long_way).abs().max().item()

# %%
bump = torch.zeros_like(q[:9])
bump[4, 1] = 1e-5
up, down = (entropic_loss(a, q[:9] + sign * bump, .3, sweeps=3000) for sign in (1, -1))
assert abs((up - down).item() / 2e-5 - slope[4, 1].item()) < 1e-7
(up - down).item() / 2e-5, slope[4, 1].item()

# %% [markdown]
# ## The model behind the plan
# Read the plan's $e^{-\|x-y\|^2/\lambda}$ as a normal density. Then the generator is one half of an explicit model: draw $z\sim\mathcal N(0,I)$, make $G(z)$, **and add normal noise of variance $\lambda/2$** to each of the $d$ coordinates,
#
# $$p(x)=\mathbb E_z\,(\pi\lambda)^{-d/2}\,e^{-\|x-G(z)\|^2/\lambda}.$$
#
# With the noise every $x$ has a density. For any distribution $q(z)$ that we may choose for this $x$, [Jensen's inequality](https://en.wikipedia.org/wiki/Jensen%27s_inequality) gives a lower bound, the one known from the [variational autoencoder](../glossary.ipynb) (VAE). The paper takes $q$ from the plan: the share of $x$ that goes to each sample. With $M$ latents, $c_i=\|x-G(z_i)\|^2$ and the weights $w_i\propto e^{(g_i-c_i)/\lambda}$, that is
#
# $$S(x)=\sum_iw_i\Big(-\frac{c_i}\lambda-\log w_i\Big)-\log M-\tfrac d2\log\pi\lambda\ \ \le\ \ \log\frac1M\sum_i e^{-c_i/\lambda}-\tfrac d2\log\pi\lambda .$$
#
# The paper calls $S$ the surrogate log-likelihood. Inserting $\log w$ gives a simpler form, and shows that both sides are equal when $g$ is constant, $D_2=0$:
#
# $$S(x)=\log\frac1M\sum_ie^{(g_i-c_i)/\lambda}-\sum_iw_i\frac{g_i}\lambda-\tfrac d2\log\pi\lambda .$$

# %%
#| export
def _log_weighted_mean(exponents: Tensor, lift: Tensor) -> Tensor:
    "log Σ exp(exponents) - Σ w·lift with the weights w ∝ exp(exponents), along the last axis."
    total = _logsumexp(exponents.clone(), -1)
    weights = (exponents - total[..., None]).clamp(min=_FLOOR).exp()
    return total - (weights * lift).sum(-1)


# %% [markdown]
# With $g=0$ the second sum is zero. Many points times many samples need much memory, so the points are taken in parts.

# %%
#| export
def _log_likelihood(x: Tensor, made: Tensor, entropy: float, lift: Tensor | None,
                    lead: int) -> Tensor:
    "The bound with the potential `lift`, in units of the entropy, or what it bounds without one."
    x, made = _as_vectors(x, lead), _as_vectors(made, lead)
    m, d = made.shape[-2:]
    constant = math.log(m) + d / 2 * math.log(math.pi * entropy)
    parts = []
    for part in x.split(max(1, 2 ** 22 // made[..., 0].numel()), -2):
        exponents = -_check_cost(_squares(part, made), entropy, "x, made") / entropy
        if lift is None:
            parts.append(_logsumexp(exponents, -1) - constant)
        else:
            parts.append(_log_weighted_mean(lift + exponents, lift) - constant)
    return torch.cat(parts, -1)


# %% [markdown]
# This is the log-likelihood of the model. Samples from any generator will do, and so will data.

# %%
#| export
@checked
def explicit_log_likelihood(x: DataBatch, made: GeneratedBatch,
                            entropy: Entropy = .1,  # λ: the noise has variance λ/2 per coordinate
                            *, lead: Lead = 1,  # axes before the event; 2 if the first counts runs
                            ) -> Tensor:
    """log p(x) in nats, `(*runs, n)`, of the model G(z) + normal noise of variance λ/2.

    `x` is `(*runs, n, *event)`; `made`, `(*runs, m, *event)`, is G(z) for fresh latents z and
    stands for all that G can make: a Parzen window of width √(λ/2). On average it is too low, by
    less the larger m is (Jensen).

    >>> explicit_log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2), entropy=1 / torch.pi)
    tensor([0.])
    """
    return _log_likelihood(x, made, entropy, None, lead)


# %% [markdown]
# This is its bound by a plan. A constant in the potential changes nothing, so it is taken out before rounding can hurt.

# %%
#| export
@checked
def surrogate_log_likelihood(x: DataBatch, made: GeneratedBatch,
                             potential: Annotated[Tensor, Finite("*runs m")],  # g of a plan
                             entropy: Entropy = .1,  # λ
                             *, lead: Lead = 1,  # axes before the event; 2 with a run axis
                             ) -> Tensor:
    """The lower bound of `explicit_log_likelihood` whose weights come from a plan, `(*runs, n)`.

    `potential`, `(*runs, m)`, is `TransportPlan.g` of a plan with `made`: -D₂ of Balaji et al.
    2019. The bound holds for every potential, and with equality for a constant one. Its mean over
    the data of the plan is minus the plan's cost, up to constants, for a finished plan alone.
    `ValueError` for shapes that do not fit and for what is not finite.
    """
    centred = potential - potential.mean(-1, keepdim=True)
    lift = (centred.to(_as_vectors(made, lead).dtype) / entropy)[..., None, :]
    if not lift.isfinite().all():
        raise ValueError(f"potential: expected finite numbers in units of the entropy {entropy:g}")
    return _log_likelihood(x, made, entropy, lift, lead)


# %% [markdown]
# **Fidelity.** For $G(z)=Az$ the density is known, $p=\mathcal N(0,AA^{\mathsf T}+\tfrac\lambda2I)$. Five dimensions, three latents:

# %%
A = torch.randn(5, 3, dtype=torch.float64, generator=g)
z = torch.randn(100_000, 3, dtype=torch.float64, generator=g)
def linear(A, lam):
    "The explicit model of a linear generator."
    noise = lam / 2 * torch.eye(len(A), dtype=A.dtype)
    return torch.distributions.MultivariateNormal(A.new_zeros(len(A)), A @ A.T + noise)


# %%
def drawn(A, lam, n):
    "Examples of that model."
    z, e = (torch.randn(n, k, dtype=A.dtype, generator=g) for k in (A.shape[1], len(A)))
    return z @ A.T + (lam / 2) ** .5 * e


# %%
at = drawn(A, .5, 60)
exact = linear(A, .5).log_prob(at)
means = {m: explicit_log_likelihood(at, z[:m] @ A.T, .5).mean().item()
         for m in (100, 1000, 10_000, 100_000)}
assert means[100] < means[1000] < means[10_000] < means[100_000] < exact.mean()
assert exact.mean() - means[100_000] < .02
[round(v, 3) for v in means.values()], round(exact.mean().item(), 3)

# %% [markdown]
# The estimate comes from below, and with 100,000 latents it is within 0.02 nats. Now a thousand random potentials: the bound always holds, and a constant potential gives equality. The gap is exactly the KL divergence from the weights to the posterior, the distribution of the latent for a given $x$.

# %%
made, some = z[:500] @ A.T, at[:20]
top = explicit_log_likelihood(some, made, .5)
wild = torch.randn(1000, 500, dtype=torch.float64, generator=g) * 2
bounds = torch.stack([surrogate_log_likelihood(some, made, v, .5) for v in wild])
constant = surrogate_log_likelihood(some, made, 7 + 0 * wild[0], .5)
assert (bounds <= top + 1e-12).all() and torch.allclose(constant, top, atol=1e-12)
(top - bounds).min().item(), (top - bounds).max().item()

# %%
cost = torch.cdist(some, made).square()
posterior, weights = (-cost / .5).log_softmax(1), ((wild[0] - cost) / .5).log_softmax(1)
lost = (weights.exp() * (weights - posterior)).sum(1)
assert torch.allclose(top - bounds[0], lost, atol=1e-10)

# %%
constants = -math.log(500) - 2.5 * math.log(math.pi * .5)
by_definition = (weights.exp() * (-cost / .5 - weights)).sum(1) + constants
assert torch.allclose(bounds[0], by_definition, atol=1e-10)
lost.mean().item()

# %% [markdown]
# This is the main point of the paper. Average the bound over the batch that the plan was made for. If Sinkhorn's iteration has ended, the rows are right, so every weight is $n$ times a share of the plan; and the columns are right too. Then
#
# $$\frac1n\sum_iS(x_i)=-\frac{L_\lambda}\lambda-\tfrac d2\log\pi\lambda :$$
#
# **a generator that descends the entropic cost climbs a likelihood bound**, as a VAE does. The plan replaces the VAE's [encoder](../glossary.ipynb).

# %%
plan = sinkhorn(some, made, .5, sweeps=5000, tolerance=0)
left = surrogate_log_likelihood(some, made, plan.g, .5).mean()
right = -plan.value / .5 - 2.5 * math.log(math.pi * .5)
unfinished = -sinkhorn(some, made, .5, sweeps=1, tolerance=0).value / .5
assert torch.isclose(left, right, atol=1e-9)
assert unfinished - 2.5 * math.log(math.pi * .5) > right
left.item(), right.item(), top.mean().item()

# %% [markdown]
# (The last number is the likelihood. Here the bound is 9.7 nats below it, because 20 points have to serve 500 samples.) After few sweeps the dual is *below* the cost, so $-L_\lambda/\lambda$ is *above* the bound, and nothing makes it a bound. The assertion of the cell has an example after one sweep.
#
# ## Three mistakes in the released evaluation
# The authors published the code that scored their digits. In our notation, and with $D_2=0$, where the right answer is known, it computes the following:

# %%
def released(x, z, A, lam):
    "What the released evaluator does: weights, score and effective number of latents."
    cost, size = torch.cdist(x, z @ A.T).square(), z.square().sum(1) / 2
    log_w = (-cost / lam - size).log_softmax(1)
    score = (log_w.exp() * (-cost / lam - log_w - size)).sum(1)
    return log_w, score, 1 / log_w.exp().square().sum(1)


# %%
log_w, score, _ = released(at, z[:20_000], A, .5)

# %% [markdown]
# **The [prior](../glossary.ipynb) counts twice.** The latents are *drawn* from $\mathcal N(0,I)$ and *weighted* with its density once more. If all constants are right and only this changes, the bound gets looser:

# %%
cost = torch.cdist(at, z[:20_000] @ A.T).square()
twice = (log_w.exp() * (-cost / .5 - log_w)).sum(1) - math.log(20_000)
twice -= 2.5 * math.log(math.pi * .5)
once = explicit_log_likelihood(at, z[:20_000] @ A.T, .5)
assert (twice < once).all()
{"exact": exact.mean().item(), "prior once": once.mean().item(), "prior twice": twice.mean().item()}

# %% [markdown]
# In the worst case $x$ says nothing about $z$. Then the weights should be even. With the prior in them they are those of $\mathcal N(0,\tfrac12I)$, which costs $\tfrac12(\log2-\tfrac12)$ nats for every latent: twelve nats for 128.

# %%
log_w = (-z.square().sum(1) / 2).log_softmax(0)
cost_of_prior = (log_w.exp() * (log_w + math.log(len(z)))).sum().item()
assert abs(cost_of_prior - 3 * (math.log(2) - .5) / 2) < .01
cost_of_prior, 3 * (math.log(2) - .5) / 2, 128 * (math.log(2) - .5) / 2

# %% [markdown]
# **The constants are dropped**: the noise's $(\pi\lambda)^{-d/2}$, the prior's $2\pi$, and $-\log M$. Then the score is no log-likelihood and cannot compare models. The data below come from the model with $\lambda=0.1$. **Predict:** which of four $\lambda$ has the highest score?

# %%
own, scored = drawn(A, .1, 200), {}
for lam in (.02, .1, .5, 2.):
    right = linear(A, lam).log_prob(own).mean().item()
    ours = explicit_log_likelihood(own, z[:10_000] @ A.T, lam).mean().item()
    scored[lam] = right, ours, released(own, z[:10_000], A, lam)[1].mean().item()
    print(f"λ {lam:4}: exact {right:7.2f}   ours {ours:7.2f}   released {scored[lam][2]:8.2f}")

# %%
assert [max(scored, key=lambda lam: scored[lam][k]) for k in range(3)] == [.1, .1, 2.]

# %% [markdown]
# The exact likelihood is highest at the true $\lambda=0.1$, and so is ours. The released score rises with $\lambda$: a larger $\lambda$ divides the distance, and the constant that would punish it is missing.
#
# **640 latents for 128 dimensions.** Their digits have a latent of 128 numbers, and each score uses 640 draws. How many draws have a noticeable weight?

# %%
def from_640_latents() -> tuple:
    "How far the estimate is too low, in nats, and the effective number of latents: one drawing."
    wide = torch.randn(256, 128, dtype=torch.float64, generator=g) / 128 ** .5
    draws = torch.randn(640, 128, dtype=torch.float64, generator=g)
    pictures = drawn(wide, .2, 50)
    found = explicit_log_likelihood(pictures, draws @ wide.T, .2)
    off = linear(wide, .2).log_prob(pictures) - found
    return off.mean().item(), released(pictures, draws, wide, .2)[2].mean().item()


# %%
off, effective = (interval(v, low=0) for v in zip(*(from_640_latents() for _ in range(8))))
claim("For a linear generator with 128 latent dimensions, a likelihood from 640 latents is more "
      "than 100 nats too low",
      paper="this course", section="as many as the released evaluator draws; eight drawings",
      ours=off, baseline=f"effective number of latents {effective}", holds=off.low > 100)

# %% [markdown]
# About one draw has weight. The score of a picture is then its distance to the nearest of 640 samples, up to constants. This is a limit of the method, and ours has it too: *in many dimensions these numbers order examples at best, and are no log-likelihoods*. The paper's figures show differences under one model. On the digits below we use the order of the pictures alone, apart from choosing $\lambda$ and the width.

# %% [markdown]
# ## The game
# The game has one player, $G$, and no critic. It compares a batch of data with a batch of samples.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Entropic(Game):
    "An entropic GAN (Balaji et al. 2019): no critic, G descends the entropic transport cost."
    G: Player = None  # your own network, or a function that makes one; None: one that fits the set
    entropy: Entropy = .1  # λ, in squared distance: the model's noise has variance λ/2
    sweeps: Count = 10  # of Sinkhorn's iteration in each step; a small λ wants more
    turns: ClassVar[str] = "G"
    default_optimiser: ClassVar[Optimiser] = Optimiser(2e-3, (.5, .9))

    def players(self, event: tuple[int, ...], latent: int, runs: int,
                generator: list) -> dict[str, nn.Module]:
        "G, one copy per run."
        kw = dict(runs=runs, generator=generator)
        default = functools.partial(self.networks.generator, latent, event, **kw)
        return {"G": make_player("G", self.G, default, **kw)}

    def loss_G(self, t: Any) -> Tensor:
        "One value per run for the generator's turn."
        return entropic_loss(t.x, t.G(t.z), self.entropy, sweeps=self.sweeps, lead=2)


# %%
print(error_message(Entropic, entropy=0))
Entropic(), Entropic.turns

# %% [markdown]
# The model is $G(z)$ *plus noise*, so $\lambda$ changes the optimal generator. If the data have variance $a^2$, the noise has $\lambda/2$ of it, and for $G$ there remains
#
# $$b^2=\max\big(0,\ a^2-\tfrac\lambda2\big).$$
#
# **Fidelity.** By the closed form above, the cost is least at that $b$:

# %%
grid = torch.linspace(.02, 1.4, 6901, dtype=torch.float64).tolist()
for lam in (.1, .5, 1.5):
    cheapest = min(grid, key=lambda b: normal_cost(1., b, lam))
    assert abs(cheapest - (1 - lam / 2) ** .5) < 1e-3
assert min(grid, key=lambda b: normal_cost(1., b, 2.5)) == grid[0]  # above twice the variance

# %% [markdown]
# This is a mode collapse without a discriminator. Our modes have $a^2=0.0225$. By the formula, from $\lambda=0.045$ on the best $G$ makes each mode a point. The whole ring has variance 2.02 in each direction: from $\lambda\approx4$ on *everything* should be one point.
#
# **Predict:** seven values of $\lambda$, eight seeds each. How many modes does each capture, and how wide are they? For the width we take the nearest quarter of a seed's samples, and how far from a centre it reaches. For perfect modes it is 0.76 standard deviations.

# %%
entropies = (6., 4.5, 3.5, .5, .1, .05, .02)
quick = dict(sweeps=5, networks=Networks(width=64), optimiser=Optimiser(4e-3))

# %%
@functools.cache
def entropic_after(n: int, lam: float):
    "Eight seeds of the entropic game at an entropy λ; a second call trains nothing."
    return trained(Entropic(entropy=lam, **quick), n)


# %%
fresh = [torch.Generator().manual_seed(100 + r) for r in range(8)]
anchors = torch.stack([eight.sample(1000, s) for s in fresh])  # data for the plans
tried = torch.stack([eight.sample(500, s) for s in fresh])     # data for choosing settings

# %%
def reported(run, lam, n: int = 128):
    "What the loss says of one batch after its five sweeps, and the batch's bound, run by run."
    batch, made = anchors[:, :n], run.sample(n)
    plans = [sinkhorn(batch, made, lam, **kw, lead=2)
             for kw in (dict(sweeps=5, tolerance=0), dict(sweeps=50_000))]
    return torch.stack([-plan.value / lam - math.log(math.pi * lam) for plan in plans])


# %%
@experiment("04_likelihood", early=10)
def each_entropy(total=600):
    "Coverage, width, samples and the reported numbers at each λ, seed by seed."
    found = {}
    for lam in entropies:
        run = entropic_after(total, lam)
        y, said = run.sample(2500), -run.losses["G"] / lam - math.log(math.pi * lam)
        found[f"λ = {lam:g}"] = covered(y) | {
            "reach": torch.cdist(y, eight.centers).amin(-1).quantile(.25, dim=1) / .15,
            "deviation": y.std(1).mean(-1), "samples": y[0, :300].round(decimals=2),
            "said": said.unflatten(0, (-1, 10)).mean((1, 2))}
        if lam in (.5, .1, .05):
            found[f"λ = {lam:g}"]["start"] = reported(entropic_after(1, lam), lam)
            found[f"λ = {lam:g}"]["end"] = reported(run, lam)
    return found


# %%
by_entropy, fitting = each_entropy(), entropies[3:]
large = {lam: by_entropy[f"λ = {lam:g}"] for lam in entropies[:3]}
assert max(max(row["high_quality"]) for row in large.values()) < .01 or fast_mode()

# %%
def of_entropy(key: str) -> dict:
    "A measure as an interval at each λ; a seed without a good sample has no rare modes either."
    found = {lam: torch.tensor(by_entropy[f"λ = {lam:g}"][key]).nan_to_num() for lam in entropies}
    return {lam: interval(v, low=0, high=MOST.get(key)) for lam, v in found.items()}


# %%
fit_widths = of_entropy("reach")
perfect_reach = math.sqrt(-2 * math.log(.75))
assert all(of_entropy("rare")[lam].high < .25 for lam in fitting) or fast_mode()
assert all(set(by_entropy[f"λ = {lam:g}"]["captured"]) == {8} for lam in fitting) or fast_mode()
rare_means = [round(of_entropy("rare")[lam].mean, 2) for lam in fitting]
assert (min(rare_means), max(rare_means)) == (.13, .17) or fast_mode()

# %%
shown = {"captured": "modes captured, of 8", "high_quality": "high quality",
         "rare": "share of rare modes", "reach": "reach of a quarter"}
figure, panels = axes(1, 4, size=(2.3, 2.2))
for ax, (key, label) in zip(panels, shown.items()):
    some = {lam: v for lam, v in sorted(of_entropy(key).items())
            if key in ("captured", "high_quality") or lam in fitting}
    ends = [[v.mean - v.low for v in some.values()], [v.high - v.mean for v in some.values()]]
    places = range(len(some))  # evenly spaced: the three largest are close on any scale
    ax.errorbar(places, [v.mean for v in some.values()], ends, fmt="-o", c=REAL, ms=4)
    ax.set(xlabel="entropy λ (evenly spaced)", title=label)
    ax.set_xticks(places, [f"{lam:g}".removeprefix("0") for lam in some])
panels[2].set_ylim(0, .3)
panels[3].set_ylim(-.02, .8)
panels[2].axhline(.25, c=MISSING, ls=":")
panels[3].axhline(perfect_reach, c=MISSING, ls=":")
formula = [perfect_reach * max(0, 1 - lam / .045) ** .5 for lam in sorted(fitting)]
panels[3].plot(formula, "x", c=FAKE)
Picture(figure, "Over the entropy: up to 0.5 all modes are captured and near 0.78 of the samples "
        "are good, above nearly none; the rare modes have 0.13 to 0.17 of the good samples, not "
        "0.25; the nearest quarter reaches 0.3 to 0.5 standard deviations, not 0.76")

# %% [markdown]
# Dotted lines are the data: the rare modes' share, and the reach of perfect modes. Crosses are the reach by the formula. At the three largest $\lambda$ less than 1 % of the samples are good, so the likelihoods below leave these $\lambda$ out. At the other four all eight modes are captured, but all generators make the modes narrower than the data. At $\lambda=0.02$ the formula gives 0.57 ($\sqrt{1-0.01/0.0225}$ of 0.76), and the measured interval lies just below. From $\lambda=0.045$ on, where the noise has the variance of a mode, the formula gives zero, but the modes keep about half of their width. We did not find out why. *Captured* hides another fault: the rare modes hold a quarter of the data, but only 0.13 to 0.17 of the good samples.
#
# At $\lambda=6$ all samples of a seed are one point:

# %%
reach = {lam: fit_widths[lam] for lam in fitting}
assert all(i.high < perfect_reach for i in reach.values()) or fast_mode()
assert reach[.02].high < perfect_reach * (1 - .01 / .0225) ** .5 or fast_mode()
perfect_reach, perfect_reach * (1 - .01 / .0225) ** .5

# %%
figure, panels = axes(2, 3, size=(2.6, 2.7), sharex=True, sharey=True)
for (top, bottom), lam in zip(panels.T, (6., .5, .05)):
    y = torch.tensor(by_entropy[f"λ = {lam:g}"]["samples"])
    normal = torch.randn(600, 2, generator=g)
    for ax, shown in ((top, y), (bottom, y + (lam / 2) ** .5 * normal[:300])):
        scatter(ax, eight.centers, limit=3, size=50)
        scatter(ax, None, shown, limit=3, size=5)
    top.set_title(f"λ = {lam:g}: G(z)")
    bottom.set_title("G(z) + noise")
Picture(figure, "Samples (crosses) of three generators and the centres of the modes (discs), above "
        "alone and below with their noise: at λ = 6 a single point, at 0.5 narrow modes, at 0.05 "
        "the ring with bridges")

# %%
at = {lam: by_entropy[f"λ = {lam:g}"]["deviation"] for lam in entropies}
of_data = eight.sample(100_000, torch.Generator().manual_seed(0)).var(0).mean().item()
claim("An entropy λ above twice the data's variance collapses the generator to one point, without "
      "any discriminator; below, its variance is the data's less λ/2",
      paper="this course", section="standard deviation of the samples at λ = 4.5; twice the "
      f"variance is {2 * of_data:.2f}", ours=interval(at[4.5], low=0),
      baseline=f"{interval(at[3.5])} at λ = 3.5, by the formula {(of_data - 1.75) ** .5:.2f}",
      holds=max(at[6.] + at[4.5]) < .1
      and all(abs(v - (of_data - 1.75) ** .5) < .05 for v in at[3.5]))

# %% [markdown]
# The loss is minus the bound up to scale and constant, if the plan is finished. The games take five sweeps. So the number that a step reports, $-L_\lambda/\lambda-\tfrac d2\log\pi\lambda$ with the dual after five sweeps, is **above** the bound of its batch. The picture has the reported number during the training, and at the right end both for one batch of 128 after it, with the same samples:

# %%
for lam in (.5, .1, .05):
    said, bound = by_entropy[f"λ = {lam:g}"]["end"]
    assert all(a >= b for a, b in zip(said, bound))

# %%
figure, ax = axes(size=(5.2, 2.9))
for lam, colour, dash in zip((.5, .1, .05), (REAL, FAKE, ACCENT), ("-", "--", ":")):
    curve, end = by_entropy[f"λ = {lam:g}"]["said"], by_entropy[f"λ = {lam:g}"]["end"]
    ax.plot(range(5, 10 * len(curve), 10), curve, dash, c=colour, label=f"λ = {lam:g}")
    for values, mark, place in zip(end, "xo", (1.03, 1.06)):
        v = interval(values)
        at_end = place * 10 * len(curve)
        ax.plot([at_end] * 2, [v.low, v.high], c=colour)
        ax.plot(at_end, v.mean, mark, c=colour, ms=5)
ax.set(xlabel="step", ylabel="reported by the loss (nats)", ylim=(-13, 0))
ax.legend(frameon=False, title="at the end: crosses reported, discs bound", ncols=3)
Picture(figure, "The number that the loss reports rises within a hundred steps and then slowly, at "
        "each of three λ; the bounds at the end, shown as discs, lie below it: by 0.2 nats at "
        "λ = 0.5, by 1.8 at 0.1 and by 4.2 at 0.05")

# %% [markdown]
# Does the bound itself rise? Here it is with a finished plan:

# %%
start, end = (interval(by_entropy["λ = 0.1"][part][1]) for part in ("start", "end"))
claim("The likelihood bound of the data rises while an entropic GAN trains",
      paper="Balaji et al. 2019", section="λ = 0.1, 128 points, after 600 steps against after one, "
      "nats", ours=end, baseline=start, holds=end.low > start.high,
      figure="MNIST, without constants: near -120 at step 1, -61 at 10,000 (read off its plot)")

# %% [markdown]
# (Between 128 points and as many samples a plan costs more than between a thousand each, so these bounds are lower than those of the next section.)
#
# $G(z)$ alone is no fair sample of this model: at a high $\lambda$ it is *meant* to be narrower than the data. For samples without noise, subtract the cost of the samples among themselves (the Sinkhorn divergence). Such a loss is no likelihood any more. The KL below goes from the modes' shares among the good samples to their true shares. Debiased, the shares are nearer to the truth, but fewer samples are good:

# %%
class Debiased(Entropic):
    "The Sinkhorn divergence: zero where the laws agree."
    def loss_G(self, t):
        y, kw = t.G(t.z), dict(entropy=self.entropy, sweeps=self.sweeps, lead=2)
        return entropic_loss(t.x, y, **kw) - entropic_loss(y, y, **kw) / 2


# %%
@experiment("04_likelihood", early=10)
def debiased(total=600):
    "What the Sinkhorn divergence covers, seed by seed."
    return covered(trained(Debiased(entropy=.5, **quick), total).sample(2500))


# %%
straight, entropic = debiased(), by_entropy["λ = 0.5"]
for name in ("high_quality", "kl"):
    plain, free = interval(entropic[name], low=0), interval(straight[name], low=0)
    assert free.high < plain.low or fast_mode()
    print(f"{name:12}  λ = 0.5: {plain}   debiased: {free}")

# %% [markdown]
# ## The two tests again, with the bound
# For each $\lambda$ we take a thousand samples and a thousand data points that are not among the test points. A plan between the two gives the potential $g$. The plan is finished: its `error` is at most 0.001. The picture has two averages over the test points, in nats: the model's log-likelihood, and the bound; for comparison also the gap that a plan after forty sweeps would show.

# %%
def bounded(run, lam, n, anchors=anchors, sweeps=50_000, tolerance=1e-3):
    "The model's log-likelihood and its bound from n samples, two functions of points (8, m, 2)."
    made = run.sample(n)
    kw = dict(sweeps=sweeps, tolerance=tolerance, lead=2)
    potential = sinkhorn(anchors[:, :n], made, lam, **kw).g
    return (lambda v: explicit_log_likelihood(v, made, lam, lead=2),
            lambda v: surrogate_log_likelihood(v, made, potential, lam, lead=2))


# %%
@experiment("04_likelihood", early=10)
def likelihoods(total=600):
    "At each λ model, bound, the gap after 40 sweeps, and the bound of other points, by seed."
    found, n = {}, min(1000, 10 * total)
    for lam in fitting:
        model, bound = bounded(entropic_after(total, lam), lam, n)
        early = bounded(entropic_after(total, lam), lam, n, sweeps=40, tolerance=0)[1]
        a, b = model(here).mean(-1), bound(here).mean(-1)
        found[f"λ = {lam:g}"] = [a, b, a - early(here).mean(-1), bound(tried).mean(-1)]
    many = entropic_after(total, .02).sample(20 * n)
    return found | {"many": explicit_log_likelihood(here, many, .02, lead=2).mean(-1)}


# %%
found = likelihoods()
many = torch.tensor(found.pop("many"))
nats = {lam: torch.tensor(row) for lam, row in zip(fitting, found.values())}  # (4, 8) each

# %%
def against(ax, values: dict, mark: str, colour: str, label: str):
    "Intervals at each λ."
    found = [interval(v) for v in values.values()]
    ends = [[v.mean - v.low for v in found], [v.high - v.mean for v in found]]
    ax.errorbar(list(values), [v.mean for v in found], ends, fmt=mark, c=colour, ms=5, label=label)
    ax.set(xscale="log", xlabel="entropy λ")
    ax.set_xticks([*values], [f"{lam:g}" for lam in values], minor=False)
    ax.minorticks_off()

# %%
parts = {"model": {lam: row[0] for lam, row in nats.items()},
         "bound": {lam: row[1] for lam, row in nats.items()},
         "gap": {lam: row[0] - row[1] for lam, row in nats.items()},
         "gap after 40 sweeps": {lam: row[2] for lam, row in nats.items()},
         "gap · λ": {lam: (row[0] - row[1]) * lam for lam, row in nats.items()}}
figure, (left, right) = axes(1, 2, size=(3.6, 2.6))
for ax, names in ((left, ("model", "bound")), (right, ("gap", "gap after 40 sweeps", "gap · λ"))):
    for name, mark, colour in zip(names, ("-o", "--s", ":x"), (REAL, FAKE, ACCENT)):
        against(ax, parts[name], mark, colour, name)
left.axhline(eight.log_prob(x).mean().item(), c=MISSING, ls=":", label="the truth")
left.set(ylabel="nats")
right.set(yscale="log")
for ax in (left, right):
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(.5, 1))
Picture(figure, "Left: the model rises from -2.6 nats at λ = 0.5 to -1.4 at 0.05, the bound falls "
        "to -14 at 0.02. Right: the gap grows from 0.07 to 12.8; after 40 sweeps it is 2.3 at "
        "0.02; the gap times λ grows from 0.03 to 0.26")

# %%
model_nats = {lam: interval(row[0]) for lam, row in nats.items()}
claim("A smaller entropy λ gives a better model", paper="this course",
      section="λ from 0.5 to 0.05, nats", ours=model_nats[.05], baseline=model_nats[.5],
      holds=model_nats[.1].low > model_nats[.5].high and model_nats[.05].low > model_nats[.1].high)

# %%
gap = {lam: interval(row[0] - row[1]) for lam, row in nats.items()}
falling = [(gap[a].high, gap[b].low) for a, b in ((.5, .1), (.1, .05), (.05, .02))]
claim("A smaller entropy λ gives a looser bound", paper="this course",
      section="λ from 0.5 to 0.02, nats", ours=gap[.02], baseline=gap[.5],
      holds=all(high < low for high, low in falling))

# %%
narrower, more = interval(nats[.05][0] - nats[.02][0]), interval(many - nats[.02][0])
assert more.mean < narrower.low and narrower.low > 0 or fast_mode()
assert gap[.02].low * .02 > gap[.1].high * .1 or fast_mode()
assert nats[.02][2].mean() < gap[.02].low / 2 or fast_mode()
narrower, more

# %% [markdown]
# Below 0.05 the model gets no better (the first interval is the likelihood at 0.05 less that at 0.02). The number of samples is not the main reason: with 20,000 in place of 1,000 it rises by 0.03 nats at $\lambda=0.02$ (the second interval), about a quarter of that difference.
#
# Why is the bound loose? The plan has to serve every sample, and two finite sets of points never match exactly. This costs *distance*, and the bound divides it by $\lambda$. But that is not all: the gap times $\lambda$ is no constant. At 0.02 it is about four times that at 0.1. An unfinished plan hides this: after forty sweeps the gap at 0.02 is 2.3 nats instead of 12.8.
#
# Now both tests of the beginning. Each method has the setting that gives *other* data the highest likelihood: $\lambda$ for the bound, the width $h$ for a **Parzen window**. A Parzen window puts a normal density of standard deviation $h$ on each of as many points and averages, which is our `explicit_log_likelihood` with $\lambda=2h^2$. We put it on the GAN's samples, and also, without any generator, on data.

# %%
widths = (.05, .07, .1, .15, .2, .3)

# %%
def parzen(*clouds, held=tried, widths=widths):
    "The window whose cloud and width suit the points `held`."
    found = {(k, h): explicit_log_likelihood(held, cloud, 2 * h * h, lead=2).mean()
             for k, cloud in enumerate(clouds) for h in widths}
    k, h = max(found, key=found.get)
    return lambda v: explicit_log_likelihood(v, clouds[k], 2 * h * h, lead=2)


# %%
best_entropy = max(fitting, key=lambda lam: nats[lam][3].mean())

@experiment("04_likelihood", early=10)
def rivals(total=600):
    "Both answers of the bound, its model and a window on the GANs' samples, and two maps."
    n = min(1000, 10 * total)
    model, bound = bounded(entropic_after(total, best_entropy), best_entropy, n)
    window = parzen(*(gan_after(total, name).sample(n) for name in settings))
    return {"bound": two_tests(bound), "model": two_tests(model), "window": two_tests(window),
            "maps": [plane(score)[0].round(decimals=2) for score in (bound, window)]}


# %%
found = rivals()
ours, its_model = f"bound, λ = {best_entropy:g}", f"its model, λ = {best_entropy:g}"
scorers = {"logit of D": gans[best]["D"], "nearest sample": gans[best]["nearest"],
           ours: found["bound"], its_model: found["model"],
           "Parzen, GAN samples": found["window"], "Parzen, data": two_tests(parzen(anchors))}

# %%
answers = {name: intervals(row) for name, row in scorers.items()}
{name: f"{row['order']:.2f}" for name, row in answers.items() if name in (ours, "nearest sample")}

# %% [markdown]
# These two are the rank correlations. All trainings share their seeds, so differences are paired. The picture has both tests above, with dotted lines at the ceiling, and below them the bound less each of the others. (For *Parzen, data* the seeds are eight sets of data.)

# %%
def minus(a, b):
    "The difference of two rows of numbers, seed by seed."
    return interval([float(u) - float(v) for u, v in zip(a, b)])


# %%
less = {(name, test): minus(found["bound"][test], scorers[name][test]) for name in scorers
        for test in ("against noise", "order") if name != ours}

# %%
figure, panels = axes(2, 2, size=(3.4, 1.8), sharey="row")
for (above, below), test in zip(panels.T, ("against noise", "order")):
    interval_plot(above, {name: row[test] for name, row in answers.items()})
    above.axvline(ceiling[test], c=MISSING, ls=":")
    above.set_title({"order": "rank correlation"}.get(test, "AUROC against noise"))
    interval_plot(below, {f"less {name}": v for (name, of), v in less.items() if of == test},
                  color=FAKE)
    below.axvline(0, c=MISSING, ls=":")
Picture(figure, "Both tests: Parzen on data is best, the bound is below its model and below Parzen "
        "on the samples of a GAN; in the order it is above the logit and the nearest sample")

# %%
claim("The likelihood bound orders data by their true density better than the logit of the best of "
      "four discriminators",
      paper="this course", section="rank correlation with the true density; R1 and three minimax "
      "rates, 600 steps", ours=answers[ours]["order"],
      baseline=f"{answers['logit of D']['order']} ({best}); ceiling 1",
      holds=less["logit of D", "order"].low > 0)

# %%
claim("The likelihood bound tells data from noise better than the logit of the best of four "
      "discriminators", paper="this course", section="AUROC", ours=answers[ours]["against noise"],
      baseline=f"{answers['logit of D']['against noise']} ({best}); ceiling "
               f"{ceiling['against noise']:.3f}, chance 0.5",
      holds=less["logit of D", "against noise"].low > 0, expect=False)

# %% [markdown]
# Against noise we find no difference, if the discriminator's setting is chosen by the result. The bound's $\lambda$ was chosen by its own likelihood, without the result. This is an advantage of a score in nats.

# %%
claim("The likelihood bound orders data by their true density better than a Parzen window on as "
      "many samples", paper="this course", section="rank correlation with the true density",
      ours=answers[ours]["order"],
      baseline=f"{answers[its_model]['order']} on the same samples; "
               f"{answers['Parzen, GAN samples']['order']} on a GAN's",
      holds=min(less[name, "order"].low for name in (its_model, "Parzen, GAN samples")) > 0,
      expect=False)

# %%
for test in ("against noise", "order"):
    assert max(less[name, test].high for name in (its_model, "Parzen, GAN samples")) < 0 \
        or fast_mode()
    assert max(answers, key=lambda name: answers[name][test].mean) == "Parzen, data" or fast_mode()

# %% [markdown]
# The plan adds nothing to these two tests. By construction the bound is below a Parzen window on the same samples (*its model* in the picture), and it needs the same distances. In both tests this window is better than the bound, and so is the window on the GAN's samples (all paired intervals are below zero). If you have samples, use the window, and choose its width on other data. A window on the data themselves, without a generator, is best in both tests. The plan gives the *explanation*: training climbs a bound of this likelihood.

# %%
figure, panels = axes(1, 3, size=(3.1, 2.7))
heat(panels[0], true_plane[0], "true log density", -15, 1)
heat(panels[1], found["maps"][0], f"bound, λ = {best_entropy:g}", -15, 1)
heat(panels[2], found["maps"][1], "Parzen, GAN samples", -15, 1)
Picture(figure, "Three maps in nats: the true density has eight peaks; the bound and the Parzen "
        "window show the ring, its common modes brightest, with bridges between neighbours")

# %% [markdown]
# In these maps, of seed 0, the four rare modes are no peaks. The generators make bridges there instead of modes, and a likelihood is no better than its generator.
#
# ## Is the bound lower on a missing mode?
# We take one rare mode, a sixteenth of the data, out of the training data, and score its points.
#
# **Predict:** how much lower is the bound there, and how much lower is its *mean* over all test points? Does the discriminator of a GAN, trained on the same seven modes, notice it too?

# %%
others = torch.tensor([0, 2, 3, 4, 5, 6, 7])
seven = mixture(eight.centers[others], .15, weights=[3, 3, 1, 3, 1, 3, 1])
ground_of_seven, tried_of_seven = (torch.stack([seven.sample(n, s) for s in fresh])
                                   for n in (1000, 500))
many, of = eight.sample_with_modes(20_000, torch.Generator().manual_seed(9))
balanced = torch.cat([many[of == k][:100] for k in range(8)]).expand(8, -1, -1)

# %%
def hole_auroc(scores):
    "AUROC of the points of all other modes against those of mode 1."
    return auroc(torch.cat([scores[:, :100], scores[:, 200:]], 1), scores[:, 100:200])


# %%
@experiment("04_likelihood", early=10)
def left_out(total=600):
    "Both games without mode 1: what they cover, and what they say of each mode, by seed."
    n, game = min(1000, 10 * total), Entropic(entropy=best_entropy, **quick)
    lost, gan = trained(game, total, seven), trained(settings[best], total, seven)
    usual = bounded(entropic_after(total, best_entropy), best_entropy, n)[1](balanced)
    less = bounded(lost, best_entropy, n, ground_of_seven)[1](balanced)
    with torch.no_grad():
        logit = gan.players.nets["D"](balanced)
    means = {"on eight": usual, "on seven": less}
    model = explicit_log_likelihood(balanced, lost.sample(n), best_entropy, lead=2)
    window = parzen(ground_of_seven[:, :n], held=tried_of_seven)(balanced)
    return {"bound": hole_auroc(less), "logit of D": hole_auroc(logit),
            "its model": hole_auroc(model), "Parzen, data": hole_auroc(window),
            "covered": {"entropic": covered(lost.sample(2500)), "GAN": covered(gan.sample(2500))},
            **{name: v.unflatten(-1, (8, 100)).mean(-1) for name, v in means.items()}}


# %%
lost = left_out()
usual, by_mode = torch.tensor(lost["on eight"]), torch.tensor(lost["on seven"])
assert lost["covered"]["entropic"]["captured"] == [7] * 8 or fast_mode()
assert sorted(lost["covered"]["GAN"]["captured"]) == [7] + [8] * 7 or fast_mode()
{name: f"captured {interval(row['captured'], low=0, high=8)}"
 for name, row in lost["covered"].items()}

# %%
figure, ax = axes(size=(5.4, 2.7))
for shift, values, colour, mark, name in ((-.12, usual, REAL, "o", "trained on eight"),
                                          (.12, by_mode, FAKE, "x", "trained on seven")):
    for k in range(8):
        ax.plot([k + shift] * 8, values[:, k], mark, c=colour, ms=4, label=name if k == 0 else None)
ax.set(xlabel="mode (odd: rare)", ylabel="mean bound (nats)", xticks=range(8))
ax.legend(frameon=False)
Picture(figure, "Mean bound by mode, eight seeds each: without mode 1 in training its points fall "
        "below all others")

# %%
holes = {name: interval(lost[name], low=0, high=1)
         for name in ("bound", "its model", "logit of D", "Parzen, data")}
fall = (usual - by_mode)[:, 1]
for rival in ("its model", "logit of D", "Parzen, data"):
    assert all(a > b for a, b in zip(lost[rival], lost["bound"])) or fast_mode()

# %%
in_the_mean = interval((usual - by_mode) @ eight.weights)
assert .82 < min(lost["bound"]) < .84 and .85 < in_the_mean.mean < .95 or fast_mode()
assert abs(interval(fall).mean - 6.6) < .05 and 1 < fall.min() < 1.2 or fast_mode()
{"nats lost there": interval(fall), "lost in the mean": in_the_mean}

# %%
figure, ax = axes(size=(4.8, 1.6))
interval_plot(ax, holes)
interval_plot(ax, {name: min(lost[name]) for name in holes}, color=FAKE, mark="x",
              label="worst seed")
ax.set(xlabel="AUROC of the lost mode", xlim=(.8, 1.01))
ax.legend(frameon=False)
Picture(figure, "The lost mode: the bound has an AUROC of 0.94, at worst 0.83; its model, the "
        "logit of D and a window on data are at 0.99 or more")

# %%
claim("The bound tells the examples of a mode that was left out of training from all others",
      paper="Balaji et al. 2019", section="in this course's setting: AUROC against other modes, "
      "is it above 0.9? Chance is 0.5", ours=holes["bound"], holds=holes["bound"].low > .9,
      expect=False, baseline=f"a window on the same samples {holes['its model']}",
      figure="trained on the ones of MNIST: ones near -49, all digits near -63 (read off its plot)")

# %%
claim("The bound finds a mode that was left out of training better than the discriminator's logit "
      "does", paper="this course", section="AUROC", ours=holes["bound"],
      baseline=f"{holes['logit of D']}; a window on the bound's samples {holes['its model']}, on "
               f"data {holes['Parzen, data']}",
      holds=minus(lost["bound"], lost["logit of D"]).low > 0, expect=False)

# %% [markdown]
# The bound notices the missing mode, but not reliably: its AUROC is 0.94 on average and 0.83 on the worst seed. The points of the mode lose 6.6 nats on average, 1.1 on the worst seed. The mean over all test points loses 0.9 nats (each mode counts with its share), which is visible only beside the other model. The window on the same samples finds the mode better on all seeds. In theory a hole costs its squared distance to the nearest sample, over $\lambda$. A continuous generator makes a bridge of samples from mode 0 to mode 2, through the place of mode 1, so this distance is small.
#
# The discriminator finds the mode better than the bound, too, on all seeds, and so does a window on data, without a generator. A likely reason for the discriminator: it was trained on the samples of the bridge, where no data are, and learned that they are fake. And what does `coverage` say, which only counts samples? It finds seven of eight modes for the entropic generator. For the GAN it finds all eight on seven of eight seeds, because samples of the bridge fall on the missing mode.
#
# The opposite fault is samples that are no data. We take a perfect generator, without bridges, and spoil it in two ways: replace a fifth of its samples by noise, or leave out the rare mode.

# %%
def spoiled_likelihoods(run_seed: int) -> list:
    "Test log-likelihood of a perfect generator, with noise, and without mode 1; high quality lost."
    s = torch.Generator().manual_seed(200 + run_seed)
    y, kind = eight.sample_with_modes(1000, s)
    replaced = torch.rand(1000, 1, generator=s) < .2
    worse = torch.where(replaced, low + (high - low) * torch.rand(1000, 2, generator=s), y)
    good = [coverages(v[None], eight)[0].high_quality for v in (y, worse)]
    return [explicit_log_likelihood(x, v, .045).mean().item()
            for v in (y, worse, y[kind != 1])] + [good[0] - good[1]]


# %%
perfect, noisy, holed, fewer = (torch.tensor(v) for v in zip(*map(spoiled_likelihoods, range(8))))
by_noise, by_hole, fewer = (interval(v) for v in (perfect - noisy, perfect - holed, fewer))
assert by_noise.low < -math.log(.8) < by_noise.high and .17 < fewer.low < fewer.high < .2
assert abs(interval((perfect - holed) * 16).mean - 27) < .5
{"nats at its points": f"{interval((perfect - holed) * 16)}", "high quality": f"{fewer}"}

# %%
claim("A fifth of noise among the samples lowers a likelihood less than the loss of a mode with a "
      "sixteenth of the data does", paper="this course", section="nats lost", ours=by_noise,
      baseline=f"{by_hole} for the mode", holds=by_noise.high < by_hole.low)


# %% [markdown]
# A fifth of noise costs $-\log0.8$ nats: a likelihood measures whether the data are reached, not whether the samples are good. `high_quality` in `coverage` falls by 18 points (some noise falls onto modes). Without a bridge the lost mode costs much: 27 nats at its points. Report a likelihood *and* the quality of the samples.
#
# ## Pictures
# We train on the digits of 8×8 pixels without the ones. Is a one less likely than the digits in the training data? It is the same game.

# %%
class Some:
    "The members of some modes of a set."
    def __init__(self, modes, kept):
        self.modes, self.kept, self.event = modes, kept, modes.event

    def sample(self, n, generator):
        return sample_modes(self.modes, self.kept, n, generator)

    def to(self, device):
        return self


# %%
kinds = [0, 2, 3, 4, 5, 6, 7, 8, 9]
shown = Some(digits(), kinds)

def each_once(modes, kinds):
    "Every scan of some classes, once, in an order drawn by lot."
    found = sample_modes(modes, kinds, 20_000, torch.Generator().manual_seed(0)).unique(dim=0)
    return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(1))]


# %%
others = each_once(digits("held_out"), kinds)
choosing, seen, unseen = (v.expand(8, *v.shape) for v in (
    others[:150], others[150:], each_once(digits("held_out"), [1])))
training = each_once(shown.modes, kinds)
stock = torch.stack([training[torch.randperm(len(training), generator=s)[:800]] for s in fresh])
[v.shape[1] for v in (choosing, seen, unseen, stock)]

# %% [markdown]
# All settings are chosen on the first set, [held-out](../glossary.ipynb) digits without ones, by the highest mean: $\lambda$ by the bound, the width by the window's likelihood. The discriminator again gets the rate with the best result.

# %%
noises, rates = (.1, .3, 1.), (.001, .002, .004)

@functools.cache
def drawing_after(n: int, lam: float):
    "Eight seeds of the entropic game on digits; a second call trains nothing."
    return trained(Entropic(entropy=lam, sweeps=5), n, shown)


# %%
def picture_bound(run, lam, n):
    "The bound of pictures (8, m, 1, 8, 8) from n samples, and their window, as functions."
    made = run.sample(n)
    potential = sinkhorn(stock[:, :n], made, lam, sweeps=50_000, lead=2).g
    return (lambda v: surrogate_log_likelihood(v, made, potential, lam, lead=2),
            lambda v: explicit_log_likelihood(v, made, lam, lead=2))


# %%
@experiment("04_likelihood", early=10)
def digit_settings(total=400):
    "Mean bound of the pictures for choosing at each λ, and of windows on data by width."
    n = min(1000, 10 * total, stock.shape[1])
    bounds = {lam: picture_bound(drawing_after(total, lam), lam, n)[0] for lam in noises}
    return {"λ": {lam: bound(choosing).mean(-1) for lam, bound in bounds.items()},
            "h": {h: explicit_log_likelihood(choosing, stock, 2 * h * h, lead=2).mean(-1)
                  for h in (.1, .2, .3, .4, .5)}}


# %%
tuning = digit_settings()
noise_level = max(noises, key=lambda lam: sum(tuning["λ"][str(lam)]))
{name: {v: round(interval(values).mean, 1) for v, values in row.items()}
 for name, row in tuning.items()}

# %%
@experiment("04_likelihood", early=10)
def without_ones(total=400):
    "How well each score tells the ones from the other digits, seed by seed."
    n, found = min(1000, 10 * total, stock.shape[1]), {}
    gans = {lr: trained(Minimax(optimiser=Optimiser(lr)), total, shown) for lr in rates}
    bound, model = picture_bound(drawing_after(total, noise_level), noise_level, n)
    kw = dict(held=choosing, widths=(.1, .2, .3, .4, .5))
    scores = {f"logit of D, rate {lr:g}": run.players.nets["D"] for lr, run in gans.items()}
    scores |= {"bound": bound, "its model": model, "Parzen, data": parzen(stock, **kw),
               "Parzen, GAN samples": parzen(*(r.sample(n) for r in gans.values()), **kw)}
    with torch.no_grad():
        return {name: auroc(score(seen), score(unseen)) for name, score in scores.items()}


# %%
ones = without_ones()
on_digits = {name: interval(v, low=0, high=1) for name, v in ones.items()}
best_logit = max((name for name in ones if "logit" in name), key=lambda name: on_digits[name].mean)

# %%
paired = {name: minus(v, ones["bound"]) for name, v in ones.items()
          if name in (best_logit, "its model", "Parzen, GAN samples", "Parzen, data")}
over_all = {name: minus(ones["Parzen, data"], v) for name, v in ones.items() if "data" not in name}
assert min(v.low for v in [*paired.values(), *over_all.values()]) > 0 or fast_mode()

# %%
figure, (left, right) = axes(1, 2, size=(3.4, 2))
interval_plot(left, on_digits)
left.set(xlabel="AUROC of the ones", xlim=(.5, 1))
interval_plot(right, paired, color=FAKE)
right.axvline(0, c=MISSING, ls=":")
right.set(xlabel="better than the bound by")
Picture(figure, "AUROC of the ones: the bound 0.80, its model 0.84, logits 0.84 to 0.91, a window "
        "on samples 0.90, on data 0.97. All four paired differences to the bound are above zero")

# %%
claim("On digits the bound tells the ones, which were left out, from the others better than the "
      "discriminator's logit", paper="this course", section="8×8 digits, one class, AUROC",
      ours=on_digits["bound"],
      baseline=f"{on_digits[best_logit]}; Parzen on data {on_digits['Parzen, data']}",
      holds=paired[best_logit].high < 0, expect=False)

# %% [markdown]
# It does not. With the best of three rates, the smallest, the logit is better (right, seed by seed). The window on the same samples is better than the bound, too. And the window on 800 scans, without any training, is better than all others. In this test, with one class, no GAN was needed.
#
# ## MNIST: trained on ones, without eights, without ones
# The paper trains on the ones of MNIST and scores other data. `benchmarks/likelihood_pictures.py` does this with a small convolutional generator, on digits of 16×16 pixels. It trains two more generators: on all digits but the eights, and on all but the ones. There are 300 steps and eight seeds. Of three $\lambda$ we take the one with the highest mean bound of other unseen digits of the trained classes, measured after 100 steps on one more seed. Unseen digits of the trained classes are compared with unseen digits of the classes left out, and with clothes (Fashion-MNIST).
#
# Three scores use the same 500 samples: the bound, its model, and minus the distance to the nearest sample. (The plan of the bound is made until 1 % of the rows' mass is wrong, with at most 2,000 sweeps.) Two scores are from an R1 GAN: the logit of its $D$, and the distance to the nearest of 500 samples of its $G$. Its rate and its weight were chosen for another benchmark, and it has 200 steps. Two scores need no generator: the distance to the nearest of 500 training digits, and of all training digits. There are two nulls: the bound of the untrained generator, and how dark a picture is.
#
# **Predict:** a one has few bright pixels. Does the generator that was trained without ones find them unlikely?

# %%
from modelab.course.claims import recorded, recorded_pictures

# %%
on_mnist = {name: {row["setting"]: row for row in rows}
            for name, rows in recorded("likelihood_pictures").items() if name != "torch"}

def area(of: str, score: str, against: str = "left out"):
    "A recorded AUROC: an interval over eight seeds, or one number for a score without seeds."
    found = on_mnist[of][score][against]
    return found["alone"] if "alone" in found else interval(found["by seed"], low=0, high=1)


# %%
looks = dict(zip(on_mnist, ((REAL, "o"), (FAKE, "x"), (ACCENT, "s"))))
figure, panels = axes(1, 2, size=(3.4, 3), sharey=True)
for ax, against_what in zip(panels, ("left out", "clothes")):
    for (of, (colour, mark)), shift in zip(looks.items(), (-.2, 0, .2)):
        interval_plot(ax, {score: area(of, score, against_what) for score in on_mnist[of]},
                      color=colour, mark=mark, shift=shift, label=f"trained on: {of}")
    ax.axvline(.5, c=MISSING, ls=":")
    ax.set(xlim=(0, 1.02), xlabel=f"AUROC against: {against_what}")
panels[0].legend(frameon=False, loc="lower center", bbox_to_anchor=(.5, 1))
Picture(figure, "AUROC of all scores. Digits left out: trained on ones nearly all scores are near "
        "1, without eights between 0.5 and 1, without ones most are below one half and only the "
        "logit of D is at 0.8. Clothes: the bound 0.999, 0.83 and 0.82")

# %% [markdown]
# Each mark says how often an unseen digit of a trained class has a higher score than a digit left out (left), or than a piece of clothing (right). The dotted line is chance. Marks without a bar have no seeds. The next picture shows samples, and the bounds of single pictures, all of seed 0:

# %%
figure, panels = axes(2, 3, size=(2.8, 1.8), height_ratios=[1, 2])
for (above, below), (of, rows) in zip(panels.T, on_mnist.items()):
    image_grid(above, recorded_pictures(rows["bound"]["sample"], 20, 16, 16), 10, f"trained: {of}")
    for (name, values), colour, dash in zip(rows["bound"]["of each"].items(),
                                            (REAL, FAKE, ACCENT), ("-", "--", ":")):
        values = torch.tensor(values).clamp(-400).tolist()
        below.hist(values, bins=40, range=(-400, 0), color=colour, ls=dash, histtype="step",
                   label=name)
    below.set(xlabel="bound (nats; at left -400 or less)", yticks=[])
panels[1, 0].legend(frameon=False, loc="upper center")
Picture(figure, "Above, samples of three generators. Below, bounds: ones far above other digits "
        "and clothes; eights much like the trained digits; ones left out above the trained digits")

# %% [markdown]
# The thresholds of the claims were written down before the run. A trial at 28×28 had shown 0.995 for ones and 0.09 without ones, so these two results are no surprise. The second and the third claim were one claim for all three training sets. We split it after the run, with the same threshold: the paper's plot is about a model of ones alone.

# %%
def worst(of: str, score: str, against: str = "left out"):
    "The same interval as a text, with the worst seed."
    least = min(on_mnist[of][score][against]["by seed"])
    return f"{area(of, score, against):.3f}, worst {least:.3f}"

# %%
def said(score: str, against: str = "left out", sets=tuple(on_mnist)):
    "One score for several training sets, as a text."
    return "; ".join(f"{of} {area(of, score, against):.3f}" for of in sets)

# %%
untrained = "bound, untrained generator"
claim("Trained on the ones of MNIST, the bound is lower for other digits",
      paper="Balaji et al. 2019", section="in this course's setting: AUROC above 0.9 and above the "
      "untrained generator's",
      figure="ones near -49, all digits near -63, without constants (read off its plot)",
      ours=worst("ones", "bound"),
      baseline=f"untrained {area('ones', untrained):.3f}; darkness {area('ones', 'darkness'):.3f}; "
               f"nearest sample {area('ones', 'nearest sample'):.3f}",
      holds=area("ones", "bound").low > max(.9, area("ones", untrained).high))

# %%
claim("Trained on the ones of MNIST, the bound is lower for clothes",
      paper="Balaji et al. 2019", section="in this course's setting: AUROC above 0.95",
      figure="ones near -49, SVHN near -105, without constants (read off its plot)",
      ours=worst("ones", "bound", "clothes"),
      baseline=f"untrained {area('ones', untrained, 'clothes'):.3f}; darkness "
               f"{area('ones', 'darkness', 'clothes'):.3f}; nearest sample "
               f"{area('ones', 'nearest sample', 'clothes'):.3f}",
      holds=area("ones", "bound", "clothes").low > .95)

# %%
nine = ("no eights", "no ones")
claim("The bound is lower for clothes, also if the generator was trained on nine classes",
      paper="this course", section="MNIST at 16×16, AUROC above 0.95 with both training sets",
      ours=said("bound", "clothes", nine),
      baseline=f"darkness {said('darkness', 'clothes', nine)}; nearest of 500 training digits "
               f"{said('nearest training digit', 'clothes', nine)}",
      holds=min(area(of, "bound", "clothes").low for of in nine) > .95, expect=False)

# %%
claim("Trained without eights, the bound is lower for eights", paper="this course",
      section="MNIST at 16×16, AUROC above 0.9", ours=worst("no eights", "bound"),
      baseline=f"darkness {area('no eights', 'darkness'):.3f}; nearest of 500 training digits "
               f"{area('no eights', 'nearest training digit'):.3f}",
      holds=area("no eights", "bound").low > .9, expect=False)

# %%
claim("Trained without ones, the bound is lower for ones", paper="this course",
      section="MNIST at 16×16, AUROC above 0.9", ours=worst("no ones", "bound"),
      baseline=f"darkness {area('no ones', 'darkness'):.3f}; nearest of 500 training digits "
               f"{area('no ones', 'nearest training digit'):.3f}",
      holds=area("no ones", "bound").low > .9, expect=False)


# %%
def better(score: str):
    "By how much the bound's AUROC is above that of a score, seed by seed, for each training set."
    return {of: minus(*(rows[name]["left out"]["by seed"] for name in ("bound", score)))
            for of, rows in on_mnist.items()}

# %%
over = {score: better(score) for score in ("nearest sample", "logit of D")}

# %%
figure, panels = axes(1, 2, size=(3.2, 1.4), sharey=True)
for ax, (score, row) in zip(panels, over.items()):
    interval_plot(ax, row, color=FAKE)
    ax.axvline(0, c=MISSING, ls=":")
    ax.set(xlabel=f"AUROC of the bound less {score}")
Picture(figure, "The bound less the nearest sample: 0 with the ones, -0.016 and -0.009 with the "
        "larger sets. The bound less the logit: 0.3, near 0, and -0.68 without ones")

# %%
claim("The bound finds left-out digits of MNIST better than the nearest of the same samples does",
      paper="this course", section="AUROC, with each of three training sets", ours=said("bound"),
      baseline=said("nearest sample"),
      holds=min(v.low for v in over["nearest sample"].values()) > 0, expect=False)

# %%
claim("The bound finds left-out digits of MNIST better than the logit of an R1 discriminator does",
      paper="this course", section="AUROC, with each of three training sets; R1 at one setting, "
      "not chosen for this, 200 steps; the bound with the best of three λ, 300 steps",
      ours=said("bound"), baseline=said("logit of D"),
      holds=min(v.low for v in over["logit of D"].values()) > 0, expect=False)

# %%
logit = over["logit of D"]
nearest_of = over["nearest sample"]
assert nearest_of["no eights"].high < 0 and nearest_of["no ones"].high < 0 < nearest_of["ones"].high
assert logit["ones"].low > 0 > logit["no ones"].high
assert logit["no eights"].low < 0 < logit["no eights"].high
assert area("no ones", "logit of D").low > .5 > area("no eights", "logit of D").low
by_model = {of: -v.mean for of, v in better("model").items()}
assert better("model")["ones"].low < 0 < better("model")["ones"].high
assert all(better("model")[of].high < 0 for of in nine) and by_model["ones"] < .0002
assert [round(by_model[of], 3) for of in nine] == [.016, .009]

# %%
nats = {of: {step: {group: interval(v["by seed"]).mean for group, v in row.items()}
             for step, row in rows["bound"]["nats"].items()} for of, rows in on_mnist.items()}

# %%
figure, panels = axes(1, 3, size=(2.5, 2.2), sharey=True)
for ax, (of, row) in zip(panels, nats.items()):
    for (group, mark), colour in zip((("trained", "-o"), ("left out", "--x"), ("clothes", ":s")),
                                     (REAL, FAKE, ACCENT)):
        ax.plot([int(step) for step in row], [at[group] for at in row.values()], mark, c=colour,
                label=group)
    ax.set(xlabel="step", title=f"trained: {of}")
panels[0].set(ylabel="mean bound (nats)")
panels[0].legend(frameon=False)
Picture(figure, "The mean bound rises in training for all groups; without ones that of the ones "
        "left out stays above that of the trained digits")

# %%
assert [round(nats["ones"][step]["trained"]) for step in ("0", "300")] == [-819, -14]
assert round(nats["no ones"]["300"]["left out"] - nats["no ones"]["300"]["trained"]) == 32
for row in nats.values():
    assert row["0"]["trained"] < row["100"]["trained"] < row["300"]["trained"]
assert area("no ones", "bound").high < .15 and area("no ones", "darkness") < .08
assert area("ones", "darkness") > .93 and area("no ones", "nearest sample").high < .2
assert all(area(of, "darkness", "clothes") > area(of, "bound", "clothes").high for of in nine)

# %%
some, every = "nearest training digit", "nearest of all training digits"
assert area("no eights", some).low > .8 and area("no eights", every) > .94
assert all(area(of, some, "clothes").low > .94 and area(of, every, "clothes") > .98 for of in nine)
assert area("no ones", some).high < .5 and area("no ones", every) < .5
assert [on_mnist[of][every]["digits"] for of in nine] == [54149, 53258]
assert answers["nearest sample"]["order"].high < .65 < answers[ours]["order"].low or fast_mode()

# %% [markdown]
# - **The paper's experiment.** Trained on ones, the bound is lower for nearly every other digit and for nearly all clothes, on every seed. The bound of unseen ones rises from $-819$ nats to $-14$ during the training (last picture). It rises in the paper's plot, too.
# - **But it is an easy test.** Ones are darker than most other digits. Minus the mean brightness, which knows nothing of the training, already has an AUROC of 0.93.
# - **Trained without ones, the bound is *higher* for ones** than for the digits in the training data: by 32 nats in the mean, and in 87 % of the pairs. The nearest sample and the nearest training digit are wrong as well. The likely reason: this likelihood is a squared distance over $\lambda$, and a dark picture has few bright pixels that a sample can miss. Other likelihoods of pictures have the same fault: a flow that was trained on photographs of CIFAR-10 gives house numbers a higher likelihood (Nalisnick et al. 2019).
# - **Trained without eights** it finds little (0.60). Clothes it tells from digits less well than the darkness does, if the training set has many classes. After 300 steps these two generators are not good: compare the samples. A better generator was not tried.
# - **The generator or the distance?** The nearest of 500 training digits finds clothes (0.95) and many eights (0.82), so there the generators fall short. It does not find the ones (0.43), so there the distance is at fault. With all training digits, 54,149 for the eights and 53,258 for the ones, the numbers are 0.99, 0.95 and 0.44.
# - **The bound and its neighbour.** The nearest sample has a higher AUROC than the bound with the two larger sets, by up to 0.016; with the ones no difference shows. The bound's own model is better than the bound by the same 0.016 and 0.009, and with the ones no difference shows either. So on these pictures the plan and $\lambda$ add nothing to the order that a distance gives. In the plane it was different: the rank correlation of the bound with the true density was 0.82 there, that of the nearest sample of a GAN 0.59.
# - **The discriminator.** Its logit is the only score that finds the ones when none was in training (0.81). It is worse than the bound with the first set, and for the eights no difference shows. This $D$ has one setting that was not chosen for the test, and 200 steps; the bound has the best of three $\lambda$ and 300 steps. So where the bound is better, a tuned $D$ may do as well.
#
# A likelihood of pictures that is compared between classes needs a null such as the darkness beside it.
#
# ## What is from the paper
# | Part of the paper | In this chapter |
# |---|---|
# | entropic transport and its dual | faithful; solved by Sinkhorn's iteration instead of two critic networks |
# | training of the two critics, with a regulariser ($\tfrac\lambda e e^{v/\lambda}$ or a squared hinge); steps of $G$ left out while the dual is not positive | left out: no critic |
# | generator trained with the plan | faithful in its loss; batch against batch, five sweeps a step, $\lambda$ constant (in the released code for MNIST it falls from 10 to 5 in 200 steps) |
# | surrogate log-likelihood | faithful, with all constants and the prior once |
# | cost | squared distance; the released code for MNIST uses the sum of absolute differences |
# | MNIST with a DCGAN, scores of other data sets (the abstract names Gaussian data, MNIST, SVHN, CIFAR-10 and LSUN) | simplified: the ones of MNIST at 16×16 with a small convolutional generator and 300 steps; other digits and clothes in place of the colour sets; both claims hold. In addition eight modes in the plane, 8×8 digits, and training without eights or without ones. The released plots leave out the constants, so their numbers and ours cannot be compared |
# | tightness of the bound for normal data | checked as an inequality and as an identity, with finished plans in place of trained critics; the paper's table is neither repeated nor quoted |
#
# ## Try it: the entropy λ
# One generator was trained at $\lambda=0.05$. The slider sets the $\lambda$ with which it is *evaluated*: the width of the noise, and the plan. The three maps show the model's log-likelihood, the bound, and their gap. The numbers below are averages over test points.
#
# **Predict:** at which $\lambda$ is the model best, for modes of variance 0.0225? And where does the bound leave it?

# %%
single = trained(Entropic(entropy=.05, **quick), steps(600), runs=1)
sheet, ground = single.sample(500)[0], anchors[0, :500]
side = torch.linspace(-3, 3, 41)
spots = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)

# %%
@functools.cache
def potential_at(lam: float):
    return sinkhorn(ground, sheet, lam, sweeps=50_000).g


# %%
def both(points, lam: float):
    "The model's log-likelihood of points and its bound, at an entropy λ."
    v = potential_at(lam)
    return (explicit_log_likelihood(points, sheet, lam),
            surrogate_log_likelihood(points, sheet, v, lam))


# %%
def averages(lam: float):
    return [values.mean().item() for values in both(x, lam)]

# %%
def scene(lam: float):
    "The three maps at an entropy λ, and the averages."
    (model, bound), mean = both(spots, lam), averages(lam)
    maps = {"model": (model, -15, 0), "bound": (bound, -15, 0), "gap": (model - bound, 0, 10)}
    figure, panels = axes(1, 3, size=(3.1, 2.7))
    for ax, (name, (values, *span)) in zip(panels, maps.items()):
        heat(ax, values.unflatten(0, (41, 41)), name, *span)
    return mean, Picture(figure, f"Model, bound and gap over the plane at λ = {lam:g}: test points "
                                 f"have {mean[0]:.2f} nats, the bound says {mean[1]:.2f}")

# %%
import ipywidgets as w

# %%
slider = w.SelectionSlider(options=[.01, .02, .05, .1, .2, .5, 1., 2.], value=.05,
                           description="entropy λ")
view = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))
words = w.Label()

# %%
def turn(change=None):
    (model, bound), shown = scene(slider.value)
    view.value = shown.png
    words.value = (f"mean of test points: model {model:.2f}, bound {bound:.2f}, "
                   f"gap {model - bound:.2f} nats")


# %%
slider.observe(turn, "value")
turn()
w.VBox([slider, words, view])

# %%
before = words.value
slider.value = .5
assert words.value != before and averages(.5)[0] < averages(.05)[0] or fast_mode()
scene(.05)[1]

# %%
curve = {lam: tuple(round(v, 2) for v in averages(lam)) for lam in slider.options}
assert max(curve, key=lambda lam: curve[lam][0]) == .05 or fast_mode()
assert max(curve, key=lambda lam: curve[lam][1]) in (.1, .2) or fast_mode()

# %%
figure, ax = axes(size=(4, 2.2))
for k, (name, mark, colour) in enumerate((("model", "-o", REAL), ("bound", "--x", FAKE))):
    ax.plot(list(curve), [v[k] for v in curve.values()], mark, c=colour, label=name)
ax.set(xscale="log", xlabel="entropy λ", ylabel="mean of test points (nats)")
ax.legend(frameon=False)
Picture(figure, "Over the entropy: the model is highest, -1.4 nats, at 0.05; the bound is highest, "
        "-2.3, between 0.1 and 0.2, and falls to -9 at 0.01")

# %% [markdown]
# The model is best at 0.05. There the noise, of variance $\lambda/2$, is about as wide as a mode, whose variance belongs to $\lambda=0.045$. The bound is best between 0.1 and 0.2 and is lower for smaller $\lambda$. The map of the gap has bright bands (all gaps above 10 nats look the same). To which sample does the plan send the place with the largest gap?

# %%
model, bound = both(spots, .05)
at_most = spots[(model - bound).argmax()]
plan_weights = ((potential_at(.05) - (at_most - sheet).square().sum(1)) / .05).softmax(0)
posterior = (-(at_most - sheet).square().sum(1) / .05).softmax(0)
chosen, near_one = plan_weights.argmax(), posterior.argmax()
near_by, far_off = ((at_most - sheet[k]).norm().item() for k in (near_one, chosen))
assert far_off > 2 * near_by and plan_weights[chosen] > .5 or fast_mode()
{"point": at_most.tolist(), "gap": (model - bound).max().item(),
 "nearest sample": (near_by, plan_weights[near_one].item()),
 "sample with the most weight": (far_off, plan_weights[chosen].item())}

# %% [markdown]
# (Distance and weight of two samples.) The plan, which has to serve every sample, sends this point to a sample that is more than twice as far as the nearest one. The posterior, $w\propto e^{-c/\lambda}$, would take the nearest.

# %% [markdown]
# On pictures the generator can be convolutional:

# %%
convolutional = Entropic(entropy=1., networks=Networks("conv", width=4))
Run(convolutional, digits(), runs=2, batch=8, device="cpu").step(2).sample(5).shape

# %% [markdown]
# To watch a generator with this loss, open the lab of chapter [1.3](../1_game/03_lab.ipynb) with `Lab(Entropic(), ring(radius=2))` from `modelab.lab`. Put `6` into *entropy* and play: the samples run together into a point, as in the claim above.
#
# ## In your own code
# `image_folder` reads a folder of your pictures, crops each to a square, and makes it as large as you say. This folder is a small one, written here for the trial: 150 of the digits.

# %%
import tempfile
from pathlib import Path

from PIL import Image

from modelab import image_folder

folder, scans = Path(tempfile.mkdtemp()), digits()
for i, picture in enumerate(scans.picture(scans.sample(150, torch.Generator().manual_seed(0)))):
    Image.fromarray(picture.mul(255).byte().numpy()).save(folder / f"{i}.png")

# %% [markdown]
# Any generator and any shape of example will do. There is one loss to train, and two functions to evaluate. The pictures to score must not be those of the training; `image_folder` puts a tenth aside.

# %%
from modelab.methods.likelihood import (entropic_loss, explicit_log_likelihood, sinkhorn,
                                        surrogate_log_likelihood)

# %%
photos = image_folder(str(folder), size=8)  # (1, 8, 8), in [-1, 1]
s = torch.Generator().manual_seed(0)
mine, new = photos.sample(128, s), photos.held_out.sample(20, s)
my_G = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh(),
                     nn.Unflatten(1, photos.event))
loss = entropic_loss(mine, my_G(torch.randn(128, 8)), entropy=.5)
loss.backward()  # once a step, then a step of your optimiser

# %%
made = my_G(torch.randn(500, 8)).detach()
model = explicit_log_likelihood(new, made, entropy=.5)
bound = surrogate_log_likelihood(new, made, sinkhorn(mine, made, entropy=.5).g, entropy=.5)
assert model.shape == (20,) and (bound <= model + 1e-3).all()
assert my_G[0].weight.grad.isfinite().all()

# %% [markdown]
# `examples/likelihood.py --data FOLDER --score OTHER` trains on one folder and writes a score for each picture of another, beside the nulls of this chapter.


# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.likelihood import (grade_constant, grade_sweep, grade_variance,
                                               grade_weights)

# %% [markdown]
# **1.** (easy, 5 minutes) Data have a variance of 3 in each direction, and an entropic GAN has $\lambda=2$. What is the variance of the samples of a perfectly trained $G$, in each direction?
#
# <details><summary>Hint</summary>
#
# The model is $G(z)$ plus noise. How much of the variance does the noise have?
#
# </details>

# %%
answer = ...
grade_variance(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The noise has the variance $\lambda/2=1$, so $G(z)$ has the rest.
#
# ```python
# answer = 3 - 2 / 2
# ```
#
# </details>

# %% [markdown]
# **2.** (easy, 10 minutes) A paper reports a mean log-likelihood of $-60$ for digits, without the constant $-\tfrac d2\log\pi\lambda$. With $d=64$ and $\lambda=0.3$, what is the value with the constant?
#
# <details><summary>Hint</summary>
#
# Is $\log\pi\lambda$ positive or negative here?
#
# </details>

# %%
answer = ...
grade_constant(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = -60 - 64 / 2 * math.log(math.pi * .3)
# ```
#
# $\pi\lambda$ is just below 1, so its logarithm is slightly negative and the value rises by two nats. At $\lambda=0.1$ it would rise by 37.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `soft_assignment(x, made, g, lam)`: the weights $w$ of the bound, one row for each point of `x`. `x` is `(n, d)`, `made` is `(m, d)`, `g` is `(m,)`. It must not overflow at $\lambda=10^{-3}$.
#
# <details><summary>Hint</summary>
#
# $w\propto e^{(g-c)/\lambda}$, and each row sums to one. PyTorch has a function for this that takes the maximum out first.
#
# </details>

# %%
def soft_assignment(x, made, g, lam):
    ...

answer = soft_assignment
grade_weights(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def soft_assignment(x, made, g, lam):
#     return ((g - torch.cdist(x, made).square()) / lam).softmax(1)
#
# answer = soft_assignment
# ```
#
# `softmax` subtracts the maximum of each row, so no exponent is above zero.
#
# </details>

# %% [markdown]
# **4.** (hard, 20 minutes) Write one sweep of Sinkhorn's iteration with logarithms. `sweep(cost, g, lam)` takes squared distances `(n, m)` and the potential `g` of the samples, `(m,)`. It returns the new `f`, `(n,)`, and then the new `g`, `(m,)`. It must not overflow at $\lambda=10^{-3}$.
#
# <details><summary>Hint</summary>
#
# The chapter has the equation for $f_i$. `logsumexp` does the sum; the mean needs $\log m$ too. Then exchange the roles, with the *new* $f$.
#
# </details>

# %%
def sweep(cost, g, lam):
    ...

answer = sweep
grade_sweep(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def sweep(cost, g, lam):
#     n, m = cost.shape
#     f = -lam * (((g - cost) / lam).logsumexp(1) - math.log(m))
#     g = -lam * (((f[:, None] - cost) / lam).logsumexp(0) - math.log(n))
#     return f, g
#
# answer = sweep
# ```
#
# After the second line the columns of the plan have the right sums; the rows have them only after many sweeps.
#
# </details>

# %% [markdown]
# ## Recap
# - An optimal discriminator's logit is $\log p/q$. It can tell data from noise, but the better the generator, the less it says. It is no log density, and three of four discriminators scored rare modes above common ones.
# - An entropic transport plan is given by two potentials. Compute it with logarithms, and until its rows are right; its gradient is that of the cost with the plan kept fixed.
# - $e^{-c/\lambda}$ is a normal density, so the generator has a model: $G(z)$ plus noise of variance $\lambda/2$. With a finished plan, minus the entropic cost is, up to scale and constant, a lower bound of that model's log-likelihood.
# - The noise takes its share of the variance. A large $\lambda$ collapses a perfectly trained generator.
# - The bound is never above a Parzen window on the same samples. In the plane and on the small digits it was worse than this window in each test. Use the window; the plan explains why training raises it.
# - Trained on the ones of MNIST, the bound is lower for other digits. Trained without ones, it is *higher* for ones: they are dark, and darkness alone says so. Report such a null.
# - Likelihood falls where a mode is missing, and hardly changes for bad samples. In many dimensions a few hundred latents give no likelihood at all.
#
# **For later.**
#
# 1. Why does an optimal $D$ say less the better $G$ is?
# 2. Where does the gap of the bound come from, and why does it grow as $\lambda$ falls?
# 3. What is the variance of $G(z)$ at the optimum?
# 4. Which constants make a score a log-likelihood?
#
# <details><summary>Answers</summary>
#
# 1. It is $\log p/q$. If the generator's density $q$ equals $p$, this is zero everywhere.
# 2. The plan has to serve every sample, so its weights differ from the posterior of each point. This costs distance, and the bound divides it by $\lambda$.
# 3. The variance of the data minus $\lambda/2$, and zero if that is negative.
# 4. The normal density's $-\tfrac d2\log\pi\lambda$ and the $-\log M$ of the mean over $M$ latents.
#
# </details>
#
# **References.** Y. Balaji, H. Hassani, R. Chellappa, S. Feizi, *Entropic GANs meet VAEs: a statistical approach to compute sample likelihoods in GANs*, ICML 2019. M. Cuturi, *Sinkhorn distances: lightspeed computation of optimal transport*, NeurIPS 2013. B. Schmitzer, *Stabilized sparse scaling algorithms for entropy regularized transport problems*, SIAM J. Sci. Comput. 2019. H. Janati et al., *Entropic optimal transport between unbalanced Gaussian measures has a closed form*, NeurIPS 2020. A. Genevay, G. Peyré, M. Cuturi, *Learning generative models with Sinkhorn divergences*, AISTATS 2018. L. Theis, A. van den Oord, M. Bethge, *A note on the evaluation of generative models*, ICLR 2016. E. Nalisnick et al., *Do deep generative models know what they don't know?*, ICLR 2019. E. Parzen, *On estimation of a probability density function and mode*, 1962.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.likelihood
"Graders of chapter 5.4."
import math

import torch

from modelab.course.exercises import as_number, exercise
from modelab.methods.likelihood import sinkhorn

# %%
#| export course.graders.likelihood
@exercise(accepts=[2, 2.], rejects=[3, 1, 4, 2 ** .5, "2"])
def grade_variance(answer):
    assert abs(as_number(answer) - 2) < 1e-6, \
        "the noise has half of λ as its variance; G(z) has what is left"

# %%
#| export course.graders.likelihood
LOG_PI_LAMBDA = math.log(math.pi * .3)  # of exercise 2, for two dimensions

# %%
#| export course.graders.likelihood
@exercise(accepts=[-60 - 32 * LOG_PI_LAMBDA, -58.1],
          rejects=[-60, -60 + 32 * LOG_PI_LAMBDA, -60 - 64 * LOG_PI_LAMBDA, -92])
def grade_constant(answer):
    assert abs(as_number(answer) - (-60 - 32 * LOG_PI_LAMBDA)) < .05, \
        "subtract half of 64 times log(0.3 π), which is negative"

# %%
#| export course.graders.likelihood
def by_softmax(x, made, g, lam):
    "The right answer."
    return ((g - torch.cdist(x, made).square()) / lam).softmax(1)

# %%
#| export course.graders.likelihood
def by_exponentials(x, made, g, lam):
    "A wrong answer: it overflows."
    w = ((g - torch.cdist(x, made).square()) / lam).exp()
    return w / w.sum(1, keepdim=True)

# %%
#| export course.graders.likelihood
@exercise(accepts=[by_softmax],
          rejects=[by_exponentials, lambda x, made, g, lam: by_softmax(x, made, 0 * g, lam),
                   lambda x, made, g, lam: by_softmax(x, made, g, 2 * lam),
                   lambda x, made, g, lam: ((g - torch.cdist(x, made)) / lam).softmax(1),
                   lambda x, made, g, lam: ((g - torch.cdist(x, made) ** 2) / lam).softmax(0)])
def grade_weights(soft_assignment):
    a, b = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(2)) * 3
    for lam in (1., 1e-3):
        g = sinkhorn(a, b, lam, sweeps=200, tolerance=0).g
        w = soft_assignment(a, b, g, lam)
        assert w.isfinite().all(), "take the maximum out before you exponentiate"
        assert torch.allclose(w, by_softmax(a, b, g, lam), atol=1e-4), \
            "w ∝ exp((g - squared distance)/λ), and each row sums to one"

# %%
#| export course.graders.likelihood
def logarithms(cost, g, lam, mean=True, old=False):
    "The right answer, or one without the means, or one that takes the old f."
    n, m = (math.log(k) if mean else 0. for k in cost.shape)
    f = -lam * (((g - cost) / lam).logsumexp(1) - m)
    used = torch.zeros_like(f) if old else f
    return f, -lam * (((used[:, None] - cost) / lam).logsumexp(0) - n)

# %%
#| export course.graders.likelihood
def exponentials(cost, g, lam):
    "A wrong answer: it overflows."
    f = -lam * ((g - cost) / lam).exp().mean(1).log()
    return f, -lam * ((f[:, None] - cost) / lam).exp().mean(0).log()

# %%
#| export course.graders.likelihood
@exercise(accepts=[logarithms],
          rejects=[exponentials, lambda c, g, lam: logarithms(c, g, lam, mean=False),
                   lambda c, g, lam: logarithms(c, g, lam, old=True),
                   lambda c, g, lam: logarithms(c, g, lam)[::-1],
                   lambda c, g, lam: logarithms(c, 0 * g, lam),
                   lambda c, g, lam: tuple(-v for v in logarithms(c, g, lam))])
def grade_sweep(sweep):
    s = torch.Generator().manual_seed(1)
    x, y = (torch.randn(n, 2, generator=s, dtype=torch.float64) * 2 for n in (5, 7))
    cost, g = torch.cdist(x, y).square(), torch.randn(7, generator=s, dtype=torch.float64)
    for lam in (.5, 1e-3):
        f, h = sweep(cost, g.clone(), lam)
        assert f.shape == (5,) and h.shape == (7,), "return f, one a row, then g, one a column"
        assert f.isfinite().all() and h.isfinite().all(), f"not finite at λ = {lam:g}"
        known_f, known_g = logarithms(cost, g, lam)
        assert torch.allclose(f, known_f), "f is not right: look at the sum, its mean, the sign"
        assert torch.allclose(h, known_g), "f is right; g must use this new f"
