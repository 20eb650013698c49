"""Cases from public reports, small and made here, as a user meets them: files in, a sentence and an exit status out.

Each test is named after its case: F1 to F32 are kinds of files, G1 is a generator with two faults, the others have a word.
0 is sound or the same, 1 is a finding, 2 is anything that kept the command from an answer.

Cases that are tested elsewhere:

N1, N3: D answers (N, 1), on points and on colour   test_foreign_networks::test_a_column_of_scores_on_any_kind_of_examples
N1b: D answers (N, 1, 1, 1)                         test_foreign_networks::test_equals_plain_autograd
N1c: D answers a map of patches                     test_foreign_networks::test_a_loss_of_a_map_of_patches_is_patchgans
N2, N8: the last batch has one or fewer examples    test_foreign_networks::test_the_last_batch_of_an_epoch
N2: a batch of one in a run                         test_training::test_a_batch_of_one_is_no_column_of_scores
N5: batch norm and minibatch deviation in a lambda  test_foreign_networks::test_networks_in_an_attribute_are_found_and_other_functions_are_looked_at_again
N6: D answers a tuple, a dict or an object          test_foreign_networks::test_the_cure_in_an_error_works
N7: D(x, y) that gets no labels                     test_foreign_networks::test_a_conditional_network_that_gets_no_labels_is_refused_with_the_cure
N7: conditional players in a run                    test_foreign_networks::test_a_conditional_pair_gets_the_labels_of_the_real_batch
N12, N13: autocast, and two types                   test_foreign_networks::test_inside_autocast_a_penalty_is_float32_and_near
N12, N13: weights of another type                   test_foreign_networks::test_weights_and_examples_of_two_types_are_refused_with_a_cure_that_works
N17: compiled D, donated buffers                    test_foreign_networks::test_a_compiled_training_step_may_have_a_penalty
N19: pairs of pictures and latents as maps          test_foreign_networks::test_pairs_of_pictures_and_latents_as_maps
N19: D(x, z) answers (N, 1) or (N, 1, 1, 1)         test_pairwise::test_a_discriminator_of_yours_may_answer_as_everybody_writes_it
N19b: D ends in a sigmoid                           test_foreign_networks::test_a_discriminator_that_ends_in_a_sigmoid_gets_a_warning
latents (N, 64, 1, 1) in a run                      test_foreign_networks::test_latents_of_another_shape_are_refused_with_a_cure_that_works
a crash is no finding                               test_cli::test_whatever_goes_wrong_in_a_command_is_two_and_named
a package that is missing                           test_cli::test_a_missing_package_is_named_with_what_installs_it
columns of unlike units                             test_audit::test_columns_of_unlike_units_are_divided_by_their_spread
bytes against a set in [-1, 1]                      test_foreign_networks::test_coverage_refuses_bytes_with_the_cure
a set of one's own                                  test_coverage::test_own_set
a folder of one's own as a set                      test_image_folder::test_classes_from_sub_folders_tables_and_archives
the weights of the face network                     test_feature_networks::test_faces_have_128_numbers
--version                                           test_cli::test_version
names that nobody knows                             test_registry::test_unknown_names_are_refused_with_all_that_are_known
`from modelab import coverage` is a function        test_public::test_a_public_name_is_there_and_documented
"""

import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import seeded
from modelab.__main__ import main
from modelab.data.readers import open_samples
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

ORDER = np.random.default_rng(0).permutation(1797)  # the scans of one writer stand together
SCANS, DIGITS = (load_digits().images[ORDER] * 15.9).astype(np.uint8), load_digits().target[ORDER]  # real scans of 8×8
TRAIN, TEST, MADE = np.split(np.arange(360), 3)  # MADE: what a perfect generator would show


