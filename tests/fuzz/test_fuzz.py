"""Twenty thousand hostile cases: `tracer doctor` judges every one, within bounds, and never worse than the oracle.

What is asked of each case is in `ours.py` (an answer or a refusal, printable, within 200 MB, before a time) and in the
`judge` of its kind (the second opinion); what `tracer diagnose` makes of words beside such files is a kind of its own,
of which few cases are run here. `python -m tests.fuzz` runs other cases for as long as one likes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import invented
from tests.fuzz.campaign import FOUND, campaign, report
from tests.fuzz.case import Blob, Case, one_file
from tests.fuzz.kinds import KINDS
from tests.fuzz.limits import MEMORY
from tests.fuzz.of_safetensors import FILE
from tests.fuzz.worker import Tally, one

SEED = 5
SCALE = float(os.environ.get("FUZZ_SCALE", "1"))
"""How many times as many cases are run."""


class Share(NamedTuple):
    """How many cases of a kind are run, and how many of them are sound enough to be read by both."""

    cases: int
    sound: float
    codes: int
    """So many different reasons are found at least, else the damage would be of one sort only."""


SHARES = {
    "safetensors": Share(9000, 0.15, 12), "indexes": Share(3000, 0.2, 15), "gguf": Share(3000, 0.15, 12),
    "pytorch": Share(2600, 0.08, 9), "folders": Share(1000, 0.25, 15), "diagnoses": Share(21, 0.02, 10),
}  # fmt: skip
INVENTED = Share(2000, 0.15, 5)


def test_there_are_twenty_thousand_cases_of_every_kind() -> None:
    assert SHARES.keys() == KINDS.keys()
    assert sum(share.cases for share in [*SHARES.values(), INVENTED]) >= 20_000


@pytest.mark.parametrize("kind", SHARES)
def test_no_case_is_judged_wrongly_or_costs_too_much(kind: str) -> None:
    share = SHARES[kind]
    cases = int(share.cases * SCALE)
    tally = campaign(kind, SEED, 0, cases)
    print(report(kind, tally))
    _expect_right(tally, f"python -m tests.fuzz --seed {SEED} --kind {kind} --cases {cases} --minutes 0")
    _expect_shares(tally, share, cases)
    assert tally.grown < MEMORY


def _expect_right(tally: Tally, again: str) -> None:
    if tally.wrong:
        first = next(iter(tally.wrong.values()))
        pytest.fail(f"{tally.outcomes['wrong']} cases are judged wrongly; {again}\nthe first: {first}")


def _expect_shares(tally: Tally, share: Share, cases: int) -> None:
    """Not all of them refusals, and not all for the same reason."""
    assert tally.cases == cases
    sound = sum(count for outcome, count in tally.outcomes.items() if outcome.startswith("read by both"))
    assert share.sound * cases < sound < 0.7 * cases
    assert len(tally.codes) >= share.codes


def test_no_file_that_hypothesis_invents_is_judged_wrongly(tmp_path: Path) -> None:
    tally, cases = Tally(), int(INVENTED.cases * SCALE)

    @settings(deadline=None, derandomize=True, database=None, max_examples=cases,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(invented.files())
    def examined(blob: Blob) -> None:
        tally.wrong.clear()
        one(KINDS["safetensors"], one_file(FILE, blob), tmp_path, tally)
        _expect_right(tally, "hypothesis has made it as small as it can")

    examined()
    print(report("invented", tally))
    _expect_shares(tally, INVENTED, tally.cases)
    assert tally.cases >= 0.9 * cases


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: str(path.stem))
def test_what_was_once_judged_wrongly_is_judged_rightly(path: Path, tmp_path: Path) -> None:
    tally = Tally()
    case = Case.from_json(path.read_text(encoding="utf-8"))
    kind, _, _ = path.stem.partition("-")
    one(KINDS[kind], case, tmp_path, tally)
    _expect_right(tally, str(path))
