# %% [markdown]
# # The command line
# > How do I train, measure and sample from a shell?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do I train, measure and sample from a shell? |
# | **You will be able to** | use the commands of `modelab`; add one that starts at once |
# | **Needs** | [6.2](02_registry.ipynb), [6.13](13_distributed.ipynb) |
# | **Time** | seconds |
#
# This chapter is for users of the command line, and for contributors who add a command. If you only use the commands, these lines and the section *Seen from a shell* are enough. `modelab COMMAND --help` shows all options of a command, with examples.
#
# ```sh
# modelab course my-course --open                      # the chapters, in JupyterLab
# modelab train minimax ring --out run                 # train eight seeds, print what they cover
# modelab train --resume run --steps 1000              # 1,000 steps more
# modelab sample run --n 10000 --out fakes.npy         # samples of the first seed
# modelab audit made/ --reference train/               # is it collapse, is it copying?
# modelab compare a/ b/ --reference train/             # which of two generators is better?
# modelab missing made/ --reference train/             # which real examples are not made?
# modelab data                                         # which real sets are on this disk?
# ```

# %%
#| default_exp __main__

# %%
#| export
"The command line of modelab."
from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence

from modelab import _index
from modelab.core.registry import COMMANDS, load

# %%
#| export training.commands
"The arguments of the commands `modelab train` and `modelab sample`; loads no torch."
from __future__ import annotations

import argparse
from collections.abc import Callable

from modelab.core.registry import register_command

# %%
#| export training.launch
"What the commands `modelab train` and `modelab sample` do, once their arguments are read."
from __future__ import annotations

import argparse
import dataclasses
import inspect
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelab.core.checks import check_choice, check_int
from modelab.core.files import atomic_write
from modelab.core.registry import known_names, load, make, MODE_SETS
from modelab.data.readers import is_archive
from modelab.evaluation.coverage import PROTOCOLS, coverage_table
from modelab.training.checkpoints import list_checkpoints, run_config
from modelab.training.distributed import Job, connect_ranks, handle_sigterm, train_job
from modelab.training.recommended import recommended
from modelab.training.run import Run

# %%
#| export course.progress
"Which exercises a learner has answered: a file in the learner's folder of the course."
from __future__ import annotations

import ast
import json
from datetime import date
from pathlib import Path

from modelab.core.files import atomic_write, file_lock

# %%
#| export course.jupyter
"Open a folder of chapters in JupyterLab: the first chapter, with the index beside it."
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from modelab.core.files import atomic_write

# %%
#| export course.chapters
"The chapters of the course, and the command `modelab course` that copies them to a folder."
from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from modelab.core.files import atomic_write
from modelab.core.registry import register_command
from modelab.course.jupyter import open_course
from modelab.course.progress import PROGRESS, progress_table

# %%
import subprocess
import tempfile
import time

# %% [markdown]
# ## One command, several subcommands
# `pip install` gives a command `modelab`. Three of its subcommands are built here: `course` brings the chapters, `train` trains a method on known modes, and `sample` writes samples to a file. The others are in the chapters that they belong to: `data` in [6.12](12_download.ipynb), `bench` in [6.14](14_leaderboard.ipynb), `audit` in [6.17](17_report.ipynb), `missing` in [4.3](../4_evidence/03_missing.ipynb), `compare` in [4.5](../4_evidence/05_compare.ipynb).
#
# A subcommand is registered by a function that adds its arguments to a parser and returns the function that does the work ([6.2](02_registry.ipynb)). Help should appear at once, but importing torch takes seconds. So the module that declares the arguments imports nothing heavy, and the work is in another module, which is imported when it is needed.

# %% [markdown]
# ## `modelab course DIR`
# An installed package contains the chapters. `chapters_path` finds them there, or in a checkout of the repository.

# %%
#| export course.chapters
def chapters_path() -> Path:
    "The folder of the chapters: inside an installed package, or beside it in a checkout."
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "chapters", here.parent / "nbs"):
        if (folder / "index.ipynb").is_file():
            return folder
    raise FileNotFoundError(f"the chapters are neither in {here} nor beside it: reinstall modelab")

# %% [markdown]
# ## The learner's edition
# A stored chapter shows its outputs, so a reader of the copy would see the answer below each question. `modelab course` writes a *learner's edition*. Three things are different there. Between a paragraph with **Predict** and the next heading no output is stored, and what tells the answer is folded: the reader runs the cells and opens it then. Cells that only import are folded. The section with the graders is left out.
#
# A code cell is folded if it holds nothing but imports, or if its first line is `#| hide-input`. Below a prediction it is also folded if it asserts something, or if it has a claim or the caption of a picture. A folded cell still runs. (JupyterLab shows it as a bar, other editors may show it open.)

# %%
#| export course.chapters
def _is_plumbing(source: str) -> bool:
    "Whether a code cell is folded: only imports and comments, or marked `#| hide-input`."
    if source.startswith("#| hide-input"):
        return True
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell with a command of IPython
        return False
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) or isinstance(node, ast.Expr)
               and isinstance(node.value, ast.Constant) for node in body)

# %% [markdown]
# Text below the cells that answer a prediction is folded up to the next heading or the next prediction. `_fold_answer` folds it.

# %%
#| export course.chapters
_PREDICT = r"\*\*Predict(:|\*\*)"
_TELLS = r"^ *(assert\b|claim\()|\b(Picture|Film)\("  # a code cell that states a result

def _fold_answer(source: str) -> str:
    "A text cell with its first part folded, up to a heading or a paragraph with **Predict**."
    heading = re.search(r"^#+ ", source, re.M)
    end = heading.start() if heading else len(source)
    if asked := re.search(_PREDICT, source[:end]):
        end = source.rfind("\n\n", 0, asked.start()) + 1
    told = source[:end].strip()
    if not told:
        return source
    return ("<details><summary>Read this after you have run the cells above</summary>\n\n"
            f"{told}\n\n</details>\n\n{source[end:].lstrip()}").rstrip()

# %% [markdown]
# `learner_edition` makes the edition from the notebook's JSON, so `modelab course` needs no Jupyter package.

