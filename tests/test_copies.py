"""modelab.evaluation.copies: the ratio, its exact tests, the search over changes, and what is and is no copying."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers import seeded
from modelab.data.readers import open_samples
from modelab.evaluation.copies import copies, copy_ratio, copying_c_t
from modelab.evaluation.copy_report import CopyFinding, CopyReport
from modelab.evaluation.copying import authenticity, copying_z, nearest_k
from modelab.evaluation.excess import excess_chance, excess_share
from modelab.evaluation.picture_search import (change_name, changed_scores, picture_changes, PictureSearch, transformed_ratio,
                                               transformed_test)
from modelab.evaluation.ratio_test import few_per_row, ratio_test


def smooth(n: int, seed: int, side: int = 16, channels: int = 1) -> torch.Tensor:
    """Pictures that differ in large shapes, as real ones do."""
    x = torch.randn(n, channels, 5, 5, generator=seeded(seed))
    return F.interpolate(x, (side, side), mode="bicubic", align_corners=False).sigmoid()


TRAIN, NEW, MADE = smooth(300, 0), smooth(300, 1), smooth(300, 2)


def with_copies(change, count: int = 45) -> torch.Tensor:
    """Good samples, of which some are training pictures after a change."""
    return torch.cat([change(TRAIN[:count]), MADE[count:]])


# the ratio

def test_the_ratio_is_its_definition():
    x, y = torch.randn(40, 6, generator=seeded()), torch.randn(90, 6, generator=seeded(1))
    d = (x.double()[:, None] - y.double()).norm(dim=-1).sort(1).values
    for k in (2, 5, 9):
        assert torch.allclose(copy_ratio(x, y, k), d[:, 0] / d[:, k - 1])


def test_a_search_in_parts_finds_the_same():
    whole = copy_ratio(MADE, TRAIN)
    assert torch.allclose(copy_ratio(MADE, TRAIN, max_bytes=1 << 16), whole)
    one, parts = transformed_ratio(MADE, TRAIN), transformed_ratio(MADE, TRAIN, max_bytes=1 << 20)
    assert torch.allclose(one.ratio, parts.ratio, atol=1e-3) and torch.equal(one.source, parts.source)


def test_a_copy_has_ratio_zero_even_if_the_training_set_holds_it_four_times():
    many = torch.cat([TRAIN] * 4)
    assert (copy_ratio(TRAIN[:20], many) == 0).all() and copy_ratio(TRAIN[:20] + .01, many).max() < .3
    assert copy_ratio(MADE, TRAIN).min() > .1


# the chance and the share

@pytest.mark.parametrize("n, m, extreme", [(60, 40, 17), (5, 5, 3)])
def test_with_one_group_the_chance_is_hypergeometric(n, m, extreme):
    from scipy.stats import hypergeom
    is_sample = torch.arange(n + m) < n
    chosen = torch.zeros(n + m, dtype=torch.bool)
    chosen[torch.randperm(n + m, generator=seeded())[:extreme]] = True
    exact = hypergeom.sf(int((chosen & is_sample).sum()) - 1, n + m, n, extreme)
    assert excess_chance(chosen, is_sample, torch.zeros(n + m).long()) == pytest.approx(exact, rel=1e-9)


def test_with_groups_the_chance_is_that_of_shuffling_within_them():
    g = seeded()
    group, is_sample = torch.randint(3, (120,), generator=g), torch.rand(120, generator=g) < .5
    chosen = torch.rand(120, generator=g) < torch.where(is_sample, .35, .25)
    hits = []
    for _ in range(3000):
        labels = is_sample.clone()
        for c in range(3):
            at = (group == c).nonzero()[:, 0]
            labels[at] = labels[at[torch.randperm(len(at), generator=g)]]
        hits.append(int((labels & chosen).sum()))
    share = np.mean(np.array(hits) >= int((is_sample & chosen).sum()))
    assert excess_chance(chosen, is_sample, group) == pytest.approx(share, abs=.03)


def test_no_extreme_point_has_chance_one():
    none = torch.zeros(9, dtype=torch.bool)
    assert excess_chance(none, torch.arange(9) < 4, torch.zeros(9).long()) == 1


@pytest.mark.parametrize("share", [0., .02, .1, .5, .97])
def test_the_interval_holds_the_share(share):
    draw, held = np.random.default_rng(1), 0
    for _ in range(1000):
        found = excess_share(int(draw.binomial(600, share + (1 - share) * .05)), 600, int(draw.binomial(400, .05)), 400)
        assert 0 <= found.low <= found.share <= found.high <= 1
        held += found.low <= share <= found.high
    assert held / 1000 >= .95 - 2 * (.95 * .05 / 1000) ** .5


@pytest.mark.parametrize("hits, n, expected, m", [(0, 5, 0, 5), (5, 5, 0, 5), (0, 5, 5, 5), (5, 5, 5, 5), (1, 1, 0, 1)])
def test_the_share_stays_within_its_limits(hits, n, expected, m):
    found = excess_share(hits, n, expected, m)
    assert 0 <= found.low <= found.share <= found.high <= 1


# the search

@pytest.mark.parametrize("side", [8, 16, 28, 32])
def test_every_change_of_the_list_is_undone(side):
    train = smooth(60, 3, side)
    for change in picture_changes(side)[::7]:
        x = train.flip(-1) if change.mirror else train
        if change.zoom < 1:  # a crop in the middle, enlarged again
            inner = round(side * change.zoom)
            at = (side - inner) // 2
            x = F.interpolate(x[..., at:at + inner, at:at + inner], (side, side), mode="bilinear", antialias=True)
        elif not change.mirror:
            x = x.roll((change.down, change.right), (2, 3))
        found = transformed_ratio(.7 * x + .1, train)
        assert (found.source == torch.arange(60)).float().mean() > .95, str(change)
        if change.zoom == 1:
            assert found.ratio.max() < .02, str(change)


def test_the_change_is_named():
    found = transformed_ratio(TRAIN.flip(-1)[:5], TRAIN)
    assert {str(found.changes[i]) for i in found.change.tolist()} == {"mirrored"}
    found = transformed_ratio(TRAIN.roll(1, 3)[:5], TRAIN)
    assert {str(found.changes[i]) for i in found.change.tolist()} == {"moved by (0, 1)"}


def test_large_pictures_and_colour():
    train = smooth(40, 4, 96, 3)
    found = transformed_ratio(train.flip(-1), train)
    assert torch.equal(found.source, torch.arange(40)) and found.ratio.max() < .01


def test_only_the_rows_asked_for_are_searched():
    rows = torch.arange(10, 300, 2)
    search = PictureSearch(TRAIN, rows=rows)
    found = search(TRAIN.flip(-1), 5, torch.tensor([20, 21, 40]))
    assert set(found.source.tolist()) <= set(rows.tolist()) and found.source[[0, 2]].tolist() == [20, 40]
    assert found.ratio[[0, 2]].max() < .02 < .2 < found.ratio[1]
    assert [change_name(found, i) for i in (0, 2)] == ["mirrored"] * 2


def test_the_best_of_two_scores_is_doubled():
    groups = torch.zeros(300).long(), torch.zeros(300).long()
    mine, held = transformed_ratio(with_copies(lambda x: x.flip(-1)), TRAIN), transformed_ratio(NEW, TRAIN)
    plain = copy_ratio(with_copies(lambda x: x.flip(-1)), TRAIN)
    scores = changed_scores(mine, held, plain)
    p, share = transformed_test(mine, held, plain, groups)
    assert p == min(1, 2 * ratio_test(scores["moved"], groups)[0]) and share == ratio_test(scores["moved"], groups)[1]
    nothing = torch.full((300,), math.inf)
    assert ratio_test((nothing, nothing), groups)[0] == 1


def test_flat_pictures_are_no_copies_of_each_other():
    grey = torch.full((40, 1, 16, 16), .5)
    report = copies(grey, TRAIN, NEW)
    assert "copies" not in report.alarms and "transformed" not in report.alarms


# the findings

CHANGES = {"exact": (lambda x: x, "copies"), "noise": (lambda x: x + .01 * torch.randn(x.shape, generator=seeded(5)), "copies"),
           "dimmed": (lambda x: .7 * x, "transformed"), "moved": (lambda x: x.roll((1, -1), (2, 3)), "transformed"),
           "mirrored": (lambda x: x.flip(-1), "transformed")}


@pytest.mark.parametrize("name", CHANGES)
def test_copies_are_found_and_named(name):
    change, finding = CHANGES[name]
    report = copies(with_copies(change), TRAIN, NEW)
    assert finding in report.alarms and "timid" not in report.alarms, report
    assert finding == "transformed" or "transformed" not in report.alarms
    found = report.findings[finding]
    assert found.low <= .15 <= found.high + .02 and found.p < 1e-4
    right = [match for match in report.matches if match.sample < 45 and match.source == match.sample]
    assert len(right) >= 40 and [m.ratio for m in report.matches] == sorted(m.ratio for m in report.matches)
    assert (right[0].change == "none") == (finding == "copies")


def test_three_tenths_moved_by_a_pixel_are_found_on_small_scans():
    from sklearn.datasets import load_digits
    x = torch.as_tensor(load_digits().images / 16).float()[torch.randperm(1797, generator=seeded(3)), None]
    train, new, made = x.split(599)
    made = torch.cat([F.pad(train[:180, ..., :-1], (1, 0)), made[180:]])
    report = copies(made, train, new)
    assert "transformed" in report.alarms and report.matches[0].change == "moved by (0, 1)"


def test_a_timid_generator_is_timid_and_does_not_copy():
    centres = 4 * torch.randn(10, 8, generator=seeded(7))
    mode = torch.randint(10, (3, 1500), generator=seeded(8))
    train, new, real = centres[mode] + torch.randn(3, 1500, 8, generator=seeded(9))
    report = copies(real.lerp(centres[mode[2]], .3), train, new)
    assert report.alarms == ["timid"] and "no copying" in report.verdict
    assert report.verdict.startswith(f"The samples are timid: about {report.findings['timid'].share:.1%}")


def test_an_honest_dimmed_or_blurred_generator_does_not_copy():
    for made in (.7 * MADE, .5 * MADE + .25, F.avg_pool2d(MADE, 3, 1, 1)):
        assert not {"copies", "transformed"} & set(copies(made, TRAIN, NEW).alarms)


def test_too_many_of_an_easy_kind_is_no_copying():
    def two_kinds(n, share, seed):
        x = torch.randn(n, 20, generator=seeded(seed))
        flat = torch.arange(n) < share * n
        x[flat, 2:] = 0
        x[~flat] += 20
        return x
    alarms = [copies(two_kinds(600, .8, seed), two_kinds(600, .5, seed + 50), two_kinds(600, .5, seed + 100)).alarms for seed in range(5)]
    assert sum("copies" in found for found in alarms) <= 1


def test_false_alarms_stay_under_the_level():
    accused = 0
    for seed in range(60):
        train, new, made = torch.randn(3, 200, 6, generator=seeded(200 + seed))
        accused += bool(copies(made, train, new, generator=seeded(seed)).alarms)
    assert accused <= 8  # 60 at .05: more than 8 has a chance below .4 %


def test_all_copies_are_found_however_many_there_are():
    for n, m in ((300, 300), (300, 60), (60, 300)):
        noisy = TRAIN[:n] + .01 * torch.randn(n, 1, 16, 16, generator=seeded())
        report = copies(noisy, TRAIN, NEW[:m])
        assert "copies" in report.alarms and report.findings["copies"].low > .8


def test_features_are_used_and_pictures_are_still_searched():
    mirrored = with_copies(lambda x: x.flip(-1))
    sorted_columns = lambda x: x.flatten(1).sort(1).values  # the same for a mirrored picture
    report = copies(mirrored, TRAIN, NEW, features=sorted_columns)
    assert {"copies", "transformed"} <= set(report.alarms)
    assert copies(mirrored, TRAIN, NEW, features=sorted_columns, transformed=False).alarms == ["copies"]


def test_natural_duplicates_are_counted_among_held_out_data_too():
    train, new = TRAIN.clone(), NEW.clone()
    new[:30], made = train[:30], MADE.clone()
    made[:30] = train[30:60]
    report = copies(made, train, new)
    assert report.numbers["exact copies"] == {"samples": .1, "holdout": .1} and "copies" not in report.alarms


# the numbers

def test_c_t_is_the_weighted_mean_of_its_cells_and_one_cell_is_z():
    g = seeded()
    train, new, made = (torch.randn(n, 3, generator=g) for n in (90, 80, 70))  # one group: fewer than 100 examples
    assert copying_c_t(made, train, new).c_t == pytest.approx(copying_z(made, train, new))
    train, new, made = (torch.randn(n, 3, generator=g) for n in (500, 400, 400))
    found = copying_c_t(made, train, new)
    kept = [(z, w) for z, w in zip(found.z, found.weight) if z is not None]
    assert len(found.z) == 10 and sum(found.weight) == pytest.approx(1)
    assert found.c_t == pytest.approx(sum(z * w for z, w in kept) / sum(w for _, w in kept))
    assert copying_c_t(made[:12], train, new).c_t is None


def test_numbers_equal_their_definitions():
    x, new, made = torch.randn(3, 250, 5, generator=seeded(3))
    numbers = copies(made, x, new).numbers
    assert numbers["authenticity"]["samples"] == pytest.approx(authenticity(made, x))
    assert numbers["authenticity"]["holdout"] == pytest.approx(authenticity(new, x))
    near = nearest_k(made, x)[0][:, 0]
    assert numbers["dcr"]["samples"] == pytest.approx(near.quantile(torch.tensor(numbers["dcr"]["quantiles"]).double()).tolist())


def test_the_report_is_json_and_says_what_it_found():
    report = copies(with_copies(lambda x: x.flip(-1)), TRAIN, NEW)
    data = json.loads(json.dumps(report.to_json()))
    assert data["alarms"] == ["transformed"] and data["matches"][0]["change"] == "mirrored"
    assert "ALARM" in repr(report) and "no sign of copies, timid" in report.verdict and "nan" not in repr(report).lower()


def test_at_least_is_said_of_the_lower_end_only():
    sure, unsure = (CopyFinding("copies", True, 1e-9, .1, low, .13) for low in (.077, .0))
    numbers = {"exact copies": {}, "authenticity": {}, "dcr": {}, "c_t": None}
    said = [CopyReport({"copies": finding}, numbers, [], {}, .05).verdict for finding in (sure, unsure)]
    assert said == ["About 10.0% (at least 7.7%) of the samples are copies of training examples.",
                    "About 10.0% of the samples are copies of training examples."]


def test_the_same_answer_twice():
    one, two = (copies(with_copies(lambda x: .8 * x), TRAIN, NEW).to_json() for _ in range(2))
    assert one == two


# files and bad input

def test_a_file_is_read_in_parts_and_equals_the_tensor(tmp_path):
    made = with_copies(lambda x: x.flip(-1))
    files = []
    for name, x in (("made", made), ("train", TRAIN), ("new", NEW)):
        np.save(tmp_path / f"{name}.npy", x.numpy())
        files.append(open_samples(tmp_path / f"{name}.npy"))
    assert copies(*files, max_bytes=1 << 20).alarms == copies(made, TRAIN, NEW).alarms == ["transformed"]


def test_bytes_are_taken_as_pictures():
    made, known, new = ((255 * x).round().byte() for x in (with_copies(lambda x: x), TRAIN, NEW))
    report = copies(made, known, new)
    assert "copies" in report.alarms and report.numbers["exact copies"]["samples"] >= .15


@pytest.mark.parametrize("call, word", [
    (lambda: copies(MADE, TRAIN, NEW[:, :, :8]), "holdout"), (lambda: copies(MADE[:1], TRAIN, NEW), "samples"),
    (lambda: copies(MADE * math.nan, TRAIN, NEW), "samples"), (lambda: copies(MADE, TRAIN[:3], NEW), "k"),
    (lambda: copies(MADE, TRAIN, NEW, features=lambda x: x[:3]), "features"),
    (lambda: copies(MADE, TRAIN, NEW, features=lambda x: x * math.nan), "features"),
    (lambda: copies(MADE, TRAIN, NEW, level=0), "level"), (lambda: copies(MADE, TRAIN, NEW, k=1), "k"),
    (lambda: copy_ratio(MADE, TRAIN, 301), "k"), (lambda: excess_share(7, 5, 0, 5), "hits"),
    (lambda: transformed_ratio(MADE[..., :4, :4], TRAIN[..., :4, :4]), "train"),
    (lambda: transformed_ratio(MADE.flatten(1), TRAIN.flatten(1)), "x"),
])
def test_bad_input_is_named(call, word):
    with pytest.raises((ValueError, TypeError), match=word):
        call()


def test_a_training_example_counts_a_few_times_and_equal_points_always():
    score = torch.tensor([.3, .2, .2, .5, 0., 0., .1, .4, .1], dtype=torch.float64)
    row = torch.tensor([1, 1, 2, 2, 3, 3, 3, 3, 3])
    inf = math.inf
    one = torch.tensor([inf, .2, .2, inf, 0, 0, inf, inf, inf], dtype=torch.float64)
    assert torch.equal(few_per_row(score, row, 1), one)
    assert torch.equal(few_per_row(score, row, 2), torch.tensor([.3, .2, .2, .5, 0, 0, inf, inf, inf], dtype=torch.float64))
    assert torch.equal(few_per_row(score, row, 9), score)


def test_equally_near_points_are_chosen_without_looking_at_labels():
    chosen = few_per_row(torch.full((400,), .2).double(), torch.arange(400) % 200, 1).isfinite()  # pairs i, i + 200
    assert chosen.sum() == 200 and torch.equal(chosen[:200], ~chosen[200:]) and 70 <= int(chosen[:200].sum()) <= 130


def test_false_alarms_of_a_test_in_which_a_row_counts_three_times():
    g, found = torch.Generator().manual_seed(7), []
    for _ in range(400):
        score, row = torch.rand(120, generator=g).double(), torch.randint(15, (120,), generator=g)
        group = torch.randint(2, (120,), generator=g)
        found.append(ratio_test(score.split(60), group.split(60), row.split(60))[0])
    assert (torch.tensor(found) <= .05).sum() <= 30  # 400 × .05 and two standard errors


def test_samples_of_another_law_around_a_lone_training_example_are_no_copies():
    g = torch.Generator().manual_seed(8)
    train, new = torch.randn(2, 600, 8, generator=g)
    train[0] = 3.
    made = 3 + torch.randn(600, 8, generator=g)
    assert "copies" not in copies(made, train, new).alarms
    few = torch.cat([train[1:5].repeat(20, 1), torch.randn(520, 8, generator=g)])  # four examples, twenty times each
    assert "copies" in copies(few, train, new).alarms
