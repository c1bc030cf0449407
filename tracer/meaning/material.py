"""What the tests look at: the weights of a decoder by layer and role, and numbers of them, a few rows at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings.names import Indices, blank
from tracer.checkpoint.folder import Checkpoint
from tracer.diff.packed.recognise import weights
from tracer.diff.values.opened import rows_of
from tracer.diff.values.rows import Reader, Rows, Unreadable
from tracer.diff.weights import Weight
from tracer.infer.canonical import canonical
from tracer.infer.names import Group, Structure, grouped, structure

Numbers = NDArray[Any]
MOST_LAYERS = 16
"""Layers of which values are read, evenly spread: sixteen tell as much as eighty."""
PIECE = 1 << 22
"""Numbers that are read at once."""
_LARGEST = 1 << 25
_BEYOND = 1e12
"""No weight is as large, and the squares of squares of what is not can be added up."""
_QUARTERS = 4
_IN_RUNS = {"self_attn.qkv_proj": ("q", "k", "v"), "mlp.gate_up_proj": ("gate", "up"), "attn.qkv_proj": ("q", "k", "v")}
"""Modules that keep their parts one after the other, as Phi-3 does; others interleave them in ways of their own."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a matrix that have a meaning of their own: all of them, unless it is fused on disk."""

    weight: Weight
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.stop - self.start, (self.weight.shape or (0, 1))[-1] if len(self.weight.shape or ()) > 1 else 1

    @property
    def name(self) -> str:
        return self.weight.name

    @property
    def template(self) -> str:
        return blank(self.weight.name)[0]

    @property
    def is_whole(self) -> bool:
        """Whether it is all of a weight, and not a part of a fused one."""
        return self.weight.shape is not None and self.stop - self.start == self.weight.shape[0]

    @property
    def is_plain(self) -> bool:
        """Whether its numbers can be changed where they are: it is a tensor of its own, and not quantised."""
        return self.is_whole and self.weight.scheme is None

    @property
    def is_packed(self) -> bool:
        """Whether a quantiser packed it along its inputs: rounding alike, it leaves signs and lengths of its own."""
        return self.weight.scheme is not None and not self.weight.scheme.name.startswith("GGUF")


