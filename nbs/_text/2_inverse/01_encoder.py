# %% [markdown]
# # The inverted generator
# > What does an encoder lose that is trained against a prior, and what does it keep?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | If a generator loses modes of the data, what does a network lose that runs the other way, from the data to the latent? |
# | **You will be able to** | train an encoder against a prior, measure how uniform its codes are beside what is possible at all, and tell "fills the latent" from "keeps the modes apart" |
# | **Paper** | Sharma and Namboodiri, *No modes left behind*, 2018, introduction; Makhzani et al., *Adversarial autoencoders*, 2015; Donahue, Krähenbühl, Darrell, *Adversarial feature learning*, 2017 |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | about twenty seconds of computing |

# %%
#| default_exp methods.encoder

# %%
#| export
"The inverted generator: an adversarially trained encoder, and tests of its latent codes."
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
from types import SimpleNamespace

from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.notebooks import patch
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.course.exercises import exercise
from modelab.data.mixtures import line, ring
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# ## Five modes to lose
# Five modes on a line, one number as latent. The generator of chapter [1.1](../1_game/01_minimax.ipynb) plays on them, eight seeds.
#
# **Predict:** how many of the eight show all five modes?
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

minimax_on_line()["captured"]

# %% [markdown]
# Hardly any. The data have five separate modes, $G$ is one continuous curve, and no slope of $D$ leads to a mode without samples. Was this $G$ tuned? Recorded, eight seeds each:

# %%
record = recorded("encoder")
for row in record.get("forward", []):
    print(
        f"{row['setting']:32} modes {row['captured'].split(' over')[0]:20} of 5   high quality "
        f"{row['high quality'].split(' over')[0]}"
    )

# %% [markdown]
# A penalty on $D$'s gradient (chapter [1.4](../1_game/04_wasserstein.ipynb)) gives every mode of this line its good sample, and most samples still lie between modes. So either modes are lost or quality.
#
# Now train a network in the other direction: $E$ takes an example $x$ and gives a code $z=E(x)$. What it has to imitate is the prior, the law from which $G$ would draw its latents: here uniform on $[-1,1]$.
#
# **Predict:** how many modes can $E$ lose?

# %% [markdown]
# ## The same game with its ends exchanged
# The prior has *one* mode. For $D$, a draw from the prior is real and a code is generated:
#
# $$\min_E\max_D\;\mathbb E_z\log\sigma\big(D(z)\big)+\mathbb E_x\log\big(1-\sigma(D(E(x)))\big).$$
#
# No new loss is needed: chapter 1.1 has them all. (In chapter 2.2 it is the pair with the real $x$ that is called real, so that codes stand on the other side. Nothing else changes.) A whole turn of each:

# %%
E, D = mlp(1, 1, 32), mlp(1, (), 32)
g = torch.Generator().manual_seed(0)
x, z = data.sample(256, generator=g), rand(256, 1, generator=g) * 2 - 1
loss_d = discriminator_loss(D(z), D(E(x).detach()))
loss_e = generator_loss(D(E(x)))
loss_d.item(), loss_e.item()

# %% [markdown]
# **Fidelity.** Let the prior be $\mathcal N(0,1)$ and the codes $\mathcal N(m,1)$. The best logit is the log-ratio of the densities, $m^2/2-mz$. With it the value of the game is $2\,\mathrm{JSD}-\log4$, and every code is pushed the same way: back, towards the prior.

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
# ## How far from the prior?
# The prior has one mode, so a mode count says nothing. Measure instead how evenly the prior is filled. Give every code its *level* $u=F(z)$, the share of the prior below it. Codes that follow the prior have levels that are uniform on $[0,1]$. The **Kolmogorov–Smirnov statistic** is the largest gap between the share of codes below a level and the level itself:
#
# $$K=\sup_u\big|\hat F_n(u)-u\big|.$$
#
# 0 is perfect. One half is what you get when all codes sit at one point in the middle.

# %%
#| export
LatentPrior = Literal["normal", "uniform"]  # standard normal; or uniform on [-1, 1]
LATENT_PRIORS = get_args(LatentPrior)
Codes = Annotated[torch.Tensor, Finite("*runs n latent")]
ModeNumbers = Annotated[torch.Tensor, Labels("*runs n")]

# %% [markdown]
# The level of a code is the prior's distribution function there, coordinate by coordinate.

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
# Sort the levels. The share of codes below a level jumps at each of them, so the gap is taken on both sides of the jump.

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
# With two latents, one axis at a time is not enough. Put all codes on the diagonal of the square:

