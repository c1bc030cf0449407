"""Whatever names a header has, what is written parses, and says of each tensor what becomes of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.architectures import BUILT_IN
from mappings.names import spans
from mappings.userfile import MappingFileError, parse_mapping
from tests.tracer.starter.computing import sound, taken_apart
from tests.tracer.starter.shelves import config_of, shapes_of, tensors
from tracer.checkpoint.dtypes import nbytes
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.starter.compose import composed
from tracer.starter.draft import Draft
from tracer.starter.kinds import new_domains
from tracer.starter.material import Material
from tracer.starter.spelling import text_of
from tracer.starter.trial import tried

SEGMENT = st.one_of(
    st.sampled_from(["layers", "experts", "mlp", "0", "1", "17", "weight", "bias", "{layer}", "**", "", "07"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4),
)
NAME = st.lists(SEGMENT, min_size=1, max_size=6).map(".".join)
SHAPE = st.lists(st.integers(0, 70), max_size=3).map(tuple)


def info(name: str, shape: tuple[int, ...]) -> TensorInfo:
    size = 1
    for extent in shape:
        size *= extent
    return TensorInfo(name, "F32", shape, None, None, nbytes("F32", size))


@given(st.dictionaries(NAME, SHAPE, min_size=1, max_size=6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_strange_names_beside_a_llama_give_a_file_that_parses_and_counts(
    more: dict[str, tuple[int, ...]], known: bool
) -> None:  # fmt: skip
    """And the Llama in it computes as ever, whatever is loaded beside it; no element of which stays empty."""
    shapes = {**more, **shapes_of(tensors("llama"))}
    found = [info(name, shape) for name, shape in shapes.items()]
    config = {**config_of("llama"), "architectures": ["LlamaForCausalLM" if known else "Strange"]}
    draft = composed(Material(list(shapes), found, config))
    trial = tried(text_of(draft), config, found, 1, "F32")
    assert trial.plan is not None, trial.errors
    assert trial.claimed >= len(tensors("llama")) - 2, "what was known stays known, but for what shares its name"
    stored = {**{name: torch.zeros(shape) for name, shape in more.items()}, **sound("llama").stored}
    loaded, beside = taken_apart(text_of(draft), config, stored, sound("llama"), tp=1)
    assert not trial.loads or not any(param.isnan().any() for param in beside.values())
    lost = sound("llama").stored.keys() - loaded.keys()
    assert len(lost) <= 2
    assert lost or sound("llama").computed(loaded).equal(sound("llama").logits)


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_texts_survive_the_spelling(why: str, text: str) -> None:
    draft = Draft("A", why=why, flags={text: text}, todo=[(why, why)])
    assert tomllib.loads(text_of(draft)) == {"architecture": "A", "flags": {text: text}}


@given(st.sets(st.integers(0, 60), min_size=1))
def test_positions_survive_the_spelling(found: set[int]) -> None:
    (text,) = new_domains(set(), {"layer:some": sorted(found)}).values()
    assert spans(text, 100) == sorted(found)


@pytest.mark.parametrize("text", ["", "a", "3..1", "0..999999999", "-1", "1,,2", "01"])
def test_a_domain_that_is_no_positions_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        spans(text, 100_000)
    with pytest.raises(MappingFileError, match="the file: domains is"):
        parse_mapping(f'architecture = "A"\n[domains]\n"layer:x" = "{text}"', BUILT_IN)


@pytest.mark.parametrize("name", ["layer", "layer:", "layer:a b", "depth:x", ":x"])
def test_a_domain_is_of_an_axis_and_has_a_word(name: str) -> None:
    with pytest.raises(MappingFileError, match=r"^\[domains\]"):
        parse_mapping(f'architecture = "A"\n[domains]\n"{name}" = "0"', BUILT_IN)


def test_an_embedding_to_which_the_head_is_tied_is_removed_where_another_row_feeds_it(tmp_path: Path) -> None:
    remove = 'architecture = "LlamaForCausalLM"\n[[remove]]\nname = "model.embed_tokens"\n'
    with pytest.raises(MappingFileError, match="may be tied"):
        parse_mapping(remove, BUILT_IN)
    arch = parse_mapping(f'{remove}[[row]]\nname = "wte"\nparam = "model.embed_tokens"\n', BUILT_IN)
    assert [row.name for row in arch.rows if row.slot.param.name == "model.embed_tokens"] == ["wte"]
