"""The list of findings: nothing is left out, everything leads somewhere, nothing unlooked-at seems healthy."""

from __future__ import annotations

import json
import re
import shlex
from base64 import b64encode
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.findings import Finding, Severity
from mappings.names import collapse
from tests.test_docs import README
from tests.tui.model.pages import WIDTHS, examined, prose, small, stages, text
from tracer.checks import Check
from tracer.cli import main
from tracer.diagnose.cause import Cause
from tracer.report.findings import MOST_OF_A_CODE
from tracer.session import Request, run
from tui.model.browsing import Browsing
from tui.model.findings.chips import chips
from tui.model.findings.markdown import one_markdown
from tui.model.findings.page import (
    all_markdown,
    findings,
    markdown,
    marks,
    next_number,
    subject_target,
)
from tui.model.line import Target, plain, target
from tui.model.opening import open_subject
from tui.model.subject import Told

CODES = re.findall(r"`([a-z]+\.[a-z-]+)`", README.split("## Findings")[1].split("## ")[0])
WORDS: dict[Severity, str] = {"error": "✗ error", "warning": "! warning", "info": "i remark"}
OPTIONS = ["--no-values", "--json", "FILE"]
NAME = "model.layers.3.mlp.up_proj.weight"


def error(subject: str = NAME, code: str = "shape.mismatch", **evidence: object) -> Finding:
    return Finding(code, "error", subject, f"something is wrong with {subject}", evidence)


def warning(subject: str = NAME) -> Finding:
    return Finding("tensor.unmapped", "warning", subject, "nobody wants it")


# --- the list ---


def test_the_readme_lists_codes() -> None:
    assert len(CODES) > 80


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_a_row_with_severity_message_evidence_and_fix(code: str) -> None:
    for severity, word in WORDS.items():
        told = Finding(code, severity, NAME, "it is not as it should be", {"expected": (4, 8)}, "make it anew", 3)
        subject = examined([Cause(told)] if severity != "info" else [], [told] if severity == "info" else [])
        for width in WIDTHS:
            page = findings(subject)
            shown = prose(page, width)
            for what in (word, code, NAME, told.message, "(rank 3)", "expected (4, 8)", "fix: make it anew"):
                assert what in shown
            assert any(target(line) == Target("finding", "0") for line in page.lines(width))


def test_what_follows_from_a_cause_is_folded_below_it_with_its_count_until_it_is_opened() -> None:
    subject = examined([Cause(error(), (error("a.b", tensors=7), error("c.d", tensors=5))), Cause(warning())])
    closed, opened = text(findings(subject)), text(findings(subject, frozenset([0])))
    assert "▸ explains 2 findings: 12 shape.mismatch" in closed
    assert "something is wrong with a.b" not in closed
    assert "▾ explains 2 findings" in opened
    assert opened.index("something is wrong with c.d") < opened.index("nobody wants it")


def test_a_long_list_in_the_evidence_is_cut_and_says_by_how_much() -> None:
    shown = text(findings(examined([Cause(error(names=[f"t{n}" for n in range(9)]))])))
    assert "names: t0" in shown and "t5" in shown and "t6" not in shown and "… and 3 more" in shown


def test_of_very_many_alike_the_first_are_listed_the_rest_counted_and_nothing_else_is_crowded_out() -> None:
    names = [f"{chr(97 + n % 26)}{n}.w" for n in range(20_000)]
    causes = [*(Cause(error(name)) for name in names), Cause(warning("b1.w"), tuple(error(name) for name in names))]
    subject = examined(causes, names=names)
    closed, opened = (text(findings(subject, frozenset(at))) for at in ((), [20_000]))
    assert closed.count("✗ error    shape.mismatch") == MOST_OF_A_CODE
    assert f"… {20_000 - MOST_OF_A_CODE:,} more shape.mismatch" in closed
    assert "! warning  tensor.unmapped" in closed and "more tensor.unmapped" not in closed
    assert opened.count("✗ error    shape.mismatch") == 2 * MOST_OF_A_CODE
    assert f"… and {20_000 - MOST_OF_A_CODE:,} more; --json has all" in opened


