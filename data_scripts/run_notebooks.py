"""Run chapters from a fresh kernel and store what they show, so that committed outputs belong to the committed code.

    python data_scripts/run_notebooks.py                        # every chapter
    python data_scripts/run_notebooks.py 1_game/04_wasserstein  # one
    python data_scripts/run_notebooks.py --check                # run, write nothing
    python data_scripts/run_notebooks.py --sync                 # run nothing: bring notebooks and twins in step

Before a run the notebook and its text twin are brought in step: the newer one wins, as in `jupytext --sync`.
A stored notebook has execution counts 1..n, no widget state, and in its metadata the digest of the code that ran and
the processor seconds that it took, which a busy machine does not change: from these the tests know that every cell really ran, and LEDGER.md gets its minutes. The
kernel has MODELAB_THREADS threads (default 2). A cell may take 300 s, or an hour with MODELAB_RECORD=1,
which runs the recorded experiments of a chapter (`@experiment`, chapter 0.2) whole and stores them in benchmarks/chapters/.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
RECORDING = os.environ.get("MODELAB_RECORD", "") not in ("", "0")
CELL_SECONDS = 3600 if RECORDING else 300
THREADS = int(os.environ.get("MODELAB_THREADS", "2"))  # of each kernel
WIDGET = "application/vnd.jupyter.widget-view+json"
EVAL_FALSE = re.compile(r"^#\|\s*eval:\s*false\b", re.M)
RAISES = re.compile(r"^#\s*NBVAL_RAISES_EXCEPTION\b", re.M)
NOISE = re.compile(r"Widget Javascript not detected|\d+%\||\d+(\.\d+)?(it/s|s/it)|^\s*\d+it \[|\r")


class ChapterError(RuntimeError):
    """A chapter did not run; the message names the notebook and the cell."""


def place(path: Path) -> tuple[int, int]:
    """Part and number of a chapter, which are its place in the course; the index comes before all."""
    part, number = (re.match(r"(\d+)_", name) for name in (path.parent.name, path.name))
    return (int(part[1]), int(number[1])) if part and number else (-1, -1)


def number(path: Path) -> str:
    """A chapter's number as a reader sees it: part and place in it, such as 1.3; empty for the index."""
    return "{}.{}".format(*place(path)) if place(path) > (-1, -1) else ""


def notebooks(root: Path = ROOT) -> list[Path]:
    """Every notebook of the course in reading order."""
    found = [p for p in (root / "nbs").rglob("*.ipynb")
             if not any(part.startswith((".", "_")) for part in p.relative_to(root).parts)]
    return sorted(found, key=lambda p: (place(p), p.name))


def find(name: str) -> Path:
    """The notebook that `name` means: a path, its number such as 1.4, or its name with or without the number."""
    stem = name.removeprefix("nbs/").removeprefix("_text/").removesuffix(".ipynb").removesuffix(".py")
    twins = [ROOT / "nbs" / p.relative_to(ROOT / "nbs/_text").with_suffix(".ipynb") for p in (ROOT / "nbs/_text").rglob("*.py")]
    every = sorted({*notebooks(ROOT), *twins})
    found = [p for p in every if stem in (p.relative_to(ROOT / "nbs").with_suffix("").as_posix(), p.stem,
                                          p.stem.partition("_")[2], number(p))]
    if len(found) != 1:
        raise ValueError(f"CHAPTER: expected one chapter, such as 1_game/04_wasserstein, 1.4 or wasserstein, got {name!r} "
                         f"({len(found)} found)")
    return found[0]


def store(path: Path, text: str) -> None:
    """Write a text file at once, and only if it says something new: a crash leaves the old text or the new one."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # the temporary name does not end in .py or .ipynb: no tool takes it for a module or a notebook
    new = dict(mode="w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False)
    with tempfile.NamedTemporaryFile(**new) as file:
        aside = Path(file.name)
        try:
            file.write(text)
            file.close()
            aside.chmod(path.stat().st_mode if path.exists() else 0o666 & ~_umask())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _umask() -> int:
    """The mask that new files of this process get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def twin_of(path: Path) -> Path | None:
    """The text twin of a notebook of the course, there or not; None for a notebook that stands elsewhere."""
    book = path.resolve()
    if not book.is_relative_to(ROOT / "nbs"):
        return None
    return ROOT / "nbs/_text" / book.relative_to(ROOT / "nbs").with_suffix(".py")


def as_text(notebook: str) -> str:
    """What the twin of a stored notebook says."""
    import jupytext
    config = jupytext.config.load_jupytext_configuration_file(str(Path(__file__).resolve().parent.parent / "jupytext.toml"))
    return jupytext.writes(nbformat.reads(notebook, as_version=4), fmt="py:percent", config=config)


def committed(path: Path) -> str | None:
    """What the last commit says in the file `path`; None without git, or if it is not committed."""
    try:
        done = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode("utf-8")


