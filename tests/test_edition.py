"""The learner's edition: what `modelab course` leaves out, what it never overwrites, and the file of the progress."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import notebooks, run
from test_exercises import ANSWER, FENCE, folded

from modelab.__main__ import main
from modelab.course.chapters import chapters_path, COPIED, copy_chapters, learner_edition
from modelab.course.jupyter import jupyterlab_command, OPENED
from modelab.course.progress import note_answer, PROGRESS, progress_here, progress_table, read_progress

SHOWN = new_output("stream", text="8")
FOLD, END = "<details><summary>Read this after you have run the cells above</summary>\n\n", "\n\n</details>"


def code(source: str, **kw):
    """A cell that has run."""
    return new_code_cell(source, outputs=[SHOWN], execution_count=1, **kw)


@pytest.fixture
def source(tmp_path) -> Path:
    """A course of an index and one chapter."""
    nb = new_notebook(cells=[
        new_markdown_cell("# T\nThe data:"), code("import math"), code("draw()"), new_markdown_cell("**Predict:** how many?"),
        code("count()"), new_markdown_cell("Look at it."), code("more()"), new_markdown_cell("## Next\nText"), code("other()"),
        code("#| hide-input\ndef helper(): pass"), new_markdown_cell("## The graders\nThe answers."), code("accepts = [8]"),
        new_markdown_cell("### Mutants"), code("rejects = [7]")])
    for name in ("index.ipynb", "0_start/02_evidence.ipynb", "_text/no.ipynb", ".ipynb_checkpoints/no.ipynb"):
        (path := tmp_path / "the source" / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, path)
    (tmp_path / "the source" / "conftest.py").write_text("")
    return tmp_path / "the source"


def test_a_prediction_comes_before_its_answer_and_graders_stay_behind(source):
    cells = json.loads(learner_edition((source / "index.ipynb").read_text()))["cells"]
    assert [bool(c["outputs"]) for c in cells if c["cell_type"] == "code"] == [True, True, False, False, True, True]
    assert [c["metadata"].get("jupyter") for c in cells if c["cell_type"] == "code"] == \
        [{"source_hidden": True}, None, None, None, None, {"source_hidden": True}]
    assert [c["source"] for c in cells if c["cell_type"] == "markdown"][2:4] == [f"{FOLD}Look at it.{END}", "## Next\nText"]
    assert "".join(cells[-2]["source"]) == "other()" and len(cells) == 10
    assert all(c["execution_count"] is None for c in cells if c["cell_type"] == "code" and not c["outputs"])


@pytest.mark.parametrize("text, hides", [("**Predict** the count.", True), ("Now. **Predict:** 3?", True), ("**Predict, run.**", False),
                                         ("**Predict:** 3?\n\n## Then", False), ("## Then\n**Predict:** 3?", True), ("Predict.", False)])
def test_only_a_prediction_hides_outputs(text, hides):
    nb = new_notebook(cells=[new_markdown_cell(text), code("1")])
    assert bool(json.loads(learner_edition(nbformat.writes(nb)))["cells"][1]["outputs"]) is not hides


@pytest.mark.parametrize("before, text, shown", [
    ("", "Eight.\n\n$$x$$\n\nSo.", f"{FOLD}Eight.\n\n$$x$$\n\nSo.{END}"), ("", "Eight.\n## Next", f"{FOLD}Eight.{END}\n\n## Next"),
    ("", "## Next\nText", "## Next\nText"), ("", "Eight.\n\nNow:\n**Predict:** 3?", f"{FOLD}Eight.{END}\n\nNow:\n**Predict:** 3?"),
    ("", "Now, **Predict:** 3?", "Now, **Predict:** 3?"), ("## Next", "Text.", "Text."), (None, "Run this.", "Run this.")])
def test_text_that_tells_the_answer_is_folded(before, text, shown):
    between = [] if before is None else [code("1"), *([new_markdown_cell(before)] if before else [])]
    nb = new_notebook(cells=[new_markdown_cell("**Predict:** how many?"), *between, new_markdown_cell(text)])
    assert json.loads(learner_edition(nbformat.writes(nb)))["cells"][-1]["source"] in (shown, [shown])


@pytest.mark.parametrize("source, folds", [("assert x == 8", True), ("def f():\n    assert x", True), ("claim('eight')", True), ("x.claim()", False),
                                           ("Picture(figure, 'eight')", True), ("assertion = 8", False), ("x", False)])
def test_code_that_tells_the_answer_is_folded(source, folds):
    nb = new_notebook(cells=[new_markdown_cell("**Predict:** 3?"), code(source), new_markdown_cell("## Then"), code(source)])
    asked, then = (cell for cell in json.loads(learner_edition(nbformat.writes(nb)))["cells"] if cell["cell_type"] == "code")
    assert ("jupyter" in asked["metadata"]) is folds and "jupyter" not in then["metadata"]


def test_folded_text_of_the_chapters_is_whole():
    folds = [c.source[len(FOLD):].split(END)[0] for path in notebooks()
             for c in nbformat.reads(learner_edition(path.read_text(encoding="utf-8")), as_version=4).cells if c.source.startswith(FOLD)]
    assert len(folds) >= 90 and all(text.count("$$") % 2 == text.count("```") % 2 == 0 and "<details>" not in text for text in folds)


def lines_of(source: str) -> list[str]:
    """The lines of a cell, without empty ones and without what folds them."""
    return [line for line in source.splitlines() if line.strip() and not re.match("</?details>", line)]


def test_every_chapter_has_a_learners_edition():
    for path in notebooks():
        whole = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nb = nbformat.reads(learner_edition(path.read_text(encoding="utf-8")), as_version=4)
        nbformat.validate(nb)
        assert not [c for c in nb.cells if c.source.startswith(("## The graders", "#| export course.graders"))]
        assert [lines_of(c.source) for c in nb.cells] == [lines_of(c.source) for c in whole.cells][:len(nb.cells)]
        by_id = {c.id: c for c in whole.cells}
        assert all(not c.outputs or c.outputs == by_id[c.id].outputs for c in nb.cells if c.cell_type == "code")


def files(folder: Path) -> set[str]:
    """What is in a folder."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_copies_go_where_they_are_sent_and_only_once(source, tmp_path):
    mine = tmp_path / "my course" / "of gans"
    assert len(copy_chapters(mine, source)) == 2
    assert files(mine) == {"index.ipynb", "0_start/02_evidence.ipynb", PROGRESS, COPIED}
    before = {p: p.stat().st_mtime_ns for p in mine.rglob("*")}
    assert copy_chapters(mine, source) == [] and {p: p.stat().st_mtime_ns for p in mine.rglob("*")} == before


