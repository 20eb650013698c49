"""modelab.data.picture_folders: pictures of a user as a mode set, from folders, archives, tables and CelebA's layout."""

import tarfile
import zipfile

import numpy as np
import pytest
import torch
from helpers import seeded
from PIL import Image

from modelab import Run
from modelab.core.registry import make
from modelab.data import picture_folders
from modelab.data.labels import read_labels
from modelab.data.picture_folders import image_folder
from modelab.data.pictures import faces


def put(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x.add(1).mul(127.5).round().byte().movedim(0, -1).squeeze(-1).numpy()).save(path)


@pytest.fixture
def people(tmp_path):
    """CelebA's layout: 200 drawn faces, and their four attributes."""
    sets = [(faces(), 100), (faces("beard"), 60), (faces("eyeglasses"), 40)]
    drawn = [s.sample_with_modes(n, seeded()) for s, n in sets]
    x, kinds = torch.cat([x for x, _ in drawn]), torch.cat([s.kinds[mode] for (s, _), (_, mode) in zip(sets, drawn)])
    for i, picture in enumerate(x):
        put(tmp_path / "img_align_celeba" / f"{i:06}.png", picture)
    rows = [f"{i:06}.png  " + " ".join("1" if on else "-1" for on in row) for i, row in enumerate(kinds.tolist())]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["200", "eyeglasses bald hat beard", *rows]) + "\n")
    return tmp_path, x, kinds


def test_pictures_come_back_and_modes_are_combinations(people):
    folder, x, kinds = people
    s = image_folder(str(folder), held_out=0)
    assert len(s) == 200 and s.event == (1, 32, 32) and s.held_out is None
    y, mode = s.sample_with_modes(500, seeded(1))
    near = torch.cdist(y.flatten(1), x.flatten(1)).min(1)
    assert near.values.max() < .2, "levels of 8 bits"
    assert torch.equal(s.kinds[mode], kinds[near.indices])
    assert {m.replace("none", "") for m in s.mode_names} == {"+".join(n for n, on in zip(s.traits, row) if on) for row in kinds.tolist()}
    assert s.weights.sum().item() == pytest.approx(1)
    assert torch.equal(s.assign(y)[0], mode) and s.assign(y)[1].float().mean() > .9
    assert not s.assign(torch.rand(50, 1, 32, 32, generator=seeded()) * 2 - 1)[1].any(), "noise is not good"
    assert torch.equal(s.attributes(y), s.kinds[mode])


def test_attributes_are_chosen_and_some_pictures_put_aside(people):
    folder, _, kinds = people
    s = image_folder(str(folder), attributes=["beard"], size=16, held_out=.25)
    assert s.mode_names == ["none", "beard"] and (len(s), len(s.held_out)) == (150, 50)
    both = s.weights[1] * 150 + s.held_out.weights[1] * 50
    assert both.item() == pytest.approx(kinds[:, 3].sum().item(), abs=.01)
    own, aside = (set(v._pixels.flatten(1).numpy().astype(np.int64).sum(1).tolist()) for v in (s, s.held_out))
    assert len(own | aside) > len(own), "other pictures"
    again = make("modes", s.spec)
    assert torch.equal(again.sample(20, seeded(3)), s.sample(20, seeded(3)))


def test_classes_from_sub_folders_tables_and_archives(tmp_path):
    for i in range(12):
        put(tmp_path / "p" / ("cat" if i % 3 else "dog") / f"{i}.png", torch.tensor([0., .5, i / 12])[:, None, None].expand(3, 40, 30))
    s = image_folder(str(tmp_path / "p"), size=8, held_out=0)
    assert s.mode_names == ["cat", "dog"] and s.weights.tolist() == pytest.approx([2 / 3, 1 / 3]) and s.event == (3, 8, 8)
    (tmp_path / "t.csv").write_text("file,label\n" + "\n".join(f"{i}.png,{'a' if i < 3 else 'b'}" for i in range(12)))
    s = image_folder(str(tmp_path / "p"), size=8, table=str(tmp_path / "t.csv"), held_out=0)
    assert s.mode_names == ["a", "b"] and s.weights[0].item() == pytest.approx(.25)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        for path in (tmp_path / "p").rglob("*.png"):
            file.write(path, path.relative_to(tmp_path / "p"))
    assert torch.equal(image_folder(str(tmp_path / "p.zip"), size=8).sample(9, seeded()),
                       image_folder(str(tmp_path / "p"), size=8).sample(9, seeded()))


