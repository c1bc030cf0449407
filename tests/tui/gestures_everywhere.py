"""The gestures of the keys that do something everywhere."""

from __future__ import annotations

from functools import partial

from tests.tui.gesture import key
from tests.tui.seen import Seen
from tests.tui.subjects import LOST

PAGES = {
    "overview": "╭─ layers 0-3 ×4", "path": "laid out", "findings": "no errors were found", "config": "config.json  9",
    "values": "not read: v reads", "graph": "◉ tensor", "compare": "press D",
}  # fmt: skip
"""What stands on each page of the clean checkpoint, and on no other."""


# --- what is there ---


@key("search")
async def _search(seen: Seen, key: str) -> None:
    await seen.press(key)
    assert seen.focus == "search"
    await seen.type("k_proj 2")
    assert [line.split()[0] for line in seen.lines("names") if ".weight" in line] == ["2.self_attn.k_proj.weight"]
    await seen.press("enter")
    assert (seen.focus, seen.tab) == ("names", "path")
    assert seen.lines("page")[0].startswith("model.layers.2.self_attn.k_proj.weight")
    assert seen.under_cursor().startswith("2.self_attn.k_proj.weight")
    await seen.press("escape")
    assert "lm_head" in seen.read("names") and "k_proj.weight" in seen.under_cursor(), "one stays where one is"


@key("clear")
async def _clear(seen: Seen, key: str) -> None:
    before = seen.read("names")
    await seen.press("slash")
    await seen.type("k_proj")
    assert "lm_head" not in seen.read("names")
    await seen.press(key)
    assert seen.read("names") == before and seen.focus == "names"
    await seen.press("f", key)
    assert seen.read("names") == before


@key("names.flat")
async def _flat(seen: Seen, key: str) -> None:
    tree = seen.read("names")
    await seen.press(key)
    assert seen.lines("names")[1].split()[0] == "model.embed_tokens.weight" and "▸" not in seen.read("names")
    assert len([line for line in seen.lines("names") if ".weight" in line]) == len(seen.lines("names")) - 1
    await seen.press(key)
    assert seen.read("names") == tree


@key("names.sort")
async def _sort(seen: Seen, key: str) -> None:
    await seen.press("b")
    in_order, orders = seen.read("names"), set()
    while seen.read("names") not in orders:
        orders.add(seen.read("names"))
        await seen.press(key)
    assert in_order in orders and len(orders) >= 3
    assert any(order.splitlines()[1].split()[0].endswith("embed_tokens.weight") for order in orders)


@key("names.dtype", "quantised")
async def _dtype(seen: Seen, key: str) -> None:
    before, shown = seen.read("names"), []
    while (names := seen.read("names")) not in shown:
        shown.append(names)
        await seen.press(key)
    floats, integers = shown[1:]
    assert names == before and "norm.weight" in floats and "qweight" not in floats
    assert "norm.weight" not in integers and "qweight" in integers


@key("names.problems", "broken")
async def _problems(seen: Seen, key: str) -> None:
    before = seen.read("names")
    await seen.press(key)
    assert "✗ model.extra.weight" in seen.read("names") and "lm_head" not in seen.read("names")
    await seen.press(key)
    assert seen.read("names") == before


@key("names.unfold")
async def _unfold(seen: Seen, key: str) -> None:
    assert "layers.0-3 ×4" in seen.read("names")
    await seen.press("down", "down", "down")
    assert seen.under_cursor().startswith("▸ layers.0-3 ×4")
    await seen.press(key)
    assert [line.split()[1] for line in seen.lines("names") if " ▸ " in line] == ["0", "1", "2", "3"]


# --- pages ---


async def _page(seen: Seen, key: str, name: str) -> None:
    await seen.press("slash")
    await seen.type("k_proj")
    await seen.press("enter", "7" if name != "compare" else "1")
    await seen.press(key)
    await seen.until(PAGES[name])
    assert seen.tab == name
    assert [page for page, text in PAGES.items() if text in seen.read("page")] == [name]
    await seen.press("escape")


@key("values.read")
async def _values(seen: Seen, key: str) -> None:
    await seen.press("down", "down", key)
    await seen.until("histogram")
    assert seen.tab == "values" and seen.lines("page")[0].startswith("model.embed_tokens.weight")
    assert "numbers     16,384" in seen.read("page")


@key("page.follow")
async def _follow(seen: Seen, key: str) -> None:
    await seen.press(key)
    assert seen.tab == "overview" and seen.said == "no load is followed"


for _name in PAGES:
    key(f"page.{_name}")(partial(_page, name=_name))


@key("compare")
async def _compare(seen: Seen, key: str) -> None:
    await seen.press(key)
    assert "compare with" in seen.text and seen.focus == "path"
    await seen.press("escape")
    assert "compare with" not in seen.text and seen.focus == "names"
    await seen.press(key)
    await seen.type("nowhere")
    await seen.press("enter")
    await seen.until("nowhere: no such file or folder")
    assert seen.tab == "compare"


