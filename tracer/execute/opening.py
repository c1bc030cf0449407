"""Opens checkpoints for the engine: what it knows of them is the plan, and where bytes come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mappings.proof import findings, prove
from tracer.agreement import Terms
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError, Refused, TraceLoadError
from tracer.execute.alike import prepare_alike, stamps_of
from tracer.execute.device import refuse_unloadable
from tracer.prepare import Prepared, Request, prepare
from tracer.unchanged import mapping_of

if TYPE_CHECKING:
    from engine.opened import Opened


def open_model(model: str, tp: int) -> Opened:
    """A checkpoint by its name, as `trace-load` takes it. Raises CannotOpen."""
    from engine.opened import CannotOpen

    try:
        prepared = prepare(Request(model, tp, generates=True))
        return _opened(prepared, stamps_of(prepared))
    except (TraceLoadError, Refused) as error:
        where = "" if model in str(error) else f"{model}: "
        raise CannotOpen(f"{where}{error}") from error


def opener(request: Request, agreed: Terms, stamps: Mapping[str, Stamp]) -> Callable[[], Opened]:
    """What each rank is to call in its own process: headers and plan again, which must be those of rank 0.

    `stamps` are those of the files that were looked at here, where they were.
    """
    return partial(open_alike, request, agreed, stamps)


def open_alike(request: Request, agreed: Terms, stamps: Mapping[str, Stamp]) -> Opened:
    """Raises InputError for another checkpoint than was agreed on, and for a plan with errors."""
    return _opened(*prepare_alike(request, agreed, stamps))


def _opened(prepared: Prepared, stamps: Mapping[str, Stamp]) -> Opened:
    from engine.loading.sources import MappedWeights
    from engine.opened import Opened

    if prepared.checkpoint is None or prepared.checkpoint.state != "complete":
        raise InputError(f"{prepared.title}: no weights are here, and a model without them generates nothing")
    for finding in [*prepared.findings, *findings(prove(prepared.plan, prepared.checkpoint.spans))]:
        if finding.severity == "error":
            raise InputError(finding.message, code=finding.code, subject=finding.subject)
    refuse_unloadable(prepared)
    weights = MappedWeights(prepared.folder, prepared.infos, mapping_of(stamps))
    return Opened(prepared.plan, weights, prepared.folder, prepared.configured.overrides)
