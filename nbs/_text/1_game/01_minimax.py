# %% [markdown]
# # The original GAN (minimax), and why it loses modes
# > Why does a GAN lose modes, although no mode is missing at the optimum of its loss?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Why does a GAN lose modes, although no mode is missing at the optimum of its loss? |
# | **You will be able to** | derive and check the optimal discriminator, derive the divergences that the two generator losses follow, and cause mode collapse on purpose |
# | **Paper** | Goodfellow et al., *Generative adversarial nets*, 2014 |
# | **Needs** | [0.3](../0_start/03_modes.ipynb), [0.4](../0_start/04_coverage.ipynb), [0.5](../0_start/05_networks.ipynb) |
# | **Time** | under a minute of computing |

# %%
#| default_exp methods.minimax

# %%
#| export
"The original GAN (Goodfellow et al. 2014)."
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from modelab.core.registry import register_game
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.networks.layers import score_batches
from modelab.training.game import AdversarialGame

# %%
#| export losses.adversarial
"Adversarial losses of the original GAN: minimax and non-saturating."
from __future__ import annotations

import torch
import torch.nn.functional as F

from modelab.core.signatures import FakeScores, Logits, RealScores, checked

# %%
from modelab.core.plotting import axes, FAKE, Film, image_grid, Picture, REAL, scatter
from modelab.core.seeding import randn
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import mixture, rare_modes, ring
from modelab.evaluation.coverage import coverage, coverage_table, coverages
from modelab.networks.layers import mlp, mlp_generator
from modelab.networks.players import Networks

# %% [markdown]
# ## Eight GANs on data with rare modes
# One mode in the centre holds 90 % of the data. Eight rare modes around it share the rest.

# %%
data = rare_modes()
figure, ax = axes(size=(3, 3))
scatter(ax, data.sample(500, generator=torch.Generator().manual_seed(0)), limit=3, size=12)
Picture(figure, "Five hundred real points: a dense centre, and eight faint clusters on a circle of "
        "radius two")


# %% [markdown]
# **Predict:** we train eight GANs on these data, with eight seeds. How many of the eight rare modes will each of them show?
#
# The loop below is that of chapter [0.1](../0_start/01_first_gan.ipynb) with three changes. The networks have a [run axis](../glossary.ipynb) (chapter 0.5), so one loop trains all
# eight. Adam has the settings $\beta=(0, 0.9)$. And the turn of $G$ draws new latents. The generator's two losses are explained below, under "The loss of a GAN".

# %%
def play(data, steps, saturating=False, latent=2, width=64, d_width=None, batch=128, runs=8):
    "Train `runs` generators side by side with the loop of 2014; returns G and D."
    seeds = [torch.Generator().manual_seed(r) for r in range(runs)]
    G = mlp_generator(latent, data.event, width, runs=runs, generator=seeds)
    D = mlp(data.event, (), d_width or width, runs=runs, generator=seeds)
    adam_G, adam_D = (torch.optim.Adam(net.parameters(), 1e-3, betas=(0., .9), fused=True)
                      for net in (G, D))
    for _ in range(steps):
        x = torch.stack([data.sample(batch, generator=g) for g in seeds])
        fake = G(randn(runs, batch, latent, generator=seeds)).detach()
        loss = F.softplus(-D(x)).mean(-1) + F.softplus(D(fake)).mean(-1)
        adam_D.zero_grad()
        loss.sum().backward()
        adam_D.step()
        logits = D(G(randn(runs, batch, latent, generator=seeds)))
        loss = -F.softplus(logits).mean(-1) if saturating else F.softplus(-logits).mean(-1)
        adam_G.zero_grad()
        loss.sum().backward()
        adam_G.step()
    return G, D


# %%
@torch.no_grad()
def samples(G, n: int, latent: int = 2) -> torch.Tensor:
    "`n` samples of every run."
    return G(randn(G.runs, n, latent, generator=torch.Generator().manual_seed(1)))


# %%
G, D = play(data, steps(2000))
x = samples(G, 2500)


# %%
def rare_seen(x) -> list[int]:
    "How many of the rare modes hold at least one good sample, run by run."
    seen = []
    for points in x:
        mode, good = data.assign(points)
        seen.append(mode[good & (mode > 0)].unique().numel())
    return seen

rare_seen(x)

# %%
assert fast_mode() or sum(rare_seen(x)) == 0

# %%
figure, panels = axes(2, 4, size=(1.9, 1.9), sharex=True, sharey=True)
for r, ax in enumerate(panels.flat):
    scatter(ax, data.centers, size=20)
    scatter(ax, fake=x[r, :300], limit=3, size=4)
    ax.set(title=f"seed {r}", xlabel="", ylabel="")
Picture(figure, f"Eight generators; the rare modes each one shows: {rare_seen(x)}")

# %% [markdown]
# All samples are in the centre, and no seed shows a rare mode. (Blue discs are the centres of the nine modes.) The [high quality](../glossary.ipynb) is nearly that of a perfect generator, so single samples look right. The [coverage](../glossary.ipynb) table compares this with a perfect
# generator ([floor](../glossary.ipynb)) and with noise ([null](../glossary.ipynb)). KL compares with *equal* shares here, so it does not measure the error on these data: even a perfect generator has
# 1.67, and noise has 0.099. Look at the captured modes and at TV.

# %%
coverage_table(coverages(x, data))


# %% [markdown]
# ## The loss of a GAN
# The discriminator $D$ gives each example a logit $\ell$. $\sigma(\ell)=1/(1+e^{-\ell})$ is its estimate of the probability that the example is real. (Claims and records call it the *belief* of $D$.) $D$ maximises
# the value $V$, and $G$ minimises it (a *minimax game*):
#
# $$\min_G\max_D\; V = \mathbb E_x \log\sigma(D(x)) + \mathbb E_z \log\big(1-\sigma(D(G(z)))\big).$$
#
# With $-\log\sigma(\ell)=\operatorname{softplus}(-\ell)$ no logarithm of a small number is needed. The generator can minimise $V$ itself, which is the *saturating*
# loss. Or it can maximise $\log\sigma(D(G(z)))$, which is the *non-saturating* loss. Practice uses the non-saturating loss nearly always.

