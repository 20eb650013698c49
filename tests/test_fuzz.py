"""Every public function gets hostile arguments: it answers rightly, or refuses with an error that names the argument.

A name in some module's `__all__` must be fuzzed here or be left out with a reason; so a new function fails until it is.
"""

import dataclasses
import doctest
import importlib
import inspect
import math
import pkgutil
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import modelab
from modelab.data.mixtures import ring
from modelab.data.twins import twins
from modelab.evaluation.coverage import coverage, PROTOCOLS
from modelab.evaluation.precision_recall import density_coverage, histogram_curve
from modelab.methods.attention import SAGAN
from modelab.methods.bigan import BiGAN
from modelab.methods.currents import Currents
from modelab.methods.encoder import Encoder
from modelab.methods.few_labels import FewLabels
from modelab.methods.ground_metric import GroundMetric
from modelab.methods.imle import IMLE
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.joint import exchange_domains, MMIALI
from modelab.methods.likelihood import Entropic
from modelab.methods.lipschitz import Lipschitz, OBJECTIVES
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.methods.priors import NonParametricPrior
from modelab.methods.tabular import Imputer
from modelab.methods.wasserstein import ClippedWasserstein, Wasserstein, ZeroCentred
from modelab.networks.convolutional import conv_discriminator
from modelab.networks.players import Networks
from modelab.training.run import Diverged, Run

MODULES = sorted(m.name for m in pkgutil.iter_modules(modelab.__path__) if not m.name.startswith("_"))


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def points(*shape, seed=0):
    return torch.randn(*shape, generator=g(seed))


def critic(x):
    return x.square().reshape(len(x), -1).sum(1)


def judge(x, z):
    return critic(x) + critic(z)


def same(x):
    return x


def shares(k, seed=0):
    p = torch.rand(k, generator=g(seed), dtype=torch.float64)
    return p / p.sum()


SHOT = type("Shot", (), {"png": b"", "alt": ""})()


