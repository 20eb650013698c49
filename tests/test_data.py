"""Downloads, archives and their scripts: a file is there bit for bit or not at all, whatever the server, the disk or the archive does.

Nothing here leaves this machine: every server is on 127.0.0.1 and closes with its test.
"""

import errno
import functools
import gzip
import hashlib
import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import fetching
import numpy as np
import pytest
import torch
import traffic
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from serving import DATA, as_published, idx, idx_set, mnist_mirror, noise
from modelab.data import download
from modelab.__main__ import main as modelab
from modelab.data.archives import unpack_archive
from modelab.data.catalogue import (DATA_SETS, file_verdict, find_data_set, GOOD_VERDICTS, Published,
                                    verify_data_set, write_checksums)
from modelab.data.cifar import cifar10
from modelab.data.download import fetch
from modelab.data.faulty_server import _Handler, FAULTS, FaultyServer
from modelab.data.frames import read_celeba, read_frames
from modelab.data.mnist import fashion_mnist, mnist, read_idx, stacked_mnist

ROOT = Path(__file__).resolve().parent.parent
BODY = np.random.default_rng(0).bytes(60_000)
FILE = Published("a.bin", len(BODY), hashlib.sha256(BODY).hexdigest())
QUICK = dict(timeout=5., tries=2, pause=.01, progress=False)


