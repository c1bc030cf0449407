"""What was looked at for a complaint that nothing explains, and what would tell more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracer.complaints.of_surroundings import matter
from tracer.report.words import plural, shape

if TYPE_CHECKING:
    from tracer.complaints.complaint import Complaint
    from tracer.diagnose.diagnosis import Diagnosis
    from tracer.diagnose.reading import Reading
    from tracer.diagnose.state import State

_FEW = 10
"""Lines of words; more of them are a log."""
_MOST = 3
"""Names of one complaint that are looked up aloud."""


def lines(found: Diagnosis, ranks: int, asked: Reading) -> Iterator[str]:
    """Nothing where everything is explained, or is not of the checkpoint."""
    left = [complaint for complaint in found.unanswered if not matter(complaint)]
    if not left or found.original is None:
        return
    for said in dict.fromkeys(each for complaint in left for each in _sought(complaint, found.original)):
        yield f"looked for: {said}"
    yield f"looked at: {'; '.join(_looked_at(found, ranks))}"
    yield f"would tell more: {'; '.join(_more(found, ranks, asked))}"


def _sought(complaint: Complaint, state: State) -> Iterator[str]:
    """The names, files and fields of the words, as the checkpoint has them."""
    here = set(state.names)
    for name in complaint.names[:_MOST]:
        held = state.shapes.get(name)
        yield f"{name}: {'here' if name in here else 'no such name here'}{f', {shape(held)}' if held else ''}"
    for file in complaint.files[:_MOST]:
        yield f"{file}: {'here' if state.checkpoint.files.has(file) else 'no such file here'}"
    for field in complaint.fields[:_MOST]:
        yield f"{field}: {repr(state.config[field])[:80] if field in state.config else 'not in config.json'}"


def _looked_at(found: Diagnosis, ranks: int) -> Iterator[str]:
    state = found.original
    assert state is not None
    yield f"{plural(len(state.names), 'name')}, with shapes of {len(state.tensors):,}"
    rows = state.plan.binding.arch.name if state.plan else ""
    yield f"the rows of {rows}, on {plural(ranks, 'rank')}" if rows else "no rows, as there are none for it"
    read = any(check.name == "values.nonfinite" for check in found.checks)
    yield "values" if read else "no values"


def _more(found: Diagnosis, ranks: int, asked: Reading) -> Iterator[str]:
    """What was not asked for so far."""
    if not any(check.name == "values.nonfinite" for check in found.checks):
        yield "--values (whether the numbers are what they should be)"
    if asked.against is None:
        yield "--against DIR (a checkpoint of the same family that loads)"
    if ranks == 1:
        yield "--tp N (if it was loaded on several ranks)"
    yield "`trace-load --verify` (a load that is compared byte by byte: if it succeeds, the engine is at fault)"
    if len(found.told.complaints) == 1 and found.told.lines <= _FEW:
        yield "--log FILE (the whole log: the first error may stand above)"
