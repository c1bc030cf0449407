"""The six proofs: they hold for what they should, and for a broken table exactly the right one fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binder, Binding
from mappings.findings import Finding
from mappings.params import Param, fused, linear, norm
from mappings.plan import plan
from mappings.proof import Proof, Span, prove, prove_bytes, prove_names, prove_ranks, prove_slots
from mappings.proof.ranks import LARGEST_TP, at, legal_sizes
from mappings.registry import choose
from mappings.rows import Architecture, Entry, Fill, Row, Skip
from mappings.synth import Synthetic, synthesise
from tests.mappings.by_hand import loaded
from tests.mappings.laws import law
from tests.mappings.small import CONFIGS, TP_SIZES, architecture, bind

ALL = ["names", "slots", "axes", "sizes", "ranks", "bytes"]
BYTES = {"BF16": 2, "F32": 4, "F8_E4M3": 1}


def spans_of(tensors: Sequence[Synthetic]) -> list[Span]:
    """As they lie in a file, one behind the other after a header of 100 bytes."""
    stops = list(accumulate((prod(t.shape) * BYTES[t.dtype] for t in tensors), initial=100))
    named = zip(tensors, stops, stops[1:], strict=False)
    return [Span("model.safetensors", 0, 100, ""), *(Span("model.safetensors", a, b, t.name) for t, a, b in named)]


def proofs(binding: Binding, tensors: Sequence[Synthetic] | None = None) -> list[Proof]:
    tensors = synthesise(binding) if tensors is None else tensors
    return prove(plan(binding, tensors), spans_of(tensors))


def failing(found: Sequence[Proof]) -> list[str]:
    return [proof.name for proof in found if not proof.holds]


def errors(found: Sequence[Proof]) -> list[Finding]:
    return [finding for proof in found for finding in proof.findings if finding.severity == "error"]


# --- where all hold ---

ILLEGAL: dict[str, dict[int, str]] = {
    "gpt2": {8: "head", 16: "head"},
    "qwen2-0.5b": {4: "head", 8: "head", 16: "head"},
    "qwen2-7b": {8: "head", 16: "head"},
}
"""12, 14 and 28 heads; everything else can be cut by all of 1, 2, 4, 8 and 16."""


@pytest.mark.parametrize("name", geometries())
def test_all_six_hold_for_a_real_geometry_wherever_its_heads_divide(name: str) -> None:
    for tp in TP_SIZES:
        found = proofs(choose(geometry(name), None, tp, "BF16").binding)
        assert [proof.name for proof in found] == ALL
        assert failing(found) == (["ranks"] if tp in ILLEGAL.get(name, {}) else []), tp


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_number_of_ranks_that_does_not_divide_is_refused_with_the_axis_and_the_legal_ones(name: str) -> None:
    for tp, axis in ILLEGAL[name].items():
        binding = choose(geometry(name), None, tp, "BF16").binding
        first, *_ = prove_ranks(binding).findings
        assert (first.code, first.severity) == ("tp.indivisible", "error")
        assert (first.evidence["axis"], first.evidence["tp"]) == (axis, tp)
        assert f"--tp {tp} cannot cut {axis}" in first.message
        assert f"{first.evidence['size']} does not divide by {tp}" in first.message
        assert first.evidence["legal"] == legal_sizes(binding)


@pytest.mark.parametrize("name", CONFIGS)
def test_all_six_hold_for_a_small_config_at_every_legal_size(name: str) -> None:
    for tp in CONFIGS[name].tp:
        assert failing(proofs(bind(name, tp))) == []


# --- legal sizes ---


def legal_by_hand(c: dict[str, Any]) -> list[int]:
    """Numbers of ranks by the arithmetic of each family: what must divide, what may be shared, what is padded."""
    arch = c["architectures"][0]
    divide: list[int] = []
    heads = c.get("num_attention_heads") or c.get("n_head") or c.get("num_heads") or 0
    kv = c.get("num_kv_heads") or c.get("num_key_value_heads") or heads
    if "Deepseek" in arch:
        kv = heads
        expert = c["moe_intermediate_size"]
        divide += [c["intermediate_size"], expert, expert * c["n_shared_experts"]]
    elif arch == "MambaForCausalLM":
        kv, divide = 0, [c["intermediate_size"]]
    elif arch == "Mamba2ForCausalLM":
        kv, divide = 0, [heads, *([c["n_groups"]] if c["n_groups"] > 1 else [])]
    elif arch in ("GPT2LMHeadModel", "BloomForCausalLM"):
        divide = [4 * (c.get("n_embd") or c.get("n_embed") or c.get("hidden_size") or 0)]
    elif arch == "FalconForCausalLM":
        divide = [4 * c["hidden_size"]]
    else:
        divide = [c["intermediate_size"], *([c["mamba_expand"] * c["hidden_size"]] if arch.startswith("Jamba") else [])]
    divide += [heads] if kv else []
    divide.append(-(-c["vocab_size"] // 64) * 64)
    legal = [tp for tp in range(1, 129) if all(size % tp == 0 for size in divide)]
    legal = [tp for tp in legal if not kv or kv % tp == 0 or tp % kv == 0]
    block = c.get("quantization_config", {}).get("weight_block_size")
    if block:
        rows = [
            heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]), heads * (c["qk_nope_head_dim"] + c["v_head_dim"]),
            heads * c["v_head_dim"], *divide[:3],
        ]  # fmt: skip
        legal = [tp for tp in legal if tp == 1 or all(row // tp % block[0] == 0 for row in rows)]
    return legal


@pytest.mark.parametrize("name", geometries())
def test_the_legal_sizes_of_a_real_geometry_are_those_of_arithmetic(name: str) -> None:
    config = geometry(name)
    assert legal_sizes(choose(config, None, 1, "BF16").binding) == legal_by_hand(config)


def can_be_cut(name: str, tp: int) -> bool:
    """Whether numpy can split the checkpoint by hand."""
    tensors = {t.name: np.zeros(t.shape, dtype=np.int64) for t in synthesise(bind(name))}
    try:
        loaded(CONFIGS[name].config, tensors, tp, 0)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", CONFIGS)
def test_the_legal_sizes_of_a_small_config_are_those_by_which_numpy_can_split_it(name: str) -> None:
    tried = range(1, 21)
    legal = [tp for tp in legal_sizes(bind(name)) if tp in tried]
    assert legal == [tp for tp in tried if can_be_cut(name, tp)]
    assert set(CONFIGS[name].tp) <= set(legal)


def test_legal_sizes_do_not_depend_on_the_size_that_was_asked_for() -> None:
    assert legal_sizes(bind("llama", 7)) == legal_sizes(bind("llama", 1))
    assert max(legal_sizes(bind("llama"))) <= LARGEST_TP


def test_a_binding_at_another_size_is_the_one_bound_there() -> None:
    for tp in TP_SIZES:
        moved, bound = at(bind("llama"), tp), bind("llama", tp)
        assert plan(moved, []).shapes(0) == plan(bound, []).shapes(0)


def test_copies_of_kv_heads_are_said_and_are_no_fault() -> None:
    found = prove_ranks(bind("llama", 8))
    assert found.holds
    (finding,) = found.findings
    assert (finding.code, finding.severity, finding.evidence["copies"]) == ("tp.kv-replicated", "info", 4)
    assert prove_ranks(bind("llama", 2)).findings == []


def test_every_axis_that_cannot_be_cut_is_listed_once_the_most_frequent_first() -> None:
    found = prove_ranks(bind("llama", 5, num_key_value_heads=16)).findings
    axes = [finding.evidence["axis"] for finding in found]
    assert axes[0] == "ffn", "gate, up and down"
    assert sorted(axes) == ["ffn", "head", "kv", "vocab"]


# --- quantisation blocks ---


@pytest.mark.parametrize(("block", "legal"), [((4, 2), [1, 2, 4, 8, 16]), ((8, 2), [1, 2, 4, 8]), ((16, 4), [1, 2, 4])])
def test_a_cut_inside_a_quantisation_block_is_refused(block: tuple[int, int], legal: list[int]) -> None:
    """A rank's share of every blocked dimension must be whole blocks."""
    declared = {"quant_method": "fp8", "weight_block_size": list(block)}
    for tp in TP_SIZES:
        binding = bind("deepseek v3 in fp8", tp, quantization_config=declared)
        found = prove_ranks(binding)
        inside = [rows for rows in rows_per_rank(tp) if tp > 1 and rows[0] % block[rows[1]]]
        assert found.holds == (not inside), tp
        assert found.holds == (tp in legal)
        assert {finding.code for finding in found.findings} == ({"tp.quant-group"} if inside else set())


