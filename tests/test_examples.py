"""The scripts in examples/: each runs at a small size, writes its report, and gives the same bits for the same seed."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from run_notebooks import ROOT

FOLDER = ROOT / "examples"
SCRIPTS = ["dcgan", "wgan_gp", "bigan", "conditional_gan", "few_labels", "match_domains", "flow_matching", "table_gan"]
PAPERS = {"lipschitz": ("folder_gan", "--method lipschitz"), "ground_metric": ("folder_gan", "--method ground_metric"),
          "attention": ("folder_gan", "--method attention"), "likelihood": ("likelihood", ""), "lines": ("interpolate", ""),
          "histogram": ("interpolate", "--prior histogram"), "currents": ("currents", "")}
SMALL = "--samples 60 --steps"  # an audit of few samples is quick
STEPS = dict(dcgan=11, wgan_gp=10, bigan=10, conditional_gan=25, few_labels=25, match_domains=25, flow_matching=50, table_gan=25)  # one look each, or two
RUNNER = """
import contextlib, io, json, runpy, sys, traceback
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
if sys.argv[2:] == ["training only"]:
    import common, modelab
    modelab.audit = common.write = lambda *args, **kw: None
for script, *args in json.load(sys.stdin):
    sys.argv, said, status = [script, *args], io.StringIO(), 0
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as stop:
            status = stop.code
        except Exception:
            status = traceback.format_exc()
    print(json.dumps([status, said.getvalue()]))
