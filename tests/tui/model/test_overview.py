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
from mappings.proof.ranks import LARGEST_TP
from tests.catalogue.building import Model
from tests.corpus import materialise
from tests.tracer.doctor.told import write_json, write_safetensors
from tests.tui.model.material import trace
from tests.tui.model.pages import WIDTHS, examined, prose, small, stages, text
from tests.tui.subjects import CONFIG, sizes
from tracer.infer.parallel.rows import on_rank
from tracer.report.words import count, size
from tui.model.browsing import Browsing
from tui.model.opening import open_subject
from tui.model.overview.inference import study
from tui.model.overview.page import overview
from tui.model.subject import Subject

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1000\n"


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


def uneven(folder: Path, shapes: dict[str, tuple[int, ...]]) -> Subject:
    """The small Llama of four layers, with some weights of another shape."""
    write_json(folder / "config.json", CONFIG)
    write_safetensors(folder / "model.safetensors", sizes() | {name: ("BF16", own) for name, own in shapes.items()})
    return opened(folder)


def mlp(layer: int, width: int) -> dict[str, tuple[int, ...]]:
    start = f"model.layers.{layer}.mlp."
    return {
        f"{start}gate_proj.weight": (width, 64), f"{start}up_proj.weight": (width, 64),
        f"{start}down_proj.weight": (64, width),
    }  # fmt: skip


def boxes(subject: Subject, width: int = 50) -> dict[str, str]:
    """Title -> what stands in the frame."""
    shown = text(overview(subject, study(subject)), width)
    found = re.findall(r"╭─ (.*?) ─+╮\n(.*?)╰", shown, re.S)
    return {title: " ".join(" ".join(rows.replace("│", " ").split()).split()) for title, rows in found}


def test_layers_of_the_same_modules_and_other_widths_are_other_boxes_each_with_its_width(tmp_path: Path) -> None:
    found = boxes(uneven(tmp_path, {**mlp(1, 96), **mlp(3, 96), **mlp(2, 32)}))
    assert found == {
        "layer 0": "attention 8 heads × 8, 4 KV mlp 128, gated",
        "layers 1, 3 ×2": "attention 8 heads × 8, 4 KV mlp 96, gated",
        "layer 2": "attention 8 heads × 8, 4 KV mlp 32, gated",
    }


def test_a_layer_whose_attention_has_other_heads_shows_its_shapes_and_the_others_their_heads(tmp_path: Path) -> None:
    start = "model.layers.2.self_attn."
    found = boxes(uneven(tmp_path, {f"{start}q_proj.weight": (32, 64), f"{start}o_proj.weight": (64, 32)}))
    assert found["layers 0-3 except 2 ×3"].startswith("attention 8 heads × 8, 4 KV")
    assert "q_proj 32 × 64" in found["layer 2"] and "o_proj 64 × 32" in found["layer 2"]
    assert "8 heads" not in found["layer 2"]


def test_a_weight_of_which_no_row_tells_the_width_has_a_row_of_its_own(tmp_path: Path) -> None:
    found = boxes(uneven(tmp_path, {"model.layers.1.input_layernorm.weight": (32,)}))
    assert found["layer 1"].endswith("input_layernorm 32")
    assert found["layers 0-3 except 1 ×3"].endswith("input_layernorm 64")


def test_models_without_a_config_whose_layers_all_differ_are_drawn_too(tmp_path: Path) -> None:
    """As OpenELM is: from layer to layer wider, under names of its own."""
    tensors = {"transformer.token_embeddings.weight": ("BF16", (256, 64))}
    for layer in range(8):
        start, width = f"transformer.layers.{layer}.", 32 * (layer + 1)
        tensors[f"{start}attn.qkv_proj.weight"] = ("BF16", (width, 64))
        tensors[f"{start}ffn.proj_1.weight"] = ("BF16", (2 * width, 64))
        tensors[f"{start}ffn.proj_2.weight"] = ("BF16", (64, width))
    write_safetensors(tmp_path / "model.safetensors", tensors)
    found = boxes(opened(tmp_path))
    assert [f"layer {n}" for n in range(6)] == list(found)[:6] and "2 more kinds of layers" in found
    for layer in range(6):
        width = 32 * (layer + 1)
        assert f"qkv_proj {width} × 64" in found[f"layer {layer}"]
        assert f"ffn.proj_1 {2 * width} × 64" in found[f"layer {layer}"]


