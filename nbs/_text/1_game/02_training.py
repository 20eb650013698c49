# %% [markdown]
# # Training GANs reproducibly: runs, seeds, checkpoints
# > How can I train any GAN with eight seeds at once, so that every number can be reproduced bit for bit?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can I train any GAN with eight seeds at once, so that every number can be reproduced bit for bit? |
# | **You will be able to** | write a training method of your own, and run, stop, save, resume and measure it |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [0.5](../0_start/05_networks.ipynb), [1.1](01_minimax.ipynb) |
# | **Time** | under a minute of computing |

# %%
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from modelab.core.checks import error_message
from modelab.core.plotting import axes, Film, Picture, scatter
from modelab.core.registry import with_settings
from modelab.core.seeding import derive_seed
from modelab.course.claims import fast_mode, recorded, steps
from modelab.data.mixtures import ring
from modelab.evaluation.coverage import coverage_table
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Diverged, Run

# %% [markdown]
# ## Looking at samples changes the training
# This is the usual loop: two networks, two optimisers, one step of each. All its random numbers come from two seeded sources.

# %%
def by_hand(steps: int, look_at: int | None = None) -> torch.Tensor:
    "Train on the ring and return G's last weights; at step `look_at`, draw a few samples."
    torch.manual_seed(0)
    G, D, data = mlp(2, 2, width=32), mlp(2, (), width=32), ring(radius=2, std=.02)
    adam_G, adam_D = (torch.optim.Adam(n.parameters(), 1e-3, betas=(.5, .9)) for n in (G, D))
    source = torch.Generator().manual_seed(0)
    for step in range(steps):
        x, z = data.sample(64, generator=source), torch.randn(64, 2)
        adam_D.zero_grad()
        discriminator_loss(D(x), D(G(z).detach())).backward()
        adam_D.step()
        adam_G.zero_grad()
        generator_loss(D(G(torch.randn(64, 2)))).backward()
        adam_G.step()
        if step == look_at:
            G(torch.randn(9, 2))
    return G.final.weight.detach()


# %% [markdown]
# Run it twice, and a third time in which nine samples are drawn at step 10, for example for a progress picture.
#
# **Predict:** are the final weights of the three runs equal?

# %%
first, again, looked = by_hand(40), by_hand(40), by_hand(40, look_at=10)
torch.equal(first, again), torch.equal(first, looked), (first - looked).abs().max().item()

# %%
assert torch.equal(first, again) and not torch.equal(first, looked)

# %% [markdown]
# The first two runs have equal weights. The third one has not: the nine samples took random numbers from the source of the training
# noise, so every later step used other numbers. If you plot more often, you train another network.

# %% [markdown]
# ## A random stream for each purpose
# The remedy: each purpose has its own random numbers (a *stream*), seeded anew at each step. The numbers for *(seed 3, noise, step 120)* come from a
# `torch.Generator` whose seed is made from exactly these words. So the state after $n$ steps depends only on the settings and on $n$:
#
# $$\theta_{n+1} = F(\theta_n,\; \text{draws}(\text{seed}, \text{stream}, n)).$$
#
# Here $\theta_n$ are all weights and the state of the optimisers. Resuming needs no saved random state. The seed for a purpose is a hash of its words:

# %%
purposes = [(seed, stream, step)
            for seed in range(8) for stream in ("data", "noise") for step in range(2000)]
assert len({derive_seed(*p) for p in purposes}) == len(purposes)
derive_seed(3, "noise", 120)


# %% [markdown]
# ## The optimiser and learning-rate schedules
# Each player (G, D, …) is trained by Adam. `Optimiser` holds the learning rate, Adam's two decay rates (`betas`) and a schedule. G and D may differ: `Optimiser({"G": 1e-4, "D": 4e-4}, (0., .9))`. The learning rate may fall over the steps of a run. A *schedule* is a function of the step alone, so a run that is resumed at step 500 continues with the rate of step 500.

# %%
from modelab.training.optimiser import Optimiser, Schedule

