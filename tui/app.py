"""The browser: what keys, clicks and the palette do. What is shown is `tui.model`'s affair."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from tui.arriving import Arriving
from tui.bindings import BINDINGS
from tui.keys import bindings
from tui.model.browsing import Browsing
from tui.model.line import Target
from tui.widgets.help import HelpScreen
from tui.widgets.oneline import OneLine
from tui.widgets.path_screen import PathScreen
from tui.widgets.sheet import Sheet

_WHILE_TYPING = ("quit", "command_palette", "help_quit", "suspend_process", "screenshot")


class Browser(Arriving):
    """`tracer browse`."""

    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(self, where: str | None = None, tp: int = 1, keymap: dict[str, str] | None = None) -> None:
        super().__init__(Browsing(where, tp))
        self._keys_of_user = keymap or {}

    def on_mount(self) -> None:
        self.set_keymap(self._keys_of_user)
        # Textual goes on after `fg`, on a screen that has been emptied.
        self.app_resume_signal.subscribe(self, lambda app: self.refresh(layout=True))
        self.names.focus()
        self.watch(self.names, "cursor", self._looked_at, init=False)
        self._draw()
        self._open()

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

    def action_been(self, by: int) -> None:
        if self.browsing.step(by):
            self._draw_page(0)
            self.names.show(self.browsing.names(), self.browsing.focused_row)
            self._uncover(self.sheet)

    # --- pages ---

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

    @on(Sheet.Turned, "#page")
    def _unfolded(self, event: Sheet.Turned) -> None:
        """What follows from a finding is folded below it."""
        here, opened = self.sheet.here, self.browsing.opened
        if self.browsing.page == "findings" and here is not None and here.kind == "finding":
            one = frozenset([int(here.name)])
            wanted = event.way > 0 if event.way else not one <= opened
            self.browsing.opened = opened | one if wanted else opened - one
            self._draw_page()

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
        self._draw()

    def action_rank(self, by: int) -> None:
        self.browsing.next_rank(by)
        self._draw_top()
        self._draw_page()

    # --- names ---

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

    # --- values, and another beside it ---

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

    def action_compare(self) -> None:
        self.push_screen(PathScreen("compare with: a folder, a file, an id on the Hub, or a trace"), self._compare_with)

    def _compare_with(self, other: str | None) -> None:
        subject = self.browsing.subject
        if other and subject is not None:
            from tui.model.comparing import Comparing

            self.browsing.comparing = asked = Comparing(other)
            self.browsing.visit("compare")
            self._draw_page(0)
            self._uncover(self.sheet)
            self._compare(subject, asked)

    # --- searching ---

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

    def action_clear(self) -> None:
        line = self.query_one("#search", Input)
        line.remove_class("open")
        line.value = ""
        self.browsing.clear()
        self._uncover(self.names)
        self.screen.set_focus(self.names)
        self.names.show(self.browsing.names(), self.browsing.focused_row)
        self._draw_page()
        self.refresh_bindings()

    # --- copies ---

    def action_copy_name(self) -> None:
        name = self.browsing.named
        if name:
            self.copy_to_clipboard(name)
            self._say(f"sent to the terminal's clipboard: {name}")

    def action_copy_diagnosis(self) -> None:
        subject = self.browsing.subject
        if subject is None:
            return
        focus = self.browsing.focus
        from tui.model.findings.markdown import all_markdown, one_markdown

        one = focus is not None and focus.kind == "finding"
        text = one_markdown(subject, int(focus.name)) if one and focus else all_markdown(subject)
        self.copy_to_clipboard(text)
        self._say("sent to the terminal's clipboard, as Markdown")

    # --- the keys themselves ---

    def action_help(self) -> None:
        self.push_screen(HelpScreen(bindings(type(self)), self._keys_of_user))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What a key would do now: in a line of text most are characters, and Escape needs something to clear.

        Over the browser stands what has keys of its own.
        """
        over, typing = len(self.screen_stack) > 1, isinstance(self.focused, Input)
        if action == "clear":
            return not over and (typing or self.browsing.clearable)
        return not (over or typing) or action in _WHILE_TYPING

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What keys do, by its words; and what has no key."""
        for binding in self.BINDINGS:
            if isinstance(binding, Binding):
                told = binding.tooltip or binding.description
                yield SystemCommand(told, str(binding.id), partial(self.run_action, binding.action))
        yield SystemCommand("theme", "other colours", self.action_change_theme)
        yield SystemCommand("screenshot", "what is seen, as an SVG file", self.deliver_screenshot)