# %%
#| export losses.adversarial
@checked
def discriminator_loss(real_logits: RealScores, fake_logits: FakeScores) -> torch.Tensor:
    """The discriminator's loss: -log σ(D(x)) - log(1 - σ(D(G(z)))), `(*runs,)`.

    It is minus the value of Goodfellow et al. 2014, eq. 1. Logits are `(*runs, batch)`, or `(N, 1)`
    and `(N, 1, 1, 1)` as many networks answer. They are no probabilities: leave out a sigmoid at
    the end of D.
    """
    return F.softplus(-real_logits).mean(-1) + F.softplus(fake_logits).mean(-1)

# %% [markdown]
# `generator_loss` has both losses of the generator. With `saturating=True` it is the minimax loss:

# %%
#| export losses.adversarial
@checked
def generator_loss(fake_logits: Logits,  # D(G(z)), (*runs, batch)
                   saturating: bool = False,  # True: the minimax game itself
                   ) -> torch.Tensor:  # (*runs,)
    "The generator's loss: -log σ(D(G(z))), or log(1 - σ(D(G(z)))) if `saturating`."
    return -F.softplus(fake_logits).mean(-1) if saturating else F.softplus(-fake_logits).mean(-1)

# %% [markdown]
# **[Fidelity](../glossary.ipynb).** The losses are compared with the formula with logarithms, in float64, and with torch's own cross-entropy:

# %%
g = torch.Generator().manual_seed(0)
real, fake = torch.randn(2, 8, 64, generator=g, dtype=torch.float64)
formula = -(real.sigmoid().log().mean(-1) + (1 - fake.sigmoid()).log().mean(-1))
bce = F.binary_cross_entropy_with_logits
torch_says = torch.stack([bce(r, torch.ones_like(r)) + bce(f, torch.zeros_like(f))
                          for r, f in zip(real, fake)])

# %%
ours = discriminator_loss(real, fake)
assert torch.allclose(ours, formula, atol=1e-14) and torch.allclose(ours, torch_says, atol=1e-14)
assert torch.allclose(generator_loss(fake), -fake.sigmoid().log().mean(-1))
assert torch.allclose(generator_loss(fake, saturating=True), (1 - fake.sigmoid()).log().mean(-1))
tuple(ours.shape)

# %% [markdown]
# ## The optimal discriminator
# Fix $G$. Let $p$ be the density of the data and $q$ that of the generated samples. The integrand of $V$ is $p\log\sigma(\ell)+q\log(1-\sigma(\ell))$. Its derivative in $\ell$ is
# $p-(p+q)\,\sigma(\ell)$. It is zero at the optimal discriminator:
#
# $$D^*(x)=\sigma(\ell^*(x))=\frac{p(x)}{p(x)+q(x)},\qquad \ell^*(x)=\log\frac{p(x)}{q(x)},\qquad V(D^*)=2\,\mathrm{JSD}(p,q)-\log 4.$$
#
# The Jensen–Shannon divergence is $\mathrm{JSD}(p,q)=\frac12\mathrm{KL}(p\|m)+\frac12\mathrm{KL}(q\|m)$ with $m=\frac{p+q}2$. So the logit of the optimal $D$ is the log of a density ratio. Does a trained
# $D$ find it? Test it in one dimension, where we know both densities:

# %%
p = mixture([[-1.], [2.]], [.6, .4], weights=[.7, .3])
q = mixture([[0.]], 1.2)
line = torch.linspace(-4, 4, 801, dtype=torch.float64)[:, None]
log_p, log_q = p.log_prob(line).double(), q.log_prob(line).double()
best = (log_p - log_q).sigmoid()
weight = (log_p.exp() + log_q.exp()) / (log_p.exp() + log_q.exp()).sum()


# %% [markdown]
# The eight discriminators below were trained once and recorded. The cell repeats their first steps, compares them with the record, and shows the recorded result
# (`@experiment`, chapter [0.2](../0_start/02_evidence.ipynb)).

# %%
@experiment("01_minimax")
def density_ratio(total=1500):
    seeds = [torch.Generator().manual_seed(r) for r in range(8)]
    critic = mlp(1, (), 64, runs=8, generator=seeds)
    adam = torch.optim.Adam(critic.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 1500)
    for _ in range(total):
        x, y = (torch.stack([law.sample(512, generator=g) for g in seeds]) for law in (p, q))
        adam.zero_grad()
        discriminator_loss(critic(x), critic(y)).sum().backward()
        adam.step()
        schedule.step()
    found = critic(line.float().expand(8, -1, -1)).detach().sigmoid().double()
    return {"belief": found[:, ::8], "error": ((found - best).abs() * weight).sum(1)}


# %%
found = density_ratio()
figure, ax = axes(size=(4.6, 2.6))
ax.plot(line[::8, 0], torch.tensor(found["belief"]).T, c=FAKE, lw=.7, alpha=.6)
ax.plot(line[:, 0], best, c=REAL, label="p / (p + q)")
ax.set(xlabel="x", ylabel="σ(D(x)), probability of real")
ax.legend()
Picture(figure, "Eight trained discriminators follow p / (p + q) where there are data; "
        "beyond x = 2.5 they leave it")

# %%
errors = interval(found["error"], low=0, high=1)
claim("A trained discriminator is p/(p+q): its belief is off by less than .02 on average",
      paper="Goodfellow et al. 2014", section="Proposition 1", ours=errors,
      holds=errors.high < .02)


# %% [markdown]
# Beyond $x=2.5$ the orange curves leave the optimum. Few examples lie there, so the loss hardly depends on $D$ there. The mean error above is weighted by $p+q$.
#
# **Fidelity.** The value at the optimum, integrated on the line in float64: left from the definition of $V$, right $2\,\mathrm{JSD}-\log4$. (They differ a little, because the line
# ends at ±4. The assertion takes the missing probability into account.)

# %%
def integral(values):
    return torch.trapezoid(values, line[:, 0])

P, Q = log_p.exp(), log_q.exp()
M = ((P + Q) / 2).log()
value = integral(P * best.log() + Q * (1 - best).log())
jsd = integral(P * (log_p - M) + Q * (log_q - M)) / 2

# %%
import math
assert torch.isclose(value, 2 * jsd - math.log(4) * integral((P + Q) / 2), atol=1e-12)
round(value.item(), 4), round((2 * jsd - math.log(4)).item(), 4)

# %% [markdown]
# With an optimal $D$ the value $V$ is a divergence minus a constant, and the saturating loss follows this divergence. It is zero only at $q=p$. There each mode has its right share. So why does training lose modes?

