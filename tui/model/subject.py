"""What the browser shows: a checkpoint or a trace, as far as it was looked at by now.

It comes in three steps, so that something can be seen at once: `headers` (names, shapes, places in files), `plan`
(which row claims what) and `examined` (what is wrong, and what was not checked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tui.model.held import Held
from tui.model.kept import unknown
from tui.model.stored import Stored, StoredRuns
from tui.model.tree import run, together

if TYPE_CHECKING:
    from mappings.findings import Finding
    from tracer.checkpoint.folder import Checkpoint
    from tracer.checkpoint.tensor_info import TensorInfo
    from tracer.checks import Check
    from tracer.diagnose.cause import Cause
    from tracer.prepare import Prepared
    from tracer.store import Store
    from tui.model.findings.index import Index
    from tui.model.findings.named import Names

Stage = Literal["headers", "plan", "examined"]


@dataclass(frozen=True)
class Told:
    """A finding as it stands in the list: a cause, what follows from one, or a remark."""

    finding: Finding
    under: int | None = None
    """The number of the cause that explains it, in `Subject.findings`."""


@dataclass(repr=False)
class Subject:
    """One checkpoint or trace."""

    where: str
    """As it was asked for; empty for the embedded default."""
    title: str
    tensors: Sequence[TensorInfo]
    """In the order of the files."""
    stage: Stage = "headers"
    tp: int = 1
    checkpoint: Checkpoint | None = None
    prepared: Prepared | None = None
    """Its plan; None where no rows apply, or where nothing was planned yet."""
    refused: Finding | None = None
    """Why there is no plan."""
    store: Store | None = None
    """The trace, where one was opened: what happened, instead of what would."""
    causes: Sequence[Cause] = ()
    remarks: Sequence[Finding] = ()
    checks: Sequence[Check] = ()
    made_up: Sequence[str] = ()
    """What of it did not come from files, in words."""

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self.tensors)} tensors, {self.stage}>"

    @cached_property
    def positions(self) -> dict[str, int]:
        """The place of each name in `tensors`."""
        return {info.name: number for number, info in enumerate(self.tensors)}

    @cached_property
    def ordered(self) -> Sequence[TensorInfo]:
        """The tensors in the order of the tree, in which each group is a run."""
        return sorted(self.tensors, key=together)

    @cached_property
    def runs(self) -> StoredRuns:
        """What each group takes."""
        return StoredRuns(self.ordered)

    def stored_below(self, name: str) -> Stored:
        """What the tensors of a group take, and where."""
        return self.runs.between(*run(self.ordered, name))

    @cached_property
    def stored(self) -> Stored:
        """What all take, and where."""
        return self.runs.between(0, len(self.ordered))

    @cached_property
    def unknown(self) -> int:
        """Of how many tensors nothing is known but their names."""
        return unknown(self.tensors)

    def further(self, **known: Any) -> Subject:
        """The same, of which more is known; what was counted in its tensors stays counted."""
        subject = replace(self, **known)
        if subject.tensors is self.tensors:
            subject.positions, subject.ordered = self.positions, self.ordered
            subject.runs, subject.stored = self.runs, self.stored
            if "names" in vars(self):
                subject.names = self.names
            if "held" in vars(self) and subject.prepared is self.prepared:
                subject.held = self.held
        return subject

    def tensor(self, name: str) -> TensorInfo | None:
        """What the header says of a name."""
        number = self.positions.get(name)
        return None if number is None else self.tensors[number]

    @cached_property
    def findings(self) -> list[Told]:
        """Causes, each with what it explains below it, the worst first; then remarks."""
        told: list[Told] = []
        for cause in self.causes:
            own = len(told)
            told.append(Told(cause.finding))
            told += [Told(symptom, own) for symptom in cause.explains]
        return told + [Told(finding) for finding in self.remarks]

    @cached_property
    def names(self) -> Names:
        """Its tensors' names, found by what findings call them."""
        from tui.model.findings.named import Names

        return Names(self.positions)

    @cached_property
    def held(self) -> Held:
        """Its tensors, by what they lie in and what claims them."""
        return Held(self.tensors, self.prepared.plan if self.prepared else None)

    @cached_property
    def index(self) -> Index:
        """Its findings as keys ask for them; of a subject of which more is known it is another."""
        from tui.model.findings.index import Index

        return Index(self)

    @property
    def nbytes(self) -> int:
        """All data of all tensors."""
        return self.stored.nbytes

    @property
    def config(self) -> Mapping[str, Any]:
        """What config.json says, as it is; empty where there is none."""
        if self.checkpoint is not None and self.checkpoint.config is not None:
            return self.checkpoint.config
        return self.prepared.run.config if self.prepared is not None else {}

    @property
    def traced(self) -> bool:
        """Whether what it shows was observed."""
        return self.store is not None and self.store.run.observed
