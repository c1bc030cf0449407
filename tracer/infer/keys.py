"""GGUF: the keys are the config, and the tensors are what they are checked against.

Keys: the GGUF specification in ggml's `docs/gguf.md`, and `constants.py` of gguf-py for those of latent attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mappings.findings import Finding
from tracer.checkpoint.folder import Checkpoint
from tracer.infer.canonical import canonical
from tracer.infer.derive import fields
from tracer.infer.families import LLAMA_SPELLING, PLAIN
from tracer.infer.fields import Confidence, Field
from tracer.infer.names import grouped, structure

if TYPE_CHECKING:
    from tracer.infer import Inferred

_KEYS: Mapping[str, str] = {
    "attention.q_lora_rank": "q_rank", "attention.kv_lora_rank": "kv_rank", "rope.dimension_count": "rope",
    "expert_feed_forward_length": "moe_ffn", "expert_shared_count": "shared", "leading_dense_block_count": "dense",
    "expert_shared_feed_forward_length": "shared_ffn", "nextn_predict_layers": "drafts", "ssm.state_size": "state",
    "ssm.conv_kernel": "conv", "ssm.time_step_rank": "dt", "ssm.group_count": "groups",
}  # fmt: skip
"""Keys below the architecture's name that `tracer.checkpoint.gguf.config` does not need."""
_LATENT_ONLY = frozenset({"rope"})
_COUNTED = frozenset(LLAMA_SPELLING[name] for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn"))
_IN_KEYS = frozenset(LLAMA_SPELLING[name] for name in ("layers", "hidden", "ffn", "experts", "moe_ffn"))
"""Of what tensors tell, the fields that a config made of a GGUF file has from its keys; the rest it has from them."""
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


def of_gguf(checkpoint: Checkpoint) -> Inferred:
    """The keys as fields, each checked against the tensors that tell the same."""
    from tracer.infer import Inferred, known_of

    keys = _fields_of_keys(checkpoint)
    if not checkpoint.tensors:
        return Inferred([replace(key, witness="") for key in keys], told="no tensors, only keys")
    names = structure(grouped(checkpoint.names, checkpoint.tensors))
    known = known_of(names)
    known.family = PLAIN
    known.limit = known.sure
    known.whole = not any(finding.code == "shards.gap" for finding in checkpoint.findings)
    shown = [field for field in fields(known) if field.name not in ("architectures", "model_type", "torch_dtype")]
    found, findings = _merged(keys, [field for field in shown if field.confidence != "guess"])
    return Inferred(found, names, known, findings, told=f"{len(keys)} keys, {len(checkpoint.tensors)} tensors")


def beside_keys(shown: Iterable[Field]) -> list[Field]:
    """Fields of tensors, where the config that they are held against was made of a GGUF file's keys and tensors."""
    return [field if field.name in _IN_KEYS else replace(field, witness="") for field in shown]


def _fields_of_keys(checkpoint: Checkpoint) -> list[Field]:
    told = {key: value for file in checkpoint.metadata.values() for key, value in file.items()}
    name = told.get("general.architecture")
    by_tensors = _told_by_tensors(checkpoint)
    found = [_field(field, value, by_tensors.get(field), name) for field, value in (checkpoint.config or {}).items()]
    if any(finding.code == "shards.gap" for finding in checkpoint.findings):  # the head may be in another part
        found = [replace(f, confidence="guess") if f.name == "tie_word_embeddings" and f.value else f for f in found]
    have = {field.name for field in found}
    return [*found, *(field for field in _more(told, str(name)) if field.name not in have)]


def _field(name: str, value: Any, by_tensors: str | None, kind: str | None) -> Field:
    """One that keys say, or that `tracer.checkpoint.gguf.config` reads off the tensors."""
    told = by_tensors or ("tokenizer.ggml keys" if name.endswith("_token_id") else f"keys of {kind}")
    if type(value) is int and value == 0 and name in _COUNTED:
        return Field(name, None, f"{told} say 0, in every layer: no model has none", "unknown")
    sure: Confidence = "certain" if name not in ("architectures", "torch_dtype") else "likely"
    return Field(name, value, told, sure, witness="" if by_tensors else None)


def _told_by_tensors(checkpoint: Checkpoint) -> dict[str, str]:
    """Field -> the tensors that tell it, for which there is no key."""
    shapes = {tensor.name: tensor.shape for tensor in checkpoint.tensors}
    if not shapes:
        return {}
    told = {"torch_dtype": "of most bytes"}
    if _EMBEDDING in shapes:
        head = f"{_HEAD} {shapes[_HEAD]} is stored beside {_EMBEDDING}" if _HEAD in shapes else f"there is no {_HEAD}"
        told |= {"tie_word_embeddings": head, "vocab_size": f"{_EMBEDDING} {shapes[_EMBEDDING]}"}
    biased = {"attention_bias": "attn_q", "out_bias": "attn_output", "mlp_bias": "ffn_down"}
    for field, module in biased.items():
        there = f"blk.0.{module}.bias" in shapes
        told[field] = f"blk.0.{module}.bias" if there else f"blk.0.{module} without a bias"
    return told


def _more(told: Mapping[str, str], name: str) -> Iterator[Field]:
    own = {key.removeprefix(f"{name}."): value for key, value in told.items() if key.startswith(f"{name}.")}
    latent = "attention.kv_lora_rank" in own
    for key, canonical_name in _KEYS.items():
        if own.get(key, "").isdigit() and (latent or canonical_name not in _LATENT_ONLY):
            yield Field(LLAMA_SPELLING[canonical_name], int(own[key]), f"{name}.{key}", "certain")
    widths = [own.get(f"attention.{which}_length_mla", own.get(f"attention.{which}_length", "")) for which in
              ("key", "value")]  # fmt: skip
    rope = own.get("rope.dimension_count", "")
    if latent and all(width.isdigit() for width in widths) and rope.isdigit():
        told_by = f"{name}.attention.key_length, value_length, rope.dimension_count"
        yield Field("qk_nope_head_dim", int(widths[0]) - int(rope), told_by, "certain")
        yield Field("v_head_dim", int(widths[1]), told_by, "certain")


def _merged(keys: list[Field], shown: list[Field]) -> tuple[list[Field], list[Finding]]:
    """Every key, the tensors' word where they disagree, and what only the tensors say."""
    said = canonical({field.name: field.value for field in keys})
    seen = canonical({field.name: field.value for field in shown})
    by_name = {field.name: field for field in shown}
    wrong = {name for name, value in seen.items() if name in said and said[name] != value and _compared(name, value)}
    findings = [_conflict(by_name, name, said[name], seen[name]) for name in sorted(wrong)]
    spelled = {LLAMA_SPELLING.get(name, name) for name in wrong}
    have = {field.name for field in keys} - spelled
    taken = {name for name in said if name not in wrong}
    more = [f for f in shown if f.name not in have and not set(canonical({f.name: f.value})) & taken]
    alike = {LLAMA_SPELLING.get(name, name) for name in taken if _compared(name, seen.get(name))}
    told = {name: field.evidence for name, field in by_name.items() if name in alike}
    own = [replace(key, witness=told.get(key.name, "") if key.witness is None else key.witness) for key in keys]
    return [*(field for field in own if field.name in have), *more], findings


def _compared(name: str, value: object) -> bool:
    """One entry a layer is a list, which equals no single number."""
    return name in ("layers", "hidden", "vocab", "ffn", "experts", "moe_ffn") and isinstance(value, int)


def _conflict(shown: Mapping[str, Field], name: str, said: Any, seen: Any) -> Finding:
    told = next((field.evidence for field in shown.values() if field.value == seen), "the tensors")
    spelled = LLAMA_SPELLING.get(name, name)
    return Finding(
        "config.conflict", "error", spelled, f"the keys say {spelled} = {said}, the tensors {seen}: {told}",
        {"field": spelled, "found": said, "tensors": seen}, "convert the model again",
    )  # fmt: skip
