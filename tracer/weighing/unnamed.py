"""Pointers without an index: all files together, against the tensors that a checkpoint of this config.json usually has.

Names are guessed, so that little can be wrong for certain: a file may hold a head that is tied, or buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mappings.bind import Binding
from mappings.findings import Finding, Unchecked
from mappings.names import Pattern
from mappings.plan import LoadPlan
from tracer.checkpoint.consistency import some
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.weighing import told
from tracer.weighing.books import open_books
from tracer.weighing.explain import WIDTHS
from tracer.weighing.items import elements_of, items_of
from tracer.weighing.scale import Scale

_MUCH = 0.1
"""A surplus of this share is more than buffers or a header are."""
_LITTLE = 0.002
"""A deficit of this share is more than names that are usual and not there."""
_NOTHING = 10
"""A file that is smaller by this factor holds no such model in any data type."""


def weigh_unnamed(
    checkpoint: Checkpoint, plan: LoadPlan, stated: str | None, dtype: str
) -> tuple[list[Finding], list[Unchecked]]:  # fmt: skip
    """Findings: `config.conflict`, `file.truncated`."""
    files, declared = list(checkpoint.pointer_sizes), stated or dtype
    if checkpoint.format is GGUF or any(file.endswith(".gguf") for file in files):
        return [], [Unchecked("sizes of files", "in GGUF files every tensor has a data type of its own")]
    items, size = items_of(plan, declared), sum(checkpoint.pointer_sizes.values())
    homes = dict.fromkeys((item.name for item in items), files[0])
    books = open_books(items, homes, {files[0]: size}, checkpoint.format, None)
    scale, own = Scale(books), BITS[declared] // 8
    for width in dict.fromkeys((own, *WIDTHS)):
        if any(r.files_fit([more]) for r in scale.readings(width) for more in _beside(plan.binding, width)):
            found = told.other_width(width, declared, stated is not None, "the size of the files")
            return [found] if width != own else [], []
    return _misfit(files, size, [scale.best(width).expected[-1] for width in dict.fromkeys((own, *WIDTHS))])


def _beside(binding: Binding, width: int) -> set[int]:
    """Bytes that some files have and others have not: a head that is tied, masks and tables that are recomputed."""
    heads = sum(prod(leaf.whole_shape()) for tie in binding.ties if (leaf := binding.leaf(tie.to))) * width
    masks = sum(n * _times(binding, pattern) for skip, pattern in binding.skips if (n := elements_of(binding, skip)))
    return {head + masks * each for head in (0, heads) for each in (0, 1, 2, 4)}


def _times(binding: Binding, pattern: Pattern) -> int:
    """How many tensors there are of a name."""
    return prod(len(binding.domains[hole]) for hole in pattern.holes)


def _misfit(
    files: list[str], size: int, expected: Sequence[int]
) -> tuple[list[Finding], list[Unchecked]]:  # fmt: skip
    """`expected` is what the tensors weigh in the declared data type, and in others."""
    usual = expected[0]
    said = f"{some(files)}: {size} bytes, config.json and the rows give about {usual}"
    evidence = {"size": size, "expected": usual}
    if size * _NOTHING < min(expected):
        return [Finding("file.truncated", "error", files[0], said, evidence, "download or upload the file again")], []
    if not any((1 - _LITTLE) * n <= size <= (1 + _MUCH) * n for n in expected):
        fix = "take the config.json that belongs to these weights"
        return [Finding("config.conflict", "warning", "config.json", said, evidence, fix)], []
    return [], [Unchecked("sizes of files", f"{said}, and there is no index that names the tensors")]
