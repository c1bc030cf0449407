"""How a tensor is kept, in words: dtype and shape, or that no header and no row tells them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.report import words

UNKNOWN = "not known"


def known(info: TensorInfo) -> bool:
    """Whether anything tells its shape. Of a name that only an index has and no row claims nothing does."""
    return info.file is not None or info.offset is not None or info.shape != (0,)


def unknown(infos: Sequence[TensorInfo]) -> int:
    """How many of them nothing tells of. All that stand in files are known, and are not looked at one by one."""
    return sum(not known(info) for info in infos) if None in map(attrgetter("file"), infos) else 0


def kept(info: TensorInfo) -> str:
    """`BF16 (4096, 4096)`."""
    return f"{info.dtype} {words.shape(info.shape)}" if known(info) else UNKNOWN


def sized(info: TensorInfo) -> str:
    """`33.55 MB`."""
    return words.size(info.nbytes) if known(info) else UNKNOWN
