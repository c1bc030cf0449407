"""What was written loads, and computes what the undamaged model computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.threads import one_thread
from tests.tracer.starter.computing import Sound, computes_as, computes_in_parts_as, other_names
from tests.tracer.starter.shelves import Names, renamed
from tests.tracer.starter.written import ledger
from tracer.cli import main
from tracer.prepare import Request, prepare
from tracer.starter import Starter, starter, starter_of

__all__ = ["one_thread"]

Tensors = dict[str, torch.Tensor]
TRAINED = Path(__file__).parents[2] / "data" / "trained"
LLAMA, LAYERS = TRAINED / "llama-3", 4
ASKED = (
    "--prompt-ids", "5,6,7,8,9", "--max-tokens", "12", "--ignore-eos", "--logprobs", "2", "--cache-gib", "0.001",
    "--json", "-",
)  # fmt: skip


def damaged(folder: Path, to: Path, change: Callable[[Tensors], Tensors], **config: Any) -> Path:
    """A copy with other tensors and other fields in its config.json."""
    shutil.copytree(folder, to)
    save_file(change(load_file(folder / "model.safetensors")), to / "model.safetensors")
    fields = json.loads((folder / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(fields | config))
    return to


def renaming(changes: Names) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {renamed(name, changes): tensor for name, tensor in tensors.items()}


def completed(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> Mapping[str, Any]:
    """Token ids and log-probabilities of `tracer generate`."""
    if "--mapping" in argv:
        ledger.computed(Path(argv[argv.index("--mapping") + 1]).read_text(encoding="utf-8"))
    status = main(["generate", *map(str, argv), *ASKED])
    ran = capsys.readouterr()
    assert status == 0, ran.err
    record: Mapping[str, Any] = json.loads(ran.out.splitlines()[0])
    return record


def sound_llama() -> Sound:
    stored = {name: tensor.float() for name, tensor in load_file(LLAMA / "model.safetensors").items()}
    return Sound("LlamaForCausalLM", json.loads((LLAMA / "config.json").read_text()), stored)


def written(found: Starter, to: Path) -> Path:
    to.write_text(found.text, encoding="utf-8")
    return to


@pytest.mark.parametrize("changes", [
    (("q_proj", "query"), ("down_proj", "w2")),
    (("self_attn", "attention"), ("mlp", "feed_forward"), ("input_layernorm", "attention_norm"),
     ("post_attention_layernorm", "ffn_norm"), ("embed_tokens", "tok_embeddings"), ("lm_head", "output")),
    (("^", "language_model."),),
])  # fmt: skip
def test_a_renamed_llama_generates_what_the_original_does(
    changes: Names, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    folder = damaged(LLAMA, tmp_path / "m", renaming(changes))
    found = starter_of(prepare(Request(str(folder), plan_only=True)))
    assert found.loads, found.trial.errors
    rows = written(found, tmp_path / "rows.toml")
    assert main(["load", str(folder), "--plan", "--quiet"]) == 1, "without the file it does not load"
    capsys.readouterr()
    expected = completed(capsys, LLAMA)
    assert completed(capsys, folder, "--mapping", rows) == expected


def test_a_llama_of_an_unknown_class_computes_under_the_class_that_it_is_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(LLAMA, tmp_path / "m", renaming((("q_proj", "query"),)), architectures=["OwnForCausalLM"])
    rows = tmp_path / "rows.toml"
    assert main(["mappings", "new", str(folder), "--output", str(rows)]) == 0
    assert "no modules compute OwnForCausalLM" in capsys.readouterr().out
    like = "LlamaForCausalLM"
    rows.write_text(rows.read_text().replace('"OwnForCausalLM"', f'"{like}"', 1))
    expected = completed(capsys, LLAMA)
    overrides = json.dumps({"architectures": [like]})
    assert completed(capsys, folder, "--mapping", rows, "--hf-overrides", overrides) == expected


def test_a_qwen3_that_says_it_is_a_llama_computes_with_the_norms_that_are_borrowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The forward pass applies q_norm and k_norm: what comes out is Qwen3's, and not Llama's without them."""
    sound = TRAINED / "qwen3-3"
    folder = damaged(sound, tmp_path / "m", dict, architectures=["LlamaForCausalLM"])
    found = starter_of(prepare(Request(str(folder), plan_only=True)))
    assert (found.draft.like, found.unapplied) == ("Qwen3ForCausalLM", ())
    rows = written(found, tmp_path / "rows.toml")
    expected = completed(capsys, sound)
    assert completed(capsys, folder, "--mapping", rows) == expected


def test_rows_for_a_norm_that_nothing_applies_load_it_and_say_that_they_do_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No modules take it, so what is loaded is computed with in parts: as without the norm."""

    def more(tensors: Tensors) -> Tensors:
        width = tensors["model.norm.weight"].shape
        return tensors | {f"model.layers.{i}.extra_norm.weight": torch.ones(width) for i in range(LAYERS)}

    folder = damaged(LLAMA, tmp_path / "m", more)
    found = starter_of(prepare(Request(str(folder), plan_only=True)))
    assert found.unapplied == ("model.layers.{layer}.extra_norm",)
    rows = written(found, tmp_path / "rows.toml")
    assert main(["load", str(folder), "--mapping", str(rows)]) == 0
    out = capsys.readouterr().out
    assert "model.layers.{0..3}.extra_norm.weight" in out
    assert "do not fit the rows" in out, "the modules have no such parameter, and it is said that nothing computes"
    model = sound_llama()
    norms = more(dict(model.stored)).keys() - model.stored.keys()
    loaded = computes_in_parts_as(model, found.text, model.config, more(dict(model.stored)), tp=1)
    assert loaded.keys() == norms
    assert all((norm == 1).all() for norm in loaded.values())


def test_the_checkpoint_alone_and_its_plan_give_the_same_file(tmp_path: Path) -> None:
    folder = damaged(LLAMA, tmp_path / "m", renaming((("q_proj", "query"),)))
    prepared = prepare(Request(str(folder), plan_only=True))
    assert prepared.checkpoint is not None
    text = starter(prepared.checkpoint, prepared.run.config).text
    assert text == starter_of(prepared).text
    model = sound_llama()
    computes_as(model, text, model.config, other_names(model.stored, (("q_proj", "query"),)))