def rows_per_rank(tp: int) -> list[tuple[int, int]]:
    """What a rank has of every cut dimension, and whether it is an output (0) or an input (1)."""
    q_b, kv_b, out, ffn, moe, both = 16 * 8, 16 * 12, 16 * 6, 64, 128, 256
    return [(rows // tp, 0) for rows in (q_b, kv_b, ffn, moe, both)] + [(n // tp, 1) for n in (out, ffn, moe, both)]


def test_a_part_of_a_fused_parameter_must_end_on_a_block_at_any_number_of_ranks() -> None:
    """q and kv of `fused_qkv_a_proj` have scales of their own."""
    for tp in (1, 2):
        (finding,) = prove_ranks(bind("deepseek v3 in fp8", tp, q_lora_rank=30)).findings
        assert (finding.code, finding.evidence["axis"], finding.evidence["size"]) == ("tp.quant-group", "q_rank", 30)
        assert finding.evidence["legal"] == []
    last = bind("deepseek v3 in fp8", qk_rope_head_dim=3, qk_nope_head_dim=5)
    assert prove_ranks(last).holds, "the last part need not"


def test_a_cut_inside_the_only_block_of_a_dimension_is_refused_too() -> None:
    declared = {"quant_method": "fp8", "weight_block_size": [64, 64]}
    found = prove_ranks(bind("deepseek v3 in fp8", 2, quantization_config=declared, intermediate_size=64)).findings
    assert any(f.code == "tp.quant-group" and f.evidence["axis"] == "ffn/64" for f in found)


# --- broken tables ---


def broken(name: str, change: Callable[[list[Entry]], list[Entry]], tp: int = 2, **fields: Any) -> Binding:
    arch = architecture(CONFIGS[name].arch)
    changed: Architecture = replace(arch, entries=tuple(change(list(arch.entries))))
    return Binder(changed, {**CONFIGS[name].config, **fields}, tp).bind()


def without(word: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [e for e in entries if not (isinstance(e, Row) and e.name.endswith(word))]


def adding(*more: Entry) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*entries, *more]


def swapping(word: str, new: Row) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*without(word)(entries), new]


def slot_of(name: str, word: str) -> Row:
    return next(row for row in architecture(CONFIGS[name].arch).rows if row.name.endswith(word))


LAYER = "model.layers.{layer}"
EXTRA = norm(f"{LAYER}.extra")
TWO = linear(f"{LAYER}.two", a="hidden, ffn", b="hidden, ffn")


@pytest.mark.parametrize(
    "skip",
    [f"{LAYER}.mlp.up_proj.weight", f"{LAYER}.mlp.**", "model.layers.{layer}.**", "model.**"],
)
def test_names_a_skip_over_a_row_is_an_overlap(skip: str) -> None:
    binding = broken("llama", adding(Skip(skip, "not wanted")))
    found = proofs(binding)
    assert failing(found) == ["names"]
    assert {f.code for f in errors(found)} == {"mapping.overlap"}
    assert any(f"{LAYER}.mlp.up_proj.weight" in f.message for f in errors(found))


def test_names_two_rows_of_one_name_overlap_with_or_without_a_header() -> None:
    binding = broken("llama", adding(Row(f"{LAYER}.mlp.up_proj", EXTRA)))
    made = plan(binding, [])
    for found in (prove_names(made), prove_names(made, "there is no header")):
        (finding,) = [f for f in found.findings if f.code == "mapping.overlap"]
        assert finding.subject == f"{LAYER}.mlp.up_proj.weight"
        assert "llama.py:" in finding.message
        assert "test_proofs.py:" in finding.message


def test_names_rows_of_one_template_may_share_it_if_their_layers_are_disjoint() -> None:
    """Jamba's dense and routed layers, DeepSeek's layers and those of the next-token model."""
    for name in ("jamba", "deepseek v3"):
        assert "names" not in failing(proofs(bind(name)))
    binding = broken("deepseek v3", adding(Skip("model.layers.{layer:moe}.mlp.**", "not wanted")))
    assert failing(proofs(binding)) == ["names"]


def test_names_a_row_at_one_position_overlaps_with_the_row_of_all() -> None:
    first = norm("model.layers.first")
    overlapping = broken("llama", adding(Row("model.layers.0.input_layernorm", first)))
    assert any(f.code == "mapping.overlap" for f in prove_names(plan(overlapping, [])).findings)
    beyond = broken("llama", adding(Row("model.layers.2.input_layernorm", first)))
    assert failing(proofs(beyond)) == []


def test_slots_a_part_that_nobody_feeds() -> None:
    found = proofs(broken("llama", without("v_proj")))
    assert failing(found) == ["slots"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["part"]) == ("mapping.slot", "v")
    assert "qkv_proj.weight[v]: no row claims it" in finding.message


def test_slots_a_part_that_two_rows_feed() -> None:
    q = slot_of("llama", "q_proj").slot
    found = proofs(broken("llama", adding(Row(f"{LAYER}.self_attn.q2_proj", q))))
    assert failing(found) == ["slots"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["part"]) == ("mapping.slot", "q")
    assert "two rows claim it" in finding.message
    assert len(finding.evidence["rows"]) == 2


def test_slots_a_parameter_of_which_some_layers_are_fed() -> None:
    some = norm("model.layers.{layer}.extra")
    row = Row("model.layers.{layer:some}.extra", some)
    arch = architecture("LlamaForCausalLM")
    changed = replace(arch, entries=(*arch.entries, row), domains=lambda config: {"layer:some": [1]})
    found = proofs(Binder(changed, CONFIGS["llama"].config, 2).bind())
    assert failing(found) == ["slots"]
    assert "no row claims it for layer 0" in errors(found)[0].message


def test_slots_experts_of_which_some_are_fed() -> None:
    """A stack that its rows fill only for some experts has holes."""
    w2 = slot_of("mixtral", "w2").slot
    arch = architecture("MixtralForCausalLM")
    rows = without(".w2")(list(arch.entries))
    some = Row("model.layers.{layer}.block_sparse_moe.experts.{expert:some}.w2", w2)
    changed = replace(arch, entries=(*rows, some), domains=lambda config: {"expert:some": [0, 2]})
    assert failing(proofs(Binder(changed, CONFIGS["mixtral"].config, 1).bind())) == ["slots"]


def test_slots_a_fill_beside_a_row() -> None:
    slot = slot_of("llama", "input_layernorm").slot
    found = proofs(broken("llama", adding(Fill(slot, "weight", 1.0, "a constant"))))
    assert failing(found) == ["slots"]
    assert "claimed by a Fill and by something else" in errors(found)[0].message


def test_slots_a_row_for_one_rank_without_a_fill_for_the_others() -> None:
    def change(entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if not isinstance(entry, Fill)]

    assert failing(proofs(broken("gpt-oss", change, tp=1))) == []
    found = proofs(broken("gpt-oss", change, tp=2))
    assert failing(found) == ["slots"]
    assert (errors(found)[0].rank, errors(found)[0].code) == (1, "mapping.slot")


@pytest.mark.parametrize(
    ("layout", "lacks", "extra"),
    [
        ("hidden, head", ["dim"], []),
        ("hidden, head.dim.ffn", [], ["ffn"]),
        ("hidden, head.head", ["dim"], ["group", "kv"]),
        ("dim, head.dim", ["hidden"], ["dim"]),
        ("hidden.hidden, head.dim", [], ["hidden"]),
        ("hidden, kv.dim", ["group"], []),
        ("head.dim", ["hidden"], []),
    ],
)
def test_axes_a_row_that_does_not_mention_every_axis_of_its_slot_once(
    layout: str, lacks: list[str], extra: list[str]
) -> None:
    slot = slot_of("llama", "o_proj").slot
    found = proofs(broken("llama", swapping("o_proj", Row(f"{LAYER}.self_attn.o_proj", slot, layout))))
    assert failing(found) == ["axes"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["lacks"], finding.evidence["extra"]) == ("mapping.axes", lacks, extra)


@pytest.mark.parametrize("layout", ["hidden, head.dim", "dim.head, hidden", "1, head.hidden.dim", "head, dim, hidden"])
def test_axes_any_order_and_grouping_is_a_bijection(layout: str) -> None:
    slot = slot_of("llama", "o_proj").slot
    assert failing(proofs(broken("llama", swapping("o_proj", Row(f"{LAYER}.self_attn.o_proj", slot, layout))))) == []


def test_axes_several_parts_need_a_place_beside_each_other() -> None:
    found = proofs(broken("llama", adding(Row(f"{LAYER}.two", TWO, "hidden, ffn"))))
    assert failing(found) == ["axes"]
    assert "does not say once where they lie" in errors(found)[0].message


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        ("hidden, ffn", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn, part", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn, vocab", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn", {"a": "hidden, ffn", "b": "hidden, vocab"}),
        ("ffn", {"": "hidden, ffn"}),
        ("hidden, ffn, vocab", {"": "hidden, ffn"}),
    ],
)
def test_axes_a_parameter_whose_own_layout_is_no_bijection(layout: str, parts: dict[str, str]) -> None:
    param: Param = fused(f"{LAYER}.two", parts, layout=layout)
    rows = [Row(f"{LAYER}.{part or 'one'}", param[part]) for part in parts]
    found = proofs(broken("llama", adding(*rows)))
    assert failing(found) == ["axes"]
    assert errors(found)[0].subject == f"{LAYER}.two"


