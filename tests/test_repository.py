"""The repository agrees with itself: notebooks, twins, modules, metadata. Each check is proven on a bad example."""

import ast
import datetime
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import export as exporter
import jupytext
import ledger
import nbformat
import pytest
from ledger import module
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyflakes.checker import Checker
from pyflakes.messages import UnusedImport
from run_notebooks import ROOT, notebooks, number

HAND_WRITTEN = {"__init__.py"}
LINES_PER_FILE, LINES_PER_FUNCTION = 400, 41
TEXT_FILES = {".py", ".ini", ".toml", ".txt", ".md", ".in", ".yml", ".js", ".css", ".json", ".ipynb", ".svg", ""}
HOME = re.compile(r"(?<![\w.~/-])/(?:root|work|home|Users)/[\w.]")
SKIPS = re.compile(r"mark\.(?:skip|skipif|xfail)\b|pytest\.xfail\(|unittest\.skip|NBVAL_SKIP|PYTEST_VALIDATE_SKIP"
                   r"|^\s*#\|\s*eval:\s*false")
UNTIL = re.compile(r"until (\d{4}-\d{2}-\d{2})")


def export(root: Path, into: Path) -> Path:
    """Export the notebooks of `root` afresh below `into`; returns the package folder it made."""
    for path in notebooks(root):
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name in ("pyproject.toml", "settings.ini"):
        shutil.copyfile(root / name, into / name)
    (into / "modelab").mkdir()
    for name in HAND_WRITTEN:
        shutil.copyfile(root / "modelab" / name, into / "modelab" / name)
    env = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {"PYTHONPATH": str(root / "data_scripts")}
    code = "import sys; from pathlib import Path; import export; export.export(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(into)], cwd=into, env=env, check=True, capture_output=True, text=True)
    return into / "modelab"


def differences(committed: Path, exported: Path) -> list[str]:
    """What `make export` would change in the package folder `committed`."""
    ours, theirs = ({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.py*") if p.suffix in (".py", ".pyi")}
                    for folder in (committed, exported))
    both = sorted(ours.keys() & theirs.keys())
    return ([f"{name}: differs from its notebook" for name in both if ours[name] != theirs[name]]
            + [f"{name}: no notebook exports it" for name in sorted(ours.keys() - theirs.keys())]
            + [f"{name}: was never exported" for name in sorted(theirs.keys() - ours.keys())])


def test_export_is_a_no_op(root, tmp_path):
    assert notebooks(), "there is no notebook in nbs/ yet"
    exported = export(root, tmp_path)
    assert not (problems := differences(root / "modelab", exported)), f"run make export: {problems}"
    first = next((exported / "core").glob("[a-z]*.py"))
    first.write_text(first.read_text() + "\n# by hand\n")
    (exported / "orphan.py").write_text("")
    assert differences(exported, root / "modelab") == [f"core/{first.name}: differs from its notebook",
                                                       "orphan.py: no notebook exports it"]


def exported(nb: nbformat.NotebookNode) -> set[str]:
    """The modules that a notebook exports."""
    found = {module(nb)} if any(re.search(r"^#\|\s*exports?i?[ \t]*$", c.source, re.M) for c in nb.cells) else set()
    return found | {m[1] for c in nb.cells for m in re.finditer(r"^#\|\s*exports?i?[ \t]+([\w.]+)", c.source, re.M)}


def clashes(paths: list[Path]) -> list[str]:
    """Notebooks of one part with one number, and modules that several notebooks export."""
    numbers = Counter((p.parent.name, n) for p in paths if (n := number(p)))  # index and glossary have none
    modules = Counter(m for p in paths for m in exported(nbformat.read(p, as_version=4)))
    return ([f"{part}: {k} notebooks of the number {n}" for (part, n), k in numbers.items() if k > 1]
            + [f"modelab.{m}: {k} notebooks export it" for m, k in modules.items() if k > 1])


def notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells at `path`, for bad examples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), path)
    return path


