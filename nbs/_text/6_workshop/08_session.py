# %% [markdown]
# # The lab's session
# > How does the lab record a training run, go back and replay it?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does the lab record a training run, go back and replay it? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp lab.session

# %%
#| export
"The lab's session: step, change settings, go back, replay and share a training run."
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

from modelab.core.checks import check_batch as examples, check_choice, check_int, check_ints
from modelab.core.registry import get_setting, make, round_for_json, set_setting, to_json, with_settings
from modelab.data.mixtures import Mixture, mixture
from modelab.training.game import Turn
from modelab.training.run import Run, spare_thread

# %%
#| export
SHOWN_MEASURES, SURFACES = ("captured", "high_quality", "tv", "kl"), ("score", "belief", "slope", "none")


# %%
#| export
LAB_SETTINGS = ("batch", "turns", "without")  # settings that no game has: examples a turn, who moves, modes left out of the data


# %%
#| export
class Event(NamedTuple):
    "From `step` on, `side` plays with `name` set to `value`."
    step: int
    side: str
    name: str  # a setting of the game, "lr.D" for one player's rate, or one of `LAB_SETTINGS`
    value: Any


# %%
#| export
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
        field, value = (name, value) if name in LAB_SETTINGS else self._field(name, value)
        if name in LAB_SETTINGS:
            setattr(self, field, value)
        else:
            set_setting(self.game, field, value)

    def _field(self, name: str, value: Any) -> tuple[str, Any]:
        "The game's field for a setting, and its new value: \"lr.D\" is one entry of `lr`."
        field, dot, player = name.partition(".")
        if field not in game_settings(self.game):
            check_choice("name", field, [*game_settings(self.game), *LAB_SETTINGS])
        if dot:
            check_choice("name", player, self.players.adam)
            now = get_setting(self.game, field)
            value = {**(now if isinstance(now, dict) else dict.fromkeys(self.players.adam, now)), player: value}
        return field, tuple(value) if isinstance(value, list) else value

    def rebuilt(self, name: str, value: Any) -> Any:
        "None if the setting can change under way; the game to start again with if its players would differ."
        if name == "batch":
            check_int("batch", value)
        elif name == "turns":
            for word in (value or "").split():
                check_choice("turns", word, self.players.movers)
        elif name == "without":
            self.left(value)
        if name in LAB_SETTINGS:
            return None
        field, value = self._field(name, value)
        new = with_settings(self.game, **{field: value})
        if field in ("lr", "betas"):
            for player in self.players.adam:
                new.optimiser.rates(player)  # refuses what Adam would refuse
            return None
        if set(new.turns.split()) <= set(self.players.movers) and new.networks.latent == self.game.networks.latent:
            nets = [g.players(tuple(self.modes.event), self.latent, 1, [torch.Generator().manual_seed(0)])
                    for g in (self.game, new)]
            weights = [[w for name in sorted(n) for w in n[name].state_dict().values()] for n in nets]
            if len(weights[0]) == len(weights[1]) and all(map(torch.equal, *weights)):
                return None
        return new

    def left(self, without: Sequence[int]) -> list[int]:
        "The modes that are left without these; an error unless the set has these, and others."
        gone = check_ints("without", without, 0, self.modes.n_modes - 1) if without not in ([], ()) else []
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


# %%
#| export
def game_settings(game: Any) -> dict[str, Any]:
    "The settings of a game that are numbers, switches or words, with their present values."
    found = {name: get_setting(game, name) for name in getattr(game, "spec", {}) if name != "name"}
    kinds = (bool, int, float, str, dict, type(None))
    return {k: v for k, v in found.items() if not k.isupper() and isinstance(v, kinds)}  # G, D, E are players


# %%
#| export
class PlayerCall(NamedTuple):
    "One use of a player within a loss."
    player: str
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor


# %%
#| export
class EvalBatch(Turn):
    "A turn that nobody takes: `n` examples and latents that stay the same from step to step."
    def __init__(self, side: Side, n: int):
        super().__init__(side, 0, 0)
        drawn = {"x": side.real(n, self._generators("real")), "z": side.noise(n, self._generators("latent"))}
        self.__dict__.update(step=side.steps, **drawn)

    def _generators(self, stream: str) -> list[torch.Generator]:
        return self._run.generators(f"look {stream}", 0)


