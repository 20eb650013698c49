# %% [markdown]
# # The joint game
# > A generator, an encoder, and a discriminator that sees pairs

# %% [markdown]
# | | |
# |---|---|
# | **Question** | If two maps, there and back, are to undo each other, who makes them, and does the data lose modes on the way? |
# | **You will be able to** | build a BiGAN, read its joint plane, measure whether its two maps are inverse to one another, and recognise the two mistakes that make them strangers |
# | **Paper** | Donahue, Krähenbühl, Darrell, *Adversarial feature learning*, 2017; Dumoulin et al., *Adversarially learned inference*, 2017 |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [2.1](01_encoder.ipynb) |
# | **Time** | about a minute of computing |

# %%
#| default_exp methods.bigan

# %%
#| export
"BiGAN / ALI: generator, encoder and a discriminator of pairs."
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.checks import check_choice, check_int, check_logits, check_number
from modelab.core.registry import register_game
from modelab.core.seeding import Generators
from modelab.losses.adversarial import discriminator_loss
from modelab.methods.encoder import Encoder, JointMLP, LATENT_PRIORS
from modelab.networks.layers import make_player, mlp_generator

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, Film, image_grid, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, fast_mode, steps
from modelab.course.exercises import exercise
from modelab.data.digits import digits
from modelab.data.mixtures import line
from modelab.methods.bigan import BiGAN
from modelab.methods.wasserstein import wasserstein_distance
from modelab.networks.players import Networks
from modelab.training.run import Run

# %% [markdown]
# ## Kept by one, lost by the other
# Five modes on a line, a single number as latent, and two maps: a generator $G$ from the latent to the line, an encoder $E$ from the line to the latent. Both are trained, side by side, by one discriminator; how, we shall see in a moment.
#
# **Predict:** five modes, eight seeds. Who loses modes: $G$, $E$, both?

# %%
data = line(5, spacing=1., std=.02)
run = Run(BiGAN(prior="uniform", networks=Networks(latent=1, width=64)), data, batch=128, device="cpu").step(steps(1500))
lit = [int(c.captured) for c in run.coverage()]
lit

# %% [markdown]
# That is $G$: how many modes hold good samples. To ask $E$, take fresh data and encode them. As in chapter [2.1](01_encoder.ipynb) a mode has a place of its own among the codes if the nearest other code comes from the same mode.

# %%
@torch.no_grad()
def look(run, n: int = 500):
    "Real points with their modes and codes, and the way back; then latents, what is made of them, and their way back."
    nets, draw, data = run.players.nets, run.generators, run.modes
    x, mode = zip(*(data.sample_with_modes(n, generator=g) for g in draw("look")))
    x, mode, z = torch.stack(x), torch.stack(mode), run.noise(n, draw("look", 1))
    code, made = nets["E"](x), nets["G"](z)
    return {"x": x, "mode": mode, "code": code, "x_hat": nets["G"](code), "z": z, "made": made, "z_hat": nets["E"](made)}

# %%
from modelab.methods.encoder import separated_modes

seen = look(run)
own = separated_modes(seen["code"], seen["mode"], data.n_modes)
own.tolist()

# %%
kept_by_E, lit_by_G = interval(own), interval(lit)
claim("A BiGAN's encoder keeps all five modes of a line apart while its generator loses some of them",
      paper="Sharma and Namboodiri 2018", section="introduction", ours=kept_by_E, baseline=lit_by_G,
      holds=kept_by_E.low > 4.9 and lit_by_G.high < 4.9)

# %% [markdown]
# With one dimension each for $x$ and $z$ the whole game is a plane. Each real point sits at $(x, E(x))$: those are the discs. Each latent sits at $(G(z), z)$: together they are a curve. The background is what the discriminator thinks of a pair, dark for *real*. Above is a seed with a dark mode.

# %%
@torch.no_grad()
def plane(ax, run, r: int, limit: float = 3.2):
    "The joint plane of one run."
    seen, side = look(run), 70
    u, v = torch.meshgrid(torch.linspace(-limit, limit, side), torch.linspace(-1.6, 1.6, side), indexing="xy")
    pairs = [w.reshape(1, -1, 1).expand(run.runs, -1, -1) for w in (u, v)]
    ax.imshow(run.players.nets["D"](*pairs)[r].sigmoid().view(side, side), origin="lower", cmap="Greys", vmin=0, vmax=1.3,
              extent=(-limit, limit, -1.6, 1.6), aspect="auto")
    t = torch.linspace(-1, 1, 400)[None, :, None].expand(run.runs, -1, -1)
    ax.plot(run.players.nets["G"](t)[r, :, 0], t[0, :, 0], "x", c=FAKE, ms=3, mew=.8)
    ax.plot(seen["x"][r, :, 0], seen["code"][r, :, 0], "o", c=REAL, ms=3, alpha=.6)
    ax.set(xlabel="x", ylabel="z", xlim=(-limit, limit), ylim=(-1.6, 1.6))

