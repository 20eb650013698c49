# %% [markdown]
# # Two lamps: attention, and what agreement is worth
# > A critic that looks through a small window forgives whatever takes two windows to see; and perfect agreement may be nothing but one colour

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Every detail of my samples is right, and the details do not belong together. Why does nobody in the game notice? And once they do belong together, is all well? |
# | **You will be able to** | say what a convolutional critic can never see, add a self-attention layer and read its map, divide a layer by its spectral norm, and find a collapse behind a perfect score |
# | **Paper** | Zhang, Goodfellow, Metaxas and Odena, *Self-attention generative adversarial networks*, ICML 2019 (SAGAN) |
# | **Needs** | [03](../0_ground/03_networks.ipynb), [04](../1_game/04_minimax.ipynb), [05](../1_game/05_training.ipynb), [07](../1_game/07_wasserstein.ipynb) |
# | **Time** | about a minute of computing |

# %%
#| default_exp attention

# %%
#| export
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelab.course import batch, game, logits, mode_set, number, one_of, tensors, whole
from modelab.modes import ModeSet
from modelab.networks import (Conv, ConvDiscriminator, ConvGenerator, Generators, Linear, conv_discriminator, conv_generator, fold,
                              player, score, unfold)

# %%
from modelab.course import FAKE, REAL, THIRD, axes, claim, exercise, hurried, interval, picture, refused, steps, tiles
from modelab.coverage import coverages, table
from modelab.networks import mlp
from modelab.training import Run
from modelab.wasserstein import input_gradient, slope_norm

# %% [markdown]
# ## A pair that does not match
# The data of this chapter: a dark room, a lamp at its left wall and a lamp at its right wall. Both are blue, or both orange, or both white. The colour is the mode; there are three.

