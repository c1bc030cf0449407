"""All tests of meaning, in order, each ended as ok, with findings, or not checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from tracer.checkpoint.folder import Checkpoint
from tracer.diff.values.rows import Unreadable
from tracer.errors import UsageError
from tracer.meaning import (
    duplicate,
    gate_up,
    norm_offset,
    overflow,
    rope_order,
    rope_theta,
    tied_head,
    transposed,
    untrained,
)
from tracer.meaning.against import COMPARISONS, fields
from tracer.meaning.against.reconciled import reconciled
from tracer.meaning.against.whole import Compared
from tracer.meaning.drawn import why_untrained
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, not_checked
from tracer.values.targets import check_target

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Test:
    """One of them; `trained` says whether it only means something of weights that were trained."""

    examine: Callable[[Material], Meant]
    trained: bool = True


TESTS: Mapping[str, Test] = {
    rope_order.NAME: Test(rope_order.examine),
    gate_up.NAME: Test(gate_up.examine),
    transposed.NAME: Test(transposed.examine),
    norm_offset.NAME: Test(norm_offset.examine),
    rope_theta.NAME: Test(rope_theta.examine, trained=False),
    tied_head.NAME: Test(tied_head.examine, trained=False),
    untrained.NAME: Test(untrained.examine),
    duplicate.NAME: Test(duplicate.examine),
    overflow.NAME: Test(overflow.examine, trained=False),
}
"""By the name that `--expect NAME=off` has."""


def examine_meaning(
    checkpoint: Checkpoint, config: Mapping[str, Any] | None, *, expect: Mapping[str, str] | None = None,
    against: Checkpoint | None = None, dtype: str | None = None, told: Told | None = None,
) -> list[Meant]:  # fmt: skip
    """What the values say of their places; `told` hears of tests done and tests in all.

    `against` is a checkpoint known to be good, `dtype` what this one is served as, if not as config.json says.

    Some rows of some layers are read, whatever the size of the checkpoint; only what has to be cast is read whole.
    Raises UsageError for a name in `expect` that is no test's, for a dtype that nothing is cast to and for a reference
    that nothing can be compared with, and InputError for a file that became another.
    """
    asked = _asked(expect or {})
    serve = None if dtype is None else check_target(dtype)
    reason = _unfit(checkpoint, config)
    if reason:
        return [not_checked(name, reason) for name in asked]
    ended = []
    with closing(Material(checkpoint, config or {}, serve)) as material:
        compared, whole, fields = _compared(material, against, asked)
        for number, (name, test) in enumerate(asked.items()):
            if told is not None:
                told(number, len(asked))
            ended.append(_ended(name, test, material, compared.get(name)))
        if whole is not None:
            ended = [*fields, *reconciled(ended, whole)]
    return ended


def _compared(
    material: Material, against: Checkpoint | None, asked: Iterable[str]
) -> tuple[dict[str, Meant], Compared | None, list[Meant]]:  # fmt: skip
    """What comes of comparing, by test; of every tensor; and of the fields of config.json."""
    if against is None:
        return {}, None, []
    if reason := _unfit(against, against.config):
        raise UsageError(f"--against {against.files.title}: {reason}")
    with closing(Material(against, against.config or {})) as reference:
        named = {name: _compare(name, material, reference) for name in asked if name in COMPARISONS}
        whole = Compared(material, reference)
        return named, whole, [fields.examine(material, reference, is_same=whole.is_same)]


def _compare(name: str, material: Material, reference: Material) -> Meant:
    try:
        return COMPARISONS[name](material, reference)
    except Unreadable as error:
        return not_checked(name, str(error))


def _ended(name: str, test: Test, material: Material, compared: Meant | None) -> Meant:
    """As the reference decides; where it does not, the statistics are asked, and it is told that they were."""
    if compared is not None and compared.check.state != "not-checked":
        return compared
    ended = _run(name, test, material)
    if compared is None:
        return ended
    told = f"{ended.check.told}; the reference does not decide: {compared.check.unchecked}"
    return replace(ended, check=replace(ended.check, told=told.removeprefix("; ")))


def _asked(expect: Mapping[str, str]) -> dict[str, Test]:
    for name, wanted in expect.items():
        if name not in TESTS or wanted != "off":
            raise UsageError(f"--expect {name}={wanted}: expected NAME=off, and one of {', '.join(TESTS)} as the name")
    return {name: test for name, test in TESTS.items() if expect.get(name) != "off"}


def _unfit(checkpoint: Checkpoint, config: Mapping[str, Any] | None) -> str:
    if checkpoint.files.folder is None:
        return "the bytes are on the Hub, and are not fetched"
    if not checkpoint.tensors:
        return "no tensor is here"
    return "" if config else "there is no config.json that says what the tensors are for"


def _run(name: str, test: Test, material: Material) -> Meant:
    try:
        reason = why_untrained(material) if test.trained else ""
        return not_checked(name, reason) if reason else test.examine(material)
    except Unreadable as error:
        return not_checked(name, str(error))
