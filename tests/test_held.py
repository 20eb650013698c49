"""modelab.data.examples: what a user holds, read once; and the audit, missing, compare and the monitor that take it."""

import itertools
import json
import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import seeded
from modelab import audit, compare, missing, Monitor
from modelab.data import examples
from modelab.data.examples import held_examples
from modelab.data.mixtures import ring
from modelab.data.readers import SampleFile
from modelab.evaluation.annotations import Annotations
from modelab.evaluation.compare import compare_all
from modelab.evaluation.copies import copies
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

X, Y = ring(8, std=.05).sample_with_modes(400, seeded())
TEST = ring(8, std=.05).sample(300, seeded(1))
MADE = (lambda x: x[x[:, 0] < .6])(ring(8, std=.05).sample(400, seeded(2)))
WORDS = ["abcdefgh"[i] for i in Y.tolist()]


class Rows(Dataset):
    """What `give` makes of each number below n, one at a time."""

    def __init__(self, give, n=len(X)):
        self.give, self.n = give, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.give(i)


class Stream(IterableDataset):
    """Rows without a length; without an end where `n` is None."""

    def __init__(self, give, n=len(X)):
        self.give, self.n = give, n

    def __iter__(self):
        return map(self.give, itertools.count() if self.n is None else range(self.n))


def loader(*x, **options):
    return DataLoader(TensorDataset(*x), **{"batch_size": 33} | options)


def rows(source, **options):
    return source[torch.arange(len(source))]


PAIRS = TensorDataset(X, Y)
SOURCES = {
    "loader": lambda: loader(X, Y), "workers": lambda: loader(X, Y, num_workers=2), "a batch that is short": lambda: loader(X, Y, batch_size=399),
    "Dataset": lambda: PAIRS, "rows": lambda: Rows(lambda i: (X[i], int(Y[i]))), "arrays": lambda: Rows(lambda i: (X[i].numpy(), Y[i].item())),
    "dicts": lambda: Rows(lambda i: {"label": Y[i], "image": X[i], "path": "x.png"}), "one entry": lambda: Rows(lambda i: {"y": Y[i], "points": X[i]}),
    "batches of dicts": lambda: DataLoader(Rows(lambda i: {"x": X[i], "target": Y[i]}), batch_size=7), "three parts": lambda: loader(X, Y, X),
    "stream": lambda: Stream(PAIRS.__getitem__), "loader of a stream": lambda: DataLoader(Stream(PAIRS.__getitem__), batch_size=64),
    "iterator": lambda: iter(loader(X, Y)), "generator": lambda: ((x, y) for x, y in loader(X, Y)), "columns of labels": lambda: loader(X, Y[:, None]),
    "no batches": lambda: DataLoader(PAIRS, batch_size=None), "ready batches": lambda: DataLoader([(X[:150], Y[:150]), (X[150:], Y[150:])], batch_size=None),
    "part": lambda: Subset(TensorDataset(torch.cat([X, X]), torch.cat([Y, Y])), range(400)), "whole floats": lambda: loader(X, Y.double())}


# fidelity

@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_rows_and_labels(name):
    held = held_examples(SOURCES[name](), "reference")
    assert isinstance(held, SampleFile) and held.shape == (400, 2) and torch.equal(rows(held), X) and torch.equal(held.labels, Y)
    assert torch.equal(held[torch.tensor([7, 3])], X[[7, 3]])


def test_tensors_arrays_and_lists_stay_what_they_are():
    for value in (X, X.numpy(), X.tolist(), None, 3, held_examples(PAIRS)):
        assert held_examples(value) is value


def test_words_and_tables():
    held = held_examples(Rows(lambda i: (X[i], WORDS[i])))
    assert torch.equal(held.labels, Y) and held.label_names == list("abcdefgh")
    table = held_examples(pd.DataFrame(X.numpy(), columns=["u", "v"]))
    assert torch.equal(rows(table), X.double()) and table.columns == ("u", "v") and table.labels is None


@pytest.mark.parametrize("labels, says", [
    (X, "no classes, got labels of shape"), (Y + .5, "got fractions"), (torch.arange(400), "got 400 different ones")])
def test_labels_that_are_no_classes_are_left_out_and_it_is_said(labels, says):
    held = held_examples(loader(X, labels))
    assert held.labels is None and says in held.notes[0] and held_examples(loader(X)).notes == []
    assert held_examples(Rows(lambda i: (X[i], {"boxes": 1}))).labels is None


