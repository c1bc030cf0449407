"""A check and how it ended: ok, with findings, or not run. The last is never counted as ok."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mappings.findings import Finding, in_order
from tracer.events import to_json

State = Literal["ok", "finding", "not-checked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question that was asked of a checkpoint."""

    name: str
    """Short, in the words of the codes: `headers`, `index`, `shards`, `pickles`, `values` ..."""
    told: str = ""
    """What was looked at, with counts: `4 headers, 291 tensors: every byte accounted for`."""
    findings: tuple[Finding, ...] = ()
    unchecked: str = ""
    """Why it could not run, or not to its end; it may have findings all the same."""
    limit: str = ""
    """What a verdict may not go without saying: `no rows for Gemma2ForCausalLM: names and shapes were not ...`."""
    absent: str = ""
    """What the verdict begins with: that there is nothing of which it could be one."""

    @property
    def state(self) -> State:
        """A finding of whatever severity outranks what was left undone: it stands either way."""
        if self.findings:
            return "finding"
        return "not-checked" if self.unchecked else "ok"


def findings(checks: Iterable[Check]) -> list[Finding]:
    """Of all checks, errors first; among equals as the checks come, causes before what follows from them."""
    return in_order(finding for check in checks for finding in check.findings)


def failed(checks: Iterable[Check]) -> bool:
    """Whether the exit status is 1."""
    return any(finding.severity == "error" for finding in findings(checks))


def records(checks: Iterable[Check]) -> Iterator[str]:
    """JSON Lines: the findings, the most causal first, then each check with its state."""
    checks = list(checks)
    yield from map(to_json, findings(checks))
    for check in checks:
        state: State = "not-checked" if check.unchecked else check.state
        record = {"kind": "check", "name": check.name, "state": state, "reason": check.unchecked or None}
        yield json.dumps(record | {"told": check.told})
