"""Git-LFS pointers: what is one, what size it names, and sizes that no file has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracer.checkpoint.lfs import parse_pointer
from tracer.cli import main

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128, "torch_dtype": "float32",
}  # fmt: skip


def pointer(size: object) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize {size}\n".encode()


@pytest.mark.parametrize("size", [0, 1, 4976698672, 2**63 - 1])
def test_the_size_that_a_pointer_names(size: int) -> None:
    assert parse_pointer(pointer(size)) == size


@pytest.mark.parametrize("content", [b"", b"size 3\n", pointer("-1"), pointer("x"), pointer("1e3"),
                                     pointer(1) + bytes(1024)])  # fmt: skip
def test_what_is_no_pointer(content: bytes) -> None:
    assert parse_pointer(content) is None


@pytest.mark.parametrize("size", [2**63, 10**309, 10**400])
def test_a_size_that_no_file_has_is_refused_in_one_line(
    size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """10**309 is the first that no float holds."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(pointer(size))
    assert main(["load", str(tmp_path), "--plan"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and len(err) < 300
    expected = "model.safetensors: expected a Git-LFS pointer with a size below 2**63"
    assert f"{tmp_path}/{expected}, found {str(size)[:19]}" in err
    assert "[file.lfs-pointer]" in err
