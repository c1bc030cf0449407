"""`tracer diagnose`: the verdict first, in print and as records; what it writes; how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import write
from tests.tracer.starter.computing import computes_as, sound
from tests.tracer.starter.shelves import config_of
from tracer.cli import main, trace_load

TRAINED = Path(__file__).parents[2] / "data" / "trained" / "llama-3"


@pytest.fixture
def wrapped(tmp_path: Path) -> Path:
    """Wrapped names, and one field that is wrong."""
    folder = tmp_path / "model"
    return write(folder, CONFIGS["llama"].config, lambda name: f"language_model.{name}", num_key_value_heads=4)


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_verdict_is_the_first_line_and_what_follows_stands_under_it(
    wrapped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(wrapped), "--error", "KeyError: 'language_model.model.embed_tokens.weight'"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("ERROR  name.rewrite  strip `language_model.`: 21 of 21 map, 0 collisions")
    assert "      explained by it: 21 tensor.unmapped, 21 param.unfilled" in rest
    assert "      it is what was complained of: KeyError: 'language_model.model.embed_tokens.weight'" in rest
    assert sum(line.startswith("ERROR") for line in rest) == 1, "the second cause, and no symptom"


@pytest.mark.parametrize("words", ["please help", "TimeoutError: timed out"])
def test_words_that_are_not_understood_are_said_not_to_be(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(TRAINED), "--error", words]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("nothing is wrong with what could be checked (no complaint was recognised in what was said")
    assert any(line.startswith("not checked: complaint (no sentence of an engine that is known") for line in rest)


def test_a_sound_verdict_says_what_no_check_sees_unless_a_reference_was_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["diagnose", str(TRAINED)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("not seen by any check: what is wrong and plausible")
    assert main(["diagnose", str(TRAINED), "--against", str(TRAINED)]) == 0
    assert "not seen by any check" not in capsys.readouterr().out


def test_records_have_the_verdict_first_and_symptoms_say_what_explains_them(
    wrapped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(wrapped), "--json", "-"]) == 1
    told = records(capsys.readouterr().out)
    first = told[0]
    assert (first["kind"], first["code"], first["explains"]) == (
        "finding", "name.rewrite", {"tensor.unmapped": 21, "param.unfilled": 21},
    )  # fmt: skip
    assert first["changes"][0]["change"] == "Rename"
    own = {"code": first["code"], "subject": first["subject"]}
    symptoms = [each for each in told if each.get("explained_by") == own]
    assert {each["code"] for each in symptoms} == {"tensor.unmapped", "param.unfilled"}
    assert {each["name"] for each in told if each["kind"] == "check" and each["state"] == "not-checked"} >= {"values"}


def test_the_repaired_copy_has_nothing_wrong_with_it_and_the_checkpoint_is_as_it_was(
    wrapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in wrapped.iterdir()}
    assert main(["diagnose", str(wrapped), "--repair", str(tmp_path / "copy")]) == 1
    assert {path.name: path.read_bytes() for path in wrapped.iterdir()} == before
    capsys.readouterr()
    assert main(["diagnose", str(tmp_path / "copy"), "--no-values"]) == 0
    assert capsys.readouterr().out.startswith("nothing is wrong")
    assert trace_load([str(tmp_path / "copy"), "--plan", "--quiet"]) == 0


def test_nothing_is_written_where_no_edit_mends_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "sound", CONFIGS["llama"].config)
    assert main(["diagnose", str(folder), "--no-values", "--repair", str(tmp_path / "copy")]) == 0
    assert "not repaired: no edit of the checkpoint mends anything" in capsys.readouterr().out
    assert not (tmp_path / "copy").exists()


def test_rows_are_written_that_mapping_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A norm that the class does not have: its rows are what is missing, and with them it computes as Qwen3 does."""
    folder = write(tmp_path / "model", config_of("qwen3"), architectures=["LlamaForCausalLM"], model_type="strange")
    target = tmp_path / "rows.toml"
    main(["diagnose", str(folder), "--write-rows", str(target)])
    assert f"names are claimed with --mapping {target}" in capsys.readouterr().out
    assert trace_load([str(folder), "--plan", "--quiet", "--mapping", str(target)]) == 0
    config = json.loads((folder / "config.json").read_text())
    computes_as(sound("qwen3"), target.read_text(), config, sound("qwen3").stored)


@pytest.mark.parametrize(("options", "said"), [
    (["--error", "x", "--log", "y"], "--error and --log"), (["--tp", "0"], "--tp 0"), (["--error", ""], "--error is"),
    (["--values", "--expect", "rope-order"], "--expect rope-order: expected NAME=off"),
    (["--values", "--expect", "nonsense=off"], "nonsense"),
    (["--log", "nowhere.log"], "nowhere.log"), (["--write-rows", "model/rows.toml"], "which is an input"),
])  # fmt: skip
def test_bad_usage_is_one_line_and_status_2(
    options: list[str], said: str, wrapped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(wrapped.parent)
    try:
        status: object = main(["diagnose", "model", *options])
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert (status, err.count("\n")) == (2, 1), err
    assert said in err


def test_the_log_says_how_many_ranks_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "model", CONFIGS["llama"].config)
    log = tmp_path / "server.log"
    log.write_text(
        "INFO 11-02 10:00:00 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with config: model='x',"
        " dtype=torch.bfloat16, load_format=auto, tensor_parallel_size=3, pipeline_parallel_size=1\n",
        encoding="utf-8",
    )
    assert main(["diagnose", str(folder), "--no-values", "--log", str(log)]) == 1
    assert capsys.readouterr().out.startswith("ERROR  tp.indivisible")
    assert main(["diagnose", str(folder), "--no-values", "--log", str(log), "--tp", "2"]) == 0