# %%
#| export course.chapters
def learner_edition(text: str) -> str:
    "The text of a notebook without graders, with the answers to predictions removed or folded."
    book, cells, hidden, graders = json.loads(text), [], "", False
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if hidden == "ran":
                cell["source"] = _fold_answer(source)
            *before, last = re.split(r"^#+ ", source, flags=re.M)
            if before or re.search(_PREDICT, last):
                hidden = "asked" if re.search(_PREDICT, last) else ""
            if heading := re.match("##? (.*)", source):
                graders = heading[1] == "The graders"
        elif cell["cell_type"] == "code":
            if hidden:
                cell |= {"outputs": [], "execution_count": None}
                hidden = "ran"
            if _is_plumbing(source) or hidden and re.search(_TELLS, source, re.M):
                cell["metadata"].setdefault("jupyter", {})["source_hidden"] = True
        cells += [] if graders else [cell]
    book["cells"] = cells
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"

# %% [markdown]
# Each chapter has two editions: the learner's, and the whole. `_editions` makes both.

# %%
#| export course.chapters
def _editions(source: Path, folder: Path) -> list[tuple[Path, bytes, bytes]]:
    "Each chapter's place in `folder`, its learner's edition, and the whole of it."
    found = []
    for path in sorted(source.rglob("*.ipynb")):
        inside = path.relative_to(source)
        if not any(part.startswith((".", "_")) for part in inside.parts):
            whole = path.read_bytes()
            found.append((folder / inside, learner_edition(whole.decode()).encode(), whole))
    return found

# %% [markdown]
# A file in the folder may hold a user's own edits. A hidden file notes the SHA-256 of each chapter as it was copied. So an old version of a chapter can be told from an edited one.

# %%
#| export course.chapters
COPIED = ".modelab-copied.json"

def _copied(folder: Path) -> dict[str, str]:
    "The SHA-256 of each chapter as it was copied; empty if that is not known."
    try:
        return dict(json.loads((folder / COPIED).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}

# %% [markdown]
# A file is *edited* if it is neither of the two editions nor as it was copied. `edited_chapters` lists the edited ones.

# %%
#| export course.chapters
def edited_chapters(folder: Path, editions: list[tuple[Path, bytes, bytes]]) -> list[Path]:
    "Files of the folder that are neither an edition of the chapter nor as they were copied."
    known, found = _copied(folder), []
    for new, *both in editions:
        text = new.read_bytes() if new.is_file() else b""
        copied = known.get(new.relative_to(folder).as_posix())
        if new.is_dir() or new.exists() and text not in both \
                and hashlib.sha256(text).hexdigest() != copied:
            found.append(new)
    return found

# %% [markdown]
# A process that was killed while it wrote may leave a hidden file beside a chapter (chapter [6.3](03_files.ipynb)). The next copy deletes it.

# %%
#| export course.chapters
def _clear_way(new: Path, folder: Path) -> None:
    "Make the folder of a chapter, and delete what a killed copy of it left there."
    for place in (folder, new.parent):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(f"{place} is a file: name another folder, or move it away")
    new.parent.mkdir(parents=True, exist_ok=True)
    for left in new.parent.glob(f".{new.name}." + "[a-z0-9_]" * 8):
        left.unlink(missing_ok=True)

# %% [markdown]
# After a copy, `_note_copies` brings the hidden file up to date.

# %%
#| export course.chapters
def _note_copies(folder: Path, texts: dict[Path, bytes]) -> None:
    "Note what was copied, beside what is known of other files."
    before = _copied(folder)
    known = before | {new.relative_to(folder).as_posix(): hashlib.sha256(text).hexdigest()
                      for new, text in texts.items()}
    if known != before:
        atomic_write(folder / COPIED, (json.dumps(known, indent=1) + "\n").encode())

# %% [markdown]
# If edited files would be replaced, `_refuse_edited` raises an error that names the first three.

# %%
#| export course.chapters
def _refuse_edited(edited: list[Path]) -> None:
    "`FileExistsError` that names some of them."
    names = ", ".join(map(str, edited[:3])) + (" …" if len(edited) > 3 else "")
    raise FileExistsError(f"nothing was copied, {len(edited)} file(s) there differ from the "
                          f"course (edited, or of another version): {names}. Name another "
                          "folder, or move them away")

# %% [markdown]
# Now the copying itself, of all chapters but the edited ones:

# %%
#| export course.chapters
def _copy_editions(folder: Path, editions: list[tuple[Path, bytes, bytes]], edited: list[Path],
                   solved: bool, progress: bool) -> list[Path]:
    "Write one edition of what is not edited; returns what was written."
    wanted = {new: whole if solved else learner for new, learner, whole in editions
              if new not in edited}
    for new in wanted:
        _clear_way(new, folder)
    written = [new for new, text in wanted.items() if not new.exists() or new.read_bytes() != text]
    for new in written:
        atomic_write(new, wanted[new])
    _note_copies(folder, wanted)
    if progress and not (folder / PROGRESS).exists():
        atomic_write(folder / PROGRESS, b"{}\n")
    return written

# %% [markdown]
# `copy_chapters` writes one edition. A file of the other edition or of an older version is replaced, if nobody has edited it. If one is edited, nothing is written at all, or the edited ones are kept if that is asked for. The file of the progress is made if it is absent, and never replaced.

# %%
#| export course.chapters
def copy_chapters(folder: str | Path,  # where they go; made if it is absent
                  source: Path | None = None,  # default: `chapters_path()`
                  *, solved: bool = False,  # whole chapters instead of the learner's edition
                  progress: bool = True,  # note there which exercises are answered
                  keep: bool = False,  # leave edited chapters as they are, and copy the others
                  ) -> list[Path]:
    "Copy the chapters; returns what was written. `FileExistsError` if that would lose edits."
    source, folder = Path(source or chapters_path()), Path(folder)
    editions = _editions(source, folder)
    edited = edited_chapters(folder, editions)
    if edited and not keep:
        _refuse_edited(edited)
    return _copy_editions(folder, editions, edited, solved, progress)

# %% [markdown]
# ## Which exercises are answered
# `modelab course` puts a file `modelab-progress.json` into the folder, in which right answers are noted. A grader looks for it in the working folder and the one above, where Jupyter runs a chapter. If it finds none, because the course is read in a checkout or the file was deleted, nothing is noted.

# %%
#| export course.progress
PROGRESS = "modelab-progress.json"

# %% [markdown]
# `read_progress` reads the file, which may be edited by hand. An empty file counts as one without answers. A file that cannot be read is reported and left as it is.

# %%
#| export course.progress
def read_progress(file: Path) -> dict[str, dict[str, str]]:
    "The day of each answer, by chapter and exercise; `ValueError` if that cannot be read."
    if file.is_dir():
        raise ValueError(f"{file} is a folder: move it away")
    try:
        noted = json.loads(file.read_text(encoding="utf-8").strip() or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON ({error}): mend it, or move it away") from error
    rows = noted.values() if isinstance(noted, dict) else [noted]
    if not all(isinstance(row, dict) and all(isinstance(day, str) for day in row.values())
               for row in rows):
        raise ValueError(f"{file} is not what graders write: mend it, or move it away")
    return noted

# %% [markdown]
# `note_answer` notes a right answer once, with its day. The whole file is replaced at once, so a crash leaves the old one. Two notebooks may answer at the same time, so a lock is held from the reading to the writing.

# %%
#| export course.progress
def note_answer(chapter: str, exercise: str) -> str:
    "Note a right answer in the learner's file; returns why that failed, or an empty text."
    try:
        here = Path.cwd()
        file = next((f / PROGRESS for f in (here, here.parent) if (f / PROGRESS).exists()), None)
        if file and exercise not in read_progress(file).get(chapter, {}):
            with file_lock(file.with_name(f".{PROGRESS}.lock"), file, wait=True):
                noted = read_progress(file)
                noted.setdefault(chapter, {}).setdefault(exercise, date.today().isoformat())
                text = json.dumps(noted, indent=1, sort_keys=True) + "\n"
                atomic_write(file, text.encode())
    except (OSError, ValueError) as error:
        return f"not noted: {error}"
    return ""

# %% [markdown]
# `exercises_of` reads from the source of the graders which exercises a chapter has, without importing them. A grader is a function with the decorator `exercise`, or a mission that `exercise` is called on.

# %%
#| export course.progress
def exercises_of(chapter: str) -> list[str]:
    "The names of a chapter's exercises, in the order of its graders."
    file, found = Path(__file__).with_name("graders") / f"{chapter}.py", []
    for node in ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "").body:
        marks = getattr(node, "decorator_list", [])
        if any(ast.unparse(mark).startswith("exercise(") for mark in marks):
            found.append(node.name)
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("exercise("):
            found.append(ast.unparse(node.value.args[0]))
    return found

# %% [markdown]
# `progress_table` has a row for each chapter with exercises: how many are answered, and the names of the others.

# %%
#| export course.progress
def progress_table(folder: Path) -> str:
    "The exercises of the chapters in `folder`: how many are answered, and which are open."
    noted, rows = read_progress(Path(folder) / PROGRESS), []
    for path in sorted(Path(folder).glob("[0-9]_*/[0-9]*.ipynb")):
        number, _, name = path.stem.partition("_")
        names = exercises_of(name)
        open_ = [n.removeprefix("grade_") for n in names if n not in noted.get(name, {})]
        if names:
            rows.append((f"{path.parent.name[0]}.{int(number)}", name, len(names) - len(open_),
                         len(names), ", ".join(open_)))
    lines = [f"{place:5} {name:18} {right:3} of {most:<3} {'open: ' * bool(left)}{left}".rstrip()
             for place, name, right, most, left in rows]
    right, most = (sum(row[i] for row in rows) for i in (2, 3))
    return "\n".join([*lines, f"{'':5} {'all chapters':18} {right:3} of {most}"])

# %% [markdown]
# The index of the course shows this table with `progress_here`, if it is read in a learner's folder.

# %%
#| export course.progress
def progress_here() -> str:
    "The table of the working folder, or how to get one."
    if Path(PROGRESS).exists():
        return progress_table(Path.cwd())
    return "Right answers are noted in a learner's folder: `modelab course my-course` makes one."

# %% [markdown]
# ## Open the course in JupyterLab
# `modelab course my-course --open` copies the chapters and opens them. A hidden folder `.jupyter` beside the chapters holds two things. One is a *workspace*, JupyterLab's word for a layout: the first chapter, with the index at its right. It is written once, so a learner may change it. The other is a setting: JupyterLab does not ask whether it may fetch news. A user's own settings still come first.

# %%
#| export course.jupyter
OPENED = "0_start/01_first_gan.ipynb", "index.ipynb"
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false",
                                                            "checkForUpdates": False}}

