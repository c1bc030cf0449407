"""`--reference transformers` on one rank: what it reads, and that whatever departs from it is named."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.threads import one_thread
from tests.tracer.checkpoint.gguf.conversion import convert
from tests.tracer.families import Checkpoint, checkpoint
from tests.verifying import (
    HEADS_ALIKE,
    LAYER,
    Case,
    Tensors,
    alone,
    altered,
    considered,
    exchanging_rows,
    only,
    turned,
    with_config,
)
from tracer.prepare import Request, prepare

__all__ = ["checkpoint", "one_thread"]


# --- what departs from it ---


@pytest.mark.parametrize("family", ["qwen3", "mixtral", "gpt2", "bloom"])
def test_any_tensor_that_is_turned_round_is_traced_to_the_parameter_that_it_feeds(
    family: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    """Those of the second layer and outside of the layers, one at a time; the reference has them as they were."""
    sound = checkpoint(family)
    names = [info.name for info in prepare(Request(str(sound))).infos if considered(info.name)]
    told = {}
    for number, name in enumerate(names):
        folder = altered(sound, tmp_path / str(number), turned(name))
        evidence = only(alone(Case(folder), tmp_path, sound)).evidence
        fed = [param for param, tensors in evidence["parameters"].items() if name in tensors]
        told[name] = (evidence["layer"], len(fed), len(evidence["parameters"]) <= 4)
    assert told == {name: (1 if ".1." in name else None, 1, True) for name in names}


def test_q_and_k_exchanged_in_the_checkpoint_are_named_by_a_sound_reference(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    def exchange(tensors: Tensors) -> None:
        q, k = f"{LAYER}q_proj.weight", f"{LAYER}k_proj.weight"
        tensors[q], tensors[k] = tensors[k], tensors[q]

    sound = checkpoint(HEADS_ALIKE)
    folder = altered(sound, tmp_path / "exchanged", exchange)
    assert alone(Case(folder), tmp_path)[1].state == "ok", "its own files say the same"
    finding = only(alone(Case(folder), tmp_path, sound))
    assert (finding.code, finding.subject) == ("verify.reference-differs", "model.layers.1")
    assert finding.message.startswith("layer 1 (model.layers.1) departs from MistralForCausalLM of transformers ")
    assert "within it the output of model.layers.1.self_attn.k_proj differs by " in finding.message
    assert list(finding.evidence["parameters"]) == [f"{LAYER}qkv_proj.weight"]
    assert finding.evidence["distances"]["the output of layer 0"] < 1e-5


def test_a_square_matrix_that_is_transposed_is_named_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """GPT-2 stores (inputs, outputs), and this shape cannot tell."""
    name, sound = "transformer.h.2.attn.c_proj.weight", checkpoint("gpt2")
    folder = altered(sound, tmp_path / "model", lambda tensors: tensors.update({name: tensors[name].T}))
    finding = only(alone(Case(folder), tmp_path, sound))
    assert finding.subject == "transformer.h.2"
    assert set(finding.evidence["parameters"]) == {name, name.replace("weight", "bias")}


def test_rows_that_are_wrong_for_all_layers_are_named_at_the_first(checkpoint: Checkpoint, tmp_path: Path) -> None:
    finding = only(alone(Case(checkpoint(HEADS_ALIKE), options={"mapping": exchanging_rows(tmp_path)}), tmp_path))
    assert (finding.evidence["layer"], finding.subject) == (0, "model.layers.0")
    assert list(finding.evidence["parameters"]) == ["model.layers.0.self_attn.qkv_proj.weight"]


# --- what it reads ---


@pytest.mark.parametrize("form", ["pytorch", "one shard a tensor", "gguf"])
def test_the_reference_reads_the_very_files_that_were_planned_with(
    form: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    """... or those of the folder that a GGUF file was made of; the folder's other copies are none of its business."""
    source = checkpoint("llama")
    folder = altered(source, tmp_path / "model", turned(f"{LAYER}o_proj.weight"))
    sound = None
    if form == "pytorch":
        torch.save(load_file(source / "model.safetensors"), folder / "pytorch_model.bin")
        case = Case(folder, options={"load_format": "pt"})
    elif form == "gguf":
        case, sound = Case(convert(source, tmp_path / "model.gguf")), source
    else:
        (folder / "model.safetensors").unlink()
        split(source, folder)
        case = Case(folder)
    assert [check.state for check in alone(case, tmp_path, sound)] == ["ok", "ok"]


def split(source: Path, folder: Path) -> None:
    """A file for every tensor, in a folder below."""
    (folder / "parts").mkdir()
    tensors = load_file(source / "model.safetensors")
    files = {name: f"parts/{number}.safetensors" for number, name in enumerate(tensors)}
    for name, file in files.items():
        save_file({name: tensors[name]}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


def test_the_reference_runs_no_code_of_the_checkpoint_and_asks_nobody(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    folder = with_config(checkpoint("llama"), tmp_path / "model", auto_map={"AutoModelForCausalLM": "own.Own"})
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr(socket.socket, "connect", pytest.fail)
    assert alone(Case(folder), tmp_path)[1].state == "ok"
    assert not (tmp_path / "ran").exists()
