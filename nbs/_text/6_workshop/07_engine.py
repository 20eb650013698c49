# %% [markdown]
# # The training engine
# > How are players moved, seeds drawn, and runs saved and resumed?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are players moved, seeds drawn, and runs saved and resumed? |
# | **You will be able to** | read and change the engine that trains every game |
# | **Needs** | [1.2](../1_game/02_training.ipynb) for what a game and a turn are |
# | **Time** | seconds |
#
# This chapter is for contributors who change the engine, and for users who want to know what a method of `Run` does. Chapter 1.2 uses the engine. This chapter contains its code: first the players, then a run, then a checkpoint. A user needs these calls:
#
# ```python
# from modelab import Run
#
# run = Run("minimax", "ring", runs=4, seed=0).step(100)    # seeds 0 to 3, trained side by side
# run.losses, run.sample(1000), run.coverage()
# run.save("run.safetensors")
# run = Run.load("run.safetensors").step(100)               # goes on where it stopped
# ```
#
# A *run* is one training with one seed. A `Run` holds several of them, and the first axis of its tensors counts them. A *player* is a network of the game with its optimiser, such as G or D. A *turn* is one move of one or more players. A *step* takes all turns of the game once.

# %%
#| default_exp training.run

# %%
#| export
"Run: train a game for several seeds at once."
from __future__ import annotations

import copy
import functools
import math
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn
from tqdm.auto import tqdm

from modelab.core.checks import check_choice, check_int, check_shape
from modelab.core.registry import make
from modelab.core.seeding import derive_seed
from modelab.core.signatures import Count, Index, Real, check_arguments, unchecked
from modelab.data.mixtures import sample_modes
from modelab.data.scaling import choose_scale, Standardise
from modelab.evaluation import coverage as measures
from modelab.networks.layers import evaluation_mode, Moment
from modelab.training.checkpoints import load_checkpoint, save_checkpoint
from modelab.training.game import BoundPlayer, Game, Turn, turn_words
from modelab.training.players import need_gradients, Players

# %%
#| export training.players
"The players of a game and their Adam optimisers."
from __future__ import annotations

import copy
import gc
import itertools
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from modelab.core.seeding import derive_seed
from modelab.networks.layers import has_hook

# %%
#| export training.checkpoints
"Checkpoints of runs: saved and read without executing code."
from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from modelab.core.checks import check_int
from modelab.core.files import atomic_write
from modelab.core.registry import current_spec, make, to_json, upgrade_settings
from modelab.data.scaling import DataScale

# %%
import tempfile
from torch import nn
from modelab.core.checks import error_message
from modelab.core.registry import with_settings
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks
from modelab.training.optimiser import Schedule

# %% [markdown]
# ## Players
# `flatten_parameters` stores the weights of one player one after another in one block of memory, and its gradients too. Then an Adam step is one operation on one tensor instead of one for each layer. A sum of the gradients over several devices is one message.

# %%
#| export training.players
def flatten_parameters(name: str, weights: list[nn.Parameter]) -> nn.Parameter:
    "Lay a player's weights and gradients end to end in memory, and return them as one parameter."
    if any(type(w.data).__name__ == "DTensor" for w in weights):
        raise ValueError(f"{name}: weights are sharded over processes; give Run the module itself, "
                         "it shares the work in its own way (modelab train with torchrun)")
    if len({w.dtype for w in weights}) > 1:
        found = sorted({str(w.dtype) for w in weights})
        raise ValueError(f"{name}: expected weights of one dtype, got {found}")
    flat = nn.Parameter(torch.cat([w.detach().flatten() for w in weights]))
    flat.grad = torch.zeros_like(flat)
    sizes = [w.numel() for w in weights]
    for w, values, slopes in zip(weights, flat.detach().split(sizes), flat.grad.split(sizes)):
        w.data, w.grad = values.view_as(w), slopes.view_as(w)
    return flat

# %%
layer = nn.Linear(2, 3)
flat = flatten_parameters("G", list(layer.parameters()))
layer(torch.ones(2)).sum().backward()
with torch.no_grad():
    flat.zero_()
assert layer.weight.abs().max() == 0 and flat.grad.tolist() == [1.] * 9

# %% [markdown]
# A turn is written as a word: the name of one player, "D", or the names of several players that move together, "GE". `find_movers` finds the players of each word.

# %%
#| export training.players
def find_movers(turns: str, names: Iterable[str]) -> dict[str, list[str]]:
    "For each turn the players that move in it; `ValueError` for a name that no player has."
    movers = {word: [word] if word in names else list(word) for word in turns.split()}
    absent = {name for moving in movers.values() for name in moving} - set(names)
    if absent:
        raise ValueError(f"game: the turns {turns!r} name {sorted(absent)}, "
                         f"the players are {sorted(names)}")
    return movers

# %%
find_movers("D GE", ["D", "G", "E"]), error_message(find_movers, "D GX", ["D", "G", "E"])

# %% [markdown]
# A `Run` moves the weights of its networks into its own block of memory. So a network can be trained in only one `Run` at a time, and as only one player. `claim_weights` checks this before a run begins.

# %%
#| export training.players
_playing = WeakIdKeyDictionary()  # weights that are trained: a weak reference to their players


def claim_weights(nets: dict[str, nn.Module]) -> dict[str, list[nn.Parameter]]:
    "Each player's weights to train; `ValueError` for those of another run or of two players."
    weights = [(name, w) for name, net in nets.items() for w in net.parameters()]
    if any(w in _playing for _, w in weights):
        gc.collect()  # a run that nobody holds any more
    owner = {}
    for name, w in weights:
        if w in _playing and _playing[w]() is not None:
            raise ValueError(f"{name}: this network already plays in another run; pass a function "
                             "that makes one, or delete that run")
        if w.requires_grad and owner.setdefault(id(w), name) != name:
            raise ValueError(f"{owner[id(w)]}, {name}: the players share a weight of shape "
                             f"{tuple(w.shape)}; each needs its own")
    return {name: [w for w in net.parameters() if w.requires_grad] for name, net in nets.items()}

# %% [markdown]
# `hold_weights` stores which players train which weights, for as long as these players exist.

# %%
#| export training.players
def hold_weights(players: Players) -> None:
    "Note that these players train their weights; when they are gone, nobody does."
    for weight in itertools.chain(*players.weights.values()):
        _playing[weight] = weakref.ref(players)
    weights = list(players.weights.values())
    weakref.finalize(players, need_gradients, weights).atexit = False

# %% [markdown]
# In a turn, gradients are switched off for the players that do not move (see `ready` below). `need_gradients` switches them on again.

