"""What the scales say, as findings."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.index import Index
from tracer.weighing.books import Books, Shard
from tracer.weighing.causes import Field, Widths
from tracer.weighing.items import Item

_SMALL = 0.01
"""The share of a file that a surplus nobody can explain may be without being suspicious."""


def other_width(width: int, declared: str, stated: bool, of: str) -> Finding:
    """The whole checkpoint has another data type than config.json says, or than was taken for granted."""
    said = f"torch_dtype is {declared}" if stated else f"no torch_dtype is stated ({declared} was assumed)"
    return Finding(
        "config.conflict", "warning" if stated else "info", "torch_dtype",
        f"config.json: {said}, but {of} makes it {_bytes_each(width)}",
        {"declared": declared, "bytes_per_element": width}, "correct torch_dtype, or load with --dtype",
    )  # fmt: skip


def other_rows(found: Widths, declared: str, items: Sequence[Item], of: str) -> Finding:
    """Some tensors have another data type; loaders convert them."""
    names = [item.name for item in items if item.row in found.rows]
    return Finding(
        "config.conflict", "info", names[0],
        f"{of} is as large as if {some(names)} had {_bytes_each(found.width)}, the others {declared}",
        {"rows": list(found.rows), "tensors": len(names), "bytes_per_element": found.width},
    )  # fmt: skip


def _bytes_each(width: int) -> str:
    return f"{width} byte{'s' if width > 1 else ''} an element"


def shared(item: Item, of: str) -> Finding:
    """Two names of one storage."""
    return Finding(
        "tie.conflict", "info", item.name,
        f"{of} is as large as if {item.name} and another tensor of its shape {item.shape} were one, counted once",
        {"tensor": item.name},
    )  # fmt: skip


def other_field(field: Field, of: str) -> Finding:
    """One value of config.json is not the one that the weights were made with."""
    return Finding(
        "config.conflict", "error", field.name,
        f"config.json: {field.name} is {field.found}, but {of} fits {field.name} = {field.fits}",
        {"field": field.name, "found": field.found, "fits": field.fits}, f"set {field.name} to {field.fits}",
    )  # fmt: skip


def too_small(books: Books, shard: Shard, width: int, index: Index) -> Finding:
    """A file that cannot hold what the index places in it."""
    short = -int(shard.surplus(width))
    names = [item.name for item in sorted(shard.items, key=lambda item: -item.nbytes(width).low)]
    alike = [other.file for other in books.shards if other.size == shard.size and other is not shard]
    like = f"; it is as large as {some(alike)}" if alike else ""
    return Finding(
        "index.wrong-shard", "error", shard.file,
        f"{shard.file} has {shard.size} bytes, but what {index.file} places in it takes"
        f" {int(shard.expected(width).low)} ({some(names)}): {short} short{like}",
        {"size": shard.size, "expected": int(shard.expected(width).low), "tensors": names, "same_size": alike},
        f"download {shard.file} again; if it stays so, the upload is broken",
    )  # fmt: skip


def too_large(shard: Shard, width: int, index: Index) -> Finding:
    """A file that holds more than the index places in it."""
    extra = int(shard.surplus(width))
    return Finding(
        "index.unlisted-tensor", "info" if extra < _SMALL * shard.size else "warning", shard.file,
        f"{shard.file} has {shard.size} bytes, {extra} more than what {index.file} places in it takes:"
        " tensors that the index does not list, or of other shapes or data types than config.json says",
        {"size": shard.size, "extra": extra},
    )  # fmt: skip


def wrong_total(index: Index, found: str, field: Field | None) -> Finding:
    """The index's total is somebody else's."""
    assert index.total_size is not None
    hint = f"; {index.total_size} is what {field.name} = {field.fits} would give" if field else ""
    return Finding(
        "index.total-size", "warning", index.file,
        f"metadata.total_size is {number(index.total_size)}, {found}{hint}",
        {"total_size": index.total_size},
        "correct metadata.total_size; no loader needs it, but disk and memory checks read it",
    )  # fmt: skip


def number(value: int) -> str:
    """Digits, as long as they can be read."""
    digits = str(value)
    return digits if len(digits) <= 24 else f"a number of {len(digits)} digits ({digits[:8]}...)"
