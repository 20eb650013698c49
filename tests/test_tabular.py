"""modelab.methods.tabular: losses and penalty of cells against loops and Jacobians, bad input, and the game on points, pictures and tables."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import mixture, ring
from modelab.data.pictures import faces
from modelab.evaluation.coverage import coverages
from modelab.lab.panel import Lab
from modelab.methods.tabular import (cell_discriminator_loss, cell_generator_loss, cell_penalty,
                                     cell_reconstruction_loss, CellDiscriminator, fill_holes,
                                     hide_cells, impute_rows, Imputer, ImputerNetwork,
                                     PixelNetwork, row_rmse, TableRows)
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run

from helpers import normal as randn, same_run, seeded as gen


def mask(*shape, seed=0):
    return torch.rand(*shape, generator=gen(seed)) < .6


# holes

def test_cells_are_hidden_completely_at_random():
    x = randn(40_000, 3)
    holes = hide_cells(x, .3, gen()).isnan()
    assert (holes.double().mean(0) - .3).abs().max() < .01
    assert holes.double().T.corrcoef().fill_diagonal_(0).abs().max() < .02
    assert abs(x[holes].mean()) < .03, "what is hidden does not depend on the value"
    assert not hide_cells(x, 0.).isnan().any() and hide_cells(x, 1.).isnan().all()


def test_hiding_repeats_by_seed_and_each_run_has_its_own():
    x = randn(2, 6, 3)
    both = hide_cells(x, .5, [gen(4), gen(5)])
    assert torch.equal(both[1].isnan(), hide_cells(x[1], .5, gen(5)).isnan())
    assert torch.equal(hide_cells(hide_cells(x, .5, gen()), .5, gen(1)).isnan(), hide_cells(x, .5, gen()).isnan() | hide_cells(x, .5, gen(1)).isnan())


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_what_was_known_stays_to_the_bit(n, d, seed):
    x, filled = randn(n, d, seed=seed), randn(n, d, seed=seed + 1)
    holed = hide_cells(x, .5, gen(seed))
    found, known = fill_holes(holed, filled), ~holed.isnan()
    assert torch.equal(found[known], x[known]) and torch.equal(found[~known], filled[~known])


def test_no_gradient_is_lost_or_spoilt_at_holes():
    filled = randn(5, 3).requires_grad_()
    holed = hide_cells(randn(5, 3, seed=1), .5, gen())
    fill_holes(holed, filled).sum().backward()
    assert torch.equal(filled.grad, holed.isnan().double())


def test_error_of_rows_is_that_of_a_loop():
    x, filled = randn(2, 7, 3), randn(2, 7, 3, seed=1)
    holed = hide_cells(x, .4, gen(2))
    for r in range(2):
        total = 0.
        for truth, guess, row in zip(x[r], filled[r], holed[r]):
            wrong = [(a - b).item() ** 2 for a, b, c in zip(truth, guess, row) if c.isnan()]
            total += math.sqrt(sum(wrong) / len(wrong)) if wrong else 0.
        assert row_rmse(holed, filled, x)[r].item() == pytest.approx(total / 7)


def test_rows_without_holes_count_as_zero():
    x = torch.ones(2, 2)
    holed = torch.tensor([[math.nan, 1.], [1., 1.]])
    assert row_rmse(holed, torch.zeros(2, 2), x).item() == .5


# losses

@pytest.mark.parametrize("lead", [(), (2,)])
def test_losses_are_those_of_a_loop_over_columns(lead):
    scores, shown = randn(*lead, 9, 4), mask(*lead, 9, 4)
    for o, m, d_loss, g_loss in zip(*(v.reshape(-1, *v.shape[len(lead):]) for v in (
            scores, shown, cell_discriminator_loss(scores, shown), cell_generator_loss(scores, shown)))):
        by_hand = [(sum(o[n, k].item() for n in range(9) if m[n, k]) / m[:, k].sum().item(),
                    sum(o[n, k].item() for n in range(9) if not m[n, k]) / (~m[:, k]).sum().item()) for k in range(4)]
        assert d_loss.item() == pytest.approx(sum(f - r for r, f in by_hand) / 4)
        assert g_loss.item() == pytest.approx(-sum(f for _, f in by_hand) / 4)


def test_a_column_that_is_all_shown_or_all_hidden_is_no_nan():
    shown = torch.tensor([[True, False, True], [True, False, False]])
    scores = randn(2, 3).requires_grad_()
    loss = cell_discriminator_loss(scores, shown) + cell_generator_loss(scores, shown)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(scores.grad).all()


def test_descending_moves_scores_the_right_way():
    shown = mask(8, 3)
    d, g = randn(8, 3).requires_grad_(), randn(8, 3).requires_grad_()
    cell_discriminator_loss(d, shown).backward()
    cell_generator_loss(g, shown).backward()
    assert (d.grad[shown] < 0).all() and (d.grad[~shown] > 0).all()
    assert (g.grad[~shown] < 0).all() and (g.grad[shown] == 0).all()


def test_reconstruction_by_hand_also_where_x_has_holes():
    x = torch.tensor([[1., math.nan], [2., 3.], [math.nan, math.nan]], dtype=torch.float64)
    filled = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    loss = cell_reconstruction_loss(filled, x, ~x.isnan())
    loss.backward()
    assert loss.item() == pytest.approx((1 + (4 + 9) / 2 + 0) / 3)
    assert torch.isfinite(filled.grad).all() and (filled.grad[x.isnan()] == 0).all()


@pytest.mark.parametrize("lead", [(), (2,)])
def test_penalty_is_the_jacobian_of_one_hidden_layer(lead):
    W1, b, W2, x, shown = randn(8, 3), randn(8, seed=1), randn(3, 8, seed=2), randn(*lead, 7, 3), mask(*lead, 7, 3)
    J = torch.einsum("kh,...h,hj->...kj", W2, (x @ W1.T + b > 0).double(), W1)
    expected = sum((J[..., k, :].square().sum(-1) * shown[..., k]).sum(-1) / shown[..., k].sum(-1) for k in range(3)) / 3
    found = cell_penalty(lambda x: (x @ W1.T + b).relu() @ W2.T, x, shown, exact=True)
    assert found.shape == lead and torch.allclose(found, expected)


def test_the_lot_is_right_on_average():
    net, x, shown = mlp(3, 3, 8, generator=gen()).double(), randn(6, 3), mask(6, 3)
    lots = torch.stack([cell_penalty(net, x, shown, generator=gen(s)) for s in range(800)]).detach()
    assert abs(lots.mean() - cell_penalty(net, x, shown, exact=True)) < 4 * lots.std() / 800 ** .5
    assert torch.equal(cell_penalty(net, x, shown, generator=gen(7)), cell_penalty(net, x, shown, generator=gen(7)))


def test_gradient_of_the_penalty_is_right():
    net, x, shown = mlp(3, 3, 6, generator=gen()).double(), randn(5, 3), mask(5, 3)

    def of(weight):
        return cell_penalty(lambda x: torch.func.functional_call(net, {"final.weight": weight}, (x,)), x, shown, exact=True)
    assert torch.autograd.gradcheck(of, net.final.weight.detach().requires_grad_())
    assert cell_penalty(lambda x: torch.ones_like(x), x, shown).item() == 0
    with torch.no_grad():
        assert torch.isclose(cell_penalty(net, x, shown, exact=True), of(net.final.weight).detach()) and of(net.final.weight) > 0


# bad input

@pytest.mark.parametrize("call, name", [
    (lambda: hide_cells(randn(4), .5), "x"), (lambda: hide_cells(randn(4, 2), 1.5), "rate"), (lambda: hide_cells(None, .5), "x"),
    (lambda: fill_holes(randn(4, 2), randn(4, 3)), "filled"), (lambda: fill_holes(randn(4, 2), randn(4, 2).float()), "filled"),
    (lambda: row_rmse(randn(4, 2), randn(4, 2), randn(3, 2)), "truth"),
    (lambda: cell_discriminator_loss(randn(4, 2), mask(4, 3)), "shown"), (lambda: cell_generator_loss(randn(4, 2), randn(4, 2)), "shown"),
    (lambda: cell_discriminator_loss(randn(4), mask(4)), "scores"), (lambda: cell_reconstruction_loss(randn(4, 2), randn(4, 3), mask(4, 2)), "x"),
    (lambda: cell_penalty(None, randn(4, 2), mask(4, 2)), "critic"),
    (lambda: cell_penalty(lambda x: x.sum(-1), randn(4, 2), mask(4, 2)), "critic"),
    (lambda: TableRows(torch.tensor([[1., math.nan], [2., math.nan]])), "x"), (lambda: TableRows(torch.tensor([[math.inf, 1.]])), "x"),
    (lambda: ImputerNetwork(nn.Linear(2, 1), ()), "event"), (lambda: CellDiscriminator(3), "net"),
    (lambda: Imputer(reconstruct="all"), "reconstruct"), (lambda: Imputer(rate=-.1), "rate"), (lambda: Imputer(reconstruction_weight=math.nan), "reconstruction_weight"),
    (lambda: impute_rows(None, randn(4, 2)), "run"),
    (lambda: Run(Imputer(D=lambda: nn.Linear(2, 1)), ring(), runs=1, batch=4, device="cpu").step(), "D"),
    (lambda: Run(Imputer(G=lambda: nn.Linear(4, 3)), ring(), runs=1, batch=4, device="cpu").step(), "G"),
    (lambda: Imputer(prior="cauchy"), "prior"), (lambda: cell_penalty(lambda x: x, randn(4, 2), mask(4, 3)), "shown"),
    (lambda: impute_rows(Run(Imputer(networks=Networks(width=4)), ring(), runs=2, device="cpu"), torch.zeros(4, 3)), "x")])
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises((TypeError, ValueError), match=rf"\b({name})\b"):
        call()


# the game

def test_imputer_sees_noise_in_holes_and_nothing_that_is_hidden():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x[..., :2]
    x, z = torch.tensor([[[1., math.nan]]]), torch.tensor([[[5., 6.]]])
    ImputerNetwork(Spy(), (2,))(z, x), ImputerNetwork(Spy(), (2,))(z)
    assert seen[0].tolist() == [[[1., 6., 1., 0.]]] and seen[1].tolist() == [[[5., 6., 0., 0.]]]


@pytest.mark.parametrize("rules, modes", [(dict(), ring), (dict(reconstruct="hidden", adversarial_weight=0.), ring), (dict(networks=Networks(width=16, latent=3)), digits)])
def test_it_plays_on_points_and_images_and_resumes_to_the_bit(rules, modes, tmp_path):
    def start():
        return Run(Imputer(**{"networks": Networks(width=16)} | rules), modes(), runs=2, batch=8, average=.9, device="cpu")
    straight, broken = start().step(4), start().step(2)
    again = Run.load(broken.save(tmp_path / "half.safetensors"), device="cpu").step(2)
    assert torch.equal(straight.sample(9), again.sample(9)) and straight.sample(9).shape == (2, 9, *modes().event)
    assert torch.isfinite(straight.losses["G"]).all()


@pytest.mark.parametrize("data", [digits, stacked_digits, faces])
@pytest.mark.parametrize("reconstruct", ["shown", "hidden"])
def test_plays_on_pictures_with_convolutions(data, reconstruct, tmp_path):
    def fresh(runs=2, seed=0):
        game = Imputer(reconstruct=reconstruct, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    run = fresh()
    before = {k: v.clone() for k, v in run.players.state().items()}
    run.step(1).save(tmp_path / "x")
    assert {k.split("/")[1] for k, v in run.players.state().items() if k in before and not torch.equal(v, before[k])} == {"G", "D"}
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), run := fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event) and all(v.isfinite().all() for v in run.losses.values())
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)
    x = data().sample(5, gen())
    holed = x.masked_fill(torch.rand(x.shape, generator=gen()) < .3, math.nan)
    done = impute_rows(run, holed)
    assert done.isfinite().all() and torch.equal(done[0][~holed.isnan()], holed[~holed.isnan()])


def test_rows_are_filled_in_the_units_of_the_data():
    x = ring(radius=200, std=2.).sample(200, gen())
    holed = x.clone()
    holed[:, 1] = math.nan
    run = Run(Imputer(networks=Networks(width=8)), ring(radius=200, std=2.), runs=2, batch=32, device="cpu").step(3)
    net, z = run.players.nets["G"], run.noise(200, run.generators("impute", 0))
    right = run.scale.restore(net(z, run.scale.standardise(holed).expand(2, -1, -1)))
    done = impute_rows(run, holed)
    assert run.scale.size > 100 and torch.equal(done[..., 1], right[..., 1]) and torch.equal(done[1, :, 0], x[:, 0])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_pixel_depends_on_a_window_around_it(depth):
    net = PixelNetwork(1, 1, 3, depth, 1, [gen()])
    x = torch.randn(1, 1, 1, 15, 15, generator=gen(1)).requires_grad_()
    slope, = torch.autograd.grad(net(x)[0, 0, 0, 7, 7], x)
    assert (slope[0, 0, 0].abs().sum(0) > 0).sum() == 2 * depth + 3


def test_convolutions_say_no_to_rows():
    with pytest.raises(ValueError, match=r"^kind: .*\(2,\), which is no picture"):
        Run(Imputer(networks=Networks("conv")), ring(), runs=1, batch=4, device="cpu")


def test_old_names_of_settings_are_read():
    game = make("game", {"name": "imputer", "ask": "hidden", "weight": 2., "adversary": .5, "price": .3, "width": 4})
    assert (game.reconstruct, game.reconstruction_weight, game.adversarial_weight, game.penalty_weight) == ("hidden", 2., .5, .3)


def test_each_seed_plays_alone():
    def start(runs):
        return Run(Imputer(networks=Networks(width=16)), ring(), runs=runs, batch=8, device="cpu").step(3).sample(9)
    assert torch.allclose(start(2)[:1], start(1), atol=1e-5)


def test_it_takes_plain_modules_and_opens_in_the_lab():
    rules = Imputer(G=lambda: nn.Linear(4, 2), D=lambda: nn.Linear(2, 2))
    assert Run(rules, ring(), runs=2, batch=8, device="cpu").step(2).sample(5).shape == (2, 5, 2)
    lab = Lab(Imputer(networks=Networks(width=8)), ring(), batch=8, samples=20).step(2).set("adversarial_weight", 0.).step(1)
    assert lab.sides["A"].game.adversarial_weight == 0 and lab.sides["A"].steps == 3


def test_filling_asks_a_resting_network_and_leaves_it_as_it_was():
    rules = Imputer(G=lambda: nn.Sequential(nn.Linear(4, 2), nn.Dropout(.9)))
    run = Run(rules, ring(), runs=1, batch=8, device="cpu").step(2)
    x = torch.full((50, 2), math.nan)
    assert (impute_rows(run, x) != 0).all() and run.players.nets["G"].training


def test_a_table_with_holes_is_learned_from_and_filled():
    table = hide_cells(torch.rand(30, 4, generator=gen()), .3, gen(1))
    run = Run(Imputer(rate=.2, reconstruct="hidden", networks=Networks(width=8)), TableRows(table), runs=2, batch=8, device="cpu").step(3)
    done, known = impute_rows(run, table), ~table.isnan()
    assert done.shape == (2, 30, 4) and torch.isfinite(done).all() and torch.equal(done[1][known], table[known])
    assert torch.equal(impute_rows(run, table), done) and not torch.equal(impute_rows(run, table, 1), done)
    rows = TableRows(table).sample(200, gen())
    assert all(any(torch.equal(row.nan_to_num(9), other.nan_to_num(9)) for other in table) for row in rows)


# the claims, small

@pytest.fixture(scope="module")
def circle():
    return mixture(ring(16, radius=2).centers, .12)


def test_reconstruction_collapses_and_judged_cells_do_not(circle):
    x = circle.sample(1000, gen(3))
    holed = x.masked_fill(nn.functional.one_hot(torch.arange(1000) % 2, 2).bool(), math.nan)
    found = {}
    for name, rules, n in (("mean", dict(adversarial_weight=0., reconstruct="hidden"), 200), ("judged", dict(rate=.2), 500)):
        run = Run(Imputer(**rules), circle, runs=2, batch=64, average=.98, device="cpu").step(n)
        filled = impute_rows(run, holed)
        found[name] = row_rmse(holed.expand(2, -1, -1), filled, x.expand(2, -1, -1)), [c.high_quality for c in coverages(filled, circle)]
    assert found["mean"][0].max() < found["judged"][0].min(), "the error prefers the collapse"
    assert max(found["mean"][1]) < .45 and min(found["judged"][1]) > .55


def test_who_is_asked_for_what_it_sees_copies():
    table = torch.randn(400, 1, generator=gen()) + .1 * torch.randn(400, 6, generator=gen(1))
    holed = hide_cells(table, .2, gen(2))
    errors = {}
    for ask, rate in (("shown", 0.), ("hidden", .2)):
        run = Run(Imputer(adversarial_weight=0., reconstruct=ask, rate=rate, networks=Networks(depth=1)), TableRows(holed), runs=2, batch=64, device="cpu").step(300)
        errors[ask] = row_rmse(holed.expand(2, -1, -1), impute_rows(run, holed), table.expand(2, -1, -1))
    assert errors["hidden"].max() < .5 * errors["shown"].min()