def test_without_labels_there_is_one_mode(tmp_path):
    for i in range(5):
        put(tmp_path / f"{i}.png", torch.full((1, 8, 8), i / 5))
    s = image_folder(str(tmp_path), size=8, held_out=0)
    assert s.n_modes == 1 and s.kinds.shape == (1, 0) and "1 mode:" in repr(s)
    assert s.picture(s.sample(3, seeded())).shape == (3, 8, 8)
    with pytest.raises(ValueError, match="^attributes: "):
        image_folder(str(tmp_path), size=8, attributes=["hat"])


@pytest.mark.parametrize("n, kept", [(1, 1), (4, 4), (5, 5), (6, 3), (9, 5), (10, 5), (11, 4)])
def test_samples_are_compared_with_no_more_pictures_than_said(n, kept, monkeypatch):
    monkeypatch.setattr(picture_folders, "BANK", 5)
    s = picture_folders.FolderPictures(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), ["all"],
                                       torch.zeros(1, 0, dtype=torch.bool), ())
    assert [len(part) for part in s._bank()] == [kept, kept]


def test_one_column_of_0_and_1_is_an_attribute(people, tmp_path):
    folder, _, kinds = people
    (tmp_path / "t.csv").write_text("file,smile\n" + "\n".join(f"{i:06}.png,{int(k)}" for i, k in enumerate(kinds[:, 3])))
    s = image_folder(str(folder / "img_align_celeba"), attributes=["smile"], table=str(tmp_path / "t.csv"), held_out=0)
    assert s.mode_names == ["none", "smile"] and s.weights[1].item() == pytest.approx(kinds[:, 3].float().mean().item())
    with pytest.raises(ValueError, match="no column frown"):
        image_folder(str(folder / "img_align_celeba"), attributes=["frown"], table=str(tmp_path / "t.csv"))


def test_each_mode_keeps_a_picture_and_lost_classes_are_told(tmp_path):
    for i in range(30):
        put(tmp_path / ("b" if i == 7 else "a") / f"{i}.png", torch.full((1, 8, 8), i / 30))
    s = image_folder(str(tmp_path), size=8, held_out=.5)
    assert (s.weights > 0).all() and s.held_out.weights[1] == 0 and len(s) + len(s.held_out) == 30
    put(tmp_path / "beside.png", torch.zeros(1, 8, 8))
    with pytest.warns(UserWarning, match="no labels were taken"):
        assert image_folder(str(tmp_path), size=8).n_modes == 1


def test_bad_input(people, tmp_path_factory):
    folder, *_ = people
    empty = tmp_path_factory.mktemp("empty")
    for error, kw in ((ValueError, dict(folder=str(folder), attributes=["wig", "hat"])), (TypeError, dict(folder=str(folder), attributes="hat")),
                      (ValueError, dict(folder=str(folder), attributes=["hat", "hat"])), (ValueError, dict(folder=str(folder), size=2)),
                      (ValueError, dict(folder=str(folder), held_out=1)), (FileNotFoundError, dict(folder=str(folder / "no"))),
                      (ValueError, dict(folder=str(empty)))):
        with pytest.raises(error, match="attributes|size|held_out|no such|no pictures|expected"):
            image_folder(**kw)
    table = folder / "list_attr_celeba.txt"
    table.write_text(table.read_text().replace("000003.png", "other.png"))
    with pytest.raises(ValueError, match="no label"):
        image_folder(str(folder))


