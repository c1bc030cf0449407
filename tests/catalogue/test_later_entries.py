"""The entries H to R of the catalogue: files, values, heads, adapters, trainers, drafts, configs, pickles, reloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.findings import Finding
from tests.catalogue import (
    adapters,
    configs,
    damaged,
    file_sets,
    heads,
    meanings,
    next_token,
    others,
    pickles,
    trainers,
)
from tests.catalogue.case import Case, asked
from tracer.diagnose.diagnosis import Diagnosis

CASES = [
    *file_sets.CASES, *damaged.CASES, *meanings.CASES, *heads.CASES, *adapters.CASES, *trainers.CASES,
    *next_token.CASES,
    *configs.CASES, *pickles.CASES, *others.CASES,
]  # fmt: skip


def first(diagnosis: Diagnosis) -> Finding | None:
    """The verdict, or the first remark where nothing is wrong."""
    told = [*(cause.finding for cause in diagnosis.causes), *diagnosis.remarks]
    return told[0] if told else None


def found(diagnosis: Diagnosis) -> list[str]:
    return [f"{cause.finding.code} {cause.finding.subject}: {cause.finding.message}" for cause in diagnosis.causes]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_cause_is_the_first_finding_and_says_what_a_user_needs(case: Case, tmp_path: Path) -> None:
    diagnosis = asked(case.make, tmp_path, case.said, case.tp, case.seed)
    verdict = first(diagnosis)
    assert verdict is not None
    assert (verdict.code, verdict.subject) == (case.code, case.subject), found(diagnosis)
    assert verdict.severity == case.severity
    told = f"{verdict.message} {verdict.fix}"
    assert [word for word in case.words if word not in told] == [], told


@pytest.mark.parametrize("case", [case for case in CASES if case.alone != "unasked"], ids=lambda case: case.id)
def test_without_the_words_only_the_files_speak(case: Case, tmp_path: Path) -> None:
    diagnosis = asked(case.make, tmp_path, "", case.tp, case.seed)
    if case.alone == "nothing":
        assert found(diagnosis) == []
    else:
        verdict = first(diagnosis)
        assert verdict is not None
        assert (verdict.code, verdict.subject) == (case.code, case.subject), found(diagnosis)


@pytest.mark.parametrize("case", [case for case in CASES if case.sound], ids=lambda case: case.id)
def test_the_same_words_beside_a_sound_checkpoint_name_no_fault_that_is_not_there(case: Case, tmp_path: Path) -> None:
    assert case.sound is not None
    diagnosis = asked(case.sound, tmp_path, case.said, case.tp, case.seed)
    assert case.code not in [cause.finding.code for cause in diagnosis.causes], found(diagnosis)
