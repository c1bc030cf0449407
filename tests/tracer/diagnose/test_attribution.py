"""What was complained of is put down to a cause only where the two have a name, a shape or a number in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS
from tests.tracer.complaints.logs import SHUTDOWN, traceback
from tests.tracer.diagnose.written import HEADERS, codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.complaints import read_log
from tracer.diagnose.diagnosis import Diagnosis, diagnose

LLAMA = CONFIGS["llama"].config
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("num_key_value_heads", {"num_key_value_heads": 2 * LLAMA["num_key_value_heads"]}),
    ("vocab_size", {"vocab_size": 2 * LLAMA["vocab_size"]}),
]
MODULE = "ValueError: There is no module or parameter named 'vision_tower' in LlamaForCausalLM"


def told_by(folder: Path, lines: list[str], log: Path) -> Diagnosis:
    log.write_text("\n".join(lines))
    return diagnose(str(folder), read_log(log), reading=HEADERS)


@pytest.mark.parametrize(("field", "said"), WRONG)
def test_a_module_that_no_tensor_is_of_is_not_put_down_to_a_number(
    field: str, said: dict[str, Any], tmp_path: Path
) -> None:
    found = diagnosed(write(tmp_path, LLAMA, **said), MODULE)
    assert codes(found) == [("config.conflict", field)]
    assert [each.text for each in found.unanswered] == [MODULE]


def test_nor_to_a_file_that_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path, LLAMA, lambda name: None if ".1." in name else name)
    names = [each.name for each in synthesise(choose(LLAMA, None, 1, "BF16").binding)]
    files = {name: "model-00002-of-00002.safetensors" if ".1." in name else "model.safetensors" for name in names}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": files})
    found = diagnosed(folder, MODULE)
    assert codes(found)[0][0] == "index.missing-file"
    assert [each.text for each in found.unanswered] == [MODULE]


def test_two_numbers_and_the_field_of_an_assertion_are_those_of_the_conflict(tmp_path: Path) -> None:
    own = LLAMA["vocab_size"]
    said = f"AssertionError: self.org_vocab_size={2 * own} self.input_size={own} loaded_weight.shape[0]={own}"
    folder = write(tmp_path / "m", LLAMA, vocab_size=2 * own)
    found = told_by(folder, [*traceback(said), *SHUTDOWN], tmp_path / "log")
    assert [each.text for each in found.causes[0].answers] == [said]
    other = told_by(folder, traceback(said.replace(str(own), "77")), tmp_path / "log")
    assert len(other.unanswered) == 1


def test_an_assertion_without_words_in_a_loader_is_about_sizes(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", LLAMA, **WRONG[0][1])
    found = told_by(folder, traceback("AssertionError"), tmp_path / "log")
    assert [each.text for each in found.causes[0].answers] == ["AssertionError"]


REPORT = "Key | Status | Details\n--- | --- | ---\n"


def row(name: str, own: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    shapes = f"ckpt: torch.Size({list(own)}) vs model:torch.Size({list(wanted)})"
    return f"{name} | MISMATCH | Reinit due to size mismatch - {shapes}\n"


def test_who_has_stacked_the_experts_himself_does_not_miss_the_stack(tmp_path: Path) -> None:
    config = CONFIGS["deepseek v2"].config
    lost = "model.layers.1.mlp.experts.1."
    folder = write(tmp_path, config, lambda name: None if name.startswith(lost) else name)
    count = config["n_routed_experts"]
    said = REPORT + row("model.layers.1.mlp.experts.down_proj", (count - 1, 8, 4), (count, 8, 4))
    with_it, without = diagnosed(folder, said), diagnosed(folder)
    assert codes(with_it) == codes(without)
    assert {code for code, _ in codes(with_it)} == {"experts.missing"}
    assert not with_it.unanswered


def test_a_width_that_is_wrong_is_no_head_dim_that_is_ignored(tmp_path: Path) -> None:
    config = {**CONFIGS["qwen3"].config, "head_dim": 24, "hidden_size": 64, "num_attention_heads": 4}
    folder = write(tmp_path, config, hidden_size=128)
    heads = config["num_key_value_heads"]
    shapes = (24 * heads, 64), (24 * heads, 128)
    found = diagnosed(folder, REPORT + row("model.layers.0.self_attn.k_proj.weight", *shapes))
    assert codes(found)[0] == ("config.conflict", "hidden_size")
    assert not any("being ignored" in cause.finding.message for cause in found.causes)


# --- a wrapper around names that nobody has rows for ---

WRAPPED = {f"module.encoder.layer.{n}.{leaf}": ("F32", (8, 8)) for n in range(2) for leaf in ("up.weight", "o.weight")}


def wrapped(folder: Path, **more: Any) -> Path:
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", WRAPPED)
    write_json(folder / "config.json", {"architectures": ["StrangeForMaskedLM"], "model_type": "strange", **more})
    return folder


@pytest.mark.parametrize("said", ["", "module.encoder.layer.{0, 1}.up.weight | UNEXPECTED |\n"
                                  "encoder.layer.{0, 1}.up.weight | MISSING |\n"])  # fmt: skip
def test_a_wrapper_of_all_names_is_an_error_and_the_cause(said: str, tmp_path: Path) -> None:
    found = diagnosed(wrapped(tmp_path / "m"), said and REPORT + said)
    [cause] = found.causes
    assert (cause.finding.code, cause.finding.severity) == ("name.rewrite", "error")
    assert not found.unanswered


def test_of_a_model_with_code_of_its_own_it_is_a_warning(tmp_path: Path) -> None:
    found = diagnosed(wrapped(tmp_path / "m", auto_map={"AutoModel": "modeling.Strange"}))
    assert [cause.finding.severity for cause in found.causes] == ["warning"]


# --- numbers that do not divide ---


def test_a_block_that_divides_no_slice_is_no_number_of_ranks(tmp_path: Path) -> None:
    config = {**LLAMA, "vocab_size": 128}
    said = "ValueError: Weight input_size_per_partition = 96 is not divisible by weight quantization block_k = 128."
    assert "tp.indivisible" not in dict(codes(diagnosed(write(tmp_path, config), said)))


def test_ranks_of_experts_are_no_ranks_of_tensors(tmp_path: Path) -> None:
    config = {**LLAMA, "num_attention_heads": 4, "num_key_value_heads": 4}
    said = "AssertionError: Number of experts 4 must be divisible by ep_size 3"
    assert codes(diagnosed(write(tmp_path, config), said, tp=4)) == []
    real = diagnosed(tmp_path, "AssertionError: 4 is not divisible by 3")
    assert "tp 3 cannot" in real.causes[0].finding.message
