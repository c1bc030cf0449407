"""What was done: a line a change, and which files are what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.checkpoint.consistency import some
from tracer.repair.changes import (
    REORDERED,
    Change,
    Cut,
    Drop,
    Join,
    RemoveField,
    Rename,
    RewriteIndex,
    SetField,
    Transform,
)  # fmt: skip
from tracer.repair.config import told as field_told
from tracer.repair.folder import LeftOut
from tracer.repair.planned import kind, named
from tracer.report.words import plural, size


@dataclass(frozen=True, slots=True)
class Repaired:
    """A corrected copy that is complete and on disk."""

    folder: Path
    changes: tuple[Change, ...]
    written: Mapping[str, str]
    """File of the copy -> the file of the checkpoint whose tensors it has; each read back and compared by digest."""
    copied: tuple[str, ...]
    """Files with the same bytes: those of the model, then the others; compared by size."""
    removed: tuple[str, ...]
    """Files of the model of which no tensor is left."""
    left_out: tuple[LeftOut, ...]
    repeated: tuple[str, ...]
    """Tensors that two files of the checkpoint held with the same bytes, and one file of the copy holds."""
    absent: tuple[str, ...]
    """Tensors that the old index promised, and no file had."""
    tensors: int
    """Of the copy."""
    kept: int
    """Those of them that are in a copied file, or were written with their old name and bytes."""
    nbytes: int
    """Of all files of the copy."""

    def lines(self) -> Iterator[str]:
        """For people: the folder, a line a change, what was compared and what is missing."""
        yield f"repaired copy: {self.folder} ({size(self.nbytes)})"
        for change in self.changes:
            yield f"  {told(change)}"
        if self.repeated:
            yield f"  {plural(len(self.repeated), 'tensor')} that two files held alike, written once"
        if self.absent:
            yield f"  no longer promised by the index: {some(self.absent)}, which no file has"
        yield f"  {plural(self.tensors, 'tensor')}, {self.kept:,} of them untouched"
        if self.written:
            files = plural(len(self.written), "file")
            yield f"  {files} written and read back: every tensor has the digest that it was written with"
        yield f"  {plural(len(self.copied), 'file')} copied whole: of the size they had"
        if self.removed:
            yield f"  {plural(len(self.removed), 'file')} without a tensor left out: {', '.join(self.removed)}"
        for why in dict.fromkeys(left.why for left in self.left_out):
            yield f"  not copied: {some([left.file for left in self.left_out if left.why == why])} ({why})"

    def records(self) -> Iterator[str]:
        """For `--json`: a record a change, then one of the copy."""
        for change in self.changes:
            yield json.dumps({"kind": "change", **record(change)})
        yield json.dumps({
            "kind": "repaired", "folder": str(self.folder), "nbytes": self.nbytes, "tensors": self.tensors,
            "untouched": self.kept, "written": dict(self.written), "copied": list(self.copied),
            "removed": list(self.removed), "repeated": list(self.repeated), "absent": list(self.absent),
            "left_out": [{"file": file, "why": why} for file, why in self.left_out],
        })  # fmt: skip


def told(change: Change) -> str:
    """One line: what becomes of how many tensors."""
    match change:
        case Rename(names):
            return f"renamed {plural(len(names), 'tensor')}{_example(list(names.items()))}"
        case Drop(names, why):
            return f"dropped {plural(len(names), 'tensor')}{f': {why}' if why else ''}"
        case Transform(names, op):
            return f"{_OPS[op].format(change)} in {plural(len(names), 'tensor')}"
        case Cut(name, axis, parts):
            return f"cut {name} into {plural(len(parts), 'tensor')} along axis {axis}"
        case Join(names, into, axis):
            new = "a new " if change.new_axis else ""
            return f"joined {plural(len(names), 'tensor')} into {into} along {new}axis {axis}"
        case SetField() | RemoveField():
            return f"config.json: {field_told(change)}"
        case RewriteIndex(why):
            return f"index written as the headers have it{f': {why}' if why else ''}"


_OPS = {
    "transpose": "transposed matrices",
    "add": "added {0.amount:g} to every element",
    **{op: f"rows of {{0.heads}} heads reordered {how}" for op, how in REORDERED.items()},
}


def _example(pairs: Sequence[tuple[str, str]]) -> str:
    """The first; those that follow differ in layers, as a rule."""
    if not pairs:
        return ""
    more = f" and {len(pairs) - 1:,} more" if len(pairs) > 1 else ""
    return f": {pairs[0][0]} -> {pairs[0][1]}{more}"


def record(change: Change) -> dict[str, Any]:
    """A change as JSON: its kind, how many tensors it names, and all that it says."""
    fields = {name: getattr(change, name) for name in type(change).__slots__}
    plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    return {"change": kind(change), "tensors": len(named(change)), **plain}
