"""Opcodes that push a constant, a number or a string."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable

from tracer.checkpoint.pytorch.machine import INT_LIMIT, STRING_LIMIT, Machine, Table
from tracer.checkpoint.pytorch.refusal import shown
from tracer.checkpoint.pytorch.values import Opaque, Pairs, Value

LITERALS = Table()
_WIDE_TEXT = 16
"""Bytes a step of text that may take four times as much room as a string: all in all it takes 128 MB."""
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,%d}" % INT_LIMIT)


def _constant(code: str, make: Callable[[], Value]) -> None:
    LITERALS.op(code)(lambda m: m.push(make()))


# --- constants, empty containers ---

_constant("N", lambda: None)
_constant("\x88", lambda: True)
_constant("\x89", lambda: False)
_constant("]", list)
_constant(")", tuple)
_constant("}", Pairs)
_constant("\x8f", lambda: Opaque("a set"))


# --- numbers ---


@LITERALS.op("I")
def int_line(m: Machine) -> None:
    text = m.line()
    m.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else decimal(m, text))


@LITERALS.op("L")
def long_line(m: Machine) -> None:
    m.push(decimal(m, m.line().removesuffix(b"L")))


def decimal(m: Machine, text: bytes) -> int:
    if not _DECIMAL.fullmatch(text):
        m.refuse(f"expected a whole number, found {shown(text)}")
    return int(text)


@LITERALS.op("F")
def float_line(m: Machine) -> None:
    text = m.line()
    try:
        m.push(float(text))
    except ValueError:
        m.refuse(f"expected a number, found {shown(text)}")


@LITERALS.op("G")
def float_8_bytes(m: Machine) -> None:
    m.push(struct.unpack(">d", m.take(8))[0])


@LITERALS.op("J")
def int_4_bytes(m: Machine) -> None:
    m.push(int.from_bytes(m.take(4), "little", signed=True))


def _unsigned(code: str, width: int) -> None:
    LITERALS.op(code)(lambda m: m.push(m.number(width)))


def _long(code: str, width: int) -> None:
    LITERALS.op(code)(lambda m: m.push(int.from_bytes(m.sized(width, INT_LIMIT), "little", signed=True)))


_unsigned("K", 1)
_unsigned("M", 2)
_long("\x8a", 1)
_long("\x8b", 4)


# --- strings ---


def _text(code: str, width: int) -> None:
    LITERALS.op(code)(lambda m: m.push(utf8(m, m.sized(width, STRING_LIMIT))))


def _bytes(code: str, width: int) -> None:
    LITERALS.op(code)(lambda m: m.push(m.sized(width, STRING_LIMIT)))


def utf8(m: Machine, raw: bytes) -> str:
    if not raw.isascii():
        m.charge(len(raw) // _WIDE_TEXT)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return m.refuse(f"expected a string in UTF-8, found {shown(raw)}")


_text("X", 4)
_text("\x8c", 1)
_text("\x8d", 8)
# What Python 2 wrote as a string; torch.load reads it as UTF-8 too.
_text("T", 4)
_text("U", 1)
_bytes("B", 4)
_bytes("C", 1)
_bytes("\x8e", 8)
_bytes("\x96", 8)


@LITERALS.op("S")
def quoted_line(m: Machine) -> None:
    """A string as Python 2 prints it. One with escapes is no name of a tensor: it is kept as it is written."""
    text = m.line().strip()
    if len(text) < 2 or text[:1] not in b"'\"" or text[-1:] != text[:1]:
        m.refuse(f"expected a string in quotes, found {shown(text)}")
    m.push(utf8(m, text[1:-1]))


@LITERALS.op("V")
def unicode_line(m: Machine) -> None:
    raw = m.line()
    try:
        text, _ = codecs.raw_unicode_escape_decode(raw)
        text.encode()
    except UnicodeError:
        m.refuse(f"expected a string of escaped Unicode, found {shown(raw)}")
    m.push(text)
