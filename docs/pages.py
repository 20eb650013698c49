"""Gather the pages of the reading site: executed chapters, documents and the reference, in build/docs for Sphinx.

    python docs/pages.py        # nothing is executed and nothing is downloaded

A chapter's page shows what the notebook stores. Pictures become files with their text for people who do not see them,
directives such as `#| export` are left out, cells that only import are folded, and the graders are left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "data_scripts")]

from copies import badge_links, settings, without_directives  # noqa: E402
from reference import write_reference  # noqa: E402
from run_notebooks import notebooks, number, place  # noqa: E402

from modelab.course.chapters import _is_plumbing  # noqa: E402

DOCUMENTS = ["README.md", "LEDGER.md", "RELIABILITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md",
             "benchmarks/leaderboard.md", "data_scripts/README.md", "examples/README.md"]
PARTS = {0: "First steps and measures", 1: "The game of two networks", 2: "Generators with an inverse",
         3: "Reach every example", 4: "Evidence without labels", 5: "Papers of ICML 2019", 6: "The workshop"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
EITHER = re.compile(LINK.pattern + r"|```.*?```|(?<!`)(`+)(?!`).*?(?<!`)\4(?!`)", re.DOTALL)  # a link, or code
SAMPLES = "leaderboard_samples.js"
LIVE = ('<p class="live">This recording plays here without Python. To train it yourself, run this chapter in JupyterLab '
        "(<code>make lab</code> in a checkout); the live lab is explained in chapter 1.3.</p>")


def part_name(part: int) -> str:
    """The title of a part's page."""
    return f"Part {part}: {PARTS.get(part, 'More')}"


def relative(target: Path, start: Path) -> str:
    """A link from a page to a file, as a page writes it."""
    return Path(os.path.relpath(target, start)).as_posix()


def edit_links(text: str, change: Callable[[re.Match], str]) -> str:
    """`text` with `change` made to each link and picture; code is left as it is, but may stand in a link's text."""
    return EITHER.sub(lambda found: found[0] if found[3] is None else change(found), text)


def links(text: str) -> list[str]:
    """What the links of a Markdown text point to, pictures included."""
    return [found[3] for found in EITHER.finditer(text) if found[3]]


def relink(text: str, path: Path, pages: set[Path], repository: str) -> str:
    """Links to files that are no pages: to the repository, or, as long as it has no address, plain text."""
    def new(match: re.Match) -> str:
        target, _, _ = match[3].partition("#")
        if match[3].startswith("#"):
            return f"[{match[2]}]({match[3].lower()})"  # JupyterLab keeps capitals in the name of a heading
        if match[1] or not target or re.match(r"[a-z]+:", target):
            return match[0]
        file = (path.parent / target).resolve()
        if file in pages:
            return match[0]
        if not repository or not file.is_relative_to(ROOT):
            return match[2]
        return f"[{match[2]}](https://github.com/{repository}/blob/main/{file.relative_to(ROOT).as_posix()})"
    return edit_links(text, new)


def picture(data: str, alt: str, folder: Path, page: Path) -> str:
    """A stored picture as a file and the element that shows it."""
    content = base64.b64decode(data)
    name = hashlib.sha256(content).hexdigest()[:16] + ".png"
    if not (folder / name).exists():
        (folder / name).write_bytes(content)
    width, height = struct.unpack(">II", content[16:24])  # of a PNG's header
    up = relative(ROOT, page.parent)
    return (f'<img src="{up}/_static/{name}" alt="{escape(alt)}" width="{width}" height="{height}" '
            'loading="lazy" decoding="async">')


def output(out: dict, folder: Path, page: Path) -> dict:
    """A stored output in the form that the page shows."""
    data = out.get("data", {})
    if "image/png" in data and "text/html" not in data:
        alt = out.get("metadata", {}).get("image/png", {}).get("alt") or "".join(data.get("text/plain", ""))
        html = picture("".join(data["image/png"]), alt, folder, page)
        return out | {"data": {"text/html": html}, "metadata": {}}
    if "image/png" in data:
        return out | {"data": {"text/html": "".join(data["text/html"]) + LIVE}, "metadata": {}}
    if "text/html" in data:
        return out | {"data": {"text/html": data["text/html"]}, "metadata": {}}
    return out


def chapter_line(path: Path, book: dict, repository: str) -> str:
    """The line under a chapter's title: how long it computes, and where it can be run."""
    seconds = book["metadata"].get("modelab", {}).get("seconds")
    took = f"{max(1, round(seconds))} s" if seconds and seconds < 100 else f"{(seconds or 0) / 60:.1f} min"
    inside = path.relative_to(ROOT / "nbs")
    links = [f"[{name}]({url})" for name, url in badge_links(inside, repository)]
    run = "Run it: " + " · ".join(links) if links else "Run it: `make lab` in a checkout, or `modelab course my-course`"
    return f"{{.chapter-line}}\n{took} of one CPU core · {run}"


def chapter(path: Path, figures: Path, pages: set[Path], repository: str) -> str:
    """The text of a notebook as its page shows it."""
    book = json.loads(path.read_text(encoding="utf-8"))
    cells: list[dict] = []
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if re.match(r"##? The graders\s*$", source.partition("\n")[0]):
                break  # the last section
            if not cells and path == ROOT / "nbs/index.ipynb":
                source = re.sub(r"\A# .*", "# Index by question", source)
            if not cells and number(path):
                source = re.sub(r"\A# ", f"# {number(path)} ", source) + "\n\n" + chapter_line(path, book, repository)
            cells.append(cell | {"source": relink(source, path, pages, repository)})
        elif cell["cell_type"] == "code":
            tags = ["hide-input"] if _is_plumbing(source) else []
            shown = without_directives(source).strip("\n")
            outputs = [output(out, figures, path) for out in cell["outputs"]]
            if not shown and not outputs:
                continue
            cells.append(cell | {"source": shown, "outputs": outputs, "metadata": {"tags": tags},
                                 "execution_count": cell["execution_count"]})
    book |= {"cells": cells, "metadata": {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}}
    return json.dumps(book, ensure_ascii=False)