# %% [markdown]
# ## The gradient that the generator receives
# The generator gets information about the data only through the gradient of its loss at *its own samples*, $\frac{\partial L}{\partial\ell}\nabla_x D$. The first factor is
#
# $$\frac{\partial L_{\text{sat}}}{\partial\ell}=-\sigma(\ell),\qquad \frac{\partial L_{\text{ns}}}{\partial\ell}=-(1-\sigma(\ell)).$$
#
# For samples that $D$ recognises as fake ($\ell\ll0$) this factor is nearly 0 in the saturating loss and nearly −1 in the non-saturating loss.

# %%
logit = torch.linspace(-8, 8, 161, dtype=torch.float64, requires_grad=True)
slopes = {name: torch.autograd.grad(len(logit) * generator_loss(logit, saturating=s), logit)[0]
          for name, s in (("saturating", True), ("non-saturating", False))}

# %%
belief = logit.detach().sigmoid()
assert torch.allclose(slopes["saturating"], -belief)
assert torch.allclose(slopes["non-saturating"], belief - 1)
figure, ax = axes(size=(4, 2.4))
for (name, slope), colour, dash in zip(slopes.items(), (FAKE, REAL), ("--", "-")):
    ax.plot(logit.detach(), -slope, dash, c=colour, label=name)
ax.set(xlabel="logit ℓ of a generated sample", ylabel="−∂L/∂ℓ")
ax.legend()
Picture(figure, "For logits far below zero the factor of the saturating loss is 0 and that of the "
        "non-saturating loss is 1")


# %% [markdown]
# Train $D$ alone for 300 steps against an untrained generator, and compare the gradients of both losses in $G$'s weights before and after.
#
# **Predict:** will the gradient of the saturating loss be smaller after the 300 steps than before?

# %%
def gradient_sizes(head_start: int) -> dict[str, float]:
    "Gradient norms in G's weights, and their factors; 8 seeds, after D was trained alone."
    data, seeds = ring(radius=2, std=.02), [torch.Generator().manual_seed(r) for r in range(8)]
    G, D = mlp(2, 2, 64, runs=8, generator=seeds), mlp(2, (), 64, runs=8, generator=seeds)
    adam = torch.optim.Adam(D.parameters(), 1e-3)
    z = randn(8, 256, 2, generator=seeds)
    for _ in range(head_start):
        adam.zero_grad()
        x = torch.stack([data.sample(256, generator=g) for g in seeds])
        discriminator_loss(D(x), D(G(z).detach())).sum().backward()
        adam.step()
    fake, sizes = G(z), {}
    for name, saturating in (("saturating", True), ("non-saturating", False)):
        loss = generator_loss(D(fake), saturating).sum()
        grads = torch.autograd.grad(loss, list(G.parameters()), retain_graph=True)
        sizes[name] = (sum(p.square().sum() for p in grads) / 8).sqrt().item()
    slope, = torch.autograd.grad(D(fake).sum(), fake)
    return sizes | {"mean of σ(ℓ)": D(fake).sigmoid().mean().item(),
                    "mean slope of D": slope.norm(dim=-1).mean().item()}


# %%
before, after = gradient_sizes(0), gradient_sizes(steps(300, fast=300))
growth = {name: after[name] / before[name] for name in before}
{name: f"{before[name]:.3g} before, {after[name]:.3g} after" for name in before}

# %%
assert growth["saturating"] < .2 * growth["non-saturating"] and growth["mean of σ(ℓ)"] < .2
assert 1.5 < growth["saturating"] < 2.5 and growth["mean slope of D"] > 8


# %% [markdown]
# The saturating gradient did *not* become smaller here. Its first factor $\sigma(\ell)$ fell from a mean of 0.49 to 0.03, but the mean slope of $D$, the second factor, is 12 times as large. The gradient in $G$'s weights is about
# twice as large as before. (The two means alone would give a factor of 0.7. But a mean of products is not the product of the means.) The first factor of the non-saturating loss rises from 0.51 to 0.97, and its gradient is 18 times as large as before. The literature says that the saturating gradient *vanishes*. Here it is only small beside that of the other loss.

# %% [markdown]
# ## The divergence of the non-saturating loss
# $2\,\mathrm{JSD}$ belongs to the saturating loss. Which divergence belongs to the non-saturating loss? Take the optimal $D^*$ for the present $q$, keep it fixed, and change the weights $\theta$ of $G$
# a little. Arjovsky and Bottou (2017, Theorem 2.5) show
#
# $$\nabla_\theta\,\mathbb E_{x\sim q_\theta}\big[-\log D^*(x)\big]=\nabla_\theta\big[\mathrm{KL}(q_\theta\|p)-2\,\mathrm{JSD}(p,q_\theta)\big].$$
#
# Proof. Since $\frac{D^*}{1-D^*}=\frac pq$, we have $-\log D^*=\log\frac qp-\log(1-D^*)$. Here $q$ is fixed at the present value.
# The mean of the first term has the gradient of $\mathrm{KL}(q_\theta\|p)$: the derivative of $\log q_\theta$ itself has the mean 0. The mean of $\log(1-D^*)$ is the part of $V$ that depends on $\theta$. $D^*$ is its optimum, so its
# gradient is that of $V(D^*)=2\,\mathrm{JSD}-\log4$. A short calculation joins the two terms into one divergence, which is zero only at $q=p$:
#
# $$\mathrm{KL}(q\|p)-2\,\mathrm{JSD}(p,q)=2\,\mathrm{KL}\big(\tfrac{p+q}2\,\big\|\,p\big).$$
#
# **Fidelity.** On twelve outcomes, with $q_\theta=\operatorname{softmax}(\theta)$, all of this can be computed in float64. The gradients of our two losses are compared with those of the divergences.

# %%
def kl(a, b):
    "KL(a‖b) in nats; a and b are probabilities of the same outcomes."
    return torch.xlogy(a, a / b).sum()

def twice_jsd(a, b):
    "2 JSD(a, b)."
    return kl(a, (a + b) / 2) + kl(b, (a + b) / 2)

# %%
theta = torch.randn(12, generator=g, dtype=torch.float64, requires_grad=True)
data_law = torch.randn(12, generator=g, dtype=torch.float64).softmax(0)
law = theta.softmax(0)
logits = (data_law / law).log().detach().expand(2, 12).T  # of D*; each outcome twice
followed = {True: twice_jsd(data_law, law), False: kl(law, data_law) - twice_jsd(data_law, law)}
for saturating, divergence in followed.items():
    loss = (law * generator_loss(logits, saturating)).sum()  # the mean over G's samples
    ours, theory = (torch.autograd.grad(v, theta, retain_graph=True)[0] for v in (loss, divergence))
    assert torch.allclose(ours, theory, rtol=0, atol=1e-14)