# %%
order = sorted(range(8), key=lit.__getitem__)
order

# %%
figure, panels = axes(1, 2, size=(3.4, 2.6), sharey=True)
for ax, r in zip(panels, (order[0], order[-1])):
    plane(ax, run, r)
    ax.set_title(f"seed {r}: G shows {lit[r]} of 5")
panels[1].set_ylabel("")
Picture(figure, "Joint planes: each mode's discs have a height of their own; where a mode is dark the curve turns away from it")

# %% [markdown]
# The discs spread along $z$, five spots, each at a height of its own: the codes have to fill the prior, which is one piece, and five near-points fill it best by keeping apart. The curve moves along $x$: at the height of a spot it ought to pass through the spot. Where it does not, the mode is dark, although the encoder has kept a place for it.
#
# ## One discriminator, two kinds of pairs
# $E$ and $G$ never meet each other's output. $D$ is shown pairs: real ones $(x,E(x))$ and generated ones $(G(z),z)$, and tells them apart with the loss of chapter 1.1. $G$ and $E$ want it to be wrong, together:
#
# $$\min_{G,E}\max_D\;\mathbb E_x\log\sigma\big(D(x,E(x))\big)+\mathbb E_z\log\big(1-\sigma(D(G(z),z))\big).$$
#
# Chapter 1.1 applies as it stands, to pairs: at the optimum the two *joint* distributions are equal. Then $E(G(z))=z$ and $G(E(x))=x$ almost everywhere: were it otherwise, a pair from one side would lie where the other side has none. Nobody ever computes a reconstruction.
#
# What do $G$ and $E$ descend? Saturating losses whisper. Two others are in use: *swapped* labels (each wants its pairs taken for the other kind), and *linear* in the logits, as in the authors' code of the next chapter.
#
# $$L_{GE}^{\text{swapped}}=\mathbb E\,\text{softplus}\big(D(x,E(x))\big)+\mathbb E\,\text{softplus}\big(-D(G(z),z)\big),\qquad L_{GE}^{\text{linear}}=\mathbb E\,D(x,E(x))-\mathbb E\,D(G(z),z).$$

# %%
#| export
GENERATOR_FORMS = ("swapped", "linear")


# %%
#| export
def generator_encoder_loss(real_logits: torch.Tensor,  # D(x, E(x)), (*runs, batch)
                           fake_logits: torch.Tensor,  # D(G(z), z), (*runs, batch)
                           form: str = "swapped",  # labels swapped, or "linear" in the logits
                           ) -> torch.Tensor:  # (*runs,)
    "What G and E descend: real pairs should score low and generated ones high (Donahue et al. 2017, section 3.4)."
    check_logits(real_logits=real_logits, fake_logits=fake_logits)
    if check_choice("form", form, GENERATOR_FORMS) == "linear":
        return real_logits.mean(-1) - fake_logits.mean(-1)
    return F.softplus(real_logits).mean(-1) + F.softplus(-fake_logits).mean(-1)


# %% [markdown]
# **Fidelity.** Swapped means swapped: it is the discriminator's loss with the two kinds of pairs exchanged. And both forms push every logit the same way, down for real pairs and up for generated ones.

# %%
g = torch.Generator().manual_seed(0)
real, fake = torch.randn(2, 3, 50, generator=g, dtype=torch.float64).requires_grad_()
assert torch.allclose(generator_encoder_loss(real, fake), discriminator_loss(fake, real), atol=1e-15)
for form in ("swapped", "linear"):
    down, up = torch.autograd.grad(generator_encoder_loss(real, fake, form).sum(), (real, fake))
    assert (down > 0).all() and (up < 0).all()
print(error_message(generator_encoder_loss, real, fake, "saturating"))

