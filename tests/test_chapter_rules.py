"""What every chapter's cells must keep to: short cells, one exported definition each, short lines. Proven on bad ones."""

import ast
import os
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from export import GRADERS
from house import EXPORT, definitions, exported_cells
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import ROOT, notebooks

CELL_LINES, LINE, MEDIAN_LINES = 25, 100, 5
CHOSEN = os.environ.get("MODELAB_CHAPTER")  # the chapter that `make check` is about
BOOKS = [Path(CHOSEN)] if CHOSEN else notebooks() or [ROOT / "nbs/index.ipynb"]


def exported(source: str) -> list[str]:
    """What is wrong with an exported cell: several definitions, too many lines."""
    code = EXPORT.sub("", source)
    tree, lines = ast.parse(code), code.splitlines()
    defs = definitions(tree)
    imports = tree.body and all(isinstance(n, (ast.Import, ast.ImportFrom, ast.Expr)) for n in tree.body)
    found = [f"defines {', '.join(defs)}: split it, one definition a cell"] * (len(defs) > 1)
    if len(lines) > CELL_LINES and not imports:
        found.append(f"{len(lines)} lines of {', '.join(defs) or 'an export'}, the most is {CELL_LINES}")
    return found


def faults(nb: NotebookNode) -> list[str]:
    """Cells that ask too much of a reader at once."""
    found, lesson = [], []
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        if EXPORT.search(cell.source):
            found += [f"cell {index}: {what}" for what in exported(cell.source)]
        else:
            lesson.append(len(lines))
            if len(lines) > CELL_LINES:
                found.append(f"cell {index}: {len(lines)} lines, the most for a lesson cell is {CELL_LINES}")
        found += [f"cell {index}: a line of {len(line)} columns, the most is {LINE}: {line[:40].strip()}…"
                  for line in lines if len(line) > LINE]
    if lesson and statistics.median(lesson) > MEDIAN_LINES:
        found.append(f"the median lesson cell has {statistics.median(lesson):g} lines, the most is {MEDIAN_LINES}")
    return found


def taught(nb: NotebookNode) -> Iterator[tuple[int, str, ast.Module]]:
    """The exported cells that a chapter teaches; graders, which nobody needs to read, are no part of the library."""
    return (cell for cell in exported_cells(nb) if not nb.cells[cell[0]].source.startswith(f"#| export {GRADERS}"))


def unexplained(nb: NotebookNode) -> list[str]:
    """Exported cells that define something and have no markdown cell with text directly above."""
    found = []
    for index, code, _ in taught(nb):
        above = nb.cells[index - 1] if index else None
        if above is None or above.cell_type != "markdown" or not above.source.strip():
            first = next(line for line in code.splitlines() if line.strip() and line[0] not in "@#")
            found.append(f"cell {index}: no markdown above {first[:60]}")
    return found


def undocumented(nb: NotebookNode) -> list[str]:
    """Exported functions and classes, and public methods of public classes but `forward`, without a docstring."""
    found = []
    for index, _, tree in taught(nb):
        nodes = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        methods = [(c.name, m) for c in nodes if isinstance(c, ast.ClassDef) for m in c.body if isinstance(m, ast.FunctionDef)]
        patches = [(ast.unparse(n.args.args[0].annotation), n) for n in nodes if "@patch" in ast.unparse(n).partition("def ")[0]]
        inner = {m for _, m in patches}
        public = [m for owner, m in methods + patches if "_" not in (owner[0], m.name[0]) and m.name != "forward"]
        found += [f"cell {index}: {n.name} has no docstring" for n in [n for n in nodes if n not in inner] + public
                  if ast.get_docstring(n) is None]
    return found


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_exported_definitions_have_docstrings(path):
    assert not undocumented(nbformat.read(path, as_version=4))


