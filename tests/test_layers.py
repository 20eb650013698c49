"""A module imports only from its own layer or from below, never in a circle, and looks nothing up by name instead."""

from pathlib import Path

import pytest
from layers import problems


def test_the_package_keeps_its_layers(root):
    assert problems(root / "modelab") == []


def package(tmp_path: Path, **sources: str) -> Path:
    """A package named pkg of modules by `layer__module`."""
    top = tmp_path / "pkg"
    for name, source in sources.items():
        path = top / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)
    return top


GOOD = dict(core__a="import math\nX = {}\ndef cache(k):\n    X[k] = math.sqrt(k)\n    return X[k]\n",
            data__b="from ..core.a import X\nfrom ..core import a\n", methods__c="from pkg.data.b import X\n")
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
    "data.b imports course.x: the course's tools are for chapters alone":
        dict(data__b="from ..course.x import y\n", course__x="y = 1\n"),
}


def test_a_package_in_order_passes(tmp_path):
    assert problems(package(tmp_path, **GOOD)) == []


@pytest.mark.parametrize("wrong", BAD)
def test_each_way_round_is_noticed(tmp_path, wrong):
    assert wrong.strip() in problems(package(tmp_path, **{**GOOD, **BAD[wrong]}))
