"""What a picture asks of a load, planned or observed: one tensor or one parameter at a time, on all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple, Protocol

from mappings.axes import spell
from mappings.bind import Binding, BoundRow
from mappings.claims import Claim
from mappings.names import is_index
from mappings.rows import Skip, Tie
from mappings.views import Ranges, Shape
from tracer.events import Move, Padding


class Verdict(NamedTuple):
    """Who claims a tensor, or why nobody does."""

    kind: Literal["row", "skip", "tie", "unmapped"]
    id: str | None = None
    """The table's entry, as traces spell it: `LlamaForCausalLM:model.layers.{layer}.self_attn.q_proj.weight`."""
    source: str | None = None
    """File and line of the entry: `llama.py:41`."""
    pattern: str | None = None
    layout: str | None = None
    """On disk, as the row tells it: `head.dim, hidden`."""
    op: str | None = None
    """The transform of values, where there is one."""
    reason: str | None = None
    """Why it is not loaded."""
    to: str | None = None
    """The parameter whose storage stands for a tie."""


class Filled(NamedTuple):
    """One expert of a stacked parameter."""

    tensors: tuple[str, ...]
    """In file order."""
    elements: tuple[int, ...]
    """What they place on each rank, in the order of the ranks."""


def verdict_of(binding: Binding, claim: Claim) -> Verdict:
    """A claim with its place in the table."""
    arch = binding.arch.id
    match claim.owner:
        case None:
            return Verdict("unmapped", reason=claim.reason)
        case Skip() as skip:
            return Verdict("skip", f"{arch}:{skip.name}", skip.source, skip.name, reason=skip.why)
        case Tie() as tie:
            to = tie.to.leaf_name("weight")
            return Verdict("tie", f"{arch}:{tie.name}", tie.source, tie.name, reason=f"tied to {to}", to=to)
        case row:
            return verdict_of_row(row)


def verdict_of_row(row: BoundRow) -> Verdict:
    return Verdict("row", row.id, row.row.source, row.pattern.text, spell(row.told), row.op)


def shard_of_expert(shard: str | int | None) -> tuple[int | None, str]:
    """The expert's number and the part in a shard's name: `"3.gate"` -> `(3, "gate")`, `"q"` -> `(None, "q")`."""
    if shard is None or isinstance(shard, int):
        return shard, ""
    head, dot, part = shard.partition(".")
    return (int(head), part) if dot and is_index(head) else (None, shard)


def volume(ranges: Ranges) -> int:
    """How many elements a box has."""
    return prod([len(range(*r)) for r in ranges])


class Placement(Protocol):
    """Where tensors go."""

    @property
    def tp(self) -> int: ...

    @property
    def ranks(self) -> Sequence[int]:
        """The ranks that it knows of."""
        ...

    @property
    def planned(self) -> Placement | None:
        """What should have happened, where this is what did; None for a plan itself, and where no rows apply."""
        ...

    @property
    def cut_short(self) -> bool:
        """Whether it was recorded and lacks its end, so that more may have happened."""
        ...

    def refusal(self, tp: int | None = None) -> str | None:
        """Why so many ranks (its own number unless another is given) cannot divide the model; None where they can.
        Where it is refused there are no moves.
        """  # fmt: skip
        ...

    def moves(self, tensor: str) -> list[Move]:
        """Where a tensor goes on every rank; empty where it is not loaded."""
        ...

    def into(self, param: str, expert: int | None = None) -> list[Move]:
        """Everything that goes into a parameter, or into one of its experts."""
        ...

    def lost(self, param: str, expert: int | None = None) -> list[Move]:
        """What should have gone in by the plan and did not, on the ranks that are known."""
        ...

    def absent(self, param: str) -> list[str]:
        """The tensors that should lead into a parameter and are not there."""
        ...

    def without_source(self, param: str, expert: int | None = None) -> list[Move]:
        """What they would place, in all of it or in one of its experts."""
        ...

    def filled(self, param: str) -> list[Filled]:
        """What goes into each of its experts; empty where it has none."""
        ...

    def feeding(self, param: str) -> list[str]:
        """The tensors that lead into a parameter, in file order."""
        ...

    def pads(self, param: str) -> list[Padding]:
        """What no tensor fills, by rule."""
        ...

    def shape(self, param: str, rank: int) -> Shape | None:
        """What a rank allocates; None for a name that is no parameter."""
        ...

    def whole_shape(self, param: str) -> Shape | None:
        """The shape before cutting, padding not counted; None where nothing says."""
        ...

    def tensor_shape(self, tensor: str) -> Shape | None:
        """As the header has it."""
        ...

    def claim(self, tensor: str) -> Verdict:
        """Which row claims a tensor, or why it is not loaded."""
        ...

    def tied(self, param: str) -> str | None:
        """The parameter whose storage this one is, where it is tied."""
        ...

    def aliases(self, param: str) -> list[str]:
        """The parameters that are tied to this one."""
        ...

    def experts(self, param: str) -> int:
        """How many routed experts lie in it, along its first dimension; 0 where it has none."""
        ...
