"""`--verify` and `--reference transformers`: sound checkpoints pass, and what is wrong is named where it begins."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.dtypes import TORCH
from engine.processes.launch import launch
from mappings.findings import Finding
from tests import sabotage
from tests.engine.checkpoints import FAMILIES, VOCABULARY, build, config_of
from tests.mappings import small
from tests.several import PLAIN, as_ranks, finish
from tests.tracer.checkpoint.gguf.conversion import convert
from tests.verifying import Case, DoublesOnRankOne, LosesAParameter, Tensors, altered, by_case, judged, one_pass, passes
from tracer import agreement
from tracer.cli import trace_load
from tracer.errors import InputError, UsageError
from tracer.execute.verify.landmarks import Landmark, Measured
from tracer.execute.verify.passed import Departure, Nonfinite, Passed
from tracer.execute.verify.prompt import TOKENS, prompt
from tracer.execute.verify.suspects import suspects
from tracer.prepare import Request, prepare
from tracer.session import run
from tracer.store import Store
from tracer.verified import Verified

Checkpoint = Callable[[str], Path]
HEADS_ALIKE = "mistral-no-window"
"""As many KV heads as heads, so that q, k and v have one shape."""
HALVES = ("llama", "mixtral", "gpt2", "bloom")
"""Families that are also computed in bfloat16."""
LAYER = "model.layers.1.self_attn."


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take a hundred times as long as these matrices."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def made(family: str) -> Path:
        build(family, root / family)
        return root / family

    return made


def only(verified: tuple[Verified, ...]) -> Finding:
    """The one thing that is wrong."""
    (finding,) = [finding for check in verified for finding in check.findings]
    assert finding.severity == "error"
    return finding


def alone(case: Case, tmp_path: Path, sound: Path | None = None) -> tuple[Verified, ...]:
    """The verdicts on one rank, in this process."""
    return judged(case, [one_pass(case, tmp_path / "states")], tmp_path / "states", sound)


def considered(name: str) -> bool:
    """Of the three layers one is enough."""
    return ".0." not in name and ".2." not in name


# --- sound checkpoints ---


@pytest.mark.parametrize("family", ["llama-tied", "qwen3", "mixtral", "gpt2", "bloom"])
def test_one_rank_agrees_with_transformers(
    family: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    verify, reference = alone(Case(checkpoint(family)), tmp_path)
    assert verify.line().startswith("verify ok: 1 rank, ")
    assert verify.line().endswith(" tokens, logits finite")
    assert (reference.state, reference.told.endswith("3 of 3 layers agree")) == ("ok", True), reference.line()


class Two:
    """Many loads in one launch of two ranks, as starting processes is what takes long."""

    def __init__(self, cases: Mapping[str, Case], states: Path) -> None:
        self._cases = cases
        self._states = states
        self._results = by_case(launch(2, passes, cases, states))

    def verdicts(self, name: str) -> tuple[Verified, ...]:
        return judged(self._cases[name], self._results[name], self._states / name)


def whole(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    """Families, and parameters of theirs that every rank should have whole; of the layers, those of the second."""
    for family in ("llama-biases", "mixtral", "gpt2", "bloom"):
        for name, leaf in prepare(Request(str(checkpoint(family)), 2)).plan.params():
            if considered(name) and not any(part.cut for part in leaf.parts):
                yield family, name


@pytest.fixture(scope="module")
def two(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Two:
    root = tmp_path_factory.mktemp("two")
    alike, narrow = checkpoint(HEADS_ALIKE), {"dtype": "bfloat16"}
    cases = {family: Case(checkpoint(family)) for family in FAMILIES}
    cases |= {f"{family} in bfloat16": Case(checkpoint(family), options=narrow) for family in HALVES}
    for loader in SABOTAGE:
        cases[loader.__name__] = Case(alike, loader)
        cases[f"{loader.__name__} in bfloat16"] = Case(alike, loader, narrow)
    cases |= {name: Case(checkpoint(family), partial(DoublesOnRankOne, name)) for family, name in whole(checkpoint)}
    cases["nan"] = Case(altered(checkpoint("llama"), root / "nan", poisoned(f"{LAYER}k_proj.weight", row=12)))
    cases["overflow"] = Case(altered(checkpoint("llama"), root / "overflow", enlarged), options={"dtype": "float16"})
    (root / "states").mkdir()
    return Two(cases, root / "states")


def test_two_ranks_of_every_family_agree_with_each_other_and_with_transformers(two: Two) -> None:
    for family in FAMILIES:
        verify, reference = two.verdicts(family)
        assert verify.line().endswith(" tokens, logits finite and equal")
        assert (reference.state, "3 of 3 layers agree" in reference.told) == ("ok", True), reference.line()


@pytest.mark.parametrize("family", HALVES)
def test_half_precision_is_measured_by_what_rounding_does_to_transformers(family: str, two: Two) -> None:
    verify, reference = two.verdicts(f"{family} in bfloat16")
    assert verify.state == "ok"
    assert (reference.state, "bfloat16" in reference.told) == ("ok", True), reference.line()
    assert "3 of 3 layers agree" in reference.told


# --- what departs from the reference ---


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


def turned(name: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: tensors[name].flip(0)})


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
    assert "the input of model.layers.1.self_attn.o_proj differs by " in finding.message
    assert list(finding.evidence["parameters"]) == [f"{LAYER}qkv_proj.weight"]
    assert finding.evidence["distances"]["the output of layer 0"] < 1e-5


def test_a_square_matrix_that_is_transposed_is_named_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """GPT-2 stores (inputs, outputs), and this shape cannot tell."""
    name, sound = "transformer.h.2.attn.c_proj.weight", checkpoint("gpt2")
    folder = altered(sound, tmp_path / "model", lambda tensors: tensors.update({name: tensors[name].T}))
    finding = only(alone(Case(folder), tmp_path, sound))
    assert finding.subject == "transformer.h.2"
    assert set(finding.evidence["parameters"]) == {name, name.replace("weight", "bias")}


SABOTAGE: dict[type, str] = {
    sabotage.ExchangesQAndK: "qkv_proj", sabotage.OffByOneHead: "qkv_proj", sabotage.EveryRankIsRankZero: "o_proj",
    sabotage.TransposesTheSource: "o_proj", sabotage.OverwritesWithJunk: "o_proj",
}  # fmt: skip
"""Loaders of the second layer's attention, and what each spoils."""


