"""Whatever is shown is of the number of ranks that is looked at, and of the ranks that something is known of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mappings.findings import Finding
from tests.tui.model.material import subject
from tests.tui.model.pages import prose
from tests.tui.with_nan import SOUND, with_nan
from tracer.cli import trace_load
from tracer.diagnose.cause import Cause
from tui.model.browsing import Browsing
from tui.model.findings.chips import chips
from tui.model.line import Target, plain
from tui.model.numbers.look import look
from tui.model.numbers.state import Values
from tui.model.opening import open_subject
from tui.model.overview.inference import study
from tui.model.subject import Subject
from tui.model.title import title

UP = "model.layers.1.mlp.up_proj.weight"


def browsing(where: Path, tp: int = 1) -> Browsing:
    state = Browsing(str(where), tp)
    state.arrived(subject(where, tp))
    return state


def stages(where: Path, tp: int = 1) -> list[Subject]:
    seen: list[Subject] = []
    open_subject(str(where), tp, seen.append)
    return seen


def top(state: Browsing) -> str:
    return plain(title(state.where, state.subject, state.tp, state.rank, 80))


# --- the number of ranks ---


def test_the_overview_is_of_the_number_that_is_looked_at() -> None:
    state = browsing(SOUND)
    assert state.subject is not None and state.studied(state.subject, study(state.subject))
    assert "▸tp 1" in prose(state.shown())
    assert state.more_ranks(1) is None
    assert "▸tp 2" in prose(state.shown()) and "▸tp 1" not in prose(state.shown()) and "  tp 2" in top(state)


def test_an_illegal_number_is_not_named_any_more_when_another_is_looked_at() -> None:
    state = browsing(SOUND, 3)
    assert state.subject is not None and state.studied(state.subject, study(state.subject))
    state.visit("overview")
    assert "✗ not 3" in prose(state.shown())
    assert state.more_ranks(-1) is None
    assert "✗ not 3" not in prose(state.shown()) and "▸tp 2" in prose(state.shown())


def test_marks_of_the_names_are_those_of_the_number_that_is_looked_at() -> None:
    state = browsing(SOUND, 3)
    opened = [row.node.label for row in state.tree.rows if row.node.opened]
    assert state.marks and any(row.node.severity for row in state.tree.rows) and opened
    assert state.more_ranks(-1) is None
    assert not state.marks and not any(row.node.severity for row in state.tree.rows)
    assert [row.node.label for row in state.tree.rows if row.node.opened] == opened
    state.only_marked()
    assert not state.tree.rows


def test_what_shapes_say_is_taken_also_after_the_number_was_changed_meanwhile() -> None:
    *_, plan, examined = stages(SOUND)
    state = Browsing(str(SOUND), 1)
    state.arrived(plan)
    assert state.more_ranks(1) is None
    state.arrived(examined)
    assert state.tp == 2 and state.studied(examined, study(examined)) and state.inference is not None
    assert not state.studied(subject(None), study(examined)), "of other tensors"


def test_a_rank_beyond_the_number_of_ranks_is_never_highlighted() -> None:
    state = browsing(SOUND, 4)
    state.rank = 3
    assert state.more_ranks(-1) is None and (state.tp, state.rank) == (2, 1)
    state.rank = 7
    assert state.rank == 1


# --- traces ---


@pytest.fixture(scope="module")
def rank_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of the last of four ranks alone."""
    saved = tmp_path_factory.mktemp("traces") / "rank3.db"
    asked = [str(SOUND), "--tp", "4", "--rank", "3", "--load-format", "dummy", "--quiet", "--save", str(saved)]
    assert trace_load(asked) == 0
    return saved


@pytest.fixture
def of_rank_3(rank_3: Path) -> Iterator[Browsing]:
    state = browsing(rank_3)
    assert state.subject is not None and state.subject.store is not None
    with closing(state.subject.store):
        yield state


