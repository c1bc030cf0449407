"""One request on its way: its ids, and how much of them the cache holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.sampling.params import Sampling

Finish = Literal["stop", "length", "abort", "error"]


@dataclass(slots=True, eq=False)
class Sequence:
    """Made by whoever takes requests; after that only the scheduler and its pool change it."""

    number: int
    """Its place in the order of arrival."""
    prompt: tuple[int, ...]
    sampling: Sampling
    salt: int = 0
    """What keys and values depend on besides the ids before them: blocks are shared under the same salt only."""
    told: int = field(init=False)
    """How many ids it began with, or began anew with: their keys were computed as for a sequence of that length."""
    ids: list[int] = field(init=False)
    """The prompt and what was generated, the id that ended it included. Only ever appended to."""
    computed: int = 0
    """How many of `ids`, from the first on, have keys and values in the cache."""
    blocks: list[int] = field(default_factory=list)
    """Its block table: position i is at offset `i % size` of block `blocks[i // size]`. Empty while it waits."""
    finish: Finish | None = None
    """Why it ended: "stop" by an id or a text, "length" by max_tokens, the model's length or the cache's size,
    "error" by logits that no id can be chosen from."""
    keys: list[bytes] = field(default_factory=list)
    """The hashes of its first full blocks, as many as were needed yet; the pool's. They outlive a preemption."""

    def __post_init__(self) -> None:
        self.ids = list(self.prompt)
        self.told = len(self.prompt)

    @property
    def generated(self) -> list[int]:
        """The ids after the prompt."""
        return self.ids[len(self.prompt) :]

    @property
    def length(self) -> int:
        """Of prompt and generated ids together."""
        return len(self.ids)
