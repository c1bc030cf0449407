"""The three matrices of a gated feed-forward, as Meta numbers them: `w1` gate, `w2` down, `w3` up.

Source: the published code of Llama and Mixtral. Where only two of them stand side by side they mean something else
(Qwen's first models), and nothing is said here.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.infer.names import Group

_ROLES = {"w1": "gate", "w2": "down", "w3": "up"}


def name_three(groups: Iterable[Group]) -> None:
    """Give the roles to modules of these names that stand side by side, all three."""
    homes: dict[tuple[str, str], dict[str, list[Group]]] = {}
    for group in groups:
        home, _, name = group.module.rpartition(".")
        if name in _ROLES and group.stack:
            homes.setdefault((group.stack, home), {}).setdefault(name, []).append(group)
    for (_, home), own in homes.items():
        if own.keys() == _ROLES.keys():
            before = "shared_" if "shared" in home else "expert_" if "experts" in home else ""
            for name, found in own.items():
                for group in found:
                    group.role = before + _ROLES[name]