def for_(fault: str) -> dict:
    """Settings under which a silent server costs a fifth of a second; a busy machine may be silent so long, too."""
    return {**QUICK, "timeout": .2, "tries": 6} if fault in ("stall", "drip") else QUICK


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection but to this machine fails the test."""
    connect = socket.socket.connect

    def only_here(self, address):
        assert address[0] == "127.0.0.1", f"a test tried to reach {address}"
        return connect(self, address)
    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.delenv("MODELAB_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def shelf(tmp_path):
    """A folder to serve, with a.bin in it."""
    (folder := tmp_path / "shelf").mkdir()
    (folder / "a.bin").write_bytes(BODY)
    return folder


def only(folder: Path, *names: str) -> bool:
    """Whether exactly these files are in `folder`: no part, no temporary file."""
    return sorted(p.name for p in folder.iterdir()) == sorted(names)


# Servers that misbehave

@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", [0., .7])
def test_one_fault_then_an_honest_mirror(shelf, tmp_path, fault, at):
    with FaultyServer(shelf, [(fault, at)] * 3) as bad, FaultyServer(shelf) as good:
        path = fetch(FILE, tmp_path / "out", [bad.url, good.url], **for_(fault))
    assert path.read_bytes() == BODY and only(path.parent, "a.bin")


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_the_rest_of_a_file(shelf, tmp_path, fault):
    with FaultyServer(shelf, [("drop", .5), *[(fault, .4)] * 3]) as bad, FaultyServer(shelf) as good:
        path = fetch(FILE, tmp_path / "out", [bad.url, good.url], **for_(fault))
    assert path.read_bytes() == BODY and only(path.parent, "a.bin")
    assert bad.log[1][1] == 30_000, "the second request goes on where the first stopped"


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("none", "no range", "more", "long", "wrong range",
                                                                  "shifted")])
def test_a_server_that_never_behaves_gives_an_error_and_no_file(shelf, tmp_path, fault):
    with FaultyServer(shelf, [(fault, .0)] * 99) as bad, pytest.raises(ConnectionError, match="a.bin: no mirror gave it. http"):
        fetch(FILE, tmp_path / "out", [bad.url], **for_(fault))
    assert not (tmp_path / "out/a.bin").exists() and len(bad.log) < 20


def test_a_server_that_drops_and_corrupts_for_ever_is_given_up(shelf, tmp_path):
    with FaultyServer(shelf, [("corrupt", .1), ("drop", .5)] * 60) as bad, pytest.raises(ConnectionError, match="SHA-256"):
        fetch(FILE, tmp_path / "out", [bad.url], **QUICK)
    assert len(bad.log) < 20 and not (tmp_path / "out/a.bin").exists()


def test_bytes_that_came_are_not_asked_for_again(shelf, tmp_path):
    with FaultyServer(shelf, [("drop", 20_000), ("drop", 20_000)]) as server:
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert [start for _, start, _ in server.log] == [0, 20_000, 40_000] and server.sent == len(BODY)


def test_the_part_serves_the_next_mirror_and_the_next_day(shelf, tmp_path):
    with FaultyServer(shelf, ["drop", "404"]) as one, FaultyServer(shelf) as two:
        fetch(FILE, tmp_path / "x", [one.url, two.url], **QUICK)
    assert [start for _, start, _ in two.log] == [30_000]
    (out := tmp_path / "y").mkdir()
    (out / "a.bin.part").write_bytes(BODY[:50_000])
    with FaultyServer(shelf) as server:
        fetch(FILE, out, [server.url], **QUICK)
    assert [start for _, start, _ in server.log] == [50_000] and only(out, "a.bin")


@pytest.mark.parametrize("left", [BODY[:100] + b"wrong", b"x" * len(BODY), b"x" * (len(BODY) + 9), BODY, b""])
def test_a_part_of_any_content_ends_in_the_right_file(shelf, tmp_path, left):
    (tmp_path / "a.bin.part").write_bytes(left)
    with FaultyServer(shelf) as server:
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY and (left != BODY or not server.log)


def test_what_is_there_and_right_is_not_fetched_and_what_is_wrong_is(shelf, tmp_path):
    with FaultyServer(shelf) as server:
        fetch(FILE, tmp_path, [server.url], **QUICK)
        fetch(FILE, tmp_path, [server.url], **QUICK)
        assert len(server.log) == 1
        (tmp_path / "a.bin").write_bytes(BODY[:-1])
        assert fetch(FILE, tmp_path, [server.url], **QUICK).read_bytes() == BODY and len(server.log) == 2


def test_a_wrong_file_is_kept_while_no_right_one_comes(shelf, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with FaultyServer(shelf, ["corrupt"] * 9) as server, pytest.raises(ConnectionError):
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_never_more_bytes_than_the_file_has(shelf, tmp_path):
    (shelf / "a.bin").write_bytes(BODY + bytes(10 ** 7))
    with FaultyServer(shelf, ["long"]) as server, pytest.raises(ConnectionError, match="offers a file of"):
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert sum(p.stat().st_size for p in tmp_path.iterdir() if p.is_file()) <= FILE.size


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a.bin", "data:,x", "gopher://127.0.0.1/"])
def test_a_redirect_leads_to_no_other_protocol(shelf, tmp_path, monkeypatch, target):
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self._answer(302, b"", {"Location": target}))
    with FaultyServer(shelf) as server, pytest.raises(ConnectionError, match="a.bin"):
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert only(tmp_path, "shelf")


def test_nobody_at_home(shelf, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    start = time.monotonic()
    with FaultyServer(shelf) as good:
        assert fetch(FILE, tmp_path, [closed, good.url], **{**QUICK, "pause": 5}).read_bytes() == BODY
    assert time.monotonic() - start < 3, "who refuses a connection is not asked again"


def test_fetches_of_one_file_at_once_share_one_download(shelf, tmp_path, capfd):
    with FaultyServer(shelf, [("drip", .999)]) as server:
        threads = [threading.Thread(target=fetch, args=(FILE, tmp_path, [server.url]),
                                    kwargs=QUICK) for _ in range(4)]
        [t.start() for t in threads]
        [t.join(30) for t in threads]
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(server.log) == 1 and only(tmp_path, "a.bin", "shelf")
    assert "waiting for another" in capfd.readouterr().out


def test_without_a_lock_the_hash_still_decides(shelf, tmp_path, monkeypatch):
    import contextlib
    monkeypatch.setattr(download, "file_lock", lambda folder, wait: contextlib.nullcontext())
    errors = []

    def one(url):
        try:
            fetch(FILE, tmp_path, [url], **{**QUICK, "tries": 5})
        except Exception as error:
            errors.append(error)
    with FaultyServer(shelf, ["drop", "corrupt", "drop"] * 2) as server:
        threads = [threading.Thread(target=one, args=(server.url,)) for _ in range(4)]
        [t.start() for t in threads]
        [t.join(30) for t in threads]
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert all(isinstance(e, OSError) for e in errors)


@pytest.mark.parametrize("call, name", [
    (lambda u: fetch(FILE, "x", u), "mirrors"), (lambda u: fetch(FILE, "x", [u.rstrip("/")]), "mirrors"),
    (lambda u: fetch(FILE, "x", ["file:///etc/"]), "mirrors"), (lambda u: fetch(FILE, "x", [u], timeout=0), "timeout"),
    (lambda u: fetch(FILE, "x", [u], tries=0), "tries"), (lambda u: FaultyServer("x", ["fly"]), "faults")])
def test_bad_input_is_refused(call, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        call("http://127.0.0.1/")
    assert only(tmp_path)


def test_the_server_serves_its_folder_only(shelf, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    with FaultyServer(shelf) as server, socket.create_connection(("127.0.0.1", int(server.url.split(":")[2][:-1]))) as s:
        s.sendall(b"GET /../secret HTTP/1.0\r\n\r\n")
        assert b" 404 " in s.recv(100)


# Disks

def test_room_is_asked_first(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda p: shutil._ntuple_diskusage(10 ** 9, 10 ** 9, 59_999))
    with FaultyServer(shelf) as server, pytest.raises(OSError, match="not enough room: 0.1 MB needed, 0.1 MB free") as caught:
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert caught.value.errno == errno.ENOSPC and not server.log


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from modelab.data.catalogue import Published
from modelab.data.download import fetch
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    fetch(Published("a.bin", 60_000, sys.argv[1]), sys.argv[2], [sys.argv[3]], progress=False)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_a_disk_that_fills_up_is_an_error_of_the_disk_and_keeps_what_came(shelf, tmp_path):
    with FaultyServer(shelf) as server:
        done = subprocess.run([sys.executable, "-c", LIMITED, FILE.sha256, str(tmp_path / "out"), server.url],
                              capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == ["OSError", str(errno.EFBIG)], done.stderr
        assert len(server.log) == 1, "another mirror does not help"
        assert (tmp_path / "out/a.bin.part").read_bytes() == BODY[:40_000]
        fetch(FILE, tmp_path / "out", [server.url], **QUICK)
    assert [start for _, start, _ in server.log] == [0, 40_000] and only(tmp_path / "out", "a.bin")


def test_no_space_left_on_device(shelf, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "a.bin.part").symlink_to("/dev/full")
    with FaultyServer(shelf) as server, pytest.raises(OSError) as caught:
        fetch(FILE, tmp_path, [server.url], **QUICK)
    assert caught.value.errno == errno.ENOSPC


def test_a_folder_that_takes_no_files(shelf, tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    with FaultyServer(shelf) as server, pytest.raises(OSError):
        fetch(FILE, tmp_path / "out", [server.url], **QUICK)
    assert (tmp_path / "out").read_bytes() == b"a file"


# Archives

def tarred(path: Path, *entries) -> Path:
    """A .tar.gz of (name, bytes) or of TarInfo."""
    with tarfile.open(path, "w:gz") as packed:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                packed.addfile(entry, io.BytesIO(bytes(entry.size)) if entry.isreg() else None)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                packed.addfile(info, io.BytesIO(entry[1]))
    return path


def zipped(path: Path, *entries) -> Path:
    """A .zip of (name, bytes, Unix mode)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, *mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode or [0o100644])[0] << 16
            packed.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A tar entry that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


