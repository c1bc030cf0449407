"""The static half of a run: headers and config.json to a plan. No bytes of tensors are read, torch is not imported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fixtures.geometries import DEFAULT, geometry
from mappings.architectures import BUILT_IN
from mappings.bind import Binding
from mappings.findings import Finding, Unchecked
from mappings.mismatch import mismatch
from mappings.plan import LoadPlan, Stored, plan
from mappings.registry import candidates, choose, installed
from mappings.rows import Architecture
from mappings.sizes import ConfigError, invalid
from mappings.synth import describe, synthesise
from mappings.userfile import MappingFileError, parse_mapping
from tracer.checkpoint.dtypes import from_config, nbytes
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.hub.address import advice, is_hub_id
from tracer.checkpoint.json_object import read_object
from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.collection import uncollected
from tracer.completing import completed
from tracer.errors import InputError, Refused, UsageError
from tracer.events import Run
from tracer.store import Store
from tracer.weighing import Weighed, weigh

FLOATS = ("F32", "F16", "BF16", "F64")
"""Data types that parameters can have where no scheme says otherwise."""
_LONGEST_MAPPING = 10_000_000
"""Bytes; a thousand times those of the largest architecture."""

LoadFormat = Literal["auto", "safetensors", "pt", "gguf", "dummy"]


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
    revision: str | None = None
    """Branch, tag or commit of a repository on the Hub."""

    @property
    def bytes_wanted(self) -> bool:
        """Whether tensors are to be read."""
        return not self.plan_only and self.load_format != "dummy"

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
    lost: dict[str, str] = field(default_factory=dict)
    """Dialects of the same architecture that were not chosen, and what spoke against them."""
    fake: list[str] = field(default_factory=list)
    """What did not come from files, in words."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    weighed: str = ""
    """What the sizes of absent files have shown; empty where they were not weighed."""


@uncollected()
def prepare(request: Request) -> Prepared:
    """Headers and config to a plan. No bytes of tensors are read and torch is not imported."""
    only = request.load_format if request.load_format not in ("auto", "dummy") else None
    checkpoint = _open(request, only)
    if only and (checkpoint is None or checkpoint.state != "complete"):
        raise UsageError(f"--load-format {only}: {request.model or 'no MODEL'} has no {only} files here")
    config, told = _config(request, checkpoint)
    names = _names(checkpoint)
    mapping = _read_text(request.mapping) if request.mapping else None
    extra = _extra(mapping, request.mapping)
    try:
        candidates(config, extra)
        dtype = _dtype(request, config, checkpoint)
        chosen = choose(config, names, request.tp, dtype, extra)
        tensors, fake = _tensors(checkpoint, chosen.binding, names)
        planned = plan(chosen.binding, tensors)
    except ConfigError as error:
        raise _refused(error.finding, config, checkpoint) from error
    arch = chosen.binding.arch
    wrong = [finding for finding in chosen.binding.findings if finding.severity == "error"]
    if wrong and checkpoint is not None:
        # Its tensors are not what the rows describe, so that whatever they said of them would be wrong.
        raise _refused(wrong[0], config, checkpoint)
    weighed = weigh(checkpoint, planned, dtype) if checkpoint else Weighed()
    found = [*told, *chosen.binding.findings, *weighed.findings]
    title = checkpoint.files.title if checkpoint else request.geometry
    return Prepared(
        _pinned(request, checkpoint), title, _folder(checkpoint), planned, _infos(tensors),
        Run(
            title, arch.name, request.tp, request.load_format, "engine", request.ranks,
            not request.plan_only, config, mapping, dtype, arch.dialect,
        ),
        checkpoint, chosen.lost if names else {}, fake, found, weighed.unchecked, weighed.checked,
    )  # fmt: skip


def _folder(checkpoint: Checkpoint | None) -> Path:
    return (checkpoint.files.folder if checkpoint else None) or Path()