def pictures(folder, x, suffix=".png", mode=None, start=1):
    """Pictures as 1.png, 2.png, … in a folder, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, one in enumerate(x):
        image = one if isinstance(one, Image.Image) else Image.fromarray(one)
        (image if mode is None else image.convert(mode)).save(folder / f"{i + start}{suffix}")
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder with train/, test/ and made/: scans of 8×8 as grey PNGs; made/ is as good as real."""
    folder = tmp_path_factory.mktemp("real")
    for name, rows in (("train", TRAIN), ("test", TEST), ("made", MADE)):
        pictures(folder / name, SCANS[rows])
    return folder


@pytest.fixture
def shell(capsys):
    """Runs the command line; the exit status, and both outputs."""
    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()
    return run


@pytest.fixture
def audit(shell, real):
    """`modelab audit SAMPLES` against the scans, or against another reference."""
    def run(samples, *more, reference=None, holdout=None):
        holdout = holdout or (real / "test" if reference is None else None)
        given = ["--holdout", holdout] if holdout else []
        return shell("audit", samples, "--reference", reference or real / "train", *given, *more)
    return run


def is_sound(answer, *words):
    """A perfect generator was called sound, and these words were said."""
    status, out, err = answer
    assert status == 0, out + err
    for word in words:
        assert word in out, (word, out)
    return True


def is_refused(answer, command, *words):
    """Status 2, nothing on standard output, and one sentence with these words."""
    status, out, err = answer
    assert (status, out) == (2, ""), out
    assert err.startswith(f"modelab {command}: ") and err.count("\n") == 1 and "Traceback" not in err, err
    for word in words:
        assert str(word) in err, (word, err)
    return True


