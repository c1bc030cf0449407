"""The instruments of this room themselves: what is wrong in a file shows in the logits, and no file is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracer.starter.computing import computes_as, computes_in_parts_as, other_names, sound
from tests.tracer.starter.shelves import by_file, tensors
from tests.tracer.starter.test_new import SPELLINGS, hidden, started
from tests.tracer.starter.written import Ledger
from tracer.starter import Starter

SPELLING = (*SPELLINGS["as Meta spells"], ("A_log", "a_log"))
WRONG = [
    ("llama", '["gate"]', '["up"]'), ("llama", '["k"]', '["v"]'), ("llama", "attention_norm", "ffn_norm"),
    ("mixtral", '["k"]', '["v"]'), ("bloom", '"head.part, hidden"', '"part, hidden"'),
    ("deepseek v2", '["gate"]', '["up"]'), ("gpt-oss", '["k"]', '["v"]'),
    ("falcon", '"kv.part, hidden"', '"part, hidden"'), ("mamba", 'op = "neg_exp"', ""), ("jamba", '["gate"]', '["up"]'),
]  # fmt: skip


def exchanged(text: str, one: str, other: str) -> str:
    """The rows of a file with one in the place of the other, and the reverse where it is there."""
    aside = "\0"
    return text.replace(one, aside).replace(other, one).replace(aside, other) if other else text.replace(one, "")


@pytest.fixture(params=WRONG, ids=lambda case: f"{case[0]}: {case[1]}")
def wrong(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Starter, str]:
    """A model, the file for it under other names, and that file with a mistake that no proof can see."""
    key, one, other = request.param
    found = started(tmp_path / "m", key, SPELLING, hidden(key))
    text = exchanged(found.text, one, other)
    assert text != found.text
    made = by_file(text, hidden(key), tensors(key, SPELLING), 1)
    assert all(claim.owner is not None for claim in made.claims)
    return key, found, text


def test_a_mistake_in_a_file_is_another_model(wrong: tuple[str, Starter, str]) -> None:
    key, found, text = wrong
    stored = other_names(sound(key).stored, SPELLING)
    computes_as(sound(key), found.text, hidden(key), stored)
    computes_in_parts_as(sound(key), found.text, hidden(key), stored)
    for compare in (computes_as, computes_in_parts_as):
        with pytest.raises(AssertionError):
            compare(sound(key), text, hidden(key), stored)


def test_a_file_without_a_forward_pass_is_told_of_until_it_is_answered_for(tmp_path: Path) -> None:
    """With numbers, and with rows for all of it, there is nothing to say in its place."""
    found = started(tmp_path / "m", "llama", (), hidden("llama"))
    own = Ledger()
    own.open_for("a test", "why there is none")
    own.written(found)
    assert own.open() == [found.text]
    with pytest.raises(AssertionError):
        own.uncomputed(found)
    own.computed(found.text.replace("HiddenModel", "LlamaForCausalLM"))
    assert own.open() == []
    own.open_for("a test", None)
    own.written(found)
    with pytest.raises(AssertionError, match="does not say why"):
        own.uncomputed(found, numberless=True)
    computes_as(sound("llama"), found.text, hidden("llama"), sound("llama").stored)
