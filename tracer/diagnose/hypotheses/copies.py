"""One model in several sets of files, and files that never came: what a loader trips over that takes all it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod

from mappings.findings import Finding
from tracer.checkpoint.copies import copies
from tracer.checkpoint.headers import read_header
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint, Kind
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypotheses.whereabouts import place_of
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State
from tracer.errors import InputError

_STRANGE: tuple[Kind, ...] = ("no-parameter", "unexpected", "duplicate")
_UNREAD: tuple[Kind, ...] = ("header", "pickle", "no-file", "no-tensor", "garbage", "other")
_NUMBER = re.compile(r"\.\d+\.")
_MOST = 64
"""Files of other copies whose headers are read."""


def propose(case: Case) -> Iterator[Hypothesis]:
    yield from _twice(case)
    yield from _never_fetched(case)


# --- the model twice ---


def _twice(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    said = case.complained(*_STRANGE)
    remark = next((f for f in state.findings if f.code == "shards.second-copy"), None)
    if remark is None or not said:
        return
    others = _others(state, remark)
    names = [tensor.name for tensor in others]
    meant = [each for each in said if any(_is_among(name, names) for name in each.names[:8])]
    ours = [each for each in said if any(_is_among(name, state.names) for name in each.names[:8])]
    foreign = [each for each in meant if each not in ours]
    if not foreign and not state.symptoms:
        foreign = meant or ours  # the loader has gone through both, whichever it has stumbled over
    if others and foreign:
        yield Hypothesis(_told(state, remark, others, foreign[0]), evident=True, answers=tuple(foreign))


def _is_among(name: str, names: Sequence[str]) -> bool:
    """Whether a tensor has it, or would in a model of so many layers."""
    return any(place_of(each, names) for each in (name, _NUMBER.sub(".0.", name, 1)))


def _others(state: State, remark: Finding) -> list[TensorInfo]:
    """The tensors of the copies that were not read, as far as their headers are sound."""
    files, read = state.checkpoint.files, set(remark.evidence.get("read", ()))
    read |= {tensor.file for tensor in state.tensors if tensor.file}
    found: list[TensorInfo] = []
    for copy in copies(files):
        for file in [file for file in copy.files if file not in read][:_MOST]:
            try:
                found += read_header(files, copy.format, file).tensors
            except InputError:
                continue
        if found:
            break
    return found


def _told(state: State, remark: Finding, others: Sequence[TensorInfo], said: Complaint) -> Finding:
    read = list(dict.fromkeys(tensor.file for tensor in state.tensors if tensor.file))
    theirs = list(dict.fromkeys(tensor.file for tensor in others if tensor.file))
    place = place_of(said.names[0], [tensor.name for tensor in others])
    of = f"; {said.names[0]} is {place.names[0]} of {theirs[0]}" if place else ""
    indexed = " (indexed)" if state.checkpoint.index else ""
    one, other = (sum(prod(t.shape) for t in each) for each in (state.tensors, others))
    equal = f"the same {one:,} numbers" if one == other else f"{one:,} numbers and {other:,}"
    told = (
        f"the folder holds the model twice: {len(state.tensors):,} tensors in {counted(len(read), 'file')}"
        f" ({read[0]}...){indexed}, and {len(others):,} tensors in {counted(len(theirs), 'file')} ({theirs[0]}),"
        f" {equal}{of}: the loader has read both, and everything in the other set is unexpected; the checkpoint is"
        " whole"
    )
    return Finding(
        "shards.second-copy", "error", remark.subject, told, {"read": read, "ignored": theirs},
        f"load one of them: move {theirs[0]} out of the folder, or use a loader that goes by the index",
    )  # fmt: skip


# --- pointers in the place of files ---


def _never_fetched(case: Case) -> Iterator[Hypothesis]:
    """A clone without its large files is what it is; once something failed to load, it is why."""
    state = case.original
    said = case.complained(*_UNREAD)
    remark = next((f for f in state.findings if f.code == "file.lfs-pointer" and f.severity == "info"), None)
    sizes = state.checkpoint.pointer_sizes
    if remark is None or not said:
        return
    files = list(sizes) or [remark.subject]
    every = len({*files, *(tensor.file for tensor in state.tensors if tensor.file)})
    total = sum(sizes.values())
    told = (
        f"{files[0]} is a Git-LFS pointer of a few lines, and not the file: {len(files)} of {every} files of weights"
        f" are pointers, to {total:,} bytes that are not here"
    )
    if files[0].endswith(".safetensors"):
        told += "; read as safetensors, its first letters are an absurd length"
    yield Hypothesis(
        Finding("file.lfs-pointer", "error", remark.subject, told, dict(remark.evidence),
                "run git lfs pull, or download the files again"),
        evident=True, answers=tuple(said),
    )  # fmt: skip
