"""An index that the headers contradict, where these are whole: written anew from them it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.findings import Finding
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.diagnose.weight import same
from tracer.repair.changes import RewriteIndex

_ANEW = "write the index anew from the headers"
"""The advice of those findings that no download mends."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """One for each finding of an index that only has to be written anew."""
    for finding in case.state.symptoms:
        if finding.code.startswith("index.") and finding.fix == _ANEW:
            files = tuple(dict.fromkeys(tensor.file for tensor in case.state.tensors if tensor.file))
            change = RewriteIndex("the headers have it otherwise", files)
            yield Hypothesis(finding, (change,), _Rewritten(finding), evident=True)


class _Rewritten:
    """The state without what was wrong with its index."""

    def __init__(self, finding: Finding) -> None:
        self._finding = finding

    def __call__(self, state: State) -> State:
        rest = [each for each in state.checkpoint.findings if not same(each, self._finding)]
        kept = tuple(each for each in state.files if not same(each, self._finding))
        return changed(replace(state, files=kept), replace(state.checkpoint, findings=rest))
