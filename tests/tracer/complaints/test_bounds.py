"""A log may hold anything and be of any length: memory, time and what is kept are bounded, and nothing escapes."""

from __future__ import annotations

import time
import tracemalloc
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.complaints.logs import MISSING, told, vllm_of_eight
from tracer.complaints import read_error, read_log
from tracer.complaints.listening import Listener
from tracer.complaints.of_people import PATTERNS as OF_PEOPLE
from tracer.complaints.pattern import Pattern
from tracer.complaints.prefixes import plain, without_prefixes
from tracer.complaints.streaming import tell
from tracer.complaints.wordings import ALL, needles

_FOLDER = TemporaryDirectory()
_MEMORY = 8 << 20
_SECONDS = 5.0
"""For what takes tenths of a second where nothing backtracks, and hours where something does."""
EVERY_PATTERN: list[Pattern] = [*ALL, *OF_PEOPLE]


def test_a_log_far_larger_than_what_is_kept_takes_no_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        for number in range(40_000):
            file.write(b"INFO 11-20 10:11:12 [loggers.py:127] Engine 000: %d tokens, %s\n" % (number, b"." * 400))
            if number % 1_000 == 0:
                file.write(b"ERROR 11-20 10:11:12 [x.py:1] KeyError: 'layers.%d.weight'\n" % number)
    seen: list[int] = []
    read_log(path)  # what is compiled and imported once is no part of it
    tracemalloc.start()
    found = read_log(path, seen.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 2 * _MEMORY > 2 * peak
    assert (found.lines, len(found.complaints)) == (40_040, 40)
    assert seen[-1] == path.stat().st_size and seen == sorted(seen)


def test_one_line_larger_than_what_is_kept_takes_no_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"KeyError: '%s'" % MISSING.encode())
        for _ in range(60):
            file.write(b"x" * (1 << 20))
        file.write(b"\nlast\n")
    tracemalloc.start()
    found = read_log(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < _MEMORY
    assert (found.lines, found.complaints[0].names) == (2, (MISSING,))


def test_different_complaints_without_end_are_not_all_kept(tmp_path: Path) -> None:
    found = told(tmp_path, (f"KeyError: 'layers.{number}.weight'" for number in range(20_000)))
    assert len(found.complaints) == 2_000
    assert found.complaints[0].names == ("layers.0.weight",)
    assert found.lines == 20_000


def test_names_without_end_are_not_all_kept(tmp_path: Path) -> None:
    found = told(tmp_path, (f"Parameter layers.{number}.weight not found in params_dict" for number in range(22_000)))
    assert len(found.complaints[0].names) == 20_000


def _filler(pattern: Pattern) -> list[str]:
    """Pieces that nearly match: the words that a pattern is looked for by, and what its groups consist of."""
    return [*pattern.needles, "1" * 40, "a." * 40, " ", "(", "[1, ", "'", '"', ", ", "!", "= ", "{", "torch.Size(["]


@pytest.mark.parametrize("pattern", EVERY_PATTERN, ids=[pattern.source[:50] for pattern in EVERY_PATTERN])
def test_no_expression_backtracks_without_bounds(pattern: Pattern) -> None:
    start = time.process_time()
    for piece in _filler(pattern):
        many = piece * (40_000 // max(1, len(piece)))
        for text in (many, pattern.needles[0] + many):
            for match in pattern.matches(text):
                pattern.read(match)
    assert time.process_time() - start < _SECONDS


PIECES = st.sampled_from(
    [word for pattern in EVERY_PATTERN for word in pattern.needles if word]
    + ["Traceback (most recent call last):", '  File "/x.py", line 1, in f', "\n", "\r", "\x1b[1m", "\x1b]", "\x00",
       "(", ")", "[", "{", "'", '"', "`", ", ", "torch.Size([1, 2])", "a.b.weight", "12345678901234567890", ": ",
       "KeyError: ", "(EngineCore_0 pid=1) ", "[rank0]: ", "During handling of the above exception",
       "\udcff", "…", " | ", "%", "\\n"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=60), st.integers(1, 300))
def test_whatever_is_pasted_is_read_in_bounded_time(pieces: list[str], times: int) -> None:
    start = time.process_time()
    found = read_error(("".join(pieces) * times)[:60_000])
    assert time.process_time() - start < _SECONDS
    assert all(len(each.text) <= 500 and len(each.names) <= 20_000 for each in found.complaints)
    assert all(each.times >= 1 and each.line == 0 for each in found.complaints)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.lists(st.sampled_from(needles()), max_size=6))
def test_whatever_a_log_holds_is_read(noise: bytes, words: list[bytes]) -> None:
    content = noise.join([b"", *words, b""])
    path = Path(_FOLDER.name) / "log"
    path.write_bytes(content)
    found = read_log(path)
    assert found.lines == content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 3))
def test_where_a_block_ends_changes_nothing(size: int, start: int) -> None:
    """The same log in blocks of other sizes says the same."""
    data = ("\n".join(vllm_of_eight()[start:]) + "\n").encode()

    def read(block: int) -> object:
        listener = Listener(pasted=False)
        lines = tell(BytesIO(data), needles(), listener.hear, lambda: listener.attentive, block=block)
        return listener.told(lines)

    assert read(size * 97) == read(1 << 20)


@given(st.text(max_size=200))
def test_what_stands_before_a_line_is_taken_off_and_nothing_else(text: str) -> None:
    said = without_prefixes(plain(text))
    assert plain(text).endswith(said.text) or said.times > 1
