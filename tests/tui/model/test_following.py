"""Following a load from another process: it is seen to go on and to end, whatever it ends of; nothing is made up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests import faulty_ranks, several, small_llama
from tests.several import FAULTY, start
from tracer import live
from tracer.live import Live
from tracer.outputs import partial_of
from tracer.session import Request, run
from tracer.shares import stored_shares
from tracer.standing import Share, encode
from tracer.store import Store
from tui.model.browsing import Browsing
from tui.model.columns import wide
from tui.model.follow.following import KILLED, Following
from tui.model.follow.progress import FULL, Progress
from tui.model.line import plain

WIDTHS = 20, 60, 80, 120, 200


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


@pytest.fixture
def following(trace: Path) -> Iterator[Following]:
    with closing(Following(trace, clock=Clock())) as found:
        yield found


class Clock:
    """Goes on when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def begun(trace: Path) -> Live:
    """A load half-way: rank 0 has made 30 of 40 moves, of rank 1 nothing is known."""
    writer = Live(partial_of(trace))
    writer.standing.tensors, writer.standing.findings = 21, {"warning": 1}
    writer.begin([Share(0, 40, 4_000_000, 30, 3_000_000, "model.a.weight", "model.ab.weight"), Share(1, 40, 4_000_000)])
    return writer


def text(progress: Progress, width: int = 80) -> str:
    return "\n".join(plain(line).rstrip() for line in progress.lines(width))


# --- from outside, with real loads ---


def until(following: Following, reached: Callable[[Progress], bool]) -> list[Progress]:
    """What was seen by then, each state of it once."""
    seen: list[Progress] = []
    deadline = time.monotonic() + several.LIMIT
    while not seen or not reached(seen[-1]):
        assert time.monotonic() < deadline, seen[-1:]
        progress = following.poll()
        if not seen or (progress.state, progress.shares) != (seen[-1].state, seen[-1].shares):
            seen.append(progress)
        time.sleep(0.02)
    return seen


def moving(progress: Progress) -> bool:
    return any(share.moves for share in progress.shares)


def ended(progress: Progress) -> bool:
    return progress.ended


