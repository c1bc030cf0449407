"""Complaints as they come: the same one by several ranks is one, one-name-a-line is one, causes come first."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from tracer.complaints.complaint import Complaint
from tracer.complaints.pattern import NAMES_LIMIT, TEXT_LIMIT

COMPLAINTS_LIMIT = 2_000
"""Different complaints that are kept; the first of them, which is where causes are."""
_NAMES_IN_ALL = 10 * NAMES_LIMIT
"""Names that all complaints together keep."""


@dataclass(slots=True)
class _Heard:
    complaint: Complaint
    severity: int
    times: int = 0
    names: dict[str, int] = field(default_factory=dict)
    """How often each name was said, where the sentence is said once for each."""


class Gathering:
    """All that was complained of, each thing once."""

    def __init__(self) -> None:
        self._heard: dict[Hashable, _Heard] = {}
        self._names = 0
        self._left_out = 0

    def add(self, complaint: Complaint, *, severity: int, gathered: Hashable = None, echo: bool = False) -> None:
        """One more complaint.

        :param severity: 0 for an error that is understood, 1 for one that is not, 2 for a warning
        :param gathered: what it has in common with those that say the same of another name
        :param echo: whether it repeats another process, and so counts only where that was not heard
        """
        complaint = replace(complaint, text=complaint.text[:TEXT_LIMIT])
        key = _key(complaint) if gathered is None else gathered
        heard = self._heard.get(key)
        if heard is None:
            if len(self._heard) >= COMPLAINTS_LIMIT or self._names > _NAMES_IN_ALL:
                self._left_out += 1
                return
            self._names += len(complaint.names) + len(complaint.fields) + len(complaint.files)
            heard = self._heard[key] = _Heard(complaint, severity)
        elif echo:
            return
        heard.severity = min(heard.severity, severity)
        heard.times += complaint.times
        if gathered is not None:
            for name in complaint.names:
                if name in heard.names or len(heard.names) < NAMES_LIMIT:
                    heard.names[name] = heard.names.get(name, 0) + complaint.times

    @property
    def passed_over(self) -> tuple[str, ...]:
        """What was not kept, in words."""
        many = f"{self._left_out:,} complaints after the first {len(self._heard):,} different ones"
        return (many,) if self._left_out else ()

    def complaints(self) -> tuple[Complaint, ...]:
        """The most causal first."""
        ordered = sorted(self._heard.values(), key=lambda heard: heard.severity)
        return tuple(_final(heard) for heard in ordered)


def _key(complaint: Complaint) -> Hashable:
    said = (complaint.names, complaint.shapes, complaint.numbers, complaint.files, complaint.fields)
    return complaint.kind, said if any(said) else complaint.text


def _final(heard: _Heard) -> Complaint:
    if not heard.names:
        return replace(heard.complaint, times=heard.times)
    return replace(heard.complaint, names=tuple(heard.names), times=max(heard.names.values()))