# %% [markdown]
# **Fidelity.** A cosine is at one half in the middle. `"linear"` keeps the first rate for half of the steps and then falls in a line to zero. A schedule in ten stairs keeps the rate of its last stair, here 0.2 times the first rate:

# %%
halfway = Schedule("cosine", 100, floor=0.)
assert halfway(0) == 1 and abs(halfway(50) - .5) < 1e-12 and halfway(100) == halfway(900) == 0
[Schedule("linear", 100, stairs=10)(step) for step in (0, 50, 60, 99, 500)]

# %%
figure, ax = axes(size=(4, 2.2))
for schedule, label in ((Schedule("cosine", 100), "cosine"), (Schedule("linear", 100), "linear"),
                        (Schedule("linear", 100, stairs=10), "linear, 10 stairs")):
    ax.plot(range(121), [schedule(step) for step in range(121)], label=label)
ax.set(xlabel="step", ylabel="factor of the learning rate")
ax.legend()
Picture(figure, "Three schedules over 100 steps: a cosine; constant until step 50, then a line to "
                "0; the same line in ten stairs")

# %% [markdown]
# ## A game: players, turns and losses
# The training code, called the *engine*, works for any method. A method is a subclass of `Game`. It defines its players, the order of their turns, and one loss per run for each turn. Most games have a generator G and a discriminator D. They inherit from `AdversarialGame` and add two losses. `CriticGame` has a setting `n_critic`: so many turns of D for one of G (chapter [1.4](04_wasserstein.ipynb)).
#
# | part of a game | meaning |
# |---|---|
# | `turns` | who is trained, in which order: `"D G"`, `"D D D D D G"`, or `"D GE"` where two networks move together |
# | `loss_D(t)`, `loss_G(t)` | one loss for each word in `turns`; it returns one value per run |
# | `players(...)` | makes the networks; `AdversarialGame` has it |
# | `networks`, `optimiser` | settings that all games have |
# | `noise(...)` | draws the latents; standard normal unless a game says otherwise |
#
# A loss gets one argument, the turn `t`. All random numbers of a turn depend only on the seed, the name of the stream, the step, and the place of the turn in the step.
#
# | part of a turn | meaning |
# |---|---|
# | `t.G`, `t.D` | the players, by name |
# | `t.x` | real examples, `(runs, batch, *event)`; drawn when first used |
# | `t.z` | latents, `(runs, batch, latent)` |
# | `t.y` | labels of the real batch, in a game with a conditional player |
# | `t.real(5000, "pool")`, `t.noise(5000)` | more examples or latents, from a stream with a name of its own |
# | `t.generator` | one generator per run for other random numbers of the loss |
# | `t.step` | the number of the step |
# | `t.players` | all players with their weights, optimisers and rates; for reading only |
#
# Chapter [6.23](../6_workshop/23_games.ipynb) has the code.

# %% [markdown]
# ## A method of your own in ten lines
# This method uses squared errors instead of the cross-entropy (least-squares GAN, Mao et al. 2017). Only the losses are new. The engine, the coverage table and the checkpoints need nothing else. The decorator
# `register_game` would make it known to the command line and the lab, too:

# %%
from modelab.training.game import AdversarialGame, turn_words

# %%
@dataclass(kw_only=True)
class LeastSquares(AdversarialGame):
    "D aims at 1 for real and 0 for generated; G aims at 1."
    default_networks = Networks("mlp", width=64, depth=2)
    default_optimiser = Optimiser(1e-3, (.5, .9))

    def loss_D(self, t):
        return (t.D(t.x) - 1).square().mean(-1) + t.D(t.G(t.z)).square().mean(-1)

    def loss_G(self, t):
        return (t.D(t.G(t.z)) - 1).square().mean(-1)

# %%
turn_words(LeastSquares()), LeastSquares().optimiser.rates("D")


