"""Shapes alone, names removed and order shuffled: the family, the published geometry, which tensor is what."""

from __future__ import annotations

import time
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.fingerprints import Published, table
from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binder, Binding
from mappings.registry import choose
from mappings.synth import synthesise
from tests import vllm_traces
from tests.mappings.small import architecture
from tests.tracer.infer.random_sizes import ARCHITECTURES, config
from tracer.infer.shapes import Guess, nearest
from tracer.infer.shapes.forward import described, widths_of
from tracer.infer.shapes.table import of_architecture

Shapes = list[tuple[tuple[int, ...], str]]


def nameless(binding: Binding, seed: int = 0) -> Shapes:
    """The shapes of a checkpoint, in no order."""
    shapes: Shapes = [(tensor.shape, tensor.dtype) for tensor in synthesise(binding)]
    Random(seed).shuffle(shapes)
    return shapes


@cache
def of_geometry(name: str) -> Shapes:
    return nameless(choose(geometry(name), None, 1, "BF16").binding)


@cache
def guessed(name: str) -> Guess:
    return nearest(of_geometry(name))


def right(guess: Guess, arch: str) -> bool:
    """Whether the architecture is in the class that is first: the architectures that shapes cannot tell apart."""
    return guess.best is not None and arch in guess.best.architectures


# --- the family ---


@pytest.mark.parametrize("name", geometries())
def test_a_real_geometry_is_recognised_down_to_its_architecture(name: str) -> None:
    """Where shapes cannot tell architectures apart, the published geometry does."""
    best = guessed(name).best
    assert best is not None
    assert (best.score, best.architectures[0]) == (1.0, geometry(name)["architectures"][0])


def test_sizes_that_are_in_no_table_are_recognised_in_nine_of_ten_cases() -> None:
    """Of every architecture with rows; matrices as they are, all turned, and in another data type."""
    random, found = Random(5), []
    for arch in ARCHITECTURES:
        for turn in range(3):
            fields = config(arch, random)
            shapes = nameless(Binder(architecture(arch), fields, 1).bind())
            if turn == 1:
                shapes = [(shape[::-1] if len(shape) == 2 else shape, dtype) for shape, dtype in shapes]
            elif turn == 2:
                shapes = [(shape, "F32") for shape, _ in shapes]
            found.append(right(nearest(shapes), fields["architectures"][0]))
    assert sum(found) >= 0.9 * len(found)


WITH_ROWS = [
    row for row in table()
    if row.architecture in ARCHITECTURES and row.fields.get("new_decoder_architecture") is not False
]  # fmt: skip


@pytest.mark.parametrize("row", WITH_ROWS[::3], ids=lambda row: row.name)
def test_a_published_model_is_found_by_its_shapes(row: Published) -> None:
    binding = choose({"architectures": [row.architecture], **row.fields}, None, 1, "BF16").binding
    best = nearest(nameless(binding)).best
    assert best is not None
    assert row.name in [match.name for match in best.published if match.exact]


BY_SIGNATURE = [row for row in table() if row.architecture not in ARCHITECTURES]


def forward(row: Published, scale: int, deeper: int) -> Shapes:
    """The shapes that a signature tells for a published model, all widths scaled and some layers more."""
    for family in of_architecture(row.architecture):
        widths = widths_of(family, {"num_labels": 1000, **row.fields})
        kept = {"patch", "types", "expert", "labels", "moe", "dense"}
        sized = {w: size if w in kept else size * scale for w, size in widths.items()}
        layers = {kind: widths[kind] + deeper for kind in ("layer", "moe") if kind in widths}
        tags = [] if row.fields.get("tie_word_embeddings", True) else ["untied"]
        try:
            counts = described(family, sized | layers, [tag for tag in tags if tag in family.tags])
        except ValueError:
            continue
        return [(shape, "BF16") for shape, count in counts.items() for _ in range(count)]
    raise AssertionError(f"no signature takes the numbers of {row.name}")