# %%
#| export training.players
def need_gradients(weights: Iterable[list[nn.Parameter]]) -> None:
    "Let gradients flow to all these weights."
    for weight in itertools.chain(*weights):
        weight.requires_grad_(True)

# %% [markdown]
# `Players` holds the networks of a game and one Adam optimiser for each. It builds them from the seeds, one for each run.

# %%
#| export training.players
class Players:
    "The networks of a game with their optimisers: who moves, and how."
    def __init__(self, game: Any, event: tuple[int, ...], latent: int, seeds: range,
                 device: torch.device, average: float):
        # Weights are drawn on the CPU, so that a seed means the same on every device.
        generator = [torch.Generator().manual_seed(derive_seed(s, "init")) for s in seeds]
        nets = game.players(tuple(event), latent, len(seeds), generator)
        game.optimiser.check_players(nets)
        self.game, self.nets = game, {name: net.to(device) for name, net in nets.items()}
        self._find_hooks()
        self.movers = find_movers(game.turns, nets)
        self.weights = claim_weights(nets)
        still = {name for word in self.movers.values() for name in word if not self.weights[name]}
        if still:
            raise ValueError(f"{min(still)}: expected a network with weights to train")
        self.flat = {name: flatten_parameters(name, weights)
                     for name, weights in self.weights.items() if weights}
        self._rates: dict[str, tuple] = {}
        self.adam = {name: torch.optim.Adam([flat], **self.rates(name), fused=device.type != "mps")
                     for name, flat in self.flat.items()}
        self.average = average
        self.averaged = copy.deepcopy(self.nets["G"]) if average else None
        hold_weights(self)

# %% [markdown]
# Most players are plain functions of their inputs. Some need labels, the step or random numbers. Some change the real examples, and some keep running averages. `_find_hooks` finds these players once, at the start.

# %%
#| export training.players
@patch
def _find_hooks(self: Players) -> None:
    "The names of the players that need more than their inputs."
    def having(name: str) -> list[str]:
        return [player for player, net in self.nets.items() if has_hook(net, name)]
    self.labelled = [name for name, net in self.nets.items() if getattr(net, "labelled", False)]
    self.bound = list(dict.fromkeys([*self.labelled, *having("takes_moment")]))
    self.shaping, self.keeping = having("shape_reals")[:1], having("after_step")

# %% [markdown]
# ### Taking a step
# `rates` gives Adam's settings. They are read before each step, since a schedule or the lab may change them. The object that holds them cannot change: it can only be replaced. So it is checked once, and again when the game has another one.

# %%
#| export training.players
@patch
def rates(self: Players, name: str, step: int = 0) -> dict[str, Any]:
    "Adam's settings for a player at a step of the run, as the game has them now."
    optimiser = self.game.optimiser
    known, rates = self._rates.get(name, (None, None))
    if known is not optimiser:
        rates = optimiser.rates(name)
        self._rates[name] = optimiser, rates
    if optimiser.schedule is None:
        return rates
    return rates | {"lr": rates["lr"] * optimiser.schedule(step)}

# %% [markdown]
# In a turn, only the players that move need gradients. In the generator's turn, for example, the gradient with respect to the discriminator's weights is not needed. `ready` switches it off, and sets the gradients of the movers to zero.

# %%
#| export training.players
@patch
def ready(self: Players, word: str) -> None:
    "Let gradients flow to those whose turn it is, and to nobody else."
    for name, weights in self.weights.items():
        for weight in weights:
            weight.requires_grad_(name in self.movers[word])
    for name in self.movers[word]:
        self.flat[name].grad.zero_()

# %% [markdown]
# `step` moves the players of a turn along the gradients that were computed before. It first gives Adam the rates that hold at this step of the run.

# %%
#| export training.players
@patch
def step(self: Players, word: str, step: int = 0) -> None:
    "One Adam step down the gradients as they stand; `step` is the run's, for the schedule."
    for name in self.movers[word]:
        self.adam[name].param_groups[0].update(self.rates(name, step))
        self.adam[name].step()

# %% [markdown]
# `move` is for callers that have only the losses: it computes the gradients and then takes the step. The losses of all runs are added. The loss of a run does not depend on the weights of another run, so each run gets the gradient of its own loss.

# %%
#| export training.players
@patch
def move(self: Players, word: str, loss: torch.Tensor, step: int = 0) -> None:
    "One Adam step down the sum of the runs' losses."
    loss.backward(torch.ones_like(loss))  # the gradient of the sum over runs
    self.step(word, step)

# %% [markdown]
# ### The averaged generator
# `Run(..., average=.99)` keeps an exponential moving average (EMA) of the generator's weights, and samples are drawn with it. `update_ema` updates the average after each step. Buffers, such as those of batch norm, are not averaged but copied.

# %%
#| export training.players
@patch
@torch.no_grad()
def update_ema(self: Players) -> None:
    "Move the averaged generator a little towards the present one."
    if self.averaged is not None:
        for mean, now in zip(self.averaged.parameters(), self.nets["G"].parameters()):
            mean.lerp_(now, 1 - self.average)
        for mean, now in zip(self.averaged.buffers(), self.nets["G"].buffers()):
            mean.copy_(now)

# %% [markdown]
# ### Weights that are not finite
# A diverged run has weights that are NaN or infinite. `runs_not_finite` finds the runs in one network. A network with a run axis has it in front of each weight. Any other network is kept as a list with one member for each run.

# %%
#| export training.players
def runs_not_finite(net: nn.Module, runs: int) -> list[int]:
    "The runs in which a weight of a network is NaN or infinite."
    parts = getattr(net, "members", None)
    if parts is not None:
        return [run for run, part in enumerate(parts)
                if not all(w.isfinite().all() for w in part.parameters())]
    wrong = [~w.isfinite() for w in net.parameters() if w.ndim and len(w) == runs]
    return sorted({int(run) for w in wrong for run in w.reshape(runs, -1).any(1).nonzero()})

# %% [markdown]
# `not_finite` looks through all players. It first tests the block of all weights of a player, which is one operation instead of one for each layer.

# %%
#| export training.players
@patch
def not_finite(self: Players, runs: int) -> tuple[str, list[int]] | None:
    "The first player with a weight that is NaN or infinite, and in which runs; or None."
    for name, flat in self.flat.items():
        if not flat.isfinite().all():
            return name, runs_not_finite(self.nets[name], runs)
    return None

# %% [markdown]
# ### The state of the players
# `state` returns everything that training changes as a flat table of tensors: weights, buffers, Adam's moments. The table can be saved and restored.

