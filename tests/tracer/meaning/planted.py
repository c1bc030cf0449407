"""Faults for trained models: each takes the tensors and the config of a sound one, and spoils them as people do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tracer.repair.changes import Change, Drop, Rename, Transform

Numbers = NDArray[Any]
Model = dict[str, Numbers]


class Fault(NamedTuple):
    """What is done, which test has to find it, and how it is to be called."""

    plant: Callable[[Model, dict[str, Any]], None]
    test: str
    code: str


def written(source: Path, into: Path, fault: Fault | None = None, seed: int = 0) -> Path:
    """A copy of a trained model with a fault in it."""
    config = json.loads((source / "config.json").read_text())
    model = load_file(source / "model.safetensors")
    if fault is not None:
        fault.plant(model, config)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    save_file(model, into / "model.safetensors", {"format": "pt"})
    (into / "config.json").write_text(json.dumps(config))
    return into


def interleaved(rows: Numbers, heads: int) -> Numbers:
    """Rows i and i + half of each head to 2i and 2i + 1: what Meta's files and GGUF's llama have."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def halved(rows: Numbers, heads: int) -> Numbers:
    """And back."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def mended(model: Model, changes: Iterable[Change]) -> Model:
    """The tensors after the changes, carried out here in numpy, so that `tracer.repair` is not its own witness."""
    found = dict(model)
    for change in changes:
        if isinstance(change, Rename):
            moved = {new: found.pop(old) for old, new in change.names.items()}
            found.update(moved)
        elif isinstance(change, Transform):
            for name in change.names:
                found[name] = _transformed(found[name], change)
        elif isinstance(change, Drop):
            found = {name: values for name, values in found.items() if name not in change.names}
    return found


def _transformed(values: Numbers, change: Transform) -> Numbers:
    if change.op == "transpose":
        return np.ascontiguousarray(values.T)
    if change.op == "add":
        return (values.astype(np.float32) + change.amount).astype(values.dtype)
    turn = interleaved if change.op == "half-to-interleaved" else halved
    return np.ascontiguousarray(turn(values, change.heads))


def _each(model: Model, ending: str) -> Iterator[str]:
    yield from [name for name in model if name.endswith(ending)]


def _heads(config: Mapping[str, Any]) -> tuple[int, int]:
    return config["num_attention_heads"], config["num_key_value_heads"]


def _reordered(model: Model, module: str, turn: Callable[[Numbers], Numbers]) -> None:
    """Rows of a module in every layer, and its biases with them."""
    for name in [*_each(model, f"{module}.weight"), *_each(model, f"{module}.bias")]:
        model[name] = np.ascontiguousarray(turn(model[name]))


def unpermuted(model: Model, config: dict[str, Any]) -> None:
    """The converter's permutation was left out."""
    heads, kv = _heads(config)
    _reordered(model, "q_proj", lambda rows: interleaved(rows, heads))
    _reordered(model, "k_proj", lambda rows: interleaved(rows, kv))


def permuted_twice(model: Model, config: dict[str, Any]) -> None:
    heads, kv = _heads(config)
    _reordered(model, "q_proj", lambda rows: halved(rows, heads))
    _reordered(model, "k_proj", lambda rows: halved(rows, kv))


def wrong_heads(model: Model, config: dict[str, Any]) -> None:
    """k was permuted back with as many heads as q has (transformers, issue 31766)."""
    heads, kv = _heads(config)
    _reordered(model, "k_proj", lambda rows: halved(interleaved(rows, kv), heads))


def half_undone(model: Model, config: dict[str, Any]) -> None:
    """k alone was put into pairs, with as many heads as q has."""
    _reordered(model, "k_proj", lambda rows: interleaved(rows, config["num_attention_heads"]))


def swapped(model: Model, config: dict[str, Any]) -> None:
    for name in _each(model, "gate_proj.weight"):
        other = name.replace("gate_proj", "up_proj")
        model[name], model[other] = model[other], model[name]


def transposed(model: Model, config: dict[str, Any]) -> None:
    """Those that are square do not show it."""
    for name in [*_each(model, "q_proj.weight"), *_each(model, "o_proj.weight")]:
        model[name] = np.ascontiguousarray(model[name].T)


def one_transposed(model: Model, config: dict[str, Any]) -> None:
    for name in _each(model, "o_proj.weight"):
        model[name] = np.ascontiguousarray(model[name].T)