@dataclass
class Material:
    """A checkpoint whose bytes are here. Close it when done."""

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    serve: str | None = None
    """What it is to be served as, in safetensors spelling, if somebody said so."""
    names: Structure = field(init=False)
    sizes: dict[str, Any] = field(init=False)
    """Of config.json, in the vocabulary of `tracer.infer.canonical`."""
    grown: dict[int, dict[str, float]] | None = None
    """What `drawn.of_layers` found, kept for the next test."""

    def __post_init__(self) -> None:
        self._kept: tuple[str, Rows] | None = None  # what unpacks a quantised weight reads much of it at once
        self._reader = Reader(self.checkpoint.files, self.checkpoint.stamps)
        found = weights(self.checkpoint.tensors, self.config)
        self._weights: dict[tuple[str, Indices], Weight] = {blank(name): weight for name, weight in found.items()}
        self.names = structure(grouped(found, ()))
        self.sizes = canonical(self.config)

    def close(self) -> None:
        self._reader.close()

    def size(self, name: str) -> int:
        """A positive number of config.json; 0 where there is none."""
        value = self.sizes.get(name)
        return value if type(value) is int and value > 0 else 0

    @property
    def heads(self) -> tuple[int, int, int]:
        """Query heads, heads of keys, and dimensions of a head; zeros where config.json does not say."""
        heads = self.size("heads")
        dim = self.size("head_dim") or (self.size("hidden") // heads if heads else 0)
        return heads, self.size("kv_heads") or heads, dim

    # --- which weights ---

    def of(self, role: str, leaf: str = "weight") -> dict[int, Part]:
        """Layer -> the weight of a role, or the part of a fused one; of several experts the first."""
        found: dict[int, Part] = {}
        for group in self.names.of(role, leaf):
            for layer, weight in self._by_layer(group):
                if weight.shape and len(weight.shape) <= 2 and 0 not in weight.shape and layer not in found:
                    found[layer] = Part(weight, 0, weight.shape[0])
        return found or self._fused(role, leaf)

    def every(self, role: str, leaf: str = "weight") -> dict[Indices, Weight]:
        """All weights of a role by the numbers in their names: those of every expert."""
        return {at: weight for group in self.names.of(role, leaf) if group.stack for at, weight in self._all(group)}

    def outside(self, role: str) -> Part | None:
        """The one matrix of a role that is in no layer: `embed`, `head`."""
        own = [weight for group in self.names.of(role, "weight") if not group.stack for _, weight in self._all(group)]
        shape = own[0].shape if len(own) == 1 else None
        return Part(own[0], 0, shape[0]) if shape and len(shape) == 2 else None

    def vectors(self, *roles: str) -> dict[str, list[Part]]:
        """Template -> one-dimensional weights, those of layers and those outside."""
        found: dict[str, list[Part]] = defaultdict(list)
        for role in roles:
            for group in self.names.of(role, "weight"):
                own = [weight for _, weight in self._all(group)]
                found[group.template] += [
                    Part(w, 0, w.shape[0]) for w in own if w.shape and len(w.shape) == 1 and w.shape[0]
                ]
        return {template: held for template, held in found.items() if held}

    def buffers(self, role: str) -> list[Part]:
        """Bare tensors of a role, in layers and outside."""
        own = [weight for group in self.names.of(role, "") for _, weight in self._all(group)]
        return [Part(weight, 0, weight.shape[0]) for weight in own if weight.shape and len(weight.shape) == 1]

    def inside(self) -> dict[int, list[Part]]:
        """Layer -> its matrices, each with the place that it has in the layer, experts left out."""
        found: dict[int, list[Part]] = defaultdict(list)
        for group in self.names.groups:
            for layer, weight in self._by_layer(group) if group.leaf == "weight" and group.stack else ():
                if weight.shape and len(weight.shape) == 2 and min(weight.shape) > 1 and "expert" not in group.role:
                    found[layer].append(Part(weight, 0, weight.shape[0]))
        return dict(sorted(found.items()))

    def _all(self, group: Group) -> Iterator[tuple[Indices, Weight]]:
        for indices in sorted(group.indices):
            if weight := self._weights.get((group.template, indices)):
                yield indices, weight

    def _by_layer(self, group: Group) -> Iterator[tuple[int, Weight]]:
        return ((indices[0], weight) for indices, weight in self._all(group) if indices)

    def _fused(self, role: str, leaf: str) -> dict[int, Part]:
        heads, kv, dim = self.heads
        runs = {"q": heads * dim, "k": kv * dim, "v": kv * dim, "gate": self.size("ffn"), "up": self.size("ffn")}
        found: dict[int, Part] = {}
        for group in (g for fused in ("qkv", "gate_up") for g in self.names.of(fused, leaf)):
            parts = _IN_RUNS.get(group.module, ())
            if role not in parts:
                continue
            start = sum(runs[part] for part in parts[: parts.index(role)])
            whole = sum(runs[part] for part in parts)
            for layer, weight in self._by_layer(group):
                if weight.shape and weight.shape[0] == whole and runs[role]:
                    found[layer] = Part(weight, start, start + runs[role])
        return found

    # --- their numbers ---

    def read(self, part: Part, start: int = 0, stop: int | None = None) -> Numbers:
        """Rows of a part, as float32, [rows, columns]. Raises Unreadable, and InputError."""
        stop = part.stop - part.start if stop is None else stop
        if (stop - start) * part.shape[1] > _LARGEST:
            raise Unreadable(f"{part.name} has {stop - start:,} rows of {part.shape[1]:,} numbers, too many at once")
        if self._kept is None or self._kept[0] != part.name:
            self._kept = part.name, rows_of(self._reader, part.weight)
        found: Numbers = self._kept[1].read(part.start + start, part.start + stop)
        if np.iscomplexobj(found):
            raise Unreadable(f"{part.name} is complex")
        if not (np.abs(found) <= _BEYOND).all():
            raise Unreadable(f"{part.name} has numbers that are not finite, or larger than {_BEYOND:g}")
        return found.astype(np.float32, copy=False)

    def sampled(self, part: Part, most: int) -> Numbers:
        """At most so many rows: a few runs of them, evenly spread."""
        most = min(most, max(_QUARTERS, PIECE // max(1, part.shape[1])))
        return np.concatenate([self.read(part, start, stop) for start, stop in runs(part.shape[0], most)])

    def pieces(self, part: Part, multiple: int = 1) -> Iterator[Numbers]:
        """All rows, in pieces of whole multiples."""
        step = max(multiple, PIECE // max(1, part.shape[1]) // multiple * multiple)
        for start in range(0, part.shape[0], step):
            yield self.read(part, start, min(start + step, part.shape[0]))


def runs(count: int, most: int) -> list[tuple[int, int]]:
    """At most so many of `count` things, in runs: [(start, stop)]."""
    if count <= most:
        return [(0, count)]
    run = max(1, most // _QUARTERS)
    starts = [number * (count - run) // (_QUARTERS - 1) for number in range(_QUARTERS)]
    return [(start, start + run) for start in starts]


def spread(layers: Sequence[int], most: int = MOST_LAYERS) -> list[int]:
    """At most so many of the layers, the first and the last among them."""
    found = sorted(layers)
    if len(found) <= most:
        return found
    return [found[number * (len(found) - 1) // (most - 1)] for number in range(most)]
