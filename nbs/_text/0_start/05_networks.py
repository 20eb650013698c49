# %% [markdown]
# # Networks with a run axis: train several seeds at once
# > How can I train eight networks with eight seeds at once, so that no run influences another?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can I train eight networks with eight seeds at once, so that no run influences another? |
# | **You will be able to** | give networks an axis of runs, prove that the runs are independent, and choose initial weights for a deep network |
# | **Paper** | none; initialisation after He et al. 2015 |
# | **Needs** | [0.2](02_evidence.ipynb) |
# | **Time** | a few seconds of computing |
#
# **What to read.** The course needs the first five sections, from "Eight batches, one network" to "Why eight seeds?", and "Signals that shrink from layer to layer". The other sections hold the code of the library's networks. You can skip them at first reading, and come back when you want to use networks of your own.

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
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from modelab.core.checks import check_int, check_ints, check_number
from modelab.core.seeding import Generators, rand
from modelab.core.signatures import Count, Function, Index, checked
from modelab.networks.adapters import (check_generators, make_members, one_score, refuse_inputs,
                                       warn_of_sigmoid, WithLabels)

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
from modelab.core.checks import error_message
from modelab.core.plotting import FAKE, REAL, Picture, axes
from modelab.core.statistics import interval
from modelab.course.notebooks import patch

# %% [markdown]
# ## Eight batches, one network
# Claims about training are made over at least eight seeds. The obvious way to train eight networks at once is to give the
# data one more axis. So stack eight batches and apply a layer:

# %%
layer = nn.Linear(2, 3)
x = torch.randn(8, 256, 2, generator=torch.Generator().manual_seed(0))
layer(x).shape

# %% [markdown]
# Eight batches of 256 points give eight batches of outputs. There was no error.
#
# **Predict:** how many networks were applied?

# %%
one_by_one = torch.stack([layer(batch) for batch in x])
networks = 1 if torch.equal(layer(x), one_by_one) or torch.allclose(layer(x), one_by_one) else 8
networks

# %%
assert networks == 1

# %% [markdown]
# Only one: all eight batches used the same weights, and their gradient would be the sum over eight batches. There is no warning. We
# need one weight *per run*. A *run* is one training with one seed.

# %% [markdown]
# ## A layer per run
# Let the weight have a leading axis of runs, $W\in\mathbb R^{R\times n\times m}$, and let run $r$ use only its own slice:
#
# $$y_{rbj} = \sum_i x_{rbi}\,W_{rij} + c_{rj}.$$
#
# Here $b$ is the example in the batch, $i$ the input, $j$ the output and $c$ the bias. One batched matrix product (`baddbmm`) computes all eight. Without a
# run axis it is the plain layer.
#
# Random numbers need the same care. Each run draws from its own `torch.Generator`. So the run with seed 3 is the same
# alone and among eight.

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
# `randint` multiplies a uniform number by `n` and rounds down. The product of a number just below one may round up to `n`, so it is clamped.

# %%
#| export core.seeding
def randint(n: int, *shape: int, generator: Generators = None, device=None) -> torch.Tensor:
    "Whole numbers from 0 to `n - 1`, equally likely; `generator` as for `rand`."
    return (rand(*shape, generator=generator, device=device) * n).long().clamp_max(n - 1)


# %%
draws = randint(3, 8, 1000, generator=[torch.Generator().manual_seed(r) for r in range(8)])
assert draws.unique().tolist() == [0, 1, 2]


# %% [markdown]
# One seed of a run serves several purposes: the weights, the data, the noise of each step. `derive_seed` makes a seed for each purpose
# from its name. So the other purposes do not change if one needs more random numbers.

# %%
#| export core.seeding
def derive_seed(*words: object) -> int:
    "A 63-bit seed for a purpose, such as (7, 'data', step): equal words give equal seeds."
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

# %%
assert derive_seed(7, "data", 0) == derive_seed(7, "data", 0) != derive_seed(7, "noise", 0)

# %% [markdown]
# A function with an optional generator calls `generator_or_default`. Without a generator it uses the same seed at each call, so its results do not depend on torch's global random state.

