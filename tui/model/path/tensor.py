"""A tensor's path, hop by hop: file bytes, checkpoint name, row, fused parameter, the slice of each rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.events import Move
from tracer.report import words
from tracer.report.paths import Hop
from tracer.slices.placement import Verdict, shard_of_expert
from tui.model.columns import wide
from tui.model.kept import kept, known
from tui.model.line import Line, Span, Target
from tui.model.path.finding import found_lines
from tui.model.path.scene import HOP, Scene
from tui.model.path.unseen import drawn, unobserved

MOST_RANKS = 64
"""Whose slices are spelled out."""


def of_tensor(scene: Scene, name: str) -> Sequence[Line]:
    info = scene.subject.tensor(name)
    if info is None:
        return list(scene.told(f"no tensor {name} is here", "warn"))
    lines = [
        *scene.title(Span(name, "strong"), Span(f"  {kept(info)}", "dim")),
        *_file(scene, name), scene.hop("name", Span(name, "name", Target("tensor", name))),
    ]  # fmt: skip
    return [*lines, *_placed(scene, name), *_found(scene, name)]


def _file(scene: Scene, name: str) -> Iterator[Line]:
    info = scene.subject.tensor(name)
    assert info is not None
    if info.file is None or info.offset is None:
        told = f"{words.size(info.nbytes)} if it existed" if known(info) else "its shape and size are not known"
        yield scene.hop("file", Span(f"none: {told}", "unsure"))
        return
    where = f"bytes {info.offset:,} to {info.offset + info.nbytes:,}  ({words.size(info.nbytes)})"
    file = Span(info.file, "name", Target("file", info.file))
    if HOP + wide(info.file) + 2 + wide(where) <= scene.width:
        yield scene.hop("file", file, Span(f"  {where}", "number"))
        return
    yield scene.hop("file", file)
    yield scene.under(Span(where, "number"))


def _placed(scene: Scene, name: str) -> Iterator[Line]:
    if scene.placement is None:
        yield from _without_rows(scene)
        return
    claim = scene.placement.claim(name)
    yield from row_lines(scene, claim)
    if (refusal := scene.placement.refusal()) is not None:
        yield from scene.told(f"✗ tp {scene.placement.tp}: {refusal}", "bad", HOP)
        return
    moves, planned = scene.placement.moves(name), scene.placement.planned
    if not moves and planned is not None and (moves := planned.moves(name)):
        yield from unobserved(scene, scene.placement)
    by_param: dict[str, list[Move]] = {}
    for move in moves:
        by_param.setdefault(move.param, []).append(move)
    for param, own in by_param.items():
        yield from _into(scene, name, param, own)


def _without_rows(scene: Scene) -> Iterator[Line]:
    if scene.subject.stage == "headers":
        yield scene.hop("row", Span("… looking for its rows", "dim"))
        return
    yield scene.hop("row", Span("· none: where it goes is not checked", "unsure"))
    if scene.subject.refused is not None:
        yield from scene.told(scene.subject.refused.message, "dim", HOP)


def row_lines(scene: Scene, claim: Verdict) -> Iterator[Line]:
    """Which entry of the table claims a tensor, and where that stands."""
    if claim.kind == "unmapped" or claim.id is None:
        yield scene.hop("row", Span("✗ unmapped", "bad"), Span(f"  {claim.reason or 'no row claims it'}"))
        return
    entry = Span(claim.pattern or claim.id, "name", Target("row", claim.id))
    yield scene.hop("row", entry)
    source = Span(f"{claim.source}  " if claim.source else "", "dim")
    if claim.kind == "tie":
        to = Target("param", claim.to) if claim.to else None
        yield scene.under(source, Span("= tied to "), Span(claim.to or "", "derived", to), Span(": the same storage"))
    elif claim.kind == "skip":
        yield scene.under(source, Span("· not loaded  ", "unsure"), Span(claim.reason or ""))
    else:
        op = (Span(f"  ⚙ {claim.op}", "conversion"),) if claim.op else ()
        yield scene.under(source, Span(f'laid out "{claim.layout}"', "dim"), *op)


def _into(scene: Scene, name: str, param: str, moves: Sequence[Move]) -> Iterator[Line]:
    """One parameter that it goes into: its shape, each rank's slice, and the picture."""
    placement = scene.placement
    assert placement is not None
    yield from param_lines(scene, param, moves[0].shard)
    by_rank: dict[int, list[Move]] = {}
    for move in moves:
        by_rank.setdefault(move.rank, []).append(move)
    shape = placement.tensor_shape(name) or ()
    for rank in list(by_rank)[:MOST_RANKS]:
        yield _slice(scene, rank, by_rank[rank], shape)
    if len(by_rank) > MOST_RANKS:
        yield scene.under(Span(f"… and {len(by_rank) - MOST_RANKS} more ranks", "dim"))
    yield ()
    expert = shard_of_expert(moves[0].shard)[0] or 0
    yield from drawn(scene, placement, param, expert)


def param_lines(scene: Scene, param: str, shard: str | int | None) -> Iterator[Line]:
    """A parameter with its shapes, and which part of it is meant."""
    placement = scene.placement
    assert placement is not None
    part = (Span(f"  shard {shard}", "strong"),) if shard is not None else ()
    yield scene.hop("param", Span(param, "name", Target("param", param)), *part)
    whole, own = placement.whole_shape(param), placement.shape(param, scene.rank)
    told = [f"whole {words.shape(whole)}"] if whole else []
    told += [f"{words.shape(own)} on rank {scene.rank}"] if own else []
    tied = placement.tied(param)
    told += [f"= {tied} (tied: the same storage)"] if tied else []
    if told:
        yield scene.under(Span(", ".join(told), "dim"))


def _slice(scene: Scene, rank: int, moves: Sequence[Move], shape: tuple[int, ...]) -> Line:
    placement = scene.placement
    assert placement is not None
    found = Hop(tuple(m.src for m in moves), tuple(m.dst for m in moves), moves[0].perm)
    text = words.hop(found, shape, placement.shape(moves[0].param, rank) or ())
    lit = rank == scene.rank
    mark = Span("▶ " if lit else "  ", "held")
    return scene.hop(f"rank {rank}", mark, Span(text, "strong" if lit else "plain", Target("rank", str(rank))))


def _found(scene: Scene, name: str) -> Iterator[Line]:
    """What was found about it, by its own name or by one that stands for many."""
    index = scene.subject.index
    numbers = index.on_page(Target("tensor", name), index.about(name))
    if numbers:
        yield ()
    yield from found_lines(scene, numbers)
