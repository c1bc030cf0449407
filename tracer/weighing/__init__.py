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
from tracer.checkpoint.dtypes import BITS, from_config
from tracer.checkpoint.files import in_natural_order
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.index import Index
from tracer.weighing import told
from tracer.weighing.books import Books, open_books
from tracer.weighing.explain import Explainer, Explanation
from tracer.weighing.items import items_of
from tracer.weighing.unnamed import weigh_unnamed

__all__ = ["Weighed", "weigh"]

_FAR = 0.1
"""By this share a total is off that is not just out of date."""
_NONSENSE = 10
"""By this factor a total is off that means something else than bytes."""


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
        findings, unchecked = weigh_unnamed(checkpoint, plan, stated, dtype)
        found.findings += findings
        found.unchecked += unchecked
    return found


def _weigh_named(
    found: Weighed, checkpoint: Checkpoint, index: Index, plan: LoadPlan, stated: str | None, dtype: str
) -> None:  # fmt: skip
    """With an index: each file by itself."""
    sizes, declared = checkpoint.sizes, stated or dtype
    known = {file: sizes[file] for file in in_natural_order(index.files()) if file in sizes}
    books = open_books(items_of(plan, declared), index.weight_map, known, checkpoint.format, index.total_size)
    verdict = _Verdict(plan, books, index, declared, stated is not None)
    said = [*verdict.findings()]
    if books.known or not verdict.found.files or any(finding.code == "index.total-size" for finding in said):
        found.findings = [finding for finding in found.findings if finding.code != "index.total-size"]
    found.findings += [*said, *_shapes(checkpoint, plan)]
    found.unchecked += _unknown(books)
    found.checked = verdict.checked()


def _shapes(checkpoint: Checkpoint, plan: LoadPlan) -> list[Finding]:
    """What small files that are here after all have to say about shapes and data types."""
    real = {tensor.name for tensor in checkpoint.tensors}
    kept = [(t, c) for t, c in zip(plan.tensors, plan.claims, strict=True) if t.name in real]
    return prove_sizes(LoadPlan(plan.binding, [t for t, _ in kept], [c for _, c in kept])).findings


def _unknown(books: Books) -> Iterator[Unchecked]:
    names = [item.name for item in books.items if item.lot.shape is None]
    if names:
        yield Unchecked(
            "sizes of files", f"no row tells the shape of {len(names)} tensors ({names[0]} ...): what"
            " holds them can be found too small, but not too large",
        )  # fmt: skip


class _Verdict:
    """What is said of one explanation."""

    def __init__(self, plan: LoadPlan, books: Books, index: Index, declared: str, stated: bool) -> None:
        self.books = books
        self.index = index
        self.declared = declared
        self.stated = stated
        self.explainer = Explainer(plan, books, BITS[declared] // 8)
        self.found = self.explainer.explain()

    def findings(self) -> Iterator[Finding]:
        if self.found.reading.width != self.explainer.declared:
            fields = self.found.fields if self.found.plain else ()
            yield told.other_width(self.found.reading.width, self.declared, self.stated, self._witness(), fields)
        yield from self._reasons(self.found)
        if not self.found.files and self._another_model():
            yield self._conflict()
            return
        yield from self._files()
        if not self.found.total and self.books.total_size is not None:
            yield self._total(self.books.total_size)

    def _witness(self) -> str:
        off = self.explainer.scale.best(self.explainer.declared).misfits() if self.books.shards else []
        if not off:
            return f"metadata.total_size ({told.number(self.books.total_size or 0)})"
        files = [self.books.shards[n].file for n in off]
        return files[0] if len(files) == 1 else f"each of {len(files)} files ({files[0]} ...)"

    def _reasons(self, found: Explanation) -> Iterator[Finding]:
        if found.cause and found.cause.shared:
            yield told.shared(found.cause, self._witness())
        elif found.cause:
            yield told.other_rows(found.cause, self.declared, self._witness(), found.fields)
        elif found.fields and not found.plain:
            yield told.other_field(found.fields, self._witness(), bool(self.books.shards))

    # --- what nothing explains ---

    def _another_model(self) -> bool:
        """Most files are far off, and not by having exchanged their contents."""
        reading, shards = self.found.reading, self.books.shards
        if self.books.total_size is not None and self.found.total and self.books.known:
            return False
        wrong = [n for n in reading.misfits() if not told.is_small(reading.surplus(n), shards[n].size)]
        together = sum(reading.surplus(n) for n in wrong)
        moved = abs(together) <= told.SMALL * sum(shards[n].size for n in wrong)
        return len(wrong) > 1 and 2 * len(wrong) > len(shards) and not moved

    def _conflict(self) -> Finding:
        reading, shards = self.found.reading, self.books.shards
        held, expected = sum(shard.size for shard in shards), sum(reading.expected[:-1])
        least = "" if self.books.known else "at least "
        return told.other_model(len(reading.misfits()), held, expected, "together they have", least)

    def _files(self) -> Iterator[Finding]:
        reading, shards = self.found.reading, self.books.shards
        for n in [] if self.found.files else reading.misfits():
            surplus = reading.surplus(n)
            if surplus < 0:
                yield told.too_small(shards, shards[n], -surplus, self.index)
            else:
                yield told.too_large(shards[n], surplus, self.index)

    def _total(self, total: int) -> Finding:
        reading, known = self.found.reading, self.books.known
        expected = reading.expected[-1] + self.found.more[-1]
        apart = abs(total - expected) > _FAR * expected and expected / _NONSENSE < total < expected * _NONSENSE
        if not self.books.shards and known and apart and total != sum(self.explainer.scale.standard[-1:]):
            return told.other_model(0, total, expected, "metadata.total_size is")
        solvable = known and 0 < total < 1 << 60
        fields = self.explainer.solver.solve([reading], False, True) if solvable else []
        return told.wrong_total(self.index, self.books, expected, fields)

    # --- what is right ---

    def checked(self) -> str:
        """Before anything is explained away."""
        reading, shards = self.explainer.scale.best(self.explainer.declared), self.books.shards
        files = [n for n, shard in enumerate(shards) if shard.known]
        right = sum(reading.rooms[n].holds(0) for n in files)
        said = [f"{right} of {len(files)} files have the size that config.json and the rows give"] * bool(files)
        nothing = [0] * len(reading.expected)
        if self.books.known and self.books.total_size is not None and reading.total_fits(nothing):
            said.append("metadata.total_size is what config.json and the rows give")
        return ", ".join(said)