def places(old: str, new: str) -> list[tuple[int, int]]:
    """The lines of `old`, from and to, that `new` has otherwise."""
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    return [(start, end) for kind, start, end, _, _ in matcher.get_opcodes() if kind != "equal"]


def drops(start: str, older: str, newer: str) -> bool:
    """Whether `older` was edited where `newer` still says what `start`, their last common version, says."""
    kept = places(start, newer)
    return bool(kept) and any(all(end < a or b < begin for a, b in kept) for begin, end in places(start, older))


def sync(path: Path, check: bool = False) -> None:
    """Bring a notebook and its twin in step, the newer one wins; with `check` refuse where they differ.

    If the older one holds edits of its own since the last commit, nothing is written: they would be lost.
    """
    twin = twin_of(path)
    if twin is None or check and not twin.exists():
        return
    if twin.exists() and path.exists():
        try:
            ours, theirs = (text.rstrip("\n") for text in (as_text(path.read_text("utf-8")), twin.read_text("utf-8")))
        except Exception as error:  # whatever a broken notebook makes the readers raise
            raise ChapterError(f"{path}: not a notebook: {error}") from None
        if ours == theirs:
            return
        if check:
            raise ChapterError(f"{path.name} and its twin differ: run data_scripts/run_notebooks.py --sync {path.stem}")
        pair = (ours, theirs) if path.stat().st_mtime < twin.stat().st_mtime else (theirs, ours)
        if (start := committed(twin)) is not None and drops(start.rstrip("\n"), *pair):
            raise ChapterError(f"{path.name} and its twin were both edited, `git diff` shows what: bring the edits into one "
                               f"of the two, then run: jupytext --sync {twin.relative_to(ROOT)}")
    newer = twin if not path.exists() or twin.exists() and twin.stat().st_mtime >= path.stat().st_mtime else path
    done = subprocess.run([sys.executable, "-m", "jupytext", "--quiet", "--sync", str(newer)], cwd=ROOT,
                          capture_output=True, text=True)
    if done.returncode:
        raise ChapterError(f"{newer}: {done.stderr.strip()}")
    print(f"{path.name}: in step with the newer of the two, {newer.relative_to(ROOT)}", file=sys.stderr)