def _workspace() -> dict:
    "A layout for JupyterLab: the first chapter, and the index at its right."
    areas = [{"type": "tab-area", "currentIndex": 0, "widgets": [f"notebook:{book}"]}
             for book in OPENED]
    dock = {"type": "split-area", "orientation": "horizontal", "sizes": [.64, .36],
            "children": areas}
    left = {"collapsed": True, "visible": True, "current": None, "widgets": ["filebrowser"]}
    data = {f"notebook:{book}": {"data": {"path": book, "factory": "Notebook"}} for book in OPENED}
    data["layout-restorer:data"] = {
        "main": {"dock": dock, "current": f"notebook:{OPENED[0]}"}, "left": left,
        "relativeSizes": [0, 1, 0]}
    return {"data": data, "metadata": {"id": "course"}}

# %% [markdown]
# `jupyterlab_command` writes the two and gives the command. JupyterLab looks for settings in the folders that `JUPYTER_CONFIG_PATH` names. For the user root it starts only with `--allow-root`.

# %%
#| export course.jupyter
def jupyterlab_command(folder: Path, options: list[str]) -> tuple[list[str], dict[str, str]]:
    "The command that opens `folder`, and its environment; writes the layout and the setting."
    try:
        from jupyterlab_server.workspaces_handler import WorkspacesManager
    except ImportError:
        raise ValueError("--open needs JupyterLab: pip install 'modelab[course]'") from None
    folder = Path(folder).resolve()
    own = folder / ".jupyter"
    (own / "labconfig").mkdir(parents=True, exist_ok=True)
    atomic_write(own / "labconfig/default_setting_overrides.json", json.dumps(SETTINGS).encode())
    if not (own / "workspaces").is_dir():
        WorkspacesManager(str(own / "workspaces")).save("course", json.dumps(_workspace()))
    more = os.environ.get("JUPYTER_CONFIG_PATH")
    paths = os.pathsep.join([str(own), *([more] if more else [])])
    root = ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    return ([sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}",
             f"--LabApp.workspaces_dir={own / 'workspaces'}",
             "--LabApp.default_url=/lab/workspaces/course", *root, *options],
            os.environ | {"JUPYTER_CONFIG_PATH": paths})

