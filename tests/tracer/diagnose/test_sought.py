"""What a loader looked for and did not find: a class, a file of this name, a tensor that all other layers have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.repair.changes import SetField

LLAMA = {**CONFIGS["llama"].config, "model_type": "llama"}


def test_the_class_that_goes_with_the_type_is_proposed_where_none_is_named(tmp_path: Path) -> None:
    said = "ValueError: No model architectures are specified"
    found = diagnosed(write(tmp_path, LLAMA, architectures=[]), said)
    assert codes(found) == [("config.missing-field", "architectures")]
    assert found.causes[0].changes == (SetField("architectures", ["LlamaForCausalLM"]),)
    assert not found.unanswered


@pytest.mark.parametrize("named", ["LLaMAForCausalLM", "LlamaForCausalLm"])
def test_a_class_in_other_capitals_is_the_one_that_exists(named: str, tmp_path: Path) -> None:
    said = f"ValueError: Model architectures ['{named}'] are not supported for now. Supported architectures: " \
           "dict_keys(['LlamaForCausalLM', 'MistralForCausalLM'])"  # fmt: skip
    found = diagnosed(write(tmp_path, LLAMA, architectures=[named]), said)
    assert found.failed
    assert next(change for change in found.stages[0] if isinstance(change, SetField)).value == ["LlamaForCausalLM"]
    assert not found.unanswered


@pytest.mark.parametrize("named", ["LLaMAForCausalLM", "LlamaForCausalLm"])
def test_without_words_it_is_a_warning_as_some_engines_know_both(named: str, tmp_path: Path) -> None:
    (cause,) = diagnosed(write(tmp_path, LLAMA, architectures=[named])).causes
    assert (cause.finding.code, cause.finding.severity, cause.finding.subject) == ("arch.unknown", "warning", named)
    assert cause.changes[0] == SetField("architectures", ["LlamaForCausalLM"])
    assert "capital letters alone" in cause.finding.message


NO_FILE = "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /models/x."


@pytest.mark.parametrize(("said", "severity"), [("", "warning"), (NO_FILE, "error")])
def test_a_model_in_a_file_of_another_name(said: str, severity: str, tmp_path: Path) -> None:
    folder = write(tmp_path, LLAMA)
    assert codes(diagnosed(folder)) == []
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    [cause] = diagnosed(folder, said).causes
    assert (cause.finding.code, cause.finding.severity) == ("index.missing-file", severity)
    assert "rename weights.safetensors to model.safetensors" in (cause.finding.fix or "")


@pytest.mark.parametrize(("said", "severity"), [("", "warning"), (NO_FILE, "error")])
def test_shards_without_their_index(said: str, severity: str, tmp_path: Path) -> None:
    for number, start in ((1, "model"), (2, "lm_head")):
        own = f"model-0000{number}-of-00002.safetensors"
        write(tmp_path, LLAMA, lambda name, start=start: name if name.startswith(start) else None)  # type: ignore[misc]
        (tmp_path / "model.safetensors").rename(tmp_path / own)
    [cause] = diagnosed(tmp_path, said).causes
    assert (cause.finding.subject, cause.finding.severity) == ("model.safetensors.index.json", severity)


LEAVES = ("attention.dense.weight", "mlp.up.weight")


def strange(folder: Path, layers: int, lost: tuple[str, ...]) -> Path:
    folder.mkdir()
    names = [f"net.layers.{n}.{leaf}" for n in range(layers) for leaf in LEAVES]
    write_safetensors(folder / "model.safetensors", {name: ("F32", (8, 8)) for name in names if name not in lost})
    write_json(folder / "config.json", {"architectures": ["StrangeForMaskedLM"], "model_type": "strange"})
    return folder


@pytest.mark.parametrize("layers", [2, 5])
def test_a_tensor_that_is_missed_and_that_other_layers_have_is_lost(layers: int, tmp_path: Path) -> None:
    name = "net.layers.1.attention.dense.weight"
    said = f"Key | Status |\n--- | --- |\n{name} | MISSING |\n"
    found = diagnosed(strange(tmp_path / "m", layers, (name,)), said)
    assert codes(found)[0] == ("param.unfilled", name)
    assert found.failed
    assert not found.unanswered


@pytest.mark.parametrize("name", ["net.layers.1.attention.dense.weight", "net.layers.0.attention.k_norm.weight",
                                  "classifier.weight"])  # fmt: skip
def test_a_tensor_that_is_here_or_that_no_layer_has_is_not_lost(name: str, tmp_path: Path) -> None:
    said = f"Key | Status |\n--- | --- |\n{name} | MISSING |\n"
    found = diagnosed(strange(tmp_path / "m", 5, ()), said)
    assert not any("would start" in cause.finding.message for cause in found.causes)
