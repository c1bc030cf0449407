"""J: what loads and talks nonsense. Trained models with a fault planted, since random weights mean nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.models import decoder
from tests.catalogue.shapes import MISMATCH
from tests.tracer.meaning.planted import FAULTS, REPAIRED, Fault, written

TRAINED = Path(__file__).parents[1] / "data" / "trained"


@dataclass(frozen=True)
class Trained:
    """A copy of a trained model, with a fault in it or none."""

    name: str
    fault: Fault | None = None

    def write(self, folder: Path, seed: int | None = None) -> Path:
        return written(TRAINED / self.name, folder, self.fault)


def planted(entry: str, fault: str, name: str, said: str, subject: str, *words: str) -> Case:
    return Case(
        entry, f"{fault.replace(' ', '-')}-{name}", lambda: Trained(name, FAULTS[fault]), said, FAULTS[fault].code,
        subject, words,
        alone="same", sound=lambda: Trained(name), before=(lambda: Trained(name)) if fault in REPAIRED else None,
    )  # fmt: skip


def gpt2(layers: int, hidden: int, *, linear: bool) -> Model:
    """GPT-2; `linear` stores every matrix as nn.Linear has it, [out, in], and not as Conv1D."""
    config = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": hidden, "n_head": 4, "n_layer": layers,
        "n_positions": 64, "n_ctx": 64, "vocab_size": 320, "tie_word_embeddings": True, "torch_dtype": "float32",
        "layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    model = Model(config)
    model.put("wte.weight", 320, hidden, dtype="F32")
    model.put("wpe.weight", 64, hidden, dtype="F32")
    for layer in range(layers):
        for norm in ("ln_1", "ln_2"):
            model.put(f"h.{layer}.{norm}.weight", hidden, dtype="F32")
            model.put(f"h.{layer}.{norm}.bias", hidden, dtype="F32")
        for name, inner, out in (("attn.c_attn", hidden, 3 * hidden), ("attn.c_proj", hidden, hidden), ("mlp.c_fc",
            hidden, 4 * hidden),
                                 ("mlp.c_proj", 4 * hidden, hidden)):  # fmt: skip
            model.put(f"h.{layer}.{name}.weight", inner, out, dtype="F32")
            model.put(f"h.{layer}.{name}.bias", out, dtype="F32")
    for leaf in ("weight", "bias"):
        model.put(f"ln_f.{leaf}", hidden, dtype="F32")
    if linear:
        model.transpose(lambda name: ".c_" in name and name.endswith(".weight"))
    return model


def orientation(layers: int, hidden: int) -> Case:
    return Case(
        "J6", f"gpt2-{layers}-{hidden}", lambda: gpt2(layers, hidden, linear=True),
        MISMATCH.format("GPT2LMHeadModel", "transformer.h.0.attn.c_attn.weight", [3 * hidden, hidden],
            [hidden, 3 * hidden]),
        "shape.mismatch", f"h.{{0..{layers - 1}}}.attn.c_attn.weight",
        ("c_fc", f"{layers} square", "attn.c_proj", "by shape", "in x out"), alone="same",
        sound=lambda: gpt2(layers, hidden, linear=False), before=lambda: gpt2(layers, hidden, linear=False),
    )  # fmt: skip


def stored_as(dtype: str) -> Model:
    model = decoder(3, torch_dtype={"BF16": "bfloat16", "F32": "float32", "F16": "float16"}[dtype])
    for name, tensor in list(model.tensors.items()):
        model.put(name, *tensor.shape, dtype=dtype)
    return model


def half(dtype: str, said: str, *words: str) -> Case:
    """Nothing in the file overflows; what is computed with it may."""
    return Case(
        "J4", f"served-as-half-{dtype}", lambda: stored_as(dtype), said, "value.overflow", "dtype",
        ("is served as float16", "65,504", "activations", "token 0", *words), severity="warning",
        sound=lambda: stored_as("F16"),
    )  # fmt: skip


CASES = [
    planted("J1", "rope order left out", "llama-3", "coherent for a few tokens, then nonsense",
        "model.layers.0.self_attn.q_proj.weight"),
    planted("J1", "rope order applied twice", "qwen3-3", "The output is gibberish after ~20 or more tokens",
        "model.layers.0.self_attn.q_proj.weight"),
    planted("J1", "k permuted with q's heads", "llama-3", "noise at once, gibberish",
        "model.layers.0.self_attn.k_proj.weight"),
    planted("J2", "norms off by one", "gemma2-3", "gibberish, mixed scripts", "model.layers.0.input_layernorm.weight"),
    planted("J2", "norms off by one", "llama-3", "the model answers with random characters",
        "model.layers.0.input_layernorm.weight"),
    planted("J3", "gate and up swapped", "llama-3", "coherent-looking but degraded output",
        "model.layers.0.mlp.gate_proj.weight"),
    planted("J3", "gate and up swapped", "qwen3-3", "poor output", "model.layers.0.mlp.gate_proj.weight"),
    planted("J4", "beyond float16", "llama-3", "only !!!!!!!!!!", "model.layers.3.mlp.down_proj.weight"),
    half("BF16", "vllm serve /m --dtype float16 answers !!!!!!!!!!!!", "bfloat16"),
    half("F32",
        "INFO 03-04 09:12:44 llm_engine.py:234] Initializing a V0 LLM engine (v0.7.3) with config: model='/m',"
        " dtype=torch.float16, tensor_parallel_size=1\nstud stud stud stud", "float32"),
    orientation(3, 32), orientation(12, 64),
]  # fmt: skip