# %% [markdown]
# ## A run
# `Run` trains a game on a [mode set](../glossary.ipynb) for several seeds at once. Chapter [6.7](../6_workshop/07_engine.ipynb) builds it. Here we use it: train, draw samples, measure, save.

# %%
run = Run(Minimax(networks=Networks(width=64)), ring(radius=2, std=.02), batch=128, device="cpu")
run.step(steps(1200))
run


# %% [markdown]
# These are eight generators with the same game, data and settings. Only the seed differs. Without `device` a run uses the GPU if there is one. The chapters use the CPU, so that the numbers are reproduced exactly.

# %%
def eight(run, n: int = 300):
    "The samples of the first eight runs, drawn over the modes."
    figure, panels = axes(2, 4, size=(1.9, 1.9), sharex=True, sharey=True)
    for ax, x, seed in zip(panels.flat, run.sample(n), run.seeds):
        scatter(ax, run.modes.centers, size=20)
        scatter(ax, fake=x, limit=3, size=4)
        ax.set(title=f"seed {seed}", xlabel="", ylabel="")
        ax.label_outer()
    captured = [int(c.captured) for c in run.coverage()]
    return Picture(figure, f"Eight generators of a ring of eight modes after {run.steps} steps; "
                   f"modes captured: {captured}")


# %%
eight(run)

# %%
scores = run.coverage()
captured = sum(c.captured for c in scores) / 8
good = sum(c.high_quality for c in scores) / 8
assert fast_mode() or captured > scores[0].null.captured + 1 and good < .15
coverage_table(scores)

# %% [markdown]
# After 1,200 steps the runs capture 7.1 of 8 modes on average; noise captures 4.3. But only 7 % of the samples are good. The picture shows why: most samples lie near the circle, but not within
# three standard deviations (0.06) of a mode. *(3 of 8)* in the table: this divergence is infinite if a mode is missing, so its mean is over the three runs that miss none.
# For least squares we trained 300 steps only, so do not compare the two tables:

# %%
mine = Run(LeastSquares(), ring(radius=2, std=.02), batch=128, device="cpu").step(steps(300))
coverage_table(mine.coverage())

# %% [markdown]
# For your own networks call `Minimax(G=make_G, D=make_D)`, with functions that make plain modules, one per run. D may return the shape `(N,)` or `(N, 1)`.

# %%
make_G = lambda: nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
make_D = lambda: nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
own = Run(Minimax(G=make_G, D=make_D), ring(radius=2, std=.02), runs=2, batch=64, device="cpu")
tuple(own.step(10).sample(5).shape)

# %% [markdown]
# ### Conditional networks
# `with_labels` marks networks that take a label: G(z, y) and D(x, y). The labels are the modes of the real [batch](../glossary.ipynb). `Run.sample` draws labels with their frequencies in the data, or takes the labels that you give:

# %%
from modelab.networks.layers import with_labels

class LabelledMLP(nn.Module):
    "A small network of (v, y), for eight labels."
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.label = nn.Embedding(8, 8)
        self.net = nn.Sequential(nn.Linear(inputs + 8, 64), nn.ReLU(), nn.Linear(64, outputs))

    def forward(self, v, y):
        return self.net(torch.cat([v, self.label(y)], -1))

# %%
pair = Minimax(G=with_labels(lambda: LabelledMLP(2, 2)), D=with_labels(lambda: LabelledMLP(2, 1)))
eight_modes = ring(radius=2, std=.02)
conditional = Run(pair, eight_modes, runs=2, batch=128, device="cpu").step(steps(600))
asked = torch.arange(8).repeat_interleave(50).expand(2, -1)
reached, _ = eight_modes.assign(conditional.sample(400, y=asked).flatten(0, 1))
hits = (reached == asked.flatten()).float().mean().item()
assert fast_mode() or hits > .9  # one in eight by chance
f"the nearest mode of {hits:.0%} of the samples is that of their label"

# %% [markdown]
# ## Looking at samples no longer changes the training
# This is the experiment of the beginning with the engine. From one run samples are drawn after every ten steps, from the other never.