"""


def run(jobs: list[tuple[str, Path, str]], *how: str, cwd: Path = ROOT) -> list[tuple[object, str]]:
    """Scripts, one after the other, in one process of their own, which imports torch once: status and output of each."""
    lines = [[str(FOLDER / f"{name}.py"), "--out", str(out), *more.split()] for name, out, more in jobs]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", RUNNER, str(FOLDER), *how], input=json.dumps(lines), text=True,
                          capture_output=True, cwd=cwd, timeout=600)
    assert not done.returncode, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> dict[str, tuple[Path, object, str]]:
    """All scripts: the folder, the status and the output of each."""
    root = tmp_path_factory.mktemp("first")
    found = run([(name, root / name, f"{SMALL} {STEPS[name]}") for name in SCRIPTS])
    return {name: (root / name, *one) for name, one in zip(SCRIPTS, found, strict=True)}


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> dict[str, Path]:
    """All scripts in the opposite order and without an audit, and more ways to call some; the folder of each."""
    root = tmp_path_factory.mktemp("second")
    more = {"by hand": ("wgan_gp", "10 --by-hand"), "no penalty": ("bigan", "10 --weight 0"),
            "by frequency": ("table_gan", "25 --by-frequency"), "random labels": ("few_labels", "25 --random"), "no pairs": ("match_domains", "25 --pairs 0"), "other seed": ("flow_matching", "50 --seed 1")}
    jobs = {name: (name, f"{STEPS[name]}") for name in reversed(SCRIPTS)} | more
    found = run([(script, root / name, f"{SMALL} {args}") for name, (script, args) in jobs.items()], "training only")
    assert [status for status, _ in found] == [0] * len(jobs), found
    return {name: root / name for name in jobs}


def made(folder: Path) -> np.ndarray | str:
    """What a script made: pictures, or the text of a table."""
    table = folder / "samples.csv"
    return table.read_text() if table.exists() else torch.load(folder / "samples.pt").numpy()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_ends_and_writes_its_report(first, name):
    folder, status, said = first[name]
    assert status == 0, status
    assert "last look at step" in said and re.search(r"The samples cover [\d.]+% of the real data", said)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "distance to closest record" in page
    assert (folder / "monitor.png").read_bytes()[1:4] == b"PNG"
    assert len((folder / "monitor/looks.csv").read_text().splitlines()) > 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_seed_gives_the_same_bits(first, second, name):
    one, two = made(first[name][0]), made(second[name])
    assert one == two if isinstance(one, str) else one.tobytes() == two.tobytes()


def test_the_penalty_is_the_one_written_by_hand(first, second):
    """After 10 steps of G and 50 of the critic: two ways to add up in float32."""
    assert abs(made(first["wgan_gp"][0]) - made(second["by hand"])).max() < 1e-3


def test_options_change_what_is_made(first, second):
    assert "within each label" in first["conditional_gan"][2] and "pilots" in first["table_gan"][2]
    assert "70 labels known" in first["few_labels"][2] and "within each label" in first["few_labels"][2]
    assert len(made(second["flow_matching"])) == 60
    assert "30 pairs; 400 held out" in first["match_domains"][2] and first["match_domains"][2].count("the same digit: translated") == 6
    for name, other in (("flow_matching", "other seed"), ("bigan", "no penalty"), ("table_gan", "by frequency"),
                        ("few_labels", "random labels"), ("match_domains", "no pairs")):
        assert np.any(made(second[name]) != made(second[other])), other


def test_mnist_is_read_from_its_files(tmp_path):
    pictures, labels = torch.arange(5 * 784).reshape(5, 28, 28).byte(), [3, 1, 4, 1, 5]
    for name, part in (("train", slice(0, 3)), ("t10k", slice(3, 5))):
        n = len(pictures[part])
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(
            bytes([0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 28, 0, 0, 0, 28]) + pictures[part].numpy().tobytes())
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, n, *labels[part]]))
    train, y, held, z = runpy.run_path(str(FOLDER / "common.py"))["digits"](28, str(tmp_path))
    assert train.shape == (3, 1, 28, 28) and (*y, *z) == (*labels,)
    assert torch.equal(((torch.cat([train, held]) + 1) * 127.5).round().byte()[:, 0], pictures)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short_and_somebody_elses_loop(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert not re.search(r"modelab\.(training|methods)|\bRun\(", text) and "Monitor(" in text and "audit(" in text


def test_the_table_names_every_script():
    named = re.findall(r"^\| \[`(\w+)\.py`\]\(\1\.py\)", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
    new = [*dict.fromkeys(script for script, _ in PAPERS.values()), "pr_curve"]
    assert named == SCRIPTS + new and {p.stem for p in FOLDER.glob("*.py")} == {*SCRIPTS, *new, "fill_table", "common"}
    assert all(len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 120 for name in new)


def test_domains_are_folders_and_pairs_are_files_of_one_name(tmp_path):
    from PIL import Image
    random, data = np.random.default_rng(0), tmp_path / "data"
    for folder, n in (("photo", 70), ("sketch", 66)):
        (data / folder).mkdir(parents=True)
        for name in [f"both{k}" for k in range(28)] + [f"{folder}{k}" for k in range(n)]:
            Image.fromarray(random.integers(0, 256, (12, 12), dtype=np.uint8)).save(data / folder / f"{name}.png")
    (found,) = run([("match_domains", tmp_path / "out", f"--samples 60 --steps 2 --pairs 5 --size 6 --data {data}")])
    assert found[0] == 0, found[0]
    assert "70 photo, 66 sketch without pairs; 5 pairs; 23 held out" in found[1] and "held out, photo to sketch" in found[1]
    assert "the same digit" not in found[1] and torch.load(tmp_path / "out/samples.pt").shape == (60, 1, 6, 6)


def test_a_table_is_filled_and_classified(tmp_path):
    """The script without a loop of its own: an estimator of scikit-learn."""
    found = run([("fill_table", tmp_path / name, f"{SMALL} 20 --seed {seed}") for name, seed in (("a", 0), ("again", 0), ("b", 1))])
    assert [status for status, _ in found] == [0] * 3, found
    said = found[0][1]
    assert len(re.findall(r"^(?:HexaGAN|gradient boosting): F1 on held-out rows [\d.]+$", said, re.M)) == 2 and "real data" in said
    filled = [np.loadtxt(tmp_path / name / "filled.csv", str, delimiter=",") for name in ("a", "again", "b")]
    assert filled[0].shape == (1501, 6) and not (filled[0] == "").any()
    assert np.array_equal(filled[0], filled[1]) and not np.array_equal(filled[0], filled[2])
    assert (tmp_path / "a/report.html").exists() and len((tmp_path / "a/samples.csv").read_text().splitlines()) == 61


def pictures(folder: Path, counts: dict[str, int], channels: int = 1) -> Path:
    """A folder with a sub-folder for each name, of 12×12 pictures with a bright square at the class's own place."""
    from PIL import Image
    random = np.random.default_rng(0)
    for i, (name, n) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for k in range(n):
            x, at = random.integers(0, 99, (12, 12, channels), dtype=np.uint8), 4 * (i if name != "unlabelled" else k % 3)
            x[at:at + 4, at:at + 4] += 150
            Image.fromarray(x.squeeze()).save(folder / name / f"{k}.png")
    return folder


