# %% [markdown]
# # Your first GAN, and mode collapse
# > What is a GAN, how do I train one in PyTorch, and how do I see that it lost a part of the data?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What is a GAN, how do I train one in PyTorch, and how do I see that it lost a part of the data? |
# | **You will be able to** | write and train a GAN in plain PyTorch; cause mode collapse with one setting; count the modes that a generator captures, over several seeds |
# | **Paper** | Goodfellow et al., *Generative adversarial nets*, 2014 |
# | **Needs** | Python, and PyTorch as far as `nn.Sequential`, an optimiser and `backward()` |
# | **Time** | about a minute of computing |
#
# All chapters, by the question that they answer: [index](../index.ipynb). All words: [glossary](../glossary.ipynb).

# %%
import math

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.plotting import FAKE, REAL, Picture, axes, scatter
from modelab.course.claims import experiment, fast_mode, steps
from modelab.course.diagrams import flow_diagram

# %% [markdown]
# ## What a GAN is
# You have examples: faces, scans, rows of a table. You want a program that makes new examples of the same kind. A *generative adversarial network* (GAN) is a pair of networks that
# are trained for this:
#
# - The **generator** $G$ turns random numbers $z$ into an example. Its examples are called *fake* or *generated*.
# - The **discriminator** $D$ turns an example, real or fake, into one number: high for "real", low for "fake".
#
# $D$ is trained to tell real from fake. $G$ is trained so that $D$ takes its fakes for real. In the diagram, solid arrows show values and dashed arrows show gradients.

# %%
#| hide-input
networks = {"generator G": (1.7, 0), "discriminator D": (4.9, .6)}
values = {"latent z": (0, 0), "fake": (3.2, 0), "real": (3.2, 1.2), "logit": (6.5, .6),
          "loss of D": (8, 1.2), "loss of G": (8, 0)}
arrows = [("latent z", "generator G"), ("generator G", "fake"), ("fake", "discriminator D"),
          ("real", "discriminator D"), ("discriminator D", "logit"), ("logit", "loss of D"),
          ("logit", "loss of G")]
gradients = [("loss of D", "discriminator D", .3), ("loss of G", "generator G", -.2)]
figure = flow_diagram(networks, values, arrows, gradients, size=(8, 2.6))
Picture(figure, "A latent z goes into G, which gives a fake. Fakes and real examples go into D, "
        "which gives a logit. Two losses use the logit. The gradient of D's loss goes to D, the "
        "gradient of G's loss goes back to G.")

# %% [markdown]
# The gradient of G's loss passes *through* $D$ on its way to $G$, but it changes only the weights of $G$. No real example is ever an input of $G$. The data reach its weights through this gradient alone.
#
# These twelve words are used on this page. The [glossary](../glossary.ipynb) has them, too.
#
# | word | meaning |
# |---|---|
# | data distribution | The probability law that the real examples come from. |
# | sample | One example that is drawn from a distribution or made by a generator. |
# | mode | One kind of example in the data, such as a cluster of points or a digit class. |
# | latent | The random vector z that a generator gets as its input; it is also called noise. |
# | generator | The network G that turns a latent into an example. |
# | discriminator | The network D that gives each example a logit, high for real and low for generated. |
# | logit | A number that stands for a probability, which is the sigmoid of the logit. |
# | loss | The number that an optimiser makes smaller. |
# | training step | One update of each network on one batch of examples. |
# | seed | The number that starts the random numbers, so that a run can be repeated. |
# | captured mode | A mode that at least one good sample of the generator belongs to. |
# | mode collapse | The failure in which a generator leaves out modes of the data. |

# %% [markdown]
# ## The data: two clusters
# Real photographs have no list of their modes. So we start with data where the modes are known: two round clusters in the plane, around $(-1,0)$ and $(1,0)$, with a standard deviation of $0.2$ in each coordinate.

# %%
def draw(centers, std, n):
    "`n` real examples: a random centre each, plus normal noise."
    which = torch.randint(len(centers), (n,))
    return centers[which] + std * torch.randn(n, 2)

# %%
two = torch.tensor([[-1., 0.], [1., 0.]])
torch.manual_seed(0)
real = draw(two, .2, 500)
figure, ax = axes(size=(3.6, 2.4))
scatter(ax, real, limit=2)
ax.set(ylim=(-1, 1), title="500 real examples")
Picture(figure, "Two round clusters of blue points, one at x = -1 and one at x = 1")

# %% [markdown]
# ## The networks
# Both networks take two numbers: $D$ a point $(x_1,x_2)$, $G$ a latent $z$ with two coordinates, drawn from a standard normal distribution. $G$ returns a point, $D$ returns one number, the logit $\ell=D(x)$. The probability that $D$ gives to "real" is $\sigma(\ell)=1/(1+e^{-\ell})$.

# %%
def network(outputs):
    "Two numbers in, `outputs` numbers out, two hidden layers of 64."
    return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, outputs))

# %%
G, D = network(2), network(1)
fake = G(torch.randn(500, 2))
D(fake).sigmoid().mean().item(), D(real).sigmoid().mean().item()

# %% [markdown]
# Before training, the mean probability is near one half for fakes and for real examples.

# %%
assert .3 < D(fake).sigmoid().mean() < .7 and .3 < D(real).sigmoid().mean() < .7

# %% [markdown]
# ## The two losses
# $D$ is a classifier with two classes, so its loss is binary cross-entropy. The label of real examples is 1 and the label of fakes is 0:
#
# $$L_D=-\tfrac1n\sum_i\log\sigma(D(x_i))-\tfrac1n\sum_i\log\bigl(1-\sigma(D(G(z_i)))\bigr).$$
#
# $G$ is trained for the opposite: $D$ should give its fakes a high probability of "real":
#
# $$L_G=-\tfrac1n\sum_i\log\sigma(D(G(z_i))).$$
#
# PyTorch has both as `binary_cross_entropy_with_logits(logits, labels)`.

# %%
def cross_entropy(logits, label):
    "The mean cross-entropy when every example has the same `label`, 1 or 0."
    labels = torch.full_like(logits, label)
    return F.binary_cross_entropy_with_logits(logits, labels)

