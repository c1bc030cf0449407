"""All pages by their names, and with them all that they import: what is seen at first does without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tui.model.comparing import Comparing, compared
from tui.model.config.page import config
from tui.model.findings.page import findings
from tui.model.graph import graph
from tui.model.numbers.page import values
from tui.model.overview.page import overview
from tui.model.path import path

if TYPE_CHECKING:
    from tui.model.browsing import Browsing
    from tui.model.line import Page
    from tui.model.subject import Subject
    from tui.model.tree import Node


def _fold(state: Browsing) -> Node | None:
    """What stands in the tree for the group that is looked at."""
    return state.tree.find(state.focus.name) if state.focus and state.focus.kind == "group" else None


BUILDERS: Mapping[str, Callable[[Browsing, Subject], Page]] = {
    "overview": lambda state, subject: overview(subject, state.inference),
    "path": lambda state, subject: path(subject, state.placement, state.focus, state.rank, _fold(state)),
    "findings": lambda state, subject: findings(subject, state.opened, state.read),
    "config": lambda state, subject: config(subject, state.inference),
    "values": lambda state, subject: values(state.values.of(state.looked_at), state.colours),
    "graph": lambda state, subject: graph(subject, state.placement, state.focus, state.rank),
    "compare": lambda state, subject: compared(state.comparing or Comparing(), subject),
}
