"""Chapters 5.9 and 6.24: losses of cells against loops and Jacobians, the imputer game, HexaGAN's six losses, mixed tables, and the estimator."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixed_tables import as_table, encode_columns, fit_columns, refill
from modelab.data.mixtures import mixture, ring
from modelab.data.pictures import faces
from modelab.data.table_rows import TableRows
from modelab.evaluation.coverage import coverages
from modelab.lab.panel import Lab
from modelab.methods.cell_game import CellDiscriminator, impute_rows, ImputerNetwork
from modelab.methods.tabular import (cell_discriminator_loss, cell_generator_loss, cell_penalty,
                                     cell_reconstruction_loss, fill_holes, hide_cells, Imputer,
                                     row_rmse)
from modelab.methods.tabular_estimator import HexaGAN, split_labels
from modelab.methods.tabular_networks import (balancing_labels, HexaBatch, HexaSettings,
                                              HexaTraining, OneHiddenLayer, straight_through)
from modelab.networks.cells import PixelNetwork
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


# the six networks

def one_hot(*labels, classes=3):
    return nn.functional.one_hot(torch.tensor(labels), classes).double()


@pytest.mark.parametrize("lead", [(), (2,)])
def test_squared_slopes_are_those_of_autograd(lead):
    net = OneHiddenLayer(5, 4, 6, *lead, generator=[gen(i) for i in range(2)] if lead else gen(), last=torch.sigmoid).double()
    x, y = randn(*lead, 7, 3), randn(*lead, 7, 2, seed=1)
    found = net.squared_slopes(x, y, outputs=2, of=3)
    x = x.requires_grad_()
    score = net.final(net.hidden(torch.cat([x, y], -1)).relu())
    by_hand = [torch.autograd.grad(score[..., k].sum(), x, retain_graph=True)[0].square().sum(-1) for k in range(2)]
    assert found.shape == (*lead, 7, 2) and torch.allclose(found, torch.stack(by_hand, -1))


def test_gradient_of_squared_slopes_is_right():
    net, x = OneHiddenLayer(3, 3, 5, generator=gen()).double(), randn(4, 3)

    def of(W1, W2):
        weights = {"hidden.weight": W1, "final.weight": W2}
        for name, value in weights.items():
            part, _ = name.split(".")
            del getattr(net, part)._parameters["weight"]
            setattr(getattr(net, part), "weight", value)
            getattr(net, part)._parameters["weight"] = value
        return net.squared_slopes(x, outputs=3, of=3).sum()
    assert torch.autograd.gradcheck(of, (net.hidden.weight.detach().requires_grad_(), net.final.weight.detach().requires_grad_()))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 9))
def test_generated_rows_bring_all_classes_to_one_number(labels, shift):
    both = torch.stack([one_hot(*labels, classes=4), one_hot(*[(c * shift) % 4 for c in labels], classes=4)])
    made, weights, place = balancing_labels(both)
    counts = both.sum(1) + (made * weights[..., None]).sum(1)
    assert (counts == both.sum(1).amax(1, keepdim=True)).all() and (not len(place) or place.max() < len(labels))
    alone, own, _ = balancing_labels(both[0])
    assert torch.equal((alone * own[:, None]).sum(0), (made * weights[..., None])[0].sum(0))


def test_a_predicted_label_is_one_hot_and_has_the_gradient_of_probabilities():
    logits = randn(5, 3).requires_grad_()
    label, w = straight_through(logits), randn(5, 3, seed=1)
    assert torch.allclose(label, one_hot(*logits.argmax(-1).tolist()))
    found, = torch.autograd.grad((label * w).sum(), logits)
    right, = torch.autograd.grad((logits.softmax(-1) * w).sum(), logits)
    assert torch.allclose(found, right)


def training(runs=2, n=40, d=3, seed=0, start=0, unlabelled=.3, **settings):
    """A small training in float32 on random tables, one per run, each of which depends on its own seed alone."""
    tables = [hide_cells(torch.rand(n, d, generator=gen(100 + start + r)), .3, gen(200 + start + r)) for r in range(runs)]
    labels = [torch.where(torch.rand(n, generator=gen(300 + start + r)) < unlabelled, -1, torch.arange(n) % 2) for r in range(runs)]
    settings = {"batch": 8, "width": 5, "hide": 0.} | settings
    return HexaTraining(torch.stack(tables), torch.stack(labels), 2, HexaSettings(**settings), [gen(start + r) for r in range(runs)])


def by_columns(scores, known, filled_alone=False):
    """The element-wise losses by loops, for one run."""
    total = 0.
    for k in range(scores.shape[1]):
        filled = [scores[n, k] for n in range(len(scores)) if not known[n, k]]
        shown = [scores[n, k] for n in range(len(scores)) if known[n, k]]
        low, high = (sum(v) / len(v) if v else 0. for v in (filled, shown))
        total += -low if filled_alone else low - high
    return total / scores.shape[1]


def test_the_losses_are_the_equations():
    """Written again by loops, run by run, with the weights of the settings."""
    own = training(adversarial_weight=1.5, reconstruction_weight=7., penalty_weight=3., cell_weight=.7, label_weight=.2,
                   unlabelled_weight=.4, l2=.05, balance=False)
    own.nets, b = own.nets.double(), own.draw()
    b = HexaBatch(*(v.double() for v in (b.full, b.x, b.labels, b.z, b.z_g)))
    nets, n, known = own.nets, 8, b.known()
    values, rows, h = nets.complete(b.x, b.z)
    labels = torch.cat([b.labels, one_hot(*nets.C(rows[:, n:]).argmax(-1)[0].tolist(), classes=2).new_tensor(
        nn.functional.one_hot(nets.C(rows[:, n:]).argmax(-1), 2).tolist())], 1)
    h_g = nets.G_CG(b.labels, b.z_g)
    made = nets.G_MI(h_g)
    scores = nets.D_MI(torch.cat([rows, made], 1), torch.cat([labels, b.labels], 1))
    found = {"imputer": own.loss_imputer(b), "D_MI": own.loss_D_MI(b), "C": own.loss_C(b), "D_CG": own.loss_D_CG(b, h[:, :n]),
             "G_CG": own.loss_G_CG(b, nets.D_MI(rows, labels))}
    for r in range(2):
        G, D = by_columns(scores[r], known[r], True), by_columns(scores[r], known[r])
        wrong = torch.where(b.shown[r], values[r] - b.x[r].nan_to_num(), 0).square().sum(1) / b.shown[r].sum(1).clamp_min(1)
        slopes = nets.D_MI.squared_slopes(rows, labels, outputs=3, of=3)[r]
        steep = sum(slopes[b.shown[r, :, k], k].mean() for k in range(3)) / 3
        named = nn.functional.cross_entropy(nets.C(made)[r], b.labels[r])
        sizes = sum(w[r].square().sum() for w in nets.C.parameters()) / 2
        right = {"imputer": 1.5 * G + 7 * wrong.mean(), "D_MI": D + 3 * steep,
                 "C": nn.functional.cross_entropy(nets.C(rows[:, :n])[r], b.labels[r]) + .05 * sizes + .4 * G,
                 "D_CG": nets.D_CG(h_g, b.labels)[r].mean() - nets.D_CG(h[:, :n], b.labels)[r].mean()
                 + 3 * nets.D_CG.squared_slopes(h[:, :n], b.labels, outputs=1, of=5)[r].mean(),
                 "G_CG": -nets.D_CG(h_g, b.labels)[r].mean() + .7 * G + .2 * named}
        for name, value in right.items():
            assert torch.isclose(found[name][r], value), name


def test_each_loss_moves_its_own_networks():
    own = training()
    moved = {"E G_MI": lambda b, h: own.loss_imputer(b), "D_MI": lambda b, h: own.loss_D_MI(b), "C": lambda b, h: own.loss_C(b),
             "D_CG": lambda b, h: own.loss_D_CG(b, h), "G_CG": lambda b, h: own.loss_G_CG(b, torch.zeros(2, own.draw().x.shape[1], 5))}
    for names, loss in moved.items():
        b = own.draw()
        h = own.nets.complete(b.x, b.z)[2][:, :8].detach()
        before = {k: v.clone() for k, v in own.nets.state_dict().items()}
        own._descend(names, loss(b, h), .01)
        changed = {k.split(".")[0] for k, v in own.nets.state_dict().items() if not torch.equal(v, before[k])}
        assert changed == set(names.split())


def test_the_label_term_reaches_the_classifier():
    """With rounded labels, as in the authors' code, its gradient would be zero."""
    own = training(unlabelled_weight=1., l2=0.)
    b = own.draw()
    own.settings.unlabelled_weight = 0.
    g = own.generator[0].get_state(), own.generator[1].get_state()
    without = own.loss_C(b)
    own.settings.unlabelled_weight = 1.
    for generator, state in zip(own.generator, g):
        generator.set_state(state)
    slopes = torch.autograd.grad((own.loss_C(b) - without).sum(), list(own.nets.C.parameters()))
    assert all(s.abs().sum() > 0 for s in slopes)