# %% [markdown]
# What does the best $D$ know? The log-ratio of the two joint densities. A case in which it can be written down: the encoder mixes, $E(x)=e\,x+\sqrt{1-e^2}\,\varepsilon$, and so does the generator, $G(z)=g\,z+\sqrt{1-g^2}\,\varepsilon$, with $x$ and $z$ standard normal. If $e=g$ the two joint laws are the same and the best logit is zero *everywhere*; else real pairs score higher by the divergence of the two laws, $\tfrac{1-eg}{1-g^2}-1+\tfrac12\log\tfrac{1-g^2}{1-e^2}$.

# %%
from torch.distributions import Normal

# %%
def log_ratio(x, z, e: float, g: float) -> torch.Tensor:
    "log p(x, E(x)) - log q(G(z), z)."
    real = Normal(0., 1.).log_prob(x) + Normal(e * x, math.sqrt(1 - e ** 2)).log_prob(z)
    return real - Normal(0., 1.).log_prob(z) - Normal(g * z, math.sqrt(1 - g ** 2)).log_prob(x)

# %%
def divergence(e: float, g: float) -> float:
    return (1 - e * g) / (1 - g ** 2) - 1 + math.log((1 - g ** 2) / (1 - e ** 2)) / 2

# %%
x, noise = torch.randn(2, 400_000, generator=g, dtype=torch.float64)
assert log_ratio(x, noise, .9, .9).abs().max() < 1e-10  # for any pair of numbers at all
measured = {e: log_ratio(x, e * x + math.sqrt(1 - e ** 2) * noise, e, .8).mean().item() for e in (-.5, 0., .5, .8, .9)}
assert all(math.isclose(v, divergence(e, .8), abs_tol=.03) for e, v in measured.items())
{e: (round(v, 3), round(divergence(e, .8), 3)) for e, v in measured.items()}

# %% [markdown]
# An encoder that does not fit the generator is found out, and most of all one that turns the other way. `JointMLP`, the net of several inputs, and the encoder's draws are those of chapter 2.1; now $D$ takes two inputs as well.

# %%
#| export
class _Fading(dict):
    "Learning rates by player, times `now`; what is written to a checkpoint (its items) are the rates at the start."
    now = 1.0

    def __getitem__(self, player: str) -> float:
        return super().__getitem__(player) * self.now


# %%
#| export
def cosine_decay(step: int, length: int | None, least: float = .01) -> float:
    "From 1 at step 0 along half a cosine to `least` at `length` and after; always 1 for None."
    if length is None:
        return 1.0
    share = check_number("step", step, 0) / check_int("length", length)
    return max(check_number("least", least, 0, 1), (1 + math.cos(math.pi * min(1., share))) / 2)


# %%
#| export
@register_game
@dataclass
class BiGAN:
    "The joint game of Donahue et al. 2017 and Dumoulin et al. 2017: generator G, encoder E, discriminator D of pairs."
    G: nn.Module | Callable[[], nn.Module] | None = None  # your own, or one that fits the set
    E: nn.Module | Callable[[], nn.Module] | None = None  # takes x, and noise shaped as z if `stochastic`
    D: nn.Module | Callable[[], nn.Module] | None = None  # takes x and z
    form: str = "swapped"  # what G and E descend: "swapped", or "linear" in the logits
    stochastic: bool = False  # whether E draws noise
    prior: str = "normal"  # of z; or "uniform" on [-1, 1]
    fade: int | None = None  # steps over which all learning rates sink to a hundredth; None: constant
    latent: int | None = None  # length of z; None: fits the set
    width: int = 128  # hidden units of the default players
    depth: int = 2  # their hidden layers
    g_width: int | None = None  # hidden units of the default G alone; None: as `width`
    g_depth: int | None = None  # its hidden layers; None: as `depth`
    lr: float | dict[str, float] = 1e-3  # of Adam; a dict sets it by player
    betas: tuple[float, float] = (0., .9)
    turns: ClassVar[str] = "D GE"

    def __post_init__(self) -> None:
        check_choice("form", self.form, GENERATOR_FORMS)
        check_choice("prior", self.prior, LATENT_PRIORS)
        for name in {"fade", "g_width", "g_depth"} - {k for k, v in vars(self).items() if v is None}:
            check_int(name, getattr(self, name))

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: Any) -> dict[str, nn.Module]:
        "The networks that play, one copy per run."
        hidden, sizes = (self.width, self.depth, runs, generator), [math.prod(event), latent]
        tall = (self.g_width or self.width, self.g_depth or self.depth, runs, generator)
        return {"G": make_player("G", self.G, lambda: mlp_generator(latent, event, *tall), runs, generator),
                "E": make_player("E", self.E, lambda: JointMLP(sizes[:1 + self.stochastic], latent, *hidden), runs, generator),
                "D": make_player("D", self.D, lambda: joint_discriminator(event, latent, *hidden), runs, generator)}

    noise = Encoder.noise
    encode = Encoder.encode

    def loss_D(self, t: Any) -> torch.Tensor:
        "D wants (x, E(x)) high and (G(z), z) low."
        if self.fade or isinstance(self.lr, _Fading):  # whoever changes a rate under way leaves a plain one here
            self.lr = _Fading(self.lr if isinstance(self.lr, dict) else dict.fromkeys("GED", self.lr))
            self.lr.now = cosine_decay(t.step, self.fade)
        with torch.no_grad():
            code, fake = self.encode(t), t.G(t.z)
        return discriminator_loss(t.D(t.x, code), t.D(fake, t.z))

    def loss_GE(self, t: Any) -> torch.Tensor:
        "G and E want the opposite."
        return generator_encoder_loss(t.D(t.x, self.encode(t)), t.D(t.G(t.z), t.z), self.form)


