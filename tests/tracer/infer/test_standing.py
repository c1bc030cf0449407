"""What is said of a field beside the tensors: agreement only where something was compared."""

from __future__ import annotations

from typing import Any

import pytest

from tracer.infer.fields import TAKEN, Confidence, Field
from tracer.infer.standing import standing


def seen(value: Any, confidence: Confidence = "certain", evidence: str = "q_proj (8, 8)") -> Field:
    return Field("hidden_size", value, evidence, confidence)


@pytest.mark.parametrize("confidence", ["certain", "likely"])
def test_what_tensors_say_agrees_or_differs(confidence: Confidence) -> None:
    assert standing(8, seen(8, confidence)) == "agrees"
    assert standing(9, seen(8, confidence)) == "differs"
    assert standing(None, seen(8, confidence)) == "inferred"


@pytest.mark.parametrize("field", [None, seen(None, "unknown"), seen(8, "guess")])
def test_what_no_tensor_tells_is_not_compared_whatever_practice_has(field: Field | None) -> None:
    assert standing(8, field) == "not compared"


def test_the_config_is_no_witness_of_itself() -> None:
    assert standing(8, seen(8, "likely", f"{TAKEN}, and the shapes agree: 8 = 2 x 4")) == "fits"


@pytest.mark.parametrize("field", [None, seen(8), seen(9), seen(8, "guess")])
def test_a_finding_outranks_all(field: Field | None) -> None:
    assert standing(8, field, wrong=True) == "conflict"


def test_of_an_object_what_is_seen_has_to_be_in_it_and_to_see_nothing_is_no_agreement() -> None:
    said = {"quant_method": "gptq", "bits": 4, "sym": True}
    assert standing(said, seen({"quant_method": "gptq", "bits": 4})) == "agrees"
    assert standing(said, seen({"quant_method": "gptq", "bits": 8})) == "differs"
    assert standing(said, seen({})) != "agrees"