def test_what_was_not_checked_stands_with_its_reason_and_nothing_is_called_fine_without_it() -> None:
    shown = text(findings(examined(checks=[Check("files", "2 headers"), Check("values", unchecked="no values")])))
    assert shown.startswith("· no errors were found; 1 check could not be made")
    assert "· values: no values" in shown and "✓ files: 2 headers" in shown
    assert shown.index("· values") < shown.index("✓ files")
    assert text(findings(examined())).startswith("· nothing was checked")
    assert text(findings(examined(checks=[Check("files", "2 headers")]))).startswith("✓ no errors were found")


def test_an_option_of_another_command_is_no_reason_here() -> None:
    checks = [Check("values", unchecked="--no-values"), Check("loss", unchecked="--no-values", limit="none were read")]
    shown = text(findings(examined(checks=checks)))
    assert "· values: it was not asked for" in shown and "· loss: none were read" in shown and "--" not in shown


def test_where_no_weights_are_the_page_begins_with_that() -> None:
    checks = [Check("config", "read"), Check("values", unchecked="none", absent="no weights are here")]
    assert text(findings(examined(checks=checks))).startswith("· no weights are here; no errors")


def test_before_it_was_looked_at_nothing_is_said_to_be_right(tmp_path: Path) -> None:
    for seen in stages(tmp_path)[:-1]:
        assert text(findings(seen)).startswith("… not looked at yet")
        assert plain(chips(seen)) == "… looking"


def test_names_from_files_cannot_steer_the_terminal() -> None:
    subject = examined([Cause(error("a\x1b[31m\u202eb", names=["c\nd"]))], names=["a"])
    for width in (20, *WIDTHS):
        assert "\\x1b" in prose(findings(subject), width)


# --- chips ---


def test_chips_say_the_worst_first_and_count_what_follows_apart() -> None:
    checks = [Check("files"), Check("names"), Check("values", unchecked="not asked for")]
    causes = [Cause(error(), (error("a"), error("b"))), Cause(warning())]
    shown = plain(chips(examined(causes, [Finding("vocab.padded", "info", "x", "y")], checks=checks)))
    assert shown == "✗ 1 error (2 more follow)  ! 1 warning  · 1 not checked  ✓ 2 ok  i 1 remark"
    assert plain(chips(examined())) == "· nothing was checked"


# --- walking ---


def test_n_walks_over_causes_in_both_directions_and_round_the_end() -> None:
    subject = examined([Cause(error(), (error("a"),)), Cause(warning())], [Finding("x.y", "info", "z", "w")])
    assert [next_number(subject, at) for at in (None, 0, 1, 2, 3)] == [0, 2, 2, 0, 0]
    assert [next_number(subject, at, backwards=True) for at in (None, 3, 2, 1, 0)] == [2, 2, 0, 0, 2]
    assert next_number(examined(), None) is None


# --- what it is about ---


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from(["up", "down"])), min_size=1))
def test_names_that_were_folded_are_marked_and_no_others(chosen: set[tuple[int, int, str]]) -> None:
    """Whatever `collapse` folds comes back as just the names that it was made of."""
    every = [f"h.{layer}.e.{n}.{w}.weight" for layer in range(13) for n in range(4) for w in ("up", "down")]
    meant = {f"h.{layer}.e.{n}.{w}.weight" for layer, n, w in chosen}
    causes = [Cause(error(told)) for told, _ in collapse(sorted(meant))]
    assert set(marks(examined(causes, names=every))) == meant


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from(["up", "down"])), min_size=1))
def test_a_tensor_knows_just_the_findings_that_mean_it(chosen: set[tuple[int, int, str]]) -> None:
    """Looked up from the name, without going through all that was found."""
    every = [f"h.{layer}.e.{n}.{w}.weight" for layer in range(13) for n in range(4) for w in ("up", "down")]
    meant = {f"h.{layer}.e.{n}.{w}.weight" for layer, n, w in chosen}
    texts = [told for told, _ in collapse(sorted(meant))]
    subject = examined([Cause(error("other.weight")), *(Cause(error(text)) for text in texts)], names=every)
    for name in every:
        about = subject.index.about(name)
        assert bool(about) == (name in meant)
        assert all(marks(examined([Cause(subject.findings[n].finding)], names=[name])) for n in about)


