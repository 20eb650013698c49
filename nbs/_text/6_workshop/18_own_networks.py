# %% [markdown]
# # Your own networks in losses, penalties and games
# > What must a loss, a penalty or a game know about a network that I wrote?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What must a loss, a penalty or a game know about a network that I wrote? |
# | **You will be able to** | use a discriminator with other outputs or labels; read the errors about networks; say which networks have no gradient penalty, and why |
# | **Needs** | [0.5](../0_start/05_networks.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors, and for users whose network gives an error. Users need one call of it: `as_critic(D, y, patches="mean", output=0)`, in the section *Other outputs, and labels*. All its arguments but `D` are optional. Chapter 0.5 shows how a game takes your networks, and chapter 1.4 has a table of the networks that losses and penalties accept.

# %%
#| default_exp networks.adapters

# %%
#| export
"Your own networks: one score per example (`as_critic`), labels, errors that name a remedy."
from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from torch import nn

from modelab.core.checks import check_tensors
from modelab.core.signatures import Function, checked

# %%
#| export networks.wrappers
"What a gradient in the inputs needs: ReLUs, compiled, sharded and parallel critics, batch norm."
from __future__ import annotations

import functools
import re
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch.nn.attention import sdpa_kernel, SDPBackend
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from modelab.core.signatures import checking, type_cure
from modelab.networks.adapters import CriticAdapter, lacks_argument, warn_of_sigmoid
from modelab.networks.layers import Net

# %%
from modelab.core.checks import error_message
from modelab.losses.penalties import gradient_penalty, input_gradient
from modelab.networks.layers import mlp, with_labels

# %% [markdown]
# ## One score per example
# A discriminator may return its scores as `(N,)`, `(N, 1)` or `(N, 1, 1, 1)`. `one_score` brings them to the shape `(N,)`.

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
# For other outputs the user must choose. The error names the argument of `as_critic` (below) that makes the choice. `answer_cure` writes this end of the message.

# %%
#| export
def answer_cure(answer: Any, lead: int = 1) -> str:
    "The end of an error: how `as_critic` gets scores from such an answer; empty if it cannot."
    if isinstance(answer, torch.Tensor):
        if not answer.ndim:
            return "; squeeze() also drops a batch of one example, write flatten()"
        patches = answer.ndim > lead + 1 and answer.shape[lead] == 1
        return '; for a map of patches use as_critic(D, patches="mean")' * patches
    parts = getattr(answer, "__dict__", {})
    parts = dict(enumerate(answer)) if isinstance(answer, (tuple, list)) else parts
    parts = answer if isinstance(answer, dict) else parts
    found = ["logits"] * isinstance(getattr(answer, "logits", None), torch.Tensor)
    found += [name for name, value in parts.items() if isinstance(value, torch.Tensor)]
    return f"; use as_critic(D, output={found[0]!r})" if found else ""

# %%
[error_message(one_score, answer) for answer in (torch.zeros(()), torch.zeros(2, 1, 4, 4),
                                                 (torch.zeros(2), 1))]

# %% [markdown]
# ## Errors of a user's network
# If a conditional network gets no labels, Python raises a `TypeError` about a missing argument. `lacks_argument` recognises this message. Labels are given by position, so an argument that can only be given by its name is another mistake.

# %%
#| export
def lacks_argument(error: Exception) -> bool:
    "Whether Python says that a call lacks an argument, such as labels of a conditional network."
    missing = r"\S+\(\) missing \d+ required positional"
    return type(error) is TypeError and re.match(missing, str(error)) is not None

# %% [markdown]
# Latents have the shape `(batch, latent)`. Many public generators expect `(batch, latent, 1, 1)`, and then torch raises an error about a convolution. `refuse_inputs` adds to such messages which player failed, the shape of its inputs, and the remedy. `PerRun` (chapter [0.5](../0_start/05_networks.ipynb)) calls each network inside it.

# %%
#| export
@contextmanager
def refuse_inputs(name: str,  # the player
                  *inputs: torch.Tensor) -> Iterator[None]:
    "Inside, an error of a network about its inputs says which player, what it got and the cure."
    try:
        yield
    except (RuntimeError, TypeError) as error:
        said = str(error).partition("\n")[0]
        if lacks_argument(error):
            raise TypeError(f"{name}: {said}; for a network that takes labels use "
                            f"{name}=with_labels(...)") from error
        if type(error) is not RuntimeError or not re.search("size|shape|channels", said):
            raise
        got = ", ".join(str(tuple(x.shape)) for x in inputs)
        n = inputs[0].shape[-1]
        cure = (f"; G gets latents (batch, {n}): set their number by Networks(latent=...), or "
                f"begin G with nn.Unflatten(1, ({n}, 1, 1)) for maps")
        cure = cure if name == "G" and inputs[0].ndim == 2 else ""
        raise ValueError(f"{name}: got inputs of shape {got} and failed: {said}{cure}") from error

