"""The page of values: what was asked, how far it is, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from tracer.report import words
from tui.model.columns import fitted, left
from tui.model.line import Line, Page, Role, Span, Text
from tui.model.numbers.heat import heat_lines
from tui.model.numbers.state import Values

if TYPE_CHECKING:
    from tracer.values.statistics import Statistics
    from tui.model.numbers.look import Look

_LABEL = 12
_BAR = "█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def values(state: Values, colours: bool = True) -> Page:
    """Of what is looked at."""
    return Text(lambda width: list(_lines(state, width, colours)))


def _lines(state: Values, width: int, colours: bool) -> Iterator[Line]:
    if state.info is None:
        yield (Span("choose a tensor, then v reads its values", "dim"),)
        return
    info = state.info
    yield fitted((Span(info.name, "strong"), Span(f"  {info.dtype} {words.shape(info.shape)}", "dim")), width)
    yield ()
    yield from _standing(state, width)
    if state.look is not None:
        yield from _seen(state, width, colours)


def _standing(state: Values, width: int) -> Iterator[Line]:
    assert state.info is not None
    size = words.size(state.info.nbytes)
    if state.stage == "idle":
        yield fitted((Span("· not read", "unsure"), Span(f": v reads {size}")), width)
    elif state.stage == "asks":
        yield fitted((Span(f"! {size} would be read", "warn"), Span(": v once more reads it, Esc does not")), width)
    elif state.stage == "reads":
        part = state.done / max(state.info.nbytes, 1)
        bar = _BAR * int(part * 30)
        yield fitted((Span(f"{bar:<30} ", "held"), Span(f"{words.size(state.done)} of {size}, Esc stops")), width)
    elif state.stage == "stopped":
        told = f" after {words.size(state.done)} of {size}; v reads again"
        yield fitted((Span("· stopped", "unsure"), Span(told)), width)
    elif state.stage == "cannot":
        yield from ((Span(piece, "unsure"),) for piece in wrap(f"· not checked: {state.why}", max(width, 10)))


def _seen(state: Values, width: int, colours: bool) -> Iterator[Line]:
    looks = [look for look in (state.look, state.beside) if look is not None]
    if state.other:
        room = (width - _LABEL) // 2
        titles = ("this one", state.other) if state.beside else (state.other,)
        yield (left(Span(""), _LABEL), *(left(Span(title, "heading"), room) for title in titles))
    yield from _statistics([look.statistics for look in looks], width)
    if not looks[0].statistics.count:
        return
    yield ()
    yield fitted((Span("histogram", "heading"), Span("  of magnitudes, by powers of two", "dim")), width)
    for look in looks:
        yield from _histogram(look.statistics, width)
    yield ()
    yield from _first(looks[0], width)
    for look in looks:
        yield from _heat(look, width, colours)


def _statistics(found: Sequence[Statistics], width: int) -> Iterator[Line]:
    room = (width - _LABEL) // max(len(found), 1)
    for label, texts in _table(found):
        differs = len(set(texts)) > 1
        role: Role = "warn" if differs else "plain"
        cells = (left(Span(text + ("  ≠" if differs else ""), role), room) for text in texts)
        yield fitted((left(Span(label, "heading"), _LABEL), *cells), width)


def _table(found: Sequence[Statistics]) -> Iterator[tuple[str, list[str]]]:
    yield "numbers", [f"{each.count:,}" if each.count else f"none: {each.unread}" for each in found]
    yield "min, max", [f"{_told(each.part.minimum)}, {_told(each.part.maximum)}" for each in found]
    yield "mean, std", [f"{_told(each.mean)}, {_told(each.std)}" for each in found]
    yield "zeros", [_share(each.part.zeros, each.count) for each in found]
    bad = [f"✗ {each.nonfinite:,} NaN or infinite" if each.nonfinite else "✓ all finite" for each in found]
    yield "finite", [text if each.count else "· not checked" for text, each in zip(bad, found, strict=True)]
    yield "smallest", [_told(each.part.smallest) for each in found]
    yield "digest", [f"xxh3:{each.digest[:16]}" for each in found]


def _told(number: float | int | None) -> str:
    return "none" if number is None else f"{number:.6g}"


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.2%})" if whole else "0"


def _histogram(found: Statistics, width: int) -> Iterator[Line]:
    histogram = found.part.histogram
    both = [a + b for a, b in zip(histogram.negative, histogram.positive, strict=True)]
    most = max(both, default=0)
    room = max(width - 26, 4)
    for octave, count in enumerate(both, histogram.low):
        bar = left(Span(_bar(count / most, room), "part0"), room)
        yield fitted((Span(f"{2.0**octave:9.3g} .. ", "dim"), bar, Span(f" {count:,}", "number")), width)
    if found.sampled:
        yield fitted((Span("of a sample of the numbers; counts and extremes above are of all", "dim"),), width)


def _bar(part: float, room: int) -> str:
    eighths = max(int(part * room * 8), 1 if part else 0)
    return _BAR * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _first(look: Look, width: int) -> Iterator[Line]:
    what = f"  {len(look.first)} elements, in the order of the bytes"
    yield fitted((Span("first", "heading"), Span(what, "dim")), width)
    text = "  ".join(f"{x:.5g}" for x in look.first)
    yield from ((Span(piece),) for piece in wrap(text, max(width, 10))[:6])


def _heat(look: Look, width: int, colours: bool) -> Iterator[Line]:
    if look.heat is None:
        return
    yield ()
    rows, columns = look.heat.shape
    what = f"  mean magnitude, {rows} x {columns} cells of {words.shape(look.info.shape)}, darker is smaller"
    yield fitted((Span("picture", "heading"), Span(what, "dim")), width)
    yield from heat_lines(look.heat.tolist(), width, colours)
