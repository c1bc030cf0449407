"""One fault of each kind, planted in a sound checkpoint of each dtype, is found; in the sound one nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mappings.findings import Finding
from tests.engine.checkpoints import FAMILIES, reference, save
from tests.tracer.values.checkpoints import (
    COLUMNS,
    CONFIG,
    LAYERS,
    NUMPY,
    ROWS,
    Raw,
    opened,
    patched,
    raw,
    sound,
    weights,
)
from tracer.checkpoint.folder import open_checkpoint
from tracer.checks import Check, failed, findings
from tracer.values import examine
from tracer.values.decoding import is_float, unit

FLOATS = ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F64"]
PACKED = ["I32", "U32", "U8"]
NAN = {
    "F8_E4M3": b"\x7f", "F8_E5M2": b"\x7d", "F8_E4M3FNUZ": b"\x80", "F8_E5M2FNUZ": b"\x80", "F16": b"\x01\x7c",
    "BF16": b"\xc0\xff", "F32": b"\x00\x00\xc0\x7f", "F64": b"\x01\x00\x00\x00\x00\x00\xf0\xff",
}  # fmt: skip


class Found(NamedTuple):
    checks: list[Check]
    findings: list[Finding]

    @property
    def codes(self) -> list[tuple[str, str]]:
        return [(finding.code, finding.severity) for finding in self.findings]


def examined(folder: Path, tensors: dict[str, Raw], dtype: str | None = None, **config: object) -> Found:
    checks = examine(opened(folder, tensors, CONFIG | config), dtype=dtype)
    return Found(checks, findings(checks))


def victim(dtype: str, layer: int = 2) -> str:
    return f"model.layers.{layer}.self_attn.q_proj.{'qweight' if dtype in PACKED else 'weight'}"


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_nothing_is_found_in_a_sound_checkpoint(dtype: str, tmp_path: Path) -> None:
    found = examined(tmp_path, sound(dtype), "BF16" if dtype in ("F32", "F64") else None)
    assert found.findings == []
    states = {check.name: check.state for check in found.checks}
    assert states.pop("values.overflow") == ("ok" if dtype in ("F32", "F64") else "not-checked")
    assert set(states.values()) == {"ok"}


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_nan_is_found_and_where_it_is(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    width = len(NAN[dtype])
    assert np.isnan(np.frombuffer(NAN[dtype], NUMPY[dtype]).astype(np.float64)).all()
    tensors[victim(dtype)] = patched(tensors[victim(dtype)], 777 * width, NAN[dtype])
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.nonfinite", "error")]
    assert found.findings[0].evidence["first_element"] == 777
    assert found.findings[0].message == (
        f"{victim(dtype)}: 1 NaN among 16,384 elements of 1 tensor; the first is element 777 of {victim(dtype)}"
    )
    assert failed(found.checks)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E5M2", "F64"])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinity_is_found(dtype: str, sign: int, tmp_path: Path) -> None:
    tensors = sound(dtype)
    infinity = np.array(sign * np.inf).astype(NUMPY[dtype]).tobytes()
    for layer in range(LAYERS):
        tensors[victim(dtype, layer)] = patched(tensors[victim(dtype, layer)], 0, infinity)
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.nonfinite", "error")]
    assert found.findings[0].message.startswith("model.layers.{0..3}.self_attn.q_proj.weight: 4 " + "-+"[sign > 0])


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_a_matrix_of_zeros_is_found(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    for layer in (1, 2):
        name = victim(dtype, layer)
        tensors[name] = patched(tensors[name], 0, bytes(len(tensors[name].data)))
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.all-zero", "error")]
    assert "model.layers.{1, 2}.self_attn.q_proj" in found.findings[0].message


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_a_matrix_of_one_number_is_found(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    tensors[victim(dtype)] = patched(tensors[victim(dtype)], 0, b"\x3c" * len(tensors[victim(dtype)].data))
    assert examined(tmp_path, tensors).codes == [("value.constant", "warning")]


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_a_block_that_is_there_twice_is_one_finding(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    inside = [name for name in tensors if name.startswith("model.layers.3.")]
    for name in inside:
        tensors[name] = tensors[name.replace("layers.3", "layers.2")]
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.duplicate", "warning")]
    count = len(inside)
    told = f"model.layers.2 and model.layers.3 are equal in all {count} tensors: "
    assert found.findings[0].message.startswith(told)


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_a_tensor_that_is_there_twice_is_found(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    tensors[victim(dtype, 1)] = tensors[victim(dtype, 3)]
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.duplicate", "warning")]
    assert found.findings[0].message.startswith("model.layers.{1, 3}.self_attn.q_proj.")


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_an_end_that_was_never_written_is_one_finding(dtype: str, tmp_path: Path) -> None:
    """Of a file whose space was reserved: from the middle of a row of layer 2 on there are zeros."""
    checkpoint = opened(tmp_path, sound(dtype))
    cut = next(tensor for tensor in checkpoint.tensors if tensor.name == victim(dtype))
    start = (cut.offset or 0) + cut.nbytes // 2 + 100 * unit(dtype)[1]
    path = tmp_path / "model.safetensors"
    written = path.read_bytes()
    path.write_bytes(written[:start] + bytes(len(written) - start))
    found = Found(checks := examine(open_checkpoint(tmp_path)), findings(checks))
    assert found.codes == [("file.truncated", "error")]
    evidence = found.findings[0].evidence
    assert (evidence["start"], evidence["stop"]) == (start, len(written)) or written[start - 1] == 0
    assert evidence["partly"] == [victim(dtype)]
    assert "lm_head.weight" in evidence["whole"]


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_a_hole_in_the_middle_of_a_file_is_found(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    tensors["model.layers.1.mlp.up_proj.weight"] = raw("F32", weights(99, (128, 512)))
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = patched(tensors[name], 33_000, bytes(65_536))
    found = examined(tmp_path, tensors)
    assert found.codes == [("file.truncated", "error")]
    assert found.findings[0].evidence["partly"] == [name]


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F64"])
def test_what_the_serving_dtype_has_no_number_for_is_found(dtype: str, tmp_path: Path) -> None:
    tensors = sound(dtype)
    for layer, large in ((0, 65_504.0), (1, 65_536.0), (3, -1e30)):
        number = np.array(large).astype(NUMPY[dtype]).tobytes()
        if dtype == "BF16" and layer == 0:
            number = np.array(65_280.0).astype(NUMPY[dtype]).tobytes()  # the last one below that BF16 has
        tensors[victim(dtype, layer)] = patched(tensors[victim(dtype, layer)], 0, number)
    found = examined(tmp_path, tensors, "float16")
    assert found.codes == [("value.overflow", "error")]
    told = "model.layers.{1, 3}.self_attn.q_proj.weight: 2 numbers of 2 tensors have no finite F16; the largest"
    assert found.findings[0].message.startswith(told)
    assert "1e+30, in model.layers.3" in found.findings[0].message


def test_numbers_that_vanish_in_the_serving_dtype_are_found(tmp_path: Path) -> None:
    tensors = sound("BF16")
    tensors[victim("BF16")] = raw("BF16", weights(5, (ROWS, COLUMNS)) * 1e-9)
    found = examined(tmp_path, tensors, "F16")
    assert found.codes == [("value.overflow", "warning")]
    assert found.findings[0].message.endswith("(100.0%) are too small for F16 and become 0")


def test_a_scale_of_zeros_is_found(tmp_path: Path) -> None:
    tensors = sound("I32")
    tensors["model.layers.0.self_attn.q_proj.scales"] = raw("F16", np.zeros((2, COLUMNS)))
    assert examined(tmp_path, tensors).codes == [("value.all-zero", "error")]


def test_a_checkpoint_of_zeros_is_one_finding(tmp_path: Path) -> None:
    tensors = {name: Raw(dtype, shape, bytes(len(data))) for name, (dtype, shape, data) in sound("BF16").items()}
    found = examined(tmp_path, tensors)
    assert found.codes == [("value.all-zero", "error")]
    assert found.findings[0].message.endswith("are zero: headers without a model")


def _lone_norm(tensors: dict[str, Raw]) -> None:
    tensors["model.layers.2.input_layernorm.weight"] = raw("F32", np.zeros(COLUMNS))


def _untied_but_equal(tensors: dict[str, Raw]) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]


def _padded(tensors: dict[str, Raw]) -> None:
    held = tensors["lm_head.weight"]
    tensors["lm_head.weight"] = patched(held, 90 * COLUMNS * 4, bytes(6 * COLUMNS * 4))


def _silent_block(tensors: dict[str, Raw]) -> None:
    for name in ("self_attn.o_proj", "self_attn.down_proj"):
        tensors[f"model.layers.3.{name}.weight"] = raw("BF16", np.zeros((ROWS, COLUMNS)))


@pytest.mark.parametrize(
    ("plant", "code", "severity", "told"),
    [
        (_lone_norm, "value.all-zero", "warning", "all zero, while the mean of the 3 others is 1"),
        (_untied_but_equal, "value.duplicate", "info", "though config.json says that they are not tied"),
        (_padded, "vocab.padded", "info", "the last 6 rows of 96 are zero: padding; config.json says vocab_size 96"),
        (_silent_block, "value.all-zero", "warning", "1 block change nothing; block expansion does so on purpose"),
    ],
)
def test_what_may_be_meant_is_said_more_softly(
    plant: Callable[[dict[str, Raw]], None], code: str, severity: str, told: str, tmp_path: Path
) -> None:
    tensors = sound("BF16")
    plant(tensors)
    found = examined(tmp_path, tensors)
    assert found.codes == [(code, severity)]
    assert told in found.findings[0].message
    assert not failed(found.checks)


def _tied(tensors: dict[str, Raw]) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]


def _padded_columns(tensors: dict[str, Raw]) -> None:
    """An FFN made wider for its quantisation, and rows of zeros at the end: a run that begins in a row."""
    wide = weights(7, (64, 2048))
    wide[:, 1500:] = 0
    wide[50:] = 0
    tensors["model.layers.0.mlp.down_proj.weight"] = raw("BF16", wide)


def _pruned(tensors: dict[str, Raw]) -> None:
    keep = np.random.default_rng(3).random((256, 1024)) < 0.05
    tensors["model.layers.0.mlp.down_proj.weight"] = raw("BF16", weights(8, (256, 1024)) * keep)


def _rows_of_zeros(tensors: dict[str, Raw]) -> None:
    """Neurons that were cut off, and tokens that never occurred."""
    some = weights(9, (256, 512))
    some[100:180] = 0
    tensors["model.layers.0.mlp.gate_proj.weight"] = raw("BF16", some)


def _no_bounds(tensors: dict[str, Raw]) -> None:
    for name, bound in (("input_max", np.inf), ("input_min", -np.inf)):
        tensors[f"model.layers.0.self_attn.q_proj.{name}"] = raw("F32", np.array(bound))


def _exponents(tensors: dict[str, Raw]) -> None:
    tensors["model.layers.0.mlp.down_proj.weight_scale"] = Raw("F8_E8M0", (4, 8), bytes([127] * 31 + [255]))


def _zero_centred_norms(tensors: dict[str, Raw]) -> None:
    """Gemma adds one to these."""
    for layer in range(LAYERS):
        numbers = np.zeros(COLUMNS) if layer == 2 else weights(layer, (COLUMNS,)) / 10
        tensors[f"model.layers.{layer}.input_layernorm.weight"] = raw("BF16", numbers)


def _equal_tables_of_positions(tensors: dict[str, Raw]) -> None:
    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = raw("F32", np.sin(weights(3, (64, 64))))


@pytest.mark.parametrize(
    "plant",
    [_padded_columns, _pruned, _rows_of_zeros, _no_bounds, _exponents, _zero_centred_norms, _equal_tables_of_positions],
)
def test_what_is_blank_or_equal_in_sound_models_is_no_fault(
    plant: Callable[[dict[str, Raw]], None], tmp_path: Path
) -> None:
    tensors = sound("BF16")
    plant(tensors)
    assert examined(tmp_path, tensors).findings == []


def test_tied_tables_are_no_fault(tmp_path: Path) -> None:
    tensors = sound("BF16")
    _tied(tensors)
    assert examined(tmp_path, tensors, tie_word_embeddings=True).findings == []


def test_a_dtype_that_cannot_be_read_is_not_checked_by_name(tmp_path: Path) -> None:
    tensors = sound("BF16") | {"model.odd.weight": Raw("F6_E2M3", (64, 64), b"\x15" * 3072)}
    checks = {check.name: check for check in examine(opened(tmp_path, tensors))}
    assert checks["values.nonfinite"].unchecked == "dtype F6_E2M3: 1 tensor"
    assert checks["values.nonfinite"].state == "not-checked"
    assert checks["values.zeros"].state == "ok", "bytes are bytes"
    assert is_float("F6_E2M3")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_nothing_is_found_in_a_fresh_model_of_any_family(family: str, tmp_path: Path) -> None:
    """As Transformers makes and saves it: the zeros and ones that it begins with are no faults."""
    save(family, reference(family), tmp_path)
    assert [finding.message for finding in findings(examine(open_checkpoint(tmp_path)))] == []
