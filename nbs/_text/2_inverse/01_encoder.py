# %% [markdown]
# # An adversarial encoder: matching codes to a prior
# > An encoder is trained against a prior. What does it lose, and what does it keep?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | If a generator loses modes of the data, what does a network lose that runs the other way, from the data to the latent? |
# | **You will be able to** | train an encoder against a prior, measure how uniform its codes are beside what is possible at all, and tell whether an encoder fills the prior and whether it keeps the modes apart |
# | **Paper** | Sharma and Namboodiri, *No modes left behind*, 2018, introduction; Makhzani et al., *Adversarial autoencoders*, 2015; Donahue, Krähenbühl, Darrell, *Adversarial feature learning*, 2017 |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | about twenty seconds of computing |

# %%
#| default_exp methods.encoder

# %%
#| export
"Adversarially trained encoders (the inverted generator), and tests of their latent codes."
from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from torch import nn

from modelab.core.registry import register_game
from modelab.core.seeding import Generators, rand, randn
from modelab.core.signatures import Count, Finite, Labels, NonNegative, Share, checked
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.losses.penalties import r1
from modelab.networks.layers import make_player, score_batches
from modelab.networks.players import Player
from modelab.training.game import Game

# %%
import re
from types import SimpleNamespace

from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.notebooks import patch
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.course.diagrams import flow_diagram
from modelab.data.mixtures import line, ring
from modelab.evaluation.coverage import coverage
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# ## A generator loses modes of the data
# The data are five modes on a line. The latent is one number. The GAN of chapter [1.1](../1_game/01_minimax.ipynb) is trained on them with eight seeds.
#
# **Predict:** in how many of the eight seeds does $G$ show all five modes?
#
# The cells marked with `@experiment` show recorded results and replay their first steps (chapter [0.2](../0_start/02_evidence.ipynb)).

# %%
data = line(5, spacing=1., std=.02)

@experiment("01_encoder", early=20)
def minimax_on_line(total=1000):
    game = Minimax(networks=Networks(latent=1, width=32))
    run = Run(game, data, batch=256, device="cpu").step(total)
    captured = [int(c.captured) for c in run.coverage()]
    return {"captured": captured, "mean": run.sample(500).mean((1, 2))}

on_line = minimax_on_line()["captured"]
on_line

# %%
assert fast_mode() or on_line.count(5) == 1

# %% [markdown]
# One seed of eight shows all five. The data have five separate modes, but $G$ is one continuous curve. The slope of $D$ moves the samples. Where a mode has no samples, this slope need not point to the mode.
#
# Do other settings help? Three were recorded, with eight seeds each. *[High quality](../glossary.ipynb)* is the share of [good samples](../glossary.ipynb): those within three standard deviations of a mode. The last line is uniform noise on the interval of the data and one unit on each side:

# %%
record = recorded("encoder")

def inside(told: str, most: float) -> str:
    "A recorded mean and its interval, cut at the largest possible value."
    mean, low, high = map(float, re.findall(r"[\d.]+", told)[:3])
    return f"{mean:.2f} [{low:.2f}, {min(high, most):.2f}]"

names = {"with the price 1 on D's slope": "R1 penalty of weight 1"}  # as recorded: as shown
for row in record.get("forward", []):
    print(f"{names.get(row['setting'], row['setting']):30} modes "
          f"{inside(row['captured'], 5)} of 5   high quality {inside(row['high quality'], 1)}")
noise = coverage(data.sample(2500, torch.Generator().manual_seed(0)), data).null
print(f"{'uniform noise':30} modes {noise.captured:.2f}                of 5   "
      f"high quality {noise.high_quality:.2f}")

# %%
def first_number(told: str) -> float:
    return float(told.split()[0])

forward = record.get("forward", [])
assert all(first_number(row["high quality"]) < .25 for row in forward) and noise.captured > 4.9
assert [first_number(row["captured"]) == 5 for row in forward] in ([], [False, False, True])

# %% [markdown]
# The [R1](../glossary.ipynb) penalty is a penalty on $D$'s gradient at real points (chapter [1.4](../1_game/04_wasserstein.ipynb)). With it every mode has a good sample in every seed. But four samples of five still lie between the modes, as without it. Uniform noise also has a sample in every mode, so only a count *below* five says something here.
#
# So no setting has both, all five modes and good samples. Now train a network in the other direction. The encoder $E$ takes an example $x$ and gives a code $z=E(x)$. Its codes should follow the *prior*: the distribution from which $G$ would draw its latents. Here it is uniform on $[-1,1]$.
#
# How many modes can $E$ lose?

# %% [markdown]
# ## The GAN loss with codes in place of samples
# The prior is in one piece: it has *one* mode. $D$ gets a code and gives a logit. For $D$, a draw $z$ from the prior counts as real, and a code $E(x)$ counts as generated. In the diagram, solid arrows show values and dashed arrows show gradients.

# %%
#| hide-input
networks = {"encoder E": (1.7, 0), "discriminator D": (5, .6)}
values = {"example x": (0, 0), "code E(x)": (3.3, 0), "draw z of the prior": (3, 1.2),
          "logit": (6.6, .6), "loss of D": (8.1, 1.2), "loss of E": (8.1, 0)}
arrows = [("example x", "encoder E"), ("encoder E", "code E(x)"), ("logit", "loss of D"),
          ("code E(x)", "discriminator D"), ("draw z of the prior", "discriminator D"),
          ("discriminator D", "logit"), ("logit", "loss of E")]
gradients = [("loss of D", "discriminator D", .3), ("loss of E", "encoder E", -.2)]
Picture(flow_diagram(networks, values, arrows, gradients, size=(8, 2.6)),
        "An example x goes into E, which gives a code. Codes and draws of the prior go into D, "
        "which gives a logit. The gradient of D's loss goes to D, that of E's loss to E")

# %% [markdown]
# $D$ never sees $x$. It is the diagram of a GAN (chapter [0.1](../0_start/01_first_gan.ipynb)) with $E$ in the place of $G$. As an equation ($\sigma$ is the sigmoid):
#
# $$\min_E\max_D\;\mathbb E_z\log\sigma\big(D(z)\big)+\mathbb E_x\log\big(1-\sigma(D(E(x)))\big).$$
#
# The losses are those of chapter 1.1. (In chapter 2.2 the pair with the real $x$ counts as real, so there the codes are on the real side.) Both losses once:

# %%
E, D = mlp(1, 1, 32), mlp(1, (), 32)
g = torch.Generator().manual_seed(0)
x, z = data.sample(256, generator=g), rand(256, 1, generator=g) * 2 - 1
loss_d = discriminator_loss(D(z), D(E(x).detach()))
loss_e = generator_loss(D(E(x)))
loss_d.item(), loss_e.item()

# %% [markdown]
# **[Fidelity](../glossary.ipynb).** Let the prior be $\mathcal N(0,1)$ and the codes $\mathcal N(m,1)$. The best logit is the log-ratio of the densities, $m^2/2-mz$. With it the value of the game is $2\,\mathrm{JSD}-\log4$ (JSD is the [Jensen–Shannon divergence](../glossary.ipynb) of chapter 1.1). The gradient moves every code in the direction from $m$ to 0.

# %%
m = 1.5
best = lambda z: m ** 2 / 2 - m * z
z = torch.randn(400_000, generator=g, dtype=torch.float64)
codes = (m + torch.randn(400_000, generator=g, dtype=torch.float64)).requires_grad_()
value = -discriminator_loss(best(z), best(codes)).item()

# %%
t = torch.linspace(-12, 14, 40_001, dtype=torch.float64)
p, q = (torch.exp(-(t - c) ** 2 / 2) / math.sqrt(2 * math.pi) for c in (0., m))
jsd = sum(torch.trapezoid(torch.xlogy(a, 2 * a / (p + q)), t) for a in (p, q)).item() / 2
push, = torch.autograd.grad(-generator_loss(best(codes)), codes)
assert math.isclose(value, 2 * jsd - math.log(4), abs_tol=5e-3) and (push < 0).all()
value, 2 * jsd - math.log(4)

# %% [markdown]
# ## How far are the codes from the prior?
# The prior has one mode, so a count of modes says nothing. Measure instead how evenly the codes fill the prior. The *level* of a code is $u=F(z)$, the share of the prior below it. If codes follow the prior, their levels are uniform on $[0,1]$. The **Kolmogorov–Smirnov statistic** (KS) is the largest gap between the share of codes below a level and the level itself:
#
# $$K=\sup_u\big|\hat F_n(u)-u\big|.$$
#
# $\hat F_n(u)$ is the share of the $n$ codes whose level is at most $u$. The supremum is the largest value over all $u$. A perfect match gives 0. If all codes sit at the middle of the prior, $K$ is one half; if all sit at its end, $K$ is 1.

# %%
#| export
LatentPrior = Literal["normal", "uniform"]  # standard normal; or uniform on [-1, 1]
LATENT_PRIORS = get_args(LatentPrior)
Codes = Annotated[torch.Tensor, Finite("*runs n latent")]
ModeNumbers = Annotated[torch.Tensor, Labels("*runs n")]

# %% [markdown]
# The level is computed for each coordinate of the code.

# %%
#| export
@checked
def prior_cdf(codes: Annotated[torch.Tensor, Finite("*shape")],  # of any shape
              prior: LatentPrior = "uniform",
              ) -> torch.Tensor:  # of the same shape, float64
    "The share of the prior below each coordinate."
    codes = codes.detach().double()
    return torch.special.ndtr(codes) if prior == "normal" else ((codes + 1) / 2).clamp(0, 1)

# %%
prior_cdf(torch.tensor([-1., 0., .5])), prior_cdf(torch.tensor([-1., 0., .5]), "normal")

# %% [markdown]
# The levels are sorted. The share of codes below a level jumps at each code, so the gap is taken on both sides of the jump.

# %%
#| export
@checked
def ks_statistic(codes: Codes, prior: LatentPrior = "uniform") -> torch.Tensor:  # (*runs, latent)
    """The Kolmogorov-Smirnov statistic of every latent axis.

    It is the largest gap between the distribution functions of the codes `(*runs, n, latent)` and
    of the prior.
    """
    u = prior_cdf(codes, prior).sort(-2).values
    rank = torch.arange(1, u.shape[-2] + 1, dtype=u.dtype, device=u.device)[:, None] / u.shape[-2]
    return torch.maximum(rank - u, u - rank + 1 / u.shape[-2]).amax(-2)

# %% [markdown]
# **Fidelity**, against SciPy's:

# %%
from scipy.stats import kstest

# %%
sample = torch.randn(2, 300, 1, generator=g, dtype=torch.float64) * .8 + .1
ours = {prior: ks_statistic(sample, prior)[:, 0] for prior in LATENT_PRIORS}
theirs = {"normal": [kstest(s[:, 0], "norm").statistic for s in sample],
          "uniform": [kstest(s[:, 0], "uniform", args=(-1, 2)).statistic for s in sample]}
theirs = {prior: torch.tensor(values).double() for prior, values in theirs.items()}
assert all(torch.allclose(ours[prior], theirs[prior], atol=1e-12) for prior in LATENT_PRIORS)
ours

# %% [markdown]
# With two latents, a test of one axis at a time is not enough. Put all codes on the diagonal of the square:

# %%
diagonal = (torch.arange(1000, dtype=torch.float64) + .5)[:, None].repeat(1, 2) / 500 - 1
ks_statistic(diagonal)

# %% [markdown]
# Each axis looks perfect, but nearly all of the square is empty. The *joint* statistic uses corners instead of intervals. In $d$ dimensions, $2^d$ corners of space meet at each code $z_i$: in the plane, the regions above right, above left, below right and below left. For each corner $C$, compare the share of the $n$ codes in it with the probability $\mathbb P(C)$ that the prior gives it:
#
# $$K_{\text{joint}}=\max_{i,\;C\ni z_i}\Big|\tfrac1n\#\{j:z_j\in C\}-\mathbb P(C)\Big|.$$