# %%
#| export training.players
@patch
def state(self: Players) -> dict[str, torch.Tensor]:
    "Every tensor that training changes, by a readable name."
    nets = {f"player/{name}": net for name, net in self.nets.items()}
    if self.averaged is not None:
        nets["average"] = self.averaged
    found = {f"{n}/{k}": v for n, net in nets.items() for k, v in net.state_dict().items()}
    for name, adam in self.adam.items():
        moments = adam.state_dict()["state"].get(0, {})
        found |= {f"adam/{name}/{k}": v for k, v in moments.items()}
    return found

# %% [markdown]
# The table of `state` is flat. To restore one network, `strip_prefix` finds its entries by the beginning of their names, and gives them the names that the network itself uses.

# %%
#| export training.players
def strip_prefix(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    "The entries whose names begin with `prefix`, by the rest of the name."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

# %% [markdown]
# `restore` puts the tensors back. Adam would accept moments of a wrong shape and fail at the next step, so their shapes are compared here.

# %%
#| export training.players
@patch
def restore(self: Players, state: dict[str, torch.Tensor]) -> None:
    "Put the tensors of `state()` back; `RuntimeError` or `KeyError` if they do not fit."
    for name, net in self.nets.items():
        net.load_state_dict(strip_prefix(state, f"player/{name}/"))
    if self.averaged is not None:
        self.averaged.load_state_dict(strip_prefix(state, "average/"))
    for name, adam in self.adam.items():
        saved, flat = strip_prefix(state, f"adam/{name}/"), tuple(self.flat[name].shape)
        found = {k: tuple(v.shape) for k, v in saved.items()}
        if saved and found != {"step": (), "exp_avg": flat, "exp_avg_sq": flat}:
            raise KeyError(f"the optimiser of {name}")
        settings = adam.state_dict()["param_groups"]
        adam.load_state_dict({"state": {0: saved} if saved else {}, "param_groups": settings})

# %% [markdown]
# ## What may go wrong in a run
# Three things stop a run: a loss that is NaN or infinite, Ctrl-C, and a device that does not exist. The first one has its own error class, `Diverged`, so that a caller can tell a diverged run from a mistake in its arguments.

# %%
#| export
class Diverged(FloatingPointError):
    "A loss became NaN or infinite; the message says at which step, in whose turn, for which seed."

# %% [markdown]
# Ctrl-C must not interrupt a step halfway. Inside `finish_step_on_interrupt` the first Ctrl-C only sets a flag, and the run ends after the present step. A second Ctrl-C interrupts at once.

# %%
#| export
@contextmanager
def finish_step_on_interrupt() -> Iterator[threading.Event]:
    "Turn the first Ctrl-C into a flag; a second one interrupts at once."
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def first(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)

# %%
with finish_step_on_interrupt() as stop:
    signal.raise_signal(signal.SIGINT)
    print("still here, and the flag is", stop.is_set())

# %% [markdown]
# A device is given by its name. A wrong name, or a device that this machine does not have, must be an error at the start and not in the middle of a run. `find_device` checks it.

# %%
#| export
def find_device(name: str) -> torch.device:
    "The torch device for a name; `ValueError` if it is unknown or absent."
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(1, device=torch.device(name)).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ValueError("device: expected auto, cpu, cuda, cuda:N or mps, present on this "
                         f"machine; got {name!r} ({reason})") from None

# %%
find_device("cpu"), error_message(find_device, "abacus").partition(";")[0]

# %% [markdown]
# The lab trains in one thread and draws in another. Inside `spare_thread` torch uses one thread fewer, so that a core is left for drawing.

# %%
#| export
@contextmanager
def spare_thread() -> Iterator[None]:
    "One thread fewer for torch: two threads that wait for each other are slower than one."
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)

# %% [markdown]
# ## A run
# `Run` holds a game, its players and the streams of random numbers. Its methods are added below, one at a time.
#
# `average` is the decay of a running average of the generator's weights. It must be less than 1, since with 1 the average would never change.

# %%
#| export
Decay = Annotated[float, Real(0., .999999)]

# %% [markdown]
# `Run` itself: its initialiser checks the arguments as its signature declares them and stores them as attributes. The rest of the start is in two methods: `_choose` for the game, the data and the device, `_begin` for the players at step 0.

# %%
#| export
class Run:
    """A game played by several seeds at once; its state depends on configuration and steps alone.

    With `standardise` the players and losses are in the unit of the game; `scale` has that unit.

    >>> run = Run("minimax", "ring", runs=4, device="cpu").step(10)
    >>> run.losses["G"].shape, run.sample(100).shape  # (steps, runs) and (runs, n, *event)
    (torch.Size([10, 4]), torch.Size([4, 100, 2]))
    """
    def __init__(self, game: Game | str,  # a game, or the name of a registered one
                 modes: Any,  # a mode set, or the name of a registered one
                 runs: Count = 8,  # how many seeds, side by side
                 seed: Index = 0,  # run r is seed + r
                 device: str = "auto",  # auto (cuda, else cpu), cpu, cuda, cuda:1, mps
                 batch: Count = 256,  # examples per run and turn
                 average: Decay = 0.0,  # decay of a running average of G's weights; 0: none
                 shards: Count = 1,  # parts of a batch whose gradients are added up
                 precision: Literal["float32", "bf16"] = "float32",  # of products, in training
                 standardise: Standardise = "auto",  # points, for the game; auto: if far from unit
                 ):
        self.__dict__.update(check_arguments(Run.__init__, dict(
            runs=runs, seed=seed, batch=batch, average=average, shards=shards,
            precision=precision, standardise=standardise)))
        self._choose(game, modes, device)
        self._begin()

# %% [markdown]
# `_choose` builds the game and the mode set if they are given by name, and refuses combinations that cannot be trained. The length of a latent follows from the data (`latent_length` of the game) unless the networks set it.
#
# `scale` is the unit in which the game sees the data (chapter [0.3](../0_start/03_modes.ipynb)). With `standardise="auto"` the data are left as they are if they have a usual size. Points are standardised if the root mean square of their coordinates about the mean is below 0.1 or above 10, or if that of the mean's own coordinates is above 10. `real` gives examples in the unit of the game. `sample`, and what is measured on it, is in the unit of the data.

# %%
#| export
@patch
def _choose(self: Run, game: Game | str, modes: Any, device: str) -> None:
    "What is played, on which data, and where."
    self.game = make("game", game) if isinstance(game, str) else game
    modes = make("modes", modes) if isinstance(modes, str) else modes
    if not all(hasattr(modes, part) for part in ("event", "sample", "to")):
        raise TypeError("modes: expected a mode set, or the name of a registered one, "
                        f"got {modes!r:.80}")
    if self.batch % self.shards:
        raise ValueError(f"batch, shards: expected a batch that {self.shards} shards can share "
                         f"evenly, got {self.batch}")
    self.words, self.device = turn_words(self.game), find_device(device)
    self.game.check_conditional()
    self.game.suits(modes)
    self.modes, self.seeds = modes.to(self.device), range(self.seed, self.seed + self.runs)
    self.scale = choose_scale(self.modes, self.standardise, self.device)
    self.latent = self.game.networks.latent or self.game.latent_length(modes.event)

