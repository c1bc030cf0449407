"""Follows one pickle of protocol 0 to 5; Python's `pickletools` describes each opcode. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from tracer.checkpoint.pytorch.containers import CONTAINERS
from tracer.checkpoint.pytorch.literals import LITERALS, decimal, utf8
from tracer.checkpoint.pytorch.machine import Machine, Table
from tracer.checkpoint.pytorch.refusal import shown
from tracer.checkpoint.pytorch.values import Storage, Value

PICKLE_LIMIT = 64 << 20
"""Bytes; the pickle of 40,000 tensors has about a sixth of this."""
_STOP = ord(".")
_OTHERS = Table()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pickle describes, and the position after it."""

    value: Value
    stop: int
    storages: dict[str, Storage]
    tensors: int
    """Tensors that it describes, wherever they are kept."""


def read_pickle(data: bytes, start: int = 0, base: int = 0) -> Outcome:
    """The pickle that begins at `data[start]`, byte `base + start` of the file. Raises Refusal; runs nothing."""
    machine = Machine(data, start, base)
    while (code := machine.begin()) != _STOP:
        _OPS.get(code, _unknown)(machine)
    return Outcome(machine.pop(), machine.at, machine.storages, machine.tensors_built)


def _unknown(m: Machine) -> NoReturn:
    m.refuse(f"opcode {shown(m.data[m.at - 1 : m.at])} has no place in a state dict")


# --- frames ---


@_OTHERS.op("\x80")
def proto(m: Machine) -> None:
    version = m.number(1)
    if version > 5:
        m.refuse(f"expected pickle protocol 0 to 5, found {version}")


@_OTHERS.op("\x95")
def frame(m: Machine) -> None:
    m.number(8)


# --- the stack and the memo ---


@_OTHERS.op("0")
def pop(m: Machine) -> None:
    if m.stack:
        m.pop()
    else:
        m.since_mark()


@_OTHERS.op("1")
def pop_mark(m: Machine) -> None:
    m.since_mark()


@_OTHERS.op("2")
def dup(m: Machine) -> None:
    m.push(m.top())


@_OTHERS.op("p")
def put_line(m: Machine) -> None:
    m.remember(decimal(m, m.line()))


def _put(code: str, width: int) -> None:
    _OTHERS.op(code)(lambda m: m.remember(m.number(width)))


def _get(code: str, width: int) -> None:
    _OTHERS.op(code)(lambda m: m.recall(m.number(width)))


_put("q", 1)
_put("r", 4)
_get("h", 1)
_get("j", 4)


@_OTHERS.op("\x94")
def memoize(m: Machine) -> None:
    m.remember(len(m.memo))


@_OTHERS.op("g")
def get_line(m: Machine) -> None:
    m.recall(decimal(m, m.line()))


# --- what would run, were this Python ---


@_OTHERS.op("c")
def global_(m: Machine) -> None:
    module = utf8(m, m.line())
    m.refer(module, utf8(m, m.line()))


@_OTHERS.op("\x93")
def stack_global(m: Machine) -> None:
    m.refer(*m.last(2))


@_OTHERS.op("i")
def inst(m: Machine) -> None:
    """GLOBAL, MARK and OBJ in one."""
    global_(m)
    function = m.pop()
    m.call(function, tuple(m.since_mark()))


@_OTHERS.op("o")
def obj(m: Machine) -> None:
    values = m.since_mark()
    m.call(values[0] if values else None, tuple(values[1:]))


@_OTHERS.op("R")
def reduce(m: Machine) -> None:
    m.call(*m.last(2))


@_OTHERS.op("\x81")
def newobj(m: Machine) -> None:
    m.call(*m.last(2))


def _extension(code: str, width: int) -> None:
    """A global under a number that the reading program would have to know."""
    _OTHERS.op(code)(lambda m: m.refuse_global(f"the copyreg extension {m.number(width)}"))


_extension("\x82", 1)
_extension("\x83", 2)
_extension("\x84", 4)


@_OTHERS.op("b")
def build(m: Machine) -> None:
    m.build(m.pop())


@_OTHERS.op("Q")
def persistent(m: Machine) -> None:
    m.restore(m.pop())


_OPS = LITERALS | CONTAINERS | _OTHERS
