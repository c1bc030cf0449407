"""The config.json that a run goes by, and the data type that its parameters have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fixtures.geometries import geometry
from mappings.findings import Finding
from mappings.sizes import ConfigError, invalid
from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.json_object import read_object
from tracer.errors import Refused, UsageError
from tracer.prepare.completing import completed
from tracer.prepare.request import Request

FLOATS = ("F32", "F16", "BF16", "F64")
"""Data types that parameters can have where no scheme says otherwise."""


def config_of(request: Request, checkpoint: Checkpoint | None) -> tuple[dict[str, Any], list[Finding]]:
    """config.json, or what stands for it, completed; and what is to be said about that."""
    found: list[Finding] = []
    if request.config_path:
        config = _given(Path(request.config_path))
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


def _given(path: Path) -> dict[str, Any]:
    """The config.json that `--hf-config-path` names, or that is in the folder which it names."""
    files = LocalFiles(path)
    return read_object(files, path.name if files.one_file else "config.json", "config.invalid")


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
