"""The pages of the reference: every public name with its signature and docstring, read without importing it."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "data_scripts")]

from run_notebooks import number  # noqa: E402

from modelab import _WHERE, _index  # noqa: E402

LAYERS = ["core", "data", "networks", "losses", "evaluation", "training", "methods", "lab", "course"]
SPECIAL = re.compile(r"([\\*_\[\]<>$#|~])")


def prose(text: str | None) -> str:
    """A docstring as Markdown: what is no code stands as it is; indented lines stay lines."""
    parts = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        if re.search(r"^\s", block, re.MULTILINE) or block.startswith((">>>", "|")):
            parts.append(f"```text\n{block}\n```")
        else:
            pieces = re.split(r"(`[^`]*`)", block)
            parts.append("".join(p if i % 2 else SPECIAL.sub(r"\\\1", p) for i, p in enumerate(pieces)))
    return "\n\n".join(p for p in parts if p)


def directive(kind: str, signature: str, body: str, depth: int, options: str = "") -> str:
    """A directive of the Python domain; `depth` is that of what stands in it."""
    fence = "`" * (4 + depth)
    return f"{fence}{{py:{kind}}} {signature}\n{options}\n{body}\n{fence}\n"


def signature(node: ast.FunctionDef, method: bool = False) -> str:
    """Name, arguments and result of a function, in one line."""
    args = node.args
    if method and (args.posonlyargs or args.args) and not any("staticmethod" in ast.unparse(d) for d in node.decorator_list):
        (args.posonlyargs or args.args).pop(0)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(args)}){result}".replace("\n", " ")


def arguments(node: ast.FunctionDef, lines: list[str]) -> str:
    """The lines of a signature whose comments explain its arguments, or nothing."""
    shown = lines[node.lineno - 1:node.body[0].lineno - 1]
    while shown and not shown[-1].split("#")[0].rstrip().endswith(":"):
        shown.pop()
    if not any("#" in line for line in shown):
        return ""
    return "```python\n" + inspect.cleandoc("\n" + "\n".join(shown)) + "\n```\n\n"


def function(node: ast.FunctionDef, lines: list[str], method: bool = False) -> str:
    """The entry of a function or method."""
    decorators = {ast.unparse(d) for d in node.decorator_list}
    body = arguments(node, lines) + prose(ast.get_docstring(node))
    if method and decorators & {"property", "functools.cached_property", "cached_property"}:
        kind = f"\n:type: {ast.unparse(node.returns)}" if node.returns else ""
        return directive("property", node.name, body, 0, kind.strip("\n") + "\n" if kind else "")
    marks = "".join(f":{d}:\n" for d in ("classmethod", "staticmethod") if d in decorators)
    return directive("method" if method else "function", signature(node, method), body, 0, marks)


def fields(node: ast.ClassDef, lines: list[str]) -> str:
    """The declared fields of a class with their comments."""
    shown = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
            shown += lines[item.lineno - 1:item.end_lineno]
    return "```python\n" + inspect.cleandoc("\n" + "\n".join(shown)) + "\n```\n\n" if shown else ""


def class_entry(node: ast.ClassDef, lines: list[str]) -> str:
    """The entry of a class, its fields and its public methods."""
    start = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
    given = ast.unparse(node.bases[0]) if len(node.bases) == 1 else ", ".join(map(ast.unparse, node.bases))
    body = [prose(ast.get_docstring(node)), f"Extends `{given}`." if given else "", fields(node, lines)]
    if start is not None:
        body.append(arguments(start, lines))
    body += [function(m, lines, method=True) for m in node.body
             if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
    call = signature(start, method=True).removeprefix("__init__").split(" -> ")[0] if start is not None else ""
    return directive("class", node.name + call, "\n\n".join(b for b in body if b), 1)


def named(tree: ast.Module) -> dict[str, ast.stmt]:
    """What a module defines at its top level, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            for leaf in ast.walk(target) if isinstance(target, ast.expr) else ():
                if isinstance(leaf, ast.Name):
                    found[leaf.id] = node
    return found


def entry(name: str, node: ast.stmt | None, lines: list[str]) -> str:
    """The entry of a public name."""
    if isinstance(node, ast.FunctionDef):
        return function(node, lines)
    if isinstance(node, ast.ClassDef):
        return class_entry(node, lines)
    if node is None:
        return directive("data", name, "", 0)
    source = "\n".join(lines[node.lineno - 1:node.end_lineno])
    shown = source if len(source) < 400 else source[:400].rsplit("\n", 1)[0] + "\n    ..."
    return directive("data", name, f"```python\n{shown}\n```", 0)


def module_section(module: str, names: list[str]) -> str:
    """The section of a module: what it is for, the chapter that explains it, its public names."""
    path = ROOT / "modelab" / (module.replace(".", "/") + ".py")
    text = path.read_text(encoding="utf-8")
    lines, defined = text.splitlines(), named(ast.parse(text))
    made_from = re.search(r"File to edit: (?:\.\./)+(nbs/\S+?\.ipynb)", text)
    about = prose(_index.MODULES.get(module))
    if made_from:
        chapter = ROOT / made_from[1]
        about += f"\n\nExplained in [chapter {number(chapter)}](../{made_from[1]})."
    body = "\n".join(entry(name, defined.get(name), lines) for name in names)
    fence = f"```{{py:currentmodule}} modelab.{module}\n```"
    return f"## modelab.{module}\n\n{about}\n\n{fence}\n\n{body}\n"


def write_reference() -> dict[str, str]:
    """The pages of the reference, by their file name."""
    modules: dict[str, list[str]] = {}
    for name, module in sorted(_index.NAMES.items()):
        modules.setdefault(module, []).append(name)
    layers: dict[str, list[str]] = {}
    for module in sorted(modules):
        layers.setdefault(module.split(".")[0], []).append(module)
    order = sorted(layers, key=lambda layer: LAYERS.index(layer) if layer in LAYERS else 99)
    pages = {f"{layer}.md": f"# modelab.{layer}\n\n" + "\n".join(module_section(m, modules[m]) for m in layers[layer])
             for layer in order}
    rows = [f"| {{py:obj}}`~modelab.{_WHERE[name]}.{name}` | `modelab.{_WHERE[name]}` |" for name in sorted(_WHERE)]
    pages["index.md"] = (
        f"# Reference\n\nEvery public name of the library, {len(_index.NAMES)} of them, from the docstrings. "
        f"The {len(rows)} names in this table can be imported from `modelab` itself.\n\n"
        "| name | defined in |\n|---|---|\n" + "\n".join(rows)
        + "\n\n```{toctree}\n:hidden:\n" + "\n".join(order) + "\n```\n")
    return pages
