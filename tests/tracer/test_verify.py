"""`--verify` and `--reference transformers`: sound checkpoints pass, and what is wrong is named where it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from engine.processes.launch import launch
from tests import sabotage
from tests.engine.checkpoints import FAMILIES
from tests.threads import one_thread
from tests.tracer.families import Checkpoint, checkpoint
from tests.verifying import (
    HEADS_ALIKE,
    LAYER,
    Case,
    DoublesOnRankOne,
    LosesAParameter,
    Tensors,
    alone,
    altered,
    by_case,
    considered,
    judged,
    only,
    passes,
    poisoned,
)
from tracer.execute.verify.conclusion import UNSEEN
from tracer.prepare import Request, prepare
from tracer.session import run
from tracer.store import Store
from tracer.verified import Verified

__all__ = ["checkpoint", "one_thread"]
HALVES = ("llama", "mixtral", "gpt2", "bloom")
"""Families that are also computed in bfloat16."""
SABOTAGE: dict[type, str] = {
    sabotage.ExchangesQAndK: "qkv_proj", sabotage.OffByOneHead: "qkv_proj", sabotage.EveryRankIsRankZero: "o_proj",
    sabotage.TransposesTheSource: "o_proj", sabotage.OverwritesWithJunk: "o_proj",
}  # fmt: skip
"""Loaders of the second layer's attention, and what each spoils."""


class Two:
    """Many loads in one launch of two ranks, as starting processes is what takes long."""

    def __init__(self, cases: Mapping[str, Case], states: Path) -> None:
        self._cases = cases
        self._states = states
        self._results = by_case(launch(2, passes, cases, states))

    def verdicts(self, name: str) -> tuple[Verified, ...]:
        return judged(self._cases[name], self._results[name], self._states / name)


