"""A cause that is thought of: what would mend it, and how to word it once it was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from mappings.findings import Finding
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Change

Wording: TypeAlias = Callable[[Trial], Finding | None]
"""What a trial has shown, in words; None where it is not what was thought."""
Assumption: TypeAlias = Callable[[State], State]


@dataclass(frozen=True)
class Hypothesis:
    """What to try. The framework tries it, and believes only what is gone then.

    With `evident` it stands whatever trying it shows, since it was read off the files or off the words that were
    pasted; without, it counts only where less is wrong with it than before.
    """

    finding: Finding | Wording
    changes: tuple[Change, ...] = ()
    """Edits that mend it, all together; they are also what `--repair` carries out."""
    assume: Assumption | None = None
    """What no edit can do, for the trial alone: a file that is back, another number of ranks."""
    evident: bool = False
    unplanned: bool = False
    """Whether no rows are known of what the checkpoint is with the changes, so that there is no plan any more."""
    answers: tuple[Complaint, ...] = ()
    """Complaints that it surely is the answer to; others are matched by kinds, codes and names."""

    def told(self, trial: Trial) -> Finding | None:
        return self.finding if isinstance(self.finding, Finding) else self.finding(trial)


Proposer: TypeAlias = Callable[[Case], Iterator[Hypothesis]]
"""Called anew after each cause that was found, with that cause mended in `case.state`. Says nothing where nothing
points to it: a sound checkpoint costs no trial."""
