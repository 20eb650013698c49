# %% [markdown]
# # Files and locks
# > How does the library write a file so that a crash loses nothing, and how do two processes share a folder?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does the library write a file so that a crash loses nothing? |
# | **You will be able to** | write a file at once or not at all; keep a second process out of a folder; ask for room on a disk |
# | **Needs** | nothing |
# | **Time** | seconds |
#
# This chapter is for contributors who write a file or a folder that another process may use at the same time. Checkpoints, results of benchmarks and downloads do. Three functions of `modelab.core.files` are enough:
#
# | Call | What it does |
# |---|---|
# | `atomic_write(path, data)` | writes a file; after a crash it is the old one or the new one |
# | `with file_lock(path):` | keeps other processes out until the block ends |
# | `check_disk_space(folder, n_bytes)` | raises `OSError` before the work if the disk has less room |

# %%
#| default_exp core.files

# %%
#| export
"Atomic file writes, file locks, and room on a disk."
from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# %%
import subprocess
import sys

# %% [markdown]
# ## Half a file
# A large checkpoint may take seconds to write. If the process is killed during this time, half a file is left under the final name. Here is a process that ends after half of its bytes:

# %%
folder = Path(tempfile.mkdtemp())
(folder / "run.bin").write_bytes(b"the checkpoint of yesterday")

# %%
dies = """
import os, sys
with open(sys.argv[1], "wb") as file:
    file.write(b"the checkpoint of")
    file.flush()
    os._exit(1)
"""

# %%
subprocess.run([sys.executable, "-c", dies, str(folder / "run.bin")])
(folder / "run.bin").read_bytes()

# %% [markdown]
# The old checkpoint is lost, and the new one cannot be used.
#
# ## Atomic writes
# `atomic_write` writes to a file of another name in the same folder. It asks the system to write the bytes to the disk (`fsync`), and then renames the file. A rename within a folder is atomic: a program that opens the name gets the old file or the new one.
#
# If the path is a link, the file that it names is written, so the link stays a link. A device such as `/dev/null`, or a pipe, is written to directly.

# %%
#| export
def atomic_write(path: str | Path, data: bytes) -> None:
    "Write `data` to `path`; a crash leaves the old file or the new one, never half of one."
    path = Path(path).resolve()  # a link stays, and what it names is written
    if path.exists() and not path.is_file() and not path.is_dir():  # such as /dev/stdout
        path.write_bytes(data)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

# %% [markdown]
# A temporary file is readable by its owner only. The final file gets the permissions that a plain `open` would give. They depend on the file mode mask of the process, which `_umask` reads.

# %%
#| export
def _umask() -> int:
    "The process's file mode mask, which can only be read by setting it."
    mask = os.umask(0)
    os.umask(mask)
    return mask

# %% [markdown]
# **Check.** After an error only the old file is there. An object that is not `bytes` causes such an error.

# %%
atomic_write(folder / "run.bin", b"the checkpoint of today")
try:
    atomic_write(folder / "run.bin", "a text")
except TypeError as error:
    print(error)

# %%
assert (folder / "run.bin").read_bytes() == b"the checkpoint of today"
[p.name for p in folder.iterdir()]

# %% [markdown]
# ## One process at a time
# Two processes that write checkpoints into one folder would delete each other's files. The operating system can hold a lock on an open file or folder. It releases the lock when the process ends, for whatever reason. If a file is made for the lock alone, it also says which process holds the lock. `_open_lock` opens the file or the folder.

# %%
#| export
def _open_lock(path: Path) -> int | None:
    "A handle to lock: of a folder, or of a file that is made; None for a folder on Windows."
    if not path.is_dir():
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None

# %% [markdown]
# The lock is taken in two steps, opening and locking. Between them the last owner may have deleted the file. So `_take_lock` tests whether the file still exists under its name, and starts again if not.

# %%
#| export
def _take_lock(path: Path, what: Any, wait: bool) -> int | None:
    "An open handle with the lock on it; None where the system has no such locks."
    while (handle := _open_lock(path)) is not None:
        try:
            import fcntl
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: no lock, one process at a time is up to you
            return handle
        except BlockingIOError:
            owner = "" if path.is_dir() else os.read(handle, 200).decode(errors="replace").strip()
            owner = owner or "another process"
            if not wait:
                os.close(handle)
                raise BlockingIOError(f"{what} is in use by {owner}; wait for it, stop it, "
                                      "or choose another place") from None
            print(f"waiting for {owner} that uses {what}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
    return None

# %% [markdown]
# `file_lock` is used in two ways. If the folder of a run is in use, somebody made a mistake, and the second run stops at once. If another process downloads the same file, the second download waits (`wait=True`).

# %%
#| export
@contextmanager
def file_lock(path: str | Path,  # a file that is made for it and deleted at the end, or a folder
              what: Any = None,  # what it guards, for the message; None: the folder
              *, wait: bool = False,  # until it is free; else `BlockingIOError` at once
              ) -> Iterator[None]:
    "Hold `path` alone among processes and threads, until the end of the block or of the process."
    path = Path(path)
    folder = path.is_dir()
    handle = _take_lock(path, what or (path if folder else path.parent), wait)
    try:
        if not folder:
            os.truncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        if not folder:
            path.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)

# %% [markdown]
# **Check.** While one owner holds the lock, a second one is refused. Afterwards the lock is free, and its file is deleted.

# %%
def second(path: Path) -> str:
    "What happens to a second owner."
    try:
        with file_lock(path, "the run"):
            return "held"
    except BlockingIOError as error:
        return str(error).partition(" on ")[0].replace(str(os.getpid()), "N")

# %%
with file_lock(folder / ".run.lock"), file_lock(folder):
    refused = [second(folder / ".run.lock"), second(folder)]
assert "process N" in refused[0] and "another process" in refused[1]
assert second(folder / ".run.lock") == second(folder) == "held"
refused, [p.name for p in folder.iterdir()]

# %% [markdown]
# ## Room on the disk
# If the disk becomes full in the middle of a download, the time is lost. So a function that writes large files first calls `check_disk_space`.

# %%
#| export
def check_disk_space(folder: Path, need: int) -> None:
    "`OSError` unless the disk of `folder` has `need` bytes free."
    if (free := shutil.disk_usage(folder).free) < need:
        sizes = f"{need / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free"
        raise OSError(errno.ENOSPC, f"not enough room: {sizes}", str(folder))

# %%
check_disk_space(folder, 1000)
try:
    check_disk_space(folder, 10 ** 18)
except OSError as error:
    assert error.errno == errno.ENOSPC
    print(error.strerror.partition(",")[0])

# %%
shutil.rmtree(folder)

# %% [markdown]
# ## Recap
# - Write to another name in the same folder, call `fsync`, and rename the file.
# - A lock of the system ends with its process, so a crash leaves no lock.
# - A lock file may be deleted between opening and locking it. Test for it again after locking.
