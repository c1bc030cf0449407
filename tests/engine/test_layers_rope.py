"""Rotary frequencies: each kind against Transformers, in both spellings of config.json."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from engine.attention.batch import make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.cache.tensors import KVCache
from engine.layers.rope import Rope, amplitude, frequencies, rope_of, scaled, stretched
from engine.layers.rotary import Rotary, Rotation
from mappings.sizes import Config, ConfigError

DIM = 16
TRAINED = 64
STATED = {"original_max_position_embeddings": TRAINED}
KINDS: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "llama3": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **STATED,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, **STATED},
    "yarn-bounds": {
        "rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 2.0, "truncate": False,
        "attention_factor": 1.5, **STATED,
    },
    "yarn-mscale": {"rope_type": "yarn", "factor": 40.0, "mscale": 1.2, "mscale_all_dim": 0.7, **STATED},
    "longrope": {
        "rope_type": "longrope", "short_factor": [1.0 + i / 9 for i in range(DIM // 2)],
        "long_factor": [2.0 + i for i in range(DIM // 2)], **STATED,
    },
    "longrope-factor": {
        "rope_type": "longrope", "short_factor": [1.0] * (DIM // 2), "long_factor": [3.0] * (DIM // 2),
        "factor": 6.0, **STATED,
    },
}  # fmt: skip
FIELDS = {
    "hidden_size": 4 * DIM, "num_attention_heads": 4, "num_key_value_heads": 4,
    "max_position_embeddings": 256,
}  # fmt: skip


def read(**fields: Any) -> Rope:
    return rope_of(Config(FIELDS | fields), DIM)


@pytest.mark.parametrize("length", [TRAINED // 2, 4 * TRAINED, 6 * TRAINED])
@pytest.mark.parametrize("name", KINDS)
def test_stretched_frequencies_are_those_of_transformers(name: str, length: int) -> None:
    parameters = {"rope_theta": 5000.0, **KINDS[name]}
    config = transformers.LlamaConfig(**FIELDS, rope_parameters=dict(parameters))
    formula = ROPE_INIT_FUNCTIONS[KINDS[name]["rope_type"]]
    expected, scale = formula(config, torch.device("cpu"), seq_len=length)
    rope = read(rope_parameters=parameters)
    torch.testing.assert_close(frequencies(rope, length), expected, rtol=1e-6, atol=0)
    assert amplitude(rope) == pytest.approx(scale, rel=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_the_old_spelling_means_the_same(name: str) -> None:
    parameters = {k: v[: DIM // 4] if isinstance(v, list) else v for k, v in KINDS[name].items()}
    new = read(rope_parameters={"rope_theta": 5000.0, "partial_rotary_factor": 0.5, **parameters})
    kind = parameters.pop("rope_type")
    old = read(rope_theta=5000.0, partial_rotary_factor=0.5, rope_scaling={"type": kind, **parameters})
    assert (old.kind, old.theta, old.width, old.trained) == (kind, 5000.0, DIM // 2, new.trained)
    assert (new.kind, new.theta, new.width) == (old.kind, old.theta, old.width)


def test_what_stands_beside_the_scaling_decides_the_trained_length() -> None:
    """Phi-3 says `original_max_position_embeddings` at the top level."""
    assert read(rope_theta=1e4, original_max_position_embeddings=32, rope_scaling=KINDS["yarn"]).trained == 32
    assert read(rope_theta=1e4, rope_scaling={"type": "yarn", "factor": 2.0}).trained == 256


@pytest.mark.parametrize("kind", ["su", "yarn", "longrope"])
def test_longrope_has_had_three_names(kind: str) -> None:
    assert read(rope_theta=1e4, rope_scaling={**KINDS["longrope"], "rope_type": kind}).kind == "longrope"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "rope_theta"),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "mystery"}}, "rope_type"),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "linear"}}, "rope_scaling.factor"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "rope_parameters"),
    ],
)
def test_a_config_at_fault_says_where(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        frequencies(read(**fields), 8)
    assert caught.value.finding.subject == field


WORTHLESS: list[tuple[dict[str, Any], str]] = [
    ({"rope_scaling": "x"}, "rope_scaling is 'x', expected an object"),
    ({"rope_scaling": [1]}, "rope_scaling is [1], expected an object"),
    ({"rope_scaling": {"rope_type": "nonsense"}}, "rope_type is 'nonsense', expected one of default, dynamic, "),
    ({"rope_scaling": {"rope_type": ["linear"]}}, "rope_type is \"['linear']\", expected one of "),
    ({"rope_scaling": {"rope_type": "linear", "factor": math.nan}}, "rope_scaling.factor is nan, expected a positive"),
    ({"rope_scaling": {"rope_type": "linear", "factor": math.inf}}, "rope_scaling.factor is inf, expected a positive"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 10**400}}, "rope_scaling.factor is 100"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope_scaling.factor is 0, expected a positive number"),
    ({"rope_scaling": {"rope_type": "linear", "factor": True}}, "rope_scaling.factor is True, expected a positive"),
    ({"rope_parameters": {"rope_type": "dynamic", "factor": [2]}}, "rope_parameters.factor is [2], expected a pos"),
    ({"rope_scaling": {"rope_type": "dynamic", "factor": None}}, "lacks rope_scaling.factor, which"),
    ({"rope_scaling": {**KINDS["llama3"], "low_freq_factor": "1"}}, "rope_scaling.low_freq_factor is '1', expected"),
    ({"rope_scaling": {**KINDS["yarn"], "beta_fast": -1}}, "rope_scaling.beta_fast is -1, expected a number from 0 on"),
    ({"rope_scaling": {**KINDS["longrope"], "long_factor": 2}}, "rope_scaling.long_factor is 2, expected a list of"),
    ({"rope_scaling": {**KINDS["longrope"], "long_factor": [1, "x"]}}, "rope_scaling.long_factor is [1, 'x'], exp"),
    ({"rope_scaling": {**KINDS["yarn"], "original_max_position_embeddings": 1.5}},
     "rope_scaling.original_max_position_embeddings is 1.5, expected a non-negative integer"),
    ({"rope_scaling": KINDS["yarn"], "max_position_embeddings": "x"}, "max_position_embeddings is 'x', expected a non"),
    ({"rope_scaling": KINDS["linear"], "rope_theta": "x"}, "rope_theta is 'x', expected a positive number"),
]  # fmt: skip
OF_A_HEAD: list[tuple[dict[str, Any], str]] = [
    ({"rope_theta": "x"}, "rope_theta is 'x', expected a positive number"),
    ({"partial_rotary_factor": 2}, "partial_rotary_factor is 2, expected a number above 0 and at most 1"),
    ({"partial_rotary_factor": 0.2}, "such that an even number of a head's 16 dimensions is rotated, not 3"),
    ({"rope_scaling": {**KINDS["longrope"], "short_factor": [1.0]}}, "expected 8 numbers, one for each pair, not 1"),
    ({"rope_scaling": KINDS["yarn"], "rope_theta": 1}, "expected what frequencies can be computed of ("),
]
"""What only they do not accept who know how large one is, or who turn anything."""


@pytest.mark.parametrize(("fields", "says"), [*WORTHLESS, *OF_A_HEAD])
def test_what_is_no_number_is_told_with_its_field(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{"rope_theta": 1e4} | fields)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("config.json")


@pytest.mark.parametrize(("fields", "says"), WORTHLESS)
def test_who_asks_for_lengths_is_told_the_same(fields: dict[str, Any], says: str) -> None:
    for ask in (scaled, stretched):
        with pytest.raises(ConfigError) as caught:
            ask(Config(FIELDS | {"rope_theta": 1e4} | fields))
        assert says in str(caught.value)


ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from([10**400, 1, 0.5, 4.0]),
    st.lists(st.floats(0.5, 4), min_size=DIM // 2, max_size=DIM // 2), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip
NAMES = sorted({name for kind in KINDS.values() for name in kind} | {"rope_theta", "partial_rotary_factor", "type"})


@given(
    st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=2),
    st.dictionaries(st.sampled_from(["rope_theta", "max_position_embeddings", "partial_rotary_factor"]), ANYTHING),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_whatever_config_says_is_refused_or_computed(
    name: str, inside: dict[str, Any], beside: dict[str, Any]
) -> None:
    fields = FIELDS | {"rope_theta": 1e4} | beside | {"rope_scaling": KINDS[name] | inside}
    try:
        rope = rope_of(Config(fields), DIM)
    except ConfigError:
        return
    assert frequencies(rope, rope.longest).shape == frequencies(rope, rope.longest + 1).shape == (rope.width // 2,)
    assert isinstance(amplitude(rope), float)
    other = scaled(Config(fields))
    assert other is None or other.reach == rope.reach >= rope.longest
    assert stretched(Config(fields)) == (other if rope.kind in ("dynamic", "longrope") else None)


def alone_in_transformers(parameters: dict[str, Any], prompt: int, stop: int) -> torch.Tensor:
    """Cosines of one sequence's tokens, (stop, DIM): its prompt in one pass, then token by token."""
    config = transformers.LlamaConfig(**FIELDS, rope_parameters=dict(parameters))
    passes = [torch.arange(prompt), *(torch.tensor([place]) for place in range(prompt, stop))]
    rows = [LlamaRotaryEmbedding(config)(torch.zeros(1), places[None])[0][0] for places in passes]
    return torch.cat(rows)


