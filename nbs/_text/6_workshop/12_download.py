# %% [markdown]
# # Downloads
# > How is a data set downloaded bit for bit, and which modes are lost if a download breaks off?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How is a data set downloaded bit for bit, and which modes are lost if a download breaks off? |
# | **You will be able to** | fetch a set so that you have it bit for bit or not at all; unpack an archive from an unknown source; list what is on your disk |
# | **Needs** | [0.3](../0_start/03_modes.ipynb) |
# | **Time** | under half a minute; nothing is downloaded: all servers here are your own machine |
#
# This chapter is for contributors who add real data, and for readers whose code downloads files or unpacks archives. You most likely need one of these calls:
#
# ```python
# from modelab.data.archives import unpack_archive
# from modelab.data.catalogue import Published, find_data_set
# from modelab.data.download import fetch
#
# file = Published("faces.zip", size=1_234_567, sha256="…")  # as its authors state them
# path = fetch(file, "folder", mirrors=["https://…/"])         # the file bit for bit, or an error
# unpack_archive(path, "faces", wanted=r"faces/(\w+\.jpg)")    # files of expected names, or an error
# find_data_set("mnist")                                      # where a set of the catalogue lies
# ```
#
# MNIST, Fashion-MNIST and CIFAR-10 have a script each; the section *In your own code* shows the commands. The chapter exports five modules: `data.download` (fetch a file), `data.archives` (unpack it), `data.catalogue` (which sets were published, and which are on this disk), `data.cifar` (read CIFAR-10), and `data.faulty_server` (a server that misbehaves on request, for tests).

# %%
#| default_exp data.download

# %%
#| export
"Downloads of published files: mirrors, resume, SHA-256 checks."
from __future__ import annotations

import functools
import http.client
import os
import re
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib import error, request

from tqdm.auto import tqdm

from modelab.core.checks import check_int, check_number
from modelab.core.files import check_disk_space, file_lock
from modelab.data.catalogue import GOOD_VERDICTS, Published, file_verdict

# %%
#| export data.catalogue
"Published data sets: what there is, on which terms, what is on this disk; `modelab data`."
from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modelab.core.checks import check_choice
from modelab.core.files import atomic_write
from modelab.core.registry import register_command

# %%
#| export data.archives
"Archives of strangers, .zip and .tar.gz, unpacked only if every name and type was expected."
from __future__ import annotations

import functools
import gzip
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tqdm.auto import tqdm

from modelab.core.checks import check_int
from modelab.core.files import check_disk_space

# %%
#| export data.faulty_server
"A local HTTP server that misbehaves on request, to test downloads with."
from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from modelab.core.checks import check_choice

# %%
#| export data.cifar
"CIFAR-10, read from its binary version."
from __future__ import annotations

from pathlib import Path

import torch

from modelab.core.checks import check_choice
from modelab.data.catalogue import DATA_SETS, find_data_set

# %%
import io
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from sklearn.datasets import load_digits
from modelab.core.checks import error_message
from modelab.core.plotting import axes, FAKE, MISSING, Picture, REAL
from modelab.core.statistics import Interval, interval
from modelab.course.claims import claim, recorded, steps
from modelab.course.notebooks import patch

# %% [markdown]
# ## A file with ten modes
# We take scikit-learn's digits and sort them by class, as many published sets are. A row has one byte for the label and 64 bytes of pixels.
# We serve the file on this machine and fetch it with a simple loop, as many programs do.

# %%
digits = load_digits()
order = digits.target.argsort(kind="stable")

# %%
rows = [bytes([digits.target[i]]) + digits.images[i].astype("uint8").tobytes() for i in order]
shelf = Path(tempfile.mkdtemp())
(shelf / "digits.bin").write_bytes(original := b"".join(rows))

# %%
def copy_loop(url: str, path: Path, timeout: float = 10) -> None:
    "Read until nothing more comes: the loop that everybody has written once."
    with request.urlopen(url, timeout=timeout) as answer, open(path, "wb") as file:
        while piece := answer.read1(65536):
            file.write(piece)

# %% [markdown]
# The server of this chapter makes a fault on request. Below it closes the connection after 45 % of the bytes, as a
# proxy with a limit may do. First comes its class.

# %% [markdown]
# **Predict:** `copy_loop` gets 45 % of the file. Does it raise an error? How many of the ten classes are in what it
# leaves behind?

# %% [markdown]
# `FAULTS` lists the faults that the server can make. It serves the files of a folder on this machine.

# %%
#| export data.faulty_server
FAULTS = {
    "none": "the file, as it is", "drop": "closes the connection part of the way",
    "truncate": "sends a part and announces only that", "stall": "sends a part, then nothing",
    "drip": "sends a part, then a few bytes a second", "corrupt": "flips one bit",
    "more": "sends the file and goes on", "long": "promises twice as many bytes as it has",
    "page": "answers with a web page, as the network of a hotel does",
    "redirect": "sends you to the same place again",
    "no range": "knows no ranges and always sends the file from its start",
    "wrong range": "sends another range than asked for",
    "shifted": "says that it sends the range asked for, and sends another",
    "404": "has no such file", "500": "has failed", "503": "is busy"}

# %% [markdown]
# `FaultyServer` is the server. It takes the next fault of its list for each request, and keeps a log of the requests for the tests.

# %%
#| export data.faulty_server
class FaultyServer:
    """Serves the files of a folder on 127.0.0.1 and misbehaves: one fault per request, then none.

    A fault is a name in `FAULTS`, or a pair of it and where in the body it strikes: a share, or a
    number of bytes. `log` lists the requests: (path, first byte asked for, fault); `sent` counts
    bytes. Use it in a `with`.
    """
    def __init__(self, folder: str | Path, faults: str | Iterable[str | tuple[str, float]] = ()):
        faults = [faults] if isinstance(faults, str) else list(faults)
        for fault in faults:
            check_choice("faults", fault if isinstance(fault, str) else fault[0], FAULTS)
        self.folder, self.log, self.sent = Path(folder), [], 0
        self.closing, self._turn = threading.Event(), threading.Lock()
        self._faults = itertools.chain(faults, itertools.repeat("none"))

    def fault(self, path: str, start: int) -> tuple[str, float]:
        "What to do wrong about this request, and where in the body."
        with self._turn:
            name, where = (f, .5) if isinstance(f := next(self._faults), str) else f
            self.log.append((path, start, name))
        return name, where

# %% [markdown]
# The server runs in threads of its own during the `with` block, so the notebook can fetch from it in the meantime.

# %%
#| export data.faulty_server
@patch
def __enter__(self: FaultyServer) -> FaultyServer:
    handler = type("Handler", (_Handler,), {"owner": self})
    self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    self._http.daemon_threads = True
    self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"
    threading.Thread(target=self._http.serve_forever, args=(.01,), daemon=True).start()
    return self

# %% [markdown]
# At the end of the block the server is stopped, also if it is in the middle of a fault that keeps a connection waiting.

# %%
#| export data.faulty_server
@patch
def __exit__(self: FaultyServer, *_: object) -> None:
    self.closing.set()
    self._http.shutdown()
    self._http.server_close()

# %% [markdown]
# One object of this class answers one request. Errors of the other side, such as a closed connection, are not printed.

