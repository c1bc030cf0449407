"""What a hypothesis may look at: what was said, what is there, and what has been mended so far in thought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.checks import Check
from tracer.complaints.complaint import Complaint, Kind, Told
from tracer.diagnose.state import State


@dataclass(frozen=True)
class Case:
    """One checkpoint that somebody complains of, or nobody."""

    state: State
    """As it is now: with every cause mended that was found before."""
    original: State
    """As it is on disk."""
    told: Told = Told()  # noqa: RUF009
    checks: Sequence[Check] = ()
    """The doctor's, of the checkpoint as it is on disk."""
    expected_off: frozenset[str] = frozenset()
    """Tests of values that were told not to apply (`--expect rope-order=off`)."""

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        return self.told.complaints

    def complained(self, *kinds: Kind) -> list[Complaint]:
        """The complaints of these kinds, the most causal first."""
        return [complaint for complaint in self.complaints if complaint.kind in kinds]
