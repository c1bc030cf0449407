"""Opcodes that make and fill tuples, lists, dicts and sets."""

from __future__ import annotations

from tracer.checkpoint.pytorch.machine import Machine, Table
from tracer.checkpoint.pytorch.refusal import shown
from tracer.checkpoint.pytorch.values import Opaque, Pairs, Value

CONTAINERS = Table()


@CONTAINERS.op("(")
def mark(m: Machine) -> None:
    m.mark()


@CONTAINERS.op("t")
def tuple_since_mark(m: Machine) -> None:
    m.push(tuple(m.since_mark()))


def _tuple(code: str, count: int) -> None:
    CONTAINERS.op(code)(lambda m: m.push(tuple(m.last(count))))


_tuple("\x85", 1)
_tuple("\x86", 2)
_tuple("\x87", 3)


@CONTAINERS.op("l")
def list_since_mark(m: Machine) -> None:
    m.push(list(m.since_mark()))


@CONTAINERS.op("d")
def dict_since_mark(m: Machine) -> None:
    items = m.since_mark()
    m.push(Pairs())
    _extend_pairs(m, items)


@CONTAINERS.op("a")
def append(m: Machine) -> None:
    value = m.pop()
    _extend_list(m, [value])


@CONTAINERS.op("e")
def appends(m: Machine) -> None:
    _extend_list(m, m.since_mark())


@CONTAINERS.op("s")
def setitem(m: Machine) -> None:
    _extend_pairs(m, m.last(2))


@CONTAINERS.op("u")
def setitems(m: Machine) -> None:
    _extend_pairs(m, m.since_mark())


@CONTAINERS.op("\x90")
def additems(m: Machine) -> None:
    m.since_mark()
    _expect_set(m, m.top())


@CONTAINERS.op("\x91")
def frozenset_since_mark(m: Machine) -> None:
    m.since_mark()
    m.push(Opaque("a set"))


def _extend_list(m: Machine, values: list[Value]) -> None:
    target = m.top()
    if type(target) is not list:
        m.refuse(f"the pickle appends to {shown(target)}")
    target.extend(values)


def _extend_pairs(m: Machine, items: list[Value]) -> None:
    target = m.top()
    if not isinstance(target, Pairs) or len(items) % 2:
        m.refuse(f"the pickle puts {len(items)} keys and values into {shown(target)}")
    target.extend(zip(items[::2], items[1::2], strict=True))


def _expect_set(m: Machine, target: Value) -> None:
    if target != Opaque("a set"):
        m.refuse(f"the pickle adds to a set, found {shown(target)}")
