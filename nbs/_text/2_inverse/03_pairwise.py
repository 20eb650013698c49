# %% [markdown]
# # The pair-wise gradient penalty for BiGAN
# > What does a BiGAN gain if the slope of its discriminator must point from each reconstruction to the real point?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | The encoder gives every mode a place in latent space. Why does the generator still miss modes, and which penalty changes that? |
# | **You will be able to** | write the pair-wise gradient penalty, check its sign, axes and scale, add it to any BiGAN, and say what it gains and costs on one ring |
# | **Paper** | Sharma and Namboodiri, *No modes left behind: capturing the data distribution effectively using GANs*, 2018 |
# | **Needs** | [1.4](../1_game/04_wasserstein.ipynb), [2.2](02_bigan.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp methods.pairwise

# %%
#| export
"The pair-wise gradient penalty for BiGAN (Sharma and Namboodiri 2018)."
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from modelab.core.registry import register_game
from modelab.core.seeding import Generators
from modelab.core.signatures import (Batch, checked, Count, Function, NonNegative, Positive,
                                     Shape)
from modelab.losses.penalties import (gradient_norm, input_gradient, leading_axes, per_example,
                                      random_interpolate, sum_over_event)
from modelab.methods.bigan import BiGAN
from modelab.networks.wrappers import refuse_batch_norm
from modelab.training.optimiser import Schedule, as_schedule

# %%
import copy
from types import SimpleNamespace

import torch.nn.functional as F
from torch import nn

from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, Film, MISSING, Picture, REAL, scatter
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.course.diagrams import flow_diagram
from modelab.course.notebooks import patch
from modelab.data.digits import digits
from modelab.data.mixtures import line, mixture, ring
from modelab.evaluation.coverage import coverage
from modelab.lab.panel import Lab
from modelab.methods.pairwise import alignment, pairwise_gradient_penalty, PairwiseBiGAN
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# This chapter shows the failure, builds the penalty, and measures it on one ring. Chapter [2.4](04_pairwise_sets.ipynb) measures it on other sets, for other weights $\lambda$, on pictures, and beside games without an encoder.
#
# ## BiGAN misses modes of a ring
# Eight modes lie on a circle of radius 4, and the latent is one number. The codes should follow one normal distribution, and the encoder spreads the eight modes along it (chapter [2.2](02_bigan.ipynb)). The generator can miss any number of the modes.
#
# The BiGAN below has a stochastic encoder, a discriminator of twice the rate, and rates that fall to a hundredth. Chapter 2.4 compares other settings. (`PairwiseBiGAN` is built below; with weight 0 it is BiGAN.)
#
# **Predict:** of eight seeds, how many show all eight modes at the end?

# %%
data = ring(8, radius=4, std=.04)
rates = Optimiser({"G": 2e-3, "E": 2e-3, "D": 4e-3}, (0., .99), Schedule("cosine", 5000))
regime = dict(stochastic=True, networks=Networks(latent=1, depth=3, width=64), optimiser=rates)

# %% [markdown]
# During the training we record something that BiGAN does not use. Each real $x$ has a code $z=E(x)$, and the generator turns this code into a reconstruction $\hat x=G(z)$. So each real point has a partner, its reconstruction.

# %%
def pairs(run, n: int = 500):
    "Real points, their codes and what the generator makes of the codes; each (runs, n, ·)."
    nets, draw = run.players.nets, run.generators
    x = torch.stack([run.modes.sample(n, generator=g) for g in draw("look")])
    turn = SimpleNamespace(x=x, z=run.noise(n, draw("look", 1)), generator=draw("look", 2), **nets)
    with torch.no_grad():
        z = run.game.encode(turn)
        return x, z, nets["G"](z)

# %%
STOPS = (100, 400, 800, 1500)

def walked(run, total: int) -> list:
    "Pairs on the way, and the slope of D at each partner, (x, z, x̂, slope) at each stop."
    seen = []
    for stop in STOPS:
        x, z, x_hat = pairs(run.step(min(stop, total) - run.steps))
        _, slope = input_gradient(lambda p: run.players.nets["D"](p, z), x_hat, lead=2)
        seen.append((x, z, x_hat, slope.detach()))
    return seen

# %% [markdown]
# Two more measures are used further down: the share of samples that lie far from every mode, and the steepest slope of $G$.

# %%
def beyond(run, times: float) -> list[float]:
    "Share of samples farther from every mode than so many standard deviations, run by run."
    away = torch.cdist(run.sample(2500), data.centers.expand(run.runs, -1, -1)).amin(-1)
    return (away > times * .04).float().mean(1).tolist()

# %%
def steepest(run) -> list[float]:
    "The largest slope of each generator over the bulk of the latents."
    z = torch.linspace(-2.5, 2.5, 4001)[None, :, None].expand(run.runs, -1, -1)
    with torch.no_grad():
        return ((run.players.nets["G"](z).diff(dim=1)).norm(dim=-1).amax(1) / (5 / 4000)).tolist()

# %%
SCORES = {"captured": 8, "high_quality": 1, "tv": 1}  # the largest possible value of each
FILMED = 4  # the seed whose slopes are kept

def trained(weight: float, total: int) -> dict:
    "Train eight seeds; returns what this chapter shows of them."
    run = Run(PairwiseBiGAN(weight=weight, **regime), data, batch=64, device="cpu")
    way = walked(run, total)
    slopes = alignment(run.players.nets["D"], *way[-1][:3])
    far, found = slopes.distance > 1, run.step(total - run.steps).coverage()
    return {name: [getattr(c, name) for c in found] for name in SCORES} | {
        "far": far.float().mean(1),
        "cosine": [slopes.cosine[r][far[r]].nanmean() for r in range(8)],
        "beyond": {f"{times}σ": beyond(run, times) for times in (3, 10)},
        "steepest": steepest(run), "samples": run.sample(200).round(decimals=2),
        "slopes": [[part[FILMED, :60].round(decimals=2) for part in (x, x_hat, slope)]
                   for x, _, x_hat, slope in way]}

# %% [markdown]
# The cells marked with `@experiment` show recorded results and replay their first steps (chapter [0.2](../0_start/02_evidence.ipynb)). Here eight seeds were trained for 5,000 steps.

# %%
@experiment("03_pairwise", early=20)
def plain_bigan(total=5000):
    "BiGAN on the ring."
    return trained(0., total)

plain = plain_bigan()
{name: interval(plain[name], low=0, high=most) for name, most in SCORES.items()}

# %%
def eight_rings(found: dict, alt: str) -> Picture:
    "Samples of eight seeds as crosses, the modes as discs."
    figure, panels = axes(2, 4, size=(1.4, 1.5), sharex=True, sharey=True)
    for r, ax in enumerate(panels.flat):
        scatter(ax, data.centers, limit=5.5, size=70)
        scatter(ax, None, torch.tensor(found["samples"][r]), limit=5.5, size=4)
        ax.set(title=f"seed {r}: {found['captured'][r]:.0f} of 8", xlabel="x₁" if r > 3 else "",
               ylabel="" if r % 4 else "x₂")
    return Picture(figure, alt)