# %%
#| export data.faulty_server
class _Handler(BaseHTTPRequestHandler):
    "One request of `FaultyServer`."
    timeout, owner = 20, None

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # the other side went away

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        "Send status, headers and body; the connection closes after it."
        self.send_response(status)
        for item in headers.items():
            self.send_header(*item)
        self.end_headers()
        self.owner.sent += len(body)
        self.wfile.write(body)

# %% [markdown]
# This method chooses the answer to a request: an error, something that is not the file, or the file.

# %%
#| export data.faulty_server
@patch
def do_GET(self: _Handler) -> None:
    name = self.path.lstrip("/")
    path = self.owner.folder / name
    if "/" in name or name.startswith(".") or not path.is_file():
        return self.send_error(404)
    asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    fault, where = self.owner.fault(self.path, start)
    if fault.isdigit():
        return self.send_error(int(fault))
    if fault == "redirect":
        return self._answer(302, b"", {"Location": self.path})
    if fault == "page":
        page = b"<html>Welcome! Please accept our terms.</html>"
        length = str(len(page))
        return self._answer(200, page, {"Content-Type": "text/html", "Content-Length": length})
    if start >= path.stat().st_size:
        return self.send_error(416)
    self._send_file(path.read_bytes(), start, fault, where)

# %% [markdown]
# Three faults concern the range that was asked for, and one flips a bit.

# %%
#| export data.faulty_server
@patch
def _send_file(self: _Handler, data: bytes, start: int, fault: str, where: float) -> None:
    "Send `data` from byte `start`, or another part of it where `fault` says so."
    start = 0 if fault == "no range" else start
    says = max(0, start - 1) if fault == "wrong range" else start
    body = data[start - 1 if fault == "shifted" and start else says:]
    at = min(where if isinstance(where, int) else int(where * len(body)), len(body))
    if fault == "corrupt":
        body = body[:at] + bytes([body[at] ^ 16]) + body[at + 1:]
    total = len(data)
    ranged = {"Content-Range": f"bytes {says}-{total - 1}/{total}"} if start else {}
    self._send_body(206 if start else 200, body, fault, at, ranged)

# %% [markdown]
# The others concern how much comes, how fast, and what the header announces.

# %%
#| export data.faulty_server
@patch
def _send_body(self: _Handler, status: int, body: bytes, fault: str, part: int,
               headers: dict[str, str]) -> None:
    "Send `body`, all of it or as `fault` has it; `part` is the byte where the fault strikes."
    cut = body[:part]
    wrong = {"truncate": cut, "drop": cut, "stall": cut, "drip": cut,
             "more": body + body[:1000]}.get(fault, body)
    announced = {"truncate": len(wrong), "more": len(wrong), "long": 2 * len(body)}
    length = announced.get(fault, len(body))
    self._answer(status, wrong, {"Content-Length": str(length), **headers})
    pause = {"stall": 20., "drip": .05}.get(fault)
    for i in range(part, len(body) if pause else part, 4):
        if self.owner.closing.wait(pause):
            return
        if fault == "drip":
            self.wfile.write(body[i:i + 4])

# %%
got = shelf / "got.bin"
with FaultyServer(shelf, [("drop", .45)]) as server:
    copy_loop(server.url + "digits.bin", got)
got.stat().st_size, len(original)

# %%
left = torch.frombuffer(bytearray(got.read_bytes()), dtype=torch.uint8)[::65].bincount(minlength=10)
assert (left > 0).sum() == 5
left.tolist()

# %%
figure, ax = axes(size=(4.4, 2.6))
ax.bar(range(10), torch.tensor(digits.target).bincount(), color=MISSING, label="sent")
ax.bar(range(10), left, color=FAKE, width=.5, label="received")
ax.set(xlabel="digit", ylabel="scans", xticks=range(10))
ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(.5, 1))
Picture(figure, "Scans of each digit in the file and in what was received: "
                f"0 to 3 whole, {left[4]} of 4, none of 5 to 9")

# %% [markdown]
# There was no error, and five classes are missing. The file has its final name, so nobody can see later that it is not whole. A perfect generator of these data captures five modes of ten, and the
# training would be blamed for a broken download.
#
# ## Three questions about a file
# **Is it as long as announced?** The server's own header says how many bytes will come. This test finds the dropped
# connection. It does not find a proxy that cuts the file and announces the shorter length, or a flipped bit.
#
# **Is it the file?** The authors of a set can publish its SHA-256, a number of 256 bits that changes with every change of the
# file, as far as anybody knows. For $n$ files that were not constructed for it the probability that two of them have the same SHA-256 is at most $n^2/2^{257}$; no such pair is
# known. So the test is a hash that was known *before* the download, and not anything that the server says.

# %%
def right(data: bytes) -> bool:
    "Whether these are the bytes that were published."
    return hashlib.sha256(data).hexdigest() == hashlib.sha256(original).hexdigest()

# %%
flipped = bytes([original[0] ^ 16]) + original[1:]
assert right(original) and not right(flipped) and len(flipped) == len(original)
right(original), right(flipped), right(got.read_bytes())

# %% [markdown]
# **Can the download be resumed?** If the hash is wrong, the file must be fetched again. Let connections break at random, on average $\lambda$
# times a byte, and let each attempt start from zero. For a file of $L$ bytes let $N$ be the expected number of bytes that cross
# the network. It is the number of bytes before the first break, plus $N$ again:
#
# $$N=\int_0^L (x+N)\,\lambda e^{-\lambda x}\,dx+L\,e^{-\lambda L}
# \quad\Longrightarrow\quad N=\frac{e^{\lambda L}-1}{\lambda}.$$
#
# **Predict:** let three breaks be expected in one file's length. How many times the length of the file is $N$?

# %%
def bytes_sent(breaks: float, length: float = 1.) -> float:
    "Expected bytes on the wire if every break starts again from zero; `breaks` are per file."
    return math.expm1(breaks) / (breaks / length)

bytes_sent(3)

# %%
rate, L, N = 3., 1., bytes_sent(3)
x = (torch.arange(400_000, dtype=torch.float64) + .5) * L / 400_000
first = ((x + N) * rate * (-rate * x).exp()).mean() * L + L * math.exp(-rate * L)
assert abs(first.item() - N) < 1e-9
first.item()

# %% [markdown]
# More than six times the bytes of the file cross the network. This number grows as the exponential of the size: a set ten times as large
# would not arrive in any practical time. A request for the rest (`Range: bytes=45000-`, in HTTP since 1997) costs $L$
# bytes in all, however often the connection breaks. Does the formula hold for a real loop? The server counts the bytes that are sent if each attempt starts again:

# %%
def cost(seed: int) -> float:
    "Bytes on the wire per byte of the file: `copy_loop` with random breaks until it gets all."
    g, length = torch.Generator().manual_seed(seed), len(original)
    breaks = (torch.empty(300).exponential_(3 / length, generator=g)).int().tolist()
    with FaultyServer(shelf, [("drop", b) for b in breaks]) as server:
        while not got.exists() or got.read_bytes() != original:
            copy_loop(server.url + "digits.bin", got)
    got.unlink()
    return server.sent / length

# %%
got.unlink(missing_ok=True)
again = interval(map(cost, range(steps(64, 8))), low=1)
assert again.low < N < again.high
f"{again:.2f} files sent for one; the formula says {N:.2f}"

