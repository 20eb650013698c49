"""CONTRIBUTING.md to the letter: a throwaway game is added in a clone, and everything knows it without another edit."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import new_chapter
import pytest

if not shutil.which("make") or not shutil.which("git"):
    pytest.skip("make or git is not on this machine", allow_module_level=True)

GENERATED = {"modelab/_index.py", "modelab/_modidx.py", "modelab/__init__.pyi", "nbs/index.ipynb", "nbs/_text/index.py",
             "LEDGER.md"}


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory) -> Path:
    """A commit of the working tree, cloned, with what is tracked and what is not ignored."""
    top = tmp_path_factory.mktemp("contributing") / "modelab"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True,
                            capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, top / name)
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm start"):
        subprocess.run(["git", *command.split()], cwd=top, check=True)
    return top


def sh(line: str, cwd: Path) -> str:
    """Run a shell line of CONTRIBUTING.md in the clone with this Python; returns its output."""
    binary = Path(sys.executable).parent
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "MODELAB", "PYTEST", "PYTHON"))}
    env |= {"PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"}
    line = line.replace("make ", f"make BIN={binary} STAMP= ", 1) if line.startswith("make ") else line
    line = line.replace("modelab ", f"{sys.executable} -m modelab ", 1) if line.startswith("modelab ") else line
    done = subprocess.run(line, shell=True, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def shell_lines(text: str) -> list[str]:
    """The commands of the section on adding a method."""
    section = text[text.index("## Add a method"):text.index("## Rules")]
    return [line.strip().split("   #")[0] for block in re.findall(r"```sh\n(.*?)```", section, re.S)
            for line in block.splitlines() if line.strip()]


def snippet(text: str, section: str = "## Add a method") -> str:
    """The code that a section of CONTRIBUTING.md shows."""
    block = re.search(r"```python\n(.*?)```", text[text.index(section):], re.S)[1]
    return "\n".join(line.removeprefix("   ") for line in block.splitlines())


def write_loss(twin: Path, code: str) -> None:
    """Put the shown loss where the scaffold has its own."""
    text = twin.read_text(encoding="utf-8")
    start = text.index("@checked\ndef lsgan_discriminator_loss(")
    twin.write_text(text[:start] + code.rstrip() + "\n\n" + text[text.index("# %%", start):], encoding="utf-8")


TEST = """
import torch
from modelab.methods.lsgan import lsgan_discriminator_loss

def test_closed_form():
    assert lsgan_discriminator_loss(torch.full((4,), 2.), torch.full((4,), -.5)).item() == .625
"""


@pytest.fixture(scope="module")
def added(clone) -> Path:
    """The clone after every step of CONTRIBUTING.md but the last, which is all tests."""
    text = (clone / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = shell_lines(text)
    (clone / "tests/test_lsgan.py").write_text(TEST)
    assert [line.split()[:2] for line in lines] == [["make", "chapter"], ["make", "check"], ["make", "run"],
                                                    ["modelab", "train"], ["make", "test"]]
    sh(lines[0], clone)
    write_loss(clone / "nbs/_text/1_game/08_lsgan.py", snippet(text))
    for line in lines[1:4]:
        sh(re.sub(r"--steps \d+", "--steps 5", line), clone)
    return clone


TELL = """
import contextlib, io, json, sys, traceback
said = {}
for name, code in json.load(open(sys.argv[1])).items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(code, {"__name__": "__main__"})
        except Exception:
            traceback.print_exc(file=out)
    said[name] = out.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(added) -> dict[str, str]:
    """What each of `CODE` prints in the clone; one process for all, since importing torch takes seconds."""
    text = (added / "CONTRIBUTING.md").read_text(encoding="utf-8")
    codes = CODE | {"claim": CLAIM.format(snippet(text, "## State a result"))}
    (added.parent / "codes.json").write_text(json.dumps(codes))
    (added.parent / "tell.py").write_text(TELL)
    return json.loads(sh(f"MODELAB_FAST=1 {sys.executable} {added.parent}/tell.py {added.parent}/codes.json", added))


def test_only_the_chapter_and_generated_files_changed(added):
    status = sh("git status --porcelain", added).splitlines()
    changed = {line[3:] for line in status}
    own = {"tests/test_lsgan.py", "modelab/methods/lsgan.py", "modelab/course/graders/lsgan.py", "nbs/1_game/08_lsgan.ipynb", "nbs/_text/1_game/08_lsgan.py"}
    assert own <= changed and changed <= own | GENERATED


