"""Read by columns or entry by entry, a header says the same: what is swift takes nothing that the other refuses."""

from __future__ import annotations

import json
from math import prod
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.hostile import entry, framed
from tracer.checkpoint import safetensors
from tracer.checkpoint.entries import Refusal
from tracer.checkpoint.header import Header
from tracer.checkpoint.plain_header import plain_entries
from tracer.errors import InputError

NAMES = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a.weight", "__metadata__", "x-0", "ä"])
ODD: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
)
DTYPES = st.sampled_from(["F32", "BF16", "F4", "I64", "F99", "f32"])
FIELDS = st.sampled_from(["dtype", "shape", "data_offsets", "more"])
COUNTS = st.lists(st.integers(0, 5), max_size=3)


INSERTED = st.sampled_from(['"', ",", "}", "-0", "1.0", '"a":0,', "\\"])


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly sound: each follows the one before; in some a field, or more than one, is odd."""
    found: dict[str, Any] = draw(st.sampled_from([{}, {}, {"__metadata__": {"format": "pt"}}, {"__metadata__": None}]))
    at = 0
    for name in draw(st.lists(NAMES, max_size=5)):
        shape = draw(COUNTS)
        begin, at = at, at + prod(shape)
        made: Any = entry("U8", shape, [begin, at])
        if draw(st.integers(0, 9)) == 0:
            made[draw(FIELDS)] = draw(ODD | DTYPES | COUNTS)
        elif draw(st.integers(0, 19)) == 0:
            made = draw(ODD)
        found = {**found, name: made}
    names = list(found)
    return {name: found[name] for name in (draw(st.permutations(names)) if draw(st.booleans()) else names)}


def length(header: dict[str, Any]) -> int:
    """Bytes of data that a sound header describes."""
    spans = [each.get("data_offsets") for each in header.values() if isinstance(each, dict)]
    return sum(span[1] - span[0] for span in spans if isinstance(span, list) and len(span) == 2)


def read(text: str, size: int) -> Header | tuple[str | None, str | None, str]:
    """The header, or the code, the subject and the message of the refusal."""
    content = framed(text.encode())
    try:
        return safetensors.parse_header(content, len(content) + size, "f")
    except InputError as error:
        return error.code, error.subject, str(error)


def both_ways(text: str, size: int) -> Header | tuple[str | None, str | None, str]:
    swift = read(text, size)
    with patch.object(safetensors, "plain_entries", lambda _: None):
        assert swift == read(text, size)
    return swift


@given(headers(), st.booleans(), st.data())
@settings(max_examples=600, deadline=None)
def test_both_ways_read_or_refuse_a_header_alike(header: dict[str, Any], escaped: bool, data: st.DataObject) -> None:
    text = json.dumps(header, ensure_ascii=escaped)
    if data.draw(st.integers(0, 3)) == 0:
        place = data.draw(st.integers(1, len(text)))
        text = text[:place] + data.draw(INSERTED) + text[place:]
    both_ways(text, data.draw(st.sampled_from([0, 8])) if data.draw(st.integers(0, 9)) == 0 else length(header))


def two(first: str, second: str) -> str:
    return f'{{"a":{first},"b":{second}}}'


SOUND = '{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}'
NEXT = '{"dtype":"U8","shape":[4],"data_offsets":[4,8]}'


def test_a_sound_header_is_read_by_columns() -> None:
    """Also one whose entries do not stand in the order of their bytes, as in files that PyTorch's order was kept in."""
    for text in (two(SOUND, NEXT), two(NEXT, SOUND), '{"__metadata__":{"x":"y"},' + two(SOUND, NEXT)[1:]):
        entries, _ = plain_entries(text) or pytest.fail("left to the other")
        assert entries.begins == (0, 4) or entries.begins == [0, 4]
        header = both_ways(text, 8)
        assert isinstance(header, Header)
        assert [(tensor.offset, tensor.nbytes) for tensor in header.tensors] == [
            (header.spans[0].stop, 4), (header.spans[0].stop + 4, 4)
        ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        two(SOUND, NEXT).replace('"b"', '"a"'),
        two(SOUND.replace('"dtype":"U8"', '"dtype":"U8","dtype":"U8"'), NEXT),
        two(SOUND, NEXT).replace('"a"', r'"\ud800"'),
        two(SOUND.replace("[2,2]", "[true,4]"), NEXT),
        two(SOUND.replace("[2,2]", "[2.0,2]"), NEXT),
        two(SOUND.replace("[0,4]", "[-0,4]"), NEXT),
        two(SOUND.replace("[0,4]", "[0,4,8]"), NEXT),
        two(SOUND.replace("[2,2]", "[2,3]"), NEXT),
        two(SOUND.replace("U8", "U9"), NEXT),
        two(SOUND.replace("shape", "form"), NEXT),
        two(SOUND, "[]"),
        two(SOUND, NEXT.replace('"shape"', '"more":0,"shape"')),
        two(SOUND, f"[{NEXT}]"),
        '{"__metadata__":{"x":1},' + two(SOUND, NEXT)[1:],
        two(SOUND, NEXT) + "x",
    ],
)
def test_whatever_is_odd_is_left_to_the_closer_look_and_refused(text: str) -> None:
    assert plain_entries(text) is None
    assert isinstance(both_ways(text, 8), tuple)


def test_a_shape_that_no_counter_holds_stops_the_look_at_all_others() -> None:
    """Else each of thousands would be multiplied out to numbers of thousands of digits."""
    asked: list[object] = []

    def counted(tensor: str, dtype: str, shape: tuple[int, ...]) -> int:
        asked.append(shape)
        raise Refusal("header.invalid", "")

    text = "{" + ",".join(f'"{n}":{{"dtype":"U8","shape":[{n}],"data_offsets":[0,{n}]}}' for n in range(9)) + "}"
    with patch("tracer.checkpoint.plain_header.size_of", counted):
        assert plain_entries(text) is None
    assert len(asked) == 1