# %%
diagonal = (torch.arange(1000, dtype=torch.float64) + .5)[:, None].repeat(1, 2) / 500 - 1
ks_statistic(diagonal)

# %% [markdown]
# Perfect on both axes, and nearly all of the square is empty. *Jointly*, an interval below a level becomes a corner: for each code and each of the $2^d$ corners $C$ of space that meet there, compare the share of codes in the corner with the share of the prior,
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
# A flip of an axis turns "below" into "above", so one loop over the flips sees all $2^d$ corners. The work doubles with each latent; eight is the most that is allowed.

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
# **Fidelity.** With one latent both statistics agree. On the diagonal a corner $[0,u]^2$ holds the share $u$ of the codes and $u^2$ of the square: the gap is largest at $u=\tfrac12$, and it is $\tfrac14$.

# %%
assert torch.allclose(joint_ks_statistic(sample, "normal"), ours["normal"], atol=1e-12)
assert math.isclose(joint_ks_statistic(diagonal).item(), 1 / 4, abs_tol=2e-3)
joint_ks_statistic(diagonal).item()

# %% [markdown]
# A perfect result is not zero either: a finite draw from the prior itself has gaps. Every table below carries that number as *null*.
#
# ## The game
# The encoder may draw noise beside $x$ (`stochastic`; it will matter). Its penalty is on $D$'s gradient at draws of the prior, R1 of chapter 1.4; what that is worth stands in the table of what was tried.
#
# What every game with an encoder shares is a class of its own: the prior of $z$, and how codes are made. BiGAN of chapter [2.2](02_bigan.ipynb) inherits from it, too.

# %%
#| export
@dataclass(kw_only=True)
class EncodingGame(Game):
    "A game with an encoder E of examples and a prior of latents that the codes should follow."
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
# A run asks its game for a generator when it samples. This game has none, so in its place stands a network that says so.

# %%
#| export
class NoGenerator(nn.Module):
    "Stands where a run looks for G, to say that there is none."
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        raise ValueError("game: an Encoder makes no examples; run.player('E')"
                         "(run.scale.standardise(x)) makes codes, and a BiGAN makes both")


# %% [markdown]
# Now the game itself. $D$ sees codes, which are vectors, so it is fully connected even where $E$ reads pictures by convolutions.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Encoder(EncodingGame):
    """The inverted generator: E turns examples into codes, D tells codes from draws of the prior.

    It makes no examples. After Makhzani et al. 2015, without the decoder."""
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
# The losses are those of the whole turn above, and the penalty:

# %%
#| export
@patch
def loss_D(self: Encoder, t: Any) -> torch.Tensor:
    "D wants draws of the prior high and codes low."
    with torch.no_grad():
        code = self.encode(t)
    loss = discriminator_loss(*score_batches(t.D, t.z, code))
    return loss + self.weight * r1(t.D, t.z) if self.weight else loss


# %% [markdown]
# $E$ gets information about the prior only through $D$.

# %%
#| export
@patch
def loss_E(self: Encoder, t: Any) -> torch.Tensor:
    "E wants its codes high."
    return generator_loss(t.D(self.encode(t)))


# %%
circle = ring(8, radius=2, std=.02)
error_message(Run(Encoder(), circle, runs=2, device="cpu").sample, 10)

# %% [markdown]
# ## Missed early, captured later
# Eight encoders on the line. At some steps we look at the codes of 500 fresh points. Cut the prior into five regions, equally likely; call one *missed* if it holds less than a tenth of its share.

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
{at: missed(s["code"]) for at, s in seen.items()}

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
# Regions are missed for a while, and none stays missed. The prior is connected, so a missed region has a filled neighbour, and $D$'s slope leads into it from there. A mode of the data may have no neighbour.
#
# ## Points cannot fill a line
# No region is missed. Is the prior *filled*?

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
print(in_words(ks_gaps(seen[1000], "uniform")))

# %% [markdown]
# Three times the null and more. It cannot be avoided: the modes are nearly points, a deterministic $E$ sends a point to a point, and five points are not an interval. At an atom of weight $w$ the codes' law jumps by $w$ while the prior's climbs steadily, so on one side of the jump or the other there is a gap of at least $w/2$:
#
# $$K\ge\tfrac12\max_k w_k,\qquad\text{for five equal atoms}\quad K\ge\tfrac1{10},$$
#
# reached when they stand in the middles of the five fifths. **Fidelity:**

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
# That is a *floor*; no training goes below it, so the null of .04 cannot be reached. Modes that have some width can be stretched over their fifth, if the network can be steep enough; recorded for four widths, with the same settings (at .3 neighbouring modes begin to touch):

