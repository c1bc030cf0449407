"""The neighbourhood of one thing, against the graph that is made of a trace of the same load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mappings.synth import Synthetic
from tests.tui.model.material import led, small, subject, trace
from tests.tui.model.pages import WIDTHS, text
from tracer.graph import around, whole
from tracer.slices.observed import Observed
from tracer.slices.placed import Placed
from tracer.slices.placement import Placement
from tui.model.graph import MOST, Edge, graph, sources, targets
from tui.model.line import Kind, Target
from tui.model.path.scene import Scene
from tui.model.subject import Subject

EXTRA = "model.extra.weight"
TP = 2


@pytest.fixture(scope="module", params=["llama tied", "mixtral", "gpt-oss"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Subject, Subject]]:
    """A checkpoint and the observed trace of its load."""
    folder = tmp_path_factory.mktemp("both")
    small(request.param, folder, Synthetic(EXTRA, "BF16", (2, 2)))
    seen = subject(trace(folder, TP, folder / "t.db"), TP)
    yield subject(folder, TP), seen
    assert seen.store is not None
    seen.store.close()


def placement(found: Subject) -> Placement:
    if found.store is not None:
        return Observed(found.store)
    assert found.prepared is not None
    return Placed(found.prepared, TP)


def scene(found: Subject) -> Scene:
    return Scene(found, placement(found), 0, 80)


def names(edges: Sequence[Edge], kind: Kind) -> set[str]:
    return {edge.to.name for edge in edges if edge.to.kind == kind}


def nodes(found: Any, kind: str) -> set[str]:
    return {node[1] for node in found if node[0] == kind}


# --- against the graph of the trace ---


def test_a_tensor_comes_from_its_file_and_goes_by_its_row_into_its_parameters(both: tuple[Subject, Subject]) -> None:
    planned, seen = both
    assert seen.store is not None
    for info in planned.tensors:
        if placement(planned).claim(info.name).kind != "row":
            continue
        known = around(seen.store, info.name)
        for found in both:
            own, tensor = scene(found), Target("tensor", info.name)
            ahead = targets(own, tensor)
            assert names(ahead, "row") == nodes(known.successors(("tensor", info.name)), "row")
            assert names(ahead, "param") == {node[1] for node in known if node[0] == "slice"}
        assert names(sources(scene(planned), Target("tensor", info.name)), "file") == {info.file}


def test_a_parameter_comes_from_all_that_feeds_it_and_goes_to_its_ranks(both: tuple[Subject, Subject]) -> None:
    planned, seen = both
    assert seen.store is not None and planned.prepared is not None
    known = whole(seen.store)
    for param, _ in planned.prepared.plan.params():
        slices = list(known.successors(("param", param)))
        into = {node for piece in slices for node in known.predecessors(piece)}
        for found in both:
            own, target = scene(found), Target("param", param)
            assert names(sources(own, target), "tensor") == nodes(into, "tensor")
            filled = {str(pad.rank) for pad in placement(found).pads(param)}  # a bias of which rank 0 alone has numbers
            moved, shown = {str(node[2]) for node in slices}, names(targets(own, target), "rank")
            assert moved <= shown == moved | (shown & filled)
            assert names(targets(own, target), "param") == {
                node[1] for piece in slices for node in known.successors(piece) if node[0] == "param"
            }  # fmt: skip


def test_a_row_and_a_file_lie_between_what_the_trace_has_them_between(both: tuple[Subject, Subject]) -> None:
    planned, seen = both
    assert seen.store is not None
    known, own = whole(seen.store), scene(planned)
    for node in [node for node in known if node[0] == "row"]:
        row = Target("row", node[1])
        assert names(sources(own, row), "tensor") == nodes(known.predecessors(node), "tensor")
        assert names(targets(own, row), "param") == nodes(known.successors(node), "param")
    for file in {info.file for info in planned.tensors if info.file}:
        held = {info.name for info in planned.tensors if info.file == file}
        assert names(targets(own, Target("file", file)), "tensor") == held


# --- the page ---


def test_what_nothing_claims_leads_nowhere_and_says_so(both: tuple[Subject, Subject]) -> None:
    planned, _ = both
    page = graph(planned, placement(planned), Target("tensor", EXTRA), 0)
    assert "◉ tensor  model.extra.weight" in text(page) and "─▶" not in text(page)
    nowhere = graph(planned, None, Target("param", "x"), 0)
    assert "it leads nowhere: no row claims it" in text(nowhere)


def test_it_is_drawn_at_every_width_and_each_neighbour_can_be_made_the_centre(both: tuple[Subject, Subject]) -> None:
    planned, _ = both
    own = placement(planned)
    for info in planned.tensors[:12]:
        page = graph(planned, own, Target("tensor", info.name), 0)
        for width in (30, *WIDTHS):
            assert "◉" in text(page, width)
        for kind in ("row", "param", "file"):
            for name in led(page, kind):
                assert info.name in led(graph(planned, own, Target(kind, name), 0), "tensor") or kind == "file"


def test_more_neighbours_than_can_be_drawn_are_counted(both: tuple[Subject, Subject]) -> None:
    planned, _ = both
    file = planned.tensors[0].file or ""
    held = sum(info.file == file for info in planned.tensors)
    page = graph(planned, placement(planned), Target("file", file), 0)
    assert len(led(page, "tensor")) == min(held, MOST)
    assert (f"… {held - MOST} more" in text(page)) == (held > MOST)


def test_only_what_is_drawn_is_asked_where_it_lands(both: tuple[Subject, Subject]) -> None:
    """A parameter of 256 experts has 768 sources."""
    planned, _ = both
    asked: list[str] = []

    class Counting(Placed):
        def moves(self, tensor: str) -> Any:
            asked.append(tensor)
            return super().moves(tensor)

        def feeding(self, param: str) -> list[str]:
            return super().feeding(param) * 50

    assert planned.prepared is not None
    param = placement(planned).moves(planned.tensors[0].name)[0].param
    text(graph(planned, Counting(planned.prepared, TP), Target("param", param), 0))
    assert len(asked) == MOST


@pytest.mark.parametrize("focus", [None, Target("finding", "0"), Target("field", "x"), Target("rank", "1")])
def test_what_is_no_node_is_no_centre(focus: Target | None, both: tuple[Subject, Subject]) -> None:
    planned, _ = both
    for width in (20, *WIDTHS):
        assert text(graph(planned, placement(planned), focus, 0), width).startswith("choose a tensor")


def test_a_tied_parameter_is_behind_the_one_whose_storage_it_shares(tmp_path: Path) -> None:
    found = subject(small("llama tied", tmp_path), TP)
    shown = text(graph(found, placement(found), Target("param", "model.embed_tokens.weight"), 0))
    assert "param   lm_head.weight  tied to it" in shown


def test_at_a_number_of_ranks_that_cannot_be_there_are_no_slices(both: tuple[Subject, Subject]) -> None:
    planned, _ = both
    assert planned.prepared is not None
    page = graph(planned, Placed(planned.prepared, 5), Target("param", "model.norm.weight"), 0)
    assert led(page, "rank") == [] and led(page, "tensor") == ["model.norm.weight"]
