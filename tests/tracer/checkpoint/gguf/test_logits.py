"""The oracle is Transformers: its checkpoint, converted to GGUF and loaded by our rows, gives the same logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from engine.processes.launch import launch
from tests.engine.checkpoints import build
from tests.engine.checkpoints import load as load_hub
from tests.tracer.checkpoint.gguf.conversion import DTYPES, convert, header_of, load, logits_of, logits_on

ALLOWED = 1e-5
"""Largest difference of a logit in float32; their standard deviation is about 1."""
FAMILIES = ("llama", "llama-tied", "llama-biases", "mistral-no-window", "qwen2", "qwen2-tied", "qwen3", "mixtral")

Reference = Callable[[str], tuple[Path, torch.Tensor]]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A family's GGUF file, beside the folder that it was made of, and the logits of Transformers."""
    root = tmp_path_factory.mktemp("gguf")

    @cache
    def made(family: str) -> tuple[Path, torch.Tensor]:
        logits = build(family, root / family)
        return convert(root / family, root / f"{family}.gguf"), logits

    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_one_rank_says_what_transformers_says(family: str, reference: Reference) -> None:
    path, expected = reference(family)
    assert (logits_of(path) - expected).abs().max() < ALLOWED


def test_two_ranks_say_what_transformers_says(reference: Reference) -> None:
    expected = {family: reference(family) for family in FAMILIES}
    root = expected["llama"][0].parent
    for rank, found in enumerate(launch(2, logits_on, root, FAMILIES)):
        errors = {name: (found[name] - expected[name][1]).abs().max().item() for name in FAMILIES}
        assert {name: error for name, error in errors.items() if not error < ALLOWED} == {}, f"rank {rank}"


def test_experts_one_by_one_are_the_same_model(reference: Reference, tmp_path: Path) -> None:
    """As files were written before April 2024."""
    path, expected = reference("mixtral")
    old = convert(path.parent / "mixtral", tmp_path / "old.gguf", by_expert=True)
    assert len(header_of(old).tensors) > len(header_of(path).tensors)
    assert (logits_of(old) - expected).abs().max() < ALLOWED


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_half_precision_is_kept_bit_by_bit(family: str, dtype: str, reference: Reference, tmp_path: Path) -> None:
    path, _ = reference(family)
    half = convert(path.parent / family, tmp_path / "half.gguf", dtype)
    expected = dict(load_hub(path.parent / family, 1).named_parameters())
    for name, param in load(half, dtype=dtype).named_parameters():
        assert param.dtype == DTYPES[dtype]
        assert torch.equal(param, expected[name].to(DTYPES[dtype])), name


def test_rows_of_q_in_the_order_of_the_hub_would_be_garbage(reference: Reference, tmp_path: Path) -> None:
    """The comparison can fail: without the converter's reordering the logits are others."""
    path, expected = reference("llama")
    raw, header = bytearray(path.read_bytes()), header_of(path)
    query = next(tensor for tensor in header.tensors if tensor.name == "blk.0.attn_q.weight")
    assert query.offset is not None
    span = slice(query.offset, query.offset + query.nbytes)
    rows = torch.frombuffer(raw[span], dtype=torch.float32).view(query.shape)
    heads, half = 4, query.shape[0] // 8
    raw[span] = rows.view(heads, half, 2, -1).transpose(1, 2).contiguous().numpy().tobytes()
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(raw)
    assert (logits_of(wrong) - expected).abs().max() > 0.01
