"""How one proof ended."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.findings import Finding, Unchecked


@dataclass(frozen=True, slots=True)
class Proof:
    """Findings (none: it holds), or the reason why it did not run."""

    name: str
    findings: list[Finding]
    unchecked: Unchecked | None = None
    checked: str = ""
    """What was looked at, with counts."""

    @property
    def holds(self) -> bool:
        """Whether it ran and found no error."""
        return self.unchecked is None and not any(f.severity == "error" for f in self.findings)
