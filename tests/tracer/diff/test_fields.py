"""Every field of config.json counts, nested ones too; what changes no load is told, and never called the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import diffing
from tracer.cli import main
from tracer.diff.fields import IDLE, differences

A = {"model.embed_tokens.weight": diffing.model()["model.embed_tokens.weight"]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
Told = Callable[..., tuple[int, str]]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
)
CONFIGS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """The exit status and the output of `diff` over the same tensors with other fields."""

    def run(a: dict[str, Any], b: dict[str, Any], *options: str) -> tuple[int, str]:
        paths = [diffing.write(tmp_path / "a", A, **a), diffing.write(tmp_path / "b", A, **b)]
        status = main(["diff", *paths, "--exit-code", "--values", *options])
        return status, capsys.readouterr().out

    return run


@pytest.mark.parametrize("lost", [False, True])
def test_a_quantisation_that_only_one_config_declares_is_a_difference(told: Told, lost: bool) -> None:
    sides = [{}, {"quantization_config": GPTQ, "torch_dtype": "float16"}]
    status, text = told(*(sides[::-1] if lost else sides))
    shown = json.dumps(GPTQ)
    assert status == 1
    assert text.startswith("the same tensors: 1 tensor equal byte for byte; but config.json differs in ")
    assert (f"quantization_config: {shown} -> absent" if lost else f"quantization_config: absent -> {shown}") in text
    assert ("torch_dtype: float16 -> float32" if lost else "torch_dtype: float32 -> float16") in text
    assert "config.json: 2 fields differ: " in text


def test_one_field_is_one_field_and_has_both_values(told: Told) -> None:
    _, text = told({}, {"hidden_size": 128})
    assert "but config.json differs in hidden_size: 64 -> 128;" not in text
    assert "; but config.json differs in hidden_size: 64 -> 128\n" in text
    assert "config.json: 1 field differs: hidden_size: 64 -> 128\n" in text


def test_a_nested_field_is_called_by_its_path(told: Told) -> None:
    status, text = told({"text_config": {"rope": {"factor": 2, "kind": "yarn"}}},
                        {"text_config": {"rope": {"factor": 4, "kind": "yarn"}}})  # fmt: skip
    assert status == 1
    assert "config.json: 1 field differs: text_config.rope.factor: 2 -> 4\n" in text


def test_an_absent_field_is_not_null(told: Told) -> None:
    status, text = told({"sliding_window": None}, {})
    assert status == 1
    assert "sliding_window: null -> absent" in text


@pytest.mark.parametrize("name", sorted(IDLE))
def test_what_changes_no_load_is_told_and_is_not_called_the_same(told: Told, name: str) -> None:
    status, text = told({name: "x"}, {name: "y"})
    assert status == 0
    assert text.startswith("the same tensors: 1 tensor equal byte for byte; config.json differs only in what changes ")
    assert f"config.json: differs only in what changes nothing that is loaded: {name}: x -> y\n" in text
    assert "the same checkpoint" not in text
    assert "config.json: the same" not in text


def test_both_names_of_the_dtype_are_one_field(told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told({}, {})
    path = tmp_path / "b" / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = config.pop("torch_dtype")
    path.write_text(json.dumps(config))
    run = ["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--exit-code"]
    assert main(run) == 0
    assert "torch_dtype is called dtype on one side" in capsys.readouterr().out
    path.write_text(json.dumps(config | {"dtype": "float16"}))
    assert main(run) == 1
    assert "torch_dtype: float32 -> float16" in capsys.readouterr().out


def test_a_lost_config_is_not_the_same_checkpoint(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told({}, {})
    (tmp_path / "b" / "config.json").unlink()
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert main(["diff", a, b, "--values", "--exit-code"]) == 1
    told_now = capsys.readouterr().out
    assert told_now.startswith("the same tensors: 1 tensor equal byte for byte; but B has no config.json\n")
    file = str(tmp_path / "b" / "model.safetensors")
    assert main(["diff", a, file, "--values", "--exit-code"]) == 0, "a file by itself has none to lose"
    assert capsys.readouterr().out.startswith("the same tensors: 1 tensor equal byte for byte\n")


def test_of_many_fields_a_line_has_some_and_says_how_many_more(told: Told) -> None:
    _, text = told({f"field_{each}": 1 for each in range(30)}, {f"field_{each}": 2 for each in range(30)})
    assert "differs in field_0: 1 -> 2, field_1: 1 -> 2, field_2: 1 -> 2, field_3: 1 -> 2 and 26 more\n" in text
    assert "config.json: 30 fields differ: " in text
    assert text.rstrip().endswith("values: 1 compared, 1 equal")
    assert "field_19: 1 -> 2 and 10 more\n" in text


def test_records_have_every_field(told: Told) -> None:
    _, text = told({"x": {"y": 1}}, {"x": {"y": 2}, "use_cache": True}, "--json", "-")
    found = [
        record for line in text.splitlines() if (record := json.loads(line)).get("subject") in ("x.y", "use_cache")
    ]
    assert [(each["what"], each["a"], each["b"], each["absent"]) for each in found] == [
        ("config", 1, 2, None), ("config-idle", None, True, "A"),
    ]  # fmt: skip


def test_what_gguf_cannot_say_is_no_difference() -> None:
    single = float(np.float32(1e-6))
    (absent, rounded, other) = differences({"x": 1, "eps": 1e-6, "base": 1e4}, {"eps": single, "base": 5e5})
    assert [each.lost_in_metadata for each in (absent, rounded, other)] == [True, True, False]


@given(CONFIGS, CONFIGS)
def test_two_configs_differ_in_no_field_just_if_they_are_the_same_json(a: dict[str, Any], b: dict[str, Any]) -> None:
    found = list(differences(a, b))
    assert not list(differences(a, a))
    assert bool(found) == (json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True))
    assert {field.path for field in found} == {field.path for field in differences(b, a)}
