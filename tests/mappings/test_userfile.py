"""Rows that a user adds in a TOML file: what they mean, and the one line that is said of every mistake."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.architectures import BUILT_IN
from mappings.bind import Binding
from mappings.findings import Finding
from mappings.names import collapse
from mappings.plan import plan
from mappings.proof import findings, prove
from mappings.registry import choose
from mappings.rows import Architecture, Row, Skip
from mappings.synth import Synthetic, synthesise
from mappings.userfile import MappingFileError, parse_mapping
from tests.mappings.small import CONFIGS

MINE = """
architecture = "MyForCausalLM"
like = "LlamaForCausalLM"

[axes]
rank = "lora_rank | ceil @dim / 2"

[[remove]]
name = "model.layers.{layer}.self_attn.q_proj"

[[param]]
name = "model.layers.{layer}.self_attn.gate"
parts = { down = "rank, hidden", up = "rank, hidden" }
bias = true

[[row]]
name = "model.layers.{layer}.self_attn.query"
param = "model.layers.{layer}.self_attn.qkv_proj"
parts = ["q"]

[[row]]
name = "model.layers.{layer}.self_attn.gates.0"
param = "model.layers.{layer}.self_attn.gate"
parts = ["down"]

[[row]]
name = "model.layers.{layer}.self_attn.gates.1"
param = "model.layers.{layer}.self_attn.gate"
parts = ["up"]
layout = "hidden, part"

[[row]]
name = "model.layers.{layer}.mlp.down_proj"
param = "model.layers.{layer}.mlp.down_proj"
layout = "ffn, hidden"

[[skip]]
name = "model.layers.{layer}.self_attn.mask"
why = "causal mask"

