"""A complaint that nothing explains: what was looked at for it, and what would tell more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import write
from tracer.cli import main

SAID = "KeyError: 'model.layers.0.mlp.up_proj.weight'"


def told(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """The lines about it, by how they begin."""
    assert main(["diagnose", str(folder), "--error", SAID, *options]) == 0
    found = capsys.readouterr().out.splitlines()
    pairs = [line.partition(": ") for line in found]
    return {begin: rest for begin, _, rest in pairs if begin in ("looked for", "looked at", "would tell more")}


def test_names_of_the_words_are_looked_up_and_what_was_not_asked_for_is_offered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    found = told(folder, capsys)
    assert found["looked for"].startswith("model.layers.0.mlp.up_proj.weight: here, (")
    assert "21 names" in found["looked at"]
    assert "the rows of LlamaForCausalLM, on 1 rank" in found["looked at"]
    for option in ("--values", "--against", "--tp", "--verify"):
        assert option in found["would tell more"]


def test_what_was_asked_for_already_is_not_offered_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    more = told(folder, capsys, "--tp", "2")["would tell more"]
    assert "--tp" not in more
    assert "--values" in more


def test_nothing_of_it_is_said_where_the_cause_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config, lambda name: f"wrap.{name}")
    assert main(["diagnose", str(folder), "--error", SAID]) == 1
    assert "would tell more" not in capsys.readouterr().out


def offered(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line of what would tell more; empty where there is none."""
    main(["diagnose", str(folder), *words])
    return next((line for line in capsys.readouterr().out.splitlines() if line.startswith("would tell more")), "")


def test_words_that_are_not_of_the_checkpoint_need_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    assert not offered(folder, capsys, "--error", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")


def test_whoever_gave_a_log_is_not_asked_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "model", CONFIGS["llama"].config)
    log = tmp_path / "log"
    log.write_text("\n".join([*(f"INFO loading {number}" for number in range(30)), SAID]))
    assert "--log FILE" in offered(folder, capsys, "--error", SAID)
    more = offered(folder, capsys, "--log", str(log))
    assert "--values" in more
    assert "--log FILE" not in more