# %%
#| export
def _corners(u: torch.Tensor) -> torch.Tensor:
    "Largest gap over the corners at each row of `u` (n, d), with and without the row itself."
    worst = u.new_zeros(())
    for flip in itertools.product((False, True), repeat=u.shape[1]):
        v = torch.where(torch.tensor(flip, device=u.device), 1 - u, u)
        closed = opened = True
        for axis in v.T:
            closed, opened = closed & (axis <= axis[:, None]), opened & (axis < axis[:, None])
        gaps = closed.double().mean(1) - v.prod(1), v.prod(1) - opened.double().mean(1)
        worst = torch.maximum(worst, torch.cat(gaps).max())
    return worst

# %% [markdown]
# Flipping an axis turns "below" into "above". One loop over all flips therefore visits all $2^d$ corners. The work doubles with each latent, so at most eight latents are allowed.

# %%
#| export
@checked
def joint_ks_statistic(codes: Codes, prior: LatentPrior = "uniform") -> torch.Tensor:  # (*runs,)
    """The Kolmogorov-Smirnov statistic of all latent axes together, for codes `(*runs, n, latent)`.

    It is the largest gap over all corners of space at each code (Fasano and Franceschini 1987).
    With one latent it is `ks_statistic`; `ValueError` for more than eight.
    """
    if codes.shape[-1] > 8:
        raise ValueError("codes: expected at most 8 latents, as 2^latent corners meet at a code, "
                         f"got {codes.shape[-1]}")
    u = prior_cdf(codes, prior)
    return torch.stack([_corners(v) for v in u.reshape(-1, *u.shape[-2:])]).reshape(u.shape[:-2])

# %% [markdown]
# **Fidelity.** With one latent both statistics agree. On the diagonal a corner $[0,u]^2$ holds the share $u$ of the codes and the share $u^2$ of the square. The gap $u-u^2$ is largest at $u=\tfrac12$, where it is $\tfrac14$.

# %%
assert torch.allclose(joint_ks_statistic(sample, "normal"), ours["normal"], atol=1e-12)
assert math.isclose(joint_ks_statistic(diagonal).item(), 1 / 4, abs_tol=2e-3)
joint_ks_statistic(diagonal).item()

# %% [markdown]
# A perfect encoder does not score zero: a finite draw from the prior itself has gaps. The score of such a draw is shown below as *[null](../glossary.ipynb)*. It is smaller for more codes: about .040 for 500 codes on a line, and .026 for 1,000.
#
# ## The game
# The encoder may draw noise beside $x$ (`stochastic`). The penalty is R1, taken at draws of the prior. A table further down shows what it is worth. The cells up to the next heading are code of the library. On a first reading you can skip them.
#
# Games with an encoder share a base class. It holds the prior of $z$ and says how codes are made. [BiGAN](../glossary.ipynb) of chapter [2.2](02_bigan.ipynb) inherits from it, too.

# %%
#| export
@dataclass(kw_only=True)
class EncodingGame(Game):
    "A game with an encoder E, whose codes should follow a prior of latents."
    E: Player = None  # your own, of x, and of noise shaped as z if `stochastic`
    stochastic: bool = False  # whether E draws noise
    prior: LatentPrior = "normal"  # of z

    def encoder(self, event: tuple[int, ...], latent: int, **kw: Any) -> nn.Module:
        "E; `kw` are `runs` and `generator`."
        noise = latent if self.stochastic else 0
        default = lambda: self.networks.encoder(event, latent, noise, **kw)
        return make_player("E", self.E, default, **kw)

    def noise(self, *shape: int, generator: Generators = None, device: Any = None) -> torch.Tensor:
        "Draws from the prior."
        if self.prior == "normal":
            return randn(*shape, generator=generator, device=device)
        return rand(*shape, generator=generator, device=device) * 2 - 1

    def encode(self, t: Any) -> torch.Tensor:
        "E(x), with fresh noise if E is stochastic."
        if not self.stochastic:
            return t.E(t.x)
        return t.E(t.x, randn(*t.z.shape, generator=t.generator, device=t.z.device))

# %%
EncodingGame(prior="uniform").noise(2, 3, 1).shape, error_message(EncodingGame, prior="flat")

# %% [markdown]
# A run calls the game's generator when it samples, and this game has none. So a placeholder raises an error with a hint.

# %%
#| export
class NoGenerator(nn.Module):
    "A placeholder for G in a game without a generator; a call raises `ValueError`."
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        raise ValueError("game: an Encoder makes no examples; run.player('E')"
                         "(run.scale.standardise(x)) makes codes, and a BiGAN makes both")

# %% [markdown]
# Now the game itself. $D$ sees codes, and codes are vectors. So $D$ is fully connected even where $E$ reads pictures with convolutions.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Encoder(EncodingGame):
    """An adversarial encoder: E maps examples to codes, D separates codes from draws of the prior.

    It has no generator. After Makhzani et al. 2015, without the decoder."""
    D: Player = None  # your own, of z
    weight: NonNegative = 1.  # of R1, the penalty on D's gradient at draws of the prior
    turns: ClassVar[str] = "D E"
    conditional: ClassVar[tuple[str, ...]] = "E", "D"

    def players(self, event: tuple[int, ...], latent: int, runs: int,
                generator: list) -> dict[str, nn.Module]:
        "E and D, one copy per run."
        kw = dict(runs=runs, generator=generator)
        E = self.encoder(event, latent, **kw)
        vectors = dataclasses.replace(self.networks, kind="mlp")
        D = make_player("D", self.D, lambda: vectors.discriminator((latent,), **kw), **kw)
        return {"E": E, "D": D, "G": NoGenerator()}

# %% [markdown]
# The losses are those above. $D$ has the penalty, too:

# %%
#| export
@patch
def loss_D(self: Encoder, t: Any) -> torch.Tensor:
    "The loss of D: draws of the prior should score high and codes low; plus R1."
    with torch.no_grad():
        code = self.encode(t)
    loss = discriminator_loss(*score_batches(t.D, t.z, code))
    return loss + self.weight * r1(t.D, t.z) if self.weight else loss

# %% [markdown]
# $E$ learns about the prior only through $D$.

# %%
#| export
@patch
def loss_E(self: Encoder, t: Any) -> torch.Tensor:
    "The loss of E: its codes should score high."
    return generator_loss(t.D(self.encode(t)))

# %%
circle = ring(8, radius=2, std=.02)
error_message(Run(Encoder(), circle, runs=2, device="cpu").sample, 10)