# %% [markdown]
# ## There and back
# Is $G(E(x))$ near $x$, and $E(G(z))$ near $z$? Near compared with what? With what the same points would get if somebody had mixed up the partners: the mean distance of pairs, over the mean distance of *shuffled* pairs. One means that the two maps know nothing of each other.

# %%
def apart(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    "Mean distance of partners over that of shuffled partners, run by run; a and b are (runs, n, *event)."
    a, b = a.flatten(2), b.flatten(2)
    mixed = b.roll(1 + b.shape[1] // 3, 1)
    return ((a - b).norm(dim=2).mean(1) / (a - mixed).norm(dim=2).mean(1)).tolist()

# %%
def round_trips(seen) -> dict:
    "Both ways, over the seeds."
    return {"x → z → x": interval(apart(seen["x"], seen["x_hat"])), "z → x → z": interval(apart(seen["z"], seen["z_hat"]))}

# %%
round_trips(seen)

# %% [markdown]
# Far from one, and far from zero: whatever falls between two spots is mapped to a mode that is not its own. The other thing to ask is whether the codes of real data obey the law of the latents: the exact Wasserstein distance of [1.4](../1_game/04_wasserstein.ipynb), by sorting.
#
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
wrong = {name: Run(rules(latent=1, prior="uniform", width=64), data, batch=128, device="cpu").step(steps(1500))
         for name, rules in {"encoder forgotten": Forgotten, "sign flipped": Flipped}.items()}

# %%
looks = {"right": seen} | {name: look(r) for name, r in wrong.items()}
trips = {name: round_trips(s)["z → x → z"] for name, s in looks.items()}
laws = {name: interval([wasserstein_distance(c, z)[0] for c, z in zip(s["code"], s["z"])]) for name, s in looks.items()}
for name in looks:
    print(f"{name:18} z → x → z {trips[name]}   codes from prior {laws[name]}")

# %% [markdown]
# A flipped encoder runs away from the generator, and the round trip tells: nothing comes back. A forgotten one does not show there. The generator learns to undo whatever stands before it, even a random net! But random codes do not obey the prior, and so $G$ is asked for data from latents that no data have.

# %%
claim("The two maps of a BiGAN undo each other, though nobody asks for it: z comes back far nearer than chance",
      paper="Donahue et al. 2017", section="Theorem 2", ours=trips["right"], baseline=trips["sign flipped"],
      holds=trips["right"].high < .5 * trips["sign flipped"].low)

# %%
claim("Trained, the encoder brings the data closer to the prior than a random one does",
      paper="Donahue et al. 2017", section="Theorem 1", ours=laws["right"], baseline=laws["encoder forgotten"],
      holds=laws["right"].high < laws["encoder forgotten"].low)

# %% [markdown]
# ## Real digits
# Sixteen numbers for a scan, eight seeds. Above the scans, below what comes back from their codes: not a copy, but the same digit half of the time, where chance would have it a tenth of the time.

# %%
scans = Run(BiGAN(form="linear", networks=Networks(latent=16)), digits(), runs=8, batch=64, device="cpu").step(steps(1500))
back = look(scans, 200)
{**round_trips(back), "same digit": interval([(scans.modes.assign(a)[0] == m).float().mean().item()
                                              for a, m in zip(back["x_hat"], back["mode"])])}

# %%
both = torch.cat([back["x"][0, :16], back["x_hat"][0, :16]])
figure, ax = axes(size=(6, 1))
image_grid(ax, scans.modes.picture(both), 16, "scans, and what comes back from their codes")
Picture(figure, "Sixteen scans above; below each the generator's picture of its code, often the same digit in another hand")

# %%
@torch.no_grad()
def between_digits(run, i: int, j: int, n: int = 12) -> torch.Tensor:
    "Pictures along the straight line between the codes of two scans, of the first run."
    a, b = back["code"][:, i], back["code"][:, j]
    path = torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, n)], 1)
    return run.players.nets["G"](path)[0]

