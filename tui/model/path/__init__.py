"""The page about what is looked at: a tensor's path, a parameter's sources, a row's tensors, a file, a finding.

Every hop leads on, and back: a tensor to its row and parameter, a parameter to all its sources, a row to all it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tracer.slices.placement import Placement
from tui.model.line import Kind, Line, Page, Span, Target, Text, line
from tui.model.path.field import of_field
from tui.model.path.file import of_file
from tui.model.path.finding import of_finding
from tui.model.path.group import of_group
from tui.model.path.param import of_param
from tui.model.path.row import of_row
from tui.model.path.scene import Scene
from tui.model.path.tensor import of_tensor
from tui.model.subject import Subject
from tui.model.tree import Node

_BUILDERS: Mapping[Kind, Callable[[Scene, str], Sequence[Line]]] = {
    "tensor": of_tensor, "param": of_param, "row": of_row, "file": of_file, "group": of_group, "field": of_field,
    "finding": of_finding,
}  # fmt: skip


def path(
    subject: Subject, placement: Placement | None, focus: Target | None, rank: int, node: Node | None = None
) -> Page:  # fmt: skip
    """The page about one thing, as it is with this many ranks, one of them in the light."""
    if focus is None or focus.kind not in _BUILDERS:
        return Text(lambda width: [line(Span("nothing is selected: move in the list of names, or press n", "dim"))])
    build, name = _BUILDERS[focus.kind], focus.name
    return Text(lambda width: build(Scene(subject, placement, rank, width, node), name))
