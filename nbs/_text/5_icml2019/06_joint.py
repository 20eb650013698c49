# %% [markdown]
# # The same thing, seen twice
# > Can a model match unpaired views of the same things, and how can one measure whether it does?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | I have photographs and drawings, never of the same things. Can I train maps between the two that match what belongs together, and how can I measure it? |
# | **You will be able to** | train maps between any number of domains through one latent, say which wrong matchings have the same losses and the same coverage as the right one, and count the pairs that are needed |
# | **Paper** | Chen, Yang, Wang, Liang, Yan, Li and Lin, *Multivariate-information adversarial ensemble for scalable joint distribution matching*, ICML 2019 (MMI-ALI) |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [1.1](../1_game/01_minimax.ipynb), [1.2](../1_game/02_training.ipynb), [2.2](../2_inverse/02_bigan.ipynb) |
# | **Time** | about twenty seconds of computing |

# %%
#| default_exp methods.joint

# %%
#| export
"MMI-ALI: joint distribution matching across domains (Chen et al. 2019)."
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn, Tensor

from modelab.core.checks import check_int, check_shape
from modelab.core.registry import register_game
from modelab.core.signatures import (checked, Count, Function, Index, InstanceOf, NonNegative,
                                     Shape, Whole)
from modelab.losses.adversarial import discriminator_loss
from modelab.methods.bigan import generator_encoder_loss
from modelab.networks.layers import make_player
from modelab.networks.players import Networks, Player
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser

# %%
import math

import ipywidgets as w
import pandas as pd

from modelab.core.checks import error_message
from modelab.core.plotting import axes, Picture
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, steps
from modelab.course.exercises import exercise
from modelab.course.notebooks import patch
from modelab.data.mixtures import mixture, ring
from modelab.evaluation.coverage import coverage_table, coverages
from modelab.methods.joint import MMIALI, translate_domains
from modelab.networks.layers import mlp, PerRun
from modelab.training.optimiser import Schedule
from modelab.training.run import Run

# %% [markdown]
# ## Five things in two views
# Five modes on a ring, in two views, as from two cameras. View B is view A, turned by 40°; the variation within a mode is turned too. An example holds both views side by side, four numbers, and is one draw from a mixture whose law we know.

# %%
spots = ring(5, radius=2).centers

def world(order=range(5), domains: int = 2, weights=None):
    "Five things, each view turned by 0.7 radians more; odd views keep the modes in `order`."
    def rotation(a: float):
        return torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    turns = [rotation(.7 * i) for i in range(domains)]
    views = [(spots[list(order)] if i % 2 else spots) @ turn.T for i, turn in enumerate(turns)]
    A = torch.cat(turns)  # within a mode, all views vary alike but for a trace of noise
    spread = .01 * (.98 * A @ A.T + .02 * torch.eye(2 * domains))
    return mixture(torch.cat(views, 1), spread.expand(5, -1, -1), weights)

# %%
def view(modes, i: int):
    "The law of one view alone."
    own = slice(2 * i, 2 * i + 2)
    return mixture(modes.centers[:, own], modes.covariances[:, own, own], modes.weights)

# %%
turned = world()

# %% [markdown]
# The training data are unpaired: examples of A and *other* examples of B. The game of the paper, which we build further down, trains an encoder, a generator and a critic of pairs for each view, around one latent: $z=E_A(x_A)$ is decoded in B as $G_B(z)$. (Rates, weights and width were chosen on other seeds, among some twenty settings.)

# %%
RATES = {"G": .003, "E": .003, "D": .01}

def train(n: int, modes=turned, game=MMIALI, lr=RATES, runs: int = 8, **settings):
    "The first n of 500 steps; the rates fall over the second half."
    rules = game(networks=Networks(latent=2, width=64),
                 optimiser=Optimiser(lr, schedule=Schedule("linear", 500, stairs=10)), **settings)
    return Run(rules, modes, runs=runs, seed=800, batch=64, device="cpu").step(n)

# %%
@torch.no_grad()
def translated(run, n: int = 2000):
    "Fresh modes (n,), views (runs, i, n, 2), and view i translated to j, (runs, i, j, n, 2)."
    x, mode = run.modes.sample_with_modes(n, torch.Generator().manual_seed(9))
    views = run.game.views(x[None]).expand(run.runs, -1, -1, -1)
    return mode, views, translate_domains(run.players.nets["E"].each, run.players.nets["G"].each,
                                          views)

# %%
one_run = train(steps(500), runs=1)

# %% [markdown]
# Are all modes covered? This is one run; the intervals are over its samples.

# %%
mode, views, found = translated(one_run)
coverage_table({"A, translated from B": coverages(found[0, 1, 0], view(turned, 0)),
                "B, translated from A": coverages(found[0, 0, 1], view(turned, 1))})

# %% [markdown]
# Does the cycle close? And do other seeds give the same? All other games of this chapter were trained once, with eight seeds each, and recorded; each cell replays their first 15 steps. `matched` counts how often a translation lands on the *same* thing, and `result` is what is recorded of each run.

# %%
def matched(run):
    "How often a translation lands on the mode it came from, over all directions, seed by seed."
    mode, _, found = translated(run)
    def right(i, j):
        nearest, _ = view(run.modes, j).assign(found[:, i, j].flatten(0, 1))
        return nearest.unflatten(0, (run.runs, -1)) == mode
    m = run.game.domains
    ways = [(i, j) for i in range(m) for j in range(m) if i != j]
    return torch.stack([right(i, j).float().mean(1) for i, j in ways]).mean(0)

# %%
def covered(x, law, protocol="pacgan"):
    "Captured modes and the share of good samples, seed by seed."
    rows = coverages(x, law, protocol)
    return {name: [getattr(c, name) for c in rows] for name in ("captured", "high_quality")}

# %%
def result(run, n: int = 60):
    "What is recorded of a run: matched, covered in B, n translations to B, the losses of D."
    found = translated(run)[2][:, 0, 1]
    shown = translated(run, n)[2][:, 0, 1]
    return {"matched": matched(run), "B": covered(found, view(run.modes, 1)),
            "shown": shown.mul(100).round().div(100), "losses": run.losses["D"][-1]}

# %%
def mean_distance(a, b):
    return (a - b).norm(dim=-1).mean((1, 2))

