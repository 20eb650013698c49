# %% [markdown]
# # Argument checks
# > How do the functions of the library refuse bad input without hiding what they do?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do the functions of the library refuse bad input? |
# | **You will be able to** | declare what an argument must be; read an error; switch checks off in a loop |
# | **Needs** | nothing |
# | **Time** | seconds |
#
# This chapter is for contributors who write a loss, a measure, a game or a network, and for users who want to understand an error of the library. Losses, measures and games check their arguments with what it exports.
#
# | Call | What it does |
# |---|---|
# | `@checked`, with `x: Batch` or `weight: Positive` in the signature | checks the arguments of a function at each call |
# | `check_fields(self)` in `__post_init__` | checks the settings of a dataclass |
# | `check_int`, `check_number`, `check_choice`, `check_batch`, `check_shape` | check one value inside a function, and return it |
# | `with unchecked():` | switches the checks off, for a loop |
# | `error_message(call, *args)` | returns the text of the error that a call raises, for chapters and tests |
#
# The names for signatures, such as `Batch`, are listed under *The names that signatures use*. They are in `modelab.core.signatures`, as are `checked`, `check_fields` and `unchecked`. The other functions are in `modelab.core.checks`.
#
# A wrong argument that is not refused is hard to find later. Logits of shape `(N, 1)` minus logits of shape `(N,)` give a matrix `(N, N)`. There is no error, and the loss can be trained. So each function refuses arguments that are probably a mistake. An error names the argument, what was expected, and what came.
#
# ## Checks that are called
# The first module does not import torch at the top, so that the command line starts at once.

# %%
#| default_exp core.checks

# %%
#| export
"Argument checks: integers, numbers, choices, batches, tensors, and one form of error message."
from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

# %% [markdown]
# `check_int` accepts a whole number within bounds. In Python `True` is equal to 1. As a number of steps it is a mistake, so it is refused.

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

# %% [markdown]
# Widths of layers are given as a list of such numbers. `check_ints` checks each of them and refuses an empty list.

# %%
#| export
def check_ints(name: str, values: Any, least: int = 1, most: int | None = None) -> list[int]:
    "A list of whole numbers, at least one, each as `check_int` has it."
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or not values:
        raise ValueError(f"{name}: expected at least one whole number, got {values!r:.40}")
    return [check_int(name, value, least, most) for value in values]

# %% [markdown]
# `check_number` accepts any finite number. A bound may be included (`least`, `most`) or excluded (`above`).

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
        wanted = f"a finite number {' and '.join(bounds)}".rstrip()
        raise ValueError(f"{name}: expected {wanted}, got {value!r:.40}")
    return found

# %% [markdown]
# `check_choice` accepts one of several names. The error lists them all and suggests the one that was probably meant.

# %%
#| export
def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    "`value` if it is among `known`; the error lists them and guesses what was meant."
    import difflib
    known = sorted(known)
    listed = ", ".join(one or "''" for one in known)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {listed}, got {value!r}")
    if value not in known:
        near = difflib.get_close_matches(value, known, 1)
        meant = f", did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"{name}: unknown {value!r}{meant} Known: {listed}")
    return value

# %% [markdown]
# `check_batch` is for the samples of a measure. They may be an array, must have one shape and be finite. The error counts the bad examples, which helps to find them.

# %%
#| export
def check_batch(name: str,  # the argument's name, for the error
                x: Any,  # a tensor or an array
                event: Sequence[int] | None = None,  # shape of one example, if it is known
                least: int = 1,  # fewest examples
                ):
    "`x` as a floating tensor `(n, *event)`; refuses wrong shapes, NaN and infinity."
    import torch
    x = _as_tensor(name, x)
    if x.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got {x.layout}; write .to_dense()")
    want = "(n, ...)" if event is None else "(" + ", ".join(["n", *map(str, event)]) + ")"
    if x.ndim < 1 or event is not None and tuple(x.shape[1:]) != tuple(event) or 0 in x.shape[1:]:
        raise ValueError(f"{name}: expected shape {want}, got {tuple(x.shape)}")
    if len(x) < least:
        examples = f"{least} example{'s' * (least > 1)}"
        raise ValueError(f"{name}: expected at least {examples}, got {len(x)}")
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    ends = torch.stack(torch.aminmax(x.detach())).tolist() if x.numel() else []  # no copy of x
    if not all(map(math.isfinite, ends)):
        bad = int((~torch.isfinite(x)).reshape(len(x), -1).any(1).sum())
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in {bad} "
                         f"of {len(x)} examples")
    return x

# %% [markdown]
# `_as_tensor` turns arrays and lists of numbers into tensors. Complex numbers are refused, because no measure supports them.

# %%
#| export
def _as_tensor(name: str, x: Any):
    "`x` as a tensor of real numbers, or a `TypeError`."
    import torch
    if not isinstance(x, torch.Tensor):
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: expected a tensor or an array of numbers, "
                            f"got {type(x).__name__}{tensor_cure(name, x)}") from error
    if x.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    return x

# %% [markdown]
# Two mistakes are so common that the error gives a hint: pictures in bytes, and the pair of pictures and labels that a `DataLoader` gives. `is_bytes` recognises the first one.

