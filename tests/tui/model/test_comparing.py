"""Beside another: what is said is what `tracer diff` says, and what cannot be compared has its reason."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import pytest

from fixtures import small_checkpoint
from mappings.synth import Synthetic
from tests import diffing
from tests.tui.model.material import FILES, leads, small, subject, trace
from tests.tui.model.pages import WIDTHS, prose, text
from tracer.cli import main
from tracer.errors import InputError, UsageError
from tracer.session import Request, run
from tui.model.comparing import Compared, Comparing, beside, compared
from tui.model.line import Target
from tui.model.subject import Subject


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base, own = tmp_path_factory.mktemp("pairs"), diffing.model()
    renamed = {name.replace("model.", "decoder."): array for name, array in own.items()}
    cut = {name: array[: len(array) // 2] if "mlp" in name else array for name, array in own.items()}
    written = {
        "own": diffing.write(base / "own", own), "copy": diffing.write(base / "copy", own),
        "cast": diffing.write(base / "cast", diffing.cast(own, diffing.BF16)),
        "renamed": diffing.write(base / "renamed", renamed), "cut": diffing.write(base / "cut", cut),
        "fewer": diffing.write(base / "fewer", dict(list(own.items())[:-3])),
        "fused": diffing.write(base / "fused", diffing.fused(own)),
        "wide": str(small("mixtral", base / "wide")),
    }  # fmt: skip
    return {name: Path(path) for name, path in written.items()}


@pytest.fixture(scope="module")
def own(checkpoints: dict[str, Path]) -> Subject:
    return subject(checkpoints["own"])


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("traces")
    llama, more = small("llama", base / "llama"), small("llama", base / "more", Synthetic("more.w", "F32", (2,)))
    return {
        "one": trace(llama, 2, base / "one.db"), "again": trace(llama, 2, base / "again.db"),
        "other tp": trace(llama, 4, base / "four.db"), "planned": trace(llama, 2, base / "planned.db", plan_only=True),
        "another": trace(more, 2, base / "more.db"),
    }  # fmt: skip


def page(found: Compared, about: Subject, width: int = 120) -> str:
    return prose(compared(Comparing("other", found), about), width)


def of_diff(capsys: pytest.CaptureFixture[str], *paths: Path) -> list[str]:
    assert main(["diff", *map(str, paths), "--all"]) in (0, 1)
    return capsys.readouterr().out.splitlines()


# --- against `tracer diff` ---


def _here(line: str) -> str:
    """The words of the page, which has no options."""
    key = "headers only; v reads one tensor on both sides, `tracer diff --values` all"
    return line.replace(" (--values)", "").replace("--values was not given", key)


@pytest.mark.parametrize("other", ["own", "copy", "cast", "renamed", "cut", "fewer", "fused", "wide"])
def test_of_two_checkpoints_the_sentence_is_that_of_diff_and_so_is_what_was_not_checked(
    other: str, own: Subject, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = beside(own, str(checkpoints[other]))
    said = [_here(line) for line in of_diff(capsys, Path(own.where), checkpoints[other])]
    assert [found.sentence, found.a, found.b] == said[:3]
    for width in WIDTHS:
        shown = page(found, own, width)
        assert shown.startswith(("· " if found.same else "≠ ") + found.sentence)
        for line in said:
            if line.startswith("not checked: "):
                assert line in shown
    assert found.same == (other in ("own", "copy"))


@pytest.mark.parametrize("other", ["one", "again", "other tp", "planned", "another"])
def test_of_two_traces_too(other: str, traces: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    about = subject(traces["one"])
    found = beside(about, str(traces[other]))
    said = of_diff(capsys, traces["one"], traces[other])
    assert [found.sentence, found.a, found.b] == said[:3]
    for width in WIDTHS:
        shown = page(found, about, width)
        for line in said:
            if line.startswith("not checked: "):
                assert line in shown
    assert about.store is not None
    about.store.close()


def test_what_differs_is_folded_and_leads_to_the_first_tensor_of_this_side(
    own: Subject, checkpoints: dict[str, Path]
) -> None:
    found = beside(own, str(checkpoints["cut"]))
    names = {name for name, _, _ in found.rows}
    assert "model.layers.{0..3}.mlp.gate_proj.weight" in names
    for width in WIDTHS:
        view = compared(Comparing("cut", found), own)
        assert Target("tensor", "model.layers.0.mlp.gate_proj.weight") in leads(view, width)
        assert all(target.name in own.positions for target in leads(view, width))
        shown = prose(view, width)
        for _, count, told in found.rows:
            assert count in shown and told in shown, "nothing of what differs is cut off"


def test_other_places_of_a_load_are_told_whole_at_every_width(traces: dict[str, Path]) -> None:
    about = subject(traces["one"])
    found = beside(about, str(traces["another"]))
    assert any(name == "more.w" for name, _, _ in found.rows)
    for width in WIDTHS:
        assert "more.w" in text(compared(Comparing("other", found), about), width)
    assert about.store is not None
    about.store.close()


def test_the_other_checkpoint_is_there_for_its_values_and_a_trace_has_none(
    own: Subject, checkpoints: dict[str, Path], traces: dict[str, Path]
) -> None:
    other = beside(own, str(checkpoints["cast"])).checkpoint
    assert other is not None and {info.dtype for info in other.tensors} == {"BF16"}
    about = subject(traces["one"])
    assert beside(about, str(traces["again"])).checkpoint is None
    assert about.store is not None
    about.store.close()


# --- what cannot be compared ---


@pytest.mark.parametrize("other", ["copy", "renamed", "cast"])
def test_the_twin_of_a_weight_is_the_one_that_it_was_paired_with(
    other: str, own: Subject, checkpoints: dict[str, Path]
) -> None:
    found, change = beside(own, str(checkpoints[other])), ("model.", "decoder.") if other == "renamed" else ("", "")
    assert {name: info.name for name, info in found.twins.items()} == {
        info.name: info.name.replace(*change) for info in own.tensors
    }  # fmt: skip
    assert found.checkpoint and all(info in found.checkpoint.tensors for info in found.twins.values())


def test_two_kinds_are_not_compared(own: Subject, traces: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="expected two checkpoints, or two traces"):
        beside(own, str(traces["one"]))
    about = subject(traces["one"])
    with pytest.raises(UsageError, match="expected two checkpoints, or two traces"):
        beside(about, own.where)
    assert about.store is not None
    about.store.close()


def test_the_embedded_default_has_nothing_to_be_compared(own: Subject) -> None:
    with pytest.raises(UsageError, match="the embedded default has no files"):
        beside(subject(None), own.where)


def test_another_that_cannot_be_read_is_a_reason_of_one_line(own: Subject, tmp_path: Path) -> None:
    for folder in ("cut", "empty"):
        (tmp_path / folder).mkdir()
    small_checkpoint.sound(tmp_path / "cut")
    (tmp_path / "cut" / FILES[0]).write_bytes(b"\xff" * 100)
    (tmp_path / "t.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    for other in ("cut", "empty", "gone", "t.db"):
        with pytest.raises((InputError, UsageError)) as refused:
            beside(own, str(tmp_path / other))
        why = str(refused.value)
        assert "\n" not in why
        for width in WIDTHS:
            shown = text(compared(Comparing(other, why=why), own), width)
            assert shown.startswith("✗ ") and "".join(why.split()) == "".join(shown[2:].split())


def test_before_and_while_it_is_compared(own: Subject) -> None:
    for width in (20, *WIDTHS):
        assert text(compared(Comparing(), own), width).startswith("press D and name")
        assert text(compared(Comparing("x" * 99), own), width).startswith("… comparing with")


def test_fields_of_the_config_that_differ_are_told(own: Subject, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    other = diffing.write(tmp_path, diffing.model(), rope_theta=5.0)
    assert json.loads((tmp_path / "config.json").read_text())["rope_theta"] == 5.0
    assert "rope_theta" in page(beside(own, other), own)


def test_of_two_that_have_nothing_in_common_the_first_lines_are_drawn_and_the_rest_counted(own: Subject) -> None:
    rows = [(f"a{number}.weight", "x1", "only in A") for number in range(90_000)]
    page = compared(Comparing("b", Compared("nothing in common", "A: a", "B: b", False, rows)), own)
    began = process_time()
    shown = text(page)
    assert process_time() - began < 0.05
    drawn = shown.count("only in A")
    assert drawn > 100 and f"a{drawn - 1}.weight" in shown
    assert f"… {90_000 - drawn:,} more lines; `tracer diff --all` prints them" in shown


def test_what_only_lacks_ranks_is_not_marked_as_different(traces: dict[str, Path], tmp_path: Path) -> None:
    own = small("llama", tmp_path / "llama")
    run(Request(str(own), 2, "dummy", rank=1), save=tmp_path / "one.db").store.close()
    about = subject(tmp_path / "one.db")
    marks = {other: page(beside(about, str(traces[other])), about)[0] for other in ("one", "other tp", "another")}
    assert marks == {"one": "·", "other tp": "·", "another": "≠"}
    assert about.store is not None
    about.store.close()
