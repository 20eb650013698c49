"""The tables of README.md that nobody types: the ledger of claims and the list of chapters, from the stored notebooks.

    python data_scripts/ledger.py            # exit 1 and a diff if README.md is behind the notebooks
    python data_scripts/ledger.py --write    # renew README.md between its markers
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from run_notebooks import ROOT, ChapterError, notebooks, number

CLAIM = "application/vnd.modelab.claim+json"
KEYS = ("claim", "paper", "section", "figure", "ours", "baseline", "verdict")
VERDICTS = ("holds", "does not replicate")


def claims(nb: NotebookNode) -> list[dict[str, str]]:
    """The claims that a stored notebook shows, in order; ValueError for a claim that is not whole or not judged."""
    found = []
    for cell in nb.cells:
        for out in cell.get("outputs", []):
            row = out.get("data", {}).get(CLAIM)
            if row is None:
                continue
            wrong = [k for k in KEYS if not isinstance(row.get(k), str)]
            if wrong:
                raise ValueError(f"the claim {row.get('claim')!r} has no text for {', '.join(wrong)}")
            if row["verdict"] not in VERDICTS:
                raise ValueError(f"the claim {row['claim']!r} is {row['verdict']!r}, expected one of {VERDICTS}: "
                                 "run the chapter at full length")
            found.append(row)
    return found


def headline(nb: NotebookNode) -> tuple[str, str]:
    """Title and `>` line of a chapter, from its first cell."""
    first = nb.cells[0].source.splitlines() if nb.cells else []
    title = next((line[2:].strip() for line in first if line.startswith("# ")), "")
    lines = " ".join(line[1:].strip() for line in first if line.startswith(">"))
    if not title or not lines:
        raise ValueError("the first cell must hold the title (`# …`) and the one line below it (`> …`)")
    return title, lines


def module(nb: NotebookNode) -> str:
    """The module that a notebook exports to, or nothing."""
    for cell in nb.cells:
        if cell.cell_type == "code" and (found := re.search(r"^#\|\s*default_exp\s+(\S+)", cell.source, re.M)):
            return found[1]
    return ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars and line breaks inside a cell are made harmless."""
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", c.replace("\n", " ")).strip() for c in cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def chapter_table(paths: Sequence[Path], root: Path) -> str:
    """One row per chapter: number, linked title, its line, module, measured minutes."""
    rows = []
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        if number(path) < 0:
            continue
        title, line = _named(path, headline, nb)
        seconds = nb.metadata.get("modelab", {}).get("seconds")
        minutes = "not run yet" if seconds is None else f"{max(seconds / 60, .1):.1f}"
        name = module(nb)
        link = path.relative_to(root).as_posix()
        rows.append((f"{number(path):02d}", f"[{title}]({link})", line, f"`modelab.{name}`" if name else "", minutes))
    return table(("", "chapter", "in one line", "module", "minutes"), rows)


def ledger_table(paths: Sequence[Path]) -> str:
    """One row per claim, in the order of the course."""
    rows = []
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        for row in _named(path, claims, nb):
            source = ", ".join(row[k] for k in ("paper", "section", "figure") if row[k])
            rows.append((f"{number(path):02d}", row["claim"], source, row["ours"], row["baseline"], row["verdict"]))
    return table(("chapter", "claim", "source", "ours", "baseline", "verdict"), rows)


def _named(path: Path, read, nb: NotebookNode):
    """`read(nb)`, with the notebook's name in front of what it complains about."""
    try:
        return read(nb)
    except ValueError as error:
        raise ChapterError(f"{path.name}: {error}") from None


def between(text: str, name: str, content: str) -> str:
    """`text` with `content` between `<!-- name -->` and `<!-- /name -->`; ValueError unless each stands there once."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"README.md must hold the lines {start} and {end} once, in this order")
    head, rest = text.split(start)
    return f"{head}{start}\n{content}\n{end}{rest.split(end)[1]}"


def renewed(text: str, paths: Sequence[Path], root: Path) -> str:
    """README's `text` with both tables made anew from the notebooks at `paths`."""
    text = between(text, "chapters", chapter_table(paths, root))
    return between(text, "ledger", ledger_table(paths))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew README.md")
    args = parser.parse_args(argv)
    readme = ROOT / "README.md"
    try:
        old = readme.read_text(encoding="utf-8")
        new = renewed(old, notebooks(), ROOT)
    except (FileNotFoundError, ValueError, ChapterError) as error:
        print(error, file=sys.stderr)
        return 2
    if new == old:
        return 0
    if args.write:
        readme.write_text(new, encoding="utf-8")
        return 0
    before, after = old.splitlines(True), new.splitlines(True)
    sys.stdout.writelines(difflib.unified_diff(before, after, "README.md", "from the notebooks"))
    print("README.md is behind the notebooks: python data_scripts/ledger.py --write", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
