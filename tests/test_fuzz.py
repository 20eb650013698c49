"""Every public function gets hostile arguments: it answers rightly, or refuses with an error that names the argument.

What a function takes is read from its signature: a function that is `@checked`, a class whose constructor or fields are,
and every registered game and mode set are tried without being named here. Only old functions that do not declare their
arguments stand in `EXPLICIT`, and what no user calls in `LEFT_OUT`.
"""

import dataclasses
import doctest
import importlib
import inspect
import typing

import numpy as np
import pytest
import torch
from fuzzing import (Undeclared, found, game_problems, hostile, nans, outcome, PATHS, problems, refused, Subject, subject,
                     wrong)
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, Tensor

from modelab import _index
from modelab.core.registry import GAMES, register_game, registered
from modelab.core.signatures import CHECKED, checked, Count, declarations, Finite, NonNegative, Number, Shape
from modelab.data.mixtures import ring
from modelab.data.twins import twins
from modelab.evaluation.coverage import coverage
from modelab.evaluation.precision_recall import density_coverage, histogram_curve
from modelab.evaluation.protocols import PROTOCOLS
from modelab.methods.joint import exchange_domains
from modelab.methods.label_predictor import LabelPredictor, predictor_body
from modelab.methods.lipschitz import OBJECTIVES
from modelab.methods.minimax import Minimax
from modelab.methods.tabular import Imputer
from modelab.networks.convolutional import conv_discriminator
from modelab.networks.growing import grown_generator
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.run import Run

MODULES = [name for name in _index.MODULES if name != "__main__"]


