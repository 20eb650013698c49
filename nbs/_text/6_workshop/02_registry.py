# %% [markdown]
# # The registry
# > How does the library find games, mode sets and commands by name, without importing all of them?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does the library find games, mode sets and commands by name? |
# | **You will be able to** | register a game, a mode set or a command; build one from its name and flat settings; read settings of older files |
# | **Needs** | [6.1](01_checks.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who add a game, a set of data or a command. It is also for users who build a game from a file or change its settings by name. The command line, the lab, checkpoints and the leaderboard all build games and sets by name.
#
# | Call | What it does |
# |---|---|
# | `@register_game`, `@register_mode_set`, `@register_command(name)` | make a class or a function known by its name |
# | `make("game", {"name": "minimax", "width": 64})` | builds a game from its name and settings; `make("modes", "ring")` a mode set |
# | `game.spec`, `current_spec(game)` | the name and the settings of a game, to be stored in a file |
# | `get_setting(game, "lr")`, `set_setting(game, "lr", 1e-4)` | read or change a setting by its name |
# | `with_settings(game, lr=1e-4)` | makes a copy with another setting |
# | `known_names("game")` | all names, without importing the games |
#
# All of them are in `modelab.core.registry`.

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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from modelab import _index
from modelab.core.checks import check_choice

# %%
from pathlib import Path

from modelab.core.checks import error_message

# %% [markdown]
# ## Tables of names
# A checkpoint says `{"name": "minimax", "width": 64}`. A program that reads it must find the class `Minimax`, although its module has not been imported yet. So there are two kinds of table. The first kind holds the classes and functions whose modules were imported:

# %%
#| export
GAMES: dict[str, Callable] = {}
MODE_SETS: dict[str, Callable] = {}
COMMANDS: dict[str, Callable] = {}

# %% [markdown]
# The second kind is in `modelab._index`. It says which module registers which name. The export of the notebooks writes this table, so nothing must be imported to read it.

# %%
{"games": len(_index.GAMES), "mode sets": len(_index.MODE_SETS), "commands": len(_index.COMMANDS),
 "minimax": _index.GAMES["minimax"], "train": _index.COMMANDS["train"]}

# %% [markdown]
# For each kind, `_TABLES` holds both tables side by side, so that the functions below work for games, mode sets and commands alike.

# %%
#| export
_TABLES = {"game": (GAMES, _index.GAMES), "modes": (MODE_SETS, _index.MODE_SETS),
           "command": (COMMANDS, _index.COMMANDS)}

# %% [markdown]
# A name is known if one of the two tables has it. `known_names` lists them. Errors about unknown names use this list, so a typo imports nothing.

# %%
#| export
def known_names(kind: str) -> list[str]:
    "The names of every \"game\", of all \"modes\" or of every \"command\", imported yet or not."
    imported, indexed = _TABLES[check_choice("kind", kind, _TABLES)]
    return sorted({*imported, *indexed})

# %% [markdown]
# `load` imports the one module that registers the name, and no other.

# %%
#| export
def load(kind: str, name: str) -> None:
    "Import the module that registers `name`, if the package has one and it is not registered yet."
    imported, indexed = _TABLES[kind]
    if name in indexed and name not in imported:
        importlib.import_module(f"modelab.{indexed[name]}")

# %% [markdown]
# Some callers need every class and not only the names, such as the lab's menus. `load_all` imports every module that registers a game or a mode set.

# %%
#| export
def load_all() -> None:
    "Import every module that registers a game or a mode set, so that all of them are known."
    for module in sorted({*_index.GAMES.values(), *_index.MODE_SETS.values()}):
        importlib.import_module(f"modelab.{module}")

# %% [markdown]
# `registered` imports everything and then gives the whole table, for menus and for tests that go through all games.

# %%
#| export
def registered(kind: str) -> dict[str, Callable]:
    "Every registered \"game\" or \"modes\" by name."
    table, _ = _TABLES[check_choice("kind", kind, ["game", "modes"])]
    load_all()
    return table

# %% [markdown]
# **Check.** In a new process, the error for a typo lists every game, and torch has not been imported, so no game has.

