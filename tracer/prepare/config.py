"""The config.json that a run goes by, and the data type that its parameters have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from fixtures.geometries import geometry
from mappings.findings import Finding
from mappings.sizes import ConfigError, invalid
from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.json_object import read_object
from tracer.errors import Refused, UsageError
from tracer.prepare.completing import completed
from tracer.prepare.request import Request

FLOATS = ("F32", "F16", "BF16", "F64")
"""Data types that parameters can have where no scheme says otherwise."""


class Configured(NamedTuple):
    """The config of a run."""

    config: dict[str, Any]
    source: str
    """Where it comes from, in words."""
    findings: list[Finding]
    """What is to be said about how it came about."""
    overrides: Mapping[str, Any] = {}
    """What `--hf-overrides` laid over it."""

    def reworded(self, finding: Finding) -> Finding:
        """The finding, naming the real source: not everything that is configured is said by config.json."""
        message = finding.message.replace(_USUAL, self.source)
        return finding if message == finding.message else replace(finding, message=message)


_USUAL = "config.json"
NOTHING = Configured({}, _USUAL, [])


def config_of(request: Request, checkpoint: Checkpoint | None) -> Configured:
    """config.json, or what stands for it, completed. Raises InputError, UsageError, and Refused where there is none."""
    configured = _beneath(request, checkpoint)
    if not request.overrides:
        return configured
    config, source, found, _ = configured
    extra = _json_object(request.overrides, "--hf-overrides")
    unknown = [name for name in extra if name not in config]
    found = [*found, *(_added(name, list(config), source) for name in unknown)]
    return Configured(config | extra, f"{source} with --hf-overrides", found, extra)


def _beneath(request: Request, checkpoint: Checkpoint | None) -> Configured:
    """The config before any overrides."""
    if request.config_path:
        return _given(Path(request.config_path))
    if checkpoint is None:
        return Configured(geometry(request.geometry), f"the geometry {request.geometry}", [])
    if checkpoint.config is None:
        finding = Finding(
            "config.missing", "error", "config.json", f"{request.model} has no config.json",
            fix="give one with --hf-config-path DIR",
        )  # fmt: skip
        raise Refused(*causes_first(finding, checkpoint.findings))
    config, found = completed(checkpoint.config, checkpoint.files)
    return Configured(config, source_of(checkpoint), found)


def source_of(checkpoint: Checkpoint) -> str:
    """What has the config of a checkpoint, in words."""
    own = checkpoint.format is GGUF and not checkpoint.files.has(_USUAL)
    return "the GGUF file" if own else _USUAL


def _added(name: str, known: list[str], source: str) -> Finding:
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return Finding("config.conflict", "info", name, f"--hf-overrides adds {name}, which {source} does not have{meant}")


def causes_first(finding: Finding, others: Sequence[Finding]) -> tuple[Finding, list[Finding]]:
    """A finding and the others, the first cause in front: a file that is missing explains a config that is."""
    worse = [other for other in others if other.severity == "error"]
    if not worse:
        return finding, list(others)
    return worse[0], [finding, *(other for other in others if other is not worse[0])]


def _given(path: Path) -> Configured:
    """The config.json that `--hf-config-path` names, or that is in the folder which it names."""
    files = LocalFiles(path)
    file = path.name if files.one_file else _USUAL
    return Configured(read_object(files, file, "config.invalid"), files.where(file), [])


def _json_object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: expected a JSON object, found {text[:40]!r} ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option}: expected a JSON object, found {type(value).__name__}")
    return value


def dtype_of(request: Request, config: Mapping[str, Any], checkpoint: Checkpoint | None) -> str:
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
