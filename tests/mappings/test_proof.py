"""The six proofs together: they hold for what they should, and none without its input."""

from __future__ import annotations

import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.plan import plan
from mappings.proof import prove
from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.proofs import ILLEGAL, failing, proofs
from tests.mappings.small import CONFIGS, TP_SIZES, bind

ALL = ["names", "slots", "axes", "sizes", "ranks", "bytes"]


@pytest.mark.parametrize("name", geometries())
def test_all_six_hold_for_a_real_geometry_wherever_its_heads_divide(name: str) -> None:
    for tp in TP_SIZES:
        found = proofs(choose(geometry(name), None, tp, "BF16").binding)
        assert [proof.name for proof in found] == ALL
        assert failing(found) == (["ranks"] if tp in ILLEGAL.get(name, {}) else []), tp


@pytest.mark.parametrize("name", CONFIGS)
def test_all_six_hold_for_a_small_config_at_every_legal_size(name: str) -> None:
    for tp in CONFIGS[name].tp:
        assert failing(proofs(bind(name, tp))) == []


def test_a_proof_without_its_input_is_not_checked_and_does_not_hold() -> None:
    binding = bind("llama")
    found = prove(plan(binding, synthesise(binding)), None, shapes_known=False, names_known=False)
    unchecked = {proof.name: proof.unchecked.reason for proof in found if proof.unchecked}
    assert list(unchecked) == ["names", "slots", "sizes", "bytes"]
    assert all(unchecked.values())
    assert not any(proof.holds for proof in found if proof.unchecked)
    assert failing(found) == list(unchecked)