# %%
#| export
def is_bytes(x: Any) -> bool:
    "Whether x is a tensor or an array of bytes."
    return str(getattr(x, "dtype", "")) in ("torch.uint8", "uint8")

# %% [markdown]
# `tensor_cure` writes the hint, as the end of an error. The hint tells the user to *write* or to *pass* something. If a function of the user returned the wrong value, the caller gives another verb, such as *return*.

# %%
#| export
def tensor_cure(name: str, x: Any, verb: str = "") -> str:
    "The end of an error: how to get a floating tensor from bytes or from a batch; or nothing."
    import torch
    if is_bytes(x):
        made = "float()" if isinstance(x, torch.Tensor) else 'astype("float32")'
        return f"; for pictures in bytes {verb or 'write'} {name}.{made} / 127.5 - 1"
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], torch.Tensor):
        return (f" of {len(x)}; if these are pictures and labels, or scores and features, "
                f"{verb or 'pass'} {name}[0]")
    return ""

# %% [markdown]
# `refuse_bytes` is for measures that depend on the scale of the data. The scale of bytes is not known, so they are refused.

# %%
#| export
def refuse_bytes(name: str, x: Any) -> None:
    "`TypeError`, which begins with `name`, for a tensor or an array of bytes."
    if is_bytes(x):
        raise TypeError(f"{name}: expected floating numbers on the scale on which the generator "
                        f"works, got bytes{tensor_cure(name, x)}")

# %% [markdown]
# `check_tensors` is for the arguments of a loss: floating tensors that are not empty. NaN passes. To search for it, the program would have to wait for the graphics card at each step.

# %%
#| export
def check_tensors(**named: Any) -> None:
    "Refuse what is no floating tensor `(*runs, batch, ...)` with at least one number."
    import torch
    for name, x in named.items():
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            got = getattr(x, "dtype", type(x).__name__)
            raise TypeError(f"{name}: expected a floating tensor, got {got}{tensor_cure(name, x)}")
        if not x.ndim or not x.numel():
            raise ValueError(f"{name}: expected shape (*runs, batch, ...) with at least one "
                             f"example, got {tuple(x.shape)}")

# %% [markdown]
# `check_logits` is for scores `(*runs, batch)`, where `*runs` are the seeds that are trained side by side. The scores of real and generated examples may differ in number, but not in runs.

# %%
#| export
def check_logits(**named: Any) -> None:
    "Refuse what is no `check_tensors` of shape `(*runs, batch)` with the same runs."
    check_tensors(**named)
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len({shape[:-1] for shape in shapes.values()}) > 1:
        raise ValueError(f"{', '.join(shapes)}: expected (*runs, batch) with the same runs, "
                         f"got {list(shapes.values())}")

# %% [markdown]
# A critic or an encoder is passed as a function. `check_callable` refuses a tensor in its place, which comes from a wrong order of the arguments.

# %%
#| export
def check_callable(**named: Any) -> None:
    "Refuse what cannot be called."
    for name, f in named.items():
        if not callable(f):
            raise TypeError(f"{name}: expected a function, got {f!r:.80}")

# %% [markdown]
# Sometimes the shape that is expected follows from other arguments. `check_shape` compares a tensor with such a shape, for example the output of a user's network. If further axes may follow, the shape ends in `...`.

# %%
#| export
def check_shape(name: str, value: Any, shape: Sequence[int], dtype: Any = None,
                what: str = "") -> Any:  # what such a tensor is, in words, for an error
    "`value`, if it is a tensor of this shape and dtype; `...` at the end stands for more axes."
    import torch
    size, what = tuple(n for n in shape if n is not ...), what and f"{what}, "
    want = f"({', '.join([*map(str, size), '…'])})" if ... in shape else f"{size}"
    if not isinstance(value, torch.Tensor) or dtype and value.dtype != dtype:
        kind, got = dtype or "a tensor", getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name}: expected {what}{kind} of shape {want}, got {got}")
    got = tuple(value.shape)
    if got[:len(size)] != size or got != size and ... not in shape:
        raise ValueError(f"{name}: expected {what}shape {want}, got {got}")
    return value

# %% [markdown]
# Some work takes long and ends with a picture or a page. `check_packages` reports a missing package before the work starts. One package, Pillow, has another name for `pip` than in an `import`.

# %%
#| export
def check_packages(what: str, packages: Iterable[str]) -> None:
    "Refuse `what` if packages that it needs are not installed; they have the names of imports."
    absent = [{"PIL": "pillow"}.get(package, package) for package in packages
              if importlib.util.find_spec(package) is None]
    if absent:
        raise ValueError(f"{what} needs {' and '.join(absent)}; "
                         f"install with: pip install {' '.join(absent)}")

# %% [markdown]
# Chapters and tests run calls that are wrong, and show their errors. `error_message` returns the text of the error, and fails if no error is raised.

# %%
#| export
def error_message(call: Callable, *args, **kw) -> str:
    "The text of the ValueError or TypeError that `call` raises; it must raise one."
    try:
        call(*args, **kw)
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"expected {getattr(call, '__name__', call)} to refuse {args} {kw}")