# %%
eight_rings(plain, "Eight BiGANs on a ring, blue discs are the modes; modes captured: "
                   f"{[int(n) for n in plain['captured']]}; most samples lie on modes")

# %% [markdown]
# Most samples are [good](../glossary.ipynb), but modes are missing in seven seeds of eight. The [total variation](../glossary.ipynb) (TV) says that more than half of the samples would have to move. Uniform noise shows about four of the eight modes, but only one sample in 400 is good:

# %%
null = coverage(data.sample(2500, torch.Generator().manual_seed(0)), data).null
round(null.captured, 1), round(null.high_quality, 4)

# %% [markdown]
# Now look at the pairs at step 1,500. Where a mode is missing, a real point and its reconstruction are far apart. The generator is moved along $\nabla_x D$. Does this slope point from the reconstruction to the real point?

# %%
print(f"{sum(plain['far']) / 8:.0%} of the pairs are more than one unit long")
both = torch.tensor([plain["cosine"], plain["captured"]], dtype=torch.float64)
print(f"correlation of cosine and modes over the seeds {both.corrcoef()[0, 1]:.2f}")
if not fast_mode():
    assert sum(c < .4 for c in plain["cosine"]) == 3 and both.corrcoef()[0, 1].abs() < .2
    assert min(c for c, n in zip(plain["cosine"], plain["captured"]) if n < 6) > .5
[round(cosine, 2) for cosine in plain["cosine"]], interval(plain["cosine"], low=-1, high=1)

# %% [markdown]
# The list gives a mean cosine for each seed: the cosine of the angle between the slope of $D$ and the direction from $\hat x$ to $x$. It is taken halfway between the partners, for pairs longer than one unit. It is 1 if the slope points straight to $x$, and 0 if it is unrelated.
#
# In three seeds of eight it is below 0.4. Over the seeds it does not go with the number of modes at the end (a correlation of .06). The seeds with four and five modes have .67, .78 and .55. So it does not explain how many modes are missing. But each pair gives a direction that $D$ could be taught.

# %% [markdown]
# ## The penalty: the slope of D should follow the pair
# The diagram shows what the penalty adds to a BiGAN. (The pairs and losses of BiGAN itself are in the diagram of chapter [2.2](02_bigan.ipynb).) Solid arrows show values, the dashed arrow is a gradient. Two arrows are left out: the code $z$ goes into $D$ as well, and $x$ into the direction $u$.

# %%
#| hide-input
networks = {"encoder E": (1.7, 0), "generator G": (4.4, 0), "discriminator D": (6.9, 1.2)}
values = {"real x": (.2, .6), "code z": (3, 0), "partner x̂": (5.9, 0),
          "point x̃ between\nx and x̂": (4.4, 1.2), "slope of D\nat (x̃, z)": (9, 1.2),
          "direction u\nfrom x̂ to x": (7.5, 0), "penalty": (9, 0)}
arrows = [("real x", "encoder E"), ("encoder E", "code z"), ("code z", "generator G"),
          ("generator G", "partner x̂"), ("real x", "point x̃ between\nx and x̂"),
          ("partner x̂", "point x̃ between\nx and x̂"),
          ("point x̃ between\nx and x̂", "discriminator D"),
          ("discriminator D", "slope of D\nat (x̃, z)"), ("slope of D\nat (x̃, z)", "penalty"),
          ("partner x̂", "direction u\nfrom x̂ to x"), ("direction u\nfrom x̂ to x", "penalty")]
Picture(flow_diagram(networks, values, arrows, [("penalty", "discriminator D", 0)],
                     size=(8.8, 2.6)),
        "A real x goes through E and G and gives its partner x̂. A point between the two goes into "
        "D. The penalty compares the slope of D there with the direction from x̂ to x. Its "
        "gradient goes to D only")

# %% [markdown]
# The penalty acts between $\hat x$ and $x$, with $z=E(x)$ fixed. There the logit $\ell$ of $D$ should rise by one per unit of length, straight towards $x$. $u$ is the unit vector from $\hat x$ to $x$, and $\tilde x$ a random point between them:
#
# $$R(x)=\big\|\nabla_{\tilde x}\,\ell(\tilde x,z)-u\big\|^2,\qquad u=\frac{x-\hat x}{\|x-\hat x\|},\qquad \tilde x=\epsilon x+(1-\epsilon)\hat x,\quad \epsilon\sim U[0,1].$$
#
# The mean of $R$ over the [batch](../glossary.ipynb), times a weight $\lambda$, is added to the loss of $D$ and to nothing else. The smallest code, for points:

