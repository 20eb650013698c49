"""The benchmark of look-alikes at a tiny size, with a stand-in for dlib's network, and what it recorded."""

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from modelab.course.claims import recorded_pictures

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import look_alikes as module  # noqa: E402

RECORD = json.loads((ROOT / "benchmarks/look_alikes.json").read_text(encoding="utf-8"))
SETS = {"drawn": (594, 66), "photographs": (376, 38)}


def flat(x):
    return x.flatten(1)


@pytest.fixture(scope="module")
def some():
    """The nine positions of each of sixteen drawn faces, and whose face it is."""
    x, who = module.drawn()
    return x[:144], who[:144]


@pytest.fixture(scope="module")
def draw(some):
    return module.Draw(*some, flat(some[0]), {}, 3)


def test_nine_pictures_of_a_drawn_face_differ_by_their_place_alone():
    x, who = module.drawn()
    assert x.shape == (594, 1, 32, 32) and who.bincount().tolist() == [9] * 66
    clean = module.faces()._clean.view(66, 9, 32, 32)
    for k, (down, right) in enumerate((v, u) for v in (-1, 0, 1) for u in (-1, 0, 1)):
        inside, middle = (slice(2 + v, 30 + v) for v in (down, right)), clean[:, 4, 2:30, 2:30]
        assert torch.equal(clean[:, k][(slice(None), *inside)], middle)
    assert len(clean[:, 4].flatten(1).unique(dim=0)) == 66  # no two faces are equal


def test_changes_by_hand():
    x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    made = {name: change(x) for name, change in module.changes(32, lambda v: v + 1).items()}
    assert torch.equal(made["noisy"], x + 1) and torch.equal(made["mirrored"], x.flip(-1))
    assert torch.equal(made["moved"][..., 1:, 2:], x[..., :-1, :-2]) and made["moved"][..., 0, :].eq(0).all()
    assert torch.allclose(made["lit from the left"][..., [0, 31]], x[..., [0, 31]] * torch.tensor([1, .4]))
    assert made["moved, lit, noisy"].shape == x.shape
    assert torch.equal(module.middle(x), x[..., 4:28, 4:28].flatten(1))


def test_a_draw_splits_the_persons(some, draw):
    whose = {name: set(some[1][rows].tolist()) for name, rows in (("train", draw.train), ("held", draw.held), ("honest", draw.honest))}
    assert [len(v) for v in whose.values()] == [8, 4, 4] and len(set.union(*whose.values())) == 16
    assert set(some[1][draw.left_out].tolist()) == whose["train"] and len(draw.left_out) == 16
    assert not set(draw.left_out.tolist()) & set(draw.train.tolist()) and len(draw.train) == 8 * 7


def test_exact_copies_are_found_in_every_space(some, draw):
    rows = draw.train[:6]
    x = some[0][rows]
    mine = draw.measure(x, flat(x))
    for space in [*draw.names, module.SEARCH]:
        assert torch.equal(draw.nearest(space, mine), rows) and draw.near(space, mine).all()
    honest = draw.measured["honest"]
    with_copies = module.joined(mine, module.after(honest, 6))
    assert draw.chance("L2 of all pixels", with_copies) < .05 < draw.chance("L2 of all pixels", honest)
    assert draw.chance(module.SEARCH, with_copies) == 1  # copies in place are not transformed ones
    for name, v in module.joined(module.after(honest, 2), mine)["L2 of all pixels"].items():
        assert torch.equal(v, torch.cat([honest["L2 of all pixels"][name][2:], mine["L2 of all pixels"][name]]))


def test_how_well_persons_are_told_apart_by_hand():
    x, who = torch.rand(9, 1, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    found, d = module.apart(x, who, flat(x)), torch.cdist(flat(x), flat(x))
    pairs = [(i, j) for i in range(9) for j in range(i)]
    same, other = ([d[i, j] for i, j in pairs if (who[i] == who[j]) == wanted] for wanted in (True, False))
    share = sum(a < b for a in same for b in other) / (len(same) * len(other))
    assert found["face network"]["one person nearer"] == pytest.approx(float(share), abs=1e-4) == found["L2 of all pixels"]["one person nearer"]
    assert found["one person within .6"] == found["two persons within .6"] == 0


def test_a_stand_in_for_the_network_gives_what_its_space_gives_and_draws_are_kept(some, tmp_path):
    args = argparse.Namespace(draws=1, first=0, planted=4, walk=1, out=tmp_path / "out.json")
    module.measure("drawn", *some, flat, args)
    kept = json.loads(args.out.read_text())["drawn"]
    assert [row["setting"] for row in kept] == ["apart", *(f"sheet: {change}" for change in module.SHEETS), "draw 0"]
    found = kept[3]["found"]
    for name, row in found.items():
        assert row["face network"] == row["L2 of all pixels"], name
    assert found["noisy"]["L2 of all pixels"]["original"] == found["mirrored"]["search over changes"]["original"] == 1
    assert all(v["original"] == 0 for v in found["another picture"].values())
    pictures = recorded_pictures(kept[1]["pictures"], 5, -1, 32, 32)
    assert pictures.shape[1] == 4 and kept[1]["rows"][0] == "look-alike"
    before = args.out.read_bytes()
    module.measure("drawn", *some, None, args)  # nothing is missing, so nothing is asked
    assert args.out.read_bytes() == before


@pytest.mark.parametrize("name", SETS)
def test_the_record_is_whole(name):
    rows = {row["setting"]: row for row in RECORD[name]}
    assert (rows["apart"]["pictures"], rows["apart"]["persons"]) == SETS[name] and [f"draw {s}" in rows for s in range(20)] == [True] * 20
    for seed in range(20):
        row = rows[f"draw {seed}"]
        assert row["planted"] == module.PLANTED and set(row["found"]) == {"honest", "another picture", *module.changes(32, None)}
        for change, spaces in row["found"].items():
            assert set(spaces) == {*module.SPACES, module.SEARCH}
            assert all(0 <= v <= 1 for one in spaces.values() for v in one.values()), change
