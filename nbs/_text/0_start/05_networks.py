# %% [markdown]
# # Networks with a run axis
# > How do we train eight generators at once, with no run influencing another?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do we train eight generators at once, in the time that about four plain loops take? |
# | **You will be able to** | carry independent runs as an axis, prove that they are independent, and keep a signal alive through a deep net |
# | **Paper** | none; initialisation after He et al. 2015 |
# | **Needs** | [0.3](03_modes.ipynb) for the data |
# | **Time** | a few seconds of computing |

# %%
#| default_exp networks.layers

# %%
#| export
"Networks with a run axis: several independent copies in one forward pass."
from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.checks import check_int, check_ints, check_number
from modelab.core.seeding import Generators, rand
from modelab.core.signatures import Count, Function, Index, checked

# %%
#| export core.seeding
"Seeds and random numbers: one torch.Generator per run, seeds derived from names."
from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch

# %%
#| export networks.convolutional
"Convolutional generators and discriminators with a run axis."
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.checks import check_int, check_number, check_tensors
from modelab.core.seeding import Generators
from modelab.core.signatures import Count, Index, checked
from modelab.networks.layers import HE_GAIN, Linear, Net, event_shape, init_uniform_, run_shape

# %%
#| export networks.adapters
"Discriminators as other people write them, brought to one score per example: `as_critic`."
from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from torch import nn

from modelab.core.checks import check_tensors
from modelab.core.signatures import Function, checked
from modelab.networks.layers import answer_cure

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import FAKE, REAL, Picture, axes
from modelab.core.statistics import interval
from modelab.course.claims import claim, fast_mode
from modelab.course.exercises import exercise
from modelab.course.notebooks import patch

# %% [markdown]
# ## Shapes that fit but share weights
# Every claim in this course is made over at least eight seeds. The obvious way to train eight networks at once is to give the
# data one more axis. So stack eight batches, and push them through a layer:

# %%
layer = nn.Linear(2, 3)
x = torch.randn(8, 256, 2, generator=torch.Generator().manual_seed(0))
layer(x).shape

# %% [markdown]
# Eight runs of 256 points, eight batches of outputs. There was no error.
#
# **Predict:** how many networks did we train?

# %%
one_by_one = torch.stack([layer(batch) for batch in x])
networks = 1 if torch.equal(layer(x), one_by_one) or torch.allclose(layer(x), one_by_one) else 8
assert networks == 1
networks

# %% [markdown]
# One: the same weights served all eight, and their gradient is the sum of eight. There is no warning, and the "eight seeds" would agree
# too well. What we need is a weight *per run*.

# %% [markdown]
# ## A layer per run
# Let the weight have a leading axis of runs, $W\in\mathbb R^{R\times n\times m}$, and let run $r$ see only its own slice:
#
# $$y_{rbj} = \sum_i x_{rbi}\,W_{rij} + c_{rj}.$$
#
# One batched matrix product does all eight (`baddbmm`). Without a run axis it is the plain layer. Random numbers need the same care: each
# run draws from a generator of its own, so that run 3 of eight is the run you get when you train seed 3 alone.

# %%
#| export core.seeding
Generators = torch.Generator | Sequence[torch.Generator] | None


# %% [markdown]
# `_draw` takes one generator, or a list of one per run. With a list it draws the runs one by one and stacks them.

# %%
#| export core.seeding
def _draw(sampler: Callable, shape: Sequence[int], generator: Generators, device=None,
          dtype=None) -> torch.Tensor:
    "Draw with one generator, or with one per run along the first axis."
    if not isinstance(generator, (torch.Generator, list, tuple, type(None))):
        raise TypeError("generator: expected a torch.Generator, or a list of one per run, "
                        f"got {generator!r:.60}")
    if generator is None or isinstance(generator, torch.Generator):
        source = generator.device if generator is not None else device
        x = sampler(tuple(shape), generator=generator, device=source, dtype=dtype)
        return x.to(device or source)
    if len(generator) != shape[0]:
        raise ValueError(f"generator: expected one per run, {shape[0]}, got {len(generator)}")
    return torch.stack([_draw(sampler, shape[1:], g, device, dtype) for g in generator])

# %% [markdown]
# `rand` draws uniform numbers in this way.

# %%
#| export core.seeding
def rand(*shape: int, generator: Generators = None, device=None, dtype=None) -> torch.Tensor:
    "Uniform numbers in [0, 1); `generator` may be one per run, for the first axis of `shape`."
    return _draw(torch.rand, shape, generator, device, dtype)


# %% [markdown]
# `randn` draws standard normal numbers, for latents and for noise.

# %%
#| export core.seeding
def randn(*shape: int, generator: Generators = None, device=None, dtype=None) -> torch.Tensor:
    "Standard normal numbers; `generator` may be one per run, for the first axis of `shape`."
    return _draw(torch.randn, shape, generator, device, dtype)


# %% [markdown]
# A whole number is a uniform one, multiplied and rounded down. The product of a number just below one may round up to `n`, so it is clamped.

# %%
#| export core.seeding
def randint(n: int, *shape: int, generator: Generators = None, device=None) -> torch.Tensor:
    "Whole numbers from 0 to `n - 1`, equally likely; `generator` as for `rand`."
    return (rand(*shape, generator=generator, device=device) * n).long().clamp_max(n - 1)


# %%
draws = randint(3, 8, 1000, generator=[torch.Generator().manual_seed(r) for r in range(8)])
assert draws.unique().tolist() == [0, 1, 2]


# %% [markdown]
# One seed serves several purposes: the weights, the data, the noise of each step. Each purpose gets a seed of its own, made from its name. Then nothing
# changes for the others if one purpose needs more numbers. A function that may be called without a generator uses the same seed at each call.

# %%
#| export core.seeding
def derive_seed(*words: object) -> int:
    "A 63-bit seed for a purpose, such as (7, 'data', step): equal words give equal seeds."
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

# %%
assert derive_seed(7, "data", 0) == derive_seed(7, "data", 0) != derive_seed(7, "noise", 0)

# %% [markdown]
# Functions with an optional generator use `generator_or_default`, so their results do not depend on torch's global random state.

# %%
#| export core.seeding
def generator_or_default(generator: torch.Generator | None) -> torch.Generator:
    "The generator, or a fixed one for None."
    if not isinstance(generator, (torch.Generator, type(None))):
        raise TypeError(f"generator: expected a torch.Generator or None, got {generator!r:.60}")
    return generator or torch.Generator().manual_seed(0)

# %% [markdown]
# Now the layer. Its weights are uniform within a bound that `gain` scales. He et al.'s gain for leaky ReLUs of slope 0.2 is explained under "Signals that shrink from layer to layer".

# %%
#| export
HE_GAIN = math.sqrt(2 / (1 + .2 ** 2))


# %% [markdown]
# `init_uniform_` fills a parameter, each run from its own generator. So run 3 of eight starts with the weights that it would have alone.

# %%
#| export
def init_uniform_(parameter: torch.Tensor, bound: float, generator: Generators) -> None:
    "Fill with U(-bound, bound), each run from its own generator."
    with torch.no_grad():
        parameter.copy_(rand(*parameter.shape, generator=generator).mul_(2 * bound).sub_(bound))


# %% [markdown]
# `Linear` is the layer of the equation above, with or without the run axis.

