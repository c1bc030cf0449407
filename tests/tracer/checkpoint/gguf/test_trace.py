"""A GGUF file from one end to the other: traced, loaded, audited; or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.gguf import NUMBERS, Stored, document
from fixtures.gguf_models import converted, stored, values_of
from mappings.bind import Binder
from mappings.ggml import GGML_TYPES
from mappings.synth import synthesise
from tests.mappings.small import architecture
from tracer.errors import InputError
from tracer.session import Request, Result, run

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 70, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
    "max_position_embeddings": 64,
}  # fmt: skip


def model(dtype: str) -> list[Stored]:
    """A small Llama, its matrices of this type; the values of blocks mean nothing."""
    shapes = {t.name: t.shape for t in synthesise(Binder(architecture("LlamaForCausalLM"), CONFIG, 1).bind())}
    random = np.random.default_rng(5)
    arrays = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    found = stored(converted(CONFIG, arrays))
    kind = GGML_TYPES[NUMBERS[dtype]]
    return [
        t if len(t.shape) == 1 or dtype == "F32"
        else Stored(t.name, dtype, t.shape, bytes(len(t.data) // 4 // kind.elements * kind.nbytes))
        for t in found
    ]  # fmt: skip


def write(folder: Path, dtype: str) -> Path:
    path = folder / f"model-{dtype}.gguf"
    path.write_bytes(document(values_of(CONFIG), model(dtype)))
    return path


def said(result: Result) -> list[str]:
    return [finding.code for finding in result.findings if finding.severity != "info"]


@pytest.mark.parametrize("tp", [1, 2])
def test_a_file_is_loaded_and_audited(tp: int, tmp_path: Path) -> None:
    result = run(Request(str(write(tmp_path, "F32")), tp=tp))
    assert result.audit is not None
    assert result.audit.ok
    assert said(result) == []
    assert result.why_not == ""
    assert all(proof.holds for proof in result.proofs)
    assert {t.file for t in result.store.tensors()} == {"model-F32.gguf"}


@pytest.mark.parametrize("dtype", ["F32", "Q8_0", "IQ4_NL"])
def test_a_file_is_traced_without_its_bytes_whatever_they_mean(dtype: str, tmp_path: Path) -> None:
    result = run(Request(str(write(tmp_path, dtype)), tp=2, load_format="dummy"))
    assert result.audit is not None
    assert result.audit.ok
    assert said(result) == []
    assert dtype in {t.dtype for t in result.store.tensors()}


def test_blocks_are_placed_and_not_decoded(tmp_path: Path) -> None:
    path = write(tmp_path, "Q8_0")
    with pytest.raises(InputError) as caught:
        run(Request(str(path), tp=2))
    assert "model-Q8_0.gguf: token_embd.weight has data type Q8_0" in str(caught.value)
    assert "use --plan or --load-format dummy" in str(caught.value)
    assert run(Request(str(path), tp=2, plan_only=True)).failed is False


def test_a_cut_inside_a_block_is_an_error(tmp_path: Path) -> None:
    """128 / 4 = 32 is a block of Q8_0; the 16 elements of a head are half of one."""
    result = run(Request(str(write(tmp_path, "Q8_0")), tp=4, plan_only=True))
    assert said(result) == ["tp.quant-group"]
    (finding,) = [f for f in result.findings if f.code == "tp.quant-group"]
    assert finding.subject == "blk.{0, 1}.attn_output.weight"
    assert finding.evidence["legal"] == [1, 2]


def test_divisors_of_the_rotation_are_skipped_and_keep_the_model_from_generating(tmp_path: Path) -> None:
    """The rows are whole, so the load is; what the divisors are is only in the tensor."""
    path = tmp_path / "model.gguf"
    own = Stored("rope_freqs.weight", "F32", (8,), bytes(32))
    path.write_bytes(document(values_of(CONFIG), [*model("F32"), own]))
    result = run(Request(str(path), tp=1, load_format="dummy"))
    assert result.audit is not None
    assert result.audit.ok
    assert "stored in rope_freqs.weight" in result.why_not
    assert next(t for t in result.store.tensors() if t.name == own.name).disposition == "skipped"
