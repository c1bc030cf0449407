"""Opens checkpoints for the engine: what it knows of them is the plan, and where bytes come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mappings.proof import findings, prove
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError
from tracer.execute.device import refuse_unloadable
from tracer.prepare import Prepared, Request, prepare
from tracer.unchanged import located, mapping_of

if TYPE_CHECKING:
    from engine.opened import Opened


def open_model(model: str, tp: int) -> Opened:
    """A checkpoint by its name, as `trace-load` takes it. Raises InputError, UsageError, Refused."""
    return open_request(Request(model, tp), None)


def opener(request: Request, stamps: dict[str, Stamp]) -> Callable[[], Opened]:
    """What each rank is to call in its own process; the files must be those that were looked at here."""
    return partial(open_request, request, stamps)


def open_request(request: Request, stamps: dict[str, Stamp] | None) -> Opened:
    """Headers and plan again, in whichever process calls it. Raises InputError for a plan with errors."""
    from engine.loading.sources import MappedWeights
    from engine.opened import Opened

    prepared = prepare(request)
    if prepared.checkpoint is None or prepared.checkpoint.state != "complete":
        raise InputError(f"{prepared.title}: no weights are here, and a model without them generates nothing")
    for finding in [*prepared.findings, *findings(prove(prepared.plan, prepared.checkpoint.spans))]:
        if finding.severity == "error":
            raise InputError(finding.message, code=finding.code, subject=finding.subject)
    refuse_unloadable(prepared)
    known = stamps_of(prepared) if stamps is None else stamps
    return Opened(prepared.plan, MappedWeights(prepared.folder, prepared.infos, mapping_of(known)), prepared.folder)


def stamps_of(prepared: Prepared) -> dict[str, Stamp]:
    """What the files were like when their headers were read."""
    return located(prepared.folder, prepared.checkpoint.stamps if prepared.checkpoint else {})