# %%
@torch.no_grad()
def cycled(run):
    "How far a cycle ends from where it began, and how far two examples are apart."
    nets, (_, views, found) = run.players.nets, translated(run)
    there = torch.stack([found[:, 1, 0], found[:, 0, 1]], 1)
    home = nets["G"].each(nets["E"].each(there).flip(1))
    return {"after a cycle": mean_distance(home, views),
            "at random": mean_distance(views, views.flip(2))}

# %%
@experiment("06_joint", early=15)
def unpaired(n=500):
    run = train(n)
    (_, views, found), samples = translated(run), run.sample(2500)
    beside = torch.cat([views[:, 0], found[:, 0, 1]], -1)
    return result(run) | {
        "A": covered(found[:, 1, 0], view(turned, 0)), "distances": cycled(run),
        "A beside its translation": covered(beside, turned, "selfcond"),
        "A, from the prior": covered(samples[..., :2], view(turned, 0), "selfcond"),
        "B, from the prior": covered(samples[..., 2:], view(turned, 1), "selfcond")}

# %%
alone = unpaired()

# %%
def over_seeds(values, most: float = 1):
    "The interval of shares, or of counts of modes."
    return interval(values, low=0, high=most)

def table(**rows):
    "Intervals over the eight seeds."
    return pd.DataFrame({name: {key: f"{over_seeds(v, 5 if key == 'captured' else 1):.2f}"
                                for key, v in row.items()} for name, row in rows.items()}).T

table(**{f"translated to {name}": alone[name] for name in "AB"})

# %%
{name: interval(v) for name, v in alone["distances"].items()}

# %% [markdown]
# All modes are covered, the samples are good, and a cycle returns to within a fraction of the distance between two random examples. Many evaluations stop here.
#
# **Predict:** take a thing in A, translate it to B. In how many of the eight runs does it land on the *same* thing, more often than chance, one in five?

# %%
alone["matched"]

# %%
COLOURS, MARKS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C8C8C"], "ox^sD"

def dots(ax, points, mode, title: str):
    "Points, each marked with the mode it came from."
    for k in range(5):
        ax.plot(*points[mode == k].T, MARKS[k], c=COLOURS[k], ms=4, ls="")
    ax.set(title=title, xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="x₁", ylabel="x₂")

def compared(row, seed: int, modes=turned):
    "Things in A; the same in B; and as the recorded run tells them in B."
    found = torch.tensor(row["shown"][seed])
    x, mode = modes.sample_with_modes(len(found), torch.Generator().manual_seed(9))
    figure, panels = axes(1, 3, size=(2.7, 2.7))
    shown = (x[:, :2], x[:, 2:], found)
    for ax, points, title in zip(panels, shown, ("view A", "view B", "translated to B")):
        dots(ax, points, mode, title)
    share = row["matched"][seed]
    return Picture(figure,
                   f"Five modes in view A and in view B, and view A translated to B by seed "
                   f"{seed}: "
                   f"{share:.0%} of it lands on the thing it came from")

compared(alone, 0)

# %% [markdown]
# The last two panels show the same five clusters, but with other marks. Each run has found some map from one ring to the other. There are ten such maps: five rotations and five reflections. One is right, the four other rotations match nothing, and a reflection keeps one mode of five in its place. So the numbers above are 0 or 0.2, up to sampling error. One seed in ten should find the right map by chance.
#
# So the coverage of every view can be perfect while *nothing* is matched.

# %%
claim("Trained on unpaired views, the ensemble matches their joint law", paper="Chen et al. 2019",
      section="on five modes, share matched", ours=over_seeds(alone["matched"]),
      baseline=f"chance 0.2; modes captured in B {over_seeds(alone['B']['captured'], 5)}",
      holds=over_seeds(alone["matched"]).low > .9, expect=False)

# %% [markdown]
# Now measure the coverage of whole examples: put an example of A beside its translation, four numbers. Does this point lie in one of the five modes of the joint law?

# %%
table(**{"A beside its translation": alone["A beside its translation"]})

# %% [markdown]
# *High quality* now agrees with `matched`. But the law of whole examples can only be known from whole examples, that is, from pairs, and we trained without them.
#
# ## Mutual information does not depend on labels
# Why did no loss detect the wrong matching? The paper's objective is the **multivariate mutual information** of two views and the latent,
#
# $$I(X;Y;Z)=I(X;Z)-I(X;Z\mid Y),$$
#
# to be maximized: the latent and $Y$ should carry the same information about $X$. On a table of probabilities it is a few entropies:

# %%
def entropy(p, *kept):
    "Entropy in nats of the variables on the axes `kept` of a table."
    gone = [a for a in range(p.ndim) if a not in kept]
    p = p.sum(gone) if gone else p
    return -torch.xlogy(p, p).sum().item()

def interaction(p):
    "I(X;Y;Z) of a table (x, y, z)."
    H = entropy
    x_z = H(p, 0) + H(p, 2) - H(p, 0, 2)
    x_z_given_y = H(p, 0, 1) + H(p, 1, 2) - H(p, 1) - H(p, 0, 1, 2)
    return x_z - x_z_given_y

same = torch.zeros(5, 5, 5, dtype=torch.float64)
same[range(5), range(5), range(5)] = .2
xor = torch.tensor([[[.25, 0], [0, .25]], [[0, .25], [.25, 0]]], dtype=torch.float64)
interaction(same), math.log(5), interaction(xor), -math.log(2)

# %% [markdown]
# Three copies of one variable share $\log5$. (The quantity may be negative, as when $Z$ says whether $X$ and $Y$ agree.) Now relabel the modes of $X$.
#
# **Predict:** how much smaller is the information for a wrong matching?

# %%
mirror = [0, 4, 3, 2, 1]
assert interaction(same[mirror]) == interaction(same)
interaction(same[mirror])

