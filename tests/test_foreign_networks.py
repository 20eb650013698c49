"""Networks as other people write them, in every loss and penalty, against plain autograd: a table of networks × functions."""

import copy
import dataclasses
import functools
import os
import pathlib
import socket
import subprocess
import sys
import types
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from fuzzing import data_for
from helpers import normal, same_run, seeded, uniform
from torch import nn
from torch.nn.attention import sdpa_kernel, SDPBackend
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from modelab.core.registry import make, registered, with_settings
from modelab.data.digits import digits
from modelab.data.mixtures import ring
from modelab.evaluation.coverage import coverage
from modelab.evaluation.copying import authenticity
from modelab.evaluation.missing import missing
from modelab.evaluation.precision_recall import density_coverage, frechet_distance, pr_curve, precision_recall
from modelab.lab.session import LabSession
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.losses.penalties import gradient_penalty, r1, r2
from modelab.methods.bigan import BiGAN
from modelab.methods.ground_metric import edge_gradients, wasserstein_gradient_penalty
from modelab.methods.imle import match_latents
from modelab.methods.lipschitz import max_gradient_penalty, OBJECTIVES
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import pairwise_gradient_penalty, pairwise_latent_penalty
from modelab.methods.wasserstein import critic_loss, Wasserstein, wasserstein_generator_loss, ZeroCentred
from modelab.networks import wrappers
from modelab.networks.adapters import as_critic, lacks_argument, refuse_inputs
from modelab.networks.layers import mlp, with_labels
from modelab.networks.players import Networks
from modelab.networks.wrappers import require_labels
from modelab.training.run import Run

SMALLEST = dict(width=8, latent=2)
N, LABELS = 6, torch.arange(6) % 3
REAL, FAKE = (uniform(N, 1, 8, 8, seed=s) * 2 - 1 for s in (1, 2))


# Networks. Each line: a module, how it is made a critic, and the scores as anybody would compute them by hand.

def body(wrap=lambda m: m, between=None, last=4):
    """A small D for 8×8 pictures, the same for the same arguments, in float64."""
    torch.manual_seed(3)
    layers = [wrap(nn.Conv2d(1, 4, 4, 2, 1)), between, nn.LeakyReLU(.2), wrap(nn.Conv2d(4, 1, last))]
    return nn.Sequential(*filter(None, layers)).double()


@dataclasses.dataclass
class Output:
    logits: torch.Tensor


class Answering(nn.Module):
    """A network whose answer is `form` of the scores."""

    def __init__(self, form):
        super().__init__()
        self.net, self.form = body(), form

    def forward(self, x):
        return self.form(self.net(x))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.net, self.reentrant = body(), reentrant

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=self.reentrant)


class Labelled(nn.Module):
    """D(x, y) by projection."""

    def __init__(self):
        super().__init__()
        self.net, self.label = body(), nn.Embedding(3, 64).double()
        nn.init.normal_(self.label.weight, generator=seeded(4))

    def forward(self, x, y):
        return self.net(x).flatten() + (self.label(y) * x.flatten(1)).mean(1)


class Deviation(nn.Module):
    """Minibatch deviation, in short."""

    def forward(self, x):
        return x + x.std(0).mean()


def compiled(net):
    return torch.compile(net, backend="aot_eager")


def same(D):
    return D


def plain(D, x):
    return D(x).reshape(len(x))


NETWORKS = {
    "(N,)": (lambda: nn.Sequential(body(), nn.Flatten(0)), same, plain),
    "(N, 1)": (lambda: nn.Sequential(body(), nn.Flatten(1)), same, plain),
    "(N, 1, 1, 1)": (body, same, plain),
    "map of patches": (lambda: body(last=2), lambda D: as_critic(D, patches="mean"), lambda D, x: D(x).flatten(1).mean(1)),
    "tuple": (lambda: Answering(lambda s: (s, s * 2)), lambda D: as_critic(D, output=0), lambda D, x: D(x)[0].flatten()),
    "list, the last": (lambda: Answering(lambda s: [s * 2, s]), lambda D: as_critic(D, output=-1), lambda D, x: D(x)[-1].flatten()),
    "dict": (lambda: Answering(lambda s: {"score": s}), lambda D: as_critic(D, output="score"),
             lambda D, x: D(x)["score"].flatten()),
    "object with .logits": (lambda: Answering(Output), lambda D: as_critic(D, output="logits"),
                            lambda D, x: D(x).logits.flatten()),
    "D(x, y)": (Labelled, lambda D: as_critic(D, LABELS), lambda D, x: D(x, LABELS)),
    "a function": (body, lambda D: lambda x: D(x), plain),
    "a method": (body, lambda D: D.forward, plain),
    "torch.compile": (lambda: compiled(body()), same, lambda D, x: plain(D._orig_mod, x)),
    "a compiled part": (lambda: nn.Sequential(compiled(body()), nn.Flatten(0)), same, lambda D, x: plain(D[0]._orig_mod, x)),
    "Module.compile": (lambda: in_place(body()), same, lambda D, x: D._call_impl(x).flatten()),
    "a function of a compiled D": (lambda: compiled(body()), lambda D: lambda x: D(x), lambda D, x: plain(D._orig_mod, x)),
    "DataParallel": (lambda: nn.DataParallel(body()), same, lambda D, x: plain(D.module, x)),
    "DistributedDataParallel": (lambda: nn.parallel.DistributedDataParallel(body()), same, lambda D, x: plain(D.module, x)),
    "spectral norm": (lambda: body(parametrizations.spectral_norm), same, plain),
    "spectral norm, old": (lambda: body(nn.utils.spectral_norm), same, plain),
    "weight norm": (lambda: body(parametrizations.weight_norm), same, plain),
    "checkpointed": (lambda: Checkpointed(False), same, lambda D, x: plain(D.net, x)),
    "BatchNorm in eval mode": (lambda: body(between=nn.BatchNorm2d(4)).eval(), same, plain),
    "InstanceNorm": (lambda: body(between=nn.InstanceNorm2d(4, affine=True)), same, plain),
    "GroupNorm": (lambda: body(between=nn.GroupNorm(2, 4)), same, plain),
    "LayerNorm": (lambda: body(between=nn.LayerNorm([4, 4, 4])), same, plain),
    "in-place ReLU": (lambda: body(between=nn.ReLU(inplace=True)), same, plain),
    "BatchNorm, coupled=True": (lambda: body(between=nn.BatchNorm2d(4)), lambda D: as_critic(D, coupled=True), plain),
    "minibatch deviation, coupled=True": (lambda: body(between=Deviation()), lambda D: as_critic(D, coupled=True), plain),
    "channels_last": (lambda: body().to(memory_format=torch.channels_last), same, plain),
}


