"""One run: checkpoint -> plan -> proofs -> load -> trace -> audit. Read this page first.

The static half is `tracer.prepare`; `tracer.execute` drives the engine, and only when a load is asked for.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.findings import Finding, in_order
from mappings.proof import Proof, Span, findings, prove
from tracer.collection import uncollected
from tracer.errors import InputError, Refused, UsageError
from tracer.events import End
from tracer.globs import matching
from tracer.prepare import Prepared, Request, prepare
from tracer.prepare.reference import check_reference
from tracer.recording import EVERYTHING, Told, add_params, add_planned, all_findings, checks, tensor_records
from tracer.resources import peak_rss
from tracer.shares import planned_shares
from tracer.standing import State
from tracer.store import Store
from tracer.validate import LARGEST_TP
from tracer.verified import Verified, unverified

if TYPE_CHECKING:
    from tracer.audit import Audit
    from tracer.execute import Crew, LoaderFactory

INTERRUPTED = "interrupted"
"""How a load failed that somebody stopped."""

__all__ = ["Prepared", "Refused", "Request", "Result", "Told", "run"]


@dataclass
class Result:
    """Everything a report needs."""

    prepared: Prepared
    proofs: list[Proof]
    store: Store
    audit: Audit | None
    where: str
    """Where the load ran, or why it did not."""
    why_not: str = ""
    """Why what was loaded cannot generate; empty where it can, or where nothing was loaded."""
    failure: str | None = None
    failed_rank: int | None = None
    damage: InputError | None = None
    """What ended the load, where it was its input."""
    verified: tuple[Verified, ...] = ()
    """What computing with it has shown, where that was asked for."""

    @property
    def findings(self) -> list[Finding]:
        return self.store.findings()

    @property
    def failed(self) -> bool:
        """Whether anything of severity error was found."""
        return self.failure is not None or any(f.severity == "error" for f in self.findings)


@uncollected()
def run(
    request: Request, save: Path | None = None, loader: LoaderFactory | None = None, told: Told = EVERYTHING,
    crew: Crew | None = None,
) -> Result:  # fmt: skip
    """Do what was asked, with another loader than the engine's if one is given.

    `told` is how much of a plan that is not executed is spelled out: a terabyte's moves take seconds to write down.
    `crew` are the other processes that torchrun started, where it did.

    Raises UsageError, InputError, and Refused for a checkpoint without a plan. A load that is cut short, by a file
    that changes while it is read or by a signal, leaves in `save` what was observed until then.
    """
    started = time.monotonic()
    _check(request)
    prepared = prepare(request)
    _check_globs(prepared, told)
    proofs = prove(prepared.plan, _spans(prepared), _shapes_known(prepared), _names_known(prepared))
    with _kept_if_complete(save) as store:
        try:
            result = _trace(prepared, proofs, store, loader, told, crew)
            _finish(result, started)
        except KeyboardInterrupt as stop:
            _cut_short(Result(prepared, proofs, store, None, INTERRUPTED, failure=INTERRUPTED), save, stop)
            raise
    if result.damage:
        store.close()
        raise result.damage
    return result


@contextmanager
def _kept_if_complete(save: Path | None) -> Iterator[Store]:
    """A new store; nothing of it stays where something is raised before it was committed."""
    store = Store.new(save)
    try:
        yield store
    except sqlite3.Error as error:
        store.live.end("failed", str(error))
        store.discard()
        raise UsageError(f"cannot write {save or 'the trace'}: {error}") from error
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        store.live.end("interrupted" if stopped else "failed", INTERRUPTED if stopped else str(error))
        store.discard()
        raise


def _cut_short(result: Result, save: Path | None, stop: KeyboardInterrupt) -> None:
    """Keep what was observed, where the load had begun and a file was asked for; without an audit."""
    store = result.store
    try:
        if save is not None and result.prepared.run.observed and store.count("param"):
            store.index()
            _finish(result, 0.0)
            stop.add_note(f"what was observed until then is in {save}")
    finally:
        store.live.end("interrupted", INTERRUPTED)
        store.discard()


def _check(request: Request) -> None:
    if not 1 <= request.tp <= LARGEST_TP:
        raise UsageError(f"--tp {request.tp}: expected at least 1 and at most {LARGEST_TP}")
    if request.device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device {request.device}: expected cpu or cuda")
    if request.reference is not None:
        check_reference(request.reference)
    if request.rank is not None and not 0 <= request.rank < request.tp:
        raise UsageError(f"--rank {request.rank}: expected 0 to {request.tp - 1} with --tp {request.tp}")


def _check_globs(prepared: Prepared, told: Told) -> None:
    """A slip of the pen is said before a load of minutes, not after it. Raises UsageError."""
    if told.tensor:
        matching("--tensor", told.tensor, [info.name for info in prepared.infos])
    if told.param:
        matching("--param", told.param, [*dict(prepared.plan.params()), *prepared.plan.tied()])


def _shapes_known(prepared: Prepared) -> bool:
    return prepared.checkpoint is not None and prepared.checkpoint.state == "complete"


def _names_known(prepared: Prepared) -> bool:
    return prepared.checkpoint is not None and prepared.checkpoint.state != "config-only"


def _spans(prepared: Prepared) -> list[Span] | None:
    """What lies where in the files; None where no file is here."""
    return prepared.checkpoint.spans if prepared.checkpoint and _shapes_known(prepared) else None


def _trace(
    prepared: Prepared, proofs: list[Proof], store: Store, loader: LoaderFactory | None, told: Told,
    crew: Crew | None,
) -> Result:  # fmt: skip
    """Execute the plan if nothing forbids it; else the trace holds the plan's own moves and says so."""
    hindrance = _hindrance(prepared, proofs)
    store.set_run(prepared.run)
    store.add_tensors(tensor_records(prepared))
    if store.live.told:
        _announce(prepared, proofs, store, loads=hindrance is None)
    if hindrance is None:
        return _observe(prepared, proofs, store, loader, crew)
    prepared.run = replace(prepared.run, observed=False)
    store.set_run(prepared.run)
    if all(proof.holds for proof in proofs if proof.name in ("axes", "ranks")):
        add_params(prepared, store)
        add_planned(prepared, store, told)
    verified = unverified(prepared.request.verifies, prepared.request.reference, hindrance)
    return Result(prepared, proofs, store, None, hindrance, verified=verified)


