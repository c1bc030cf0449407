"""A model against its quantised form: recognised by headers, and dequantised to what the quantiser knows it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures import gguf_models
from fixtures.gguf import Stored, document
from tests import diffing
from tests.diffing import Arrays
from tracer.diff.asked import checks
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import open_side
from tracer.diff.values.opened import rows_of
from tracer.diff.values.rows import Reader, Unreadable
from tracer.diff.verdict import sentence

A = diffing.model()
Quantiser = Callable[[str, NDArray[Any]], tuple[Arrays, Any]]
ACTIVATIONS = diffing.random(10)
GPTQ: dict[str, Any] = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}
SCHEMES: dict[str, tuple[Quantiser, str, dict[str, Any]]] = {
    "gptq": (diffing.gptq, "GPTQ 4 bit, group 32", GPTQ),
    "gptq-3bit": (lambda s, w: diffing.gptq(s, w, 3), "GPTQ 3 bit, group 32", {}),
    "gptq-8bit": (lambda s, w: diffing.gptq(s, w, 8), "GPTQ 8 bit, group 32", {}),
    "awq": (diffing.awq, "AWQ 4 bit, group 32", {}),
    "fp8-blocks": (diffing.fp8_blocks, "FP8, 32 x 32 blocks", {"quantization_config": {"weight_block_size": [32, 32]}}),
    "fp8-rows": (diffing.fp8_rows, "FP8, one scale a row", {}),
    "int8-rows": (diffing.int8_rows, "INT8, one scale a row", {}),
    "bitsandbytes-int8": (diffing.bitsandbytes_int8, "bitsandbytes int8, one scale a row", {}),
    "nf4": (diffing.nf4, "bitsandbytes NF4, blocks", {}),
    "nf4-nested": (lambda s, w: diffing.nf4(s, w, True), "bitsandbytes NF4, blocks, nested", {}),
    "mlx": (diffing.mlx, "MLX 4 bit, group 32", {"quantization": {"bits": 4, "group_size": 32}}),
    "mlx-3bit": (lambda s, w: diffing.mlx(s, w, 3), "MLX 3 bit, group 32", {"quantization": {"group_size": 32}}),
    "mlx-undeclared": (diffing.mlx, "MLX 4 bit, group 32", {}),
    "mlx-3bit-undeclared": (lambda s, w: diffing.mlx(s, w, 3), "MLX 3 bit, group 32", {}),
    "packed-int4": (diffing.packed_int4, "compressed-tensors 4 bit, group 32", {}),
    "nvfp4": (diffing.nvfp4, "NVFP4, group 16", {}),
}  # fmt: skip


def against(a: str, b: str, values: bool = True) -> Comparison:
    return compare(open_side("A", a, values), open_side("B", b, values), values, False, lambda done, total: None)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> str:
    return diffing.write(tmp_path_factory.mktemp("original"), A)


@pytest.mark.parametrize("key", SCHEMES)
def test_a_quantised_copy_is_told_with_its_error(key: str, original: str, tmp_path: Path) -> None:
    quantise, told, fields = SCHEMES[key]
    tensors, wanted = diffing.quantised(A, quantise)
    path = diffing.write(tmp_path, tensors, **fields)
    errors = {name: float(np.linalg.norm(A[name] - wanted[name]) / np.linalg.norm(A[name])) for name in wanted}
    found = against(original, path)
    text = sentence(found)
    assert text.startswith(f"B is A quantised: {told} in 28 of 39 weights; after dequantisation relative error ")
    assert text.endswith(f"in {max(errors, key=lambda name: errors[name])}); 11 of 39 tensors equal")
    for pair in found.valued("differs"):
        assert pair.valued is not None
        assert pair.valued.distance is not None
        assert pair.valued.distance.relative == pytest.approx(errors[pair.subject], rel=2e-4)
    assert sentence(against(path, original)).startswith(f"A is B quantised: {told} in 28 of 39 weights")


@pytest.mark.parametrize("key", SCHEMES)
def test_what_is_read_is_what_the_quantiser_wrote(key: str, tmp_path: Path) -> None:
    """Also from the middle, where packing, groups and blocks do not begin."""
    quantise, _, fields = SCHEMES[key]
    tensors, wanted = diffing.quantised(A, quantise)
    side = open_side("A", diffing.write(tmp_path, tensors, **fields), True)
    reader = Reader(side.checkpoint.files)
    for name, numbers in wanted.items():
        rows = rows_of(reader, side.weights[name])
        assert rows.shape == numbers.shape
        np.testing.assert_allclose(rows.read(0, len(numbers)), numbers, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(rows.read(5, 19), numbers[5:19], rtol=1e-5, atol=1e-7)
    reader.close()


def test_gptq_in_the_order_of_activations(original: str, tmp_path: Path) -> None:
    """g_idx says which group an input is in; the inputs themselves stay where they were."""
    tensors: Arrays = {}
    for name, array in A.items():
        if diffing.is_linear(name):
            stem, order = name.removesuffix(".weight"), ACTIVATIONS.permutation(array.shape[1])
            own, _ = diffing.gptq(stem, array[:, order], 4)
            back = np.argsort(order)
            values, _, _ = diffing.grouped(array[:, order], 32, 4)
            own[f"{stem}.qweight"] = diffing.packed(values[:, back].T, 4, 0)
            own[f"{stem}.g_idx"] = own[f"{stem}.g_idx"][back]
            tensors |= own
        else:
            tensors[name] = array
    told = sentence(against(original, diffing.write(tmp_path, tensors, **GPTQ)))
    assert re.match(r"B is A quantised: GPTQ 4 bit, group 32 in 28 of 39 weights; .* error 8\.\d %", told)


def test_headers_alone_tell_the_scheme(original: str, tmp_path: Path) -> None:
    tensors, _ = diffing.quantised(A, diffing.gptq)
    told = sentence(against(original, diffing.write(tmp_path, tensors, **GPTQ), values=False))
    assert told == (
        "B is A quantised, by names and shapes: GPTQ 4 bit, group 32 in 28 of 39 weights;"
        " values were not compared (--values)"
    )


def test_another_model_quantised_is_not_called_this_one(original: str, tmp_path: Path) -> None:
    tensors, _ = diffing.quantised(diffing.model(seed=3), diffing.awq)
    told = sentence(against(original, diffing.write(tmp_path, tensors)))
    assert told.startswith("quantised (AWQ 4 bit, group 32 in 28 of 39 weights), but not from the other's numbers:")


def test_two_schemes_of_one_model(tmp_path: Path) -> None:
    one, other = (
        diffing.write(tmp_path / key, diffing.quantised(A, SCHEMES[key][0])[0], **SCHEMES[key][2])
        for key in ("awq", "fp8-rows")
    )
    told = sentence(against(one, other))
    assert told.startswith("quantised differently: AWQ 4 bit, group 32 -> FP8, one scale a row in 28 of 39 weights;")


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0"])
def test_a_gguf_file_is_the_model_under_its_names_and_in_its_order(kind: str, original: str, tmp_path: Path) -> None:
    """Names by the rows of both dialects; q and k in the order that llama.cpp's converter gives them."""
    stored = []
    for name, array in gguf_models.converted(diffing.CONFIG, A).items():
        data = np.ascontiguousarray(array)
        own = kind if array.ndim == 2 else "F32"
        if own != "F32":
            data = gguf.quants.quantize(data, gguf.GGMLQuantizationType[kind])
        stored.append(Stored(name, own, array.shape, data.tobytes()))
    path = tmp_path / f"{kind}.gguf"
    path.write_bytes(document(gguf_models.values_of(diffing.CONFIG), stored))
    found = against(original, str(path))
    told = sentence(found)
    assert not found.fields, "what metadata cannot say, and single precision, are no differences"
    assert {check.name: check.told for check in checks(found)}["config.json"] == "no field of GGUF's metadata differs"
    assert told.startswith("the same tensors under other names: 39 of 39 of B by the rows of LlamaForCausalLM; ")
    if kind == "F32":
        assert "equal after the rotary permutation of 4 heads: q_proj of all 4 layers (4 tensors)" in told
    else:
        assert f"B is A quantised: GGUF {kind} in 30 of 39 weights; after dequantisation relative error" in told
        assert "rows in the other rotary order of 2 heads in k_proj of all 4 layers (4 tensors)" in told
        assert "not from" not in told