# %%
#| export
class Linear(nn.Module):
    "Affine layer `(*runs, batch, inputs)` → `(*runs, batch, outputs)` with a weight per run."
    def __init__(self, inputs: int, outputs: int,
                 runs: int | None = None,  # None: a plain layer, no run axis
                 generator: Generators = None,  # one, or one per run
                 gain: float = 1 / math.sqrt(3),  # of the weights; this one is torch's own
                 ):
        super().__init__()
        inputs, outputs = check_int("inputs", inputs), check_int("outputs", outputs)
        gain, lead = check_number("gain", gain, 0), run_shape(runs)
        self.weight = nn.Parameter(torch.empty(*lead, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(*lead, 1, outputs))
        init_uniform_(self.weight, gain * math.sqrt(3 / inputs), generator)
        init_uniform_(self.bias, 1 / math.sqrt(inputs), generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight, self.bias
        if weight.ndim == 2:
            return torch.addmm(bias, x, weight)
        if weight.shape[-1] == 1 < len(weight):  # a batched product of width one is slow on a CPU
            return (x * weight.mT).sum(-1, keepdim=True) + bias
        return torch.baddbmm(bias, x, weight)

# %% [markdown]
# `run_shape` is the part of a shape that belongs to the runs. Without a run axis it is empty.

# %%
#| export
def run_shape(runs: int | None) -> tuple[int, ...]:
    "The axes that come before the others: none, or one of `runs`."
    return () if runs is None else (check_int("runs", runs),)

# %% [markdown]
# **Fidelity.** Eight stacked layers against eight separate `nn.Linear` that hold the same numbers, in float64:

# %%
stacked = Linear(2, 3, runs=8).double()
separate = [nn.Linear(2, 3).double() for _ in range(8)]
for r, plain in enumerate(separate):
    plain.weight.data = stacked.weight[r].T.detach().clone()
    plain.bias.data = stacked.bias[r, 0].detach().clone()
gap = stacked(x.double()) - torch.stack([plain(xr) for plain, xr in zip(separate, x.double())])
assert gap.abs().max() < 1e-15
gap.abs().max().item()

# %% [markdown]
# ## A network is two shapes and a width
# A generator maps a latent vector to an example; a critic maps an example to one number. So `mlp` asks for the two shapes: `mlp(2, (3, 8, 8))`
# turns 2-D latents into pictures, and `mlp((3, 8, 8), ())` turns pictures into logits. The empty shape means "one number per example", so a critic
# returns `(*runs, batch)` and no stray axis of length one.

# %% [markdown]
# Stacked networks make large temporary tensors at each step. On Linux the system's allocator returns that memory after each step and asks for it again;
# the page faults can cost half a step. So `_keep_memory` sets the allocator once to keep the memory.

# %%
#| export
@functools.cache
def _keep_memory() -> None:
    "Ask glibc to keep freed memory between steps; elsewhere do nothing."
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 32 << 20)   # M_MMAP_THRESHOLD
            libc.mallopt(-1, 512 << 20)  # M_TRIM_THRESHOLD

# %% [markdown]
# An *event* is one example without the axes of the batch and the runs. `event_shape` brings the shape of an event to a tuple.

# %%
#| export
def event_shape(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    "An event shape: an int is a vector's length, () a single number."
    sizes = value if isinstance(value, (tuple, list, torch.Size)) else (value,)
    return tuple(check_int(name, v) for v in sizes)

# %% [markdown]
# `Net` is the base class of our networks. It checks the shape of the input, flattens an example to a vector, and gives the output its own shape.

# %%
#| export
class Net(nn.Module):
    "What all our networks share: an input shape, an output shape, and an optional run axis."
    coupled = False  # whether an answer depends on the other examples of the batch

    def __init__(self, inputs, outputs, runs: int | None):
        super().__init__()
        self.inputs, self.outputs = event_shape("inputs", inputs), event_shape("outputs", outputs)
        self.runs = None if runs is None else check_int("runs", runs)
        self.lead = 1 if runs is None else 2  # axes before the event: batch, or runs and batch
        if runs is not None:
            _keep_memory()

    def _check(self, x: torch.Tensor) -> torch.Tensor:
        "`x` with a flat event; refused if its shape is not that of the inputs."
        lead = run_shape(self.runs)
        got, n = tuple(x.shape), len(lead)
        if x.ndim != n + 1 + len(self.inputs) or got[:n] != lead or got[n + 1:] != self.inputs:
            want = ", ".join(map(str, [*lead, "batch", *self.inputs]))
            raise ValueError(f"x: expected shape ({want}), got {got}")
        return x.flatten(n + 1) if self.inputs else x.unsqueeze(-1)

    def _event(self, y: torch.Tensor) -> torch.Tensor:
        "`y` with the shape of the outputs instead of a flat last axis."
        return y.unflatten(-1, self.outputs) if self.outputs else y.squeeze(-1)

# %% [markdown]
# `MLP` is a fully connected network: linear layers with leaky ReLUs between them and, if wanted, a function at the end.

# %%
#| export
class MLP(Net):
    "Fully connected net with leaky ReLUs; see `mlp`."
    def __init__(self, inputs, outputs, width: int, depth: int, runs: int | None,
                 generator: Generators, last: Callable | None):
        super().__init__(inputs, outputs, runs)
        sizes = [math.prod(self.inputs), *[width] * depth, math.prod(self.outputs)]
        self.hidden = nn.ModuleList(Linear(a, b, runs, generator, HE_GAIN)
                                    for a, b in zip(sizes[:-1], sizes[1:-1]))
        self.final, self.last = Linear(*sizes[-2:], runs, generator), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._check(x)
        for layer in self.hidden:
            x = F.leaky_relu_(layer(x), .2)
        x = self._event(self.final(x))
        return x if self.last is None else self.last(x)

# %% [markdown]
# `mlp` is the function to call. It checks its arguments and returns an `MLP`.

# %%
#| export
@checked
def mlp(inputs: int | Sequence[int],  # shape of one input
        outputs: int | Sequence[int],  # shape of one output; () for one number
        width: Count = 128,  # units in a hidden layer
        depth: Index = 2,  # hidden layers
        runs: Count | None = None,  # independent copies along a leading axis; None: a plain network
        generator: Generators = None,  # for the weights: one, or one per run
        last: Callable | None = None,  # applied to the output, for instance torch.tanh
        ) -> MLP:
    """A fully connected net from `(*runs, batch, *inputs)` to `(*runs, batch, *outputs)`.

    It raises a `ValueError` on inputs of another shape.

    >>> mlp(2, (), width=16, runs=8)(torch.randn(8, 100, 2)).shape  # eight critics at once
    torch.Size([8, 100])
    """
    return MLP(inputs, outputs, width, depth, runs, generator, last)

# %% [markdown]
# A generator of pictures ends in `tanh`, so its pixels lie in $[-1,1]$ as those of the data do. A generator of points has no such limit.

# %%
#| export
@checked
def mlp_generator(latent: Count,  # length of the latent vector
                  event: Sequence[int],  # shape of one example
                  width: Count = 128, depth: Index = 2, runs: Count | None = None,
                  generator: Generators = None) -> MLP:
    "A generator `(*runs, batch, latent)` → `(*runs, batch, *event)`; pictures are in [-1, 1]."
    event = event_shape("event", event)
    last = torch.tanh if len(event) > 1 else None
    return mlp(latent, event, width, depth, runs, generator, last)

# %%
G, D = mlp(2, (3, 8, 8), runs=8), mlp((3, 8, 8), (), runs=8)
z = torch.randn(8, 256, 2)
tuple(G(z).shape), tuple(D(G(z)).shape)

# %%
plain = mlp((3, 8, 8), ())
[tuple(plain(torch.zeros(5, 3, 8, 8)).shape), error_message(plain, torch.zeros(5, 8, 8, 3)),
 error_message(D, torch.zeros(4, 256, 3, 8, 8))]

# %% [markdown]
# ## Are the runs independent?
# Equal outputs are not enough. Training also goes through gradients and through Adam, and if the runs influence each other anywhere, there are fewer than eight independent seeds.
# The losses of the runs are *summed*: $\partial(\sum_s L_s)/\partial\theta_r = \partial L_r/\partial\theta_r$, because run $r$'s weights appear
# in no other run's loss. Let us train the same networks twice, stacked and one by one, and compare the weights.

# %%
def fit(net, x, y, steps=25):
    "A few Adam steps on squared error, summed over runs."
    adam = torch.optim.Adam(net.parameters(), 1e-2, betas=(.5, .9))
    for _ in range(steps):
        adam.zero_grad()
        (net(x) - y).square().mean(-1).sum().backward()
        adam.step()
    return net

# %%
def member(net, r: int):
    "Run r of a stacked net, as a plain net with the same weights."
    width = net.hidden[0].weight.shape[-1]
    single = mlp(net.inputs, net.outputs, width=width, depth=len(net.hidden))
    single.load_state_dict({k: v[r].clone() for k, v in net.state_dict().items()})
    return single.double()

# %%
g = torch.Generator().manual_seed(1)
x = torch.randn(8, 64, 2, generator=g, dtype=torch.float64)
y = torch.randn(8, 64, generator=g, dtype=torch.float64)
stacked = mlp(2, (), width=32, runs=8, generator=torch.Generator().manual_seed(0)).double()
alone = [member(stacked, r) for r in range(8)]

# %%
fit(stacked, x, y)
for r in range(8):
    fit(alone[r], x[r], y[r])
drift = max((a - s[r]).abs().max().item() for r in range(8)
            for a, s in zip(alone[r].parameters(), stacked.parameters()))
assert drift < 1e-10
drift

# %% [markdown]
# After 25 steps of forward, backward and Adam the stacked weights equal the separate ones to rounding. And the runs do not influence each other: give one
# run NaN as its targets, and the weights of the other seven stay equal to the last bit.

# %%
def trained(poison: bool):
    seeds = [torch.Generator().manual_seed(r) for r in range(8)]
    net = mlp(2, (), width=32, runs=8, generator=seeds).double()
    target = y.clone()
    target[5] = float("nan") if poison else target[5]
    return fit(net, x, target)

# %%
clean, poisoned = trained(False), trained(True)
pairs = list(zip(clean.parameters(), poisoned.parameters()))
same = [all(torch.equal(a[r], b[r]) for a, b in pairs) for r in range(8)]
assert same == [True] * 5 + [False] + [True] * 2
same

# %% [markdown]
# Each run also starts where it would start alone, because it drew its weights from its own generator:

# %%
def seeded(seeds):
    return mlp(2, 2, runs=len(seeds), generator=[torch.Generator().manual_seed(s) for s in seeds])

of_eight, single = seeded(range(8)), seeded([3])
assert all(torch.equal(a[3], b[0]) for a, b in zip(of_eight.parameters(), single.parameters()))

# %% [markdown]
# ## Why eight seeds?
# In the figure below the score of a seed is a random number between 0.2 and 1, with the mean 0.6. A single seed may report any of these values. Drag the slider and
# watch the interval shrink like $1/\sqrt n$; from two seeds to eight it shrinks faster, because the factor of Student's $t$ is very large for two.

# %%
def seeds_picture(n: int):
    "Twenty experimenters with n seeds each: their intervals around a true score of 0.6."
    draws = torch.rand(20, n, generator=torch.Generator().manual_seed(7)) * .8 + .2
    rows = [interval(d.tolist()) for d in draws]
    figure, ax = axes(size=(4.6, 2.2))
    for i, row in enumerate(rows):
        ax.plot([i, i], [row.low, row.high], c=REAL if row.low <= .6 <= row.high else FAKE)
    ax.axhline(.6, c="k", lw=.8, ls=":")
    ax.set(ylim=(-.5, 1.7), xlabel="experimenter", ylabel="score and interval",
           title=f"{n} seeds each")
    return Picture(figure, f"Twenty 95 % intervals from {n} seeds each; median width "
                   f"{sorted(r.high - r.low for r in rows)[10]:.2f}")

# %%
import ipywidgets

def seeds_widget():
    image = ipywidgets.Image(value=seeds_picture(8).png, format="png")
    slider = ipywidgets.IntSlider(8, 2, 32, description="seeds")

    def redraw(change):
        image.value = seeds_picture(change["new"]).png

    slider.observe(redraw, "value")
    return ipywidgets.VBox([slider, image])

widget = seeds_widget()
widget

# %%
widget.children[0].value = 3
assert widget.children[1].value == seeds_picture(3).png
seeds_picture(3)

# %% [markdown]
# ## Pictures need convolutions
# For images a layer slides one small filter over all positions. The run axis goes into the *groups* of a convolution: fold runs into
# channels, $(R,B,C,H,W)\to(B,RC,H,W)$, and let group $r$ see only the channels of run $r$.

# %%
#| export networks.convolutional
class Conv(nn.Module):
    "Square convolution on folded images `(batch, runs·channels, h, w)`, a filter bank per run."
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1,
                 runs: int | None = None, generator: Generators = None, gain: float = HE_GAIN):
        super().__init__()
        inputs, outputs = check_int("inputs", inputs), check_int("outputs", outputs)
        size, gain, lead = check_int("size", size), check_number("gain", gain, 0), run_shape(runs)
        self.weight = nn.Parameter(torch.empty(*lead, outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(*lead, outputs))
        self.stride, self.padding = check_int("stride", stride), (size - 1) // 2
        init_uniform_(self.weight, gain * math.sqrt(3 / (inputs * size * size)), generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight if self.weight.ndim == 4 else self.weight.flatten(0, 1)
        groups = 1 if self.weight.ndim == 4 else len(self.weight)
        return F.conv2d(x, weight, self.bias.flatten(), self.stride, self.padding, groups=groups)

# %% [markdown]
# `fold_runs` moves the runs into the channels, as the grouped convolution needs them.

# %%
#| export networks.convolutional
def fold_runs(x: torch.Tensor, runs: int | None) -> torch.Tensor:
    "`(runs, batch, channels, …)` → `(batch, runs·channels, …)`; unchanged without a run axis."
    check_tensors(x=x)
    if runs is not None and (x.ndim < 3 or len(x) != check_int("runs", runs)):
        raise ValueError(f"x: expected shape ({runs}, batch, channels, ...), got {tuple(x.shape)}")
    return x if runs is None else x.transpose(0, 1).flatten(1, 2)


# %% [markdown]
# `unfold_runs` is the inverse: it brings the run axis back after the convolution.

# %%
#| export networks.convolutional
def unfold_runs(x: torch.Tensor, runs: int | None) -> torch.Tensor:
    "The inverse of `fold_runs`."
    check_tensors(x=x)
    if runs is not None and (x.ndim < 2 or x.shape[1] % check_int("runs", runs)):
        raise ValueError(f"x: expected shape (batch, {runs}·channels, ...), got {tuple(x.shape)}")
    return x if runs is None else x.unflatten(1, (runs, -1)).transpose(0, 1)


# %%
conv = Conv(3, 4, 3, runs=8).double()
images = torch.randn(8, 5, 3, 6, 6, dtype=torch.float64)
together = unfold_runs(conv(fold_runs(images, 8)), 8)
apart = torch.stack([F.conv2d(images[r], conv.weight[r], conv.bias[r], padding=1)
                     for r in range(8)])
assert torch.allclose(together, apart, atol=1e-14)
tuple(together.shape)

# %% [markdown]
# ### Signals that shrink from layer to layer
# This failure looks like mode collapse but has another cause. torch's default initial weights have variance $1/(3n)$ for $n$ inputs,
# and a ReLU halves the power: every layer leaves the signal $\sqrt{1/6}\approx 0.41$ times as large. Six layers later all latents give
# nearly the same picture, and the critic's gradient shrinks in the same way on its way back. He et al. ask for $\operatorname{Var}W = 2/n$, which keeps the power.

# %%
def scale_by_layer(gain: float, layers: int = 6) -> list[float]:
    "Standard deviation of the signal after each of several convolutions."
    g, out = torch.Generator().manual_seed(0), []
    x = torch.randn(32, 32, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(layers):
        layer = Conv(32, 32, 3, generator=g, gain=gain)
        layer.padding = 0  # the border's zeros would add a loss of their own
        x = F.leaky_relu(layer(F.pad(x, (1,) * 4, mode="circular")), .2)
        out.append(x.square().mean().sqrt().item())
    return out

# %%
default, he = scale_by_layer(1 / math.sqrt(3)), scale_by_layer(HE_GAIN)
figure, ax = axes(size=(4.2, 2.4))
ax.semilogy(range(1, 7), default, "x-", c=FAKE, label="default")
ax.semilogy(range(1, 7), he, "o-", c=REAL, label="He et al.")
ax.set(xlabel="convolution", ylabel="scale of the signal (RMS)")
ax.legend()
Picture(figure, f"After six layers the signal is {default[-1]:.3f} with default weights "
                f"and {he[-1]:.2f} with He's")

# %%
assert default[-1] < .02 and .5 < he[-1] < 2
[round(v, 3) for v in (default[-1], he[-1], (1 / 3 * (1 + .2 ** 2) / 2) ** 3)]

# %% [markdown]
# The last number is the theory for the default, $\big(\tfrac13\cdot\tfrac{1+0.2^2}{2}\big)^{6/2}$: the code does what the formula says. Our convolutions start with
# He's weights. The generator doubles a small map until it has the picture's size; the discriminator halves it back. Neither uses
# batch normalisation: if the output for one example depends on the other examples of the batch, the critic has no well-defined gradient at that example (chapter 1.4).
#
# `_ladder` says how often the side of a picture can be halved, which fixes the number of layers.

# %%
#| export networks.convolutional
def _ladder(side: int) -> tuple[int, int]:
    "How often an even side can be halved before it drops below 4, and the side that is left."
    levels = 0
    while side % 2 == 0 and side >= 8:
        side, levels = side // 2, levels + 1
    return levels, side


# %% [markdown]
# Convolutional networks take square images of at least 4 pixels a side. `_image_shape` refuses other shapes.

# %%
#| export networks.convolutional
def _image_shape(name: str, event: Sequence[int]) -> tuple[int, int, int]:
    "An image shape (channels, side, side)."
    shape = event_shape(name, event)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < 4:
        raise ValueError(f"{name}: expected an image shape (channels, side, side) with side ≥ 4, "
                         f"got {shape}")
    return shape

# %% [markdown]
# The generator starts from a map of 4 to 7 pixels a side.

# %%
#| export networks.convolutional
class ConvGenerator(Net):
    "Latents to square images; see `conv_generator`."
    def __init__(self, latent: int, event: Sequence[int], width: int, runs: int | None,
                 generator: Generators, last: Callable | None):
        super().__init__(latent, _image_shape("event", event), runs)
        channels, side, _ = self.outputs
        levels, base = _ladder(side)
        widths = [check_int("width", width) * 2 ** i for i in range(levels, -1, -1)]
        self.start, self.last = (widths[0], base, base), last
        self.first = Linear(math.prod(self.inputs), math.prod(self.start), runs, generator, HE_GAIN)
        self.convs = nn.ModuleList(Conv(a, b, 3, 1, runs, generator)
                                   for a, b in zip(widths, widths[1:]))
        self.final = Conv(widths[-1], channels, 3, 1, runs, generator, 1.0)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.first(self._check(z)).unflatten(-1, self.start)
        x = F.leaky_relu(fold_runs(x, self.runs), .2)
        for conv in self.convs:
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), .2)
        x = unfold_runs(self.final(x), self.runs)
        return x if self.last is None else self.last(x)

# %% [markdown]
# The discriminator halves the picture. Numbers that come beside the picture join before the last layer.

# %%
#| export networks.convolutional
class ConvDiscriminator(Net):
    "Square images, and a vector beside each if asked for, to logits or to a vector."
    def __init__(self, event: Sequence[int], width: int, runs: int | None, generator: Generators,
                 outputs: int | Sequence[int] = (), beside: int = 0):
        super().__init__(_image_shape("event", event), outputs, runs)
        channels, side, _ = self.inputs
        levels, base = _ladder(side)
        widths = [check_int("width", width) * 2 ** i for i in range(levels + 1)]
        self.first = Conv(channels, widths[0], 3, 1, runs, generator)
        self.convs = nn.ModuleList(Conv(a, b, 4, 2, runs, generator)
                                   for a, b in zip(widths, widths[1:]))
        features = widths[-1] * base * base + check_int("beside", beside, 0)
        self.final = Linear(features, math.prod(self.outputs), runs, generator, 1.0)

    def forward(self, x: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        self._check(x)
        x = F.leaky_relu(self.first(fold_runs(x, self.runs)), .2)
        for conv in self.convs:
            x = F.leaky_relu(conv(x), .2)
        x = unfold_runs(x, self.runs).flatten(-3)
        return self._event(self.final(torch.cat([x, *beside], -1) if beside else x))

# %% [markdown]
# Four functions make these two classes. Their arguments are like those of the fully connected functions. `width` is the number of channels at the picture's own
# resolution; it is doubled at each halving.

# %%
#| export networks.convolutional
@checked
def conv_generator(latent: Count,  # length of the latent vector
                   event: Sequence[int],  # (channels, side, side)
                   width: Count = 32,  # channels at the picture's own resolution
                   runs: Count | None = None, generator: Generators = None,
                   last: Callable | None = torch.tanh,  # applied to the output
                   ) -> ConvGenerator:
    "A convolutional generator `(*runs, batch, latent)` → `(*runs, batch, channels, side, side)`."
    return ConvGenerator(latent, event, width, runs, generator, last)

# %% [markdown]
# `conv_discriminator` gives one logit for each picture.

# %%
#| export networks.convolutional
@checked
def conv_discriminator(event: Sequence[int],  # (channels, side, side)
                       width: Count = 32,  # channels at the picture's own resolution
                       runs: Count | None = None, generator: Generators = None,
                       ) -> ConvDiscriminator:
    "A discriminator `(*runs, batch, channels, side, side)` → logits `(*runs, batch)`."
    return ConvDiscriminator(event, width, runs, generator)

# %% [markdown]
# `conv_encoder` gives a code, a vector, for each picture. With `noise` it also takes random numbers, so that one picture can have several codes.

# %%
#| export networks.convolutional
@checked
def conv_encoder(event: Sequence[int],  # (channels, side, side)
                 latent: Count,  # length of a code
                 width: Count = 32,  # channels at the picture's own resolution
                 runs: Count | None = None, generator: Generators = None,
                 noise: Index = 0,  # numbers of noise that E takes beside the picture
                 ) -> ConvDiscriminator:
    "An encoder `(*runs, batch, channels, side, side)` → codes `(*runs, batch, latent)`."
    return ConvDiscriminator(event, width, runs, generator, latent, noise)

# %% [markdown]
# `conv_joint_discriminator` scores a picture together with a latent, for games with an encoder (chapter [2.2](../2_inverse/02_bigan.ipynb)).

# %%
#| export networks.convolutional
@checked
def conv_joint_discriminator(event: Sequence[int],  # (channels, side, side)
                             latent: Count,  # length of z
                             width: Count = 32,  # channels at the picture's own resolution
                             runs: Count | None = None, generator: Generators = None,
                             ) -> ConvDiscriminator:
    "D(x, z): logits `(*runs, batch)` for pairs of pictures and latents `(*runs, batch, latent)`."
    return ConvDiscriminator(event, width, runs, generator, (), latent)

# %%
shapes = {}
for event in ((3, 8, 8), (1, 28, 28), (3, 32, 32)):
    G, D = conv_generator(16, event, width=4, runs=2), conv_discriminator(event, width=4, runs=2)
    image = G(torch.randn(2, 5, 16))
    shapes[event] = tuple(image.shape), tuple(D(image).shape)
shapes

# %% [markdown]
# ## Networks of several inputs
# An encoder may take noise beside the example, and the discriminator of a BiGAN takes pairs $(x, z)$.

# %%
#| export
class JointMLP(nn.Module):
    "A fully connected net of several inputs side by side: an encoder E(x, noise), or D(x, z)."
    def __init__(self, sizes: Sequence[int],  # numbers in each input
                 outputs: int | Sequence[int],  # shape of one output; () for one number
                 width: int = 128, depth: int = 2,
                 runs: int | None = None,  # independent copies along a leading axis
                 generator: Generators = None):
        super().__init__()
        self.net = mlp(sum(check_ints("sizes", sizes)), outputs, width, depth, runs, generator)
        self.lead = self.net.lead

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([part.flatten(self.lead) for part in inputs], -1))

# %% [markdown]
# `joint_discriminator` is the fully connected discriminator of pairs.

# %%
#| export
@checked
def joint_discriminator(event: Sequence[int],  # shape of one x
                        latent: Count,  # length of z
                        width: Count = 128, depth: Index = 2, runs: Count | None = None,
                        generator: Generators = None) -> JointMLP:
    "D(x, z): logits (*runs, batch) for x (*runs, batch, *event) and z (*runs, batch, latent)."
    sizes = [math.prod(check_ints("event", event)), latent]
    return JointMLP(sizes, (), width, depth, runs, generator)

# %%
D = joint_discriminator((3, 8, 8), 2, width=8, runs=2)
tuple(D(torch.zeros(2, 5, 3, 8, 8), torch.zeros(2, 5, 2)).shape)

# %% [markdown]
# ## Your own networks
# A game also takes networks of yours. One plain module is one run; for several runs give the *recipe*, a function without arguments, and `PerRun`
# keeps one copy per run. It loops, so it is slower than stacked weights and works with anything.
#
# A discriminator of yours may give its scores as `(N,)`, `(N, 1)` or `(N, 1, 1, 1)`. They are brought to one shape here, where it is known that they are scores; our own networks do not pass through this.

# %%
#| export
def one_score(answer: torch.Tensor) -> torch.Tensor:
    "The scores `(N,)` that a plain D gives as `(N,)`, `(N, 1)` or `(N, 1, 1, 1)`."
    if not isinstance(answer, torch.Tensor):
        raise TypeError(f"D: expected one score per example, got {type(answer).__name__}"
                        f"{answer_cure(answer)}")
    if not answer.ndim or answer.numel() != len(answer):
        raise ValueError(f"D: expected one score per example, got shape {tuple(answer.shape)}"
                         f"{answer_cure(answer)}")
    return answer.flatten()


# %% [markdown]
# Other answers need a decision of yours. The error names the argument of `as_critic` that makes it.

# %%
#| export
def answer_cure(answer: Any, lead: int = 1) -> str:
    "The end of an error: how `as_critic` gets scores from such an answer; empty if it cannot."
    if isinstance(answer, torch.Tensor):
        patches = answer.ndim > lead + 1 and answer.shape[lead] == 1
        return '; for a map of patches use as_critic(D, patches="mean")' * patches
    parts = getattr(answer, "__dict__", {})
    parts = dict(enumerate(answer)) if isinstance(answer, (tuple, list)) else parts
    parts = answer if isinstance(answer, dict) else parts
    found = ["logits"] * isinstance(getattr(answer, "logits", None), torch.Tensor)
    found += [name for name, value in parts.items() if isinstance(value, torch.Tensor)]
    return f"; use as_critic(D, output={found[0]!r})" if found else ""


# %% [markdown]
# ### Networks that need more than their inputs
# Some networks draw random numbers when they are called: noise in a generator, your own dropout. Others change their form with the step of the training. If they asked torch for numbers, a resumed run would differ from one that never stopped. So a network
# says `takes_moment = True`, and whoever calls it passes a `Moment`: the step, one generator per run, and whether the call belongs to training.

# %%
#| export
@dataclass(frozen=True)
class Moment:
    "When a player is called: at which step, with which random numbers, and whether it trains."
    step: int = 0  # of the run: how many steps were done before
    generator: Generators = None  # one per run, or one for a plain network; None: draw nothing
    training: bool = False  # True in a turn; False for samples and pictures

    def of_run(self, run: int) -> Moment:
        "The same moment for the plain network of one run."
        own = self.generator
        return replace(self, generator=own[run] if isinstance(own, (list, tuple)) else own)


# %% [markdown]
# Two more methods are optional. `shape_reals(x, moment)` changes the real examples of a turn, and `after_step(moment, z)` is called once after each step with fresh latents, to renew what a network keeps in its buffers. `has_hook` asks for a method, or for a mark such as `takes_moment`.

# %%
#| export
def has_hook(net: nn.Module, name: str) -> bool:
    "Whether a network, or the networks that it holds for its runs, has such a method or mark."
    parts = net.members if isinstance(net, PerRun) else [net]
    return any(bool(getattr(part, name, False)) for part in parts)


# %% [markdown]
# `PerRun` holds one plain network per run and applies each one to its own slice of the input.

# %%
#| export
class PerRun(nn.Module):
    "One plain network per run, applied along the run axis."
    lead = 2  # axes before the event: the runs and the batch

    def __init__(self, members: Sequence[nn.Module],
                 scores: bool = False,  # each answers one score per example, in any usual shape
                 labelled: bool = False,  # each takes a label beside its other inputs
                 ):
        super().__init__()
        self.members, self.scores = nn.ModuleList(members), scores
        self.labelled = labelled

    def forward(self, *inputs: torch.Tensor, moment: Moment | None = None) -> torch.Tensor:
        when = [{} if moment is None else {"moment": moment.of_run(r)}
                for r in range(len(self.members))]
        answers = [m(*(x[r] for x in inputs), **when[r]) for r, m in enumerate(self.members)]
        return torch.stack([one_score(a) for a in answers] if self.scores else answers)

# %% [markdown]
# The two optional methods reach each run's network with its own slice, too.

# %%
#| export
@patch
def shape_reals(self: PerRun, x: torch.Tensor, moment: Moment) -> torch.Tensor:
    "Real examples `(runs, n, *event)` as each run's network wants them."
    shaped = [m.shape_reals(x[r], moment.of_run(r)) for r, m in enumerate(self.members)]
    return torch.stack(shaped)

# %% [markdown]
# `after_step` passes the latents of each run on.

# %%
#| export
@patch
def after_step(self: PerRun, moment: Moment, z: torch.Tensor) -> None:
    "Each run's network renews its buffers; `z` `(runs, n, latent)` are fresh latents."
    for r, m in enumerate(self.members):
        m.after_step(moment.of_run(r), z[r])

# %%
class Noisy(nn.Linear):
    "A layer whose output is disturbed."
    takes_moment = True

    def forward(self, x, moment=Moment()):
        return super().forward(x) + randn(len(x), 2, generator=moment.generator)

# %%
streams = [torch.Generator().manual_seed(r) for r in range(3)]
noisy = PerRun([Noisy(2, 2) for _ in range(3)])
assert has_hook(noisy, "takes_moment") and not has_hook(noisy, "after_step")
answer = noisy(torch.zeros(3, 4, 2), moment=Moment(generator=streams))
alone = noisy.members[2](torch.zeros(4, 2), Moment(generator=torch.Generator().manual_seed(2)))
assert torch.equal(answer[2], alone)


# %% [markdown]
# A conditional network takes a label beside its other inputs: G(z, y) and D(x, y). `with_labels` says so, and chapter [1.2](../1_game/02_training.ipynb) trains such a pair.

# %%
#| export
class WithLabels:
    "A network, or a function that makes one, that takes a label as its last input."
    def __init__(self, network: nn.Module | Callable[[], nn.Module]):
        self.network = network

    def __call__(self, *inputs: torch.Tensor) -> nn.Module:
        if inputs:
            raise TypeError("D: with_labels is for the G and the D of a game; in a loss or a "
                            "penalty write as_critic(D, y)")
        return self.network if isinstance(self.network, nn.Module) else self.network()


# %% [markdown]
# The function to call:

# %%
#| export
@checked
def with_labels(network: Annotated[Callable, Function()],  # a network, or what makes one
                ) -> WithLabels:  # for the G or the D of a game
    """A conditional player: in a run it gets the labels of the real batch as its last input.

    `Run(Minimax(G=with_labels(MyG), D=with_labels(MyD)), modes)` calls `G(z, y)` and `D(x, y)`,
    each with the same labels y, int64 `(batch,)`: the modes of the real examples in that turn.
    A `ValueError` where a game's losses cannot give the player labels (`Game.conditional`).
    """
    return WithLabels(network)

# %% [markdown]
# `per_run` makes it from what the user gives: a function that makes a network, or one network for one run. One network for several runs is refused, because the runs would share their weights.

# %%
#| export
def per_run(name: str,  # the player's name, for errors
            given: nn.Module | Callable[[], nn.Module],  # a network, or a function that makes one
            runs: int,  # how many runs; a network is one run
            generator: Sequence[torch.Generator],  # one per run; seeds what the function draws
            scores: bool = False,  # whether it answers one score per example, such as (N, 1)
            ) -> PerRun:
    "A user's own network with a run axis; `ValueError` if one network should serve several runs."
    _check_generators(generator, check_int("runs", runs))
    labelled = isinstance(given, WithLabels)
    given = given.network if labelled else given
    if not isinstance(given, nn.Module):
        return PerRun(_make_members(name, given, generator), scores, labelled)
    if runs != 1:
        raise ValueError(f"{name}: one network cannot be {runs} independent runs; pass a function "
                         f"that makes one, for instance lambda: {type(given).__name__}(…), "
                         "or ask for runs=1")
    return PerRun([given], scores, labelled)

# %% [markdown]
# Each run needs a generator of its own for its initial weights, so the list must have one for each run.

# %%
#| export
def _check_generators(generators: Sequence[torch.Generator], runs: int) -> None:
    "Refuse what is no list of one generator per run."
    if not isinstance(generators, (list, tuple)) or len(generators) != runs \
            or not all(isinstance(g, torch.Generator) for g in generators):
        raise TypeError(f"generator: expected a list of {runs!r} torch.Generators, "
                        f"got {generators!r:.60}")

# %% [markdown]
# The function is called once per run, under a seed of that run. The global random state of your program does not change.

# %%
#| export
def _make_members(name: str, make: Callable[[], nn.Module],
                  generator: Sequence[torch.Generator]) -> list[nn.Module]:
    "One network per generator, each made with torch's global seed drawn from its generator."
    if not callable(make):
        raise TypeError(f"{name}: expected a network or a function that makes one, "
                        f"got {type(make).__name__}")
    members = []
    for g in generator:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2 ** 31, (), generator=g)))
            members.append(make())
    if not all(isinstance(m, nn.Module) for m in members):
        raise TypeError(f"{name}: the function returned {type(members[0]).__name__}, "
                        "expected a torch.nn.Module")
    if len(set(members)) < len(members):
        raise ValueError(f"{name}: the function returned one network for several runs; "
                         "it should make a new one at each call")
    return members

