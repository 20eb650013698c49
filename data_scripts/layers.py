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
REGISTRY = set("load load_all registered make GAMES MODE_SETS COMMANDS _TABLES".split())  # what is above, by its name
BUILDERS = {  # modules that may ask the registry for what is above them, and why
    "__main__": "the command that was asked for is loaded",
    "training.run": "a run is built from the names of its game and modes",
    "training.checkpoints": "a saved run has the name of its game",
    "training.distributed": "each process builds the game anew from its spec",
    "training.board_samples": "a row of a board has its set as a spec",
    "training.recommended": "the user names a game that was tuned",
    "training.launch": "the command line and job files name games and modes",
    "lab": "the user chooses a game and modes in a list",
}
SANCTIONED = {  # other ways of loading by name that a module may take, and why
    ("evaluation.audit_command", "resolve_name"): "--features names a function of the user's own",
    ("core.checks", "importlib"): "asks whether an optional package is installed",
    ("evaluation.feature_networks", "resolve_name"): "the user names a function of his own",
}
RUNNERS = {"runpy", "pydoc", "builtins"}  # modules with functions that load or run what a text names
UNPICKLERS = {"load", "loads", "Unpickler"}


def modules(package: Path) -> dict[str, ast.Module]:
    """The parsed modules of a package by dotted name, packages included; without the index of nbdev and hidden files."""
    found = {"": ast.Module([], [])}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "_modidx" or any(part.startswith(".") for part in parts):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def packages(package: Path) -> set[str]:
    """The dotted names of the packages among the modules, whose relative imports start at themselves."""
    return {".".join(p.parent.relative_to(package).parts) for p in package.rglob("__init__.py")}


def layer(module: str) -> int:
    """The place of a module's layer, from the bottom: first the generated index, last the package itself."""
    first = module.split(".")[0]
    if first == "_index":
        return -1
    return LAYERS.index(first) if first in LAYERS else len(LAYERS)


def base_of(name: str, node: ast.ImportFrom, package: str, is_package: bool = False) -> str | None:
    """The module of the package that a `from … import` names; None for one outside."""
    if node.level:
        parts = name.split(".") if name else []
        above = parts[:len(parts) - node.level + is_package]
        return ".".join([*above, *filter(None, [node.module])])
    if (node.module or "").split(".")[0] != package:
        return None
    return node.module.removeprefix(package).removeprefix(".")


def bindings(name: str, tree: ast.Module, known: set[str], package: str, is_package: bool) -> dict[str, str]:
    """The names in a module that mean modules of the package, wherever they are bound."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    whole = alias.name.removeprefix(package).removeprefix(".")
                    found[alias.asname or package] = whole if alias.asname else ""
        elif isinstance(node, ast.ImportFrom) and (base := base_of(name, node, package, is_package)) is not None:
            found |= {a.asname or a.name: full for a in node.names if (full := f"{base}.{a.name}".strip(".")) in known}
    return found


def chains(tree: ast.Module, bound: dict[str, str]) -> Iterator[list[str]]:
    """The dotted names that start at a module of the package: `modelab.core.registry.make` as a list from `core` on."""
    for node in ast.walk(tree):
        words = []
        while isinstance(node, ast.Attribute):
            words, node = [node.attr, *words], node.value
        if words and isinstance(node, ast.Name) and node.id in bound:
            yield [*filter(None, bound[node.id].split(".")), *words]


def imports(name: str, tree: ast.Module, known: set[str], package: str, is_package: bool = False) -> Iterator[str]:
    """The modules of the package that a module imports or reaches as attributes, wherever in its source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [a.name.removeprefix(package).removeprefix(".") for a in node.names
                       if a.name.split(".")[0] == package]
        elif isinstance(node, ast.ImportFrom) and (base := base_of(name, node, package, is_package)) is not None:
            targets = [full if (full := f"{base}.{a.name}".strip(".")) in known else base for a in node.names]
        else:
            continue
        yield from (t for t in targets if t in known and t != name)
    for words in chains(tree, bindings(name, tree, known, package, is_package)):
        whole = next(".".join(words[:n]) for n in range(len(words), -1, -1) if ".".join(words[:n]) in known)
        if whole != name:
            yield whole