# %% [markdown]
# ## Checks that are declared
# Many checks inside a function make its code hard to read. So a function declares in its signature what each argument is, and the decorator `@checked` checks it:
#
# ```python
# @checked
# def gradient_penalty(critic: Critic, real: Batch, fake: Batch, *, target: NonNegative = 1.) -> Tensor: ...
# ```
#
# The same declaration makes the error message and the cases that the tests try. Shapes name their axes: `*runs` and `*event` stand for any number of axes, and a name that comes twice must mean the same size.

# %%
#| export core.signatures
"Declared argument checks: shapes, ranges and choices stand in signatures and fields."
from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import (check_batch, check_callable, check_choice, check_int, check_ints,
                                 check_number, check_tensors, is_bytes, refuse_bytes)

# %%
from modelab.course.notebooks import patch

# %% [markdown]
# ### Numbers
# Each marker below is an object in an annotation. It holds the bounds and has a method `check`, which calls one of the functions above. `Real` is the marker of a number.

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

# %% [markdown]
# `Whole` is the marker of a whole number within bounds, such as a number of steps:

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
# `Wholes` is the marker of a list of them, such as the widths of layers:

# %%
#| export core.signatures
@dataclass(frozen=True)
class Wholes:
    "Marks a sequence of whole numbers `≥ least`, at least one."
    least: int = 1

    def check(self, name: str, value: Any) -> list[int]:
        "`value` as a list of ints, or an error."
        return check_ints(name, value, self.least)

# %% [markdown]
# ### Tensors
# `Shape` is the marker of a tensor. It names the axes, so that the shapes of several arguments can be compared. Its own `check` only tests that the value is a floating tensor with at least one number.

# %%
#| export core.signatures
@dataclass(frozen=True)
class Shape:
    "Marks a floating tensor whose axes are named, such as \"*runs batch *event\"; none is empty."
    axes: str

    def check(self, name: str, value: Any) -> Tensor:
        "`value`, if it is such a tensor; whether its axes fit is for `check_shapes`."
        check_tensors(**{name: value})
        return value

    def __str__(self) -> str:
        return f"({', '.join(self.axes.split())})"

# %% [markdown]
# A loss accepts NaN, but a measure must not. `Finite` is `Shape` with a test for NaN and infinity.

# %%
#| export core.signatures
@dataclass(frozen=True)
class Finite(Shape):
    "Marks a tensor as `Shape` does, without NaN and infinity: for measures, not for losses."

    def check(self, name: str, value: Any) -> Tensor:
        "`value`, if it is such a tensor and all its numbers are finite."
        check_tensors(**{name: value})
        if not all(end.isfinite() for end in value.detach().aminmax()):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        return value

# %% [markdown]
# `Labels` is the marker of class labels and of mode numbers: whole numbers in a tensor, an array or a list. Floats in their place are usually scores, so they are refused.

# %%
#| export core.signatures
@dataclass(frozen=True)
class Labels(Shape):
    "Marks whole numbers whose axes are named, in a tensor, an array or a list: a mode, a class."

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as a tensor of an integer type, or an error."
        value = self.convert(value)
        kind = str(getattr(value, "dtype", type(value).__name__))
        if kind not in ("torch.uint8", "torch.int8", "torch.int16", "torch.int32", "torch.int64"):
            raise TypeError(f"{name}: expected whole numbers in a tensor, an array or a list, "
                            f"got {kind}")
        return value

    def convert(self, value: Any) -> Any:
        "`value` as a tensor, if it is an array or a list of whole numbers; else what it holds."
        if isinstance(value, Tensor) or not hasattr(value, "__array__") \
                and not isinstance(value, (list, tuple)):
            return value
        with suppress(ValueError, TypeError, RuntimeError):  # rows of several lengths, no numbers
            array = np.asarray(value)
            return torch.from_numpy(array.astype(np.int64)) if array.dtype.kind in "iu" else array
        return value

# %% [markdown]
# `Scores` is the marker of a critic's output. For N examples critics return `(N,)`, or `(N, 1)`, or even `(N, 1, 1, 1)`. Such scores are flattened before a loss gets them. A critic of patches (PatchGAN) returns a map of scores for each example, such as `(N, 1, 7, 7)`. Its loss is the mean over all examples and all patches. So a map is flattened, too, and the loss is one number. Several maps `(N, 5, 7, 7)` are not one score per example or patch, so they are refused.

# %%
#| export core.signatures
@dataclass(frozen=True)
class Scores(Shape):
    "Marks scores `(*runs, batch)`, or `(N, 1)` and `(N, 1, 1, 1)`, or of patches `(N, 1, h, w)`."

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as `(*runs, batch)`, or an error."
        check_tensors(**{name: value})
        if value.ndim > 3 and value.shape[1] != 1 and not _runs.get():
            raise ValueError(f"{name}: expected a score for each example {self} or patch "
                             f"(N, 1, h, w), got {tuple(value.shape)}; take one of several scores, "
                             'D(x)[:, :1], and its mean by as_critic(D, patches="mean")')
        return self.convert(value)

    def convert(self, value: Tensor) -> Tensor:
        """`value` as `(*runs, batch)`; in `run_axis` it stays as it is.

        Elsewhere last axes of length one are dropped, and a map of patches becomes one axis.
        """
        if _runs.get():
            return value
        if value.ndim > 3 and value.shape[1] == 1:
            return value.flatten()
        while value.ndim > 1 and value.shape[-1] == 1:
            value = value.squeeze(-1)
        return value