# %% [markdown]
# `_begin` sets up the state at step 0. The losses of all steps stay on the device, in a table that is doubled when it is full. If a number were copied to the CPU at each step, the program would have to wait for the graphics card.

# %%
#| export
@patch
def _begin(self: Run) -> None:
    "The players at step 0."
    self.players = Players(self.game, self.modes.event, self.latent, self.seeds, self.device,
                           self.average)
    self.steps, self._checked, self.saved = 0, 0, None  # done, losses checked, last checkpoint
    self.torn = False  # whether the last step was cut in half, by an error or a second Ctrl-C
    self._losses = {
        word: torch.empty(1024, self.runs, device=self.device) for word in self.words
    }
    self._streams: dict[str, list[torch.Generator]] = {}
    self._played: set[tuple[int, str]] = set()  # turns whose arguments have been checked
    # this process's shards, and the sum of all
    self.local_shards, self.add_up = range(self.shards), None
    self._check_groups(self.batch)

# %% [markdown]
# Some discriminators compare the examples of a group (minibatch deviation, chapter [3.4](../3_inclusion/04_growing.ipynb)). So a shard, a part of the batch, must consist of complete groups. `_check_groups` refuses other batches.

# %%
#| export
@patch
def _check_groups(self: Run, batch: int) -> None:
    "Refuse a batch whose shards are no whole groups, for a player that is `coupled` in groups."
    share = batch // self.shards
    for name, net in self.players.nets.items():
        part = getattr(net, "members", [net])[0]
        group = getattr(part, "group", 1)
        if getattr(part, "coupled", False) and share % min(group, share):
            raise ValueError(f"batch, shards: expected whole groups of {group} examples for "
                             f"{name}, got a batch of {batch} in {self.shards} shards")

# %% [markdown]
# ### Random numbers: one stream for each purpose
# `generators` gives the random generators for one purpose. Each is seeded anew for each use, from the run's seed, a word for the purpose, and the step. No generator is continued from an earlier step, so a checkpoint needs no generator states.

# %%
#| export
@patch
def generators(self: Run, stream: str, *place: int) -> list[torch.Generator]:
    "One generator per run, seeded by (seed, stream, place)."
    own = self._streams.setdefault(stream, [torch.Generator(self.device) for _ in self.seeds])
    return [g.manual_seed(derive_seed(s, stream, *place)) for g, s in zip(own, self.seeds)]

# %% [markdown]
# `real` draws real examples, with one generator per run, so that each run has its own data. `only` restricts them to some modes. The lab uses it to leave modes out.

# %%
#| export
@patch
def real(self: Run, n: int, generator: list[torch.Generator],
         only: Sequence[int] | None = None) -> torch.Tensor:
    "Real examples `(runs, n, *event)` as the game sees them, of the modes in `only` or of all."
    draw = self.modes.sample
    if only is not None:
        draw = functools.partial(sample_modes, self.modes, only)
    return self.scale.standardise(torch.stack([draw(n, generator=g) for g in generator]))

# %% [markdown]
# `noise` draws latents. The game decides how they are distributed. The check below shows that a seed gets the same latents alone as beside another seed.

# %%
#| export
@patch
def noise(self: Run, n: int, generator: list[torch.Generator]) -> torch.Tensor:
    "Latents `(runs, n, latent)`."
    shape = (self.runs, n, self.latent)
    return self.game.noise(*shape, generator=generator, device=self.device)

# %%
def small(**kw) -> Run:
    "A run that costs nothing."
    game = Minimax(networks=Networks(width=8))
    return Run(game, **{"modes": ring(), "runs": 2, "batch": 16, "device": "cpu", **kw})

two, one = small(), small(runs=1, seed=1)
z_two, z_one = (run.noise(5, run.generators("noise", 7)) for run in (two, one))
assert torch.equal(z_two[1:], z_one)

# %% [markdown]
# ### One turn
# With `precision="bf16"` the players compute in bfloat16, with 16 bits for each number instead of 32. `_bf16` converts their outputs to float32, so the losses are computed from numbers in float32.

# %%
#| export
@patch
@contextmanager
def _bf16(self: Run) -> Iterator[None]:
    "In a bf16 run: the players compute in bf16 and return float32."
    def half(forward: Any, *args: Any, **kw: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16):
            out = forward(*args, **kw)
        return out.float() if isinstance(out, torch.Tensor) else out
    nets = self.players.nets.values() if self.precision == "bf16" else ()
    for net in nets:
        net.forward = functools.partial(half, net.forward)
    try:
        yield
    finally:
        for net in nets:
            del net.forward  # the class's own comes back

# %% [markdown]
# `_turn_loss` computes the loss of a turn. In a diverged run a loss may refuse the samples, because they are not finite. The caller must see that the run diverged, at which step and for which seed. So such an error becomes `Diverged`. Any other error stays as it is. If an earlier loss was not finite, that one is reported.

# %%
#| export
@patch
def _turn_loss(self: Run, word: str, turn: Turn) -> torch.Tensor:
    "The loss of a turn; an error in a run that is not finite any more becomes `Diverged`."
    try:
        return self.game.turn_loss(word, turn)
    except Exception as error:
        lost = self.players.not_finite(self.runs) or self._lost_samples()
        if lost is None:
            raise
        self._check()
        raise Diverged(f"the loss of {word} has no value at step {self.steps}"
                       f"{self._lost_text(lost[1])}: what {lost[0]} gives is not finite "
                       f"({error}); {self._kept()}") from error

# %% [markdown]
# Weights may be finite, but so large that the samples are not finite. `_lost_samples` finds such runs.

# %%
#| export
@patch
def _lost_samples(self: Run) -> tuple[str, list[int]] | None:
    "G and the runs whose samples are not finite; None if all are, or if there are no samples."
    try:
        finite = self.sample(64, raw=True).isfinite()
    except Exception:  # we are in an error already; a game need not have a generator
        return None
    lost = [run for run in range(self.runs) if not finite[run].all()]
    return ("G", lost) if lost else None

# %% [markdown]
# `_lost_text` names the seeds of these runs for the message.

# %%
#| export
@patch
def _lost_text(self: Run, lost: Sequence[int]) -> str:
    "The seed, or the seeds, of some runs, as the end of a clause; empty if they are unknown."
    seeds = ", ".join(str(self.seeds[run]) for run in lost)
    return f", seed{'s' * (len(lost) > 1)} {seeds}" if lost else ""

