"""How many ranks somebody has tried: as asked here, as the log says, as an error counts them."""

from __future__ import annotations

from tracer.diagnose.case import Case

_SETTINGS = ("tensor_parallel_size", "tp_size", "tp", "tensor-parallel-size", "num_shard")


def ranks_of(case: Case) -> int:
    """1 where nothing says more."""
    asked = case.original.request.tp
    if asked > 1:
        return asked
    for setting in _SETTINGS:
        told = case.told.settings.get(setting, "")
        if told.isdecimal() and len(told) < 10 and 1 < int(told) < 1 << 16:
            return int(told)
    return 1
