"""The neighbourhood of one thing: what leads to it, and where it leads, two steps each way.

The nodes are those of `tracer.graph`: file, tensor, row, parameter, slice. Enter makes another one the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tracer.report import words
from tracer.report.paths import Hop
from tracer.slices.placement import Placement
from tui.model.columns import cut_start, fitted, wide
from tui.model.lazy import Lazy
from tui.model.line import Kind, Line, Page, Role, Span, Target, Text
from tui.model.path.scene import Scene
from tui.model.path.unseen import feeding
from tui.model.subject import Subject
from tui.model.wrapped import paragraph

MOST = 12
"""Neighbours of a kind that are drawn; more are counted."""
_CENTRES: tuple[Kind, ...] = ("file", "tensor", "row", "param")
_WORDS: dict[Kind, str] = {"file": "file", "tensor": "tensor", "row": "row", "param": "param", "rank": "slice"}


@dataclass(frozen=True)
class Edge:
    """A neighbour, and what is known of the way there, which is only asked of those in sight."""

    to: Target
    tell: Callable[[], str] = str


def graph(subject: Subject, placement: Placement | None, focus: Target | None, rank: int) -> Page:
    """The neighbourhood of what is looked at."""
    if focus is None or focus.kind not in _CENTRES:
        told = "choose a tensor, a parameter, a row or a file to see what it is between"
        return Text(lambda width: list(paragraph(told, width, role="dim")))
    return Text(lambda width: list(_drawn(Scene(subject, placement, rank, width), focus)))


def _drawn(scene: Scene, focus: Target) -> Iterator[Line]:
    into, out = sources(scene, focus), targets(scene, focus)
    yield from _side(scene, into)
    if into:
        yield fitted((Span("  ▼", "dim"),), scene.width)
    centre = Span("◉ ", "held"), Span(f"{_WORDS[focus.kind]:<8}", "heading"), Span(focus.name, "strong")
    yield fitted(centre, scene.width)
    yield from _fan(scene, out, "  ")
    if not into and not out:
        yield from scene.told("nothing leads to it and it leads nowhere: no row claims it", "unsure", 2)


def _side(scene: Scene, edges: Sequence[Edge]) -> Iterator[Line]:
    for edge in edges[:MOST]:
        yield _edge(scene, "  ├─ ", edge)
    if len(edges) > MOST:
        yield fitted((Span(f"  ├─ … {len(edges) - MOST:,} more", "dim"),), scene.width)


def _fan(scene: Scene, edges: Sequence[Edge], indent: str) -> Iterator[Line]:
    shown = edges[:MOST]
    for number, edge in enumerate(shown):
        last = number == len(edges) - 1
        yield _edge(scene, f"{indent}{'╰' if last else '├'}─▶ ", edge)
        beyond = targets(scene, edge.to) if edge.to.kind == "param" else ()
        yield from _fan(scene, beyond, indent + ("    " if last else "│   "))
    if len(edges) > len(shown):
        yield fitted((Span(f"{indent}╰─▶ … {len(edges) - len(shown):,} more", "dim"),), scene.width)


def _edge(scene: Scene, lead: str, edge: Edge) -> Line:
    kind = f"{_WORDS[edge.to.kind]:<8}"
    told = f"  {said}" if (said := edge.tell()) else ""
    room = max(scene.width - wide(lead) - len(kind) - min(wide(told), scene.width // 2), 8)
    name = Span(cut_start(_name(edge.to), room), _ROLES.get(edge.to.kind, "plain"), edge.to)
    return fitted((Span(lead, "dim"), Span(kind, "heading"), name, Span(told, "dim")), scene.width)


_ROLES: dict[Kind, Role] = {"tensor": "name", "param": "part0", "row": "derived", "file": "number", "rank": "held"}


def _name(target: Target) -> str:
    return f"rank {target.name}" if target.kind == "rank" else target.name


# --- edges ---


def sources(scene: Scene, focus: Target) -> Sequence[Edge]:
    """What leads to it."""
    if focus.kind == "tensor":
        info = scene.subject.tensor(focus.name)
        where = f"bytes {info.offset:,} to {info.offset + info.nbytes:,}" if info and info.offset is not None else ""
        return [Edge(Target("file", info.file), lambda: where)] if info and info.file else []
    if focus.kind == "param" and scene.placement is not None:
        names, _ = feeding(scene.placement, focus.name)
        return [Edge(Target("tensor", name), partial(_shard, scene, name, focus.name)) for name in names]
    if focus.kind == "row":
        row = scene.subject.held.row(focus.name)
        return _tensors(scene.subject.held.claimed(row)) if row is not None else []
    return []


def targets(scene: Scene, focus: Target) -> Sequence[Edge]:
    """Where it leads."""
    if focus.kind == "file":
        own = scene.subject.held.file(focus.name)
        return Lazy(len(own), lambda at: Edge(Target("tensor", own[at].name)))
    placement = scene.placement
    if placement is None:
        return []
    if focus.kind == "tensor":
        return _of_tensor(placement, focus.name)
    if focus.kind == "param":
        return _of_param(scene, placement, focus.name)
    return _of_row(scene, focus.name) if focus.kind == "row" else []


def _of_tensor(placement: Placement, name: str) -> list[Edge]:
    claim = placement.claim(name)
    rows = [Edge(Target("row", claim.id), lambda: claim.source or "")] if claim.id else []
    moves = placement.moves(name)
    told: Callable[[str], str] = str if moves else _planned
    if not moves and placement.planned is not None:
        moves = placement.planned.moves(name)
    params = {move.param: move.shard for move in moves}
    found = [
        Edge(Target("param", param), partial(told, f"shard {shard}" if shard is not None else ""))
        for param, shard in params.items()
    ]
    if claim.to and claim.to not in params:
        found.append(Edge(Target("param", claim.to), lambda: "shard tied"))
    return rows + found


def _of_param(scene: Scene, placement: Placement, name: str) -> list[Edge]:
    found = [Edge(Target("param", alias), lambda: "tied to it") for alias in placement.aliases(name)]
    ranks = (placement.planned or placement).ranks
    return found + [Edge(Target("rank", str(rank)), partial(_held, placement, name, rank)) for rank in ranks]


def _held(placement: Placement, name: str, rank: int) -> str:
    """What a rank has of it; padding is not counted in the whole."""
    own, whole = placement.shape(name, rank), placement.whole_shape(name)
    of = f" of {words.shape(whole)}" if whole is not None else ""
    if own is None and placement.planned is not None and (planned := placement.planned.shape(name, rank)):
        return _planned(f"{words.shape(planned)}{of}")
    return "nothing of it" if own is None else f"{words.shape(own)}{of}"


def _planned(told: str) -> str:
    """What a trace does not have."""
    return f"not observed; planned: {told}" if told else "not observed, planned"


def _tensors(names: Sequence[str]) -> Sequence[Edge]:
    return Lazy(len(names), lambda at: Edge(Target("tensor", names[at])))


def _of_row(scene: Scene, name: str) -> Sequence[Edge]:
    row = scene.subject.held.row(name)
    params = scene.subject.held.params(row) if row is not None else ()
    return Lazy(len(params), lambda at: Edge(Target("param", params[at])))


def _shard(scene: Scene, tensor: str, param: str) -> str:
    assert scene.placement is not None
    own, planned = _lands(scene, scene.placement, tensor, param), scene.placement.planned
    if not own and planned is not None and (instead := _lands(scene, planned, tensor, param)):
        return _planned(instead)
    return own or "nothing of it on this rank"


def _lands(scene: Scene, placement: Placement, tensor: str, param: str) -> str:
    """Where it lands on the rank that is looked at."""
    own = [move for move in placement.moves(tensor) if move.param == param and move.rank == scene.rank]
    if not own:
        return ""
    found = Hop(tuple(m.src for m in own), tuple(m.dst for m in own), own[0].perm)
    shape = placement.shape(param, scene.rank) or ()
    lands = words.hop(found, placement.tensor_shape(tensor) or (), shape)
    return f"{own[0].shard or 'all'}  rank {scene.rank} {lands}"