# %% [markdown]
# A measure takes arrays as well as tensors, and must refuse NaN. `Samples` is the marker of its arguments, and converts them with `check_batch`. Samples that come from a generator still hold its graph for gradients. No measure needs it, so it is removed:

# %%
#| export core.signatures
@dataclass(frozen=True)
class Samples(Shape):
    "Marks samples `(n, *event)`, a tensor or an array, finite; they become a tensor."
    least: int = 1
    scaled: bool = False  # their scale matters, so bytes are refused

    def check(self, name: str, value: Any) -> Tensor:
        "`value` as a floating tensor, or an error."
        if self.scaled:
            refuse_bytes(name, value)
        return self.convert(check_batch(name, value, least=self.least))

    def convert(self, value: Any) -> Tensor:
        "`value` as a floating tensor that needs no gradient."
        value = torch.as_tensor(value)
        value = value.detach() if value.requires_grad else value
        return value if value.is_floating_point() else value.to(torch.get_default_dtype())

# %% [markdown]
# `Function` is the marker of a function. Its text `maps` says which axes go in and which come out. This is for the reader: the check only tests that the value can be called.

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
# `Bools` is the marker of a mask. A mask selects examples, so it must be a tensor of bools. Whole numbers would be used as indices.

# %%
#| export core.signatures
@dataclass(frozen=True)
class Bools(Shape):
    "Marks a tensor of bools whose axes are named: a mask."

    def check(self, name: str, value: Any) -> Tensor:
        "`value`, if it is a tensor of bools."
        kind = getattr(value, "dtype", type(value).__name__)
        if kind != torch.bool:
            raise TypeError(f"{name}: expected a mask of bools, got {kind}")
        return value

# %% [markdown]
# `InstanceOf` is the marker of an object of a class, such as a network. Its error names the class that was expected:

# %%
#| export core.signatures
@dataclass(frozen=True)
class InstanceOf:
    "Marks an object of a class, such as `torch.nn.Module`, or of one of several."
    kinds: type | tuple[type, ...]

    def check(self, name: str, value: Any) -> Any:
        "`value`, if it is such an object."
        if not isinstance(value, self.kinds):
            kinds = self.kinds if isinstance(self.kinds, tuple) else (self.kinds,)
            named = " or ".join(f"a{'n' * (k.__name__[0] in 'AEIOU')} {k.__name__}" for k in kinds)
            got = f"{value!r:.60}" if isinstance(value, (str, int, float)) else type(value).__name__
            raise TypeError(f"{name}: expected {named}, got {got}")
        return value

# %% [markdown]
# `Texts` is the marker of a list of texts, such as names of columns. A single text is refused, because it would be read letter by letter:

# %%
#| export core.signatures
@dataclass(frozen=True)
class Texts:
    "Marks a list or tuple of texts; it may be empty."

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        "`value` as a tuple, or an error."
        if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
            raise TypeError(f"{name}: expected a list of texts, got {value!r:.60}")
        return tuple(value)

# %% [markdown]
# A function that takes examples of any shape needs to know which axes belong to one example. An argument such as `lead=2` tells it: two axes, runs and batch, come before the axes of the example (the *event*). `AxisCount` is the marker of such an argument.

# %%
#| export core.signatures
@dataclass(frozen=True)
class AxisCount(Whole):
    "Marks how many axes the names `of` stand for in the shapes of the same call."
    of: str = "*runs batch"

    def group(self, value: int) -> tuple[str, int]:
        "The name that stands for several axes, and for how many where `value` are counted."
        names = self.of.split()
        return next(name for name in names if name[0] == "*"), value - len(names) + 1

# %% [markdown]
# ### The names that signatures use
# Signatures are short if the usual declarations have names. These are the names that the library uses. A new function needs a marker of its own only if none of them fits.
#
# | Name | The argument is |
# |---|---|
# | `Count`, `Index` | a whole number ≥ 1; ≥ 0 |
# | `Number`, `Positive`, `NonNegative`, `Share` | a finite number; > 0; ≥ 0; from 0 to 1 |
# | `Batch`, `Latents` | a tensor `(*runs, batch, *event)`; `(*runs, batch, latent)` |
# | `Logits` | scores of one batch, converted to `(*runs, batch)` |
# | `RealScores`, `FakeScores` | scores of real and of generated examples, converted; their numbers may differ |
# | `OneScore`, `PerScore` | a tensor `(*runs, batch)`; `(*runs, batch, *values)`, taken as it is |
# | `Lead` | how many axes come before the event |
# | `Critic`, `Network` | a function from examples to scores; a `torch.nn.Module` |

