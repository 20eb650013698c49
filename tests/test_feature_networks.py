"""Feature networks: each gives what its own package gives, wrong input is refused, nothing is downloaded.

Real weights are large, so the networks get random ones here, written by the test. The packages are extras: without them
the tests that need one are skipped.
"""

import hashlib
import json
import socket
import sys
import warnings
from unittest import mock

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from modelab.__main__ import main
from modelab.data.pictures import faces
from modelab.evaluation import feature_networks as module
from modelab.evaluation.audit import audit
from modelab.evaluation.compare import compare, compare_all
from modelab.evaluation.conditions import by_condition
from modelab.evaluation.copies import copies
from modelab.evaluation.feature_networks import (FEATURE_NETWORKS, FeatureNetwork, feature_network, find_weights,
                                                 package_file, read_weights, resize_pictures, to_rgb)
from modelab.evaluation.lpips import count_sketch, lpips_rows, vgg16_parts, vgg16_weights
from modelab.evaluation.missing import missing
from modelab.evaluation.monitor import Monitor


def needs(name):
    """An installed package; the test is skipped where it is not, or does not fit this torch."""
    try:
        return pytest.importorskip(name, reason=f"the extra with {name} is not installed")
    except RuntimeError as error:  # torchvision of another build of torch
        pytest.skip(f"{name}: {str(error).partition(chr(10))[0]}")


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def randomise(net, seed=0):
    """Random weights that keep values in range; the same for the same seed."""
    g = torch.Generator().manual_seed(seed)
    for name, p in net.state_dict().items():
        if p.is_floating_point():
            fan = p[0].numel() if p.ndim > 1 else 1
            draw = torch.randn(p.shape, generator=g)
            p.copy_(draw.abs() + .5 if "var" in name else draw * fan ** -.5 * (.3 if p.ndim < 2 else 1))
    return net.eval().requires_grad_(False)


def traced(net, example, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(net, example).save(path)
    return path


def conv_net():
    return randomise(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2)))


@pytest.fixture(autouse=True)
def no_weights_and_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a connection was opened")
    monkeypatch.delenv("MODELAB_WEIGHTS", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)


# the contract

def test_features_are_rows_of_float32_on_the_cpu_whatever_the_batch():
    net, x = conv_net(), pictures(7, 3, 9, 12)
    one, all_at_once = FeatureNetwork("f", net, batch=2)(x), FeatureNetwork("f", net)(x)
    assert one.shape == (7, 20) and one.dtype == torch.float32 and one.device.type == "cpu"
    assert not one.requires_grad and torch.allclose(one, all_at_once, atol=1e-6)
    assert torch.equal(FeatureNetwork("f", net)(x.double().requires_grad_()), all_at_once)
    assert torch.equal(FeatureNetwork("f", net)(x.numpy()), all_at_once)


def test_bytes_count_as_pictures_in_0_to_1():
    x = (255 * pictures(4, 1, 5, 5)).byte()
    assert torch.equal(feature_network("pixels")(x), (x / 255).flatten(1))
    assert torch.equal(feature_network("pixels")(x[:, 0]), (x / 255).flatten(1))


@pytest.mark.parametrize("change, words", [
    (lambda x: 2 * x - 1, "(x + 1) / 2"), (lambda x: 255 * x, "x / 255"), (lambda x: x[0], "x[None] for one picture"),
    (lambda x: x.flatten(1), "(n, channels, height, width)"), (lambda x: x / 0, "NaN"), (lambda x: x[:0], "at least 1")])
def test_wrong_pictures_are_refused(change, words):
    with pytest.raises(ValueError, match="pictures: expected") as caught:
        feature_network("pixels")(change(pictures(4, 3, 5, 5)))
    assert words in str(caught.value)


@pytest.mark.parametrize("extract, words", [
    (lambda x: x.flatten(1) / 0, "NaN or infinity in 4 of 4"), (lambda x: x.flatten(1)[:-1], "expected 4 rows"),
    (lambda x: x.mean(), "expected shape"), (lambda x: x.new_zeros(len(x), 3), "the same for all"),
    (lambda x: (x, x), "expected a tensor"), (lambda x: x @ x.new_ones(99), "failed on examples of shape (4, 3, 5, 5)"),
    (lambda x: {}["a"], "KeyError")])
