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
#| default_exp training.game

# %%
#| export
"What a method looks like to the engine: Game and Turn."
from __future__ import annotations

import functools
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
from modelab.training.run import Diverged, Run

# %%
import tempfile
from pathlib import Path
from modelab.core.checks import error_message
from modelab.core.plotting import axes, Film, Picture, scatter
from modelab.core.registry import with_settings
from modelab.core.seeding import derive_seed
from modelab.course.claims import fast_mode, recorded, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring
from modelab.evaluation.coverage import coverage_table
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp


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
# Each player (G, D, …) is trained by Adam. The learning rate may fall over the steps of a run. A *schedule* is a function of the step alone, so a run that
# is resumed at step 500 continues with the rate of step 500.

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

# %% [markdown]
# `Schedule` is such a function: it gives the factor, between 0 and 1, that multiplies the learning rate at a step.

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
# **Fidelity.** A cosine is at one half in the middle. With ten stairs the last stair is never left.

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
# In a file a schedule is a table of its settings. `as_schedule` makes a `Schedule` of it:

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
# The settings of Adam are in one class. Each may be one value, or a table with a value for each player.

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
# A table that names a player that the game does not have is a mistake. It is refused as soon as the players are known.

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
# ## A game: players, turns and losses
# The training code, called the *engine*, works for any method. A method is a subclass of `Game`. It defines its players, the order of their turns, and one loss per run for
# each turn. Its networks and its optimiser are two fields that all games have. (To use a game you need only the next cell; you can skip the code below it at first reading.)

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
# A game makes its players. Each network has a run axis, and its weights are drawn from one generator per run.

# %%
#| export
@patch
def players(self: Game, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "The networks that play, by name, with a run axis; one generator per run draws the weights."
    raise NotImplementedError(f"{type(self).__name__} has no players")

# %% [markdown]
# Two more methods have a default. `noise` draws the latents from a standard normal distribution.

# %%
#| export
@patch
def noise(self: Game, *shape: int, generator: Generators = None,
          device: Any = None) -> torch.Tensor:
    "Latents; standard normal unless a game says otherwise."
    return randn(*shape, generator=generator, device=device)

# %% [markdown]
# `suits` does nothing here. A game that needs a special kind of data overrides it and raises an error before training starts.

# %%
#| export
@patch
def suits(self: Game, modes: Any) -> None:
    "Refuse, by a `ValueError`, a mode set that this game cannot be played on."

# %% [markdown]
# Some losses apply a player to other examples than the batch of the turn, and such examples have no labels. So a game states which players may be conditional, and which `kinds` of networks it makes. Others are refused before training starts.

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
# The engine calls the loss of a turn by its name. Here the first axis of a score is always the runs, so the shape `(runs, 1)` means a batch of one example.

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
    "A game between a generator G and a discriminator D of examples; what it lacks are the losses."
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
# In some methods D takes several steps for each step of G (chapter [1.4](04_wasserstein.ipynb)).

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
    "The turns of one step, each with its objective."
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
# A loss gets one argument, the turn `t`. It has the players by name (`t.G`), a real batch `t.x`, latents `t.z`, and `t.step`. Batches are drawn when they are first
# used, so a turn without real data draws none.

# %%
#| export
class Turn:
    "What a loss sees in one turn: players, data and noise, drawn when they are first asked for."
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
        x, self.__dict__["y"] = self._run.real_with_labels(self.batch, self._generators("data"))
        return self._shape_reals(x)

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
# `real` draws from the data. With `only` it draws from the listed modes alone.

# %%
#| export
@patch
def real(self: Turn, n: int, stream: str = "data",
         only: Sequence[int] | None = None) -> torch.Tensor:
    "`n` real examples per run from a stream of their own, of all modes or of those in `only`."
    return self._shape_reals(self._run.real(n, self._generators(stream), only))

# %% [markdown]
# A player may change the real examples of a turn. For example, with a generator that begins with small pictures the real pictures must be reduced, too. If several players have such a method, that of the first is used.

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
# The random numbers that a player draws itself depend on the same things and on its name.

# %%
#| export
@patch
def _moment(self: Turn, name: str, what: str = "player") -> Moment:
    "The moment of this turn for a player, with a stream of its own."
    return Moment(self.step, self._generators(f"{what} {name}"), training=True)


# %% [markdown]
# ## A method of your own in ten lines
# This method uses squared errors instead of the cross-entropy (least-squares GAN, Mao et al. 2017). Only the losses are new. The engine, the coverage table and the checkpoints need nothing else. The decorator
# `register_game` would make it known to the command line and the lab, too. From here on we import the classes that the cells above define:

# %%
from modelab.training.game import AdversarialGame, turn_words
from modelab.training.optimiser import Optimiser, Schedule

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
# `Run` trains a game on a mode set for several seeds at once. Chapter [6.7](../6_workshop/07_engine.ipynb) builds it. Here we use it: train, draw samples, measure, save.

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
coverage_table(run.coverage())

# %% [markdown]
# After 1,200 steps the runs capture 7.1 of 8 modes on average; noise captures 4.3. But only 7 % of the samples are good: most are on the ring between
# the modes, as the picture shows. *(3 of 8)* in the table: this divergence is infinite if a mode is missing, so its mean is over the three runs that miss none.
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
# `with_labels` marks networks that take a label: G(z, y) and D(x, y). The labels are the modes of the real batch. `Run.sample` draws labels with their frequencies in the data, or takes the labels that you give:

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
# A checkpoint contains tensors (weights, Adam's moments, losses) and the settings as JSON, in the safetensors format. Reading it does not execute
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
# The film shows the samples of one seed every 60 steps. Press play, and count the modes that have samples.

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
recorded("training")

# %% [markdown]
# On a GPU a small network uses a small part of the device, so more seeds cost little: 64 at once take the time of 2.9 loops.

# %%
recorded("training_gpu")


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
