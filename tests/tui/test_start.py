"""What is imported when: names are seen before anything is that examines them, and some things never are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.subjects import folder, opened

NEVER = ("torch", "engine", "transformers", "networkx", "jinja2", "tracer.execute")
LATER = (
    "tui.model.pages", "tracer.prepare", "tracer.doctor", "tracer.diagnose", "tracer.infer", "tracer.diff",
    "tracer.store", "mappings.bind", "numpy",
)  # fmt: skip
"""A tenth of a second and more altogether, which whoever waits for the first frame would have to wait too."""

BROWSED = """
import asyncio, sys
from tui import arriving
from tui.app import Browser

def loaded(names):
    return [name for name in names if name in sys.modules]

def text(browser):
    return "\\n".join(strip.text for strip in browser.screen._compositor.render_strips())

async def until(pilot, there):
    while not there():
        await pilot.pause(0.01)

async def look(told):
    browser = Browser(sys.argv[1])
    async with browser.run_test(size=(120, 40)) as pilot:
        await told(browser, pilot)
"""
HEADERS_ALONE = """
from pathlib import Path
from tracer.checkpoint.folder import open_checkpoint
from tui.model.subject import Subject

def headers(where, tp, arrived):
    checkpoint = open_checkpoint(Path(where))
    arrived(Subject(where, "title", checkpoint.tensors, tp=tp, checkpoint=checkpoint))

async def told(browser, pilot):
    await until(pilot, lambda: "lm_head.weight" in text(browser))
    await pilot.press("down", "right", "end", "b", "slash", "k", "escape")
    print(loaded(LOOKED_FOR))

arriving.open_subject = headers
asyncio.run(look(told))
"""
ALL_PAGES = """
async def told(browser, pilot):
    await until(pilot, lambda: browser.browsing.inference is not None)
    await pilot.press("end", *"1234567", "plus", "n", "b", "s", "slash", "k", "enter")
    before = loaded(LOOKED_FOR), loaded(["numpy"])
    await pilot.press("v", "v")
    await until(pilot, lambda: "numpy" in sys.modules)
    print(*before)

asyncio.run(look(told))
"""


def seen(program: str, looked_for: tuple[str, ...], where: Path) -> str:
    """What a browser of a process of its own prints."""
    whole = f"{BROWSED}\nLOOKED_FOR = {looked_for!r}\n{program}"
    result = subprocess.run([sys.executable, "-c", whole, where], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_names_are_seen_and_walked_before_anything_is_imported_that_examines_them() -> None:
    assert seen(HEADERS_ALONE, NEVER + LATER, folder("clean")) == "[]"


def test_examining_and_every_page_do_without_numbers_which_only_values_need() -> None:
    assert seen(ALL_PAGES, NEVER, folder("clean")) == "[] []"


@pytest.mark.parametrize("command", ["load", "doctor", "diagnose", "infer", "diff", "audit", "mappings", "browse"])
def test_a_command_imports_nothing_that_drives_a_load_before_it_does(command: str) -> None:
    program = f"""
import sys
from tracer.cli import main
try:
    main([{command!r}, "--help"])
except SystemExit:
    print([name for name in ("engine", "tracer.execute", "numpy", "tui") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_what_is_handed_around_is_not_spelled_out() -> None:
    """Textual spells out what a worker is given: 600 MB and five seconds for 90,000 tensors."""
    subject = opened("clean").subject
    assert repr(subject) == f"<{subject.title}: {len(subject.tensors)} tensors, examined>"
    assert repr(subject.checkpoint) == f"<{subject.title}: {len(subject.tensors)} tensors, complete>"
