"""modelab.evaluation.missing, attributes and spectral: exact, powerful, named, and refusing what they cannot take."""

import dataclasses
import html
import importlib
import inspect
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import seeded
from modelab.__main__ import main
from modelab.data.mixtures import mixture
from modelab.data.readers import open_samples
from modelab.evaluation.attributes import attribute_table, holm_adjusted, neighbour_votes
from modelab.evaluation.conditions import _chance_of_none, by_condition
from modelab.evaluation.missing import (_joined, _joint_p, _nearest_others, _search, _shuffled_labels, _walk, _weigh,
                                        feature_space, LACK, missing, principal_directions, space_name)
from modelab.evaluation.missing_page import _map_places, groups_html, missing_document, NamedRow
from modelab.evaluation.spectral import _fourier_features, spectral_modes
from scipy.stats import binom

TEN = mixture(3 * torch.randn(10, 8, generator=seeded(5)), 1.)


def draw(seed, n=300, lost=()):
    """Reference with modes, held-out data, and n samples without the modes in `lost`."""
    g = seeded(seed)
    (t, mode), h, (x, kind) = TEN.sample_with_modes(n, g), TEN.sample(n, g), TEN.sample_with_modes(3 * n, g)
    return t, mode, h, x[~torch.isin(kind, torch.tensor(lost, dtype=torch.long))][:n]


# exact

def test_groups_equal_their_definition():
    g = np.random.default_rng(0)
    z, pairs = g.normal(2, 1.5, (30, 8)), (g.integers(0, 30, 50), g.integers(0, 30, 50))

    def by_hand(column):
        """The masses of linked rows above the threshold, by walking from each."""
        alive, masses = {i for i in range(30) if z[i, column] > LACK}, []
        while alive:
            todo, group = [alive.pop()], []
            while todo:
                i = todo.pop()
                group.append(i)
                for a, b in zip(*pairs):
                    for j in {a: {b}, b: {a}}.get(i, set()) & alive:
                        alive.discard(j)
                        todo.append(j)
            masses.append((sum(z[i, column] - LACK for i in group), frozenset(group)))
        return masses
    found, (heaviest, whole) = _weigh(z, pairs, 0, 1)
    for column in range(8):
        masses = by_hand(column)
        assert heaviest[column] == pytest.approx(max((m for m, _ in masses), default=0))
        assert whole[column] == pytest.approx(sum(m for m, _ in masses))
    linked = {frozenset(one.rows.tolist()) for one in found if not one.scattered}
    assert linked == {rows for _, rows in by_hand(0)}


def test_the_joint_p_is_the_share_of_shuffles_that_do_as_well():
    found, (heaviest, whole) = _weigh(np.random.default_rng(1).normal(1, 1.5, (40, 20)), (np.arange(39), np.arange(1, 40)), 0, 1)
    tables, (p, _) = [heaviest, whole], _joint_p(found, [heaviest, whole])

    def rank(table, mass):
        return np.mean([m >= mass - 1e-9 for m in table])
    best = [min(rank(t, t[b]) for t in tables) for b in range(20)]
    for one, value in zip(found, p):
        assert value == pytest.approx(np.mean([b <= rank(tables[one.family], one.mass) + 1e-12 for b in best]))


def test_the_interval_of_a_group_apart_holds_its_share():
    """The share of the data in a group; a draw in which the group is not found counts as a miss."""
    held = 0
    for seed in range(200):
        g = seeded(seed)
        real, unseen, made = torch.randn(3, 100, 2, generator=g)
        for part in (real, unseen):
            part[torch.rand(100, generator=g) < .25] += 30
        found = missing(made, real, unseen, rounds=39, generator=g)
        held += bool(found) and found.groups[0].low <= .25 <= found.groups[0].high
    assert held / 200 >= .95 - 2 * math.sqrt(.95 * .05 / 200)


@pytest.mark.parametrize("share", [.02, .1, .5])
def test_the_interval_of_an_attribute_holds_its_rate(share):
    held = 0
    for seed in range(200):
        made, real = torch.rand(2, 150, 1, generator=seeded(seed)) < share
        row = attribute_table(made, real).rows[0]
        held += row.low <= share <= row.high
    assert held / 200 >= .95 - 2 * math.sqrt(.95 * .05 / 200)