def same(one, other):
    return json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_loaders_give_the_reports_of_their_tensors():
    sets = loader(MADE, Y[:len(MADE)]), loader(X, Y), loader(TEST)
    by_loader = audit(*sets)
    assert same(by_loader, audit(MADE, X, TEST, labels=Y)) and by_loader.classes["0"]["share"] == 0
    found = missing(*sets)
    assert same(found, missing(MADE, X, TEST, labels=Y)) and found.groups[0].classes
    assert same(compare(loader(MADE), loader(TEST), PAIRS, rounds=99), compare(MADE, TEST, X, rounds=99))
    options = dict(rounds=999)
    assert same(compare_all({"a": loader(MADE), "b": TEST}, PAIRS, **options), compare_all({"a": MADE, "b": TEST}, X, **options))
    assert copies(loader(MADE), PAIRS, loader(TEST)).to_json() == copies(MADE, X, TEST).to_json()


def test_the_monitor_takes_a_loader_and_names_its_groups_by_labels():
    one, other = (Monitor(x, lambda n: TEST[:n], every=1, n=100, budget=1., **options)
                  for x, options in ((loader(X, Y), {}), (X, {"labels": Y})))
    assert one.yardstick.names == other.yardstick.names == list(range(8)) and one.ends == other.ends
    assert one(1).counts == other(1).counts and torch.equal(one.yardstick.rows, other.yardstick.rows)
    assert Monitor(Rows(lambda i: (X[i], WORDS[i])), lambda n: TEST[:n], n=100).yardstick.names == list("abcdefgh")
    clusters = Monitor(loader(X), lambda n: TEST[:n], n=100), Monitor(X, lambda n: TEST[:n], n=100)
    assert torch.equal(*(monitor.yardstick.group for monitor in clusters))


def test_bytes_of_pictures_are_in_0_1_and_unlike_ranges_are_said(tmp_path):
    x = (torch.rand(90, 1, 8, 8, generator=seeded()) * 255).byte()
    held = held_examples(loader(x))
    assert torch.equal(rows(held), x.float() / 255)
    other = torch.rand(60, 1, 8, 8, generator=seeded(1))
    told = [note for note in audit(2 * other - 1, loader(x)).notes if "unlike ranges" in note]
    assert told and "samples: [-1, 1]; reference: [0, 1]" in told[0]
    assert not any("unlike ranges" in note for note in audit(other, loader(x)).notes)
    assert not any("unlike ranges" in note for note in audit(2 * other - 1, loader(x.float() / 127.5 - 1)).notes)


def test_a_path_is_read_and_its_names_and_classes_are_used(tmp_path):
    np.save(tmp_path / "x.npy", X.numpy())
    assert same(audit(MADE, tmp_path / "x.npy", TEST), audit(MADE, X, TEST)) and same(audit(MADE, str(tmp_path / "x.npy")), audit(MADE, X))
    from PIL import Image
    g = np.random.default_rng(0)
    for i in range(60):
        kind = tmp_path / "photos" / "ab"[i % 2]
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray((g.random((8, 8)) * 100 + 120 * (i % 2)).astype(np.uint8)).save(kind / f"{i}.png")
    dark = torch.as_tensor(g.random((60, 1, 8, 8)) * 100 / 255).float()
    assert list(audit(dark, tmp_path / "photos").classes) == ["a", "b"]
    group = missing(dark, tmp_path / "photos").groups[0]
    assert group.classes == {"b": 1.} and group.names[0].startswith("b/")


# bad input

def endless():
    return Stream(lambda i: torch.zeros(2), None)


GAP = X.clone()
GAP[40, 1] = math.nan
FRAME = pd.DataFrame(X.numpy(), columns=["u", "v"])


