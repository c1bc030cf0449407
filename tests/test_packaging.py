"""What is installed is what is here: pyproject.toml and constraints.txt against the folders."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = ("mappings", "engine", "tracer", "tui", "fixtures")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for root in ROOTS
        for file in (ROOT / root).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_every_module_is_in_a_package() -> None:
    """A folder without __init__.py works from a checkout and is missing from an installation."""
    folders = {file.parent for root in ROOTS for file in (ROOT / root).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_every_root_is_typed() -> None:
    assert all((ROOT / root / "py.typed").exists() for root in ROOTS)


def test_every_direct_dependency_is_pinned(project: dict[str, Any]) -> None:
    metadata = project["project"]
    groups = [metadata["dependencies"], *metadata["optional-dependencies"].values()]
    wanted = [requirement for group in groups for requirement in group]
    names = {re.split(r"[>=<~!\[ ]", requirement)[0] for requirement in wanted}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0] for line in lines if not line.startswith("#")}
    assert pins == names


def test_every_file_that_is_no_module_is_package_data(project: dict[str, Any]) -> None:
    """A page without its template would be missing from an installation only."""
    patterns = project["tool"]["setuptools"]["package-data"]
    given = {
        file.relative_to(ROOT) for package, globs in patterns.items() for glob in globs
        for file in (ROOT / package.replace(".", "/")).glob(glob)
    }  # fmt: skip
    kinds = {".pyc", ".py", ".md"}
    found = {
        file.relative_to(ROOT) for root in ROOTS for file in (ROOT / root).rglob("*")
        if file.is_file() and file.suffix not in kinds
    }  # fmt: skip
    assert given == found
