"""The page in a browser: no complaints; search and folding; dark, narrow and printed; and without scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import placements, small_llama
from tests.tracer.report_html import hostile
from tests.tracer.report_html.chromium import BROWSER, Chromium, chromium
from tests.tracer.report_html.test_pictures import experts_of
from tracer import session
from tracer.cli import trace_load
from tracer.report.html import pictures, render
from tracer.report.html.view import Page, Param
from tracer.session import Request

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")

PAGES = ("sound", "broken", "hostile", "refused")
SEEN = "e => e.checkVisibility()"
NAMES = f"[...document.querySelectorAll('.line')].filter({SEEN}).map(e => e.querySelector('.name').textContent)"
TURNED = "new Promise(done => { addEventListener('hashchange', done, {once: true}); %s })"
"""When the page has taken notice of its new address."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {name: folder / f"{name}.html" for name in PAGES}
    assert trace_load(["--tp", "4", "--plan", "--quiet", "--html", str(pages["sound"])]) == 0
    assert trace_load([_broken(folder), "--tp", "2", "--plan", "--quiet", "--html", str(pages["broken"])]) == 1
    (folder / "hostile").mkdir()
    model = str(hostile.write(folder / "hostile"))
    assert trace_load([model, "--plan", "--quiet", "--html", str(pages["hostile"])]) == 1
    nobody = ["--hf-overrides", json.dumps({"architectures": [hostile.SCRIPT]})]
    assert trace_load([*nobody, "--plan", "--quiet", "--html", str(pages["refused"])]) == 1
    return pages


def _broken(folder: Path) -> str:
    """One head too few in the output's projection of the second layer."""
    model = folder / "model"
    model.mkdir()
    small_llama.write(model)
    names = {t.name: t.shape for t in session.run(Request(str(model), plan_only=True)).store.tensors()}
    names["model.layers.1.self_attn.o_proj.weight"] = (64, 48)
    placements.write_checkpoint(model, small_llama.CONFIG, placements.number(names))
    return str(model)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(started: Chromium) -> Chromium:
    started.media()
    started.width(1280)
    started("Emulation.setScriptExecutionDisabled", value=False)
    return started


def search(browser: Chromium, text: str) -> list[str]:
    """The lines that are left when this is typed."""
    box = f"const box = document.getElementById('q'); box.value = {json.dumps(text)};"
    names: list[str] = browser.script(f"(() => {{ {box} box.dispatchEvent(new Event('input')); return {NAMES} }})()")
    return names


def layers(*modules: str) -> list[str]:
    return [f"model.layers.{{0..31}}.{module}.weight" for module in modules]


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_without_complaint_and_fetches_nothing(
    browser: Chromium, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name])
    assert browser.script("typeof hacked") == "undefined"
    assert browser.script("document.querySelector('h2').textContent") == "Summary"
    assert browser.complaints == []
    assert browser.fetched == [pages[name].as_uri()]


def test_the_policy_of_the_page_stops_what_is_not_its_own(browser: Chromium, pages: dict[str, Path]) -> None:
    """The complaint that the other test would see."""
    browser.open(pages["sound"])
    add = "const s = document.createElement('script'); s.textContent = 'hacked = 1'; document.body.append(s)"
    browser.script(f"(() => {{ {add} }})()")
    browser.script("new Image().src = 'https://example.org/pixel.png'")
    assert browser.script("typeof hacked") == "undefined"
    assert len(browser.complaints) >= 1
    assert all("Content Security Policy" in told for told in browser.complaints)


# --- search ---


def test_an_address_leads_to_a_filtered_view(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["sound"], "#q=k_proj")
    assert browser.script(NAMES) == layers("self_attn.k_proj")
    assert browser.script("document.getElementById('q').value") == "k_proj"
    assert browser.script("document.getElementById('told').textContent") == "1 of 12 lines have: k_proj"
    ranks = browser.script(f"[...document.querySelectorAll('.line li')].filter({SEEN}).map(e => e.textContent)")
    assert ranks[1] == "rank 1 [256:512] → [1024:1280]"


