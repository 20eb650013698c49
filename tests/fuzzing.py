"""Arguments made from declarations, good and bad, and what is wrong with a function's answer to them.

A function says in its signature what each argument is (`modelab.core.signatures`). From that `Subject` makes a call that
should be answered, values that must be refused, and values of which nobody knows, such as a tensor with a NaN in it: for
these the function answers rightly or refuses with an error that names an argument.
"""

import dataclasses
import functools
import importlib
import inspect
import math
import re
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from helpers import seeded

from modelab.core import signatures as declare
from modelab.core.registry import get_setting, groups_of, nested_settings, registered
from modelab.training.run import Diverged, Run

AXES = {"*runs": (), "*event": (2,), "latent": (3,)}  # sizes of axes that have a usual name; others get one of their own
MANY = 64  # where a default is larger, such as 200 rounds, a test takes a few
MAY_BE_NAN = "kl forward spread spreads".split()  # of a `Coverage`, where too few samples are good; it says so
PATHS = {"path", "folder", "source"}
SMALL = {"width": 8, "latent": 2, "reals": 8, "pool": 2}  # settings that make a game quick, where it has them
SETS = "ring", "stacked_digits"  # a game is tried on the first of these that it can play on


class Undeclared(TypeError):
    """An argument that neither its declaration nor anything else says how to make."""


class Theirs(Exception):
    """A function that the caller brought could not do with what it got: no fault of whoever called it."""


# good values

def inner(kind: Any) -> Any:
    """The first part of an annotation that declares something: of `A | None` the A."""
    if get_origin(kind) in (Union, types.UnionType):
        return next((k for k in get_args(kind) if declare.declared(k)), kind)
    return kind


def marker(kind: Any) -> Any:
    """What marks an annotation: `Whole`, `Shape`, ...; the annotation itself if it is a bool or a Literal."""
    kind = inner(kind)
    if get_origin(kind) is Annotated:
        return next(m for m in kind.__metadata__ if hasattr(m, "check"))
    return kind


def shape_of(axes: str, sizes: dict[str, tuple[int, ...]], least: int = 1) -> tuple[int, ...]:
    """Sizes for named axes; a new name gets a size of its own, so that axes that are mixed up are noticed."""
    shape = ()
    for axis in axes.split():
        if axis.isdigit():
            sizes[axis] = (int(axis),)
        elif axis not in sizes:
            sizes[axis] = AXES.get(axis) or ((2,) if axis[0] == "*" else (max(least, 6 + len(sizes)),))
        if axis == "*runs":
            sizes[axis] = ()
        shape += sizes[axis]
    return shape


def function(maps: str, sizes: dict[str, tuple[int, ...]]) -> Callable:
    """A smooth function from inputs to an output of such axes; the first input's leading axes may be any."""
    if not maps:
        return lambda *a: a[0]
    left, _, right = maps.partition("->")
    sources, target = [part.split() for part in left.split(",")], right.split()
    shape_of(left.replace(",", " "), sizes)
    shape_of(right, sizes)

    def bind(axes: Sequence[str], x: torch.Tensor, known: dict) -> None:
        shape = list(x.shape)
        for i, axis in reversed(list(enumerate(axes))):
            n = len(shape) if i == 0 else len(sizes[axis])
            known[axis] = tuple(shape[len(shape) - n:])
            del shape[len(shape) - n:]

    def made(*inputs: torch.Tensor) -> torch.Tensor:
        try:
            return compute(*inputs)
        except (IndexError, RuntimeError, StopIteration) as error:
            raise Theirs(f"a function of the caller's got {[tuple(x.shape) for x in inputs]}: {error}") from error

    def compute(*inputs: torch.Tensor) -> torch.Tensor:
        known, total = dict(sizes), 0.
        for axes, x in zip(sources, inputs):
            bind(axes, x, known)
        for axes, x in zip(sources, inputs):
            if axes == target:
                total = total + x
                continue
            at = [i for axis in axes for i in [axis] * len(known[axis])]  # the name of each axis
            gone = [i for i, axis in enumerate(at) if axis not in target]
            y = x.square().sum(gone, keepdim=False) if gone else x
            kept = iter(y.shape)
            view = [next(kept) if axis in axes else 1 for axis in target for _ in known[axis]]
            total = total + y.reshape(view)
        whole = [n for axis in target for n in known[axis]]
        return torch.as_tensor(total).expand(whole) + 0.
    return made


