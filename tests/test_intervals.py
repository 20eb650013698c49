"""What each interval says of itself: the record of benchmarks/intervals.py, and three of its rows measured again."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import intervals  # noqa: E402
from modelab.core.statistics import wilson_interval  # noqa: E402
from modelab.data.mixtures import grid  # noqa: E402
from modelab.evaluation.attributes import attribute_table  # noqa: E402
from modelab.evaluation.compare import compare  # noqa: E402
from modelab.evaluation.copies import copies  # noqa: E402
from modelab.evaluation.coverage import coverage, coverages  # noqa: E402

FILE = ROOT / "benchmarks/intervals.json"
RECORD = {part: rows for part, rows in json.loads(FILE.read_text(encoding="utf-8")).items() if isinstance(rows, list)}
ROWS = [(part, row) for part, rows in RECORD.items() for row in rows]
CONDITIONS = {"95 % if normal": {"seeds"}, "95 % on average over shares": {"share", "attribute"},
              "95 % for balls as they are": {"neighbours"}, "95 % of the group as found": {"groups"}, "95 % if n is large": {"compare"}}


def is_false(row: dict) -> bool:
    """Whether the recorded share contradicts what the interval says, by more than two standard errors."""
    error = 2 * math.sqrt(.95 * .05 / row["draws"])
    short, long = row["held"] < .95 - error, row["held"] > .95 + error
    return {"95 %": short or long, "at least 95 %": short, "95 % of the group as found": short}.get(row["says"], False)


def test_every_part_is_recorded_and_each_row_has_200_draws():
    assert set(RECORD) == set(intervals.PARTS)
    for part, settings in intervals.PARTS.items():
        names = [row["setting"] for row in RECORD[part]]
        for setting in settings:
            assert any(name == setting or name.startswith(f"{setting}: ") for name in names), (part, setting)
    assert min(row["draws"] for _, row in ROWS) >= 200


@pytest.mark.parametrize("part", sorted(intervals.PARTS))
def test_intervals_hold_the_true_value_as_often_as_they_say(part):
    assert not [row for row in RECORD[part] if is_false(row)]


def test_a_false_row_is_seen():
    row = {"says": "95 %", "draws": 1000, "held": .95}
    assert not is_false(row) and is_false(row | {"held": .93}) and is_false(row | {"held": .97})
    assert not is_false(row | {"says": "at least 95 %", "held": .99}) and is_false(row | {"says": "at least 95 %", "held": .93})


def test_a_condition_belongs_to_its_interval():
    for part, row in ROWS:
        assert row["says"] in ("95 %", "at least 95 %") or part in CONDITIONS[row["says"]], row


@pytest.mark.parametrize("part, setting", [("seeds", "normal"), ("share", "0.1 of 40"), ("excess", "0.2 less 0.05, 150 of each")])
def test_rows_that_are_measured_again_are_the_same(part, setting):
    (what, says, true, found), = intervals.PARTS[part][setting]()
    assert intervals.tidy(setting, says, true, found) in RECORD[part]


def test_a_row_of_mode_coverage_measured_with_fewer_draws():
    g = torch.Generator().manual_seed(9)
    sets = torch.stack([intervals.impostor(grid(), [8, 4] + [1] * 18 + [0] * 5, 300, 0., g) for _ in range(200)])
    found = [c.interval("kl") for c in coverages(sets, grid())]
    true = next(row["true"] for row in RECORD["coverage"] if row["setting"] == "unequal and missing modes, 300 samples: kl")
    assert sum(i.low <= true <= i.high for i in found) / 200 >= .95 - 2 * math.sqrt(.95 * .05 / 200)


def test_tables_say_what_was_measured():
    g = torch.Generator().manual_seed(0)
    x = grid().sample(60, generator=g)
    assert "[≥ 95 %]" in repr(coverage(x, grid())) and "[95 % if normal]" in repr(coverages(x.view(3, 20, 2), grid()))
    real, new, made = torch.randn(3, 60, 4, generator=g)
    assert "≥ 95 % interval" in repr(copies(made, real, new)) and "95 % if n is large" in repr(compare(made, new, real, rounds=19))
    assert "Wilson 95 %" in repr(attribute_table(made > 0, real > 0))


def test_wilsons_interval_has_95_percent_on_average_over_shares():
    from scipy.stats import binom
    shares, n = torch.linspace(.001, .999, 999, dtype=torch.float64), 60
    held = sum(torch.as_tensor(binom.pmf(k, n, shares)) * ((low <= shares) & (shares <= high))
               for k in range(n + 1) for low, high in [wilson_interval(k / n, n)])
    assert abs(held.mean() - .95) < .01 and held.min() < .9