@pytest.mark.parametrize("name", ["dynamic", "longrope", "yarn"])
def test_sequences_of_a_batch_turn_as_each_does_alone_in_transformers(name: str) -> None:
    """A chunk of a prompt, tokens around the length at which frequencies change, and one before any of it."""
    parameters = {"rope_theta": 5000.0, **KINDS[name]}
    spans = [(0, 300, 410), (255, 259, 250), (63, 66, 60), (100, 300, 300), (0, 30, 30), (5, 6, 2)]
    batch = make_pass([(start, stop, range(500), prompt) for start, stop, prompt in spans], 1)
    positions = torch.cat([torch.arange(start, stop) for start, stop, _ in spans])
    attention = PagedSdpa(batch, KVCache([], 500, 1, torch.float32))
    found = Rotary(read(rope_parameters=parameters))(positions, torch.float32, attention.lengths)
    expected = [
        alone_in_transformers(parameters, prompt, max(stop, prompt))[start:stop] for start, stop, prompt in spans
    ]
    torch.testing.assert_close(found.cos[:, 0], torch.cat(expected), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"dynamic", "longrope", "longrope-factor"}))
def test_other_kinds_do_not_ask_for_lengths(name: str) -> None:
    def never(positions: torch.Tensor) -> torch.Tensor:
        raise AssertionError("asked")

    Rotary(read(rope_parameters={"rope_theta": 5000.0, **KINDS[name]}))(torch.arange(3), torch.float32, never)


