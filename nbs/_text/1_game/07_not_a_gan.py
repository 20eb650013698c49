# %% [markdown]
# # Why a GAN at all? A Gaussian mixture, kernel density, a VAE and flow matching on the same sets
# > If a mixture model or a flow covers my data for less, why should I train a GAN?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | If a mixture model or a flow covers my data for less, why should I train a GAN? |
# | **You will be able to** | fit a Gaussian mixture and a kernel density, write the losses of a VAE and of flow matching and check them, and say what each of them does better or worse than a GAN on data with known modes |
# | **Paper** | Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Lipman et al., *Flow matching for generative modeling*, 2023; Liu et al., *Flow straight and fast*, 2023 |
# | **Needs** | [0.3](../0_start/03_modes.ipynb), [0.4](../0_start/04_coverage.ipynb), [1.1](01_minimax.ipynb), [1.2](02_training.ipynb), [1.4](04_wasserstein.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp methods.flow_matching

# %%
#| export
"Flow matching (Lipman et al. 2023) on the straight path of rectified flow (Liu et al. 2023)."
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import nn, Tensor

from modelab.core.checks import check_shape
from modelab.core.registry import register_game
from modelab.core.seeding import rand
from modelab.core.signatures import (AxisCount, Batch, Count, Function, Lead, Network, Wholes,
                                     checked)
from modelab.networks.layers import JointMLP, make_player
from modelab.networks.players import Networks, Player
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser

# %%
#| export methods.vae
"The variational autoencoder, VAE (Kingma and Welling 2014)."
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn, Tensor

from modelab.core.checks import check_shape
from modelab.core.registry import register_game
from modelab.core.seeding import randn
from modelab.core.signatures import Batch, Count, Latents, Network, NonNegative, Positive, checked
from modelab.networks.layers import make_player
from modelab.networks.players import Player
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser

# %%
#| export methods.density_models
"A Gaussian mixture chosen by BIC, and a kernel density chosen by held-out likelihood."
from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from modelab.core.checks import check_batch, check_int
from modelab.core.signatures import Index, Real, Samples, Whole, Wholes, checked

# %%
import dataclasses
import time

from modelab.core.plotting import ACCENT, axes, FAKE, image_grid, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, fast_mode, recorded, steps
from modelab.course.notebooks import patch
from modelab.data.digits import digits
from modelab.data.mixtures import grid, mixture, rare_modes, ring
from modelab.evaluation.copies import copies, copy_ratio
from modelab.evaluation.coverage import coverage
from modelab.training.run import Run

# %% [markdown]
# ## A Gaussian mixture beside a tuned GAN
# The rare modes of chapter [1.1](01_minimax.ipynb): the centre holds 90 % of the data, and eight rare modes share the rest. The GAN with R1 of chapter [1.4](04_wasserstein.ipynb) had the smallest total variation (TV) of 20 settings there. Its recorded result with eight seeds:

# %%
data = rare_modes()
rows = recorded("wasserstein").get("rare_modes", [])
tuned = next((row for row in rows if row["setting"] == "R1 weight 0.1, lr 0.003"), {})
tuned.get("by seed"), tuned.get("high_quality")

# %% [markdown]
# A *Gaussian mixture* is a weighted sum of normal laws. We fit one to 5,000 examples. It has no networks and takes no gradient steps.
#
# **Predict:** how many of the nine modes does a mixture of 16 normal laws capture?

# %%
from sklearn.mixture import GaussianMixture

x = data.sample(5000, generator=torch.Generator().manual_seed(0))
start = time.process_time()
fitted = GaussianMixture(16, random_state=0).fit(x.numpy())
spent = time.process_time() - start

# %%
drawn = torch.from_numpy(fitted.sample(2500)[0]).float()
first = coverage(drawn, data)
first

# %%
assert first.captured == 9 and first.high_quality > .98 and first.tv < .04
assert not tuned or sorted(tuned["by seed"]) == [7] + [9] * 7
assert not tuned or float(tuned["tv"].split()[0]) > .08
assert first.null.captured > 8.9
assert not rows or tuned == min(rows, key=lambda row: float(row["tv"].split()[0]))
assert len(rows) in (0, 20)
f"{spent:.1f} s for the mixture"

# %% [markdown]
# All nine modes, and nearly every sample is good. The GAN needs 5,000 steps (10,000 updates of $D$ and $G$ together), misses two modes on one of eight seeds, and has a larger TV. Be careful with *captured*: one good sample in a mode is enough, so uniform noise captures 8.9 of the nine modes (column *null*). Read it together with *high quality* and TV.
#
# So why a GAN at all? This chapter puts four other methods on the same sets: two *density models* (Gaussian mixture and kernel density), a *variational autoencoder* (VAE), and *flow matching*.
#
# The data here *are* a mixture of normal laws, so this contest is easy for a mixture. Later sections have other data.

# %% [markdown]
# ## Two density models
# A density model gives each point $x$ a density $q(x)$. The *[likelihood](../glossary.ipynb)* of some data under a model is the product of the densities of all examples. It is large if the model expects such data. Both models here are sums of normal densities:
#
# $$q_{\text{mix}}(x)=\sum_{k=1}^K w_k\,\mathcal N(x;\mu_k,\Sigma_k),\qquad q_{\text{kde}}(x)=\frac1n\sum_{i=1}^n\mathcal N(x;x_i,h^2I).$$
#
# The *Gaussian mixture* has few components, whose centres, covariances and weights are fitted by *expectation–maximisation* (EM). EM alternates two steps: each example is divided among the components, then each component is fitted to its shares. The *kernel density* has one component for each training example $x_i$. Nothing is fitted but the width $h$, the *bandwidth*.
#
# They are not games in the sense of chapter [1.2](02_training.ipynb). There are no players, turns or gradient steps, so they need no engine, lab or checkpoint. A function fits them and returns an object that draws samples. This is the simplest form, and `coverage`, `audit` and `copies` need nothing else.
#
# Both are mixtures of normal laws, so one class holds either of them. `sample` draws examples of the shape of the data, and `log_prob` gives the density.

# %%
#| export methods.density_models
@dataclass(frozen=True, eq=False)
class FittedMixture:
    "A mixture of k normal laws that was fitted to examples of shape `event`; all on the CPU."
    event: tuple[int, ...]
    centers: Tensor  # (k, d) float64, where d numbers make an example
    factors: Tensor  # Cholesky factors (k, d, d) of the covariances; or (), one width for all
    weights: Tensor  # (k,), the sum is one
    chosen: float  # the number of components, or the bandwidth
    scores: dict[float, float]  # of each setting that was tried: BIC, or held-out likelihood

# %% [markdown]
# A sample is a centre, drawn by its weight, plus normal noise. The noise is a vector of standard normal numbers, multiplied by a *Cholesky factor*: a triangular matrix $L$ with $LL^{\mathsf T}=\Sigma_k$. Pictures are cut to $[-1,1]$, as those of our generators are.

