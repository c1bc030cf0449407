"""Two checkpoints, compared: headers, and values where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tracer.collection import uncollected
from tracer.diff.compared import Comparison, pairs_of
from tracer.diff.pairing import pair
from tracer.diff.pointers import compare_files, lend_names
from tracer.diff.sides import Side
from tracer.errors import InputError

_OF_NO_MEANING = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Fields that say where a file came from, or what the tensors say themselves."""
_OF_A_SCHEME = "quantization_config"
"""What the tensors say themselves where one side alone is quantised."""


@uncollected()
def compare(
    a: Side, b: Side, values: bool, everything: bool, told: Callable[[int, int], None],
    reports: tuple[Path | None, Path | None] = (None, None),
) -> Comparison:  # fmt: skip
    """All that can be said. `reports` are stored scans of both, whose digests save reading what is equal.

    Raises InputError where a file became unreadable meanwhile, or a report is none or of other files.
    """
    config_a, config_b = a.checkpoint.config, b.checkpoint.config
    files = compare_files(a, b, values, told)
    lend_names(a, b, files)
    a.apart = b.apart = a.has_mere_names or b.has_mere_names
    pairing = pair(a.weights, b.weights, config_a, config_b)
    fields = _fields(config_a or {}, config_b or {})
    comparison = Comparison(a, b, pairing, pairs_of(pairing), values, fields, files=files)
    if values:
        from tracer.diff.values.compare import compare_values
        from tracer.diff.values.moved import look_for_moves
        from tracer.diff.values.ranks import look_for_ranks

        digests = _digests(a, reports[0]), _digests(b, reports[1])
        compare_values(comparison, told, digests)
        look_for_moves(comparison)
        look_for_ranks(comparison, everything)
    return comparison


def _digests(side: Side, report: Path | None) -> dict[str, str]:
    """The digest of each tensor, by its name. Raises InputError for a report of files that changed since."""
    if report is None:
        return {}
    from tracer.values.stored import read_report

    found = read_report(report)
    reason = found.differs(side.checkpoint)
    if reason:
        raise InputError(f"{report}: no report of {side.given}: {reason}; scan it again", subject=str(report))
    return {each.name: each.digest for each in found.statistics if each.digest}


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, in A's order; one that is absent is None."""
    if not a or not b:
        return {}
    names = [name for name in dict.fromkeys([*a, *b]) if name not in _OF_NO_MEANING]
    names = [name for name in names if name != _OF_A_SCHEME or (name in a and name in b)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