def card(path: Path) -> dict[str, str]:
    """Title, question, needs and minutes of a chapter, for the map of its part."""
    book = json.loads(path.read_text(encoding="utf-8"))
    texts = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown"]
    rows = dict(re.findall(r"^\| \*\*([^*|]+)\*\* \| (.*) \|\s*$", "\n".join(texts[:3]), re.MULTILINE))
    return {"title": texts[0].partition("\n")[0].removeprefix("# ").strip(), "question": rows.get("Question", ""),
            "needs": rows.get("Needs", ""), "seconds": book["metadata"].get("modelab", {}).get("seconds") or 0.}


def part_page(part: int, chapters: list[Path]) -> str:
    """The map of a part: its chapters, what each answers and needs, and how long it computes."""
    rows = ["| | chapter | question | needs | minutes to run |", "|---|---|---|---|---|"]
    for path in chapters:
        has = card(path)
        needs = LINK.sub(lambda m: f"[{m[2]}]({relative((path.parent / m[3]).resolve(), ROOT / 'nbs')})"
                         if not m[3].startswith("http") else m[0], has["needs"])
        rows.append(f"| {number(path)} | [{has['title']}]({path.relative_to(ROOT / 'nbs').as_posix()}) | {has['question']} "
                    f"| {needs} | {has['seconds'] / 60:.1f} |")
    toc = "\n".join(path.relative_to(ROOT / "nbs").with_suffix("").as_posix() for path in chapters)
    return (f"# {part_name(part)}\n\n" + "\n".join(rows) + "\n\nMinutes are minutes of one CPU core.\n\n"
            f"```{{toctree}}\n:hidden:\n{toc}\n```\n")


def front_page(parts: dict[int, list[Path]]) -> str:
    """The first page, from index.md, with a table of the parts."""
    rows = ["| part | chapters | minutes to run |", "|---|---|---|"]
    for part, chapters in parts.items():
        spent = sum(card(path)["seconds"] for path in chapters) / 60
        rows.append(f"| [{part_name(part)}](nbs/part{part}.md) | {len(chapters)} | {spent:.0f} |")
    toc = "\n".join(f"nbs/part{part}" for part in parts)
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    return text.replace("<!-- parts -->", "\n".join(rows)).replace("<!-- toc -->", toc)


def board_samples(found: dict) -> tuple[str, str]:
    """The samples that a leaderboard keeps, as a script of the page, and the element that names its cells."""
    def plain(note: dict) -> dict:
        return note | {"data": base64.b64encode(zlib.decompress(base64.b64decode(note["data"]))).decode()}
    sets = {name: {"data": plain(has["data"]), "circles": has["circles"], "cells": {}}
            for name, has in found["sets"].items() if "data" in has}
    for row in found["rows"]:
        notes = [part["samples"] for part in row["parts"].values() if "samples" in part]
        if notes and row["set"] in sets:
            sets[row["set"]]["cells"][row["method"]] = plain(notes[0])
    names = json.dumps({name: list(has["cells"]) for name, has in sets.items()})
    return (f"window.boardSamples = {json.dumps(sets)};\n",
            f'\n<div data-samples="../_static/{SAMPLES}" data-cells="{escape(names)}"></div>\n')


def put(path: Path, text: str) -> None:
    """Write a page if it says something new, so that Sphinx reads only what changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def gather(to: Path, figures: Path) -> set[Path]:
    """Write every page under `to` and every picture under `figures`; returns the pages."""
    repository = settings()["repository"]
    figures.mkdir(parents=True, exist_ok=True)
    books = notebooks(ROOT)
    parts: dict[int, list[Path]] = {}
    for path in books:
        if number(path):
            parts.setdefault(place(path)[0], []).append(path)
    pages = {*books, *(ROOT / name for name in DOCUMENTS)}
    wanted = {to / p.relative_to(ROOT): chapter(p, figures, pages, repository) for p in books}
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        wanted[to / name] = relink(text, ROOT / name, pages, repository)
        for link in LINK.finditer(text):
            if link[1] and not link[3].startswith("http"):
                target = to / name.rpartition("/")[0] / link[3]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile((ROOT / name).parent / link[3], target)
    script, element = board_samples(json.loads((ROOT / "benchmarks/leaderboard.json").read_text(encoding="utf-8")))
    put(figures / SAMPLES, script)
    wanted[to / "benchmarks/leaderboard.md"] += element
    wanted |= {to / f"nbs/part{part}.md": part_page(part, chapters) for part, chapters in parts.items()}
    wanted[to / "index.md"] = front_page(parts)
    wanted |= {to / "api" / name: text for name, text in write_reference().items()}
    for path, text in wanted.items():
        put(path, text)
    for left in {*to.rglob("*.md"), *to.rglob("*.ipynb")} - set(wanted):
        left.unlink()  # a page of a chapter that is no more
    return set(wanted)


if __name__ == "__main__":
    print(f"{len(gather(ROOT / 'build/docs', ROOT / 'build/figures'))} pages gathered in build/docs")