# %%
def loss_of_D(real_logits, fake_logits):
    return cross_entropy(real_logits, 1.) + cross_entropy(fake_logits, 0.)

def loss_of_G(fake_logits):
    return cross_entropy(fake_logits, 1.)

# %% [markdown]
# **[Fidelity](../glossary.ipynb).** In this course this word marks a cell that compares code with its equation. Here the code gives the same numbers as the equations. If $D$ returns 0 everywhere, it cannot tell real from fake. Then $L_D=2\log 2\approx1.386$ and $L_G=\log 2\approx0.693$. Remember these two numbers. The [lab](../glossary.ipynb) at the end of this chapter plots both losses, and they often come near them.

# %%
a, b = torch.randn(2, 64, dtype=torch.float64)
by_hand = -a.sigmoid().log().mean() - (1 - b.sigmoid()).log().mean()
assert torch.allclose(loss_of_D(a, b), by_hand)
assert torch.allclose(loss_of_G(b), -b.sigmoid().log().mean())
assert math.isclose(loss_of_D(0 * a, 0 * b), 2 * math.log(2))

# %% [markdown]
# ## One training step
# Each network has an optimiser of its own. First $D$ makes a step, then $G$. `detach()` cuts the gradient: in $D$'s step, no gradient is needed in $G$.

# %%
def train_step(G, D, adam_G, adam_D, real):
    fake = G(torch.randn(len(real), 2))
    loss = loss_of_D(D(real), D(fake.detach()))
    adam_D.zero_grad()
    loss.backward()
    adam_D.step()
    loss = loss_of_G(D(fake))
    adam_G.zero_grad()
    loss.backward()
    adam_G.step()

# %% [markdown]
# $G$'s `backward()` also leaves gradients in $D$. They do no harm, because `adam_D.zero_grad()` removes them before the next step of $D$.
#
# ## The training loop
# A training repeats this step with a new [batch](../glossary.ipynb) each time. The optimiser is Adam. Its first setting $\beta_1$ is its momentum; we use $0.5$ and come back to it. Every 20 steps the loop notes where $G$ maps 200 latents that stay the same.

# %%
def train(centers, std, n, seed=0, beta_G=.5, beta_D=.5):
    "Train a GAN for `n` steps: G, and its samples at every 20th step."
    torch.manual_seed(seed)
    G, D = network(2), network(1)
    adam_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(beta_G, .999))
    adam_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(beta_D, .999))
    z, seen = torch.randn(200, 2), []
    for step in range(n):
        train_step(G, D, adam_G, adam_D, draw(centers, std, 128))
        if step % 20 == 19:
            seen.append(G(z).detach())
    return G, torch.stack(seen)

# %% [markdown]
# With the imports, this is a whole GAN. Train it for 600 steps. (`steps(600)` is 600. The tests of this course set the environment variable `MODELAB_FAST`; then there are fewer steps, and results are not checked.)

# %%
torch.set_num_threads(1)
G, seen = train(two, .2, steps(600), seed=1)

# %%
def show(ax, centers, std, x, title):
    torch.manual_seed(0)
    limit = centers.abs().max().item() + 1
    scatter(ax, draw(centers, std, len(x)), x, limit=limit, size=4)
    ax.set_title(title)

# %%
def strip(rows, centers, std, at=(2, 5, 10, 20, 30)):
    "One row of pictures for each run: its samples at some of the noted steps."
    at = [i for i in at if i <= len(rows[0][1])] or [1]
    figure, panels = axes(len(rows), len(at), size=(1.9, 1.9), sharex=True, sharey=True,
                          squeeze=False)
    for line, (name, x) in zip(panels, rows):
        for ax, i in zip(line, at):
            show(ax, centers, std, x[i - 1], f"{name}, step {20 * i}")
            ax.label_outer()
    return figure

# %%
Picture(strip([("seed 1", seen)], two, .2, at=(1, 5, 10, 30)),
        "200 generated points as orange crosses over the real ones: first a clump, at the "
        "last step they lie on both clusters")

# %% [markdown]
# ## Count
# A picture can mislead, so count. A sample is *good* if it is within three standard deviations of the nearest centre. A mode is *captured* if at least one [good sample](../glossary.ipynb) belongs to it.

# %%
def count(samples, centers, std):
    "The number of good samples of each mode."
    distance, nearest = torch.cdist(samples, centers).min(1)
    good = nearest[distance < 3 * std]
    return torch.bincount(good, minlength=len(centers))

# %%
def samples_of(G, n=1000):
    torch.manual_seed(1)
    with torch.no_grad():
        return G(torch.randn(n, 2))

# %% [markdown]
# A count means little alone. Put two others beside it: the count of a perfect generator, which draws from the data distribution itself, and the count of a generator before training.

# %%
counts = {"perfect": count(draw(two, .2, 1000), two, .2), "trained": count(samples_of(G), two, .2),
          "untrained": count(samples_of(network(2)), two, .2)}
for name, modes in counts.items():
    print(f"{name:10} {modes.tolist()}  captured {(modes > 0).sum()} of 2,"
          f"  good {modes.sum() / 1000:.0%}")

# %%
assert counts["perfect"].sum() > 970 and counts["untrained"].sum() < 500
assert fast_mode() or counts["trained"].min() > 200 and counts["trained"].sum() > 800

# %% [markdown]
# The trained generator captures both modes, with about half of the good samples in each. Even a perfect generator does not have 100 % good samples: in the plane, a normal distribution has $1-e^{-9/2}\approx98.9\,\%$ of its mass within three standard deviations.
#
# ## The same GAN with PyTorch's default momentum
# `torch.optim.Adam(G.parameters(), lr=1e-3)` has $\beta_1=0.9$, not $0.5$. It is easy to leave the default. We change nothing else, and show seed 1 again; the next section counts eight seeds.
#
# **Predict:** how many of the two clusters will the generator capture, and how many of its samples will be good?

