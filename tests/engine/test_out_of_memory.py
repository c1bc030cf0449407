"""What memory has no room for: one line with what was asked for, where, and what makes it smaller."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch

from engine import LLM, Sampling, Settings
from engine.opened import Opened
from engine.processes.failed import RankFailed
from engine.serving.runner import Runner
from mappings.plan import plan
from mappings.registry import choose
from mappings.synth import synthesise
from tests.engine.checkpoints import config_of
from tests.engine.memory import Memory
from tests.engine.test_generation import engine_of
from tests.engine.worded import write_bare
from tests.threads import one_thread
from tracer.cli import main

__all__ = ["one_thread"]
MORE_THAN_ADDRESSES = 1 << 48
"""Bytes; no system lends so many, however lightly it promises."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bare(tmp_path_factory.mktemp("bare"))


def giant(tp: int) -> Opened:
    """A model whose embeddings alone are too large; none of its tensors are there."""
    config = config_of("llama") | {"vocab_size": 1 << 30, "hidden_size": 1 << 20, "head_dim": 8}
    binding = choose(config, None, tp, "F32").binding
    return Opened(plan(binding, synthesise(binding)), Memory({}), Path())


def whole_bytes(opened: Opened, names: tuple[str, ...]) -> int:
    """Of the tensors, as a header would list them."""
    return sum(4 * torch.Size(t.shape).numel() for t in opened.plan.tensors if t.name.split(".")[-2] in names)


def test_parameters_are_told_with_their_bytes_on_one_rank() -> None:
    with pytest.raises(MemoryError) as caught:
        LLM(partial(giant, 1))
    told = re.fullmatch(
        r"no memory for the parameters of rank 0: ([\d,]+) bytes, [\d,]+ are free on cpu;"
        r" a larger tp \(--tp\) or a narrower data type \(--dtype\) takes less on each rank",
        str(caught.value),
    )
    assert told is not None, caught.value
    opened = giant(1)
    assert int(told[1].replace(",", "")) == sum(4 * torch.Size(t.shape).numel() for t in opened.plan.tensors)


def test_of_several_ranks_the_one_is_told_with_its_own_share() -> None:
    """Norms are whole on each; all else is halved."""
    with pytest.raises(RankFailed, match="MemoryError: no memory for the parameters of rank ") as caught:
        LLM(partial(giant, 2), tp=2)
    assert caught.value.kind == "MemoryError"
    told = re.search(r"of rank (\d): ([\d,]+) bytes", caught.value.message)
    assert told is not None and int(told[1]) == caught.value.rank
    opened = giant(2)
    norms = whole_bytes(opened, ("norm", "input_layernorm", "post_attention_layernorm"))
    everything = sum(4 * torch.Size(t.shape).numel() for t in opened.plan.tensors)
    assert int(told[2].replace(",", "")) == norms + (everything - norms) // 2


def test_a_cache_is_told_with_its_blocks_before_books_are_kept_of_them(bare: Path) -> None:
    """These alone would fill memory."""
    settings = Settings(cache_bytes=1 << 62, block_size=4, max_length=1 << 20, sequences=1 << 24)
    blocks = (1 << 24) * ((1 << 18) + 1)
    with pytest.raises(MemoryError) as caught:
        engine_of(bare, settings)
    said = f"no memory for the cache of rank 0: {blocks} blocks of 4 tokens, {blocks * 1536:,} bytes, "
    assert blocks * 1536 > MORE_THAN_ADDRESSES
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(" are free on cpu; cache_bytes (--cache-gib) makes it smaller")


def test_a_pass_without_memory_ends_its_call_and_not_the_model(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = LLM(bare, settings=Settings(block_size=4, cache_bytes=1 << 20, pass_tokens=32))
    asked = Sampling(max_tokens=6, ignore_eos=True)
    expected = llm.generate([[5, 6, 7]], asked)
    said = r"^no memory for a pass of 32 tokens; pass_tokens \(--pass-tokens\) makes it smaller$"
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "run", lambda *_: torch.empty(MORE_THAN_ADDRESSES, dtype=torch.uint8))
        with pytest.raises(MemoryError, match=said):
            llm.generate([[5, 6, 7], [8]], asked)
    assert llm.generate([[5, 6, 7]], asked) == expected


@pytest.mark.gpu
def test_a_gpu_is_told_by_its_name_and_serves_on_with_less(bare: Path) -> None:
    settings = Settings("cuda", block_size=16, cache_bytes=1 << 62, max_length=1 << 20, sequences=1 << 24)
    with pytest.raises(MemoryError, match=r"^no memory for the cache of rank 0: .*, [\d,]+ are free on cuda; cache_"):
        LLM(bare, settings=settings)
    llm = LLM(bare, settings=Settings("cuda", cache_bytes=1 << 20))
    assert llm.generate([[5, 6, 7]], Sampling(max_tokens=6, ignore_eos=True))[0].finish_reason == "length"


@pytest.mark.parametrize("tp", ["1", "2"])
def test_the_command_prints_the_line_and_exits_with_2(tp: str, bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    greedy = ["--cache-gib", "1048575", "--max-sequences", str(1 << 40), "--device", "cpu", "--tp", tp]
    assert main(["generate", str(bare), "--prompt-ids", "5,6", *greedy]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        r"tracer: no memory for the cache of rank [01]: \d+ blocks of 16 tokens, [\d,]+ bytes, [\d,]+ are free on cpu;"
        r" cache_bytes \(--cache-gib\) makes it smaller\n",
        captured.err,
    ), captured.err