def test_a_load_is_followed_from_before_it_begins_to_its_end(
    model: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACE", "0.07")
    with closing(Following(trace)) as following, ThreadPoolExecutor() as aside:
        before = following.poll()
        rest = aside.submit(until, following, ended)
        run(Request(str(model), device="cpu"), trace, faulty_ranks.TakesItsTime).store.close()
        seen = [before, *rest.result()]
    states = list(dict.fromkeys(progress.state for progress in seen))
    assert states == ["absent", "running", "done"]
    loading = [progress for progress in seen if progress.state == "running"]
    assert all(progress.alive for progress in loading)
    fractions = [progress.fraction or 0.0 for progress in loading]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 2, "it was seen to rise"
    last = seen[-1]
    with closing(Store.open(trace)) as store:
        (done,) = stored_shares(store)
        assert store.end is not None
        assert (done.moves, last.fraction) == (store.end.moves, 1.0)
        assert sum(tensor.nbytes for tensor in store.tensors()) == done.nbytes
    for progress in loading[1:]:
        (share,) = progress.shares
        assert (share.planned_moves, share.planned_bytes) == (done.moves, done.nbytes)
    assert [(s.moves, s.nbytes, s.tensor, s.param) for s in last.shares] == [
        (done.moves, done.nbytes, done.tensor, done.param)
    ]  # fmt: skip


def test_a_load_that_is_killed_is_said_to_have_been_cut_short(model: Path, trace: Path, tmp_path: Path) -> None:
    process = start(
        [*FAULTY, "load", model, "--device", "cpu", "--save", trace],
        {"FAULT": "WaitsOnRankZero", "HALF_WAY": str(tmp_path / "half-way")},
    )  # fmt: skip
    several.wait_for(tmp_path / "half-way")
    with closing(Following(trace)) as following:
        assert until(following, moving)[-1].state == "running"
        process.kill()
        seen = until(following, ended)
        several.finish(process)
    last = seen[-1]
    assert (last.state, last.alive) == ("cut short", False)
    assert "its process is gone and said nothing" in last.said
    (left,) = trace.parent.glob(".t.db.*.partial")
    assert last.said.endswith(f"what is left of its trace, {left.name}, is not complete")
    (share,) = last.shares
    assert share.param is not None
    assert share.param.startswith("model.layers.0."), "it died where the second layer begins"
    assert 0 < (last.fraction or 0.0) < 1
    assert not trace.exists()
    with closing(Following(trace)) as late:
        assert late.poll() == last, "who comes later sees the same"


# --- what may be there ---


def test_where_nothing_is_there_that_is_said(following: Following, tmp_path: Path) -> None:
    assert following.poll().state == "absent"
    with closing(Following(tmp_path / "no" / "such" / "t.db")) as elsewhere:
        assert elsewhere.poll().state == "absent"


@pytest.mark.parametrize("content", [b"", b"\n", b"SQLite format 3\0", b"nonsense" * 4096])
def test_what_is_no_trace_is_said_to_be_none_and_may_become_one(
    content: bytes, following: Following, trace: Path, model: Path
) -> None:
    trace.write_bytes(content)
    progress = following.poll()
    assert progress.state == "unreadable"
    assert str(trace) in progress.said
    assert not progress.ended
    trace.unlink()
    run(Request(str(model), load_format="dummy"), trace).store.close()
    assert following.poll().state == "done"


def test_a_trace_that_others_keep_locked_is_said_to_be_and_is_read_when_they_let_go(
    following: Following, trace: Path, model: Path
) -> None:
    run(Request(str(model), load_format="dummy"), trace).store.close()
    with closing(sqlite3.connect(trace, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        progress = following.poll()
        assert progress.state == "unreadable"
        assert "locked" in progress.said
        other.execute("ROLLBACK")
    assert following.poll().state == "done"


def test_a_damaged_trace_is_said_to_be_unreadable(following: Following, trace: Path, model: Path) -> None:
    run(Request(str(model), load_format="dummy"), trace).store.close()
    for change in ("UPDATE tensor SET shape = 'x', nbytes = 'y'", "UPDATE run SET value = '{}'", "DELETE FROM run"):
        with closing(sqlite3.connect(trace)) as db, db:
            db.execute("UPDATE run SET value = replace(value, '\"dummy\"', '\"auto\"')")
            db.execute("UPDATE tensor SET offset = 0")
            db.execute(change)
        assert following.poll().state == "unreadable", change


def test_a_record_that_nobody_can_read_is_none(following: Following, trace: Path) -> None:
    record = live.live_name(partial_of(trace))
    for content in (b"", b"garbage\n", b"\0" * 100_000):
        record.write_bytes(content)
        assert following.poll().state == "absent"
    record.unlink()
    record.mkdir()
    assert following.poll().state == "absent"


def test_a_trace_that_vanishes_is_missed(following: Following, trace: Path, model: Path) -> None:
    run(Request(str(model), load_format="dummy"), trace).store.close()
    assert following.poll().state == "done"
    trace.unlink()
    assert following.poll().state == "lost"


def test_a_trace_that_is_replaced_is_read_again(following: Following, trace: Path, model: Path) -> None:
    for tp in (1, 2):
        run(Request(str(model), tp, load_format="dummy"), trace).store.close()
        assert [share.rank for share in following.poll().shares] == list(range(tp))


# --- how it ends ---


def test_a_load_whose_trace_is_about_to_be_opened_is_not_said_to_have_left_none(
    following: Following, trace: Path, model: Path
) -> None:
    browsing = Browsing(str(trace), 1)
    told = []
    run(Request(str(model), load_format="dummy"), trace).store.close()
    for gone in (False, True):
        if gone:
            trace.unlink()
        browsing.progress = following.poll()
        told.append(browsing.waiting)
    assert told == ["… reading its trace", "the load left no trace"]


def test_of_a_plan_nothing_is_said_to_have_been_done(following: Following, trace: Path, model: Path) -> None:
    result = run(Request(str(model), 2, plan_only=True), trace)
    moves = [sum(1 for move in result.store.moves() if move.rank == rank) for rank in range(2)]
    result.store.close()
    progress = following.poll()
    assert (progress.state, progress.ended, progress.fraction) == ("planned", True, 0.0)
    assert [(share.moves, share.planned_moves, share.tensor) for share in progress.shares] == [
        (0, planned, None) for planned in moves
    ]  # fmt: skip
    shown = text(progress)
    assert "nothing was executed" in shown and FULL not in shown and "→" not in shown


def test_a_load_that_ended_without_a_trace_says_why(following: Following, trace: Path) -> None:
    writer = begun(trace)
    assert following.poll().state == "running"
    writer.end("failed", "the disk is full")
    for _ in range(2):
        progress = following.poll()
        assert (progress.state, progress.said) == ("failed", "the disk is full; no trace was kept")
        assert progress.shares[0].moves == 30


def test_the_trace_of_an_earlier_load_is_not_taken_for_that_of_one_that_failed(
    following: Following, trace: Path, model: Path
) -> None:
    run(Request(str(model), load_format="dummy"), trace).store.close()
    assert following.poll().state == "done"
    writer = begun(trace)
    assert following.poll().state == "running", "the one that goes on is what is followed"
    writer.end("interrupted", "interrupted")
    progress = following.poll()
    assert progress.state == "cut short"
    assert progress.said == "interrupted; no trace was kept, what is there is an older one"
    with closing(begun(trace)):
        assert following.poll().state == "running", "and the next"


DIES = """
import os, sys
from pathlib import Path
from tracer.live import Live
writer = Live(Path(sys.argv[1]))
writer.enter("loading")
os._exit(9)
"""


def dies(trace: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(partial_of(trace))], cwd=several.ROOT, check=False)


def test_a_trace_that_was_written_after_a_load_was_killed_stands_before_what_that_left(
    following: Following, trace: Path, model: Path
) -> None:
    dies(trace)
    progress = following.poll()
    assert (progress.state, progress.said) == ("cut short", KILLED), "there is nothing left of which anything is said"
    run(Request(str(model), load_format="dummy"), trace).store.close()
    assert following.poll().state == "done"


def test_a_load_that_goes_on_stands_before_one_that_was_killed_after_it(following: Following, trace: Path) -> None:
    with closing(begun(trace)) as writer:
        dies(trace.with_name("u.db"))
        (killed,) = live.records_of(trace.with_name("u.db"))
        killed.rename(trace.with_name(".t.db.1.progress"))
        assert following.poll().standing == writer.standing


def test_where_it_cannot_be_told_whether_the_writer_lives_its_silence_is_all_that_is_said(
    trace: Path, tmp_path: Path
) -> None:
    with closing(begun(trace)) as writer:
        writer.standing.locked = False
        record = live.live_name(partial_of(trace))
        content = encode(writer.standing)
    record.write_bytes(content)
    clock = Clock()
    with closing(Following(trace, clock)) as following:
        assert "no news" not in text(following.poll())
        clock.now += 75
        progress = following.poll()
    assert (progress.state, progress.alive, progress.quiet) == ("running", None, 75.0)
    assert "no news for 1 min 15 s" in text(progress)
    assert "process" not in text(progress)


def test_that_a_silent_load_lives_is_said_where_it_is_known(trace: Path) -> None:
    clock = Clock()
    with closing(begun(trace)), closing(Following(trace, clock)) as following:
        following.poll()
        clock.now += 75
        assert "no news for 1 min 15 s, its process is there" in text(following.poll())


# --- the page ---


def test_the_page_says_how_far_each_rank_is(following: Following, trace: Path) -> None:
    with closing(begun(trace)) as writer:
        writer.standing.seconds = 0.0
        page = text(following.poll())
    assert page.splitlines()[4:] == [
        "rank 0 █████████████████████▌░░░░░░░  75 %  30 of 40 moves    3.00 MB of 4.00 MB",
        "        model.a.weight → model.ab.weight",
        "rank 1 ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0 %   0 of 40 moves    0 bytes of 4.00 MB",
    ]
    assert page.splitlines()[0].split() == ["t.db", "loading"]
    assert page.splitlines()[1] == "tp 1 · 21 tensors · ! 1 warning"


def test_where_no_total_is_known_no_fraction_is_made_up(following: Following, trace: Path) -> None:
    with closing(Live(partial_of(trace))) as writer:
        writer.begin([Share(0, moves=12)])
        progress = following.poll()
    assert progress.fraction is None
    assert "no total is known" in text(progress)
    assert "?  12 moves" in text(progress)
    assert "%" not in text(progress)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_page(width: int, following: Following, trace: Path) -> None:
    name = "model.layers.3.\u5c42\u5c42.experts.117.down_proj.weight_scale_inv" * 2
    with closing(begun(trace)) as writer:
        writer.standing.shares += [Share(rank, 400, None, rank, 0, name, name) for rank in range(2, 12)]
        writer.tell()
        progress = following.poll()
        writer.standing.shares = writer.standing.shares[:4]
        writer.tell()
        pages = [progress, following.poll()]
        writer.end("failed", f"a reason with a {name} in it")
        pages.append(following.poll())
    for page in pages:
        assert max(wide(plain(line)) for line in page.lines(width)) <= width
    assert "rank 11" in text(pages[0], width)


@pytest.mark.parametrize("width", WIDTHS)
def test_names_that_a_load_tells_cannot_steer_the_terminal(width: int, tmp_path: Path) -> None:
    hostile = "a\x1b[31m\nb\u202ec" * 9
    trace = tmp_path / f"{hostile[:9]}.db"
    with closing(Live(partial_of(trace))) as writer, closing(Following(trace)) as following:
        writer.begin([Share(0, 4, 40, 3, 30, hostile, hostile)])
        writer.enter(hostile)
        pages = [following.poll()]
        writer.end("failed", hostile)
        pages.append(following.poll())
    for page in pages:
        lines = [plain(line) for line in page.lines(width)]
        assert all(line.isprintable() and wide(line) <= width for line in lines)


def test_the_time_that_is_left_is_that_of_the_moves_since_it_was_first_seen_to_move(
    following: Following, trace: Path
) -> None:
    """What went before, torch to be imported and plans to be made, is not what is left."""
    with closing(begun(trace)) as writer:
        record = live.live_name(partial_of(trace))
        for seconds, moved in ((10.0, 2_000_000), (15.0, 4_000_000)):
            writer.standing.seconds, writer.standing.shares[0].nbytes = seconds, moved
            record.write_bytes(encode(writer.standing))
            progress = following.poll()
    assert progress.fraction == 0.5
    assert progress.left == pytest.approx(10.0)
    assert "≈ 10.0 s left" in text(progress)


def test_nothing_stays_open(trace: Path) -> None:
    def opened() -> int:
        found = 0
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found += str(trace.parent) in os.readlink(link)
        return found

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not tell what is open")
    writer = begun(trace)
    following = Following(trace)
    for _ in range(3):
        following.poll()
    assert opened() == 2, "one of the writer, one of the reader"
    writer.end("done", kept=True)
    following.poll()
    assert opened() == 0