@pytest.mark.parametrize(
    ("key", "leaf", "instead", "why"),
    [
        ("gptq", "g_idx", np.full(64, 99, "i4"), "g_idx names groups that its 2 scales do not have"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", np.frombuffer(b"[", "u1"), "its quant_state is not JSON"),
        (
            "nf4", "weight.quant_state.bitsandbytes__nf4",
            np.frombuffer(json.dumps({"shape": [1 << 40, 2]}).encode(), "u1"), "its quant_state gives the shape",
        ),
        ("nf4", "weight.absmax", np.ones(3, "f4"), "it has 3 scales for blocks of 64 elements"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_checked_by_name(
    key: str, leaf: str, instead: NDArray[Any], why: str, original: str, tmp_path: Path
) -> None:
    tensors, _ = diffing.quantised(A, SCHEMES[key][0])
    name = f"model.layers.0.self_attn.q_proj.{leaf}"
    assert name in tensors
    found = against(original, diffing.write(tmp_path, tensors | {name: instead}))
    (pair,) = (pair for pair in found.pairs if pair.unchecked)
    assert pair.subject == "model.layers.0.self_attn.q_proj.weight"
    assert why in pair.unchecked
    assert sentence(found).endswith("1 of 39 tensors could not be compared")


def test_an_unknown_dtype_is_not_checked(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}).encode()
    for name, data in (("a", b"abc"), ("b", b"abd")):
        (tmp_path / f"{name}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    one, other = (str(tmp_path / f"{name}.safetensors") for name in "ab")
    found = against(one, other)
    assert found.pairs[0].unchecked == "numbers of F6_E2M3 cannot be read"
    assert not found.compared
    assert against(one, one).same, "bytes need no dtype"


def test_a_weight_without_its_file_is_unreadable() -> None:
    from tracer.checkpoint.files import LocalFiles
    from tracer.diff.weights import Weight

    with pytest.raises(Unreadable, match="its file is not here"):
        rows_of(Reader(LocalFiles(Path())), Weight("x", None, "", {}))
