"""Numbers of config.json that are none: one line with the field, what was expected and found, whoever asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.loading.loader import Loader
from tests.engine.checkpoints import reference, save
from tests.threads import one_thread
from tests.tracer.test_generate_errors import Command, command, sound
from tests.verifying import Case, judged, one_pass

__all__ = ["command", "one_thread", "sound"]
NOT_NUMBERS = [
    ('{"rope_scaling": {"rope_type": "nonsense"}}', "rope_type is 'nonsense', expected one of default, dynamic, "),
    ('{"rope_scaling": "x"}', "rope_scaling is 'x', expected an object"),
    ('{"max_position_embeddings": "x"}', "max_position_embeddings is 'x', expected a non-negative integer"),
    ('{"rope_scaling": {"rope_type": "linear", "factor": 1e400}}', "rope_scaling.factor is inf, expected a positive"),
    ('{"rope_scaling": {"rope_type": "linear", "factor": NaN}}', "rope_scaling.factor is nan, expected a positive"),
    ('{"rope_scaling": {"rope_type": "linear"}}', "config.json lacks rope_scaling.factor, which rotary embeddings of"),
    ('{"rope_scaling": {"rope_type": "dynamic", "factor": null}}', "config.json lacks rope_scaling.factor, which rot"),
    ('{"rope_scaling": {"rope_type": "dynamic", "factor": [2]}}', "rope_scaling.factor is [2], expected a positive"),
    ('{"rope_parameters": {"rope_theta": "x"}, "rope_scaling": null}', "rope_parameters.rope_theta is 'x', expected a"),
]
ELSEWHERE = [
    ('{"rope_scaling": "x"}', "rope_scaling is 'x', expected an object"),
    ('{"max_sequence_length": "x"}', "max_sequence_length is 'x', expected a positive integer"),
]
"""Of a model that turns nothing, and asks config.json for its length."""


def refused(ran: tuple[int, str, str], says: str) -> None:
    status, out, err = ran
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("tracer: ") and "config.json" in err and says in err


@pytest.mark.parametrize(("overrides", "says"), NOT_NUMBERS)
def test_such_a_config_is_one_line_before_anything_is_loaded(
    overrides: str, says: str, sound: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "load", pytest.fail)
    refused(command(sound, "w5", "--device", "cpu", "--hf-overrides", overrides), says)


@pytest.mark.parametrize(("overrides", "says"), [NOT_NUMBERS[2], NOT_NUMBERS[4]])
def test_such_a_config_is_the_same_line_of_two_ranks(
    overrides: str, says: str, sound: Path, command: Command
) -> None:
    refused(command(sound, "w5", "--device", "cpu", "--tp", "2", "--hf-overrides", overrides), says)


@pytest.mark.parametrize(("overrides", "says"), NOT_NUMBERS)
def test_what_has_no_numbers_to_compute_with_is_not_verified_and_why_is_said(
    overrides: str, says: str, sound: Path, tmp_path: Path
) -> None:
    case = Case(sound, options={"overrides": overrides})
    (verify, *_) = judged(case, [one_pass(case, tmp_path / "states")], tmp_path)
    assert verify.state == "not-checked"
    assert "config.json" in verify.told and says in verify.told


@pytest.fixture(scope="module")
def bloom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bloom")
    save("bloom", reference("bloom"), found)
    return found


@pytest.mark.parametrize(("overrides", "says"), ELSEWHERE)
def test_a_field_that_only_lengths_are_taken_of_is_told_as_well(
    overrides: str, says: str, bloom: Path, tmp_path: Path, command: Command
) -> None:
    refused(command(bloom, "--prompt-ids", "5", "--device", "cpu", "--hf-overrides", overrides), says)
    case = Case(bloom, options={"overrides": overrides})
    (verify, *_) = judged(case, [one_pass(case, tmp_path / "states")], tmp_path)
    assert verify.state == "not-checked"
    assert says in verify.told


def test_and_by_a_rank_in_a_process_of_its_own(bloom: Path, command: Command) -> None:
    overrides, says = ELSEWHERE[0]
    asked = (bloom, "--prompt-ids", "5", "--device", "cpu", "--tp", "2")
    refused(command(*asked, "--hf-overrides", overrides), says)
