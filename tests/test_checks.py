"""Declared checks: each kind of argument on good and bad input, shapes that must fit, and what switches checks off."""

import asyncio
import dataclasses
import math
import re
import threading
import time
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from helpers import normal
from torch import Tensor

from modelab.core.checks import check_shape, error_message
from modelab.core.signatures import (CHECKED, AxisCount, Batch, Bools, Count, Critic, FakeScores, Finite, Function, Index,
                                     InstanceOf, Labels, Latents, Lead, Logits, Network, NonNegative, OneScore, PerScore,
                                     Positive, Real, RealScores, Samples, Scores, Shape, Share, Texts, Whole, Wholes,
                                     check_fields, check_shapes, check_value, checked, checking, declarations, run_axis,
                                     unchecked)


@checked
def play(x: Batch, y: Batch, *, n: Count = 1, at: Index = 0, rate: Positive = 1., weight: NonNegative = 1.,
         part: Share = .5, form: Literal["a", "b"] = "a", flag: bool = False, f: Critic = len,
         maybe: Count | None = None) -> tuple:
    return n, at, rate, weight, part, form, flag, maybe


X = torch.zeros(4, 2)


def test_good_arguments_pass_and_numbers_become_python_numbers():
    got = play(X, X, n=np.int64(3), rate=np.float32(.5), weight=0, part=1, form="b", flag=True, maybe=2)
    assert got == (3, 0, .5, 0., 1., "b", True, 2) and type(got[0]) is int and type(got[3]) is float


BAD = {"n": [0, -1, 2.5, True, "3", None, math.nan], "at": [-1, 1.5], "rate": [0., -1., math.inf, math.nan, "x", True],
       "weight": [-1e-9, math.inf], "part": [1.1, -.1], "form": ["c", 3, None], "flag": [1, "yes", None],
       "f": [3, None], "maybe": [0, "x"]}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_argument_is_refused_by_name(name, value):
    with pytest.raises((ValueError, TypeError), match=rf"^{name}: expected|^{name}: unknown"):
        play(X, X, **{name: value})


@pytest.mark.parametrize("value", [3, None, "x", X.long(), torch.zeros(0, 2), X * 1j, X.numpy()])
def test_what_is_no_floating_tensor_is_refused(value):
    with pytest.raises((ValueError, TypeError), match="^x"):
        play(value, X)


def test_arguments_of_one_shape_must_have_one_shape_and_type():
    assert "x, y: expected one shape (*runs, batch, *event), got (4, 2) and (3, 2)" in error_message(play, X, X[:3])
    assert "x, y: expected one type" in error_message(play, X, X.double())


@checked
def joint(x: Batch, z: Latents) -> tuple:
    return x.shape, z.shape


def test_names_of_axes_bind_across_arguments():
    joint(torch.zeros(5, 8, 3, 4, 4), torch.zeros(5, 8, 2))
    joint(torch.zeros(8), torch.zeros(8, 2))
    for x, z in (((5, 8, 3), (5, 7, 2)), ((4, 8, 3), (5, 8, 2)), ((8,), (5, 8, 2))):
        with pytest.raises(ValueError, match=r"^x: expected shape \(\*runs, batch, \*event\) that fits z"):
            joint(torch.zeros(*x), torch.zeros(*z))


@checked
def summed(values: PerScore, scores: OneScore) -> int:
    return scores.ndim


def test_a_group_that_is_unknown_at_first_is_found_from_a_later_argument():
    assert summed(torch.zeros(3, 4, 5, 6), torch.zeros(3, 4)) == 2
    with pytest.raises(ValueError, match="^values"):
        summed(torch.zeros(4, 3, 5), torch.zeros(3, 4))


@checked
def samples(x: Annotated[Tensor, Samples("n *event")]) -> Tensor:
    return x


@checked
def mean(real: RealScores, fake: FakeScores) -> Tensor:
    return real.mean(-1) - fake.mean(-1)


@pytest.mark.parametrize("shape", [(7,), (7, 1), (7, 1, 1, 1)])
def test_scores_as_everybody_writes_them(shape):
    real, fake = normal(7, seed=1), normal(5, seed=2)
    want = real.mean() - fake.mean()
    assert torch.equal(mean(real.reshape(shape), fake.reshape(5, *shape[1:])), want)


