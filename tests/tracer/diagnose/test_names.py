"""Names under any wrapper come back: the edit that is found undoes the one that was made, name by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tracer.diagnose.diagnosis import Diagnosis
from tracer.repair.changes import Rename

EDITS: dict[str, Callable[[str], str]] = {
    "a tower around it": lambda name: f"language_model.{name}",
    "a trainer's wrapper": lambda name: f"module.{name}",
    "one wrapper in the other": lambda name: f"module._orig_mod.{name}",
    "a wrapper inside": lambda name: name.replace(".mlp.", "._checkpoint_wrapped_module.mlp."),
    "the first component twice": lambda name: f"{name.partition('.')[0]}.{name}",
    "saved without its head": lambda name: name.removeprefix("model.").removeprefix("backbone."),
    "re-nested": lambda name: name.replace("model.", "model.language_model.", 1),
    "peft": lambda name: f"base_model.model.{name}",
    "as TensorFlow spells norms": lambda name: name.replace("norm.weight", "norm.gamma").replace(
        "norm.bias", "norm.beta"
    ),
}


def names_of(name: str) -> set[str]:
    return {each.name for each in synthesise(choose(CONFIGS[name].config, None, 1, "BF16").binding)}


def mended(found: Diagnosis) -> set[str]:
    """The names with the changes of all causes, in their order."""
    assert found.original is not None
    names = list(found.original.names)
    for stage in found.stages:
        for change in stage:
            if isinstance(change, Rename):
                names = [change.names.get(name, name) for name in names]
    return set(names)


CHANGED = [
    (edit, family) for edit, changed in EDITS.items() for family in ("llama", "gpt2", "mamba2", "deepseek v3")
    if any(changed(name) != name for name in names_of(family))
]  # fmt: skip
"""Where an edit changes anything; GPT-2 and Mamba-2 have no modules of some names."""


def test_every_edit_changes_two_families_at_least() -> None:
    assert all(sum(each == edit for each, _ in CHANGED) >= 2 for edit in EDITS)
    assert len(CHANGED) == 31


@pytest.mark.parametrize(("edit", "family"), CHANGED)
def test_one_edit_is_found_and_undone(edit: str, family: str, tmp_path: Path) -> None:
    names = names_of(family)
    touched = [name for name in names if EDITS[edit](name) != name]
    found = diagnosed(write(tmp_path, CONFIGS[family].config, EDITS[edit]))
    (cause,) = found.causes
    assert (cause.finding.code, cause.finding.severity) == ("name.rewrite", "error"), cause.finding.message
    assert f"{len(touched)} of {len(touched)} map, 0 collisions" in cause.finding.message
    assert mended(found) == names
    assert found.mended is not None
    assert found.mended.burden[0] == 0


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["text", "inner", "net", "wrapped", "core", "lm"]), min_size=1, max_size=3))
def test_any_prefix_is_found_and_undone(words: list[str]) -> None:
    prefix = ".".join(words)
    with TemporaryDirectory() as folder:
        found = diagnosed(write(Path(folder), CONFIGS["llama"].config, lambda name: f"{prefix}.{name}"))
    assert [code for code, _ in codes(found)] == ["name.rewrite"]
    assert mended(found) == names_of("llama")


META = [
    ("model.embed_tokens", "tok_embeddings"), ("model.layers", "layers"), ("self_attn.q_proj", "attention.wq"),
    ("self_attn.k_proj", "attention.wk"), ("self_attn.v_proj", "attention.wv"), ("self_attn.o_proj", "attention.wo"),
    ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2"),
    ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"), ("model.norm", "norm"),
    ("lm_head", "output"),
]  # fmt: skip


def as_meta(name: str) -> str:
    for ours, theirs in META:
        name = name.replace(ours, theirs)
    return name


def test_a_whole_dialect_is_found_and_the_order_of_rows_with_it(tmp_path: Path) -> None:
    config = {**CONFIGS["llama"].config, "head_dim": 4}
    found = diagnosed(write(tmp_path, config, as_meta))
    (cause,) = found.causes
    assert cause.finding.code == "name.rewrite"
    assert mended(found) == names_of("llama")
    orders = {change.names[0]: change.heads for change in cause.changes if not isinstance(change, Rename)}  # type: ignore[union-attr]
    assert orders == {"layers.0.attention.wq.weight": 16, "layers.0.attention.wk.weight": 2}


def test_a_wrapper_and_a_wrong_field_are_two_causes_one_behind_the_other(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config, EDITS["a tower around it"], num_key_value_heads=4)
    found = diagnosed(folder)
    assert [code for code, _ in codes(found)] == ["name.rewrite", "config.conflict"]
    assert all(cause.explains for cause in found.causes)
    assert {each.code for each in found.causes[0].explains} == {"tensor.unmapped", "param.unfilled"}
    assert {each.code for each in found.causes[1].explains} == {"shape.mismatch"}


def test_a_tower_that_the_class_does_not_have_stays_behind(tmp_path: Path) -> None:
    """Of a model that sees, opened as one that does not: the text maps, and what sees is said to be nobody's."""
    config = {**CONFIGS["llama"].config, "tie_word_embeddings": True}

    def wrapped(name: str) -> str:
        return "vision_tower.patch.weight" if name == "model.norm.weight" else f"language_model.{name}"

    folder = write(tmp_path, config, wrapped)
    found = diagnosed(folder)
    assert found.causes[0].finding.code == "name.rewrite"
    assert any(cause.finding.code in ("tensor.unmapped", "param.unfilled") for cause in found.causes[1:])


STRANGE: dict[str, Any] = {"architectures": ["StrangeForCausalLM"], "model_type": "strange"}


@pytest.mark.parametrize(("prefix", "said"), [
    ("text.", "RuntimeError: weight model.layers.0.mlp.gate_proj.weight does not exist"),
    ("model.", "KeyError: 'model.model.embed_tokens.weight'"), ("module._orig_mod.", ""),
])  # fmt: skip
def test_without_rows_the_words_say_what_the_names_should_be(prefix: str, said: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "wrapped", CONFIGS["llama"].config, lambda name: prefix + name, **STRANGE)
    found = diagnosed(folder, said)
    assert found.causes[0].finding.code == "name.rewrite"
    assert mended(found) == names_of("llama")
    sound = write(tmp_path / "sound", CONFIGS["llama"].config, **STRANGE)
    assert "name.rewrite" not in [code for code, _ in codes(diagnosed(sound, said))]


@pytest.mark.parametrize("family", ["llama", "gpt2", "deepseek v3"])
def test_layers_that_are_counted_from_1_are_counted_from_0(family: str, tmp_path: Path) -> None:
    def later(name: str) -> str:
        return ".".join(str(int(part) + 1) if at < 3 and part.isdigit() else part
                        for at, part in enumerate(name.split(".")))  # fmt: skip

    found = diagnosed(write(tmp_path, CONFIGS[family].config, later))
    (cause,) = found.causes
    assert cause.finding.code == "name.rewrite"
    assert "number the layers" in cause.finding.message
    assert mended(found) == names_of(family)


def test_a_first_layer_that_is_lost_is_no_other_count(tmp_path: Path) -> None:
    folder = write(tmp_path, {**CONFIGS["llama"].config, "num_hidden_layers": 4},
                   lambda name: None if ".layers.0." in name else name)  # fmt: skip
    assert [code for code, _ in codes(diagnosed(folder))] == ["layers.missing"]
