"""How the whole repository is built, measured: exported cells, argument checks, lines, layers, README.

    python data_scripts/house.py      # prints a table and what breaks a threshold; exit status 1 if anything does

What is measured:

- Exported cells: lines of the code cells that a notebook exports, without the `#| export` line; cells that hold nothing
  but imports and a docstring are left out.
- Several definitions: exported cells with more than one function or class at their top level.
- Validation, in methods and losses: the share of a module's code lines (no docstrings, comments or blank lines), and,
  stricter, of the code lines inside functions, together and in each module that has more than 40 of them. A line counts as validation if it belongs to a `raise`; to an `if` whose branch does nothing but end in a `raise`, with the assignments before it; to a
  statement that calls functions named `check_…` and nothing else but built-in functions, also where it assigns or returns
  what they answer; and to an `if`, a loop or a `with` around nothing but these. What a signature declares costs no line.
- Tuple assignments: `a, b = x, y`, for 1,000 code lines of the package.
- Long lines: over 100 columns, in the modules and in the code cells of the notebooks; generated lines are left out.
- Words per code line, in lessons: words of text cells over lines of code (no graders, comments or blank lines).
- Layers: what `layers.py` finds.
"""

from __future__ import annotations

import ast
import builtins
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import layers
import nbformat
from nbformat import NotebookNode
from run_notebooks import ROOT, notebooks

MEDIAN, LONGEST, COLUMNS = 12, 25, 100
SHARE, MODULE_SHARE, FEW = .12, .15, 40  # of all methods and losses together; of one; so few lines in functions are free
EXPORT = re.compile(r"^#\|\s*export.*$\n?", re.M)
GRADER = re.compile(r"#\|\s*export\s+course\.graders")
WORDS, FEW_LINES = 3, 100  # of prose for each code line of a lesson, at least; where it has more lines than this
GENERATED = ("_modidx.py", "_index.py")


@dataclass
class House:
    """The measures of a repository, and the places that break a threshold."""

    rows: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def exported_cells(nb: NotebookNode) -> Iterator[tuple[int, str, ast.Module]]:
    """Index, code and syntax tree of the exported cells that define something."""
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and EXPORT.search(cell.source):
            code = EXPORT.sub("", cell.source)
            tree = ast.parse(code)
            if not all(isinstance(n, (ast.Import, ast.ImportFrom, ast.Expr)) for n in tree.body):
                yield index, code, tree


def definitions(tree: ast.Module) -> list[str]:
    """Names of the functions and classes at the top level."""
    return [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]


def lines_of(nodes: Sequence[ast.stmt]) -> set[int]:
    """The numbers of the lines that statements take."""
    return {line for node in nodes for line in range(node.lineno, node.end_lineno + 1)}


def only_checks(node: ast.stmt) -> bool:
    """Whether a statement calls functions named `check_…`, and else nothing but built-in ones."""
    value = getattr(node, "value", None)
    names = [getattr(n.func, "id", getattr(n.func, "attr", "")) for n in ast.walk(node) if isinstance(n, ast.Call)]
    checks = [name.lstrip("_").startswith("check_") for name in names]
    whole = isinstance(value, (ast.Call, ast.Tuple, ast.List, ast.GeneratorExp, ast.ListComp))
    return whole and any(checks) and all(check or hasattr(builtins, name) for check, name in zip(checks, names))


def ends_in_raise(body: Sequence[ast.stmt]) -> bool:
    """Whether a branch only raises: a `raise`, and before it nothing but assignments."""
    return bool(body) and isinstance(body[-1], ast.Raise) and all(isinstance(n, ast.Assign) for n in body[:-1])


def validates(node: ast.stmt) -> bool:
    """Whether all lines of a statement are there to refuse bad input."""
    if isinstance(node, ast.Raise):
        return True
    if isinstance(node, ast.If):
        return all(ends_in_raise(part) or all(map(validates, part)) for part in (node.body, node.orelse))
    if isinstance(node, (ast.For, ast.With)):
        return all(map(validates, node.body))
    return isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign, ast.Return)) and only_checks(node)


