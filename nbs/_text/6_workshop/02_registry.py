# %% [markdown]
# # The registry
# > How does the library find games, mode sets and commands by name?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does the library find games, mode sets and commands by name? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp core.registry

# %%
#| export
"The registry of games, mode sets and commands: find and build them by name."
from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelab import _index
from modelab.core.checks import check_choice

# %%
#| export
GAMES: dict[str, Callable] = {}
MODE_SETS: dict[str, Callable] = {}
COMMANDS: dict[str, Callable] = {}

# %%
#| export
def register_command(name: str) -> Callable[[Callable], Callable]:
    "Decorator: `configure(parser)` adds a subcommand's arguments and returns the function that runs them."
    def register(configure: Callable) -> Callable:
        COMMANDS[name] = configure
        return configure
    return register

# %% [markdown]
# ## Settings that games share
# Every game has networks and an optimiser. Their settings stand in a group of their own, and a group that leaves a setting open takes the game's default. In a file, on the command line and in the lab the settings of a game are one flat table, `{"name": "minimax", "width": 64, "lr": 0.001}`.

# %%
#| export
@dataclass(frozen=True)
class SettingGroup:
    "Settings that games share; one that is None is left to the game's own default."

    def over(self, defaults: SettingGroup) -> SettingGroup:
        "The same settings, those that are None taken from `defaults`."
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(defaults, **{name: v for name, v in given.items() if v is not None})

# %%
#| export
def groups_of(game: Any) -> dict[str, type]:
    "The groups of settings that a game, or a class of games, has: the field's name and the group's class."
    return getattr(game, "groups", {})

# %%
#| export
def _owner(game: Any, name: str) -> str | None:
    "The field of the group that the setting `name` belongs to; None for a field of the game itself."
    return next((field for field, group in groups_of(game).items()
                 if name in group.__dataclass_fields__), None)

# %%
#| export
def get_setting(game: Any, name: str) -> Any:
    "The value of a setting of a game, whichever group it stands in."
    owner = _owner(game, name)
    return getattr(game if owner is None else getattr(game, owner), name)

# %%
#| export
def set_setting(game: Any, name: str, value: Any) -> None:
    "Change a setting of a game in place, whichever group it stands in; for the lab, where settings change under way."
    owner = _owner(game, name)
    if owner is None:
        setattr(game, name, value)
    else:
        setattr(game, owner, dataclasses.replace(getattr(game, owner), **{name: value}))

# %%
#| export
def nested_settings(game: Any, flat: dict[str, Any]) -> dict[str, Any]:
    "Flat settings as the fields of a game, or of a class of games: those of a group are put into a group."
    fields: dict[str, Any] = {}
    for name, value in flat.items():
        owner = _owner(game, name)
        if owner is None:
            fields[name] = value
        else:
            fields.setdefault(owner, {})[name] = value
    groups = groups_of(game)
    return {name: groups[name](**v) if name in groups and isinstance(v, dict) else v for name, v in fields.items()}

# %%
#| export
def with_settings(game: Any, **flat: Any) -> Any:
    "A copy of a game with other settings, whichever group they stand in: `with_settings(game, lr=3e-4)`."
    fields = nested_settings(game, flat)
    for name in groups_of(game):
        if name in fields:
            changed = {k: flat[k] for k in flat if _owner(game, k) == name}
            fields[name] = dataclasses.replace(getattr(game, name), **changed)
    return dataclasses.replace(game, **fields)

# %%
#| export
def to_json(value: Any) -> Any:
    "`value` as JSON-ready data; an object that cannot be written down leaves a note of its class."
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, SettingGroup):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else {"own": type(value).__name__}


# %%
#| export
def round_for_json(value: float) -> float | None:
    "A number for JSON: four digits, or None where it is not finite."
    return float(f"{value:.4g}") if math.isfinite(value) else None


# %%
#| export
def _record_spec(make: Callable, name: str) -> Callable:
    "Wrap the initialiser or factory `make` so that what it makes carries `.spec`: its name and its arguments."
    signature = inspect.signature(make)

    @functools.wraps(make)
    def wrapped(*args, **kw):
        made = make(*args, **kw)
        bound = signature.bind(*args, **kw)
        bound.apply_defaults()
        own = vars(args[0]) if made is None else {}  # what a dataclass made of its defaults
        arguments = {k: own.get(k, v) for k, v in bound.arguments.items() if k != "self"}
        target = args[0] if made is None else made
        groups = groups_of(target)
        flat = {k: v for k, v in arguments.items() if k not in groups}
        flat |= {k: getattr(arguments[g], k) for g in groups for k in groups[g].__dataclass_fields__}
        target.spec = {"name": name, **to_json(flat)}
        return made
    return wrapped


# %%
#| export
def register_game(cls: type) -> type:
    "Class decorator: make a game known by its class name in lower case."
    name = cls.__name__.lower()
    cls.__init__ = _record_spec(cls.__init__, name)
    GAMES[name] = cls
    return cls


# %%
#| export
def register_mode_set(make: Callable) -> Callable:
    "Decorator: make a factory of mode sets known by its own name."
    MODE_SETS[make.__name__] = _record_spec(make, make.__name__)
    return MODE_SETS[make.__name__]


# %%
#| export
def load(kind: str, name: str) -> None:
    "Import the module that registers `name`, if the package has one: \"game\", \"modes\" or \"command\"."
    module = {"game": _index.GAMES, "modes": _index.MODE_SETS, "command": _index.COMMANDS}[kind].get(name)
    if module:
        importlib.import_module(f"modelab.{module}")

# %%
#| export
def load_all() -> None:
    "Import every module that registers a game or a mode set, so that all of them are known."
    for module in sorted({*_index.GAMES.values(), *_index.MODE_SETS.values()}):
        importlib.import_module(f"modelab.{module}")

# %%
#| export
def registered(kind: str) -> dict[str, Callable]:
    "Every registered \"game\" or \"modes\" by name."
    load_all()
    return {"game": GAMES, "modes": MODE_SETS}[check_choice("kind", kind, ["game", "modes"])]

# %% [markdown]
# ## Settings of older files
# Checkpoints, jobs and benchmarks that were written before a setting was renamed are still read.

# %%
#| export
RENAMED = {"nets": "kind"}  # settings of older files, by their present name


def upgrade_settings(settings: dict[str, Any]) -> dict[str, Any]:
    "Settings of an older file in their present form."
    new = {RENAMED.get(name, name): value for name, value in settings.items()}
    for old, name, floor in (("fade", "schedule", .01), ("settle", "weight_schedule", 0.)):
        if old in new:
            steps = new.pop(old)
            new[name] = steps and {"shape": "cosine", "steps": steps, "floor": floor}
    return new

# %%
#| export
def make(kind: str, spec: str | dict) -> Any:
    "Build a registered \"game\" or \"modes\" from its name or from the `.spec` of an earlier one."
    known = {"game": GAMES, "modes": MODE_SETS}[check_choice("kind", kind, ["game", "modes"])]
    if not isinstance(spec, (str, dict)):
        raise TypeError(f"spec: expected a name or the .spec of a {kind}, got {spec!r:.80}")
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    own = [f"{k} (a {v['own']})" for k, v in settings.items() if isinstance(v, dict) and "own" in v]
    if own:
        raise ValueError(f"{kind}: {name} was made with objects of your own, make it again yourself: {', '.join(own)}")
    if name not in known:
        load(kind, name)
    if name not in known:
        load_all()
    maker = known[check_choice(kind, name, known)]
    return maker(**(nested_settings(maker, upgrade_settings(settings)) if kind == "game" else settings))