def test_celeba_table_is_read_as_labels(people):
    folder, _, kinds = people
    found = read_labels(folder / "list_attr_celeba.txt", [f"{i:06}.png" for i in range(200)])
    assert found.label_names == ["eyeglasses", "bald", "hat", "beard"] and torch.equal(found.labels.bool(), kinds)


def test_a_game_is_trained_on_it_and_resumed(people, tmp_path):
    s = image_folder(str(people[0]), attributes=["eyeglasses"], size=16)
    run = Run("minimax", s, runs=2, batch=8, device="cpu").step(1)
    run.save(tmp_path / "r.safetensors")
    again = Run.load(tmp_path / "r.safetensors", device="cpu").step(1)
    assert torch.equal(again.sample(4), run.step(1).sample(4))


def test_benchmark_of_attributes_end_to_end(people, tmp_path, capsys, monkeypatch):
    import json
    import sys
    from pathlib import Path
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import attributes
    words = ["--folder", str(people[0]), "--want", "eyeglasses", "beard", "--pairs", "eyeglasses+beard", "--size", "16", "--kind", "mlp",
             "--save-every", "2", "--width", "8", "--features", "pixels", "--n", "60", "--fit", "400", "--batch", "8", "--reals", "8", "--device", "cpu",
             "--out", str(tmp_path / "out"), "--steps"]
    attributes.main([*words, "4"])
    found = json.loads((tmp_path / "out" / "attributes.json").read_text())
    assert found["judge"]["beard"]["recall"] >= .5 and found["judge"]["beard"]["precision"] >= .5 and found["nobody asks"]["steps"] == 4
    assert [r["name"] for r in found["the attributes ask"]["attributes"]] == ["eyeglasses", "beard", "eyeglasses+beard"]
    assert (tmp_path / "out" / "attributes.png").stat().st_size > 1000
    step = Run.step
    monkeypatch.setattr(Run, "step", lambda *a, **k: pytest.fail("it is trained already"))
    attributes.main([*words, "4"])
    assert json.loads((tmp_path / "out" / "attributes.json").read_text()) == found, "the same bits, without training again"
    monkeypatch.setattr(Run, "step", step)
    with pytest.raises(SystemExit, match="other settings"):
        attributes.main([*words, "6"])
    assert "attributes" in sys.modules and "Fréchet distance" in capsys.readouterr().out


@pytest.mark.parametrize("name, mode", [("p.tar", "w"), ("p.tgz", "w:gz"), ("p.tar.xz", "w:xz"), ("p.tbz2", "w:bz2")])
def test_pictures_are_drawn_from_any_archive_that_is_read(people, tmp_path, name, mode):
    from modelab.__main__ import main
    with tarfile.open(tmp_path / name, mode) as archive:
        for path in sorted((people[0] / "img_align_celeba").iterdir())[:12]:
            archive.add(path, path.name)
    assert main(["sample", str(tmp_path / name), "--size", "8", "--n", "5", "--out", str(tmp_path / "x.npy")]) in (0, None)
    assert np.load(tmp_path / "x.npy").shape == (5, 1, 8, 8)


def test_a_folder_is_trained_on_from_the_shell(people, tmp_path, capsys):
    from modelab.__main__ import main
    words = ["train", "zerocentred", str(people[0] / "img_align_celeba"), "--size", "8", "--steps", "2", "--runs", "1", "--batch", "8",
             "--device", "cpu", "--out", str(tmp_path / "o")]
    assert main(words) == 0 and "image_folder" in capsys.readouterr().out
    assert main(["sample", str(tmp_path / "o"), "--n", "5", "--out", str(tmp_path / "x.npy")]) in (0, None)
    assert np.load(tmp_path / "x.npy").shape == (5, 1, 8, 8)
    for words, said in ((["train", "minimax", "image_folder"], "give the path of your pictures"), (["train", "minimax", "ring", "--size", "8"], "--size")):
        assert main(words) == 2 and said in capsys.readouterr().err
