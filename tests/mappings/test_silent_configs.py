"""Fields that config.json leaves out: the rows take for them what Transformers' config class of the model takes."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from mappings.architectures import BUILT_IN
from mappings.rows import Architecture
from mappings.sizes import Sizes, config_of

HUB = [arch for arch in BUILT_IN if arch.dialect is None]
_UNLIKE = {
    "num_attention_heads": 6, "n_head": 6, "hidden_size": 96, "n_embd": 96, "n_embed": 96, "num_hidden_layers": 3,
    "n_layer": 3, "new_decoder_architecture": True, "expand": 2,
}  # fmt: skip
"""Values that no class has for its own, so that what follows from them shows."""


def _class(arch: Architecture) -> Any:
    return getattr(transformers, arch.name).config_class


def _words(text: str) -> list[str]:
    return [word for word in text.split() if word.isidentifier() and word != "ceil"]


def _optional(arch: Architecture) -> list[tuple[str, str]]:
    """Field and axis of each expression whose first alternative is one field that configs of the field leave out."""
    halves = [(axis, text.partition("|")) for axis, text in arch.axes.items()]
    found = [(words[0], axis) for axis, (first, more, _) in halves if more and len(words := _words(first)) == 1]
    return [(field, axis) for field, axis in found if field not in _UNLIKE]


@pytest.mark.parametrize("arch", HUB, ids=lambda arch: arch.name)
def test_a_size_that_config_json_does_not_have_is_the_one_of_the_config_class(arch: Architecture) -> None:
    made = _class(arch)
    for field, axis in _optional(arch):
        known = made()
        if not hasattr(known, field):
            continue  # a field that only some publish, which the class does not read
        said = {key: value for key, value in _UNLIKE.items() if hasattr(known, key)}
        theirs = getattr(made(**said), field)
        if theirs is None:
            continue  # then the model's code works it out from others, as the expression does
        assert Sizes(arch, config_of(arch, said))[axis] == theirs, field


@pytest.mark.parametrize("arch", HUB, ids=lambda arch: arch.name)
def test_a_flag_that_config_json_does_not_have_is_the_one_of_the_config_class(arch: Architecture) -> None:
    known = _class(arch)()
    read = config_of(arch, {})
    flags = [name for name in arch.flags if getattr(known, name, None) is not None]
    said = {name: read.get(name) for name in flags if not str(arch.flags[name]).startswith("@num")}
    assert said == {name: getattr(known, name) for name in said}
