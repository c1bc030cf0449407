"""What is made once of all names when more is known, beside the screen, so that no key has to wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tui.model.ordered import Chosen, Marks, Ordered
from tui.model.orders import Orders
from tui.model.search import Search
from tui.model.subject import Subject
from tui.model.tree import Tree

if TYPE_CHECKING:
    from tracer.slices.placed import Placed


@dataclass(frozen=True)
class Arrival:
    """A subject and what keys ask of it."""

    subject: Subject
    marks: Marks
    ordered: Ordered
    tree: Tree
    orders: Orders
    search: Search
    placed: Placed | None = None


def arrival(subject: Subject, tp: int, before: Arrival | None = None) -> Arrival:
    """What did not change since `before` is taken over, with what was opened of it."""
    if before is not None and before.subject.tensors is not subject.tensors:
        before = None
    if before is not None:
        subject.ordered, subject.runs = before.subject.ordered, before.subject.runs
    marks = _marks(subject) if subject.stage == "examined" else {}
    orders = before.orders if before is not None else Orders(subject.tensors)
    if before is not None and before.marks == marks:
        ordered, tree = before.ordered, before.tree
    else:
        ordered = Ordered(subject.ordered, marks, before.ordered.kinds if before else None)
        tree = Tree(Chosen(ordered, range(len(subject.ordered))))
    search = before.search if before is not None else Search(subject.tensors)
    if subject.stage == "headers":  # first of all it is to be seen
        return Arrival(subject, marks, ordered, tree, orders, search)
    search.prepare()
    ordered.prepare()
    _ = subject.positions, subject.stored
    if subject.stage == "examined":
        subject.index.prepare()
    orders.prepare()
    return Arrival(subject, marks, ordered, tree, orders, search, _placed(subject, tp))


def found_otherwise(what: Arrival, subject: Subject) -> Arrival:
    """The same tensors, of which other things were found."""
    if subject is what.subject:
        return what
    marks = _marks(subject)
    if marks == what.marks:
        return replace(what, subject=subject)
    ordered = Ordered(subject.ordered, marks, what.ordered.kinds)
    ordered.prepare()
    tree = Tree(Chosen(ordered, range(len(subject.ordered))))
    return replace(what, subject=subject, marks=marks, ordered=ordered, tree=tree)


def grown(what: Arrival, positions: Sequence[int]) -> Tree:
    """The tree of some of its tensors."""
    return Tree(Chosen(what.ordered, what.orders.places(positions)))


def _marks(subject: Subject) -> Marks:
    from tui.model.findings.page import marks

    return marks(subject)


def _placed(subject: Subject, tp: int) -> Placed | None:
    from tui.model import pages  # noqa: F401  # what they import is there, too, when the first is asked for

    if subject.prepared is None:
        return None
    from tracer.slices.placed import Known, Placed

    return Placed(subject.prepared, tp, Known(subject.prepared.plan, subject.positions))
