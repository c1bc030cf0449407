"""Rows that a user adds without touching the package: a TOML file, read as data and never executed.

    architecture = "MyForCausalLM"        # as in config.json; extends the rows of that name if there are any,
    like = "LlamaForCausalLM"             # or starts from those of another

    [axes]                                # sizes by config fields, as in mappings.sizes
    rank = "lora_rank"

    [[param]]                             # a parameter that the rows do not know yet
    name = "model.layers.{layer}.self_attn.gate"
    parts = { "" = "head, hidden" }       # or q = ..., k = ...
    split = "head"

    [[row]]                               # replaces a row of the same name
    name = "model.layers.{layer}.self_attn.query"
    param = "model.layers.{layer}.self_attn.qkv_proj"
    parts = ["q"]

    [[skip]]
    name = "model.layers.{layer}.self_attn.mask"
    why = "causal mask"

    [[remove]]                            # a row that does not hold here
    name = "model.layers.{layer}.self_attn.q_proj"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mappings.params import Param, fused
from mappings.rows import Architecture, Entry, Row, Skip

KEYS = {"architecture", "like", "axes", "factors", "flags", "layers", "prefixes", "param", "row", "skip", "remove"}
ROW_KEYS = {"name", "param", "parts", "layout", "style", "op", "rank"}
PARAM_KEYS = {"name", "parts", "layout", "bias", "when", "style", "quantised", "split", "share", "share_one", "pad"}


class MappingFileError(ValueError):
    """The file is not a mapping: the message names table, key, and what was expected."""


def parse_mapping(text: str, known: Sequence[Architecture]) -> Architecture:
    """The architecture that a mapping file describes. Raises MappingFileError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingFileError(f"not TOML: {error}") from error
    _only(data, KEYS, "the file")
    name = _text(data, "architecture", "the file")
    base = _base(name, data.get("like"), known)
    try:
        return _extend(base, name, data)
    except (TypeError, ValueError, AttributeError) as error:
        raise error if isinstance(error, MappingFileError) else MappingFileError(str(error)) from error


def _base(name: str, like: object, known: Sequence[Architecture]) -> Architecture:
    wanted = like or name
    found = next((arch for arch in known if arch.id == wanted), None)
    if found is None and like:
        raise MappingFileError(f"like = {like!r}: there are no rows of that name")
    return found or Architecture(name, {}, ())


def _extend(base: Architecture, name: str, data: Mapping[str, Any]) -> Architecture:
    params = {param.name: param for param in base.params}
    for table in data.get("param", []):
        params[_text(table, "name", "[[param]]")] = _param(table)
    rows: list[Entry] = [_row(table, params) for table in data.get("row", [])]
    rows += [Skip(_text(t, "name", "[[skip]]"), _text(t, "why", "[[skip]]")) for t in data.get("skip", [])]
    replaced = {entry.name for entry in rows if isinstance(entry, Row | Skip)}
    replaced |= _removed(data.get("remove", []), base)
    kept = [entry for entry in base.entries if getattr(entry, "name", None) not in replaced]
    return replace(
        base, name=name, entries=(*kept, *rows), axes={**base.axes, **data.get("axes", {})},
        factors={**base.factors, **{k: tuple(v) for k, v in data.get("factors", {}).items()}},
        flags={**base.flags, **data.get("flags", {})}, layers=data.get("layers", base.layers),
        prefixes=tuple(data.get("prefixes", base.prefixes)), requires={},
    )  # fmt: skip


def _removed(tables: Sequence[Mapping[str, Any]], base: Architecture) -> set[str]:
    names = {_text(table, "name", "[[remove]]") for table in tables}
    known = {entry.name for entry in base.entries if isinstance(entry, Row | Skip)}
    if names - known:
        raise MappingFileError(f"[[remove]] {min(names - known)}: there is no such row")
    return names


def _param(table: Mapping[str, Any]) -> Param:
    _only(table, PARAM_KEYS, "[[param]]")
    options = {k: v for k, v in table.items() if k not in ("name", "parts")}
    parts = table.get("parts")
    if not isinstance(parts, dict) or not parts:
        raise MappingFileError(f"[[param]] {table['name']}: parts is {parts!r}, expected a table of layouts")
    return fused(table["name"], parts, **options)


def _row(table: Mapping[str, Any], params: Mapping[str, Param]) -> Row:
    _only(table, ROW_KEYS, "[[row]]")
    name, target = _text(table, "name", "[[row]]"), _text(table, "param", "[[row]]")
    if target not in params:
        raise MappingFileError(f"[[row]] {name}: there is no parameter {target}")
    param = params[target]
    wanted = table.get("parts")
    known = [part.name for part in param.parts]
    if wanted is not None and not (isinstance(wanted, list) and wanted and set(wanted) <= set(known)):
        raise MappingFileError(f"[[row]] {name}: parts is {wanted!r}, {target} has {known}")
    slot = param[tuple(wanted)] if wanted else param.whole
    return Row(
        name, slot, table.get("layout"), style=table.get("style", "module"), op=table.get("op"),
        rank=table.get("rank"),
    )  # fmt: skip


def _only(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise MappingFileError(f"{where} has {unknown[0]!r}, expected one of {', '.join(sorted(keys))}")


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise MappingFileError(f"{where}: {key} is {value!r}, expected a text")
    return value