def test_a_batch_has_labelled_rows_first_and_hides_more_where_asked():
    own = training(hide=.4)
    b = own.draw()
    assert b.labels.sum(-1).eq(1).all() and own.extra == round(8 * max(map(len, own.unlabelled)) / min(map(len, own.labelled)))
    assert (b.shown & b.full.isnan()).sum() == 0 and (b.x.isnan() & ~b.full.isnan()).any()
    for r in range(2):
        table = {(*row.nan_to_num(9).tolist(), y.item()) for row, y in zip(own.x[r], own.y[r])}
        labels = [*b.labels[r].argmax(-1).tolist(), *[-1] * own.extra]
        assert all((*row.nan_to_num(9).tolist(), y) in table for row, y in zip(b.full[r], labels, strict=True))


@pytest.mark.parametrize("settings", [dict(), dict(hide=.3, balance=False), dict(unlabelled=0.), dict(rounds=3, critic_steps=2)])
def test_each_table_trains_alone_and_repeats(settings):
    both, again, alone = training(**settings).step(4), training(**settings).step(4), training(runs=1, start=1, **settings).step(4)
    assert all(torch.equal(a, b) for a, b in zip(both.nets.state_dict().values(), again.nets.state_dict().values()))
    x = torch.rand(6, 3, generator=gen(5))
    x = torch.where(torch.rand(6, 3, generator=gen(6)) < .3, math.nan, x)
    rows, chance = both.apply(x.expand(2, -1, -1))
    own, own_chance = alone.apply(x[None])
    if settings.get("unlabelled") == 0 or both.extra == alone.extra:
        assert torch.allclose(rows[1:], own, atol=1e-5) and torch.allclose(chance[1:], own_chance, atol=1e-5)
    assert torch.allclose(chance.sum(-1), torch.ones(2, 6)) and torch.equal(rows[0][~x.isnan()], x[~x.isnan()])


