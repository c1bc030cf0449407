"""Checkpoints of several files, and what becomes of them on the way: shards, second copies, cut and foreign files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from typing import Any

from tests.catalogue.building import WEIGHTS, Model

Step = Callable[[Path, int | None], None]
"""Writes files into a folder, or spoils some that are there; the second is a seed of numbers, or None."""
INDEX = "model.safetensors.index.json"


@dataclass
class Folder:
    """A checkpoint that is written in steps."""

    steps: list[Step] = field(default_factory=list)
    file: str = ""
    """The file that is meant, where it is not the whole folder."""

    def write(self, folder: Path, seed: int | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for step in self.steps:
            step(folder, seed)
        return folder / self.file if self.file else folder


def cut(model: Model, count: int) -> list[Model]:
    """The tensors in so many runs, in order."""
    names = list(model.tensors)
    bounds = [number * len(names) // count for number in range(count + 1)]
    runs = [names[start:stop] for start, stop in pairwise(bounds)]
    return [Model(model.config, {name: model.tensors[name] for name in run}, {}, model.metadata) for run in runs]


def shard(number: int, count: int, stem: str = "model") -> str:
    """`model-00001-of-00003.safetensors` for the first of three."""
    return f"{stem}-{number:05}-of-{count:05}.safetensors"


def shards(
    model: Model, count: int, *, indexed: bool = True, listed: Callable[[dict[str, str]], dict[str, str]] | None = None
) -> Step:
    """The model in numbered files; `listed` edits what the index says."""

    def step(folder: Path, seed: int | None) -> None:
        homes: dict[str, str] = {}
        for number, part in enumerate(cut(model, count), 1):
            part.write(folder, seed)
            (folder / WEIGHTS).rename(folder / shard(number, count))
            homes |= dict.fromkeys(part.tensors, shard(number, count))
        if indexed:
            total = sum(tensor.nbytes for tensor in model.tensors.values())
            index = {"metadata": {"total_size": total}, "weight_map": listed(homes) if listed else homes}
            (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")

    return step


def whole(model: Model, file: str = WEIGHTS) -> Step:
    """The model in one file of this name, folders and all."""

    def step(folder: Path, seed: int | None) -> None:
        made = model.write(folder / "made", seed)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (made / WEIGHTS).rename(folder / file)
        for other in made.iterdir():
            if not (folder / other.name).exists():
                other.rename(folder / other.name)
        rmtree(made)

    return step


def beside(file: str, content: Any) -> Step:
    """One more file: bytes, or what becomes JSON."""

    def step(folder: Path, seed: int | None) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return step


def without(*files: str) -> Step:
    """Files that did not arrive."""

    def step(folder: Path, seed: int | None) -> None:
        for file in files:
            (folder / file).unlink()

    return step


def shortened(file: str, share: float) -> Step:
    """A file of which only the beginning is here."""

    def step(folder: Path, seed: int | None) -> None:
        with (folder / file).open("r+b") as opened:
            opened.truncate(int((folder / file).stat().st_size * share))

    return step


def lengthened(file: str, by: int) -> Step:
    """Zeros after the end."""

    def step(folder: Path, seed: int | None) -> None:
        with (folder / file).open("ab") as opened:
            opened.write(bytes(by))

    return step


def pointers(model: Model, count: int, left: Iterable[int] = ()) -> Step:
    """Of so many shards all are Git-LFS pointers but those that are `left`."""

    def step(folder: Path, seed: int | None) -> None:
        shards(model, count)(folder, seed)
        for number in set(range(1, count + 1)) - set(left):
            path = folder / shard(number, count)
            path.write_bytes(pointer(path.stat().st_size, number))

    return step


def pointer(size: int, number: int = 1) -> bytes:
    """What Git keeps in the place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{number:064x}\nsize {size}\n".encode()