# %% [markdown]
# It is the same, to the last digit. Entropies are sums over the entries of a table and do not depend on the order of its rows. If a map $T$ keeps the law of view A, then $E_A\circ T$ and $T^{-1}\circ G_A$ in place of $E_A$ and $G_A$ leave every law that unpaired data can show as it was, and every cycle closed:
#
# $$x_A\mapsto T^{-1}G_A\,E_B\,G_B\,E_A\,T\,x_A=x_A,\qquad\text{while}\quad x_{AB}=G_BE_A\,T\,x_A .$$
#
# ## From information to losses
# The table also shows how the paper gets from information to something that networks can descend. For variables that cannot have less than no entropy,
#
# $$-I(X;Y;Z)=H(X|Z)+H(X|Y)-H(X)-H(X|Y,Z)\ \le\ H(X|Z)+H(X|Y)-H(X),$$
#
# and the cross entropy is at least the entropy: $H(X|Y)\le\mathbb E[-\log q(X|Y)]$ for every $q$. With a Laplace law of width $\beta$ around a prediction $f(y)$, the right side is an L1 error, $\mathbb E\,|x-f(y)|/\beta+\log2\beta$. (The derivation is ours; the losses below are those of the authors' code.)

# %%
g = torch.Generator().manual_seed(0)
slack = []
for _ in range(200):
    p = torch.rand(3, 4, 5, generator=g, dtype=torch.float64)
    p = p ** 6 / (p ** 6).sum()
    x_z, x_y = entropy(p, 0, 2) - entropy(p, 2), entropy(p, 0, 1) - entropy(p, 1)
    slack.append(x_z + x_y - entropy(p, 0) + interaction(p))
assert min(slack) > 0
min(slack), max(slack)

# %%
rho = torch.tensor([0., .5, .9, .99], dtype=torch.float64)
exact = .5 * torch.log(2 * math.pi * math.e * (1 - rho ** 2))  # H(X|Y) of normal variables
error = torch.sqrt(2 * (1 - rho ** 2) / math.pi)  # E|x - ρy|, and the best width
bound = 1 + torch.log(2 * error)
assert (bound > exact).all() and torch.allclose(bound - exact, (bound - exact)[:1])
exact.tolist(), (bound - exact)[0].item()

# %% [markdown]
# For normal variables the Laplace law makes the bound 0.048 nats too large, for every correlation. So three L1 losses, one for each conditional entropy, by symmetry for every ordered pair of domains. With $x_{ij}=G_j(E_i(x_i))$, and $s_i=G_i(z)$ for a $z$ of the prior,
#
# $$\text{outer }\|G_i(E_j(x_{ij}))-x_i\|_1,\qquad\text{semi }\|G_j(E_i(s_i))-s_j\|_1,\qquad\text{inner }\|E_i(s_i)-z\|_1 .$$
#
# The critics match the laws, as in chapter [2.2](../2_inverse/02_bigan.ipynb), one for each domain: $D_i$ tells $(x_i,E_i(x_i))$ from $(s_i,z)$ and from $(x_{ji},E_j(x_j))$.
#
# ## As many networks as domains
# Networks here have a run axis, so that eight seeds train at once. Domains can share it: three domains and eight seeds are twenty-four networks in one product. There must be at least two domains.

# %%
#| export
Domains = Annotated[int, Whole(2)]

# %% [markdown]
# This class wraps a network with `runs · domains` runs. From outside it has one axis for the runs and one for the domains.

# %%
#| export
class DomainNetworks(nn.Module):
    "The networks of all domains on one run axis: inputs and outputs are (runs, domains, n, ...)."
    @checked
    def __init__(self, net: nn.Module,  # of runs · domains runs, the domains of a run side by side
                 domains: Domains):
        super().__init__()
        self.net, self.domains = net, domains

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.net(*(x.flatten(0, 1) for x in inputs)).unflatten(0, (-1, self.domains))


# %% [markdown]
# An example holds its views side by side on its first axis. Cutting it gives them an axis of their own.

# %%
#| export
def split_views(x: Tensor, domains: int) -> Tensor:
    "Examples (runs, n, *event) as views (runs, domains, n, *view)."
    return x.unflatten(2, (domains, -1)).movedim(2, 1)


# %%
assert split_views(torch.arange(8.).reshape(1, 2, 4), 2)[0, 1].tolist() == [[2, 3], [6, 7]]

# %% [markdown]
# The decoders of all domains make one example of one latent: all its views, side by side.

# %%
#| export
class DomainDecoders(nn.Module):
    "Latents (runs, n, latent), decoded in every domain, to examples (runs, n, *event)."
    def __init__(self, each: DomainNetworks):
        super().__init__()
        self.each = each

    def forward(self, z: Tensor) -> Tensor:
        views = self.each(z[:, None].expand(-1, self.each.domains, *z.shape[1:]))
        return views.movedim(1, 2).flatten(2, 3)


# %% [markdown]
# The code of a complete example is the mean of the codes of its views.

# %%
#| export
class DomainEncoders(nn.Module):
    "Examples (runs, n, *event) to the mean code of their views, (runs, n, latent)."
    def __init__(self, each: DomainNetworks):
        super().__init__()
        self.each = each

    def forward(self, x: Tensor) -> Tensor:
        return self.each(split_views(x, self.each.domains)).mean(1)


# %% [markdown]
# Pairs are drawn once and kept with the networks, so that they are saved with the run.

# %%
#| export
class FixedExamples(nn.Module):
    "Examples that a run draws once and keeps, (runs, n, *event). Saved with the run."
    def __init__(self, runs: int, n: int, event: tuple[int, ...]):
        super().__init__()
        self.register_buffer("x", torch.zeros(runs, n, *event))
        self.register_buffer("drawn", torch.tensor(False))

    def once(self, draw: Callable[[], Tensor]) -> Tensor:
        "The examples; `draw` makes them when they are first asked for."
        if not self.drawn:
            self.x.copy_(draw())
            self.drawn.fill_(True)
        return self.x


# %% [markdown]
# The losses take any maps, also your own. These are the shapes of their arguments; a view may have any shape.

# %%
#| export
Views = Annotated[Tensor, Shape("*runs domains n *view")]
PriorDraws = Annotated[Tensor, Shape("*runs_and_n latent")]
EncoderMap = Annotated[Callable[[Tensor], Tensor],
                       Function("*runs domains n *view -> *runs domains n latent")]
DecoderMap = Annotated[Callable[[Tensor], Tensor],
                       Function("*runs domains n latent -> *runs domains n *view")]


# %% [markdown]
# Codes are vectors, so the shape of what $E$ answers says which axis counts domains.

