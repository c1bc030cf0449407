"""value.overflow: what a cast to the serving dtype loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.findings import Finding
from tracer.report.words import plural
from tracer.values.roles import grouped, is_mask
from tracer.values.statistics import Statistics

_CAST = ("F64", "F32", "F16", "BF16")
"""Others are kept as they are: they have scales, or are no numbers to compute with."""
_NOTEWORTHY = 0.01
"""Share of numbers that vanish; training leaves a few in every matrix that no output notices."""


def overflow(scanned: Sequence[Statistics], target: str) -> Iterator[Finding]:
    """One finding a template whose numbers grow beyond the target dtype; a remark on those that vanish in it."""
    cast = [each for each in scanned if each.dtype in _CAST and not is_mask(each)]
    for spelled, held in grouped(each for each in cast if each.part.overflow):
        yield _beyond(spelled, held, target)
    for spelled, held in grouped(each for each in cast if each.part.underflow > _NOTEWORTHY * each.count):
        yield _vanished(spelled, held, target)


def _beyond(spelled: str, held: list[Statistics], target: str) -> Finding:
    count = sum(each.part.overflow for each in held)
    worst = max(held, key=lambda each: each.largest or 0)
    message = (
        f"{spelled}: {plural(count, 'number')} of {plural(len(held), 'tensor')} {'has' if count == 1 else 'have'} no"
        f" finite {target}; the largest magnitude is {float(worst.largest or 0):.4g}, in {worst.name}"
    )
    evidence = {"tensors": len(held), "overflow": count, "largest": worst.largest, "target": target}
    fix = f"serve it as {worst.dtype if worst.dtype != 'F64' else 'F32'}"
    return Finding("value.overflow", "error", worst.name, message, evidence, fix)


def _vanished(spelled: str, held: list[Statistics], target: str) -> Finding:
    count, elements = sum(each.part.underflow for each in held), sum(each.count for each in held)
    message = (
        f"{spelled}: {count:,} of {elements:,} numbers ({count / elements:.1%}) are too small for {target} and become 0"
    )
    evidence = {"tensors": len(held), "underflow": count, "elements": elements, "target": target}
    return Finding("value.overflow", "warning", held[0].name, message, evidence, f"serve it as {held[0].dtype}")
