"""A row of a mapping table: where it stands, how it lays a tensor out, and every tensor that it claims."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.axes import spell
from mappings.bind import Binding, BoundRow
from mappings.claims import Claim
from mappings.rows import Skip, Tie
from tracer.slices.placement import verdict_of
from tui.model.lazy import Lazy
from tui.model.line import Line, Span, Target
from tui.model.path.finding import found_lines
from tui.model.path.scene import Scene

MOST = 2000
"""Tensors that are listed of one row."""


def of_row(scene: Scene, name: str) -> Sequence[Line]:
    row = scene.subject.held.row(name)
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
    claimed = scene.subject.held.claimed(row)
    claims = scene.hop("claims", Span(f"{len(claimed):,} of {row.count():,} tensors that it describes", "number"))
    return _listed(scene, [*lines, *found_lines(scene, about), (), claims], claimed)


def _first_param(row: BoundRow) -> Target | None:
    """The first of the parameters that its tensors go into."""
    first = next(iter(row.instances()), None)
    return None if first is None else Target("param", row.param_name(first))


def _parts(row: BoundRow) -> tuple[Span, ...]:
    if len(row.leaf.parts) < 2:
        return ()
    return (Span(f"  part {', '.join(part.name for part in row.parts)}", "strong"),)


def _listed(scene: Scene, top: Sequence[Line], claimed: Sequence[str]) -> Sequence[Line]:
    """What is claimed below all else, each line made when it is in sight."""
    names = claimed[:MOST]

    def line(number: int) -> Line:
        if number < len(top):
            return top[number]
        if number == len(top) + MOST:
            return scene.under(Span(f"… and {len(claimed) - MOST:,} more", "dim"))
        name = names[number - len(top)]
        return scene.under(Span(name, "name", Target("tensor", name)))

    return Lazy(len(top) + min(len(claimed), MOST + 1), line)


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
    claimed = scene.subject.held.claimed(owner)
    lines.append(scene.hop("claims", Span(f"{len(claimed):,}", "number")))
    return _listed(scene, lines, claimed)


def _others(binding: Binding) -> list[Skip | Tie]:
    return [*binding.ties, *(skip for skip, _ in binding.skips)]
