# %% [markdown]
# # The relativistic GAN and R3GAN: paired logits with R1 and R2
# > What does a discriminator learn if it compares each generated example with a real one?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What does a discriminator learn if it compares each generated example with a real one? |
# | **You will be able to** | write the loss of R3GAN with both penalties, check each part against its equation, and say what pairing of logits promises and what it does not |
# | **Paper** | Jolicoeur-Martineau, *The relativistic discriminator*, 2018; Sun, Fang, Schwing, *Towards a better global loss landscape of GANs*, 2020; Huang et al., *The GAN is dead; long live the GAN! A modern GAN baseline*, 2024 |
# | **Needs** | [0.2](../0_start/02_evidence.ipynb), [0.4](../0_start/04_coverage.ipynb), [1.1](01_minimax.ipynb), [1.2](02_training.ipynb), [1.4](04_wasserstein.ipynb) |
# | **Time** | under a minute of computing |

# %%
#| default_exp methods.relativistic

# %%
#| export
"The relativistic pairing GAN with R1 and R2, the loss of R3GAN."
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from modelab.core.registry import register_game
from modelab.core.signatures import Logits, NonNegative, Share, checked
from modelab.losses.penalties import r1, r2
from modelab.networks.layers import score_batches
from modelab.training.game import AdversarialGame

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import axes, FAKE, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, recorded, steps
from modelab.data.mixtures import ring
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# ## A penalty brings back a part of the rare modes
# In chapter [1.4](04_wasserstein.ipynb) the GAN with R1 captured nearly all rare modes in 5,000 steps (10,000 updates of $D$ and $G$ together). Here a training has 1,500 steps. The mode in the centre holds 60 % of the data, each of eight rare modes on a circle 5 %, and all have a standard deviation of 0.1.
#
# A mode is *held* here if [good samples](../glossary.ipynb) of it are at least a quarter of its share of the data. Captured modes would mislead: uniform noise captures all nine by chance, and holds none.
#
# `benchmarks/relativistic.py` trained the original loss with R1 and R2: four pairs of penalty weights on seeds 100 to 103, then the best pair on seeds 0 to 7.
#
# **Predict:** how many of the nine modes does each seed hold?

# %%
kept = recorded("relativistic")
tuning, result = (kept.get("rare", {}).get(part, {}) for part in ("tuning", "result"))

def shown(row: dict) -> str:
    "Held modes seed by seed, with the worst seed, and the mean TV and share of good samples."
    quality, tv = (sum(row[k]) / len(row["held"]) for k in ("high_quality", "tv"))
    return (f"held {row['held']}, worst {min(row['held'])} of 9; TV {tv:.2f}; "
            f"high quality {quality:.0%}; noise holds {row['companions']['null']['held']}")

# %%
shown(result["standard"]) if kept else "no record: only the package is installed"

# %% [markdown]
# The seeds hold between six and nine modes, so rare modes are found. But much is missing. The samples of the rare modes cover 31 % of their share of the data, and a third of all samples is not good. Even so, TV is 0.30. A generator that makes the centre and nothing else has TV 0.40.

# %%
if kept:
    failed = result["standard"]
    assert (min(failed["held"]), max(failed["held"])) == (6, 9)
    null = failed["companions"]["null"]
    assert (null["held"], null["captured"]) == (0, 9)
    assert abs(sum(failed["rare"]) / 8 - .31) < .005 and abs(sum(failed["tv"]) / 8 - .30) < .005
    assert .65 < sum(failed["high_quality"]) / 8 < .70

# %% [markdown]
# ## Compare pairs
# The discriminator of chapter 1.1 gives each example a logit, and its loss is a sum over real and generated examples. Nothing in that sum compares the two. Jolicoeur-Martineau (2018) puts the *difference* of two logits into the same function. Real and generated examples are paired by their position in the batch:
#
# $$L_D=\mathbb E_{x,z}\operatorname{softplus}\big(-(D(x)-D(G(z)))\big),\qquad L_G=\mathbb E_{x,z}\operatorname{softplus}\big(-(D(G(z))-D(x))\big).$$
#
# $\sigma(D(x)-D(G(z)))$ is the estimated probability that the first of the two is the real one. If a constant is added to all logits, both losses stay the same. $L_G$ needs real examples, too.

# %%
#| export
@checked
def relativistic_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> torch.Tensor:
    """What D descends: E softplus(-(D(x) - D(G(z)))), `(*runs,)`.

    Both logits are `(*runs, batch)`, or `(N, 1)` as many networks answer; example i of one is
    paired with example i of the other (Jolicoeur-Martineau 2018, the loss RSGAN). `ValueError` if
    the sizes differ.

    >>> relativistic_discriminator_loss(torch.zeros(3), torch.zeros(3)).item()  # log 2
    0.6931471824645996
    """
    return F.softplus(-(real_logits - fake_logits)).mean(-1)

# %% [markdown]
# The generator's loss is the same with the two logits exchanged. It is a loss of the non-saturating kind: it has a gradient where $D$ is sure.

# %%
#| export
@checked
def relativistic_generator_loss(real_logits: Logits,  # D(x), (*runs, batch)
                                fake_logits: Logits,  # D(G(z)), paired by position
                                ) -> torch.Tensor:  # (*runs,)
    """What G descends: E softplus(-(D(G(z)) - D(x))) (Huang et al. 2024).

    It does not freeze D: in G's turn, move the weights of G only. `ValueError` if the sizes differ.
    """
    return F.softplus(-(fake_logits - real_logits)).mean(-1)

# %% [markdown]
# **Fidelity.** The loss by hand, with a logarithm, in float64. Its gradient in a logit is $\mp\sigma(-(D(x)-D(G(z))))/n$; it is compared with a central difference, too:

# %%
g = torch.Generator().manual_seed(0)
real, fake = torch.randn(2, 3, 16, generator=g, dtype=torch.float64)
by_hand = -(real - fake).sigmoid().log().mean(-1)
assert torch.allclose(relativistic_discriminator_loss(real, fake), by_hand, rtol=0, atol=1e-14)

# %%
assert torch.equal(relativistic_generator_loss(real, fake),
                   relativistic_discriminator_loss(fake, real))
assert torch.allclose(relativistic_discriminator_loss(real + 5, fake + 5), by_hand)

# %%
real.requires_grad_(), fake.requires_grad_()
slope, other = torch.autograd.grad(relativistic_discriminator_loss(real, fake).sum(), (real, fake))
assert torch.allclose(slope, -(fake - real).sigmoid() / 16, atol=1e-15)
assert torch.equal(other, -slope)

# %%
nudge = torch.zeros_like(real)
nudge[1, 4] = 1e-6
up, down = (relativistic_discriminator_loss(real + s * nudge, fake)[1] for s in (1, -1))
assert abs((up - down).item() / 2e-6 - slope[1, 4].item()) < 1e-9
slope[1, 4].item()

# %% [markdown]
# **At the solution all gradients vanish.** Let $G$ generate the data, and let $D$ be constant. Then each difference is 0 and $\sigma(0)=\frac12$. The gradient of $L_D$ in the weights is $-\frac12(\mathbb E\,\partial D(x)-\mathbb E\,\partial D(G(z)))=0$, because both means are the same. $G$ gets no gradient, because $\nabla_xD=0$, and both penalties are 0. The cell takes a network whose last layer is 0, and generated examples that are the real ones in another order.

# %%
D = mlp(2, (), 8, runs=1, generator=[g]).double()
for weight in D.final.parameters():
    weight.detach().zero_()
x = torch.randn(1, 32, 2, generator=g, dtype=torch.float64)
y = x[:, torch.randperm(32, generator=g)].requires_grad_()

# %%
loss = relativistic_discriminator_loss(D(x), D(y.detach())) + r1(D, x) + r2(D, y)
of_weights = torch.autograd.grad(loss.sum(), list(D.parameters()))
of_samples, = torch.autograd.grad(relativistic_generator_loss(D(x), D(y)).sum(), y)
assert max(v.abs().max() for v in of_weights) < 1e-15 and of_samples.abs().max() == 0
assert math.isclose(loss.item(), math.log(2))
loss.item()

# %% [markdown]
# ## What pairing promises
# Sun et al. (2020) study the loss of a finite sample. $D$ is any function, the best one for the generated points, and the generated points can be moved freely. They prove that the original loss has bad *basins*: sets of points that miss modes, and that cannot be left without a rise of the loss. With relativistic pairing there are none.
#
# Two real points $x_1,x_2$ and two generated points are enough to see it. `least` finds the best $D$: one logit for each place. $V=-L_D$ is what the generator minimises.