def test_axes_of_a_size_that_is_one_are_not_missed() -> None:
    """A layout may leave out the group of a model whose heads are not grouped."""
    slot = slot_of("llama", "o_proj").slot
    row = Row(f"{LAYER}.self_attn.o_proj", slot, "hidden, kv.dim")
    assert failing(proofs(broken("llama", swapping("o_proj", row), num_key_value_heads=16))) == []


def test_sizes_a_header_of_another_shape() -> None:
    binding = bind("llama", 2)
    tensors = [t._replace(shape=(11,)) if t.name == "model.norm.weight" else t for t in synthesise(binding)]
    found = proofs(binding, tensors)
    assert failing(found) == ["sizes"]
    assert [f.code for f in errors(found)] == ["shape.mismatch"]


def test_ranks_a_size_that_does_not_divide() -> None:
    found = proofs(bind("llama", 3))
    assert failing(found) == ["ranks"]
    assert {f.code for f in errors(found)} == {"tp.indivisible"}


def test_ranks_an_interval_that_is_no_box_of_its_groups() -> None:
    """Six heads in two groups of three: three ranks would hold parts of both groups, if KV heads allowed it."""
    arch = architecture("LlamaForCausalLM")
    param = linear(f"{LAYER}.odd", "head.dim, hidden", split="head")
    changed = replace(arch, entries=(*without("_proj")(list(arch.entries)), Row(f"{LAYER}.odd", param)))
    config = {**CONFIGS["llama"].config, "num_attention_heads": 6, "vocab_size": 192}
    found = proofs(Binder(changed, config, 3).bind())
    assert failing(found) == ["ranks"]
    assert "rank 1 would hold parts of several groups" in errors(found)[0].message


