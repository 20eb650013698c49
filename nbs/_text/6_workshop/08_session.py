# %% [markdown]
# # The lab's session
# > How does the lab record a training run, go back to a step and replay it?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does the lab record a training run, go back to a step and replay it? |
# | **You will be able to** | change the lab's timeline, look into a loss without changing the run, and read a share string |
# | **Needs** | [1.3](../1_game/03_lab.ipynb), [6.7](07_engine.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who change the lab, and for users who want to drive it from a script. Chapter 1.3 shows how to use the lab in a notebook.
#
# The lab is a training run with a timeline. The same session works without any widget:
#
# ```python
# from modelab.lab.session import LabSession
#
# lab = LabSession("minimax", "ring", seed=0)
# lab.step(200).set("lr", 5e-4).step(100)    # train, change a setting, train on
# lab.scrub(150)                             # go to a recorded step
# print(lab.mode_status(3))                  # is mode 3 captured, and what gradient does G get there?
# text = lab.to_string()                     # LabSession.from_string(text) gives the same state
# ```
#
# This chapter builds it in four modules. None of them uses a widget or draws a picture:
# - `lab.side`: one run whose settings may change at any step;
# - `lab.inspect`: the calls of the players within a loss, and the gradient that the generator gets;
# - `lab.points`: data drawn by hand;
# - `lab.session`: snapshots, events, going back, and the share string.
#
# Chapter [6.9](09_view.ipynb) draws the pictures, and chapter [6.10](10_panel.ipynb) makes the controls.

# %%
#| default_exp lab.session

# %%
from modelab.core.checks import error_message
from modelab.course.notebooks import patch
from modelab.data.digits import digits
from modelab.data.mixtures import ring
from modelab.methods.bigan import BiGAN
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %% [markdown]
# ## One side of the lab
# The lab shows one training run, or two for comparison. Each is a *side*: a `Run` of one seed. The state of a `Run` after $n$ steps depends on the configuration and on $n$ alone. In the lab the configuration may change during training, so each change is recorded as an event with its step.

# %%
#| export lab.side
"One side of the lab: a run of one seed whose settings may change at any step, and its measures."
from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import nn

from modelab.core.checks import check_choice, check_int, check_ints, check_number
from modelab.core.registry import (SettingGroup, get_setting, groups_of, make, round_for_json,
                                   set_setting, with_settings)
from modelab.networks.style import StyleGenerator
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# Three settings belong to the lab and not to a game: how many examples there are in a batch, which turns are taken in a step, and which modes are left out of the data.

# %%
#| export lab.side
LAB_SETTINGS = ("batch", "turns", "without")


# %% [markdown]
# A change of a setting is stored as an event: the step, the side, the name and the value. With the list of events a run can be repeated, changes included.

# %%
#| export lab.side
class Event(NamedTuple):
    "From `step` on, `side` plays with `name` set to `value`."
    step: int
    side: str
    name: str  # a setting of the game, "lr.D" for one player's rate, or one of `LAB_SETTINGS`
    value: Any


# %% [markdown]
# The settings of a game are in its `spec`, as one flat table ([6.2](02_registry.ipynb)). `game_settings` reads their present values. Players of your own are objects and not numbers or texts, so `G`, `D` and `E` are left out.

# %%
#| export lab.side
def game_settings(game: Any) -> dict[str, Any]:
    "The settings of a game that can be written down, with their present values."
    found = {name: get_setting(game, name) for name in getattr(game, "spec", {}) if name != "name"}
    kinds = (bool, int, float, str, dict, list, tuple, type(None), SettingGroup)
    return {k: v for k, v in found.items() if not k.isupper() and isinstance(v, kinds)}


# %% [markdown]
# The panel of the lab needs to know more: a setting with a few possible values becomes a menu, and one that is a group of its own, such as a schedule, gets no control. Both are seen from the annotation of the setting, which `setting_annotation` finds.

# %%
#| export lab.side
def setting_annotation(game: Any, name: str) -> Any:
    "The annotation of a setting in its game, or in the group that it stands in."
    groups = groups_of(game).values()
    owner = next((g for g in groups if name in g.__dataclass_fields__), type(game))
    return get_type_hints(owner, include_extras=True).get(name)


# %% [markdown]
# A menu needs the possible values of a setting. `setting_choices` reads them from a `Literal` in its annotation. Without a `Literal` there are no choices.

# %%
#| export lab.side
def setting_choices(game: Any, name: str) -> tuple[str, ...]:
    "The values that a setting may have, if they are a few words; else nothing."
    kind = setting_annotation(game, name)
    for part in (kind, *get_args(kind)):
        if get_origin(part) is Literal:
            return tuple(value for value in get_args(part) if isinstance(value, str))
    return ()


# %% [markdown]
# `is_setting_group` recognises a setting that holds a group, such as a schedule, by the class in its annotation. The panel leaves it out, because it is more than one value.

# %%
#| export lab.side
def is_setting_group(game: Any, name: str) -> bool:
    "Whether a setting holds a group of settings, such as a schedule."
    kind = setting_annotation(game, name)
    parts = [part for part in (kind, *get_args(kind)) if isinstance(part, type)]
    return any(issubclass(part, SettingGroup) for part in parts)


# %%
game = Minimax(networks=Networks(width=8))
assert setting_choices(game, "kind")[:2] == ("mlp", "conv") and setting_choices(game, "width") == ()
assert is_setting_group(game, "schedule") and not is_setting_group(game, "betas")
game_settings(game)

# %% [markdown]
# `Side` is a `Run` of one seed with two changes. Modes can be left out of the data, and a step may leave turns out. Then the loss of such a turn keeps its value of the step before.

# %%
#| export lab.side
class Side(Run):
    "One run of the lab: its settings may change from step to step."
    def __init__(self, game: Any, modes: Any, seed: int, batch: int):
        game = make("game", game) if isinstance(game, str) else copy.copy(game)
        super().__init__(game, modes, runs=1, seed=seed, device="cpu", batch=batch)
        self.start_game, self.start_batch = copy.copy(self.game), self.batch  # those of step 0
        self.turns, self.without = None, []  # None: the game's own turns
        self.truncation = 1.  # of what is shown, where G has styles; 1: none
        self._measured: dict[tuple, Any] = {}  # coverage by step, samples and truncation

    def real(self, n: int, generator: list[torch.Generator],
             only: Sequence[int] | None = None) -> torch.Tensor:
        "Real examples `(1, n, *event)`, none of the modes that are left out."
        if self.without:
            kept = self.remaining_modes(self.without)
            only = [k for k in kept if only is None or k in only]
        return super().real(n, generator, only)

    def _one_step(self) -> None:
        self._make_room()
        for rows in self._losses.values():
            rows[self.steps] = rows[self.steps - 1] if self.steps else 0
        super()._one_step()


# %% [markdown]
# At least one mode must remain. `remaining_modes` checks the numbers of the modes to leave out and returns the others.