# %%
import subprocess
import sys

asks = """
import sys
from modelab.core.registry import make
try:
    make("game", "minimaxx")
except ValueError as error:
    print(error)
print("torch" in sys.modules)
"""
answer = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True).stdout
assert all(name in answer for name in _index.GAMES) and answer.endswith("False\n")
print(answer[:120], "…")

# %% [markdown]
# ## Registering
# Three decorators fill the tables. A name belongs to one definition. The same definition may come again: a cell is run a second time, or a chapter defines a class that the package also holds. `_same_definition` recognises this.

# %%
#| export
def _same_definition(new: Any, old: Any) -> bool:
    "Whether two classes or functions are one definition, from a cell that ran again or a module."
    return new.__qualname__ == old.__qualname__ and (
        new.__module__ == old.__module__ or bool(new.__doc__) and new.__doc__ == old.__doc__)

# %% [markdown]
# `_register` writes a name into the table, and refuses any other second definition. It would replace the first one without a message, and files of the first game would be read as the second one. The index also holds names of modules that are not imported yet. Such a module is imported first.

# %%
#| export
def _register(kind: str, name: str, made: Callable) -> None:
    "Put `made` into the table; `ValueError` if another definition has the name."
    imported, indexed = _TABLES[kind]
    if made.__module__ != f"modelab.{indexed.get(name)}":
        load(kind, name)
    old = imported.get(name)
    if old is not None and not _same_definition(made, old):
        raise ValueError(f"{kind}: the name {name!r} is taken by {old.__module__}."
                         f"{old.__qualname__}; choose another name")
    imported[name] = made

# %% [markdown]
# `register_command` is the decorator for a command of the command line. It decorates the function that adds the command's arguments to a parser.

# %%
#| export
def register_command(name: str) -> Callable[[Callable], Callable]:
    "Decorator: `configure(parser)` adds a subcommand's arguments and returns what runs them."
    def register(configure: Callable) -> Callable:
        _register("command", name, configure)
        return configure
    return register

# %% [markdown]
# Games and mode sets have a `.spec`: their name and the arguments they were made with. Files store it, so it must be plain data. `to_json` converts a value to plain data. For an object that cannot be stored it gives the name of its class.

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
    plain = isinstance(value, (str, int, float, bool, type(None)))
    return value if plain else {"own": type(value).__name__}

# %% [markdown]
# `round_for_json` is for measured numbers. They are stored with four significant digits. JSON has no NaN, so a number that is not finite becomes None, which JSON writes as `null`.

# %%
#| export
def round_for_json(value: float) -> float | None:
    "A number for JSON: four digits, or None where it is not finite."
    return float(f"{value:.4g}") if math.isfinite(value) else None

# %% [markdown]
# `_refuse_unknown` refuses a setting that a game does not have, and lists those that it has. Settings may be collected in a group (see the next section). If a setting of a group is given outside its group, the error shows how to write it.

# %%
#| export
def _refuse_unknown(cls: type, name: str, fields: Sequence[str], given: Iterable[str]) -> None:
    "`TypeError` for an argument of a game that is not among its fields."
    groups = groups_of(cls)
    settings = [s for group in groups.values() for s in group.__dataclass_fields__]
    for argument in given:
        if argument in settings and argument not in fields:
            owner = _owner(cls, argument)
            raise TypeError(f"{argument}: expected as a setting of {owner}, write "
                            f"{owner}={groups[owner].__name__}({argument}=…)")
        if argument not in fields:
            try:
                check_choice(name, argument, {*fields, *settings})
            except ValueError as error:
                raise TypeError(str(error)) from None

# %% [markdown]
# `_record_spec` adds the `.spec`. It wraps the initialiser of a game, or the function that makes a mode set.