# %%
G_default, seen_default = train(two, .2, steps(600), seed=1, beta_G=.9, beta_D=.9)
modes = count(samples_of(G_default), two, .2)
print(modes.tolist(), f"captured {(modes > 0).sum()} of 2, good {modes.sum() / 1000:.0%}")

# %%
assert fast_mode() or (modes > 0).sum() == 1 and 400 < modes.sum() < 550
Picture(strip([("β₁ = .5", seen), ("β₁ = .9", seen_default)], two, .2),
        "Upper row: the samples spread over both clusters. Lower row: all samples stay together "
        "and end in one short streak, which reaches one cluster.")

# %% [markdown]
# This is **mode collapse**. The samples lie in one short streak that reaches one cluster (47 % are good). The other cluster is missing.
#
# ## One seed is not enough
# The seed decides the first weights, the latents and the batches. So train eight seeds with each setting, and print what each captures.

# %%
def captured(beta_G, beta_D, seeds):
    "The modes that each seed captures, and its share of good samples."
    runs = [count(samples_of(train(two, .2, steps(600), seed, beta_G, beta_D)[0]), two, .2)
            for seed in seeds]
    return [(int((modes > 0).sum()), int(modes.sum()) / 1000) for modes in runs]

# %%
low, default = captured(.5, .5, range(8)), captured(.9, .9, range(8))
print("β₁ = .5", low)
print("β₁ = .9", default)

# %%
def losers(runs):
    "The number of seeds that capture fewer than two clusters."
    return sum(modes < 2 for modes, _ in runs)

assert fast_mode() or losers(low) == 0 and losers(default) >= 6
assert fast_mode() or low[0][0] == default[0][0] == 2
print(f"of 8 seeds lose a cluster: β₁ = .5 {losers(low)}, β₁ = .9 {losers(default)}")

# %% [markdown]
# Each pair shows the captured modes and the share of good samples. With $0.9$ at least six of the eight seeds lose a cluster, with $0.5$ none. Seed 0 captures both clusters with either setting: with this seed alone you would have missed the collapse. So this course shows several seeds.
#
# Look at the pairs `(1, 1.0)`. Every sample is good, and half of the data is missing. A look at single samples does not show that; a count of the modes does.
#
# ## Why? A look at the momentum
# Adam does not step along the gradient itself. It steps along a running mean $m$ of the gradients $g$:
#
# $$m\leftarrow\beta_1\,m+(1-\beta_1)\,g.$$
#
# The mean looks back over about $1/(1-\beta_1)$ steps: 2 steps for $0.5$, and 10 for $0.9$. In an ordinary training this smooths noise. In a GAN the goal of each network moves while it is trained: $D$ is trained on fakes that are in another place 10 steps later.
#
# Look at the first coordinate of the 200 noted samples, at all noted steps:

# %%
figure, panels = axes(1, 2, size=(3.6, 2.6), sharey=True)
for ax, (name, x) in zip(panels, [("β₁ = .5", seen), ("β₁ = .9", seen_default)]):
    at = torch.arange(1, len(x) + 1) * 20
    ax.plot(at, x[:, ::4, 0], ".", color=FAKE, ms=2)
    for center in two[:, 0]:
        ax.axhline(center, color=REAL, lw=1)
    ax.set(title=name, xlabel="training step", ylabel="x₁ of the samples", ylim=(-3, 3))
Picture(figure, "Left, momentum .5: the samples part into two bands, at -1 and at 1, "
        "with a few samples between. "
        "Right, momentum .9: all samples swing together from one side to the other and end "
        "near one cluster.")

# %% [markdown]
# The blue lines are the true centres. With $0.5$ most samples go into two groups, one at each centre; a few lie between. With $0.9$ they move together, past one cluster and back to the other.
#
# Is it the momentum of $G$ or that of $D$? **Predict:** we give $\beta_1=0.9$ to one network only. Which one loses a cluster, a GAN with the higher momentum in $G$ or in $D$?

# %%
only_G, only_D = captured(.9, .5, range(5)), captured(.5, .9, range(5))
print("only G has β₁ = .9", only_G)
print("only D has β₁ = .9", only_D)

# %%
assert fast_mode() or losers(only_G) == 0 and losers(only_D) >= 4

# %% [markdown]
# The higher momentum in $D$ alone loses a cluster on at least four of the five seeds. In $G$ alone it loses none. While the fakes are at one cluster, the gradient of $D$'s loss lowers the logit there. With $\beta_1=0.9$ this gradient stays in the mean for about 10 steps. By then the fakes have moved, and $D$ still lowers its logit at their old place. So $D$ reacts late, and the fakes move back and forth together. This explanation fits the picture and the experiment. It is not a proof.
#
# The smallest game with this behaviour has two numbers instead of two networks. $D$ changes $b$ so that $ab$ grows. $G$ changes $a$ so that $ab$ falls. At $a=b=0$ both gradients are zero: that is the solution.

# %%
def two_numbers(beta, rate=.1, turns=100):
    "The path of (a, b) when both step along running means of their gradients."
    a, b, mean_a, mean_b, path = 1., 0., 0., 0., []
    for _ in range(turns):
        mean_b = beta * mean_b + (1 - beta) * a  # the gradient of ab in b is a
        b += rate * mean_b
        mean_a = beta * mean_a + (1 - beta) * b
        a -= rate * mean_a
        path.append((a, b))
    return torch.tensor(path)

