"""The engine of one rank, made of an opened checkpoint: parameters filled, cache sized, requests served."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias

from engine.attention.choice import block_size
from engine.cache.blocks import BlockPool
from engine.cache.tensors import KVCache, bytes_per_block
from engine.layers.linear_method import weights_loaded
from engine.layers.packed import fastest
from engine.layers.rope import stretched
from engine.loading.build import build, parameter_bytes
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.memory import allocating, free_bytes
from engine.models.contract import CausalLM
from engine.opened import Opened, Opener
from engine.parallel import ALONE, Group, from_all
from engine.processes.distributed import ProcessGroup
from engine.sampling.params import Sampling
from engine.serving.alike import agreed, check_opened
from engine.serving.engine import Engine, Token
from engine.serving.length import ENDLESS, longest
from engine.serving.refusal import Refused, numbered
from engine.serving.runner import Runner, Survey, recordable, survey
from engine.serving.scheduler import Limits, Scheduler
from engine.serving.steps import Bounds
from engine.text import Tokenizer, eos_ids

LONGEST = 1 << 20
"""Tokens; no cache is made for longer sequences than this, and for no more of them together where a model has no end
of its own."""
SHARE = 0.5
"""Of the memory that is free once the parameters are there, what the cache may take."""
MOST = 8 << 30
"""Bytes of cache on a CPU, whose memory is not the engine's alone."""

Prompt: TypeAlias = tuple[Sequence[int], Sampling]


class Settings(NamedTuple):
    """How requests are served."""

    device: str = "cpu"
    block_size: int | None = None
    """Tokens in a block of the cache; None: as suits the attention of the device."""
    cache_bytes: int | None = None
    """On each rank; None: as much as is of use and free."""
    pass_tokens: int = 2048
    """Most tokens in a pass: longer prompts are computed in chunks."""
    sequences: int = 64
    """Most sequences in a pass."""
    max_length: int | None = None
    """Most tokens of a sequence; None: as many as the model was made for."""
    cuda_graphs: bool = True
    """Whether a GPU is to replay the passes of decoding from recordings, where it can."""


def make_engine(opened: Opened, settings: Settings, rank: int = 0, group: Group = ALONE) -> Engine:
    """Allocate, load and measure. Raises ValueError for a model that cannot generate so, MemoryError."""
    plan = opened.plan
    model = _loaded(opened, settings.device, rank, group)
    length = longest(plan.binding, settings.max_length)
    scheduler, cache = make_cache(survey(model, settings.device), settings, length, eos(opened), group, rank)
    runner = Runner(model, cache, settings.device, _bounds(settings, scheduler, cache), group)
    tokenizer, _ = Tokenizer.if_sound(opened.folder)
    vocabulary = plan.binding.axes.size("vocab")
    return Engine(runner, scheduler, vocabulary, tokenizer, stretched(plan.binding.config), group)


def _bounds(settings: Settings, scheduler: Scheduler, cache: KVCache) -> Bounds | None:
    """Of the passes that are recorded; None where the cache has no block for their padding."""
    known = scheduler.pool.count
    return Bounds(settings.sequences, scheduler.longest, known) if cache.blocks > known else None


def _loaded(opened: Opened, device: str, rank: int, group: Group) -> CausalLM:
    """The model, its parameters filled and as its linear methods want them. Raises ValueError, MemoryError."""
    plan = opened.plan
    what = f"the parameters of rank {rank}: {parameter_bytes(plan, rank):,} bytes"
    with allocating(what, "a larger tp (--tp) or a narrower data type (--dtype) takes less on each rank", device):
        built = build(plan, rank, device, group, None if plan.binding.scheme else fastest(device))
        model = built.generator()
        Loader(plan, rank, opened.source, NullRecorder()).load(built.params)
        del built  # what a linear method stores otherwise is not to stay here as it was
        weights_loaded(model)
    return model


