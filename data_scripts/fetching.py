"""What the scripts of the real sets share: terms, room, mirrors, files brought by hand, unpacking, hashes.

See chapter 6.12, which says what is published where, and why a fetch is made as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from modelab.core.files import check_disk_space
from modelab.data.archives import unpack_archive
from modelab.data.catalogue import (DATA_SETS, DataSet, file_verdict, GOOD_VERDICTS, missing_files,
                                    Published, verify_data_set, write_checksums)
from modelab.data.download import fetch

FAILED, REFUSED, INTERRUPTED = 1, 2, 130


def parser(known: DataSet) -> argparse.ArgumentParser:
    """The arguments that every script takes."""
    made = argparse.ArgumentParser(prog=f"{known.name}.py", description=known.what,
                                   epilog=f"Terms: {known.terms}. {known.page}")
    made.add_argument("--out", metavar="FOLDER", default=os.environ.get("MODELAB_DATA"),
                      help=f"the data folder, in which `{known.name}` is made (default: MODELAB_DATA)")
    made.add_argument("--offline", nargs="+", type=Path, metavar="FILE", default=[],
                      help="files that you have; nothing is downloaded: "
                           + (", ".join(f.name for f in known.files) or "a film, an .npz or a folder of pictures"))
    if known.mirrors:
        made.add_argument("--mirror", action="append", metavar="URL",
                          help="fetch from here (may be given several times) instead of " + " ".join(known.mirrors))
        made.add_argument("--timeout", type=float, default=20, help="seconds of silence before asking again (default 20)")
    return made


def by_name(known: DataSet, files: Sequence[Path]) -> dict[str, Path]:
    """The files that were brought, by published name; ValueError for another name, FileNotFoundError for none."""
    names = {file.name for file in known.files}
    for path in files:
        if path.name not in names:
            raise ValueError(f"--offline: expected {', '.join(sorted(names))}, got {path.name}")
        if not path.is_file():
            raise FileNotFoundError(f"--offline: no file {path}")
    return {path.name: path for path in files}


def proven(path: Path, file: Published) -> None:
    """ValueError unless `path` holds the published file."""
    if file_verdict(path, file) not in GOOD_VERDICTS:
        raise ValueError(f"{path.name} is not the published file (SHA-256 {file.sha256}): not used")


def adopt(path: Path, target: Path) -> None:
    """Copy a file that was brought; under its own name only when it is whole."""
    if target.exists() and path.samefile(target):
        return
    check_disk_space(target.parent, path.stat().st_size)
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        shutil.copyfile(path, aside)
        os.replace(aside, target)
    finally:
        Path(aside).unlink(missing_ok=True)


def bring(known: DataSet, folder: Path, args: argparse.Namespace) -> None:
    """Have every file of the set in `folder`, proven, and unpacked if it is an archive; then write SHA256SUMS."""
    brought = by_name(known, args.offline)
    if args.offline and (lacking := [f.name for f in known.files if f.name not in brought and not (folder / f.name).exists()]):
        raise ValueError(f"--offline: expected also {', '.join(lacking)}")
    archives = {file.name for file in known.files if file.name.endswith((".zip", ".tar.gz"))}
    target = folder / known.wanted.partition("/")[0]  # the folder that an archive unpacks to
    if archives and target.exists():
        raise FileExistsError(f"{target} is there and nothing proves it; move it away first")
    for file in known.files:
        if file.name in brought:
            print(f"checking {file.name}", flush=True)
            proven(brought[file.name], file)
            if file.name not in archives:  # an archive is unpacked from where it is
                adopt(brought[file.name], folder / file.name)
        else:
            if file_verdict(folder / file.name, file) == "differs":
                print(f"{file.name} is there and is not the published file: it will be replaced", flush=True)
            fetch(file, folder, args.mirror or known.mirrors, timeout=args.timeout)
        if file.name in archives:
            unpack_archive(brought.get(file.name, folder / file.name), target, known.wanted, most=2 * known.room)
    made = [p.relative_to(folder).as_posix() for n in known.needs for p in files_of(folder, n)]
    print("writing SHA256SUMS", flush=True)
    write_checksums(folder, set(made))
    for name in archives - brought.keys():
        (folder / name).unlink()  # it is unpacked, and can be had again


def files_of(folder: Path, name: str) -> list[Path]:
    """The files that `name` stands for: itself, unpacked, or those in a folder."""
    path = folder / name
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file())
    return [path if path.exists() else path.with_suffix("")]


def whole_already(known: DataSet, folder: Path) -> bool:
    """Whether the set is there and every file of it is proven."""
    if missing_files(known, folder):
        return False
    found = verify_data_set(known, folder)
    names = {p.relative_to(folder).as_posix() for n in known.needs for p in files_of(folder, n)}
    return set(found.values()) <= {*GOOD_VERDICTS, "as recorded"} and {n.removesuffix(".gz") for n in names} <= {
        n.removesuffix(".gz") for n in found}


def agreed(flag: bool) -> bool:
    """Whether the terms are agreed to: by `--agree`, or by whoever sits at the terminal."""
    return flag or sys.stdin.isatty() and input("Do you agree to these terms? [yes/no] ").strip().lower() == "yes"


def report(known: DataSet, out: Path) -> None:
    """Where the set is and how to read it."""
    print(f"{known.name} is in {out / known.name}. Set MODELAB_DATA={out} and read it with {known.read}")


def guarded(work: Callable[[], int | None]) -> int:
    """The exit status of `work`: 1 where it failed, 2 where it was asked for something wrong, 130 after Ctrl-C."""
    try:
        return work() or 0
    except (FileExistsError, FileNotFoundError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except ModuleNotFoundError as error:
        print(f"{error}: pip install '.[data]'", file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"{error}. What came so far is kept; the same command goes on from there.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped. What came so far is kept; the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """The command line of one set; returns the exit status."""
    known = DATA_SETS[name]
    made = parser(known)
    if not known.mirrors:
        made.add_argument("--agree", action="store_true", help="I agree to the terms")
    args = made.parse_args(argv)
    print(f"{known.what}\nTerms: {known.terms}. {known.page}", flush=True)
    if not args.out:
        made.error("give --out, or set MODELAB_DATA")
    if not known.mirrors and not args.offline:
        print(f"Ask for it there. Then: python data_scripts/{name}.py --out {args.out} --agree --offline "
              + " ".join(f.name for f in known.files))
        return REFUSED
    if not known.mirrors and not agreed(args.agree):
        print("not agreed to: nothing was done (--agree says yes)", file=sys.stderr)
        return REFUSED

    def work() -> None:
        out = Path(args.out).absolute()
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        if not whole_already(known, folder):
            read_in_place = {p.name for p in args.offline if p.suffix != ".txt"} if known.room else set()
            check_disk_space(folder, known.room + sum(f.size for f in known.files if f.name not in read_in_place))
            bring(known, folder, args)
        report(known, out)
    return guarded(work)