def test_a_module_has_one_notebook(tmp_path):
    assert not clashes(notebooks())
    bad = [notebook(tmp_path / "1_a" / f"01_{name}.ipynb", "#| default_exp x.y", "#| export\n1") for name in "ab"]
    bad.append(notebook(tmp_path / "1_b/02_c.ipynb", "#| export x.y\n1"))
    assert clashes(bad) == ["1_a: 2 notebooks of the number 1.1", "modelab.x.y: 3 notebooks export it"]


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A small repository of two notebooks, exported; the tool is `exporter`."""
    monkeypatch.delenv("IN_TEST", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("pyproject.toml", "settings.ini"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "modelab").mkdir()
    (tmp_path / "modelab/__init__.py").write_text('_PUBLIC = {"a": "f"}\n')
    notebook(tmp_path / "nbs/1_a/01_x.ipynb", "#| default_exp core.x", '#| export\n"Text."', "#| export\nclass C:\n    a = 1",
             "#| export\n@patch\ndef m(self: C):\n    return 1", "#| export\ndef f():\n    return C")
    notebook(tmp_path / "nbs/1_a/02_y.ipynb", "#| default_exp data.y", "#| export\nfrom modelab.core.x import f", "#| export data.z\nz = 1")
    exporter.export(tmp_path)
    return tmp_path


def package_files(root: Path) -> dict[str, bytes]:
    """Every file of the package of a small repository."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in (root / "modelab").rglob("*") if p.is_file()}


def test_a_small_repository_is_exported(small):
    files = package_files(small)
    assert set(files) == {f"modelab/{n}" for n in (
        "__init__.py", "__init__.pyi", "_index.py", "_modidx.py", "core/__init__.py", "core/x.py", "data/__init__.py",
        "data/y.py", "data/z.py")}
    assert b"from ..core.x import f" in files["modelab/data/y.py"] and b"    def m(self):" in files["modelab/core/x.py"]
    assert b"# %% ../../nbs/1_a/01_x.ipynb #" in files["modelab/core/x.py"]
    assert b"modelab.core.x.C.m" in files["modelab/_modidx.py"] and b"../" not in files["modelab/_modidx.py"]
    exporter.export(small, [small / "nbs/1_a/02_y.ipynb"])
    assert package_files(small) == files


