"""One run: checkpoint -> plan -> proofs -> load -> trace -> audit. Read this page first.

Nothing heavy is imported here; `tracer.execute` drives the engine, and only when a load is asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fixtures.geometries import DEFAULT, geometry
from mappings.architectures import BUILT_IN
from mappings.bind import is_fused
from mappings.findings import Finding, Unchecked
from mappings.plan import Claim, LoadPlan, Stored, plan
from mappings.proof import Proof, Span, prove
from mappings.registry import choose
from mappings.rows import Skip, Tie
from mappings.sizes import ConfigError
from mappings.synth import describe, synthesise
from mappings.userfile import MappingFileError, parse_mapping
from tracer.audit import Audit, audit
from tracer.checkpoint.dtypes import from_config, nbytes
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError, UsageError
from tracer.events import End, Padding, Parameter, Run, Tensor
from tracer.resources import peak_rss
from tracer.store import Store

if TYPE_CHECKING:
    from tracer.execute import LoaderFactory

LoadFormat = Literal["auto", "safetensors", "dummy"]


@dataclass(frozen=True)
class Request:
    """What the user asked for; plain values, so that each rank's process can prepare the same plan."""

    model: str | None = None
    tp: int = 1
    load_format: LoadFormat = "auto"
    rank: int | None = None
    plan_only: bool = False
    geometry: str = DEFAULT
    """The embedded geometry that is traced where there is no model."""
    mapping: str | None = None
    """Path of the user's own rows."""
    config_path: str | None = None
    overrides: str | None = None
    """JSON object laid over config.json."""
    dtype: str | None = None
    device: str | None = None

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(range(self.tp)) if self.rank is None else (self.rank,)


@dataclass
class Prepared:
    """The static half: what is there, what it is, what should happen."""

    request: Request
    title: str
    folder: Path
    plan: LoadPlan
    infos: list[TensorInfo]
    """The plan's tensors with their places in files, in the same order."""
    run: Run
    checkpoint: Checkpoint | None
    fake: list[str] = field(default_factory=list)
    """What did not come from files, in words."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)


@dataclass
class Result:
    """Everything a report needs."""

    prepared: Prepared
    proofs: list[Proof]
    store: Store
    audit: Audit | None
    where: str
    """Where the load ran, or why it did not."""
    modules: bool | None = None
    failure: str | None = None

    @property
    def findings(self) -> list[Finding]:
        return self.store.findings()

    @property
    def failed(self) -> bool:
        """Whether anything of severity error was found."""
        return self.failure is not None or any(f.severity == "error" for f in self.findings)


class Refused(Exception):
    """The checkpoint cannot even be planned: one finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def run(
    request: Request, save: Path | None = None, loader: LoaderFactory | None = None, every_rank: bool = True
) -> Result:  # fmt: skip
    """Do what was asked, with another loader than the engine's if one is given.

    Without `every_rank`, a plan that is not executed is spelled out for the first two ranks only: the others follow
    the same laws, and a terabyte's moves take seconds to write down.

    Raises UsageError, InputError, and Refused for a checkpoint without a plan.
    """
    started = time.monotonic()
    _check(request)
    prepared = prepare(request)
    proofs = prove(prepared.plan, _spans(prepared), _shapes_known(prepared), _names_known(prepared))
    store = Store.new(save)
    try:
        result = _trace(prepared, proofs, store, loader, every_rank)
        _finish(result, started)
    except BaseException:
        store.discard()
        raise
    return result


def _check(request: Request) -> None:
    if request.tp < 1:
        raise UsageError(f"--tp {request.tp}: expected at least 1")
    if request.rank is not None and not 0 <= request.rank < request.tp:
        raise UsageError(f"--rank {request.rank}: expected 0 to {request.tp - 1} with --tp {request.tp}")


def prepare(request: Request) -> Prepared:
    """Headers and config to a plan. No bytes of tensors are read and torch is not imported."""
    checkpoint = open_checkpoint(Path(request.model)) if request.model else None
    config = _config(request, checkpoint)
    names = _names(checkpoint)
    dtype = _dtype(request, config, checkpoint)
    mapping = _read_text(request.mapping) if request.mapping else None
    try:
        chosen = choose(config, names, request.tp, dtype, _extra(mapping, request.mapping))
        tensors, fake = _tensors(checkpoint, chosen.binding, names)
        planned = plan(chosen.binding, tensors)
    except ConfigError as error:
        raise Refused(error.finding) from error
    arch = chosen.binding.arch
    found = [*chosen.binding.findings, *(checkpoint.findings if checkpoint else [])]
    return Prepared(
        request, _title(request), checkpoint.folder if checkpoint else Path(), planned, _infos(tensors),
        Run(
            _title(request), arch.name, request.tp, request.load_format, "engine", request.ranks,
            not request.plan_only, config, mapping, dtype, arch.dialect,
        ),
        checkpoint, fake, found, list(checkpoint.unchecked) if checkpoint else [],
    )  # fmt: skip


