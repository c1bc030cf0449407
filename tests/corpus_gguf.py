"""GGUF files of the corpus, built again from what a `gguf.json` has of them.

The keys are the published ones; of a long array only the length was collected, and its entries are made up. The list
of tensors is as published where it was collected. Where a log counts them by type, `corpus_gguf_tensors` makes them,
in as many files as the model was split into; elsewhere they are unknown, and the file has keys only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fixtures.gguf import Stored, Typed, write_sparse
from tests.corpus_gguf_tensors import derived

_NUMBERED = {"4": "u32", "5": "i32", "6": "f32", "7": "bool", "8": "str"}
_NUMBER = re.compile(r"-\d{5}-of-\d{5}$")
_ARRAY = re.compile(r"arr\[(\w+),(\d+)\]")
_MADE_UP: dict[str, object] = {"str": "x", "bool": False, "f32": 0.0}


def write(folder: Path, told: Mapping[str, Any]) -> None:
    """The file that a `gguf.json` describes, or the files: real headers, and holes for the data."""
    values = {key: _value(key, found) for key, found in told["kv"].items() if not key.startswith("GGUF.")}
    name = Path(told.get("file", "model.gguf")).stem  # a loader's log cuts long names short
    if "tensors" in told:
        write_sparse(folder / f"{name}.gguf", values, list(_collected(told)))
        return
    tensors, files = derived(told), int(told["kv"].get("split.count", {"value": 1})["value"])
    if files == 1 or not tensors:
        write_sparse(folder / f"{name}.gguf", values, tensors)
        return
    for number in range(files):
        own = values if number == 0 else {key: values[key] for key in ("split.count", "split.tensors.count")}
        path = folder / f"{_NUMBER.sub('', name)}-{number + 1:05}-of-{files:05}.gguf"
        share = tensors[len(tensors) * number // files : len(tensors) * (number + 1) // files]
        write_sparse(path, {**own, "split.no": Typed("u16", number)}, share)


def _value(key: str, found: Any) -> Typed:
    if not isinstance(found, dict):
        return Typed("u16" if key in ("split.no", "split.count") else "i32", found)
    kind, value = str(found["type"]), found["value"]
    if kind == "9":
        return _array(_NUMBERED[str(value["array_of"])], value["len"])
    if array := _ARRAY.fullmatch(kind):
        return _array(array[1], int(array[2]))
    return _scalar(_NUMBERED.get(kind, kind), value)


def _array(kind: str, length: int) -> Typed:
    return Typed(f"[{kind}]", [_MADE_UP.get(kind, 0)] * length)


def _scalar(kind: str, value: Any) -> Typed:
    """The loader's log has every value as text."""
    if kind == "str":
        return Typed(kind, value)
    if kind == "bool":
        return Typed(kind, value in (True, "true"))
    return Typed(kind, float(value) if kind == "f32" else int(value))


def _collected(told: Mapping[str, Any]) -> Iterator[Stored]:
    """The dump pads shapes to four dimensions, innermost first."""
    for tensor in told["tensors"]:
        dims = list(tensor["shape"])
        while len(dims) > 1 and dims[-1] == 1:
            dims.pop()
        yield Stored(tensor["name"], tensor["type"], tuple(reversed(dims)))