# %%
#| export
def _record_spec(make: Callable, name: str) -> Callable:
    "Wrap an initialiser or factory: what it makes carries `.spec`, its name and arguments."
    signature = inspect.signature(make)
    kinds = {p.name: p.kind for p in signature.parameters.values()}

    @functools.wraps(make)
    def wrapped(*args, **kw):
        if "self" in kinds and inspect.Parameter.VAR_KEYWORD not in kinds.values():
            _refuse_unknown(type(args[0]), name, [k for k in kinds if k != "self"], kw)
        made = make(*args, **kw)
        bound = signature.bind(*args, **kw)
        bound.apply_defaults()
        target = args[0] if made is None else made
        own = vars(target) if made is None else {}  # what a dataclass made of its defaults
        arguments = {k: own.get(k, v) for k, v in bound.arguments.items() if k != "self"}
        target.spec = {"name": name, **to_json(_flat_settings(target, arguments))}
        return made
    return wrapped

# %% [markdown]
# `register_game` registers a game under its class name in lower case. Its initialiser is wrapped, so that every game carries its `.spec`.

# %%
#| export
def register_game(cls: type) -> type:
    "Class decorator: make a game known by its class name in lower case."
    name = cls.__name__.lower()
    _register("game", name, cls)
    cls.__init__ = _record_spec(cls.__init__, name)
    return cls

# %% [markdown]
# `register_mode_set` registers a mode set under the name of the function that makes it. The function is wrapped in the same way.

# %%
#| export
def register_mode_set(make: Callable) -> Callable:
    "Decorator: make a factory of mode sets known by its own name."
    made = _record_spec(make, make.__name__)
    _register("modes", make.__name__, made)
    return made

# %% [markdown]
# ## Settings that games share
# Every game has networks and an optimiser. Their settings are in two groups, `networks` and `optimiser`. If a setting of a group is None, the game's default is used. In a file, on the command line and in the lab the settings of a game are one flat table, `{"name": "minimax", "width": 64, "lr": 0.001}`. `SettingGroup` is the base class of a group.

# %%
#| export
@dataclass(frozen=True)
class SettingGroup:
    "Settings that games share; one that is None is left to the game's own default."

    def over(self, defaults: SettingGroup) -> SettingGroup:
        "The same settings, those that are None taken from `defaults`."
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        known = {name: v for name, v in given.items() if v is not None}
        return dataclasses.replace(defaults, **known)

# %% [markdown]
# A class of games says which groups it has in a dict `groups`. Its keys are the names of the fields, its values are the classes of the groups. `groups_of` reads it. The functions below work on any class with such a dict.

# %%
#| export
def groups_of(game: Any) -> dict[str, type]:
    "The groups of settings of a game or a class of games: the field's name and the group's class."
    return getattr(game, "groups", {})

# %% [markdown]
# A setting belongs to one group, or to the game itself. `_owner` finds out which, so that callers need only the name of the setting.

# %%
#| export
def _owner(game: Any, name: str) -> str | None:
    "The field of the group that setting `name` belongs to; None for a field of the game itself."
    return next((field for field, group in groups_of(game).items()
                 if name in group.__dataclass_fields__), None)

# %% [markdown]
# `get_setting` reads a setting by its name alone, so callers need not know the groups of a game.

# %%
#| export
def get_setting(game: Any, name: str) -> Any:
    "The value of a setting of a game, whichever group it stands in."
    owner = _owner(game, name)
    return getattr(game if owner is None else getattr(game, owner), name)

# %% [markdown]
# The lab changes settings of a game while it trains. `set_setting` does this. A group is frozen, so it is replaced by a changed copy. None means the game's default, as it does when the game is made.

# %%
#| export
def set_setting(game: Any, name: str, value: Any) -> None:
    "Change a setting of a game in place, whichever group it stands in: for the lab, under way."
    owner = _owner(game, name)
    if owner is None:
        setattr(game, name, value)
        return
    group = dataclasses.replace(getattr(game, owner), **{name: value})
    default = getattr(game, f"default_{owner}", None)
    setattr(game, owner, group if default is None else group.over(default))

# %% [markdown]
# A game has one field for each group, while files hold flat settings. `nested_settings` turns flat settings into the fields of a game.