# %% [markdown]
# ## A safe download
# One function, `fetch`, answers all three questions. It is built from small parts, and comes last in this section. [Pooch](https://www.fatiando.org/pooch) does a part of the work: it checks the hash of
# what was downloaded, and only then gives the file its own name. It cannot resume, so our own loop fetches the
# bytes and keeps them in `NAME.part`. No length, name or encoding that the server announces is trusted.
# At most as many bytes are written as the file is known to have. `Published` holds what must be known before the download:

# %%
#| export data.catalogue
@dataclass(frozen=True)
class Published:
    "A file as its authors published it."
    name: str
    size: int  # bytes
    sha256: str
    content: str = ""  # the SHA-256 of what a .gz holds, where known

# %% [markdown]
# A file on the disk is compared with the published one. Two verdicts are good. A `.gz` that somebody packed anew, or unpacked, still counts if
# its content is known to be right.

# %%
#| export data.catalogue
GOOD_VERDICTS = ("as published", "same content, packed anew")

# %% [markdown]
# `_sha256` computes the hash of a file, or of the content of a `.gz`, in parts, so that a large file is not read into memory.

# %%
#| export data.catalogue
def _sha256(path: Path, unpacked: Callable = open) -> str:
    "The SHA-256 of a file, in hexadecimal."
    with unpacked(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

# %% [markdown]
# `file_verdict` gives one of four verdicts on a file; two of them are good. A damaged `.gz` counts as different and raises no error.

# %%
#| export data.catalogue
def file_verdict(path: Path, file: Published) -> str:
    """What is at `path`, or beside it unpacked, against the published file.

    One of `GOOD_VERDICTS`, "differs" or "absent".
    """
    as_published, repacked = GOOD_VERDICTS
    try:
        if path.is_file():
            if _sha256(path) == file.sha256:
                return as_published
            same = file.content and _sha256(path, gzip.open) == file.content
            return repacked if same else "differs"
        if path.suffix == ".gz" and path.with_suffix("").is_file():
            return repacked if _sha256(path.with_suffix("")) == file.content else "differs"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "differs"
    return "absent"

# %% [markdown]
# A failed connection may be tried again, unless the server's answer was final. The error `ConnectionLost` says which of the two it is.

# %%
#| export
class ConnectionLost(ConnectionError):
    "The server failed; `final` if it is no use to ask it again."
    def __init__(self, text: object, final: bool = False):
        super().__init__(str(text))
        self.final = final

# %% [markdown]
# A redirect must not lead to a local file or to another protocol, so `_opener` opens http and https only.

# %%
#| export
@functools.cache
def _opener() -> request.OpenerDirector:
    "Opens http and https and nothing else, wherever a server redirects to."
    context = ssl.create_default_context()
    try:
        import certifi
        context.load_verify_locations(certifi.where())
    except ImportError:
        pass
    opener = request.OpenerDirector()
    for handler in (request.ProxyHandler(), request.UnknownHandler(), request.HTTPHandler(),
                    request.HTTPSHandler(context=context), request.HTTPDefaultErrorHandler(),
                    request.HTTPRedirectHandler(), request.HTTPErrorProcessor()):
        opener.add_handler(handler)
    return opener

# %% [markdown]
# `_open` sends a request. Errors of the network become `ConnectionLost`. A busy server (429, 5xx) may be asked again, one without the file may not.

# %%
#| export
def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    "The answer to a request; every failure is a `ConnectionLost`."
    try:
        return _opener().open(request.Request(url, headers=headers), timeout=timeout)
    except error.HTTPError as e:
        final = e.code < 500 and e.code not in (408, 425, 429)
        raise ConnectionLost(f"{e.code} {e.reason}".splitlines()[0], final) from e
    except (OSError, http.client.HTTPException) as e:
        reason = getattr(e, "reason", e)
        final = isinstance(e, error.URLError) and not isinstance(reason, TimeoutError)
        raise ConnectionLost(reason or repr(e), final) from e

# %% [markdown]
# `_ask` asks for the rest of a file. The answer must be the range that was asked for, or the file from its start at the length that is known.

# %%
#| export
def _ask(url: str, start: int, size: int, timeout: float) -> tuple[http.client.HTTPResponse, int]:
    "The answer to a request for the bytes from `start`, and the byte that it really starts with."
    headers = {"User-Agent": "modelab", "Accept-Encoding": "identity"}
    answer = _open(url, headers | ({"Range": f"bytes={start}-"} if start else {}), timeout)
    ranged = answer.headers.get("Content-Range", "")
    length = answer.headers.get("Content-Length", str(size))
    if answer.status == 206 and not re.fullmatch(rf"bytes {start}-\d+/({size}|\*)", ranged):
        answer.close()
        problem = f"sends {ranged!r} instead of the bytes from {start} of {size}"
        raise ConnectionLost(problem, final=True)
    if answer.status == 200 and length != str(size):
        answer.close()
        raise ConnectionLost(f"offers a file of {length} bytes instead of {size}", final=True)
    return answer, start if answer.status == 206 else 0

# %% [markdown]
# A connection can also stay open while nothing comes, or only a few bytes now and then. So there is a time limit without any bytes
# and a lower limit on the speed, `LEAST_SPEED`.

# %%
#| export
LEAST_SPEED = 1000  # bytes per second; a slower connection counts as dead

# %% [markdown]
# `_stream` appends the bytes to those that are already in the `.part` file, and stops when the file has its known size.

# %%
#| export
def _stream(url: str, part: Path, size: int, timeout: float, bar: tqdm) -> None:
    "Bring `part` to `size` bytes from `url`, from where it stands."
    answer, at = _ask(url, _size(part), size, timeout)
    with answer, open(part, "r+b" if part.exists() else "wb") as file:
        file.seek(at)
        bar.reset(size)
        bar.update(at)
        since, before = time.monotonic(), at
        while at < size:
            piece = _read_piece(answer, min(65536, size - at))
            if not piece:
                raise ConnectionLost(f"closed the connection after {at} of {size} bytes")
            at += file.write(piece)
            bar.update(len(piece))
            if (now := time.monotonic()) - since > timeout:
                if at - before < LEAST_SPEED * timeout:
                    raise ConnectionLost(f"sent {at - before} bytes in {now - since:.0f} s")
                since, before = now, at

# %% [markdown]
# A connection that breaks and a disk that is full both raise `OSError`. Only reading may turn it into `ConnectionLost`: another mirror does not help against a full disk.

# %%
#| export
def _read_piece(answer: http.client.HTTPResponse, most: int) -> bytes:
    "What has come, up to `most` bytes; nothing at the end."
    try:
        return answer.read1(most)
    except (OSError, http.client.HTTPException) as e:
        raise ConnectionLost(e or repr(e)) from e

# %% [markdown]
# The number of bytes that have come so far is the size of the `.part` file.

# %%
#| export
def _size(path: Path) -> int:
    "Bytes of a file; 0 if there is none."
    return path.stat().st_size if path.is_file() else 0

# %% [markdown]
# `_attempt` is one attempt at one mirror. It fetches the missing bytes. Then Pooch compares the hash and gives the file its name.

# %%
#| export
def _attempt(file: Published, folder: Path, mirror: str, timeout: float, bar: tqdm) -> Path:
    "The file, from what is in its part and the rest from `mirror`; `ValueError` for another hash."
    import pooch
    part = folder / f"{file.name}.part"
    if _size(part) < file.size:
        _stream(mirror + file.name, part, file.size, timeout, bar)
    return Path(pooch.retrieve(mirror + file.name, file.sha256, file.name, folder,
                               downloader=lambda url, output, _: os.replace(part, output)))

# %% [markdown]
# `_try_mirror` repeats the attempts. Those that bring new bytes are not counted, the others are limited. A wrong hash may be due to bytes that an earlier
# mirror left in the `.part` file. If it happens twice, it is an error of this mirror.

# %%
#| export
def _try_mirror(file: Published, folder: Path, mirror: str, timeout: float, tries: int,
                pause: float, bar: tqdm, problems: list[str]) -> Path | None:
    "The file, or None once the mirror has failed `tries` times; adds to `problems`."
    failed = mistaken = 0
    while failed < tries:
        had = _size(part := folder / f"{file.name}.part")
        check_disk_space(folder, file.size - had)
        try:
            return _attempt(file, folder, mirror, timeout, bar)
        except ConnectionLost as e:
            problems.append(f"{mirror}: {e}")
            little = _size(part) - had < file.size / 64
            failed = tries if e.final else failed + 1 if little else 0
        except ValueError:  # Pooch's word for another hash; the part is gone with it
            problems.append(f"{mirror}: another file, by its SHA-256")
            mistaken += 1
            failed = tries if mistaken > 1 or not had else failed
        if 0 < failed < tries:
            time.sleep(min(pause * 2 ** (failed - 1), 30))
    return None

# %% [markdown]
# `fetch` tries the mirrors one after the other. It holds the folder's lock ([6.3](03_files.ipynb)), so if several processes want the same file, one fetches it and the others wait.

# %%
#| export
def fetch(file: Published,  # what is to be fetched
          folder: str | Path,  # where to; made if absent
          mirrors: Sequence[str],  # addresses that end in a slash, tried in turn
          timeout: float = 20,  # seconds of silence that end a connection
          tries: int = 5,  # attempts at one mirror that bring nothing new
          pause: float = 1,  # seconds before the second attempt; doubled for each further one
          progress: bool = True,  # a bar in a terminal
          ) -> Path:
    """The published file in `folder`, bit for bit; `ConnectionError` if no mirror gives it.

    Nothing is fetched if it is there. What came so far stays in NAME.part for the next attempt.
    """
    timeout, tries = check_number("timeout", timeout, above=0), check_int("tries", tries)
    folder, problems = _download_folder(folder, mirrors), []
    with file_lock(folder, wait=True), tqdm(total=file.size, unit="B", unit_scale=True,
                                            desc=file.name, disable=not progress or None) as bar:
        if file_verdict(path := folder / file.name, file) in GOOD_VERDICTS:
            return path if path.exists() else path.with_suffix("")
        for mirror in mirrors:
            if found := _try_mirror(file, folder, mirror, timeout, tries, pause, bar, problems):
                return found
    said = "; ".join(dict.fromkeys(problems))
    raise ConnectionError(f"{file.name}: no mirror gave it. {said}")

# %% [markdown]
# `_download_folder` checks the arguments before it makes the folder, so a mistake leaves nothing behind.

# %%
#| export
def _download_folder(folder: str | Path, mirrors: Sequence[str]) -> Path:
    "The folder to download into, made; refuses mirrors that are no addresses."
    import pooch
    if isinstance(mirrors, str) or not all(re.match("https?://.*/$", m) for m in mirrors):
        raise ValueError("mirrors: expected addresses http(s)://…/ that end in a slash, "
                         f"got {mirrors!r}")
    pooch.get_logger().setLevel("WARNING")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)

