"""The first chapter: its diagram, its words, and the glossary that holds all words of the course."""

import re

import glossary as links
import nbformat
import pytest
from run_notebooks import ROOT, notebooks, number

from modelab.core.plotting import Picture
from modelab.course.diagrams import flow_diagram

ROW = re.compile(r"^\| ([^|]+?) \| ([^|]+?) \|(?: \[([0-9.]+)\]\(([^)]+)\) \|)?$", re.M)


def text_of(path) -> str:
    """The text cells of a notebook."""
    return "\n\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")


def rows(text: str) -> list[tuple[str, str, str, str]]:
    """Term, meaning, number and link of each row of a table, without its head."""
    return [row for row in ROW.findall(text) if row[0] not in ("term", "word") and set(row[0]) != {"-"}]


def faults(terms: list[tuple[str, str, str, str]]) -> list[str]:
    """What is wrong with the rows of the glossary."""
    names = [row[0] for row in terms]
    found = ["not sorted"] * (names != sorted(names, key=str.casefold))
    found += [f"{name} is there twice" for name in {n.casefold() for n in names} if [*map(str.casefold, names)].count(name) > 1]
    for name, meaning, chapter, link in terms:
        path = ROOT / "nbs" / link
        if not link or not path.is_file() or number(path) != chapter:
            found.append(f"{name}: no link to its chapter")
        elif name.casefold() not in text_of(path).casefold():
            found.append(f"{name}: chapter {chapter} does not use the word")
        if not re.fullmatch(r"[A-Z0-9][^.!?]*\.", re.sub(r"\d\.\d", "0", meaning)) or len(meaning.split()) > 24:
            found.append(f"{name}: the meaning is not one plain sentence of at most 24 words")
    return found


@pytest.fixture(scope="module")
def glossary():
    return rows(text_of(ROOT / "nbs/glossary.ipynb"))


def test_the_glossary_is_sorted_and_its_chapters_use_the_words(glossary):
    assert len(glossary) >= 60 and not faults(glossary)


def test_bad_rows_of_a_glossary_are_noticed(glossary):
    good = next(row for row in glossary if row[0] == "mode")
    assert not faults([good])
    bad = {"twice": [good, ("Mode", *good[1:])], "not sorted": [good, glossary[0]],
           "no link": [(*good[:3], "0_start/nothing.ipynb")], "no link ": [(*good[:2], "0.2", good[3])],
           "does not use": [("zebra", *good[1:])], "plain sentence": [(good[0], "A kind. Of example.", *good[2:])],
           "plain sentence ": [(good[0], "a kind", *good[2:])]}
    for says, terms in bad.items():
        assert any(says.strip() in line for line in faults(terms)), says


def test_the_first_chapter_uses_the_sentences_of_the_glossary(glossary):
    first = text_of(ROOT / "nbs/0_start/01_first_gan.ipynb")
    words = [row[:2] for row in rows(first) if row[0].strip("*") == row[0]]
    assert len(words) >= 10 and set(words) <= {row[:2] for row in glossary}
    known = {row[0] for row in glossary if row[2] == "0.1"}
    assert {word for word, _ in words} <= known


def test_every_part_of_the_course_has_words_in_the_glossary(glossary):
    parts = {number(path)[0] for path in notebooks() if number(path)} - {"6"}
    assert {row[2][0] for row in glossary} >= parts


def test_the_diagram_draws_every_box_and_arrow():
    figure = flow_diagram({"f": (1, 0)}, {"x": (0, 0), "y": (2, 0)}, [("x", "f"), ("f", "y")], [("y", "f", .3)])
    texts = figure.axes[0].texts
    arrows = [t.arrow_patch for t in texts if getattr(t, "arrow_patch", None)]
    assert {t.get_text() for t in texts} == {"f", "x", "y", ""} and len(arrows) == 3
    assert [a.get_linestyle() in ("--", "dashed") for a in arrows].count(True) == 1
    assert Picture(figure, "x, f, y").png.startswith(b"\x89PNG")


def test_an_arrow_from_nowhere_is_refused():
    with pytest.raises(KeyError):
        flow_diagram({"f": (1, 0)}, {}, [("x", "f")])


@pytest.mark.parametrize("part", links.parts(), ids=lambda part: part[0].parent.name)
def test_the_first_use_of_a_term_in_each_part_is_linked_with_the_glossary(part):
    texts = {path: path.read_text(encoding="utf-8") for path in part}
    assert not [f"{path.name}: {term}" for path, term in links.linked(part, texts)], "run data_scripts/glossary.py --write"


def test_only_plain_prose_is_linked(tmp_path):
    text = """# %% [markdown]
# # A title with a baseline
# | a table | with a baseline |
# `baseline`, $baseline$, [its baseline](x.ipynb#baseline-2) is a link already.

# %%
baseline = "not prose, a baseline"

# %% [markdown]
# <details><summary>A floor</summary>
#
# the floor of an answer
# </details>
#
# Two floors, then a floor.
"""
    path = tmp_path / "9_part" / "01_some.py"
    path.parent.mkdir()
    texts = {path: text}
    assert [term for _, term in links.linked([path], texts)] == ["floor"]
    assert texts[path] == text.replace("Two floors", "Two [floors](../glossary.ipynb)")
    assert not [*links.linked([path], texts)]