def test_scores_with_runs_keep_them_and_may_differ_in_number():
    assert mean(normal(3, 7), normal(3, 5)).shape == (3,)
    with pytest.raises(ValueError, match="^fake"):
        mean(normal(3, 7), normal(2, 5))
    with run_axis():
        assert mean(normal(3, 1), normal(3, 1)).shape == (3,)


def test_a_map_of_patches_is_averaged_outside_a_run():
    """As in PatchGAN: the mean over all examples and all patches. With runs first, the axes are those of the run."""
    for shape in ((7, 1, 5, 5), (1, 1, 5, 5), (7, 1, 5, 1)):
        real, fake = normal(*shape), normal(*shape, seed=1)
        assert torch.equal(mean(real, fake), real.flatten().mean() - fake.flatten().mean())
    with run_axis():
        assert mean(normal(2, 1, 5, 5), normal(2, 1, 5, 5)).shape == (2, 1, 5)
        assert mean(normal(2, 3, 5, 5), normal(2, 3, 5, 5)).shape == (2, 3, 5)


@pytest.mark.parametrize("shape", [(8, 5, 6, 6), (8, 5, 1, 1), (2, 8, 1, 6, 6)])
def test_several_scores_for_an_example_are_refused_with_a_cure_that_works(shape):
    good, bad = normal(8), normal(*shape)
    with pytest.raises(ValueError, match=r"^real: expected a score .* got \(%s\); take .*patches=\"mean\"\)$" % ", ".join(map(str, shape))):
        mean(bad, good)
    with pytest.raises(ValueError, match="^fake: expected a score"):
        mean(good, bad)
    if len(shape) == 4:
        assert torch.equal(mean(bad[:, :1], good), bad[:, 0].mean() - good.mean())


def test_two_types_are_refused_with_the_cure():
    x = torch.zeros(4, 2)
    for a, b, cure in ((x, x.half(), "b.float()"), (x.bfloat16(), x, "a.float()"), (x.half(), x.bfloat16(), "a.float() and b.float()"),
                       (x, x.double(), "a.double()")):
        with pytest.raises(TypeError, match="^a, b: expected one type, got .*; write " + re.escape(cure)) as caught:
            check_shapes({"a": Shape("n *event"), "b": Shape("n *event")}, {"a": a, "b": b})
        assert ("autocast" in str(caught.value)) == (a.dtype != torch.float64 and b.dtype != torch.float64)


def test_what_is_switched_off_changes_no_result():
    real, fake = normal(7, 1, seed=1), normal(5, 1, 1, 1, seed=2)
    with unchecked():
        off = mean(real, fake), mean(real, fake=fake[:, 0])
        assert samples([1, 2]).dtype == torch.get_default_dtype()
    assert all(torch.equal(value, mean(real, fake)) for value in off) and off[0].shape == ()


def test_a_switch_belongs_to_one_task():
    async def off():
        with unchecked(), run_axis():
            await asyncio.sleep(.02)

    async def on():
        await asyncio.sleep(.01)
        return checking() and mean(normal(3, 1), normal(3, 1)).shape

    async def both():
        return (await asyncio.gather(off(), on()))[1]
    assert asyncio.run(both()) == ()


def test_a_missing_argument_names_the_function():
    with pytest.raises(TypeError, match=r"mean\(\) missing 1 required positional argument: 'fake'"):
        mean(X)


def test_checks_can_be_switched_off_and_are_on_again_afterwards():
    with unchecked():
        assert play(None, None, n=-3)[0] == -3
    with pytest.raises(ValueError):
        play(X, X, n=-3)
    with pytest.raises(RuntimeError), unchecked():
        raise RuntimeError
    with pytest.raises(ValueError):
        play(X, X, n=-3)


@dataclasses.dataclass
class Settings:
    weight: NonNegative = 1.
    n: Count | None = None
    free: object = None

    def __post_init__(self):
        check_fields(self)


def test_fields_are_checked_and_stored_as_declared():
    settings = Settings(weight=2, free="anything")
    assert type(settings.weight) is float and settings.n is None
    for wrong in (dict(weight=-1), dict(n=0), dict(weight="x")):
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(wrong))}"):
            Settings(**wrong)


def test_only_what_is_declared_is_checked():
    assert set(declarations(Settings)) == {"weight", "n"}


@checked
def loss(fake: Logits) -> Tensor:
    return fake.square().mean(-1)


def test_nan_is_passed_on_and_not_looked_for():
    assert loss(torch.full((4,), math.nan)).isnan()