# %% [markdown]
# A *player* is a network that takes part in a game, such as G or D. `make_player` returns the user's own network if there is one, else the default of the game.

# %%
#| export
def make_player(name: str,  # for errors
                given: nn.Module | Callable[[], nn.Module] | None,  # the user's own, or None
                default: Callable[[], nn.Module],  # makes the default with its run axis
                runs: int, generator: Sequence[torch.Generator],
                scores: bool | None = None,  # whether it answers scores; None: if it is called D
                ) -> nn.Module:
    "A game's player: the user's own network if there is one, else the default."
    if given is None:
        return default()
    return per_run(name, given, runs, generator, name == "D" if scores is None else scores)


# %%
seeds = [torch.Generator().manual_seed(r) for r in range(3)]
mine = per_run("G", lambda: nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(),
                                          nn.Linear(16, 2)), 3, seeds)
[tuple(mine(torch.randn(3, 10, 2)).shape), error_message(per_run, "G", nn.Linear(2, 2), 3, seeds)]

# %% [markdown]
# ### Discriminators as other people write them
# A PatchGAN answers a map of scores. Other networks answer a tuple, or an object with `.logits`. A conditional D takes labels. `as_critic` brings all of them to one score per example. What it returns works wherever this course
# takes a critic: in losses, in penalties, and, without labels, as D of a game. A D with labels plays in a game by `with_labels(D)`.