# %%
#| export core.seeding
def generator_or_default(generator: torch.Generator | None) -> torch.Generator:
    "The generator, or a fixed one for None."
    if not isinstance(generator, (torch.Generator, type(None))):
        raise TypeError(f"generator: expected a torch.Generator or None, got {generator!r:.60}")
    return generator or torch.Generator().manual_seed(0)

# %% [markdown]
# Now the layer. Its initial weights are uniform within a bound that `gain` scales. He et al.'s gain for leaky ReLUs of slope 0.2 is explained under "Signals that shrink from layer to layer".

# %%
#| export
HE_GAIN = math.sqrt(2 / (1 + .2 ** 2))


# %% [markdown]
# `init_uniform_` fills a parameter, each run from its own generator.

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
# A generator maps a latent vector to an example. A discriminator maps an example to one number. (The code often says *critic*: any network
# that gives one number per example. Chapter [1.4](../1_game/04_wasserstein.ipynb) has critics that are not discriminators.) So `mlp`
# takes two shapes. `mlp(2, (3, 8, 8))` maps 2-D latents to pictures, and `mlp((3, 8, 8), ())` maps pictures to logits. The empty
# shape means one number per example. Such a network returns `(*runs, batch)`, without an axis of length one at the end.

# %% [markdown]
# Stacked networks make large temporary tensors at each step. On Linux the system's allocator may return that memory after each step and request it again,
# which takes time. So `_keep_memory` sets the allocator once to keep the memory.

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
    "Base class of our networks: an input shape, an output shape, and an optional run axis."
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
# Equal outputs are not enough: gradients and Adam must be independent, too. The losses of the runs are *summed*. The weights
# $\theta_r$ of run $r$ appear in no other run's loss, so $\partial(\sum_s L_s)/\partial\theta_r = \partial L_r/\partial\theta_r$. Train the
# same networks twice, stacked and one by one, and compare the weights.

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
# After 25 steps the stacked weights equal the separate ones up to rounding. A second test: give one run NaN as its targets. The weights
# of the other seven do not change in any bit.

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
# Each run also has the initial weights that it would have alone, because it draws them from its own generator:

# %%
def seeded(seeds):
    return mlp(2, 2, runs=len(seeds), generator=[torch.Generator().manual_seed(s) for s in seeds])

of_eight, single = seeded(range(8)), seeded([3])
assert all(torch.equal(a[3], b[0]) for a, b in zip(of_eight.parameters(), single.parameters()))

# %% [markdown]
# ## Why eight seeds?
# In the figure below the score of a seed is a normal random number with the mean 0.6 and the standard deviation 0.2. (Such a score has no limits, so no interval is cut; chapter [0.2](02_evidence.ipynb) cuts those of shares.) A hundred people each train $n$ seeds and
# report a 95 % interval. An interval that misses the true mean is drawn in orange (about five of a hundred are expected to). Move the slider: the intervals shrink about like $1/\sqrt n$. From two seeds to eight they shrink faster,
# because the factor of Student's $t$ is 12.7 for two values and 2.4 for eight. (With two seeds some intervals are longer than the frame.)

# %%
def seeds_picture(n: int):
    "Intervals of a hundred people with n seeds each; the true mean is 0.6."
    draws = .6 + .2 * torch.randn(100, n, generator=torch.Generator().manual_seed(7))
    rows = [interval(d.tolist()) for d in draws]
    missed = [not row.low <= .6 <= row.high for row in rows]
    figure, ax = axes(size=(6, 2.4))
    for i, row in enumerate(rows):
        ax.plot([i, i], [row.low, row.high], c=FAKE if missed[i] else REAL)
    ax.axhline(.6, c="k", lw=.8, ls=":")
    ax.set(ylim=(-.8, 2), xlabel="person", ylabel="95 % interval of the score",
           title=f"{n} seeds each; dotted: the true mean; orange: {sum(missed)} miss it")
    return Picture(figure, f"A hundred 95 % intervals from {n} seeds each; {sum(missed)} miss the "
                   f"true mean; median width {sorted(r.high - r.low for r in rows)[50]:.2f}")

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
# ## Convolutions with a run axis
# Networks for pictures use convolutions. The run axis becomes the *groups* of a convolution: fold runs into
# channels, $(R,B,C,H,W)\to(B,RC,H,W)$. Group $r$ sees only the channels of run $r$.

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
# A generator whose signals shrink from layer to layer gives nearly the same output for all latents. This looks like mode collapse but has another cause. torch's default initial weights have variance $1/(3n)$ for $n$ inputs,
# and a ReLU halves the mean square. So each layer multiplies the signal by $\sqrt{1/6}\approx 0.41$. He et al. take $\operatorname{Var}W = 2/n$,
# which keeps the mean square. (For a leaky ReLU of slope 0.2 the half becomes $\frac{1+0.2^2}2$.)

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
theory = (1 / 3 * (1 + .2 ** 2) / 2) ** 3
assert .5 < default[-1] / theory < 1.5 and .5 < he[-1] < 2
[round(v, 3) for v in (default[-1], he[-1], theory)]

