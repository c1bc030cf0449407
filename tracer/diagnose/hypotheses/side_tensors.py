"""An error names a tensor that a quantiser has put beside a weight: whose it is, and what leaving it out would do."""

from __future__ import annotations

import itertools
from math import prod

from mappings.names import collapse
from tracer.diagnose.hypotheses.modules import OF_CACHE, SIDES, STATE, WORDS, Module, is_side, split
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypotheses.samples import extremes
from tracer.diagnose.hypotheses.strangers import Without
from tracer.diagnose.hypothesis import Hypothesis
from tracer.doctor.quantisation import declared

_BNB = ("absmax", "quant_map", "nested_absmax", "nested_quant_map", STATE)
_ZEROS = ("weight_zero_point", "zero_point", "input_zero_point")
_HEADS = ("lm_head", "output", "embed_out")
_SCALES = ("weight_scale", "weight_scale_inv", "_scale", "scales", "qweight", "weight_packed", "weight_scale_2")
_CONVERTER = "Can not map tensor"


def of_cache(question: Question) -> Hypothesis | None:
    """Scales of keys and values: they belong to the attention, wherever the quantiser has put them."""
    place, leaf = question.place, question.leaf
    if place is None or leaf not in OF_CACHE:
        return None
    own = [tensor for tensor in question.state.tensors if split(tensor.name)[1] in OF_CACHE]
    leaf = split(place.names[0])[1]
    home = place.names[0].rpartition(".")[0].rpartition(".")[2]
    told = f"{counted(len(own), 'scale')} of the KV cache ({folded(place.kin, 1)}), and no scale of a weight"
    if place.fused:
        told += (
            f": the row that fuses {home} into {place.fused} took it for a leaf of the projection and made"
            f" {place.said} of it; it belongs to the attention, as `attn.{leaf}`"
        )
    elif doubled := _doubled(question):
        told += f": it was looked for as {doubled}, with a word twice, and so it was not found"
    else:
        told += f": it belongs to the attention, as `attn.{leaf}`, and the engine has no such parameter there"
    range_ = extremes(question.state, own)
    if range_ and range_ != (1.0, 1.0):
        told += f"; the values are {range_[0]:.3g} to {range_[1]:.3g}, and without them the cache would use 1.0"
    told += "; leaving it out is safe with a cache that is not scaled (bf16, fp8_e5m2), and changes results with e4m3"
    return question.answer(
        "quant.orphan", place.subject, told, {"tensors": [tensor.name for tensor in own][:64], "count": len(own)},
        "use an engine that maps them, or a cache in the model's own type (--kv-cache-dtype auto)",
    )  # fmt: skip


def _doubled(question: Question) -> str | None:
    """A name in the complaint with the same segment twice in a row."""
    for name in question.complaint.names:
        segments = name.split(".")
        if any(a == b and not a.isdigit() for a, b in itertools.pairwise(segments)):
            return name
    return None


def of_bitsandbytes(question: Question) -> Hypothesis | None:
    """The state of 4-bit weights, which only bitsandbytes' own load format takes."""
    place = question.place
    if place is None or question.leaf not in _BNB:
        return None
    packed = [module for module in question.modules.values() if module.kind == "bitsandbytes-4"]
    if not packed:
        return None
    kind = next((leaf.partition("__")[2].upper() for module in packed for leaf in _state_names(module)), "4-bit")
    nested = any("nested_absmax" in module.leaves for module in packed)
    told = (
        f"{counted(len(packed), 'weight')} were quantised by bitsandbytes beforehand ({kind}"
        f"{', nested (double) quantisation' if nested else ''}), and {split(place.names[0])[1]} is part of what they"
        " are unpacked with: the engine was not told to load them so"
    )
    return question.answer(
        "quant.orphan", place.subject, told, {"count": len(packed), "type": kind, "nested": nested},
        "load with --quantization bitsandbytes --load-format bitsandbytes, at tp 1: the codes lie in one flat column,"
        " which no rank can take rows of without unpacking (use pp, or 16-bit weights)",
    )  # fmt: skip


def _state_names(module: Module) -> list[str]:
    state = module.leaves.get(STATE)
    return [state.name.rpartition(".")[2]] if state else []


def of_converter(question: Question) -> Hypothesis | None:
    """A converter that takes weights and no scales."""
    place = question.place
    if place is None or not is_side(place.names[0]):
        return None
    if question.complaint.program != "llama.cpp" and _CONVERTER not in question.complaint.text:
        return None
    leaf, module = split(place.names[0])[1], question.module_of(place.names[0])
    if not module.leaves:
        return None
    weight = module.leaves.get("weight")
    packed = [each for each in question.modules.values() if each.kind == module.kind]
    told = f"the source is quantised already: {counted(len(packed), 'weight')} in {WORDS[module.kind]}"
    scale = module.leaves.get(leaf)
    if weight is not None and scale is not None:
        shapes = f"{weight.name} is {weight.dtype} {list(weight.shape)}, {leaf} {list(scale.shape)}"
        told += f" ({shapes}{_blocks(module, leaf)})"
    told += "; a converter needs 16-bit weights, and without the scales every number would be wrong by its factor"
    return question.answer(
        "quant.unsupported", place.subject, told, {"kind": module.kind, "count": len(packed)},
        "dequantise to BF16 first, or convert the original 16-bit weights",
    )  # fmt: skip


