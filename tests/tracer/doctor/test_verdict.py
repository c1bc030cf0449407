"""The first line: what a verdict may not go without saying."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import corpus
from tests.tracer.doctor.test_peers import GEMMA2, LLAMA, gemma2, without
from tests.tracer.doctor.told import Told, write_json, write_safetensors
from tests.tui.subjects import CONFIG, sizes
from tracer.report.checks import summary

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 123456\n".format("ab" * 32)


def test_what_has_no_rows_is_not_simply_found_to_be_right(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", GEMMA2)
    write_safetensors(tmp_path / "model.safetensors", {name: ("BF16", shape) for name, shape in gemma2().items()})
    assert summary(Told(tmp_path).checks).startswith(
        "nothing wrong found in what could be checked (no rows for Gemma2ForCausalLM: no full list of names and shapes)"
    )


def test_what_rows_have_proven_is_told_without_a_limit(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", LLAMA)
    shapes = without(gemma2(), "feedforward_layernorm.weight")
    norms = {f"model.layers.{n}.post_attention_layernorm.weight": (16,) for n in range(6)}
    write_safetensors(
        tmp_path / "model.safetensors", {name: ("BF16", shape) for name, shape in {**shapes, **norms}.items()}
    )
    assert summary(Told(tmp_path).checks).startswith("nothing wrong found;")


def test_shapes_are_right_only_of_tensors_that_rows_claim(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", CONFIG)
    of_rows = sizes()
    for strange, state in ((0, "ok"), (len(of_rows) - 1, "ok"), (len(of_rows), "not-checked")):
        held = {f"other.{name}" if n < strange else name: size for n, (name, size) in enumerate(of_rows.items())}
        write_safetensors(tmp_path / "model.safetensors", held)
        shapes = Told(tmp_path).check("shapes")
        assert shapes.state == state
        assert shapes.told.startswith("headers of 1 of 39 tensors against config.json") == (0 < strange < len(of_rows))


def test_pointers_are_said_first_with_what_fetches_them(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", GEMMA2)
    (tmp_path / "model.safetensors").write_text(POINTER)
    told = Told(tmp_path)
    begin = "no weights are here (1 Git-LFS pointer: git lfs pull fetches them): nothing"
    assert summary(told.checks).startswith(begin)
    assert told.status == 0
    assert str(told["file.lfs-pointer"].fix).startswith("run git lfs pull")


@pytest.mark.parametrize("slug", ["internlm-20b-bin", "gemma-2b-it"])
def test_real_clones_without_their_large_files_are_told_as_such(slug: str, tmp_path: Path) -> None:
    told = Told(corpus.materialise(slug, tmp_path / slug))
    assert summary(told.checks).startswith("no weights are here (")
    assert told.status == 0


def test_a_config_alone_is_no_model(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", LLAMA)
    told = Told(tmp_path)
    assert summary(told.checks).startswith("no weights are here (config.json without any file of weights): nothing")
    assert told.status == 0