def in_place(net):
    net.compile(backend="aot_eager")
    return net


# Functions. Each line: ours of a critic, and the formula in plain autograd of a function of scores.

def slope(f, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x, create_graph=True)[0]


def middle():
    t = torch.rand(N, generator=seeded(5), dtype=torch.float64).reshape(N, 1, 1, 1)
    return FAKE + t * (REAL - FAKE)


def norms(f):
    return slope(f, middle()).flatten(1).norm(dim=1)


def transported(f):
    x = middle()
    edges = edge_gradients(slope(f, x), x, x[:, 0, 0, 0], gamma=1.)
    return (edges.flatten(1).norm(dim=1) - 1).square().mean()


def direction():
    gap = REAL - FAKE
    return gap / gap.flatten(1).norm(dim=1).reshape(N, 1, 1, 1)


CODES = normal(N, 3, seed=6)
PENALTIES = {
    "gradient_penalty": (lambda D: gradient_penalty(D, REAL, FAKE, generator=seeded(5)), lambda f: (norms(f) - 1).square().mean()),
    "gradient_penalty, one-sided": (lambda D: gradient_penalty(D, REAL, FAKE, target=.05, one_sided=True, generator=seeded(5)),
                                    lambda f: (norms(f) - .05).clamp_min(0).square().mean()),
    "r1": (lambda D: r1(D, REAL), lambda f: slope(f, REAL).flatten(1).square().sum(1).mean() / 2),
    "r2": (lambda D: r2(D, FAKE), lambda f: slope(f, FAKE).flatten(1).square().sum(1).mean() / 2),
    "max_gradient_penalty": (lambda D: max_gradient_penalty(D, REAL, FAKE, generator=seeded(5)),
                             lambda f: norms(f).square().max()),
    "wasserstein_gradient_penalty": (lambda D: wasserstein_gradient_penalty(D, REAL, FAKE, generator=seeded(5)), transported),
    "pairwise_gradient_penalty": (lambda D: pairwise_gradient_penalty(lambda x, z: D(x), REAL, CODES, FAKE, generator=seeded(5)).mean(),
                                  lambda f: (slope(f, middle()) - direction()).flatten(1).square().sum(1).mean()),
}
LOSSES = {
    "discriminator_loss": (lambda D: discriminator_loss(D(REAL), D(FAKE)),
                           lambda f: F.binary_cross_entropy_with_logits(f(REAL), torch.ones(N).double())
                           + F.binary_cross_entropy_with_logits(f(FAKE), torch.zeros(N).double())),
    "generator_loss": (lambda D: generator_loss(D(FAKE)),
                       lambda f: F.binary_cross_entropy_with_logits(f(FAKE), torch.ones(N).double())),
    "critic_loss": (lambda D: critic_loss(D(REAL), D(FAKE)), lambda f: -f(REAL).mean() + f(FAKE).mean()),
    "wasserstein_generator_loss": (lambda D: wasserstein_generator_loss(D(FAKE)), lambda f: -f(FAKE).mean()),
    "hinge": (lambda D: OBJECTIVES["hinge"].critic_loss(D(REAL), D(FAKE)),
              lambda f: F.relu(1 - f(REAL)).mean() + F.relu(1 + f(FAKE)).mean()),
}


@pytest.fixture(scope="module", autouse=True)
def one_process():
    """A group of one process for DistributedDataParallel and FSDP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def value_and_slopes(loss, D):
    D.zero_grad()
    loss.backward()
    return [loss.detach(), *(torch.zeros_like(w) if w.grad is None else w.grad for w in D.parameters())]


@pytest.mark.parametrize("function", {**PENALTIES, **LOSSES})
@pytest.mark.parametrize("network", NETWORKS)
def test_equals_plain_autograd(network, function):
    make, critic, scores = NETWORKS[network]
    ours, formula = {**PENALTIES, **LOSSES}[function]
    D, other = make(), make()
    assert [tuple(w.shape) for w in D.parameters()] == [tuple(w.shape) for w in other.parameters()]
    want = value_and_slopes(formula(lambda x: scores(other, x)), other)
    found = value_and_slopes(ours(critic(D)), D)
    assert found[0].shape == () and found[0] != 0
    for a, b in zip(found, want, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("game", [Minimax, Wasserstein, ZeroCentred])
@pytest.mark.parametrize("network", [n for n in NETWORKS if n not in (
    "D(x, y)", "a function", "a method", "a function of a compiled D")])  # no modules of x alone; for labels see below
def test_plays_in_a_run(network, game):
    make, critic, _ = NETWORKS[network]
    run = Run(game(G=Up, D=lambda: critic(make()).float(), networks=Networks(latent=2)), digits(), runs=1, batch=4, device="cpu")
    losses = run.step(2).losses["D"]
    assert torch.isfinite(losses).all() and losses[0] != losses[1]


class Up(nn.Module):
    """A generator of 8×8 pictures."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 64)

    def forward(self, z):
        return torch.tanh(self.net(z)).reshape(-1, 1, 8, 8)


def test_a_checkpointed_critic_is_found_by_older_versions_of_torch(monkeypatch):
    """Values were wrong, without an error, where a checkpoint computed other ReLUs the second time."""
    want = r1(body(), REAL)
    monkeypatch.setattr(wrappers, "_top_hooks", None)
    assert torch.equal(r1(Checkpointed(False), REAL), want) and torch.equal(r1(body(), REAL), want)
    monkeypatch.setattr(wrappers, "in_checkpoint", lambda: False)
    assert not torch.isclose(r1(Checkpointed(False), REAL), want, rtol=.01)


# What D answers

def test_a_loss_of_a_map_of_patches_is_patchgans():
    """The mean over all examples and patches; `as_critic` takes the mean of the scores first, which is another number."""
    D, at = body(last=2), lambda s: (D(s), torch.ones(N, 1, 3, 3).double())
    want = F.binary_cross_entropy_with_logits(*at(FAKE))
    assert torch.isclose(generator_loss(D(FAKE)), want, rtol=1e-12)
    assert not torch.isclose(generator_loss(as_critic(D, patches="mean")(FAKE)), want, rtol=1e-6)


