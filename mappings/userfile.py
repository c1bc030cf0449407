"""Rows that a user adds without touching the package: a TOML file, read as data and never executed.

    architecture = "MyForCausalLM"        # as in config.json; extends the rows of that name if there are any,
    like = "LlamaForCausalLM"             # or starts from those of another

    [axes]                                # sizes by config fields, as in mappings.sizes
    rank = "lora_rank"

    [domains]                             # what a hole runs over that does not run over all of its axis
    "layer:moe" = "1..26, 28"

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
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

from mappings import userchecks
from mappings.names import ANYTHING, Domains, spans
from mappings.params import Param, fused
from mappings.rows import Architecture, Entry, Row, Skip, Tie
from mappings.sizes import MAX_POSITIONS, Config
from mappings.userchecks import MappingFileError, check_fields, check_layout, check_name, check_whole

__all__ = ["MappingFileError", "parse_mapping"]


def parse_mapping(text: str, known: Sequence[Architecture]) -> Architecture:
    """The architecture that a mapping file describes. Raises MappingFileError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingFileError(f"not TOML: {error}") from error
    except RecursionError as error:
        raise MappingFileError("TOML nested too deeply") from error
    except ValueError as error:
        # Python refuses to read it, for the time that it would take.
        raise MappingFileError("it holds a number of more digits than any size has") from error
    check_fields(data, userchecks.FILE, "the file", ["architecture"])
    base = _base(data["architecture"], data.get("like"), known)
    extended = _extend(base, data["architecture"], data)
    check_whole(base, extended, data)
    return extended


def _base(name: str, like: str | None, known: Sequence[Architecture]) -> Architecture:
    wanted = like or name
    found = next((arch for arch in known if arch.id == wanted), None)
    if found is None and like:
        raise MappingFileError(f"the file: like is {like!r}, and there are no rows of that name")
    return found or Architecture(name, {}, ())


def _extend(base: Architecture, name: str, data: Mapping[str, Any]) -> Architecture:
    params = {param.name: param for param in base.params}
    for param in map(_param, data.get("param", [])):
        params[param.name] = param
    rows: list[Entry] = [_row(table, params) for table in data.get("row", [])]
    rows += [_skip(table) for table in data.get("skip", [])]
    replaced = {entry.name for entry in rows if isinstance(entry, Row | Skip)}
    fed = {row.slot.param.name for row in rows if isinstance(row, Row)}
    replaced |= _removed(data.get("remove", []), base, fed)
    own_domains = {hole: spans(text, MAX_POSITIONS) for hole, text in data.get("domains", {}).items()}
    kept = [entry for entry in base.entries if getattr(entry, "name", None) not in replaced]
    return replace(
        base, name=name, entries=(*kept, *rows), axes={**base.axes, **data.get("axes", {})},
        factors={**base.factors, **{k: tuple(v) for k, v in data.get("factors", {}).items()}},
        flags={**base.flags, **data.get("flags", {})}, layers=data.get("layers", base.layers),
        prefixes=tuple(data.get("prefixes", base.prefixes)), requires={},
        domains=partial(_domains, base, own_domains),
    )  # fmt: skip


def _domains(base: Architecture, own: Domains, config: Config) -> Domains:
    return {**(base.domains(config) if base.domains else {}), **own}


def _removed(tables: Sequence[Mapping[str, Any]], base: Architecture, fed: Set[str]) -> set[str]:
    """The names of rows that do not hold; `fed` are the parameters to which the file's own rows lead."""
    for table in tables:
        check_fields(table, userchecks.REMOVE, "[[remove]]", ["name"])
    names = {table["name"] for table in tables}
    known = {entry.name for entry in base.entries if isinstance(entry, Row | Skip)}
    if names - known:
        raise MappingFileError(f"[[remove]] {min(names - known)}: name is that of no row")
    owners = {entry.to.name for entry in base.entries if isinstance(entry, Tie)} - fed
    for row in base.rows:
        if row.name in names and row.slot.param.name in owners:
            raise MappingFileError(f"[[remove]] {row.name}: another parameter may be tied to {row.slot.param.name}")
    return names


def _param(table: Mapping[str, Any]) -> Param:
    check_fields(table, userchecks.PARAM, "[[param]]", ["name", "parts"])
    where = f"[[param]] {table['name']}"
    check_name(table["name"], where)
    for part, layout in table["parts"].items():
        check_layout(layout, f"{where}: parts.{part}")
    check_layout(table.get("layout"), f"{where}: layout")
    return fused(**table)


def _row(table: Mapping[str, Any], params: Mapping[str, Param]) -> Row:
    check_fields(table, userchecks.ROW, "[[row]]", ["name", "param"])
    name, target, wanted = table["name"], table["param"], table.get("parts")
    where = f"[[row]] {name}"
    check_name(name, where)
    check_layout(table.get("layout"), f"{where}: layout")
    if target not in params:
        raise MappingFileError(f"{where}: param is {target!r}, and there is no such parameter")
    param = params[target]
    known = [part.name for part in param.parts]
    if wanted is not None and not (wanted and set(wanted) <= set(known)):
        raise MappingFileError(f"{where}: parts is {wanted!r}, {target} has {known}")
    slot = param[tuple(wanted)] if wanted else param.whole
    return Row(
        name, slot, table.get("layout"), style=table.get("style", "module"), op=table.get("op"),
        rank=table.get("rank"), source="--mapping",
    )  # fmt: skip


def _skip(table: Mapping[str, Any]) -> Skip:
    check_fields(table, userchecks.SKIP, "[[skip]]", ["name", "why"])
    check_name(table["name"].removesuffix(f".{ANYTHING}"), f"[[skip]] {table['name']}")
    return Skip(table["name"], table["why"])
