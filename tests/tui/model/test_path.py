"""Pages about one thing: each hop is the plan's, or what was observed; each leads on, and back."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import small_checkpoint
from mappings.findings import Finding
from mappings.synth import Synthetic
from tests.tui import subjects
from tests.tui.model.material import FILES, leads, led, planned, small, subject, trace
from tests.tui.model.pages import WIDTHS, examined, prose, text
from tracer.diagnose.cause import Cause
from tracer.slices.observed import Observed
from tracer.slices.picture import picture
from tracer.slices.placed import Placed
from tui.model.browsing import Browsing
from tui.model.findings.page import marks
from tui.model.line import Kind, Page, Target, plain
from tui.model.numbers.look import hindrance
from tui.model.overview.inference import study
from tui.model.path import path
from tui.model.slicemap.drawing import map_lines
from tui.model.subject import Subject

ROTARY, EXTRA = "model.layers.0.self_attn.rotary_emb.inv_freq", "model.extra.weight"
QKV, GATE_UP = "model.layers.1.self_attn.qkv_proj.weight", "model.layers.0.mlp.gate_up_proj.weight"
PLACED: dict[tuple[int, int], Placed] = {}
KINDS = ("llama tied", "mixtral", "gpt-oss", "deepseek v3 in fp8")


def placed(found: Subject, tp: int) -> Placed:
    """Where everything would go with so many ranks."""
    assert found.prepared is not None
    key = id(found.prepared.plan), tp
    if key not in PLACED:
        PLACED[key] = Placed(found.prepared, tp)
    return PLACED[key]


def about(found: Subject, kind: Kind, name: str, tp: int = 1, rank: int = 0) -> Page:
    return path(found, placed(found, tp) if found.prepared else None, Target(kind, name), rank)


def params(found: Subject) -> list[str]:
    assert found.prepared is not None
    return [name for name, _ in found.prepared.plan.params()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("checkpoints")
    head = [Synthetic("lm_head.weight", "BF16", (67, 10))]
    return {
        name: small(name, base / name, *(head if name == "llama tied" else ()), Synthetic(ROTARY, "F32", (1,)),
                    Synthetic(EXTRA, "BF16", (2, 2)))
        for name in KINDS
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(folders: dict[str, Path]) -> dict[str, Subject]:
    return {name: subject(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Four query heads and two KV heads of two, hidden 8: small enough to be counted by hand."""
    folder = tmp_path_factory.mktemp("llama")
    small_checkpoint.sound(folder)
    return subject(folder)


# --- hop by hop ---


def test_the_path_of_a_tensor_is_that_which_one_counts_by_hand(llama: Subject) -> None:
    """Rank 1 of 2 has the second KV head, behind its two query heads."""
    name = "model.layers.1.self_attn.k_proj.weight"
    shown = text(about(llama, "tensor", name, 2, 1), 120).splitlines()
    header = (Path(llama.where) / small_checkpoint.SECOND).read_bytes()
    size = int.from_bytes(header[:8], "little")
    begin, end = (8 + size + at for at in json.loads(header[8 : 8 + size])[name]["data_offsets"])
    assert shown[0] == f"{name}  BF16 (4, 8)"
    assert f"file      {small_checkpoint.SECOND}  bytes {begin:,} to {end:,}  (64 bytes)" in shown
    assert shown[4] == "row       model.layers.{layer}.self_attn.k_proj.weight"
    entry = re.fullmatch(r' {10}(\w+\.py):(\d+)  laid out "kv\.dim, hidden"', shown[5])
    assert entry is not None
    assert "self_attn.k_proj" in Path("mappings/architectures", entry[1]).read_text().splitlines()[int(entry[2]) - 1]
    assert f"param     {QKV}  shard k" in shown
    assert "          whole (16, 8), (8, 8) on rank 1" in shown
    assert [line.split(maxsplit=2)[2] for line in shown if line.startswith("rank")] == [
        "[0:2] -> [4:6]", "▶ [2:4] -> [4:6]",
    ]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_was_observed_is_shown_as_what_was_planned(
    name: str, folders: dict[str, Path], found: dict[str, Subject], tmp_path: Path
) -> None:
    """Two accounts of one load, by the plan and by what the views of the engine were seen to be."""
    seen = subject(trace(folders[name], 2, tmp_path / "t.db", plan_only=name.startswith("deepseek")), 2)
    assert seen.store is not None
    observed = Observed(seen.store)
    for tensor in seen.store.tensors():
        pages = [path(subject, placement, Target("tensor", tensor.name), 1)
                 for subject, placement in ((found[name], placed(found[name], 2)), (seen, observed))]  # fmt: skip
        shown = [text(page, 120).partition("\nfinding")[0].splitlines() for page in pages]
        assert [line for line in shown[0] if not line.startswith("file")] == [
            line for line in shown[1] if not line.startswith("file")
        ], tensor.name  # fmt: skip
    seen.store.close()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tp", [1, 2])
