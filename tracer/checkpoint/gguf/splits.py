"""Models that were split into several GGUF files: `name-00001-of-00005.gguf`, and three keys in each.

Only the first file describes the model. Source: llama.cpp's `gguf-split`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from re import compile
from typing import Any, NamedTuple

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.gguf.config import with_tensors
from tracer.checkpoint.header import Header

_NAME = compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5,})\.gguf")
_MOST_NAMED = 10_000
"""A count in a file is no reason to make a list of that length."""
_DIGITS = 20
"""Of a number that is written out: more say nothing, and Python makes no number of the most."""


class Split(NamedTuple):
    """Which part of a model a file says it is."""

    number: int
    """From 0; file names count from 1."""
    files: int
    tensors: int
    """Of all files together; -1 where the file does not say."""


def split_of(header: Header) -> Split | None:
    """What a file's keys say of its place in a split model; None for a model in one file."""
    count, number = _whole(header, "split.count"), _whole(header, "split.no")
    if count is None or count < 2 or number is None:
        return None
    total = _whole(header, "split.tensors.count")
    return Split(number, count, -1 if total is None else total)


def _whole(header: Header, key: str) -> int | None:
    value = header.metadata.get(key, "")
    return int(value) if value.isdecimal() and len(value) <= _DIGITS else None


def config_of_splits(headers: Mapping[str, Header]) -> dict[str, Any] | None:
    """The model's description from whichever file has it, and from the tensors of all."""
    described = next((header.config for header in headers.values() if header.config is not None), None)
    if described is None:
        return None
    return with_tensors(described, [tensor for header in headers.values() for tensor in header.tensors])


def check_splits(headers: Mapping[str, Header], pointers: Collection[str] = ()) -> list[Finding]:
    """Whether the files of one model, by name, are all of it: every part there once, and every tensor.

    `pointers` names the files that are only pointers here: not missing, and nothing is known of their tensors.
    """
    found = {file: split for file, header in headers.items() if (split := split_of(header))}
    if not found:
        return []
    first, said = next(iter(found.items()))
    differing = [file for file, split in found.items() if split[1:] != said[1:]]
    if differing:
        return [_disagree(first, said, differing[0], found[differing[0]])]
    gap = _missing(found, said, {part for file in pointers if (part := _part(file)) is not None})
    return [*_misnumbered(found), *gap, *([] if gap or pointers else _total(headers, found, said))]


def _disagree(first: str, said: Split, other: str, split: Split) -> Finding:
    told = (f"{file} is one of {s.files} files with {s.tensors} tensors" for file, s in ((first, said), (other, split)))
    return Finding(
        "index.invalid", "error", other, f"{', '.join(told)}: they are parts of different models",
        {"files": [first, other], "count": [said.files, split.files], "tensors": [said.tensors, split.tensors]},
        "keep the files of one model together",
    )  # fmt: skip


def _misnumbered(found: Mapping[str, Split]) -> list[Finding]:
    """A file under another part's name, or one part twice."""
    findings, seen = [], dict[int, str]()
    for file, split in found.items():
        named = _part(file)
        if split.number >= split.files or named not in (None, split.number):
            said = f"{file}: split.no is {split.number}, so it is part {split.number + 1} of {split.files}"
            findings.append(Finding("index.wrong-shard", "error", file, said, {"split.no": split.number}))
        elif split.number in seen:
            said = f"{seen[split.number]} and {file} are both part {split.number + 1} of {split.files}"
            findings.append(Finding("shards.duplicate-tensor", "error", file, said, {"split.no": split.number}))
        seen.setdefault(split.number, file)
    return findings


def _part(file: str) -> int | None:
    """Which part a file is by its name, from 0."""
    named = _NAME.fullmatch(file)
    return int(named["number"]) - 1 if named else None


def _missing(found: Mapping[str, Split], said: Split, pointers: set[int]) -> list[Finding]:
    held = {number for number in {split.number for split in found.values()} | pointers if number < said.files}
    absent = (number for number in range(said.files) if number not in held)
    names = [_name(next(iter(found)), number, said.files) for number in islice(absent, _MOST_NAMED)]
    if not names:
        return []
    missing = said.files - len(held)
    return [
        Finding(
            "shards.gap", "error", names[0], f"{missing} of {said.files} split files missing: {some(names)}",
            {"missing": names, "present": len(held)}, "download the missing files",
        )
    ]  # fmt: skip


def _name(like: str, number: int, count: int) -> str:
    named = _NAME.fullmatch(like)
    stem = named["stem"] if named else like.removesuffix(".gguf")
    return f"{stem}-{number + 1:05}-of-{count:05}.gguf"


def _total(headers: Mapping[str, Header], found: Mapping[str, Split], said: Split) -> list[Finding]:
    """The number of tensors of all files."""
    held = sum(len(headers[file].tensors) for file in found)
    if said.tensors in (-1, held):
        return []
    code, what = ("index.missing-tensor", "too few") if held < said.tensors else ("index.unlisted-tensor", "too many")
    difference = f"{abs(held - said.tensors)} {what}"
    return [
        Finding(
            code, "error", next(iter(found)),
            f"split.tensors.count is {said.tensors}, the {said.files} files hold {held}: {difference}",
            {"split.tensors.count": said.tensors, "found": held}, "download the files again",
        )
    ]  # fmt: skip