# %% [markdown]
# ## Which regions of the prior do the codes miss?
# Eight encoders are trained on the line. At some steps we encode 500 fresh points. Cut the prior into five regions with equal probability. A region is *missed* if it holds less than a tenth of its share of codes.
#
# **Predict:** how many of the five regions are missed before training, and how many after 1000 steps?

# %%
rates = {"E": 5e-4, "D": 2e-3}
marks = [0, 10, 30, 100, 300, 1000]

# %%
@torch.no_grad()
def look(run, n: int = 500):
    "Fresh points with their modes and codes, and as many draws of the prior; each (runs, n, ·)."
    draw = run.generators
    x, mode = map(torch.stack,
                  zip(*(run.modes.sample_with_modes(n, generator=g) for g in draw("look"))))
    z = run.noise(n, draw("look", 1))
    turn = SimpleNamespace(x=x, z=z, generator=draw("look", 2), **run.players.nets)
    return {"x": x, "mode": mode, "code": run.game.encode(turn), "z": z}

# %%
def missed(codes, regions: int = 5) -> list[int]:
    "Regions of the uniform prior with less than a tenth of their share of the codes, run by run."
    where = (prior_cdf(codes)[..., 0] * regions).long().clamp_max(regions - 1)
    share = nn.functional.one_hot(where, regions).double().mean(1)
    return (share < .1 / regions).sum(1).tolist()

