"""A mapping file tried on the checkpoint that it was written for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.architectures import BUILT_IN
from mappings.findings import Finding
from mappings.names import HOLE, collapse
from mappings.plan import LoadPlan, Stored, plan
from mappings.proof import findings, prove
from mappings.registry import choose
from mappings.sizes import ConfigError
from mappings.userfile import parse_mapping
from tracer.starter.draft import Draft

_HOLES = re.compile(r"\{[^}]*\}")
"""What stands for numbers in a name: which of them is another matter."""


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    plan: LoadPlan | None
    errors: tuple[Finding, ...]
    shapes_known: bool = True
    """Whether layouts were compared with the shapes of a header."""

    @property
    def claimed(self) -> int:
        """Names that a row, a skip or a tie answers for."""
        return sum(claim.owner is not None for claim in self.plan.claims) if self.plan else 0

    @property
    def left(self) -> tuple[str, ...]:
        """Names that nothing answers for, folded."""
        if self.plan is None:
            return ()
        pairs = zip(self.plan.tensors, self.plan.claims, strict=True)
        return tuple(text for text, _ in collapse([t.name for t, claim in pairs if claim.owner is None]))

    @property
    def loads(self) -> bool:
        """Whether every name is claimed and no proof has anything against it."""
        return self.plan is not None and not self.errors and 0 < self.claimed == len(self.plan.tensors)


def tried(
    text: str, config: Mapping[str, Any], tensors: Sequence[Stored], tp: int, dtype: str, shapes_known: bool = True
) -> Trial:  # fmt: skip
    """Plan and prove with the file. Raises MappingFileError for a text that is no mapping file."""
    arch = parse_mapping(text, BUILT_IN)
    own = {**config, "architectures": [arch.name]}
    try:
        made = plan(choose(own, [t.name for t in tensors], tp, dtype, [arch]).binding, tensors)
    except ConfigError as error:
        return Trial(None, (error.finding,), shapes_known)
    found = findings(prove(made, None, shapes_known))
    return Trial(made, tuple(f for f in [*made.binding.findings, *found] if f.severity == "error"), shapes_known)


def undone(draft: Draft, trial: Trial) -> Iterator[tuple[str, str]]:
    """What stands against the file and is not said in it yet: subject and why."""
    told = tuple(_HOLES.sub(HOLE, subject.removesuffix("**")) for subject, _ in draft.todo)
    for finding in trial.errors:
        if finding.code != "tensor.unmapped" or not _HOLES.sub(HOLE, finding.subject).startswith(told):
            yield finding.subject, f"{finding.message.removeprefix(f'{finding.subject}: ')} [{finding.code}]"