def number(kind: Any, default: Any) -> Any:
    """A number that is allowed: the default, or a few where that is many."""
    whole = isinstance(kind, declare.Whole)
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        return max(kind.least, 4) if whole and MANY < default < 1 << 16 else default
    if whole:
        return max(kind.least, min(2, kind.most or 2))
    low, high = max(kind.least, kind.above), kind.most
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return low + .5 if math.isfinite(low) else min(.5, high)


def good(kind: Any, default: Any, sizes: dict, seed: int) -> Any:
    """A value that an annotation allows; `Undeclared` if nothing says what it is."""
    mark, wanted = marker(kind), default is inspect.Parameter.empty or default is None
    if hasattr(mark, "example"):
        shape_of(mark.axes, sizes)
        return mark.example({axis: math.prod(n) for axis, n in sizes.items()}, seeded(seed))
    if isinstance(mark, declare.Shape):
        shape = shape_of(mark.axes, sizes, getattr(mark, "least", 1))
        if isinstance(mark, (declare.Labels, declare.Bools)):
            ones = torch.arange(math.prod(shape)).reshape(shape) % 2
            return ones.bool() if isinstance(mark, declare.Bools) else ones
        return torch.randn(shape, generator=seeded(seed))
    if isinstance(mark, (declare.Whole, declare.Real)):
        return None if default is None else number(mark, default)
    if default is not inspect.Parameter.empty:
        return default
    if isinstance(mark, declare.Function):
        return function(mark.maps, sizes)
    if isinstance(mark, declare.Wholes):
        return [mark.least + 1, mark.least + 2]
    if isinstance(mark, declare.Texts):
        return ["a"]
    if get_origin(mark) is Literal:
        return get_args(mark)[0]
    if mark is bool:
        return False
    if isinstance(mark, declare.InstanceOf) and wanted and mark.kinds in (torch.nn.Module, torch.Generator):
        return torch.nn.Linear(2, 2) if mark.kinds is torch.nn.Module else seeded(seed)
    raise Undeclared(str(kind))


# bad values

def refused(kind: Any) -> list:
    """Values that a declaration does not allow, whatever else is said."""
    mark, optional = marker(kind), type(None) in get_args(kind)
    bad = [] if optional else [None]
    if isinstance(mark, declare.Whole):
        bad += [mark.least - 1, 2.5, "3", True, math.nan, 1j] + ([] if mark.most is None else [mark.most + 1])
    elif isinstance(mark, declare.Real):
        bad += [math.nan, math.inf, -math.inf, "a", True, 1j, 10 ** 400]
        bad += [edge for edge in (mark.least - 1, mark.above, max(mark.most + 1, 2 * mark.most)) if math.isfinite(edge)]
    elif isinstance(mark, declare.Samples):
        bad += ["points", object(), torch.zeros(0), torch.full((9, 2), math.nan), torch.zeros(9, 2) * 1j]
    elif isinstance(mark, declare.Shape):
        bad += ["points", 3, object(), torch.zeros(0, 2), torch.zeros(9, 2) * 1j]
    elif isinstance(mark, declare.Function):
        bad += [3, "f", []]
    elif isinstance(mark, declare.Wholes):
        bad += [[], [mark.least - 1], [2.5], "text", 3]
    elif isinstance(mark, declare.Texts):
        bad += [3, [1]]
    elif isinstance(mark, declare.InstanceOf):
        bad += ["x", 3, object()]
    elif get_origin(mark) is Literal:
        bad += ["unknown", 3, ["a"], object()]
    elif mark is bool:
        bad += ["yes", 1]
    return bad


