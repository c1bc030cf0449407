"""A group of the tree: how many tensors, which dtypes, how much, and where they are."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.report import words
from tui.model.line import Line, Span, Target
from tui.model.path.scene import Scene
from tui.model.stored import Stored

MOST_FILES = 12


def of_group(scene: Scene, name: str) -> Sequence[Line]:
    below = scene.subject.stored_below(name)
    share = below.nbytes / scene.subject.nbytes if scene.subject.nbytes else 0.0
    return [
        *scene.title(Span(name, "strong"), Span("  group of tensors", "dim")),
        scene.hop("tensors", Span(f"{below.count:,}", "number")),
        scene.hop("size", Span(f"{words.size(below.nbytes)}", "number"), Span(f"  {share:.1%} of all", "dim")),
        *_alike(scene),
        *_dtypes(scene, below),
        *_files(scene, below),
    ]


def _alike(scene: Scene) -> list[Line]:
    """Of a fold one group is shown, and its line in the tree is of all of them."""
    node = scene.node
    if node is None or node.times == 1:
        return []
    which = f": {node.label}" if node.members else ""
    together = f"  together {words.plural(node.count, 'tensor')}, {words.size(node.nbytes)}"
    return [scene.hop("fold", Span(f"one of {node.times:,} alike{which}"), Span(together, "dim"))]


def _dtypes(scene: Scene, below: Stored) -> list[Line]:
    return [
        scene.hop("dtypes" if number == 0 else "", Span(dtype), Span(f"  {words.size(nbytes)}", "dim"))
        for number, (dtype, nbytes) in enumerate(below.dtypes.most_common())
    ]


def _files(scene: Scene, below: Stored) -> list[Line]:
    found = below.in_files.most_common()
    lines = [
        scene.hop("files" if number == 0 else "", Span(file, "name", Target("file", file)),
                  Span(f"  {words.plural(count, 'tensor')}", "dim"))
        for number, (file, count) in enumerate(found[:MOST_FILES])
    ]  # fmt: skip
    return lines if len(found) <= MOST_FILES else [*lines, scene.under(Span(f"… and {len(found) - MOST_FILES} more"))]
