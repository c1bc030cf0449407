"""What the scales say, as findings."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.findings import Finding, Severity
from tracer.checkpoint.consistency import some
from tracer.checkpoint.index import Index
from tracer.weighing.books import Books, Shard
from tracer.weighing.causes import WIDE, Cause
from tracer.weighing.fields import Field

SMALL = 0.01
"""The share of a file that a surplus nobody can explain may be without being suspicious."""

_SHOWN = 3
"""Of several fields that explain the same bytes."""


def other_width(width: int, declared: str, stated: bool, of: str, instead: Sequence[Field] = ()) -> Finding:
    """The whole checkpoint has another data type than config.json says, or than was taken for granted.

    `instead` are fields that explain the same bytes.
    """
    said = f"torch_dtype is {declared}" if stated else f"no torch_dtype is stated ({declared} was assumed)"
    return Finding(
        "config.conflict", "warning" if stated or instead else "info", "torch_dtype",
        f"config.json: {said}, but {of} makes it {_bytes_each(width)}{_or(instead)}",
        {"declared": declared, "bytes_per_element": width, "or": _fits(instead)},
        "correct torch_dtype, or load with --dtype",
    )  # fmt: skip


def other_rows(cause: Cause, declared: str, of: str, instead: Sequence[Field] = ()) -> Finding:
    """Some tensors have another data type; loaders convert them. `instead` are fields that explain the same bytes.

    Tables in F32 weigh what twice as many rows weigh: that some publishers keep them so is known, that config.json
    has half of the vocabulary is not.
    """
    twice = cause.doubled and all(f.name == "vocab_size" and f.fits == 2 * (f.found or 0) for f in instead)
    severity: Severity = "warning" if instead and not twice else "info"
    return Finding(
        "config.conflict", severity, cause.names[0],
        f"{of} is as large as if {some(cause.names)} had {_bytes_each(WIDE)}, the others {declared}"
        f"{_or(instead)}",
        {"names": list(cause.names), "tensors": cause.tensors, "bytes_per_element": WIDE, "or": _fits(instead)},
        "look at the shapes in the headers" if severity == "warning" else None,
    )  # fmt: skip


def _bytes_each(width: int) -> str:
    return f"{width} byte{'s' if width > 1 else ''} an element"


def _or(instead: Sequence[Field]) -> str:
    also = " or ".join(f"{field.name} = {field.fits}" for field in instead[:_SHOWN])
    return f" (or as with {also} in config.json)" if also else ""


def _fits(fields: Sequence[Field]) -> dict[str, int]:
    return {field.name: field.fits for field in fields}


def shared(cause: Cause, of: str) -> Finding:
    """Two names of one storage."""
    return Finding(
        "tie.conflict", "info", cause.names[0],
        f"{of} is as large as if {cause.names[0]} and another tensor of its shape were one, counted once",
        {"tensor": cause.names[0]},
    )  # fmt: skip


def other_field(fields: Sequence[Field], of: str, weighed: bool) -> Finding:
    """One value of config.json is not the one that the weights were made with; or the total is not theirs, which alone
    has gone stale before, where no file was weighed.
    """  # fmt: skip
    first = fields[0]
    if first.table:
        return _resized(first, of)
    stale = "" if weighed else ", or correct metadata.total_size: no file is here that could tell which is wrong"
    said = f"{first.name} is {first.found}" if first.found is not None else f"{first.name} is not there"
    fitting = " or ".join(f"{field.name} = {field.fits}" for field in fields[:_SHOWN])
    return Finding(
        "config.conflict", "error", first.name, f"config.json: {said}, but {of} fits {fitting}",
        {"field": first.name, "found": first.found, "fits": first.fits, "or": _fits(fields[1:])},
        f"set {first.name} to {first.fits}{stale}",
    )  # fmt: skip


def _resized(table: Field, of: str) -> Finding:
    return Finding(
        "config.conflict", "error", table.name,
        f"config.json: vocab_size gives {table.name} {table.found} rows, but {of} fits {table.fits} rows of it alone",
        {"field": "vocab_size", "found": table.found, "fits": table.fits},
        "resize the other tables too, and set vocab_size",
    )  # fmt: skip


def other_model(wrong: int, found: int, expected: int, of: str, least: str = "") -> Finding:
    """No single value of config.json explains how far it is off."""
    share = f"{wrong} of its files are wrong, " if wrong else ""
    return Finding(
        "config.conflict", "error", "config.json",
        f"config.json is of another model: {share}{of} {found} bytes, config.json and the rows give {least}{expected}",
        {"found": found, "expected": expected, "files": wrong}, "take the config.json that belongs to these weights",
    )  # fmt: skip


def is_small(surplus: int, size: int) -> bool:
    """Whether so many bytes too many may be a header of many words."""
    return 0 <= surplus < SMALL * size


def too_small(shards: Sequence[Shard], shard: Shard, short: int, index: Index) -> Finding:
    """A file that cannot hold what the index places in it."""
    expected = shard.size + short
    names = [item.name for item in sorted(shard.items, key=lambda item: -item.lot.elements)]
    alike = [other.file for other in shards if other.size == shard.size and other is not shard]
    like = f"; it is as large as {some(alike)}" if alike else ""
    return Finding(
        "index.wrong-shard", "error", shard.file,
        f"{shard.file} has {shard.size} bytes, but what {index.file} places in it takes"
        f" {expected} ({some(names)}): {short} short{like}",
        {"size": shard.size, "expected": expected, "tensors": names, "same_size": alike},
        f"download {shard.file} again; if it stays so, the upload is broken",
    )  # fmt: skip


def too_large(shard: Shard, extra: int, index: Index) -> Finding:
    """A file that holds more than the index places in it."""
    small = is_small(extra, shard.size)
    what = "a header that says more, or " if small else ""
    return Finding(
        "index.unlisted-tensor", "info" if small else "warning", shard.file,
        f"{shard.file} has {shard.size} bytes, {extra} more than what {index.file} places in it takes: {what}"
        "tensors that the index does not list, or of other shapes or data types than config.json says",
        {"size": shard.size, "extra": extra},
    )  # fmt: skip


def wrong_total(index: Index, books: Books, expected: int, fields: Sequence[Field]) -> Finding:
    """The index's total is somebody else's."""
    assert index.total_size is not None
    least = "" if books.known else "at least "
    held = sum(shard.size for shard in books.shards)
    files = f", and its {len(books.shards)} files have {held} together" if books.shards else ""
    hint = f"; {index.total_size} is what {fields[0].name} = {fields[0].fits} would give" if fields else ""
    return Finding(
        "index.total-size", "warning", index.file,
        f"metadata.total_size is {number(index.total_size)}, config.json and the rows give {least}{expected}"
        f"{files}{hint}", {"total_size": index.total_size, "expected": expected},
        "correct metadata.total_size; no loader needs it, but disk and memory checks read it",
    )  # fmt: skip


def number(value: int) -> str:
    """Digits, as long as they can be read."""
    digits = str(value)
    return digits if len(digits) <= 24 else f"a number of {len(digits)} digits ({digits[:8]}...)"
