"""Small checkpoints of every architecture under names of one's own, and where two plans put their elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mappings.architectures import BUILT_IN
from mappings.plan import LoadPlan, plan
from mappings.registry import choose
from mappings.synth import Synthetic, synthesise
from mappings.userfile import parse_mapping
from mappings.views import Shape
from tests.mappings.small import CONFIGS, bind
from tests.placements import apply_moves, number, write_checkpoint
from tracer.events import Move

Names = Sequence[tuple[str, str]]
"""Segments and what they become; `^` in front of a text that names begin with."""

PARTIAL = {"partial_rotary_factor": 0.67}
"""Of a head's three dimensions two are rotated."""
COMPUTABLE: Mapping[str, Mapping[str, Any]] = {
    "falcon": {"alibi": True}, "falcon with one norm": {"alibi": True},
    "deepseek v2": {"hidden_size": 48, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "deepseek v2 lite": {"hidden_size": 48, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "deepseek v3": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "gpt-oss": {"head_dim": 4, "num_experts_per_tok": 2}, "jamba": {"num_experts_per_tok": 2},
    "mixtral with one expert": {**PARTIAL, "num_experts_per_tok": 1},
    "mamba": {"hidden_size": 16, "expand": 2}, "mamba2": {"hidden_size": 24, "expand": 2},
    "mamba2 in groups": {"hidden_size": 24, "expand": 2},
}  # fmt: skip
"""What else a config must say for a forward pass."""

UNQUANTISED = [key for key, small in CONFIGS.items() if "/gguf" not in small.arch and "fp8" not in key]


def id_of(key: str) -> str:
    """The rows of one of the small architectures."""
    return CONFIGS[key].arch


def config_of(key: str) -> dict[str, Any]:
    """Its config.json, such that a forward pass is possible."""
    return {**CONFIGS[key].config, **COMPUTABLE.get(key, PARTIAL)}


def renamed(name: str, changes: Names) -> str:
    """A name in another program's spelling."""
    for old, new in changes:
        if old.startswith("^"):
            name = new + name[len(old) - 1 :] if name.startswith(old[1:]) else name
        else:
            name = ".".join(new if segment == old else segment for segment in name.split("."))
    return name


def tensors(key: str, changes: Names = ()) -> list[Synthetic]:
    """Of one of the small architectures."""
    return [tensor._replace(name=renamed(tensor.name, changes)) for tensor in _original(key)]


@cache
def _original(key: str) -> Sequence[Synthetic]:
    return tuple(synthesise(bind(key, **config_of(key))))


def shelve(folder: Path, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Path:
    """A checkpoint whose elements are all different."""
    return write_checkpoint(folder, config, number(shapes))


def shapes_of(found: Iterable[Synthetic]) -> dict[str, Shape]:
    return {tensor.name: tensor.shape for tensor in found}


def by_file(text: str, config: Mapping[str, Any], found: Sequence[Synthetic], tp: int) -> LoadPlan:
    """The plan that a mapping file gives."""
    arch = parse_mapping(text, BUILT_IN)
    return plan(choose(config, [t.name for t in found], tp, "F32", [arch]).binding, found)


@cache
def placed_by_built_in(key: str, tp: int, rank: int) -> Mapping[str, Any]:
    """Every parameter of a rank where the package's own rows put it, by the original names."""
    return placed(plan(bind(key, tp, **config_of(key)), tensors(key)), rank)


def placed(made: LoadPlan, rank: int) -> dict[str, Any]:
    """Every parameter of a rank in ids: numbers by the order of the header, which renaming keeps."""
    numbered = number({t.name: tuple(t.shape) for t in made.tensors})
    moves = [
        Move(rank, made.tensors[step.tensor].name, "", step.shard, step.param, box.src, box.dst, box.perm, None)
        for step in made.steps(rank) for box in made.boxes(step)
    ]  # fmt: skip
    return apply_moves(moves, made.shapes(rank), numbered)