def hostile(value: Any) -> list:
    """Values that should not stand where `value` stands; some may be right by chance."""
    if isinstance(value, torch.Tensor):
        bad = value.clone().double()
        one_nan = bad.clone()
        one_nan.view(-1)[:1] = math.nan
        return [bad.flatten()[0], bad[:1], value[0], value[None], value[..., None], value[:0], value[..., :0],
                bad * math.nan, one_nan, bad.abs() * math.inf, bad * 1e30, -bad.abs(), torch.zeros_like(bad), value.long(),
                value > 0, value * 1j, value.half(), value.numpy(), value.tolist(), value[:-1], "points", None, 3, {},
                [["a"]], object()]
    if isinstance(value, np.ndarray):
        return [value[0], value[:0], value.astype(float), value.astype(str), "absent", None, 3, {}, [["a"]], object()]
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [-1, 0, 1, 2.5, math.nan, math.inf, "3", None, True, [1], 1j, object(), np.int64(2), torch.tensor(2)]
    if isinstance(value, float):
        return [-1., 0., 1e-300, 1e300, math.nan, math.inf, -math.inf, "a", None, True, [1.], 1j, object(), np.float32(.5),
                10 ** 400]
    if isinstance(value, str):
        return ["", "unknown", 3, None, b"train", ["train"], {}, 1.5, object(), "a\0b"]
    if isinstance(value, torch.Generator):
        return [3, "seed", [seeded()] * 9, [], {}, object()]
    if isinstance(value, list) and value and isinstance(value[0], torch.Generator):
        return [3, "seed", value[:1], value * 2, [], [1, 2], [None] * len(value), {}, object()]
    if isinstance(value, (list, tuple)):
        return [(), [], [math.nan] * len(value), ["a"] * len(value), [-1] * len(value), [0] * len(value), [2.5] * len(value),
                [None] * len(value), list(value) * 2, 3, "text", None, {}, object(), [[1]]]
    if callable(value):
        return [3, "f", None, lambda *a: None, lambda *a: "x", lambda *a: torch.zeros(()), lambda *a: torch.zeros(0),
                lambda *a: torch.zeros(99, 2), [], object()]
    return [3, "x", None, [], {}, object()]  # an object of ours


# what is called

@dataclasses.dataclass
class Subject:
    """Something to call, and how: arguments from its declarations, others from `given`."""
    name: str
    call: Callable
    declared: dict[str, Any]  # annotations by argument
    parameters: dict[str, inspect.Parameter]
    hints: dict[str, Any]
    given: Callable[[], dict] = dict  # arguments of an explicit case: anew for each call
    written: frozenset = frozenset()  # arguments that an author writes, not a user: they are not tried

    def arguments(self) -> dict[str, Any]:
        """Arguments with which all is well."""
        given, sizes = self.given(), {}
        made = {}
        for seed, (name, parameter) in enumerate(self.parameters.items()):
            if name in given:
                made[name] = given[name]
            elif name in self.declared:
                made[name] = good(self.declared[name], parameter.default, sizes, seed)
            elif "Generator" in str(self.hints.get(name)):
                runs = made.get("runs", given.get("runs"))
                made[name] = [seeded(i) for i in range(runs)] if isinstance(runs, int) and runs else seeded()
            elif parameter.default is inspect.Parameter.empty:
                raise Undeclared(f"{self.name}: say what {name} is in the signature, such as `{name}: Count` or "
                                 f"`{name}: Annotated[Tensor, Shape(\"*runs batch *event\")]`")
        return made

    def takes_tensors(self) -> bool:
        """Whether some argument is a tensor."""
        try:
            return any(isinstance(value, torch.Tensor) for value in self.arguments().values())
        except Undeclared:  # another test says so
            return False

    def undeclared(self) -> list[str]:
        """Arguments of plain types that are neither declared nor in an explicit case."""
        plain = {int, float, torch.Tensor, int | None, float | None, torch.Tensor | None, Callable, Callable | None}
        return [name for name in self.parameters if name not in self.declared and name not in self.given()
                and self.hints.get(name) in plain]

    def changes(self) -> list[tuple[str, int, bool]]:
        """What to try: an argument, the number of a bad value, and whether it must be refused."""
        found = []
        for name, value in self.arguments().items():
            if name not in {"self"} | self.written:
                found += [(name, i, False) for i, _ in enumerate(hostile(self.sample(name, value)))]
            if name in self.declared and name not in self.written:
                found += [(name, i, True) for i, _ in enumerate(refused(self.declared[name]))]
        return found

    def sample(self, name: str, value: Any) -> Any:
        """A value of the declared kind where the argument is None."""
        if value is not None or name not in self.declared:
            return value
        try:
            return good(self.declared[name], inspect.Parameter.empty, {}, 0)
        except Undeclared:
            return value

    def passes_nan(self) -> bool:
        """Whether some tensor may hold NaN, as in a loss: then the answer may, too, for the engine to notice."""
        marks = [marker(kind) for kind in self.declared.values()]
        unchecked = (declare.Finite, declare.Samples, declare.Labels, declare.Bools)
        return any(isinstance(m, declare.Shape) and not isinstance(m, unchecked) and not hasattr(m, "example") for m in marks)

    def known(self) -> set[str]:
        """Names that an error may begin with."""
        fields = {f.name for f in dataclasses.fields(self.call)} if dataclasses.is_dataclass(self.call) else set()
        texts = {v for k, v in self.given().items() if k in self.written and isinstance(v, str)}
        return set(self.parameters) - {"self"} | fields | texts


