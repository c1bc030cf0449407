"""How many bytes a file of weights needs beside its data, told from what is in it: the least and the most."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tracer.checkpoint.formats import PYTORCH, SAFETENSORS, Format
from tracer.weighing.bands import EVERYTHING, Band
from tracer.weighing.items import Item

_METADATA = 2048
"""Room for `__metadata__` and padding; published shards have 33 to 90 bytes of them."""
_USUAL_METADATA = 128
_DOUBT = 8
_SPACES = 16
"""Blanks that a writer other than the reference one may put into an entry of the header."""
_DIGITS = 4
"""By so many characters an entry may differ if the tensors lie in another order, or have another data type."""
_PICKLED = Band(40, 1024)
"""A tensor of a .bin: 280 to 480 bytes in published zip files, whose entries are padded to 64; less in older files."""
_PICKLE = Band(0, 8192)


def overhead(format: Format | None, items: Sequence[Item]) -> Band:
    """Bytes beside the data of a file that holds just these tensors; unbounded for a format nobody weighed."""
    if format is SAFETENSORS:
        return _safetensors(items)
    if format is PYTORCH:
        return Band(_PICKLE.low + _PICKLED.low * len(items), _PICKLE.high + _PICKLED.high * len(items))
    return EVERYTHING


def headers(format: Format | None, items: Sequence[Item]) -> Band:
    """The same, of a file that is nothing unusual: what a total that counts whole files has on top."""
    least = overhead(format, items).low
    return Band(least, least + _USUAL_METADATA + _DOUBT * len(items)) if format is SAFETENSORS else Band(0, 0)


def _safetensors(items: Sequence[Item]) -> Band:
    """The length of the header, 8 bytes, and the header as the reference writer spells it."""
    at = 0
    entries: dict[str, Any] = {}
    for item in sorted(items, key=lambda item: item.name):
        stop = at + item.lot.nbytes
        entries[item.name] = {"dtype": item.lot.dtype, "shape": item.lot.shape or (), "data_offsets": [at, stop]}
        at = stop
    spelled = 8 + len(json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode())
    least, most = spelled - _DIGITS * len(items) - 8, spelled + (_DIGITS + _SPACES) * len(items) + _METADATA
    return Band(least, most)