# %% [markdown]
# Does it work? Each fault occurs at eight random places, in three requests in a row, and there is one good mirror.
# `fetch` is compared with the copy loop, with a copy loop that compares lengths, and with one that knows the hash and tries once. These
# are stopped after a second, since a server that sends a few bytes at a time would keep them busy without end.
# The eight places are tried at the same time, because most of the time is waiting.
#
# **Predict:** which faults get past the comparison of lengths?

# %%
def checked_length(url: str, path: Path) -> None:
    "`copy_loop`, and the length must be what the server announced."
    copy_loop(url, path)
    with request.urlopen(url, timeout=10) as answer:  # asked again, as careful scripts do
        if path.stat().st_size != int(answer.headers["Content-Length"]):
            raise ConnectionError("too short")

# %%
def checked_hash(url: str, path: Path) -> None:
    "`copy_loop`, and nothing stays but the published file."
    copy_loop(url, path)
    if not right(path.read_bytes()):
        path.unlink()
        raise ConnectionError("another file")

# %%
good_mirror = FaultyServer(shelf).__enter__()
published = Published("digits.bin", len(original), hashlib.sha256(original).hexdigest())

# %%
def ours(url: str, path: Path) -> None:
    "`fetch`, with one mirror to turn to."
    mirrors = [url.removesuffix("digits.bin"), good_mirror.url]
    fetch(published, path.parent, mirrors, timeout=.5, tries=5, pause=.01, progress=False)

# %%
def outcome(method: Callable, fault: str, seed: int) -> str:
    "The file that a method leaves is right or wrong; or it ends in an error, or waits for ever."
    at = torch.rand(1, generator=torch.Generator().manual_seed(seed)).item()
    with tempfile.TemporaryDirectory() as folder, FaultyServer(shelf, [(fault, at)] * 3) as server:
        path, patience = Path(folder, "digits.bin"), 20 if method is ours else 1
        stop = threading.Timer(patience, server.closing.set)
        stop.start()
        try:
            method(server.url + "digits.bin", path)
            what = "right" if right(path.read_bytes()) else "wrong"
        except OSError:
            what = "error"
        stop.cancel()
        return "waits" if server.closing.is_set() else what

# %%
about_ranges = ["no range", "wrong range", "shifted"]
faults = [fault for fault in FAULTS if fault not in ("none", *about_ranges)]
methods = {"copy loop": copy_loop, "with length": checked_length,
           "with hash": checked_hash, "fetch": ours}

# %%
seeds = range(steps(8, 2))
with ThreadPoolExecutor(len(seeds)) as pool:
    found = {name: {fault: list(pool.map(functools.partial(outcome, method, fault), seeds))
                    for fault in faults} for name, method in methods.items()}

# %%
looks = {"right": (REAL, "o", "right file"), "error": (MISSING, "_", "error"),
         "waits": (MISSING, "<", "no end"), "wrong": (FAKE, "X", "wrong file, no error")}
spots = [(x + (i - 3.5) / 12, y, what)
         for x, name in enumerate(methods) for y, fault in enumerate(faults)
         for i, what in enumerate(found[name][fault])]

# %%
figure, ax = axes(size=(5.4, 4.6))
for kind, (colour, mark, label) in looks.items():
    points = [(x, y) for x, y, what in spots if what == kind] or [(math.nan,) * 2]
    ax.scatter(*zip(*points), c=colour, marker=mark, s=18, label=label)
ax.set(xticks=range(len(methods)), xticklabels=methods, yticks=range(len(faults)),
       yticklabels=faults, ylim=(11.5, -.5))
ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(.5, 1),
          columnspacing=1, handletextpad=.1)
silent = {name: sum("wrong" in got for got in of.values()) for name, of in found.items()}
Picture(figure, "Outcome of each fault, eight places each. "
        "Faults that leave a wrong file without an error: "
        + ", ".join(f"{name} {n}" for name, n in silent.items()))

