"""The plan once more, in another process and maybe on another machine: the same, or none."""

from __future__ import annotations

from collections.abc import Mapping

from tracer import agreement
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError, Refused
from tracer.prepare import Prepared, Request, prepare
from tracer.unchanged import differing, located


def stamps_of(prepared: Prepared) -> dict[str, Stamp]:
    """What the files were like when their headers were read."""
    return located(prepared.folder, prepared.checkpoint.stamps if prepared.checkpoint else {})


def prepare_alike(
    request: Request, agreed: agreement.Terms, expected: Mapping[str, Stamp]
) -> tuple[Prepared, dict[str, Stamp]]:  # fmt: skip
    """The plan, and the stamps of the files that it was made of. Raises InputError where it is not as agreed.

    `expected` are the stamps of those files that were read before on this machine.
    """
    try:
        prepared = prepare(request)
    except Refused as refused:
        finding = refused.finding
        raise InputError(finding.message, code=finding.code, subject=finding.subject) from refused
    stamps = stamps_of(prepared)
    error = differing(expected, stamps)
    if error is not None:
        raise error
    agreement.check(prepared, agreed)
    return prepared, stamps
