"""Every sound checkpoint with numbers in it that the tests can make, by name: how to write it into a folder.

Each writer is the one that the tests of its part use; nothing is made here but the numbers where a writer has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fixtures import gguf_models
from fixtures.gguf import document
from mappings.registry import choose
from mappings.synth import synthesise
from tests import diffing, small_llama, small_qwen2
from tests.catalogue import models, quantising
from tests.catalogue.building import Model
from tests.engine import checkpoints
from tests.mappings.small import CONFIGS
from tests.tracer.diff.test_quantised import GPTQ

Write = Callable[[Path], object]
SEED = 11
_IN_GGUF = ("llama", "mistral", "qwen2", "qwen3", "mixtral")
_DECODERS: dict[str, Callable[[], Model]] = {
    "llama": models.decoder,
    "llama tied": lambda: models.decoder(tied=True),
    "qwen2": models.qwen2,
    "qwen3": models.qwen3,
    "experts": models.qwen3_moe,
    "experts stacked": lambda: models.qwen3_moe(stacked=True),
    "ernie": models.ernie,
    "gpt-oss": models.gpt_oss,
    "falcon": models.falcon,
    "bigcode": models.bigcode,
    "mamba2": models.mamba2,
}
_SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_WITHOUT_GROUPS = {name: value for name, value in _SIZES.items() if name != "num_key_value_heads"}
_EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
_LATENT = _SIZES | _EXPERTS | {
    "num_key_value_heads": 4, "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
    "v_head_dim": 8, "n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1,
}  # fmt: skip
_VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
_CLASSES: dict[str, dict[str, Any]] = {
    "FalconForCausalLM": _SIZES | {"num_kv_heads": 2, "new_decoder_architecture": True},
    "DeepseekV2ForCausalLM": _LATENT,
    "DeepseekV3ForCausalLM": _LATENT,
    "GptOssForCausalLM": _SIZES | {"num_local_experts": 4, "head_dim": 8},
    "MambaForCausalLM": {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 4},
    "Mamba2ForCausalLM": {
        "vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 8, "num_heads": 4, "head_dim": 16,
        "n_groups": 1,
    },
    "JambaForCausalLM": _SIZES | {
        "num_hidden_layers": 4, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4,
        "mamba_dt_rank": 4, "use_mamba_kernels": False,
    },
    "Gemma2ForCausalLM": _SIZES | {"head_dim": 8},
    "GPTNeoXForCausalLM": _WITHOUT_GROUPS,
    "BertForMaskedLM": _WITHOUT_GROUPS,
    "Olmo2ForCausalLM": _SIZES,
    "Qwen3MoeForCausalLM": _SIZES | _EXPERTS | {"num_experts": 4, "head_dim": 8},
    "Gemma3ForConditionalGeneration": {
        "text_config": _SIZES | {"head_dim": 8}, "vision_config": _VISION, "mm_tokens_per_image": 4,
    },
    "T5ForConditionalGeneration": {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3},
}  # fmt: skip
"""What Transformers makes beside the families of the engine, with rows and without; one begins with zeros."""
_QUANTISED: dict[str, Callable[[Model], Model]] = {
    "gptq": quantising.gptq,
    "gptq in an order": lambda model: quantising.gptq(model, order=True),
    "gptq of 8 bits": lambda model: quantising.gptq(model, bits=8),
    "awq": quantising.awq,
    "bitsandbytes": quantising.bitsandbytes,
    "bitsandbytes, once": lambda model: quantising.bitsandbytes(model, nested=False),
    "fp8 in blocks": lambda model: quantising.fp8_blocks(model, block=32),
    "int8 by channel": quantising.by_channel,
    "fp8 by channel": lambda model: quantising.by_channel(model, dtype="F8_E4M3", inputs=True),
    "nvfp4": quantising.nvfp4,
}


def _as_rows_write_it(config: dict[str, Any], folder: Path) -> None:
    tensors = synthesise(choose(config, None, 1, "BF16").binding)
    model = Model(config | {"torch_dtype": "bfloat16"})
    for tensor in tensors:
        model.put(tensor.name, *tensor.shape, dtype=tensor.dtype)
    model.write(folder, SEED)


def _saved(family: str, folder: Path) -> None:
    """As Transformers saves it, every parameter drawn anew."""
    checkpoints.save(family, checkpoints.reference(family), folder)


def _as_transformers_draws(family: str, folder: Path) -> None:
    """As Transformers begins it and saves it: norms of ones, biases of zeros."""
    checkpoints.save(family, _begun(*checkpoints.FAMILIES[family]), folder)


def _made(name: str, config: dict[str, Any], folder: Path) -> None:
    _begun(name, config).save_pretrained(folder)


def _begun(name: str, config: dict[str, Any]) -> Any:
    import torch
    import transformers

    torch.manual_seed(SEED)
    cls = getattr(transformers, name)
    return cls(cls.config_class(**config))


def _in_gguf(family: str, folder: Path) -> None:
    """As llama.cpp's converter writes it, experts one by one."""
    config = checkpoints.config_of(family)
    tensors = {name: each.numpy() for name, each in checkpoints.reference(family).state_dict().items()}
    arrays = gguf_models.converted(config, tensors)
    (folder / "model.gguf").write_bytes(document(gguf_models.values_of(config), gguf_models.stored(arrays)))


def _numbered(make: Callable[[], Model], folder: Path) -> None:
    make().write(folder, SEED)


def _quantised(decoder: str, scheme: str, folder: Path) -> None:
    _QUANTISED[scheme](_DECODERS[decoder]()).write(folder, SEED)


def _by_name() -> Iterator[tuple[str, Write]]:
    packed, _ = diffing.quantised(diffing.model(), diffing.gptq)
    for name, small in CONFIGS.items():
        yield f"rows: {name}", partial(_as_rows_write_it, dict(small.config))
    for family in checkpoints.FAMILIES:
        yield f"transformers: {family}", partial(_saved, family)
        if "-" not in family:  # the others have the same tensors as these, with other fields
            yield f"transformers, untouched: {family}", partial(_as_transformers_draws, family)
    for name, config in _CLASSES.items():
        yield f"transformers: {name}", partial(_made, name, config)
    for family in ("llama", "mistral", "qwen2", "qwen3"):
        yield f"gguf: {family}", partial(_in_gguf, family)
    for name, make in _DECODERS.items():
        yield f"published names: {name}", partial(_numbered, make)
    for scheme in _QUANTISED:
        yield f"{scheme}: llama", partial(_quantised, "llama", scheme)
    for scheme in ("gptq", "fp8 in blocks", "nvfp4"):
        yield f"{scheme}: experts", partial(_quantised, "experts", scheme)
    yield "diffing", lambda folder: diffing.write(folder, diffing.model())
    yield "diffing, gptq", lambda folder: diffing.write(folder, packed, **GPTQ)
    yield "element ids: llama", small_llama.write
    yield "element ids: qwen2", small_qwen2.write


CLEAN: dict[str, Write] = dict(_by_name())
