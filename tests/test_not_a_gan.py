"""modelab.methods.density_models, .vae, .flow_matching: closed forms in float64, bad input, shapes, determinism, the games, the record."""

import dataclasses
import math
import subprocess
import sys
import warnings

import pytest
import torch
from helpers import normal, plays_and_resumes, same_run, seeded, uniform
from torch import nn

from modelab.core.registry import make
from modelab.course.claims import recorded
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import grid, line, mixture, ring
from modelab.evaluation.coverage import coverage
from modelab.lab.panel import Lab
from modelab.lab.view import render_frame
from modelab.methods.density_models import fit_gaussian_mixture, fit_kernel_density
from modelab.methods.flow_matching import flow_matching_loss, FlowMatching, integrate_velocity
from modelab.methods.vae import elbo_loss, gaussian_kl, VAE
from modelab.networks.players import Networks
from modelab.training.game import Turn
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FITS = (lambda x, **kw: fit_gaussian_mixture(x, [1, 2, 4], **kw)), (lambda x, **kw: fit_kernel_density(x, 9, **kw))


# Fidelity

def test_kl_is_that_of_torch_and_of_draws():
    mean, log_variance = normal(2, 4, 5, 3)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), 1.)
    assert torch.allclose(gaussian_kl(mean, log_variance), torch.distributions.kl_divergence(q, prior).sum(-1), rtol=0, atol=1e-13)
    z = mean + (log_variance / 2).exp() * normal(50_000, 4, 5, 3, seed=1)
    ratio = (q.log_prob(z) - prior.log_prob(z)).sum(-1)
    assert ((ratio.mean(0) - gaussian_kl(mean, log_variance)).abs() < 5 * ratio.std(0) / len(z) ** .5).all()


def test_elbo_is_log_density_minus_the_kl_to_the_posterior():
    """A linear decoder, for which everything is known; a copy takes the mean over numbers instead of the sum."""
    a, std, x = torch.tensor([[1.5, .3], [-.4, .8]], dtype=torch.float64), .5, normal(2, seed=3)
    law = torch.distributions.MultivariateNormal(torch.zeros(2).double(), a @ a.T + std ** 2 * torch.eye(2))
    gain = a.T @ torch.linalg.inv(a @ a.T + std ** 2 * torch.eye(2).double())
    posterior = torch.distributions.MultivariateNormal(gain @ x, torch.eye(2) - gain @ a)
    mean, log_variance = gain @ x + .2, torch.tensor([-1., -.3], dtype=torch.float64)
    q = torch.distributions.MultivariateNormal(mean, log_variance.exp().diag())
    code = mean + (log_variance / 2).exp() * normal(400_000, 2, seed=4)
    found = -elbo_loss(code @ a.T, x.expand_as(code), mean.expand_as(code), log_variance.expand_as(code), std)
    assert found.item() == pytest.approx(law.log_prob(x).item() - torch.distributions.kl_divergence(q, posterior).item(), abs=.01)


def test_elbo_sums_over_an_example_and_weighs_kl():
    made, real, mean, log_variance = normal(5, 1, 4, 4), normal(5, 1, 4, 4, seed=1), normal(5, 3), normal(5, 3, seed=2)
    square = (made - real).square().sum((1, 2, 3)) / (2 * .3 ** 2) + 16 * math.log(.3 * math.sqrt(2 * math.pi))
    due = (square + .7 * gaussian_kl(mean, log_variance)).mean()
    assert torch.allclose(elbo_loss(made, real, mean, log_variance, .3, .7), due)


def test_flow_loss_is_its_equation_and_the_conditional_mean_is_its_minimum():
    velocity, noise, real = normal(3, 4, 6, 2)
    due = (velocity - real + noise).square().sum(-1).mean(-1)
    assert torch.allclose(flow_matching_loss(velocity, noise, real, runs=1), due)
    m, s, t = 1.5, .4, uniform(200_000, seed=5)
    x0, x1 = normal(200_000, seed=6), m + s * normal(200_000, seed=7)
    x = (1 - t) * x0 + t * x1
    best = m + (t * s ** 2 - (1 - t)) / ((1 - t) ** 2 + t ** 2 * s ** 2) * (x - t * m)
    for direction in (torch.ones_like(x), x, x.sin(), t * x, (3 * t).cos()):
        assert abs(((best - (x1 - x0)) * direction).mean()) < .01  # the gradient of the loss along it
        assert not abs(((best + .1 * direction - (x1 - x0)) * direction).mean()) < .01