def test_a_deleted_chapter_comes_back_and_an_edited_one_stops_all(source, tmp_path):
    mine = tmp_path / "mine"
    copy_chapters(mine, source)
    (mine / "index.ipynb").unlink()
    assert copy_chapters(mine, source) == [mine / "index.ipynb"]
    (mine / "index.ipynb").unlink()
    (mine / "0_start/02_evidence.ipynb").write_text("my notes")
    for solved in (False, True):
        with pytest.raises(FileExistsError, match="02_evidence"):
            copy_chapters(mine, source, solved=solved)
    assert not (mine / "index.ipynb").exists() and (mine / "0_start/02_evidence.ipynb").read_text() == "my notes"


def test_a_new_version_replaces_what_nobody_edited(source, tmp_path):
    mine, chapter = tmp_path / "mine", "0_start/02_evidence.ipynb"
    copy_chapters(mine, source)
    old = (mine / chapter).read_text()
    for name in ("index.ipynb", chapter):
        (source / name).write_text((source / name).read_text().replace("The data:", "New data:"))
    assert len(copy_chapters(mine, source)) == 2 and "New data:" in (mine / chapter).read_text()
    (mine / chapter).write_text(old)  # not as it was copied last
    with pytest.raises(FileExistsError, match="02_evidence"):
        copy_chapters(mine, source)
    (mine / COPIED).write_text("broken")
    (mine / "index.ipynb").write_text("my notes")
    with pytest.raises(FileExistsError, match="2 file"):
        copy_chapters(mine, source)


def test_edited_chapters_are_kept_if_asked_and_the_others_are_renewed(source, tmp_path):
    mine, chapter = tmp_path / "mine", "0_start/02_evidence.ipynb"
    copy_chapters(mine, source)
    (mine / chapter).write_text("my notes")
    (mine / "index.ipynb").unlink()
    for solved in (True, False):
        assert copy_chapters(mine, source, solved=solved, keep=True) == [mine / "index.ipynb"]
    assert (mine / chapter).read_text() == "my notes"
    (mine / chapter).unlink()
    assert copy_chapters(mine, source, keep=True) == [mine / chapter]


