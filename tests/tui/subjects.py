"""What the browser is shown here: six checkpoints of fixed names, without times and without values by chance."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fixtures import header_set
from tests.tracer.doctor.told import write_json, write_safetensors
from tui.model.opening import open_subject
from tui.model.overview.inference import Inference, study
from tui.model.subject import Subject

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 8,
    "num_key_value_heads": 4, "num_hidden_layers": 4, "vocab_size": 256, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
LOST = "model.layers.2.mlp.up_proj.weight"
"""The tensor that the broken checkpoint lacks."""
QUANTISED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUP = 32
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": True}
ADAPTER = {
    "peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 4, "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"], "modules_to_save": None, "bias": "none", "task_type": "CAUSAL_LM",
}  # fmt: skip
MANY = 0.05
"""Of DeepSeek-V3's experts; some thousand tensors."""


def sizes() -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of the small Llama."""
    return {tensor.name: (tensor.dtype, tensor.shape) for tensor in header_set.tensors_of(CONFIG)}


def clean(folder: Path) -> None:
    """A Llama of four layers with which nothing is wrong."""
    write_json(folder / "config.json", CONFIG)
    write_safetensors(folder / "model.safetensors", sizes())


def broken(folder: Path) -> None:
    """The same without one tensor, and with one that nobody knows."""
    write_json(folder / "config.json", CONFIG)
    kept = {name: size for name, size in sizes().items() if name != LOST}
    write_safetensors(folder / "model.safetensors", kept | {"model.extra.weight": ("F32", (8, 8))})


def huge(folder: Path) -> None:
    """Thousands of tensors of a known model in three files without data."""
    header_set.write(folder, "deepseek-v3", MANY, shards=3)


def adapter(folder: Path) -> None:
    """LoRA factors of two layers, and no model."""
    write_json(folder / "adapter_config.json", ADAPTER)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer in range(2):
        for target, rows in (("q_proj", 64), ("v_proj", 32)):
            start = f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_"
            tensors |= {f"{start}A.weight": ("F32", (4, 64)), f"{start}B.weight": ("F32", (rows, 4))}
    write_safetensors(folder / "adapter_model.safetensors", tensors)


def quantised(folder: Path) -> None:
    """The small Llama as GPTQ names it."""
    write_json(folder / "config.json", CONFIG | {"quantization_config": GPTQ, "torch_dtype": "float16"})
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, (_, shape) in sizes().items():
        module = name.removesuffix(".weight")
        if not module.endswith(QUANTISED):
            tensors[name] = "F16", shape
            continue
        rows, columns = shape
        groups = columns // GROUP
        tensors |= {
            f"{module}.g_idx": ("I32", (columns,)), f"{module}.qweight": ("I32", (columns // 8, rows)),
            f"{module}.qzeros": ("I32", (groups, rows // 8)), f"{module}.scales": ("F16", (groups, rows)),
        }  # fmt: skip
    write_safetensors(folder / "model.safetensors", tensors)


def empty(folder: Path) -> None:
    """A config and a file without a single tensor."""
    write_json(folder / "config.json", CONFIG)
    write_safetensors(folder / "model.safetensors", {})


def conflicting(folder: Path) -> None:
    """The small Llama with a config that has other heads, which explains several findings."""
    write_json(folder / "config.json", CONFIG | {"num_attention_heads": 16, "head_dim": 8})
    write_safetensors(folder / "model.safetensors", sizes())


HOSTILE = ("[red]markup[/red].weight", "\x1b[31mescape\x1b[0m\r\n\x07.weight", "\u202eright to left.weight")
"""Names that would be obeyed if they reached the terminal, or Textual's markup, as they are."""


def hostile(folder: Path) -> None:
    """Tensors of such names, and no config."""
    write_safetensors(folder / "model.safetensors", dict.fromkeys(HOSTILE, ("F32", (8, 8))))


WRITERS: Mapping[str, Callable[[Path], None]] = {
    "clean": clean, "broken": broken, "huge": huge, "adapter": adapter, "quantised": quantised, "empty": empty,
}  # fmt: skip
OTHERS = {"conflicting": conflicting, "hostile": hostile}


@dataclass(frozen=True)
class Opened:
    """A checkpoint that was looked at to the end, to be shown as often as one likes."""

    subject: Subject
    inference: Inference


@cache
def folder(kind: str) -> Path:
    """One of them on disk, for as long as this process lives."""
    path = Path(_kept().name, kind)
    path.mkdir()
    {**WRITERS, **OTHERS}[kind](path)
    return path


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="browsed-")


def clear() -> None:
    """Leave nothing behind: a worker of pytest-xdist does not end as processes end."""
    if _kept.cache_info().currsize:
        _kept().cleanup()


@cache
def opened(kind: str, tp: int = 2) -> Opened:
    """One of them, examined."""
    subject = open_subject(str(folder(kind)), tp, lambda _: None)
    return Opened(subject, study(subject))
