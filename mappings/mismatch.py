"""Whether names can be those of an architecture at all, judged without the sizes that config.json fails to give."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mappings.findings import Finding
from mappings.names import Pattern, blank, collapse
from mappings.rows import Architecture, Row, Skip, Tie

_LEAVES = ("weight", "bias")
_SHOWN = 3


def mismatch(arch: Architecture, names: Collection[str]) -> Finding | None:
    """`arch.mismatch` where tensors that this architecture always has are absent, and others are there instead."""
    held: dict[str, str] = {}
    for name in names:
        held.setdefault(blank(name)[0], name)
    needed = [row for row in arch.rows if row.slot.param.when is None and not _tied(arch, row)]
    absent = [row.name for row in needed if not any(t in held for t in _templates(arch, row.name, row))]
    if not absent:
        return None
    known = {template for entry in arch.entries for template in _of_entry(arch, entry)}
    strange = [name for template, name in held.items() if template not in known]
    if not strange:
        return None
    shown = [template for template, _ in collapse(strange[:_SHOWN])]
    return Finding(
        "arch.mismatch", "error", arch.name,
        f"config.json says {arch.name}, but the tensors are another architecture's: none is"
        f" {_some(absent, len(absent))}, and no row claims {_some(shown, len(strange))}",
        {"absent": absent, "strange": strange}, "correct `architectures` in config.json",
    )  # fmt: skip


def _tied(arch: Architecture, row: Row) -> bool:
    return any(isinstance(entry, Tie) and entry.name == row.name for entry in arch.entries)


def _of_entry(arch: Architecture, entry: object) -> Iterable[str]:
    if isinstance(entry, Row | Tie):
        yield from _templates(arch, entry.name, entry)
    elif isinstance(entry, Skip):
        yield from (prefix + Pattern(entry.name).template for prefix in arch.prefixes)


def _templates(arch: Architecture, name: str, entry: Row | Tie) -> list[str]:
    """Every blanked name that an entry may claim, whatever the config says of biases."""
    leaves = [entry.leaf_name(leaf) for leaf in _LEAVES] if isinstance(entry, Row) else [f"{name}.weight"]
    return [prefix + Pattern(leaf).template for prefix in arch.prefixes for leaf in leaves]


def _some(names: list[str], count: int) -> str:
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