# %%
#| export
class Twins(ModeSet):
    "Two lamps of one colour at the sides of a picture of 8×8 pixels; see `twins`. A mode is a colour."
    traits, held_out = ("blue", "orange", "white"), None

    def __init__(self, wander: bool, noise: float):
        self._hues = torch.tensor([[0, .3, 1], [1, .5, 0], [1, 1, 1]]) * 2 - 1
        self._rows = torch.cartesian_prod(*[torch.arange(7) if wander else torch.tensor([3])] * 2)
        self.n_modes, self.event, self.noise, self._copies = 3, (3, 8, 8), noise, {}
        self.weights, self.kinds = torch.full((3,), 1 / 3), torch.eye(3, dtype=torch.bool)
        self._high = torch.ones(self.event)
        self._low = -self._high
        self._bank = torch.cat([self.clean(k, k) for k in range(3)])  # all that can be shown, colour by colour

    def clean(self, left: int, right: int) -> Tensor:
        "All pictures with a left lamp of one colour and a right lamp of another, without noise, (m, 3, 8, 8)."
        x = torch.full((len(self._rows), *self.event), -1.)
        for room, rows in zip(x, self._rows.tolist()):
            for colour, row, column in zip((left, right), rows, (0, 6)):
                room[:, row:row + 2, column:column + 2] = self._hues[colour, :, None, None]
        return x

    def _draw(self, n, generator):
        pick = torch.randint(len(self._bank), (n,), generator=generator, device=self.device)
        noise = torch.randn(n, *self.event, generator=generator, device=self.device)
        return noise.mul_(self.noise).add_(self._bank[pick]).clamp_(-1, 1), pick // len(self._rows)

    @torch.no_grad()
    def assign(self, x: Tensor,  # (n, 3, 8, 8)
               within: float = 3.,  # how far a picture may be from the nearest clean one, in units of the noise
               ) -> tuple[Tensor, Tensor]:
        "The colour of the nearest clean picture, (n,) int64, and whether that is near, (n,) bool: two lamps that match."
        x, within = batch("x", x, self.event), number("within", within, above=0)
        bank = self._bank.to(x).flatten(1)
        far, nearest = torch.cdist(x.flatten(1), bank, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        return nearest // len(self._rows), far <= within * self.noise * bank.shape[1] ** .5

    def picture(self, x: Tensor) -> Tensor:
        "Pictures for showing, values in [0, 1], (n, 8, 8, 3)."
        return batch("x", x, self.event).add(1).div(2).clamp(0, 1).movedim(1, -1)

    def _summary(self) -> str:
        return f"3 modes, 8×8 in colour, {len(self._bank)} clean pictures"


@mode_set
def twins(wander: bool = False,  # each lamp on a row of its own choice
          noise: float = .08,  # standard deviation of every pixel; at most 0.1, or a wrong pair passes for a right one
          ) -> Twins:
    "Two lamps, far apart and always of one colour: blue, orange or white, in equal shares."
    if not isinstance(wander, bool):
        raise TypeError(f"wander: expected True or False, got {wander!r:.40}")
    return Twins(wander, number("noise", noise, most=.1, above=0))


# %% [markdown]
# For a start the fakes come from no generator. We cut real pictures in two and put a left half beside a right half of another colour. Every half is perfect.

# %%
rooms = twins(wander=True)

def mixed(n: int, generator):
    "`n` pictures of real halves whose lamps do not match."
    (a, left), (b, right) = (rooms.sample_with_modes(3 * n + 20, generator) for _ in range(2))
    return torch.cat([a[..., :4], b[..., 4:]], -1)[left != right][:n]

g = torch.Generator().manual_seed(0)
real, fake = rooms.sample(200, g), mixed(200, g)
figure, panels = axes(2, 1, size=(6, 1.1))
for ax, x, title in zip(panels, (real, fake), ("real", "mixed")):
    tiles(ax, rooms.picture(x[:10]), 10, title)
picture(figure, "Ten real rooms, each with two lamps of one colour at any height; ten mixed ones, each with lamps of two colours")

# %%
shares = {name: rooms.assign(x)[1].float().mean().item() for name, x in (("real", real), ("mixed", fake))}
assert shares == {"real": 1., "mixed": 0.}
shares

# %% [markdown]
# The judge that knows the set is never wrong. Now a critic. The loss of this paper is the **hinge**: a real logit should exceed $1$, a generated one stay below $-1$, and whoever is beyond is let go.
#
# $$L_D=\mathbb E\max\big(0,1-D(x)\big)+\mathbb E\max\big(0,1+D(G(z))\big),\qquad L_G=-\mathbb E\,D(G(z)).$$
#
# A critic that knows nothing says $0$ to all and pays $2$; one that is always right, and clearly, pays $0$.

# %%
#| export
def hinge_discriminator_loss(real_logits: Tensor,  # D(x), (*runs, batch)
                             fake_logits: Tensor,  # D(G(z)), (*runs, batch)
                             ) -> Tensor:  # (*runs,)
    """What D descends: real logits should exceed 1, generated ones fall below -1, and what is beyond costs nothing.

    >>> hinge_discriminator_loss(torch.tensor([3., 0.]), torch.tensor([-3., 0.]))
    tensor(1.)
    """
    logits(real_logits=real_logits, fake_logits=fake_logits)
    return F.relu(1 - real_logits).mean(-1) + F.relu(1 + fake_logits).mean(-1)


def hinge_generator_loss(fake_logits: Tensor,  # D(G(z)), (*runs, batch)
                         ) -> Tensor:  # (*runs,)
    "What G descends: -E D(G(z)). It has no hinge: G is never let go."
    logits(fake_logits=fake_logits)
    return -fake_logits.mean(-1)


# %%
a = torch.tensor([1.5, .5, -2.], dtype=torch.float64, requires_grad=True)
pay = hinge_discriminator_loss(a, torch.tensor([-4., -.5, .25], dtype=torch.float64))
slope, = torch.autograd.grad(pay, a)
assert pay.item() == (0 + .5 + 3) / 3 + (0 + .5 + 1.25) / 3 and slope.tolist() == [0, -1 / 3, -1 / 3]
pay.item(), slope.tolist()

# %% [markdown]
# The critic is the `conv_discriminator` of chapter [03](../0_ground/03_networks.ipynb): two convolutions, then a dense layer over all that they saw. Eight seeds, fresh pictures at each step.
#
# **Predict:** the two lamps are two bright squares, with three colours. What share of new pictures does it get right after 250 steps?

# %%
def school(critic, n: int = 250, lr: float = 4e-3, before=lambda critic: critic):
    "Eight critics learn to tell real rooms from mixed ones; `before` prepares them for each step."
    adam = torch.optim.Adam(critic.parameters(), lr, betas=(0., .9))
    for step in range(steps(n)):
        seeds = [torch.Generator().manual_seed(1000 * step + r) for r in range(8)]
        x, y = (torch.stack([draw(32, s) for s in seeds]) for draw in (rooms.sample, mixed))
        adam.zero_grad()
        hinge_discriminator_loss(*score(before(critic), x, y)).sum().backward()
        adam.step()
    return critic

@torch.no_grad()
def exam(critic, x=real, y=fake):
    "Accuracy on new pictures and the hinge loss, over eight seeds."
    right, wrong = (critic(v.expand(8, *v.shape)) for v in (x, y))
    found = ((right > 0).float().mean(1) + (wrong < 0).float().mean(1)) / 2
    return {"accuracy": interval(found), "hinge loss": interval(hinge_discriminator_loss(right, wrong))}

# %%
seeds = [torch.Generator().manual_seed(r) for r in range(8)]
blind = school(conv_discriminator((3, 8, 8), 16, 8, seeds))
results = {"convolutions": exam(blind)}
results

# %% [markdown]
# Nothing at all. Not a little: *nothing*, on every seed.
#
# ## What a sum over windows cannot say
# No rate, width or patience would have helped; this is algebra. A convolution looks through a window. After both convolutions (3 pixels, then 4 at every second place) a place has seen 6 of the 8 columns, and no place has seen both lamps. The dense layer *adds up* what the places say:
#
# $$D(x)=b+\sum_p\varphi_p\big(\text{window}_p(x)\big)\qquad\Longrightarrow\qquad D(\text{left},\text{right})=u(\text{left})+v(\text{right}).$$
#
# With such a sum, what blue–blue and orange–orange gain together, blue–orange and orange–blue gain too. For *any* weights. In float64:

# %%
def interaction(critic, rows: int = 0):
    "D(blue, blue) - D(blue, orange) - D(orange, blue) + D(orange, orange), lamps at the same heights, run by run."
    with torch.no_grad():
        say = [critic(rooms.clean(a, b)[rows].double().expand(8, 1, 3, 8, 8))[:, 0] for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))]
    return say[0] - say[1] - say[2] + say[3]