WANTED = r"x/(\w+\.bin)"
NAMES = ["../evil.bin", "x/../../evil.bin", "/x/evil.bin", "x/a/evil.bin", "x\\evil.bin", "x/..", "x/.bin", "y/evil.bin",
         "x/evil.bin\n", "x/évil.exe", "C:/evil.bin", "./x/evil.bin"]
KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
STRANGERS = {
    **{f"tar {name!r}": (lambda p, n=name: tarred(p, ("x/a.bin", b"1"), (n, b"2"))) for name in NAMES},
    **{f"zip {name!r}": (lambda p, n=name: zipped(p, ("x/a.bin", b"1"), (n, b"2"))) for name in NAMES},
    **{f"tar type {kind!r}": (lambda p, k=kind: tarred(p, special("x/a.bin", k, "/etc/passwd"))) for kind in KINDS},
    "zip link": lambda p: zipped(p, ("x/a.bin", "/etc/passwd", 0o120777)),
    "zip device": lambda p: zipped(p, ("x/a.bin", "", 0o020666)),
    "tar through a link": lambda p: tarred(p, special("x/a.bin", tarfile.SYMTYPE, ".."), ("x/a.bin/evil.bin", b"1")),
    "tar twice": lambda p: tarred(p, ("x/a.bin", b"1"), ("x/a.bin", b"2")),
    "zip twice": lambda p: zipped(p, ("x/a.bin", b"1"), ("x/a.bin", b"2")),
    "tar bomb": lambda p: tarred(p, ("x/a.bin", bytes(2_000_000))),
    "zip bomb": lambda p: zipped(p, ("x/a.bin", bytes(2_000_000))),
    "tar of many": lambda p: tarred(p, *((f"x/a{i}.bin", bytes(200_000)) for i in range(6))),
    "empty tar": lambda p: tarred(p), "empty zip": lambda p: zipped(p),
    "no archive": lambda p: (p.write_bytes(b"hello"), p)[1],
    "nothing": lambda p: (p.write_bytes(b""), p)[1],
    "a page": lambda p: (p.write_bytes(gzip.compress(b"<html>" * 99)), p)[1]}