# What each function is called with when all is well. A function of no arguments, so that every call gets its own.
GOOD = {
    # course
    "course.interval": lambda: dict(values=[1., 2., 4.], confidence=.9),
    "course.claim": lambda: dict(text="one", paper="two", ours=1, holds=True),
    "course.steps": lambda: dict(n=4, fast=2),
    "course.whole": lambda: dict(name="value", value=3, least=1, most=5),
    "course.wholes": lambda: dict(name="values", values=[3, 4], least=1, most=5),
    "course.number": lambda: dict(name="value", value=.5, least=0., most=1., above=-1.),
    "course.one_of": lambda: dict(name="value", value="a", known=["a", "b"]),
    "course.batch": lambda: dict(name="x", x=points(3, 2), event=(2,), least=1),
    "course.tensors": lambda: dict(x=points(3, 2)),
    "course.logits": lambda: dict(real=points(3, 2), fake=points(3, 2)),
    "course.called": lambda: dict(f=len),
    "course.make": lambda: dict(kind="modes", spec="ring"),
    "course.Film": lambda: dict(frames=[SHOT], labels=["a"]),
    # modes
    "modes.Mixture": lambda: dict(centers=points(3, 2), std=.1, weights=[1., 2., 3.], pad=.5),
    "modes.mixture": lambda: dict(centers=points(3, 2), std=.1, weights=[1., 2., 3.]),
    "modes.ring": lambda: dict(n=5, radius=1., std=.01),
    "modes.grid": lambda: dict(side=3, spacing=2., std=.05),
    "modes.line": lambda: dict(n=4, spacing=.25, std=.01, far=2),
    "modes.rare_modes": lambda: dict(share=.9, n=4, radius=2., std=.05),
    "modes.digits": lambda: dict(split="train"),
    "modes.stacked_digits": lambda: dict(split="held_out"),
    "modes.read_idx": lambda: dict(path="absent.idx", kind="images", limit=99),
    "modes.mnist": lambda: dict(folder="absent", split="train"),
    "modes.stacked_mnist": lambda: dict(folder="absent", split="train"),
    "modes.members": lambda: dict(modes=ring(), minority=[0, 3], n=4, generator=g()),
    "modes.Mixture.assign": lambda: dict(self=ring(), x=points(5, 2), within=3., metric="box"),
    "modes.Mixture.log_prob": lambda: dict(self=ring(), x=points(5, 2)),
    "modes.ModeSet.sample": lambda: dict(self=ring(), n=3, generator=g()),
    "modes.ModeSet.sample_with_modes": lambda: dict(self=ring(), n=3, generator=g()),
    "modes.ModeSet.to": lambda: dict(self=ring(), device="cpu"),
    # coverage
    "coverage.within_share": lambda: dict(within=3., d=2),
    "coverage.kl": lambda: dict(p=shares(4), q=shares(4, 1)),
    "coverage.total_variation": lambda: dict(p=shares(4), q=shares(4, 1)),
    "coverage.Protocol": lambda: dict(name="a", source="b", points=10, within=2., metric="box", least=.5, kl_over="all"),
    "coverage.coverage": lambda: dict(x=points(50, 2), modes=ring(), protocol="pacgan"),
    "coverage.coverages": lambda: dict(x=points(2, 50, 2), modes=ring(), protocol="fair"),
    "coverage.law": lambda: dict(modes=ring(), protocol=PROTOCOLS["pacgan"]),
    "coverage.table": lambda: dict(coverages=coverage(points(50, 2), ring())),
    # networks
    "networks.Linear": lambda: dict(inputs=2, outputs=3, runs=2, generator=[g(), g(1)], gain=1.),
    "networks.mlp": lambda: dict(inputs=(2,), outputs=3, width=4, depth=1, runs=2, generator=[g(), g(1)], last=torch.tanh),
    "networks.Conv": lambda: dict(inputs=1, outputs=2, size=3, stride=1, runs=2, generator=[g(), g(1)], gain=1.),
    "networks.mlp_generator": lambda: dict(latent=3, event=(1, 8, 8), width=4, depth=1, runs=2, generator=[g(), g(1)]),
    "networks.conv_generator": lambda: dict(latent=3, event=(1, 8, 8), width=2, runs=2, generator=[g(), g(1)]),
    "networks.conv_discriminator": lambda: dict(event=(1, 8, 8), width=2, runs=2, generator=[g(), g(1)]),
    "networks.fold": lambda: dict(x=points(2, 3, 4, 5, 5), runs=2),
    "networks.unfold": lambda: dict(x=points(3, 8, 5, 5), runs=2),
    "networks.each": lambda: dict(name="D", given=lambda: nn.Linear(2, 1), runs=2, generator=[g(), g(1)]),
    "networks.player": lambda: dict(name="D", given=lambda: nn.Linear(2, 1), default=lambda: nn.Linear(2, 1), runs=2,
                                    generator=[g(), g(1)]),
    # minimax
    "minimax.discriminator_loss": lambda: dict(real_logits=points(6), fake_logits=points(6)),
    "minimax.generator_loss": lambda: dict(fake_logits=points(6), saturating=True),
    # training
    "training.Run": lambda: dict(game="minimax", modes="ring", runs=1, seed=0, device="cpu", batch=4, average=.5),
    "training.Run.step": lambda: dict(self=RUN, n=1),
    "training.linear_decay": lambda: dict(run=RUN, n=2, parts=2),
    "training.Run.sample": lambda: dict(self=RUN, n=3),
    "training.Run.coverage": lambda: dict(self=RUN, protocol="pacgan"),
    # wasserstein
    "wasserstein.transport": lambda: dict(x=points(5, 2), y=points(5, 2, seed=1)),
    "wasserstein.critic_loss": lambda: dict(real_scores=points(6), fake_scores=points(6)),
    "wasserstein.generator_loss": lambda: dict(fake_scores=points(6)),
    "wasserstein.clip_weights_": lambda: dict(network=nn.Linear(2, 2), bound=.1),
    "wasserstein.input_gradient": lambda: dict(critic=critic, x=points(4, 2)),
    "wasserstein.event_sum": lambda: dict(values=points(4, 2), scores=points(4)),
    "wasserstein.slope_norm": lambda: dict(slopes=points(4, 2), scores=points(4)),
    "wasserstein.between": lambda: dict(critic=critic, real=points(4, 2), fake=points(4, 2), generator=g()),
    "wasserstein.gradient_penalty": lambda: dict(critic=critic, real=points(4, 2), fake=points(4, 2), target=1., generator=g()),
    "wasserstein.r1": lambda: dict(critic=critic, real=points(4, 2)),
    "wasserstein.r2": lambda: dict(critic=critic, fake=points(4, 2)),
    # bigan, pairwise
    "bigan.generator_encoder_loss": lambda: dict(real_logits=points(6), fake_logits=points(6), form="linear"),
    "bigan.Joined": lambda: dict(sizes=[2, 3], outputs=(), width=4, depth=1, runs=2, generator=[g(), g(1)]),
    "bigan.joint_discriminator": lambda: dict(event=(2,), latent=3, width=4, depth=1, runs=2, generator=[g(), g(1)]),
    "bigan.fading": lambda: dict(step=3, length=10, least=.01),
    "pairwise.pairwise_gradient_penalty": lambda: dict(discriminator=judge, x=points(4, 2), z=points(4, 3), x_hat=points(
        4, 2, seed=1), form="norm", degenerate="mask", blur=.01, generator=g()),
    "pairwise.pairwise_latent_penalty": lambda: dict(discriminator=judge, x_hat=points(4, 2), z=points(4, 3), z_hat=points(
        4, 3, seed=1), form="squared", degenerate="zero", blur=.01, generator=g()),
    "pairwise.alignment": lambda: dict(discriminator=judge, x=points(4, 2), z=points(4, 3), x_hat=points(4, 2, seed=1)),
    # encoder, imle, imle_gan
    "encoder.levels": lambda: dict(codes=points(5, 2), prior="normal"),
    "encoder.ks": lambda: dict(codes=points(5, 2), prior="normal"),
    "encoder.joint_ks": lambda: dict(codes=points(5, 2), prior="uniform"),
    "encoder.kept": lambda: dict(codes=points(6, 2), mode=torch.arange(6) % 2, n_modes=2),
    "encoder.Joined": lambda: dict(sizes=[2, 3], outputs=(), width=4, depth=1, runs=2, generator=[g(), g(1)]),
    "imle.nearest": lambda: dict(queries=points(5, 2), pool=points(6, 2, seed=1), max_bytes=1 << 20, runs=0),
    "imle.imle_loss": lambda: dict(fake=points(5, 2), real=points(5, 2, seed=1), runs=0),
    "imle.match": lambda: dict(G=lambda z: z, real=points(5, 2), latents=points(6, 2, seed=1), chunk=4, max_bytes=1 << 20),
    "imle_gan.described": lambda: dict(x=points(5, 2), features=lambda x: x, lead=1),
    "imle_gan.place": lambda: dict(a=points(3, 4), b=points(3, 4, seed=1), t=.5),
    "imle_gan.slerp": lambda: dict(a=points(3, 4), b=points(3, 4, seed=1), t=.5),
    "imle_gan.interpolation_loss": lambda: dict(G=lambda z: z, z=(points(3, 4), points(3, 4, seed=1)),
                                                x=(points(3, 4, seed=2), points(3, 4, seed=3)), generator=g()),
    # lipschitz, ground_metric
    "lipschitz.mirrored": lambda: dict(phi=torch.exp),
    "lipschitz.Objective": lambda: dict(phi=torch.exp, varphi=torch.exp),
    "lipschitz.conditions": lambda: dict(objective=OBJECTIVES["exp"], span=3., points=11),
    "lipschitz.max_slope": lambda: dict(critic=critic, x=points(4, 2)),
    "lipschitz.max_gradient_penalty": lambda: dict(critic=critic, real=points(4, 2), fake=points(4, 2), generator=g()),
    "lipschitz.equilibrium": lambda: dict(real=points(2, 2), fake=points(2, 2, seed=1), objective=OBJECTIVES["sqrt"],
                                          weight=.5),
    "ground_metric.edge_slopes": lambda: dict(slopes=points(3, 1, 4, 4), x=points(3, 1, 4, 4), scores=points(3), gamma=1.,
                                              neighbours="cross", dims=2, low=-1.),
    "ground_metric.wasserstein_gradient_penalty": lambda: dict(
        critic=critic, real=torch.rand(3, 1, 4, 4, generator=g()), fake=torch.rand(3, 1, 4, 4, generator=g(1)), gamma=1.,
        target=1., neighbours="diamond", dims=2, low=-1., generator=g()),
    # currents
    "currents.pairing": lambda: dict(forms=points(3, 2, 4), vectors=points(3, 2, 4, seed=1)),
    "currents.comass": lambda: dict(forms=points(3, 2, 4)),
    "currents.frames": lambda: dict(x=points(3, 4), k=2, generator=g()),
    "currents.push_forward": lambda: dict(G=critic, z=points(3, 2), k=1),
    "currents.exterior_derivative": lambda: dict(form=lambda x: x[..., None, :], x=points(3, 2), frame=points(3, 2, 2, seed=1)),
    "currents.flat_penalty": lambda: dict(form=critic, x=points(3, 2), mass=1., generator=g()),
    "currents.Turning": lambda: dict(net=nn.Linear(3, 2), angles=1),
    "currents.around": lambda: dict(x=points(3, 2)),
    **{f"currents.{name}": lambda: dict(x=points(3, 1, 4, 4)) for name in ("down", "right", "turn")},
    # priors
    "priors.midpoint": lambda: dict(p=shares(8), odd="split"),
    "priors.Histogram": lambda: dict(p=shares(8), price=.1),
    "priors.fit_prior": lambda: dict(spread=.3, bins=16, odd="drop"),
    "priors.rescaled_lerp": lambda: dict(a=points(3, 2), b=points(3, 2, seed=1), t=.3),
    # likelihood
    "likelihood.sinkhorn": lambda: dict(x=points(4, 2), y=points(5, 2, seed=1), entropy=.5, sweeps=5, runs=0),
    "likelihood.entropic_loss": lambda: dict(x=points(4, 2), y=points(5, 2, seed=1), entropy=.5, sweeps=5, runs=0),
    "likelihood.explicit_log_likelihood": lambda: dict(x=points(4, 2), made=points(5, 2, seed=1), entropy=.5, runs=0),
    "likelihood.surrogate_log_likelihood": lambda: dict(x=points(4, 2), made=points(5, 2, seed=1), potential=points(5, seed=2),
                                                        entropy=.5, runs=0),
    # joint
    "joint.translations": lambda: dict(E=same, G=same, x=points(3, 4, 2)),
    "joint.exchange": lambda: dict(E=same, G=same, x=points(3, 4, 2), z=points(4, 2, seed=1), shift=2),
    "joint.cycle_losses": lambda: dict(E=same, G=same, exchange=exchange_domains(same, same, points(3, 4, 2), points(4, 2, seed=1))),
    "joint.paired_loss": lambda: dict(E=same, G=same, x=points(3, 4, 2), shift=2),
    # attention
    "attention.twins": lambda: dict(wander=True, noise=.05),
    "attention.hinge_discriminator_loss": lambda: dict(real_logits=points(6), fake_logits=points(6)),
    "attention.hinge_generator_loss": lambda: dict(fake_logits=points(6)),
    "attention.SelfAttention": lambda: dict(channels=4, runs=2, generator=[g(), g(1)], inner=2, pool=1),
    "attention.Twins.assign": lambda: dict(self=twins(), x=points(2, 3, 8, 8), within=3.),
    "attention.attended": lambda: dict(net=conv_discriminator((1, 8, 8), 2, 2), side=4, inner=2, pool=1, generator=[g(), g(1)]),
    "attention.power_iteration": lambda: dict(weight=points(3, 4), u=points(3, seed=1), n=2, runs=0),
    "attention.spectral_norm": lambda: dict(weight=points(3, 4), u=points(3, seed=1), runs=0),
    "attention.Spectral": lambda: dict(weight=points(3, 4), runs=0),
    "attention.spectral_normalised": lambda: dict(network=nn.Linear(2, 1), but=["query"]),
    "attention.advance": lambda: dict(network=nn.Linear(2, 1), n=1),
    # few_labels
    "few_labels.Projection": lambda: dict(body=nn.Identity(), features=4, classes=3, runs=2, generator=[g(), g(1)]),
    "few_labels.infer_labels": lambda: dict(y=torch.tensor([0, -1, 2]), logits=points(3, 4)),
    "few_labels.label_loss": lambda: dict(logits=points(3, 4), y=torch.tensor([0, -1, 2])),
    "few_labels.rotations": lambda: dict(x=points(3, 1, 4, 4)),
    # tabular
    "tabular.hide": lambda: dict(x=points(4, 3), rate=0., generator=g()),
    "tabular.complete": lambda: dict(x=points(4, 3), filled=points(4, 3, seed=1)),
    "tabular.row_rmse": lambda: dict(x=points(4, 3), filled=points(4, 3, seed=1), truth=points(4, 3, seed=2)),
    "tabular.discriminator_loss": lambda: dict(scores=points(4, 3), shown=points(4, 3, seed=1) > 0),
    "tabular.generator_loss": lambda: dict(scores=points(4, 3), shown=points(4, 3, seed=1) > 0),
    "tabular.reconstruction_loss": lambda: dict(filled=points(4, 3), x=points(4, 3, seed=1), asked=points(4, 3, seed=2) > 0),
    "tabular.cell_penalty": lambda: dict(critic=lambda x: x.square(), x=points(4, 3), shown=points(4, 3, seed=1) > 0, generator=g()),
    "tabular.Filler": lambda: dict(net=nn.Linear(4, 2), event=(2,)),
    "tabular.Cells": lambda: dict(net=nn.Linear(2, 2)),
    "tabular.Rows": lambda: dict(x=points(4, 3)),
    "tabular.impute": lambda: dict(run=Run(Imputer(networks=Networks(width=4)), "ring", runs=1, batch=4, device="cpu"), x=points(4, 2), draw=0),
    # pictures
    "pictures.scenes": lambda: dict(empty=.9, noise=.04),
    "pictures.faces": lambda: dict(include=["hat"], noise=.04),
    "pictures.read_frames": lambda: dict(source=np.zeros((3, 4, 4), np.uint8), size=(4, 4)),
    "pictures.read_celeba": lambda: dict(folder="absent", size=8, limit=2),
    "pictures.background": lambda: dict(frames=points(4, 1, 3, 3), window=3),
    "pictures.busy": lambda: dict(frames=points(4, 1, 3, 3), threshold=.2, window=3),
    # evidence
    "precision_recall.histogram_curve": lambda: dict(p=shares(4), q=shares(4, 1), angles=11),
    "precision_recall.error_curve": lambda: dict(real_scores=points(6), fake_scores=points(6, seed=1), angles=11),
    "precision_recall.pr_curve": lambda: dict(real=points(16, 2), fake=points(16, 2, seed=1), method="clusters", clusters=3,
                                              rounds=1, angles=11, generator=g()),
    "precision_recall.PRCurve.f": lambda: dict(self=histogram_curve(shares(4), shares(4, 1), 11), beta=8.),
    "precision_recall.PRCurve.at": lambda: dict(self=histogram_curve(shares(4), shares(4, 1), 11), slope=1.),
    "precision_recall.neighbour_radii": lambda: dict(x=points(9, 2), k=3, max_bytes=9999),
    "precision_recall.precision_recall": lambda: dict(real=points(9, 2), fake=points(9, 2, seed=1), k=3, max_bytes=9999),
    "precision_recall.frechet_distance": lambda: dict(real=points(9, 2), fake=points(9, 2, seed=1)),
    "precision_recall.density_coverage": lambda: dict(real=points(9, 2), fake=points(9, 2, seed=1), k=3, max_bytes=9999),
    "precision_recall.Neighbourhoods.interval": lambda: dict(self=density_coverage(points(9, 2), points(9, 2)),
                                                             name="coverage", confidence=.9, rounds=10, generator=g()),
    "precision_recall.companions": lambda: dict(measure=lambda a, b: 1., real=points(9, 2), fake=points(9, 2),
                                                heldout=points(9, 2), generator=g()),
    "precision_recall.seeded": lambda: dict(generator=g()),
    "precision_recall.floats": lambda: dict(x=points(3, 2)),
    "precision_recall.parts": lambda: dict(bag=points(9, 2), rows=torch.arange(9), max_bytes=64),
    "precision_recall.open_bag": lambda: dict(source="absent.npy"),
    "precision_recall.read_bag": lambda: dict(source=FILE, most=2, generator=g()),
    "audit.neighbours": lambda: dict(samples=points(6, 2), reference=points(7, 2, seed=1), k=2),
    "audit.authenticity": lambda: dict(samples=points(6, 2), train=points(7, 2, seed=1)),
    "audit.copying": lambda: dict(samples=points(6, 2), train=points(7, 2, seed=1), holdout=points(5, 2, seed=2)),
    "audit.birthday": lambda: dict(samples=points(9, 2), closer=.1, size=4, rounds=3, generator=g()),
    "audit.audit": lambda: dict(samples=points(40, 2), reference=points(40, 2, seed=1), holdout=points(40, 2, seed=2),
                                labels=torch.arange(40) % 2, features=lambda x: x, level=.05, most=40, generator=g()),
    "audit.interpolations": lambda: dict(decode=lambda z: z, a=points(3, 2), b=points(3, 2, seed=1), reference=points(9, 2),
                                         path=torch.lerp, steps=4, features=lambda x: x),
}
GAMES = {"minimax.Minimax": Minimax, "bigan.BiGAN": BiGAN, "pairwise.PairwiseBiGAN": PairwiseBiGAN,
         "wasserstein.Wasserstein": Wasserstein, "wasserstein.ClippedWasserstein": ClippedWasserstein,
         "wasserstein.ZeroCentred": ZeroCentred, "lipschitz.Lipschitz": Lipschitz,
         "ground_metric.GroundMetric": GroundMetric, "encoder.Encoder": Encoder,
         "imle.IMLE": IMLE, "imle_gan.IMLEGAN": IMLEGAN, "currents.Currents": Currents,
         "likelihood.Entropic": Entropic, "priors.NonParametricPrior": NonParametricPrior,
         "attention.SAGAN": SAGAN, "few_labels.FewLabels": FewLabels, "joint.MMIALI": MMIALI, "tabular.Imputer": Imputer}

