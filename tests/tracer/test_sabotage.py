"""Planted faults, most of which pass all checks of names and shapes: each is caught by its code, rank and range."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mappings.findings import Finding
from tests import placements, sabotage
from tests.tracer.report_html.reading import parsed, paths
from tracer.report.html import page, render
from tracer.session import Request, Result, run

PROCESSES = pytest.param("auto", id="real processes")
META = pytest.param("dummy", id="meta device")
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128, "torch_dtype": "float32",
}  # fmt: skip
QKV = "model.layers.1.self_attn.qkv_proj.weight"
OUT = "model.layers.1.self_attn.o_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    (path / "config.json").write_text(json.dumps(CONFIG))
    planned = run(Request(str(path), plan_only=True))
    shapes = {t.name: t.shape for t in planned.store.tensors()}
    return placements.write_checkpoint(path, CONFIG, placements.number(shapes))


def load(folder: Path, loader: type, load_format: str = "dummy") -> Result:
    return run(Request(str(folder), 2, load_format=load_format, device="cpu"), loader=loader)  # type: ignore[arg-type]


def errors(result: Result) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.severity == "error":
            found.setdefault(finding.code, []).append(finding)
    return found


def test_the_same_checkpoint_is_clean_without_a_fault(folder: Path) -> None:
    from engine.loading.loader import Loader

    assert not errors(load(folder, Loader))


@pytest.mark.parametrize("load_format", [META, PROCESSES])
def test_a_skipped_row_is_unwritten_and_unread(folder: Path, load_format: str) -> None:
    found = errors(load(folder, sabotage.SkipsARow, load_format))
    assert set(found) == {"audit.unwritten", "audit.unread"}
    assert [(f.rank, f.subject, f.evidence["ranges"]) for f in found["audit.unwritten"]] == [
        (rank, QKV, [[[32, 64], [0, 64]]]) for rank in (0, 1)
    ]
    assert found["audit.unread"][0].subject == "model.layers.1.self_attn.k_proj.weight"
    assert found["audit.unread"][0].evidence["ranges"] == [[[0, 64], [0, 64]]]


def test_a_row_loaded_twice_is_overwritten_and_overread(folder: Path) -> None:
    found = errors(load(folder, sabotage.LoadsARowTwice))
    assert set(found) == {"audit.overwritten", "audit.overread"}
    assert [(f.rank, f.subject, f.evidence["ranges"]) for f in found["audit.overwritten"]] == [
        (rank, QKV, [[[32, 64], [0, 64]]]) for rank in (0, 1)
    ]


@pytest.mark.parametrize("load_format", [META, PROCESSES])
def test_rank_zeros_slice_on_every_rank_is_a_rank_duplicate(folder: Path, load_format: str) -> None:
    found = errors(load(folder, sabotage.EveryRankIsRankZero, load_format))
    assert set(found) == {"audit.rank-duplicate", "audit.unread", "audit.overread"}
    (duplicate,) = found["audit.rank-duplicate"]
    assert (duplicate.subject, duplicate.evidence["ranks"]) == (OUT, [0, 1])
    assert found["audit.unread"][0].evidence["ranges"] == [[[0, 64], [32, 64]]]
    assert found["audit.overread"][0].evidence["ranges"] == [[[0, 64], [0, 32]]]


def test_q_and_k_exchanged_are_wrong_slices_although_every_count_is_right(folder: Path) -> None:
    found = errors(load(folder, sabotage.ExchangesQAndK))
    assert set(found) == {"audit.wrong-slice"}
    wrong = found["audit.wrong-slice"]
    exchanged = {(f.rank, f.evidence["tensor"].split(".")[-2], str(f.evidence["dst"])) for f in wrong}
    assert exchanged == {
        (rank, tensor, f"[[{start}, {start + 32}], [0, 64]]")
        for rank in (0, 1) for tensor, start in (("q_proj", 32), ("k_proj", 0))
    }  # fmt: skip
    assert {f.subject for f in wrong} == {QKV}


def test_a_transposed_source_is_a_wrong_slice_although_every_count_is_right(folder: Path) -> None:
    found = errors(load(folder, sabotage.TransposesTheSource))
    assert set(found) == {"audit.wrong-slice"}
    assert [(f.rank, f.subject) for f in found["audit.wrong-slice"]] == [(0, OUT), (1, OUT)]
    assert "transposed" in found["audit.wrong-slice"][0].message


def test_an_off_by_one_head_is_a_wrong_slice_on_that_rank_alone(folder: Path) -> None:
    found = errors(load(folder, sabotage.OffByOneHead))
    assert set(found) == {"audit.wrong-slice", "audit.unread", "audit.overread"}
    (wrong,) = found["audit.wrong-slice"]
    assert (wrong.rank, wrong.subject) == (0, QKV)
    assert wrong.evidence["src"] == [[16, 48], [0, 64]]
    assert wrong.evidence["planned_src"] == [[0, 32], [0, 64]]
    assert found["audit.unread"][0].evidence["ranges"] == [[[0, 16], [0, 64]]]
    assert found["audit.overread"][0].evidence["ranges"] == [[[32, 48], [0, 64]]]


def test_a_fill_instead_of_a_copy_is_found_although_every_element_is_written_once(folder: Path) -> None:
    found = errors(load(folder, sabotage.FillsInsteadOfCopying))
    assert set(found) == {"audit.unwritten", "audit.overwritten", "audit.unread"}
    assert "filled with 1, which no rule asks for" in found["audit.overwritten"][0].message
    assert {f.rank for f in found["audit.unwritten"]} == {0, 1}
    assert "k_proj.weight[0:32, 0:64], as planned" in found["audit.unwritten"][0].message


def test_another_constant_in_the_padding_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": 100}))
    found = errors(run(Request(str(tmp_path), 2, load_format="dummy"), loader=sabotage.PadsWithNine))
    assert set(found) == {"audit.overwritten", "audit.unwritten"}
    assert "was filled with 9" in found["audit.overwritten"][0].message
    assert "was not filled with 0" in found["audit.unwritten"][0].message


def test_a_write_from_a_tensor_of_no_checkpoint_is_found(folder: Path) -> None:
    found = errors(load(folder, sabotage.OverwritesWithJunk))
    assert {(f.subject, f.rank) for f in found["audit.overwritten"]} == {(OUT, 0), (OUT, 1)}
    assert {f.evidence["tensor"] for f in found["audit.wrong-slice"]} == {"?"}


def test_a_source_that_cannot_be_seen_is_not_taken_for_another_tensor(folder: Path) -> None:
    found = errors(load(folder, sabotage.CopiesAClone))
    assert {f.evidence["tensor"] for f in found["audit.wrong-slice"]} == {"?"}
    assert {f.subject for f in found["audit.wrong-slice"]} == {QKV}
    assert {f.subject for f in found["audit.unread"]} == {"model.layers.1.self_attn.q_proj.weight"}


def test_a_parameter_of_another_data_type_is_recorded_as_it_is(folder: Path) -> None:
    result = load(folder, sabotage.AllocatesAnotherType)
    recorded = {p.name: p.dtype for p in result.store.params(0)}
    assert (recorded[OUT], recorded[QKV]) == ("F16", "F32")
    assert {f.subject for f in errors(result)["shape.mismatch"]} == {OUT}


def test_one_rank_alone_is_audited_too(folder: Path) -> None:
    request = Request(str(folder), 2, load_format="dummy", rank=0)
    found = errors(run(request, loader=sabotage.FillsInsteadOfCopying))
    assert {"audit.unwritten", "audit.overwritten"} <= set(found)


@pytest.fixture(scope="module")
def died(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A load in whose second half rank 1 dies, and its saved trace."""
    saved = tmp_path_factory.mktemp("died") / "t.db"
    return run(Request(str(folder), 2, device="cpu"), save=saved, loader=sabotage.DiesHalfWay), saved


