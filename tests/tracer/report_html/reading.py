"""A page read back: its elements as a tree, by the parser of the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "input", "rect", "path", "circle"}
"""Elements that are not closed, or that the template closes at once."""


@dataclass
class Element:
    """A tag with what is in it, texts among elements."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    inside: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it, with single blanks."""
        return " ".join("".join(each if isinstance(each, str) else each.text + " " for each in self.inside).split())

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()

    def all(self, tag: str = "", of: str = "") -> Iterator[Element]:
        """Everything below of a tag and a class, in order."""
        for each in self.inside:
            if isinstance(each, Element):
                if tag in ("", each.tag) and (not of or of in each.classes):
                    yield each
                yield from each.all(tag, of)

    def one(self, tag: str = "", of: str = "") -> Element:
        return next(self.all(tag, of))

    def section(self, name: str) -> Element:
        return next(each for each in self.all() if each.attributes.get("id") == name)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Element(tag, dict(attrs))
        self.open[-1].inside.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(file: Path) -> Element:
    """The whole page; every tag is closed in its place."""
    return parsed(file.read_text(encoding="utf-8"))


def parsed(text: str) -> Element:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.open[0]


def paths(page: Element) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Each line of the path table: shard, tensors, row, and the slices with whose they are."""
    return [
        (
            line.one("span", "shard").text, line.one("code", "name").text, line.one("span", "row").text,
            [(item.one("span", "who").text, next(iter(item.all("code")), Element("")).text)
             for item in line.all("li")],
        )
        for line in page.all("details", "line")
    ]  # fmt: skip