def test_linked_rows_of_one_column_are_one_group():
    active = np.array([[1, 1], [1, 0], [1, 1]]).astype(bool)
    rows, columns, group = _joined(active, (np.array([0, 1]), np.array([1, 2])))
    of = dict(zip(zip(rows, columns), group))
    assert of[0, 0] == of[1, 0] == of[2, 0] and len({of[0, 0], of[0, 1], of[2, 1]}) == 3


def test_a_walk_is_a_chance_even_among_copies():
    x = torch.cat([torch.zeros(9, 3), torch.randn(20, 3, generator=seeded())]).double()
    assert (_nearest_others(x) != torch.arange(29)[:, None]).all()
    assert np.allclose(_walk(x).sum(1), 1, atol=1e-6) and _walk(x).min() >= 0


def test_shuffled_labels_keep_the_count_and_the_first_are_true():
    is_sample = torch.arange(12) < 5
    y = _shuffled_labels(is_sample, 7, seeded())
    assert y.shape == (12, 8) and np.allclose(y.sum(0), 0, atol=1e-6) and ((y[:, 0] > 0) == is_sample.numpy()).all()


def test_columns_of_unlike_units_count_alike():
    x = torch.randn(3, 300, 2, generator=seeded())
    x[:, :, 1] *= 1000
    found = missing(x[0][x[0][:, 0] < 1], x[1], x[2], generator=seeded())
    assert len(found) == 1 and .05 < found.groups[0].share < .25


def wide(seed, n=300, marked=0.):
    """Rows of 200 columns that vary in the first hundred. Some rows bear a mark in one of the others."""
    g = seeded(seed)
    x = torch.cat([torch.randn(n, 100, generator=g), torch.zeros(n, 100)], 1)
    where = 100 + torch.randint(100, (n,), generator=g)
    x[torch.arange(n), where] = 20. * (torch.rand(n, generator=g) < marked)
    return x


def test_a_group_outside_the_principal_directions_is_found():
    """The mark is outside the first 64 directions: these alone show a perfect generator."""
    marks = lambda x: (x[:, 100:] > 0).any(1)
    t, h, x = wide(0, 600, .05), wide(1, 600, .05), wide(2, 600)
    name, space = feature_space(None, t)
    inside, rest = (space(t)[:, part].double() for part in (slice(64), 64))
    assert name == "64 principal directions and the distance from them" and space(t).shape == (600, 65)
    assert torch.allclose(inside.square().sum(1) + rest ** 2, (t - t.mean(0)).double().square().sum(1), rtol=1e-4)
    found = missing(x, t, h, rounds=199)
    group = found.groups[0]
    assert marks(t)[group.indices].double().mean() > .9 and group.samples_share < .01
    assert not missing(x, t, h, features=lambda some: space(some)[:, :64], rounds=199)
    assert not missing(wide(3, 600, .05), t, h, rounds=199)


def test_the_directions_are_those_of_the_rows_given():
    x = torch.cat([wide(0), 50 + wide(1)])
    (name, few), (_, all_of_them) = (principal_directions(x, rows) for rows in (torch.arange(300), torch.arange(600)))
    assert torch.equal(few(x), principal_directions(x[:300], torch.arange(300))[1](x)) and not torch.equal(few(x), all_of_them(x))
    assert principal_directions(x, torch.arange(9))[0].startswith("8 principal")


def test_the_name_of_features():
    class Net:
        name = "mine"
    assert space_name(Net()) == "mine" and space_name(torch.flatten) == "flatten" and space_name(torch.nn.Flatten()) == "Flatten"


def test_too_few_shuffles_for_a_level_are_refused():
    x = torch.randn(3, 60, 2, generator=seeded())
    with pytest.raises(ValueError, match="rounds: p is at least 1/20.*give 99 or more"):
        missing(*x, rounds=19, level=.01)
    missing(*x, rounds=19, level=.05)


def test_a_perfect_generator_is_seldom_accused():
    draws, hits = 80, 0
    for seed in range(draws):
        t, _, h, x = draw(seed, 100)
        found, _ = _search(t.double(), x.double(), h.double(), 59, seeded(seed))
        hits += bool(found) and found[0][0] <= .05
    assert hits <= binom.ppf(.999, draws, .05)