@pytest.mark.parametrize(("told", "name", "about"), [
    ("h.2.b", "h.2.b.weight", True), ("h.2.b", "h.2.b_bias", True), ("h.2.b", "h.2.bc", False),
    ("h.2.b", "h.2.b", True), ("h.{1, 2}.b", "h.2.b.weight", True), ("h.{1, 2}.b", "h.3.b.weight", False),
    ("h.2.**", "h.2.b", True), ("h.2.**", "h.2", False), ("h.{layer}.b", "h.7.b", True), ("h.b.2", "h.b.2", True),
])  # fmt: skip
def test_modules_and_rows_mean_what_lies_below_them(told: str, name: str, about: bool) -> None:
    for finding in (error(told), error("config.json", names=["x", told])):
        assert examined([Cause(finding)], names=[name]).index.about(name) == [0] * about


@pytest.mark.parametrize(("told", "meant"), [
    ("h.{0..5 except 1, 3}.w", ["h.0.w", "h.2.w", "h.4.w", "h.5.w"]), ("h.{layer}.w", [f"h.{n}.w" for n in range(6)]),
    ("h.2.**", ["h.2.b.a", "h.2.w"]), ("h.2.b", ["h.2.b.a"]), ("h.9.w", []), ("nothing at all", []),
])  # fmt: skip
def test_the_spellings_of_subjects_are_understood(told: str, meant: list[str]) -> None:
    names = [f"h.{n}.{leaf}" for n in range(6) for leaf in ("b.a", "w")]
    subject = examined([Cause(error(told))], names=names)
    assert sorted(marks(subject)) == meant
    assert subject_target(subject, subject.findings[0]) == (Target("tensor", meant[0]) if meant else None)


def test_of_several_findings_the_worst_marks_a_tensor() -> None:
    subject = examined(
        [Cause(warning("a")), Cause(error("a"))], [Finding("x.y", "info", "a", "z", {"names": ["b"]})], "ab"
    )
    assert marks(subject) == {"a": "error", "b": "info"}


def test_findings_of_a_real_folder_lead_to_fields_tensors_parameters_and_files(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(intermediate_size=24))
    led = [subject_target(subject, told) for told in subject.findings]
    assert led[0] == Target("field", "intermediate_size")
    assert Target("tensor", "model.layers.0.mlp.down_proj.weight") in led
    unfilled = Told(error("model.layers.{0, 1}.self_attn.qkv_proj.weight", "param.unfilled"))
    assert subject_target(subject, unfilled) == Target("param", "model.layers.0.self_attn.qkv_proj.weight")
    row = "LlamaForCausalLM:model.layers.{layer}.mlp.down_proj.weight"
    assert subject_target(subject, Told(error(row))) == Target("row", row)
    assert subject_target(subject, Told(error("kv", "tp.kv-replicated"))) == Target("field", "num_key_value_heads")
    assert subject_target(subject, Told(error("gone.safetensors", "shards.gap"))) == Target("file", "gone.safetensors")


# --- as Markdown ---


def test_markdown_lets_nothing_out_of_its_fence_or_code_span() -> None:
    hostile = "``` @octocat <script>alert(1)</script> ![x](http://y) `` #1"
    told = Told(Finding("shape.mismatch", "error", hostile, hostile, {hostile: hostile, "names": [hostile]}, hostile))
    shown = markdown(told)
    head, _, rest = shown.partition("\n\n")
    fence = re.match(r"`+", rest)
    assert fence and len(fence[0]) > 3
    assert rest.count(fence[0]) == 2 and rest.rstrip().endswith(fence[0])
    assert "script" not in re.sub(r"(`+)(?:(?!\1).)*\1", "", head)


