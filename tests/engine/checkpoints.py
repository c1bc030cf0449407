"""Tiny random checkpoints of every family, saved by Transformers; and how to load them in any process.

Transformers is imported only where a checkpoint is built, so that ranks start without it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.loading.loader import Loader, WeightSource
from engine.loading.recorder import NullRecorder
from engine.models.contract import CausalLM
from engine.models.registry import resolve
from engine.parallel import Alone, Group, TensorParallel
from engine.processes.distributed import ProcessGroup
from mappings.architectures import BUILT_IN
from mappings.bind import Binder, Binding
from mappings.names import blank
from mappings.plan import LoadPlan, plan

VOCABULARY = 200
TOKENS = 24

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 50.0, "factor": 2.0}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 50.0, "partial_rotary_factor": 0.5,
    "short_factor": [1.0, 1.0, 1.0], "long_factor": [1.0, 1.3, 1.6],
}  # fmt: skip
GPT2 = {
    "vocab_size": VOCABULARY, "n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_head": 4, "n_layer": 3}


class Family(NamedTuple):
    """A Transformers class and the config it is built with."""

    model: str
    config: dict[str, Any]


def _family(model: str, **fields: Any) -> Family:
    return Family(model, SIZES | fields)


FAMILIES: dict[str, Family] = {
    "llama": _family("LlamaForCausalLM"),
    "llama-tied": _family("LlamaForCausalLM", tie_word_embeddings=True),
    "llama-biases": _family("LlamaForCausalLM", attention_bias=True, mlp_bias=True),
    "llama-llama3": _family("LlamaForCausalLM", rope_parameters=LLAMA3),
    "llama-dynamic": _family("LlamaForCausalLM", max_position_embeddings=16, rope_parameters=DYNAMIC),
    "mistral": _family("MistralForCausalLM", sliding_window=8),
    "mistral-no-window": _family("MistralForCausalLM", sliding_window=None, num_key_value_heads=4),
    "qwen2": _family("Qwen2ForCausalLM", tie_word_embeddings=False),
    "qwen2-tied": _family("Qwen2ForCausalLM", tie_word_embeddings=True),
    "qwen2-window": _family(
        "Qwen2ForCausalLM", use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "qwen3": _family("Qwen3ForCausalLM", head_dim=12, attention_bias=True),
    "phi3": _family("Phi3ForCausalLM"),
    "phi3-partial": _family("Phi3ForCausalLM", hidden_size=48, partial_rotary_factor=0.5, sliding_window=9),
    "phi3-longrope": _family(
        "Phi3ForCausalLM", hidden_size=48, original_max_position_embeddings=16, rope_parameters=LONGROPE
    ),
    "mixtral": _family("MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
    "mixtral-window": _family(
        "MixtralForCausalLM", num_local_experts=5, num_experts_per_tok=3, sliding_window=6
    ),
    "mixtral-stacked": _family("MixtralForCausalLM", num_local_experts=4),
    "gpt2": Family("GPT2LMHeadModel", GPT2),
    "gpt2-untied": Family(
        "GPT2LMHeadModel",
        GPT2 | {"n_inner": 40, "scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False},
    ),
    "bloom": Family("BloomForCausalLM", BLOOM),
    "bloom-six-heads": Family(
        "BloomForCausalLM",
        BLOOM | {"hidden_size": 48, "n_head": 6, "apply_residual_connection_post_layernorm": True},
    ),
}  # fmt: skip
STACKED = "mixtral-stacked"
"""Stored under the names that Transformers has in memory, with the experts in one tensor."""
FOUR_WAYS = ("llama", "mixtral")
"""Families that are also cut four ways: two KV heads, so that each is held twice."""


def ids() -> torch.Tensor:
    """The prompt, (tokens,)."""
    return torch.randint(3, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(7))


def config_of(family: str) -> dict[str, Any]:
    """A config.json for the family, without asking Transformers."""
    return {"architectures": [FAMILIES[family].model], **FAMILIES[family].config}


def reference(family: str) -> Any:
    """The model as Transformers has it, random and always the same."""
    import transformers

    cls = getattr(transformers, FAMILIES[family].model)
    torch.manual_seed(sum(map(ord, family)))
    config = cls.config_class(**FAMILIES[family].config, attn_implementation="eager")
    model = cls(config).eval()
    _perturb(model)
    return model


def save(family: str, model: Any, folder: Path) -> None:
    """A checkpoint of it."""
    model.save_pretrained(folder)
    if family == STACKED:
        save_file(model.state_dict(), folder / "model.safetensors")


def build(family: str, folder: Path) -> torch.Tensor:
    """Save a checkpoint to the folder; the logits that Transformers computes for `ids()`, (tokens, vocab)."""
    model = reference(family)
    save(family, model, folder)
    with torch.no_grad():
        logits: torch.Tensor = model(ids()[None]).logits[0]
    return logits


def _perturb(model: torch.nn.Module) -> None:
    """No norm of ones, no bias of zeros: whatever is forgotten or swapped shows in the logits."""
    with torch.no_grad():
        for name, param in model.named_parameters():
            center = 1.0 if "norm" in name or "ln_" in name else 0.0
            spread = 0.3 if param.ndim == 1 else 0.15
            param.normal_(center if name.endswith("weight") and param.ndim == 1 else 0.0, spread)


@dataclass(frozen=True)
class Header:
    """One line of a safetensors header."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Checkpoint(WeightSource):
    """The tensors of a folder, read by the safetensors library."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self._stack = ExitStack()
        files = [
            self._stack.enter_context(safe_open(file, framework="pt"))
            for file in sorted(folder.glob("*.safetensors"))
        ]
        self._file = {name: file for file in files for name in list(file.keys())}
        self.header = [self._line(name) for name in sorted(self._file)]

    def _line(self, name: str) -> Header:
        piece = self._file[name].get_slice(name)
        return Header(name, piece.get_dtype(), tuple(piece.get_shape()))

    def tensor(self, position: int) -> torch.Tensor:
        found: torch.Tensor = self._file[self.header[position].name].get_tensor(self.header[position].name)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def bind(config: dict[str, Any], tp: int, header: Sequence[Header], dtype: str = "F32") -> LoadPlan:
    """The plan of the dialect that claims every tensor."""
    for arch in BUILT_IN:
        if arch.name == config["architectures"][0]:
            binding = Binder(arch, config, tp, {blank(line.name)[0] for line in header}, dtype).bind()
            made = plan(binding, header)
            if all(claim.owner is not None for claim in made.claims):
                return made
    raise LookupError(f"no dialect of {config['architectures'][0]} claims every name")


def empty_model(binding: Binding, rank: int = 0, group: Group | None = None, device: str = "cpu") -> CausalLM:
    """One rank's model, its parameters allocated and not filled."""
    cls = resolve(binding.arch.name)
    assert cls is not None and issubclass(cls, CausalLM)
    return cls(binding.config, TensorParallel(binding, rank, group or Alone(), device))


def load(folder: Path, tp: int, rank: int = 0, group: Group | None = None) -> CausalLM:
    """One rank's model, filled. What the loader does not write stays NaN, and the logits with it."""
    with Checkpoint(folder) as checkpoint:
        made = bind(checkpoint.config, tp, checkpoint.header)
        model = empty_model(made.binding, rank, group)
        params = dict(model.named_parameters())
        for param in params.values():
            param.data.fill_(float("nan"))
        Loader(made, rank, checkpoint, NullRecorder()).load(params)
    return model


def logits_of(folder: Path, tp: int = 1, rank: int = 0, group: Group | None = None) -> torch.Tensor:
    """Our logits for `ids()`, (tokens, vocab)."""
    model = load(folder, tp, rank, group)
    with torch.inference_mode():
        return model.compute_logits(model(ids(), torch.arange(TOKENS)))


def logits_on(group: ProcessGroup, root: Path, families: Sequence[str]) -> dict[str, torch.Tensor]:
    """For `launch`: one rank's logits of several checkpoints."""
    return {family: logits_of(root / family, group.size, group.rank, group) for family in families}