BROKEN = {
    "01_x.ipynb, cell 2, line 3: ": ["#| default_exp core.x", "1", "#| export\ndef f():\n    return ("],
    "01_x.ipynb, cell 1: @patch m: class D is not exported to core.x": ["#| default_exp core.x", "#| export\n@patch\ndef m(self: D): pass"],
    "01_x.ipynb, cell 1: @patch m: write the class": ["#| default_exp core.x", "#| export\n@patch\ndef m(self): pass"],
    "01_x.ipynb, cell 0: exports, and the notebook has no": ["#| export\nx = 1"],
    "01_x.ipynb, cell 1: a relative import": ["#| default_exp core.x", "#| export\nfrom .y import z"],
    "_PUBLIC has 'f', which no module exports": ["#| default_exp core.x", "#| export\ng = 1"],
    "modelab.data.y is exported by several notebooks: .*01_x.ipynb, .*02_y.ipynb": ["#| default_exp data.y", "#| export\nf = 1"],
    "'c' is registered by two modules: modelab.core.w and modelab.core.x":
        ["#| default_exp core.x", "#| export\nf = 1", "#| export\n@register_game\nclass C: pass", "#| export core.w\n@register_game\nclass C: pass"],
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_export_that_fails_changes_nothing_and_says_where(small, message):
    before = package_files(small)
    (small / "modelab/core/.x.py").write_text("left by an export that was stopped(")
    notebook(small / "nbs/1_a/01_x.ipynb", *BROKEN[message])
    with pytest.raises(exporter.ExportError, match=message if "modelab." in message else re.escape(message)):
        exporter.export(small, [small / "nbs/1_a/01_x.ipynb"])
    (small / "modelab/core/.x.py").unlink()
    assert package_files(small) == before


def test_an_export_that_is_stopped_changes_nothing(small, monkeypatch):
    before = package_files(small)
    notebook(small / "nbs/1_a/02_y.ipynb", "#| default_exp data.y", "#| export\ny = 2")
    for step in ("nb_export", "_build_modidx", "stub"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(exporter, step, lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
            exporter.export(small)
        assert package_files(small) == before


def test_hidden_files_are_no_modules(small):
    (small / "modelab/core/.w.py").write_text("half a module(")
    exporter.export(small)
    assert "'core.w'" not in (small / "modelab/_index.py").read_text()


def test_a_renamed_module_leaves_nothing_behind(small):
    notebook(small / "nbs/1_a/02_y.ipynb", "#| default_exp losses.y", "#| export\ny = 2")
    exporter.export(small, [small / "nbs/1_a/01_x.ipynb"])  # another notebook: nothing is deleted
    assert "modelab/data/y.py" in package_files(small)
    exporter.export(small, [small / "nbs/1_a/02_y.ipynb"])
    assert {n for n in package_files(small) if "y." in n or "z." in n or "data" in n} == {"modelab/losses/y.py"}
    assert "data.y" not in (small / "modelab/_index.py").read_text() + (small / "modelab/_modidx.py").read_text()


def test_a_renamed_notebook_keeps_its_module(small):
    (small / "nbs/1_a/02_y.ipynb").rename(small / "nbs/1_a/03_y.ipynb")
    exporter.export(small)
    assert b"03_y.ipynb" in package_files(small)["modelab/data/y.py"]


def test_tables_say_which_file_is_broken(small, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "ROOT", small)
    monkeypatch.setattr(ledger, "notebooks", lambda: notebooks(small))
    (small / "LEDGER.md").write_text("<!-- chapters -->\n<!-- /chapters -->\n<!-- ledger -->\n<!-- /ledger -->\n")
    for path in (small / "nbs/1_a").glob("*.ipynb"):
        nb = nbformat.read(path, as_version=4)
        nb.cells.insert(0, nbformat.v4.new_markdown_cell("# T\n> t\n| **Question** | Why? |"))
        nbformat.write(nb, path)
    notebook(small / "nbs/index.ipynb", "1")
    assert ledger.main([]) == 2 and "nbs/index.ipynb: no cell has the lines <!-- questions -->" in capsys.readouterr().err
    (small / "nbs/1_a/02_y.ipynb").write_text((small / "nbs/1_a/02_y.ipynb").read_text()[:90])
    assert ledger.main([]) == 2 and "02_y.ipynb: not a whole notebook" in capsys.readouterr().err
    (small / "LEDGER.md").write_text("")
    with pytest.raises(ledger.ChapterError, match="LEDGER.md: the file must hold the lines <!-- chapters -->"):
        ledger.stale(small, [])


def stale_twins(root: Path) -> list[str]:
    """Notebooks whose text twin says something else, and twins without a notebook."""
    config = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    problems, twins = [], set()
    for path in notebooks(root):
        twin = root / "nbs/_text" / path.relative_to(root / "nbs").with_suffix(".py")
        twins.add(twin)
        text = jupytext.writes(nbformat.read(path, as_version=4), fmt="py:percent", config=config)
        if not twin.exists():
            problems.append(f"{path.name}: has no twin")
        elif twin.read_text(encoding="utf-8").rstrip("\n") != text.rstrip("\n"):
            problems.append(f"{path.name}: twin differs")
    lonely = set((root / "nbs/_text").rglob("*.py")) - twins
    return problems + [f"{p.name}: no notebook for this twin" for p in sorted(lonely)]


def test_text_twins_say_the_same(root, tmp_path):
    assert not (problems := stale_twins(root)), f"run jupytext --sync on {problems}"
    notebook(tmp_path / "nbs/0_a/00_x.ipynb", "1 + 1")
    notebook(tmp_path / "nbs/0_a/01_y.ipynb", "2 + 2")
    notebook(tmp_path / "nbs/0_a/02_z.ipynb", "3 + 3")
    text = tmp_path / "nbs/_text/0_a"
    text.mkdir(parents=True)
    (text / "00_x.py").write_text("# %%\n1 + 1\n")
    (text / "01_y.py").write_text("# %%\n2 + 3\n")
    (text / "09_w.py").write_text("# %%\n")
    assert stale_twins(tmp_path) == ["01_y.ipynb: twin differs", "02_z.ipynb: has no twin",
                                     "09_w.py: no notebook for this twin"]


def code_lines(text: str) -> int:
    """Lines that hold code: no blanks, comments (nbdev marks each cell with one) or docstrings."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {n for t in tokens if t.type not in layout for n in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def too_long(path: Path) -> list[str]:
    """A module of too many lines of code, or its functions of too many lines."""
    text = path.read_text(encoding="utf-8")
    n = code_lines(text)
    problems = [f"{path.name}: {n} lines of code"] * (n > LINES_PER_FILE)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            n = node.end_lineno - node.lineno + 1
            problems += [f"{path.name}: {node.name} has {n} lines"] * (n >= LINES_PER_FUNCTION)
    return problems


def test_modules_and_functions_stay_short(root, tmp_path):
    found = [p for p in (root / "modelab").rglob("*.py") if p.name not in ("_modidx.py", "_index.py")]
    assert not sum(map(too_long, found), [])
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n" + "    1\n" * 60 + "1\n" * 400 + "# no code\n\n" * 9)
    assert too_long(bad) == ["bad.py: 461 lines of code", "bad.py: f has 61 lines"]


def undated(text: str, today: datetime.date) -> list[str]:
    """Lines that switch a test or a cell off without `until YYYY-MM-DD`, or beyond that day."""
    problems = []
    for line in text.splitlines():
        if SKIPS.search(line):
            found = UNTIL.search(line)
            if not found:
                problems.append(f"no date: {line.strip()}")
            elif datetime.date.fromisoformat(found[1]) < today:
                problems.append(f"past its date: {line.strip()}")
    return problems


def test_nothing_is_switched_off_for_ever(root):
    today = datetime.date.today()
    others = [p for p in sorted((root / "tests").rglob("*.py")) if p != Path(__file__)]
    sources = {p.name: p.read_text(encoding="utf-8") for p in others}
    for path in notebooks():
        cells = nbformat.read(path, as_version=4).cells
        sources[path.name] = "\n".join(c.source for c in cells if c.cell_type == "code")
    assert not {name: p for name, text in sources.items() if (p := undated(text, today))}
    bad = ("@pytest.mark.skip\n@pytest.mark.xfail(reason='until 2001-01-01')\n# NBVAL_SKIP\n#| eval: false\n"
           "@pytest.mark.skipif(x, reason='until 2999-01-01: upstream')\npytest.skip('no browser here')\n")
    assert [p.split(":")[0] for p in undated(bad, today)] == ["no date", "past its date", "no date", "no date"]


def homes(text: str) -> list[str]:
    """Places in `text` that name a folder of somebody's machine."""
    return [text[m.start():m.start() + 40].splitlines()[0] for m in HOME.finditer(text)]


def test_files_name_no_machine(root):
    try:
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True,
                                capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: no list of its files")
    files = [p for name in listed.split("\0") if name and (p := root / name).is_file() and p.suffix in TEXT_FILES]
    assert not {p.name: found for p in files if (found := homes(p.read_text(encoding="utf-8")))}
    for folder in ("root", "work", "home", "Users"):
        assert homes(f"see '/{folder}/x.py'") and not homes(f"https://host.org/{folder}/x and a/{folder}/b")


def mismatches(settings: dict[str, str], package: str, project: str, constraints: str) -> list[str]:
    """Where version, Python and requirements are said twice and not the same."""
    pins = {canonicalize_name(r.name): r for line in constraints.splitlines()
            if line.strip() and not line.startswith("#") for r in [Requirement(line)]}
    version, python = (f"VERSION = '{settings['version']}'", f'requires-python = ">={settings["min_python"]}"')
    problems = [f"version: settings.ini {settings['version']}"] * (version not in package)
    problems += ["requires-python differs"] * (python not in project)
    for key in ("requirements", "course_requirements", "data_requirements", "dev_requirements"):
        for need in map(Requirement, settings[key].split()):
            pin = pins.get(canonicalize_name(need.name))
            version = next(iter(pin.specifier)).version if pin else None
            if pin is None or str(pin.specifier) != f"=={version}":
                problems.append(f"{need.name}: not pinned in constraints.txt")
            elif not need.specifier.contains(version):
                problems.append(f"{need}: constraints.txt has {version}")
    return problems


def test_metadata_is_said_once_or_the_same(root):
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    settings = dict(parser["DEFAULT"])
    names = ("modelab/_index.py", "pyproject.toml", "constraints.txt")
    files = [(root / name).read_text(encoding="utf-8") for name in names]
    assert not mismatches(settings, *files)
    assert "nbdev==" in settings["dev_requirements"], "export output changes between releases: pin nbdev exactly"
    bad = settings | {"version": "9.9", "min_python": "3.99", "requirements": "torch>=99 absent"}
    assert mismatches(bad, *files)[:4] == [
        "version: settings.ini 9.9", "requires-python differs", "torch>=99: constraints.txt has 2.13.0",
        "absent: not pinned in constraints.txt"]


# imports that nothing uses

ON_PURPOSE = {"sklearn.experimental.enable_iterative_imputer", "torch._dynamo", "no_such_package"}  # imported for what the import does


def unused_imports(code: str) -> list[str]:
    """The names that Python code imports and never uses."""
    found = [message.message_args[0] for message in Checker(ast.parse(code)).messages if isinstance(message, UnusedImport)]
    return [name for name in found if name not in ON_PURPOSE]


def lines_of(path: Path) -> str:
    """A file's code; of a notebook, that of all its cells without magics."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", "\n".join(cells), flags=re.M)


def test_unused_imports_are_noticed():
    assert unused_imports("import math, os\nfrom a import b as c, d\nprint(os, d)\n") == ["math", "a.b as c"]
    assert not unused_imports("import torch._dynamo\nimport os\n__all__ = ['os']\n")


@pytest.mark.parametrize("folder", ["modelab", "nbs", "tests", "benchmarks", "data_scripts", "docs", "examples"])
def test_every_import_is_used(folder):
    files = notebooks(ROOT) if folder == "nbs" else [p for p in sorted((ROOT / folder).rglob("*.py")) if p.name != "__init__.py"]
    found = {p.relative_to(ROOT).as_posix(): names for p in files if (names := unused_imports(lines_of(p)))}
    assert not found
