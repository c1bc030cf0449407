"""Where everything that was asked of a checkpoint is written down, until it becomes a list of checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mappings.findings import Finding, Unchecked
from tracer.checks import Check

AREAS = {
    "files": ("file", "header"), "pickles": ("pickle",), "index": ("index",), "shards": ("shards",),
    "trainer": ("trainer",), "adapter": ("adapter",), "config": ("arch", "config", "vocab", "tie"),
    "names": ("name", "tensor", "layers", "experts", "fused", "param", "mapping"), "layers": (),
    "shapes": ("shape", "layout", "tp"),
    "quantisation": ("quant",), "sizes": (), "zeros": ("value",), "values": (),
}  # fmt: skip
"""The checks in the order in which they are told, causes before what follows from them; and the codes of each."""
_AREA_OF = {family: area for area, families in AREAS.items() for family in families}

_FIXES = {"file.lfs-pointer": "run git lfs pull, or download the files"}
"""Where what found it has no fix, since it may be as it should."""


@dataclass
class _Entry:
    told: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    limit: str = ""
    absent: str = ""


class Chart:
    """What was found, what was looked at and what was not, by area."""

    def __init__(self) -> None:
        self._entries = {area: _Entry() for area in AREAS}
        self._seen: set[tuple[str, str, str]] = set()
        self._more: list[Check] = []

    def found(self, findings: Iterable[Finding], area: str | None = None) -> None:
        """Each once, in the area of its code unless another is named."""
        for finding in findings:
            key = (finding.code, finding.subject, finding.message)
            if key not in self._seen:
                self._seen.add(key)
                entry = self._entries[area or _AREA_OF.get(finding.code.partition(".")[0], "files")]
                entry.findings.append(replace(finding, fix=finding.fix or _FIXES.get(finding.code)))

    def told(self, area: str, what: str) -> None:
        """What was looked at."""
        if what:
            self._entries[area].told.append(what)

    def unchecked(self, area: str, reason: str) -> None:
        """What could not be looked at, and why."""
        if reason not in self._entries[area].unchecked:
            self._entries[area].unchecked.append(reason)

    def limited(self, area: str, what: str) -> None:
        """What was not looked at and a reader of one line should know."""
        self._entries[area].limit = what

    def absent(self, area: str, what: str) -> None:
        """What is not here at all."""
        self._entries[area].absent = what

    def left(self, items: Iterable[Unchecked], area: str) -> None:
        """What another part of the program could not look at, under its own name."""
        for item in items:
            self.unchecked(area, f"{item.name}: {item.reason}")

    def add(self, checks: Iterable[Check]) -> None:
        """Checks that were made elsewhere."""
        self._more += checks

    def settled(self, code: str, told: str) -> None:
        """Warnings that a closer look has decided become a remark with what it saw, or go where it says more itself."""
        for entry in self._entries.values():
            mine = [each for each in entry.findings if each.code == code and each.severity != "error"]
            kept = [each for each in entry.findings if each not in mine]
            entry.findings = kept + [replace(each, severity="info", message=told, fix=None) for each in mine if told]

    def codes(self) -> set[str]:
        """Of everything that was found."""
        return {finding.code for entry in self._entries.values() for finding in entry.findings}

    def fields(self) -> set[str]:
        """Of config.json, those that something worse than a remark was said of."""
        findings = (each for entry in self._entries.values() for each in entry.findings if each.severity != "info")
        return {str(each.evidence["field"]) for each in findings if "field" in each.evidence}

    def checks(self) -> list[Check]:
        """Those of which anything can be said, in the order of `AREAS`."""
        return [
            *(
                Check(area, "; ".join(entry.told), tuple(entry.findings), "; ".join(entry.unchecked),
                      entry.limit, entry.absent)
                for area, entry in self._entries.items()
                if entry.told or entry.findings or entry.unchecked
            ),
            *self._more,
        ]  # fmt: skip
