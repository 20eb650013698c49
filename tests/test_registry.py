"""The registry: games and sets by name, settings flat and in groups, and what older files said."""

import dataclasses
import json
import subprocess
import sys

import pytest

from modelab import _index
from modelab.core.registry import (COMMANDS, GAMES, MODE_SETS, SettingGroup, current_spec, get_setting, groups_of, known_names,
                                   load, make, nested_settings, register_command, register_game, register_mode_set,
                                   registered, round_for_json, set_setting, to_json, upgrade_settings, with_settings)
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import Wasserstein
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule

# games that need no settings and are not for a special set
DEFAULTS = sorted(name for name in registered("game"))


def test_flat_settings_reach_their_group():
    game = make("game", {"name": "minimax", "width": 16, "lr": {"G": 1e-3, "D": 2e-3}, "saturating": True})
    assert game == Minimax(saturating=True, networks=Networks(width=16), optimiser=Optimiser({"G": 1e-3, "D": 2e-3}))
    assert get_setting(game, "width") == 16 and get_setting(game, "saturating") is True


def test_a_setting_left_open_is_the_games_default():
    assert Minimax(networks=Networks(width=16)).networks == dataclasses.replace(Minimax.default_networks, width=16)
    assert Wasserstein(optimiser=Optimiser(5e-4)).optimiser.betas == Wasserstein.default_optimiser.betas


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_spec_makes_the_same_game_again(name):
    game = make("game", name)
    spec = json.loads(json.dumps(game.spec))
    assert spec["name"] == name and make("game", spec).spec == game.spec


def test_with_settings_copies_and_set_setting_changes():
    game = Minimax()
    other = with_settings(game, lr=3e-4, saturating=True)
    assert (get_setting(other, "lr"), other.saturating) == (3e-4, True)
    assert get_setting(other, "betas") == get_setting(game, "betas") and get_setting(game, "lr") == 1e-3
    set_setting(game, "d_width", 8)
    assert game.networks.d_width == 8


def test_a_schedule_is_plain_data_in_a_spec():
    spec = Minimax(optimiser=Optimiser(schedule=Schedule("cosine", 50))).spec
    assert to_json(spec["schedule"]) == {"shape": "cosine", "steps": 50, "floor": .01, "stairs": None}
    assert make("game", json.loads(json.dumps(spec))).optimiser.schedule == Schedule("cosine", 50)


@pytest.mark.parametrize("old, new", [({"nets": "conv"}, {"kind": "conv"}), ({"fade": None}, {"schedule": None}),
                                      ({"fade": 0}, {"schedule": None}),
                                      ({"fade": 9}, {"schedule": {"shape": "cosine", "steps": 9, "floor": .01}}),
                                      ({"settle": 9}, {"weight_schedule": {"shape": "cosine", "steps": 9, "floor": 0.}})])
def test_settings_of_older_files_are_read(old, new):
    assert upgrade_settings(old, "pairwisebigan") == new


def test_a_game_alone_may_have_renamed_a_setting():
    assert upgrade_settings({"penalty": .1}, "imlegan") == {"r1_weight": .1}
    assert upgrade_settings({"penalty": "norm"}, "pairwisebigan") == {"penalty_form": "norm"}


def test_unknown_names_are_refused_with_all_that_are_known():
    with pytest.raises(ValueError, match="unknown 'minimx', did you mean 'minimax'.*wasserstein"):
        make("game", "minimx")
    with pytest.raises(ValueError, match="unknown 'rinng'.*ring"):
        make("modes", "rinng")
    with pytest.raises(TypeError, match="wdth"):
        make("game", {"name": "minimax", "wdth": 3})


def test_a_group_of_the_wrong_kind_is_refused():
    for wrong in (dict(networks="conv"), dict(optimiser=1e-3), dict(networks=Networks)):
        with pytest.raises(TypeError, match=f"^{next(iter(wrong))}: expected"):
            Minimax(**wrong)