# %% [markdown]
# `open_course` starts it. Ctrl-C should reach JupyterLab, which asks whether to stop. So this process is replaced by JupyterLab, where the system can do that.

# %%
#| export course.jupyter
def open_course(folder: Path, options: list[str]) -> int:
    "Open the chapters of a folder in JupyterLab; `options` are JupyterLab's."
    command, environment = jupyterlab_command(folder, options)
    if os.name == "posix":
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)

# %% [markdown]
# The help of a command is its docstring: the first line says what it does, the rest are examples.

# %%
#| export course.chapters
@register_command("course")
def _course_command(parser: argparse.ArgumentParser) -> Callable:
    """copy the chapters into a folder, for a learner

    modelab course my-course
    modelab course my-course --open
    modelab course my-course --progress
    modelab course solved --solved
    """
    add = parser.add_argument
    add("folder", help="where the chapters go; edited files there are never overwritten")
    add("--solved", action="store_true", help="whole chapters, with all outputs and the graders")
    add("--no-progress", action="store_true", help=f"do not make {PROGRESS}, in which right "
        "answers are noted; delete that file to stop it later")
    add("--progress", action="store_true", help="copy nothing; show which exercises are answered")
    add("--open", nargs=argparse.REMAINDER, metavar="OPTION", help="open them in JupyterLab, with "
        "its options, such as --no-browser; edited chapters stay, the others are renewed")
    return _course

# %% [markdown]
# With `--open`, the learner is told which chapters are not the course's own any more. A chapter that was run is one of them, because its outputs are saved.

# %%
#| export course.chapters
def _copy_and_open(folder: Path, solved: bool, progress: bool, options: list[str]) -> int:
    "Bring the chapters up to date, say which were edited and so kept, and open the folder."
    editions = _editions(chapters_path(), folder)
    edited = edited_chapters(folder, editions)
    _copy_editions(folder, editions, edited, solved, progress)
    if edited:
        names = ", ".join(new.relative_to(folder).as_posix() for new in edited[:3])
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        print(f"Kept as you left them: {names}{more}. Delete a file to get the course's own again.")
    return open_course(folder, options)

# %% [markdown]
# `_course` copies the chapters, opens them, or shows the table.

# %%
#| export course.chapters
def _course(args: argparse.Namespace) -> int:
    "What `modelab course` does."
    if not args.folder:
        raise ValueError("folder: expected a name, got an empty text")
    if args.progress:
        if args.solved or args.no_progress or args.open is not None:
            raise ValueError("--progress copies nothing: leave out all other options")
        if not Path(args.folder, PROGRESS).exists():
            raise FileNotFoundError(f"{args.folder} holds no {PROGRESS}. Make an empty file of "
                                    "that name beside the chapters, and right answers are noted")
        print(progress_table(Path(args.folder)))
        return 0
    if args.open is not None:
        return _copy_and_open(Path(args.folder), args.solved, not args.no_progress, args.open)
    written = copy_chapters(args.folder, solved=args.solved, progress=not args.no_progress)
    named = "./" * args.folder.startswith("-") + args.folder
    print(f"{len(written)} new chapters in {args.folder}. "
          f"Open them with: jupyter lab {shlex.quote(named)}\n"
          "The first chapter is 0_start/01_first_gan.ipynb")
    return 0

# %% [markdown]
# **Check.** The learner's edition has no graders and no output below a prediction:

# %%
cells = [("markdown", "# T\n**Predict:** how many?"), ("code", "import math"), ("code", "8"),
         ("markdown", "## The graders"), ("code", "accepts = [8]")]
chapter = json.dumps({"cells": [{"cell_type": kind, "source": source, "metadata": {}}
                                | ({"outputs": ["8"]} if kind == "code" else {})
                                for kind, source in cells]})
shown = json.loads(learner_edition(chapter))["cells"]
assert len(shown) == 3 and not shown[2]["outputs"] and shown[1]["metadata"] and len(chapter) > 99

# %% [markdown]
# Text after the answer is folded; what belongs to the next prediction stays open.

# %%
print(_fold_answer("Eight.\n\n**Predict:** and now?"))

# %% [markdown]
# A second copy writes nothing. A whole chapter replaces the learner's, and a newer version an older one. An edited chapter stops the next copy, or is kept if that is asked for.

# %%
with tempfile.TemporaryDirectory() as folder:
    source, target = Path(folder, "course"), Path(folder, "mine")
    source.mkdir()
    (source / "index.ipynb").write_text(chapter)
    written = [len(copy_chapters(target, source, solved=whole)) for whole in (False, False, True)]
    assert written == [1, 0, 1] and (target / "index.ipynb").read_text() == chapter
    (source / "index.ipynb").write_text(chapter + "\n")
    assert len(copy_chapters(target, source)) == 1
    (target / "index.ipynb").write_text("my notes")
    assert copy_chapters(target, source, keep=True) == []
    try:
        copy_chapters(target, source)
    except FileExistsError as error:
        print(str(error).replace(folder, "…"))
    assert (target / "index.ipynb").read_text() == "my notes"

# %% [markdown]
# A right answer is noted in a learner's folder, and nowhere else. A file that was broken by hand stays.

# %%
with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    assert note_answer("evidence", "grade_seen") == "" and not os.listdir()
    Path(PROGRESS).write_text("{}")
    assert note_answer("evidence", "grade_seen") == ""
    assert "grade_seen" in read_progress(Path(PROGRESS))["evidence"]
    Path(PROGRESS).write_text("{broken")
    trouble = note_answer("evidence", "grade_seen").replace(os.getcwd(), "…")
    assert Path(PROGRESS).read_text() == "{broken"
trouble

# %% [markdown]
# ## `modelab train GAME MODES`
# The command trains eight seeds of a registered game on a registered set. It saves checkpoints at intervals if `--out` is given. At the end it prints the coverage table with its floor, ceiling and null (chapter [0.4](../0_start/04_coverage.ipynb)). Under `torchrun` the seeds are shared out over processes ([6.13](13_distributed.ipynb)). First the arguments:

# %%
#| export training.commands
@register_command("train")
def _train_command(parser: argparse.ArgumentParser) -> Callable:
    """train a method on known modes and print what it covers

    modelab train minimax ring
    modelab train bigan ring --recommended
    modelab train zerocentred photos/ --size 32 --set kind=conv --out faces
    modelab train minimax stacked_digits --steps 3000 --set latent=64 --out digits --keep 3
    modelab train --resume digits
    modelab train --resume digits --steps 1000
    torchrun --nproc-per-node 2 -m modelab train minimax ring --runs 16 --out ring
    """
    parser.add_argument("game", nargs="?", help="a registered game, for instance minimax")
    parser.add_argument("modes", nargs="?",
                        help="a registered mode set, for instance ring, grid, stacked_digits; or "
                             "a folder or archive of pictures of yours")
    _add_training_arguments(parser)
    _add_checkpoint_arguments(parser)
    return _train

# %% [markdown]
# The result depends on these arguments. The same arguments give the same numbers.

# %%
#| export training.commands
def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    "The arguments that the result depends on."
    add = parser.add_argument
    add("--runs", type=int, default=8, help="seeds (default 8)")
    add("--group", type=int, default=8, help="seeds side by side; part of the result (default 8)")
    add("--steps", type=int, help="training steps (default 2000); with --resume: further steps")
    add("--seed", type=int, default=0, help="the first seed (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    add("--batch", type=int, default=256, help="examples per run and turn (default 256)")
    add("--shards", type=int, default=1,
        help="parts of a batch, for one game on several devices (default 1)")
    add("--precision", default="float32", help="float32 or bf16 (default float32)")
    add("--average", type=float, default=0.,
        help="running average of G's weights, e.g. 0.999 (default none)")
    add("--recommended", action="store_true",
        help="for points: the settings that were best on random sets; --set changes them")
    add("--set", action="append", metavar="NAME=VALUE",
        help="a setting of the game, e.g. lr=0.0003")
    _add_folder_arguments(parser)
    add("--protocol", default="pacgan", help="how coverage is counted (default pacgan)")


# %% [markdown]
# Two of them say how a folder of pictures is read.

# %%
#| export training.commands
def _add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    "The arguments for pictures of the user."
    parser.add_argument("--size", type=int, help="side of the pictures of a folder (default 32)")
    parser.add_argument("--skip-bad", action="store_true",
                        help="leave damaged pictures of a folder out, and say which")

# %% [markdown]
# The other arguments say where the checkpoints of the run are kept.

# %%
#| export training.commands
def _add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    "The arguments that say where checkpoints go and come from."
    add = parser.add_argument
    add("--out", help="where checkpoints go: a folder, or one file that ends in .safetensors; "
                      "the same command again goes on with a folder")
    add("--keep", type=int, help="checkpoints that stay in the folder (default 2)")
    add("--save-every", type=int, default=1000, help="steps between checkpoints (default 1000)")
    add("--resume", metavar="PATH", help="go on with this checkpoint, or this folder's newest")

# %% [markdown]
# The module that does the work is imported here, and torch with it, only when the command runs.

# %%
#| export training.commands
def _train(args: argparse.Namespace) -> int:
    "What `modelab train` does."
    from modelab.training.launch import train_command
    return train_command(args)

# %% [markdown]
# ### From arguments to a job
# A setting of the game comes as `lr=0.0003`. `parse_setting` reads its value as JSON; a bare word is a text.

# %%
#| export training.launch
def parse_setting(text: str) -> tuple[str, Any]:
    "`name=value` with a JSON value; a bare word is a string."
    name, found, value = text.partition("=")
    if not found or not name.isidentifier():
        raise ValueError(f"--set: expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value

# %%
[parse_setting(text) for text in ("lr=3e-4", "networks=conv", "betas=[0, 0.9]", "stop=null")]

# %% [markdown]
# `_job` finds out what to train. There are three cases: a new job, a job that is continued from its folder, and a single checkpoint that is trained for more steps.

# %%
#| export training.launch
def _job(args: argparse.Namespace, device: str) -> tuple[Job, str | None, Run | None]:
    "The job that was asked for, where it is kept, and the run to go on with if there is one."
    steps = 2000 if args.steps is None else args.steps
    if args.resume and (Path(args.resume) / "job.json").is_file():
        if args.out and Path(args.out) != Path(args.resume):
            problem = f"the run in {args.resume} goes on where it is, got {args.out}"
            raise ValueError(f"--out: {problem}")
        job = Job.read(args.resume)
        return dataclasses.replace(job, steps=job.steps + (args.steps or 0)), args.resume, None
    if args.resume:
        run = Run.load(args.resume, device=device)
        return Job(**run_config(run), group=run.runs, steps=run.steps + steps), args.out, run
    if not (args.game and args.modes):
        raise ValueError("train: expected GAME and MODES, or --resume FILE; "
                         "for instance: modelab train minimax ring")
    return _new_job(args, steps), args.out, None

# %% [markdown]
# `read_settings` reads all of them. A setting that is given twice is a mistake, and so is `name`, which would replace the game.

# %%
#| export training.launch
def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    "The settings of all `--set`, by name."
    settings: dict[str, Any] = {}
    for name, value in map(parse_setting, texts):
        if name == "name":
            raise ValueError(f"--set: expected a setting, got name={value}; the game is the first "
                             "word after train")
        if name in settings:
            raise ValueError(f"--set: expected each setting once, got {name} twice")
        settings[name] = value
    return settings

# %% [markdown]
# In place of a mode set a user gives a name, or a path of pictures. Some sets need an argument that cannot be written in a shell, and their names are refused. `image_folder` needs a folder, so its path is given instead of its name.

# %%
#| export training.launch
def _refuse_unfinished(name: str) -> None:
    "Refuse the name of a set that cannot be made without more."
    load("modes", check_choice("modes", name, known_names("modes")))
    known = inspect.signature(MODE_SETS[name]).parameters.values()
    needs = [p.name for p in known if p.default is p.empty and p.kind < p.VAR_KEYWORD]
    if name == "image_folder":
        raise ValueError("image_folder: give the path of your pictures instead of this name, "
                         "such as photos/")
    if needs:
        raise ValueError(f"{name}: it needs {' and '.join(needs)}, which only Python code can "
                         "give; take another set")


# %% [markdown]
# `_set_of` gives the set: a path becomes the settings of `image_folder`, and a name stays as it is.

# %%
#| export training.launch
def _set_of(modes: str, size: int | None, skip_bad: bool = False) -> Any:
    "A registered mode set, or `image_folder` of a path."
    if Path(modes).exists():
        return {"name": "image_folder", "folder": str(Path(modes).resolve()),
                "size": 32 if size is None else size, "skip_bad": skip_bad}
    _refuse_unfinished(modes)
    for option, given in (("--size", size is not None), ("--skip-bad", skip_bad)):
        if given:
            raise ValueError(f"{option}: it is for a folder of pictures, got {modes}")
    return modes

# %% [markdown]
# With `--recommended` a job begins with the settings of chapter [6.20](20_random_sets.ipynb). They are for points.

# %%
#| export training.launch
def _settings_to_begin_with(args: argparse.Namespace, modes: Any, steps: int) -> dict[str, Any]:
    "The game's spec, `average` and `standardise`, before `--set`."
    if not args.recommended:
        return {"game": {"name": args.game}, "average": args.average, "standardise": "auto"}
    if len(event := make("modes", modes).event) != 1:
        raise ValueError(f"--recommended: expected a set of points, got examples of shape "
                         f"{tuple(event)}")
    found = recommended(args.game, steps)
    average = args.average or found["average"]
    return found | {"game": found["game"].spec, "average": average}

# %% [markdown]
# `_new_job` makes a new job from its settings. A game raises `TypeError` for a setting that it does not have; the command turns that into a `ValueError` about `--set`.

# %%
#| export training.launch
def _new_job(args: argparse.Namespace, steps: int) -> Job:
    "The job of a game and a mode set; a setting that the game has not is a `ValueError`."
    try:
        modes = _set_of(args.modes, args.size, args.skip_bad)
        begin = _settings_to_begin_with(args, modes, steps)
        game = begin.pop("game") | read_settings(args.set or [])
        return Job(game, modes, steps, args.runs, args.seed, args.group, args.batch,
                   shards=args.shards, precision=args.precision, **begin)
    except TypeError as error:
        raise ValueError(f"--set: {error}") from error

# %% [markdown]
# Some arguments are not settings of a job, so a job cannot check them. They are checked before anything is loaded.

# %%
#| export training.launch
def _check_arguments(args: argparse.Namespace) -> int:
    "Refuse what cannot be meant; returns how many checkpoints stay."
    check_choice("--protocol", args.protocol, PROTOCOLS)
    check_int("--save-every", args.save_every)
    keep = check_int("--keep", 2 if args.keep is None else args.keep)
    if args.keep is not None and str(args.out).endswith(".safetensors"):
        raise ValueError(f"--keep: expected a folder in --out to keep {keep} checkpoints in, "
                         f"got the file {args.out}")
    if args.steps is not None:
        check_int("--steps", args.steps, 0)
    return keep

# %% [markdown]
# `train_command` connects the processes, trains the job and prints the result. The table goes to standard output, everything else to standard error. A run that was stopped ends with status 130.

# %%
#| export training.launch
def train_command(args: argparse.Namespace) -> int:
    "What `modelab train` does; 130 if it was stopped before the last step."
    keep = _check_arguments(args)
    with connect_ranks() as us, handle_sigterm():
        job, out, run = _job(args, us.device(args.device))
        us.gather("read")  # nobody writes a job down before everybody has read it
        covered, last = train_job(job, us, out, keep=keep, every=args.save_every,
                                  device=args.device, protocol=args.protocol, run=run)
        if last < job.steps:
            print(f"{us}: " * (us.size > 1) + f"stopped after step {last}", file=sys.stderr)
        if us.size == 1 or us.rank == 0 and last == job.steps:
            print(f"{_title(job, len(covered))}, {last} steps\n{coverage_table(covered)}")
        if out and us.rank == 0:
            print(f"saved in {out} at step {last}", file=sys.stderr)
    return 130 if last < job.steps else 0

# %% [markdown]
# The title of the table says which game, data and seeds it is about. After a stop there may be fewer seeds than the job has.

# %%
#| export training.launch
def _title(job: Job, runs: int) -> str:
    "The game, the set and the seeds of a table."
    seeds = f"seeds {job.seed}–{job.seed + runs - 1}" if runs > 1 else f"seed {job.seed}"
    return f"{job.game['name']} on {job.modes['name']}, {seeds}"

# %% [markdown]
# ## `modelab sample SOURCE --out FILE`
# The command writes samples of a trained generator, or of a mode set, to a `.npy` file: for [the audit](../4_evidence/02_audit.ipynb), or for another tool.

# %%
#| export training.commands
@register_command("sample")
def _sample_command(parser: argparse.ArgumentParser) -> Callable:
    """write samples of a trained generator, or of a set, to a .npy file

    modelab sample ring --n 10000 --out fakes.npy
    modelab sample ring.safetensors --seed 3 --out fakes.npy
    modelab sample stacked_digits --out reference.npy
    modelab sample photos/ --size 32 --out reference.npy
    """
    add = parser.add_argument
    add("source", help="a checkpoint, a folder of modelab train, a folder or archive of pictures, "
                       "or else a registered mode set")
    add("--out", required=True, help="the .npy file, (n, *shape of one sample)")
    add("--n", type=int, default=10_000, help="samples (default 10000)")
    add("--seed", type=int,
        help="which seed of the run (default its first), or for the draw from a set")
    _add_folder_arguments(parser)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    return _sample

# %% [markdown]
# As for `train`, the module that does the work is imported only when the command runs.

# %%
#| export training.commands
def _sample(args: argparse.Namespace) -> None:
    "What `modelab sample` does."
    from modelab.training.launch import sample_command
    sample_command(args)

# %% [markdown]
# The source may be a checkpoint, the folder of a job, pictures, or the name of a mode set. Pictures are drawn with replacement, as in training.

# %%
#| export training.launch
def _holds_data(path: Path) -> bool:
    "Whether a path stands for a mode set: pictures in a folder or an archive, or a name."
    if path.is_dir():
        return not (path / "job.json").exists() and not list_checkpoints(path)
    return not path.exists() or is_archive(path)


# %% [markdown]
# `_draw_data` draws from a mode set or from pictures, without a checkpoint.

# %%
#| export training.launch
def _draw_data(args: argparse.Namespace) -> torch.Tensor:
    "Samples of a mode set, or of pictures."
    modes = make("modes", _set_of(args.source, args.size, args.skip_bad))
    generator = torch.Generator().manual_seed(check_int("--seed", args.seed or 0, 0))
    return modes.sample(args.n, generator=generator)

# %% [markdown]
# `_draw_made` draws from a trained generator. In the folder of a job, it reads the checkpoint of the group that has the chosen seed.

# %%
#| export training.launch
def _draw_made(source: str, n: int, seed: int | None, device: str) -> torch.Tensor:
    "`n` samples of one seed of a checkpoint or of a run's folder."
    path = Path(source)
    if (path / "job.json").exists():
        job = Job.read(path)
        seed = job.seed if seed is None else seed
        group = next((g for g in job.groups() if seed in g), job.groups()[0])
        path = job.group_folder(path, group)
    run = Run.load(path, device=device)
    seed = run.seed if seed is None else seed
    if seed not in run.seeds:
        raise ValueError(f"--seed: {source} holds the seeds from {run.seeds[0]} to "
                         f"{run.seeds[-1]}, got {seed}")
    return run.sample(n)[run.seeds.index(seed)]

# %% [markdown]
# `sample_command` draws the samples and writes them to the file, completely or not at all.

# %%
#| export training.launch
def sample_command(args: argparse.Namespace) -> None:
    "What `modelab sample` does."
    if not args.out.endswith(".npy"):
        raise ValueError(f"--out: expected a name that ends in .npy, got {args.out}")
    check_int("--n", args.n)
    drawn = (_draw_data(args) if _holds_data(Path(args.source)) else
             _draw_made(args.source, args.n, args.seed, args.device))
    file = io.BytesIO()
    np.save(file, drawn.cpu().numpy())
    atomic_write(args.out, file.getvalue())
    print(f"{len(drawn)} samples of shape {tuple(drawn.shape[1:])} in {args.out}")

# %% [markdown]
# ## `modelab`
# `_parser` makes the parser of the whole command line. It knows all subcommands by name and title, from the index. Only the one that is asked for is imported.

# %%
#| export
def _parser(asked: str) -> argparse.ArgumentParser:
    "The parser of the command line; only the command that is asked for is imported."
    parser = argparse.ArgumentParser(
        prog="modelab", description="Is my generator losing modes? Train, measure, learn.",
        epilog="Help on one command: modelab train --help")
    parser.add_argument("--version", action="version", version=f"modelab {_index.VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, title in _index.COMMAND_HELP.items():
        if name == asked:
            _add_command(commands, name, title)
        else:
            commands.add_parser(name, help=title)
    return parser

# %% [markdown]
# `_add_command` adds that one command. It imports the module of the command, which registers it. Every command takes `--traceback`.

# %%
#| export
def _add_command(commands: argparse._SubParsersAction, name: str, title: str) -> None:
    "Import a command and add its parser; the examples are the rest of its docstring."
    load("command", name)
    examples = (COMMANDS[name].__doc__ or "").partition("\n")[2]
    sub = commands.add_parser(name, help=title, description=title.capitalize() + ".",
                              epilog="examples:" + examples.rstrip(),
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    sub.set_defaults(execute=COMMANDS[name](sub))
    sub.add_argument("--traceback", action="store_true", help="show where an error came from")

# %% [markdown]
# Too little memory is not a mistake in the program. Torch reports it as a `RuntimeError`, as it reports mistakes, so the text of the error decides.

# %%
#| export
def _lacks_memory(error: Exception) -> bool:
    "Whether an error says that there is not enough memory."
    words = "allocate memory", "out of memory", "enough memory", "calculation overflow"  # torch's
    said = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    return isinstance(error, MemoryError) or said

# %% [markdown]
# Some packages are extras. If one of them is absent, the line says what installs it. It does not name an extra of modelab: `pip install modelab` would fetch an unrelated package of that name.

# %%
#| export
_EXTRAS = {"PIL": "pillow"} | {name: name for name in (
    "matplotlib", "seaborn", "pandas", "pooch", "pyarrow", "ipywidgets", "anywidget")}

# %% [markdown]
# `_error_line` says in one line what went wrong. An input that is refused is a `ValueError`, an `OSError`, or a `TypeError` whose text begins with the name of what is wrong. A loss that became NaN is a `FloatingPointError`. The text of these is printed as it is. Of any other exception the kind is printed as well, because its text alone may be as short as `'layer'`.

# %%
#| export
def _error_line(error: BaseException) -> str:
    "What went wrong, in one line."
    if _lacks_memory(error):
        return "not enough memory"
    text = " ".join(str(error).splitlines())
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return f"{text}; install it with: pip install {_EXTRAS[error.name]}"
    refused = isinstance(error, (ValueError, OSError, FloatingPointError)) or (
        isinstance(error, TypeError) and re.match(r"[\w .\-]+: ", text)) or (
        isinstance(error, ImportError) and "pip install" in text)
    if text and refused:
        return text
    kind = f"{type(error).__name__}: {text}".removesuffix(": ")
    return f"{kind} (unexpected; --traceback shows where)"

# %%
errors = [ValueError("level: expected a number"), TypeError("n: expected 3"), KeyError("layer"),
          TypeError("f() missing 1 argument: 'x'"), AssertionError(), MemoryError(),
          ModuleNotFoundError("No module named 'seaborn'", name="seaborn")]
said = [_error_line(error) for error in errors]
assert [line.endswith("shows where)") for line in said] == [bool(int(c)) for c in "0011100"]
print("\n".join(said))

# %% [markdown]
# `_print_error` prints the line. It says which command failed, and in which process of several. With `--traceback` the traceback stands above it.

# %%
#| export
def _print_error(error: BaseException, argv: list[str], command: str) -> None:
    "An error on standard error: one line, and a traceback if it was asked for."
    if "--traceback" in argv:
        import traceback
        traceback.print_exception(error)
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    rank = f", rank {os.environ.get('RANK', '?')}" if several else ""
    print(f"{' '.join(['modelab', command]).strip()}{rank}: {_error_line(error)}", file=sys.stderr)

# %% [markdown]
# If the output cannot be written, for instance because the disk is full, the rest of it is thrown away. Otherwise Python would fail on it once more at the end.

# %%
#| export
def _drop_output() -> None:
    "Send what is still to be printed nowhere."
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

# %% [markdown]
# A script that calls a command needs its exit status: 0, 1 for a finding, and 2 for whatever went wrong. Python ends with 1 if an exception escapes, or if a function of yours calls `sys.exit("…")`. A crash would look like a finding. So `_execute` turns every exception into status 2. Options that `argparse` refuses have the status 2 already. Ctrl-C while a package is imported may arrive as an error of this import, with the interrupt as its cause.

# %%
#| export
def _was_stopped(error: BaseException | None) -> bool:
    "Whether an error came from Ctrl-C."
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


# %% [markdown]
# `_execute` runs a command.

# %%
#| export
def _execute(argv: list[str]) -> int:
    "Run a command; its exit status, or 2 and one line on standard error."
    asked, execute = next((word for word in argv if not word.startswith("-")), ""), None
    try:
        args = _parser(asked).parse_args(argv)
        execute = args.execute
        status = execute(args) or 0
        print(end="", flush=True)  # a full disk is found here
        return status
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:
        if execute is None and isinstance(error, SystemExit):
            raise  # of argparse, after help or wrong options
        if _was_stopped(error):
            raise KeyboardInterrupt from error
        _print_error(error, argv, asked)
        try:
            print(end="", flush=True)
        except OSError:
            _drop_output()
        return 2

# %% [markdown]
# A warning of the library is printed as one line, too, without the place in the code. `_plain_warnings` sees to that.

# %%
#| export
@contextlib.contextmanager
def _plain_warnings(command: str) -> Iterator[None]:
    "Print warnings of modelab as one line with the name of the command."
    usual, here = warnings.formatwarning, os.path.dirname(_index.__file__)

    def line(message: Warning | str, category: type, filename: str, *rest: object) -> str:
        if issubclass(category, UserWarning) and filename.startswith(here):
            return f"modelab {command}: {' '.join(str(message).split())}\n"
        return usual(message, category, filename, *rest)
    warnings.formatwarning = line
    try:
        yield
    finally:
        warnings.formatwarning = usual

# %% [markdown]
# `main` is what the command `modelab` calls. A program such as `head` may close the pipe before everything is printed. Then it is unknown what the status would have been. It is 141, as for other programs of a shell.

# %%
#| export
def main(argv: Sequence[str] | None = None) -> int:
    "Run the command line; the status is the command's, 2 for any error, 130 after Ctrl-C."
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with _plain_warnings(next((word for word in words if not word.startswith("-")), "")):
            return _execute(words)
    except BrokenPipeError:
        _drop_output()
        return 141
    except KeyboardInterrupt as stop:
        print(f"modelab: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130

# %% [markdown]
# `python -m modelab` runs this module. In the notebook the condition is false, since a notebook has `get_ipython`.

# %%
#| export
if __name__ == "__main__" and "get_ipython" not in globals():
    sys.exit(main())

# %% [markdown]
# ## Seen from a shell
# `shell` runs a line as the command does, and shows what a user would see.

# %%
def shell(line: str) -> str:
    "What `modelab LINE` prints, and its exit status."
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = main(line.split())
        except SystemExit as end:
            status = end.code
    return f"{out.getvalue().rstrip()}\n[exit status {status}]"

# %%
print(shell("--help"))

# %%
print(shell("train --help"))

# %% [markdown]
# How long does a user wait for help? The time of a new process is compared with that of `import torch` in a new process.

# %%
def seconds(*words: str) -> float:
    "How long a new Python takes, the shortest of three."
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)

# %%
shares = {words: seconds("-m", "modelab", *words.split()) / seconds("-c", "import torch")
          for words in ("--help", "train --help")}
assert max(shares.values()) < .3

# %% [markdown]
# Help takes less than a third of the time of `import torch`; a test requires less than .15. Now the commands themselves:

# %%
print(shell("train minimax ring --runs 4 --steps 60 --set width=32 --device cpu"))

# %%
with tempfile.TemporaryDirectory() as folder:
    print(shell(f"sample ring --n 500 --out {folder}/ring.npy").replace(folder, "…"))
    assert np.load(f"{folder}/ring.npy").shape == (500, 2)

# %% [markdown]
# Each of these eight mistakes is answered in one line:

# %%
lines = ["sample no-such-thing --out x.npy", "sample ring --out x.txt", "train minimaxx ring",
         "train minimax ring --steps -1", "train minimax ring --device abacus",
         "train minimax ring --set widht=3", "train --resume nowhere.safetensors",
         "train minimax ring --runs 9 --out x.safetensors"]
refusals = [shell(line) for line in lines]
assert all(r.endswith("[exit status 2]") for r in refusals)
print("\n".join(refusals))

# %% [markdown]
# The exit status 1 means a finding. A command that fails with an error that nobody foresaw must not end with it:

# %%
def broken(parser: argparse.ArgumentParser) -> Callable:
    "a command with a fault"
    return lambda args: {}["layer"]

kept, COMMANDS["course"] = COMMANDS["course"], broken
failed = shell("course")
COMMANDS["course"] = kept
assert failed.endswith("[exit status 2]")
failed

# %% [markdown]
# ## Exercises
# **1.** Add a command `modelab sets` that prints the names of all mode sets. Which function gives the names without importing torch?
#
# **2.** Why do `_train` and `_sample` import inside the function, against the usual style?

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** `known_names("modes")` from `modelab.core.registry`. The command is a function with `@register_command("sets")` whose returned function prints them.
#
# **2.** The module is imported for `modelab train --help`, too. An import at its top would load torch for a page of help.
# </details>

# %% [markdown]
# ## Recap
# - A command is declared in a light module and does its work in another one.
# - `--help` imports the command that is asked for and nothing else.
# - Results go to standard output, messages to standard error.
# - The exit status is 0, 1 for a finding, 2 for any error, 130 for a run that was stopped. `--traceback` shows where an error came from.
