"""The engine of one rank, made of an opened checkpoint: parameters filled, cache sized, requests served."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from collections.abc import Set as AbstractSet
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias

import torch

from engine.attention.choice import block_size
from engine.cache.blocks import BlockPool
from engine.cache.memory import free_bytes
from engine.cache.tensors import KVCache, bytes_per_block
from engine.layers.linear_method import weights_loaded
from engine.layers.rope import stretched
from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.opened import Opened, Opener
from engine.parallel import ALONE, Group
from engine.processes.distributed import ProcessGroup
from engine.sampling.params import Sampling
from engine.sampling.sampler import NotFinite
from engine.serving.engine import Engine, Token
from engine.serving.runner import Runner, Survey, survey
from engine.serving.scheduler import Limits, Scheduler
from engine.text import Tokenizer, eos_ids
from mappings.sizes import Config

LONGEST = 1 << 20
"""Tokens; no cache is made for longer sequences than this where a model has no end of its own."""
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


def make_engine(opened: Opened, settings: Settings, rank: int = 0, group: Group = ALONE) -> Engine:
    """Allocate, load and measure. Raises ValueError for a model that cannot generate, MemoryError."""
    plan = opened.plan
    built = build(plan, rank, settings.device, group)
    model = built.generator()
    Loader(plan, rank, opened.source, NullRecorder()).load(built.params)
    del built  # what a linear method stores otherwise is not to stay here as it was
    weights_loaded(model)
    config = plan.binding.config
    scheduler, cache = make_cache(survey(model, settings.device), settings, longest(config), eos(opened), group)
    tokenizer, _ = Tokenizer.open(opened.folder)
    return Engine(
        Runner(model, cache, settings.device), scheduler, plan.binding.axes.size("vocab"), tokenizer,
        stretched(config),
    )  # fmt: skip


def make_cache(
    found: Survey, settings: Settings, length: int, ends: AbstractSet[int], group: Group = ALONE
) -> tuple[Scheduler, KVCache]:  # fmt: skip
    """A cache of as many blocks as there is room for, and the scheduler that keeps its books. Raises MemoryError."""
    heads = list(found.heads.values())
    size = settings.block_size or block_size(settings.device, found.dtype, heads)
    length = settings.max_length or length
    blocks = _blocks(bytes_per_block(heads, size, found.dtype), size, settings, length, group)
    limits = Limits(settings.pass_tokens, settings.sequences, length)
    return Scheduler(BlockPool(blocks, size), limits, ends), KVCache(heads, blocks, size, found.dtype, settings.device)


def eos(opened: Opened) -> frozenset[int]:
    """The ids that end a text, as the checkpoint says."""
    return eos_ids(opened.folder, opened.plan.binding.config.fields)


def longest(config: Config) -> int:
    """How many tokens the model was made for; where nothing says, as for ALiBi, there is no end but the cache's."""
    fields = ("max_position_embeddings", "n_positions", "max_sequence_length")
    return next((size for name in fields if (size := config.size(name))), 1 << 30)


def _blocks(one: int, size: int, settings: Settings, length: int, group: Group) -> int:
    """How many blocks of `one` byte count the cache has, the same on every rank. Raises MemoryError where none fits."""
    useful = settings.sequences * -(-min(length, LONGEST) // size)
    if not one:
        return useful
    room = settings.cache_bytes
    if room is None:
        room = int(SHARE * free_bytes(settings.device) / _neighbours(settings.device, group))
        room = min(room, MOST) if settings.device == "cpu" else room
    fitting = torch.tensor([min(room // one, useful)], device=settings.device)
    blocks = int(group.all_gather(fitting).min())
    if blocks < 1:
        raise MemoryError(f"no memory for the cache: a block of {size} tokens takes {one} bytes,"
                          f" {room} are there")  # fmt: skip
    return blocks


def _neighbours(device: str, group: Group) -> int:
    """How many ranks share the memory that is free."""
    return group.size if device == "cpu" else 1


class Refused(ValueError):
    """A prompt that cannot be served; none of its call has been begun."""


def run(engine: Engine, prompts: Sequence[Prompt]) -> Generator[list[Token]]:
    """Serve prompts to their ends: first nothing, then what each pass brought. Numbers count from 0 in a call.

    Raises Refused before the first pass, ValueError for logits that are not finite. To stop early aborts the rest.
    """
    for place, (ids, sampling) in enumerate(prompts):
        try:
            engine.check(ids, sampling)
        except ValueError as error:
            raise Refused(f"prompt {place}: {error}" if len(prompts) > 1 else str(error)) from error
    numbers = {engine.add(ids, sampling): place for place, (ids, sampling) in enumerate(prompts)}
    try:
        while engine.busy:
            yield [token._replace(number=numbers[token.number]) for token in engine.step()]
    finally:
        engine.abort(numbers)


def serve(group: ProcessGroup, opener: Opener, settings: Settings, wire: Connection) -> None:
    """A rank's life: be told of prompts, answer with tokens if it is rank 0, until told to end."""
    opened = opener()
    engine = make_engine(opened, settings._replace(device=group.device), group.rank, group)
    wire.send(opened.folder)
    while (prompts := wire.recv()) is not None:
        try:
            for tokens in run(engine, prompts):
                if group.rank == 0:
                    wire.send(tokens)
            last: Exception | None = None
        except (Refused, NotFinite) as error:  # alike on every rank, as the logits are
            last = ValueError(str(error))
        if group.rank == 0:
            wire.send(last)
