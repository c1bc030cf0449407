"""Which rows describe a checkpoint: by the name in config.json, and among dialects by the names in the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings import registry
from mappings.architectures import BUILT_IN
from mappings.claims import Claims
from mappings.findings import Finding
from mappings.params import norm
from mappings.registry import choose, declared, installed
from mappings.rows import Architecture, Row
from mappings.sizes import ConfigError
from mappings.synth import synthesise
from tests.engine import packages
from tests.mappings.small import CONFIGS, bind


def refusal(config: dict[str, Any]) -> Finding:
    with pytest.raises(ConfigError) as caught:
        choose(config, None, 1, "BF16")
    assert caught.value.finding.severity == "error"
    return caught.value.finding


def names_of(name: str, prefix: str = "") -> list[str]:
    return [prefix + tensor.name for tensor in synthesise(bind(name))]


# --- by name ---


@pytest.mark.parametrize("name", geometries())
def test_a_geometry_is_described_by_the_rows_of_its_name(name: str) -> None:
    choice = choose(geometry(name), None, 2, "F16")
    assert choice.binding.arch.name == geometry(name)["architectures"][0]
    assert choice.binding.arch.dialect is None
    assert (choice.binding.tp, choice.binding.leaves[0].dtype) == (2, "F16")


@pytest.mark.parametrize("value", [None, "LlamaForCausalLM", [], {}, [None], [3], [["LlamaForCausalLM"]], 7], ids=repr)
def test_an_architectures_field_that_is_no_list_of_names_is_refused(value: object) -> None:
    finding = refusal({**CONFIGS["llama"].config, "architectures": value})
    assert finding.code == ("config.missing-field" if value is None else "config.invalid")
    assert finding.subject == "architectures"
    assert repr(value) in finding.message


def test_a_config_without_the_field_is_refused_alike() -> None:
    assert (refusal({}).code, refusal({}).subject) == ("config.missing-field", "architectures")


def test_the_first_of_several_names_counts() -> None:
    assert declared({"architectures": ["A", "B"]}) == "A"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LLaMAForCausalLM", "LlamaForCausalLM"),
        ("Qwen4ForCausalLM", "Qwen3ForCausalLM"),
        ("DeepseekV32ForCausalLM", "DeepseekV3ForCausalLM"),
        ("GPT2Model", "GPT2LMHeadModel"),
        ("qwen3moe", "Qwen3ForCausalLM"),
        ("deepseek2", "DeepseekV2ForCausalLM"),
    ],
)
def test_an_unknown_architecture_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    finding = refusal({"architectures": [name]})
    assert (finding.code, finding.subject) == ("arch.unknown", name)
    assert nearest in finding.evidence["nearest"]
    assert nearest in finding.message
    assert set(finding.evidence["known"]) >= {arch.name for arch in BUILT_IN}
    assert finding.fix is not None
    assert "--mapping" in finding.fix


def test_a_name_that_resembles_none_has_no_nearest() -> None:
    finding = refusal({"architectures": ["~"]})
    assert (finding.evidence["nearest"], "nearest" in finding.message) == ([], False)


# --- by what the config says ---


@pytest.mark.parametrize("value", [None, False])
def test_rows_that_describe_another_kind_of_the_architecture_are_refused(value: bool | None) -> None:
    """Falcon-7B: one KV head, interleaved otherwise."""
    finding = refusal({**CONFIGS["falcon"].config, "new_decoder_architecture": value})
    assert (finding.code, finding.subject) == ("arch.unknown", "FalconForCausalLM")
    assert f"new_decoder_architecture = True (found {value!r})" in finding.message


# --- by the names in the header ---

STACKED = CONFIGS["mixtral stacked"]


@pytest.mark.parametrize(
    ("stored", "chosen", "other"),
    [
        ("mixtral", "MixtralForCausalLM", "MixtralForCausalLM/stacked"),
        ("mixtral stacked", "MixtralForCausalLM/stacked", "MixtralForCausalLM"),
        ("mixtral in gguf", "MixtralForCausalLM/gguf", "MixtralForCausalLM/gguf-per-expert"),
        ("mixtral in gguf by expert", "MixtralForCausalLM/gguf-per-expert", "MixtralForCausalLM/gguf"),
    ],
)
def test_the_dialect_that_claims_most_names_wins_and_the_other_is_told_why(
    stored: str, chosen: str, other: str
) -> None:
    names = names_of(stored)
    choice = choose(STACKED.config, names, 1, "BF16")
    assert choice.binding.arch.id == chosen
    assert list(choice.lost) == [other]
    rival = next(name for name, small in CONFIGS.items() if small.arch == other)
    shared = {n for n in names if n in set(names_of(rival))}
    templates, claimed = (len({_template(n) for n in found}) for found in (names, shared))
    assert choice.lost[other] == f"claims {claimed} of {templates} name templates"


def _template(name: str) -> str:
    return ".".join("#" if segment.isdigit() else segment for segment in name.split("."))


def test_without_a_header_the_spelling_of_the_hub_is_taken() -> None:
    choice = choose(STACKED.config, None, 1, "BF16")
    assert choice.binding.arch.id == "MixtralForCausalLM"
    assert choice.lost == {}


@pytest.mark.parametrize("name", ["phi3", "llama", "llama in gguf"])
def test_without_a_rival_that_claims_anything_there_are_no_losers(name: str) -> None:
    assert choose(CONFIGS[name].config, names_of(name), 1, "BF16").lost == {}


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("name", ["gpt2", "bloom", "falcon"])
def test_a_known_wrapper_changes_nothing(name: str, prefix: str) -> None:
    binding = choose(CONFIGS[name].config, names_of(name, prefix), 1, "BF16").binding
    claims = Claims(binding).claim(names_of(name, prefix))
    assert {claim.disposition for claim in claims} == {"loaded"}


# --- beyond the built-in ones ---

MINE = Architecture("MineForCausalLM", {"hidden": "hidden_size"}, (Row("norm", norm("norm")),))
LLAMA_AGAIN = Architecture("LlamaForCausalLM", {"hidden": "hidden_size"}, (Row("norm", norm("norm")),))


class EntryPoint:
    """What importlib.metadata gives for one entry."""

    def __init__(self, value: object) -> None:
        self.value = value

    def load(self) -> object:
        return self.value


@pytest.mark.parametrize("value", [MINE, [MINE], (MINE,)])
def test_another_package_may_bring_architectures(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(value)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert installed() == [*BUILT_IN, MINE]
    assert installed() == [*BUILT_IN, MINE]
    assert asked == ["trace_load.architectures"]
    config = {"architectures": ["MineForCausalLM"], "hidden_size": 3, "num_hidden_layers": 1}
    assert choose(config, None, 1, "BF16").binding.arch is MINE


def test_packages_are_looked_for_again_where_the_path_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed() == list(BUILT_IN)
    monkeypatch.syspath_prepend(tmp_path)
    packages.install(tmp_path, packages.BIGRAM)
    assert [arch.name for arch in installed()] == [*(arch.name for arch in BUILT_IN), "Bigram"]
    monkeypatch.undo()
    assert installed() == list(BUILT_IN)


def test_rows_given_by_hand_come_before_all_others_of_their_name() -> None:
    config = dict(CONFIGS["llama"].config)
    assert choose(config, names_of("llama"), 1, "BF16", [LLAMA_AGAIN]).binding.arch is LLAMA_AGAIN
    assert choose(config, names_of("llama"), 1, "BF16", [MINE]).binding.arch.entries != LLAMA_AGAIN.entries