# --- bytes ---


def test_bytes_a_hole_and_an_overlap_are_told_apart() -> None:
    tensors = synthesise(bind("llama", 2))
    whole = spans_of(tensors)
    moved = [*whole[:5], *(s._replace(start=s.start + 8, stop=s.stop + 8) for s in whole[5:])]
    hole = prove_bytes(moved)
    assert [(f.code, f.evidence["tensor"]) for f in hole.findings] == [("header.hole", whole[5].tensor)]
    assert "8 bytes before" in hole.findings[0].message
    grown = [*whole[:5], whole[5]._replace(stop=whole[5].stop + 8), *whole[6:]]
    overlap = prove_bytes(grown)
    assert [(f.code, f.evidence["tensor"]) for f in overlap.findings] == [("header.overlap", whole[6].tensor)]
    assert failing(prove(plan(bind("llama", 2), tensors), moved)) == ["bytes"]
    assert failing(prove(plan(bind("llama", 2), tensors), grown)) == ["bytes"]


@st.composite
def files(draw: st.DrawFn) -> list[Span]:
    """Mostly tiled: now and then a span is a byte longer or starts a byte later."""
    found = []
    for file in ("a", "b")[: draw(st.integers(1, 2))]:
        end = 0
        for k in range(draw(st.integers(1, 4))):
            start = max(0, end + draw(st.sampled_from([0, 0, 0, 0, 1, -1])))
            end = start + draw(st.integers(1, 3))
            found.append(Span(file, start, end, f"t{k}"))
    return draw(st.permutations(found))


