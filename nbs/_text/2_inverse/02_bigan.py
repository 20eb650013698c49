# %% [markdown]
# # The joint game
# > How are a generator and an encoder trained by one discriminator that sees pairs?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | If two maps, there and back, are to undo each other, who makes them, and does the data lose modes on the way? |
# | **You will be able to** | build a BiGAN, read its joint plane, measure whether its two maps are inverse to one another, and recognise the two mistakes that prevent it |
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
from modelab.core.plotting import axes, FAKE, Film, image_grid, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, steps
from modelab.course.exercises import exercise
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
# ## Kept by one, lost by the other
# Five modes on a line, a single number as latent, and two maps: a generator $G$ from the latent to the line, an encoder $E$ from the line to the latent. Both are trained, side by side, by one discriminator; how, we shall see in a moment.
#
# **Predict:** five modes, eight seeds. Who loses modes: $G$, $E$, both?

# %%
data = line(5, spacing=1., std=.02)
bigan = BiGAN(prior="uniform", networks=Networks(latent=1, width=64))
run, moments = Run(bigan, data, batch=128, device="cpu"), {}
for at in (0, 50, 100, 200, 400, 700, 1000, 1500):
    run.step(steps(at, fast=at // 40) - run.steps if at else 0)
    moments[at] = copy.deepcopy(run)  # for the film at the end of the chapter
shown = [int(c.captured) for c in run.coverage()]
shown

# %% [markdown]
# That is $G$: how many modes hold good samples. To ask $E$, take fresh data and encode them. As in chapter [2.1](01_encoder.ipynb) a mode has a place of its own among the codes if the nearest other code comes from the same mode.

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
own.tolist()

# %%
by_E, by_G = (interval(kept, low=0, high=5) for kept in (own, shown))
claim(
    "A BiGAN's encoder keeps all five modes of a line apart while its generator loses some of them",
    paper="Sharma and Namboodiri 2018", section="introduction", ours=by_E, baseline=by_G,
    holds=by_E.low > 4.9 and by_G.high < 4.9)

# %% [markdown]
# With one dimension each for $x$ and $z$ the whole game is a plane. Each real point sits at $(x, E(x))$: those are the discs. Each latent sits at $(G(z), z)$: together they are a curve. The background is the output of the discriminator for a pair, dark for *real*. The left panel shows the seed that captures fewest modes, the right one the seed that captures most.

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
    "Joint planes: each mode's discs have a height of their own; where a mode is dark the curve "
    "turns away from it")

# %% [markdown]
# The discs spread along $z$, five spots, each at a height of its own: the codes have to fill the prior, which is one piece, and five near-points fill it best by keeping apart. The curve moves along $x$: at the height of a spot it ought to pass through the spot. Where it does not, the mode is missing, although the encoder has codes of its own for it.
#
# ## One discriminator, two kinds of pairs
# $E$ and $G$ never receive each other's output. $D$ is shown pairs: real ones $(x,E(x))$ and generated ones $(G(z),z)$, and tells them apart with the loss of chapter 1.1. $G$ and $E$ want it to be wrong, together:
#
# $$\min_{G,E}\max_D\;\mathbb E_x\log\sigma\big(D(x,E(x))\big)+\mathbb E_z\log\big(1-\sigma(D(G(z),z))\big).$$
#
# Chapter 1.1 applies as it stands, to pairs: at the optimum the two *joint* distributions are equal. Then $E(G(z))=z$ and $G(E(x))=x$ almost everywhere: were it otherwise, a pair from one side would lie where the other side has none. No reconstruction is ever computed.
#
# What do $G$ and $E$ descend? Saturating losses have small gradients. Two others are in use: *swapped* labels (each wants its pairs taken for the other kind), and *linear* in the logits, as in the authors' code of the next chapter.
#
# $$L_{GE}^{\text{swapped}}=\mathbb E\,\text{softplus}\big(D(x,E(x))\big)+\mathbb E\,\text{softplus}\big(-D(G(z),z)\big),\qquad L_{GE}^{\text{linear}}=\mathbb E\,D(x,E(x))-\mathbb E\,D(G(z),z).$$

# %%
#| export
GeneratorForm = Literal["swapped", "linear"]  # labels swapped; or linear in the logits

# %% [markdown]
# The loss is the equation:

# %%
#| export
@checked
def generator_encoder_loss(real_logits: RealScores,  # D(x, E(x)), (*runs, batch)
                           fake_logits: FakeScores,  # D(G(z), z), (*runs, batch)
                           form: GeneratorForm = "swapped",
                           ) -> torch.Tensor:  # (*runs,)
    """What G and E descend: real pairs should score low and generated ones high.

    After Donahue et al. 2017, section 3.4.
    """
    if form == "linear":
        return real_logits.mean(-1) - fake_logits.mean(-1)
    return F.softplus(real_logits).mean(-1) + F.softplus(-fake_logits).mean(-1)


# %% [markdown]
# **Fidelity.** Swapped means swapped: it is the discriminator's loss with the two kinds of pairs exchanged. And both forms push every logit the same way, down for real pairs and up for generated ones.

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
# What is the optimal $D$? The log-ratio of the two joint densities. A case in which it can be written down: the encoder mixes, $E(x)=e\,x+\sqrt{1-e^2}\,\varepsilon$, and so does the generator, $G(z)=g\,z+\sqrt{1-g^2}\,\varepsilon$, with $x$ and $z$ standard normal. If $e=g$ the two joint laws are the same and the best logit is zero *everywhere*; else real pairs score higher by the divergence of the two laws, $\tfrac{1-eg}{1-g^2}-1+\tfrac12\log\tfrac{1-g^2}{1-e^2}$.

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
# The optimal $D$ detects an encoder that does not fit the generator, and most clearly one with the opposite sign.
#
# The encoder, its prior and its draws are those of chapter [2.1](01_encoder.ipynb). New are the generator and a $D$ of two inputs. On pictures all three may be convolutional, `Networks("conv")`; $D$ then takes the latent beside what its filters have found.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class BiGAN(EncodingGame):
    """BiGAN of Donahue et al. 2017, ALI of Dumoulin et al. 2017: one discriminator D of pairs.

    It tells real pairs (x, E(x)) from generated pairs (G(z), z); G and E want it to be wrong."""
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
    "D wants (x, E(x)) high and (G(z), z) low."
    with torch.no_grad():
        code, fake = self.encode(t), t.G(t.z)
    return discriminator_loss(t.D(t.x, code), t.D(fake, t.z))


# %% [markdown]
# Their loss is the one of above, on fresh pairs.

# %%
#| export
@patch
def loss_GE(self: BiGAN, t: Any) -> torch.Tensor:
    "G and E want the opposite."
    real_logits, fake_logits = t.D(t.x, self.encode(t)), t.D(t.G(t.z), t.z)
    return generator_encoder_loss(real_logits, fake_logits, self.form)


# %% [markdown]
# The game plays on pictures as on points. Here all three players are convolutional and the encoder draws noise.

# %%
pictured = BiGAN(stochastic=True, networks=Networks("conv", width=4, latent=8))
Run(pictured, digits(), runs=2, batch=16, device="cpu").step(2).sample(3).shape

# %% [markdown]
# The rates may fall along half a cosine to a hundredth of what they were, `Optimiser(schedule=Schedule("cosine", 1500))`. Chapter [2.3](03_pairwise.ipynb) needs that.

# %%
[round(Schedule("cosine", 1500)(step), 3) for step in (0, 500, 750, 1000, 1500, 9000)]

# %% [markdown]
# ## There and back
# Is $G(E(x))$ near $x$, and $E(G(z))$ near $z$? Near compared with what? With what the same points would get if the partners were mixed up: the mean distance of pairs, over the mean distance of *shuffled* pairs. One means that the two maps have no relation to each other.

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
{way: interval(values) for way, values in round_trips(seen).items()}

# %% [markdown]
# Far from one, and far from zero: whatever falls between two spots is mapped to a mode that is not its own. The other thing to ask is whether the codes of real data follow the law of the latents: the exact Wasserstein distance of [1.4](../1_game/04_wasserstein.ipynb), by sorting.

# %%
def measured(seen) -> dict:
    "The round trips, and how far the codes are from the prior, seed by seed."
    far = [wasserstein_distance(code, z)[0] for code, z in zip(seen["code"], seen["z"])]
    return round_trips(seen) | {"codes from prior": far}

# %% [markdown]
# Two mistakes are found in published code again and again. Neither stops the training or raises an error. *The encoder is never trained*: its weights were forgotten when the optimiser was made. *Its sign is flipped*: $E$ helps $D$ instead of opposing it.
#
# **Predict:** which of the two numbers finds which mistake?

# %%
class Forgotten(BiGAN):
    "The encoder takes no turn."
    turns = "D G"

    def loss_G(self, t):
        return generator_encoder_loss(t.D(t.x, t.E(t.x)), t.D(t.G(t.z), t.z))

# %%
class Flipped(BiGAN):
    "The encoder works for the discriminator."
    def loss_GE(self, t):
        return F.softplus(-t.D(t.x, t.E(t.x))).mean(-1) + F.softplus(-t.D(t.G(t.z), t.z)).mean(-1)

# %%
def fooled(game, total: int) -> dict:
    "Round trips and the law of the codes of eight seeds of a game."
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

# %% [markdown]
# An encoder with the wrong sign moves away from the generator, and the round trip shows it: nothing is reconstructed. An encoder that is never trained does not show there, since the generator learns to invert even a random network. But random codes do not follow the prior, and so $G$ is asked for data from latents that no data have.

# %%
claim(
    "The two maps of a BiGAN undo each other, though nobody asks for it: z comes back far nearer "
    "than chance",
    paper="Donahue et al. 2017", section="Theorem 2", ours=trips["right"],
    baseline=trips["sign flipped"], holds=trips["right"].high < .5 * trips["sign flipped"].low)

# %%
claim("Trained, the encoder brings the data closer to the prior than a random one does",
      paper="Donahue et al. 2017", section="Theorem 1", ours=laws["right"],
      baseline=laws["encoder forgotten"], holds=laws["right"].high < laws["encoder forgotten"].low)

# %% [markdown]
# ## Real digits
# Sixteen numbers for a scan, eight seeds. Above the scans, below what comes back from their codes: not a copy, but the same digit half of the time, where chance would have it a tenth of the time.

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
{"same digit": interval(on_scans["same digit"], low=0, high=1)} | {
    name: interval(on_scans[name]) for name in ("x → z → x", "z → x → z")}

# %%
figure, ax = axes(size=(6, 1))
image_grid(ax, scans.picture(torch.tensor(on_scans["pairs"])), 16,
           "scans, and what comes back from their codes")
Picture(
    figure,
    "Sixteen scans above; below each the generator's picture of its code, often the same digit "
    "in another hand")

# %%
figure, ax = axes(size=(6, .7))
image_grid(ax, scans.picture(torch.tensor(on_scans["path"])), 12,
           "from the code of a 0 to the code of a 7")
Picture(figure,
        "A walk between two codes: a zero opens and becomes a seven, through shapes in between")

# %% [markdown]
# ## Under your hands: how the plane fills
# The line of five again, from the first step on. Watch the spots rise and fall until they share the height, and the curve approach them. A spot that the curve avoids is a missing mode: found early, and lost again.

# %%
def frames(r: int):
    "The joint plane of one seed, at eight moments."
    drawn = []
    for at, then in moments.items():
        figure, ax = axes(size=(3.6, 2.8))
        plane(ax, then, r)
        captured = int(then.coverage()[r].captured)
        ax.set_title(f"step {at}: {captured} of 5")
        drawn.append(Picture(figure, f"Joint plane at step {at}: {captured} of 5 modes"))
    return drawn

# %%
film = Film(frames(order[0]), [f"step {at}" for at in moments])
film

# %%
film.widget.slider.value = 7
assert film.widget.image.value == film.frames[7].png
film.widget.slider.value = 0

# %% [markdown]
# **By hand.** The same plane in the lab of [1.3](../1_game/03_lab.ipynb): discs at $(x, E(x))$, crosses at $(G(z), z)$, the field is $D$ on pairs. The mission: stop training the discriminator. *G only* trains the two maps while $D$ stays fixed; they move to where this $D$ gives them the lowest loss. Then train $D$ again.

# %%
from modelab.course.exercises import mission
from modelab.lab.panel import Lab

@mission("all five modes were captured", "three were missing at once",
         "nothing but the turns was changed", "later all five were captured again")
def unjudged(record):
    "Lose three modes while D does not move, then capture all five again. Change only the turns."
    captured = [len(modes) for modes in record.captured().values()]
    yield 5 in captured
    after = range(captured.index(5), len(captured))
    low = next((i for i in after if captured[i] <= 2), None)
    yield low
    yield {event.name for event in record.events} == {"turns"}
    yield 5 in captured[low:]

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
# Your three modules, two optimisers: one for $D$, one for $G$ *and* $E$.

# %%
my_G, my_E = nn.Linear(2, 3), nn.Linear(3, 2)
my_D = joint_discriminator([3], 2, width=32)
both = torch.optim.Adam([*my_G.parameters(), *my_E.parameters()], 1e-3)
x, z = torch.randn(64, 3), torch.randn(64, 2)
loss_d = discriminator_loss(my_D(x, my_E(x).detach()), my_D(my_G(z).detach(), z))
loss_ge = generator_encoder_loss(my_D(x, my_E(x)), my_D(my_G(z), z))
loss_ge.backward()
assert my_E.weight.grad.norm() > 0 and my_G.weight.grad.norm() > 0

# %% [markdown]
# ## Exercises
# **1.** The encoder is stochastic, so that a mode may fill a stripe of the joint plane. The data have three modes with weights ½, ¼, ¼, and the prior is uniform on $[-1,1]$. At the optimum, how high is the stripe of the first mode?

# %%
@exercise(accepts=[1, 1.0], rejects=[.5, 2, .25])
def grade_height(answer):
    told = "half of the codes lie in it, and the codes fill an interval of length two"
    assert abs(answer - 1) < 1e-6, told

# %%
answer = ...
grade_height(answer)

# %% [markdown]
# **2.** Write `trained(step, E)`: whether a training step, a function without arguments, moves the encoder's weights at all.

# %%
def moved(step, E):
    before = [w.detach().clone() for w in E.parameters()]
    step()
    return any(not torch.equal(a, b) for a, b in zip(before, E.parameters()))

# %%
def by_gradient(step, E):
    step()
    return any(w.grad is not None for w in E.parameters())

# %%
@exercise(accepts=[moved], rejects=[by_gradient, lambda step, E: True, lambda step, E: False])
def grade_moved(answer):
    E, D = nn.Linear(2, 2), nn.Linear(4, 1)
    x = torch.ones(8, 2)
    def step(*nets):
        adam = torch.optim.Adam([w for net in nets for w in net.parameters()], .1)
        D(torch.cat([x, E(x)], 1)).mean().backward()
        adam.step()
    assert not answer(lambda: step(D), E), "E has a gradient here, but nobody uses it"
    assert answer(lambda: step(D, E), E), "here E moves"

# %%
answer = ...
grade_moved(answer)

# %% [markdown]
# **3.** The mission of the lab: hand in `by_hand.recording()` when its ticks are set.

# %%
def unjudged_in_code(seed: int):
    "One way to do it."
    return joint_lab(seed=seed).step(400).step(112, only="G").step(320).recording(2)

# %%
grade_unjudged = exercise(accepts=[unjudged_in_code(0)],
                          rejects=[joint_lab().step(320).recording(2), None])(unjudged)

# %%
answer = ...
grade_unjudged(answer)

# %% [markdown]
# ## Recap
# - A BiGAN's discriminator sees pairs. Where the joint laws agree, the two maps are inverse, and no reconstruction is computed.
# - The encoder's target has one mode, so none can be lost; the generator's target has many. In the joint plane a lost mode is a spot that the curve avoids.
# - Measure the round trip against shuffled partners, and the codes against the prior. The first finds an encoder with the wrong sign, the second one that was never trained.
#
# **For later.** Why do $E$ and $G$ move in one turn? What would $D$ learn if it saw $x$ alone? What information about a missing mode is in $E$ and not in $G$, and how could $G$ get it? ([2.3](03_pairwise.ipynb))
#
# **References.** J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. V. Dumoulin, I. Belghazi, B. Poole, O. Mastropietro, A. Lamb, M. Arjovsky, A. Courville, *Adversarially learned inference*, ICLR 2017.
