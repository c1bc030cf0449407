"""The mouse does what keys do: a click selects, and one on what leads somewhere goes there."""

from __future__ import annotations

from tests.tui.seen import Seen, browse


def test_a_click_on_a_name_selects_it() -> None:
    async def told(seen: Seen) -> None:
        await seen.click("embed_tokens.weight")
        assert seen.under_cursor().startswith("embed_tokens.weight")
        assert seen.lines("page")[0].startswith("model.embed_tokens.weight") and seen.focus == "names"

    browse(told)


def test_a_click_on_a_group_opens_it_and_another_one_closes_it() -> None:
    async def told(seen: Seen) -> None:
        closed = seen.read("names")
        await seen.click("layers.0-3 ×4")
        assert "input_layernorm.weight ×4" in seen.read("names")
        await seen.click("layers.0-3 ×4")
        assert seen.read("names") == closed

    browse(told)


def test_a_click_on_a_page_of_the_line_of_pages_opens_it() -> None:
    async def told(seen: Seen) -> None:
        for page in ("findings", "config", "graph", "overview"):
            await seen.click(page)
            assert seen.tab == page

    browse(told)


def test_a_click_on_a_chip_opens_what_it_counts() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("1")
        await seen.click("✗ 2 errors")
        assert seen.lines("page")[0].startswith("✗ error  tensor.unmapped")
        await seen.click("not checked")
        assert seen.tab == "findings"

    browse(told, "broken")


def test_a_click_on_a_target_of_a_page_follows_it() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3")
        await seen.click("→ tensor model.extra.weight")
        assert seen.tab == "path" and seen.lines("page")[0].startswith("model.extra.weight")
        await seen.click("model.safetensors")
        assert seen.lines("page")[0].startswith("model.safetensors")

    browse(told, "broken", (120, 30))


def test_a_click_beside_all_targets_only_moves_the_cursor() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3")
        await seen.click("fix: ")
        assert seen.tab == "findings" and seen.focus == "page" and seen.under_cursor("page").startswith("fix: ")

    browse(told, "broken", (120, 40))


def test_a_click_on_a_key_of_the_last_line_presses_it() -> None:
    async def told(seen: Seen) -> None:
        await seen.click("? help")
        assert seen.focus == "help"
        await seen.click("esc close")
        assert seen.focus == "names"
        await seen.click("/ search")
        assert seen.focus == "search"

    browse(told)


def test_the_wheel_scrolls_what_is_below_it() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("b")
        first = seen.lines("names")[1]
        await seen.pilot._post_mouse_events([MouseScrollDown], seen.pane("names"), button=0)
        await seen.pilot.pause()
        assert first not in seen.lines("names") and seen.focus == "names"

    from textual.events import MouseScrollDown

    browse(told)
