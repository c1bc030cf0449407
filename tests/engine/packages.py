"""Packages as pip would have installed them: what they say of themselves, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BIGRAM = {
    "trace_load.architectures": {"bigram": "tests.engine.bigram:ROWS"},
    "trace_load.models": {"Bigram": "tests.engine.bigram:Bigram"},
}
"""The entry points of a package that brings the architecture of `tests.engine.bigram`."""


def install(folder: Path, entries: Mapping[str, Mapping[str, str]]) -> None:
    """A package with these entry points; it counts as installed once the folder is on `sys.path`."""
    about = folder / "brought-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    lines = []
    for group, found in entries.items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in found.items())]
    (about / "entry_points.txt").write_text("\n".join(lines))
