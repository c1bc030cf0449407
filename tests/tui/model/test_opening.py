"""Opening in steps: each knows more of the same names, and what is broken is a subject with findings, or one line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from fixtures import small_checkpoint
from fixtures.broken_folders import BROKEN
from fixtures.hostile import HOSTILE
from mappings.synth import Synthetic
from tests.tui import subjects
from tests.tui.model.material import small, subject, trace
from tests.tui.model.pages import text
from tracer.cli import main
from tracer.errors import InputError, UsageError
from tracer.prepare import Request, prepare
from tracer.slices.observed import Observed
from tracer.validate import LARGEST_TP
from tui.model.browsing import Browsing
from tui.model.columns import wide
from tui.model.line import Target, plain
from tui.model.opening import is_trace, open_subject
from tui.model.subject import Subject
from tui.widgets.visible import visible

STAGES = ["headers", "plan", "examined"]


def arrivals(where: Path | str | None, tp: int = 1) -> list[Subject]:
    seen: list[Subject] = []
    last = open_subject(None if where is None else str(where), tp, seen.append)
    assert seen[-1] is last
    return seen


def closed(found: Subject) -> None:
    assert found.store is not None
    found.store.close()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    small_checkpoint.sound(folder)
    return folder


@pytest.fixture(scope="module")
def recorded(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace(llama, 2, tmp_path_factory.mktemp("traces") / "t.db", plan_only=True)


# --- the steps ---


def test_a_folder_comes_in_three_steps_of_the_same_names(llama: Path) -> None:
    seen = arrivals(llama, 2)
    assert [each.stage for each in seen] == STAGES and {each.tp for each in seen} == {2}
    header = {tensor.name for tensor in small_checkpoint.tensors()}
    for each in seen:
        assert {info.name for info in each.tensors} == header
        assert all(each.tensors[number].name == name for name, number in each.positions.items())
    headers, plan, examined = seen
    assert headers.prepared is None and not headers.findings and not headers.checks
    assert plan.prepared is not None and not plan.checks
    assert examined.prepared is plan.prepared and examined.checks
    assert [info.name for info in examined.tensors] == [tensor.name for tensor in examined.prepared.plan.tensors]


@pytest.mark.parametrize("kind", ["clean", "broken", "quantised", "adapter", "huge"])
def test_what_was_seen_first_is_there_in_the_end(kind: str) -> None:
    seen = arrivals(subjects.folder(kind))
    assert [each.stage for each in seen] in (STAGES, STAGES[1:])
    assert len({frozenset(each.positions) for each in seen if each.tensors}) == 1
    if kind != "adapter":
        assert [info.name for info in seen[0].tensors] == [info.name for info in seen[-1].tensors]


def test_a_folder_without_tensors_shows_no_headers() -> None:
    seen = arrivals(subjects.folder("empty"))
    assert [each.stage for each in seen] == STAGES[1:] and not seen[-1].tensors and seen[-1].findings


def test_the_embedded_default_has_names_and_a_plan_at_once_and_says_that_it_is_made_up() -> None:
    seen = arrivals(None, 2)
    assert [each.stage for each in seen] == STAGES[1:]
    assert seen[0].made_up and seen[0].where == "" and not seen[0].traced
    asked = prepare(Request(None, 2, load_format="dummy", plan_only=True))
    assert [info.name for info in seen[0].tensors] == [info.name for info in asked.infos]


def test_what_is_found_is_what_diagnose_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small("llama", tmp_path, Synthetic("model.extra", "F32", (2,)), vocab_size=99)
    main(["diagnose", str(folder), "--no-values", "--json", "-"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(record["code"], record["subject"]) for record in records if record["kind"] == "finding"]
    shown = [(each.finding.code, each.finding.subject) for each in subject(folder).findings]
    assert set(shown) >= {each for each in told if each[0] != "diagnosis.none"} and shown


# --- what is broken ---


def looked_through(found: Subject) -> None:
    """All that is first seen of it can be drawn, the worst finding too."""
    browsing = Browsing(found.where, 1)
    browsing.arrived(found)
    for page in browsing.pages:
        browsing.page = page
        lines = [plain(line) for line in browsing.shown().lines(80)]
        assert any(line.strip() for line in lines) and all(wide(visible(line)) <= 80 for line in lines)
        assert all(visible(line).isprintable() for line in lines), "as a sheet has it"
    assert [plain(line) for line in browsing.names().lines(40)] or not found.tensors


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_a_subject_with_its_finding(case: str, tmp_path: Path) -> None:
    HOSTILE[case].write(tmp_path / "model.safetensors")
    found = subject(tmp_path)
    assert HOSTILE[case].code in {each.finding.code for each in found.findings}
    looked_through(found)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_a_subject_or_one_line(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    small_checkpoint.sound(folder)
    BROKEN[case].break_it(folder)
    try:
        found = subject(folder)
    except (InputError, UsageError) as refused:
        assert "\n" not in str(refused) and str(folder) in str(refused)
        return
    assert found.stage == "examined" and (found.findings or any(check.unchecked for check in found.checks))
    looked_through(found)


@pytest.mark.parametrize("where", ["/no/such/folder", "no/such/model/at/all", "", " "])
def test_what_is_not_there_is_one_line(where: str) -> None:
    with pytest.raises((InputError, UsageError)) as refused:
        open_subject(where, 1, lambda seen: None)
    assert "\n" not in str(refused.value)


# --- the number of ranks ---


@pytest.mark.parametrize("tp", [3, 64])
def test_a_number_of_ranks_that_cannot_be_is_a_finding(tp: int, llama: Path) -> None:
    found = subject(llama, tp)
    assert found.tp == tp and any(each.finding.code.startswith("tp.") for each in found.findings)
    browsing = Browsing(str(llama), tp)
    browsing.arrived(found)
    assert browsing.placement is not None and browsing.placement.refusal() is not None
    browsing.go(Target("tensor", "lm_head.weight"))
    assert f"✗ tp {tp}: " in text(browsing.shown())


@pytest.mark.parametrize("tp", [0, -2, LARGEST_TP + 1, 10**9])
def test_a_number_of_ranks_that_nobody_has_is_refused_before_anything_is_made_for_it(tp: int, llama: Path) -> None:
    for where in (None, str(llama)):
        with pytest.raises(UsageError, match=f"^--tp {tp}: expected at least 1 and at most {LARGEST_TP}$"):
            open_subject(where, tp, lambda seen: None)


# --- traces ---


def test_a_trace_comes_in_two_steps_and_is_of_its_own_number_of_ranks(llama: Path, recorded: Path) -> None:
    seen = arrivals(recorded)
    assert [each.stage for each in seen] == [STAGES[0], STAGES[2]] and {each.tp for each in seen} == {2}
    assert not seen[-1].traced, "it is of a plan"
    assert seen[-1].prepared is not None and seen[-1].checkpoint is None
    of_folder = {info.name: info for info in subject(llama, 2).tensors}
    for info in seen[-1].tensors:
        own = of_folder[info.name]
        assert (info.dtype, info.shape, info.nbytes) == (own.dtype, own.shape, own.nbytes)
    looked_through(seen[-1])
    closed(seen[-1])


def test_a_trace_is_opened_in_one_thread_and_asked_in_another(recorded: Path) -> None:
    seen: list[Subject] = []
    thread = Thread(target=open_subject, args=(str(recorded), 1, seen.append))
    thread.start()
    thread.join()
    assert seen[-1].store is not None
    assert Observed(seen[-1].store).moves("lm_head.weight")
    closed(seen[-1])


def test_json_lines_are_the_same_trace(llama: Path, recorded: Path, tmp_path: Path) -> None:
    lines = tmp_path / "t.jsonl"
    main(["load", str(llama), "--tp", "2", "--load-format", "dummy", "--plan", "--quiet", "--json", str(lines)])
    one, other = subject(recorded), subject(lines)
    assert is_trace(str(lines)) and not is_trace(str(llama)) and not is_trace(str(llama / small_checkpoint.FIRST))
    assert [info.name for info in one.tensors] == [info.name for info in other.tensors]
    assert one.store is not None and other.store is not None
    name = "model.layers.0.self_attn.k_proj.weight"
    assert Observed(one.store).moves(name) == Observed(other.store).moves(name)
    closed(one)
    closed(other)


def test_a_trace_that_was_cut_short_says_so(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "t.db"
    copy.write_bytes(recorded.read_bytes())
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("DELETE FROM finish")
    found = subject(copy)
    assert ("end", "the trace was cut short: it has no end record") in [(c.name, c.unchecked) for c in found.checks]
    closed(found)


@pytest.mark.parametrize("content", [
    b"SQLite format 3\0" + bytes(200), b'{"kind": "run"', b"", b"\xff\xfe", b'{"kind":"tensor"}\n', b"[" * 100_000,
], ids=["half a store", "half a line", "nothing", "no text", "no run", "nested"])  # fmt: skip
def test_what_is_no_trace_is_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    for ending in ("db", "jsonl"):
        path = tmp_path / f"t.{ending}"
        path.write_bytes(content)
        with pytest.raises(InputError) as refused:
            subject(path)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