def test_a_name_belongs_to_one_definition(monkeypatch):
    @dataclasses.dataclass(kw_only=True)
    class Minimax(GAMES["minimax"]):
        "Another game of the same name."
    before = GAMES["minimax"]
    with pytest.raises(ValueError, match="^game: the name 'minimax' is taken by modelab.methods.minimax.Minimax"):
        register_game(Minimax)
    assert GAMES["minimax"] is before

    def ring():
        "Another set of the same name."
    with pytest.raises(ValueError, match="^modes: the name 'ring' is taken by modelab.data.mixtures.ring"):
        register_mode_set(ring)
    with pytest.raises(ValueError, match="^command: the name 'train' is taken"):
        register_command("train")(ring)


def test_a_name_of_a_module_that_is_not_imported_is_taken_too():
    code = ("from modelab.core.registry import register_game\nfrom modelab.training.game import AdversarialGame\n"
            "class SAGAN(AdversarialGame):\n    'mine'\n"
            "try:\n    register_game(SAGAN)\nexcept ValueError as error:\n    print(error)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "the name 'sagan' is taken by modelab.methods.attention.SAGAN" in said


def test_a_cell_may_run_again_and_a_chapter_may_hold_what_its_module_holds():
    def define(module, doc="A toy."):
        made = dataclasses.make_dataclass("Cell", [])
        made.__module__, made.__doc__ = module, doc
        return made
    try:
        first, again, exported = (register_game(define(m)) for m in ("__main__", "__main__", "modelab.methods.cell"))
        assert GAMES["cell"] is exported and current_spec(again()) == {"name": "cell"} == current_spec(first())
        assert register_game(define("modelab.methods.cell", "Changed.")) is GAMES["cell"]
        with pytest.raises(ValueError, match="is taken"):
            register_game(define("elsewhere", "Other."))
    finally:
        GAMES.pop("cell", None)


def test_the_current_spec_is_of_registered_games_and_has_present_settings():
    class Mine(Minimax):
        pass
    game = Minimax()
    set_setting(game, "lr", .5)
    assert current_spec(game)["lr"] == .5 and game.spec["lr"] == 1e-3
    assert current_spec(Mine()) is None is current_spec(object())


def test_unknown_and_misplaced_settings_say_what_is_meant():
    with pytest.raises(TypeError, match=r"^lr: expected as a setting of optimiser, write optimiser=Optimiser\(lr=…\)"):
        Minimax(lr=1e-3)
    for call in (lambda: make("game", {"name": "minimax", "lrr": 1}), lambda: with_settings(Minimax(), lrr=1), lambda: Minimax(lrr=1)):
        with pytest.raises(TypeError, match="^minimax: unknown 'lrr', did you mean 'lr'"):
            call()


def test_a_group_beside_its_settings_is_refused():
    for given in ({"networks": Networks(width=8), "width": 4}, {"width": 4, "networks": {"width": 8}}):
        with pytest.raises(TypeError, match="^networks, width: expected the group or its settings, got both"):
            make("game", {"name": "minimax", **given})
    assert with_settings(Minimax(), networks=Networks(width=4)).networks.width == 4


def test_none_is_the_default_of_the_game():
    game = Minimax(optimiser=Optimiser(.5))
    set_setting(game, "lr", None)
    assert game.optimiser.lr == Minimax.default_optimiser.lr == with_settings(game, lr=None).optimiser.lr


def test_nested_settings_of_a_class():
    assert nested_settings(GAMES["minimax"], {"width": 8, "saturating": True}) == {"networks": Networks(width=8),
                                                                                  "saturating": True}


def test_known_names_are_those_of_the_index_and_those_of_ones_own(monkeypatch):
    monkeypatch.setitem(GAMES, "mine", Minimax)
    monkeypatch.setitem(MODE_SETS, "my_set", lambda: None)
    assert set(known_names("game")) >= {*_index.GAMES, "mine"} and set(known_names("modes")) >= {*_index.MODE_SETS, "my_set"}
    assert set(known_names("command")) >= {"train", "sample", "data", "audit", "bench", "course"}
    for names in map(known_names, ("game", "modes", "command")):
        assert names == sorted(set(names))
    with pytest.raises(ValueError, match="^kind: unknown 'loss'. Known: command, game, modes"):
        known_names("loss")


def test_registered_is_everything_that_the_index_knows():
    assert set(registered("game")) >= set(_index.GAMES) and set(registered("modes")) >= set(_index.MODE_SETS)


def test_commands_are_loaded_by_name(monkeypatch):
    for name in _index.COMMANDS:
        load("command", name)
        assert callable(COMMANDS[name]) and COMMANDS[name].__doc__.partition("\n")[0] == _index.COMMAND_HELP[name]
    load("command", "nothing")  # the caller says what is wrong

    @register_command("fly")
    def fly(parser):
        return None
    try:
        assert COMMANDS["fly"] is fly and "fly" in known_names("command")
    finally:
        del COMMANDS["fly"]


@dataclasses.dataclass(frozen=True)
class Rates(SettingGroup):
    lr: float | None = None
    stop: int | None = None


@dataclasses.dataclass
class Toy:
    weight: float = 1.
    rates: Rates = Rates()
    groups = {"rates": Rates}


def test_groups_nest_and_flatten():
    assert groups_of(Toy) == {"rates": Rates} == groups_of(Toy()) and groups_of(object()) == {}
    toy = Toy(**nested_settings(Toy, {"lr": .1, "weight": 2.}))
    assert toy == Toy(2., Rates(.1)) and (get_setting(toy, "lr"), get_setting(toy, "weight")) == (.1, 2.)
    assert nested_settings(Toy, {"rates": Rates(.3)}) == {"rates": Rates(.3)}
    changed = with_settings(toy, stop=5)
    assert changed.rates == Rates(.1, 5) and toy.rates == Rates(.1), "the group keeps what was not named"
    set_setting(toy, "lr", .2)
    set_setting(toy, "weight", 3.)
    assert toy == Toy(3., Rates(.2)) and Rates(None, 4).over(Rates(.5, 1)) == Rates(.5, 4)


def test_an_unknown_setting_of_a_group_or_a_game_is_refused():
    for change in (dict(rate=3), dict(widht=3)):
        with pytest.raises(TypeError, match=next(iter(change))):
            with_settings(Toy(), **change)


def test_a_spec_with_an_object_of_ones_own_is_refused_by_its_name():
    for kind, name in (("game", "minimax"), ("modes", "ring"), ("game", "no-such-game")):
        with pytest.raises(ValueError, match=rf"^{kind}: {name} was made with objects of your own, .*: net \(a Net\)"):
            make(kind, {"name": name, "net": {"own": "Net"}})


@pytest.mark.parametrize("spec", [3, None, ["minimax"], b"minimax"])
def test_a_spec_of_the_wrong_type_is_refused(spec):
    with pytest.raises(TypeError, match="^spec: expected a name or the .spec of a game"):
        make("game", spec)


@pytest.mark.parametrize("name", [None, 3, ["minimax"]])
def test_a_name_of_the_wrong_type_is_refused(name):
    with pytest.raises(TypeError, match="^game: expected one of "):
        make("game", {"name": name})


def test_make_leaves_the_spec_as_it_was():
    spec = {"name": "minimax", "width": 8}
    make("game", spec)
    assert spec == {"name": "minimax", "width": 8}


@pytest.mark.parametrize("old", [{"name": "minimax", "nets": "conv", "width": 8}, {"name": "bigan", "fade": 30},
                                 {"name": "imlegan", "penalty": .1, "interpolation": .2}])
def test_older_specs_make_games_whose_spec_is_present(old):
    game = make("game", old)
    assert make("game", game.spec).spec == game.spec and not {"nets", "fade", "penalty", "interpolation"} & game.spec.keys()


def test_plain_data():
    import pathlib

    import numpy as np
    import torch
    value = {"a": np.float32(2), 3: (torch.arange(2), pathlib.PurePosixPath("x/y")), "s": Rates(.1), "o": object(), "n": None}
    assert to_json(value) == {"a": 2., "3": [[0, 1], "x/y"], "s": {"lr": .1, "stop": None}, "o": {"own": "object"}, "n": None}
    assert json.dumps(to_json(value)) and round_for_json(2 / 3) == .6667 and round_for_json(float("inf")) is None
