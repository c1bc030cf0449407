"""Whatever a verdict proposes is carried out on a copy, and the copy computes what the undamaged model computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.catalogue.case import UNWRITTEN, Case
from tests.catalogue.entries import A_TO_G, H_TO_R
from tests.catalogue.folders import INDEX
from tests.catalogue.running import NotWhole, computed
from tests.threads import one_thread
from tests.tracer.repair.damaged import read, same
from tracer.complaints import read_error
from tracer.complaints.complaint import Told
from tracer.diagnose.diagnosis import Diagnosis, diagnose
from tracer.errors import UsageError
from tracer.repair.changes import Transform
from tracer.repair.repair import repair

__all__ = ["one_thread"]
CASES = [case for case in (*A_TO_G, *H_TO_R) if case.before]
README = Path(__file__).with_name("README.md")


def mended(case: Case, damaged: Path, to: Path) -> Diagnosis:
    """As `tracer diagnose --error --repair` does it."""
    diagnosis = diagnose(str(damaged), read_error(case.said), case.tp)
    assert diagnosis.original is not None
    repair(diagnosis.original.checkpoint, diagnosis.stages, to)
    return diagnosis


def settings(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """config.json but for who wrote it, and the file of each tensor where an index says it."""
    index = folder / INDEX
    homes = json.loads(index.read_text())["weight_map"] if index.exists() else {}
    return json.loads((folder / "config.json").read_text()) | {"transformers_version": ""}, homes


def is_rounded(diagnosis: Diagnosis) -> bool:
    """Whether what was added had been taken away in a type that could not hold the difference."""
    return any(isinstance(change, Transform) and change.op == "add" for stage in diagnosis.stages for change in stage)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_copy_mended_as_proposed_computes_what_the_undamaged_model_does_and_the_damaged_does_not(
    case: Case, tmp_path: Path
) -> None:  # fmt: skip
    assert case.before is not None
    damaged, copy = case.make().write(tmp_path / "damaged", case.seed or 1), tmp_path / "copy"
    sound = case.before().write(tmp_path / "sound", case.seed or 1)
    diagnosis = mended(case, damaged, copy)
    again = [cause.finding.subject for cause in diagnose(str(copy), Told()).causes]
    assert [subject for subject in again if not (case.aside and subject.startswith(case.aside))] == []
    assert settings(copy) == settings(sound)
    assert is_rounded(diagnosis) or same(read(copy), read(sound))
    wanted, spoilt, found = computed(case, sound), spoiling(case, damaged, sound), computed(case, copy)
    assert wanted.isfinite().all()
    if is_rounded(diagnosis):
        assert spoilt is not None
        assert distance(found, wanted) < distance(spoilt, wanted) / 100
    else:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)  # but for the order of a product's sums
    if case.still:
        assert spoilt is not None
        torch.testing.assert_close(spoilt, wanted, rtol=0, atol=1e-6)
    else:
        assert spoilt is None or distance(spoilt, wanted) > 0.01 * float(wanted.std())


def spoiling(case: Case, damaged: Path, sound: Path) -> torch.Tensor | None:
    """What the damaged one computes; None where it does not load whole. Its files are others in any case."""
    assert settings(damaged) != settings(sound) or not same(read(damaged), read(sound))
    try:
        return computed(case, damaged)
    except NotWhole:
        return None


@pytest.mark.parametrize("case", [case for case in (*A_TO_G, *H_TO_R) if case.entry in UNWRITTEN], ids=lambda c: c.id)
def test_of_a_gguf_file_no_copy_is_written(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GGUF"):
        mended(case, case.make().write(tmp_path / "damaged"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def listed(title: str) -> list[str]:
    """The first column of the table under a heading of the README, ranges and all."""
    section = README.read_text(encoding="utf-8").split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return [entry for cell in cells[2:] for entry in cell.split(", ")]


def test_the_readme_lists_what_is_not_written_and_what_does_no_harm_here() -> None:
    assert listed("Changes that no copy is written of") == list(UNWRITTEN)
    still = dict.fromkeys(case.entry for case in CASES if case.still)
    assert sorted(listed("Damage that leaves the same numbers here")) == sorted(still)
