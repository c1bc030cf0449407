"""Layers against each other, for architectures without rows: what one layer lacks that all others of its kind have.

Layers of one model need not be alike: hybrids alternate, first layers are dense, drafts of tokens follow the last,
pruned models lack whole modules. So layers are only compared with those that config.json has no word apart from, what
one of several modules lacks is told from a module that is not there, and the two ends are trusted to differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mappings.findings import Finding, Severity
from tracer.checkpoint.consistency import some
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.numbers import STACKS, sections

_PEERS = 3
"""So many layers that are alike make a rule."""
_LEAST = 4
"""Tensors of a layer; what has fewer is a row of linear layers, where each has widths of its own."""
_LEAVES = ("weight", "bias")
_MASKS = ("attn.bias", "attention.bias", "masked_bias")
"""Buffers that are called as parameters are."""
_PERIODS = ("interval", "period", "freq", "pattern", "every", "step")
_BORDERS = ("layer", "first", "dense", "window")
_Shape = tuple[tuple[int, ...], str]


@dataclass
class Layers:
    """The numbered layers under one prefix, and what follows the number in the names of each."""

    prefix: str
    packed: bool
    """Whether what follows is a module as if it were not packed."""
    held: dict[int, dict[str, _Shape | None]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def ends(self) -> set[int]:
        return {min(self.held), max(self.held)}

    def name(self, layer: int, rest: str) -> str:
        return f"{self.prefix}.{layer}.{rest.removesuffix('.weight') if self.packed else rest}"


def examine_peers(
    config: Mapping[str, Any], names: Sequence[str], tensors: Sequence[TensorInfo], packed: bool
) -> tuple[list[Finding], str]:  # fmt: skip
    """Findings, and what was compared. Where weights are `packed`, each in its way, modules are compared alone."""
    found: dict[tuple[str, str], Finding] = {}
    told = []
    for stack in _stacks(names, tensors, packed):
        for finding in (*_halved(stack), *_between(stack)):
            found.setdefault((finding.code, finding.subject), finding)
        if len(stack.held) <= _PEERS:
            continue
        for layers in _groups(config, stack):
            for finding in (*_lacking(stack, layers), *_differing(stack, layers)):
                found.setdefault((finding.code, finding.subject), finding)
        told.append(f"{stack.prefix} ({len(stack.held)})")
    what = "each layer beside its like" if tensors else "names of each layer beside its like"
    return list(found.values()), f"{what} in {some(told)}" if told else ""


def _groups(config: Mapping[str, Any], stack: Layers) -> Iterator[list[int]]:
    """Layers that config.json says nothing apart of; then all, since what all others have is of no one kind.

    A layer that is the only one of its kind may be as it likes.
    """
    kinds: dict[object, list[int]] = defaultdict(list)
    count = max(stack.held) + 1
    for layer in sorted(stack.held):
        kinds[_kind(config, layer, count)].append(layer)
    several = [layers for layers in kinds.values() if len(layers) > 1]
    yield from several
    if len(several) > 1:
        yield sorted(layer for layers in several for layer in layers)


def _stacks(names: Sequence[str], tensors: Sequence[TensorInfo], packed: bool) -> Iterator[Layers]:
    found: dict[str, Layers] = {}
    shapes = {tensor.name: (tensor.shape, _sort(tensor.dtype)) for tensor in tensors}
    for name in names:
        segments = name.split(".")
        at = next((i for i in range(1, len(segments)) if _is_number(segments[i])), None)
        if at is None or at + 1 >= len(segments) or segments[at - 1] not in STACKS:
            continue
        prefix, rest = ".".join(segments[:at]), ".".join(segments[at + 1 :])
        if packed:
            rest = f"{rest.partition('.weight.')[0].rpartition('.')[0] or rest}.weight"
        layer = found.setdefault(prefix, Layers(prefix, packed)).held[int(segments[at])]
        layer[rest] = None if packed else shapes.get(name)
    return (stack for stack in found.values() if len(stack.held) > 1)


def _is_number(segment: str) -> bool:
    """Of a layer: what has more digits counts something else, and each would be remembered."""
    return len(segment) < 6 and segment.isdecimal() and segment.isascii()


def _sort(dtype: str) -> str:
    return "float" if dtype in ("F64", "F32", "F16", "BF16") else dtype


def _kind(config: Mapping[str, Any], layer: int, count: int) -> tuple[object, ...]:
    """All that config.json says of a layer by its number: lists with an entry a layer, lists of numbers, periods."""
    said: list[object] = []
    for _, section in sections(config):
        for name, value in section.items():
            if isinstance(value, list) and len(value) >= count:
                said.append(repr(value[layer])[:200])
            elif isinstance(value, list) and value and all(type(each) is int for each in value):
                said.append(layer in value)
            elif type(value) is int and 0 < value < count:
                said += [layer % value] if any(word in name for word in _PERIODS) else []
                said += [layer < value, layer >= count - value] if any(word in name for word in _BORDERS) else []
    return tuple(said)


# --- names ---


def _lacking(stack: Layers, layers: Sequence[int]) -> Iterator[Finding]:
    """Layers that have nothing beyond what the rule has, and less."""
    contents = {layer: frozenset(stack.held[layer]) for layer in layers}
    rule, peers = Counter(contents.values()).most_common(1)[0]
    if peers < _PEERS or len(rule) < _LEAST:
        return
    less = {layer: _counted(rule - own) for layer, own in contents.items() if own < rule}
    less = {layer: gone for layer, gone in less.items() if gone}
    if not less or peers + len(less) < len(layers) or len(less) > max(1, len(layers) // 8) or _is_regular(list(less)):
        return
    for layer, gone in less.items():
        part = [rest for rest in gone if _is_part(rest, contents[layer])]
        if layer in stack.ends and not part:
            continue
        sure = len(less) == 1 and (part or not _is_whole_block(gone))
        yield from _lost(stack, layer, gone, peers, "error" if sure else "warning")


def _halved(stack: Layers) -> Iterator[Finding]:
    """Modules of one layer that have a bias and no weight, where those of every other layer have both.

    However few layers there are: no module is half of one on purpose.
    """
    having: dict[str, list[int]] = defaultdict(list)
    for layer, own in () if stack.packed else stack.held.items():
        for rest in own:
            if rest.endswith(".bias"):
                having[rest.removesuffix("bias")].append(layer)
    for module, layers in having.items():
        lone = [layer for layer in layers if not _is_weighed(stack.held[layer], module)]
        if len(lone) == 1 and all(f"{module}weight" in stack.held[layer] for layer in layers if layer not in lone):
            yield from _lost(stack, lone[0], [f"{module}weight"], len(layers) - 1)


def _is_weighed(own: Collection[str], module: str) -> bool:
    """Whether a module has more than its bias: a weight, or what a quantiser made of it."""
    return any(rest.startswith(module) and rest != f"{module}bias" for rest in own)


def _between(stack: Layers) -> Iterator[Finding]:
    """What the middle one of three layers lacks of a block that it has, and both others, which are alike, have."""
    if len(stack.held) != _PEERS:
        return
    first, middle, last = (frozenset(stack.held[layer]) for layer in sorted(stack.held))
    gone = _counted(first - middle)
    if first == last and middle < first and gone and all(_is_part(rest, middle) for rest in gone):
        yield from _lost(stack, sorted(stack.held)[1], gone, 2)


def _lost(
    stack: Layers, layer: int, gone: Sequence[str], peers: int, severity: Severity = "error"
) -> Iterator[Finding]:  # fmt: skip
    """The statement; none where the layers are too few to have such."""
    names = [stack.name(layer, rest) for rest in sorted(gone)]
    others = f"each of {peers} other layers has" if peers > 1 else "the other layer has"
    if peers:
        yield Finding(
            "layers.missing", severity, names[0],
            f"layer {layer} of {stack.prefix} lacks {some(names)}, which {others}",
            {"layer": layer, "tensors": names, "peers": peers}, "look for it in the other files, or download them anew",
        )  # fmt: skip


def _counted(rest: frozenset[str]) -> list[str]:
    """Without buffers, which can be computed."""
    return [each for each in rest if not each.endswith(_MASKS) and each.rpartition(".")[2] in _LEAVES]


def _is_part(rest: str, own: frozenset[str]) -> bool:
    """Whether others of the block that it is of are here: `self_attn.k_proj` beside the place of `self_attn.q_proj`."""
    block = rest.split(".", maxsplit=1)[0] + "."
    return rest.count(".") > 1 and any(each.startswith(block) for each in own)


def _is_whole_block(gone: Sequence[str]) -> bool:
    """Whether a block of several modules is gone as a whole, as pruning takes attention out."""
    return any(rest.count(".") > 1 for rest in gone)


def _is_regular(layers: Sequence[int]) -> bool:
    """Whether the exceptions follow each other at one distance, so that there is a rule behind them."""
    steps = {after - before for before, after in pairwise(layers)}
    return len(layers) > 1 and len(steps) == 1


# --- shapes ---


def _differing(stack: Layers, layers: Sequence[int]) -> Iterator[Finding]:
    """One layer of which a tensor has another shape than in all others."""
    strange: dict[int, dict[str, tuple[_Shape, _Shape]]] = defaultdict(dict)
    for rest in sorted({rest for layer in layers for rest in stack.held[layer]}):
        shapes = {layer: shape for layer in layers if (shape := stack.held[layer].get(rest)) is not None}
        counts = Counter(shapes.values()).most_common(2)
        if len(counts) == 2 and counts[1][1] == 1 and counts[0][1] == len(shapes) - 1 >= _PEERS:
            layer = next(layer for layer, shape in shapes.items() if shape != counts[0][0])
            strange[layer][rest] = (shapes[layer], counts[0][0])
    if len(strange) > 1:
        return
    for layer, found in strange.items():
        turned = any(own[0] == rule[0][::-1] != rule[0] for own, rule in found.values())
        matrices = [rest for rest, (own, _) in found.items() if len(own[0]) > 1]
        if len(stack.held[layer]) < _LEAST or (layer in stack.ends and not turned):
            continue
        rest, (own, rule) = next(iter(found.items()))
        # Heads or neurons that were pruned leave their traces in several matrices.
        severity: Severity = "error" if turned or (len(found) == 1 and matrices) else "warning"
        how = ": it is transposed" if turned else ""
        more = f" ({len(found)} tensors of it differ)" if len(found) > 1 else ""
        yield Finding(
            "shape.mismatch", severity, stack.name(layer, rest),
            f"{stack.name(layer, rest)} is {_told(own)}, and {_told(rule)} in each other layer of its kind{how}{more}",
            {"layer": layer, "tensors": [stack.name(layer, each) for each in found], "found": list(own[0]),
             "expected": list(rule[0])}, "convert or download it again",
        )  # fmt: skip


def _told(shape: _Shape) -> str:
    return f"{list(shape[0])} of {shape[1]}"
