"""What a page says against what is printed, what --json has, and what the moves themselves are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mappings.findings import Finding
from tests import placements, sabotage, small_llama, small_qwen2, vllm_traces
from tests.tracer.printed import run
from tests.tracer.report_html.reading import Element, parsed, paths, read
from tracer import session
from tracer.infer.canonical import spellings
from tracer.report import words
from tracer.report.findings import MOST_OF_A_CODE
from tracer.report.html import page, render
from tracer.report.html.findings import shown
from tracer.report.html.view import Page
from tracer.report.paths import by_param, fold_moves
from tracer.report.table import PathTable
from tracer.session import Request


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_qwen2.write(tmp_path_factory.mktemp("qwen2"))


def page_of(result: session.Result) -> Element:
    return parsed(render.rendered(page.of_result(result)))


def chips(found: Element) -> list[str]:
    return [chip.text for chip in found.one("p", "verdict").all("span", "mark")]


def facts(found: Element) -> dict[str, str]:
    summary = found.one("dl", "facts")
    return dict(zip([e.text for e in summary.all("dt")], [e.text for e in summary.all("dd")], strict=True))


def checks(found: Element) -> dict[str, str]:
    return {
        row.one("th").text: row.one("span", "mark").text
        for row in found.one("table", "checks").one("tbody").all("tr")
    }  # fmt: skip


def findings(found: Element, section: str = "findings") -> list[Element]:
    return list(found.section(section).all("article"))


# --- the path table ---


@pytest.mark.parametrize("geometry", ["llama-3-8b", "gpt-oss-20b", "mamba2-2.7b"])
def test_the_page_has_the_lines_that_are_printed(
    geometry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    _, out, _ = run(capsys, "--fixture", geometry, "--tp", "2", "--plan", "--html", file)
    told = read(file).section("paths")
    printed = [line for line in out.splitlines() if " -> " in line and not line.startswith("  shard")]
    assert len(printed) == len(paths(told)) >= 12
    for line, (shard, tensor, row, slices) in zip(printed, paths(told), strict=True):
        hops = [hop.replace("→", "->") or "-" for _, hop in slices]
        cells = [shard, tensor, row, *(hops * 2 if len(hops) == 1 else hops)]
        assert re.split(" {2,}", line.strip()) == [cell for cell in cells if cell]
    for param in told.all("details", "param"):
        name, made = param.one("code", "name").text, param.one("span", "made").text
        assert f"{name}  {made.rpartition(' x')[0] or made}" in out
        assert all(fill.text.replace(": ", "  ").replace("fill ", "fill  ") in out for fill in param.all("p", "fill"))


@pytest.mark.parametrize(
    ("geometry", "tp"), [("llama-3-8b", 16), ("gpt-oss-20b", 8), ("bloom-560m", 4), ("mixtral-8x7b", 8)]
)
def test_ranks_that_the_laws_tell_take_what_their_moves_say(geometry: str, tp: int) -> None:
    """The page folds two ranks and asks the laws for the others; here all of them are folded from their moves."""
    result = session.run(Request(geometry=geometry, tp=tp, plan_only=True))
    table = PathTable(result, shown=tp)
    folded = fold_moves(result.store, range(tp))
    expected = {}
    for group in by_param(folded, result.store, 0):
        for line in group.lines:
            source = table.shapes[line.tensor_template]
            expected[line.tensor, line.shard] = [
                words.hop(line.hops[rank], source, group.shape) if rank in line.hops else "" for rank in range(tp)
            ]
    seen = {}
    for shard, tensor, _, slices in paths(page_of(result)):
        told = [hop.replace("→", "->") for _, hop in slices]
        seen[tensor, shard] = told * tp if len(told) == 1 else told
    assert seen == expected
    assert len(seen) > 10


def test_only_the_rank_that_was_asked_for_is_shown(folder: Path) -> None:
    result = session.run(Request(str(folder), 4, rank=3, plan_only=True))
    assert {who for *_, slices in paths(page_of(result)) for who, _ in slices} <= {"rank 3"}


def test_a_narrow_choice_on_the_terminal_does_not_narrow_the_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [tmp_path / "all.html", tmp_path / "one.html"]
    run(capsys, folder, "--tp", "2", "--plan", "--html", pages[0])
    run(capsys, folder, "--tp", "2", "--plan", "--html", pages[1], "--tensor", "*k_proj*", "--all")
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_what_is_not_loaded_is_named_with_its_reason(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    names = {t.name: t.shape for t in session.run(Request(str(tmp_path), plan_only=True)).store.tensors()}
    rotary = "model.layers.0.self_attn.rotary_emb.inv_freq"
    placements.write_checkpoint(tmp_path, small_llama.CONFIG, placements.number({**names, rotary: (8,)}))
    result = session.run(Request(str(tmp_path), plan_only=True))
    (left,) = page_of(result).section("paths").all("details", "left")
    assert [item.text for item in left.all("li")] == [rotary]
    (reason,) = [tensor.reason for tensor in result.store.tensors() if tensor.name == rotary]
    assert reason
    assert reason in left.one("summary").text


def test_lines_beyond_measure_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = session.run(Request(str(folder), plan_only=True))
    whole = len(paths(page_of(result)))
    monkeypatch.setattr("tracer.report.html.paths.MOST_LINES", 5)
    found = page_of(result)
    assert len(paths(found)) == 5
    assert f"{whole - 5} more lines; --json has all" in found.section("paths").text


# --- the verdict ---


def test_the_summary_says_what_was_fake_and_that_nothing_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    result = session.run(Request(tp=2, plan_only=True))
    found = page_of(result)
    assert facts(found)["fake"] == "names, shapes and data types (from config.json); the bytes"
    assert facts(found)["not run"] == "--plan"
    assert "Nothing was observed" in found.section("paths").text
    assert chips(found) == ["· nothing wrong in what was checked", "✓ 2 checks ok", "· 6 not checked"]


def test_where_no_weights_are_here_that_stands_at_the_top_and_sizes_are_said_to_be_those_of_the_rows(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    for where, plan_only in ((tmp_path, True), (tmp_path, False), (folder, True), (folder, False)):
        found = page_of(session.run(Request(str(where), load_format="dummy", plan_only=plan_only)))
        assert (chips(found)[0] == "· no weights are here") == (where == tmp_path)
        assert facts(found)["tensors"].endswith(", as the rows have them") == (where == tmp_path)


def test_a_dummy_load_is_told_as_observed_and_its_checks_as_the_trace_has_them(folder: Path) -> None:
    result = session.run(Request(str(folder), 2, load_format="dummy", verify=True))
    found = page_of(result)
    assert facts(found)["ran on"] == "the meta device, all ranks in one process"
    assert "Observed: every copy that the loader made equals the plan" in found.section("paths").text
    words = {"ok": "✓ ok", "failed": "✗ finding", "not-checked": "· not checked"}
    assert checks(found) == {check.name: words[check.state] for check in result.store.checks()}
    assert checks(found)["verify"] == "· not checked"


def test_a_part_that_was_never_written_is_crossed_in_its_slice_map_and_named(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    result = session.run(Request(str(tmp_path), 2, load_format="dummy"), loader=sabotage.SkipsARow)
    (note,) = [each.text for each in page_of(result).all("figcaption") if "written" in each.text]
    assert note == "model.layers.1.self_attn.qkv_proj.weight ; k: no rank has written any of it"
    crossed = [each.one("title").text for each in page_of(result).all("g", "gap")]
    assert crossed == ["k 0:64 no rank"] * 2, "a block on each rank"


def test_a_refused_checkpoint_has_its_findings_and_says_that_nothing_was_traced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    status, out, _ = run(
        capsys, folder, "--plan", "--hf-overrides", '{"architectures": ["Nobody"]}', "--html", file
    )  # fmt: skip
    assert status == 1
    found = read(file)
    assert [each.one("code").text for each in findings(found)] == ["arch.unknown"]
    assert findings(found)[0].one("p").text in out
    assert "Nothing was traced" in found.section("paths").text
    assert checks(found) == {"trace": "· not checked"}
    assert not paths(found)


# --- findings ---


def broken(tmp_path: Path) -> session.Result:
    """A tensor that nobody claims in the place of one that is missed."""
    small_llama.write(tmp_path)
    names = {t.name: t.shape for t in session.run(Request(str(tmp_path), plan_only=True)).store.tensors()}
    renamed = {name.replace("1.mlp.down_proj", "1.mlp.dwon_proj"): shape for name, shape in names.items()}
    placements.write_checkpoint(tmp_path, small_llama.CONFIG, placements.number(renamed))
    return session.run(Request(str(tmp_path), 2, plan_only=True))


def test_every_finding_is_there_with_all_that_it_has(tmp_path: Path) -> None:
    result = broken(tmp_path)
    told = findings(page_of(result))
    assert len(result.findings) == len(told) > 1
    for finding, each in zip(result.findings, told, strict=True):
        assert finding.severity in each.one("span", "mark").text
        assert [finding.code, finding.subject] == [code.text for code in each.one("h3").all("code")]
        assert each.one("p").text == finding.message
        assert (each.one("p", "fix").text if finding.fix else None) == (f"Fix: {finding.fix}" if finding.fix else None)
        assert [name.text for name in each.all("dt")] == list(finding.evidence)
        assert finding.code in each.one("pre").text


def test_the_worst_finding_is_told_at_the_top(tmp_path: Path) -> None:
    result = broken(tmp_path)
    assert result.findings[0].message in page_of(result).one("header").text


def test_a_subject_that_the_table_has_leads_there(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    result = session.run(Request(str(tmp_path), 2, load_format="dummy"), loader=sabotage.SkipsARow)
    links = [link.attributes["href"] for each in findings(page_of(result)) for link in each.all("a")]
    assert links == [
        "#q=model.layers.1.self_attn.qkv_proj.weight", "#q=model.layers.1.self_attn.qkv_proj.weight",
        "#q=model.layers.1.self_attn.k_proj.weight",
    ]  # fmt: skip


def test_a_subject_that_nothing_is_done_with_leads_nowhere(tmp_path: Path) -> None:
    links = {each.one("code").text: list(each.all("a")) for each in findings(page_of(broken(tmp_path)))}
    assert links["tensor.unmapped"] == []
    assert links["param.unfilled"]


def test_findings_beyond_measure_are_counted() -> None:
    several = [Finding("header.hole", "error", str(n), "a hole") for n in range(MOST_OF_A_CODE + 7)]
    found, more = shown([*several, Finding("file.empty", "error", "x", "nothing")], ())
    assert len(found) == MOST_OF_A_CODE + 1
    assert [tuple(each) for each in more] == [("header.hole", 7)]
    whole = parsed(render.rendered(Page("", (), found=found, more=more)))
    assert f"Findings ({len(several) + 1})" in whole.one("nav").text


# --- config ---


def settings(found: Element) -> dict[str, list[str]]:
    rows = found.one("table", "settings").one("tbody").all("tr")
    return {row.one("th").text: [cell.text for cell in row.all("td")] for row in rows}


def test_fields_stand_beside_what_tensors_say_and_inferred_ones_are_marked(folder: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    changed = {**config, "intermediate_size": 2 * config["intermediate_size"], "flavour": "plain"}
    del changed["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(changed))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    result = session.run(Request(str(tmp_path), plan_only=True, overrides='{"rope_theta": 7.0}'))
    found = page_of(result)
    told = settings(found)
    assert next(iter(told)) == "intermediate_size"
    assert told["intermediate_size"][1] == "✗ conflict"
    assert told["hidden_size"][:2] == [str(config["hidden_size"]), "✓ agrees"]
    assert told["tie_word_embeddings"][:2] == ["-", "≈ inferred"]
    assert told["flavour"] == ["plain", "· not compared", "-", ""]
    assert told["rope_theta"][0] == "7.0 --hf-overrides"
    assert "✗ 1 conflict in the config" in chips(found)
    (conflict,) = findings(found, "config")
    assert conflict.one("code").text == "config.conflict"
    assert str(config["intermediate_size"]) in conflict.one("p").text


def test_fields_are_not_held_against_tensors_that_come_from_them() -> None:
    config = page_of(session.run(Request(plan_only=True))).section("config")
    assert "not checked" in config.text
    assert [head.text for head in config.one("thead").all("th")] == ["Field", "Config"]


@pytest.mark.parametrize(
    ("said", "state"),
    [({"torch_dtype": "float32"}, "✓ agrees"), ({"dtype": "float32"}, "✓ agrees"), ({"dtype": "bfloat16"}, "≠ differs"),
     ({}, "≈ inferred"), ({"dtype": "float32", "torch_dtype": "float32"}, "✓ agrees")],
)  # fmt: skip
def test_a_field_of_two_names_has_a_line_for_each_that_the_file_has_and_no_other(
    said: dict[str, str], state: str, tmp_path: Path
) -> None:
    small_llama.write(tmp_path)
    saved = {key: value for key, value in small_llama.CONFIG.items() if key != "torch_dtype"} | said
    (tmp_path / "config.json").write_text(json.dumps(saved))
    told = settings(page_of(session.run(Request(str(tmp_path), plan_only=True))))
    of_type = {name: cells for name, cells in told.items() if name in ("dtype", "torch_dtype")}
    assert list(of_type) == (list(said) or ["torch_dtype"])
    assert {cells[1] for cells in of_type.values()} == {state}
    assert {cells[2].removeprefix("≈ ") for cells in of_type.values()} == {"float32 likely"}
    assert [cells[0] for cells in of_type.values()] == (list(said.values()) or ["-"])
    assert all(len([name for name in told if name in spellings(own)]) == 1 for own in saved if "dtype" not in own)


def test_a_trained_model_agrees_with_its_config() -> None:
    folder = Path(__file__).parents[2] / "data" / "trained" / "qwen3-3"
    found = page_of(session.run(Request(str(folder), plan_only=True)))
    states = {cells[1] for cells in settings(found).values()}
    assert "✗ conflict" not in states
    assert settings(found)["num_hidden_layers"][1] == "✓ agrees"
    assert "q_norm" in settings(found)["num_attention_heads"][3]


# --- the file ---


def test_the_same_run_gives_the_same_bytes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for file in pages:
        assert run(capsys, folder, "--tp", "2", "--load-format", "dummy", "--html", file)[0] == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_status_is_that_of_the_run_and_nothing_more_is_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = vllm_traces.trace("Qwen2ForCausalLM", 1)["config"] | {"num_hidden_layers": 3}
    for argv in ([], ["--hf-overrides", json.dumps({"num_hidden_layers": lost["num_hidden_layers"]})]):
        plain = run(capsys, folder, "--plan", *argv)
        assert run(capsys, folder, "--plan", *argv, "--html", tmp_path / "page.html") == plain


def test_more_layers_and_experts_make_no_larger_page() -> None:
    def size(**config: int) -> int:
        request = Request(geometry="mixtral-8x7b", tp=8, plan_only=True, overrides=json.dumps(config))
        return len(render.rendered(page.of_result(session.run(request, told=session.Told(ranks=2)))))

    small = size(num_hidden_layers=2, num_local_experts=2)
    assert small < 80_000
    assert size(num_hidden_layers=40, num_local_experts=8) < 1.02 * small
