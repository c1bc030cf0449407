"""The static half of a run: headers and config.json to a plan. No bytes of tensors are read, torch is not imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mappings.bind import Binding
from mappings.findings import Finding, Unchecked
from mappings.mismatch import mismatch
from mappings.plan import LoadPlan, Stored, plan
from mappings.registry import Choice, candidates, choose, installed
from mappings.rows import Architecture
from mappings.sizes import ConfigError
from mappings.synth import describe, synthesise
from tracer.checkpoint.dtypes import nbytes
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.collection import uncollected
from tracer.errors import Refused
from tracer.events import Run
from tracer.prepare.config import NOTHING, Configured, config_of, dtype_of
from tracer.prepare.model import folder_of, open_model, pinned
from tracer.prepare.own_rows import parse_rows, read_rows
from tracer.prepare.request import LoadFormat, Request
from tracer.store import Store
from tracer.weighing import Weighed, weigh

__all__ = ["LoadFormat", "Prepared", "Request", "prepare", "prepare_opened", "replan"]


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
    lost: dict[str, str] = field(default_factory=dict)
    """Dialects of the same architecture that were not chosen, and what spoke against them."""
    fake: list[str] = field(default_factory=list)
    """What did not come from files, in words."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    weighed: str = ""
    """What the sizes of absent files have shown; empty where they were not weighed."""
    configured: Configured = NOTHING
    """What the plan goes by, and where that comes from."""


@uncollected()
def prepare(request: Request) -> Prepared:
    """Headers and config to a plan. No bytes of tensors are read and torch is not imported.

    Raises UsageError, InputError, and Refused for a checkpoint without a plan.
    """
    return prepare_opened(request, open_model(request))


def prepare_opened(request: Request, checkpoint: Checkpoint | None) -> Prepared:
    """The same of a checkpoint that was opened before, or was changed in memory since."""
    configured = config_of(request, checkpoint)
    names = _names(checkpoint)
    mapping = read_rows(request.mapping) if request.mapping else None
    try:
        chosen, dtype = _choose(request, configured.config, checkpoint, names, parse_rows(mapping, request.mapping))
        tensors, fake = _tensors(checkpoint, chosen.binding, names)
        planned = plan(chosen.binding, tensors)
    except ConfigError as error:
        raise _refused(error.finding, configured, checkpoint) from error
    weighed = weigh(checkpoint, planned, dtype) if checkpoint else Weighed()
    found = [*configured.findings, *chosen.binding.findings, *weighed.findings]
    title, arch = checkpoint.files.title if checkpoint else request.geometry, chosen.binding.arch
    return Prepared(
        pinned(request, checkpoint), title, folder_of(checkpoint), planned, _infos(tensors),
        Run(
            title, arch.name, request.tp, request.load_format, "engine", request.ranks,
            not request.plan_only, configured.config, mapping, dtype, arch.dialect,
        ),
        checkpoint, chosen.lost if names else {}, fake, found, weighed.unchecked, weighed.checked, configured,
    )  # fmt: skip


def _choose(
    request: Request, config: Mapping[str, Any], checkpoint: Checkpoint | None, names: Sequence[str] | None,
    own: Sequence[Architecture],
) -> tuple[Choice, str]:  # fmt: skip
    """The architecture and the data type of its parameters. Raises ConfigError."""
    candidates(config, own)
    dtype = dtype_of(request, config, checkpoint)
    chosen = choose(config, names, request.tp, dtype, own)
    wrong = [finding for finding in chosen.binding.findings if finding.severity == "error"]
    if wrong and checkpoint is not None:
        # Its tensors are not what the rows describe, so that whatever they said of them would be wrong.
        raise ConfigError(wrong[0])
    return chosen, dtype


def _refused(finding: Finding, configured: Configured, checkpoint: Checkpoint | None) -> Refused:
    """Why there is no plan, and what can be said of the files without one."""
    others = list(checkpoint.findings) if checkpoint else []
    if finding.code == "arch.unknown" and checkpoint and checkpoint.format is GGUF:
        from tracer.checkpoint.gguf.config import ARCHITECTURES

        mapped = ", ".join(ARCHITECTURES)
        finding = replace(finding, message=f"{finding.message}; of GGUF files the names of {mapped} are mapped")
    finding = configured.reworded(finding)
    config = configured.config
    arch = next((a for a in installed() if config.get("architectures") == [a.name]), None)
    names = (_names(checkpoint) if arch and finding.code == "config.missing-field" else None) or []
    other = mismatch(arch, names) if arch and names else None
    return Refused(other, [finding, *others]) if other else Refused(finding, others)


def _names(checkpoint: Checkpoint | None) -> list[str] | None:
    """The names that files give, None where there are none."""
    if checkpoint is None or checkpoint.state == "config-only":
        return None
    if checkpoint.state == "index-only":
        return checkpoint.names
    return [tensor.name for tensor in checkpoint.tensors]


def _tensors(
    checkpoint: Checkpoint | None, binding: Binding, names: Sequence[str] | None
) -> tuple[Sequence[Stored], list[str]]:  # fmt: skip
    """The header's tensors, or what stands for them, and what is made up in words."""
    if names is None:
        return synthesise(binding), ["names, shapes and data types (from config.json)", "the bytes"]
    if checkpoint is not None and checkpoint.state == "index-only":
        stub = plan(binding, [_Named(name) for name in names])
        real = {tensor.name: tensor for tensor in checkpoint.tensors}
        told: list[Stored] = [real.get(t.name, t) for t in describe(names, stub.claims)]
        return told, ["shapes and data types (from the rows)", "the bytes"]
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


def replan(store: Store) -> LoadPlan | None:
    """The plan that a saved trace should have followed, made again from what it says; None without a config."""
    run = store.run
    if not run.config:
        return None
    tensors = [TensorInfo(t.name, t.dtype, t.shape, t.file, t.offset, t.nbytes) for t in store.tensors()]
    rows = parse_rows(run.mapping, None)
    try:
        chosen = choose(run.config, [t.name for t in tensors], run.tp, run.dtype or "BF16", rows)
    except ConfigError as error:
        raise Refused(error.finding) from error
    return plan(chosen.binding, tensors)