def test_missing_docstrings_are_noticed():
    cells = ["#| export\ndef f():\n    def inner(): pass\n    return inner",
             "#| export\nclass C:\n    'Its docstring.'\n    def forward(self): pass\n    def g(self): pass"]
    cells += ["#| export\n@patch\ndef h(self: C): pass", "#| export\n@patch\ndef _h(self: C): pass"]
    nb = new_notebook(cells=[new_code_cell(source) for source in cells])
    assert undocumented(nb) == ["cell 0: f has no docstring", "cell 1: g has no docstring", "cell 2: h has no docstring"]


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_cells_keep_the_rules(path):
    assert not faults(nbformat.read(path, as_version=4))


def test_bad_cells_are_noticed():
    bad = ["#| export\ndef f(): pass\n\n\ndef g(): pass", "#| export\ndef f():\n" + "    1\n" * 25, "1\n" * 26,
           "x = 1" + " " * 120 + "+ 1", "1\n" * 6]
    nb = new_notebook(cells=[new_code_cell(source) for source in bad])
    assert [f.partition(":")[0] for f in faults(nb)] == ["cell 0", "cell 1", "cell 2", "cell 3",
                                                         "the median lesson cell has 6 lines, the most is 5"]


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_prose_stands_above_each_exported_definition(path):
    assert not unexplained(nbformat.read(path, as_version=4))


def test_definitions_without_prose_are_noticed():
    good = [new_code_cell('#| export\n"A module."\nimport math'), new_markdown_cell("What f does."),
            new_code_cell("#| export\ndef f(): pass"), new_code_cell("f()"),
            new_code_cell("#| export course.graders.x\ndef grade_f(answer): pass")]
    assert unexplained(new_notebook(cells=good)) == []
    bad = [new_code_cell("#| export core.x\n@patch\ndef f(self: C): pass"), new_markdown_cell("## g"), new_code_cell("1"),
           new_code_cell("#| export\nMOST = 3"), new_markdown_cell(" "), new_code_cell("#| export\nclass C: pass")]
    assert unexplained(new_notebook(cells=bad)) == ["cell 0: no markdown above def f(self: C): pass",
                                                    "cell 3: no markdown above MOST = 3",
                                                    "cell 5: no markdown above class C: pass"]


NUMBER = re.compile(r"(?<![\w.])[-+−]?\d*\.?\d+(?:e[-+]?\d+)?")
TABLE_LINES = 40


def table_lines(nb: NotebookNode) -> int:
    """Lines of tables in the stored outputs: rows of HTML tables, and runs of three or more lines of text with two numbers each."""
    found = 0
    for out in (out for cell in nb.cells for out in cell.get("outputs", [])):
        data = out.get("data", {})
        found += data.get("text/html", "").count("<tr")
        text = out.get("text", "") if out.output_type == "stream" else data.get("text/plain", "") if set(data) == {"text/plain"} else ""
        run = 0
        for line in [*text.splitlines(), ""]:
            more = len(NUMBER.findall(line)) > 1
            found += 0 if more or run < 3 else run
            run = run + 1 if more else 0
    return found


@pytest.mark.parametrize("path", [p for p in BOOKS if p.parent.name[:1] in "012345"], ids=lambda p: p.stem)
def test_a_lesson_prints_few_lines_of_tables(path):
    lines = table_lines(nbformat.read(path, as_version=4))
    assert lines <= TABLE_LINES, f"{lines} lines of tables, the most is {TABLE_LINES}: draw the numbers, print the few that the text quotes"


def test_long_tables_are_noticed():
    def shown(**output: object) -> int:
        return table_lines(new_notebook(cells=[new_code_cell("x", outputs=[new_output(**output)])]))
    assert shown(output_type="stream", text="a 1 2.5\nb 3 4\nc 5 6\n") == 3
    assert shown(output_type="stream", text="a 1 2.5\nb 3 4\n") == 0 == shown(output_type="stream", text="a 1\nb 2\nc 3\nd 4\n")
    assert shown(output_type="display_data", data={"text/html": "<table><tr><td>1</td></tr><tr></tr></table>", "text/plain": "1 2\n3 4\n5 6"}) == 2
    assert shown(output_type="execute_result", data={"text/plain": "(1, 2)\n(3, 4)\n(5, 6)"}, execution_count=1) == 3
    assert shown(output_type="display_data", data={"image/png": "x", "text/plain": "1 2\n3 4\n5 6"}) == 0