def test_a_rank_that_dies_leaves_a_readable_trace_of_what_happened_until_then(died: tuple[Result, Path]) -> None:
    result, saved = died
    assert result.failed
    assert result.failure is not None
    assert "rank 1" in result.failure
    assert "planted failure" in result.failure
    from tracer.store import Store

    store = Store.open(saved)
    assert store.end is None
    written = {move.param for move in store.moves(1)}
    assert any(name.startswith("model.layers.0.") for name in written)
    assert not any(name.startswith("model.layers.1.self_attn") for name in written)


def test_the_page_of_a_load_that_failed_has_the_paths_that_were_seen_until_then(died: tuple[Result, Path]) -> None:
    result, _ = died
    found = parsed(render.rendered(page.of_result(result)))
    assert "✗ finding" in [row.one("span").text for row in found.all("tr") if row.one("th").text == "load"]
    assert "planted failure" in found.one("article").text
    assert "ran on 2 processes (gloo, cpu)" in found.one("dl", "facts").text
    assert "they are not those of the plan" in found.section("paths").text
    seen = {tensor: dict(slices) for _, tensor, _, slices in paths(found)}
    assert seen["model.layers.1.self_attn.o_proj.weight"] == {"rank 0": "[:, 0:32] → all", "rank 1": ""}
