"""One edit of names: a run of dot-segments becomes another one, at the start or inside. No regular expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Where: TypeAlias = Literal["start", "first", "every", "all"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces runs of whole dot-segments; an empty `new` takes away, an empty `old` (at the start) puts before."""

    where: Where
    """At the start of the name only; where it first occurs; wherever it does; or all pairs, each once."""
    pairs: tuple[tuple[str, str], ...]
    """What becomes of what; of several pairs the first that is met is used (`gamma`, `beta`), unless `where` is all."""

    def apply(self, name: str) -> str | None:
        """The name as it becomes; None where the edit does not touch it.

        >>> Edit("start", (("language_model.model", "model"),)).apply("language_model.model.norm.weight")
        'model.norm.weight'
        >>> Edit("first", (("gamma", "weight"), ("beta", "bias"))).apply("encoder.LayerNorm.beta")
        'encoder.LayerNorm.bias'
        """
        if self.where == "all":
            return self._all(name)
        for old, new in self.pairs:
            found = self._at_start(name, old, new) if self.where == "start" else self._inside(name, old, new)
            if found is not None:
                return found
        return None

    def _at_start(self, name: str, old: str, new: str) -> str | None:
        if not old:
            return f"{new}.{name}"
        if not name.startswith(f"{old}."):
            return None
        rest = name[len(old) + 1 :]
        return f"{new}.{rest}" if new else rest

    def _all(self, name: str) -> str | None:
        found = name
        for old, new in self.pairs:
            found = self._inside(found, old, new) or found
        return None if found == name else found

    def _inside(self, name: str, old: str, new: str) -> str | None:
        dotted = f".{name}."
        if f".{old}." not in dotted:
            return None
        times = -1 if self.where == "every" else 1
        # Neighbours share a dot, and a replacement that is empty leaves one.
        replaced = dotted.replace(f".{old}.", f".{new}." if new else ".", times)
        while self.where == "every" and f".{old}." in replaced and old not in new.split("."):
            replaced = replaced.replace(f".{old}.", f".{new}." if new else ".")
        return replaced.strip(".")

    @property
    def takes_away(self) -> bool:
        """Whether names only become shorter by it."""
        return all(old and not new for old, new in self.pairs)

    @property
    def cost(self) -> int:
        """How much has to be said to say it: among equals the plainer one is meant."""
        plain = 0 if self.where == "start" else 1
        return plain + sum(2 * (old.count(".") + 1 if old else 0) + 3 * (new.count(".") + 1 if new else 0)
                           for old, new in self.pairs)  # fmt: skip

    def __str__(self) -> str:
        return " and ".join(self._told(old, new) for old, new in self.pairs)

    def _told(self, old: str, new: str) -> str:
        if not old:
            return f"put `{new}.` before"
        if new:
            return f"replace `{old}` by `{new}`"
        return f"strip `{old}.`" if self.where == "start" else f"take out `{old}.`"
