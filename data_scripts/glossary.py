"""Links to the glossary: in each part of the course the first use of a term, where another chapter explains it.

    python data_scripts/glossary.py            # the first uses that are not linked; exit status 1 if there are any
    python data_scripts/glossary.py --write    # links them, in the text twins; then run `make export`

The terms are the rows of nbs/glossary.ipynb. Looked at is the prose of the lessons (parts 0 to 5): no titles, tables,
equations, code, links, references or folded answers. The words of chapter 0.1 are linked in part 0 only. Words that have another sense, too, are left
out (`PLAIN`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from run_notebooks import ROOT

TEXT = ROOT / "nbs/_text"
ROW = re.compile(r"^# \| ([^|]+?) \| [^|]+? \| \[([0-9.]+)\]\(([^)]+)\) \|$", re.M)
PLAIN = {"claim", "convolution", "current", "density", "domain", "experiment", "fade", "form", "game", "junk", "pool", "power", "precision", "reference", "repeats",
         "ring", "run", "sampler", "settled", "shift", "stream", "turn"}
HIDDEN = re.compile(r"`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\$[^$]*\$|<[^>]*>")
LINK = "[{}](../glossary.ipynb)"


def terms() -> dict[str, str]:
    """Each term with the twin of the chapter that explains it, the longest terms first."""
    found = {name: link.replace(".ipynb", ".py") for name, _, link in ROW.findall((TEXT / "glossary.py").read_text(encoding="utf-8"))}
    return {name: found[name] for name in sorted(found, key=len, reverse=True) if name not in PLAIN}


def prose(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each line of a twin that is plain prose."""
    markdown = folded = equation = references = False
    for line in re.finditer(r"[^\n]*\n", text):
        said = line[0]
        if said.startswith("# %%"):
            markdown, folded, equation = "[markdown]" in said, False, False
            continue
        if not markdown:
            continue
        folded |= "<details" in said
        references = "References" in said if said.startswith(("# #", "# **References")) else references and said.strip() != "#"
        plain = not (folded or equation or references) and not re.match(r"# *($|[#|<>!]|\$\$)", said)
        equation ^= said.count("$$") % 2 == 1
        folded &= "</details" not in said
        if plain:
            yield line.span()


def first_use(term: str, text: str) -> tuple[int, int] | None:
    """Where a twin uses the term first: the words, without their link if they have one."""
    exact = 0 if any(c.isupper() for c in term[1:]) else re.I
    word = re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", exact)
    for start, end in prose(text):
        line = text[start:end]
        shown = HIDDEN.sub(lambda m: re.sub(r"\S", "\0", m[0]), line)
        links = [m.span() for m in re.finditer(r"\[([^\]]*)\]\([^)]*\)", line) if word.search(m[1])]
        found = word.search(shown)
        if links and (not found or links[0][0] < found.start()):
            return start + links[0][0], start + links[0][0]  # it is a link already
        if found:
            return start + found.start(), start + found.end()
    return None


def linked(part: list[Path], texts: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """Link the first uses in a part that have no link, in `texts`; twin and term of each."""
    for term, explained in terms().items():
        if explained.startswith("0_start/01") and part[0].parent.name != "0_start":
            continue
        for path in part:
            if place := first_use(term, texts[path]):
                start, end = place
                if start < end and path != TEXT / explained:
                    texts[path] = texts[path][:start] + LINK.format(texts[path][start:end]) + texts[path][end:]
                    yield path, term
                break


def parts() -> list[list[Path]]:
    """The twins of the lessons, part by part."""
    return [sorted(folder.glob("*.py")) for folder in sorted(TEXT.glob("[0-5]_*"))]


def main() -> None:
    """Say what lacks a link, or link it."""
    write, told = "--write" in sys.argv[1:], 0
    for part in parts():
        texts = {path: path.read_text(encoding="utf-8") for path in part}
        for path, term in linked(part, texts):
            print(f"{path.relative_to(TEXT)}: {term}")
            told += 1
        for path, text in texts.items():
            if write and text != path.read_text(encoding="utf-8"):
                path.write_text(text, encoding="utf-8")
    sys.exit(told > 0 and not write)


if __name__ == "__main__":
    main()
