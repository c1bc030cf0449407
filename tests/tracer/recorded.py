"""What the command has written to a trace of lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def checks(path: Path) -> dict[str, tuple[str, str]]:
    """State and reason by name."""
    found = [record for record in records(path) if record["kind"] == "check"]
    return {record["name"]: (record["state"], record["reason"]) for record in found}
