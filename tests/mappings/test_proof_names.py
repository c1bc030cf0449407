"""Every name is claimed exactly once: rows that overlap, and what a checkpoint has beside its weights."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.findings import Finding
from mappings.params import norm
from mappings.plan import plan
from mappings.proof import prove_names
from mappings.rows import Row, Skip
from mappings.synth import Synthetic, synthesise
from tests.mappings.broken_tables import LAYER, adding, broken
from tests.mappings.proofs import errors, failing, proofs
from tests.mappings.small import bind

# --- rows that overlap ---

EXTRA = norm(f"{LAYER}.extra")


@pytest.mark.parametrize(
    "skip",
    [f"{LAYER}.mlp.up_proj.weight", f"{LAYER}.mlp.**", "model.layers.{layer}.**", "model.**"],
)
def test_names_a_skip_over_a_row_is_an_overlap(skip: str) -> None:
    binding = broken("llama", adding(Skip(skip, "not wanted")))
    found = proofs(binding)
    assert failing(found) == ["names"]
    assert {f.code for f in errors(found)} == {"mapping.overlap"}
    assert any(f"{LAYER}.mlp.up_proj.weight" in f.message for f in errors(found))


def test_names_two_rows_of_one_name_overlap_with_or_without_a_header() -> None:
    binding = broken("llama", adding(Row(f"{LAYER}.mlp.up_proj", EXTRA)))
    made = plan(binding, [])
    for found in (prove_names(made), prove_names(made, "there is no header")):
        (finding,) = [f for f in found.findings if f.code == "mapping.overlap"]
        assert finding.subject == f"{LAYER}.mlp.up_proj.weight"
        assert "llama.py:" in finding.message
        assert "test_proof_names.py:" in finding.message


def test_names_rows_of_one_template_may_share_it_if_their_layers_are_disjoint() -> None:
    """Jamba's dense and routed layers, DeepSeek's layers and those of the next-token model."""
    for name in ("jamba", "deepseek v3"):
        assert "names" not in failing(proofs(bind(name)))
    binding = broken("deepseek v3", adding(Skip("model.layers.{layer:moe}.mlp.**", "not wanted")))
    assert failing(proofs(binding)) == ["names"]


def test_names_a_row_at_one_position_overlaps_with_the_row_of_all() -> None:
    first = norm("model.layers.first")
    overlapping = broken("llama", adding(Row("model.layers.0.input_layernorm", first)))
    assert any(f.code == "mapping.overlap" for f in prove_names(plan(overlapping, [])).findings)
    beyond = broken("llama", adding(Row("model.layers.2.input_layernorm", first)))
    assert failing(proofs(beyond)) == []


# --- what a checkpoint says beside its weights ---


def extended(name: str, *more: Synthetic, **fields: Any) -> list[Finding]:
    binding = bind(name, **fields)
    return [f for p in proofs(binding, [*synthesise(binding), *more]) for f in p.findings]


def test_a_derived_buffer_is_information() -> None:
    frequencies = [Synthetic(f"{LAYER.format(layer=i)}.self_attn.rotary_emb.inv_freq", "F32", (1,)) for i in range(2)]
    (finding,) = extended("llama", *frequencies)
    assert (finding.code, finding.severity, finding.evidence["tensors"]) == ("tensor.derived", "info", 2)
    assert finding.subject == "model.layers.{0, 1}.self_attn.rotary_emb.inv_freq"


def test_a_skipped_layer_is_information_with_its_reason() -> None:
    (finding,) = extended("deepseek v3", Synthetic("model.layers.3.embed_tokens.weight", "BF16", (67, 11)))
    assert (finding.code, finding.severity) == ("tensor.ignored", "info")
    assert "next-token" in finding.message


def test_a_stored_head_that_is_tied_is_a_warning() -> None:
    (finding,) = extended("llama tied", Synthetic("lm_head.weight", "BF16", (67, 10)))
    assert (finding.code, finding.severity, finding.subject) == ("tie.conflict", "warning", "lm_head.weight")
    assert finding.evidence == {"to": "model.embed_tokens.weight", "flag": "tie_word_embeddings"}


def test_a_stored_head_that_only_the_class_ties_is_worth_knowing() -> None:
    found = extended("bloom", Synthetic("lm_head.weight", "BF16", (67, 48)))
    assert [f.severity for f in found if f.code == "tie.conflict"] == ["info"]


def test_modules_of_another_model_are_a_warning_while_this_one_is_complete() -> None:
    tower = [Synthetic(f"vpm.layers.{i}.fc.{leaf}", "BF16", (10,)) for i in range(3) for leaf in ("weight", "bias")]
    (finding,) = extended("llama", *tower)
    assert (finding.code, finding.severity, finding.subject) == ("tensor.unmapped", "warning", "vpm.**")
    assert finding.evidence["tensors"] == 6
    (strange,) = extended("llama", Synthetic("model.vpm.fc.weight", "BF16", (10,)))
    assert (strange.code, strange.severity) == ("tensor.unmapped", "error")


def test_modules_of_another_model_are_an_error_where_a_parameter_is_empty() -> None:
    binding = bind("llama")
    header = [t for t in synthesise(binding) if "q_proj" not in t.name]
    found = errors(proofs(binding, [*header, Synthetic("vpm.fc.weight", "BF16", (10,))]))
    assert {f.code for f in found} == {"tensor.unmapped", "param.unfilled"}


def test_a_model_stored_under_two_prefixes_is_a_second_copy() -> None:
    again = [t._replace(name=f"transformer.{t.name}") for t in synthesise(bind("gpt2")) if t.name.startswith("h.1")]
    found = [f for f in extended("gpt2", *again) if f.severity == "error"]
    assert [f.code for f in found] == ["shards.second-copy"]
    assert found[0].evidence["count"] == len(again)


@pytest.mark.parametrize("name", ["a.{}.w", "{", "}{", "model.layers.{}.input_layernorm.weight", "{0!r}", ""])
def test_a_hostile_name_is_unmapped_like_any_other(name: str) -> None:
    (finding,) = extended("llama", Synthetic(name, "BF16", (10,)))
    assert (finding.code, finding.subject) == ("tensor.unmapped", name)