# %% [markdown]
# **Fidelity.** The last number is the theory for the default, $\big(\tfrac13\cdot\tfrac{1+0.2^2}{2}\big)^{6/2}$. The
# measured 0.004 is near it.
#
# Why does this look like mode collapse? In plain torch layers the biases do not shrink. After some layers they are larger than the
# signal, and all latents give nearly the same output:

# %%
torch.manual_seed(0)
plain = nn.Sequential(*(part for _ in range(6) for part in (nn.Conv2d(32, 32, 3, padding=1),
                                                            nn.LeakyReLU(.2))))
pictures = plain(torch.randn(64, 32, 8, 8)).detach()
same = pictures.std(0).square().mean().sqrt() / pictures.square().mean().sqrt()
assert same < .2
f"the outputs differ by {same:.1%} of their size"

# %% [markdown]
# Our convolutions start with He's weights. The generator doubles a small map until it has the size of the picture. The discriminator
# halves the picture. Neither uses batch normalisation. With it, the output for one example depends on the other examples
# of the batch. Then the gradient of D at one example is not well defined (chapter [1.4](../1_game/04_wasserstein.ipynb)).
#
# `_ladder` says how often the side of a picture can be halved. This fixes the number of layers.

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
# The discriminator halves the picture. A vector that is given beside the picture is added before the last layer.

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
# `conv_joint_discriminator` gives a logit for a picture together with a latent, as BiGAN needs it (chapter [2.2](../2_inverse/02_bigan.ipynb)).

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
# An *encoder* E maps an example to a latent. It may take noise beside the example. The discriminator of BiGAN takes pairs $(x, z)$.

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
# A *game* is a training method with its networks, such as the GAN of chapter [1.1](../1_game/01_minimax.ipynb). A game also accepts your own networks. One plain module is one run. For several runs give a function without arguments that makes a network:
#
#     Minimax(G=lambda: MyG(), D=lambda: MyD())
#
# `PerRun` then keeps one network per run. It loops over them, so it is slower than stacked weights, but it works with any module. Your discriminator may return its scores as `(N,)`, `(N, 1)` or `(N, 1, 1, 1)`. Chapter [6.18](../6_workshop/18_own_networks.ipynb) has the code that checks scores and writes the errors.

# %%
#| export
class PerRun(nn.Module):
    "One plain network per run, applied along the run axis."
    lead = 2  # axes before the event: the runs and the batch

    def __init__(self, members: Sequence[nn.Module],
                 scores: bool = False,  # each answers one score per example, in any usual shape
                 labelled: bool = False,  # each takes a label beside its other inputs
                 name: str = "network",  # for errors
                 ):
        super().__init__()
        self.members, self.scores = nn.ModuleList(members), scores
        self.labelled, self.name = labelled, name
        if scores:
            warn_of_sigmoid(name, self.members[0])

    def forward(self, *inputs: torch.Tensor, moment: Moment | None = None) -> torch.Tensor:
        answers = []
        for r, member in enumerate(self.members):
            own, when = [x[r] for x in inputs], {}
            if moment is not None:
                when["moment"] = moment.of_run(r)
            with refuse_inputs(self.name, *own):
                answers.append(member(*own, **when))
        return torch.stack([one_score(a) for a in answers] if self.scores else answers)

