"""The entries A to G of the catalogue: the cause comes first, sound files are not blamed, words alone prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogue.case import Case, asked
from tests.catalogue.entries import A_TO_G
from tracer.diagnose.diagnosis import Diagnosis

CASES = A_TO_G


def first(diagnosis: Diagnosis) -> tuple[str, str]:
    """Code and subject of the verdict."""
    if not diagnosis.causes:
        return "", ""
    finding = diagnosis.causes[0].finding
    return finding.code, finding.subject


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_cause_is_the_first_finding_and_says_what_a_user_needs(case: Case, tmp_path: Path) -> None:
    found = asked(case.make, tmp_path, case.said, case.tp, case.seed)
    assert first(found) == (case.code, case.subject), [cause.finding.message for cause in found.causes]
    finding = found.causes[0].finding
    assert finding.severity == case.severity
    told = f"{finding.message} {finding.fix}"
    assert [word for word in case.words if word not in told] == [], told
    assert bool(found.stages) is case.is_mended


@pytest.mark.parametrize("case", [case for case in CASES if case.alone != "unasked"], ids=lambda case: case.id)
def test_without_the_words_only_the_files_speak(case: Case, tmp_path: Path) -> None:
    found = asked(case.make, tmp_path, "", case.tp if case.alone == "same" else 1, case.seed)
    if case.alone == "same":
        assert first(found) == (case.code, case.subject), [cause.finding.message for cause in found.causes]
    else:
        assert [cause.finding.message for cause in found.causes] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.sound], ids=lambda case: case.id)
def test_the_same_words_beside_a_sound_checkpoint_name_no_fault_that_is_not_there(case: Case, tmp_path: Path) -> None:
    assert case.sound is not None
    found = asked(case.sound, tmp_path, case.said, case.tp, case.seed)
    assert case.code not in [cause.finding.code for cause in found.causes], [c.finding.message for c in found.causes]