# %%
#| export core.signatures
Count = Annotated[int, Whole(1)]
Index = Annotated[int, Whole(0)]
Number = Annotated[float, Real()]
Positive = Annotated[float, Real(above=0.)]
NonNegative = Annotated[float, Real(0.)]
Share = Annotated[float, Real(0., 1.)]
Lead = Annotated[int, AxisCount(of="*runs batch")]
Batch = Annotated[Tensor, Shape("*runs batch *event")]
Latents = Annotated[Tensor, Shape("*runs batch latent")]
Logits = Annotated[Tensor, Scores("*runs batch")]
RealScores = Annotated[Tensor, Scores("*runs real")]
FakeScores = Annotated[Tensor, Scores("*runs fake")]
OneScore = Annotated[Tensor, Shape("*runs batch")]
PerScore = Annotated[Tensor, Shape("*runs batch *values")]
Critic = Annotated[Callable[[Tensor], Tensor], Function("*runs batch *event -> *runs batch")]
Network = Annotated[torch.nn.Module, InstanceOf(torch.nn.Module)]

# %% [markdown]
# ### Shapes that must fit together
# Axes of the same name must have the same size in all arguments of a call. `_Axes` stores the sizes that are known so far. It also stores which argument each size came from, so that an error can name it.

# %%
#| export core.signatures
class _Axes:
    "The sizes that the axes of a call's arguments have so far, by name."
    def __init__(self, counts: dict[str, tuple[str, int]]):
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.source = {axis: said for axis, (said, _) in counts.items()}  # who told of an axis
        self.counts = {axis: n for axis, (_, n) in counts.items()}  # axes in a group

    def refuse(self, name: str, shape: Shape, got: tuple[int, ...]) -> None:
        "Say which shape was expected, and because of which other argument."
        known = {self.source[a] for a in shape.axes.split() if a in self.source} - {name}
        fits = f" that fits {' and '.join(sorted(known))}" * bool(known)
        raise ValueError(f"{name}: expected shape {shape}{fits}, got {got}")

# %% [markdown]
# `fit` compares the shape of one argument with the sizes that are known. A group of axes such as `*runs` stands for all axes that the other names leave over. With two unknown groups in one shape, such as `*runs` and `*event`, it is not clear where the first one ends. Then `fit` returns False, and this argument is tried again after the others. If an argument such as `lead` gives the number of axes in a group, nothing has to wait.

# %%
#| export core.signatures
@patch
def fit(self: _Axes, name: str, shape: Shape, got: tuple[int, ...]) -> bool:
    "Take over the sizes of `got`, or refuse it; False while two groups of axes are unknown."
    axes = shape.axes.split()
    free = [a for a in axes if a[0] == "*" and a not in self.sizes and a not in self.counts]
    length = {a: len(self.sizes[a]) if a in self.sizes else self.counts.get(a, 1) for a in axes}
    taken = sum(length[a] for a in axes if a not in free)
    if len(got) < taken or not free and len(got) != taken:
        self.refuse(name, shape, got)
    if len(free) > 1:
        return False
    at = 0
    for axis in axes:
        n = len(got) - taken if axis in free else length[axis]
        found, at = got[at:at + n], at + n
        number = axis.isdigit() and found != (int(axis),)
        if self.sizes.setdefault(axis, found) != found or number:
            self.refuse(name, shape, got)
        self.source.setdefault(axis, name)
    return True

# %% [markdown]
# Two floating types in one call usually come from mixed precision. `type_cure` says which argument to convert: the one of the smaller type.

# %%
#| export core.signatures
def type_cure(kinds: dict[str, torch.dtype]) -> str:
    "The end of an error: how arguments of two floating types, by name, are brought to one."
    wide = torch.float64 in kinds.values()
    to, dtype = ("double", torch.float64) if wide else ("float", torch.float32)
    converted = " and ".join(f"{name}.{to}()" for name, kind in kinds.items() if kind != dtype)
    return f"; write {converted}" + ", or compute both in one torch.autocast" * (not wide)

# %% [markdown]
# Torch refuses to multiply tensors of two types or on two devices, but its error names no argument. So `_check_types` compares them first. If the last axes of two tensors have the same name, the tensors hold examples or vectors of the same kind. Such tensors must agree in type and device.

# %%
#| export core.signatures
def _check_types(shapes: dict[str, Shape], values: dict[str, Tensor]) -> None:
    "Refuse floating tensors of two types, or on two devices, whose last axis has one name."
    first: dict[str, str] = {}
    for name, shape in shapes.items():
        if not getattr(values[name], "is_floating_point", bool)():  # rows of a file have no type
            continue
        kind = shape.axes if isinstance(shape, Samples) else shape.axes.split()[-1]
        other = first.setdefault(kind, name)
        for word, what in (("type", "dtype"), ("device", "device")):
            had, got = getattr(values[other], what), getattr(values[name], what)
            if got != had:
                cure = type_cure({other: had, name: got}) if what == "dtype" else ""
                raise TypeError(f"{other}, {name}: expected one {word}, got {had} and {got}{cure}")

# %% [markdown]
# The last batch of an epoch is often smaller than the others. Then `_batch_cure` says in the error how many examples to take.

# %%
#| export core.signatures
def _batch_cure(values: dict[str, Tensor]) -> str:
    "The end of an error: how two batches that differ in length alone get one length."
    (_, a), (_, b) = values.items()
    if not a.ndim or not b.ndim or a.shape[1:] != b.shape[1:]:
        return ""
    longer = max(values, key=lambda name: len(values[name]))
    return f"; for the last, smaller batch of an epoch write {longer}[:{min(len(a), len(b))}]"