# %% [markdown]
# `per_run` makes a `PerRun` from the user's argument: a function that makes a network, or one network for one run. One network for several runs is refused, because the runs would share its weights.

# %%
#| export
def per_run(name: str,  # the player's name, for errors
            given: nn.Module | Callable[[], nn.Module],  # a network, or a function that makes one
            runs: int,  # how many runs; a network is one run
            generator: Sequence[torch.Generator],  # one per run; seeds what the function draws
            scores: bool = False,  # whether it answers one score per example, such as (N, 1)
            ) -> PerRun:
    "A user's own network with a run axis; `ValueError` if one network should serve several runs."
    check_generators(generator, check_int("runs", runs))
    labelled = isinstance(given, WithLabels)
    given = given.network if labelled else given
    if not isinstance(given, nn.Module):
        return PerRun(make_members(name, given, generator), scores, labelled, name)
    if runs != 1:
        raise ValueError(f"{name}: one network cannot be {runs} independent runs; pass a function "
                         f"that makes one, for instance lambda: {type(given).__name__}(…), "
                         "or ask for runs=1")
    return PerRun([given], scores, labelled, name)

# %%
seeds = [torch.Generator().manual_seed(r) for r in range(3)]
mine = per_run("G", lambda: nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(),
                                          nn.Linear(16, 2)), 3, seeds)
[tuple(mine(torch.randn(3, 10, 2)).shape), error_message(per_run, "G", nn.Linear(2, 2), 3, seeds)]

# %% [markdown]
# A *player* is a network of a game, such as G or D. `make_player` returns the user's own network if there is one, else the default of the game.

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


# %% [markdown]
# A *conditional* network takes a label y beside its other inputs: G(z, y) and D(x, y). `with_labels` marks such a network. Chapter [1.2](../1_game/02_training.ipynb) trains such a pair.

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
# ### Networks that need more than their inputs
# You can skip the code down to the next heading at first reading. Some networks draw random numbers when they are called, for instance noise. Others change with the step of the training. Such a network sets `takes_moment = True`. Its caller passes a `Moment`: the step, one `torch.Generator` per run, and whether the call belongs to training. So a resumed run gets the same random numbers as an uninterrupted one.

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
# Two more methods of a network are optional. `shape_reals(x, moment)` changes the real examples before the discriminator gets them. `PerRun` passes the call on to the network of each run, with its slice of `x`.

# %%
#| export
@patch
def shape_reals(self: PerRun, x: torch.Tensor, moment: Moment) -> torch.Tensor:
    "Real examples `(runs, n, *event)` as each run's network wants them."
    shaped = [m.shape_reals(x[r], moment.of_run(r)) for r, m in enumerate(self.members)]
    return torch.stack(shaped)

# %% [markdown]
# `after_step(moment, z)` is called once after each step with new latents, to update the buffers of a network.

# %%
#| export
@patch
def after_step(self: PerRun, moment: Moment, z: torch.Tensor) -> None:
    "Each run's network renews its buffers; `z` `(runs, n, latent)` are fresh latents."
    for r, m in enumerate(self.members):
        m.after_step(moment.of_run(r), z[r])

# %% [markdown]
# `has_hook` tells whether a network has such a method, or an attribute such as `takes_moment`.

# %%
#| export
def has_hook(net: nn.Module, name: str) -> bool:
    "Whether a network, or the networks that it holds for its runs, has such a method or mark."
    parts = net.members if isinstance(net, PerRun) else [net]
    return any(bool(getattr(part, name, False)) for part in parts)


# %% [markdown]
# **Fidelity.** Three noisy layers, one per run. The third one gives the same numbers alone:

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
# ### Discriminators with other outputs
# A PatchGAN discriminator returns a map with one score for each patch of the picture. Other networks return a tuple, or an object with `.logits`. A conditional D takes labels. `as_critic` makes all of them a critic with one score per example. It can be used in losses and penalties and, without labels, as D of a game. For a D with labels in a game use `with_labels(D)`.
#
# **Fidelity.** The mean over patches, the first of a tuple, and labels:

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
# ## Evaluation mode for sampling
# Dropout and batch normalisation compute something else in training. So samples are drawn in evaluation mode. After that each part of a network returns to the mode it had. A part that you froze stays frozen.

