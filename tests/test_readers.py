"""modelab.data.readers and what it stands on: pictures, archives, arrays, tables and labels as people keep them."""

import io
import json
import math
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from helpers import seeded, uniform
from modelab.data import image_files
from modelab.data.archive_members import zip_members
from modelab.data.arrow_files import arrow_folder
from modelab.data.feature_cache import cache_places, cached, content_key
from modelab.data.image_files import decode_picture, fit_picture
from modelab.data.labels import read_labels
from modelab.data.matching import match_sources
from modelab.data.readers import open_samples, read_samples, SampleFile
from modelab.data.tables import TableEncoder
from PIL import Image
from safetensors.torch import save as save_tensors
from safetensors.torch import save_file

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 9, 8), np.uint8)
RGB = RNG.integers(0, 256, (12, 9, 8, 3), np.uint8)
ALL = torch.arange(12)


class Trap:
    """A pickle of it would end the process that loads it."""

    def __reduce__(self):
        return os._exit, (7,)


def save(folder, pictures, suffix=".png", mode=None, start=1, **options):
    """Pictures as 1.png, 2.png, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for i, x in enumerate(pictures):
        image = Image.fromarray(x)
        (image if mode is None else image.convert(mode)).save(folder / f"{i + start}{suffix}", **options)
    return folder


def opened(path, **options):
    return open_samples(path, progress=False, **options)


def said(source, *words):
    """Whether one note holds all these words."""
    notes = source if isinstance(source, list) else source.notes
    return any(all(word in note for word in words) for note in notes)


def png(x, mode=None):
    file = io.BytesIO()
    image = Image.fromarray(x)
    (image if mode is None else image.convert(mode)).save(file, "png")
    return file.getvalue()


# Folders of pictures

def test_order_is_natural_and_said(tmp_path):
    files = opened(save(tmp_path, GREY))
    assert files.names == [f"{i}.png" for i in range(1, 13)] and said(files, "natural")
    assert torch.equal(files[ALL][:, 0], torch.tensor(GREY) / 255) and files.labels is None
    assert files.shape == (12, 1, 9, 8) and isinstance(files, SampleFile)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".PNG", ".TIF"])
def test_lossless_kinds_are_read(tmp_path, suffix):
    files = opened(save(tmp_path, RGB, suffix, **{"lossless": True} if suffix == ".webp" else {}))
    assert torch.equal(files[ALL], torch.tensor(RGB).permute(0, 3, 1, 2) / 255)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".jpeg", ".gif", ".pgm"])
def test_other_kinds_are_read(tmp_path, suffix):
    flat = [np.full((9, 8), 20 * i, np.uint8) for i in range(12)]
    x = opened(save(tmp_path, flat, suffix))[ALL]
    assert x.shape == (12, 1, 9, 8) and np.allclose(x[:, 0, 0, 0] * 255, np.arange(12) * 20, atol=1)


def test_sub_folders_are_labels(tmp_path):
    for name in ("dog", "cat", "cat/young"):
        save(tmp_path / name, GREY[:3])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/1.png").write_bytes(b"x")
    (tmp_path / "cat/._1.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    files = opened(tmp_path)
    assert files.names[:4] == ["cat/1.png", "cat/2.png", "cat/3.png", "cat/young/1.png"]
    assert files.label_names == ["cat", "dog"] and files.labels.tolist() == [0] * 6 + [1] * 3 and said(files, "sub-folders")
    assert files.labels.dtype == torch.int64
    nested = tmp_path.parent / f"{tmp_path.name}-nested"
    nested.mkdir()
    os.rename(tmp_path, nested / "train")
    assert opened(nested).label_names == ["cat", "dog"]


def test_folders_of_splits_are_no_classes(tmp_path):
    for name in ("train", "test"):
        save(tmp_path / name / "cat", GREY[:3])
    with pytest.raises(ValueError, match="test, train; name one"):
        opened(tmp_path)
    assert len(opened(tmp_path / "train")) == 3


def test_pictures_beside_sub_folders_have_no_labels(tmp_path):
    save(tmp_path, GREY[:3])
    save(tmp_path / "more", GREY[:3])
    files = opened(tmp_path)
    assert files.labels is None and said(files, "no labels")


def test_links_in_a_circle_end(tmp_path):
    save(tmp_path / "a", GREY[:3])
    (tmp_path / "a/b").symlink_to(tmp_path / "a")
    assert len(opened(tmp_path)) == 3


@pytest.mark.parametrize("content, match", [(0, "it is empty"), (1, "at least two"), ("x.npy", "it holds x.npy")])
def test_folders_with_one_picture_or_none_are_refused(tmp_path, content, match):
    if isinstance(content, str):
        np.save(tmp_path / content, GREY)
    else:
        save(tmp_path, GREY[:content])
    with pytest.raises(ValueError, match=match) as caught:
        opened(tmp_path)
    assert str(tmp_path) in str(caught.value)


# Modes (F3, F6, F7, F9)

def test_rgb_files_of_grey_pictures_are_grey(tmp_path):
    files = opened(save(tmp_path, GREY, mode="RGB"))
    assert files.shape == (12, 1, 9, 8) and said(files, "12 of 12", "equal: taken as grey")
    assert torch.equal(files[ALL][:, 0], torch.tensor(GREY) / 255)


def test_any_file_that_shows_colour_makes_the_set_colour(tmp_path):
    """The first file must not decide: a collapse in hue would be hidden."""
    save(tmp_path, GREY[:11])
    Image.fromarray(RGB[0]).save(tmp_path / "99.png")
    files = opened(tmp_path)
    assert files.shape == (12, 3, 9, 8) and said(files, "11 of 12", "stored as grey")
    x = files[ALL]
    assert torch.equal(x[11], torch.tensor(RGB[0]).permute(2, 0, 1) / 255) and torch.equal(x[0, 0], x[0, 2])


def test_colour_of_large_files_is_found_too(tmp_path):
    large = RNG.integers(0, 256, (3, 200, 200, 1), np.uint8).repeat(3, -1)
    assert opened(save(tmp_path, large)).shape == (3, 1, 200, 200)
    large[2, 5, 5, 0] ^= 255
    save(tmp_path, large)
    assert opened(tmp_path).shape == (3, 3, 200, 200)


def test_sixteen_bits_keep_their_range(tmp_path):
    deep = RNG.integers(0, 65536, (12, 9, 8)).astype(np.uint16)
    for suffix in (".png", ".tif"):
        files = opened(save(tmp_path / suffix, deep, suffix))
        assert files.shape == (12, 1, 9, 8) and said(files, "16 bits")
        assert np.allclose(files[ALL][:, 0], deep / 65535)
    mixed = save(tmp_path / "mixed", deep[:6])
    save(mixed, (deep[6:] // 257).astype(np.uint8), start=7)
    assert np.allclose(opened(mixed)[ALL][:, 0], deep / 65535, atol=1 / 255)


def test_palettes_and_grey_with_alpha_are_converted(tmp_path):
    flat = np.arange(12, dtype=np.uint8)[:, None, None].repeat(9, 1).repeat(8, 2) * 20
    save(tmp_path, flat[:6], mode="P")
    save(tmp_path, flat[6:], mode="LA", start=7)
    files = opened(tmp_path)
    assert files.shape == (12, 1, 9, 8) and said(files, "palette") and said(files, "alpha channel")
    assert torch.equal(files[ALL][:, 0], torch.tensor(flat) / 255)


def test_one_bit_pictures_are_read(tmp_path):
    bits = GREY > 127
    files = opened(save(tmp_path, bits))
    assert torch.equal(files[ALL][:, 0], torch.tensor(bits).float()) and said(files, "one bit")


def test_shapes_in_alpha_are_seen(tmp_path):
    """Sprites that differ in alpha alone are different pictures; the ground is declared."""
    sprites = np.zeros((12, 9, 8, 4), np.uint8)
    sprites[..., 3] = GREY
    save(tmp_path, sprites)
    files = opened(tmp_path)
    assert files.shape == (12, 1, 9, 8) and said(files, "alpha channel", "0.5")
    assert torch.allclose(files[ALL][:, 0], .5 * (1 - torch.tensor(GREY) / 255))
    assert len(files[ALL].unique(dim=0)) == 12
    white = opened(tmp_path, background=1)
    assert torch.allclose(white[ALL][:, 0], 1 - torch.tensor(GREY) / 255) and said(white, "grey 1")
    with pytest.raises(ValueError, match="background"):
        opened(tmp_path, background=2)


def test_a_transparent_colour_counts_as_alpha(tmp_path):
    for i in range(3):
        Image.fromarray(RGB[i]).save(tmp_path / f"{i}.png", transparency=tuple(map(int, RGB[i, 0, 0])))
    files = opened(tmp_path)
    assert torch.allclose(files[ALL[:3]][:, :, 0, 0], torch.tensor(.5)) and said(files, "3 of 3", "alpha")


def test_pictures_are_turned_upright(tmp_path):
    for i in range(4):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.full((16, 8), 60 * i, np.uint8)).save(tmp_path / f"{i}.jpg", exif=exif, quality=95)
    files = opened(tmp_path)
    assert files.shape == (4, 1, 8, 16) and said(files, "EXIF", "4 of 4") and files[ALL[:4]].shape == files.shape


def test_of_several_frames_the_first_is_taken(tmp_path):
    for i in range(3):
        first, *more = [Image.fromarray(x) for x in GREY[i:i + 3]]
        first.save(tmp_path / f"{i}.gif", save_all=True, append_images=more)
    files = opened(tmp_path)
    assert said(files, "several frames") and len(files) == 3


def test_floats_in_tiff(tmp_path):
    good = uniform(3, 9, 8).float().numpy()
    assert np.allclose(opened(save(tmp_path / "good", good, ".tif"))[ALL[:3]][:, 0], good)
    with pytest.raises(ValueError, match=r"1\.tif.*expected 0 to 1"):
        opened(save(tmp_path / "bad", good * 300, ".tif"))


def test_jpeg_of_grey_pictures_is_grey(tmp_path):
    for i in range(4):
        smooth = np.add.outer(np.arange(150.), np.arange(150.) * (i + 1) / 4) * .9
        Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).convert("RGB").save(tmp_path / f"{i}.jpg", quality=60)
    assert opened(tmp_path).shape == (4, 1, 150, 150)


# Sizes (F1, F2)

def test_mixed_sizes_are_brought_to_the_most_common_one(tmp_path):
    save(tmp_path, np.full((4, 28, 28), 100, np.uint8))
    save(tmp_path, np.full((3, 32, 40), 100, np.uint8), start=5)
    files = opened(tmp_path)
    assert files.shape == (7, 1, 28, 28) and said(files, "3 of 32×40", "28×28", "most common", "antialiased")
    assert torch.allclose(files[ALL[:7]], torch.tensor(100 / 255))
    small = opened(tmp_path, size=16)
    assert small.shape == (7, 1, 16, 16) and said(small, "asked for") and small[ALL[:7]].shape == small.shape
    assert opened(tmp_path, size=(8, 16)).shape == (7, 1, 8, 16)
    for bad in (0, (1, 2, 3), "8", 1.5):
        with pytest.raises((TypeError, ValueError), match="size"):
            opened(tmp_path, size=bad)


def test_resizing_crops_about_the_centre_and_does_not_alias():
    x = np.zeros((1, 8, 16), np.float32)
    x[:, :, 4:12] = 1
    assert np.allclose(fit_picture(x, (4, 4)), 1, atol=1e-5)
    stripes = np.tile(np.array([0, 1], np.float32), (1, 64, 32))
    inner = fit_picture(stripes, (16, 16))[:, :, 2:-2]
    assert np.abs(inner - .5).max() < .05
    assert fit_picture(x, (8, 16)) is x


# Damage (F10)

def damaged(folder, size=9):
    save(folder, RNG.integers(0, 256, (5, size, size), np.uint8))
    good = (folder / "1.png").read_bytes()
    middle = len(good) // 2
    (folder / "cut.png").write_bytes(good[:middle])
    (folder / "wrong.png").write_bytes(good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1:])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "pickle.png").write_bytes(pickle.dumps(Trap()))
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (size, size), np.uint8)).save(file, "jpeg")
    (folder / "cut.jpg").write_bytes(file.getvalue()[:-len(file.getvalue()) // 3])
    return ["cut.png", "wrong.png", "empty.png", "text.png", "pickle.png", "cut.jpg"]


@pytest.mark.parametrize("size", [9, 200])
def test_all_damaged_files_are_named_at_once(tmp_path, size):
    bad = damaged(tmp_path, size)
    with pytest.raises(ValueError, match="6 of 11") as caught:
        opened(tmp_path)
    assert all(name in str(caught.value) for name in bad) and "empty.png (empty)" in str(caught.value)
    assert "skip_bad" in str(caught.value) and str(caught.value).count(str(tmp_path)) == 1
    files = opened(tmp_path, skip_bad=True)
    assert files.names == [f"{i}.png" for i in range(1, 6)] and said(files, "6 of 11", "left out", *bad)
    assert files[torch.arange(5)].shape == (5, 1, size, size)


def test_only_damaged_files_leave_nothing(tmp_path):
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="at least two pictures, found 0"):
        opened(tmp_path, skip_bad=True)


def test_a_file_that_is_gone_later_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "KEPT_BYTES", 0)
    files = opened(save(tmp_path, GREY))
    (tmp_path / "3.png").unlink()
    with pytest.raises(ValueError, match=r"3\.png"):
        files[ALL]


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    save(tmp_path, np.zeros((3, 300, 300), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ValueError, match="3 of 3"):
        opened(tmp_path)


# Labels (F14, F19, F20)

def test_a_table_beside_the_pictures_gives_labels_by_name(tmp_path):
    save(tmp_path, GREY)
    lines = [f"{i}.png,{'cat' if i % 2 else 'dog'}" for i in range(12, 0, -1)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines, "99.png,cat"]))
    files = opened(tmp_path)
    assert files.label_names == ["cat", "dog"] and files.labels.tolist() == [0, 1] * 6
    assert said(files, "by file name", "labels.csv") and said(files, "1 labels belong to no file")
    (tmp_path / "labels.csv").write_text("\n".join(lines))  # without a header
    assert opened(tmp_path).labels.tolist() == [0, 1] * 6
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines[:-2]]))
    with pytest.raises(ValueError, match=r"2 of 12 files have no label: 1\.png, 2\.png"):
        opened(tmp_path)


def test_attributes_beside_the_pictures(tmp_path):
    save(tmp_path / "images", GREY)
    rows = [f"{i};{i % 2};{-1 if i < 7 else 1}" for i in range(1, 13)]
    (tmp_path / "metadata.csv").write_text("\n".join(["image_id;hat;smile", *rows]))
    files = opened(tmp_path)
    assert files.label_names == ["hat", "smile"] and files.labels.shape == (12, 2)
    assert files.labels[:, 0].tolist() == [1, 0] * 6 and files.labels[:, 1].tolist() == [0] * 6 + [1] * 6


def test_metadata_of_hugging_face(tmp_path):
    save(tmp_path, GREY)
    lines = [json.dumps({"file_name": f"{i}.png", "label": i % 3}) for i in range(1, 13)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    files = opened(tmp_path)
    assert files.label_names == ["0", "1", "2"] and files.labels.tolist() == [i % 3 for i in range(1, 13)]


def test_a_table_whose_labels_are_not_clear_says_so(tmp_path):
    save(tmp_path, GREY.repeat(3, 0))
    for text, note in [("file,kind,owner\n" + "".join(f"{i}.png,a,b\n" for i in range(1, 37)), "kind, owner; call one of them label"),
                       ("x,y\n1,2\n", "names the files"),
                       ("file,text\n" + "".join(f"{i}.png,cat {i}\n" for i in range(1, 37)), "36 different values")]:
        (tmp_path / "labels.csv").write_text(text)
        files = opened(tmp_path)
        assert files.labels is None and said(files, "No labels were taken", note)
        with pytest.raises(ValueError):
            read_labels(tmp_path / "labels.csv", files.names)


@pytest.mark.parametrize("archive", [False, True])
def test_the_layout_of_stylegan(tmp_path, archive):
    """F32: a zip or folder with dataset.json."""
    names = [f"00000/img{i:08d}.png" for i in range(12)]
    data = {name: png(x) for name, x in zip(names, GREY, strict=True)}
    told = {"labels": [[name, i % 3] for i, name in reversed(list(enumerate(names)))]}
    data["dataset.json"] = json.dumps(told).encode()
    path = tmp_path / "dataset.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in data.items():
            file.writestr(name, content)
    if not archive:
        path = tmp_path / "folder"
        zipfile.ZipFile(tmp_path / "dataset.zip").extractall(path)
    files = opened(path)
    assert files.names == names and files.labels.tolist() == [i % 3 for i in range(12)]
    assert torch.equal(files[ALL][:, 0], torch.tensor(GREY) / 255) and said(files, "dataset.json")


def test_labels_that_are_null(tmp_path):
    save(tmp_path, GREY)
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert opened(tmp_path).labels is None


@pytest.mark.parametrize("name, content", [
    ("a.txt", "cat\ndog\ncat\n"), ("b.csv", "label\ncat\ndog\ncat\n"), ("c.csv", "file,label\n10.png,cat\n1.png,cat\n2.png,dog"),
    ("d.txt", "10.png cat\n1.png cat\n2.png dog\n"), ("e.csv", "file,kind,n\n10.png,cat,1\n1.png,cat,2\n2.png,dog,3:kind"),
    ("f.json", '{"labels": {"2.png": "dog", "1.png": "cat", "10.png": "cat"}}'), ("h.json", '["cat", "dog", "cat"]'), ("g.npy", np.array(["cat", "dog", "cat"])),
    ("h.npy", np.array([b"cat", b"dog", b"cat"])), ("i.tsv", "file\tlabel\n10\tcat\n1\tcat\n2\tdog\n")])
def test_files_of_labels(tmp_path, name, content):
    path, column = tmp_path / name, ""
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        content, _, column = content.partition(":kind")[0::2] + (":kind",) if content.endswith(":kind") else (content, "", "")
        path.write_text(content)
    labels, names, notes = read_labels(f"{path}{column}", ["1.png", "2.png", "10.png"])
    assert [names[i] for i in labels] == ["cat", "dog", "cat"] and notes


def test_numbers_and_attributes_as_labels(tmp_path):
    for x, labels, names in [(np.array([3, 1, 3]), [1, 0, 1], ["1", "3"]), (np.array([2., 0., 2.]), [1, 0, 1], ["0", "2"]),
                             (np.eye(3)[[2, 0, 1]], [2, 0, 1], ["0", "1", "2"]),
                             (np.array([[1, 1], [0, 0], [1, 0]]), [[1, 1], [0, 0], [1, 0]], ["0", "1"])]:
        np.save(tmp_path / "y.npy", x)
        found = read_labels(tmp_path / "y.npy", 3)
        assert found.labels.tolist() == labels and found.label_names == names and found.labels.dtype == torch.int64


def test_labels_that_do_not_match_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("cat\ndog\n")
    (tmp_path / "b.csv").write_text("file,label\n1.png,cat\n2.png,dog\n")
    np.save(tmp_path / "c.npy", np.array([.5, 1, 2]))
    np.save(tmp_path / "d.npy", np.array([Trap()] * 3, dtype=object))
    (tmp_path / "e.csv").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "f.pt").write_bytes(b"")
    (tmp_path / "g.csv").write_text("file,label\na.png,cat\nb.png,dog\nc.png,cat\n")
    (tmp_path / "h.csv").write_text("cat\ncat\ndog\ncat\n")
    files = ["1.png", "2.png", "10.png"]
    for name, match in [("a.txt", "2 labels for 3 examples"), ("b.csv", r"1 of 3 files have no label: 10\.png"),
                        ("c.npy", "fractions"), ("d.npy", "holds Python objects, which are never loaded"), ("e.csv", "binary"), ("f.pt", r"got \.pt"),
                        ("g.csv", r"names files, such as a\.png"), ("h.csv", "4 labels for 3")]:
        with pytest.raises(ValueError, match=match) as caught:
            read_labels(tmp_path / name, files)
        assert name in str(caught.value)
    for text, match in [('["cat", "dog"]', "2 labels for 3"), ("[null, null, null]", "object"), ('[["1.png", 3]]', "no file names"), ("{", "Expecting")]:
        (tmp_path / "i.json").write_text(text)
        with pytest.raises(ValueError, match=match):
            read_labels(tmp_path / "i.json", 3)
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "absent.csv", files)
    with pytest.raises(TypeError):
        read_labels(3, files)


def test_two_files_of_one_name_are_told_apart_by_folder(tmp_path):
    (tmp_path / "y.csv").write_text("file,label\na/1.png,cat\nb/1.png,dog\n")
    assert read_labels(tmp_path / "y.csv", ["b/1.png", "a/1.png"]).labels.tolist() == [1, 0]
    (tmp_path / "y.csv").write_text("file,label\n1.png,cat\n1.png,dog\n")
    with pytest.raises(ValueError):
        read_labels(tmp_path / "y.csv", ["b/1.png", "a/1.png"])


# Arrays

def test_archives_with_labels(tmp_path):
    """F19, F20: what guided-diffusion writes, and names as labels."""
    np.savez(tmp_path / "a.npz", RGB, np.arange(12) % 3)
    np.savez(tmp_path / "b.npz", images=RGB, labels=np.array(["cat", "dog"] * 6))
    np.savez(tmp_path / "c.npz", RGB)
    np.savez(tmp_path / "d.npz", x_train=RGB, x_test=GREY)
    first, second, third = (opened(tmp_path / f"{name}.npz") for name in "abc")
    assert first.labels.tolist() == [0, 1, 2] * 4 and second.label_names == ["cat", "dog"] and third.labels is None
    for files in (first, second, third):
        assert torch.equal(files[ALL], torch.tensor(RGB).permute(0, 3, 1, 2) / 255)
        assert said(files, "channels last") and said(files, "0 to 255", "12 of 12 rows")
    with pytest.raises(ValueError, match="x_train, x_test; say which"):
        opened(tmp_path / "d.npz")
    assert opened(f"{tmp_path}/d.npz:x_test").shape == (12, 9, 8)
    with pytest.raises(ValueError, match="it holds no nosuch"):
        opened(f"{tmp_path}/d.npz:nosuch")


@pytest.mark.parametrize("content, labels", [
    (lambda x, y: x, False), (lambda x, y: [x[:5], x[5:]], False), (lambda x, y: (x, y), True), (lambda x, y: {"x": x}, False),
    (lambda x, y: {"images": x, "labels": y}, True), (lambda x, y: [(x[:5], y[:5]), (x[5:], y[5:])], True),
    (lambda x, y: list(x), False), (lambda x, y: {"samples": [x[:5], x[5:]]}, False)])
@pytest.mark.parametrize("old", [False, True])
def test_what_torch_saves(tmp_path, content, labels, old):
    """F23: a list of batches, and what else is common; old: the format that cannot be mapped."""
    x, y = torch.tensor(RGB).permute(0, 3, 1, 2).contiguous(), torch.arange(12) % 2
    torch.save(content(x, y), tmp_path / "x.pt", _use_new_zipfile_serialization=not old)
    files = opened(tmp_path / "x.pt")
    assert files.shape == x.shape and torch.equal(files[ALL.flip(0)], x.flip(0) / 255)
    assert (files.labels.tolist() == y.tolist()) if labels else files.labels is None


def test_torch_files_that_are_not_clear(tmp_path):
    torch.save({"a": torch.zeros(3, 2), "b": torch.zeros(4, 2)}, tmp_path / "two.pt")
    with pytest.raises(ValueError, match="a, b; say which"):
        opened(tmp_path / "two.pt")
    assert opened(f"{tmp_path}/two.pt:b").shape == (4, 2)
    torch.save([torch.zeros(3, 2), torch.zeros(3, 4)], tmp_path / "unlike.pt")
    with pytest.raises(ValueError, match="unlike shapes"):
        opened(tmp_path / "unlike.pt")
    torch.save({"step": 3}, tmp_path / "none.pt")
    with pytest.raises(ValueError, match="expected a tensor"):
        opened(tmp_path / "none.pt")


def test_safetensors(tmp_path):
    x, y = uniform(12, 3, 9, 8).float(), torch.arange(12) % 2
    save_file({"x": x}, tmp_path / "one.safetensors")
    save_file({"x": x, "labels": y}, tmp_path / "labelled.safetensors")
    save_file({"x": x, "z": x[:, 0].contiguous()}, tmp_path / "two.safetensors")
    assert torch.equal(opened(tmp_path / "one.safetensors")[ALL], x)
    assert opened(tmp_path / "labelled.safetensors").labels.tolist() == [0, 1] * 6
    with pytest.raises(ValueError, match="x, z; say which"):
        opened(tmp_path / "two.safetensors")
    assert opened(f"{tmp_path}/two.safetensors:z").shape == (12, 9, 8)
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(ValueError, match="bad"):
        opened(tmp_path / "bad.safetensors")


# Ranges and axes (F15, F16, F17)

RANGES = {"bytes": (lambda x: x, "0 to 255"), "floats": (lambda x: (x / 255).astype(np.float32), None),
          "tanh": (lambda x: (x / 127.5 - 1).astype(np.float32), "[-1, 1]"), "large": (lambda x: x.astype(np.float32), "0 to 255"),
          "half": (lambda x: (x / 127.5 - 1).astype(np.float16), "[-1, 1]"), "longs": (lambda x: x.astype(np.int64), "0 to 255"),
          "deep": (lambda x: x.astype(np.uint16) * 257, "0 to 65535")}


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("last", [False, True])
def test_ranges_and_axes_are_told_apart(tmp_path, kind, last):
    change, note = RANGES[kind]
    x = change(RGB if last else RGB.transpose(0, 3, 1, 2))
    np.save(tmp_path / "x.npy", x)
    files = opened(tmp_path / "x.npy")
    assert files.shape == (12, 3, 9, 8)
    assert np.allclose(files[ALL], RGB.transpose(0, 3, 1, 2) / 255, atol=1e-3 if kind == "half" else 1e-6)
    assert said(files, note, "rows looked at", "mapped to [0, 1]") if note else not said(files, "mapped")
    assert said(files, "channels last") == last
    torch.save(torch.tensor(x), tmp_path / "x.pt")
    assert torch.equal(read_samples(tmp_path / "x.pt"), files[ALL])


def test_a_range_that_is_left_a_little_is_still_known(tmp_path):
    x = uniform(40, 3, 16, 16).numpy() * 2.1 - 1.05
    np.save(tmp_path / "x.npy", x)
    files = opened(tmp_path / "x.npy")
    assert said(files, "[-1, 1]") and np.allclose(files[torch.arange(40)], (x + 1) / 2, atol=1e-6)


def test_unknown_ranges_are_left_and_said(tmp_path):
    x = torch.randn(40, 3, 16, 16, generator=seeded()) * 1.2
    torch.save(x, tmp_path / "x.pt")
    files = opened(tmp_path / "x.pt")
    assert torch.equal(files[torch.arange(40)], x) and said(files, "left as they are")


def test_points_are_left_alone(tmp_path):
    x = torch.rand(40, 2, generator=seeded()) * 255
    np.save(tmp_path / "x.npy", x.numpy())
    files = opened(tmp_path / "x.npy")
    assert torch.equal(files[torch.arange(40)], x) and not files.notes and files.names is None


def test_bytes_of_zero_and_one_are_a_mask(tmp_path):
    np.save(tmp_path / "x.npy", (GREY > 99).astype(np.uint8))
    assert opened(tmp_path / "x.npy")[ALL].max() == 1


def test_channels_of_alpha_in_an_array(tmp_path):
    x = np.concatenate([RGB, np.zeros((12, 9, 8, 1), np.uint8)], -1)
    np.save(tmp_path / "x.npy", x)
    files = opened(tmp_path / "x.npy", background=.25)
    assert files.shape == (12, 3, 9, 8) and (files[ALL] == .25).all() and said(files, "ground of grey 0.25")


@pytest.mark.parametrize("axes", [3, 4])
def test_small_bytes_and_values_of_any_range_are_resized(tmp_path, axes):
    """They were clipped at 1: all examples became equal."""
    small = RNG.integers(0, 256, (12, 6, 6), np.uint8).reshape(12, *[1] * (axes - 3), 6, 6)
    np.save(tmp_path / "bytes.npy", small)
    np.save(tmp_path / "units.npy", small.astype(np.float32) * 7 - 300)
    bytes_, units = (opened(tmp_path / f"{name}.npy", size=4)[ALL] for name in ("bytes", "units"))
    assert bytes_.shape == (12, 1, 4, 4) and bytes_.min() >= 0 and bytes_.max() <= 1 and bytes_.std() > .1
    assert torch.allclose(units, bytes_ * 255 * 7 - 300, atol=255 * 7 * .06) and len(units.unique(dim=0)) == 12


def test_arrays_are_resized_if_asked(tmp_path):
    np.save(tmp_path / "x.npy", RGB)
    np.save(tmp_path / "y.npy", GREY)
    assert opened(tmp_path / "x.npy", size=4)[ALL].shape == (12, 3, 4, 4)
    assert opened(tmp_path / "y.npy", size=(4, 5))[ALL].shape == (12, 1, 4, 5)
    np.save(tmp_path / "z.npy", np.zeros((5, 2)))
    with pytest.raises(ValueError, match="size"):
        opened(tmp_path / "z.npy", size=4)


# Archives

def packed(path, files, mode="w"):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, mode) as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name, mode", [("a.zip", "w"), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"),
                                        ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")])
def test_archives_of_pictures(tmp_path, name, mode):
    data = {f"set/{'cat' if i < 6 else 'dog'}/{i}.png": png(x) for i, x in enumerate(GREY)}
    files = opened(packed(tmp_path / name, data | {"__MACOSX/set/._1.png": b"x", "set/.DS_Store": b""}, mode))
    assert files.label_names == ["cat", "dog"] and files.labels.tolist() == [0] * 6 + [1] * 6
    assert torch.equal(files[ALL.flip(0)][:, 0], torch.tensor(GREY).flip(0) / 255)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_names_in_archives_are_no_paths(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    data = {"../1.png": png(GREY[0]), "/tmp/modelab-2.png": png(GREY[1]), "3.png": png(GREY[2])}
    assert len(opened(packed(inside / name, data))) == 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == [name, "inside"]


def test_links_in_archives_are_left(tmp_path):
    path = packed(tmp_path / "a.tar", {f"{i}.png": png(x) for i, x in enumerate(GREY[:3])})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("9.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert opened(path).names == ["0.png", "1.png", "2.png"]


def test_damaged_archives_are_named(tmp_path):
    path = packed(tmp_path / "a.zip", {f"{i}.png": png(x) for i, x in enumerate(GREY)} | {"bad.png": b"x"})
    with pytest.raises(ValueError, match=r"1 of 13.*bad\.png"):
        opened(path)
    assert len(opened(path, skip_bad=True)) == 12
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:400])
    packed(tmp_path / "b.tar.gz", {f"{i}.png": png(x) for i, x in enumerate(GREY)}, "w:gz")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "b.tar.gz").read_bytes()[:400])
    (tmp_path / "text.tar").write_text("no archive")
    (tmp_path / "none.zip").write_bytes(packed(tmp_path / "c.zip", {"x.txt": b"x"}).read_bytes())
    for name in ("cut.zip", "cut.tar.gz", "text.tar", "none.zip"):
        with pytest.raises(ValueError, match=name):
            opened(tmp_path / name)


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("modelab.data.archive_members.MEMBER_BYTES", 1000)
    data = {f"{i}.png": png(x) for i, x in enumerate(GREY[:3])} | {"9.png": bytes(10_000)}
    with pytest.raises(ValueError, match=r"9\.png.*unpacks to more"):
        opened(packed(tmp_path / "a.zip", data))
    assert zip_members(tmp_path / "a.zip").names[-1] == "9.png"


# Tables (F26)

PEOPLE = "age,income,job,city\n" + "".join(
    f"{20 + i % 40},{1000 + 37 * i},{['baker', 'smith', 'clerk'][i % 3]},{'' if i % 10 == 3 else 'Ulm'}\n" for i in range(60))


def test_tables_have_columns_by_kind(tmp_path):
    (tmp_path / "a.csv").write_text(PEOPLE)
    files = opened(tmp_path / "a.csv")
    x = files[torch.arange(60)]
    assert files.shape == (60, 7) and said(files, "age, income", "standardised") and said(files, "job (3 values)")
    assert said(files, "Missing", "city") and torch.allclose(x[:, :2].mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(x[:, :2].std(0, correction=0), torch.ones(2), atol=1e-4) and (x[:, 2:5].sum(1) == 1).all()
    assert x[:, 6].sum() == 6


def test_tables_are_encoded_by_the_reference(tmp_path):
    lines = PEOPLE.splitlines()
    (tmp_path / "a.csv").write_text(PEOPLE)
    moved = [lines[0]] + [f"{int(line.split(',')[0]) + 100}," + line.split(",", 1)[1] for line in lines[1:]]
    shuffled = [";".join([cells[i] for i in (3, 0, 2, 1)]) for cells in (line.split(",") for line in moved)]
    (tmp_path / "b.csv").write_text("\n".join(shuffled).replace("clerk", "pilot"))
    (reference, made), notes = match_sources(opened(tmp_path / "a.csv"), opened(tmp_path / "b.csv"))
    assert reference.shape == made.shape and said(notes, "b.csv", "pilot") and said(notes, "age, income")
    x, y = reference[torch.arange(60)], made[torch.arange(60)]
    assert (y[:, 0] - x[:, 0]).min() > 5 and torch.allclose(x[:, 1], y[:, 1])
    assert not y[:, 2:5][:, 1].any() and (y[:, 5] == (torch.arange(60) % 3 == 2)).all()


def test_columns_that_differ_are_named(tmp_path):
    (tmp_path / "a.csv").write_text(PEOPLE)
    (tmp_path / "b.csv").write_text(PEOPLE.replace("age", "Age"))
    (tmp_path / "c.csv").write_text(PEOPLE.replace("25,", "young,"))
    np.save(tmp_path / "d.npy", np.zeros((9, 2)))
    reference = opened(tmp_path / "a.csv")
    for name, match in [("b.csv", "b.csv.*lacks age; it has Age"), ("c.csv", "column age.*text, such as 'young'"),
                        ("d.npy", "d.npy: expected a table")]:
        with pytest.raises(ValueError, match=match):
            match_sources(reference, opened(tmp_path / name))


@pytest.mark.parametrize("text, shape", [
    ("1,2\n3,4\n5,7\n", (3, 2)), ("1 2\n3 4\n5 7\n", (3, 2)), ("a b\nc d\ne f\n", (2, 2)), ("a\tb\n1\t2\n3\t4\n", (2, 2)), ("a;b\n1,5;2\n3,5;x\n", (2, 3)), ("a,b\n1,2\n3,NA\n", (2, 3)),
    (",a\n0,1.5\n1,2\n2,3\n", (3, 1)), ('a,b\n1,"x, y"\n2,"x\nz"\n', (2, 3)), ("\ufeffa,b\n1,2\n3,4\n", (2, 2))])
def test_kinds_of_tables(tmp_path, text, shape):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    files = opened(tmp_path / "a.csv")
    assert files.shape == shape and torch.isfinite(files[torch.arange(shape[0])]).all()


def test_codes_and_counters(tmp_path):
    rows = [f"{i},{i % 4 * 100},{i * 1.5},name{i}" for i in range(80)]
    (tmp_path / "a.csv").write_text("id,job,size,person\n" + "\n".join(rows))
    files = opened(tmp_path / "a.csv")
    assert files.shape == (80, 5) and said(files, "job (4 values)") and said(files, "id", "numbers the rows")
    assert said(files, "person", "80 different texts")


@pytest.mark.parametrize("text, match", [
    ("", "empty"), ("a,b\n", "at least two rows"), ("a,b\n1,2\n", "at least two rows"), ("a,a\n1,2\n3,4\n", "same name: a"),
    ("a,b\n1,2\n3\n", "row 3 has 1 cells"), ("a\ninf\n1\n2\n", "infinity"), ("a,b\n,\n,\n", "at least two|no column")])
def test_bad_tables_are_refused(tmp_path, text, match):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=match) as caught:
        opened(tmp_path / "bad.csv")
    assert "bad.csv" in str(caught.value)


def test_a_column_of_very_many_words_has_a_limit(tmp_path):
    words = [f"w{i % 150}" for i in range(450)] + ["w0"] * 5
    (tmp_path / "a.csv").write_text("word,x\n" + "\n".join(f"{w},{i / 7}" for i, w in enumerate(words)))
    files = opened(tmp_path / "a.csv")
    assert files.shape == (455, 102) and said(files, "word has 150 values", "100 most frequent")
    assert (files[torch.arange(455)][:, 1:].sum(1) == 1).all()


def test_the_encoding_of_a_table_by_hand():
    table = TableEncoder.fit({"x": ["0", "2", ""], "kind": ["b", "a", "b"]}, [{"x": ["1"], "kind": ["c"]}])
    assert table.column_names == ["x", "x is missing", "kind = a", "kind = b", "kind = another value"]
    assert table.encode({"kind": ["c", "a"], "x": ["", "3"]}).tolist() == [[0, 1, 0, 0, 1], [2, 0, 1, 0, 0]]


# Hugging Face

def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="pip install pyarrow"):
        opened(tmp_path / "x.parquet")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (tmp_path / "set/data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(ValueError, match="pip install pyarrow"):
        opened(tmp_path / "set")


def arrow_table(pa, mode=None):
    data = [{"bytes": png(x, mode), "path": None} for x in GREY]
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": data, "label": [i % 2 for i in range(12)]})
    return table.replace_schema_metadata({"huggingface": json.dumps(info)})


def test_a_set_that_datasets_saved(tmp_path):
    pa = pytest.importorskip("pyarrow")
    for k, part in enumerate((arrow_table(pa)[:5], arrow_table(pa)[5:])):
        with pa.OSFile(str(tmp_path / f"data-0000{k}-of-00002.arrow"), "wb") as sink, \
                pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
    names = [f"data-0000{k}-of-00002.arrow" for k in range(2)]
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (tmp_path / "dataset_info.json").write_text("{}")
    files = opened(tmp_path)
    assert torch.equal(files[ALL][:, 0], torch.tensor(GREY) / 255)
    assert files.label_names == ["cat", "dog"] and files.labels.tolist() == [0, 1] * 6


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq
    pq.write_table(arrow_table(pa, "RGB"), tmp_path / "train-00000-of-00001.parquet")
    for path in (tmp_path, tmp_path / "train-00000-of-00001.parquet"):
        files = opened(path)
        assert files.shape == (12, 1, 9, 8) and files.label_names == ["cat", "dog"]
    pq.write_table(pa.table({"age": [1., 2., None], "job": ["a", None, "b"]}), tmp_path / "t.parquet")
    assert opened(tmp_path / "t.parquet").shape == (3, 5)
    (tmp_path / "t.parquet").rename(tmp_path / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="test, train"):
        opened(tmp_path)


@pytest.mark.parametrize("cell", [[[0, 1], [2, 3]], {"x": 1.}, b"0"], ids=["lists", "structure", "bytes"])
def test_cells_of_an_arrow_table_are_one_number_or_text(tmp_path, cell):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq
    pq.write_table(pa.table({"age": [1., 2.], "image": [cell, cell]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column image: expected one number or text a cell"):
        opened(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", ["RGB", "L"])
def test_a_folder_and_a_parquet_file_of_the_library_itself(tmp_path, kind):
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    x = RGB if kind == "RGB" else GREY
    rows = {"image": [Image.fromarray(v) for v in x], "label": [i % 2 for i in range(len(x))]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = datasets.Dataset.from_dict(rows, features=features)
    made.save_to_disk(tmp_path / "folder")
    made.to_parquet(tmp_path / "x.parquet")
    expected = torch.tensor(x[..., None] if kind == "L" else x).permute(0, 3, 1, 2) / 255
    for path in (tmp_path / "folder", tmp_path / "x.parquet"):
        files = opened(path)
        assert torch.equal(files[torch.arange(len(x))], expected)
        assert files.label_names == ["cat", "dog"] and files.labels.tolist() == rows["label"]
    made.select([1, 0]).save_to_disk(tmp_path / "chosen")
    assert torch.equal(opened(tmp_path / "chosen")[torch.arange(2)], expected[[1, 0]])
    datasets.DatasetDict(train=made, test=made).save_to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match="train, test; name one"):
        opened(tmp_path / "two")
    lists = datasets.Dataset.from_dict({"image": GREY.tolist()}, features=datasets.Features({"image": datasets.Array2D(GREY.shape[1:], "uint8")}))
    lists.save_to_disk(tmp_path / "lists")
    with pytest.raises(ValueError, match="column image"):
        opened(tmp_path / "lists")


def test_splits_of_a_saved_set_must_be_chosen(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match="train, test; name one"):
        arrow_folder(tmp_path)


# Sources that must match (F1, F2, F3, F29)

def test_grey_against_colour_files(tmp_path):
    x = torch.tensor(GREY)[:, None] / 255
    (a, b), notes = match_sources(x, x.expand(-1, 3, -1, -1))
    assert a.shape == b.shape == (12, 1, 9, 8) and torch.equal(b[ALL], x) and said(notes, "equal: taken as grey")
    colour = torch.tensor(RGB).permute(0, 3, 1, 2) / 255
    (a, b), notes = match_sources(x, colour)
    assert a.shape == b.shape == (12, 3, 9, 8) and torch.equal(a[ALL], x.expand(-1, 3, -1, -1)) and said(notes, "reference", "grey")
    late = x.expand(-1, 3, -1, -1).clone()
    late[-1, 0, 0, 0] = 1 - late[-1, 0, 0, 0]
    assert match_sources(x, late)[0][1].shape[1] == 3


def test_sizes_are_brought_to_the_smaller(tmp_path):
    small, large = torch.full((5, 1, 28, 28), .3), torch.full((5, 1, 256, 200), .3)
    for pair in ((small, large), (large, small)):
        sources, notes = match_sources(*pair)
        assert {s.shape for s in sources} == {(5, 1, 28, 28)} and said(notes, "256×200", "28×28", "cropped", "antialiased")
        assert all(torch.allclose(s[torch.arange(5)], small) for s in sources)


def test_rows_become_pictures(tmp_path):
    x = torch.rand(20, 1, 28, 28, generator=seeded())
    for flat in (x.reshape(20, 784), x.reshape(20, 784) * 2 - 1, (x.reshape(20, 784) * 255).byte(), x[:, 0], x.reshape(20, 784, 1)):
        (a, b), notes = match_sources(x, flat)
        assert b.shape == x.shape and (b[torch.arange(20)] - x).abs().max() < 1 / 250
        assert said(notes, "784") == (flat.shape[1] == 784)
        assert said(notes, "mapped to [0, 1]") == (flat.dtype == torch.uint8 or flat.min() < 0)
        (a, b), notes = match_sources(flat, x)
        assert (a[torch.arange(20)] - b[torch.arange(20)]).abs().max() < 1 / 250


def test_nothing_is_said_where_nothing_is_done():
    x = torch.rand(20, 2, generator=seeded())
    (a, b, c), notes = match_sources(x, x, None)
    assert c is None and notes == [] and torch.equal(a[torch.arange(20)], x)


@pytest.mark.parametrize("other, match", [
    (torch.rand(9, 5), r"5 numbers an example do not make a picture of 28×28"), (torch.rand(9, 5, 28, 28), "unlike shapes"),
    (torch.rand(9, 2, 3, 4, 5), "unlike shapes")])
def test_what_cannot_be_matched_is_refused(other, match):
    with pytest.raises(ValueError, match=match):
        match_sources(torch.rand(9, 1, 28, 28), other)
    with pytest.raises(ValueError, match="unlike shapes"):
        match_sources(torch.rand(9, 5), torch.rand(9, 6))


def test_unlike_units_come_first():
    reference, wild = torch.rand(50, 3, 8, 8, generator=seeded()), torch.randn(50, 3, 8, 8, generator=seeded()) * 5
    assert match_sources(reference, wild)[1][0].startswith("The values are in unlike ranges")
    flat = torch.rand(50, 784, generator=seeded())
    assert "unlike ranges" in match_sources(flat, flat * 255)[1][0]
    assert match_sources(torch.rand(50, 3), torch.rand(50, 3) * 100)[1] == []


def test_files_and_arrays_together(tmp_path):
    reference = opened(save(tmp_path / "train", GREY))
    np.save(tmp_path / "made.npy", RGB)
    (a, b), notes = match_sources(reference, opened(tmp_path / "made.npy"))
    assert a.shape == b.shape == (12, 3, 9, 8) and a.names == reference.names and read_samples(a).shape == a.shape


# Pickles in any disguise

def test_pickles_are_refused_under_any_name(tmp_path):
    trap = np.array([Trap()], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=trap)
    np.savez(tmp_path / "c.npz", x=GREY, labels=np.array([Trap()] * 12, dtype=object))
    torch.save(Trap(), tmp_path / "d.pt")
    torch.save({"x": torch.zeros(3, 2), "code": Trap()}, tmp_path / "e.pt")
    torch.save(Trap(), tmp_path / "f.pth", _use_new_zipfile_serialization=False)
    for kind in (".npy", ".npz", ".pt", ".csv", ".tsv", ".zip", ".tar", ".tar.gz", ".safetensors", ".pkl", ".png", ".parquet"):
        for protocol in (0, 2, 5):
            (tmp_path / f"p{protocol}{kind}").write_bytes(pickle.dumps([Trap()], protocol))
    (tmp_path / "zipped.csv").write_bytes((tmp_path / "d.pt").read_bytes())
    found = sorted(tmp_path.iterdir())
    for path in found:
        with pytest.raises(ValueError, match=path.name) as caught:
            read_samples(path, progress=False)
        assert "allow_pickle" not in str(caught.value)  # no advice to run it
    assert len(found) == 6 + 36 + 1


# Memory, speed, other errors

def test_a_folder_is_opened_without_its_pixels(tmp_path):
    import resource
    save(tmp_path, RNG.integers(0, 256, (40, 512, 512, 3), np.uint8), ".bmp")  # 31 MB, 126 MB as floats
    opened(tmp_path)  # what Pillow needs once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = opened(tmp_path)
    assert len(files) == 40 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB


def test_no_bar_is_drawn_where_nobody_looks(tmp_path, capsys):
    open_samples(save(tmp_path, GREY))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["x", "x.txt", "x.pkl", "x.png", "x.mat"])
def test_other_kinds_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=name):
        opened(tmp_path / name)


def test_without_pillow_one_line_says_what_to_install(tmp_path, monkeypatch):
    save(tmp_path, GREY[:3])
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ValueError, match="pip install pillow"):
        opened(tmp_path)


def test_one_picture_is_numbers_in_the_unit_interval():
    x = decode_picture(io.BytesIO(png(RGB[0])))
    assert x.shape == (3, 9, 8) and x.dtype == np.float32 and math.isclose(x.max(), RGB[0].max() / 255, rel_tol=1e-6)


# What is kept beside the files

def test_the_key_is_of_names_and_bytes(tmp_path):
    save(tmp_path / "a", GREY)
    first = content_key(tmp_path / "a")
    assert first == content_key(str(tmp_path / "a")) and len(first) == 64
    cached(tmp_path / "a", "x", lambda: torch.zeros(1))
    assert content_key(tmp_path / "a") == first  # what is kept there does not count
    os.rename(tmp_path / "a/1.png", tmp_path / "a/0.png")
    second = content_key(tmp_path / "a")
    Image.fromarray(GREY[1]).save(tmp_path / "a/0.png")
    assert len({first, second, content_key(tmp_path / "a")}) == 3
    assert content_key(opened(tmp_path / "a")) != content_key(opened(tmp_path / "a", size=4))
    np.save(tmp_path / "x.npy", GREY)
    assert content_key(tmp_path / "x.npy") != content_key(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        content_key(tmp_path / "absent")
    with pytest.raises(TypeError):
        content_key(3)


def test_features_are_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": torch.eye(2), "b": torch.arange(3)}
    for _ in range(2):
        found = cached(tmp_path / "a", "key", compute)
        assert torch.equal(found["a"], torch.eye(2)) and torch.equal(found["b"], torch.arange(3))
    assert len(calls) == 1 and [p.name for p in (tmp_path / ".modelab/a").iterdir()] == ["key.safetensors"]
    (tmp_path / ".modelab/a/key.safetensors").write_bytes(b"damaged")
    cached(tmp_path / "a", "key", compute)
    assert len(calls) == 2
    cached(tmp_path / "b", "key", compute)
    assert len(calls) == 3  # two folders never share an entry
    (tmp_path / "x.npy").touch()
    assert torch.equal(cached(tmp_path / "x.npy", "one", lambda: torch.eye(3).T), torch.eye(3))
    assert torch.equal(cached(tmp_path / "x.npy", "one", lambda: 1 / 0), torch.eye(3))
    for key in ("", "../x", "a/b", 3):
        with pytest.raises(ValueError, match="key"):
            cached(tmp_path, key, compute)


def test_what_was_changed_in_the_cache_is_computed_again(tmp_path):
    path, calls = cache_places(tmp_path)[0] / "key.safetensors", []
    compute = lambda: calls.append(1) or torch.arange(6.).view(2, 3)
    cached(tmp_path, "key", compute)
    kept = path.read_bytes()
    other = {"value": torch.zeros(2, 3)}
    for data in (kept[:-1] + b"?", kept[:-2], save_tensors(other), save_tensors(other, {"sha256": "0" * 64}), b"[]"):
        path.write_bytes(data)
        calls.clear()
        assert torch.equal(cached(tmp_path, "key", compute), torch.arange(6.).view(2, 3)) and len(calls) == 1
        assert path.read_bytes() == kept
    path.rename(path.with_stem("another"))  # the features of other files
    assert cached(tmp_path, "another", lambda: torch.ones(1)) == 1
    assert torch.equal(cached(tmp_path, "halves", lambda: torch.ones(2, dtype=torch.bfloat16)), cached(tmp_path, "halves", lambda: 1 / 0))


def test_small_pictures_are_decoded_once(tmp_path, monkeypatch):
    save(tmp_path, [*RGB[:2], *GREY[:2]])
    rgba = np.concatenate([RGB[2], np.full((9, 8, 1), 99, np.uint8)], 2)
    Image.fromarray(rgba).save(tmp_path / "9.png")  # on a ground of grey: no bytes hold it
    calls, decode = [], image_files.decode_picture
    monkeypatch.setattr(image_files, "decode_picture", lambda *a: calls.append(1) or decode(*a))
    source = opened(tmp_path)
    assert len(calls) == 5
    x = source[torch.arange(5)]
    assert len(calls) == 6
    monkeypatch.setattr(image_files, "KEPT_BYTES", 2 * RGB[0].nbytes)
    again = opened(tmp_path)
    calls.clear()
    assert torch.equal(again[torch.arange(5)], x) and len(calls) == 3
    assert torch.equal(x[0], torch.as_tensor(decode(io.BytesIO(png(RGB[0])))))


def test_where_nothing_can_be_written_the_users_cache_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / ".modelab").write_text("a file where the folder should be")
    notes, calls = [], []
    compute = lambda: calls.append(1) or torch.eye(2)
    for _ in range(2):
        assert torch.equal(cached(tmp_path / "a", "key", compute, notes), torch.eye(2))
    assert not notes and len(calls) == 1 and len(list((tmp_path / "cache/modelab").glob("a-*/key.safetensors"))) == 1
    cached(tmp_path / "b/../a", "key", compute)
    assert len(calls) == 1
    (tmp_path / "elsewhere").mkdir()
    cached(tmp_path / "elsewhere/a", "key", compute)  # another folder with the same name
    assert len(calls) == 2
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert torch.equal(cached(tmp_path / "c", "key", compute, notes), torch.eye(2))
    assert len(notes) == 1 and str(tmp_path / "file") in notes[0]
    assert torch.equal(cached(tmp_path / "c", "key", compute), torch.eye(2))


def test_a_cache_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELAB_CACHE", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    for path in ("a", tmp_path / "a", "/"):
        cached(path, "key", lambda: torch.eye(2))
    assert len(list((tmp_path / "own").glob("*/key.safetensors"))) == 2 and not (tmp_path / ".modelab").exists()


def test_a_cache_is_no_class_of_the_pictures(tmp_path, monkeypatch):
    for name in ("cats", "dogs"):
        save(tmp_path / "photos" / name, GREY)
    monkeypatch.chdir(tmp_path / "photos")
    for path in (tmp_path / "photos", "../photos", "."):
        cached(path, "key", lambda: torch.zeros(1))
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["cats", "dogs"]
    assert [p.name for p in (tmp_path / ".modelab").iterdir()] == ["photos"]


def test_the_content_key_tells_arrays_of_one_file_apart(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros((5, 3)), b=np.ones((5, 3)))
    one, two = (content_key(open_samples(f"{tmp_path / 'two.npz'}:{name}")) for name in "ab")
    assert one != two and one == content_key(open_samples(f"{tmp_path / 'two.npz'}:a"))


@pytest.mark.parametrize("cells, says", [(["999", '"1,000"', '"1,001"'], "column x: it holds whole numbers and 1,000, whose comma"),
                                         (["1", "1e300", "2"], r"column x: the number 1e\+300 is too large")])
@pytest.mark.filterwarnings("error")
def test_numbers_without_a_clear_value_are_refused(tmp_path, cells, says):
    table = lambda values: "\n".join(["x,y", *(f"{value},{i}.5" for i, value in enumerate(values))])
    (tmp_path / "a.csv").write_text(table(cells))
    (tmp_path / "b.csv").write_text(table(["7", "8", "9"]))
    with pytest.raises(ValueError, match=says):
        open_samples(tmp_path / "a.csv")
    assert open_samples(tmp_path / "b.csv").shape == (3, 2)


def test_decimal_commas_are_still_read(tmp_path):
    (tmp_path / "a.csv").write_text("x;y\n1,5;2\n2,25;3\n0,125;5\n")
    assert open_samples(tmp_path / "a.csv").shape == (3, 2)


def test_sizes_beyond_memory_are_refused_at_once(tmp_path):
    save(tmp_path / "a", GREY)
    with pytest.raises(ValueError, match="size: expected at most 16,777,216 pixels, got 100000×100000"):
        open_samples(tmp_path / "a", size=100_000)


def test_an_error_says_how_many_examples_were_read(tmp_path):
    x = np.zeros((400, 3), np.float32)
    x[5, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="in 1 of 64 examples that were read, of 400 in all"):
        open_samples(tmp_path / "x.npy")[torch.arange(64)]