# what is found

@pytest.mark.parametrize("seed", range(4))
def test_a_lost_mode_is_found_and_its_shares_hold(seed):
    t, mode, h, x = draw(seed, lost=[3])
    found = missing(x, t, h, labels=mode, rounds=199)
    group = found.groups[0]
    assert (mode[group.indices] == 3).double().mean() > .9 and next(iter(group.classes)) == "3"
    assert group.low <= .1 <= group.high and group.samples_share < .02 and group.p <= .05 and len(set(group.indices)) == len(group.indices)


def test_classes_may_have_names():
    t, mode, h, x = draw(0, lost=[3])
    found = missing(x, t, h, labels=mode, rounds=199)
    named = found.with_class_names([f"kind {i}" for i in range(10)])
    assert "mostly kind 3," in repr(named) and found.with_class_names(None) is found and named.groups[0].indices == found.groups[0].indices


def test_two_lost_modes_are_two_groups():
    t, mode, h, x = draw(0, 600, lost=[3, 7])
    found = missing(x, t, h, labels=mode, rounds=199)
    assert {next(iter(g.classes)) for g in found.groups} == {"3", "7"}
    assert not set(found.groups[0].indices) & set(found.groups[1].indices)


def test_half_of_the_reference_is_held_out_where_nothing_else_is():
    t, mode, h, x = draw(1, 600, lost=[3])
    found = missing(x, torch.cat([t, h]), rounds=199)
    assert len(found) and found.sizes == {"samples": 600, "reference": 600, "holdout": 600}
    assert max(found.groups[0].indices) < 1200


def test_names_json_and_examples_belong_to_the_indices():
    t, mode, h, x = draw(2, lost=[3])
    found = missing(x, t, h, names=[f"{i}.png" for i in range(300)], rounds=99, most=250)
    group = found.groups[0]
    assert group.names == [f"{i}.png" for i in group.indices]
    assert torch.equal(group.examples, t[group.indices[:24]]) and group.nearest.shape == group.examples.shape
    row = json.loads(json.dumps(found.to_json()))
    assert row["groups"][0]["indices"] == group.indices and "% of the data gets" in row["says"]
    assert repr(found) == row["says"] and found.sizes["reference"] == 250


def test_distances_are_those_to_the_nearest_sample():
    t, _, h, x = draw(2, lost=[3])
    found = missing(x, t, h, rounds=99, most=250)
    group = found.groups[0]
    far = torch.cdist(group.examples.double(), x.double())  # thinned samples: no nearer than the nearest of all
    assert len(group.distances) == len(group.nearest_indices) == len(group.examples) == min(24, len(group.indices))
    assert torch.equal(x[group.nearest_indices], group.nearest)
    chosen = far.gather(1, torch.tensor(group.nearest_indices)[:, None])[:, 0]
    assert torch.allclose(chosen, torch.tensor(group.distances).double()) and (chosen >= far.amin(1) - 1e-9).all()
    whole = missing(x, t, h, rounds=99)
    nearest = torch.cdist(whole.groups[0].examples.double(), x.double()).amin(1)
    assert torch.allclose(nearest, torch.tensor(whole.groups[0].distances).double())
    assert whole.usual == pytest.approx(float(torch.cdist(h.double(), x.double()).amin(1).median()))
    row = json.loads(json.dumps(whole.to_json()))
    assert row["groups"][0]["distances"] == whole.groups[0].distances and row["usual distance"] == whole.usual
    assert "300 samples, 300 reference, 300 holdout" in row["protocol"] and "99 shuffles; level 0.05" in row["protocol"]


def apart(event=(2,), groups=1):
    """Samples, reference and held-out data: tenths of the data lie apart, each at a place of its own, and get no sample."""
    real, held, made = torch.rand(3, 400, *event, generator=seeded())
    for part in (real, held):
        for i in range(groups):
            part[i::10, :1] += 5. * (i + 1)
    return made, real, held