SIDE = "works on the lab's own objects, which a user does not make; test_lab drives it"
RESULT = "holds what a function returned"
WRAPS = "wraps a function or class of the author's"
SHAPE = "a type to read, not to call"
LEFT_OUT = {
    **dict.fromkeys(["course.picture", "course.Picture", "course.axes", "course.scatter", "course.tiles", "coverage.draw"],
                    "draws with matplotlib, whose errors these are"),
    **dict.fromkeys(["course.Interval", "course.Claim", "coverage.Law", "coverage.SampleInterval", "coverage.Coverage",
                     "coverage.Table", "coverage.Coverages", "precision_recall.PRCurve", "precision_recall.Neighbourhoods",
                     "precision_recall.Rows", "audit.Finding", "audit.Report", "audit.Paths", "pairwise.Alignment",
                     "training.Turn", "training.Players", "training.Diverged", "view.Recording", "imle.Cloud",
                     "imle.Matches", "likelihood.Coupling", "joint.Exchange"], RESULT),
    **dict.fromkeys(["course.command", "course.game", "course.mode_set", "course.exercise", "course.Grader", "course.refused",
                     "lab.eye", "lab.seen", "lab.alone", "course.Mission", "course.mission"], WRAPS),
    **dict.fromkeys(["course.recorded", "course.hurried", "course.load_all", "course.plain", "course.short", "course.replace",
                     "training.seed_of", "training.sparing", "training.config", "training.write", "training.read"],
                    "no argument of a user's, or fuzzed through `Run.save` and `Run.load` in test_training"),
    **dict.fromkeys([f"{m}.{n}" for m in ("data", "distributed", "bench") for n in importlib.import_module(f"modelab.{m}").__all__
                     if callable(getattr(importlib.import_module(f"modelab.{m}"), n))]
                    + ["training.checkpoints", "modes.idx_files", "modes.fashion_mnist"],
                    "works on files, servers, jobs and processes, whose faults test_data, test_distributed, test_bench try"),
    **dict.fromkeys(["imle.blocks", "imle.rounding", "imle.exact_squares"], "only what `nearest` calls; tested through it"),
    **dict.fromkeys(["imle_gan.Encoder", "imle_gan.self_trained", "imle_gan.by_trait", "encoder.NoGenerator", "joint.Domains",
                     "joint.Decoders", "joint.Encoders", "joint.Shown"],
                    "train or hold a network; tested beside it"),
    **dict.fromkeys(["imle_gan.Features", "modes.ModeSet", "networks.Net", "training.Game", "pairwise.Discriminator", "lipschitz.Score"], SHAPE),
    **dict.fromkeys(["networks.MLP", "networks.ConvGenerator", "networks.ConvDiscriminator", "networks.Each", "modes.Judge",
                     "modes.Scans", "pictures.Rendered", "attention.Twins"], "made by the function of the same name in lower case, or by a set"),
    **dict.fromkeys(["networks.rand", "networks.randn", "networks.score", "audit.page"],
                    "takes any number of arguments, or only what another function returned; tested beside it"),
    **dict.fromkeys(["lab.Event", "lab.Side", "lab.settings", "lab.Call", "lab.Glance", "lab.untouched", "lab.traced",
                     "lab.pushes", "lab.measured", "lab.Lamp", "lab.lamp", "lab.Stage", "lab.narrated", "lab.drawn",
                     "lab.Lab", "view.critic_inputs", "view.critic", "view.kind", "view.view_box", "view.on_plane", "view.fixed",
                     "view.surface", "view.warped", "view.shrunk", "view.pack", "view.unpack", "view.frame", "view.scene",
                     "view.curves", "view.strip", "view.recording", "view.static", "panel.choices", "panel.Driver",
                     "lab.row", "view.encode", "view.code_reach", "view.neutral", "view.mode_names", "panel.driver", "panel.canvas", "panel.Panel", "panel.widget", "panel.bundle"], SIDE),
}
AUTHORS = {"course.whole": "name least most", "course.wholes": "name least most", "course.number": "name least most above", "course.one_of": "name known",
           "course.batch": "name event least", "course.claim": "text paper ours holds", "networks.each": "name",
           "networks.player": "name default", "course.make": "kind", "coverage.Protocol": "name source"}  # written by an author, not given by a user