def test_every_move_of_the_plan_is_a_line_of_its_rank(name: str, tp: int, found: dict[str, Subject]) -> None:
    plan = placed(found[name], tp)
    for info in found[name].tensors:
        page = about(found[name], "tensor", info.name, tp)
        moves = plan.moves(info.name)
        assert led(page, "param") == list(dict.fromkeys(m.param for m in moves)) or plan.claim(info.name).kind == "tie"
        lines = Counter(int(rank) for rank in re.findall(r"^rank (\d+)", text(page), re.M))
        assert lines == Counter(rank for rank, _ in {(m.rank, m.param) for m in moves}), info.name


# --- both directions ---


@pytest.mark.parametrize("name", KINDS)
def test_a_parameter_lists_all_its_sources_and_each_leads_back(name: str, found: dict[str, Subject]) -> None:
    for param in params(found[name]):
        sources = led(about(found[name], "param", param), "tensor")
        plan, names = placed(found[name], 1), [info.name for info in found[name].tensors]
        moved = {each for each in names if any(move.param == param for move in plan.moves(each))}
        assert set(sources) == moved and len(sources) == len(moved), param
        for source in sources:
            assert param in led(about(found[name], "tensor", source), "param")


@pytest.mark.parametrize("name", KINDS)
def test_an_entry_of_the_table_lists_all_it_claims_and_each_names_it(name: str, found: dict[str, Subject]) -> None:
    claims: dict[str, list[str]] = {}
    for info in found[name].tensors:
        claim = placed(found[name], 1).claim(info.name)
        claims.setdefault(claim.id or "", []).append(info.name)
    assert EXTRA in claims.pop("")
    for row, names in claims.items():
        page = about(found[name], "row", row)
        assert led(page, "tensor") == names, row
        assert all(led(about(found[name], "tensor", each), "row") == [row] for each in names)
        for param in led(page, "param"):
            assert "empty" not in text(about(found[name], "param", param))


@pytest.mark.parametrize("name", KINDS)
def test_a_file_lists_exactly_its_tensors_in_the_order_of_their_bytes(
    name: str, folders: dict[str, Path], found: dict[str, Subject]
) -> None:
    for file in FILES:
        data = (folders[name] / file).read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        header.pop("__metadata__")
        page = about(found[name], "file", file)
        assert led(page, "tensor") == sorted(header, key=lambda tensor: header[tensor]["data_offsets"])
        for tensor in header:
            assert led(about(found[name], "tensor", tensor), "file") == [file]


# --- what is not loaded ---