@pytest.mark.parametrize("row", BY_SIGNATURE[::2], ids=lambda row: row.name)
def test_what_a_signature_tells_forwards_is_found_backwards(row: Published) -> None:
    """Those without rows, whose signatures are compared with what Transformers writes below."""
    best = nearest(forward(row, scale=1, deeper=0)).best
    assert best is not None
    assert row.name in [match.name for match in best.published if match.exact]


@pytest.mark.parametrize("row", BY_SIGNATURE[1::4], ids=lambda row: row.name)
def test_it_is_found_at_sizes_that_nobody_published(row: Published) -> None:
    guess = nearest(forward(row, scale=3, deeper=5))
    assert right(guess, row.architecture)
    assert guess.best is not None and not guess.best.published


OTHERS = {
    "DeepSeekMTPModel": "a draft model", "EagleLlamaForCausalLM": "a draft model", "MedusaModel": "a draft model",
    "LlavaForConditionalGeneration": "has a vision tower", "Qwen2VLForConditionalGeneration": "has a vision tower",
    "FalconH1ForCausalLM": "no signature", "Qwen3NextForCausalLM": "no signature",
    "Qwen2ForRewardModel": "a head of two layers",
}  # fmt: skip
"""What is not claimed to be recognised, and why."""


@pytest.mark.parametrize("key", sorted({*vllm_traces.keys()} - OTHERS.keys()))
def test_what_transformers_writes_is_recognised(key: str) -> None:
    """Other families than those with rows, at sizes so small that much coincides."""
    trace = vllm_traces.trace(key, 1)
    arch = trace["config"]["architectures"][0].replace("LlamaForSequenceClassification", "LlamaForCausalLM")
    assert right(nearest([(tuple(shape), "F32") for shape in trace["checkpoint"].values()]), arch)


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt2", "phi-3-mini-4k", "mixtral-8x7b", "bloom-560m"])
def test_it_is_said_when_matrices_are_stored_the_other_way_round(name: str) -> None:
    straight = guessed(name).best
    turned = nearest([(shape[::-1], dtype) for shape, dtype in of_geometry(name)]).best
    assert straight is not None and turned is not None
    assert (straight.family, straight.stored) == (turned.family, "(out, in)")
    assert turned.stored == "(in, out)"
    assert "matrices are stored the other way round" in turned.evidence


# --- widths ---


@pytest.mark.parametrize("name", geometries())
def test_widths_and_layers_are_those_of_the_config(name: str) -> None:
    best = guessed(name).best
    assert best is not None
    told = [widths_of(family, geometry(name)) for family in of_architecture(best.architectures[0])]
    assert any(all(best.widths[w] == size for w, size in own.items() if w in best.widths) for own in told)
    hidden = [geometry(name).get(spelled) for spelled in ("hidden_size", "n_embd", "n_embed")]
    assert best.fields["hidden_size"] in hidden


def test_heads_are_told_only_where_a_norm_is_as_wide_as_one() -> None:
    qwen3, llama = guessed("qwen3-8b").best, guessed("llama-3-8b").best
    assert qwen3 is not None and llama is not None
    fields = {name: qwen3.fields[name] for name in ("head_dim", "num_attention_heads", "num_key_value_heads")}
    assert fields == {"head_dim": 128, "num_attention_heads": 32, "num_key_value_heads": 8}
    assert "num_attention_heads" not in llama.fields


# --- published geometries ---


def test_another_vocabulary_is_said_to_be_the_only_difference() -> None:
    config = geometry("llama-3-8b") | {"vocab_size": 128_264}
    best = nearest(nameless(choose(config, None, 1, "BF16").binding)).best
    assert best is not None
    match = next(match for match in best.published if match.name == "meta-llama/Meta-Llama-3-8B")
    assert match.differs == {"vocab": (128_264, 128_256)}
    assert "but for vocab 128264 instead of 128256" in match.line()


def test_a_model_that_differs_in_more_than_its_vocabulary_is_not_named() -> None:
    config = geometry("llama-3-8b") | {"intermediate_size": 14_400}
    best = nearest(nameless(choose(config, None, 1, "BF16").binding)).best
    assert best is not None
    assert best.published == ()