def _open(request: Request, only: str | None) -> Checkpoint | None:
    """What MODEL is: a path, a repository on the Hub, or nothing. An existing path is never a repository."""
    model, revision = request.model, request.revision
    if model and is_hub_id(model):
        from tracer.checkpoint.hub.opening import open_repository

        return open_repository(model, revision, only, request.bytes_wanted)
    if revision is not None:
        found = model or "no MODEL"
        raise UsageError(f"--revision {revision}: expected a repository on the Hub (org/name), found {found}")
    if model is None:
        return None
    if not os.path.lexists(model):
        raise InputError(f"{model}: no such file or folder{advice(model)}", subject=model)
    return open_checkpoint(Path(model), only)


def _pinned(request: Request, checkpoint: Checkpoint | None) -> Request:
    """The request for the processes of the ranks: they are to read this very folder, whatever a name means by then."""
    if checkpoint is None or checkpoint.files.folder is None or not request.model or not is_hub_id(request.model):
        return request
    return replace(request, model=str(checkpoint.files.folder), revision=None)


def _refused(finding: Finding, config: Mapping[str, Any], checkpoint: Checkpoint | None) -> Refused:
    """Why there is no plan, and what can be said of the files without one."""
    others = list(checkpoint.findings) if checkpoint else []
    arch = next((a for a in installed() if config.get("architectures") == [a.name]), None)
    names = (_names(checkpoint) if arch and finding.code == "config.missing-field" else None) or []
    other = mismatch(arch, names) if arch and names else None
    return Refused(other, [finding, *others]) if other else Refused(finding, others)


def _config(request: Request, checkpoint: Checkpoint | None) -> tuple[dict[str, Any], list[Finding]]:
    """config.json, or what stands for it, completed; and what is to be said about that."""
    found: list[Finding] = []
    if request.config_path:
        config = _config_file(Path(request.config_path))
    elif checkpoint is None:
        config = geometry(request.geometry)
    elif checkpoint.config is None:
        finding = Finding(
            "config.missing", "error", "config.json", f"{request.model} has no config.json",
            fix="give one with --hf-config-path DIR",
        )  # fmt: skip
        raise Refused(finding, checkpoint.findings)
    else:
        config, found = completed(checkpoint.config, checkpoint.files)
    if request.overrides:
        config |= _json_object(request.overrides, "--hf-overrides")
    return config, found


def _config_file(path: Path) -> dict[str, Any]:
    """The config.json that `--hf-config-path` names, or that is in the folder which it names."""
    files = LocalFiles(path)
    return read_object(files, path.name if files.one_file else "config.json", "config.invalid")


def _read_text(path: str) -> str:
    with open_regular(Path(path)) as file:
        content = file.read(_LONGEST_MAPPING + 1)
    if len(content) > _LONGEST_MAPPING:
        raise InputError(f"{path}: expected at most {_LONGEST_MAPPING} bytes, found more", subject=path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8, byte {error.start} is not", subject=path) from error


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
        if found not in FLOATS:
            raise UsageError(f"--dtype {request.dtype}: expected float32, float16 or bfloat16")
        return found
    spelled = config.get("torch_dtype") or config.get("dtype")
    if spelled not in (None, "auto"):
        known = from_config(spelled) if isinstance(spelled, str) else None
        if known not in FLOATS:
            raise ConfigError(invalid("torch_dtype", spelled, "float32, float16 or bfloat16"))
        return known
    weights: dict[str, int] = {}
    for tensor in checkpoint.tensors if checkpoint else []:
        if tensor.dtype in FLOATS:
            weights[tensor.dtype] = weights.get(tensor.dtype, 0) + tensor.nbytes
    return max(weights, key=lambda d: weights[d]) if weights else "BF16"


def _extra(text: str | None, path: str | None) -> list[Architecture]:
    if text is None:
        return []
    try:
        return [parse_mapping(text, BUILT_IN)]
    except MappingFileError as error:
        raise UsageError(f"--mapping {path or 'of the trace'}: {error}") from error


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
    try:
        chosen = choose(run.config, [t.name for t in tensors], run.tp, run.dtype or "BF16", _extra(run.mapping, None))
    except ConfigError as error:
        raise Refused(error.finding) from error
    return plan(chosen.binding, tensors)
