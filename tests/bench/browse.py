"""`tracer browse` in a terminal: how soon names are seen, how soon a key is answered, what memory it takes.

    python -m tests.bench.browse [FOLDER OF DEEPSEEK-V3] [FOLDER OF BLOOM]

On headers alone, which are written if no folders are named: a model of 500 tensors, and DeepSeek-V3's 90,000. The
browser is a process of its own in a pseudo-terminal of 120 columns and 40 lines; a frame counts when its last byte was
there, an answer when its last frame was. Time for which its threads stood in line for a processor that others had is
taken off; while the checkpoint is still examined, what all threads computed until the answer is taken instead. Of each
start, and of each key press of the script, the best of a few runs is held against the limit, since others may disturb
one; of all presses the worst and the 95th percentile. What the clock said is printed too. Prints each figure as a ratio
of its limit; the exit status is 1 if one is missed.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from fixtures import header_set
from fixtures.geometries import geometry
from tests.bench.doctor import LARGE, SCALES, SHARDS, SMALL
from tests.frames import LINES, Spent, Terminal

STARTS, ROUNDS = 5, 3
FIRST_PAINT = {LARGE: 1.0, SMALL: 0.5}
KEY, STALL = 0.05, 0.1
"""Seconds from a key to its frame, and between two frames while a key is held down."""
MEMORY = 250e6
"""On the large one."""
QUIET, SHORT = 0.15, 0.06
"""Seconds without a frame after which a key is held to be answered: at leisure, and while it is still examined."""
SEEN = {LARGE: re.compile(r"lm_head\.weight"), SMALL: re.compile(r"word_embeddings\.weight")}
"""A name that is a line of the tree from the beginning."""
EXAMINED = re.compile(r"✓ \d+ ok")
UP, DOWN, RIGHT, HOME, END = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[H", b"\x1b[F"
PAGE_UP, PAGE_DOWN = b"\x1b[5~", b"\x1b[6~"
ESCAPE = b"\x1b[27u"
"""As terminals send it that tell it from the beginning of another key; Textual asks for that."""

SCRIPT: Sequence[tuple[str, bytes]] = [
    ("home", HOME), *[("down", DOWN)] * 4, ("up", UP), ("end", END), ("home", HOME),
    *[("down", DOWN), ("open", RIGHT)] * 4, *[("page down", PAGE_DOWN)] * 3, ("page up", PAGE_UP),
    ("every layer on a line", b"u"), ("end", END), *[("page down", PAGE_DOWN)] * 2, ("home", HOME),
    ("search", b"/"), *[(f"search: {letter}", letter.encode()) for letter in "k_proj 17"], ("found", b"\r"),
    *[("tp", key) for key in (b"+", b"+", b"-", b"-", b"+")], ("rank", b"r"), ("clear", ESCAPE),
    *[(f"page {number}", str(number).encode()) for number in (1, 3, 4, 6, 7, 2)],
    ("table", b"b"), ("end", END), ("page up", PAGE_UP), ("home", HOME), *[("down", DOWN)] * 3,
    *[("sort", b"s")] * 6, ("dtype", b"d"), ("dtype", b"d"), ("search", b"/"),
    *[(f"search in the table: {letter}", letter.encode()) for letter in "up"], ("clear", ESCAPE),
    ("problems", b"f"), ("all again", b"f"),
    ("search", b"/"), ("search in the table: what nearly all have", b"e"), ("clear", ESCAPE), ("tree", b"b"),
    ("search", b"/"), *[(f"search: {letter}, as in nearly all", letter.encode()) for letter in "ex"], ("clear", ESCAPE),
    ("problem", b"n"), ("problem before", b"N"), ("back", b"\x7f"),
]  # fmt: skip
"""At the end what may say something for a moment, as that is a frame more when it goes."""
MEANWHILE: Sequence[tuple[str, bytes]] = [("down", DOWN), ("down", DOWN), ("end", END), ("home", HOME), ("open", RIGHT)]


class Start(NamedTuple):
    """Seconds from the start of the process."""

    frame: float
    names: float
    spent: Spent
    """By all its threads until then."""
    examined: float

    @property
    def own(self) -> float:
        return self.names - self.spent.waited


class Press(NamedTuple):
    """One key, and how long its answer took."""

    name: str
    clock: float
    spent: Spent
    """Until the answer was there."""

    @property
    def own(self) -> float:
        """What the clock said, less what was waited for a processor; and not less than was computed for it."""
        return max(self.clock - self.spent.waited, self.spent.drawing)

    @property
    def shared(self) -> float:
        """What all threads computed: as long as one of them always does, that is the time without other programs."""
        return self.spent.computed


Cost: TypeAlias = Callable[[Press], float]


OWN: Cost = attrgetter("own")
SHARED: Cost = attrgetter("shared")


@dataclass(frozen=True)
class Scroll:
    """The flat table from its first line to its last."""

    frames: int
    seconds: float
    slowest: float
    """Of the frames, with what was waited for a processor taken off."""


# --- measuring ---


def browser(folder: Path) -> Terminal:
    return Terminal([sys.executable, "-m", "tracer", "browse", str(folder)])


def start(terminal: Terminal, model: str) -> Start:
    frame = terminal.until(re.compile(r"\w"))
    names = terminal.until(SEEN[model])
    spent = terminal.spent()
    return Start(frame, names, spent, terminal.until(EXAMINED))


def quit_(terminal: Terminal) -> None:
    terminal.type(b"q")
    status = terminal.ended()
    if status:
        raise SystemExit(f"tracer browse ended with {status}: {terminal.text[-400:]!r}")


def press(terminal: Terminal, name: str, keys: bytes, quiet: float) -> Press | None:
    """None where it changes nothing that is seen."""
    before = terminal.spent()
    begin = terminal.type(keys)
    if terminal.next_frame(0.5) is None:
        return None
    terminal.settle(quiet)
    last = terminal.frames[-1]
    return Press(name, last.at - begin, Spent(*(now - then for now, then in zip(last.spent, before, strict=True))))


def presses(terminal: Terminal, script: Sequence[tuple[str, bytes]]) -> list[Press | None]:
    return [press(terminal, name, keys, QUIET) for name, keys in script]


def meanwhile(terminal: Terminal, model: str) -> list[Press]:
    """Keys while the checkpoint is looked at in another thread."""
    terminal.until(SEEN[model])
    found: list[Press] = []
    while True:
        for name, keys in MEANWHILE:
            answered = press(terminal, name, keys, SHORT)
            if EXAMINED.search(terminal.text):
                return found
            found += [answered] if answered else []


def scroll(terminal: Terminal, lines: int) -> Scroll:
    """A page with each press, the next as soon as it was drawn."""
    presses(terminal, [("table", b"b"), ("home", HOME)])
    begin = last = time.monotonic()
    waited, slowest, frames = terminal.spent().waited, 0.0, 0
    for _ in range(lines // (LINES - 8)):
        terminal.type(PAGE_DOWN)
        frame = terminal.next_frame(2.0)
        if frame is None:  # the end
            break
        slowest, frames = max(slowest, frame.at - last - (frame.spent.waited - waited)), frames + 1
        last, waited = frame.at, frame.spent.waited
    return Scroll(frames, last - begin, slowest)


# --- saying ---


def judged(what: str, value: float, limit: float, shown: str, unit: float, name: str) -> bool:
    """Whether the limit holds."""
    ratio = value / limit
    missed = "" if ratio <= 1 else "  MISSED"
    print(f"  {what}: {shown}, {ratio:.2f} of its limit of {limit / unit:g} {name}{missed}")
    return ratio <= 1


def best_of(rounds: Sequence[Sequence[Press | None]]) -> list[Press]:
    """Each press of the script at its best."""
    seen = ([press for press in each if press] for each in zip(*rounds, strict=True))
    return [min(each, key=lambda press: press.own) for each in seen if each]


def told_keys(what: str, found: Sequence[Press], everything: Sequence[Press], cost: Cost) -> bool:
    order = sorted(found, key=cost)
    worst, late = order[-1], order[int(len(order) * 0.95)]
    most = max(found, key=lambda each: each.spent.drawing)
    clock = max(everything, key=lambda each: each.clock)
    shown = (
        f"95th percentile {cost(late) * 1e3:.0f} ms, worst {cost(worst) * 1e3:.0f} ms ({worst.name}; drawing computed "
        f"most for {most.name}, {most.spent.drawing * 1e3:.0f} ms; by the clock, of all {len(everything)}, "
        f"{clock.clock * 1e3:.0f} ms for {clock.name})"
    )
    return judged(f"{what}, {len(found)} presses", cost(worst), KEY, shown, 1e-3, "ms")


def told_start(model: str, starts: Sequence[Start]) -> bool:
    best = min(starts, key=lambda each: each.own)
    shown = (
        f"{best.own:.2f} s (by the clock {min(each.names for each in starts):.2f} s, of which "
        f"{best.spent.computed:.2f} s computed; the first frame {min(each.frame for each in starts):.2f} s, examined "
        f"{min(each.examined for each in starts):.2f} s)"
    )
    return judged("names are seen after", best.own, FIRST_PAINT[model], shown, 1, "s")


def measure(model: str, folder: Path, tensors: int) -> Iterator[bool]:
    """Whether each limit holds."""
    print(f"{model}, {tensors:,} tensors; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    starts = []
    for _ in range(STARTS):
        with browser(folder) as terminal:
            starts.append(start(terminal, model))
            quit_(terminal)
    yield told_start(model, starts)
    rounds, early, peak = [], [], 0
    for number in range(ROUNDS):
        with browser(folder) as terminal:
            early.append(meanwhile(terminal, model))
            terminal.settle(1.5)
            rounds.append(presses(terminal, SCRIPT))
            if number == ROUNDS - 1:
                scrolled = scroll(terminal, tensors)
            peak = max(peak, terminal.peak())
            quit_(terminal)
    hurried = min(early, key=lambda of: max((each.shared for each in of), default=0.0))
    if hurried:
        yield told_keys("keys while it is examined", hurried, [each for of in early for each in of], SHARED)
    yield told_keys("keys", best_of(rounds), [each for of in rounds for each in of if each], OWN)
    shown = f"{scrolled.frames:,} frames in {scrolled.seconds:.1f} s, slowest {scrolled.slowest * 1e3:.0f} ms"
    yield judged("from end to end", scrolled.slowest, STALL, shown, 1e-3, "ms")
    yield judged("memory", peak, MEMORY, f"{peak / 1e6:.0f} MB at most", 1e6, "MB")


@contextmanager
def written(model: str, folder: str | None) -> Iterator[tuple[Path, int]]:
    """Its folder and the number of its tensors."""
    number = len(header_set.tensors_of(header_set.scaled(geometry(model), SCALES[model])))
    if folder:
        yield Path(folder), number
        return
    with tempfile.TemporaryDirectory() as name:
        header_set.write(Path(name), model, SCALES[model], SHARDS[model])
        yield Path(name), number


def main(folders: Sequence[str]) -> int:
    given = dict(zip((LARGE, SMALL), folders, strict=False))
    held: list[bool] = []
    for model in (SMALL, LARGE):
        with written(model, given.get(model)) as (folder, tensors):
            held += measure(model, folder, tensors)
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
