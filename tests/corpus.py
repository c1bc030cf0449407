"""The metadata of real, published checkpoints in `data/corpus.tar.xz`, and clones made of it.

What the archive holds is described in its README.md and in `data/README.md`.
"""

from __future__ import annotations

import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from tests import corpus_gguf

_ARCHIVE = Path(__file__).parent / "data" / "corpus.tar.xz"
_HEADER = ".header.json"
_POINTER = ".lfs-pointer.json"
_OURS = ("source.json", "shards.json", "shards_sha256.json", "gguf.json", "gguf_fixtures.json")
"""What the corpus says about a checkpoint, and what no clone of it holds."""


@cache
def _archive() -> dict[str, dict[str, bytes]]:
    """Slug -> file -> content."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(_ARCHIVE) as archive:
        for entry in archive:
            slug, _, file = entry.name.partition("/")
            opened = archive.extractfile(entry)
            assert opened is not None
            if file:
                found.setdefault(slug, {})[file] = opened.read()
    return found


def slugs() -> list[str]:
    """Every checkpoint of the corpus."""
    return sorted(_archive())


def described(slug: str, file: str) -> Any:
    """One of the corpus' own descriptions: `source.json`, `shards.json`, `gguf.json`; empty where there is none."""
    return json.loads(_archive()[slug].get(file, b"{}"))


def materialise(slug: str, folder: Path) -> Path:
    """The checkpoint as a clone without its large files: pointers for those, small files as they are.

    Returns the folder. Tensors of the small safetensors files are holes: their values were never collected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests = described(slug, "shards_sha256.json")
    for file, size in described(slug, "shards.json").items():
        (folder / file).write_bytes(_pointer(size, digests.get(file, "0" * 64)))
    for file, content in _archive()[slug].items():
        _write(folder, file, content)
    for file, content in _small_gguf(slug).items():
        (folder / file).write_bytes(content)
    if told := described(slug, "gguf.json"):
        corpus_gguf.write(folder, told)
    return folder


def _write(folder: Path, file: str, content: bytes) -> None:
    """One collected file: as it is, or as what it describes."""
    if file.endswith(_HEADER):
        _write_safetensors(folder / file.removesuffix(_HEADER), json.loads(content))
    elif file.endswith(_POINTER):
        stands_for = json.loads(content)
        (folder / file.removesuffix(_POINTER)).write_bytes(_pointer(stands_for["size"], stands_for["sha256"]))
    elif file not in _OURS:
        (folder / file).write_bytes(content)


def _pointer(size: int, digest: str) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()


def _write_safetensors(path: Path, described: dict[str, Any]) -> None:
    """A header of the length that was published, then a hole up to the size that was."""
    header = json.dumps(described["header"], separators=(",", ":"), ensure_ascii=False).encode()
    assert len(header) <= described["header_length"]
    with path.open("wb") as file:
        file.write(described["header_length"].to_bytes(8, "little"))
        file.write(header.ljust(described["header_length"]))
        file.truncate(described["file_size"])


def _small_gguf(slug: str) -> dict[str, bytes]:
    return {file: bytes.fromhex(found["hex"]) for file, found in described(slug, "gguf_fixtures.json").items()}