# %%
#| export
def nested_settings(game: Any, flat: dict[str, Any]) -> dict[str, Any]:
    "Flat settings as the fields of a game, or of a class of games: those of a group in a group."
    fields: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        owner = _owner(game, name)
        place = fields if owner is None else inner.setdefault(owner, {})
        place[name] = value
    for name in fields.keys() & inner.keys():
        raise TypeError(f"{name}, {', '.join(inner[name])}: expected the group or its settings, "
                        "got both")
    groups = groups_of(game)
    return {name: groups[name](**v) if name in groups and isinstance(v, dict) else v
            for name, v in (fields | inner).items()}

# %% [markdown]
# `.spec` needs the opposite direction: `_flat_settings` turns fields into flat settings.

# %%
#| export
def _flat_settings(game: Any, fields: dict[str, Any]) -> dict[str, Any]:
    "The fields of a game with those of its groups beside them."
    groups = groups_of(game)
    flat = {k: v for k, v in fields.items() if k not in groups}
    return flat | {k: getattr(fields[g], k) for g in groups for k in groups[g].__dataclass_fields__}

# %% [markdown]
# `with_settings` makes a copy of a game with other settings. The original does not change, so the two can be compared.

# %%
#| export
def with_settings(game: Any, **flat: Any) -> Any:
    "A copy of a game with other settings, of any group: `with_settings(game, lr=3e-4)`."
    fields = nested_settings(game, flat)
    for name in groups_of(game):
        changed = {k: flat[k] for k in flat if _owner(game, k) == name}
        if changed:
            fields[name] = dataclasses.replace(getattr(game, name), **changed)
    return dataclasses.replace(game, **fields)

# %% [markdown]
# `current_spec` returns what a file may store about a game: its name and its present settings, since they may have changed after it was made. A class that is not registered inherits the `.spec` of its parent, but a file could not name it. For such a class the result is None.

# %%
#| export
def current_spec(game: Any) -> dict[str, Any] | None:
    "The name and the present settings of a registered game as JSON; None for any other game."
    spec = getattr(game, "spec", None)
    known = GAMES.get(spec["name"]) if spec else None
    if known is None or not _same_definition(type(game), known):
        return None
    live = {k: to_json(get_setting(game, k)) for k in spec if k != "name"}
    return {"name": spec["name"], **live}

# %% [markdown]
# **Check.** A toy with one group, registered, made by name from flat settings, changed and written down:

# %%
@dataclass(frozen=True)
class Rates(SettingGroup):
    lr: float | None = None
    momentum: float | None = None

# %%
@register_game
@dataclass
class Toy:
    weight: float = 10.
    rates: Rates = Rates()
    groups = {"rates": Rates}

    def __post_init__(self):
        self.rates = self.rates.over(Rates(1e-3, .9))

# %%
toy = Toy(**nested_settings(Toy, {"lr": .1, "weight": 1.}))
assert get_setting(toy, "lr") == .1 and toy.rates.momentum == .9
assert with_settings(toy, lr=.2, weight=2.).rates.lr == .2 and toy.rates.lr == .1
toy.spec

# %% [markdown]
# A name that is taken, an unknown setting, a setting outside its group, and a group beside one of its settings are refused:

# %%
other = type("Toy", (Toy,), {"__doc__": "Another game of the same name."})
other.__module__ = "elsewhere"
assert current_spec(toy) == toy.spec and current_spec(other()) is None
[error_message(register_game, other), error_message(Toy, wieght=1.), error_message(Toy, lr=.1),
 error_message(nested_settings, Toy, {"rates": Rates(.1), "lr": .2})]

# %% [markdown]
# An object that is not plain data leaves a note, and numbers are shortened:

# %%
print(to_json({"widths": (8, 16), "folder": Path("a/b"), "net": object()}))
round_for_json(math.pi), round_for_json(math.nan)

# %% [markdown]
# ## Settings of older files
# Checkpoints, jobs and benchmarks that were written before a setting was renamed are still read.

