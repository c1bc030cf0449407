"""What is known of a tensor when every byte of it was read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from xxhash import xxh3_128

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.values import large
from tracer.values.decoding import readable, table
from tracer.values.in_order import InOrder
from tracer.values.large import Large
from tracer.values.parts import Number, Part
from tracer.values.patterns import Counts, Patterns
from tracer.values.wide import Wide
from tracer.values.zero_bytes import ZeroBytes, zero_bytes


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one tensor. Of finite numbers only: minimum, maximum, mean, std, smallest and the histogram."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int
    nbytes: int
    part: Part
    """Its numbers; of no element where they could not be read."""
    first_nonfinite: int | None
    """Flat, in the order of the bytes."""
    zeroes: ZeroBytes
    digest: str
    """XXH3-128 of the bytes in the file, in hex; empty where they were not read. Tensors do not share one by accident;
    where somebody may have made them to, compare the bytes."""
    unread: str = ""
    """Why there are no numbers."""

    @property
    def count(self) -> int:
        """Numbers that were read; a complex element is two."""
        part = self.part
        return part.nan + part.positive_infinity + part.negative_infinity + part.finite

    @property
    def nonfinite(self) -> int:
        return self.count - self.part.finite

    @property
    def std(self) -> float | None:
        """Of the population, as numpy's default."""
        part = self.part
        return sqrt(part.spread / part.finite) * 2.0**part.power if part.finite else None

    @property
    def mean(self) -> float | None:
        return self.part.mean if self.part.finite else None

    @property
    def largest(self) -> Number | None:
        """The largest magnitude."""
        part = self.part
        return None if part.minimum is None or part.maximum is None else max(-part.minimum, part.maximum, 0)

    @property
    def sparsity(self) -> float | None:
        """The share of zeros."""
        return self.part.zeros / self.count if self.count else None

    @property
    def sampled(self) -> bool:
        """Whether the histogram is of a part of the numbers, as it is in large tensors."""
        held = self.part.histogram
        return sum(held.negative) + sum(held.positive) < self.part.finite - self.part.zeros

    @property
    def all_zero(self) -> bool:
        """Known from the bytes, too, where the numbers are not."""
        return self.zeroes.everything or (self.count > 0 and self.part.zeros == self.count)

    @property
    def constant(self) -> bool:
        """Whether all elements are one finite number."""
        return self.count > 0 and not self.nonfinite and self.part.minimum == self.part.maximum

    def record(self) -> dict[str, Any]:
        """As JSON has it: a line of kind `values`."""
        part, histogram = self.part, self.part.histogram
        return {
            "kind": "values", "name": self.name, "dtype": self.dtype, "shape": list(self.shape), "file": self.file,
            "offset": self.offset, "nbytes": self.nbytes, "count": self.count, "nan": part.nan,
            "positive_infinity": part.positive_infinity, "negative_infinity": part.negative_infinity,
            "first_nonfinite": self.first_nonfinite, "zeros": part.zeros, "minimum": part.minimum,
            "maximum": part.maximum, "mean": self.mean, "std": self.std, "smallest": part.smallest,
            "sparsity": self.sparsity, "constant": self.constant, "overflow": part.overflow,
            "underflow": part.underflow, "digest": self.digest or None, "unread": self.unread or None,
            "histogram": {
                "sampled": self.sampled,
                "low": histogram.low, "negative": list(histogram.negative), "positive": list(histogram.positive),
            },
            "zero_run": {"start": self.zeroes.start, "nbytes": self.zeroes.longest},
        }  # fmt: skip


class Reading:
    """Takes the pieces of one tensor and says in the end what they came to, the same however many threads fold them."""

    def __init__(self, tensor: TensorInfo, target: str | None) -> None:
        self._tensor = tensor
        self._digest = xxh3_128()
        self._zeroes = InOrder(ZeroBytes())
        self._parts = InOrder(Part())
        self._numbers = _reader(tensor, target)

    def take(self, piece: memoryview) -> None:
        """What can only be done with one piece after the other."""
        self._digest.update(piece)

    def fold(self, piece: memoryview, number: int, at: int, scratch: Counts) -> None:
        """The rest, in any order: piece `number`, whole elements or blocks from byte `at` of the tensor on."""
        raw = np.frombuffer(piece, np.uint8)
        self._zeroes.add(number, zero_bytes(raw))
        if self._numbers is not None:
            self._parts.add(number, self._numbers.fold(raw, at, scratch))

    def done(self) -> Statistics:
        """When all pieces were taken and folded."""
        zeroes, digest, numbers = self._zeroes.total.settled(), self._digest.hexdigest(), self._numbers
        if numbers is None:
            return _statistics(self._tensor, Part(), None, zeroes, digest, f"dtype {self._tensor.dtype}")
        return _statistics(self._tensor, self._parts.total + numbers.rest(), numbers.first, zeroes, digest, "")


def of_pieces(tensor: TensorInfo, pieces: Iterable[memoryview], target: str | None, scratch: Counts) -> Statistics:
    """What the pieces come to, each a whole number of elements or blocks.

    `scratch` has room for eight bytes an element of two bytes of the longest piece.
    """
    reading, at = Reading(tensor, target), 0
    for number, piece in enumerate(pieces):
        reading.take(piece)
        reading.fold(piece, number, at, scratch)
        at += len(piece)
    return reading.done()


def without_bytes(tensor: TensorInfo, reason: str) -> Statistics:
    """Of a tensor that could not be read at all."""
    return _statistics(tensor, Part(), None, ZeroBytes(), "", reason)


def _reader(tensor: TensorInfo, target: str | None) -> Patterns | Wide | Large | None:
    dtype, big_endian = tensor.dtype, tensor.big_endian
    if not readable(dtype):
        return None
    exact: Patterns | Wide
    if table(dtype) is not None:
        exact = Patterns(dtype, big_endian=big_endian, target=target)
    else:
        exact = Wide(dtype, big_endian=big_endian, target=target)
    if large.suits(dtype, tensor.nbytes):
        return Large(dtype, exact, big_endian=big_endian, target=target)
    return exact


def _statistics(
    tensor: TensorInfo, part: Part, first: int | None, zeroes: ZeroBytes, digest: str, unread: str
) -> Statistics:
    assert tensor.file is not None and tensor.offset is not None
    place = (tensor.file, tensor.offset, tensor.nbytes)
    return Statistics(tensor.name, tensor.dtype, tensor.shape, *place, part, first, zeroes, digest, unread)