def test_the_map_keeps_distances_in_a_plane_and_shows_all_real_examples():
    made, real, held = apart()
    found = missing(made, real, held, rounds=99)
    where = found.where["reference"]
    assert torch.allclose(torch.cdist(where, where), torch.cdist(real.double(), real.double()), atol=1e-6)
    between = torch.cdist(where, found.where["samples"])
    assert torch.allclose(between, torch.cdist(real.double(), made.double()), atol=1e-6)
    assert found.where["rows"].tolist() == list(range(400)) and where.var(0)[0] >= where.var(0)[1]
    places = torch.tensor(_map_places(where)(where))
    assert (places >= 0).all() and (places <= torch.tensor([400., 300.])).all()
    assert torch.tensor(_map_places(torch.ones(9, 2))(torch.ones(9, 2))).isfinite().all()


def test_the_p_of_the_whole_is_that_of_what_is_reported():
    t, _, h, x = draw(3, lost=[3])
    found = missing(x, t, h, rounds=99)
    assert found.p == found.groups[0].p <= .05 and [g.p for g in found.groups] == sorted(g.p for g in found.groups)
    t, _, h, x = draw(3)
    found = missing(x, t, h, rounds=99)
    assert not found.groups and .05 < found.p <= 1


def test_equal_seeds_give_equal_results():
    t, _, h, x = draw(3, lost=[3])
    assert missing(x, t, h, rounds=99, generator=seeded(1)) == missing(x, t, h, rounds=99, generator=seeded(1))


def test_features_decide_what_is_near():
    t, mode, h, x = draw(4, lost=[3])
    noisy = [torch.cat([v, 200 * torch.randn(len(v), 60, generator=seeded(i))], 1) for i, v in enumerate((x, t, h))]
    assert missing(*noisy, rounds=99).p > .05
    assert missing(*noisy, features=lambda v: v[:, :8], rounds=99).p <= .05


def test_equal_samples_are_no_trouble_and_an_equal_reference_is_refused():
    t, _, h, x = draw(5, 100)
    assert len(missing(x[:1].expand(100, 8), t, h, rounds=99))
    with pytest.raises(ValueError, match="^reference: all 100 examples are equal$"):
        missing(x, torch.zeros(100, 8), h)


def test_pictures_keep_their_shape():
    g = seeded(0)
    real = torch.randn(200, 3, 8, 8, generator=g)
    real[:40] += 3
    found = missing(torch.randn(100, 3, 8, 8, generator=g), real, rounds=99)
    assert found.groups[0].examples.shape[1:] == (3, 8, 8)
    assert found.groups[0].picture(5).png.startswith(b"\x89PNG") and "nearest samples" in found.groups[0].picture().alt


def test_what_is_no_picture_is_not_drawn():
    t, _, h, x = draw(2, lost=[3])
    with pytest.raises(ValueError, match="examples: expected pictures"):
        missing(x, t, h, rounds=99).groups[0].picture()


def test_nothing_found_says_how_much_was_looked_at():
    t, _, h, x = draw(6, 60)
    text = repr(missing(x, t, h, rounds=999, level=.001))
    assert re.search(r"a group apart that holds \d+ % of the data would have been seen", text)
    assert text.startswith("no group") and "60 samples, 60 reference, 60 holdout" in text



def test_so_small_a_group_is_found_as_the_sentence_says():
    found, hits = missing(*torch.randn(3, 240, 6, generator=seeded()), rounds=199), 0
    share = found.smallest_seen()
    assert f"{100 * share:.2g} % of the data would have been seen with 95 % power" in repr(found) and found.to_json()["smallest seen"] == share
    for seed in range(20):
        g = seeded(seed)
        x, real, held = torch.randn(3, 240, 6, generator=g)
        for part in (real, held):
            part[torch.rand(240, generator=g) < share] += 40
        hits += len(missing(x, real, held, rounds=199, generator=g)) > 0
    assert hits >= 16  # 20 at .95: fewer has a chance of .3 %
    assert found.smallest_seen(.02) >= share and found.smallest_seen(1e-4) is None


