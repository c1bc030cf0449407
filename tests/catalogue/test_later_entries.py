"""The entries H to R of the catalogue: files, values, heads, adapters, trainers, drafts, configs, pickles, reloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.findings import Finding
from tests.catalogue.case import Case, asked
from tests.catalogue.entries import H_TO_R
from tests.catalogue.models import decoder
from tests.catalogue.quantising import by_channel
from tracer.diagnose.diagnosis import Diagnosis

CASES = H_TO_R


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
    assert bool(diagnosis.stages) is case.is_mended


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


@pytest.mark.parametrize("said", ["endless !!!!!!!!!!", "only exclamation marks"])
def test_exclamation_marks_of_an_fp8_model_are_no_evidence_of_an_overflow(said: str, tmp_path: Path) -> None:
    diagnosis = asked(lambda: by_channel(decoder(3), dtype="F8_E4M3"), tmp_path, said)
    assert found(diagnosis) == []


@pytest.mark.parametrize(
    ("model_type", "architecture", "said"),
    [
        ("qwen3_next", "Qwen3NextForCausalLM", "KeyError: 'qwen3_next'"),
        ("deepseek_v4", "DeepseekV4ForCausalLM", "The checkpoint you are trying to load has model type `deepseek_v4`"
         " but Transformers does not recognize this architecture."),
        ("llama", "LlamaForCausalLM", "KeyError: 'llama3'"), ("qwen3", "Qwen3ForCausalLM", "KeyError: 'qwen4'"),
        ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "KeyError: 'qwen2_5_vl_text'"),
    ],
)  # fmt: skip
def test_a_model_that_a_reader_is_too_old_for_is_not_misspelt(
    model_type: str, architecture: str, said: str, tmp_path: Path
) -> None:
    diagnosis = asked(lambda: decoder(model_type=model_type, architecture=architecture), tmp_path, said)
    assert "misspelt" not in " ".join(found(diagnosis))
    assert "letter" not in " ".join(found(diagnosis))