# %%
#| export
def _encode(E: Callable, x: Tensor) -> tuple[Tensor, int]:
    "Codes (*runs, domains, n, latent) of views, and the domain axis."
    codes = E(x)
    lead = getattr(codes, "ndim", 0) - 1
    if lead < 2 or codes.shape[:lead] != x.shape[:lead] or x.shape[lead - 2] < 2:
        got = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError("E, x: expected codes (*runs, domains, n, latent) of views (*runs, domains"
                         f", n, *view), at least two domains, got {got} for {tuple(x.shape)}")
    return codes, lead - 2


# %% [markdown]
# A decoder answers with views of the shape of its domain.

# %%
#| export
def _decode(G: Callable, codes: Tensor, view: Sequence[int]) -> Tensor:
    "Views (*runs, domains, n, *view) of codes (*runs, domains, n, latent)."
    return check_shape("G", G(codes), (*codes.shape[:-1], *view))


# %% [markdown]
# Each domain sends its codes to another domain. This is a shift along the domain axis.

# %%
#| export
def _send(codes: Tensor, shift: int, axis: int) -> Tensor:
    "What each domain gets when every domain sends its codes to the one `shift` places further on."
    return codes.roll(check_int("shift", shift, 1, codes.shape[axis] - 1), axis)


# %% [markdown]
# A translation encodes in one domain and decodes in another.

# %%
#| export
@checked
def translate_domains(E: EncoderMap, G: DecoderMap, x: Views) -> Tensor:
    """Every domain's examples in every domain, x_ij = G_j(E_i(x_i)).

    `x` is (*runs, domains, n, *view). The result is (*runs, domains, domains, n, *view): [.., i, j]
    is x of domain i as an example of domain j. E maps views to codes (*runs, domains, n, latent), G
    back.
    """
    codes, axis = _encode(E, x)
    m, view = x.shape[axis], x.shape[codes.ndim - 1:]
    made = [_decode(G, codes.roll(s, axis), view) for s in range(m)]  # codes s domains to the right
    rows = [torch.stack([made[(j - i) % m].select(axis, j) for j in range(m)], axis)
            for i in range(m)]
    return torch.stack(rows, axis)


# %% [markdown]
# A round between domains has three parts: encode all views, decode a shared draw of the prior, and decode each other's codes. The number of pairs of domains grows as $m^2$, but not all of them have to exchange codes in one step. Each domain passes its codes on to the one `shift` places further. All shifts take their turns, and a step costs what $m$ domains cost.

# %%
#| export
@dataclass(frozen=True, eq=False)
class Exchange:
    "One round between domains, for critics and cycles; its tensors are (*runs, domains, ·, ...)."
    x: Tensor  # n examples of each domain; those of two domains have nothing to do with each other
    codes: Tensor  # E(x)
    latents: Tensor  # 2n: n from the prior, the same for all; then the codes of another domain
    made: Tensor  # G(latents), 2n: samples, then translations
    shift: int  # domain i has the codes of domain i - shift


# %% [markdown]
# This function makes such a round. Critics and cycle losses both use it, so each network runs only once.

# %%
#| export
@checked
def exchange_domains(E: EncoderMap, G: DecoderMap, x: Views, z: PriorDraws,
                     shift: Count = 1) -> Exchange:
    """Encode every domain; decode shared draws of the prior, and each other's codes.

    `x` is (*runs, domains, n, *view), `z` is (*runs, n, latent). Every domain sends its codes to
    the one `shift` places further on.
    """
    codes, axis = _encode(E, x)
    check_shape("z", z, codes.shape[:axis] + codes.shape[axis + 1:], codes.dtype)
    latents = torch.cat([z.unsqueeze(axis).expand_as(codes), _send(codes, shift, axis)], axis + 1)
    return Exchange(x, codes, latents, _decode(G, latents, x.shape[codes.ndim - 1:]), shift)


# %% [markdown]
# All three cycles are L1 errors, averaged over everything but the runs.

# %%
#| export
def _l1_distance(a: Tensor, b: Tensor, axis: int) -> Tensor:
    "Mean absolute difference over domains, examples and coordinates, (*runs,)."
    return (a - b).abs().flatten(axis).mean(-1)


# %% [markdown]
# The cycles go on from an exchange, so that no code is computed twice.

# %%
#| export
@checked
def cycle_losses(E: EncoderMap, G: DecoderMap,
                 exchange: Annotated[Exchange, InstanceOf(Exchange)],  # from `exchange_domains`
                 ) -> tuple[Tensor, Tensor, Tensor]:
    """The L1 errors outer, semi and inner, (*runs,) each (Chen et al. 2019).

    Outer: G_i(E_j(x_ij)) is x_i. Semi: a sample of domain i is what domain j makes of its own
    sample of that latent; this sample is a target only. Inner: E_i(G_i(z)) is z.
    """
    x, made, latents, shift = exchange.x, exchange.made, exchange.latents, exchange.shift
    codes, axis = _encode(E, made)
    n, view = x.shape[axis + 1], x.shape[codes.ndim - 1:]
    of_samples, of_translations = codes.split(n, axis + 1)
    returned = [of_samples.roll(shift, axis), of_translations.roll(-shift, axis)]
    semi, outer = _decode(G, torch.cat(returned, axis + 1), view).split(n, axis + 1)
    samples, z = made.narrow(axis + 1, 0, n), latents.narrow(axis + 1, 0, n)
    return (_l1_distance(outer, x, axis), _l1_distance(semi, samples.detach(), axis),
            _l1_distance(of_samples, z, axis))


# %% [markdown]
# Where pairs are known, a translation can be compared with the view that belongs to it.

# %%
#| export
@checked
def paired_loss(E: EncoderMap, G: DecoderMap, x: Views, shift: Count = 1) -> Tensor:
    """L1 error of the translation of each view against the view that belongs to it, (*runs,).

    `x` is (*runs, domains, k, *view): the views of a row are of one thing.
    """
    codes, axis = _encode(E, x)
    return _l1_distance(_decode(G, _send(codes, shift, axis), x.shape[codes.ndim - 1:]), x, axis)


# %% [markdown]
# **Fidelity.** Against loops over plain networks, in float64, three domains. `PerRun` from chapter [0.5](../0_start/05_networks.ipynb) lays a list of networks along an axis:

