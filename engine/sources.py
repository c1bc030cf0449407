"""Where weights come from: files mapped into memory, or nowhere (dummy)."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from engine.dtypes import TORCH
from mappings.plan import Stored


class Placed(Stored, Protocol):
    """A tensor with its place in a file."""

    @property
    def file(self) -> str | None: ...
    @property
    def offset(self) -> int | None: ...


class MappedWeights:
    """Tensors as views of mapped files: a rank touches the pages of its own slices and no others.

    `open_map` maps one file read-only. A data type that torch cannot hold raises ValueError.
    """

    def __init__(
        self, folder: Path, tensors: Sequence[Placed], open_map: Callable[[Path], mmap.mmap]
    ) -> None:  # fmt: skip
        self._folder = folder
        self._tensors = tensors
        self._open = open_map
        self._maps: dict[str, mmap.mmap] = {}

    def tensor(self, position: int) -> torch.Tensor:
        """A read-only view of the file's bytes, contiguous."""
        info = self._tensors[position]
        if info.dtype not in TORCH:
            raise ValueError(f"{info.name} has data type {info.dtype}, which torch cannot hold")
        shape = tuple(info.shape)
        if 0 in shape:
            return torch.empty(shape, dtype=TORCH[info.dtype])
        assert info.file is not None and info.offset is not None, "a tensor without bytes is not read"
        count = 1
        for size in shape:
            count *= size
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            flat = torch.frombuffer(self._map(info.file), dtype=TORCH[info.dtype], count=count, offset=info.offset)
        return flat.view(shape)

    def _map(self, file: str) -> mmap.mmap:
        if file not in self._maps:
            self._maps[file] = self._open(self._folder / file)
        return self._maps[file]


class MetaWeights:
    """Tensors that are only shapes: the loader runs as ever, and no byte exists."""

    def __init__(self, tensors: Sequence[Stored]) -> None:
        self._tensors = tensors

    def tensor(self, position: int) -> torch.Tensor:
        info = self._tensors[position]
        return torch.empty(tuple(info.shape), dtype=TORCH[info.dtype], device="meta")
