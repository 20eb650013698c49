"""Export the notebooks to modelab/: one module per directive, methods patched in cells joined to their class.

    python data_scripts/export.py [NOTEBOOKS]

A notebook exports to its `#| default_exp` module, and to others by `#| export other.module`; a module is exported by
one notebook only. A cell that defines a method as `@patch def f(self: C)` is written into the class C of that module.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

from nbdev.doclinks import _build_modidx
from nbdev.export import nb_export
from nbdev.maker import ModuleMaker
from run_notebooks import ROOT, notebooks

PATCH = {"as_prop": "property", "cls_method": "classmethod"}
CELL = re.compile(r"^# %% .*$\n?", re.M)


class Maker(ModuleMaker):
    """nbdev's module maker, but every module it meets is new: no module is exported by two notebooks."""

    def __init__(self, dest, name, nb_path, is_new=True, **kw):
        super().__init__(dest, name, nb_path, is_new=True, **kw)

    def make(self, cells, all_cells=None, lib_path=None):
        final, self.fname = self.fname, self.fname.with_name(f".{self.fname.name}")
        super().make(cells, all_cells, lib_path)
        store(final, tidy(self.fname.read_text(encoding="utf-8")))
        self.fname.unlink()


def store(path: Path, text: str) -> None:
    """Write a file at once, and only if it says something new."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)


def _patch(node: ast.AST) -> tuple[str, list[str]] | None:
    """The class that a patched function belongs to and the decorators it has there; None for any other statement."""
    if not isinstance(node, ast.FunctionDef):
        return None
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if getattr(call.func if call else decorator, "id", None) != "patch":
            continue
        kinds = [PATCH[k.arg] for k in (call.keywords if call else ()) if k.arg in PATCH]
        first = (node.args.posonlyargs + node.args.args)[0]
        return ast.unparse(first.annotation).strip("'\""), kinds
    return None


def _method(lines: list[str], node: ast.FunctionDef, kinds: list[str]) -> list[str]:
    """The lines of a patched function as a method: indented, without `@patch` and the annotation of `self`."""
    top = min(d.lineno for d in node.decorator_list)
    head, body = lines[top - 1:node.lineno - 1], lines[node.lineno - 1:node.end_lineno]
    head = [line for line in head if not re.match(r"@patch\b", line)]
    first = (node.args.posonlyargs + node.args.args)[0]
    plain = f"{first.arg}: {ast.unparse(first.annotation)}"
    quoted = f"{first.arg}: {lines[first.lineno - 1][first.annotation.col_offset:first.annotation.end_col_offset]}"
    body[first.lineno - node.lineno] = body[first.lineno - node.lineno].replace(quoted, first.arg, 1).replace(plain, first.arg, 1)
    return ["    " + line if line else line for line in [f"@{k}" for k in kinds] + head + body]


def tidy(text: str) -> str:
    """A module as readers want it: its docstring first, and every class in one piece."""
    tree, lines = ast.parse(text), text.splitlines()
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    moved: dict[str, list[str]] = {}
    gone: set[int] = set()
    for node in tree.body:
        if (found := _patch(node)) is None:
            continue
        if found[0] not in classes:
            raise ValueError(f"@patch {node.name}: class {found[0]} is not exported to the same module")
        moved.setdefault(found[0], []).extend(["", *_method(lines, node, found[1])])
        top = min(d.lineno for d in node.decorator_list)
        gone |= set(range(top, node.end_lineno + 1))
        before = top - 1
        while before and not lines[before - 1].strip():
            before -= 1
        if before and CELL.match(lines[before - 1]):  # the marker of a cell that is empty now
            gone |= set(range(before, top))
    docs = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)]
    for node in docs[:2]:
        gone |= set(range(node.lineno, node.end_lineno + 1))
    ends = {classes[name].end_lineno: new for name, new in moved.items()}
    out = []
    for n, line in enumerate(lines, 1):
        if n not in gone:
            out.append(line)
        out += ends.get(n, [])
    body = re.sub(r"\n{4,}", "\n\n\n", "\n".join(out)).strip("\n") + "\n"
    doc = docs[min(1, len(docs) - 1)].value.value if docs else ""
    if len(doc) > 94 and "\n" not in doc:  # with its quotes it would be longer than a line
        doc = "\n".join(textwrap.wrap(doc, 97)) + "\n"
    return f'"""{doc}"""\n\n{body}' if doc else body


def _names(tree: ast.Module) -> list[str]:
    """The names in a module's `__all__`."""
    return next((ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
                 and getattr(node.targets[0], "id", None) == "__all__"), [])


