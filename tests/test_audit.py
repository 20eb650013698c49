"""modelab.evaluation.audit: calibrated, powerful, named errors, files that are read without trusting them."""

import json
import math
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers import seeded
from modelab.__main__ import main
from modelab.data.mixtures import mixture
from modelab.data.readers import open_samples, read_samples
from modelab.evaluation.audit import audit, AUDIT_NEIGHBOURS, AUDIT_TESTS
from modelab.evaluation.copying import authenticity, birthday_test, copying_z, nearest_k
from modelab.evaluation.interpolation import slerp
from modelab.evaluation.interpolations import interpolations
from modelab.evaluation.report import html_page


TEN = mixture(3 * torch.randn(10, 8, generator=seeded(5)), 1.)


def samples_of(n, seed):
    g = seeded(seed)
    return TEN.sample(n, generator=g), TEN.sample(n, generator=g), *TEN.sample_with_modes(2 * n, generator=g), g


# fidelity

def test_neighbours_equal_their_definition_and_copies_are_at_zero():
    x, y = torch.randn(40, 6, generator=seeded()), torch.randn(30, 6, generator=seeded(1))
    y[7] = x[3]
    distance, index = nearest_k(x, y, 5)
    full = (x.double()[:, None] - y.double()).norm(dim=-1).sort(1)
    assert torch.allclose(distance, full.values[:, :5]) and torch.equal(index, full.indices[:, :5])
    assert distance[3, 0] == 0 and index[3, 0] == 7
    far = torch.rand(300, 3072, generator=seeded()) + 100
    assert (nearest_k(far, far.clone())[0] == 0).all()


def test_rank_test_equals_scipy():
    from scipy.stats import mannwhitneyu
    train, new, made = (torch.randn(n, 3, generator=seeded(i)) for i, n in enumerate((80, 60, 70)))
    made[:20] = train[:20]
    a, b = (nearest_k(x, train)[0][:, 0].numpy() for x in (made, new))
    theirs = mannwhitneyu(a, b, method="asymptotic", use_continuity=False, alternative="less").pvalue
    assert .5 * math.erfc(-copying_z(made, train, new) / math.sqrt(2)) == pytest.approx(theirs, rel=1e-9)


def test_authenticity_of_copies_is_zero():
    train = torch.randn(50, 4, generator=seeded())
    assert authenticity(train.clone(), train) == 0
    assert authenticity(train + 100, train) == 1


def test_birthday_of_equal_atoms():
    atoms = torch.randint(200, (5000, 1), generator=seeded()).double()
    chance, support = birthday_test(atoms, 0., size=17, rounds=1000, generator=seeded(1))
    exact = 1 - math.prod(1 - i / 200 for i in range(17))
    assert chance == pytest.approx(exact, abs=.06) and 150 < support < 260
    assert birthday_test(torch.arange(100.)[:, None], 0., size=10)[1] == math.inf


def test_great_circle():
    a, b = torch.randn(2, 9, 16, generator=seeded(), dtype=torch.float64)
    assert torch.allclose(slerp(a, b, 0.), a) and torch.allclose(slerp(a, b, 1.), b)
    halfway = slerp(a, b, .5)
    assert torch.allclose(halfway.norm(dim=-1), (a.norm(dim=-1) + b.norm(dim=-1)) / 2)
    u, v, m = (x / x.norm(dim=-1, keepdim=True) for x in (a, b, halfway))
    assert torch.allclose((u * m).sum(-1), (v * m).sum(-1))
    assert torch.isfinite(slerp(a, a.clone(), .3)).all() and torch.isfinite(slerp(a, -a, .3)).all()


def test_paths_of_the_identity():
    reference = torch.randn(200, 3, generator=seeded())
    a, b = torch.randn(2, 6, 3, generator=seeded(1))
    found = interpolations(lambda z: z, a, b, reference, torch.lerp)
    assert torch.allclose(found.length, (a - b).double().norm(dim=1), atol=1e-5)
    assert torch.allclose(found.jump, torch.ones(6, dtype=torch.float64), atol=1e-3)


# the claims: false alarms and power

def test_false_alarms_stay_under_the_level():
    alarms = sum(not audit(x[:150], known, new, generator=g).sound
                 for known, new, x, _, g in (samples_of(150, 100 + seed) for seed in range(60)))
    assert alarms <= 8  # 60 at .05: more than 8 has a chance below .4 %