# --- roles ---


def test_every_shape_is_told_with_its_roles_and_count() -> None:
    best = guessed("llama-3-8b").best
    assert best is not None
    assert [assignment.line() for assignment in best.assignments] == [
        "(4096,) x65: input norm or post norm or final norm",
        "(1024, 4096) x64: k or v",
        "(4096, 4096) x64: q or o",
        "(14336, 4096) x64: gate or up",
        "(4096, 14336) x32: down",
        "(128256, 4096) x2: embedding and head (untied)",
    ]


@pytest.mark.parametrize("name", geometries())
def test_the_tensors_told_are_all_there_are(name: str) -> None:
    guess = guessed(name)
    assert guess.best is not None
    assert sum(assignment.count for assignment in guess.best.assignments) == guess.tensors
    assert all(assignment.roles and not assignment.unexplained for assignment in guess.best.assignments)


# --- what is not a model of a family ---


def test_a_missing_kind_of_tensors_is_said_and_the_family_still_found() -> None:
    without = [(shape, dtype) for shape, dtype in of_geometry("qwen3-8b") if shape != (151_936, 4096)]
    best = nearest(without).best
    assert best is not None
    assert (best.family, best.score < 1) == ("qwen3", True)
    assert any("1 kinds of tensors are missing" in line for line in best.evidence)


def test_tensors_that_no_family_has_are_told_as_unexplained() -> None:
    best = nearest([*of_geometry("llama-3-8b"), *[((77, 55, 3, 3), "F32")] * 4]).best
    assert best is not None
    assert best.family == "llama"
    assert "(77, 55, 3, 3) x4: unexplained" in [assignment.line() for assignment in best.assignments]


@pytest.mark.parametrize("shapes", [[], [((), "F32")], [((0,), "BF16")] * 3, [((1,), "F32")], [((1, 1), "F32")] * 9])
def test_next_to_nothing_is_like_no_family_that_is_known(shapes: Shapes) -> None:
    guess = nearest(shapes)
    assert all(candidate.score < 1 for candidate in guess.candidates)
    assert list(guess.lines())


shapes = st.lists(st.integers(0, 1 << 40), max_size=5).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(shapes, st.sampled_from(["F32", "U8", "I32", "F8_E4M3", "Q4_K", ""])), max_size=40))
def test_no_multiset_of_shapes_is_too_strange(given_shapes: Shapes) -> None:
    guess = nearest(given_shapes)
    assert all(0 <= candidate.score <= 1 for candidate in guess.candidates)
    assert guess.tensors <= len(given_shapes)


@pytest.mark.parametrize("name", ["mixtral-8x7b", "qwen2-0.5b", "gpt-oss-20b"])
def test_the_order_of_the_tensors_changes_nothing(name: str) -> None:
    shapes = of_geometry(name)
    told = list(nearest(shapes).lines())
    for seed in range(3):
        assert list(nearest(Random(seed).sample(shapes, len(shapes))).lines()) == told


# --- time ---


def test_ninety_thousand_tensors_take_less_than_a_second() -> None:
    shapes = of_geometry("deepseek-v3")
    assert len(shapes) > 90_000
    start = time.perf_counter()
    guess = nearest(shapes)
    assert time.perf_counter() - start < 1
    assert guess.set_aside == ("45032 scales of FP8 weights",)
    assert guess.tensors == len(shapes) - 45_032


@pytest.mark.parametrize("kinds", [240, 20_000])
@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_shapes_of_very_many_kinds_take_no_more_time(kinds: int, dtype: str) -> None:
    random = Random(1)
    shapes: Shapes = [((random.randint(2, 999), random.randint(2, 999)), dtype) for _ in range(kinds)]
    shapes += [((random.randint(2, 9_999),), "F32") for _ in range(kinds)]
    begin = time.monotonic()
    guess = nearest(shapes)
    assert time.monotonic() - begin < 10
    assert guess.best is None
    assert guess.tensors <= 2 * kinds
