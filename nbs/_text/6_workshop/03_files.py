# %% [markdown]
# # Files and locks
# > How are files written so that a crash loses nothing?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are files written so that a crash loses nothing? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp core.files

# %%
#| export
"Atomic file writes and file locks."
from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


# %%
#| export
def atomic_write(path: str | Path, data: bytes) -> None:
    "Write `data` to `path` so that a crash leaves the old file or the new one, never half of one."
    path = Path(path)
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


# %%
#| export
def _umask() -> int:
    "The process's file mode mask, which can only be read by setting it."
    mask = os.umask(0)
    os.umask(mask)
    return mask


# %%
#| export
@contextmanager
def file_lock(path: str | Path,
              what: Any = None,  # what it guards, for the error; None: the folder it is in
              ) -> Iterator[None]:
    "Hold `path` alone among processes, until the end or death; `BlockingIOError` at once if another one has it."
    path = Path(path)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            import fcntl
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: no lock, one process at a time is up to you
            break
        except BlockingIOError:
            who = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise BlockingIOError(f"{what or path.parent} is in use by {who or 'another process'}; wait for it, stop "
                                  "it, or choose another place") from None
        if os.fstat(handle).st_nlink:  # else its last owner deleted it between our two calls
            break
        os.close(handle)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