# %%
def first_try(D, x, z, x_hat):
    share = torch.rand(len(x), 1, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    at = torch.lerp(x_hat, x, share).detach().requires_grad_()
    slope, = torch.autograd.grad(D(at, z).sum(), at, create_graph=True)
    return (slope - F.normalize(x - x_hat, dim=-1)).square().sum(-1)

# %% [markdown]
# We test it on a discriminator whose slope is known: $\ell=a\cdot x$ has slope $a$ everywhere. The right direction costs 0, a flat $D$ costs 1, the opposite direction costs 4.

# %%
x, z, x_hat = torch.tensor([[3., 0.]]), torch.zeros(1, 1), torch.zeros(1, 2)
costs = [first_try(lambda x, z: s * x[:, 0], x, z, x_hat).item() for s in (1, 0, -1)]
assert costs == [0, 1, 4]
costs

# %% [markdown]
# **The sign follows the labels.** $u$ points to the end where logits should be high, so real must mean high. Some discriminators are trained the other way round: VEEGAN's, and the critic in the authors' code of the Wasserstein GAN. For these pass `lambda x, z: -D(x, z)`. A wrong sign raises no error; $D$ is asked for slopes that lead away from the real points, and few samples are good (measured in chapter [2.4](04_pairwise_sets.ipynb)). The list of costs above tests any implementation.

# %% [markdown]
# ## Three common mistakes
# **The axes.** A published article with code for this penalty takes the norm over the *last axis*. For points that is the whole example. A picture has three axes:

# %%
image = torch.rand(1, 28, 28, 1)
by_last_axis = F.normalize(image, dim=-1)
assert abs(by_last_axis.norm().item() - 28) < 1e-3
by_last_axis.norm().item(), by_last_axis.flatten().unique().tolist()[-1]

# %% [markdown]
# Every pixel became a unit vector of its own, and the penalty asks $D$ for a slope of 28 instead of 1. If two pixels are equal, as in backgrounds, the article's division gives 0/0. Our sum runs over all axes of the example. Our networks say how many axes come before the example. For a network of yours it is one, the batch. (If a first axis counts runs, say `lead=2`.)

# %% [markdown]
# **The scale.** The same article takes the *mean* of squares over the last axis. That is $R/2$ for points in the plane. For a photograph of 128×128×3 numbers that is one vector it is $R/49{,}152$. So the same $\lambda$ is a different penalty on each data set. For a picture with axes it is a map, with one value per pixel. The authors' own code has a third form: the norm *without* the square, with $\lambda=0.1$ on points and $1$ on images. All three forms are zero at the same slope. Away from it their gradients differ. For a slope at distance $r$ from $u$ the gradients are:

# %%
r = torch.linspace(.01, 2, 100, dtype=torch.float64, requires_grad=True)
pull = {
    "squared, λ = 1": torch.autograd.grad(r.square().sum(), r)[0],
    "article's mean in 2-D, λ = 1": r.detach(), "norm, λ = 0.1": torch.full_like(r, .1).detach()
}
figure, ax = axes(size=(4, 2.5))
for (name, force), colour, dash in zip(pull.items(), (REAL, MISSING, FAKE), ("-", "--", ":")):
    ax.plot(r.detach(), force, dash, c=colour, label=name)
ax.set(xlabel="r = ‖slope − u‖", ylabel="gradient of λ times the penalty")
ax.legend()
Picture(
    figure,
    "The gradient of the squared form is 2r, of the article's form r, of the norm form always λ"
)

# %% [markdown]
# At one place, different pairs may ask for different directions. The squared form is lowest at the mean of these directions, the norm form at their (geometric) median. This matters late in training. Once $\hat x$ lies beside $x$, $u$ is a random direction with mean 0. Then *the squared penalty becomes a penalty on the slope itself*, $\mathbb E\|g-u\|^2=\|g\|^2+1$, and a flat $D$ is cheapest:

# %%
g = torch.tensor([.3, -.2], dtype=torch.float64)
u = F.normalize(
    torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    dim=-1)
u = torch.cat([u, -u])
left, right = (g - u).square().sum(-1).mean(), g.square().sum() + 1
assert torch.isclose(left, right)
left.item(), right.item()

# %% [markdown]
# A flat $D$ gives $G$ no gradient, so $G$ cannot make its samples sharper. In the experiments $\lambda$ therefore falls during training. Chapter 2.4 compares values of $\lambda$ at the start.

# %% [markdown]
# **The output.** A slope of one along the pair means $\ell(x)-\ell(\hat x)=\|x-\hat x\|$. A probability cannot rise by five. Give $D$ a sigmoid and the best possible steepness; the lowest cost and that of a logit are:

# %%
x, x_hat = torch.full((2000, 1), 5.), torch.zeros(2000, 1)
cheapest = min(first_try(lambda p, z: (s * (p[:, 0] - 2.5)).sigmoid(), x, None, x_hat).mean().item()
               for s in torch.logspace(-1, 1, 30))
assert cheapest > .5
round(cheapest, 2), first_try(lambda p, z: p[:, 0], x, None, x_hat).mean().item()

# %% [markdown]
# So the penalty acts on logits. **The unit of the data is a setting**, too: pairs should be several units long at the start. The penalty asks the logit to rise by the length of the pair. The ring of this chapter spans ±4. Pictures in [-1, 1] have long distances, even at 8×8 pixels:

# %%
g = torch.Generator().manual_seed(0)
scans = digits().sample(500, generator=g)
torch.cdist(scans.flatten(1), scans.flatten(1)).mean().item()

# %% [markdown]
# ## The code of the penalty
# A pair may have no direction: $x=\hat x$. Let $\delta=x-\hat x$. Dividing by $\max(\|\delta\|,\varepsilon)$ with a tiny $\varepsilon$ gives $u=0$ there and asks for a slope of zero, which is not intended. There are three options. `mask` leaves the pair out (its cost is 0; the default), `zero` is that division, and `smooth` shortens $u$ gradually, to $\delta/\sqrt{\|\delta\|^2+b^2}$ (`blur` is $b$). Batch norm in $D$ is refused: it mixes the examples, so a slope per example would mean nothing.

# %%
#| export
JointDiscriminator = Annotated[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], Function(
    "*runs batch *event, *runs batch *latent -> *runs batch")]  # (x, z) to logits
PairLatents = Annotated[torch.Tensor, Shape("*runs batch *latent")]
PenaltyForm = Literal["squared", "norm"]  # of the miss; "norm" as in the authors' code
DegeneratePairs = Literal["mask", "zero", "smooth"]  # what is asked for where x = x̂

# %% [markdown]
# The next function checks the arguments together: no batch norm, and the same runs and batch in each.

# %%
#| export
def _leading_axes(discriminator: Callable, lead: int | None, **inputs: torch.Tensor) -> int:
    "How many axes come before the event; `ValueError` unless these agree in all inputs."
    refuse_batch_norm("discriminator", discriminator)
    lead = leading_axes(discriminator, lead)
    if len({v.shape[:lead] for v in inputs.values()}) > 1:
        raise ValueError(
            f"{', '.join(inputs)}: expected the same {'runs and ' * (lead > 1)}batch, got "
            f"{' and '.join(str(tuple(v.shape)) for v in inputs.values())}")
    return lead

# %%
error_message(_leading_axes, lambda x, z: x, None, x=torch.zeros(4, 2), z=torch.zeros(5, 3))

# %% [markdown]
# The direction $u$ of each pair runs over all axes of the example. The gap is first divided by its largest entry, so squares neither underflow nor overflow.

# %%
#| export
def _direction(ahead: torch.Tensor, behind: torch.Tensor, lead: int,
               blur: float = 0.) -> tuple[torch.Tensor, torch.Tensor]:
    "Unit vectors from `behind` to `ahead`, and the lengths of the pairs `(*runs, batch)`."
    gap = ahead - behind
    event = [1] * (gap.ndim - lead)
    largest = gap.abs().flatten(lead).amax(-1) if gap.ndim > lead else gap.abs()
    scale = torch.where(largest > 0, largest, 1.)
    scaled = gap / scale.reshape(*scale.shape, *event)
    square = sum_over_event(scaled.square(), scale)
    length = square.add((blur / scale).square()).sqrt()
    unit = scaled / torch.where(length > 0, length, 1.).reshape(*scale.shape, *event)
    return unit, square.sqrt() * scale

# %%
_direction(torch.tensor([[3., 4.], [1e-30, 0.]]), torch.zeros(2, 2), lead=1)

# %% [markdown]
# The *miss* is the gradient of the logit minus the direction $u$. The penalty is its size, squared or not.

# %%
#| export
def _size(miss: torch.Tensor, length: torch.Tensor, form: PenaltyForm,
          degenerate: DegeneratePairs) -> torch.Tensor:
    "The penalty of each pair `(*runs, batch)`, from its miss and its length."
    miss = miss.float() if miss.dtype.itemsize < 4 else miss  # squares of 16 bits underflow
    value = sum_over_event(miss.square(), length) if form == "squared" \
        else gradient_norm(miss, length)
    return torch.where(length == 0, 0., value) if degenerate == "mask" else value

# %% [markdown]
# The penalty itself:

