"""The exercises of the chapters: their form, their graders, and their printed solutions, which the graders must accept."""

import ast
import functools
import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from export import GRADERS, exported
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from run_notebooks import ROOT, notebooks

from modelab.course.exercises import Grader, exercise
from modelab.course.progress import exercises_of

CHOSEN = os.environ.get("MODELAB_CHAPTER")  # the chapter that `make check` is about
BOOKS = [p for p in ([Path(CHOSEN)] if CHOSEN else notebooks()) if p.stem != "index"]
ANSWER = re.compile(r"^(grade_\w+)\(answer\)$", re.M)
QUESTION = re.compile(r"\*\*(\d+)\.\*\* \((?:easy|medium|hard), \d+ minutes?\) \S")
FENCE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
ITEM = re.compile(r"^(\d+)\. \S", re.M)


@functools.cache
def read(path: Path) -> NotebookNode:
    """A chapter; it is read once, because this file only looks at it."""
    nb = nbformat.from_dict(json.loads(path.read_text(encoding="utf-8")))
    for cell in nb.cells:
        cell.source = "".join(cell.source)
    return nb


def name_of(path: Path) -> str:
    """A chapter as `part/chapter`."""
    return f"{path.parent.name}/{path.stem}"


def folded(source: str, title: str) -> str | None:
    """What is folded under a title in a text cell; None if it is not there, or would not show as text."""
    found = re.search(rf"^<details><summary>{title}</summary>\n\n(.+?)\n\n</details>$", source, re.M | re.S)
    return found and found[1]


def split(nb: NotebookNode) -> tuple[list[NotebookNode], list[NotebookNode]]:
    """The cells of a chapter before its last section `## The graders`, and those of that section."""
    heads = [i for i, c in enumerate(nb.cells) if c.cell_type == "markdown" and c.source.startswith("## The graders\n")]
    end = heads[0] if heads else len(nb.cells)
    return nb.cells[:end], nb.cells[end:]


def answers(nb: NotebookNode) -> Iterator[tuple[str, int]]:
    """The grader and the number of each answer cell."""
    for i, cell in enumerate(split(nb)[0]):
        if cell.cell_type == "code" and (found := ANSWER.search(cell.source)):
            yield found[1], i


def of_question(nb: NotebookNode, grader: str, i: int, number: int) -> Iterator[str]:
    """What is wrong around one answer cell: question and hint above, solution below."""
    above, below = (nb.cells[j].source if 0 <= j < len(nb.cells) and nb.cells[j].cell_type == "markdown" else "" for j in (i - 1, i + 1))
    asked = QUESTION.search(above)
    if not asked:
        yield f"{grader}: above the answer stands no `**{number}.** (easy, 5 minutes) …`"
    elif int(asked[1]) != number:
        yield f"{grader}: exercise {asked[1]} is number {number} of the chapter"
    if not folded(above, "Hint"):
        yield f"{grader}: no folded hint above the answer"
    if "..." not in nb.cells[i].source:
        yield f"{grader}: the answer cell holds no `...`"
    solution = folded(below, "Solution") or ""
    if not any(re.search(r"^(answer =|def answer\()", code, re.M) for code in FENCE.findall(solution)):
        yield f"{grader}: no folded solution below the answer that sets `answer` in a fence"


def of_recall(cells: list[NotebookNode]) -> Iterator[str]:
    """What is wrong with the questions for later: a list, and as many folded answers."""
    texts = [c.source for c in cells if c.cell_type == "markdown" and "**For later" in c.source]
    if not texts:
        yield "no `**For later.**` questions"
    for text in texts:
        asked = ITEM.findall(text[text.index("**For later"):].partition("<details>")[0])
        answered = ITEM.findall(folded(text, "Answers") or "")
        if not asked or asked != answered:
            yield f"questions for later: {len(asked)} in a numbered list, and {len(answered)} folded answers"


def faults(nb: NotebookNode, stem: str, least: int = 2) -> list[str]:
    """What in a chapter's exercises is not in the form."""
    cells, graders = split(nb)
    found, asked = [], list(answers(nb))
    if len(asked) < least:
        found.append(f"{len(asked)} exercises in the form, the least is {least}")
    for number, (grader, i) in enumerate(asked, 1):
        found += of_question(nb, grader, i, number)
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    module = f"modelab.{GRADERS}{stem}"
    if f"from {module} import" not in code:
        found.append(f"the graders are not imported from {module}")
    found += [f"{name} is defined above the section of the graders" for name, _ in asked
              if re.search(rf"^def {name}\(|^{name} = exercise\(", code, re.M)]
    found += [f"a cell of the graders does not export to {GRADERS}{stem}" for c in graders
              if c.cell_type == "code" and not c.source.startswith(f"#| export {GRADERS}{stem}\n")]
    if any(c.cell_type == "markdown" and re.match("##? ", c.source) for c in graders[1:]):
        found.append("the graders are not the last section")
    return found + list(of_recall(cells))


def must_have(path: Path, nb: NotebookNode) -> bool:
    """Whether a chapter has graded exercises, or should: all of parts 0 to 5."""
    return path.parent.name[0] in "012345" or any("import exercise\n" in f"{c.source}\n" for c in nb.cells)


@pytest.mark.parametrize("path", BOOKS, ids=name_of)
def test_exercises_have_the_form(path):
    nb = read(path)
    if must_have(path, nb):
        assert not faults(nb, path.stem.partition("_")[2], 2 if path.parent.name[0] in "012345" else 1)