def test_the_module_is_readable_and_has_the_loss(added):
    source = (added / "modelab/methods/lsgan.py").read_text(encoding="utf-8")
    assert "((real_logits - 1).square().mean(-1) + fake_logits.square().mean(-1)) / 2" in source


CLAIM = """
from modelab import Run, ring
from modelab.course.claims import steps
from modelab.methods.lsgan import Lsgan
{}
print(ours, theirs)
"""
CODE = {"the lab, the public names and the registry": """
from modelab import Lab
from modelab.core.registry import registered
import modelab
assert "lsgan" in registered("game") and modelab.Lsgan is registered("game")["lsgan"]
lab = Lab("lsgan", "ring", batch=16, samples=50).step(1)
lab.set("lr", 1e-4)
assert "lsgan" in lab.widget.controls["game"].options
""", "the fuzz tests": """
import sys
sys.path.insert(0, "tests")
import test_fuzz
assert "lsgan" in test_fuzz.GAME_NAMES
assert {f"methods.lsgan.lsgan_{player}_loss" for player in ("discriminator", "generator")} <= set(test_fuzz.TENSOR_NAMES)
""", "the leaderboard": """
from pathlib import Path
from modelab.training.leaderboard import read_board_file
board = Path("benchmarks/leaderboard.toml").read_text(encoding="utf-8")
assert "minimax" in board
path = Path("../board.toml")
path.write_text(board.replace("minimax", "lsgan"))
assert any(cell.job.game["name"] == "lsgan" for cell in read_board_file(path))
"""}


def test_the_shown_claim_is_code_that_runs(said):
    assert "over 8 seeds" in said["claim"]


@pytest.mark.parametrize("what", CODE)
def test_it_is_known_without_another_edit(said, what):
    assert said[what] == ""


def test_a_removed_chapter_takes_its_module_with_it(added, tmp_path):
    gone = tmp_path / "gone"
    shutil.copytree(added, gone, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    for name in ("nbs/1_game/08_lsgan.ipynb", "nbs/_text/1_game/08_lsgan.py"):
        (gone / name).unlink()
    recipe = sh("make -n export", gone).splitlines()
    assert [line.partition("data_scripts/")[2] for line in recipe] == ["run_notebooks.py --sync", "export.py", "ledger.py --write"]
    for script in ("export.py nbs/index.ipynb", "ledger.py --write"):  # one notebook here; test_repository exports all
        sh(f"{sys.executable} data_scripts/{script}", gone)
    assert not (gone / "modelab/methods/lsgan.py").exists() and not (gone / "modelab/course/graders/lsgan.py").exists()
    for name in ("modelab/_index.py", "nbs/index.ipynb", "LEDGER.md"):
        assert "lsgan" not in (gone / name).read_text(encoding="utf-8")


def test_index_and_tables_know_it(added):
    assert "1_game/08_lsgan.ipynb" in (added / "nbs/_text/index.py").read_text(encoding="utf-8")
    assert "nbs/1_game/08_lsgan.ipynb" in (added / "LEDGER.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [
    "07_class", "07_none", "07_true", "07_exception", "07_lab", "07_run", "07_ring", "07_f", "07_any", "07_networks", "07_torch",
    "07_steps", "07_dataclass", "07_game", "07_minimax", "07_coverage", "07_mnist", "٠7_lsgan", "08_lsgan_", "07_Lsgan", "07_8gan",
    "08_wasserstein", "01_lsgan", "../08_lsgan", ""])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(ValueError, match="NAME: "):
        new_chapter.scaffold(f"1_game/{name}")


def test_a_twin_without_its_notebook_stays(tmp_path, monkeypatch):
    (tmp_path / "nbs/1_game").mkdir(parents=True)
    (twin := tmp_path / "nbs/_text/1_game/08_other.py").parent.mkdir(parents=True)
    twin.write_text("text")
    monkeypatch.setattr(new_chapter, "ROOT", tmp_path)
    assert new_chapter.main(["1_game/08_lsgan"]) == 2 and new_chapter.main(["1_game/08_other"]) == 2
    assert twin.read_text() == "text"


def test_a_chapter_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "nbs/1_game").mkdir(parents=True)
    monkeypatch.setattr(new_chapter, "ROOT", tmp_path)  # where there is no export.py
    assert new_chapter.main(["1_game/08_lsgan"]) == 1 and "no chapter was made" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
