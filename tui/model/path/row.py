"""A row of a mapping table: where it stands, how it lays a tensor out, and every tensor that it claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.axes import spell
from mappings.bind import BoundRow
from tui.model.line import Line, Span, Target
from tui.model.path.scene import Scene

MOST = 2000
"""Tensors that are listed of one row."""


def of_row(scene: Scene, name: str) -> Sequence[Line]:
    prepared = scene.subject.prepared
    row = next((row for row in prepared.plan.binding.rows if row.id == name), None) if prepared else None
    if row is None:
        return _entry(scene, name)
    lines = [*scene.title(Span(row.pattern.text, "strong"), Span("  row of a mapping table", "dim"))]
    lines += [
        scene.hop("table", Span(f"mappings/architectures/{row.row.source}" if row.row.source else "not known", "name")),
        scene.hop("layout", Span(f'"{spell(row.told)}"'), Span(f"  shape {row.shape}", "dim")),
        scene.hop("into", Span(row.leaf.pattern.text, "name"), *_parts(row)),
    ]  # fmt: skip
    if row.op:
        lines.append(scene.hop("value", Span(f"⚙ {row.op}", "conversion")))
    return [*lines, (), *_claims(scene, row)]


def _parts(row: BoundRow) -> tuple[Span, ...]:
    if len(row.leaf.parts) < 2:
        return ()
    return (Span(f"  part {', '.join(part.name for part in row.parts)}", "strong"),)


def _claims(scene: Scene, row: BoundRow) -> Iterator[Line]:
    assert scene.subject.prepared is not None
    plan = scene.subject.prepared.plan
    claimed = [t.name for t, claim in zip(plan.tensors, plan.claims, strict=True) if claim.owner is row]
    yield scene.hop("claims", Span(f"{len(claimed):,} of {row.count():,} tensors that it describes", "number"))
    for name in claimed[:MOST]:
        yield scene.under(Span(name, "name", Target("tensor", name)))
    if len(claimed) > MOST:
        yield scene.under(Span(f"… and {len(claimed) - MOST:,} more", "dim"))


def _entry(scene: Scene, name: str) -> Sequence[Line]:
    """A Skip or a Tie, which have no parameter of their own."""
    plan = scene.subject.prepared.plan if scene.subject.prepared else None
    if plan is None or scene.placement is None:
        return list(scene.told(f"{name}: no table is known here", "unsure"))
    own = [t.name for t in plan.tensors if scene.placement.claim(t.name).id == name] if len(plan.tensors) < MOST else []
    lines = [*scene.title(Span(name, "strong"), Span("  entry of a mapping table", "dim"))]
    return [*lines, *(scene.under(Span(tensor, "name", Target("tensor", tensor))) for tensor in own)]