@pytest.mark.parametrize("bad, says", [
    (lambda: endless(), "no length; give a part"), (lambda: DataLoader(endless(), batch_size=64), "expected an end, got more than 1,000"),
    (lambda: (X for _ in itertools.count()), "itertools.islice"), (lambda: Rows(lambda i: X[0], 10 ** 12), "at most 10,000,000 examples, got 1,000,000,000,000"),
    (lambda: loader(X[:0]), "got an empty DataLoader"), (lambda: iter([]), "got an empty list_iterator"), (lambda: Rows(lambda i: X[0], 0), "got an empty Rows"),
    (lambda: loader(GAP), r"NaN or infinity in 1 of 33 examples of part 2"), (lambda: FRAME.where(FRAME > 0), "NaN or infinity"),
    (lambda: Rows(lambda i: torch.zeros(2 + (i > 9))), r"one shape, got \(2,\) and \(3,\)"),
    (lambda: DataLoader(Rows(lambda i: torch.zeros(2 + (i > 9))), batch_size=10), r"one shape, got \(2,\) and \(3,\)"),
    (lambda: DataLoader(Rows(lambda i: torch.zeros(2 + i % 2)), batch_size=10), "DataLoader failed: RuntimeError: stack expects"),
    (lambda: Rows(lambda i: X[i].double() if i else X[i]), "one type of numbers, got torch.float32 and torch.float64"),
    (lambda: Rows(lambda i: open("no/such.png")), "Rows failed: FileNotFoundError"),
    (lambda: DataLoader(Rows(lambda i: open("no/such.png")), num_workers=1), "DataLoader failed: FileNotFoundError"),
    (lambda: Rows(lambda i: [.5, 1.]), "got a list of 2 numbers"), (lambda: Rows(lambda i: ()), "got a tuple of 0 numbers"),
    (lambda: Rows(lambda i: {"a": X[i], "b": X[i]}), "such as 'image', got 'a', 'b'"), (lambda: Rows(lambda i: {}), "such as 'image', got none"),
    (lambda: Rows(lambda i: "word"), "expected tensors from Rows, got str"), (lambda: iter([3.]), "expected batches of examples"),
    (lambda: loader(torch.complex(X, X)), "expected real numbers"), (lambda: Rows(lambda i: X[i])[0:0], "expected"),
    (lambda: FRAME.assign(kind="a"), "columns of numbers, got 'kind'"), (lambda: FRAME[[]], "columns of numbers, got none"),
    (lambda: "no/where", "no/where: there is no such file"), (lambda: loader(X[:5]), "at least 20 examples, got 5")])
def test_what_cannot_be_read_is_refused_in_one_line_by_its_name(bad, says, monkeypatch):
    monkeypatch.setattr(examples, "STREAMED", 1000)
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        audit(MADE, bad())
    assert str(caught.value).startswith("reference:") and "\n" not in str(caught.value)


def test_more_than_the_length_says_is_refused():
    class Liar(DataLoader):
        def __iter__(self):
            return itertools.cycle(super().__iter__())
    with pytest.raises(ValueError, match="samples: expected 13 parts from Liar, as its length says"):
        audit(Liar(TensorDataset(X), batch_size=33), X)


@pytest.mark.parametrize("reference, says", [(loader(X, Y), "which has its own"), (loader(X, shuffle=True), "an order of its own"),
                                             (Stream(lambda i: X[i]), "an order of its own")])
def test_labels_beside_a_source_of_another_order_are_refused(reference, says):
    for call in (lambda: audit(MADE, reference, labels=Y), lambda: missing(MADE, reference, labels=Y),
                 lambda: Monitor(reference, lambda n: X[:n], n=50, labels=Y)):
        with pytest.raises(ValueError, match=f"labels: expected none beside a (DataLoader|Stream), .*{says}"):
            call()
    assert same(audit(MADE, loader(X), labels=Y), audit(MADE, X, labels=Y))  # this order is known


def test_annotations_beside_a_shuffled_loader_are_refused():
    known = Annotations(sample_labels=Y)
    with pytest.raises(ValueError, match="sample_labels: expected none beside a DataLoader"):
        audit(loader(TEST.repeat(2, 1)[:400], shuffle=True), PAIRS, annotations=known)


def test_tables_must_have_the_same_columns():
    turned = FRAME[["v", "u"]]
    for call in (audit, missing, lambda *x: compare(*x, FRAME)):
        with pytest.raises(ValueError, match=r"samples: expected the columns of reference, u, v, got v, u|a: expected the columns of reference"):
            call(turned, FRAME)


def test_the_monitor_refuses_bytes_of_a_loader():
    with pytest.raises(TypeError, match="reference: expected floats on the scale .* got bytes from a DataLoader"):
        Monitor(loader((X * 100).byte()), lambda n: X[:n])


# kinds of examples

