"""What all ranks must have prepared alike, though each reads its own disk: headers and config, not paths and times.

Values of tensors are not among it: nobody can say of two files whether they hold the same without reading both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError
from tracer.prepare import Prepared

Terms: TypeAlias = dict[str, dict[str, str]]
"""Sections, in the order in which they are compared, of names and short texts: ready for JSON."""
MOST_FILES = 4_000
"""More are told as one, since terms travel in one message."""
_SHORT = 60


def terms(prepared: Prepared) -> Terms:
    """What another rank must have too."""
    run, request = prepared.run, prepared.request
    options = {
        "--tp": str(run.tp), "--load-format": run.load_format, "--plan": "given" if request.plan_only else "not given",
        "--verify": "given" if request.verifies else "not given", "the data type of parameters": str(run.dtype),
        "the rows": brief(run.mapping),
        "the architecture": f"{run.architecture} {run.dialect or ''}".strip(),
    }  # fmt: skip
    commit = prepared.checkpoint.files.commit if prepared.checkpoint else None
    return {
        "options": options,
        "commit": {"the revision": commit} if commit else {},
        "config": {f"config.json: {key}": brief(value) for key, value in run.config.items()},
        "files": _files(prepared),
    }


def check(prepared: Prepared, agreed: Terms) -> None:
    """Raises InputError, with the first thing that is not as agreed."""
    own = terms(prepared)
    for section, expected in agreed.items():
        found = own.get(section, {})
        if section == "commit" and not (expected and found):
            continue  # a folder, or the cache under its path: not known to be of any commit
        for name in [*expected, *found]:
            if expected.get(name) != found.get(name):
                raise _differs(name, expected.get(name), found.get(name))


def _differs(name: str, expected: str | None, found: str | None) -> InputError:
    told = f"{name}: expected {expected or 'nothing'}, found {found or 'nothing'}"
    return InputError(f"{told}: all ranks must load the same checkpoint in the same way", subject=name)


def brief(value: Any) -> str:
    """A value itself where it is short, else what it is told by."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHORT else f"{len(text)} characters {_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _files(prepared: Prepared) -> dict[str, str]:
    """Size, and number of tensors and digest of what the header says of them."""
    tensors: dict[str, list[TensorInfo]] = {}
    for info in prepared.infos:
        if info.file is not None:
            tensors.setdefault(info.file, []).append(info)
    stamps = prepared.checkpoint.stamps if prepared.checkpoint else {}
    sizes = {file: stamps[file].size if file in stamps else None for file in tensors}
    told = {file: f"{sizes[file]} bytes, {len(held)} tensors, header {_header(held)}" for file, held in tensors.items()}
    return told if len(told) <= MOST_FILES else {f"the {len(told)} files": _all(told)}


def _header(tensors: Iterable[TensorInfo]) -> str:
    return _digest(repr([(t.name, t.dtype, t.shape, t.offset, t.nbytes, t.strides, t.big_endian) for t in tensors]))


def _all(told: Mapping[str, str]) -> str:
    return _digest(json.dumps(told))
