# %% [markdown]
# # Games, turns and optimisers
# > What does the training engine ask of a method, and how does a turn draw its data and noise?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What does the training engine ask of a method, and how does a turn draw its data and noise? |
# | **You will be able to** | say what each method of `Game` is for; explain why no draw of a turn depends on an earlier one |
# | **Needs** | [1.2](../1_game/02_training.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who write a method. To set rates by player, give a game `optimiser=Optimiser(...)` (first section). To write a game, inherit from `AdversarialGame`, or from `CriticGame` if D moves more often than G. Chapter 1.2 shows this with an example. Chapter [6.7](07_engine.ipynb) builds the engine that calls the methods of this chapter.

# %%
#| default_exp training.game

# %%
#| export
"What a method looks like to the engine: Game and Turn."
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from modelab.core.seeding import Generators, randn
from modelab.core.signatures import Count, check_fields, run_axis
from modelab.networks.layers import has_hook, make_player, Moment, WithLabels
from modelab.networks.players import Networks, Player
from modelab.training.optimiser import Optimiser

# %%
#| export training.optimiser
"Adam's settings for the players of a game, and learning-rate schedules."
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from modelab.core.checks import check_choice
from modelab.core.registry import SettingGroup
from modelab.core.signatures import Count, NonNegative, Real, Share, check_fields, check_value

# %%
from modelab.core.checks import error_message
from modelab.course.notebooks import patch

# %% [markdown]
# ## The optimiser and learning-rate schedules
# `Schedule` gives the factor, between 0 and 1, that multiplies the learning rate at a step. It depends on nothing but the step, so a run that is resumed at step 500 continues with the rate of step 500.

