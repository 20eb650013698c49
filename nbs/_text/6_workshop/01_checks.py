# %% [markdown]
# # Argument checks
# > How do the functions of the library refuse bad input?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do the functions of the library refuse bad input? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp core.checks

# %%
#| export
"Argument checks: integers, numbers, choices, batches and tensors, with one form of error message."
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any


# %%
#| export
def check_int(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    "`value` as an int between `least` and `most`; a bool, a fraction or a text is refused."
    bounds = f"a whole number ≥ {least}" + (f" and ≤ {most}" if most is not None else "")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected {bounds}, got {value!r}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name}: expected {bounds}, got {value!r}")
    return int(value)


# %%
#| export
def check_ints(name: str, values: Any, least: int = 1, most: int | None = None) -> list[int]:
    "A list of whole numbers, at least one, each as `check_int` has it."
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or not values:
        raise ValueError(f"{name}: expected at least one whole number, got {values!r:.40}")
    return [check_int(name, value, least, most) for value in values]


# %%
#| export
def check_number(name: str, value: Any, least: float = -math.inf, most: float = math.inf, *,
                 above: float = -math.inf) -> float:
    "`value` as a finite float with `least ≤ value ≤ most` and `value > above`."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or not least <= found <= most or not found > above:
        bounds = [f"≥ {least:g}"] * (least > above) + [f"> {above:g}"] * (above > -math.inf) \
            + [f"≤ {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}: expected a finite number {' and '.join(bounds)}".rstrip() + f", got {value!r:.40}")
    return found


# %%
#| export
def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    "`value` if it is among `known`; the error lists them and guesses what was meant."
    import difflib
    known = sorted(known)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    if value not in known:
        near = difflib.get_close_matches(value, known, 1)
        raise ValueError(f"{name}: unknown {value!r}" + (f", did you mean {near[0]!r}?" if near else "")
                         + f" Known: {', '.join(known)}")
    return value


# %%
#| export
def check_batch(name: str,  # the argument's name, for the error
                x: Any,  # a tensor or an array
                event: Sequence[int] | None = None,  # shape of one example, if it is known
                least: int = 1,  # fewest examples
                ):
    "`x` as a floating tensor `(n, *event)`; refuses wrong ranks and shapes, too few examples, NaN and infinity."
    import torch
    if not isinstance(x, torch.Tensor):
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: expected a tensor or an array of numbers, got {type(x).__name__}") from error
    if x.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    want = "(n, ...)" if event is None else "(" + ", ".join(["n", *map(str, event)]) + ")"
    if x.ndim < 1 or event is not None and tuple(x.shape[1:]) != tuple(event) or 0 in x.shape[1:]:
        raise ValueError(f"{name}: expected shape {want}, got {tuple(x.shape)}")
    if len(x) < least:
        raise ValueError(f"{name}: expected at least {least} example{'s' * (least > 1)}, got {len(x)}")
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if x.numel() and not all(map(math.isfinite, torch.stack(torch.aminmax(x.detach())).tolist())):  # without a copy of x
        bad = int((~torch.isfinite(x)).flatten(1).any(1).sum()) if x.ndim > 1 else int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in {bad} of {len(x)} examples")
    return x


# %%
#| export
def check_tensors(**named: Any) -> None:
    "Refuse what is no floating tensor `(*runs, batch, ...)` with at least one number in it; the names are for the error."
    import torch
    for name, x in named.items():
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            raise TypeError(f"{name}: expected a floating tensor, got {getattr(x, 'dtype', type(x).__name__)}")
        if not x.ndim or not x.numel():
            raise ValueError(f"{name}: expected shape (*runs, batch, ...) with at least one example, got {tuple(x.shape)}")


# %%
#| export
def check_logits(**named: Any) -> None:
    "Refuse what is no `check_tensors` of shape `(*runs, batch)` with the same runs."
    check_tensors(**named)
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len({shape[:-1] for shape in shapes.values()}) > 1:
        raise ValueError(f"{', '.join(shapes)}: expected (*runs, batch) with the same runs, got {list(shapes.values())}")


