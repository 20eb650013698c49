"""The layers of the package: which module may import which, read from the source without importing anything.

    python data_scripts/layers.py [PACKAGE]      # lists what breaks the order; exit status 1 if there is any
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from run_notebooks import ROOT

LAYERS = "core data networks losses evaluation training methods lab course __main__".split()
LOADERS = {"core.registry", "__main__", ""}  # may load by name: the registry, the command line, the package itself


def modules(package: Path) -> dict[str, ast.Module]:
    """The parsed modules of a package by dotted name; generated indices and empty __init__ files are left out."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "_modidx":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if tree.body:
            found[name] = tree
    return found


def layer(module: str) -> int:
    """The place of a module's layer, from the bottom: first the generated index, last the package itself."""
    first = module.split(".")[0]
    if first == "_index":
        return -1
    return LAYERS.index(first) if first in LAYERS else len(LAYERS)


def imports(name: str, tree: ast.Module, known: set[str], package: str) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in its source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [a.name.removeprefix(f"{package}.") for a in node.names if a.name.startswith(f"{package}.")]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                above = name.split(".")[:-node.level] if name else []
                base = ".".join([*above, *filter(None, [node.module])])
            elif (node.module or "").split(".")[0] == package:
                base = node.module.removeprefix(package).removeprefix(".")
            else:
                continue
            targets = [f"{base}.{a.name}".strip(".") if f"{base}.{a.name}".strip(".") in known else base for a in node.names]
        else:
            continue
        yield from (t for t in targets if t in known and t != name)


def by_name(name: str, tree: ast.Module) -> Iterator[str]:
    """Ways round the imports: importlib, __import__, sys.modules, and a module's own __getattr__."""
    if name in LOADERS:
        return
    for node in ast.walk(tree):
        words = {getattr(node, "id", None), getattr(node, "attr", None)}
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            if any(part.split(".")[0] == "importlib" and part != "importlib.resources" for part in named):
                yield f"{name}: imports importlib"
        elif isinstance(node, (ast.Name, ast.Attribute)) and words & {"__import__", "import_module"}:
            yield f"{name}: loads modules by name"
        elif isinstance(node, ast.Attribute) and node.attr == "modules" and getattr(node.value, "id", "") == "sys":
            yield f"{name}: looks into sys.modules"
    if any(isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in tree.body):
        yield f"{name}: has a __getattr__ of its own"


def tables(name: str, tree: ast.Module) -> Iterator[str]:
    """Tables that callers fill with functions of theirs and that the module reads: a look-up by name in disguise."""
    if name in LOADERS:
        return
    own = {t.id for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign))
           for t in (n.targets if isinstance(n, ast.Assign) else [n.target]) if isinstance(t, ast.Name)}
    filled, read = {}, set()
    for f in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        given = {a.arg for a in [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]}
        for node in ast.walk(f):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                table, value = node.targets[0].value, node.value
                if getattr(table, "id", "") in own and getattr(value, "id", "") in given:
                    filled[table.id] = f.name
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("append", "add", "setdefault", "update"):
                table = getattr(node.func, "value", None)
                if getattr(table, "id", "") in own and {getattr(a, "id", "") for a in node.args} & given:
                    filled[table.id] = f.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            read.add(getattr(node.value, "id", ""))
        elif isinstance(node, ast.Attribute) and node.attr in ("get", "values", "items"):
            read.add(getattr(node.value, "id", ""))
        elif isinstance(node, ast.For):
            read.add(getattr(node.iter, "id", ""))
    for table in sorted(filled.keys() & read):
        yield f"{name}: {filled[table]}() lets callers fill {table}, which the module reads"


def circles(arrows: dict[str, set[str]]) -> Iterator[str]:
    """Imports that lead back to where they started, each circle once."""
    seen: set[frozenset[str]] = set()

    def walk(module: str, path: list[str]) -> Iterator[str]:
        for target in sorted(arrows.get(module, ())):
            if target in path:
                circle = path[path.index(target):]
                if frozenset(circle) not in seen:
                    seen.add(frozenset(circle))
                    yield f"circle: {' -> '.join([*circle, target])}"
            elif target not in done:
                yield from walk(target, [*path, target])
        done.add(module)
    done: set[str] = set()
    for module in sorted(arrows):
        if module not in done:
            yield from walk(module, [module])


def problems(package: Path) -> list[str]:
    """Everything in a package that breaks the order of its layers."""
    trees = modules(package)
    arrows = {name: set(imports(name, tree, set(trees), package.name)) for name, tree in trees.items()}
    found = [f"{name} imports {target}, which is above it" for name, targets in arrows.items() if name
             for target in sorted(targets) if layer(target) > layer(name)]
    for name, tree in trees.items():
        found += [*by_name(name, tree), *tables(name, tree)]
        if layer(name) < LAYERS.index("course"):
            found += [f"{name} imports {t}: the course's tools are for chapters alone" for t in sorted(arrows[name])
                      if t.split(".")[0] == "course"]
    return sorted({*found, *circles(arrows)})


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    found = problems(Path(argv[0]) if argv else ROOT / "modelab")
    print("\n".join(found) if found else "no module imports one above it, none in a circle, nothing is looked up by name")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