def whole(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    """Families, and parameters of theirs that every rank should have whole; of the layers, those of the second."""
    for family in ("llama-biases", "mixtral", "gpt2", "bloom"):
        for name, leaf in prepare(Request(str(checkpoint(family)), 2)).plan.params():
            if considered(name) and not any(part.cut for part in leaf.parts):
                yield family, name


@pytest.fixture(scope="module")
def two(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Two:
    root = tmp_path_factory.mktemp("two")
    alike, narrow = checkpoint(HEADS_ALIKE), {"dtype": "bfloat16"}
    cases = {family: Case(checkpoint(family)) for family in FAMILIES}
    cases |= {f"{family} in bfloat16": Case(checkpoint(family), options=narrow) for family in HALVES}
    for loader in SABOTAGE:
        cases[loader.__name__] = Case(alike, loader)
        cases[f"{loader.__name__} in bfloat16"] = Case(alike, loader, narrow)
    cases |= {name: Case(checkpoint(family), partial(DoublesOnRankOne, name)) for family, name in whole(checkpoint)}
    cases["nan"] = Case(altered(checkpoint("llama"), root / "nan", poisoned(f"{LAYER}k_proj.weight", row=12)))
    cases["overflow"] = Case(altered(checkpoint("llama"), root / "overflow", enlarged), options={"dtype": "float16"})
    (root / "states").mkdir()
    return Two(cases, root / "states")


def enlarged(tensors: Tensors) -> None:
    """Weights that float16 holds, and products that it does not."""
    tensors["model.layers.1.mlp.gate_proj.weight"] *= 3e4
    tensors["model.layers.1.input_layernorm.weight"] *= 10


# --- sound checkpoints ---


@pytest.mark.parametrize("family", ["llama-tied", "qwen3", "mixtral", "gpt2", "bloom"])
def test_one_rank_agrees_with_transformers(
    family: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    verify, reference = alone(Case(checkpoint(family)), tmp_path)
    assert verify.line().startswith("verify ok: 1 rank, ")
    assert verify.line().endswith(f" tokens, logits finite; {UNSEEN}")
    assert (reference.state, reference.told.endswith("3 of 3 layers agree")) == ("ok", True), reference.line()


def test_two_ranks_of_every_family_agree_with_each_other_and_with_transformers(two: Two) -> None:
    for family in FAMILIES:
        verify, reference = two.verdicts(family)
        assert verify.line().endswith(f" tokens, logits finite and equal; {UNSEEN}")
        assert (reference.state, "3 of 3 layers agree" in reference.told) == ("ok", True), reference.line()


@pytest.mark.parametrize("family", HALVES)
def test_half_precision_is_measured_by_what_rounding_does_to_transformers(family: str, two: Two) -> None:
    verify, reference = two.verdicts(f"{family} in bfloat16")
    assert verify.state == "ok"
    assert (reference.state, "bfloat16" in reference.told) == ("ok", True), reference.line()
    assert "3 of 3 layers agree" in reference.told


# --- what departs from the reference ---


@pytest.mark.parametrize("precision", ["", " in bfloat16"])
@pytest.mark.parametrize(("loader", "spoiled"), SABOTAGE.items())
def test_a_loader_that_misplaces_is_named_by_layer_and_parameter(
    loader: type, spoiled: str, precision: str, two: Two
) -> None:  # fmt: skip
    verify, reference = two.verdicts(f"{loader.__name__}{precision}")
    assert verify.state == "ok", "every rank has the same garbage"
    assert reference.state == "failed"
    finding = only((reference,))
    assert (finding.evidence["layer"], finding.subject) == (1, "model.layers.1")
    assert list(finding.evidence["parameters"]) == [f"{LAYER}{spoiled}.weight"]


# --- what is not finite ---


def test_a_tensor_of_nan_is_named_with_its_module_and_the_ranks_that_hold_it(two: Two) -> None:
    """The second KV head is rank 1's; after the next sum all ranks have it."""
    verify, reference = two.verdicts("nan")
    finding = only((verify,))
    assert (finding.code, finding.subject, finding.rank) == ("value.nonfinite", f"{LAYER}qkv_proj", 1)
    assert finding.evidence["ranks"] == [1]
    assert finding.evidence["tensors"] == {f"{LAYER}k_proj.weight": {1: 1}}
    assert list(finding.evidence["parameters"]) == [f"{LAYER}qkv_proj.weight"]
    assert f"what goes in is finite, {LAYER}k_proj.weight (1 element) is not" in finding.message
    assert reference.state == "not-checked"


def test_values_that_overflow_are_no_fault_of_a_tensor(two: Two) -> None:
    finding = only(two.verdicts("overflow"))
    assert (finding.code, finding.subject) == ("value.nonfinite", "model.layers.1.mlp.gate_up_proj")
    assert finding.evidence["tensors"] == {}
    assert "the values overflow" in finding.message
    assert finding.fix is not None and "--dtype" in finding.fix


# --- ranks that differ ---


def test_any_parameter_that_every_rank_has_whole_is_named_where_one_has_another(
    checkpoint: Checkpoint, two: Two
) -> None:  # fmt: skip
    """A sum over ranks hides most of them again."""
    told = {}
    for _, name in whole(checkpoint):
        verify, reference = two.verdicts(name)
        assert reference.state == "not-checked"
        finding = only((verify,))
        told[name] = (finding.code, finding.rank, list(finding.evidence["parameters"]))
    assert told == {name: ("verify.rank-differs", 1, [name]) for name in told}
    assert len(told) > 20


def test_a_rank_that_cannot_compute_fails_the_verification_and_not_the_load(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    request = Request(str(checkpoint("llama")), 2, device="cpu", reference="transformers")
    result = run(request, tmp_path / "t.db", LosesAParameter)
    verify, reference = result.verified
    finding = only((verify,))
    assert (finding.code, finding.rank) == ("verify.failed", 1)
    assert "rank 1: the forward pass failed: RuntimeError: mat1 and mat2" in finding.message
    assert reference.line() == "reference: not checked (the forward pass failed)"
    assert result.failed
    assert result.failure is None
    assert result.audit is not None and result.audit.ok
    assert Store.open(tmp_path / "t.db").end is not None