# %% [markdown]
# `_kept` names the last checkpoint for the message. The user can resume from it.

# %%
#| export
@patch
def _kept(self: Run) -> str:
    "Where the last checkpoint is, in words."
    if self.saved:
        return f"the last checkpoint is {self.saved}"
    return "no checkpoint was saved"

# %% [markdown]
# `_loss` computes the loss of one shard. The first time a turn is played, every loss and penalty in it checks its arguments. Shapes do not change from step to step, so after that the checks are off.

# %%
#| export
@patch
def _loss(self: Run, place: int, word: str, shard: list[int]) -> torch.Tensor:
    "The loss of a turn, one value per run; its arguments are checked the first time only."
    turn = Turn(self, self.steps, place, *shard)
    played = (place, word) in self._played
    with self._bf16(), unchecked() if played else nullcontext():
        loss = self._turn_loss(word, turn)
    if loss.shape != (self.runs,):
        raise ValueError(f"game: loss_{word} should return one value per run, "
                         f"shape ({self.runs},), got {tuple(loss.shape)}")
    self._played.add((place, word))
    return loss

# %% [markdown]
# `_turn` takes one turn. The gradient is that of the mean over the batch. It is computed shard by shard and added up, and several processes may divide the shards among them ([chapter 6.13](13_distributed.ipynb)).

# %%
#| export
@patch
def _turn(self: Run, place: int, word: str) -> torch.Tensor:
    "One turn: the gradient, then a step down it; the loss per run."
    self.players.ready(word)
    total = torch.zeros(self.runs, device=self.device)
    for shard in self.local_shards:
        loss = self._loss(place, word, [shard] * (self.shards > 1))
        loss.backward(torch.full_like(loss, 1 / self.shards))  # of the sum over runs
        total += loss.detach() / self.shards
    if self.add_up:
        gradients = [self.players.flat[name].grad for name in self.players.movers[word]]
        for part in [*gradients, total]:
            self.add_up(part)
    self.players.step(word, self.steps)
    return total

# %% [markdown]
# ### Steps
# A step takes all turns once. Some players keep an average, such as the mean of a generator's inner latents. `_renew_buffers` lets them update it after the turns (`after_step`), once a step and outside the losses. So the average does not depend on how a batch is divided into shards, or on which process computes them. Computing a loss does not change it.

# %%
#| export
@patch
def _renew_buffers(self: Run) -> None:
    "Let players that keep running averages renew them, from fresh latents: no shard matters."
    for name in self.players.keeping:
        z = self.noise(self.batch, self.generators(f"after {name}", self.steps))
        with torch.no_grad():
            self.players.nets[name].after_step(Moment(self.steps, training=True), z)

# %% [markdown]
# `_one_step` takes one step. After the turns, the losses are stored and the averages are updated. `torn` is True while a step is unfinished. If the step is interrupted, `torn` stays True, and the half-changed state is not saved.

# %%
#| export
@patch
def _one_step(self: Run) -> None:
    "One pass through the turns."
    self.torn = True
    losses = {word: self._turn(place, word) for place, word in enumerate(self.words)}
    self._make_room()
    for word, loss in losses.items():
        self._losses[word][self.steps].copy_(loss)
    self._renew_buffers()
    self.players.update_ema()
    self.steps, self.torn = self.steps + 1, False

# %% [markdown]
# The table of losses has room for 1,024 steps at first. `_make_room` doubles it when it is full, so that a run needs no fixed length.

# %%
#| export
@patch
def _make_room(self: Run) -> None:
    "Double the tables of losses if they are full."
    for word, rows in self._losses.items():
        if self.steps == len(rows):
            self._losses[word] = torch.cat([rows, torch.empty_like(rows)])

# %% [markdown]
# `_check` looks for NaN and infinity in the losses, every 64 steps and at the end. Within a step, the first turn with such a loss is reported, because it may be the cause of the others.

# %%
#| export
@patch
def _check(self: Run) -> None:
    "Raise `Diverged` at the first loss since the last check that is not finite."
    order = list(dict.fromkeys([*self.words, *self._losses]))  # the order of the turns
    fresh = [self._losses[word][self._checked:self.steps] for word in order]
    wrong = [(int(at), turn, int(run)) for turn, rows in enumerate(fresh)
             for at, run in (~rows.isfinite()).nonzero()]
    if wrong:
        at, turn, run = min(wrong)
        raise Diverged(f"the loss of {order[turn]} is not finite at step {self._checked + at}, "
                       f"seed {self.seeds[run]}; {self._kept()}")
    self._checked = self.steps

# %% [markdown]
# `check_finite` also checks the weights. It is called before a checkpoint is written.

# %%
#| export
@patch
def check_finite(self: Run) -> None:
    "Raise `Diverged` if a loss or a weight is not finite."
    self._check()
    lost = self.players.not_finite(self.runs)
    if lost is not None:
        raise Diverged(f"the weights of {lost[0]} are not finite after {self.steps} steps"
                       f"{self._lost_text(lost[1])}; {self._kept()}")

# %% [markdown]
# `step` is the method that users call to train. It adds a progress bar, the check of the losses, and the handling of Ctrl-C.

# %%
#| export
@patch
def step(self: Run, n: int = 1,  # steps; each is one pass through the game's turns
         progress: bool | None = None,  # a progress bar; None: in a terminal only
         ) -> Run:
    "Train `n` steps. Ctrl-C ends after the present one; a loss not finite raises `Diverged`."
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    with finish_step_on_interrupt() as stop, \
            tqdm(range(check_int("n", n, 0)), disable=hidden, unit="step", leave=False) as bar:
        for i in bar:
            self._one_step()
            if i % 64 == 63 or i == n - 1 or stop.is_set():
                self._check()
            if stop.is_set():
                raise KeyboardInterrupt(f"stopped after step {self.steps}; "
                                        "everything up to it is kept")
    return self

# %% [markdown]
# ### What a run gives
# A run gives its losses, samples, coverage and checkpoints. `losses` copies the losses to the CPU, so a caller cannot change the table.

# %%
#| export
@patch(as_prop=True)
def losses(self: Run) -> dict[str, torch.Tensor]:
    """Loss of each turn, `(steps, runs)`, in the unit of the game; see `scale`.

    The last one where a turn comes several times in a step.
    """
    return {word: rows[:self.steps].cpu().clone() for word, rows in self._losses.items()}

# %% [markdown]
# Conditional players need labels of the real examples. `real_with_labels` draws examples and their labels, the numbers of their modes.

