"""The formats that weights come in: their names, their files, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, cast

from tracer.checkpoint.header import Header

Reader = Callable[[BinaryIO, int, str, str], Header]
"""`read(file, size in bytes, name, name for messages)`. Raises InputError."""


@dataclass(frozen=True)
class Format:
    """One format of weight files."""

    name: str
    """As `--load-format` spells it."""
    called: str
    suffixes: tuple[str, ...]
    index_stem: str | None
    """What the names of its indexes have before their ending `.json`."""
    usual_index: str | None
    module: str
    """Imported when the first file is read: most runs need one format."""

    def is_named(self, file: str) -> bool:
        return file.endswith(self.suffixes)

    def is_index(self, file: str) -> bool:
        """Also of a variant: `model.safetensors.index.fp16.json`."""
        return self.index_stem is not None and f"{self.index_stem}." in file and file.endswith(".json")

    @property
    def read(self) -> Reader:
        return cast(Reader, import_module(f"tracer.checkpoint.{self.module}").read)


SAFETENSORS = Format(
    "safetensors", "safetensors files", (".safetensors",), ".safetensors.index", "model.safetensors.index.json",
    "safetensors",
)  # fmt: skip
PYTORCH = Format(
    "pt", "PyTorch files", (".bin", ".pt", ".pth"), ".bin.index", "pytorch_model.bin.index.json",
    "pytorch",
)  # fmt: skip
GGUF = Format("gguf", "GGUF files", (".gguf",), None, None, "gguf")

FORMATS = (SAFETENSORS, PYTORCH, GGUF)
"""In the order in which they are preferred where a folder holds the model in several."""


def of_file(file: str) -> Format | None:
    """The format that a file's name promises."""
    return next((format for format in FORMATS if format.is_named(file)), None)


def of_content(head: bytes) -> Format:
    """The format of a file whose name promises none; safetensors, which begins with a number, if no other."""
    if head.startswith(b"GGUF"):
        return GGUF
    pickled = head.startswith((b"PK\x03\x04", b"\x80\x02"))
    return PYTORCH if pickled else SAFETENSORS
