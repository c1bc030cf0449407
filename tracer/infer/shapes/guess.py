"""What shapes alone say of a checkpoint: families in order of likelihood, and which tensor is probably what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Assignment:
    """What the tensors of one shape probably are."""

    shape: Shape
    count: int
    roles: tuple[str, ...]
    """In the words of the family; empty where nothing in the family has this shape."""
    told: str
    """The same, as a person would say it: `gate or up`, `embedding and head`."""
    unexplained: int = 0
    """How many of them the family has no place for."""

    def line(self) -> str:
        more = f" ({self.unexplained} of them unexplained)" if self.roles and self.unexplained else ""
        return f"{self.shape} x{self.count}: {self.told or 'unexplained'}{more}"


@dataclass(frozen=True)
class Match:
    """A published model of the same numbers."""

    name: str
    architecture: str
    source: str
    differs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Width -> (here, published); empty where all are equal."""

    @property
    def exact(self) -> bool:
        return not self.differs

    def line(self) -> str:
        if self.exact:
            return f"the geometry of {self.name} ({self.source})"
        told = ", ".join(f"{width} {here} instead of {there}" for width, (here, there) in self.differs.items())
        return f"the geometry of {self.name} but for {told} ({self.source})"


@dataclass(frozen=True)
class Candidate:
    """One family that the shapes may be."""

    family: str
    architectures: tuple[str, ...]
    """Those that shapes cannot tell apart, the likeliest first."""
    score: float
    """From 0 to 1; 1 where every shape is explained and none is missing."""
    widths: Mapping[str, int]
    """What the shapes show: hidden, q (heads x head_dim), kv, ffn, vocab, layer ..."""
    evidence: tuple[str, ...]
    assignments: tuple[Assignment, ...]
    published: tuple[Match, ...] = ()
    stored: str = "(out, in)"
    """Which way round the matrices are."""

    @property
    def fields(self) -> dict[str, int]:
        """The fields of a config.json that widths decide, in the spelling of Llama and its kind."""
        found = {name: self.widths[width] for width, name in _SPELLED.items() if width in self.widths}
        dim = self.widths.get("dim")
        for width, name in (("q", "num_attention_heads"), ("kv", "num_key_value_heads")):
            if dim and self.widths.get(width, 1) % dim == 0:
                found[name] = self.widths[width] // dim
        return found


_SPELLED = {
    "hidden": "hidden_size", "layer": "num_hidden_layers", "ffn": "intermediate_size", "vocab": "vocab_size",
    "dim": "head_dim", "expert": "num_experts", "moe_ffn": "moe_intermediate_size",
    "shared": "shared_expert_intermediate_size", "q_rank": "q_lora_rank", "kv_rank": "kv_lora_rank",
    "state": "state_size", "conv": "conv_kernel", "position": "max_position_embeddings",
}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """Families in order; empty where no signature comes near."""

    candidates: tuple[Candidate, ...]
    tensors: int
    set_aside: tuple[str, ...] = ()
    """What was not looked at as a weight, and why."""

    @property
    def best(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    def lines(self) -> Iterator[str]:
        """The guess as it is printed."""
        aside = f" (set aside: {', '.join(self.set_aside)})" if self.set_aside else ""
        if self.best is None:
            yield f"shapes alone: {self.tensors} tensors{aside}, like no family that is known"
            return
        best = self.best
        sure = "every shape explained" if best.score == 1 else f"{best.score:.0%} explained"
        yield f"shapes alone: {self.tensors} tensors{aside}, {best.family} ({sure}): {_either(best.architectures)}"
        yield from (f"  {line}" for line in best.evidence)
        yield from (f"  {match.line()}" for match in best.published)
        yield from (f"  {assignment.line()}" for assignment in best.assignments)
        others = [f"{c.family} ({c.score:.0%})" for c in self.candidates[1:4]]
        if others:
            yield f"  less likely: {', '.join(others)}"


def _either(architectures: tuple[str, ...]) -> str:
    if len(architectures) == 1:
        return architectures[0]
    return f"{architectures[0]}, or what shapes cannot tell from it: {', '.join(architectures[1:4])}"