# %%
#| export networks.adapters
class CriticAdapter(nn.Module):
    "A discriminator that answers one score per example; see `as_critic`."
    def __init__(self, D: Callable, beside: tuple[torch.Tensor, ...], patches: str,
                 output: int | str | None, coupled: bool):
        super().__init__()
        self.module, self.beside, self.patches = D, beside, patches
        self.output, self.coupled = output, coupled
        said = getattr(D, "lead", 1)
        self.lead = said if isinstance(said, int) else 1

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        check_tensors(x=inputs[0])
        lead = tuple(inputs[0].shape[:self.lead])
        for y in self.beside:
            if tuple(y.shape[:self.lead]) != lead:
                raise ValueError(f"y: expected one label per example, shape {(*lead, '…')}, "
                                 f"got {tuple(y.shape)}")
        scores = pick_output(self.module(*inputs, *self.beside), self.output)
        return average_patches(scores, lead, self.patches == "mean")


# %% [markdown]
# `pick_output` takes the scores out of a tuple, a list, a dict or an object. Nothing is guessed: without `output` only a tensor is accepted.

# %%
#| export networks.adapters
def pick_output(answer: Any, output: int | str | None) -> torch.Tensor:
    "The scores in what a network answers; `TypeError` or `ValueError` if they are not there."
    if output is not None:
        if isinstance(answer, torch.Tensor):
            raise ValueError(f"output: D answers a tensor, so leave out output={output!r}")
        try:
            named = isinstance(output, str) and not isinstance(answer, dict)
            if named and hasattr(answer, output):
                answer = getattr(answer, output)
            else:
                answer = answer[output]
        except (LookupError, TypeError):
            raise ValueError(f"output: {output!r} is not in the answer of D, "
                             f"a {type(answer).__name__}") from None
    if not isinstance(answer, torch.Tensor):
        raise TypeError(f"D: expected scores in a tensor, got {type(answer).__name__}"
                        f"{answer_cure(answer)}")
    return answer

