"""A key map of the user's own: what is printed is read as it was, and whatever is wrong with a file is one line."""

from __future__ import annotations

import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.keys import _character_to_key

from tracer.errors import UsageError
from tui.app import Browser
from tui.keys import as_toml, bindings, keymap_of

DEFAULTS = {str(binding.id): binding.key for binding in bindings(Browser)}
TAKEN = {key for keys in DEFAULTS.values() for key in keys.split(",")}
FREE = sorted({*string.ascii_letters, *(f"ctrl+{letter}" for letter in "guwx"), "f5", "shift+f4", "alt+up"} - TAKEN)


def file(folder: Path, text: str) -> str:
    path = folder / "keys.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(folder: Path, text: str) -> str:
    """What is said about a file, which is one line and names it."""
    return said(file(folder, text))


def said(path: str) -> str:
    with pytest.raises(UsageError) as refused:
        keymap_of(path, Browser)
    told = str(refused.value)
    assert told.startswith(f"--keys {path}: ") and "\n" not in told
    return told.removeprefix(f"--keys {path}: ")


# --- inverses ---


def test_what_is_printed_is_read_as_it_is(tmp_path: Path) -> None:
    assert keymap_of(file(tmp_path, as_toml(Browser)), Browser) == DEFAULTS


def test_each_binding_is_printed_on_a_line_with_what_it_does() -> None:
    lines = as_toml(Browser).splitlines()
    for binding in bindings(Browser):
        start = f'"{binding.id}" = "{binding.key}"  # '
        assert [line for line in lines if line.startswith(start) and line != start], binding.id
    assert len(DEFAULTS) == sum(1 for _ in bindings(Browser)), "ids are given once"


def test_no_key_has_two_meanings_to_begin_with() -> None:
    assert sum(len(keys.split(",")) for keys in DEFAULTS.values()) == len(TAKEN)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # each writes a file
@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), st.lists(st.sampled_from(FREE), min_size=1, max_size=3)))
def test_any_map_of_free_keys_comes_back(chosen: dict[str, list[str]]) -> None:
    owners = {key: name for name, own in chosen.items() for key in own}
    keys = {name: [key for key, owner in owners.items() if owner == name] for name in set(owners.values())}
    with TemporaryDirectory() as folder:
        text = "\n".join(f'"{name}" = "{" , ".join(own)}"' for name, own in keys.items())
        assert keymap_of(file(Path(folder), text), Browser) == {name: ",".join(own) for name, own in keys.items()}


def test_names_without_quotes_are_the_same_names(tmp_path: Path) -> None:
    """To TOML they are tables."""
    text = 'finding.next = "f5"\n[names]\nsort = "f6"'
    assert keymap_of(file(tmp_path, text), Browser) == {"finding.next": "f5", "names.sort": "f6"}


def test_two_bindings_can_change_places(tmp_path: Path) -> None:
    text = '"names.sort" = "d"\n"names.dtype" = "s"'
    assert keymap_of(file(tmp_path, text), Browser) == {"names.sort": "d", "names.dtype": "s"}


def test_blanks_and_a_mark_of_byte_order_are_no_part_of_a_key(tmp_path: Path) -> None:
    assert keymap_of(file(tmp_path, '\ufeff"quit" = " f9 , ctrl+x "'), Browser) == {"quit": "f9,ctrl+x"}


# --- where it is looked for ---


def test_without_a_name_the_users_own_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keymap_of(None, Browser) == {}
    (tmp_path / "trace-load").mkdir()
    file(tmp_path / "trace-load", '"quit" = "f9"')
    assert keymap_of(None, Browser) == {"quit": "f9"}
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    assert keymap_of(None, Browser) == {}


# --- what is wrong ---


@pytest.mark.parametrize(("text", "told"), [
    ('"quit"', "Expected '=' after a key"), ('"quit" = ', "Invalid value"), ('"quit" = "q', "Unterminated string"),
    ('"quit" = "f9"\n"quit" = "f8"', "Cannot overwrite a value"), ('"quit" = "q\x01"', "Illegal character"),
    ('"find.next" = "f5"', "no binding 'find.next'; nearest: finding.next"),
    ('"zzz" = "f5"', "no binding 'zzz'; tracer browse --help-keys lists them"),
    ("quit = 3", "quit is 3, expected keys as one text"), ('quit = ["f5"]', "quit is ['f5'], expected keys"),
    ('quit = ""', "quit is '', expected keys as one text"), ("quit = {}", "quit is {}, expected keys as one text"),
    ('quit.now = "f5"', "no binding 'quit.now'"), ('quit = "f5,,f6"', "quit: no key ''"),
    ('quit = "crtl+n"', "quit: no key 'crtl+n'"), ('quit = "ctrl+"', "quit: no key 'ctrl+'"),
    ('quit = "F5"', "quit: no key 'F5'"), ('quit = "/"', "quit: no key '/'; it is called slash"),
    ('quit = "+"', "quit: no key '+'; it is called plus"), ('quit = "\\u001b"', "quit: no key '\\x1b'"),
    ('quit = "n"', "quit: n is a key of finding.next"), ('finding.next = "j"', "next: j is a key of sheet.down"),
    ('quit = "f5"\nclear = "f5"', "f5 is a key of"), ("a = " + "[" * 4000, "nested too deeply"),
])  # fmt: skip
def test_whatever_is_wrong_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, text)


def test_what_is_no_text_or_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'"quit" = "\xe9"')
    assert "utf-8" in said(str(tmp_path / "latin"))
    assert "no such file" in said(str(tmp_path / "gone")).lower()
    os.mkfifo(tmp_path / "pipe")
    for each in ("pipe", ""):
        assert said(str(tmp_path / each))


def test_every_character_that_can_be_typed_has_a_name_that_is_known(tmp_path: Path) -> None:
    for character in string.printable.strip() + " ":
        name = _character_to_key(character)
        if name not in TAKEN:
            assert keymap_of(file(tmp_path, f'quit = "{name}"'), Browser) == {"quit": name}