def every(D, x=REAL, fake=FAKE):
    """Each penalty of a critic, not yet called."""
    return [lambda: gradient_penalty(D, x, fake), lambda: r1(D, x), lambda: r2(D, fake), lambda: max_gradient_penalty(D, x, fake),
            lambda: wasserstein_gradient_penalty(D, x, fake),
            lambda: pairwise_gradient_penalty(lambda x, z: D(x), x, CODES, fake),
            lambda: pairwise_latent_penalty(lambda x, z: D(z), x, fake, x)]


def refuse(calls, error, words):
    for call in calls:
        with pytest.raises(error, match=words):
            call()


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("D, error, words", [
    (lambda: body(last=2), ValueError, r'use as_critic\(D, patches="mean"\)$'),
    (lambda: Answering(lambda s: (s, s)), TypeError, r"got tuple; use as_critic\(D, output=0\)$"),
    (lambda: Answering(lambda s: [s]), TypeError, r"got list; use as_critic\(D, output=0\)$"),
    (lambda: Answering(lambda s: {"fake": s}), TypeError, r"got dict; use as_critic\(D, output='fake'\)$"),
    (lambda: Answering(Output), TypeError, r"got Output; use as_critic\(D, output='logits'\)$"),
    (lambda: Checkpointed(True), ValueError, "write use_reentrant=False$"),
    (lambda: body(between=nn.BatchNorm2d(4)), ValueError, "couples the examples|depends on other examples"),
    (lambda: body(between=nn.BatchNorm2d(4, track_running_stats=False)).eval(), ValueError, "couples the examples|depends on other"),
    (lambda: body(between=Deviation()), ValueError, r"depends on other examples.*use as_critic\(D, coupled=True\)"),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3).double()), ValueError, r"shape \(6,\), got \(6, 3\)$"),
], ids="patches tuple list dict object reentrant batch-norm batch-norm-without-statistics deviation three-scores".split())
def test_refused_by_every_penalty_and_in_a_run(D, error, words):
    refuse(every(D()), error, words)
    run = Run(ZeroCentred(G=Up, D=lambda: D().float(), networks=Networks(latent=2)), digits(), runs=1, batch=4, device="cpu")
    with pytest.raises(error, match=words if "6" not in words else r"^D: expected one score per example, got shape \(4, 3\)$"):
        run.step()


# Inputs that a network does not expect

DCGAN = lambda *first: nn.Sequential(*first, nn.ConvTranspose2d(6, 4, 4), nn.ConvTranspose2d(4, 1, 5))  # (N, 6, 1, 1) to 8×8
CUT = lambda: nn.Sequential(nn.Flatten(), nn.Linear(65, 1))


@pytest.mark.parametrize("runs", [1, 2])
def test_latents_of_another_shape_are_refused_with_a_cure_that_works(runs):
    """DCGAN's generator takes (N, 6, 1, 1); torch's message is about a convolution and names neither G nor the cure."""
    def run(G, **kw):
        kw = dict(D=lambda: body().float(), networks=Networks(latent=6)) | kw
        return Run(Minimax(G=G, **kw), digits(), runs=runs, batch=4, device="cpu")
    words = r"^G: got inputs of shape \((4|5), 6\) and failed: .*; G gets latents \(batch, 6\): .* nn\.Unflatten\(1, \(6, 1, 1\)\)"
    refuse([run(DCGAN).step, lambda: run(DCGAN).sample(5), run(lambda: nn.Linear(100, 64)).step], ValueError, words)
    cured = run(lambda: DCGAN(nn.Unflatten(1, (6, 1, 1)))).step(2)
    assert torch.isfinite(cured.losses["G"]).all() and cured.sample(5).shape == (runs, 5, 1, 8, 8)
    refuse([run(Up, D=CUT, networks=Networks(latent=2)).step], ValueError,
           r"^D: got inputs of shape \(4, 1, 8, 8\) and failed: mat1 and mat2 shapes cannot be multiplied \(4x64 and 65x1\)$")


def test_a_conditional_network_that_gets_no_labels_is_refused_with_the_cure():
    D = Labelled()
    refuse([*every(D)[:5], *every(as_critic(D))[:5], *every(lambda x: D(x))[:5]], TypeError,
           r"^critic: Labelled\.forward\(\) missing 1 required .*'y'; for a D that takes labels use as_critic\(D, y\)")
    assert all(torch.isfinite(call()) for call in every(as_critic(D, LABELS))[:5])
    for name, game in (("G", Minimax(G=lambda: Conditional(2))), ("D", Minimax(D=lambda: Conditional(1))),
                       ("D", ZeroCentred(D=lambda: Conditional(1)))):
        run = Run(game, ring(), runs=2, batch=4, device="cpu")
        refuse([run.step], TypeError, rf"^{name}: Conditional\.forward\(\) missing 1 .*; .* use {name}=with_labels\(\.\.\.\)$")


def test_labels_are_what_is_lacking_by_position():
    class ByName(nn.Module):
        def forward(self, x, *, y):
            return x.sum(1)

    def lacks(call):
        with pytest.raises(TypeError) as found:
            call(torch.zeros(2, 3))
        return lacks_argument(found.value)
    assert lacks(Labelled()) and not lacks(ByName()) and not lacks(lambda x: x + None)
    for inside in (require_labels(), refuse_inputs("D", torch.zeros(2, 3))):
        with pytest.raises(TypeError, match=r"^\S*ByName\.forward\(\) missing 1 required keyword-only argument: 'y'$"), inside:
            ByName()(torch.zeros(2, 3))  # labels by position are no cure here, so the message stays


@pytest.mark.parametrize("event", [(2,), (3, 4, 4)])
def test_a_column_of_scores_on_any_kind_of_examples(event):
    """A plain D answers (N, 1): no guess that the first axis counts runs."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(event).numel(), 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, fake = normal(N, *event), normal(N, *event, seed=1)
    t = torch.rand(N, generator=seeded(5), dtype=torch.float64).reshape(N, *[1] * len(event))
    want = (slope(lambda v: D(v)[:, 0], fake + t * (x - fake)).flatten(1).norm(dim=1) - 1).square().mean()
    assert torch.isclose(gradient_penalty(D, x, fake, generator=seeded(5)), want, rtol=1e-9)
    assert torch.isclose(r1(D, x), slope(lambda v: D(v)[:, 0], x).flatten(1).square().sum(1).mean() / 2, rtol=1e-9)
    assert discriminator_loss(D(x), D(fake)).shape == generator_loss(D(fake)).shape == critic_loss(D(x), D(fake)).shape == ()


class JointMaps(nn.Module):
    """D(x, z) of a convolutional BiGAN: pictures and latents (N, 5, 1, 1) to (N, 1, 1, 1)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.x, self.z, self.out = nn.Conv2d(1, 4, 8).double(), nn.Conv2d(5, 4, 1).double(), nn.Conv2d(4, 1, 1).double()

    def forward(self, x, z):
        return self.out(torch.tanh(self.x(x) + self.z(z)))


