"""What a hostile or hurried user gives to the commands: refused in one line that names it, before the work, with status 2."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import seeded
from PIL import Image

from modelab import IMLE, Minimax, ring, Run
from modelab.__main__ import _plain_warnings, main
from modelab.data import labels
from modelab.data.labels import attribute_names, read_labels
from modelab.data.picture_folders import image_folder
from modelab.evaluation.annotations import Annotations
from modelab.evaluation.attributes import attribute_table, check_pairs
from modelab.evaluation.audit import audit
from modelab.lab.inspect import EvalBatch, trace_loss
from modelab.methods.imle_gan import IMLEGAN
from modelab.networks.layers import with_labels
from modelab.networks.players import Networks
from modelab.networks.style import style_generator


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder with made.npy, train.npy (60 points each) and attrs.csv; what is refused is one line."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("made", "train")):
        np.save(f"{name}.npy", torch.rand(60, 3, generator=seeded(i)).numpy())
    (tmp_path / "attrs.csv").write_text("rare,half,never\n" + "1,0,0\n0,1,0\n" * 30)

    def run(*words):
        capsys.readouterr()
        words = words if words[0] in ("train", "sample", "compare") else ("audit", "made.npy", "--reference", "train.npy", *words)
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert status == 2 and not out and err.startswith(f"modelab {words[0]}: ") and err.count("\n") == 1, (status, out, err)
        return err
    return run


# Attributes

THERE = "the attributes are rare, half, never"


@pytest.mark.parametrize("together, says", [
    ("rare", "--together: expected two or more attributes joined by +, got 'rare'"), ("", "--together: expected two or more"),
    ("rare+", "--together: expected two or more attributes joined by +, got 'rare+'"), ("+", "expected two or more"),
    ("rare+rare", "--together: expected each attribute once"), ("rare+odd", "--together: there is no attribute odd, got 'rare+odd'"),
    ("rare+half+rare", "each attribute once")])
def test_pairs_that_cannot_be_meant(ask, monkeypatch, together, says):
    from modelab.evaluation import audit_command
    monkeypatch.setattr(audit_command, "open_samples", lambda *a, **k: pytest.fail("the check comes before any work"))
    said = ask("--attributes", "attrs.csv", f"--together={together}")
    assert says in said and THERE in said


def test_pairs_are_checked_for_other_kinds_of_files_too(ask):
    np.save("attrs.npy", np.tile([[1, 0], [0, 1], [1, 1]], (20, 1)))
    said = ask("--attributes", "attrs.npy", "--together", "0+2")
    assert "--together: there is no attribute 2" in said and "the attributes are 0, 1" in said
    assert "each pair once" in ask("--attributes", "attrs.csv", "--together", "rare+half", "--together", "half+rare")


def test_pairs_in_python_name_the_argument():
    shown = torch.tensor([[True, False]] * 60)
    x = torch.rand(60, 3, generator=seeded())
    for names, what in (({"names": ("a", "b")}, "a, b"), ({}, "attribute 0, attribute 1")):
        with pytest.raises(ValueError, match=f"^together: expected two or more .*{what}$"):
            audit(x, x + 0, annotations=Annotations(shown, together=("a",), **names))
        with pytest.raises(ValueError, match="^pairs: there is no attribute c"):
            attribute_table(shown, shown, ("a", "b"), ("a+c",))
    assert check_pairs("pairs", ["b + a"], ["a", "b"]) == [[1, 0]]


@pytest.mark.parametrize("cell, got", [("", "an empty cell"), ("2", "'2'"), ("yes", "'yes'"), ("0.5", "'0.5'")])
def test_a_cell_that_is_no_attribute_is_named(ask, tmp_path, cell, got):
    rows = (tmp_path / "attrs.csv").read_text().splitlines()
    rows[6] = f"1,{cell},0"
    (tmp_path / "attrs.csv").write_text("\n".join(rows))
    for option in ("--attributes", "--sample-attributes"):
        more = [] if option == "--attributes" else ["--attributes", "attrs.csv"]
        assert f"row 7 of attrs.csv, column half: expected 0 or 1, got {got}" in ask(option, "attrs.csv", *more)
    assert f"row 7 of attrs.csv, column half: expected 0 or 1, got {got}" in ask("--attributes", "attrs.csv:half")
    (tmp_path / "by_name.csv").write_text("file,a,b\n1.png,1,0\n2.png,%s,1\n3.png,0,1\n4.png,0,1\n" % cell)
    with pytest.raises(ValueError, match=f"row 3 of by_name.csv, column a: expected 0 or 1, got {got}"):
        read_labels("by_name.csv", ["1.png", "2.png", "3.png", "4.png"])
    assert attribute_names("by_name.csv:b") == ["b"]


@pytest.mark.parametrize("table", ["attrs.csv", "attrs.csv:half", "celeba.txt:rare"])
def test_a_table_of_attributes_is_read_once(table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", torch.rand(60, 3, generator=seeded()).numpy())
    np.save("made.npy", torch.rand(60, 3, generator=seeded(1)).numpy())
    rows = ["1 -1", "-1 1"] * 30
    (tmp_path / "attrs.csv").write_text("rare,half\n" + "\n".join(row.replace(" ", ",") for row in rows))
    (tmp_path / "celeba.txt").write_text("60\nrare half\n" + "\n".join(f"{i:06}.jpg {row}" for i, row in enumerate(rows)))
    read, split, bytes_of, cells_of = [], [], Path.read_bytes, labels.read_cells
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or bytes_of(path))
    monkeypatch.setattr(labels, "read_cells", lambda data, *more: split.append(data) or cells_of(data, *more))
    asked = ("--attributes", table, "--sample-attributes", table, "--no-transformed")
    assert main(["audit", "made.npy", "--reference", "points.npy", *asked]) in (0, 1), capsys.readouterr().err
    name = table.partition(":")[0]
    assert [file for file in read if file == name] == [name] * 2  # one for each of the two options
    assert len(split) == (0 if name == "celeba.txt" else 2)


def test_an_empty_label_is_named(ask, tmp_path):
    (tmp_path / "l.csv").write_text("label\n" + "x\n" * 20 + "\n" + "y\n" * 39)
    assert "row 22 of l.csv is empty" in ask("--labels", "l.csv")
    (tmp_path / "l.csv").write_text("label,note\n" + "x,a\n" * 20 + ",b\n" + "y,c\n" * 39)
    assert "row 22 of l.csv, column label: expected a label, got an empty cell" in ask("--labels", "l.csv")


# Ten more that nobody asked for

def test_labels_from_a_folder_or_a_column_that_is_not_there(ask, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "l.csv").write_text("label\n" + "x\n" * 60)
    assert "folder: a folder, expected a file of labels" in ask("--labels", "folder")
    assert "there is no column nope; it has label" in ask("--labels", "l.csv:nope")


@pytest.mark.parametrize("x, says", [(np.array(["2020-01-01"] * 60, "M8[D]"), "got datetime64"), (np.array(["a"] * 60), "got str_"),
                                     (np.zeros(60, "f4,i4"), "expected numbers"), (np.zeros((0, 3)), "at least 1"), (np.float32(1), "a single number"),
                                     (np.ones((60, 3), complex), "complex"), (np.ones((60, 4)), "unlike shapes")], ids=lambda v: str(v)[:12])
def test_arrays_of_something_else(ask, tmp_path, x, says):
    np.save(tmp_path / "made.npy", x)
    assert "made.npy" in ask("--level", ".05") and says in ask("--level", ".05")


@pytest.mark.parametrize("words, says", [
    (["--level", "nan"], "level: "), (["--most", "-5"], "--most: "), (["--memory", "0"], "--memory: "), (["--size", "0"], "size: "),
    (["--features", ""], "--features: unknown ''"), (["--features", "os:system"], "os:system failed on examples"),
    (["--features", "a:b:c"], "invalid format"), (["--baseline", "train.npy"], "--baseline: train.npy"), (["--labels", ""], "expected a path"),
    (["--holdout", "loop.npy"], "loop.npy"), (["--out", "a.html", "--json", "a.html"], "is also the file of")])
def test_options_that_cannot_be_meant(ask, tmp_path, words, says):
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    assert says in ask(*words)


@pytest.mark.parametrize("option", ["--out", "--json", "--junit"])
def test_a_full_disk_names_the_option(ask, option):
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is full")
    assert f"{option}: /dev/full cannot be written: No space left" in ask(option, "/dev/full")


# Pictures of one's own, from the shell

def photos(folder, n=6):
    for kind in ("cats", "dogs", "owls"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            x = torch.randint(256, (8, 8, 3), generator=seeded(len(kind) + i)).byte().numpy()
            Image.fromarray(x).save(folder / kind / f"{i}.png")
    return folder


def test_sets_that_a_shell_cannot_make(ask):
    for words in (["sample", "image_folder", "--out", "x.npy"], ["train", "minimax", "image_folder"]):
        assert "give the path of your pictures" in ask(*words)
    for words in (["sample", "mixture", "--out", "x.npy"], ["train", "minimax", "mixture"]):
        assert "mixture: it needs centers and std" in ask(*words)
    assert "--size: it is for a folder" in ask("sample", "ring", "--size", 8, "--out", "x.npy")
    assert "--skip-bad: it is for a folder" in ask("train", "minimax", "ring", "--skip-bad")


def test_samples_of_pictures_and_damaged_ones(ask, tmp_path):
    photos(tmp_path / "photos")
    words = ["sample", "photos", "--size", "8", "--n", "20", "--out", "x.npy"]
    assert main(words) == 0 and np.load("x.npy").shape == (20, 3, 8, 8)
    with zipfile.ZipFile("photos.zip", "w") as file:
        for path in sorted((tmp_path / "photos").rglob("*.png")):
            file.write(path, path.relative_to(tmp_path / "photos"))
    assert main(["sample", "photos.zip", *words[2:]]) == 0
    (tmp_path / "photos/cats/bad.png").write_bytes(b"no picture")
    assert "bad.png" in ask(*words) and "--skip-bad" in ask(*words)
    with pytest.warns(UserWarning, match="bad.png .*left out"):
        assert main([*words, "--skip-bad"]) == 0
    with pytest.raises(ValueError, match="skip_bad=True"):
        image_folder("photos", size=8)
    with pytest.warns(UserWarning, match="left out"):
        assert image_folder("photos", size=8, skip_bad=True, held_out=0).n_modes == 3
    (tmp_path / "empty").mkdir()
    assert "expected pictures" in ask("sample", "empty", "--out", "x.npy")


def test_pictures_that_changed_since_a_checkpoint(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    run = Run(Minimax(networks=Networks(width=4)), image_folder("photos", size=8), runs=1, batch=4, device="cpu").step(1)
    run.save("run.safetensors")
    Run.load("run.safetensors", device="cpu")
    assert not [w for w in recwarn if "changed" in str(w.message)]
    (tmp_path / "photos/dogs/3.png").unlink()
    with pytest.warns(UserWarning, match="photos: its files have changed since run.safetensors was saved"):
        Run.load("run.safetensors", device="cpu").step(1)
    with pytest.warns(UserWarning, match="have changed"):
        assert main(["sample", "run.safetensors", "--n", "4", "--out", "x.npy", "--device", "cpu"]) == 0


def test_a_warning_of_the_library_is_one_line_in_a_shell():
    usual = warnings.formatwarning
    with _plain_warnings("sample"):
        line = warnings.formatwarning(UserWarning("two\nlines"), UserWarning, image_folder.__wrapped__.__code__.co_filename, 3, None)
        assert line == "modelab sample: two lines\n"
        assert warnings.formatwarning("x", UserWarning, "/elsewhere.py", 3, "") == usual("x", UserWarning, "/elsewhere.py", 3, "")
    assert warnings.formatwarning is usual


def test_attributes_choose_among_classes(tmp_path):
    s = image_folder(str(photos(tmp_path / "photos")), size=8, attributes=["owls"], held_out=0)
    assert s.mode_names == ["none", "owls"] and s.weights.tolist() == pytest.approx([2 / 3, 1 / 3]) and s.traits == ("owls",)
    assert image_folder(str(tmp_path / "photos"), size=8, held_out=0).mode_names == ["cats", "dogs", "owls"]
    with pytest.raises(ValueError, match="^attributes: "):
        image_folder(str(tmp_path / "photos"), size=8, attributes=["bats"])


# Networks of one's own

@pytest.mark.parametrize("game", [IMLE, IMLEGAN])
def test_a_generator_of_ones_own_that_mixes_styles_is_refused(game, tmp_path):
    make = lambda mixing: lambda: style_generator(4, (1, 8, 8), 2, 1, mixing=mixing)
    data = image_folder(str(photos(tmp_path / "photos")), size=8)
    grey = type("Grey", (), {"event": (1, 8, 8), "sample": lambda self, n, generator: data.sample(n, generator)[:, :1],
                             "to": lambda self, device: self})()
    with pytest.raises(ValueError, match="^G: expected mixing=0, since a matched picture has one style, got 0.9"):
        Run(game(G=make(.9), networks=Networks("style", width=2, latent=4), reals=8), grey, runs=1, batch=4, device="cpu")
    Run(game(G=make(0.), networks=Networks("style", width=2, latent=4), reals=8), grey, runs=1, batch=4, device="cpu")


class Labelled(torch.nn.Module):
    def __init__(self, out):
        super().__init__()
        self.label, self.net = torch.nn.Embedding(8, 2), torch.nn.Linear(4, out)

    def forward(self, v, y):
        return self.net(torch.cat([v, self.label(y)], -1))


def test_a_batch_for_a_look_has_the_labels_of_a_conditional_game():
    game = Minimax(G=with_labels(lambda: Labelled(2)), D=with_labels(lambda: Labelled(1)))
    side = Run(game, ring(), runs=1, batch=16, device="cpu")  # the lab itself refuses conditional players
    look = EvalBatch(side, 12)
    assert look.y.shape == look.x.shape[:2] == (1, 12)
    assert torch.equal(side.modes.assign(side.scale.restore(look.x[0]))[0], look.y[0]) and torch.equal(EvalBatch(side, 12).y, look.y)
    assert trace_loss(side, "D", look)[0].isfinite().all()
    with pytest.raises(AttributeError, match="^y: no player"):
        EvalBatch(Run(Minimax(), ring(), runs=1, device="cpu"), 4).y