def test_critics_alone_train_on_their_penalties_first():
    own = training(critic_steps=3)
    before = {k: v.clone() for k, v in own.nets.state_dict().items()}
    own.step(3)
    assert {k.split(".")[0] for k, v in own.nets.state_dict().items() if not torch.equal(v, before[k])} == {"D_CG", "D_MI"}
    own.step()
    assert {k.split(".")[0] for k, v in own.nets.state_dict().items() if not torch.equal(v, before[k])} == set(dict(own.nets.named_children()))


def test_a_training_that_breaks_says_which_network():
    with pytest.raises(FloatingPointError, match="E.*after step 1; try a smaller lr"):
        own = training()
        own.x = own.x.nan_to_num(math.inf)
        own.step()


# tables of mixed columns

@pytest.fixture
def people():
    return pd.DataFrame({"age": [31, None, 40, 28, 55, 61] * 5, "job": ["clerk", "nurse", None, "nurse", "pilot", "clerk"] * 5,
                         "pay": [2.5, 3.25, None, 2., 4., 4.5] * 5, "member": pd.array([True, None, False, True, False, False] * 5, dtype="boolean"),
                         "sons": pd.array([1, 2, None, 0, 1, 3] * 5, dtype="Int64"), "grade": pd.Categorical(["b", "a", None, "b", "a", "a"] * 5)})