# %%
#| export
RENAMED = {  # settings of older files by their present name: of every game, and of one alone
    "": {"nets": "kind"},
    "currents": {"price": "penalty_weight"},
    "imlegan": {"penalty": "r1_weight", "interpolation": "interpolation_weight"},
    "mmiali": {"paired": "paired_weight", "outer": "outer_weight", "semi": "semi_weight",
               "inner": "inner_weight"},
    "fewlabels": {"rest": "label_source", "share": "labelled_share", "rotation": "rotation_weight"},
    "imputer": {"ask": "reconstruct", "weight": "reconstruction_weight",
                "adversary": "adversarial_weight", "price": "penalty_weight"},
    "pairwisebigan": {"penalty": "penalty_form"},
}

# %% [markdown]
# `upgrade_settings` gives the settings of an older file their present names. Two settings of old games, `fade` and `settle`, were numbers of steps. They become schedules.

# %%
#| export
def upgrade_settings(settings: dict[str, Any],  # of a game, without its name
                     game: str = "",  # the name it is registered under
                     ) -> dict[str, Any]:
    "Settings of an older file in their present form."
    renamed = RENAMED[""] | RENAMED.get(game, {})
    new = {renamed.get(name, name): value for name, value in settings.items()}
    for old, name, floor in (("fade", "schedule", .01), ("settle", "weight_schedule", 0.)):
        if old in new:
            steps = new.pop(old)
            schedule = {"shape": "cosine", "steps": steps, "floor": floor}
            new[name] = schedule if steps else None  # 0 steps meant no schedule
    return new

# %%
upgrade_settings({"penalty": .1, "nets": "conv", "fade": 100}, "imlegan")

# %% [markdown]
# ## Building by name
# `make` uses all of these functions: it upgrades the settings, imports the module, nests the settings and calls the class. Objects of your own cannot be read back from a file, so a spec that mentions one is refused.

# %%
#| export
def make(kind: str, spec: str | dict) -> Any:
    "Build a registered \"game\" or \"modes\" from its name or from the `.spec` of an earlier one."
    table, _ = _TABLES[check_choice("kind", kind, ["game", "modes"])]
    if not isinstance(spec, (str, dict)):
        raise TypeError(f"spec: expected a name or the .spec of a {kind}, got {spec!r:.80}")
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    own = [f"{k} (a {v['own']})" for k, v in settings.items() if isinstance(v, dict) and "own" in v]
    if own:
        raise ValueError(f"{kind}: {name} was made with objects of your own, make it again "
                         f"yourself: {', '.join(own)}")
    load(kind, check_choice(kind, name, known_names(kind)))
    if kind == "game":
        settings = nested_settings(table[name], upgrade_settings(settings, name))
    return table[name](**settings)

# %% [markdown]
# **Check.** What `make` builds carries the same `.spec`, and each mistake has an error of its own.

# %%
assert make("game", toy.spec).spec == toy.spec and make("game", toy.spec) == toy
assert make("game", {"name": "toy", "lr": .3}).rates.lr == .3
bad = ["toi", 3, {"name": "toy", "net": {"own": "Net"}}]
[error_message(make, "game", spec)[:75] for spec in bad]

# %% [markdown]
# The same with a game of the library, whose module is imported now:

# %%
from modelab.core import registry

registry.make("game", {"name": "minimax", "width": 32, "lr": 1e-3}).spec

# %% [markdown]
# ## Exercises
# **1.** A file of an old version says `{"name": "pairwisebigan", "penalty": "norm"}`. Find out what `make` does with the setting `penalty`, and where you would add a renaming of your own game.
#
# **2.** Why does `known_names` look into both tables? Name a game that is in only one of them.

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** `upgrade_settings` renames it to `penalty_form` for this game alone. A renaming goes into `RENAMED`, under the name of your game.
#
# **2.** A game of your own notebook, such as `toy` above, is registered but not in the index. A game of a module that was not imported is in the index only.
# </details>

# %% [markdown]
# ## Recap
# - A name is found in the index without an import. A module is imported when one of its names is asked for.
# - `.spec` is what files store: a name and flat settings, as plain data.
# - Settings that all games share are in groups. `get_setting`, `set_setting` and `with_settings` find them by name.
# - Old files stay readable: renamed settings are mapped in one place.
