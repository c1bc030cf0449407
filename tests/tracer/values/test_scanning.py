"""Every format is read once, in pieces, whole; what cannot be read is said."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from fixtures import gguf, pickles
from mappings.ggml import GGML_TYPES
from tests.tracer.values.checkpoints import CONFIG, NUMPY, Raw, opened, raw, safetensors, sound, weights
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checks import findings
from tracer.errors import InputError, UsageError
from tracer.values import Statistics, examine, scan
from tracer.values.pieces import PIECE, pieces, unreadable


def scanned(checkpoint: Checkpoint) -> dict[str, Statistics]:
    return {found.name: found for found in scan(checkpoint)}


def assert_equal_to(found: Statistics, numbers: np.ndarray) -> None:
    doubles = numbers.astype(np.float64)
    assert found.count == doubles.size
    assert (found.part.minimum, found.part.maximum) == (doubles.min(), doubles.max())
    assert np.isclose(found.mean or 0, doubles.mean(), rtol=1e-9, atol=1e-15)
    assert np.isclose(found.std or 0, doubles.std(), rtol=1e-9)


def test_safetensors_of_several_pieces_and_files(tmp_path: Path) -> None:
    made = {f"w.{n}": weights(n, (1500 + n, 1001)) for n in range(3)}
    for n, (name, numbers) in enumerate(made.items()):
        (tmp_path / f"model-{n + 1:05}-of-00003.safetensors").write_bytes(safetensors({name: raw("BF16", numbers)}))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    checkpoint = open_checkpoint(tmp_path)
    assert min(tensor.nbytes for tensor in checkpoint.tensors) > 2 * PIECE
    told: list[tuple[int, int]] = []
    found = {each.name: each for each in scan(checkpoint, lambda done, total: told.append((done, total)))}
    assert list(found) == list(made)
    for name, numbers in made.items():
        assert_equal_to(found[name], numbers.astype(ml_dtypes.bfloat16))
    total = sum(tensor.nbytes for tensor in checkpoint.tensors)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_files(legacy: bool, tmp_path: Path) -> None:
    """One as it is, one transposed, one that another name shares, one that leaves gaps."""
    numbers = np.arange(1.0, 17.0, dtype="<f4")
    whole = pickles.tensor(shape=(4, 4), strides=(4, 1))
    body = pickles.mapping(
        {
            "whole.weight": whole,
            "shared.weight": whole,
            "turned.weight": pickles.tensor(shape=(4, 4), strides=(1, 4)),
            "gaps.weight": pickles.tensor(shape=(4, 2), strides=(4, 1)),
            "repeated.weight": pickles.tensor(shape=(4, 4), strides=(0, 1)),
        }
    )
    storages = {"0": numbers.tobytes()}
    data = pickles.legacy_of(body, storages) if legacy else pickles.zip_of(body, {"data/0": storages["0"]})
    (tmp_path / "pytorch_model.bin").write_bytes(data)
    checkpoint = open_checkpoint(tmp_path)
    found = scanned(checkpoint)
    for name in ("whole", "shared", "turned"):
        assert_equal_to(found[f"{name}.weight"], numbers)
    for name in ("gaps", "repeated"):
        each = found[f"{name}.weight"]
        assert (each.unread, each.digest, each.count) == ("its strides leave gaps or repeat elements", "", 0)
    checks = {check.name: check for check in examine(checkpoint)}
    told = "its strides leave gaps or repeat elements: 2 tensors"
    assert {check.unchecked for check in checks.values() if check.name != "values.overflow"} == {told}
    assert not checks["values.duplicate"].findings, "two names for one storage are one tensor"


def test_a_big_endian_pytorch_file(tmp_path: Path) -> None:
    numbers = np.arange(1.0, 17.0, dtype=">f4")
    records = {"data/0": numbers.tobytes(), "byteorder": b"big"}
    body = pickles.mapping({"w.weight": pickles.tensor()})
    (tmp_path / "pytorch_model.bin").write_bytes(pickles.zip_of(body, records))
    assert_equal_to(scanned(open_checkpoint(tmp_path))["w.weight"], numbers)


def test_gguf_blocks_are_what_ggmls_own_package_makes_of_them(tmp_path: Path) -> None:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    rng = np.random.default_rng(1)
    stored: list[gguf.Stored] = []
    expected: dict[str, np.ndarray | None] = {}
    for number, kind in GGML_TYPES.items():
        if kind.elements == 1:
            continue
        data = rng.integers(0, 60, (512, kind.nbytes), np.uint8)  # scales stay finite
        stored.append(gguf.Stored(f"blk.{number}.weight", kind.name, (4, 128 * kind.elements), data.tobytes()))
        try:
            expected[f"blk.{number}.weight"] = dequantize(data, GGMLQuantizationType(number))
        except (NotImplementedError, ValueError):
            expected[f"blk.{number}.weight"] = None
    values = {"general.architecture": gguf.Typed("str", "llama")}
    (tmp_path / "model.gguf").write_bytes(gguf.document(values, stored))
    for name, each in scanned(open_checkpoint(tmp_path / "model.gguf")).items():
        numbers = expected[name]
        if numbers is None:
            assert each.unread == f"dtype {each.dtype}"
        else:
            assert_equal_to(each, numbers)
    assert sum(numbers is None for numbers in expected.values()) == 3


def test_a_scale_that_is_no_number_in_a_gguf_block_is_found(tmp_path: Path) -> None:
    data = bytearray(np.random.default_rng(1).integers(1, 60, 34 * 64, np.uint8).tobytes())
    data[34 * 5 : 34 * 5 + 2] = b"\x01\x7e"
    values = {"general.architecture": gguf.Typed("str", "llama")}
    tensors = [gguf.Stored("blk.0.ffn_up.weight", "Q8_0", (8, 256), bytes(data))]
    (tmp_path / "model.gguf").write_bytes(gguf.document(values, tensors))
    (finding,) = findings(examine(open_checkpoint(tmp_path / "model.gguf")))
    assert (finding.code, finding.evidence["nan"], finding.evidence["first_element"]) == ("value.nonfinite", 32, 160)


def test_pieces_are_whole_elements_and_together_the_tensor(tmp_path: Path) -> None:
    made = sound("F16")
    checkpoint = opened(tmp_path, made)
    for tensor in checkpoint.tensors:
        held = [bytes(piece) for piece in pieces(checkpoint.files, tensor, 1001)]
        assert b"".join(held) == made[tensor.name].data
        assert all(len(piece) % (np.dtype(NUMPY[tensor.dtype]).itemsize) == 0 for piece in held)
        assert max(map(len, held)) <= 1001


def test_a_file_that_became_shorter_is_a_finding_and_what_it_held_is_not_checked(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, sound("BF16"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError):
        list(scan(checkpoint))
    checks = examine(checkpoint)
    assert all(check.unchecked for check in checks)
    assert not any(check.state == "ok" for check in checks)


def test_one_that_is_cut_short_while_it_is_read_is_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = opened(tmp_path, sound("BF16"))
    checkpoint.stamps.clear()  # as if it happened after the file was opened
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    checks = examine(checkpoint)
    assert [finding.code for finding in findings(checks)] == ["file.truncated"]
    assert not any(check.state == "ok" for check in checks)


def test_files_that_are_not_here_are_counted(tmp_path: Path) -> None:
    made = sound("BF16")
    half = len(made) // 2
    files = {
        "model-00001-of-00002.safetensors": dict(list(made.items())[:half]),
        "model-00002-of-00002.safetensors": dict(list(made.items())[half:]),
    }
    index = {"weight_map": {name: file for file, held in files.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    first, second = files
    (tmp_path / first).write_bytes(safetensors(files[first]))
    checks = examine(open_checkpoint(tmp_path))
    told = f"{len(files[second])} tensors in files that are not here"
    assert all(told in check.unchecked for check in checks if check.name != "values.overflow")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345678\n"
    (tmp_path / second).write_text(pointer)
    checks = examine(open_checkpoint(tmp_path))
    assert all("1 file of which only a Git-LFS pointer is here" in check.unchecked for check in checks[:4])


def test_a_repository_and_a_folder_without_weights_are_not_checked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (check,) = examine(open_checkpoint(tmp_path))
    assert (check.state, check.unchecked) == ("not-checked", "there is no tensor")

    class Remote(LocalFiles):
        folder = None  # type: ignore[assignment]

        def __init__(self) -> None:
            pass

    (check,) = examine(Checkpoint(Remote(), CONFIG))
    assert check.unchecked == "the bytes are on the Hub, and are not fetched"


def test_a_dtype_that_nothing_is_cast_to_is_bad_usage(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, sound("BF16"))
    with pytest.raises(UsageError, match=r"no weights are cast to int8 as they are; expected one of F64, F32, F16"):
        examine(checkpoint, dtype="int8")


def test_who_stops_asking_stops_the_reading(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {f"w.{n}": Raw("U8", (4 * PIECE,), bytes(4 * PIECE)) for n in range(20)})
    done: list[int] = []
    asked = scan(checkpoint, lambda now, total: done.append(now))
    next(asked)
    asked.close()  # type: ignore[attr-defined]
    assert done[-1] < 80 * PIECE


def test_empty_tensors_have_no_numbers(tmp_path: Path) -> None:
    (found,) = scan(opened(tmp_path, {"w": Raw("F32", (0, 3), b"")}))
    assert (found.count, found.mean, found.std, found.all_zero, found.constant) == (0, None, None, False, False)


def test_which_strides_cover_their_storage(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": raw("F32", weights(1, (2, 3, 4)))})
    (tensor,) = checkpoint.tensors
    from dataclasses import replace

    for strides, reads in {
        (12, 4, 1): True,
        (1, 2, 6): True,
        (4, 8, 1): True,
        (12, 4, 2): False,
        (0, 4, 1): False,
    }.items():
        assert (not unreadable(replace(tensor, strides=strides))) == reads, strides
