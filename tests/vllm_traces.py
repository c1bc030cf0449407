"""Where vLLM puts every element of small checkpoints: the observations in `data/vllm_traces.zip`.

What a trace holds is described in `data/README.md`.
"""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

TP_SIZES = (1, 2, 4)
_ARCHIVE = Path(__file__).parent / "data" / "vllm_traces.zip"


@cache
def _archive() -> dict[str, bytes]:
    with zipfile.ZipFile(_ARCHIVE) as archive:
        return {file.removesuffix(".json"): archive.read(file) for file in archive.namelist()}


def keys() -> list[str]:
    """Architectures, some with a variant: `LlamaForCausalLM`, `LlamaForCausalLM-tied` ..."""
    return sorted({stem.rpartition("-tp")[0] for stem in _archive()})


@cache
def trace(key: str, tp: int) -> dict[str, Any]:
    """One observation; shared between callers, so read it and leave it as it is."""
    content: dict[str, Any] = json.loads(_archive()[f"{key}-tp{tp}"], object_hook=_float)
    return content


def _float(value: dict[str, Any]) -> Any:
    """JSON has no infinity; the recorder wrote it as an object of one key."""
    return float(value["__float__"]) if value.keys() == {"__float__"} else value