@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
def test_a_strangers_archive_makes_nothing(tmp_path, make):
    archive = make(tmp_path / "a")
    with pytest.raises(ValueError, match="^archive: a: "):
        unpack_archive(archive, tmp_path / "in/out", WANTED, most=1_000_000, progress=False)
    assert only(tmp_path, "a", "in") and only(tmp_path / "in")


@pytest.mark.parametrize("make", [tarred, zipped])
def test_an_honest_archive_is_unpacked_whole_or_not_at_all(tmp_path, make):
    content = {f"{c}.bin": np.random.default_rng(1).bytes(90_000) for c in "ab"}
    archive = make(tmp_path / "a", *((f"x/{n}", b) for n, b in content.items()))
    assert [p.name for p in unpack_archive(archive, tmp_path / "out", WANTED, progress=False)] == ["a.bin", "b.bin"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == content
    with pytest.raises(FileExistsError, match="into: "):
        unpack_archive(archive, tmp_path / "out", WANTED, progress=False)
    data_ = archive.read_bytes()
    for i in (10, 1000, len(data_) // 2, len(data_) - 30):
        for broken in (data_[:i], data_[:i] + bytes([data_[i] ^ 255]) + data_[i + 1:]):
            archive.write_bytes(broken)
            try:
                unpack_archive(archive, tmp_path / "two", WANTED, progress=False)
            except ValueError:
                assert only(tmp_path, "a", "out")
            else:  # a flip where nothing looks, such as in a time stamp
                assert {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()} == content
                shutil.rmtree(tmp_path / "two")


def test_a_header_that_announces_gigabytes_takes_no_memory(tmp_path):
    import tracemalloc
    head = tarfile.TarInfo("x/a.bin")
    head.size, head.type = 8 * 2 ** 30, tarfile.XHDTYPE  # tarfile reads a pax header whole
    (tmp_path / "a").write_bytes(gzip.compress(head.tobuf() + bytes(64 * 2 ** 20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="archive: "):
        unpack_archive(tmp_path / "a", tmp_path / "out", WANTED, most=1000, progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 ** 26 and only(tmp_path, "a")


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_announced(tmp_path):
    archive = zipped(tmp_path / "a", ("x/a.bin", bytes(2_000_000)))
    honest, lie = (2_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(honest, lie))
    with pytest.raises(ValueError, match="archive: a: "):
        unpack_archive(archive, tmp_path / "out", WANTED, most=1_000_000, progress=False)
    assert only(tmp_path, "a")


@given(st.binary(max_size=600))
def test_noise_is_no_archive(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("noise")
    for content in (noise, gzip.compress(noise)):
        (folder / "a").write_bytes(content)
        with pytest.raises(ValueError, match="^archive: "):
            unpack_archive(folder / "a", folder / "out", WANTED, progress=False)
    assert only(folder, "a")


def test_what_a_killed_unpacking_left_is_in_nobodys_way(tmp_path):
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking/a.bin").write_bytes(b"half")
    unpack_archive(tarred(tmp_path / "a", ("x/a.bin", b"1")), tmp_path / "out", WANTED, progress=False)
    assert only(tmp_path, "a", "out") and (tmp_path / "out/a.bin").read_bytes() == b"1"


# The scripts, end to end

@pytest.fixture
def source(tmp_path, monkeypatch):
    """Publishes small sets in place of the real ones: a folder to serve, by set."""
    folders = {name: idx_set(tmp_path / f"at-{name}", noise(n), noise(20)) for name, n in (("mnist", 40), ("fashion_mnist", 50))}
    folders["cifar10"] = tmp_path / "at-cifar10"
    folders["cifar10"].mkdir()
    rows = np.random.default_rng(2).integers(0, 10, (6, 4, 3073), np.uint8)
    tarred(folders["cifar10"] / "cifar-10-binary.tar.gz", special("cifar-10-batches-bin", tarfile.DIRTYPE),
           ("cifar-10-batches-bin/batches.meta.txt", b"airplane\n"),
           *((name, r.tobytes()) for name, r in zip(DATA_SETS["cifar10"].needs, rows)))
    folders["celeba"] = tmp_path / "at-celeba"
    folders["celeba"].mkdir()
    (folders["celeba"] / "list_attr_celeba.txt").write_text("2\nBald Hat\n000001.jpg 1 -1\n000002.jpg -1 1\n")
    jpeg = io.BytesIO()
    Image.new("RGB", (178, 218), (200, 0, 0)).save(jpeg, "jpeg")
    zipped(folders["celeba"] / "img_align_celeba.zip", *((f"img_align_celeba/{i:06d}.jpg", jpeg.getvalue()) for i in (1, 2)))
    for name, folder in folders.items():
        monkeypatch.setitem(DATA_SETS, name, as_published(DATA_SETS[name], folder))
    monkeypatch.setattr(download, "fetch", functools.partial(fetch, pause=.01))
    return folders


@pytest.mark.parametrize("name, read", [
    ("mnist", lambda out: len(mnist(str(out))._images)), ("fashion_mnist", lambda out: len(fashion_mnist(str(out))._images)),
    ("cifar10", lambda out: len(cifar10(out)[0]) + len(cifar10(out, "held_out")[0]))])
def test_script_fetches_verifies_and_is_read_by_name(source, tmp_path, name, read, capsys, monkeypatch):
    out = tmp_path / "out"
    with FaultyServer(source[name], ["drop", "503", "corrupt"]) as bad, FaultyServer(source[name]) as good:
        call = ["--out", str(out), "--mirror", bad.url, "--mirror", good.url, "--timeout", "2"]
        assert fetching.main(name, call) == 0
        asked = len(bad.log) + len(good.log)
        said = capsys.readouterr()
        assert DATA_SETS[name].terms in said.out and f"MODELAB_DATA={out}" in said.out
        assert fetching.main(name, call) == 0 and len(bad.log) + len(good.log) == asked, "the second time there is nothing to do"
    assert read(out) == {"mnist": 40, "fashion_mnist": 50, "cifar10": 24}[name]
    assert find_data_set(name, out) == out / name
    monkeypatch.setenv("MODELAB_DATA", str(out))
    assert find_data_set(name) == out / name and modelab(["data", name, "--check"]) == 0
    assert not list(out.rglob("*.part")) and not list(out.rglob("*.tar.gz")) and not list(out.rglob(".*"))
    lines = (out / name / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == {p for p in DATA_SETS[name].needs}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "celeba"])
def test_script_takes_files_brought_by_hand(source, tmp_path, name, capsys):
    out, files = tmp_path / "out", [str(source[name] / f.name) for f in DATA_SETS[name].files]
    agree = [] if DATA_SETS[name].mirrors else ["--agree"]
    assert fetching.main(name, ["--out", str(out), *agree, "--offline", *files]) == 0
    assert find_data_set(name, out) == out / name and modelab(["data", name, "--check", "--folder", str(out)]) == 0
    assert all(Path(f).exists() for f in files), "what was brought is left alone"
    if len(files) > 1:
        assert fetching.main(name, ["--out", str(tmp_path / "2"), *agree, "--offline", *files[1:]]) == 2
        assert "--offline: expected also" in capsys.readouterr().err
    Path(files[0]).write_bytes(b"something else")
    assert fetching.main(name, ["--out", str(tmp_path / "3"), *agree, "--offline", *files]) == 2
    assert "is not the published file" in capsys.readouterr().err and only(tmp_path / "3" / name)


def test_celeba_asks_for_agreement_and_is_never_downloaded(source, tmp_path, capsys, monkeypatch):
    files = [str(source["celeba"] / f.name) for f in DATA_SETS["celeba"].files]
    assert not DATA_SETS["celeba"].mirrors and not DATA_SETS["traffic"].mirrors
    with pytest.raises(SystemExit):
        fetching.main("celeba", ["--out", str(tmp_path / "out"), "--mirror", "http://127.0.0.1/"])
    assert fetching.main("celeba", ["--out", str(tmp_path / "out")]) == 2
    assert "non-commercial" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert fetching.main("celeba", ["--out", str(tmp_path / "out"), "--offline", *files]) == 2
    assert "not agreed" in capsys.readouterr().err and not (tmp_path / "out").exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for said, status in (("no", 2), ("yes", 0)):
        monkeypatch.setattr("builtins.input", lambda _, said=said: said)
        assert fetching.main("celeba", ["--out", str(tmp_path / "out"), "--offline", *files]) == status
    x, shows, names = read_celeba(find_data_set("celeba", tmp_path / "out"), size=8)
    assert x.shape == (2, 3, 8, 8) and shows.tolist() == [[True, False], [False, True]] and names == ["Bald", "Hat"]


@pytest.mark.parametrize("name", DATA_SETS)
def test_scripts_are_commands(name, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "data_scripts" / f"{name}.py"), run_name="__main__")
    assert end.value.code == 0 and "--offline" in capsys.readouterr().out


def wait_for(condition, seconds=60):
    """Whether `condition` comes true in time."""
    end = time.monotonic() + seconds
    while not (there := condition()) and time.monotonic() < end:
        time.sleep(.02)
    return there


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import fetching
from modelab.data.catalogue import DATA_SETS, Published
from dataclasses import replace
size, digest, out, url = int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
file = Published("a.bin", size, digest)
DATA_SETS["mnist"] = replace(DATA_SETS["mnist"], files=(file,), needs=("a.bin",))
sys.exit(fetching.main("mnist", ["--out", out, "--mirror", url]))
"""


@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_script_goes_on_where_it_was(shelf, tmp_path, monkeypatch, sent, status):
    out, call = tmp_path / "out", [sys.executable, "-c", SCRIPT, str(ROOT / "data_scripts"), str(FILE.size), FILE.sha256]
    with FaultyServer(shelf, [("stall", 30_000)]) as server:
        with subprocess.Popen([*call, str(out), server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            part = out / "mnist/a.bin.part"
            assert wait_for(lambda: part.exists() and server.sent) and not (out / "mnist/a.bin").exists()
            time.sleep(.2)
            run.send_signal(sent)
            assert run.wait(20) == status
            assert "Traceback" not in run.stderr.read()
        before = part.stat().st_size
        assert only(out / "mnist", "a.bin.part")
        monkeypatch.setitem(DATA_SETS, "mnist", replace(DATA_SETS["mnist"], files=(FILE,), needs=("a.bin",)))
        assert fetching.main("mnist", ["--out", str(out), "--mirror", server.url]) == 0
    assert (out / "mnist/a.bin").read_bytes() == BODY and only(out / "mnist", "a.bin", "SHA256SUMS")
    assert server.log[-1][1] == before


def test_stacked_mnist_from_a_mirror_to_modes(tmp_path, monkeypatch):
    if DATA:
        monkeypatch.setenv("MODELAB_DATA", DATA)
    with mnist_mirror(tmp_path / "at", ["drop", "500"]) as server:
        assert fetching.main("mnist", ["--out", str(tmp_path / "out"), "--mirror", server.url]) == 0
        assert modelab(["data", "mnist", "--check", "--folder", str(tmp_path / "out")]) == 0
    made = stacked_mnist(str(tmp_path / "out"))
    assert made.n_modes == 1000 and made.sample(3, torch.Generator().manual_seed(0)).shape == (3, 3, 28, 28)
    assert DATA_SETS["mnist"].files[0].size == 9912422, "the catalogue is as it was"


def test_forty_kills_at_random_moments_never_leave_a_wrong_file(shelf, tmp_path, monkeypatch):
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    monkeypatch.setattr(download.tqdm, "_lock", threading.RLock(), raising=False)  # a killed fork may keep the one it shares
    rng, path = np.random.default_rng(5), tmp_path / "a.bin"
    with FaultyServer(shelf, [("drip", float(at)) for at in rng.uniform(size=40)]) as server:
        for wait in rng.uniform(0, .04, 40):
            if not (child := os.fork()):
                try:
                    fetch(FILE, tmp_path, [server.url], **QUICK)
                finally:
                    os._exit(0)
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            assert not path.exists() or path.read_bytes() == BODY
        server._faults = iter(["none"] * 9)
        assert fetch(FILE, tmp_path, [server.url], **QUICK).read_bytes() == BODY


def test_script_says_what_failed(source, tmp_path, capsys, monkeypatch):
    with FaultyServer(source["mnist"], ["404"] * 9) as server:
        assert fetching.main("mnist", ["--out", str(tmp_path / "out"), "--mirror", server.url]) == 1
    said = capsys.readouterr().err
    assert "no mirror gave it" in said and "404" in said and "Traceback" not in said
    with pytest.raises(SystemExit):
        fetching.main("mnist", [])
    monkeypatch.setattr(shutil, "disk_usage", lambda p: shutil._ntuple_diskusage(9, 9, 9))
    with FaultyServer(source["mnist"]) as server:
        assert fetching.main("mnist", ["--out", str(tmp_path / "full"), "--mirror", server.url]) == 1
    assert "not enough room" in capsys.readouterr().err and not server.log


# Traffic

def test_traffic_from_pictures_an_array_and_an_animation(tmp_path, capsys):
    film = np.random.default_rng(0).integers(0, 256, (7, 12, 16, 3), np.uint8)
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / f"frames/{i:03d}.png")
    np.savez(tmp_path / "film.npz", frames=film)
    first, *rest = [Image.fromarray(frame) for frame in film]
    first.save(tmp_path / "film.gif", save_all=True, append_images=rest)
    for name, exact in (("frames", True), ("film.npz", True), ("film.gif", False)):
        out = tmp_path / f"out-{name}"
        call = ["--out", str(out), "--offline", str(tmp_path / name), "--size", "12", "16", "--every", "2"]
        assert traffic.main(call) == 0
        x = read_frames(find_data_set("traffic", out) / "frames.npz")
        assert x.shape == (4, 3, 12, 16) and only(out / "traffic", "SHA256SUMS", "frames.npz")
        assert not exact or torch.equal(x, read_frames(film[::2]))
        assert modelab(["data", "traffic", "--check", "--folder", str(out)]) == 0


def test_traffic_refuses_what_is_no_film(tmp_path, capsys, monkeypatch):
    assert traffic.main(["--out", str(tmp_path)]) == 2
    (tmp_path / "one.gif").write_bytes(b"GIF89a no")
    Image.new("RGB", (4, 4)).save(tmp_path / "still.gif")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    for name in ("none.mp4", "still.gif", "film.mp4", "one.gif"):
        assert traffic.main(["--out", str(tmp_path / "out"), "--offline", str(tmp_path / name)]) in (1, 2), name
        assert not (tmp_path / "out/traffic/frames.npz").exists()
    monkeypatch.setenv("PATH", "")
    assert traffic.main(["--out", str(tmp_path / "out"), "--offline", str(tmp_path / "film.mp4")]) == 2
    assert "ffmpeg is needed" in capsys.readouterr().err


def test_traffic_from_a_film_by_ffmpeg(tmp_path):
    if not shutil.which("ffmpeg"):
        pytest.skip("no ffmpeg on this machine")
    make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=1:size=64x48:rate=10", str(tmp_path / "f.mp4")]
    subprocess.run(make, check=True, timeout=60)
    assert traffic.main(["--out", str(tmp_path), "--offline", str(tmp_path / "f.mp4"), "--every", "5"]) == 0
    assert read_frames(tmp_path / "traffic/frames.npz").shape == (2, 3, 48, 64)


# Readers and the list

def test_cifar10_reads_the_binary_version_only(source, tmp_path):
    unpack_archive(source["cifar10"] / "cifar-10-binary.tar.gz", tmp_path / "cifar10/cifar-10-batches-bin", DATA_SETS["cifar10"].wanted,
           progress=False)
    x, kind = cifar10(tmp_path)
    rows = np.random.default_rng(2).integers(0, 10, (6, 4, 3073), np.uint8)
    assert x.dtype == torch.uint8 and kind.dtype == torch.int64
    assert np.array_equal(x.flatten(1).numpy(), rows[:5].reshape(20, -1)[:, 1:])
    assert kind.tolist() == rows[:5].reshape(20, -1)[:, 0].tolist()
    path = tmp_path / "cifar10" / DATA_SETS["cifar10"].needs[2]
    for content in (b"", bytes(3072), bytes([10]) + bytes(3072), bytes(3073 * 10_001)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="folder: expected"):
            cifar10(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="data_scripts/cifar10.py"):
        cifar10(tmp_path)
    with pytest.raises(ValueError, match="split: "):
        cifar10(tmp_path, "test")
    sources = [(ROOT / p).read_text() for p in ("modelab/data/archives.py", "modelab/data/catalogue.py", "modelab/data/cifar.py", "modelab/data/download.py", "data_scripts/fetching.py")]
    assert not any(re.search(r"\bpickle\b|extractall|\.extract\(", text) for text in sources)


def test_pixels_are_in_memory_once(tmp_path):
    import tracemalloc
    pixels = np.zeros((20_000, 28, 28), np.uint8)
    (tmp_path / "a").write_bytes(gzip.compress(idx(pixels), 1))
    tracemalloc.start()
    x = read_idx(tmp_path / "a", "images")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.shape == pixels.shape and peak < 1.35 * pixels.nbytes


def test_fashion_mnist_never_reads_the_digits(tmp_path, monkeypatch):
    idx_set(tmp_path / "all", noise(40), noise(20))
    monkeypatch.setenv("MODELAB_DATA", str(tmp_path / "all"))
    assert mnist()._images.shape == (40, 28, 28)
    with pytest.raises(FileNotFoundError, match="data_scripts/fashion_mnist.py"):
        fashion_mnist()
    assert find_data_set("mnist") == tmp_path / "all"
    with pytest.raises(FileNotFoundError, match="data_scripts/fashion_mnist.py"):
        find_data_set("fashion_mnist")
    idx_set(tmp_path / "all/fashion_mnist", noise(30), noise(20))
    assert len(fashion_mnist()._images) == 30 and len(mnist()._images) == 40
    assert len(fashion_mnist(str(tmp_path / "all/fashion_mnist"))._images) == 30


def test_clothes_have_a_judge(tmp_path):
    path = Path(DATA or ".", "fashion_sprite", "fashion_sprite_900.npz")
    if not DATA or not path.is_file():
        pytest.skip("no fashion_sprite in the folder that MODELAB_DATA names")
    stored = np.load(path)
    split = [(stored["images"][i::3], stored["labels"][i::3]) for i in range(3)]
    train = tuple(np.concatenate(parts) for parts in zip(*split[:2]))
    made = fashion_mnist(str(idx_set(tmp_path, train, split[2])))
    assert len(made._images) == 600 and made.n_modes == 10 and len(made.held_out._images) == 300
    made._archive.walk = 200
    x, mode = made.held_out.sample_with_modes(500, torch.Generator().manual_seed(0))
    assert (made.assign(x)[0] == mode).float().mean() > .6 and made.judge.accuracy > .6


def test_the_list_says_what_is_here_and_what_is_not(source, tmp_path, capsys, monkeypatch):
    shutil.copytree(source["mnist"], tmp_path / "d/mnist")
    monkeypatch.setenv("MODELAB_DATA", str(tmp_path / "d"))
    assert modelab(["data"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"mnist +present, 0 MB, never checked: .*/d/mnist", said)
    assert re.search(r"cifar10 +absent, 0 MB: python data_scripts/cifar10.py --out .*/d\n", said)
    assert re.search(r"celeba +absent.*--agree --offline ZIP TXT", said)
    assert modelab(["data", "mnist", "--check"]) == 0 and "as published" in capsys.readouterr().out
    assert modelab(["data", "cifar10"]) == 1 and modelab(["data", "mnits"]) == 2
    assert modelab(["data", "--folder", str(tmp_path / "none")]) == 2
    file = tmp_path / "d/mnist" / DATA_SETS["mnist"].needs[3]
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content, 1, mtime=5))
    assert modelab(["data", "--check"]) == 0 and "same content, packed anew" in capsys.readouterr().out
    file.unlink()
    file.with_suffix("").write_bytes(content)
    assert modelab(["data", "mnist", "--check"]) == 0 and "same content" in capsys.readouterr().out
    file.with_suffix("").write_bytes(content[:-1] + b"\7")
    assert modelab(["data", "--check"]) == 1 and f"{file.name} differs" in capsys.readouterr().out


def test_sums_are_what_sha256sum_writes(tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    assert write_checksums(tmp_path, ["a.bin"]).read_text() == f"{FILE.sha256}  a.bin\n"
    assert file_verdict(tmp_path / "a.bin", FILE) == GOOD_VERDICTS[0] and file_verdict(tmp_path / "b.bin", FILE) == "absent"


def test_the_catalogue_is_whole():
    for name, known in DATA_SETS.items():
        assert name == known.name and known.terms and known.needs and (ROOT / "data_scripts" / f"{name}.py").is_file()
        assert all(m.endswith("/") and m.startswith("http") for m in known.mirrors)
        for f in known.files:
            assert re.fullmatch("[0-9a-f]{64}", f.sha256) and (not f.content or re.fullmatch("[0-9a-f]{64}", f.content))
    digests = [f.sha256 for known in DATA_SETS.values() for f in known.files]
    assert len(set(digests)) == len(digests) == 11


def test_real_mnist_is_the_published_one():
    if not DATA or not Path(DATA, "mnist").is_dir():
        pytest.skip("no MNIST files in the folder that MODELAB_DATA names")
    found = verify_data_set(DATA_SETS["mnist"], Path(DATA, "mnist"))
    assert len(found) == 4 and set(found.values()) <= set(GOOD_VERDICTS)
