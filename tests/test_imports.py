"""Cheap commands must stay cheap: what is imported when a package is, seen from a fresh process."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

from tracer.cli import COMMANDS

HEAVY = ("torch", "transformers", "textual")


def loaded_by(statements: str) -> str:
    """What of the heavy modules a fresh process has loaded after these statements."""
    program = f"import sys; {statements}; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize(
    "module",
    ["mappings", "engine", "tracer", "tui", "fixtures", "tracer.checkpoint.folder", "fixtures.geometries"],
)
def test_importing_stays_light(module: str) -> None:
    assert loaded_by(f"import {module}") == "[]"


@pytest.mark.parametrize("root", ["mappings", "fixtures", "tracer"])
def test_no_module_loads_torch(root: str) -> None:
    """What drives a load imports the engine when it does, inside its functions."""
    package = importlib.import_module(root)
    modules = [found.name for found in pkgutil.walk_packages(package.__path__, f"{root}.")]
    assert loaded_by(f"import {', '.join(modules)}") == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_not_pay_for_the_others(command: str) -> None:
    """Forensics of one kind are no use to another; what `doctor` takes of `infer` it imports when it needs it."""
    others = sorted({"diff", "infer", "doctor"} - {command})
    program = f"""
import sys
from tracer.cli import main
try:
    main([{command!r}, "--help"])
except SystemExit:
    print([name for name in {others!r} if "tracer." + name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