# %%
def least(loss, places: int = 4) -> float:
    "Minus the least value of a discriminator's loss over its logits in four places."
    logits = torch.zeros(places, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def value():
        search.zero_grad()
        total = loss(logits) + 1e-7 * logits.square().sum()  # keeps infinite logits finite
        total.backward()
        return total
    search.step(value)
    return -loss(logits).item()

# %%
where = {"both at x1": [0, 0], "second away": [0, 2], "first away": [2, 0], "one at each": [0, 1]}
forms = {"original": lambda l, y: discriminator_loss(l[:2], l[y]),
         "fixed pairs": lambda l, y: relativistic_discriminator_loss(l[:2], l[y]),
         "all pairs": lambda l, y: F.softplus(l[y][None, :] - l[:2][:, None]).mean()}
V = {form: [least(lambda l: loss(l, y)) for y in where.values()] for form, loss in forms.items()}
for form, values in V.items():
    print(f"{form:11}", "  ".join(f"{name} {v:.4f}" for name, v in zip(where, values)))

# %% [markdown]
# **Fidelity.** All twelve values are known. Where one real and one generated point coincide, the best logit is that of chapter 1.1, or a difference of 0; all other terms can be made 0. With both generated points at $x_1$ the original loss has $\sigma(\ell)=\frac13$ there.

# %%
log2 = math.log(2)
known = {"original": [(math.log(1 / 3) + 2 * math.log(2 / 3)) / 2, -log2, -log2, -2 * log2],
         "fixed pairs": [-log2 / 2, -log2 / 2, 0., -log2],
         "all pairs": [-log2 / 2, -log2 / 4, -log2 / 4, -log2]}
assert all(abs(a - b) < 2e-3 for form in V for a, b in zip(V[form], known[form]))

# %%
climbs = {form: [v - values[0] for v in values[1:3]] for form, values in known.items()}
least_climb = {form: min(both) for form, both in climbs.items()}
assert round(least_climb["original"], 2) == .26 and round(least_climb["all pairs"], 2) == .17
assert least_climb["fixed pairs"] == 0 and math.isclose(max(climbs["fixed pairs"]), log2 / 2)
{form: [round(climb, 4) for climb in both] for form, both in climbs.items()}

# %% [markdown]
# Both generated points at $x_1$ is mode collapse. To repair it, one of the two points must leave $x_1$ and travel to $x_2$. The cell shows by how much $V$ rises if the second point leaves, and if the first one leaves. With the original loss it rises by 0.26, whichever leaves: this is the bad basin. With fixed pairs it depends. The second generated point is paired with $x_2$. If it leaves, $V$ does not rise. If the first one leaves, which is paired with $x_1$, $V$ rises by 0.35. So there is one path without a rise, and this is what the theorem promises.
#
# Now look at the last row. A training draws $x$ and $z$ anew at each step, so its loss is the mean over *all* pairs. Then $V$ rises on both paths, by 0.17. (This row is our own computation; it is not from the paper.) So the argument holds for fixed pairs. It does not show that a training with new pairs keeps its modes. Only an experiment can tell.

# %% [markdown]
# ## Why both penalties
# Take the smallest GAN of chapter 1.4 again: the data are the point 0, the generator is a number $\theta$, and $D(x)=\psi x$. Then $L_D=\operatorname{softplus}(\psi\theta)+\frac{\gamma_1+\gamma_2}2\psi^2$ and $L_G=\operatorname{softplus}(-\psi\theta)$. R1 and R2 are equal here, because a line has the same slope everywhere. With $\Gamma=\gamma_1+\gamma_2$, small steps follow
#
# $$\dot\theta=\psi\,\sigma(-\psi\theta),\qquad\dot\psi=-\theta\,\sigma(\psi\theta)-\Gamma\psi.$$
#
# At the solution $(0,0)$ the matrix of derivatives is $\begin{pmatrix}0&\frac12\\-\frac12&-\Gamma\end{pmatrix}$. Its eigenvalues are
#
# $$\lambda=\tfrac12\big(-\Gamma\pm\sqrt{\Gamma^2-1}\big).$$
#
# With $\Gamma>0$ the real part is negative. Then small steps that start near the solution converge to it, exponentially fast (Mescheder et al. 2018 for R1 and R2; Huang et al. 2024 prove it for the paired loss).
#
# Without a penalty the eigenvalues are $\pm\frac i2$, so to first order the training circles. The whole equation says a little more:
#
# $$\frac{d}{dt}\big(\theta^2+\psi^2\big)=-2\,\theta\psi\tanh\tfrac{\theta\psi}2\le0\qquad(\Gamma=0).$$
#
# The distance falls, but near the solution more slowly than any exponential. Steps of a fixed rate $\eta$ do not get there: each step leads a little outwards, and they end on a circle of radius about $\sqrt{2\eta}$.
#
# **Fidelity.** The field from our losses, its derivatives by central differences, and their eigenvalues:

# %%
def field(theta: float, psi: float, gamma1: float = 0., gamma2: float = 0., paired: bool = True):
    "Minus the gradients (of θ, of ψ) of the losses of this chapter, or of the original ones."
    theta, psi = (torch.tensor([[v]], dtype=torch.float64, requires_grad=True)
                  for v in (theta, psi))
    f, zero = lambda x: (x * psi).sum(-1), torch.zeros(1, 1, dtype=torch.float64)
    down = (relativistic_discriminator_loss if paired else discriminator_loss)(
        f(zero), f(theta.detach())) + gamma1 * r1(f, zero) + gamma2 * r2(f, theta)
    up = relativistic_generator_loss(f(zero), f(theta)) if paired else generator_loss(f(theta))
    pushes = [torch.autograd.grad(up, theta)[0], torch.autograd.grad(down, psi)[0]]
    return -torch.cat(pushes).flatten()

# %%
def flow(theta: float, psi: float, total: float) -> tuple[float, float]:
    "The field as it stands in the equation."
    s = 1 / (1 + math.exp(-psi * theta))
    return psi * (1 - s), -theta * s - total * psi

# %%
for gammas in ((0., 0.), (.2, 0.), (.2, .3), (1., 1.)):
    by_equation = torch.tensor(flow(.7, -.4, sum(gammas)), dtype=torch.float64)
    assert torch.allclose(field(.7, -.4, *gammas), by_equation)
    h = 1e-5
    J = torch.stack([(field(*(h * e), *gammas) - field(*(-h * e), *gammas)) / (2 * h)
                     for e in torch.eye(2, dtype=torch.float64)], 1)
    root = complex(sum(gammas) ** 2 - 1) ** .5
    formula = torch.tensor([(-sum(gammas) + s * root) / 2 for s in (1, -1)])
    gap = (torch.linalg.eigvals(J)[:, None] - formula).abs().min(0).values.max()
    assert gap < 1e-6
    print("γ₁, γ₂ =", gammas, " eigenvalues", *(f"{v:.3f}" for v in formula.tolist()))

# %%
t, p = .7, -.4
a, b = flow(t, p, 0.)
assert math.isclose(2 * (t * a + p * b), -2 * t * p * math.tanh(t * p / 2))

# %%
assert torch.allclose(field(.7, -.4), field(.7, -.4, paired=False))

# %% [markdown]
# The last check shows more: with one real point the paired and the original loss have the *same* gradients. Pairing does not help this GAN to converge. The penalties do.

# %%
def walk(total: float, n: int = 800, rate: float = .05) -> torch.Tensor:
    "The values (θ, ψ) after each of n simultaneous steps from (1, 0)."
    way = [(1., 0.)]
    for _ in range(n):
        (theta, psi), (a, b) = way[-1], flow(*way[-1], total)
        way.append((theta + rate * a, psi + rate * b))
    return torch.tensor(way)

# %%
ways = {total: walk(total) for total in (0., .2, 1.)}
figure, panels = axes(1, 3, size=(2.2, 2.2), sharex=True, sharey=True)
for ax, (total, way) in zip(panels, ways.items()):
    ax.plot(*way.T, c=FAKE, lw=.8)
    ax.plot(0, 0, "o", c=REAL)
    ax.set(xlabel="generator θ", title=f"Γ = {total:g}")
panels[0].set_ylabel("critic ψ")
left = {total: round(way[-100:].norm(dim=1).max().item(), 3) for total, way in ways.items()}
assert round(left[0.], 2) == .49 and left[.2] < .05 and left[1.] < .001
Picture(figure, "Three trainings of the smallest GAN with the paired loss; the blue disc is the "
        f"solution. Largest distance in the last 100 steps: {left}")

# %% [markdown]
# The blue disc is the solution. Without a penalty the distance is still 0.49 after 800 steps, and after 80,000 steps it is that of the circle:

# %%
assert abs(walk(0., n=80_000)[-1].norm() - (2 * .05) ** .5) < .005

# %% [markdown]
# With $\Gamma=0.2$ the training spirals into the solution, and with $\Gamma=1$ it no longer circles. In this GAN one penalty is enough. On networks the slopes at real and at generated examples differ. Huang et al. (2024, Table 1) report for stacked MNIST (1,000 modes) and their small network: with R1 and R2 the paired loss captures 1,000 modes, the original loss 693; with R1 alone both diverge. These are their figures and settings; we have not repeated them.

# %% [markdown]
# ## The game
# $L_D$ gets $\gamma_1R_1+\gamma_2R_2$, with the factor ½ inside $R_1$ and $R_2$ (chapter 1.4). The squared gradient is *summed* over all entries of an example. R3GAN uses the same $\gamma$ for both. $G$'s turn draws real examples, too; $D$ does not move in it.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Relativistic(AdversarialGame):
    """The game of R3GAN (Huang et al. 2024): relativistic pairing with R1 and R2.

    With both weights 0 it is RSGAN (Jolicoeur-Martineau 2018), or RpGAN in Sun et al. 2020.
    """
    weight: NonNegative = .1  # γ of R1
    fake_weight: NonNegative = .1  # γ of R2, the same at generated examples

    def loss_D(self, t: Any) -> torch.Tensor:
        "One value per run for the discriminator's turn."
        fake = t.G(t.z).detach()
        fake_logits, real_logits = score_batches(t.D, fake, t.x)
        loss = relativistic_discriminator_loss(real_logits, fake_logits)
        loss = loss + self.weight * r1(t.D, t.x) if self.weight else loss
        return loss + self.fake_weight * r2(t.D, fake) if self.fake_weight else loss

    def loss_G(self, t: Any) -> torch.Tensor:
        "One value per run for the generator's turn."
        return relativistic_generator_loss(*score_batches(t.D, t.x, t.G(t.z)))

# %%
small = Relativistic(networks=Networks(width=32))
Run(small, ring(std=.1), runs=2, batch=64, device="cpu").step(steps(40)).losses["D"][-1]

# %% [markdown]
# R3GAN changes three settings during training, each along half a cosine: the learning rate falls to a quarter, $\gamma$ to a tenth, and Adam's $\beta_2$ rises from 0.9 to 0.99.

# %%
#| export
@checked
def r3gan_settings(progress: Share,  # how much of the training is done, from 0 to 1
                   weight: NonNegative = .1,  # γ at the start; it falls to a tenth
                   lr: NonNegative = 2e-4,  # learning rate at the start; it falls to a quarter
                   ) -> dict[str, Any]:
    """The weight of R1 and R2, the learning rate and Adam's betas of R3GAN at a moment.

    After the authors' published code of 2025; the cosine is between the first and the last value.
    """
    left = (1 + math.cos(math.pi * progress)) / 2
    return {"weight": weight * (.1 + .9 * left), "lr": lr * (.25 + .75 * left),
            "betas": (0., .99 - .09 * left)}

# %% [markdown]
# **Fidelity.** The first, the middle and the last values:

# %%
first, middle, last = (r3gan_settings(p) for p in (0., .5, 1.))
assert math.isclose(first["lr"], 2e-4) and math.isclose(last["lr"], 5e-5)

# %%
assert math.isclose(last["weight"], first["weight"] / 10)
assert math.isclose(middle["lr"], (first["lr"] + last["lr"]) / 2)
assert math.isclose(first["betas"][1], .9) and math.isclose(last["betas"][1], .99)
first, last

# %% [markdown]
# The engine's schedules change the learning rate only. So set the others between two calls of `step`, in stairs:

# %%
run = Run(Relativistic(networks=Networks(width=16)), "ring", runs=2, batch=32, device="cpu")
for stair in range(4):
    now = r3gan_settings(stair / 3, lr=1e-3)
    run.game.optimiser = Optimiser(now["lr"], now["betas"])
    run.game.weight = run.game.fake_weight = now["weight"]
    run.step(3)
run.game.weight, run.game.optimiser.betas

# %% [markdown]
# What is faithful to the papers, what is simplified, and what is left out:
#
# | part | here |
# |---|---|
# | **R3GAN**: paired loss for both players, real examples in $G$'s turn | faithful |
# | $\frac\gamma2(\text{R1}+\text{R2})$ at each step, summed over the entries of an example | faithful; the two weights may differ |
# | $\beta_1=0$, Adam's $\epsilon=10^{-8}$ | faithful |
# | learning rate, $\gamma$ and $\beta_2$ on cosines | simplified: `r3gan_settings`, in stairs between calls of `step`; the comparison below has another schedule |
# | $\gamma$ from 0.05 to 150, chosen for each data set; batches of 256 to 4,096 pictures | simplified: $\gamma$ is 0.1 or 1, the batch 64 to 128 points |
# | average of $G$'s weights whose half-life grows from 0 | simplified: `average` of `Run` is constant |
# | augmented pictures; the penalties act on the picture before it is augmented | left out |
# | residual networks with grouped convolutions, conditional networks, stages in 16 bits | left out: the networks of chapter 0.5 |
# | NaN in gradients replaced by numbers | left out: a run that diverges stops and says so |
# | stacked MNIST and the picture sets | left out, see below |
# | **Jolicoeur-Martineau 2018**: the paired loss (RSGAN) | faithful: the game with both weights 0 |
# | the average form, in which a logit is compared with the mean of the others | left out: a wrong answer in exercise 2 |
# | **Sun et al. 2020**: the theorem for $n$ points | simplified: shown for two points, not proven |
# | their experiments with pictures | left out |
#
# **Not run at the authors' settings: R3GAN on stacked MNIST.** The paper reports 1,000 modes at a KL of 0.029. Each of its two players has 20.7 million weights, and the authors' run took seven hours on eight graphics cards. Their repository has neither the code nor the settings of this experiment. So this chapter neither confirms that result nor contradicts it.

# %% [markdown]
# ## Four mistakes of other implementations
# `D(x)` is often `(N, 1)` and another tensor `(N,)`. Their difference is a matrix of `(N, N)`: all pairs, and no error. Here such shapes are converted or refused.

# %%
a, b = torch.randn(6, generator=g), torch.randn(6, generator=g)
matrix = F.softplus(-(a[:, None] - b)).mean()
pairs = relativistic_discriminator_loss(a[:, None], b)

# %%
assert torch.isclose(pairs, relativistic_discriminator_loss(a, b)) and abs(matrix - pairs) > 1e-3
error_message(relativistic_discriminator_loss, a, b[:4])

# %% [markdown]
# Implementations differ most in the penalties: a mean over the pixels instead of a sum (64 times too small on 8 × 8 pixels), or a missing ½ (twice too large). A linear $D$ has a known penalty:

# %%
slope = torch.randn(1, 8, 8, generator=g, dtype=torch.float64)
pictures = torch.randn(2, 5, 1, 8, 8, generator=g, dtype=torch.float64)
linear = lambda v: (v * slope).flatten(1).sum(1)
penalty = .1 * (r1(linear, pictures[0]) + r2(linear, pictures[1].detach()))

# %%
squares = slope.square()
assert torch.isclose(penalty, .1 / 2 * (squares.sum() + squares.sum()))
assert torch.isclose(.1 / 2 * (squares.mean() + squares.mean()), penalty / 64)  # the mean
assert torch.isclose(.1 * (squares.sum() + squares.sum()), 2 * penalty)  # without ½
penalty.item()

# %% [markdown]
# The fourth mistake: generated examples are detached from $G$, and `requires_grad` is not set again. Then $D$'s slope there cannot be computed. `r2` makes a new *leaf* (a tensor that asks for a gradient and has no history) itself, as the cell above shows.

# %%
def forgotten():
    "The slope at examples that are no leaf."
    try:
        torch.autograd.grad(linear(pictures[1]).sum(), pictures[1])
    except RuntimeError as error:
        return str(error)

assert "does not require grad" in forgotten()
forgotten()

# %% [markdown]
# ## Eight seeds against the original loss
# The [baseline](../glossary.ipynb) is the original loss with the same penalties. With R1 it captured most modes of the grid and of the rare modes among the games of chapter 1.4. Both losses get the same four pairs of weights: $\gamma_1\in\{0.1,1\}$, and $\gamma_2$ is 0 or $\gamma_1$. All share width 64, batch 64 and the learning rates: 0.004 for $G$, 0.008 for $D$, both falling over the second half of the training. Samples come from averaged weights. These rates, the length and the set were found by a trial of the *baseline* (R1 with weight 0.1), on the seeds of the tuning. No others were tried for the paired loss.
#
# The tuning takes 1,000 steps on seeds 100 to 103. It chooses by held modes, and then by the *rare part*: how much of the 40 % of the rare modes good samples cover. (Total variation would not do as a rule. A generator of the centre alone has TV 0.4. Many generators that find rare modes have a larger one, because of some bad samples.) The chosen pair is trained for 1,500 steps on seeds 0 to 7.
#
# The thresholds were set before the paired loss was trained on this set. They are about the paired intervals of chapter [0.2](../0_start/02_evidence.ipynb), those of the differences seed by seed. These must lie above 0 for held modes, and below 0 for TV. In the picture below a disc is a seed. Its third row is a control, which is explained under the claims.

# %%
before = recorded("wasserstein")
for name in ("grid", "rare_modes") if before else ():
    best = max(before[name], key=lambda row: sum(row["by seed"]))
    assert best["setting"].startswith("R1")
    print(name, "in chapter 1.4:", best["setting"], "captured", best["captured"])

# %%
for kind, rows in tuning.items():
    for row in rows:
        tv, part = (sum(row[k]) / 4 for k in ("tv", "rare"))
        name = row["setting"].replace("standard", "original").replace("relativistic", "paired")
        print(f"{name:24} held {row['held']}  rare part {part:.3f}  TV {tv:.3f}")

# %%
def compared() -> Picture:
    "Held modes, rare part and TV of each seed; seeds of one row lie a little apart."
    figure, panels = axes(1, 3, size=(2.4, 1.9), sharey=True)
    rows = {"original": result["standard"], "paired": result["relativistic"]} | control
    for ax, (measure, title) in zip(panels, titles.items()):
        for y, row in enumerate(rows.values()):
            ax.scatter(row[measure], [y + (seed - 3.5) / 20 for seed in range(8)], s=16,
                       c=FAKE if y == 1 else REAL, alpha=.5, linewidths=0)
        ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - .5, -.5), xlabel=title)
    panels[0].set(xlim=(-.3, 9.3), xticks=[0, 3, 6, 9])
    return Picture(figure, "Eight seeds of each loss. " + "; ".join(
        f"{name}: {shown(row)}" for name, row in rows.items()))

