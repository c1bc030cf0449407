"""A model that was damaged and repaired loads, agrees with the undamaged one in Transformers, and says what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from engine import LLM, Sampling, Settings
from mappings.proof import findings, prove
from tests.engine.checkpoints import SIZES, ids, logits_of
from tests.threads import one_thread
from tests.tracer.families import Checkpoint, checkpoint
from tests.tracer.repair.damaged import read, same, whole
from tests.verifying import Case, alone, altered, with_config
from tracer.checkpoint.folder import open_checkpoint
from tracer.cli import trace_load
from tracer.errors import Refused
from tracer.prepare import Request, prepare
from tracer.repair.changes import Change, Cut, Join, Rename, SetField, Transform
from tracer.repair.repair import repair

__all__ = ["checkpoint", "one_thread"]
Made = dict[str, torch.Tensor]
HEADS, KV_HEADS = SIZES["num_attention_heads"], SIZES["num_key_value_heads"]
Q, K, OUT, GATE, UP = (
    tuple(f"model.layers.{n}.{name}.weight" for n in range(3))
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj")
)
NORMS = (
    *(f"model.layers.{n}.{name}_layernorm.weight" for n in range(3) for name in ("input", "post_attention")),
    "model.norm.weight",
)
EXPERTS = 4
GREEDY = Sampling(max_tokens=12, ignore_eos=True)


def paired(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head in Meta's order."""
    split: torch.Tensor = tensor.unflatten(0, (heads, 2, -1))
    return split.transpose(1, 2).flatten(0, 2)


def in_pairs(tensors: Made) -> None:
    tensors.update({name: paired(tensors[name], HEADS) for name in Q})
    tensors.update({name: paired(tensors[name], KV_HEADS) for name in K})


def with_heads_of_q(tensors: Made) -> None:
    """As a converter does that takes k for as many heads as q has."""
    tensors.update({name: paired(tensors[name], HEADS) for name in K})


def exchanged(tensors: Made) -> None:
    for gate, up in zip(GATE, UP, strict=True):
        tensors[gate], tensors[up] = tensors[up], tensors[gate]


def transposed(tensors: Made) -> None:
    tensors.update({name: tensors[name].T for name in (*Q, *OUT)})


def around_zero(tensors: Made) -> None:
    tensors.update({name: tensors[name] - 1 for name in NORMS})


def wrapped(tensors: Made) -> None:
    for name in list(tensors):
        tensors[f"language_model.{name}"] = tensors.pop(name)


def fused(tensors: Made) -> None:
    for gate, up in zip(GATE, UP, strict=True):
        tensors[gate.replace("gate_proj", "gate_up_proj_all")] = torch.cat([tensors.pop(gate), tensors.pop(up)])


def unwrapping(names: Sequence[str]) -> list[Change]:
    return [Rename({name: name.removeprefix("language_model.") for name in names})]


def exchanging(names: Sequence[str]) -> list[Change]:
    pairs = dict(zip(GATE, UP, strict=True))
    return [Rename(pairs | {up: gate for gate, up in pairs.items()})]


def cutting(names: Sequence[str]) -> list[Change]:
    size = SIZES["intermediate_size"]
    return [
        Cut(gate.replace("gate_proj", "gate_up_proj_all"), 0, {gate: (0, size), up: (size, 2 * size)})
        for gate, up in zip(GATE, UP, strict=True)
    ]


class Damage(NamedTuple):
    """What is done to a Llama, and what undoes it."""

    does: Callable[[Made], object]
    undone: Callable[[Sequence[str]], list[Change]]


DAMAGES = {
    "q and k in pairs": Damage(in_pairs, lambda names: [
        Transform(Q, "interleaved-to-half", HEADS), Transform(K, "interleaved-to-half", KV_HEADS),
    ]),
    "k reordered with the heads of q": Damage(with_heads_of_q, lambda names: [
        Transform(K, "interleaved-to-half", HEADS),
    ]),
    "gate and up exchanged": Damage(exchanged, exchanging),
    "square matrices transposed": Damage(transposed, lambda names: [Transform((*Q, *OUT), "transpose")]),
    "norms around zero": Damage(around_zero, lambda names: [Transform(NORMS, "add", amount=1.0)]),
    "a wrapper's prefix": Damage(wrapped, unwrapping),
    "gate and up in one": Damage(fused, cutting),
}  # fmt: skip


