"""A damaged file says nothing of its tensors; those of the other files have names and shapes all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.cli import main

LLAMA = CONFIGS["llama"].config


def sharded(folder: Path, prefix: str = "", **said: object) -> Path:
    """Two files and their index, the second cut short."""
    folder.mkdir(exist_ok=True)
    made = synthesise(choose(LLAMA, None, 1, "BF16").binding)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    homes: dict[str, str] = {}
    for file, held in zip(files, (made[:12], made[12:]), strict=True):
        write_safetensors(folder / file, {prefix + each.name: (each.dtype, tuple(each.shape)) for each in held})
        homes |= {prefix + each.name: file for each in held}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": homes})
    write_json(folder / "config.json", {**LLAMA, **said})
    raw = (folder / files[1]).read_bytes()
    (folder / files[1]).write_bytes(raw[:-40])
    return folder


def test_a_wrapper_is_found_beside_a_file_that_was_cut_short(tmp_path: Path) -> None:
    found = diagnosed(sharded(tmp_path, "language_model."))
    assert [code for code, _ in codes(found)] == ["file.truncated", "name.rewrite"]
    assert found.causes[1].finding.evidence["mapped"] == 12
    assert {each.code for each in found.causes[1].explains} == {"tensor.unmapped"}


def test_what_the_damaged_file_should_hold_is_not_missing(tmp_path: Path) -> None:
    """Half of the layers cannot be read, and no field of config.json is wrong for it."""
    found = diagnosed(sharded(tmp_path))
    assert [code for code, _ in codes(found)] == ["file.truncated"]
    assert ("names.readable", "ok") in {(check.name, check.state) for check in found.checks}


def test_a_wrong_size_shows_in_the_tensors_that_can_be_read(tmp_path: Path) -> None:
    found = diagnosed(sharded(tmp_path, intermediate_size=2 * LLAMA["intermediate_size"]))
    assert codes(found)[0][0] == "file.truncated"
    assert ("config.conflict", "intermediate_size") in codes(found)


def test_a_broken_text_beside_whole_weights_hides_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, LLAMA, lambda name: None if "layers.1." in name else name, num_hidden_layers=3)
    whole = codes(diagnosed(folder))
    (folder / "generation_config.json").write_text("{", encoding="utf-8")
    assert set(whole) <= set(codes(diagnosed(folder)))
    assert whole


def test_no_copy_is_written_that_would_lack_tensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sharded(tmp_path / "model", "language_model.")
    assert main(["diagnose", str(folder), "--repair", str(tmp_path / "copy")]) == 1
    assert "not repaired: files are damaged" in capsys.readouterr().out
    assert not (tmp_path / "copy").exists()
