"""What the benchmarks recorded: no interval leaves the possible range of its measure, and a new row is cut when it is recorded."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import rows  # noqa: E402

FILES = sorted(path for folder in (BENCHMARKS, BENCHMARKS / "chapters") for path in folder.glob("*.json"))
NUMBER = r"(-?\d[\d.,]*(?:e[+-]?\d+)?)"
INTERVAL = re.compile(rf"^{NUMBER} \[{NUMBER}, {NUMBER}\]")


def spans(node, of=None, name=""):
    """Each recorded interval as (name of the measure, number of modes of its row, lower end, upper end)."""
    if isinstance(node, list):
        for part in node:
            yield from spans(part, of, name)
    elif isinstance(node, dict):
        of = node.get("of", of)
        for key, part in node.items():
            yield from spans(part, of, name if key == "interval" or name == "nats" else "share" if key == "95 %" else key)
            if key == "95 %":
                yield "share", of, *part
    elif isinstance(node, str) and (found := INTERVAL.match(node)):
        yield name.removesuffix(", interval"), of, *(float(end.replace(",", "")) for end in found.groups()[1:])


def faults(found, file):
    """Measures without a range, counts without the number of modes, and intervals outside."""
    for name, of, low, high in found:
        least, most = (0, 1) if name == "share" else rows.possible(file, name, of).values()
        if name != "share" and name not in rows.RANGES:
            yield f"{name}: say in benchmarks/rows.py what values it can have"
        elif name in rows.COUNTS and of is None:
            yield f"{name}: the row does not say of how many"
        elif (least is not None and low < least) or (most is not None and high > most):
            yield f"{name}: [{low:g}, {high:g}] is not within [{least}, {most}]"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_recorded_intervals_are_possible(file):
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert not list(faults(spans(kept), file.stem))
    assert rows.cut_intervals(kept, file.stem) == kept  # a second time changes nothing


@pytest.mark.parametrize(("node", "fault"), [
    ({"recall": {"interval": "0.981 [0.956, 1.01]", "by seed": []}}, r"recall: \[0.956, 1.01\] is not within \[0, 1\]"),
    ({"rate": {"interval": "0.0005 [-9.28e-05, 0.00109]", "by seed": []}}, r"rate: \[-9.28e-05, 0.00109\]"),
    ({"of": 8, "looks": [{"captured": "7.75 [7.36, 8.14] over 8 seeds"}]}, r"captured: \[7.36, 8.14\] is not within \[0, 8\]"),
    ({"captured": "1 [0.9, 1.1]"}, "captured: the row does not say of how many"), ({"beauty": "1 [0.9, 1.1]"}, "beauty: say in"),
    ({"95 %": [-.1, .5]}, r"share: \[-0.1, 0.5\]"), ({"kl, interval": "1,000 [-1,000, 3e+03]"}, r"kl: \[-1000, 3000\]")])
def test_the_check_sees_bad_records(node, fault):
    assert [bool(re.match(fault, text)) for text in faults(spans(node), "x")] == [True]


def test_a_new_row_is_cut(tmp_path):
    row = {"setting": "a", "of": 2, "captured": rows.by_seed([1, 2, 2]), "recall": rows.by_seed([.9, 1., 1.]),
           "precision": {"interval": "", "by seed": [None, 1.]}, "nats": {"clothes": rows.by_seed([-3., -1.])}}
    rows.record(file := tmp_path / "x.json", "part", row)
    (kept,) = rows.known(file, "part").values()
    assert kept["captured"]["interval"] == "1.67 [0.232, 2]" and kept["recall"]["interval"] == "0.967 [0.823, 1]"
    assert kept["precision"]["interval"] == "" and kept["nats"]["clothes"]["interval"] == "-2 [-14.7, 10.7]"
    before = file.read_bytes()
    rows.cut_file(file)
    assert file.read_bytes() == before
    file.write_text(json.dumps({"torch": torch.__version__, "part": [row]}))
    rows.cut_file(file)
    assert rows.known(file, "part")["a"] == kept


def test_the_readme_says_what_each_script_costs():
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    told = {}
    for names, costs in re.findall(r"^\| ((?:`\w+\.py`(?:, )?)+) \| .* \| ([^|]+) \|$", text, re.M):
        told |= dict(zip(re.findall(r"`(\w+)\.py`", names), costs.split("; "), strict=True))
    assert {path.stem for path in BENCHMARKS.glob("*.py")} - told.keys() == {"rows", "attributes"}
    assert all(re.match(r"not measured$|(at least )?\d+", cost) for cost in told.values()), told