def _title(request: Request) -> str:
    return request.model or request.geometry


def _config(request: Request, checkpoint: Checkpoint | None) -> dict[str, Any]:
    if request.config_path:
        config = _json_object(_config_file(request.config_path), "--hf-config-path")
    elif checkpoint is None:
        config = geometry(request.geometry)
    elif checkpoint.config is None:
        finding = Finding(
            "config.missing", "error", "config.json", f"{request.model} has no config.json",
            fix="give one with --hf-config-path DIR",
        )  # fmt: skip
        raise Refused(finding)
    else:
        config = dict(checkpoint.config)
    if request.overrides:
        config |= _json_object(request.overrides, "--hf-overrides")
    return config


def _config_file(path: str) -> str:
    file = Path(path)
    return _read_text(str(file / "config.json" if file.is_dir() else file))


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", subject=path) from error


def _json_object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: expected a JSON object, found {text[:40]!r} ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option}: expected a JSON object, found {type(value).__name__}")
    return value


def _names(checkpoint: Checkpoint | None) -> list[str] | None:
    """The names that files give, None where there are none."""
    if checkpoint is None or checkpoint.state == "config-only":
        return None
    if checkpoint.state == "index-only":
        return checkpoint.names
    return [tensor.name for tensor in checkpoint.tensors]


def _dtype(request: Request, config: Mapping[str, Any], checkpoint: Checkpoint | None) -> str:
    """The parameters' data type: as asked, as config.json says, or as most of the header's bytes are."""
    if request.dtype:
        found = from_config(request.dtype)
        if found is None:
            raise UsageError(f"--dtype {request.dtype}: expected float32, float16 or bfloat16")
        return found
    spelled = config.get("torch_dtype") or config.get("dtype")
    known = from_config(spelled) if isinstance(spelled, str) else None
    if known:
        return known
    weights: dict[str, int] = {}
    for tensor in checkpoint.tensors if checkpoint else []:
        if tensor.dtype in ("F32", "F16", "BF16", "F64"):
            weights[tensor.dtype] = weights.get(tensor.dtype, 0) + tensor.nbytes
    return max(weights, key=lambda d: weights[d]) if weights else "BF16"


def _extra(text: str | None, path: str | None) -> list[Any]:
    if text is None:
        return []
    try:
        return [parse_mapping(text, BUILT_IN)]
    except MappingFileError as error:
        raise UsageError(f"--mapping {path or 'of the trace'}: {error}") from error


def _tensors(
    checkpoint: Checkpoint | None, binding: Any, names: Sequence[str] | None
) -> tuple[Sequence[Stored], list[str]]:  # fmt: skip
    """The header's tensors, or what stands for them, and what is made up in words."""
    if names is None:
        return synthesise(binding), ["names, shapes and data types (from config.json)", "the bytes"]
    if checkpoint is not None and checkpoint.state == "index-only":
        stub = plan(binding, [_Named(name) for name in names])
        return describe(names, stub.claims), ["shapes and data types (from the rows)", "the bytes"]
    return checkpoint.tensors if checkpoint else [], []


@dataclass(frozen=True)
class _Named:
    name: str
    dtype: str = "F32"
    shape: tuple[int, ...] = ()


def _infos(tensors: Iterable[Stored]) -> list[TensorInfo]:
    return [t if isinstance(t, TensorInfo) else _imagined(t) for t in tensors]


def _imagined(tensor: Stored) -> TensorInfo:
    elements = 1
    for size in tensor.shape:
        elements *= size
    return TensorInfo(tensor.name, tensor.dtype, tuple(tensor.shape), None, None, nbytes(tensor.dtype, elements))


def _shapes_known(prepared: Prepared) -> bool:
    return prepared.checkpoint is not None and prepared.checkpoint.state == "complete"


def _names_known(prepared: Prepared) -> bool:
    return prepared.checkpoint is not None and prepared.checkpoint.state != "config-only"


def _spans(prepared: Prepared) -> list[Span] | None:
    """What the headers say lies where; each file's header is everything before its first tensor."""
    if not _shapes_known(prepared):
        return None
    spans = [
        Span(t.file, t.offset, t.offset + t.nbytes, t.name)
        for t in prepared.infos if t.file is not None and t.offset is not None
    ]  # fmt: skip
    first: dict[str, int] = {}
    for span in spans:
        first[span.file] = min(first.get(span.file, span.start), span.start)
    return spans + [Span(file, 0, start, "") for file, start in first.items()]


def _trace(
    prepared: Prepared, proofs: list[Proof], store: Store, loader: LoaderFactory | None, every_rank: bool
) -> Result:  # fmt: skip
    """Execute the plan if nothing forbids it; else the trace holds the plan's own moves and says so."""
    hindrance = _hindrance(prepared, proofs)
    store.set_run(prepared.run)
    store.add_tensors(_tensor_records(prepared))
    if hindrance is None:
        return _observe(prepared, proofs, store, loader)
    _set_observed(prepared, store, False)
    if all(proof.name != "ranks" or proof.holds for proof in proofs):
        _add_params(prepared, store)
        _add_planned(prepared, store, prepared.request.ranks if every_rank else prepared.request.ranks[:2])
    return Result(prepared, proofs, store, None, hindrance)