# %%
small, quick = Networks(latent=1, width=32), Optimiser(rates)
backward = Encoder(prior="uniform", networks=small, optimiser=quick)
backward = Run(backward, data, batch=256, device="cpu")
seen = {at: look(backward.step(steps(at + 1, at // 25 + 1) - 1 - backward.steps)) for at in marks}
lost = {at: missed(s["code"]) for at, s in seen.items()}
lost

# %%
assert fast_mode() or lost[300] == [0] * 8 and sum(0 < n < 4 for n in lost[0]) == 6

# %%
first = missed(seen[0]["code"])
r = first.index(max(first))
figure, ax = axes(size=(5.2, 2.8))
for place, (at, s) in enumerate(seen.items()):
    spread = torch.linspace(-.3, .3, 500)
    ax.plot(place + spread, s["code"][r, :, 0], ".", c=REAL, ms=2)
ax.hlines([-1, -.6, -.2, .2, .6, 1], -.5, 5.5, color=MISSING, lw=.6, ls=":")
ax.set(xticks=range(len(marks)), xticklabels=marks, xlabel="step", ylabel="code z",
       ylim=(-1.6, 1.6))
Picture(
    figure,
    f"Seed {r}: the codes of five modes at six moments; regions missed at first: {first[r]}, at "
    "the end: "
    f"{missed(seen[1000]['code'])[r]}")

# %%
before, after = (interval(missed(seen[at]["code"]), low=0, high=5) for at in (0, 1000))
claim("An encoder misses regions of the latent at first and captures them all later",
      paper="Sharma and Namboodiri 2018", section="introduction", ours=after,
      baseline=f"{before} before training", holds=after.high < .2 and before.low > .5)

# %% [markdown]
# Before training, six seeds of eight miss one to three regions. At step 300 no seed misses any. The prior is connected, so next to a missed region there are codes. A likely reason for the filling: there the slope of $D$ leads into the missed regions, one after the other. A missed mode of the data may have no samples near it.
#
# ## Points cannot fill an interval
# No region is missed. But is the prior *filled evenly*?

# %%
def ks_gaps(seen: dict, prior: str) -> dict:
    "Both statistics of the codes, seed by seed, and of draws of the prior."
    both = {"per axis": lambda codes: ks_statistic(codes, prior).mean(-1),
            "jointly": lambda codes: joint_ks_statistic(codes, prior)}
    return {name: {"codes": of(seen["code"]).tolist(), "null": of(seen["z"]).mean().item()}
            for name, of in both.items()}

# %%
def in_words(found: dict) -> str:
    "Both statistics over the seeds, and their null."
    return ";   ".join(f"{name} {interval(row['codes'], low=0, high=1):.3f}, "
                       f"null {row['null']:.3f}" for name, row in found.items())

# %%
gaps = ks_gaps(seen[1000], "uniform")["per axis"]
assert fast_mode() or interval(gaps["codes"]).mean > 3 * gaps["null"]
print(in_words(ks_gaps(seen[1000], "uniform")))

# %% [markdown]
# $K$ is more than three times the null. Why? The modes are nearly points, and a deterministic $E$ sends a point to a point. Five points are not an interval. An *atom* is a point that holds a share of the codes. If mode $k$ has the share $w_k$, the distribution function of the codes jumps by $w_k$ there. That of the prior rises without a jump. So on one side of the jump the gap is at least $w_k/2$:
#
# $$K\ge\tfrac12\max_k w_k,\qquad\text{for five equal atoms}\quad K\ge\tfrac1{10}.$$
#
# The bound is reached when the atoms stand in the middles of the five regions. **Fidelity:**

# %%
def atoms(spots) -> torch.Tensor:
    "A hundred codes on every spot, (*runs, n, 1)."
    return torch.as_tensor(spots, dtype=torch.float64).repeat_interleave(100, -1)[..., None]

best_spots = [-.8, -.4, 0., .4, .8]
tries = rand(2000, 5, generator=g, dtype=torch.float64) * 2 - 1
floor = ks_statistic(atoms(best_spots)).item()
assert math.isclose(floor, .1, abs_tol=1e-12) and (ks_statistic(atoms(tries)) > floor).all()
floor, ks_statistic(atoms(tries)).min().item()

# %% [markdown]
# For exact points this is a *[floor](../glossary.ipynb)*: no training goes below it. Real modes have a width. A map that is steep enough can stretch each mode over its fifth of the prior. The next lines were recorded for four widths (standard deviations) with the same settings and 1,000 codes. *Apart* counts the modes whose codes are not mixed with others (defined below):

# %%
for row in record.get("width", []):
    print(f"{row['setting']:36} KS {row['ks']}   floor for points .100   null {row['null']}   "
          f"apart {sum(row['kept by seed']) / 8:.2f} of 5")
widths = [first_number(row["ks"]) for row in record.get("width", [])]
assert not widths or min(widths[:2]) > .1 and widths == sorted(widths, reverse=True)

# %% [markdown]
# At a width of 0.02 the trained $E$ stays above the floor for points. Wider modes give a smaller $K$. At 0.3 the modes of the data overlap, so their codes do, too.
#
# ### An encoder with noise fills the prior
# Let $E$ draw a random number $\varepsilon$ for each example: $z=E(x,\varepsilon)$. The codes of one mode can now spread over an interval.

# %%
@experiment("01_encoder", early=20)
def codes_with_noise(total=1000):
    game = Encoder(prior="uniform", stochastic=True, networks=small, optimiser=quick)
    return look(Run(game, data, batch=256, device="cpu").step(total))["code"]

# the same points and the same draws of the prior as above: they depend on the seed alone
noisy = seen[1000] | {"code": torch.tensor(codes_with_noise())}
gaps = ks_gaps(noisy, "uniform")["per axis"]
assert fast_mode() or 1.2 < interval(gaps["codes"]).mean / gaps["null"] < 1.8
print(in_words(ks_gaps(noisy, "uniform")))

# %%
filled = interval(ks_statistic(noisy["code"])[:, 0], low=0, high=1)
claim(
    "An encoder with noise fills the prior better than any deterministic encoder of five points "
    "could",
    paper="this course", section="line of five", ours=filled, baseline="0.1 (floor)",
    holds=filled.high < .1)

# %% [markdown]
# The statistic is one and a half times the null, where it was more than three times before. Does this encoder lose nothing?
#
# ## Filling the prior does not keep modes apart
# $D$ sees codes and never an $x$. Nothing in the game prevents two modes of the data from getting *the same* codes. So test the codes: is the nearest other code a code of the same mode? If this is true for more than nine tenths of a mode's points, the mode is *kept apart*.

# %%
#| export
@checked
def separated_modes(codes: Codes,  # (*runs, n, latent)
                    mode: ModeNumbers,  # the mode each code came from, (*runs, n)
                    n_modes: Count,
                    least: Share = .9,  # share of its codes whose nearest other is of the mode
                    ) -> torch.Tensor:  # (*runs,)
    """How many modes are kept apart: the nearest other code is nearly always of the same mode.

    A mode with fewer than two codes is not; a tie between two modes counts for neither.
    """
    codes = codes.detach().float() if codes.dtype.itemsize < 4 else codes.detach()
    apart = torch.cdist(codes, codes, compute_mode="donot_use_mm_for_euclid_dist")
    apart.diagonal(dim1=-2, dim2=-1).fill_(math.inf)
    same = mode[..., None] == mode[..., None, :]
    nearest_own = apart.masked_fill(~same, math.inf).amin(-1)
    told = nearest_own < apart.masked_fill(same, math.inf).amin(-1)
    found = [(told & (mode == k)).sum(-1) > least * (mode == k).sum(-1) for k in range(n_modes)]
    return torch.stack(found).sum(0)

# %% [markdown]
# Three encoders written by hand show what the two measures mean. *Hash* takes digits of $x$ far behind the decimal point. *Constant* gives the same code to everything. *By rank* is the best that is possible on a line: with infinitely many points its $K$ is 0. It keeps the order of the points and gives every mode a fifth of the interval. It is the distribution function of the data.

# %%
def by_rank(x):
    "The distribution function of the five modes, stretched over [-1, 1]."
    return torch.special.ndtr(
        (x.double() - data.centers[:, 0]) / .02).mean(-1, keepdim=True) * 2 - 1


hand = {
    "hash": lambda x: (x.double() * 1e4).frac().abs() * 2 - 1, "constant": lambda x: x * 0,
    "by rank": by_rank
}
x, mode = seen[0]["x"], seen[0]["mode"]
tried = {name: (E(x), mode) for name, E in hand.items()}

# %%
def closest(code, mode) -> float:
    "Mean over runs of the smallest distance of two modes' mean codes; .4 if spread evenly."
    means = torch.stack([(code[..., 0] * (mode == k)).sum(1) / (mode == k).sum(1)
                         for k in range(5)], 1)
    return means.sort(1).values.diff().amin(1).mean().item()

# %%
tried |= {
    "E, before training": (seen[0]["code"], mode), "E, deterministic": (seen[1000]["code"], mode),
    "E, with noise": (noisy["code"], noisy["mode"])
}
for name, (code, m) in tried.items():
    print(
        f"{name:20} K {ks_statistic(code)[:, 0].mean():.3f}   kept apart "
        f"{separated_modes(code, m, 5).tolist()}   closest {closest(code, m):.2f}"
    )
assert fast_mode() or closest(*tried["E, deterministic"]) > closest(*tried["E, before training"])

# %% [markdown]
# - *Hash* fills the prior and keeps no modes apart. So a small $K$ says *nothing* about modes.
# - *By rank* does both. It is deterministic, so the floor for points is no floor for modes with a width.
# - An *untrained* $E$ keeps all five apart in every seed: a random map rarely sends two modes to one code.
# - Training without noise moves the closest two modes from .16 to .40 apart. Two modes with one code would be one atom of double weight, which costs a larger $K$.
# - With noise this reason is gone. Two modes may share an interval, and in seven of eight seeds some do.

# %%
apart_random, apart_plain, apart_noisy = (
    interval(separated_modes(s["code"], s["mode"], 5), low=0, high=5)
    for s in (seen[0], seen[1000], noisy))
claim("An encoder that fills the prior gives every mode of the data a place of its own",
      paper="this course", section="line of five, with noise", ours=apart_noisy,
      baseline=f"{apart_plain} deterministic", holds=apart_noisy.low > 4.5, expect=False)

# %%
claim("A deterministic encoder of near-points keeps all five modes apart",
      paper="Sharma and Namboodiri 2018", section="introduction", ours=apart_plain,
      baseline=f"{apart_random} untrained; {apart_noisy} with noise", holds=apart_plain.low > 4.5)

# %% [markdown]
# The sentence "an encoder loses no mode" is true of the latent: the prior has one mode, and the codes reach every fifth of it. Whether the encoder loses modes of the data is a different question. $D$ cannot see from the codes that two modes were mixed. Whether they are depends on the seed, the noise, and the width of the modes.
#
# ## In the plane
# Now eight modes on a ring, two latents and a normal prior. Colours and digits show the mode. Without noise all codes of a mode lie in one small spot, so the middle panel shows one code of each mode; the right one shows up to forty.

# %%
def in_plane(stochastic: bool, total: int) -> dict:
    "Both measures of eight encoders of the ring, and some codes of the first."
    game = Encoder(stochastic=stochastic, networks=Networks(latent=2, width=32), optimiser=quick)
    found = look(Run(game, circle, batch=256, device="cpu").step(total))
    some = {name: found[name][0, :320] for name in ("mode", "code", "z")}
    return {"gaps": ks_gaps(found, "normal"),
            "kept": separated_modes(found["code"], found["mode"], 8),
            "mode": some["mode"], "code": some["code"].round(decimals=2),
            "z": some["z"].round(decimals=2)}

# %%
@experiment("01_encoder", early=20)
def plane_deterministic(total=1000):
    return in_plane(False, total)

# %%
@experiment("01_encoder", early=20)
def plane_with_noise(total=1000):
    return in_plane(True, total)

# %%
plane = {"deterministic": plane_deterministic(), "with noise": plane_with_noise()}
for name, found in plane.items():
    print(f"{name:14} {in_words(found['gaps'])};   kept {found['kept']}")
assert fast_mode() or [found["kept"] for found in plane.values()] == [[8] * 8, [0] * 8]

# %%
figure, panels = axes(1, 3, size=(2.6, 2.7), sharex=True, sharey=True)
shades = [REAL, FAKE, ACCENT, MISSING]
panels[0].plot(*zip(*plane["deterministic"]["z"]), ".", c=MISSING, ms=2)
for ax, found, n in zip(panels[1:], plane.values(), (1, 40)):  # the codes of a mode
    for k in range(8):
        code = torch.tensor(found["code"])[torch.tensor(found["mode"]) == k]
        ax.plot(*code[:n].T, ls="", marker=f"${k}$", c=shades[k % 4], ms=5)
for ax, title in zip(panels, ("draws of the prior", "codes, deterministic", "codes, with noise")):
    ax.set(title=title, xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="z₁", aspect="equal")
panels[0].set_ylabel("z₂")
Picture(
    figure,
    "Draws of the prior; a code of each mode from a deterministic encoder, eight places; codes "
    "with noise: nearly the disc of the prior, each mode overlapping others")

# %% [markdown]
# With noise the codes nearly fill the disc of the prior, and no mode is kept apart. (Some order is left: the codes of mode 4 lie mostly in the upper half, those of mode 7 below and to the right.) Is this so for other sets and priors? `python benchmarks/encoder.py` recorded eight combinations, with and without noise. Each has eight seeds and 1,000 codes:

# %%
def kept_apart(row: dict) -> str:
    "The modes that a recorded run keeps apart: mean and interval."
    return f"{interval(row['kept by seed'], low=0, high=row['of']):.2f}"

# %%
figure, panels = axes(1, 2, size=(4, 3.2), sharey=True)
rows = record.get("grid", [])
places = list(dict.fromkeys(row["setting"].rsplit(", ", 1)[0] for row in rows))
for row in rows:
    place, noise = row["setting"].rsplit(", ", 1)
    y, noisy = places.index(place), noise == "with noise"
    style = dict(c=FAKE if noisy else REAL, marker="x" if noisy else "o", ls="",
                 label=noise if not y else None)
    panels[0].plot(first_number(row["joint"]), y, **style)
    panels[0].plot(float(row["joint null"]), y, "|", c=MISSING, ms=12,
                   label=None if y or noisy else "null")
    shares = [kept / row["of"] for kept in row["kept by seed"]]
    panels[1].plot(shares, [y + (.15 if noisy else -.15)] * 8, alpha=.5, **style)
panels[0].set(yticks=range(len(places)), yticklabels=places, xlabel="joint KS, mean", xlim=(0, .4))
panels[1].set(xlabel="modes kept apart, share (each seed)", xlim=(-.05, 1.05))
panels[0].legend(frameon=False)
Picture(figure, "Joint KS and share of modes kept apart, with and without noise: " + "; ".join(
    f"{row['setting']}, KS {first_number(row['joint'])}, {kept_apart(row)} of {row['of']}"
    for row in rows))

# %% [markdown]
# The result is the same in all eight combinations:
#
# - **Without noise** the modes are kept apart and the prior is not filled: $K$ is at least four times the null. $K$ is larger with two latents than with one: a few points leave more of a square empty than of an interval. One seed of 64 is an exception. On the ring with one uniform latent it keeps only six of eight modes apart.
# - **With noise** the prior is nearly filled: $K$ is 1.1 to 2.3 times the null. Most modes are mixed. With a *normal* prior no mode is kept apart in any seed. A likely reason: the noise that $E$ draws already follows that prior, so an encoder that passes the noise on and ignores $x$ is a solution.

# %%
pairs_of_rows = list(zip(rows[::2], rows[1::2]))
times = [first_number(row["joint"]) / float(row["joint null"]) for _, row in pairs_of_rows]
assert not rows or 1 < min(times) and max(times) < 2.4
assert all(first_number(row["joint"]) > 4 * float(row["joint null"]) for row, _ in pairs_of_rows)
gaps = {row["setting"]: first_number(row["joint"]) for row, _ in pairs_of_rows}
assert all(k < gaps[name.replace("1-D", "2-D")] for name, k in gaps.items() if "1-D" in name)
assert sum(kept < row["of"] for row, _ in pairs_of_rows for kept in row["kept by seed"]) <= 1
assert not any(sum(row["kept by seed"]) for _, row in pairs_of_rows if "normal" in row["setting"])

# %% [markdown]
# These settings were tried on the line with a uniform prior:

# %%
for row in record.get("tuning", []):
    name = row["setting"].replace("price 3", "R1 of weight 3").replace("price on D's slope", "R1")
    print(f"{name.replace('no price', 'no R1'):42} KS {row['ks'].split(' over')[0]:22} apart "
          f"{kept_apart(row)} of 5")

# %% [markdown]
# A $D$ with four times the rate of $E$, and R1, both make the codes more even. Each alone gives at least half of the gain. No setting clearly changes what is kept apart: all five modes without noise, about one or two of them in the mean with it.
#
# ## Under your hands: set the codes yourself
# Five sliders set the codes of the five modes. A sixth sets the noise, which spreads each mode over an interval. First two modes share a code (a *fold*). Look at $K$ and separate them. Then bring $K$ near zero in two ways: with all modes apart, and with none apart.

# %%
def placed(spots, width: float):
    "Stripes of codes around the spots, evenly spread: (1000, 1) codes and their modes."
    spread = ((torch.arange(200) + .5) / 200 - .5) * width
    codes = torch.tensor(spots)[:, None] + spread
    return codes.reshape(-1, 1).double(), torch.arange(5).repeat_interleave(200)

# %%
def stripes(ax, spots, width: float) -> tuple[float, int]:
    "A row per mode, every other fifth of the prior shaded; the two measures."
    code, mode = placed(spots, width)
    for left in (-1, -.2, .6):
        ax.axvspan(left, left + .4, color=MISSING, alpha=.15, lw=0)
    ax.plot(code[::4, 0], mode[::4], "|", c=REAL, ms=9)
    gap, own = ks_statistic(code).item(), separated_modes(code, mode, 5).item()
    ax.set(xlim=(-1.2, 1.2), ylim=(-.6, 4.6), yticks=range(5), xlabel="code z", ylabel="mode",
           title=f"K = {gap:.3f}, {own} of 5 apart")
    return round(gap, 3), own

# %%
figure, panels = axes(1, 4, size=(2.4, 2.2), sharey=True)
hands = {
    "folded": ([-.8, -.8, 0., .4, .8], 0.), "spread": (best_spots, 0.), "striped": (best_spots, .4),
    "piled": ([0.] * 5, 2.)
}
told = {name: stripes(ax, *hand) for ax, (name, hand) in zip(panels, hands.items())}
for ax in panels[1:]:
    ax.set_ylabel("")
Picture(
    figure, "Four encoders by hand, a row for each mode: " +
    "; ".join(f"{k}, K {v[0]:.3f} and {v[1]} of 5 apart" for k, v in told.items()))

# %%
import ipywidgets as w

sliders = [
    w.FloatSlider(v, min=-1, max=1, step=.05, description=f"mode {k}")
    for k, v in enumerate([-.8, -.8, 0., .4, .8])
]
sliders.append(w.FloatSlider(0, min=0, max=2, step=.05, description="noise"))
view = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))
words, tried_so_far = w.Label(), []

def place(change=None):
    figure, ax = axes(size=(4.6, 2.6))
    *spots, width = (slider.value for slider in sliders)
    tried_so_far.append(stripes(ax, spots, width))
    view.value, words.value = Picture(figure, "").png, ax.get_title()

for slider in sliders:
    slider.observe(place, "value")
place()
w.VBox([w.HBox(sliders[:3]), w.HBox(sliders[3:]), words, view])

# %%
sliders[1].value, sliders[5].value = -.4, .4
gaps, apart = zip(*tried_so_far)
assert apart == (3, 5, 5) and gaps[0] > 2 * floor - .001 > .15 > gaps[2] + .1
tried_so_far

# %% [markdown]
# ## In your own code
# Use your encoder, your [critic](../glossary.ipynb) of codes and your prior. Measure both: how well the codes fill the prior, and whether your classes are kept apart. (The data and the labels here are random numbers, and the training is 20 steps. So the output shows only what you get: $K$ of the codes, the null, and the number of classes kept apart.)

# %%
my_E, my_D = nn.Linear(10, 2), mlp(2, (), 32)
adam_d, adam_e = (torch.optim.Adam(net.parameters(), rate)
                  for net, rate in ((my_D, 2e-3), (my_E, 5e-4)))
x, label = torch.randn(256, 10), torch.randint(4, (256,))
for _ in range(20):
    z = torch.randn(256, 2)
    adam_d.zero_grad()
    (discriminator_loss(my_D(z), my_D(my_E(x).detach())) + r1(my_D, z)).backward()
    adam_d.step()
    adam_e.zero_grad()
    generator_loss(my_D(my_E(x))).backward()
    adam_e.step()
print(joint_ks_statistic(my_E(x), "normal"), joint_ks_statistic(z, "normal"),
      separated_modes(my_E(x), label, 4))

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.encoder import grade_encoder, grade_floor, grade_ks

# %% [markdown]
# **1.** (easy, 5 minutes) Three modes are exact points with shares ½, ¼ and ¼, and the encoder is deterministic. What is the smallest $K$ that it can reach?
#
# <details><summary>Hint</summary>
#
# The distribution function of the codes jumps at each code. Which jump is the largest, and where is the best place for it?
#
# </details>

# %%
answer = ...
grade_floor(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The largest jump is ½. Wherever the code stands, the gap is at least half of it on one side: $K\ge\frac14$. It is reached: put the heavy mode at level ¼, and the others at levels between ½ and 1 where their gaps are at most ¼.
#
# ```python
# answer = 1 / 4
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `ks(levels)`: the Kolmogorov–Smirnov statistic of levels of shape `(n,)` in $[0,1]$, as one number. Do not use the library's function.
#
# <details><summary>Hint</summary>
#
# Sort the levels. Just *at* the $i$-th of them the share of codes is $i/n$. Just *below* it the share is $(i-1)/n$. Both gaps count.
#
# </details>

# %%
def ks(levels):
    ...

answer = ks
grade_ks(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def ks(levels):
#     u, n = levels.sort().values, len(levels)
#     rank = torch.arange(1, n + 1, dtype=u.dtype)
#     return torch.maximum(rank / n - u, u - (rank - 1) / n).max()
#
# answer = ks
# ```
#
# With one side only, a set of codes that are all too large would look perfect, or a set that are all too small.
#
# </details>

# %% [markdown]
# **3.** (hard, 25 minutes) Write an encoder of the five modes, `answer(x)` from $(n,1)$ to codes $(n,1)$ in $[-1,1]$, without noise. It should fill the uniform prior ($K<.06$) *and* keep every mode apart. The data are `line(5, spacing=1., std=.02)`: modes at $-2,-1,0,1,2$.
#
# <details><summary>Hint</summary>
#
# Each mode gets a fifth of the interval. Within its fifth, a code can follow the place of $x$ in its mode. Which function turns normal numbers into uniform ones?
#
# </details>

# %%
answer = ...
grade_encoder(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The distribution function of a normal law turns normal numbers into uniform ones. The mean of the five distribution functions is that of the data, and it keeps the order.
#
# ```python
# def by_distribution(x):
#     modes = torch.tensor([-2., -1., 0., 1., 2.], dtype=torch.float64)
#     return torch.special.ndtr((x.double() - modes) / .02).mean(-1, keepdim=True) * 2 - 1
#
# answer = by_distribution
# ```
#
# Its slope within a mode is about 8, and nearly 0 between the modes. The small networks of this chapter did not learn such a map, with R1 or without.
#
# </details>

# %% [markdown]
# ## Recap
# - An encoder that is trained against a prior uses the GAN loss of 2014, with codes in place of samples. The prior is connected. Its regions are missed at first and filled later.
# - Measure how the codes fill the prior by $K$, per axis *and* jointly, beside the null. Atoms of weight $w$ cost at least $w/2$, whatever the training.
# - Noise removes that floor. It also removes the reason to keep modes apart. Filling the prior and keeping modes apart are two measures: a hash does the first without the second.
# - A code can be made to depend on its $x$ by a $D$ that sees both. That is the next chapter.
#
# **For later.**
#
# 1. Why does the slope of $D$ find a missed region of the prior and not always a missed mode of the data?
# 2. What is $K$ of an encoder that gives everything the same code?
# 3. Which of the two measures shows that $E$ passes its noise through?
# 4. What does $D$ know of $x$? ([2.2](02_bigan.ipynb))
#
# <details><summary>Answers</summary>
#
# 1. The prior is connected: next to the missed regions there are codes, and $D$ is trained there. A likely reason for the filling is that its slope leads into them, one after the other. A missed mode may be far from all samples.
# 2. At the level $u$ of that code the jump is 1, so $K=\max(u,1-u)$: one half in the middle, 1 at the end.
# 3. The count of modes that are kept apart. $K$ is small for such an encoder.
# 4. Nothing but the code.
#
# </details>
#
# **References.** S. Sharma, V. Namboodiri, *No modes left behind: capturing the data distribution effectively using GANs*, 2018. A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, *Adversarial autoencoders*, 2015. J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. G. Fasano, A. Franceschini, *A multidimensional version of the Kolmogorov–Smirnov test*, 1987.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.encoder
"Graders of chapter 2.1."
import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import line
from modelab.methods.encoder import ks_statistic, separated_modes

# %%
#| export course.graders.encoder
@exercise(accepts=[.25, 1 / 4], rejects=[.5, 1 / 6, .125, .1, 0, 1, 1 / 3])
def grade_floor(answer):
    assert abs(as_number(answer) - .25) < 1e-6, \
        "look at the largest jump; the code may stand where both sides of it are equally far off"

# %%
#| export course.graders.encoder
def levels_gap(levels, sides=(0, 1), reduce=torch.max):
    "The statistic, and wrong ones with one side of each jump only, or a mean."
    u, n = levels.sort().values, len(levels)
    rank = torch.arange(1, n + 1, dtype=u.dtype)
    gaps = (rank / n - u, u - (rank - 1) / n)
    return reduce(torch.stack([gaps[side] for side in sides]))

# %%
#| export course.graders.encoder
@exercise(accepts=[levels_gap, lambda u: ks_statistic(u[:, None] * 2 - 1)[0]],
          rejects=[lambda u: levels_gap(u, (0,)), lambda u: levels_gap(u, (1,)),
                   lambda u: levels_gap(u, reduce=torch.mean), lambda u: (u.mean() - .5).abs(),
                   lambda u: (u - .5).abs().max(), lambda u: levels_gap(u.sort().values ** 2),
                   lambda u: levels_gap(u).repeat(2)])
def grade_ks(ks):
    g = torch.Generator().manual_seed(0)
    for power in (1, .5, 2):
        u = torch.rand(40, generator=g, dtype=torch.float64) ** power
        found = torch.as_tensor(ks(u))
        assert found.numel() == 1, "one number for levels of shape (n,)"
        right = ks_statistic(u[:, None] * 2 - 1).item()
        assert abs(found.item() - right) < 1e-6, \
            "compare the share at each level and just below it with the level; take the largest gap"

# %%
#| export course.graders.encoder
def by_distribution_function(x):
    "A right answer: the distribution function of the data, stretched over [-1, 1]."
    centers = torch.arange(-2., 3., dtype=torch.float64)
    return torch.special.ndtr((x.double() - centers) / .02).mean(-1, keepdim=True) * 2 - 1

# %%
#| export course.graders.encoder
def stretched(x):
    "A right answer: the mode gives the fifth, the place within ±1.7 deviations gives the rest."
    k = (x + 2).round().clamp(0, 4)
    return (k + ((x + 2 - k) / .02 / 3.4 + .5).clamp(0, 1)) * .4 - 1

# %%
#| export course.graders.encoder
def hashed(x):
    "A wrong answer: digits far behind the point."
    return (x.double() * 1e4).frac().abs() * 2 - 1

# %%
#| export course.graders.encoder
@exercise(accepts=[by_distribution_function, stretched],
          rejects=[hashed, lambda x: x * 0, lambda x: x / 2.5, lambda x: x / 2,
                   lambda x: (x + 2).round() * .4 - .8, lambda x: 2 * by_distribution_function(x),
                   lambda x: by_distribution_function(x)[:, 0]])
def grade_encoder(encode):
    x, mode = line(5, spacing=1., std=.02).sample_with_modes(2000, torch.Generator().manual_seed(5))
    code = encode(x)
    assert code.shape == (2000, 1) and code.abs().max() <= 1, "one code in [-1, 1] for each point"
    assert separated_modes(code, mode, 5) == 5, "some modes share their codes"
    K = ks_statistic(code).item()
    assert K < .06, f"K is {K:.3f}: look for gaps and heaps in the codes"
