"""The course's tools and the core: intervals, claims, graders, refusals, the registry, atomic writes."""

import dataclasses
import functools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modelab.core import registry as registry_module
from modelab.core.checks import (check_batch, check_callable, check_int, check_logits,
                                 check_number, check_tensors)
from modelab.core.files import _umask, atomic_write
from modelab.core.plotting import axes, Film, Picture
from modelab.core.registry import load_all, register_game
from modelab.core.statistics import clopper_pearson, interval, wilson_interval
from modelab.course.claims import claim, steps
from modelab.course.exercises import as_number, exercise, mission
from modelab.course.notebooks import patch
from scipy.stats import binomtest


def test_interval_is_student_t():
    got = interval([1, 2, 3, 4])
    half = 3.182446305 * math.sqrt(5 / 3) / 2
    assert got.mean == 2.5 and math.isclose(got.high, 2.5 + half, rel_tol=1e-8) and got.n == 4
    assert format(got, ".1f") == "2.5 [0.4, 4.6]" and str(got) == "2.5 [0.446, 4.55] over 4 seeds"


def test_interval_is_cut_at_the_possible_range():
    free = interval([8, 8, 7, 8])
    cut = interval([8, 8, 7, 8], low=0, high=8)
    assert free.high > 8 and (cut.mean, cut.low, cut.high) == (free.mean, free.low, 8)
    assert interval([0, 0, 1], low=0).low == 0 > interval([0, 0, 1]).low
    assert interval([1, 1], low=0, high=1) == interval([1, 1])
    assert interval([.2, .4], low=-10, high=10) == interval([.2, .4])
    rounded = interval([1 + 1e-7, 1], low=0, high=1)  # a share in float32
    assert rounded.low <= rounded.mean <= rounded.high


def test_an_interval_is_printed_without_powers_of_ten_and_equal_values_as_what_was_seen():
    assert format(interval([999.9, 1001.3, 998.2])) == "1,000 [996, 1,004]" and format(interval([1e-9, 3e-9]), ".1g") == "2e-09 [-1e-08, 1e-08]"
    assert format(interval([8, 8, 8])) == str(interval([8, 8, 8])) == "8 on all 3 seeds" and format(interval([1, 1]), ".3f") == "1.000 on all 2 seeds"


@pytest.mark.parametrize("limits", [{"low": .5}, {"high": .5}, {"low": 1, "high": 0}, {"low": 0, "high": 0},
                                    {"high": float("nan")}])
def test_interval_refuses_values_outside_the_range(limits):
    with pytest.raises(ValueError, match="values|low|high"):
        interval([0, 1], **limits)
    with pytest.raises(TypeError, match="low"):
        interval([0, 1], low="zero")
    with pytest.raises(TypeError):
        interval([0, 1], .95, 0, 1)  # by name only


@pytest.mark.parametrize("values", [[], [1.], [1., float("nan")], [1., float("inf")]])
def test_interval_refuses(values):
    with pytest.raises(ValueError, match="values"):
        interval(values)


@pytest.mark.parametrize("confidence", [0, 1, -1, 2])
def test_interval_refuses_confidence(confidence):
    with pytest.raises(ValueError, match="confidence"):
        interval([1, 2], confidence)