# %%
#| export training.optimiser
@dataclass(frozen=True)
class Schedule(SettingGroup):
    """A factor that falls from 1 over so many steps of a run, and stays where it ends.

    "cosine" falls as half a cosine. "linear" is constant for the first half, then a straight line
    to 0; with `stairs`, the line is a staircase, each stair `steps // stairs` steps long.
    """
    shape: Literal["cosine", "linear"]
    steps: Count  # over which it falls
    floor: Share = .01  # the least factor of "cosine"
    stairs: Count | None = None  # of "linear"; None: another factor at each step

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, step: int) -> float:
        "The factor at this step."
        if self.shape == "cosine":
            return max(self.floor, (1 + math.cos(math.pi * min(1., step / self.steps))) / 2)
        if self.stairs is None:
            return min(1., 2 * max(0., 1 - step / self.steps))
        stair = min(step // max(1, self.steps // self.stairs), self.stairs - 1)
        return min(1., 2 * (1 - stair / self.stairs))

# %% [markdown]
# In a file a schedule is a dict of its settings. `as_schedule` makes a `Schedule` of it:

# %%
#| export training.optimiser
def as_schedule(name: str, value: Any) -> Schedule | None:
    "A schedule from one, or from its settings as a file holds them; `TypeError` for anything else."
    if value is None or isinstance(value, Schedule):
        return value
    known = Schedule.__dataclass_fields__.keys()
    if not isinstance(value, dict) or not {"shape", "steps"} <= value.keys() <= known:
        raise TypeError(f"{name}: expected a Schedule or its settings, got {value!r:.80}")
    return Schedule(**value)

# %%
as_schedule("schedule", {"shape": "linear", "steps": 9}), error_message(as_schedule, "schedule", 9)

# %% [markdown]
# The settings of Adam are in one class, `Optimiser`. Each may be one value, or a dict with a value for each player. `Beta` is the range of a decay rate:

# %%
#| export training.optimiser
Beta = Annotated[float, Real(0., .999999)]


# %% [markdown]
# `Optimiser` holds the learning rate, Adam's two decay rates (`betas`) and the schedule. `rates` gives the values for one player, so that G and D may differ.

# %%
#| export training.optimiser
@dataclass(frozen=True)
class Optimiser(SettingGroup):
    "Adam's settings; one that is None is the game's own default."
    lr: NonNegative | dict[str, NonNegative] | None = None  # learning rate; a dict: by player
    betas: Any = None  # two decay rates; a dict sets them by player
    schedule: Schedule | None = None  # of the learning rate; None: constant

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", as_schedule("schedule", self.schedule))
        if isinstance(self.betas, (list, dict)):  # a copy: the caller may change his own
            kind = tuple if isinstance(self.betas, list) else dict
            object.__setattr__(self, "betas", kind(self.betas))
        check_fields(self)

    def rates(self, player: str) -> dict[str, Any]:
        "Adam's settings for a player, at a factor of 1."
        lr, betas = (v.get(player) if isinstance(v, dict) else v for v in (self.lr, self.betas))
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas of {player}: expected two numbers, got {betas!r}")
        return {"lr": check_value(f"lr of {player}", NonNegative, lr),
                "betas": tuple(check_value(f"betas of {player}", Beta, b) for b in betas)}

# %% [markdown]
# `check_players` refuses a dict that names a player that the game does not have. The engine calls it as soon as the players are known.

# %%
#| export training.optimiser
@patch
def check_players(self: Optimiser, players: Iterable[str]) -> None:
    "Refuse a table of `lr` or `betas` that names another player."
    for name in ("lr", "betas"):
        table = getattr(self, name)
        for player in table if isinstance(table, dict) else ():
            check_choice(name, player, players)

# %%
rates = Optimiser({"G": 1e-4, "D": 4e-4}, (0., .9))
rates.rates("D"), error_message(rates.check_players, ["G", "E"])

# %% [markdown]
# ## A game
# A method is a subclass of `Game`. It defines its players, the order of their turns, and a loss for each turn. `networks` and `optimiser` are two fields that all games have.

# %%
#| export
@dataclass(kw_only=True)
class Game:
    """A method: players, the turns they take, and a loss for each. Inherit, and register the class.

    `turns` names, word by word, who moves in one step: "D D D D D G", or "D GE" where two move
    together. For each word the game has a method `loss_<word>(t)` that returns one loss per run;
    `t` is a `Turn`. A player that no turn names never moves; its buffers are saved with the run.
    Those in `conditional` may be `with_labels`: losses call them with one example for each label.
    """
    networks: Networks = Networks()  # that the game makes where you give none
    optimiser: Optimiser = Optimiser()  # of the players
    turns: ClassVar[str] = "D G"
    conditional: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = "mlp", "conv", "grown", "style"  # that it makes
    groups: ClassVar[dict[str, type]] = dict(networks=Networks, optimiser=Optimiser)
    default_networks: ClassVar[Networks] = Networks("mlp", width=128, depth=2)
    default_optimiser: ClassVar[Optimiser] = Optimiser(1e-3, (0., .9))

    def __post_init__(self) -> None:
        for name, group in self.groups.items():
            given = getattr(self, name)
            if not isinstance(given, group):
                raise TypeError(f"{name}: expected {group.__name__}(...), got {given!r:.60}")
            setattr(self, name, given.over(getattr(self, f"default_{name}")))
        check_fields(self)

# %% [markdown]
# `players` makes the players of a game. Each network has a run axis, and its weights are drawn from one generator per run.

# %%
#| export
@patch
def players(self: Game, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "The networks that play, by name, with a run axis; one generator per run draws the weights."
    raise NotImplementedError(f"{type(self).__name__} has no players")

# %% [markdown]
# Three more methods have a default. `noise` draws the latents from a standard normal distribution.

# %%
#| export
@patch
def noise(self: Game, *shape: int, generator: Generators = None,
          device: Any = None) -> torch.Tensor:
    "Latents; standard normal unless a game says otherwise."
    return randn(*shape, generator=generator, device=device)

# %% [markdown]
# A latent has as many numbers as an example, from 2 to 64, unless `networks` names another length. A game whose latents have the size of an example overrides `latent_length` (flow matching, chapter [1.7](../1_game/07_not_a_gan.ipynb)).

# %%
#| export
@patch
def latent_length(self: Game, event: tuple[int, ...]) -> int:
    "How long a latent is for examples of shape `event`, where `networks` does not say it."
    return max(2, min(64, math.prod(event)))

# %% [markdown]
# `suits` does nothing by default. A game that needs a special kind of data overrides it and raises an error before training starts.

# %%
#| export
@patch
def suits(self: Game, modes: Any) -> None:
    "Refuse, by a `ValueError`, a mode set that this game cannot be played on."

# %% [markdown]
# Some losses apply a player to other examples than the batch of the turn, and such examples have no labels. So a game states which players may be conditional, and which `kinds` of networks it makes. `check_conditional` refuses others before training starts.

# %%
#| export
@patch
def check_conditional(self: Game) -> None:
    "Refuse, by a `ValueError`, labels or a kind of networks that the game has no use for."
    made = [name for name, given in vars(self).items() if isinstance(given, WithLabels)]
    for name in sorted(set(made) - set(self.conditional)):
        may = " and ".join(self.conditional) or "no player"
        raise ValueError(f"{name}: expected a player without labels, got with_labels; the "
                         f"losses of {type(self).__name__} do not use them (here {may} may "
                         "have labels, in Minimax G and D; in a game of yours, name it in "
                         "`conditional`)")
    if (kind := self.networks.kind or "mlp") not in self.kinds:
        raise ValueError(f"kind: expected {' or '.join(self.kinds)} for {type(self).__name__}, "
                         f"got {kind!r}")

# %% [markdown]
# The engine calls `turn_loss`, which finds the loss of a turn by its name. Inside `run_axis()` the first axis of a score is always the runs, so the shape `(runs, 1)` means a batch of one example.

# %%
#| export
@patch
def turn_loss(self: Game, word: str, turn: Turn) -> torch.Tensor:
    "The loss of a turn, one value per run."
    with run_axis():
        return getattr(self, f"loss_{word}")(turn)

# %% [markdown]
# Most games have a generator G and a discriminator D. They inherit from `AdversarialGame` and add their losses.

# %%
#| export
@dataclass(kw_only=True)
class AdversarialGame(Game):
    "A game between a generator G and a discriminator D of examples; a subclass adds the losses."
    G: Player = None  # your own network, or a function that makes one; None: one that fits the set
    D: Player = None
    conditional: ClassVar[tuple[str, ...]] = "G", "D"

    def players(self, event: tuple[int, ...], latent: int, runs: int,
                generator: list) -> dict[str, nn.Module]:
        "G and D, one copy per run."
        kw, nets = dict(runs=runs, generator=generator), self.networks
        return {"G": make_player("G", self.G, lambda: nets.generator(latent, event, **kw), **kw),
                "D": make_player("D", self.D, lambda: nets.discriminator(event, **kw), **kw)}


# %% [markdown]
# In some methods D takes several steps for each step of G (chapter [1.4](../1_game/04_wasserstein.ipynb)). They inherit from `CriticGame`.

# %%
#| export
@dataclass(kw_only=True)
class CriticGame(AdversarialGame):
    "An adversarial game in which D moves `n_critic` times before each move of G."
    n_critic: Count = 1  # turns of D for one of G

    @property
    def turns(self) -> str:
        "D's turns, then G's."
        return "D " * self.n_critic + "G"


# %% [markdown]
# `turn_words` refuses a game without a loss for one of its turns, before it trains.

# %%
#| export
def turn_words(game: Game) -> list[str]:
    "The words of `turns`, in order; `ValueError` if one of them has no loss."
    if not isinstance(game, Game):
        raise TypeError(f"game: expected a game that inherits from modelab.Game, got {game!r:.80}")
    words = game.turns.split()
    lost = [f"loss_{word}" for word in dict.fromkeys(words) if not hasattr(game, f"loss_{word}")]
    if not words or lost:
        raise ValueError(f"game: {type(game).__name__} takes the turns {game.turns!r} and has no "
                         f"{' or '.join(lost) or 'turn to take'}")
    return words

# %%
error_message(turn_words, CriticGame(n_critic=3))

# %% [markdown]
# ## A turn
# A loss gets one argument, a `Turn` `t`. Batches are drawn when they are first used, so a turn without real data draws none.

# %%
#| export
class Turn:
    "The argument of a loss: the players, real data and latents of one turn, drawn at first use."
    def __init__(self, run: Any, step: int, place: int, *shard: int):
        self._run, self.step, self._place = run, step, (place, *shard)
        self.__dict__.update(run.players.nets)
        for name in run.players.bound:
            self.__dict__[name] = BoundPlayer(run.players.nets[name], self._moment(name), self)

    @functools.cached_property
    def x(self) -> torch.Tensor:
        "Real data, `(runs, batch, *event)`."
        if not self._run.players.labelled:
            return self.real(self.batch)
        x, self.__dict__["y"] = self.real_with_labels(self.batch)
        return x

    @functools.cached_property
    def z(self) -> torch.Tensor:
        "Latents, `(runs, batch, latent)`."
        return self.noise(self.batch)

    @functools.cached_property
    def generator(self) -> list[torch.Generator]:
        "One generator per run for whatever else the loss draws."
        return self._generators("loss")

# %% [markdown]
# If a player is conditional (`with_labels`, chapter [0.5](../0_start/05_networks.ipynb)), the real batch comes with its labels `t.y`. G and D both get these labels, so a generated example has the label of the real example with the same number.

# %%
#| export
@patch(as_prop=True)
def y(self: Turn) -> torch.Tensor:
    "Labels of the real batch, int64 `(runs, batch)`, in a game with a conditional player."
    if not self._run.players.labelled:
        raise AttributeError("y: no player of this game takes labels; see with_labels")
    self.x  # draws both, and puts the labels in this place
    return self.__dict__["y"]


# %% [markdown]
# A network with `takes_moment` (chapter [0.5](../0_start/05_networks.ipynb)) gets the step and its own random numbers. During a turn the network is wrapped in a `BoundPlayer`, which passes the labels and the moment to it. No other player uses the same random numbers.

# %%
#| export
class BoundPlayer(nn.Module):
    "A player with what it needs beside its inputs: the moment, and the labels of the turn."
    lead = 2

    def __init__(self, net: nn.Module,
                 moment: Moment,  # given to a network that has `takes_moment`
                 turn: Turn | None = None,  # with the labels of a conditional network
                 ):
        super().__init__()
        self.net, self._turn = net, turn if getattr(net, "labelled", False) else None
        self._when = {"moment": moment} if has_hook(net, "takes_moment") else {}

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        when = self._when
        if when and not self.net.training:  # a look in evaluation mode, such as a matching
            when = {"moment": replace(when["moment"], training=False)}
        if self._turn is None:
            return self.net(*inputs, **when)
        y = self._turn.y
        if inputs[0].shape[:2] != y.shape:
            raise ValueError(f"y: a conditional player takes one example for each label, "
                             f"{tuple(y.shape)}, got {tuple(inputs[0].shape)}")
        return self.net(*inputs, y, **when)

# %% [markdown]
# The batch size is a setting of the run. A loss that needs more than a batch calls `t.real(5000, "pool")`, where "pool" names a stream of random numbers.

# %%
#| export
@patch(as_prop=True)
def batch(self: Turn) -> int:
    "Examples per run in this turn."
    if "x" in self.__dict__:
        return self.__dict__["x"].shape[1]
    return self._run.batch // self._run.shards

# %% [markdown]
# Some losses need to know how a player is trained. For example, `Unrolled` (chapter [1.6](../1_game/06_mode_seeking.ipynb)) starts its virtual steps of D from Adam's running means. `players` is the object of chapter [6.7](07_engine.ipynb) that holds all networks with their weights, optimisers and rates. A loss may read it. It must not change it, because the engine trains with it.

# %%
#| export
@patch(as_prop=True)
def players(self: Turn) -> Any:
    "All players of the run with their weights, optimisers and rates; to be read only."
    return self._run.players

# %% [markdown]
# `real` draws from the data. With `only` it draws from the listed modes alone.

# %%
#| export
@patch
def real(self: Turn, n: int, stream: str = "data",
         only: Sequence[int] | None = None) -> torch.Tensor:
    "`n` real examples per run from a stream of their own, of all modes or of those in `only`."
    return self._shape_reals(self._run.real(n, self._generators(stream), only))

# %% [markdown]
# A game may use classes in a way of its own, such as `FewLabels` (chapter [5.8](../5_icml2019/08_few_labels.ipynb)). `real_with_labels` gives it the labels beside the examples.

# %%
#| export
@patch
def real_with_labels(self: Turn, n: int, stream: str = "data") -> tuple[torch.Tensor, torch.Tensor]:
    "`n` real examples per run and their labels, int64 `(runs, n)`, from a stream of their own."
    x, y = self._run.real_with_labels(n, self._generators(stream))
    return self._shape_reals(x), y

# %% [markdown]
# A player may change the real examples of a turn. For example, if a generator begins with small pictures, the real pictures must be made smaller, too. Such a player has a method `shape_reals`. If several players have one, that of the first is used.

# %%
#| export
@patch
def _shape_reals(self: Turn, x: torch.Tensor) -> torch.Tensor:
    "Real examples `(runs, n, *event)` as a player with `shape_reals` wants them in this turn."
    for name in self._run.players.shaping:
        return self._run.players.nets[name].shape_reals(x, self._moment(name, "reals"))
    return x

# %% [markdown]
# `noise` draws latents in the same way.

# %%
#| export
@patch
def noise(self: Turn, n: int, stream: str = "noise") -> torch.Tensor:
    "`n` latents per run, from a stream of their own."
    return self._run.noise(n, self._generators(stream))

# %% [markdown]
# The generators of a turn depend only on the seed, the name of the stream, the step, and the place of the turn in the step. So no draw depends on how many numbers were drawn before.

# %%
#| export
@patch
def _generators(self: Turn, stream: str) -> list[torch.Generator]:
    "One generator per run, seeded by the stream, the step, and the turn's place in the step."
    return self._run.generators(stream, self.step, *self._place)


# %% [markdown]
# A loss that draws numbers of its own takes `t.generator`. For a second purpose, such as the training of a classifier at the first step, it calls `t.stream(name)`.

# %%
#| export
@patch
def stream(self: Turn, name: str) -> list[torch.Generator]:
    "One generator per run for a purpose of its own; the same name gives the same numbers."
    return self._generators(name)


# %% [markdown]
# The random numbers that a player draws itself depend on the same things and on its name.

# %%
#| export
@patch
def _moment(self: Turn, name: str, what: str = "player") -> Moment:
    "The moment of this turn for a player, with a stream of its own."
    return Moment(self.step, self._generators(f"{what} {name}"), training=True)