# %%
titles = {"held": "modes held, of 9", "rare": "rare part", "tv": "TV"}
extra = kept.get("rare", {}).get("control")
control = {"original, weights of paired": extra} if extra else {}
compared() if kept else "no record: only the package is installed"

# %%
def gap(measure: str, rows: dict = result):
    "Interval of the paired loss minus the original one, seed by seed."
    a, b = (rows.get(kind, {}).get(measure, [0., 0.]) for kind in ("relativistic", "standard"))
    return interval([u - v for u, v in zip(a, b)])

# %%
found = gap("held")
claim("Relativistic pairing holds more modes than the original loss, both with penalties",
      paper="this course", section="rare_modes(share=.6, std=.1), 1,500 steps; seed by seed",
      ours=found, baseline="no difference", holds=found.low > 0, expect=False)

# %%
found = gap("tv")
claim("Relativistic pairing has a smaller total variation than the original loss",
      paper="this course", section="rare_modes(share=.6, std=.1), 1,500 steps; seed by seed",
      ours=found, baseline="no difference", holds=found.high < 0, expect=False)

# %% [markdown]
# Neither threshold is reached. The result is negative:
#
# - **Held modes.** The paired loss holds 8.1 of nine modes on average, its worst seed 7. The original loss holds 7.5, its worst seed 6. The difference is 0.6 [-0.6, 1.8], which contains 0. Nine modes are the most, so no difference above 1.5 could be seen.
# - **Rare part.** 0.33 against 0.31. The difference is 0.022 [0.000, 0.044], and the interval begins just below 0.
# - **TV.** It is *larger* with the paired loss, by 0.028 [0.014, 0.043]; fewer of its samples are good. But the two chosen pairs of weights differ: $\gamma_1=1$, $\gamma_2=0$ for the paired loss, 0.1 and 0.1 for the original one. So the original loss was trained with the weights of the paired one, too (a control, added after the result was seen). Against this control the paired loss differs by -0.013 [-0.046, 0.020] in TV and by 0.5 [-0.6, 1.6] in held modes. With these weights the original loss has a larger TV than with its own ones, too, by 0.041 [0.010, 0.073]. So the weights explain the larger TV, and nothing shows an effect of the loss.
#
# The tuning is short. The best two pairs of weights of each loss differ by two held modes over four seeds, so the choice between them is partly chance. These are the settings of this course, with small networks and points in the plane. They are not those of Sun et al. or Huang et al., and they do not contradict them. What the two-point example says about all pairs would explain why pairing makes no difference here; we have not tested this explanation.

