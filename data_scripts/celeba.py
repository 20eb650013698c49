"""CelebA from an archive that you have: checks it, unpacks it safely, lays it out for `modelab.pictures.read_celeba`.

Terms: CelebA (Liu, Luo, Wang, Tang 2015) is given by the Multimedia Laboratory of the Chinese University of Hong Kong
for non-commercial research and education only. The pictures come from the internet and belong to their owners; you may
not sell, publish or pass on any part of them. Ask for it at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html: you need
img_align_celeba.zip and list_attr_celeba.txt. This script downloads nothing.

    python data_scripts/celeba.py --offline img_align_celeba.zip --attributes list_attr_celeba.txt --into data/celeba
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import sys
import zipfile
from pathlib import Path

MEMBER = re.compile(r"img_align_celeba/(\d{6}\.jpg)")
PICTURES, BYTES = 250_000, 2 ** 20  # the most pictures, and the most bytes of one


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, into: Path) -> int:
    """Unpack the pictures of `archive` into `into`/img_align_celeba; everything is checked before a byte is written."""
    with zipfile.ZipFile(archive) as packed:
        members = [m for m in packed.infolist() if not m.is_dir()]
        for m in members:
            if not MEMBER.fullmatch(m.filename) or m.file_size > BYTES:
                raise ValueError(f"archive: expected img_align_celeba/000001.jpg and so on, each at most {BYTES} bytes, "
                                 f"got {m.filename!r} with {m.file_size}")
        if not 0 < len(members) <= PICTURES:
            raise ValueError(f"archive: expected 1 to {PICTURES} pictures, got {len(members)}")
        folder = into / "img_align_celeba"
        folder.mkdir(parents=True, exist_ok=True)
        for m in members:
            data = packed.read(m)  # checks the CRC, and gives no more than the size that was checked
            (folder / MEMBER.fullmatch(m.filename)[1]).write_bytes(data)
    return len(members)


def main(args: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offline", type=Path, metavar="FILE", help="img_align_celeba.zip")
    parser.add_argument("--attributes", type=Path, metavar="FILE", help="list_attr_celeba.txt")
    parser.add_argument("--into", type=Path, default=Path("data/celeba"), metavar="FOLDER")
    parser.add_argument("--sha256", help="refuse an archive with another SHA-256 than this")
    given = parser.parse_args(args)
    if not given.offline or not given.attributes:
        print(__doc__)
        return 2
    found = sha256(given.offline)
    print(f"{found}  {given.offline.name}")
    if given.sha256 and found != given.sha256.lower():
        print(f"expected SHA-256 {given.sha256.lower()}: nothing was unpacked", file=sys.stderr)
        return 1
    try:
        count = unpack(given.offline, given.into)
    except (ValueError, zipfile.BadZipFile) as error:
        print(f"{error}: not unpacked", file=sys.stderr)
        return 1
    shutil.copyfile(given.attributes, given.into / "list_attr_celeba.txt")
    print(f"{count} pictures in {given.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
