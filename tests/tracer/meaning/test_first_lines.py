"""The sentence of q's and k's rows fits on a line or two: both are named once, and the fix has the steps in full."""

from __future__ import annotations

from pathlib import Path

from tests.tracer.meaning.planted import FAULTS, written
from tests.tracer.meaning.test_meaning import LLAMA, examined

LONGEST = 260
"""Letters of a first line; 300 of them nobody reads."""


def test_names_and_steps_of_both_are_folded(tmp_path: Path) -> None:
    (found,) = examined(written(LLAMA, tmp_path / "m", FAULTS["rope order left out"]))["rope-order"].check.findings
    assert found.message.startswith("model.layers.{0..3}.self_attn.{q_proj, k_proj}.weight: ")
    assert "reorder q from pairs to halves in 4 heads, k in 2 (" in found.message
    assert len(found.message) <= LONGEST
    assert found.fix == "reorder the rows of q from pairs to halves in 4 heads and k from pairs to halves in 2 heads"


def test_one_of_them_alone_and_several_steps_are_spelt_out(tmp_path: Path) -> None:
    (found,) = examined(written(LLAMA, tmp_path / "m", FAULTS["k in pairs of q's heads"]))["rope-order"].check.findings
    assert found.message.startswith("model.layers.{0..3}.self_attn.k_proj.weight: ")
    assert "reorder k " in found.message
