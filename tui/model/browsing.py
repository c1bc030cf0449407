"""What is in sight and where one stands: the state of the browser, moved by keys and by what arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from tracer.report.words import plural
from tui.model.arrival import Arrival, arrival, grown
from tui.model.history import History, Place
from tui.model.line import Page, Span, Target, Text, line
from tui.model.ranked import Ranked
from tui.model.subject import Subject, Told
from tui.model.table import TablePage, Wanted, kept
from tui.model.tree import Tree, tree_of
from tui.model.tree_page import TreePage

if TYPE_CHECKING:
    from tracer.checkpoint.tensor_info import TensorInfo
    from tui.model.comparing import Comparing
    from tui.model.follow.progress import Progress
    from tui.model.numbers.asking import Asking
    from tui.model.numbers.state import Values

PageName: TypeAlias = Literal["overview", "path", "findings", "config", "values", "graph", "compare", "follow"]
PAGES: tuple[PageName, ...] = get_args(PageName)[:-1]
"""Those that are always there; a load is followed while there is one."""
_ABOUT_ONE: tuple[PageName, ...] = ("path", "values", "graph")
"""Pages about what the cursor is on; the others are about the whole."""
MOST_OPEN = 200
"""Rows that are opened by a search."""


class Browsing(Ranked):
    """One window on one subject."""

    def __init__(self, where: str | None, tp: int) -> None:
        super().__init__(tp)
        self.where = where
        self.flat = False
        self.wanted = Wanted()
        self.page: PageName = "overview"
        self.focus: Target | None = None
        self.opened: frozenset[int] = frozenset()
        self.history = History()
        self.touched = False
        """Whether a key was pressed: then nothing that arrives moves what is in sight."""
        self.comparing: Comparing | None = None
        self.progress: Progress | None = None
        self.colours: bool = True
        self._sought = ""
        self._flat: TablePage | None = None
        self._tree: Tree | None = None
        self._walked: int | None = None
        """The finding that was gone to last."""

    @cached_property
    def values(self) -> Asking:
        """What was read, or is to be."""
        from tui.model.numbers.asking import Asking

        return Asking()

    @property
    def read(self) -> int:
        """Of how many tensors the values were read."""
        return len(self.values.read_whole) if "values" in self.__dict__ else 0

    # --- what arrives ---

    def arrived(self, what: Subject | Arrival) -> None:
        """More is known. Of many names an `Arrival` was made elsewhere."""
        with self._changing():
            self.take(what if isinstance(what, Arrival) else arrival(what, self.tp, self.last))
        if not self.touched and self.subject is not None:
            self._start(self.subject)
        if "values" in self.__dict__:  # read before it could be judged
            self.judge(self.values.state)

    def judge(self, read: Values) -> bool:
        """Whether reading values has shown something; it stands among the findings then."""
        with self._changing():
            return super().judge(read)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What was open stays open, what findings lead to is where it is then."""
        before, names = self.now, self.tree
        yield
        if self.now is None or self.now is before:
            return
        if before is None or self.now.tree is not before.tree:
            self._narrow(self._searched(self.wanted))
        if before is not None and self.now.tree is not before.tree:
            self.now.tree.as_before(before.tree)
            if self.wanted.narrowed:
                self.tree.as_before(names)
        if before is not None and before.subject is not self.now.subject:
            self._renumber(before.subject.findings, self.now.subject.findings)

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
        return self._table if self.flat else TreePage(self.tree, self.wanted)

    @property
    def _table(self) -> TablePage:
        """Sorted once, and not with every key."""
        if self._flat is None:
            positions = kept(self.now.orders, self.wanted, self.marks) if self.now else ()
            self._flat = TablePage(self._infos, self.wanted, self.marks, positions)
        return self._flat

    @property
    def tree(self) -> Tree:
        """Grown when it is looked at; where names are left out, all of few is open. All names are as they were left."""
        if self._tree is None and self.now is not None:
            self._tree = self.now.tree if not self.wanted.narrowed else self._narrowed(self.now)
        return self._tree or tree_of((), {})

    def _narrowed(self, what: Arrival) -> Tree:
        tree = grown(what, self._table.positions)
        tree.open_up(MOST_OPEN)
        return tree

    @property
    def _infos(self) -> Sequence[TensorInfo]:
        return self.subject.tensors if self.subject else ()

    @property
    def pages(self) -> tuple[PageName, ...]:
        """The pages that there are now."""
        return PAGES if self.progress is None else (*PAGES, "follow")

    @property
    def in_sight(self) -> PageName:
        """The page that is shown: as long as a load that is followed has left nothing, that of the load."""
        return self.page if self.subject or self.progress is None else "follow"

    def shown(self) -> Page:
        """The right side."""
        if self.progress is not None and self.in_sight == "follow":
            return Text(self.progress.lines)
        if self.subject is None:
            return Text(lambda width: [line(Span("reading headers …", "dim"))])
        if self.subject.stage == "headers":  # all else is not imported yet
            return Text(lambda width: [line(Span("what they are is being looked at …", "dim"))])
        from tui.model.guarded import guarded
        from tui.model.pages import BUILDERS

        return guarded(partial(BUILDERS[self.page], self, self.subject))

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

    # --- moving ---

    def visit(self, page: PageName) -> None:
        """Another page of the same thing."""
        self._note()
        self.page = page
        self._note()

    def _note(self) -> None:
        """What is in sight can be come back to, also where only the cursor led to it."""
        self.history.visit(Place(self.page, self.focus))

    def look(self, focus: Target) -> None:
        """The cursor of the names stands on something; the page stays if it is about what the cursor is on."""
        if self.page not in _ABOUT_ONE:
            self._note()
            self.page = "path"
        self.focus = focus

    def go(self, target: Target) -> int | None:
        """Follow a target; gives the line of the names that it is at, if it has one."""
        self._note()
        self.focus, self.page = target, "path"
        self._note()
        if target.kind == "finding":
            self._walked = int(target.name)
        return self.row_of(target)

    def row_of(self, target: Target) -> int | None:
        """The line of the names where a tensor, or what a finding is about, stands."""
        if target.kind == "finding" and self.subject is not None:
            subject = self._about(self.subject, target)
            return self.row_of(subject) if subject else None
        if target.kind != "tensor":
            return None
        return self._table.row_of(target.name) if self.flat else self.tree.reveal(target.name)

    @property
    def focused_row(self) -> int | None:
        """The line of the names of what is looked at."""
        return self.row_of(self.focus) if self.focus else None

    @property
    def named(self) -> str:
        """The name of what is looked at, or of what a finding is about; empty where there is none."""
        if self.focus is None or self.focus.kind != "finding":
            return self.focus.name if self.focus else ""
        return self.subject.findings[int(self.focus.name)].finding.subject if self.subject else ""

    def step(self, by: int) -> bool:
        """Back or forward; False at the end."""
        if by < 0:
            self._note()
        place = self.history.step(by)
        if place is None:
            return False
        self.page, self.focus = place.page, place.focus  # type: ignore[assignment]
        return True

    def next_finding(self, backwards: bool = False) -> int | None:
        """The number of the error or warning after the one that was gone to last."""
        if self.subject is None:
            return None
        from tui.model.findings.page import next_number

        return next_number(self.subject, self._walked, backwards)

    @property
    def without_findings(self) -> str:
        """What is to be said where there is no finding to go to: what was not checked is not said to be well."""
        if self.subject is None or self.subject.stage != "examined":
            return "not looked at yet"
        left = sum(bool(check.unchecked) for check in self.subject.checks)
        none = "no errors or warnings"
        return f"{none}; {plural(left, 'check')} not made: 3 lists them" if left else none

    @property
    def waiting(self) -> str:
        """What stands in the place of a verdict as long as nothing is open."""
        if self.progress is None:
            return "… reading headers"
        if not self.progress.ended:
            return "… following a load"
        return "… reading its trace" if self.progress.kept else "the load left no trace"

    # --- ranks ---

    def more_ranks(self, by: int) -> str | None:
        """The next legal number of ranks; what stands against it, if there is none."""
        self.touched = True
        with self._changing():
            return super().more_ranks(by)

    def _renumber(self, before: Sequence[Told], after: Sequence[Told]) -> None:
        """Findings go by their numbers, which are others now; to those that are gone nothing leads back."""
        numbers = {_said(told): number for number, told in reversed(list(enumerate(after)))}
        new = [numbers.get(_said(told)) for told in before]

        def now(focus: Target | None) -> Target | None:
            if focus is None or focus.kind != "finding":
                return focus
            number = new[int(focus.name)]
            return None if number is None else Target("finding", str(number))

        self.history.revise(lambda place: None if place.focus and not now(place.focus) else
                            replace(place, focus=now(place.focus)))  # fmt: skip
        self.focus = now(self.focus)
        self.opened = frozenset(number for each in self.opened if (number := new[each]) is not None)
        self._walked = None if self._walked is None else new[self._walked]

    def next_rank(self, by: int) -> None:
        """Another rank is highlighted."""
        self.touched = True
        super().next_rank(by)

    # --- the names ---

    def sort_next(self) -> None:
        """The flat table, in another order."""
        self.touched = self.flat = True
        self.wanted, self._flat = self.wanted.sorted_next(), None

    def dtype_next(self) -> None:
        """Only the tensors of one dtype, then those of the next."""
        self.touched = True
        self._narrow(self.wanted.typed_next(sorted({info.dtype for info in self._infos})))

    def only_marked(self) -> None:
        """Only the tensors of which something was found, or all again."""
        self.touched = True
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
        """Show these."""
        self.wanted, self._flat, self._tree = wanted, None, None

    def clear(self) -> None:
        """All names again, and nothing that is read."""
        self.values.stop()
        self._sought = ""
        self._narrow(Wanted(self.wanted.order))

    def search(self, text: str) -> None:
        """Show only what is found; without words, all again."""
        self.touched, self._sought = True, text
        self._narrow(self._searched(self.wanted))

    def _searched(self, wanted: Wanted) -> Wanted:
        return replace(wanted, found=self.last.search.find(self._sought) if self.last and self._sought else None)


def _said(told: Told) -> tuple[str, str, str]:
    return told.finding.code, told.finding.subject, told.finding.message
