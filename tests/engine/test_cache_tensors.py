"""A cache's memory: as much as its blocks are said to take."""

from __future__ import annotations

import torch

from engine.attention.backend import Heads
from engine.cache.tensors import KVCache, bytes_per_block


def test_a_cache_takes_what_its_blocks_are_said_to_take() -> None:
    heads = [Heads(0, 4, 2, 8, 1.0), Heads(5, 4, 4, 16, 1.0)]
    cache = KVCache(heads, 7, 3, torch.bfloat16)
    shapes = [tensor.shape for layer in (0, 5) for tensor in cache.pages(layer)]
    assert shapes == [(7, 3, 2, 8), (7, 3, 2, 8), (7, 3, 4, 16), (7, 3, 4, 16)]
    taken = sum(tensor.nbytes for layer in (0, 5) for tensor in cache.pages(layer))
    assert taken == 7 * bytes_per_block(heads, 3, torch.bfloat16)


def test_a_model_without_attention_has_an_empty_cache() -> None:
    assert bytes_per_block([], 16, torch.float32) == 0
    assert KVCache([], 1000, 16, torch.float32).heads == ()
