"""Where weights come from: files mapped into memory, or nowhere (dummy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from engine.dtypes import TORCH
from engine.loading.loader import WeightSource, Work
from engine.loading.runs import MappedBytes, OpenFile, Reader
from engine.loading.staging import CudaWire, Staging
from mappings.plan import Stored

AHEAD = 64
"""Copies that are prepared at once, where that holds no memory but that of the views."""


class Placed(Stored, Protocol):
    """A tensor with its place in a file."""

    @property
    def file(self) -> str | None: ...
    @property
    def offset(self) -> int | None: ...
    @property
    def strides(self) -> tuple[int, ...] | None:
        """In elements; None: row-major."""

    @property
    def reach(self) -> int:
        """Elements from the first to the one that lies furthest, both counted."""

    @property
    def big_endian(self) -> bool: ...


class MappedWeights:
    """Tensors as views of mapped files: a rank reads the bytes of its own slices and no others.

    `open_map` maps one file read-only. A data type that torch cannot hold raises ValueError.
    """

    def __init__(
        self, folder: Path, tensors: Sequence[Placed], open_map: Callable[[Path], MappedBytes]
    ) -> None:  # fmt: skip
        self._folder = folder
        self._tensors = tensors
        self._open = open_map
        self._files: dict[str, OpenFile] = {}
        self.ahead = 1 if any(info.strides or info.big_endian for info in tensors) else AHEAD
        self._reader = Reader()
        self._staging: Staging | None = None

    def tensor(self, position: int) -> torch.Tensor:
        """A read-only view of the file's bytes, contiguous; a copy where they are in another order."""
        info = self._tensors[position]
        if info.dtype not in TORCH:
            raise ValueError(f"{info.name} has data type {info.dtype}, which torch cannot hold")
        shape = tuple(info.shape)
        if 0 in shape:
            return torch.empty(shape, dtype=TORCH[info.dtype])
        assert info.file is not None and info.offset is not None, "a tensor without bytes is not read"
        mapped = self._file(info.file).mapped
        flat = torch.frombuffer(mapped, dtype=TORCH[info.dtype], count=info.reach, offset=info.offset)
        flat = _swapped(flat) if info.big_endian else flat
        return flat.as_strided(shape, info.strides).contiguous() if info.strides else flat.view(shape)

    def copying(self, dst: torch.Tensor, src: torch.Tensor, position: int) -> Work:
        """`dst.copy_(src)`. Where `src` is seen to lie in the tensor's file, long runs are read from it.

        To a GPU it goes by way of pinned memory, and has arrived when `settle` has been called.
        """
        file = self._files.get(self._tensors[position].file or "")
        staging = self._staged(dst.device)
        if staging is not None:
            return partial(staging.copy, dst, src, partial(self._fill, file))
        return partial(dst.copy_, src) if file is None else self._reader.copying(dst, src, file)

    def settle(self) -> None:
        if self._staging is not None:
            self._staging.settle()

    def finish(self) -> None:
        try:
            self.settle()
        finally:
            self._staging = None
            self._reader.finish()

    def _staged(self, device: torch.device) -> Staging | None:
        """None for a device that is copied to directly."""
        if self._staging is None and device.type == "cuda":
            self._staging = Staging(CudaWire(device))
        return self._staging

    def _fill(self, file: OpenFile | None, staged: torch.Tensor, src: torch.Tensor) -> None:
        work = partial(staged.copy_, src) if file is None else self._reader.copying(staged, src, file)
        work()

    def _file(self, name: str) -> OpenFile:
        if name not in self._files:
            self._files[name] = OpenFile(self._open(self._folder / name))
        return self._files[name]


def _swapped(flat: torch.Tensor) -> torch.Tensor:
    """A copy of big-endian elements with their bytes reversed; of complex numbers, those of each half."""
    parts = torch.view_as_real(flat) if flat.is_complex() else flat
    rows = parts.reshape(-1, 1).view(torch.uint8)
    return rows.flip(1).contiguous().view(-1).view(flat.dtype)


class MetaWeights(WeightSource):
    """Tensors that are only shapes: the loader runs as ever, and no byte exists."""

    ahead = AHEAD

    def __init__(self, tensors: Sequence[Stored]) -> None:
        self._tensors = tensors

    def tensor(self, position: int) -> torch.Tensor:
        info = self._tensors[position]
        # What torch cannot hold (blocks of GGUF, sub-byte types) has elements all the same, and no bytes here.
        return torch.empty(tuple(info.shape), dtype=TORCH.get(info.dtype, torch.uint8), device="meta")