assert torch.isclose(followed[False], 2 * kl((data_law + law) / 2, data_law))
[round(v.item(), 4) for v in followed.values()]

# %% [markdown]
# This holds for an optimal $D$ and for one step of $G$. A trained $D$ is not optimal, so training need not follow these divergences.

# %% [markdown]
# ## Where do the gradients point?
# The second factor is $\nabla_x D$ at $G$'s own samples. The picture shows the discriminator of the first experiment, and minus the gradient of the loss at each sample (the direction in which training moves it).
#
# **Predict:** where does $D$ classify points as real: at the missing modes only, or elsewhere too?

# %%
def push(G, D, r: int, n: int):
    "Samples of run r, and minus the gradient of their loss in x (the arrows)."
    x = samples(G, n).requires_grad_()
    slope, = torch.autograd.grad(F.softplus(-D(x)).sum(), x)
    return x[r].detach(), -slope[r]


# %%
@torch.no_grad()
def surface(D, r: int, limit: float = 3, side: int = 80) -> torch.Tensor:
    "The probability of real that run r's D gives on a square, (side, side)."
    t = torch.linspace(-limit, limit, side)
    square = torch.stack(torch.meshgrid(t, t, indexing="xy"), -1).reshape(-1, 2)
    return D(square.expand(D.runs, -1, -1))[r].sigmoid().reshape(side, side)


# %%
dark = min(range(8), key=lambda r: rare_seen(samples(G, 2500))[r])
points, arrows = push(G, D, dark, 120)
figure, ax = axes(size=(4.2, 3.8))
image = ax.imshow(surface(D, dark), extent=(-3, 3, -3, 3), origin="lower", cmap="Greys",
                  vmin=0, vmax=1, alpha=.7)
ax.quiver(*points.T, *arrows.T, color=FAKE, width=.004)
scatter(ax, data.centers, size=40)
scatter(ax, fake=points, limit=3, size=8)
figure.colorbar(image, label="σ(D(x)), probability of real")
Picture(figure, f"Seed {dark}: D classifies all points outside the centre as real. All generated "
        "samples are in the centre; the arrows do not point at the rare modes")

# %% [markdown]
# $D$ classifies nearly all points outside the centre as real, although there are data only at the rare modes. During training it got hardly any generated points there. So nothing in its loss separates the rare modes
# from the empty gaps between them. The next cell measures two things in all eight runs: $D$ at the rare modes and in the gaps halfway between them, and whether the arrows point at the modes. The rare modes lie at
# multiples of 45°. For an arrow at the angle $\varphi$, $\cos8\varphi$ is 1 if it points at a mode and −1 if it points at a gap. If the arrows do not depend on the modes, the mean is 0.

# %%
half = torch.tensor(math.pi / 8)
turned = torch.tensor([[half.cos(), half.sin()], [-half.sin(), half.cos()]])
rare = data.centers[1:].float()
with torch.no_grad():
    at_modes, in_gaps = (D(where.expand(8, -1, -1)).sigmoid().mean()
                         for where in (rare, rare @ turned))
aligned = []
for r in range(8):
    arrows = push(G, D, r, 2500)[1]
    angle, size = torch.atan2(arrows[:, 1], arrows[:, 0]), arrows.norm(dim=1)
    aligned.append((((8 * angle).cos() * size).sum() / size.sum()).item())
aligned = interval(aligned, low=-1, high=1)
assert fast_mode() or abs(at_modes - in_gaps) < .02 and at_modes > .95
assert fast_mode() or aligned.low < 0 < aligned.high
f"σ(ℓ): {at_modes:.3f} at modes, {in_gaps:.3f} in gaps; mean cos 8φ: {aligned}"

# %% [markdown]
# $D$ gives the gaps the same probability as the missing modes. The mean of $\cos8\varphi$ is not distinguishable from 0. So we find no information about the rare modes in the gradient.
#
# How large is the loss of a generator without the rare modes, if $D$ is optimal? Let $p=0.9\,q+0.1\,r$ with the rare part $r$ where $q=0$:

# %%
p, q = (torch.tensor(v, dtype=torch.float64) for v in ([.9, .1], [1., 0.]))
saturating, nonsaturating = twice_jsd(p, q), 2 * kl((p + q) / 2, p)
excess = .9 * math.log(.9 / 1.9) + math.log(1 / 1.9) + math.log(4)  # V(D*) minus its least value
assert math.isclose(saturating, excess) and saturating / math.log(4) < .06
assert 0 < nonsaturating < saturating and 2 * kl((p + q) / 2, q) == math.inf
[round(v.item(), 4) for v in (saturating, nonsaturating)], round(math.log(4), 4)

# %% [markdown]
# A generator that misses a tenth of the data has a saturating loss that is only 0.072 above the optimum. This is 5 % of the largest possible value $\log4$. For the non-saturating loss it is 0.033.
#
# Now exchange $p$ and $q$: a generator puts a tenth of its samples where there are no data. The divergence of the non-saturating loss is infinite. So under this loss invalid samples cost much more than missing modes. (JSD is symmetric, so under the saturating loss it is 0.072 again.)
#
# So a divergence that is zero only at $q=p$ can be nearly zero while modes are missing. A loss curve does not show the missing modes.

# %% [markdown]
# ## The game as a class
# A method consists of *[players](../glossary.ipynb)* (networks), *turns* (the order in which they are trained), and one loss for each turn. Chapter [1.2](02_training.ipynb) trains it.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Minimax(AdversarialGame):
    "The original GAN of Goodfellow et al. 2014: a generator G and a discriminator D."
    saturating: bool = False  # the minimax loss for G instead of the non-saturating one

    def loss_D(self, t: Any) -> torch.Tensor:
        "One value per run for the discriminator's turn."
        return discriminator_loss(*score_batches(t.D, t.x, t.G(t.z).detach()))

    def loss_G(self, t: Any) -> torch.Tensor:
        "One value per run for the generator's turn."
        return generator_loss(t.D(t.G(t.z)), self.saturating)

# %%
Minimax(), Minimax.turns

# %% [markdown]
# ## Sixteen settings, and modes still missing
# Perhaps other settings find the rare modes. `benchmarks/minimax.py` trains both losses with two [learning rates](../glossary.ipynb), two values of Adam's $\beta_1$ and two latent lengths, eight seeds each. It trains longer than
# this chapter. Its recorded results:

