"""A checkpoint of two layers for whole loads; `tp` up to 4."""

from __future__ import annotations

import json
from pathlib import Path

from tests import placements
from tracer.session import Request, run

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 256, "torch_dtype": "float32",
}  # fmt: skip


def write(folder: Path) -> Path:
    """Its element ids are its values."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    planned = run(Request(str(folder), plan_only=True))
    shapes = {t.name: t.shape for t in planned.store.tensors()}
    return placements.write_checkpoint(folder, CONFIG, placements.number(shapes))
