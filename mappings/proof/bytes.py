"""Proof 6: spans tile each file, so nothing hides between tensors. One fold over sorted spans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from mappings.findings import Finding
from mappings.proof.verdict import Proof
from mappings.span import Span


def prove_bytes(spans: Sequence[Span]) -> Proof:
    """Every file's spans, the header's among them, follow each other without gap or overlap from byte 0."""
    ordered = sorted(spans)
    found = []
    files = 0
    for file, own in groupby(ordered, key=lambda span: span.file):
        files += 1
        end = 0
        for span in own:
            if span.start != end:
                found.append(_finding(file, span, end))
            end = max(end, span.stop)
    return Proof("bytes", found, checked=f"{len(spans)} spans in {files} files")


def _finding(file: str, span: Span, end: int) -> Finding:
    hole = span.start > end
    said = f"{span.start - end} bytes before {span.tensor} belong to no tensor" if hole else (
        f"{span.tensor} starts {end - span.start} bytes before the end of its predecessor"
    )  # fmt: skip
    return Finding(
        "header.hole" if hole else "header.overlap", "error", file, f"{file}: byte {min(span.start, end)}: {said}",
        {"tensor": span.tensor, "expected": end, "found": span.start},
    )  # fmt: skip