# %%
#| export
@patch
def real_with_labels(self: Run, n: int,
                     generator: list[torch.Generator]) -> tuple[torch.Tensor, torch.Tensor]:
    "Real examples `(runs, n, *event)` as the game sees them, and their modes, `(runs, n)`."
    if not hasattr(self.modes, "sample_with_modes"):
        raise ValueError("modes: a conditional player needs labels, so the set needs a method "
                         f"sample_with_modes, got {self.modes!r:.60}")
    drawn = [self.modes.sample_with_modes(n, generator=g) for g in generator]
    x, y = (torch.stack(part) for part in zip(*drawn))
    return self.scale.standardise(x), y.long()

# %% [markdown]
# Outside the turns, `player` gives a network as it is at this step. A network that draws random numbers gets them from a stream of its own.

# %%
#| export
@patch
def player(self: Run, name: str,  # of a player, such as "G"
           raw: bool = True,  # False: the averaged G where there is one
           ) -> nn.Module:  # takes its inputs alone, and labels if it is conditional
    """A player's network at this step, outside training, in the unit of the game; see `scale`.

    The same random numbers each time it is asked for; a second call of it draws others.
    """
    net = self.players.nets[check_choice("name", name, self.players.nets)]
    if name == "G" and not raw and self.players.averaged is not None:
        net = self.players.averaged
    if name not in self.players.bound:
        return net
    return BoundPlayer(net, Moment(self.steps, self.generators(f"look {name}", self.steps)))

# %% [markdown]
# `sample` draws samples. It uses a stream of random numbers of its own, so drawing samples does not change the training. Two calls at the same step give the same samples.

# %%
#| export
@patch
@torch.no_grad()
def sample(self: Run, n: int,  # samples per run
           raw: bool = False,  # the present weights even where a running average is kept
           y: torch.Tensor | None = None,  # labels (runs, n) for G; None: as in the data
           ) -> torch.Tensor:  # (runs, n, *event)
    "What the generators make at this step, in the data's units; the same at each call."
    net = self.player("G", raw)
    z = self.noise(check_int("n", n), self.generators("evaluation", self.steps))
    inputs = [z, *self._labels(n, y)]
    with evaluation_mode(net):
        parts = zip(*(v.split(4096, dim=1) for v in inputs))
        return self.scale.restore(torch.cat([net(*part) for part in parts], dim=1))

# %% [markdown]
# A conditional G needs a label for each sample. If the caller gives none, `_labels` draws them from the data, so they have the frequencies of the data.

# %%
#| export
@patch
def _labels(self: Run, n: int, y: torch.Tensor | None) -> list[torch.Tensor]:
    "The labels of `n` samples per run in a list, which is empty if G takes none."
    if "G" not in self.players.labelled:
        if y is not None:
            raise ValueError("y: G takes no labels; see with_labels")
        return []
    if y is None:
        return [self.real_with_labels(n, self.generators("evaluation labels", self.steps))[1]]
    y = check_shape("y", y, (self.runs, n), torch.int64, "one label per sample")
    most = getattr(self.modes, "n_modes", math.inf) - 1
    if y.numel() and (y.min() < 0 or y.max() > most):
        raise ValueError(f"y: expected labels from 0 to {most}, got {y.min()} to {y.max()}")
    return [y.to(self.device)]

# %% [markdown]
# `coverage` measures samples of each run (chapter [0.4](../0_start/04_coverage.ipynb)). The protocol says how many samples to draw, unless the caller gives a number.

# %%
#| export
@patch
def coverage(self: Run, protocol: str = "pacgan",  # a name in `evaluation.coverage.PROTOCOLS`
             n: int | None = None,  # samples per run; None: as many as the protocol asks for
             ) -> list[measures.Coverage]:
    "What each run covers of its modes."
    rules = measures.PROTOCOLS[check_choice("protocol", protocol, measures.PROTOCOLS)]
    n = rules.samples(self.modes) if n is None else n
    return measures.coverages(self.sample(n), self.modes, protocol)

# %% [markdown]
# `save` writes a checkpoint and remembers its path, so that a later error can name the last good one.

# %%
#| export
@patch
def save(self: Run, path: str | Path) -> Path:
    "Write a checkpoint; see `modelab.training.checkpoints.save_checkpoint`."
    self.saved = save_checkpoint(self, path)
    return self.saved

# %% [markdown]
# `copy.deepcopy` and `pickle` make a run with its own weights. The weights of a player are in one block of memory, and a copy of the network alone would lose that. So a copy is made from the state: the players are built again and get the same tensors. `__getstate__` gives the state.

# %%
#| export
@patch
def __getstate__(self: Run) -> dict[str, Any]:
    "What `copy.deepcopy` and `pickle` take: the players as tensors, everything else as it is."
    need_gradients(self.players.weights.values())  # the copy of a network of yours must train
    tensors = {name: v.detach().clone() for name, v in self.players.state().items()}
    losses = {word: rows.clone() for word, rows in self._losses.items()}
    return {**self.__dict__, "game": copy.deepcopy(self.game), "players": tensors,
            "_losses": losses, "_streams": {}}

# %% [markdown]
# `__setstate__` builds the players of the copy from its own copy of the game.

# %%
#| export
@patch
def __setstate__(self: Run, state: dict[str, Any]) -> None:
    "Build the players again, and give them the tensors of the copied run."
    self.__dict__.update(state)
    self.players = Players(self.game, self.modes.event, self.latent, self.seeds, self.device,
                           self.average)
    self.players.restore(state["players"])

# %%
twin = copy.deepcopy(run := small().step(2)).step(2)
assert torch.equal(twin.players.flat["G"], run.step(2).players.flat["G"])

# %% [markdown]
# `load` is a class method, so that a checkpoint becomes a run of the class that it is called on. The code of both is in the section on checkpoints below.

# %%
#| export
@patch(cls_method=True)
def load(cls: Run, path: str | Path, game: Game | None = None, modes: Any = None,
         device: str = "auto") -> Run:
    "Read a checkpoint and go on; see `modelab.training.checkpoints.load_checkpoint`."
    return load_checkpoint(cls, path, game, modes, device)

# %% [markdown]
# A run prints its game, data, seeds, step and device, so that an output says which run it belongs to.

# %%
#| export
@patch
def __repr__(self: Run) -> str:
    seeds = f"seeds {self.seed}–{self.seeds[-1]}" if self.runs > 1 else f"seed {self.seed}"
    return (f"{type(self.game).__name__} on {self.modes!r}, {seeds}, {self.steps} steps "
            f"on {self.device}")

# %%
run = small().step(3)
run, tuple(run.losses["G"].shape), tuple(run.sample(5).shape)

