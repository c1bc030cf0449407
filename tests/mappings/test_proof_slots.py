"""Every part of every parameter is fed exactly once: rows and fills that are missing or too many."""

from __future__ import annotations

from dataclasses import replace

from mappings.bind import Binder
from mappings.params import norm
from mappings.plan import plan
from mappings.proof import prove_slots
from mappings.rows import Entry, Fill, Row
from tests.mappings.broken_tables import LAYER, adding, broken, slot_of, without
from tests.mappings.proofs import errors, failing, proofs
from tests.mappings.small import CONFIGS, architecture


def test_slots_a_part_that_nobody_feeds() -> None:
    found = proofs(broken("llama", without("v_proj")))
    assert failing(found) == ["slots"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["part"]) == ("mapping.slot", "v")
    assert "qkv_proj.weight[v]: no row claims it" in finding.message


def test_slots_a_part_that_two_rows_feed() -> None:
    q = slot_of("llama", "q_proj").slot
    found = proofs(broken("llama", adding(Row(f"{LAYER}.self_attn.q2_proj", q))))
    assert failing(found) == ["slots"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["part"]) == ("mapping.slot", "q")
    assert "two rows claim it" in finding.message
    assert len(finding.evidence["rows"]) == 2


def test_slots_a_parameter_of_which_some_layers_are_fed() -> None:
    some = norm("model.layers.{layer}.extra")
    row = Row("model.layers.{layer:some}.extra", some)
    arch = architecture("LlamaForCausalLM")
    changed = replace(arch, entries=(*arch.entries, row), domains=lambda config: {"layer:some": [1]})
    found = proofs(Binder(changed, CONFIGS["llama"].config, 2).bind())
    assert failing(found) == ["slots"]
    assert "no row claims it for layer 0" in errors(found)[0].message


def test_slots_experts_of_which_some_are_fed() -> None:
    """A stack that its rows fill only for some experts has holes."""
    w2 = slot_of("mixtral", "w2").slot
    arch = architecture("MixtralForCausalLM")
    rows = without(".w2")(list(arch.entries))
    some = Row("model.layers.{layer}.block_sparse_moe.experts.{expert:some}.w2", w2)
    changed = replace(arch, entries=(*rows, some), domains=lambda config: {"expert:some": [0, 2]})
    assert failing(proofs(Binder(changed, CONFIGS["mixtral"].config, 1).bind())) == ["slots"]


def test_slots_a_fill_beside_a_row() -> None:
    slot = slot_of("llama", "input_layernorm").slot
    found = proofs(broken("llama", adding(Fill(slot, "weight", 1.0, "a constant"))))
    assert failing(found) == ["slots"]
    assert "claimed by a Fill and by something else" in errors(found)[0].message


def test_slots_a_row_for_one_rank_without_a_fill_for_the_others() -> None:
    def change(entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if not isinstance(entry, Fill)]

    assert failing(proofs(broken("gpt-oss", change, tp=1))) == []
    found = proofs(broken("gpt-oss", change, tp=2))
    assert failing(found) == ["slots"]
    assert (errors(found)[0].rank, errors(found)[0].code) == (1, "mapping.slot")


def test_without_a_header_the_table_is_still_proved() -> None:
    binding = broken("llama", without("v_proj"))
    found = prove_slots(plan(binding, []), "there is no header")
    assert [f.code for f in found.findings] == ["mapping.slot"]
    assert found.unchecked is not None
