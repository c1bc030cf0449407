"""Small checkpoints as torch and safetensors write them, and their repair by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tracer.checkpoint.folder import open_checkpoint
from tracer.repair.changes import Change
from tracer.repair.repair import repair
from tracer.repair.repaired import Repaired

Tensors = Mapping[str, torch.Tensor]
TWO = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write(folder: Path, tensors: Tensors, files: Sequence[str] = ("model.safetensors",)) -> Path:
    """A checkpoint; of several files the tensors in turn, with an index."""
    folder.mkdir(parents=True)
    names = list(tensors)
    homes = {file: names[at :: len(files)] for at, file in enumerate(files)}
    for file, own in homes.items():
        save_file({name: tensors[name].contiguous() for name in own}, folder / file, {"format": "pt"})
    if len(files) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        weight_map = {name: file for file, own in homes.items() for name in own}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "config.json").write_text('{\n  "model_type": "none"\n}\n')
    return folder


def read(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors, read by the reference reader."""
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def repaired(source: Path, changes: Sequence[Change], target: Path) -> Repaired:
    """In one stage."""
    return repair(open_checkpoint(source), [changes], target)


def same(one: Tensors, other: Tensors) -> bool:
    """Names, dtypes, shapes and every bit, NaN among them."""
    return one.keys() == other.keys() and all(
        tensor.dtype == other[name].dtype
        and tensor.shape == other[name].shape
        and torch.equal(as_bytes(tensor), as_bytes(other[name]))
        for name, tensor in one.items()
    )


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """A copy: of one element any stride is contiguous to torch, and not to `view`."""
    return tensor.flatten().clone(memory_format=torch.contiguous_format).view(torch.uint8)


def whole(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