@pytest.mark.parametrize("fault, test", [("lost", "lost"), ("copies", "copies"), ("junk", "junk"), ("atoms", "repeats")])
def test_power(fault, test):
    found = 0
    for seed in range(5):
        known, new, x, mode, g = samples_of(1000, seed)
        made = {"lost": lambda: x[mode > 1][:1000], "atoms": lambda: x[torch.randint(250, (1000,), generator=g)],
                "copies": lambda: torch.cat([known[:100], x[:900]]),
                "junk": lambda: torch.cat([x[:900], x[:100] + 6 * torch.randn(100, 8, generator=g)])}[fault]()
        found += {f.test: f.alarm for f in audit(made, known, new, generator=g).findings}[test]
    assert found == 5


def test_a_starved_class_is_named():
    known, new, x, mode, g = samples_of(600, 0)
    labels = torch.cdist(known, TEN.centers).argmin(1)
    report = audit(x[mode != 3][:600], known, new, labels=labels)
    assert report.starved == ["3"] and report.status == 1 and "below half" in report.verdict


# bad input

GOOD = torch.randn(100, 3, generator=seeded())


@pytest.mark.parametrize("call, word", [
    (lambda: audit(GOOD[:, :2], GOOD), "samples"),
    (lambda: audit(GOOD[:5], GOOD), "samples"),
    (lambda: audit(GOOD, GOOD[:30]), "reference"),
    (lambda: audit(GOOD, GOOD * math.nan), "reference"),
    (lambda: audit(GOOD, GOOD, GOOD[:, :1]), "holdout"),
    (lambda: audit(GOOD, GOOD, labels=torch.zeros(3)), "labels"),
    (lambda: audit(GOOD, GOOD, features="pixels"), "features"),
    (lambda: audit(GOOD, GOOD, features=lambda x: x[:3]), "features"),
    (lambda: audit(GOOD, GOOD, level=0), "level"),
    (lambda: audit(GOOD, GOOD, most=3), "most"),
    (lambda: nearest_k(GOOD, GOOD[:, :1]), "samples"),
    (lambda: nearest_k(GOOD, GOOD, 101), "k"),
    (lambda: birthday_test(GOOD, 0., size=101), "size"),
    (lambda: birthday_test(GOOD, -1.), "closer"),
    (lambda: interpolations(lambda z: z, GOOD, GOOD[:3], GOOD), "a, b"),
    (lambda: interpolations(lambda z: z, GOOD, GOOD, GOOD, steps=1), "steps"),
])
def test_bad_input_is_named(call, word):
    with pytest.raises((ValueError, TypeError), match=word):
        call()


def test_constant_samples_do_not_break_it():
    same = torch.ones(100, 3)
    assert audit(same, same, same).sound
    assert not audit(GOOD, same, same).sound


# files

class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('it was run')",)


def test_pickles_are_refused_not_run(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=np.array([Trap()], dtype=object))
    torch.save(Trap(), tmp_path / "c.pt")
    (tmp_path / "d.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npz", "c.pt", "d.pt"):
        with pytest.raises(ValueError, match=name):
            read_samples(tmp_path / name)


def test_damaged_files_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", GOOD.numpy())
    (tmp_path / "short.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:200])
    np.save(tmp_path / "y.npy", GOOD.numpy())
    (tmp_path / "short.npy").write_bytes((tmp_path / "y.npy").read_bytes()[:200])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.csv").write_text("1,2")
    (tmp_path / "folder").mkdir()
    for name in ("short.npz", "short.npy", "empty.npy", "text.csv", "folder"):
        with pytest.raises(ValueError, match=name):
            read_samples(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_samples(tmp_path / "absent.npy")


def test_every_kind_of_file_is_read(tmp_path):
    from PIL import Image
    np.save(tmp_path / "a.npy", GOOD.numpy())
    np.savez(tmp_path / "b.npz", one=GOOD.numpy(), two=np.zeros((3, 2)))
    torch.save(GOOD, tmp_path / "c.pt")
    torch.save({"x": GOOD}, tmp_path / "d.pt")
    for name in ("a.npy", "b.npz:one", "c.pt", "d.pt"):
        assert torch.equal(read_samples(tmp_path / name), GOOD)
    with pytest.raises(ValueError, match="one, two"):
        read_samples(tmp_path / "b.npz")
    for i in range(4):
        Image.fromarray(np.full((6, 5, 3), 51 * i, np.uint8)).save(tmp_path / f"{i}.png")
    assert read_samples(tmp_path).shape == (4, 3, 6, 5) and read_samples(tmp_path)[2, 0, 0, 0] == pytest.approx(.4)
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(tmp_path / "9.png")
    with pytest.raises(ValueError, match="9.png"):
        read_samples(tmp_path)


def test_a_part_of_a_large_file_is_read_without_the_rest(tmp_path):
    import resource
    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(400_000, 256))  # 400 MB, sparse
    big[:5] = 1
    del big
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = read_samples(tmp_path / "big.npy", 1000)
    assert part.shape == (1000, 256) and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert torch.equal(part, read_samples(tmp_path / "big.npy", 1000))


WHOLE = """
import resource, sys
from modelab.data.readers import read_samples
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = read_samples(sys.argv[1])
print(x.numel() * 4 // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, float(x[-1, -1]))
"""


def test_two_gigabytes_are_not_held_twice(tmp_path):
    if shutil.disk_usage(tmp_path).free < 3e9 or os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 4e9:
        pytest.skip("needs 3 GB of disk and 4 GB of memory, free")
    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(2 ** 19, 1024))  # sparse
    big[-1] = 7
    del big
    done = subprocess.run([sys.executable, "-c", WHOLE, tmp_path / "big.npy"], capture_output=True, text=True, check=True)
    size, peak, last = map(float, done.stdout.split())
    assert size == 2 ** 21 and last == 7 and peak < 1.3 * size  # kB