# %%
encoders, decoders = ([mlp(*sizes, 8, 1, generator=g).double() for _ in range(3)]
                      for sizes in ((2, 3), (3, 2)))
E, G = PerRun(encoders), PerRun(decoders)
x = torch.randn(3, 7, 2, generator=g, dtype=torch.float64)
z = torch.randn(7, 3, generator=g, dtype=torch.float64)
ways = [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)]
cross = {(i, j): decoders[j](encoders[i](x[i])) for i, j in ways}
s = [decode(z) for decode in decoders]
outer = sum((decoders[i](encoders[j](cross[i, j])) - x[i]).abs().mean() for i, j in ways) / 6
semi = sum((decoders[j](encoders[i](s[i])) - s[j]).abs().mean() for i, j in ways) / 6
inner = sum((encoders[i](s[i]) - z).abs().mean() for i in range(3)) / 3

# %%
def cycles(shift: int):
    return torch.stack(cycle_losses(E, G, exchange_domains(E, G, x, z, shift)))

by_shift = torch.stack([cycles(1), cycles(2)]).detach()
assert torch.allclose(by_shift.mean(0), torch.stack([outer, semi, inner]))
assert all(torch.allclose(translate_domains(E, G, x)[i, j], cross[i, j]) for i, j in ways)
by_shift.mean(0)

# %% [markdown]
# Now the relabelling, exactly. Views that are linear in one normal variable, $x_i=A_iu$, have perfect maps $E_i=A_i^{-1}$ and $G_i=A_i$. Turn the latent of domain 0 alone by an angle: all cycles stay closed, $(x_0,E_0(x_0))$ and $(G_0(z),z)$ keep the same covariance, hence the same law, and the translation is wrong.

# %%
A = torch.randn(2, 2, 2, generator=g, dtype=torch.float64) + 2 * torch.eye(2, dtype=torch.float64)
u, z = torch.randn(2, 1000, 2, generator=g, dtype=torch.float64)
x = u @ A.mT

def turned_by(angle: float):
    "Cycles, the gap between domain 0's two joint covariances, and the error of translations."
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[[c, -s], [s, c]], [[1, 0], [0, 1]]], dtype=torch.float64)
    to_z, to_x = turn @ torch.linalg.inv(A), A @ turn.mT
    E, G = (lambda v: v @ to_z.mT), (lambda v: v @ to_x.mT)
    joint = [torch.cat(part) for part in ((A[0], to_z[0] @ A[0]), (to_x[0], torch.eye(2).double()))]
    gap = (joint[0] @ joint[0].T - joint[1] @ joint[1].T).abs().max()
    losses = cycle_losses(E, G, exchange_domains(E, G, x, z))
    return [v.item() for v in (*losses, gap, paired_loss(E, G, x))]

# %%
rows = {f"{angle:g}": turned_by(angle) for angle in (0., .5, 2.)}
assert all(max(row[:4]) < 1e-12 for row in rows.values())
assert rows["0"][4] < 1e-12 < .5 < rows["0.5"][4]
pd.DataFrame(rows, index=["outer", "semi", "inner", "gap of laws", "error of pairs"]).T.round(3)

# %%
x, z, short = (torch.zeros(*shape).double() for shape in ((3, 7, 2), (7, 3), (6, 3)))
print(error_message(exchange_domains, E, G, x, short))
print(error_message(exchange_domains, E, G, x, z, shift=3))

# %% [markdown]
# The game has two turns, as in chapter 2.2. It has one more term, for later: a few complete examples, drawn once, whose translations are known. For the first steps, `head_start` of them, $G$ and $E$ learn from these pairs alone. After a wrong matching has been learned, a few pairs rarely correct it as a whole.
#
# Three things differ from the authors' image code, which has a least-squares loss, does not train its encoders against their own critics, and takes codes plus noise for a prior. Our choices for the first two are those of chapter 2.2 and of the authors' code for text. With pairs, their code replaces the outer cycle by the distance to the true partner; ours adds it.
#
# On pictures the views are groups of channels, and the players may be convolutional.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class MMIALI(Game):
    """The ensemble of Chen et al. 2019: E, G and a joint critic per domain, and one latent for all.

    The views of an example are equal parts of its first axis. Of a picture these are groups of
    channels, so `domains` must divide their number. A grey picture is one view: a `ValueError`.
    """
    G: Player = None  # makes one domain's network, of z; None: one that fits the set
    E: Player = None  # likewise, of x
    D: Player = None  # likewise, of x and z
    domains: Domains = 2  # an example's first axis is cut into so many views of equal size
    pairs: Index = 0  # complete examples, all views together, that training may look at
    paired_weight: NonNegative = 5.  # of the error of their translations
    head_start: Index = 100  # with pairs: so many steps in which G and E learn from them alone
    outer_weight: NonNegative = 1.  # of the three cycles
    semi_weight: NonNegative = 1.
    inner_weight: NonNegative = 1.
    turns: ClassVar[str] = "D GE"
    kinds: ClassVar[tuple[str, ...]] = "mlp", "conv"  # one for each domain, hidden in a wrapper
    default_networks: ClassVar[Networks] = Networks("mlp", width=32, depth=2)
    default_optimiser: ClassVar[Optimiser] = Optimiser(3e-3, (.5, .9))


# %% [markdown]
# The players: for each of them `domains` networks per run. The fixed pairs are a player that never moves.

