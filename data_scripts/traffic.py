"""Frames of a fixed camera, from a film of yours, for `modelab.data.frames.read_frames`.

The film may be any that the program `ffmpeg` can read, an animated picture, a folder of pictures, or an .npz of `frames`.
Nothing is downloaded: modelab knows no film of a street that may be passed on.

    python data_scripts/traffic.py --out FOLDER --offline film.mp4 --size 48 64 --every 10
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fetching import REFUSED, guarded, parser, report
from modelab.core.checks import check_int
from modelab.core.files import check_disk_space
from modelab.data.catalogue import DATA_SETS, write_checksums
from modelab.data.frames import read_frames

BYTES = 4 * 2 ** 30  # the most that the frames may take


def film(path: Path, size: tuple[int, int], every: int) -> np.ndarray:
    """Every so manyth frame of a film as (n, height, width, 3) uint8, by ffmpeg; ValueError if it reads none."""
    if not shutil.which("ffmpeg"):
        raise ValueError(f"--offline: to read {path.name} the program ffmpeg is needed; a folder of pictures needs none")
    height, width = size
    command = ["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}", "-an",
               "-vf", f"select=not(mod(n\\,{every})),scale={width}:{height}:flags=area", "-fps_mode", "passthrough",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    step, parts = height * width * 3, bytearray()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        while piece := run.stdout.read(2 ** 20):
            parts += piece
            if len(parts) > BYTES:
                run.kill()
                raise ValueError(f"--offline: more than {BYTES} bytes of frames; give a smaller --size or a larger --every")
        said = run.stderr.read().decode(errors="replace").strip().splitlines()
    if run.returncode or len(parts) < step or len(parts) % step:
        raise ValueError(f"--offline: ffmpeg reads no film in {path.name}" + f" ({said[-1]})" * bool(said))
    return np.frombuffer(bytes(parts), np.uint8).reshape(-1, height, width, 3)


def animated(path: Path, size: tuple[int, int], every: int) -> np.ndarray:
    """The frames of an animated picture, in the same form."""
    from PIL import Image, ImageSequence
    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) < 2:
            raise ValueError(f"--offline: {path.name} is one picture, not a film")
        return np.stack([np.asarray(f.convert("RGB").resize(size[::-1], Image.Resampling.BOX))
                         for i, f in enumerate(ImageSequence.Iterator(image)) if i % every == 0])


def frames(path: Path, size: tuple[int, int], every: int) -> np.ndarray:
    """The frames at `path`, whatever it is, (n, height, width, 3) uint8; an .npz keeps its own size."""
    if path.is_dir() or path.suffix == ".npz":
        x = read_frames(path, size) if path.is_dir() else read_frames(path)
        return ((x[::every] + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    if not path.is_file():
        raise FileNotFoundError(f"--offline: no file {path}")
    return (animated if path.suffix.lower() in (".gif", ".webp", ".apng") else film)(path, size, every)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    known = DATA_SETS["traffic"]
    made = parser(known)
    made.add_argument("--size", nargs=2, type=int, default=(48, 64), metavar=("HEIGHT", "WIDTH"), help="of the frames kept")
    made.add_argument("--every", type=int, default=1, help="keep every so manyth frame (default: all)")
    args = made.parse_args(argv)
    print(f"{known.what}\nTerms: {known.terms}.", flush=True)
    if not args.out or len(args.offline) != 1:
        print(__doc__)
        return REFUSED

    def work() -> None:
        size, every = tuple(check_int("--size", n) for n in args.size), check_int("--every", args.every)
        x = frames(args.offline[0], size, every)
        out = Path(args.out).absolute()
        folder = out / known.name
        folder.mkdir(parents=True, exist_ok=True)
        check_disk_space(folder, x.nbytes)
        aside = folder / ".frames.making.npz"
        try:
            np.savez_compressed(aside, frames=x)
            aside.replace(folder / "frames.npz")
        finally:
            aside.unlink(missing_ok=True)
        write_checksums(folder, ["frames.npz"])
        print(f"{len(x)} frames of {x.shape[1]}×{x.shape[2]}")
        report(known, out)
    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