@pytest.mark.parametrize("method, order", [("euler", 1), ("midpoint", 2)])
def test_order_of_the_sampler(method, order):
    """dx/dt = (1 + t) x (1 - x) is solved by a logistic curve."""
    logit = normal(5, 2)
    field = lambda x, t: (1 + t)[:, None] * x * (1 - x)
    errors = [(integrate_velocity(field, logit.sigmoid(), n, method) - (logit + 1.5).sigmoid()).abs().max().item()
              for n in (50, 100, 200)]
    assert all(math.log2(a / b) == pytest.approx(order, abs=.1) for a, b in zip(errors, errors[1:]))


def test_the_sampler_sees_its_times_and_calls_as_often_as_it_says():
    times = []

    def field(x, t):
        times.append(t[0].item())
        return torch.ones_like(x)
    assert torch.allclose(integrate_velocity(field, torch.zeros(3, 2), 4, "euler"), torch.ones(3, 2))
    assert times == [0, .25, .5, .75]
    times.clear()
    integrate_velocity(field, torch.zeros(3, 2), 2)
    assert times == [0, .25, .5, .75]


def test_densities_are_those_of_scikit_learn():
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import KernelDensity
    x, probe = grid(side=2).sample(400, seeded()), grid(side=2).sample(50, seeded(1))
    kde = fit_kernel_density(x)
    theirs = KernelDensity(bandwidth=kde.chosen).fit(x.double().numpy()).score_samples(probe.double().numpy())
    assert torch.allclose(kde.log_prob(probe), torch.from_numpy(theirs))
    rows = x.double()
    size = (rows - rows.mean(0)).square().mean().sqrt()
    unit = lambda v: ((v.double() - rows.mean(0)) / size).numpy()
    for covariance in ("full", "diag"):
        ours = fit_gaussian_mixture(x, [4], covariance)
        fit = GaussianMixture(4, covariance_type=covariance, random_state=0, init_params="k-means++").fit(unit(x))
        assert torch.allclose(ours.log_prob(probe), torch.from_numpy(fit.score_samples(unit(probe))) - 2 * size.log())
        assert ours.scores == {4: pytest.approx(fit.bic(unit(x)))}


def test_bandwidth_has_the_best_held_out_likelihood_and_components_the_least_bic():
    x = mixture([[0., 0.], [5., 0.], [0., 5.]], .3).sample(600, seeded())
    kde, mix = fit_kernel_density(x), fit_gaussian_mixture(x, [1, 2, 3, 6])
    assert max(kde.scores, key=kde.scores.get) == pytest.approx(kde.chosen) and len(kde.scores) == 25
    order = torch.randperm(600, generator=seeded(0))
    held, rest = x[order[:120]], x[order[120:]]
    again = dataclasses.replace(kde, centers=rest.double(), weights=torch.full((480,), 1 / 480).double())
    assert again.log_prob(held).mean().item() == pytest.approx(kde.scores[max(kde.scores, key=kde.scores.get)], abs=1e-6)
    assert mix.chosen == 3 == min(mix.scores, key=mix.scores.get)
    assert torch.allclose(mix.weights.sum(), torch.ones(()).double())


def test_samples_have_the_density():
    x = mixture([[0., 0.], [4., 1.]], [[.5, .2], [.3, .9]], [.8, .2]).sample(4000, seeded())
    for fit in FITS:
        model = fit(x)
        y = model.sample(100_000, seeded(1))
        assert torch.allclose(y.mean(0), x.mean(0), atol=.03) and torch.allclose(y.T.cov(), x.T.cov(), rtol=.05, atol=.05)
        cell = torch.cartesian_prod(*[torch.linspace(-3, 7, 101)] * 2)
        assert (model.log_prob(cell).exp().sum() * .01).item() == pytest.approx(1, abs=.01)


# Bad input

@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("x", [torch.ones(9, 2), torch.full((9, 2), math.nan), torch.zeros(1, 2), "grid"])
def test_examples_that_no_density_fits_are_refused(fit, x):
    with pytest.raises((TypeError, ValueError), match="^x: expected"):
        fit(x)