# %%
#| export methods.density_models
@patch
def sample(self: FittedMixture, n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` examples (n, *event), float32; the same for a generator in the same state.

    `ValueError` for n < 1, `TypeError` where `generator` is none of torch's.
    """
    n = check_int("n", n)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator, got {generator!r:.60}")
    which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
    x = torch.randn(n, self.centers.shape[1], generator=generator, dtype=torch.float64)
    if self.factors.ndim:
        for k in which.unique():
            x[which == k] = x[which == k] @ self.factors[k].T
    else:
        x = x * self.factors
    x = (x + self.centers[which]).float().reshape(n, *self.event)
    return x.clamp(-1, 1) if len(self.event) > 1 else x

# %% [markdown]
# The density of $x$ is the sum of those of the components, $\sum_k w_k\,\mathcal N(x;\mu_k,\Sigma_k)$. (For pictures it is the density before the cut.)

# %%
#| export methods.density_models
@patch
def log_prob(self: FittedMixture, x: Tensor) -> Tensor:
    "Log density in nats, (n,) float64, of `x` (n, *event); `ValueError` for other shapes, NaN."
    x = check_batch("x", x, self.event).double().reshape(len(x), -1)
    if not self.factors.ndim:
        return torch.cat([_log_kernels(part, self.centers, self.factors[None])[0]
                          for part in x.split(256)])
    parts = []
    for center, factor, weight in zip(self.centers, self.factors, self.weights):
        u = torch.linalg.solve_triangular(factor, (x - center).T, upper=False)
        scale = factor.diagonal().log().sum() + x.shape[1] / 2 * math.log(2 * math.pi)
        parts.append(weight.log() - scale - u.square().sum(0) / 2)
    return torch.stack(parts).logsumexp(0)

# %% [markdown]
# For a kernel density all bandwidths use the same distances.

# %%
#| export methods.density_models
def _log_kernels(x: Tensor, centers: Tensor, widths: Tensor) -> Tensor:
    "Log density (widths, n) of `x` (n, d) under equal kernels at `centers`, for each width."
    square, d = torch.cdist(x, centers).square(), x.shape[1]
    constant = math.log(len(centers)) + d / 2 * math.log(2 * math.pi)
    return torch.stack([torch.logsumexp(-square / (2 * h * h), 1) - d * h.log() - constant
                        for h in widths])

# %% [markdown]
# The mixture is scikit-learn's. The library fits it for each number of components in a list that is declared beforehand, and keeps the one with the lowest *Bayesian information criterion* (BIC), which is explained below. The unit of the data is divided out first, because scikit-learn adds $10^{-6}$ to each variance.

# %%
#| export methods.density_models
TrainingExamples = Annotated[Tensor, Samples("n *event", 2)]
COMPONENTS = 1, 2, 4, 8, 16, 24, 32, 48  # numbers of components that are tried by default

# %% [markdown]
# Pictures become rows of numbers.

# %%
#| export methods.density_models
def _unit(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    "Rows (n, d) float64 with mean 0 and root mean square 1, and that mean and size."
    x = x.detach().cpu().double().reshape(len(x), -1)
    mean = x.mean(0)
    size = (x - mean).square().mean().sqrt()
    if not 0 < size < math.inf:
        raise ValueError("x: expected examples that differ, and a finite variance")
    return (x - mean) / size, mean, size

# %% [markdown]
# *The number of components.* BIC is $-2\log L+p\log n$ for the likelihood $L$ of the $n$ training examples and $p$ free numbers. More components raise $L$, and the second term is their price.

# %%
#| export methods.density_models
def _fit_components(rows: Any, components: Sequence[int], covariance: str, seed: int) -> dict:
    "scikit-learn's mixtures of rows (n, d), an array, by their number of components."
    from sklearn.mixture import GaussianMixture
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that did not converge: BIC judges them
        return {k: GaussianMixture(k, covariance_type=covariance, random_state=seed % 2 ** 32,
                                   init_params="k-means++").fit(rows) for k in components}

# %% [markdown]
# The parameters are brought back to the unit of the data.

# %%
#| export methods.density_models
@checked
def fit_gaussian_mixture(x: TrainingExamples,  # training examples (n, *event)
                         components: Annotated[Sequence[int], Wholes()] = COMPONENTS,
                         covariance: Literal["full", "diag"] = "full",
                         seed: Index = 0,  # of the starting points
                         ) -> FittedMixture:
    """A Gaussian mixture fitted by EM (scikit-learn); its number of components has the lowest BIC.

    More components than examples are not tried. `ValueError` if all examples are the same, or if
    every number of components is larger than that of the examples. Schwarz 1978 (BIC).
    """
    tried = [k for k in dict.fromkeys(components) if k <= len(x)]
    if not tried:
        raise ValueError(f"components: expected at most {len(x)}, one per example, got "
                         f"{min(components)}")
    rows, mean, size = _unit(x)
    fits = _fit_components(rows.numpy(), tried, covariance, seed)
    bic = {k: float(fit.bic(rows.numpy())) for k, fit in fits.items()}
    best = fits[k := min(bic, key=bic.get)]
    centers, spread, weights = (torch.as_tensor(getattr(best, f"{name}_"))
                                for name in ("means", "covariances", "weights"))
    spread = spread if covariance == "full" else spread.diag_embed()
    return FittedMixture(tuple(x.shape[1:]), centers * size + mean,
                         torch.linalg.cholesky(spread) * size, weights, k, bic)

# %% [markdown]
# *The bandwidth.* A kernel density puts a normal law of width $h$ on each training example. One fifth of the examples is *held out*: they are kept apart and become no centres at first. $h$ maximises their likelihood. Then all examples become centres. If the training set holds many examples twice, the smallest $h$ has the largest [held-out](../glossary.ipynb) likelihood, and the model only repeats its training set. The function warns in this case.

# %%
#| export methods.density_models
@checked
def fit_kernel_density(x: TrainingExamples,  # training examples (n, *event)
                       bandwidths: Annotated[int, Whole(2)] = 25,  # how many are tried
                       held_out: Annotated[float, Real(.01, .9)] = .2,  # share that chooses
                       seed: Index = 0,  # of the split
                       ) -> FittedMixture:
    """A kernel density with normal kernels; held-out likelihood chooses their width.

    The widths are even on a logarithmic scale, from 1/1000 of the data's root mean square to all.
    A warning if the smallest is chosen; `ValueError` if all examples are the same (Parzen 1962).
    """
    rows, mean, size = _unit(x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    held = max(1, min(len(x) - 1, round(held_out * len(x))))
    widths = torch.logspace(-3, 0, bandwidths, dtype=torch.float64)
    found = torch.cat([_log_kernels(part, rows[order[held:]], widths)
                       for part in rows[order[:held]].split(256)], 1).mean(1)
    if not (best := int(found.argmax())):
        warnings.warn("x: the smallest bandwidth is the best; are there equal examples?",
                      stacklevel=3)
    score, h = found - rows.shape[1] * size.log(), widths[best] * size  # in the unit of the data
    return FittedMixture(tuple(x.shape[1:]), rows * size + mean, h,
                         torch.full((len(x),), 1 / len(x), dtype=torch.float64), h.item(),
                         dict(zip((widths * size).tolist(), score.tolist())))

# %%
kde = fit_kernel_density(x)
models = {"Gaussian mixture": fit_gaussian_mixture(x), "kernel density": kde}
{name: model.chosen for name, model in models.items()}

# %%
figure, panels = axes(1, 2, size=(2.8, 2.2))
for ax, (name, model), label in zip(panels, models.items(), ("components", "bandwidth")):
    ax.plot(list(model.scores), list(model.scores.values()), "o-", ms=3, c=REAL)
    ax.axvline(model.chosen, c=ACCENT, ls=":")
    ax.set(xlabel=label, title=name, xscale="log")
low, high = min(models["Gaussian mixture"].scores.values()), max(kde.scores.values())
panels[0].set(ylabel="BIC (low is good)", ylim=(low - 300, low + 4000))
panels[1].set(ylabel="held-out log density, nats", ylim=(high - 5, high + .5))
Picture(figure, "Left: BIC falls until 16 components and rises after that; values above the frame "
        "are cut off. Right: the held-out log density has its maximum at a bandwidth in the "
        "middle and falls on both sides; dotted: the chosen settings")

# %%
bic, likelihood = (model.scores for model in models.values())
assert models["Gaussian mixture"].chosen == 16 == min(bic, key=bic.get)
assert math.isclose(kde.chosen, max(likelihood, key=likelihood.get))
assert list(likelihood)[0] < kde.chosen < list(likelihood)[-1]
nearest, _ = data.assign(models["Gaussian mixture"].centers.float())
parts = nearest.bincount(minlength=9).tolist()
assert parts == [8] + [1] * 8  # the centre is the first
parts  # components at each mode

# %% [markdown]
# The dotted lines are the chosen settings. With a narrow bandwidth a held-out example lies between the kernels and has a density near 0. With a wide one the density is blurred. The true number of modes, 9, is not in the list. BIC takes 16 components: one for each rare mode, and eight for the centre. This does not reduce coverage.
#
# **Fidelity.** Both densities against scikit-learn's own, and against the density of the set:

# %%
from sklearn.neighbors import KernelDensity

probe = data.sample(300, generator=torch.Generator().manual_seed(1))
theirs = KernelDensity(bandwidth=kde.chosen).fit(x.double().numpy())
ours = kde.log_prob(probe)
assert torch.allclose(ours, torch.from_numpy(theirs.score_samples(probe.double().numpy())))

# %%
again = fit_gaussian_mixture(x, components=[16])
sizes = (x.double() - x.double().mean(0)).square().mean().sqrt()
standard = ((x.double() - x.double().mean(0)) / sizes).numpy()
theirs = GaussianMixture(16, random_state=0, init_params="k-means++").fit(standard)
density = torch.from_numpy(theirs.score_samples(standard[:300])) - 2 * sizes.log()
assert torch.allclose(again.log_prob(x[:300]), density)
assert math.isclose(again.scores[16], theirs.bic(standard))

# %%
behind = {name: (data.log_prob(probe) - model.log_prob(probe)).mean().item()
          for name, model in models.items()}
assert behind["Gaussian mixture"] < .1 and behind["kernel density"] < .3
behind  # nats per example by which the model is worse than the truth

# %% [markdown]
# ## The variational autoencoder
# A VAE has a generator $G$ like a GAN, called *decoder* here, and no discriminator. The model says: draw a latent $z\sim\mathcal N(0,I)$, then an example $x\sim\mathcal N(G(z),\sigma^2I)$. The density of $x$ is $p(x)=\int p(x|z)\,p(z)\,dz$. The integral cannot be computed for a network. But for any density $q(z|x)$
#
# $$\log p(x)=\underbrace{\mathbb E_{q(z|x)}\log p(x|z)-\mathrm{KL}\big(q(z|x)\,\|\,p(z)\big)}_{\text{ELBO}}+\mathrm{KL}\big(q(z|x)\,\|\,p(z|x)\big).$$
#
# Proof. By Bayes $\log p(x)=\log p(x|z)+\log p(z)-\log p(z|x)$ for each $z$. Add and subtract $\log q(z|x)$ and take the mean over $q$. The last KL is not negative, so the other two terms are a lower bound, the *evidence lower bound* (ELBO). It is equal to $\log p(x)$ if $q$ is the true law of $z$ given $x$.
#
# An *[encoder](../glossary.ipynb)* $E$ makes $q(z|x)=\mathcal N(\mu(x),\operatorname{diag}s^2(x))$, and both networks climb the ELBO. $z=\mu+s\,\epsilon$ with $\epsilon\sim\mathcal N(0,I)$ passes the gradient to $\mu$ and $s$. The KL term is known in closed form, from $\mathbb E_q z_j^2=\mu_j^2+s_j^2$:
#
# $$\mathrm{KL}\big(q\,\|\,\mathcal N(0,I)\big)=\mathbb E_q\sum_j\Big(\frac{z_j^2}2-\frac{(z_j-\mu_j)^2}{2s_j^2}-\log s_j\Big)=\frac12\sum_j\big(\mu_j^2+s_j^2-1-\log s_j^2\big).$$

# %%
#| export methods.vae
@checked
def gaussian_kl(mean: Latents,  # (*runs, batch, latent)
                log_variance: Latents,  # of each number, of the same shape
                ) -> Tensor:  # (*runs, batch)
    """KL(N(mean, exp(log_variance)) ‖ N(0, 1)) in nats, summed over the latent.

    Kingma and Welling 2014, appendix B. The numbers of a latent are independent.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2

# %% [markdown]
# **Fidelity.** Against torch's KL of two normal laws in float64, and against a mean over 200,000 draws from $q$:

# %%
g = torch.Generator().manual_seed(0)
mean, log_variance = torch.randn(2, 5, 3, generator=g, dtype=torch.float64)
normal = torch.distributions.Normal
q, prior = normal(mean, (log_variance / 2).exp()), normal(torch.zeros_like(mean), 1.)
exact = torch.distributions.kl_divergence(q, prior).sum(-1)
assert torch.allclose(gaussian_kl(mean, log_variance), exact, rtol=0, atol=1e-13)

# %%
z = mean + (log_variance / 2).exp() * torch.randn(200_000, 5, 3, generator=g, dtype=torch.float64)
ratio = (q.log_prob(z) - prior.log_prob(z)).sum(-1)
error = ratio.std(0) / len(z) ** .5
assert ((ratio.mean(0) - exact).abs() < 4 * error).all()
exact, ratio.mean(0)

# %% [markdown]
# The whole loss is minus the ELBO. $-\log p(x|z)$ is a squared distance over $2\sigma^2$ and a constant.

# %%
#| export methods.vae
@checked
def elbo_loss(rebuilt: Batch,  # G(code), (*runs, batch, *event)
              real: Batch,  # (*runs, batch, *event)
              mean: Latents, log_variance: Latents,  # of the codes, (*runs, batch, latent)
              std: Positive = .1,  # of the noise around G(code)
              weight: NonNegative = 1.,  # of KL; 1 is the bound itself
              ) -> Tensor:  # (*runs,)
    """Minus the evidence lower bound (ELBO) in nats, of one code for each example.

    A mean over the batch. `ValueError` where shapes do not fit (Kingma and Welling 2014, eq. 3).
    """
    gap = (rebuilt - real).reshape(*mean.shape[:-1], -1)
    constant = gap.shape[-1] * (math.log(std) + math.log(2 * math.pi) / 2)
    likelihood = -gap.square().sum(-1) / (2 * std * std) - constant
    return (weight * gaussian_kl(mean, log_variance) - likelihood).mean(-1)

# %% [markdown]
# **Fidelity.** With one number, $G(z)=az$ and noise $\sigma$, everything is known: $p(x)=\mathcal N(0,a^2+\sigma^2)$, and the law of $z$ given $x$ is $\mathcal N\big(\frac{ax}{a^2+\sigma^2},\frac{\sigma^2}{a^2+\sigma^2}\big)$. With this $q$ the ELBO must be $\log p(x)$. With another $q$ it must be lower by the KL between the two:

# %%
a, sigma, total = 1.5, .5, 1.5 ** 2 + .5 ** 2
value = torch.full((400_000, 1), .8, dtype=torch.float64)
noise = torch.randn(400_000, 1, generator=g, dtype=torch.float64)
log_p = normal(0., math.sqrt(total)).log_prob(torch.tensor(.8)).item()

def bound(mean: float, variance: float) -> float:
    "The ELBO of x = 0.8, a mean over many codes."
    code = mean + math.sqrt(variance) * noise
    moments = torch.full_like(value, mean), torch.full_like(value, math.log(variance))
    return -elbo_loss(a * code, value, *moments, std=sigma).item()

# %%
best = a * .8 / total, sigma ** 2 / total
other = normal(.1, .6), normal(best[0], math.sqrt(best[1]))
gap = torch.distributions.kl_divergence(*other).item()
assert abs(bound(*best) - log_p) < .01 and abs(bound(.1, .36) - (log_p - gap)) < .02
log_p, bound(*best), bound(.1, .36)

# %% [markdown]
# $E$ gives twice as many numbers as a latent has: means and log variances. The class checks this, because a network of your own may give another number.

# %%
#| export methods.vae
class GaussianEncoder(nn.Module):
    "E of a VAE: a network from examples to means and log variances, `(runs, n, 2 · latent)`."
    lead = 2

    @checked
    def __init__(self, net: Network,  # (runs, n, *event) -> (runs, n, 2 · latent)
                 latent: Count):
        super().__init__()
        self.net, self.latent = net, latent

    def moments(self, x: Tensor) -> tuple[Tensor, ...]:
        "Mean and log variance of the codes, `(runs, n, latent)` each; `ValueError` for others."
        size = *x.shape[:2], 2 * self.latent
        return check_shape("E", self.net(x), size, what="means and log variances").chunk(2, -1)

    def forward(self, x: Tensor) -> Tensor:
        "The mean of the codes."
        return self.moments(x)[0]

# %% [markdown]
# As a game there are two players that move together (the turn `GE`), and one loss. The samples of the game are the means $G(z)$: the noise of width $\sigma$ is not added. All results below are for these means.

# %%
#| export methods.vae
@register_game
@dataclass(kw_only=True)
class VAE(Game):
    """The variational autoencoder (Kingma and Welling 2014) with a normal decoder.

    Samples are the means G(z). The model's own examples have noise of width `std` around them."""
    G: Player = None  # your own decoder, of z
    E: Player = None  # your own encoder, of x; it gives 2 · latent numbers
    std: Positive = .1  # of the noise around G(z), in the unit of the game
    weight: NonNegative = 1.  # of KL
    turns: ClassVar[str] = "GE"
    default_optimiser: ClassVar[Optimiser] = Optimiser(1e-3, (.9, .99))

    def players(self, event: tuple[int, ...], latent: int, runs: int,
                generator: list) -> dict[str, nn.Module]:
        "The decoder and the encoder, one copy per run."
        kw, nets = dict(runs=runs, generator=generator), self.networks
        G = make_player("G", self.G, lambda: nets.generator(latent, event, **kw), **kw)
        E = make_player("E", self.E, lambda: nets.encoder(event, 2 * latent, **kw), **kw)
        return {"G": G, "E": GaussianEncoder(E, latent)}

# %% [markdown]
# One code is drawn for each example: its mean plus its standard deviation times noise.

# %%
#| export methods.vae
@patch
def loss_GE(self: VAE, t: Any) -> Tensor:
    "Minus the ELBO of the real examples, with one code for each."
    mean, log_variance = t.E.moments(t.x)
    noise = randn(*mean.shape, generator=t.generator, device=mean.device)
    code = mean + (log_variance / 2).exp() * noise
    return elbo_loss(t.G(code), t.x, mean, log_variance, self.std, self.weight)

# %%
shapes = Run(VAE(), ring(), runs=2, batch=32, device="cpu").step(3)
shapes.sample(5).shape, shapes.player("E")(torch.zeros(2, 5, 2)).shape

# %% [markdown]
# ## Flow matching
# A flow moves a point of noise $x_0\sim\mathcal N(0,I)$ along a velocity $v(x,t)$ from time $t=0$ to $t=1$, where it should be a data point. Which velocity? Join a noise point $x_0$ and a data point $x_1$, drawn independently, by a straight path:
#
# $$x_t=(1-t)\,x_0+t\,x_1,\qquad \frac{dx_t}{dt}=x_1-x_0 .$$
#
# Many paths cross at a point $x$ at time $t$. The network learns their *mean* velocity, by a squared error with $t$ uniform on $[0,1]$:
#
# $$L(v)=\mathbb E\,\big\|v(x_t,t)-(x_1-x_0)\big\|^2,\qquad v^*(x,t)=\mathbb E\big[x_1-x_0\,\big|\,x_t=x\big].$$
#
# The minimiser is a conditional mean, as for every squared error. Lipman et al. (2023, Theorems 1 and 2) show that a flow along $v^*$ has the law of $x_t$ at each time. So at $t=1$ it has the law of the data, and *no mode is missing at the minimum of this loss*. (Liu et al. 2023 study the same straight path as *rectified flow*. The paths of Lipman et al. end at a narrow normal law around the data point, of width $\sigma_{\min}$. Here $\sigma_{\min}=0$.) There is no second player, so the training cannot circle as in chapters [0.1](../0_start/01_first_gan.ipynb) and [1.4](04_wasserstein.ipynb).

# %%
#| export
@checked
def flow_matching_loss(velocity: Batch,  # of the network at (1-t) noise + t real
                       noise: Batch,  # x₀, where the path starts
                       real: Batch,  # x₁, where it ends; all are (*runs, batch, *event)
                       *, runs: Annotated[int, AxisCount(0, of="*runs")] = 0,  # axes of runs
                       ) -> Tensor:  # (*runs,)
    """Squared distance from the velocity to that of the straight path, x₁ - x₀.

    A sum over each example and a mean over the batch. `ValueError` if the three shapes differ
    (Lipman et al. 2023; Liu et al. 2023).
    """
    square = (velocity - (real - noise)).square()
    return (square.flatten(runs + 1).sum(-1) if square.ndim > runs + 1 else square).mean(-1)

# %% [markdown]
# **Fidelity.** For data $x_1\sim\mathcal N(m,s^2)$ the pair $(x_1-x_0,\,x_t)$ is normal, so the conditional mean is a line. Its slope is a covariance over a variance:
#
# $$v^*(x,t)=m+\beta_t\,(x-tm),\qquad \beta_t=\frac{t\,s^2-(1-t)}{(1-t)^2+t^2s^2}.$$
#
# The loss is compared with its definition. Then a line is fitted by least squares to many draws, at three times:

# %%
pair = torch.randn(3, 2, 6, 4, generator=g, dtype=torch.float64)
by_hand = (pair[0] - pair[2] + pair[1]).square().sum(-1).mean(-1)
assert torch.allclose(flow_matching_loss(*pair, runs=1), by_hand, rtol=0, atol=1e-13)

# %%
m, s = 1.5, .4

def exact_velocity(x, t):
    "v* for normal data."
    return m + (t * s ** 2 - (1 - t)) / ((1 - t) ** 2 + t ** 2 * s ** 2) * (x - t * m)

# %%
x0, x1 = (torch.randn(400_000, generator=g, dtype=torch.float64) for _ in range(2))
x1, found = m + s * x1, {}
for t in (.1, .5, .9):
    at, target = (1 - t) * x0 + t * x1, x1 - x0
    slope = torch.cov(torch.stack([target, at]))[0, 1] / at.var()
    found[t] = slope.item(), (target.mean() + slope * (t * m - at.mean())).item()

# %%
line = {t: ((exact_velocity(t * m + 1, t) - m), m) for t in found}
assert all(abs(a - b) < .01 for t in found for a, b in zip(found[t], line[t]))
{t: [[round(v, 4) for v in pair] for pair in zip(found[t], line[t])] for t in found}

# %% [markdown]
# For each time the first pair is the slope, fitted and exact. The second is the value at $x=tm$, fitted and exact.

# %% [markdown]
# No other velocity has a smaller loss: a change of $v^*$ in any direction raises it, and the slope of the loss at $v^*$ is 0.

# %%
t = torch.rand(400_000, generator=g, dtype=torch.float64)
at, ends = (1 - t) * x0 + t * x1, (x0[:, None], x1[:, None])
losses = [flow_matching_loss((exact_velocity(at, t) + c * torch.sin(3 * at))[:, None], *ends).item()
          for c in (-.1, 0., .1)]
assert losses[1] < losses[0] and losses[1] < losses[2]
assert abs(losses[0] - losses[2]) < .2 * (losses[0] + losses[2] - 2 * losses[1])
losses

# %% [markdown]
# The least loss is not 0: it is the variance of the velocities of the paths that cross. So the value of the loss does not tell how good the samples are.

# %% [markdown]
# **The sampler** solves $\frac{dx}{dt}=v(x,t)$ in small steps of length $h$. *Euler's* rule takes the velocity at the start of a step. The *midpoint* rule takes it in the middle, after half an Euler step. The error at $t=1$ falls as $h$ for Euler and as $h^2$ for the midpoint rule, at one and two calls of the network a step.

# %%
#| export
Velocity = Annotated[Callable[[Tensor, Tensor], Tensor], Function(
    "*runs batch *event, *runs batch -> *runs batch *event")]
Solver = Literal["midpoint", "euler"]

# %% [markdown]
# `lead` says how many axes stand before those of an example.

# %%
#| export
@checked
def integrate_velocity(velocity: Velocity,  # v(x, t); x (*runs, batch, *event), t (*runs, batch)
                       start: Batch,  # x at t = 0, (*runs, batch, *event)
                       n_steps: Count = 20,  # of equal length, from t = 0 to t = 1
                       method: Solver = "midpoint",
                       *, lead: Lead = 1,  # axes before the event: the runs and the batch
                       ) -> Tensor:  # x at t = 1
    """Follow dx/dt = v(x, t) from t = 0 to 1; midpoint calls `velocity` twice a step, Euler once.

    `ValueError` if a velocity has not the shape of x, or for another method or number of steps.
    """
    x, h = start, 1 / n_steps
    for k in range(n_steps):
        time = x.new_full(x.shape[:lead], k * h)
        slope = check_shape("velocity", velocity(x, time), x.shape)
        if method == "midpoint":
            slope = velocity(x + h / 2 * slope, time + h / 2)
        x = x + h * slope
    return x

# %% [markdown]
# **Fidelity.** For normal data the flow ends exactly at $x(1)=m+s\,x_0$:

# %%
start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
end = integrate_velocity(lambda x, t: exact_velocity(x, t[:, None]), start, 100)
assert torch.allclose(end, m + s * start, rtol=0, atol=1e-6)

# %% [markdown]
# For a mixture of normal laws $v^*$ is known, too: the mean of the velocities of the components, weighted by the probability of each component at $x_t=x$. So we can look at the perfect flow to two modes with shares 80 % and 20 %.

# %%
def mixture_velocity(x, t, std=.1, centers=(-1., 1.), shares=(.8, .2)):
    "v* for a mixture of normal laws on the line; x (n, 1), t (n,)."
    c, w, t = torch.tensor(centers).to(x), torch.tensor(shares).to(x), t[:, None]
    spread = (1 - t) ** 2 + t ** 2 * std ** 2
    weight = (w.log() - (x - t * c) ** 2 / (2 * spread)).softmax(1)
    return (weight * (c + (t * std ** 2 - (1 - t)) / spread * (x - t * c))).sum(1, keepdim=True)

# %%
noise, n = torch.randn(400, 1, generator=g, dtype=torch.float64), 100
way = [noise]
for k in range(n):
    part = lambda x, t: mixture_velocity(x, (k + t) / n) / n
    way.append(integrate_velocity(part, way[-1], 1))
way = torch.stack(way)[..., 0]  # (times, points)
ends = way[-1]

# %%
figure, (left, right) = axes(1, 2, size=(2.8, 2.2), sharey=True)
other = ends[torch.randperm(400, generator=g)]
left.plot([0, 1], torch.stack([way[0], other])[:, ::10], c=MISSING, lw=.6)
right.plot(torch.linspace(0, 1, n + 1), way[:, ::10], c=FAKE, lw=.6)
left.set(title="paths of the loss", xlabel="time t", ylabel="x")
right.set(title="the flow along v*", xlabel="time t")
Picture(figure, "Left: straight paths between noise and data cross. Right: the paths of the flow "
        "bend, do not cross, and end at two modes")

# %%
share, between = (ends > 0).double().mean().item(), (ends.abs() < .6).double().mean().item()
assert abs(share - .2) < .05 and between < .02
share, between

# %% [markdown]
# Both modes have their share, and almost no point ends between them. Paths of a flow cannot cross. So neighbours in the noise that end in different modes must be separated by a steep velocity. A network that is too smooth there leaves samples between the modes.
#
# **Fidelity.** How large is the error of a sampler with $n$ steps? On the line a flow keeps the order of the points. So the share of noise below $x_0$ is the share of data below $x(1)$: $F(x(1))=\Phi(x_0)$ with the distribution functions of data and noise. Twice as many steps should halve Euler's error and quarter that of the midpoint rule:

# %%
def sampler_error(method: str, n: int) -> float:
    "Largest difference of F(x(1)) and Φ(x₀); the modes have a standard deviation of 0.4."
    end = integrate_velocity(lambda x, t: mixture_velocity(x, t, .4), start, n, method)
    below = .8 * torch.special.ndtr((end + 1) / .4) + .2 * torch.special.ndtr((end - 1) / .4)
    return (below - torch.special.ndtr(start)).abs().max().item()

# %%
errors = {name: [sampler_error(name, n) for n in (40, 80, 160)] for name in ("euler", "midpoint")}
orders = {k: [math.log2(a / b) for a, b in zip(v, v[1:])] for k, v in errors.items()}
assert all(abs(p - 1) < .15 for p in orders["euler"])
assert all(abs(p - 2) < .15 for p in orders["midpoint"])
{name: [round(p, 3) for p in found] for name, found in orders.items()}

# %% [markdown]
# The numbers are logarithms to base 2 of the ratio of two errors: 1 for half of the error, 2 for a quarter.

# %% [markdown]
# ## Flow matching as a game
# The only player is $G$. With a latent alone it follows the flow to an example. With a time, too, it predicts the end of the path from a state: $\hat x_1=x_t+(1-t)\,v(x_t,t)$, which is $\mathbb E[x_1|x_t]$ for $v^*$. The loss asks for this end, because then the lab can show what $G$ makes in its turn and where the loss moves it. Dividing by $1-t$ gives the velocity back.

# %% [markdown]
# A time gets axes of length one, so that it can be multiplied with examples.

# %%
#| export
def _beside(time: Tensor, x: Tensor) -> Tensor:
    "`time` `(runs, n)` with an axis of length one for each axis of an example."
    return time.reshape(*time.shape, *[1] * (x.ndim - time.ndim))

# %% [markdown]
# The generator holds the network of the velocity.

# %%
#| export
class FlowGenerator(nn.Module):
    """G of flow matching: latents to the examples where the flow ends.

    With a time t `(runs, n)`, the end that is predicted from the state z at t: z + (1-t) v(z, t).
    `ValueError` for latents that are not as long as an example.
    """
    lead = 2

    @checked
    def __init__(self, net: Network,  # v(x, t) for x (runs, n, *event) and t (runs, n, 1)
                 event: Annotated[Sequence[int], Wholes()],
                 ode_steps: Count = 20, method: Solver = "midpoint"):
        super().__init__()
        self.net, self.event, self.settings = net, tuple(event), (ode_steps, method)

    def velocity(self, x: Tensor, time: Tensor) -> Tensor:
        "The velocity `(runs, n, *event)` at x and time `(runs, n)`."
        return self.net(x, time[..., None])

# %% [markdown]
# Without a time it follows the flow, with a time it predicts the end.

# %%
#| export
@patch
def forward(self: FlowGenerator, z: Tensor, time: Tensor | None = None) -> Tensor:
    "Examples `(runs, n, *event)` of latents `(runs, n, latent)`; pictures are in [-1, 1]."
    check_shape("z", z, (*z.shape[:2], math.prod(self.event)), what="latents (runs, n, latent)")
    x = z.unflatten(-1, self.event)
    if time is not None:
        check_shape("time", time, z.shape[:2])
        return x + (1 - _beside(time, x)) * self.velocity(x, time)
    x = integrate_velocity(self.velocity, x, *self.settings, lead=2)
    return x.clamp(-1, 1) if len(self.event) > 1 else x

# %% [markdown]
# The draws of $t$ end a little before 1, because of that division.

# %%
#| export
LAST_TIME = 1 - 2 ** -10  # times end here, where 1 - t is still well above the rounding error

# %% [markdown]
# The settings are those of the sampler. `V` is for a network of your own.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class FlowMatching(Game):
    """Flow matching on the straight path (Lipman et al. 2023; Liu et al. 2023).

    There is one player, and a latent has the shape of an example."""
    V: Player = None  # your own velocity network v(x, t), x (N, *event) and t (N, 1)
    ode_steps: Count = 20  # from noise to an example
    method: Solver = "midpoint"
    turns: ClassVar[str] = "G"
    kinds: ClassVar[tuple[str, ...]] = ("mlp",)
    default_networks: ClassVar[Networks] = Networks("mlp", width=128, depth=3)
    default_optimiser: ClassVar[Optimiser] = Optimiser(3e-3, (.9, .99))

    def latent_length(self, event: tuple[int, ...]) -> int:
        "As many numbers as an example has."
        return math.prod(event)

# %% [markdown]
# The network of the velocity takes the example and the time side by side.

# %%
#| export
@patch
def players(self: FlowMatching, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "The flow, one copy per run; `ValueError` if a latent is not as long as an example."
    if latent != (size := math.prod(event)):
        raise ValueError(f"latent: expected {size}, as many numbers as an example of shape "
                         f"{tuple(event)} has, got {latent}")
    kw, nets = dict(runs=runs, generator=generator), self.networks
    own = lambda: JointMLP([latent, 1], event, nets.width, nets.depth, **kw)
    net = make_player("V", self.V, own, **kw)
    return {"G": FlowGenerator(net, event, self.ode_steps, self.method)}

# %% [markdown]
# The turn of $G$ draws noise, real examples and times, and asks for the ends of the paths.

# %%
#| export
@patch
def loss_G(self: FlowMatching, t: Any) -> Tensor:
    "The loss of the velocity at one time for each example."
    real, noise = t.x, t.z.view_as(t.x)
    time = rand(*real.shape[:2], generator=t.generator, device=real.device).clamp_max(LAST_TIME)
    at = _beside(time, real)
    x = (1 - at) * noise + at * real
    end = t.G(x.flatten(2), time)
    return flow_matching_loss((end - x) / (1 - at), noise, real, runs=1)

# %% [markdown]
# **Fidelity.** The loss of the game against the loss by hand, with the same noise and times. (The seeds of a turn depend on its name only, so a second turn draws the same.)

# %%
from modelab.core.seeding import rand as rand_runs
from modelab.training.game import Turn

run = Run(FlowMatching(), grid(), runs=2, batch=64, device="cpu")
turns = Turn(run, 0, 0), Turn(run, 0, 0)
value = run.game.loss_G(turns[0])

# %%
t = turns[1]
time_of = rand_runs(2, 64, generator=t.generator)
state = (1 - time_of[..., None]) * t.z + time_of[..., None] * t.x
by_hand = (t.G.velocity(state, time_of) - (t.x - t.z)).square().sum(-1).mean(-1)
assert torch.allclose(value, by_hand, rtol=1e-3)
value, by_hand

# %% [markdown]
# ## The same sets, eight seeds
# `benchmarks/references.py` trained three networks for 5,000 steps with batch 128, width 64 and seeds 0 to 7: the VAE, the flow, and the GAN with R1. Each network had four settings. They were tried for 2,500 steps on seeds 100 to 103, and the one with the smallest mean TV was taken. Mixture and kernel density get 5,000 examples of each seed and choose their own settings from these. A network draws new examples in each step, 640,000 in all. KL compares with the set's own shares here, so a perfect generator has about 0. The thresholds of the claims below were set before any of these runs.

# %%
kept, most = recorded("references"), {"grid": 25, "rare_modes": 9}
methods = "Gaussian mixture", "kernel density", "flow matching", "VAE", "GAN with R1"

def row_of(part: str, setting: str) -> dict:
    "A recorded row."
    return next(row for row in kept[part] if row["setting"] == setting)

# %%
def tried(name: str, method: str) -> dict[str, list[float]]:
    "TV of each seed of the tuning, setting by setting."
    start = f"{name}: {method}, "
    return {row["setting"].removeprefix(start): row["tv"] for row in kept.get("points tuning", ())
            if row["setting"].startswith(start)}

chosen = {(name, method): min(rows, key=lambda k: sum(rows[k]), default="")
          for name in most for method in methods[2:] for rows in [tried(name, method)]}
assert not kept or all("lr 0.01" in chosen["grid", method] for method in methods[2:])

# %%
def trials() -> Picture:
    "TV of all tried settings; those that were chosen have the colour."
    figure, panels = axes(1, 2, size=(3.6, 2.7), sharey=True)
    for ax, name in zip(panels, most):
        rows = {f"{m}: {k}": (k == chosen[name, m], tv) for m in methods[2:]
                for k, tv in tried(name, m).items()}
        for y, (best, tv) in enumerate(rows.values()):
            ax.plot(tv, [y] * len(tv), "o", c=REAL if best else MISSING, ms=4, alpha=.5)
            ax.plot(sum(tv) / len(tv), y, "|", c=REAL if best else MISSING, ms=11, mew=2)
        ax.set(xlabel="TV", title=name.replace("_", " "), ylim=(len(rows) - .5, -.5))
        ax.set_yticks(range(len(rows)), rows)
    return Picture(figure, "TV of twelve settings, four seeds each; bar: the mean; blue: chosen. "
                   + "; ".join(f"{n}, {m}: {k}" for (n, m), k in chosen.items()))

trials() if kept else "no record: only the package is installed"

# %% [markdown]
# These are the trials: a disc is a seed, a bar the mean, and the chosen setting is blue. On the grid each network took its largest rate, so a still larger one may be better. The results with the chosen settings (a bar is the mean, the dotted line a perfect generator, the dashed line noise):

# %%
MEASURES = {"captured": "modes captured", "high_quality": "high quality", "tv": "TV"}

def draw(ax, name: str, measure: str) -> None:
    "A measure of each seed of all methods, with the values of a perfect generator and of noise."
    for y, method in enumerate(methods):
        row = row_of("points", f"{name}: {method}")
        colour = FAKE if method == "GAN with R1" else REAL
        ax.scatter(row[measure], [y + (i - 3.5) / 16 for i in range(8)], s=14, c=colour, alpha=.5,
                   linewidths=0)
        ax.plot(sum(row[measure]) / 8, y, "|", c=colour, ms=11, mew=2)
    ax.axvline(row["floor"][measure], c=ACCENT, ls=":")
    ax.axvline(row["null"][measure], c=MISSING, ls="--")
    ax.set(xlabel=MEASURES[measure], ylim=(4.6, -.6))
    ax.set_yticks(range(5), methods)

# %%
def compared() -> Picture:
    "Three measures of each seed on both sets."
    figure, panels = axes(2, 3, size=(2.7, 1.8), sharey=True)
    for line, name in zip(panels, most):
        for ax, measure in zip(line, MEASURES):
            draw(ax, name, measure)
        line[1].set(title=name.replace("_", " "), xlim=(-.03, 1.03))
        line[2].set(xscale="log")
        ticks = (.03, .1, .3, 1) if name == "grid" else (.01, .03, .1, .3, 1)
        line[2].set_xticks(ticks, ticks)
        line[2].minorticks_off()
    return Picture(figure, "Two sets, eight seeds a method. Bar: mean; dotted: perfect generator; "
                   "dashed: noise. Mixture and kernel density are at the dotted lines; the "
                   "networks have a larger TV, and few good samples on the grid")

compared() if kept else "no record: only the package is installed"

# %%
seconds = {method: [row_of("points", f"{name}: {method}")["seconds"] for name in most]
           for method in methods if kept}
"; ".join(f"{method} {a:.1f} s and {b:.1f} s" for method, (a, b) in seconds.items())

# %% [markdown]
# These are the seconds of one seed on one core, on the grid and on the rare modes. For the first two they are of fitting all tried settings, for the others of training the chosen setting.

# %%
def tv_of(name: str, method: str):
    "The interval of TV over eight seeds."
    return interval(row_of("points", f"{name}: {method}")["tv"], low=0, high=1)

def each(method: str) -> str:
    "TV on both sets, as text."
    return "; ".join(f"{name} {tv_of(name, method)}" for name in most if kept)

def below(method: str, other: str) -> bool:
    "Whether a method has the smaller TV on both sets, with intervals apart."
    return all(tv_of(name, method).high < tv_of(name, other).low for name in most)

# %%
gan = "GAN with R1"
claim("On grid and rare modes a Gaussian mixture has a smaller TV than the GAN with R1",
      paper="this course", section="data that are mixtures of normal laws",
      ours=each("Gaussian mixture"), baseline=each(gan),
      holds=not kept or below("Gaussian mixture", gan))

# %%
claim("On grid and rare modes flow matching has a smaller TV than that GAN", paper="this course",
      section="5,000 steps, width 64", ours=each("flow matching"), baseline=each(gan),
      holds=bool(kept) and below("flow matching", gan), expect=False)

# %%
claim("On grid and rare modes the VAE has a smaller TV than that GAN", paper="this course",
      section="5,000 steps, width 64", ours=each("VAE"), baseline=each(gan),
      holds=bool(kept) and below("VAE", gan), expect=False)

# %%
def captured(method: str) -> dict[str, list[float]]:
    "Captured modes of each seed."
    return {name: row_of("points", f"{name}: {method}")["captured"] for name in most if kept}

def fewest(method: str) -> dict[str, float]:
    "The fewest modes that a seed captured, set by set."
    return {name: min(seen) for name, seen in captured(method).items()}

worst = fewest("flow matching")
ours, theirs = ("; ".join(f"{name} {modes:.0f} of {most[name]}" for name, modes in found.items())
                for found in (worst, fewest(gan)))
claim("Flow matching captures every mode of grid and rare modes on every seed",
      paper="this course", section="5,000 steps, width 64", ours=f"worst seeds: {ours}",
      baseline=f"GAN with R1: {theirs}",
      holds=bool(kept) and worst == most, expect=False)

# %% [markdown]
# One of the four thresholds is reached. What the pictures and the seconds show:
#
# - **Mixture and kernel density** capture every mode on every seed, in about a second. Their mean TV is less than one and a half times that of a perfect generator. The mean TV of every network is more than four times as large as theirs.
# - **Flow matching** has a smaller TV than the GAN on the rare modes, with intervals apart, and captures all nine on every seed. The GAN misses two on one seed. On the grid the intervals of all three networks overlap. There the flow misses one mode on one seed, and the GAN up to four.
# - **The VAE** captures all modes of the grid on every seed, but only 5.5 of the nine rare modes on average. So losing modes is not limited to GANs.
# - **No network is good on the grid:** fewer than one sample in three is a good one.

# %%
def mean_of(name: str, method: str, measure: str) -> float:
    "A recorded measure, averaged over the seeds."
    return sum(row_of("points", f"{name}: {method}")[measure]) / 8

# %%
if kept:
    assert all(set(captured(m)[name]) == {most[name]} for m in methods[:2] for name in most)
    assert all(mean_of(name, m, "tv") < 1.5 * row_of("points", f"{name}: {m}")["floor"]["tv"]
               for m in methods[:2] for name in most)
    assert all(mean_of(name, m, "tv") > 4 * mean_of(name, n, "tv")
               for m in methods[2:] for n in methods[:2] for name in most)

# %%
if kept:
    assert tv_of("rare_modes", "flow matching").high < tv_of("rare_modes", gan).low
    assert sorted(captured(gan)["rare_modes"]) == [7] + [9] * 7 and worst["rare_modes"] == 9
    grids = [tv_of("grid", m) for m in methods[2:]]
    assert max(v.low for v in grids) < min(v.high for v in grids)
    assert sorted(captured("flow matching")["grid"]) == [24] + [25] * 7
    assert min(captured(gan)["grid"]) == 21

# %%
if kept:
    seen = captured("VAE")
    assert set(seen["grid"]) == {25} and sum(seen["rare_modes"]) / 8 == 5.5
    assert all(mean_of("grid", m, "high_quality") < 1 / 3 for m in methods[2:])
    print("the VAE's rare modes by seed:", seen["rare_modes"])

# %% [markdown]
# **Tune as hard for every method.** An earlier record of this benchmark tried two settings for 1,000 steps for VAE and flow. Its row of the GAN had the best of three weights of R1 from chapter 1.4, after 5,000 steps on the reported seeds. It gave another order: on the grid the GAN had the smallest mean TV of the three networks.

# %%
{row["setting"]: f"{interval(row['tv'], low=0, high=1):.3f}"
 for row in kept.get("unequal tuning", ()) if row["setting"].startswith("grid")}

# %%
if kept:
    before = {row["setting"]: row["tv"] for row in kept["unequal tuning"]}
    first = {m: sum(before[f"grid: {m}"]) / 8 for m in methods[2:]}
    assert min(first, key=first.get) == gan
    assert max(mean_of("grid", m, "tv") for m in methods[2:]) == mean_of("grid", gan, "tv")

# %% [markdown]
# The same two density models on eight sets of `random_modes` (chapter [6.20](../6_workshop/20_random_sets.ipynb)), in up to eight dimensions. These are the sets of the seeds 0 to 7; none was left out. Each set has one seed.

# %%
def family_picture() -> Picture:
    "TV of both density models on each set, and the modes that they capture where some are missing."
    rows, (figure, ax) = kept["family"], axes(size=(5.6, 2.6))
    for row, colour, marker in zip(rows, (REAL, FAKE), "ox"):
        ax.plot(row["tv"], range(8), marker, c=colour, label=row["setting"])
        for y, (captured, modes) in enumerate(zip(row["captured"], row["modes"])):
            if captured < modes:
                ax.text(row["tv"][y] + .015, y, f"{captured:g} of {modes}", va="center")
    ax.set(xlabel="TV", xlim=(0, .65), ylim=(7.5, -.5))
    ax.set_yticks(range(8), rows[0]["sets"])
    ax.legend(frameon=False, loc="lower right")
    return Picture(figure, "TV on eight sets. The mixture is below .06 on each. The kernel density "
                   "is as good in two or three dimensions and at .28 or more in six to eight")

family_picture() if kept else "no record: only the package is installed"

# %% [markdown]
# The mixture captures every mode of every set. The kernel density misses two modes of one set, and its mean TV is more than five times as large. In two and three dimensions it is below .05, in six to eight above .28. A likely reason, which we have not tested: its kernels are round and all alike, and the modes of these sets are not.

# %%
if kept:
    mix, kernel = kept["family"]
    far = [tv for name, tv in zip(kernel["sets"], kernel["tv"]) if int(name.split()[-2]) > 5]
    assert len(far) == 5 and min(far) > .28 and max(set(kernel["tv"]) - set(far)) < .05
    assert mix["captured"] == mix["modes"] and max(mix["tv"]) < .06
    lost = sum(kernel["modes"]) - sum(kernel["captured"])
    assert lost == 2 and sum(kernel["tv"]) > 5 * sum(mix["tv"])
    print(f"mean TV {sum(mix['tv']) / 8:.3f} and {sum(kernel['tv']) / 8:.3f}")

# %% [markdown]
# ## Density models in more dimensions
# Eight modes on a circle of radius 2, each with a standard deviation of 0.2. Now each example gets further coordinates, which are normal noise in every mode. The number is how far a model is behind the true density on fresh examples: the mean of $\log p-\log q$, in [nats](../glossary.ipynb). 1,000 training examples, eight seeds.
#
# **Predict:** which of the two models is farther behind the truth in 32 dimensions?

# %%
def behind_truth(d: int, seed: int) -> list[float]:
    "Nats per example by which a mixture and a kernel density are behind the truth."
    own = torch.Generator().manual_seed(seed)
    centers = nn.functional.pad(ring(radius=2).centers, (0, d - 2))
    law = mixture(centers, .2)
    train, fresh = law.sample(1000, own), law.sample(400, own)
    models = fit_gaussian_mixture(train, [4, 8, 16], seed=seed), fit_kernel_density(train, 12)
    return [(law.log_prob(fresh) - m.log_prob(fresh)).mean().item() for m in models]

# %%
losses = {d: torch.tensor([behind_truth(d, seed) for seed in range(8)]) for d in (2, 8, 32)}
for d, found in losses.items():
    mix, kernel = (interval(v.tolist()) for v in found.T)
    print(f"{d:2} dimensions: Gaussian mixture {mix}, kernel density {kernel}")

# %%
mixes, kernels = ([interval(losses[d][:, i].tolist()) for d in (2, 8, 32)] for i in (0, 1))
assert all(mix.high < kernel.low for mix, kernel in zip(mixes, kernels))
claim("In 32 dimensions a kernel density is more than ten times as far behind the truth as in two",
      paper="this course", section="nats per example, 1,000 examples", ours=kernels[2],
      baseline=f"two dimensions {kernels[0]}; Gaussian mixture in 32 {mixes[2]}",
      holds=kernels[2].low > 10 * kernels[0].high)

# %% [markdown]
# The kernel density is behind the mixture in each of the three. In relation to two dimensions both are between fifty and a hundred and fifty times as far behind. A full covariance in 32 dimensions has 528 free numbers. Eight of them have 4,224, and there are 1,000 examples. (A GAN has no density, so it cannot be compared in this way.)

# %%
assert 32 * 33 // 2 == 528 and 8 * 528 == 4224
assert all(50 < v[2].mean / v[0].mean < 150 for v in (mixes, kernels))
f"{kernels[2].mean / kernels[0].mean:.0f} times, {mixes[2].mean / mixes[0].mean:.0f} times"

# %% [markdown]
# ## On real digits
# An 8×8 digit has 64 numbers, and there are 1,401 training scans. A sample of the kernel density is one of these scans plus noise.
#
# **Predict:** which share of its samples does the [judge](../glossary.ipynb) (chapter [0.3](../0_start/03_modes.ipynb)) call good?

# %%
scans, unseen = (torch.unique(modes.sample(40_000, generator=g), dim=0)
                 for modes in (digits(), digits().held_out))
smooth = fit_kernel_density(scans)
noisy = smooth.sample(2500, torch.Generator().manual_seed(1))
judged = coverage(noisy, digits())
judged

# %%
assert judged.captured == 10 and judged.high_quality > .9 and len(scans) == 1401
f"bandwidth {smooth.chosen:.2f}, where a pixel is between -1 and 1"

# %% [markdown]
# All ten modes, and more than nine samples of ten are good: the judge recognises a digit in spite of the noise. (The column *null* says that uniform noise reaches ten modes, too, without a single good sample. For pictures this protocol counts every digit that the judge names, with confidence or not. So *captured* shows little on digits.) A Gaussian mixture with full covariances has only a few components here, because each has 2,144 free numbers:

# %%
coarse = fit_gaussian_mixture(scans, [1, 2, 4, 8])
blurred = coarse.sample(2500, torch.Generator().manual_seed(1))
few = coverage(blurred, digits())
assert 64 + 64 * 65 // 2 == 2144
assert coarse.chosen <= 4 and few.captured == 10 and .5 < few.high_quality < .8
coarse.chosen, few.high_quality

# %%
figure, panels = axes(1, 3, size=(2.4, 2.8))
for ax, (title, images) in zip(panels, {"real": scans[::90], "kernel density": noisy,
                                        "Gaussian mixture": blurred}.items()):
    image_grid(ax, digits().picture(images[:16]), 4, title)
Picture(figure, "Sixteen real digits, clean; sixteen of the kernel density, readable with noise on "
        "every pixel; sixteen of the Gaussian mixture, some not readable")

# %% [markdown]
# The pictures of the kernel density have noise on every pixel, also where all real scans are black. This does not change mode coverage.
#
# ## Does a kernel density copy?
# By construction every sample is a training scan plus noise. `copies` of chapter [4.4](../4_evidence/04_copying.ipynb) compares samples with training scans and with held-out scans.
#
# **Predict:** does it raise an alarm?

# %%
report = copies(noisy[:600], scans, unseen)
report

# %%
half = dataclasses.replace(smooth, factors=smooth.factors / 2)
closer = copies(half.sample(600, torch.Generator().manual_seed(1)), scans, unseen)
assert not report.alarms and closer.alarms == ["copies"]
closer

# %% [markdown]
# With the bandwidth that held-out likelihood chooses there is no alarm; with half of it most samples are called copies. (DCR is the distance to the nearest training scan, and $C_T$ far below 0 is another sign of copies. Both are explained in chapter [4.4](../4_evidence/04_copying.ipynb).) Why is there no alarm? We compare the distance of a sample to its nearest training scan with that of a held-out scan. And `copies` looks at a ratio: the nearest distance over that to the fifth nearest scan. It counts a sample only if its ratio is at most half of a usual one.

# %%
length = (noisy[:, None] - scans).flatten(2).norm(dim=2).min(1).values.median().item()
nearest = (unseen[:, None] - scans).flatten(2).norm(dim=2).min(1).values.median().item()
ratios = [copy_ratio(v, scans).median().item() for v in (unseen, noisy, half.sample(
    600, torch.Generator().manual_seed(1)))]
assert .9 * nearest < length < nearest and abs(nearest - 2.06) < .02
assert ratios[1] > ratios[0] / 2 > ratios[2]
{"distance": (length, nearest), "ratio: held-out, kernel density, half the width": ratios}

# %% [markdown]
# The noise makes the samples nearly as far from the training set as new scans are, and their ratio is more than half of a usual one. With half the bandwidth it is less. So "no alarm" means that the samples are not *much nearer* to single training scans than new data would be. It does not mean that the model generalises: here every sample is a training scan plus noise.

# %% [markdown]
# ## All methods on digits
# The judge looks at what a picture shows. A test that looks for *faults* is closer to a discriminator: trees (`ExtraTreesClassifier`) learn to separate samples from as many held-out scans and are asked about others of both. Real scans of the training set are recognised in about half of the cases, which is chance. `benchmarks/references.py` measured both with eight seeds. Each network had four settings, chosen by TV on seeds 100 to 103, and trains for 2,000 steps, which is short.

# %%
def digit_rows() -> None:
    "The recorded rows on digits."
    for row in kept.get("digits", []):
        told, own = interval(row["recognised"], low=0, high=1), row["authenticity"]
        good = row.get("high_quality", [])
        print(f"{row['setting']:17} recognised {told.mean:.1%}, authenticity "
              f"{sum(own) / len(own):.2f}", f"good {sum(good) / 8:.1%}" if good else "")

digit_rows()

# %%
def on_digits(method: str, measure: str):
    "The interval of a measure on digits."
    return interval(row_of("digits", method)[measure], low=0, high=1) if kept else None

# %%
ours, theirs = (on_digits(method, "high_quality") for method in ("kernel density", gan))
claim("On digits more samples of the GAN with R1 than of a kernel density are good",
      paper="this course", section="2,000 steps", ours=theirs, baseline=ours,
      holds=bool(kept) and theirs.low > ours.high, expect=False)

# %% [markdown]
# The threshold is not reached: the judge calls 94 % of the kernel density's samples good, and 84 % of the GAN's. Of the three networks the GAN has the most good samples, and its shares of the digits are nearest to those of the data. (For the VAE the largest $\sigma$ that was tried was the best, so a still larger one may be better.) The trees recognise the samples of every method in more than 98 % of the cases. So no method passes this test here.
#
# *[Authenticity](../glossary.ipynb)* (chapter [4.2](../4_evidence/02_audit.ipynb)) is the share of samples that are farther from their nearest training scan than that scan is from the others. Held-out scans have 0.53 (it stands in the row *training scans*). The kernel density has 0.38: here its [copying](../glossary.ipynb) shows as a tendency, without an alarm.

# %%
if kept:
    share = {m: on_digits(m, "high_quality") for m in methods}
    assert round(share["kernel density"].mean, 2) == .94 and round(share[gan].mean, 2) == .84
    assert share[gan].low > max(share[m].high for m in ("flow matching", "VAE", "Gaussian mixture"))
    assert on_digits(gan, "kl").high < min(on_digits(m, "kl").low for m in ("flow matching", "VAE"))
    assert all(on_digits(m, "recognised").low > .98 for m in methods)
    assert on_digits("kernel density", "authenticity").high < .4
    assert round(row_of("digits", "training scans")["authenticity"][0], 2) == .53

# %%
def network_digits() -> Picture:
    "Sixteen recorded samples of each network."
    figure, panels = axes(1, 3, size=(2.4, 2.8))
    for ax, method in zip(panels, methods[2:]):
        images = torch.tensor(row_of("digits", method)["pictures"]) / 100
        image_grid(ax, digits().picture(images), 4, method)
    return Picture(figure, "Sixteen digits of flow matching, of the VAE and of the GAN; all show "
                   "digits, and some of each are not readable")

network_digits() if kept else "no record: only the package is installed"

# %% [markdown]
# ## The price of a sample
# A GAN calls its generator once for a sample. A flow calls its network at each step, and the midpoint rule twice.

# %%
flow = Run(FlowMatching(networks=Networks(width=16)), "ring", runs=1, device="cpu").player("G")
calls = []
flow.net.register_forward_hook(lambda *_: calls.append(1))
flow(torch.zeros(1, 5, 2))
assert len(calls) == 2 * FlowMatching().ode_steps == 40
len(calls)

# %% [markdown]
# ## Why a GAN at all?
# What this chapter measured allows a short answer.
#
# 1. **Points with few modes in few dimensions: no GAN.** A mixture or a kernel density has a TV less than a quarter of that of any network, after about a second.

# %%
assert not kept or all(row_of("points", f"{name}: {m}")["seconds"] < 1.5
                       for name in most for m in methods[:2])  # the factor: see above

# %% [markdown]
# 2. **Mode coverage alone is no reason for a GAN on small digits either.** Every method captures all ten digits, and so does uniform noise. The shares of the kernel density are nearest to those of the data, and the judge calls more of its samples good than of any network here.

# %%
nets = methods[2:]
if kept:
    assert all(set(row_of("digits", m)["captured"]) == {10} for m in methods)
    assert row_of("digits", gan)["null"]["captured"] == 10
    assert on_digits("kernel density", "kl").high < min(on_digits(m, "kl").low for m in nets)
    assert on_digits("kernel density", "high_quality").low > max(
        on_digits(m, "high_quality").high for m in nets)

# %% [markdown]
# 3. **But every sample of a kernel density is a training example plus noise.** Trees recognise nearly all of them on digits, as they recognise the samples of every method here. And in 32 dimensions a kernel density and a mixture are far behind the truth. (No network was measured there.)

# %%
assert not kept or on_digits("kernel density", "recognised").low > .99
assert min(mixes[2].low, kernels[2].low) > 2

# %% [markdown]
# 4. **No network is the best in everything.** On the rare modes the flow has the smallest TV and misses no mode. On digits the GAN has the most good samples, and the flow the fewest.

# %%
if kept:
    assert tv_of("rare_modes", "flow matching").high < min(
        tv_of("rare_modes", m).low for m in ("VAE", gan))
    assert on_digits(gan, "high_quality").low > on_digits("VAE", "high_quality").high
    assert on_digits("VAE", "high_quality").low > on_digits("flow matching", "high_quality").high

# %% [markdown]
# 5. **A sample of the GAN costs one call of its network,** one of the flow 40 with the default settings. (On the ring of the section *In your own code* ten are enough.) The VAE needs one call, too.
#
# So nothing that was measured here needs a GAN. What remains is this: among the three networks the GAN has the most good samples on digits, and a sample is one call. A GAN's coverage must be checked, as that of any network. Part 4 is about this check. Large pictures were not measured.

# %% [markdown]
# ## The lab
# The points of flow matching in its own turn are predicted ends $\hat x_1$, and the arrows say where the loss moves them. `Lab("vae", "ring")` shows the codes of the encoder, too. Chapter [1.3](03_lab.ipynb) explains the panel.

# %%
from modelab.lab.panel import Lab

game = FlowMatching(networks=Networks(width=32))
Lab(game, ring(std=.15), batch=64, samples=300).step(steps(300))

# %% [markdown]
# ## In your own code
# The losses need nothing else of this package. You can use any network of $x$ and $t$, and any data.

# %%
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
velocity = lambda x, t: net(torch.cat([x, t[:, None]], 1))
adam, mine = torch.optim.Adam(net.parameters(), 3e-3), ring(std=.1)
for step in range(steps(1000)):
    x1 = mine.sample(256, generator=g)
    x0, t = torch.randn_like(x1), torch.rand(256)
    at = t[:, None]
    adam.zero_grad()
    flow_matching_loss(velocity((1 - at) * x0 + at * x1, t), x0, x1).backward()
    adam.step()

# %%
with torch.no_grad():
    made = {n: integrate_velocity(velocity, torch.randn(2500, 2), n_steps=n) for n in (1, 2, 5, 20)}
good = {2 * n: coverage(v, mine).high_quality for n, v in made.items()}  # by calls of the network
assert fast_mode() or good[2] < good[4] < good[10] - .05 and abs(good[10] - good[40]) < .05
good, coverage(made[20], mine).null.high_quality

# %% [markdown]
# The output is the share of good samples by the number of calls of the network for one sample, and that of uniform noise. Two or four calls are too few. Ten calls are about as good as forty here.
#
# Three mistakes give no error message:
#
# - Noise and data are exchanged. The flow then runs backwards.
# - The whole batch has the same $t$. The loss is right in the mean, but noisy.
# - The VAE's squared error is a mean over the numbers of an example, and not a sum as in the ELBO. KL then weighs $d$ times too much.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.not_a_gan import (grade_flow_loss, grade_kl_term, grade_kl_value,
                                              grade_parameters)

# %% [markdown]
# **1.** (easy, 5 minutes) For one example the encoder says: mean 2 and variance 1, for a latent of one number. How large is the KL term, in nats?
#
# <details><summary>Hint</summary>
#
# Put $\mu=2$ and $s^2=1$ into the closed form.
#
# </details>

# %%
answer = ...
grade_kl_value(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\frac12(\mu^2+s^2-1-\log s^2)=\frac12(4+1-1-0)=2$.
#
# ```python
# answer = 2
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) Write `kl_term(mean, log_variance)` with plain torch: the KL term of each example. Both arguments have the shape `(N, latent)`, and the result has the shape `(N,)`.
#
# <details><summary>Hint</summary>
#
# $s^2$ is the exponential of the log variance. A sum over the latent, and no mean.
#
# </details>