def test_open_starts_jupyterlab_on_the_folder_with_its_layout(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("modelab.course.chapters.chapters_path", lambda: source)
    opened = []
    monkeypatch.setattr("modelab.course.chapters.open_course", lambda folder, options: opened.append((folder, options)) or 0)
    assert main(["course", "mine", "--open", "--no-browser", "--port=9"]) == 0 and opened == [(Path("mine"), ["--no-browser", "--port=9"])]
    (tmp_path / "mine/index.ipynb").write_text("my notes")
    assert main(["course", "mine", "--open"]) == 0 and opened[1] == (Path("mine"), [])
    assert "Kept as you left them: index.ipynb. Delete a file" in capsys.readouterr().out


def test_the_layout_is_written_once_and_the_news_are_off(tmp_path, monkeypatch):
    pytest.importorskip("jupyterlab")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/elsewhere")
    command, environment = jupyterlab_command(tmp_path, ["--no-browser"])
    own = tmp_path.resolve() / ".jupyter"
    assert command[1:4] == ["-m", "jupyterlab", f"--ServerApp.root_dir={tmp_path.resolve()}"] and command[-1] == "--no-browser"
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [str(own), "/elsewhere"]
    news = json.loads((own / "labconfig/default_setting_overrides.json").read_text())
    assert news["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    layout, = (own / "workspaces").iterdir()
    assert all(f"notebook:{book}" in json.loads(layout.read_text())["data"] for book in OPENED)
    layout.write_text("the learner's own")
    jupyterlab_command(tmp_path, [])
    assert layout.read_text() == "the learner's own"


def test_open_without_jupyterlab_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab_server.workspaces_handler", None)
    with pytest.raises(ValueError, match=r"pip install 'modelab\[course\]'"):
        jupyterlab_command(tmp_path, [])


def test_the_index_shows_the_progress_of_its_own_folder(source, tmp_path, monkeypatch):
    copy_chapters(tmp_path / "mine", source)
    monkeypatch.chdir(tmp_path)
    assert "modelab course my-course" in progress_here()
    monkeypatch.chdir(tmp_path / "mine")
    assert progress_here() == progress_table(tmp_path / "mine") and "evidence             0 of 2" in progress_here()


def test_what_a_killed_copy_left_is_deleted_and_nothing_else(source, tmp_path):
    mine = tmp_path / "mine"
    copy_chapters(mine, source)
    for name in ("0_start/.02_evidence.ipynb.zxd0mtlp", "0_start/.02_evidence.ipynb.Mine", "0_start/.mine.ipynb.zxd0mtlp"):
        (mine / name).write_text("half")
    assert copy_chapters(mine, source) == []
    assert {p.name for p in mine.rglob(".*")} == {".02_evidence.ipynb.Mine", ".mine.ipynb.zxd0mtlp", COPIED}


@pytest.mark.parametrize("words, message", [
    ([""], "folder: expected a name"), (["file"], "file is a file: name another"), (["part"], "0_start is a file: name another"),
    (["other"], "differ from the course (edited, or of another version)"), (["part", "--progress", "--solved"], "--progress copies nothing"),
    (["part", "--progress", "--no-progress"], "--progress copies nothing"), (["part", "--progress", "--open"], "--progress copies nothing"), (["part", "--progress"], "Make an empty file"),
    (["wrong", "--progress"], "is a folder: move it away")])
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(source, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("modelab.course.chapters.chapters_path", lambda: source)
    for folder in ("part", "other/index.ipynb", f"wrong/{PROGRESS}"):
        Path(folder).mkdir(parents=True)
    for file in ("file", "part/0_start"):
        Path(file).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["course", *words]) == 2 and sorted(tmp_path.rglob("*")) == before
    out, err = capsys.readouterr()
    assert not out and message in err and err.count("\n") == 1


def test_a_folder_with_a_dash_is_printed_as_jupyter_takes_it(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("modelab.course.chapters.chapters_path", lambda: source)
    assert main(["course", "--", "-dash"]) == 0 and "jupyter lab ./-dash\n" in capsys.readouterr().out


def test_the_whole_chapter_replaces_the_learners_and_back(source, tmp_path):
    mine, name = tmp_path / "mine", "0_start/02_evidence.ipynb"
    copy_chapters(mine, source)
    plain = (mine / name).read_bytes()
    assert len(copy_chapters(mine, source, solved=True)) == 2 and (mine / name).read_bytes() == (source / name).read_bytes() != plain
    assert len(copy_chapters(mine, source)) == 2 and (mine / name).read_bytes() == plain


def test_progress_is_kept_by_copies_and_can_be_left_out(source, tmp_path):
    mine = tmp_path / "mine"
    copy_chapters(mine, source, progress=False)
    assert not (mine / PROGRESS).exists()
    copy_chapters(mine, source)
    (mine / PROGRESS).write_text('{"evidence": {"grade_seen": "2026-01-01"}}')
    copy_chapters(mine, source, solved=True)
    assert read_progress(mine / PROGRESS) == {"evidence": {"grade_seen": "2026-01-01"}}


@pytest.mark.parametrize("inside", ["", "0_start"])
def test_a_right_answer_is_noted_once_in_the_learners_folder(source, tmp_path, monkeypatch, capsys, inside):
    from modelab.course.graders.evidence import grade_seen
    mine = tmp_path / "my course"
    copy_chapters(mine, source)
    monkeypatch.chdir(mine / inside)
    assert grade_seen(...).startswith("Your turn") and grade_seen(1000).startswith("Not yet") and read_progress(mine / PROGRESS) == {}
    assert grade_seen(632) == grade_seen(632.2) == "Right."
    assert list(read_progress(mine / PROGRESS)["evidence"]) == ["grade_seen"]
    assert re.search(r"0\.2 +evidence +1 of 2 +open: differs\n", progress_table(mine))
    capsys.readouterr()
    assert main(["course", str(mine), "--progress"]) == 0 and capsys.readouterr().out.rstrip() == progress_table(mine)
    assert [p.name for p in mine.rglob(".*")] == [COPIED]  # nothing half written


def test_answers_of_two_notebooks_at_once_are_all_noted(tmp_path):
    (tmp_path / PROGRESS).write_text("")
    line = "import sys; from modelab.course.progress import note_answer as n; print(*{n(sys.argv[1], str(i)) for i in range(60)})"
    both = [subprocess.Popen([sys.executable, "-c", line, name], cwd=tmp_path, text=True, stdout=subprocess.PIPE) for name in "ab"]
    for one in both:
        said = one.communicate()[0]
        assert one.returncode == 0 and "not noted" not in said
    assert [len(read_progress(tmp_path / PROGRESS)[name]) for name in "ab"] == [60, 60] and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_noted_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / PROGRESS).write_text("{}")
    monkeypatch.chdir(tmp_path / "a/b/c")  # neither here nor one above
    assert note_answer("evidence", "grade_seen") == "" and (tmp_path / PROGRESS).read_text() == "{}"
    monkeypatch.chdir(chapters_path())
    assert note_answer("evidence", "grade_seen") == "" and not list(chapters_path().rglob(PROGRESS))


@pytest.mark.parametrize("broken", ["{", "[]", '{"evidence": 3}', '{"evidence": {"grade_seen": 1}}', "[" * 100_000, b"\xff\xfe"],
                         ids=range(6))
def test_a_broken_file_is_reported_and_not_lost(tmp_path, monkeypatch, capsys, broken):
    from modelab.course.graders.evidence import grade_seen
    file, broken = tmp_path / PROGRESS, broken if isinstance(broken, bytes) else broken.encode()
    file.write_bytes(broken)
    monkeypatch.chdir(tmp_path)
    said = grade_seen(632)
    assert said.startswith("Right. (not noted: ") and PROGRESS in said and file.read_bytes() == broken
    assert main(["course", str(tmp_path), "--progress"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("modelab course: ") and "mend it" in err and err.count("\n") == 1
    assert file.read_bytes() == broken


def test_an_empty_file_takes_answers(tmp_path, monkeypatch):
    (tmp_path / PROGRESS).touch()
    monkeypatch.chdir(tmp_path)
    assert read_progress(Path(PROGRESS)) == {} and note_answer("evidence", "grade_seen") == ""
    assert list(read_progress(Path(PROGRESS))["evidence"]) == ["grade_seen"]


def test_progress_of_a_folder_without_a_file_is_refused(tmp_path, capsys):
    assert main(["course", str(tmp_path), "--progress"]) == 2 and PROGRESS in capsys.readouterr().err


def test_a_learners_chapter_runs_with_the_printed_solutions(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELAB_FAST", "1")
    mine = tmp_path / "my course"
    copy_chapters(mine)
    path = mine / "0_start/05_networks.ipynb"  # a short one
    nb, graded = nbformat.read(path, as_version=4), []
    for question, solution in zip(nb.cells, nb.cells[1:]):
        if question.cell_type == "code" and (found := ANSWER.search(question.source)):
            fence = FENCE.findall(folded(solution.source, "Solution"))[-1]
            question.source = f"{fence}\n{found[0]}"
            graded.append(question)
    run(nb, path)
    assert len(graded) >= 2 and [c.outputs[-1].data["text/plain"] for c in graded] == ["'Right.'"] * len(graded)
    assert len(read_progress(mine / PROGRESS)["networks"]) == len(graded)
    assert re.search(rf"0\.5 +networks +{len(graded)} of {len(graded)} *\n", progress_table(mine))


def test_an_unanswered_chapter_fails_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELAB_FAST", "1")
    mine = tmp_path / "my course"
    copy_chapters(mine)
    path = mine / "0_start/02_evidence.ipynb"
    nb = nbformat.read(path, as_version=4)
    run(nb, path)
    said = [c.outputs[-1].data["text/plain"] for c in nb.cells if c.cell_type == "code" and ANSWER.search(c.source)]
    assert said and all("Your turn" in text for text in said) and read_progress(mine / PROGRESS) == {}