# %%
def count(name: str, what: str) -> Interval:
    "How many of the faults end so, over the eight places."
    counts = [sum(found[name][fault][seed] == what for fault in faults) for seed in seeds]
    return interval(counts, low=0, high=len(faults))

claim("A resumed, hashed fetch delivers the file whatever one mirror of two does wrong",
      paper="this course", section="6.12",
      ours=f"right after {count('fetch', 'right'):.3g} of {len(faults)} faults",
      baseline=f"a copy loop: right after {count('copy loop', 'right'):.2g}, wrong without "
               f"an error after {count('copy loop', 'wrong'):.2g}; if it compares lengths "
               f"{count('with length', 'wrong'):.2g}",
      holds=count("fetch", "right").low == len(faults))

# %% [markdown]
# The comparison of lengths finds a fault only if another number of bytes arrives than the server announces. A cut file with a matching length, an HTML page, a flipped bit and a
# file that is too long all pass. The hash finds all of them, but it cannot repair the file.
#
# Three more faults can occur when a server is asked for the rest of a file. In each case the connection drops first. Then
# the server sends the whole file instead of the rest, or it announces another part, or it sends another part without
# announcing it. The list shows at which byte each request to it began.

# %%
for fault in about_ranges:
    with FaultyServer(shelf, [("drop", .6), fault]) as server:
        ours(server.url + "digits.bin", shelf / "down" / "digits.bin")
        assert right((shelf / "down" / "digits.bin").read_bytes())
        print(f"{fault:12}", [(start, name) for _, start, name in server.log])
    shutil.rmtree(shelf / "down")

# %% [markdown]
# In the first case the bytes are sent once more. In the second the answer is refused because of its own header, and the good mirror sends the rest. The
# third is found by the hash: the bytes are deleted, and the same server is asked once more for the whole file.
#
# ## An archive from an unknown source
# An archive is a list of names and contents, and its author chooses both. A name may be `../../.bashrc`. An
# entry may be a link to a folder of yours, through which the next entry is written. A megabyte may unpack to a
# gigabyte. So we use a name only if we expected it, and take plain files only. Every size is bounded before
# it is read. Everything is written to a temporary folder, which gets its final name when it is complete. `unpack_archive` at the end of this section does this. Its parts come first.

