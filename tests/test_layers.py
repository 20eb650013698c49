"""A module imports only from its own layer or from below, never in a circle, and looks nothing up by name instead."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import layers
import pytest
from layers import problems


def test_the_package_keeps_its_layers(root):
    assert problems(root / "modelab") == []


def package(tmp_path: Path, **sources: str) -> Path:
    """A package named pkg of modules by `layer__module`; `layer____init__` is the file of the layer itself."""
    top = tmp_path / "pkg"
    for name, source in sources.items():
        folder, _, module = name.partition("__")
        path = top / folder / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    return top


GOOD = dict(core__a="import math\nX = {}\ndef cache(k):\n    X[k] = math.sqrt(k)\n    return X[k]\n",
            data__b="from ..core.a import X\nfrom ..core import a\n", methods__c="from pkg.data.b import X\n")
REGISTRY = dict(core__registry="GAMES = {}\ndef load(kind, name):\n    return 1\nmake = load\n")
BAD = {
    "data.b imports methods.c, which is above it": dict(data__b="from ..methods.c import f\n"),
    "core.a imports methods.c, which is above it": dict(core__a="def f():\n    import pkg.methods.c\n"),
    "data.b imports methods.c, which is above it ": dict(data__b="from pkg.methods import c\n"),
    "circle: data.b -> data.d -> data.b": dict(data__b="from .d import f\n", data__d="def g():\n    from .b import h\n"),
    "core.a: imports importlib": dict(core__a="import importlib\n"),
    "core.a: loads modules by name": dict(core__a="def f(m):\n    return __import__(m)\n"),
    "core.a: looks into sys.modules": dict(core__a="import sys\nsys.modules['pkg.methods.c']\n"),
    "data.b: has a __getattr__ of its own": dict(data__b="def __getattr__(name):\n    return 1\n"),
    "data.b: eye() lets callers fill EYES, which the module reads":
        dict(data__b="EYES = {}\ndef eye(f):\n    EYES[f.__name__] = f\n    return f\ndef seen(n):\n    return EYES[n]\n"),
    "data.b: hook() lets callers fill HOOKS, which the module reads":
        dict(data__b="HOOKS = []\ndef hook(f):\n    HOOKS.append(f)\ndef run():\n    for h in HOOKS:\n        h()\n"),
    "core.a imports pkg, which is above it": dict(core__a="import pkg\ndef f():\n    return pkg.Run\n"),
    "core.a imports pkg, which is above it ": dict(core__a="from .. import Run\n"),
    "core.a imports methods.c, which is above it  ": dict(core__a="import pkg.core.a\npkg.methods.c.X\n"),
    "core.a imports methods, which is above it": dict(core__a="import pkg.methods\n"),
    "core.a imports methods, which is above it ": dict(core__a="import pkg.methods as m\n"),
    "core.a imports methods, which is above it  ": dict(core__a="from .. import methods\n"),
    "core imports methods.c, which is above it": dict(core____init__="from ..methods.c import X\n"),
    "circle: core -> core.a -> core": dict(core____init__="from .a import X\n", core__a="from . import cached\n"),
    "data.b: takes make from the registry, which loads by name": dict(data__b="from ..core.registry import make\n", **REGISTRY),
    "data.b: takes load from the registry, which loads by name":
        dict(data__b="from ..core import registry as r\nr.load('game', 'x')\n", **REGISTRY),
    "data.b: takes GAMES from the registry, which loads by name":
        dict(data__b="import pkg.core as c\nc.registry.GAMES['x']\n", **REGISTRY),
    "data.b: takes * from the registry, which loads by name": dict(data__b="from pkg.core.registry import *\n", **REGISTRY),
    "core.a: loads by name with resolve_name": dict(core__a="import pkgutil\npkgutil.resolve_name('pkg.methods.c')\n"),
    "core.a: loads by name with resolve_name ": dict(core__a="from pkgutil import resolve_name as f\n"),
    "core.a: runs text as code with exec": dict(core__a="exec('import pkg.methods.c')\n"),
    "core.a: runs text as code with eval": dict(core__a="run = eval\n"),
    "core.a: imports runpy": dict(core__a="import runpy\n"),
    "core.a: imports pydoc": dict(core__a="from pydoc import locate\n"),
    "core.a: imports builtins": dict(core__a="import builtins\n"),
    "core.a: loads pickled objects, which import by name": dict(core__a="import pickle as p\np.loads(b'')\n"),
    "core.a: loads pickled objects, which import by name ": dict(core__a="from pickle import loads\n"),
    "core.a: looks into sys.modules ": dict(core__a="from sys import modules\n"),
    "core.a: looks into sys.modules  ": dict(core__a="import sys as s\ns.modules\n"),
    "data.b: has a __getattr__ of its own ": dict(data__b="__getattr__ = dict().get\n"),
    "data.b: has a __getattr__ of its own  ": dict(data__b="if 1:\n    async def __getattr__(name):\n        return 1\n"),
    "data.b: has a __getattr__ of its own   ": dict(data__b="from .d import f as __getattr__\n", data__d="f = 1\n"),
    "data.b imports course.x: the course's tools are for chapters alone":
        dict(data__b="from ..course.x import y\n", course__x="y = 1\n"),
}


FREE = dict(core__registry=REGISTRY["core__registry"],  # what looks like a way round and is none
            core__a="import pickletools\nimport pkg.core.registry\nX = 1\nclass C:\n    def __getattr__(self, n):\n        return 1\n"
                    "def f(model):\n    return model.eval().modules()\nfrom importlib.resources import files\n",
            training__run="from ..core.registry import make\n", lab__panel="from ..core import registry\nregistry.registered\n")


def test_a_package_in_order_passes(tmp_path):
    assert problems(package(tmp_path, **GOOD)) == []
    assert problems(package(tmp_path, **{**GOOD, **FREE})) == []


def test_hidden_files_are_no_modules(tmp_path):
    package(tmp_path, **GOOD)
    (tmp_path / "pkg/core/.a.py").write_text("half a module(")
    assert problems(tmp_path / "pkg") == []


@pytest.mark.parametrize("wrong", BAD)
def test_each_way_round_is_noticed(tmp_path, wrong):
    assert wrong.strip() in problems(package(tmp_path, **{**GOOD, **BAD[wrong]}))


LOADED = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(f"{sys.argv[1]}.{name}")
    loaded = [m.partition(".")[2] for m in sys.modules if m.startswith(sys.argv[1] + ".")]
    if above := [m for m in loaded if layer(m) > layer(name)]:
        sys.exit(f"{name} loads {above}")
"""


def loading(top: Path) -> str:
    """What importing the modules of a package one after the other, from the bottom up, says of modules above."""
    names = sorted(filter(None, layers.modules(top)), key=lambda name: (layers.layer(name), name))
    env = os.environ | {"PYTHONPATH": str(top.parent), "OMP_NUM_THREADS": "1"}
    code = f"LAYERS = {layers.LAYERS}\n{inspect.getsource(layers.layer)}{LOADED}"
    done = subprocess.run([sys.executable, "-c", code, top.name, *names], cwd=top.parent, env=env, capture_output=True, text=True)
    assert not done.returncode or " loads " in done.stderr, done.stderr
    return done.stderr.strip()


def test_importing_a_module_loads_nothing_above_it(root):
    assert loading(root / "modelab") == ""


def test_a_module_that_loads_one_above_it_is_noticed(tmp_path):
    hidden = "X = 1\nnames = globals()['__builtins__']\nnames['__imp' + 'ort__']('pkg.methods.c')\n"
    top = package(tmp_path, **GOOD)
    assert loading(top) == ""
    assert loading(package(tmp_path, **{**GOOD, "data__b": hidden})) == "data.b loads ['methods', 'methods.c']"
