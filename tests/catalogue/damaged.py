"""I: damaged or wrong files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from fixtures.hostile import framed
from tests.catalogue.building import WEIGHTS, Model
from tests.catalogue.case import Case
from tests.catalogue.folders import Folder, Step, beside, lengthened, pointer, pointers, shard, shards, shortened, whole
from tests.catalogue.models import decoder
from tests.catalogue.quantising import fp8_blocks

HEADER = "safetensors_rust.SafetensorError: Error while deserializing header: "


def clone(layers: int, count: int, left: tuple[int, ...], said: str) -> Case:
    first = next(number for number in range(1, count + 1) if number not in left)
    return Case(
        "I1", f"{count - len(left)}-of-{count}", lambda: Folder([pointers(decoder(layers), count, left)]), said,
        "file.lfs-pointer", shard(first, count), ("Git-LFS pointer",
            f"{count - len(left)} {'files' if left else 'of'}", "git lfs pull"),
        alone="same" if left else "nothing", sound=lambda: Folder([shards(decoder(layers), count)]),
    )  # fmt: skip


def lone_pointer(size: int) -> Case:
    return Case(
        "I1", f"one-{size}", lambda: Folder([beside("config.json", decoder().config), beside(WEIGHTS, pointer(size))]),
        HEADER + "HeaderTooLarge", "file.lfs-pointer", WEIGHTS, ("Git-LFS pointer", f"{size:,}", "git lfs pull"),
        alone="nothing", sound=decoder,
    )  # fmt: skip


def page(file: str, content: bytes, words: tuple[str, ...], said: str) -> Case:
    return Case(
        "I2", f"{file}-{len(content)}", lambda: Folder([beside("config.json", decoder().config), beside(file,
            content)]),
        said, "file.html", file, words, alone="same", sound=decoder,
    )  # fmt: skip


def truncated(layers: int, count: int, which: int, share: float, said: str) -> Case:
    return Case(
        "I3", f"{which}-of-{count}-at-{share}",
        lambda: Folder([shards(decoder(layers), count), shortened(shard(which, count), share)]), said,
        "file.truncated", shard(which, count), ("tensors are incomplete, beginning with", "short"), alone="same",
        sound=lambda: Folder([shards(decoder(layers), count)]),
    )  # fmt: skip


def huge_header(spaces: int, said: str) -> Case:
    """Valid in every byte, and longer than the library accepts."""

    def step(folder: Path, seed: int | None) -> None:
        decoder().write(folder)
        path = folder / WEIGHTS
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        path.write_bytes(framed(data[8 : 8 + length] + b" " * spaces, data[8 + length :]))

    return Case(
        "I4", f"{spaces}", lambda: Folder([step]), said, "header.too-large", WEIGHTS,
        ("100000000", "split the file"), alone="same", sound=decoder,
    )  # fmt: skip


def older_library(layers: int, dtype: str, version: str, said: str) -> Case:
    """Scales in a type that is younger than the library."""

    def make() -> Folder:
        return Folder([_retyped(fp8_blocks(decoder(layers, 128, ffn=256), block=32), dtype)])

    return Case(
        "I5", f"{dtype}-{layers}", make, said, "header.invalid", WEIGHTS,
        (dtype, f"{7 * layers} tensors", "intact", "upgrade", version), sound=lambda: decoder(layers),
    )  # fmt: skip


def _retyped(model: Model, dtype: str) -> Step:
    """Scales of one byte each, of a type that the builder has no numbers for."""

    def step(folder: Path, seed: int | None) -> None:
        for name, tensor in list(model.tensors.items()):
            if name.endswith("weight_scale_inv"):
                model.put(name, *tensor.shape, dtype="U8")
        model.write(folder, seed)
        path = folder / WEIGHTS
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        for name, entry in header.items():
            if name.endswith("weight_scale_inv"):
                entry["dtype"] = dtype
        path.write_bytes(framed(json.dumps(header).encode(), data[8 + length :]))

    return step


# --- table I6: one message, several causes ---


def edited(edit: Callable[[bytes], bytes]) -> Step:
    """The bytes of a sound file, changed."""

    def step(folder: Path, seed: int | None) -> None:
        decoder().write(folder)
        path = folder / WEIGHTS
        path.write_bytes(edit(path.read_bytes()))

    return step


def header(edit: Callable[[dict[str, dict[str, object]]], None]) -> Step:
    """The header of a sound file, changed, its data as they were."""

    def change(data: bytes) -> bytes:
        (length,) = struct.unpack("<Q", data[:8])
        entries = json.loads(data[8 : 8 + length])
        edit(entries)
        return framed(json.dumps(entries).encode(), data[8 + length :])

    return edited(change)


def _second(entries: dict[str, dict[str, object]], **values: object) -> None:
    entries[list(entries)[2]].update(values)


_QUERY, _KEY, _VALUE = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkv")
_TABLE: list[tuple[str, Step, str, tuple[str, ...], str, str]] = [
    ("pointer", beside(WEIGHTS, pointer(480_000)), "file.lfs-pointer", ("Git-LFS pointer",), "header too large",
        "HeaderTooLarge"),
    ("page", beside(WEIGHTS, b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"), "file.html",
        ("web page",),
     "header too large", "HeaderTooLarge"),
    ("gguf", beside(WEIGHTS, b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(64)), "file.wrong-format", ("GGUF",),
     "header too large", "HeaderTooLarge"),
    ("zip", beside(WEIGHTS, b"PK\x03\x04" + bytes(200)), "file.wrong-format", ("zip",), "invalid header length",
        "InvalidHeaderLength"),
    ("cut-in-header", edited(lambda data: data[:200]), "file.truncated", ("header",), "invalid header length",
        "InvalidHeaderLength"),
    ("empty", beside(WEIGHTS, b""), "file.empty", ("0 bytes",), "header too small", "HeaderTooSmall"),
    ("never-written", beside(WEIGHTS, bytes(4096)), "header.invalid", ("never written",),
     "invalid JSON in header: EOF while parsing a value at line 1 column 0", "InvalidHeaderDeserialization"),
    ("cut-in-data", shortened(WEIGHTS, 0.5), "file.truncated", ("short",),
        "incomplete metadata, file not fully covered",
     "MetadataIncompleteBuffer"),
    ("goes-on", lengthened(WEIGHTS, 64), "file.trailing-bytes", ("64",), "incomplete metadata, file not fully covered",
     "MetadataIncompleteBuffer"),
    ("overlap", header(lambda held: held[_VALUE].update(data_offsets=held[_KEY]["data_offsets"])), "header.overlap", (),
     "invalid offset for tensor `model.layers.0.self_attn.v_proj.weight`",
     "InvalidOffset(\"model.layers.0.self_attn.v_proj.weight\")"),
    ("sizes", header(lambda held: _second(held, shape=[3, 3])), "header.size-mismatch", ("[3, 3]",),
     "invalid shape, data type, or offset for tensor", "TensorInvalidInfo"),
    ("no-such-type", header(lambda held: _second(held, dtype="Q4_K")), "header.invalid", ("Q4_K",),
     "invalid JSON in header: unknown variant `Q4_K`, expected one of `BOOL`, `U8`", "InvalidHeaderDeserialization"),
    ("metadata", header(lambda held: held["__metadata__"].update(step=7)), "header.invalid", ("__metadata__",),
     "invalid JSON in header: invalid type: integer `7`, expected a string at line 1 column 31",
     "InvalidHeaderDeserialization"),
]  # fmt: skip


_OF_TENSORS = {"overlap": _VALUE, "sizes": _QUERY, "no-such-type": _QUERY}
"""Rows of the table whose finding is of one tensor."""


def table(row: tuple[str, Step, str, tuple[str, ...], str, str], old: bool) -> Case:
    what, step, code, words, new, older = row
    steps = [whole(decoder()), step]
    return Case(
        "I6", f"{what}-{'old' if old else 'new'}", lambda: Folder(steps), HEADER + (older if old else new), code,
        _OF_TENSORS.get(what, WEIGHTS), words, alone="nothing" if what == "pointer" else "same", sound=decoder,
    )  # fmt: skip


CASES = [
    clone(4, 4, (2,), HEADER + "HeaderTooLarge"), clone(5, 3, (), HEADER + "header too large"), lone_pointer(480_000),
    page("consolidated.00.pth", b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n",
         ("web page", "403 Forbidden"), "_pickle.UnpicklingError: invalid load key, '<'."),
    page(WEIGHTS, b'{"error":"Access to model x is restricted"}', ("error message",), HEADER + "header too large"),
    truncated(4, 3, 2, 0.82, HEADER + "MetadataIncompleteBuffer"),
    truncated(6, 2, 1, 0.5, HEADER + "incomplete metadata, file not fully covered"),
    huge_header(100_000_000, HEADER + "HeaderTooLarge"),
    older_library(3, "F8_E8M0", "0.6", HEADER + "InvalidHeaderDeserialization"),
    older_library(4, "F8_E8M0", "0.6",
        HEADER + "invalid JSON in header: unknown variant `F8_E8M0`, expected one of `BOOL`,"
                  " `U8`, `I8`, `F8_E5M2` at line 1 column 81"),
    *(table(row, old) for row in _TABLE for old in (False, True)),
]  # fmt: skip
