"""The trial of the copies: what it runs, what it notes, and where it refuses. The whole trial is no test: see CONTRIBUTING."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import copies  # noqa: E402
import try_copies  # noqa: E402


@pytest.fixture
def trial(tmp_path, monkeypatch) -> Path:
    """A trial of three copies, one that passes, one that fails, and one with a value that cannot be shown, in this environment."""
    def write(folder, repository, version, wheel):
        assert repository == try_copies.STAND_IN and wheel.name == "modelab-1-py3-none-any.whl"
        folder.mkdir(exist_ok=True)
        for name, code in (("a", "import os\nassert 'MODELAB_DATA' not in os.environ\nos.environ['MODELAB_FAST']"), ("b", "1 / 0"),
                           ("c", "class C:\n    def _repr_mimebundle_(self, **kw):\n        raise ValueError('no')\nC()")):
            nbformat.write(new_notebook(cells=[new_code_cell(code)]), folder / f"{name}.ipynb")
        return [folder / f"{name}.ipynb" for name in "abc"]

    (tmp_path / "modelab-1-py3-none-any.whl").touch()
    monkeypatch.setenv("MODELAB_DATA", "/nowhere")
    monkeypatch.setattr(try_copies, "write_copies", write)
    return tmp_path


def test_a_trial_notes_each_chapter_and_goes_on_where_it_stopped(trial, monkeypatch, capsys):
    log = trial / "tried.jsonl"
    log.touch()
    assert try_copies.try_all(trial, Path(sys.executable), [], fast=True) == ["b.ipynb", "c.ipynb"]
    first, second, third = map(json.loads, log.read_text().splitlines())
    assert (first["chapter"], first["error"]) == ("a.ipynb", "") and second["error"] == "ZeroDivisionError: division by zero"
    assert third["error"] == "ValueError: no"
    assert nbformat.read(trial / "copies/a.ipynb", as_version=4).cells[0].outputs[0]["data"]["text/plain"] == "'1'"
    monkeypatch.setattr(try_copies, "try_copy", lambda copy, python, env: {"seconds": 1, "error": ""})
    assert try_copies.try_all(trial, Path(sys.executable), [], fast=True) == [] and try_copies.passed(log) == {"a.ipynb", "b.ipynb", "c.ipynb"}
    assert len(log.read_text().splitlines()) == 5 and "FAILED  ZeroDivisionError" in capsys.readouterr().out


def test_an_environment_that_has_modelab_is_refused(trial):
    with pytest.raises(SystemExit, match="has a modelab already"):
        try_copies.try_all(trial, Path(sys.executable), [], fast=True)


def test_a_folder_in_the_checkout_is_refused(capsys):
    with pytest.raises(SystemExit):
        try_copies.main([str(ROOT / "build/trial")])
    assert "lies in the checkout" in capsys.readouterr().err


def test_the_command_is_read_as_it_is_documented(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(try_copies, "make_environment", lambda folder, python: Path(python))
    monkeypatch.setattr(try_copies, "try_all", lambda *args: asked.append(args) or ["a"] * (len(asked) > 1))
    words = next(line for line in try_copies.__doc__.splitlines() if "--fast" in line).split("#")[0].split()[2:]
    assert [try_copies.main([str(tmp_path), *words[1:]]) for _ in range(2)] == [0, 1]
    assert asked[0] == (tmp_path, Path("python3.13"), ["1.3"], True) and "failed: a" in capsys.readouterr().out


@pytest.mark.parametrize("said, error", [
    ("nbclient.exceptions.CellExecutionError: in a cell:\n1 / 0\n\x1b[0;31mValueError\x1b[0m: no\nmore", "ValueError: no"), ("torch.cuda.OutOfMemoryError: no", "torch.cuda.OutOfMemoryError: no"),
    ("Kernel died\n", "Kernel died"), ("", "")])
def test_the_error_is_found_in_what_a_run_says(said, error):
    assert try_copies.first_error(said) == error


def test_a_copy_for_a_trial_installs_the_local_wheel(tmp_path):
    path = ROOT / "nbs/index.ipynb"
    wheel = tmp_path / "modelab-1-py3-none-any.whl"
    book = json.loads(copies.copy_of(path.read_text("utf-8"), Path("index.ipynb"), "owner/name", "1", wheel))
    assert f'"modelab[colab] @ {wheel.as_uri()}"' in book["cells"][2]["source"]
    assert "owner/name" in book["cells"][1]["source"] and "owner/name" not in book["cells"][2]["source"]


def test_what_colab_brings_is_pinned_and_enough_for_the_package():
    from packaging.requirements import Requirement
    pins = {r.name: r for line in (ROOT / "docs/colab.txt").read_text("utf-8").splitlines() if line[0] != "#" for r in [Requirement(line)]}
    assert all(str(r.specifier).startswith("==") for r in pins.values())
    settings = copies.read_settings()
    for wanted in map(Requirement, (settings["requirements"] + " " + settings["colab_requirements"]).split()):
        assert wanted.specifier.contains(str(pins[wanted.name].specifier)[2:]), f"Colab has another {wanted.name}: the first cell would replace it"
