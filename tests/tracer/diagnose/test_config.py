"""A wrong field is one finding, named, with the value that the tensors have, and everything else follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from mappings.architectures import BUILT_IN
from mappings.registry import choose
from mappings.rows import Architecture
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json
from tracer.checkpoint.folder import open_checkpoint
from tracer.diagnose.hypotheses.config import is_our_word
from tracer.repair.changes import SetField

FAMILIES = ("llama", "phi3", "gpt2", "falcon", "deepseek v3", "mamba2")
SILENT = {
    "n_head": "all heads together are as wide as the model, whatever their number",
    "num_nextn_predict_layers": "layers that draft may be left out",
    "moe_layer_freq": "half of the layers would be dense: told by which experts are there, not by a size",
}
"""Fields of which a change need not show in any header, and why."""


def _cases() -> list[Any]:
    found = []
    for family in FAMILIES:
        config = CONFIGS[family].config
        used = choose(config, None, 1, "BF16").binding.config.used
        sizes = [name for name, value in used.items() if name in config and type(value) is int and value > 0]
        found += [pytest.param(family, name, id=f"{family}-{name}") for name in sizes if name not in SILENT]
    return found


@pytest.mark.parametrize(("family", "field"), _cases())
def test_a_size_that_is_twice_too_large_is_one_finding(family: str, field: str, tmp_path: Path) -> None:
    config = CONFIGS[family].config
    found = diagnosed(write(tmp_path, config, **{field: 2 * config[field]}))
    cause = found.causes[0]
    assert len(found.causes) <= 2, codes(found)
    assert cause.finding.code in ("config.conflict", "config.missing-field"), codes(found)
    said = f"{cause.finding.subject} {cause.finding.message}"
    assert field in said, cause.finding.message
    assert found.mended is not None
    assert found.mended.burden[0] == 0, "with its value everything fits"
    if cause.finding.subject == field:
        assert SetField(field, config[field]) in cause.changes
    symptoms = {finding.code for cause in found.causes for finding in cause.explains}
    assert not symptoms & {code for code, _ in codes(found)} - {"config.conflict"}


@pytest.mark.parametrize("field", [
    "num_key_value_heads", "num_attention_heads", "intermediate_size", "vocab_size", "hidden_size", "head_dim",
])  # fmt: skip
def test_a_field_that_is_not_there_is_offered_with_its_value(field: str, tmp_path: Path) -> None:
    config = CONFIGS["llama"].config
    absent: dict[str, Any] = {field: None}
    found = diagnosed(write(tmp_path, config, **absent))
    (cause,) = found.causes
    assert cause.finding.code == "config.missing-field"
    assert cause.changes == (SetField(field, config[field]),)


def test_several_fields_that_are_not_there_are_added_together(tmp_path: Path) -> None:
    """None of them alone gives a plan."""
    config = CONFIGS["llama"].config
    found = diagnosed(write(tmp_path, config, vocab_size=None, intermediate_size=None))
    assert found.causes[0].finding.code == "config.missing-field"
    assert {"vocab_size", "intermediate_size"} <= set(found.causes[0].finding.message.replace(",", " ").split())
    assert found.mended is not None
    assert found.mended.burden[0] == 0


def test_what_would_fit_as_well_is_said(tmp_path: Path) -> None:
    """Without head_dim, twice the heads with half the width have the same shapes."""
    config = {key: value for key, value in CONFIGS["llama"].config.items() if key != "head_dim"}
    config |= {"hidden_size": 64}
    (cause,) = diagnosed(write(tmp_path, config, num_key_value_heads=4)).causes
    assert cause.finding.subject == "num_key_value_heads"
    assert "num_attention_heads = 32 alone would fit as well" in cause.finding.message


def test_a_flag_that_is_wrong_explains_every_bias(tmp_path: Path) -> None:
    config = CONFIGS["llama with biases"].config
    (cause,) = diagnosed(write(tmp_path, config, attention_bias=False)).causes
    assert (cause.finding.code, cause.finding.subject) == ("config.conflict", "attention_bias")
    assert {finding.code for finding in cause.explains} == {"tensor.unmapped"}


def test_the_class_of_other_tensors_is_named(tmp_path: Path) -> None:
    (cause,) = diagnosed(write(tmp_path, CONFIGS["qwen3"].config, architectures=["Qwen2ForCausalLM"])).causes
    assert (cause.finding.code, cause.finding.subject) == ("arch.mismatch", "Qwen2ForCausalLM")
    assert cause.changes == (SetField("architectures", ["Qwen3ForCausalLM"]),)


def test_a_slip_of_the_pen_in_the_class_is_told_from_a_class_that_nobody_knows(tmp_path: Path) -> None:
    slip = write(tmp_path / "slip", CONFIGS["llama"].config, architectures=["LlamaForCasualLM"])
    assert codes(diagnosed(slip)) == [("arch.unknown", "LlamaForCasualLM")]
    strange = write(tmp_path / "strange", CONFIGS["llama"].config, architectures=["StrangeForCausalLM"])
    assert codes(diagnosed(strange)) == []


def test_a_wrong_field_is_found_without_rows(tmp_path: Path) -> None:
    config = {**CONFIGS["llama"].config, "model_type": "granite", "architectures": ["GraniteForCausalLM"]}
    folder = write(
        tmp_path, {**config, "architectures": ["LlamaForCausalLM"]}, architectures=["GraniteForCausalLM"],
        intermediate_size=96,
    )  # fmt: skip
    (cause,) = diagnosed(folder).causes
    assert (cause.finding.code, cause.finding.subject) == ("config.conflict", "intermediate_size")


def test_a_width_of_heads_that_config_json_leaves_out_is_the_one_of_the_class(tmp_path: Path) -> None:
    """Qwen3's class takes 128 for it and not hidden_size / num_attention_heads, which these tensors have."""
    qwen3 = {**CONFIGS["qwen3"].config, "hidden_size": 48, "head_dim": 3}
    (cause,) = diagnosed(write(tmp_path / "qwen3", qwen3, head_dim=None)).causes
    assert (cause.finding.code, cause.changes) == ("config.missing-field", (SetField("head_dim", 3),))
    assert "Qwen3ForCausalLM takes 128" in cause.finding.message
    llama = {**CONFIGS["llama"].config, "hidden_size": 48, "head_dim": 3}
    assert codes(diagnosed(write(tmp_path / "llama", llama, head_dim=None))) == []


