"""Pages of a trace that lacks something, against those of the plan that it should have followed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.tui.model.material import led, small, subject, trace
from tests.tui.model.pages import WIDTHS, prose, text
from tracer.slices.observed import Observed
from tracer.slices.placed import Placed
from tracer.slices.placement import Placement
from tracer.store import Store
from tui.model.graph import graph
from tui.model.line import Page, Target
from tui.model.path import path
from tui.model.subject import Subject

TP = 2


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Subject]:
    """The observed trace of a load."""
    found = subject(trace(small("llama", tmp_path), TP, tmp_path / "t.db"))
    assert found.store is not None and found.traced
    yield found
    found.store.close()


def store_of(seen: Subject, *gone: str) -> Store:
    """Its store, without some of its records."""
    assert seen.store is not None
    with closing(sqlite3.connect(seen.where)) as db:
        for records in gone:
            db.execute(f"DELETE FROM {records}")
        db.commit()
    return seen.store


def pages(seen: Subject, placement: Placement, kind: str, name: str) -> list[Page]:
    target = Target(kind, name)  # type: ignore[arg-type]
    return [each(seen, placement, target, 1) for each in (path, graph)]


def plan_of(seen: Subject) -> Placed:
    assert seen.prepared is not None
    return Placed(seen.prepared, TP)


def drawing(shown: str) -> str:
    """All from the picture on, but for what was found."""
    return shown[shown.index("cut by") if "cut by" in shown else shown.index("whole on") :].partition("\nfinding")[0]


def test_a_load_that_was_cut_short_before_anything_was_recorded_shows_the_plan_and_says_so(seen: Subject) -> None:
    planned, observed = plan_of(seen), Observed(store_of(seen, "move", "param", "finish"))
    for name in ("lm_head.weight", "model.layers.0.self_attn.qkv_proj.weight", "model.norm.weight"):
        (page, web), (whole, net) = (pages(seen, each, "param", name) for each in (observed, planned))
        assert "· nothing was observed of it, and the trace was cut short; planned:" in prose(page)
        assert f"· no record says what ranks allocate for {name}; planned:" in prose(page) and "✗" not in text(page)
        assert led(page, "tensor") == led(whole, "tensor") and drawing(text(page)) == drawing(text(whole))
        assert led(web, "tensor") == led(net, "tensor") and led(web, "rank") == led(net, "rank") == ["0", "1"]
        assert text(web, 120).count("not observed; planned: ") == len(led(net, "tensor")) + TP
        assert "nothing of it" not in text(web, 120)
    for info in seen.tensors:
        (page, web), (whole, net) = (pages(seen, each, "tensor", info.name) for each in (observed, planned))
        assert led(page, "param") == led(whole, "param") and led(web, "param") == led(net, "param")
        ranks = [re.findall(r"^rank .*", text(each, 200), re.M) for each in (page, whole)]
        assert [line.split("->")[0] for line in ranks[0]] == [line.split("->")[0] for line in ranks[1]]
        assert "nothing was observed of it" in prose(page)
        assert all(text(page, width) for width in WIDTHS)


def test_what_a_load_that_ended_never_moved_is_an_error_beside_what_was_planned(seen: Subject) -> None:
    page, web = pages(seen, Observed(store_of(seen, "move")), "param", "lm_head.weight")
    assert "✗ nothing was observed of it; planned: 1 source lm_head.weight" in prose(page)
    assert re.search(r"✗ \d+ rows on no rank", text(page)) and "allocate" not in text(page)
    assert "not observed; planned: all rank 1" in prose(web, 120)
    assert not re.search(r"slice +rank \d  not observed", text(web, 120))


def test_moves_without_records_of_parameters_are_shown_and_the_picture_is_the_plans(seen: Subject) -> None:
    planned, observed = plan_of(seen), Observed(store_of(seen, "param"))
    page, _ = pages(seen, observed, "tensor", "lm_head.weight")
    whole, _ = pages(seen, planned, "tensor", "lm_head.weight")
    assert "nothing was observed" not in text(page) and len(re.findall(r"^rank \d", text(page), re.M)) == TP
    assert "· no record says what ranks allocate for lm_head.weight; planned:" in text(page)
    assert drawing(text(page)) == drawing(text(whole))


def test_without_a_plan_what_is_not_recorded_is_not_invented(seen: Subject) -> None:
    observed = Observed(store_of(seen, "move", "param"))
    observed.planned = None
    page, web = pages(seen, observed, "param", "lm_head.weight")
    assert "planned" not in text(page) + text(web)
    assert "✗ none: no tensor leads into it" in text(page)


def test_the_trace_of_one_rank_has_the_slices_of_the_others_as_planned(seen: Subject) -> None:
    store = store_of(seen, "move WHERE rank = 0", "param WHERE rank = 0")
    web = text(pages(seen, Observed(store), "param", "lm_head.weight")[1], 120)
    planned = text(pages(seen, plan_of(seen), "param", "lm_head.weight")[1], 120)
    assert web.replace("not observed; planned: ", "") == planned and web.count("not observed; planned: ") == 1
