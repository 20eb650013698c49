"""The repository keeps its own measure: short cells, one definition each, few checks, short lines, layers in order."""

import textwrap

import house
import pytest
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

GOOD = """
    import torch

    def loss(x, weight):
        "A loss."
        # why
        y = x.square()
        y = y.mean()

        return weight * y
"""


def checks(source):
    """Lines that refuse and all lines in functions of a module."""
    return house.validation(textwrap.dedent(source))


def test_the_repository_keeps_its_measure(root):
    found = house.measure(root, house.notebooks(root))
    assert not found.faults, "\n".join(found.faults)


def test_a_function_without_checks_has_none():
    assert checks(GOOD) == (0, 3)


@pytest.mark.parametrize("body, refusing, lines", [
    ("raise ValueError(\n    'x')", 2, 2),
    ("if x < 0:\n    raise ValueError('x')\nreturn x", 2, 3),
    ("if x < 0:\n    got = x + 1\n    raise ValueError(got)\nreturn x", 3, 4),
    ("if x < 0:\n    raise ValueError('x')\nelse:\n    x = x + 1\nreturn x", 2, 5),
    ("check_number('x', x)\nreturn x", 1, 2),
    ("x, y = check_number('x', x), check_int('y', len(y))\nreturn x", 1, 2),
    ("return core.check_number('x', x, 0)", 1, 1),
    ("for v in x:\n    check_number('v', v)\nreturn x", 2, 3),
    ("if x is not None:\n    check_number('x', x)\nreturn x", 2, 3),
    ("x = model(check_number('x', x))\nreturn x", 0, 2),
    ("return check_shape('G', G(x), x.shape)", 0, 1),
    ("try:\n    y = x + 1\nexcept KeyError:\n    raise ValueError('x')\nreturn y", 1, 5),
    ("def inner():\n    raise ValueError('x')\nreturn inner", 1, 3),
    ("if x < 0:\n    x = 1\nreturn x", 0, 3),
])
def test_lines_that_refuse_bad_input_are_counted(body, refusing, lines):
    source = "def f(x, y, G, model):\n    'Text.'\n" + textwrap.indent(body, "    ")
    assert house.validation(source) == (refusing, lines)


def test_tuples_and_long_lines_are_counted():
    assert house.tuple_assignments("a, b = 1, 2\nc = 1, 2\nd, e = f()\n") == 1
    long = "x = " + "1 + " * 30 + "1"
    assert house.long_lines(f"# %% {'x' * 120}\n__all__ = ['{'x' * 120}']\n{long}\ny = 1\n") == [3]


def repository(tmp_path, cells=(), **modules):
    """A small repository of one notebook and modules by `layer__module`, and the path of the notebook."""
    package, book = tmp_path / "modelab", tmp_path / "nbs/1_game/01_minimax.ipynb"
    book.parent.mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / "README.md").write_text("x" * 4300)
    for name, source in modules.items():
        path = package / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
    write(new_notebook(cells=[new_markdown_cell("# T"), *map(new_code_cell, cells)]), book)
    return house.measure(tmp_path, [book])


def test_a_good_repository_passes(tmp_path):
    found = repository(tmp_path, ["#| export\nimport torch\n" + "from a import b\n" * 40, "#| export\ndef f(): pass", "x = 1"],
                       methods__a=GOOD)
    assert not found.faults and found.rows["README, kB"] == "4.3"
    assert found.rows["exported cells with several definitions"] == "0 of 1"


def test_a_lesson_with_little_prose_is_noticed(tmp_path):
    found = repository(tmp_path, ["x = 1\n" * 101])
    assert found.faults == ["01_minimax: 0.0 words per code line, the least is 3"] and "words per code line in lessons" in found.rows
    book = tmp_path / "nbs/1_game/01_minimax.ipynb"
    write(new_notebook(cells=[new_markdown_cell("a word " * 180), new_code_cell("# a comment\n\n" * 50 + "x = 1\n" * 101),
                              new_code_cell("#| export course.graders.minimax\n" + "x = 1\n" * 500)]), book)
    again = house.measure(tmp_path, [book])
    assert again.rows["words per code line in lessons"] == "median 3.6, from 3.6 to 3.6" and not any("words" in fault for fault in again.faults)


@pytest.mark.parametrize("cells, modules, fault", [
    (["#| export\ndef f(): pass\n\n\ndef g(): pass"], {}, "1_game/01_minimax, cell 1: defines f, g"),
    (["#| export\ndef f():\n" + "    1\n" * 25, "#| export\nx = 1\n"], {}, "1_game/01_minimax, cell 1: 26 lines, the most is 25"),
    (["#| export a.b\ndef f():\n" + "    1\n" * 12], {}, "the median exported cell has 13 lines, the most is 12"),
    (["x = " + "1 + " * 30 + "1"], {}, "1_game/01_minimax, cell 1: 125 columns"),
    ([], {"methods__a": "def f(x):\n    if x:\n        raise ValueError\n    return x\n"},
     "methods/a: 50% of its code lines are checks (2 of 4), the most is 15%"),
    ([], {"core__a": "x = " + "1 + " * 30 + "1\n"}, "core/a, line 1: over 100 columns"),
    ([], {"core__a": "from ..methods.b import f\n", "methods__b": "f = 1\n"}, "core.a imports methods.b, which is above it"),
])
def test_each_fault_is_found(tmp_path, cells, modules, fault):
    found = repository(tmp_path, cells, **modules)
    assert any(f.startswith(fault) for f in found.faults), found.faults


def module(checks: int, lines: int) -> str:
    """A module with so many lines of checks and of other code inside its function."""
    return "FREE = 1\n" * 1000 + "def f(x):\n" + "    check_int('x', x)\n" * checks + "    x = x + 1\n" * lines


@pytest.mark.parametrize("modules, faults", [
    ({"methods__a": module(12, 88)}, []),
    ({"methods__a": module(13, 87)}, ["methods and losses: 13% of their lines inside functions are checks, the most is 12%"]),
    ({"methods__a": module(16, 84), "losses__b": module(0, 90)},
     ["methods/a: 16% of its lines inside functions are checks (16 of 100), the most is 15%"]),
    ({"methods__a": module(20, 20), "losses__b": module(0, 200)}, []), ({"core__a": module(90, 10)}, [])])
def test_lines_inside_functions_have_a_measure_of_their_own(tmp_path, modules, faults):
    found = repository(tmp_path, **modules)
    assert found.faults == faults and "validation, share of lines inside functions: together / worst" in found.rows


def test_checks_outside_methods_and_losses_are_free(tmp_path):
    assert not repository(tmp_path, core__checks="def check_x(x):\n    raise ValueError\n").faults


def test_the_command_line_says_it_by_its_status(tmp_path, monkeypatch, capsys):
    repository(tmp_path, ["#| export\ndef f(): pass\n\n\ndef g(): pass"])
    monkeypatch.setattr(house, "ROOT", tmp_path)
    monkeypatch.setattr(house, "notebooks", lambda: list((tmp_path / "nbs").rglob("*.ipynb")))
    assert house.main([]) == 1
    shown = capsys.readouterr()
    assert "1 of 1" in shown.out and "defines f, g" in shown.err and house.main(["x"]) == 2