@pytest.mark.parametrize("confidence", [.5, .95, .999])
@pytest.mark.parametrize("seen, n", [(0, 7), (7, 7), (1, 2), (8, 10), (300, 10_000)])
def test_interval_of_a_share_is_wilsons(seen, n, confidence):
    other = binomtest(seen, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(seen / n, n, confidence) == pytest.approx((other.low, other.high), rel=1e-9, abs=1e-12)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(.5, 3, 1.)


@pytest.mark.parametrize("tail", [.25, .025, 1e-6])
@pytest.mark.parametrize("seen, n", [(0, 7), (7, 7), (1, 2), (8, 10), (300, 10_000)])
def test_exact_limits_of_a_share_are_clopper_and_pearsons(seen, n, tail):
    other = binomtest(seen, n).proportion_ci(1 - 2 * tail, method="exact")
    assert clopper_pearson(seen, n, tail) == pytest.approx((other.low, other.high), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("given, name", [((8, 7), "hits"), ((-1, 7), "hits"), ((1, -1), "n"), ((1, 2, 0.), "tail"), ((1, 2, .6), "tail")])
def test_exact_limits_refuse(given, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        clopper_pearson(*given)
    assert clopper_pearson(0, 0) == (0., 1.)  # nothing is known


def test_claim_is_held_to_its_word(monkeypatch):
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    row = claim("a", paper="p", ours=1, holds=True)
    assert row.verdict == "holds" and row._repr_mimebundle_()["application/vnd.modelab.claim+json"]["claim"] == "a"
    assert claim("a", paper="p", ours=1, holds=False, expect=False).verdict == "does not hold"
    for holds, expect in ((False, True), (True, False)):
        with pytest.raises(AssertionError, match="expects"):
            claim("a", paper="p", ours=1, holds=holds, expect=expect)
    monkeypatch.setenv("MODELAB_FAST", "1")
    assert claim("a", paper="p", ours=1, holds=False).verdict.startswith("not judged")
    assert steps(1000) == 40 and steps(10) == 10
    monkeypatch.setenv("MODELAB_FAST", "0")
    assert steps(1000) == 1000


def test_graders_are_proven():
    def check(answer):
        if answer != 4:  # not `assert`: pytest would add to the hint
            raise AssertionError("twice two")
    grade = exercise(accepts=[4], rejects=[5, None])(check)
    grade.prove()
    assert grade(4) == "Right." and grade(5) == "Not yet: twice two"
    with pytest.raises(AssertionError, match="accepts a wrong answer"):
        exercise(accepts=[4], rejects=[4])(check).prove()
    with pytest.raises(AssertionError, match="rejects a right answer"):
        exercise(accepts=[5], rejects=[6])(check).prove()
    with pytest.raises(ValueError, match="at least one"):
        exercise(accepts=[4], rejects=[])(check)


def test_known_answers_are_made_when_they_are_tried():
    def check(answer):
        assert answer == 4
    made = []
    grade = exercise(accepts=lambda: made.append(1) or [4], rejects=lambda: [5])(check)
    assert not made
    grade.prove()
    assert made == [1]
    with pytest.raises(AssertionError, match="no right or no wrong answer"):
        exercise(accepts=lambda: [], rejects=[5])(check).prove()


def stub(x):
    ...


@pytest.mark.parametrize("answer", [..., (..., 2), [[...]], stub])
def test_what_is_not_answered_is_not_wrong(answer):
    assert exercise(accepts=[4], rejects=[5])(lambda answer: 1 / 0)(answer) == "Your turn: replace the ... with your answer."


@pytest.mark.parametrize("answer", [None, 0, (), lambda x: None, lambda x: x, len, [1]])
def test_what_is_answered_is_graded(answer):
    assert exercise(accepts=[4], rejects=[5])(lambda answer: None)(answer) == "Right."


def test_an_answer_that_stops_is_told_apart_from_a_wrong_one():
    def check(answer):
        answer()
    grade = exercise(accepts=[int], rejects=[3])(check)
    assert grade(lambda: {}["key"]) == "Not yet: it stops with KeyError: 'key'"


@pytest.mark.parametrize("number", [3, 3., np.float32(3), np.array(3), torch.tensor(3.), torch.tensor([3])])
def test_an_answer_that_is_a_number(number):
    assert as_number(number) == 3. and type(as_number(number)) is float


@pytest.mark.parametrize("answer", ["3", b"3", True, None, math.nan, math.inf, [3], torch.ones(2), 3j, len])
def test_an_answer_that_is_no_number(answer):
    with pytest.raises(AssertionError, match="number"):
        as_number(answer)


anything = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=True), st.text(max_size=3), st.lists(st.integers(), max_size=2))


@given(anything)
def test_whole_takes_counts_and_nothing_else(value):
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if good:
        assert check_int("n", value) == value
    else:
        with pytest.raises((ValueError, TypeError), match="^n: expected a whole number ≥ 1, got "):
            check_int("n", value)


@given(anything)
def test_number_takes_finite_numbers_in_range(value):
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and 0 < value <= 3
    if good:
        assert check_number("std", value, most=3, above=0) == value
    else:
        with pytest.raises((ValueError, TypeError), match="^std: expected "):
            check_number("std", value, most=3, above=0)


@given(st.lists(st.integers(0, 4), max_size=4), st.sampled_from([None, (2,), (3, 2)]))
def test_batch_checks_shapes(shape, event):
    x = torch.zeros(shape)
    good = 0 not in shape and len(shape) >= 1 and (event is None or tuple(shape[1:]) == event)
    if good:
        assert check_batch("x", x.numpy(), event).shape == x.shape
    else:
        with pytest.raises(ValueError, match="^x: expected"):
            check_batch("x", x, event)


@pytest.mark.parametrize("bad", ["text", None, object(), torch.zeros(2, dtype=torch.complex64)])
def test_batch_refuses_other_things(bad):
    with pytest.raises((TypeError, ValueError), match="^x: expected"):
        check_batch("x", bad)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_batch_refuses_what_is_not_finite(poison):
    x = torch.zeros(4, 3)
    x[2, 1] = poison
    with pytest.raises(ValueError, match="in 1 of 4 examples"):
        check_batch("x", x)


def test_a_spec_holds_what_a_dataclass_made_of_its_defaults(monkeypatch):
    monkeypatch.setitem(registry_module.GAMES, "made", None)  # and so taken out again afterwards

    @register_game
    @dataclasses.dataclass
    class Made:
        rates: dict = dataclasses.field(default_factory=lambda: {"G": 1e-3})
        width: int = 4
    assert Made().spec == {"name": "made", "rates": {"G": 1e-3}, "width": 4} == registry_module.make("game", "made").spec
    assert registry_module.make("game", json.loads(json.dumps(Made(rates={"G": 2.}).spec))).rates == {"G": 2.}


def test_registry_round_trip_and_suggestions():
    load_all()
    ring = registry_module.make("modes", {"name": "ring", "n": 5})
    again = registry_module.make("modes", json.loads(json.dumps(ring.spec)))
    assert again.n_modes == 5 and again.spec == ring.spec
    with pytest.raises(ValueError, match="did you mean 'minimax'.*Known: "):
        registry_module.make("game", "minimaxx")
    with pytest.raises(TypeError, match="game: expected one of"):
        registry_module.make("game", {"name": 3})
    with pytest.raises(ValueError, match="objects of your own"):
        registry_module.make("game", {"name": "minimax", "G": {"own": "MyNet"}})


def test_a_link_is_followed_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(tmp_path / "pipe", b"through")
    assert os.read(reader, 99) == b"through" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_replace_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, b"one")
    with pytest.raises(TypeError):
        atomic_write(path, 3)
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_film_turns_and_has_a_still(monkeypatch):
    def frame(i):
        figure, ax = axes(size=(1, 1))
        ax.plot([0, i], [0, 1])
        return Picture(figure, f"frame {i}")
    film = Film([frame(i) for i in range(4)], list("abcd"))
    for i in range(4):
        film.widget.slider.value = i
        assert film.widget.image.value == film.frames[i].png and film.widget.label.value == "abcd"[i]
    import ipywidgets
    monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)  # as in ipywidgets 7, which Colab has
    data, meta = film._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == film.widget.model_id
    assert data["image/png"].startswith(b"\x89PNG") and "frame 3" in meta["image/png"]["alt"]
    with pytest.raises(ValueError, match="labels"):
        Film(film.frames, ["one"])


