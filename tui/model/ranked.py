"""A subject as it is with the number of ranks that is looked at, whatever number it was examined or loaded with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tui.model.arrival import Arrival, found_otherwise
from tui.model.ordered import Marks
from tui.model.subject import Subject

if TYPE_CHECKING:
    from tracer.slices.observed import Observed
    from tracer.slices.placed import Placed
    from tracer.slices.placement import Placement
    from tui.model.numbers.state import Values
    from tui.model.overview.inference import Inference

MOST_RANKS = 1024


class Ranked:
    """One subject, whose number of ranks can be changed."""

    def __init__(self, tp: int) -> None:
        self.tp = tp
        self.last: Arrival | None = None
        """What arrived last, as it was examined."""
        self.now: Arrival | None = None
        """The same with the number of ranks that is looked at."""
        self.inference: Inference | None = None
        self._rank = 0
        self._placed: Placed | None = None

    @property
    def subject(self) -> Subject | None:
        return self.now.subject if self.now else None

    @property
    def marks(self) -> Marks:
        """The worst finding about each tensor that has one."""
        return self.now.marks if self.now else {}

    # --- what becomes known ---

    def take(self, what: Arrival) -> None:
        """More is known of it."""
        first, subject = self.last is None, what.subject
        if subject.prepared is not None and not self._rank and (self.last is None or not self.last.subject.prepared):
            self._rank = min(subject.prepared.run.ranks, default=0)  # of some ranks the first of them
        self.last = what
        if first:
            self.tp = min(self.tp, MOST_RANKS) if subject.store is None else subject.tp
        self._placed = what.placed
        self.__dict__.pop("_observed", None)
        self.now = self._at_ranks(what)

    def judge(self, read: Values) -> bool:
        """Whether reading values has shown something; it stands among the findings then."""
        if self.last is None or self.last.subject.stage != "examined" or not (read.look or read.finding):
            return False
        from tui.model.numbers.judged import judged, with_findings

        found = self.last.subject
        if read.look is not None:
            found = judged(found, read.look.statistics)
        if read.finding is not None:
            found = with_findings(found, [read.finding])
        if found is self.last.subject:
            return False
        self.last = found_otherwise(self.last, found)
        self.now = self._at_ranks(self.last)
        return True

    def studied(self, subject: Subject, found: Inference) -> bool:
        """Whether what shapes say is of the tensors that are looked at."""
        if self.last is None or self.last.subject.tensors is not subject.tensors:
            return False
        self.inference = found
        return True

    def _at_ranks(self, what: Arrival) -> Arrival:
        """Findings and checks are those of the number of ranks that is looked at."""
        if what.subject.stage != "examined" or what.subject.tp == self.tp:
            return what
        from tui.model.other_ranks import with_ranks

        return found_otherwise(what, with_ranks(what.subject, self.tp))

    # --- ranks ---

    @cached_property
    def _observed(self) -> Observed | None:
        """Asked for when a page is drawn, which tells what stands against it."""
        subject = self.subject
        if subject is None or subject.store is None or not subject.store.run.observed:
            return None
        from tracer.slices.observed import Observed

        return Observed(subject.store, subject.prepared.plan if subject.prepared else None)

    @property
    def placement(self) -> Placement | None:
        """Where tensors went, where that was observed at this tp; else where they would go. None without rows."""
        if self._observed is not None and self._observed.tp == self.tp:
            return self._observed
        if self._placed is not None and self._placed.tp != self.tp:
            self._placed = self._placed.at(self.tp)
        return self._placed

    @property
    def ranks(self) -> Sequence[int]:
        """Those that something is known of."""
        placement = self.placement
        return (placement.ranks if placement else None) or range(self.tp)

    @property
    def rank(self) -> int:
        """The one that is highlighted, or the nearest that there is."""
        return min(self.ranks, key=lambda rank: (abs(rank - self._rank), rank))

    @rank.setter
    def rank(self, rank: int) -> None:
        self._rank = rank

    def next_rank(self, by: int) -> None:
        """Another rank is highlighted."""
        ranks = self.ranks
        self._rank = ranks[(ranks.index(self.rank) + by) % len(ranks)]

    def more_ranks(self, by: int) -> str | None:
        """The next legal number of ranks; what stands against it, if there is none."""
        placed = self._placed
        if placed is None:
            unplanned = self.subject is None or self.subject.stage == "headers"
            return "which rows apply is not known yet" if unplanned else "no rows apply, so nothing is cut"
        further = [size for size in placed.legal if (size > self.tp if by > 0 else size < self.tp)]
        if not further:
            return _no_more(placed, self.tp) if by > 0 else f"tp {self.tp} is the smallest"
        self.tp = min(further) if by > 0 else max(further)
        self._rank = min(self._rank, self.tp - 1)
        if self.last is not None:
            self.now = self._at_ranks(self.last)
        return None


def _no_more(placed: Placed, tp: int) -> str:
    """Why there is no legal number of ranks above this one."""
    refusal = placed.refusal(tp * 2)
    return f"tp {tp * 2}: {refusal}" if refusal else f"tp {tp}: legal sizes are listed up to here"