# %% [markdown]
# `average_patches` removes axes of length one. A map of patches, `(N, 1, h, w)`, is averaged only if the caller said so. Scores of several classes or channels are refused.

# %%
#| export networks.adapters
def average_patches(scores: torch.Tensor, lead: tuple[int, ...], mean: bool) -> torch.Tensor:
    "Scores of the shape `lead`, one per example; a map of them is averaged, or refused."
    shape = tuple(scores.shape)
    if shape[:len(lead)] == lead and set(shape[len(lead):]) <= {1}:
        return scores.reshape(lead)
    cure = answer_cure(scores, len(lead)) if shape[:len(lead)] == lead else ""
    if not cure or not mean:
        raise ValueError(f"D: expected one score per example, shape {lead}, got {shape}{cure}")
    return scores.flatten(len(lead)).mean(-1)

# %% [markdown]
# `as_critic` is the function to call. Call it again for each batch if the labels change.

# %%
#| export networks.adapters
@checked
def as_critic(D: Annotated[Callable, Function()],  # any discriminator, of x or of several inputs
              y: torch.Tensor | tuple[torch.Tensor, ...] | None = None,  # given to D after x
              *, patches: Literal["refuse", "mean"] = "refuse",  # what to do with a map of scores
              output: int | str | None = None,  # where scores are: 0, "logits"; None: a tensor
              coupled: bool = False,  # examples may depend on each other, as in StyleGAN
              ) -> CriticAdapter:
    """A discriminator as a critic: one score per example, `(N,)`, for losses, penalties and games.

    `y` are labels, one for each example: `gradient_penalty(as_critic(D, y), x, fake)` pairs them
    with the rows of the batch. With `coupled` penalties accept batch norm and minibatch deviation,
    and take the gradient of the sum of all scores.

    >>> D = torch.nn.Conv2d(3, 1, 4)  # a map of 5 × 5 patches
    >>> as_critic(D, patches="mean")(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2])
    """
    beside = y if isinstance(y, tuple) else () if y is None else (y,)
    for part in beside:
        if not isinstance(part, torch.Tensor) or not part.ndim:
            raise TypeError("y: expected a tensor with one label per example, "
                            f"got {type(part).__name__}")
    if isinstance(output, bool) or not isinstance(output, (int, str, type(None))):
        raise TypeError(f"output: expected a number, a name or None, got {output!r:.60}")
    return CriticAdapter(D, beside, patches, output, coupled)