# %% [markdown]
# `check_shapes` does this for all tensors of a call, one after the other. Two arguments with the same declared shape must have equal shapes.

# %%
#| export core.signatures
def check_shapes(shapes: dict[str, Shape], values: dict[str, Tensor],
                 counts: dict[str, tuple[str, int]] | None = None,  # by group: who counts, and what
                 ) -> None:
    "Refuse tensors whose axes of one name differ in size, or whose types differ."
    axes, first, later = _Axes(counts or {}), {}, []
    for name, shape in shapes.items():
        got = values[name]
        other = first.setdefault(shape.axes, name)
        if got.shape != values[other].shape:
            both = f"{tuple(values[other].shape)} and {tuple(got.shape)}"
            cure = _batch_cure({other: values[other], name: got})
            raise ValueError(f"{other}, {name}: expected one shape {shape}, got {both}{cure}")
        if not axes.fit(name, shape, tuple(got.shape)):
            later.append(name)
    _check_types(shapes, values)
    for name in later:  # now that other arguments may have said how many runs there are
        axes.fit(name, shapes[name], tuple(values[name].shape))

# %% [markdown]
# ### From an annotation to a check
# `check_value` checks one argument by its annotation. The annotation may hold markers, or be a `Literal` with choices, a `bool`, an optional value, or a dict of values.

# %%
#| export core.signatures
def check_value(name: str, kind: Any, value: Any) -> Any:
    "`value` as the annotation `kind` declares it, or an error that begins with `name`."
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

# %% [markdown]
# Annotations without a marker, such as `Tensor` alone, are not checked. `declared` says whether there is anything to check.

# %%
#| export core.signatures
def declared(kind: Any) -> bool:
    "Whether an annotation says something that can be checked."
    if get_origin(kind) is Annotated:
        return any(hasattr(marker, "check") for marker in kind.__metadata__)
    if get_origin(kind) in (Union, types.UnionType):
        return any(map(declared, get_args(kind)))
    return kind is bool or get_origin(kind) is Literal

# %% [markdown]
# `_marker_of` finds the marker of one class in an annotation. That of an optional tensor, `Batch | None`, is the marker of the tensor.

# %%
#| export core.signatures
def _marker_of(kind: Any, cls: type) -> Any:
    "The marker of class `cls` in an annotation, or None."
    if get_origin(kind) in (Union, types.UnionType):
        return next(filter(None, (_marker_of(part, cls) for part in get_args(kind))), None)
    return next((m for m in getattr(kind, "__metadata__", ()) if isinstance(m, cls)), None)

# %% [markdown]
# Annotations are texts until Python resolves them. That is slow, so `declarations` does it once for each function.

# %%
#| export core.signatures
@functools.cache
def declarations(f: Any) -> dict[str, Any]:
    "The declared annotations of a function's arguments, or of a class's fields, by name."
    hints = get_type_hints(f, include_extras=True)
    return {name: kind for name, kind in hints.items() if name != "return" and declared(kind)}

# %% [markdown]
# A call may leave out an argument that counts axes, such as `lead`. `_axis_counts` finds its marker and its default, which is then used.

# %%
#| export core.signatures
@functools.cache
def _axis_counts(f: Any) -> dict[str, tuple[AxisCount, Any]]:
    "The marker and the default of each argument of `f` that counts axes."
    given = inspect.signature(f).parameters
    marks = {name: _marker_of(kind, AxisCount) for name, kind in declarations(f).items()}
    return {name: (mark, given[name].default) for name, mark in marks.items() if mark}

# %% [markdown]
# A measure compares sets of examples with each other. If one set is bytes and another one has a different scale, the answer has no meaning, so `_refuse_mixed_bytes` refuses such a call. If all sets are bytes, their scale is the same. A set that is read from a file (`SampleFile`, [6.5](05_readers.ipynb)) is left out here, because it turns bytes into numbers from 0 to 1 by itself.

# %%
#| export core.signatures
def _refuse_mixed_bytes(shapes: dict[str, Shape], values: dict[str, Any]) -> None:
    "Refuse a set of bytes beside a set of other numbers."
    sets = [name for name, shape in shapes.items()
            if type(shape) is Samples and hasattr(values[name], "dtype")]
    if not all(is_bytes(values[name]) for name in sets):
        for name in sets:
            refuse_bytes(name, values[name])

# %% [markdown]
# A function is asked once which of its arguments are changed together, because losses are called at every step.

# %%
#| export core.signatures
@functools.cache
def _joint_kinds(f: Any) -> dict[type, list[str]]:
    "The arguments of `f` by the class of their marker, for markers with a method `together`."
    found: dict[type, list[str]] = {}
    for name, kind in declarations(f).items():
        if hasattr(mark := _marker_of(kind, Shape), "together"):
            found.setdefault(type(mark), []).append(name)
    return found


# %% [markdown]
# `check_arguments` checks the arguments of a call one by one, and then their shapes together. A marker with a method `together` may change all of its arguments before, such as files that are brought to one shape.

