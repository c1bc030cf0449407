"""How a check of what was loaded, by computing with it, has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mappings.findings import Finding

VERIFY = "verify"
"""One forward pass on every rank."""
REFERENCE = "reference"
"""The same ids through another implementation."""
VALUES = "values"
"""What stands for both where neither was asked for."""
UNSEEN = "no number was looked at: tracer diagnose reads a sample of them, --verify computes with them"


@dataclass(frozen=True, slots=True)
class Verified:
    """One of the two checks. `not-checked` is a state of its own and never ok."""

    name: str
    """`VERIFY` or `REFERENCE`."""
    state: Literal["ok", "failed", "not-checked"]
    told: str
    """What was seen; for `not-checked` the reason."""
    findings: tuple[Finding, ...] = ()

    def line(self) -> str:
        """As it is printed."""
        if self.state == "not-checked":
            return f"{self.name}: not checked ({self.told})"
        return f"{self.name} {self.state}: {self.told}"


def unverified(wanted: bool, reference: str | None, reason: str) -> tuple[Verified, ...]:
    """The checks that were asked for and could not run, all for one reason."""
    names = [VERIFY] * wanted + [REFERENCE] * (reference is not None)
    return tuple(Verified(name, "not-checked", reason) for name in names)
