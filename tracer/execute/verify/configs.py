"""Where two configs of one architecture differ in what they compute, defaults spelled out.

A reference of another folder computes by that folder's config.json. Where that differs from the one in use here, states
depart although every tensor is sound, so this is looked at before any of them is suspected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any, NamedTuple

from mappings.findings import Finding, Severity

IDLE = frozenset({
    "initializer_range", "pretraining_tp",  # how it was made
    "attention_dropout", "hidden_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop",  # training only, as is
    "router_jitter_noise", "router_aux_loss_coef", "output_router_logits",  # the experts' balance
    "bos_token_id", "eos_token_id", "pad_token_id", "use_cache",  # what happens around a pass
    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
    "summary_first_dropout",  # GPT-2's head for classification
    "slow_but_exact", "reorder_and_upcast_attn",  # the same numbers, rounded otherwise
})  # fmt: skip
"""Fields that Transformers' classes know and that no logit of a pass over a prompt depends on. Fields that they do not
know are not compared either: nothing reads them. All others are: one too many is a line, one too few blames a tensor.
"""
LENGTH = "max_position_embeddings"
"""Bounds prompts, and decides only how rotary frequencies are scaled, where they are."""
CLOSE = 1e-6
"""GGUF files keep in float32 what config.json says in decimals."""
SPELLED = 6
"""Fields that are named with their values; all of them are in the evidence."""
LONGEST = 60
"""Characters of a value."""


class Field(NamedTuple):
    """A field that is another there."""

    name: str
    """`rope_parameters.rope_theta`, `layer_types[3]`."""
    ours: Any
    theirs: Any

    def told(self) -> str:
        """In words."""
        return f"{self.name} is {_shown(self.ours)} here and {_shown(self.theirs)} there"


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Field]:
    """Of two configs with their defaults, by name; an absent field equals null."""
    return list(_fields("", ours, theirs))


def conflict(fields: list[Field], folder: str, config_path: str | None, state: str) -> Finding:
    """One finding about all of them; `state` is the verdict's. Where results agree, the prompt does not show it."""
    more = f", and {len(fields) - SPELLED} more" if len(fields) > SPELLED else ""
    told = ", ".join(field.told() for field in fields[:SPELLED])
    severity: Severity = "error" if state == "failed" else "warning"
    hidden = " (these ids do not show it)" if state == "ok" else ""
    return Finding(
        "config.conflict", severity, fields[0].name, f"config.json computes something else than that of {folder}:"
        f" {told}{more}{hidden}", {field.name: [field.ours, field.theirs] for field in fields},
        f"if that of {folder} is right: --hf-config-path {config_path}" if config_path else None,
    )  # fmt: skip


def _fields(prefix: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Field]:
    idle = IDLE if _scaled(ours) or _scaled(theirs) else IDLE | {LENGTH}
    for name in sorted({*ours, *theirs}):
        if name not in idle:
            yield from _values(f"{prefix}{name}", _value(name, ours), _value(name, theirs))


def _values(name: str, own: Any, other: Any) -> Iterator[Field]:
    """Of a list the first entry that differs."""
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        yield from _fields(f"{name}.", own, other)
    elif isinstance(own, list) and isinstance(other, list) and len(own) == len(other):
        pairs = (_values(f"{name}[{place}]", *pair) for place, pair in enumerate(zip(own, other, strict=True)))
        yield from next(filter(None, map(list, pairs)), [])
    elif not _equal(own, other):
        yield Field(name, own, other)


def _value(name: str, config: Mapping[str, Any]) -> Any:
    """Where null stands for something that follows from other fields, that."""
    value = config.get(name)
    if value is not None:
        return value
    if name == "head_dim" and config.get("num_attention_heads"):
        return config.get("hidden_size", 0) // config["num_attention_heads"]
    if name == "n_inner" and config.get("n_embd"):
        return 4 * config["n_embd"]
    return 1.0 if name == "partial_rotary_factor" else None


def _scaled(config: Mapping[str, Any]) -> bool:
    rotary = config.get("rope_parameters")
    return isinstance(rotary, Mapping) and rotary.get("rope_type", "default") != "default"


def _equal(own: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (own, other))
    return isclose(own, other, rel_tol=CLOSE) if numbers else bool(own == other)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
