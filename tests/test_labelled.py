"""modelab.data.labelled: labelled data of a user as a mode set, from tensors, arrays, loaders, tables and folders."""

import pandas as pd
import pytest
import torch
from helpers import seeded
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from modelab import coverage, labelled_modes, Run
from modelab.data.mixtures import ring
from modelab.methods.minimax import Minimax

X, Y = ring(8, std=.05).sample_with_modes(400, seeded())
WORDS = [f"mode {i}" for i in Y.tolist()]


class Pairs(Dataset):
    """Examples one at a time, with labels as Python numbers."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if not 0 <= i < len(X):
            raise IndexError(i)
        return X[i], int(Y[i])


class Stream(IterableDataset):
    """The same, without a length."""

    def __iter__(self):
        return iter(zip(X, Y))


TABLE = pd.DataFrame({"x": X[:, 0].double().numpy(), "y": X[:, 1].double().numpy(), "kind": WORDS})
FORMS = {"tensors": lambda: (X, Y), "arrays": lambda: (X.numpy(), Y.numpy()), "lists": lambda: (X.tolist(), Y.tolist()),
         "words": lambda: (X, WORDS), "loader": lambda: (DataLoader(TensorDataset(X, Y), batch_size=33),),
         "dataset": lambda: (Pairs(),), "loader of a dataset": lambda: (DataLoader(Pairs(), batch_size=7),),
         "table": lambda: (TABLE, "kind"), "shuffled columns": lambda: (TABLE[["kind", "x", "y"]], "kind"),
         "column of labels": lambda: (X, Y[:, None]), "stream": lambda: (Stream(),)}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_set(form):
    s = labelled_modes(*FORMS[form](), held_out=0)
    g = seeded(1)
    x, mode = s.sample_with_modes(200, g)
    near = torch.cdist(x.double(), X.double()).min(1)
    assert near.values.max() < 1e-6 and torch.equal(mode, Y[near.indices])  # floats keep their values, labels their examples
    assert s.n_modes == 8 and s.event == (2,) and len(s) == 400 and s.held_out is None
    assert torch.allclose(s.weights, torch.bincount(Y).float() / 400)
    assert s.mode_names == [f"mode {i}" if form in ("words", "table", "shuffled columns") else str(i) for i in range(8)]


def test_the_judge_is_right_where_modes_lie_apart_and_coverage_counts_them():
    s = labelled_modes(X, Y)
    fresh, truth = ring(8, std=.05).sample_with_modes(2000, seeded(5))
    mode, good = s.assign(fresh)
    assert torch.equal(mode, truth) and good.double().mean() > .85
    assert not s.assign(torch.full((5, 2), 9.))[1].any()
    assert coverage(fresh, s).captured == 8 and coverage(fresh[truth != 3], s).captured == 7
    assert coverage(fresh[truth != 3], s).missing == [3]
    assert len(s) + len(s.held_out) == 400 and set(s.held_out._mode.tolist()) == set(range(8))
    assert torch.cdist(s._pixels, s.held_out._pixels).min() > 0  # nothing is in both


def test_the_box_of_noise_holds_all_examples():
    s = labelled_modes(X * torch.tensor([1., 100.]), Y, held_out=0)
    low, high = s.bounds
    assert torch.equal(low, (X * torch.tensor([1., 100.])).amin(0)) and torch.equal(high, (X * torch.tensor([1., 100.])).amax(0))
    pictures = labelled_modes(torch.rand(40, 3, 8, 8, generator=seeded()), [0, 1] * 20, held_out=0)
    assert pictures.bounds[0].shape == (3, 8, 8) and pictures.bounds[0].unique().numel() == 1


def test_a_folder_is_an_image_folder(tmp_path):
    from PIL import Image
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(6):
            Image.new("L", (40, 40), 20 * i).save(tmp_path / kind / f"{i}.png")
    assert labelled_modes(str(tmp_path), held_out=0).mode_names == labelled_modes(tmp_path, held_out=0).mode_names == ["cat", "dog"]


NAN = X.clone()
NAN[7, 1] = float("nan")
GAPS = TABLE.assign(kind=TABLE.kind.where(TABLE.index > 2))


@pytest.mark.parametrize("args, says", [
    ((X, Y[:-1]), "labels: expected 400, one per example, got shape \\(399,\\)"), ((X, torch.stack([Y, Y], 1)), "labels: expected 400"),
    ((X,), "labels: expected one per example"), ((X, Y + .5), "labels: expected whole numbers"),
    ((X, [float("nan")] * 400), "labels: expected whole numbers"), ((NAN, Y), "data: expected finite numbers, got NaN or infinity in 1 of 400"),
    ((DataLoader(TensorDataset(NAN, Y), batch_size=9),), "data: expected finite numbers"),
    ((DataLoader(TensorDataset(X[:0], Y[:0])),), "data: expected two or more examples, got an empty DataLoader"),
    ((DataLoader(X),), "data: expected pairs of examples and labels from DataLoader"), ((TensorDataset(X),), "data: expected pairs"),
    ((DataLoader(TensorDataset(X, Y)), Y), "labels: expected none beside a DataLoader"),
    ((TABLE, "sort"), "labels: expected the name of a column \\(x, y, kind\\), got 'sort'"), ((TABLE,), "labels: expected the name of a column"),
    ((TABLE, "x"), "data: expected columns of numbers beside 'x', got 'kind'"), ((TABLE[["kind"]], "kind"), "got none"),
    ((GAPS, "kind"), "labels: 3 cells of 'kind' are empty"), ((X[:1], Y[:1]), "data: expected at least 2 examples"),
    ((X[:, 0], Y), "data: expected examples"), ((X, Y, 1.), "held_out"), ((X, Y, -1.), "held_out"), ((None, Y), "data: expected"),
    (("no/where",), "no/where")])
def test_bad_data_are_refused_by_name(args, says):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=says):
        labelled_modes(*args)


def test_examples_of_two_shapes_are_refused():
    class Odd(Pairs):
        def __getitem__(self, i):
            return (torch.zeros(2 + (i == 5)), *super().__getitem__(i)[1:])
    with pytest.raises(ValueError, match=r"data: expected examples of one shape, got \(2,\) and \(3,\)"):
        labelled_modes(Odd())


def test_pictures_without_a_transform_are_named():
    from PIL import Image

    class Photos(Pairs):
        def __getitem__(self, i):
            return Image.new("L", (8, 8)), super().__getitem__(i)[1]
    with pytest.raises(TypeError, match="transform=ToTensor"):
        labelled_modes(Photos())


def test_grey_bytes_without_a_channel_get_one_and_are_scaled():
    x = torch.arange(0, 240, 2, dtype=torch.uint8).view(30, 2, 2)
    s, with_channel = (labelled_modes(v, [0, 1, 2] * 10, held_out=0) for v in (x, x[:, None]))
    sample, other = (m.sample(20, torch.Generator().manual_seed(0)) for m in (s, with_channel))
    assert s.event == (1, 2, 2) and sample.shape == (20, 1, 2, 2) and torch.equal(sample, other)
    assert -1 <= sample.min() < sample.max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_pictures_train_and_are_shown(dtype):
    x = torch.rand(60, 1, 8, 8, generator=seeded())
    s = labelled_modes((x * 255).byte() if dtype == torch.uint8 else x.to(dtype), [0, 1, 2] * 20)
    drawn = s.sample(50, seeded())
    low, high = (-1, 1) if dtype == torch.uint8 else (0, 1)
    assert drawn.dtype == torch.float32 and drawn.min() >= low and drawn.max() <= high and drawn.max() > .9
    shown = s.picture(drawn)
    assert shown.shape == (50, 8, 8) and 0 <= shown.min() < .1 and .9 < shown.max() <= 1
    with pytest.raises(ValueError, match="x: expected pictures"):
        labelled_modes(X, Y).picture(X)


def test_a_game_is_trained_on_them_and_the_runs_have_an_axis():
    run = Run(Minimax(), labelled_modes(X, Y), runs=3, seed=0, device="cpu").step(3)
    assert run.sample(10).shape == (3, 10, 2) and len(run.coverage()) == 3


def test_equal_calls_give_equal_sets():
    a, b = (labelled_modes(X, Y) for _ in range(2))
    assert torch.equal(a.sample(50, seeded(2)), b.sample(50, seeded(2))) and torch.equal(a.held_out._pixels, b.held_out._pixels)
    assert coverage(X, a).kl == coverage(X, b).kl