# %%
def kl_term(mean, log_variance):
    ...

answer = kl_term
grade_kl_term(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def kl_term(mean, log_variance):
#     return (mean ** 2 + log_variance.exp() - 1 - log_variance).sum(1) / 2
#
# answer = kl_term
# ```
#
# A mean over the latent would make the term too small by the length of the latent. If the network's output is read as a log *standard deviation*, $s^2$ is $e^{2\cdot\text{output}}$.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `flow_loss(net, noise, real, time)`, the loss of flow matching as one number. `noise` and `real` are `(N, *event)`, points or pictures. `time` is `(N,)`. `net(x, time)` gives the velocity, of the shape of `x`.
#
# <details><summary>Hint</summary>
#
# For pictures `time * real` has the wrong axes: reshape `time` to `(N, 1, 1, 1)`. At $t=0$ the path is at the noise. Sum the squares over an example, and take the mean over the batch.
#
# </details>

# %%
def flow_loss(net, noise, real, time):
    ...

answer = flow_loss
grade_flow_loss(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def flow_loss(net, noise, real, time):
#     at = time.reshape(-1, *[1] * (real.ndim - 1))
#     velocity = net((1 - at) * noise + at * real, time)
#     return (velocity - (real - noise)).square().flatten(1).sum(1).mean()
#
# answer = flow_loss
# ```
#
# The target $x_1-x_0$ is the derivative of the path in $t$. It does not depend on $t$, because the path is straight.
#
# </details>

# %% [markdown]
# **4.** (medium, 10 minutes) BIC counts the free numbers of a mixture. Write `parameters(k, d)`: how many has a mixture of $k$ components with full covariances in $d$ dimensions?
#
# <details><summary>Hint</summary>
#
# The weights sum to one. A covariance is symmetric.
#
# </details>

# %%
def parameters(k, d):
    ...

answer = parameters
grade_parameters(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $k-1$ weights, $kd$ numbers of the centres, and $k\,d(d+1)/2$ of the covariances.
#
# ```python
# def parameters(k, d):
#     return k - 1 + k * d + k * d * (d + 1) // 2
#
# answer = parameters
# ```
#
# In 192 dimensions (three stacked 8×8 digits) one component has 18,720 free numbers.
#
# </details>

# %% [markdown]
# ## Recap
# - A Gaussian mixture is fitted by EM, and BIC chooses the number of components. A kernel density is the training set plus noise, and held-out likelihood chooses how much.
# - A VAE climbs a lower bound of the log density. The bound is lower than that by the KL divergence from the encoder's law to the true law of the latent.
# - Flow matching learns the mean velocity of straight paths from noise to data. At its minimum no mode is missing. Its sampler calls the network many times.
# - On points that come from a mixture of normal laws, a mixture is better than every network of this chapter. This says little about other data.
# - Tune as hard for every method. With unequal tuning another network had the smallest TV on the grid.
# - Before you report a GAN's coverage, put a mixture or a kernel density beside it.
#
# **For later.**
#
# 1. Why is the least loss of flow matching not 0?
# 2. When is the ELBO equal to the log density?
# 3. Why does a copy test not notice the kernel density on digits, although every sample is a training scan plus noise?
# 4. Why must no test data choose the bandwidth?
#
# <details><summary>Answers</summary>
#
# 1. Paths cross. At a crossing the loss is the variance of their velocities, and only their mean can be learned.
# 2. If the encoder's law of $z$ given $x$ is the true one under the decoder.
# 3. The noise makes a sample nearly as far from its training scan as a new scan is from its nearest one (medians 1.94 and 2.06). A test by distances finds samples that are much nearer than new data. These are not.
# 4. The bandwidth is a fitted number. If it is chosen on the test data, their likelihood is too high.
#
# </details>
#
# **References.** D. P. Kingma, M. Welling, *Auto-encoding variational Bayes*, ICLR 2014 (arXiv 1312.6114). Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le, *Flow matching for generative modeling*, ICLR 2023 (arXiv 2210.02747). X. Liu, C. Gong, Q. Liu, *Flow straight and fast: Learning to generate and transfer data with rectified flow*, ICLR 2023 (arXiv 2209.03003). A. P. Dempster, N. M. Laird, D. B. Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, Journal of the Royal Statistical Society B 1977. E. Parzen, *On estimation of a probability density function and mode*, Annals of Mathematical Statistics 1962. G. Schwarz, *Estimating the dimension of a model*, Annals of Statistics 1978 (BIC).

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.not_a_gan
"Graders of chapter 1.7."
import numpy as np
import torch

from modelab.course.exercises import as_number, exercise
from modelab.methods.vae import gaussian_kl

# %%
#| export course.graders.not_a_gan
@exercise(accepts=[2, 2., torch.tensor(2.)], rejects=[1, 4, 0, 2.5, 1.5, 3, .5])
def grade_kl_value(answer):
    assert abs(as_number(answer) - 2) < 1e-6, \
        "is the factor one half there? The logarithm of a variance of 1 is 0"

# %%
#| export course.graders.not_a_gan
def by_closed_form(mean, log_variance):
    "The right answer."
    return (mean ** 2 + log_variance.exp() - 1 - log_variance).sum(1) / 2

# %%
#| export course.graders.not_a_gan
@exercise(accepts=[by_closed_form, gaussian_kl,
                   lambda m, v: -.5 * (1 + v - m.square() - v.exp()).sum(-1)],
          rejects=[lambda m, v: by_closed_form(m, v).mean(), lambda m, v: 2 * by_closed_form(m, v),
                   lambda m, v: by_closed_form(m, 2 * v), lambda m, v: -by_closed_form(m, v),
                   lambda m, v: by_closed_form(m, v) / m.shape[1],
                   lambda m, v: (m ** 2 + v - 1 - v.abs().log()).sum(1) / 2,
                   lambda m, v: by_closed_form(m, v)[:, None],
                   lambda m, v: (m ** 2 + (v / 2).exp() - 1 - v / 2).sum(1) / 2,
                   lambda m, v: (m ** 2 + v.exp() - v).sum(1) / 2])
def grade_kl_term(answer):
    g = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 7, 3, generator=g, dtype=torch.float64)
    found = answer(mean, log_variance)
    assert found.shape == (7,), "one number for each example"
    normal = torch.distributions.Normal
    right = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(torch.zeros_like(mean), 1.)).sum(1)
    assert torch.allclose(found.double(), right), "compare each of the four terms with the formula"

# %%
#| export course.graders.not_a_gan
def straight(net, noise, real, time, at=None, target=1):
    "The right answer; its options make wrong ones."
    at = time.reshape(-1, *[1] * (real.ndim - 1)) if at is None else at
    velocity = net((1 - at) * noise + at * real, time)
    return (velocity - target * (real - noise)).square().flatten(1).sum(1).mean()

# %%
#| export course.graders.not_a_gan
@exercise(accepts=[straight, lambda n, z, x, t: straight(n, z, x, t) * torch.ones(())],
          rejects=[lambda n, z, x, t: straight(n, x, z, t),
                   lambda n, z, x, t: straight(n, z, x, t, target=-1),
                   lambda n, z, x, t: straight(n, z, x, t) / x[0].numel(),
                   lambda n, z, x, t: straight(n, z, x, t, at=t[0]),
                   lambda n, z, x, t: straight(n, z, x, 1 - t),
                   lambda n, z, x, t: straight(n, z, x, t) * len(x),
                   lambda n, z, x, t: straight(n, z, x, t.mean().expand_as(t)),
                   lambda n, z, x, t: (n(z + t.view(-1, *[1] * (x.ndim - 1)) * (x - z), t)
                                       - (x - z)).square().sum(-1).mean(),
                   lambda n, z, x, t: (n(x, t) - (x - z)).square().flatten(1).sum(1).mean()])
def grade_flow_loss(answer):
    g = torch.Generator().manual_seed(1)
    for event in ((2,), (1, 4, 4)):
        noise, real = torch.randn(2, 9, *event, generator=g, dtype=torch.float64)
        time = torch.rand(9, generator=g, dtype=torch.float64)
        net = lambda x, t: x.sin() + t.reshape(-1, *[1] * (x.ndim - 1))
        found = as_number(answer(net, noise, real, time))
        assert abs(found - straight(net, noise, real, time).item()) < 1e-9, \
            f"for examples of shape {event}: where is the path at t = 0, and what is its velocity?"

# %%
#| export course.graders.not_a_gan
def free_numbers(k, d):
    "The right answer."
    return k - 1 + k * d + k * d * (d + 1) // 2

# %%
#| export course.graders.not_a_gan
@exercise(accepts=[free_numbers, lambda k, d: k * (1 + d + d * (d + 1) / 2) - 1],
          rejects=[lambda k, d: k + k * d + k * d * (d + 1) // 2,
                   lambda k, d: k - 1 + k * d + k * d * d, lambda k, d: k - 1 + 2 * k * d,
                   lambda k, d: k * d + k * d * (d + 1) // 2, lambda k, d: 11])
def grade_parameters(answer):
    from sklearn.mixture import GaussianMixture
    for k, d in ((2, 2), (3, 4), (1, 5)):
        rows = np.random.default_rng(0).normal(size=(60, d))
        right = GaussianMixture(k, random_state=0).fit(rows)._n_parameters()
        assert abs(as_number(answer(k, d)) - right) < 1e-6, \
            f"wrong for {k} components in {d} dimensions: weights, centres, covariances?"