# %%
def give_vectors():
    with refuse_inputs("G", latents := torch.zeros(8, 16)):
        nn.ConvTranspose2d(16, 4, 4)(latents)

error_message(give_vectors)

# %% [markdown]
# `WithLabels` marks a network that takes a label y beside its other inputs: G(z, y) and D(x, y). Users call `with_labels`.

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

# %%
error_message(with_labels(nn.Linear(2, 1)), torch.zeros(8, 2))

# %% [markdown]
# Each run needs a generator of its own for its initial weights. `check_generators` refuses anything but a list with one for each run.

# %%
#| export
def check_generators(generators: Sequence[torch.Generator], runs: int) -> None:
    "`TypeError` for anything but a list with one torch.Generator for each run."
    if not isinstance(generators, (list, tuple)) or len(generators) != runs \
            or not all(isinstance(g, torch.Generator) for g in generators):
        raise TypeError(f"generator: expected a list of {runs!r} torch.Generators, "
                        f"got {generators!r:.60}")

# %% [markdown]
# Many discriminators from tutorials end in a sigmoid, for `BCELoss`. The losses and penalties of this library take scores, and probabilities are possible scores, so nothing would fail: the losses would only be wrong. `warn_of_sigmoid` looks at the layer that was defined last. It does not see a sigmoid that is called in `forward`.

# %%
#| export
def warn_of_sigmoid(name: str, net: nn.Module) -> None:
    "A warning if the last layer of a discriminator is a sigmoid."
    last = net
    while children := list(last.children()):
        last = children[-1]
    if isinstance(last, nn.Sigmoid):
        warnings.warn(f"{name}: ends in a sigmoid, so its answers are probabilities; losses and "
                      "penalties take scores (logits): remove the sigmoid", stacklevel=3)

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    warn_of_sigmoid("D", nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()))
    warn_of_sigmoid("D", nn.Sequential(nn.Sigmoid(), nn.Linear(2, 1)))
assert len(said) == 1
print(said[0].message)

# %% [markdown]
# `make_members` calls the user's function once per run, under a seed of that run. The global random state of the program does not change.

