"""The files and tensors that a repair starts from, each tensor once; and what cannot be repaired, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_128

from tracer.checkpoint.consistency import shortened, some
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.header import Header
from tracer.checkpoint.headers import read_headers
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError, UsageError
from tracer.repair.changes import Change, RewriteIndex
from tracer.repair.content import Values
from tracer.repair.gathering import Sources, pieces
from tracer.repair.planned import Planned
from tracer.repair.view import View
from tracer.report.words import plural


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint on this machine whose tensors are all here."""

    checkpoint: Checkpoint
    folder: Path
    headers: dict[str, Header]
    """Of each file that is the model."""
    tensors: list[TensorInfo]
    """In file order, each name once."""
    repeated: tuple[str, ...]
    """Names that a second file holds with the same bytes."""
    absent: tuple[str, ...]
    """Names that the index promises and no file has: an index that is written anew will not."""

    @property
    def stamps(self) -> dict[str, Stamp]:
        return {file: header.stamp for file, header in self.headers.items() if header.stamp is not None}


def model_of(checkpoint: Checkpoint, changes: Iterable[Change]) -> Model:
    """Raises UsageError for what cannot be repaired, InputError for what cannot be read or has changed."""
    rewrites = [change for change in changes if isinstance(change, RewriteIndex)]
    folder = _folder(checkpoint, rewritten=bool(rewrites))
    assert checkpoint.format is not None
    headers = read_headers(checkpoint.files, checkpoint.format, _model_files(checkpoint, rewrites))
    for file, header in headers.items():
        if checkpoint.stamps.get(file, header.stamp) != header.stamp:
            message = f"{checkpoint.files.where(file)}: it has changed since it was diagnosed"
            raise InputError(message, code="file.changed", subject=file)
    tensors, repeated = _each_once(checkpoint, headers, folder)
    return Model(checkpoint, folder, headers, tensors, repeated, tuple(_promised(checkpoint, tensors)))


def _folder(checkpoint: Checkpoint, *, rewritten: bool) -> Path:
    title, folder = checkpoint.files.title, checkpoint.files.folder
    if folder is None:
        raise UsageError(f"{title}: its bytes are not on this machine; download it to have it repaired")
    if checkpoint.format is GGUF:
        what = "a GGUF file is repaired in what it was converted from, and converted again"
        raise UsageError(f"{title}: {what}")
    if checkpoint.pointer_sizes:
        what = f"{plural(len(checkpoint.pointer_sizes), 'file')} behind Git-LFS pointers; run git lfs pull"
        raise UsageError(f"{title}: not all of it is here: {what}")
    if checkpoint.state != "complete":
        raise UsageError(f"{title}: there is nothing to copy: no weights are here")
    absent = _promised(checkpoint, checkpoint.tensors)
    if absent and not rewritten:
        assert checkpoint.index is not None
        what = f"{checkpoint.index.file} promises {plural(len(absent), 'tensor')} that no file has: {some(absent)}"
        raise UsageError(f"{title}: a copy would be as incomplete: {what}")
    return folder


def _promised(checkpoint: Checkpoint, held: Iterable[TensorInfo]) -> list[str]:
    """What the index names and no file of the model has."""
    names = {tensor.name for tensor in held}
    return [name for name in checkpoint.index.weight_map if name not in names] if checkpoint.index else []


def _model_files(checkpoint: Checkpoint, rewrites: Sequence[RewriteIndex]) -> list[str]:
    named = {change.files for change in rewrites if change.files}
    if len(named) > 1:
        raise UsageError("two changes contradict each other: which files the index is to name")
    files = list(*named) if named else list(checkpoint.stamps)
    for file in files:
        if not checkpoint.files.has(file) or file not in checkpoint.files.names():
            raise UsageError(f"{checkpoint.files.title}: the index is to name {shortened(file)}, which is not there")
    return files


def _each_once(
    checkpoint: Checkpoint, headers: dict[str, Header], folder: Path
) -> tuple[list[TensorInfo], tuple[str, ...]]:  # fmt: skip
    """Where two files hold one name, that of the index, else the first. Raises UsageError where they differ."""
    holders: dict[str, list[TensorInfo]] = defaultdict(list)
    for header in headers.values():
        for tensor in header.tensors:
            holders[tensor.name].append(tensor)
    homes = checkpoint.index.weight_map if checkpoint.index else {}
    chosen = {
        name: next((tensor for tensor in held if tensor.file == homes.get(name)), held[0])
        for name, held in holders.items()
    }
    repeated = {name: held for name, held in holders.items() if len(held) > 1}
    if repeated:
        with Sources(folder, {file: header.stamp for file, header in headers.items() if header.stamp}) as sources:
            for name, held in repeated.items():
                _refuse_different(name, held, sources)
    order = [tensor for header in headers.values() for tensor in header.tensors]
    return [tensor for tensor in order if chosen[tensor.name] is tensor], tuple(repeated)


def _refuse_different(name: str, held: Sequence[TensorInfo], sources: Sources) -> None:
    """Parts of a model that is cut by ranks, or two versions of it: leaving one out would lose it."""
    seen = {(tensor.dtype, tensor.shape, _digest(tensor, sources)) for tensor in held}
    if len(seen) > 1:
        files = some([str(tensor.file) for tensor in held])
        what = "is in several files with different values, and which is right is not known"
        raise UsageError(f"{shortened(name)} {what}: {files}")


def _digest(tensor: TensorInfo, sources: Sources) -> str:
    digest = xxh3_128()
    for piece in pieces(Planned(tensor.name, Values(View.of(tensor))), sources):
        digest.update(piece)
    return digest.hexdigest()