def index(lib: Path) -> str:
    """The text of `_index.py`: what is where, read from the modules without importing them."""
    tables: dict[str, dict[str, str]] = {"MODULES": {}, "NAMES": {}, "GAMES": {}, "MODE_SETS": {}, "COMMANDS": {},
                                         "COMMAND_HELP": {}}
    for path in sorted(p for p in lib.rglob("*.py") if not p.name.startswith("_") or p.name == "__main__.py"):
        module, tree = ".".join(path.relative_to(lib).with_suffix("").parts), ast.parse(path.read_text("utf-8"))
        tables["MODULES"][module] = (ast.get_docstring(tree) or "").partition("\n")[0]
        tables["NAMES"] |= {name: module for name in _names(tree) if module != "__main__"}
        for node in tree.body:
            for mark in getattr(node, "decorator_list", []):
                kind = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark)
                if kind == "register_game":
                    tables["GAMES"][node.name.lower()] = module
                elif kind == "register_mode_set":
                    tables["MODE_SETS"][node.name] = module
                elif kind == "register_command":
                    tables["COMMANDS"][mark.args[0].value] = module
                    tables["COMMAND_HELP"][mark.args[0].value] = ast.get_docstring(node).partition("\n")[0]
    settings = ConfigParser(delimiters=["="])
    settings.read(lib.parent / "settings.ini", encoding="utf-8")
    version = settings.get("DEFAULT", "version", fallback="0")
    body = "\n\n".join(f"{name} = {{\n" + "".join(f"    {k!r}: {v!r},\n" for k, v in sorted(table.items())) + "}"
                       for name, table in tables.items())
    return ('"""What is in which module, made by data_scripts/export.py: names are found without importing anything."""\n\n'
            f"VERSION = {version!r}\n\n{body}\n")


def stub(lib: Path) -> str:
    """The text of `__init__.pyi`: the public names with their signatures, for editors and type checkers."""
    lines = ["# Made by data_scripts/export.py: what `from modelab import ...` offers.", "__version__: str"]
    tables: dict[str, dict] = {}
    exec(compile(index(lib), "_index", "exec"), tables)
    tree = ast.parse((lib / "__init__.py").read_text("utf-8"))
    names = [name for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_PUBLIC"
             for group in ast.literal_eval(node.value).values() for name in group.split()]
    for name in names:
        lines.append(f"from .{tables['NAMES'][name]} import {name} as {name}")
    for game, module in sorted(tables["GAMES"].items()):
        name = next(n for n, m in tables["NAMES"].items() if n.lower() == game and m == module)
        lines.append(f"from .{module} import {name} as {name}")
    return "\n".join(lines) + "\n"


def remove_orphans(lib: Path) -> None:
    """Delete the modules whose notebook is gone."""
    for path in sorted(lib.rglob("*.py")):
        source = re.search(r"^# AUTOGENERATED! DO NOT EDIT! File to edit: (.+\.ipynb)\.$", path.read_text("utf-8"), re.M)
        if source and not (path.parent / source[1]).exists():
            path.unlink()
            print(f"{path.relative_to(lib.parent)} is deleted: its notebook is gone")


def export(root: Path = ROOT, only: Sequence[Path] = ()) -> None:
    """Write the modules that the notebooks of `root`, or only some of them, export; and the index of all modules."""
    lib = root / "modelab"
    remove_orphans(lib)
    for path in only or notebooks(root):
        nb_export(path, lib_path=lib, mod_maker=Maker)
    for folder in sorted({p.parent for p in lib.rglob("*.py")} - {lib}):
        (folder / "__init__.py").touch()
    _build_modidx(lib, root / "nbs")
    store(lib / "_index.py", index(lib))
    store(lib / "__init__.pyi", stub(lib))


if __name__ == "__main__":
    sys.exit(export(only=[Path(name).resolve() for name in sys.argv[1:]]))