def test_what_is_typed_is_in_the_address_and_nothing_is_when_it_is_gone(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.open(pages["sound"])
    whole = browser.script(NAMES)
    assert search(browser, " down  head ") == []
    assert browser.script("location.hash") == "#q=down%20%20head"
    assert search(browser, "") == whole
    assert browser.script("location.href") == pages["sound"].as_uri()
    assert len(whole) == 12


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("proj llama.py attn hidden,", layers("self_attn.o_proj")),
        ("MODEL.LAYERS.17.SELF_ATTN.V_PROJ.WEIGHT", layers("self_attn.v_proj")),
        ("layers.31.mlp", layers("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")),
        ("model.layers.{3..5}.self_attn.qkv_proj.weight k_proj", layers("self_attn.k_proj")),
        ("model.layers.32.mlp", []),
        ("layers.1.mlp.17", []),
        ("qkv_proj 1024:1280", layers("self_attn.k_proj")),
    ],
)
def test_all_words_must_occur_and_numbers_stand_for_folded_layers(
    browser: Chromium, pages: dict[str, Path], text: str, left: list[str]
) -> None:
    if browser.script("location.href").split("#")[0] != pages["sound"].as_uri():
        browser.open(pages["sound"])
    assert search(browser, text) == left


def test_the_back_button_brings_a_search_back(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["sound"], "#q=norm")
    assert len(browser.script(NAMES)) == 3
    browser.script(TURNED % "location.hash = 'q=mlp'")
    assert len(browser.script(NAMES)) == 3
    assert browser.script("document.getElementById('q').value") == "mlp"
    browser.script(TURNED % "history.back()")
    assert browser.script("document.getElementById('q').value") == "norm"


def test_a_finding_leads_to_the_lines_of_its_subject(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["broken"])
    browser.script(TURNED % "document.querySelector('article h3 a').click()")
    assert browser.script(NAMES) == ["model.layers.{0, 1}.self_attn.o_proj.weight"]


# --- folding ---


def test_everything_folds_and_unfolds(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["sound"])
    count = "document.querySelectorAll('#paths details[open]').length"
    all_of = browser.script("document.querySelectorAll('#paths details').length")
    assert 0 < browser.script(count) < all_of
    browser.script("document.getElementById('unfold').click()")
    assert browser.script(count) == all_of
    browser.script("document.getElementById('fold').click()")
    assert browser.script(count) == 0
    assert browser.script(NAMES) == []
    assert search(browser, "q_proj") == layers("self_attn.q_proj")


def test_ranks_become_columns(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["sound"])
    browser.script("document.getElementById('columns').click()")
    box = "e => { const b = e.getBoundingClientRect(); return [Math.round(b.left), Math.round(b.top), b.height] }"
    boxes = f"l => [...l.querySelectorAll('li')].map({box})"
    lines = browser.script(f"[...document.querySelectorAll('.line')].map({boxes})")
    cut = [line for line in lines if len(line) == 4]
    assert len(cut) >= 8
    assert {tuple(left for left, _, _ in line) for line in cut} == {tuple(left for left, _, _ in cut[0])}
    assert all(len({top for _, top, _ in line}) == 1 for line in cut)
    assert all(height > 0 for line in lines for _, _, height in line)


# --- how it looks ---