# %%
#| export
@patch
def players(self: MMIALI, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "The networks that play, one copy per run and domain, and the pairs, which have no weights."
    m = self.domains
    if event[0] % m:
        raise ValueError("domains: expected a number that divides the first axis of an example "
                         f"{event}, got {m}")
    view = (event[0] // m, *event[1:])
    kw = dict(runs=runs * m, generator=[g for g in generator for _ in range(m)])
    make = {"G": lambda: self.networks.generator(latent, view, **kw),
            "E": lambda: self.networks.encoder(view, latent, **kw),
            "D": lambda: self.networks.joint_discriminator(view, latent, **kw)}
    nets = {name: DomainNetworks(make_player(name, getattr(self, name), make[name], **kw), m)
            for name in make}
    return {"G": DomainDecoders(nets["G"]), "E": DomainEncoders(nets["E"]), "D": nets["D"],
            "shown": FixedExamples(runs, self.pairs, event)}


# %% [markdown]
# The losses work on views. This method cuts examples into as many views as the game has domains.

# %%
#| export
@patch
def views(self: MMIALI, x: Tensor) -> Tensor:
    "The views of examples (runs, n, *event), (runs, domains, n, *view)."
    return split_views(x, self.domains)


# %% [markdown]
# After `domains - 1` steps every domain has exchanged codes with every other.

# %%
#| export
@patch
def shift(self: MMIALI, t: Any) -> int:
    "How many places further on a domain sends its codes at this step."
    return 1 + t.step % (self.domains - 1)


# %% [markdown]
# An unpaired experiment must not contain a pair. So the views come from different examples.

# %%
#| export
@patch
def exchange(self: MMIALI, t: Any) -> Exchange:
    "A round on fresh data, each view from another example."
    every = self.views(t.real(self.domains * t.batch, "views")).unflatten(2, (self.domains, -1))
    x = torch.stack([every[:, i, i] for i in range(self.domains)], 1)

    # samples pass through t.G, whose calls the lab records
    def decode(latents: Tensor) -> Tensor:
        n = t.z.shape[1]
        return torch.cat([self.views(t.G(latents[:, 0, :n])), t.G.each(latents[:, :, n:])], 2)
    return exchange_domains(t.E.each, decode, x, t.z, self.shift(t))


# %% [markdown]
# The critics learn first. Nothing that they compare needs a gradient, so the exchange is made without one.

# %%
#| export
@patch
def loss_D(self: MMIALI, t: Any) -> Tensor:
    "Each critic wants (x, E(x)) high, and (G(z), z) and translations with their codes low."
    with torch.no_grad():
        e = self.exchange(t)
    return discriminator_loss(t.D(e.x, e.codes), t.D(e.made, e.latents)).mean(-1)


# %% [markdown]
# The pairs themselves, drawn when they are first asked for, and the error of their translations.

# %%
#| export
@patch
def paired_views(self: MMIALI, t: Any) -> Tensor:
    "The views of the pairs, (runs, domains, pairs, *view)."
    return self.views(t.shown.once(lambda: t.real(self.pairs, "pairs")))


# %% [markdown]
# The error is measured for the same shift as the exchange, so that over the steps every direction is trained.

# %%
#| export
@patch
def paired_error(self: MMIALI, t: Any) -> Tensor:
    "L1 error of the translations of the pairs, (runs,)."
    return paired_loss(t.E.each, t.G.each, self.paired_views(t), self.shift(t))


# %% [markdown]
# The loss of $G$ and $E$ is a weighted sum of the adversarial loss, the three cycles and the error of the pairs. In the first `head_start` steps only the pairs count.

# %%
#| export
@patch
def loss_GE(self: MMIALI, t: Any) -> Tensor:
    "G and E want the opposite, closed cycles, and pairs translated as known; the pairs first."
    e = self.exchange(t)
    loss = generator_encoder_loss(t.D(e.x, e.codes), t.D(e.made, e.latents)).mean(-1)
    if self.outer_weight or self.semi_weight or self.inner_weight:
        outer, semi, inner = cycle_losses(t.E.each, t.G.each, e)
        loss = loss + self.outer_weight * outer + self.semi_weight * semi \
            + self.inner_weight * inner
    if not self.pairs:
        return loss
    # 0: the lab asks for its gradient
    unpaired = loss if t.step >= self.head_start else 0 * loss
    return self.paired_weight * self.paired_error(t) + unpaired


# %% [markdown]
# ## A handful of pairs
# How many pairs are needed? For maps from ring to ring, one pair leaves two maps, the right one and its reflection; a second pair, of another mode, leaves one. This holds if neighbours stay neighbours, as they do under smooth maps. If they do not, every mode needs its own pair, or all but one. So here is a second set, the *star*: view B holds the same five modes in another order, each neighbour two places away.
#
# **Predict:** four pairs, drawn at random. What share is matched in the turned set, and in the star?

# %%
star = world([0, 2, 4, 1, 3])
worlds = {"turned": turned, "star": star}
numbers = {"turned": (2, 4, 8), "star": (4, 16)}

# %%
@experiment("06_joint", early=15)
def with_pairs(n=500):
    return {world: {str(k): result(train(n, worlds[world], pairs=k)) for k in counts}
            for world, counts in numbers.items()}

# %%
walks = {("turned", 0): alone} | {(world, int(k)): row for world, rows in with_pairs().items()
                                  for k, row in rows.items()}
shares = {key: torch.tensor(row["matched"]) for key, row in sorted(walks.items())}
pd.DataFrame({f"{name}, {n} pairs": {"matched": f"{over_seeds(v):.2f}",
                                     "median": f"{v.median():.2f}",
                                     "seeds above 0.95": int((v > .95).sum())}
              for (name, n), v in shares.items()}).T

# %%
compared(walks["turned", 4], 0)

# %% [markdown]
# In the turned set two pairs, which may even show the same mode, give the right map for half of the seeds; four pairs for the typical seed, and eight for nearly every seed. No loss shows which seeds are wrong. In the star, sixteen pairs are not enough for most seeds.
#
# The baselines, on the very same pairs. **Copy**: find the nearest pair and take its partner, no training at all. **Line**: the best affine map, with a little ridge. **Pairs only**: the same networks and steps, and no unpaired example (the best of three rates).

# %%
class PairsOnly(MMIALI):
    "Nothing but the pairs."
    turns = "GE"

    def loss_GE(self, t):
        return self.paired_error(t)

def pairs_of(run):
    "The pairs of a run as views, (8, 2, k, 2)."
    return run.game.views(run.players.nets["shown"].x)

# %%
def landed(run, points):
    "Share of `points` (8, n, 2), translated to B, that are nearest to the mode they came from."
    mode, _, _ = translated(run)
    nearest, _ = view(run.modes, 1).assign(points.flatten(0, 1))
    return (nearest.unflatten(0, (8, -1)) == mode).float().mean(1)

# %%
def copied(run):
    near = torch.cdist(translated(run)[1][:, 0], pairs_of(run)[:, 0]).argmin(-1)
    return landed(run, pairs_of(run)[:, 1].gather(1, near[..., None].expand(-1, -1, 2)))

def lined(run, ridge: float = .01):
    one = lambda v: torch.cat([v, torch.ones_like(v[..., :1])], -1)
    a, b = one(pairs_of(run)[:, 0]), pairs_of(run)[:, 1]
    best = torch.linalg.solve(a.mT @ a + ridge * torch.eye(3), a.mT @ b)
    return landed(run, one(translated(run)[1][:, 0]) @ best)

# %%
@experiment("06_joint", early=15)
def pairs_only(n=500):
    return {world: [matched(train(n, worlds[world], PairsOnly, lr, pairs=k))
                    for lr in (1e-3, 3e-3, 1e-2)] for world, k in (("turned", 4), ("star", 16))}

# %%
rivals = {}
for (name, tried), n in zip(pairs_only().items(), (4, 16)):
    run = train(1, worlds[name], pairs=n)  # the pairs are drawn in the first step
    rivals[name, n] = {"unpaired data too": shares[name, n],
                       "pairs only": torch.tensor(max(tried, key=sum)),
                       "copy": copied(run), "line": lined(run)}
pd.DataFrame({f"{name}, {n} pairs": {k: f"{over_seeds(v):.2f}" for k, v in row.items()}
              for (name, n), row in rivals.items()})

# %%
def ahead(key, rival):
    "How much more is matched than by a rival with the same pairs, seed by seed."
    return interval(rivals[key]["unpaired data too"] - rivals[key][rival])

claim("A few pairs settle what unpaired data leave open", paper="this course",
      section="five modes, view B turned, four pairs; share matched",
      ours=over_seeds(shares["turned", 4]), baseline=over_seeds(shares["turned", 0]),
      holds=over_seeds(shares["turned", 4]).low > over_seeds(shares["turned", 0]).high)

# %%
ahead_of = {rival: ahead(("turned", 4), rival) for rival in ("pairs only", "copy", "line")}
ahead_of

# %%
claim("With four pairs and unpaired data more is matched than by copying the nearest pair",
      paper="this course",
      section="view B turned; share matched, difference", ours=ahead_of["copy"], baseline=0,
      holds=ahead_of["copy"].low > 0)

# %%
claim("In the star, unpaired data improve on the same networks trained on the pairs alone",
      paper="this course",
      section="sixteen pairs; share matched, difference", ours=ahead(("star", 16), "pairs only"),
      baseline=0,
      holds=ahead(("star", 16), "pairs only").low > 0, expect=False)

# %% [markdown]
# Read both columns. Four random pairs show about three of five modes. Copying can match no others, but the ensemble can: it maps the other modes to the free places. It is not clearly better than the same networks on the pairs alone. The affine map does as well, because the true map of this set *is* affine, with six numbers to find. In the star the ensemble is no better than the networks that see pairs alone. There the unpaired losses favour smooth maps, which the pairs contradict. On other seeds a `paired_weight` of 20 improved the matching in the star, and reduced the share of good samples in the turned set.

# %% [markdown]
# ## What the cycles do
# Four pairs, and the game without its outer and semi cycles.

# %%
@experiment("06_joint", early=15)
def without_cycles(n=500):
    return result(train(n, pairs=4, outer_weight=0., semi_weight=0.), 20)

weighted = {"all three, at one": walks["turned", 4], "no outer, no semi": without_cycles()}
table(**{name: {"matched": row["matched"], "good samples in B": row["B"]["high_quality"]}
         for name, row in weighted.items()})

# %%
with_cycles = over_seeds(weighted["all three, at one"]["matched"])
without = over_seeds(weighted["no outer, no semi"]["matched"])
claim("With pairs at hand, outer and semi cycles improve the matching", paper="Chen et al. 2019",
      section="its losses on five modes, four pairs", ours=with_cycles, baseline=without,
      holds=with_cycles.low > without.high, expect=False)

# %% [markdown]
# They do not, here. A closed cycle says that no information was lost. It does not say that the matching is right.
#
# ## Samples from the prior
# Translations do not show the quality of plain samples. Here they are, $G_A(z)$ and $G_B(z)$ with a normal $z$:

# %%
table(**{name: alone[name] for name in ("A, from the prior", "B, from the prior")})

# %% [markdown]
# All modes, and hardly a good sample. The codes of five small clusters cover only a small part of the plane, but the prior covers all of it. The inner cycle asks that every $z$ be recovered from its sample, so $G$ also makes samples between the clusters. The authors' image code has no fixed prior; it takes codes and adds a little noise. Do likewise: to make a new example, encode one and decode it elsewhere.
#
# ## Three domains, and pairs in a chain
# Whoever trains two maps and two critics for each two of $m$ domains needs $2m(m-1)$ networks. The ensemble needs $3m$.

# %%
pd.DataFrame({m: {"a model for each two": 2 * m * (m - 1), "ensemble": 3 * m}
              for m in (2, 3, 4, 6, 10)})

# %% [markdown]
# With two domains the ensemble is the larger one; from three on it is the smaller one. It has another advantage: all domains share one latent. Suppose that there are pairs of A with B, and pairs of B with C, but no pair of A with C.
#
# **Predict:** is A matched with C?

# %%
class Chain(MMIALI):
    "The first half of the complete examples shows A and B only, the other half B and C."
    def paired_error(self, t):
        x = self.paired_views(t)
        made, half = translate_domains(t.E.each, t.G.each, x), x.shape[2] // 2
        first, second = slice(half), slice(half, None)
        ways = ((0, 1, first), (1, 0, first), (1, 2, second), (2, 1, second))
        return sum((made[:, i, j, own] - x[:, j, own]).abs().mean((1, 2)) for i, j, own in ways) / 4

def one_way(run, i: int, j: int):
    "The share of view i that is translated to view j as what it is, seed by seed."
    mode, _, found = translated(run)
    nearest, _ = view(run.modes, j).assign(found[:, i, j].flatten(0, 1))
    return (nearest.unflatten(0, (8, -1)) == mode).float().mean(1)

# %%
@experiment("06_joint", early=15)
def chain(n=500):
    run = train(n, world(domains=3), Chain, domains=3, pairs=12)
    return {f"{'ABC'[i]} to {'ABC'[j]}": one_way(run, i, j)
            for i, j in ((0, 1), (1, 2), (0, 2), (2, 0))}

ways = {name: over_seeds(v) for name, v in chain().items()}
ways

# %%
claim("Domains that were never seen together are matched through a third", paper="this course",
      section="six pairs each of A, B and of B, C", ours=ways["A to C"],
      baseline=f"{over_seeds(shares['turned', 0])} for two domains without pairs",
      holds=ways["A to C"].low > over_seeds(shares["turned", 0]).high)

# %% [markdown]
# ## Under your hands: the number of pairs
# Choose a set, a number of pairs and a seed. With no pair in the turned set: which of the ten maps did this seed find? With how many pairs is the map right, and which seeds are wrong in the star?

# %%
which = w.Dropdown(options=["turned", "star"], description="world")
number_of = w.SelectionSlider(options=[n for name, n in sorted(walks) if name == "turned"],
                              description="pairs")
seed = w.IntSlider(0, 0, 7, description="seed")
image = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))

