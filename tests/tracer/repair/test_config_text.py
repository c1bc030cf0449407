"""One field of config.json is another, and every other byte of it is what it was."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.tracer.repair.damaged import write
from tracer.checkpoint.files import LocalFiles
from tracer.errors import InputError, UsageError
from tracer.repair.changes import Change, RemoveField, SetField
from tracer.repair.config import edited
from tracer.repair.config_text import remove_field, set_field

KEYS = st.sampled_from(["a", "b", "hidden_size", "naïve", 'q"uote', "back\\slash", "{", ","])
LEAVES = st.none() | st.booleans() | st.integers(-9, 10**20) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
INDENTS = st.sampled_from([None, 1, 2, 4, "\t"])


def spelled(value: Any, seed: int) -> str:
    """The same JSON with blanks wherever there may be some."""
    draw = random.Random(seed)

    def blank() -> str:
        return "".join(draw.choices(" \t\n\r", k=draw.choice((0, 0, 1, 2))))

    def one(value: Any) -> str:
        if isinstance(value, dict):
            inside = ",".join(f"{blank()}{json.dumps(k)}{blank()}:{blank()}{one(v)}{blank()}" for k, v in value.items())
            return "{" + (inside or blank()) + "}"
        if isinstance(value, list):
            return "[" + (",".join(f"{blank()}{one(item)}{blank()}" for item in value) or blank()) + "]"
        return json.dumps(value)

    return blank() + one(value) + blank()


@st.composite
def fields(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """An object, and the name of a field that is in it or could be."""
    whole = draw(OBJECTS)
    steps, at = [], whole
    while True:
        steps.append(draw(st.sampled_from([*at, "new"]) if at else KEYS))
        inner = at.get(steps[-1])
        if not isinstance(inner, dict) or draw(st.booleans()):
            return whole, ".".join(steps)
        at = inner


def put(whole: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """A copy with the field set, by the rules of Python's dicts; in place where it was, else the last."""
    result = copy.deepcopy(whole)
    *outer, last = field.split(".")
    at = result
    for key in outer:
        at = at.setdefault(key, {})
    at[last] = value
    return result


@given(fields(), VALUES, st.integers(0, 99))
def test_whatever_a_field_is_set_to_all_others_keep_their_values_and_their_order(
    given: tuple[dict[str, Any], str], value: Any, seed: int
) -> None:  # fmt: skip
    whole, field = given
    made = set_field(spelled(whole, seed), field, value)
    assert json.dumps(json.loads(made)) == json.dumps(put(whole, field, value))


@given(fields(), VALUES, INDENTS)
def test_what_json_wrote_reads_as_if_json_had_written_the_whole(
    given: tuple[dict[str, Any], str], value: Any, indent: int | str | None
) -> None:  # fmt: skip
    whole, field = given
    assume(whole)

    def written(content: Any) -> str:
        return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"

    assert set_field(written(whole), field, value) == written(put(whole, field, value))


@given(OBJECTS, st.integers(0, 99), st.data())
def test_a_field_that_is_removed_takes_its_comma_along(whole: dict[str, Any], seed: int, data: st.DataObject) -> None:
    assume(whole)
    key = data.draw(st.sampled_from(list(whole)))
    made = remove_field(spelled(whole, seed), key)
    assert json.dumps(json.loads(made)) == json.dumps({name: value for name, value in whole.items() if name != key})


CONFIG = """\
{
    "model_type": "llama",   "eps": 1.0E-5,
    "sizes": [1, 2,
              3],
    "text_config": {"heads": 8, "note": "h\\u00e4 {,}"},
    "last": null
}"""


@pytest.mark.parametrize(("change", "old", "new"), [
    (SetField("eps", 1e-6), "1.0E-5", "1e-06"),
    (SetField("text_config.heads", 4), '"heads": 8', '"heads": 4'),
    (SetField("text_config.kv", 2), "{,}\"}", "{,}\", \"kv\": 2}"),
    (SetField("new", {"a": [1]}), "null\n}", 'null,\n    "new": {\n        "a": [\n            1\n        ]\n    }\n}'),
    (SetField("rope.theta", 1.5), "null\n}", 'null,\n    "rope": {\n        "theta": 1.5\n    }\n}'),
    (RemoveField("model_type"), '"model_type": "llama",   "eps"', '"eps"'),
    (RemoveField("last"), ',\n    "last": null', ""),
    (RemoveField("text_config.note"), ', "note": "h\\u00e4 {,}"', ""),
])  # fmt: skip
def test_no_other_byte_changes(tmp_path: Path, change: Change, old: str, new: str) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG.encode())
    assert CONFIG.count(old) == 1
    assert edited(LocalFiles(tmp_path), [[change]]) == CONFIG.replace(old, new).encode()


def test_a_config_that_is_not_there_is_made(tmp_path: Path) -> None:
    write(tmp_path / "a", {})
    (tmp_path / "a" / "config.json").unlink()
    changes = [SetField("model_type", "llama"), SetField("rope.theta", 5)]
    expected = json.dumps({"model_type": "llama", "rope": {"theta": 5}}, indent=2) + "\n"
    assert edited(LocalFiles(tmp_path / "a"), [changes]) == expected.encode()
    assert edited(LocalFiles(tmp_path / "a"), [[]]) is None


def test_a_field_that_stands_there_twice_is_set_and_removed_twice() -> None:
    assert set_field('{"a": 1, "b": 2, "a": 1}', "a", 3) == '{"a": 3, "b": 2, "a": 3}'
    assert remove_field('{"a": 1, "b": 2, "a": 1}', "a") == '{"b": 2}'


@pytest.mark.parametrize(("changes", "said"), [
    ([RemoveField("absent")], "config.json: absent: no such field"),
    ([RemoveField("text_config.absent")], "text_config.absent: no such field"),
    ([RemoveField("absent.heads")], "absent.heads: no such field"),
    ([SetField("model_type.x", 1)], "model_type.x: model_type is no object"),
    ([SetField("a", 1), SetField("a", 2)], "two changes contradict each other: a = 1, a = 2"),
    ([SetField("a", 1), SetField("a", True)], "two changes contradict each other: a = 1, a = true"),
    ([SetField("a", 1), RemoveField("a")], "two changes contradict each other: a = 1, without a"),
    ([SetField("text_config.heads", 1), RemoveField("text_config")], "two changes contradict each other"),
    ([SetField("text_config", {}), SetField("text_config.heads", 1)], "two changes contradict each other"),
    ([SetField("a..b", 1)], "expected the name of a field, found 'a..b'"),
    ([SetField("a", object())], "not JSON serializable"),
])  # fmt: skip
def test_what_contradicts_itself_or_the_file_is_refused(tmp_path: Path, changes: list[Change], said: str) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    with pytest.raises(UsageError) as error:
        edited(LocalFiles(tmp_path), [changes])
    assert said in str(error.value)


def test_a_change_that_is_said_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    for change in (SetField("new", 1), RemoveField("last")):
        assert edited(LocalFiles(tmp_path), [[change, change]]) == edited(LocalFiles(tmp_path), [[change]])


def test_a_config_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{,}")
    with pytest.raises(InputError, match=r"config\.json: not valid JSON"):
        edited(LocalFiles(tmp_path), [[SetField("a", 1)]])
