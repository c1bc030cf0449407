"""Tries hypotheses until nothing more is explained: the best first, the next on what is left with that one mended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mappings.findings import Finding
from tracer.diagnose.case import Case
from tracer.diagnose.cause import Cause
from tracer.diagnose.edited import edited
from tracer.diagnose.hypothesis import Hypothesis, Proposer
from tracer.diagnose.state import changed
from tracer.diagnose.trial import Trial
from tracer.diagnose.weight import same
from tracer.errors import InputError, UsageError
from tracer.repair.changes import Change

_ROUNDS = 6
"""Causes that are found one behind the other. No checkpoint of the field had more than four."""


class Tried(NamedTuple):
    """A hypothesis, and what came of it."""

    hypothesis: Hypothesis
    trial: Trial | None
    """None where there was nothing to try."""


class Searched(NamedTuple):
    """What came of all of them."""

    causes: list[Cause]
    """In the order in which they were found."""
    case: Case
    """With all of them mended."""
    stages: list[tuple[Change, ...]]
    """The changes of each, in that order; each names tensors as they are after those before it."""


def search(case: Case, proposers: Sequence[Proposer], never_evident: Collection[Proposer] = ()) -> Searched:
    """Try, mend in thought what removes most, and ask anew.

    Those that are `never_evident` are not asked for more once a trial leaves nothing wrong.
    """
    causes: list[Cause] = []
    evident: dict[tuple[str, str], Cause] = {}
    for _ in range(_ROUNDS):
        tried = _all_tried(case, proposers, never_evident)
        for hypothesis, trial in tried:
            cause = _cause(hypothesis, trial, case) if hypothesis.evident else None
            if cause is not None and not any(same(cause.finding, each.finding) for each in causes):
                evident.setdefault((cause.finding.code, cause.finding.subject), cause)
        best = _best(tried)
        if best is None:
            break
        hypothesis, trial = best
        cause = _cause(hypothesis, trial, case)
        assert cause is not None, "the best could be worded"
        causes.append(cause)
        evident.pop((cause.finding.code, cause.finding.subject), None)
        case = replace(case, state=trial.after)
        if trial.after.burden == (0, 0) and not case.complaints:
            break  # nothing is left that could be asked about: of a sound checkpoint nobody says anything
    gone = [finding for cause in causes for finding in cause.explains]
    standing = [cause for cause in evident.values() if not any(same(cause.finding, finding) for finding in gone)]
    stages = [cause.changes for cause in (*causes, *standing) if cause.changes]
    return Searched([*causes, *standing], case, stages)


def _all_tried(case: Case, proposers: Sequence[Proposer], never_evident: Collection[Proposer]) -> list[Tried]:
    """What is proposed, tried; once one leaves nothing wrong, of the others only what is evident: none is better."""
    found: list[Tried] = []
    done = False
    for propose in proposers:
        if done and propose in never_evident:
            continue
        for hypothesis in propose(case):
            if not done or hypothesis.evident:
                found.append(_tried(case, hypothesis))
                done = done or _mends_all(found[-1])
            if done and propose in never_evident:
                break
    return found


def _mends_all(tried: Tried) -> bool:
    hypothesis, trial = tried
    clean = trial is not None and trial.helps and trial.after.burden == (0, 0)
    return clean and trial is not None and hypothesis.told(trial) is not None


def _tried(case: Case, hypothesis: Hypothesis) -> Tried:
    if not hypothesis.changes and hypothesis.assume is None:
        return Tried(hypothesis, None)
    try:
        after = case.state
        if hypothesis.changes:
            after = changed(after, edited(after.checkpoint, hypothesis.changes))
        if hypothesis.assume is not None:
            after = hypothesis.assume(after)
    except (InputError, UsageError):  # such an edit makes nothing that could be examined
        return Tried(hypothesis, None)
    return Tried(hypothesis, Trial(case.state, after, hypothesis.unplanned))


def _best(tried: Sequence[Tried]) -> tuple[Hypothesis, Trial] | None:
    """The one that removes most; among equals the first, as those that propose have their order."""
    sound = [(hypothesis, trial) for hypothesis, trial in tried if trial is not None and trial.helps]
    worded = [pair for pair in sound if pair[0].told(pair[1]) is not None]
    return max(worded, key=lambda pair: pair[1].gain, default=None)


def _cause(hypothesis: Hypothesis, trial: Trial | None, case: Case) -> Cause | None:
    """In words; a warning at most where only warnings went with it and nothing else speaks for it."""
    empty = trial or Trial(case.state, case.state)
    finding = hypothesis.told(empty)
    if finding is None:
        return None
    if finding.severity == "error" and not hypothesis.evident and empty.gain[0] <= 0:
        finding = replace(finding, severity="warning")
    gone = tuple(_others(empty.gone, finding)) if trial is not None and trial.helps else ()
    return Cause(finding, gone, hypothesis.answers, hypothesis.changes)


def _others(gone: Sequence[Finding], finding: Finding) -> Iterator[Finding]:
    return (each for each in gone if not same(each, finding))