def test_what_is_skipped_tied_or_unmapped_says_so_and_its_entry_leads_back(found: dict[str, Subject]) -> None:
    llama = found["llama tied"]
    skipped = prose(about(llama, "tensor", ROTARY), 120)
    assert "· not loaded" in skipped and "✗" not in skipped and "rank 0" not in skipped
    tied = about(llama, "tensor", "lm_head.weight")
    assert "= tied to model.embed_tokens.weight: the same storage" in prose(tied)
    assert led(tied, "param") == ["model.embed_tokens.weight"]
    embedding = about(llama, "param", "model.embed_tokens.weight")
    assert led(embedding, "tensor") == ["model.embed_tokens.weight"]
    assert "lm_head.weight is tied to it" in prose(embedding)
    assert "tied" in prose(about(llama, "param", "lm_head.weight"))
    unmapped = prose(about(llama, "tensor", EXTRA), 120)
    assert "✗ unmapped" in unmapped and "finding" in unmapped and "tensor.unmapped" in unmapped
    (entry,) = led(about(llama, "tensor", ROTARY), "row")
    assert "skips" in text(about(llama, "row", entry)) and "llama.py:" in text(about(llama, "row", entry))


def test_an_entry_that_skips_more_than_there_are_lines_for_counts_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.model.path.row.MOST", 20)
    many = [Synthetic(ROTARY.replace(".0.", f".{n}."), "F32", (1,)) for n in range(25)]
    opened = planned(small("llama", tmp_path, *many, num_hidden_layers=25))
    (entry,) = led(about(opened, "tensor", ROTARY), "row")
    page = about(opened, "row", entry)
    assert len(led(page, "tensor")) == 20 and "claims    25" in text(page) and "… and 5 more" in text(page)


def test_without_rows_the_reason_stands_in_their_place(tmp_path: Path) -> None:
    folder = small("llama", tmp_path, architectures=["NobodyKnowsForCausalLM"])
    opened = subject(folder)
    assert opened.prepared is None and opened.refused is not None
    shown = prose(about(opened, "tensor", "model.norm.weight"), 120)
    assert "row · none: where it goes is not checked" in shown and "NobodyKnowsForCausalLM" in shown
    assert "no rows apply" in text(about(opened, "param", "model.norm.weight"))


def test_before_there_is_a_plan_its_rows_are_being_looked_for(llama: Subject) -> None:
    headers = Subject(llama.where, llama.title, llama.tensors)
    shown = text(path(headers, None, Target("tensor", "model.norm.weight"), 0))
    assert "row       … looking for its rows" in shown and "not checked" not in shown


def test_a_number_of_ranks_that_cannot_be_is_a_reason_on_both_pages_and_the_sources_stay(llama: Subject) -> None:
    refusal = placed(llama, 3).refusal()
    assert refusal is not None
    source = "model.layers.1.self_attn.v_proj.weight"
    for page in (about(llama, "tensor", source, 3), about(llama, "param", QKV, 3)):
        assert f"✗ tp 3: {refusal}" in prose(page, 120) and led(page, "rank") == []
    assert source in led(about(llama, "param", QKV, 3), "tensor")


# --- parts, experts, padding, scales ---


def test_padding_and_constants_of_the_plan_are_lines_of_the_parameter(found: dict[str, Subject]) -> None:
    for name in KINDS:
        plan = placed(found[name], 2)
        for param in params(found[name]):
            shown = text(about(found[name], "param", param, 2))
            assert len(re.findall("^filled", shown, re.M)) == len(plan.pads(param)), param
    shown = text(about(found["llama tied"], "param", "model.embed_tokens.weight", 2))
    assert "filled    rank 1 [3:64] = 0  vocab padded to a multiple of 64" in shown  # 64 + 3 words


def test_the_expert_that_is_drawn_is_the_tensors(found: dict[str, Subject]) -> None:
    plan = placed(found["mixtral"], 2)
    for expert in range(3):
        name = f"model.layers.1.block_sparse_moe.experts.{expert}.w1.weight"
        page = text(about(found["mixtral"], "tensor", name, 2), 120)
        own = plan.moves(name)[0].param
        drawn = ["\n".join(plain(line).rstrip() for line in map_lines(picture(plan, own, e), 0, 120)) for e in range(3)]
        assert len(set(drawn)) == 3
        assert [drawing in page for drawing in drawn] == [e == expert for e in range(3)]