def test_a_column_of_scores_sequences_and_colour(tmp_path):
    for event in ((3, 6, 6), (5, 4), (), (1,)):
        x = torch.randn(60, *event, generator=seeded())
        assert torch.equal(rows(held_examples(loader(x))), x)
    half = loader(X.bfloat16())
    assert rows(held_examples(half)).dtype == torch.float32 and torch.equal(rows(held_examples(half)), X.bfloat16().float())
    assert torch.equal(rows(held_examples(loader((X * 9).long()))), (X * 9).long().float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_more_than_memory_takes_goes_to_a_file(dtype, monkeypatch):
    x = (torch.rand(300, 1, 9, 9, generator=seeded()) * 255).to(dtype)
    expected = rows(held_examples(loader(x)))
    monkeypatch.setattr(examples, "HELD_BYTES", 5000)
    made = []
    real = examples.tempfile.TemporaryFile
    monkeypatch.setattr(examples.tempfile, "TemporaryFile", lambda: made.append(real()) or made[-1])
    for source in (loader(x), Rows(lambda i: x[i], 300)):
        held = held_examples(source)
        assert torch.equal(rows(held), expected) and torch.equal(held[torch.tensor([299, 5])], expected[[299, 5]])
    assert len(made) == 2 and all(file.seek(0, 2) == x.nbytes for file in made)


def test_only_the_rows_asked_for_are_in_memory(monkeypatch):
    most = []
    monkeypatch.setattr(examples, "HELD_BYTES", 1 << 16)
    monkeypatch.setattr(examples._Joined, "to_disk", (lambda old: lambda self: most.append(sum(p.nbytes for p in self.parts)) or old(self))(
        examples._Joined.to_disk))
    held_examples(Rows(lambda i: torch.zeros(64, 64), 100))
    assert most and max(most) <= (1 << 16) + 64 * 64 * 4


def test_datasets_of_hugging_face():
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets are not installed")
    table = datasets.Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()})
    for source in (table, table.with_format("torch"), table.with_format("numpy"), table.to_iterable_dataset()):
        held = held_examples(source)
        assert torch.equal(rows(held), X) and torch.equal(held.labels, Y)


# determinism

def shuffled(**options):
    return loader(X, Y, shuffle=True, **options)


@pytest.mark.parametrize("make", [shuffled, lambda: shuffled(generator=seeded(3)), lambda: shuffled(num_workers=2),
                                  lambda: DataLoader(Rows(lambda i: (X[i] + torch.randn(2) + random.random() + np.random.rand(), Y[i])), 50)])
def test_a_loader_that_shuffles_gives_the_same_rows_each_time_and_leaves_random_numbers_alone(make):
    source = make()
    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate(), source.generator and source.generator.get_state()
    one, other = held_examples(source), held_examples(source)
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate(), source.generator and source.generator.get_state()
    assert torch.equal(rows(one), rows(other)) and torch.equal(one.labels, other.labels) and not torch.equal(rows(one), X)
    assert torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2]
    assert before[3] is None or torch.equal(before[3], after[3])


def test_a_shuffled_loader_gives_one_report_and_says_how_rows_are_numbered():
    one, other = (audit(MADE, shuffled(), loader(TEST, shuffle=True)) for _ in range(2))
    assert same(one, other) and "reference: Rows are numbered in the order in which the DataLoader gave them." in one.notes
    assert not any("numbered" in note for note in audit(MADE, loader(X, Y)).notes)
    held = held_examples(shuffled())
    near = torch.cdist(rows(held).double(), X.double()).argmin(1)
    assert torch.equal(held.labels, Y[near]) and len(near.unique()) == 400  # each example with its own label


def test_random_states_are_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="failed"):
        held_examples(Rows(lambda i: torch.rand(2) / (1 if i < 3 else None)))
    assert torch.equal(before, torch.get_rng_state())


# what is read from files is matched

TABLES = {name: pd.DataFrame({"exp": g.exponential(size=n), "norm": g.normal(size=n), "colour": g.choice(["red", "green"], n)})
          for name, n, g in (("train", 300, np.random.default_rng(0)), ("made", 200, np.random.default_rng(1)),
                                       ("test", 200, np.random.default_rng(2)))}


@pytest.fixture
def tables(tmp_path):
    """Three tables as files."""
    for name, table in TABLES.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


FOUR = {"audit": audit, "missing": lambda *x: missing(*x, rounds=19), "copies": copies,
        "compare": lambda made, known, new: compare(made, new, known, rounds=19),
        "compare_all": lambda made, known, new: compare_all({"a": made, "b": new}, known, rounds=19)}


def values_of(found):
    """The numbers of a result."""
    return {k: v for k, v in found.to_json().items() if k not in ("notes", "says", "protocol", "modelab", "listed")}


