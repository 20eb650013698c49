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

import functools
import importlib
import inspect
import math
import os
from collections.abc import Callable
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

# %%
#| export
def to_json(value: Any) -> Any:
    "`value` as JSON-ready data; an object that cannot be written down leaves a note of its class."
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
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
        (args[0] if made is None else made).spec = {"name": name, **to_json(arguments)}
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
    return known[check_choice(kind, name, known)](**settings)