CARRIES = "minimax. wasserstein. bigan. pairwise. lipschitz. ground_metric. currents. few_labels. coverage.kl coverage.total_variation networks. imle.imle_loss " \
          "imle_gan. joint. tabular. likelihood.entropic_loss attention. precision_recall.floats course.tensors".split()  # elementwise: what is not finite comes out as it went in, for the engine to notice
MAY_BE_NAN = "kl forward spread spreads".split()  # of a `Coverage`, where too few samples are good; it says so
PATHS = {"path", "folder", "source"}


def found(name):
    """The function of a dotted name."""
    thing = importlib.import_module(f"modelab.{name.split('.')[0]}")
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
    return thing


def public():
    """Dotted names of all that can be called in some module's `__all__`."""
    return {f"{m}.{n}" for m in MODULES for n in getattr(importlib.import_module(f"modelab.{m}"), "__all__", [])
            if callable(found(f"{m}.{n}"))}


def hostile(value):
    """Values that should not stand where `value` stands; some may be right by chance."""
    if isinstance(value, torch.Tensor):
        bad = value.clone().double()
        one_nan = bad.clone()
        one_nan.view(-1)[:1] = math.nan
        return [bad.flatten()[0], bad[:1], value[0], value[None], value[..., None], value[:0], value[..., :0], bad * math.nan,
                one_nan, bad.abs() * math.inf, bad * 1e30, -bad.abs(), torch.zeros_like(bad), value.long(), value > 0,
                value * 1j, value.half(), value.numpy(), value.tolist(), value[:-1], "points", None, 3, {}, [["a"]], object()]
    if isinstance(value, np.ndarray):
        return [value[0], value[:0], value.astype(float), value.astype(str), "absent", None, 3, {}, [["a"]], object()]
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [-1, 0, 1, 2.5, math.nan, math.inf, "3", None, True, [1], 1j, object(), np.int64(2), torch.tensor(2)]
    if isinstance(value, float):
        return [-1., 0., 1e-300, 1e300, math.nan, math.inf, -math.inf, "a", None, True, [1.], 1j, object(), np.float32(.5), 10 ** 400]
    if isinstance(value, str):
        return ["", "unknown", 3, None, b"train", ["train"], {}, 1.5, object(), "a\0b"]
    if isinstance(value, torch.Generator):
        return [3, "seed", [g()] * 9, [], {}, object()]
    if isinstance(value, list) and value and isinstance(value[0], torch.Generator):
        return [3, "seed", value[:1], value * 2, [], [1, 2], [None] * len(value), {}, object()]
    if isinstance(value, (list, tuple)):
        return [(), [], [math.nan] * len(value), ["a"] * len(value), [-1] * len(value), [0] * len(value), [2.5] * len(value),
                [None] * len(value), list(value) * 2, 3, "text", None, {}, object(), [[1]]]
    if callable(value):
        return [3, "f", None, lambda *a: None, lambda *a: "x", lambda *a: torch.zeros(()), lambda *a: torch.zeros(0),
                lambda *a: torch.zeros(99, 2), [], object()]
    return [3, "x", None, [], {}, object()]  # an object of ours