@pytest.mark.parametrize("call", FOUR)
def test_tables_in_files_are_encoded_by_the_reference(call, tables):
    made, *_ = three = [str(tables / f"{name}.csv") for name in ("made", "train", "test")]
    plain = FOUR[call](*three)
    TABLES["made"][["colour", "norm", "exp"]].to_csv(made, index=False)
    assert json.dumps(values_of(FOUR[call](*three))) == json.dumps(values_of(plain))  # columns go by their names
    TABLES["made"].rename(columns={"exp": "foo"}).to_csv(made, index=False)
    with pytest.raises(ValueError, match="made.csv: the columns differ from the reference's: it lacks exp"):
        FOUR[call](*three)


def test_tables_in_files_have_the_scale_of_the_reference(tables):
    """What the command says of the same files, too."""
    made, known, new = (tables / f"{name}.csv" for name in ("made", "train", "test"))
    assert audit(made, known, new).sound and not missing(made, known, new, rounds=39)
    table = TABLES["made"]
    table.assign(norm=100 * table["norm"] + 7).to_csv(made, index=False)
    assert "junk" in audit(made, known, new).verdict and len(missing(made, known, new, rounds=39)) == 1
    table.assign(colour="blue").to_csv(made, index=False)
    assert not audit(made, known, new).sound
    with pytest.raises(ValueError, match="^samples: expected a path, as reference is"):
        audit(torch.randn(200, 4), known)
    with pytest.raises(ValueError, match="^reference: expected numbers on the scale on which the generator works, got a table"):
        Monitor(known, lambda n: torch.randn(n, 4), n=60)


@pytest.mark.parametrize("call", FOUR)
def test_what_a_reader_did_is_a_note(call, tables):
    if call == "copies":
        pytest.skip("2026-12-01: its report has no notes")
    found = FOUR[call](*(str(tables / f"{name}.csv") for name in ("made", "train", "test")))
    assert any("standardised by the reference: exp, norm" in note for note in found.notes)


def test_labels_of_many_digits_stay_apart():
    g = seeded(0)
    x, new, made = torch.randn(3, 200, 3, generator=g)
    y = torch.arange(200) % 3
    assert list(audit(made, x, new, labels=y + 20231100).to_json()["classes"]) == ["20231100", "20231101", "20231102"]
    lost = missing(made[made[:, 0] < .3], x, rounds=39, labels=y + 20231100).groups[0]
    assert set(lost.classes) <= {"20231100", "20231101", "20231102"} and len(lost.classes) > 1


@pytest.mark.parametrize("call", [*FOUR, "Monitor"])
def test_features_without_any_spread_are_refused(call):
    x = torch.randn(3, 200, 3, generator=seeded(0))
    calls = FOUR | {"Monitor": lambda made, known, new: Monitor(known, lambda n: made[:n], n=60)}
    plain = lambda v: torch.zeros(len(v), 2)
    with pytest.raises(ValueError, match="^features: the same for all 200 examples of (the )?(reference|train)$"):
        {"audit": audit, "missing": missing, "copies": copies, "compare": lambda a, r, h, **kw: compare(a, h, r, **kw),
         "compare_all": lambda a, r, h, **kw: compare_all({"a": a, "b": h}, r, **kw),
         "Monitor": lambda a, r, h, **kw: Monitor(r, lambda n: a[:n], n=60, **kw)}[call](*x, features=plain)
    with pytest.raises(ValueError, match="^(reference|train): all 200 examples are equal$"):
        calls[call](x[0], torch.ones(200, 3), x[2])


def test_a_picture_outside_of_its_range_does_not_end_a_training():
    x, draws = torch.rand(2, 100, 1, 8, 8, generator=seeded(0)), itertools.count()
    watch = Monitor(x[0], lambda n: x[1][:n] * (1.02 if next(draws) else 1), n=60, features="pixels")
    assert watch.look().counts
    with pytest.warns(RuntimeWarning, match=r"^sampler: values from .* to 1.02 were clipped to \[0, 1\]"):
        watch.look()
    watch.look()
    with pytest.raises(ValueError, match=r"^sampler: expected pictures from 0 to 1, .*; return \(x \+ 1\) / 2$"):
        Monitor(x[0], lambda n: 2 * x[1][:n] - 1, n=60, features="pixels").look()
    with pytest.raises(ValueError, match="^samples: expected values from 0 to 1, got -"):
        audit(2 * x[0] - 1, x[1], features="pixels")


def test_a_class_that_is_not_watched_is_named():
    x, labels = torch.rand(60, 100, generator=seeded(0)), torch.zeros(60, dtype=torch.long)
    labels[0] = 1
    with pytest.warns(UserWarning, match="^labels: class 1 is not watched"):
        for seed in range(5):
            Monitor(x, lambda n: x[:n], n=50, labels=labels, seed=seed)
