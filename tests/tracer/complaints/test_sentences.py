"""Every sentence that was seen in a thread is read into its kind, with its names, shapes and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from tests.tracer.complaints.sentences import FAILURES, Sentence
from tests.tracer.complaints.wordings import EVERYTHING
from tracer.complaints import read_error
from tracer.complaints.complaint import Complaint

READ = ("names", "shapes", "numbers", "files", "fields", "program")


def said(complaint: Complaint, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What was read, as far as the table states it or something was found."""
    assert set(stated) <= {field.name for field in fields(Complaint)}
    read = {name: getattr(complaint, name) for name in READ}
    return {name: value for name, value in read.items() if name in stated or (value and name != "program")}


@pytest.mark.parametrize("sentence", FAILURES.values(), ids=list(FAILURES))
def test_what_was_said_of_a_real_failure(sentence: Sentence) -> None:
    told = read_error(sentence.text)
    first = told.complaints[0]
    assert (first.kind, said(first, sentence.says)) == (sentence.kind, sentence.says)


@pytest.mark.parametrize("sentence", EVERYTHING, ids=[sentence.text[:60] for sentence in EVERYTHING])
def test_what_a_program_says_by_its_own_source(sentence: Sentence) -> None:
    told = read_error(sentence.text)
    first = told.complaints[0]
    assert (first.kind, said(first, sentence.says)) == (sentence.kind, sentence.says)