# %% [markdown]
# **Check.** The mean over patches, the first of a tuple, and labels:

# %%
from modelab.networks.adapters import as_critic

patch_D, x = nn.Conv2d(1, 1, 5), torch.randn(6, 1, 8, 8)
assert torch.equal(as_critic(patch_D, patches="mean")(x), patch_D(x).flatten(1).mean(1))
two_heads = lambda x: (x.flatten(1).sum(1, keepdim=True), x)
assert torch.equal(as_critic(two_heads, output=0)(x), x.flatten(1).sum(1))
labels, by_label = torch.arange(6), lambda x, y: x.flatten(1).sum(1) * y
assert torch.equal(as_critic(by_label, labels)(x), x.flatten(1).sum(1) * labels)
[error_message(as_critic(patch_D), x), error_message(as_critic(two_heads), x)]

# %% [markdown]
# ## Sampling leaves training as it was
# Dropout and batch normalisation answer otherwise in training. Samples are drawn in evaluation mode. After that each part of a network returns to the mode it had: a part that you froze stays frozen. A plain function has no mode.

# %%
#| export
@contextmanager
def evaluation_mode(*networks: Callable) -> Iterator[None]:
    "Inside, networks are in evaluation mode; after it each part is in the mode it had."
    nets = [net for net in networks if isinstance(net, nn.Module)]
    modes = {part: part.training for net in nets for part in net.modules()}
    for net in nets:
        net.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training

