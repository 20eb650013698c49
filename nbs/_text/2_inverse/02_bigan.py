# %% [markdown]
# # BiGAN: a generator and an encoder trained by one discriminator
# > How are a generator and an encoder trained by one discriminator that sees pairs?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do a generator and an encoder become inverse to each other, and does the generator still lose modes? |
# | **You will be able to** | build a BiGAN, read its joint plane, measure whether its two maps are inverse to one another, and recognise two mistakes that prevent it |
# | **Paper** | Donahue, Krähenbühl, Darrell, *Adversarial feature learning*, 2017; Dumoulin et al., *Adversarially learned inference*, 2017 |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [2.1](01_encoder.ipynb) |
# | **Time** | about three quarters of a minute of computing |

# %%
#| default_exp methods.bigan

# %%
#| export
"BiGAN / ALI: generator, encoder and a discriminator of pairs."
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.registry import register_game
from modelab.core.signatures import FakeScores, RealScores, checked
from modelab.losses.adversarial import discriminator_loss
from modelab.methods.encoder import EncodingGame
from modelab.networks.layers import make_player
from modelab.networks.players import Player

# %%
import copy
import math

from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, Film, image_grid, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.course.diagrams import flow_diagram
from modelab.course.notebooks import patch
from modelab.data.digits import digits
from modelab.data.mixtures import line
from modelab.methods.bigan import BiGAN
from modelab.methods.encoder import separated_modes
from modelab.methods.wasserstein import wasserstein_distance
from modelab.networks.layers import joint_discriminator
from modelab.networks.players import Networks
from modelab.training.optimiser import Schedule
from modelab.training.run import Run

# %% [markdown]
# ## Which of the two maps loses modes?
# The data are five modes on a line, and the latent is one number. There are two maps: a generator $G$ from the latent to the line, and an encoder $E$ from the line to the latent. One discriminator trains both. How it does so is explained below.
#
# **Predict:** five modes, eight seeds. Which of the two loses modes: $G$, $E$, or both?

