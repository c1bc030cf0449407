"""Prompts that cannot be served, told before anything is loaded: headers, config.json and the tokenizer say enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mappings.sizes import ConfigError

if TYPE_CHECKING:
    from engine.sampling.params import Sampling
    from mappings.bind import Binding
    from tracer.prepare import Prepared


def refuse_prompts(prepared: Prepared, prompts: Sequence[str | list[int]], sampling: Sampling) -> str:
    """Raises the engine's Refused. Where ids go on without a tokenizer that is here, why: empty elsewhere.

    What only the engine knows is left to it: whether a prompt fits its cache.
    """
    from engine.serving.refusal import check_prompt, ids_of, numbered
    from engine.text import Tokenizer
    from engine.text.tokenizer import FILE

    binding = prepared.plan.binding
    tokenizer, why_none = Tokenizer.if_sound(prepared.folder)
    vocabulary, most = binding.axes.size("vocab"), _longest(binding)
    for place, prompt in enumerate(prompts):
        with numbered(place, len(prompts)):
            check_prompt(ids_of(prompt, tokenizer, why_none), sampling, vocabulary, most, tokenizer is not None)
    return why_none if (prepared.folder / FILE).is_file() else ""


def _longest(binding: Binding) -> int:
    from engine.serving.length import ENDLESS, longest

    try:
        return longest(binding)
    except ConfigError:  # who computes with it says what is wrong, if anybody does
        return ENDLESS