def test_pairs_of_pictures_and_latents_as_maps():
    D, z = JointMaps(), normal(N, 5, 1, 1)
    found = pairwise_gradient_penalty(D, REAL, z, FAKE, generator=seeded(5))
    assert found.shape == (N,)
    flat = lambda x, z: D(x, z.reshape(N, 5, 1, 1)).flatten()
    assert torch.allclose(found, pairwise_gradient_penalty(flat, REAL, z.flatten(1), FAKE, generator=seeded(5)), rtol=1e-9)


def test_the_last_batch_of_an_epoch():
    """It may hold one example, which `squeeze()` drops, or fewer real examples than generated ones."""
    D = body()
    refuse([call for x in (REAL, FAKE) for call in every(lambda v: D(v).squeeze(), x[:1], x[:1])[:3]], ValueError,
           r"^critic: .*, got \(\); squeeze\(\) also drops a batch of one example, write flatten\(\)$")
    assert torch.isfinite(r1(lambda v: D(v).flatten(), REAL[:1]))
    for real, fake, cure in ((REAL[:4], FAKE, r"fake\[:4\]"), (REAL, FAKE[:2], r"real\[:2\]")):
        refuse([lambda: gradient_penalty(D, real, fake)], ValueError, rf"^real, fake: .* of an epoch write {cure}$")
    assert torch.isfinite(gradient_penalty(D, REAL[:4], FAKE[:4])) and discriminator_loss(D(REAL[:4]), D(FAKE)).shape == ()


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal access"), torch.OutOfMemoryError("size 8"), TypeError("no"),
                                   RuntimeError(), KeyError("size")], ids=repr)
def test_other_errors_of_a_network_in_a_run_stay_as_they_are(error):
    class Broken(nn.Linear):
        def forward(self, x):
            raise error
    run = Run(Minimax(G=lambda: Broken(2, 2)), ring(), runs=1, batch=4, device="cpu")
    with pytest.raises(type(error)) as caught:
        run.step()
    assert caught.value is error
    refuse([lambda: r1(Broken(2, 2), torch.zeros(3, 2))], type(error), None)


def test_the_sigmoid_of_a_discriminator_is_documented():
    """Probabilities are possible logits, so no error can tell; a perfect D that ends in a sigmoid pays 1.006."""
    assert "no probabilities" in discriminator_loss.__doc__ and "sigmoid" in discriminator_loss.__doc__
    assert 1 < discriminator_loss(torch.ones(4), torch.zeros(4)) < 1.01


