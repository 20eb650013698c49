"""The tables that nobody types, from the stored notebooks: chapters and claims in LEDGER.md, questions in the index.

    python data_scripts/ledger.py            # exit 1 and a diff if a table is behind the notebooks
    python data_scripts/ledger.py --write    # renew the tables between their markers
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
from run_notebooks import ROOT, ChapterError, as_text, notebooks, number, store, sync, twin_of

CLAIM = "application/vnd.modelab.claim+json"
KEYS = ("claim", "paper", "section", "figure", "ours", "baseline", "verdict")
VERDICTS = ("holds", "does not hold")


def read(path: Path) -> NotebookNode:
    """A stored notebook; ChapterError with its name if it cannot be read."""
    try:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
        return nb
    except Exception as error:  # a file that was cut off or is no notebook makes the reader raise many things
        raise ChapterError(f"{path}: not a whole notebook: {str(error).strip()[:200]}") from None


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


def question(nb: NotebookNode) -> str:
    """The question on a chapter's card; ValueError if there is none."""
    for cell in nb.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^\| \*\*Question\*\* \| (.+?) \|$", cell.source, re.M)):
            return found[1]
    raise ValueError("the card lacks the row | **Question** | … |")


def chapter_table(paths: Sequence[Path], root: Path) -> str:
    """One row per chapter: number, linked title, its line, module, measured minutes."""
    rows = []
    for path in filter(number, paths):
        nb = read(path)
        title, line = _named(path, headline, nb)
        seconds = nb.metadata.get("modelab", {}).get("seconds")
        minutes = "not run yet" if seconds is None else f"{max(seconds / 60, .1):.1f}"
        name = module(nb)
        link = path.relative_to(root).as_posix()
        rows.append((number(path), f"[{title}]({link})", line, f"`modelab.{name}`" if name else "", minutes))
    return table(("number", "chapter", "in one line", "module", "minutes"), rows)


def question_table(paths: Sequence[Path], root: Path) -> str:
    """One row per chapter for the index: its question and its linked title."""
    rows = []
    for path in filter(number, paths):
        nb = read(path)
        title, _ = _named(path, headline, nb)
        link = path.relative_to(root / "nbs").as_posix()
        rows.append((_named(path, question, nb), f"[{number(path)} {title}]({link})"))
    return table(("your question", "chapter"), rows)


def ledger_table(paths: Sequence[Path]) -> str:
    """One row per claim, in the order of the course."""
    rows = []
    for path in paths:
        nb = read(path)
        for row in _named(path, claims, nb):
            source = ", ".join(row[k] for k in ("paper", "section", "figure") if row[k])
            rows.append((number(path), row["claim"], source, row["ours"], row["baseline"], row["verdict"]))
    return table(("chapter", "claim", "source", "ours", "baseline", "verdict"), rows)


def _named(path: Path, look, nb: NotebookNode):
    """`look(nb)`, with the notebook's name in front of what it complains about."""
    try:
        return look(nb)
    except ValueError as error:
        raise ChapterError(f"{path.name}: {error}") from None


def between(text: str, name: str, content: str) -> str:
    """`text` with `content` between `<!-- name -->` and `<!-- /name -->`; ValueError unless each stands there once."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"the file must hold the lines {start} and {end} once, in this order")
    head, rest = text.split(start)
    return f"{head}{start}\n{content}\n{end}{rest.split(end)[1]}"


def renewed(text: str, paths: Sequence[Path], root: Path) -> str:
    """The `text` of LEDGER.md with both tables made anew from the notebooks at `paths`."""
    text = between(text, "chapters", chapter_table(paths, root))
    return between(text, "ledger", ledger_table(paths))


def renewed_index(text: str, paths: Sequence[Path], root: Path) -> str:
    """The `text` of the index notebook with its table of questions made anew."""
    nb = nbformat.reads(text, as_version=4)
    cell = next((c for c in nb.cells if "<!-- questions -->" in c.source), None)
    if cell is None:
        raise ValueError("no cell has the lines <!-- questions --> and <!-- /questions -->")
    cell.source = between(cell.source, "questions", question_table(paths, root))
    return nbformat.writes(nb) + "\n"


def stale(root: Path, paths: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """The files whose tables are behind the notebooks: what they say, and what they should say."""
    found = {}
    for name, renew in (("LEDGER.md", renewed), ("nbs/index.ipynb", renewed_index)):
        old = (root / name).read_text(encoding="utf-8")
        if name.endswith(".ipynb"):
            read(root / name)  # names the file if it is not whole
        try:
            new = renew(old, paths, root)
        except ValueError as error:
            raise ChapterError(f"{name}: {error}") from None
        if new.rstrip("\n") != old.rstrip("\n"):
            found[root / name] = old, new
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew the tables")
    args = parser.parse_args(argv)
    try:
        if args.write:  # edits of the index in its twin stay
            sync(ROOT / "nbs/index.ipynb")
        behind = stale(ROOT, notebooks())
    except (FileNotFoundError, ValueError, ChapterError) as error:
        print(error, file=sys.stderr)
        return 2
    for path, (old, new) in behind.items():
        if args.write:
            store(path, new)
            if path.suffix == ".ipynb" and (twin := twin_of(path)):
                store(twin, as_text(new))
        else:
            lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), path.name, "from the notebooks")
            sys.stdout.writelines(lines)
    if behind and not args.write:
        print("tables are behind the notebooks: python data_scripts/ledger.py --write", file=sys.stderr)
    return 1 if behind and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
