"""How the model can be divided: legal numbers of ranks, why the next is none, and what each then holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.names import runs
from mappings.proof.ranks import LARGEST_TP
from tracer.infer.parallel import Obstacle, Parallel
from tracer.infer.parallel.rows import on_rank
from tracer.report.words import size
from tui.model.config.fields import source
from tui.model.line import GLYPHS, Role, Span, Target
from tui.model.overview.facts import LATER, Fact
from tui.model.overview.inference import Inference
from tui.model.overview.unread import unread
from tui.model.overview.values import conflicts
from tui.model.subject import Subject

_MOST = 16
"""Numbers of ranks that are listed one by one."""


def ranks(subject: Subject, inference: Inference | None) -> Iterator[Fact]:
    """Facts about `--tp`."""
    if inference is None:
        yield Fact("tp", (LATER,))
        return
    parallel = inference.parallel
    if parallel is None:
        yield Fact("tp", (Span("not known: no widths are", "unsure"),))
        return
    doubted = _doubted(subject, inference)
    mark, role = _mark(inference.exact and not doubted)
    wrong = _against(subject)
    legal = [tp for tp in parallel.tp if wrong is None or tp in wrong[1]]
    listed = ", ".join(map(str, legal)) if len(legal) <= _MOST else runs(legal).replace("..", "-")
    yield Fact(
        "tp", (Span(mark + (listed or "none"), role), Span(f" (up to {LARGEST_TP})", "dim")), _not(subject, parallel)
    )
    if wrong is not None:
        number, _ = wrong
        told = subject.findings[number].finding.message
        yield Fact("", (Span(f"{GLYPHS['bad']} not {subject.tp}", "bad", Target("finding", str(number))),), told, "bad")
    elif obstacle := next((obstacle for obstacle in parallel.obstacles if obstacle.tp == subject.tp), None):
        yield Fact("", (Span(f"{GLYPHS['bad']} not {subject.tp}", "bad"),), _reason(obstacle), "bad")
    yield from _memory(subject, parallel, legal, doubted or ("" if inference.exact else _without(subject)))


def _mark(exact: bool) -> tuple[str, Role]:
    return ("", "number") if exact else (f"{GLYPHS['inferred']} ", "inferred")


def _doubted(subject: Subject, inference: Inference) -> str:
    """Why what the rows say is no more than what config.json says."""
    wrong = [name for name, finding in conflicts(subject, inference).items() if finding.severity == "error"]
    return f"with {wrong[0]} as in {source(subject)}, against the tensors" if inference.exact and wrong else ""


def _against(subject: Subject) -> tuple[int, Sequence[int]] | None:
    """A finding against this number of ranks, and the numbers that it leaves: it may know more of packing than rows."""
    for number in subject.index.with_codes([code for code in subject.index.by_code if code.startswith("tp.")]):
        finding = subject.findings[number].finding
        legal = finding.evidence.get("legal")
        if finding.severity == "error" and isinstance(legal, list):
            return number, legal
    return None


def _not(subject: Subject, parallel: Parallel) -> str:
    """The next number that is illegal, and the next power of two, which one would rather have."""
    following = [obstacle for obstacle in parallel.obstacles if obstacle.tp > subject.tp]
    powers = [obstacle for obstacle in following if obstacle.tp & (obstacle.tp - 1) == 0]
    shown = dict.fromkeys([*following[:1], *powers[:1]])
    return "; ".join(f"not {obstacle.tp} ({_reason(obstacle)})" for obstacle in shown)


def _reason(obstacle: Obstacle) -> str:
    return f"{obstacle.axis}: {obstacle.reason}"


def _without(subject: Subject) -> str:
    left = unread(subject)
    return f"without {left}" if left else ""


def _memory(subject: Subject, parallel: Parallel, legal: Sequence[int], but: str) -> Iterator[Fact]:
    """`but` is what the bytes do not count, or rest on."""
    held = {rank.tp: rank.weights for rank in parallel.ranks if rank.tp in legal}
    if subject.tp in legal and subject.tp not in held and subject.prepared is not None:
        held[subject.tp] = on_rank(subject.prepared.plan.binding, subject.tp)
    spans = [Span(f"{GLYPHS['inferred']} ", "inferred")] if but else []
    for tp, nbytes in sorted(held.items()):
        here = tp == subject.tp
        spans.append(Span(f"{'▸' if here else ''}tp {tp}: {size(nbytes)}  ", "strong" if here else "plain"))
    if held:
        yield Fact("a rank holds", tuple(spans), parallel.source + (f", {but}" if but else ""))
