"""Small checkpoints as data: names, shapes and a config.json that one changes step by step, and writes at the end.

    model = decoder(layers=4)
    model.rename(lambda name: f"model.{name}")
    model.write(folder)

Data are holes (zeros that take no room on the disk) unless a tensor was given bytes, or `write` is asked for numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fixtures.gguf import Stored, Typed, write_sparse
from fixtures.hostile import framed

BYTES = {"F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I64": 8}
WEIGHTS = "model.safetensors"


@dataclass
class Tensor:
    """One entry of a header; without `data` it is a hole."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | None = None
    first: str = ""
    """The name that it was put under: what its numbers are drawn by, whatever it is called and wherever it is now."""
    turned: bool = False
    """Whether its axes were exchanged since."""

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * BYTES[self.dtype]


@dataclass
class Model:
    """A checkpoint that is not on disk yet."""

    config: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    """Other files of the folder, as JSON."""
    metadata: dict[str, str] = field(default_factory=lambda: {"format": "pt"})

    def put(self, name: str, *shape: int, dtype: str = "BF16", data: bytes | None = None) -> None:
        """A tensor, in the place of one of that name if there is one."""
        self.tensors[name] = Tensor(dtype, shape, data, name)

    def drop(self, which: Callable[[str], bool]) -> Model:
        """Without the tensors that `which` names."""
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if not which(name)}
        return self

    def rename(self, edit: Callable[[str], str]) -> Model:
        """Every name through `edit`."""
        renamed = {edit(name): tensor for name, tensor in self.tensors.items()}
        assert len(renamed) == len(self.tensors)
        self.tensors = renamed
        return self

    def replace(self, old: str, new: str) -> Model:
        """Every name with `new` where it has `old`."""
        return self.rename(lambda name: name.replace(old, new))

    def transpose(self, which: Callable[[str], bool]) -> Model:
        """The matrices that `which` names, their numbers in the other order."""
        for name in filter(which, self.tensors):
            tensor = self.tensors[name]
            assert tensor.data is None
            self.tensors[name] = replace(tensor, shape=tensor.shape[::-1], turned=not tensor.turned)
        return self

    def add(self, other: Model, prefix: str = "") -> Model:
        """The tensors of another one beside these."""
        self.tensors |= {prefix + name: tensor for name, tensor in other.tensors.items()}
        return self

    def set(self, **fields: Any) -> Model:
        """Fields of config.json; None takes one away."""
        gone = {name for name, value in fields.items() if value is None}
        self.config = {name: value for name, value in (self.config | fields).items() if name not in gone}
        return self

    def write(self, folder: Path, seed: int | None = None) -> Path:
        """Writes it; with a seed every weight that has no bytes of its own gets small random numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in ({"config.json": self.config} | self.files).items():
            (folder / file).write_text(json.dumps(content), encoding="utf-8")
        header: dict[str, Any] = {"__metadata__": self.metadata}
        end = 0
        for name, tensor in self.tensors.items():
            begin, end = end, end + tensor.nbytes
            header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with (folder / WEIGHTS).open("wb") as file:
            start = file.write(framed(text))
            for (_, tensor), (begin, data) in zip(self.tensors.items(), self._data(seed), strict=True):
                if data is not None:
                    assert len(data) == tensor.nbytes
                    file.seek(start + begin)
                    file.write(data)
            file.truncate(start + end)
        return folder

    def _data(self, seed: int | None) -> Iterator[tuple[int, bytes | None]]:
        begin = 0
        for tensor in self.tensors.values():
            yield begin, _numbers(seed, tensor) if tensor.data is None and seed is not None else tensor.data
            begin += tensor.nbytes


def _numbers(seed: int, tensor: Tensor) -> bytes:
    """The same for the same seed and first name, so that a damaged model has the numbers of the undamaged one."""
    chance = np.random.default_rng([seed, crc32(tensor.first.encode())])
    drawn = _drawn(chance, tensor.first, tensor)
    if tensor.turned:
        drawn = drawn.view(f"u{BYTES[tensor.dtype]}").reshape(tensor.shape[::-1]).T
    return drawn.tobytes()


def _drawn(chance: np.random.Generator, name: str, tensor: Tensor) -> NDArray[Any]:
    """What training leaves, roughly: norms about one, matrices about zero, packed codes of every kind."""
    count = prod(tensor.shape)
    about = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    drawn = chance.normal(about, 0.02, count).astype(np.float32)
    if tensor.dtype == "F32":
        return np.abs(drawn) if "scale" in name else drawn
    if tensor.dtype == "F16":
        return drawn.astype(np.float16)
    if tensor.dtype == "BF16":
        return (drawn.view(np.uint32) >> 16).astype(np.uint16)
    if tensor.dtype == "F8_E4M3":  # never NaN, which is all bits but the sign
        return chance.integers(0, 120, count, dtype=np.uint8)
    return np.frombuffer(chance.bytes(tensor.nbytes), np.uint8)


def bf16(values: Iterable[float]) -> bytes:
    """Numbers as BF16, cut off."""
    return (np.asarray(list(values), np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()


@dataclass
class Gguf:
    """A GGUF file that is not on disk yet."""

    values: dict[str, Typed]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def put(self, name: str, *shape: int, dtype: str = "F16") -> None:
        self.tensors[name] = Tensor(dtype, shape)

    def write(self, folder: Path, seed: int | None = None) -> Path:
        """Writes its header, and holes; returns the file."""
        assert seed is None
        folder.mkdir(parents=True, exist_ok=True)
        stored = [Stored(name, tensor.dtype, tensor.shape) for name, tensor in self.tensors.items()]
        return write_sparse(folder / "model.gguf", self.values, stored)


def span(count: int) -> str:
    """`{0..3}` of four, as reports spell it; of three or more."""
    assert count > 2
    return f"{{0..{count - 1}}}"