def test_few_labels_takes_a_folder_of_pictures(tmp_path):
    """Sub-folders are classes; `unlabelled` has all the others. Without it the script hides labels itself. Colours stay."""
    some = pictures(tmp_path / "some", dict(cat=7, dog=8, hen=9, unlabelled=150), channels=3)
    whole, one = pictures(tmp_path / "whole", dict(cat=60, dog=50, hen=70)), pictures(tmp_path / "one", dict(cat=9, unlabelled=9))
    found = run([("few_labels", tmp_path / data.name / "out", f"{SMALL} 25 --size 12 --data {data}") for data in (some, whole, one)])
    assert [status for status, _ in found[:2]] == [0, 0] and "a sub-folder of pictures for each class" in found[2][0], found
    assert "24 labels known, of cat, dog, hen; 120 filled in\n" in found[0][1] and "within each label" not in found[0][1]
    right = re.search(r"21 labels known, of cat, dog, hen; 123 filled in; of all 144 labels now ([\d.]+)% are right", found[1][1])
    assert float(right[1]) > 95 and "within each label" in found[1][1]
    assert [torch.load(tmp_path / data.name / "out/samples.pt").shape for data in (some, whole)] == [(60, 3, 12, 12), (60, 1, 12, 12)]


def test_fill_table_takes_a_table_of_yours(tmp_path):
    """Gaps, a column of names, a text that occurs once, and rows without a label."""
    random, n = np.random.default_rng(0), 400
    kind = random.integers(0, 2, n)
    rows = [[f"person {i}", f"{50 + 9 * k + random.normal():.1f}" if i % 9 else "", "once" if i == 5 else ("red", "blue", "")[i % 3],
             "" if i % 4 == 1 else ("no", "yes")[k]] for i, k in enumerate(kind)]
    (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in [["name", "weight", "colour", "member"], *rows]) + "\n")
    found = run([("fill_table", tmp_path / "out", f"{SMALL} 200 --data {tmp_path / 't.csv'} --target {t}") for t in ("member", "age")])
    assert found[0][0] == 0, found
    assert found[1][0] == "--target: expected one of name, weight, colour, member, got 'age'"
    assert "name is left out: it has 400 different texts" in found[0][1] and "real data" in found[0][1]
    f1 = re.findall(r"^(?:HexaGAN|gradient boosting): F1 on held-out rows ([\d.]+)$", found[0][1], re.M)
    assert len(f1) == 2 and min(map(float, f1)) > .8
    filled = np.loadtxt(tmp_path / "out/filled.csv", str, delimiter=",")
    assert filled.shape == (n + 1, 3) and [*filled[0]] == ["weight", "colour", "member"] and not (filled == "").any()
    for i, (_, *row) in enumerate(rows):
        assert all(was in ("", now) for was, now in zip(row, filled[i + 1])), i


@pytest.fixture(scope="module")
def of_papers(tmp_path_factory) -> dict[str, tuple[Path, object, str]]:
    """The scripts of single papers on a folder of coloured pictures, each in a run that is stopped and started again."""
    root = tmp_path_factory.mktemp("papers")
    photos, others = pictures(root / "photos", {"all": 60}, channels=3), pictures(root / "others", {"more": 15}, channels=3)
    extra = {"likelihood": f"--score {others}"}
    jobs = [(script, root / name, f"{how} --samples 60 --size 12 --data {photos} {extra.get(name, '')} --steps {steps}")
            for name, (script, how) in PAPERS.items() for steps in (13, 26)]
    jobs += [("folder_gan", root / "whole", f"--samples 60 --size 12 --data {photos} --steps 26"),
             ("folder_gan", root / "lipschitz", f"--samples 60 --size 12 --data {photos} --steps 1 --method wgan")]
    found = run(jobs)
    assert found.pop()[0] == "--method: expected lipschitz, ground_metric or attention, got 'wgan'"
    assert [status for status, _ in found] == [0] * len(found), found
    return {name: (root / name, *one) for name, one in zip([*PAPERS, "whole"], [*found[1:-1:2], found[-1]], strict=True)}


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_trains_on_a_folder_and_goes_on_where_it_stopped(of_papers, name):
    folder, _, said = of_papers[name]
    assert "goes on from step 13" in said and "[26/26]" in said and "last look at step 25" in said
    assert torch.load(folder / "samples.pt").shape == (60, 3, 12, 12) and "real data" in said
    for file in ("report.html", "monitor.png", "samples.png", "checkpoint.pt"):
        assert (folder / file).stat().st_size > 1000, file
    assert not [p for p in folder.iterdir() if p.name.startswith(".")], "no part of a file is left"