@law
@given(files())
def test_bytes_hold_exactly_where_every_byte_belongs_to_one_tensor(spans: list[Span]) -> None:
    def tiled(file: str) -> bool:
        held = Counter(byte for span in spans if span.file == file for byte in range(span.start, span.stop))
        return held == dict.fromkeys(range(max(held) + 1), 1)

    assert prove_bytes(spans).holds == all(tiled(span.file) for span in spans)


@pytest.mark.parametrize(("start", "holds"), [(0, True), (8, True), (16, True), (4, False), (20, False)])
def test_bytes_a_tensor_without_bytes_lies_between_its_neighbours(start: int, holds: bool) -> None:
    spans = [Span("a", 0, 8, ""), Span("a", 8, 16, "t"), Span("a", start, start, "empty")]
    assert prove_bytes(spans).holds == holds


def test_bytes_of_a_file_must_begin_with_its_header() -> None:
    (finding,) = prove_bytes([Span("a", 8, 16, "t")]).findings
    assert (finding.code, finding.subject) == ("header.hole", "a")


# --- what a checkpoint says beside its weights ---


def extended(name: str, *more: Synthetic, **fields: Any) -> list[Finding]:
    binding = bind(name, **fields)
    return [f for p in proofs(binding, [*synthesise(binding), *more]) for f in p.findings]


