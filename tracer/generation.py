"""A checkpoint, proved sound, and the engine that generates from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mappings.findings import Finding, in_order
from mappings.proof import findings, prove
from tracer import execute
from tracer.errors import Refused, UsageError
from tracer.prepare import Prepared, Request, prepare
from tracer.validate import LARGEST_TP

if TYPE_CHECKING:
    from tracer.execute import Completion, Crew, Listener, Prompts, Wishes


class Unsound(Exception):
    """The checkpoint has errors, and what it would say is not worth reading."""

    def __init__(self, found: Sequence[Finding]) -> None:
        super().__init__(found[0].message)
        self.findings = in_order(found)


def generate(
    request: Request, prompts: Prompts, wishes: Wishes, listener: Listener, crew: Crew | None = None
) -> list[Completion]:  # fmt: skip
    """Prove the plan, load, and serve all prompts, while `listener` hears of it.

    `crew` are the other processes that torchrun started, where it did. Raises Unsound for a checkpoint with errors,
    UsageError, InputError, EngineFailed.
    """
    if not 1 <= request.tp <= LARGEST_TP:
        raise UsageError(f"--tp {request.tp}: expected at least 1 and at most {LARGEST_TP}")
    wishes.checked()
    prepared = _sound(request)
    if execute.torch_missing():
        raise UsageError("torch is not installed (pip install 'trace-load[engine]'): nothing can be computed")
    return execute.generated(prepared, execute.Asked(request, prompts, wishes), listener, crew)


def part(request: Request, prompts: Prompts, wishes: Wishes) -> execute.Part:
    """What another rank than 0 does of it under torchrun, once rank 0 has found nothing against it. Raises UsageError.
    """  # fmt: skip
    wishes.checked()
    return execute.generate_part(execute.Asked(request, prompts, wishes))


def _sound(request: Request) -> Prepared:
    """Plan and proofs. Raises Unsound."""
    try:
        prepared = prepare(request)
    except Refused as refused:
        raise Unsound([refused.finding, *refused.others]) from refused
    here = prepared.checkpoint is not None and prepared.checkpoint.state == "complete"
    spans = prepared.checkpoint.spans if here and prepared.checkpoint else None
    found = [*prepared.findings, *findings(prove(prepared.plan, spans, here, here))]
    if any(finding.severity == "error" for finding in found):
        raise Unsound(found)
    return prepared
