"""Check one chapter: its twin in step, its modules exported, its cells run on short walks, its tests passed.

    python data_scripts/check.py 1_game/04_wasserstein          (or 1.4, or wasserstein)
    python data_scripts/check.py --store 1_game/04_wasserstein  twin, export, then the whole run, which is stored
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from run_notebooks import ROOT, find


def tests(chapter: Path) -> list[str]:
    """The tests of a chapter: the file of its name, the rules of cells, its exercises, and the layers."""
    own = f"tests/test_{chapter.stem.partition('_')[2]}.py"
    if not (ROOT / own).exists():
        print(f"{own} is not there: a chapter's own tests stand in it", flush=True)
    return [own] * (ROOT / own).exists() + [f"tests/test_{name}.py" for name in ("chapter_rules", "exercises", "layers")]


def check(chapter: Path, store: bool = False) -> int:
    """Do all of it; returns the exit status of the first step that fails."""
    env = {"OMP_NUM_THREADS": "2", **os.environ, "MODELAB_CHAPTER": str(chapter)} | ({} if store else {"MODELAB_FAST": "1"})
    sync = [sys.executable, "data_scripts/run_notebooks.py", "--sync", str(chapter)]
    run = [sys.executable, "data_scripts/run_notebooks.py", *([] if store else ["--check", "--fast"]), str(chapter)]
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", *tests(chapter)]
    steps = [("twin", sync), ("export", [sys.executable, "data_scripts/export.py", str(chapter)]), ("run", run),
             ("tests", pytest), ("tables", [sys.executable, "data_scripts/ledger.py", "--write"])]
    for title, command in [step for step in steps if not (store and step[0] == "tests")]:
        start = time.perf_counter()
        status = subprocess.run(command, cwd=ROOT, env=env).returncode
        print(f"{title:6} {'passed' if status == 0 else 'FAILED'} in {time.perf_counter() - start:.1f} s", flush=True)
        if status:
            return status
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    store = "--store" in argv[:1]
    argv = argv[store:]
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return check(find(argv[0]), store)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
