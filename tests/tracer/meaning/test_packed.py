"""What a quantiser did alike to every matrix is not taken for what training left, or for a matrix that lies across."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalogue.building import Model
from tests.catalogue.models import decoder
from tests.catalogue.quantising import awq, gptq
from tracer.checkpoint.folder import open_checkpoint
from tracer.meaning import examine_meaning


@pytest.mark.parametrize("quantised", [gptq, awq])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_codes_are_no_error(quantised: Callable[[Model], Model], seed: int, tmp_path: Path) -> None:
    """Codes of each kind have a middle that is not zero: their groups share it along the inputs."""
    folder = quantised(decoder(layers=4, hidden=128, heads=4, kv=4, ffn=320)).write(tmp_path, seed)
    checkpoint = open_checkpoint(folder)
    ended = {each.check.name: each.check for each in examine_meaning(checkpoint, checkpoint.config)}
    assert [finding.message for check in ended.values() for finding in check.findings] == []
    assert ended["transposed"].unchecked
