"""What a trace has nothing of: that this is so, and what the plan has in its place."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.slices.picture import picture
from tracer.slices.placement import Placement
from tui.model.line import GLYPHS, Line, Role
from tui.model.path.scene import HOP, Scene
from tui.model.slicemap.drawing import map_lines


def feeding(placement: Placement, param: str) -> tuple[list[str], bool]:
    """The tensors that lead into a parameter, and whether they are only planned to."""
    own = placement.feeding(param)
    return (own, False) if own or placement.planned is None else (placement.planned.feeding(param), True)


def unobserved(scene: Scene, placement: Placement) -> Iterator[Line]:
    """Said above what is planned."""
    role: Role = "unsure" if placement.cut_short else "bad"
    why = ", and the trace was cut short" if placement.cut_short else ""
    yield from scene.told(f"{GLYPHS[role]} nothing was observed of it{why}; planned:", role, HOP)


def drawn(scene: Scene, placement: Placement, param: str, expert: int = 0) -> Iterator[Line]:
    """The picture of a parameter; of one that has no record, the planned one."""
    shown, planned = picture(placement, param, expert), placement.planned
    recorded = any(placement.shape(param, rank) is not None for rank in placement.ranks)
    if not recorded and planned is not None and planned.whole_shape(param) is not None:
        yield from scene.told(f"{GLYPHS['unsure']} {shown.refused}; planned:", "unsure")
        shown = picture(planned, param, expert)
    yield from map_lines(shown, scene.rank, scene.width)
