"""Another number of ranks than was examined: what is said of the cuts is what an examination with that number says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.cli import trace_load
from tui.model.browsing import Browsing
from tui.model.opening import open_subject
from tui.model.other_ranks import with_ranks
from tui.model.subject import Subject

TRAINED = Path(__file__).parents[2] / "data" / "trained" / "llama-3"
"""4 query heads, 2 KV heads."""


def opened(where: Path | None, tp: int) -> Subject:
    return open_subject(str(where) if where else None, tp, lambda subject: None)


def of_ranks(subject: Subject) -> list[tuple[str, str, str]]:
    found = (told.finding for told in subject.findings if told.finding.code.startswith("tp."))
    return sorted((finding.code, finding.severity, finding.subject) for finding in found)


@pytest.mark.parametrize("where", [None, TRAINED], ids=["embedded", "checkpoint"])
@pytest.mark.parametrize(("begun", "other"), [(1, 2), (1, 4), (4, 1), (2, 4), (4, 2)])
def test_findings_of_ranks_are_those_of_an_examination_with_that_number(
    where: Path | None, begun: int, other: int
) -> None:
    assert of_ranks(with_ranks(opened(where, begun), other)) == of_ranks(opened(where, other))


def test_findings_of_an_illegal_number_are_gone_with_a_legal_one() -> None:
    illegal = opened(TRAINED, 3)
    assert any(told.finding.severity == "error" for told in illegal.findings)
    assert not any(told.finding.severity == "error" for told in with_ranks(illegal, 2).findings)
    assert [code for code, severity, _ in of_ranks(with_ranks(opened(TRAINED, 2), 3)) if severity == "error"]


def test_what_was_not_asked_for_this_number_is_said_not_to_be() -> None:
    found = with_ranks(opened(TRAINED, 2), 4)
    left = [check.unchecked for check in found.checks if check.name == "the rest at tp 4" and check.unchecked]
    assert left == ["all else was asked for tp 2; tracer browse --tp 4 asks it for this number"]
    assert not any("tp 2" in check.told for check in found.checks)


def test_the_number_that_was_examined_gives_the_examination_itself() -> None:
    examined = opened(TRAINED, 2)
    assert with_ranks(examined, 2) is examined


def test_the_browser_says_what_holds_for_the_number_that_is_looked_at() -> None:
    state = Browsing(str(TRAINED), 1)
    state.arrived(opened(TRAINED, 1))
    state.touched = True
    assert state.more_ranks(1) is None
    assert state.more_ranks(1) is None
    assert state.tp == 4
    assert state.subject is not None
    assert of_ranks(state.subject) == of_ranks(opened(TRAINED, 4))
    state.more_ranks(-1)
    state.more_ranks(-1)
    assert state.subject is state.last.subject if state.last else False


def test_a_load_that_went_well_says_nothing_of_another_number_of_ranks(tmp_path: Path) -> None:
    saved = tmp_path / "t.db"
    assert trace_load([str(TRAINED), "--tp", "2", "--load-format", "dummy", "--quiet", "--save", str(saved)]) == 0
    examined = opened(saved, 2)
    ok = {check.name for check in examined.checks if check.state == "ok"}
    assert {"audit", "slots", "names"} <= ok
    other = {check.name: check.state for check in with_ranks(examined, 4).checks}
    assert {name for name in ok if other.get(name) == "ok"} == {"names", "axes", "sizes", "bytes"}
    assert other["audit"] == other["slots"] == "not-checked"
    assert examined.store is not None
    examined.store.close()
