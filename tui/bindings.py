"""The keys that do something everywhere. Each has a stable id, by which a key map of the user's gives it other keys.

The short words stand in the line at the bottom, the sentences in the help.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType


def _key(keys: str, action: str, word: str, told: str, id: str, key_display: str | None = None) -> Binding:
    """One that stands in the line at the bottom only where a word is given."""
    return Binding(keys, action, word or told, show=bool(word), id=id, tooltip=told, key_display=key_display)


BINDINGS: list[BindingType] = [
    # Before all others, so that what comes in one packet with it is typed into the line.
    Binding("slash", "search", "search", id="search", tooltip="search all names", key_display="/", priority=True),
    _key("n", "finding(False)", "problem", "the next finding", "finding.next"),
    _key("N", "finding(True)", "", "the finding before", "finding.previous"),
    _key("plus,equals_sign", "ranks(1)", "tp", "more ranks: the next legal --tp", "tp.more", "+ -"),
    _key("minus", "ranks(-1)", "", "fewer ranks", "tp.fewer"),
    _key("r", "rank(1)", "rank", "the next rank", "rank.next"),
    _key("R", "rank(-1)", "", "the rank before", "rank.previous"),
    _key("1", "page('overview')", "", "overview: the architecture as the tensors have it", "page.overview"),
    _key("2,t", "page('path')", "", "path of what is selected", "page.path"),
    _key("3", "page('findings')", "", "findings, and what was not checked", "page.findings"),
    _key("4,c", "page('config')", "", "config.json against the tensors", "page.config"),
    _key("5", "page('values')", "", "values, if they were read", "page.values"),
    _key("6", "page('graph')", "", "graph: what leads to it, and where it leads", "page.graph"),
    _key("7", "page('compare')", "", "comparison with another", "page.compare"),
    _key("8", "page('follow')", "", "follow: the load that writes this trace", "page.follow"),
    _key("v", "values", "", "read the values of the tensor", "values.read"),
    _key("D", "compare", "", "compare with another checkpoint or trace", "compare"),
    _key("b", "flat", "table", "the flat table, or the tree", "names.flat"),
    _key("s", "sort", "", "sort the table by the next column", "names.sort"),
    _key("d", "dtype", "", "only one dtype, then the next", "names.dtype"),
    _key("f", "problems", "", "only what has a finding", "names.problems"),
    _key("u", "unfold", "", "each layer or expert of a fold on a line", "names.unfold"),
    _key("y", "copy_name", "", "copy the name", "copy.name"),
    _key("Y", "copy_diagnosis", "copy", "copy the finding, or all, as Markdown", "copy.diagnosis"),
    _key("backspace", "been(-1)", "", "back to where one was", "history.back"),
    _key("shift+backspace,right_square_bracket", "been(1)", "", "forward again", "history.forward"),
    Binding("tab", "other_pane", "the other pane", show=False, id="pane.other", priority=True),
    _key("z", "zoom", "", "the whole screen for this pane", "pane.zoom"),
    _key("escape", "clear", "clear", "clear the search, stop reading", "clear", "esc"),
    _key("question_mark,f1", "help", "help", "these keys", "help", "?"),
    _key("q,ctrl+c", "quit", "quit", "quit", "quit"),
    _key("ctrl+z", "suspend_process", "", "to the shell, until `fg`", "suspend"),
]
