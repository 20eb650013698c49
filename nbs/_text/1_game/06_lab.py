# %% [markdown]
# # The lab
# > A GAN under your hands: stop it, change it, go back, compare

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What makes a mode go dark, and can I watch it happen, undo it, and do it differently? |
# | **You will be able to** | step, rewind and compare two GANs on the same data and noise, ask a dark mode what the generator hears of it, and send the whole state to somebody as one string |
# | **Paper** | Kahng, Thorat, Chau, Viégas, Wattenberg, *GAN Lab*, 2018: the instrument that this one answers |
# | **Needs** | [02](../0_ground/02_coverage.ipynb), [04](04_minimax.ipynb), [05](05_training.ipynb) |
# | **Time** | about a minute of computing |

# %%
#| default_exp lab

# %%
#| export
from __future__ import annotations

import base64
import copy
import dataclasses
import functools
import inspect
import json
import math
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from modelab.course import batch as examples
from modelab.course import load_all, make, one_of, plain, short, whole, wholes
from modelab.modes import Mixture, mixture
from modelab.training import Run, Turn, sparing

# %%
from modelab.course import claim, exercise, interval, recorded, steps
from modelab.coverage import coverage
from modelab.minimax import Minimax
from modelab.modes import ring

# %% [markdown]
# ## A chart that hardly sees a lost mode
# Interactive pages about GANs usually show one number for how well the generator does: a divergence between two histograms on a grid. Let us build that chart and give it two generators. One is perfect. The other has lost one of two modes, half of the data.
#
# **Predict:** a grid of 30 × 30 cells, 150 points of each. By what factor is the second divergence larger?

# %%
two = mixture([[.3, .5], [.7, .5]], .07)
g = torch.Generator().manual_seed(0)
half = mixture([[.3, .5]], .07)

# %%
def by_grid(p, q, cells: int = 30) -> float:
    "KL between two samples in the unit square, by histograms with a little mass in every cell."
    where = [(x.clamp(0, .999) * cells).long() for x in (p, q)]
    counts = [torch.bincount(w[:, 0] * cells + w[:, 1], minlength=cells ** 2).double() for w in where]
    a, b = ((c + 1e-2) / (c + 1e-2).sum() for c in counts)
    return (a * (a / b).log()).sum().item()

# %%
perfect = interval([by_grid(two.sample(150, g), two.sample(150, g)) for _ in range(8)])
lost = interval([by_grid(two.sample(150, g), half.sample(150, g)) for _ in range(8)])
assert lost.low < 2 * perfect.high
perfect, lost

# %% [markdown]
# A perfect generator is given a bad mark, and losing half of the data costs it a little more. Hundreds of cells and a handful of points: most of what the chart shows is the noise of its own bins. Counting modes, as chapter 02 does, asks a question that 150 points can answer.

# %%
[coverage(law.sample(150, g), two).captured for law in (two, half)]

# %% [markdown]
# So an instrument for mode coverage needs lamps, not a divergence. And it needs to go back: when you notice that a lamp is out, the step at which it went out is gone. Chapter 05's engine has what that takes, because its state after $n$ steps depends on the configuration and $n$ alone. The lab is that same `Run` with a timeline.
#
# ## What may look at a lab
# The lab is state, and knows nothing of pictures. Whatever looks at it registers under a name, as games do; frames come from [24](../6_workshop/24_view.ipynb), buttons from [25](../6_workshop/25_panel.ipynb).

# %%
#| export
EYES: dict[str, Callable] = {}
MEASURED, SURFACES = ("captured", "high_quality", "tv", "kl"), ("score", "belief", "slope", "none")


def eye(look: Callable) -> Callable:
    "Decorator: a way to look at a lab (frame, recording, widget) that the lab itself knows by name only."
    EYES[look.__name__] = look
    return look


def seen(name: str) -> Callable:
    "A registered way to look, found as games are: by importing the package's modules where it is not yet known."
    if name not in EYES:
        load_all()
    return EYES[one_of("name", name, EYES)]

# %% [markdown]
# ## A change is an event
# If you turn a knob at step 400, then "configuration" must mean *the configuration and what was turned when*. Every change is an event with its step; the settings in force are those of step 0 with all events up to now. A step in which only $G$ moves is two events: other turns from here, the old ones from the next step on. Data can change too, as long as the judge stays: modes may be left out of what the players are shown.

# %%
#| export
OWN = ("batch", "turns", "without")  # settings that no game has: examples a turn, who moves, modes left out of the data


class Event(NamedTuple):
    "From `step` on, `side` plays with `name` set to `value`."
    step: int
    side: str
    name: str  # a setting of the game, "lr.D" for one player's rate, or one of `OWN`
    value: Any


