"""A row of a mapping table: where it stands, how it lays a tensor out, and every tensor that it claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.axes import spell
from mappings.bind import Binding, BoundRow
from mappings.claims import Claim, Owner
from mappings.rows import Skip, Tie
from tracer.slices.placement import verdict_of
from tui.model.line import Line, Span, Target
from tui.model.path.finding import found_lines
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
        scene.hop("into", Span(row.leaf.pattern.text, "name", _first_param(row)), *_parts(row)),
    ]  # fmt: skip
    if row.op:
        lines.append(scene.hop("value", Span(f"⚙ {row.op}", "conversion")))
    index = scene.subject.index
    about = index.on_page(Target("row", row.id), index.of(row.id, row.pattern.text))
    return [*lines, *found_lines(scene, about), (), *_claims(scene, row)]


def _first_param(row: BoundRow) -> Target | None:
    """The first of the parameters that its tensors go into."""
    first = next(iter(row.instances()), None)
    return None if first is None else Target("param", row.param_name(first))


def _parts(row: BoundRow) -> tuple[Span, ...]:
    if len(row.leaf.parts) < 2:
        return ()
    return (Span(f"  part {', '.join(part.name for part in row.parts)}", "strong"),)


def _claims(scene: Scene, row: BoundRow) -> Iterator[Line]:
    claimed = _claimed(scene, row)
    yield scene.hop("claims", Span(f"{len(claimed):,} of {row.count():,} tensors that it describes", "number"))
    yield from _names(scene, claimed)


def _claimed(scene: Scene, owner: Owner) -> list[str]:
    """In the order of the files."""
    assert scene.subject.prepared is not None
    plan = scene.subject.prepared.plan
    return [tensor.name for tensor, claim in zip(plan.tensors, plan.claims, strict=True) if claim.owner is owner]


def _names(scene: Scene, claimed: Sequence[str]) -> Iterator[Line]:
    for name in claimed[:MOST]:
        yield scene.under(Span(name, "name", Target("tensor", name)))
    if len(claimed) > MOST:
        yield scene.under(Span(f"… and {len(claimed) - MOST:,} more", "dim"))


def _entry(scene: Scene, name: str) -> Sequence[Line]:
    """A Skip or a Tie, which have no parameter of their own."""
    plan = scene.subject.prepared.plan if scene.subject.prepared else None
    if plan is None:
        return list(scene.told(f"{name}: no table is known here", "unsure"))
    verdicts = ((owner, verdict_of(plan.binding, Claim(owner, ()))) for owner in _others(plan.binding))
    found = next(((owner, verdict) for owner, verdict in verdicts if verdict.id == name), None)
    if found is None:
        return list(scene.told(f"no entry {name} is in the table", "warn"))
    owner, verdict = found
    lines = [*scene.title(Span(verdict.pattern or name, "strong"), Span("  entry of a mapping table", "dim"))]
    lines.append(scene.hop("table", Span(f"mappings/architectures/{verdict.source}", "name")))
    if verdict.to:
        lines.append(scene.hop("tied to", Span(verdict.to, "name", Target("param", verdict.to))))
    else:
        lines.append(scene.hop("skips", Span(verdict.reason or "")))
    claimed = _claimed(scene, owner)
    lines.append(scene.hop("claims", Span(f"{len(claimed):,}", "number")))
    return [*lines, *_names(scene, claimed)]


def _others(binding: Binding) -> list[Skip | Tie]:
    return [*binding.ties, *(skip for skip, _ in binding.skips)]
