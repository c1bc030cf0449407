"""Which parameters are suspected of a departure, by which states agree and which do not."""

from __future__ import annotations

from tracer.execute.verify.landmarks import Landmark, Measured
from tracer.execute.verify.suspects import suspects


def state(module: str, side: str, agrees: bool) -> Measured:
    spot = (module, side)
    return Measured(Landmark(f"the {side} of {module}", None, spot, spot), 0.0 if agrees else 1.0, 0.5)


def owners(*modules: str) -> dict[str, tuple[int, list[str]]]:
    return {module: (place, [f"{module}.weight"]) for place, module in enumerate(modules)}


def test_a_state_that_agrees_later_clears_nothing_that_it_was_not_computed_from() -> None:
    """Of two branches beside each other, as GPT-J and Falcon have them, the second one agrees."""
    seen = [
        state("attn.out", "input", False), state("attn.out", "output", False),
        state("mlp.down", "input", True), state("mlp.down", "output", True),
    ]  # fmt: skip
    found = suspects(owners("attn.qkv", "attn.out", "mlp.up", "mlp.down"), seen)
    assert found.params == ["attn.qkv.weight"]
    assert found.departing == seen[0]


def test_a_module_around_others_clears_all_of_them_and_accuses_none() -> None:
    inside = owners("attn.qkv", "attn.out", "mlp.gate", "mlp.experts")
    assert suspects(inside, [state("attn", "output", True)]).params == ["mlp.gate.weight", "mlp.experts.weight"]
    assert suspects(inside, [state("attn", "output", False)]).params == [f"{name}.weight" for name in inside]
