"""Nothing is wrong with what is sound once its values are read: every checkpoint with numbers that the tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tracer.diagnose.clean import CLEAN
from tracer.cli import main
from tracer.complaints.complaint import Told
from tracer.diagnose.diagnosis import Diagnosis, diagnose

PROJECTOR = "multi_modal_projector.mm_input_projection_weight"
TOWER = "vision_tower.encoder.layers.1.mlp.fc1.weight"


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_wrong_with_a_clean_checkpoint_and_what_was_not_looked_at_is_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CLEAN[name](tmp_path)
    capsys.readouterr()
    status = main(["diagnose", str(tmp_path)])
    out = capsys.readouterr().out
    first, *rest = out.splitlines()
    assert (status, first.partition(" with ")[0].partition(";")[0]) == (0, "nothing is wrong"), out
    assert any(line.startswith("ok  values.nonfinite") for line in rest), "the values were read"
    assert any(line.startswith("not checked: ") for line in rest), "what was not looked at is said"
    assert not any(line.startswith(("ERROR", "warning")) for line in rest), out


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """A model of text and images whose projector begins with zeros, as Transformers makes it."""
    CLEAN["transformers: Gemma3ForConditionalGeneration"](tmp_path)
    return tmp_path


def asked(folder: Path, **tensors: np.ndarray) -> Diagnosis:
    """What is said once some tensors are others."""
    file = folder / "model.safetensors"
    save_file(load_file(file) | tensors, file, {"format": "pt"})
    return diagnose(str(folder), Told())


def told(found: Diagnosis) -> list[tuple[str, str, str]]:
    return [(cause.finding.severity, cause.finding.code, cause.finding.subject) for cause in found.causes]


def trained(folder: Path) -> dict[str, np.ndarray]:
    """The table and the matrices of all layers, rows and columns of lengths as different as training makes them."""
    lengths = np.random.default_rng(3)
    found = load_file(folder / "model.safetensors")
    return {
        name: (values * np.exp(lengths.normal(size=(len(values), 1))) * np.exp(lengths.normal(size=values.shape[1])))
        .astype(values.dtype)
        for name, values in found.items() if (".layers." in name or "embed_tokens" in name) and values.ndim == 2
    }  # fmt: skip


def test_a_projector_of_zeros_is_what_its_class_begins_with_where_nothing_was_trained(seeing: Path) -> None:
    found = asked(seeing)
    assert told(found) == []
    (remark,) = [each for each in found.remarks if each.code == "value.all-zero"]
    assert (remark.severity, remark.subject) == ("info", PROJECTOR)


def test_the_same_projector_beside_trained_layers_is_an_error(seeing: Path) -> None:
    assert told(asked(seeing, **trained(seeing))) == [("error", "value.all-zero", PROJECTOR)]


@pytest.mark.parametrize("name", ["language_model.model.layers.1.mlp.up_proj.weight", "embed_tokens", TOWER])
def test_what_no_class_begins_with_zeros_is_an_error_though_nothing_was_trained(name: str, seeing: Path) -> None:
    held = load_file(seeing / "model.safetensors")
    (name,) = [each for each in held if name in each]
    assert told(asked(seeing, **{name: np.zeros_like(held[name])})) == [("error", "value.all-zero", name)]


def test_where_no_weights_are_the_first_line_does_not_read_as_if_they_were_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CLEAN["published names: llama"](tmp_path)
    weights = tmp_path / "model.safetensors"
    size = weights.stat().st_size
    weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'cd' * 32}\nsize {size}\n")
    assert main(["diagnose", str(tmp_path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    begin = "no weights are here (1 Git-LFS pointer: git lfs pull fetches them): nothing in them was read; "
    assert first.startswith(begin)
    assert "nothing is wrong with what could be checked (config alone)" in first
