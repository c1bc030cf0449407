"""When values are read, and what comes of it: headers first, bytes only where these leave the question open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.findings import Finding
from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checks import Check
from tracer.complaints.complaint import Kind, Told
from tracer.diagnose.cause import Cause
from tracer.diagnose.state import State
from tracer.diagnose.stubs import never_written
from tracer.diagnose.weight import statement
from tracer.doctor.adapter import adapter_of
from tracer.prepare.config import FLOATS

if TYPE_CHECKING:
    from tracer.meaning import Meant

_OF_VALUES: tuple[Kind, ...] = ("garbage", "not-finite")
"""Complaints of a model that loads."""
_SETTLES: Mapping[str, tuple[str, ...]] = {"tied-head": ("tie.conflict",)}
"""Test of values -> codes of warnings that names alone left open, and that it decides."""
_BY_WITNESS = frozenset({"rope-theta"})
"""Tests that ask a tensor which most checkpoints do not have; without it there is nothing that could be wrong."""


@dataclass(frozen=True)
class Reading:
    """What was asked for."""

    wanted: bool | None = None
    """None: as the headers and the words suggest."""
    expect: Mapping[str, str] = field(default_factory=dict)
    """Test -> `off`."""
    against: Path | None = None
    """A checkpoint of the same family that is known to be good."""


@dataclass
class Read:
    """What came of it."""

    causes: list[Cause] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    """Codes of warnings that are none, and why."""
    superseded: frozenset[str] = frozenset()
    """Checks of the doctor that looked at samples of what was read whole here."""


def read(state: State, told: Told, causes: Sequence[Cause], checks: Sequence[Check], asked: Reading) -> Read:
    """Ask the values, or say why not; `checks` are the doctor's.

    Raises UsageError and InputError for what was asked.
    """
    checkpoint = state.checkpoint if state.tensors else adapter_of(state.checkpoint.files) or state.checkpoint
    absent = next((check.absent for check in checks if check.absent), "") or never_written(checkpoint, only=True)
    reason = _unasked(checkpoint, told, causes, absent, asked)
    copies = list(_copies(state))
    if reason:
        limit = "" if absent else "no values were read" if checkpoint.tensors else "no tensor is here"
        return Read(checks=[Check("values", unchecked=reason, limit=limit, absent=absent), *copies])
    from tracer.diagnose.scanned import examine_numbers, is_small
    from tracer.meaning.begun import remarked

    found = _meant(state, told, asked)
    found.superseded = frozenset({"zeros"}) if is_small(checkpoint) else frozenset()
    for check in examine_numbers(checkpoint, stubs=not asked.wanted):
        known = _Known([*causes, *found.causes])
        own = [each for each in check.findings if each not in known]
        own = remarked(own, checkpoint, checkpoint.config or {})
        found.causes += [Cause(each) for each in own]
        found.checks.append(replace(check, findings=tuple(own)))
    found.checks += copies
    return found


def _meant(state: State, told: Told, asked: Reading) -> Read:
    """What the values mean in their places; of an adapter, which has no places of its own, nothing is asked."""
    from tracer.meaning import examine_meaning

    if not state.tensors:
        reason = "an adapter, looked at without its base"
        return Read(checks=[Check("values.meaning", unchecked=reason, limit=reason)])
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
    limit = _undecided(meant)
    named = [replace(each.check, name=f"values.{each.check.name}", limit=each.check.limit or limit) for each in meant]
    return Read([cause for each in meant for cause in _causes(each)], [*named, *silenced], settled)


def _undecided(meant: Sequence[Meant]) -> str:
    """How many tests of meaning came to nothing, and mostly why."""
    left = [
        each.check for each in meant
        if each.check.state == "not-checked" and not each.check.told and not each.check.limit
    ]  # fmt: skip
    reasons = [check.unchecked for check in left if check.name not in _BY_WITNESS]
    if not reasons:
        return ""
    most = Counter(reason.partition(":")[0] for reason in reasons).most_common(1)[0][0]
    return f"{len(reasons)} of {len(meant)} tests of what values mean came to nothing: {most}"


def _copies(state: State) -> Iterator[Check]:
    """A second copy of the model may hold other values, and other programs read that one."""
    for finding in state.findings:
        if finding.code == "shards.second-copy":
            told = "the other copy was not compared with the one that is read"
            yield Check("copies", unchecked=told, limit=told)


class _Known:
    """What was said before: by its subject, or of layers, which tests of meaning see alike though not equal."""

    def __init__(self, causes: Sequence[Cause]) -> None:
        self._said = {statement(each) for cause in causes for each in (cause.finding, *cause.explains)}
        self._copied = any(code == "value.duplicate" for code, _ in self._said)

    def __contains__(self, finding: Finding) -> bool:
        return (self._copied and finding.code == "value.duplicate") or statement(finding) in self._said


def _unasked(
    checkpoint: Checkpoint, told: Told, causes: Sequence[Cause], absent: str, asked: Reading
) -> str:  # fmt: skip
    """Why values are not read; empty where they are."""
    if asked.wanted is False:
        return "--no-values"
    if checkpoint.state != "complete" or not checkpoint.tensors:
        return "no tensor is here"
    if asked.wanted:
        return ""
    if absent:
        return absent
    if asked.against is not None:
        return ""
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