def points(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def shares(k, seed=0):
    p = torch.rand(k, generator=seeded(seed), dtype=torch.float64)
    return p / p.sum()


def two():
    return [seeded(0), seeded(1)]


def same(x):
    return x


def critic(x):
    return x.square().reshape(len(x), -1).sum(1)


def pictures(seed=0):
    return torch.rand(3, 1, 4, 4, generator=seeded(seed))


def curve():
    return histogram_curve(shares(4), shares(4, 1), 11)


RUN = Run("minimax", "ring", runs=1, batch=4, device="cpu")
PREDICTOR = LabelPredictor(predictor_body((1, 4, 4), 4, 2), 4, 3)
FILE = {"path": ""}  # set by a fixture
SHOT = type("Shot", (), {"png": b"", "alt": ""})()

# Arguments of functions that do not declare all of theirs, by a function so that every call gets its own. What is missing
# here is made from the signature. A new function declares its arguments instead.
EXPLICIT = {
    "core.statistics.interval": lambda: dict(values=[1., 2., 4.], confidence=.9, low=0., high=5.),
    "core.statistics.wilson_interval": lambda: dict(share=.5, n=9, confidence=.9),
    "core.statistics.clopper_pearson": lambda: dict(hits=3, n=9, tail=.05),
    "core.checks.check_int": lambda: dict(name="value", value=3, least=1, most=5),
    "core.checks.check_ints": lambda: dict(name="values", values=[3, 4], least=1, most=5),
    "core.checks.check_number": lambda: dict(name="value", value=.5, least=0., most=1., above=-1.),
    "core.checks.check_choice": lambda: dict(name="value", value="a", known=["a", "b"]),
    "core.checks.check_batch": lambda: dict(name="x", x=points(3, 2), event=(2,), least=1),
    "core.checks.check_tensors": lambda: dict(x=points(3, 2)),
    "core.checks.check_logits": lambda: dict(real=points(3, 2), fake=points(3, 2)),
    "core.checks.check_callable": lambda: dict(f=len),
    "core.registry.make": lambda: dict(kind="modes", spec="ring"),
    "core.plotting.Film": lambda: dict(frames=[SHOT], labels=["a"]),
    "data.mixtures.Mixture": lambda: dict(centers=points(3, 2), std=.1, weights=[1., 2., 3.], pad=.5),
    "data.mixtures.mixture": lambda: dict(centers=points(3, 2), std=.1, weights=[1., 2., 3.]),
    "data.mixtures.sample_modes": lambda: dict(modes=ring(), minority=[0, 3], n=4, generator=seeded()),
    "data.mixtures.Mixture.assign": lambda: dict(self=ring(), x=points(5, 2), within=3., metric="box"),
    "data.mixtures.Mixture.log_prob": lambda: dict(self=ring(), x=points(5, 2)),
    "data.mixtures.ModeSet.sample": lambda: dict(self=ring(), n=3, generator=seeded()),
    "data.mixtures.ModeSet.sample_with_modes": lambda: dict(self=ring(), n=3, generator=seeded()),
    "data.mixtures.ModeSet.to": lambda: dict(self=ring(), device="cpu"),
    "data.mnist.read_idx": lambda: dict(path="absent.idx", kind="images", limit=99),
    "data.mnist.mnist": lambda: dict(folder="absent", split="train"),
    "data.mnist.stacked_mnist": lambda: dict(folder="absent", split="train"),
    "data.picture_folders.image_folder": lambda: dict(folder="absent", size=8, attributes=(), table=None, held_out=.1),
    "data.labelled.labelled_modes": lambda: dict(data=points(6, 2), labels=[0, 1, 2] * 2, held_out=.1),
    "data.mnist.fashion_mnist": lambda: dict(folder="absent", split="train"),
    "data.pictures.faces": lambda: dict(include=["hat"], noise=.04),
    "data.twins.Twins.assign": lambda: dict(self=twins(), x=points(2, 3, 8, 8), within=3.),
    "data.frames.read_frames": lambda: dict(source=np.zeros((3, 4, 4), np.uint8), size=(4, 4)),
    "data.frames.read_celeba": lambda: dict(folder="absent", size=8, limit=2),
    "data.frames.median_background": lambda: dict(frames=points(4, 1, 3, 3), window=3),
    "data.frames.foreground_share": lambda: dict(frames=points(4, 1, 3, 3), threshold=.2, window=3),
    "data.readers.pictures_to_floats": lambda: dict(x=points(3, 2)),
    "data.readers.index_parts": lambda: dict(bag=points(9, 2), rows=torch.arange(9), max_bytes=64),
    "data.readers.open_samples": lambda: dict(source="absent.npy"),
    "data.readers.read_samples": lambda: dict(source=FILE["path"], most=2, generator=seeded()),
    "evaluation.protocols.kl": lambda: dict(p=shares(4), q=shares(4, 1)),
    "evaluation.protocols.total_variation": lambda: dict(p=shares(4), q=shares(4, 1)),
    "evaluation.protocols.Protocol": lambda: dict(name="a", source="b", points=10, within=2., metric="box", least=.5,
                                                  kl_over="all"),
    "evaluation.coverage.coverage": lambda: dict(x=points(50, 2), modes=ring(), protocol="pacgan"),
    "evaluation.coverage.coverages": lambda: dict(x=points(2, 50, 2), modes=ring(), protocol="fair"),
    "evaluation.coverage.coverage_table": lambda: dict(coverages=coverage(points(50, 2), ring())),
    "evaluation.reference_law.reference_law": lambda: dict(modes=ring(), protocol=PROTOCOLS["pacgan"]),
    "evaluation.neighbours.nearest": lambda: dict(queries=points(5, 2), pool=points(6, 2, seed=1), max_bytes=1 << 20, runs=0),
    "evaluation.interpolation.interpolation_position": lambda: dict(a=points(3, 4), b=points(3, 4, seed=1), t=.5),
    "evaluation.interpolation.slerp": lambda: dict(a=points(3, 4), b=points(3, 4, seed=1), t=.5),
    "evaluation.precision_recall.PRCurve.f": lambda: dict(self=curve()),
    "evaluation.precision_recall.PRCurve.at": lambda: dict(self=curve()),
    "evaluation.precision_recall.pr_curve": lambda: dict(method="clusters", clusters=3),
    "evaluation.precision_recall.Neighbourhoods.interval": lambda: dict(
        self=density_coverage(points(9, 2), points(9, 2)), name="coverage"),
    "networks.layers.Linear": lambda: dict(inputs=2, outputs=3, runs=2, generator=two(), gain=1.),
    "networks.layers.mlp": lambda: dict(inputs=(2,), outputs=3, runs=2, last=torch.tanh),
    "networks.layers.mlp_generator": lambda: dict(event=(1, 8, 8), runs=2),
    "networks.layers.JointMLP": lambda: dict(sizes=[2, 3], outputs=(), width=4, depth=1, runs=2, generator=two()),
    "networks.layers.joint_discriminator": lambda: dict(event=(2,), runs=2),
    "networks.layers.per_run": lambda: dict(name="D", given=lambda: nn.Linear(2, 1), runs=2, generator=two()),
    "networks.layers.make_player": lambda: dict(name="D", given=lambda: nn.Linear(2, 1), default=lambda: nn.Linear(2, 1),
                                                runs=2, generator=two()),
    "networks.convolutional.Conv": lambda: dict(inputs=1, outputs=2, size=3, stride=1, runs=2, generator=two(), gain=1.),
    "networks.convolutional.conv_generator": lambda: dict(event=(1, 8, 8), width=2, runs=2, last=torch.tanh),
    "networks.convolutional.conv_discriminator": lambda: dict(event=(1, 8, 8), width=2, runs=2),
    "networks.convolutional.conv_encoder": lambda: dict(event=(1, 8, 8), width=2, runs=2),
    "networks.convolutional.conv_joint_discriminator": lambda: dict(event=(1, 8, 8), width=2, runs=2),
    "networks.convolutional.fold_runs": lambda: dict(x=points(2, 3, 4, 5, 5), runs=2),
    "networks.convolutional.unfold_runs": lambda: dict(x=points(3, 8, 5, 5), runs=2),
    "networks.growing.growth_over": lambda: dict(total=100),
    "networks.growing.box_average": lambda: dict(x=points(2, 1, 8, 8)),
    "networks.growing.fade_pictures": lambda: dict(x=points(2, 1, 8, 8), levels=2, level=1, alpha=.5),
    "networks.growing.minibatch_deviation": lambda: dict(x=points(8, 2, 3, 3)),
    "methods.mode_seeking.pack": lambda: dict(x=points(8, 2), packing=2),
    "networks.growing.GrowingNet.grow": lambda: dict(self=grown_generator(2, (1, 8, 8), 2), level=1, alpha=.5),
    "networks.growing.grown_generator": lambda: dict(event=(1, 8, 8), width=2, runs=2, last=torch.tanh),
    **{f"networks.growing.grown_{name}": lambda: dict(event=(1, 8, 8), width=2, runs=2)
       for name in ("discriminator", "encoder", "joint_discriminator")},
    "networks.growing.EqualLinear": lambda: dict(inputs=2, outputs=3, runs=2, generator=two(), gain=1., equalised=True, rate=.1,
                                                 start=1.),
    "networks.growing.EqualConv": lambda: dict(inputs=2, outputs=3, size=3, runs=2, generator=two(), gain=1., equalised=True),
    "training.run.Run": lambda: dict(game="minimax", modes="ring", runs=1, seed=0, device="cpu", batch=4, average=.5),
    "training.run.Run.step": lambda: dict(self=RUN, n=1),
    "training.run.Run.sample": lambda: dict(self=RUN, n=3, y=None),
    "training.run.Run.coverage": lambda: dict(self=RUN, protocol="pacgan", n=50),
    "methods.wasserstein.wasserstein_distance": lambda: dict(x=points(5, 2), y=points(5, 2, seed=1)),
    "methods.imle.match_latents": lambda: dict(max_bytes=1 << 20),
    "methods.imle_gan.interpolation_loss": lambda: dict(z=(points(3, 4), points(3, 4, seed=1)), G=same,
                                                        x=(points(3, 4, seed=2), points(3, 4, seed=3)),
                                                        share=torch.rand(3, generator=seeded())),
    "methods.lipschitz.check_conditions": lambda: dict(objective=OBJECTIVES["exp"]),
    "methods.lipschitz.exact_equilibrium": lambda: dict(objective=OBJECTIVES["sqrt"]),
    "methods.lipschitz.Objective": lambda: dict(phi=torch.exp, varphi=torch.exp),
    "methods.lipschitz.Objective.critic_loss": lambda: dict(self=OBJECTIVES["exp"]),
    "methods.lipschitz.Objective.generator_loss": lambda: dict(self=OBJECTIVES["exp"]),
    "methods.ground_metric.edge_gradients": lambda: dict(gradient=points(3, 1, 4, 4), x=points(3, 1, 4, 4),
                                                          scores=points(3)),
    "methods.ground_metric._check_mass": lambda: dict(real=pictures(), fake=pictures(1), lead=1, dims=2, low=-1.),
    "methods.ground_metric.wasserstein_gradient_penalty": lambda: dict(critic=critic, real=pictures(), fake=pictures(1)),
    "methods.currents.exterior_derivative": lambda: dict(form=lambda x: x[..., None, :], x=points(3, 2),
                                                         frame=points(3, 2, 2, seed=1)),
    "methods.currents.flat_penalty": lambda: dict(form=critic),
    "methods.currents.AngleGenerator": lambda: dict(net=nn.Linear(3, 2), angles=1),
    **{f"methods.currents.tangent_{name}": lambda: dict(x=pictures()) for name in ("down", "right", "turn", "grow")},
    "methods.priors.HistogramPrior": lambda: dict(p=shares(8)),
    "methods.priors.midpoint_shares": lambda: dict(p=shares(8)),
    "methods.priors.fit_prior": lambda: dict(spread=.3, bins=16),
    "methods.priors.rescaled_lerp": lambda: dict(a=points(3, 2), b=points(3, 2, seed=1), t=.3),
    "methods.likelihood.surrogate_log_likelihood": lambda: dict(x=points(4, 2), made=points(5, 2, seed=1),
                                                                potential=points(5, seed=2)),
    "methods.joint.exchange_domains": lambda: dict(E=same, G=same, x=points(3, 4, 2), z=points(4, 2, seed=1)),
    "methods.joint.cycle_losses": lambda: dict(E=same, G=same, exchange=exchange_domains(
        same, same, points(3, 4, 2), points(4, 2, seed=1))),
    "networks.attention.add_self_attention": lambda: dict(net=conv_discriminator((1, 8, 8), 2, 2), side=4, inner=2, pool=1,
                                                         generator=two()),
    "methods.attention.power_iteration": lambda: dict(u=points(3, seed=1), matrix=points(3, 4)),
    "methods.attention.spectral_norm": lambda: dict(u=points(3, seed=1), matrix=points(3, 4)),
    "methods.attention.update_spectral_norm": lambda: dict(network=nn.Linear(2, 1)),
    "methods.label_predictor.infer_labels": lambda: dict(y=torch.tensor([0, -1, 2]), logits=points(3, 4)),
    "methods.label_predictor.label_loss": lambda: dict(y=torch.tensor([0, -1, 2]), logits=points(3, 4), weights=shares(3).float()),
    "methods.label_predictor.LabelPredictor": lambda: dict(body=nn.Identity(), generator=two(), runs=2),
    "methods.label_predictor.predictor_body": lambda: dict(event=(1, 8, 8), features=2, width=2, runs=2, generator=two()),
    "methods.label_predictor.feature_body": lambda: dict(event=(1, 8, 8), features=2, width=2, depth=1, kind="conv", runs=2, generator=two()),
    "methods.label_predictor.jitter_pictures": lambda: dict(x=pictures(), generator=seeded(0)),
    "methods.label_predictor.predictor_loss": lambda: dict(predictor=PREDICTOR, x=pictures(), y=torch.tensor([0, -1, 2]), more=pictures(1)),
    "methods.label_predictor.label_predictor": lambda: dict(x=pictures(), y=torch.tensor([0, -1, 2]), more=pictures(1), classes=3,
                                                            body=None, steps=1, batch=2, generator=seeded(0)),
    "methods.label_predictor.cluster_by_features": lambda: dict(predictor=PREDICTOR, x=pictures(), generator=seeded(0)),
    "methods.few_labels.ProjectionDiscriminator": lambda: dict(body=nn.Identity(), generator=two(), runs=2),
    "networks.style.style_generator": lambda: dict(event=(1, 8, 8), width=2, layers=1, runs=2, last=torch.tanh),
    **{f"networks.style.style_{name}": lambda: dict(event=(1, 8, 8), width=2, runs=2)
       for name in "discriminator encoder joint_discriminator".split()},
    "networks.style.path_length_penalty": lambda: dict(lengths=points(2, 5).abs(), mean=points(2).abs(), decay=.01),
    "methods.cell_game.ImputerNetwork": lambda: dict(net=nn.Linear(4, 2), event=(2,)),
    "methods.cell_game.CellDiscriminator": lambda: dict(net=nn.Linear(2, 2)),
    "methods.tabular_networks.balancing_labels": lambda: dict(labels=torch.eye(3)[[0, 0, 1]]),
    "methods.cell_game.impute_rows": lambda: dict(
        run=Run(Imputer(networks=Networks(width=4)), "ring", runs=1, batch=4, device="cpu"), x=points(4, 2), draw=0),
}
WRITTEN = {name: frozenset(words.split()) for name, words in {  # arguments that an author writes, not a user
    "core.checks.check_int": "name least most", "core.checks.check_ints": "name least most",
    "core.checks.check_number": "name least most above", "core.checks.check_choice": "name known",
    "core.checks.check_batch": "name event least", "networks.layers.per_run": "name",
    "networks.layers.make_player": "name default", "core.registry.make": "kind",
    "evaluation.protocols.Protocol": "name source"}.items()}
CARRIES = set("""core.checks.check_tensors core.checks.check_logits evaluation.protocols.kl networks.layers.Linear
evaluation.protocols.total_variation networks.convolutional.fold_runs networks.convolutional.unfold_runs
data.readers.pictures_to_floats evaluation.interpolation.slerp evaluation.interpolation.interpolation_position
methods.priors.rescaled_lerp methods.currents.tangent_down methods.currents.tangent_grow
methods.currents.tangent_right methods.currents.tangent_turn methods.tabular.hide_cells""".split())  # NaN comes out as it went in, or is a hole in a table
LEFT_OUT = {  # layers, modules and names that are not tried here, with the reason
    "course": "tools of the chapters, which an author calls; test_course, test_exercises, test_edition",
    "lab": "works on the lab's own objects, which a user does not make; test_lab, test_panel",
    "core.files": "works on files and locks; test_course",
    "core.plotting": "draws with matplotlib, whose errors these are",
    "core.registry": "wraps an author's classes and functions; test_course",
    "core.seeding": "takes what the engine has checked; test_networks",
    "core.signatures": "the declarations themselves; test_course",
    "core.checks": "an author's checks that the others are made of",
    "data.archives": "works on files; test_data", "data.catalogue": "works on files; test_data",
    "data.cifar": "works on files; test_data", "data.download": "works on servers; test_data",
    "data.faulty_server": "a server for tests; test_data",
    "data.digits": "what the registered sets are made of; test_modes",
    "data.pictures": "what the registered sets are made of; test_pictures",
    "data.twins": "what the registered set is made of; test_attention",
    "data.scaling": "takes the set that a run has checked; test_family",
    "data.mnist.idx_files": "works on files; test_modes",
    **{f"data.{name}": "works on files; test_readers" for name in
       "archive_members array_files arrow_files feature_cache image_files labels matching picture_arrays rows tables".split()},
    "data.examples": "takes whatever a user holds, and refuses it by name; test_held",
    "data.mixed_tables": "takes tables that HexaGAN has checked; test_tabular",
    "methods.tabular_estimator": "an estimator of scikit-learn, with its own checks; test_tabular",
    **{f"methods.{name}": "what HexaGAN is made of; test_tabular" for name in
       "tabular_networks.HexaNetworks tabular_networks.HexaTraining tabular_training.HexaBatch tabular_training.TableTraining".split()},
    "data.readers.is_archive": "takes a path that another function has checked; test_readers",
    "data.readers.join_parts": "is given parts by the functions that read or compute them; chapter 6.5",
    "data.readers.show_parts": "gives back what it was given, with a bar; chapter 6.5",
    "data.readers.resize_rows": "only what `open_samples` and `match_sources` call; test_readers",
    "training.recommended": "takes a name and a count; test_family",
    "evaluation.audit_tests": "what the audit computes with arguments that it has checked; test_audit",
    **{f"evaluation.{name}": "works on files; test_report, test_compare" for name in
       "audit_command.check_outputs compare_parts.interval_picture compare_parts.comparison_document page.save_document page.write_report".split()},
    "evaluation.sequential_test": "what `Monitor` is made of; test_monitor",
    **{name: "works on what `ExampleSource` has read; test_held" for name in
       ("data.examples.match_held", "data.examples.notes_on_sources", "evaluation.copying.named_features", "evaluation.copying.check_spread")},
    "evaluation.yardstick": "what `Monitor` is made of; test_monitor",
    "evaluation.monitor_files": "what `Monitor` writes and draws; test_monitor",
    "evaluation.monitor_adapters": "adapts to other packages; test_monitor",
    "evaluation.audit_sources": "what the audit reads its data with; test_audit",
    **{f"evaluation.{name}": "what the commands check and note; test_audit, test_compare" for name in
       "audit_command.check_holdout audit_command.reading_options copying.refuse_known copying.count_equal "
       "missing.missing_groups".split()},
    **{f"evaluation.audit_command.{name}": "what three commands read their options with; test_report, test_compare" for name in
       "command_features memory_bytes open_matched".split()},
    "evaluation.attributes.check_pairs": "what the table and the command check pairs with; test_missing, test_bad_input",
    "evaluation.annotations": "what the audit and its command know of the examples; test_report, test_audit",
    "evaluation.baseline": "takes reports of `audit`; test_report",
    "evaluation.page": "what the pages of reports are made of; test_report",
    "evaluation.missing_page": "shows what `missing` returned; test_missing, test_pages",
    "evaluation.missing_power": "takes the masses that `missing` computed; test_missing",
    "evaluation.conditions.condition_table": "only what `by_condition` and `audit` call; test_missing, test_report",
    "evaluation.copying.nearest_others": "only what the tests of an audit and of `missing` call; test_audit",
    "evaluation.copying.nearest_rows": "only what `audit` and `copies` call; test_audit, test_copies",
    "evaluation.copying.authentic_share": "only what `authenticity`, `audit` and `copies` call; test_audit, test_copies",
    "evaluation.copying.thin_rows": "only what `audit` calls; test_audit",
    "evaluation.copying.spaced_rows": "only what `audit` and `copies` call; test_audit",
    "evaluation.copying.FeatureRows": "only what `audit` and `copies` make; test_audit",
    "evaluation.ratio_test": "only what `audit` and `copies` call; test_audit, test_copies",
    **{f"evaluation.picture_search.{name}": "only what `audit` and `copies` call; test_copies" for name in
       "searchable change_name changed_scores PictureSearch shrunk transformed_test".split()},
    **{f"evaluation.missing.{name}": "only what `missing` and `audit` call; test_missing, test_audit" for name in
       "principal_directions scaled_columns space_name value_space".split()},
    "evaluation.missing.feature_space": "only what `missing` and `compare` call; test_missing, test_compare",
    **{f"evaluation.attributes.{name}": "only what tables and reports call; test_missing, test_report" for name in
       "holm_adjusted p_cell p_text".split()},
    "evaluation.compare_parts": "what `compare` reads and shows with; test_compare",
    "evaluation.compare.compare_all": "takes samples by name; test_compare",
    "evaluation.feature_networks": "works on files of weights and other packages; test_feature_networks",
    "evaluation.lpips": "the network behind `feature_network`; test_feature_networks",
    "evaluation.scores": "only what `coverage` calls; tested through it",
    "evaluation.reference_law": "only what `coverage` calls; tested through it",
    "evaluation.protocols.has_judge": "only what `coverage` calls; tested through it",
    "evaluation.coverage.plot_coverage": "draws with matplotlib, whose errors these are",
    "evaluation.coverage.Coverages": "holds what `coverages` returned",
    "evaluation.neighbours": "only what `nearest` calls; tested through it",
    "evaluation.balls.balls_holding": "only what `precision_recall` calls; tested through it",
    "evaluation.copying.flat_rows": "only what `audit` calls; tested through it",
    "evaluation.report": "takes what `audit` returned; test_audit",
    "data.random_mixtures.RandomMixture": "made by `random_modes`; test_family",
    "data.picture_folders": "reads pictures from files; test_image_folder",
    "data.labelled.LabelledExamples": "made by `labelled_modes`; test_labelled",
    "evaluation.features": "trains a network; test_imle_gan", "evaluation.traits": "takes trained samples; test_imle_gan",
    **{f"training.{name}": "works on jobs, processes and checkpoints; test_training, test_distributed, test_bench"
       for name in "board_file board_json board_samples board_tables board_tuning checkpoints commands distributed game launch leaderboard players run".split()},
    "training.optimiser": "settings of every game, tried with each; test_training",
    "networks.layers": "what the checked factories of networks are made of; test_networks",
    "networks.adapters": "only what `as_critic` calls; test_foreign_networks",
    "networks.wrappers": "only what the penalties call; test_foreign_networks",
    "networks.convolutional": "what the checked factories of networks are made of; test_networks",
    "networks.style": "what the checked factories of networks are made of; test_style",
    "networks.style.path_lengths": "needs pictures that autograd computed from styles; test_style",
    "networks.growing": "what the checked factories of networks are made of; test_growing",
    "losses.penalties": "only what the penalties call; tested through them",
    "methods.joint.CodePrior": "the prior inside the decoders of a game; test_joint",
    "methods.joint.DomainNetworks": "holds the networks of a game; test_joint",
    "methods.joint.DomainDecoders": "holds the networks of a game; test_joint",
    "methods.joint.DomainEncoders": "holds the networks of a game; test_joint",
    "methods.joint.FixedExamples": "holds what a game trains on; test_joint",
    "methods.joint.split_views": "only what the game calls; test_joint",
    "methods.currents.angle_generator": "only what the game calls; test_currents",
    "methods.currents.field_network": "only what the game calls; test_currents",
    "methods.attention.SpectralNorm": "what `add_spectral_norm` makes; tested through it",
    "networks.attention.Attended": "what `add_self_attention` makes; tested through it",
    "methods.encoder.NoGenerator": "stands where a game has no generator; test_encoder",
    "methods.label_predictor.check_classes": "only what the losses call; tested through them",
    "methods.imle.MatchMemory": "holds what `match_latents` returned",
    "methods.lipschitz.find_objective": "only what the game calls; test_lipschitz",
    "methods.mode_seeking.DeviationMLP": "a network for a game; test_mode_seeking",
    **{f"methods.mode_seeking.{name}": "what the unrolled game is made of; test_mode_seeking" for name in
       "AdamState adam_state unrolled_discriminator".split()},
    "networks.cells": "what HexaGAN and its imputer are made of; test_tabular",
    "methods.wasserstein.optimal_partners": "only what `wasserstein_distance` calls; tested through it",
}
# even if they declare their arguments; a layer takes the dtype of its weights, as torch's own layers do
NEEDS_MORE = "course lab training evaluation.features evaluation.traits networks.attention.SelfAttention.attention_map".split()
NOT_ONE = "data.mixtures.ModeSet networks.layers.Net".split()  # what others are made of


def modules():
    """Every module of the package but the command line."""
    return {name: importlib.import_module(f"modelab.{name}") for name in MODULES}


def public():
    """Functions and classes in some module's `__all__`, by dotted name."""
    return {f"{m}.{n}": getattr(module, n) for m, module in modules().items() for n in getattr(module, "__all__", [])
            if inspect.isfunction(getattr(module, n)) or inspect.isclass(getattr(module, n))}


def named(name: str, call, source=None) -> Subject:
    """A subject with what its explicit case adds."""
    return subject(name, call, source, given=EXPLICIT.get(name, dict), written=WRITTEN.get(name, frozenset()))


def subjects() -> dict[str, Subject]:
    """All that is tried: explicit cases, checked functions and constructors, classes with declared fields, mode sets."""
    registered("game"), modules()
    made = {name: named(name, found(name)) for name in EXPLICIT}
    for key, call in CHECKED.items():
        if not key.startswith("modelab."):
            continue
        name = key.removeprefix("modelab.")
        owner, _, last = name.rpartition(".")
        if any(left_out(name, part) for part in NEEDS_MORE):
            continue
        made[name if last != "__init__" else owner] = named(owner, found(owner), call) if last == "__init__" \
            else named(name, call)
    for name, thing in public().items():
        if settings_class(thing) and not any(left_out(name, part) for part in LEFT_OUT):
            made.setdefault(name, named(name, thing))
    for name, make in registered("modes").items():
        full = f"{inspect.unwrap(make).__module__.removeprefix('modelab.')}.{name}"
        if full not in made:
            made[full] = mode_set(full, make)
    return {name: one for name, one in made.items() if name not in LEFT_OUT}


def mode_set(name: str, make) -> Subject:
    """A registered mode set, each of whose settings has a default."""
    one = subject(name, make)
    one.given = lambda: {p.name: p.default for p in one.parameters.values() if p.default is not p.empty}
    return one


def settings_class(thing) -> bool:
    """A dataclass that checks the fields it declares; games are tried by playing."""
    return (inspect.isclass(thing) and dataclasses.is_dataclass(thing) and not issubclass(thing, Game)
            and hasattr(thing, "__post_init__") and bool(declarations(thing)))


def left_out(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def nothing_to_refuse(thing) -> bool:
    """A record that computes nothing, a protocol, an error, a marker of signatures, or a kind of game."""
    record = dataclasses.is_dataclass(thing) and not hasattr(thing, "__post_init__")
    return inspect.isclass(thing) and (record or hasattr(thing, "check") or getattr(thing, "_is_protocol", False)
                                       or issubclass(thing, (BaseException, Game)) or typing.is_typeddict(thing)
                                       or issubclass(thing, tuple))


def untried(names: dict, tried: set) -> list[str]:
    """Public names that nobody tries, each with what to do about it."""
    return [f"{name}: declare its arguments with @checked (see modelab.core.signatures), give a class declared fields and "
            "`check_fields` or a @checked __init__, or begin its name with an underscore"
            for name, thing in names.items() if name not in tried and not nothing_to_refuse(thing)
            and name not in NOT_ONE and not any(left_out(name, part) for part in LEFT_OUT)]


SUBJECTS = subjects()
NAMES = sorted(SUBJECTS)
TENSOR_NAMES = [name for name in NAMES if name != "evaluation.audit.audit" and SUBJECTS[name].takes_tensors()]
GAME_NAMES = sorted(registered("game"))


def carries(name: str) -> bool | None:
    return True if name in CARRIES or name.startswith("networks.") else None


@pytest.fixture(autouse=True)
def a_file(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    monkeypatch.setitem(FILE, "path", str(tmp_path / "x.npy"))
    monkeypatch.chdir(tmp_path)


def test_every_public_function_is_tried_or_left_out_with_a_reason():
    assert not untried(public(), set(SUBJECTS))
    known = set(public()) | set(MODULES) | {name.partition(".")[0] for name in MODULES}
    assert all(LEFT_OUT.values()) and not {n for n in LEFT_OUT if n not in known}


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_declared_or_tried_by_a_case(name):
    assert not SUBJECTS[name].undeclared(), "declare them in the signature, such as `runs: Count`"


@pytest.mark.parametrize("name", NAMES)
def test_good_arguments_are_good(name):
    arguments = SUBJECTS[name].arguments()
    if any(p in PATHS and "absent" in str(v) for p, v in arguments.items()):
        with pytest.raises(OSError):
            SUBJECTS[name].call(**arguments)
    else:
        result, problem = outcome(SUBJECTS[name].call, arguments, SUBJECTS[name].known())
        assert problem is None, problem or result
        assert name in CARRIES or not nans(result)


@pytest.mark.parametrize("name", NAMES)
def test_one_hostile_argument(name):
    found = problems(SUBJECTS[name], carries(name))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", GAME_NAMES)
def test_a_game_refuses_settings_that_cannot_be(name):
    found = game_problems(name)
    assert not found, "\n".join(found)


SPECIAL = st.sampled_from([0., 1., -1., .5, 1e-300, 1e30, float("nan"), float("inf"), -float("inf")])


@st.composite
def tensors(draw):
    """Tensors of any small shape, of any kind of number, mostly but not always finite."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    kind = draw(st.sampled_from([torch.float32, torch.float64]))
    x = torch.randn(shape, generator=seeded(draw(st.integers(0, 99))), dtype=kind)
    if draw(st.booleans()) and x.numel():
        x.view(-1)[draw(st.integers(0, x.numel() - 1))] = draw(SPECIAL)
    return x.to(draw(st.sampled_from([x.dtype, x.dtype, x.dtype, torch.int64, torch.bool, torch.float16])))


@pytest.mark.parametrize("name", TENSOR_NAMES)
@settings(max_examples=12)
@given(data=st.data())
def test_any_tensors(name, data):
    arguments = SUBJECTS[name].arguments()
    shared = data.draw(tensors())
    for parameter, value in arguments.items():
        if isinstance(value, Tensor) and data.draw(st.booleans()):
            arguments[parameter] = shared if data.draw(st.booleans()) else data.draw(tensors())
    problem = wrong(SUBJECTS[name], arguments, passes_nan=carries(name))
    assert not problem, f"{name}: {problem}"


# The harness itself

def trial(f) -> list[str]:
    """What is wrong with the answers of a function of this test."""
    one = subject(f.__name__, f)
    return [f"{one.name}: undeclared {name}" for name in one.undeclared()] + problems(one)


def test_the_harness_notices():
    assert nans({"a": [1., float("nan")]}) and nans(torch.tensor([float("nan")])) and not nans([1., "nan"])

    @checked
    def loud(n: Count):
        return {3: 1}[n]

    @checked
    def mute(x: typing.Annotated[Tensor, Finite("n")]):
        return float("nan")

    @checked
    def rude(n: Count):
        raise ValueError("this cannot be")
    assert any("KeyError" in p for p in trial(loud)) and any("silent NaN" in p for p in trial(mute))
    assert any("names no argument" in p for p in trial(rude))
    for f in (loud, mute, rude):
        CHECKED.pop(f"{f.__module__}.{f.__qualname__}")


def test_a_new_function_is_tried_without_being_named():
    @checked
    def scaled_distance(real: typing.Annotated[Tensor, Shape("*runs batch *event")],
                        fake: typing.Annotated[Tensor, Shape("*runs batch *event")], *, weight: NonNegative = 1.,
                        form: typing.Literal["l1", "l2"] = "l2") -> Tensor:
        gap = real - fake
        return weight * (gap.abs() if form == "l1" else gap.square()).mean()
    assert trial(scaled_distance) == []
    key = f"{scaled_distance.__module__}.{scaled_distance.__qualname__}"
    CHECKED[f"modelab.methods.new.{key}"] = CHECKED.pop(key)
    try:
        name = next(n for n in subjects() if n.endswith(".scaled_distance"))
        assert untried({name: scaled_distance}, set(subjects())) == []
    finally:
        CHECKED.pop(f"modelab.methods.new.{key}")


def test_an_undeclared_function_is_told_what_to_do():
    def new_loss(real, weight: float):
        return weight * real.mean()
    [message] = untried({"methods.new.new_loss": new_loss}, set(SUBJECTS))
    assert "declare its arguments with @checked" in message
    with pytest.raises(Undeclared, match="say what real is in the signature"):
        subject("methods.new.new_loss", new_loss).arguments()

    @checked
    def half_declared(n: Count, weight: float = 1.):
        return n * weight
    assert trial(half_declared) == ["half_declared: undeclared weight"]
    CHECKED.pop(f"{half_declared.__module__}.{half_declared.__qualname__}")


@pytest.fixture
def throwaway():
    """Registers a class as a game for one test."""
    names = []

    def register(cls):
        names.append(cls.__name__.lower())
        return register_game(cls)
    yield register
    for name in names:
        GAMES.pop(name)


def test_a_new_game_is_tried_without_being_named(throwaway):
    @throwaway
    @dataclasses.dataclass(kw_only=True)
    class Throwaway(Minimax):
        "The original game with a weight on the logits."
        weight: NonNegative = .5

        def loss_D(self, t):
            return super().loss_D(t) * (1 + self.weight)

    @throwaway
    @dataclasses.dataclass(kw_only=True)
    class Careless(Minimax):
        "A game that does not say what its numbers may be."
        weight: float = .5
        power: Number = 1.

        def loss_D(self, t):
            return super().loss_D(t) * (1 / self.power)
    assert {"throwaway", "careless"} <= set(registered("game"))
    assert game_problems("throwaway") == []
    found = game_problems("careless")
    assert any("declare its range" in p for p in found) and any("ZeroDivisionError" in p for p in found)


def test_bad_values_come_from_the_declaration():
    assert 0 in refused(Count) and None in refused(Count) and None not in refused(Count | None)
    assert refused(typing.Literal["a", "b"])[-4:-1] == ["unknown", 3, ["a"]]
    assert any(isinstance(v, Tensor) for v in hostile(points(3, 2)))


# Examples

@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(f"modelab.{name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0


MOST_USED = ["evaluation.coverage.coverage", "losses.penalties.gradient_penalty", "methods.wasserstein.wasserstein_distance",
             "methods.lipschitz.max_gradient_penalty", "evaluation.audit.audit",
             "evaluation.precision_recall.precision_recall", "evaluation.precision_recall.density_coverage",
             "evaluation.precision_recall.pr_curve", "data.mixtures.ring", "networks.layers.mlp", "training.run.Run",
             "methods.pairwise.pairwise_gradient_penalty"]


@pytest.mark.parametrize("name", MOST_USED)
def test_the_most_used_have_an_example(name):
    assert ">>> " in (inspect.getdoc(found(name)) or ""), f"{name}: give its docstring a short example"