def test_a_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    rotation = Rotary(read(rope_theta=100.0))(torch.tensor([3, 5, 10, 12]), torch.float64, WHOLE_SEQUENCE.lengths)
    x, y = torch.randn(2, 1, 1, DIM, dtype=torch.float64)
    turned_x, turned_y = rotation.turn(x.expand(4, 1, DIM)), rotation.turn(y.expand(4, 1, DIM))
    torch.testing.assert_close(turned_x.norm(dim=-1), x.norm(dim=-1).expand(4, 1), rtol=1e-6, atol=0)
    scores = torch.einsum("ihd,jhd->ij", turned_x, turned_y)
    torch.testing.assert_close(scores[0, 1], scores[2, 3], rtol=1e-5, atol=1e-5)


def test_dimensions_beyond_the_width_stay() -> None:
    x = torch.randn(2, 3, DIM)
    rotary = Rotary(read(rope_theta=100.0, partial_rotary_factor=0.25))
    rotation = rotary(torch.tensor([0, 9]), x.dtype, WHOLE_SEQUENCE.lengths)
    assert isinstance(rotation, Rotation) and rotation.cos.shape == (2, 1, 4)
    turned = rotation.turn(x)
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert torch.equal(turned[0], x[0]) and not torch.equal(turned[1, :, :4], x[1, :, :4])
