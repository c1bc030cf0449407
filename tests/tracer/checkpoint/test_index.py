"""An index that is none is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tracer.checkpoint.sharded import refusal, write_index


@pytest.mark.parametrize(
    "weight_map",
    [
        [],
        {"a": 3},
        {"a": ""},
        {"a": "/etc/passwd"},
        {"a": "../other/model.safetensors"},
        {"a": "part/../../model.safetensors"},
        {"a": "..\\model.safetensors"},
        {"a": "C:\\model.safetensors"},
        {"a": "model\0.safetensors"},
        {"a": "x" * 300},
        {"\ud800": "model.safetensors"},
    ],
)
def test_index_is_invalid(two_shards: Path, weight_map: Any) -> None:
    write_index(two_shards, weight_map)
    assert refusal(two_shards).code == "index.invalid"


def test_index_names_one_tensor_twice(two_shards: Path) -> None:
    text = '{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}'
    (two_shards / "model.safetensors.index.json").write_text(text)
    assert refusal(two_shards).code == "index.invalid"
