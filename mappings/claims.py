"""Who claims a name of a checkpoint: one verdict a tensor, looked up by its blanked name."""

from __future__ import annotations

from collections.abc import Sequence, Set
from operator import contains
from typing import Literal, NamedTuple, TypeAlias

from mappings.bind import Binding, BoundRow
from mappings.names import ANYTHING, MOST_HOLES, Indices, Pattern, blank
from mappings.rows import Skip, Tie

Owner: TypeAlias = BoundRow | Skip | Tie
Candidate: TypeAlias = tuple[Owner, Pattern, tuple[Sequence[int], ...]]
"""Who might claim a name, and at which positions of its holes."""
Disposition: TypeAlias = Literal["loaded", "skipped", "unmapped"]


class Claim(NamedTuple):
    """The verdict on one tensor: who claims it, at which positions of its holes, or why nobody does."""

    owner: Owner | None
    indices: Indices
    reason: str | None = None

    @property
    def disposition(self) -> Disposition:
        if self.owner is None:
            return "unmapped"
        return "loaded" if isinstance(self.owner, BoundRow) else "skipped"


class Claims:
    """Finds the owner of a name: rows, ties and skips by blanked name, under the known prefixes."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self._by_template: dict[str, list[Candidate]] = {}
        self._below: list[tuple[Skip, tuple[str, ...], Pattern]] = []
        for row in binding.rows:
            self._add(row, row.pattern, row.domain)
        for tie in binding.ties:
            self._add(tie, Pattern(f"{tie.name}.weight"), ())
        for skip, pattern in binding.skips:
            self._add_skip(skip, pattern)

    def _add(self, owner: Owner, pattern: Pattern, domain: tuple[Sequence[int], ...]) -> None:
        for prefix in self.binding.arch.prefixes:
            self._by_template.setdefault(prefix + pattern.template, []).append((owner, pattern, domain))

    def _add_skip(self, skip: Skip, pattern: Pattern) -> None:
        if pattern.text.endswith(ANYTHING):
            for prefix in self.binding.arch.prefixes:
                head = (prefix + pattern.template).split(".")[:-1]
                self._below.append((skip, tuple(head), pattern))
        else:
            self._add(skip, pattern, self._domain(pattern))

    def _domain(self, pattern: Pattern) -> tuple[Sequence[int], ...]:
        known = self.binding.domains
        return tuple(known[h] if h in known else range(self.binding.axes.size(h)) for h in pattern.holes)

    def owners(self, template: str) -> list[Candidate]:
        """All candidates for a blanked name."""
        return self._by_template.get(template, []) + self._under(template)

    def _under(self, template: str) -> list[Candidate]:
        segments = tuple(template.split("."))
        return [
            (skip, pattern, self._domain(pattern))
            for skip, head, pattern in self._below
            if len(segments) > len(head) and segments[: len(head)] == head
        ]  # fmt: skip

    def claim(self, names: Sequence[str]) -> list[Claim]:
        """The verdict on each name."""
        known: dict[str, tuple[list[Candidate], list[Ready]]] = {}
        claims = []
        for name in names:
            template, indices = blank(name)
            if "{" in name:
                claims.append(_decide(self._under(template), indices))
                continue
            found = known.get(template)
            if found is None:
                owners = self.owners(template)
                found = known[template] = owners, _ready(owners)
            for owner, inside in found[1]:
                if all(map(contains, inside, indices)):
                    claims.append(Claim(owner, indices[: len(inside)]))
                    break
            else:
                claims.append(_decide(found[0], indices))
        return claims

    def templates(self) -> list[str]:
        """Every blanked name that somebody would claim; used to name the nearest."""
        return list(self._by_template)


class Ready(NamedTuple):
    """A candidate whose holes are all the integers of the template, or the first of them: most are."""

    owner: Owner
    inside: tuple[Set[int], ...]


def _ready(found: Sequence[Candidate]) -> list[Ready]:
    """The same candidates for a quick look; none if any has integers of its own, or the template too many."""
    plain = all(literal is None for _, pattern, _ in found for literal in pattern.literals)
    few = all(len(domain) == len(pattern.literals) <= MOST_HOLES for _, pattern, domain in found)
    return [Ready(owner, tuple(map(frozenset, domain))) for owner, _, domain in found] if plain and few else []


def _decide(found: Sequence[Candidate], indices: Indices) -> Claim:
    outside = None
    for owner, pattern, domain in found:
        own = pattern.positions(indices)
        if own is None:
            continue
        wrong = next((k for k, (i, d) in enumerate(zip(own, domain, strict=False)) if i not in d), None)
        if wrong is None:
            return Claim(owner, own)
        if pattern.text.endswith(ANYTHING):
            continue
        outside = f"{pattern.axes[wrong]} {own[wrong]} is outside {span(domain[wrong])} of {{{pattern.holes[wrong]}}}"
    return Claim(None, indices, outside or "no row claims it")


def span(domain: Sequence[int]) -> str:
    """A domain in words: `0..31`, `none`."""
    return f"{domain[0]}..{domain[-1]}" if len(domain) else "none"
