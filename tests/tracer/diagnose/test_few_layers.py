"""A lost tensor in a model of two or three layers, of a class without rows: too few for a rule, and plain still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalogue import models, quantising
from tests.catalogue.building import Model
from tests.tracer.diagnose.written import codes, diagnosed


def neox(layers: int) -> Model:
    """GPT-NeoX's names: every module has a bias."""
    config = {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_size": 64, "vocab_size": 320,
        "num_attention_heads": 4, "intermediate_size": 256, "num_hidden_layers": layers, "torch_dtype": "bfloat16",
    }  # fmt: skip
    model = Model(config)
    model.put("gpt_neox.embed_in.weight", 320, 64)
    shapes = {
        "attention.query_key_value": (192, 64), "attention.dense": (64, 64), "mlp.dense_h_to_4h": (256, 64),
        "mlp.dense_4h_to_h": (64, 256), "input_layernorm": (64,), "post_attention_layernorm": (64,),
    }  # fmt: skip
    for layer in range(layers):
        for module, shape in shapes.items():
            model.put(f"gpt_neox.layers.{layer}.{module}.weight", *shape)
            model.put(f"gpt_neox.layers.{layer}.{module}.bias", shape[0])
    model.put("gpt_neox.final_layer_norm.weight", 64)
    model.put("gpt_neox.final_layer_norm.bias", 64)
    model.put("embed_out.weight", 320, 64)
    return model


def cohere(layers: int) -> Model:
    """No biases, and a class without rows."""
    return models.decoder(layers, tied=True, model_type="cohere", architecture="CohereForCausalLM")


def said(model: Model, folder: Path) -> list[tuple[str, str]]:
    return codes(diagnosed(model.write(folder)))


@pytest.mark.parametrize(("make", "name"), [
    (lambda: models.bert(2), "bert.encoder.layer.1.attention.output.dense.weight"),
    (lambda: models.bert(2), "bert.encoder.layer.0.intermediate.dense.weight"),
    (lambda: neox(3), "gpt_neox.layers.1.attention.dense.weight"),
    (lambda: neox(3), "gpt_neox.layers.2.mlp.dense_4h_to_h.weight"),
    (lambda: cohere(3), "model.layers.1.mlp.down_proj.weight"),
    (lambda: cohere(3), "model.layers.1.self_attn.q_proj.weight"),
])  # fmt: skip
def test_what_one_of_few_layers_lacks_is_named(make: Callable[[], Model], name: str, tmp_path: Path) -> None:
    assert said(make(), tmp_path / "whole") == []
    assert said(make().drop(lambda each: each == name), tmp_path / "lost") == [("layers.missing", name)]


def test_what_no_layer_has_is_not_missed(tmp_path: Path) -> None:
    assert said(neox(3).drop(lambda name: name.endswith("attention.dense.weight")), tmp_path) == []


def test_a_module_that_is_packed_in_one_layer_has_its_weight(tmp_path: Path) -> None:
    """As with `modules_to_not_convert`: the bias is beside `qweight` in one layer and beside `weight` in the other."""
    model = quantising.awq(neox(2), lambda module: module.endswith("layers.0.attention.dense"))
    assert ("layers.missing", "gpt_neox.layers.0.attention.dense.weight") not in said(model, tmp_path)


def test_a_block_that_only_the_middle_layer_goes_without_is_left_alone(tmp_path: Path) -> None:
    """Pruning takes blocks out as a whole, and hybrids alternate."""
    assert said(cohere(3).drop(lambda name: ".1.self_attn." in name), tmp_path) == []
