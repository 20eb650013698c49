"""Every stored chapter really ran, as committed, and is fit to read; the tool that runs chapters does what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import jupytext
import nbformat
import pytest
import run_notebooks
from ledger import headline
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import EVAL_FALSE, RAISES, ROOT, WIDGET, ChapterError, digest, notebooks

MEGABYTES = 1.5
MACHINE = re.compile(r"(?<![\w.~/-])/(?:root|work|home|Users|tmp|opt|usr|var)/[\w.]|\b0x[0-9a-f]{8,}\b")
CHAPTERS = pytest.mark.parametrize("path", notebooks() or [ROOT / "nbs/index.ipynb"], ids=lambda p: p.stem)


def not_run(nb: NotebookNode) -> list[str]:
    """Signs that the stored outputs do not come from one whole run of the stored code."""
    problems, count = [], 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        if EVAL_FALSE.search(cell.source):
            problems += [f"cell {index}: has outputs but is not evaluated"] * bool(cell.outputs)
            continue
        count += 1
        if cell.execution_count != count:
            problems.append(f"cell {index}: execution count {cell.execution_count}, expected {count}")
        failed = any(out.output_type == "error" for out in cell.outputs)
        if failed != bool(RAISES.search(cell.source)):
            problems.append(f"cell {index}: " + ("stored an error" if failed else "was to raise an error and did not"))
    if nb.metadata.get("modelab", {}).get("ran") != digest(nb):
        problems.append("the code is not the code that ran")
    return problems


@CHAPTERS
def test_chapter_really_ran(path):
    problems = not_run(nbformat.read(path, as_version=4))
    assert not problems[:3], f"make run CHAPTER={path.relative_to(ROOT / 'nbs').with_suffix('')}"


def ran(*cells: NotebookNode) -> NotebookNode:
    """A notebook that looks as if its cells had just run, for bad examples to be made of."""
    nb = new_notebook(cells=list(cells))
    for count, cell in enumerate(run_notebooks.code_cells(nb), 1):
        cell.execution_count = count
    nb.metadata["modelab"] = {"ran": digest(nb), "seconds": 1.0}
    return nb


def test_a_chapter_that_did_not_run_is_noticed():
    good = ran(new_code_cell("1"), new_markdown_cell("text"), new_code_cell("#| eval: false\n2"), new_code_cell("3"))
    assert not_run(good) == []
    good.cells[3].source = "4"
    assert not_run(good) == ["the code is not the code that ran"]
    nb = ran(new_code_cell("1"), new_code_cell("2"))
    nb.cells[1].execution_count = None
    assert not_run(nb) == ["cell 1: execution count None, expected 2"]
    failure = new_output("error", ename="ValueError", evalue="no", traceback=[])
    assert not_run(ran(new_code_cell("1", outputs=[failure]))) == ["cell 0: stored an error"]
    assert not_run(ran(new_code_cell("# NBVAL_RAISES_EXCEPTION\n1"))) == ["cell 0: was to raise an error and did not"]
    assert not_run(ran(new_code_cell("# NBVAL_RAISES_EXCEPTION\n1", outputs=[failure]))) == []


def texts(out: NotebookNode) -> str:
    """Everything in an output that a reader sees as text."""
    data = out.get("data", {})
    parts = [out.get("text", ""), *(str(v) for k, v in data.items() if k.startswith("text/") or k.endswith("+json"))]
    return "\n".join([*parts, *out.get("traceback", [])])


def unfit(nb: NotebookNode, size: int) -> list[str]:
    """What a committed notebook of `size` bytes must not hold: widget state, weight, traces of a machine."""
    problems = ["metadata.widgets"] * ("widgets" in nb.metadata)
    problems += [f"{size / 1e6:.1f} MB, the most is {MEGABYTES}"] * (size > MEGABYTES * 1e6)
    for index, cell in enumerate(nb.cells):
        for out in cell.get("outputs", []):
            problems += [f"cell {index}: widget view"] * (WIDGET in out.get("data", {}))
            problems += [f"cell {index}: {m[0]}…" for m in MACHINE.finditer(texts(out))]
    return problems


@CHAPTERS
def test_chapter_is_fit_to_commit(path):
    assert not unfit(nbformat.read(path, as_version=4), path.stat().st_size)


def test_an_unfit_notebook_is_noticed():
    view = new_output("display_data", {WIDGET: {}, "text/plain": "IntSlider()"})
    trace = new_output("stream", text="File /" + "home/me/x.py, <f at 0x7f00aa00bb00>")
    nb = new_notebook(cells=[new_code_cell("1", outputs=[view]), new_code_cell("2", outputs=[trace])],
                      metadata={"widgets": {}})
    assert len(unfit(nb, 2_000_000)) == 5
    fine = new_output("stream", text="0.5 and/or 1")
    assert unfit(new_notebook(cells=[new_code_cell("1", outputs=[fine])]), 10) == []


@CHAPTERS
def test_chapter_says_what_it_is(path):
    title, line = headline(nbformat.read(path, as_version=4))
    assert title and line


@pytest.fixture
def book(tmp_path):
    """Writes cells to a notebook and returns its path."""
    def make(*cells: NotebookNode | str) -> Path:
        path = tmp_path / "00_tiny.ipynb"
        cells = [c if isinstance(c, NotebookNode) else new_code_cell(c) for c in cells]
        nbformat.write(new_notebook(cells=cells), path)
        return path
    return make


def test_running_stores_a_notebook_that_passes_and_runs_the_same_again(book, monkeypatch):
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    path = book(new_markdown_cell("# T\n> t"), "import ipywidgets as w, sys, os\nw.IntSlider()",
                "#| eval: false\n1 / 0", "print(2, flush=True); print('50%|##  |', file=sys.stderr)\n3",
                "# NBVAL_RAISES_EXCEPTION\n1 / 0")
    ids = [c.id for c in nbformat.read(path, as_version=4).cells]
    monkeypatch.setattr(run_notebooks, "settled", lambda old, new: 1.)  # a busy machine takes its time
    assert run_notebooks.main([str(path)]) == 0
    first, nb = path.read_bytes(), nbformat.read(path, as_version=4)
    assert not_run(nb) == [] and unfit(nb, len(first)) == [] and [c.id for c in nb.cells] == ids
    kinds = [[out.output_type for out in c.outputs] for c in nb.cells[1:]]
    assert kinds == [[], [], ["stream", "execute_result"], ["error"]]
    assert run_notebooks.main([str(path)]) == 0 and path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_running_leaves_the_twin_in_step(tmp_path, monkeypatch):
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    twin = "# %%\ndef f():\n    return 1\n\n# %%\nf()\n"  # one blank line after a function, where jupytext sets two
    nb = jupytext.reads(twin, fmt="py:percent")
    for cell in nb.cells:
        cell.metadata["collapsed"] = True
    path = tmp_path / "00_tiny.ipynb"
    nbformat.write(nb, path)
    assert run_notebooks.main([str(path)]) == 0
    config = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    assert jupytext.writes(nbformat.read(path, as_version=4), fmt="py:percent", config=config) == twin
    assert "collapsed" not in path.read_text()


def test_running_names_the_cell_that_fails_and_writes_nothing(book, monkeypatch, capsys):
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    path = book("a = 1", new_markdown_cell("text"), "assert a == 2, 'not two'", "never()")
    before = path.read_bytes()
    assert run_notebooks.main([str(path)]) == 1 and path.read_bytes() == before
    assert "00_tiny.ipynb, In[2]: AssertionError: not two" in capsys.readouterr().err
    with pytest.raises(ChapterError, match=r"In\[1\]: was to raise"):
        run_notebooks.process(book("# NBVAL_RAISES_EXCEPTION\n1"))
    monkeypatch.setattr(run_notebooks, "CELL_SECONDS", 1)
    with pytest.raises(ChapterError, match=r"In\[1\]: still running after 1 s"):
        run_notebooks.process(book("import time; time.sleep(60)"))


def test_a_short_walk_is_never_stored(book, monkeypatch, capsys):
    monkeypatch.setenv("MODELAB_FAST", "1")
    assert run_notebooks.main([str(book("1"))]) == 2 and "MODELAB_FAST" in capsys.readouterr().err


def test_measured_seconds_settle():
    assert [run_notebooks.settled(old, new) for old, new in ((None, 3.14159), (3.1, 3.4), (3.1, 9.0), (60., 200.4))] \
        == [3.1, 3.1, 9.0, 200.0]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course of one chapter with its twin, in step and, where there is git, committed; returns both paths."""
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    shutil.copyfile(ROOT / "jupytext.toml", tmp_path / "jupytext.toml")
    path, twin = tmp_path / "nbs/1_a/01_x.ipynb", tmp_path / "nbs/_text/1_a/01_x.py"
    for file in (path, twin):
        file.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# T\n> t"), new_code_cell("1"), new_markdown_cell("end")]), path)
    twin.write_text(run_notebooks.as_text(path.read_text()))
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm start") if shutil.which("git") else ():
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    return path, twin