def test_wrong_features_are_refused(extract, words):
    for pictures_only in (True, False):
        with pytest.raises((ValueError, TypeError), match="features:") as caught:
            FeatureNetwork("mine", extract, pictures=pictures_only)(pictures(4, 3, 5, 5))
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_another_width_than_before_is_refused():
    network = feature_network("pixels")
    network(pictures(3, 1, 4, 4))
    with pytest.raises(ValueError, match="expected 16 per picture as before, got 25"):
        network(pictures(3, 1, 5, 5))


def test_a_collapsed_generator_is_no_fault_of_the_network():
    blind = FeatureNetwork("rounds", lambda x: x.mean((1, 2, 3), keepdim=True).round())
    x = .2 * pictures(6, 3, 8, 8) + pictures(1, 3, 8, 8).round() * .1
    assert blind(x).unique().numel() == 1  # alike for these, but not for all
    assert feature_network("pixels")(pictures(1, 3, 4, 4).expand(5, -1, -1, -1)).unique(dim=0).shape[0] == 1


def test_functions_get_examples_as_they_are_and_know_no_key():
    seen = []

    def embed(x):
        seen.append((x.dtype, tuple(x.shape), x.min().item()))
        return x.cumsum(1)
    network = feature_network(embed, batch=3)
    table = 9 * pictures(4, 2).double() - 5
    assert torch.equal(network(table), table.cumsum(1))
    assert [s[:2] for s in seen] == [(torch.float64, (3, 2)), (torch.float64, (1, 2))] and seen[0][2] < 0
    assert network.key is None and "embed" in network.name and not network.pictures


def test_the_cause_of_a_torchscript_error_is_said(tmp_path):
    colours = feature_network(traced(conv_net(), pictures(2, 3, 8, 8), tmp_path / "net.pt"))
    with pytest.raises(ValueError, match="failed on examples of shape .*: RuntimeError: Given groups=1"):
        colours(pictures(2, 1, 8, 8))


def test_sparse_features_and_a_path_of_a_module_are_refused():
    with pytest.raises(TypeError, match=r"^features: expected a dense tensor, got torch.sparse_coo; write .to_dense\(\)$"):
        audit(*SETS, features=lambda x: x.flatten(1).to_sparse())
    with pytest.raises(ValueError, match="^features: expected mine:embed, got 'mine.py:embed'$"):
        feature_network("mine.py:embed")


# names, files and functions

SETS = [pictures(120, 1, 8, 8, seed=seed) for seed in range(3)]
CALLS = {"audit": lambda f: audit(*SETS, features=f), "missing": lambda f: missing(*SETS, features=f, rounds=19),
         "compare": lambda f: compare(*SETS, features=f, rounds=19), "copies": lambda f: copies(*SETS, features=f),
         "compare_all": lambda f: compare_all(dict(zip("ab", SETS)), SETS[2], features=f, rounds=19),
         "by_condition": lambda f: by_condition(SETS[0], CONDITIONS, SETS[1], CONDITIONS, features=f, rounds=19),
         "Monitor": lambda f: Monitor(SETS[0], lambda n: SETS[1][:n], n=100, features=f).look().counts}
CONDITIONS = torch.arange(120) % 2


@pytest.mark.parametrize("call", CALLS)
def test_every_call_takes_a_name_a_file_and_a_function(call, tmp_path):
    file = traced(nn.Sequential(nn.Flatten(), randomise(nn.Linear(64, 3))), SETS[0][:2], tmp_path / "mine.pt")
    by_name, by_network = (repr(CALLS[call](f)) for f in ("pixels", feature_network("pixels")))
    assert by_name == by_network
    assert repr(CALLS[call](file)) == repr(CALLS[call](str(file)))
    assert repr(CALLS[call](lambda x: x.flatten(1))).replace("<lambda>", "pixels (no resize)") == by_name


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("source, kind, words", [
    ("pixel", ValueError, "^features: unknown 'pixel', did you mean 'pixels'"), (3, TypeError, "^features: expected a name, a file or a function, got 3"),
    ("dinov2", FileNotFoundError, r'^features: dinov2 needs .* feature_network\("dinov2", weights=FILE\)$'),
    (nn.Dropout(), ValueError, "^features: the module is in training mode"),
    (lambda x: x @ torch.ones(9, 2), ValueError, r"^features: <lambda> failed on examples of shape \(\d+, 1, 8, 8\): RuntimeError")])
