"""The page of values: what was asked, how far it is, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

from tracer.commands.output import printable
from tracer.report import words
from tui.model.columns import cut, fitted, left
from tui.model.kept import kept
from tui.model.line import Line, Page, Role, Span, Text
from tui.model.numbers.heat import heat_lines
from tui.model.numbers.state import Values
from tui.model.wrapped import paragraph, wrap

if TYPE_CHECKING:
    from tracer.values.statistics import Statistics
    from tui.model.numbers.look import Look

_LABEL = 12
_FIRST_LINES = 6
_BAR = "█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def values(state: Values, colours: bool = True) -> Page:
    """Of what is looked at."""
    return Text(lambda width: list(_lines(state, width, colours)))


def _lines(state: Values, width: int, colours: bool) -> Iterator[Line]:
    if state.info is None:
        yield fitted((Span("choose a tensor, then v reads its values", "dim"),), width)
        return
    info = state.info
    yield fitted((Span(info.name, "strong"), Span(f"  {kept(info)}", "dim")), width)
    yield ()
    yield from _standing(state, width)
    if state.look is not None:
        yield from _seen(state, width, colours)


def _standing(state: Values, width: int) -> Iterator[Line]:
    assert state.info is not None
    total = state.total or state.info.nbytes
    size = words.size(total)
    if state.stage == "idle" and state.info.file is None:
        yield fitted((Span("· not read", "unsure"), Span(": it is in no file that is here")), width)
    elif state.stage == "idle":
        yield fitted((Span("· not read", "unsure"), Span(f": v reads {size}")), width)
    elif state.stage == "asks":
        told = f"{size} would be read: v once more reads it, Esc does not"
        yield from paragraph(told, width, Span("! ", "warn"), "warn")
    elif state.stage == "reads":
        part = state.done / max(total, 1)
        told = f" {words.size(state.done)} of {size}, Esc stops"
        room = max(min(30, width - len(told)), 1)
        yield fitted((Span(f"{_BAR * int(part * room):<{room}}", "held"), Span(told)), width)
    elif state.stage == "stopped":
        told = f" after {words.size(state.done)} of {size}; v reads again"
        yield fitted((Span("· stopped", "unsure"), Span(told)), width)
    elif state.stage == "cannot":
        yield from paragraph(state.why, width, Span("· not checked: ", "unsure"), "unsure")


def _seen(state: Values, width: int, colours: bool) -> Iterator[Line]:
    if state.codes:
        yield from paragraph(state.codes, width, Span("! ", "warn"), "warn")
    looks = [look for look in (state.look, state.beside) if look is not None]
    titles = ("this one", state.other) if state.beside else ("",)
    if state.beside:
        room = (width - _LABEL) // 2
        yield (left(Span(""), _LABEL), *(left(Span(title, "heading"), room) for title in titles))
    elif state.other:
        yield from paragraph(state.other, width, Span("· not beside another: ", "unsure"), "unsure")
    yield from _statistics(looks, width)
    if state.beside:
        yield from _apart(state, width)
    read = [(look, title) for look, title in zip(looks, titles, strict=True) if look.statistics.count]
    for look, title in read:
        yield from _histogram(look.statistics, title, width)
    for look, title in read:
        yield from _first(look, title, width)
    for look, title in read:
        yield from _heat(look, title, width, colours)


def _headed(what: str, told: str, title: str, width: int) -> Iterator[Line]:
    """A heading, with which of two it is about."""
    yield ()
    which = (Span(f"  {title}", "strong"),) if title else ()
    yield fitted((Span(what, "heading"), *which, Span(f"  {told}", "dim")), width)


def _statistics(looks: Sequence[Look], width: int) -> Iterator[Line]:
    room, found = (width - _LABEL) // max(len(looks), 1), [look.statistics for look in looks]
    alike = len({each.dtype for each in found}) == 1
    for label, texts in [*(_called(looks) if len(looks) > 1 else ()), *_table(found)]:
        # Another dtype has other bytes for the same numbers; another name says nothing.
        differs = len(set(texts)) > 1 and label != "tensor" and (alike or label != "digest")
        role: Role = "warn" if differs else "plain"
        cells = (left(Span(cut(text, room - 3) + "  ≠" if differs else text, role), room) for text in texts)
        yield fitted((left(Span(label, "heading"), _LABEL), *cells), width)


def _called(looks: Sequence[Look]) -> Iterator[tuple[str, list[str]]]:
    if len({look.info.name for look in looks}) > 1:
        yield "tensor", [printable(look.info.name) for look in looks]
    yield "kept as", [kept(look.info) for look in looks]


def _apart(state: Values, width: int) -> Iterator[Line]:
    """Element by element, where they lie in the same order."""
    start, found = f"{'apart':<{_LABEL}}", state.apart
    if isinstance(found, str):
        yield from paragraph(f"· not compared by element: {found}", width, Span(start, "heading"), "unsure")
    elif not found.differing:
        yield from paragraph(f"all {found.elements:,} elements are equal", width, Span(start, "heading"))
    else:
        many = f"{found.differing:,} of {found.elements:,} elements differ, the largest difference"
        told = f"{many} {_told(found.largest)}, place by place"
        yield from paragraph(told, width, Span(start, "heading"), "warn")


def _table(found: Sequence[Statistics]) -> Iterator[tuple[str, list[str]]]:
    yield "numbers", [f"none: {each.unread}" if each.unread else f"{each.count:,}" for each in found]
    yield "min, max", [f"{_told(each.part.minimum)}, {_told(each.part.maximum)}" for each in found]
    yield "mean, std", [f"{_told(each.mean)}, {_told(each.std)}" for each in found]
    yield "zeros", [_share(each.part.zeros, each.count) for each in found]
    yield "finite", [_finite(each) for each in found]
    yield "smallest", [_told(each.part.smallest) for each in found]
    yield "digest", [f"xxh3:{each.digest[:16]}" for each in found]


def _told(number: float | int | None) -> str:
    return "none" if number is None else f"{number:.6g}"


def _finite(found: Statistics) -> str:
    """Ticked where something was looked at that could have been otherwise."""
    from tracer.values.decoding import is_float

    if found.unread:
        return "· not checked"
    if not found.count:
        return "· there are none to be looked at"
    if found.nonfinite:
        return _nonfinite(found)
    return "✓ all finite" if is_float(found.dtype) else "· as whole numbers always are"


def _nonfinite(found: Statistics) -> str:
    """How many of which kind, and where the first stands, by its index in each dimension."""
    part = found.part
    kinds = [(part.nan, "NaN"), (part.positive_infinity, "inf"), (part.negative_infinity, "-inf")]
    told = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
    place: list[int] = []
    rest = found.first_nonfinite
    for size in reversed(found.shape if rest is not None else ()):
        rest, index = divmod(rest or 0, size)
        place.insert(0, index)
    return f"✗ {told}" + (f", first at {place}" if place else "")


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.2%})" if whole else "0"


def _histogram(found: Statistics, title: str, width: int) -> Iterator[Line]:
    yield from _headed("histogram", "of magnitudes, by powers of two", title, width)
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


def _first(look: Look, title: str, width: int) -> Iterator[Line]:
    pieces = list(wrap(" ".join(map(_element, look.first)), width))[:_FIRST_LINES]
    shown = sum(len(piece.split()) for piece in pieces)
    yield from _headed("first", f"{shown:,} of {prod(look.info.shape):,}, in the order of the bytes", title, width)
    yield from (fitted((Span(piece),), width) for piece in pieces)


def _element(value: float | complex) -> str:
    """Integers whole: some of them are positions, or eight numbers in one."""
    return str(int(value)) if isinstance(value, int) else f"{value:.5g}"


def _heat(look: Look, title: str, width: int, colours: bool) -> Iterator[Line]:
    if look.heat is None:
        return
    rows, columns = look.heat.shape
    told = f"mean magnitude, {rows} x {columns} cells of {words.shape(look.info.shape)}, darker is smaller"
    yield from _headed("picture", told, title, width)
    yield from heat_lines(look.heat.tolist(), width, colours)