def example() -> NotebookNode:
    """Two exercises in the form."""
    cells = [new_markdown_cell("## Exercises"), new_code_cell("from modelab.course.graders.x import grade_a, grade_b")]
    for n, name in enumerate("ab", 1):
        cells += [new_markdown_cell(f"**{n}.** (easy, 5 minutes) Two?\n\n<details><summary>Hint</summary>\n\nOne more.\n\n</details>"),
                  new_code_cell(f"answer = ...\ngrade_{name}(answer)"),
                  new_markdown_cell("<details><summary>Solution</summary>\n\n```python\nanswer = 2\n```\n\n</details>")]
    later = "**For later.**\n\n1. Why?\n\n<details><summary>Answers</summary>\n\n1. So.\n\n</details>"
    return new_notebook(cells=[*cells, new_markdown_cell(f"## Recap\n{later}"), new_markdown_cell("## The graders\nThe answers."),
                               new_code_cell("#| export course.graders.x\nfrom modelab.course.exercises import exercise")])


BAD = {  # cell, old, new, and what is said
    "a printed grader": (1, "from", "@exercise(accepts=[2], rejects=[3])\ndef grade_a(answer):\n    assert answer == 2\nfrom", "defined above"),
    "no difficulty": (2, "(easy, 5 minutes) ", "", "above the answer"),
    "no hint": (2, "<summary>Hint", "<summary>Help", "no folded hint"),
    "a hint that is no text": (2, "</summary>\n\n", "</summary>\n", "no folded hint"),
    "a wrong number": (5, "**2.**", "**3.**", "number 2"),
    "an answer": (3, "...", "2", "no `...`"),
    "no solution": (4, "answer = 2", "two = 2", "no folded solution"),
    "no import": (1, "graders.x", "graders.y", "not imported"),
    "one exercise": (6, "grade_b(answer)", "", "1 exercises"),
    "no questions": (8, "**For later", "**Later", "no `**For later"),
    "no answers": (8, "1. So.", "So.", "0 folded answers"),
    "another section": (9, "The answers.", "The answers.", "last section"),
    "a lesson among the graders": (10, "#| export course.graders.x\n", "", "does not export"),
}


def test_the_form_is_accepted():
    assert faults(example(), "x") == []


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_in_the_form_is_noticed(what):
    nb, (cell, old, new, says) = example(), BAD[what]
    assert old in nb.cells[cell].source
    nb.cells[cell].source = nb.cells[cell].source.replace(old, new, 1)
    if what == "another section":
        nb.cells.append(new_markdown_cell("## References"))
    assert [line for line in faults(nb, "x") if says in line]


GRADED = [(p, name) for p in BOOKS for name, _ in answers(read(p))
          if (ROOT / f"modelab/course/graders/{p.stem.partition('_')[2]}.py").exists()]


def grader(path: Path, name: str) -> Grader | None:
    """A grader of a chapter; None where it is still a part of the lesson."""
    return getattr(importlib.import_module(f"modelab.{GRADERS}{path.stem.partition('_')[2]}"), name, None)


@pytest.mark.parametrize("path, name", GRADED, ids=[f"{name_of(p)}-{name}" for p, name in GRADED])
def test_a_grader_is_right_about_known_answers(path, name):
    grade = grader(path, name)
    assert isinstance(grade, Grader)
    grade.prove()
    assert grade(...).startswith("Your turn")
    told = [grade.hint(wrong) for wrong in (grade.rejects() if callable(grade.rejects) else grade.rejects)]
    right = [] if callable(grade.accepts) else [f"{a:.4g}" for a in grade.accepts if isinstance(a, float)]
    assert not [hint for hint in told for answer in right if len(answer) > 3 and answer in hint], "a hint tells the answer"


def imports(source: str) -> list[str]:
    """The imports of a cell."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell with a command of IPython
        return []
    return [ast.unparse(n) for n in body if isinstance(n, ast.Import) or isinstance(n, ast.ImportFrom) and n.module != "__future__"]


@pytest.fixture(scope="module")
def lesson():
    """What a reader of a chapter can use in an answer: its imports, and what it exports."""
    known: dict[Path, dict] = {}

    def of(path: Path) -> dict:
        if path not in known:
            space: dict = {}
            for cell in split(read(path))[0]:
                if cell.cell_type == "code":
                    exec("\n".join(imports(cell.source)), space)
            for name in exported(path):
                module = importlib.import_module(f"modelab.{name}")
                space |= {key: getattr(module, key) for key in getattr(module, "__all__", ())}
            known[path] = space
        return dict(known[path])
    return of


@pytest.mark.parametrize("path, name", GRADED, ids=[f"{name_of(p)}-{name}" for p, name in GRADED])
def test_a_grader_accepts_the_printed_solution(path, name, lesson, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where nothing is noted
    nb = read(path)
    i = dict(answers(nb))[name]
    for code in FENCE.findall(folded(nb.cells[i + 1].source, "Solution") or ""):
        space = lesson(path)
        exec(code, space)
        assert grader(path, name)(space["answer"]) == "Right."


@pytest.mark.parametrize("path", BOOKS, ids=name_of)
def test_the_table_of_progress_knows_the_graders(path):
    names = exercises_of(path.stem.partition("_")[2])
    asked = {getattr(grader(path, name), "__name__", None) for p, name in GRADED if p == path}
    assert not names or set(names) == asked


def test_a_grader_that_looks_at_nothing_is_refused():
    with pytest.raises(AssertionError, match="accepts a wrong answer"):
        exercise(accepts=[1], rejects=[2])(lambda answer: None).prove()