# %%
partly = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
with evaluation_mode(partly):
    assert not any(part.training for part in partly.modules())
assert [part.training for part in partly] == [True, False]

# %% [markdown]
# ## One pass for two batches
# A discriminator reads real and generated examples in every turn. In our networks the examples of a batch do not depend on each other, so a single network may read both batches in one pass: half the calls, the same scores.
# Eight stacked networks use the cores fully as they are and gain nothing. In a network of *yours* the examples of a batch may depend on each other (they do under batch normalisation), so it gets the batches one after the other. So does a network of ours that says `coupled = True`.

# %%
#| export
def score_batches(critic: nn.Module,
                  *batches: torch.Tensor | tuple[torch.Tensor, ...],
                  ) -> Sequence[torch.Tensor]:  # for each batch (*runs, batch)
    """Scores of several batches, as if each came alone; in one pass where that is quicker.

    A batch is `(*runs, batch, *event)`, or a tuple of a critic's inputs.
    """
    batches = [b if isinstance(b, tuple) else (b,) for b in batches]
    if not isinstance(critic, Net) or critic.coupled or (critic.runs or 1) > 1:
        return [critic(*b) for b in batches]
    axis = 0 if critic.runs is None else 1
    sizes = [b[0].shape[axis] for b in batches]
    return critic(*(torch.cat(part, axis) for part in zip(*batches))).split(sizes, axis)

# %%
critic, seen = mlp(2, ()), []
critic.register_forward_hook(lambda net, inputs, output: seen.append(tuple(output.shape)))
x, y = torch.randn(5, 2), torch.randn(3, 2)
together = score_batches(critic, x, y)
for scores, batch in zip(together, (x, y)):
    assert torch.allclose(scores, critic(batch), atol=1e-6)
assert seen == [(8,), (5,), (3,)]  # one pass for both, then one each to compare
seen

# %% [markdown]
# ## The networks of a game
# Every game has a field `networks`. It sets the kind and the width of the networks that the game makes where you give none.

# %%
#| export networks.players
"The networks of a game: their kind, their width, and the latent."
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from modelab.core.registry import SettingGroup
from modelab.core.signatures import Count, Share, check_fields
from modelab.networks.convolutional import (conv_discriminator, conv_encoder, conv_generator,
                                            conv_joint_discriminator)
from modelab.networks.growing import (as_growth, grown_discriminator, grown_encoder,
                                      grown_generator, grown_joint_discriminator, Growth)
from modelab.networks.layers import JointMLP, joint_discriminator, mlp, mlp_generator
from modelab.networks.style import (style_discriminator, style_encoder, style_generator,
                                    style_joint_discriminator)