def test_every_call_refuses_wrong_features_in_one_line(call, source, kind, words, monkeypatch):
    monkeypatch.delenv("MODELAB_WEIGHTS", raising=False)
    with pytest.raises(kind, match=words) as told:
        CALLS[call](source)
    assert "\n" not in str(told.value)


def test_a_function_by_name_is_found_in_the_present_folder(tmp_path, monkeypatch):
    (tmp_path / "my_own_features.py").write_text("LIST = []\ndef embed(x):\n    return 2 * x.flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    x = pictures(3, 1, 4, 4)
    network = feature_network("my_own_features:embed")
    assert torch.equal(network(x), 2 * x.flatten(1)) and network.name == "my_own_features:embed"
    for wrong in ("my_own_features:nothing", "no_such_module_at_all:f", "my_own_features:LIST"):
        with pytest.raises(ValueError, match=wrong):
            feature_network(wrong)


@pytest.mark.parametrize("source, words", [
    ("inseption", "did you mean 'inception'"), ("net.safetensors", "NAME=net.safetensors"), (3, "expected a name"),
    (nn.BatchNorm2d(3), "training mode"), ("", "unknown")])
def test_wrong_sources_are_refused(source, words):
    with pytest.raises((ValueError, TypeError), match="features:") as caught:
        feature_network(source)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [n for n, known in FEATURE_NETWORKS.items() if known.file])
def test_missing_weights_are_told_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "package_file", lambda *_: None)
    monkeypatch.setenv("MODELAB_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        feature_network(name)
    said, known = str(caught.value), FEATURE_NETWORKS[name]
    assert known.file in said and "MODELAB_WEIGHTS" in said and "weights=" in said and "\n" not in said
    assert known.address + known.file in said if known.address else "pip install face-recognition-models" in said
    (tmp_path / known.file).touch()
    assert find_weights(name) == tmp_path / known.file
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_weights(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name, block, extra", [
    ("inception", "torch_fidelity", "features"), ("dinov2", "timm", "features"), ("clip", "open_clip", "features"),
    ("face", "dlib", "faces"), ("resnet18=w.safetensors", "timm", "features"), ("w.onnx", "onnxruntime", "features")])
def test_missing_packages_are_told_with_the_extra(name, block, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("w.safetensors", "w.onnx", "w.pth"):
        (tmp_path / file).touch()
    with mock.patch.dict("sys.modules", {block: None}), pytest.raises(ImportError) as caught:
        feature_network(name, weights="w.pth")
    said = str(caught.value)
    assert f"'.[{extra}]' in a checkout" in said and "modelab[" not in said and "\n" not in said  # PyPI's is another's


def test_a_torchvision_of_another_torch_is_told(tmp_path, monkeypatch):
    finder = mock.Mock(find_spec=mock.Mock(side_effect=lambda name, *_: None if name != "timm" else raise_(RuntimeError("no operator\nx"))))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    (tmp_path / "w.pth").touch()
    with pytest.raises(ImportError, match=r"timm, which cannot be imported \(no operator\); torchvision must fit torch") as caught:
        feature_network("dinov2", weights=tmp_path / "w.pth")
    assert "pip install timm" not in str(caught.value)


def raise_(error):
    raise error


def test_key_and_name_change_with_every_byte_of_the_weights(tmp_path):
    files = [traced(randomise(conv_net(), seed), pictures(2, 3, 8, 8), tmp_path / f"{seed}.pt") for seed in (0, 1)]
    path, found = tmp_path / "net.pt", []
    for file in (files[0], files[1], files[0]):
        path.write_bytes(file.read_bytes())
        found.append(feature_network(path))
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:8] in found[-1].name
    assert found[0].key == found[2].key != found[1].key and found[0].name == found[2].name != found[1].name
    assert found[0].key != feature_network("pixels").key


# TorchScript and weights

def test_a_torchscript_file_gives_the_features_of_its_network(tmp_path):
    net, x = conv_net(), pictures(5, 3, 8, 8)
    for name in ("net.pt", "net.ts"):
        network = feature_network(str(traced(net, x[:1], tmp_path / name)), batch=2)
        assert torch.allclose(network(x), net(x).flatten(1), atol=1e-6) and name in network.name


class Attack:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a stranger ran')",)