def choose(change=None):
    number_of.options = [n for name, n in sorted(walks) if name == which.value]

def look(change=None):
    row = walks[which.value, number_of.value]
    image.value = compared(row, seed.value, worlds[which.value]).png

which.observe(choose, "value")
for control in (which, number_of, seed):
    control.observe(look, "value")
look()
w.VBox([w.HBox([which, number_of, seed]), image])

# %%
before = image.value
number_of.value = 4
assert image.value != before
which.value = "star"
compared(walks["star", 4], 0, star)

# %% [markdown]
# Here the pairs and the unpaired losses contradict each other. Modes that occur in a pair are matched, others follow their neighbours, and some modes are lost. So in this case the coverage of a view does fall.

# %% [markdown]
# ## In your own code
# A list of plain encoders and one of decoders, and critics of your own. `PerRun` lays them along the domain axis.

# %%
from modelab.methods.joint import cycle_losses, exchange_domains, paired_loss
from modelab.networks.layers import PerRun

E = PerRun([nn.Sequential(nn.Flatten(), nn.Linear(64, 8)) for _ in range(3)])
G = PerRun([nn.Sequential(nn.Linear(8, 64), nn.Unflatten(1, (1, 8, 8))) for _ in range(3)])
x = torch.rand(3, 16, 1, 8, 8)       # sixteen examples of each domain
together = torch.rand(3, 4, 1, 8, 8)  # four things seen in all domains
e = exchange_domains(E, G, x, torch.randn(16, 8), shift=2)
loss = sum(cycle_losses(E, G, e)) + 5 * paired_loss(E, G, together, shift=2)
loss.backward()  # and your critics compare (e.x, e.codes) with (e.made, e.latents)