# %% [markdown]
# A player is given as a network, as a function that makes one, or not at all. This type says so in signatures.

# %%
#| export networks.players
Player = nn.Module | Callable[[], nn.Module] | None  # a network, a function that makes one, or None

# %% [markdown]
# `Networks` holds these settings. A setting that is `None` is left to the default of the game. `"grown"` are convolutional networks that begin with small pictures; chapter [3.4](../3_inclusion/04_growing.ipynb) builds them. `"style"` are those of StyleGAN2, of chapter [3.3](../3_inclusion/03_style.ipynb); `depth` counts the layers of its mapping network, and a picture has one style unless `mixing` says otherwise, since encoders and IMLE need one latent per picture.

# %%
#| export networks.players
@dataclass(frozen=True)
class Networks(SettingGroup):
    "The networks that a game makes where you give none; None: the game's own default."
    kind: Literal["mlp", "conv", "grown", "style"] | None = None  # all but "mlp": square pictures
    width: Count | None = None  # hidden units; for pictures: channels at the picture's own size
    depth: Count | None = None  # hidden layers of "mlp"; of "style": those from z to w
    d_width: Count | None = None  # width of the discriminator; None: as `width`
    g_width: Count | None = None  # width of the generator; None: as `width`
    g_depth: Count | None = None  # depth of the generator; None: as `depth`
    latent: Count | None = None  # length of z; None: fits the set
    grow: Growth | None = None  # of "grown": when the networks grow; None: Growth()
    mixing: Share | None = None  # of "style": share of pictures with two styles; None: 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "grow", as_growth("grow", self.grow))
        check_fields(self)

# %% [markdown]
# Networks that grow take their schedule beside what the others take:

# %%
#| export networks.players
@patch
def _growing(self: Networks, kw: dict[str, Any]) -> dict[str, Any]:
    "The keywords of a network that grows."
    return {**kw, "growth": self.grow or Growth()}

# %% [markdown]
# Each of the following methods makes one kind of player. `generator` makes G.

# %%
#| export networks.players
@patch
def generator(self: Networks, latent: int, event: tuple[int, ...], **kw: Any) -> nn.Module:
    "G, `(*runs, batch, latent)` to `(*runs, batch, *event)`; `runs`, `generator` as for `mlp`."
    width = self.g_width or self.width
    if self.kind == "conv":
        return conv_generator(latent, event, width, **kw)
    if self.kind == "grown":
        return grown_generator(latent, event, width, **self._growing(kw))
    depth = self.g_depth or self.depth
    if self.kind == "style":
        return style_generator(latent, event, width, depth, mixing=self.mixing or 0., **kw)
    return mlp_generator(latent, event, width, depth, **kw)

# %% [markdown]
# `discriminator` makes D, with one logit per example.

# %%
#| export networks.players
@patch
def discriminator(self: Networks, event: tuple[int, ...], **kw: Any) -> nn.Module:
    "D, `(*runs, batch, *event)` to `(*runs, batch)`."
    width = self.d_width or self.width
    if self.kind == "conv":
        return conv_discriminator(event, width, **kw)
    if self.kind == "grown":
        return grown_discriminator(event, width, **self._growing(kw))
    if self.kind == "style":
        return style_discriminator(event, width, **kw)
    return mlp(event, (), width, self.depth, **kw)

# %% [markdown]
# `encoder` makes E, which maps an example to a code. With `noise`, E also takes random numbers (a *stochastic* encoder).

# %%
#| export networks.players
@patch
def encoder(self: Networks, event: tuple[int, ...], latent: int,
            noise: int = 0,  # numbers of noise that E takes beside x
            **kw: Any) -> nn.Module:
    "E, `(*runs, batch, *event)`, and noise if any, to `(*runs, batch, latent)`."
    if self.kind == "conv":
        return conv_encoder(event, latent, self.width, noise=noise, **kw)
    if self.kind == "grown":
        return grown_encoder(event, latent, self.width, noise=noise, **self._growing(kw))
    if self.kind == "style":
        return style_encoder(event, latent, self.width, noise=noise, **kw)
    sizes = [math.prod(event)] + [noise] * (noise > 0)
    return JointMLP(sizes, latent, self.width, self.depth, **kw)

# %% [markdown]
# `joint_discriminator` makes the D of pairs $(x,z)$ for games with an encoder.

# %%
#| export networks.players
@patch
def joint_discriminator(self: Networks, event: tuple[int, ...], latent: int,
                        **kw: Any) -> nn.Module:
    "D of pairs, `(*runs, batch, *event)` and `(*runs, batch, latent)` to `(*runs, batch)`."
    width = self.d_width or self.width
    if self.kind == "conv":
        return conv_joint_discriminator(event, latent, width, **kw)
    if self.kind == "grown":
        return grown_joint_discriminator(event, latent, width, **self._growing(kw))
    if self.kind == "style":
        return style_joint_discriminator(event, latent, width, **kw)
    return joint_discriminator(event, latent, width, self.depth, **kw)

# %%
for kind, width in (("mlp", 16), ("conv", 4), ("grown", 4), ("style", 4)):
    networks = Networks(kind, width, depth=2)
    G, D = networks.generator(2, (1, 8, 8)), networks.discriminator((1, 8, 8))
    assert D(G(torch.randn(8, 2))).shape == (8,)

# %% [markdown]
# ## Exercises
# **1.** A stacked linear layer for 8 runs has 2 inputs and 128 outputs. How many numbers does it learn?

# %%
@exercise(accepts=[sum(p.numel() for p in Linear(2, 128, runs=8).parameters())],
          rejects=[384, 2048, 3456])
def grade_parameters(answer):
    assert answer == 8 * (2 * 128 + 128), "weights and biases, for each run"

# %%
answer = ...
grade_parameters(answer)

# %% [markdown]
# **2.** A colleague writes the loss as `loss.mean()` over runs and batch instead of summing over runs. Write a function of the number of runs $R$ that
# returns by what factor each run's gradient changes. With plain SGD, what would that do to the learning rate? And with Adam?

# %%
@exercise(accepts=[lambda R: 1 / R], rejects=[lambda R: 1, lambda R: R, lambda R: 1 / R ** .5])
def grade_factor(answer):
    for R in (2, 8):
        net = mlp(2, (), width=8, runs=R, generator=torch.Generator().manual_seed(0)).double()
        x = torch.ones(R, 4, 2, dtype=torch.float64)
        total, = torch.autograd.grad(net(x).square().mean(-1).sum(), net.hidden[0].bias)
        mean, = torch.autograd.grad(net(x).square().mean(), net.hidden[0].bias)
        factor = (mean.norm() / total.norm()).item()
        assert abs(answer(R) - factor) < 1e-9, "compare the two losses for R = 2"

# %%
answer = ...
grade_factor(answer)


# %% [markdown]
# ## Recap
# - A run axis is one more axis in the weights. Without it, one network serves all runs, without a warning.
# - Sum the losses over runs; then gradients and Adam are independent, as the run with NaN targets showed.
# - Each run draws from its own generator, so run 3 of eight is seed 3.
# - A signal that shrinks from layer to layer looks like mode collapse. Check its scale at the start of the training before you look for a fault in the game.
#
# **For later.** Why may a critic not use batch normalisation? What shape does a critic return for `(8, 256, 3, 28, 28)`? Why is a sum over runs right and a mean wrong?
#
# **References.** K. He, X. Zhang, S. Ren, J. Sun, *Delving deep into rectifiers*, ICCV 2015.
