"""Packed weights and the tensors beside them: none without the other, and both as the configs say.

Sources: what AutoGPTQ, AutoAWQ, AutoRound, AQLM, VPTQ, bitsandbytes, compressed-tensors and MLX write. Segments of
names, never parts of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mappings.findings import Finding
from mappings.schemes import DECLARED_IN
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.json_object import read_object
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.numbers import sections
from tracer.errors import InputError

GPTQ_CONFIG = "quantize_config.json"
_AWQ_CONFIG = "quant_config.json"
_OWN = ("dynamic", "extra_config")
"""Fields for layers with bits of their own, as GPTQModel and AutoRound have them."""
_SIDES: dict[str, tuple[str, ...]] = {
    "qzeros": ("qweight",), "g_idx": ("qweight",), "scales": ("qweight", "weight", "codes"), "biases": ("weight",),
    "SCB": ("weight",), "weight_format": ("weight",),
    "weight_scale": ("weight", "weight_packed", "compressed", "indices"),
    "weight_scale_inv": ("weight",), "weight_scale_2": ("weight", "weight_packed"),
    "weight_zero_point": ("weight", "weight_packed"), "weight_shape": ("weight_packed",),
    "weight_g_idx": ("weight_packed",), "weight_global_scale": ("weight_packed",),
    "absmax": ("",), "quant_map": ("",), "nested_absmax": ("",), "nested_quant_map": ("",),
}  # fmt: skip
"""Last segment of a side tensor -> what must lie beside it; an empty one is the tensor that the name goes on from."""
_COMMON = {"scales", "biases"}
_NEEDED = {"qweight": ("scales",), "weight_packed": ("weight_scale",)}
"""Packed weights that mean nothing without what lies beside them."""
_COMPARED = ("bits", "group_size", "desc_act", "sym", "zero_point", "quant_method")
_WORD = 32
"""Bits of the integers that weights are packed in."""
_MOST_BITS = 8


def pairs_of_sides(names: Sequence[str], declared: bool) -> Iterator[Finding]:
    """Side tensors without their weight, and packed weights without their sides.

    Where nothing is `declared` to be quantised, words that mean something elsewhere too are passed over.
    """
    known, sides = set(names), _SIDES.keys() - (() if declared else _COMMON)
    orphans, lacking = [], []
    for name in names:
        module, _, leaf = name.rpartition(".")
        if leaf in sides and not any((f"{module}.{main}" if main else module) in known for main in _SIDES[leaf]):
            orphans.append(name)
        elif leaf in _NEEDED:
            lacking += [f"{module}.{side}" for side in _NEEDED[leaf] if f"{module}.{side}" not in known]
    yield from _alone("quant.orphan", orphans, "side tensors of quantised weights have no weight beside them")
    yield from _alone("quant.missing", lacking, "packed weights lack what they are unpacked with")


_FIXES = {
    "quant.orphan": "look for the weights in the other files, or convert the model again",
    "quant.missing": "look for it in the other files, or quantise the model again",
}  # fmt: skip


def _alone(code: str, names: Sequence[str], what: str) -> Iterator[Finding]:
    if names:
        said = f"{len(names)} {what}: {some(names)}"
        yield Finding(code, "error", names[0], said, {"tensors": list(names)}, _FIXES[code])


def declared(config: Mapping[str, Any], files: Files) -> tuple[Mapping[str, Any] | None, list[Finding]]:
    """What config.json says of the quantisation, or quantize_config.json does, and where the two differ."""
    own, other = in_config(config), _beside(files, GPTQ_CONFIG)
    if own is None or other is None:
        return own or other or _of_awq(_beside(files, _AWQ_CONFIG)), []
    differing = [key for key in _COMPARED if key in own and key in other and own[key] != other[key]]
    return own, [_differ(key, own[key], other[key]) for key in differing]


def in_config(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of models with towers it is often in the decoder's part."""
    found = (part.get(field) for _, part in sections(config) for field in DECLARED_IN)
    return next((own for own in found if isinstance(own, dict) and own), None)


def _beside(files: Files, file: str) -> Mapping[str, Any] | None:
    try:
        return read_object(files, file, "config.invalid") if files.has(file) else None
    except InputError:
        return None