def test_core_imports_without_the_course_extras():
    """The library must not need matplotlib, ipywidgets or scikit-learn before somebody asks for what needs them."""
    code = ("import sys\nfor name in ('matplotlib', 'seaborn', 'ipywidgets', 'pandas', 'sklearn', 'scipy'): sys.modules[name] = None\n"
            "from modelab.core.registry import load_all; load_all()\n"
            "from modelab.training.run import Run; Run('minimax', 'ring', runs=2, batch=8, device='cpu').step(2).sample(3)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


@mission("the count fell", "and rose again")
def dip(record):
    """Let the count fall, then rise."""
    low = record.index(min(record))
    yield low > 0
    yield record[-1] > record[low]


@pytest.mark.parametrize("record, marks", [([8, 3, 8], [True, True]), ([8, 3], [True, False]), ([3, 8], [False, False]),
                                           ([], [False, False]), (None, [False, False])])
def test_a_mission_sees_its_stages_in_order(record, marks):
    assert dip.seen(record) == marks and dip.text == "Let the count fall, then rise."
    if all(marks):
        dip(record)
    else:
        with pytest.raises(AssertionError, match="the count fell" if not marks[0] else "and rose again"):
            dip(record)


def test_a_mission_is_graded_like_any_exercise_and_must_say_its_task():
    grade = exercise(accepts=[[8, 3, 8]], rejects=[[8, 3], None])(dip)
    grade.prove()
    assert grade.__module__ == dip.__module__ == __name__ and grade.__name__ == "dip"
    assert grade([9, 1, 2]) == "Right." and grade([9, 1]) == "Not yet: not in the record: and rose again"
    with pytest.raises(AssertionError, match="accepts a wrong answer"):
        exercise(accepts=[[8, 3, 8]], rejects=[[8, 2, 3]])(dip).prove()

    def silent(record):
        yield True
    for make in (lambda: mission("a stage")(silent), lambda: mission()(dip.watch)):
        with pytest.raises(ValueError, match="stages: "):
            make()

    @mission("one", "two")
    def short(record):
        """Ends early."""
        yield True
    assert short.seen([]) == [True, False]

def test_a_large_batch_is_checked_without_a_copy():
    import resource
    x = torch.zeros(25_000_000)  # 100 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check_batch("x", x) is x and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    for bad in (float("nan"), float("inf"), -float("inf")):
        x[7] = bad
        with pytest.raises(ValueError, match="in 1 of 25000000"):
            check_batch("x", x)


def test_tensors_of_losses_are_named():
    x = torch.zeros(3, 4)
    check_tensors(x=x, y=x * float("nan"))
    check_logits(real=x, fake=x[:, :1])
    for call, word in ((lambda: check_tensors(x=x, y=x[:0]), "^y: "), (lambda: check_tensors(x=x.long()), "^x: "),
                       (lambda: check_tensors(x=x[0, 0]), "^x: "), (lambda: check_logits(real=x, fake=x[:2]), "^real, fake: "),
                       (lambda: check_callable(f=3), "^f: ")):
        with pytest.raises((TypeError, ValueError), match=word):
            call()


class Grown:
    size = 3


@patch
def double(self: Grown) -> int:
    return 2 * self.size


@patch(as_prop=True)
def half(self: Grown) -> float:
    return self.size / 2


@patch(cls_method=True)
def made(cls: Grown) -> "Grown":
    return cls()


@patch
@functools.cached_property
def once(self: Grown) -> object:
    return object()


def test_a_class_grows_by_every_kind_of_method():
    grown = Grown.made()
    assert (grown.double(), grown.half) == (6, 1.5) and grown.once is grown.once and Grown.double.__qualname__ == "Grown.double"