# %%
for row in record.get("width", []):
    print(f"{row['setting']:40} KS {row['ks']:24} floor for points .100   null {row['null']}")

# %% [markdown]
# ### Noise fills it
# Let $E$ draw a number $\varepsilon$ for each example: $z=E(x,\varepsilon)$. A mode can now be a stripe.

# %%
@experiment("01_encoder", early=20)
def codes_with_noise(total=1000):
    game = Encoder(prior="uniform", stochastic=True, networks=small, optimiser=quick)
    return look(Run(game, data, batch=256, device="cpu").step(total))["code"]

# the same points and the same draws of the prior as above: they depend on the seed alone
noisy = seen[1000] | {"code": torch.tensor(codes_with_noise())}
print(in_words(ks_gaps(noisy, "uniform")))

# %%
filled = interval(ks_statistic(noisy["code"])[:, 0], low=0, high=1)
claim(
    "An encoder with noise fills the prior better than any deterministic encoder of five points "
    "could",
    paper="this course", section="line of five", ours=filled, baseline="0.1 (floor)",
    holds=filled.high < .1)

# %% [markdown]
# Is then nothing lost?
#
# ## Filled is not the same as kept apart
# $D$ sees codes. It never sees an $x$. Nothing in the game forbids that two modes of the data get *the same* codes. So test the codes: is the nearest code of another point a code of the same mode? If that holds for nine tenths of a mode's points, the mode has a place of its own.

