"""How long a sequence may be: what config.json says, stretched as it says, and where a model's positions end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine import LLM, Sampling, Settings
from engine.cache.tensors import bytes_per_block
from engine.layers.rope import scaled
from engine.loading.loader import Loader
from engine.processes.failed import RankFailed
from engine.serving.engine import Engine
from engine.serving.length import ENDLESS, longest
from engine.serving.runner import Survey
from engine.serving.serve import LONGEST, make_cache
from fixtures.geometries import geometry
from mappings.bind import Binding
from mappings.registry import choose
from mappings.sizes import Config, ConfigError
from tests.engine.checkpoints import LONGROPE, SIZES, config_of, reference, save
from tests.engine.test_generation import engine_of
from tests.threads import one_thread

__all__ = ["one_thread"]
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


def bound(config: dict[str, Any]) -> Binding:
    return choose(config, None, 1, "F32").binding


def llama(**fields: Any) -> Binding:
    return bound({"architectures": ["LlamaForCausalLM"], **SIZES, "rope_theta": 1e4, **fields})


# --- what the model was made for ---


@pytest.mark.parametrize(
    ("name", "length"),
    [("llama-3-8b", 8192), ("llama-3.2-1b", 131072), ("gpt2", 1024), ("mistral-7b-v0.1", 32768),
     ("bloom-560m", ENDLESS), ("deepseek-v2", 163840), ("deepseek-v3", 163840), ("gpt-oss-20b", 131072),
     ("phi-3-mini-4k", 4096)],
)  # fmt: skip
def test_well_known_models_have_the_length_that_their_makers_state(name: str, length: int) -> None:
    assert longest(bound(geometry(name))) == length


@pytest.mark.parametrize(
    ("stated", "scaling", "length"),
    [
        (4096, {"rope_type": "linear", "factor": 4.0}, 16384),
        (16384, {"rope_type": "linear", "factor": 4.0, "original_max_position_embeddings": 4096}, 16384),
        (4096, {"rope_type": "dynamic", "factor": 2.0}, 8192),
        (2048, {"type": "dynamic", "factor": 2.5}, 5120),
        (32768, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        (163840, {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096}, 163840),
        (40960, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        (32768, {"rope_type": "yarn", "factor": 4.0}, 131072),
        (131072, LLAMA3, 131072),
        (131072, {**LONGROPE, "original_max_position_embeddings": 4096}, 131072),
        (131072, {**LONGROPE, "original_max_position_embeddings": 4096, "factor": 32.0}, 131072),
        (4096, {"rope_type": "default"}, 4096),
        (4096, None, 4096),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters"])
def test_stretching_makes_sequences_as_long_as_it_is_for(
    field: str, stated: int, scaling: dict[str, Any] | None, length: int
) -> None:
    """`factor` times the trained length; what llama3 and longrope are stretched to is stated."""
    assert longest(llama(max_position_embeddings=stated, **{field: scaling})) == length


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_up_to_there_a_stretched_position_is_one_that_was_trained(kind: str) -> None:
    """As Transformers turns them: the slowest pair is turned no further at the end than it was in training."""
    parameters = {"rope_type": kind, "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 512}
    config = transformers.LlamaConfig(**SIZES | {"max_position_embeddings": 512}, rope_parameters=parameters)
    formula = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[kind]
    slowest = float(formula(config, torch.device("cpu"))[0][-1])
    trained = float(1e4 ** (-1 + 2 / 8))
    rope = scaled(Config(SIZES | {"max_position_embeddings": 512, "rope_parameters": parameters}))
    assert rope is not None
    assert rope.reach * slowest == pytest.approx(512 * trained)


def test_where_nothing_says_there_is_no_end_and_nonsense_is_told() -> None:
    assert longest(bound(config_of("bloom"))) == ENDLESS
    assert longest(bound({**config_of("bloom"), "max_sequence_length": 77})) == 77
    with pytest.raises(ConfigError, match="max_position_embeddings is 'long', expected a positive integer"):
        longest(llama(max_position_embeddings="long"))


@pytest.mark.parametrize("tp", [1, 2])
def test_a_model_whose_config_makes_no_sense_is_refused_before_it_is_loaded(
    tp: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("llama", reference("llama"), tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rope_scaling": {"type": "linear", "factor": "x"}}))
    monkeypatch.setattr(Loader, "load", pytest.fail)
    with pytest.raises(ValueError if tp == 1 else RankFailed) as caught:
        LLM(tmp_path, tp)
    assert "config.json: rope_scaling.factor is 'x', expected a positive number" in str(caught.value)


# --- what is wanted ---


def test_positions_that_are_looked_up_end_where_the_table_does() -> None:
    found = bound(config_of("gpt2") | {"max_position_embeddings": 4096})
    assert longest(found) == 64, "whatever else config.json says"
    assert longest(found, 64) == 64
    assert longest(found, 30) == 30
    with pytest.raises(ValueError) as caught:
        longest(found, 65)
    assert str(caught.value) == (
        "max_length 65: expected at most 64: config.json says n_positions: 64, and beyond these the model has no"
        " positions"
    )


def test_positions_that_are_computed_go_on_as_long_as_is_wanted() -> None:
    assert longest(llama(max_position_embeddings=64), 100_000) == 100_000
    assert longest(bound(config_of("bloom")), 100_000) == 100_000


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    save("gpt2", reference("gpt2"), folder)
    return folder


def test_a_model_of_learned_positions_is_served_to_its_last_one_and_not_beyond(gpt2: Path) -> None:
    """The last id is drawn from the logits of the last position."""
    with pytest.raises(ValueError, match=r"^max_length 65: expected at most 64"):
        LLM(gpt2, settings=Settings(max_length=65, cache_bytes=1 << 20))
    llm = LLM(gpt2, settings=Settings(max_length=64, cache_bytes=1 << 20))
    (found,) = llm.generate([[5] * 60], Sampling(max_tokens=100, ignore_eos=True))
    assert (len(found.token_ids), found.finish_reason) == (4, "length")


# --- a cache of a sensible size ---


def books(found: Survey, settings: Settings, length: int) -> tuple[int, int, int]:
    """Blocks, tokens in each, and tokens that a sequence may have."""
    scheduler, _ = make_cache(found, settings, length, frozenset())
    return scheduler.pool.count, scheduler.pool.size, scheduler.longest


@pytest.mark.parametrize("length", [ENDLESS, 131072, 32])
def test_a_model_without_attention_needs_a_block_a_sequence(length: int) -> None:
    """And the one that the scheduler keeps spare for each."""
    assert books(Survey(), Settings(sequences=64), length) == (
        128, min(length, LONGEST), min(length, 128 * LONGEST + 1)
    )  # fmt: skip


def test_all_sequences_that_may_run_do_run_without_attention() -> None:
    from engine.serving.sequence import Sequence

    scheduler, _ = make_cache(Survey(), Settings(sequences=64), ENDLESS, frozenset())
    for number in range(80):
        scheduler.add(Sequence(number, (1, 2, 3), Sampling()))
    assert len(scheduler.step()) == 64


def test_a_model_without_an_end_has_a_cache_of_a_million_tokens_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever memory there is."""
    save("bloom", reference("bloom"), tmp_path)
    engine: Engine = engine_of(tmp_path, Settings(cache_bytes=1 << 25))
    one = bytes_per_block(engine.runner.cache.heads, 16, torch.float32)
    assert engine.scheduler.pool.count == (1 << 25) // one
    engine = engine_of(tmp_path, Settings(cache_bytes=1 << 60, block_size=1 << 14))
    assert engine.scheduler.pool.count == LONGEST // (1 << 14) + 64
