"""The stack, memo and limits of a pickle machine that builds nothing.

Nothing in a pickle is run: a global is looked up in `allowed.py`, a call becomes a value of `values.py`. Every opcode
costs one of a fixed number of steps, whatever is copied costs its length, and nothing is allocated before the bytes
that it is made of have been seen. No function follows references, so depth and cycles cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeAlias

from tracer.checkpoint.pytorch import allowed
from tracer.checkpoint.pytorch.allowed import Allowed
from tracer.checkpoint.pytorch.refusal import Malformed, Refusal, Truncated, shown
from tracer.checkpoint.pytorch.values import Oddity, Opaque, Pairs, Storage, Tensor, Value

STEPS = 2_000_000
"""About 30 are needed for one tensor."""
STRING_LIMIT = 1 << 20
LINE_LIMIT = 1 << 16
INT_LIMIT = 256
"""Bytes; the longest number of a state dict is PyTorch's magic number of ten."""
NESTING = 10_000
"""Marks open at a time: one a level of nested containers."""


class Machine:
    """The state between two opcodes of one pickle in `data`, which lies in the file at byte `base`."""

    def __init__(self, data: bytes, start: int, base: int) -> None:
        self.data = data
        self.at = start
        self.base = base
        self.opcode_at = start
        self.stack: list[Value] = []
        self.below: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.storages: dict[str, Storage] = {}
        self.tensors_built = 0
        self._steps = STEPS

    # --- the bytes ---

    def begin(self) -> int:
        """The next opcode."""
        self.opcode_at = self.at
        self.charge(1)
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        stop = self.at + count
        if stop > len(self.data):
            raise Truncated("pickle.unreadable", f"byte {self.base + len(self.data)}: the pickle ends too early")
        taken = self.data[self.at : stop]
        self.at = stop
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def sized(self, width: int, limit: int) -> bytes:
        """So many bytes as the next `width` bytes say."""
        count = self.number(width)
        if count > limit:
            self.refuse(f"the pickle announces {count} bytes; at most {limit} are read")
        return self.take(count)

    def line(self) -> bytes:
        stop = self.data.find(b"\n", self.at, self.at + LINE_LIMIT)
        if stop < 0 and self.at + LINE_LIMIT <= len(self.data):
            self.refuse(f"the pickle has a line of more than {LINE_LIMIT} bytes")
        if stop < 0:
            self.take(len(self.data) - self.at + 1)
        return self.take(stop + 1 - self.at)[:-1]

    # --- the stack ---

    def push(self, value: Value) -> None:
        self.stack.append(value)

    def pop(self) -> Value:
        self._need(1)
        return self.stack.pop()

    def top(self) -> Value:
        self._need(1)
        return self.stack[-1]

    def last(self, count: int) -> list[Value]:
        """The last values, taken off."""
        self._need(count)
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def mark(self) -> None:
        if len(self.below) >= NESTING:
            self.refuse(f"the pickle has more than {NESTING} containers inside each other")
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Value]:
        if not self.below:
            self.refuse("the pickle ends a container that was never begun")
        values, self.stack = self.stack, self.below.pop()
        return values

    def _need(self, count: int) -> None:
        if len(self.stack) < count:
            self.refuse("the pickle takes a value from an empty stack")

    # --- the memo ---

    def remember(self, index: int) -> None:
        if not 0 <= index <= len(self.data):
            self.refuse(f"the pickle has {len(self.data)} bytes, it cannot need a memo index of {index}")
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            self.refuse(f"the pickle recalls value {index}, which was not remembered")
        self.push(self.memo[index])

    # --- what would run, were this Python ---

    def refer(self, module: Value, name: Value) -> None:
        """Push the global if it is allowed."""
        if not isinstance(module, str) or not isinstance(name, str):
            self.refuse("expected the name of a global, found something else")
        found = allowed.find(module, name)
        if found is None:
            self.refuse_global(f"{module}.{name}")
        self.push(found)

    def call(self, function: Value, args: Value) -> None:
        if not isinstance(function, Allowed) or function.build is None or not isinstance(args, tuple):
            self.refuse(f"the pickle calls {function.name if isinstance(function, Allowed) else shown(function)}")
        self.charge(sum(len(value) for value in args if isinstance(value, list | tuple)))
        try:
            value = function.build(args)
        except Malformed as error:
            self.refuse(f"{function.name}: {error}")
        self.tensors_built += isinstance(value, Tensor | Oddity) and not any(value is one for one in args)
        self.push(value)

    def restore(self, saved: Value) -> None:
        """Push the storage of a persistent id."""
        try:
            storage = allowed.storage(saved)
        except Malformed as error:
            self.refuse(str(error))
        known = self.storages.setdefault(storage.key, storage)
        if known.nbytes != storage.nbytes:
            self.refuse(f"storage {shown(storage.key)} has {storage.nbytes} bytes here and {known.nbytes} before")
        self.push(storage)

    def build(self, state: Value) -> None:
        """Attributes of an OrderedDict or a tensor; no tensor lives in them that torch would load by name."""
        if not isinstance(self.top(), Pairs | Tensor | Oddity | Opaque):
            self.refuse(f"the pickle sets attributes of {shown(self.top())}")

    # --- refusals ---

    def charge(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            self.refuse(f"the pickle is too complex: more than {STEPS} steps")

    def refuse(self, message: str) -> NoReturn:
        raise Refusal("pickle.unreadable", f"byte {self.base + self.opcode_at}: {message}")

    def refuse_global(self, name: str) -> NoReturn:
        name = name if name.isprintable() and len(name) <= 120 else shown(name)
        message = f"the pickle refers to {name}, which no state dict needs; it was not run"
        raise Refusal("pickle.unsafe-global", f"byte {self.base + self.opcode_at}: {message}")


Op: TypeAlias = Callable[[Machine], None]


class Table(dict[int, Op]):
    """What opcodes do."""

    def op(self, code: str) -> Callable[[Op], Op]:
        """Registers the function for an opcode, written as `pickletools` writes it."""

        def register(op: Op) -> Op:
            self[code.encode("latin-1")[0]] = op
            return op

        return register
