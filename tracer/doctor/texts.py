"""Files beside the weights that loaders read: whether they are what their names say, or what a download left there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from mappings.findings import Finding
from tracer.checkpoint import adapters
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import FORMATS, of_file
from tracer.doctor.damage import BESIDE, CONFIG
from tracer.doctor.trainers import is_trainers
from tracer.errors import InputError

_MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_LARGEST = 64 << 20
"""Bytes that are parsed; of longer files the beginning is looked at."""
_HEAD = 512
_PAGES = (b"<!doctype html", b"<html")
_FIX = "download the file again"


def broken_texts(files: Files, known: Collection[str], cloned: bool) -> Iterator[Finding]:
    """Those at the top but the `known`, of files on this machine; where all was `cloned` so, pointers are usual."""
    if files.folder is None or files.one_file:
        return
    judged = {CONFIG, *BESIDE, adapters.CONFIG, *known}
    for name in files.names():
        if "/" in name or name in judged or not (name.endswith(".json") or name in _MODELS) or _is_index(name):
            continue
        try:
            finding = _judged(files, name, cloned)
        except InputError:
            continue
        if finding is not None:
            yield finding


def _is_index(name: str) -> bool:
    return any(format.is_index(name) for format in FORMATS)


def _judged(files: Files, name: str, cloned: bool) -> Finding | None:
    size = files.size(name)
    if (pointed := files.pointer_size(name)) is not None:
        what = f"{name} is a Git-LFS pointer to {pointed} bytes that are not here"
        return None if cloned else Finding("file.lfs-pointer", "warning", name, what, {}, "run git lfs pull")
    if not size:
        return Finding("file.empty", "warning", name, f"{name} is empty", {}, _FIX)
    with files.open(name) as file:
        content = file.read(_HEAD)
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
            return Finding("file.html", "warning", name, f"{name} is a web page, not the file of this name", {}, _FIX)
        if not name.endswith(".json") or size > _LARGEST:
            return None
        content += file.read(_LARGEST - len(content))
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        what = f"{name}: not valid JSON: {str(error)[:120]}"
        return Finding("config.invalid", "warning", name, what, {"file": name}, _FIX)
    return None


def weights_below(files: Files) -> str:
    """Sub-folders with weights of their own, which nobody has looked at; empty where there are none."""
    if files.one_file:
        return ""
    found = {n.partition("/")[0] for n in files.names() if "/" in n and of_file(n) and not is_trainers(n)}
    if not found:
        return ""
    return f"weights in sub-folders were not looked at: {some(sorted(found))}; name them to have them examined"