def test_a_discriminator_that_ends_in_a_sigmoid_gets_a_warning():
    wrong = nn.Sequential(body(), nn.Sigmoid())
    x = REAL.clone().requires_grad_()
    for call in (lambda: r1(wrong, x), lambda: r1(lambda x: wrong(x), x), lambda: as_critic(wrong),
                 lambda: Run(Minimax(D=lambda: nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())), ring(8), runs=2, device="cpu")):
        with pytest.warns(UserWarning, match="ends in a sigmoid.*remove the sigmoid"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r1(body(), x)
        as_critic(body())


def test_sync_batch_norm_is_refused_by_its_type():
    refuse(every(nn.Sequential(nn.SyncBatchNorm(1), body()))[:5], ValueError, "SyncBatchNorm couples")


def test_a_network_is_looked_at_once_for_coupling_and_again_in_another_mode():
    D, calls = body(between=nn.BatchNorm2d(4)).eval(), []
    f = lambda x: D(x)
    D[0].register_full_backward_hook(lambda *_: calls.append(0))
    r1(f, REAL)
    first = len(calls)
    r1(f, REAL)
    assert (first, len(calls)) == (2, 3)
    D.train()
    with pytest.raises(ValueError, match="depends on other examples"):
        r1(f, REAL)


def test_a_network_in_a_new_adapter_is_looked_at_once_for_each_use():
    D, calls = body(between=nn.BatchNorm2d(4)).eval(), []
    D[0].register_full_backward_hook(lambda *_: calls.append(0))

    def looks(critic):
        calls.clear()
        r1(critic, REAL)
        return len(calls)

    assert [looks(as_critic(D)), looks(as_critic(D)), looks(as_critic(D, patches="mean")), looks(as_critic(D))] == [2, 1, 2, 1]
    assert looks(D) == 2  # the network alone is another critic
    D.train()
    with pytest.raises(ValueError, match="couples the examples|depends on other examples"):
        r1(as_critic(D), REAL)


@pytest.mark.filterwarnings("ignore:FSDP is switching")
def test_sharded_modules_are_refused():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, FullyShardedDataParallel
    D = body()
    fully_shard(D, mesh=init_device_mesh("cpu", (1,)))
    assert torch.equal(critic_loss(D(REAL), D(FAKE)), critic_loss(body()(REAL), body()(FAKE)))
    refuse(every(D), ValueError, "^critic: FSDP frees weights.*DistributedDataParallel")
    refuse(every(FullyShardedDataParallel(body(), device_id=torch.device("cpu"))), ValueError, "^critic: FSDP")
    with pytest.raises(ValueError, match="^D: weights are sharded"):
        Run(Minimax(D=D), digits(), runs=1, batch=4, device="cpu")


def test_a_penalty_alone_reaches_every_weight_of_distributed_data_parallel():
    """Biases have no part in a slope. Without theirs the reducer does not finish: the processes would drift apart."""
    D = nn.parallel.DistributedDataParallel(body())
    for _ in range(2):  # the second forward pass fails if the first reduction has not finished
        D.zero_grad()
        r1(D, REAL).backward()
        assert all(w.grad is not None for w in D.parameters())


TWO = """
import os, sys
sys.path.insert(0, "tests")
import torch, torch.distributed as dist
import test_foreign_networks as T
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
rank = int(sys.argv[1])
dist.init_process_group("gloo", rank=rank, world_size=2)
mine = slice(3 * rank, 3 * rank + 3)
x, fake = T.REAL[mine], T.FAKE[mine]


def position():
    g = T.seeded(5)
    torch.rand(3 * rank, generator=g, dtype=torch.float64)  # those of the other process
    return g


def agree(name, value, want, weights, wanted):
    value = value.detach().clone()
    dist.all_reduce(value)
    assert torch.isclose(value / 2, want, rtol=1e-9), name
    for a, b in zip(weights, wanted, strict=True):
        b = torch.zeros_like(a) if b is None else b
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9), name


for network in ("DistributedDataParallel", "checkpointed", "channels_last", "spectral norm", "torch.compile"):
    make, critic, _ = T.NETWORKS[network]
    whole, D = make(), make()
    net = D if network == "DistributedDataParallel" else torch.nn.parallel.DistributedDataParallel(D)
    for name in sorted(set(T.PENALTIES) - {"max_gradient_penalty"}):
        want, value = T.penalty(name, critic(whole), T.REAL, T.FAKE), T.penalty(name, critic(net), x, fake, position())
        whole.zero_grad(), want.backward(), net.zero_grad(), value.backward()
        agree((network, name), value, want.detach(), [w.grad for w in net.parameters()], [w.grad for w in whole.parameters()])
print("penalties", flush=True)
whole, D = T.body(), T.body()
fully_shard(D, mesh=init_device_mesh("cpu", (2,)))
for loss in (T.discriminator_loss, T.critic_loss):
    whole.zero_grad(), D.zero_grad()  # before the forward pass, after which the weights are not sharded
    want, value = loss(whole(T.REAL), whole(T.FAKE)), loss(D(x), D(fake))
    want.backward(), value.backward()
    agree(loss, value, want.detach(), [w.grad.full_tensor() for w in D.parameters()], [w.grad for w in whole.parameters()])
T.refuse(T.every(D, x, fake)[:5], ValueError, "^critic: FSDP frees weights")
print("sharded", flush=True)
dist.destroy_process_group()
"""


def test_two_processes_have_the_gradient_of_the_whole_batch():
    """DDP and FSDP on gloo, each process with half of the examples; FSDP with losses alone, penalties are refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]), OMP_NUM_THREADS="1")
    both = [subprocess.Popen([sys.executable, "-c", TWO, str(rank)], cwd=pathlib.Path(__file__).parents[1], text=True,
                             env=os.environ | at, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in (0, 1)]
    try:
        told = [one.communicate(timeout=300) for one in both]
    finally:
        for one in both:
            one.kill()
    for one, (out, errors) in zip(both, told):
        assert one.returncode == 0 and out.split() == ["penalties", "sharded"], errors[-3000:]


@pytest.mark.filterwarnings("ignore")  # torch tells what it does not compile
def test_a_compiled_training_step_may_have_a_penalty():
    """`torch.compile` has no second derivative, so the penalty runs as it stands inside a compiled step."""
    def step(D):
        return D(REAL).mean() + r1(D, REAL)
    one, other = body(), body()
    found = value_and_slopes(torch.compile(step, backend="aot_eager")(one), one)
    for a, b in zip(found, value_and_slopes(step(other), other), strict=True):
        assert torch.allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("bad, words", [
    (lambda: as_critic(3), "^D: expected a function"),
    (lambda: as_critic(body(), [1, 2]), "^y: expected a tensor"),
    (lambda: as_critic(body(), torch.tensor(1)), "^y: expected a tensor"),
    (lambda: as_critic(body(), patches="max"), "^patches: unknown 'max'"),
    (lambda: as_critic(body(), output=.5), "^output: expected a number, a name or None"),
    (lambda: as_critic(Labelled(), LABELS)(REAL[:4]), r"^y: expected one label per example, shape \(4, '…'\), got \(6,\)"),
    (lambda: as_critic(Answering(lambda s: (s, s)), output=2)(REAL), "^output: 2 is not in the answer of D, a tuple"),
    (lambda: as_critic(Answering(Output), output="score")(REAL), "^output: 'score' is not in the answer of D, a Output"),
    (lambda: as_critic(body())([REAL, LABELS]), "^x: expected a floating tensor, got list of 2"),
    (lambda: as_critic(lambda x: x.sum())(REAL), r"^D: expected one score per example, shape \(6,\), got \(\)$"),
    (lambda: with_labels(3), "^network: expected a function"),
])
def test_bad_arguments_are_named(bad, words):
    with pytest.raises((TypeError, ValueError), match=words):
        bad()


def test_it_keeps_the_runs_of_our_own_networks():
    D, x = mlp(2, (), width=4, runs=3), normal(3, 5, 2, dtype=torch.float32)
    assert torch.equal(r1(as_critic(D), x), r1(D, x)) and r1(D, x).shape == (3,)


# What D is given

def test_pictures_in_bytes_and_batches_with_labels_are_refused_with_the_cure():
    D, bytes_ = body(), torch.zeros(N, 1, 8, 8, dtype=torch.uint8)
    refuse(every(D, bytes_, bytes_)[:6], TypeError, r"\.float\(\) / 127\.5 - 1$")
    refuse(every(D, [REAL, LABELS], FAKE)[:2], TypeError, r"real: expected a floating tensor, got list of 2.*pass real\[0\]$")
    refuse([lambda: coverage([REAL, LABELS], digits()), lambda: precision_recall((REAL.flatten(1), LABELS), REAL.flatten(1))],
           TypeError, r"expected a tensor or an array of numbers, got (list|tuple) of 2.*pass \w+\[0\]$")


@pytest.mark.parametrize("form", [
    lambda x: x.to(memory_format=torch.channels_last), lambda x: x.flip(0).flip(0), lambda x: torch.stack([x, x], -1)[..., 0],
    lambda x: x.clone().requires_grad_(), lambda x: (x.clone().requires_grad_() * 1)])
def test_any_memory_layout_and_inputs_that_need_gradients(form):
    x, fake, D = form(REAL), form(FAKE), body()
    for name, (ours, _) in PENALTIES.items():
        assert torch.isclose(penalty(name, D, x, fake), ours(D), rtol=1e-12)
        penalty(name, D, x, fake).backward()
    assert all(v.grad is None for v in (x, fake) if v.is_leaf)


def penalty(name, D, x, fake, g=None):
    g = seeded(5) if g is None else g
    return {"gradient_penalty": lambda: gradient_penalty(D, x, fake, generator=g),
            "gradient_penalty, one-sided": lambda: gradient_penalty(D, x, fake, target=.05, one_sided=True, generator=g),
            "r1": lambda: r1(D, x), "r2": lambda: r2(D, fake),
            "max_gradient_penalty": lambda: max_gradient_penalty(D, x, fake, generator=g),
            "wasserstein_gradient_penalty": lambda: wasserstein_gradient_penalty(D, x, fake, generator=g),
            "pairwise_gradient_penalty":
                lambda: pairwise_gradient_penalty(lambda x, z: D(x), x, CODES[:len(x)], fake, generator=g).mean()}[name]()


def test_inference_tensors_are_taken():
    with torch.inference_mode():
        x = REAL * 1
    D = body()
    assert torch.equal(r1(D, x), r1(D, REAL))


class Types(TorchDispatchMode):
    """Notes the types of all tensors that are made inside."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.found |= {v.dtype for v in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(v, torch.Tensor)}
        return out


def test_no_float64_in_training():
    """MPS has no float64."""
    D, x, fake, z = body().float(), REAL.float(), FAKE.float(), CODES.float()
    with Types() as seen:
        for call in every(D, x, fake)[:5] + [lambda: pairwise_gradient_penalty(lambda x, z: D(x), x, z, fake).mean()]:
            call().backward()
        for loss in (discriminator_loss(D(x), D(fake)), generator_loss(D(fake)), generator_loss(D(fake), saturating=True),
                     critic_loss(D(x), D(fake)), wasserstein_generator_loss(D(fake)),
                     *(OBJECTIVES[name].critic_loss(D(x), D(fake)) for name in OBJECTIVES)):
            loss.backward()
    assert torch.float32 in seen.found and torch.float64 not in seen.found


# Mixed precision

@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_inside_autocast_a_penalty_is_float32_and_near(kind):
    """Within 2 % of float32, in value and in direction; so the documentation says."""
    D, x, fake = body().float(), REAL.float(), FAKE.float()
    for name in PENALTIES:
        full = value_and_slopes(penalty(name, D, x, fake), D)
        with torch.autocast("cpu", kind):
            value = penalty(name, D, x, fake)
        half = value_and_slopes(value, D)
        assert value.dtype == torch.float32 and torch.isclose(half[0], full[0], rtol=.02)
        a, b = (torch.cat([w.flatten() for w in slopes[1:]]) for slopes in (half, full))
        assert a.isfinite().all() and F.cosine_similarity(a, b, dim=0) > .99


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_inside_autocast_is_near_to_float32(network):
    make, critic, _ = NETWORKS[network]
    x, fake = REAL.float(), FAKE.float()
    for name in ("gradient_penalty",):
        D, half = make().float(), make().float()
        full = value_and_slopes(penalty(name, critic(D), x, fake), D)
        with torch.autocast("cpu", torch.bfloat16):
            value = penalty(name, critic(half), x, fake)
        near = value_and_slopes(value, half)
        assert value.dtype == torch.float32 and torch.isclose(near[0], full[0], rtol=.02)
        a, b = (torch.cat([w.flatten() for w in slopes[1:]]) for slopes in (near, full))
        assert a.isfinite().all() and F.cosine_similarity(a, b, dim=0) > .99


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_loop_with_a_gradient_scaler(kind):
    D, x, fake = body().float(), REAL.float(), FAKE.float()
    adam, scaler = torch.optim.Adam(D.parameters(), 1e-3), torch.amp.GradScaler("cpu", enabled=kind == torch.float16)
    before = [w.detach().clone() for w in D.parameters()]
    for _ in range(8):
        with torch.autocast("cpu", kind):
            loss = critic_loss(D(x), D(fake)) + 10 * gradient_penalty(D, x, fake)
        adam.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(adam)
        scaler.update()
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert all(torch.isfinite(w).all() for w in D.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, D.parameters()) if a.ndim > 1)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_network_of_16_bits_pays_in_float32(kind):
    D, x, fake = body().to(kind), REAL.to(kind), FAKE.to(kind)
    for name in set(PENALTIES) - {"wasserstein_gradient_penalty"}:
        value = penalty(name, D, x, fake)
        assert value.dtype == torch.float32 and torch.isclose(value, penalty(name, body().float(), x.float(), fake.float()), rtol=.05)