def make_cache(
    found: Survey, settings: Settings, length: int, ends: AbstractSet[int], group: Group = ALONE, rank: int = 0
) -> tuple[Scheduler, KVCache]:  # fmt: skip
    """A cache of as many blocks as there is room for, and the scheduler that keeps its books. Raises MemoryError.

    `length`: of the longest sequence, unless the settings have one.
    """
    heads = list(found.heads.values())
    length = settings.max_length or length
    size = settings.block_size or _block_size(settings.device, found, length, group)
    one = bytes_per_block(heads, size, found.dtype)
    blocks = _blocks(one, size, settings, length, group)
    limits = Limits(settings.pass_tokens, settings.sequences, length)
    what = f"the cache of rank {rank}: {blocks} blocks of {size} tokens, {blocks * one:,} bytes"
    nobodys = int(settings.cuda_graphs and recordable(found, size, settings.device, group))
    with allocating(what, "cache_bytes (--cache-gib) makes it smaller", settings.device):
        cache = KVCache(heads, blocks + nobodys, size, found.dtype, settings.device)
    return Scheduler(BlockPool(blocks, size), limits, ends), cache


def _block_size(device: str, found: Survey, length: int, group: Group) -> int:
    """As attention likes it. Where there is none nothing is kept, and one block has room for any sequence."""
    heads = list(found.heads.values())
    return block_size(device, found.dtype, heads, group) if heads else min(length, LONGEST)


def eos(opened: Opened) -> frozenset[int]:
    """The ids that end a text, as the user or the checkpoint says."""
    return eos_ids(opened.folder, opened.plan.binding.config.fields, opened.overrides)


def _blocks(one: int, size: int, settings: Settings, length: int, group: Group) -> int:
    """How many blocks of `one` byte count the cache has, the same on every rank. Raises MemoryError where none fits."""
    useful = _useful(size, settings.sequences, length)
    if not one:
        return useful
    room = settings.cache_bytes
    if room is None:
        room = int(SHARE * free_bytes(settings.device) / _neighbours(settings.device, group))
        room = min(room, MOST) if settings.device == "cpu" else room
    blocks = min(fitting for (fitting,) in from_all([min(room // one, useful)], group, settings.device))
    if blocks < 1:
        raise MemoryError(f"no memory for the cache: a block of {size} tokens takes {one} bytes,"
                          f" {room} are there")  # fmt: skip
    return blocks


def _useful(size: int, sequences: int, length: int) -> int:
    """Blocks for as many sequences as run at once, and for each the one that the scheduler keeps spare."""
    each = -(-min(length, LONGEST) // size)
    return sequences + (sequences * each if length < ENDLESS else max(sequences, each))


def _neighbours(device: str, group: Group) -> int:
    """How many ranks share the memory that is free: those of this machine, which torchrun counts."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", group.size)) if device == "cpu" else 1


def run(engine: Engine, prompts: Sequence[Prompt]) -> Generator[list[Token]]:
    """Serve prompts to their ends: first nothing, then what each pass brought. Numbers count from 0 in a call.

    Raises Refused before the first pass, MemoryError for a pass too large. To stop early aborts the rest.
    """
    for place, (ids, sampling) in enumerate(prompts):
        with numbered(place, len(prompts)):
            engine.check(ids, sampling)
    numbers: dict[int, int] = {}
    what = f"a pass of {engine.scheduler.limits.tokens} tokens"
    try:
        for place, (ids, sampling) in enumerate(prompts):
            numbers[engine.add(ids, sampling)] = place
        while engine.busy:
            with allocating(what, "pass_tokens (--pass-tokens) makes it smaller"):
                tokens = engine.step()
            yield [token._replace(number=numbers[token.number]) for token in tokens]
    finally:
        engine.abort(numbers)


def serve(group: ProcessGroup, opener: Opener, settings: Settings, apart: bool, wire: Connection) -> None:
    """A rank's life: be told of prompts, answer with tokens if it is the one to speak, until told to end.

    `apart`: each rank is told by a process of its own, and speaks to that; else one tells all, and rank 0 speaks.
    """
    opened = opener()
    if apart:
        check_opened(group, opened, settings)
    speaks = apart or group.rank == 0
    engine = make_engine(opened, settings._replace(device=group.device), group.rank, group)
    with closing(engine.runner):
        wire.send(opened.folder)
        while (prompts := wire.recv()) is not None:
            try:
                for tokens in run(engine, agreed(group, prompts) if apart else prompts):
                    if speaks:
                        wire.send(tokens)
                last: Refused | None = None
            except Refused as error:  # by all ranks alike
                last = error
            if speaks:
                wire.send(last)
