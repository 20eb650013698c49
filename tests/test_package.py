"""What a user installs: it builds without a network, brings its chapters, and costs no more to import than torch."""

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import modelab
import pytest
from run_notebooks import notebooks

from modelab import _index

HEAVY = set("sklearn scipy matplotlib seaborn pandas ipywidgets anywidget IPython torchvision fastcore".split())
PARTS = "settings.ini setup.py pyproject.toml MANIFEST.in LICENSE README.md constraints.txt modelab nbs benchmarks".split()


def sh(*args, cwd, **env) -> str:
    """Run this Python with `args` away from the checkout; returns its output, fails with what it complained about."""
    env = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **env}
    args = [sys.executable, *map(str, args)]
    done = subprocess.run(args, cwd=cwd, env=env, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """The package, packed as a source archive, built from that as a wheel, and installed to a folder of its own."""
    tmp = tmp_path_factory.mktemp("package")
    source = tmp / "source"
    source.mkdir()
    for name in PARTS:
        assert (root / name).exists(), f"{name} is missing: the package cannot be built without it"
        copy = shutil.copytree if (root / name).is_dir() else shutil.copyfile
        copy(root / name, source / name)
    sh("-c", "from setuptools.build_meta import build_sdist; build_sdist('..')", cwd=source)
    archive, = tmp.glob("modelab-*.tar.gz")
    sh("-m", "pip", "wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps", "-w", tmp, archive, cwd=tmp)
    wheel, = tmp.glob("modelab-*.whl")
    sh("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp / "site", wheel, cwd=tmp)
    return wheel, tmp / "site"


def test_wheel_holds_chapters_modules_and_nothing_of_the_workshop(installed, root):
    names = zipfile.ZipFile(installed[0]).namelist()
    chapters = {f"modelab/chapters/{p.relative_to(root / 'nbs').as_posix()}" for p in notebooks()}
    modules = {p.relative_to(root).as_posix() for p in (root / "modelab").rglob("*.py")}
    assert chapters and chapters | modules <= set(names)
    records = {f"modelab/{p.relative_to(root).as_posix()}" for p in (root / "benchmarks").rglob("*.json")}
    rest = {n for n in names if ".dist-info/" not in n and not n.startswith("modelab/lab/static/")}
    assert records and rest == chapters | modules | records | {"modelab/py.typed", "modelab/__init__.pyi"}


def test_wheel_declares_what_settings_declare(installed):
    wheel = zipfile.ZipFile(installed[0])
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    for line in ("License-Expression: Apache-2.0", "Requires-Python: >=3.11", "Provides-Extra: course",
                 "Provides-Extra: dev", "Requires-Dist: torch>=2.6", "Description-Content-Type: text/markdown"):
        assert line in metadata
    entries = wheel.read(next(n for n in wheel.namelist() if n.endswith("entry_points.txt"))).decode()
    assert "modelab = modelab.__main__:main" in entries


def test_installed_package_works_away_from_the_checkout(installed, tmp_path):
    site = installed[1]
    code = ("import modelab, pkgutil, importlib, pathlib\n"
            f"assert pathlib.Path(modelab.__file__).is_relative_to({str(site)!r}), modelab.__file__\n"
            "from modelab import _index\n"
            "for name in _index.MODULES: importlib.import_module(f'modelab.{name}')\n"
            "print(modelab.__version__)")
    assert sh("-c", code, cwd=tmp_path, PYTHONPATH=str(site)).startswith("0.1.0")
    assert "modelab" in sh("-m", "modelab", "--help", cwd=tmp_path, PYTHONPATH=str(site))
    mine = tmp_path / "my course"
    for expected in (len(notebooks()), 0):
        said = sh("-m", "modelab", "course", "my course", cwd=tmp_path, PYTHONPATH=str(site))
        assert said == f"{expected} new chapters in my course. Open them with: jupyter lab 'my course'\n" \
            "The first chapter is 0_start/01_first_gan.ipynb\n"
    assert sorted(p.name for p in mine.rglob("*.ipynb")) == sorted(p.name for p in notebooks())
    answer = "from modelab.course.graders.evidence import grade_seen; print(grade_seen(632))"
    assert sh("-c", answer, cwd=mine / "0_start", PYTHONPATH=str(site)) == "Right.\n"
    assert "evidence             1 of 2" in sh("-m", "modelab", "course", mine, "--progress", cwd=tmp_path, PYTHONPATH=str(site))


REPLAYED = """
import json, os, sys
from pathlib import Path
import modelab
from modelab.course.claims import recorded
assert recorded("audit") and recorded("minimax") and not recorded("nothing")
ahead = {}
for cell in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "code":
        exec(source, ahead)
        if source.startswith("@experiment"):
            break
del os.environ["MODELAB_FAST"]  # up to here few steps are enough
print(ahead["on_the_ring"]()["β₁ = 0.5"])
"""


def test_installed_package_replays_its_experiments(installed, tmp_path):
    chapter = tmp_path / "0_start/01_first_gan.ipynb"
    sh("-m", "modelab", "course", tmp_path, cwd=tmp_path, PYTHONPATH=str(installed[1]))
    code = tmp_path / "replay.py"
    code.write_text(REPLAYED, encoding="utf-8")
    said = sh(code, chapter, cwd=chapter.parent, PYTHONPATH=str(installed[1]), MODELAB_FAST="1")
    assert len(eval(said.splitlines()[-1])) == 5, "five seeds were recorded"


TIMED = """
import gc, sys, time, importlib
gc.disable()  # one full collection takes longer than all our imports, and falls where it happens to fall
heavy = lambda: {{m.split(".")[0] for m in sys.modules}} & {heavy!r}
start = time.perf_counter(); import torch; middle = time.perf_counter(); alone = heavy()
for name in {names!r}: importlib.import_module(name)
end = time.perf_counter()
print((end - start) / (middle - start), ",".join(sorted(heavy() - alone)))
"""
EACH = .002  # of an import of torch may a module cost (measured .001 on two machines): twice that is a heavy import
LIMIT = 1.1
EXTENDS = {"methods.tabular_estimator"}  # a class of scikit-learn's is the base of one here; no other module imports these


def import_cost(names: list[str], cwd, **env) -> tuple[float, set[str]]:
    """What importing torch and `names` costs, in imports of torch, and the heavy packages that `names` draw in.

    Both times come from one process, so that a busy machine slows both alike.
    """
    cost, *heavy = sh("-c", TIMED.format(names=names, heavy=HEAVY), cwd=cwd, **env).split()
    return float(cost), {name for part in heavy for name in part.split(",")}


def test_import_costs_no_more_than_torch(tmp_path):
    names = [f"modelab.{name}" for name in _index.MODULES if name not in EXTENDS]
    assert names and EXTENDS < set(_index.MODULES), "no module has been exported yet"
    compileall.compile_dir(Path(modelab.__file__).parent, quiet=1)  # as pip leaves it
    costs, limit = [], 1 + EACH * len(names)
    while len(costs) < 5 and sum(cost <= limit for cost in costs) < 3:  # until the median of five is known
        cost, heavy = import_cost(names, tmp_path)
        assert not heavy, "import these inside the functions that need them"
        costs.append(cost)
    assert statistics.median(costs) <= limit, f"all modules together cost {statistics.median(costs):.3f} times import torch"


def test_a_costly_import_is_noticed(tmp_path):
    (tmp_path / "slow.py").write_text("import time, scipy.stats, sklearn\ntime.sleep(.5)\n")
    cost, heavy = import_cost(["slow"], tmp_path, PYTHONPATH=str(tmp_path))
    assert cost > LIMIT and heavy >= {"scipy", "sklearn"}