# %% [markdown]
# **Check.** A set that is 128 times as large gives the same bits if the game sees it standardised, and samples that are 128 times as large. A set of usual size is left alone.

# %%
def enlarged(factor: float) -> Run:
    "Ten standardised steps on a ring of this radius."
    return small(modes=ring(radius=factor, std=.01 * factor), standardise=True).step(10)

one, large = enlarged(1), enlarged(128)
assert torch.equal(128 * one.sample(9), large.sample(9)) and small().scale.mean is None
one.scale.size, large.scale.size

# %% [markdown]
# ## Checkpoints
# A checkpoint is one safetensors file. It contains the tensors of `players.state()`, the losses, and a note in JSON. The note holds the configuration: everything that the state after $n$ steps depends on, except for $n$.

# %%
#| export training.checkpoints
CHECKPOINT_FORMAT = "modelab-run-1"
RUN_SETTINGS = ("runs", "seed", "batch", "average", "shards", "precision", "standardise")

# %% [markdown]
# `run_config` collects the configuration as plain data. The settings of the game are read from the game itself, because they may have changed since it was made. A game of a class that is not registered has no name, and is None.

# %%
#| export training.checkpoints
def run_config(run: Any) -> dict[str, Any]:
    "Everything that the state after n steps depends on besides n, as plain JSON."
    settings = {name: getattr(run, name) for name in RUN_SETTINGS}
    return {"game": current_spec(run.game), "modes": getattr(run.modes, "spec", None), **settings}

# %%
run_config(run)

# %% [markdown]
# `save_checkpoint` saves only a complete step with finite losses and finite weights. So a diverged run, or an interrupted step, never overwrites a good checkpoint. The weights are checked as well, because a finite loss may have a gradient that is not finite.

# %%
#| export training.checkpoints
def save_checkpoint(run: Any,
                    path: str | Path,  # parent folders are made
                    ) -> Path:
    "Write a checkpoint, all of it or nothing; `Diverged` if losses or weights are not finite."
    from safetensors.torch import save
    run.check_finite()
    if run.torn:
        raise ValueError(f"run: the step after {run.steps} was cut in half; "
                         f"go back to the last checkpoint, {run.saved}")
    tensors = run.players.state() | {f"loss/{word}": rows for word, rows in run.losses.items()}
    if run.scale.mean is not None:
        tensors |= {"scale/mean": run.scale.mean,
                    "scale/size": torch.tensor(run.scale.size, dtype=torch.float64)}
    tensors = {name: v.detach().cpu().clone() for name, v in tensors.items()}
    about = {"format": CHECKPOINT_FORMAT, "steps": run.steps, **run_config(run)}
    if data := getattr(run.modes, "digest", None):
        about["data"] = data
    note = json.dumps(about)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, save(tensors, metadata={"modelab": note}))
    return path

# %% [markdown]
# A file may come from somebody else, so `check_note` checks the note before anything is built from it. Counts must be whole numbers. There must be as many losses as steps. There must not be more runs than numbers in the file.

# %%
#| export training.checkpoints
def check_note(note: dict, tensors: dict[str, torch.Tensor]) -> None:
    "Refuse a note that does not describe a run with these tensors."
    counts = {"runs": 1, "seed": 0, "batch": 1, "shards": 1, "steps": 0}  # with the least of each
    for name, least in counts.items():
        check_int(name, note[name], least)
    for kind in ("game", "modes"):
        if note[kind] is not None and not isinstance(note[kind].get("name"), str):
            raise TypeError(f"{kind}: expected a name")
    lengths = {tuple(v.shape) for k, v in tensors.items() if k.startswith("loss/")}
    size = sum(v.numel() for v in tensors.values())
    if lengths != {(note["steps"], note["runs"])} or note["runs"] > size:
        raise ValueError(f"{note['steps']} steps of {note['runs']} runs, "
                         f"but losses of shape {lengths}")

# %% [markdown]
# `read_checkpoint` opens a file without executing anything from it. Damage, another format and a wrong note are reported as a `ValueError` with the path. A missing file stays a `FileNotFoundError`.

# %%
#| export training.checkpoints
def read_checkpoint(path: str | Path) -> tuple[dict, dict[str, torch.Tensor]]:
    "The note and the tensors of a checkpoint; `ValueError` if it is damaged or not one of ours."
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(str(path), "pt") as file:
            note = json.loads((file.metadata() or {}).get("modelab", "{}"))
            tensors = {k: file.get_tensor(k) for k in file.keys()}
    except FileNotFoundError:
        raise FileNotFoundError(f"path: there is no checkpoint {path}") from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f"path: {path} is not a readable checkpoint ({error})") from error
    got = note.get("format") if isinstance(note, dict) else note
    if got != CHECKPOINT_FORMAT:
        raise ValueError(f"path: {path} is no modelab run: expected format {CHECKPOINT_FORMAT}, "
                         f"got {got!r:.60}")
    older = {"shards": 1, "precision": "float32", "standardise": "auto"}  # before there were any
    note = older | note
    try:
        check_note(note, tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"path: {path} is not a checkpoint that modelab wrote "
                         f"({error})") from error
    return note, tensors

# %%
folder = Path(tempfile.mkdtemp())
note, tensors = read_checkpoint(run.save(folder / "run.safetensors"))
note["steps"], sorted(tensors)[:4]

# %% [markdown]
# A folder holds several checkpoints of one run. `list_checkpoints` lists them from the newest to the oldest.

# %%
#| export training.checkpoints
def list_checkpoints(folder: str | Path) -> list[Path]:
    "The checkpoints in a folder, newest first; those of its only group of seeds if it has none."
    found = sorted(Path(folder).glob("step-*.safetensors"), reverse=True)
    if found:
        return found
    groups = sorted({p.parent for p in Path(folder).glob("seeds-*/step-*.safetensors")})
    if len(groups) > 1:
        raise ValueError(f"path: {folder} holds {len(groups)} groups of seeds, name one of them: "
                         + ", ".join(p.name for p in groups))
    return list_checkpoints(groups[0]) if groups else []

# %% [markdown]
# `read_newest` reads the newest checkpoint of a folder. If this file is damaged, the one before it is taken, with a warning, so that the run can still be resumed.

# %%
#| export training.checkpoints
def read_newest(folder: Path) -> tuple[Path, dict, dict[str, torch.Tensor]]:
    "The newest checkpoint of a folder that can be read; a warning names those that cannot."
    damaged = []
    for path in list_checkpoints(folder):
        try:
            return path, *read_checkpoint(path)
        except ValueError as error:
            damaged.append(str(error))
            warnings.warn(f"{error}; trying the one before", stacklevel=3)
    if damaged:
        raise ValueError(f"path: no checkpoint in {folder} can be read; "
                         f"the first says: {damaged[0]}")
    raise FileNotFoundError(f"path: there is no checkpoint in {folder}")