# %%
#| export lab.side
@patch
def remaining_modes(self: Side, without: Sequence[int]) -> list[int]:
    "The modes that remain without these; refuses unknown modes, and to leave out all of them."
    n = self.modes.n_modes
    out = check_ints("without", without, 0, n - 1) if without not in ([], ()) else []
    if len({*out}) == n:
        raise ValueError(f"without: expected to leave some of the {n} modes, got all of them")
    return sorted({*range(n)} - {*out})


# %% [markdown]
# ### Truncation
# A style generator (chapter [3.3](../3_inclusion/03_style.ipynb)) can show its samples truncated, by a number $\psi$. Training never truncates. So `truncation` is a setting of the view, like the surface of $D$: it is not recorded as an event, and nothing is trained again when it changes. Only a side whose $G$ has styles has this setting. `style_parts` finds the style generators.

# %%
#| export lab.side
def style_parts(net: nn.Module) -> list[StyleGenerator]:
    "The style generators within a network, itself included."
    return [part for part in net.modules() if isinstance(part, StyleGenerator)]


# %% [markdown]
# Within the context `truncate_styles` each call of such a generator gets `psi`. With 1 nothing is changed, so the samples are the same bits as before.

# %%
#| export lab.side
@contextmanager
def truncate_styles(net: nn.Module, psi: float) -> Iterator[None]:
    "Within this context the style generators in a network truncate by `psi`; 1 changes nothing."
    def add(_: nn.Module, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return inputs, {**named, "psi": psi}
    parts = [] if psi == 1 else style_parts(net)
    hooks = [part.register_forward_pre_hook(add, with_kwargs=True) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


# %% [markdown]
# `setting_names` lists the settings of a side: those of its game, those of the lab, and the truncation where there are styles.

# %%
#| export lab.side
@patch
def setting_names(self: Side) -> list[str]:
    "The names of all settings of this side."
    shown = ["truncation"] if style_parts(self.players.nets["G"]) else []
    return [*game_settings(self.game), *LAB_SETTINGS, *shown]


# %% [markdown]
# `truncate` checks the number and keeps it.

# %%
#| export lab.side
@patch
def truncate(self: Side, psi: float) -> None:
    "Show and count samples truncated by `psi`: 0 is the mean style alone, 1 no truncation."
    self.truncation = check_number("truncation", psi, 0, 1)


# %% [markdown]
# ### Changing a setting
# A game may ask for a *minority* of the modes (chapter [3.2](../3_inclusion/02_imle_gan.ipynb)). In the lab it may be given as a text of numbers and traits: "8", "hat", or "eyeglasses+beard" for the modes that show both. `_modes_of_word` finds the modes of one word of this text:

# %%
#| export lab.side
@patch
def _modes_of_word(self: Side, word: str) -> list[int]:
    "The modes of a number, of a trait, or of traits joined by '+'."
    traits = getattr(self.modes, "traits", ())
    if word.isdecimal():
        return [int(word)]
    if not traits:
        raise ValueError(f"minority: expected numbers of modes, got {word!r:.40}")
    parts = [traits.index(check_choice("minority", part, traits)) for part in word.split("+")]
    found = self.modes.kinds[:, parts].all(1).nonzero().flatten().tolist()
    if not found:
        raise ValueError(f"minority: expected traits that occur together, got {word!r:.40}")
    return found


# %% [markdown]
# `minority_modes` joins the modes of all words. An empty text means None: no mode is preferred.

# %%
#| export lab.side
@patch
def minority_modes(self: Side, asked: Any) -> list[int] | None:
    "The modes that a number, numbers or a text ask for; None for all. Refuses unknown ones."
    if isinstance(asked, str):
        words = asked.replace(",", " ").split()
        asked = [mode for word in words for mode in self._modes_of_word(word)] or None
    if asked is None:
        return None
    asked = [asked] if isinstance(asked, int) else asked
    return sorted({*check_ints("minority", asked, 0, self.modes.n_modes - 1)})


# %% [markdown]
# The setting `lr` is one learning rate for all players, or a dict with one for each. The name `lr.D` stands for the entry of D in that dict. `split_name` divides such a name.

# %%
#| export lab.side
def split_name(name: Any) -> tuple[str, str, str]:
    "The field, the dot and the player of the name of a setting such as \"lr.D\"."
    if not isinstance(name, str):
        raise TypeError(f"name: expected the name of a setting, got {name!r:.60}")
    return name.partition(".")


# %% [markdown]
# `_field` translates such a name into a field of the game and its new value.

# %%
#| export lab.side
@patch
def _field(self: Side, name: str, value: Any) -> tuple[str, Any]:
    "The game's field for a setting, and its new value: \"lr.D\" is one entry of `lr`."
    field, dot, player = split_name(name)
    if field not in game_settings(self.game):
        check_choice("name", field, [*game_settings(self.game), *LAB_SETTINGS])
    if field == "minority":
        value = self.minority_modes(value)
    if dot:
        check_choice("name", player, self.players.adam)
        now = get_setting(self.game, field)
        now = now if isinstance(now, dict) else dict.fromkeys(self.players.adam, now)
        value = {**now, player: value}
    return field, tuple(value) if isinstance(value, list) else value


# %% [markdown]
# A setting belongs to the lab or to the game. `apply_setting` writes it to the right place. Its value was checked when the event was recorded.

# %%
#| export lab.side
@patch
def apply_setting(self: Side, name: str, value: Any) -> None:
    "Set one setting now, without a check."
    if name in LAB_SETTINGS:
        setattr(self, name, value)
    else:
        set_setting(self.game, *self._field(name, value))


# %% [markdown]
# After going back to a step, the settings must be those of that step. So `apply_events` starts from the settings of step 0 and applies the events up to that step in their order.

# %%
#| export lab.side
@patch
def apply_events(self: Side, events: Iterable[Event]) -> None:
    "Take the settings of step 0, changed by `events` in their order."
    self.game.__dict__.update(self.start_game.__dict__)
    self.batch, self.turns, self.without = self.start_batch, None, []
    for event in events:
        self.apply_setting(event.name, event.value)
    self.words = (self.game.turns if self.turns is None else self.turns).split()


# %% [markdown]
# Some settings can change during training, such as a rate or the weight of a penalty. Others decide how the players are built, so the run must start again. There is no list of such settings. Instead, `_builds_same_players` builds the players of the old and the new game from one seed and compares their weights. Three settings of the networks can change while all weights stay the same. They are compared directly.

# %%
#| export lab.side
@patch
def _builds_same_players(self: Side, other: Any) -> bool:
    "Whether another game would build the same players as the present one."
    known_turns = set(other.turns.split()) <= set(self.players.movers)
    ours, theirs = self.game.networks, other.networks
    unseen = "latent", "grow", "mixing"  # settings that no weight shows
    if not known_turns or any(getattr(ours, name) != getattr(theirs, name) for name in unseen):
        return False
    shape = tuple(self.modes.event), self.latent, 1
    nets = [g.players(*shape, [torch.Generator().manual_seed(0)]) for g in (self.game, other)]
    weights = [[w for name in sorted(n) for w in n[name].state_dict().values()] for n in nets]
    return len(weights[0]) == len(weights[1]) and all(map(torch.equal, *weights))


# %% [markdown]
# The three settings of the lab belong to no game, so no game can check them. `_check_lab_setting` does.

# %%
#| export lab.side
@patch
def _check_lab_setting(self: Side, name: str, value: Any) -> None:
    "Refuse a bad value of one of `LAB_SETTINGS`."
    if name == "batch":
        self._check_groups(check_int("batch", value))
    elif name == "turns":
        if not isinstance(value, (str, type(None))):
            raise TypeError(f"turns: expected a text such as \"D G\", got {value!r:.60}")
        for word in (value or "").split():
            check_choice("turns", word, self.players.movers)
    else:
        self.remaining_modes(value)


# %% [markdown]
# `rebuilt_game` decides whether a setting can change during training or training must start again. It also refuses a bad value, before anything has changed.

# %%
#| export lab.side
@patch
def rebuilt_game(self: Side, name: str, value: Any) -> Any:
    """None if a setting can change under way, else the game to start again with.

    Refuses bad values.
    """
    if name in LAB_SETTINGS:
        return self._check_lab_setting(name, value)
    field, value = self._field(name, value)
    new = with_settings(self.game, **{field: value})
    if field in Optimiser.__dataclass_fields__:
        new.optimiser.check_players(self.players.nets)
        for player in self.players.adam:
            new.optimiser.rates(player)  # refuses what Adam would refuse
        return None
    return None if self._builds_same_players(new) else new


# %%
side = Side(Minimax(networks=Networks(width=8)), ring(), seed=0, batch=16)
assert side.rebuilt_game("saturating", True) is None and side.rebuilt_game("lr.D", 1e-2) is None
assert side.rebuilt_game("batch", 8) is None and side.game.optimiser.lr == 1e-3
side.rebuilt_game("width", 16).networks

# %% [markdown]
# ### Going back
# `snapshot` copies everything that training changes.

# %%
#| export lab.side
@patch
def snapshot(self: Side) -> dict[str, torch.Tensor]:
    "A copy of everything that training changes."
    return {k: v.detach().clone() for k, v in self.players.state().items()}


# %% [markdown]
# `restore` puts a snapshot back and sets the number of steps. It copies the tensors again, because Adam would write into the snapshot. The stored coverage may have been measured before a setting was changed, so it is discarded.

# %%
#| export lab.side
@patch
def restore(self: Side, step: int, snapshot: dict[str, torch.Tensor]) -> None:
    "Return to `step`, at which the snapshot was taken."
    self.players.restore({k: v.clone() for k, v in snapshot.items()})
    self.steps = self._checked = step
    self._measured = {}


# %% [markdown]
# The lab can take a step in which only one player moves. `turns_of` gives the turns for it. A turn may move several players, so a turn is taken if the player is among them.

# %%
#| export lab.side
@patch
def turns_of(self: Side, player: str) -> str:
    "The turns of one step in which `player` moves, once each; empty if it is not in this game."
    return " ".join(w for w, movers in self.players.movers.items() if player in movers)


# %%
snapshot = side.snapshot()
once, again = (side.step(3).sample(50) for _ in range(2) if not side.restore(0, snapshot))
assert once.equal(again) and side.steps == 3
side.turns_of("G"), side.turns_of("E")

# %% [markdown]
# ### What is measured
# `loss` gives the last loss of each turn for the page.

# %%
#| export lab.side
@patch
def loss(self: Side) -> dict[str, float]:
    "The last loss of each turn."
    last = self.steps - 1
    return {
        w: rows[last].item() if self.steps else math.nan for w, rows in self._losses.items()
    }


# %% [markdown]
# `measure_side` gives the coverage at this step. Measuring draws samples and assigns each of them to a mode, which takes time. So a result is kept for as long as the side stays at this step, one for each number of samples and each truncation.

# %%
#| export lab.side
def measure_side(side: Side, samples: int,
                 psi: float = 1.,  # truncation of the samples, where G has styles
                 ) -> Any:
    "The side's coverage at this step, measured once."
    key = side.steps, samples, psi
    if key not in side._measured:
        with truncate_styles(side.players.nets["G"], psi):
            found = side.coverage("pacgan", n=samples)[0]
        kept = {k: v for k, v in side._measured.items() if k[0] == side.steps}
        side._measured = {**kept, key: found}
    return side._measured[key]


# %% [markdown]
# The timeline and the pictures of the lab show the same four measures. Their names are listed once, here.

# %%
#| export lab.side
SHOWN_MEASURES = ("captured", "high_quality", "tv", "kl")


# %% [markdown]
# The timeline stores one row for each side and measured step: the four measures, the last losses and the missing modes. `measures_row` makes it. The measures are always taken without truncation, because truncation is for showing only and training does not use it. The numbers are rounded to four digits and ready for JSON.

# %%
#| export lab.side
def measures_row(side: Side, samples: int) -> dict[str, Any]:
    "The measures of a side at its step, by name, ready for JSON."
    covered = measure_side(side, samples)
    row = {name: round_for_json(getattr(covered, name)) for name in SHOWN_MEASURES}
    row |= {f"loss {word}": round_for_json(value) for word, value in side.loss().items()}
    return {**row, "missing": covered.missing}


# %%
measures_row(side, 100)

# %% [markdown]
# ## Looking without changing anything
# To show a gradient, the lab must compute a loss. This may change the running statistics of batch norm, and it leaves gradients in the weights. `preserve_state` puts everything back.

# %%
#| export lab.inspect
"What the lab shows of a side: calls within a loss, gradients at samples, a mode's status, stages."
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from modelab.core.checks import check_int
from modelab.data.mixtures import Mixture
from modelab.lab.side import Side, measure_side
from modelab.training.game import Turn

# %% [markdown]
# It copies buffers, gradients and the `requires_grad` flags before the block, and writes them back after it, also if an error is raised.

# %%
#| export lab.inspect
@contextmanager
def preserve_state(side: Side) -> Iterator[None]:
    "Put the players' buffers, gradients and `requires_grad` back afterwards."
    nets = side.players.nets.values()
    buffers = [(b, b.clone()) for net in nets for b in net.buffers()]
    gradients = [(w.grad, w.grad.clone()) for w in side.players.flat.values()]
    flags = [(w, w.requires_grad) for net in nets for w in net.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for now, before in buffers + gradients:
                now.copy_(before)
        for w, flag in flags:
            w.requires_grad_(flag)


# %% [markdown]
# Two pictures of the lab should differ because the players changed, and not because other latents were drawn. An `EvalBatch` is a turn that is used for showing and never for training. Its examples and latents are the same at every step. A growing network is shown in its state at this step, and the real examples have the same resolution as in training.

# %%
#| export lab.inspect
class EvalBatch(Turn):
    "A turn that nobody takes: `n` examples and latents that are the same at every step."
    def __init__(self, side: Side, n: int):
        super().__init__(side, side.steps, 0)
        if side.players.labelled:  # a conditional player takes the labels of these examples
            x, self.__dict__["y"] = side.real_with_labels(n, self._generators("real"))
        else:
            x = side.real(n, self._generators("real"))
        z = side.noise(n, self._generators("latent"))
        self.__dict__.update(x=self._shape_reals(x), z=z)

    def _generators(self, stream: str) -> list[torch.Generator]:
        return self._run.generators(f"look {stream}", 0)  # the name is part of the seed


# %% [markdown]
# The lab has no code for single games. It runs the game's own loss and records each call of a player within it. A `PlayerCall` is such a record.

# %%
#| export lab.inspect
class PlayerCall(NamedTuple):
    "One call of a player within a loss."
    player: str
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor


# %% [markdown]
# `trace_loss` computes the loss of a turn and records the calls, by forward hooks of torch. The hooks are removed at the end, also if the loss raises an error, so that they do not slow down training. The cell below shows the calls in D's turn of BiGAN, with the shapes of their inputs.

# %%
#| export lab.inspect
def trace_loss(side: Side, word: str, turn: Turn) -> tuple[torch.Tensor, list[PlayerCall]]:
    "The loss of a turn, and every call of a player on the way to it."
    calls, hooks = [], []
    for name, net in side.players.nets.items():
        def hook(_: Any, inputs: tuple, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                calls.append(PlayerCall(name, inputs, output))
        hooks.append(net.register_forward_hook(hook))
    try:
        side.players.ready(word)
        return side.game.turn_loss(word, turn), calls
    finally:
        for hook in hooks:
            hook.remove()


# %%
joint = Side(BiGAN(networks=Networks(width=8)), ring(), seed=0, batch=16)
with preserve_state(joint):
    value, calls = trace_loss(joint, "D", EvalBatch(joint, 8))
[(call.player, [tuple(x.shape) for x in call.inputs]) for call in calls]

# %% [markdown]
# ## The gradient that the generator gets
# The lab draws an arrow at each sample: the direction in which the generator's loss falls. With $L_G$ a mean over $n$ samples $x_i=G(z_i)$, the arrow at a sample is
#
# $$-n\,\frac{\partial L_G}{\partial x_i},\qquad\text{for the non-saturating loss}\quad \big(1-\sigma(D(x_i))\big)\,\nabla D(x_i).$$
#
# Here $\sigma$ is the sigmoid. The factor $n$ cancels the $1/n$ of the mean, so the length of an arrow does not depend on $n$. `sample_gradients` works for any game: it computes the loss of G's turn as in training, and differentiates it with respect to the output of $G$.

# %%
#| export lab.inspect
def sample_gradients(side: Side, n: int = 96) -> tuple[torch.Tensor, ...]:
    """G's samples in its own turn, minus the gradient of its loss at each, and their latents.

    Shapes `(m, *event)`, `(m, *event)` and `(m, latent)`. The loss is a mean over n samples; its
    gradient is multiplied by n, so that the length of an arrow does not depend on n. Samples and
    gradients are in the units of the data.
    """
    word = side.turns_of("G").split()[0]
    with preserve_state(side), torch.enable_grad():
        loss, calls = trace_loss(side, word, EvalBatch(side, n))
        made = [c for c in calls if c.player == "G" and c.output.requires_grad]
        outputs = [c.output for c in made]
        gradients = torch.autograd.grad(loss.sum(), outputs, allow_unused=True) if made else ()
    found = [(side.scale.restore(c.output.detach()[0]), -n * grad[0] / side.scale.size,
              c.inputs[0].detach()[0]) for c, grad in zip(made, gradients) if grad is not None]
    if not found:
        raise ValueError(f"game: the loss of {word} in {type(side.game).__name__} "
                         f"does not depend on what G makes")
    return tuple(map(torch.cat, zip(*found)))


# %% [markdown]
# **Check.** The arrows of the minimax game, whose generator has the non-saturating loss, are those of the formula above.

# %%
where, arrow, _ = sample_gradients(side)
x = where.double().requires_grad_()
D = side.players.nets["D"].double()
gradient, = torch.autograd.grad(D(x[None]).sum(), x)
formula = (1 - D(x[None])[0].sigmoid())[:, None] * gradient
assert torch.allclose(arrow.double(), formula, atol=1e-6)
D.float() and (arrow.double() - formula).abs().max().item() < 1e-6

# %% [markdown]
# ## The status of a mode
# Does the generator get a gradient towards a mode that it misses? There is none at the mode itself, because no sample is there. The generator gets a gradient only at its samples. A `ModeStatus` says how far the nearest sample is, and whether the step there goes towards the mode.

# %%
#| export lab.inspect
class ModeStatus(NamedTuple):
    "How many samples a mode has, and which gradient the generator gets at the nearest sample."
    mode: int
    count: int  # good samples of it, of `samples`
    samples: int
    distance: float  # from the mode to the nearest sample that has a gradient
    gradient_norm: float  # length of the gradient at that sample
    cosine: float  # between minus the gradient and the way to the mode: 1 towards it, -1 away
    nearest: torch.Tensor  # that sample
    target: torch.Tensor  # the mode: its centre, or a real example of it
    truncated: bool = False  # whether the page shows other samples, truncated ones

    def __str__(self) -> str:
        state = "captured" if self.count else "missing"
        state += " without truncation" * self.truncated
        return (f"Mode {self.mode} is {state}: {self.count} of {self.samples} samples. The nearest "
                f"sample of G is {self.distance:.3g} away. The gradient of G's loss there has "
                f"length {self.gradient_norm:.2g}; a step down that gradient goes towards the mode "
                f"with cosine {self.cosine:+.2f}.")


# %% [markdown]
# A mixture has the centres of its modes. For other sets, `_mode_examples` takes real examples of the mode instead.

# %%
#| export lab.inspect
def _mode_examples(side: Side, mode: int) -> torch.Tensor:
    "The centre of a mode, or real examples of it, `(k, *event)`."
    if isinstance(side.modes, Mixture):
        return side.modes.centers[mode][None]
    generator = side.generators("look mode", mode)[0]  # the name is part of the seed
    x, truth = side.modes.sample_with_modes(2000, generator=generator)
    return x[truth == mode] if (truth == mode).any() else x[(truth - mode).abs().argmin()][None]


# %% [markdown]
# `mode_status` takes the closest pair of a sample with a gradient and an example of the mode. The cosine compares the arrow at this sample with the direction from the sample to the mode. The gradient is that of training, so the samples are counted without truncation.

# %%
#| export lab.inspect
def mode_status(side: Side, mode: int, samples: int = 1000) -> ModeStatus:
    "How many of so many samples a mode has, and which gradient the generator gets near it."
    mode = check_int("mode", mode, 0, side.modes.n_modes - 1)
    where, arrow, _ = sample_gradients(side)
    target = _mode_examples(side, mode)
    gaps = torch.cdist(where.flatten(1), target.flatten(1))
    i, j = divmod(int(gaps.argmin()), len(target))
    way, force = (target[j] - where[i]).flatten(), arrow[i].flatten()
    cosine = torch.dot(way, force) / (way.norm() * force.norm()).clamp_min(1e-12)
    count = int(measure_side(side, samples).counts[mode])
    return ModeStatus(mode, count, samples, gaps[i, j].item(), force.norm().item(), cosine.item(),
                      where[i], target[j], side.truncation != 1)


# %%
print(mode_status(side, 3, 100))

# %% [markdown]
# ## One step in stages
# The lab's slow motion shows the next step in stages. It takes this step with the same data as training will, records which player computes what, and restores the state afterwards. A `StepStage` is a sentence and a picture.

# %%
#| export lab.inspect
class StepStage(NamedTuple):
    "One thing that happens within a step."
    turn: str
    number: int
    text: str
    shows: str  # which layer to look at: "real", "fake", "surface", "gradients" or none
    frame: bytes


# %% [markdown]
# `_call_text` describes a call of a player in one sentence. An output with more than two axes holds examples or codes. An output with two axes holds one score per example.

# %%
#| export lab.inspect
def _call_text(call: PlayerCall) -> tuple[str, str]:
    "What a call of a player did, and the layer that shows it."
    n, mean = call.output.shape[1], call.output.detach().mean().item()
    if call.output.ndim > 2:
        made = "examples" if call.player == "G" else "codes"
        return f"{call.player} turns {n} inputs into {made}.", "fake"
    return f"{call.player} scores {n} examples: {mean:+.3f} on average.", "surface"


# %% [markdown]
# `_turn_texts` gives the stages before a player moves: the draw of the batch, the calls of the players, and the loss. The loss is computed here only to describe it, so the state is restored afterwards.

# %%
#| export lab.inspect
def _turn_texts(side: Side, place: int, word: str) -> list[tuple[str, str]]:
    "What happens in a turn before a player moves, each with the layer that shows it."
    turn, movers = Turn(side, side.steps, place), " and ".join(side.players.movers[word])
    with preserve_state(side):
        loss, calls = trace_loss(side, word, turn)
    batches = {"x": "real examples", "z": "latents"}
    drawn = " and as many ".join(text for name, text in batches.items() if name in vars(turn))
    batch = f"a batch of {side.batch} {drawn}" if drawn else "no batch"
    loss_text = f"The loss of {word} is {loss.item():.4f}. Its gradient goes to {movers}."
    return [(f"{movers} will move. Drawn: {batch}.", "real"), *map(_call_text, calls),
            (loss_text, "gradients")]


# %% [markdown]
# `_trace_turn` then takes the turn, because the next turn of the same step depends on it. One picture is made before the players move and one afterwards.

# %%
#| export lab.inspect
def _trace_turn(side: Side, place: int, word: str, render: Callable[[], bytes]) -> list[StepStage]:
    "Take one turn, and give it in stages."
    texts, picture = _turn_texts(side, place, word), render()
    stages = [StepStage(word, i, *text, picture) for i, text in enumerate(texts, 1)]
    side.players.ready(word)
    loss = side.game.turn_loss(word, Turn(side, side.steps, place))
    side.players.move(word, loss, side.steps)
    side._measured = {}
    movers = " and ".join(side.players.movers[word])
    text = f"{movers} takes one step down the gradient. The other players do not move."
    return [*stages, StepStage(word, len(texts) + 1, text, "", render())]


# %% [markdown]
# `trace_step` goes through the turns of a step and restores the snapshot at the end, also after an error. Afterwards the same step can be trained as usual.

# %%
#| export lab.inspect
def trace_step(side: Side, render: Callable[[], bytes]) -> list[StepStage]:
    "The next step in stages, with its own data; afterwards the side is where it was."
    before, stages = side.snapshot(), []
    try:
        for place, word in enumerate(side.words):
            stages += _trace_turn(side, place, word, render)
    finally:
        side.restore(side.steps, before)
    return stages


# %% [markdown]
# **Check.** The losses in the stages are those of the step that comes next:

# %%
stages = trace_step(side, bytes)  # no pictures here
losses = [stage.text for stage in stages if "The loss of" in stage.text]
side.step(1)
assert all(f"{value:.4f}" in text for value, text in zip(side.loss().values(), losses))
losses

# %% [markdown]
# ## Data drawn by hand
# Points drawn by hand become a mixture of normal distributions. A point that is close to a mode makes that mode heavier and adds no new one.

# %%
#| export lab.points
"Data drawn by hand: points become a mixture; some presets."
from __future__ import annotations

from typing import Any

import torch

from modelab.core.checks import check_batch
from modelab.data.mixtures import Mixture, mixture

# %% [markdown]
# `mixture_from_points` makes the mixture. All modes have the same standard deviation, and the weight of a mode is its number of points. There are at most 256 modes: after that, a point counts only if it is close to one of them.

# %%
#| export lab.points
def mixture_from_points(points: Any,  # (n, 2), or (n, 1) on a line
                        std: float = .04,  # of every mode
                        ) -> Mixture:
    "A mixture of points: those within three standard deviations of a mode make it heavier."
    points = check_batch("points", points).double()
    if points.ndim != 2 or points.shape[1] > 2:
        raise ValueError(f"points: expected shape (n, 2), or (n, 1) on a line, "
                         f"got {tuple(points.shape)}")
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
assert mixture_from_points([[0.], [2.], [2.01]], .05).event == (1,)
mixture_from_points([[0, 0], [0, .01], [.02, 0], [1, 1]]).weights

# %% [markdown]
# A few presets show what can be drawn. `_spiral` gives 24 points along a spiral. Near its centre some of them are so close that they share a mode, so there are fewer modes than points.

# %%
#| export lab.points
def _spiral() -> torch.Tensor:
    "24 points on a spiral."
    t = torch.linspace(.15, 1, 24, dtype=torch.float64)
    return torch.view_as_real(torch.polar(t, 9 * t))


# %% [markdown]
# `_cross` gives nine points on two lines that meet at the origin.

# %%
#| export lab.points
def _cross() -> torch.Tensor:
    "Nine points on a cross."
    across = [[x, 0] for x in (-1, -.5, 0, .5, 1)]
    return torch.tensor(across + [[0, y] for y in (-1, -.5, .5, 1)])


# %% [markdown]
# The panel's menu and `draw` find the presets by name. In "heavy", 20 of 24 points are at the same place, so one mode has most of the weight. The cell below counts the modes of each preset.

# %%
#| export lab.points
POINT_PRESETS = {
    "two": lambda: torch.tensor([[-.6, 0], [.6, 0]]),
    "spiral": _spiral,
    "cross": _cross,
    "heavy": lambda: torch.tensor([[0, 0]] * 20 + [[1, 0], [-1, 0], [0, 1], [0, -1]]),
}

# %%
{name: mixture_from_points(points()).n_modes for name, points in POINT_PRESETS.items()}

# %% [markdown]
# ## The session
# A session holds one or two sides, the events, snapshots at regular steps, and the measures at these steps.

# %%
#| export
"The lab's session: step, change settings, go back, replay and share a training run."
from __future__ import annotations

import base64
import functools
import json
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from modelab.core.checks import check_choice, check_int, check_number
from modelab.core.registry import current_spec, make, to_json, upgrade_settings
from modelab.lab.inspect import ModeStatus, mode_status
from modelab.lab.points import POINT_PRESETS, mixture_from_points
from modelab.lab.side import Event, Side, measures_row, split_name
from modelab.training.run import spare_thread

# %% [markdown]
# The widget trains on a thread of its own, and a cell may call the same session at the same time. So the public methods that read or change the state hold a lock. The decorator `synchronized` adds the lock to a method.

# %%
#| export
def synchronized(method: Callable) -> Callable:
    "Decorator: a method that holds the session's lock, so that two threads take turns."
    @functools.wraps(method)
    def guarded(self: LabSession, *args: Any, **kw: Any) -> Any:
        with self.lock:
            return method(self, *args, **kw)
    return guarded


# %% [markdown]
# For data in the plane the lab can show what D computes at each point. `SURFACES` lists the choices: the score, the probability, the length of the gradient, or nothing.

# %%
#| export
SURFACES = ("score", "probability", "gradient", "none")  # what may be shown of D


# %% [markdown]
# `LabSession` is the session. Its initialiser stores what does not change when a new training run starts: the lock, the missions (tasks of the course), the number of samples and the surface. Games and data are given as objects, by name, or as a `.spec`.

# %%
#| export
class LabSession:
    "A run, or two side by side, with a timeline: step, change, go back, compare, share."
    MAX_SNAPSHOTS = 128  # when there are more, every other one is dropped

    def __init__(self, game: Any = "minimax",  # a game, its name, or its `.spec`
                 modes: Any = "ring",  # a mode set, its name, or its `.spec`
                 versus: Any = None,  # a second game on the same data, noise and seed
                 *, seed: int = 0,
                 batch: int = 256,
                 samples: int = 1000,  # by which coverage is measured
                 surface: str = "score",  # of D: "score", "probability", "gradient" or "none"
                 missions: Iterable[Any] = (),  # see `modelab.course.exercises.mission`
                 ):
        self.lock = threading.RLock()
        self.on_show: Callable[[bool], None] | None = None  # draws: at once, or if it is time
        self.missions, self.samples = list(missions), check_int("samples", samples, 10)
        self.surface = check_choice("surface", surface, SURFACES)
        self._begin({"A": game} | ({} if versus is None else {"B": versus}), modes, seed, batch)


# %% [markdown]
# `_begin` starts a training run. It builds and checks all sides first and only then replaces those of the session, so a mistake does not destroy the present run. A side keeps its truncation as long as its generator has styles.

# %%
#| export
@patch
def _begin(self: LabSession, games: dict[str, Any], modes: Any, seed: int, batch: int) -> None:
    "Start at step 0 of a new game; if it cannot be played, the old one stays."
    games = {k: make("game", dict(g)) if isinstance(g, dict) else g for k, g in games.items()}
    modes = make("modes", modes) if isinstance(modes, (str, dict)) else modes
    sides = {name: Side(game, modes, seed, batch) for name, game in games.items()}
    for side in sides.values():
        if not side.turns_of("G"):
            raise ValueError(f"game: in {type(side.game).__name__} no turn moves a player G")
        if side.players.labelled:
            raise ValueError("game: the lab shows no players made by with_labels; use Run")
    for name, before in getattr(self, "sides", {}).items():
        if name in sides and "truncation" in sides[name].setting_names():
            sides[name].truncate(before.truncation)
    self.sides, self.modes, self.seed = sides, sides["A"].modes, seed
    self.at = self.last = 0  # the present step, and the last one that was recorded
    self.interval, self.events, self.history, self._snapshots = 16, [], {}, {}
    self._save_snapshot()


# %% [markdown]
# ### Snapshots and replay
# To return to step 137, the session restores the last snapshot before it and trains the rest again. `_save_snapshot` keeps a snapshot. A run of any length has at most 128 of them: when there are more, every other one is dropped and the interval doubles.

# %%
#| export
@patch
def _save_snapshot(self: LabSession) -> None:
    "Keep a snapshot and the measures of this step."
    self._snapshots[self.at] = {name: side.snapshot() for name, side in self.sides.items()}
    self.history[self.at] = {name: measures_row(side, self.samples)
                             for name, side in self.sides.items()}
    if len(self._snapshots) > self.MAX_SNAPSHOTS:
        self.interval *= 2
        self._snapshots = {step: kept for step, kept in self._snapshots.items()
                           if step % self.interval == 0}


# %% [markdown]
# `snapshots` lists the steps that have one. A recording takes its pictures at these steps, because nothing must be trained again to reach them.

# %%
#| export
@patch(as_prop=True)
def snapshots(self: LabSession) -> list[int]:
    "The steps of the snapshots; to go there, nothing must be trained again."
    return sorted(self._snapshots)


# %% [markdown]
# After each move along the timeline the sides need the settings of the present step. `_apply_events` gives each side its own events up to this step.

# %%
#| export
@patch
def _apply_events(self: LabSession) -> None:
    "Give every side the settings that hold at this step."
    for name, side in self.sides.items():
        side.apply_events(e for e in self.events if e.side == name and e.step <= self.at)


# %% [markdown]
# `_advance` takes steps in pieces: up to the next event, the next snapshot, or the goal. If a step fails, both sides return to the last step that both reached.

# %%
#| export
@patch
def _advance(self: LabSession, n: int) -> None:
    "Train `n` steps: those on record again as they were, then new ones."
    goal = self.at + n
    while self.at < goal:
        changes = (e.step for e in self.events if e.step > self.at)
        stop = min([goal, (self.at // self.interval + 1) * self.interval, *changes])
        self._apply_events()
        try:
            with spare_thread():
                for side in self.sides.values():
                    side.step(stop - self.at, progress=False)
        except BaseException:
            self._return(self.at)
            raise
        self.at = stop
        if stop % self.interval == 0 and stop not in self._snapshots:
            self._save_snapshot()
    self.last = max(self.last, self.at)
    self._apply_events()


# %% [markdown]
# `_return` goes to a recorded step. It is used for going back, and after an error.

# %%
#| export
@patch
def _return(self: LabSession, step: int) -> None:
    "Go to a recorded step: restore the last snapshot before it, then train on."
    near = max(s for s in self._snapshots if s <= step)
    for name, side in self.sides.items():
        side.restore(near, self._snapshots[near][name])
    self.at = near
    self._advance(step - near)


# %% [markdown]
# `_record` adds an event. If this is done at an earlier step, the records of later steps are no longer valid. So they are deleted.

# %%
#| export
@patch
def _record(self: LabSession, step: int, side: str, name: str, value: Any) -> None:
    "Write an event, and drop what was recorded after it."
    kept = [e for e in self.events if e.step <= step and e[:3] != (step, side, name)]
    self.events = [*kept, Event(step, side, name, value)]
    self._snapshots = {s: kept for s, kept in self._snapshots.items() if s <= step}
    self.history = {s: row for s, row in self.history.items() if s <= step}
    self.last = min(self.last, step)


# %% [markdown]
# ### Steps
# `_step_only` takes steps in which only $G$ moves, for example. They are recorded as two events: other turns from this step on, and the old turns again afterwards. So they are replayed like any other steps.

# %%
#| export
@patch
def _step_only(self: LabSession, n: int, player: str) -> None:
    "Take `n` steps in which only `player` moves."
    check_choice("only", player, {p for side in self.sides.values() for p in side.players.adam})
    before = {name: side.turns for name, side in self.sides.items()}
    for name, side in self.sides.items():
        self._record(self.at, name, "turns", side.turns_of(player))
    self._advance(n)
    for name in self.sides:
        self._record(self.at, name, "turns", before[name])
    self._apply_events()


# %% [markdown]
# `step` is the public method. Without `only` it takes whole steps. With `only` it takes steps of one player and records them as the two events.

# %%
#| export
@patch
@synchronized
def step(self: LabSession, n: int = 1,  # steps
         only: str | None = None,  # a player: only the turns in which it moves; None: all turns
         ) -> LabSession:
    "Train `n` steps; steps on record are replayed, unless `only` starts another branch."
    check_int("n", n, 0)
    if only is None or not n:
        self._advance(n)
    else:
        self._step_only(n, only)
    return self


# %% [markdown]
# The session itself draws nothing. A widget sets `on_show`, and `show` calls it if it is set.

# %%
#| export
@patch
def show(self: LabSession) -> None:
    "Draw now, if something draws this session."
    if self.on_show:
        self.on_show(True)


# %% [markdown]
# In some notebooks a background thread cannot draw. There, `run` trains in the cell itself and draws after every 50 steps.

# %%
#| export
@patch
def run(self: LabSession, n: int) -> LabSession:
    "Train `n` steps in this cell and draw on the way; for places where threads cannot draw."
    for part in [50] * (check_int("n", n, 0) // 50) + [n % 50]:
        self.step(part)
        self.show()
    return self


# %% [markdown]
# `scrub` goes to any step between 0 and the last recorded one, as the slider of the timeline does. Other steps are refused.

# %%
#| export
@patch
@synchronized
def scrub(self: LabSession, step: int) -> LabSession:
    "Go to any recorded step."
    self._return(check_int("step", step, 0, self.last))
    return self


# %% [markdown]
# ### Changes
# A setting may exist in one game and not in the other. `_sides_with` finds the sides that have it. A name that no side has is an error.

# %%
#| export
@patch
def _sides_with(self: LabSession, name: str, side: str | None) -> dict[str, Side]:
    "The sides that have a setting: all of them, or the one that is named."
    chosen = self.sides
    if side is not None:
        chosen = {side: self.sides[check_choice("side", side, self.sides)]}
    field = split_name(name)[0]
    known = {k: {*s.setting_names()} for k, s in chosen.items()}
    if not any(field in names for names in known.values()):
        check_choice("name", field, {name for names in known.values() for name in names})
    return {k: s for k, s in chosen.items() if field in known[k]}


# %% [markdown]
# `set` first asks each side whether the setting can change during training. If one of them must be rebuilt, the session starts again at step 0. Otherwise the change is recorded as an event at the present step. Truncation changes what is shown, at every step, and records nothing.

# %%
#| export
@patch
@synchronized
def set(self: LabSession, name: str,  # of a game or of `LAB_SETTINGS`, "lr.D", "truncation"
        value: Any,
        side: str | None = None,  # "A" or "B"; None: every side that has it
        ) -> LabSession:
    "Change a setting from here on; one that the players are built from starts again at step 0."
    found = self._sides_with(name, side)
    if name == "truncation":
        for s in found.values():
            s.truncate(value)
        return self
    new = {k: s.rebuilt_game(name, value) for k, s in found.items()}
    rebuilt = {{"A": "game", "B": "versus"}[k]: g for k, g in new.items() if g is not None}
    if rebuilt:
        return self.reset(**rebuilt)
    for k in found:
        self._record(self.at, k, name, to_json(value))
    self._apply_events()
    return self


# %% [markdown]
# `reset` starts again at step 0 with some settings replaced. It keeps the turns of a game that stays, and the modes that are left out unless the data change.

# %%
#| export
@patch
@synchronized
def reset(self: LabSession, **changes: Any) -> LabSession:
    "Start again; `game=`, `versus=`, `modes=`, `seed=`, `batch=` replace the present settings."
    for name in changes:
        check_choice("changes", name, ["game", "versus", "modes", "seed", "batch"])
    now = {name: side.game for name, side in self.sides.items()}
    games = {"A": changes.get("game", now["A"]), "B": changes.get("versus", now.get("B"))}
    games = {k: g for k, g in games.items() if g is not None}
    old = {name: self.sides.get(name, self.sides["A"]) for name in games}
    kept = [(name, "turns", side.turns) for name, side in old.items()
            if games[name] is now.get(name) and side.turns]
    kept += [(name, "without", side.without) for name, side in old.items()
             if side.without and "modes" not in changes]
    self._begin(games, changes.get("modes", self.modes), changes.get("seed", self.seed),
                changes.get("batch", self.sides["A"].batch))
    for event in kept:
        self._record(0, *event)
    self._apply_events()
    return self


# %% [markdown]
# `draw` starts again on points that the user has drawn, or on a preset.

# %%
#| export
@patch
def draw(self: LabSession, points: Any,  # (n, 2), (n, 1) on a line, or a preset's name
         std: float = .04,  # of every mode
         ) -> LabSession:
    "Start again on data of your own: points close to each other become one heavier mode."
    if isinstance(points, str):
        points = POINT_PRESETS[check_choice("points", points, POINT_PRESETS)]()
    return self.reset(modes=mixture_from_points(points, std))


# %% [markdown]
# `mode_status` is also a method of the session. So the page can ask for it by name, and the lock is held while it is computed.

# %%
#| export
@patch
@synchronized
def mode_status(self: LabSession, mode: int, side: str = "A") -> ModeStatus:
    "Which gradient the generator gets near a mode; see `modelab.lab.inspect.mode_status`."
    return mode_status(self.sides[check_choice("side", side, self.sides)], mode, self.samples)


# %% [markdown]
# ### Sharing
# A share string holds the configuration, the events and the step, as compressed JSON. Whoever reads it trains the same steps again. On the same machine this gives the same state, bit for bit. Only a game that is registered can be shared, since it is found by name. `_game_spec` checks this.

# %%
#| export
def _game_spec(side: Side) -> dict[str, Any]:
    "The game of step 0 as JSON."
    spec = current_spec(side.start_game)
    if spec is None:
        raise ValueError(f"game: {type(side.start_game).__name__} is not registered; "
                         "register it with @register_game to share it")
    return spec


# %% [markdown]
# `to_string` writes all of this as JSON, compresses it and encodes it in characters that can be copied from a text field. The truncation is included only if there is one. So all other strings have the form of earlier versions.

# %%
#| export
@patch
@synchronized
def to_string(self: LabSession) -> str:
    "A string that holds the whole state; `from_string` trains to it again."
    note = {"modes": getattr(self.modes, "spec", None), "seed": self.seed, "step": self.at,
            "last": self.last, "samples": self.samples, "surface": self.surface,
            "batch": self.sides["A"].start_batch,
            "games": {name: _game_spec(side) for name, side in self.sides.items()},
            "events": self.events}
    shown = {name: s.truncation for name, s in self.sides.items() if s.truncation != 1}
    note |= {"truncation": shown} if shown else {}
    if not note["modes"]:
        raise ValueError("modes: a set without a name cannot be shared; "
                         "make it with modelab.data.mixtures.mixture")
    text = json.dumps(note, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()


# %% [markdown]
# Strings of earlier versions have other names for some settings and surfaces. They are read as the present ones.

# %%
#| export
OLD_SURFACES = {"belief": "probability", "slope": "gradient"}  # as older share strings call them


# %% [markdown]
# `_upgrade_event` gives the setting of an older event its present name, in the same way as for the settings of a file ([6.2](02_registry.ipynb)).

# %%
#| export
def _upgrade_event(games: dict[str, Any], event: Iterable[Any]) -> Event:
    "An event of a share string, its setting by its present name."
    step, side, name, value = event
    (name, value), = upgrade_settings({name: value}, games[side]["name"]).items()
    return Event(step, side, name, value)


# %% [markdown]
# A share string may come from somebody else. `read_share_string` decompresses at most a megabyte of it, and refuses a text of any other form with a `ValueError`.

# %%
#| export
def read_share_string(text: str) -> dict[str, Any]:
    "What a share string says, by the names of today; `ValueError` if the text is something else."
    try:
        raw = base64.urlsafe_b64decode(text.strip().encode())
        note = json.loads(zlib.decompressobj().decompress(raw, 2 ** 20))  # no more than a megabyte
        kept = {name: note[name] for name in ("modes", "seed", "batch", "samples")}
        surface = OLD_SURFACES.get(note["surface"], note["surface"])
        events = [_upgrade_event(note["games"], event) for event in note["events"]]
        steps = {name: check_int(name, note[name], 0) for name in ("step", "last")}
        games = {"game": note["games"]["A"], "versus": note["games"].get("B")}
        shown = {side: check_number("truncation", psi, 0, 1)
                 for side, psi in note.get("truncation", {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise ValueError(f"text: expected what Lab.to_string() gave, got {str(text)[:40]!r} "
                         f"({error})") from None
    return {"lab": {**games, **kept, "surface": surface}, "events": events, "truncation": shown,
            **steps}


# %% [markdown]
# `from_string` builds a lab from the string, checks its events in the same way as `set` does, trains to the last recorded step and then goes to the step of the string.

# %%
#| export
@patch(cls_method=True)
def from_string(cls: LabSession, text: str) -> LabSession:
    "The lab that `to_string` described, at the same step; `ValueError` for any other text."
    note = read_share_string(text)
    lab = cls(**note["lab"])
    for event in note["events"]:
        side = lab.sides[check_choice("side", event.side, lab.sides)]
        side.rebuilt_game(event.name, event.value)  # refuses what could not have been set
    for side, psi in note["truncation"].items():
        lab.set("truncation", psi, side)
    lab.events = note["events"]
    lab._advance(note["last"])
    return lab.scrub(note["step"])


# %% [markdown]
# The *Load* button must change the lab that is already shown. So `load` builds the new lab first and then takes over its attributes. If the text is wrong, the old lab stays.

# %%
#| export
@patch
@synchronized
def load(self: LabSession, text: str) -> LabSession:
    "Become the lab that `to_string` described."
    new = type(self).from_string(text)
    state = "sides modes seed at last interval events history _snapshots samples surface"
    for name in state.split():
        setattr(self, name, getattr(new, name))
    return self


# %% [markdown]
# A session prints its games, data, seed and step.

# %%
#| export
@patch
def __repr__(self: LabSession) -> str:
    games = " against ".join(type(side.game).__name__ for side in self.sides.values())
    return f"Lab: {games} on {self.modes!r}, seed {self.seed}, step {self.at} of {self.last}"


# %% [markdown]
# **Check.** A session goes back and forth and then trains on. Its weights are the same, bit for bit, as those of a session that was trained without a break. So are the weights that the share string gives.

# %%
def weights(lab):
    return torch.cat([v.flatten().double() for side in lab.sides.values()
                      for v in side.snapshot().values()])

lab = LabSession(Minimax(networks=Networks(width=8)), ring(4), batch=16, samples=50)
lab.step(20).set("lr.D", 5e-3).step(5, only="G").step(10)
straight = weights(lab)
assert torch.equal(weights(lab.scrub(11).scrub(27).scrub(3).step(32)), straight)
assert torch.equal(weights(LabSession.from_string(lab.to_string())), straight)
lab, lab.snapshots, lab.events

# %% [markdown]
# A new learning rate leaves the session at its step. A new width starts it again at step 0:

# %%
at = lab.set("lr", 1e-3).at, lab.set("width", 12).at
assert at == (35, 0) and lab.sides["A"].game.networks.width == 12
at

# %% [markdown]
# Truncation changes no weight and no row of the timeline, and the share string holds it. The table is the coverage of 100 samples that are truncated to the mean style, after four training steps:

# %%
styled = Minimax(networks=Networks("style", width=2, depth=1, latent=4))
shown = LabSession(styled, digits(), batch=8, samples=100).step(4)
plain = weights(shown), measures_row(shown.sides["A"], 100)
shown.set("truncation", 0.)
one = measure_side(shown.sides["A"], 100, 0.)
assert plain[1] == measures_row(shown.sides["A"], 100) and torch.equal(plain[0], weights(shown))
assert LabSession.from_string(shown.to_string()).sides["A"].truncation == 0 and not shown.events
one, error_message(lab.set, "truncation", .5)

# %% [markdown]
# ## Recap
# - The state is a function of configuration, events and step. Going back, comparing and sharing use this.
# - Whether a setting needs a new start is found by building the players. There is no list of such settings.
# - Showing a run does not change it: what is shown has random streams of its own, and buffers and gradients are restored.
#
# **For later.**
#
# 1. Why must a step in which only G moves be recorded as events?
# 2. After an error in one side, why do both sides return to an earlier step?
#
# <details><summary>Answers</summary>
#
# 1. Going back trains recorded steps again. Without the events, D would move in this step, too, and the later states would be others.
# 2. The two sides are compared at the same step, with the same data and noise. Side A may have taken steps that side B could not take. So both return to the last step that both have reached.
#
# </details>
