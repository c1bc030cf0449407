"""How far a load is, as lines: a bar a rank, in characters that say the same without colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracer.commands.output import printable
from tracer.report.findings import CALLED
from tracer.report.words import plural, size
from tracer.standing import Share, Standing
from tui.model.columns import both, cut_start, fitted, left, wide
from tui.model.findings.chips import SHOWN
from tui.model.line import GLYPHS, Line, Role, Span, Target
from tui.model.wrapped import paragraph

State = Literal["absent", "unreadable", "running", "done", "planned", "failed", "cut short", "lost"]
"""`absent`: there is nothing, and nobody writes it. `unreadable`: something is there that says nothing. `planned`: its
trace is there, and nothing of it was executed. `lost`: the load has ended, and no trace of it is there."""
_ROLES: dict[State, Role] = {
    "absent": "unsure", "unreadable": "unsure", "running": "strong", "done": "good", "planned": "unsure",
    "failed": "bad", "cut short": "bad", "lost": "bad",
}  # fmt: skip
FULL, HALF, EMPTY = "█", "▌", "░"
DETAILED = 8
"""Ranks at most that have a second line, with the names of what they did last."""
SHORTEST, LONGEST = 10, 60
"""Cells of a bar."""
PERCENT = 6
QUIET = 5.0
"""Seconds without a move after which that is said."""


@dataclass(frozen=True)
class Progress:
    """What is known at one moment."""

    path: Path
    """The final name of the trace."""
    state: State
    said: str
    """More of it, in words."""
    standing: Standing | None = None
    """The numbers; None where there are none."""
    quiet: float = 0.0
    """Seconds since one of them last changed."""
    alive: bool | None = None
    """Whether the process that writes is known to be there; None where that cannot be told."""
    left: float | None = None
    """Seconds until all is moved, as it seems; None where that cannot be said."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of this load."""
        return self.state in ("done", "planned", "failed", "cut short", "lost")

    @property
    def kept(self) -> bool:
        """Whether a load that has ended has left its trace."""
        return self.ended and self.state != "lost" and self.standing is not None and self.standing.kept

    @property
    def shares(self) -> Sequence[Share]:
        return self.standing.shares if self.standing else ()

    @property
    def fraction(self) -> float | None:
        """Of all ranks; None where no total is known."""
        return fraction(self.shares)

    def lines(self, width: int) -> list[Line]:
        """The page."""
        return list(_page(self, width))


def fraction(shares: Sequence[Share]) -> float | None:
    """How much of the whole is done."""
    done, total = _sum(shares)
    return None if total is None else min(done / total, 1.0) if total else 1.0


def _sum(shares: Sequence[Share]) -> tuple[int, int | None]:
    """Bytes of all ranks where all know theirs, else moves."""
    if shares and all(share.planned_bytes for share in shares):
        return sum(share.nbytes for share in shares), sum(share.planned_bytes or 0 for share in shares)
    if not shares or any(share.planned_moves is None for share in shares):
        return sum(share.moves for share in shares), None
    return sum(share.moves for share in shares), sum(share.planned_moves or 0 for share in shares)


def _page(progress: Progress, width: int) -> Iterator[Line]:
    role = _ROLES[progress.state]
    sign = f"{GLYPHS[role]} " if role in GLYPHS else ""
    state = Span(f"{sign}{_word(progress)}", role)
    yield both([Span(printable(progress.path.name), "heading")], [state], width)
    if progress.said:
        yield from paragraph(progress.said, width, role="plain" if progress.state == "running" else role)
    standing = progress.standing
    if standing is None:
        return
    yield fitted(_about(standing), width)
    yield fitted(_time(progress, standing), width)
    yield ()
    yield from _bars(standing.shares, width)


def _word(progress: Progress) -> str:
    standing = progress.standing
    return printable(standing.phase) if standing and progress.state == "running" else progress.state


