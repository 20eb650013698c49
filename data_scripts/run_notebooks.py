"""Run chapters from a fresh kernel and store what they show, so that committed outputs belong to the committed code.

    python data_scripts/run_notebooks.py                        # every chapter
    python data_scripts/run_notebooks.py 1_game/04_wasserstein  # one
    python data_scripts/run_notebooks.py --check                # run, write nothing

A stored notebook has execution counts 1..n, no widget state, and in its metadata the digest of the code that ran and
the processor seconds that it took, which a busy machine does not change: from these the tests know that every cell really ran, and LEDGER.md gets its minutes. The
kernel has MODELAB_THREADS threads (default 2). A cell may take 300 s; longer work belongs in benchmarks/.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
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
CELL_SECONDS = 300
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
    every = sorted({*notebooks(), *twins})
    found = [p for p in every if stem in (p.relative_to(ROOT / "nbs").with_suffix("").as_posix(), p.stem,
                                          p.stem.partition("_")[2], number(p))]
    if len(found) != 1:
        raise ValueError(f"CHAPTER: expected one chapter, such as 1_game/04_wasserstein, 1.4 or wasserstein, got {name!r} "
                         f"({len(found)} found)")
    return found[0]


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
    """Write `nb` to a temporary name, then rename: a crash leaves the old notebook or the new one."""
    text = nbformat.writes(nb)
    new = dict(mode="w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False)
    with tempfile.NamedTemporaryFile(**new) as file:
        file.write(text if text.endswith("\n") else text + "\n")
    os.chmod(file.name, path.stat().st_mode)
    os.replace(file.name, path)


def process(path: Path, check: bool = False) -> str:
    """Run one notebook and store it (unless `check`); returns a line for the terminal."""
    nb = nbformat.read(path, as_version=4)
    before, source = shown(nb), digest(nb)
    seconds = run(nb, path)
    clean(nb, seconds)
    line = f"{seconds / 60:5.2f} min  {path.name}"
    if check:
        changed = sum(a != b for a, b in zip(before, shown(nb)))
        return line + f"  (cells with another output than the stored one: {changed})" * bool(changed)
    if digest(nbformat.read(path, as_version=4)) != source:
        raise ChapterError(f"{path}: edited while it ran; nothing was written, run it again")
    nbformat.validate(nb)
    write(nb, path)
    return line


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="notebooks, or their text twins (default: all)")
    parser.add_argument("--check", action="store_true", help="run, but write nothing")
    parser.add_argument("--fast", action="store_true", help="with --check: on short walks (MODELAB_FAST=1)")
    args = parser.parse_args(argv)
    if args.fast and args.check:
        os.environ["MODELAB_FAST"] = "1"
    elif os.environ.get("MODELAB_FAST", "") not in ("", "0"):
        print("MODELAB_FAST is set: a short walk must not be stored. Unset it first.", file=sys.stderr)
        return 2
    try:
        files = [p.resolve() if p.exists() else find(str(p)) for p in args.files] or notebooks()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    files = [ROOT / "nbs" / p.relative_to(ROOT / "nbs/_text").with_suffix(".ipynb")
             if p.suffix == ".py" and p.is_relative_to(ROOT / "nbs/_text") else p for p in files]
    missing = [str(p) for p in files if p.suffix != ".ipynb" or not p.is_file()]
    if missing or not files:
        print(f"no such notebook: {', '.join(missing) or ROOT / 'nbs'}", file=sys.stderr)
        return 2
    failed = 0
    for path in files:
        try:
            print(process(path, args.check), flush=True)
        except ChapterError as error:
            failed += 1
            print(f"FAILED  {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
