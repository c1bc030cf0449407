"""A tensor that an engine misses, that is not here, and that every other layer has."""

from __future__ import annotations

from mappings.names import blank, collapse, runs
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypotheses.whereabouts import place_of
from tracer.diagnose.hypothesis import Hypothesis


def explain(question: Question) -> Hypothesis | None:
    """Where no rows say what should be here, its peers do: as many layers have it as lack it."""
    complaint = question.complaint
    if complaint.kind != "no-tensor" or question.state.plan is not None:
        return None
    lost = [name for name in complaint.names[:256] if blank(name)[1] and place_of(name, question.names) is None]
    templates = {blank(name)[0] for name in lost}
    peers = [name for name in question.names if blank(name)[0] in templates]
    if not lost or len(peers) < len(lost) or {blank(name)[0] for name in peers} != templates:
        return None
    having = {blank(name)[1][0] for name in peers}
    theirs = f"layers {runs(having)} have theirs" if len(having) > 1 else f"layer {runs(having)} has its own"
    return question.answer(
        "param.unfilled", collapse(lost)[0][0],
        f"{folded(lost)} {'is' if len(lost) == 1 else 'are'} in none of {counted(len(question.names), 'tensor')},"
        f" while {theirs}: {counted(len(lost), 'tensor')} lost, and the engine would start"
        f" {'it' if len(lost) == 1 else 'them'} at random",
        {"missing": len(lost), "tensors": lost}, "take the files from where they came; no edit brings it back",
    )  # fmt: skip