def test_scales_of_quantised_weights_go_their_own_way(found: dict[str, Subject]) -> None:
    name = "model.layers.0.self_attn.o_proj.weight"
    for leaf in ("weight", "weight_scale_inv"):
        page = about(found["deepseek v3 in fp8"], "tensor", name.replace("weight", leaf), 2)
        assert led(page, "param") == [name.replace("weight", leaf)]


def test_packed_weights_and_their_scales_have_pages() -> None:
    opened = subjects.opened("quantised").subject
    for info in opened.tensors[:20]:
        shown = text(about(opened, "tensor", info.name, 2))
        assert f"{info.dtype} (" in shown and "row " in shown


def test_an_adapter_has_pages_of_its_tensors_and_says_that_no_row_applies() -> None:
    opened = subjects.opened("adapter").subject
    assert opened.tensors
    shown = prose(about(opened, "tensor", opened.tensors[0].name), 120)
    assert "adapter_model.safetensors bytes" in shown and "where it goes is not checked" in shown


def test_of_a_clone_without_large_files_nothing_is_said_of_bytes(tmp_path: Path) -> None:
    """Names from the index, shapes from the rows, and pointers where files would be."""
    folder = small("llama", tmp_path)
    for file in FILES:
        size = (folder / file).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n"
        (folder / file).write_text(pointer)
    opened = subject(folder)
    assert opened.tensors and all(info.offset is None for info in opened.tensors)
    shown = text(about(opened, "tensor", opened.tensors[0].name))
    assert "file      none: " in shown and "if it existed" in shown and "row       model." in shown
    assert hindrance(opened.checkpoint, opened.tensors[0]) == "its file is not here"


def test_where_offsets_are_not_known_none_are_shown() -> None:
    opened = examined(names=["a.weight", "b.weight"])
    opened.tensors = [replace(info, offset=None) for info in opened.tensors]
    lines = text(path(opened, None, Target("file", "model.safetensors"), 0)).splitlines()
    assert [line.split()[1:3] for line in lines[-2:]] == [["not", "known"]] * 2


# --- findings, fields, files, groups ---


def test_a_tensor_that_the_tree_marks_says_why_on_its_page(tmp_path: Path) -> None:
    """Findings about many are told by one name with ranges, or by the names in their evidence."""
    names = [f"h.{layer}.mlp.{leaf}" for layer in range(5) for leaf in ("up.weight", "up.bias", "down.weight")]
    told = [
        Finding("shape.mismatch", "error", "h.{0..2}.mlp.up.weight", "too wide"),
        Finding("layers.missing", "warning", "h", "some", {"names": ["h.4.mlp.**"]}),
        Finding("x.y", "info", "h.3.mlp.up", "a module"),
    ]
    opened = examined([Cause(finding) for finding in told[:2]], told[2:], names)
    marked = marks(opened)
    for name in names:
        shown = text(path(opened, None, Target("tensor", name), 0))
        codes = {finding.code for finding in told if finding.code in shown}
        assert bool(codes) == (name in marked), name
        glyph = {"error": "✗ shape", "warning": "! layers", "info": "i x.y", None: ""}[marked.get(name)]
        assert glyph in shown


def test_evidence_and_fix_of_a_finding_are_shown_whole_at_every_width() -> None:
    names = [f"model.layers.{n}.self_attn.a_rather_long_name.weight" for n in range(9)]
    finding = Finding("x.y", "error", "nothing", "a message " * 20, {"names": names, "n": 4}, "do this " * 30, 3)
    opened = examined([Cause(finding, tuple(Finding("a.b", "error", f"t{n}", "follows") for n in range(12)))])
    for width in WIDTHS:
        page = path(opened, None, Target("finding", "0"), 0)
        shown = prose(page, width)
        for what in (finding.message.strip(), "do this " * 29, "n: 4", "rank 3", *names):
            assert what.strip() in shown, (what, width)
        assert Target("page", "findings") in leads(page) and "… and 4 more" in shown
        assert Target("finding", "0") in leads(path(opened, None, Target("finding", "5"), 0))