# %%
tuned = recorded("minimax")
here = {"setting": "this chapter", "by seed": rare_seen(samples(G, 2500))}
rows = [*tuned.get("rare_modes", []), here]
for row in rows:
    print(f"{row['setting']:48} rare modes captured, by seed: {row['by seed']}")

# %% [markdown]
# In the best setting two of eight seeds capture 5 and 7 rare modes, and six capture none. We do not know what these two seeds did differently. The best setting is chosen on the seeds that are reported, which favours the GAN.

# %%
best = interval(max(rows, key=lambda row: sum(row["by seed"]))["by seed"], low=0, high=8)
claim("With one 90 % mode, the best of sixteen GAN settings misses half of eight rare modes",
      paper="this course", section="rare_modes", ours=best, baseline="8 (perfect generator)",
      holds=best.high < 4)

# %% [markdown]
# ## On real digits
# Now 1,000 modes of real handwritten digits, three in each picture. In a table of the PacGAN paper (after Metz et al.) the discriminator is made small, and the GAN captures fewer modes. We give $D$ 128 hidden units, then 16, and change nothing else.
#
# **Predict:** how many of 1,000 modes does each generator show in 26,000 samples? A perfect one shows all of them. Random pixels show about 225 (chapter [0.4](../0_start/04_coverage.ipynb)).

# %%
digits = stacked_digits()

@experiment("01_minimax", early=10)
def two_widths(total=800):
    rows = {}
    for width in (128, 16):
        G, D = play(digits, total, latent=64, width=128, d_width=width, batch=64)
        x = samples(G, 65 * total // 2, latent=64)  # 26,000 after the whole training
        scores = coverages(x, digits)
        rows[f"D with {width} units"] = {"captured": [c.captured for c in scores],
                                         "high quality": [c.high_quality for c in scores],
                                         "pictures": x[0, :16].round(decimals=2)}
    perfect = scores[0].floor
    return rows | {"perfect": {"captured": perfect.captured, "high quality": perfect.high_quality}}


# %%
digit_scores = two_widths()
perfect = digit_scores.pop("perfect")
g = torch.Generator().manual_seed(0)
null = coverage(digits.sample(26_000, generator=g), digits).null
noise = {"captured": null.captured, "high quality": null.high_quality}
for name, row in digit_scores.items():
    for measure, most in (("captured", 1000), ("high quality", 1)):
        print(f"{name:16} {measure:12} {interval(row[measure], low=0, high=most)!s:23} "
              f"worst seed {min(row[measure]):.3g}; perfect {perfect[measure]:.4g}, "
              f"noise {noise[measure]:.3g}")

# %%
figure, panels = axes(1, 3, size=(2.8, 3))
g.manual_seed(0)
triples = {"real": digits.sample(16, generator=g),
           **{name: torch.tensor(row["pictures"]) for name, row in digit_scores.items()}}
for ax, (title, images) in zip(panels, triples.items()):
    image_grid(ax, digits.picture(images), 4, title)
Picture(figure, "Real digit triples beside samples of two generators, both less clear; the samples "
        "on the right are alike")

# %%
wide, narrow = (interval(row["captured"], low=0, high=1000) for row in digit_scores.values())
assert fast_mode() or narrow.low < null.captured < narrow.high
claim("A discriminator an eighth as wide loses at least a third of 1,000 digit modes",
      paper="Lin et al. 2018 (PacGAN)", section="Table 3", ours=narrow, baseline=wide,
      holds=narrow.high < .67 * wide.low,
      figure="DCGAN on stacked MNIST: 30.6 modes with D a quarter of G's size")


# %% [markdown]
# `benchmarks/minimax.py` also trains this longer, with other learning rates. *Raw* is $G$ after the last step; *averaged* is a running average of $G$'s weights over the steps. In each of these three settings the narrow $D$ leads to fewer modes than the wide one.

# %%
for row in tuned.get("stacked_digits", []):
    raw, averaged = (row[name]["captured"] for name in ("raw", "averaged"))
    print(f"{row['setting']:40} raw {raw:36} averaged {averaged}")

# %%
mean = {row["setting"]: float(row["raw"]["captured"].split()[0])
        for row in tuned.get("stacked_digits", [])}
assert all(mean[name] > mean[name.replace("D 128", "D 16")] for name in mean if "D 128" in name)

# %% [markdown]
# Read these counts with care. With the narrow $D$, $G$ captures about 190 modes. Random pixels have 226, which lies inside the interval: by this count $G$ cannot be told from noise. Its high quality is lower, too: 6 % against 19 %, and 94 % for a perfect generator. So most samples are not readable digits, and the mode count mixes two
# faults: unreadable pictures and missing modes. The experiment shows that a narrow $D$ makes $G$ worse. It does not show that $G$ makes good pictures of fewer modes.

# %% [markdown]
# ## A slider: at which share of the centre are modes missing?
# At first the centre holds a ninth of the data, like each other mode. Then its share rises.
#
# **Predict:** from which share on does at least one seed miss half of the rare modes? Then move the slider.

# %%
@experiment("01_minimax", early=10)
def shares_of_centre(total=700):
    rows = {}
    for share in (1 / 9, .3, .5, .7, .8, .9):
        x = samples(play(rare_modes(share=share), total)[0], 2500)
        rows[f"{share:.0%}"] = {"seen": rare_seen(x), "points": x[0, :300].round(decimals=2)}
    return rows


# %%
def at_share(share: str, seen: list[int], points: list):
    "A picture of seed 0, and how many rare modes each seed shows."
    figure, ax = axes(size=(3.2, 3.2))
    scatter(ax, data.centers, size=20)
    scatter(ax, fake=torch.tensor(points), limit=3)
    ax.set_title(f"by seed: {' '.join(map(str, seen))}")
    return Picture(figure, f"With {share} in the centre the eight seeds show {seen} of eight "
                   "rare modes")


# %%
levels = shares_of_centre()
missed = {share: sum(seen <= 4 for seen in row["seen"]) for share, row in levels.items()}
film = Film([at_share(share, **row) for share, row in levels.items()],
            [f"centre holds {share}" for share in levels])
print("seeds, of 8, that miss half of the rare modes:", missed)
film

# %%
assert fast_mode() or missed["11%"] == missed["30%"] == missed["50%"] == 0
assert fast_mode() or missed["70%"] == 3 and missed["80%"] == 7

# %%
film.widget.slider.value = 5
assert film.widget.image.value == film.frames[5].png
film.widget.slider.value = 0

# %% [markdown]
# Up to 50 % no seed misses half of the rare modes. At 70 % three of eight seeds do, at 80 % seven.

# %% [markdown]
# ## Mode collapse and recovery in the lab
# Chapter [1.3](03_lab.ipynb) explains the *[lab](../glossary.ipynb)*, an interactive panel for a game. Here we only use it. With a running kernel you can train in the cell below. There are *Play*, single turns, a timeline that goes back, and a button to draw your own data. Each
# mode has a lamp, which is lit while the mode is captured.
#
# One warning: the modes of this ring are wide (std 0.15). Here 300 samples of uniform noise light all eight lamps, as the cell below checks. So a dark lamp shows a missing mode, but eight lit lamps do not show a good generator. Look at the samples too.
#
# In a **[mission](../glossary.ipynb)** you cause a failure or repair one. It reads the record of the lab and ticks off its stages. The first mission trains $G$ alone. If $D$ is fixed, the best $G$ puts all its samples at the point where this $D$ has its highest
# logit.

# %%
wide_ring = ring(std=.15)
assert coverage(wide_ring.sample(300, generator=g), wide_ring).null.captured > 7.9

# %%
from modelab.course.graders.minimax import alone, drown, rescue
from modelab.lab.panel import Lab

# %% [markdown]
# For the other two missions you draw the data. Many points in one place make a heavy mode.

# %%
def table_of(**kw):
    return Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300,
               missions=[alone, drown, rescue], **kw)

