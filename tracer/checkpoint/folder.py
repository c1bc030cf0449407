"""Opens a checkpoint: a folder, a file, or a repository. Headers only; not a byte of a tensor is read.

What makes a checkpoint unreadable is raised as InputError; what merely does not fit together is a finding;
what is absent and can be done without is said by `state`. Which files are the model is decided in `copies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mappings.findings import Finding, Unchecked
from mappings.span import Span
from tracer.checkpoint import adapters, consistency, formats, shards
from tracer.checkpoint.copies import Copy, choose, is_shard, second_copy, unnamed
from tracer.checkpoint.files import Files, LocalFiles, in_natural_order
from tracer.checkpoint.formats import GGUF, Format
from tracer.checkpoint.header import Header
from tracer.checkpoint.headers import read_header, read_headers
from tracer.checkpoint.index import Index
from tracer.checkpoint.json_object import read_object
from tracer.checkpoint.regular_file import told_link
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.collection import uncollected
from tracer.errors import InputError

State = Literal["complete", "index-only", "config-only"]
_SMALL = 100
"""A file by this factor smaller than each that Git-LFS keeps was committed as it is."""


@dataclass(slots=True, repr=False)
class Checkpoint:
    """What is known of a checkpoint from its config, its index and its headers."""

    files: Files
    config: dict[str, Any] | None
    format: Format | None = None
    """Of the copy of the model that was chosen; None where there is only a config."""
    index: Index | None = None
    tensors: list[TensorInfo] = field(default_factory=list)
    """Of the files that are present, in file order, each name once."""
    names: list[str] = field(default_factory=list)
    """Of all tensors, those included that the index promises in files that are absent."""
    state: State = "complete"
    """complete: shapes are known of every file that is here, and findings say which are not;
    index-only: names without shapes, no file is here but small ones; config-only: not even names."""
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    """The `__metadata__` of each file that has any."""
    spans: list[Span] = field(default_factory=list)
    """Of each file that is here: its header, all its tensors, and an empty one where it ends."""
    pointer_sizes: dict[str, int] = field(default_factory=dict)
    """Size of the file that each Git-LFS pointer stands for."""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    """Of each file of this machine whose header was read, from before it was."""

    def __repr__(self) -> str:
        return f"<{self.files.title}: {len(self.tensors)} tensors, {self.state}>"

    @property
    def sizes(self) -> dict[str, int]:
        """How large each file is, or would be, whose size is known without its header."""
        small = dict.fromkeys(tensor.file for tensor in self.tensors if tensor.file is not None)
        return self.pointer_sizes | {file: self.files.size(file) for file in small}


def open_checkpoint(path: Path, only: str | None = None) -> Checkpoint:
    """Read everything there is to know of a folder or a file without reading a tensor.

    `only` is the format that alone is looked for, as `--load-format` spells it. Raises InputError, and UsageError
    where there is none of that format.
    """
    try:
        if path.exists():
            return open_files(LocalFiles(path), only)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", subject=path.name) from error
    raise InputError(f"{path}: no such file or folder{told_link(path)}", subject=path.name)


@uncollected()
def open_files(files: Files, only: str | None = None) -> Checkpoint:
    """The same of files that may be elsewhere."""
    checkpoint = Checkpoint(files, _config(files))
    chosen = choose(files, only)
    if chosen is None and files.has(adapters.CONFIG):
        raise adapters.not_a_model(files)
    if chosen is None:
        _open_config_only(checkpoint)
        return checkpoint
    copy, checkpoint.index = chosen
    checkpoint.format = copy.format
    if checkpoint.index is None:
        _open_unindexed(checkpoint, copy)
    else:
        _open_indexed(checkpoint, copy, checkpoint.index)
    return checkpoint


def _config(files: Files) -> dict[str, Any] | None:
    return read_object(files, "config.json", "config.invalid") if files.has("config.json") else None


# --- without an index: every file of the copy belongs to the model ---


def _open_unindexed(checkpoint: Checkpoint, copy: Copy) -> None:
    files = _set_pointers_aside(checkpoint, copy.files)
    if not files:
        _open_config_only(checkpoint)
        return
    headers = read_headers(checkpoint.files, copy.format, files)
    present = _tensors_by_file(headers)
    checkpoint.findings += _pointer_findings(checkpoint, "error")
    if copy.format is GGUF:
        _compare_splits(checkpoint, headers)
    else:
        checkpoint.findings += shards.gaps([*files, *checkpoint.pointer_sizes])
        checkpoint.findings += consistency.duplicates(present)
        if len(files) > 1:
            reason = f"{len(files)} files and no index that says what they hold"
            checkpoint.unchecked.append(Unchecked("index", reason))
    _add(checkpoint, second_copy(checkpoint.files, copy, files))
    _fill(checkpoint, headers)


def _compare_splits(checkpoint: Checkpoint, headers: Mapping[str, Header]) -> None:
    """GGUF files say themselves what an index says of others, and one of them describes the model."""
    from tracer.checkpoint.gguf import check_splits, config_of_splits

    checkpoint.findings += check_splits(headers, checkpoint.pointer_sizes)
    checkpoint.config = checkpoint.config or config_of_splits(headers)


def _open_config_only(checkpoint: Checkpoint) -> None:
    if checkpoint.config is None:
        raise _nothing_here(checkpoint)
    checkpoint.state = "config-only"
    checkpoint.findings += _pointer_findings(checkpoint, "info")
    checkpoint.findings += shards.gaps(checkpoint.pointer_sizes)
    checkpoint.unchecked.append(Unchecked("headers", "no file of weights is here, only config.json"))


def _nothing_here(checkpoint: Checkpoint) -> InputError:
    """Says what the folder holds instead of a checkpoint."""
    files = checkpoint.files
    if checkpoint.pointer_sizes:
        first = next(iter(checkpoint.pointer_sizes))
        return InputError(
            f"{files.where(first)}: expected a file of weights, found a Git-LFS pointer; run git lfs pull",
            code="file.lfs-pointer",
            subject=first,
        )
    names = files.names()
    inside = sub_folders(files)
    if inside:
        message = f"{files.title}: no checkpoint here, but in its sub-folders: {consistency.some(inside)}; name one"
        return InputError(message, subject=inside[0])
    held = f"found {consistency.some(names)}" if names else "the folder is empty"
    wanted = "safetensors, PyTorch or GGUF files or a config.json"
    return InputError(f"{files.title}: no checkpoint: expected {wanted}, {held}", subject=files.title)


def sub_folders(files: Files) -> list[str]:
    """Those that weights lie in."""
    return sorted({name.partition("/")[0] for name in files.names() if "/" in name and formats.of_file(name)})


# --- with an index: it says which files belong to the model ---


def _open_indexed(checkpoint: Checkpoint, copy: Copy, index: Index) -> None:
    here = [file for file in index.files() if checkpoint.files.has(file)]
    files = _set_pointers_aside(checkpoint, here)
    if files and not _kept_in_git(checkpoint, files):
        _open_named(checkpoint, copy, index, files)
    else:
        others = _set_pointers_aside(checkpoint, unnamed(checkpoint.files, copy, index))
        if others and not files:
            _open_despite_index(checkpoint, copy, index, others)
        else:
            _open_index_only(checkpoint, copy, index, files)


def _kept_in_git(checkpoint: Checkpoint, files: Sequence[str]) -> bool:
    """Whether these files are so much smaller than those behind pointers that nobody gave them to Git-LFS."""
    largest = max(checkpoint.files.size(file) for file in files)
    return _SMALL * largest <= min(checkpoint.pointer_sizes.values(), default=0)


def _open_named(checkpoint: Checkpoint, copy: Copy, index: Index, files: list[str]) -> None:
    """Some or all of the named files are here."""
    headers = read_headers(checkpoint.files, copy.format, files)
    present = _tensors_by_file(headers)
    absent = [file for file in index.files() if file not in headers and file not in checkpoint.pointer_sizes]
    _add(checkpoint, consistency.missing_files(index, absent))
    checkpoint.findings += _pointer_findings(checkpoint, "error")
    checkpoint.findings += consistency.compare(index, present)
    checkpoint.findings += consistency.duplicates(present)
    _check_unnamed(checkpoint, copy, index)
    _add(checkpoint, second_copy(checkpoint.files, copy, files))
    _fill(checkpoint, headers, index)
    if len(files) < len(index.files()):
        checkpoint.unchecked.append(Unchecked("index.total-size", "not all files are here"))
    else:
        _add(checkpoint, consistency.total_size(index, checkpoint.tensors))


def _open_index_only(checkpoint: Checkpoint, copy: Copy, index: Index, files: Sequence[str]) -> None:
    """A clone without its large files: normal, unless it has pointers for some of them and not for others.

    `files` are small ones that are here all the same.
    """
    checkpoint.state = "index-only"
    if files:
        headers = read_headers(checkpoint.files, copy.format, files)
        checkpoint.findings += consistency.compare(index, _tensors_by_file(headers))
        _fill(checkpoint, headers, index)
    checkpoint.names = list(index.weight_map)
    stray = [file for file in checkpoint.pointer_sizes if file not in index.files()]
    shards_beside = [file for file in stray if is_shard(file)]
    for file in stray:
        del checkpoint.pointer_sizes[file]
    _add(checkpoint, consistency.unnamed_pointers(index, shards_beside))
    if checkpoint.pointer_sizes or shards_beside:
        absent = [file for file in index.files() if file not in checkpoint.pointer_sizes and file not in files]
        _add(checkpoint, consistency.missing_files(index, absent))
    checkpoint.findings += _pointer_findings(checkpoint, "info")
    _add(checkpoint, consistency.total_size_of_files(index, checkpoint.sizes))
    here = f"only {len(files)} small" if files else "none"
    verb = "are" if len(files) > 1 else "is"
    reason = f"{here} of the {len(index.files())} files that {index.file} names {verb} here"
    checkpoint.unchecked.append(Unchecked("headers", reason))


def _open_despite_index(checkpoint: Checkpoint, copy: Copy, index: Index, files: list[str]) -> None:
    """None of the named files is here, but others are: the index was written for another layout."""
    headers = read_headers(checkpoint.files, copy.format, files)
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


def _check_unnamed(checkpoint: Checkpoint, copy: Copy, index: Index) -> None:
    """Files that the index does not name: never loaded, so their faults must not stop us."""
    for file in unnamed(checkpoint.files, copy, index):
        try:
            tensors = read_header(checkpoint.files, copy.format, file).tensors
        except InputError as error:
            checkpoint.unchecked.append(Unchecked(f"{file}, which {index.file} does not name", str(error)))
            continue
        checkpoint.findings.append(consistency.unnamed_file(index, file, tensors))


# --- both ways ---


def _tensors_by_file(headers: Mapping[str, Header]) -> dict[str, list[TensorInfo]]:
    return {file: header.tensors for file, header in headers.items()}


def _fill(checkpoint: Checkpoint, headers: Mapping[str, Header], index: Index | None = None) -> None:
    """Each name once: from the file that the index names, else from the first that has it."""
    homes = index.weight_map if index else {}
    for file, header in headers.items():
        if header.metadata:
            checkpoint.metadata[file] = header.metadata
        if header.stamp is not None:
            checkpoint.stamps[file] = header.stamp
        checkpoint.spans += header.spans
        checkpoint.findings += header.findings
    held = _each_once(headers, homes)
    checkpoint.tensors, checkpoint.names = list(held.values()), list(held)
    if not homes.keys() <= held.keys():
        checkpoint.names += [name for name, file in homes.items() if name not in held and file not in headers]


def _each_once(headers: Mapping[str, Header], homes: Mapping[str, str]) -> dict[str, TensorInfo]:
    """By name in file order; of several with one name that of its home, else the first."""
    order = [tensor for header in headers.values() for tensor in header.tensors]
    found = {tensor.name: tensor for tensor in order}
    if len(found) == len(order):
        return found
    chosen: dict[str, TensorInfo] = {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if tensor.name not in chosen or homes.get(tensor.name) == file:
                chosen[tensor.name] = tensor
    return {tensor.name: tensor for tensor in order if chosen[tensor.name] is tensor}


def _set_pointers_aside(checkpoint: Checkpoint, files: Sequence[str]) -> list[str]:
    """The files that are real; what the others stand for is noted."""
    sizes = {file: checkpoint.files.pointer_size(file) for file in files}
    checkpoint.pointer_sizes.update({file: size for file, size in sizes.items() if size is not None})
    return [file for file, size in sizes.items() if size is None]


def _pointer_findings(checkpoint: Checkpoint, severity: Literal["error", "info"]) -> list[Finding]:
    """An error where some files are real, and the clone is half done; worth knowing where none is."""
    sizes = {file: checkpoint.pointer_sizes[file] for file in in_natural_order(list(checkpoint.pointer_sizes))}
    if not sizes:
        return []
    are = "1 file is a Git-LFS pointer" if len(sizes) == 1 else f"{len(sizes)} files are Git-LFS pointers"
    return [
        Finding(
            "file.lfs-pointer",
            severity,
            next(iter(sizes)),
            f"{are} to {sum(sizes.values())} bytes that are not here:"
            f" {consistency.some(list(sizes))}",
            {"sizes": dict(sizes)},
            "run git lfs pull, or download the files again",
        )
    ]


def _add(checkpoint: Checkpoint, finding: Finding | None) -> None:
    if finding is not None:
        checkpoint.findings.append(finding)
