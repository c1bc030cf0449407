"""config.json as loaders complete it: what is told elsewhere, or follows, and said to be so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mappings.findings import Finding
from mappings.registry import installed
from tracer.checkpoint.files import Files
from tracer.checkpoint.json_object import read_object

_GPTQ = "quantize_config.json"
"""Where AutoGPTQ said how a checkpoint is quantised before config.json did (`quantization_config`)."""


def completed(config: Mapping[str, Any], files: Files) -> tuple[dict[str, Any], list[Finding]]:
    """The config with what it lacks, as far as that is known. Raises InputError."""
    whole, found = dict(config), []
    if not whole.get("architectures") and (name := _architecture_of(whole.get("model_type"))):
        whole["architectures"] = [name]
        found.append(_inferred(name, whole["model_type"]))
    if whole.get("quantization_config") is None and files.has(_GPTQ):
        whole["quantization_config"] = {"quant_method": "gptq", **read_object(files, _GPTQ, "config.invalid")}
    return whole, found


def _architecture_of(model_type: object) -> str | None:
    """`bloom` -> `BloomForCausalLM`: class names are spelled after model types, but for underscores."""
    if not isinstance(model_type, str):
        return None
    wanted = model_type.replace("_", "").lower()
    names = dict.fromkeys(arch.name for arch in installed())
    return next((name for name in names if name.lower() in (f"{wanted}forcausallm", f"{wanted}lmheadmodel")), None)


def _inferred(name: str, model_type: str) -> Finding:
    return Finding(
        "config.missing-field", "info", "architectures",
        f"config.json lacks architectures; model_type {model_type} is taken for {name}",
        {"field": "architectures", "model_type": model_type, "taken": name}, f'add "architectures": ["{name}"]',
    )  # fmt: skip