CONTRAST = """
(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (e) => { const c = getComputedStyle(e).backgroundColor;
    return c === 'rgba(0, 0, 0, 0)' && e.parentElement ? ground(e.parentElement) : c; };
  return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3
      && n.textContent.trim()) && !e.closest('svg, script') && e.checkVisibility()).map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), `${e.tagName}.${e.className}`];
  }).sort((x, y) => x[0] - y[0])[0];
})()
"""


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("name", ["sound", "broken"])
def test_it_can_be_read_in_light_and_in_dark(
    browser: Chromium, pages: dict[str, Path], name: str, scheme: str, dark: bool
) -> None:
    browser.media(prefers_color_scheme=scheme)
    browser.open(pages[name])
    ground = browser.script("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground) < 200) == dark
    least, where = browser.script(CONTRAST)
    assert least >= 4.5, where


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_a_phone(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    browser.width(400)
    browser.open(pages[name])
    assert browser.script("document.scrollingElement.scrollWidth") <= 400
    browser.script("document.querySelectorAll('details').forEach(e => { e.open = true })")
    browser.script("document.getElementById('columns')?.click()")
    assert browser.script("document.scrollingElement.scrollWidth") <= 400


def test_slice_maps_are_drawn_within_their_frame(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["sound"])
    browser.script("document.getElementById('unfold').click()")
    outside = browser.script(
        "[...document.querySelectorAll('svg[role=img]')].flatMap(s => [...s.querySelectorAll('text, rect')]"
        ".filter(e => e.getBoundingClientRect().right > s.getBoundingClientRect().right + 1).map(e => e.textContent))"
    )  # fmt: skip
    assert browser.script("document.querySelectorAll('svg[role=img]').length") >= 6
    assert outside == []


EXPERTS = """
[...document.querySelectorAll('.experts g[class]')].map(g => {
  const shape = g.querySelector('rect, path'), box = shape.getBoundingClientRect();
  const frame = g.closest('svg').getBoundingClientRect();
  return [g.classList[0], [...g.children].map(e => e.tagName + e.classList + e.getAttribute('d')).join(' '),
    g.checkVisibility() && box.width > 5 && box.right <= frame.right && box.bottom <= frame.bottom + 1,
    getComputedStyle(shape).stroke, getComputedStyle(g.parentElement.querySelector('g text')).fill,
    getComputedStyle(document.body).backgroundColor];
})
"""
"""What is drawn of the experts of each state: its shapes, whether they are in sight, and their colours."""


@pytest.mark.parametrize("media", ["light", "dark", "print"])
def test_experts_are_a_grid_of_shapes_that_can_be_told_apart(browser: Chromium, tmp_path: Path, media: str) -> None:
    room = 2 * 704 * 2048
    drawn = pictures.drawn(experts_of({(3, 0): -room, (9, 0): -1, (11, 0): 5}), range(2))
    file = tmp_path / "experts.html"
    file.write_text(render.rendered(Page("experts", [], params=[Param("w13", "", [], picture=drawn)])))
    browser.media("print") if media == "print" else browser.media(prefers_color_scheme=media)
    browser.open(file)
    browser.script("document.querySelectorAll('details').forEach(e => { e.open = true })")
    cells = browser.script(EXPERTS)
    assert all(seen for _, _, seen, *_ in cells)
    shapes = {state: made for state, made, *_ in cells}
    assert len(set(shapes.values())) == 4 and set(shapes) == {"whole", "partly", "missing", "twice"}
    for state, _, _, stroke, text, ground in cells:
        assert contrast(text, ground) >= 4.5 and (state == "whole" or contrast(stroke, ground) >= 3)
    numbers = browser.script("[...document.querySelectorAll('.experts g text')].map(e => Number(e.textContent))")
    assert numbers == [*range(64), *range(64)]
    labels = browser.script("[...document.querySelectorAll('.experts')].map(e => e.getAttribute('aria-label'))")
    assert labels[0].endswith("on rank 0: ■ 61 whole; ☒ 1 not placed: 3; ◧ 1 only partly placed: 9; ▣ 1 placed more "
                              "than once: 11")  # fmt: skip
    assert browser.complaints == []


def contrast(one: str, other: str) -> float:
    """Of two colours as a browser spells them; as WCAG counts it."""
    lights = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    return max(lights) / min(lights)


def test_a_print_has_everything_and_no_controls(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["broken"])
    browser.media("print")
    seen = f"[...document.querySelectorAll('%s')].filter({SEEN}).length"
    assert browser.script(seen % ".controls, nav, .markdown, .copy") == 0
    for selector in (".ranks li", "figure", "dl dd", ".settings td"):
        assert browser.script(seen % selector) == browser.script(f"document.querySelectorAll('{selector}').length") > 0
    printed = base64.b64decode(browser("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF")
    browser.media()
    assert browser.script("document.querySelectorAll('.line[open]').length") == 0


# --- copying, and without scripts ---


@pytest.mark.parametrize("allowed", [True, False])
def test_a_finding_is_copied_as_markdown_or_else_selected(
    browser: Chromium, pages: dict[str, Path], allowed: bool
) -> None:
    browser.open(pages["broken"])
    write = "async (text) => { window.copied = text }" if allowed else "async () => { throw new Error('denied') }"
    browser.script(f"Object.defineProperty(navigator, 'clipboard', {{ value: {{ writeText: {write} }} }}); 0")
    browser.script("document.querySelector('article .markdown').open = true")
    browser.script("document.querySelector('.copy').click()")
    got = browser.script("window.copied" if allowed else "getSelection().toString()")
    assert got.startswith("**error** `shape.mismatch` `model.layers.1.self_attn.o_proj.weight`\n\n```text\n")
    assert got == browser.script("document.querySelector('article pre').textContent")
    assert browser.complaints == []


def test_without_scripts_nothing_is_missing_but_the_controls(browser: Chromium, pages: dict[str, Path]) -> None:
    browser("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pages["sound"], "#q=k_proj")
    assert len(browser.script(NAMES)) == 12
    assert browser.script(f"[...document.querySelectorAll('.controls, .copy')].filter({SEEN}).length") == 0
    assert not browser.script("document.querySelector('.line li').checkVisibility()")
    browser.script("document.querySelector('.line > summary').click()")
    assert browser.script("document.querySelector('.line li').checkVisibility()")
