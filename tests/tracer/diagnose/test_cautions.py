"""A field that is set right by what is there says what else may be wrong."""

from __future__ import annotations

from pathlib import Path

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import diagnosed, write

LLAMA = CONFIGS["llama"].config


def fix_of(folder: Path) -> str:
    return str(diagnosed(folder).causes[0].finding.fix)


def test_a_number_that_is_a_text_is_said_to_be(tmp_path: Path) -> None:
    size = LLAMA["hidden_size"]
    folder = write(tmp_path, LLAMA, hidden_size=str(size))
    assert fix_of(folder) == f"set hidden_size to {size}, a number: it is a text now"


def test_fewer_layers_than_said_may_be_layers_that_are_lost(tmp_path: Path) -> None:
    layers = LLAMA["num_hidden_layers"]
    fix = fix_of(write(tmp_path, LLAMA, num_hidden_layers=layers + 1))
    assert fix.startswith(f"set num_hidden_layers to {layers} if the model has no more")
    assert f"if it has {layers + 1}, layers are lost" in fix
    assert fix_of(write(tmp_path / "b", LLAMA, num_hidden_layers=layers - 1)) == f"set num_hidden_layers to {layers}"