def test_a_config_json_that_is_cut_off_is_what_is_wrong_and_no_field_of_it(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])
    found = diagnosed(folder)
    assert codes(found)[0][0] == "config.invalid"
    assert found.stages == []


def test_both_ways_in_which_a_head_can_be_absent_are_said(tmp_path: Path) -> None:
    config = {**CONFIGS["llama"].config, "model_type": "llama", "tie_word_embeddings": False}
    folder = write(tmp_path, config, lambda name: None if name == "lm_head.weight" else name)
    (cause,) = diagnosed(folder).causes
    assert (cause.finding.code, cause.changes) == ("tie.conflict", (SetField("tie_word_embeddings", True),))
    assert "the head is lost" in cause.finding.message and "something else" in cause.finding.message


def test_a_head_is_not_tied_where_an_index_has_it_in_a_file_that_is_not_here(tmp_path: Path) -> None:
    config = {**CONFIGS["llama"].config, "model_type": "llama", "tie_word_embeddings": False}
    folder = write(tmp_path, config, lambda name: None if name == "lm_head.weight" else name)
    names = [each.name for each in open_checkpoint(folder).tensors]
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    homes = dict.fromkeys(names, "model-00001-of-00002.safetensors")
    homes["lm_head.weight"] = "model-00002-of-00002.safetensors"
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": homes})
    found = diagnosed(folder)
    assert codes(found)[0][0] in ("index.missing-file", "shards.gap")
    assert not any("tie_word_embeddings" in str(change) for stage in found.stages for change in stage)


@pytest.mark.parametrize("arch", [arch for arch in BUILT_IN if arch.dialect is None], ids=lambda arch: arch.name)
def test_a_fix_names_only_fields_that_the_config_class_has(arch: Architecture, tmp_path: Path) -> None:
    known = getattr(transformers, arch.name).config_class()
    folder = tmp_path / arch.name
    config = next(small.config for small in CONFIGS.values() if small.arch == arch.name)
    state = diagnosed(write(folder, config)).original
    assert state is not None
    for name, value in arch.flags.items():
        if isinstance(value, bool) or (isinstance(value, str) and "bias" in value):
            assert is_our_word(state, name) is not hasattr(known, name) or name in config, name
