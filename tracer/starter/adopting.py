"""Pairs of tensors and openings, written down: rows under other names, and the rows whose place they take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mappings.axes import spell
from mappings.bind import bias_dims
from mappings.params import Part
from mappings.rows import DiskStyle, Row
from tracer.starter.draft import Draft, NewParam, NewRow, cuts_of, of_row
from tracer.starter.kinds import Kind
from tracer.starter.pairing import Pair


def adopt(draft: Draft, pairs: Iterable[Pair]) -> list[Kind]:
    """Write rows for them; the tensors of rows that could not be written, as only some of their leaves are there."""
    by_row: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_row.setdefault(id(pair.opening.row.row), []).append(pair)
    refused: list[Kind] = []
    for own in by_row.values():
        row = own[0].opening.row.row
        if not _adopt(draft, row, own):
            refused += [pair.kind for pair in own]
    return refused


def _adopt(draft: Draft, row: Row, pairs: Sequence[Pair]) -> bool:
    """One row and those of its leaves that were found."""
    why = f"{row.name} under another name"
    if (new := renamed_row(row, pairs, why)) is not None:
        draft.rows.append(new)
    elif len(row.slot.param.parts) == 1 and row.slot.param.style == "module":
        leaves = [_plain(row, pair, why) for pair in pairs]
        draft.params += leaves
        draft.renamed |= {param.name for param in leaves}
        draft.rows += [NewRow(pair.kind.name, row.slot.param.leaf_name(_leaf(pair))) for pair in pairs]
    else:
        return False
    if name_differs(draft, row.name):
        draft.removes.append((row.name, ""))
    return True


def renamed_row(row: Row, pairs: Sequence[Pair], why: str) -> NewRow | None:
    """A row of the base under the name by which exactly these tensors are its leaves; None where there is none."""
    spelled = _spelling(row, pairs)
    return None if spelled is None else _turned(of_row(row, *spelled, why), row, pairs)


def name_differs(draft: Draft, name: str) -> bool:
    """Whether a row of the base has to be removed, as none of the new ones has its name."""
    known = {name for name, _ in draft.removes}
    return name not in known and all(row.name != name for row in draft.rows)


def _turned(new: NewRow, row: Row, pairs: Sequence[Pair]) -> NewRow:
    """The same with a layout of its own where the matrix lies the other way round."""
    if not any(pair.turned for pair in pairs):
        return new
    layout = spell(tuple(reversed(row.layout)))
    return NewRow(new.name, new.param, new.parts, layout, new.style, new.op, new.rank, f"{new.why}, transposed")


def _spelling(row: Row, pairs: Sequence[Pair]) -> tuple[str, DiskStyle] | None:
    """Name and style of a row by which exactly these tensors are its leaves."""
    names = {_leaf(pair): pair.kind.name for pair in pairs}
    whole = names.get("weight")
    if whole is None:
        return None
    if row.slot.param.style == "plain":
        return whole, "module"
    candidates: list[tuple[str, DiskStyle]] = [(whole, "bare"), (whole, "plain")]
    if whole.endswith(".weight"):
        candidates.insert(0, (whole.removesuffix(".weight"), "module"))
    for name, style in candidates:
        trial = Row(name, row.slot, style=style, source="")
        if all(trial.leaf_name(leaf) == own for leaf, own in names.items()):
            return name, style
    return None


def _plain(row: Row, pair: Pair, why: str) -> NewParam:
    """A leaf as a parameter of its own, under the engine's name for it."""
    (part,) = row.slot.param.parts
    leaf = _leaf(pair)
    dims = bias_dims(part.dims) if leaf == "bias" else part.dims
    kept = part.cut if part.cut and any(part.cut.axis in dim for dim in dims) else None
    cuts = cuts_of([Part(part.name, dims, kept)])
    return NewParam(row.slot.param.leaf_name(leaf), {"": spell(dims)}, style="plain", cuts=cuts, why=why)


def _leaf(pair: Pair) -> str:
    return pair.opening.row.leaf.leaf
