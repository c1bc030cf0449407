"""Quantised weights, and no word of it in config.json: the model is built plain, and codes become weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from mappings.findings import Finding
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import WORDS, Kind, Module, is_side, modules_of, split
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypotheses.whereabouts import place_of
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.doctor.quantisation import declared

_ELSEWHERE = ("hf_quant_config.json", "quant_model_description.json", "quantization_config.json", "recipe.yaml")
"""Where ModelOpt, Ascend's msmodelslim and others keep it."""
_IN_WORDS: tuple[Kind, ...] = ("gptq", "awq", "packed")
"""Kinds whose codes lie several in a word of 32 bits."""
_READ_OFF: tuple[Kind, ...] = (
    "int8", "fp8", "fp8-block", "nvfp4", "bitsandbytes-4", "bitsandbytes-8", "ternary", *_IN_WORDS,
)  # fmt: skip


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    if not any(is_side(tensor.name) for tensor in state.tensors):
        return
    scheme, _ = declared(state.config, state.checkpoint.files)
    if scheme is not None or not state.checkpoint.config:
        return
    packed = [each for each in modules_of(state.tensors).values() if each.kind in _READ_OFF and _has_scale(each)]
    elsewhere = next((file for file in _ELSEWHERE if state.checkpoint.files.has(file)), None)
    answers = tuple(
        each for each in case.complaints if any(_is_of_codes(n) and place_of(n, state.names) for n in each.names[:8])
    )
    if packed and (elsewhere is None or answers):
        yield _missing(packed, elsewhere, answers, state)


def _is_of_codes(name: str) -> bool:
    return is_side(name) or split(name)[1] in _CODES


_CODES = ("qweight", "weight_packed")


def _has_scale(module: Module) -> bool:
    """A plain cast to FP8 has none, and is what its numbers are."""
    return any(is_side(tensor.name) for tensor in module.leaves.values())


def _missing(packed: list[Module], elsewhere: str | None, answers: tuple[Complaint, ...], state: State) -> Hypothesis:
    kind, count = Counter(each.kind for each in packed).most_common(1)[0]
    first = next(each for each in packed if each.kind == kind)
    shown = ", ".join(f"{leaf} {tensor.dtype} {list(tensor.shape)}" for leaf, tensor in list(first.leaves.items())[:3])
    told = f"the checkpoint is quantised ({WORDS[kind]}): {counted(count, 'weight')} like {first.name} ({shown})"
    if matrix := unpacked(first):
        told += f", {matrix.bits} bits in groups of {matrix.group}"
    if elsewhere:
        told += (
            f"; {elsewhere} says how, and config.json has no quantization_config: an engine that reads only"
            " config.json builds the model plain"
        )
        finding = Finding("quant.unsupported", "error", elsewhere, told, {"count": count, "kind": kind},
                          "name the scheme to the engine (--quantization), or use one that reads this"
                          " file")  # fmt: skip
    else:
        told += (
            "; config.json has no quantization_config, so the model is built plain, and loading the weights alone"
            " would put raw codes into its layers"
        )
        finding = Finding("config.missing-field", "error", "quantization_config", told, {"count": count, "kind": kind},
                          "put back the quantiser's block in config.json; do not skip the scales")  # fmt: skip
    return Hypothesis(finding, assume=_Unpacked(packed), evident=True, answers=answers)


@dataclass(frozen=True)
class Matrix:
    """What codes in words of 32 bits are of."""

    outputs: int
    inputs: int
    bits: int
    group: int
    """Inputs that share a scale."""


def unpacked(module: Module) -> Matrix | None:
    """The weight behind the codes, as far as the shapes beside them tell; None where they do not fit together.

    GPTQ packs inputs and AWQ outputs, both with scales [groups, outputs] (AutoGPTQ, AutoAWQ); compressed-tensors packs
    inputs, with scales [outputs, groups]. Its width is in the values of `weight_shape`: groups of 4-bit codes are
    taken to be as wide as is usual.
    """
    leaves = module.leaves
    codes = leaves.get("qweight") or leaves.get("weight_packed")
    scales = leaves.get("scales") or leaves.get("weight_scale")
    if module.kind not in _IN_WORDS or codes is None or scales is None:
        return None
    if len(codes.shape) != 2 or len(scales.shape) != 2:
        return None
    if module.kind == "packed":
        outputs, words, groups = codes.shape[0], codes.shape[1], scales.shape[1]
        bits = next((bits for bits in (4, 8, 2) if groups and words * 32 // bits // groups in _GROUPS), 4)
        inputs = words * 32 // bits
    elif module.kind == "awq":
        inputs, outputs, groups = codes.shape[0], scales.shape[1], scales.shape[0]
        bits = 32 * codes.shape[1] // outputs if outputs else 0
    else:
        outputs, groups, zeros = codes.shape[1], scales.shape[0], leaves.get("qzeros")
        bits = 32 * zeros.shape[-1] // outputs if zeros and zeros.shape and outputs else 4
        inputs = codes.shape[0] * 32 // bits if bits else 0
    fits = outputs > 0 and bits in (2, 3, 4, 8) and groups > 0 and inputs >= groups
    return Matrix(outputs, inputs, bits, -(-inputs // groups)) if fits else None


_GROUPS = (32, 64, 128)


class _Unpacked:
    """The same checkpoint as it was before: weights in BF16, and nothing beside them."""

    def __init__(self, packed: Sequence[Module]) -> None:
        self._packed = packed

    def __call__(self, state: State) -> State:
        weights = {each.leaves["weight"].name: each for each in self._packed if "weight" in each.leaves}
        made = [_weight(each) for each in self._packed if unpacked(each)]
        sides = {t.name for each in self._packed for t in each.leaves.values() if _is_of_codes(t.name)}
        kept = [_plain(t, weights[t.name]) if t.name in weights else t for t in state.tensors if t.name not in sides]
        names = [name for name in state.names if name not in sides]
        names += [tensor.name for tensor in made]
        return changed(state, replace(state.checkpoint, tensors=[*kept, *made], names=names))


def _weight(module: Module) -> TensorInfo:
    """As it was before it was packed."""
    matrix = unpacked(module)
    assert matrix is not None, "asked before"
    codes = next(module.leaves[leaf] for leaf in _CODES if leaf in module.leaves)
    shape = (matrix.outputs, matrix.inputs)
    return replace(codes, name=f"{module.name}.weight", dtype="BF16", shape=shape, nbytes=2 * prod(shape))


def _plain(tensor: TensorInfo, module: Module) -> TensorInfo:
    """A weight with the shape that it has unpacked, as far as its own shape tells."""
    halves = 2 if module.kind == "nvfp4" else 1
    shape = (*tensor.shape[:-1], tensor.shape[-1] * halves) if tensor.shape else ()
    return replace(tensor, dtype="BF16", shape=shape, nbytes=2 * prod(shape))
