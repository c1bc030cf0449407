"""The gestures of the keys that move in a list of lines."""

from __future__ import annotations

from tests.tui.gesture import key
from tests.tui.seen import Seen


async def table(seen: Seen) -> None:
    """The flat table, which is longer than the pane."""
    if "▾ model" in seen.read("names"):
        await seen.press("b")


@key("sheet.down", size=(120, 14))
async def _down(seen: Seen, key: str) -> None:
    await table(seen)
    await seen.press("home")
    first, second = (line.strip() for line in seen.lines("names")[1:3])
    assert seen.under_cursor() == first
    await seen.press(key)
    assert seen.under_cursor() == second
    await seen.press(*[key] * 9)
    assert first not in seen.read("names") and seen.under_cursor() == seen.lines("names")[-1].strip()


@key("sheet.up")
async def _up(seen: Seen, key: str) -> None:
    await seen.press("home", "down", "down", key)
    assert seen.under_cursor().startswith("▾ model")
    await seen.press(key, key)
    assert seen.under_cursor().startswith("lm_head.weight")


@key("sheet.page-down", size=(120, 14))
async def _page_down(seen: Seen, key: str) -> None:
    await table(seen)
    await seen.press("home", key)
    before = seen.lines("names")
    assert seen.under_cursor() == before[-1].strip(), "as far as could be seen"
    await seen.press(key)
    assert before[1] not in seen.lines("names") and before[-1].strip() != seen.under_cursor()


@key("sheet.page-up", size=(120, 14))
async def _page_up(seen: Seen, key: str) -> None:
    await table(seen)
    await seen.press("end")
    before = seen.lines("names")
    await seen.press(key)
    assert seen.under_cursor() == before[1].strip(), "as far as could be seen"
    await seen.press(key)
    assert before[-1] not in seen.lines("names") and seen.under_cursor() == seen.lines("names")[1].strip()


@key("sheet.last", size=(120, 14))
async def _last(seen: Seen, key: str) -> None:
    await seen.press("home", key)
    assert seen.under_cursor().startswith("norm.weight")


@key("sheet.first", size=(120, 14))
async def _first(seen: Seen, key: str) -> None:
    await seen.press("end", key)
    assert seen.under_cursor().startswith("lm_head.weight")


@key("sheet.open")
async def _open(seen: Seen, key: str) -> None:
    await seen.press("down", "down", "tab")
    assert seen.lines("page")[0].startswith("model.embed_tokens.weight")
    await seen.press("down", "down", key)
    assert seen.lines("page")[0].startswith("model.safetensors  39 tensors")
    await seen.press("down", "down", "down", key)
    assert seen.lines("page")[0].startswith("model.embed_tokens.weight") and seen.focus == "page"


async def _turned(seen: Seen, opens: str, closes: str) -> None:
    """A group is opened, and closed again."""
    await seen.press("home", "down", "down", "down")
    assert seen.under_cursor().startswith("▸ layers.0-3")
    await seen.press(opens)
    assert seen.under_cursor().startswith("▾ layers.0-3") and "input_layernorm.weight ×4" in seen.read("names")
    await seen.press(closes)
    assert seen.under_cursor().startswith("▸ layers.0-3") and "input_layernorm" not in seen.read("names")


@key("sheet.fold")
async def _fold(seen: Seen, key: str) -> None:
    await _turned(seen, key, key)


@key("sheet.unfold")
async def _unfold_group(seen: Seen, key: str) -> None:
    await _turned(seen, key, "left")
    await seen.press(key, key)
    assert seen.under_cursor().startswith("input_layernorm.weight ×4")
    await seen.press("up", "left")


@key("sheet.close")
async def _close(seen: Seen, key: str) -> None:
    await _turned(seen, "right", key)
    await seen.press(key)
    assert seen.under_cursor().startswith("▾ model"), "what is around"
