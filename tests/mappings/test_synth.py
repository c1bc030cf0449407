"""The plan read backwards: the checkpoint that the rows expect, and what is said of one that differs in one thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binding, BoundRow
from mappings.findings import Finding
from mappings.plan import LoadPlan, plan
from mappings.proof import findings, prove, prove_sizes
from mappings.registry import choose
from mappings.synth import Synthetic, describe, synthesise
from tests import vllm_traces
from tests.mappings.small import CONFIGS, bind


def said(binding: Binding, tensors: Sequence[Synthetic]) -> list[Finding]:
    """What the proofs have to say, apart from information."""
    return [f for f in findings(prove(plan(binding, tensors), None)) if f.severity != "info"]


def only(binding: Binding, tensors: Sequence[Synthetic]) -> Finding:
    (finding,) = said(binding, tensors)
    return finding


def claimed_once(made: LoadPlan) -> None:
    owners = [claim.owner for claim in made.claims]
    assert all(isinstance(owner, BoundRow) for owner in owners)
    claims = Counter((c.owner.id, c.indices) for c in made.claims if isinstance(c.owner, BoundRow))
    assert set(claims.values()) == {1}
    assert claims.keys() == {(row.id, indices) for row in made.binding.rows for indices in row.instances()}


def one_of_each(binding: Binding) -> list[Synthetic]:
    """The last tensor of every row."""
    last = {row.id: row.pattern.name(tuple(d[-1] for d in row.domain)) for row in binding.rows}
    return [tensor for tensor in synthesise(binding) if tensor.name in set(last.values())]


# --- the expected checkpoint ---


@pytest.mark.parametrize("name", geometries())
def test_rows_and_tensors_of_a_real_geometry_are_one_to_one(name: str) -> None:
    binding = choose(geometry(name), None, 1, "BF16").binding
    claimed_once(plan(binding, synthesise(binding)))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_expected_checkpoint_is_sound(name: str) -> None:
    binding = bind(name)
    tensors = synthesise(binding)
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    claimed_once(plan(binding, tensors))
    assert said(binding, tensors) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_it_goes_layer_by_layer(name: str) -> None:
    def layer(tensor: Synthetic) -> int:
        return next((int(segment) for segment in tensor.name.split(".") if segment.isdigit()), -1)

    layers = [layer(tensor) for tensor in synthesise(bind(name))]
    inner = [at for at in layers if at >= 0]
    assert inner == sorted(inner)
    assert layers[0] == layers[-1] == -1
    assert [at for at in layers if at < 0] == [-1] * (layers.index(0) + layers[::-1].index(inner[-1]))


def test_shapes_and_types_are_those_of_the_model_card() -> None:
    binding = choose(geometry("deepseek-v3"), None, 8, "BF16").binding
    described = {tensor.name: (tensor.dtype, tensor.shape) for tensor in synthesise(binding)}
    attention, experts = "model.layers.3.self_attn", "model.layers.3.mlp.experts"
    assert described["model.embed_tokens.weight"] == ("BF16", (129280, 7168))
    assert described[f"{attention}.kv_a_proj_with_mqa.weight"] == ("F8_E4M3", (576, 7168))
    assert described[f"{attention}.kv_a_proj_with_mqa.weight_scale_inv"] == ("F32", (5, 56))
    assert described[f"{attention}.kv_b_proj.weight"] == ("F8_E4M3", (32768, 512))
    assert described[f"{experts}.255.down_proj.weight_scale_inv"] == ("F32", (56, 16))
    assert described["model.layers.60.mlp.gate.e_score_correction_bias"] == ("F32", (256,))
    assert described["model.layers.60.mlp.gate.weight"] == ("BF16", (256, 7168))
    assert described["model.layers.2.mlp.down_proj.weight"] == ("F8_E4M3", (7168, 18432))


KNOWN = {small.arch.partition("/")[0] for small in CONFIGS.values()}
OBSERVED = list(filter(lambda key: key.partition("-")[0] in KNOWN, vllm_traces.keys()))


@pytest.mark.parametrize("key", OBSERVED)
def test_it_is_the_checkpoint_that_transformers_writes(key: str) -> None:
    """But for tensors that the rows skip or tie on purpose."""
    trace = vllm_traces.trace(key, 1)
    stored = {name: tuple(shape) for name, shape in trace["checkpoint"].items()}
    binding = choose(trace["config"], stored, 1, "F32").binding
    made = plan(binding, [Synthetic(name, "F32", shape) for name, shape in stored.items()])
    assert Counter(claim.disposition for claim in made.claims)["unmapped"] == 0
    loaded = {
        (claim.owner.id, claim.indices): tensor.shape
        for tensor, claim in zip(made.tensors, made.claims, strict=True) if isinstance(claim.owner, BoundRow)
    }  # fmt: skip
    assert loaded == {(row.id, indices): row.shape for row in binding.rows for indices in row.instances()}


def test_names_without_shapes_get_those_of_their_rows() -> None:
    binding = bind("llama")
    names = ["lm_head.weight", "unheard.of", "model.rotary_emb.inv_freq"]
    described = describe(names, plan(binding, [Synthetic(n, "", ()) for n in names]).claims)
    assert [(t.name, t.shape) for t in described] == [(names[0], (67, 10)), (names[1], (0,)), (names[2], (0,))]


# --- one tensor less ---


@pytest.mark.parametrize("name", CONFIGS)
def test_any_single_missing_tensor_is_one_finding_that_names_it(name: str) -> None:
    binding = bind(name)
    tensors = synthesise(binding)
    for missing in one_of_each(binding):
        finding = only(binding, [tensor for tensor in tensors if tensor.name != missing.name])
        assert finding.code == ("experts.missing" if _is_numbered(missing) else "param.unfilled")
        assert finding.evidence["tensors"] == missing.name
        assert missing.name in finding.message
        assert finding.evidence["missing"] == 1


def _is_numbered(tensor: Synthetic) -> bool:
    """Whether an expert's number is in the name, beside the layer's."""
    return sum(segment.isdigit() for segment in tensor.name.split(".")) == 2


def test_a_missing_part_is_named_as_such() -> None:
    binding = bind("llama")
    name = "model.layers.1.self_attn.k_proj.weight"
    finding = only(binding, [tensor for tensor in synthesise(binding) if tensor.name != name])
    assert finding.subject == "model.layers.1.self_attn.qkv_proj.weight"
    assert finding.message.startswith("model.layers.1.self_attn.qkv_proj.weight[k] has no source")


def test_a_missing_layer_is_one_finding_whatever_is_in_it() -> None:
    binding = bind("deepseek v3", num_hidden_layers=6)
    gone = ("model.layers.2.", "model.layers.4.")
    finding = only(binding, [tensor for tensor in synthesise(binding) if not tensor.name.startswith(gone)])
    assert (finding.code, finding.evidence["layers"]) == ("layers.missing", [2, 4])
    assert "no tensor of layer 2, 4," in finding.message
    assert "num_hidden_layers = 6" in finding.message


def test_missing_experts_are_listed_exactly() -> None:
    """Expert 1 of one layer and expert 2 of another are not experts 1 and 2 of both."""
    binding = bind("mixtral")
    moe = "model.layers.{}.block_sparse_moe.experts.{}.w1.weight"
    gone = {moe.format(0, 1), moe.format(1, 2)}
    finding = only(binding, [tensor for tensor in synthesise(binding) if tensor.name not in gone])
    assert (finding.code, finding.evidence["missing"]) == ("experts.missing", 2)
    assert set(finding.evidence["tensors"].split(", ")) == gone


def test_a_missing_head_offers_to_be_tied() -> None:
    binding = bind("llama")
    finding = only(binding, [tensor for tensor in synthesise(binding) if tensor.name != "lm_head.weight"])
    assert finding.code == "param.unfilled"
    assert "tie_word_embeddings" in (finding.fix or "")


def test_nothing_at_all_is_said_of_every_row_once() -> None:
    binding = bind("llama")
    found = said(binding, [])
    assert {f.code for f in found} == {"param.unfilled"}
    assert len(found) == len(binding.rows)


# --- one tensor more ---


@pytest.mark.parametrize("name", CONFIGS)
def test_an_unknown_name_is_one_finding_that_names_it(name: str) -> None:
    binding = bind(name)
    tensors = synthesise(binding)
    stranger = tensors[3]._replace(name=tensors[3].name + "_extra")
    finding = only(binding, [*tensors, stranger])
    assert (finding.code, finding.subject, finding.evidence["tensors"]) == ("tensor.unmapped", stranger.name, 1)
    assert finding.evidence["nearest"], "the name that it was made of is near"


def test_many_unknown_names_are_told_by_template() -> None:
    binding = bind("llama")
    strangers = [Synthetic(f"model.layers.{i}.self_attn.g_proj.weight", "BF16", (1,)) for i in range(2)]
    finding = only(binding, [*synthesise(binding), *strangers])
    assert (finding.subject, finding.evidence["tensors"]) == ("model.layers.{0, 1}.self_attn.g_proj.weight", 2)
    assert "model.layers.{}.self_attn.q_proj.weight" in finding.evidence["nearest"]


def test_layers_past_the_last_are_extra() -> None:
    longer = synthesise(bind("llama", num_hidden_layers=4))
    found = said(bind("llama"), longer)
    assert [(f.code, f.subject) for f in found] == [("layers.extra", "model.layers.{2, 3}.**")], "one cause, one line"
    assert found[0].fix is not None
    assert sum(f.evidence["tensors"] for f in found) == len(longer) - len(synthesise(bind("llama")))


def test_an_expert_past_the_last_is_unmapped() -> None:
    found = said(bind("mixtral"), synthesise(bind("mixtral", num_local_experts=4)))
    assert {f.code for f in found} == {"tensor.unmapped", "shape.mismatch"}
    assert any("experts.3.w1.weight" in f.subject for f in found)


# --- another shape ---


@pytest.mark.parametrize("name", CONFIGS)
def test_any_single_wrong_shape_is_one_finding_with_both_shapes(name: str) -> None:
    binding = bind(name)
    tensors = synthesise(binding)
    for wrong in one_of_each(binding):
        for at in range(len(wrong.shape)):
            shape = (*wrong.shape[:at], wrong.shape[at] + 1, *wrong.shape[at + 1 :])
            changed = [t._replace(shape=shape) if t.name == wrong.name else t for t in tensors]
            finding = only(binding, changed)
            assert (finding.code, finding.subject) == ("shape.mismatch", wrong.name)
            assert (finding.evidence["found"], finding.evidence["expected"]) == (shape, wrong.shape)


def changed_shape(name: str, tensor: str, shape: tuple[int, ...]) -> Finding:
    binding = bind(name)
    return only(binding, [t._replace(shape=shape) if t.name == tensor else t for t in synthesise(binding)])


@pytest.mark.parametrize(
    ("tensor", "shape", "words", "fix"),
    [
        ("model.embed_tokens.weight", (68, 10), "vocab_size = 68 in config.json would fit", "set vocab_size = 68"),
        ("model.norm.weight", (11,), "hidden_size = 11 in config.json would fit, it says 10", "set hidden_size = 11"),
        ("model.layers.0.self_attn.q_proj.weight", (51, 10), "dimension 0 (head.dim) is 51, expected 48", None),
        ("model.norm.weight", (10, 1), "it has 2 dimensions, expected 1", None),
        ("model.layers.0.mlp.up_proj.weight", (10, 48), 'it fits "hidden, ffn"', "transpose the tensor"),
    ],
)
def test_a_wrong_shape_says_which_axis_and_which_config_value(
    tensor: str, shape: tuple[int, ...], words: str, fix: str | None
) -> None:
    """A fix says what to do; where nothing is known beyond what is wrong, there is none."""
    finding = changed_shape("llama", tensor, shape)
    assert words in finding.message
    assert (finding.fix or "").startswith(fix or "")
    assert (finding.fix is None) == (fix is None)


def test_all_tensors_of_one_wrong_shape_are_one_finding() -> None:
    finding = only(bind("llama"), [
        t._replace(shape=(50, 10)) if t.name.endswith("up_proj.weight") else t for t in synthesise(bind("llama"))
    ])  # fmt: skip
    assert (finding.subject, finding.evidence["tensors"]) == ("model.layers.{0, 1}.mlp.up_proj.weight", 2)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "falcon", "gpt-oss", "mamba", "mixtral stacked"])
def test_a_transposed_tensor_is_recognised_by_the_layout_that_fits(name: str) -> None:
    binding = bind(name)
    tensors = synthesise(binding)
    for tensor in one_of_each(binding):
        shape = tensor.shape
        if len(set(shape)) < 2 or len(shape) < 2:
            continue
        for order in permutations(range(len(shape))):
            turned = tuple(shape[axis] for axis in order)
            if turned == shape:
                continue
            finding = only(binding, [t._replace(shape=turned) if t.name == tensor.name else t for t in tensors])
            row = next(r for r in binding.rows if r.id == finding.evidence["row"])
            dims = [".".join(row.told[axis]) or "1" for axis in order]
            if len(set(shape)) == len(shape):
                assert f'it fits "{", ".join(dims)}"' in finding.message
            assert "it fits" in finding.message


# --- a layout that shapes cannot tell from another ---


@pytest.mark.parametrize(
    ("name", "layout", "rival"),
    [
        ("bloom", "head.part, hidden", "part, hidden"),
        ("gpt2", "hidden, part", "hidden, head.part"),
        ("falcon", "kv.part, hidden", "part, hidden"),
        ("gpt-oss", "expert, hidden, ffn.part", "expert, hidden, part"),
        ("phi3", "part, hidden", "kv.part, hidden"),
    ],
)
def test_a_fused_layout_with_a_rival_of_its_shape_is_said_to_be_ambiguous(name: str, layout: str, rival: str) -> None:
    binding = bind(name)
    found = [f for f in prove_sizes(plan(binding, synthesise(binding))).findings if f.code == "layout.ambiguous"]
    assert any(f.evidence["layout"] == layout and rival in f.evidence["rivals"] for f in found)
    assert all(f.severity == "info" for f in found)


@pytest.mark.parametrize("name", ["llama", "mixtral", "deepseek v3", "mamba2"])
def test_where_parts_are_apart_or_of_no_common_axis_there_is_no_rival(name: str) -> None:
    binding = bind(name)
    assert prove_sizes(plan(binding, synthesise(binding))).findings == []
