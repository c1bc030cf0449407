from __future__ import annotations

import pytest

from tracer.commands.progress import Progress, duration, line


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    told = line("reading", 5_000_000_000, 15_000_000_000, 2.0)
    assert told == "reading [########                ]  33%  5.00 GB of 15.00 GB, 2.50 GB/s, 4 s left"
    assert line("reading", 0, 10, 9.0) == "reading [                        ]   0%  0 bytes of 10 bytes"
    assert line("reading", 0, 0, 9.0).startswith("reading [########################] 100%")


def test_times_are_told_as_people_tell_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 130, 5400, 9000)] == [
        "0 s",
        "99 s",
        "2 min",
        "90 min",
        "2 h 30 min",
    ]


def test_nothing_is_printed_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading") as told:
        for done in range(10):
            told(done, 10)
    assert capsys.readouterr() == ("", "")
