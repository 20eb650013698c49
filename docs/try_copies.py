"""Run the copy of every chapter from top to bottom, as "Run all" does in Colab, with the package that will be published.

    python docs/try_copies.py /tmp/trial --python python3.13                # half an hour on an idle core
    python docs/try_copies.py /tmp/trial --python python3.13 --fast 1.3     # one chapter, few training steps

FOLDER gets an environment with what Colab brings (docs/colab.txt) and no modelab, a wheel, and copies of the chapters whose
first cell installs this wheel. The links in these copies lead to a repository that does not exist. Exercises stay unanswered,
as a reader leaves them who only looks. FOLDER/tried.jsonl says what each chapter took and where it failed. The same command
goes on with the chapters that have not passed; delete FOLDER to begin again. The status is 1 if a chapter fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE), str(ROOT / "data_scripts")]

from copies import settings, write_copies  # noqa: E402
from run_notebooks import resolve  # noqa: E402

STAND_IN = "nobody/nowhere"  # of a repository, which a person decides
CELL_SECONDS = 900


def make_environment(folder: Path, python: str) -> Path:
    """An environment with what Colab brings; returns its Python. One that is there is left as it is."""
    mine = folder.resolve() / "env/bin/python"
    if not mine.exists():
        subprocess.run([python, "-m", "venv", str(folder / "env")], check=True)
        subprocess.run([str(mine), "-m", "pip", "install", "--quiet", "--requirement", str(HERE / "colab.txt")], check=True)
    return mine


def make_wheel(folder: Path) -> Path:
    """The wheel of this checkout; one that is in the folder is taken."""
    if not list(folder.glob("modelab-*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("modelab-*.whl"))


def surroundings(folder: Path, fast: bool) -> dict[str, str]:
    """The variables for a chapter: none of modelab's or of Python's, no kernels and start files of the user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELAB_", "PYTHON", "JUPYTER_", "IPYTHON"))}
    own = {name: str(folder.resolve() / "user") for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    return kept | own | {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"} | ({"MODELAB_FAST": "1"} if fast else {})


def first_error(said: str) -> str:
    """The line of a traceback that names the error, without colours; the last line if there is none."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return (named or lines or [""])[-1]


def shown_error(copy: Path) -> str:
    """The first error among the outputs of a copy: a value that could not be shown stops no run."""
    cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    errors = [out for cell in cells for out in cell.get("outputs", ()) if out["output_type"] == "error"]
    return f"{errors[0]['ename']}: {errors[0]['evalue']}" if errors else ""


def try_copy(copy: Path, python: Path, env: dict[str, str]) -> dict:
    """Run one copy, and store what it shows; returns its seconds and the first error, which is empty if it passed."""
    command = [str(python.parent / "jupyter-execute"), "--inplace", f"--timeout={CELL_SECONDS}", copy.name]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=copy.parent, env=env, capture_output=True, text=True)
    error = first_error(done.stderr) if done.returncode else shown_error(copy)
    return {"seconds": round(time.perf_counter() - start, 1), "error": error}


def passed(log: Path) -> set[str]:
    """The chapters that have passed already."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines()) if log.exists() else ()
    return {line["chapter"] for line in lines if not line["error"]}


def try_all(folder: Path, python: Path, names: list[str], fast: bool) -> list[str]:
    """Try what has not passed, and note each chapter in tried.jsonl; returns those that failed."""
    log, env, failed = folder / "tried.jsonl", surroundings(folder, fast), []
    copies, done = write_copies(folder / "copies", STAND_IN, settings()["version"], make_wheel(folder)), passed(log)
    wanted = {path.relative_to(ROOT / "nbs").as_posix() for path in resolve(names)}
    if not log.exists() and not subprocess.run([str(python), "-c", "import modelab"], cwd=folder, env=env, capture_output=True).returncode:
        raise SystemExit(f"{python} has a modelab already: what is tried is the first cell, which installs it")
    for copy in copies:
        name = copy.relative_to(folder / "copies").as_posix()
        if name in done or wanted and name not in wanted:
            continue
        line = {"chapter": name} | try_copy(copy, python, env) | {"fast": fast}
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{line['seconds']:6.1f} s  {name}" + f"  FAILED  {line['error']}" * bool(line["error"]), flush=True)
        failed += [name] * bool(line["error"])
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="outside of the checkout; made if it is absent")
    parser.add_argument("chapters", nargs="*", help="names or numbers of chapters (default: all)")
    parser.add_argument("--python", default=sys.executable, help="the Python of the environment (default: the one that runs this)")
    parser.add_argument("--fast", action="store_true", help="few training steps (MODELAB_FAST=1)")
    args = parser.parse_intermixed_args(argv)
    if args.folder.resolve().is_relative_to(ROOT):
        parser.error(f"{args.folder} lies in the checkout: name a folder elsewhere, so that no chapter finds its modelab")
    args.folder.mkdir(parents=True, exist_ok=True)
    failed = try_all(args.folder, make_environment(args.folder, args.python), args.chapters, args.fast)
    print(f"{len(passed(args.folder / 'tried.jsonl'))} chapters passed" + f", failed: {', '.join(failed)}" * bool(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
