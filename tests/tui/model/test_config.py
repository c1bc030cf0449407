"""config.json beside the tensors: each field is there once, what reads it is what decides, conflicts are crossed."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures import small_checkpoint
from mappings.bind import Binding
from mappings.findings import Finding
from mappings.registry import choose
from mappings.sizes import ConfigError
from tests.corpus import materialise
from tests.mappings.small import CONFIGS
from tests.tracer.doctor.told import write_json, write_safetensors
from tests.tui import subjects
from tests.tui.model.material import trace
from tests.tui.model.pages import WIDTHS, examined, prose, small, stages, text
from tracer.diagnose.cause import Cause
from tracer.infer.canonical import text_config
from tracer.report.html import config as report
from tracer.session import Request, run
from tui.model.config.fields import dotted, flat, meant
from tui.model.config.page import config
from tui.model.config.uses import uses
from tui.model.line import Target, plain, target
from tui.model.opening import open_subject
from tui.model.overview.inference import study
from tui.model.overview.values import Values
from tui.model.subject import Subject

GGUF = "gguf-llama-2-13b-chat-q8_0"
TRAINED = Path(__file__).parents[2] / "data" / "trained"


def opened(where: Path | None, tp: int = 1) -> Subject:
    return open_subject(str(where) if where else None, tp, lambda seen: None)


def rows(subject: Subject, width: int = 120) -> dict[str, str]:
    """Field -> its line."""
    lines = text(config(subject, study(subject)), width).splitlines()
    return {
        line[2:].split()[0]: line for line in lines if line[:2] in ("  ", "✓ ", "✗ ", "≈ ", "· ") and line[2:3] != " "
    }


def test_every_field_has_a_line_that_leads_to_it(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(rope_scaling={"type": "linear", "deep": {"factor": 2}}))
    fields = [name for name, _ in flat(subject.config)]
    assert "rope_scaling.deep.factor" in fields
    for width in WIDTHS:
        led = [target(line) for line in config(subject, study(subject)).lines(width)]
        assert [each.name for each in led if each and each.kind == "field"][: len(fields)] == fields


def test_what_agrees_is_ticked_and_what_no_tensor_tells_is_not(tmp_path: Path) -> None:
    found = rows(small(tmp_path, lambda config: config.update(use_cache=True)))
    assert found["hidden_size"].startswith("✓") and found["vocab_size"].startswith("✓")
    assert found["use_cache"].startswith("  ") and found["use_cache"].endswith("no row reads it")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_heading_counts_the_lines_with_each_sign(width: int, tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(use_cache=True, intermediate_size=24))
    signs = Counter(line[0] for line in rows(subject).values())
    heading, _, _ = prose(config(subject, study(subject)), width).partition(" not compared")
    fields = dict(flat(subject.config or {}))
    assert heading.startswith(f"config.json {len(fields)} fields: ✓ {signs['✓']} as the tensors say, ✗ 1 against")
    assert sum(int(part) for part in re.findall(r"[ ](\d+) (?!fields)", f"{heading} ")) == len(fields)


def test_a_conflict_is_crossed_and_explained_with_its_fix(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update(intermediate_size=24))
    page = config(subject, study(subject))
    assert rows(subject)["intermediate_size"].startswith("✗") and "against the tensors: intermediate_size" in text(page)
    assert "the tensors 16" in prose(page) and "fix: set intermediate_size to 16" in prose(page)
    assert Target("finding", "0") in [target(line) for line in page.lines(80)]


LLAVA: dict[str, Any] = {
    "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
    "text_config": {**subjects.CONFIG, "model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    "vision_config": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 3},
}  # fmt: skip


def seeing(folder: Path, **fields: Any) -> Subject:
    """The small Llama with a tower beside it, and other fields of its own."""
    folder.mkdir()
    tensors = {f"language_model.{name}": size for name, size in subjects.sizes().items()}
    for layer in range(2):
        tensors[f"vision_tower.layers.{layer}.mlp.fc1.weight"] = ("BF16", (128, 64))
    write_json(folder / "config.json", {**LLAVA, "text_config": {**LLAVA["text_config"], **fields}})
    write_safetensors(folder / "model.safetensors", tensors)
    return opened(folder)


def test_a_conflict_of_the_text_model_is_not_one_of_the_tower_beside_it(tmp_path: Path) -> None:
    well, wrong = seeing(tmp_path / "well"), seeing(tmp_path / "wrong", intermediate_size=256)
    assert not any(line.startswith("✗") for line in rows(well).values()) and "✗" not in rows(wrong)["architectures"]
    crossed = [field for field, line in rows(wrong).items() if line.startswith("✗") and "." in field]
    assert crossed == ["text_config.intermediate_size"]
    assert [value.text for value in [Values(wrong, study(wrong)).get("ffn")] if value] == ["✗128"]


def test_a_field_that_only_the_tower_has_is_missing_all_the_same(tmp_path: Path) -> None:
    subject = seeing(tmp_path / "m")
    assert rows(subject)["vision_config.head_dim"].startswith("  ") and rows(subject)["head_dim"].startswith("≈")


@pytest.mark.parametrize(("named", "field"), [
    ("hidden_size", "text_config.hidden_size"), ("text_config.hidden_size", "text_config.hidden_size"),
    ("vision_config.hidden_size", "vision_config.hidden_size"), ("architectures", "architectures"),
    ("head_dim", "head_dim"), ("text_config.head_dim", "head_dim"), ("vision_config.depth", "vision_config.depth"),
    ("bits", "quantization_config.bits"), ("rope_theta", "rope_parameters.rope_theta"), ("nothing", "nothing"),
])  # fmt: skip
def test_a_finding_means_the_field_of_the_text_model(named: str, field: str) -> None:
    more = {"quantization_config": {"bits": 4}, "rope_parameters": {"rope_theta": 1e4}}
    assert meant({**LLAVA, **more}, named) == field


def test_a_field_that_the_file_lacks_is_inferred_and_leads_to_the_tensor_that_tells_it(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: (config.pop("vocab_size"), config.update(architectures=["X"])))
    page = config(subject, study(subject))
    assert rows(subject)["vocab_size"].startswith("≈") and "not in config.json" in text(page)
    assert Target("tensor", "model.embed_tokens.weight") in [target(line) for line in page.lines(120)]


def test_before_the_tensors_were_looked_at_nothing_is_ticked(tmp_path: Path) -> None:
    headers, *_ = stages(tmp_path)
    shown = text(config(headers))
    assert "… what the tensors say was not looked at yet" in shown and "… not looked at yet" in shown
    assert not any(line.startswith("✓") for line in shown.splitlines())


def made_up(folder: Path) -> list[Subject]:
    """The embedded default, a config without files, and traces of it: observed, and of its plan alone."""
    (folder / "config.json").write_text(json.dumps(small_checkpoint.CONFIG))
    traces = [trace(folder, 2, folder / f"{only}.db", plan_only=only) for only in (False, True)]
    return [opened(where, 2) for where in (None, folder, *traces)]


def test_a_config_is_not_confirmed_by_tensors_that_were_made_from_it(tmp_path: Path) -> None:
    for subject in made_up(tmp_path):
        assert subject.tensors and "hidden_size" in rows(subject)
        shown = prose(config(subject, study(subject)))
        assert "✓" not in shown and "≈" not in shown and "the tensors say" not in shown, subject.title
        assert "not compared with tensors: " in shown and "come from the config itself" in shown


def test_names_of_an_index_tell_what_names_can_and_nothing_of_shapes(tmp_path: Path) -> None:
    small(tmp_path)
    for file in (small_checkpoint.FIRST, small_checkpoint.SECOND):
        (tmp_path / file).unlink()
    found = rows(opened(tmp_path))
    assert found["num_hidden_layers"].startswith("✓") and found["hidden_size"].startswith("  ")


def test_of_the_keys_of_a_gguf_file_those_are_ticked_that_tensors_tell_too(tmp_path: Path) -> None:
    """Its config is made of its keys and tensors: whatever it says, it says of itself."""
    subject = opened(materialise(GGUF, tmp_path / "m"))
    inferred = study(subject).found
    assert inferred is not None
    ticked = {field for field, line in rows(subject).items() if line.startswith("✓")}
    assert ticked == {"hidden_size", "num_hidden_layers", "intermediate_size"}
    assert ticked == {field.name for field in inferred.fields if field.witness}
    assert {"rms_norm_eps", "vocab_size", "num_attention_heads"} <= {field.name for field in inferred.fields} - ticked


def test_what_stands_in_a_gguf_file_is_not_said_to_be_in_a_config_json(tmp_path: Path) -> None:
    subject = opened(materialise(GGUF, tmp_path))
    for each in (subject, replace(subject, prepared=None)):
        assert text(config(each, study(each))).startswith("the GGUF file  ")
        assert "config.json" not in text(config(each, study(each)))


def test_of_a_trace_of_a_gguf_file_no_other_fields_are_ticked_than_of_the_file(tmp_path: Path) -> None:
    file, saved = materialise(GGUF, tmp_path / "m"), tmp_path / "t.db"
    run(Request(str(file), plan_only=True), save=saved).store.close()
    of_file, of_trace = (rows(opened(each)) for each in (file, saved))
    assert of_file.keys() <= of_trace.keys()
    assert [field for field, line in of_trace.items() if line.startswith("✓")] == [
        field for field, line in of_file.items() if line.startswith("✓")
    ]


@pytest.mark.parametrize("name", ["llama-3", "qwen3-3", GGUF, "in conflict"])
def test_the_page_of_the_report_says_the_same_of_every_field(name: str, tmp_path: Path) -> None:
    wrong = name == "in conflict"
    if wrong:
        subject = small(tmp_path, lambda config: config.update(intermediate_size=24))
    else:
        subject = opened(materialise(name, tmp_path / "m") if name == GGUF else TRAINED / name)
    assert subject.prepared is not None
    told = {each.name: each.state for each in report.config(subject.prepared, 1, ()).settings if each.said is not None}
    here = {field: line[0] for field, line in rows(subject, 200).items() if field in told}
    assert len(here) > 8 and {"agrees", "not compared"} <= {told[field] for field in here}
    assert {field for field in here if told[field] == "agrees"} == {field for field in here if here[field] == "✓"}
    assert {field for field in here if told[field] == "conflict"} == {field for field in here if here[field] == "✗"}
    assert ("conflict" in told.values()) == wrong


def test_without_a_config_the_page_has_what_the_tensors_say(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "config.json").unlink()
    subject = open_subject(str(tmp_path), 1, lambda seen: None)
    shown = text(config(subject, study(subject)))
    assert "there is no config.json" in shown and "≈ hidden_size" in shown


def test_a_field_that_only_a_finding_names_is_named_and_cannot_steer_the_terminal() -> None:
    wrong = Finding("config.conflict", "error", "a", "it is 3", {"field": "odd\x1b[31m_size", "value": 3})
    subject = examined([Cause(wrong)])
    for width in WIDTHS:
        assert "odd\\x1b[31m_size" in rows(subject, width)


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    subject = small(tmp_path, lambda config: config.update({"a\x1b[1m": "\x1b[2J\n", "n" * 300: "é" * 300}))
    for width in (20, *WIDTHS):
        assert text(config(subject, study(subject)), width)


# --- what reads a field ---


def bound(said: dict[str, Any], arch: str) -> Binding | None:
    try:
        return choose(said | {"architectures": [arch.partition("/")[0]]}, None, 1, "BF16").binding
    except ConfigError:
        return None


@pytest.mark.parametrize("name", ["llama", "qwen3", "mixtral", "gpt2", "bloom", "falcon", "deepseek v3", "mamba"])
def test_fields_that_rows_are_said_to_read_are_those_that_change_them(name: str) -> None:
    """By trying: with a field doubled, no other rows have another shape or number, and some of these have."""
    said = CONFIGS[name]
    binding = bound(dict(said.config), said.arch)
    assert binding is not None
    before, told = laid(binding), uses(binding)
    tried = [field for field in said.config if field in told and told[field].rows and not told[field].also]
    assert len(tried) >= 3
    for field in tried:
        other = bound({**said.config, field: said.config[field] * 2}, said.arch)
        after = laid(other) if other else {}
        changed = {row for row in after if after[row] != before.get(row)}
        assert changed <= set(told[field].rows), field
        assert changed or other is None, field


def laid(binding: Binding) -> dict[str, tuple[Any, int]]:
    """Shape and number of every row's tensors."""
    return {row.id: (row.shape, row.count()) for row in binding.rows}


def test_nested_fields_are_found_by_their_own_name_as_inference_reads_them() -> None:
    said = {"hidden_size": 1, "text_config": {"hidden_size": 2}, "vision_config": {"depth": 3}}
    assert dotted(said, "hidden_size") == "text_config.hidden_size"
    assert text_config(said)["hidden_size"] == 2
    assert dotted(said, "vision_config.depth") == "vision_config.depth" and dotted(said, "depth") is None
    assert dict(flat(said)) == {"hidden_size": 1, "text_config.hidden_size": 2, "vision_config.depth": 3}


def test_what_shapes_only_fit_is_not_said_to_be_confirmed_by_them() -> None:
    """Of query heads and their dimension a matrix shows the product: 4 of 24 and 8 of 12 are the same shapes."""
    trained = Path(__file__).parents[2] / "data" / "trained" / "llama-3"
    subject = open_subject(str(trained), 1, lambda seen: None)
    shown = {plain(each).split()[1]: plain(each)[0] for each in config(subject, study(subject)).lines(120) if each}
    assert (shown["head_dim"], shown["num_attention_heads"], shown["hidden_size"]) == ("≈", "≈", "✓")
