"""All tests of meaning, in order, each ended as ok, with findings, or not checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from tracer.checkpoint.folder import Checkpoint
from tracer.diff.values.rows import Unreadable
from tracer.meaning import gate_up, rope_order
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, not_checked

Told = Callable[[int, int], None]

TESTS: Mapping[str, Callable[[Material], Meant]] = {
    rope_order.NAME: rope_order.examine,
    gate_up.NAME: gate_up.examine,
}
"""Name, as `--expect NAME=off` has it, and test."""


def examine_meaning(
    checkpoint: Checkpoint, config: Mapping[str, Any] | None, *, expect: Mapping[str, str] | None = None,
    against: Checkpoint | None = None, told: Told | None = None,
) -> list[Meant]:  # fmt: skip
    """What the values say of their places. Raises UsageError for a test in `expect` that there is none of."""
    off = {name for name, wanted in (expect or {}).items() if wanted == "off"}
    reason = _unfit(checkpoint, config)
    if reason:
        return [not_checked(f"meaning.{name}", reason) for name in TESTS if name not in off]
    ended = []
    with closing(Material(checkpoint, config or {})) as material:
        for number, (name, test) in enumerate(TESTS.items()):
            if told is not None:
                told(number, len(TESTS))
            if name not in off:
                ended.append(_run(test, name, material))
    return ended


def _unfit(checkpoint: Checkpoint, config: Mapping[str, Any] | None) -> str:
    if checkpoint.files.folder is None:
        return "the bytes are on the Hub, and are not fetched"
    if not checkpoint.tensors:
        return "no tensor is here"
    return "" if config else "there is no config.json that says what the tensors are for"


def _run(test: Callable[[Material], Meant], name: str, material: Material) -> Meant:
    try:
        return test(material)
    except Unreadable as error:
        return not_checked(name, str(error))
