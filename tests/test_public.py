"""The public face: flat, lazy, complete, documented, and known to editors although it is loaded at first use."""

import ast
import importlib
import inspect
import os
import pydoc
import shutil
import subprocess
import sys

import pytest

import modelab
from modelab import _index

CONTRACT = """
mixture ring grid line rare_modes digits stacked_digits mnist stacked_mnist fashion_mnist scenes faces image_folder labelled_modes
coverage Coverage precision_recall density_coverage pr_curve frechet_distance nearest
audit Report interpolations missing compare compare_all samples_needed smallest_loss
gradient_penalty r1 r2 pairwise_gradient_penalty imle_loss interpolation_loss max_gradient_penalty
wasserstein_gradient_penalty as_critic with_labels Run Game Lab Minimax Wasserstein ClippedWasserstein ZeroCentred Encoder BiGAN PairwiseBiGAN
Relativistic PacGAN Unrolled ModeSeeking
VAE FlowMatching fit_gaussian_mixture fit_kernel_density
IMLE IMLEGAN Lipschitz GroundMetric Currents Entropic NonParametricPrior MMIALI SAGAN FewLabels Imputer HexaGAN exchange_domains cycle_losses paired_loss
translate_domains
""".split()


@pytest.mark.parametrize("name", CONTRACT)
def test_a_public_name_is_there_and_documented(name):
    thing = getattr(modelab, name)
    assert name in modelab.__all__ and name in dir(modelab)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_every_registered_game_is_public():
    assert {name.lower() for name in modelab.__all__} >= set(_index.GAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ringg'"):
        modelab.ringg


def test_every_name_of_the_groups_is_in_a_module():
    assert not [name for group in modelab._PUBLIC.values() for name in group.split() if name not in _index.NAMES]


def test_a_public_name_that_no_module_has_breaks_nothing_but_its_use(root, tmp_path):
    package = tmp_path / "modelab"
    package.mkdir()
    (package / "__init__.py").write_text((root / "modelab/__init__.py").read_text().replace('"Lab"', '"Lab lost"'))
    shutil.copyfile(root / "modelab/_index.py", package / "_index.py")
    code = "import modelab\nassert 'lost' not in modelab.__all__\ntry: modelab.lost\nexcept AttributeError as e: print(e)"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "module 'modelab' has no attribute 'lost'"


def test_no_public_name_stands_in_two_modules():
    where = {}
    for module in _index.MODULES:
        for name in getattr(importlib.import_module(f"modelab.{module}"), "__all__", []):
            where.setdefault(name, []).append(module)
    assert not {name: modules for name, modules in where.items() if len(modules) > 1}


def test_every_module_says_what_is_inside():
    assert not [module for module, doc in _index.MODULES.items() if not doc]


def test_the_stub_is_what_the_package_offers(root):
    tree = ast.parse((root / "modelab/__init__.pyi").read_text(encoding="utf-8"))
    offered = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            offered |= {alias.asname: f"modelab.{node.module}" for alias in node.names}
    assert set(offered) == set(modelab.__all__)
    for name, module in offered.items():
        assert getattr(importlib.import_module(module), name) is getattr(modelab, name)
    assert (root / "modelab/py.typed").exists()


def test_help_is_a_map():
    text = pydoc.plain(pydoc.render_doc(modelab))
    head = text[:text.index("PACKAGE CONTENTS")]
    for name in CONTRACT[:38]:
        assert name in head, f"{name} is not on the map"


def test_importing_costs_neither_torch_nor_numpy():
    code = "import sys, modelab; print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'scipy'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
