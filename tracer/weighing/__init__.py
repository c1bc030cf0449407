"""Weighs files that are not here: what the mapping rows say each should weigh, against the sizes that are known of it.

A clone without its large files still has the names (the index), the shapes (the rows) and the size of every file (its
Git-LFS pointer), and a header's length follows from what is in it. So a file of another upload, a tensor in another
data type, or a config.json of another model shows to the byte, and what cannot be weighed is said to be not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mappings.findings import Finding, Unchecked
from mappings.plan import LoadPlan
from mappings.proof import prove_sizes
from tracer.checkpoint.consistency import some
from tracer.checkpoint.dtypes import BITS, from_config
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.index import Index
from tracer.weighing import causes, told
from tracer.weighing.bands import Band
from tracer.weighing.books import Books, Shard, open_books
from tracer.weighing.causes import Solver
from tracer.weighing.items import items_of

__all__ = ["Weighed", "weigh"]


@dataclass
class Weighed:
    """The verdict of the scales."""

    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    checked: str = ""
    """What was weighed and found as the rows give it, in words; empty where nothing was."""


def weigh(checkpoint: Checkpoint, plan: LoadPlan, dtype: str) -> Weighed:
    """Compare what is known of the sizes of absent files with what the rows give.

    `dtype` is what the parameters have where config.json does not say. The checkpoint's own findings are among those
    returned, but for what is known better now.
    """
    found = Weighed(list(checkpoint.findings), list(checkpoint.unchecked))
    spelled = plan.binding.config.fields.get("torch_dtype") or plan.binding.config.fields.get("dtype")
    stated = from_config(spelled) if isinstance(spelled, str) else None
    if checkpoint.state == "index-only" and checkpoint.index is not None:
        _weigh_named(found, checkpoint, checkpoint.index, plan, stated, dtype)
    elif checkpoint.state == "config-only" and checkpoint.pointer_sizes:
        _weigh_unnamed(found, checkpoint, plan, stated, dtype)
    return found


def _weigh_named(
    found: Weighed, checkpoint: Checkpoint, index: Index, plan: LoadPlan, stated: str | None, dtype: str
) -> None:  # fmt: skip
    """With an index: each file by itself."""
    sizes, declared = checkpoint.sizes, stated or dtype
    known = {file: sizes[file] for file in index.files() if file in sizes}
    books = open_books(items_of(plan, declared), index.weight_map, known, checkpoint.format, index.total_size)
    scales = _Scales(plan, books, index, declared, stated is not None)
    if books.known:
        found.findings = [finding for finding in found.findings if finding.code != "index.total-size"]
    found.findings += [*scales.findings(), *_shapes(checkpoint, plan)]
    found.unchecked += scales.unchecked()
    found.checked = _checked(books, BITS[declared] // 8)


def _checked(books: Books, width: int) -> str:
    """Before anything is explained away."""
    files = [shard for shard in books.shards if shard.known]
    right = sum(shard.fits(width) for shard in files)
    said = [f"{right} of {len(files)} files have the size that config.json and the rows give"] * bool(files)
    if books.known and books.total_size is not None and books.data(width).holds(books.total_size):
        said.append("metadata.total_size is what config.json and the rows give")
    return ", ".join(said)


def _weigh_unnamed(
    found: Weighed, checkpoint: Checkpoint, plan: LoadPlan, stated: str | None, dtype: str
) -> None:  # fmt: skip
    """Without: all files together, against the tensors that a checkpoint of this config.json usually has."""
    files, declared = list(checkpoint.pointer_sizes), stated or dtype
    items = items_of(plan, declared)
    size, homes = sum(checkpoint.pointer_sizes.values()), dict.fromkeys((item.name for item in items), files[0])
    books = open_books(items, homes, {files[0]: size}, checkpoint.format, None)
    width = causes.width_of_files(books, BITS[declared] // 8)
    if books.misfits(width):
        usual = int(books.shards[0].expected(width).low)
        reason = f"{some(files)}: about {usual} bytes by config.json, found {size}, and no index that names the tensors"
        found.unchecked.append(Unchecked("sizes of files", reason))
    elif width != BITS[declared] // 8:
        found.findings.append(told.other_width(width, declared, stated is not None, "the size of the files"))


def _shapes(checkpoint: Checkpoint, plan: LoadPlan) -> list[Finding]:
    """What small files that are here after all have to say about shapes and data types."""
    real = {tensor.name for tensor in checkpoint.tensors}
    kept = [(t, c) for t, c in zip(plan.tensors, plan.claims, strict=True) if t.name in real]
    return prove_sizes(LoadPlan(plan.binding, [t for t, _ in kept], [c for _, c in kept])).findings


class _Scales:
    """Weighs every file, then the whole; a cause that explains one thing is not looked for again in the next."""

    def __init__(self, plan: LoadPlan, books: Books, index: Index, declared: str, stated: bool) -> None:
        self.plan = plan
        self.books = books
        self.index = index
        self.declared = declared
        self.stated = stated
        self.width = BITS[declared] // 8
        self.more = 0
        """Bytes by which the data is more than it should be, for an explained reason."""

    def findings(self) -> Iterator[Finding]:
        if self.books.shards:
            yield from self._files()
        if self.books.total_size is not None:
            yield from self._total(self.books.total_size)

    # --- files ---

    def _files(self) -> Iterator[Finding]:
        width = causes.width_of_files(self.books, self.width)
        if width != self.width:
            yield told.other_width(width, self.declared, self.stated, "the size of the files")
            self.width = width
        if self.books.misfits(self.width):
            yield from self._misfits()

    def _misfits(self) -> Iterator[Finding]:
        """One cause for all before one for each; the harmless before the harmful where both explain every byte."""
        misfits = self.books.misfits(self.width)
        twins = [causes.shared_in_file(shard, self.width) for shard in misfits]
        if rows := causes.rows_of_files(self.books, self.width, layered=False):
            yield self._other_rows(rows)
        elif all(twins):
            yield from (told.shared(twin, shard.file) for twin, shard in zip(twins, misfits, strict=True) if twin)
            self.more -= sum(int(twin.nbytes(self.width).low) for twin in twins if twin)
        elif found := (solver := Solver(self.plan, self.books, self.width)).for_files():
            yield told.other_field(found, "the size of every file")
            self.books = solver.books_with(found)
        elif rows := causes.rows_of_files(self.books, self.width, layered=True):
            yield self._other_rows(rows)
        else:
            yield from (self._misfit(shard) for shard in misfits)

    def _other_rows(self, rows: causes.Widths) -> Finding:
        files = [shard.file for shard in self.books.misfits(self.width)]
        self.more += rows.more(self.books, self.width)
        of = files[0] if len(files) == 1 else f"each of {len(files)} files ({files[0]} ...)"
        return told.other_rows(rows, self.declared, self.books.items, of)

    def _misfit(self, shard: Shard) -> Finding:
        if shard.surplus(self.width) < 0:
            return told.too_small(self.books, shard, self.width, self.index)
        return told.too_large(shard, self.width, self.index)

    # --- the index's total ---

    def _total(self, total: int) -> Iterator[Finding]:
        right = self.books.data(self.width).plus(Band(self.more, self.more))
        # Some tools add up tensors, others files with their headers.
        if right.holds(total) or right.plus(self.books.headers).holds(total):
            return
        if not self.books.shards and self.books.known and total:
            yield from self._explained(total)
        else:
            yield self._wrong_total(total)

    def _explained(self, total: int) -> Iterator[Finding]:
        """The total is the only witness, so its cause is looked for."""
        of = f"metadata.total_size ({told.number(total)})"
        if width := causes.width_of_total(self.books, self.width):
            yield told.other_width(width, self.declared, self.stated, of)
        elif twin := causes.shared_in_total(self.books, self.width):
            yield told.shared(twin, of)
        elif rows := causes.rows_of_total(self.books, self.width, layered=False):
            yield told.other_rows(rows, self.declared, self.books.items, of)
        elif found := Solver(self.plan, self.books, self.width).for_total():
            yield told.other_field(found, of)
        elif rows := causes.rows_of_total(self.books, self.width, layered=True):
            yield told.other_rows(rows, self.declared, self.books.items, of)
        else:
            yield self._wrong_total(total)

    def _wrong_total(self, total: int) -> Finding:
        low = int(self.books.data(self.width).low) + self.more
        at_least = "" if self.books.known else "at least "
        held = sum(shard.size for shard in self.books.shards)
        files = f", and its {len(self.books.shards)} files have {held} together" if self.books.shards else ""
        solvable = self.books.known and 0 < total < 1 << 60
        field = Solver(self.plan, self.books, self.width).for_total() if solvable else None
        return told.wrong_total(self.index, f"config.json and the rows give {at_least}{low}{files}", field)

    # --- what could not be weighed ---

    def unchecked(self) -> Iterator[Unchecked]:
        unknown = [item for item in self.books.items if item.shape is None]
        if unknown:
            yield Unchecked(
                "sizes of files", f"no row tells the shape of {len(unknown)} tensors ({unknown[0].name} ...): what"
                " holds them can be found too small, but not too large",
            )  # fmt: skip
