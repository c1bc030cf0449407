"""Compares an index with the headers of the files it names, both ways; one finding a file and fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mappings.findings import Finding
from tracer.checkpoint.index import Index
from tracer.checkpoint.tensor_info import TensorInfo

_SHOWN = 3
_LONGEST_NAME = 200
"""More than three times the longest name of a tensor that has been seen."""
_HEADER_PER_FILE = 4096
_HEADER_PER_TENSOR = 512
"""Generous room for what a file holds beside its tensors, where only file sizes are known."""


def compare(index: Index, present: Mapping[str, Sequence[TensorInfo]]) -> list[Finding]:
    """What the index promises of the files that are `present`, against what they hold."""
    if index.weight_map == {tensor.name: file for file, tensors in present.items() for tensor in tensors}:
        return []
    homes = _homes(present)
    lost: dict[str, list[str]] = defaultdict(list)
    strayed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for tensor, file in index.weight_map.items():
        holders = homes.get(tensor, [])
        if file in holders:
            continue
        if holders:
            strayed[file, holders[0]].append(tensor)
        elif file in present:
            lost[file].append(tensor)
    return [
        *(_missing_tensor(index, file, tensors) for file, tensors in lost.items()),
        *(_wrong_shard(index, *files, tensors) for files, tensors in strayed.items()),
        *_unlisted(index, present),
    ]


def missing_files(index: Index, absent: Sequence[str]) -> Finding | None:
    """The files that the index names and the folder lacks."""
    if not absent:
        return None
    gone = set(absent)
    tensors = [tensor for tensor, file in index.weight_map.items() if file in gone]
    named = len(index.files())
    return Finding(
        "index.missing-file",
        "error",
        absent[0],
        f"{index.file} names {named} files, {len(absent)} of them missing: {some(absent)};"
        f" they should hold {_count(tensors)}: {some(tensors)}",
        {"index": index.file, "files": list(absent), "tensors": tensors},
        "download the missing files",
    )


def unnamed_file(index: Index, file: str, tensors: Sequence[TensorInfo]) -> Finding:
    """A file that the index does not name: it holds what the index lacks, or the same once more."""
    return _unlisted_in(index, file, tensors) or Finding(
        "shards.second-copy",
        "warning",
        file,
        f"{index.file} does not name {file}, all of whose {len(tensors)} tensors it places in other files;"
        " loaders that read every file read them twice",
        {"index": index.file, "ignored": [file]},
        f"remove {file} if it does not belong to the model",
    )


def unnamed_pointers(index: Index, files: Sequence[str]) -> Finding | None:
    """Shards that are pointers and that the index does not name: what they hold is not known."""
    if not files:
        return None
    are = "a shard is" if len(files) == 1 else f"{len(files)} shards are"
    return Finding(
        "shards.second-copy",
        "warning",
        files[0],
        f"{are} here as Git-LFS pointers that {index.file} does not name: {some(files)};"
        " loaders that read every file read them too",
        {"index": index.file, "ignored": list(files)},
        "remove what does not belong to the model",
    )


def duplicates(present: Mapping[str, Sequence[TensorInfo]]) -> list[Finding]:
    """Tensors that several files hold, one finding a set of files."""
    names = {tensor.name for tensors in present.values() for tensor in tensors}
    if len(names) == sum(map(len, present.values())):
        return []
    shared: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for tensor, holders in _homes(present).items():
        if len(holders) > 1:
            shared[tuple(holders)].append(tensor)
    return [_duplicate(files, tensors) for files, tensors in shared.items()]


def total_size(index: Index, tensors: Iterable[TensorInfo]) -> Finding | None:
    """The index's total against the bytes that the headers describe."""
    if index.total_size is None:
        return None
    stored = sum(tensor.nbytes for tensor in tensors)
    if stored == index.total_size:
        return None
    return _total_size(index, f"the headers describe {_number(stored)}", {"headers": stored})


def total_size_of_files(index: Index, sizes: Mapping[str, int]) -> Finding | None:
    """The same where only file sizes are known, so that headers can only be estimated."""
    if index.total_size is None or any(file not in sizes for file in index.files()):
        return None
    held = sum(sizes[file] for file in index.files())
    headers = len(index.files()) * _HEADER_PER_FILE + len(index.weight_map) * _HEADER_PER_TENSOR
    if 0 <= held - index.total_size <= headers:
        return None
    return _total_size(index, f"the files have {_number(held)} bytes together", {"files": held})


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    shown = ", ".join(map(shortened, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def shortened(name: str) -> str:
    """A name of unknown length, for a line that is read."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}... ({len(name):,} characters)"


def _homes(present: Mapping[str, Sequence[TensorInfo]]) -> dict[str, list[str]]:
    homes: dict[str, list[str]] = defaultdict(list)
    for file, tensors in present.items():
        for tensor in tensors:
            homes[tensor.name].append(file)
    return homes


def _count(tensors: Sequence[str]) -> str:
    return "1 tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"


def _subject(tensors: Sequence[str], file: str) -> str:
    return tensors[0] if len(tensors) == 1 else file


def _missing_tensor(index: Index, file: str, tensors: list[str]) -> Finding:
    return Finding(
        "index.missing-tensor",
        "error",
        _subject(tensors, file),
        f"{index.file} promises {_count(tensors)} in {file} that no file holds: {some(tensors)}",
        {"index": index.file, "file": file, "tensors": tensors},
        f"download {file} again, or write the index anew from the headers",
    )


def _wrong_shard(index: Index, file: str, home: str, tensors: list[str]) -> Finding:
    return Finding(
        "index.wrong-shard",
        "error",
        _subject(tensors, file),
        f"{index.file} promises {_count(tensors)} in {file}, found in {home}: {some(tensors)}",
        {"index": index.file, "file": file, "found_in": home, "tensors": tensors},
        "write the index anew from the headers",
    )


def _unlisted(index: Index, present: Mapping[str, Sequence[TensorInfo]]) -> list[Finding]:
    found = [_unlisted_in(index, file, tensors) for file, tensors in present.items()]
    return [finding for finding in found if finding is not None]


def _unlisted_in(index: Index, file: str, tensors: Sequence[TensorInfo]) -> Finding | None:
    names = [tensor.name for tensor in tensors if tensor.name not in index.weight_map]
    if not names:
        return None
    return Finding(
        "index.unlisted-tensor",
        "warning",
        _subject(names, file),
        f"{file} holds {_count(names)} that {index.file} does not mention: {some(names)};"
        " loaders that trust the index never read them",
        {"index": index.file, "file": file, "tensors": names},
        "write the index anew from the headers",
    )


def _duplicate(files: tuple[str, ...], tensors: list[str]) -> Finding:
    return Finding(
        "shards.duplicate-tensor",
        "error",
        _subject(tensors, files[-1]),
        f"{_count(tensors)} in more than one file ({', '.join(files)}): {some(tensors)}; which one is loaded"
        " depends on the order of reading",
        {"files": list(files), "tensors": tensors},
        "remove the files that do not belong to the model",
    )


def _total_size(index: Index, found: str, evidence: dict[str, int]) -> Finding:
    assert index.total_size is not None
    return Finding(
        "index.total-size",
        "warning",
        index.file,
        f"metadata.total_size is {_number(index.total_size)}, {found}",
        {"total_size": index.total_size, **evidence},
        "correct metadata.total_size; no loader needs it, but disk and memory checks read it",
    )


def _number(value: int) -> str:
    digits = str(value)
    return digits if len(digits) <= 24 else f"a number of {len(digits)} digits ({digits[:8]}...)"
