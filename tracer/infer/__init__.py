"""Architecture and config fields from names and shapes; config.json decides where these leave only a guess.

What shapes alone say is in `shapes`, how a model can be divided in `parallel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mappings.findings import Finding, Unchecked
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import logical
from tracer.infer.agreement import decided
from tracer.infer.conflicts import against
from tracer.infer.derive import Known, fields, layers_of
from tracer.infer.equations import equations, solve
from tracer.infer.families import family_of, published_as
from tracer.infer.fields import Field
from tracer.infer.loads import Scale
from tracer.infer.misfits import of_sizes
from tracer.infer.names import Structure, grouped, structure
from tracer.infer.published import alike, architecture_of
from tracer.infer.scales import scales_of
from tracer.infer.sizes import weighed
from tracer.infer.unknown import completed

__all__ = ["Field", "Inferred", "compare", "infer", "of_names"]


@dataclass
class Inferred:
    """What a checkpoint says of itself without its config.json."""

    fields: list[Field]
    names: Structure | None = None
    known: Known | None = None
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    told: str = ""
    """What was looked at, with counts."""
    scales: list[Scale] = field(default_factory=list)
    """What is known of the sizes of files that are not here."""

    def config(self) -> dict[str, object]:
        """What is known, as a config.json."""
        return {f.name: f.value for f in self.fields if f.confidence != "unknown" and f.value is not None}


def infer(checkpoint: Checkpoint) -> Inferred:
    """Everything that names, shapes and sizes say; an existing config.json is compared with it, and decides what they
    leave to a guess where it fits them."""
    if checkpoint.format is GGUF:
        from tracer.infer.keys import of_gguf

        return of_gguf(checkpoint)
    if not checkpoint.names:
        from tracer.infer.unnamed import of_files

        return of_files(checkpoint)
    known = known_of(structure(grouped(checkpoint.names, checkpoint.tensors)))
    known.whole = checkpoint.index is not None or not any(f.code == "shards.gap" for f in checkpoint.findings)
    scales: list[Scale] = []
    if checkpoint.index is not None and len(checkpoint.tensors) < len(checkpoint.names):
        scales = scales_of(checkpoint, known)
        known = weighed(scales, known)
    found = _inferred(known, len(checkpoint.names), len(checkpoint.tensors))
    found.scales = scales
    if checkpoint.config is not None:
        _beside(found, checkpoint.config)
    return found


def _beside(found: Inferred, config: Mapping[str, Any]) -> None:
    """Compare, and let the config decide between what fits the tensors equally well."""
    compare(found, config)
    if found.known is not None and not (found.unchecked and found.known.source):
        found.fields = decided(found.fields, found.known, config, found.findings)


def compare(found: Inferred, config: Mapping[str, Any]) -> None:
    """Put a config.json beside what was inferred: findings, and what could not be compared."""
    if found.known is not None:
        by_size = found.known.source or not found.known.solved.atoms
        sizes = of_sizes(found.scales, found.known, config) if by_size else ([], [])
        found.findings, found.unchecked = against(found.known, config, sizes)


def of_names(names: Sequence[str], tensors: Sequence[TensorInfo], config: dict[str, Any] | None = None) -> Inferred:
    """The same of tensors that are in no file; `config` is compared where there is one."""
    known = known_of(structure(grouped(names, tensors)))
    found = _inferred(known, len(names), len(tensors))
    if config is not None:
        _beside(found, config)
    return found


def _inferred(known: Known, names: int, tensors: int) -> Inferred:
    known = compared(known)
    return Inferred(completed(fields(known), known), known.names, known, told=_told(known.names, names, tensors))


def known_of(names: Structure) -> Known:
    """What shapes say; of names alone, nothing but the structure."""
    family = family_of(names)
    hidden = logical.narrow(names)
    table = equations(names, family.equations)
    solved = solve(logical.shapes(names, hidden), table)
    config, told = logical.quantisation(names, hidden)
    known = Known(names, family, solved, dtype=logical.dtype_of(names), quantisation=config, quantised_by=told)
    known.limit = known.sure
    return known


def compared(known: Known) -> Known:
    """The same, with the published geometry that has these widths, if there is one."""
    here, _, _ = layers_of(known.names)
    if not known.published_name:
        found = alike(len(here), known.solved.atoms, known.family.model_type)
        if found is not None:
            own = {**found.fields, "dim": found.atoms.get("dim", 0)}
            known = replace(known, published=own, published_name=found.name)
    architecture = architecture_of(known.published_name)
    return replace(known, family=published_as(known.family, architecture)) if architecture else known


def _told(names: Structure, count: int, tensors: int) -> str:
    beside = [f"{tower} ({_count(groups)})" for tower, groups in names.towers.items()]
    others = f"; beside the text decoder: {', '.join(beside)}" if beside else ""
    shapes = f"{tensors} with shapes" if tensors else "no shapes"
    return f"{count} names, {shapes}{others}"


def _count(groups: Sequence[object]) -> int:
    return sum(len(getattr(group, "indices", ())) for group in groups)