# %%
#| export
def make_members(name: str, make: Callable[[], nn.Module],
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

# %%
shared = nn.Linear(2, 1)
error_message(make_members, "D", lambda: shared, [torch.Generator() for _ in range(2)])

# %% [markdown]
# ## Other outputs, and labels
# A PatchGAN discriminator returns a map with one score for each patch of the picture. Other networks return a tuple, or an object with `.logits`. A conditional D takes labels. `as_critic` makes all of them a critic with one score per example. `CriticAdapter` is the module that it returns.

# %%
#| export
class CriticAdapter(nn.Module):
    "A discriminator that answers one score per example; see `as_critic`."
    def __init__(self, D: Callable, beside: tuple[torch.Tensor, ...], patches: str,
                 output: int | str | None, coupled: bool):
        super().__init__()
        self.module, self.beside, self.patches = D, beside, patches
        self.output, self.coupled = output, coupled
        if isinstance(D, nn.Module):
            warn_of_sigmoid("D", D)
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
#| export
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
# `average_patches` removes axes of length one. A map of patches, `(N, 1, h, w)`, is averaged only with `patches="mean"`. Scores of several classes or channels are refused.

# %%
#| export
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
#| export
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
# The values of `as_critic` are tested in chapter [0.5](../0_start/05_networks.ipynb), and with penalties in chapter [1.4](../1_game/04_wasserstein.ipynb). Here are its errors:

# %%
patch_D, pictures = nn.Conv2d(1, 1, 5), torch.zeros(6, 1, 8, 8)
[error_message(as_critic(patch_D), pictures),
 error_message(as_critic(lambda x: (x.flatten(1).sum(1), x)), pictures),
 error_message(as_critic(patch_D, output=0), pictures)]

# %% [markdown]
# ## A second derivative through ReLU and attention
# A gradient penalty needs the derivative of $\nabla_x f$ in the weights, which is a second backward pass. A ReLU is piecewise linear, so its second derivative is zero. Autograd still computes with these zeros in the second backward pass. To save this work, a ReLU is computed by a mask while a gradient in the inputs is taken. First the leaky ReLU, a product with its mask:

# %%
#| export networks.wrappers
def _leaky(input: torch.Tensor, negative_slope: float = .01, inplace: bool = False) -> torch.Tensor:
    "Leaky ReLU as a product."
    mask = torch.where(input > 0, input.new_ones(()), negative_slope)
    return input.mul_(mask) if inplace else input * mask

# %% [markdown]
# The plain ReLU sets the masked numbers to zero. It keeps NaN, so the engine still notices a run that diverged.

# %%
#| export networks.wrappers
def _relu(input: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    "ReLU as a mask; NaN stays NaN."
    return input.masked_fill_(input <= 0, 0) if inplace else input.masked_fill(input <= 0, 0)

# %% [markdown]
# A checkpointed module (`torch.utils.checkpoint`) computes its forward pass a second time during the backward pass. Both passes must save the same tensors, so its ReLUs are not replaced. `in_checkpoint` detects this case: a checkpoint is a hook on saved tensors. Before version 2.8 torch has no function for it, so the calling functions are searched.

# %%
#| export networks.wrappers
_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)  # torch 2.8


def in_checkpoint() -> bool:
    "Whether this is called inside a checkpointed module, or under another hook on saved tensors."
    if _top_hooks is not None:
        return _top_hooks(True) is not None
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == torch.utils.checkpoint.__file__:
            return True
        frame = frame.f_back
    return False

# %% [markdown]
# The fast kernels of attention have no second derivative, so attention is computed by plain matrix products.

# %%
#| export networks.wrappers
def _plain_attention(func: Callable, *args: Any, **kw: Any) -> Any:
    "Attention by plain products; torch's other kernels have no second derivative."
    with sdpa_kernel(SDPBackend.MATH):
        return func(*args, **kw)

# %% [markdown]
# Torch has several functions for a ReLU. `SmoothReLU` is the context in which each of them is replaced. All values stay the same.

# %%
#| export networks.wrappers
class SmoothReLU(TorchFunctionMode):
    "Inside, ReLUs have no second derivative, rather than one of zeros; values stay as they are."
    spelt = {F.relu: _relu, torch.relu: _relu, torch.Tensor.relu: _relu,
             F.leaky_relu: _leaky, F.leaky_relu_: functools.partial(_leaky, inplace=True),
             **{f: functools.partial(_plain_attention, f)
                for f in (F.multi_head_attention_forward, F.scaled_dot_product_attention)}}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        smooth = self.spelt.get(func)
        if smooth is None or in_checkpoint():
            smooth = func
        return smooth(*args, **(kwargs or {}))

# %% [markdown]
# **Fidelity.** The same gradient, bit for bit, and no second derivative of a ReLU:

# %%
z = torch.linspace(-1, 1, 8, requires_grad=True)
with SmoothReLU():
    inside, = torch.autograd.grad(F.relu(z).sum(), z, create_graph=True)
outside, = torch.autograd.grad(F.relu(z).sum(), z, create_graph=True)
assert torch.equal(inside, outside) and outside.requires_grad and not inside.requires_grad

# %% [markdown]
# ## Critics whose examples depend on each other
# Some checks look at the networks inside a critic. `parts_of_function` lists the objects that a function uses: its closure, the object that it is bound to, the globals and attributes whose names it contains, and the arguments of a `functools.partial`.

# %%
#| export networks.wrappers
def parts_of_function(f: Callable) -> list[object]:
    "Objects that a function uses: closure, bound object, globals and attributes by their names."
    held = [getattr(f, "__self__", None)]
    if isinstance(f, functools.partial):
        held += [f.func, *f.args, *f.keywords.values()]
    for cell in getattr(f, "__closure__", None) or ():
        with suppress(ValueError):  # a cell that is still empty
            held.append(cell.cell_contents)
    names = getattr(getattr(f, "__code__", None), "co_names", ())
    scope = getattr(f, "__globals__", {})
    held += [scope[name] for name in names if name in scope]
    owners = [vars(part) for part in held if hasattr(part, "__dict__")
              and not isinstance(part, (nn.Module, types.ModuleType))]
    return held + [owner[name] for owner in owners for name in names if name in owner]

# %% [markdown]
# `critic_networks` returns the critic itself if it is a module. For a function it returns the networks among these parts, also those inside other functions, up to three levels deep.

# %%
#| export networks.wrappers
def critic_networks(critic: Callable, depth: int = 3) -> list[nn.Module]:
    "The critic if it is a module; of a function, the modules that it uses."
    if isinstance(critic, nn.Module):
        return [critic]
    parts = parts_of_function(critic) if depth else []
    found = [net for part in parts if callable(part) for net in critic_networks(part, depth - 1)]
    return list(dict.fromkeys(found))

# %%
inner = mlp(2, (), width=8)
assert critic_networks(lambda x: inner(x) + 1) == critic_networks(inner) == [inner]

# %% [markdown]
# With batch norm in training mode the score of one example depends on the other examples. So there is no gradient of one score in its own example alone, and `refuse_batch_norm` refuses such a critic. (With `track_running_stats=False` this is so even in evaluation mode.)

# %%
#| export networks.wrappers
def refuse_batch_norm(name: str, critic: Callable) -> None:
    "`ValueError`, which begins with `name`, for a critic with batch norm in training mode."
    modules = list(critic.modules()) if isinstance(critic, nn.Module) else []
    found = [type(m).__name__ for m in modules if isinstance(m, _BatchNorm)
             and (m.training or m.running_mean is None)]
    if found and not may_couple(modules):
        raise ValueError(f"{name}: {found[0]} couples the examples of a batch, so a gradient per "
                         "example does not exist; use LayerNorm, or none")

# %% [markdown]
# For the gradient of the sum of all scores use `as_critic(D, coupled=True)`. Networks of this course that couple examples by design have `coupled = True`. `may_couple` looks for this mark.

# %%
#| export networks.wrappers
def may_couple(modules: Iterable[nn.Module]) -> bool:
    "Whether `as_critic`, or a network of ours, said that examples may depend on each other."
    return any(isinstance(m, (CriticAdapter, Net)) and m.coupled for m in modules)

# %% [markdown]
# Your own layers may couple examples, too, for instance the minibatch standard deviation of StyleGAN. `refuse_coupling` finds this by the gradient: the score of the first example has a non-zero gradient at other examples. This costs a backward pass, so a network is tested at its first call, and again after a change between training and evaluation mode. A function that uses no network, or several, is tested in each call.

# %%
#| export networks.wrappers
# for networks that have passed: modes of their modules, by the code of the function that calls it
_uncoupled = weakref.WeakKeyDictionary()

# %% [markdown]
# A training loop may call `as_critic(D, y)` in each step, for labels change. Each call makes a new adapter. So `_passed_of` keeps the result with the network inside, and the key holds the adapter's options: the same network with other options, or with labels, is another critic.

# %%
#| export networks.wrappers
def _passed_of(critic: Callable, nets: list[nn.Module]) -> tuple[dict, Any]:
    "What is kept of a critic's only network, and the key of this critic in it."
    if len(nets) != 1:
        return {}, None
    net, key = nets[0], getattr(critic, "__code__", None)
    if isinstance(net, CriticAdapter) and isinstance(net.module, nn.Module):
        net, key = net.module, (key, net.patches, net.output, len(net.beside))
    return _uncoupled.setdefault(net, {}), key

# %% [markdown]
# The test itself takes the gradient of one score:

# %%
#| export networks.wrappers
def refuse_coupling(critic: Callable, scores: torch.Tensor, x: torch.Tensor) -> None:
    "`ValueError` if the score of the first example depends on other examples."
    nets = critic_networks(critic)
    passed, key = _passed_of(critic, nets)
    modes = [m.training for net in nets for m in net.modules()]
    known = scores.is_meta or passed.get(key) == modes
    if known or scores.numel() < 2 or any(may_couple(net.modules()) for net in nets):
        return
    for net in nets:
        warn_of_sigmoid("critic", net)
    slope, = torch.autograd.grad(scores.flatten()[0], x, retain_graph=True, allow_unused=True)
    if slope is not None:
        size = slope.detach().abs().flatten(0, scores.ndim - 1).reshape(scores.numel(), -1).amax(1)
        if size[1:].max() > 1e-6 * size.max():
            raise ValueError("critic: the score of an example depends on other examples of the "
                             "batch, so a gradient per example does not exist; remove that layer, "
                             "or use as_critic(D, coupled=True) for the gradient of the sum")
    passed[key] = modes

# %%
centred = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
def centred_scores(x):
    return centred(x) - centred(x).square().mean()

two = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
error_message(gradient_penalty, centred_scores, *two)

# %% [markdown]
# ## Compiled, sharded and parallel critics
# A compiled critic has no second derivative (`torch.compile` with its usual backends). Inside `uncompiled`, a penalty calls the critic as it was before it was compiled: the same function, at the speed of an uncompiled one.

# %%
#| export networks.wrappers
def uncompiled(critic: Callable, parts: Sequence[nn.Module]) -> AbstractContextManager[None]:
    "Inside, compiled modules and functions run as they were before they were compiled."
    if "_dynamo" not in vars(torch) or torch.compiler.is_compiling():  # nothing was compiled
        return nullcontext()
    if isinstance(critic, nn.Module) and not any(
            "_orig_mod" in m._modules or m._compiled_call_impl for m in parts):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")

# %% [markdown]
# Wrappers for several processes change the backward pass. Sharded modules (FSDP) free their weights after one backward pass, so a second one fails, or gives no gradient at all. `refuse_sharded` refuses them.

# %%
#| export networks.wrappers
def refuse_sharded(parts: Iterable[nn.Module]) -> None:
    "`ValueError` for FSDP, old or new."
    if "fsdp" in vars(torch.distributed):
        kinds = {"FSDPModule", "FullyShardedDataParallel"}
        if any(kinds & {c.__name__ for c in type(m).__mro__} for m in parts):
            raise ValueError("critic: FSDP frees weights that the derivative of a penalty needs; "
                             "wrap D in DistributedDataParallel instead")

# %% [markdown]
# Weights in half precision and examples in float32 cannot be multiplied. Torch's message names matrices or biases. The message of `one_type` names the arguments and the remedy. A critic that converts its inputs itself still works.

# %%
#| export networks.wrappers
@contextmanager
def one_type(parts: Iterable[nn.Module], x: torch.Tensor) -> Iterator[None]:
    "Inside, torch's error about types becomes a `TypeError` that says how to bring them to one."
    try:
        yield
    except RuntimeError as error:
        kinds = {w.dtype for m in parts for w in m.parameters(recurse=False)} - {x.dtype}
        if not kinds or not re.search("type|Half|BFloat16", str(error)):
            raise
        kinds = dict(critic=kinds.pop(), x=x.dtype)
        raise TypeError(f"critic, x: expected one type, got weights of {kinds['critic']} and "
                        f"examples of {x.dtype}{type_cure(kinds)}") from error

# %% [markdown]
# A conditional critic D(x, y) that gets no labels fails with an error of Python. `require_labels` adds how to give them.

# %%
#| export networks.wrappers
@contextmanager
def require_labels() -> Iterator[None]:
    "Inside, a `TypeError` about an argument that the critic lacks says how to give it labels."
    try:
        yield
    except TypeError as error:
        if not lacks_argument(error):
            raise
        raise TypeError(f"critic: {error}; for a D that takes labels use as_critic(D, y), with "
                        "one label per example") from error

# %% [markdown]
# Distributed data parallel (DDP) waits until each weight has a gradient. The last bias has none in a penalty, and then DDP would not average the gradients of the processes. So `reach_all_weights` adds zero times the sum of the scores, which depends on each weight.

# %%
#| export networks.wrappers
def reach_all_weights(gradient: torch.Tensor, scores: torch.Tensor,
                      parts: Iterable[nn.Module]) -> torch.Tensor:
    "The gradient; under DDP, every weight of the critic has a part in it."
    parallel = any(isinstance(m, nn.parallel.DistributedDataParallel) for m in parts)
    return gradient + 0. * scores.sum() if parallel else gradient

# %% [markdown]
# `slope_of_scores` takes the gradient of the scores in the inputs. The older kind of checkpoint (`use_reentrant=True`) refuses this. Torch's message is long, and ours gives the remedy alone.

# %%
#| export networks.wrappers
def slope_of_scores(critic: Callable, scores: torch.Tensor,
                    x: torch.Tensor) -> torch.Tensor | None:
    "The gradient of the scores in x, differentiable; None if they do not depend on x."
    try:
        if checking():
            refuse_coupling(critic, scores, x)
        return torch.autograd.grad(scores, x, torch.ones_like(scores), create_graph=True,
                                   allow_unused=True)[0]
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise ValueError("critic: a checkpointed module has no gradient in x with "
                         "use_reentrant=True; write use_reentrant=False") from None

# %% [markdown]
# Three errors of `input_gradient` (chapter [1.4](../1_game/04_wasserstein.ipynb)), as a user sees them:

# %%
x = torch.zeros(8, 2)
half, labelled = nn.Linear(2, 1).half(), lambda x, y: x[:, 0] * y
[error_message(input_gradient, critic, x)
 for critic in (half, labelled, lambda x: x.detach()[:, 0])]