# %%
#| export
def check_callable(**named: Any) -> None:
    "Refuse what cannot be called."
    for name, f in named.items():
        if not callable(f):
            raise TypeError(f"{name}: expected a function, got {f!r:.80}")


# %%
#| export
def error_message(call: Callable, *args, **kw) -> str:
    "The text of the ValueError or TypeError that `call` raises; `AssertionError` if it raises none."
    try:
        call(*args, **kw)
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"expected {getattr(call, '__name__', call)} to refuse {args} {kw}")

# %% [markdown]
# ## Checks that are declared
# A check that is written into a function hides what the function does. So a function says in its signature what each argument is, and a decorator checks it:
#
# ```python
# @checked
# def gradient_penalty(critic: Critic, real: Batch, fake: Batch, *, target: NonNegative = 1.) -> Tensor: ...
# ```
#
# The same declaration makes the error message and the cases that the tests try. Shapes name their axes: `*runs` and `*event` stand for any number of axes, and a name that comes twice must mean the same size.

# %%
#| export core.signatures
"Declared argument checks: shapes, ranges and choices stand once, in the signature of a function or the fields of a class."
from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from modelab.core.checks import (check_batch, check_callable, check_choice, check_int, check_number,
                                 check_tensors)

# %% [markdown]
# ### Numbers

# %%
#| export core.signatures
@dataclass(frozen=True)
class Real:
    "Marks a finite number with `least ≤ value ≤ most` and `value > above`."
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def check(self, name: str, value: Any) -> float:
        "`value` as a float, or an error."
        return check_number(name, value, self.least, self.most, above=self.above)

# %%
#| export core.signatures
@dataclass(frozen=True)
class Whole:
    "Marks a whole number with `least ≤ value ≤ most`."
    least: int = 1
    most: int | None = None

    def check(self, name: str, value: Any) -> int:
        "`value` as an int, or an error."
        return check_int(name, value, self.least, self.most)

# %% [markdown]
# ### Tensors

# %%
#| export core.signatures
@dataclass(frozen=True)
class Shape:
    "Marks a floating tensor with at least one number whose axes are named, such as \"*runs batch *event\"."
    axes: str

    def check(self, name: str, value: Any) -> Tensor:
        "`value`, if it is such a tensor; how its axes fit those of other arguments is for `check_shapes`."
        check_tensors(**{name: value})
        return value

    def __str__(self) -> str:
        return f"({', '.join(self.axes.split())})"

# %%
#| export core.signatures
@dataclass(frozen=True)
class Scores(Shape):
    "Marks one score per example: `(*runs, batch)`, or as many people write them `(N, 1)` and `(N, 1, 1, 1)`."

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as `(*runs, batch)`: a last axis of length one is dropped."
        check_tensors(**{name: value})
        while value.ndim > 1 and value.shape[-1] == 1:
            value = value.squeeze(-1)
        return value

# %%
#| export core.signatures
@dataclass(frozen=True)
class Samples(Shape):
    "Marks samples `(n, *event)` as a tensor or an array: converted, and refused if they are not finite."
    least: int = 1

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as a floating tensor, or an error."
        return check_batch(name, value, least=self.least)

# %%
#| export core.signatures
@dataclass(frozen=True)
class Function:
    "Marks a function; `maps` says from which axes to which."
    maps: str = ""

    def check(self, name: str, value: Any) -> Callable:
        "`value`, if it can be called."
        check_callable(**{name: value})
        return value

# %% [markdown]
# ### The names that signatures use

# %%
#| export core.signatures
Count = Annotated[int, Whole(1)]
Index = Annotated[int, Whole(0)]
Number = Annotated[float, Real()]
Positive = Annotated[float, Real(above=0.)]
NonNegative = Annotated[float, Real(0.)]
Share = Annotated[float, Real(0., 1.)]
Batch = Annotated[Tensor, Shape("*runs batch *event")]
Latents = Annotated[Tensor, Shape("*runs batch latent")]
Logits = Annotated[Tensor, Scores("*runs batch")]
RealScores = Annotated[Tensor, Scores("*runs real")]
FakeScores = Annotated[Tensor, Scores("*runs fake")]
OneScore = Annotated[Tensor, Shape("*runs batch")]
PerScore = Annotated[Tensor, Shape("*runs batch *values")]
Critic = Annotated[Callable[[Tensor], Tensor], Function("*runs batch *event -> *runs batch")]

