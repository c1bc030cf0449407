"""The documents against the program: every console block is what the command prints, every code is one that exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus import materialise, slugs
from tracer.cli import COMMANDS, main, trace_load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
AREAS = (
    "file|header|index|shards|pickle|hub|tensor|param|experts|layers|fused|adapter|arch|shape|config|layout|tie|tp|quant"
    "|mapping|audit|load|value|verify|trainer|name|vocab"
)
CODE = re.compile(rf'"((?:{AREAS})\.[a-z]+(?:-[a-z]+)*)"')
NOT_CODES = {"config.json"}


def blocks() -> Iterator[tuple[str, list[str]]]:
    """Each console block's command and expected lines."""
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        command, _, expected = block.partition("\n")
        yield command.removeprefix("$ "), expected.rstrip("\n").splitlines()


@pytest.mark.parametrize(("command", "expected"), list(blocks()))
def test_console_blocks_are_what_the_commands_print(
    command: str,
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run where the folders of the corpus are."""
    program, *arguments = shlex.split(command)
    for slug in set(arguments) & set(slugs()):
        materialise(slug, tmp_path / slug)
    monkeypatch.chdir(tmp_path)
    {"trace-load": trace_load, "tracer": main}[program](arguments)
    printed = capsys.readouterr().out.splitlines()
    pattern = "\n".join("(?:.*\n)*?.*" if line == "..." else re.escape(line) for line in expected)
    assert re.fullmatch(pattern, "\n".join(printed)), "\n".join(printed)


def test_every_command_and_option_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    helps = ""
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        helps += capsys.readouterr().out
    ours = re.sub(r"^torchrun .*? -m tracer", "", README, flags=re.MULTILINE)
    options = set(re.findall(r"--[a-z][a-z-]+", ours)) - {"--help"}
    assert options <= set(re.findall(r"--[a-z][a-z-]+", helps))
    assert set(re.findall(r"^tracer ([a-z]+) ", README, flags=re.MULTILINE)) <= set(COMMANDS)


def test_the_readme_lists_the_finding_codes_that_the_code_can_give() -> None:
    sources = [p for folder in ("mappings", "tracer") for p in (ROOT / folder).rglob("*.py")]
    given = {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))} - NOT_CODES
    section = README.split("## Findings")[1].split("## ")[0]
    assert set(re.findall(r"`([a-z]+\.[a-z-]+)`", section)) == given


def test_the_readme_names_the_architectures_that_have_rows_and_modules() -> None:
    from engine.models.registry import MODELS
    from mappings.architectures import BUILT_IN

    section = README.split("## Architectures")[1].split("\n\n")[1]
    both, rows = section.splitlines()[2].strip("|").split("|")
    named = re.compile(r"[A-Z]\w+(?:ForCausalLM|LMHeadModel)")
    assert set(named.findall(both)) == set(MODELS)
    assert set(named.findall(both + rows)) == {arch.name for arch in BUILT_IN}


def test_the_changelog_knows_the_version() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version
    assert f"## {version[1]} " in (ROOT / "CHANGELOG.md").read_text()


def test_contributing_maps_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for folder in ("mappings", "engine", "tracer", "tui", "fixtures", "tests"):
        assert f"| `{folder}/`" in text