def test_files_are_read_in_parts_and_give_the_same(tmp_path):
    x = torch.rand(3, 120, 3, 24, 24, generator=seeded())
    for name, part in zip(("made", "real", "held"), x):
        np.save(tmp_path / f"{name}.npy", part.numpy())
    files = [open_samples(tmp_path / f"{name}.npy") for name in ("made", "real", "held")]
    asked = []
    for file in files:
        take = file.take
        file.take = lambda index, take=take: asked.append(len(index)) or take(index)
    mean = lambda v: v.flatten(1)[:, :9]
    whole, parts = missing(*x, features=mean, rounds=39), missing(*files, features=mean, rounds=39, memory=1 << 22)
    assert parts.to_json() == whole.to_json()
    assert len(asked) > 3 and missing(*files, features=mean, rounds=39, memory=1 << 30).to_json() == whole.to_json()


# refused

@pytest.mark.parametrize("change, word", [
    ({"names": ["a"]}, "names"), ({"names": 3}, "names"), ({"labels": torch.zeros(60)}, "labels"),
    ({"labels": torch.zeros(59, dtype=torch.long)}, "labels"), ({"level": 0.}, "level"), ({"level": .9}, "level"),
    ({"features": 3}, "features"), ({"features": lambda x: x[:3]}, "features"),
    ({"features": lambda x: x / 0}, "features"), ({"features": lambda x: x[:, :len(x) % 7 + 1]}, "features"),
    ({"reference": torch.randn(30, 8)}, "reference"), ({"holdout": torch.randn(60, 7)}, "holdout"),
    ({"samples": torch.full((60, 8), float("nan"))}, "samples"), ({"rounds": 3}, "rounds"), ({"most": 5}, "most"),
    ({"generator": 3}, "generator")])
def test_bad_arguments_are_named(change, word):
    t, _, h, x = draw(0, 60)
    arguments = {"samples": x[:55], "reference": t, "holdout": h[:53]} | change
    with pytest.raises((ValueError, TypeError), match=word):
        missing(**arguments)


# the command