drawn, taught = conv_discriminator((3, 8, 8), 16, 8, seeds).double(), blind.double()
worst = max(interaction(net, rows).abs().max().item() for net in (drawn, taught) for rows in range(49))
assert worst < 1e-12
worst

# %% [markdown]
# And since $\max(0,t)\ge t$, the hinge loss of such a critic is at least $2-\mathbb E D(x)+\mathbb E D(\text{mixed})$, where both means are the same: averaged over all colours, left and right have the same chances in both. So it is never below $2$, which is what silence costs.

# %%
pairs = [(a, b) for a in range(3) for b in range(3)]
with torch.no_grad():
    say = {pair: taught(rooms.clean(*pair).double().expand(8, -1, 3, 8, 8)) for pair in pairs}
right, wrong = (torch.cat([v for (a, b), v in say.items() if (a == b) is same], 1) for same in (True, False))
assert torch.allclose(right.mean(1), wrong.mean(1), atol=1e-12) and (hinge_discriminator_loss(right, wrong) >= 2 - 1e-12).all()
hinge_discriminator_loss(right, wrong)

# %% [markdown]
# Nor is it a matter of size. `conv_discriminator` halves every picture down to four places by four, and a place has then seen three quarters of the side: 6 of 8, 12 of 16, 24 of 32. Two eyes, two wheels, the first and the last letter of a word may always be further apart.

# %%
def reach(side: int) -> int:
    "How many columns the middle places of the last map see."
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    last, net = [], conv_discriminator((1, side, side), 2, generator=torch.Generator().manual_seed(0))
    net.convs[-1].register_forward_hook(lambda module, args, out: last.append(out))
    net(x)
    return int((torch.autograd.grad(last[0][0, :, 1, 1].sum(), x)[0][0, 0].abs().sum(0) > 0).sum())

assert all(reach(side) == .75 * side for side in (8, 16, 32))
{side: reach(side) for side in (8, 16, 32)}

# %% [markdown]
# ## Let every place ask every other
# What is missing is a *product* of something here with something there. **Self-attention**: each of the $N$ places sends out a query $g(x_j)$ and hangs out a key $f(x_i)$ and a value $h(x_i)$, all three linear. Where key and query agree, the value counts:
#
# $$s_{ij}=f(x_i)\cdot g(x_j),\qquad \beta_{ji}=\frac{e^{s_{ij}}}{\sum_{k}e^{s_{kj}}},\qquad o_j=\sum_i\beta_{ji}\,h(x_i).$$
#
# One picture of six channels and sixteen places:

# %%
x = torch.randn(6, 16, dtype=torch.float64, generator=g)
f, q, h = (torch.randn(k, 6, dtype=torch.float64, generator=g) for k in (4, 4, 6))
s = (f @ x).T @ (q @ x)                         # s[i, j]: how well the key of i answers the query of j
beta = s.softmax(0).T                           # over the keys; row j of beta belongs to query j
o = (h @ x) @ beta.T
assert torch.allclose(beta.sum(1), torch.ones(16).double())
o.shape

# %% [markdown]
# **The classic slip** is a softmax over the queries. Every *column* sums to one then, and a place gets whatever is left over for it: nothing, or many times its share.

# %%
slip = s.softmax(1).T.sum(1)
assert slip.min() < .5 and slip.max() > 2
slip.min().item(), slip.max().item()

# %% [markdown]
# The layer adds $o$, through one more linear map, to what was there, times a number $\gamma$ that training finds and that **starts at zero**: $y_j=x_j+\gamma\,W_v\,o_j$. (The paper leaves out the $1/\sqrt d$ that transformers put into the softmax; so do we.) With the run axis folded into channels, as `Conv` has it:

# %%
#| export
class SelfAttention(nn.Module):
    """Self-attention on folded images `(batch, runs·channels, height, width)`; it starts as the identity (Zhang et al. 2019).

    y = x + γ·Wo, where o is a mean of the values of all places, weighted by how well their keys fit the query of this one.
    """
    def __init__(self, channels: int,
                 runs: int | None = None,  # None: a plain layer, no run axis
                 generator: Generators = None,  # one, or one per run
                 inner: int | None = None,  # channels of queries and keys; None: an eighth, at least 4
                 pool: int = 1,  # 2: keys and values are the maxima of 2×2 blocks, as in the released code
                 ):
        super().__init__()
        self.channels, self.runs, self.pool = whole("channels", channels), runs, whole("pool", pool)
        inner, values = max(4, channels // 8) if inner is None else whole("inner", inner), max(1, channels // 2)
        self.query, self.key, self.value, self.out = (
            Conv(a, b, 1, 1, runs, generator, 1.)
            for a, b in ((channels, inner), (channels, inner), (channels, values), (values, channels)))
        self.gamma = nn.Parameter(torch.zeros(*(() if runs is None else (runs,)), 1, 1, 1, 1))

    def _said(self, layer: Conv, x: Tensor, pool: int = 1) -> Tensor:
        "What a layer says of each place, or block of places, (*runs, batch, channels, places)."
        said = layer(x)
        return unfold(F.max_pool2d(said, pool) if pool > 1 else said, self.runs).flatten(-2)

    def map(self, x: Tensor) -> Tensor:
        "Who looks where: (*runs, batch, queries, keys); each row sums to one."
        tensors(x=x)
        channels = self.channels * (self.runs or 1)
        if x.ndim != 4 or x.shape[1] != channels or min(x.shape[2:]) < self.pool:
            raise ValueError(f"x: expected shape (batch, {channels}, height, width), at least {self.pool} high and wide, got {tuple(x.shape)}")
        return (self._said(self.query, x).mT @ self._said(self.key, x, self.pool)).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.map(x)
        o = fold((self._said(self.value, x, self.pool) @ weights.mT).unflatten(-1, x.shape[-2:]), self.runs)
        return x + fold(self.gamma * unfold(self.out(o), self.runs), self.runs)


# %% [markdown]
# **Fidelity.** Against the four lines above, run by run; then two things that follow from the formula. Places have no names: permute them, and the output is permuted. And one place alone attends to itself.

# %%
layer = SelfAttention(6, runs=2, generator=g).double()
maps = torch.randn(2, 3, 6, 4, 4, dtype=torch.float64, generator=g)
with torch.no_grad():
    layer.gamma.copy_(torch.tensor([.7, -2.]).reshape(2, 1, 1, 1, 1))
    out = unfold(layer(fold(maps, 2)), 2)
    for r in range(2):
        w = {name: part.weight[r, :, :, 0, 0] for name, part in layer.named_children()}
        x = maps[r, 0].flatten(1)
        beta = ((w["key"] @ x).T @ (w["query"] @ x)).softmax(0).T
        by_hand = x + layer.gamma[r].squeeze() * w["out"] @ ((w["value"] @ x) @ beta.T)
        assert torch.allclose(out[r, 0].flatten(1), by_hand, atol=1e-12)

# %%
order = torch.randperm(16, generator=g)
with torch.no_grad():
    moved = unfold(layer(fold(maps.flatten(-2)[..., order].unflatten(-1, (4, 4)), 2)), 2)
    alone = layer.map(fold(maps[..., :1, :1], 2))
assert torch.allclose(moved.flatten(-2), out.flatten(-2)[..., order], atol=1e-12) and (alone == 1).all()
tuple(layer.map(fold(maps, 2)).shape)

# %% [markdown]
# At $\gamma=0$ the layer does nothing, and none of its four maps hears a gradient; only $\gamma$ itself does. That is why attention starts slowly, and why nothing can break by adding it. The *sign* of $\gamma$ means nothing (the last map can take it over): what to watch is the length of what is added.

# %%
fresh = SelfAttention(6, generator=g).double()
assert torch.equal(fresh(maps[0]), maps[0])
fresh(maps[0]).pow(2).sum().backward()
{name: w.grad.abs().max().item() for name, w in fresh.named_parameters() if "bias" not in name}

# %% [markdown]
# Where to put it? Behind the convolution that brings the picture to half its side; deeper, less is left to look at, and higher up $N^2$ grows.

# %%
#| export
def attended(net: ConvGenerator | ConvDiscriminator,  # of chapter 03; changed in place
             side: int | None = None,  # of the map that attends; None: nearest to half the picture's
             inner: int | None = None,  # as in `SelfAttention`
             pool: int = 1,  # likewise
             generator: Generators = None,  # one, or one per run
             ) -> ConvGenerator | ConvDiscriminator:  # the same network
    "A convolutional net with a self-attention layer behind the convolution that makes a map of this side."
    if isinstance(net, ConvGenerator):
        full, sides = net.outputs[-1], [net.start[-1] * 2 ** i for i in range(1, len(net.convs) + 1)]
    elif isinstance(net, ConvDiscriminator):
        full, sides = net.inputs[-1], [net.inputs[-1] // 2 ** i for i in range(1, len(net.convs) + 1)]
    else:
        raise TypeError(f"net: expected a conv_generator or conv_discriminator, got {type(net).__name__}")
    if not sides:
        raise ValueError(f"net: expected pictures that can be halved, got {full}×{full}")
    if side is not None and side not in sides:
        raise ValueError(f"side: expected one of {sides}, got {side!r:.40}")
    at = sides.index(min(sides, key=lambda s: abs(s - full / 2)) if side is None else side)
    conv = net.convs[at]
    if not isinstance(conv, Conv):
        raise ValueError(f"side: the map of side {sides[at]} attends already")
    net.convs[at] = nn.Sequential(conv, SelfAttention(conv.weight.shape[-4], net.runs, generator, inner, pool))
    return net


# %% [markdown]
# Same critic, same school, plus one layer. **Predict** its accuracy; and that of a plain dense net, which sees all pixels at once.

# %%
far = school(attended(conv_discriminator((3, 8, 8), 16, 8, seeds), generator=seeds))
dense = school(mlp((3, 8, 8), (), 64, runs=8, generator=seeds))
results |= {"with attention": exam(far), "dense net": exam(dense)}
results

# %%
seen, unseen = (results[name]["accuracy"] for name in ("with attention", "convolutions"))
claim("One self-attention layer lets a critic see that two far-apart lamps differ; convolutions alone, even under a dense layer, see nothing",
      paper="Zhang et al. 2019", section="section 1: dependencies across regions; chance is 0.5", ours=seen, baseline=unseen,
      holds=seen.low > .99 and abs(unseen.mean - .5) < .03)

# %% [markdown]
# The dense net sees it too: on 64 pixels a dense layer is cheap, and its second layer multiplies. What attention buys is that any two places of *any* map can meet, with the same few weights:

# %%
def weights(net) -> int:
    "Weights of one run."
    return sum(w.numel() for w in net.parameters()) // 8

{"convolutions": weights(blind), "attention layer": weights(far.convs[0][1]), "dense net": weights(dense)}

# %% [markdown]
# Whom does a place ask? The map the critic attends on has four places by four; a place at the left wall sees the left lamp only. Here is one real room, and where the place next to the left lamp looks, in four of the eight critics.

# %%
def looks(critic, x):
    "The attention maps of the critic at pictures (8, n, 3, 8, 8): (8, n, queries, keys)."
    kept = []
    hook = critic.convs[0][1].register_forward_pre_hook(lambda layer, args: kept.append(layer.map(args[0])))
    with torch.no_grad():
        critic(x)
    hook.remove()
    return kept[0]

def show_map(ax, room, beta, query: int, title: str):
    "A room, and over it how much a query (white frame) looks at each of 4×4 places."
    ax.imshow(rooms.picture(room[None])[0])
    ax.imshow(beta.reshape(4, 4), extent=(-.5, 7.5, 7.5, -.5), cmap="cividis", vmin=0, vmax=1, alpha=.6)
    ax.add_patch(Rectangle((query % 4 * 2 - .5, query // 4 * 2 - .5), 2, 2, fill=False, ec="w", lw=2))
    ax.set(title=title, xticks=(), yticks=())

# %%
from matplotlib.patches import Rectangle

room = rooms.clean(1, 1)[9]                          # orange; the left lamp on rows 1 and 2, the right one on rows 2 and 3
beta = looks(far, room.expand(8, 1, 3, 8, 8))[:, 0]
figure, panels = axes(1, 5, size=(1.7, 1.9))
tiles(panels[0], rooms.picture(room[None]), 1, "the room")
for r, ax in enumerate(panels[1:]):
    show_map(ax, room, beta[r, 4], 4, f"seed {r}")
picture(figure, "A room with two orange lamps, and four maps of where the place at the left lamp looks")

# %% [markdown]
# ## A bound on every layer
# A critic that sees far is a stronger critic, and chapter [07](../1_game/07_wasserstein.ipynb) showed what becomes of a generator whose critic may rise as steeply as it likes. SAGAN's answer needs no penalty: divide each weight matrix by its largest singular value,
#
# $$\bar W=\frac{W}{\sigma(W)},\qquad \sigma(W)=\max_{\|v\|=1}\|Wv\| .$$
#
# No layer then stretches anything, and neither does their chain. An SVD at each step would be dear. But the weights move little, so that one **power iteration** a step is enough: keep a unit vector $u$, and go on from where it was,
#
# $$u\leftarrow\frac{WW^{\mathsf T}u}{\|WW^{\mathsf T}u\|},\qquad\sigma(W)\approx\|W^{\mathsf T}u\| .$$

# %%
#| export
def _matrix(weight: Tensor, runs: int) -> Tensor:
    "A weight as (*runs, rows, columns)."
    tensors(weight=weight)
    if weight.ndim < whole("runs", runs, 0) + 2:
        raise ValueError(f"weight: expected shape (*runs, rows, columns, ...) with {runs} run axes, got {tuple(weight.shape)}")
    return weight.flatten(runs + 1)


def _fits(u: Tensor, matrix: Tensor) -> None:
    "Refuse a `u` that is not one vector over the rows."
    tensors(u=u)
    if u.shape != matrix.shape[:-1] or u.dtype != matrix.dtype:
        raise ValueError(f"u: expected {matrix.dtype} of shape {tuple(matrix.shape[:-1])}, got {u.dtype} of shape {tuple(u.shape)}")


@torch.no_grad()
def power_iteration(weight: Tensor,  # (*runs, rows, columns, ...)
                    u: Tensor | None = None,  # where to go on from, (*runs, rows); None: from the image of the longest row
                    n: int = 1,  # iterations
                    runs: int = 0,  # how many leading axes count runs
                    ) -> Tensor:  # (*runs, rows)
    "A unit vector nearer to the direction that a weight stretches most; no random number is drawn."
    w, n = _matrix(weight, runs), whole("n", n, 0)
    if u is None:
        longest = w.norm(dim=-1).argmax(-1)[..., None, None]
        u = (w @ w.take_along_dim(longest, -2).mT)[..., 0]
    _fits(u, w)
    u = F.normalize(u, dim=-1)
    for _ in range(n):
        u = F.normalize((w @ (w.mT @ u[..., None]))[..., 0], dim=-1)
    return u


def spectral_norm(weight: Tensor,  # (*runs, rows, columns, ...)
                  u: Tensor,  # a unit vector, (*runs, rows)
                  runs: int = 0,  # how many leading axes count runs
                  ) -> Tensor:  # (*runs,)
    "‖Wᵀu‖: the largest singular value, or less while `u` is on its way. Differentiable in the weight."
    w = _matrix(weight, runs)
    _fits(u, w)
    return torch.linalg.vector_norm((u[..., None, :] @ w).squeeze(-2), dim=-1)


# %% [markdown]
# **Fidelity.** Against an SVD: always from below, and there in the end. Its gradient is that of the singular value, the outer product of the two singular vectors.

# %%
w = torch.randn(8, 20, 30, dtype=torch.float64, generator=g, requires_grad=True)
left, sizes, right = torch.linalg.svd(w.detach())
gaps = {n: (sizes[:, 0] - spectral_norm(w, power_iteration(w, n=n, runs=1), runs=1)).detach() for n in (0, 1, 5, 20, 500)}
assert all((gap > -1e-12).all() for gap in gaps.values()) and gaps[500].max() < 1e-10
{n: gap.max().item() for n, gap in gaps.items()}

# %%
slope, = torch.autograd.grad(spectral_norm(w, power_iteration(w, n=500, runs=1), runs=1).sum(), w)
assert torch.allclose(slope, left[..., :1] @ right[:, :1], atol=1e-6)
(slope - left[..., :1] @ right[:, :1]).abs().max().item()

# %% [markdown]
# In a network it is a *parametrization*: the layer keeps the free weight, and whoever reads `weight` gets the divided one. The vector $u$ is a buffer; it is saved with the network and moves only in `advance`.

# %%
#| export
_LAYERS = {Linear: 2, nn.Linear: 2, Conv: 4, nn.Conv1d: 3, nn.Conv2d: 4}  # axes of their weights, without runs


class Spectral(nn.Module):
    "A parametrization: a weight over its `spectral_norm`. Its `u` is saved with the network, and moves only in `advance`."
    def __init__(self, weight: Tensor,
                 runs: int = 0,  # how many leading axes count runs
                 ):
        super().__init__()
        self.runs = runs
        self.register_buffer("u", power_iteration(weight, n=20, runs=runs))

    def forward(self, weight: Tensor) -> Tensor:
        norm = spectral_norm(weight, self.u, self.runs).clamp_min(1e-12)  # a weight of zeros stays one
        return weight / norm.reshape(*norm.shape, *[1] * (weight.ndim - norm.ndim))


def spectral_normalised(network: nn.Module,  # changed in place
                        but: Sequence[str] = (),  # layers to leave alone, by name
                        ) -> nn.Module:  # the same network
    """Divide the weight of each linear and convolutional layer by its largest singular value (Miyato et al. 2018).

    Call `advance(network)` once for each step of the optimiser.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"network: expected a torch.nn.Module, got {network!r:.60}")
    if not isinstance(but, (tuple, list)) or not all(isinstance(name, str) for name in but):
        raise TypeError(f"but: expected a list of names, got {but!r:.60}")
    found = [layer for name, layer in network.named_modules() if type(layer) in _LAYERS and not set(but) & set(name.split("."))]
    if not found:
        raise ValueError(f"network: expected linear or convolutional layers, got none in {type(network).__name__}")
    for layer in found:
        parametrize.register_parametrization(layer, "weight", Spectral(layer.weight, layer.weight.ndim - _LAYERS[type(layer)]))
    return network


def advance(network: nn.Module, n: int = 1) -> nn.Module:  # the same network
    "Move every `u` in a network by `n` power iterations; a network without any is left as it is."
    if not isinstance(network, nn.Module):
        raise TypeError(f"network: expected a torch.nn.Module, got {network!r:.60}")
    n = whole("n", n)
    for layer in network.modules():
        kept = layer.parametrizations.weight if parametrize.is_parametrized(layer, "weight") else ()
        for part in kept:
            if isinstance(part, Spectral):
                part.u.copy_(power_iteration(kept.original, part.u, n, part.runs))
    return network


# %% [markdown]
# Why not torch's own? It makes an iteration at every forward pass in training mode: with real and generated batches, two or three a step, and *to look at the critic changes the critic*. In this course a run must not notice that it is watched. Otherwise the two are one:

# %%
theirs = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(7, 5).double())
ours = spectral_normalised(nn.Linear(7, 5).double())
ours.load_state_dict({**ours.state_dict(), "bias": theirs.bias.detach(), "parametrizations.weight.original": theirs.parametrizations.weight.original.detach()})
z = torch.randn(3, 7, dtype=torch.float64, generator=g)
answers = [theirs(z) for _ in range(2)], [ours(z) for _ in range(2)]
assert not torch.equal(*answers[0]) and torch.equal(*answers[1])

# %%
theirs.train()
ours.parametrizations.weight[0].u.copy_(theirs.parametrizations.weight[0]._u)
out = theirs(z)                                  # moves their u by one iteration, ours when told
assert torch.allclose(advance(ours)(z), out, atol=1e-9)
(ours(z) - out).abs().max().item()

# %% [markdown]
# **What the bound is worth.** A dense net of such layers, with leaky ReLUs that stretch nothing either, has slope one at most, whatever its weights. A convolution does not: its kernel was flattened into a matrix, but it reads every pixel nine times. A kernel of nine equal weights has norm one as a matrix, and makes a flat picture three times as bright.

# %%
net = spectral_normalised(mlp(2, (), 64, runs=8)).double()
with torch.no_grad():
    for w in net.parameters():
        w.mul_(10)
points = torch.randn(8, 500, 2, dtype=torch.float64, generator=g) * 3
scores, slopes = input_gradient(advance(net, 100), points)
assert slope_norm(slopes, scores).max() <= 1 + 1e-9
slope_norm(slopes, scores).max().item()

# %%
flat = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False).double()
nn.init.ones_(flat.weight)
bright = spectral_normalised(flat)(torch.ones(1, 1, 5, 5, dtype=torch.float64))
assert torch.allclose(flat.weight.norm(), torch.ones(()).double()) and torch.allclose(bright, torch.full_like(bright, 3))
bright.mean().item()

# %% [markdown]
# ## The game
# All four parts together: the hinge, attention in one player or both, the bound on both but for queries and keys, and **two rates**: instead of several turns for $D$, a rate four times as high.

# %%
#| export
@game
@dataclass
class SAGAN:
    "The game of Zhang et al. 2019 on square pictures: hinge losses, self-attention, spectral normalisation, two rates."
    G: nn.Module | Callable[[], nn.Module] | None = None  # your own, or one that fits the set
    D: nn.Module | Callable[[], nn.Module] | None = None
    attention: str = "GD"  # which default players have a layer of it: "GD", "G", "D" or ""
    spectral: str = "GD"  # whose weights are divided by their spectral norm, those of queries and keys excepted
    latent: int | None = None  # length of z; None: fits the set
    width: int = 16  # channels of the default players at full size
    d_width: int | None = None  # of D alone; None: as `width`
    lr: float | dict[str, float] = field(default_factory=lambda: {"G": 1e-3, "D": 4e-3})  # of Adam
    betas: tuple[float, float] = (0., .9)
    turns: ClassVar[str] = "D G"

    def __post_init__(self):
        for name in ("attention", "spectral"):
            one_of(name, getattr(self, name), ("", "D", "G", "GD"))

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: Any) -> dict[str, nn.Module]:
        "The networks that play, one copy per run."
        def default(name: str) -> nn.Module:
            net = conv_generator(latent, event, self.width, runs, generator) if name == "G" \
                else conv_discriminator(event, self.d_width or self.width, runs, generator)
            net = attended(net, generator=generator) if name in self.attention else net
            return spectral_normalised(net, ("query", "key")) if name in self.spectral else net
        return {"G": player("G", self.G, lambda: default("G"), runs, generator),
                "D": player("D", self.D, lambda: default("D"), runs, generator)}

    def loss_D(self, t: Any) -> Tensor:
        "One value per run for the discriminator's turn."
        return hinge_discriminator_loss(*score(advance(t.D), t.x, t.G(t.z).detach()))

    def loss_G(self, t: Any) -> Tensor:
        "One value per run for the generator's turn."
        return hinge_generator_loss(t.D(advance(t.G)(t.z)))


# %%
print(refused(SAGAN, attention="everybody"))
SAGAN(), SAGAN.turns
