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
