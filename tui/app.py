"""The browser: two panes, a line above and a line below, and keys. What they show is `tui.model`'s affair."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import events, on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from tracer.errors import TraceLoadError
from tui.bindings import BINDINGS
from tui.keys import bindings
from tui.model.arrival import Arrival, arrival
from tui.model.browsing import Browsing
from tui.model.findings.chips import chips
from tui.model.follow.waiting import followed
from tui.model.line import Span, Target
from tui.model.opening import open_subject
from tui.model.subject import Subject
from tui.model.tabs import tabs
from tui.model.title import title
from tui.widgets.help import HelpScreen
from tui.widgets.keyline import KeyLine
from tui.widgets.oneline import OneLine
from tui.widgets.path_screen import PathScreen
from tui.widgets.sheet import Sheet
from tui.widgets.visible import visible

if TYPE_CHECKING:
    from tracer.checkpoint.folder import Checkpoint
    from tracer.checkpoint.tensor_info import TensorInfo
    from tui.model.comparing import Comparing
    from tui.model.follow.progress import Progress
    from tui.model.numbers.state import Values
    from tui.model.overview.inference import Inference

NARROW, TINY = 100, 60
"""Columns below which the panes stand above each other, and below which only one is shown."""
SAID = 3.0
"""Seconds that a word stands."""
PATIENCE = 0.2
"""Seconds that drawing is waited for, as nothing is drawn any more when the browser is being closed."""


_WHILE_TYPING = ("quit", "command_palette", "help_quit", "suspend_process", "screenshot")


class Browser(App[int]):
    """`tracer browse`."""

    TITLE = "trace-load"
    CSS_PATH = "look.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(self, where: str | None = None, tp: int = 1, keymap: dict[str, str] | None = None) -> None:
        super().__init__()
        self.browsing = Browsing(where, tp)
        self.browsing.colours = not self.no_color
        self.kept: Callable[[], object] = lambda: None
        """Called whenever much was made that stays."""
        self.failed = ""
        """What ended it, in one line."""
        self._keys_of_user = keymap or {}

    def compose(self) -> ComposeResult:
        yield OneLine("top")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Sheet("names")
            with Vertical(id="right"):
                yield OneLine("pages")
                yield Sheet("page", links=True)
        yield Input(placeholder="search: words that all must occur; a number is a layer or an expert", id="search")
        yield KeyLine("keys")

    def on_mount(self) -> None:
        self.set_keymap(self._keys_of_user)
        # Textual goes on after `fg`, on a screen that has been emptied.
        self.app_resume_signal.subscribe(self, lambda app: self.refresh(layout=True))
        self.names.focus()
        self.watch(self.names, "cursor", self._looked_at, init=False)
        self._draw()
        self._open()

    def on_unmount(self) -> None:
        self.browsing.values.stop()

    @property
    def names(self) -> Sheet:
        return self.query_one("#names", Sheet)

    @property
    def sheet(self) -> Sheet:
        return self.query_one("#page", Sheet)

    # --- what arrives ---

    @work(thread=True, exclusive=True, group="open")
    def _open(self) -> None:
        worker = get_current_worker()
        for progress in followed(self.browsing.where, lambda: worker.is_cancelled):
            self._tell(self._progressed, progress)
        if worker.is_cancelled:
            return
        try:
            open_subject(self.browsing.where, self.browsing.tp, self._hand_over)
        except (TraceLoadError, OSError) as error:
            self._tell(self._fail, str(error))

    def _tell(self, told: Callable[..., object], *what: object) -> None:
        """From a thread to the one that draws, which may have ended: nobody waits for it, as that would be for ever."""
        with suppress(RuntimeError):
            self.call_later(told, *what)

    def _hand_over(self, subject: Subject) -> None:
        """Go on when it was drawn: what is done here would make drawing wait."""
        drawn = Event()
        arrived = arrival(subject, self.browsing.tp, self.browsing.last)
        self.kept()
        self._tell(self._arrived, arrived)
        self._tell(self.call_after_refresh, drawn.set)
        drawn.wait(PATIENCE)

    def _arrived(self, what: Arrival) -> None:
        subject = what.subject
        self.browsing.arrived(what)
        self._draw()
        focus = self.browsing.focus
        row = self.browsing.row_of(focus) if focus else None
        self.names.show(self.browsing.names(), row)
        if subject.stage == "examined":
            if focus is not None and not self.browsing.touched:
                self._uncover(self.sheet)  # where one pane has room, it is that with the answer
            self._study(subject)

    def _progressed(self, progress: Progress) -> None:
        self.browsing.progress = progress
        self._draw_top()
        self._draw_page()

    @work(thread=True, exclusive=True, group="study")
    def _study(self, subject: Subject) -> None:
        """What shapes say, which takes longer than to show what is there."""
        from tui.model.overview.inference import study

        found = study(subject)
        self.kept()
        self._tell(self._studied, subject, found)

    def _studied(self, subject: Subject, found: Inference) -> None:
        if subject is self.browsing.subject:
            self.browsing.inference = found
            if self.browsing.page in ("overview", "config"):
                self._draw_page()

    def _fail(self, message: str) -> None:
        self.failed = message
        self.exit(2)

    # --- drawing ---

    def _draw(self) -> None:
        """Everything, from the state."""
        self._draw_top()
        self._draw_page()
        self.names.show(self.browsing.names())

    def _draw_top(self) -> None:
        state = self.browsing
        subject = state.subject
        end = (*chips(subject), Span(" ")) if subject else (Span(f"{state.waiting} ", "dim"),)
        taken = sum(len(span.text) for span in end)
        self.query_one("#top", OneLine).say(
            lambda width: title(state.where, subject, state.tp, state.rank, width - taken - 1), end
        )

    def _draw_page(self, cursor: int | None = None) -> None:
        self.query_one("#pages", OneLine).say(lambda width: tabs(self.browsing.pages, self.browsing.page, width))
        self.sheet.show(self.browsing.shown(), cursor)

    # --- moving ---

    def _looked_at(self) -> None:
        """At once, so that both panes are drawn in one frame."""
        if not self.names.has_focus or self.names.here is None:
            return
        self.browsing.touched = True
        self.browsing.look(self.names.here)
        self._draw_page(0)

    @on(Sheet.Chosen)
    def _chosen(self, event: Sheet.Chosen) -> None:
        if event.sheet is self.names and event.target.kind == "group":
            self.names.post_message(Sheet.Turned(self.names, self.names.cursor, 0))
        else:
            self._go(event.target)

    @on(OneLine.Clicked)
    def _clicked(self, event: OneLine.Clicked) -> None:
        self._go(event.target)

    def _go(self, target: Target) -> None:
        self.browsing.touched = True
        if target.kind == "page":
            self.action_page(target.name)
        elif target.kind == "rank":
            self.browsing.rank = int(target.name)
            self._draw()
        else:
            row = self.browsing.go(target)
            self._draw_page(0)
            self.names.show(self.browsing.names(), row)
            self._uncover(self.sheet)

    @on(Sheet.Turned, "#names")
    def _turned(self, event: Sheet.Turned) -> None:
        tree, number = self.browsing.tree, event.number
        if self.browsing.flat or not tree.rows:
            return
        self.browsing.touched = True
        node = tree.rows[number].node
        if event.way < 0 and (node.is_tensor or not node.opened):
            self.names.cursor = tree.parent(number)
            return
        if event.way > 0 and node.opened:
            self.names.action_move(1)
            return
        tree.toggle(number, None if event.way == 0 else event.way > 0)
        self.names.show(self.browsing.names())

    @on(Sheet.Turned, "#page")
    def _unfolded(self, event: Sheet.Turned) -> None:
        """What follows from a finding is folded below it."""
        here, opened = self.sheet.here, self.browsing.opened
        if self.browsing.page == "findings" and here is not None and here.kind == "finding":
            one = frozenset([int(here.name)])
            wanted = event.way > 0 if event.way else not one <= opened
            self.browsing.opened = opened | one if wanted else opened - one
            self._draw_page()

    # --- values ---

    def action_values(self) -> None:
        """Read those of the tensor that is looked at, after asking where that is much."""
        state = self.browsing
        state.touched = True
        self._look_here()
        info, subject = state.looked_at, state.subject
        state.visit("values")
        if info is not None and subject is not None and state.values.wish(subject.checkpoint, info):
            assert subject.checkpoint is not None
            self._read_values(subject.checkpoint, info)
        self._draw_page(0)
        self._uncover(self.sheet)
        self.refresh_bindings()

    @work(thread=True, group="values")
    def _read_values(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        self.browsing.values.read(checkpoint, info, lambda state: self._tell(self._values_changed, state))

    def _values_changed(self, state: Values) -> None:
        if self.browsing.values.heard(state):
            if state.look is not None and self.browsing.judge(state.look.statistics):
                self._draw_top()
            if self.browsing.page == "values":
                self._draw_page()
            self.refresh_bindings()

    # --- beside another ---

    def action_compare(self) -> None:
        self.push_screen(PathScreen("compare with: a folder, a file, an id on the Hub, or a trace"), self._compare_with)

    def _compare_with(self, other: str | None) -> None:
        subject = self.browsing.subject
        if other and subject is not None:
            from tui.model.comparing import Comparing

            self.browsing.comparing = Comparing(other)
            self.browsing.visit("compare")
            self._draw_page(0)
            self._uncover(self.sheet)
            self._compare(subject, other)

    @work(thread=True, exclusive=True, group="compare")
    def _compare(self, subject: Subject, other: str) -> None:
        from tui.model.comparing import Comparing, beside

        try:
            done = Comparing(other, beside(subject, other))
        except (TraceLoadError, OSError) as error:
            done = Comparing(other, why=str(error))
        self._tell(self._compared, done)

    def _compared(self, state: Comparing) -> None:
        self.browsing.comparing = state
        self.browsing.values.other = state.found.checkpoint if state.found else None
        self._draw_page()

    # --- actions ---

    def _say(self, message: str, severity: Literal["information", "warning"] = "information") -> None:
        """One word at a time: what was said before is over when a key is pressed again."""
        self.clear_notifications()
        self.notify(visible(message), severity=severity, timeout=SAID, markup=False)

    def action_page(self, name: str) -> None:
        if name not in self.browsing.pages:
            self._say("no load is followed")
            return
        self.browsing.touched = True
        self._look_here()
        self.browsing.visit(name)
        self._draw_page(0)
        self._uncover(self.sheet)

    def _look_here(self) -> None:
        """Whoever asks for a page before anything was chosen means what the cursor is on."""
        self.browsing.focus = self.browsing.focus or self.names.here

    def action_finding(self, backwards: bool) -> None:
        number = self.browsing.next_finding(backwards)
        if number is None:
            self._say(self.browsing.without_findings)
        else:
            self._go(Target("finding", str(number)))

    def action_ranks(self, by: int) -> None:
        refusal = self.browsing.more_ranks(by)
        if refusal:
            self._say(refusal, severity="warning")
        self._draw_top()
        self._draw_page()

    def action_rank(self, by: int) -> None:
        self.browsing.next_rank(by)
        self._draw_top()
        self._draw_page()

    def action_flat(self) -> None:
        self.browsing.touched, self.browsing.flat = True, not self.browsing.flat
        self._renamed()

    def action_sort(self) -> None:
        self.browsing.sort_next()
        self._renamed()

    def action_dtype(self) -> None:
        self.browsing.dtype_next()
        self._renamed()

    def action_problems(self) -> None:
        self.browsing.only_marked()
        self._renamed()

    def _renamed(self) -> None:
        self.names.show(self.browsing.names(), 0)
        self._uncover(self.names)
        self.refresh_bindings()

    def action_unfold(self) -> None:
        if not self.browsing.flat and self.browsing.tree.rows and self.browsing.tree.unfold(self.names.cursor):
            self.names.show(self.browsing.names())

    def action_copy_name(self) -> None:
        target = self.browsing.focus
        if target is not None:
            self.copy_to_clipboard(target.name)
            self._say(f"sent to the terminal's clipboard: {target.name}")

    def action_copy_diagnosis(self) -> None:
        subject = self.browsing.subject
        if subject is None:
            return
        focus = self.browsing.focus
        from tui.model.findings.markdown import all_markdown, markdown

        one = focus is not None and focus.kind == "finding"
        text = markdown(subject.findings[int(focus.name)]) if one and focus else all_markdown(subject)
        self.copy_to_clipboard(text)
        self._say("sent to the terminal's clipboard, as Markdown")

    def action_been(self, by: int) -> None:
        if self.browsing.step(by):
            self._draw_page(0)
            focus = self.browsing.focus
            self.names.show(self.browsing.names(), self.browsing.row_of(focus) if focus else None)
            self._uncover(self.sheet)

    def action_other_pane(self) -> None:
        other = self.sheet if self.names.has_focus else self.names
        self._uncover(other)
        self.screen.set_focus(other)

    def _uncover(self, pane: Sheet) -> None:
        """Show a pane that the other one hides; where there is only room for one, keys go to it too."""
        self.screen.remove_class("zoomed-right" if pane is self.names else "zoomed-left")
        if self.screen.has_class("tiny"):
            self.screen.set_class(pane is self.sheet, "turned")
            self.screen.set_focus(pane)

    def action_zoom(self) -> None:
        pane = "left" if self.names.has_focus else "right"
        zoomed = self.screen.has_class("zoomed-left") or self.screen.has_class("zoomed-right")
        self.screen.remove_class("zoomed-left", "zoomed-right")
        if not zoomed:
            self.screen.add_class(f"zoomed-{pane}")

    def action_help(self) -> None:
        self.push_screen(HelpScreen(bindings(type(self)), self._keys_of_user))

    def action_clear(self) -> None:
        line = self.query_one("#search", Input)
        line.remove_class("open")
        line.value = ""
        self.browsing.clear()
        self._uncover(self.names)
        self.screen.set_focus(self.names)
        focus = self.browsing.focus
        self.names.show(self.browsing.names(), self.browsing.row_of(focus) if focus else None)
        self._draw_page()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What a key would do now: in a line of text most are characters, and Escape needs something to clear.

        Over the browser stands what has keys of its own.
        """
        over, typing = len(self.screen_stack) > 1, isinstance(self.focused, Input)
        if action == "clear":
            return not over and (typing or self.browsing.clearable)
        return not (over or typing) or action in _WHILE_TYPING

    def action_search(self) -> None:
        line = self.query_one("#search", Input)
        line.add_class("open")
        self._uncover(self.names)
        self.screen.set_focus(line)  # at once: `focus()` would let the next keys do what they do elsewhere

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        if not event.input.has_class("open"):  # it was emptied, and nobody typed
            return
        self.browsing.search(event.value)
        self.names.show(self.browsing.names(), self.browsing.first_tensor)

    @on(Input.Submitted, "#search")
    def _found(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self.screen.set_focus(self.names)
        if self.names.here is not None:
            self._go(self.names.here)

    def on_resize(self, event: events.Resize) -> None:
        self.screen.set_class(event.size.width < NARROW, "narrow")
        self.screen.set_class(event.size.width < TINY, "tiny")
        self.screen.set_class(self.sheet.has_focus, "turned")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What keys do, by its words; and what has no key."""
        for binding in self.BINDINGS:
            if isinstance(binding, Binding):
                told = binding.tooltip or binding.description
                yield SystemCommand(told, str(binding.id), partial(self.run_action, binding.action))
        yield SystemCommand("theme", "other colours", self.action_change_theme)
        yield SystemCommand("screenshot", "what is seen, as an SVG file", self.deliver_screenshot)