def test_wrong_settings_of_the_fits_are_refused():
    x = normal(9, 2)
    for components in ([10], [0], [], 3, [1.5]):
        with pytest.raises((TypeError, ValueError), match="components: expected"):
            fit_gaussian_mixture(x, components)
    with pytest.raises(ValueError, match="covariance"):
        fit_gaussian_mixture(x, [1], "tied")
    for wrong in ({"bandwidths": 1}, {"held_out": 0.}, {"held_out": 1.}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fit_kernel_density(x, **wrong)


def test_wrong_calls_of_a_fitted_model_are_refused():
    model = fit_kernel_density(normal(9, 2))
    with pytest.raises(ValueError, match="n: expected"):
        model.sample(0, seeded())
    with pytest.raises(TypeError, match="generator: expected"):
        model.sample(3, 0)
    with pytest.raises(ValueError, match="x: expected"):
        model.log_prob(torch.zeros(3, 4))


def test_wrong_velocities_and_solvers_are_refused():
    start = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"velocity: expected shape \(3, 2\), got \(3,\)"):
        integrate_velocity(lambda x, t: t, start)
    with pytest.raises(TypeError, match="velocity: expected"):
        integrate_velocity(lambda x, t: None, start)
    with pytest.raises(ValueError, match="method"):
        integrate_velocity(lambda x, t: x, start, 4, "heun")
    with pytest.raises(ValueError, match="noise, |noise:|velocity"):
        flow_matching_loss(torch.zeros(3, 2), torch.zeros(4, 2), torch.zeros(3, 2))


@pytest.mark.parametrize("wrong", [{"std": 0.}, {"weight": -1.}, {"std": "1"}])
def test_wrong_settings_of_the_vae_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        VAE(**wrong)


@pytest.mark.parametrize("numbers", [2, 3, 6])
def test_an_encoder_that_gives_another_number_is_named(numbers):
    """A latent of two numbers needs four: two means and two log variances."""
    own = VAE(G=lambda: nn.Linear(2, 2), E=lambda: nn.Linear(2, numbers), networks=Networks(latent=2))
    with pytest.raises(ValueError, match=rf"E: expected means and log variances, shape \(2, 8, 4\), got \(2, 8, {numbers}\)"):
        Run(own, ring(), runs=2, batch=8, device="cpu").step(1)


def test_the_generator_of_a_flow_refuses_other_latents_and_times():
    G = Run(FlowMatching(networks=Networks(width=8)), ring(), runs=1, device="cpu").player("G")
    for z in (torch.zeros(1, 5, 3), torch.zeros(5, 2)):
        with pytest.raises(ValueError, match="z: expected latents"):
            G(z)
    with pytest.raises(ValueError, match=r"time: expected shape \(1, 5\), got \(1, 4\)"):
        G(torch.zeros(1, 5, 2), torch.zeros(1, 4))


def test_equal_examples_give_the_smallest_bandwidth_and_a_warning():
    x = normal(40, 2)
    with pytest.warns(UserWarning, match="the smallest bandwidth is the best"):
        assert fit_kernel_density(x.repeat(8, 1)).chosen < .01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_kernel_density(x)