@pytest.mark.parametrize("D, x, cure", [(torch.float16, torch.float32, "critic"), (torch.float32, torch.float16, "x"),
                                        (torch.float64, torch.float32, "x"), (torch.bfloat16, torch.float32, "critic")], ids=str)
def test_weights_and_examples_of_two_types_are_refused_with_a_cure_that_works(D, x, cure):
    net, real, fake = body().to(D), REAL.to(x), FAKE.to(x)
    to = "double" if D == torch.float64 else "float"
    refuse(every(net, real, fake), TypeError, rf"^critic, x: expected one type, got weights of {D} and examples of {x}; write {cure}\.{to}\(\)")
    brought = (getattr(net, to)(), real, fake) if cure == "critic" else (net, getattr(real, to)(), getattr(fake, to)())
    assert all(torch.isfinite(call()).all() for call in every(*brought)[:5])
    refuse([lambda: gradient_penalty(body().float(), REAL.float(), FAKE.half())], TypeError, r"^real, fake: .*; write fake\.float\(\), or")


def test_other_errors_of_a_critic_stay_as_they_are():
    """A critic that fails for another reason, and one that converts its inputs itself."""
    D = body().half()
    refuse([lambda: r1(lambda v: D(v.half()).flatten() + torch.zeros(3), REAL.float())], RuntimeError, "size")
    assert torch.isclose(r1(lambda v: D(v.half()), REAL.float()), r1(body().float(), REAL.float()), rtol=.05)


# Measures of a generator

MEASURES = {
    "coverage": lambda x, y: coverage(x, ring()), "precision_recall": precision_recall, "density_coverage": density_coverage,
    "pr_curve": lambda x, y: pr_curve(x, y, clusters=4, generator=seeded(0)).precision, "frechet_distance": frechet_distance,
    "authenticity": authenticity, "missing": missing,
}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("measure", MEASURES)
def test_measures_take_any_tensor_of_samples(measure):
    """Straight from a generator, with its graph; compiled; as double, as an array, in any layout."""
    f, G, real = MEASURES[measure], nn.Linear(2, 2), ring().sample(300, generator=seeded(0))
    z = torch.randn(300, 2, generator=seeded(1))
    x, fast = G(z), compiled(G)(z)
    assert x.requires_grad and fast.requires_grad
    want = repr(f(x.detach(), real))
    for form in (x, fast, torch.stack([x, x], -1)[..., 0], x.detach().numpy()):
        assert repr(f(form, real)) == want
    assert G.weight.grad is None


# Labels in a run