lab = table_of().step(steps(200))
lab

# %% [markdown]
# Without a kernel you see a still picture above. The next cell does the first mission in code and shows it as a film (or as a strip of pictures where films do not play). Under the timeline each mode has a row, and a mark shows each change of a setting.

# %%
film = table_of().step(200).step(144, only="G").step(176).recording(18)
film

# %% [markdown]
# ## In your own code
# The losses are functions of logits of shape `(N,)` or `(N, 1)`. They need nothing else of this package.
# If your discriminator ends in a sigmoid, remove it. Its outputs would be taken as logits between 0 and 1. No error can tell you, because such logits are possible, but the loss of a perfect D would stay above 1.

# %%
from torch import nn
my_G = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
my_D = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
x, z = torch.randn(64, 2), torch.randn(64, 2)
loss_d = discriminator_loss(my_D(x), my_D(my_G(z).detach())).mean()
loss_g = generator_loss(my_D(my_G(z))).mean()
loss_d.backward(), loss_g.backward()
assert torch.isfinite(loss_d + loss_g)


# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.minimax import (grade_alone, grade_detector, grade_drown, grade_rescue,
                                            grade_smoothed, grade_step, grade_value)

# %% [markdown]
# **1.** (easy, 5 minutes) The samples have the same density as the data, $p=q$, and the discriminator is the best one. What is the value $V$ of the game?
#
# <details><summary>Hint</summary>
#
# What is $D^*$ at each point? Put it into both terms of $V$.
#
# </details>

