"""Two checkpoints, compared: headers, and values where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracer.collection import uncollected
from tracer.diff.compared import Comparison, pairs_of
from tracer.diff.fields import differences
from tracer.diff.pairing import pair
from tracer.diff.pointers import compare_files, lend_names
from tracer.diff.sides import Side
from tracer.errors import InputError


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
    fields = list(differences(config_a, config_b)) if config_a and config_b else []
    if a.has_metadata != b.has_metadata:
        fields = [field for field in fields if not field.lost_in_metadata]
    comparison = Comparison(a, b, pairing, pairs_of(pairing), values, fields, files=files)
    if values:
        from tracer.diff.values.compare import compare_values
        from tracer.diff.values.moved import look_for_moves
        from tracer.diff.values.ranks import look_for_ranks
        from tracer.diff.values.tied import look_for_ties

        digests = _digests(a, reports[0]), _digests(b, reports[1])
        compare_values(comparison, told, digests)
        look_for_moves(comparison)
        look_for_ranks(comparison, everything)
        look_for_ties(comparison)
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