# %% [markdown]
# ### Shapes that must fit together

# %%
#| export core.signatures
class _Axes:
    "The sizes that the axes of a call's arguments have so far, by name, and which argument said so."
    def __init__(self):
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.said: dict[str, str] = {}

    def fit(self, name: str, shape: Shape, got: tuple[int, ...]) -> bool:
        "Take the sizes of `got` over, or refuse it; False if two unknown groups of axes cannot be told apart yet."
        axes = shape.axes.split()
        free = [a for a in axes if a[0] == "*" and a not in self.sizes]
        taken = sum(len(self.sizes[a]) if a in self.sizes else 1 for a in axes if a not in free)
        if len(got) < taken or not free and len(got) != taken:
            self.refuse(name, shape, got)
        if len(free) > 1:
            return False
        at = 0
        for axis in axes:
            n = len(got) - taken if axis in free else len(self.sizes.get(axis, "1"))
            found, at = got[at:at + n], at + n
            if self.sizes.setdefault(axis, found) != found or axis.isdigit() and found != (int(axis),):
                self.refuse(name, shape, got)
            self.said.setdefault(axis, name)
        return True

    def refuse(self, name: str, shape: Shape, got: tuple[int, ...]) -> None:
        "Say which shape was expected, and because of which other argument."
        known = {self.said[a] for a in shape.axes.split() if a in self.said} - {name}
        fits = f" that fits {' and '.join(sorted(known))}" * bool(known)
        raise ValueError(f"{name}: expected shape {shape}{fits}, got {got}")

# %%
#| export core.signatures
def check_shapes(shapes: dict[str, Shape], values: dict[str, Tensor]) -> None:
    "Refuse tensors whose axes of one name differ in size; two arguments of one shape must be of one dtype, too."
    axes, first, later = _Axes(), {}, []
    for name, shape in shapes.items():
        got = values[name]
        if shape.axes in first:
            other = first[shape.axes]
            if got.shape != values[other].shape and "*" in shape.axes:
                raise ValueError(f"{other}, {name}: expected one shape {shape}, got {tuple(values[other].shape)} "
                                 f"and {tuple(got.shape)}")
            if got.dtype != values[other].dtype:
                raise TypeError(f"{other}, {name}: expected one type, got {values[other].dtype} and {got.dtype}")
        first.setdefault(shape.axes, name)
        if not axes.fit(name, shape, tuple(got.shape)):
            later.append(name)
    for name in later:  # now that other arguments may have said how many runs there are
        axes.fit(name, shapes[name], tuple(values[name].shape))

# %% [markdown]
# ### From an annotation to a check

# %%
#| export core.signatures
def check_value(name: str, kind: Any, value: Any) -> Any:
    "`value` as the annotation `kind` declares it, or a `ValueError` or `TypeError` that begins with `name`."
    if get_origin(kind) is Annotated:
        for marker in kind.__metadata__:
            value = marker.check(name, value) if hasattr(marker, "check") else value
        return value
    if get_origin(kind) is Literal:
        return check_choice(name, value, get_args(kind))
    if kind is bool and not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r:.60}")
    if get_origin(kind) in (Union, types.UnionType):
        parts = [k for k in get_args(kind) if k is not type(None)]
        if value is None and len(parts) < len(get_args(kind)):
            return None
        if isinstance(value, dict) and dict in map(get_origin, parts):
            inner = get_args(next(k for k in parts if get_origin(k) is dict))[1]
            return {key: check_value(f"{name} of {key}", inner, v) for key, v in value.items()}
        return check_value(name, parts[0], value) if declared(parts[0]) else value
    return value

