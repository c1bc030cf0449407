"""Text of a file as a terminal may have it: nothing in it is obeyed, everything takes the cells that were counted."""

from __future__ import annotations

from unicodedata import category

_CONTROLS = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
"""Shown as Unicode's pictures of them."""
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """The text with every character that would not be seen, or would be obeyed, as one that is seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in _UNSEEN else c for c in text.translate(_CONTROLS))