def test_a_field_is_found_wherever_it_is_nested_and_whatever_it_is_called(tmp_path: Path) -> None:
    config = {"a": {"b.c": {"d": 7}}, "e.f": 8, "g": {}, "long": list(range(100))}
    opened = examined([Cause(Finding("config.conflict", "error", "d", "no", {"field": "a.b.c.d"}))])
    files = type("Files", (), {"has": lambda self, name: False, "names": lambda self: []})()
    opened.checkpoint = type("Here", (), {"config": config, "files": files})()
    for name, value in (("a.b.c.d", "7"), ("e.f", "8"), ("g", "{}"), ("long", ", 99]")):
        for width in WIDTHS:
            assert value in prose(path(opened, None, Target("field", name), 0), width)
    assert "config.conflict" in text(path(opened, None, Target("field", "a.b.c.d"), 0))
    assert "config.conflict" not in text(path(opened, None, Target("field", "e.f"), 0))
    assert "· not in the file" in text(path(opened, None, Target("field", "a.b"), 0))


def test_a_field_of_a_traces_config_is_known_even_where_it_cannot_be_planned(tmp_path: Path, llama: Subject) -> None:
    seen = subject(trace(Path(llama.where), 1, tmp_path / "t.db", plan_only=True))
    seen.prepared = None
    assert "value     8" in text(path(seen, None, Target("field", "hidden_size"), 0))
    assert seen.store is not None
    seen.store.close()


def test_a_file_of_which_no_tensor_is_known_says_so(llama: Subject) -> None:
    assert "no tensor in it is known here" in text(about(llama, "file", "gone.safetensors"))


def test_a_group_counts_what_is_below_it_and_nothing_that_only_begins_so(llama: Subject) -> None:
    below = [info for info in llama.tensors if info.name.split(".")[:2] == ["model", "layers"]]
    shown = prose(about(llama, "group", "model.layers"))
    assert f"tensors {len(below)} size" in shown
    assert "tensors 0 " in prose(about(llama, "group", "model.lay"))
    assert set(led(about(llama, "group", "model.layers"), "file")) == {info.file for info in below}


# --- no dead end ---


def walk(opened: Subject, tp: int, most: int = 60) -> int:
    """Follow everything from all pages, as far as `most` pages; each has something to say and room at every width."""
    browsing = Browsing(opened.where, tp)
    browsing.arrived(opened)
    browsing.inference = study(opened)
    seen: set[Target] = set()
    ahead: list[Target] = [Target("page", name) for name in browsing.pages]
    while ahead and len(seen) < most:
        target = ahead.pop(0)
        if target in seen or target.kind == "rank":
            continue
        seen.add(target)
        for page in (target.name,) if target.kind == "page" else ("path", "graph", "values"):
            browsing.page = page  # type: ignore[assignment]
            browsing.focus = None if target.kind == "page" else target
            for width in (60, 80, 200):
                assert text(browsing.shown(), width).strip(), (page, target, width)
            ahead += sorted(set(leads(browsing.shown())) - seen, key=lambda t: (t.kind, len(t.name)))
    return len(seen)


@pytest.mark.parametrize("kind", ["clean", "broken", "quantised", "adapter", "empty"])
def test_everything_leads_somewhere_and_nothing_is_a_dead_end(kind: str) -> None:
    assert walk(subjects.opened(kind).subject, 2) >= (8 if kind == "empty" else 20)


def test_a_trace_and_a_mixture_at_an_illegal_number_of_ranks_can_be_walked_too(
    folders: dict[str, Path], found: dict[str, Subject], tmp_path: Path
) -> None:
    seen = subject(trace(folders["gpt-oss"], 2, tmp_path / "t.db"))
    assert walk(seen, 1, 50) > 40
    assert seen.store is not None
    seen.store.close()
    assert walk(found["mixtral"], 5, 50) > 40
