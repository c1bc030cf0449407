"""Which rows a weight is read by: its own, or those of its scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from tracer.diff.packed.four_bits import BitsAndBytes4, MxFp4, NvFp4
from tracer.diff.packed.groups import ByInput, ByOutput
from tracer.diff.packed.scaled import Scaled
from tracer.diff.values.rows import Reader, Rows, Stored, Unreadable
from tracer.diff.weights import Weight

_DECODERS: Mapping[str, Callable[[Reader, Weight], Rows]] = {
    "GPTQ": ByInput, "AWQ": ByInput, "MLX": ByOutput, "compressed-tensors": ByOutput, "INT8": Scaled, "FP8": Scaled,
    "bitsandbytes int8": Scaled, "bitsandbytes NF4": BitsAndBytes4, "bitsandbytes FP4": BitsAndBytes4,
    "NVFP4": NvFp4, "MXFP4": MxFp4,
}  # fmt: skip


def rows_of(reader: Reader, weight: Weight) -> Rows:
    """The numbers that a weight stands for. Raises Unreadable, and InputError for a file that became another."""
    if not weight.members:
        raise Unreadable("its file is not here")
    scheme = weight.scheme
    if scheme is None or scheme.name.startswith("GGUF"):
        return Stored(reader, weight.info)
    if scheme.unread:
        raise Unreadable(scheme.unread)
    decoder = _DECODERS.get("FP8" if scheme.name.startswith("FP8") else scheme.name)
    if decoder is None:
        raise Unreadable(f"{scheme} cannot be dequantised")
    return _Fitted(decoder, reader, weight)


class _Fitted:
    """The rows of a scheme, whose parts are tensors that need not be of sizes and types that go together."""

    def __init__(self, decoder: Callable[[Reader, Weight], Rows], reader: Reader, weight: Weight) -> None:
        if any(info.dtype == "C64" for info in weight.members.values()):
            raise Unreadable("one of its parts is complex")
        with _fitting():
            self._rows = decoder(reader, weight)
        self.shape, self.dtype = self._rows.shape, self._rows.dtype

    def read(self, start: int, stop: int) -> NDArray[Any]:
        with _fitting():
            return self._rows.read(start, stop)


@contextmanager
def _fitting() -> Iterator[None]:
    """What numpy says of shapes that differ is why a weight is not read. Raises Unreadable."""
    try:
        yield
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise Unreadable(f"its parts do not fit together ({error})") from error
