"""What is in sight and where one stands: the state of the browser, moved by keys and by what arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from tui.model.arrival import Arrival, arrival
from tui.model.history import History, Place
from tui.model.line import Page, Span, Target, Text, line
from tui.model.subject import Subject
from tui.model.table import TablePage, Wanted, rows
from tui.model.tree import Marks, Tree
from tui.model.tree_page import TreePage

if TYPE_CHECKING:
    from tracer.checkpoint.tensor_info import TensorInfo
    from tracer.slices.observed import Observed
    from tracer.slices.placed import Placed
    from tracer.slices.placement import Placement
    from tui.model.comparing import Comparing
    from tui.model.follow.progress import Progress
    from tui.model.numbers.asking import Asking
    from tui.model.overview.inference import Inference

PageName: TypeAlias = Literal["overview", "path", "findings", "config", "values", "graph", "compare", "follow"]
PAGES: tuple[PageName, ...] = get_args(PageName)[:-1]
"""Those that are always there; a load is followed while there is one."""
_ABOUT_ONE: tuple[PageName, ...] = ("path", "values", "graph")
"""Pages about what the cursor is on; the others are about the whole."""
MOST_RANKS = 1024
MOST_OPEN = 200
"""Rows that are opened by a search."""


class Browsing:
    """One window on one subject."""

    def __init__(self, where: str | None, tp: int) -> None:
        self.where = where
        self.tp = tp
        self.rank = 0
        self.subject: Subject | None = None
        self.tree = Tree((), {})
        self.flat = False
        self.wanted = Wanted()
        self.page: PageName = "overview"
        self.focus: Target | None = None
        self.opened: frozenset[int] = frozenset()
        self.history = History()
        self.touched = False
        """Whether a key was pressed: then nothing that arrives moves what is in sight."""
        self.marks: Marks = {}
        self.comparing: Comparing | None = None
        self.inference: Inference | None = None
        self.progress: Progress | None = None
        self.colours = True
        self._placed: Placed | None = None
        self.last: Arrival | None = None
        """What arrived last."""

    @cached_property
    def values(self) -> Asking:
        """What was read, or is to be."""
        from tui.model.numbers.asking import Asking

        return Asking()

    # --- what arrives ---

    def arrived(self, what: Subject | Arrival) -> None:
        """More is known. Of many names an `Arrival` was made elsewhere."""
        self.last = what if isinstance(what, Arrival) else arrival(what, self.tp, self.last)
        subject = self.subject = self.last.subject
        self.tp = min(self.tp, MOST_RANKS) if subject.store is None else subject.tp
        self._placed, self.marks = self.last.placed, self.last.marks
        before = self.tree
        self._regrow()
        if not self.touched:
            self._start(subject)
        elif self.tree is not before:
            self.tree.as_before(before)

    def _start(self, subject: Subject) -> None:
        """On the answer: the worst finding with its path, or what the model is."""
        if subject.stage != "examined":
            return
        from tui.model.findings.page import next_number

        worst = next_number(subject, None)
        if worst is not None:
            self.go(Target("finding", str(worst)))

    # --- pages ---

    def names(self) -> Page:
        """The left side: the tree, or the flat table."""
        return TablePage(self._infos, self.wanted, self.marks) if self.flat else TreePage(self.tree)

    def _regrow(self) -> None:
        """The tree of what is wanted; of few tensors all of it is open."""
        if not self.wanted.narrowed:
            self.tree = self.last.tree if self.last else Tree((), {})
            return
        self.tree = Tree(rows(self._infos, self.wanted, self.marks), self.marks)
        self.tree.open_up(MOST_OPEN)

    @property
    def _infos(self) -> Sequence[TensorInfo]:
        return self.subject.tensors if self.subject else ()

    @property
    def pages(self) -> tuple[PageName, ...]:
        """The pages that there are now."""
        return PAGES if self.progress is None else (*PAGES, "follow")

    def shown(self) -> Page:
        """The right side."""
        if self.progress is not None and (self.subject is None or self.page == "follow"):
            return Text(self.progress.lines)
        if self.subject is None:
            return Text(lambda width: [line(Span("reading headers …", "dim"))])
        if self.subject.stage == "headers":  # all else is not imported yet
            return Text(lambda width: [line(Span("what they are is being looked at …", "dim"))])
        from tui.model.pages import BUILDERS

        return BUILDERS[self.page](self, self.subject)

    @property
    def looked_at(self) -> TensorInfo | None:
        """The tensor that is looked at, or that what is looked at is about."""
        if self.subject is None or self.focus is None:
            return None
        target: Target | None = self.focus
        if self.focus.kind == "finding":
            target = self._about(self.subject, self.focus)
        return self.subject.tensor(target.name) if target and target.kind == "tensor" else None

    @staticmethod
    def _about(subject: Subject, finding: Target) -> Target | None:
        from tui.model.findings.page import subject_target

        return subject_target(subject, subject.findings[int(finding.name)])

    @cached_property
    def _observed(self) -> Observed | None:
        store = self.subject.store if self.subject else None
        if store is None or not store.run.observed:
            return None
        from tracer.slices.observed import Observed

        return Observed(store)

    @property
    def placement(self) -> Placement | None:
        """Where tensors went, where that was observed at this tp; else where they would go. None without rows."""
        if self._observed is not None and self._observed.tp == self.tp:
            return self._observed
        if self._placed is not None and self._placed.tp != self.tp:
            self._placed = self._placed.at(self.tp)
        return self._placed

    # --- moving ---

    def visit(self, page: PageName) -> None:
        """Another page of the same thing."""
        self.page = page
        self.history.visit(Place(page, self.focus))

    def look(self, focus: Target) -> None:
        """The cursor of the names stands on something; the page stays if it is about what the cursor is on."""
        self.focus = focus
        if self.page not in _ABOUT_ONE:
            self.page = "path"

    def go(self, target: Target) -> int | None:
        """Follow a target; gives the row of the tree that it is at, if it has one."""
        self.focus, self.page = target, "path"
        self.history.visit(Place("path", target))
        return self.row_of(target)

    def row_of(self, target: Target) -> int | None:
        """The row of the tree where a tensor, or what a finding is about, stands."""
        if target.kind == "finding" and self.subject is not None:
            subject = self._about(self.subject, target)
            return self.row_of(subject) if subject else None
        return self.tree.reveal(target.name) if target.kind == "tensor" else None

    def step(self, by: int) -> bool:
        """Back or forward; False at the end."""
        place = self.history.step(by)
        if place is None:
            return False
        self.page, self.focus = place.page, place.focus  # type: ignore[assignment]
        return True

    def next_finding(self, backwards: bool = False) -> int | None:
        """To the next error or warning; gives its number."""
        if self.subject is None:
            return None
        from tui.model.findings.page import next_number

        now = int(self.focus.name) if self.focus and self.focus.kind == "finding" else None
        return next_number(self.subject, now, backwards)

    # --- ranks ---

    def more_ranks(self, by: int) -> str | None:
        """The next legal number of ranks; what stands against it, if there is none."""
        placed = self._placed
        if placed is None:
            return "no rows apply, so nothing is cut"
        further = [size for size in placed.legal if (size > self.tp if by > 0 else size < self.tp)]
        if not further:
            return f"tp {self.tp * 2}: {placed.refusal(self.tp * 2)}" if by > 0 else f"tp {self.tp} is the smallest"
        self.tp = min(further) if by > 0 else max(further)
        self.rank = min(self.rank, self.tp - 1)
        return None

    def next_rank(self, by: int) -> None:
        """Another rank is highlighted."""
        self.rank = (self.rank + by) % self.tp

    # --- the names ---

    def sort_next(self) -> None:
        """The flat table, in another order."""
        self.flat, self.wanted = True, self.wanted.sorted_next()

    def dtype_next(self) -> None:
        """Only the tensors of one dtype, then those of the next."""
        self._narrow(self.wanted.typed_next(sorted({info.dtype for info in self._infos})))

    def only_marked(self) -> None:
        """Only the tensors of which something was found, or all again."""
        self._narrow(replace(self.wanted, marked=not self.wanted.marked))

    @property
    def clearable(self) -> bool:
        """Whether there is something that Escape would undo."""
        return self.wanted.narrowed or self.values.state.stage in ("asks", "reads")

    @property
    def first_tensor(self) -> int:
        """The first line of the names that is a tensor's."""
        if self.flat:
            return 0
        return next((number for number, row in enumerate(self.tree.rows) if row.node.is_tensor), 0)

    def _narrow(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._regrow()

    def clear(self) -> None:
        """All names again, and nothing that is read."""
        self.values.stop()
        self._narrow(Wanted(self.wanted.order))

    def search(self, text: str) -> None:
        """Show only what is found; without words, all again."""
        self._narrow(replace(self.wanted, found=self.last.search.find(text) if self.last else None))
