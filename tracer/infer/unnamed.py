"""Files without names: pointers to one file and no index. Of quantised decoders the size alone tells much.

What is tried are the published Llamas as AutoGPTQ writes them: `qweight`, `qzeros`, `scales`, `g_idx` and a bias of
zeros for each linear layer, the rest in F16. How they were quantised, `quantize_config.json` may say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mappings.findings import Unchecked
from mappings.names import blank
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.json_object import read_object
from tracer.infer import logical
from tracer.infer.derive import Known, fields
from tracer.infer.equations import Solved, equations
from tracer.infer.families import family_of
from tracer.infer.fields import Confidence, weaker
from tracer.infer.loads import Load, Reading, Scale, room_of
from tracer.infer.names import Structure, grouped, structure
from tracer.infer.polynomials import Packing
from tracer.infer.published import Published, published
from tracer.infer.resolve import resolve
from tracer.infer.unknown import completed

if TYPE_CHECKING:
    from tracer.infer import Inferred

_LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
           "mlp.up_proj", "mlp.down_proj")  # fmt: skip
_NOTHING = Unchecked("names", "no file of weights is here, and no index that names tensors")
_GPTQ = "quantize_config.json"
_GROUPS = (128, 32, 64, 0)
_READING = Reading(2, 2, 2, 2, 0, False)
_ROUGH = 0.01
"""No header has a larger share of a file of that size."""
_NEAR = 0.0005
"""Older converters left a few megabytes more in their files."""


def of_files(checkpoint: Checkpoint) -> Inferred:
    """The published geometry whose quantised form has just this size."""
    from tracer.infer import Inferred

    alone = len(checkpoint.pointer_sizes) == 1 and _is_quantised(checkpoint)
    found = list(_answers(checkpoint, 0)) if alone else []
    exact = bool(found)
    found = found or (list(_answers(checkpoint, _NEAR)) if alone else [])
    if not found:
        return Inferred([], unchecked=[_NOTHING])
    each, names, packing, biased = found[0]
    same = all(other.atoms == each.atoms for other, *_ in found)
    file, size = next(iter(checkpoint.pointer_sizes.items()))
    packed = f"{packing.bits} bits in groups of {packing.group or -1}"
    told = f"{file} has {size} bytes, {'' if exact else 'about '}as many as {each.name} with {packed}"
    sure: Confidence = "likely" if same and exact else "guess"
    known = Known(
        names, family_of(names), Solved(dict(each.atoms)), {**each.fields, "dim": each.atoms.get("dim", 0)}, each.name,
        False, sure, told, "F16", logical.gptq(packing.bits, packing.group or -1), told,
    )  # fmt: skip
    # The names were made up for the geometry, so that nothing is surer than it is.
    told_fields = [replace(field, confidence=weaker(field.confidence, sure)) for field in fields(known)]
    told_fields = completed(told_fields, known)
    return Inferred(told_fields, names, known, told=f"the size of {file}{'' if biased else ', without biases'}")


def _is_quantised(checkpoint: Checkpoint) -> bool:
    """Whether anything but the size says so: some published geometry, packed somehow, has nearly every size."""
    return checkpoint.files.has(_GPTQ) or any("gptq" in file.lower() for file in checkpoint.pointer_sizes)


def _answers(checkpoint: Checkpoint, near: float) -> Iterator[tuple[Published, Structure, Packing, bool]]:
    """With `near`, a file may have that share of its bytes for reasons of its own."""
    ((file, size),) = checkpoint.pointer_sizes.items()
    near_enough = [each for packing in _packings(checkpoint) for each in _llamas() if _is_near(each, packing, size)]
    for layers in sorted({each.fields["layers"] for each in near_enough}):
        for biased in (True, False):
            names = _names(layers, biased)
            sorted_names = structure(grouped(names, []))
            table = equations(sorted_names, {})
            counts = Counter(blank(name)[0] for name in names)
            for packing in _packings(checkpoint):
                rooms = {file: (0.0, _ROUGH * size)}
                scale = Scale(sorted_names, table, packing, {file: counts}, {file: size}, None, rooms)
                rough = scale.loads(_READING)
                likely = [each for each in _llamas() if each.fields["layers"] == layers and _holds(rough, each)]
                if likely:  # only then is the header worth spelling out
                    low, high = room_of(names)
                    scale.rooms[file] = (low, high + near * size)
                    loads = scale.loads(_READING)
                    yield from ((each, sorted_names, packing, biased) for each in likely if _holds(loads, each))


def _is_near(each: Published, packing: Packing, size: int) -> bool:
    """Whether its matrices, packed, are most of the file: a quick look before thousands of names are made."""
    atoms = each.atoms
    layer = atoms["hidden"] * (2 * atoms["q"] + 2 * atoms["kv"] + 3 * atoms["ffn"])
    tables = 4 * atoms["vocab"] * atoms["hidden"]
    layers: int = each.fields["layers"]
    packed = layers * layer * packing.bits // 8
    return packed + tables <= size <= 1.4 * packed + tables


def _holds(loads: list[Load], each: Published) -> bool:
    fit = resolve(loads, each.atoms, {})
    return fit is not None and not fit.open


def _llamas() -> list[Published]:
    kinds = ("llama", "mistral")
    return [each for each in published() if each.config.get("model_type") in kinds and each.fields.get("layers")]


def _names(layers: int, biased: bool) -> list[str]:
    leaves = ("qweight", "qzeros", "scales", "g_idx", *(("bias",) if biased else ()))
    inside = [f"{module}.{leaf}" for module in _LINEAR for leaf in leaves]
    inside += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    return [
        "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
        *(f"model.layers.{layer}.{name}" for layer in range(layers) for name in inside),
    ]  # fmt: skip


def _packings(checkpoint: Checkpoint) -> list[Packing]:
    if checkpoint.files.has(_GPTQ):
        told = read_object(checkpoint.files, _GPTQ, "config.invalid")
        bits, group = told.get("bits"), told.get("group_size")
        if type(bits) is int and type(group) is int and 0 < bits <= 8:
            return [Packing(bits, max(0, group))]
    return [Packing(bits, group) for bits in (4, 8, 3, 2) for group in _GROUPS]
