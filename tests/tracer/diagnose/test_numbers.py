"""Numbers that are none, zeros and constants: nothing is wrong only where all bytes, or so many of them, were read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import write
from tracer.checkpoint.folder import open_checkpoint
from tracer.cli import main
from tracer.complaints.complaint import Told
from tracer.diagnose import scanned, stubs
from tracer.diagnose.diagnosis import Diagnosis, diagnose

UP = "model.layers.1.mlp.up_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"
NAN, ONE = 0x7FC0, 0x3F80
"""Of BF16."""


def filled(folder: Path) -> Path:
    """Random numbers around zero, and norms of ones."""
    write(folder, CONFIGS["llama"].config)
    random = np.random.default_rng(0)
    for tensor in open_checkpoint(folder).tensors:
        count = tensor.nbytes // 2
        numbers = random.standard_normal(count, np.float32).view(np.uint32) >> 16
        put(folder, tensor.name, np.full(count, ONE) if "norm" in tensor.name else numbers)
    return folder


def put(folder: Path, name: str, patterns: object, at: int = 0) -> None:
    """BF16 patterns over a tensor, from one of its elements on."""
    (tensor,) = [each for each in open_checkpoint(folder).tensors if each.name == name]
    assert tensor.offset is not None
    assert tensor.file is not None
    with (folder / tensor.file).open("r+b") as file:
        file.seek(tensor.offset + 2 * at)
        file.write(np.asarray(patterns).astype("<u2").tobytes())


def elements(folder: Path, name: str) -> int:
    return next(each.nbytes // 2 for each in open_checkpoint(folder).tensors if each.name == name)


def asked(folder: Path) -> Diagnosis:
    return diagnose(str(folder), Told())


def found(folder: Path) -> list[tuple[str, str, str]]:
    return [(c.finding.severity, c.finding.code, c.finding.subject) for c in asked(folder).causes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "model")


@pytest.fixture
def as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same checkpoint, too large to be read whole."""
    monkeypatch.setattr(scanned, "WHOLE", 0)
    monkeypatch.setattr(scanned, "_SAMPLE", 1 << 13)


def test_one_nan_anywhere_is_an_error(folder: Path) -> None:
    assert found(folder) == []
    put(folder, UP, [NAN], at=elements(folder, UP) - 3)
    assert found(folder) == [("error", "value.nonfinite", UP)]


@pytest.mark.parametrize(("value", "code", "severity"), [
    (0, "value.all-zero", "error"), (0x3C23, "value.constant", "warning"),
])  # fmt: skip
def test_a_matrix_that_says_nothing_is_found_and_a_norm_of_ones_is_none(
    value: int, code: str, severity: str, folder: Path
) -> None:
    put(folder, UP, np.full(elements(folder, UP), value))
    assert found(folder) == [(severity, code, UP)]


def test_nothing_is_wrong_once_every_byte_was_read_and_the_line_says_what_came_to_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(folder)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("nothing is wrong with what could be checked (")
    assert "tests of what values mean came to nothing" in first
    total = sum(each.nbytes for each in open_checkpoint(folder).tensors) // 2
    assert f"ok  values.nonfinite  {total:,} numbers" in rest
    assert not any(line.startswith("not checked: zeros") for line in rest), "every byte was read, no sample"


def test_the_line_says_that_no_values_were_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(folder), "--no-values"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("nothing is wrong with what could be checked (no values were read)")


@pytest.mark.usefixtures("as_large")
def test_of_a_large_checkpoint_the_line_says_how_much_was_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "of the values " in out.splitlines()[0]
    assert "not checked: values.nonfinite" in out, "a sample is never ok"


@pytest.mark.usefixtures("as_large")
@pytest.mark.parametrize("place", [lambda count: 0, lambda count: count - 1])
def test_a_sample_counts_elements_from_the_beginning_of_the_tensor(place: Callable[[int], int], folder: Path) -> None:
    at = place(elements(folder, UP))
    put(folder, UP, [NAN], at=at)
    (cause,) = asked(folder).causes
    assert (cause.finding.code, cause.finding.evidence["first_element"]) == ("value.nonfinite", at)


