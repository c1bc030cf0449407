"""Every key does what its binding says, and it can be seen: each gesture is held against the bindings themselves."""

from __future__ import annotations

import pytest

from tests.tui import gestures_everywhere, gestures_in_lists
from tests.tui.gesture import GESTURES
from tests.tui.seen import Seen, browse
from tui.app import Browser
from tui.keys import bindings

assert gestures_everywhere and gestures_in_lists, "imported for what they add to the table"
KEYS = {str(binding.id): binding.key.split(",") for binding in bindings(Browser)}
SESSIONS = [(id, keys) for id, keys in KEYS.items() if id != "quit"] + [("quit", [key]) for key in KEYS["quit"]]
"""All keys of a binding in one browser, but for those after which there is none."""


def test_every_binding_has_a_gesture_and_every_gesture_a_binding() -> None:
    assert set(GESTURES) == set(KEYS)


@pytest.mark.parametrize(("binding", "keys"), SESSIONS, ids=lambda part: part if isinstance(part, str) else "")
def test_every_key_of_a_binding_does_what_it_says(binding: str, keys: list[str]) -> None:
    gesture = GESTURES[binding]

    async def all_keys(seen: Seen) -> None:
        for each in keys:
            await gesture.told(seen, each)

    browse(all_keys, gesture.kind, gesture.size)


def test_no_two_bindings_have_the_same_key() -> None:
    for owner in ("sheet.", ""):
        keys = [each for binding, own in KEYS.items() if binding.startswith("sheet.") == bool(owner) for each in own]
        assert len(keys) == len(set(keys))