# %%
#| export
@contextmanager
def evaluation_mode(*networks: Callable) -> Iterator[None]:
    "Inside, networks are in evaluation mode; after it each part is in the mode it had."
    nets = [net for net in networks if isinstance(net, nn.Module)]
    modes = {part: part.training for net in nets for part in net.modules()}
    parallel = [part for part in modes if isinstance(part, nn.parallel.DistributedDataParallel)]
    synced = [part.require_forward_param_sync for part in parallel]
    for part in parallel:
        part.require_forward_param_sync = False  # one process may draw without the others
    for net in nets:
        net.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
        for part, sync in zip(parallel, synced):
            part.require_forward_param_sync = sync

# %%
partly = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
with evaluation_mode(partly):
    assert not any(part.training for part in partly.modules())
assert [part.training for part in partly] == [True, False]

# %% [markdown]
# ## One pass for two batches
# A discriminator scores real and generated examples at each step. In our networks the examples of a batch do not depend on each other. So a single network can take both batches in one pass: half the calls, the same scores.
# Stacked networks get one batch after the other: they have enough work for the cores already. In *your* network the examples of a batch may depend on each other (with batch normalisation they do), so it gets one batch after the other. So does a network of ours with `coupled = True`.

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
# Each game has a field `networks`. It sets the kind and the width of the networks that the game makes itself.

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
from modelab.networks.attention import add_self_attention
from modelab.networks.convolutional import (conv_discriminator, conv_encoder, conv_generator,
                                            conv_joint_discriminator)
from modelab.networks.growing import (as_growth, grown_discriminator, grown_encoder,
                                      grown_generator, grown_joint_discriminator, Growth)
from modelab.networks.layers import JointMLP, joint_discriminator, mlp, mlp_generator
from modelab.networks.style import (style_discriminator, style_encoder, style_generator,
                                    style_joint_discriminator)

# %% [markdown]
# A player is given as a network, as a function that makes one, or not at all. `Player` is the type of such an argument.

# %%
#| export networks.players
Player = nn.Module | Callable[[], nn.Module] | None  # a network, a function that makes one, or None

# %% [markdown]
# `Networks` holds these settings. For a setting that is `None` the game uses its own default. `"grown"` are convolutional networks that begin with small pictures (chapter [3.4](../3_inclusion/04_growing.ipynb)). `"style"` are those of StyleGAN2 (chapter [3.3](../3_inclusion/03_style.ipynb)). There `depth` is the number of layers of the [mapping network](../glossary.ipynb). With `mixing` above 0 a share of its pictures is made from two latents each. Encoders and IMLE ([3.1](../3_inclusion/01_imle.ipynb)) need one latent per picture, so leave it at 0 there. `attention` names the players that get a [self-attention](../glossary.ipynb) layer (chapter [5.7](../5_icml2019/07_attention.ipynb)); encoders get none.

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
    attention: Literal["", "G", "D", "GD"] | None = None  # of "conv", "style": who has it; None: ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "grow", as_growth("grow", self.grow))
        check_fields(self)

# %% [markdown]
# Networks that grow have one more argument, a [schedule](../glossary.ipynb). It says at which step which part is added (chapter [3.4](../3_inclusion/04_growing.ipynb)):

# %%
#| export networks.players
@patch
def _growing(self: Networks, kw: dict[str, Any]) -> dict[str, Any]:
    "The keywords of a network that grows."
    return {**kw, "growth": self.grow or Growth()}

# %% [markdown]
# A player with attention gets its layer after it is made, so a player without it stays as it was:

# %%
#| export networks.players
@patch
def _with_attention(self: Networks, name: str, net: nn.Module, kw: dict[str, Any]) -> nn.Module:
    "`net`, with a self-attention layer if the settings want one for this player."
    if name not in (self.attention or ""):
        return net
    if self.kind not in ("conv", "style"):
        raise ValueError(f'kind: expected "conv" or "style" for attention, got {self.kind!r}')
    return add_self_attention(net, generator=kw.get("generator"))

