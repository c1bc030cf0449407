"""Looks at every file of a checkpoint by itself: one that cannot be read is a finding, and the next is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mappings.findings import Finding
from tracer.checkpoint import adapters
from tracer.checkpoint.copies import Copy, copies
from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import Format
from tracer.checkpoint.headers import in_order, read_header
from tracer.checkpoint.index import read_index
from tracer.checkpoint.json_object import read_object
from tracer.errors import InputError

CONFIG = "config.json"
BESIDE = ("generation_config.json", "quantize_config.json", "tokenizer_config.json", adapters.CONFIG)
"""Objects that loaders read beside config.json, where they are there."""


class Damage(NamedTuple):
    """One file that cannot be read."""

    file: str
    finding: Finding
    weights: bool
    """Whether it should hold tensors."""


def damage_of_texts(files: Files, but: str | None = None) -> Iterator[Damage]:
    """Configs and indexes that are none; `but` is an index that was read already."""
    for file in (CONFIG, *BESIDE):
        if files.has(file) and (damage := _damage_of_text(files, file)):
            yield damage
    for copy in copies(files):
        if copy.index not in (None, but):
            try:
                read_index(files, copy.index)
            except InputError as error:
                yield Damage(copy.index, told(error, copy.index, "index.invalid"), False)


def _damage_of_text(files: Files, file: str) -> Damage | None:
    try:
        read_object(files, file, "config.invalid")
    except InputError as error:
        finding = told(error, file, "config.invalid")
        # Loaders of weights do without all but the two that say what they are.
        needed = file in (CONFIG, adapters.CONFIG)
        return Damage(file, finding if needed else replace(finding, severity="warning"), False)
    return None


def damage_of_weights(files: Files) -> Iterator[Damage]:
    """Files of tensors, of whichever copy of the model, without a header that can be read."""
    for copy in copies(files):
        wanted = _files_of(files, copy)
        found = in_order(partial(refusal, files, copy.format), wanted, files.at_once)
        for file, error in zip(wanted, found, strict=True):
            if error is not None:
                yield Damage(file, _far(files, told(error, file, "index.missing-file")), True)


def _files_of(files: Files, copy: Copy) -> list[str]:
    """What the folder has of a copy, and what its index names elsewhere in it."""
    try:
        named = read_index(files, copy.index).files() if copy.index else []
    except InputError:
        named = []
    return list(dict.fromkeys([*copy.files, *(file for file in named if files.has(file))]))


def refusal(files: Files, format: Format, file: str) -> InputError | None:
    """Why a file of weights has no header that can be read. Raises InputError where the Hub does not let us know."""
    try:
        if files.pointer_size(file) is None:
            read_header(files, format, file)
    except InputError as error:
        if files.folder is None and error.code is None:
            raise
        return error
    return None


def _far(files: Files, finding: Finding) -> Finding:
    """A pickle that can only be read where it lies on a disk is no damage."""
    is_limit = files.folder is None and finding.code == "pickle.unreadable"
    return replace(finding, severity="info") if is_limit else finding


def told(error: InputError, file: str, code: str) -> Finding:
    """A refusal as a finding; `code` where it has none of its own."""
    finding = error.finding() or Finding(code, "error", file, str(error))
    fix = RIGHTS if isinstance(error.__cause__, PermissionError) else _FIXES.get(finding.code)
    return replace(finding, evidence={"file": file, **finding.evidence}, fix=finding.fix or fix)


RIGHTS = "give yourself the right to read it (chmod u+r, or ask its owner)"
_FIXES = {
    "index.missing-file": "download the file again; a link has to lead to it",
    "file.truncated": "download the file again",
    "file.empty": "download the file again",
    "file.trailing-bytes": "download the file again, or write it anew",
    "pickle.unsafe-global": "do not load it; look for the same model as safetensors",
}