def test_names_are_copied_whole_each_on_a_line_and_what_was_left_out_is_counted() -> None:
    names = [f"model.{'very_' * 30}long.{number}.weight" for number in range(90)]
    shown = markdown(Told(error(names=names, each={"a.weight": [1, 2]}))).splitlines()
    assert shown[shown.index("names:") + 1 :][:21] == [f"  {name}" for name in names[:20]] + ["  ... and 70 more"]
    assert "each: a.weight: [1, 2]" in shown


def test_of_very_much_the_first_is_copied_whole_the_rest_counted_with_the_command_that_has_it() -> None:
    causes = [Cause(error(f"a{n}.w", names=[f"a{n}.w"])) for n in range(90_000)]
    checks = [Check("values", unchecked="no values")]
    subject = replace(examined([*causes, Cause(warning())], checks=checks), where="my model", tp=4)
    subject.index.prepare()
    began = process_time()
    shown = all_markdown(subject)
    assert process_time() - began < 0.05
    assert len(b64encode(shown.encode())) < 1 << 16, "more than that no terminal takes"
    whole = shown.count("**error** `shape.mismatch`")
    assert whole > 100 and markdown(subject.findings[whole - 1]) in shown
    assert f"`a{whole - 1}.w`" in shown and f"`a{whole}.w`" not in shown
    told = f"**Cut here**: {90_001 - whole:,} more findings ({90_000 - whole:,} `shape.mismatch`, 1 `tensor.unmapped`)."
    assert told in shown and "values: no values" in shown
    command = re.search(r"`tracer (.*?)` writes", shown)
    assert command and shlex.split(command[1]) == [
        "diagnose",
        "my model",
        *["--tp", "4", "--no-values", "--json", "FILE"],
    ]


def test_little_is_copied_whole() -> None:
    assert "Cut here" not in all_markdown(examined([Cause(error()), Cause(warning())]))


def test_the_command_for_all_findings_is_one_that_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    subject = small(tmp_path / "model", lambda config: config.update(intermediate_size=24))
    many = subject.further(causes=[*subject.causes, *(Cause(error(f"a{n}")) for n in range(900))])
    command = re.search(r"`tracer (.*?)` writes", all_markdown(many))
    assert command
    assert main([each.replace("FILE", str(tmp_path / "all.jsonl")) for each in shlex.split(command[1])]) == 1
    capsys.readouterr()
    records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    said = {(record["code"], record["subject"]) for record in records if record["kind"] == "finding"}
    assert said >= {(told.finding.code, told.finding.subject) for told in subject.findings}


def test_all_of_it_as_markdown_says_what_was_not_checked() -> None:
    checks = [Check("values", unchecked="--no-values"), Check("files")]
    shown = all_markdown(examined([Cause(error(), (error("a"),))], checks=checks))
    assert "1 error, 2 findings" in shown and "(follows from `shape.mismatch`)" in shown
    assert "Not checked:" in shown and "values: --no-values" in shown and "Ok: `files`" in shown


def test_what_is_pasted_says_what_it_was_found_in(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    broken = small(tmp_path / "broken", lambda config: config.update(intermediate_size=24), tp=2)
    told = f"Found in `{broken.title}`, tp 2; trace-load {version('trace-load')}."
    assert one_markdown(broken, 0) == f"{markdown(broken.findings[0])}\n{told}\n"
    assert all_markdown(broken).endswith(f"\n{told}\n")
    saved = tmp_path / "t.db"
    run(Request(None, 4, load_format="dummy", rank=1, plan_only=True), save=saved).store.close()
    state = Browsing(str(saved), 1)
    state.arrived(open_subject(str(saved), 1, lambda seen: None))
    assert state.subject is not None and state.subject.store is not None
    with closing(state.subject.store):
        assert ", a trace of a plan at tp 4, rank 1 only; trace-load " in all_markdown(state.subject)
        state.more_ranks(-1)
        assert ", a trace of a plan at tp 4, rank 1 only, planned for tp 2; " in all_markdown(state.subject)
