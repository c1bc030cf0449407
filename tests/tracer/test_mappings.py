"""The command `mappings`: all architectures, the rows of one, and the nearest of a name that is none."""

from __future__ import annotations

import pytest

from tracer.cli import main


def test_mappings_lists_every_architecture_and_the_rows_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    from mappings.architectures import BUILT_IN

    assert main(["mappings"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == [arch.id for arch in BUILT_IN]
    assert main(["mappings", "BloomForCausalLM"]) == 0
    assert '"head.part, hidden"' in capsys.readouterr().out
    assert main(["mappings", "BlomForCausalLM"]) == 2
    assert "nearest: BloomForCausalLM" in capsys.readouterr().err
