"""What is wrong with a mapping file, said in one line: the table, the key, and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mappings.axes import PART, parse
from mappings.names import ANYTHING, Pattern, spans
from mappings.params import fused
from mappings.rows import Architecture, Row, Skip, Tie
from mappings.sizes import MAX_POSITIONS
from mappings.transforms import TRANSFORMS


class MappingFileError(ValueError):
    """The file is not a mapping: the message names table, key, and what was expected."""


class Kind(NamedTuple):
    """What a key must hold."""

    expected: str
    fits: Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_table_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(fits(item) for item in value.values())


def _is_positions(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(spans(value, MAX_POSITIONS))
    except ValueError:
        return False


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _one_of(*words: str) -> Kind:
    return Kind(f"one of {', '.join(words)}", lambda value: value in words)


TEXT = Kind("a text", _is_text)
TEXTS = Kind("a list of texts", _is_texts)
PREFIXES = Kind("a list of texts, at least one", lambda value: _is_texts(value) and bool(value))
TABLE = Kind("a table", lambda value: isinstance(value, dict))
TABLES = Kind("tables in double brackets", _is_tables)
DOMAINS = Kind("a table of positions, as \"0, 2..5\"", lambda value: _is_table_of(value, _is_positions))
SIZES = Kind("a table of size expressions", lambda value: _is_table_of(value, _is_text))
FACTORS = Kind("a table of lists of axes", lambda value: _is_table_of(value, _is_texts))
LAYOUTS = Kind("a table of layouts", lambda value: bool(value) and _is_table_of(value, _is_text))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
EXISTS = Kind("true, false, or a field of config.json", lambda value: isinstance(value, bool) or _is_text(value))
RANK = Kind("the number of a rank", lambda value: type(value) is int and value >= 0)

FILE: Mapping[str, Kind] = {
    "architecture": TEXT, "like": TEXT, "axes": SIZES, "factors": FACTORS, "flags": TABLE, "layers": TEXT,
    "prefixes": PREFIXES, "domains": DOMAINS, "param": TABLES, "row": TABLES, "skip": TABLES, "remove": TABLES,
}  # fmt: skip
PARAM: Mapping[str, Kind] = {
    "name": TEXT, "parts": LAYOUTS, "layout": TEXT, "bias": EXISTS, "when": TEXT,
    "style": _one_of("module", "stacked", "plain"), "quantised": FLAG, "split": TEXT, "share": TEXT,
    "share_one": TEXT, "pad": TEXT,
}  # fmt: skip
ROW: Mapping[str, Kind] = {
    "name": TEXT, "param": TEXT, "parts": TEXTS, "layout": TEXT, "style": _one_of("module", "bare", "plain"),
    "op": _one_of(*TRANSFORMS), "rank": RANK,
}  # fmt: skip
SKIP: Mapping[str, Kind] = {"name": TEXT, "why": TEXT}
REMOVE: Mapping[str, Kind] = {"name": TEXT}


def check_fields(table: Mapping[str, Any], kinds: Mapping[str, Kind], where: str, required: Iterable[str]) -> None:
    """Every key is known and holds what it should."""
    if "name" in kinds and _is_text(table.get("name")):
        where = f"{where} {table['name']}"
    unknown = sorted(set(table) - set(kinds))
    if unknown:
        raise MappingFileError(f"{where} has {unknown[0]!r}, expected one of {', '.join(sorted(kinds))}")
    for key in (*required, *table):
        if not kinds[key].fits(table.get(key)):
            raise MappingFileError(f"{where}: {key} is {table.get(key)!r}, expected {kinds[key].expected}")


def check_name(name: str, where: str) -> None:
    """Holes are whole segments."""
    for segment in name.split("."):
        hole = segment.startswith("{") and segment.endswith("}")
        word = segment[1:-1] if hole else segment
        if not word or ANYTHING in word or "{" in word or "}" in word:
            raise MappingFileError(f"{where}: name has the segment {segment!r}, expected a word or one {{axis}}")


def check_layout(text: str | None, where: str) -> None:
    """The layout, if there is one, can be read."""
    try:
        parse("1" if text is None else text)
    except ValueError as error:
        raise MappingFileError(f"{where}: {error}") from error


def check_whole(base: Architecture, arch: Architecture, data: Mapping[str, Any]) -> None:
    """What the tables say of each other: axes exist, sizes can be computed, parameters are fed."""
    for axis, text in data.get("axes", {}).items():
        for word in _operands(text, f"[axes]: {axis}"):
            if word.startswith("@") and word[1:] not in arch.axes:
                raise MappingFileError(f"[axes]: {axis} is {text!r}, and there is no axis {word[1:]}")
    for axis, atoms in data.get("factors", {}).items():
        _known(atoms, {*arch.axes, *arch.factors}, f"[factors]: {axis}")
    _no_circle(arch)
    axes, holes = {PART, *arch.axes, *arch.factors}, {"layer", *arch.axes, *_holes(base)}
    for hole in data.get("domains", {}):
        axis, colon, word = hole.partition(":")
        if not colon or not word.isidentifier():
            raise MappingFileError(f"[domains]: {hole!r} is expected to be an axis, a colon and a word")
        _known([axis], holes, f"[domains]: {hole!r}")
    holes |= {*data.get("domains", {})}
    params, known = arch.params, base.params
    for table in data.get("param", []):
        _check_param(table, arch, axes, holes)
        where, fed = f"[[param]] {table['name']}", [param for param in params if param.name == table["name"]]
        if any(param in known and param != fused(**table) for param in fed):
            raise MappingFileError(f"{where}: name is that of a parameter to which rows of {base.id} lead")
        if not fed:
            raise MappingFileError(f"{where}: name is that of a parameter to which no row leads")
    for kind in ("row", "skip"):
        for table in data.get(kind, []):
            where = f"[[{kind}]] {table['name']}"
            _known(Pattern(table["name"]).holes, holes, f"{where}: name")
            _known(_axes_of(table.get("layout")), axes | holes, f"{where}: layout")


def _check_param(table: Mapping[str, Any], arch: Architecture, axes: set[str], holes: set[str]) -> None:
    name, where = table["name"], f"[[param]] {table['name']}"
    _known(Pattern(name).holes, holes, f"{where}: name")
    for part, layout in table["parts"].items():
        _known(_axes_of(layout), axes, f"{where}: parts.{part}")
    _known(_axes_of(table.get("layout")), axes, f"{where}: layout")
    for key in ("split", "share", "share_one", "pad"):
        _known(table.get(key, "").split(), axes, f"{where}: {key}")
        _cuts_something(table, key, arch, where)


def _cuts_something(table: Mapping[str, Any], key: str, arch: Architecture, where: str) -> None:
    """A cut axis stands in a part as it is written: `head` does not cut `kv.group`. Padding is for single axes."""
    mentioned = {axis for layout in table["parts"].values() for axis in _axes_of(layout)}
    for axis in table.get(key, "").split():
        if axis not in mentioned:
            raise MappingFileError(f"{where}: {key} is {axis!r}, and no part mentions that axis")
        if key == "pad" and axis in arch.factors:
            raise MappingFileError(f"{where}: pad is {axis!r}, a product of axes; only a single axis can be padded")


def _axes_of(layout: str | None) -> Iterator[str]:
    return (axis for dim in parse(layout or "1") for axis in dim)


def _known(axes: Iterable[str], known: set[str], where: str) -> None:
    unknown = next((axis for axis in axes if axis not in known), None)
    if unknown is not None:
        raise MappingFileError(f"{where} has the axis {unknown!r}, expected one of {', '.join(sorted(known))}")


def _holes(arch: Architecture) -> Iterator[str]:
    """Axes and domains that the names of an architecture already use."""
    for entry in arch.entries:
        if isinstance(entry, Row | Skip | Tie):
            yield from Pattern(entry.name).holes


def _operands(text: str, where: str) -> Iterator[str]:
    """The fields, numbers and axes of a size expression."""
    for term in text.split("|"):
        words = term.split()
        words = words[words[:1] == ["ceil"] :]
        operands, operators = words[::2], words[1::2]
        good = all(word.isdecimal() or word.removeprefix("@").isidentifier() for word in operands)
        if len(words) % 2 == 0 or not good or not {"*", "/", "+"}.issuperset(operators):
            raise MappingFileError(f"{where} is {text!r}, expected fields and numbers joined by *, / or +")
        yield from operands


def _no_circle(arch: Architecture) -> None:
    """No axis is told by itself."""
    refers = {axis: [word[1:] for word in text.split() if word[0] == "@"] for axis, text in arch.axes.items()}
    refers |= {axis: list(atoms) for axis, atoms in arch.factors.items()}
    for axis in refers:
        seen: set[str] = set()
        ahead = list(refers[axis])
        while ahead:
            reached = ahead.pop()
            if reached not in seen:
                seen.add(reached)
                ahead += refers.get(reached, [])
        if axis in seen:
            raise MappingFileError(f"[axes]: {axis} is told by itself")