def test_a_copy_of_any_training_example_is_found(tmp_path):
    """Samples are thinned to `most`; copies may be of any training example, looked at or not."""
    g = seeded()
    train, new, made = (TEN.sample(n, generator=g) for n in (6000, 300, 300))
    made[:60] = train[torch.randperm(6000, generator=g)[:60]]
    np.save(tmp_path / "train.npy", train.numpy())
    for reference in (train, open_samples(tmp_path / "train.npy")):
        report = audit(made, reference, new, most=300)
        assert [f.test for f in report.findings if f.alarm] == ["copies"] and report.sizes["searched for copies"] == 6000


def test_bytes_and_grey_axes_are_understood(tmp_path, capsys):
    from PIL import Image
    images = (torch.rand(160, 8, 8, generator=seeded()) * 255).byte()
    np.save(tmp_path / "train.npy", images[:80].numpy())
    np.save(tmp_path / "floats.npy", images[80:120, None].numpy() / np.float32(255))
    (tmp_path / "made").mkdir()
    for i, image in enumerate(images[120:]):
        Image.fromarray(image.numpy()).save(tmp_path / "made" / f"{i:03}.png")
    ask = ["--reference", str(tmp_path / "train.npy"), "--holdout", str(tmp_path / "floats.npy")]
    assert main(["audit", str(tmp_path / "made"), *ask]) == 0 and "40 samples, 80 reference" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "made"), *ask, "--out", str(tmp_path / "no" / "x.html")]) == 2
    assert "--out: there is no folder" in capsys.readouterr().err


# the command line

@pytest.fixture
def files(tmp_path):
    known, new, x, mode, g = samples_of(300, 3)
    labels = torch.cdist(known, TEN.centers).argmin(1)
    for name, values in (("known", known), ("new", new), ("fine", x[:300]), ("lost", x[mode > 2][:300]), ("labels", labels)):
        np.save(tmp_path / f"{name}.npy", values.numpy())
    return tmp_path


def test_command_line_status_and_reports(files, capsys):
    ask = ["--reference", str(files / "known.npy"), "--holdout", str(files / "new.npy")]
    assert main(["audit", str(files / "fine.npy"), *ask]) == 0
    assert main(["audit", str(files / "lost.npy"), *ask, "--labels", str(files / "labels.npy"),
                 "--out", str(files / "r.html"), "--json", str(files / "r.json")]) == 1
    assert "ALARM" in capsys.readouterr().out
    report = json.loads((files / "r.json").read_text())
    assert not report["sound"] and {f["test"] for f in report["findings"]} == set(AUDIT_TESTS) and len(report["classes"]) == 10
    text = (files / "r.html").read_text()
    assert text.count("<img") == 2 and "http" not in text
    assert main(["audit", str(files / "none.npy"), *ask]) == 2
    assert main(["audit", str(files / "fine.npy"), *ask, "--features", "nowhere:none"]) == 2


def test_features_from_a_module(files, monkeypatch):
    (files / "mine.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.chdir(files)
    assert main(["audit", "fine.npy", "--reference", "known.npy", "--holdout", "new.npy", "--features", "mine:twice"]) == 0


# determinism

def test_same_samples_same_report():
    known, new, x, _, _ = samples_of(120, 1)
    state = torch.get_rng_state()
    one, two = (json.dumps(audit(x[:120], known, new).to_json()) for _ in range(2))
    assert one == two and torch.equal(state, torch.get_rng_state())


def test_pictures_show_pictures():
    images = torch.rand(60, 1, 8, 8, generator=seeded())
    report = audit(images, torch.rand(80, 1, 8, 8, generator=seeded(1)))
    assert html_page(report).count("<img") == 5 and report.sizes["reference"] >= 2 * AUDIT_NEIGHBOURS