@pytest.fixture
def folders(tmp_path):
    """Small pictures in two classes; the generator makes none of the second."""
    from PIL import Image
    g = np.random.default_rng(0)
    for folder, n, classes in (("train", 90, ("cat", "dog")), ("test", 40, ("cat", "dog")), ("made", 60, ("cat",))):
        for kind in classes:
            (tmp_path / folder / kind).mkdir(parents=True)
            for i in range(n // len(classes)):
                low, high = (0, 90) if kind == "cat" else (150, 250)
                Image.fromarray(g.integers(low, high, (8, 8), np.uint8)).save(tmp_path / folder / kind / f"{i}.png")
    return tmp_path


def test_the_command_names_class_and_files(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    assert main(["missing", "made", "--reference", "train", "--holdout", "test", "--json", "found.json"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("a group, mostly dog, holding 50 % of the data gets 0 % of the samples (p = 0.0") and ": dog/" in said
    group = json.loads((folders / "found.json").read_text())["groups"][0]
    assert group["classes"] == {"dog": 1.} and len(group["names"]) == 45 and all(name.startswith("dog/") for name in group["names"])
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(45)]
    assert [names[i] for i in group["indices"]] == group["names"]
    assert main(["missing", "test", "--reference", "train"]) == 0 and capsys.readouterr().out.startswith("no group of the data is surely missing")
    assert main(["missing", "made", "--reference", "train", "--most", "40", "--json", "found.json"]) == 1  # thinned: rows are those of the folder
    group = json.loads((folders / "found.json").read_text())["groups"][0]
    assert [names[i] for i in group["indices"]] == group["names"]


def test_the_page_names_and_links_the_files(folders, monkeypatch, capsys):
    """What the page shows is what the JSON says: names, links, distances, shares, p."""
    monkeypatch.chdir(folders)
    (folders / "train" / "dog" / "0.png").rename(folders / "train" / "dog" / '"><script>.png')
    words = ["missing", "made", "--reference", "train", "--holdout", "test"]
    assert main([*words, "--out", "found.html", "--json", "found.json"]) == 1
    page, report = (folders / "found.html").read_text(), json.loads((folders / "found.json").read_text())
    group = report["groups"][0]
    assert len(page) < 2e6 and "<script" not in page and "http" not in page and " onclick" not in page
    assert all(f'href="./made/{name}"' in page for name in group["nearest_names"][:12])
    assert all(html.escape(name) in page and f"distance {far:.3g}" in page
               for name, far in zip(group["names"][:12], group["distances"]))
    low, high = group["low"], group["high"]
    assert f"Share of the data {group['share']:.1%} [{low:.1%}, {high:.1%}]" in page and "Classes: dog 100%" in page
    assert html.escape(report["protocol"]) in page and f"within {report['usual distance']:.3g}" in page
    assert main(["missing", "test", "--reference", "train", "--out", "none.html"]) == 0  # nothing is missing
    assert "no group of the data is surely missing" in (folders / "none.html").read_text()
    capsys.readouterr()


@pytest.mark.parametrize("more, says", [(["--out", "no/where.html"], "--out: there is no folder"), (["--out", "train"], "is a folder"),
                                        (["--out", "x.npy"], "is an input"), (["--out", "a.html", "--json", "a.html"], "also the file of"),
                                        (["--out", "-"], "expected the name of a file")])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(folders, monkeypatch, capsys, more, says):
    from modelab.evaluation import missing_command
    monkeypatch.setattr(missing_command, "open_matched", lambda *a, **k: pytest.fail("it began to read"))
    monkeypatch.chdir(folders)
    np.save("x.npy", np.zeros((9, 8, 8), np.float32))
    assert main(["missing", "x.npy", "--reference", "train", *more]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("event", [(1,), (3,), (1, 8, 8), (8, 8), (3, 128, 128), (2, 5)])
def test_any_event_makes_a_small_page(event):
    found = missing(*apart(event), rounds=99)
    page = missing_document(found)
    assert found.groups and len(page) < 2e6 and page.count(b'type="radio"') == min(8, len(found.groups))
    drawn = len(event) > 1 and min(event[-2:]) > 3
    assert (page.count(b'class="pair"') == sum(min(12, len(g.examples)) for g in found.groups[:8])) == drawn
    assert found._repr_html_() in page.decode()


def test_no_more_than_eight_groups_are_shown_and_the_page_says_so():
    found = missing(*apart((3, 128, 128)), rounds=99)
    many = dataclasses.replace(found, groups=found.groups[:1] * 11)  # noise is what compresses least
    page = missing_document(many)
    assert page.count(b"<section>") == page.count(b"<label>") == 8 and len(page) < 2e6
    assert b"11 missing groups; the 8 surest are shown" in page


def test_hostile_names_are_escaped():
    bad = '"><script>alert(1)</script>&\'\x01.png'
    found = missing(*apart((8, 8)), rounds=99, names=[bad] * 400, labels=torch.zeros(400, dtype=torch.long)).with_class_names([bad])
    text = groups_html(found, [bad], lambda part, row: NamedRow(bad, 'file:///x" onclick="y'))
    assert "<script" not in text and 'x" onclick' not in text and text.count("&lt;script&gt;") > 20


def test_equal_results_make_equal_pages():
    assert missing_document(missing(*apart((8, 8)), rounds=99)) == missing_document(missing(*apart((8, 8)), rounds=99))


def test_the_command_says_what_was_left_out_and_what_was_copied(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    (folders / "train" / "dog" / "bad.png").write_bytes(b"")
    assert main(["missing", "train", "--reference", "train", "--skip-bad", "--json", "found.json"]) == 0
    said, notes = capsys.readouterr().out, json.loads((folders / "found.json").read_text())["notes"]
    assert said.count("bad.png") == sum("bad.png" in note for note in notes) == 1 and "Order of" not in said
    assert "note: samples: 90 of 90 equal a reference example" in said


def test_the_audit_names_the_class_of_a_group(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    assert main(["audit", "made", "--reference", "train", "--holdout", "test", "--no-transformed"]) == 1
    assert "a group, mostly dog, holding" in (said := capsys.readouterr().out) and "\nmissing, group 1: dog/" in said


@pytest.mark.parametrize("words, says", [(["made", "--reference", "no"], "no: there is no such file"), (["made", "--reference", "few"], "few.npy"),
                                         (["made", "--reference", "train", "--most", "3"], "--most"),
                                         (["made", "--reference", "train", "--level", "2"], "--level"),
                                         (["made", "--reference", "train", "--json", "no/where.json"], "--json"),
                                         (["made", "--reference", "train", "--features", "nothing"], "features"),
                                         (["made", "--reference", "flat"], "flat.npy: all 60 examples are equal")])
def test_the_command_refuses(folders, monkeypatch, capsys, words, says):
    monkeypatch.chdir(folders)
    np.save("few.npy", np.zeros((9, 8, 8), np.float32))
    np.save("flat.npy", np.zeros((60, 8, 8), np.float32))
    assert main(["missing", *[f"{word}.npy" if word in ("few", "flat") else word for word in words]]) == 2
    said = capsys.readouterr().err
    assert said.startswith("modelab missing: ") and says in said and said.count("\n") == 1


def test_features_are_kept_for_all_three_commands(folders, monkeypatch, capsys):
    from modelab.evaluation import audit_command
    from modelab.evaluation.feature_networks import FeatureNetwork
    monkeypatch.chdir(folders)
    calls = []
    network = FeatureNetwork("pixels of mine", lambda x: calls.append(len(x)) or x.flatten(1), key="one")
    monkeypatch.setattr(audit_command, "feature_network", lambda name: network)
    for words in (["missing", "made"], ["compare", "made", "test"]):
        ask = lambda *more: main([*words, "--reference", "train", "--features", "mine", *more])
        first, said = ask("--no-cache"), capsys.readouterr().out
        assert calls and ask("--memory", "8M") == first and capsys.readouterr().out == said
        calls.clear()
        assert ask() == first and capsys.readouterr().out == said and not calls
        assert ask("--memory", "3") == 2 and "--memory" in capsys.readouterr().err


# conditions

def test_a_condition_that_shows_one_picture_is_found():
    t, mode, h, x = draw(0, 900)
    g = seeded(1)
    x, kind = TEN.sample_with_modes(900, g)
    at = torch.where(kind == 2)[0]
    x[at] = x[at[0]] + .01 * torch.randn(len(at), 8, generator=g)
    table = by_condition(x, kind, t, mode, rounds=199)
    assert [row.condition for row in table.rows if row.alarm] == [2] and "ALARM" in repr(table)
    assert sum(row.real for row in table.rows) == 900 and all(0 <= row.empty <= 1 for row in table.rows)


def test_the_held_out_half_of_a_condition_does_not_choose_the_space():
    """Directions fit the rows that chose them better than others, so perfect samples would lie farther away."""
    hits = 0
    for seed in range(12):
        x, real = (torch.randn(n, 120, generator=seeded(100 * seed + n)) for n in (200, 400))
        table = by_condition(x, torch.arange(200) % 2, real, torch.arange(400) % 2, rounds=59, generator=seeded(seed))
        hits += any(row.alarm for row in table.rows)
    assert hits <= 3  # 12 at .05: more has a chance below .3 %


def test_a_condition_with_few_samples_says_nothing_and_one_without_alarms():
    t, mode, h, x = draw(0)
    x, kind = TEN.sample_with_modes(300, seeded(1))
    table = by_condition(x[kind != 2], kind[kind != 2], t, mode, rounds=99)
    row = next(row for row in table.rows if row.condition == 2)
    none = math.comb(len(t), row.real) / math.comb(int((kind != 2).sum()) + len(t), row.real)  # all that have it are real
    assert (row.samples, row.empty, row.expected, row.seen, row.alarm) == (0, None, None, None, True) and none < row.p < 11 * none
    some = torch.cat([torch.nonzero(kind != 2)[:, 0], torch.nonzero(kind == 2)[:4, 0]])
    few = next(r for r in by_condition(x[some], kind[some], t, mode, rounds=99).rows if r.condition == 2)
    assert (few.samples, few.empty, few.p, few.alarm) == (4, None, None, False)
    assert _chance_of_none(1, 300, 2) == pytest.approx(300 / 302)  # of one real example: no surprise


# attributes

def test_holm_is_what_its_paper_says():
    assert holm_adjusted([.01, .04, .03]) == pytest.approx([.03, .06, .06])
    assert holm_adjusted([]) == [] and holm_adjusted([.5, .9]) == [1., 1.]


def test_an_attribute_table_by_hand():
    from scipy.stats import fisher_exact
    made, real = torch.zeros(100, 2).bool(), torch.zeros(80, 2).bool()
    made[:10, 0], real[:40, 0], real[:20, 1], made[5:15, 1] = True, True, True, True
    good = torch.arange(100) < 8
    table = attribute_table(made, real, ["a", "b"], ["a+b"], good=good)
    a, b, both = table.rows
    assert (a.rate, a.data_rate, a.precision, a.recall) == pytest.approx((.1, .5, .8, .16))
    assert both.rate == pytest.approx(.05) and both.data_rate == pytest.approx(.25)
    raw = [fisher_exact([[k, 100 - k], [m, 80 - m]]).pvalue for k, m in ((10, 40), (10, 20), (5, 20))]
    assert [r.p for r in table.rows] == pytest.approx(holm_adjusted(raw)) and a.alarm
    assert "your classifier" in repr(table) and json.loads(json.dumps(table.to_json()))["rows"][0]["name"] == "a"
    none = attribute_table(made[:, :1], torch.zeros(80, 1).bool())
    assert none.rows[0].recall is None and none.rows[0].precision is None and none.rows[0].name == "attribute 0"


def test_attribute_tables_refuse():
    shows = torch.zeros(5, 2).bool()
    for arguments, word in (((shows, shows, ["a"]), "names"), ((shows, shows, ["a", "b"], ["a+c"]), "pairs"),
                            ((shows.long(), shows, ["a", "b"]), "samples"), ((shows, shows[:, :1], ["a", "b"]), "data")):
        with pytest.raises((ValueError, TypeError), match=word):
            attribute_table(*arguments)


def test_neighbours_vote_by_majority():
    x = torch.tensor([[0.], [1.], [2.], [10.], [11.], [12.]])
    shows = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 1], [0, 1], [0, 0]]).bool()
    votes = neighbour_votes(torch.tensor([[.5], [11.]]), x, shows, k=3)
    assert votes.tolist() == [[True, False], [False, True]]


# spectral modes

def test_fourier_features_are_a_gaussian_kernel():
    x = torch.randn(6, 4, generator=seeded()).double()
    phi = _fourier_features(x, torch.randn(4, 40_000, generator=seeded(1)).double())
    assert torch.allclose(phi @ phi.T, torch.exp(-torch.cdist(x, x) ** 2 / 2), atol=.03)


def test_spectral_modes_show_what_is_lost_and_something_for_the_perfect():
    t, mode, h, x = draw(0, 600, lost=[3])
    first = spectral_modes(x, t, bandwidth=4.).indices[0]
    assert (mode[first] == 3).double().mean() > .9
    perfect = spectral_modes(draw(0, 600)[3], t)
    assert (perfect.values > 0).all() and (perfect.values.diff() <= 0).all() and perfect.indices.shape == (5, 25)


# the public face

def test_the_public_name_is_the_function_whatever_was_imported_before():
    for first in ("import modelab.evaluation.missing", "from modelab.evaluation import missing as module", "pass"):
        code = f"{first}\nfrom modelab import missing\nassert callable(missing), missing"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert inspect.ismodule(importlib.import_module("modelab.evaluation.missing"))


def test_notes_say_what_spoils_a_comparison():
    """Unlike scales, copies, and what was done to labels; none where nothing is to be said."""
    g = torch.Generator().manual_seed(0)
    real, new = torch.rand(2, 200, 1, 8, 8, generator=g)
    assert missing(new, real, rounds=19).notes == () and "note" not in repr(missing(new, real, rounds=19))
    dark = missing(2 * new - 1, real, rounds=39)
    assert "(samples: [-1, 1]; reference: [0, 1])" in dark.notes[0] and repr(dark).endswith(dark.notes[0])
    assert dark.to_json()["notes"] == list(dark.notes) and dark.notes[0] not in dark.to_json()["says"]
    assert html.escape(dark.notes[0]) in dark._repr_html_()
    assert missing(real[:100], real, rounds=19).notes[0].startswith("samples: 100 of 100 equal a reference example")
    pairs = torch.utils.data.TensorDataset(real, torch.rand(200, generator=g))
    assert missing(new, pairs, rounds=19).notes == ("reference: Labels are not used: they are no classes, got fractions.",)