def test_a_table_comes_back_as_it_went_in(people):
    columns = fit_columns(people)
    encoded = encode_columns(columns, people)
    assert encoded.dtype == np.float32 and np.nanmin(encoded) == 0 and np.nanmax(encoded) == 1
    assert [c.width for c in columns] == [1, 3, 1, 2, 1, 2] and np.isnan(encoded[2, 1:4]).all()
    done = refill(columns, people, np.nan_to_num(encoded, nan=.37))
    assert (done.dtypes == people.dtypes).all() and not done.isna().any().any()
    for name in people:
        known = people[name].notna()
        assert done[name][known].equals(people[name][known])
    assert done["age"].iloc[1] == round(28 + .37 * 33) and done["pay"].iloc[2] == pytest.approx(2 + .37 * 2.5)
    full = people.dropna()
    parts = np.split(encode_columns(columns, full), [1, 4, 5, 7, 8], 1)
    made = as_table({c.name: c.decode(v) for c, v in zip(columns, parts)}, people)
    pd.testing.assert_frame_equal(made, full.reset_index(drop=True), rtol=1e-6)


@pytest.mark.parametrize("cells, error, words", [
    ([None, None], ValueError, "known value.*column 0"), ([1, "a"], TypeError, "column 0: expected numbers or texts, got both"),
    ([1, {}], TypeError, "column 0.*a number, got dict"), ([1., math.inf], ValueError, "column 0.*infinity"),
    ([str(i) for i in range(101)], ValueError, "column 0: expected at most 100 different texts, got 101")])
def test_columns_without_a_clear_meaning_are_refused(cells, error, words):
    with pytest.raises(error, match=words):
        fit_columns(np.array(cells, dtype=object)[:, None])


def test_two_columns_of_one_name_are_refused(people):
    with pytest.raises(ValueError, match="X: expected a name of its own for each column, got 'job' twice"):
        fit_columns(people.rename(columns={"age": "job"}))


def test_a_text_that_is_new_is_refused(people):
    columns = fit_columns(people)
    people.loc[0, "job"] = "king"
    with pytest.raises(ValueError, match="job: fit has not seen 'king'"):
        encode_columns(columns, people)


# the estimator

@pytest.mark.parametrize("y, classes, codes", [
    ([0, 1, -1, 1], [0, 1], [0, 1, -1, 1]), ([0., math.nan, 2.], [0, 2], [0, -1, 1]), (["b", None, "a"], ["a", "b"], [1, -1, 0]),
    (pd.Series(["x", pd.NA, "y"]), ["x", "y"], [0, -1, 1]), (pd.Series([1, pd.NA, 0], dtype="Int64"), [0, 1], [1, -1, 0]),
    ([True, False], [False, True], [1, 0]), (np.array(["a", "b", -1], dtype=object), ["a", "b"], [0, 1, -1])])
def test_labels_that_are_missing(y, classes, codes):
    found, numbers = split_labels(y)
    assert found.tolist() == classes and numbers.tolist() == codes


@pytest.mark.parametrize("call, words", [
    (lambda: HexaGAN(steps=0).fit([[1.], [2.]], [0, 1]), "^steps"), (lambda: HexaGAN(hide=2.).fit([[1.], [2.]], [0, 1]), "^hide"),
    (lambda: HexaGAN(runs=0).fit([[1.], [2.]], [0, 1]), "^runs"), (lambda: HexaGAN().fit([[1.], [2.]], [-1, 1]), "^y: expected at least two classes"),
    (lambda: HexaGAN().fit([[1.], [2.]], [0.5, 1.2]), "Unknown label type"), (lambda: HexaGAN().fit([[1.], [2.]], [0, 1, 0]), "inconsistent"),
    (lambda: HexaGAN().fit([[math.inf], [2.]], [0, 1]), "infinity"), (lambda: HexaGAN().fit([[math.nan], [math.nan]], [0, 1]), "known value")])