def _about(standing: Standing) -> Iterator[Span]:
    """`tp 2 · 291 tensors · ! 1 warning`"""
    yield Span(f"tp {standing.tp} · {plural(standing.tensors, 'tensor')}")
    for severity, (glyph, role) in SHOWN.items():
        number = standing.findings.get(severity, 0)
        if number:
            yield Span(" · ")
            yield Span(f"{glyph} {plural(number, CALLED[severity])}", role)
    if not any(standing.findings.values()):
        yield Span(" · nothing found so far" if standing.state == "running" else " · nothing found", "dim")


def _time(progress: Progress, standing: Standing) -> Iterator[Span]:
    yield _lasted(progress.state, standing.seconds)
    if progress.state != "running":
        return
    if progress.fraction is None:
        yield Span(" · no total is known", "unsure")
    elif progress.left:
        yield Span(f" · {GLYPHS['inferred']} {duration(progress.left)} left", "inferred")
    if progress.quiet >= QUIET:
        yield Span(f" · {GLYPHS['unsure']} {_silence(progress)}", "unsure")


def _lasted(state: State, seconds: float | None) -> Span:
    if seconds is None:
        return Span("how long it took is not known", "unsure")
    told = {"running": "{} so far", "done": "took {}", "planned": "took {}"}.get(state, "after {}")
    return Span(told.format(duration(seconds)), "dim")


def _silence(progress: Progress) -> str:
    quiet = f"no news for {duration(progress.quiet)}"
    return f"{quiet}, its process is there" if progress.alive else quiet


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _bars(shares: Sequence[Share], width: int) -> Iterator[Line]:
    """`rank 0  ██████░░░░  52 %  151 of 291 moves  3.10 GB of 6.20 GB`; without room for all, bytes give way first."""
    labels = [f"rank {share.rank} " for share in shares]
    label_room = max(map(wide, labels), default=0)
    room = width - label_room - PERCENT - SHORTEST
    told = next(texts for texts in _tellings(shares) if max(map(wide, texts), default=0) <= max(room, 0))
    cells = min(SHORTEST + max(room - max(map(wide, told), default=0), 0), LONGEST)
    for share, label, text in zip(shares, labels, told, strict=True):
        start = left(Span(label, "strong", Target("rank", str(share.rank))), label_room)
        percent = "?" if share.fraction is None else f"{int(100 * share.fraction)} %"
        end = [Span(f"{percent:>{PERCENT}}", "number"), Span(text)]
        yield fitted([start, *_filled(share.fraction, cells), *end], width)
        if len(shares) <= DETAILED and share.tensor is not None and share.param is not None:
            yield _last(share.tensor, share.param, width)


def _tellings(shares: Sequence[Share]) -> Iterator[list[str]]:
    """What stands behind the bars, from most to least."""
    yield [_moves(share) + _bytes(share) for share in shares]
    yield [_moves(share) for share in shares]
    yield [""] * len(shares)


def _filled(fraction: float | None, cells: int) -> list[Span]:
    """Halves of a cell; never full before all is there, as percents are cut too."""
    if fraction is None:
        return [Span(EMPTY * cells, "dim")]
    halves = int(2 * cells * fraction)
    text = FULL * (halves // 2) + HALF * (halves % 2)
    return [Span(text, "held"), Span(EMPTY * (cells - len(text)), "dim")]


def _moves(share: Share) -> str:
    if share.planned_moves is None:
        return f"  {plural(share.moves, 'move')}"
    total = plural(share.planned_moves, "move")
    return f"  {share.moves:>{len(f'{share.planned_moves:,}')},} of {total}"


def _bytes(share: Share) -> str:
    if share.planned_bytes is None:
        return f"  {size(share.nbytes)}" if share.nbytes else ""
    return f"  {size(share.nbytes):>9} of {size(share.planned_bytes)}"


def _last(tensor: str, param: str, width: int) -> Line:
    """What was copied last: what tells names apart is at their ends."""
    room, written = width - 8 - 3, printable(param)
    own = room - wide(written) if wide(written) < room // 2 else max(room // 2, room - wide(written))
    source = cut_start(printable(tensor), own)
    return fitted(
        [
            Span(" " * 8), Span(source, "name", Target("tensor", tensor)), Span(" → ", "dim"),
            Span(cut_start(written, room - wide(source)), "name", Target("param", param)),
        ],
        width,
    )  # fmt: skip
