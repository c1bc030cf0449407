"""Packs the corpus of real checkpoint metadata into `corpus.tar.xz`: `python tests/data/pack_corpus.py FOLDER`.

Sorted, without times or owners, `.gz` unpacked: the same folder always gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).with_name("corpus.tar.xz")


def pack(folder: Path, archive: Path = ARCHIVE) -> None:
    with tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            _add(packed, str(path.relative_to(folder)), path)


def _add(packed: tarfile.TarFile, name: str, path: Path) -> None:
    zipped = name.endswith(".gz")
    entry = tarfile.TarInfo(name.removesuffix(".gz"))
    with gzip.open(path) if zipped else path.open("rb") as file:
        content = file.read()
    entry.size = len(content)
    packed.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