def _announce(prepared: Prepared, proofs: list[Proof], store: Store, loads: bool) -> None:
    """What is known before the load, for those who follow it."""
    told = store.live.standing
    told.model, told.tp, told.tensors = prepared.run.model, prepared.run.tp, len(prepared.infos)
    told.findings = dict(Counter(f.severity for f in [*prepared.findings, *findings(proofs)]))
    if loads:
        read = _reads(prepared)
        store.live.begin(planned_shares(prepared.plan, prepared.infos, prepared.request.ranks, read))
    else:
        store.live.enter("writing down the plan")


def _reads(prepared: Prepared) -> bool:
    """Whether a load of it reads any bytes."""
    return prepared.request.load_format != "dummy" and _shapes_known(prepared)


def _hindrance(prepared: Prepared, proofs: list[Proof]) -> str | None:
    """Why the load is not executed."""
    request = prepared.request
    errors = [f for f in [*prepared.findings, *findings(proofs)] if f.severity == "error"]
    if request.plan_only:
        return "--plan"
    if errors:
        return f"{len(errors)} error{'s' if len(errors) > 1 else ''} before it"
    from tracer.execute import torch_missing

    if torch_missing():
        return "torch is not installed (pip install 'trace-load[engine]')"
    return None


def _observe(
    prepared: Prepared, proofs: list[Proof], store: Store, loader: LoaderFactory | None, crew: Crew | None
) -> Result:  # fmt: skip
    from tracer import execute
    from tracer.audit import audit

    request = prepared.request
    if not _reads(prepared):
        done = execute.on_meta(prepared, store, request.ranks, loader)
    else:
        execute.refuse_unloadable(prepared)
        device = execute.pick_device(request.device, len(request.ranks), crew)
        done = execute.in_processes(prepared, store, device, loader, crew)
    store.live.enter("auditing the trace")
    checked = audit(store, prepared.plan)
    return Result(
        prepared, proofs, store, checked, done.where, done.why_not, done.failure, done.failed_rank, done.damage,
        done.verified,
    )  # fmt: skip


def _finish(result: Result, started: float) -> None:
    """Findings in the order of causes, then the totals."""
    found = all_findings(result)
    store = result.store
    store.set_findings(in_order(map(result.prepared.configured.reworded, found)))
    store.set_checks(checks(result))
    if result.failure is None:
        seconds = time.monotonic() - started
        store.set_end(
            End(store.count("tensor"), store.count("param"), store.count("move"), len(found), seconds, peak_rss())
        )  # fmt: skip
    store.commit()
    store.live.standing.findings = dict(Counter(finding.severity for finding in found))
    stopped: State = "interrupted" if result.failure == INTERRUPTED else "failed"
    store.live.end("done" if result.failure is None else stopped, result.failure or "", kept=True)