def _of_awq(own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What AutoAWQ wrote before config.json had a place for it, in the words that came later."""
    if own is None:
        return None
    return {"quant_method": "awq", "bits": own.get("w_bit"), "group_size": own.get("q_group_size"), **own}


def _differ(key: str, own: object, other: object) -> Finding:
    return Finding(
        "config.conflict", "warning", key,
        f"config.json: quantization_config.{key} is {own!r:.60}, {GPTQ_CONFIG} has {other!r:.60}: loaders differ in"
        " which they read", {"field": key, "config": own, "quantize_config": other}, "make them say the same",
    )  # fmt: skip


def against_names(scheme: Mapping[str, Any] | None, names: Sequence[str]) -> Iterator[Finding]:
    """The declaration against what there is, as far as names tell."""
    leaves: dict[str, int] = defaultdict(int)
    for name in names:
        leaves[name.rpartition(".")[2]] += 1
    method = str(scheme.get("quant_method", "")).lower() if scheme else ""
    packed = leaves["qweight"]
    marlin = scheme is not None and (scheme.get("is_marlin_format") is True or _spelled(scheme) == "marlin")
    if method in ("gptq", "awq") and not packed and not marlin:
        yield Finding(
            "quant.missing", "error", "quantization_config",
            f"config.json: quantization_config declares {method}, but none of {len(names)} tensors is a qweight",
            {"quant_method": method}, "remove quantization_config, or take the quantised files",
        )  # fmt: skip
    mlx = scheme is None and leaves["biases"] and leaves["biases"] == leaves["scales"]
    if scheme is None and (packed or mlx):
        what, count = ("qweight", packed) if packed else ("scales", leaves["scales"])
        yield Finding(
            "config.missing-field", "error", "quantization_config",
            f"{count} tensors are packed ({what}), and nothing says with how many bits and which groups",
            {"tensors": count}, "add quantization_config (bits, group_size, quant_method)",
        )  # fmt: skip


def _spelled(scheme: Mapping[str, Any]) -> str:
    return str(scheme.get("checkpoint_format", "")).lower()


def against_shapes(scheme: Mapping[str, Any] | None, tensors: Sequence[TensorInfo]) -> Iterator[Finding]:
    """Bits and groups against the shapes of packed weights, where one declaration holds for all."""
    bits, group = (scheme or {}).get("bits"), (scheme or {}).get("group_size")
    if scheme is None or type(bits) is not int or type(group) is not int:
        return
    by_name = {tensor.name: tensor for tensor in tensors}
    wrong: dict[tuple[Packing, ...], list[str]] = defaultdict(list)
    for tensor in tensors:
        module, _, leaf = tensor.name.rpartition(".")
        scales = by_name.get(f"{module}.scales")
        found = _measured(tensor, leaf, scales, by_name.get(f"{module}.g_idx"), group) if scales else ()
        if found and (bits, group) not in found and not _is_overridden(scheme, module):
            wrong[found].append(tensor.name)
    for fitting, names in wrong.items():
        have = " or ".join(f"{real} bits in groups of {size}" for real, size in fitting)
        yield Finding(
            "config.conflict", "error", names[0],
            f"config.json declares {bits} bits in groups of {group}, but {len(names)} packed weights have {have}:"
            f" {some(names)}", {"bits": bits, "group_size": group, "found": fitting, "tensors": names},
            f"set bits to {fitting[0].bits} and group_size to {fitting[0].group}",
        )  # fmt: skip


METHOD = "quantization_config.quant_method"
_WORDS_OF = ("gptq", "awq")
"""Those that pack words of 32 bits as `qweight`: GPTQ along the inputs, AWQ along the outputs."""


def against_packing(scheme: Mapping[str, Any] | None, tensors: Sequence[TensorInfo]) -> Iterator[Finding]:
    """GPTQ declared where every packed weight is AWQ's, or the other way round.

    AWQ (its GEMM format): qweight [in, out / 8] as qzeros [groups, out / 8] is, no g_idx. GPTQ: qweight [in / 8, out].
    """
    method, bits = str((scheme or {}).get("quant_method", "")).lower(), (scheme or {}).get("bits")
    if scheme is None or method not in _WORDS_OF or type(bits) is not int or not 0 < bits < _WORD:
        return
    by_name = {tensor.name: tensor for tensor in tensors}
    packed = [tensor for tensor in tensors if tensor.name.endswith(".qweight")]
    found = {_packer(tensor, by_name, bits) for tensor in packed}
    other = next(each for each in _WORDS_OF if each != method)
    if found != {other}:
        return
    first = packed[0]
    scales = by_name[f"{first.name.removesuffix('qweight')}scales"]
    along = "outputs, without g_idx" if other == "awq" else "inputs"
    yield Finding(
        "config.conflict", "error", METHOD,
        f"config.json declares quant_method {method!r}, but all {len(packed)} packed weights are packed along the"
        f" {along}, as {other.upper()} does: {first.name} is {list(first.shape)} beside scales {list(scales.shape)}",
        {"field": METHOD, "config": method, "found": other, "tensors": len(packed)},
        f"set {METHOD} to {other!r}",
    )  # fmt: skip


def _packer(tensor: TensorInfo, by_name: Mapping[str, TensorInfo], bits: int) -> str:
    """Who packs so; empty where the shapes do not tell."""
    module = tensor.name.removesuffix("qweight")
    scales, zeros = by_name.get(f"{module}scales"), by_name.get(f"{module}qzeros")
    if scales is None or zeros is None or not len(tensor.shape) == len(scales.shape) == len(zeros.shape) == 2:
        return ""
    words, outputs = tensor.shape[1], scales.shape[1]
    if zeros.shape != (scales.shape[0], outputs * bits // _WORD):
        return ""
    if words == outputs:
        return "gptq"
    return "awq" if words == zeros.shape[1] and f"{module}g_idx" not in by_name else ""


def _is_overridden(scheme: Mapping[str, Any], module: str) -> bool:
    """Whether the declaration has an entry for this module alone (MLX), or a field for some."""
    return module in scheme or any(scheme.get(field) for field in _OWN)


class Packing(NamedTuple):
    """How many bits a weight has, and how many inputs share a scale."""

    bits: int
    group: int
    """-1 for all inputs, as GPTQ spells it."""


def _measured(
    tensor: TensorInfo, leaf: str, scales: TensorInfo, g_idx: TensorInfo | None, group: int
) -> tuple[Packing, ...]:  # fmt: skip
    """All that the shapes may be; those with the declared group first."""
    if len(tensor.shape) < 2 or len(scales.shape) < 2 or 0 in (*tensor.shape, *scales.shape):
        return ()
    if leaf == "weight" and tensor.dtype == "U32":
        return tuple(sorted(_by_words(tensor.shape[-1], scales.shape[-1]), key=lambda found: found.group != group))
    if leaf != "qweight":
        return ()
    if g_idx is not None and g_idx.shape and g_idx.shape[0]:
        return _of_inputs(g_idx.shape[0], _WORD * tensor.shape[0] // g_idx.shape[0], scales.shape[0], group)
    if tensor.shape[1] != scales.shape[1]:  # AWQ packs along the outputs
        return _of_inputs(tensor.shape[0], _WORD * tensor.shape[1] // scales.shape[1], scales.shape[0], group)
    return ()


def _of_inputs(inputs: int, bits: int, groups: int, declared: int) -> tuple[Packing, ...]:
    """One group may be declared as such, or by its size; of several the last may be short.

    Nothing where no code has so many bits: the words lie in a format of their own, as AWQ's GEMV has one.
    """
    if bits > _MOST_BITS:
        return ()
    size = declared if declared > 0 and -(-inputs // declared) == groups else -(-inputs // groups)
    return (Packing(bits, size), Packing(bits, -1)) if groups == 1 else (Packing(bits, size),)


def _by_words(words: int, groups: int) -> Iterator[Packing]:
    """MLX: as many words may be twice the bits in groups of half the size."""
    for bits in (2, 3, 4, 5, 6, 8):
        inputs = words * _WORD // bits
        if words * _WORD % bits == 0 and inputs % groups == 0 and inputs // groups in (16, 32, 64, 128):
            yield Packing(bits, inputs // groups)


_FP8 = ("F8_E4M3", "F8_E5M2")
FP8_SCALES = ("weight_scale", "weight_scale_inv", "scale_weight", "scale")


def unscaled_eights(
    tensors: Sequence[TensorInfo], names: Sequence[str], scheme: Mapping[str, Any] | None = None
) -> Iterator[Finding]:  # fmt: skip
    """FP8 weights without a scale, where most have one or blocks are declared: plain casts have none at all."""
    known = set(names)
    weights = [t.name for t in tensors if t.dtype in _FP8 and t.name.endswith(".weight") and len(t.shape) > 1]
    lone = [name for name in weights if not any(name[:-6] + scale in known for scale in FP8_SCALES)]
    blocks = (scheme or {}).get("weight_block_size")
    if lone and (2 * len(lone) < len(weights) or blocks):
        told = f", and config.json declares one for each block of {blocks!r:.40}" if blocks else ""
        yield Finding(
            "quant.missing", "error", lone[0],
            f"{len(lone)} of {len(weights)} weights in FP8 have no scale beside them{told}: {some(lone)}",
            {"tensors": lone}, "look for it in the other files, or quantise the model again",
        )  # fmt: skip


def unscaled(tensors: Sequence[TensorInfo]) -> Iterator[Finding]:
    """MLX packs weights in U32, which are no numbers without their scales."""
    by_name = {tensor.name for tensor in tensors}
    lone = [
        tensor.name for tensor in tensors
        if tensor.dtype == "U32" and tensor.name.endswith(".weight") and tensor.name[:-6] + "scales" not in by_name
    ]  # fmt: skip
    if lone:
        yield Finding(
            "quant.missing", "error", lone[0],
            f"{len(lone)} weights are packed in U32 and have no scales beside them: {some(lone)}",
            {"tensors": lone}, "look for them in the other files, or convert the model again",
        )  # fmt: skip