# %%
#| export
@checked
def separated_modes(codes: Codes,  # (*runs, n, latent)
                    mode: ModeNumbers,  # the mode each code came from, (*runs, n)
                    n_modes: Count,
                    least: Share = .9,  # share of its codes whose nearest other is of the mode
                    ) -> torch.Tensor:  # (*runs,)
    """How many modes have a place of their own among the codes.

    A mode with fewer than two codes has none, and a tie between two modes counts for neither.
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
# Three encoders made by hand show what the two measures say. One *hashes*: it takes the digits of $x$ far behind the point. One gives the same code to everything. And one is the best there is on a line: it keeps the order and gives every mode a fifth of the interval, by the distribution function of the data.

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
    "Mean over runs of the smallest distance between two modes' mean codes; .4 is the most."
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
        f"{name:20} K {ks_statistic(code)[:, 0].mean():.3f}   places of their own "
        f"{separated_modes(code, m, 5).tolist()}   closest {closest(code, m):.2f}"
    )

# %% [markdown]
# Read it line by line. The hash is uniform to the last digit and keeps no modes apart: a good $K$ says *nothing* about modes. The encoder by rank has both. An *untrained* $E$ keeps all five apart on every seed, if you look closely: a random map rarely sends two points to one. Training increases the distances, since two points with the same code would double the jump; see how far apart the closest two are now. With noise that reason is gone: two stripes may overlap, and they do.

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
# So "an encoder loses no mode" is true of the latent, where there is one. For the data it says: $D$ cannot see from the codes that something is missing, and whether two modes share a code depends on chance, on the noise, and on how narrow the modes are.
#
# ## In the plane
# Eight modes on a ring, two latents, a normal prior. Colours and digits are modes.

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

# %%
figure, panels = axes(1, 3, size=(2.6, 2.7), sharex=True, sharey=True)
shades = [REAL, FAKE, ACCENT, MISSING]
panels[0].plot(*zip(*plane["deterministic"]["z"]), ".", c=MISSING, ms=2)
for ax, found in zip(panels[1:], plane.values()):
    for k in range(8):
        code = torch.tensor(found["code"])[torch.tensor(found["mode"]) == k]
        ax.plot(*code[:40].T, ls="", marker=f"${k}$", c=shades[k % 4], ms=5)
for ax, title in zip(panels, ("draws of the prior", "codes, deterministic", "codes, with noise")):
    ax.set(title=title, xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="z₁", aspect="equal")
panels[0].set_ylabel("z₂")
Picture(
    figure,
    "Draws of the prior; codes of a deterministic encoder, eight spots; codes with noise: the "
    "same disc as the "
    "prior, digits of all modes mixed")

# %% [markdown]
# Is that so everywhere? `python benchmarks/encoder.py` recorded all combinations, eight seeds each, 1,000 codes:

# %%
def kept_apart(row: dict) -> str:
    "The modes with a place of their own in a recorded run: mean and interval."
    return f"{interval(row['kept by seed'], low=0, high=row['of']):.2f}"

for row in record.get("grid", []):
    print(
        f"{row['setting']:38} jointly {row['joint'].split(' over')[0]:22} null {row['joint null']}"
        f"   kept {kept_apart(row):18} of {row['of']}")

# %% [markdown]
# The same picture everywhere. Without noise the modes have places of their own, and the prior is not filled: in the plane even less than on a line, since a handful of points is fewer for a square. One seed is the exception, and a true fold: on the ring with one latent it sends two modes to one code, where $D$ says the same to both. With noise it is filled, nearly to the null, and the modes are mixed. With a *normal* prior no mode is kept apart: the noise that $E$ draws follows that prior already, so the simplest encoder passes it on and ignores $x$.
#
# What was tried on the way, on the line with a uniform prior:

# %%
for row in record.get("tuning", []):
    print(
        f"{row['setting']:50} KS {row['ks'].split(' over')[0]:22} kept "
        f"{kept_apart(row)}"
    )

# %% [markdown]
# A quick $D$ and a penalty on its gradient make the codes more even, each alone nearly as well as both. None of the settings changes what is kept: five without noise, and with it whatever chance leaves.
#
# ## Under your hands: set the codes yourself
# Five sliders are the codes of the five modes, a sixth is the noise: it turns points into stripes. Give two modes the same code (a *fold*), watch the gap, and repair it. Then bring the gap to zero in two ways: with every mode in a place of its own, and with none.

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
# Your encoder, your critic of codes, your prior. Measure both: how well the prior is filled, and whether what you care about is still kept apart.

# %%
my_E, my_D = nn.Linear(10, 2), mlp(2, (), 32)
x, label = torch.randn(256, 10), torch.randint(4, (256,))
z = torch.randn(256, 2)
loss_d = discriminator_loss(my_D(z), my_D(my_E(x).detach())) + r1(my_D, z)
loss_e = generator_loss(my_D(my_E(x)))
print(joint_ks_statistic(my_E(x), "normal"), joint_ks_statistic(z, "normal"),
      separated_modes(my_E(x), label, 4))

# %% [markdown]
# ## Exercises
# **1.** Three near-point modes with weights ½, ¼, ¼ and a deterministic encoder. What is the smallest $K$ that it can reach?

# %%
@exercise(accepts=[.25, 1 / 4], rejects=[.5, 1 / 6, .125, .1])
def grade_floor(answer):
    assert abs(answer - .25) < 1e-6, "the largest jump, and the better half of it"

# %%
answer = ...
grade_floor(answer)

# %% [markdown]
# **2.** Write an encoder of the five modes, `answer(x)` from $(n,1)$ to codes $(n,1)$ in $[-1,1]$, without noise, that fills the uniform prior ($K<.06$) *and* gives every mode a place of its own.

# %%
def stretched(x):
    "The nearest mode gives the fifth; the place within ±1.7 deviations of it gives the rest."
    k = (x + 2).round().clamp(0, 4)
    return (k + ((x + 2 - k) / .02 / 3.4 + .5).clamp(0, 1)) * .4 - 1

@exercise(accepts=[by_rank, stretched],
          rejects=[hand["hash"], hand["constant"], lambda x: x / 2.5,
                   lambda x: (x + 2).round() * .4 - .8])
def grade_encoder(answer):
    x, mode = data.sample_with_modes(2000, torch.Generator().manual_seed(5))
    code = answer(x)
    assert code.shape == (2000, 1) and code.abs().max() <= 1, "one code in [-1, 1] for each point"
    assert separated_modes(code, mode, 5) == 5, "some modes share their codes"
    K = ks_statistic(code).item()
    assert K < .06, f"K is {K:.3f}: are there gaps, or heaps?"

# %%
answer = ...
grade_encoder(answer)

# %% [markdown]
# ## Recap
# - An encoder trained against a prior plays the game of 2014 with its ends exchanged. Its target is connected: regions are missed for a while and found again.
# - Measure how the prior is filled by $K$, per axis *and* jointly, beside the null and beside the floor: atoms of weight $w$ cost $w/2$, whatever the training.
# - Noise removes the floor. It also removes the only reason to keep modes apart. "Fills the latent" and "keeps the modes apart" are two measures, and a hash has the first without the second.
# - What makes a code depend on its $x$? A $D$ that sees both. That is the next chapter.
#
# **For later.** Why does $D$'s slope find a missed region of the prior and not a missed mode? What is $K$ of a constant encoder? Which of the measures notices that $E$ passes its noise through? What does $D$ know of $x$? ([2.2](02_bigan.ipynb))
#
# **References.** S. Sharma, V. Namboodiri, *No modes left behind: capturing the data distribution effectively using GANs*, 2018. A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, *Adversarial autoencoders*, 2015. J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. G. Fasano, A. Franceschini, *A multidimensional version of the Kolmogorov–Smirnov test*, 1987.