def test_a_check_costs_microseconds():
    x, n = torch.zeros(8), 2000
    start = time.process_time()
    for _ in range(n):
        loss(x)
    assert (time.process_time() - start) / n < 1e-3


def hole(value: float) -> Tensor:
    """Eight numbers, one of them not finite."""
    x = torch.ones(4, 2)
    x[2, 1] = value
    return x


MARKERS = [  # marker, good values with what becomes of them, bad values
    (Real(0., 2.), [(1, 1.), (np.float32(.5), .5), (2, 2.)], [-.1, 2.1, math.nan, math.inf, 10 ** 400, True, "1", None, 1j]),
    (Real(above=0.), [(1e-9, 1e-9)], [0, -1]),
    (Whole(2, 5), [(2, 2), (np.int32(5), 5)], [1, 6, 2., 2.5, True, "3", None, [3]]),
    (Wholes(2), [([2, 3], [2, 3]), ((4,), [4])], [[], 3, "33", [1], [2, 2.5], None, [True]]),
    (Shape("*runs batch"), [(X, X)], [X.long(), X.numpy(), X[:0], X * 1j, torch.tensor(1.), 1., None]),
    (Finite("*runs batch"), [(X, X)], [hole(math.nan), hole(math.inf), hole(-math.inf), X.long(), None]),
    (Labels("batch"), [(torch.arange(3), torch.arange(3)), (torch.arange(3, dtype=torch.uint8),) * 2, ([0, 1, 2], torch.arange(3)),
                       ((0, 1, 2), torch.arange(3)), (np.arange(2, -1, -1)[::-1], torch.arange(3)),
                       (np.arange(3, dtype=">u2"), torch.arange(3)), ([torch.tensor(4)], torch.tensor([4]))],
     [X, torch.ones(3, dtype=torch.bool), [True, False], [0., 1.], np.ones(3), ["a", "b"], [[0], [1, 2]], [], "ab", 3, None]),
    (Scores("*runs batch"), [(X, X), (X[:, :1], X[:, 0]), (X[:, :1, None, None], X[:, 0]), (X[:1, :1], X[0, :1])],
     [X.long(), torch.tensor(1.), X[:0], None, torch.zeros(8, 5, 6, 6), torch.zeros(2, 8, 1, 6, 6), torch.zeros(8, 5, 1, 1)]),
    (Samples("n *event"), [(X.numpy(), X), ([[0, 0]] * 4, X), (X.long(), X)],
     [hole(math.nan), hole(math.inf), X * 1j, X[:0], "x", None, torch.tensor(1.), torch.zeros(3, 0)]),
    (Samples("n *event", scaled=True), [(X.numpy(), X)], [X.byte(), X.byte().numpy(), None]),
    (Bools("batch"), [(torch.ones(3, dtype=torch.bool),) * 2], [X, torch.arange(2), [True], True]),
    (Function("a -> b"), [(len, len)], [3, None, "len"]),
    (InstanceOf(Tensor), [(X, X)], [3, None, X.numpy()]),
    (InstanceOf((int, str)), [(3, 3), ("x", "x")], [None, 2.5]),
    (AxisCount(least=2, of="*runs batch"), [(2, 2), (np.int64(3), 3)], [1, 2.5, True, "2", None]),
    (Texts(), [(["a", "b"], ("a", "b")), ((), ())], ["ab", [1], None, {"a"}]),
]
IDS = [f"{type(marker).__name__}-{i}" for i, (marker, *_) in enumerate(MARKERS)]


def same(a, b) -> bool:
    """Whether two values are equal and of one type."""
    return type(a) is type(b) and (torch.equal(a, b) if isinstance(a, Tensor) else a == b)


