"""Writes a corrected copy of a checkpoint: what is planned, whether it fits, what is written, what is read back.

Nothing of the checkpoint is ever written to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import PYTORCH
from tracer.checkpoint.stamp import Stamp
from tracer.repair import index
from tracer.repair.changes import Change, RewriteIndex
from tracer.repair.config import CONFIG, edited
from tracer.repair.folder import Beside, beside, new_names
from tracer.repair.gathering import Sources
from tracer.repair.model import Model, model_of
from tracer.repair.planned import Planned, plan
from tracer.repair.repaired import Repaired
from tracer.repair.target import check_room, check_target, new_folder
from tracer.repair.whole_files import clone, copy, write_small
from tracer.repair.written import compare, header_of, in_file_order, write
from tracer.unchanged import changed, located

Heard = Callable[[int, int], None]
"""Bytes that are done, and bytes in all."""


def repair(
    checkpoint: Checkpoint, stages: Sequence[Sequence[Change]], target: Path, progress: Heard | None = None
) -> Repaired:  # fmt: skip
    """A copy of a checkpoint, with the changes, in a new folder: complete, or nothing.

    Each change names tensors and fields as they are before its stage. Memory is bounded, whatever a tensor's size.
    Raises UsageError for changes that contradict each other or fit no tensor, a checkpoint that cannot be repaired and
    a target that cannot be written; InputError for files that cannot be read or have changed since they were opened.
    """
    changes = tuple(change for stage in stages for change in stage)
    model = model_of(checkpoint, changes)
    real = check_target(target, model.folder)
    intended = _intended(model, stages)
    with new_folder(real) as folder:
        done = _Doing(intended, folder, progress).all()
    return Repaired(
        target, changes, {new: old for old, new in intended.rewritten.items()}, done.copied,
        tuple(intended.removed), tuple(intended.beside.left_out), model.repeated, model.absent,
        sum(map(len, intended.homes.values())),
        sum(tensor.as_stored for tensors in intended.homes.values() for tensor in tensors), done.nbytes,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Intended:
    """All that is to be in the new folder."""

    model: Model
    homes: dict[str, list[Planned]]
    """File of the copy -> its tensors in order."""
    unchanged: dict[str, str]
    """Files of the model that are copied whole -> their names in the copy."""
    rewritten: dict[str, str]
    headers: dict[str, bytes]
    """Of the files that are written, by their names in the copy."""
    removed: list[str]
    """Files of the model of which no tensor is left."""
    beside: Beside
    small: dict[str, bytes]
    """Files whose content is known: config.json and the index, where they differ."""


def _intended(model: Model, stages: Sequence[Sequence[Change]]) -> _Intended:
    checkpoint = model.checkpoint
    names = new_names(checkpoint, list(model.headers))
    by_file: dict[str, list[Planned]] = defaultdict(list)
    for tensor in plan(model.tensors, stages):
        by_file[tensor.home].append(tensor)
    removed = [file for file, header in model.headers.items() if file not in by_file and header.tensors]
    kept = [file for file in model.headers if file not in removed]
    whole = {file: names[file] for file in kept if _is_whole(model, file, by_file[file])}
    rewritten = {file: names[file] for file in kept if file not in whole}
    homes = {names[file]: by_file[file] if file in whole else in_file_order(by_file[file]) for file in kept}
    headers = {new: header_of(homes[new], _metadata(model, old), new) for old, new in rewritten.items()}
    small = _small(model, stages, homes)
    found = beside(checkpoint, list(model.headers))
    others = Beside([file for file in found.kept if file not in small], found.left_out)
    return _Intended(model, homes, whole, rewritten, headers, removed, others, small)


def _is_whole(model: Model, file: str, planned: Sequence[Planned]) -> bool:
    """Whether a file of the copy is one of the checkpoint, byte for byte."""
    stored = [tensor.name for tensor in model.headers[file].tensors]
    same = all(tensor.as_stored for tensor in planned) and [tensor.name for tensor in planned] == stored
    return same and model.checkpoint.format is not PYTORCH


def _metadata(model: Model, file: str) -> Mapping[str, str]:
    """As the file had it; of one of PyTorch's what Transformers asks of safetensors files."""
    return {"format": "pt"} if model.checkpoint.format is PYTORCH else model.headers[file].metadata


def _small(
    model: Model, stages: Sequence[Sequence[Change]], homes: Mapping[str, Sequence[Planned]]
) -> dict[str, bytes]:  # fmt: skip
    checkpoint, small = model.checkpoint, {}
    config = edited(checkpoint.files, stages)
    if config is not None:
        small[CONFIG] = config
    asked = any(isinstance(change, RewriteIndex) for changes in stages for change in changes)
    if checkpoint.index is not None or asked or len(model.headers) > 1:
        content = index.written(checkpoint.files, checkpoint.index, homes)
        if content is not None:
            small[index.name_of(checkpoint.index, converted=checkpoint.format is PYTORCH)] = content
    return small


class _Doing:
    """The copy as it comes into being."""

    def __init__(self, intended: _Intended, folder: Path, progress: Heard | None) -> None:
        self._intended = intended
        self._source = intended.model.folder
        self._folder = folder
        self._progress = progress
        self._heard = self._total = 0
        self.copied: tuple[str, ...] = ()
        self.nbytes = 0

    def all(self) -> _Doing:
        """Copies that take no room first, then, if all others fit, those."""
        intended = self._intended
        whole = intended.unchanged | {file: file for file in intended.beside.kept}
        for new in [*whole.values(), *intended.small, *intended.headers]:
            (self._folder / new).parent.mkdir(parents=True, exist_ok=True)
        stamps = intended.model.stamps
        left = {
            old: new for old, new in whole.items()
            if not clone(self._source / old, self._folder / new, stamps.get(old))
        }  # fmt: skip
        copies = sum((self._source / old).stat().st_size for old in left)
        data = sum(len(header) + _nbytes(intended.homes[new]) for new, header in intended.headers.items())
        check_room(self._folder, copies + data + sum(map(len, intended.small.values())))
        self._total = copies + 2 * data
        for old, new in left.items():
            copy(self._source / old, self._folder / new, stamps.get(old), self._hear)
        for name, content in intended.small.items():
            write_small(self._folder / name, content)
        self._write(stamps)
        error = changed(located(self._source, stamps))
        if error is not None:
            raise error
        self.copied = tuple(whole.values())
        self.nbytes = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
        return self

    def _write(self, stamps: Mapping[str, Stamp]) -> None:
        intended = self._intended
        with Sources(self._source, stamps) as sources:
            for new, header in intended.headers.items():
                digests = write(self._folder / new, header, intended.homes[new], sources, self._hear)
                compare(self._folder / new, intended.homes[new], digests, self._hear)

    def _hear(self, nbytes: int) -> None:
        self._heard += nbytes
        if self._progress is not None:
            self._progress(self._heard, self._total)


def _nbytes(planned: Sequence[Planned]) -> int:
    return sum(tensor.nbytes for tensor in planned)