# %%
def near(found, *values: float, within: float = .0051) -> bool:
    "Whether an interval has this mean and these ends."
    return all(abs(a - b) < within for a, b in zip((found.mean, found.low, found.high), values))

if kept:
    pair, other = result["relativistic"], result["standard"]
    assert (sum(pair["held"]), min(pair["held"])) == (65, 7) and sum(other["held"]) == 60
    assert near(gap("held"), .6, -.6, 1.8, within=.051) and gap("held").low < 0
    assert near(gap("rare"), .022, 0, .044, within=1e-3) and gap("rare").low < 0

# %%
if kept:
    same = {"relativistic": result["relativistic"], "standard": extra}
    assert extra["setting"] == "standard, R1 1, R2 0" and "R1 1, R2 0" in pair["setting"]
    assert near(gap("tv"), .028, .014, .043, within=1e-3)
    assert near(gap("tv", same), -.013, -.046, .020, within=1e-3)
    assert near(gap("held", same), .5, -.6, 1.6, within=.051)
    weights = {"relativistic": extra, "standard": other}
    assert near(gap("tv", weights), .041, .010, .073, within=1e-3)
    sums = [sorted(sum(row["held"]) for row in rows)[-2:] for rows in tuning.values()]
    assert [high - low for low, high in sums] == [2, 2]
    print("the same weights: held", gap("held", same), " TV", gap("tv", same))