def test_of_the_trace_of_one_rank_that_rank_is_highlighted(of_rank_3: Browsing) -> None:
    assert (of_rank_3.tp, of_rank_3.rank) == (4, 3) and "rank 3" in top(of_rank_3)
    of_rank_3.next_rank(1)
    assert of_rank_3.rank == 3
    assert of_rank_3.more_ranks(-1) is None
    of_rank_3.next_rank(1)
    assert (of_rank_3.tp, of_rank_3.rank) == (2, 0), "what is planned has all ranks"


def test_what_a_load_did_wrong_is_said_of_no_other_number_of_ranks(of_rank_3: Browsing) -> None:
    examined = of_rank_3.subject
    assert examined is not None
    unwritten = Finding("param.unfilled", "error", "lm_head.weight", "rank 1: never written", rank=1)
    failed = Finding("load.failed", "error", "", "out of memory")
    stored = Finding("tensor.unmapped", "error", UP, "no row claims it")
    of_rank_3.arrived(examined.further(causes=[Cause(failed, (unwritten,)), Cause(unwritten), Cause(stored)]))
    assert of_rank_3.more_ranks(-1) is None and of_rank_3.subject is not None
    assert [told.finding for told in of_rank_3.subject.findings] == [stored]


# --- values ---


def test_values_that_were_read_before_the_examination_ended_are_judged_then(tmp_path: Path) -> None:
    where = with_nan(tmp_path, UP)
    *_, plan, examined = stages(where)
    state = Browsing(str(where), 1)
    state.arrived(plan)
    assert plan.checkpoint is not None
    info = next(info for info in plan.tensors if info.name == UP)
    seen = look(plan.checkpoint, info, lambda done, total: None, lambda: False)
    state.values.state = Values(info, "done", look=seen)
    assert not state.judge(state.values.state), "nothing was found out yet that it could stand among"
    state.arrived(examined)
    assert state.subject is not None
    assert [told.finding.code for told in state.subject.findings] == ["value.nonfinite"]
    assert state.marks == {UP: "error"}


def test_the_tree_is_as_it_was_after_values_have_shown_something(tmp_path: Path) -> None:
    where = with_nan(tmp_path, UP)
    state = browsing(where)
    assert state.subject is not None and state.subject.checkpoint is not None
    state.tree.open_up(50)
    rows = [row.node.prefix for row in state.tree.rows]
    info = next(info for info in state.subject.tensors if info.name == UP)
    seen = look(state.subject.checkpoint, info, lambda done, total: None, lambda: False)
    assert state.judge(Values(info, "done", look=seen))
    assert set(rows) <= {row.node.prefix for row in state.tree.rows}
    number = state.row_of(Target("tensor", UP))
    assert number is not None and state.tree.rows[number].node.severity == "error"


def removed(file: Path) -> None:
    file.unlink()


def zeroed(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000] + bytes(file.stat().st_size - 2000))


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3000])


@pytest.mark.parametrize(("change", "code"), [
    (removed, "file.changed"), (zeroed, "file.changed"), (shortened, "file.truncated"),
], ids=["removed", "zeroed", "shortened"])  # fmt: skip
def test_a_file_that_is_another_one_by_now_is_an_error_and_not_only_a_word_on_the_page_of_values(
    change: Callable[[Path], None], code: str, tmp_path: Path
) -> None:
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    state = browsing(tmp_path)
    assert state.subject is not None and state.subject.checkpoint is not None and not state.subject.findings
    change(tmp_path / "model.safetensors")
    info = next(info for info in state.subject.tensors if info.name == UP)
    assert state.values.wish(state.subject.checkpoint, info)
    said: list[Values] = []
    state.values.read(state.subject.checkpoint, info, said.append)
    assert state.values.heard(said[-1]) and state.judge(said[-1])
    found = [(told.finding.code, told.finding.severity, told.finding.subject) for told in state.subject.findings]
    assert found == [(code, "error", "model.safetensors")]
    assert "✗ 1 error" in plain(chips(state.subject))