def edit(path: Path, old: str, new: str, later: float = 0) -> None:
    """Replace text in a file that was saved so many seconds after now."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + later))


def test_an_edited_twin_is_what_runs(course, monkeypatch):
    path, twin = course
    monkeypatch.setattr(run_notebooks, "run", lambda nb, path: 1.)
    edit(twin, "# %%\n1", "# %%\n1 + 1", later=5)
    with pytest.raises(ChapterError, match="differ"):
        run_notebooks.process(path, check=True)
    run_notebooks.process(path)
    assert nbformat.read(path, as_version=4).cells[1].source == "1 + 1"
    assert twin.stat().st_mtime_ns >= path.stat().st_mtime_ns
    edit(twin, "1 + 1", "1 + 2", later=10)  # the same place again, before anything is committed
    assert run_notebooks.main(["--sync", "1.1"]) == 0
    assert nbformat.read(path, as_version=4).cells[1].source == "1 + 2"


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_edited_during_a_run_stays(course, monkeypatch, which):
    monkeypatch.setattr(run_notebooks, "run", lambda nb, path: edit(course[which], "end", "the end") or 1.)
    with pytest.raises(ChapterError, match="edited while it ran"):
        run_notebooks.process(course[0])
    assert "the end" in course[which].read_text() and "the end" not in course[1 - which].read_text()


@pytest.mark.skipif(not shutil.which("git"), reason="until 2999-01-01: what was committed is asked of git")
@pytest.mark.parametrize("which", [0, 1])
def test_edits_of_both_are_not_dropped(course, which):
    edit(course[which], "end", "the end")
    edit(course[1 - which], "> t", "> the title", later=5)
    before = run_notebooks.contents(course[0])
    with pytest.raises(ChapterError, match="both edited"):
        run_notebooks.sync(course[0])
    assert run_notebooks.contents(course[0]) == before
    assert run_notebooks.main([str(course[1])]) == 1


def test_a_truncated_notebook_is_named(course):
    course[0].write_text(course[0].read_text()[:50])
    with pytest.raises(ChapterError, match="01_x.ipynb: not a notebook"):
        run_notebooks.process(course[0])


def test_a_file_is_stored_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.py"
    run_notebooks.store(path, "old")
    monkeypatch.setattr(os, "replace", lambda *names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_notebooks.store(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