def agrees(folder: Path, sound: Path, tmp_path: Path) -> bool:
    """What `trace-load --verify --reference` makes of a folder in this process: Transformers has the undamaged one."""
    try:
        prepared = prepare(Request(str(folder)))
    except Refused:
        return False
    proved = findings(prove(prepared.plan, prepared.checkpoint.spans if prepared.checkpoint else ()))
    if any(finding.severity == "error" for finding in [*prepared.findings, *proved]):
        return False
    verified = alone(Case(folder), tmp_path, sound)
    assert len(verified) == 2
    return all(verdict.state == "ok" for verdict in verified)


def computes_the_same(folder: Path, sound: Path) -> bool:
    """Every logit of a prompt, bit for bit."""
    return torch.equal(logits_of(folder), logits_of(sound))


def said(folder: Path) -> list[int]:
    """The ids that are generated greedily."""
    with LLM(folder, settings=Settings(cache_bytes=1 << 20)) as llm:
        return list(llm.generate([ids().tolist()], GREEDY)[0].token_ids)


def mended(folder: Path, stages: Sequence[Sequence[Change]], to: Path) -> Path:
    before = whole(folder)
    repair(open_checkpoint(folder), stages, to)
    assert whole(folder) == before
    return to


@pytest.mark.parametrize("name", DAMAGES)
def test_a_repaired_copy_is_the_undamaged_model(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    sound, damage = checkpoint("llama"), DAMAGES[name]
    damaged = altered(sound, tmp_path / "damaged", damage.does)
    assert not agrees(damaged, sound, tmp_path)
    copy = mended(damaged, [damage.undone(list(read(damaged)))], tmp_path / "copy")
    assert agrees(copy, sound, tmp_path)
    if name != "norms around zero":  # of which subtracting has rounded some
        assert same(read(copy), read(sound))
        assert computes_the_same(copy, sound)


def test_a_wrong_field_is_set_right(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = checkpoint("llama")
    damaged = with_config(sound, tmp_path / "damaged", num_key_value_heads=HEADS)
    assert not agrees(damaged, sound, tmp_path)
    copy = mended(damaged, [[SetField("num_key_value_heads", KV_HEADS)]], tmp_path / "copy")
    assert agrees(copy, sound, tmp_path)
    assert computes_the_same(copy, sound)
    config = json.loads((damaged / "config.json").read_text())
    assert json.loads((copy / "config.json").read_text()) == config | {"num_key_value_heads": KV_HEADS}


@pytest.mark.slow
def test_several_causes_behind_each_other_are_mended_in_stages_and_the_copy_says_what_the_model_said(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    """The names of the second are those that the first has left. By the commands themselves."""

    def damages(tensors: Made) -> None:
        for damage in (in_pairs, exchanged, wrapped):
            damage(tensors)

    sound = checkpoint("llama")
    damaged = altered(sound, tmp_path / "damaged", damages)
    stages = [unwrapping(list(read(damaged))), exchanging([]), DAMAGES["q and k in pairs"].undone([])]
    copy = mended(damaged, stages, tmp_path / "copy")
    assert trace_load([str(copy), "--device", "cpu", "--verify", "--reference", f"transformers={sound}"]) == 0
    assert same(read(copy), read(sound))
    assert said(copy) == said(sound)


def test_pickles_become_a_model_that_loads(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = checkpoint("llama")
    (tmp_path / "pickled").mkdir()
    shutil.copy(sound / "config.json", tmp_path / "pickled")
    tensors = read(sound)
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "pickled/pytorch_model.bin")
    stages = [[Rename({f"module.{name}": name for name in tensors})]]
    copy = mended(tmp_path / "pickled", stages, tmp_path / "copy")
    assert agrees(copy, sound, tmp_path)
    assert same(read(copy), tensors)


# --- experts ---


def split(layer: int, expert: int, name: str) -> str:
    return f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{name}.weight"


def stacked(layer: int, name: str) -> str:
    return f"model.layers.{layer}.mlp.experts.{name}"


GATES = {f"model.layers.{n}.block_sparse_moe.gate.weight": f"model.layers.{n}.mlp.gate.weight" for n in range(3)}


def to_stacked() -> list[list[Change]]:
    """w1 and w3 of each expert one below the other, then one expert behind the other."""
    pairs = [Join((split(n, e, "w1"), split(n, e, "w3")), f"w13.{n}.{e}", 0) for n in range(3) for e in range(EXPERTS)]
    up: list[Change] = [
        Join(tuple(f"w13.{n}.{e}" for e in range(EXPERTS)), stacked(n, "gate_up_proj"), 0, True) for n in range(3)
    ]  # fmt: skip
    down = [
        Join(tuple(split(n, e, "w2") for e in range(EXPERTS)), stacked(n, "down_proj"), 0, True) for n in range(3)
    ]  # fmt: skip
    return [[*pairs, *down, Rename(GATES)], up]


def to_split() -> list[list[Change]]:
    size = SIZES["intermediate_size"]
    apart: list[Change] = [Rename({new: old for old, new in GATES.items()})]
    halves: list[Change] = []
    for n in range(3):
        steps = [(e, e + 1) for e in range(EXPERTS)]
        down = {split(n, e, "w2"): steps[e] for e in range(EXPERTS)}
        both = {f"w13.{n}.{e}": steps[e] for e in range(EXPERTS)}
        apart.append(Cut(stacked(n, "down_proj"), 0, down, drop_axis=True))
        apart.append(Cut(stacked(n, "gate_up_proj"), 0, both, drop_axis=True))
        halves += [
            Cut(f"w13.{n}.{e}", 0, {split(n, e, "w1"): (0, size), split(n, e, "w3"): (size, 2 * size)})
            for e in range(EXPERTS)
        ]
    return [apart, halves]


def as_stacked(tensors: Made) -> None:
    """By hand what Transformers has in memory."""
    for old, new in GATES.items():
        tensors[new] = tensors.pop(old)
    for n in range(3):
        both = [torch.cat([tensors.pop(split(n, e, "w1")), tensors.pop(split(n, e, "w3"))]) for e in range(EXPERTS)]
        tensors[stacked(n, "gate_up_proj")] = torch.stack(both)
        tensors[stacked(n, "down_proj")] = torch.stack([tensors.pop(split(n, e, "w2")) for e in range(EXPERTS)])


def test_experts_are_stacked_and_split_again(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = checkpoint("mixtral")
    by_hand = altered(sound, tmp_path / "by_hand", as_stacked)
    copy = mended(sound, to_stacked(), tmp_path / "stacked")
    assert same(read(copy), read(by_hand))
    back = mended(by_hand, to_split(), tmp_path / "split")
    assert same(read(back), read(sound))
    for folder in (copy, back):
        assert agrees(folder, sound, tmp_path)
        assert computes_the_same(folder, sound)


def test_a_whole_shard_of_a_real_writer_comes_back_byte_for_byte(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = checkpoint("llama")
    copy = mended(sound, [DAMAGES["q and k in pairs"].undone([])], tmp_path / "a")
    back = mended(copy, [[
        Transform(Q, "half-to-interleaved", HEADS), Transform(K, "half-to-interleaved", KV_HEADS),
    ]], tmp_path / "b")  # fmt: skip
    assert whole(back) == whole(sound)
    save_file(read(sound), tmp_path / "again.safetensors", {"format": "pt"})
    assert (tmp_path / "again.safetensors").read_bytes() == (back / "model.safetensors").read_bytes()