# %% [markdown]
# ## Exercises
# **1.** Six equal modes on a ring, two views, no pair. Every way of laying one ring on the other is equally likely, turns and mirrors. Which share is matched on average?

# %%
@exercise(accepts=[1 / 6, .1667], rejects=[0, 1 / 12, 1 / 5, .5, 1])
def grade_ways(answer):
    hint = "twelve ways: count the modes that each leaves in place, add up, divide by 12 · 6"
    assert abs(answer - 1 / 6) < 1e-3, hint


# %%
answer = ...
grade_ways(answer)


# %% [markdown]
# **2.** Your loader returns complete examples `(n, m, d)`, and you want to train as if unpaired. Write `unpaired(x)`: every view keeps its rows, in another order, and no row holds two views of one thing.

# %%
def by_rolling(x):
    return torch.stack([x[:, i].roll(i, 0) for i in range(x.shape[1])], 1)

def by_chance(x):
    orders = [torch.randperm(len(x), generator=torch.Generator().manual_seed(i))
              for i in range(x.shape[1])]
    return torch.stack([x[order, i] for i, order in enumerate(orders)], 1)

@exercise(accepts=[by_rolling], rejects=[lambda x: x, lambda x: x.flip(0), by_chance,
                                         lambda x: by_rolling(x) * 0])
def grade_unpaired(unpaired):
    x = torch.arange(20)[:, None, None].expand(20, 3, 2).float()
    y = unpaired(x.clone())
    assert y.shape == x.shape and torch.equal(y.sort(0).values, x), "each view must keep its rows"
    who = y[..., 0]
    assert all((who[:, i] != who[:, j]).all() for i in range(3) for j in range(i)), \
        "some row holds two views of one thing: a pair has leaked"


# %%
answer = ...
grade_unpaired(answer)


# %% [markdown]
# **3.** Five equal modes, and each must be seen in a pair. How many pairs, drawn at random, does that take on average?

# %%
@exercise(accepts=[5 * (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5), 11.4],
          rejects=[5, 4, 25, 5 * math.log(5), 6.4])
def grade_pairs(answer):
    hint = "with k modes still missing a pair shows a new one with probability k/5"
    assert abs(answer - 11.4167) < .05, hint


# %%
answer = ...
grade_pairs(answer)

# %% [markdown]
# ## Recap
# - Unpaired views, one latent, critics of pairs, closed cycles: all these losses are the same for any relabelling that keeps the law of a view. So is the mutual information.
# - Coverage of every view can be perfect while nothing is matched. Coverage of whole examples shows it, but needs whole examples.
# - Where neighbours stay neighbours, a few pairs are enough, also for modes that no pair shows. Where they do not, every mode needs a pair, and unpaired data do not help.
# - Compare with what the pairs alone can do: copying, an affine map, the same networks.
# - The number of networks is linear in the domains, and from three on smaller than that of models for each two. Domains never seen together can be matched through a third.
#
# **For later.** Which maps leave every unpaired loss as it was? Why does a mirror of five modes match a fifth? What does a closed cycle prove, and what not? How can pairs leak into an unpaired experiment?
#
# **References.** Z. Chen, Z. Yang, X. Wang, X. Liang, X. Yan, G. Li, L. Lin, *Multivariate-information adversarial ensemble for scalable joint distribution matching*, ICML 2019. V. Dumoulin et al., *Adversarially learned inference*, ICLR 2017. J.-Y. Zhu et al., *Unpaired image-to-image translation using cycle-consistent adversarial networks*, ICCV 2017. W. J. McGill, *Multivariate information transmission*, 1954.