@pytest.mark.parametrize("precision", ["", " in bfloat16"])
@pytest.mark.parametrize(("loader", "spoiled"), SABOTAGE.items())
def test_a_loader_that_misplaces_is_named_by_layer_and_parameter(
    loader: type, spoiled: str, precision: str, two: Two
) -> None:  # fmt: skip
    verify, reference = two.verdicts(f"{loader.__name__}{precision}")
    assert verify.state == "ok", "every rank has the same garbage"
    assert reference.state == "failed"
    finding = only((reference,))
    assert (finding.evidence["layer"], finding.subject) == (1, "model.layers.1")
    assert list(finding.evidence["parameters"]) == [f"{LAYER}{spoiled}.weight"]


def test_rows_that_are_wrong_for_all_layers_are_named_at_the_first(checkpoint: Checkpoint, tmp_path: Path) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text('architecture = "MistralForCausalLM"\n' + "".join(
        f'[[remove]]\nname = "model.layers.{{layer}}.self_attn.{own}_proj"\n[[row]]\n'
        f'name = "model.layers.{{layer}}.self_attn.{own}_proj"\n'
        f'param = "model.layers.{{layer}}.self_attn.qkv_proj"\nparts = ["{other}"]\n'
        for own, other in (("q", "k"), ("k", "q"))
    ))  # fmt: skip
    finding = only(alone(Case(checkpoint(HEADS_ALIKE), options={"mapping": str(rows)}), tmp_path))
    assert (finding.evidence["layer"], finding.subject) == (0, "model.layers.0")
    assert list(finding.evidence["parameters"]) == ["model.layers.0.self_attn.qkv_proj.weight"]


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