# %% [markdown]
# **A comparison that could not tell.** Before this one, the two losses were compared on three other sets, for 1,000 steps, with the weights chosen by captured modes. These are the results, with the paired intervals:
#
# - **Rare modes of 0.6 %** (centre 95 %). The paired loss captures 3.0 of nine modes, the original one 1.75: a difference of 1.25 [-0.35, 2.85]. But uniform noise captures 8.9. TV is 0.100 for the paired loss and 0.079 for the original one, and a generator of the centre alone has 0.05. So neither finds the rare modes in a useful amount.
# - **Grid.** 20.75 and 21.0 modes, noise 20.7, and only 3 % of the samples of both are good. This says nothing about the two.
# - **Ring.** Both capture all eight modes on each seed. TV is 0.72 for the paired loss and 0.75 for the original one: a difference of -0.026 [-0.061, 0.009].
#
# The rule of the tuning was at fault, too. On the rare modes all four pairs of weights of the original loss captured one mode on nearly every seed, but their TV was 0.08 to 0.52. The rule took the pair with 0.52, because one of its four seeds captured a second mode.

# %%
first = kept.get("first", {"result": {}, "tuning": {}})
both = "standard", "relativistic"
older = {name: dict(zip(both, rows)) for name, rows in first["result"].items()}
mean = lambda row, measure: sum(row[measure]) / len(row[measure])

# %%
for name, rows in older.items():
    captured, tv = ([round(mean(row, k), 3) for row in rows.values()] for k in ("captured", "tv"))
    print(f"{name:10} original, paired: captured {captured}, TV {tv};",
          "paired minus original:", gap("captured", rows), " TV", gap("tv", rows))

# %%
if older:
    rare, grid_, ring_ = (list(older[name].values()) for name in ("rare_modes", "grid", "ring"))
    assert [mean(row, "captured") for row in rare + grid_ + ring_] == [1.75, 3., 21., 20.75, 8., 8.]
    assert [round(mean(row, "tv"), 2) for row in rare + ring_] == [.08, .10, .75, .72]
    assert near(gap("captured", older["rare_modes"]), 1.25, -.35, 2.85)
    assert near(gap("tv", older["ring"]), -.026, -.061, .009, within=1e-3)
    assert min(mean(row, "tv") for row in rare) > .05 and rare[0]["companions"]["null"] > 8.9
    assert all(.025 < mean(row, "high_quality") < .035 for row in grid_)