# %% [markdown]
# `load_checkpoint` builds the run from the note and then restores its tensors. A game that was made with networks of your own has no name, and must be passed.

# %%
#| export training.checkpoints
def load_checkpoint(cls: type,
                    path: str | Path,  # a checkpoint, or a folder of them
                    game: Any = None,  # needed if it has no name or networks of your own
                    modes: Any = None,  # needed if the mode set has no name
                    device: str = "auto",  # may differ from where it was saved
                    ) -> Any:
    "Read a checkpoint; `FileNotFoundError` if there is none, `ValueError` if it does not fit."
    path = Path(path)
    path, note, tensors = read_newest(path) if path.is_dir() else (path, *read_checkpoint(path))
    game, modes = (_make_named(kind, note[kind], path) if given is None
                   else _check_given(kind, given, note[kind], path)
                   for kind, given in (("game", game), ("modes", modes)))
    try:
        run = cls(game, modes, device=device, **{k: note[k] for k in RUN_SETTINGS})
        run.players.restore(tensors)
        run.scale = _saved_scale(run.modes.event, tensors)
        for word, rows in run._losses.items():
            run._losses[word] = torch.cat([tensors[f"loss/{word}"].to(run.device), rows])
    except (RuntimeError, KeyError, MemoryError) as error:
        raise ValueError(f"path: {path} does not fit {type(game).__name__} on {modes!r}: "
                         f"{error}") from error
    run.steps = run._checked = note["steps"]
    run.saved = path
    _warn_of_changes(run, note)
    return run

# %% [markdown]
# The files of a data set may have changed since the checkpoint was saved. The run continues with the present files, and `_warn_of_changes` gives a warning.

# %%
#| export training.checkpoints
def _warn_of_changes(run: Any, note: dict) -> None:
    "Warn if the data has another digest than it had when the checkpoint was saved."
    known, now = note.get("data"), getattr(run.modes, "digest", None)
    if known is not None and now is not None and known != now:
        folder = (getattr(run.modes, "spec", None) or {}).get("folder", "the data")
        warnings.warn(f"{folder}: its files have changed since {run.saved} was saved; "
                      "what is there now is used", stacklevel=4)

# %% [markdown]
# The scale of the data is not measured again, since another machine may draw other examples. `_saved_scale` takes it from the file.

# %%
#| export training.checkpoints
def _saved_scale(event: tuple[int, ...], tensors: dict[str, torch.Tensor]) -> DataScale:
    "The unit of the data that was saved, or that of the data; `KeyError` if it does not fit."
    saved = {k: v for k, v in tensors.items() if k.startswith("scale/")}
    if not saved:
        return DataScale()
    mean, size = saved["scale/mean"], saved["scale/size"]
    if tuple(mean.shape) != tuple(event) or size.ndim or not size > 0:
        raise KeyError("the scale of the data")
    return DataScale(mean, size.item())

# %% [markdown]
# The note stores the game and the mode set by name, and `_make_named` builds them. If one of them has no name, it cannot be built from the file, and the error says which argument to pass.

# %%
#| export training.checkpoints
def _make_named(kind: str, spec: dict | None, path: Path) -> Any:
    "The game or the mode set of a note; `ValueError` if it was saved without a name."
    if spec is None:
        raise ValueError(f"{kind}: {path} was saved with a {kind} that has no name; pass {kind}=")
    return make(kind, spec)

# %% [markdown]
# If a game or a mode set is passed, `_check_given` requires the name and the settings in the note. Otherwise the run would go on with other settings under the old name. The note stores only the class of a network of your own. So such a network fits if the saved weights fit. The folder of a data set is not compared, since it may differ from machine to machine. To change a setting, load the run first and use `set_setting` ([6.2](02_registry.ipynb)).

# %%
#| export training.checkpoints
def _check_given(kind: str, given: Any, spec: dict | None, path: Path) -> Any:
    "The game or the mode set that was passed; `ValueError` if the note names another one."
    given = make(kind, given) if isinstance(given, str) else given
    if spec is None:
        return given
    settings = {k: v for k, v in spec.items() if k not in ("name", "folder")}
    if kind == "game":
        settings, got = upgrade_settings(settings, spec["name"]), current_spec(given)
    else:
        got = to_json(getattr(given, "spec", None))
    if not got or got["name"] != spec["name"]:
        raise ValueError(f"{kind}: {path} was saved with {spec['name']}, got "
                         f"{got['name'] if got else type(given).__name__}")
    for name, value in settings.items():
        if _plain(got.get(name)) != _plain(value):
            raise ValueError(f"{kind}: {path} was saved with {name}={value!r:.60}, "
                             f"got {got.get(name)!r:.60}")
    return given

# %% [markdown]
# `_plain` brings a setting to the form in which two settings are compared.

# %%
#| export training.checkpoints
def _plain(value: Any) -> Any:
    "A setting for comparison: without what is left open, and without the class of own objects."
    if not isinstance(value, dict):
        return value
    return "own" if "own" in value else {k: v for k, v in value.items() if v is not None}

# %%
path = run.save(folder / "run.safetensors")
assert Run.load(path, game=Minimax(networks=Networks(width=8)), device="cpu").steps == run.steps
[error_message(Run.load, path, **other).replace(str(folder), "…")
 for other in (dict(game=Minimax()), dict(modes=ring(9)))]

# %% [markdown]
# **Check.** A run that is saved at any step from 0 to 5 and resumed has, after six steps, the same weights of G, bit for bit, as a run that never stopped. Its learning rate falls: it is a function of the step, so it is right after the resume, too.

# %%
game = with_settings(Minimax(networks=Networks(width=8)), schedule=Schedule("cosine", 6))

def falling() -> Run:
    "A small run whose learning rate falls over six steps."
    return Run(game, ring(), runs=2, batch=16, device="cpu")

straight = falling().step(6).players.flat["G"]
for n in range(6):
    path = falling().step(n).save(folder / "falling.safetensors")
    resumed = Run.load(path, device="cpu").step(6 - n)
    assert torch.equal(resumed.players.flat["G"], straight)

# %% [markdown]
# ## Recap
# - The weights of a player are one block of memory, so an Adam step is one operation on one tensor.
# - Each random number comes from a generator that is seeded by the seed, the purpose and the step. So a seed gets the same numbers alone or beside others, and a checkpoint needs no generator states.
# - Arguments of losses are checked when a turn is played for the first time. Losses are checked for NaN every 64 steps.
# - A checkpoint holds tensors and a note in JSON. Only a complete step with finite losses and weights is saved.