def test_bad_arguments_of_the_estimator(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_scikit_learns_own_checks():
    """-1 marks a row without a label, so the labels -1 and 1 of one check are one class."""
    known = {"check_classifiers_classes": "-1 marks rows without label"}
    quick = HexaGAN(steps=30, lr=.02, lr_classifier=.05, draws=1, random_state=0)
    found = check_estimator(quick, expected_failed_checks=known, on_skip=None, on_fail=None)
    assert not [r["check_name"] for r in found if r["status"] == "failed"]
    assert [r["check_name"] for r in found if r["status"] == "xfail"] == [*known]


@pytest.fixture(scope="module")
def fitted():
    g = np.random.default_rng(0)
    kind = g.integers(0, 2, 120)
    X = pd.DataFrame({"size": kind * 2 + g.normal(0, .3, 120), "colour": np.where(g.random(120) < .9, kind, 1 - kind), "count": kind * 5 + g.integers(0, 3, 120)})
    X["colour"] = X["colour"].map({0: "red", 1: "blue"})
    holes = X.mask(g.random(X.shape) < .15)
    y = np.where(g.random(120) < .3, None, np.where(kind == 1, "large", "small"))
    return X, holes, y, np.where(kind == 1, "large", "small"), HexaGAN(steps=250, runs=2, random_state=3).fit(holes, y)


def test_a_frame_is_filled_and_classified(fitted):
    X, holes, y, right, model = fitted
    done = model.transform(holes)
    assert (done.dtypes == holes.dtypes).all() and done.index.equals(holes.index) and not done.isna().any().any()
    assert done.where(holes.notna()).equals(holes) and (done["colour"] == X["colour"]).mean() > .9
    assert model.score(holes, right) > .9 and model.classes_.tolist() == ["large", "small"]
    assert np.allclose(model.predict_proba(holes).sum(1), 1)


def test_a_row_does_not_depend_on_the_rows_beside_it(fitted):
    _, holes, _, _, model = fitted
    some = holes.iloc[[7, 3]]
    assert np.allclose(model.predict_proba(some), model.predict_proba(holes)[[7, 3]], atol=1e-6)
    assert np.allclose(model.transform(some)["size"], model.transform(holes)["size"].iloc[[7, 3]], atol=1e-5)


def test_new_rows_are_of_the_class_that_was_asked_for(fitted):
    X, holes, _, _, model = fitted
    rows, kinds = model.sample(40, ["large", "small"] * 20)
    assert (rows.dtypes == holes.dtypes).all() and kinds.tolist() == ["large", "small"] * 20
    assert rows["size"][::2].mean() > rows["size"][1::2].mean() + .5
    assert model.sample(9)[0].equals(model.sample(9)[0]) and len(model.sample(9, random_state=1)[1]) == 9
    with pytest.raises(ValueError, match="^y: expected 2 of the classes"):
        model.sample(2, ["large", "huge"])


def test_new_rows_are_those_of_the_first_run(fitted):
    X, _, _, _, model = fitted
    nets, d = model.training_.nets, model.training_.x.shape[2]
    labels = nn.functional.one_hot(torch.tensor([0, 1] * 6), 2).float().expand(2, -1, -1)
    z = torch.from_numpy(np.random.RandomState(4).uniform(size=(12, d))).float().expand(2, -1, -1)
    first, second = nets.generate(labels, z).detach().double().numpy()
    rows, _ = model.sample(12, ["large", "small"] * 6, random_state=4)
    size = model.columns_[0]
    assert np.allclose(rows["size"], size.decode(first[:, :1]), atol=1e-5) and not np.allclose(first, second, atol=1e-3)


def test_a_fit_repeats_and_takes_part_in_pipelines_and_searches(fitted):
    _, holes, _, right, model = fitted
    fresh = clone(model).fit(holes, fitted[2])
    assert np.array_equal(fresh.predict_proba(holes), model.predict_proba(holes))
    numbers = holes[["size", "count"]]
    piped = make_pipeline(HexaGAN(steps=20, random_state=0), LogisticRegression()).fit(numbers, right)
    assert piped.score(numbers, right) > .9
    search = GridSearchCV(HexaGAN(steps=5, random_state=0), {"width": [4, 8]}, cv=2, error_score="raise").fit(numbers, right)
    assert search.best_params_["width"] in (4, 8)
    assert isinstance(HexaGAN(steps=5).set_output(transform="pandas").fit(numbers, right).transform(numbers), pd.DataFrame)