# %%
def small(runs: int = 2, **kw) -> Run:
    "A small run on the ring."
    game = Minimax(networks=Networks(width=32))
    return Run(game, ring(radius=2, std=.02), runs=runs, batch=64, device="cpu", **kw)

# %%
quiet, watched = small().step(40), small()
for _ in range(4):
    watched.step(10).sample(9)

# %%
assert torch.equal(quiet.sample(50), watched.sample(50))
assert torch.equal(quiet.losses["G"], watched.losses["G"])

# %% [markdown]
# Seed 5 alone and seed 5 among eight draw exactly the same random numbers. The stacked matrix product may round differently from a single one. So the
# samples agree up to rounding, until training has made the rounding errors larger:

# %%
of_eight, alone = small(runs=8).step(10), small(runs=1, seed=5).step(10)
gap = (of_eight.sample(100)[5] - alone.sample(100)[0]).abs().max().item()
assert gap < 1e-4
gap

# %% [markdown]
# ## A learning rate that falls
# A schedule is a setting of the optimiser. Here the rate is constant for three of four stairs, then half. **Fidelity:** a second run sets the rates by hand, two steps at a time. The samples are equal.

# %%
game = Minimax(networks=Networks(width=16))
falling = Run(with_settings(game, schedule=Schedule("linear", 8, stairs=4)), "ring", runs=2,
              device="cpu").step(8)

# %%
stepwise = Run(game, "ring", runs=2, device="cpu")
for rate in (1e-3, 1e-3, 1e-3, 5e-4):
    stepwise.game.optimiser = Optimiser(rate, (0., .9))
    stepwise.step(2)
assert torch.equal(falling.sample(5), stepwise.sample(5))

# %% [markdown]
# ## Save, stop, resume
# A checkpoint contains tensors (weights, losses, and Adam's *moments*, its running means of gradients and of their squares) and the settings as JSON, in the safetensors format. Reading it does not execute
# code. It is written under a temporary name and then renamed, so an interrupted save does not damage the previous checkpoint. `Run.load` also takes a folder, as
# `modelab train` writes it, and reads its newest checkpoint.
#
# Train twenty steps, save, resume for twenty more, and compare with forty steps without interruption. Every weight and every moment of Adam is equal.

# %%
folder = Path(tempfile.mkdtemp())
halfway = small(average=.9).step(20)
resumed = Run.load(halfway.save(folder / "run.safetensors"), device="cpu").step(20)
straight = small(average=.9).step(40)

# %%
there, here = straight.players.state(), resumed.players.state()
assert there.keys() == here.keys() and all(torch.equal(there[k], here[k]) for k in there)
assert torch.equal(straight.losses["D"], resumed.losses["D"])
len(there), resumed

# %% [markdown]
# A damaged file is refused, and the error names it:

# %%
whole_file = (folder / "run.safetensors").read_bytes()
(folder / "half.safetensors").write_bytes(whole_file[: len(whole_file) // 2])
error_message(Run.load, folder / "half.safetensors").replace(str(folder), "…")

# %% [markdown]
# A run stops if a loss becomes NaN or infinite. The error names the step, the player and the seed. Here the learning rate is a million:

# %%
wild = small()
wild.game.optimiser = Optimiser(1e6, (0., .9))
try:
    wild.step(200)
    message = "it survived"
except Diverged as error:
    message = str(error)
assert "is not finite at step" in message
message


# %% [markdown]
# ## A film of a training
# The film shows the samples of one seed every 60 steps. Press play. A mode counts if one of the 400 samples is within 0.06 of its centre, so the count can also fall from one picture to the next.

# %%
def frame(run, seed: int = 0):
    "One seed's samples over the real modes."
    figure, ax = axes(size=(3.2, 3.2))
    x = run.sample(400)[seed]
    scatter(ax, run.modes.centers, size=20)
    scatter(ax, fake=x, limit=3)
    mode, good = run.modes.assign(x)
    text = f"{mode[good].unique().numel()} of {run.modes.n_modes} modes captured"
    ax.set_title(text)
    return Picture(figure, f"step {run.steps}: {text} by 400 samples")


# %%
film_run, frames = Run(Minimax(networks=Networks(width=64)), ring(radius=2, std=.02), runs=1,
                       batch=128, device="cpu"), []
for _ in range(12):
    frames.append(frame(film_run))
    film_run.step(steps(60, fast=5))

# %%
film = Film(frames, [f"step {i * steps(60, fast=5)}" for i in range(len(frames))])
film

# %%
film.widget.slider.value = 11
assert film.widget.image.value == frames[11].png
film.widget.slider.value = 0


# %% [markdown]
# ## The time for eight seeds
# `benchmarks/training.py` compares eight seeds at once with plain loops of the same networks, batch and optimiser. The ratio is the time per run, over the time of one
# plain loop: with 0.488 eight runs take the time of 3.9 loops.

# %%
cost = recorded("training")
assert not cost or abs(8 * cost["ratio"]["8 runs at once"]["median"] - 3.9) < .1
cost

# %% [markdown]
# On a GPU a small network uses a small part of the device, so more seeds cost little: 64 at once take the time of 2.9 loops.

# %%
cost = recorded("training_gpu")
assert not cost or abs(64 * cost["ratio"]["64 runs at once"]["median"] - 2.9) < .1
cost


# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.training import grade_hinge, grade_streams, grade_turns

# %% [markdown]
# **1.** (easy, 5 minutes) Write a game in which the discriminator takes five steps for each step of the generator. The answer is a subclass of `Minimax`.
#
# <details><summary>Hint</summary>
#
# `turns` is a class attribute: one word for each turn of a step.
#
# </details>

# %%
answer = ...
grade_turns(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Patient(Minimax):
#     turns = "D D D D D G"
#
# answer = Patient
# ```
#
# The game has a loss for each word already, so nothing else is needed.
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) A colleague seeds the noise of step $n$ with `seed + n`. There are seeds 0 to 7 and steps 0 to 999. How many of the 8,000 noise batches are distinct?
#
# <details><summary>Hint</summary>
#
# Two batches are equal if their sums are equal. What is the smallest sum, and what is the largest?
#
# </details>

# %%
answer = ...
grade_streams(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = len({seed + n for seed in range(8) for n in range(1000)})
# ```
#
# The sums run from 0 to 1,006, so there are 1,007. Seed 1 at step 0 has the noise of seed 0 at step 1. The eight runs are not independent. `derive_seed` hashes the words instead of adding them.
#
# </details>

# %% [markdown]
# **3.** (hard, 20 minutes) Write a game with the hinge losses. $D$ minimises $\mathbb E\max(0,1-D(x))+\mathbb E\max(0,1+D(G(z)))$, and $G$ minimises $-\mathbb E\,D(G(z))$. The answer is a subclass of `AdversarialGame`. Each loss has one value per run.
#
# <details><summary>Hint</summary>
#
# Look at `LeastSquares` above. `.relu()` is $\max(0,\cdot)$. The mean is over the last axis only.
#
# </details>

# %%
answer = ...
grade_hinge(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @dataclass(kw_only=True)
# class Hinge(AdversarialGame):
#     def loss_D(self, t):
#         fake = t.G(t.z).detach()
#         return (1 - t.D(t.x)).relu().mean(-1) + (1 + t.D(fake)).relu().mean(-1)
#
#     def loss_G(self, t):
#         return -t.D(t.G(t.z)).mean(-1)
#
# answer = Hinge
# ```
#
# A mean over all axes would mix the runs: the engine needs one loss per run. `detach` saves the backward pass through $G$; the engine moves only the player of the turn.
#
# </details>

# %% [markdown]
# ## Recap
# - With a shared source of random numbers, drawing samples changes the training. With a stream per purpose and step it does not.
# - A game defines players, turns and one loss per turn. The engine does the rest.
# - A resumed run equals an uninterrupted one bit for bit, also with a falling learning rate.
# - If a loss becomes NaN or infinite, the error names the step, the player and the seed.
#
# **For later.**
#
# 1. Why does a checkpoint need no random state here?
# 2. Why are the losses of the runs summed and not averaged?
# 3. What would change if the evaluation drew from the stream of the training data?
#
# <details><summary>Answers</summary>
#
# 1. The random numbers of a step are made from the seed, the purpose and the step, so they can be made again.
# 2. The gradient of each run is then the same as alone. A mean would divide it by the number of runs.
# 3. If the stream had a state, each evaluation would change the data of the later steps. With one seed for each step the data would not change, but the evaluation would use examples of the training batch.
#
# </details>
#
# **References.** X. Mao et al., *Least squares generative adversarial networks*, ICCV 2017.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.training
"Graders of chapter 1.2."
from types import SimpleNamespace

import torch

from modelab.course.exercises import as_number, exercise
from modelab.data.mixtures import ring
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks
from modelab.training.game import AdversarialGame
from modelab.training.run import Run

# %%
#| export course.graders.training
class Patient(Minimax):
    "A right answer."
    turns = "D D D D D G"

# %%
#| export course.graders.training
class Lazy(Minimax):
    "A wrong answer: the other player takes five turns."
    turns = "D G G G G G"

# %%
#| export course.graders.training
@exercise(accepts=[Patient], rejects=[Minimax, Lazy, "D D D D D G"])
def grade_turns(answer):
    game = answer(networks=Networks(width=8))
    run = Run(game, ring(), runs=1, batch=8, device="cpu").step(1)
    taken = [int(run.players.state()[f"adam/{name}/step"]) for name in "DG"]
    assert taken == [5, 1], f"in one step D was trained {taken[0]} times and G {taken[1]} times"

# %%
#| export course.graders.training
@exercise(accepts=[1007], rejects=[8000, 1000, 1008, 8])
def grade_streams(answer):
    distinct = {seed + n for seed in range(8) for n in range(1000)}
    assert as_number(answer) == len(distinct), \
        "which seed has at step 0 the noise that seed 0 has at step 1? Count the different sums"

# %%
#| export course.graders.training
class Hinge(AdversarialGame):
    "The right answer, and wrong ones by its attributes."
    real, fake, clip, sign, axes = 1, 1, True, -1, -1

    def loss_D(self, t):
        x, z = self.real - t.D(t.x), self.fake + t.D(t.G(t.z).detach())
        x, z = (v.relu() if self.clip else v for v in (x, z))
        return x.mean(self.axes) + z.mean(self.axes)

    def loss_G(self, t):
        return self.sign * t.D(t.G(t.z)).mean(self.axes)

# %%
#| export course.graders.training
def wrong_hinge(**wrong):
    "A subclass of the right answer with other attributes."
    return type("Wrong", (Hinge,), wrong)

# %%
#| export course.graders.training
@exercise(accepts=[Hinge], rejects=[Minimax, *(wrong_hinge(**wrong) for wrong in (
    {"clip": False}, {"sign": 1}, {"axes": (0, 1)}, {"real": -1}, {"fake": -1}, {"fake": 0}))])
def grade_hinge(answer):
    assert isinstance(answer, type) and issubclass(answer, AdversarialGame), \
        "the answer is a class that inherits from AdversarialGame"
    g = torch.Generator().manual_seed(0)
    x, z = 2 * torch.randn(2, 3, 40, 1, generator=g)
    turn = SimpleNamespace(x=x, z=z, G=lambda z: z, D=lambda v: v.squeeze(-1))
    game, right = answer(), Hinge()
    for player, word in (("D", "loss_D"), ("G", "loss_G")):
        found, wanted = (getattr(one, word)(turn) for one in (game, right))
        assert found.shape == (3,), f"{word}: one value per run, (3,), got {tuple(found.shape)}"
        assert torch.allclose(found, wanted), f"{word} is wrong: what does {player} minimise?"