# %% [markdown]
# Each of the following methods makes one kind of player. `generator` makes G.

# %%
#| export networks.players
@patch
def generator(self: Networks, latent: int, event: tuple[int, ...], **kw: Any) -> nn.Module:
    "G, `(*runs, batch, latent)` to `(*runs, batch, *event)`; `runs`, `generator` as for `mlp`."
    width = self.g_width or self.width
    depth = self.g_depth or self.depth
    if self.kind == "conv":
        net = conv_generator(latent, event, width, **kw)
    elif self.kind == "grown":
        net = grown_generator(latent, event, width, **self._growing(kw))
    elif self.kind == "style":
        net = style_generator(latent, event, width, depth, mixing=self.mixing or 0., **kw)
    else:
        net = mlp_generator(latent, event, width, depth, **kw)
    return self._with_attention("G", net, kw)

# %% [markdown]
# `discriminator` makes D, with one logit per example.

# %%
#| export networks.players
@patch
def discriminator(self: Networks, event: tuple[int, ...], **kw: Any) -> nn.Module:
    "D, `(*runs, batch, *event)` to `(*runs, batch)`."
    width = self.d_width or self.width
    if self.kind == "conv":
        net = conv_discriminator(event, width, **kw)
    elif self.kind == "grown":
        net = grown_discriminator(event, width, **self._growing(kw))
    elif self.kind == "style":
        net = style_discriminator(event, width, **kw)
    else:
        net = mlp(event, (), width, self.depth, **kw)
    return self._with_attention("D", net, kw)

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
        net = conv_joint_discriminator(event, latent, width, **kw)
    elif self.kind == "grown":
        net = grown_joint_discriminator(event, latent, width, **self._growing(kw))
    elif self.kind == "style":
        net = style_joint_discriminator(event, latent, width, **kw)
    else:
        net = joint_discriminator(event, latent, width, self.depth, **kw)
    return self._with_attention("D", net, kw)

# %%
for kind, width in (("mlp", 16), ("conv", 4), ("grown", 4), ("style", 4)):
    networks = Networks(kind, width, depth=2)
    G, D = networks.generator(2, (1, 8, 8)), networks.discriminator((1, 8, 8))
    assert D(G(torch.randn(8, 2))).shape == (8,)

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.networks import grade_factor, grade_layer, grade_parameters

# %% [markdown]
# **1.** (easy, 5 minutes) A stacked linear layer for 8 runs has 2 inputs and 128 outputs. How many weights and biases does it have?
#
# <details><summary>Hint</summary>
#
# First count those of one `nn.Linear(2, 128)`.
#
# </details>