class Side(Run):
    "One run of the lab: what it plays with may change from step to step."
    def __init__(self, game: Any, modes: Any, seed: int, batch: int):
        game = make("game", game) if isinstance(game, str) else copy.copy(game)
        super().__init__(game, modes, runs=1, seed=seed, device="cpu", batch=batch)
        self.base, self.turns, self.without = (copy.copy(self.game), self.batch), None, []
        self._measured: tuple | None = None  # step, samples, coverage

    def become(self, events: Iterable[Event]) -> None:
        "Play with the settings of step 0, changed by `events` in their order."
        self.game.__dict__.update(self.base[0].__dict__)
        self.batch, self.turns, self.without = self.base[1], None, []
        for event in events:
            self.change(event.name, event.value)
        self.words = (self.game.turns if self.turns is None else self.turns).split()

    def change(self, name: str, value: Any) -> None:
        "Set one setting, unchecked."
        field, value = (name, value) if name in OWN else self._field(name, value)
        setattr(self if name in OWN else self.game, field, value)

    def _field(self, name: str, value: Any) -> tuple[str, Any]:
        "The game's field for a setting, and its new value: \"lr.D\" is one entry of `lr`."
        field, dot, player = name.partition(".")
        if not hasattr(self.game, field):
            one_of("name", field, [*settings(self.game), *OWN])
        if dot:
            one_of("name", player, self.players.adam)
            now = getattr(self.game, field)
            value = {**(now if isinstance(now, dict) else dict.fromkeys(self.players.adam, now)), player: value}
        return field, tuple(value) if isinstance(value, list) else value

    def rebuilt(self, name: str, value: Any) -> Any:
        "None if the setting can change under way; the game to start again with if its players would differ."
        if name == "batch":
            whole("batch", value)
        elif name == "turns":
            for word in (value or "").split():
                one_of("turns", word, self.players.movers)
        elif name == "without":
            self.left(value)
        if name in OWN:
            return None
        field, value = self._field(name, value)
        new = dataclasses.replace(self.game, **{field: value})
        if field in ("lr", "betas"):
            for player in self.players.adam:
                self.players.rates(player, new)  # refuses what Adam would refuse
            return None
        if set(new.turns.split()) <= set(self.players.movers) and new.latent == self.game.latent:
            nets = [g.players(tuple(self.modes.event), self.latent, 1, [torch.Generator().manual_seed(0)])
                    for g in (self.game, new)]
            weights = [[w for name in sorted(n) for w in n[name].state_dict().values()] for n in nets]
            if len(weights[0]) == len(weights[1]) and all(map(torch.equal, *weights)):
                return None
        return new

    def left(self, without: Sequence[int]) -> list[int]:
        "The modes that are left without these; an error unless the set has these, and others."
        gone = wholes("without", without, 0, self.modes.n_modes - 1) if without not in ([], ()) else []
        if len(set(gone)) == self.modes.n_modes:
            raise ValueError(f"without: expected to leave some of the {self.modes.n_modes} modes, got all of them")
        return sorted({*range(self.modes.n_modes)} - {*gone})

    def real(self, n: int, generator: list[torch.Generator], only: Sequence[int] | None = None) -> torch.Tensor:
        "Real examples `(1, n, *event)`, none of the modes that are left out."
        if self.without:
            only = [k for k in self.left(self.without) if only is None or k in only]
        return super().real(n, generator, only)

    def only(self, player: str) -> str:
        "The turns of one step in which `player` moves, once each; empty if it is not in this game."
        return " ".join(w for w, movers in self.players.movers.items() if player in movers)

    def _one_step(self) -> None:
        "A step in which some turns may be left out: their loss stays what it was."
        self._make_room()
        for rows in self._losses.values():
            rows[self.steps] = rows[self.steps - 1] if self.steps else 0
        super()._one_step()

    def loss(self) -> dict[str, float]:
        "The last loss of each turn."
        return {w: rows[self.steps - 1].item() if self.steps else math.nan for w, rows in self._losses.items()}

    def snapshot(self) -> dict[str, torch.Tensor]:
        "A copy of everything that training changes."
        return {k: v.detach().clone() for k, v in self.players.state().items()}

    def back(self, step: int, snapshot: dict[str, torch.Tensor]) -> None:
        "Stand at `step` again."
        self.players.restore({k: v.clone() for k, v in snapshot.items()})  # Adam would write into the snapshot
        self.steps = self._checked = step
        self._measured = None


def settings(game: Any) -> dict[str, Any]:
    "The settings of a game that are numbers, switches or words, with their present values."
    names = getattr(game, "spec", {}).keys() - {"name"}
    found = {name: getattr(game, name) for name in inspect.signature(type(game)).parameters if name in names}
    kinds = (bool, int, float, str, dict, type(None))
    return {k: v for k, v in found.items() if not k.isupper() and isinstance(v, kinds)}  # G, D, E are players

# %% [markdown]
# Some settings can change under way, such as a rate or a penalty's weight. Others decide what the players are made of, and need a new start. Which is which? No list says it: the lab builds the players twice and compares.

# %%
one = Side(Minimax(width=8), ring(), seed=0, batch=16)
assert one.rebuilt("saturating", True) is None and one.rebuilt("lr.D", 1e-2) is None
one.rebuilt("width", 16)

# %% [markdown]
# ## Looking without touching
# To draw an arrow one has to compute a loss, and a loss may move batch-norm statistics or leave gradients behind. `untouched` puts everything back; `traced` notes every use of a player on the way.

# %%
#| export
class Call(NamedTuple):
    "One use of a player within a loss."
    player: str
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor


class Glance(Turn):
    "A turn that nobody takes: `n` examples and latents that stay the same from step to step."
    def __init__(self, side: Side, n: int):
        super().__init__(side, 0, 0)
        drawn = {"x": side.real(n, self._generators("real")), "z": side.noise(n, self._generators("latent"))}
        self.__dict__.update(step=side.steps, **drawn)

    def _generators(self, stream: str) -> list[torch.Generator]:
        return self._run.generators(f"look {stream}", 0)