# %%
#| export
@contextmanager
def preserve_state(side: Side) -> Iterator[None]:
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


# %%
#| export
def trace_loss(side: Side, word: str, turn: Turn) -> tuple[torch.Tensor, list[PlayerCall]]:
    "The loss of a turn, and every use of a player on the way to it."
    calls, hooks = [], []
    for name, net in side.players.nets.items():
        def hook(_: Any, inputs: tuple, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                calls.append(PlayerCall(name, inputs, output))
        hooks.append(net.register_forward_hook(hook))
    try:
        side.players.ready(word)
        return getattr(side.game, f"loss_{word}")(turn), calls
    finally:
        for hook in hooks:
            hook.remove()


# %%
#| export
def sample_gradients(side: Side, n: int = 96) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where G's samples are in its own turn, where its loss pushes each, and from which inputs they were made.

    Whatever the game: the loss of G's turn is computed as in training and differentiated in G's outputs, `(m, *event)`.
    The push is minus that slope, times `n`: the loss is a mean, and this is the share of one sample.
    """
    word = side.only("G").split()[0]
    with preserve_state(side), torch.enable_grad():
        loss, calls = trace_loss(side, word, EvalBatch(side, n))
        outs = [c for c in calls if c.player == "G" and c.output.requires_grad]
        slopes = torch.autograd.grad(loss.sum(), [c.output for c in outs], allow_unused=True) if outs else ()
    found = [(o.output.detach()[0], -n * s[0], o.inputs[0].detach()[0]) for o, s in zip(outs, slopes) if s is not None]
    if not found:
        raise ValueError(f"game: the loss of {word} in {type(side.game).__name__} does not depend on what G makes")
    return tuple(map(torch.cat, zip(*found)))


# %%
#| export
def measure_side(side: Side, samples: int) -> Any:
    "The side's coverage at this step, measured once."
    if not side._measured or side._measured[:2] != (side.steps, samples):
        side._measured = side.steps, samples, side.coverage("pacgan", n=samples)[0]
    return side._measured[2]


# %%
#| export
class ModeStatus(NamedTuple):
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


# %%
#| export
def mode_status(side: Side, mode: int, samples: int = 1000) -> ModeStatus:
    "What gradient the generator gets about a mode, and from how far."
    mode, law = check_int("mode", mode, 0, side.modes.n_modes - 1), side.modes
    where, push, _ = sample_gradients(side)
    if isinstance(law, Mixture):
        target = law.centers[mode][None]
    else:
        x, truth = law.sample_with_modes(2000, generator=side.generators("look mode", mode)[0])
        target = x[truth == mode] if (truth == mode).any() else x[(truth - mode).abs().argmin()][None]
    gaps = torch.cdist(where.flatten(1), target.flatten(1))
    i, j = divmod(int(gaps.argmin()), len(target))
    way, force = (target[j] - where[i]).flatten(), push[i].flatten()
    along = torch.dot(way, force) / (way.norm() * force.norm()).clamp_min(1e-12)
    return ModeStatus(mode, int(measure_side(side, samples).counts[mode]), samples, gaps[i, j].item(), force.norm().item(),
                along.item(), where[i], target[j])


# %%
#| export
class StepStage(NamedTuple):
    "One thing that happens within a step."
    turn: str
    number: int
    text: str
    shows: str  # what to look at: real, fake, surface, push or nothing
    frame: bytes


# %%
#| export
def trace_step(side: Side, show: Callable[[], bytes]) -> list[StepStage]:
    "The next step as numbered stages, with its own data and numbers; afterwards the side stands where it stood."
    before, stages = side.snapshot(), []
    for place, word in enumerate(side.words):
        turn, movers = Turn(side, side.steps, place), " and ".join(side.players.movers[word])
        with preserve_state(side):
            loss, calls = trace_loss(side, word, turn)
        took = [what for name, what in (("x", "real examples"), ("z", "latents")) if name in vars(turn)]
        told = [(f"{movers} will move. Drawn: {side.batch} {' and as many '.join(took) or 'of nothing'}.", "real")]
        for call in calls:
            n, mean = call.output.shape[1], call.output.detach().mean().item()
            made = "examples" if call.player == "G" else "codes"
            told.append((f"{call.player} turns {n} inputs into {made}.", "fake") if call.output.ndim > 2 else
                        (f"{call.player} scores {n} examples: {mean:+.3f} on average.", "surface"))
        told.append((f"The loss of {word} is {loss.item():.4f}. Its slope flows back to {movers}.", "push"))
        picture = show()
        stages += [StepStage(word, i, text, shows, picture) for i, (text, shows) in enumerate(told, 1)]
        side.players.ready(word)
        side.players.move(word, getattr(side.game, f"loss_{word}")(Turn(side, side.steps, place)), side.steps)
        side._measured = None
        told.append((f"{movers} takes one step down that slope; nobody else moves.", ""))
        stages.append(StepStage(word, len(told), *told[-1], show()))
    side.back(side.steps, before)
    return stages


# %%
#| export
def mixture_from_points(points: Any,  # (n, 2), or (n, 1) on a line
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


# %%
#| export
POINT_PRESETS = {"two": lambda: torch.tensor([[-.6, 0], [.6, 0]]),
           "spiral": lambda: torch.view_as_real(torch.polar(t := torch.linspace(.15, 1, 24, dtype=torch.float64), 9 * t)),
           "cross": lambda: torch.tensor([[x, 0] for x in (-1, -.5, 0, .5, 1)] + [[0, y] for y in (-1, -.5, .5, 1)]),
           "heavy": lambda: torch.tensor([[0, 0]] * 20 + [[1, 0], [-1, 0], [0, 1], [0, -1]])}


# %%
#| export
def measures_row(side: Side, samples: int) -> dict[str, float]:
    "The measures of a side at its step, by name, ready for JSON."
    of = measure_side(side, samples)
    return {**{k: round_for_json(getattr(of, k)) for k in SHOWN_MEASURES}, **{f"loss {w}": round_for_json(v) for w, v in side.loss().items()},
            "dark": of.missing}


# %%
#| export
def _game_spec(side: Side) -> dict[str, Any]:
    "The game of step 0 as JSON."
    if not getattr(side.base[0], "spec", None):
        raise ValueError(f"game: {type(side.game).__name__} has no name; register it with @game to share it")
    return {k: v if k == "name" else to_json(get_setting(side.base[0], k)) for k, v in side.base[0].spec.items()}


# %%
#| export
def synchronized(method: Callable) -> Callable:
    "A method that nobody interrupts: the lab's thread and the cell below take turns."
    @functools.wraps(method)
    def guarded(self: LabSession, *args: Any, **kw: Any) -> Any:
        with self.lock:
            return method(self, *args, **kw)
    return guarded


# %%
#| export
class LabSession:
    "A run, or two side by side, with a timeline: step, change, go back, compare, share."
    KEPT = 128  # snapshots; when there are more, every other one goes

    def __init__(self, game: Any = "minimax",  # a game, its name, or its `.spec`
                 modes: Any = "ring",  # a mode set, its name, or its `.spec`
                 versus: Any = None,  # a second game on the same data, noise and seed
                 *, seed: int = 0,
                 batch: int = 256,
                 samples: int = 1000,  # that the lamps count
                 surface: str = "score",  # "score", "belief", "slope" or "none"
                 missions: Iterable[Any] = (),  # tasks whose stages the widget ticks off; see `modelab.course.exercises.mission`
                 ):
        self.lock, self.view = threading.RLock(), None  # view(now) draws, at once or if it is time
        self.missions = list(missions)
        self.samples, self.surface = check_int("samples", samples, 10), check_choice("surface", surface, SURFACES)
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
        self.history[self.at] = {name: measures_row(side, self.samples) for name, side in self.sides.items()}
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
                with spare_thread():
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

    @synchronized
    def step(self, n: int = 1,  # steps
             only: str | None = None,  # a player: only the turns in which it moves; None: all turns
             ) -> LabSession:
        "Go `n` steps; within the record this replays it, unless `only` starts another branch."
        check_int("n", n, 0)
        if only is not None and n:
            check_choice("only", only, {p for side in self.sides.values() for p in side.players.adam})
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

    def run(self, n: int) -> LabSession:
        "Go `n` steps in this cell, showing the way; for notebooks that nobody watches, and where threads do not draw."
        for part in [50] * (check_int("n", n, 0) // 50) + [n % 50]:
            self.step(part)
            self.show()
        return self

    @synchronized
    def scrub(self, step: int) -> LabSession:
        "Stand at any recorded step."
        self._return(check_int("step", step, 0, self.last))
        return self

    @synchronized
    def set(self, name: str,  # a setting of the game, "lr.D", "batch", "turns" or "without"
            value: Any,
            side: str | None = None,  # "A" or "B"; None: every side that has it
            ) -> LabSession:
        "Change a setting from here on; one that the players are built from starts again at step 0."
        chosen = self.sides if side is None else {side: self.sides[check_choice("side", side, self.sides)]}
        field = name.partition(".")[0]
        has = {k: s for k, s in chosen.items() if field in LAB_SETTINGS or field in game_settings(s.game)}
        if not has:
            check_choice("name", field, [*{n: 0 for s in chosen.values() for n in game_settings(s.game)}, *LAB_SETTINGS])
        new = {k: s.rebuilt(name, value) for k, s in has.items()}
        if any(game is not None for game in new.values()):
            self.reset(**{{"A": "game", "B": "versus"}[k]: g for k, g in new.items() if g is not None})
        else:
            for k in has:
                self._log(self.at, k, name, to_json(value))
            self._become()
        return self

    @synchronized
    def reset(self, **changes: Any) -> LabSession:
        "Start again with the present settings; `game=`, `versus=`, `modes=`, `seed=`, `batch=` replace some of them."
        for name in changes:
            check_choice("changes", name, ["game", "versus", "modes", "seed", "batch"])
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
             ) -> LabSession:
        "Start again on a distribution of your own: points close to each other become one heavier mode."
        points = POINT_PRESETS[check_choice("points", points, POINT_PRESETS)]() if isinstance(points, str) else points
        return self.reset(modes=mixture_from_points(points, std))

    @synchronized
    def lamp(self, mode: int, side: str = "A") -> ModeStatus:
        "What the generator hears of a mode; see `mode_status`."
        return mode_status(self.sides[check_choice("side", side, self.sides)], mode, self.samples)

    @synchronized
    def to_string(self) -> str:
        "A string that holds the whole state; `from_string` walks to it again."
        note = {"modes": getattr(self.modes, "spec", None), "seed": self.seed, "step": self.at, "last": self.last,
                "samples": self.samples, "surface": self.surface, "batch": self.sides["A"].base[1],
                "games": {name: _game_spec(side) for name, side in self.sides.items()}, "events": self.events}
        if not note["modes"]:
            raise ValueError("modes: a set without a name cannot be shared; make it with modelab.data.mixtures.mixture")
        return base64.urlsafe_b64encode(zlib.compress(json.dumps(note, separators=(",", ":")).encode(), 9)).decode()

    @classmethod
    def from_string(cls, text: str) -> LabSession:
        "The lab that `to_string` described, at the same step; `ValueError` if the text is something else."
        try:
            raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(text.strip().encode()), 2 ** 20)
            note = json.loads(raw)
            events = [Event(*e) for e in note["events"]]
            games, step, last = note["games"], check_int("step", note["step"], 0), check_int("last", note["last"], 0)
            rest = note["modes"], note["seed"], note["batch"], note["samples"], note["surface"]
        except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
            raise ValueError(f"text: expected what Lab.to_string() gave, got {str(text)[:40]!r} ({error})") from None
        lab = cls(games["A"], rest[0], games.get("B"), seed=rest[1], batch=rest[2], samples=rest[3], surface=rest[4])
        for event in events:
            lab.sides[check_choice("side", event.side, lab.sides)].rebuilt(event.name, event.value)
        lab.events = events
        lab._advance(last)
        return lab.scrub(step)


    @synchronized
    def load(self, text: str) -> LabSession:
        "Become the lab that `to_string` described."
        new = type(self).from_string(text)
        for name in "sides modes seed at last every events history _kept samples surface".split():
            setattr(self, name, getattr(new, name))
        return self

    def show(self) -> None:
        "Draw now, if there is a view."
        if self.view:
            self.view(True)

    def __repr__(self) -> str:
        games = " against ".join(type(side.game).__name__ for side in self.sides.values())
        return f"Lab: {games} on {self.modes!r}, seed {self.seed}, step {self.at} of {self.last}"
