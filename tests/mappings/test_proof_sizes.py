"""The layouts give the shapes in the header, or the proof of sizes fails."""

from __future__ import annotations

from mappings.synth import synthesise
from tests.mappings.proofs import errors, failing, proofs
from tests.mappings.small import bind


def test_sizes_a_header_of_another_shape() -> None:
    binding = bind("llama", 2)
    tensors = [t._replace(shape=(11,)) if t.name == "model.norm.weight" else t for t in synthesise(binding)]
    found = proofs(binding, tensors)
    assert failing(found) == ["sizes"]
    assert [f.code for f in errors(found)] == ["shape.mismatch"]


def test_sizes_where_no_row_claims_a_tensor_are_not_proven() -> None:
    binding = bind("llama", 2)
    tensors = [tensor._replace(name=f"other.{tensor.name}") for tensor in synthesise(binding)]
    for held in (tensors, []):
        (sizes,) = (proof for proof in proofs(binding, held) if proof.name == "sizes")
        assert sizes.unchecked is not None and not sizes.holds
        assert sizes.unchecked.reason == "no row claims a tensor that is here, so that no shape was compared"
