"""What config.json says of the scales of FP8 weights, against the scales that are here: blocks, and those of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import Module, modules_of, split
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypothesis import Hypothesis
from tracer.repair.changes import SetField

_BLOCK = "weight_block_size"
_INPUTS = "activation_scheme"
_SIZES = tuple(2**power for power in range(3, 12))
"""Blocks that kernels have: 8 to 2,048."""
_OF_INPUTS = ("input_scale", "activation_scale", "act_scale")


def propose(case: Case) -> Iterator[Hypothesis]:
    scheme = case.state.config.get("quantization_config")
    if not isinstance(scheme, dict) or str(scheme.get("quant_method")).lower() != "fp8":
        return
    modules = [each for each in modules_of(case.state.tensors).values() if each.kind in ("fp8", "fp8-block")]
    if modules:
        yield from _blocks(case, scheme, modules)
        yield from _of_inputs(case, scheme, modules)


# --- blocks ---


def _blocks(case: Case, scheme: Mapping[str, Any], modules: Sequence[Module]) -> Iterator[Hypothesis]:
    """Another block under which every grid of scales covers its weight, where the declared one fits none of them."""
    said = scheme.get(_BLOCK)
    if not isinstance(said, list) or len(said) != 2 or not all(type(size) is int and size > 0 for size in said):
        return
    grids = list(_grids(modules))
    if not grids or any(_covers(said, *each) for each in grids):
        return
    meant = next(([a, b] for a in _SIZES for b in _SIZES if all(_covers((a, b), *each) for each in grids)), None)
    if meant is None:
        return
    field = f"quantization_config.{_BLOCK}"
    weight, grid = grids[0]
    told = (
        f"config.json says {field} = {said}, the scales {meant}: {modules[0].name}.weight {list(weight)} has a grid of"
        f" {list(grid)} scales, and none of {counted(len(grids), 'grid')} is of blocks of {said}"
    )
    finding = Finding("config.conflict", "error", field, told, {"field": field, "found": said, "tensors": meant},
                      f"set {field} to {meant}")  # fmt: skip
    answers = tuple(each for each in case.complained("divisible", "shape", "quantisation") if "block" in each.text)
    yield Hypothesis(finding, (SetField(field, meant),), evident=True, answers=answers)


def _grids(modules: Sequence[Module]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shape of a weight, and of its scales."""
    for each in modules:
        weight, scale = each.leaves["weight"], each.leaves.get("weight_scale_inv")
        if scale is not None and len(weight.shape) == 2 == len(scale.shape):
            yield weight.shape, scale.shape


def _covers(block: Sequence[int], weight: Sequence[int], grid: Sequence[int]) -> bool:
    return all(-(-size // side) == scales for side, size, scales in zip(block, weight, grid, strict=True))


# --- scales of inputs ---


def _of_inputs(case: Case, scheme: Mapping[str, Any], modules: Sequence[Module]) -> Iterator[Hypothesis]:
    """Static: engines read a scale for each input, and there is none."""
    if scheme.get(_INPUTS) != "static" or any(split(name)[1] in _OF_INPUTS for name in case.state.names):
        return
    field = f"quantization_config.{_INPUTS}"
    told = (
        f"config.json says {field} = static, and none of {counted(len(case.state.names), 'tensor')} is an input_scale:"
        f" {counted(len(modules), 'weight')} like {modules[0].name}.weight"
        f" ({', '.join(leaf for leaf in modules[0].leaves)}) would be used with scales of inputs that nobody wrote"
    )
    evidence = {"field": field, "found": "static", "count": len(modules)}
    finding = Finding("config.conflict", "error", field, told, evidence,
                      f"set {field} to dynamic, or take the files with the scales")  # fmt: skip
    said = case.complained("no-tensor")
    answers = tuple(each for each in said if any(split(name)[1] in _OF_INPUTS for name in each.names))
    yield Hypothesis(finding, (SetField(field, "dynamic"),), evident=True, answers=answers)
