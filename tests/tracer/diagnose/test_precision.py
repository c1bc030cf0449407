"""Nothing is wrong with what is sound: published checkpoints, and whatever the project can write itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import corpus
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.test_doctor_corpus import CORPUS
from tracer.cli import main
from tracer.complaints.complaint import Told
from tracer.diagnose import diagnosis, search

CONSISTENT = [slug for slug, said in CORPUS.items() if not said.errors and not said.warnings]


@pytest.mark.parametrize("slug", CONSISTENT)
def test_a_consistent_checkpoint_of_the_field_has_nothing_wrong_with_it(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus.materialise(slug, tmp_path / slug)
    status = main(["diagnose", str(folder)])
    out = capsys.readouterr().out
    first, *rest = out.splitlines()
    assert (status, "nothing is wrong" in first) == (0, True), out
    assert any(line.startswith("not checked: ") for line in rest), "what was not looked at is said"
    assert not any(line.startswith(("ERROR", "warning")) for line in rest), out


@pytest.mark.parametrize("slug", [slug for slug, said in CORPUS.items() if said.errors or said.warnings])
def test_what_the_doctor_finds_is_not_lost(slug: str, tmp_path: Path) -> None:
    folder = corpus.materialise(slug, tmp_path / slug)
    found = diagnosed(folder)
    told = {each.code for cause in found.causes for each in (cause.finding, *cause.explains)}
    assert CORPUS[slug].errors | CORPUS[slug].warnings <= told | {"value.all-zero"}
    assert found.failed == bool(CORPUS[slug].errors)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_is_sound_as_its_rows_write_it_and_costs_no_trial(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(*_: object) -> None:
        raise AssertionError("a sound checkpoint was tried something on")

    monkeypatch.setattr(search, "_tried", tried)
    assert codes(diagnosed(write(tmp_path, CONFIGS[name].config))) == []


@pytest.mark.parametrize("name", ["llama", "gpt2", "deepseek v3 in fp8", "jamba"])
def test_it_is_sound_without_rows_too(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS[name].config, architectures=["StrangeForCausalLM"])
    assert codes(diagnosed(folder)) == []


@pytest.mark.parametrize("said", [
    "KeyError: 'model.layers.0.self_attn.k_norm.weight'",
    "weight model.layers.7.mlp.gate_proj.weight does not exist",
    "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
    "size mismatch for model.embed_tokens.weight: copying a param with shape torch.Size([8, 8]) from checkpoint",
])  # fmt: skip
def test_words_alone_make_no_fault_of_a_sound_checkpoint(said: str, tmp_path: Path) -> None:
    """What the words say may be the engine's fault; then that is said, and no name, field or file is blamed."""
    found = diagnosed(write(tmp_path, CONFIGS["llama"].config), said)
    blamed = {code.partition(".")[0] for code, _ in codes(found)}
    assert not blamed & {"name", "config", "file", "header", "index", "shards", "layers", "param", "shape", "arch"}


def test_one_line_says_that_the_words_are_not_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    assert main(["diagnose", str(folder), "--no-values", "--error", "RuntimeError: something else altogether"]) == 0
    assert "what was complained of does not follow from the checkpoint" in capsys.readouterr().out.splitlines()[0]


def test_the_same_object_is_asked_twice_and_nothing_is_kept(tmp_path: Path) -> None:
    """A trial changes nothing of what it was made from."""
    folder = write(tmp_path, CONFIGS["llama"].config, lambda name: f"language_model.{name}", num_key_value_heads=4)
    first, second = diagnosed(folder), diagnosis.diagnose(str(folder), Told())
    assert codes(first) == codes(second)
    assert first.original is not None
    assert first.original.config["num_key_value_heads"] == 4
    assert all(name.startswith("language_model.") for name in first.original.names)
