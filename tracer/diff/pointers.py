"""Files that Git-LFS pointers stand for: an equal SHA-256 means equal bytes, another size or SHA-256 another file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.regular_file import readable
from tracer.diff.sides import Side

Told: TypeAlias = Callable[[int, int], None]
_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class FilePair:
    """A file of A and the one of B that has its name, or else its digest; at least one of them is a pointer."""

    a: str
    b: str
    equal: bool | None
    """None where it is not known."""
    why: str
    """What makes them different, or why nothing is known."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A file, as far as it is known without being here, or with being read once."""

    size: int
    digest: str
    pointer: bool


def compare_files(a: Side, b: Side, values: bool, told: Told) -> list[FilePair]:
    """Every pair of files of which one is a pointer. Files that are here are read for it where `values` is given.

    Raises InputError for a file that became unreadable.
    """
    if not (a.checkpoint.pointer_sizes or b.checkpoint.pointer_sizes):
        return []
    one, other = _known(a.checkpoint), _known(b.checkpoint)
    if values:
        one, other = _digested(a, one, other, told), _digested(b, other, one, told)
    homes = {known.digest: file for file, known in other.items() if known.digest}
    found = []
    for file, known in one.items():
        partner = file if file in other else homes.get(known.digest, "")
        if partner and (known.pointer or other[partner].pointer):
            found.append(FilePair(file, partner, *_judged(known, other[partner], values)))
    return found


def _known(checkpoint: Checkpoint) -> dict[str, _Known]:
    """Pointers by what they say, and the other files of weights by their sizes."""
    from tracer.doctor.copies import digests

    pointers = checkpoint.pointer_sizes
    digest_of = digests(checkpoint.files, list(pointers))
    found = {file: _Known(size, digest_of.get(file, ""), True) for file, size in pointers.items()}
    here = dict.fromkeys(tensor.file for tensor in checkpoint.tensors if tensor.file is not None)
    return found | {file: _Known(checkpoint.files.size(file), "", False) for file in here if file not in found}


def _digested(side: Side, own: Mapping[str, _Known], other: Mapping[str, _Known], told: Told) -> dict[str, _Known]:
    """The same with the digests of those files here that are as large as one that is only a pointer there."""
    sizes = {known.size for known in other.values() if known.pointer and known.digest}
    wanted = [file for file, known in own.items() if not known.pointer and known.size in sizes]
    total, done, found = sum(own[file].size for file in wanted), 0, dict(own)
    for file in wanted:
        digest = hashlib.sha256()
        for piece in _pieces(side.checkpoint, file):
            digest.update(piece)
            done += len(piece)
            told(done, total)
        found[file] = _Known(own[file].size, digest.hexdigest(), False)
    return found


def _pieces(checkpoint: Checkpoint, file: str) -> Iterator[bytes]:
    files = checkpoint.files
    with files.open(file) as opened, readable(files.where(file), file):
        while piece := opened.read(_PIECE):
            yield piece


def _judged(one: _Known, other: _Known, values: bool) -> tuple[bool | None, str]:
    if one.size != other.size:
        return False, f"{one.size:,} bytes in A, {other.size:,} in B"
    if one.digest and other.digest:
        return one.digest == other.digest, f"SHA-256 {one.digest[:12]}... in A, {other.digest[:12]}... in B"
    lacking = [known for known in (one, other) if not known.digest]
    if any(known.pointer for known in lacking):
        return None, "of one size, and a pointer names no digest"
    return None, "of one size; its digest could not be told" if values else "of one size; --values reads its digest"


def lend_names(a: Side, b: Side, files: list[FilePair]) -> None:
    """Whoever has a file's twin knows its tensors: names for a side that has neither headers nor an index."""
    alike = [(pair.a, pair.b) for pair in files if pair.equal]
    if not alike:
        return
    for side, homes, file_of in (
        (a, b.own_homes(), {there: here for here, there in alike}), (b, a.own_homes(), dict(alike))
    ):  # fmt: skip
        known = set(side.checkpoint.names)
        side.lent = {name: file_of[home] for name, home in homes.items() if home in file_of and name not in known}
