"""How far a load is, as one small record: what whoever follows it reads meanwhile.

It stands in a file beside the trace that is being written, and is written over in place, so it begins with a checksum:
a reader who comes in the middle of that sees it, and looks again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar
from zlib import crc32

State = Literal["running", "done", "failed", "interrupted"]
STATES: tuple[State, ...] = ("running", "done", "failed", "interrupted")
T = TypeVar("T")


@dataclass(slots=True)
class Share:
    """One rank's part of a load."""

    rank: int
    planned_moves: int | None = None
    """Where nothing was planned, as for a trace of which only its end is known, no total is known."""
    planned_bytes: int | None = None
    """None too where no bytes are read."""
    moves: int = 0
    """That the rank has made, as far as it has told of them."""
    nbytes: int = 0
    """That these read, as they are stored."""
    tensor: str | None = None
    """The one that was read last, and the parameter that was written."""
    param: str | None = None

    @property
    def fraction(self) -> float | None:
        """Of its bytes, where these are known, else of its moves; None where no total is."""
        done, total = (self.nbytes, self.planned_bytes) if self.planned_bytes else (self.moves, self.planned_moves)
        return None if total is None else min(done / total, 1.0) if total else 1.0


@dataclass(slots=True)
class Standing:
    """All of it."""

    model: str = ""
    tp: int = 1
    phase: str = "starting"
    """What is being done, in a word or two."""
    state: State = "running"
    reason: str = ""
    """Why it did not come to its end."""
    kept: bool = False
    """Whether it has left a trace, once it has ended."""
    tensors: int = 0
    seconds: float | None = 0.0
    """From the beginning to when this was written; None where that is not known."""
    pid: int = 0
    locked: bool = False
    """Whether the file is locked for as long as its writer lives."""
    findings: dict[str, int] = field(default_factory=dict)
    """By severity, those that are known by now."""
    shares: list[Share] = field(default_factory=list)


def encode(standing: Standing) -> bytes:
    """One line: what is left of a longer one behind it does no harm."""
    text = json.dumps(asdict(standing), separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32(text), text)


def decode(data: bytes) -> Standing | None:
    """None for what is no record, or not all of one."""
    line, end, _ = data.partition(b"\n")
    if not end or line[:9] != b"%08x " % crc32(line[9:]):
        return None
    try:
        record = json.loads(line[9:])
        shares = [_built(Share, share) for share in record.pop("shares")]
        standing = _built(Standing, record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    standing.shares = shares
    return standing


_LARGEST = 1 << 63
_OPTIONAL_COUNT, _OPTIONAL_TEXT = (int, type(None)), (str, type(None))
_KINDS: Mapping[type, Mapping[str, Any]] = {
    Share: {
        "rank": int, "planned_moves": _OPTIONAL_COUNT, "planned_bytes": _OPTIONAL_COUNT, "moves": int, "nbytes": int,
        "tensor": _OPTIONAL_TEXT, "param": _OPTIONAL_TEXT,
    },
    Standing: {
        "model": str, "tp": int, "phase": str, "state": str, "reason": str, "kept": bool, "tensors": int,
        "seconds": (int, float, type(None)), "pid": int, "locked": bool, "findings": dict,
    },
}  # fmt: skip


def _built(cls: type[T], record: Mapping[str, Any]) -> T:
    """Raises ValueError for a value of another kind; keys that it does not know are a later version's."""
    kinds = _KINDS[cls]
    known = {key: value for key, value in record.items() if key in kinds}
    if not all(isinstance(value, kinds[key]) and _possible(value) for key, value in known.items()):
        raise ValueError("a field of another kind")
    if known.get("state", STATES[0]) not in STATES or not _counts(known.get("findings", {})):
        raise ValueError("no such state or count")
    return cls(**known)


def _counts(found: Mapping[str, Any]) -> bool:
    return all(isinstance(number, int) and _possible(number) for number in found.values())


def _possible(value: Any) -> bool:
    """Whether a number is one that a load could count: what is none, or has no end, cannot be shown either."""
    return not isinstance(value, int | float) or -_LARGEST < value < _LARGEST
