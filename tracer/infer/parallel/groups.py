"""Modules whose inputs are cut over ranks and are quantised in groups: a rank needs whole groups.

Layouts: AutoGPTQ and AutoAWQ (`scales` [groups, outputs] beside `qweight`), MLX (`scales` [outputs, groups] beside
`weight`), compressed-tensors with the strategies group and tensor_group (`weight_scale` [outputs, groups] beside
`weight_packed` or `weight`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.names import collapse
from tracer.checkpoint.tensor_info import TensorInfo

ROW_PARALLEL = ("down_proj", "o_proj", "dense", "dense_4h_to_h", "c_proj", "out_proj", "w2", "fc2", "out_lin")
"""Modules whose inputs are cut over ranks."""
_SCALES = (".scales", ".weight_scale")
_LEAVES = ("scales", "qweight", "g_idx", "weight", "weight_packed", "weight_scale")
_WORD = 32
"""Bits of the integers that codes are packed in, where they are not in bytes."""
_USUAL = (16, 32, 64, 128)
"""Inputs that share a scale."""
Leaves = Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Groups:
    """A row-parallel module whose inputs are quantised in groups."""

    name: str
    inputs: int
    groups: int
    count: int
    """Modules of this kind."""

    @property
    def size(self) -> int:
        return self.inputs // self.groups

    def broken_by(self, tp: int) -> bool:
        """Whether so many ranks would cut inside a group; a single scale is held by every rank."""
        return self.groups > 1 and self.groups % tp != 0


def groups_of(tensors: Sequence[TensorInfo], scheme: Mapping[str, Any]) -> Iterator[Groups]:
    """One for each kind of module that is cut along its inputs; `scheme` is what the config declares of them."""
    modules = [tensor.name.rpartition(".")[0] for tensor in tensors if tensor.name.endswith(_SCALES)]
    cut = [module for module in modules if module.rpartition(".")[2] in ROW_PARALLEL]
    by_name = {tensor.name: tensor for tensor in tensors} if cut else {}
    by_kind: dict[tuple[str, int, int], list[str]] = {}
    for module in cut:
        leaves = {leaf: found for leaf in _LEAVES if (found := by_name.get(f"{module}.{leaf}"))}
        inputs, groups = _measured(leaves, scheme)
        if inputs and groups:
            by_kind.setdefault((module.rpartition(".")[2], inputs, groups), []).append(module)
    for (_, inputs, groups), modules in by_kind.items():
        yield Groups(collapse(modules)[0][0], inputs, groups, len(modules))


def _measured(leaves: Leaves, scheme: Mapping[str, Any]) -> tuple[int, int]:
    """Inputs and groups of a module; zeros where it is not quantised in groups, or nothing tells of how many inputs."""
    scales, codes = leaves.get("scales"), leaves.get("weight_packed") or leaves.get("weight")
    if scales is not None and len(scales.shape) == 2:
        groups = scales.shape[1] if "qweight" not in leaves and "weight" in leaves else scales.shape[0]
        return _by_index(leaves) or groups * _declared(scheme, "group_size", "q_group_size"), groups
    scale = leaves.get("weight_scale")
    if scale is None or codes is None or not len(scale.shape) == len(codes.shape) == 2:
        return 0, 0
    if scale.shape[0] != codes.shape[0]:  # one for all, or for blocks, which are as long as the rows say
        return 0, 0
    groups = scale.shape[1]
    return (codes.shape[1] if codes.name.endswith(".weight") else _unpacked(codes, groups, scheme)), groups


def _by_index(leaves: Leaves) -> int:
    order = leaves.get("g_idx")
    return order.shape[0] if order is not None and len(order.shape) == 1 else 0


def _unpacked(codes: TensorInfo, groups: int, scheme: Mapping[str, Any]) -> int:
    """Inputs of `weight_packed`: their number is in the values of `weight_shape`, and a last word need not be full."""
    if size := _declared(scheme, "group_size"):
        return groups * size
    if codes.dtype == "U8":
        return 2 * codes.shape[1]
    bits = _declared(scheme, "num_bits", "bits")
    fitting = (n for n in (4, 8, 2) if groups and codes.shape[1] * _WORD // n // groups in _USUAL)
    return codes.shape[1] * _WORD // (bits or next(fitting, 4))


def _declared(scheme: Mapping[str, Any], *names: str) -> int:
    """A positive number of the scheme, or that all groups of targets agree on, as compressed-tensors declares them."""
    said = {_number(scheme, names)} - {0} or {_number(each, names) for each in _weights(scheme)}
    return said.pop() if len(said) == 1 else 0


def _number(scheme: Mapping[str, Any], names: Iterable[str]) -> int:
    return next((n for name in names if type(n := scheme.get(name)) is int and n > 0), 0)


def _weights(scheme: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    targets = scheme.get("config_groups")
    for each in targets.values() if isinstance(targets, dict) else ():
        if isinstance(each, dict) and isinstance(weights := each.get("weights"), dict):
            yield weights
