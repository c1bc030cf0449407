"""A checkpoint of Qwen2 with biases, untied, whose load vLLM was seen to do."""

from __future__ import annotations

from pathlib import Path

from tests import placements, vllm_traces


def write(folder: Path) -> Path:
    """Its element ids are its values."""
    trace = vllm_traces.trace("Qwen2ForCausalLM", 1)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    return placements.write_checkpoint(folder, trace["config"], numbered)