def test_the_tests_that_are_named_above_exist():
    named = re.findall(r"(test_\w+)::(test_\w+)$", __doc__, re.M)
    assert len(named) == sum("::" in line for line in __doc__.splitlines()) > 20
    assert not [f"{file}::{test}" for file, test in named
                if f"def {test}(" not in Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8")]


# Folders of pictures

def test_f1_pictures_of_two_sizes_in_one_folder(audit, tmp_path):
    some = [Image.fromarray(x).resize((12, 12)) for x in SCANS[MADE[:20]]]
    pictures(pictures(tmp_path / "made", some), SCANS[MADE[20:]], start=21)
    is_sound(audit(tmp_path / "made"), "20 of 12×12", "resized to 8×8", "antialiased")


def test_f2_samples_larger_than_the_reference(audit, tmp_path):
    pictures(tmp_path / "made", np.kron(SCANS[MADE], np.ones((8, 8), np.uint8)))
    is_sound(audit(tmp_path / "made"), "64×64", "resized to 8×8")


def test_f3_rgb_files_of_a_grey_set(audit, tmp_path):
    is_sound(audit(pictures(tmp_path / "made", SCANS[MADE], mode="RGB")), "channels that are equal: taken as grey")


def test_f7_f8_sixteen_bits_keep_their_range(audit, tmp_path):
    deep = SCANS.astype(np.uint16) * 257
    is_sound(audit(pictures(tmp_path / "made", deep[MADE])), "16")
    x = open_samples(tmp_path / "made", progress=False)[torch.arange(120)]
    assert torch.allclose(x[:, 0], torch.tensor(SCANS[MADE]) / 255, atol=1e-6)


def test_f9_palettes_and_grey_with_alpha(audit, tmp_path):
    colours = [Image.fromarray(x).convert("P") for x in SCANS[MADE[:60]]]
    pictures(pictures(tmp_path / "made", colours), SCANS[MADE[60:]], mode="LA", start=61)
    is_sound(audit(tmp_path / "made"), "palette", "alpha")


def test_f6_shapes_that_stand_in_alpha_alone(audit, tmp_path):
    def sprites(x):
        return np.concatenate([np.full((*x.shape, 3), 255, np.uint8), x[..., None]], -1)
    one = np.repeat(SCANS[MADE[:1]], 120, 0)
    for name, x in (("train", SCANS[TRAIN]), ("test", SCANS[TEST]), ("made", SCANS[MADE]), ("stuck", one)):
        pictures(tmp_path / name, sprites(x))
    real = dict(reference=tmp_path / "train", holdout=tmp_path / "test")
    is_sound(audit(tmp_path / "made", **real), "alpha", "ground")
    status, out, _ = audit(tmp_path / "stuck", **real)
    assert status == 1 and "119 of 120 examples are equal" in out


def damaged(folder):
    """Four good pictures to one bad: a corrupt file, a truncated one and an empty one."""
    pictures(folder, SCANS[MADE])
    whole = (folder / "1.png").read_bytes()
    for i, content in ((200, b"no picture"), (201, whole[:len(whole) // 2]), (202, b"")):
        (folder / f"{i}.png").write_bytes(content)
    return folder


def test_f10_all_damaged_files_are_named_and_may_be_skipped(audit, shell, real, tmp_path):
    made = damaged(tmp_path / "made")
    is_refused(audit(made), "audit", "3 of 123", "200.png", "201.png", "202.png", "--skip-bad")
    is_refused(shell("compare", made, real / "made", "--reference", real / "train"), "compare", "3 of 123", "202.png")
    is_sound(audit(made, "--skip-bad"), "120 samples", "3 of 123", "200.png", "201.png", "202.png")


def test_f11_sub_folders_are_labels(audit, tmp_path):
    for digit in range(10):
        pictures(tmp_path / "train" / f"digit{digit}", SCANS[:900][DIGITS[:900] == digit][:40])
    pictures(tmp_path / "made", SCANS[900:][DIGITS[900:] != 3][:300])
    status, out, _ = audit(tmp_path / "made", reference=tmp_path / "train", holdout=pictures(tmp_path / "test", SCANS[1500:]))
    assert status == 1 and "sub-folders" in out and "digit3" in out.splitlines()[0]


def test_f12_suffixes_of_any_spelling(audit, tmp_path):
    pictures(pictures(tmp_path / "made", SCANS[MADE[:60]], ".tif"), SCANS[MADE[60:]], ".TIFF", start=61)
    is_sound(audit(tmp_path / "made"), "120 samples")
    assert len(open_samples(pictures(tmp_path / "jpeg", SCANS[:5], ".JPEG"), progress=False)) == 5


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_f14_labels_in_the_order_of_files_or_by_name(audit, real, tmp_path, kind):
    """Labels that belong to 1, 2, 10, … must not be taken in the order 1, 10, 2; the classes of the samples tell."""
    labels = tmp_path / f"labels.{kind}"
    if kind == "npy":
        np.save(labels, DIGITS[TRAIN])
    else:
        rows = [f"{i + 1}.png,{DIGITS[row]}" for i, row in enumerate(TRAIN)]
        labels.write_text("\n".join(["file,label", *sorted(rows)]))
    made = pictures(tmp_path / "made", SCANS[360:][DIGITS[360:] == 0][:100])
    report = tmp_path / "report.json"
    status, out, _ = audit(made, "--labels", labels, "--json", report)
    classes = json.loads(report.read_text())["classes"]
    assert status == 1 and classes["0"]["share"] > .9, classes
    assert "Order of the pictures: natural (1, 2, 10)" in out


# Arrays

RANGES = {"-1 to 1": lambda x: x / np.float32(127.5) - 1, "0 to 1": lambda x: x / np.float32(255), "0 to 255": lambda x: x.astype(np.float32)}


@pytest.mark.parametrize("kind", RANGES)
def test_f15_f16_ranges_are_told_apart(audit, tmp_path, kind):
    np.save(tmp_path / "train.npy", SCANS[TRAIN])
    np.save(tmp_path / "test.npy", SCANS[TEST])
    np.save(tmp_path / "made.npy", RANGES[kind](SCANS[MADE]))
    is_sound(audit(tmp_path / "made.npy", reference=tmp_path / "train.npy", holdout=tmp_path / "test.npy"),
             *(["[-1, 1]"] if kind == "-1 to 1" else []))


def test_f15_ranges_that_nobody_knows_are_said_before_the_verdict(shell, real, tmp_path):
    np.save(tmp_path / "a.npy", SCANS[MADE, None] * np.float32(40) - 999)
    np.save(tmp_path / "b.npy", SCANS[TEST, None])
    status, out, _ = shell("compare", tmp_path / "a.npy", tmp_path / "b.npy", "--reference", real / "train")
    assert status == 1 and "unlike ranges" in out.splitlines()[1] and out.count("unlike ranges") == 1


def test_f17_channels_last_against_channels_first(audit, tmp_path):
    rgb = np.stack([SCANS, SCANS // 2, 255 - SCANS], -1)
    np.save(tmp_path / "train.npy", rgb[TRAIN].transpose(0, 3, 1, 2))
    np.save(tmp_path / "test.npy", rgb[TEST].transpose(0, 3, 1, 2))
    np.save(tmp_path / "made.npy", rgb[MADE])
    is_sound(audit(tmp_path / "made.npy", reference=tmp_path / "train.npy", holdout=tmp_path / "test.npy"), "channels")


def test_f19_an_npz_with_labels_in_it(audit, tmp_path):
    np.savez(tmp_path / "train.npz", SCANS[:600], labels=[f"digit {d}" for d in DIGITS[:600]])
    np.savez(tmp_path / "made.npz", SCANS[600:1200][DIGITS[600:1200] != 5])
    np.save(tmp_path / "test.npy", SCANS[1200:])
    status, out, _ = audit(tmp_path / "made.npz", reference=tmp_path / "train.npz", holdout=tmp_path / "test.npy")
    assert status == 1 and "digit 5" in out.splitlines()[0]


@pytest.mark.parametrize("name, text", [("l.txt", "\n"), ("l.csv", "\n"), ("l.json", None)])
def test_f20_labels_are_words_in_any_file(audit, real, tmp_path, name, text):
    words = ["even" if d % 2 == 0 else "odd" for d in DIGITS[TRAIN]]
    (tmp_path / name).write_text(json.dumps(words) if text is None else text.join(words))
    made = pictures(tmp_path / "made", SCANS[360:][DIGITS[360:] % 2 == 1][:120])
    status, out, _ = audit(made, "--labels", tmp_path / name)
    assert status == 1 and "even" in out


def test_f23_a_list_of_batches(audit, real, tmp_path):
    torch.save(list(torch.tensor(SCANS[MADE, None]).split(32)), tmp_path / "made.pt")
    is_sound(audit(tmp_path / "made.pt"), "120 samples")


def people(seed, n=200, jobs=("cook", "nurse", "smith", "pilot")):
    """A table of people: units that differ by a factor of ten thousand, and a column of words."""
    rng = np.random.default_rng(seed)
    rows = zip(rng.normal(40, 12, n).round(1), rng.normal(40_000, 15_000, n).round(), rng.choice(jobs, n))
    return "\n".join(["age,income,job", *(f"{age},{income},{job}" for age, income, job in rows)])


def test_f26_tables_with_words_and_unlike_units(audit, tmp_path):
    """A job that is never made must not drown in the incomes."""
    for name, text in (("train", people(0)), ("test", people(1)), ("made", people(2)), ("lost", people(3, jobs=("cook", "nurse", "smith")))):
        (tmp_path / f"{name}.csv").write_text(text)
    real = dict(reference=tmp_path / "train.csv", holdout=tmp_path / "test.csv")
    is_sound(audit(tmp_path / "made.csv", **real), "standardised")
    assert audit(tmp_path / "lost.csv", **real)[0] == 1


def test_f29_flat_rows_against_pictures(audit, tmp_path):
    np.save(tmp_path / "made.npy", SCANS[MADE].reshape(120, 64))
    is_sound(audit(tmp_path / "made.npy"), "rows of 64 numbers were read as pictures (1, 8, 8)")


def test_f32_a_zip_with_dataset_json(audit, real, tmp_path):
    archive, labels = tmp_path / "train.zip", []
    with zipfile.ZipFile(archive, "w") as file:
        for i, digit in enumerate(DIGITS[TRAIN]):
            file.write(real / "train" / f"{i + 1}.png", f"00000/img{i:08}.png")
            labels.append([f"00000/img{i:08}.png", int(digit)])
        file.writestr("dataset.json", json.dumps({"labels": labels}))
    report = tmp_path / "report.json"
    is_sound(audit(real / "made", "--json", report, reference=archive, holdout=real / "test"), "dataset.json")
    assert len(json.loads(report.read_text())["classes"]) == 10


# What is said of a generator

def test_g1_a_lost_kind_and_copies(audit, tmp_path):
    """No fours and 5 % copies: the first sentence leads with the mass of the group; copies and the group are named by file."""
    known, new, rest = np.split(np.arange(len(SCANS)), 3)
    made = np.concatenate([rest[DIGITS[rest] != 4][:500], known[DIGITS[known] != 4][:26]])
    for name, rows in (("train", known), ("test", new), ("made", made)):
        pictures(tmp_path / name, SCANS[rows])
    report = tmp_path / "report.json"
    status, out, _ = audit(tmp_path / "made", "--json", report, "--out", tmp_path / "report.html",
                           reference=tmp_path / "train", holdout=tmp_path / "test")
    found = json.loads(report.read_text())
    group = found["missing kinds"][0]
    digits = [DIGITS[known[int(e["file"].removesuffix(".png")) - 1]] for e in group["examples"]]
    assert status == 1 and "\nMissing: a group holding" in out and np.mean(np.array(digits) == 4) > .7
    assert abs(group["share"] - .1) < .04 and group["p"] <= .05
    copied = {e["file"]: e["source"]["file"] for e in found["examples"]["copied"] if e["exact"]}
    assert len(copied) == 26 and all(int(name.removesuffix(".png")) > 500 for name in copied)
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in [*list(copied)[:5], *list(copied.values())[:5], group["examples"][0]["file"]])


def test_collapses_that_the_first_file_used_to_hide(audit, tmp_path):
    """One grey file in a set of colours, and a generator that shows one hue."""
    hues = np.random.default_rng(0).uniform(.2, 1, (360, 3))
    colour = (SCANS[:360, ..., None] * hues[:, None, None]).astype(np.uint8)
    for name, x in (("train", colour[:120]), ("test", colour[120:240]), ("made", colour[240:])):
        pictures(pictures(tmp_path / name, SCANS[400:401]), x, start=2)
    one_hue = (SCANS[240:360, ..., None] * hues[:1, None]).astype(np.uint8)
    pictures(pictures(tmp_path / "stuck", SCANS[400:401]), one_hue, start=2)
    real = dict(reference=tmp_path / "train", holdout=tmp_path / "test")
    is_sound(audit(tmp_path / "made", **real))
    assert audit(tmp_path / "stuck", **real)[0] == 1


def test_a_collapse_in_sixteen_bits(audit, tmp_path):
    deep = SCANS.astype(np.uint16) * 257
    status, out, _ = audit(pictures(tmp_path / "made", np.repeat(deep[MADE[:1]], 120, 0)))
    assert status == 1 and "119 of 120 examples are equal" in out
    assert len(open_samples(pictures(tmp_path / "all", deep[MADE]), progress=False)[torch.arange(120)].unique(dim=0)) == 120


def test_copies_that_were_moved_by_a_pixel(audit, tmp_path):
    """Three in ten samples are training scans, one pixel further to the right."""
    known, new, rest = np.split(np.arange(900), 3)
    moved = np.pad(SCANS[known[:90]], ((0, 0), (0, 0), (1, 0)))[..., :-1]
    for name, x in (("train", SCANS[known]), ("test", SCANS[new]), ("made", np.concatenate([SCANS[rest[:210]], moved]))):
        pictures(tmp_path / name, x)
    report = tmp_path / "report.json"
    status, out, _ = audit(tmp_path / "made", "--json", report, reference=tmp_path / "train", holdout=tmp_path / "test")
    pairs = [e for e in json.loads(report.read_text())["examples"]["transformed"] if int(e["file"][:-4]) > 210]
    assert status == 1 and "transformed copies" in out and len(pairs) >= 10
    assert np.mean([int(e["source"]["file"][:-4]) == int(e["file"][:-4]) - 210 for e in pairs]) > .9


def test_what_is_too_small_to_be_seen_is_said(audit, tmp_path):
    """A class of 2 % is lost: a sound verdict names the smallest loss that would have been seen, which is larger."""
    x = 8 * torch.randn(50, 8, generator=seeded())[torch.arange(900) % 50] + torch.randn(900, 8, generator=seeded(1))
    kind = torch.arange(900) % 50
    for name, rows in (("train", kind[:300] >= 0), ("test", kind[300:600] >= 0), ("made", kind[600:] != 7)):
        start = {"train": 0, "test": 300, "made": 600}[name]
        np.save(tmp_path / f"{name}.npy", x[start:start + 300][rows].numpy())
    report = tmp_path / "report.json"
    status, out, _ = audit(tmp_path / "made.npy", "--json", report, reference=tmp_path / "train.npy", holdout=tmp_path / "test.npy")
    seen = json.loads(report.read_text())["smallest seen"]["lost"]
    assert status == 0 and seen > .02 and f"holds {seen:.1%}" in out


# Bad input

COMMANDS = {"audit": ["audit", "made"], "compare": ["compare", "made", "made2"]}


@pytest.fixture(params=COMMANDS)
def ask(request, shell, tmp_path, monkeypatch):
    """Runs one of the two commands on points in a folder of its own; what is refused says so in one sentence."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("made", "made2", "train", "test")):
        np.save(tmp_path / f"{name}.npy", torch.rand(60, 1, 6, 6, generator=seeded(i)).numpy())
    (tmp_path / "own_features.py").write_text(
        "import torch\ndef nan(x):\n    return x.flatten(1) * float('nan')\ndef constant(x):\n    return torch.ones(len(x), 4)\n"
        "def width(x, seen=[]):\n    seen.append(1)\n    return torch.rand(len(x), 3 + len(seen))\ndef fewer(x):\n    return x.flatten(1)[1:]\n"
        "def words(x):\n    return 'features'\ndef channels(x):\n    return torch.nn.Conv2d(3, 4, 3)(x)\ndef end(x):\n    raise SystemExit('usage')\n")

    def run(*more, name=None, reference="train.npy"):
        command, *samples = COMMANDS[request.param]
        samples = [f"{s}.npy" for s in samples]
        if name is not None:
            samples[0] = name
        return shell(command, *samples, "--reference", reference, *more)
    run.command = request.param
    return run


@pytest.mark.parametrize("name, says", [("nan", "features: expected finite numbers, got NaN"), ("constant", "the same for all"), ("width", "per picture as before, got"),
                                        ("fewer", "60 rows, one per picture, got 59"), ("words", "got str"), ("channels", "RuntimeError: Given groups=1"),
                                        ("end", "SystemExit: usage"), ("absent", "no attribute 'absent'")])
def test_bad_features(ask, name, says):
    is_refused(ask("--features", f"own_features:{name}"), ask.command, says)


@pytest.mark.parametrize("option", ["--out", "--json"])
@pytest.mark.parametrize("path", ["no/report", ".", "train.npy/report"])
def test_reports_that_cannot_be_written(ask, tmp_path, option, path):
    before = sorted(tmp_path.iterdir())
    is_refused(ask(option, path), ask.command, f"{option}: ")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_locked(ask, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    if not os.access(tmp_path / "locked", os.W_OK):  # root may write everywhere
        is_refused(ask("--out", "locked/report"), ask.command, "--out: ")


def test_a_folder_with_one_picture(ask, tmp_path):
    pictures(tmp_path / "one", SCANS[:1])
    is_refused(ask(name="one"), ask.command, "one", "at least two")
    is_refused(ask(reference="one"), ask.command, "one", "at least two")


def test_a_reference_without_spread(ask, tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((60, 1, 6, 6), np.float32))
    is_refused(ask(reference="flat.npy"), ask.command, "equal")


def test_values_that_are_no_numbers(ask, tmp_path):
    x = np.ones((60, 1, 6, 6), np.float32)
    x[7] = np.nan
    np.save(tmp_path / "bad.npy", x)
    is_refused(ask(name="bad.npy"), ask.command, "NaN or infinity in 1 of 60")


@pytest.mark.parametrize("content", [[0, 1], ["a"] * 61, list(range(59))], ids=len)
def test_labels_that_do_not_match(shell, tmp_path, content):
    np.save(tmp_path / "x.npy", torch.rand(60, 3, generator=seeded()).numpy())
    (tmp_path / "labels.json").write_text(json.dumps(content))
    is_refused(shell("audit", tmp_path / "x.npy", "--reference", tmp_path / "x.npy", "--labels", tmp_path / "labels.json"),
               "audit", len(content), 60)


class Trap:
    """A pickle of it would end the process that loads it."""

    def __reduce__(self):
        return os._exit, (7,)


def disguises(folder):
    """Pickles as .npy, .npz, .pt and under the names of other kinds of files."""
    objects = np.array([Trap()] * 60, dtype=object)
    np.save(folder / "objects.npy", objects, allow_pickle=True)
    np.savez(folder / "objects.npz", objects)
    np.savez(folder / "member.npz", SCANS[:60], labels=objects)
    torch.save({"x": torch.rand(60, 1, 6, 6), "code": Trap()}, folder / "reduce.pt")
    torch.save(Trap(), folder / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("p.png", "p.csv", "p.npy", "p.zip", "p.safetensors", "p.pkl"):
        (folder / name).write_bytes(pickle.dumps([Trap()]))
    pictures(folder / "with-a-pickle", SCANS[:3])
    (folder / "with-a-pickle" / "4.png").write_bytes(pickle.dumps(Trap()))
    return ["objects.npy", "objects.npz", "member.npz", "reduce.pt", "old.pth", "p.png", "p.csv", "p.npy", "p.zip",
            "p.safetensors", "p.pkl", "with-a-pickle"]


def test_pickles_in_any_disguise(ask, tmp_path):
    """A refused file did not end this process, so nothing of it was run."""
    for name in disguises(tmp_path):
        for answer in (ask(name=name), ask(reference=name)):
            is_refused(answer, ask.command, name)
            assert "allow_pickle" not in answer[2]  # no advice to run it


def test_a_pickle_is_no_label_and_no_baseline(shell, tmp_path):
    np.save(tmp_path / "x.npy", torch.rand(60, 3, generator=seeded()).numpy())
    np.save(tmp_path / "l.npy", np.array([Trap()] * 60, dtype=object), allow_pickle=True)
    (tmp_path / "l.txt").write_bytes(pickle.dumps([Trap()] * 60))
    (tmp_path / "b.json").write_bytes(pickle.dumps({"findings": Trap()}))
    words = ["audit", tmp_path / "x.npy", "--reference", tmp_path / "x.npy"]
    for option, name in (("--labels", "l.npy"), ("--labels", "l.txt"), ("--baseline", "b.json")):
        is_refused(shell(*words, option, tmp_path / name), "audit", name)


def test_a_tensor_file_of_a_network_is_no_set_of_samples(ask, tmp_path):
    save_file({"weight": torch.rand(4, 3), "bias": torch.rand(4)}, tmp_path / "net.safetensors")
    is_refused(ask(name="net.safetensors"), ask.command, "net.safetensors")