def checks(call: Callable | None) -> bool:
    """Whether a call of it is checked as its signature, or its fields, declare."""
    while call is not None:
        if any(call is known for known in declare.CHECKED.values()):
            return True
        if dataclasses.is_dataclass(call) and hasattr(call, "__post_init__"):
            return True
        call = getattr(call, "__wrapped__", None)
    return False


def subject(name: str, call: Callable, source: Callable | None = None, **kw) -> Subject:
    """A subject from the signature of `source`, by default of what is called."""
    whole = source
    source = inspect.unwrap(source or call)
    parameters = {p.name: p for p in inspect.signature(source).parameters.values()
                  if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if source is not call and inspect.isclass(call):
        parameters.pop("self", None)
    try:
        declared, hints = declare.declarations(source), get_type_hints(source, include_extras=True)
        declared = declared if checks(call) or checks(whole) else {}
    except (NameError, TypeError):  # an annotation that is only for type checkers
        declared, hints = {}, {}
    return Subject(name, call, {k: v for k, v in declared.items() if k in parameters}, parameters, hints, **kw)


def found(name: str) -> Any:
    """The function or class of a dotted name within the package."""
    parts = name.split(".")
    for at in range(len(parts) - 1, 0, -1):
        try:
            thing = importlib.import_module("modelab." + ".".join(parts[:at]))
        except ModuleNotFoundError:
            continue
        for part in parts[at:]:
            thing = getattr(thing, part)
        return thing
    raise KeyError(name)


# what is wrong with an answer

def nans(value: Any, depth: int = 0) -> bool:
    """Whether a result hides a NaN where a reader sees a number."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, dict):
        return any(nans(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(nans(v, depth + 1) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and depth < 3:
        return any(nans(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)
                   if not f.name.startswith("_") and f.name not in MAY_BE_NAN)
    return False


def outcome(call: Callable, arguments: dict, known: set[str]) -> tuple[Any, str | None]:
    """The result; or an error: None as text if it names an argument, else what is wrong with it."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return call(**arguments), None
    except (ValueError, TypeError) as error:
        head = str(error).partition(":")[0]
        named = any(re.search(rf"\b{re.escape(p)}\b", head) for p in known)
        return error, "" if named else f"{type(error).__name__} names no argument: {error}"
    except Theirs as error:
        return error, ""
    except OSError as error:
        return error, "" if PATHS & set(arguments) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return error, f"{type(error).__name__}: {error}"


def wrong(subject: Subject, arguments: dict, must_refuse: bool = False, passes_nan: bool | None = None) -> str:
    """What is wrong with the answer to these arguments; nothing if it is right or refuses well."""
    result, problem = outcome(subject.call, arguments, subject.known())
    if problem is not None:
        return problem
    if must_refuse:
        return f"was to be refused, gave {result!r:.100}"
    passes_nan = subject.passes_nan() if passes_nan is None else passes_nan
    return f"silent NaN in {result!r:.200}" if not passes_nan and nans(result) else ""


def problems(subject: Subject, passes_nan: bool | None = None) -> list[str]:
    """What is wrong with the answers to calls in each of which one argument is bad."""
    bad = []
    for name, i, must_refuse in subject.changes():
        arguments = subject.arguments()
        tried = refused(subject.declared[name]) if must_refuse else hostile(subject.sample(name, arguments[name]))
        arguments[name] = tried[i]
        if problem := wrong(subject, arguments, must_refuse, passes_nan):
            bad.append(f"{subject.name}({name}={str(tried[i])[:60]!r}): {problem}")
    return bad


# games

def play(game: type, settings: dict, data: str) -> None:
    """One step of a game; a number that is too large to play with is noticed by the engine at that step."""
    small = {k: v for k, v in SMALL.items() if k in all_settings(game)}
    try:
        Run(game(**nested_settings(game, small | settings)), data, runs=1, batch=4, device="cpu").step(1)
    except Diverged as error:
        assert re.search(r"loss of .* at step 0", str(error)), error


@functools.cache  # reading annotations takes longer than a step of a small game
def all_settings(game: type) -> dict[str, Any]:
    """The annotation of each setting of a game that can be written in a file, those of its groups included."""
    groups = groups_of(game)
    own = {f.name for f in dataclasses.fields(game)} - set(groups)
    found = {name: kind for name, kind in get_type_hints(game, include_extras=True).items() if name in own}
    for group in groups.values():
        found |= {f.name: get_type_hints(group, include_extras=True)[f.name] for f in dataclasses.fields(group)}
    return found


def data_for(game: type) -> str:
    """A mode set that the game can play on."""
    refusals = []
    for data in SETS:
        try:
            play(game, {}, data)
            return data
        except ValueError as error:
            refusals.append(f"{data}: {error}")
    raise AssertionError(f"{game.__name__} plays on none of {', '.join(SETS)}: {refusals}")


def game_problems(name: str) -> list[str]:
    """What is wrong with the answers of a game to settings of which one is bad."""
    game = registered("game")[name]
    data, usual, bad = data_for(game), game(), []
    kinds = all_settings(game)
    known = set(kinds) | set(groups_of(game)) | {"modes", "game", "event"}
    for setting, kind in kinds.items():
        value = SMALL.get(setting, get_setting(usual, setting))
        if kind in (int, float, int | None, float | None):
            bad.append(f"{name}.{setting}: declare its range, such as `{setting}: NonNegative`")
            continue
        if not declare.declared(kind):  # checked in another way, such as a learning rate that may differ by player
            tried = [(v, False) for v in hostile(value)] if isinstance(value, (int, float, tuple)) else []
        elif isinstance(marker(kind), (declare.Function, declare.InstanceOf)):
            continue
        else:
            value = good(kind, inspect.Parameter.empty, {}, 0) if value is None else value
            choices = list(get_args(marker(kind))) if get_origin(marker(kind)) is Literal else []
            tried = [(v, False) for v in hostile(value) + choices] + [(v, True) for v in refused(kind) if v is not None]
        for bad_value, must_refuse in tried:
            _, problem = outcome(lambda **kw: play(game, kw, data), {setting: bad_value}, known)
            if problem or must_refuse and problem is None:
                bad.append(f"{name}({setting}={str(bad_value)[:60]!r}): {problem or 'was to be refused'}")
    return bad
