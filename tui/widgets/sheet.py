"""The one list of lines: it shows any `Page`, draws what is in sight, and knows nothing of what the lines say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, get_args

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive, reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.model.line import Line, Page, Role, Target, Text, target
from tui.widgets.visible import visible

ROLES: tuple[Role, ...] = get_args(Role)
NOTHING = Text(lambda width: ())


class Sheet(ScrollView, can_focus=True):
    """Lines with a cursor. Enter follows the line's target, Space opens and closes it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"sheet--cursor", "sheet--resting", *(f"sheet--{role}" for role in ROLES)}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="sheet.up"),
        Binding("down,j", "move(1)", "down", show=False, id="sheet.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="sheet.page-up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="sheet.page-down"),
        Binding("home,g", "edge(False)", "first line", show=False, id="sheet.first"),
        Binding("end,G", "edge(True)", "last line", show=False, id="sheet.last"),
        Binding("enter", "follow", "open", show=False, id="sheet.open"),
        Binding("space", "turn(0)", "fold or unfold", show=False, id="sheet.fold"),
        Binding("left,h", "turn(-1)", "close, or go to what is around", show=False, id="sheet.close"),
        Binding("right,l", "turn(1)", "open what is below", show=False, id="sheet.unfold"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    virtual_size: Reactive[Size] = Reactive(Size(0, 0))
    """Without a layout of the whole screen, twice, whenever there are more lines or fewer: a sheet keeps its place."""

    class Chosen(Message):
        """Enter, or a click on a span that leads somewhere."""

        def __init__(self, sheet: Sheet, target: Target) -> None:
            super().__init__()
            self.sheet, self.target = sheet, target

        @property
        def control(self) -> Sheet:
            return self.sheet

    class Turned(Message):
        """A line is to be opened (1), closed (-1), or the one or the other (0)."""

        def __init__(self, sheet: Sheet, number: int, way: int) -> None:
            super().__init__()
            self.sheet, self.number, self.way = sheet, number, way

        @property
        def control(self) -> Sheet:
            return self.sheet

    def __init__(self, id: str, links: bool = False) -> None:
        super().__init__(id=id)
        self.links = links
        """Whether one click on what leads somewhere goes there; in a list of things it selects first."""
        self.page: Page = NOTHING
        self._lines: Sequence[Line] = ()
        self._heading: Line | None = None
        self._styles: dict[tuple[Role | None, ...], Style] = {}
        """Those of one frame: each is a sum over all that the sheet stands in."""

    def show(self, page: Page, cursor: int | None = None) -> None:
        """Show a page; the cursor stays on its line unless another is named. Nobody moved it, so nobody is told."""
        self.page = page
        self._read()
        self.set_reactive(Sheet.cursor, self._inside(self.cursor if cursor is None else cursor))
        self._reach()
        self.refresh()

    @property
    def here(self) -> Target | None:
        """Where the cursor's line leads."""
        return target(self._lines[self.cursor]) if self._lines else None

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    @property
    def _width(self) -> int:
        return max(self.scrollable_content_region.width, 1)

    def _read(self) -> None:
        width = self._width
        self._lines, self._heading = self.page.lines(width), self.page.heading(width)
        self.virtual_size = Size(width, len(self._lines) + self._top)

    @property
    def _top(self) -> int:
        """Lines that the heading takes."""
        return 0 if self._heading is None else 1

    def _inside(self, number: int) -> int:
        return max(0, min(number, len(self._lines) - 1))

    # --- drawing ---

    def render_lines(self, crop: Region) -> list[Strip]:
        self._styles = {}
        return super().render_lines(crop)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self._style()
        if self._heading is not None and y == 0:
            return self._strip(self._heading, base, width)
        number = self.scroll_offset.y + y - self._top
        if not 0 <= number < len(self._lines):
            return Strip.blank(width, base)
        marked = number == self.cursor and self.has_focus
        return self._strip(self._lines[number], base, width, self._cursor_style(number, marked))

    def _cursor_style(self, number: int, focused: bool) -> Style | None:
        if number != self.cursor:
            return None
        return self.get_component_rich_style("sheet--cursor" if focused else "sheet--resting", partial=True)

    def _strip(self, spans: Line, base: Style, width: int, over: Style | None = None) -> Strip:
        segments = []
        for span in spans:
            style = self._style(span.role, span.under)
            segments.append(Segment(visible(span.text), style + over if over else style))
        return Strip(segments).extend_cell_length(width, base + over if over else base).crop(0, width)

    def _style(self, role: Role | None = None, under: Role | None = None) -> Style:
        """Of the sheet itself, or of a span that is drawn in it."""
        if (role, under) not in self._styles:
            style = self.rich_style
            if role:
                style += self.get_component_rich_style(f"sheet--{role}", partial=True)
            if under:
                style += Style(bgcolor=self.get_component_rich_style(f"sheet--{under}", partial=True).color)
            self._styles[role, under] = style
        return self._styles[role, under]

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    # --- moving ---

    def watch_cursor(self, old: int, new: int) -> None:
        self._reach()
        self.refresh()

    def _reach(self) -> None:
        """Scroll until the cursor is in sight."""
        height = max(self.scrollable_content_region.height - self._top, 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        self.cursor = self._inside(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.cursor = self._inside(self.cursor + by * max(self.size.height - 2, 1))

    def action_edge(self, last: bool) -> None:
        self.cursor = self._inside(len(self._lines) - 1 if last else 0)

    def action_follow(self) -> None:
        if self.here is not None:
            self.post_message(self.Chosen(self, self.here))

    def action_turn(self, way: int) -> None:
        self.post_message(self.Turned(self, self.cursor, way))

    # --- what the terminal does ---

    def on_resize(self, event: events.Resize) -> None:
        if self.virtual_size.width != self._width:
            self._read()
            self.set_reactive(Sheet.cursor, self._inside(self.cursor))
        self._reach()
        self.refresh()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        number = self.scroll_offset.y + event.get_content_offset_capture(self).y - self._top
        if not 0 <= number < len(self._lines):
            return
        already, self.cursor = self.cursor == number, number
        spot = self._span_at(self._lines[number], event.get_content_offset_capture(self).x)
        if self.links and spot is not None:
            self.post_message(self.Chosen(self, spot))
        elif (already or event.chain > 1) and (whole := spot or target(self._lines[number])):
            self.post_message(self.Chosen(self, whole))
        elif event.chain == 1:
            self.post_message(self.Turned(self, number, 0))

    def _span_at(self, spans: Line, x: int) -> Target | None:
        """Where the span at a column leads."""
        for span in spans:
            x -= Segment(span.text).cell_length
            if x < 0:
                return span.target
        return None

    def visible_region(self) -> Region:
        """The lines in sight, for tests."""
        return Region(0, self.scroll_offset.y, self.size.width, self.size.height - self._top)