def refusing(body: Sequence[ast.stmt]) -> set[int]:
    """The lines of statements, at whatever depth, that refuse bad input."""
    found: set[int] = set()
    for node in body:
        if validates(node):
            found |= lines_of([node])
        elif isinstance(node, ast.If) and ends_in_raise(node.body):  # the rest of it is no check
            found |= set(range(node.lineno, node.body[-1].end_lineno + 1)) | refusing(node.orelse)
        else:
            for part in ("body", "orelse", "finalbody"):
                found |= refusing(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                found |= refusing(handler.body)
    return found


def validation(source: str) -> tuple[int, int]:
    """Code lines inside functions that refuse bad input, and all code lines inside functions."""
    code = {i for i, line in enumerate(source.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    inside, checks = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            inside |= lines_of(node.body)
            checks |= refusing(node.body)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            code -= lines_of(node.body[:1])
    return len(checks & inside & code), len(inside & code)


def tuple_assignments(source: str) -> int:
    """How often a tuple is assigned to a tuple of names."""
    return sum(isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
               and isinstance(node.targets[0], ast.Tuple) for node in ast.walk(ast.parse(source)))


def long_lines(source: str) -> list[int]:
    """The numbers of lines over 100 columns, without those that the export writes."""
    made = {line for node in ast.parse(source).body if isinstance(node, ast.Assign)
            and getattr(node.targets[0], "id", "") == "__all__" for line in lines_of([node])}
    return [i for i, line in enumerate(source.splitlines(), 1)
            if len(line) > COLUMNS and i not in made and not line.startswith("# %% ")]


def measure_cells(books: Sequence[Path], house: House) -> None:
    """Exported cells and the long lines of all code cells."""
    sizes, several, wide = [], 0, 0
    for path in books:
        nb = nbformat.read(path, as_version=4)
        for index, code, tree in exported_cells(nb):
            sizes.append(len(code.splitlines()))
            names = definitions(tree)
            several += len(names) > 1
            at = f"{path.parent.name}/{path.stem}, cell {index}"
            house.faults += [f"{at}: defines {', '.join(names)}"] * (len(names) > 1)
            house.faults += [f"{at}: {sizes[-1]} lines, the most is {LONGEST}"] * (sizes[-1] > LONGEST)
        for index, cell in enumerate(nb.cells):
            lines = [line for line in cell.source.splitlines() if len(line) > COLUMNS] if cell.cell_type == "code" else []
            wide += len(lines)
            house.faults += [f"{path.parent.name}/{path.stem}, cell {index}: {len(line)} columns: {line.strip():.40}…"
                             for line in lines]
    sizes = sorted(sizes) or [0]
    median, tenth = statistics.median(sizes), sizes[min(len(sizes) - 1, round(.9 * len(sizes)))]
    house.faults += [f"the median exported cell has {median:g} lines, the most is {MEDIAN}"] * (median > MEDIAN)
    house.rows["exported cells, lines: median / p90 / max"] = f"{median:g} / {tenth} / {sizes[-1]}"
    house.rows["exported cells with several definitions"] = f"{several} of {len(sizes)}"
    house.rows["lines over 100 columns, code cells"] = str(wide)


def code_lines(source: str) -> int:
    """Lines of a module that hold code: no docstrings, comments or blank lines."""
    code = {i for i, line in enumerate(source.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node) is not None:
            code -= lines_of(node.body[:1])
    return len(code)


def measure_validation(package: Path, house: House) -> None:
    """Argument checks of the methods and losses, one by one and together."""
    found = {}
    for path in sorted(p for layer in ("losses", "methods") for p in (package / layer).glob("[a-z]*.py")):
        source = path.read_text(encoding="utf-8")
        found[f"{path.parent.name}/{path.stem}"] = (*validation(source), code_lines(source))
    checks, inside, lines = (sum(column) for column in zip(*found.values())) if found else (0, 0, 0)
    if checks > SHARE * lines:
        house.faults.append(f"methods and losses: {checks / lines:.0%} of their code lines are checks, the most is {SHARE:.0%}")
    house.faults += [f"{name}: {c / n:.0%} of its code lines are checks ({c} of {n}), the most is {MODULE_SHARE:.0%}"
                     for name, (c, _, n) in found.items() if c > MODULE_SHARE * n]
    if checks > SHARE * inside:
        house.faults.append(f"methods and losses: {checks / inside:.0%} of their lines inside functions are checks, "
                            f"the most is {SHARE:.0%}")
    house.faults += [f"{name}: {c / n:.0%} of its lines inside functions are checks ({c} of {n}), the most is {MODULE_SHARE:.0%}"
                     for name, (c, n, _) in found.items() if n > FEW and c > MODULE_SHARE * n]
    worst = max(found, key=lambda name: found[name][0] / max(1, found[name][2]), default="")
    most = found[worst][0] / max(1, found[worst][2]) if worst else 0
    house.rows["validation, share of code lines: together / worst"] = f"{checks / max(1, lines):.0%} / {most:.0%} ({worst})"
    most, worst = max(((c / n, name) for name, (c, n, _) in found.items() if n > FEW), default=(0, "none"))
    house.rows["validation, share of lines inside functions: together / worst"] = \
        f"{checks / max(1, inside):.0%} / {most:.0%} ({worst})"


def measure_modules(package: Path, house: House) -> None:
    """Tuple assignments and long lines of the modules."""
    pairs, total, wide = 0, 0, 0
    for path in sorted(package.rglob("*.py")):
        if path.name in GENERATED:
            continue
        name, source = str(path.relative_to(package).with_suffix("")), path.read_text(encoding="utf-8")
        numbers = long_lines(source)
        wide += len(numbers)
        house.faults += [f"{name}, line {i}: over {COLUMNS} columns" for i in numbers]
        pairs += tuple_assignments(source)
        total += sum(bool(line.strip()) and line.strip()[0] != "#" for line in source.splitlines())
    house.rows["tuple assignments per 1,000 code lines"] = f"{1000 * pairs / max(1, total):.0f}"
    house.rows["lines over 100 columns, modules"] = str(wide)


def prose(nb: NotebookNode) -> tuple[int, int]:
    """Words of the text cells, and lines of code without graders, blank lines and comments."""
    words = sum(len(c.source.split()) for c in nb.cells if c.cell_type == "markdown")
    code = [line for c in nb.cells if c.cell_type == "code" and not GRADER.match(c.source) for line in c.source.splitlines()]
    return words, sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in code)


def measure_prose(books: Sequence[Path], house: House) -> None:
    """Words per code line of the lessons, parts 0 to 5: a lesson explains as much as it computes. Chapters of few lines are left out."""
    counts = {p.stem: prose(nbformat.read(p, as_version=4)) for p in books if p.parent.name[:1] in "012345"}
    found = {name: words / lines for name, (words, lines) in counts.items() if lines > FEW_LINES}
    if found:
        house.rows["words per code line in lessons"] = (f"median {statistics.median(found.values()):.1f}, "
                                                        f"from {min(found.values()):.1f} to {max(found.values()):.1f}")
    house.faults += [f"{name}: {value:.1f} words per code line, the least is {WORDS}" for name, value in found.items() if value < WORDS]


def measure(root: Path, books: Sequence[Path]) -> House:
    """All measures of a repository."""
    house = House()
    measure_cells(books, house)
    measure_prose(books, house)
    measure_validation(root / "modelab", house)
    measure_modules(root / "modelab", house)
    wrong = layers.problems(root / "modelab")
    house.faults += wrong
    house.rows["imports against the layers"] = str(len(wrong))
    readme = root / "README.md"
    house.rows["README, kB"] = f"{readme.stat().st_size / 1000:.1f}" if readme.exists() else "none"
    return house


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    if sys.argv[1:] if argv is None else argv:
        print(__doc__, file=sys.stderr)
        return 2
    house = measure(ROOT, notebooks() or [ROOT / "nbs/index.ipynb"])
    width = max(map(len, house.rows))
    for name, value in house.rows.items():
        print(f"{name:{width}}  {value}")
    for fault in house.faults:
        print(fault, file=sys.stderr)
    return 1 if house.faults else 0


if __name__ == "__main__":
    sys.exit(main())