# %%
first, second = ((back["mode"][0] == k).nonzero()[0].item() for k in (0, 7))
figure, ax = axes(size=(6, .7))
image_grid(ax, scans.modes.picture(between_digits(scans, first, second)), 12, "from the code of a 0 to the code of a 7")
Picture(figure, "A walk between two codes: a zero opens and becomes a seven, through shapes in between")

# %% [markdown]
# ## Under your hands: how the plane fills
# The line of five again, from the first step on. Watch the spots rise and fall until they share the height, and the curve look for them. A spot that the curve avoids is a dark mode: found early, and lost again.

# %%
def frames(rules, r: int):
    "The joint plane of one seed, at eight moments."
    walk, drawn = Run(rules, data, batch=128, device="cpu"), []
    for at in (0, 50, 100, 200, 400, 700, 1000, 1500):
        walk.step(steps(at, fast=at // 40) - walk.steps if at else 0)
        figure, ax = axes(size=(3.6, 2.8))
        plane(ax, walk, r)
        captured = int(walk.coverage()[r].captured)
        ax.set_title(f"step {at}: {captured} of 5")
        drawn.append(Picture(figure, f"Joint plane at step {at}: {captured} of 5 modes"))
    return drawn

# %%
film = Film(frames(BiGAN(prior="uniform", networks=Networks(latent=1, width=64)), order[0]), [f"step {n}" for n in (0, 50, 100, 200, 400, 700, 1000, 1500)])
film

# %%
film.widget.slider.value = 7
assert film.widget.image.value == film.frames[7].png
film.widget.slider.value = 0

# %% [markdown]
# **By hand.** The same plane in the lab of [1.3](../1_game/03_lab.ipynb): discs at $(x, E(x))$, crosses at $(G(z), z)$, the field is $D$ on pairs. The mission: take the judge away. *G only* moves the two maps while $D$ stands still; they run to wherever this $D$ was last pleased. Then let $D$ answer again.

# %%
from modelab.course.exercises import mission
from modelab.lab.panel import Lab

@mission("all five modes were lit", "three were dark at once", "nothing but the turns was changed", "later all five were lit again")
def unjudged(record):
    "Put three modes out by letting G and E move without D, then light all five again. Touch nothing but the turns."
    lit = [len(modes) for modes in record.lit().values()]
    yield 5 in lit
    low = next((i for i in range(lit.index(5), len(lit)) if lit[i] <= 2), None)
    yield low
    yield {event.name for event in record.events} == {"turns"}
    yield 5 in lit[low:]

# %%
def joint_lab(**kw):
    return Lab(BiGAN(prior="uniform", networks=Networks(latent=1, width=64)), data, batch=64, samples=300, missions=[unjudged], **kw)

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
    assert abs(answer - 1) < 1e-6, "half of the codes lie in it, and the codes fill an interval of length two"

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
grade_unjudged = exercise(accepts=[unjudged_in_code(0)], rejects=[joint_lab().step(320).recording(2), None])(unjudged)

# %%
answer = ...
grade_unjudged(answer)

# %% [markdown]
# ## Recap
# - A BiGAN's discriminator sees pairs. Where the joint laws agree, the two maps are inverse, and nobody has computed a reconstruction.
# - The encoder's target has one hump, so it has no mode to lose; the generator's has many. In the joint plane a lost mode is a spot that the curve avoids.
# - Measure the round trip against shuffled partners, and the codes against the prior. The first finds an encoder that fights on the wrong side, the second one that was forgotten.
#
# **For later.** Why do $E$ and $G$ move in one turn? What would $D$ learn if it saw $x$ alone? What does $E$ know of a dark mode that $G$ does not, and who could tell $G$? ([2.3](03_pairwise.ipynb))
#
# **References.** J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial feature learning*, ICLR 2017. V. Dumoulin, I. Belghazi, B. Poole, O. Mastropietro, A. Lamb, M. Arjovsky, A. Courville, *Adversarially learned inference*, ICLR 2017.
