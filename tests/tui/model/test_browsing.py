"""What is in sight, and where one stands, while more becomes known: keys move it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mappings.findings import Finding
from mappings.proof.ranks import LARGEST_TP
from mappings.synth import Synthetic
from tests.tui import subjects
from tests.tui.model.material import led, small, subject, trace
from tests.tui.model.pages import stages, text
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.cause import Cause
from tui.model.browsing import Browsing
from tui.model.line import Target, plain
from tui.model.opening import open_subject
from tui.model.subject import Subject
from tui.model.table import TablePage

NORM, WIDE = Target("tensor", "model.norm.weight"), 100
Q = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def arrivals(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    """The small Llama with a config that is wrong: headers, plan, examined."""
    return stages(tmp_path_factory.mktemp("arrivals"), lambda config: config.update(intermediate_size=24))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject(small("llama with six heads", tmp_path_factory.mktemp("sound")))


def browsing(*arrived: Subject, tp: int = 1) -> Browsing:
    state = Browsing(arrived[0].where, tp)
    for each in arrived:
        state.arrived(each)
    return state


def names(state: Browsing) -> list[str]:
    return [plain(line).rstrip() for line in state.names().lines(WIDE)]


def opened(state: Browsing) -> list[str]:
    return [row.node.label for row in state.tree.rows]


# --- the start ---


def test_it_starts_on_the_worst_finding_with_what_it_is_about_below(arrivals: list[Subject]) -> None:
    state = browsing(*arrivals)
    assert (state.page, state.focus) == ("path", Target("finding", "0"))
    assert text(state.shown()).startswith(f"✗ error  {arrivals[-1].findings[0].finding.code}")


def test_where_all_is_well_it_starts_on_what_the_model_is(sound: Subject) -> None:
    state = browsing(sound)
    assert (state.page, state.focus) == ("overview", None)
    assert not state.step(-1)


def test_remarks_are_nothing_to_start_on(sound: Subject) -> None:
    remark = Finding("x.y", "info", NORM.name, "just so")
    assert browsing(replace(sound, remarks=[remark])).page == "overview"


KEYS: dict[str, Callable[[Browsing], object]] = {
    "search": lambda state: state.search("q_proj"), "sort": lambda state: state.sort_next(),
    "dtype": lambda state: state.dtype_next(), "marked": lambda state: state.only_marked(),
    "tp": lambda state: state.more_ranks(1), "rank": lambda state: state.next_rank(1),
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_once_a_key_was_pressed_nothing_that_arrives_moves_what_is_in_sight(
    key: str, arrivals: list[Subject]
) -> None:
    headers, plan, examined = arrivals
    state = browsing(headers, plan)
    KEYS[key](state)
    before = state.page, state.focus, state.tp, state.rank, state.flat, state.wanted.dtype, len(state.history.places)
    state.arrived(examined)
    after = state.page, state.focus, state.tp, state.rank, state.flat, state.wanted.dtype, len(state.history.places)
    assert after == before


def test_a_key_before_the_headers_came_leaves_the_tree_as_it_would_be(arrivals: list[Subject]) -> None:
    state = Browsing(None, 1)
    state.touched = True
    state.arrived(arrivals[0])
    assert opened(state) == opened(browsing(arrivals[0])) and len(opened(state)) > 3


# --- what was open stays open ---


def layer(state: Browsing) -> int:
    return next(n for n, row in enumerate(state.tree.rows) if row.node.label.startswith("layers"))


def test_groups_stay_open_while_more_becomes_known(arrivals: list[Subject]) -> None:
    state = browsing(arrivals[0])
    state.tree.unfold(layer(state))
    before = [row.node.prefix for row in state.tree.rows]
    for each in arrivals[1:]:
        state.arrived(each)
        assert {row.node.prefix for row in state.tree.rows} >= set(before)


def test_groups_stay_open_behind_a_search_and_while_a_search_is_open(arrivals: list[Subject]) -> None:
    state = browsing(*arrivals[:2])
    state.tree.toggle(layer(state), True)
    before = opened(state)
    state.search("mlp")
    state.tree.toggle(0, False)
    narrowed = opened(state)
    state.arrived(arrivals[2])
    assert opened(state) == narrowed and state.wanted.narrowed
    state.clear()
    assert set(opened(state)) >= set(before) - {"layers.0-1"} and not state.wanted.narrowed


def test_escape_while_values_are_asked_for_closes_no_group(sound: Subject) -> None:
    state = browsing(sound)
    state.tree.toggle(layer(state), True)
    before = opened(state)
    state.clear()
    assert opened(state) == before


def test_a_search_finds_the_same_names_when_the_names_stand_in_another_order(arrivals: list[Subject]) -> None:
    state = browsing(arrivals[0])
    state.search("norm")
    state.flat = True
    before = sorted(names(state))
    turned = Subject("", "t", arrivals[0].tensors[::-1])
    state.arrived(turned)
    assert sorted(names(state)) == before
    state.arrived(Subject("", "t", turned.tensors[:3]))
    assert len(names(state)) == sum("norm" in info.name for info in turned.tensors[:3])


# --- narrowing ---


def test_narrowing_is_undone_by_clearing_and_the_order_stays() -> None:
    state = browsing(subjects.opened("quantised").subject)
    whole = len(state.subject.tensors) if state.subject else 0
    state.sort_next()
    state.search("scales")
    state.dtype_next()
    assert [state.clearable, len(names(state)) < whole] == [True, True]
    state.clear()
    assert [state.clearable, len(names(state)), state.wanted.order] == [False, whole, "name"]


def test_only_what_something_was_found_about_can_be_shown() -> None:
    state = browsing(subjects.opened("broken").subject)
    state.flat = True
    state.only_marked()
    assert isinstance(page := state.names(), TablePage)
    assert {info.name for info in page.infos} == set(state.marks) and state.marks
    state.only_marked()
    assert not state.wanted.narrowed


def test_every_dtype_can_be_chosen_and_then_all_again() -> None:
    state = browsing(subjects.opened("quantised").subject)
    assert state.subject
    state.flat = True
    for dtype in sorted({info.dtype for info in state.subject.tensors}):
        state.dtype_next()
        assert isinstance(page := state.names(), TablePage)
        assert page.infos == [info for info in state.subject.tensors if info.dtype == dtype]
    state.dtype_next()
    assert not state.wanted.narrowed


def test_a_few_that_are_found_are_all_in_sight() -> None:
    state = browsing(subjects.opened("clean").subject)
    state.search("k_proj")
    assert any("k_proj" in line for line in names(state))
    assert "k_proj" in names(state)[state.first_tensor]


def test_the_flat_table_is_sorted_once_and_not_with_every_key(sound: Subject) -> None:
    state = browsing(sound)
    state.sort_next()
    assert state.names() is state.names()
    before = state.names()
    state.sort_next()
    assert state.names() is not before


@pytest.mark.parametrize("flat", [False, True])
def test_the_line_of_what_is_gone_to_is_the_one_that_shows_it(flat: bool, sound: Subject) -> None:
    state = browsing(sound)
    for order in range(3):
        if flat:
            state.sort_next()
        for info in sound.tensors:
            row = state.go(Target("tensor", info.name))
            assert row is not None, order
            last = info.name.rpartition(".")[0].rpartition(".")[2]
            assert last in names(state)[row]
            assert not flat or info.name in names(state)[row]
    assert state.go(Target("param", "x")) is None


# --- history ---


def test_back_leads_over_everything_that_was_in_sight_to_the_start(sound: Subject) -> None:
    state = browsing(sound)
    state.look(NORM)
    state.look(Target("tensor", Q))
    state.go(Target("param", "p"))
    state.visit("config")
    been = []
    while state.step(-1):
        been.append((state.page, state.focus))
    assert been == [("path", Target("param", "p")), ("path", Target("tensor", Q)), ("overview", None)]
    while state.step(1):
        pass
    assert (state.page, state.focus) == ("config", Target("param", "p"))


def test_from_where_only_the_cursor_led_back_leads_to_where_one_was_before(sound: Subject) -> None:
    state = browsing(sound)
    state.go(NORM)
    state.look(Target("tensor", Q))
    assert state.step(-1) and state.focus == NORM
    assert state.step(1) and state.focus == Target("tensor", Q)


def test_the_cursor_keeps_a_page_that_is_about_one_thing_and_leaves_one_about_the_whole(sound: Subject) -> None:
    state = browsing(sound)
    for page, then in (("values", "values"), ("graph", "graph"), ("path", "path"), ("config", "path")):
        state.page = page  # type: ignore[assignment]
        state.look(NORM)
        assert state.page == then


# --- findings ---


def walked(state: Browsing, backwards: bool = False) -> int | None:
    number = state.next_finding(backwards)
    if number is not None:
        state.go(Target("finding", str(number)))
    return number


def test_n_goes_on_where_one_was_also_after_a_look_at_what_it_is_about() -> None:
    causes = [Cause(Finding("x.y", "error", f"t{n}", "no")) for n in range(3)]
    tensors = [TensorInfo(f"t{n}", "F32", (1,), "f", 0, 4) for n in range(3)]
    state = browsing(Subject("", "t", tensors, "examined", causes=causes))
    assert state.focus == Target("finding", "0")
    state.go(Target("tensor", "t0"))
    assert [walked(state) for _ in range(3)] == [1, 2, 0]
    state.look(Target("tensor", "t1"))
    assert walked(state, backwards=True) == 2
    assert browsing(Subject("", "t", tensors, "examined")).next_finding() is None
    assert Browsing(None, 1).next_finding() is None


def test_another_number_of_ranks_has_other_findings_and_what_leads_back_leads_to_the_same(tmp_path: Path) -> None:
    """At three ranks the heads cannot be cut, which is found before the tensor that nobody knows."""
    found = subject(small("llama with six heads", tmp_path, Synthetic("zz.extra", "F32", (2,))), 3)
    codes = [told.finding.code for told in found.findings]
    number = codes.index("tensor.unmapped")
    assert number > 0 and codes[0].startswith("tp.")
    state = browsing(found, tp=3)
    state.opened = frozenset([0, number])
    state.go(NORM)
    state.go(Target("finding", str(number)))
    state.go(Target("tensor", Q))
    assert state.more_ranks(-1) is None and state.tp == 2 and state.subject
    after = [told.finding.code for told in state.subject.findings]
    new = after.index("tensor.unmapped")
    assert new < number and state.opened == {new}
    been = []
    while state.step(-1):
        been.append(state.focus)
        assert text(state.shown())
    assert been == [Target("finding", str(new)), NORM, None]


# --- ranks ---


def test_only_legal_numbers_of_ranks_are_stepped_to_and_the_others_have_a_reason(sound: Subject) -> None:
    """Six heads can be cut in two, or three ways if there were as many KV heads."""
    state = browsing(sound)
    seen = [state.tp]
    while (refusal := state.more_ranks(1)) is None:
        seen.append(state.tp)
        assert state.placement is not None and state.placement.tp == state.tp and state.placement.refusal() is None
    assert state.placement is not None and seen == [1, 2]
    assert refusal == f"tp 4: {state.placement.refusal(4)}"
    assert state.more_ranks(-1) is None and state.tp == 1
    assert state.more_ranks(-1) == "tp 1 is the smallest"


def test_from_an_illegal_number_of_ranks_one_steps_to_a_legal_one(sound: Subject) -> None:
    for by, then in ((1, None), (-1, 2)):
        state = browsing(sound, tp=5)
        refusal = state.more_ranks(by)
        assert (refusal is None) == (then is not None) and state.tp == (then or 5)


def test_the_rank_in_the_light_is_one_that_there_is(sound: Subject) -> None:
    state = browsing(sound, tp=2)
    state.next_rank(-1)
    assert state.rank == 1
    state.next_rank(1)
    assert state.rank == 0
    state.next_rank(1)
    state.more_ranks(-1)
    assert (state.tp, state.rank) == (1, 0)


def test_before_there_is_a_plan_and_where_there_is_none_this_is_said(arrivals: list[Subject]) -> None:
    assert browsing(arrivals[0]).more_ranks(1) == "which rows apply is not known yet"
    assert browsing(subjects.opened("adapter").subject).more_ranks(1) == "no rows apply, so nothing is cut"


def test_where_more_ranks_would_be_legal_than_are_tried_no_reason_is_made_up() -> None:
    """A model that is not cut at all has every number of ranks."""
    state = browsing(subject(None), tp=1)
    placed = state._placed
    assert placed is not None
    state.tp = LARGEST_TP
    placed.known.legal = [1, LARGEST_TP]
    placed.known._refusals[2 * LARGEST_TP] = None
    assert state.more_ranks(1) == f"tp {LARGEST_TP}: legal sizes are listed up to here"


def test_what_follows_the_number_of_ranks_follows_at_once(sound: Subject) -> None:
    state = browsing(sound)
    state.go(Target("tensor", Q))
    for tp in (1, 2):
        assert len(led(state.shown(), "rank")) >= tp and f"rank {tp - 1}" in text(state.shown())
        state.more_ranks(1)


# --- traces ---


def test_a_trace_is_shown_as_observed_at_its_own_number_of_ranks_and_planned_at_others(
    sound: Subject, tmp_path: Path
) -> None:
    seen = list[Subject]()
    open_subject(str(trace(Path(sound.where), 2, tmp_path / "t.db")), 1, seen.append)
    state = browsing(seen[0])
    assert state.tp == 2
    state.arrived(seen[-1])
    assert state.placement is not None and type(state.placement).__name__ == "Observed"
    assert state.more_ranks(-1) is None and state.tp == 1
    assert type(state.placement).__name__ == "Placed" and state.placement.tp == 1
    state.arrived(seen[-1])
    assert state.tp == 1, "what was chosen stays"
    store = seen[-1].store
    assert store is not None
    store.close()


def test_names_of_a_search_are_the_same_in_the_tree_and_the_table(sound: Subject) -> None:
    state = browsing(sound)
    state.search("layers 1 proj")
    found = {info.name for info in sound.tensors if ".1." in info.name and "proj" in info.name}
    state.flat = True
    assert isinstance(page := state.names(), TablePage) and {info.name for info in page.infos} == found
    state.flat = False
    assert sum(row.node.count for row in state.tree.rows if row.node.is_tensor) == len(found)


def test_an_unmapped_tensor_is_where_it_starts(tmp_path: Path) -> None:
    found = subject(small("llama", tmp_path, Synthetic("zz.extra", "F32", (2,))))
    state = browsing(found)
    assert state.looked_at == found.tensor("zz.extra")