# %%
#| export
@checked
def pairwise_gradient_penalty(discriminator: JointDiscriminator,  # logits, high on real pairs
                              x: Batch,  # real examples, `(*runs, batch, *event)`
                              z: PairLatents,  # their codes E(x), `(*runs, batch, *latent)`
                              x_hat: Batch,  # their reconstructions G(z), shaped as `x`
                              *, form: PenaltyForm = "squared",
                              degenerate: DegeneratePairs = "mask",
                              blur: Positive = .01,  # length at which "smooth" starts to shorten u
                              generator: Generators = None,  # of the points on the segments
                              lead: Count | None = None,  # as for `input_gradient`
                              ) -> torch.Tensor:  # `(*runs, batch)`, neither averaged nor weighted
    """How far the logits' gradient between x̂ and x is from the unit vector from x̂ to x.

    Only the discriminator learns from it. Where real means a *low* logit, pass
    `lambda x, z: -discriminator(x, z)`. After Sharma and Namboodiri 2018.
    >>> x, z, x_hat = torch.tensor([[3., 0.]]), torch.zeros(1, 4), torch.tensor([[1., 0.]])
    >>> pairwise_gradient_penalty(lambda x, z: 2 * x[:, 0], x, z, x_hat)  # twice as steep
    tensor([1.])
    """
    lead, z = _leading_axes(discriminator, lead, x=x, z=z), z.detach()
    logit = lambda at: per_example("discriminator", discriminator(at, z), at.shape[:lead])
    _, slope = input_gradient(logit, random_interpolate(x, x_hat, lead, generator), lead)
    u, length = _direction(x.detach(), x_hat.detach(), lead, blur * (degenerate == "smooth"))
    return _size(slope - u, length, form, degenerate)

# %%
costs = [pairwise_gradient_penalty(lambda x, z: s * x[:, 0], torch.tensor([[3., 0.]]),
                                   torch.zeros(1, 1), torch.zeros(1, 2)).item() for s in (1, 0, -1)]
assert costs == [0, 1, 4]
costs

# %% [markdown]
# **Fidelity.** Does the code equal the equation? Here is a nonlinear discriminator in float64 on pictures of shape (2, 4, 4). The slope is taken by central differences, one pixel at a time.

# %%
def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

weight = normal(34, 5, seed=0) / 5

def smooth_D(x, z):
    return torch.tanh(torch.cat([x.flatten(1), z], -1) @ weight).sum(-1)

