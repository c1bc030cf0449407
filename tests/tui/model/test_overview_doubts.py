"""Numbers of the overview that leave something out, or rest on what the tensors contradict: both are said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures import small_checkpoint
from tests.tui.model.pages import prose, small
from tests.tui.model.test_overview import fact, marked, opened
from tui.model.overview.inference import study
from tui.model.overview.page import overview


@pytest.mark.parametrize(
    ("field", "value"), [("hidden_size", 16), ("num_hidden_layers", 3), ("vocab_size", 96), ("intermediate_size", 24)]
)
def test_what_rests_on_a_field_that_the_tensors_contradict_is_marked(field: str, value: int, tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    sound = fact(small(tmp_path / "sound"), "a rank holds")
    assert not sound.startswith("≈") and "against the tensors" not in sound
    (tmp_path / "wrong").mkdir()
    wrong = small(tmp_path / "wrong", lambda config: config.update({field: value}))
    held = fact(wrong, "a rank holds")
    assert held.startswith("≈") and held.endswith(f"with {field} as in config.json, against the tensors")
    assert fact(wrong, "tp").startswith("≈ ")


def test_no_quotient_of_a_field_that_the_tensors_contradict_is_shown(tmp_path: Path) -> None:
    wrong = small(tmp_path, lambda config: config.update(hidden_size=16))
    assert fact(wrong, "hidden").startswith("✗8")
    assert "hidden_size / num_attention_heads" not in prose(overview(wrong, study(wrong)), 200)


def test_a_number_that_is_a_string_is_said_to_be_one(tmp_path: Path) -> None:
    wrong = small(tmp_path, lambda config: config.update(num_hidden_layers="2"))
    assert fact(wrong, "layers").endswith("config.json says '2', a string")


@pytest.mark.parametrize("content", [b"", b"<html><title>403 Forbidden</title>"])
def test_a_damaged_file_is_said_to_be_in_no_number(content: bytes, tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / small_checkpoint.SECOND).write_bytes(content)
    subject = opened(tmp_path)
    assert marked(subject) == {"parameters"}
    for label in ("parameters", "bytes", "a rank holds"):
        assert fact(subject, label).endswith(", without 1 file that cannot be read")


def test_a_file_that_is_not_here_is_said_to_be_in_no_number_of_bytes(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / small_checkpoint.SECOND).unlink()
    subject = opened(tmp_path)
    assert marked(subject) == {"parameters"} and fact(subject, "bytes").endswith(", without 1 file that is not here")
    assert fact(subject, "parameters").endswith("more than the headers here tell")  # the index has their names