# %%
answer = ...
grade_parameters(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = 8 * (2 * 128 + 128)
# ```
#
# Each run has $2\cdot128$ weights and 128 biases of its own, 3,072 in all.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `layer(x, W, c)`: the stacked linear layer. `x` is `(runs, batch, inputs)`, `W` is `(runs, inputs, outputs)`, and `c` is `(runs, outputs)`. The result is `(runs, batch, outputs)`. Do not loop over the runs.
#
# <details><summary>Hint</summary>
#
# `torch.bmm` multiplies a batch of matrices. The bias needs one more axis for the batch, or it is added to the wrong axis.
#
# </details>

# %%
def layer(x, W, c):
    ...

answer = layer
grade_layer(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def layer(x, W, c):
#     return torch.bmm(x, W) + c[:, None]
#
# answer = layer
# ```
#
# `x @ W + c` fails for most shapes. If the number of examples equals the number of runs, it runs and adds the biases of the wrong run.
#
# </details>

# %% [markdown]
# **3.** (medium, 10 minutes) A colleague writes the loss as `loss.mean()` over runs and batch instead of summing over runs. Write `factor(R)`: by which factor does the gradient of each run change, with `R` runs?
#
# <details><summary>Hint</summary>
#
# The mean over $R$ runs is the sum over runs, divided by something.
#
# </details>

# %%
def factor(R):
    ...

answer = factor
grade_factor(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def factor(R):
#     return 1 / R
#
# answer = factor
# ```
#
# With SGD this is a learning rate $R$ times smaller, so the result depends on the number of runs. With Adam it changes almost nothing, because Adam divides the gradient by its own size.
#
# </details>

# %% [markdown]
# ## Recap
# - A run axis is one more axis in the weights. Without it all runs use one network, and there is no warning.
# - Sum the losses over runs. Then gradients and Adam are independent, as the run with NaN targets showed.
# - Each run draws from its own `torch.Generator`, so the run with seed 3 is the same alone and among eight.
# - A signal that shrinks from layer to layer looks like mode collapse. Check its scale at the start of the training.
#
# **For later.**
#
# 1. Why may a critic not use batch normalisation?
# 2. What shape does a critic return for `(8, 256, 3, 28, 28)`?
# 3. What does a mean over runs, in place of the sum, change under SGD and under Adam?
#
# <details><summary>Answers</summary>
#
# 1. The score of one example then depends on the other examples of the batch, so the gradient at one example is not well defined.
# 2. `(8, 256)`: one score for each example of each run.
# 3. Each gradient is divided by the number of runs. Under SGD this is a smaller learning rate. Under Adam it changes almost nothing.
#
# </details>
#
# **References.** K. He, X. Zhang, S. Ren, J. Sun, *Delving deep into rectifiers*, ICCV 2015.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.networks
"Graders of chapter 0.5."
import torch

from modelab.course.exercises import as_number, exercise
from modelab.networks.layers import mlp

# %%
#| export course.graders.networks
@exercise(accepts=[8 * (2 * 128 + 128)], rejects=[384, 2048, 3456, "3072"])
def grade_parameters(answer):
    assert as_number(answer) == 8 * (2 * 128 + 128), "count weights and biases, for each run"

# %%
#| export course.graders.networks
def one_bias(x, W, c):
    "A wrong answer: the biases of the first run for all runs."
    return x @ W + c[0]

# %%
#| export course.graders.networks
@exercise(accepts=[lambda x, W, c: torch.bmm(x, W) + c[:, None],
                   lambda x, W, c: torch.baddbmm(c.unsqueeze(1), x, W),
                   lambda x, W, c: torch.einsum("rbi,rij->rbj", x, W) + c.unsqueeze(1)],
          rejects=[one_bias, lambda x, W, c: x @ W + c, lambda x, W, c: x @ W,
                   lambda x, W, c: x @ W[0] + c[:, None],
                   lambda x, W, c: x @ W.sum(0) + c[:, None]])
def grade_layer(layer):
    g = torch.Generator().manual_seed(0)
    for runs, batch in ((3, 5), (4, 4), (1, 2)):
        x, W, c = (torch.randn(*shape, generator=g, dtype=torch.float64)
                   for shape in ((runs, batch, 2), (runs, 2, 6), (runs, 6)))
        right = torch.stack([x[r] @ W[r] + c[r] for r in range(runs)])
        found, shape = layer(x, W, c), tuple(right.shape)
        assert found.shape == shape, f"expected {shape}, got {tuple(found.shape)}"
        assert torch.allclose(found, right), \
            f"wrong for {runs} runs of {batch} examples: which run's weights and biases are used?"

# %%
#| export course.graders.networks
@exercise(accepts=[lambda R: 1 / R], rejects=[lambda R: 1, lambda R: R, lambda R: 1 / R ** .5])
def grade_factor(factor):
    for R in (2, 8):
        net = mlp(2, (), width=8, runs=R, generator=torch.Generator().manual_seed(0)).double()
        x = torch.ones(R, 4, 2, dtype=torch.float64)
        total, = torch.autograd.grad(net(x).square().mean(-1).sum(), net.hidden[0].bias)
        mean, = torch.autograd.grad(net(x).square().mean(), net.hidden[0].bias)
        right = (mean.norm() / total.norm()).item()
        assert abs(as_number(factor(R)) - right) < 1e-9, "compare the two losses for R = 2"