def _blocks(module: Module, leaf: str) -> str:
    weight, scale = module.leaves["weight"], module.leaves[leaf]
    if module.kind == "ternary":
        return ": four ternary values a byte"
    if len(scale.shape) == 2 and len(weight.shape) == 2 and 0 not in scale.shape and prod(scale.shape) > 1:
        a, b = (-(-w // s) for w, s in zip(weight.shape, scale.shape, strict=True))
        return f": blocks of {_even(a)} x {_even(b)}"
    return ""


def _even(size: int) -> int:
    """The power of two that a block of about this size has."""
    return 1 << max(0, (size - 1).bit_length()) if size > 1 else 1


def of_zero_points(question: Question) -> Hypothesis | None:
    """Codes that are not centred."""
    place = question.place
    if place is None or question.leaf not in _ZEROS:
        return None
    own = [tensor for tensor in question.state.tensors if split(tensor.name)[1] == split(place.names[0])[1]]
    range_ = extremes(question.state, own)
    values = ""
    if range_:
        values = f", {range_[0]:g} to {range_[1]:g}" if range_[0] != range_[1] else f", all of them {range_[0]:g}"
    told = (
        f"{counted(len(own), 'zero point')} ({place.subject}{values}): the codes are asymmetric, and the engine has"
        " built"
        " a symmetric layer without a place for them; leaving them out would shift every weight"
    )
    if range_ and not any(range_):
        told = (
            f"{counted(len(own), 'zero point')} ({place.subject}) are all 0: the codes are symmetric after all, and"
            " the engine's layer has no place for what it does not need"
        )
    return question.answer(
        "quant.orphan", place.subject, told, {"count": len(own)}, "quantise with symmetric weights, or use an engine"
        " whose kernel takes zero points",
    )  # fmt: skip


def of_activations(question: Question) -> Hypothesis | None:
    """A scale below a module that has no parameters: it multiplies what goes through."""
    place = question.place
    if place is None or not is_side(place.names[0]):
        return None
    module = split(place.names[0])[0]
    if not module.rpartition(".")[2].startswith(("act", "activation")):
        return None
    told = (
        f"{counted(len(place.kin), 'tensor')} hang off {module.rpartition('.')[2]}, which has no parameters in any"
        " architecture: AWQ stored a scale of the activation, which multiplies the input of what follows; no row exists"
        " for it, and leaving it out changes the function, so this engine cannot load the checkpoint faithfully"
    )
    return question.answer(
        "quant.orphan", place.subject, told, {"count": len(place.kin)},
        "quantise again with a quantiser that folds the scale into the weights", assume=Without(place.kin),
    )  # fmt: skip


def of_head(question: Question) -> Hypothesis | None:
    """A quantised output, which most loaders build plain."""
    place = question.place
    if place is None or (not is_side(place.names[0]) and split(place.names[0])[1] not in ("qweight", "weight_packed")):
        return None
    module = question.module_of(place.names[0])
    if module.role not in _HEADS or module.kind == "plain":
        return None
    packed = [each for each in question.modules.values() if each.kind != "plain"]
    others = len(packed) - 1
    told = (
        f"{module.name} is stored quantised ({WORDS[module.kind]}), and the engine has built it plain:"
        f" {1} of {others + 1} quantised modules has no slot"
    )
    return question.answer(
        "quant.orphan", place.subject, told, {"module": module.name, "quantised": others + 1},
        "set lm_head in the quantisation's config (`lm_head: true`, or targets that name it) where the engine reads it,"
        " or store the head in 16 bits",
    )  # fmt: skip


def of_others(question: Question) -> Hypothesis | None:
    """Any other side tensor of a scheme that is declared."""
    place = question.place
    if place is None or split(place.names[0])[1] not in SIDES | set(_SCALES):
        return None
    scheme, _ = declared(question.state.config, question.state.checkpoint.files)
    leaf, module = split(place.names[0])[1], question.module_of(place.names[0])
    if scheme is None or not module.leaves:
        return None
    method = scheme.get("quant_method") or scheme.get("quant_algo") or "a scheme without a name"
    own = [each for each in question.names if split(each)[1] == leaf]
    like = f"{counted(len(own), 'tensor')} like {collapse(place.kin)[0][0]}"
    shared = f"config.json declares {method}, and {like} belong to it"
    if leaf in _SCALES:
        told = (
            f"{shared}: the engine has built {place.said.rpartition('.')[0]} without quantisation, so it has not read"
            f" the declaration, or does not know {method} for {WORDS[module.kind]}; raw codes would be read as weights"
        )
        return question.answer("quant.unsupported", place.subject, told, {"method": str(method), "count": len(own)},
                               "name the scheme to the engine (--quantization), or use a version that knows"
                               " it")  # fmt: skip
    what = "a static scale of the layer's input" if leaf.startswith("input") else "a side tensor of the quantisation"
    told = f"{shared}: {leaf} is {what}, and the layer that the engine has built has no place for it"
    return question.answer("quant.orphan", place.subject, told, {"method": str(method), "count": len(own)},
                           "use an engine, or a version of it, whose kernel for this scheme takes it")  # fmt: skip
