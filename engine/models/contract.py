"""What the engine may call on a model: the narrow waist between modules and everything that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.attention.backend import Attention
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.parallel import TensorParallel
from mappings.sizes import Config


class CausalLM(nn.Module):
    """A decoder on one rank. Its parameters are named as in the plan, and shaped as `tp` cuts them."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Config fields that config.json may omit, with the defaults of the Transformers config class."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        """`prefix` is where a larger model keeps this one; parameters are allocated and not filled."""
        super().__init__()
        self.prefix = prefix

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        """(tokens,) -> (tokens, hidden)."""
        raise NotImplementedError

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention = WHOLE_SEQUENCE) -> Tensor:
        """Ids and positions (tokens,) -> (tokens, hidden) after the final norm, the same on every rank."""
        raise NotImplementedError

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """(tokens, hidden) -> (tokens, vocab), the whole vocabulary on every rank."""
        raise NotImplementedError


def with_defaults(config: Config, defaults: Mapping[str, Any]) -> Config:
    """The same fields, and a model's own defaults beside those of its mapping."""
    return Config(config.fields, {**(config.defaults or {}), **defaults})