# %%
x, x_hat, z = normal(6, 2, 4, 4, seed=1), normal(6, 2, 4, 4, seed=2), normal(6, 2, seed=3)
share = torch.rand(6, 1, 1, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
at = x_hat + share * (x - x_hat)
nudges = 1e-6 * torch.eye(32, dtype=torch.float64).reshape(32, 1, 2, 4, 4)
slope = torch.stack([(smooth_D(at + e, z) - smooth_D(at - e, z)) / 2e-6 for e in nudges],
                    1).reshape(6, 2, 4, 4)

# %%
u = (x - x_hat) / (x - x_hat).flatten(1).norm(dim=1)[:, None, None, None]
R = pairwise_gradient_penalty(smooth_D, x, z, x_hat, generator=torch.Generator().manual_seed(4))
assert torch.allclose(R, (slope - u).square().sum((1, 2, 3)), atol=1e-7)
R.shape, R.mean().item()

# %% [markdown]
# The function returns one value per example; you average and weight. Only $D$ may be trained by it. A gradient through $u$ would move $E$ and $G$ to places where $D$ happens to have the right slope.

# %%
my_E, my_G = mlp(2, 1, 8), mlp(1, 2, 8)
real = torch.randn(16, 2)
code = my_E(real)
weight_D = torch.randn(3, requires_grad=True)
pairwise_gradient_penalty(lambda x, z: torch.cat([x, z], -1).sin() @ weight_D, real, code,
                          my_G(code)).mean().backward()
assert weight_D.grad is not None and all(w.grad is None
                                         for net in (my_E, my_G)
                                         for w in net.parameters())

# %%
error_message(pairwise_gradient_penalty, lambda x, z: x.sigmoid(), real, code, my_G(code))

# %% [markdown]
# There is a second penalty, on the side of the latent. `pairwise_latent_penalty` treats $(G(z),z)$ and $E(G(z))$ in the same way. That pair is the *generated* one, so its logits should fall towards $z$, and the sign is minus. The authors wrote it and left it switched off; so do we.

# %%
#| export
@checked
def pairwise_latent_penalty(discriminator: JointDiscriminator, x_hat: Batch,  # generated, G(z)
                            z: PairLatents,  # the latents they came from
                            z_hat: PairLatents,  # E(G(z)), shaped as `z`
                            *, form: PenaltyForm = "squared", degenerate: DegeneratePairs = "mask",
                            blur: Positive = .01, generator: Generators = None,
                            lead: Count | None = None) -> torch.Tensor:  # `(*runs, batch)`
    """The pair-wise penalty in the latent: logits should *fall* by one per unit from E(G(z)) to z.

    (G(z), z) is the generated pair, hence the sign. Arguments as in `pairwise_gradient_penalty`.
    """
    lead, x_hat = _leading_axes(discriminator, lead, x_hat=x_hat, z=z), x_hat.detach()
    logit = lambda at: per_example("discriminator", discriminator(x_hat, at), at.shape[:lead])
    _, slope = input_gradient(logit, random_interpolate(z, z_hat, lead, generator), lead)
    u, length = _direction(z.detach(), z_hat.detach(), lead, blur * (degenerate == "smooth"))
    return _size(slope + u, length, form, degenerate)

# %%
fall = [
    pairwise_latent_penalty(lambda x, z: s * z[:, 0], torch.zeros(1, 2), torch.full((1, 1), 3.),
                            torch.zeros(1, 1)).item() for s in (1, 0, -1)
]
fall

# %% [markdown]
# `Alignment` measures what the penalty achieved: the slope (1 is asked for), the cosine (1), and the rise of the logit (the distance).

# %%
#| export
@dataclass(frozen=True)
class Alignment:
    "How the logits change along pairs (x̂, x); every field is `(*runs, batch)`."
    slope: torch.Tensor  # norm of the logits' slope halfway between x̂ and x; 1 is asked for
    cosine: torch.Tensor  # between that slope and the direction from x̂ to x; NaN where x = x̂
    rise: torch.Tensor  # logit at x minus logit at x̂; the distance is asked for
    distance: torch.Tensor  # from x̂ to x

# %% [markdown]
# The slope is measured halfway between the partners.

# %%
#| export
@checked
def alignment(discriminator: JointDiscriminator, x: Batch, z: PairLatents, x_hat: Batch,
              lead: Count | None = None) -> Alignment:
    "Gradient, cosine, rise and distance of pairs; arguments as in `pairwise_gradient_penalty`."
    lead = _leading_axes(discriminator, lead, x=x, z=z)
    x, z, x_hat = x.detach(), z.detach(), x_hat.detach()
    logit = lambda at: per_example("discriminator", discriminator(at, z), at.shape[:lead])
    _, slopes = input_gradient(logit, (x + x_hat) / 2, lead)
    unit, distance = _direction(x, x_hat, lead)
    slope = sum_over_event(slopes.square(), distance).sqrt().detach()
    along = sum_over_event(slopes * unit, distance).detach()
    cosine = along / torch.where((slope > 0) & (distance > 0), slope, math.nan)
    with torch.no_grad():
        return Alignment(slope, cosine, logit(x) - logit(x_hat), distance)

# %% [markdown]
# ## The game
# The turns are those of BiGAN; $D$ has one more term in its loss. $\lambda$ falls with the learning rates, along half a cosine. With a `weight_schedule` of its own it may end earlier.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class PairwiseBiGAN(BiGAN):
    """BiGAN with the pair-wise gradient penalty on its discriminator; with weight 0, BiGAN.

    After Sharma and Namboodiri 2018."""
    weight: NonNegative = 1.  # λ; the penalty asks for a gradient of one per unit of the data
    penalty_form: PenaltyForm = "squared"
    weight_schedule: Schedule | None = None  # of λ; None: λ falls as the learning rates do

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weight_schedule = as_schedule("weight_schedule", self.weight_schedule)

    def loss_D(self, t: Any) -> torch.Tensor:
        "The loss of D in BiGAN, and λ times the penalty."
        loss, weight = super().loss_D(t), self.weight_at(t.step)
        if weight == 0:
            return loss
        with torch.no_grad():
            z = self.encode(t)
            x_hat = t.G(z)
        return loss + weight * self.pair_penalty(t.D, t.x, z, x_hat, t.generator).mean(-1)

# %% [markdown]
# The weight at a step:

# %%
#| export
@patch
def weight_at(self: PairwiseBiGAN, step: int) -> float:
    "λ at this step."
    schedule = self.weight_schedule or self.optimiser.schedule
    return self.weight * schedule(step) if schedule else self.weight

# %% [markdown]
# The penalty is a method, so a subclass can put another one in its place.

# %%
#| export
@patch
def pair_penalty(self: PairwiseBiGAN, D: JointDiscriminator, x: torch.Tensor, z: torch.Tensor,
                 x_hat: torch.Tensor, generator: Generators) -> torch.Tensor:
    "The penalty pair by pair, `(runs, batch)`; a subclass may put another one here."
    return pairwise_gradient_penalty(D, x, z, x_hat, form=self.penalty_form,
                                         generator=generator)

# %%
early = Schedule("cosine", 100, floor=0.)
[round(PairwiseBiGAN(weight=2., weight_schedule=early).weight_at(s), 2) for s in (0, 50, 100, 200)]

# %% [markdown]
# Now the same seeds and settings with $\lambda=1$, which falls as the rates do. First the cosines at step 1,500.

# %%
@experiment("03_pairwise", early=20)
def guided_bigan(total=5000):
    "BiGAN with the penalty on the ring."
    return trained(1., total)

guided = guided_bigan()
toward, shown = (interval(found["cosine"], low=-1, high=1) for found in (plain, guided))
higher = [b - a for a, b in zip(plain["cosine"], guided["cosine"])]
assert fast_mode() or interval(higher).low > 0 and sum(d < 0 for d in higher) == 2
print(f"without the penalty {toward:.2f}, with it {shown:.2f}, difference {interval(higher):.2f}")
[round(cosine, 2) for cosine in guided["cosine"]]

# %% [markdown]
# With the penalty the cosine is higher in six seeds of eight and in the mean. The interval of the difference only just excludes 0.
#
# Here are the pairs of the seed on which BiGAN shows the fewest modes. Thin lines join the reconstructions (crosses) to their real points. (Every second recorded pair is drawn; the cosines below are of all.) At each reconstruction the blue arrow is the direction to the real point, and the orange arrow is the slope of $D$. Drag the slider. At step 100 the orange arrows do not follow the blue ones better with the penalty, and at step 800 hardly (the mean cosine is .34, and .33 without it). At step 1,500 they do: .39, and .10 without it. (These cosines are lower than those in the lists, because they are taken at the reconstruction and for pairs of any length.)

# %%
def field(ax, kept):
    "Every second pair as a line; at the partner the direction asked for and the gradient of D."
    x, x_hat, slope = (torch.tensor(part[::2]) for part in kept)
    ax.plot(*torch.stack([x, x_hat]).permute(2, 0, 1), c=MISSING, lw=.3)
    scatter(ax, x, x_hat, limit=5.5)
    for arrows, colour in ((x - x_hat, REAL), (slope, FAKE)):
        ax.quiver(*x_hat.T, *F.normalize(arrows, dim=-1).T, color=colour, width=.006,
                  angles="xy", scale_units="xy", scale=1)

# %%
def mean_cosine(game, stop: int) -> float:
    "Between the way to the real point and the slope of D, at the reconstructions."
    x, x_hat, slope = map(torch.tensor, game["slopes"][stop])
    return F.cosine_similarity(x - x_hat, slope, dim=-1).mean().item()

# %%
def fields(stop: int):
    "Both games at a stop, on the seed on which BiGAN shows fewest modes."
    figure, panels = axes(2, 1, size=(2.7, 2.7), sharex=True, sharey=True)
    told = []
    for ax, game, title in zip(panels, (plain, guided), ("BiGAN", "with the penalty")):
        field(ax, game["slopes"][stop])
        ax.set_title(title)
        told.append(f"{title} {mean_cosine(game, stop):.2f}")
    return Picture(
        figure,
        f"Step {STOPS[stop]}: the way to go in blue, the slope of D in orange; mean cosine "
        f"between them: {', '.join(told)}"
    )

# %%
assert plain["captured"][FILMED] == min(plain["captured"]) or fast_mode()
more = [mean_cosine(guided, i) - mean_cosine(plain, i) for i in range(len(STOPS))]
assert fast_mode() or more[0] < 0 and abs(more[2]) < .03 and more[3] > .2
compass = Film([fields(i) for i in range(len(STOPS))], [f"step {n}" for n in STOPS])
compass

# %%
compass.widget.slider.value = 3
assert compass.widget.image.value == compass.frames[3].png
compass.widget.slider.value = 0

# %% [markdown]
# The end of the training:

# %%
{name: interval(guided[name], low=0, high=most) for name, most in SCORES.items()}

# %%
eight_rings(guided, "With the penalty, blue discs are the modes; modes captured: "
                    f"{[int(n) for n in guided['captured']]}; some samples lie between modes")

# %%
without, within = plain["captured"], guided["captured"]
claim("BiGAN misses modes of a ring that the pair-wise penalty covers on every seed",
      paper="Sharma & Namboodiri 2018", section="toy data", ours=interval(within, low=0, high=8),
      baseline=interval(without, low=0, high=8),
      holds=min(within) == 8 and interval(without, low=0, high=8).high < 8)

# %%
quality = [interval(game["high_quality"], low=0, high=1) for game in (plain, guided)]
assert fast_mode() or quality[1].high < quality[0].low
f"high quality: BiGAN {quality[0]:.3f}, with the penalty {quality[1]:.3f}"

# %% [markdown]
# The price is quality: fewer samples are good. Where do the others lie?
#
# ## Where do the bad samples lie?
# They lie between the modes. Six of ten bad samples are farther than ten standard deviations from every mode:

# %%
assert sum(guided["beyond"]["10σ"]) > .6 * sum(guided["beyond"]["3σ"]) or fast_mode()
{f"beyond {times}": interval(shares, low=0, high=1)
 for times, shares in guided["beyond"].items()}

# %% [markdown]
# $G$ is continuous. Between two modes it must cross a region without data, and every latent that it maps there gives a bad sample. It cannot avoid the gap. With a steep slope it crosses the gap within a short piece of the latent, so few samples are bad.
#
# How good can a map be whose slope is at most $L$? Let $k$ modes with equal shares $m$ lie along a normal latent. Between them are gaps of width $w$ (the distance of two centres less $6\sigma$, with $\sigma$ the standard deviation of a mode). Go along the latent from the left: a mode takes the mass $m$, a crossing takes the length $w/L$, and so on. $b_i$ is the right end of crossing $i$, and $\Phi$ is the distribution function of the normal law. The largest possible $m$ is the one for which the last mode just ends at $\infty$, and $k\,m$ is the [ceiling](../glossary.ipynb) of the share of good samples:
#
# $$b_0=-\infty,\qquad b_{i}=\Phi^{-1}\big(\Phi(b_{i-1})+m\big)+\frac wL,\qquad \Phi(b_{k-1})+m=1.$$

# %%
from statistics import NormalDist
from modelab.evaluation.protocols import within_share
normal_law, gap = NormalDist(), 8 * math.sin(math.pi / 8) - 6 * .04

def crossing_ends(m: float, L: float, k: int = 8) -> list[float]:
    "The right ends b₁ … of the crossings if every mode takes mass m; fewer if it runs out."
    out, mass = [], 0.
    while len(out) < k - 1 and mass + m < 1:
        out.append(normal_law.inv_cdf(mass + m) + gap / L)
        mass = normal_law.cdf(out[-1])
    return out

# %%
def ceiling(L: float, k: int = 8) -> float:
    "The largest share of latents that need not cross anything."
    low, high = 0., 1 / k
    for _ in range(50):
        m = (low + high) / 2
        b = crossing_ends(m, L, k)
        low, high = (m, high) if len(b) == k - 1 and normal_law.cdf(b[-1]) + m <= 1 else (low, m)
    return k * low

{L: round(ceiling(L), 3) for L in (20, 40, 60, 100, 200)}

# %% [markdown]
# The output gives the ceiling for five values of $L$. For nine good samples of ten, the seven crossings need slopes above sixty. **Fidelity.** Build the map of the formula, flat on the modes and as steep as allowed between them, and count:

# %%
b = torch.tensor(crossing_ends(ceiling(40.) / 8, 40.), dtype=torch.float64)
z = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
crossing = ((z > b - gap / 40) & (z < b)).any(1).double().mean().item()
assert abs(1 - crossing - ceiling(40.)) < 2e-3
1 - crossing, ceiling(40.)

# %% [markdown]
# How steep are our generators? The next output is the steepest slope of the eight generators with the penalty. The picture below it has the same game with another generator, from a record: 4 layers of 128 units, twice the rate, and a $\lambda$ that ends at half of the training. Of the points of a mode only a share of .989 lies within $3\sigma$, so the ceiling is multiplied by it.

# %%
interval(guided["steepest"], low=0)

# %%
record, own = recorded("pairwise"), within_share(3, 2)
figure, ax = axes(size=(5, 3.4))
slopes = torch.logspace(1.2, 2.7, 60).tolist()
ax.plot(slopes, [own * ceiling(L) for L in slopes], c=MISSING, label="ceiling, equal shares")
ax.plot(guided["steepest"], guided["high_quality"], "o", c=REAL, ms=4,
        label="G 3×64, above")
for row, colour, mark in zip(record.get("sharp", [])[::-1], (ACCENT, FAKE), "sD"):
    ax.plot(row["steepest"]["by seed"], row["high_quality"]["by seed"], mark, c=colour, ms=4,
            label=row["setting"])
ax.set(xscale="log", xlabel="steepest slope of G", ylabel="high quality", ylim=(.4, 1))
ax.set_xticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
ax.minorticks_off()
ax.legend(fontsize=8)
Picture(
    figure,
    "High quality of eight seeds each against the steepest slope of G, and the ceiling for equal "
    "shares"
)

# %% [markdown]
# The deeper generators, whose rate and $\lambda$ differ too, are steeper and have more good samples. (One BiGAN lies above the ceiling: it shows four modes, and the ceiling holds for eight equal ones.) Which settings give a steeper $G$? One change at a time, two seeds that are used for nothing else, 8,000 steps, all else as above, but $\lambda$ ends at half of the training. Numbers are those of the two seeds:

# %%
def two(row: dict, name: str, digits: int) -> str:
    "A recorded measure of two seeds."
    values = row[name]["by seed"] if name in row else []
    return " and ".join(f"{v:.{digits}f}" for v in values) or "not measured"

for row in record.get("trials", []):
    print(f"{row['setting']:28} modes {two(row, 'captured', 0):8} high quality "
          f"{two(row, 'high_quality', 2):14} steepest slope {two(row, 'steepest', 0)}")

# %% [markdown]
# A wider $G$ is steeper and makes more good samples, and a wider and deeper one most. A higher rate for $G$ helps a little. Averaged weights, a 2-D latent and linear logits show no clear gain on these two seeds. For two modes the ceiling is the same in any number of latent dimensions (Tanielian et al.).
#
# So far all results are about one ring. All but the last picture and the last table are about a generator of 3×64 units. The paper claims more: all modes in all cases. Chapter [2.4](04_pairwise_sets.ipynb) tests this on six sets, on random sets, on a street and on digits.

# %% [markdown]
# ## Under your hands: a mode is added during training
# One number as data, one as latent, five modes. We train on four of them; then the fifth is added. In the plane of $(x,z)$ the real pairs $(x,E(x))$ are spots, one per mode. The generator is a curve. The background is the logit of $D$, dark for *real*. The new spot appears at a place that the curve only crosses on its way from one mode to the next.
#
# **Predict:** will the curve reach the new spot sooner with the penalty?

# %%
five, four = line(5, spacing=2, std=.04), mixture([[-4.], [-2.], [2.], [4.]], .04)

# %%
def joint_game(weight: float):
    "The game on a line, with one number as latent."
    return PairwiseBiGAN(weight=weight, networks=Networks(latent=1, width=32),
                         optimiser=Optimiser(betas=(0., .99)))

# %%
on_four = Run(joint_game(0.), four, runs=4, batch=64, device="cpu").step(steps(600))

def mode_added(weight: float, every: int = 100, frames: int = 6):
    "Add the fifth mode to a copy of the run on four, and yield it at each frame."
    run = copy.deepcopy(on_four)
    run.modes, run.game.weight = five, weight
    for frame in range(frames):
        yield run
        run.step(steps(every, fast=2))

# %%
def plane(run, r: int = 0, side: int = 50):
    "D's logit over (x, z), the real pairs and the generator's curve."
    nets, (x, z, _) = run.players.nets, pairs(run, 300)
    xs, zs = torch.linspace(-6, 6, side), torch.linspace(-3, 3, side)
    points = torch.stack(torch.meshgrid(xs, zs, indexing="xy"), -1).reshape(1, -1,
                                                                            2).expand(4, -1, -1)
    with torch.no_grad():
        logit = nets["D"](points[..., :1], points[..., 1:])[r].reshape(side, side)
        curve = nets["G"](zs[None, :, None].expand(4, -1, 1))[r, :, 0]
    figure, ax = axes(size=(3.4, 2.4))
    shade = ax.imshow(logit, extent=(-6, 6, -3, 3), origin="lower", aspect="auto", cmap="Greys",
                      vmin=-4, vmax=4, alpha=.7, interpolation="nearest")
    ax.scatter(x[r, :, 0], z[r, :, 0], s=6, c=REAL, label="(x, E(x)), real")
    ax.plot(curve, zs, "-x", c=FAKE, ms=3, lw=1, label="(G(z), z), generated")
    ax.set(xlabel="x", ylabel="z", xlim=(-6, 6), ylim=(-3, 3))
    ax.legend(loc="upper left", fontsize=8)
    figure.colorbar(shade, label="logit of D")
    return Picture(figure,
                   f"Step {run.steps}: the generator's curve among the spots of the real pairs")

# %%
def caught(run) -> list[float]:
    "Share of samples within half a unit of the added mode, seed by seed; a fifth is right."
    return [round(v, 2) for v in (run.sample(2500).abs() < .5).float().mean((1, 2)).tolist()]

films, ends = {}, {}
for weight in (0., 1.):
    shots = [(plane(run), f"λ = {weight:g}, {run.steps} steps", caught(run))
             for run in mode_added(weight)]
    films[weight], ends[weight] = Film([s[0] for s in shots], [s[1] for s in shots]), shots[-1][2]
films[1.]

# %%
films[0.]

# %%
films[1.].widget.slider.value = 5
assert films[1.].widget.image.value == films[1.].frames[5].png
films[1.].widget.slider.value = 0
fifth = {weight: sum(.1 < share < .3 for share in shares) for weight, shares in ends.items()}
assert fast_mode() or fifth[1.] <= fifth[0.]
ends

# %% [markdown]
# A fifth of the samples should lie at the new mode. The output lists this share for four seeds, first without the penalty, then with it. **The penalty does not help here: with $\lambda=1$ no more seeds come near a fifth (between .1 and .3) within these 500 steps than without it.** A likely reason: on a line, $D$ can only rise to the left or to the right, and BiGAN can find that direction without pairs. So here the penalty only bounds the slope of $D$. In the plane the direction can be any angle, and there the penalty helped.
#
# With a running kernel you can do this yourself. Below is the lab of [1.3](../1_game/03_lab.ipynb), the penalty on side A and plain BiGAN on side B, with the same data, noise and seed. Each lamp is a mode, and mode 2 is left out of the data so far. (The generators cross its place all the same, so its lamp may be lit.) Press Play, hold Shift and choose the lamp. The mode is in the data again. Take out another one, move $\lambda$ (*weight*), go back.

# %%
lab = Lab(joint_game(1.), line(5, spacing=2, std=.04), joint_game(0.), batch=64, samples=500)
lab.set("without", [2]).step(steps(320))
lab

# %% [markdown]
# The same steps can be written in code. At step 320 mode 2 comes back, and $\lambda$ is raised tenfold on side A. Then the timeline is dragged back to before the change and forward again. The picture is the same, to the bit.

# %%
lab.set("without", []).set("weight", 10., side="A").step(steps(80))
before = lab.frame("A")
assert lab.scrub(lab.last // 2).scrub(lab.last).frame("A") == before
lab.events, {
    side: f"{row['captured']:g} of 5"
    for side, row in lab.history[max(lab.history)].items()
}

# %% [markdown]
# These counts are of one seed, and uniform noise on the line would show all five modes, too. They show how the lab works and not which game is better.

# %% [markdown]
# ## In your own code
# One line in any BiGAN or ALI loop, after the discriminator's loss. Plain modules, your shapes.

# %%
G, E = nn.Linear(2, 3), nn.Linear(3, 2)
D = nn.Sequential(nn.Linear(5, 32), nn.LeakyReLU(.2), nn.Linear(32, 1), nn.Flatten(0))
joint = lambda x, z: D(torch.cat([x, z], -1))
x, z = torch.randn(64, 3), torch.randn(64, 2)
loss_d = F.softplus(-joint(x, E(x).detach())).mean() + F.softplus(joint(G(z).detach(), z)).mean()
loss_d = loss_d + 1. * pairwise_gradient_penalty(joint, x, E(x), G(E(x))).mean()
loss_d.backward()
assert all(w.grad is not None
           for w in D.parameters()) and all(w.grad is None
                                            for w in [*G.parameters(), *E.parameters()])

# %% [markdown]
# Check before you trust a run:
#
# - the cosine of `alignment(...)` on long pairs is higher than in a run without the penalty;
# - the data span several units;
# - $D$ has no batch norm and no sigmoid;
# - $\lambda$ falls at the end.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.pairwise import grade_detector, grade_penalty, grade_weight

# %% [markdown]
# **1.** (easy, 5 minutes) A colleague uses the article's function (the mean of squares over the last axis) on vectors of 10 numbers with weight 1. Which `weight` gives the same training with `pairwise_gradient_penalty`?
#
# <details><summary>Hint</summary>
#
# Write both penalties with the sum of the ten squares.
#
# </details>

# %%
answer = ...
grade_weight(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A mean over ten numbers is their sum divided by ten. Our penalty is the sum, so its weight is a tenth.
#
# ```python
# answer = 1 / 10
# ```
#
# </details>

# %% [markdown]
# **2.** (hard, 25 minutes) Write `answer(D, x, z, x_hat, eps)`: the penalty of each pair, shape `(n,)`, for points *and* pictures. `eps` of shape `(n,)` holds the share of $x$ in $\tilde x$. Only the weights of $D$ may get a gradient. Do not use the library's function. (You may assume $x\ne\hat x$.)
#
# <details><summary>Hint</summary>
#
# `eps` needs as many axes as `x`. `torch.autograd.grad(..., create_graph=True)` gives a slope that can be differentiated. Norms and sums run over all axes but the first. What must be detached?
#
# </details>

# %%
answer = ...
grade_penalty(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(D, x, z, x_hat, eps):
#     x, z, x_hat = x.detach(), z.detach(), x_hat.detach()
#     eps = eps.reshape(-1, *[1] * (x.ndim - 1))
#     at = (eps * x + (1 - eps) * x_hat).requires_grad_()
#     slope, = torch.autograd.grad(D(at, z).sum(), at, create_graph=True)
#     gap = (x - x_hat).flatten(1)
#     u = gap / gap.norm(dim=1, keepdim=True)
#     return (slope.flatten(1) - u).square().sum(1)
# ```
#
# Without `create_graph` the penalty has no gradient in the weights of $D$, and training ignores it. Without `detach` the direction $u$ would also train $E$ and $G$.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `answer(penalty)`: for any penalty function of `(D, x, z, x_hat)`, say whether it asks the logits to rise towards $x$.
#
# <details><summary>Hint</summary>
#
# Try it on two discriminators whose slope you know.
#
# </details>

# %%
answer = ...
grade_detector(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A logit that rises towards $x$ with slope one should be cheaper than one that falls.
#
# ```python
# def answer(penalty):
#     x, z, x_hat = torch.full((4, 1), 3.), torch.zeros(4, 1), torch.zeros(4, 1)
#     up, down = (penalty(lambda x, z: s * x[:, 0], x, z, x_hat).mean() for s in (1, -1))
#     return bool(up < down)
# ```
#
# </details>

# %% [markdown]
# ## Recap
# - The encoder gives each real point a partner, $G(E(x))$. The penalty turns the pair into a direction for $\nabla_x D$. $G$ learns from this slope only.
# - The sign follows the labels, the norm runs over the whole example, and the penalty acts on logits. Only $D$ gets a gradient, and $D$ has no batch norm. The published forms differ in scale: state yours.
# - Late in training the direction is noise and the penalty asks for a flat $D$: let $\lambda$ fall.
# - On a ring, with a generator of 3×64, all eight modes are captured on every seed; BiGAN misses some on seven seeds of eight. The price: fewer samples are good. They lie between the modes, where a continuous $G$ has to cross.
# - Where a mode is added on the line of five, the penalty does not help.
# - Which other sets, and beside which games? Chapter [2.4](04_pairwise_sets.ipynb).
#
# **For later.**
#
# 1. What does the penalty cost if $D$ is flat?
# 2. Why can it not act on probabilities?
# 3. What happens to $u$ when $\hat x\to x$, and what does the squared form become?
#
# <details><summary>Answers</summary>
#
# 1. One for each pair, because $\|0-u\|^2=1$.
# 2. A slope of one along a pair of length five asks for a rise of five. A probability rises by at most one.
# 3. It becomes a random direction with mean zero. The squared form becomes $\|g\|^2+1$, a penalty on the slope itself.
#
# </details>
#
# **References.** S. Sharma, V. Namboodiri, *No modes left behind: capturing the data distribution effectively using GANs*, 2018. J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. V. Dumoulin et al., *Adversarially learned inference*, ICLR 2017. I. Gulrajani et al., *Improved training of Wasserstein GANs*, NeurIPS 2017. A. Srivastava et al., *VEEGAN*, NeurIPS 2017. U. Tanielian, T. Issenhuth, E. Dohmatob, J. Mary, *Learning disconnected manifolds: a no GAN's land*, ICML 2020: the ceiling in any number of dimensions.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.pairwise
"Graders of chapter 2.3."
import functools

import torch

from modelab.course.exercises import as_number, exercise
from modelab.methods.pairwise import pairwise_gradient_penalty

# %%
#| export course.graders.pairwise
@exercise(accepts=[.1, 1 / 10], rejects=[1, 10, .5, .01, 0, 100])
def grade_weight(answer):
    assert abs(as_number(answer) - .1) < 1e-6, \
        "write the mean of ten squares with their sum, and compare the factors"

# %%
#| export course.graders.pairwise
def pair_costs(D, x, z, x_hat, eps, *, sign=1, graph=True, axis=None, root=False, mean=False,
               swap=False, detach="x z x_hat"):
    "The penalty of each pair, and wrong ones by the options."
    given = {"x": x, "z": z, "x_hat": x_hat}
    x, z, x_hat = (v.detach() if name in detach.split() else v for name, v in given.items())
    eps = eps.reshape(-1, *[1] * (x.ndim - 1))
    at = eps * x + (1 - eps) * x_hat if not swap else (1 - eps) * x + eps * x_hat
    at = at if at.requires_grad else at.requires_grad_()
    slope, = torch.autograd.grad(D(at, z).sum(), at, create_graph=graph)
    gap = sign * (x - x_hat)
    u = gap / gap.norm(dim=-1, keepdim=True) if axis else gap / gap.flatten(1).norm(
        dim=1).reshape(eps.shape)
    square = (slope - u).square().flatten(1)
    cost = square.mean(1) if mean else square.sum(1)
    return cost.sqrt() if root else cost

# %%
#| export course.graders.pairwise
PAIR_ERRORS = [functools.partial(pair_costs, **wrong) for wrong in (
    {"sign": -1}, {"graph": False}, {"axis": -1}, {"root": True}, {"mean": True}, {"swap": True},
    {"detach": ""}, {"detach": "x z"}, {"detach": "x x_hat"}, {"detach": "z x_hat"})]

# %%
#| export course.graders.pairwise
def pairs_of(*event):
    "Six pairs of points or pictures, their codes and shares."
    g = torch.Generator().manual_seed(len(event))
    x, x_hat = (torch.randn(6, *event, generator=g, dtype=torch.float64).requires_grad_()
                for _ in range(2))
    z = torch.randn(6, 2, generator=g, dtype=torch.float64).requires_grad_()
    return x, z, x_hat, torch.rand(6, generator=g, dtype=torch.float64)

# %%
#| export course.graders.pairwise
@exercise(accepts=[pair_costs],
          rejects=[*PAIR_ERRORS, lambda *given: pair_costs(*given).mean(),
                   lambda D, x, z, x_hat, eps: pair_costs(D, x, z, x_hat, torch.rand(6).double())])
def grade_penalty(penalty):
    for event in ((3,), (2, 4, 4)):
        x, z, x_hat, eps = pairs_of(*event)
        w = torch.linspace(-1, 1, x[0].numel() + 2, dtype=torch.float64).requires_grad_()
        D = lambda x, z: (torch.cat([x.flatten(1), z], 1).sin() * w).sum(1)
        found, right = penalty(D, x, z, x_hat, eps), pair_costs(D, x, z, x_hat, eps)
        assert found.shape == (6,), "one value for each pair"
        assert torch.allclose(found, right, atol=1e-9), \
            f"wrong values for examples of shape {event}: which axes, which place, which sign?"
        want, = torch.autograd.grad(right.sum(), w)
        got = torch.autograd.grad(found.sum(), [w, x, z, x_hat], allow_unused=True)
        assert got[0] is not None and torch.allclose(got[0], want), "D cannot learn from it"
        assert got[1] is got[2] is got[3] is None, \
            "the real points, their codes or their partners get a gradient, too"

# %%
#| export course.graders.pairwise
def by_cost(penalty):
    "A right answer: a rising logit is cheaper than a falling one."
    x, z, x_hat = torch.full((4, 1), 3.), torch.zeros(4, 1), torch.zeros(4, 1)
    up, down = (penalty(lambda x, z: s * x[:, 0], x, z, x_hat).mean() for s in (1, -1))
    return bool(up < down)

# %%
#| export course.graders.pairwise
def rising_cost(penalty) -> float:
    "What a logit that rises with slope one costs; wrong answers look at it alone."
    x, z, x_hat = torch.full((4, 1), 3.), torch.zeros(4, 1), torch.zeros(4, 1)
    return penalty(lambda x, z: x[:, 0], x, z, x_hat).mean().item()

# %%
#| export course.graders.pairwise
@exercise(accepts=[by_cost], rejects=[lambda p: True, lambda p: False, lambda p: not by_cost(p),
                                      lambda p: p, lambda p: rising_cost(p) < 1,
                                      lambda p: rising_cost(p) == 0])
def grade_detector(answer):
    for scale in 1., .01, 100.:
        for form in "squared", "norm":
            def ours(D, x, z, x_hat):
                return scale * (1 + pairwise_gradient_penalty(D, x, z, x_hat, form=form))
            assert answer(ours) is True, \
                "for the penalty of this chapter the answer is another one, at any scale"
            assert answer(lambda D, x, z, x_hat: ours(D, x_hat, z, x)) is False, \
                "with exchanged ends the answer changes"
