"""Files that are the same once more, or beside the copy that is read: told by digest, by name, and by their headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mappings.findings import Finding
from tracer.checkpoint.consistency import missing_files, some
from tracer.checkpoint.copies import copies
from tracer.checkpoint.files import Files
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.index import read_index
from tracer.checkpoint.lfs import LIMIT
from tracer.doctor.damage import refusal, told
from tracer.errors import InputError

_UNFINISHED = (".incomplete", ".part", ".crdownload", ".aria2", ".download", ".tmp")
_OTHER_PROGRAMS = (".h5", ".msgpack", ".onnx", ".ckpt", ".npz", ".tflite", ".mlmodel")
_OID = b"oid sha256:"


def digests(files: Files, names: Sequence[str]) -> dict[str, str]:
    """The SHA-256 that each Git-LFS pointer gives for the file that it stands for."""
    found = {name: _digest(files, name) for name in names}
    return {name: digest for name, digest in found.items() if digest}


def _digest(files: Files, name: str) -> str:
    with files.open(name) as file:
        content = file.read(LIMIT)
    for line in content.splitlines():
        if line.startswith(_OID):
            digest = line.removeprefix(_OID).decode("ascii", "replace").strip()
            # Whoever did not know it wrote zeros.
            return digest if digest.strip("0") else ""
    return ""


def twins(digest_of: Mapping[str, str], read: Sequence[str]) -> Iterator[Finding]:
    """Files of equal content. Two shards of one model never have it: one of them is in the other's place."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name, digest in digest_of.items():
        alike[digest].append(name)
    for digest, names in alike.items():
        own = [name for name in names if name in read]
        if len(own) > 1:
            yield Finding(
                "shards.duplicate-tensor", "error", own[-1],
                f"{some(own)} are the same file by their SHA-256 ({digest[:12]}...), so that what one of them should"
                " hold is lost", {"files": own, "sha256": digest}, "download the files again, or upload the right ones",
            )  # fmt: skip


def damaged_beside(files: Files, read: Sequence[str]) -> tuple[list[Finding], int]:
    """Files of weights that were not read so far and cannot be; and how many can. They are not what is loaded."""
    findings, good, seen = [], 0, set(read)
    for copy in copies(files):
        for file in copy.files:
            if file in seen:
                continue
            seen.add(file)
            error = refusal(files, copy.format, file)
            good += error is None
            if error is not None and error.code == "file.wrong-format" and "/" in file:
                continue  # another program's own format, in its own folder: `metal/model.bin`
            if error is not None:
                finding = told(error, file, "index.missing-file")
                message = f"{finding.message} (not in the copy that is read)"
                findings.append(replace(finding, severity="warning", message=message))
    return findings, good


class OtherIndex(NamedTuple):
    """The index of a copy that is not the one that is read."""

    finding: Finding | None
    reason: str
    """Why it was not compared."""


def other_indexes(files: Files, checkpoint: Checkpoint) -> Iterator[OtherIndex]:
    """Whether the files that they name are here; of a copy that is here in part some download was not finished."""
    own = checkpoint.index.file if checkpoint.index else None
    for copy in copies(files):
        if copy.index is None or copy.index == own:
            continue
        try:
            index = read_index(files, copy.index)
        except InputError:
            continue
        absent = [file for file in index.files() if not files.has(file)]
        if len(absent) == len(index.files()):
            yield OtherIndex(None, f"none of the {len(absent)} files that {copy.index} names is here")
        elif absent:
            finding = missing_files(index, absent)
            assert finding is not None
            yield OtherIndex(replace(finding, severity="warning"), "")


def unfinished(files: Files) -> Finding | None:
    """What a download was called before it was complete."""
    found = [name for name in files.names() if name.endswith(_UNFINISHED)]
    if not found or files.one_file:
        return None
    return Finding(
        "file.truncated", "warning", found[0], f"unfinished downloads are beside the model: {some(found)}",
        {"files": found}, "let the download end, or remove them",
    )  # fmt: skip


def beside(files: Files, suffixes: tuple[str, ...]) -> list[str]:
    """Files with these endings that are of no copy of the model."""
    own = {file for copy in copies(files) for file in copy.files}
    return [name for name in files.names() if name.endswith(suffixes) and name not in own]


def other_programs(files: Files) -> list[str]:
    """Files of weights in formats that are not read here."""
    return [] if files.one_file else [name for name in files.names() if name.endswith(_OTHER_PROGRAMS)]


def read_files(checkpoint: Checkpoint) -> list[str]:
    """The files whose headers were read, and those that are pointers."""
    own = dict.fromkeys(tensor.file for tensor in checkpoint.tensors if tensor.file is not None)
    return list(dict.fromkeys([*own, *checkpoint.stamps, *checkpoint.pointer_sizes]))