@pytest.mark.parametrize("marker, good, bad", MARKERS, ids=IDS)
def test_every_marker_on_good_and_bad_input(marker, good, bad):
    kind = Annotated[object, marker]
    for value, becomes in good:
        assert same(check_value("it", kind, value), becomes), value
        assert same(check_value("it", kind | None, value), becomes) and check_value("it", kind | None, None) is None
    for value in bad:
        with pytest.raises((ValueError, TypeError), match="^it: (expected|unknown)") as caught:
            check_value("it", kind, value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250, "one line"


def labelled_calls():
    """Every kind of function that takes labels, as a function of them."""
    from modelab.evaluation.audit import audit
    from modelab.evaluation.missing import missing
    from modelab.evaluation.monitor import Monitor
    from modelab.evaluation.power import lost_groups
    x, y = normal(120, 2, seed=1), normal(120, 2, seed=2)
    return {"missing": lambda labels: repr(missing(x, y, labels=labels)),
            "audit": lambda labels: repr(audit(x, y, labels=labels)),
            "lost_groups": lambda labels: repr(lost_groups(labels, labels)),
            "Monitor": lambda labels: Monitor(y, len, labels=labels).yardstick.group.tolist()}


@pytest.mark.parametrize("name", ["missing", "audit", "lost_groups", "Monitor"])
def test_labels_are_taken_in_every_form_by_every_measure(name):
    call, labels = labelled_calls()[name], torch.arange(120) % 3
    want = call(labels)
    for form in (labels.numpy().astype(">i4"), labels.tolist(), labels.to(torch.uint8)):
        assert call(form) == want
    with pytest.raises(TypeError, match="expected whole numbers in a tensor, an array or a list"):
        call([str(k) for k in labels.tolist()])


def test_every_marker_is_tried():
    import modelab.core.signatures as module
    markers = {v for v in vars(module).values() if isinstance(v, type) and hasattr(v, "check")}
    assert markers == {type(marker) for marker, *_ in MARKERS}


@pytest.mark.parametrize("axes, fits, misfits", [
    ("n n", [(3, 3)], [(3, 4), (3,), (3, 3, 3)]), ("n 2", [(7, 2)], [(7, 3), (2,)]), ("n *event", [(5,), (5, 1, 2)], []),
    ("*runs n n", [(4, 4), (2, 4, 4)], [(4, 5), (4,)]), ("*runs n *event", [(5,), (1, 2, 3, 4)], [])])
def test_axes_have_names_and_sizes(axes, fits, misfits):
    for shape in fits:
        check_shapes({"x": Shape(axes)}, {"x": torch.zeros(shape)})
    for shape in misfits:
        with pytest.raises(ValueError, match="^x: expected shape"):
            check_shapes({"x": Shape(axes)}, {"x": torch.zeros(shape)})


def test_two_unknown_groups_wait_for_an_argument_that_knows_one():
    """In `*runs batch *event` nobody can tell the runs from the event until a latent says how many runs there are."""
    shapes = {"x": Shape("*runs batch *event"), "z": Shape("*runs batch latent"), "y": Shape("batch *event")}

    def fit(x, z, y):
        check_shapes(shapes, {"x": torch.zeros(x), "z": torch.zeros(z), "y": torch.zeros(y)})
    fit((2, 3, 5, 4, 4), (2, 3, 5, 1), (5, 4, 4))
    fit((5,), (5, 1), (5,))
    for x, z, y, wrong in (((2, 3, 5, 4, 4), (2, 5, 1), (5, 4, 4), "x"), ((2, 5, 4, 4), (2, 5, 1), (5, 4, 3), "x"),
                           ((2, 5, 4), (2, 5, 1), (6, 4), "y"), ((3, 5, 4), (2, 5, 1), (5, 4), "x")):
        with pytest.raises(ValueError, match=f"^{wrong}: expected shape .* that fits") as caught:
            fit(x, z, y)
        assert str(tuple(x if wrong == "x" else y)) in str(caught.value)


def test_one_unknown_pair_of_groups_alone_fits_anything():
    for shape in ((1,), (2, 3), (2, 3, 4, 5)):
        check_shapes({"x": Shape("*runs batch *event")}, {"x": torch.zeros(shape)})


@checked
def counted(x: Batch, y: Annotated[Tensor, Shape("*runs m *event")] | None = None, *, lead: Lead = 1) -> int:
    return lead


@checked
def maybe_counted(x: Batch, lead: Lead | None = None) -> int | None:
    return lead


def test_an_argument_counts_the_axes_of_a_group():
    assert counted(X, torch.zeros(7, 2)) == 1 and counted(torch.zeros(3, 4, 2), torch.zeros(3, 7, 2), lead=2) == 2
    assert maybe_counted(X) is None and maybe_counted(X, 2) == 2
    for call, text in ((lambda: counted(X[0], lead=2), r"x: expected shape \(\*runs, batch, \*event\) that fits lead=2, got \(2,\)"),
                       (lambda: counted(X, torch.zeros(7, 3)), r"y: expected shape \(\*runs, m, \*event\) that fits lead=1 and x"),
                       (lambda: counted(X, X[:3], lead=2), "y: expected shape .* that fits lead=2 and x"),
                       (lambda: maybe_counted(X[0], 3), "x: expected shape .* that fits lead=3"),
                       (lambda: counted(X, lead=0), "lead: expected a whole number ≥ 1")):
        with pytest.raises(ValueError, match=f"^{text}"):
            call()


def test_tensors_of_one_kind_have_one_type_and_one_device():
    assert "x, y: expected one type, got torch.float32 and torch.float64" in error_message(counted, X, X.double())
    assert "x, y: expected one device, got cpu and meta" in error_message(counted, X, X.to("meta"))
    assert summed(torch.zeros(3, 4, 5), torch.zeros(3, 4).double()) == 2, "the last axes have two names"


@pytest.mark.parametrize("shape, fits, misfits", [
    ((4, 2), [(4, 2)], [(4,), (2, 4), (4, 2, 1)]), ((4, ...), [(4,), (4, 2), (4, 1, 3)], [(5,), (3, 4)]), ((...,), [(), (3,)], [])])
def test_a_shape_may_end_in_any_axes(shape, fits, misfits):
    for size in fits:
        assert check_shape("x", x := torch.zeros(size), shape) is x
    for size in misfits:
        with pytest.raises(ValueError, match=rf"^x: expected mine, shape \(4,.*\), got \({size[0]},"):
            check_shape("x", torch.zeros(size), shape, what="mine")
    with pytest.raises(TypeError, match="^x: expected a tensor of shape"):
        check_shape("x", 3, shape)
    with pytest.raises(TypeError, match="^x: expected torch.int64 of shape"):
        check_shape("x", X, shape, torch.int64)


@checked
def with_optional(x: Batch, z: Latents | None = None, weights: Positive | dict[str, Positive] = 1.) -> tuple:
    return z, weights


def test_optional_tensors_and_tables_of_numbers():
    assert with_optional(X) == (None, 1.) and with_optional(X, weights={"G": 2, "D": 1})[1] == {"G": 2., "D": 1.}
    with pytest.raises(ValueError, match="^weights of G: expected a finite number > 0, got -2"):
        with_optional(X, weights={"D": 1, "G": -2})
    with pytest.raises(ValueError, match=r"^x: expected shape .* that fits z"):
        with_optional(X, torch.zeros(3, 1))


def test_networks_are_modules():
    @checked
    def run(net: Network) -> None:
        pass
    run(torch.nn.Identity())
    assert error_message(run, "G") == "TypeError: net: expected a Module, got 'G'"


def test_positional_keyword_and_missing_arguments_are_bound_as_python_does():
    assert play(X, y=X, n=2)[0] == 2
    for call in (lambda: play(X), lambda: play(X, X, X), lambda: play(X, X, m=1)):
        with pytest.raises(TypeError, match="argument"):
            call()


def test_a_checked_function_keeps_its_name_its_text_and_its_signature():
    import inspect
    assert play.__name__ == "play" and "form" in inspect.signature(play).parameters
    assert CHECKED[f"{play.__module__}.play"] is play


def test_the_switch_is_of_one_thread_and_of_one_block():
    seen = []
    with unchecked():
        with unchecked():
            assert not checking()
        assert not checking()
        thread = threading.Thread(target=lambda: seen.append((checking(), error_message(play, X, X, n=0))))
        thread.start()
        thread.join()
    assert checking() and seen[0][0] and seen[0][1].startswith("ValueError: n: ")


def seconds(call, n: int = 400) -> float:
    """The processor time of one call, the shortest mean of five rounds; a clock on the wall counts other programs, too."""
    rounds = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(n):
            call()
        rounds.append((time.process_time() - start) / n)
    return min(rounds)


def test_switched_off_a_check_costs_next_to_nothing():
    x, bare = torch.zeros(8), loss.__wrapped__
    with unchecked():
        off = seconds(lambda: loss(x))
    assert off < seconds(lambda: bare(x)) + 20e-6 and seconds(lambda: loss(x)) < off + 500e-6


@pytest.mark.parametrize("name", ["precision_recall", "density_coverage", "frechet_distance"])
def test_bytes_beside_numbers_on_another_scale_are_refused(name):
    import modelab
    f, raw = getattr(modelab, name), (torch.rand(60, 3, 4, 4) * 255).byte()
    for pair in ((raw, torch.rand(60, 3, 4, 4)), (torch.rand(60, 3, 4, 4), raw)):
        with pytest.raises(TypeError, match=r"got bytes; .*float\(\) / 127.5 - 1"):
            f(*pair)
    f(raw, raw.roll(1, 0))