# %%
answer = ...
grade_value(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $D^*=p/(p+q)=\frac12$ everywhere. Both terms are $\log\frac12$, so $V=-2\log 2=-\log 4$. This is the smallest value that a generator can reach against the best discriminator, because $\mathrm{JSD}(p\|q)=0$.
#
# ```python
# answer = -math.log(4)
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Salimans et al. (2016) replace the target 1 of real examples by 0.9 (*one-sided label smoothing*). Write `smoothed_loss(real_logits, fake_logits)`, the discriminator's loss with this target, for logits of shape `(N,)`. It must be finite for logits of $\pm200$.
#
# <details><summary>Hint</summary>
#
# Cross-entropy with a target $t$ is $-t\log\sigma(\ell)-(1-t)\log(1-\sigma(\ell))$. Which function of $\ell$ is $-\log(1-\sigma(\ell))$?
#
# </details>

# %%
def smoothed_loss(real_logits, fake_logits):
    ...

answer = smoothed_loss
grade_smoothed(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $-\log\sigma(\ell)=\operatorname{softplus}(-\ell)$ and $-\log(1-\sigma(\ell))=\operatorname{softplus}(\ell)$. Generated examples keep the target 0.
#
# ```python
# def smoothed_loss(real_logits, fake_logits):
#     real = .9 * F.softplus(-real_logits) + .1 * F.softplus(real_logits)
#     return real.mean(-1) + F.softplus(fake_logits).mean(-1)
#
# answer = smoothed_loss
# ```
#
# The best discriminator is now $0.9\,p/(p+q)$. It is never above 0.9, so a large logit on real data costs something. The extra term $0.1\,\operatorname{softplus}(\ell)$ is easy to forget.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Some libraries call cross-entropy with *real* labels the "minimax" loss of the generator. Write `is_saturating(loss)`. It takes a generator loss, which is a function of logits, and tells from its gradient whether it is the minimax loss.
#
# <details><summary>Hint</summary>
#
# The two losses differ most at a very negative logit. `torch.autograd.grad` gives the gradient there.
#
# </details>

# %%
def is_saturating(loss):
    ...

answer = is_saturating
grade_detector(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def is_saturating(loss):
#     far = torch.tensor([-8.], requires_grad=True)
#     slope, = torch.autograd.grad(loss(far).sum(), far)
#     return slope.abs().item() < .5
#
# answer = is_saturating
# ```
#
# At $\ell=-8$ the minimax loss has the gradient $-\sigma(-8)\approx-0.0003$. The non-saturating loss, which is cross-entropy with real labels, has $-(1-\sigma(-8))\approx-1$. The value of a loss does not tell them apart: a constant or a sign may be different.
#
# </details>

# %% [markdown]
# **4.** (hard, 25 minutes) Write `train_step(G, D, adam_G, adam_D, x, z)`: one turn of $D$ and then one turn of $G$, with the non-saturating loss. Both turns use the same latents `z`, and each turn moves one network only.
#
# <details><summary>Hint</summary>
#
# Each turn has three lines: clear the gradients, backward, step. The turn of $G$ needs the discriminator *after* its step. Use `.mean()` of a loss before `backward`.
#
# </details>

# %%
def train_step(G, D, adam_G, adam_D, x, z):
    ...

answer = train_step
grade_step(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def train_step(G, D, adam_G, adam_D, x, z):
#     adam_D.zero_grad()
#     discriminator_loss(D(x), D(G(z).detach())).mean().backward()
#     adam_D.step()
#     adam_G.zero_grad()
#     generator_loss(D(G(z))).mean().backward()
#     adam_G.step()
#
# answer = train_step
# ```
#
# `detach` saves the backward pass through $G$ in the first turn. The second `backward` also leaves gradients in $D$. They do no harm, because the next call clears them before the discriminator's step.
#
# </details>

# %% [markdown]
# **5.** (medium, 10 minutes) The first mission of the lab: train $G$ alone until three modes are missing, then recover all modes. Change only the turns. When the lab has ticked all stages, hand in `lab.recording()`.
#
# <details><summary>Hint</summary>
#
# Train both players first, until all modes are captured. Then choose *G only* for 100 steps or more, and then both players again.
#
# </details>

# %%
answer = ...
grade_alone(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The same in code. `only="G"` trains the generator alone.
#
# ```python
# lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300)
# answer = lab.step(200).step(144, only="G").step(176).recording(18)
# ```
#
# A fixed $D$ has its highest logit at some point. The generator moves all samples there. When $D$ is trained again, it lowers its logit at this point, and the samples spread.
#
# </details>

# %% [markdown]
# **6.** (medium, 10 minutes) The second mission: draw data in which one mode has half of the points or more, and train until three other modes are missing. Hand in the recording.
#
# <details><summary>Hint</summary>
#
# Draw five modes or more. Click many times on one of them. Then train for 300 steps or more.
#
# </details>

# %%
answer = ...
grade_drown(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# cross = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]
# lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300)
# answer = lab.draw(cross + [[0, 0]] * 36).step(480).recording(2)
# ```
#
# The mode in the middle has 37 of 41 points. The four others together cost little of the loss, as in the first section of this chapter.
#
# </details>

# %% [markdown]
# **7.** (easy, 10 minutes) The third mission: draw five modes or more, none with twice its equal share, and train until all are captured. (Use the places of exercise 6, to compare. The grader cannot check the places.)
#
# <details><summary>Hint</summary>
#
# Click the same number of times on each place.
#
# </details>

# %%
answer = ...
grade_rescue(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# cross = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]
# lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300)
# answer = lab.draw(cross).step(480).recording(2)
# ```
#
# The places are the same as before, and so is the number of steps. Only the shares of the modes are different.
#
# </details>

# %% [markdown]
# ## Recap
# - The logit of the optimal discriminator is the log of a density ratio.
# - With an optimal $D$ the saturating loss follows $2\,\mathrm{JSD}(p,q)$ and the non-saturating loss $\mathrm{KL}(q\|p)-2\,\mathrm{JSD}(p,q)$. Both are zero only at $q=p$. Both are small if only rare modes are missing, so count the modes.
# - The generator gets information about the data only through the gradient of $D$ at its own samples. On the rare modes $D$ had the same value as in the gaps between them, and the gradient did not point at the modes.
# - If $G$ is trained alone, its samples collapse. They recover when $D$ is trained again.
# - A narrow $D$ made the generator of digits worse, in mode count and in quality.
#
# **For later.**
#
# 1. Where is $\nabla_x D$ evaluated in the generator's turn?
# 2. What is $D^*$ where $q=0<p$?
# 3. Which error costs more under the non-saturating loss, a missing mode or invalid samples?
#
# <details><summary>Answers</summary>
#
# 1. At the generator's own samples $G(z)$. The data influence it only through the weights of $D$.
# 2. It is 1, and the logit is $+\infty$. No sample is there, so this logit gives the generator no gradient.
# 3. Invalid samples, if $D$ is optimal. The loss follows $2\,\mathrm{KL}(\frac{p+q}2\|p)$. It is infinite if samples lie where $p=0$, and small if only a small part of the data is missing.
#
# </details>
#
# **References.** I. Goodfellow et al., *Generative adversarial nets*, NeurIPS 2014. M. Arjovsky, L. Bottou, *Towards principled methods for training generative adversarial networks*, ICLR 2017. Z. Lin, A. Khetan, G. Fanti, S. Oh, *PacGAN*, NeurIPS 2018. L. Metz et al., *Unrolled generative adversarial networks*, ICLR 2017. T. Salimans et al., *Improved techniques for training GANs*, NeurIPS 2016.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.minimax
"Graders and missions of chapter 1.1."
import copy
import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from modelab.course.exercises import as_number, exercise, mission
from modelab.data.mixtures import ring
from modelab.lab.panel import Lab
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %%
#| export course.graders.minimax
@exercise(accepts=[-math.log(4), -1.3863], rejects=[0, math.log(4), -math.log(2), 1, .5, -.6931])
def grade_value(answer):
    assert abs(as_number(answer) + math.log(4)) < 1e-3, \
        "what is the best D where p = q? Put it into both terms of V (natural logarithm)"

# %%
#| export course.graders.minimax
def smoothed(real, fake, t=.9, fake_t=0., lost=0.):
    "Cross-entropy with targets; `lost` is the share of the second real term that is forgotten."
    real = t * F.softplus(-real) + (1 - t) * (1 - lost) * F.softplus(real)
    return (real + fake_t * F.softplus(-fake) + (1 - fake_t) * F.softplus(fake)).mean(-1)

# %%
#| export course.graders.minimax
def by_logarithms(real, fake):
    "A wrong answer: the formula with its logarithms, infinite at large logits."
    p, q = real.sigmoid(), fake.sigmoid()
    return -(.9 * p.log() + .1 * (1 - p).log()).mean() - (1 - q).log().mean()

# %%
#| export course.graders.minimax
def by_cross_entropy(real, fake):
    "A right answer: with the function of torch."
    bce = F.binary_cross_entropy_with_logits
    return bce(real, torch.full_like(real, .9)) + bce(fake, torch.zeros_like(fake))

# %%
#| export course.graders.minimax
@exercise(accepts=[smoothed, by_cross_entropy],
          rejects=[by_logarithms, discriminator_loss, lambda r, f: smoothed(r, f, lost=1.),
                   lambda r, f: smoothed(r, f, fake_t=.1), lambda r, f: smoothed(f, r),
                   lambda r, f: smoothed(r, f, t=.1), lambda r, f: len(r) * smoothed(r, f),
                   lambda r, f: smoothed(r, f) / 2, lambda r, f: -smoothed(r, f)])
def grade_smoothed(loss):
    real, fake = torch.linspace(-3, 5, 7), torch.linspace(-6, 2, 7)
    found = loss(real, fake)
    assert torch.is_tensor(found) and found.numel() == 1, "one number for logits of shape (N,)"
    none = torch.full((7,), -40.)  # a generated example that costs nothing
    assert torch.allclose(loss(real, none).squeeze(), smoothed(real, none), atol=1e-5), \
        "on real examples the target 0.9 makes two terms; then take the mean"
    assert torch.allclose(found.squeeze(), smoothed(real, fake), atol=1e-5), \
        "generated examples keep the target 0"
    far = torch.tensor([-200., 200.])
    assert torch.allclose(loss(far, far).squeeze(), smoothed(far, far)), \
        "at logits of 200 the loss is infinite or wrong: avoid the logarithm of a small number"

# %%
#| export course.graders.minimax
def by_gradient(loss):
    "A right answer: the gradient at a very negative logit."
    far = torch.tensor([-8.], requires_grad=True)
    return torch.autograd.grad(loss(far).sum(), far)[0].abs().item() < .5

# %%
#| export course.graders.minimax
@exercise(accepts=[by_gradient],
          rejects=[lambda loss: True, lambda loss: False, lambda loss: not by_gradient(loss),
                   lambda loss: loss(torch.tensor([-8.])).item() < .5,
                   lambda loss: loss(torch.zeros(1)).item() < 0])
def grade_detector(is_saturating):
    for shift in (0., 1., 20.):
        assert is_saturating(lambda logits: generator_loss(logits, saturating=True) + shift), \
            "the minimax loss, maybe with a constant added, was not recognised"
        assert not is_saturating(lambda logits: F.softplus(-logits).mean() - shift), \
            "cross-entropy with real labels, maybe with a constant added, was taken for minimax"

# %%
#| export course.graders.minimax
def one_step(G, D, adam_G, adam_D, x, z, saturating=False, clear=True, first="D"):
    "The right answer, and wrong ones by its options."
    for player in (first, "G" if first == "D" else "D"):
        adam = adam_D if player == "D" else adam_G
        if clear:
            adam.zero_grad()
        loss = (discriminator_loss(D(x), D(G(z).detach())) if player == "D"
                else generator_loss(D(G(z)), saturating))
        loss.mean().backward()
        adam.step()

# %%
#| export course.graders.minimax
def both_at_once(G, D, adam_G, adam_D, x, z):
    "A wrong answer: the generator's gradient is that of the discriminator before its step."
    adam_G.zero_grad()
    generator_loss(D(G(z))).mean().backward()
    adam_D.zero_grad()
    discriminator_loss(D(x), D(G(z).detach())).mean().backward()
    adam_D.step()
    adam_G.step()

# %%
#| export course.graders.minimax
def moved(step, turns):
    "The weights of both networks after some calls of a training step, in float64."
    g = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 16, 2, generator=g, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets = [nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
                for outputs in (2, 1)]
    adams = [torch.optim.Adam(net.parameters(), 1e-2, betas=(0., .9)) for net in nets]
    for _ in range(turns):
        step(*nets, *adams, x + 2, z)
    return [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets]

# %%
#| export course.graders.minimax
@exercise(accepts=[one_step],
          rejects=[both_at_once, *(functools.partial(one_step, **wrong) for wrong in (
              {"saturating": True}, {"clear": False}, {"first": "G"})), lambda *given: None,
                   lambda G, D, a, b, x, z: one_step(G, D, a, b, z, x),
                   lambda G, D, a, b, x, z: one_step(G, copy.deepcopy(D), a, b, x, z)])
def grade_step(train_step):
    (G, D), (right_G, right_D) = moved(train_step, 1), moved(one_step, 1)
    assert torch.allclose(D, right_D), "after one call D is wrong: its loss, its step, or the order"
    assert torch.allclose(G, right_G), "D is right, and G is not: its loss, or which D it is given"
    (G, D), (right_G, right_D) = moved(train_step, 2), moved(one_step, 2)
    assert torch.allclose(D, right_D) and torch.allclose(G, right_G), \
        "the first call is right, and the second is not: which gradients are still there?"

# %%
#| export course.graders.minimax
@mission("all modes were lit", "three of them were dark at once",
         "nothing but the turns was changed", "all are lit again at the end")
def alone(record):
    "Train G alone until three modes are dark; then light them again. Change only the turns."
    lit, count = list(record.captured().values()), record.scene["modes"]
    full = [i for i, modes in enumerate(lit) if len(modes) == count]
    yield full
    yield any(len(modes) <= count - 3 for modes in lit[full[0]:])
    yield {event.name for event in record.events} == {"turns"}
    yield len(lit[-1]) == count

# %%
#| export course.graders.minimax
@mission("at least five modes, one of them with half of the data or more",
         "after 300 steps three light modes are dark")
def drown(record):
    "Draw data with a heavy mode, so that the light ones are lost."
    weights = record.scene["weights"]
    yield len(weights) >= 5 and max(weights) >= .5
    heavy = weights.index(max(weights))
    yield max(record.rows) >= 300 and len(record.missing()[-1] - {heavy}) >= 3

# %%
#| export course.graders.minimax
@mission("five or more modes that you drew, none with twice an equal share",
         "after 300 steps all of them are lit")
def rescue(record):
    "Draw five modes or more, none of them heavy, and light them all."
    weights = record.scene["weights"]
    drawn = "mixture" in record.scene["title"]
    yield drawn and len(weights) >= 5 and max(weights) * len(weights) < 2
    yield max(record.rows) >= 300 and not record.missing()[-1]

# %%
#| export course.graders.minimax
@functools.cache
def played(kind: str, seed: int = 0):
    "A recording of a lab; it takes seconds, so it is made when a grader is proven."
    lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300, seed=seed)
    cross = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]
    if kind == "alone":
        return lab.step(200).step(144, only="G").step(176).recording(18)
    if kind in ("heavy", "fair", "short"):
        lab.draw(cross + [[0, 0]] * 36 * (kind == "heavy"))
    steps = {"heavy": 480, "fair": 480, "short": 16, "never": 320, "early": 64}
    return lab.step(steps[kind]).recording(2)

# %%
#| export course.graders.minimax
grade_alone = exercise(accepts=lambda: [played("alone")],
                       rejects=lambda: [played("never"), played("early", seed=1), None])(alone)
grade_drown = exercise(accepts=lambda: [played("heavy")],
                       rejects=lambda: [played("fair"), played("alone"), None])(drown)
grade_rescue = exercise(accepts=lambda: [played("fair")],
                        rejects=lambda: [played("heavy"), played("short"), played("never"),
                                         None])(rescue)