def test_files_with_code_are_refused_and_not_run(tmp_path):
    for thing in (conv_net(), {"weight": Attack()}, Attack(), {"a": 1}, torch.zeros(2)):
        torch.save(thing, tmp_path / "f.pt")
        with pytest.raises(ValueError, match="TorchScript"):
            feature_network(tmp_path / "f.pt")
        with pytest.raises(ValueError, match="weights:"):
            read_weights(tmp_path / "f.pt")
    for name in ("f.pt", "f.safetensors"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(ValueError, match="weights:"):
            read_weights(tmp_path / name)


def test_weights_are_read_from_both_formats(tmp_path):
    found = conv_net().state_dict()
    torch.save({"state_dict": found, "epoch": torch.tensor(3)}, tmp_path / "w.pth")
    save_file(found, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        read = read_weights(tmp_path / name)
        assert read.keys() == found.keys() and all(torch.equal(read[k], v) for k, v in found.items())


def test_resize_stretches_and_filters():
    flat = torch.full((1, 3, 10, 6), .25)
    assert torch.allclose(resize_pictures(flat, 5, 7), torch.full((1, 3, 5, 7), .25), atol=1e-6)
    ends = resize_pictures(pictures(2, 3, 8, 8).round(), 31, 17)
    assert ends.min() >= 0 and ends.max() <= 1 and ends.shape == (2, 3, 31, 17)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        to_rgb(pictures(2, 4, 3, 3))


def test_files_of_packages_are_found_without_import():
    assert package_file("json", "decoder.py").is_file()
    assert package_file("json", "nothing.py") is None and package_file("no_package_of_this_name", "x") is None


# networks of other packages, with random weights

def onnx_file(path, shape, dtype="FLOAT"):
    """A network that multiplies by 3 and averages each channel."""
    onnx = needs("onnx")
    make, kind = onnx.helper, getattr(onnx.TensorProto, dtype)
    graph = make.make_graph(
        [make.make_node("Mul", ["x", "three"], ["y"]), make.make_node("GlobalAveragePool", ["y"], ["z"])], "g",
        [make.make_tensor_value_info("x", kind, shape)], [make.make_tensor_value_info("z", kind, None)],
        [make.make_tensor("three", kind, [1], [3.])])
    net = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(net.SerializeToString())
    return path


@pytest.mark.parametrize("shape", [["n", "c", "h", "w"], [None] * 4, ["n", 3, 12, 10], [1, 3, 12, 10], [4, 3, 12, 10]],
                         ids=str)
def test_an_onnx_file_gives_its_first_output(tmp_path, shape):
    needs("onnxruntime")
    network = feature_network(onnx_file(tmp_path / "net.onnx", shape), batch=5)
    x = pictures(11, 3, 8, 8)
    fixed = isinstance(shape[-1], int)
    expected = 3 * (resize_pictures(x, 12, 10) if fixed else x).mean((2, 3))
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert ("12×10 bicubic" if fixed else "no resize") in network.name
    if shape[1] == 3:
        assert torch.allclose(network(x[:, :1])[:, 2], network(x[:, :1])[:, 0])


def test_wrong_onnx_files_are_refused(tmp_path):
    needs("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"no such thing")
    for path, words in ((tmp_path / "bad.onnx", "not readable as ONNX"),
                        (onnx_file(tmp_path / "half.onnx", ["n", 3, 4, 4], "FLOAT16"), "float32")):
        with pytest.raises(ValueError, match=words):
            feature_network(path)


@pytest.mark.parametrize("classes", [0, 7])
def test_a_timm_network_reads_safetensors(tmp_path, classes):
    timm = needs("timm")
    net = randomise(timm.create_model("test_resnet", pretrained=False, num_classes=classes))
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    network = feature_network(f"test_resnet={tmp_path / 'w.safetensors'}", batch=2)
    x, cfg = pictures(3, 1, 20, 30), net.pretrained_cfg
    mean, std = (torch.tensor(cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
    side = cfg["input_size"][-1]
    net.reset_classifier(0)
    expected = net((resize_pictures(x, side, side).expand(-1, 3, -1, -1) - mean) / std)
    assert torch.allclose(network(x), expected, atol=1e-4) and f"{side}×{side} bicubic" in network.name


def test_weights_of_another_timm_network_are_refused(tmp_path):
    timm = needs("timm")
    net = timm.create_model("test_resnet", pretrained=False)
    found = {k: v for k, v in net.state_dict().items() if not k.startswith("conv1")}
    save_file(found, tmp_path / "w.safetensors")
    for source, words in ((f"test_resnet={tmp_path}/w.safetensors", "do not fit"),
                          (f"no_such_net={tmp_path}/w.safetensors", "timm has no 'no_such_net'"),
                          (f"resnet18={tmp_path}/none.safetensors", "no file")):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            feature_network(source)


def test_dinov2_is_timm_s_at_224(tmp_path):
    timm = needs("timm")
    name, size = "vit_small_patch14_dinov2", {"img_size": 224, "num_classes": 0}
    saved = randomise(timm.create_model(name, pretrained=False, num_classes=0))  # at 518 × 518, as published
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    theirs = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": saved.state_dict()}, **size)
    x = pictures(2, 3, 224, 224)
    mean, std = torch.tensor([[.485, .456, .406], [.229, .224, .225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        expected = theirs.eval()((x - mean) / std)
    network = feature_network("dinov2", weights=tmp_path / "w.pth")
    assert network(x).shape == (2, 384) and torch.allclose(network(x), expected, atol=1e-4)
    assert "224×224 bicubic antialiased" in network.name


def test_clip_is_open_clip_s(tmp_path):
    open_clip, torchvision = needs("open_clip"), needs("torchvision")
    net, _, prepare = open_clip.create_model_and_transforms("ViT-B-32-quickgelu", pretrained=None, load_weights=False)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "w.safetensors")
    x = (255 * pictures(2, 3, 224, 224)).byte()
    ready = torch.stack([prepare(torchvision.transforms.functional.to_pil_image(row)) for row in x])
    with torch.no_grad():
        expected = net.eval().encode_image(ready)
    found = feature_network("clip", weights=tmp_path / "w.safetensors")(x)
    assert found.shape == (2, 512) and torch.allclose(found, expected, atol=1e-4)


def test_inception_is_torch_fidelity_s(tmp_path):
    needs("torch_fidelity")
    from torch_fidelity import feature_extractor_inceptionv3 as theirs
    kind = theirs.FeatureExtractorInceptionV3
    with mock.patch.object(kind, "load_state_dict"), mock.patch.object(theirs, "load_state_dict_from_url"):
        net = randomise(kind("inception-v3-compat", ["2048"]))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    x = (255 * pictures(3, 3, 40, 40)).byte()
    expected = net(x)[0]
    assert (expected.std(0) > 0).any()
    for name in ("w.pth", "w.safetensors"):
        network = feature_network("inception", weights=tmp_path / name)
        assert network(x).shape == (3, 2048) and torch.equal(network(x), expected) and "299×299" in network.name
    assert torch.equal(network(x[:, :1]), net(x[:, :1].expand(-1, 3, -1, -1).contiguous())[0])
    torch.save(conv_net().state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="do not fit"):
        feature_network("inception", weights=tmp_path / "w.pth")


def vgg16_state():
    """Weights of VGG16 by torchvision's names."""
    parts, numbers = randomise(vgg16_parts()), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    convs = [m for m in parts.modules() if isinstance(m, nn.Conv2d)]
    return parts, {f"features.{n}.{k}": v for n, conv in zip(numbers, convs) for k, v in conv.state_dict().items()}


def test_vgg16_is_filled_by_torchvision_s_names():
    parts, found = vgg16_state()
    filled, expected = vgg16_weights({**found, "classifier.0.weight": torch.zeros(2, 2)}), parts.state_dict()
    assert filled.keys() == expected.keys() and all(torch.equal(v, filled[k]) for k, v in expected.items())
    with pytest.raises(ValueError, match="expected 13 convolutions"):
        vgg16_weights({"features.0.weight": found["features.0.weight"]})


def test_squared_distances_are_lpips_and_nearly_so_in_a_sketch(tmp_path):
    lpips = needs("lpips")
    parts, found = vgg16_state()
    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    numbered = {f"features.{k.split('.')[1]}.{k.split('.')[2]}": k for k in theirs.net.state_dict()}
    theirs.net.load_state_dict({numbered[k]: v for k, v in found.items()})
    x = pictures(6, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x[:3], x[3:], normalize=True).flatten()
    lin = read_weights(package_file("lpips", "weights", "v0.1", "vgg.pth"))
    weights = [lin[f"lin{i}.model.1.weight"].flatten() for i in range(5)]
    rows = lpips_rows(parts, weights, x)
    assert torch.allclose((rows[:3] - rows[3:]).square().sum(1), expected, rtol=1e-4)
    torch.save(found, tmp_path / "w.pth")
    short = feature_network("lpips-vgg", weights=tmp_path / "w.pth")(x)
    assert short.shape == (6, 4096) and torch.equal(short, count_sketch(rows))
    assert torch.allclose((short[:3] - short[3:]).square().sum(1), expected, rtol=.1)


@pytest.mark.parametrize("d, width", [(1000, 256), (256, 256), (7, 256)])
def test_a_sketch_keeps_squared_distances(d, width):
    rows = pictures(40, d) * (pictures(1, d, seed=1) < .1)  # few columns differ
    ratio = torch.stack([(count_sketch(rows, width, seed)[:20] - count_sketch(rows, width, seed)[20:]).square().sum(1)
                         for seed in range(50)]) / (rows[:20] - rows[20:]).square().sum(1)
    assert (ratio.mean(0) - 1).abs().max() < .1 and ratio.std() < 1.2 * (2 / width) ** .5
    assert torch.equal(count_sketch(rows[:1], width), count_sketch(rows, width)[:1])


def needs_faces():
    """Skip where dlib or its weights are absent."""
    needs("dlib")
    if package_file("face_recognition_models", "models", FEATURE_NETWORKS["face"].file) is None:
        pytest.skip("the extra with face-recognition-models is not installed")


def test_faces_have_128_numbers():
    needs_faces()
    network = feature_network("face", batch=2)
    x = pictures(2, 3, 60, 60)
    found = network(torch.cat([x, x[:1]]))
    assert found.shape == (3, 128) and torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    grey = network(x[:1, :1])
    assert torch.equal(grey, network(x[:1, :1].expand(-1, 3, -1, -1)))


def drawn_faces(folder, n, seed):
    """Drawn faces of 32×32 as pictures of 150×150."""
    folder.mkdir()
    for i, x in enumerate(faces().picture(faces().sample(n, torch.Generator().manual_seed(seed)))):
        Image.fromarray((255 * x.numpy()).round().astype("uint8")).resize((150, 150)).save(folder / f"{i}.png")
    return str(folder)


def test_three_commands_compare_folders_by_faces(tmp_path, capsys):
    needs_faces()
    made, train, other = (drawn_faces(tmp_path / name, 40, seed) for seed, name in enumerate(("made", "train", "other")))
    commands = {"audit": ([made], ["--holdout", other]), "missing": ([made], ["--holdout", other]), "compare": ([made, other], [])}
    for name, (samples, more) in commands.items():
        file = tmp_path / f"{name}.json"
        status = main([name, *samples, "--reference", train, *more, "--features", "face", "--json", str(file)])
        report = json.loads(file.read_text())
        assert status in (0, 1) and not capsys.readouterr().err
        assert "in face (weights " in report["protocol"] and "150×150 bicubic antialiased, of bytes)" in report["protocol"]
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / ".modelab").rglob("*.safetensors")}
    assert main(["missing", made, "--reference", train, "--holdout", other, "--features", "face"]) in (0, 1)
    assert kept and {file: file.stat().st_mtime_ns for file in (tmp_path / ".modelab").rglob("*.safetensors")} == kept


def test_a_command_without_the_weights_of_faces_says_all_that_is_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "package_file", lambda *_: None)
    monkeypatch.setenv("MODELAB_WEIGHTS", str(tmp_path))
    made = drawn_faces(tmp_path / "made", 1, 0)
    assert main(["audit", made, "--reference", made, "--features", "face"]) == 2
    said = capsys.readouterr().err
    assert "--features: face needs the file" in said and "pip install face-recognition-models dlib-bin, or put it" in said
    assert "MODELAB_WEIGHTS" in said and "weights=" not in said and said.count("\n") == 1


def test_a_gpu_gives_the_same_features(cuda, tmp_path):
    net, x = conv_net(), pictures(9, 3, 16, 16)
    path = traced(net, x[:1], tmp_path / "net.pt")
    one, other = feature_network(path), feature_network(path, device=cuda, batch=4)
    assert torch.allclose(one(x), other(x), atol=1e-3) and other(x.to(cuda)).device.type == "cpu"
    assert one.key != other.key
