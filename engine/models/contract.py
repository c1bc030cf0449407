"""What the engine may call on a model: the narrow waist between modules and everything that runs them.

    model = Model(config, tp, prefix)              one rank's parameters, allocated and not filled
    hidden = model(ids, positions, attention)      one pass over the tokens of any number of sequences
    logits = model.compute_logits(hidden)          or model.pooler(hidden, starts)

Nothing else is ever called. Tokens of all sequences lie in one row without padding; which token belongs to which
sequence, and where its earlier keys and values are, only `attention` knows.
"""

from __future__ import annotations

from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Mapping
from inspect import signature
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.attention.backend import Attention
from engine.models.registry import Kind
from engine.parallel import TensorParallel
from mappings.sizes import Config


class Model(nn.Module, ABC):
    """One rank of a model. Its parameters are named as in the plan, and shaped as `tp` cuts them."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Config fields that config.json may omit, with the defaults of the Transformers config class."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        """`prefix` is where a larger model keeps this one; parameters are allocated and not filled.

        May raise ValueError, LookupError or ConfigError for a config that it cannot compute.
        """
        super().__init__()
        self.prefix = prefix

    @abstractmethod
    def embed_input_ids(self, ids: Tensor) -> Tensor:
        """Ids (tokens,) int64 -> (tokens, hidden), the same on every rank."""

    @abstractmethod
    def forward(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Ids and their places in their sequences, (tokens,) int64 -> (tokens, hidden) after the final norm.

        The same on every rank. Every layer calls `attention` once, in order, with its `Heads`.
        """


class CausalLM(Model):
    """A model that generates text."""

    @abstractmethod
    def compute_logits(self, hidden: Tensor) -> Tensor:
        """Some rows of what `forward` gave, (rows, hidden) -> (rows, vocab): the whole vocabulary on every rank."""


class PoolingModel(Model):
    """A model that gives one vector a sequence: an embedding, or the scores of classes."""

    @abstractmethod
    def pooler(self, hidden: Tensor, starts: Tensor) -> Tensor:
        """(tokens, hidden), whole sequences -> (sequences, width), the same on every rank.

        `starts` (sequences + 1,) int32: where each sequence's tokens start, and where the last one's end.
        """


CONTRACTS: dict[Kind, ABCMeta] = {"generation": CausalLM, "pooling": PoolingModel}


def missing(cls: object, kind: Kind) -> list[str]:
    """What `cls` lacks to be a model of this kind, empty when nothing: `compute_logits(hidden)`.

    It need not inherit from the classes here. A member that cannot be called with the contract's arguments, in
    order, is missing as well.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        return ["the base class torch.nn.Module"]
    contract = CONTRACTS[kind]
    return [_spelled(contract, name) for name in _members(contract) if not _has(cls, name, contract)]


def _members(contract: ABCMeta) -> list[str]:
    return ["__init__", *sorted(contract.__abstractmethods__)]


def _has(cls: type[nn.Module], name: str, contract: ABCMeta) -> bool:
    own = getattr(cls, name, None)
    if own is None or own is getattr(nn.Module, name, None) or getattr(own, "__isabstractmethod__", False):
        return False
    try:
        signature(own).bind(*signature(getattr(contract, name)).parameters)
    except (TypeError, ValueError):
        return False
    return True


def _spelled(contract: ABCMeta, name: str) -> str:
    _, *arguments = signature(getattr(contract, name)).parameters
    return f"{name}({', '.join(arguments)})"


def with_defaults(config: Config, defaults: Mapping[str, Any]) -> Config:
    """The same fields, and a model's own defaults beside those of its mapping."""
    return Config(config.fields, {**(config.defaults or {}), **defaults})
