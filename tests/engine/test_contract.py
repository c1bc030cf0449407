"""The contract is all that the engine knows of a model: less is not enough, and more is never asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from engine.cache.tensors import bytes_per_block
from engine.llm import LLM
from engine.models.contract import CausalLM
from engine.opened import Opened
from engine.sampling.params import Sampling
from engine.serving.engine import Engine
from engine.serving.runner import Runner, survey
from engine.serving.serve import Settings, make_cache, make_engine
from mappings.plan import plan
from mappings.registry import choose
from tests.engine.checkpoints import VOCABULARY, Checkpoint, load, reference, save
from tests.engine.packages import BIGRAM, install
from tests.engine.test_generation import engine_of, prompts, tokens_of
from tests.threads import one_thread

__all__ = ["one_thread"]
CONTRACT = {"forward", "compute_logits"}
ROOMY = Settings(block_size=4, cache_bytes=1 << 22, max_length=64)
LONGEST = 64


class Tripwire:
    """Stands for a model; no module, and whoever reaches for more than the contract fails."""

    def __init__(self, model: CausalLM) -> None:
        self._model = model
        self._seen: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name not in CONTRACT:
            raise AssertionError(f"the engine reached for {name}, which is not in the contract")
        self._seen[name] += 1
        return getattr(self._model, name)


def behind(wire: Tripwire, settings: Settings) -> Engine:
    """An engine that has nothing of the model but the wire."""
    model = cast("CausalLM", wire)
    scheduler, cache = make_cache(survey(model, "cpu"), settings, LONGEST, frozenset())
    return Engine(Runner(model, cache), scheduler, VOCABULARY, None)


@pytest.mark.parametrize("family", ["llama", "mixtral-window", "bloom"])
def test_a_whole_generation_touches_two_members_and_nothing_else(family: str, tmp_path: Path) -> None:
    """With chunked prompts, a cache that has seen them, and one too small for them all."""
    save(family, reference(family), tmp_path)
    expected = tokens_of(engine_of(tmp_path, ROOMY), prompts())
    wire = Tripwire(load(tmp_path, 1))
    heads = list(survey(load(tmp_path, 1), "cpu").heads.values())
    room = 20 * bytes_per_block(heads, 4, torch.float32)
    engine = behind(wire, ROOMY._replace(pass_tokens=5, cache_bytes=room))
    passes = count_passes(engine)
    assert tokens_of(engine, prompts()) == expected
    assert tokens_of(engine, prompts()) == expected
    assert engine.scheduler.preemptions > 0
    assert engine.scheduler.pool.reused > 0
    assert passes["chunks"] > 0
    # One more of the first, for the cache: what the layers are like is found by a pass of one token.
    assert wire._seen == {"forward": passes["all"] + 1, "compute_logits": passes["all"]}


def count_passes(engine: Engine) -> Counter[str]:
    """Is counted up by every pass, and by every chunk that is not the end of its sequence."""
    counts: Counter[str] = Counter()
    inner = engine.runner.run

    def run(chunks: Any) -> torch.Tensor:
        counts["all"] += 1
        counts["chunks"] += sum(chunk.stop < chunk.sequence.length for chunk in chunks)
        return inner(chunks)

    engine.runner.run = run  # type: ignore[method-assign]
    return counts


@pytest.mark.parametrize("name", ["parameters", "config", "layers", "__call__", "eval"])
def test_the_wire_would_have_told(name: str) -> None:
    with pytest.raises(AssertionError, match=f"reached for {name}"):
        Tripwire(cast("CausalLM", None)).__getattr__(name)


# --- an architecture from outside ---

SIZE, WIDTH = 90, 8
STARTS = ([5], [5, 89, 5, 0], [7, 8], [88])
TWELVE = Sampling(max_tokens=12, ignore_eos=True)


@pytest.fixture
def bigram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of the toy architecture, and the package that brings it installed."""
    (tmp_path / "installed").mkdir()
    install(tmp_path / "installed", BIGRAM)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    config = {"architectures": ["Bigram"], "vocab_size": SIZE, "size": WIDTH, "num_hidden_layers": 1}
    draw = torch.Generator().manual_seed(3)
    tensors = {f"{name}.weight": torch.randn(SIZE, WIDTH, generator=draw) for name in ("table", "head")}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": "float32"}))
    save_file(tensors, folder / "model.safetensors")
    return folder


def chains(folder: Path) -> list[list[int]]:
    """What must come: of each last token the likeliest next one, and so on."""
    with Checkpoint(folder) as checkpoint:
        head, table = (checkpoint.tensor(position) for position in range(2))
    following = (table @ head.T).argmax(-1).tolist()
    found = []
    for start in STARTS:
        chain = [start[-1]]
        while len(chain) <= TWELVE.max_tokens:
            chain.append(following[chain[-1]])
        found.append(chain[1:])
    return found


def test_a_model_without_any_attention_is_served_unchanged(bigram: Path) -> None:
    with Checkpoint(bigram) as checkpoint:
        names = [line.name for line in checkpoint.header]
        planned = plan(choose(checkpoint.config, names, 1, "F32").binding, checkpoint.header)
        engine = make_engine(Opened(planned, checkpoint, bigram), Settings(max_length=32, pass_tokens=3))
    assert engine.runner.cache.heads == ()
    requests = [engine.add(start, TWELVE) for start in STARTS]
    found: dict[int, list[int]] = {number: [] for number in requests}
    while engine.busy:
        for token in engine.step():
            assert token.choice is not None, token.error
            found[token.number].append(token.choice.token)
        engine.scheduler.check_integrity()
    assert list(found.values()) == chains(bigram)


def test_ranks_in_processes_of_their_own_find_it_as_well(bigram: Path) -> None:
    with LLM(bigram, tp=2, settings=Settings(max_length=32)) as llm:
        assert [found.token_ids for found in llm.generate(STARTS, TWELVE)] == chains(bigram)