# %%
figure, panels = axes(1, 3, size=(2.4, 2.4), sharex=True, sharey=True)
for ax, beta in zip(panels, (0., .5, .9)):
    path = two_numbers(beta)
    ax.plot(*path.T, color=FAKE, lw=1)
    ax.plot(0, 0, "o", color=REAL)
    ax.set(title=f"β₁ = {beta:g}", xlabel="a, moved by G", ylabel="b, moved by D",
           xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
Picture(figure, "Paths of the two numbers around the solution at zero: a closed circle without "
        "momentum, a slow spiral outwards at .5, a fast one at .9")

# %%
ends = [two_numbers(beta)[-1].norm().item() for beta in (0., .5, .9)]
assert .9 < ends[0] < 1.1 < 2 < ends[1] < 4 < 10 < ends[2]
[round(end, 1) for end in ends]

# %% [markdown]
# Without momentum each step depends on where the other number is now, and the two circle around the solution (the blue disc). With momentum a step depends on where the other number *was*, and the circles grow. Gidel et al. (2019) analyse such games, and show that a *negative* momentum helps there. The authors of DCGAN (Radford et al. 2016) report the same for pictures: with $\beta_1=0.9$ the training oscillated, and with $0.5$ it was more stable.
#
# What this does not explain: in the small game the two [players](../glossary.ipynb) are alike, but in our GAN the momentum of $D$ matters and that of $G$ hardly does. We measure this and do not know why.
#
# ## Eight clusters
# The standard test for mode collapse is a ring of eight clusters. Here its radius is 2 and its standard deviation is 0.1. It needs more steps, here 1,000.

# %%
angle = torch.arange(8) / 8 * 2 * math.pi
eight = 2 * torch.stack([angle.cos(), angle.sin()], 1)
G_ring, ring_seen = train(eight, .1, steps(1000))
G_lost, lost_seen = train(eight, .1, steps(1000), beta_G=.9, beta_D=.9)

# %%
rows = [("β₁ = .5", ring_seen), ("β₁ = .9", lost_seen)]
Picture(strip(rows, eight, .1, at=(5, 10, 20, 30, 50)),
        "Upper row: the samples spread until all eight clusters of the ring are reached. "
        "Lower row: they wander in clumps until step 400, and are spread about the ring later.")

# %% [markdown]
# Five seeds of each take half a minute of computing, so they were trained once and recorded. The cell below trains the first steps again, compares them with the record, and returns the recorded counts. Many chapters do so with their long runs; [chapter 0.2](02_evidence.ipynb) shows how `@experiment` works.

# %%
@experiment("01_first_gan")
def on_the_ring(total=1000):
    runs = {beta: [train(eight, .1, total, seed, beta, beta)[0] for seed in range(5)]
            for beta in (.5, .9)}
    return {f"β₁ = {beta:g}": [count(samples_of(G), eight, .1) / 1000 for G in players]
            for beta, players in runs.items()}

# %%
on_ring = {name: torch.tensor(modes) for name, modes in on_the_ring().items()}
for name, modes in on_ring.items():
    print(name, "captured of 8:", (modes > 0).sum(1).tolist(),
          " good:", [f"{share:.0%}" for share in modes.sum(1).tolist()])

# %%
low_ring, default_ring = ((modes > 0).sum(1) for modes in on_ring.values())
assert fast_mode() or low_ring.min() >= 6 and low_ring.sum() > default_ring.sum()
assert fast_mode() or (default_ring < 8).sum() == 2
low_good, default_good = (modes.sum(1) for modes in on_ring.values())
assert fast_mode() or default_good.max() < .25 and .5 < low_good.min()

# %% [markdown]
# On the ring, too, the seeds with $0.9$ capture fewer modes in total than those with $0.5$. Two of the five seeds miss modes. The other three reach all eight, but at most a quarter of their samples are good; with $0.5$ more than half are. One good sample is enough to capture a mode. So samples that are spread about the ring capture modes, too.
#
# ## The library's count
# `modelab` has data sets with known modes and a `coverage` that counts as we did. It adds the comparisons by itself: `floor` is a perfect generator with as many samples, and `null` is noise, spread evenly over the region of the data.

# %%
from modelab import coverage, mixture

clusters = mixture(two.tolist(), .2)
scores = coverage(samples_of(G_default), clusters)
scores

# %%
assert scores.counts.tolist() == count(samples_of(G_default), two, .2).tolist()

# %% [markdown]
# The counts agree with ours. On this easy set even noise captures both modes, so look at the share of good samples (`high quality`) as well. [Chapter 0.4](04_coverage.ipynb) explains every row of this table, and its title.
#
# ## The lab: try it yourself
# The lab is a training that you can stop, change and rewind. The cell below needs a running kernel; without one you see a still picture; chapter [1.3](../1_game/03_lab.ipynb) has a recording that plays without a kernel. *Play* trains. A lamp for each mode shows whether it is captured. Two **[missions](../glossary.ipynb)** are ticked off when you have done them:
#
# 1. Press *Play* until all eight modes of the ring are captured. Then set the [learning rate](../glossary.ipynb) `lr` to 0.03 and play on, until at least two modes are lost at once. Set it back to 0.001 and bring all of them back.
# 2. Press *Draw your own data*, click at least three places, press *Use it*, and train until all of your clusters are captured.

# %%
from modelab import Lab, Minimax, ring
from modelab.course.exercises import mission
from modelab.networks.players import Networks

@mission("all eight modes were captured", "after a change, two or more were lost at once",
         "all are captured at the end")
def lose_and_return(record):
    "Lose modes of the ring with a high learning rate, then bring them back."
    captured = record.captured()
    yield any(len(modes) == 8 for modes in captured.values())
    first = min(event.step for event in record.events)
    yield any(len(modes) <= 6 for step, modes in captured.items() if step > first)
    yield len(captured[max(captured)]) == 8

# %%
@mission("your own data have at least three clusters", "all are captured, at step 100 or later")
def own_data(record):
    "Draw at least three clusters, and train until all of them are captured."
    yield "ring" not in record.scene["title"] and record.scene["modes"] >= 3
    yield max(record.rows) >= 100 and not record.missing()[-1]

# %%
def small_lab():
    return Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=300,
               missions=[lose_and_return, own_data])

lab = small_lab().step(steps(100))
lab

# %% [markdown]
# Both missions can be done: here they are in code.

# %%
first = small_lab().step(200).set("lr", .03).step(64).set("lr", 1e-3).step(160).recording(4)
second = small_lab().draw([[0, 0], [1, 0], [0, 1]]).step(120).recording(4)
lose_and_return(first), own_data(second)  # either raises an error if a stage is not reached
lose_and_return.seen(first), own_data.seen(second), own_data.seen(first)

# %%
assert own_data.seen(first) == [False, False] and not all(lose_and_return.seen(second))

# %% [markdown]
# ## Exercises
# Replace the `...`, run the cell, and the grader says whether the answer is right.

