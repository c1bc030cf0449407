"""The proofs of a binding and its checkpoint, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

from mappings.bind import Binding
from mappings.findings import Finding
from mappings.plan import plan
from mappings.proof import Proof, Span, prove
from mappings.synth import Synthetic, synthesise

BYTES = {"BF16": 2, "F32": 4, "F8_E4M3": 1}
ILLEGAL: dict[str, dict[int, str]] = {
    "gpt2": {8: "head", 16: "head"},
    "qwen2-0.5b": {4: "head", 8: "head", 16: "head"},
    "qwen2-7b": {8: "head", 16: "head"},
}
"""12, 14 and 28 heads; everything else can be cut by all of 1, 2, 4, 8 and 16."""


def spans_of(tensors: Sequence[Synthetic]) -> list[Span]:
    """As they lie in a file, one behind the other after a header of 100 bytes."""
    stops = list(accumulate((prod(t.shape) * BYTES[t.dtype] for t in tensors), initial=100))
    named = zip(tensors, stops, stops[1:], strict=False)
    return [Span("model.safetensors", 0, 100, ""), *(Span("model.safetensors", a, b, t.name) for t, a, b in named)]


def proofs(binding: Binding, tensors: Sequence[Synthetic] | None = None) -> list[Proof]:
    """Of the tensors that the binding asks for, unless others are given."""
    tensors = synthesise(binding) if tensors is None else tensors
    return prove(plan(binding, tensors), spans_of(tensors))


def failing(found: Sequence[Proof]) -> list[str]:
    return [proof.name for proof in found if not proof.holds]


def errors(found: Sequence[Proof]) -> list[Finding]:
    return [finding for proof in found for finding in proof.findings if finding.severity == "error"]
