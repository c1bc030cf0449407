"""Every byte of a file belongs to one tensor: holes, overlaps, and what lies between neighbours."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.plan import plan
from mappings.proof import Span, prove, prove_bytes
from mappings.synth import synthesise
from tests.mappings.laws import law
from tests.mappings.proofs import failing, spans_of
from tests.mappings.small import bind


def test_bytes_a_hole_and_an_overlap_are_told_apart() -> None:
    tensors = synthesise(bind("llama", 2))
    whole = spans_of(tensors)
    moved = [*whole[:5], *(s._replace(start=s.start + 8, stop=s.stop + 8) for s in whole[5:])]
    hole = prove_bytes(moved)
    assert [(f.code, f.evidence["tensor"]) for f in hole.findings] == [("header.hole", whole[5].tensor)]
    assert "8 bytes before" in hole.findings[0].message
    grown = [*whole[:5], whole[5]._replace(stop=whole[5].stop + 8), *whole[6:]]
    overlap = prove_bytes(grown)
    assert [(f.code, f.evidence["tensor"]) for f in overlap.findings] == [("header.overlap", whole[6].tensor)]
    assert failing(prove(plan(bind("llama", 2), tensors), moved)) == ["bytes"]
    assert failing(prove(plan(bind("llama", 2), tensors), grown)) == ["bytes"]


@st.composite
def files(draw: st.DrawFn) -> list[Span]:
    """Mostly tiled: now and then a span is a byte longer or starts a byte later."""
    found = []
    for file in ("a", "b")[: draw(st.integers(1, 2))]:
        end = 0
        for k in range(draw(st.integers(1, 4))):
            start = max(0, end + draw(st.sampled_from([0, 0, 0, 0, 1, -1])))
            end = start + draw(st.integers(1, 3))
            found.append(Span(file, start, end, f"t{k}"))
    return draw(st.permutations(found))


@law
@given(files())
def test_bytes_hold_exactly_where_every_byte_belongs_to_one_tensor(spans: list[Span]) -> None:
    def tiled(file: str) -> bool:
        held = Counter(byte for span in spans if span.file == file for byte in range(span.start, span.stop))
        return held == dict.fromkeys(range(max(held) + 1), 1)

    assert prove_bytes(spans).holds == all(tiled(span.file) for span in spans)


@pytest.mark.parametrize(("start", "holds"), [(0, True), (8, True), (16, True), (4, False), (20, False)])
def test_bytes_a_tensor_without_bytes_lies_between_its_neighbours(start: int, holds: bool) -> None:
    spans = [Span("a", 0, 8, ""), Span("a", 8, 16, "t"), Span("a", start, start, "empty")]
    assert prove_bytes(spans).holds == holds


def test_bytes_of_a_file_must_begin_with_its_header() -> None:
    (finding,) = prove_bytes([Span("a", 8, 16, "t")]).findings
    assert (finding.code, finding.subject) == ("header.hole", "a")
