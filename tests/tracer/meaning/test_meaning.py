"""Trained models as they are and with a fault: what is found, what is called fine, and what is not checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tracer.meaning.planted import FAULTS, REPAIRED, interleaved, mended, written
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import UsageError
from tracer.meaning import TESTS, Meant, examine_meaning
from tracer.repair.changes import Rename, Transform
from tracer.repair.repair import repair
from tracer.repair.repaired import told

TRAINED = Path(__file__).parents[2] / "data" / "trained"
MODELS = sorted(path.name for path in TRAINED.iterdir())
LLAMA = TRAINED / "llama-3"
ALONE = ("rope-order", "gate-up", "transposed", "norm-offset")
"""Tests that a reference can decide."""


def examined(folder: Path, **asked: Any) -> dict[str, Meant]:
    checkpoint = open_checkpoint(folder)
    return {each.check.name: each for each in examine_meaning(checkpoint, checkpoint.config, **asked)}


def codes(ended: Mapping[str, Meant]) -> list[str]:
    return [found.code for each in ended.values() for found in each.check.findings]


def transforms(ended: Meant) -> list[Transform]:
    return [change for change in ended.changes if isinstance(change, Transform)]


def edited(source: Path, into: Path, **tensors: Any) -> Path:
    """A copy with other tensors; None drops one."""
    model = load_file(source / "model.safetensors") | tensors
    into.mkdir(exist_ok=True)
    save_file({name: values for name, values in model.items() if values is not None}, into / "model.safetensors")
    (into / "config.json").write_text((source / "config.json").read_text())
    return into


def configured(folder: Path, **fields: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    return folder


class Spoilt(NamedTuple):
    """A trained model with a fault, and what is found in it."""

    folder: Path
    ended: dict[str, Meant]


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Spoilt]:
    """By model and fault, each made and examined once."""

    @cache
    def made(name: str, fault: str) -> Spoilt:
        folder = written(TRAINED / name, tmp_path_factory.mktemp("spoilt") / "model", FAULTS[fault])
        return Spoilt(folder, examined(folder))

    return made


# --- as trained, and with each fault ---


@pytest.mark.parametrize("name", MODELS)
def test_of_a_trained_model_every_test_is_fine_and_says_what_it_looked_at(name: str) -> None:
    ended = examined(TRAINED / name)
    assert list(ended) == list(TESTS)
    assert codes(ended) == []
    left = {test: each.check.unchecked for test, each in ended.items() if each.check.unchecked}
    assert left == {"rope-theta": "no inv_freq is stored that could testify to rope_theta"}
    assert all(each.check.told for test, each in ended.items() if test != "rope-theta")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_its_test_and_by_no_other(
    name: str, fault: str, spoilt: Callable[[str, str], Spoilt]
) -> None:
    planted = FAULTS[fault]
    ended = spoilt(name, fault).ended
    assert codes(ended) == [planted.code]
    (found,) = ended[planted.test].check.findings
    assert found.subject.split(".")[0] in found.message
    if fault not in ("beyond float16",):
        assert {"statistic", "value", "threshold", "pooled", "over"} <= set(found.evidence)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fault", REPAIRED)
def test_the_changes_beside_a_finding_give_the_trained_model_back(
    name: str, fault: str, spoilt: Callable[[str, str], Spoilt]
) -> None:
    folder, ended = spoilt(name, fault)
    changes = [change for each in ended.values() for change in each.changes]
    after = mended(load_file(folder / "model.safetensors"), changes)
    for tensor, values in load_file(TRAINED / name / "model.safetensors").items():
        # A norm that was moved by 1 and back was rounded to bfloat16 on the way.
        slack = 2**-7 if "norm" in tensor else 0.0
        assert np.abs(after[tensor].astype("f4") - values.astype("f4")).max() <= slack, tensor


@pytest.mark.parametrize("fault", REPAIRED)
def test_a_repaired_copy_is_fine(fault: str, spoilt: Callable[[str, str], Spoilt], tmp_path: Path) -> None:
    folder, ended = spoilt(LLAMA.name, fault)
    changes = [change for each in ended.values() for change in each.changes]
    repair(open_checkpoint(folder), [changes], tmp_path / "mended")
    assert codes(examined(tmp_path / "mended")) == []


@pytest.mark.parametrize("against", [None, LLAMA])
def test_a_finding_and_the_repair_say_a_reordering_in_the_same_words(against: Path | None, tmp_path: Path) -> None:
    spoilt = written(LLAMA, tmp_path / "model", FAULTS["rope order left out"])
    ended = examined(spoilt, against=against and open_checkpoint(against))["rope-order"]
    (found,) = ended.check.findings
    assert found.fix == "reorder the rows of q from pairs to halves in 4 heads and k from pairs to halves in 2 heads"
    assert "from pairs to halves in 4 heads" in found.message
    assert [told(change) for change in ended.changes] == [
        f"rows of {heads} heads reordered from pairs to halves in 4 tensors" for heads in (4, 2)
    ]


def test_one_layer_in_another_order_is_never_passed_over(tmp_path: Path) -> None:
    model = load_file(LLAMA / "model.safetensors")
    for layer in range(4):
        names = {f"model.layers.{layer}.self_attn.{of}_proj.weight": heads for of, heads in (("q", 4), ("k", 2))}
        turned = {name: interleaved(model[name], heads) for name, heads in names.items()}
        ended = examined(edited(LLAMA, tmp_path / str(layer), **turned))["rope-order"]
        assert ended.check.findings or ended.check.unchecked
        assert [each.names for each in transforms(ended)] in ([], [(name,) for name in names])


def test_one_transposed_layer_is_named_alone(tmp_path: Path) -> None:
    name = "model.layers.2.self_attn.o_proj.weight"
    across = np.ascontiguousarray(load_file(LLAMA / "model.safetensors")[name].T)
    ended = examined(edited(LLAMA, tmp_path / "model", **{name: across}))["transposed"]
    assert [found.subject for found in ended.check.findings] == [name]
    assert [each.names for each in transforms(ended)] == [(name,)]


def test_one_swapped_layer_is_named_alone(tmp_path: Path) -> None:
    gate, up = (f"model.layers.1.mlp.{of}_proj.weight" for of in ("gate", "up"))
    model = load_file(LLAMA / "model.safetensors")
    ended = examined(edited(LLAMA, tmp_path / "model", **{gate: model[up], up: model[gate]}))["gate-up"]
    assert ended.changes == (Rename({gate: up, up: gate}),)


# --- fused on disk ---


def fused(source: Path, into: Path, gate_first: bool = True) -> Path:
    """As Phi-3 keeps it."""
    model = load_file(source / "model.safetensors")
    made: dict[str, Any] = {}
    for layer in range(4):
        at = f"model.layers.{layer}."
        qkv = [f"{at}self_attn.{of}_proj.weight" for of in "qkv"]
        pair = [f"{at}mlp.{of}_proj.weight" for of in (("gate", "up") if gate_first else ("up", "gate"))]
        made |= dict.fromkeys([*qkv, *pair])
        made[f"{at}self_attn.qkv_proj.weight"] = np.concatenate([model[name] for name in qkv])
        made[f"{at}mlp.gate_up_proj.weight"] = np.concatenate([model[name] for name in pair])
    return configured(edited(source, into, **made), model_type="phi3", architectures=["Phi3ForCausalLM"])


def test_parts_of_fused_tensors_are_looked_at_as_parts(tmp_path: Path) -> None:
    assert codes(examined(fused(LLAMA, tmp_path / "sound"))) == []
    ended = examined(fused(LLAMA, tmp_path / "swapped", gate_first=False))
    assert codes(ended) == ["value.gate-up-swapped"]
    assert not ended["gate-up"].changes, "no name can be swapped where both are one tensor"


# --- what cannot be told ---


def test_of_weights_that_nobody_trained_nothing_is_said(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    model = load_file(LLAMA / "model.safetensors")
    drawn = {
        name: draws.normal(0, 0.02, values.shape).astype(values.dtype)
        for name, values in model.items()
        if values.ndim > 1
    }
    ended = examined(edited(LLAMA, tmp_path / "model", **drawn))
    assert codes(ended) == []
    assert all("untrained" in ended[name].check.unchecked for name in (*ALONE, "untrained", "duplicate"))


def test_numbers_that_count_up_are_no_weights(tmp_path: Path) -> None:
    """What other tests fill checkpoints with."""
    model = load_file(LLAMA / "model.safetensors")
    counted = {name: np.arange(values.size, dtype=np.float32).reshape(values.shape) for name, values in model.items()}
    ended = examined(edited(LLAMA, tmp_path / "model", **counted))
    assert codes(ended) == []
    assert all(ended[name].check.unchecked for name in ALONE)


def test_of_a_family_that_is_not_known_conventions_are_not_judged(tmp_path: Path) -> None:
    other = configured(edited(LLAMA, tmp_path / "model"), model_type="novel", architectures=["NovelForCausalLM"])
    ended = examined(other)
    assert codes(ended) == []
    assert "novel" in ended["rope-order"].check.unchecked
    assert "novel" in ended["norm-offset"].check.unchecked


def test_without_a_config_nothing_is_checked(tmp_path: Path) -> None:
    folder = edited(LLAMA, tmp_path / "model")
    (folder / "config.json").unlink()
    assert {each.check.state for each in examined(folder).values()} == {"not-checked"}


def test_numbers_that_are_not_finite_stop_the_tests_that_meet_them(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    values = load_file(LLAMA / "model.safetensors")[name].copy()
    values[0, 0] = np.nan
    ended = examined(edited(LLAMA, tmp_path / "model", **{name: values}))
    assert codes(ended) == []
    assert name in ended["rope-order"].check.unchecked


def test_heads_that_do_not_fit_the_rows_are_somebody_elses_finding(tmp_path: Path) -> None:
    ended = examined(configured(edited(LLAMA, tmp_path / "model"), num_key_value_heads=4))
    assert "rows that the heads" in ended["rope-order"].check.unchecked


def test_tables_of_which_none_was_trained_are_said_to_be_so_and_are_no_fault(tmp_path: Path) -> None:
    """An adapter that was merged into a model that somebody only drew leaves both tables as they were."""
    table = load_file(LLAMA / "model.safetensors")["model.embed_tokens.weight"]
    draws = np.random.default_rng(8)
    names = ("model.embed_tokens.weight", "lm_head.weight")
    new = {name: draws.normal(0, 0.02, table.shape).astype(table.dtype) for name in names}
    check = examined(edited(LLAMA, tmp_path / "both", **new))["untrained"].check
    assert not check.findings
    assert check.unchecked == "model.embed_tokens.weight and lm_head.weight are as drawn, none is otherwise"


def experts(of: int = 2) -> dict[str, Any]:
    """The matrices of the feed-forward once more, as experts beside it."""
    model = load_file(LLAMA / "model.safetensors")
    return {
        name.replace(".mlp.", f".mlp.experts.{number}."): values
        for name, values in model.items() if ".mlp." in name for number in range(of)
    }  # fmt: skip


def test_experts_are_said_to_be_left_out_and_only_the_first_to_be_asked_for_its_lean(tmp_path: Path) -> None:
    beside = examined(edited(LLAMA, tmp_path / "beside", **experts()))
    assert beside["untrained"].check.unchecked == "experts are not looked at"
    dense = dict.fromkeys(name for name in load_file(LLAMA / "model.safetensors") if ".mlp." in name)
    alone = examined(edited(LLAMA, tmp_path / "alone", **dense, **experts()))
    assert alone["gate-up"].check.state == "ok"
    assert alone["gate-up"].check.told.endswith("over 4 layers, the first expert of each")


def test_without_a_hidden_size_or_known_roles_no_matrix_is_called_other_than_square(tmp_path: Path) -> None:
    folder = edited(LLAMA, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "hidden size" in examined(folder)["transposed"].check.unchecked


def test_layers_of_which_no_two_are_alike_in_kind_are_not_compared(tmp_path: Path) -> None:
    """As in a model of two layers, the one with attention and the other with none."""
    model = load_file(LLAMA / "model.safetensors")
    gone = {name: None for name in model if re.search(r"layers\.(0\.self_attn|1\.mlp|[23]\.)", name)}
    folder = configured(edited(LLAMA, tmp_path / "model", **gone), num_hidden_layers=2)
    assert "no two have the same" in examined(folder)["duplicate"].check.unchecked


# --- asked for, and compared ---


@pytest.mark.parametrize("name", TESTS)
def test_what_is_expected_off_is_not_run(name: str) -> None:
    assert name not in examined(LLAMA, expect={name: "off"})


def test_a_name_that_no_test_has_is_refused() -> None:
    with pytest.raises(UsageError, match="rope-order, gate-up"):
        examined(LLAMA, expect={"rope": "off"})


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fault", [fault for fault in REPAIRED if FAULTS[fault].test in ALONE])
def test_against_the_model_itself_each_fault_is_found_and_its_changes_mend_it(
    name: str, fault: str, tmp_path: Path
) -> None:
    spoilt = written(TRAINED / name, tmp_path / "model", FAULTS[fault])
    by_reference = examined(spoilt, against=open_checkpoint(TRAINED / name))
    assert codes(by_reference) == [FAULTS[fault].code]
    changes = by_reference[FAULTS[fault].test].changes
    after = mended(load_file(spoilt / "model.safetensors"), changes)
    slack = 2**-7 if "norm" in fault else 0.0
    for tensor, values in load_file(TRAINED / name / "model.safetensors").items():
        assert np.abs(after[tensor].astype("f4") - values.astype("f4")).max() <= slack, tensor


def test_against_itself_a_model_is_fine_and_against_another_the_statistics_decide() -> None:
    itself = examined(LLAMA, against=open_checkpoint(LLAMA))
    assert codes(itself) == []
    assert all("reference" in itself[name].check.told for name in ALONE)
    other = examined(LLAMA, against=open_checkpoint(TRAINED / "qwen3-3"))
    assert codes(other) == []
    assert not any(other[name].check.unchecked for name in ALONE)


@pytest.mark.parametrize("test", ALONE)
def test_one_layer_of_four_that_is_unlike_the_reference_is_not_passed_over(test: str, tmp_path: Path) -> None:
    model = load_file(LLAMA / "model.safetensors")
    at = "model.layers.1."
    gate, up, out, norm = (
        f"{at}{of}.weight" for of in ("mlp.gate_proj", "mlp.up_proj", "self_attn.o_proj", "input_layernorm")
    )
    names = {f"{at}self_attn.{of}_proj.weight": heads for of, heads in (("q", 4), ("k", 2))}
    faults: dict[str, dict[str, Any]] = {
        "rope-order": {name: interleaved(model[name], heads) for name, heads in names.items()},
        "gate-up": {gate: model[up], up: model[gate]},
        "transposed": {out: np.ascontiguousarray(model[out].T)},
        "norm-offset": {norm: (model[norm].astype("f4") - 1).astype(model[norm].dtype)},
    }
    spoilt = edited(LLAMA, tmp_path / "model", **faults[test])
    ended = examined(spoilt, against=open_checkpoint(LLAMA))
    assert "the reference does not decide" in ended[test].check.told
    assert ended[test].check.state == examined(spoilt)[test].check.state, "the statistics are asked instead"
    assert [name for name, each in ended.items() if name in ALONE and name != test and each.check.state != "ok"] == []


def test_a_reference_with_which_nothing_can_be_compared_is_refused(tmp_path: Path) -> None:
    reference = edited(LLAMA, tmp_path / "reference")
    (reference / "config.json").unlink()
    with pytest.raises(UsageError, match=r"--against .*reference: there is no config"):
        examined(LLAMA, against=open_checkpoint(reference))


def test_a_fine_tune_is_like_its_reference(tmp_path: Path) -> None:
    draws = np.random.default_rng(2)
    model = load_file(LLAMA / "model.safetensors")
    tuned = {
        name: (values.astype("f4") + 0.1 * values.astype("f4").std() * draws.normal(size=values.shape)).astype(
            values.dtype
        )
        for name, values in model.items()
    }
    assert codes(examined(edited(LLAMA, tmp_path / "model", **tuned), against=open_checkpoint(LLAMA))) == []


def test_a_serving_dtype_is_asked_for_by_name(tmp_path: Path) -> None:
    spoilt = written(LLAMA, tmp_path / "model", FAULTS["beyond float16"])
    configured(spoilt, torch_dtype="bfloat16")
    assert codes(examined(spoilt)) == []
    assert codes(examined(spoilt, dtype="float16")) == ["value.overflow"]
    assert set(codes(examined(spoilt, dtype="float8_e4m3fn"))) == {"value.overflow"}


def test_what_quantised_tensors_come_to_is_not_said_to_fit(tmp_path: Path) -> None:
    packed: dict[str, Any] = {"model.layers.0.mlp.down_proj.weight": None}
    packed |= {f"model.layers.0.mlp.down_proj.{leaf}": np.ones((6, 8), np.int32) for leaf in ("qweight", "qzeros")}
    folder = edited(LLAMA, tmp_path / "model", **packed)
    assert examined(folder, dtype="bfloat16")["overflow"].check.state == "ok"
    told = examined(folder, dtype="float16")["overflow"].check
    assert (told.findings, told.unchecked) == ((), "what 2 tensors of other types than floats come to is not computed")


@pytest.mark.parametrize("spoil", ["empty", "zero", "huge"])
def test_what_holds_nothing_to_judge_is_not_called_untrained(spoil: str, tmp_path: Path) -> None:
    """Zeros, truncated tables and numbers beyond any weight are found by the tests of values."""
    name = "lm_head.weight"
    values = load_file(LLAMA / "model.safetensors")[name]
    made = {"empty": values[:0], "zero": np.zeros_like(values), "huge": values.astype("f4") * np.float32(1e37)}
    assert codes(examined(edited(LLAMA, tmp_path / "model", **{name: made[spoil]}))) == []
