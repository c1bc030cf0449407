"""The architecture at a glance: counted against the tensors, marked as what it is, readable at every width."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path

import pytest

from fixtures import header_set, small_checkpoint
from fixtures.geometries import geometry
from fixtures.hostile import framed
from tests.corpus import materialise
from tests.tui.model.pages import WIDTHS, examined, prose, small, stages, text
from tracer.infer.parallel.rows import on_rank
from tracer.report.words import count, size
from tui.model.opening import open_subject
from tui.model.overview.inference import study
from tui.model.overview.page import overview
from tui.model.subject import Subject


def opened(folder: Path, tp: int = 1) -> Subject:
    return open_subject(str(folder), tp, lambda seen: None)


def fact(subject: Subject, label: str, width: int = 200) -> str:
    """A fact of the page, with what stands below it."""
    lines = text(overview(subject, study(subject)), width).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"{label} "))
    below = (line for line in lines[at + 1 :])
    more = []
    for line in below:
        if not line.startswith(" " * 16):
            break
        more.append(line.strip())
    return " ".join([lines[at][16:].strip(), *more])


@pytest.fixture
def mixture(tmp_path: Path) -> Subject:
    """DeepSeek-V2-Lite with four experts: the first layer is dense."""
    header_set.write(tmp_path, "deepseek-v2-lite", 1 / 16)
    return opened(tmp_path, 2)


# --- the picture ---


def test_the_embedded_default_is_drawn_beside_each_other_where_there_is_room_and_below_where_not() -> None:
    subject = open_subject(None, 2, lambda seen: None)
    page = overview(subject, study(subject))
    beside = text(page, 120)
    assert "│ embed  128,256 × 4,096 │ → │ attention  32 heads × 128, 8 KV │ → │ norm     4,096" in beside
    assert "─ layers 0-31 ×32 ─" in beside and "│ mlp        14,336, gated" in beside
    below = text(page, 60).splitlines()
    assert below.index("  embed  128,256 × 4,096") < next(n for n, line in enumerate(below) if "layers 0-31" in line)


def test_layers_of_different_kinds_are_different_boxes(mixture: Subject) -> None:
    shown = text(overview(mixture, study(mixture)), 80)
    assert re.search(
        r"─ layer 0 ─.*latent 512 \+ 64.*10,944, gated.*─ layers 1-26 ×26 ─.*4 experts × 1,408", shown, re.S
    )
    assert fact(mixture, "layers").startswith("27")


def test_a_layer_that_lacks_a_module_is_a_box_of_its_own_and_says_what_it_lacks(tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    held = [t for t in small_checkpoint.tensors() if t.name != "model.layers.1.input_layernorm.weight"]
    for file in (small_checkpoint.SECOND, small_checkpoint.INDEX):
        (tmp_path / file).unlink()
    (tmp_path / small_checkpoint.FIRST).rename(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(small_checkpoint.shard_of(held))
    subject = opened(tmp_path)
    shown = text(overview(subject, study(subject)))
    assert "─ layer 0 ─" in shown and "─ layer 1 ─" in shown and "input_layernorm" in shown


def test_layers_that_alternate_are_two_boxes_whose_counts_are_seen_where_their_places_have_no_room(
    tmp_path: Path,
) -> None:
    subject = opened(materialise("minimax-m1-80k", tmp_path / "m"))
    shown = text(overview(subject, study(subject)), 60)
    assert "─ 70 layers: 0-6, 8-14" in shown and "│ linear attention  64 heads × 128" in shown
    assert "─ 10 layers: 7, 15, 23" in shown and "│ attention  64 heads × 128, 8 KV" in shown


# --- the facts ---


def test_parameters_are_counted_and_those_of_a_token_are_those_of_the_experts_it_visits(mixture: Subject) -> None:
    total = sum(prod(info.shape) for info in mixture.tensors)
    routed = sum(prod(info.shape) for info in mixture.tensors if ".mlp.experts." in info.name)
    visits = geometry("deepseek-v2-lite")["num_experts_per_tok"]
    held = study(mixture).parameters
    assert held and held.total == total and not held.unpacked
    assert held.active is None  # six of four experts are no share
    four = {**geometry("deepseek-v2-lite"), "n_routed_experts": 4, "num_experts_per_tok": 1}
    mixture.checkpoint.config = four  # type: ignore[union-attr]
    held = study(mixture).parameters
    assert visits == 6 and held and held.active == total - routed + routed // 4
    assert fact(mixture, "parameters").startswith(f"{count(total)}, {count(held.active)} of them for each token")


def test_bytes_files_and_dtypes_are_those_of_the_headers(tmp_path: Path) -> None:
    subject = small(tmp_path)
    assert fact(subject, "bytes").startswith(size(sum(info.nbytes for info in subject.tensors)))
    assert fact(subject, "files").startswith("2 files") and fact(subject, "stored as") == "BF16 100%"


def test_legal_numbers_of_ranks_have_the_reason_for_the_next_and_what_a_rank_holds(tmp_path: Path) -> None:
    subject = small(tmp_path, tp=2)
    assert fact(subject, "tp").startswith("1, 2, 4 (up to 64)")
    assert "not 8 (num_attention_heads: 4 does not divide by 8)" in fact(subject, "tp")
    assert subject.prepared
    assert f"▸tp 2: {size(on_rank(subject.prepared.plan.binding, 2))}" in fact(subject, "a rank holds")


def test_a_number_of_ranks_that_is_not_possible_is_said_to_be_none(tmp_path: Path) -> None:
    shown = fact(small(tmp_path, tp=3), "tp")
    assert "✗ not 3" in shown and "1, 2, 4" in shown


def test_values_of_config_json_are_plain_those_of_shapes_marked_and_those_in_conflict_crossed(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    plain = small(tmp_path / "a")
    assert fact(plain, "hidden") == "8" and fact(plain, "mlp") == "16"
    assert fact(plain, "head dim") == "2".ljust(44) + "= hidden_size / num_attention_heads"
    wrong = small(tmp_path / "b", lambda config: config.update(intermediate_size=24))
    assert fact(wrong, "mlp").startswith("✗16") and "config.json says 24" in fact(wrong, "mlp")
    unknown = small(
        tmp_path / "c", lambda config: (config.pop("intermediate_size"), config.update(architectures=["X"]))
    )
    assert fact(unknown, "mlp").startswith("≈16") and "gate_proj.weight (16, 8)" in fact(unknown, "mlp")


def test_what_is_wrong_stands_above_the_picture(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(intermediate_size=24))
    assert text(overview(subject, study(subject))).splitlines()[1] == "✗ error config.conflict"


# --- what is not there, or not looked at ---


def test_at_every_stage_the_page_says_what_was_not_looked_at(tmp_path: Path) -> None:
    headers, plan, examined = stages(tmp_path)
    shown = prose(overview(headers))
    assert "… whether anything is wrong with it was not looked at yet" in shown
    assert "… the tensors are being looked at" in shown and "parameters … not looked at yet" in shown
    assert "rows for it was not looked at yet" in shown
    assert "12 mapping rows" in prose(overview(plan, study(plan)))
    assert "not looked at yet" not in prose(overview(examined, study(examined)))


def test_what_was_made_up_is_said() -> None:
    subject = open_subject(None, 1, lambda seen: None)
    assert fact(subject, "made up").startswith("names, shapes and data types (from config.json); the bytes")


def test_a_folder_with_only_a_config_shows_its_numbers_and_that_no_weights_are_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(geometry("gpt2") | {"architectures": ["Nobody"]}))
    subject = opened(tmp_path)
    assert "no tensors here that could be drawn" in prose(overview(subject, study(subject)))
    assert fact(subject, "layers") == "12" and "any file of weights" in fact(subject, "not here")


def test_an_adapter_is_said_to_be_one(tmp_path: Path) -> None:
    subject = opened(materialise("lora-distilbert-emotion", tmp_path / "lora"))
    assert "an adapter and no model by itself: rank 8 on q_lin, v_lin, 12 pairs" in prose(
        overview(subject, study(subject))
    )


@pytest.mark.parametrize("slug", [
    "gguf-qwen3-30b-a3b-ud-q4_k_xl", "falcon-40b-first-upload", "qwen3-vl-30b-a3b", "vit-stanford-dogs",
    "vita-lfs-pointers-only", "fixture-weight-inspect-tiny",
])  # fmt: skip
def test_whatever_was_published_is_shown_at_every_width(slug: str, tmp_path: Path) -> None:
    subject = opened(materialise(slug, tmp_path / slug))
    for page in (overview(subject), overview(subject, study(subject))):
        assert all(text(page, width) for width in (20, *WIDTHS))


def test_names_from_files_cannot_steer_the_terminal(tmp_path: Path) -> None:
    name = "model.layers.0.a\x1b[2J.weight"
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    (tmp_path / "model.safetensors").write_bytes(framed(json.dumps(header).encode(), bytes(4)))
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["X\x1b[2J"], "hidden_size": "\x07"}))
    subject = opened(tmp_path)
    assert "\\x1b[2J" in text(overview(subject, study(subject)))


def test_thousands_of_names_that_belong_nowhere_are_counted_and_not_all_listed() -> None:
    subject = examined(names=[f"n{number}x.w" for number in range(3_000)])
    shown = text(overview(subject, study(subject)))
    assert shown.count("beside it") == 13
    assert "n0x  1 tensor\n" in shown and "… 2,988 more names with 2,988 tensors" in shown