def split(source: Path, folder: Path) -> None:
    """A file for every tensor, in a folder below."""
    (folder / "parts").mkdir()
    tensors = load_file(source / "model.safetensors")
    files = {name: f"parts/{number}.safetensors" for number, name in enumerate(tensors)}
    for name, file in files.items():
        save_file({name: tensors[name]}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


# --- what is not finite ---


def poisoned(name: str, row: int = 3) -> Callable[[Tensors], object]:
    def change(tensors: Tensors) -> None:
        tensors[name][row, 5] = float("nan")

    return change


def enlarged(tensors: Tensors) -> None:
    """Weights that float16 holds, and products that it does not."""
    tensors["model.layers.1.mlp.gate_proj.weight"] *= 3e4
    tensors["model.layers.1.input_layernorm.weight"] *= 10


def test_a_tensor_of_nan_is_named_with_its_module_and_the_ranks_that_hold_it(two: Two) -> None:
    """The second KV head is rank 1's; after the next sum all ranks have it."""
    verify, reference = two.verdicts("nan")
    finding = only((verify,))
    assert (finding.code, finding.subject, finding.rank) == ("value.nonfinite", f"{LAYER}qkv_proj", 1)
    assert finding.evidence["ranks"] == [1]
    assert finding.evidence["tensors"] == {f"{LAYER}k_proj.weight": {1: 1}}
    assert list(finding.evidence["parameters"]) == [f"{LAYER}qkv_proj.weight"]
    assert f"what goes in is finite, {LAYER}k_proj.weight (1 element) is not" in finding.message
    assert reference.state == "not-checked"


def test_values_that_overflow_are_no_fault_of_a_tensor(two: Two) -> None:
    finding = only(two.verdicts("overflow"))
    assert (finding.code, finding.subject) == ("value.nonfinite", "model.layers.1.mlp.gate_up_proj")
    assert finding.evidence["tensors"] == {}
    assert "the values overflow" in finding.message
    assert finding.fix is not None and "--dtype" in finding.fix


# --- ranks that differ ---


def test_any_parameter_that_every_rank_has_whole_is_named_where_one_has_another(
    checkpoint: Checkpoint, two: Two
) -> None:  # fmt: skip
    """A sum over ranks hides most of them again."""
    told = {}
    for _, name in whole(checkpoint):
        verify, reference = two.verdicts(name)
        assert reference.state == "not-checked"
        finding = only((verify,))
        told[name] = (finding.code, finding.rank, list(finding.evidence["parameters"]))
    assert told == {name: ("verify.rank-differs", 1, [name]) for name in told}
    assert len(told) > 20


def test_a_rank_that_cannot_compute_fails_the_verification_and_not_the_load(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    request = Request(str(checkpoint("llama")), 2, device="cpu", reference="transformers")
    result = run(request, tmp_path / "t.db", LosesAParameter)
    verify, reference = result.verified
    finding = only((verify,))
    assert (finding.code, finding.rank) == ("verify.failed", 1)
    assert "rank 1: the forward pass failed: RuntimeError: mat1 and mat2" in finding.message
    assert reference.line() == "reference: not checked (the forward pass failed)"
    assert result.failed
    assert result.failure is None
    assert result.audit is not None and result.audit.ok
    assert Store.open(tmp_path / "t.db").end is not None


# --- the command ---


def checks(path: Path) -> dict[str, tuple[str, str]]:
    found = [record for record in records(path) if record["kind"] == "check"]
    return {record["name"]: (record["state"], record["reason"]) for record in found}


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_command_prints_and_records_both_checks(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    path = tmp_path / "t.jsonl"
    command = [str(checkpoint("mixtral")), "--tp", "2", "--device", "cpu", "--reference", "transformers"]
    assert trace_load([*command, "--json", str(path)]) == 0
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith(("verify", "reference"))]
    assert lines[0] == "verify ok: 2 ranks, 32 tokens, logits finite and equal"
    assert lines[1].startswith("reference ok: MixtralForCausalLM of transformers ")
    assert printed.err == ""
    found = checks(path)
    assert found["verify"] == ("ok", "2 ranks, 32 tokens, logits finite and equal")
    assert found["reference"] == ("ok", lines[1].removeprefix("reference ok: "))


def test_what_is_wrong_is_an_error_of_the_command_and_in_the_trace(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    folder = altered(checkpoint("llama"), tmp_path / "model", turned("model.norm.weight"))
    reference = f"transformers={checkpoint('llama')}"
    command = [str(folder), "--device", "cpu", "--reference", reference, "--param", "model.norm*", "--save"]
    assert trace_load([*command, str(tmp_path / "t.db")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "verify ok: 1 rank, 32 tokens, logits finite" in lines
    assert "ERROR  verify.reference-differs  the output of the final norm departs from " in "\n".join(lines)
    store = Store.open(tmp_path / "t.db")
    assert {check.name: check.state for check in store.checks()}["reference"] == "failed"
    (finding,) = [finding for finding in store.findings() if finding.severity == "error"]
    assert (finding.subject, list(finding.evidence["parameters"])) == ("model.norm", ["model.norm.weight"])


def test_under_torchrun_the_other_ranks_tell_rank_0_what_they_saw(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = altered(checkpoint("llama"), tmp_path / "model", poisoned(f"{LAYER}v_proj.weight", row=12))
    command: list[str | Path] = [*PLAIN, "load", folder, "--tp", "2", "--device", "cpu", "--reference", "transformers"]
    first, second = map(finish, as_ranks([*command, "--json", tmp_path / "t.jsonl"], 2))
    assert (first.status, second.status) == (1, 1), first.err + second.err
    assert "verify failed: 2 ranks, 32 tokens, values that are not finite\n" in first.out
    (finding,) = [record for record in records(tmp_path / "t.jsonl") if record["kind"] == "finding"]
    assert (finding["code"], finding["rank"]) == ("value.nonfinite", 1)
    assert finding["evidence"]["tensors"] == {f"{LAYER}v_proj.weight": {"1": 1}}


def test_ranks_that_were_not_all_told_to_verify_refuse(checkpoint: Checkpoint) -> None:
    plain, verifies = (prepare(Request(str(checkpoint("llama")), 2, verify=verify)) for verify in (False, True))
    with pytest.raises(InputError, match="--verify: expected given, found not given"):
        agreement.check(plain, agreement.terms(verifies))


def test_what_a_rank_says_survives_its_journey_and_nothing_else_does() -> None:
    passed = Passed(
        [1, 2], "torch.float32", Nonfinite(3, "m", "input", "", 1, 2, {"t": 1}),
        Departure(4, "m", "output", 0.5, 1.0, 0.25, ["p"]),
    )  # fmt: skip
    assert Passed.of(1, json.loads(json.dumps(passed.plain()))) == passed
    for other in (None, {}, {"ids": 3}, {**passed.plain(), "nonfinite": {"place": 1}}):
        with pytest.raises(InputError, match="rank 1: expected what it says of its forward pass"):
            Passed.of(1, other)


# --- what is not checked ---


def verdict_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = trace_load(argv)
    return status, [line for line in capsys.readouterr().out.splitlines() if line.startswith(("verify", "reference"))]


@pytest.mark.parametrize(("options", "reason"), [
    (["--plan"], "--plan"),
    (["--tp", "2", "--load-format", "dummy"], "on the meta device there are no values"),
    (["--tp", "2", "--rank", "1", "--device", "cpu"], "of 2 ranks only rank 1 was loaded"),
])  # fmt: skip
def test_what_cannot_be_computed_with_is_not_checked(
    options: list[str], reason: str, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "t.jsonl"
    command = [str(checkpoint("llama")), *options, "--reference", "transformers", "--json", str(path)]
    status, lines = verdict_lines(command, capsys)
    assert status == 0
    assert [line.partition(" (")[0] for line in lines] == ["verify: not checked", "reference: not checked"]
    assert all(reason in line for line in lines)
    assert {checks(path)[name][0] for name in ("verify", "reference")} == {"not-checked"}


def test_without_the_options_nothing_is_said_and_nothing_recorded(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "t.jsonl"
    assert verdict_lines([str(checkpoint("llama")), "--load-format", "dummy", "--json", str(path)], capsys) == (0, [])
    assert not {"verify", "reference"} & set(checks(path))


@pytest.mark.parametrize(("config", "reason"), [
    (small.CONFIGS["falcon"].config, "FalconForCausalLM has rows and no modules"),
    (
        config_of("llama") | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 16]}},
        "no linear method computes with weights stored as fp8",
    ),
], ids=["falcon", "fp8"])  # fmt: skip
def test_a_model_without_a_forward_pass_is_not_checked(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Traced through a skeleton, or stored as nothing here multiplies with."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = {
        info.name: torch.ones(info.shape).to(TORCH[info.dtype])
        for info in prepare(Request(str(tmp_path), load_format="dummy", dtype="float32")).infos
    }  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors")
    found = alone(Case(tmp_path), tmp_path)
    assert [check.state for check in found] == ["not-checked"] * 2
    assert all(reason in check.told for check in found)


def test_a_reference_that_does_not_fit_into_memory_is_not_begun(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("engine.cache.memory.free_bytes", lambda device: 1 << 20)
    monkeypatch.setattr("tracer.execute.verify.reference._load", pytest.fail)
    verify, reference = alone(Case(checkpoint("llama")), tmp_path)
    assert verify.state == "ok"
    assert reference.line().endswith("for it in float32, 1.05 MB are free)")


def test_what_transformers_lacks_or_does_not_load_is_not_checked(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    folder, sound = checkpoint("llama"), checkpoint("llama-tied")
    incomplete = altered(folder, tmp_path / "incomplete", lambda tensors: tensors.pop("model.norm.weight"))
    assert "misses 1 tensors: model.norm.weight" in alone(Case(folder), tmp_path, incomplete)[1].line()
    assert "does not load them: " in alone(Case(folder), tmp_path, other_shape(sound, tmp_path / "other"))[1].line()
    assert "3 here, 2 there" in alone(Case(folder), tmp_path, fewer_layers(folder, tmp_path / "fewer"))[1].line()
    gguf = convert(folder, tmp_path / "model.gguf")
    assert "--reference transformers=DIR" in alone(Case(gguf), tmp_path)[1].line()
    monkeypatch.setattr("transformers.LlamaForCausalLM", None)
    assert alone(Case(folder), tmp_path)[1].line().endswith("has no LlamaForCausalLM)")


def with_config(source: Path, to: Path, **fields: Any) -> Path:
    folder = altered(source, to, lambda tensors: None)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | fields))
    return folder


def other_shape(source: Path, to: Path) -> Path:
    """Tensors that no class of Transformers takes for this config."""
    return with_config(source, to, vocab_size=VOCABULARY + 3)


def fewer_layers(source: Path, to: Path) -> Path:
    return with_config(source, to, num_hidden_layers=2)


@pytest.mark.parametrize(("argv", "said"), [
    (["--reference", "vllm"], "--reference vllm: expected transformers, or transformers=DIR"),
    (["--reference", "transformers="], "expected transformers, or transformers=DIR"),
    (["--reference", "transformers=org/name"], "no such file or folder: org/name"),
])  # fmt: skip
def test_a_reference_that_is_none_is_bad_usage(
    argv: list[str], said: str, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert trace_load([str(checkpoint("llama")), *argv]) == 2
    assert said in capsys.readouterr().err


def test_a_reference_without_weights_is_refused_before_the_load(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of("llama")))
    with pytest.raises(UsageError, match=f"no weights are in {tmp_path}"):
        run(Request(str(checkpoint("llama")), device="cpu", reference=f"transformers={tmp_path}"))


# --- suspects ---


def state(module: str, side: str, agrees: bool) -> Measured:
    spot = (module, side)
    return Measured(Landmark(f"the {side} of {module}", None, spot, spot), 0.0 if agrees else 1.0, 0.5)


def owners(*modules: str) -> dict[str, tuple[int, list[str]]]:
    return {module: (place, [f"{module}.weight"]) for place, module in enumerate(modules)}


def test_a_state_that_agrees_later_clears_nothing_that_it_was_not_computed_from() -> None:
    """Of two branches beside each other, as GPT-J and Falcon have them, the second one agrees."""
    seen = [
        state("attn.out", "input", False), state("attn.out", "output", False),
        state("mlp.down", "input", True), state("mlp.down", "output", True),
    ]  # fmt: skip
    found = suspects(owners("attn.qkv", "attn.out", "mlp.up", "mlp.down"), seen)
    assert found.params == ["attn.qkv.weight"]
    assert found.departing == seen[0]


def test_a_module_around_others_clears_all_of_them_and_accuses_none() -> None:
    inside = owners("attn.qkv", "attn.out", "mlp.gate", "mlp.experts")
    assert suspects(inside, [state("attn", "output", True)]).params == ["mlp.gate.weight", "mlp.experts.weight"]
    assert suspects(inside, [state("attn", "output", False)]).params == [f"{name}.weight" for name in inside]


# --- the prompt ---


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_the_prompt_lies_within_the_vocabulary_and_the_models_length(vocabulary: int, longest: int) -> None:
    ids = prompt(vocabulary, longest)
    assert len(ids) == min(TOKENS, longest)
    assert all(0 <= token < vocabulary for token in ids)


def test_the_prompt_is_always_the_same_and_asks_every_rank() -> None:
    assert prompt(1000, 8) == [236, 103, 396, 154, 66, 401, 917, 800]
    assert {token * 8 // 128256 for token in prompt(128256, 8192)} == set(range(8))