# %%
#| export core.signatures
def check_arguments(f: Any, values: dict[str, Any]) -> dict[str, Any]:
    "The arguments of a call of `f`, checked and converted as its signature declares."
    kinds = declarations(f)
    checked = {name: check_value(name, kinds[name], value) if name in kinds else value
               for name, value in values.items()}
    shapes = {name: shape for name in values if name in kinds and checked[name] is not None
              and (shape := _marker_of(kinds[name], Shape))}
    for kind, names in _joint_kinds(f).items():
        checked |= kind.together({name: checked[name] for name in names if name in shapes})
    _refuse_mixed_bytes(shapes, values)
    counts = {}
    for name, (mark, default) in _axis_counts(f).items():
        n = checked.get(name, default)
        if n is not None:
            group, size = mark.group(n)
            counts[group] = f"{name}={n}", size
    check_shapes(shapes, checked, counts)
    return checked

# %% [markdown]
# ### The decorator
# If the first training step passed the checks, the next steps need none. So the checks can be switched off. `_switched` turns a switch on for one block of code. A switch holds for one thread, or for one task of `asyncio`.

# %%
#| export core.signatures
_off = ContextVar("off", default=False)  # no checks
_runs = ContextVar("runs", default=False)  # scores come from a run, and runs are their first axis


@contextmanager
def _switched(switch: ContextVar[bool]) -> Iterator[None]:
    "Inside, a switch is on."
    before = switch.get()
    switch.set(True)
    try:
        yield
    finally:
        switch.set(before)

# %% [markdown]
# `unchecked` switches the checks off. Training uses it after the first step. Nothing is refused inside, but arguments are converted as before, so that a result does not depend on the switch.

# %%
#| export core.signatures
def unchecked() -> AbstractContextManager[None]:
    "Inside, functions that declare their arguments refuse nothing: for a loop that passed once."
    return _switched(_off)

# %% [markdown]
# `checking` says whether checks are on. A check that is written by hand can ask it.

# %%
#| export core.signatures
def checking() -> bool:
    "Whether arguments are checked here: for a check that reads numbers back from a device."
    return not _off.get()

# %% [markdown]
# If a user calls a loss, a last axis of length one is a column of scores, as in `(N, 1)`. If a run calls it, the same axis is a batch of one example, because the runs come first. Inside `run_axis` such an axis is kept.

# %%
#| export core.signatures
def run_axis() -> AbstractContextManager[None]:
    "Inside, scores are `(*runs, batch)` as they stand: a last axis of length one is kept."
    return _switched(_runs)

# %% [markdown]
# Scores and samples are converted even where nothing is checked. `_converters` finds their markers.

# %%
#| export core.signatures
@functools.cache
def _converters(f: Any) -> dict[str, Any]:
    "The markers of the arguments of `f` that are converted without a check, by name."
    marks = {name: _marker_of(kind, Shape) for name, kind in declarations(f).items()}
    return {name: mark for name, mark in marks.items() if hasattr(mark, "convert")}

# %% [markdown]
# If an argument is missing or unknown, `_bind` calls the function itself, because Python's own error names the function.

# %%
#| export core.signatures
def _bind(f: Callable, signature: inspect.Signature,
          args: tuple, kw: dict) -> inspect.BoundArguments:
    "The arguments of a call by name; the error of Python if they do not fit."
    try:
        return signature.bind(*args, **kw)
    except TypeError:
        f(*args, **kw)
        raise

# %% [markdown]
# `checked` is the decorator. It binds the arguments of a call to their names and checks them. It also stores every decorated function in `CHECKED`, for the tests.

# %%
#| export core.signatures
CHECKED: dict[str, Callable] = {}  # every checked function by its name, for the tests


def checked(f: Callable) -> Callable:
    "Decorator: check the arguments of each call as the signature declares them."
    signature = inspect.signature(f)

    @functools.wraps(f)
    def wrapper(*args, **kw):
        off = _off.get()
        if off and not _converters(f):
            return f(*args, **kw)
        bound = _bind(f, signature, args, kw)
        if off:
            given = bound.arguments
            given.update({name: mark.convert(given[name]) for name, mark in _converters(f).items()
                          if given.get(name) is not None})
        else:
            bound.arguments = check_arguments(f, bound.arguments)
        return f(*bound.args, **bound.kwargs)
    CHECKED[f"{f.__module__}.{f.__qualname__}"] = wrapper
    return wrapper

# %% [markdown]
# Settings are fields of a dataclass. Their annotations are declarations, too, and `check_fields` checks them.

# %%
#| export core.signatures
def check_fields(settings: Any) -> None:
    "Check a dataclass's fields as declared; a number is stored as the type that is declared."
    kinds = declarations(type(settings))
    for field in dataclasses.fields(settings):
        if field.name in kinds:
            value = check_value(field.name, kinds[field.name], getattr(settings, field.name))
            object.__setattr__(settings, field.name, value)

# %% [markdown]
# **Check.** A call with right arguments passes. Two sizes, a number in place of a tensor, a negative weight and an unknown choice are refused, each with the name of the argument.

# %%
import torch
from modelab.core.checks import error_message

@checked
def mean_distance(real: Batch, fake: Batch, *, weight: NonNegative = 1.,
                  form: Literal["l1", "l2"] = "l2") -> Tensor:
    return weight * (real - fake).square().mean()