# %%
#| export data.archives
class _Bounded:
    "A stream that refuses to give more than `most` bytes."
    def __init__(self, stream: IO[bytes], most: int):
        self.stream, self.left = stream, most

    def read(self, n: int = -1) -> bytes:
        "At most `n` bytes."
        data = self.stream.read(min(n if n >= 0 else self.left + 1, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("more bytes than such an archive can hold")
        return data

# %% [markdown]
# Both kinds of archive give the same list: name, size, whether it is a plain file, and how to read it.

# %%
#| export data.archives
Entry = tuple[str, int, bool, Callable[[], IO[bytes]]]  # name, bytes, a plain file?, reader

# %% [markdown]
# A zip file keeps the kind of an entry in the upper bits of an attribute; encrypted entries are refused.

# %%
#| export data.archives
def _zip_entries(archive: Path) -> Iterator[Entry]:
    "The entries of a .zip but folders."
    with zipfile.ZipFile(archive) as packed:
        for m in packed.infolist():
            kind = m.external_attr >> 28  # of the Unix mode: 8 is a plain file, 0 says nothing
            plain = kind in (0, 8) and not m.flag_bits & 1
            if not m.is_dir():
                yield m.filename, m.file_size, plain, functools.partial(packed.open, m)

# %% [markdown]
# A tar file is read as a stream. The stream has a limit (`_Bounded`), since its headers may announce any size.

# %%
#| export data.archives
def _tar_entries(archive: Path, most: int) -> Iterator[Entry]:
    "The entries of a .tar.gz but folders; at most `most` bytes are unpacked."
    with gzip.open(archive) as stream:
        bounded = _Bounded(stream, most)
        with tarfile.open(fileobj=bounded, mode="r|") as packed:
            for m in packed:
                plain = m.isreg() and not m.issparse()
                if not m.isdir():
                    yield m.name, m.size, plain, functools.partial(packed.extractfile, m)
            while bounded.read(2 ** 20):
                pass  # to the end, where gzip's checksum stands

# %% [markdown]
# All files are written to a temporary folder. It gets its final name at the end, or it is deleted after an error.

# %%
#| export data.archives
@contextmanager
def _folder_aside(archive: Path, into: Path) -> Iterator[Path]:
    "A folder that becomes `into` at the end; nothing of it stays if anything goes wrong."
    aside = into.with_name(f".{into.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # what a killed process left
    aside.mkdir(parents=True)
    try:
        yield aside
        os.rename(aside, into)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError,
            zipfile.BadZipFile, NotImplementedError) as e:
        raise ValueError(f"archive: {archive.name}: {e or 'cut short'}") from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)

# %% [markdown]
# Each entry must pass four tests before a byte of it is written: it is a plain file, its name is expected and not there yet, and its size fits. `_expected_name` makes them.

# %%
#| export data.archives
def _expected_name(name: str, size: int, plain: bool,  # of the entry
                   wanted: str, made: set[str], left: int) -> str:
    "The file's name for an entry; `ValueError` if the entry is not as expected."
    fits = re.fullmatch(wanted, name)
    if not plain:
        wrong = "no plain file"
    elif not fits or not re.fullmatch(r"[\w-][\w.-]*", fits[1]):
        wrong = f"not a name like {wanted}"
    elif fits[1] in made:
        wrong = "there twice"
    elif size > left:
        wrong = f"{size:,} bytes, and {left:,} are left"
    else:
        return fits[1]
    raise ValueError(f"{name!r} is {wrong}: nothing was unpacked")

# %% [markdown]
# `unpack_archive` loops over the entries and writes each of them to the temporary folder.

# %%
#| export data.archives
def unpack_archive(archive: str | Path,  # a .zip or .tar.gz
                   into: str | Path,  # the folder to make; must not be there
                   wanted: str,  # a regular expression of entries; first group: the name
                   most: int = 2 ** 31,  # bytes of all files together
                   progress: bool = True,
                   ) -> list[Path]:
    "Unpack plain files of expected names; if there is anything else, `ValueError` and no file."
    archive, into, left, made = Path(archive), Path(into), check_int("most", most), set()
    if into.exists():
        raise FileExistsError(f"into: {into} is there; move it away first")
    with _folder_aside(archive, into) as aside:
        entries = _zip_entries(archive) if zipfile.is_zipfile(archive) else \
            _tar_entries(archive, most + 2 ** 24)
        for name, size, plain, reader in tqdm(entries, unit=" files", disable=not progress or None):
            made.add(file := _expected_name(name, size, plain, wanted, made, left))
            left -= size
            check_disk_space(aside, size)
            with reader() as source, open(aside / file, "xb") as target:
                shutil.copyfileobj(_Bounded(source, size), target, 2 ** 20)
        if not made:
            raise ValueError("it is empty")
    return sorted(into / file for file in made)

# %% [markdown]
# Five harmful archives, and the errors of `unpack_archive`:

# %%
def tar(*entries: tuple) -> Path:
    "A .tar.gz of (name, content) or, for a link, (name, target, type)."
    path = Path(tempfile.mkdtemp(), "a.tar.gz")
    with tarfile.open(path, "w:gz") as packed:
        for name, content, *kind in entries:
            info = tarfile.TarInfo(name)
            info.size, info.type = (0, kind[0]) if kind else (len(content), tarfile.REGTYPE)
            info.linkname = content if kind else ""
            packed.addfile(info, None if kind else io.BytesIO(content))
    return path

# %%
strangers = {"climbs": tar(("x/../../evil.bin", b"1")), "absolute": tar(("/etc/evil.bin", b"1")),
             "link": tar(("x/a.bin", "..", tarfile.SYMTYPE), ("x/a.bin/evil", b"1")),
             "bomb": tar(("x/a.bin", bytes(10 ** 7))),
             "twice": tar(("x/a.bin", b"1"), ("x/a.bin", b"2"))}
for name, archive in strangers.items():
    target = archive.parent / "out"
    print(f"{name:>9}: {archive.stat().st_size:5} bytes.",
          error_message(unpack_archive, archive, target, r"x/(\w+\.bin)", 10 ** 6, False))
    assert sorted(p.name for p in archive.parent.iterdir()) == ["a.tar.gz"]

# %%
target = Path(tempfile.mkdtemp(), "out")
honest = tar(("x/a.bin", b"1"), ("x/b.bin", b"22"))
[p.name for p in unpack_archive(honest, target, r"x/(\w+\.bin)", progress=False)]

# %% [markdown]
# ## What is published, and on which terms
# `DataSet` describes a set: its files, its terms, where it comes from and how it is read. The hashes below were published by others. Those of the archives are in the check lists of TensorFlow Datasets
# (`url_checksums`), and torchvision has their MD5. Those of MNIST's unpacked files were computed from copies
# whose MD5 is the published one. So a copy that was packed again still counts, and is named as such.
#
# All sets live in one *data folder*, each in a folder of its own name. The environment variable `MODELAB_DATA` names
# it, for every reader, script and test of the course; that is the only setting.

# %%
#| export data.catalogue
@dataclass(frozen=True)
class DataSet:
    "A real set: what was published where, on which terms, and what its reader needs in its folder."
    name: str
    what: str
    terms: str
    page: str
    files: tuple[Published, ...]
    mirrors: tuple[str, ...]  # none: to be had by hand only
    needs: tuple[str, ...]  # files, a .gz also unpacked, and folders
    read: str  # how to read it
    wanted: str = ""  # names in the archive, as for `unpack_archive`
    room: int = 0  # bytes that unpacking takes

# %% [markdown]
# MNIST and Fashion-MNIST consist of four files with the same names. The names are listed once for both.

# %%
#| export data.catalogue
_IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz")

# %% [markdown]
# MNIST has two mirrors. Each file has two hashes, one of the packed file and one of its content, so that a copy that was packed anew is recognised.

# %%
#| export data.catalogue
_MNIST = DataSet(
    "mnist", "MNIST: 70,000 handwritten digits, 28×28",
    "CC BY-SA 3.0 (LeCun, Cortes, Burges): name the authors, share changed copies alike",
    "http://yann.lecun.com/exdb/mnist/",
    tuple(map(Published, _IDX, (9912422, 28881, 1648877, 4542), (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"), (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"))),
    ("https://storage.googleapis.com/cvdf-datasets/mnist/",
     "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    _IDX, "modelab.mnist(), modelab.stacked_mnist()")

# %% [markdown]
# Fashion-MNIST has the same file names with other contents. Only the hashes of the packed files are used.

# %%
#| export data.catalogue
_FASHION_MNIST = DataSet(
    "fashion_mnist", "Fashion-MNIST: 70,000 pictures of clothes, 28×28", "MIT (Zalando SE)",
    "https://github.com/zalandoresearch/fashion-mnist",
    tuple(map(Published, _IDX, (26421880, 29515, 4422102, 5148), (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"))),
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
     "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
    _IDX, "modelab.fashion_mnist()")

# %% [markdown]
# CIFAR-10 and CelebA are archives. CIFAR-10 has two mirrors and is downloaded. CelebA has none: its authors hand it out.

# %%
#| export data.catalogue
_CIFAR10 = DataSet(
    "cifar10", "CIFAR-10, binary version: 60,000 pictures of ten kinds of thing, 3×32×32",
    "no licence is stated; the authors ask to cite Krizhevsky 2009, "
    "Learning Multiple Layers of Features",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    (Published("cifar-10-binary.tar.gz", 170052171,
               "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
    ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
    (*(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
     "cifar-10-batches-bin/test_batch.bin"),
    "modelab.data.cifar.cifar10()", r"cifar-10-batches-bin/([\w.]+\.(?:bin|txt|html))", 190_000_000)

# %% [markdown]
# CelebA has an archive of pictures and a table of attributes. Both have a hash, so files that you already have can be checked.

# %%
#| export data.catalogue
_CELEBA = DataSet(
    "celeba", "CelebA: 202,599 faces with 40 attributes, 178×218",
    "non-commercial research and education only; the pictures belong to their owners: do not sell, "
    "publish or pass on any part of them",
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    (Published("img_align_celeba.zip", 1443490838,
               "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"),
     Published("list_attr_celeba.txt", 26721026,
               "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0")),
    (), ("img_align_celeba", "list_attr_celeba.txt"),
    'modelab.data.frames.read_celeba(find_data_set("celeba"))',
    r"img_align_celeba/(\d{6}\.jpg)", 1_800_000_000)

# %% [markdown]
# The frames of a camera come from a film of yours, so nothing is known about their bytes.

# %%
#| export data.catalogue
_TRAFFIC = DataSet(
    "traffic", "frames of a fixed camera above a street, from a film of yours",
    "those of your film: modelab knows none that may be passed on", "", (), (), ("frames.npz",),
    'modelab.data.frames.read_frames(find_data_set("traffic") / "frames.npz")')

# %% [markdown]
# `DATA_SETS` is the table in which all sets are found by name. The readers, the command `modelab data` and the scripts use it.

# %%
#| export data.catalogue
DATA_SETS = {s.name: s for s in (_MNIST, _FASHION_MNIST, _CIFAR10, _CELEBA, _TRAFFIC)}

# %% [markdown]
# Readers ask `find_data_set` for a set by its name. If it is not there, the error says which script fetches it.

# %%
#| export data.catalogue
def find_data_set(name: str,  # a name in `DATA_SETS`
                  folder: str | Path | None = None,  # the data folder; default: MODELAB_DATA
                  ) -> Path:
    "The folder of a set in the data folder; `FileNotFoundError` if any of it is absent."
    known = DATA_SETS[check_choice("name", name, DATA_SETS)]
    root = folder or os.environ.get("MODELAB_DATA")
    if known.needs == _IDX:  # MNIST's files may also lie in the data folder itself
        from modelab.data.mnist import idx_files  # here, since it loads torch
        return idx_files(name, root if name == "mnist" or not root else Path(root, name))[0].parent
    if root and not missing_files(known, Path(root, name)):
        return Path(root, name)
    where = f"{root} lacks it, or a part of it" if root else "MODELAB_DATA names no folder"
    verb = "fetches" if known.mirrors else "makes"
    raise FileNotFoundError(f"{name}: {where}; data_scripts/{name}.py {verb} it")

# %% [markdown]
# `missing_files` lists what a set still needs. A `.gz` file is not missing if its unpacked file is there.

# %%
#| export data.catalogue
def missing_files(known: DataSet, folder: Path) -> list[str]:
    "The names of what a set needs and `folder` lacks."
    return [n for n in known.needs
            if not (folder / n).exists() and not (folder / n.removesuffix(".gz")).is_file()]

# %% [markdown]
# Files that were made here, such as unpacked ones, have no published hash. Their hashes are recorded in this file when they are made.

# %%
#| export data.catalogue
CHECKSUM_FILE = "SHA256SUMS"

# %% [markdown]
# `write_checksums` writes it in the form of `sha256sum`, so anybody can check it without this library.

# %%
#| export data.catalogue
def write_checksums(folder: str | Path, names: Iterable[str]) -> Path:
    "Write the SHA-256 of files in `folder` as `sha256sum` does, for `sha256sum --check` too."
    lines = [f"{_sha256(Path(folder, name))}  {name}\n" for name in sorted(names)]
    atomic_write(Path(folder, CHECKSUM_FILE), "".join(lines).encode())
    return Path(folder, CHECKSUM_FILE)

# %% [markdown]
# `verify_data_set` compares every file with its published hash. The recorded hash is used only if that does not match, or if none is published.

# %%
#| export data.catalogue
def verify_data_set(known: DataSet, folder: Path) -> dict[str, str]:
    "The verdict on each file: as published, as recorded when it was made, differs, or absent."
    found = {file.name: file_verdict(folder / file.name, file)
             for file in known.files if file.name in known.needs}
    if (folder / CHECKSUM_FILE).is_file():
        for line in (folder / CHECKSUM_FILE).read_text().splitlines():
            digest, _, name = line.partition("  ")
            inside = not name.startswith("/") and ".." not in name
            if found.get(name, "differs") == "differs" and inside:
                path = folder / name
                found[name] = "absent" if not path.is_file() else \
                    "as recorded" if _sha256(path) == digest else "differs"
    return found

# %% [markdown]
# `cifar10` reads CIFAR-10, which comes in three packings. One is Python pickles. A pickle is a program: loading it runs it. We take the
# binary version, where a picture is one byte of class and 3,072 bytes of pixels. It is not a mode set here, because the course has no classifier
# that was tested on such pictures, so modes could not be counted. Use features and the measures of chapters
# [4.1](../4_evidence/01_precision_recall.ipynb) and [4.2](../4_evidence/02_audit.ipynb) for it.

# %%
#| export data.cifar
def cifar10(folder: str | Path | None = None,  # the data folder; default: MODELAB_DATA
            split: str = "train",  # or "held_out"
            ) -> tuple[torch.Tensor, torch.Tensor]:
    "CIFAR-10: pictures (n, 3, 32, 32) uint8 and classes (n,) int64, from the binary version."
    test = check_choice("split", split, ["train", "held_out"]) != "train"
    names = [name for name in DATA_SETS["cifar10"].needs if ("test" in name) == test]
    rows = torch.cat([_rows(find_data_set("cifar10", folder) / name) for name in names])
    return rows[:, 1:].unflatten(1, (3, 32, 32)), rows[:, 0].long()

# %% [markdown]
# `_rows` reads one file. The pixels stay in it until they are used (`torch.from_file`).

# %%
#| export data.cifar
def _rows(path: Path) -> torch.Tensor:
    "The rows of one file, (n, 3073) uint8: a class, then the pixels."
    size = path.stat().st_size
    if not size or size % 3073 or size > 3073 * 10_000:
        raise ValueError("folder: expected rows of 3,073 bytes, at most 10,000, "
                         f"got {size} bytes in {path.name}")
    rows = torch.from_file(str(path), size=size, dtype=torch.uint8).reshape(-1, 3073)
    if rows[:, 0].max() > 9:
        largest = int(rows[:, 0].max())
        raise ValueError(f"folder: expected classes 0 to 9, got {largest} in {path.name}")
    return rows

# %% [markdown]
# A set of two pictures per file is enough to show the reading.

# %%
home = Path(tempfile.mkdtemp())
(home / "cifar10/cifar-10-batches-bin").mkdir(parents=True)
for k, name in enumerate(DATA_SETS["cifar10"].needs):
    (home / "cifar10" / name).write_bytes((bytes([k]) + bytes([40 * k]) * 3072) * 2)

# %%
x, kind = cifar10(home)
assert x.shape == (10, 3, 32, 32) and (x[kind == 3] == 120).all()
x.shape, x.dtype, kind.tolist()

# %%
def not_found(call: Callable, *args) -> str:
    "The FileNotFoundError that `call` raises, without the folder's name."
    try:
        call(*args)
    except FileNotFoundError as e:
        return str(e).replace(str(home), "HOME")

# %%
[not_found(find_data_set, "celeba", home), not_found(find_data_set, "fashion_mnist", home)]

# %% [markdown]
# ## What is on this disk?
# `modelab data` lists the sets; with `--check` it computes every hash anew. Its exit status is 1 if something that you named
# is absent, or anything differs. `_listed` makes a line of the list.

# %%
#| export data.catalogue
def _listed(known: DataSet, root: str | None, checked: bool) -> tuple[str, bool, bool]:
    "A line of the list, whether the set is there, and whether its files are right."
    try:
        folder = find_data_set(known.name, root)
    except FileNotFoundError:
        size = f", {sum(f.size for f in known.files) / 1e6:,.0f} MB" if known.files else ""
        command = f"python data_scripts/{known.name}.py --out {root or 'DIR'}"
        offline = {"celeba": " --agree --offline ZIP TXT", "traffic": " --offline FILM"}
        line = f"{known.name:14} absent{size}: {command}{offline.get(known.name, '')}"
        return line, False, True
    summed = (folder / CHECKSUM_FILE).is_file()
    found, right = "checked when it came" if summed else "never checked", True
    if checked:
        verdicts = verify_data_set(known, folder)
        bad = [f"{name} {v}" for name, v in verdicts.items() if v in ("differs", "absent")]
        found = ", ".join(bad[:3] or sorted(set(verdicts.values())))
        found, right = found or "nothing is known to check it by", not bad
    size = sum(_bytes_of(folder / n) for n in known.needs)
    return f"{known.name:14} present, {size / 1e6:,.0f} MB, {found}: {folder}", True, right

# %% [markdown]
# The list shows the size of a set on the disk. `_bytes_of` measures it, packed or unpacked.

# %%
#| export data.catalogue
def _bytes_of(path: Path) -> int:
    "Bytes of a file, packed or not, or of the files in a folder."
    if path.is_dir():
        return sum(p.stat().st_size for p in path.glob("*") if p.is_file())
    path = path if path.exists() else path.with_suffix("")
    return path.stat().st_size if path.is_file() else 0

# %% [markdown]
# `_data_command` declares the three arguments of `modelab data`; the work is done by `_list_data`.

# %%
#| export data.catalogue
@register_command("data")
def _data_command(parser: argparse.ArgumentParser) -> Callable:
    """list the real sets and how to get them. Exit status 1: a named set is absent, or differs

    modelab data
    modelab data mnist --check
    modelab data --folder ~/data
    """
    parser.add_argument("names", nargs="*",
                        help=f"sets to look at (default: all): {', '.join(DATA_SETS)}")
    parser.add_argument("--folder",
                        help="the data folder (default: environment variable MODELAB_DATA)")
    parser.add_argument("--check", action="store_true", help="compute every SHA-256 and compare")
    return _list_data

# %% [markdown]
# `_list_data` prints one line for each set. An absent set gives exit status 1 only if it was named.

# %%
#| export data.catalogue
def _list_data(args: argparse.Namespace) -> int:
    "What `modelab data` does."
    root = args.folder or os.environ.get("MODELAB_DATA")
    if root and not Path(root).is_dir():
        raise FileNotFoundError(f"--folder: no folder {root}")
    sets = [DATA_SETS[check_choice("names", n, DATA_SETS)] for n in args.names or DATA_SETS]
    lines = [_listed(known, root, args.check) for known in sets]
    print(f"data folder: {root or 'none; set MODELAB_DATA, or give --folder'}")
    print("\n".join(line for line, *_ in lines))
    return int(any(args.names and not there or not right for _, there, right in lines))

# %%
for known in DATA_SETS.values():
    print(_listed(known, str(home), checked=True)[0].replace(str(home), "HOME"))

# %% [markdown]
# ## Memory and waiting time
# Pixels are kept as bytes and are converted to floats batch by batch; stacks are drawn when they are needed.
# So 60,000 scans of 784 bytes should cost little more than 47 MB while they are read and trained on, and drawing
# them should not keep the networks waiting. Measured in processes of their own, on MNIST itself, by
# `python benchmarks/data.py`:

# %%
kept = recorded("data")
for name, of in kept.get("memory", {}).items():
    print(f"{name:14} bytes of memory per byte of pixels: training {of['train']:.2f}, "
          f"after judging {of['judge']:.2f}; with all turned to float32 first {of['float32']:.2f}")
assert all(of["train"] <= 1.5 < of["float32"] for of in kept.get("memory", {}).values())

# %%
for case, share in kept.get("waiting", {}).items():
    print(f"{case:32} {share:.1%} of a step waits for data")
assert max(kept.get("waiting", {}).values(), default=0) <= .05

# %% [markdown]
# The assertion limits the memory in training to 1.5. It says nothing about the figure after judging, which is the peak while the judge (the classifier that counts
# the modes) reads pictures. That peak depends on the size of the outputs of its layers.
#
# ## In your own code
# You need the size, the hash and the addresses of the mirrors. The rest is one line. (Here the mirror is our server.)

# %%
from modelab.data.catalogue import Published
from modelab.data.download import fetch
mine = Published("digits.bin", size=116_805, sha256=published.sha256)  # as its authors state them
path = fetch(mine, home / "mine", mirrors=[good_mirror.url], progress=False)
(path.name, path.stat().st_size)

# %% [markdown]
# For the sets above there is a script each. It also states the terms, checks that the disk has room, and writes `SHA256SUMS`:
#
# ```sh
# python data_scripts/mnist.py --out ~/data
# python data_scripts/celeba.py --out ~/data --agree --offline img_align_celeba.zip list_attr_celeba.txt
# export MODELAB_DATA=~/data
# modelab data --check
# ```

# %%
good_mirror.__exit__()
for folder in (shelf, home):
    shutil.rmtree(folder)

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.download import grade_again, grade_stays

# %% [markdown]
# **1.** (easy, 5 minutes) One break is expected while a file comes down, and every break starts again from zero. How many times do the file's bytes cross the wire on average?
#
# <details><summary>Hint</summary>
#
# Use the formula for the expected number of bytes. One expected break means $\lambda L=1$.
#
# </details>

# %%
answer = ...
grade_again(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The expected number of bytes is $(e^{\lambda L}-1)/\lambda$. Divided by $L$, with $\lambda L=1$, this is $e-1$.
#
# ```python
# import math
# answer = math.e - 1
# ```
#
# With one expected break, starting again costs 72 % more bytes than the file has.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `stays(name)`: whether a file of this name, written below a folder, stays below it. Names use `/`. An honest name may contain two dots.
#
# <details><summary>Hint</summary>
#
# Look at the parts between the slashes, and at the first character.
#
# </details>

# %%
def stays(name):
    ...

answer = stays
grade_stays(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def stays(name):
#     return not name.startswith("/") and ".." not in name.split("/")
#
# answer = stays
# ```
#
# Only a whole part `..` leads upwards. A search for two dots anywhere refuses `a..b`, which is harmless. A search at the start only overlooks `a/../../b`.
#
# </details>

# %% [markdown]
# ## Recap
# - A dropped connection raises no error in a simple copy loop. If the data are sorted, modes are then missing, and the
# generator is blamed.
# - A hash known beforehand shows whether a file is the right one. Over a connection that often breaks, only resuming brings a large file in a practical time.
# - A file or an unpacked folder gets its final name only after it was checked.
# - In an archive from an unknown source, do not trust names, types and sizes.
#
# **For later.**
#
# 1. Why is the length that a server announces no proof?
# 2. What does starting again cost for a file with five expected breaks?
# 3. Why must the size of an entry be bounded before it is read?
# 4. What is wrong with loading a pickle?
#
# <details><summary>Answers</summary>
#
# 1. A proxy may cut the file and announce the shorter length. A page with an error and a flipped bit pass such a test, too.
# 2. $(e^5-1)/5\approx 29$ times the bytes of the file.
# 3. A small archive can hold an entry that fills the memory or the disk.
# 4. A pickle is a program. Loading it runs what its author wrote.
#
# </details>
#
# ## References
# - Fielding, Nottingham, Reschke 2022, *HTTP Semantics*, RFC 9110, section 14: range requests. (They came with HTTP/1.1,
# RFC 2068, in 1997.)
# - National Institute of Standards and Technology 2015, *Secure Hash Standard*, FIPS 180-4: SHA-256.
# - Uieda and others 2020, *Pooch: a friend to fetch your data files*.
# - LeCun, Bottou, Bengio, Haffner 1998: MNIST. Xiao, Rasul, Vollgraf 2017: *Fashion-MNIST*. Krizhevsky 2009: CIFAR-10.
# Liu, Luo, Wang, Tang 2015: CelebA.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.download
"Graders of chapter 6.12."
import math
from pathlib import Path

from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.download
@exercise(accepts=[math.e - 1, 1.718], rejects=[1, 2, math.e, .718, math.exp(-1), 1.5])
def grade_again(answer):
    assert abs(as_number(answer) - math.expm1(1)) < 2e-3, \
        "put one expected break into the formula, and divide by the length of the file"

# %%
#| export course.graders.download
def by_parts(name):
    return not name.startswith("/") and ".." not in name.split("/")

# %%
#| export course.graders.download
def by_path(name):
    return Path("/a", name).resolve().is_relative_to("/a") and ".." not in name.split("/")

# %%
#| export course.graders.download
@exercise(accepts=[by_parts, by_path],
          rejects=[lambda n: True, lambda n: False, lambda n: ".." not in n, lambda n: "/" not in n,
                   lambda n: not n.startswith(".."), lambda n: ".." not in n.split("/"),
                   lambda n: not n.startswith("/") and "../" not in n,
                   lambda n: not n.startswith("/") and "/../" not in n])
def grade_stays(stays):
    names = {"a/b.bin": True, "a..b": True, "a../b": True, "..a/b": True, "../b": False,
             "a/../../b": False, "/etc/b": False, "a/..": False}
    for name, good in names.items():
        assert bool(stays(name)) == good, f"look at {name!r}: where would it be written?"