def contents(path: Path) -> tuple[bytes | None, ...]:
    """The bytes of a notebook and of its twin."""
    return tuple(p.read_bytes() if p and p.exists() else None for p in (path, twin_of(path)))


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells that a run executes, in order: all but those under `#| eval: false`."""
    return [c for c in nb.cells if c.cell_type == "code" and not EVAL_FALSE.search(c.source)]


def digest(nb: NotebookNode) -> str:
    """Fingerprint of the code that a run of `nb` executes."""
    return hashlib.sha256("\0".join(c.source for c in code_cells(nb)).encode()).hexdigest()[:16]


def processor_seconds() -> float:
    """What the children of this process that have ended used of a processor, system calls included."""
    used = os.times()
    return used.children_user + used.children_system


def run(nb: NotebookNode, path: Path) -> float:
    """Execute `nb` in place in a fresh kernel, in the folder of `path`; returns its processor seconds, raises ChapterError."""
    client = NotebookClient(nb, timeout=CELL_SECONDS, kernel_name="python3", record_timing=False, coalesce_streams=True,
                            allow_errors=True, store_widget_state=False, extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(path.parent)}})
    start, used, count, total = time.perf_counter(), processor_seconds(), 0, len(code_cells(nb))
    with client.setup_kernel(env=dict(os.environ, OMP_NUM_THREADS=str(THREADS), IN_TEST="1")):
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], None
            if EVAL_FALSE.search(cell.source):
                continue
            where, count = f"{path}, In[{count + 1}]", count + 1
            if not cell.source.strip():
                raise ChapterError(f"{where}: an empty code cell, delete it")
            try:
                client.execute_cell(cell, index, execution_count=count)
            except CellTimeoutError:
                raise ChapterError(f"{where}: still running after {CELL_SECONDS} s. Take fewer steps, split the cell, or move "
                                   f"the work to a script in benchmarks/ and show its recorded result\n{cell.source}") from None
            except DeadKernelError:
                raise ChapterError(f"{where}: the kernel died\n{cell.source}") from None
            if sys.stderr.isatty():
                print(f"\r{path.name}: {count} of {total} cells, {time.perf_counter() - start:.0f} s ", end="",
                      file=sys.stderr, flush=True)
            errors = [out for out in cell.outputs if out.output_type == "error"]
            if errors and not RAISES.search(cell.source):
                trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(errors[0].traceback))
                raise ChapterError(f"{where}: {errors[0].ename}: {errors[0].evalue}\n{cell.source}\n{trace}")
            if RAISES.search(cell.source) and not errors:
                raise ChapterError(f"{where}: was to raise an error and did not\n{cell.source}")
    return processor_seconds() - used  # the kernel has ended, and its children with it


def clean(nb: NotebookNode, seconds: float) -> None:
    """Leave in `nb` only what a reader without a kernel can see, and metadata that its twin or README needs."""
    for cell in nb.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k == "lines_to_next_cell"})
        if cell.cell_type == "code":
            cell.outputs = [out for out in map(_without_widget, cell.outputs) if out is not None]
    old = nb.metadata.get("modelab", {}).get("seconds")
    nb.metadata = NotebookNode(
        jupytext=dict(cell_metadata_filter="-all", main_language="python", notebook_metadata_filter="-all"),
        kernelspec=dict(display_name="Python 3 (ipykernel)", language="python", name="python3"),
        language_info=dict(name="python"),
        modelab=dict(ran=digest(nb), seconds=settled(old, seconds)),
    )


def _without_widget(out: NotebookNode) -> NotebookNode | None:
    """`out` without its widget view; None if nothing is left that a page can show."""
    if out.output_type == "stream" and out.name == "stderr" and NOISE.search(out.text):
        kept = [line for line in out.text.splitlines(True) if line.strip() and not NOISE.search(line)]
        return NotebookNode(out, text="".join(kept)) if kept else None
    if "data" in out and out.data.pop(WIDGET, None) is not None and set(out.data) <= {"text/plain"}:
        return None
    return out


def settled(old: float | None, new: float) -> float:
    """Seconds to record: the old figure if the new is within a quarter of it, so that a second run changes nothing."""
    new = round(new, 1) if new < 10 else float(round(new))
    return old if old is not None and abs(new - old) <= max(.25 * old, .5) else new


def shown(nb: NotebookNode) -> list:
    """What `nb` shows as text, cell by cell: for `--check` to compare."""
    return [[out.get("text") or out.get("data", {}).get("text/plain") for out in c.outputs] for c in code_cells(nb)]


def write(nb: NotebookNode, path: Path) -> None:
    """Write `nb` at once; its twin, which says the same, is dated after it, so that no later sync takes the wrong one."""
    text = nbformat.writes(nb)
    store(path, text if text.endswith("\n") else text + "\n")
    twin = twin_of(path)
    if twin is not None and twin.exists() and twin.stat().st_mtime_ns < path.stat().st_mtime_ns:
        os.utime(twin, ns=(path.stat().st_mtime_ns,) * 2)


def process(path: Path, check: bool = False) -> str:
    """Run one notebook, in step with its twin, and store it (unless `check`); returns a line for the terminal."""
    sync(path, check)
    start = contents(path)
    try:
        nb = nbformat.reads(start[0].decode("utf-8"), as_version=4)
    except Exception as error:  # whatever a broken notebook makes the reader raise
        raise ChapterError(f"{path}: not a notebook: {error}") from None
    before = shown(nb)
    seconds = run(nb, path)
    clean(nb, seconds)
    line = f"{seconds / 60:5.2f} min  {path.name}"
    if check:
        changed = sum(a != b for a, b in zip(before, shown(nb)))
        return line + f"  (cells with another output than the stored one: {changed})" * bool(changed)
    nbformat.validate(nb)
    if contents(path) != start:
        raise ChapterError(f"{path}: it or its twin was edited while it ran; nothing was written, run it again")
    write(nb, path)
    return line


def resolve(names: Sequence[Path | str]) -> list[Path]:
    """The notebooks that paths, paths of twins, numbers or names mean; ValueError for one that is not there."""
    files = [Path(p).resolve() if Path(p).exists() else find(str(p)) for p in names]
    files = [ROOT / "nbs" / p.relative_to(ROOT / "nbs/_text").with_suffix(".ipynb")
             if p.suffix == ".py" and p.is_relative_to(ROOT / "nbs/_text") else p for p in files]
    missing = [str(p) for p in files if p.suffix != ".ipynb" or not (p.is_file() or (t := twin_of(p)) and t.is_file())]
    if missing:
        raise ValueError(f"no such notebook: {', '.join(missing)}")
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="notebooks, or their text twins (default: all)")
    parser.add_argument("--check", action="store_true", help="run, but write nothing")
    parser.add_argument("--sync", action="store_true", help="run nothing, only bring notebooks and twins in step")
    parser.add_argument("--fast", action="store_true", help="with --check: on short walks (MODELAB_FAST=1)")
    args = parser.parse_args(argv)
    if args.fast and args.check:
        os.environ["MODELAB_FAST"] = "1"
    elif not args.sync and os.environ.get("MODELAB_FAST", "") not in ("", "0"):
        print("MODELAB_FAST is set: a short walk must not be stored. Unset it first.", file=sys.stderr)
        return 2
    try:
        files = resolve(args.files) or notebooks(ROOT)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not files:
        print(f"no such notebook: {ROOT / 'nbs'}", file=sys.stderr)
        return 2
    failed = 0
    for path in files:
        try:
            sync(path) if args.sync else print(process(path, args.check), flush=True)
        except ChapterError as error:
            failed += 1
            print(f"FAILED  {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
