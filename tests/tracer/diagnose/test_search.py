"""Hypotheses are believed for what is gone when they are tried, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mappings.findings import Finding
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import diagnosed, write
from tracer.complaints.complaint import Complaint
from tracer.diagnose.answers import Answer, answer
from tracer.diagnose.case import Case
from tracer.diagnose.cause import Cause
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.ranking import ranked
from tracer.diagnose.search import search
from tracer.diagnose.weight import key_of, weight_of
from tracer.repair.changes import Rename, SetField

CAUSE = Finding("config.conflict", "error", "somewhere", "a thought")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A wrapper around all names, and one field that is wrong besides."""
    folder = write(tmp_path, CONFIGS["llama"].config, lambda name: f"wrap.{name}", num_key_value_heads=4)
    state = diagnosed(folder).original
    assert state is not None
    return Case(state, state)


def unwrapped(case: Case) -> Rename:
    return Rename({name: name.removeprefix("wrap.") for name in case.state.names if name.startswith("wrap.")})


def test_what_removes_nothing_is_no_cause(case: Case) -> None:
    def propose(_: Case) -> Iterator[Hypothesis]:
        yield Hypothesis(CAUSE, (SetField("torch_dtype", "float16"),))
        yield Hypothesis(CAUSE, (Rename({"wrap.lm_head.weight": "wrap.head.weight"}),))

    assert search(case, [propose]).causes == []


def test_what_makes_planning_impossible_is_no_cause(case: Case) -> None:
    """Without a plan nothing is unmapped any more; that is no cure."""

    def propose(_: Case) -> Iterator[Hypothesis]:
        yield Hypothesis(CAUSE, (SetField("architectures", ["StrangeForCausalLM"]),))
        yield Hypothesis(CAUSE, (SetField("hidden_size", None),))

    assert search(case, [propose]).causes == []


def test_the_second_cause_is_found_behind_the_first(case: Case) -> None:
    def names(now: Case) -> Iterator[Hypothesis]:
        if unwrapped(now).names:
            yield Hypothesis(replace(CAUSE, code="name.rewrite"), (unwrapped(now),))

    def field(_: Case) -> Iterator[Hypothesis]:
        yield Hypothesis(CAUSE, (SetField("num_key_value_heads", 2),))

    searched = search(case, [field, names])
    assert [cause.finding.code for cause in searched.causes] == ["name.rewrite", "config.conflict"]
    assert "shape.mismatch" in {each.code for each in searched.causes[1].explains}
    assert searched.case.state.burden == (0, 0)
    assert [len(stage) for stage in searched.stages] == [1, 1]


def test_what_is_evident_stands_without_a_trial_and_explains_nothing(case: Case) -> None:
    def propose(_: Case) -> Iterator[Hypothesis]:
        yield Hypothesis(CAUSE, evident=True)

    (cause,) = search(case, [propose]).causes
    assert (cause.finding, cause.explains) == (CAUSE, ())


def test_a_wording_may_give_the_thought_up(case: Case) -> None:
    def propose(now: Case) -> Iterator[Hypothesis]:
        yield Hypothesis(lambda trial: None, (unwrapped(now),))

    assert search(case, [propose]).causes == []


def test_of_fewer_layers_a_finding_is_still_there() -> None:
    some = Finding("param.unfilled", "error", "model.layers.{0..31}.q_proj.weight", "", {"missing": 32})
    fewer = replace(some, subject="model.layers.{0, 3}.q_proj.weight", evidence={"missing": 2})
    one = replace(some, subject="model.layers.7.q_proj.weight", evidence={})
    other = replace(some, subject="model.layers.{0..31}.k_proj.weight")
    assert key_of(some) == key_of(fewer) == key_of(one) != key_of(other)
    assert [weight_of(each) for each in (some, fewer, one)] == [32, 2, 1]


# --- answers and ranks ---

KEY = Complaint("no-parameter", "KeyError: 'layers.0.mlp.up_proj.weight'", names=("layers.0.mlp.up_proj.weight",))
RENAMED = Cause(
    Finding("name.rewrite", "error", "wrap.embed.weight", ""),
    changes=(Rename({"wrap.layers.0.mlp.up_proj.weight": "layers.0.mlp.up_proj.weight"}),),
)


def test_a_complaint_is_answered_by_what_it_names_before_what_could_have_led_to_it() -> None:
    other = Cause(Finding("tensor.unmapped", "error", "wrap.norm.bias", ""))
    unlike = Cause(Finding("tp.indivisible", "error", "head", ""))
    assert [answer(each, KEY) for each in (RENAMED, other, unlike)] == [Answer.NAMED, Answer.KIND, Answer.NO]
    assert ranked([unlike, other, RENAMED], [KEY])[0].finding.code == "name.rewrite"


def test_what_was_made_from_the_words_comes_first_even_as_a_remark() -> None:
    told = Cause(Finding("tensor.derived", "info", "rope_freqs.weight", ""), answers=(KEY,))
    assert ranked([RENAMED, told], [KEY])[0].finding.code == "tensor.derived"


def test_without_words_damage_comes_before_what_follows_and_errors_before_warnings() -> None:
    cut = Cause(Finding("file.truncated", "error", "model.safetensors", ""))
    many = Cause(Finding("config.conflict", "error", "x", ""), (replace(CAUSE, evidence={"tensors": 90}),))
    few = Cause(Finding("name.rewrite", "error", "y", ""), (CAUSE,))
    warned = Cause(Finding("index.total-size", "warning", "z", ""))
    order = [cause.finding.subject for cause in ranked([warned, few, many, cut], [])]
    assert order == ["model.safetensors", "x", "y", "z"]


def test_once_nothing_is_wrong_those_that_only_try_are_not_asked_again(tmp_path: Path) -> None:
    """Each asking of 90,000 names costs a second."""
    folder = write(tmp_path, CONFIGS["llama"].config, lambda name: f"wrap.{name}")
    state = diagnosed(folder).original
    assert state is not None
    asked = []

    def names(now: Case) -> Iterator[Hypothesis]:
        asked.append("names")
        yield Hypothesis(CAUSE, (unwrapped(now),))
        asked.append("names, for more")

    def others(_: Case) -> Iterator[Hypothesis]:
        asked.append("others")
        yield from ()

    def evident(_: Case) -> Iterator[Hypothesis]:
        asked.append("evident")
        yield from ()

    found = search(Case(state, state), [names, others, evident], {names, others})
    assert len(found.causes) == 1
    assert asked == ["names", "evident"]