def test_bits_that_differ_between_layers_are_no_widths(tmp_path: Path) -> None:
    even = {name: shape for name, (_, shape) in sizes().items()}
    write_json(tmp_path / "config.json", CONFIG)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in even.items():
        if not name.endswith("mlp.up_proj.weight"):
            tensors[name] = ("F16", shape)
            continue
        packed = 8 if ".1." in name else 4  # so many codes in an integer
        module, rows, columns = name.removesuffix(".weight"), *shape
        tensors |= {
            f"{module}.qweight": ("I32", (columns // packed, rows)), f"{module}.g_idx": ("I32", (columns,)),
            f"{module}.qzeros": ("I32", (2, rows // packed)), f"{module}.scales": ("F16", (2, rows)),
        }  # fmt: skip
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert list(boxes(opened(tmp_path))) == ["layers 0-3 ×4"]


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


def speech(heads: int = 4) -> Model:
    """Whisper: a decoder beside an encoder, each with an embedding of positions and a norm at its end."""
    sizes = {"decoder_attention_heads": heads, "encoder_attention_heads": heads, "d_model": 64, "vocab_size": 320}
    model = Model({"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", **sizes})
    for stack, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        model.put(f"model.{stack}.embed_positions.weight", 448 if stack == "decoder" else 1500, 64)
        model.put(f"model.{stack}.layer_norm.weight", 64)
        for name in (f"{attention}.{leaf}_proj" for attention in attentions for leaf in ("q", "k", "v", "out")):
            model.put(f"model.{stack}.layers.0.{name}.weight", 64, 64)
        model.put(f"model.{stack}.layers.0.fc1.weight", 128, 64)
        model.put(f"model.{stack}.layers.0.fc2.weight", 64, 128)
    model.put("model.decoder.embed_tokens.weight", 320, 64)
    return model


@pytest.mark.parametrize("heads", [2, 4, 8])
def test_an_encoder_beside_a_decoder_is_counted_whole_and_heads_are_those_of_the_decoder(
    heads: int, tmp_path: Path
) -> None:  # fmt: skip
    model = speech(heads)
    subject = opened(model.write(tmp_path))
    held = study(subject).parameters
    assert held and held.total == sum(prod(tensor.shape) for tensor in model.tensors.values())
    assert fact(subject, "heads") == str(heads) and fact(subject, "KV heads").startswith(f"≈{heads} ")
    assert fact(subject, "tp").startswith(f"≈ {', '.join(str(tp) for tp in (1, 2, 4, 8) if tp <= heads)} (")


def test_bytes_files_and_dtypes_are_those_of_the_headers(tmp_path: Path) -> None:
    subject = small(tmp_path)
    assert fact(subject, "bytes").startswith(size(sum(info.nbytes for info in subject.tensors)))
    assert fact(subject, "files").startswith("2 files") and fact(subject, "stored as") == "BF16 100%"


def test_legal_numbers_of_ranks_have_the_reason_for_the_next_and_what_a_rank_holds(tmp_path: Path) -> None:
    subject = small(tmp_path, tp=2)
    assert fact(subject, "tp").startswith("1, 2, 4 (up to 128)")
    assert "not 8 (num_attention_heads: 4 does not divide by 8)" in fact(subject, "tp")
    assert subject.prepared
    assert f"▸tp 2: {size(on_rank(subject.prepared.plan.binding, 2))}" in fact(subject, "a rank holds")


def test_the_numbers_of_ranks_that_are_listed_are_those_that_plus_goes_through(tmp_path: Path) -> None:
    many = {**CONFIG, "num_attention_heads": 192, "num_key_value_heads": 192, "hidden_size": 384, "vocab_size": 12288}
    write_json(tmp_path / "config.json", many | {"intermediate_size": 384})
    browsing = Browsing(str(tmp_path), 1)
    open_subject(str(tmp_path), 1, browsing.arrived)
    gone = [1]
    while (end := browsing.more_ranks(1)) is None:
        gone.append(browsing.tp)
    listed, _, bound = fact(opened(tmp_path), "tp").partition(" (up to ")
    assert listed == ", ".join(map(str, gone)) and gone[-1] > 64
    assert end == f"tp {gone[-1]}: legal sizes are listed up to here"
    assert bound.startswith(f"{LARGEST_TP})")


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


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_is_stored_and_tied_is_both_in_the_picture_and_below_it(tied: bool, tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(tie_word_embeddings=tied))
    (drawn,) = (line for line in text(overview(subject, study(subject)), 200).splitlines() if "lm_head " in line)
    assert (", and tied" in drawn) is tied
    told = fact(subject, "head".ljust(15))  # and not the head dim
    assert told.startswith("tied to the embedding" if tied else "its own")
    assert ("lm_head.weight is stored all the same" in told) is tied


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


def marked(subject: Subject) -> set[str]:
    """The sizes that are shown as inferred."""
    return {label for label in ("parameters", "bytes", "stored as") if fact(subject, label).startswith("≈")}


def test_sizes_that_no_header_tells_are_marked_and_those_of_headers_are_not(tmp_path: Path) -> None:
    everything = {"parameters", "bytes", "stored as"}
    assert marked(open_subject(None, 1, lambda seen: None)) == everything
    assert marked(small(tmp_path)) == set()
    (tmp_path / small_checkpoint.SECOND).write_text(POINTER)
    partly = opened(tmp_path)  # what is here is counted, and the rest is known by its names
    assert marked(partly) == {"parameters"}
    assert sum(prod(info.shape) for info in partly.tensors) < study(partly).parameters.total  # type: ignore[union-attr]
    (tmp_path / small_checkpoint.FIRST).write_text(POINTER)
    assert marked(opened(tmp_path)) == everything
    for name in (small_checkpoint.FIRST, small_checkpoint.SECOND, small_checkpoint.INDEX):
        (tmp_path / name).unlink()
    assert marked(opened(tmp_path)) == everything


def test_a_trace_says_what_of_it_was_made_up(tmp_path: Path) -> None:
    small(tmp_path)
    held = opened(trace(tmp_path, 2, tmp_path / "held.db"))
    assert fact(held, "made up").startswith("the bytes") and marked(held) == set()
    for name in (small_checkpoint.FIRST, small_checkpoint.SECOND, small_checkpoint.INDEX):
        (tmp_path / name).unlink()
    bare = opened(trace(tmp_path, 2, tmp_path / "bare.db"))
    assert fact(bare, "made up").startswith("shapes and data types; the bytes") and len(marked(bare)) == 3


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
