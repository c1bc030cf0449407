"""Runs cases one after the other in this process, counts how they end, and keeps each that is judged wrongly."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.case import Case
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.limits import peak, within_time
from tests.fuzz.ours import answer, check_command

COMMAND = 20
"""Every so many cases the command itself is asked as well; most of its time is not the case's."""
WARM = 20
"""Cases after which everything that is imported when it is first needed has been."""
_MOST_KEPT = 100


@dataclass
class Tally:
    """What came of some cases of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds, of our opinion alone."""
    grown: int = 0
    """Bytes by which the process has grown since its first cases."""
    wrong: dict[str, str] = field(default_factory=dict)
    """Case, as JSON -> what is wrong."""

    @property
    def cases(self) -> int:
        return sum(self.outcomes.values())


def made(kind: str, seed: int, number: int) -> Case:
    """Always the same case for the same numbers."""
    return KINDS[kind].make(random.Random(f"{kind} {seed} {number}"))


def run(
    kind: str, seed: int, numbers: Iterable[int], folder: Path, tell: Callable[[int], None] = lambda number: None
) -> Tally:
    """Cases of a kind, written into a folder; `tell` is told of each before it is tried.

    A case that hangs ends the process, with the stack on stderr: C code cannot be interrupted otherwise.
    """
    tally, before = Tally(), 0
    for number in numbers:
        tell(number)
        within_time()
        one(KINDS[kind], made(kind, seed, number), folder, tally)
        if tally.cases == WARM:
            before = peak()
    within_time(0)
    tally.grown = peak() - before if before else 0
    return tally


def one(kind: Kind, case: Case, folder: Path, tally: Tally) -> None:
    """Writes it, asks us and the second opinion, and counts."""
    path = case.write(folder)
    began = time.perf_counter()
    try:
        ours = answer(path)
        tally.slowest = max(tally.slowest, time.perf_counter() - began)
        tally.codes.update(ours.keys())
        outcome = kind.judge(case, path, ours)
        if tally.cases % COMMAND == 0:
            check_command(path, ours)
    except (Exception, RecursionError, MemoryError) as error:
        outcome = "wrong"
        if len(tally.wrong) < _MOST_KEPT:
            tally.wrong[case.to_json()] = "".join(traceback.format_exception(error))
    tally.outcomes[outcome] += 1
