"""What every chapter's cells must keep to: one exported definition a cell, short cells, short lines. Proven on bad ones."""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from run_notebooks import ROOT, notebooks

CELL_LINES, LINE = 25, 100
EXPORT = re.compile(r"^#\|\s*export.*$\n?", re.M)
CHOSEN = os.environ.get("MODELAB_CHAPTER")
BOOKS = [Path(CHOSEN)] if CHOSEN else notebooks() or [ROOT / "nbs/index.ipynb"]


def faults(nb) -> list[str]:
    """Cells that hold several exported definitions, too many lines, or too long a line."""
    found = []
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        lines = EXPORT.sub("", cell.source).splitlines()
        if EXPORT.search(cell.source):
            tree = ast.parse(EXPORT.sub("", cell.source))
            defs = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
            found += [f"cell {index}: defines {', '.join(defs)}"] * (len(defs) > 1)
            imports = tree.body and all(isinstance(n, (ast.Import, ast.ImportFrom, ast.Expr)) for n in tree.body)
            if len(lines) > CELL_LINES and not imports:
                found.append(f"cell {index}: {len(lines)} lines of {', '.join(defs) or 'export'}, the most is {CELL_LINES}")
        found += [f"cell {index}: a line of {len(line)} columns, the most is {LINE}: {line[:40].strip()}…"
                  for line in lines if len(line) > LINE]
    return found


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_cells_keep_the_rules(path):
    assert not faults(nbformat.read(path, as_version=4))


def test_bad_cells_are_noticed():
    bad = ["#| export\ndef f(): pass\n\n\ndef g(): pass", "#| export\ndef f():\n" + "    1\n" * 25, "x = 1" + " " * 120 + "+ 1"]
    nb = new_notebook(cells=[new_code_cell(source) for source in bad])
    assert [f.partition(":")[0] for f in faults(nb)] == ["cell 0", "cell 1", "cell 2"]
