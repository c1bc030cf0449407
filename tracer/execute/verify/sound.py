"""Which checkpoint the reference is made of: the one that was loaded, or one that the user says is sound."""

from __future__ import annotations

from tracer.errors import InputError, Refused, UsageError
from tracer.prepare import Prepared, Request, prepare


def sound_of(prepared: Prepared) -> Prepared | None:
    """What the reference is to be read from; None where none is asked for. Raises InputError, UsageError."""
    reference = prepared.request.reference
    if reference is None:
        return None
    folder = reference.partition("=")[2]
    if not folder:
        return prepared
    try:
        found = prepare(Request(folder, plan_only=True))
    except Refused as refused:
        finding = refused.finding
        message = f"--reference {reference}: {finding.message}"
        raise InputError(message, code=finding.code, subject=finding.subject) from refused
    if found.checkpoint is None or found.checkpoint.state != "complete":
        raise UsageError(f"--reference {reference}: no weights are in {folder}, and the reference computes")
    return found
