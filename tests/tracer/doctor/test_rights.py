"""A file that may not be read is not to be downloaded again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fixtures import small_checkpoint
from tracer.doctor import examine


def test_the_fix_for_a_file_without_rights_is_the_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_checkpoint.sound(tmp_path)
    file = min(tmp_path.glob("*.safetensors"))
    opened = os.open

    def refused(path: Any, *args: Any, **options: Any) -> int:
        """As for another user: whoever runs the tests as root may read everything."""
        if Path(path).name == file.name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", refused)
    found = [finding for check in examine(str(tmp_path)).checks for finding in check.findings]
    (told,) = [finding for finding in found if "Permission denied" in finding.message]
    assert told.fix is not None and "right to read it" in told.fix
