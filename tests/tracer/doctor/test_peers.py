"""Layers against each other, where no rows say what a layer consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mappings.findings import Finding
from tests.tracer.doctor.told import Tensors, Told, write_json, write_safetensors
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.peers import examine_peers

HIDDEN, FFN, VOCAB = 16, 40, 96
LAYER = {
    "input_layernorm.weight": (HIDDEN,), "post_attention_layernorm.weight": (HIDDEN,),
    "pre_feedforward_layernorm.weight": (HIDDEN,), "post_feedforward_layernorm.weight": (HIDDEN,),
    "self_attn.q_proj.weight": (HIDDEN, HIDDEN), "self_attn.k_proj.weight": (8, HIDDEN),
    "self_attn.v_proj.weight": (8, HIDDEN), "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "mlp.gate_proj.weight": (FFN, HIDDEN), "mlp.up_proj.weight": (FFN, HIDDEN), "mlp.down_proj.weight": (HIDDEN, FFN),
}  # fmt: skip
GEMMA2: dict[str, Any] = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "torch_dtype": "bfloat16",
    "hidden_size": HIDDEN, "intermediate_size": FFN, "vocab_size": VOCAB, "num_hidden_layers": 6,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
}  # fmt: skip
Shapes = dict[str, tuple[int, ...]]


def layers(count: int = 6, prefix: str = "model.layers") -> Shapes:
    return {f"{prefix}.{layer}.{rest}": shape for layer in range(count) for rest, shape in LAYER.items()}


def gemma2() -> Shapes:
    return {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,), **layers()}


def told(folder: Path, shapes: Shapes, **changed: Any) -> Told:
    folder.mkdir()
    write_json(folder / "config.json", {**GEMMA2, **changed})
    tensors: Tensors = {name: ("BF16", shape) for name, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", tensors)
    return Told(folder)


def found(shapes: Shapes, packed: bool = False, **config: Any) -> list[Finding]:
    tensors = [TensorInfo(name, "BF16", shape, "a", 0, 0) for name, shape in shapes.items()]
    return examine_peers(config, list(shapes), tensors, packed)[0]


def without(shapes: Shapes, *ends: str) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not name.endswith(ends)}


def test_layers_that_are_alike_are_said_to_be(tmp_path: Path) -> None:
    sound = told(tmp_path / "m", gemma2())
    assert sound.codes("error", "warning") == set()
    assert sound.check("layers").told == "each layer beside its like in model.layers (6)"


@pytest.mark.parametrize("gone", ["layers.2.self_attn.q_proj.weight", "layers.0.mlp.up_proj.weight",
                                  "layers.5.self_attn.o_proj.weight", "layers.3.input_layernorm.weight"])  # fmt: skip
def test_what_one_layer_lacks_is_named(gone: str, tmp_path: Path) -> None:
    damaged = told(tmp_path / "m", without(gemma2(), gone))
    assert damaged.status == 1
    assert damaged["layers.missing"].subject == f"model.{gone}"
    assert damaged.check("layers").state == "finding"


def test_a_matrix_that_is_transposed_in_one_layer_is_an_error(tmp_path: Path) -> None:
    damaged = told(tmp_path / "m", {**gemma2(), "model.layers.4.mlp.down_proj.weight": (FFN, HIDDEN)})
    assert damaged["shape.mismatch"].subject == "model.layers.4.mlp.down_proj.weight"
    assert "it is transposed" in damaged["shape.mismatch"].message
    assert damaged.status == 1


@pytest.mark.parametrize(("gone", "said"), [
    ("model.embed_tokens.weight", "the embedding of its words"),
    ("model.norm.weight", "the norm behind its last layer"),
])  # fmt: skip
def test_what_every_decoder_has_beside_its_layers_is_looked_for(gone: str, said: str, tmp_path: Path) -> None:
    damaged = told(tmp_path / "m", without(gemma2(), gone))
    assert said in damaged["param.unfilled"].message
    assert damaged.status == 1


@pytest.mark.parametrize(("field", "wrong", "right"), [
    ("hidden_size", 32, 16), ("vocab_size", 128, 96), ("intermediate_size", 48, 40), ("num_key_value_heads", 2, 1),
    ("num_hidden_layers", 5, 6),
])  # fmt: skip
def test_a_field_that_the_headers_contradict_is_told_once_with_its_value(
    field: str, wrong: int, right: int, tmp_path: Path
) -> None:
    conflict = told(tmp_path / "m", gemma2(), **{field: wrong})
    assert conflict.codes("error") == {"config.conflict"}
    assert conflict.codes("warning") | conflict.codes("info") <= {"arch.unknown"}
    assert (conflict["config.conflict"].subject, conflict["config.conflict"].fix) == (field, f"set {field} to {right}")


LLAMA = {**GEMMA2, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "rms_norm_eps": 1e-5,
         "tie_word_embeddings": True, "max_position_embeddings": 64, "hidden_act": "silu"}  # fmt: skip


@pytest.mark.parametrize(("field", "wrong"), [("hidden_size", 32), ("num_key_value_heads", 2)])
def test_the_cause_comes_before_what_rows_find_of_it(field: str, wrong: int, tmp_path: Path) -> None:
    from tracer.checks import findings

    both = without(gemma2(), "feedforward_layernorm.weight")
    conflict = told(tmp_path / "m", both, **{**LLAMA, field: wrong})
    assert next(iter(findings(conflict.checks))).subject == field
    assert findings(conflict.checks)[0].fix is not None
    assert "shape.mismatch" in conflict.codes("error")


# --- what is no damage ---

MAMBA = {"mamba.in_proj.weight": (64, HIDDEN), "mamba.out_proj.weight": (HIDDEN, 32), "norm.weight": (HIDDEN,),
         "mlp.gate_proj.weight": (FFN, HIDDEN)}  # fmt: skip


def test_hybrids_first_layers_drafts_and_pruned_layers_are_no_exceptions() -> None:
    hybrid = {f"model.layers.{n}.{rest}": shape for n in range(16)
              for rest, shape in (LAYER if n % 8 == 4 else MAMBA).items()}  # fmt: skip
    assert found(hybrid) == []
    dense = {**layers(), **{f"model.layers.{n}.mlp.experts.{e}.up_proj.weight": (8, HIDDEN)
                            for n in range(1, 6) for e in range(4)}}  # fmt: skip
    assert found(dense, first_k_dense_replace=1) == []
    assert found({**layers(), "model.layers.5.eh_proj.weight": (HIDDEN, 2 * HIDDEN)}) == []
    biased = {**layers(), "model.layers.0.self_attn.relative_attention_bias.weight": (32, 2)}
    assert found(biased) == []
    attention = tuple(f"layers.{n}.{rest}" for n in (3,) for rest in LAYER if rest.startswith("self_attn"))
    assert {each.severity for each in found(without(layers(), *attention))} == {"warning"}
    unlike = [{"attention": {"no_op": n == 3}} for n in range(6)]
    assert found(without(layers(), *attention), block_configs=unlike) == []


def test_the_first_layer_may_do_without_a_norm_as_of_modernbert() -> None:
    assert found(without(layers(), "layers.0.input_layernorm.weight")) == []


def test_layers_that_alternate_may_have_shapes_and_modules_of_their_own() -> None:
    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    wide = {**layers(), "model.layers.5.self_attn.q_proj.weight": (32, HIDDEN)}
    assert found(wide, layer_types=kinds) == []
    assert found(without(layers(), "layers.5.self_attn.v_proj.weight"), layer_types=kinds) == []
    alternating = {f"model.layers.{n}.self_attn.q_proj.weight": (32, HIDDEN) for n in (1, 3, 5)}
    assert found({**layers(), **alternating}) == []
    shared = tuple(f"layers.{n}.self_attn.{side}_proj.weight" for n in (7, 15) for side in "kv")
    assert found(without(layers(16), *shared)) == []


def test_layers_left_out_of_the_quantisation_are_no_exceptions() -> None:
    packed = {f"{name[:-6]}{leaf}": shape for name, shape in layers().items()
              for leaf in (("qweight", "scales") if "proj" in name and ".2." not in name else ("weight",))}  # fmt: skip
    assert found(packed, packed=True) == []
    lost = without(packed, "layers.4.mlp.up_proj.qweight", "layers.4.mlp.up_proj.scales")
    (lacking,) = found(lost, packed=True)
    assert (lacking.code, lacking.subject) == ("layers.missing", "model.layers.4.mlp.up_proj")


def test_rows_of_linear_layers_have_widths_of_their_own() -> None:
    assert found({f"head.layers.{n}.weight": (16 if n < 4 else 4, 16) for n in range(5)}) == []
