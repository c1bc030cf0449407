"""The records of a trace (trace format, version 1) and their JSON form: one object a line, `kind` first.

Ranges are half-open, in elements, one a dimension: `[start, stop]`, or `[start, stop, step]` where strided.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeAlias

from mappings.findings import Finding
from mappings.views import Ranges, Shape
from tracer.validate import check_record

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Run:
    """What was loaded, how, and whether the moves were observed."""

    kind: ClassVar[str] = "run"
    model: str
    architecture: str
    tp: int
    load_format: str
    loader: str
    ranks: tuple[int, ...]
    observed: bool
    config: Mapping[str, Any] = field(default_factory=dict)
    """config.json, so that a saved trace can be planned and audited again."""
    mapping: str | None = None
    """The text of the user's own rows, if there were any."""
    dtype: str | None = None
    """The parameters' data type, where the user chose it."""
    dialect: str | None = None
    schema: int = SCHEMA
    tool: str = "trace-load"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the checkpoint and the verdict on it."""

    kind: ClassVar[str] = "tensor"
    name: str
    dtype: str
    shape: Shape
    file: str | None
    offset: int | None
    nbytes: int
    disposition: str
    row: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of one rank."""

    kind: ClassVar[str] = "param"
    rank: int
    name: str
    shape: Shape
    dtype: str
    fused: bool
    tied_to: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """One block that went from a tensor to a parameter."""

    kind: ClassVar[str] = "move"
    rank: int
    tensor: str
    row: str
    shard: str | int | None
    param: str
    src: Ranges
    dst: Ranges
    perm: tuple[int, ...] | None
    op: str | None


@dataclass(frozen=True, slots=True)
class Padding:
    """One region that no tensor fills, by rule."""

    kind: ClassVar[str] = "pad"
    rank: int
    param: str
    dst: Ranges
    value: float
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """How one check ended; `not-checked` is its own state, with the reason."""

    kind: ClassVar[str] = "check"
    name: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Totals; its absence means that the trace was cut short."""

    kind: ClassVar[str] = "end"
    tensors: int
    params: int
    moves: int
    findings: int
    seconds: float
    peak_rss_bytes: int


Event: TypeAlias = Run | Tensor | Parameter | Move | Padding | Check | End


def ranges_to_json(ranges: Ranges) -> list[list[int]]:
    """`((0, 4, 1), (0, 8, 2))` -> `[[0, 4], [0, 8, 2]]`."""
    return [[a, b] if step == 1 else [a, b, step] for a, b, step in ranges]


def ranges_from_json(data: list[list[int]]) -> Ranges:
    """The inverse of `ranges_to_json`."""
    return tuple((r[0], r[1], r[2] if len(r) > 2 else 1) for r in data)


def to_json(event: Event | Finding) -> str:
    """One line of a trace, without the newline."""
    if isinstance(event, Finding):
        return json.dumps(finite({"kind": "finding"} | finding_to_dict(event)), allow_nan=False)
    record = {"kind": event.kind} | asdict(event)
    if isinstance(event, Run):
        record = {"kind": "run", "schema": event.schema, "tool": event.tool} | record
    for key in ("src", "dst"):
        if key in record:
            record[key] = ranges_to_json(record[key])
    return json.dumps(finite(record), allow_nan=False)


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN; config.json files do. They are spelled as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """A finding with the keys in the order of the trace format."""
    return {
        "code": finding.code, "severity": finding.severity, "subject": finding.subject, "rank": finding.rank,
        "message": finding.message, "evidence": dict(finding.evidence), "fix": finding.fix,
    }  # fmt: skip


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_CLASSES: dict[str, type[Any]] = {c.kind: c for c in (Run, Tensor, Parameter, Move, Padding, Check, End)}
_CLASSES["finding"] = Finding


def from_json(line: str) -> Event | Finding | None:
    """The record of one line; None for a kind that is not known. Raises ValueError for anything else."""
    try:
        record = json.loads(line)
        kind = record.pop("kind")
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _no_record(error) from error
    return from_record(kind, record)


def from_record(kind: str, record: Any) -> Event | Finding | None:
    """The record of a kind with these fields; None for a kind that is not known. Raises ValueError."""
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, found {type(record).__name__}")
    try:
        if kind not in _CLASSES:
            return None
        check_record(kind, record)
        event: Event | Finding = _build(_CLASSES[kind], record)
        return event
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _no_record(error) from error


def _no_record(error: Exception) -> ValueError:
    return ValueError(f"not a trace record ({type(error).__name__}: {error})")


def _build(cls: type[Any], record: Mapping[str, Any]) -> Any:
    known = {k: v for k, v in record.items() if k in cls.__dataclass_fields__}
    for key in ("src", "dst"):
        if key in known:
            known[key] = ranges_from_json(known[key])
    for key in ("shape", "perm", "ranks"):
        if key in known:
            known[key] = _tuples(known[key])
    return cls(**known)