def of_registry(name: str, tree: ast.Module, known: set[str], package: str, is_package: bool = False) -> Iterator[str]:
    """What a module takes from the registry to load others by their names, unless it is one of BUILDERS."""
    if name in LOADERS or name in BUILDERS or name.split(".")[0] in BUILDERS:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and base_of(name, node, package, is_package) == "core.registry":
            for word in sorted({a.name for a in node.names} & {*REGISTRY, "*"}):
                yield f"{name}: takes {word} from the registry, which loads by name"
    for words in chains(tree, bindings(name, tree, known, package, is_package)):
        if words[:2] == ["core", "registry"] and words[2:3] and words[2] in REGISTRY:
            yield f"{name}: takes {words[2]} from the registry, which loads by name"


def at_module_level(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module outside its functions and classes, the functions and classes themselves included."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from at_module_level(node)


def by_name(name: str, tree: ast.Module) -> Iterator[str]:
    """Ways round the imports: importlib, exec, sys.modules and others, and a module's own __getattr__."""
    if name in LOADERS:
        return
    system, picklers = {"sys"}, set()
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Import)):
        system |= {a.asname for a in node.names if a.name == "sys" and a.asname}
        picklers |= {a.asname or a.name for a in node.names if a.name in ("pickle", "_pickle")}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imported_by_name(name, node)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            word = node.id if isinstance(node, ast.Name) else node.attr
            owner = getattr(getattr(node, "value", None), "id", None)
            if word in ("__import__", "import_module"):
                yield f"{name}: loads modules by name"
            elif word == "resolve_name" and (name, word) not in SANCTIONED:
                yield f"{name}: loads by name with resolve_name"
            elif word in ("exec", "eval", "__builtins__") and isinstance(node, ast.Name):
                yield f"{name}: runs text as code with {word}"
            elif word == "modules" and owner in system:
                yield f"{name}: looks into sys.modules"
            elif word in UNPICKLERS and owner in picklers:
                yield f"{name}: loads pickled objects, which import by name"
    for node in at_module_level(tree):
        words = {getattr(node, "name", None)} | ({node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set())
        words |= {a.asname or a.name for a in getattr(node, "names", []) if isinstance(a, ast.alias)}
        if "__getattr__" in words:
            yield f"{name}: has a __getattr__ of its own"
    if any("__getattr__" in n.names for n in ast.walk(tree) if isinstance(n, ast.Global)):
        yield f"{name}: has a __getattr__ of its own"


def _imported_by_name(name: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """What an import brings that loads by name."""
    whole = getattr(node, "module", None) or ""
    if getattr(node, "level", 0):
        return
    taken = {a.name for a in node.names}
    for top in sorted({part.split(".")[0] for part in ([whole] if whole else taken) if part != "importlib.resources"}):
        if top in RUNNERS or top == "importlib" and (name, top) not in SANCTIONED:
            yield f"{name}: imports {top}"
    if whole == "sys" and "modules" in taken:
        yield f"{name}: looks into sys.modules"
    if whole in ("pickle", "_pickle") and taken & UNPICKLERS:
        yield f"{name}: loads pickled objects, which import by name"
    if whole == "pkgutil" and "resolve_name" in taken and (name, "resolve_name") not in SANCTIONED:
        yield f"{name}: loads by name with resolve_name"


def tables(name: str, tree: ast.Module) -> Iterator[str]:
    """Tables that callers fill with functions of theirs and that the module reads: a look-up by name in disguise."""
    if name in LOADERS:
        return
    own = {t.id for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign))
           for t in (n.targets if isinstance(n, ast.Assign) else [n.target]) if isinstance(t, ast.Name)}
    filled, read = {}, set()
    for f in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))):
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
    trees, inits = modules(package), packages(package)
    known, top = set(trees), package.name
    arrows = {name: set(imports(name, tree, known, top, name in inits)) for name, tree in trees.items()}
    found = [f"{name} imports {target or top}, which is above it" for name, targets in arrows.items() if name
             for target in sorted(targets) if layer(target) > layer(name)]
    for name, tree in trees.items():
        found += [*by_name(name, tree), *tables(name, tree), *of_registry(name, tree, known, top, name in inits)]
        if layer(name) < LAYERS.index("course"):
            found += [f"{name} imports {t}: the course's tools are for chapters alone" for t in sorted(arrows[name])
                      if t.split(".")[0] == "course"]
    return sorted({*found, *circles({name or top: {t or top for t in targets} for name, targets in arrows.items()})})


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    found = problems(Path(argv[0]) if argv else ROOT / "modelab")
    print("\n".join(found) if found else "no module imports one above it, none in a circle, nothing is looked up by name")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