# %%
#| export core.signatures
def declared(kind: Any) -> bool:
    "Whether an annotation says something that can be checked."
    if get_origin(kind) is Annotated:
        return any(hasattr(marker, "check") for marker in kind.__metadata__)
    if get_origin(kind) in (Union, types.UnionType):
        return any(map(declared, get_args(kind)))
    return kind is bool or get_origin(kind) is Literal

# %%
#| export core.signatures
def _shape_of(kind: Any) -> Shape | None:
    "The marker of a tensor's shape in an annotation, if there is one."
    if get_origin(kind) in (Union, types.UnionType):
        return next(filter(None, map(_shape_of, get_args(kind))), None)
    return next((m for m in getattr(kind, "__metadata__", ()) if isinstance(m, Shape)), None)

# %%
#| export core.signatures
@functools.cache
def declarations(f: Any) -> dict[str, Any]:
    "The declared annotations of a function's arguments, or of a class's fields, by name."
    hints = get_type_hints(f, include_extras=True)
    return {name: kind for name, kind in hints.items() if name != "return" and declared(kind)}

# %%
#| export core.signatures
def check_arguments(f: Any, values: dict[str, Any]) -> dict[str, Any]:
    "The arguments of a call of `f`, checked and converted as its signature declares."
    kinds = declarations(f)
    checked = {name: check_value(name, kinds[name], value) if name in kinds else value for name, value in values.items()}
    shapes = {name: shape for name in values if name in kinds and checked[name] is not None
              and (shape := _shape_of(kinds[name]))}
    check_shapes(shapes, checked)
    return checked

# %% [markdown]
# ### The decorator
# A training run that went well once need not be checked at each further step, so checks can be switched off.

# %%
#| export core.signatures
_state = threading.local()


@contextmanager
def unchecked() -> Iterator[None]:
    "Inside, functions that declare their arguments do not check them: for a loop that passed once."
    before = getattr(_state, "off", False)
    _state.off = True
    try:
        yield
    finally:
        _state.off = before

# %%
#| export core.signatures
CHECKED: dict[str, Callable] = {}  # every checked function by its name, for the tests


def checked(f: Callable) -> Callable:
    "Decorator: check the arguments of each call as the signature declares them."
    signature = inspect.signature(f)

    @functools.wraps(f)
    def wrapper(*args, **kw):
        if getattr(_state, "off", False):
            return f(*args, **kw)
        bound = signature.bind(*args, **kw)
        bound.arguments = check_arguments(f, bound.arguments)
        return f(*bound.args, **bound.kwargs)
    CHECKED[f"{f.__module__}.{f.__qualname__}"] = wrapper
    return wrapper

# %%
#| export core.signatures
def check_fields(settings: Any) -> None:
    "Check the fields of a dataclass as their annotations declare them; a number is stored as the type that is declared."
    kinds = declarations(type(settings))
    for field in dataclasses.fields(settings):
        if field.name in kinds:
            value = check_value(field.name, kinds[field.name], getattr(settings, field.name))
            object.__setattr__(settings, field.name, value)

# %% [markdown]
# **Check.** Each kind of mistake is refused with the name of the argument, and a call that is right passes.

# %%
import torch
from modelab.core.checks import error_message

@checked
def mean_distance(real: Batch, fake: Batch, *, weight: NonNegative = 1., form: Literal["l1", "l2"] = "l2") -> Tensor:
    return weight * (real - fake).square().mean()

x = torch.zeros(8, 2)
assert mean_distance(x, x).item() == 0
[error_message(mean_distance, x, x[:7]), error_message(mean_distance, x, 3), error_message(mean_distance, x, x, weight=-1.),
 error_message(mean_distance, x, x, form="l3")]

# %%
@checked
def pairs(x: Batch, z: Latents) -> tuple[int, ...]:
    return x.shape

assert pairs(torch.zeros(5, 8, 3, 4, 4), torch.zeros(5, 8, 2)) == (5, 8, 3, 4, 4)
[error_message(pairs, torch.zeros(5, 8, 3), torch.zeros(5, 7, 2)), error_message(pairs, torch.zeros(8), torch.zeros(5, 8, 2))]