# %%
from modelab.course.graders.first_gan import (grade_captured, grade_discriminator_loss,
                                              grade_generator_loss, grade_good, grade_loop,
                                              grade_step)

# %% [markdown]
# **1.** (easy, 5 minutes) Write the discriminator's loss with `F.softplus`, where $\operatorname{softplus}(t)=\log(1+e^t)$. The arguments are the logits of real examples and the logits of fakes.
#
# <details><summary>Hint</summary>
#
# Write $-\log\sigma(\ell)$ with the definition of $\sigma$. You get the logarithm of $1+e^{-\ell}$. Then use $1-\sigma(\ell)=\sigma(-\ell)$.
#
# </details>

# %%
def answer(real_logits, fake_logits):
    ...

grade_discriminator_loss(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $-\log\sigma(\ell)=\log(1+e^{-\ell})=\operatorname{softplus}(-\ell)$, and $-\log(1-\sigma(\ell))=-\log\sigma(-\ell)=\operatorname{softplus}(\ell)$.
#
# ```python
# def answer(real_logits, fake_logits):
#     return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
# ```
#
# This form needs no logarithm of a number near 0. The library uses it.
#
# </details>

# %% [markdown]
# **2.** (easy, 5 minutes) Write the generator's loss $L_G$ of this chapter. The argument is the logits of fakes.
#
# <details><summary>Hint</summary>
#
# $G$ is trained with the label that $D$ gives to real examples.
#
# </details>

# %%
def answer(fake_logits):
    ...

grade_generator_loss(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The fakes get the label 1, "real":
#
# ```python
# def answer(fake_logits):
#     return F.softplus(-fake_logits).mean()
# ```
#
# The loss $\log(1-\sigma(D(G(z))))$ of the first equations of the 2014 paper also goes down when $D(G(z))$ goes up. But its gradient is nearly zero where $D$ is sure that a sample is fake. Chapter [1.1](../1_game/01_minimax.ipynb) compares both.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write one training step without looking at the one above. The latents are given, so that the grader can compare the weights after three steps. $D$ moves first.
#
# <details><summary>Hint</summary>
#
# For each network: compute the loss, set its gradients to zero, call `backward()`, let its own optimiser make a step. $D$'s step must not use up the graph of the fakes, and $G$'s step needs the gradient through $D$.
#
# </details>

# %%
def answer(G, D, adam_G, adam_D, real, z):
    ...

grade_step(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(G, D, adam_G, adam_D, real, z):
#     fake = G(z)
#     loss = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
#     adam_D.zero_grad()
#     loss.backward()
#     adam_D.step()
#     loss = F.softplus(-D(fake)).mean()
#     adam_G.zero_grad()
#     loss.backward()
#     adam_G.step()
# ```
#
# `D(fake)` is computed again for $G$, because $D$ has changed. Without `detach()` the first `backward()` would free the graph from $z$ to the fakes, and the second would stop with an error.
#
# </details>

# %% [markdown]
# **4.** (medium, 25 minutes) Write the whole training loop over `n` batches. `draw()` gives a batch of real examples and `noise()` a batch of latents; each call gives a new one. A step takes one batch of each. After every 20th step note where $G$ maps `z`, which stays the same. Return all notes as one tensor, without a gradient.
#
# <details><summary>Hint</summary>
#
# Four parts stand in the loop: draw, the step of $D$, the step of $G$, and a note when `(i + 1) % 20 == 0`. `torch.stack` makes one tensor of a list.
#
# </details>

# %%
def answer(G, D, adam_G, adam_D, draw, noise, n, z):
    ...

grade_loop(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(G, D, adam_G, adam_D, draw, noise, n, z):
#     seen = []
#     for i in range(n):
#         real, fake = draw(), G(noise())
#         loss = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
#         adam_D.zero_grad()
#         loss.backward()
#         adam_D.step()
#         loss = F.softplus(-D(fake)).mean()
#         adam_G.zero_grad()
#         loss.backward()
#         adam_G.step()
#         if (i + 1) % 20 == 0:
#             seen.append(G(z).detach())
#     return torch.stack(seen)
# ```
#
# If `draw()` stands before the loop, $D$ learns one batch by heart, and $G$ sees nothing of the other data. If the notes use new noise, a change between two notes may come from the noise. Without `detach()` every note keeps its graph, and the memory fills.
#
# </details>

# %% [markdown]
# **5.** (medium, 10 minutes) Write `answer(samples, centers, std)`: the number of captured modes. The clusters may overlap. A sample belongs to the nearest centre only, and it is good if it is within three standard deviations of it.
#
# <details><summary>Hint</summary>
#
# `torch.cdist(samples, centers)` has one row for each sample. `min(1)` gives the distance to the nearest centre, and which centre that is. How many *different* centres are left when only the good samples are kept?
#
# </details>

# %%
def answer(samples, centers, std):
    ...

grade_captured(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(samples, centers, std):
#     distance, nearest = torch.cdist(samples, centers).min(1)
#     return nearest[distance < 3 * std].unique().numel()
# ```
#
# Two things go wrong easily. Without the limit of three standard deviations every sample is counted, even one that is far from all modes. And if each centre is asked whether *any* sample is near, one sample between two overlapping clusters captures both.
#
# </details>

# %% [markdown]
# **6.** (medium, 10 minutes) Points on a line instead of the plane: each mode is a normal distribution of *one* variable. Which share of a perfect generator's samples is within three standard deviations?
#
# <details><summary>Hint</summary>
#
# In the plane it was $1-e^{-9/2}$. On a line it is the probability that a standard normal number is between $-3$ and $3$. `math.erf(t)` is the probability that it is between $-t\sqrt2$ and $t\sqrt2$.
#
# </details>

# %%
answer = ...
grade_good(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = math.erf(3 / math.sqrt(2))
# ```
#
# This is 99.7 %, the "three-sigma rule". In the plane it is 98.9 %, and it falls further in more dimensions: the same radius holds less of the mass. So a share of good samples means little without the share of a perfect generator.
#
# </details>

# %% [markdown]
# ## Recap
# - A GAN trains a generator $G$ and a discriminator $D$ in turns. The data reach the weights of $G$ only through the gradient of $D$.
# - Mode collapse: the samples are good and modes are missing. Single samples do not show it. A count of the modes does, beside the counts of a perfect and of an untrained generator.
# - Results differ from seed to seed. Show several.
# - Adam's default $\beta_1=0.9$ made most of eight seeds lose a cluster. Raising the momentum of $D$ alone had the same effect, and raising that of $G$ alone had not. In your own code begin with `betas=(.5, .999)`.
#
# **For later.**
#
# 1. Why is `detach()` used in $D$'s step and not in $G$'s?
# 2. Both losses are at $\log2$ per term when $D$ returns 0 everywhere. Does that prove that $G$ is good?
# 3. Why is 100 % good samples not a sign of a good generator?
#
# <details><summary>Answers</summary>
#
# 1. $D$'s step needs no gradient in $G$. $G$'s step gets its whole gradient through the fakes, so `detach()` there would leave $G$ as it is.
# 2. No. A $D$ that was not trained returns about 0 too. The losses compare $G$ with the present $D$ only.
# 3. A generator that always returns the same good point has 100 % good samples and captures one mode. And a perfect generator has only 98.9 % here.
#
# </details>

# %% [markdown]
# ## Where to go next
# - **Part 0**, from [0.2](02_evidence.ipynb): how to measure. Data with known modes, counts with their chance level, several seeds at once.
# - **Part 1**, from [1.1](../1_game/01_minimax.ipynb): why a GAN loses modes. Its losses, its training, the lab, Wasserstein [critics](../glossary.ipynb), other remedies, and generators that are no GAN.
# - **Part 2**, from [2.1](../2_inverse/01_encoder.ipynb): from an example back to its latent. [Encoders](../glossary.ipynb), [BiGAN](../glossary.ipynb), and a [pair-wise gradient penalty](../glossary.ipynb).
# - **Part 3**, from [3.1](../3_inclusion/01_imle.ipynb): generators that must reach every real example. [IMLE](../glossary.ipynb), the [inclusive GAN](../glossary.ipynb), style-based and growing networks.
# - **Part 4**, from [4.1](../4_evidence/01_precision_recall.ipynb): is *my* generator good? Precision and [recall](../glossary.ipynb), missing groups, copies, comparisons, a [monitor](../glossary.ipynb) for training.
# - **Part 5**, from [5.1](../5_icml2019/01_lipschitz.ipynb): methods from ICML 2019, each tried on data with known modes.
# - **Part 6**, from [6.1](../6_workshop/01_checks.ipynb): how the library is built.
#
# **References.** I. Goodfellow et al., *Generative adversarial nets*, NeurIPS 2014. A. Radford, L. Metz, S. Chintala, *Unsupervised representation learning with deep convolutional generative adversarial networks*, ICLR 2016. G. Gidel et al., *Negative momentum for improved game dynamics*, AISTATS 2019.

# %% [markdown]
# ## The diagram
# You need not read this section to follow the course. It builds the function that drew the diagram at the top; other chapters can use it.

# %%
#| default_exp course.diagrams

# %%
#| export
"Diagrams of networks and of the values that pass between them."
from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelab.core.plotting import axes, FAKE, REAL

# %% [markdown]
# `flow_diagram` gets the places of the boxes, and the arrows between them.

# %%
#| export
def flow_diagram(networks: Mapping[str, tuple[float, float]],  # name: place of its box
                 values: Mapping[str, tuple[float, float]],  # the same for values
                 arrows: Sequence[tuple[str, str]],  # from, to
                 gradients: Sequence[tuple[str, str, float]] = (),  # from, to, bend of the line
                 *, size: tuple[float, float] = (7, 2.6)):
    "A figure of networks and values: solid arrows for values, dashed ones for gradients."
    figure, ax = axes(size=size)
    frame, boxes = dict(boxstyle="round,pad=.4", fc="white", ec="#606060"), {}
    for name, (x, y) in values.items():
        boxes[name] = ax.text(x, y, name, ha="center", va="center", color="black", bbox=frame)
    frame = dict(boxstyle="square,pad=.9", fc=REAL, ec=REAL)
    for name, (x, y) in networks.items():
        boxes[name] = ax.text(x, y, name, ha="center", va="center", color="white", bbox=frame)
    for start, end in arrows:
        _arrow(ax, boxes[start], boxes[end], 0, color="#606060")
    for start, end, bend in gradients:
        _arrow(ax, boxes[start], boxes[end], bend, color=FAKE, linestyle="dashed")
    x, y = zip(*networks.values(), *values.values())
    ax.set(xlim=(min(x) - .7, max(x) + .7), ylim=(min(y) - .6, max(y) + .6))
    ax.set_axis_off()
    return figure

# %% [markdown]
# An arrow ends at the frames of its two boxes.

# %%
#| export
def _arrow(ax, start, end, bend: float, **style) -> None:
    "An arrow between two texts with frames."
    look = dict(arrowstyle="-|>", patchA=start.get_bbox_patch(), patchB=end.get_bbox_patch(),
                shrinkA=2, shrinkB=2, mutation_scale=12, lw=1.4,
                connectionstyle=f"arc3,rad={bend}", **style)
    ax.annotate("", end.get_position(), start.get_position(), arrowprops=look)

# %%
small = flow_diagram({"f": (1, 0)}, {"x": (0, 0), "f(x)": (2, 0)}, [("x", "f"), ("f", "f(x)")],
                     [("f(x)", "f", .4)], size=(4, 1.4))
Picture(small, "x goes into the network f, which gives f(x); a gradient goes back from f(x) to f")

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.first_gan
"Graders of chapter 0.1."
import math

import torch
import torch.nn.functional as F
from torch import nn

from modelab.course.exercises import as_number, exercise

# %% [markdown]
# A loss is judged by its gradient: a positive factor, such as a sum instead of a mean, does not matter.

# %%
#| export course.graders.first_gan
def gradient_of(loss, *logits):
    "The gradient of a loss in all of its logits, as a vector of length 1."
    logits = [one.clone().requires_grad_() for one in logits]
    value = loss(*logits)
    assert torch.is_tensor(value) and value.numel() == 1, "the loss must be one number, a tensor"
    found = torch.autograd.grad(value.sum(), logits, allow_unused=True)
    assert all(g is not None for g in found), "the loss does not use all of its arguments"
    return F.normalize(torch.cat([g.flatten() for g in found]), dim=0)

# %%
#| export course.graders.first_gan
def bce(logits, label):
    "Cross-entropy with one label, for right and wrong answers."
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

# %%
#| export course.graders.first_gan
@exercise(accepts=[lambda r, f: bce(r, 1.) + bce(f, 0.),
                   lambda r, f: F.softplus(-r).sum() + F.softplus(f).sum(),
                   lambda r, f: (bce(r, 1.) + bce(f, 0.)) / 2],
          rejects=[lambda r, f: bce(r, 0.) + bce(f, 1.), lambda r, f: bce(r, 1.) + bce(f, 1.),
                   lambda r, f: bce(r, 1.), lambda r, f: -bce(r, 1.) - bce(f, 0.),
                   lambda r, f: bce(r.sigmoid(), 1.) + bce(f.sigmoid(), 0.),
                   lambda r, f: bce(r, 1.) - bce(f, 0.), lambda r, f: (f - r).mean(),
                   lambda r, f: ((r - 1) ** 2).mean() + (f ** 2).mean(), lambda r, f: 1.])
def grade_discriminator_loss(loss):
    g = torch.Generator().manual_seed(0)
    real, fake = 3 * torch.randn(2, 16, 1, generator=g, dtype=torch.float64)
    told = gradient_of(loss, real, fake)
    want = gradient_of(lambda r, f: bce(r, 1.) + bce(f, 0.), real, fake)
    assert (told * want).sum() > 0, "a step on this loss makes D worse: check labels and signs"
    assert told[:16].max() <= 0, "the logits of real examples should become higher"
    assert told[16:].min() >= 0, "the logits of fakes should become lower"
    assert torch.allclose(told, want, atol=1e-6), "the signs are right, the formula is not"

# %%
#| export course.graders.first_gan
@exercise(accepts=[lambda f: bce(f, 1.), lambda f: F.softplus(-f).sum(),
                   lambda f: -f.sigmoid().log().mean()],
          rejects=[lambda f: bce(f, 0.), lambda f: -bce(f, 1.), lambda f: -bce(f, 0.),
                   lambda f: -f.mean(), lambda f: bce(f.sigmoid(), 1.),
                   lambda f: bce(f.detach(), 1.)])
def grade_generator_loss(loss):
    g = torch.Generator().manual_seed(0)
    fake = 3 * torch.randn(16, 1, generator=g, dtype=torch.float64)
    told, want = gradient_of(loss, fake), gradient_of(lambda f: bce(f, 1.), fake)
    assert (told * want).sum() > 0, "a step on this loss lowers D's logits of the fakes"
    lowest = fake.flatten().argmin()
    assert told[lowest].abs() > .9 * told.abs().max(), \
        "where D is most sure of a fake the gradient should be largest"
    assert torch.allclose(told, want, atol=1e-6), "the direction is right, the formula is not"

# %% [markdown]
# The training step is compared with this one, in which the parts that people get wrong can be changed.

# %%
#| export course.graders.first_gan
def make_step(label=1., detach_G=False, zero_D=True, zero_G=True, own=True, both=True):
    "A training step of D and G; with another value of an argument it is a wrong one."
    def step(G, D, adam_G, adam_D, real, z):
        fake = G(z)
        if zero_D:
            adam_D.zero_grad()
        (bce(D(real), label) + bce(D(fake.detach()), 1 - label)).backward()
        adam_D.step()
        if zero_G:
            adam_G.zero_grad()
        bce(D(fake.detach() if detach_G else fake), label).backward()
        (adam_G if own else adam_D).step()
        if not both:
            adam_D.step()
    return step

# %%
#| export course.graders.first_gan
def forgotten_detach(G, D, adam_G, adam_D, real, z):
    "A wrong answer: D's step sends its gradient into G, and nobody removes it."
    adam_D.zero_grad()
    adam_G.zero_grad()
    (bce(D(real), 1.) + bce(D(G(z)), 0.)).backward()
    adam_D.step()
    bce(D(G(z)), 1.).backward()
    adam_G.step()

# %%
#| export course.graders.first_gan
def small_players(g):
    "A small G and a small D, and an optimiser for each."
    nets = [nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, out)).double() for out in (2, 1)]
    for one in [p for net in nets for p in net.parameters()]:
        nn.init.normal_(one, generator=g)
    return nets, [torch.optim.Adam(net.parameters(), .01, betas=(.5, .999)) for net in nets]

# %%
#| export course.graders.first_gan
def after_steps(step, n):
    "The weights of a small D and a small G after `n` steps."
    g = torch.Generator().manual_seed(0)
    nets, adams = small_players(g)
    for _ in range(n):
        step(*nets, *adams, *torch.randn(2, 32, 2, generator=g, dtype=torch.float64))
    G, D = ([p.detach().flatten() for p in net.parameters()] for net in nets)
    return torch.cat(D), torch.cat(G)

# %%
#| export course.graders.first_gan
@exercise(accepts=lambda: [make_step(), lambda *a: make_step()(*a)],
          rejects=lambda: [make_step(label=0.), make_step(detach_G=True), make_step(zero_D=False),
                           make_step(zero_G=False), make_step(own=False), make_step(both=False),
                           forgotten_detach, lambda *a: 1])
def grade_step(step):
    start = after_steps(lambda *a: 0, 1)
    now, want = after_steps(step, 3), after_steps(make_step(), 3)
    for name, before, after in zip("DG", start, now):
        assert not torch.equal(before, after), f"the weights of {name} did not change"
    one, right = after_steps(step, 1), after_steps(make_step(), 1)
    assert torch.allclose(one[0], right[0], atol=1e-6), \
        "after the first step D is not where it should be: look at its loss and its optimiser"
    assert torch.allclose(one[1], right[1], atol=1e-6), \
        "after the first step G is not where it should be: which gradients does its optimiser use?"
    for name, after, right in zip("DG", now, want):
        assert torch.allclose(after, right, atol=1e-6), \
            f"the first step is right, later ones are not for {name}: are old gradients removed?"

# %% [markdown]
# The training loop is compared in the same way.

# %%
#| export course.graders.first_gan
def make_loop(step=None, redraw=True, renew=True, first=19, keep=False, fresh=False, steps=None):
    "A training loop; with another value of an argument it is a wrong one."
    step = step or make_step()

    def loop(G, D, adam_G, adam_D, draw, noise, n, z):
        real, latents, seen = draw(), noise(), []
        for i in range(steps or n):
            real = draw() if redraw and i else real
            latents = noise() if renew and i else latents
            step(G, D, adam_G, adam_D, real, latents)
            if i % 20 == first:
                note = G(noise() if fresh else z)
                seen.append(note if keep else note.detach())
        return torch.stack(seen)
    return loop

# %%
#| export course.graders.first_gan
def generator_first(G, D, adam_G, adam_D, real, z):
    "A wrong step: G moves before D."
    fake = G(z)
    adam_G.zero_grad()
    bce(D(fake), 1.).backward()
    adam_G.step()
    adam_D.zero_grad()
    (bce(D(real), 1.) + bce(D(fake.detach()), 0.)).backward()
    adam_D.step()

# %%
#| export course.graders.first_gan
def played(loop, n=45):
    "What a loop returns, the weights of D and G after it, and how often it drew data and noise."
    nets, adams = small_players(torch.Generator().manual_seed(0))
    drawn = [0, 0]

    def source(which):
        g = torch.Generator().manual_seed(which)

        def batch():
            drawn[which] += 1
            return torch.randn(16, 2, generator=g, dtype=torch.float64) + 1 - which
        return batch
    z = torch.linspace(-1, 1, 10, dtype=torch.float64).view(5, 2)
    seen = loop(*nets, *adams, source(0), source(1), n, z)
    G, D = (torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets)
    return seen, D, G, drawn

# %%
#| export course.graders.first_gan
@exercise(accepts=lambda: [make_loop(), lambda *a: make_loop()(*a)],
          rejects=lambda: [make_loop(redraw=False), make_loop(renew=False), make_loop(first=0),
                           make_loop(first=18), make_loop(keep=True), make_loop(fresh=True),
                           make_loop(steps=40), make_loop(generator_first), lambda *a: [],
                           make_loop(forgotten_detach), make_loop(make_step(zero_D=False)),
                           make_loop(make_step(zero_G=False)), make_loop(make_step(own=False)),
                           make_loop(make_step(label=0.)), make_loop(make_step(both=False)),
                           lambda *a: make_loop()(*a)[-1:], lambda *a: list(make_loop()(*a))])
def grade_loop(loop):
    seen, D, G, drawn = played(loop)
    right = played(make_loop())
    assert drawn[0] == right[3][0], f"{drawn[0]} batches of real examples in 45 steps"
    assert drawn[1] == right[3][1], f"{drawn[1]} batches of noise in 45 steps"
    assert torch.allclose(D, right[1], atol=1e-6), \
        "D is not where it should be after 45 steps: look at its loss, its gradients and the order"
    assert torch.allclose(G, right[2], atol=1e-6), \
        "D is right after 45 steps, and G is not: which gradients does its optimiser use?"
    assert torch.is_tensor(seen) and seen.shape == right[0].shape, \
        f"the notes: expected one tensor of shape {tuple(right[0].shape)}"
    assert not seen.requires_grad, "the notes still carry a graph"
    assert torch.allclose(seen, right[0], atol=1e-6), "the notes: of which latents, and when?"

# %%
#| export course.graders.first_gan
def nearest_good(samples, centers, std):
    "The right answer: centres that are the nearest one of a good sample."
    distance, nearest = torch.cdist(samples, centers).min(1)
    return nearest[distance < 3 * std].unique().numel()

# %%
#| export course.graders.first_gan
@exercise(accepts=[nearest_good, lambda x, c, s: torch.tensor(nearest_good(x, c, s))],
          rejects=[lambda x, c, s: torch.cdist(x, c).argmin(1).unique().numel(),
                   lambda x, c, s: (torch.cdist(x, c) < 3 * s).any(0).sum().item(),
                   lambda x, c, s: (torch.cdist(x, c).amin(1) < 3 * s).sum().item(),
                   lambda x, c, s: nearest_good(x, c, 1 / 3 * torch.ones(())),
                   lambda x, c, s: nearest_good(x, c, s / 3), lambda x, c, s: len(c)])
def grade_captured(captured):
    centers = torch.tensor([[0., 0.], [1., 0.], [0., 5.], [5., 5.]])
    far = torch.tensor([[2., 2.], [-3., 1.]])
    twice = torch.tensor([[0., 5.], [.1, 5.], [0., 4.9]])
    assert as_number(captured(twice, centers, .2)) == 1, "three good samples of one mode: one mode"
    assert as_number(captured(far, centers, .2)) == 0, "these samples are far from every centre"
    assert as_number(captured(torch.cat([far, centers]), centers, .2)) == 4, "here all are captured"
    edge = torch.tensor([[0., 5.55], [5., 4.35]])
    assert as_number(captured(edge, centers, .2)) == 1, "2.75 standard deviations, and 3.25"
    assert as_number(captured(torch.tensor([[.4, 0.]]), centers, .3)) == 1, \
        "one sample can capture one mode only, the nearest"

# %%
#| export course.graders.first_gan
@exercise(accepts=[.9973, math.erf(3 / math.sqrt(2))],
          rejects=[.9889, 1 - math.exp(-4.5), 99.73, math.erf(3), .95, .9865, 1])
def grade_good(answer):
    share = as_number(answer)
    assert 0 <= share <= 1, "give a share between 0 and 1"
    assert abs(share - math.erf(3 / math.sqrt(2))) < 2e-4, \
        "which share of a standard normal variable is between -3 and 3?"
