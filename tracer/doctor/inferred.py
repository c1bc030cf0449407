"""config.json against what names and shapes say, by `tracer.infer`: what it is sure of, and only that.

Where rows apply they judge, and this says which field of config.json is the cause of what they found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mappings.findings import Finding
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.doctor.numbers import text_of
from tracer.infer import Inferred, infer
from tracer.infer.families import BY_MODEL_TYPE

_FULL = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_CODES = ("config.conflict", "tie.conflict")

_OTHERS = ("bits", "group_size")
"""What `quantisation.py` judges."""


def examine_inferred(checkpoint: Checkpoint, alone: bool = False) -> list[Finding]:
    """Fields that headers contradict; nothing where there are none, since sizes and names alone leave it a guess.

    `alone`: no rows judge, so that the class is among the fields.
    """
    config = checkpoint.config
    if config is None or not checkpoint.tensors or len(checkpoint.tensors) < len(checkpoint.names):
        return []
    found = infer(checkpoint)
    findings = [each for each in found.findings if each.severity == "error"
                and (each.code in _CODES or (alone and _is_another_class(each)))
                and each.subject not in _OTHERS and not _is_elsewhere(each, found)]  # fmt: skip
    if any(item.name == "config against names" for item in found.unchecked):
        findings = [replace(each, severity="warning") for each in findings]
    if checkpoint.format is not GGUF:
        findings += _outside(found, checkpoint, config)
    return findings


def _is_another_class(mismatch: Finding) -> bool:
    """Whether tensors are stored that the class does not have. What is absent may be so by a field, as experts are
    where all layers are dense."""
    return mismatch.code == "arch.mismatch" and mismatch.fix is not None and not mismatch.evidence["absent"]


def _is_elsewhere(conflict: Finding, found: Inferred) -> bool:
    """Whether the width of an MLP was read off one outside of the layers, as the generator of images has in Janus."""
    stack = found.names.stack if found.names is not None else ""
    return "intermediate" in conflict.subject and bool(stack) and f"{stack}." not in conflict.message


def _outside(found: Inferred, checkpoint: Checkpoint, config: Mapping[str, Any]) -> Iterator[Finding]:
    """The two things that every decoder of a known type has beside its layers."""
    names, text = found.names, text_of(config)[1]
    kind = str(text.get("model_type"))
    classes = config.get("architectures")
    if names is None or kind not in BY_MODEL_TYPE or not isinstance(classes, list) or not names.stack or names.others:
        return
    if not any(str(each).endswith(_FULL) for each in classes):
        return
    outside = [tensor for tensor in checkpoint.tensors if not tensor.name.startswith(f"{names.stack}.")]
    tables = [t for t in outside if "embed" in t.name or "wte" in t.name or text.get("vocab_size") in t.shape[:1]]
    if not any(group.role == "embed" for group in names.groups):
        heads = {group.template for group in names.groups if group.role == "head"}
        if all(tensor.name in heads for tensor in tables):
            yield _lacks("the embedding of its words", names.stack)
    norms = [group.shape for group in names.groups if group.module == "input_layernorm" and group.stack == names.stack]
    if norms and norms[0] and not any(tensor.shape == norms[0] for tensor in outside):
        what = f"no tensor outside of the layers has {norms[0][0]} numbers, as theirs have"
        yield _lacks(f"the norm behind its last layer: {what}", names.stack)


def _lacks(what: str, stack: str) -> Finding:
    return Finding(
        "param.unfilled", "error", stack, f"the decoder of {stack} lacks {what}", {"stack": stack},
        "look for it in the other files, or download them anew",
    )  # fmt: skip