# %%
x = torch.zeros(8, 2)
assert mean_distance(x, x).item() == 0
[error_message(mean_distance, x, x[:7]), error_message(mean_distance, x, 3),
 error_message(mean_distance, x, x, weight=-1.), error_message(mean_distance, x, x, form="l3")]

# %%
@checked
def pairs(x: Batch, z: Latents) -> tuple[int, ...]:
    return x.shape

assert pairs(torch.zeros(5, 8, 3, 4, 4), torch.zeros(5, 8, 2)) == (5, 8, 3, 4, 4)
[error_message(pairs, torch.zeros(5, 8, 3), torch.zeros(5, 7, 2)),
 error_message(pairs, torch.zeros(8), torch.zeros(5, 8, 2))]

# %% [markdown]
# An argument that counts axes decides what is an example and what is a batch:

# %%
@checked
def flat(x: Batch, lead: Lead = 1) -> Tensor:
    return x.flatten(lead) if x.ndim > lead else x[..., None]

# %%
examples = torch.zeros(5, 8, 3)
assert flat(examples).shape == (5, 24) and flat(examples, 2).shape == (5, 8, 3)
error_message(flat, torch.zeros(5), 2)

# %% [markdown]
# ## What an error says
# The next cells show the errors of the functions that check one value. Each error names the argument, what was expected and what came.

# %%
[error_message(check_int, "n", 2.5), error_message(check_int, "n", True),
 error_message(check_number, "std", float("nan"), above=0)]

# %%
points = torch.zeros(5, 2)
points[3, 0] = float("nan")
[error_message(check_batch, "x", points), error_message(check_batch, "x", points, (3,)),
 error_message(check_batch, "x", points[:0], (2,))]

# %% [markdown]
# Losses and penalties run at every step. A test of every number would slow them down, so `check_tensors` only tests that the tensor is not empty. NaN passes, and the engine ([6.7](07_engine.ipynb)) finds it later.

# %%
[error_message(check_tensors, real_scores=points[:0]), error_message(check_tensors, x=[1, 2])]

# %% [markdown]
# ## Scores of other discriminators
# Many discriminators return `(N, 1)`. A loss that declares `Logits` gets `(N,)`. In a run the networks return `(runs, batch)`. There a last axis of length one is a batch of one example, and it is kept.

# %%
@checked
def seen_shape(logits: Logits) -> tuple[int, ...]:
    return tuple(logits.shape)

# %%
shapes = [seen_shape(torch.zeros(shape))
          for shape in ((8,), (8, 1), (8, 1, 1, 1), (3, 8), (8, 1, 7, 7))]
with run_axis():
    inside = seen_shape(torch.zeros(3, 1))
with unchecked():
    unchanged = seen_shape(torch.zeros(8, 1))
assert shapes == [(8,), (8,), (8,), (3, 8), (392,)] and inside == (3, 1) and unchanged == (8,)
shapes

# %% [markdown]
# ## Settings
# The fields of a dataclass are checked in its `__post_init__`. A whole number that comes as `numpy.int64` is stored as an `int`, so that it can be written to a file.

# %%
import numpy as np

@dataclass
class Small:
    width: Count = 64
    lr: Positive = 1e-3
    form: Literal["l1", "l2"] = "l2"

    def __post_init__(self):
        check_fields(self)

# %%
assert type(Small(np.int64(8)).width) is int and type(Small(lr=1).lr) is float
[error_message(Small, 0), error_message(Small, lr=0.), error_message(Small, form="l3")]

# %% [markdown]
# ## What it costs
# A check takes time. The cell measures one call with checks and without. It fails if the checks take half a millisecond or more. In a loop of many short steps this would be noticed, so `Run` checks each turn only when it is played for the first time.

# %%
import timeit

def microseconds(call: Callable) -> float:
    "The time of one call, the best of five rounds."
    return min(timeit.repeat(call, number=200, repeat=5)) / 200 * 1e6

# %%
checks = microseconds(lambda: mean_distance(x, x))
with unchecked():
    bare = microseconds(lambda: mean_distance(x, x))
assert checks - bare < 500

# %% [markdown]
# ## Exercises
# **1.** Declare a function of a picture batch `(N, channels, side, side)` that refuses pictures that are not square. Which alias do you write?
#
# **2.** Why may a loss not refuse NaN, while a measure must?

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** `Annotated[Tensor, Shape("batch channels side side")]`: a name that comes twice must mean the same size.
#
# **2.** A test for NaN needs a number from the graphics card, and the program waits for it. A loss runs at every step, and training tests for NaN every 64 steps. A measure runs once, and a NaN in its data would give a wrong number.
# </details>

# %%
Squares = Annotated[Tensor, Shape("batch channels side side")]

@checked
def turned(x: Squares) -> Tensor:
    return x.rot90(1, (-2, -1))

# %%
assert turned(torch.zeros(2, 1, 4, 4)).shape == (2, 1, 4, 4)
error_message(turned, torch.zeros(2, 1, 4, 5))

# %% [markdown]
# ## Recap
# - A signature declares what each argument is. `@checked` makes the check and the error from it.
# - Axes have names. The same name means the same size. `*runs` and `*event` are any number of axes.
# - Losses check shapes and types. Measures also refuse NaN and infinity.
# - In a training loop the checks are off after the first step.
