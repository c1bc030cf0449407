"""value.nonfinite: numbers that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.findings import Finding
from tracer.report.words import plural
from tracer.values.decoding import is_float
from tracer.values.roles import grouped, is_bound, is_mask
from tracer.values.statistics import Statistics


def nonfinite(scanned: Sequence[Statistics]) -> Iterator[Finding]:
    """One finding a template. What is infinite on purpose, masks and bounds, is none; nor is an exponent on its own."""
    for spelled, held in grouped(each for each in scanned if _is_wrong(each)):
        yield _finding(spelled, held)


def _is_wrong(found: Statistics) -> bool:
    if not found.nonfinite or not is_float(found.dtype) or found.dtype == "F8_E8M0":
        return False
    if found.part.nan:
        return True
    return not (is_bound(found) or (is_mask(found) and not found.part.positive_infinity))


def _finding(spelled: str, held: list[Statistics]) -> Finding:
    sums = {
        "NaN": sum(each.part.nan for each in held),
        "+inf": sum(each.part.positive_infinity for each in held),
        "-inf": sum(each.part.negative_infinity for each in held),
    }
    told = ", ".join(f"{count:,} {kind}" for kind, count in sums.items() if count)
    elements = sum(each.count for each in held)
    first = held[0]
    where = f"the first is element {first.first_nonfinite:,} of {first.name}"
    message = f"{spelled}: {told} among {elements:,} elements of {plural(len(held), 'tensor')}; {where}"
    evidence = {
        "tensors": len(held), "names": [each.name for each in held[:20]], "elements": elements, "nan": sums["NaN"],
        "positive_infinity": sums["+inf"], "negative_infinity": sums["-inf"], "first_element": first.first_nonfinite,
        "file": first.file,
    }  # fmt: skip
    fix = "these weights were written like this, or damaged since: compare the file's checksum, else save them anew"
    return Finding("value.nonfinite", "error", first.name, message, evidence, fix)
