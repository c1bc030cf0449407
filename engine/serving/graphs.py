"""CUDA graphs: what a function starts on a GPU, recorded, and started again all at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from engine.serving.steps import Replay, Unrecordable

WAITED = "called a synchronizing CUDA operation"
"""What PyTorch says of that which makes the host wait, where this is refused."""


class Graphs:
    """A `Record` for one GPU.

    All graphs take what they need between their kernels from one pool: no two run at once, and none reads what another
    left there. What each gives lies apart from it for as long as its `Replay` is kept.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Callable[[], Tensor]) -> Replay:
        """`compute` is run once more before it is recorded, to see whether it waits for the GPU, which nothing does
        that is recorded: a recording that has been broken off leaves the allocator in disorder. Raises Unrecordable,
        and whatever `compute` raises when it is not recorded.
        """  # fmt: skip
        with _waiting_refused():
            compute()
        return self._recorded(compute)

    def _recorded(self, compute: Callable[[], Tensor]) -> Replay:
        """Nothing runs meanwhile, collectives neither: whatever fails is the recording, and no other rank waits."""
        try:
            graph, out = self._capture(compute)
        except RuntimeError as error:
            raise Unrecordable(str(error)) from error

        def replay() -> Tensor:
            graph.replay()
            return out

        return replay

    def _capture(self, compute: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph = torch.cuda.CUDAGraph()
        # The outer context brings the stream back also where the inner one fails; threads of others, such as NCCL's,
        # may ask the GPU things meanwhile that this one may not.
        with (
            torch.cuda.stream(self._stream),
            torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"),
        ):
            out = compute()
        return graph, out


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """What makes the host wait for a GPU raises Unrecordable in here, as far as PyTorch knows of it."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each process is told once that this is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if WAITED not in str(error):
            raise
        raise Unrecordable(str(error)) from error
    finally:
        torch.cuda.set_sync_debug_mode(before)
