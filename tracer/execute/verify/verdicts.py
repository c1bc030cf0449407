"""The verdicts on a load that was to be verified, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracer.execute.outcome import RankResult
from tracer.execute.verify.comparison import compare
from tracer.execute.verify.conclusion import conclude, failed_pass
from tracer.execute.verify.passed import Passed, VerifyFailed
from tracer.prepare import Prepared
from tracer.verified import REFERENCE, Verified, unverified


def verdicts(
    prepared: Prepared, sound: Prepared | None, results: Sequence[RankResult], failed: Exception | None, states: Path
) -> tuple[Verified, ...]:  # fmt: skip
    """None where none was asked for. `failed` is what ended the ranks, `states` are those that rank 0 kept."""
    request = prepared.request
    if not request.verifies:
        return ()
    if failed is not None and not is_verification(failed):
        return unverified(True, request.reference, "the load failed")
    if failed is not None:
        rest = unverified(False, request.reference, "the forward pass failed")
        message = getattr(failed, "message", str(failed)).removeprefix(f"{VerifyFailed.__name__}: ")
        return (failed_pass(getattr(failed, "rank", None), message), *rest)
    if len(results) < request.tp:
        reason = f"of {request.tp} ranks only rank {request.rank} was loaded"
        return unverified(True, request.reference, reason)
    why_not = next((found for result in results if (found := _why_not(result))), "")
    if why_not:
        return unverified(True, request.reference, why_not)
    passed = [Passed.of(rank, result.passed) for rank, result in enumerate(results)]
    verdict = conclude(prepared.plan, passed)
    if sound is None:
        return (verdict,)
    if verdict.state != "ok":  # what other states there are follows from that
        return verdict, Verified(REFERENCE, "not-checked", f"verify failed: {verdict.told}")
    return verdict, compare(prepared, sound, passed[0], states)


def _why_not(result: RankResult) -> str:
    """Why a rank has made no pass."""
    told = (result.passed or {}).get("why_not")
    return result.why_not or str(told or "")


def is_verification(failed: Exception | None) -> bool:
    """Whether what ended the ranks was the forward pass: the load was complete then."""
    return getattr(failed, "kind", None) == VerifyFailed.__name__