class Conditional(nn.Module):
    """A network of (v, y) that notes the labels it was given."""
    seen = []

    def __init__(self, out):
        super().__init__()
        self.label, self.net = nn.Embedding(8, 2), nn.Linear(4, out)

    def forward(self, v, y):
        type(self).seen.append((self.net.out_features, y.clone()))
        return self.net(torch.cat([v, self.label(y)], -1))


def pair(game=Minimax, **kw):
    return game(G=with_labels(lambda: Conditional(2)), D=with_labels(lambda: Conditional(1)), **kw)


@pytest.mark.parametrize("game", [Minimax, Wasserstein, ZeroCentred])
def test_a_conditional_pair_gets_the_labels_of_the_real_batch(game, tmp_path):
    Conditional.seen.clear()
    run = Run(pair(game), ring(), runs=2, batch=16, device="cpu").step(2)
    G, D = ([y for size, y in Conditional.seen if size == n] for n in (2, 1))
    assert len(G) and all(y.shape == (16,) and y.dtype == torch.int64 for y in G + D)
    first_turn = {tuple(y.tolist()) for y in G[:2] + D[:2]}
    assert len(first_turn) == 2  # one batch of labels for each run, the same for G and D
    run.save(tmp_path / "x")
    resumed = Run.load(tmp_path / "x", game=pair(game), device="cpu").step(2)
    assert same_run(resumed, Run(pair(game), ring(), runs=2, batch=16, device="cpu").step(4))


def test_labels_are_those_of_the_examples():
    class Knows(nn.Module):
        calls = 0

        def forward(self, x, y):
            if (x.norm(dim=1) > .5).all():  # no generated ones
                assert torch.equal(ring().assign(x)[0], y)
                type(self).calls += 1
            return x.sum(-1) * self.w

        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))
    run = Run(ZeroCentred(G=with_labels(lambda: Rings()), D=with_labels(Knows)), ring(std=.01), runs=2, batch=32, device="cpu")
    assert torch.isfinite(run.step(2).losses["D"]).all() and Knows.calls >= 8


class Rings(nn.Module):
    """A perfect conditional generator of the ring."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, z, y):
        return ring().centers[y] + self.w * z


def test_samples_of_a_conditional_generator_have_the_labels_that_were_asked_for():
    run = Run(Minimax(G=with_labels(Rings), D=with_labels(lambda: Conditional(1))), ring(), runs=2, device="cpu", average=.9)
    y = torch.randint(8, (2, 5000), generator=seeded(0))
    assert torch.equal(ring().assign(run.sample(5000, y=y).flatten(0, 1))[0], y.flatten())
    assert [c.captured for c in run.coverage()] == [8, 8] and torch.equal(run.sample(9), run.sample(9))
    for bad in (y[:, :9], y.float(), y[0]):
        with pytest.raises((ValueError, TypeError), match="^y: expected one label per sample"):
            run.sample(5000, y=bad)
    with pytest.raises(ValueError, match="^y: G takes no labels"):
        Run("minimax", "ring", runs=1, device="cpu").sample(5, y=y[:1, :5])


def test_one_network_is_one_run_and_labels_need_a_set_that_has_them():
    with pytest.raises(ValueError, match="^D: one network cannot be 2 independent runs"):
        Run(Minimax(D=with_labels(Conditional(1))), ring(), runs=2, device="cpu")
    bare = type("Bare", (), {"event": (2,), "sample": staticmethod(ring().sample), "to": lambda self, device: self})()
    with pytest.raises(ValueError, match="needs a method sample_with_modes"):
        Run(pair(), bare, runs=1, device="cpu").step()


def test_pairs_of_x_and_z_take_labels_too():
    class Joint(nn.Module):
        def __init__(self):
            super().__init__()
            self.label, self.net = nn.Embedding(8, 2), nn.Linear(6, 1)

        def forward(self, x, z, y):
            return self.net(torch.cat([x, z, self.label(y)], -1))
    run = Run(BiGAN(D=with_labels(Joint), networks=Networks(latent=2)), ring(), runs=2, batch=8, device="cpu").step(2)
    assert all(torch.isfinite(rows).all() for rows in run.losses.values())
    D, x, z = Joint(), normal(6, 2, dtype=torch.float32), normal(6, 2, seed=1, dtype=torch.float32)
    found = pairwise_gradient_penalty(as_critic(D, LABELS), x, z, z, generator=seeded(0))
    assert torch.equal(found, pairwise_gradient_penalty(lambda a, b: D(a, b, LABELS), x, z, z, generator=seeded(0)))


# Labels in every registered game

class Asked(nn.Module):
    """A game's own network, scaled by label; it notes its calls and passes on what the labels are worth."""

    def __init__(self, net, modes, calls):
        super().__init__()
        self.net, self.scale, self.modes, self.calls = net, nn.Parameter(torch.zeros(modes.n_modes)), modes, calls

    def forward(self, *inputs):
        *v, y = inputs
        assert y.shape == (len(v[0]),) and y.dtype == torch.int64
        place, good = self.modes.assign(v[0].detach()) if v[0].shape[1:] == torch.Size(self.modes.event) else (y, y < 0)
        self.calls.append((place[good] == y[good]).float().mean() if good.float().mean() > .9 else None)  # a real batch
        answer = self.net(*[part[None] for part in v])[0]
        return answer * (1 + self.scale[y]).reshape(-1, *[1] * (answer.ndim - 1))


@functools.cache
def sharp(name):
    """A set on which a game plays, with modes so narrow that generated examples lie between them."""
    return ring(std=.01) if data_for(registered("game")[name]) == "ring" else make("modes", "stacked_digits")


@pytest.mark.parametrize("name, player", [(name, player.name) for name, game in registered("game").items()
                                          for player in dataclasses.fields(game) if player.type == "Player"])
def test_each_player_of_each_game_takes_labels_or_is_refused(name, player):
    game, modes, calls = registered("game")[name], sharp(name), []

    def conditional():
        usual = with_settings(game(), **SMALLEST).players(modes.event, 2, 1, [seeded(0)])
        return Asked(usual[player], modes, calls)
    rules = with_settings(game(**{player: with_labels(conditional)}), **SMALLEST)
    start = lambda: Run(rules, modes, runs=2, batch=8, device="cpu")
    if player not in game.conditional:
        refuse([start], ValueError,
               f"^{player}: expected a player without labels, got with_labels; the losses of {game.__name__} do not use them")
        return
    run = start().step(2)
    assert all(torch.isfinite(rows).all() for rows in run.losses.values())
    real = [hits for hits in calls if hits is not None]
    if player == "E" or player == "D" and name != "encoder":
        assert len(real) >= 4 and min(real) == 1  # the labels of a real batch are those of its examples
    else:
        assert calls and not real
    assert all(m.scale.abs().sum() > 0 for m in run.players.nets[player].members)