def nans(value, depth=0):
    """Whether a result hides a NaN where a reader sees a number."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, dict):
        return any(nans(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(nans(v, depth + 1) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and depth < 3:
        return any(nans(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)
                   if not f.name.startswith("_") and f.name not in MAY_BE_NAN)
    return False


def played(game, settings):
    """One step of a game with these settings: some are looked at only where they are used."""
    plain = {"width": 8, "latent": 2} | ({"reals": 8, "pool": 2} if hasattr(game, "reals") else {})
    try:
        data = "stacked_digits" if game in (GroundMetric, SAGAN) else "ring"
        Run(game(**plain | settings), data, runs=1, batch=4, device="cpu").step(1)
    except Diverged as error:
        assert re.search(r"loss of .* at step 0", str(error)), error  # a number may be too large to play with; the engine says when


def wrong(name, arguments, changed):
    """What is wrong with the answer of a function to these arguments; nothing if it is right or refuses well."""
    call, parameters = found(name), dict(arguments)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = played(call, parameters) if name in GAMES else call(**parameters)
    except (ValueError, TypeError) as error:
        head = str(error).partition(":")[0]
        known = set(arguments) | {f.name for f in dataclasses.fields(call)} if dataclasses.is_dataclass(call) else set(arguments)
        known |= {arguments[p] for p in AUTHORS.get(name, "").split() if isinstance(arguments.get(p), str)}
        if not any(re.search(rf"\b{re.escape(p)}\b", head) for p in known - {"self"}):
            return f"{type(error).__name__} names no argument: {error}"
        return ""
    except OSError as error:
        return "" if set(changed) & PATHS or PATHS & set(arguments) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if any(map(name.startswith, CARRIES)) or not nans(result) else f"silent NaN in {result!r:.200}"


def told(name, parameter, value):
    text = repr(value).replace("\n", " ")
    return f"{name}({parameter}={text[:60]}): "


RUN = Run("minimax", "ring", runs=1, batch=4, device="cpu")
FILE = str(Path(__file__).parent / "absent.npy")


@pytest.fixture(autouse=True)
def a_file(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    monkeypatch.setattr(__import__(__name__), "FILE", str(tmp_path / "x.npy"), raising=False)
    monkeypatch.setitem(globals(), "FILE", str(tmp_path / "x.npy"))
    monkeypatch.chdir(tmp_path)


def test_every_public_function_is_fuzzed_or_left_out_with_a_reason():
    known = set(GOOD) | set(GAMES) | set(LEFT_OUT)
    assert not public() - known, "fuzz these, or say why not"
    assert not {n for n in LEFT_OUT if n not in public()} and not set(LEFT_OUT) & (set(GOOD) | set(GAMES))
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("name", GOOD)
def test_good_arguments_are_good(name):
    if any(PATHS & {p} and "absent" in str(v) for p, v in GOOD[name]().items()):
        with pytest.raises(OSError):
            found(name)(**GOOD[name]())
    else:
        assert not nans(found(name)(**GOOD[name]()))


@pytest.mark.parametrize("name", GOOD)
def test_one_hostile_argument(name):
    problems = []
    for parameter, value in GOOD[name]().items():
        for i, _ in enumerate(hostile(value) if parameter not in ["self", *AUTHORS.get(name, "").split()] else []):
            arguments = GOOD[name]()
            arguments[parameter] = hostile(arguments[parameter])[i]
            if problem := wrong(name, arguments, [parameter]):
                problems.append(told(name, parameter, arguments[parameter]) + problem)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", GAMES)
def test_a_game_refuses_settings_that_cannot_be(name):
    problems = []
    for field in dataclasses.fields(GAMES[name]):
        kind = {"width": 8, "d_width": 8, "latent": 2, "n_critic": 2, "depth": 1, "fade": 3}.get(field.name, field.default)
        if field.name in "GED" or isinstance(kind, bool):
            continue
        for value in hostile(kind):
            if problem := wrong(name, {field.name: value}, [field.name]):
                problems.append(told(name, field.name, value) + problem)
    assert not problems, "\n".join(problems)


SPECIAL = st.sampled_from([0., 1., -1., .5, 1e-300, 1e30, math.nan, math.inf, -math.inf])


@st.composite
def tensors(draw):
    """Tensors of any small shape, of any kind of number, mostly but not always finite."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    x = torch.randn(shape, generator=g(draw(st.integers(0, 99))), dtype=draw(st.sampled_from([torch.float32, torch.float64])))
    if draw(st.booleans()) and x.numel():
        x.view(-1)[draw(st.integers(0, x.numel() - 1))] = draw(SPECIAL)
    return x.to(draw(st.sampled_from([x.dtype, x.dtype, x.dtype, torch.int64, torch.bool, torch.float16])))


