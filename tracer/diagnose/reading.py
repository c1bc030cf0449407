"""When values are read, and what comes of it: headers first, bytes only where these leave the question open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.findings import Finding
from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.folder import open_checkpoint
from tracer.checks import Check
from tracer.complaints.complaint import Kind, Told
from tracer.diagnose.cause import Cause
from tracer.diagnose.state import State
from tracer.prepare.config import FLOATS

if TYPE_CHECKING:
    from tracer.meaning import Meant

_OF_VALUES: tuple[Kind, ...] = ("garbage", "not-finite")
"""Complaints of a model that loads."""
_SETTLES: Mapping[str, tuple[str, ...]] = {"tied-head": ("tie.conflict",)}
"""Test of values -> codes of warnings that names alone left open, and that it decides."""


@dataclass(frozen=True)
class Reading:
    """What was asked for."""

    wanted: bool | None = None
    """None: as the headers and the words suggest."""
    expect: Mapping[str, str] = field(default_factory=dict)
    """Test -> `off` (or `on`)."""
    against: Path | None = None
    """A checkpoint of the same family that is known to be good."""


@dataclass
class Read:
    """What came of it."""

    causes: list[Cause] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    """Codes of warnings that are none, and why."""


def read(state: State, told: Told, causes: Sequence[Cause], checks: Sequence[Check], asked: Reading) -> Read:
    """Ask the values, or say why not; `checks` are the doctor's.

    Raises UsageError and InputError for what was asked.
    """
    reason = _unasked(state, told, causes, checks, asked)
    if reason:
        return Read(checks=[Check("values", unchecked=reason)])
    from tracer.meaning import examine_meaning

    against = open_checkpoint(asked.against) if asked.against else None
    config = state.prepared.configured.config if state.prepared else state.checkpoint.config
    meant = examine_meaning(
        state.checkpoint, config, expect=asked.expect, against=against, dtype=_served(told)
    )  # fmt: skip
    off = [name for name, wanted in asked.expect.items() if wanted == "off"]
    silenced = [Check(f"values.{name}", unchecked=f"--expect {name}=off") for name in off]
    settled = [
        (code, each.check.told) for each in meant if not each.check.findings and not each.check.unchecked
        for code in _SETTLES.get(each.check.name, ())
    ]  # fmt: skip
    found = [cause for each in meant for cause in _causes(each)]
    named = [replace(each.check, name=f"values.{each.check.name}") for each in meant]
    return Read(found, [*named, *silenced], settled)


def _unasked(
    state: State, told: Told, causes: Sequence[Cause], checks: Sequence[Check], asked: Reading
) -> str:  # fmt: skip
    """Why values are not read; empty where they are."""
    if asked.wanted is not None:
        return "" if asked.wanted else "--no-values"
    if state.checkpoint.state != "complete" or not state.tensors:
        return "no tensor is here"
    if absent := next((check.absent for check in checks if check.absent), ""):
        return absent
    if any(complaint.kind in _OF_VALUES for complaint in told.complaints):
        return ""
    if any(cause.finding.severity == "error" for cause in causes):
        return "what is wrong shows in the headers already; --values reads a sample all the same"
    if told.complaints:
        return "what was said is of a load that failed, which no value does; --values reads a sample all the same"
    return ""


def _served(told: Told) -> str | None:
    """The type that the log says it is served as."""
    said = from_config(told.settings.get("dtype", ""))
    return said if said in FLOATS else None


def _causes(meant: Meant) -> list[Cause]:
    return [Cause(finding, (), (), meant.changes if place == 0 else ())
            for place, finding in enumerate(meant.check.findings)]  # fmt: skip


def settle(causes: Sequence[Cause], found: Read) -> tuple[list[Cause], list[Finding]]:
    """Warnings that values decided: remarks where nothing is wrong, and folded under what the values show."""
    by_code = dict(found.settled)
    tie = next((cause for cause in found.causes if cause.finding.code == "value.tie-mismatch"), None)
    kept, remarks, folded = [], [], []
    for cause in causes:
        finding = cause.finding
        if finding.severity == "warning" and finding.code in by_code:
            remarks.append(replace(finding, severity="info", message=by_code[finding.code], fix=None))
        elif finding.severity == "warning" and finding.code == "tie.conflict" and tie is not None:
            folded.append(finding)
        else:
            kept.append(cause)
    of_values = [replace(cause, explains=(*cause.explains, *folded)) if cause is tie else cause
                 for cause in found.causes]  # fmt: skip
    return [*kept, *of_values], remarks
