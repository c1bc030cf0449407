"""Names that cannot be an architecture's, whatever its sizes."""

from __future__ import annotations

import pytest

from mappings.architectures import BUILT_IN
from mappings.architectures.deepseek import DEEPSEEK_V3
from mappings.mismatch import mismatch
from mappings.names import blank
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, architecture, bind

GROUPED = [f"model.layers.0.self_attn.{name}_proj.weight" for name in "qkvo"]


@pytest.mark.parametrize("name", CONFIGS)
def test_no_architecture_mismatches_itself(name: str) -> None:
    names = [tensor.name for tensor in synthesise(bind(name))]
    assert mismatch(architecture(CONFIGS[name].arch), names) is None


def test_plain_attention_under_the_name_of_latent_attention() -> None:
    latent = [t.name for t in synthesise(bind("deepseek v3")) if "_a_" not in t.name and "_b_" not in t.name]
    finding = mismatch(DEEPSEEK_V3, [*latent, *GROUPED])
    assert finding is not None
    assert (finding.code, finding.severity, finding.subject) == ("arch.mismatch", "error", "DeepseekV3ForCausalLM")
    assert "model.layers.{layer}.self_attn.kv_b_proj" in finding.evidence["absent"]
    # q_proj and o_proj are names of both.
    assert {blank(name)[0] for name in finding.evidence["strange"]} == {blank(GROUPED[1])[0], blank(GROUPED[2])[0]}


def test_a_gap_alone_is_no_other_architecture() -> None:
    held = [t.name for t in synthesise(bind("llama")) if "q_proj" not in t.name]
    assert mismatch(BUILT_IN[0], held) is None