TAKES_TENSORS = [n for n, make in GOOD.items() if any(isinstance(v, torch.Tensor) for v in make().values())
                 and n != "audit.audit"]


@pytest.mark.parametrize("name", TAKES_TENSORS)
@settings(max_examples=12)
@given(data=st.data())
def test_any_tensors(name, data):
    arguments = GOOD[name]()
    shared, changed = data.draw(tensors()), []
    for parameter, value in arguments.items():
        if isinstance(value, torch.Tensor) and data.draw(st.booleans()):
            arguments[parameter] = shared if data.draw(st.booleans()) else data.draw(tensors())
            changed.append(parameter)
    problem = wrong(name, arguments, changed)
    assert not problem, f"{name}: {problem}"


# The harness itself

def test_the_harness_notices():
    assert nans({"a": [1., math.nan]}) and nans(torch.tensor([math.nan])) and not nans([1., "nan"])
    course.loud = lambda x: {}["x"]
    course.mute = lambda x: float("nan")
    course.rude = lambda x: int("four")
    try:
        assert "KeyError" in wrong("course.loud", {"x": 1}, ["x"]) and "silent NaN" in wrong("course.mute", {"x": 1}, ["x"])
        assert "names no argument" in wrong("course.rude", {"x": 1}, ["x"])
    finally:
        del course.loud, course.mute, course.rude


# Examples

@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(f"modelab.{name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0


MOST_USED = ["coverage.coverage", "wasserstein.gradient_penalty", "wasserstein.transport", "lipschitz.max_gradient_penalty",
             "audit.audit", "precision_recall.precision_recall", "precision_recall.density_coverage", "precision_recall.pr_curve",
             "modes.ring", "networks.mlp", "training.Run", "pairwise.pairwise_gradient_penalty"]


@pytest.mark.parametrize("name", MOST_USED)
def test_the_most_used_have_an_example(name):
    assert ">>> " in (inspect.getdoc(found(name)) or ""), f"{name}: give its docstring a short example"
