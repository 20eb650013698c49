"""Check one chapter: its twin in step, its modules exported, its cells run on short walks, its tests passed.

    python data_scripts/check.py 1_game/04_wasserstein      (or 1.4, or wasserstein)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from run_notebooks import ROOT, find

TOOLS = Path(sys.executable).parent


def tests(chapter: Path) -> list[str]:
    """The tests of a chapter: the file of its name, what every game or function must pass, and the cells' own rules."""
    stem = chapter.stem.partition("_")[2]
    own = [f"tests/test_{stem}.py"] if (ROOT / f"tests/test_{stem}.py").exists() else []
    return [*own, "tests/test_chapter_rules.py"]


def check(chapter: Path) -> int:
    """Do all of it; returns the exit status of the first step that fails."""
    twin = ROOT / "nbs/_text" / chapter.relative_to(ROOT / "nbs").with_suffix(".py")
    env = dict(os.environ, MODELAB_FAST="1", OMP_NUM_THREADS="2", MODELAB_CHAPTER=str(chapter))
    sync = [str(TOOLS / "jupytext"), "--quiet", "--sync", str(twin if twin.exists() else chapter)]
    run = [sys.executable, "data_scripts/run_notebooks.py", "--check", "--fast", str(chapter)]
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", *tests(chapter)]
    for title, command in (("twin", sync), ("export", [sys.executable, "data_scripts/export.py", str(chapter)]),
                           ("run", run), ("tests", pytest)):
        start = time.perf_counter()
        status = subprocess.run(command, cwd=ROOT, env=env).returncode
        print(f"{title:6} {'passed' if status == 0 else 'FAILED'} in {time.perf_counter() - start:.1f} s", flush=True)
        if status:
            return status
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return check(find(argv[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