def offset(model: Model, config: dict[str, Any]) -> None:
    """1 more in families that add it themselves, as llama.cpp bakes it in; 1 less in the others."""
    amount = 1.0 if config["model_type"].startswith("gemma") else -1.0
    for name in model:
        if "norm" in name:
            model[name] = (model[name].astype(np.float32) + amount).astype(model[name].dtype)


def untrained(model: Model, config: dict[str, Any]) -> None:
    """One layer as it was drawn."""
    draws = np.random.default_rng(5)
    for name in [name for name in model if re.search(r"\.layers\.2\.", name)]:
        if model[name].ndim > 1:
            model[name] = draws.normal(0, 0.02, model[name].shape).astype(model[name].dtype)
        else:
            model[name] = np.full_like(model[name], 0 if config["model_type"].startswith("gemma") else 1)


def untrained_head(model: Model, config: dict[str, Any]) -> None:
    """A head that was drawn anew, in a model whose config ties it or not."""
    table = model["model.embed_tokens.weight"]
    model["lm_head.weight"] = np.random.default_rng(6).normal(0, 0.02, table.shape).astype(table.dtype)
    config["tie_word_embeddings"] = False


def duplicated(model: Model, config: dict[str, Any]) -> None:
    for name in [name for name in model if ".layers.1." in name]:
        model[name.replace(".layers.1.", ".layers.2.")] = model[name].copy()


def nearly_duplicated(model: Model, config: dict[str, Any]) -> None:
    """A layer that was copied and trained a little further."""
    draws = np.random.default_rng(7)
    for name in [name for name in model if ".layers.1." in name]:
        values = model[name].astype(np.float32)
        noisy = values + 0.05 * values.std() * draws.normal(size=values.shape)
        model[name.replace(".layers.1.", ".layers.2.")] = noisy.astype(model[name].dtype)


def other_theta(model: Model, config: dict[str, Any]) -> None:
    """Buffers that were computed with another base than config.json has."""
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = 1.0 / (500_000.0 ** (np.arange(0, dim, 2, dtype=np.float32) / dim))
    for layer in range(config["num_hidden_layers"]):
        model[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = frequencies.astype(np.float32)


def other_head(model: Model, config: dict[str, Any]) -> None:
    """Config ties what was trained apart."""
    table = model["model.embed_tokens.weight"].astype(np.float32)
    if "lm_head.weight" not in model:
        draws = np.random.default_rng(8)
        model["lm_head.weight"] = (table + 0.5 * table.std() * draws.normal(size=table.shape)).astype(
            ml_dtypes.bfloat16
        )
    config["tie_word_embeddings"] = True


def too_large(model: Model, config: dict[str, Any]) -> None:
    name = "model.layers.3.mlp.down_proj.weight"
    model[name] = model[name].copy()
    model[name][0, 0] = 1e5
    config["torch_dtype"] = "float16"
    config.pop("dtype", None)


FAULTS: Mapping[str, Fault] = {
    "rope order left out": Fault(unpermuted, "rope-order", "value.rope-order"),
    "rope order applied twice": Fault(permuted_twice, "rope-order", "value.rope-order"),
    "k permuted with q's heads": Fault(wrong_heads, "rope-order", "value.rope-order"),
    "k in pairs of q's heads": Fault(half_undone, "rope-order", "value.rope-order"),
    "gate and up swapped": Fault(swapped, "gate-up", "value.gate-up-swapped"),
    "q and o transposed": Fault(transposed, "transposed", "value.transposed"),
    "o transposed": Fault(one_transposed, "transposed", "value.transposed"),
    "norms off by one": Fault(offset, "norm-offset", "value.norm-offset"),
    "rope theta": Fault(other_theta, "rope-theta", "config.conflict"),
    "tied, other head": Fault(other_head, "tied-head", "tie.conflict"),
    "layer untrained": Fault(untrained, "untrained", "value.untrained"),
    "head untrained": Fault(untrained_head, "untrained", "value.untrained"),
    "layer copied": Fault(duplicated, "duplicate", "value.duplicate"),
    "layer nearly copied": Fault(nearly_duplicated, "duplicate", "value.duplicate"),
    "beyond float16": Fault(too_large, "overflow", "value.overflow"),
}

REPAIRED = (
    "rope order left out", "rope order applied twice", "k permuted with q's heads", "k in pairs of q's heads",
    "gate and up swapped", "q and o transposed", "o transposed", "norms off by one",
)  # fmt: skip
"""Those after whose repair the tensors are what they were."""