@pytest.mark.usefixtures("as_large")
def test_what_was_zero_wherever_a_sample_looked_is_read_whole(folder: Path) -> None:
    count = elements(folder, UP)
    put(folder, UP, np.zeros(count))
    assert found(folder) == [("error", "value.all-zero", UP)]
    put(folder, UP, np.arange(1, 6), at=count // 2 + 20)
    assert found(folder) == [], "zeros in most places are no zero matrix"


@pytest.mark.usefixtures("as_large")
def test_what_is_too_large_to_be_read_whole_is_not_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanned, "_SUSPECTS", 0)
    put(folder, UP, np.zeros(elements(folder, UP)))
    diagnosis = asked(folder)
    assert diagnosis.causes == []
    (check,) = [each for each in diagnosis.checks if each.name == "values.zeros"]
    assert "1 tensor showed nothing but one value" in check.unchecked


def test_the_factors_of_an_adapter_are_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
             "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]  # fmt: skip
    shapes = ([4, 16], [16, 4])
    header = {name: {"dtype": "BF16", "shape": shape, "data_offsets": [128 * place, 128 * place + 128]}
              for place, (name, shape) in enumerate(zip(names, shapes, strict=True))}  # fmt: skip
    text = json.dumps(header).encode()
    numbers = np.full(128, ONE, "<u2") + np.arange(128, dtype="<u2")
    for pattern, status in ((ONE, 0), (NAN, 1)):
        numbers[3] = pattern
        raw = len(text).to_bytes(8, "little") + text + numbers.tobytes()
        (tmp_path / "adapter_model.safetensors").write_bytes(raw)
        config = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "base_model_name_or_path": "x"}
        (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        assert main(["diagnose", str(tmp_path)]) == status
        first = capsys.readouterr().out.splitlines()[0]
        assert ("value.nonfinite" in first) == bool(status), first
        assert status or "an adapter, looked at without its base" in first


def test_a_second_copy_is_said_not_to_be_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What other programs read may be the other one."""
    import torch

    tensors = {each.name: torch.ones(each.shape, dtype=torch.bfloat16) for each in open_checkpoint(folder).tensors}
    torch.save(tensors, folder / "pytorch_model.bin")
    assert main(["diagnose", str(folder)]) == 0
    assert "the other copy was not compared" in capsys.readouterr().out.splitlines()[0]


def test_headers_alone_are_no_model_of_zeros_but_zeros_that_were_written_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As published headers are kept: a file of its size, of which nothing but the header was ever written."""
    tensors = open_checkpoint(folder).tensors
    for tensor in tensors:
        put(folder, tensor.name, np.zeros(tensor.nbytes // 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stubs, "SMALL", 0)
        assert [code for _, code, _ in found(folder)] == ["value.all-zero"], "zeros that take their place on the disk"
    capsys.readouterr()
    file = folder / "model.safetensors"
    begin, size = min(each.offset or 0 for each in tensors), file.stat().st_size
    os.truncate(file, begin)
    os.truncate(file, size)
    assert main(["diagnose", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("no weights are here (")


def test_a_file_without_tensors_is_not_simply_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the first of a split model is, of a class that no rows describe."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "strange")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert main(["diagnose", str(tmp_path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "nothing is wrong with what could be checked (" in first
    assert "no tensor is here" in first


def test_a_layer_of_nothing_but_zeros_is_one_line(tmp_path: Path) -> None:
    filled(tmp_path)
    for tensor in open_checkpoint(tmp_path).tensors:
        if ".layers.1." in tensor.name and "proj" in tensor.name:
            put(tmp_path, tensor.name, np.zeros(tensor.nbytes // 2))
    zeros = [each for each in found(tmp_path) if each[1] == "value.all-zero"]
    assert zeros == [("error", "value.all-zero", "model.layers.1")]