[[skip]]
name = "vision_tower.**"
why = "the language model alone is loaded"
"""

CONFIG: dict[str, Any] = {**CONFIGS["llama"].config, "architectures": ["MyForCausalLM"], "lora_rank": 4}


def read(text: str) -> Architecture:
    return parse_mapping(text, BUILT_IN)


def bound(text: str, tp: int = 2, **fields: Any) -> Binding:
    arch = read(text)
    config = {**CONFIG, **fields, "architectures": [arch.name]}
    return choose(config, None, tp, "BF16", [arch]).binding


def said(binding: Binding, tensors: list[Synthetic]) -> list[Finding]:
    return [f for f in findings(prove(plan(binding, tensors), None)) if f.severity != "info"]


# --- what a file means ---


@pytest.mark.parametrize("tp", [1, 2, 4, 16])
def test_the_architecture_that_a_file_describes_is_sound(tp: int) -> None:
    binding = bound(MINE, tp)
    tensors = [
        *synthesise(binding),
        Synthetic("model.layers.1.self_attn.mask", "BF16", (3,)),
        Synthetic("vision_tower.blocks.7.weight", "BF16", (3,)),
    ]
    assert said(binding, tensors) == []


def test_a_file_changes_what_it_names_and_nothing_else() -> None:
    theirs = choose(CONFIGS["llama"].config, None, 2, "BF16").binding
    ours = {t.name: t.shape for t in synthesise(bound(MINE))}
    before = {t.name: t.shape for t in synthesise(theirs)}
    lost = [name for name, _ in collapse(before.keys() - ours.keys())]
    attention = "model.layers.{0, 1}.self_attn"
    assert lost == [f"{attention}.q_proj.weight"]
    assert {name: ours[name.format(0) if "{" in name else name] for name in sorted(_new(before, ours))} == {
        "model.layers.{}.self_attn.gates.0.bias": (4,),
        "model.layers.{}.self_attn.gates.0.weight": (4, 10),
        "model.layers.{}.self_attn.gates.1.bias": (4,),
        "model.layers.{}.self_attn.gates.1.weight": (10, 4),
        "model.layers.{}.self_attn.query.weight": (48, 10),
    }
    down = "model.layers.0.mlp.down_proj.weight"
    assert (before[down], ours[down]) == ((10, 48), (48, 10))


def _new(before: dict[str, Any], ours: dict[str, Any]) -> set[str]:
    return {name.replace("layers.0.", "layers.{}.").replace("layers.1.", "layers.{}.") for name in ours.keys() - before}


def test_a_query_under_another_name_goes_where_it_always_went() -> None:
    tensors = synthesise(bound(MINE))
    made = plan(bound(MINE), tensors)
    steps = [s for s in made.steps(1) if tensors[s.tensor].name == "model.layers.0.self_attn.query.weight"]
    assert [(step.param, step.shard) for step in steps] == [("model.layers.0.self_attn.qkv_proj.weight", "q")]
    assert steps[0].dst.sizes == (1, 8, 3, 10), "a KV head, its group, dim, hidden"


def test_an_axis_is_computed_as_in_the_built_in_tables() -> None:
    assert bound(MINE).axes.size("rank") == 4
    assert bound(MINE, lora_rank=None).axes.size("rank") == 2


def test_a_file_may_extend_the_rows_of_its_own_name() -> None:
    arch = read('architecture = "FalconForCausalLM"\n[[skip]]\nname = "h.{layer}.mask"\nwhy = "causal mask"')
    falcon = next(known for known in BUILT_IN if known.name == "FalconForCausalLM")
    assert arch.entries[:-1] == falcon.entries
    assert isinstance(arch.entries[-1], Skip)
    assert arch.requires == {}, "whoever writes rows by hand knows for which checkpoints"


def test_a_file_may_start_from_nothing() -> None:
    arch = read(
        """
        architecture = "TinyForCausalLM"
        layers = "depth"
        prefixes = ["", "net."]
        [axes]
        hidden = "width"
        kv = "kv"
        group = "heads / @kv"
        [factors]
        head = ["kv", "group"]
        [flags]
        biased = true
        [[param]]
        name = "blocks.{layer}.proj"
        parts = { "" = "head, hidden" }
        split = "head"
        bias = "biased"
        [[row]]
        name = "b.{layer}.proj"
        param = "blocks.{layer}.proj"
        """
    )
    config = {"architectures": ["TinyForCausalLM"], "depth": 2, "width": 3, "kv": 2, "heads": 6}
    binding = choose(config, ["net.b.0.proj.weight"], 2, "F32", [arch]).binding
    assert {t.name: t.shape for t in synthesise(binding)} == {
        "b.0.proj.weight": (6, 3), "b.0.proj.bias": (6,), "b.1.proj.weight": (6, 3), "b.1.proj.bias": (6,)
    }  # fmt: skip
    assert said(binding, synthesise(binding)) == []
    wrapped = [t._replace(name=f"net.{t.name}") for t in synthesise(binding)]
    assert said(binding, wrapped) == []


def test_a_dialect_can_be_the_start() -> None:
    arch = read('architecture = "MyMoE"\nlike = "MixtralForCausalLM/stacked"')
    config = {**CONFIGS["mixtral stacked"].config, "architectures": ["MyMoE"]}
    binding = choose(config, None, 2, "BF16", [arch]).binding
    assert any(t.name == "model.layers.0.mlp.experts.gate_up_proj" for t in synthesise(binding))


def test_a_skip_that_forgets_to_remove_the_row_is_an_overlap_and_not_a_silent_loss() -> None:
    text = 'architecture = "MyForCausalLM"\nlike = "LlamaForCausalLM"\n[[skip]]\nname = "{}"\nwhy = "not wanted"'
    for name in ("model.layers.{layer}.self_attn.q_proj.weight", "model.layers.{layer}.self_attn.**"):
        binding = bound(text.replace("{}", name))
        assert {f.code for f in said(binding, synthesise(binding))} == {"mapping.overlap"}


def test_a_layout_that_is_no_bijection_is_left_to_the_proofs() -> None:
    binding = bound(MINE.replace('layout = "ffn, hidden"', 'layout = "ffn, dim"'))
    (finding,) = said(binding, synthesise(binding))
    assert (finding.code, finding.evidence["lacks"], finding.evidence["extra"]) == ("mapping.axes", ["hidden"], ["dim"])


# --- mistakes ---

PARAM, GATE = '[[param]]\nname = "model.layers.{layer}.self_attn.gate"', "[[param]] model.layers.{layer}.self_attn.gate"
LEVEL = """[[param]]
name = "model.{level}.gate"
parts = { "" = "hidden" }
[[row]]
name = "model.{layer}.gate"
param = "model.{level}.gate"
"""
QUERY = "[[row]] model.layers.{layer}.self_attn.query"
MASK = "[[skip]] model.layers.{layer}.self_attn.mask"

MISTAKES = [
    # the file
    ("", "architecture = 3", "the file", "architecture"),
    ('architecture = "MyForCausalLM"', "", "the file", "architecture"),
    ('architecture = "MyForCausalLM"', 'architecture = ""', "the file", "architecture"),
    ('like = "LlamaForCausalLM"', 'like = "LlamaForCausallM"', "the file", "like"),
    ('like = "LlamaForCausalLM"', "like = 3", "the file", "like"),
    ('like = "LlamaForCausalLM"', 'likes = "LlamaForCausalLM"', "the file", "likes"),
    ('like = "LlamaForCausalLM"', 'like = "LlamaForCausalLM"\nlayers = 3', "the file", "layers"),
    ('like = "LlamaForCausalLM"', 'like = "LlamaForCausalLM"\nprefixes = "model."', "the file", "prefixes"),
    ('like = "LlamaForCausalLM"', 'like = "LlamaForCausalLM"\nflags = ["bias"]', "the file", "flags"),
    # axes and factors
    ("[axes]", "[axis]", "the file", "axis"),
    ('rank = "lora_rank | ceil @dim / 2"', "rank = 4", "the file", "axes"),
    ('"lora_rank | ceil @dim / 2"', '"lora_rank |"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"lora_rank - 1"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"lora_rank * "', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"lora rank"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"(lora_rank)"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"@width"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"@rank"', "[axes]", "rank"),
    ('"lora_rank | ceil @dim / 2"', '"@other"\nother = "2 * @rank"', "[axes]", "rank"),
    ("[[remove]]", '[factors]\nhead = "kv"\n[[remove]]', "the file", "factors"),
    ("[[remove]]", '[factors]\nwide = ["rank", "width"]\n[[remove]]', "[factors]", "wide"),
    # remove
    ("[[remove]]", "[remove]", "the file", "remove"),
    ('self_attn.q_proj"', 'self_attn.qq_proj"', "[[remove]]", "name"),
    ("[[remove]]\nname", "[[remove]]\nnames", "[[remove]]", "names"),
    # param
    ("[[param]]", "[param]", "the file", "param"),
    (PARAM, "[[param]]", "[[param]]", "name"),
    (PARAM, "[[param]]\nname = 3", "[[param]]", "name"),
    ('self_attn.gate"\nparts', 'self_attn.{layer\nparts"', "not TOML", ""),
    (PARAM, '[[param]]\nname = "model.layers.x{layer}.gate"', "[[param]]", "name"),
    (PARAM, LEVEL + PARAM, "[[param]]", "name"),
    (PARAM, '[[param]]\nname = "model..gate"', "[[param]]", "name"),
    ('parts = { down = "rank, hidden", up = "rank, hidden" }', "", GATE, "parts"),
    ('parts = { down = "rank, hidden", up = "rank, hidden" }', "parts = {}", GATE, "parts"),
    ('parts = { down = "rank, hidden", up = "rank, hidden" }', 'parts = ["down"]', GATE, "parts"),
    ('parts = { down = "rank, hidden"', "parts = { down = 3", GATE, "parts"),
    ('parts = { down = "rank, hidden"', 'parts = { down = "rank,, hidden"', GATE, "parts.down"),
    ('parts = { down = "rank, hidden"', 'parts = { down = "width, hidden"', GATE, "parts.down"),
    ("bias = true", "bias = 3", GATE, "bias"),
    ("bias = true", "biases = true", GATE, "biases"),
    ("bias = true", "when = true", GATE, "when"),
    ("bias = true", 'style = "flat"', GATE, "style"),
    ("bias = true", 'quantised = "yes"', GATE, "quantised"),
    ("bias = true", "split = 1", GATE, "split"),
    ("bias = true", 'split = "width"', GATE, "split"),
    ("bias = true", 'layout = "part; hidden"', GATE, "layout"),
    ("bias = true", 'layout = "part, width"', GATE, "layout"),
    (PARAM, f'[[param]]\nname = "model.norm"\nparts = {{ "" = "ffn" }}\n{PARAM}', "[[param]] model.norm", "name"),
    (
        "[[row]]\n", '[[param]]\nname = "model.spare"\nparts = { "" = "hidden" }\n[[row]]\n',
        "[[param]] model.spare", "name",
    ),
    # row
    ("[[row]]\n", '[[row]]\nlayer = 3\n', QUERY, "layer"),
    ("[[row]]\nname", "[[row]]\nname_", "[[row]]", "name_"),
    ('param = "model.layers.{layer}.self_attn.qkv_proj"', "", QUERY, "param"),
    ('self_attn.qkv_proj"', 'self_attn.qvk_proj"', QUERY, "param"),
    ('parts = ["q"]', 'parts = ["z"]', QUERY, "parts"),
    ('parts = ["q"]', "parts = []", QUERY, "parts"),
    ('parts = ["q"]', 'parts = "q"', QUERY, "parts"),
    ('parts = ["q"]', 'parts = ["q"]\nlayout = "hidden,"', QUERY, "layout"),
    ('parts = ["q"]', 'parts = ["q"]\nlayout = "width, hidden"', QUERY, "layout"),
    ('parts = ["q"]', 'parts = ["q"]\nlayout = 3', QUERY, "layout"),
    ('parts = ["q"]', 'parts = ["q"]\nstyle = "nude"', QUERY, "style"),
    ('parts = ["q"]', 'parts = ["q"]\nop = 3', QUERY, "op"),
    ('parts = ["q"]', 'parts = ["q"]\nrank = "0"', QUERY, "rank"),
    ('parts = ["q"]', 'parts = ["q"]\nrank = -1', QUERY, "rank"),
    ('parts = ["q"]', 'parts = ["q"]\nrank = true', QUERY, "rank"),
    ('self_attn.query"', 'self_attn.**"', "[[row]]", "name"),
    ('self_attn.query"', '{block}.query"', "[[row]]", "name"),
    # skip
    ('why = "causal mask"', "", MASK, "why"),
    ('why = "causal mask"', 'why = ""', MASK, "why"),
    ('why = "causal mask"', 'why = "causal mask"\nderived = true', MASK, "derived"),
    ('name = "vision_tower.**"', 'name = "**.vision_tower"', "[[skip]]", "name"),
    ('name = "vision_tower.**"', 'name = "vision_tower.{depth}.**"', "[[skip]]", "name"),
    ("[[skip]]\n", "skip = 3\n[[row]]\n", "[[row]]", "skip"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "table", "key"), MISTAKES)
def test_every_mistake_is_one_line_that_names_table_and_key(old: str, new: str, table: str, key: str) -> None:
    assert old in MINE
    text = MINE.replace(old, new, 1) if old else new
    with pytest.raises(MappingFileError) as caught:
        read(text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(table)
    assert key in message.removeprefix(table)


@pytest.mark.parametrize("text", ["architecture = ", "[[row]", '{"layers": "A"}', "\x00", "layers = 'A'\n" * 2])
def test_what_is_no_toml_is_said_with_its_place(text: str) -> None:
    with pytest.raises(MappingFileError, match=r"^not TOML: .*\(at ") as caught:
        read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["like", "layers", "axes", "param", "row", "skip", "remove", "flags"])
@pytest.mark.parametrize("value", ["3", "true", "[3]", '[["a"]]', "1979-05-27", "{ a = { b = 3 } }", "nan"])
def test_no_value_of_any_kind_escapes_as_another_error(key: str, value: str) -> None:
    """What a table of flags may hold is up to config.json."""
    text = f'architecture = "LlamaForCausalLM"\n{key} = {value}'
    if (key, value) == ("flags", "{ a = { b = 3 } }"):
        assert isinstance(read(text).rows[0], Row)
        return
    with pytest.raises(MappingFileError, match=f"^the file.*{key} is "):
        read(text)
