"""Small sets for tests to serve from this machine, and a catalogue that takes them for the published ones."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from modelab.data.catalogue import _sha256, DATA_SETS, DataSet, find_data_set, Published
from modelab.data.faulty_server import FaultyServer
from modelab.data.mnist import idx_files

DATA = os.environ.get("MODELAB_DATA")


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.astype(np.uint8).tobytes()


def idx_set(folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Path:
    """Four idx files under MNIST's names, from pairs of images (n, 28, 28) and labels (n,)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(DATA_SETS["mnist"].needs, (*train, *test)):
        (folder / name).write_bytes(gzip.compress(idx(array.astype(np.uint8)), mtime=0))
    return folder


def noise(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of nothing, with labels 0 to 9 in turn."""
    return np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8), np.arange(n) % 10


def large_digits() -> list[tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's digits at MNIST's size, in two splits."""
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    images = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3))) * (255 / 16)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return [(images[:1500], labels[:1500]), (images[1500:], labels[1500:])]


def as_published(known: DataSet, folder: Path) -> DataSet:
    """`known`, had the files in `folder` been the published ones."""
    def file(path: Path) -> Published:
        content = _sha256(path, gzip.open) if path.name.endswith("ubyte.gz") else ""
        return Published(path.name, path.stat().st_size, _sha256(path), content)
    return replace(known, files=tuple(file(folder / f.name) for f in known.files), room=min(known.room, 10 ** 7))


@contextmanager
def mnist_mirror(folder: Path, faults=()) -> Iterator[FaultyServer]:
    """A server with MNIST's files, which `fetching.main("mnist", ["--mirror", server.url, …])` takes for published.

    The real ones where MODELAB_DATA has them, as .gz; else scikit-learn's digits at their size.
    """
    try:
        here = find_data_set("mnist")
        if not all(path.suffix == ".gz" for path in idx_files("mnist")):
            raise FileNotFoundError
    except FileNotFoundError:
        here = idx_set(folder, *large_digits())
    before = DATA_SETS["mnist"]
    DATA_SETS["mnist"] = as_published(before, here)
    try:
        with FaultyServer(here, faults) as server:
            yield server
    finally:
        DATA_SETS["mnist"] = before