@key("history.back")
async def _back(seen: Seen, key: str) -> None:
    await seen.press("3", "4", "6", key)
    assert seen.tab == "config"
    await seen.press(key)
    assert seen.tab == "findings"


@key("history.forward")
async def _forward(seen: Seen, key: str) -> None:
    await seen.press("3", "4", "backspace")
    assert seen.tab == "findings"
    await seen.press(key)
    assert seen.tab == "config"
    await seen.press(key)
    assert seen.tab == "config"


# --- findings ---


@key("finding.next", "broken")
async def _next_finding(seen: Seen, key: str) -> None:
    assert seen.lines("page")[0] == "✗ error  tensor.unmapped"
    assert seen.under_cursor().startswith("✗ extra.weight")
    await seen.press(key)
    assert seen.lines("page")[0] == "✗ error  param.unfilled" and f"{LOST} is not in" in seen.text.replace("\n", " ")
    await seen.press(key)
    assert seen.lines("page")[0] == "✗ error  tensor.unmapped"


@key("finding.previous", "broken")
async def _finding_before(seen: Seen, key: str) -> None:
    await seen.press("n", key)
    assert seen.lines("page")[0] == "✗ error  tensor.unmapped"
    await seen.press(key)
    assert seen.lines("page")[0] == "✗ error  param.unfilled"


# --- ranks ---


def cut(seen: Seen) -> tuple[int, int]:
    """The number of ranks and the rank, as the first line says them."""
    words = seen.top.split()
    return int(words[words.index("tp") + 1]), int(words[words.index("rank") + 1])


@key("tp.more", size=(120, 40))
async def _more_ranks(seen: Seen, key: str) -> None:
    if "tp 8" in seen.top:
        await seen.press("minus", "minus")
    await seen.press("slash")
    await seen.type("q_proj")
    await seen.press("enter")
    assert cut(seen)[0] == 2 and "[32:64]" in seen.read("page")
    await seen.press(key)
    assert cut(seen)[0] == 4 and "[48:64]" in seen.read("page") and "rank 3" in seen.read("page")
    await seen.press(key, key)
    assert cut(seen)[0] == 8 and seen.said.startswith("tp 16: ")


@key("tp.fewer")
async def _fewer_ranks(seen: Seen, key: str) -> None:
    await seen.press(key)
    assert cut(seen)[0] == 1
    await seen.press(key)
    assert cut(seen)[0] == 1 and seen.said == "tp 1 is the smallest"


@key("rank.next")
async def _next_rank(seen: Seen, key: str) -> None:
    await seen.press("down", "down")
    await seen.press(key)
    assert cut(seen) == (2, 1) and "▶ [128:256]" in seen.read("page")
    await seen.press(key)
    assert cut(seen) == (2, 0) and "▶ [0:128]" in seen.read("page")


@key("rank.previous")
async def _rank_before(seen: Seen, key: str) -> None:
    await seen.press("plus", key)
    assert cut(seen) == (4, 3)
    await seen.press(key)
    assert cut(seen) == (4, 2)


# --- copies ---


@key("copy.name")
async def _copy_name(seen: Seen, key: str) -> None:
    await seen.press("down", "down", key)
    assert seen.clipboard == "model.embed_tokens.weight"
    assert seen.said.endswith("clipboard: model.embed_tokens.weight")


@key("copy.diagnosis", "broken")
async def _copy_diagnosis(seen: Seen, key: str) -> None:
    await seen.press(key)
    assert "`tensor.unmapped`" in seen.clipboard and "param.unfilled" not in seen.clipboard
    assert seen.said.endswith("clipboard, as Markdown")
    await seen.press("down", key)
    assert "tensor.unmapped" in seen.clipboard and "param.unfilled" in seen.clipboard


# --- panes ---


@key("pane.other")
async def _other_pane(seen: Seen, key: str) -> None:
    assert seen.focus == "names"
    await seen.press(key)
    assert seen.focus == "page"
    await seen.press(key)
    assert seen.focus == "names"


@key("pane.zoom")
async def _zoom(seen: Seen, key: str) -> None:
    both = seen.text
    await seen.press(key)
    assert seen.rows[2].rstrip().endswith("│") and "overview" not in seen.text
    assert len(seen.lines("names")[0]) > 100
    await seen.press(key)
    assert seen.text == both
    await seen.press("tab", key)
    assert "lm_head.weight   " not in seen.rows[2] and "▸1 overview" in seen.rows[1][:20]
    await seen.press(key, "tab")
    assert seen.text == both


@key("help")
async def _help(seen: Seen, key: str) -> None:
    before = seen.text
    await seen.press(key)
    assert "keys" in seen.text and seen.focus == "help"
    await seen.press(key)
    assert seen.text == before and seen.focus == "names"


@key("quit")
async def _quit(seen: Seen, key: str) -> None:
    await seen.pilot.press(key)
    await seen.closed()
    assert seen.app.return_code == 0


@key("suspend")
async def _suspend(seen: Seen, key: str) -> None:
    """Where there is no shell, it goes on; `test_ending.py` has one."""
    before = seen.text
    await seen.press(key)
    assert seen.text == before
