"""What `tracer doctor` says of a folder or a file, for the tests of each of its checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fixtures.hostile import framed
from mappings.findings import Finding
from tracer.checkpoint.dtypes import nbytes
from tracer.checks import Check, failed, findings
from tracer.doctor import examine

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name -> dtype and shape."""


class Told:
    """The checks of one examination, asked by name and by code."""

    def __init__(self, model: Path) -> None:
        self.examined = examine(str(model))
        self.checks: list[Check] = self.examined.checks
        self.status = int(failed(self.checks))

    def __getitem__(self, code: str) -> Finding:
        """The one finding of a code."""
        (found,) = [finding for finding in findings(self.checks) if finding.code == code]
        return found

    def codes(self, *severities: str) -> set[str]:
        return {each.code for each in findings(self.checks) if not severities or each.severity in severities}

    def check(self, name: str) -> Check:
        (found,) = [check for check in self.checks if check.name == name]
        return found


def write_safetensors(path: Path, tensors: Tensors, values: Mapping[str, bytes] | None = None) -> Path:
    """A file of ones' complements: no value is zero unless `values` has it."""
    entries: dict[str, Any] = {}
    data = bytearray()
    for name, (dtype, shape) in tensors.items():
        count = 1
        for extent in shape:
            count *= extent
        content = (values or {}).get(name, b"\x3f" * nbytes(dtype, count))
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    path.write_bytes(framed(json.dumps(entries).encode(), bytes(data)))
    return path


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
