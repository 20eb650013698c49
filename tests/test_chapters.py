"""Every stored chapter really ran, as committed, and is fit to read; the tool that runs chapters does what it says."""

import re
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