@contextmanager
def untouched(side: Side) -> Iterator[None]:
    "Whatever is computed inside, the players come out as they went in: buffers, gradients, whose turn it is."
    nets = side.players.nets.values()
    buffers = [(b, b.clone()) for net in nets for b in net.buffers()]
    slopes = [(w.grad, w.grad.clone()) for w in side.players.flat.values()]
    flags = [(w, w.requires_grad) for net in nets for w in net.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for now, before in buffers + slopes:
                now.copy_(before)
        for w, flag in flags:
            w.requires_grad_(flag)


def traced(side: Side, word: str, turn: Turn) -> tuple[torch.Tensor, list[Call]]:
    "The loss of a turn, and every use of a player on the way to it."
    calls, hooks = [], []
    for name, net in side.players.nets.items():
        def hook(_: Any, inputs: tuple, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                calls.append(Call(name, inputs, output))
        hooks.append(net.register_forward_hook(hook))
    try:
        side.players.ready(word)
        return getattr(side.game, f"loss_{word}")(turn), calls
    finally:
        for hook in hooks:
            hook.remove()

# %% [markdown]
# ## Arrows of what is really descended
# Draw at each sample where the generator's own loss pushes it. With $L_G$ a mean over $n$ samples $x_i=G(z_i)$,
#
# $$\text{push}_i=-n\,\frac{\partial L_G}{\partial x_i},\qquad\text{for the non-saturating loss}\quad \text{push}_i=\big(1-\sigma(D(x_i))\big)\,\nabla D(x_i).$$
#
# A page that draws $\nabla\sigma(D)$ draws $\sigma(1-\sigma)\nabla D$: the right direction, but the length says the opposite where $D$ is sure. Nothing here knows the game: the lab lets it compute its loss and takes the slope in what $G$ returned.

# %%
#| export
def pushes(side: Side, n: int = 96) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where G's samples are in its own turn, where its loss pushes each, and from which inputs they were made.

    Whatever the game: the loss of G's turn is computed as in training and differentiated in G's outputs, `(m, *event)`.
    The push is minus that slope, times `n`: the loss is a mean, and this is the share of one sample.
    """
    word = side.only("G").split()[0]
    with untouched(side), torch.enable_grad():
        loss, calls = traced(side, word, Glance(side, n))
        outs = [c for c in calls if c.player == "G" and c.output.requires_grad]
        slopes = torch.autograd.grad(loss.sum(), [c.output for c in outs], allow_unused=True) if outs else ()
    found = [(o.output.detach()[0], -n * s[0], o.inputs[0].detach()[0]) for o, s in zip(outs, slopes) if s is not None]
    if not found:
        raise ValueError(f"game: the loss of {word} in {type(side.game).__name__} does not depend on what G makes")
    return tuple(map(torch.cat, zip(*found)))

# %%
where, push, _ = pushes(one)
x = where.double().requires_grad_()
D = one.players.nets["D"].double()
slope, = torch.autograd.grad(D(x[None]).sum(), x)
formula = (1 - D(x[None])[0].sigmoid())[:, None] * slope
assert torch.allclose(push.double(), formula, atol=1e-6)
D.float() and (push.double() - formula).abs().max().item() < 1e-6

# %%
#| export
def measured(side: Side, samples: int) -> Any:
    "The side's coverage at this step, measured once."
    if not side._measured or side._measured[:2] != (side.steps, samples):
        side._measured = side.steps, samples, side.coverage("pacgan", n=samples)[0]
    return side._measured[2]

# %% [markdown]
# ## Ask a dark lamp
# What gradient does the generator get about a mode that it does not show, and from how far? It gets none from the mode itself. What it hears, it hears where it stands: at its nearest sample, which may be far, and whose push may go elsewhere.

# %%
#| export
class Lamp(NamedTuple):
    "What the generator hears of one mode."
    mode: int
    count: int  # good samples of it, of `samples`
    samples: int
    distance: float  # from the mode to the nearest sample that the generator's loss pushes
    push: float  # length of the push on that sample
    towards: float  # its share along the way to the mode: 1 straight at it, -1 straight away
    near: torch.Tensor  # that sample
    target: torch.Tensor  # the mode: its centre, or a real example of it

    def __str__(self) -> str:
        state = f"lit: {self.count}" if self.count else "dark: none"
        return (f"Mode {self.mode} is {state} of {self.samples} samples. G hears of it only where G stands: its "
                f"nearest sample is {self.distance:.3g} away and pushed with {self.push:.2g}, of which "
                f"{self.towards:+.0%} goes towards the mode.")


def lamp(side: Side, mode: int, samples: int = 1000) -> Lamp:
    "What gradient the generator gets about a mode, and from how far."
    mode, law = whole("mode", mode, 0, side.modes.n_modes - 1), side.modes
    where, push, _ = pushes(side)
    if isinstance(law, Mixture):
        target = law.centers[mode][None]
    else:
        x, truth = law.sample_with_modes(2000, generator=side.generators("look mode", mode)[0])
        target = x[truth == mode] if (truth == mode).any() else x[(truth - mode).abs().argmin()][None]
    gaps = torch.cdist(where.flatten(1), target.flatten(1))
    i, j = divmod(int(gaps.argmin()), len(target))
    way, force = (target[j] - where[i]).flatten(), push[i].flatten()
    along = torch.dot(way, force) / (way.norm() * force.norm()).clamp_min(1e-12)
    return Lamp(mode, int(measured(side, samples).counts[mode]), samples, gaps[i, j].item(), force.norm().item(),
                along.item(), where[i], target[j])

# %%
heavy = Side(Minimax(width=64), "rare_modes", seed=0, batch=128).step(steps(300))
dark = measured(heavy, 500).missing
print(lamp(heavy, dark[-1] if dark else 1, 500))

# %% [markdown]
# ## One step, slowly
# Slow motion tells a step in stages. It does not tell a tale about steps in general: it runs the next one, with its own data, notes what the loss asked of whom, and puts everything back.

# %%
#| export
class Stage(NamedTuple):
    "One thing that happens within a step."
    turn: str
    number: int
    text: str
    shows: str  # what to look at: real, fake, surface, push or nothing
    frame: bytes


def narrated(side: Side, show: Callable[[], bytes]) -> list[Stage]:
    "The next step as numbered stages, with its own data and numbers; afterwards the side stands where it stood."
    before, stages = side.snapshot(), []
    for place, word in enumerate(side.words):
        turn, movers = Turn(side, side.steps, place), " and ".join(side.players.movers[word])
        with untouched(side):
            loss, calls = traced(side, word, turn)
        took = [what for name, what in (("x", "real examples"), ("z", "latents")) if name in vars(turn)]
        told = [(f"{movers} will move. Drawn: {side.batch} {' and as many '.join(took) or 'of nothing'}.", "real")]
        for call in calls:
            n, mean = call.output.shape[1], call.output.detach().mean().item()
            made = "examples" if call.player == "G" else "codes"
            told.append((f"{call.player} turns {n} inputs into {made}.", "fake") if call.output.ndim > 2 else
                        (f"{call.player} scores {n} examples: {mean:+.3f} on average.", "surface"))
        told.append((f"The loss of {word} is {loss.item():.4f}. Its slope flows back to {movers}.", "push"))
        picture = show()
        stages += [Stage(word, i, text, shows, picture) for i, (text, shows) in enumerate(told, 1)]
        side.players.ready(word)
        side.players.move(word, getattr(side.game, f"loss_{word}")(Turn(side, side.steps, place)))
        side._measured = None
        told.append((f"{movers} takes one step down that slope; nobody else moves.", ""))
        stages.append(Stage(word, len(told), *told[-1], show()))
    side.back(side.steps, before)
    return stages

# %%
told = narrated(heavy, bytes)  # no pictures here
for stage in told:
    print(stage.turn, stage.number, stage.text)

# %%
losses = [stage.text for stage in told if "loss of" in stage.text]
heavy.step(1)
assert all(f"{value:.4f}" in text for value, text in zip(heavy.loss().values(), losses))

# %% [markdown]
# The numbers told were those of the step that then came.
#
# ## Data of your own
# Points that you draw become a mixture: neighbours merge into one heavier mode, so that scribbling in one place makes a mode of much weight.

# %%
#| export
def drawn(points: Any,  # (n, 2), or (n, 1) on a line
          std: float = .04,  # of every mode
          ) -> Mixture:
    "A mixture from points drawn by hand: points within three standard deviations of a mode make it heavier."
    points = examples("points", points).double()
    if points.ndim != 2 or points.shape[1] > 2:
        raise ValueError(f"points: expected shape (n, 2), or (n, 1) on a line, got {tuple(points.shape)}")
    centers, weights = [], []
    for point in points:
        gaps = [torch.dist(point, c).item() for c in centers]
        if gaps and min(gaps) < 3 * std:
            weights[gaps.index(min(gaps))] += 1
        elif len(centers) < 256:
            centers.append(point)
            weights.append(1)
    return mixture([[round(v, 4) for v in c.tolist()] for c in centers], std, weights)


PRESETS = {"two": lambda: torch.tensor([[-.6, 0], [.6, 0]]),
           "spiral": lambda: torch.view_as_real(torch.polar(t := torch.linspace(.15, 1, 24, dtype=torch.float64), 9 * t)),
           "cross": lambda: torch.tensor([[x, 0] for x in (-1, -.5, 0, .5, 1)] + [[0, y] for y in (-1, -.5, .5, 1)]),
           "heavy": lambda: torch.tensor([[0, 0]] * 20 + [[1, 0], [-1, 0], [0, 1], [0, -1]])}


def row(side: Side, samples: int) -> dict[str, float]:
    "The measures of a side at its step, by name, ready for JSON."
    of = measured(side, samples)
    return {**{k: short(getattr(of, k)) for k in MEASURED}, **{f"loss {w}": short(v) for w, v in side.loss().items()},
            "dark": of.missing}


def _written(side: Side) -> dict[str, Any]:
    "The game of step 0 as JSON."
    if not getattr(side.base[0], "spec", None):
        raise ValueError(f"game: {type(side.game).__name__} has no name; register it with @game to share it")
    return {k: v if k == "name" else plain(getattr(side.base[0], k)) for k, v in side.base[0].spec.items()}

# %%
drawn([[0, 0], [0, .01], [.02, 0], [1, 1]]).weights

# %% [markdown]
# ## The lab
# Snapshots are kept along the way. To stand at step 137 again, the lab takes the last snapshot before it and walks the rest; to change something there, it writes an event and forgets the future that is no longer true.

# %%
#| export
def alone(method: Callable) -> Callable:
    "A method that nobody interrupts: the lab's thread and the cell below take turns."
    @functools.wraps(method)
    def guarded(self: Lab, *args: Any, **kw: Any) -> Any:
        with self.lock:
            return method(self, *args, **kw)
    return guarded


class Lab:
    "A run, or two side by side, with a timeline: step, change, go back, compare, share."
    KEPT = 128  # snapshots; when there are more, every other one goes

    def __init__(self, game: Any = "minimax",  # a game, its name, or its `.spec`
                 modes: Any = "ring",  # a mode set, its name, or its `.spec`
                 versus: Any = None,  # a second game on the same data, noise and seed
                 *, seed: int = 0,
                 batch: int = 256,
                 samples: int = 1000,  # that the lamps count
                 surface: str = "score",  # "score", "belief", "slope" or "none"
                 missions: Iterable[Any] = (),  # tasks whose stages the widget ticks off; see `modelab.course.mission`
                 ):
        self.lock, self.view = threading.RLock(), None  # view(now) draws, at once or if it is time
        self.missions = list(missions)
        self.samples, self.surface = whole("samples", samples, 10), one_of("surface", surface, SURFACES)
        self._begin({"A": game} | ({} if versus is None else {"B": versus}), modes, seed, batch)

    def _begin(self, games: dict[str, Any], modes: Any, seed: int, batch: int) -> None:
        "Stand at step 0 of a new game; if it cannot be played, the old one stays."
        games = {k: make("game", dict(g)) if isinstance(g, dict) else g for k, g in games.items()}
        modes = make("modes", modes) if isinstance(modes, (str, dict)) else modes
        sides = {name: Side(game, modes, seed, batch) for name, game in games.items()}
        for side in sides.values():
            if not side.only("G"):
                raise ValueError(f"game: in {type(side.game).__name__} no turn moves a player G")
        self.sides, self.modes, self.seed = sides, sides["A"].modes, seed
        self.at = self.last = 0
        self.every, self.events, self.history, self._kept = 16, [], {}, {}
        self._keep()

    @property
    def snapshots(self) -> list[int]:
        "The steps to which there is no walk."
        return sorted(self._kept)

    def _keep(self) -> None:
        "A snapshot and the measures of this step."
        self._kept[self.at] = {name: side.snapshot() for name, side in self.sides.items()}
        self.history[self.at] = {name: row(side, self.samples) for name, side in self.sides.items()}
        if len(self._kept) > self.KEPT:
            self.every *= 2
            self._kept = {step: kept for step, kept in self._kept.items() if step % self.every == 0}

    def _become(self) -> None:
        "Give every side the settings that hold at this step."
        for name, side in self.sides.items():
            side.become(e for e in self.events if e.side == name and e.step <= self.at)

    def _advance(self, n: int) -> None:
        "Walk `n` steps along the record, and beyond its end."
        goal = self.at + n
        while self.at < goal:
            marks = (e.step for e in self.events if e.step > self.at)
            stop = min([goal, (self.at // self.every + 1) * self.every, *marks])
            self._become()
            try:
                with sparing():
                    for side in self.sides.values():
                        side.step(stop - self.at, progress=False)
            except BaseException:
                self._return(self.at)  # never one side ahead of the other
                raise
            self.at = stop
            if stop % self.every == 0 and stop not in self._kept:
                self._keep()
        self.last = max(self.last, self.at)
        self._become()

    def _return(self, step: int) -> None:
        "Stand at a recorded step: from the nearest snapshot before it, forward again."
        near = max(s for s in self._kept if s <= step)
        for name, side in self.sides.items():
            side.back(near, self._kept[near][name])
        self.at = near
        self._advance(step - near)

    def _log(self, step: int, side: str, name: str, value: Any) -> None:
        "Write an event; what was recorded after it is no longer true."
        self.events = [e for e in self.events if e.step <= step and e[:3] != (step, side, name)]
        self.events.append(Event(step, side, name, value))
        self._kept, self.history = ({s: v for s, v in known.items() if s <= step} for known in (self._kept, self.history))
        self.last = min(self.last, step)

    @alone
    def step(self, n: int = 1,  # steps
             only: str | None = None,  # a player: only the turns in which it moves; None: all turns
             ) -> Lab:
        "Go `n` steps; within the record this replays it, unless `only` starts another branch."
        whole("n", n, 0)
        if only is not None and n:
            one_of("only", only, {p for side in self.sides.values() for p in side.players.adam})
            before = {name: side.turns for name, side in self.sides.items()}
            for name, side in self.sides.items():
                self._log(self.at, name, "turns", side.only(only))
            self._advance(n)
            for name in self.sides:
                self._log(self.at, name, "turns", before[name])
            self._become()
        else:
            self._advance(n)
        return self

    def run(self, n: int) -> Lab:
        "Go `n` steps in this cell, showing the way; for notebooks that nobody watches, and where threads do not draw."
        for part in [50] * (whole("n", n, 0) // 50) + [n % 50]:
            self.step(part)
            self.show()
        return self

    @alone
    def scrub(self, step: int) -> Lab:
        "Stand at any recorded step."
        self._return(whole("step", step, 0, self.last))
        return self

    @alone
    def set(self, name: str,  # a setting of the game, "lr.D", "batch", "turns" or "without"
            value: Any,
            side: str | None = None,  # "A" or "B"; None: every side that has it
            ) -> Lab:
        "Change a setting from here on; one that the players are built from starts again at step 0."
        chosen = self.sides if side is None else {side: self.sides[one_of("side", side, self.sides)]}
        field = name.partition(".")[0]
        has = {k: s for k, s in chosen.items() if field in OWN or field in settings(s.game)}
        if not has:
            one_of("name", field, [*{n: 0 for s in chosen.values() for n in settings(s.game)}, *OWN])
        new = {k: s.rebuilt(name, value) for k, s in has.items()}
        if any(game is not None for game in new.values()):
            self.reset(**{{"A": "game", "B": "versus"}[k]: g for k, g in new.items() if g is not None})
        else:
            for k in has:
                self._log(self.at, k, name, plain(value))
            self._become()
        return self

    @alone
    def reset(self, **changes: Any) -> Lab:
        "Start again with the present settings; `game=`, `versus=`, `modes=`, `seed=`, `batch=` replace some of them."
        for name in changes:
            one_of("changes", name, ["game", "versus", "modes", "seed", "batch"])
        now = {name: side.game for name, side in self.sides.items()}
        games = {"A": changes.get("game", now["A"]), "B": changes.get("versus", now.get("B"))}
        old = {name: self.sides.get(name, self.sides["A"]) for name, game in games.items() if game is not None}
        kept = [(name, "turns", side.turns) for name, side in old.items() if games[name] is now.get(name) and side.turns]
        kept += [(name, "without", side.without) for name, side in old.items() if side.without and "modes" not in changes]
        self._begin({k: g for k, g in games.items() if g is not None}, changes.get("modes", self.modes),
                    changes.get("seed", self.seed), changes.get("batch", self.sides["A"].batch))
        for event in kept:
            self._log(0, *event)
        self._become()
        return self

    def draw(self, points: Any,  # (n, 2), (n, 1) on a line, or a preset's name
             std: float = .04,  # of every mode
             ) -> Lab:
        "Start again on a distribution of your own: points close to each other become one heavier mode."
        points = PRESETS[one_of("points", points, PRESETS)]() if isinstance(points, str) else points
        return self.reset(modes=drawn(points, std))

    @alone
    def frame(self, side: str = "A") -> bytes:
        "What is shown of a side at this step, as bytes; see `modelab.view.frame`."
        with sparing():
            return seen("frame")(self.sides[one_of("side", side, self.sides)], self.surface, self.samples)

    @alone
    def lamp(self, mode: int, side: str = "A") -> Lamp:
        "What the generator hears of a mode; see `lamp`."
        return lamp(self.sides[one_of("side", side, self.sides)], mode, self.samples)

    @alone
    def narrate(self, side: str = "A") -> list[Stage]:
        "The next step, slowly; see `narrated`."
        self._become()
        return narrated(self.sides[one_of("side", side, self.sides)], lambda: self.frame(side))

    @alone
    def to_string(self) -> str:
        "A string that holds the whole state; `from_string` walks to it again."
        note = {"modes": getattr(self.modes, "spec", None), "seed": self.seed, "step": self.at, "last": self.last,
                "samples": self.samples, "surface": self.surface, "batch": self.sides["A"].base[1],
                "games": {name: _written(side) for name, side in self.sides.items()}, "events": self.events}
        if not note["modes"]:
            raise ValueError("modes: a set without a name cannot be shared; make it with modelab.modes.mixture")
        return base64.urlsafe_b64encode(zlib.compress(json.dumps(note, separators=(",", ":")).encode(), 9)).decode()

    @classmethod
    def from_string(cls, text: str) -> Lab:
        "The lab that `to_string` described, at the same step; `ValueError` if the text is something else."
        try:
            raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(text.strip().encode()), 2 ** 20)
            note = json.loads(raw)
            events = [Event(*e) for e in note["events"]]
            games, step, last = note["games"], whole("step", note["step"], 0), whole("last", note["last"], 0)
            rest = note["modes"], note["seed"], note["batch"], note["samples"], note["surface"]
        except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
            raise ValueError(f"text: expected what Lab.to_string() gave, got {str(text)[:40]!r} ({error})") from None
        lab = cls(games["A"], rest[0], games.get("B"), seed=rest[1], batch=rest[2], samples=rest[3], surface=rest[4])
        for event in events:
            lab.sides[one_of("side", event.side, lab.sides)].rebuilt(event.name, event.value)
        lab.events = events
        lab._advance(last)
        return lab.scrub(step)


    @alone
    def load(self, text: str) -> Lab:
        "Become the lab that `to_string` described."
        new = Lab.from_string(text)
        for name in "sides modes seed at last every events history _kept samples surface".split():
            setattr(self, name, getattr(new, name))
        return self

    @alone
    def recording(self, frames: int = 60) -> Any:
        "What happened so far, in at most so many frames; see `modelab.view.Recording`."
        return seen("recording")(self, whole("frames", frames))

    def record(self, n: int) -> Any:
        "Go `n` steps and give the recording so far."
        return self.step(n).recording()

    def show(self) -> None:
        "Draw now, if there is a view."
        if self.view:
            self.view(True)

    @functools.cached_property
    def driver(self) -> Any:
        "What carries out commands in the background; see `modelab.panel.Driver`."
        return seen("driver")(self)

    @functools.cached_property
    def widget(self) -> Any:
        "The lab as a widget."
        return seen("widget")(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return seen("bundle")(self)

    def play(self) -> None:
        "Train and draw until `pause`, while other cells run."
        self.driver.ask("put", "playing", True)

    def pause(self) -> None:
        "Stop after the step that is being taken; afterwards no thread is left."
        self.driver.ask("put", "playing", False)
        self.driver.wait()

    def __repr__(self) -> str:
        games = " against ".join(type(side.game).__name__ for side in self.sides.values())
        return f"Lab: {games} on {self.modes!r}, seed {self.seed}, step {self.at} of {self.last}"

# %% [markdown]
# From here on we use the lab as it is installed: the ways to look have registered there.

# %%
from modelab.lab import Lab, drawn, measured

# %% [markdown]
# **The proof.** Back and forth, and then on, is the same as straight through, to the bit; and a string of a few hundred characters rebuilds everything that was done.

# %%
def weights(lab):
    return torch.cat([v.flatten().double() for side in lab.sides.values() for v in side.snapshot().values()])

lab = Lab(Minimax(width=32), ring(std=.1), batch=64, samples=200).step(60).set("lr.D", 5e-3).step(20, only="G").step(20)
straight = weights(lab)
assert torch.equal(weights(lab.scrub(31).scrub(77).scrub(3).step(97)), straight)

# %%
text = lab.to_string()
assert torch.equal(weights(Lab.from_string(text)), straight)
len(text), lab.events

# %% [markdown]
# ## Missions
# Anybody can watch. To *cause* a failure, and to cure it, one must have understood it. A mission says what to bring about, and reads in the record whether it was: which modes were lit at which step, and what was changed when.

# %%
from modelab.course import mission

@mission("you changed a setting or a turn", "three modes that were lit then were dark at once", "all of them are lit at the end")
def bring_back(record):
    "Put three lit modes out at once, then bring them back, without changing the data."
    yield record.events
    first, lit = min(e.step for e in record.events), record.lit()
    before = lit[max(step for step in lit if step <= first)]
    yield any(len(before - modes) >= 3 for step, modes in lit.items() if step > first)
    yield before <= lit[max(lit)]

# %%
@mission("both sides ran ill for a while", "you changed B, and only B", "B shows more modes than A")
def cure(record):
    "A and B start with a rate that is far too high. Cure B under way, and leave A alone."
    yield max(record.rows) > 0 and all(e.step > 0 for e in record.events)
    yield {e.side for e in record.events} == {"B"}
    a, b = (list(record.lit(side).values())[-1] for side in "AB")
    yield len(b) > len(a)

# %% [markdown]
# ## Under your hands
# Here it is: with a kernel, the next cell is alive, and the mission's stages are ticked off above the picture as the record shows them. Play, drag the timeline, click a dark lamp, choose a second game under *versus*, draw your own data. Without a kernel you see its picture.

# %%
lab = Lab(Minimax(width=64), ring(std=.1), batch=128, samples=500, missions=[bring_back])
lab.step(steps(200))
lab

# %% [markdown]
# The same controls exist as methods, which is how graders and you can repeat what you did by hand. Two sides share data, noise and seed; here the second plays the saturating loss.

# %%
duel = Lab(Minimax(width=64), ring(std=.1), Minimax(width=64, saturating=True), batch=128, samples=500)
film = duel.record(steps(200))
film

# %%
assert film.steps[-1] == duel.at and film.events == []
{side: f"{film.measures('captured', side)[-1]:g} of 8" for side in "AB"}

# %% [markdown]
# That recording is a page of its own: it scrubs and plays without a kernel, and `film.save_html("duel.html")` writes it to one file that fetches nothing.
#
# ## Dark, and lit again
# **Predict:** a ring of eight modes is learned. Now raise both learning rates thirtyfold for 80 steps, then put them back. The data never change. Do modes go dark? Do they return?

# %%
run = Run(Minimax(width=64), ring(std=.1), runs=8, batch=128)  # what the lab drives, eight seeds at once
dark = {}
for name, rate, n in (("learned", 1e-3, 300), ("shaken", .03, 80), ("calm", 1e-3, 400)):
    run.game.lr = rate
    dark[name] = [8 - c.captured for c in run.step(steps(n)).coverage(n=500)]
dark

# %%
claim("Too high a rate puts lamps out, and the old rate lights them again", paper="this course", section="ring, std .1",
      ours=interval(dark["calm"]), baseline=interval(dark["shaken"]),
      holds=interval(dark["calm"]).high < interval(dark["shaken"]).low)

# %% [markdown]
# Nothing in the data had changed, and nothing was lost for good: where modes are equal and close, samples pass by every one of them again and again. On rare modes they do not ([04](04_minimax.ipynb)).
#
# ## Out of the data, and back
# Now leave the rates alone and change the *data*. `without` names modes that nobody is shown from here on; the lamps go on counting them. In the picture: hold Shift and choose a lamp, while it plays. **Predict:** a ring is learned, then mode 3 is left out for 200 steps. Does $G$ keep what it knows, as you would? And when the mode is back?

# %%
counts: dict[str, list] = {"learned": [], "left out": [], "back": []}
for seed in range(8):
    lab = Lab(Minimax(width=64), ring(std=.1), batch=128, samples=500, seed=seed).step(steps(300))
    for name, gone in (("learned", None), ("left out", [3]), ("back", [])):
        if gone is not None:
            lab.set("without", gone).step(steps(200))
        counts[name].append(int(measured(lab.sides["A"], 500).counts[3]))
counts

# %%
film = lab.recording(7)
film

# %%
claim("A generator lets go of a mode that leaves the data, and takes it up again when it is back", paper="this course",
      section="good samples of one mode of 8, of 500 samples; ring, std .1", ours=interval(counts["left out"]),
      baseline=interval(counts["learned"]),
      holds=interval(counts["left out"]).high < min(interval(counts["learned"]).low, interval(counts["back"]).low) / 2)

# %% [markdown]
# After two hundred steps it has forgotten all but a handful: $G$ is continuous, so some samples are always on the way from mode 2 to mode 4, and now they cut the corner. From there the way back is short. A generator remembers nothing but what its opponent speaks of now.
#
# ## Your record, please
# A mission can be called like any grader's check, and `exercise` tries it on records that must pass and on records that must not, before it grades yours.
#
# **1.** *Put three lit modes out, then bring them back.* Hand in `lab.recording()`.

# %%
def tiny(**kw):
    return Lab(Minimax(width=32), ring(std=.15), batch=64, samples=100, **kw)

def shake(back: bool = True):
    "One way to do it, in code."
    lab = tiny().step(steps(100, 100)).set("lr", .03).step(64)
    return lab.set("lr", 1e-3).step(160).recording(8) if back else lab.recording(8)

# %%
grade_return = exercise(accepts=[shake()], rejects=[tiny().step(160).recording(4), shake(back=False), None])(bring_back)
bring_back.seen(shake(back=False)), bring_back.seen(tiny().step(160).recording(4))

# %%
answer = ...
grade_return(answer)

# %% [markdown]
# **2.** *A doctor's mission.* `ward()` is a lab of two patients: show it, play, and cure $B$.

# %%
def ward() -> Lab:
    sick = {"name": "minimax", "width": 32, "lr": .05}
    return Lab(sick, ring(std=.15), sick, batch=64, samples=100, missions=[cure])

cured = ward().step(48).set("lr", 1e-3, "B").step(400).recording(8)

# %%
grade_cure = exercise(accepts=[cured], rejects=[ward().step(64).recording(4), ward().set("lr", 1e-3, "B").step(64).recording(4),
                                                ward().step(48).set("lr", 1e-3).step(400).recording(4)])(cure)

# %%
answer = ...
grade_cure(answer)

# %% [markdown]
# ## Beside GAN Lab
# GAN Lab is what most courses embed, and it set the standard: its inventory, row by row, and what it has no row for.
#
# | | GAN Lab | here |
# |---|---|---|
# | data | 4 presets, draw with the mouse | every registered set, presets, draw with pointer, touch or keys, or pass points from Python |
# | noise | 1-D or 2-D, uniform or normal | any length; the law that the game draws from |
# | pre-trained models | yes | a share string walks to the same state; a recording needs no walk |
# | play, pause, reset | yes | yes |
# | slow motion with numbered stages | 5 for D, 5 for G, fixed texts | one for each use of a player, traced in the game's own loss, with its numbers |
# | step G only, D only, both | yes | yes, E too where there is one, and n steps at once |
# | iteration counter | yes, called epoch | yes, called step |
# | model graph with thumbnails, flow of data animated | yes | **no**; the stages of slow motion name who passes what to whom |
# | hover over G to see the grid warp | yes | **no**; the latent grid is a layer |
# | real and generated points | dots of two colours | discs and crosses, apart in shape too; what lies outside is counted, not painted on the rim |
# | D as a heatmap | 30 × 30, its probability | 64 × 64: score, belief or slope; blue where it takes a point for real |
# | warped latent grid | 20 × 20, shaded by density | 15 × 15, drawn bolder where dense; levels are quantiles of the noise |
# | arrows | slope of D's probability | minus the slope of the loss that G descends, whatever the game |
# | coordinates under the mouse | yes | **no** |
# | captions in matching colours | yes | the list of layers is the legend |
# | loss curves | yes | yes |
# | KL and JS on a grid | yes; see the first section | **no**; modes captured, high quality, TV and KL by modes, each beside what perfection and noise score |
# | layers and neurons live | yes | width and depth live where the game has them; other networks in code |
# | updates per step | 0 to 10 each | any order of turns |
# | optimiser | SGD or Adam | **Adam only**; rates by player, any value |
# | losses | log, least squares | every registered game; **no least squares** |
# | save button | hidden | share string, recording, one HTML file |
# | seed, timeline, rewind | no | yes |
# | which modes are lit, now and along the timeline | no | yes |
# | take a mode out of the data while it plays, and put it back | no | yes |
# | why a mode is dark | no | ask its lamp |
# | two games on the same data and noise | no | yes |
# | encoder and joint plane | no | yes |
# | pictures and their modes | no | tiles with the judge's verdict |
# | batch size, penalty weight | no | yes |
# | missions with graders | no | yes |
# | keyboard, screen reader, touch, narrow screens, dark page | no | yes |
# | article, video | yes | the course |
#
# ## In your own code
# Your networks and your law go in as they go into `Run`.

# %%
from torch import nn

def my_G():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

mine = Lab(Minimax(G=my_G, width=16), mixture([[0., 0.], [1., 0.]], .1), batch=32, samples=50).step(20)
mine.scrub(7)

# %% [markdown]
# ## What it costs
# Frames shown, bytes a frame, the speed that training keeps while it is watched, and how soon a click is answered: `python benchmarks/lab.py` measures them in a real JupyterLab and records them.

# %%
recorded("lab")

# %% [markdown]
# ## Recap
# - A chart of a divergence on a grid hardly notices half of the data missing; lamps do.
# - State is a function of configuration, events and step. Rewind, compare, share and record all follow from that.
# - An arrow is worth drawing if it is the slope of the loss that is descended.
# - Looking must not touch: streams, buffers and gradients come out as they went in.
#
# **For later.** Why must a step of "G only" be written into the record? What is wrong with arrows that show the slope of a probability? Which settings need a new start, and how does the lab know?
#
# **References.** M. Kahng, N. Thorat, D. H. Chau, F. Viégas, M. Wattenberg, *GAN Lab: Understanding complex deep generative models using interactive visual experimentation*, IEEE VIS 2018.
