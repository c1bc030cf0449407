"""Zeros that a model begins with: gates and projections that are to change nothing until they are trained.

Beside trained layers such a module is worth telling of, since it was never trained or never written. In a model that
is as it was drawn throughout it is what its class makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from mappings.findings import Finding
from mappings.names import blank
from tracer.checkpoint.folder import Checkpoint
from tracer.diff.values.rows import Unreadable
from tracer.meaning.drawn import DRAWN, of_layers
from tracer.meaning.material import Material
from tracer.values.roles import words

_TABLES = {"embed", "embedding", "embeddings", "wte", "head", "output"}
"""No class begins them with zeros."""


def remarked(found: Iterable[Finding], checkpoint: Checkpoint, config: Mapping[str, Any]) -> list[Finding]:
    """`value.all-zero` as a remark where nothing was trained and all tensors of that name are zero; the rest as is."""
    return [
        _remark(each) if _may_begin_so(each, checkpoint) and never_trained(checkpoint, config) else each
        for each in found
    ]  # fmt: skip


def never_trained(checkpoint: Checkpoint, config: Mapping[str, Any]) -> bool:
    """Whether the matrices of every layer are as they were drawn; not where there are no layers to tell by."""
    with closing(Material(checkpoint, config)) as material:
        try:
            layers = of_layers(material)
        except Unreadable:
            return False
    return bool(layers) and max(max(held.values()) for held in layers.values()) < DRAWN


def _may_begin_so(finding: Finding, checkpoint: Checkpoint) -> bool:
    """Whether no other tensor of the same name, numbers aside, has numbers in it: of damage one would be left."""
    if finding.code != "value.all-zero" or finding.severity != "error":
        return False
    templates = {blank(name)[0] for name in finding.evidence.get("names", ())}
    alike = [tensor for tensor in checkpoint.tensors if blank(tensor.name)[0] in templates]
    tables = any(words(name) & _TABLES for name in templates)
    return bool(templates) and not tables and len(alike) == finding.evidence["tensors"]


def _remark(finding: Finding) -> Finding:
    message = f"{finding.subject}: zero, in a model of which no layer was trained: so its class may begin it"
    return replace(finding, severity="info", message=message, fix=None)