def _hindrance(prepared: Prepared, proofs: list[Proof]) -> str | None:
    """Why the load is not executed."""
    request = prepared.request
    errors = [f for f in [*prepared.findings, *(f for p in proofs for f in p.findings)] if f.severity == "error"]
    if request.plan_only:
        return "--plan"
    if errors:
        return f"{len(errors)} error{'s' if len(errors) > 1 else ''} before it"
    from tracer.execute import torch_missing

    if torch_missing():
        return "torch is not installed (pip install 'trace-load[engine]')"
    return None


def _observe(prepared: Prepared, proofs: list[Proof], store: Store, loader: LoaderFactory | None) -> Result:
    from tracer import execute

    request = prepared.request
    _add_params(prepared, store)
    if request.load_format == "dummy" or not _shapes_known(prepared):
        done = execute.on_meta(prepared, store, request.ranks, loader)
    else:
        execute.refuse_unloadable(prepared)
        device = execute.pick_device(request.device, request.tp)
        done = execute.in_processes(prepared, store, request.ranks, device, loader)
    store.index()
    checked = audit(store, prepared.plan)
    return Result(prepared, proofs, store, checked, done.where, done.modules, done.failure)


def _set_observed(prepared: Prepared, store: Store, observed: bool) -> None:
    prepared.run = Run(**{**_fields(prepared.run), "observed": observed})
    store.set_run(prepared.run)


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__dataclass_fields__ if name != "kind"}


def _tensor_records(prepared: Prepared) -> Iterable[Tensor]:
    for info, claim in zip(prepared.infos, prepared.plan.claims, strict=True):
        row, reason = _verdict(prepared.plan.binding.arch.id, claim)
        yield Tensor(
            info.name, info.dtype, info.shape, info.file, info.offset, info.nbytes, claim.disposition, row, reason
        )  # fmt: skip


def _verdict(arch: str, claim: Claim) -> tuple[str | None, str | None]:
    """The id of the table entry that claims a tensor, and the reason where it is not loaded."""
    match claim.owner:
        case None:
            return None, claim.reason
        case Skip(name=name, why=why):
            return f"{arch}:{name}", why
        case Tie(name=name, to=to):
            return f"{arch}:{name}", f"tied to {to.leaf_name('weight')}"
        case row:
            return row.id, None


def _add_params(prepared: Prepared, store: Store) -> None:
    leaves = dict(prepared.plan.params())
    tied = prepared.plan.tied()
    for rank in prepared.request.ranks:
        own = [
            Parameter(rank, name, leaf.form(rank).shape, leaf.dtype, is_fused(leaf), None)
            for name, leaf in leaves.items()
        ]  # fmt: skip
        aliases = [
            Parameter(rank, name, leaves[to].form(rank).shape, leaves[to].dtype, False, to) for name, to in tied.items()
        ]  # fmt: skip
        store.add_params([*own, *aliases])


def _add_planned(prepared: Prepared, store: Store, ranks: Sequence[int]) -> None:
    planned = prepared.plan
    names = [t.name for t in planned.tensors]
    for rank in ranks:
        store.add_moves(
            (rank, names[s.tensor], s.row.id, s.shard, s.param, s.row.op, planned.boxes(s)) for s in planned.steps(rank)
        )  # fmt: skip
        store.add_pads(
            Padding(rank, name, ranges, pad.value, pad.reason)
            for pad, name in planned.pads(rank) for ranges in planned.ranges(pad)
        )  # fmt: skip
    store.index()


def _finish(result: Result, started: float) -> None:
    """Findings in the order of causes, then the totals."""
    found = [*result.prepared.findings, *(f for proof in result.proofs for f in proof.findings)]
    found += result.audit.findings if result.audit else []
    order = {"error": 0, "warning": 1, "info": 2}
    store = result.store
    store.set_findings(sorted(found, key=lambda f: order[f.severity]))
    if result.failure is None:
        seconds = time.monotonic() - started
        store.set_end(
            End(store.count("tensor"), store.count("param"), store.count("move"), len(found), seconds, peak_rss())
        )  # fmt: skip
    store.commit()


def replan(store: Store) -> LoadPlan | None:
    """The plan that a saved trace should have followed, made again from what it says; None without a config."""
    run = store.run
    if not run.config:
        return None
    tensors = [TensorInfo(t.name, t.dtype, t.shape, t.file, t.offset, t.nbytes) for t in store.tensors()]
    try:
        chosen = choose(run.config, [t.name for t in tensors], run.tp, run.dtype or "BF16", _extra(run.mapping, None))
    except ConfigError as error:
        raise Refused(error.finding) from error
    return plan(chosen.binding, tensors)
