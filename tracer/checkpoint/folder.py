"""Opens a checkpoint: a folder, or one safetensors file. Headers only; not a byte of a tensor is read.

What makes a checkpoint unreadable is raised as InputError; what merely does not fit together is a finding;
what is absent and can be done without is said by `state`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mappings.findings import Finding, Unchecked
from mappings.proof.bytes import Span
from tracer.checkpoint import consistency, shards
from tracer.checkpoint.index import Index, find_index, read_index
from tracer.checkpoint.json_object import read_object
from tracer.checkpoint.lfs import pointer_size
from tracer.checkpoint.safetensors import Header, open_header
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

State = Literal["complete", "index-only", "config-only"]
_READS = "this version reads safetensors"
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".gguf", ".ckpt", ".h5", ".bin.index.json")


@dataclass(slots=True)
class Checkpoint:
    """What is known of a checkpoint from its config, its index and its headers."""

    path: Path
    """As given: the folder, or the one file."""
    folder: Path
    """Where the files that tensors name are."""
    config: dict[str, Any] | None
    tensors: list[TensorInfo] = field(default_factory=list)
    """Of the files that are present, in file order, each name once; empty unless the state is complete."""
    names: list[str] = field(default_factory=list)
    """Of all tensors, those included that the index promises in files that are absent."""
    state: State = "complete"
    """complete: shapes are known of every file that is here, and findings say which are not;
    index-only: names without shapes, no file is here; config-only: not even names."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    """The `__metadata__` of each file that has any."""
    spans: list[Span] = field(default_factory=list)
    """Of each file that is here: its header, all its tensors, and an empty one where it ends."""
    pointer_sizes: dict[str, int] = field(default_factory=dict)
    """Size of the file that each Git-LFS pointer stands for."""


def open_checkpoint(path: Path) -> Checkpoint:
    """Read everything there is to know without reading a tensor."""
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.exists():
            return _open_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", subject=path.name) from error
    raise InputError(f"{path}: no such file or folder", subject=path.name)


def _open_file(path: Path) -> Checkpoint:
    header = open_header(path)
    checkpoint = Checkpoint(path, path.parent, _config(path.parent))
    _fill(checkpoint, {path.name: header})
    return checkpoint


def _open_folder(folder: Path) -> Checkpoint:
    checkpoint = Checkpoint(folder, folder, _config(folder))
    index_path = find_index(folder)
    if index_path is None:
        _open_unindexed(checkpoint)
    else:
        _open_indexed(checkpoint, read_index(index_path))
    return checkpoint


def _config(folder: Path) -> dict[str, Any] | None:
    path = folder / "config.json"
    return read_object(path, "config.invalid") if path.exists() else None


# --- without an index: every safetensors file belongs to the model ---


def _open_unindexed(checkpoint: Checkpoint) -> None:
    found = shards.safetensors_files(checkpoint.folder)
    files = _set_pointers_aside(checkpoint, shards.without_second_copy(found))
    if not files:
        _open_config_only(checkpoint)
        return
    headers = _headers(checkpoint.folder, files)
    present = _tensors_by_file(headers)
    checkpoint.findings += _pointer_findings(checkpoint, "error")
    checkpoint.findings += shards.gaps([*files, *checkpoint.pointer_sizes])
    checkpoint.findings += consistency.duplicates(present)
    _add_second_copy(checkpoint, files)
    if len(files) > 1:
        reason = f"{len(files)} files and no index that says what they hold"
        checkpoint.unchecked.append(Unchecked("index", reason))
    _fill(checkpoint, headers)


def _open_config_only(checkpoint: Checkpoint) -> None:
    if checkpoint.config is None:
        raise _nothing_here(checkpoint)
    checkpoint.state = "config-only"
    checkpoint.findings += _pointer_findings(checkpoint, "info")
    checkpoint.unchecked.append(Unchecked("headers", "no safetensors file is here, only config.json"))
    others = sorted(p.name for p in checkpoint.folder.iterdir() if p.name.endswith(_OTHER_WEIGHTS))
    if others:
        checkpoint.unchecked.append(Unchecked("weights", f"{_READS}, not {consistency.some(others)}"))


def _nothing_here(checkpoint: Checkpoint) -> InputError:
    """Says what the folder holds instead of a checkpoint."""
    folder = checkpoint.folder
    if checkpoint.pointer_sizes:
        first = next(iter(checkpoint.pointer_sizes))
        return InputError(
            f"{folder / first}: expected a safetensors file, found a Git-LFS pointer; run git lfs pull",
            code="file.lfs-pointer",
            subject=first,
        )
    names = sorted(path.name for path in folder.iterdir())
    weights = [name for name in names if name.endswith(_OTHER_WEIGHTS)]
    if weights:
        message = f"{_READS}, found {consistency.some(weights)}"
        return InputError(f"{folder}: {message}", code="file.wrong-format", subject=weights[0])
    held = f"found {consistency.some(names)}" if names else "the folder is empty"
    message = f"{folder}: no checkpoint: expected safetensors files or a config.json, {held}"
    return InputError(message, subject=folder.name)


# --- with an index: it says which files belong to the model ---


def _open_indexed(checkpoint: Checkpoint, index: Index) -> None:
    here = [file for file in index.files() if (checkpoint.folder / file).exists()]
    files = _set_pointers_aside(checkpoint, here)
    if files:
        _open_named(checkpoint, index, files)
    else:
        others = _set_pointers_aside(checkpoint, _unnamed(checkpoint, index))
        if others:
            _open_despite_index(checkpoint, index, others)
        else:
            _open_index_only(checkpoint, index)


def _open_named(checkpoint: Checkpoint, index: Index, files: list[str]) -> None:
    """Some or all of the named files are here."""
    headers = _headers(checkpoint.folder, files)
    present = _tensors_by_file(headers)
    absent = [file for file in index.files() if file not in headers and file not in checkpoint.pointer_sizes]
    _add(checkpoint, consistency.missing_files(index, absent))
    checkpoint.findings += _pointer_findings(checkpoint, "error")
    checkpoint.findings += consistency.compare(index, present)
    checkpoint.findings += consistency.duplicates(present)
    _check_unnamed(checkpoint, index)
    _add_second_copy(checkpoint, files)
    _fill(checkpoint, headers, index)
    if len(files) < len(index.files()):
        checkpoint.unchecked.append(Unchecked("index.total-size", "not all files are here"))
    else:
        _add(checkpoint, consistency.total_size(index, checkpoint.tensors))


def _open_index_only(checkpoint: Checkpoint, index: Index) -> None:
    """A clone without its large files: normal, unless it has pointers for some of them and not for others."""
    checkpoint.state = "index-only"
    checkpoint.names = list(index.weight_map)
    if checkpoint.pointer_sizes:
        absent = [file for file in index.files() if file not in checkpoint.pointer_sizes]
        _add(checkpoint, consistency.missing_files(index, absent))
    checkpoint.findings += _pointer_findings(checkpoint, "info")
    _add(checkpoint, consistency.total_size_of_files(index, checkpoint.pointer_sizes))
    reason = f"none of the {len(index.files())} files that {index.file} names is here"
    checkpoint.unchecked.append(Unchecked("headers", reason))


def _open_despite_index(checkpoint: Checkpoint, index: Index, files: list[str]) -> None:
    """None of the named files is here, but others are: the index was written for another layout."""
    headers = _headers(checkpoint.folder, files)
    present = _tensors_by_file(headers)
    held = {tensor.name for tensors in present.values() for tensor in tensors}
    checkpoint.findings.append(_stale(index, files, held))
    checkpoint.findings += shards.gaps(files)
    checkpoint.findings += consistency.duplicates(present)
    _fill(checkpoint, headers)


def _stale(index: Index, files: list[str], held: set[str]) -> Finding:
    lost = [name for name in index.weight_map if name not in held]
    lack = f"lack {len(lost)} of its tensors: {consistency.some(lost)}"
    return Finding(
        "index.missing-file",
        "error",
        index.file,
        f"none of the {len(index.files())} files that {index.file} names is here; {consistency.some(files)}"
        f" {'is' if len(files) == 1 else 'are'}; its headers {lack if lost else 'hold all of its tensors'}",
        {"named": index.files(), "present": files, "missing_tensors": lost},
        "write the index anew from the headers",
    )


def _unnamed(checkpoint: Checkpoint, index: Index) -> list[str]:
    named = set(index.files())
    found = [file for file in shards.safetensors_files(checkpoint.folder) if file not in named]
    return [file for file in found if not file.startswith("consolidated")]


def _check_unnamed(checkpoint: Checkpoint, index: Index) -> None:
    """Files that the index does not name: never loaded, so their faults must not stop us."""
    for file in _unnamed(checkpoint, index):
        try:
            tensors = open_header(checkpoint.folder / file).tensors
        except InputError as error:
            checkpoint.unchecked.append(Unchecked(f"{file}, which {index.file} does not name", str(error)))
            continue
        checkpoint.findings.append(consistency.unnamed_file(index, file, tensors))


# --- both ways ---


def _headers(folder: Path, files: Sequence[str]) -> dict[str, Header]:
    return {file: open_header(folder / file, file) for file in files}


def _tensors_by_file(headers: Mapping[str, Header]) -> dict[str, list[TensorInfo]]:
    return {file: header.tensors for file, header in headers.items()}


def _fill(checkpoint: Checkpoint, headers: Mapping[str, Header], index: Index | None = None) -> None:
    """Each name once: from the file that the index names, else from the first that has it."""
    homes = index.weight_map if index else {}
    chosen: dict[str, TensorInfo] = {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if tensor.name not in chosen or homes.get(tensor.name) == file:
                chosen[tensor.name] = tensor
        if header.metadata:
            checkpoint.metadata[file] = header.metadata
        checkpoint.spans += _spans(checkpoint.folder / file, file, header)
    order = [tensor for header in headers.values() for tensor in header.tensors]
    checkpoint.tensors = [tensor for tensor in order if chosen[tensor.name] is tensor]
    absent = [name for name, file in homes.items() if name not in chosen and file not in headers]
    checkpoint.names = [tensor.name for tensor in checkpoint.tensors] + absent


def _spans(path: Path, file: str, header: Header) -> Iterator[Span]:
    yield Span(file, 0, header.data_start, "the header")
    for tensor in header.tensors:
        if tensor.offset is not None:
            yield Span(file, tensor.offset, tensor.offset + tensor.nbytes, tensor.name)
    size = path.stat().st_size
    yield Span(file, size, size, "the end of the file")


def _set_pointers_aside(checkpoint: Checkpoint, files: Sequence[str]) -> list[str]:
    """The files that are real; what the others stand for is noted."""
    real = []
    for file in files:
        size = pointer_size(checkpoint.folder / file)
        if size is None:
            real.append(file)
        else:
            checkpoint.pointer_sizes[file] = size
    return real


def _pointer_findings(checkpoint: Checkpoint, severity: Literal["error", "info"]) -> list[Finding]:
    """An error where some files are real, and the clone is half done; worth knowing where none is."""
    sizes = checkpoint.pointer_sizes
    if not sizes:
        return []
    return [
        Finding(
            "file.lfs-pointer",
            severity,
            next(iter(sizes)),
            f"{len(sizes)} files are Git-LFS pointers to {sum(sizes.values())} bytes that are not here:"
            f" {consistency.some(list(sizes))}",
            {"sizes": dict(sizes)},
            "run git lfs pull, or download the files again",
        )
    ]


def _add_second_copy(checkpoint: Checkpoint, chosen: Sequence[str]) -> None:
    _add(checkpoint, shards.second_copy(checkpoint.folder, chosen))


def _add(checkpoint: Checkpoint, finding: Finding | None) -> None:
    if finding is not None:
        checkpoint.findings.append(finding)