def test_a_stopped_run_gives_the_bits_of_a_whole_one(of_papers):
    one, two = (torch.load(of_papers[name][0] / "samples.pt") for name in ("lipschitz", "whole"))
    assert torch.equal(one, two)
    assert not torch.equal(one, torch.load(of_papers["ground_metric"][0] / "samples.pt"))


def test_each_paper_says_and_draws_what_is_its_own(of_papers):
    rows = (of_papers["likelihood"][0] / "scores.csv").read_text().splitlines()
    scores = [float(row.split(",")[1]) for row in rows[1:]]
    assert len(scores) == 15 and scores == sorted(scores) and rows[1].startswith("more/")
    assert "minus brightness: scored" in of_papers["likelihood"][2]
    for name in ("lines", "histogram"):
        assert "middles of the straight line" in of_papers[name][2] and (of_papers[name][0] / "paths.png").exists()
    assert "turn: cosine" in of_papers["currents"][2] and (of_papers["currents"][0] / "directions.png").exists()


def test_what_is_not_allowed_is_refused_in_one_sentence(tmp_path):
    few, enough = pictures(tmp_path / "few", {"all": 9}), pictures(tmp_path / "enough", {"all": 50})
    jobs = {(name, f"--size {size}"): f"--size: expected a positive multiple of 4, got {size}"
            for name in ("folder_gan", "interpolate", "currents") for size in (18, 0)}
    jobs |= {("folder_gan", "--method wgan"): "--method: expected lipschitz, ground_metric or attention, got 'wgan'",
             ("interpolate", "--prior flat"): "--prior: expected normal or histogram, got 'flat'",
             ("currents", "--along up"): "--along: expected turn, grow or down, got 'up'",
             ("likelihood", f"--data {enough} --score {few} {SMALL} 1"): 0}
    jobs |= {(name, f"--data {few} --score {few}" if name == "likelihood" else f"--data {few}"):
             f"--data: expected 50 pictures or more, got 9 in {few}" for name in ("likelihood", "folder_gan", "interpolate", "currents")}
    found = run([(name, tmp_path / "out", how) for name, how in jobs])
    assert [status for status, _ in found] == [*jobs.values()]
    assert not re.search(r"\bnan\b", found[9][1])


def test_each_way_of_a_script_has_a_folder_of_its_own(tmp_path):
    """A run without --out writes where its --help says, with the method in place of the capital letters."""
    ways = {"folder_gan": ("method", "lipschitz", "ground_metric", "attention"), "interpolate": ("prior", "normal", "histogram"),
            "currents": ("along", "turn", "down")}
    jobs = [(name, Path("runs", name, of.upper()), f"--{of} {way} {SMALL} 1") for name, (of, *each) in ways.items() for way in each]
    helps = [(name, Path("none"), "--help") for name in ways]
    found = run(jobs + helps, "training only", cwd=tmp_path)
    assert [status for status, _ in found] == [0] * len(found), found
    for (name, *_), (_, said) in zip(helps, found[-3:], strict=True):
        assert f"(default runs/{name}/{ways[name][0].upper()})" in " ".join(said.split()) and "CPU only" in said
    assert {p.parent.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("samples.pt")} == {
        f"runs/{name}/{way}" for name, (_, *each) in ways.items() for way in each}


def test_two_folders_give_a_curve(tmp_path):
    """Pictures of the same kind have the curve of the floor; others have less area."""
    a, b = pictures(tmp_path / "a", {"all": 80}), pictures(tmp_path / "b", {"x": 1, "all": 40})
    jobs = [("pr_curve", tmp_path / "same", f"--real {a} --made {a} --size 12"), ("pr_curve", tmp_path / "other", f"--real {a} --made {b} --size 12"),
            ("pr_curve", tmp_path / "none", f"--real {a}"), ("pr_curve", tmp_path / "steps", "--steps 5")]
    found = run(jobs)
    assert [status for status, _ in found] == [0, 0, "--real and --made: expected two folders, or none", 2], found
    area = [[float(v) for v in re.findall(r"area ([\d.]+)", said)] for _, said in found[:2]]
    assert area[0][0] > .8 * area[0][1] and area[1][0] < .5 * area[1][1]
    rows = (tmp_path / "same/curve.csv").read_text().splitlines()
    assert rows[0] == "curve,recall,precision" and {row.split(",")[0] for row in rows[1:]} == {"made", "floor"}
    assert (tmp_path / "same/curve.png").read_bytes()[1:4] == b"PNG"
