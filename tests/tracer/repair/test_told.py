"""What a repair says of itself, to people and to programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.tracer.repair.damaged import TWO, repaired, whole, write
from tracer.repair.changes import Change, Cut, Drop, Join, RemoveField, Rename, RewriteIndex, SetField, Transform
from tracer.repair.repaired import Repaired, told

CHANGES: list[Change] = [
    Rename({"t0": "new", "t1": "newer"}), Drop(("t2",), "recomputed"), Transform(("t0", "t4"), "add", amount=1.0),
    Transform(("t5",), "half-to-interleaved", 2), Transform(("t5",), "transpose"), SetField("text_config.heads", 8),
    RemoveField("model_type"), Cut("t6", 0, {"a": (0, 4), "b": (4, 8)}), Join(("t7", "t8"), "c", 0, new_axis=True),
    RewriteIndex("stale"),
]  # fmt: skip


def made(tmp_path: Path) -> Repaired:
    source = write(tmp_path / "model", {f"t{n}": torch.zeros(8, 8) for n in range(10)}, TWO)
    for n in range(5):
        (source / f"other{n}.bin").write_bytes(b"x")
    return repaired(source, CHANGES, tmp_path / "copy")


def test_there_is_a_line_a_change_and_what_was_compared_and_what_is_missing(tmp_path: Path) -> None:
    size = sum(map(len, whole(made(tmp_path).folder).values()))
    result = repaired(tmp_path / "model", CHANGES, tmp_path / "again")
    first, *lines = result.lines()
    assert first == f"repaired copy: {tmp_path / 'again'} ({size / 1000:.2f} kB)"
    assert lines == [
        "  renamed 2 tensors: t0 -> new and 1 more",
        "  dropped 1 tensor: recomputed",
        "  added 1 to every element in 2 tensors",
        "  rows of 2 heads reordered from halves to pairs in 1 tensor",
        "  transposed matrices in 1 tensor",
        "  config.json: text_config.heads = 8",
        "  config.json: without model_type",
        "  cut t6 into 2 tensors along axis 0",
        "  joined 2 tensors into c along a new axis 0",
        "  index written as the headers have it: stale",
        "  9 tensors, 2 of them untouched",
        "  2 files written and read back: every tensor has the digest that it was written with",
        "  0 files copied whole: of the size they had",
        "  not copied: other0.bin, other1.bin, other2.bin and 2 more (weights that were not read: they would be without"
        " the changes)",
    ]


def test_there_is_a_record_a_change_and_one_of_the_copy(tmp_path: Path) -> None:
    result = made(tmp_path)
    records: list[dict[str, Any]] = [json.loads(line) for line in result.records()]
    assert [record["kind"] for record in records] == ["change"] * len(CHANGES) + ["repaired"]
    assert [(record["change"], record["tensors"]) for record in records[:-1]] == [
        ("rename", 2), ("drop", 1), ("transform", 2), ("transform", 1), ("transform", 1), ("set-field", 0),
        ("remove-field", 0), ("cut", 1), ("join", 2), ("rewrite-index", 0),
    ]  # fmt: skip
    assert records[0]["names"] == {"t0": "new", "t1": "newer"}
    assert records[7] == {
        "kind": "change", "change": "cut", "tensors": 1, "name": "t6", "axis": 0,
        "parts": {"a": [0, 4], "b": [4, 8]}, "drop_axis": False,
    }  # fmt: skip
    last = records[-1]
    assert (last["tensors"], last["untouched"], last["written"]) == (9, 2, {file: file for file in TWO})
    assert (last["nbytes"], len(last["left_out"])) == (result.nbytes, 5)


def test_what_a_change_says_has_no_loose_ends() -> None:
    assert told(Drop(("a", "b"), "")) == "dropped 2 tensors"
    assert told(RewriteIndex()) == "index written as the headers have it"
    assert told(Rename({"a": "b"})) == "renamed 1 tensor: a -> b"
    assert told(SetField("a", "ü")) == 'config.json: a = "ü"'
