"""modelab.methods.minimax: losses against their formulas, the gradients they send, and defects of popular versions."""

import pytest
import torch
import torch.nn.functional as F
from helpers import same_run

from modelab.core.registry import GAMES, load_all, make
from modelab.data.digits import digits
from modelab.data.mixtures import ring
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.methods.minimax import Minimax
from modelab.networks.convolutional import ConvDiscriminator, ConvGenerator
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

load_all()
REFUSE = ("currents", "entropic", "fewlabels", "flowmatching", "imputer", "mmiali")  # which say themselves that they take no convolutions
WITH_NETS = sorted(name for name, game in GAMES.items() if game.__module__.startswith("modelab.") and issubclass(game, Game)
                   and name not in REFUSE)


def logits(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_losses_are_their_formulas():
    real, fake = logits(3, 7), logits(3, 7).flip(1)
    assert torch.allclose(discriminator_loss(real, fake), -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean(1), atol=1e-15)
    assert torch.allclose(generator_loss(fake), -F.logsigmoid(fake).mean(1), atol=1e-15)
    assert torch.allclose(generator_loss(fake, saturating=True), F.logsigmoid(-fake).mean(1), atol=1e-15)


def test_runs_are_slices():
    real, fake = logits(4, 6), logits(4, 6) * 2
    for loss in (lambda a, b: discriminator_loss(a, b), lambda a, b: generator_loss(b), lambda a, b: generator_loss(b, True)):
        assert torch.equal(loss(real, fake)[2], loss(real[2], fake[2]))
        assert loss(real[2], fake[2]).shape == ()


def test_different_batch_sizes_are_fine():
    assert torch.isfinite(discriminator_loss(logits(3), logits(9)))


def test_extreme_logits_stay_finite():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    total = discriminator_loss(far, far) + generator_loss(far) + generator_loss(far, True)
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(far.grad).all()


def test_saturating_is_not_the_other_one():
    """A known library's "minimax" loss is cross-entropy with real labels, that is, the non-saturating one."""
    fake = torch.full((1,), -10., dtype=torch.float64, requires_grad=True)
    push = [torch.autograd.grad(generator_loss(fake, s), fake)[0].item() for s in (True, False)]
    assert push[0] == pytest.approx(-torch.sigmoid(fake).item()) and push[1] == pytest.approx(torch.sigmoid(fake).item() - 1)


def test_a_turn_moves_one_player_only():
    run = Run(Minimax(networks=Networks(width=8)), ring(), runs=2, batch=4, device="cpu").step(1)
    before = {k: v.clone() for k, v in run.players.state().items() if k.startswith("player")}
    run.players.ready("D")
    assert all(w.requires_grad for w in run.players.nets["D"].parameters())
    assert not any(w.requires_grad for w in run.players.nets["G"].parameters())
    loss = run.game.loss_D(type("T", (), {"x": torch.randn(2, 4, 2), "z": torch.randn(2, 4, 2), **run.players.nets}))
    run.players.move("D", loss)
    after = run.players.state()
    moved = {k.split("/")[1] for k, v in before.items() if not torch.equal(v, after[k])}
    assert moved == {"D"}


def test_generator_turn_descends_its_loss():
    run = Run(Minimax(networks=Networks(width=16), optimiser=Optimiser(1e-3)), ring(radius=2, std=.02), runs=4, batch=256, device="cpu").step(20)
    z = torch.randn(4, 512, 2, generator=torch.Generator().manual_seed(0))
    nets = run.players.nets
    before = generator_loss(nets["D"](nets["G"](z))).detach()
    for _ in range(5):
        run.players.ready("G")
        run.players.move("G", generator_loss(nets["D"](nets["G"](z))))
    assert (generator_loss(nets["D"](nets["G"](z))) < before).all()


def test_who_takes_convolutions():
    assert {"minimax", "wasserstein", "clippedwasserstein", "zerocentred", "imle", "imlegan", "nonparametricprior"} <= set(WITH_NETS)


@pytest.mark.parametrize("name", WITH_NETS)
def test_convolutions_are_asked_for_by_name_and_come_back_from_a_checkpoint(name, tmp_path):
    game = {"name": name, "nets": "conv", "width": 2}
    run = Run(make("game", game), digits(), runs=2, batch=4, device="cpu").step(2)
    pictured = "E" if name == "encoder" else "GD"  # the players that see or make pictures: Encoder's D judges codes
    assert {type(net) for player, net in run.players.nets.items() if player in pictured} <= {ConvGenerator, ConvDiscriminator}
    again = Run.load(run.save(tmp_path / "run"), device="cpu")
    assert again.game.networks.kind == "conv" and same_run(again.step(1), run.step(1))
    with pytest.raises(ValueError, match="event.*image|modes.*pictures"):
        Run(make("game", game), ring(), runs=2, batch=4, device="cpu")
    for wrong in ("cnn", 3):
        with pytest.raises((TypeError, ValueError), match="^kind: "):
            Run(make("game", game | {"nets": wrong}), digits(), runs=2, batch=4, device="cpu")
    plain = Run(make("game", game | {"kind": None}), digits(), runs=2, batch=4, device="cpu")  # left open: the game's own
    assert plain.game.networks.kind == type(plain.game).default_networks.kind