# %%
data = line(5, spacing=1., std=.02)
bigan = BiGAN(prior="uniform", networks=Networks(latent=1, width=64))
run, moments = Run(bigan, data, batch=128, device="cpu"), {}
for at in (0, 50, 100, 200, 400, 700, 1000, 1500):
    run.step(steps(at, fast=at // 40) - run.steps if at else 0)
    moments[at] = copy.deepcopy(run)  # for the film at the end of the chapter
found = run.coverage()
shown = [int(c.captured) for c in found]
shown, interval([c.high_quality for c in found], low=0, high=1)

# %% [markdown]
# These are the modes of $G$: how many of the five have a good sample, seed by seed. Uniform noise has a good sample in all five (chapter [2.1](01_encoder.ipynb)). So only a count below five says something. The second number is the share of samples that are good: just under a fifth, where uniform noise has a tenth.
#
# To look at $E$, encode fresh data. As in chapter [2.1](01_encoder.ipynb) a mode is *kept apart* if the nearest other code nearly always comes from the same mode.

# %%
@torch.no_grad()
def look(run, n: int = 500):
    "Real points with modes, codes and the way back; latents, what is made of them, and back."
    nets, draw, data = run.players.nets, run.generators, run.modes
    x, mode = zip(*(data.sample_with_modes(n, generator=g) for g in draw("look")))
    x, mode, z = torch.stack(x), torch.stack(mode), run.noise(n, draw("look", 1))
    code, made = nets["E"](x), nets["G"](z)
    return {"x": x, "mode": mode, "code": code, "x_hat": nets["G"](code),
            "z": z, "made": made, "z_hat": nets["E"](made)}

# %%
seen = look(run)
own = separated_modes(seen["code"], seen["mode"], data.n_modes)
assert fast_mode() or own.tolist() == [5] * 8 and sum(n < 5 for n in shown) > 4
own.tolist()

# %%
by_E, by_G = (interval(kept, low=0, high=5) for kept in (own, shown))
claim(
    "A BiGAN's encoder keeps all five modes of a line apart while its generator loses some of them",
    paper="Sharma and Namboodiri 2018", section="introduction", ours=by_E, baseline=by_G,
    holds=by_E.low > 4.9 and by_G.high < 4.9)

# %% [markdown]
# So $E$ keeps all five modes apart in every seed, and $G$ misses modes in most seeds. With one dimension for $x$ and one for $z$, everything fits into a plane. Each real point is a disc at $(x, E(x))$. The points $(G(z), z)$ form a curve. The background is the output of $D$ for the pair at that place; dark means *real*. The left panel is the seed that captures the fewest modes, the right panel the one that captures the most.

# %%
@torch.no_grad()
def plane(ax, run, r: int, limit: float = 3.2):
    "The joint plane of one run."
    seen, side = look(run), 70
    across, up = torch.linspace(-limit, limit, side), torch.linspace(-1.6, 1.6, side)
    u, v = torch.meshgrid(across, up, indexing="xy")
    pairs = [w.reshape(1, -1, 1).expand(run.runs, -1, -1) for w in (u, v)]
    real = run.players.nets["D"](*pairs)[r].sigmoid().view(side, side)
    ax.imshow(real, origin="lower", cmap="Greys", vmin=0, vmax=1.3,
              extent=(-limit, limit, -1.6, 1.6), aspect="auto")
    t = torch.linspace(-1, 1, 400)[None, :, None].expand(run.runs, -1, -1)
    ax.plot(run.players.nets["G"](t)[r, :, 0], t[0, :, 0], "x", c=FAKE, ms=3, mew=.8)
    ax.plot(seen["x"][r, :, 0], seen["code"][r, :, 0], "o", c=REAL, ms=3, alpha=.6)
    ax.set(xlabel="x", ylabel="z", xlim=(-limit, limit), ylim=(-1.6, 1.6))

# %%
order = sorted(range(8), key=shown.__getitem__)
order

# %%
figure, panels = axes(1, 2, size=(3.4, 2.6), sharey=True)
for ax, r in zip(panels, (order[0], order[-1])):
    plane(ax, run, r)
    ax.set_title(f"seed {r}: G shows {shown[r]} of 5")
panels[1].set_ylabel("")
Picture(
    figure,
    "Joint planes: each mode's discs have a height of their own; the curve has no point at the x "
    f"of {5 - shown[order[0]]} modes on the left and of {5 - shown[order[-1]]} on the right")

# %% [markdown]
# The discs form five spots, each at its own height $z$. The codes should fill the prior, which is an interval, and five small spots fill it best when they are apart. The curve should pass through each spot. In the left panel it reaches neither $x=-2$ nor $x=2$. So $G$ misses these two modes, although $E$ has codes for them. At $x=-1$ the curve passes below the spot: $G$ shows this mode, but at latents that are not its codes.
#
# ## One discriminator, two kinds of pairs
# $E$ and $G$ never receive each other's output. $D$ sees pairs: real pairs $(x,E(x))$ and generated pairs $(G(z),z)$. In the diagram, solid arrows show values and dashed arrows show gradients.

# %%
#| hide-input
networks = {"encoder E": (1.6, 1.2), "generator G": (1.6, 0), "discriminator D": (5, .6)}
values = {"example x": (0, 1.2), "latent z": (0, 0), "real pair\n(x, E(x))": (3.2, 1.2),
          "generated pair\n(G(z), z)": (3.2, 0), "logit": (6.5, .6), "loss of D": (5.7, -.1),
          "loss of G and E": (8.1, .6)}
arrows = [("example x", "encoder E"), ("latent z", "generator G"), ("logit", "loss of D"),
          ("encoder E", "real pair\n(x, E(x))"), ("generator G", "generated pair\n(G(z), z)"),
          ("real pair\n(x, E(x))", "discriminator D"), ("discriminator D", "logit"),
          ("generated pair\n(G(z), z)", "discriminator D"), ("logit", "loss of G and E")]
gradients = [("loss of D", "discriminator D", -.1), ("loss of G and E", "generator G", -.36),
             ("loss of G and E", "encoder E", .25)]
Picture(flow_diagram(networks, values, arrows, gradients, size=(8.4, 3)),
        "x goes into E, and x with its code is a real pair. z goes into G, and the sample with z "
        "is a generated pair. Both kinds go into D. D has a loss of its own; the other loss "
        "trains G and E")

# %% [markdown]
# $D$ learns to tell the two kinds of pairs apart with the loss of chapter 1.1. $G$ and $E$ are trained together on the opposite goal:
#
# $$\min_{G,E}\max_D\;\mathbb E_x\log\sigma\big(D(x,E(x))\big)+\mathbb E_z\log\big(1-\sigma(D(G(z),z))\big).$$
#
# $D(x,z)$ is a logit, and $\sigma$ is the sigmoid. The theory of chapter 1.1 holds for pairs: at the optimum the two *joint* distributions are equal. For deterministic maps it follows that $E(G(z))=z$ and $G(E(x))=x$ almost everywhere. (Otherwise one distribution would have a pair where the other has none.) No reconstruction is ever computed.
#
# Which loss do $G$ and $E$ minimise? The [saturating loss](../glossary.ipynb) has small gradients where $D$ is sure. Two others are in use. One has *swapped* labels: each kind of pair should be taken for the other kind. One is *linear* in the logits; the authors of the method of chapter [2.3](03_pairwise.ipynb) use it in their code. ($\text{softplus}(t)=\log(1+e^t)$.)
#
# $$L_{GE}^{\text{swapped}}=\mathbb E\,\text{softplus}\big(D(x,E(x))\big)+\mathbb E\,\text{softplus}\big(-D(G(z),z)\big),\qquad L_{GE}^{\text{linear}}=\mathbb E\,D(x,E(x))-\mathbb E\,D(G(z),z).$$

# %%
#| export
GeneratorForm = Literal["swapped", "linear"]  # labels swapped; or linear in the logits

# %% [markdown]
# The code of the loss:

# %%
#| export
@checked
def generator_encoder_loss(real_logits: RealScores,  # D(x, E(x)), (*runs, batch)
                           fake_logits: FakeScores,  # D(G(z), z), (*runs, batch)
                           form: GeneratorForm = "swapped",
                           ) -> torch.Tensor:  # (*runs,)
    """The loss of G and E: real pairs should score low and generated ones high.

    After Donahue et al. 2017, section 3.4.
    """
    if form == "linear":
        return real_logits.mean(-1) - fake_logits.mean(-1)
    return F.softplus(real_logits).mean(-1) + F.softplus(-fake_logits).mean(-1)

# %% [markdown]
# **Fidelity.** The swapped loss is the discriminator's loss with the two kinds of pairs exchanged. Both forms push the logits of real pairs down and those of generated pairs up.

# %%
g = torch.Generator().manual_seed(0)
real, fake = torch.randn(2, 3, 50, generator=g, dtype=torch.float64).requires_grad_()
assert torch.allclose(generator_encoder_loss(real, fake), discriminator_loss(fake, real),
                      atol=1e-15)
for form in ("swapped", "linear"):
    down, up = torch.autograd.grad(generator_encoder_loss(real, fake, form).sum(), (real, fake))
    assert (down > 0).all() and (up < 0).all()
print(error_message(generator_encoder_loss, real, fake, "saturating"))

# %% [markdown]
# What is the optimal $D$? It is the log-ratio of the two joint densities. In one case it can be written down. Let $x$ and $z$ be standard normal numbers, and let both maps mix in noise: $E(x)=e\,x+\sqrt{1-e^2}\,\varepsilon$ and $G(z)=g\,z+\sqrt{1-g^2}\,\varepsilon$. Here $\varepsilon$ is standard normal noise, and $e$ and $g$ are numbers between $-1$ and 1. They are the correlations of $x$ and $z$ in the real and in the generated pairs. If $e=g$ the two joint distributions are equal, and the best logit is zero *everywhere*. Otherwise the mean logit of real pairs is the [KL divergence](../glossary.ipynb) of the real pairs from the generated ones, $\tfrac{1-eg}{1-g^2}-1+\tfrac12\log\tfrac{1-g^2}{1-e^2}$.

# %%
from torch.distributions import Normal

# %%
def log_ratio(x, z, e: float, g: float) -> torch.Tensor:
    "log p(x, E(x)) - log q(G(z), z)."
    unit = Normal(0., 1.)
    real = unit.log_prob(x) + Normal(e * x, math.sqrt(1 - e ** 2)).log_prob(z)
    return real - unit.log_prob(z) - Normal(g * z, math.sqrt(1 - g ** 2)).log_prob(x)

# %%
def divergence(e: float, g: float) -> float:
    return (1 - e * g) / (1 - g ** 2) - 1 + math.log((1 - g ** 2) / (1 - e ** 2)) / 2

# %%
x, noise = torch.randn(2, 400_000, generator=g, dtype=torch.float64)
assert log_ratio(x, noise, .9, .9).abs().max() < 1e-10  # for any pair of numbers at all
measured = {e: log_ratio(x, e * x + math.sqrt(1 - e ** 2) * noise, e, .8).mean().item()
            for e in (-.5, 0., .5, .8, .9)}
assert all(math.isclose(v, divergence(e, .8), abs_tol=.03) for e, v in measured.items())
{e: (round(v, 3), round(divergence(e, .8), 3)) for e, v in measured.items()}

# %% [markdown]
# With $g=0.8$ the divergence is zero for $e=0.8$ only. Of these five encoders it is largest for the one of opposite sign.
#
# The encoder, its prior and its draws are those of chapter [2.1](01_encoder.ipynb). The generator and a $D$ of two inputs are new. Dumoulin et al. published the same game at the same time as *ALI* (adversarially learned inference); their encoder draws noise, as here with `stochastic=True`. On pictures all three may be convolutional, `Networks("conv")`; the latent then joins $D$ after the convolutions.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class BiGAN(EncodingGame):
    """BiGAN of Donahue et al. 2017, ALI of Dumoulin et al. 2017: one discriminator D of pairs.

    It tells real pairs (x, E(x)) from generated ones (G(z), z); G and E are trained against it."""
    G: Player = None  # your own, or one that fits the set
    D: Player = None  # takes x and z
    form: GeneratorForm = "swapped"  # what G and E descend
    turns: ClassVar[str] = "D GE"
    conditional: ClassVar[tuple[str, ...]] = "G", "E", "D"

    def players(self, event: tuple[int, ...], latent: int, runs: int,
                generator: list) -> dict[str, nn.Module]:
        "G, E and D, one copy per run."
        nets, kw = self.networks, dict(runs=runs, generator=generator)
        return {"G": make_player("G", self.G, lambda: nets.generator(latent, event, **kw), **kw),
                "E": self.encoder(event, latent, **kw),
                "D": make_player("D", self.D,
                                 lambda: nets.joint_discriminator(event, latent, **kw), **kw)}

# %% [markdown]
# $D$ is trained alone in its turn; $G$ and $E$ are trained together in the other turn, `GE`.

# %%
#| export
@patch
def loss_D(self: BiGAN, t: Any) -> torch.Tensor:
    "The loss of D: (x, E(x)) should score high and (G(z), z) low."
    with torch.no_grad():
        code, fake = self.encode(t), t.G(t.z)
    return discriminator_loss(t.D(t.x, code), t.D(fake, t.z))

# %% [markdown]
# The loss of $G$ and $E$ is the one above, on fresh pairs.

# %%
#| export
@patch
def loss_GE(self: BiGAN, t: Any) -> torch.Tensor:
    "The loss of G and E: (x, E(x)) should score low and (G(z), z) high."
    real_logits, fake_logits = t.D(t.x, self.encode(t)), t.D(t.G(t.z), t.z)
    return generator_encoder_loss(real_logits, fake_logits, self.form)

# %% [markdown]
# BiGAN works on pictures as on points. Here all three networks are convolutional and the encoder draws noise.

# %%
pictured = BiGAN(stochastic=True, networks=Networks("conv", width=4, latent=8))
Run(pictured, digits(), runs=2, batch=16, device="cpu").step(2).sample(3).shape

# %% [markdown]
# The [learning rates](../glossary.ipynb) may fall along half a cosine to a hundredth of their start, `Optimiser(schedule=Schedule("cosine", 1500))`. Chapter [2.3](03_pairwise.ipynb) needs that.

# %%
[round(Schedule("cosine", 1500)(step), 3) for step in (0, 500, 750, 1000, 1500, 9000)]

# %% [markdown]
# ## Are the two maps inverse to each other?
# Is $G(E(x))$ near $x$, and $E(G(z))$ near $z$? A distance needs a comparison. We divide the mean distance of partners by the mean distance of *shuffled* partners. A ratio of 1 means that the two maps are unrelated; 0 means that they are inverse.

# %%
def apart(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Mean distance of partners over that of shuffled partners, run by run.

    a and b are (runs, n, *event)."""
    a, b = a.flatten(2), b.flatten(2)
    mixed = b.roll(1 + b.shape[1] // 3, 1)
    return ((a - b).norm(dim=2).mean(1) / (a - mixed).norm(dim=2).mean(1)).tolist()

# %%
def round_trips(seen) -> dict:
    "Both ways, seed by seed."
    return {"x → z → x": apart(seen["x"], seen["x_hat"]),
            "z → x → z": apart(seen["z"], seen["z_hat"])}

# %%
both_ways = round_trips(seen)
assert fast_mode() or all(.05 < ratio < .5 for values in both_ways.values() for ratio in values)
{way: (str(interval(values)), f"from {min(values):.2f} to {max(values):.2f}")
 for way, values in both_ways.items()}

# %% [markdown]
# In each seed both ratios are below one half, and none is 0. Two likely reasons why they are not 0: $G$ turns the codes of a missed mode into points elsewhere. And $E$ is trained on real points only, so nothing fixes its codes for samples that lie between the modes.
#
# A second question is whether the codes of real data follow the prior. The exact [Wasserstein distance](../glossary.ipynb) of [1.4](../1_game/04_wasserstein.ipynb) measures it, by sorting. Its unit is that of $z$, and the prior is two units long.

# %%
def measured(seen) -> dict:
    "The round trips, and how far the codes are from the prior, seed by seed."
    far = [wasserstein_distance(code, z)[0] for code, z in zip(seen["code"], seen["z"])]
    return round_trips(seen) | {"codes from prior": far}

# %% [markdown]
# Two mistakes are easy to make. Neither of them stops the training or raises an error. *The encoder is never trained*: its weights were forgotten when the optimiser was made. *Its sign is flipped*: $E$ helps $D$ instead of opposing it.
#
# **Predict:** which of the two measures finds which mistake?

# %%
class Forgotten(BiGAN):
    "The encoder takes no turn."
    turns = "D G"

    def loss_G(self, t):
        return generator_encoder_loss(t.D(t.x, t.E(t.x)), t.D(t.G(t.z), t.z))

# %%
class Flipped(BiGAN):
    "The encoder descends the discriminator's loss."
    def loss_GE(self, t):
        return F.softplus(-t.D(t.x, t.E(t.x))).mean(-1) + F.softplus(-t.D(t.G(t.z), t.z)).mean(-1)

# %%
def fooled(game, total: int) -> dict:
    "Both measures of eight seeds of a game."
    game = game(prior="uniform", networks=Networks(latent=1, width=64))
    return measured(look(Run(game, data, batch=128, device="cpu").step(total)))

# %% [markdown]
# The cells marked with `@experiment` show recorded results and replay their first steps (chapter [0.2](../0_start/02_evidence.ipynb)).

# %%
@experiment("02_bigan", early=20)
def encoder_forgotten(total=1500):
    return fooled(Forgotten, total)

# %%
@experiment("02_bigan", early=20)
def sign_flipped(total=1500):
    return fooled(Flipped, total)

# %%
looks = {"right": measured(seen), "encoder forgotten": encoder_forgotten(),
         "sign flipped": sign_flipped()}
trips = {name: interval(found["z → x → z"]) for name, found in looks.items()}
laws = {name: interval(found["codes from prior"]) for name, found in looks.items()}
for name in looks:
    print(f"{name:18} z → x → z {trips[name]}   codes from prior {laws[name]}")
[round(v, 2) for v in looks["encoder forgotten"]["z → x → z"]]

# %% [markdown]
# *Wrong sign:* the codes move far out of the prior. The round trip shows it: its ratio is 1. The distance from the prior shows it, too (19 against .16).
#
# *Never trained:* the round trip is no reliable test. The last line lists its seeds. In three the ratio is near 1. In five it is 0.4 or less, because $G$ can learn to invert even a random network.
#
# The distance from the prior finds both mistakes in every seed: it is larger than in any seed of the right game. The codes of a random encoder do not follow the prior, so $G$ gets latents that no data have.

# %%
usual = max(looks["right"]["codes from prior"])
for mistake in ("encoder forgotten", "sign flipped"):
    assert fast_mode() or min(looks[mistake]["codes from prior"]) > usual
back = looks["encoder forgotten"]["z → x → z"]
assert fast_mode() or sum(v < .41 for v in back) == 5 and sum(v > .85 for v in back) == 3

# %%
claim(
    "Without a reconstruction loss the two maps of a BiGAN become partly inverse: z comes back "
    "far nearer than chance",
    paper="Donahue et al. 2017", section="Theorem 2", ours=trips["right"],
    baseline=trips["sign flipped"], holds=trips["right"].high < .5 * trips["sign flipped"].low)

# %%
claim("Trained, the encoder brings the data closer to the prior than a random one does",
      paper="Donahue et al. 2017", section="Theorem 1", ours=laws["right"],
      baseline=laws["encoder forgotten"], holds=laws["right"].high < laws["encoder forgotten"].low)

# %% [markdown]
# ## What does the size of each network change?
# The three networks above have 64 units in each hidden layer. Now one of them has 16 or 256 units, and the others keep 64. The data are a ring of eight modes, because a ring has more modes to lose than the line; $z$ is still one number. Eight seeds each, 3,000 steps, the same rates for all sizes (`python benchmarks/pairwise.py capacity`).
#
# **Predict:** which of the three matters most for the modes of $G$, and which for the two ways back?

# %%
sizes = {row["setting"]: row for row in recorded("pairwise")["capacity"]}
LEAST = {"captured": 1, "high_quality": .1, "x to z to x": .1, "z to x to z": .1}
LABELS = {"captured": "modes of G, of 8", "high_quality": "high quality",
          "x to z to x": "ratio x → z → x", "z to x to z": "ratio z → x → z"}

# %%
def by_units(name: str, measure: str) -> list:
    "The eight seeds of a measure with 16, 64 and 256 units in one network."
    rows = (sizes.get(f"{name} of {units}", sizes["all of 64"]) for units in (16, 64, 256))
    return [row[measure]["by seed"] for row in rows]

# %%
#| hide-input
def draw_sizes(ax, measure: str):
    "Each seed as a dot, the means as lines; black and grey are the comparisons."
    for shift, (name, colour) in zip((-.15, 0, .15), {"G": FAKE, "E": REAL, "D": ACCENT}.items()):
        found = by_units(name, measure)
        for at, values in enumerate(found):
            ax.plot([at + shift] * 8, values, "o", c=colour, ms=3, alpha=.35, mew=0)
        ax.plot([at + shift for at in range(3)], [sum(v) / 8 for v in found], "o-", c=colour,
                ms=5, lw=1.4, label=name)
    lines = {"fresh data": (MISSING, ":"), "not trained": (MISSING, "--"),
             "uniform noise": ("black", "--")}
    for name, (colour, style) in lines.items():
        if measure in sizes[name]:
            level = sum(sizes[name][measure]["by seed"]) / 8
            ax.axhline(level, c=colour, ls=style, lw=1, label=name)
    ax.set(xlabel="units of this network", ylabel=LABELS[measure], ylim=(-.02, None))
    ax.set_xticks(range(3), ["16", "64", "256"])

# %%
#| hide-input
figure, panels = axes(1, 4, size=(2.15, 2.5))
for ax, measure in zip(panels, LABELS):
    draw_sizes(ax, measure)
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6,
              frameon=False, fontsize=9)
told = (f"{label}: " + "; ".join(
    f"{name} " + ", ".join(f"{sum(v) / 8:.2f}" for v in by_units(name, measure)) for name in "GED")
    for measure, label in LABELS.items())
Picture(figure, "Four measures with 16, 64 and 256 units in one network. The seeds lie far "
        "apart, and only D of 16 stands out, with worse ratios. Means: " + ". ".join(told))

# %% [markdown]
# The lines across each panel are the comparisons: fresh data, networks that are not trained, and samples of uniform noise over the box of the data. A ratio of 1 stands for shuffled partners. Which changes count was fixed before the run: the mean differs from that of 64 units by at least one mode, or by 0.1 in the other measures, and the two intervals do not overlap.

# %%
def inside(values: list, measure: str):
    "The interval of a measure, cut at its possible range; a ratio has no largest value."
    return interval(values, low=0, high={"captured": 8, "high_quality": 1}.get(measure))

# %%
def changed(name: str, measure: str) -> dict:
    "The sizes of one network that change a measure by the rule, with the interval of each."
    small, usual, large = (inside(values, measure) for values in by_units(name, measure))
    return {units: new for units, new in ((16, small), (256, large))
            if abs(new.mean - usual.mean) >= LEAST[measure]
            and (new.low > usual.high or new.high < usual.low)}

# %%
changes = {(name, measure): changed(name, measure) for measure in LEAST for name in "GED"}
for measure, label in LABELS.items():
    print(f"{label:17} 64: {inside(sizes['all of 64'][measure]['by seed'], measure)}")
    for name in "GED":
        for units, new in changes[name, measure].items():
            print(f"    {name} of {units}: {new}")

# %%
claim(
    "On a ring, a discriminator of 16 units brings x back from its code less well than one of 64",
    paper="this course, ring of eight modes",
    ours=interval(sizes["D of 16"]["x to z to x"]["by seed"], low=0),
    baseline=interval(sizes["all of 64"]["x to z to x"]["by seed"], low=0),
    holds=16 in changes["D", "x to z to x"])

# %% [markdown]
# - **D** is the only network with a change by the rule, and it has one: with 16 units $x$ comes back worse, with a ratio of 0.76 against 0.38. $G$ and $E$ learn from the slope of $D$ only, which is a likely reason. 256 units change nothing by the rule.
# - **G** and **E** change nothing by the rule, neither with 16 nor with 256 units.
# - **Modes:** no size changes them by the rule. $D$ of 16 has the lowest mean, 0.4 of 8 against 2.4. But the seeds of 64 units range from 0 to 7 modes, so eight seeds do not decide it. In the mean every size shows fewer modes than uniform noise does (4.6).
# - **High quality** is below a tenth in the mean for every size, and 0.99 for fresh data. So this experiment cannot say which size makes samples sharp. In chapter [2.4](04_pairwise_sets.ipynb) a BiGAN with a uniform $z$ has a share of 0.8 on a ring of the same shape, with networks of 64 units. There the networks have a layer more, the encoder draws noise, the rates are higher and fall, and the run is longer.
#
# All sizes had the same rates. A larger network may need others; this was not tried.

# %%
assert [(name, measure, *found) for (name, measure), found in changes.items() if found] == [
    ("D", "x to z to x", 16)]
means = {name: {m: interval(row[m]["by seed"]).mean for m in LABELS if m in row}
         for name, row in sizes.items()}
trained = [v for name, v in means.items() if " of " in name]
assert min(trained, key=lambda v: v["captured"]) is means["D of 16"]
assert max(v["captured"] for v in trained) < means["uniform noise"]["captured"]
assert max(v["high_quality"] for v in trained) < .1 < .98 < means["fresh data"]["high_quality"]
assert set(map(int, sizes["all of 64"]["captured"]["by seed"])) >= {0, 7}
tuned = {row["setting"]: row for row in recorded("pairwise")["tuning"]}["uniform z, BiGAN"]
assert .78 < interval(tuned["high_quality"]["by seed"]).mean < .83

# %% [markdown]
# ## Real digits
# Scans of 8×8 pixels, sixteen latents, eight seeds. The upper row shows scans, the lower row what comes back from their codes.

# %%
@torch.no_grad()
def between(run, code, n: int = 12) -> torch.Tensor:
    "Pictures along the straight line between two codes (2, latent) of the first run."
    a, b = code[:, None].expand(2, run.runs, -1)
    path = torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, n)], 1)
    return run.players.nets["G"](path)[0]

# %%
scans = digits()

@experiment("02_bigan", early=20)
def trained_on_scans(total=1500):
    game = BiGAN(form="linear", networks=Networks(latent=16))
    run = Run(game, scans, runs=8, batch=64, device="cpu").step(total)
    back = look(run, 200)
    same = [(scans.assign(a)[0] == m).float().mean() for a, m in zip(back["x_hat"], back["mode"])]
    ends = [(back["mode"][0] == k).nonzero()[0].item() for k in (0, 7)]
    pictures = {"pairs": torch.cat([back["x"][0, :16], back["x_hat"][0, :16]]),
                "path": between(run, back["code"][0, ends])}
    return round_trips(back) | {"same digit": same} | {
        name: shown.round(decimals=2) for name, shown in pictures.items()}

on_scans = trained_on_scans()
same, *ways = (interval(on_scans[k]).mean for k in ("same digit", "x → z → x", "z → x → z"))
assert fast_mode() or .4 < same < .65 and min(ways) > .6
{"same digit": interval(on_scans["same digit"], low=0, high=1)} | {
    name: interval(on_scans[name]) for name in ("x → z → x", "z → x → z")}

# %%
figure, ax = axes(size=(8, 1.4))
image_grid(ax, scans.picture(torch.tensor(on_scans["pairs"])), 16,
           "scans (above), and what comes back from their codes (below)")
Picture(
    figure,
    "Sixteen scans above; below each the generator's picture of its code, about half of the time "
    "the same digit in another hand")

# %%
figure, ax = axes(size=(8, 1))
image_grid(ax, scans.picture(torch.tensor(on_scans["path"])), 12,
           "from the code of a 0 to the code of a 7")
Picture(figure,
        "Twelve pictures along the straight line from the code of a 0 to the code of a 7; at 8×8 "
        "pixels the shapes between them are hard to read")

# %% [markdown]
# The same digit comes back for about half of the scans; by chance it would be a tenth. The pixels come back badly: the ratio of distances is 0.71, and that of the latents 0.85. So the two maps agree on what a picture shows more than on how it is drawn, and they are far from inverse. Whether a longer training or larger networks would change this was not tried here.
#
# ## Under your hands: how the plane fills
# The line of five again, from the first step on, for the seed that captures the fewest modes. Watch the spots move until they are spread over the height. Watch the curve approach them. If the curve has no point above, below or on a spot, the mode is missing. This seed captures more modes on the way than at the end.

# %%
def frames(r: int):
    "The joint plane of one seed, at eight moments."
    drawn = []
    for at, then in moments.items():
        figure, ax = axes(size=(3.6, 2.8))
        plane(ax, then, r)
        captured = int(then.coverage()[r].captured)
        ax.set_title(f"{captured} of 5 modes")
        drawn.append(Picture(figure, f"Joint plane at step {at}: {captured} of 5 modes"))
    return drawn

# %%
film = Film(frames(order[0]), [f"step {at}" for at in moments])
film

# %%
film.widget.slider.value = 7
assert film.widget.image.value == film.frames[7].png
film.widget.slider.value = 0
counts = [int(then.coverage()[order[0]].captured) for then in moments.values()]
assert fast_mode() or max(counts) > counts[-1]
counts

# %% [markdown]
# **By hand.** The same plane in the [lab](../glossary.ipynb) of [1.3](../1_game/03_lab.ipynb): discs at $(x, E(x))$, crosses at $(G(z), z)$; the field is $D$ on pairs. The [mission](../glossary.ipynb): stop training the discriminator. *G only* trains the two maps while $D$ stays fixed, and they move to where this $D$ gives them the lowest loss. In the recording below this place is outside of the picture: the panel after 512 steps shows no crosses. Then train $D$ again. (In this recording four of the five modes come back.)

# %%
from modelab.course.graders.bigan import unjudged
from modelab.lab.panel import Lab

# %%
def joint_lab(**kw):
    game = BiGAN(prior="uniform", networks=Networks(latent=1, width=64))
    return Lab(game, data, batch=64, samples=300, missions=[unjudged], **kw)

by_hand = joint_lab().step(steps(400)).step(steps(96), only="G").step(steps(304))
by_hand

# %%
by_hand.recording(12)

# %% [markdown]
# ## In your own code
# You need three modules and two optimisers: one for $D$, one for $G$ *and* $E$.

# %%
my_G, my_E = nn.Linear(2, 3), nn.Linear(3, 2)
my_D = joint_discriminator([3], 2, width=32)
adam_d = torch.optim.Adam(my_D.parameters(), 1e-3)
adam_ge = torch.optim.Adam([*my_G.parameters(), *my_E.parameters()], 1e-3)
for _ in range(3):
    x, z = torch.randn(64, 3), torch.randn(64, 2)  # your examples, and draws of the prior
    adam_d.zero_grad()
    discriminator_loss(my_D(x, my_E(x).detach()), my_D(my_G(z).detach(), z)).backward()
    adam_d.step()
    adam_ge.zero_grad()
    generator_encoder_loss(my_D(x, my_E(x)), my_D(my_G(z), z)).backward()
    adam_ge.step()
assert my_E.weight.grad.norm() > 0 and my_G.weight.grad.norm() > 0

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.bigan import (grade_height, grade_moved, grade_reversed,
                                          grade_unjudged)

# %% [markdown]
# **1.** (easy, 5 minutes) The encoder is stochastic, so the codes of a mode may fill an interval of the joint plane. The data have three modes with shares ½, ¼ and ¼, and the prior is uniform on $[-1,1]$. At the optimum, how long is the interval of the first mode?
#
# <details><summary>Hint</summary>
#
# At the optimum the codes follow the prior. Which share of the codes belongs to the first mode?
#
# </details>

# %%
answer = ...
grade_height(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Half of the codes belong to the first mode. The codes fill an interval of length two evenly, so this half fills a length of one.
#
# ```python
# answer = 1.
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Some code trains the discriminator with exchanged labels: *generated* pairs should score high and *real* pairs low. Write `ge_loss(real_logits, fake_logits)`, the swapped loss of $G$ and $E$ for such a discriminator, one number for logits of shape `(N,)`. It must be finite for logits of $\pm200$.
#
# <details><summary>Hint</summary>
#
# $G$ and $E$ are trained for the opposite of what $D$ is trained for. Should this $D$ give real pairs high logits or low ones?
#
# </details>

# %%
def ge_loss(real_logits, fake_logits):
    ...

answer = ge_loss
grade_reversed(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# This $D$ is trained to give low logits to real pairs and high ones to generated pairs. So $G$ and $E$ are trained for the opposite: real pairs high, generated pairs low.
#
# ```python
# def ge_loss(real_logits, fake_logits):
#     return F.softplus(-real_logits).mean(-1) + F.softplus(fake_logits).mean(-1)
#
# answer = ge_loss
# ```
#
# It has the form of the usual loss of $D$. With the wrong sign $E$ and $G$ help $D$: this is the flipped sign of the chapter.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `answer(step, E)`: whether a training step, a function without arguments, moves the weights of the encoder at all.
#
# <details><summary>Hint</summary>
#
# A gradient in `.grad` does not prove that an optimiser used it. What can you compare?
#
# </details>

# %%
answer = ...
grade_moved(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Keep a copy of the weights, make the step, and compare.
#
# ```python
# def answer(step, E):
#     before = [w.detach().clone() for w in E.parameters()]
#     step()
#     return any(not torch.equal(a, b) for a, b in zip(before, E.parameters()))
# ```
#
# Without `clone` the copy would change with the weights, and the answer would always be no.
#
# </details>

# %% [markdown]
# **4.** (medium, 10 minutes) The mission of the lab: capture all five modes, lose three while $D$ does not move, and capture all five again. Change only the turns. Hand in the recording.
#
# <details><summary>Hint</summary>
#
# Train for 400 steps. Then choose *G only* for about 100 steps, and then both again.
#
# </details>

# %%
answer = ...
grade_unjudged(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The same in code:
#
# ```python
# game = BiGAN(prior="uniform", networks=Networks(latent=1, width=64))
# lab = Lab(game, line(5, spacing=1., std=.02), batch=64, samples=300, seed=0)
# answer = lab.step(400).step(112, only="G").step(320).recording(2)
# ```
#
# With $D$ fixed, $G$ moves its samples to where this $D$ gives a low loss, and that is not where the modes are. When $D$ is trained again, it lowers its output there.
#
# </details>

# %% [markdown]
# ## Recap
# - The discriminator of a BiGAN sees pairs. Where the two joint distributions are equal, two maps without noise are inverse to each other. No reconstruction is computed.
# - The target of the encoder has one mode, and the codes come close to it. The target of the generator has many, and some are missed. In the joint plane a mode is missed if no point of the curve has the $x$ of its spot.
# - Compare the round trip with shuffled partners, and the codes with the prior. The second finds both an encoder with the wrong sign and one that was never trained; the first finds only the wrong sign.
#
# **For later.**
#
# 1. Why do $E$ and $G$ move in one turn?
# 2. What would $D$ learn if it saw $x$ alone?
# 3. Which information about a missing mode is in $E$ and not in $G$, and how could $G$ get it? ([2.3](03_pairwise.ipynb))
#
# <details><summary>Answers</summary>
#
# 1. They have the same loss, and both are trained against the same $D$. They could move one after the other, too.
# 2. It would be the discriminator of a GAN. $E$ would get no gradient, since its codes would not be seen.
# 3. $E$ has codes for the mode. $G$ turns these codes into points $G(E(x))$ that are far from $x$, so the pair says where the sample should go.
#
# </details>
#
# **References.** J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. V. Dumoulin, I. Belghazi, B. Poole, O. Mastropietro, A. Lamb, M. Arjovsky, A. Courville, *Adversarially learned inference*, ICLR 2017.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.bigan
"Graders and the mission of chapter 2.2."
import torch
import torch.nn.functional as F
from torch import nn

from modelab.course.exercises import as_number, exercise, mission
from modelab.data.mixtures import line
from modelab.lab.panel import Lab
from modelab.losses.adversarial import discriminator_loss
from modelab.methods.bigan import BiGAN, generator_encoder_loss
from modelab.networks.players import Networks

# %%
#| export course.graders.bigan
@exercise(accepts=[1, 1.0], rejects=[.5, 2, .25, 0])
def grade_height(answer):
    assert abs(as_number(answer) - 1) < 1e-6, \
        "the first mode has its share of the codes, and all codes fill an interval of length two"

# %%
#| export course.graders.bigan
def by_reversed_labels(real, fake):
    "A right answer: real pairs high and generated pairs low."
    return F.softplus(-real).mean(-1) + F.softplus(fake).mean(-1)

# %%
#| export course.graders.bigan
@exercise(accepts=[by_reversed_labels, discriminator_loss],
          rejects=[generator_encoder_loss, lambda r, f: f.mean(-1) - r.mean(-1),
                   lambda r, f: -by_reversed_labels(r, f), lambda r, f: F.softplus(-r).mean(-1),
                   lambda r, f: F.softplus(f).mean(-1),
                   lambda r, f: len(r) * by_reversed_labels(r, f),
                   lambda r, f: -r.sigmoid().log().mean() - (1 - f.sigmoid()).log().mean(),
                   lambda r, f: F.softplus(-r) + F.softplus(f)])
def grade_reversed(loss):
    real, fake = torch.linspace(-3, 5, 7), torch.linspace(-6, 2, 7)
    found = loss(real, fake)
    assert torch.is_tensor(found) and found.numel() == 1, "one number for logits of shape (N,)"
    slopes = torch.autograd.functional.jacobian(loss, (real, fake))
    assert (slopes[0] < 0).all(), "descending the loss should raise the logits of real pairs here"
    assert (slopes[1] > 0).all(), "it should lower the logits of generated pairs here"
    assert torch.allclose(found.squeeze(), by_reversed_labels(real, fake), atol=1e-5), \
        "the signs are right; the swapped loss is a mean of softplus for each kind of pair"
    far = torch.tensor([-200., 200.])
    assert torch.allclose(loss(far, far).squeeze(), by_reversed_labels(far, far)), \
        "at logits of 200 the loss is infinite or wrong: avoid the logarithm of a small number"

# %%
#| export course.graders.bigan
def moved(step, E):
    "A right answer: compare the weights before and after."
    before = [w.detach().clone() for w in E.parameters()]
    step()
    return any(not torch.equal(a, b) for a, b in zip(before, E.parameters()))

# %%
#| export course.graders.bigan
def has_gradient(step, E):
    "A wrong answer: a gradient that is not used counts."
    step()
    return any(w.grad is not None for w in E.parameters())

# %%
#| export course.graders.bigan
def without_clone(step, E):
    "A wrong answer: the copy changes with the weights."
    before = [w.detach() for w in E.parameters()]
    step()
    return any(not torch.equal(a, b) for a, b in zip(before, E.parameters()))

# %%
#| export course.graders.bigan
def all_moved(step, E):
    "A wrong answer: a part of the weights may move."
    before = [w.detach().clone() for w in E.parameters()]
    step()
    return not any(torch.equal(a, b) for a, b in zip(before, E.parameters()))

# %%
#| export course.graders.bigan
def first_moved(step, E):
    "A wrong answer: the first weight says nothing of the others."
    before = next(E.parameters()).detach().clone()
    step()
    return not torch.equal(before, next(E.parameters()))

# %%
#| export course.graders.bigan
@exercise(accepts=[moved], rejects=[has_gradient, without_clone, all_moved, first_moved,
                                    lambda step, E: True, lambda step, E: False,
                                    lambda step, E: step()])
def grade_moved(answer):
    x = torch.ones(8, 2)
    def train(*weights, E, D):
        adam = torch.optim.Adam(weights, .1)
        D(torch.cat([x, E(x)], 1)).mean().backward()
        adam.step()
    for of in "weight", "bias":
        E, D = nn.Linear(2, 2), nn.Linear(4, 1)
        assert not answer(lambda: train(*D.parameters(), E=E, D=D), E), \
            "E has a gradient here, but no optimiser uses it"
        assert answer(lambda: train(*D.parameters(), getattr(E, of), E=E, D=D), E), \
            "here a part of E moves, and the answer was no"

# %%
#| export course.graders.bigan
def rests(events, player: str, step: int) -> bool:
    "Whether the turns that were set last before this step leave the player out."
    past = [e.value for e in events if e.name == "turns" and e.step < step]
    return bool(past) and past[-1] is not None and player not in past[-1]

# %%
#| export course.graders.bigan
@mission("all five modes were captured", "three were missing at once while D did not move",
         "nothing but the turns was changed", "later all five were captured again")
def unjudged(record):
    "Lose three modes while D does not move, then capture all five again. Change only the turns."
    at, captured = zip(*((step, len(modes)) for step, modes in record.captured().items()))
    yield 5 in captured
    after = range(captured.index(5), len(captured))
    low = next((i for i in after if captured[i] <= 2 and rests(record.events, "D", at[i])), None)
    yield low
    yield {event.name for event in record.events} == {"turns"}
    yield 5 in captured[low:]

# %%
#| export course.graders.bigan
def line_lab() -> Lab:
    "The lab of the mission."
    game = BiGAN(prior="uniform", networks=Networks(latent=1, width=64))
    return Lab(game, line(5, spacing=1., std=.02), batch=64, samples=300, seed=0)

# %%
#| export course.graders.bigan
def fulfilled():
    "A recording that fulfils the mission."
    return [line_lab().step(400).step(112, only="G").step(320).recording(2)]

# %%
#| export course.graders.bigan
def unfulfilled():
    "A recording without the change of turns, one in which D alone moves, and none."
    return [line_lab().step(320).recording(2),
            line_lab().step(64).step(400, only="D").step(160).recording(2), None]

# %%
#| export course.graders.bigan
grade_unjudged = exercise(accepts=fulfilled, rejects=unfulfilled)(unjudged)