def test_the_conditional_players_of_a_game_are_players_that_it_has():
    for game in registered("game").values():
        assert set(game.conditional) <= {f.name for f in dataclasses.fields(game) if f.type == "Player"}


def test_the_lab_refuses_conditional_players():
    with pytest.raises(ValueError, match="the lab shows no players made by with_labels"):
        LabSession(pair(), "ring")


def test_coverage_refuses_bytes_with_the_cure():
    x = torch.zeros(5, 2, dtype=torch.uint8)
    for given, cure in ((x, r"x\.float\(\)"), (x.numpy(), r'x\.astype\("float32"\)')):
        with pytest.raises(TypeError, match=rf"^x: .* got bytes; for pictures in bytes write {cure} / 127\.5 - 1$"):
            coverage(given, ring())


# Networks that must not be shared, and answers that are no scores

ONE = dict(runs=1, batch=8, device="cpu")


def test_a_network_plays_in_one_run_at_a_time(tmp_path):
    """A second run took the weights away from the first, which then trained nothing."""
    game = Minimax(G=nn.Linear(2, 2), D=nn.Linear(2, 1))
    run = Run(game, ring(), **ONE).step(2)
    run.save(tmp_path / "x")
    refuse([lambda: Run(game, ring(), **ONE), lambda: Run.load(tmp_path / "x", game=game, device="cpu")],
           ValueError, "already plays in another run")
    copied = copy.deepcopy(run).step(2)
    want = run.step(2).sample(5)
    assert torch.equal(copied.sample(5), want)
    del run
    resumed = Run.load(tmp_path / "x", game=game, device="cpu").step(2)
    assert torch.equal(resumed.sample(5), want)


def test_shared_and_missing_weights_are_refused():
    layer = nn.Linear(2, 1)
    label = nn.Linear(2, 2)
    refuse([lambda: Run(Minimax(D=lambda: layer), ring(), runs=2, device="cpu"),
            lambda: Run(Minimax(D=with_labels(lambda: layer)), ring(), runs=2, device="cpu")], ValueError, "one network for several")
    refuse([lambda: Run(Minimax(G=label, D=nn.Sequential(label, layer)), ring(), **ONE)], ValueError, "^G, D: the players share")
    refuse([lambda: Run(Minimax(D=nn.Flatten(0)), ring(), **ONE)], ValueError, "^D: expected a network with weights")
    label.requires_grad_(False)  # frozen ones may be shared
    Run(Minimax(G=nn.Sequential(label, nn.Linear(2, 2)), D=nn.Sequential(label, layer)), ring(), **ONE).step()


def test_samples_leave_each_module_in_its_mode():
    G = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
    run = Run(Minimax(G=G), ring(), **ONE)
    run.sample(5)
    match_latents(G, normal(9, 2, dtype=torch.float32), normal(4, 2, dtype=torch.float32))
    assert G.training and G[0].training and not G[1].training


def test_labels_lie_in_the_set():
    run = Run(pair(), ring(), **ONE)
    refuse([lambda: run.sample(5, y=torch.full((1, 5), k)) for k in (8, -1)], ValueError, "^y: expected labels from 0 to 7")


GLOBAL = body()


@pytest.mark.parametrize("function", [lambda x: GLOBAL(x), functools.partial(lambda D, x: D(x), GLOBAL),
                                      functools.partial(lambda x, D: D(x), D=GLOBAL)])
def test_networks_that_a_function_uses_are_found(function):
    assert wrappers.critic_networks(function) == [GLOBAL]


def test_networks_in_an_attribute_are_found_and_other_functions_are_looked_at_again():
    self = type("Trainer", (), {})()
    self.D = nn.parallel.DistributedDataParallel(body())
    f = lambda x: self.D(x)
    for _ in range(2):
        r1(f, REAL).backward()
    refuse([lambda: r1(lambda x: self.D(x - x.mean(0)), REAL)], ValueError, "depends on other examples")
    D = body(between=nn.BatchNorm2d(4)).eval()
    f = lambda x: D(x)
    r1(f, REAL)
    D[1].train()  # the network itself stays in evaluation mode
    refuse([lambda: r1(f, REAL)], ValueError, "depends on other examples")


def test_attention_has_a_second_derivative():
    torch.manual_seed(0)
    D = nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, dropout=0., batch_first=True), nn.Flatten(), nn.Linear(12, 1)).double()
    x = normal(5, 3, 4)
    with sdpa_kernel(SDPBackend.MATH):
        want = value_and_slopes(slope(lambda x: D(x).flatten(), x).flatten(1).square().sum(1).mean() / 2, D)
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(value_and_slopes(r1(D, x), D), want, strict=True))


def test_scores_of_classes_are_no_patches():
    for shape in ((8, 10), (8, 5, 3, 3)):
        with pytest.raises(ValueError, match=r"^D: expected one score per example, shape \(8,\), got [^;]*$"):
            as_critic(lambda x: torch.zeros(shape), patches="mean")(torch.zeros(8, 2))


@pytest.mark.parametrize("answer, words", [
    ({"score": [1.], "s": torch.ones(6)}, r"got dict; use as_critic\(D, output='s'\)$"), (None, "got NoneType$"), (1., "got float$"),
    ({"score": [1.]}, "got dict$"), (types.SimpleNamespace(score=torch.ones(6)), r"use as_critic\(D, output='score'\)$"),
    ((None, torch.ones(6)), r"got tuple; use as_critic\(D, output=1\)$")], ids=str)
def test_the_cure_in_an_error_works(answer, words):
    refuse([lambda: as_critic(lambda x: answer)(REAL), lambda: r1(lambda x: answer, REAL)], TypeError, words)


def test_outputs_by_name_and_labels_in_the_wrong_place():
    scores = torch.arange(6.)
    assert torch.equal(as_critic(lambda x: {"values": scores}, output="values")(REAL), scores)
    refuse([lambda: as_critic(body(), output=1)(REAL)], ValueError, "^output: D answers a tensor")
    refuse([lambda: as_critic(body(), output=True)], TypeError, "^output: expected a number, a name or None")
    refuse([lambda: as_critic(with_labels(Labelled()), LABELS)(REAL), lambda: r1(with_labels(Labelled()), REAL),
            lambda: gradient_penalty(with_labels(Labelled()), REAL, FAKE)], TypeError, "^D: with_labels is for")