def test_a_derived_buffer_is_information() -> None:
    frequencies = [Synthetic(f"{LAYER.format(layer=i)}.self_attn.rotary_emb.inv_freq", "F32", (1,)) for i in range(2)]
    (finding,) = extended("llama", *frequencies)
    assert (finding.code, finding.severity, finding.evidence["tensors"]) == ("tensor.derived", "info", 2)
    assert finding.subject == "model.layers.{0, 1}.self_attn.rotary_emb.inv_freq"


def test_a_skipped_layer_is_information_with_its_reason() -> None:
    (finding,) = extended("deepseek v3", Synthetic("model.layers.3.embed_tokens.weight", "BF16", (67, 11)))
    assert (finding.code, finding.severity) == ("tensor.ignored", "info")
    assert "next-token" in finding.message


def test_a_stored_head_that_is_tied_is_a_warning() -> None:
    (finding,) = extended("llama tied", Synthetic("lm_head.weight", "BF16", (67, 10)))
    assert (finding.code, finding.severity, finding.subject) == ("tie.conflict", "warning", "lm_head.weight")
    assert finding.evidence == {"to": "model.embed_tokens.weight", "flag": "tie_word_embeddings"}


def test_a_stored_head_that_only_the_class_ties_is_worth_knowing() -> None:
    found = extended("bloom", Synthetic("lm_head.weight", "BF16", (67, 48)))
    assert [f.severity for f in found if f.code == "tie.conflict"] == ["info"]


def test_modules_of_another_model_are_a_warning_while_this_one_is_complete() -> None:
    tower = [Synthetic(f"vpm.layers.{i}.fc.{leaf}", "BF16", (10,)) for i in range(3) for leaf in ("weight", "bias")]
    (finding,) = extended("llama", *tower)
    assert (finding.code, finding.severity, finding.subject) == ("tensor.unmapped", "warning", "vpm.**")
    assert finding.evidence["tensors"] == 6
    (strange,) = extended("llama", Synthetic("model.vpm.fc.weight", "BF16", (10,)))
    assert (strange.code, strange.severity) == ("tensor.unmapped", "error")


def test_modules_of_another_model_are_an_error_where_a_parameter_is_empty() -> None:
    binding = bind("llama")
    header = [t for t in synthesise(binding) if "q_proj" not in t.name]
    found = errors(proofs(binding, [*header, Synthetic("vpm.fc.weight", "BF16", (10,))]))
    assert {f.code for f in found} == {"tensor.unmapped", "param.unfilled"}


def test_a_model_stored_under_two_prefixes_is_a_second_copy() -> None:
    again = [t._replace(name=f"transformer.{t.name}") for t in synthesise(bind("gpt2")) if t.name.startswith("h.1")]
    found = [f for f in extended("gpt2", *again) if f.severity == "error"]
    assert [f.code for f in found] == ["shards.second-copy"]
    assert found[0].evidence["count"] == len(again)


@pytest.mark.parametrize("name", ["a.{}.w", "{", "}{", "model.layers.{}.input_layernorm.weight", "{0!r}", ""])
def test_a_hostile_name_is_unmapped_like_any_other(name: str) -> None:
    (finding,) = extended("llama", Synthetic(name, "BF16", (10,)))
    assert (finding.code, finding.subject) == ("tensor.unmapped", name)


# --- what could not be checked ---


def test_a_proof_without_its_input_is_not_checked_and_does_not_hold() -> None:
    binding = bind("llama")
    found = prove(plan(binding, synthesise(binding)), None, shapes_known=False, names_known=False)
    unchecked = {proof.name: proof.unchecked.reason for proof in found if proof.unchecked}
    assert list(unchecked) == ["names", "slots", "sizes", "bytes"]
    assert all(unchecked.values())
    assert not any(proof.holds for proof in found if proof.unchecked)
    assert failing(found) == list(unchecked)


def test_without_a_header_the_table_is_still_proved() -> None:
    binding = broken("llama", without("v_proj"))
    found = prove_slots(plan(binding, []), "there is no header")
    assert [f.code for f in found.findings] == ["mapping.slot"]
    assert found.unchecked is not None