def test_flow_refuses_other_latents_and_networks():
    with pytest.raises(ValueError, match=r"latent: expected 2, as many numbers as an example of shape \(2,\) has, got 3"):
        Run(FlowMatching(networks=Networks(latent=3)), ring(), runs=1, device="cpu")
    with pytest.raises(ValueError, match="kind: expected mlp for FlowMatching"):
        Run(FlowMatching(networks=Networks("conv")), digits(), runs=1, device="cpu")
    for wrong in ({"ode_steps": 0}, {"method": "heun"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FlowMatching(**wrong)


# Shapes: a plain module, a run axis, pictures

@pytest.mark.parametrize("event", [(), (2,), (1, 4, 4)])
def test_losses_keep_runs_apart(event):
    velocity, noise, real = normal(3, 2, 5, *event)
    whole = flow_matching_loss(velocity, noise, real, runs=1)
    assert torch.allclose(whole, torch.stack([flow_matching_loss(*v) for v in zip(velocity, noise, real)]))
    mean, log_variance = normal(2, 2, 5, 3, seed=1)
    whole = elbo_loss(noise, real, mean, log_variance)
    assert torch.allclose(whole, torch.stack([elbo_loss(*v) for v in zip(noise, real, mean, log_variance)]))


@pytest.mark.parametrize("lead", [1, 2])
def test_the_sampler_takes_runs_and_pictures(lead):
    start = normal(2, 3, 1, 4, 4).flatten(0, 2 - lead)
    seen = []
    end = integrate_velocity(lambda x, t: seen.append(t.shape) or x, start, 3, lead=lead)
    assert end.shape == start.shape and set(seen) == {start.shape[:lead]}


@pytest.mark.parametrize("fit", FITS)
def test_fits_of_points_on_the_line_and_of_pictures(fit):
    for data in (line(), digits(), stacked_digits()):
        x = data.sample(60, seeded())
        made = fit(x).sample(7, seeded(1))
        assert made.shape == (7, *data.event) and made.dtype == torch.float32
        assert len(data.event) == 1 or made.abs().max() <= 1
        assert coverage(made, data).n == 7 and fit(x).log_prob(x).shape == (60,)


def test_fits_take_other_types_and_leave_their_input_alone():
    x = normal(50, 2)
    for given in (x.float(), x.numpy(), (9 * x).round().long(), x.clone().requires_grad_()):
        kept = given.clone() if isinstance(given, torch.Tensor) else given.copy()
        for fit in FITS:
            assert torch.isfinite(fit(given).sample(3, seeded())).all()
        assert (given == kept).all()


@pytest.mark.parametrize("game", [VAE, FlowMatching])
@pytest.mark.parametrize("data", [lambda: ring(std=.1), line, digits])
def test_games_play_and_resume(game, data, tmp_path):
    plays_and_resumes(lambda: game(networks=Networks(width=8)), data, tmp_path, player=game.turns)


def test_a_vae_of_convolutions():
    run = Run(VAE(networks=Networks("conv", width=4, latent=6)), digits(), runs=2, batch=4, device="cpu").step(1)
    assert run.sample(3).shape == (2, 3, 1, 8, 8) and run.player("E")(run.sample(3)).shape == (2, 3, 6)


def test_own_networks():
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 2)

        def forward(self, x, t):
            assert x.shape == (len(t), 2) and t.shape == (len(x), 1)
            return self.net(torch.cat([x, t], 1))
    run = Run(FlowMatching(V=Field), ring(), runs=2, batch=8, device="cpu").step(2)
    assert run.sample(5).shape == (2, 5, 2)
    own = VAE(G=lambda: nn.Linear(2, 2), E=lambda: nn.Linear(2, 4), networks=Networks(latent=2))
    assert Run(own, ring(), runs=2, batch=8, device="cpu").step(2).sample(5).shape == (2, 5, 2)


# Determinism

@pytest.mark.parametrize("fit", FITS)
def test_same_seed_same_fit_and_same_samples(fit):
    x = grid(side=2).sample(200, seeded())
    before = torch.get_rng_state()
    one, two = fit(x, seed=3), fit(x, seed=3)
    assert one.chosen == two.chosen and one.scores == two.scores and torch.equal(one.centers, two.centers)
    assert torch.equal(one.sample(9, seeded(1)), two.sample(9, seeded(1)))
    assert not torch.equal(one.sample(9, seeded(1)), two.sample(9, seeded(2)))
    assert torch.equal(before, torch.get_rng_state())


def test_another_seed_is_another_split():
    x = grid(side=2).sample(200, seeded())
    assert fit_kernel_density(x, seed=0).scores != fit_kernel_density(x, seed=1).scores


@pytest.mark.parametrize("game", [VAE, FlowMatching])
def test_a_run_is_its_seed(game):
    def fresh(runs, seed):
        return Run(game(networks=Networks(width=8)), ring(std=.1), runs=runs, seed=seed, batch=8, device="cpu").step(3)
    assert same_run(fresh(2, 0), fresh(2, 0)) and not same_run(fresh(2, 0), fresh(2, 2))
    assert torch.allclose(fresh(2, 0).sample(5)[1], fresh(1, 1).sample(5)[0], atol=1e-5)


def test_importing_loads_no_scikit_learn():
    code = "import sys, modelab.methods.density_models; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# The games

def test_they_are_known_by_name():
    flow = make("game", {"name": "flowmatching", "ode_steps": 5, "method": "euler", "width": 8})
    vae = make("game", {"name": "vae", "std": .3, "weight": 2., "latent": 3})
    assert isinstance(flow, FlowMatching) and (flow.ode_steps, flow.method, flow.networks.width) == (5, "euler", 8)
    assert isinstance(vae, VAE) and (vae.std, vae.weight, vae.networks.latent) == (.3, 2., 3)


@pytest.mark.parametrize("game", [VAE(networks=Networks(width=8)), FlowMatching(networks=Networks(width=8))])
def test_the_lab_shows_what_they_make(game):
    lab = Lab(game, ring(std=.15), batch=8, samples=50).step(2)
    before = lab.to_string()
    assert render_frame(lab.sides["A"]) and str(lab.mode_status(0)).startswith("Mode 0 is") and lab.to_string() == before


def test_losses_of_the_games_are_their_parts():
    run = Run(FlowMatching(networks=Networks(width=8)), ring(), runs=2, batch=16, device="cpu")
    one, two = Turn(run, 0, 0), Turn(run, 0, 0)
    time = torch.stack([torch.rand(16, generator=g) for g in two.generator])
    x = (1 - time[..., None]) * two.z + time[..., None] * two.x
    due = (two.G.velocity(x, time) - (two.x - two.z)).square().sum(-1).mean(-1)
    assert torch.allclose(run.game.loss_G(one), due, rtol=1e-3)
    run = Run(VAE(std=.3, weight=2., networks=Networks(width=8)), ring(), runs=2, batch=16, device="cpu")
    one, two = Turn(run, 0, 0), Turn(run, 0, 0)
    mean, log_variance = two.E.moments(two.x)
    noise = torch.stack([torch.randn(16, 2, generator=g) for g in two.generator])
    due = elbo_loss(two.G(mean + (log_variance / 2).exp() * noise), two.x, mean, log_variance, .3, 2.)
    assert torch.allclose(run.game.loss_GE(one), due)


def test_latents_are_as_long_as_an_example():
    for data, length in ((line(), 1), (ring(), 2), (stacked_digits(), 192)):
        assert Run(FlowMatching(networks=Networks(width=4)), data, runs=1, batch=2, device="cpu").latent == length
    assert Run(VAE(networks=Networks(width=4)), stacked_digits(), runs=1, batch=2, device="cpu").latent == 64


def test_a_flow_learns_a_ring_and_a_vae_one_mode():
    run = Run(FlowMatching(networks=Networks(width=32), optimiser=Optimiser(1e-2)), ring(std=.15), runs=2, batch=128,
              average=.98, device="cpu").step(300)
    assert all(c.captured == 8 and c.high_quality > .6 for c in run.coverage())
    law = mixture([[1., -1.]], .2)
    run = Run(VAE(std=.2, networks=Networks(width=16), optimiser=Optimiser(3e-3)), law, runs=2, batch=128, device="cpu").step(400)
    assert torch.allclose(run.sample(2000).mean(1), torch.tensor([[1., -1.]]).expand(2, 2), atol=.1)


# The claims

def test_the_record_holds_what_the_chapter_says():
    kept, past = recorded("references"), recorded("wasserstein")
    rows = {row["setting"]: row for row in kept["points"]}
    for name, most in (("grid", 25), ("rare_modes", 9)):
        mix, gan = rows[f"{name}: Gaussian mixture"], rows[f"{name}: GAN with R1"]
        assert min(mix["captured"]) == most and max(mix["tv"]) < min(gan["tv"]) and len(mix["tv"]) == 8
    same = next(row for row in past["rare_modes"] if row["setting"] == "R1 weight 0.1, lr 0.003")
    assert rows["rare_modes: GAN with R1"]["captured"] == same["by seed"]  # the same training as in chapter 1.4
    assert min(rows["rare_modes: flow matching"]["captured"]) == 9 > min(rows["rare_modes: VAE"]["captured"])
    shown = {row["setting"]: row for row in kept["digits"]}
    assert min(shown["kernel density"]["high_quality"]) > max(shown["GAN with R1"]["high_quality"])


def test_a_chosen_setting_has_the_smallest_tv_of_those_that_were_tried():
    kept = recorded("references")
    for part in ("points", "digits"):
        tried = {row["setting"]: sum(row["tv"]) for row in kept[f"{part} tuning"]}
        for row in kept[part]:
            own = {name: tv for name, tv in tried.items() if name.startswith(row["setting"] + ", ")}
            network = row["setting"].endswith(("flow matching", "VAE", "GAN with R1"))
            assert len(own) == 4 * network and (not own or min(own, key=own.get) == f"{row['setting']}, {row['chosen']}")