# %%
if older:
    tried = {row["setting"]: row for row in first["tuning"]["rare_modes"][:4]}
    of_all = {name: mean(row, "tv") for name, row in tried.items()}
    assert rare[0]["setting"] == max(of_all, key=of_all.get) and .52 < max(of_all.values()) < .53
    assert min(of_all.values()) < .08 and tried[rare[0]["setting"]]["captured"] == [2, 1, 1, 1]

# %% [markdown]
# ## The lab
# Change *weight* and *fake_weight* while it trains. With both at 0 you see the paired loss without penalties. Chapter [1.3](03_lab.ipynb) explains the panel.

# %%
from modelab.lab.panel import Lab

lab = Lab(Relativistic(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300)
lab.step(steps(200))

# %% [markdown]
# ## In your own code
# The losses and penalties need nothing else of this package. Draw a new $z$ and new real examples for the generator's step.

# %%
from torch import nn
my_G = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
my_D = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
x, made = torch.randn(64, 2), my_G(torch.randn(64, 2))
loss_d = relativistic_discriminator_loss(my_D(x), my_D(made.detach()))
loss_d = loss_d + .1 * (r1(my_D, x) + r2(my_D, made))
loss_g = relativistic_generator_loss(my_D(x), my_D(made))

# %%
loss_d.backward()
loss_g.backward()
assert all(torch.isfinite(w.grad).all() for net in (my_G, my_D) for w in net.parameters())

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.relativistic import (grade_damping, grade_pairs, grade_shift,
                                                 grade_whole)

# %% [markdown]
# **1.** (easy, 5 minutes) The discriminator gives every real example the logit 7 and every generated example the logit 7, too. What is $L_D$?
#
# <details><summary>Hint</summary>
#
# Only the difference of the logits enters the loss.
#
# </details>

# %%
answer = ...
grade_shift(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each difference is 0, and $\operatorname{softplus}(0)=\log2$. The original loss would be about 7: it depends on the constant.
#
# ```python
# answer = math.log(2)
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) Write `pair_loss(real, fake)`, the discriminator's paired loss. Both arguments have the shape `(N,)` or `(N, 1)`, and not always the same one. It must be finite for logits of $\pm200$.
#
# <details><summary>Hint</summary>
#
# What is the shape of the difference of `(N, 1)` and `(N,)`? Which function of torch is $\log(1+e^v)$?
#
# </details>

# %%
def pair_loss(real, fake):
    ...

answer = pair_loss
grade_pairs(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def pair_loss(real, fake):
#     return F.softplus(fake.flatten() - real.flatten()).mean()
#
# answer = pair_loss
# ```
#
# Without `flatten` the difference of `(N, 1)` and `(N,)` has N² entries: all pairs. $-\log\sigma$ by its two functions is infinite at a difference of −400.
#
# </details>

# %% [markdown]
# **3.** (hard, 20 minutes) Write `whole_loss(D, real, fake, gamma)` with plain torch: the discriminator's loss of R3GAN. `real` and `fake` are `(N, *event)`, `D` gives `(N,)`. `fake` comes from a generator, and the loss must not send a gradient to it. The weights of `D` must learn from the penalties.
#
# <details><summary>Hint</summary>
#
# A leaf for each penalty: `v.detach().requires_grad_()`. Then `torch.autograd.grad(D(v).sum(), v, create_graph=True)`. Sum the squares over all entries of an example, take the mean over examples, and multiply by $\gamma/2$.
#
# </details>

# %%
def whole_loss(D, real, fake, gamma):
    ...

answer = whole_loss
grade_whole(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def whole_loss(D, real, fake, gamma):
#     x, y = real.detach().requires_grad_(), fake.detach().requires_grad_()
#     scores = D(x), D(y)
#     loss = F.softplus(scores[1] - scores[0]).mean()
#     for v, score in zip((x, y), scores):
#         slope, = torch.autograd.grad(score.sum(), v, create_graph=True)
#         loss = loss + gamma / 2 * slope.flatten(1).square().sum(1).mean()
#     return loss
#
# answer = whole_loss
# ```
#
# `detach` cuts the generator off, and `requires_grad_` makes a new leaf. Without it R2 is an error. Without `create_graph` the penalty is a number that no weight learns from.
#
# </details>

# %% [markdown]
# **4.** (medium, 10 minutes) In the smallest GAN both penalties have the same weight, $\gamma_1=\gamma_2=\gamma$. What is the least $\gamma$ for which small steps near the solution do not oscillate?
#
# <details><summary>Hint</summary>
#
# The eigenvalues must be real. Look at the root.
#
# </details>

# %%
answer = ...
grade_damping(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The root is real for $\Gamma\ge1$, and $\Gamma=2\gamma$.
#
# ```python
# answer = 1 / 2
# ```
#
# For a larger $\gamma$ one eigenvalue comes near 0: a strong penalty makes the training slow.
#
# </details>

# %% [markdown]
# ## Recap
# - The relativistic discriminator compares a real and a generated example. Both losses depend on the difference of their logits only.
# - With two points and fixed pairs, there is a path from mode collapse to the solution on which the loss has no barrier. With new pairs at each step there is none.
# - In the smallest GAN, pairing alone changes nothing: its gradients are those of the original loss. Only a penalty makes it converge exponentially.
# - In this course's setting, eight seeds show no reliable difference between the paired and the original loss, both with the same penalties. Both hold most of the modes, and cover a third of the rare modes' share.
#
# **For later.**
#
# 1. Why does the generator's step need real examples?
# 2. What changes if you add 5 to all logits?
# 3. Why are R1 and R2 equal in the smallest GAN?
#
# <details><summary>Answers</summary>
#
# 1. Its loss is a function of $D(G(z))-D(x)$. The real logit sets how strongly each pair pulls.
# 2. Nothing: neither a loss nor a penalty depends on a constant.
# 3. $D(x)=\psi x$ has the slope $\psi$ at each point, real or generated.
#
# </details>
#
# **References.** A. Jolicoeur-Martineau, *The relativistic discriminator: a key element missing from standard GAN*, 2018 (arXiv 1807.00734). R. Sun, T. Fang, A. Schwing, *Towards a better global loss landscape of GANs*, NeurIPS 2020. L. Mescheder, A. Geiger, S. Nowozin, *Which training methods for GANs do actually converge?*, ICML 2018. Y. Huang, A. Gokaslan, V. Kuleshov, J. Tompkin, *The GAN is dead; long live the GAN! A modern GAN baseline*, NeurIPS 2024.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.relativistic
"Graders of chapter 1.5."
import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.relativistic
@exercise(accepts=[math.log(2), .6931],
          rejects=[0, 7, 14, 2 * math.log(2), -math.log(2), .5, 7.0009])
def grade_shift(answer):
    assert abs(as_number(answer) - math.log(2)) < 1e-3, \
        "what is the difference of the two logits of a pair? Put it into softplus"

# %%
#| export course.graders.relativistic
@exercise(accepts=[.5], rejects=[1, 2, .25, 0, .125, 4])
def grade_damping(answer):
    assert abs(as_number(answer) - .5) < 1e-6, \
        "for which Γ is the root real? And how large is Γ with two equal weights?"

# %%
#| export course.graders.relativistic
def by_pairs(real, fake):
    "The right answer."
    return F.softplus(fake.flatten() - real.flatten()).mean()

# %%
#| export course.graders.relativistic
def by_average(real, fake):
    "A wrong answer: each real logit against the mean of the others (the average form)."
    return F.softplus(fake.mean() - real.flatten()).mean()

# %%
#| export course.graders.relativistic
def clipped(real, fake):
    "A wrong answer: the logarithm is cut at -100, as in some losses of torch."
    return -(real.flatten() - fake.flatten()).sigmoid().log().clamp(min=-100).mean()

# %%
#| export course.graders.relativistic
@exercise(accepts=[by_pairs, lambda r, f: -F.logsigmoid(r.reshape(-1) - f.reshape(-1)).mean()],
          rejects=[by_average, lambda r, f: by_pairs(f, r), lambda r, f: F.softplus(f - r).mean(),
                   lambda r, f: -(r.flatten() - f.flatten()).sigmoid().log().mean(),
                   lambda r, f: F.softplus(f.flatten() - r.flatten()).sum(),
                   lambda r, f: F.softplus((f.flatten() - r.flatten()).mean()),
                   lambda r, f: F.softplus(f.flatten()[:, None] - r.flatten()).mean(),
                   lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
                   lambda r, f: F.softplus(f.flatten() - r.flatten()).mean() / 2,
                   lambda r, f: F.softplus(f - r.flatten()).mean(),
                   lambda r, f: F.softplus(f.flatten() - r).mean(), clipped])
def grade_pairs(loss):
    real, fake = torch.tensor([2., -1., 3., 0.]), torch.tensor([1., 1., -2., 5.])
    assert torch.allclose(loss(real, fake), by_pairs(real, fake)), \
        "for logits of one shape the value is wrong: pairs, the sign, or the mean over pairs"
    for a, b in ((real[:, None], fake), (real, fake[:, None]), (real[:, None], fake[:, None])):
        assert torch.allclose(loss(a, b), by_pairs(real, fake)), \
            "with (N, 1) among the shapes the value is wrong: how many pairs has your difference?"
    far = torch.tensor([-200., 200.])
    assert torch.isclose(loss(far, -far), by_pairs(far, -far)), \
        "at logits of 200 the loss is not finite, or its logarithm is cut off"

# %%
#| export course.graders.relativistic
def by_terms(D, real, fake, gamma, parts="xy", half=.5, mean=False, graph=True, cut=True):
    "The right answer, and wrong ones by its options."
    x, y = (v.detach().requires_grad_() for v in (real, fake))
    loss = F.softplus((D(y) if cut else D(fake)) - D(x)).mean()
    for v in [{"x": x, "y": y}[part] for part in parts]:
        slope, = torch.autograd.grad(D(v).sum(), v, create_graph=graph)
        squares = slope.flatten(1).square()
        loss = loss + gamma * half * (squares.mean(1) if mean else squares.sum(1)).mean()
    return loss

# %%
#| export course.graders.relativistic
@functools.cache
def judge_and_batches():
    "A small D of pictures, real ones, and the leaf that generated ones come from."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        D = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 1),
                          nn.Flatten(0)).double()
        real, leaf = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64)
    return D, real, leaf.requires_grad_()

# %%
#| export course.graders.relativistic
@exercise(accepts=[by_terms],
          rejects=[functools.partial(by_terms, **wrong) for wrong in (
              {"parts": "x"}, {"parts": "y"}, {"parts": "xx"}, {"half": 1.}, {"half": .25},
              {"mean": True}, {"graph": False}, {"cut": False})] + [
              lambda D, r, f, gamma: by_terms(D, f, r, gamma)])
def grade_whole(loss):
    D, real, leaf = judge_and_batches()
    fake = 2 * leaf
    for gamma, what in ((0., "without penalties"), (3., "with γ = 3")):
        found, right = (one(D, real, fake, gamma) for one in (loss, by_terms))
        assert torch.isclose(found, right), f"{what} the value is wrong: look at each term"
        found, right = (torch.autograd.grad(v, [*D.parameters(), leaf], allow_unused=True)
                        for v in (found, right))
        assert found[-1] is None, "the loss sends a gradient to the generator"
        learn = [a is not None and torch.allclose(a, b) for a, b in zip(found[:-2], right[:-2])]
        assert all(learn), f"{what} the value is right, but D does not learn from all terms"
