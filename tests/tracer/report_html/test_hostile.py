"""What comes from strangers' files is text on the page, whatever it looks like; and the page itself fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from mappings.findings import Finding
from tests.tracer.printed import run
from tests.tracer.report_html import hostile
from tests.tracer.report_html.reading import Element, parsed, read
from tracer.commands.output import printable
from tracer.errors import Refused
from tracer.report import markdown
from tracer.report.html import page, render
from tracer.report.html.view import Page
from tracer.session import Request

OURS = {"script": 1, "style": 1, "img": 0, "iframe": 0, "object": 0, "h1": 1, "base": 0}
"""How often a page has each of these elements, whatever it is about."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = hostile.write(tmp_path_factory.mktemp("<b>hostile"))
    target = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        from tracer.cli import trace_load

        assert trace_load([str(folder), "--plan", "--quiet", "--html", str(target)]) == 1
    return target


def test_names_add_no_element_and_no_attribute(file: Path) -> None:
    found = read(file)
    assert {tag: len(list(found.all(tag))) for tag in OURS} == OURS
    attributes = [name for each in found.all() for name in each.attributes]
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "action")]


def test_every_name_can_be_read_all_the_same(file: Path) -> None:
    told = read(file).section("findings").text
    for name in hostile.NAMES:
        assert " ".join(printable(name).split()) in told, name
    assert "1337" not in told


def test_no_character_steers_anything(file: Path) -> None:
    text = file.read_bytes().decode("utf-8")
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_every_address_is_a_place_on_the_page(file: Path) -> None:
    found = read(file)
    addresses = [value for each in found.all() for name, value in each.attributes.items() if name == "href"]
    places = {each.attributes.get("id") for each in found.all()}
    for address in addresses:
        assert address is not None
        assert address == "data:," or address.startswith("#q=") or address.removeprefix("#") in places


def test_the_policy_lets_in_this_script_and_this_style_and_nothing_else(file: Path) -> None:
    found = read(file)
    policy = next(e for e in found.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in (policy.attributes["content"] or "").split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for kind in ("script", "style"):
        content = re.search(f"<{kind}>(.*?)</{kind}>", file.read_text(encoding="utf-8"), re.DOTALL)
        assert content
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_hostile_messages_of_a_refusal_are_text() -> None:
    for text in hostile.TEXTS:
        finding = Finding(text, "error", text, text, {text: [text]}, text)
        found = parsed(render.rendered(page.of_refused(Request(f"model/{text}"), Refused(finding))))
        assert {tag: len(list(found.all(tag))) for tag in OURS} == OURS
        (article,) = found.all("article")
        told = " ".join(printable(text).split())
        assert [article.one("p").text, article.one("p", "fix").text] == [told, f"Fix: {told}"]


def test_a_page_of_nothing_is_a_page() -> None:
    assert isinstance(parsed(render.rendered(Page("", []))), Element)


@pytest.mark.parametrize("text", hostile.TEXTS)
def test_markdown_keeps_everything_in_fences_and_code_spans(text: str) -> None:
    """Read as CommonMark has it: a span ends at a run of as many backticks as began it, a fence at a longer line."""
    told = markdown.of_finding(Finding("tensor.unmapped", "error", text, text, {"names": [text]}, text, 3))
    head, blank, *body = told.split("\n")
    assert blank == ""
    rest = head.removeprefix("**error** `tensor.unmapped` ")
    ticks = re.match("`+", rest)
    assert ticks
    assert re.findall("`+", rest)[-1] == ticks[0]
    assert ticks[0] not in re.findall("`+", rest)[1:-1]
    fence = body[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert [line for line in body[1:] if line.startswith(fence)] == [fence] == body[-1:]


def test_long_evidence_is_cut_and_says_how_long_it_is() -> None:
    found = Finding("tensor.unmapped", "error", "x", "y", {"names": ["n" * 20] * 500})
    ((name, told),) = markdown.evidence(found.evidence)
    assert name == "names"
    assert len(told) < 700
    assert told.endswith("(12,000 characters)")


def test_a_folder_with_a_hostile_name_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "<script>hacked=1<\udcff"
    folder.mkdir()
    hostile.write(folder)
    run(capsys, folder, "--plan", "--html", tmp_path / "page.html")
    found = read(tmp_path / "page.html")
    assert printable(str(folder)) in found.one("h1").text
    assert printable(str(folder)) in found.one("title").text
