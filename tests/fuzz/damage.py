"""Damage to bytes, of whatever format: each function takes what a file holds and returns it with one change.

The first half knows nothing; the second knows that the file is a safetensors file and where its parts begin.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

Damage = Callable[[random.Random, bytes], bytes]

TOKENS = [
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b" ", b"\n", b"\x00", b"\xff", b"\xc3\xa9", b"\\u0000", b"\\ud800",
    b"-1", b"-0", b"1.0", b"1e2", b"NaN", b"null", b"true", b"00", b"18446744073709551616", b"9223372036854775807",
    b'"a":1,', b"{}", b"[[[[[[[[", b"\xef\xbb\xbf",
]  # fmt: skip


def _place(rng: random.Random, content: bytes) -> int:
    """Mostly in the header, where damage is not just another value."""
    length = int.from_bytes(content[:8], "little")
    edge = min(len(content), 8 + length)
    return rng.randrange(min(8, edge), edge) if rng.random() < 0.8 and edge > 8 else rng.randrange(len(content))


def flip(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def insert(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.choice(TOKENS) + content[at:]


def overwrite(rng: random.Random, content: bytes) -> bytes:
    at, token = _place(rng, content), rng.choice(TOKENS)
    return content[:at] + token + content[at + len(token) :]


def delete(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + rng.randint(1, 9) :]


def repeat(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    stop = at + rng.randint(1, 60)
    return content[:stop] + content[at:stop] + content[stop:]


def truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice([rng.randrange(len(content)), len(content) - rng.randint(1, 9)])]


def extend(rng: random.Random, content: bytes) -> bytes:
    return content + rng.randbytes(rng.randint(1, 9))


def misstate_the_length(rng: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    wrong = rng.choice([0, 1, 2, length - 1, length + 1, length + 8, 10**8, 10**8 + 1, 2**40, 2**63, 2**64 - 1])
    return (wrong % 2**64).to_bytes(8, "little") + content[8:]


BYTES: list[Damage] = [flip, insert, overwrite, delete, repeat, truncate, extend, misstate_the_length]


# --- what disks, networks and editors do ---


def zero_a_sector(rng: random.Random, content: bytes) -> bytes:
    """A block that was reserved and never written."""
    size = rng.choice([1, 16, 512, 4096])
    at = rng.randrange(len(content)) // size * size
    return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]


def swap_blocks(rng: random.Random, content: bytes) -> bytes:
    """Two runs of bytes that arrived in the wrong order."""
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def as_text(rng: random.Random, content: bytes) -> bytes:
    """What a transfer in text mode, or an editor, makes of it."""
    change = rng.choice([(b"\n", b"\r\n"), (b"\x00", b""), (b"\x80", b"\xc2\x80"), (b'"', b"'"), (b" ", b"\t")])
    return content.replace(*change, rng.choice([1, -1]))


def large_number(rng: random.Random, content: bytes) -> bytes:
    """A count or an offset of four or eight bytes, at its limits."""
    width = rng.choice([4, 8])
    top = 1 << 8 * width
    value = rng.choice([top - 1, top // 2, top // 2 - 1, 1 << 20, 1 << 31, 0, 1, rng.randrange(top)]) % top
    at = rng.randrange(len(content))
    return content[:at] + value.to_bytes(width, "little") + content[at + width :]


def other_beginning(rng: random.Random, content: bytes) -> bytes:
    """As if it were of another format."""
    starts = [b"PK\x03\x04", b"GGUF\x03\0\0\0", b"\x80\x02", b"\x1f\x8b", b"<!doctype html>", b'{"error":', b"\0" * 8,
              b"version https://git-lfs.github.com/spec/v1\n"]  # fmt: skip
    start = rng.choice(starts)
    return start + content[rng.choice([0, len(start)]) :]


ANYWHERE: list[Damage] = [zero_a_sector, swap_blocks, as_text, large_number, other_beginning]


# --- a safetensors file, by its parts ---


def _split(content: bytes) -> tuple[bytes, bytes]:
    """The JSON, and what follows it."""
    stop = 8 + min(int.from_bytes(content[:8], "little"), len(content))
    return content[8:stop], content[stop:]


def _framed(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def cut_at_a_boundary(rng: random.Random, content: bytes) -> bytes:
    """Just before, at, and just after where one part ends and the next begins."""
    header, _ = _split(content)
    edges = [0, 1, 8, 9, 8 + len(header), 8 + len(header.rstrip()), len(content)]
    return content[: max(rng.choice(edges) + rng.choice([-1, 0, 1]), 0)]


def length_at_a_boundary(rng: random.Random, content: bytes) -> bytes:
    header, data = _split(content)
    n, room = len(header), len(content) - 8
    values = [n - 1, n + 1, n - 8, n + 8, len(header.rstrip()), room, room + 1, room - 1, n << 32, n << 56, n | 1 << 63]
    values += [-n, -1, 2**63 - 1, 2**64 - 1, 10**8, 10**8 - 1, n * 256, n // 256, int.from_bytes(b'{"a":{}}', "little")]
    return (rng.choice(values) % 2**64).to_bytes(8, "little") + header + data


def length_in_big_endian(rng: random.Random, content: bytes) -> bytes:
    return content[:8][::-1] + content[8:]


def pad(rng: random.Random, content: bytes) -> bytes:
    """Legal where it is blanks that follow; other readers differ on the rest."""
    header, data = _split(content)
    blank = rng.choice([b" ", b"\n", b"\t", b"\r", b"\0", b"\x0b", b"\xc2\xa0", b" \0", b"}", b"\xff"])
    filler = blank * rng.choice([1, 7, 8, 64, 5000])
    return _framed(rng.choice([header + filler, header + filler, filler + header, header.rstrip()]), data)


def mark_the_encoding(rng: random.Random, content: bytes) -> bytes:
    header, data = _split(content)
    text = header.decode("utf-8", "replace")
    encodings = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"]
    return _framed(text.encode(rng.choice(encodings), "replace"), data)


def respell(rng: random.Random, content: bytes) -> bytes:
    """The same JSON in other characters: legal, all of it."""
    header, data = _split(content)
    try:
        value = json.loads(header)
    except (ValueError, RecursionError):
        return content
    escaped = rng.random() < 0.5
    spelt = json.dumps(value, indent=rng.choice([None, 0, 3]), ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    at = spelt.find(b'"') + 1
    if rng.random() < 0.5 and at < len(spelt) and spelt[at : at + 1].isalpha():
        spelt = spelt[:at] + b"\\u%04x" % spelt[at] + spelt[at + 1 :]
    return _framed(spelt, data)


def repeat_a_key(rng: random.Random, content: bytes) -> bytes:
    """Somewhere in the text, once more, spelt the same or with an escape."""
    header, data = _split(content)
    key = rng.choice([b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b'"format"', b'"weight_map"'])
    at = header.find(key)
    if at < 0:
        return content
    value = rng.choice([b'"F32"', b"[]", b"[0,0]", b"{}", b"null", b'"pt"', b"[0,8]"])
    again = rng.choice([key, b'"\\u%04x' % key[1] + key[2:]])
    return _framed(header[:at] + again + b":" + value + b"," + header[at:], data)


def bomb(rng: random.Random, content: bytes) -> bytes:
    """Something small to write and long to read, in the place of a value or as a new entry."""
    header, data = _split(content)
    many = rng.choice([100, 5000, 100_000])
    bombs = [
        b"[" * many + b"]" * many, b"[" * many, b'{"a":' * many, b"9" * many, b"1e" + b"9" * many,
        b"0." + b"0" * many + b"1", b'"' + b"x" * many + b'"', b'"' + b"\\ud83d\\ude00" * (many // 8) + b'"',
        b"[" + b"0," * many + b"0]", b"-" + b"0" * many, b"1" + b"0" * rng.choice([18, 19, 20, 300, 4299, 4301]),
        b'{"dtype":"F32","shape":[' + b"1," * (many // 4) + b'0],"data_offsets":[0,0]}',
    ]  # fmt: skip
    worst = rng.choice(bombs)
    brace = header.find(b":") + 1 or len(header)
    if rng.random() < 0.5:
        return _framed(b'{"bomb":' + worst + b"," + header[1:], data)
    end = next((i for i in range(brace, len(header)) if header[i] in b",}]"), len(header))
    return _framed(header[:brace] + worst + header[end:], data)


def many_entries(rng: random.Random, content: bytes) -> bytes:
    """Thousands of small tensors of no elements: legal, and as long to read as they are many."""
    header, data = _split(content)
    count = rng.choice([10, 300, 3000])
    entry = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    names = [rng.choice([b"n%d" % i, b"n%d" % (i // 2 if rng.random() < 0.01 else i)]) for i in range(count)]
    more = b",".join(b'"%s":%s' % (name, entry) for name in names)
    return _framed(b"{" + more + (b"," if len(header) > 2 else b"") + header[1:], data)


PARTS: list[Damage] = [
    cut_at_a_boundary, length_at_a_boundary, length_at_a_boundary, length_in_big_endian, pad, pad, mark_the_encoding,
    respell, respell, repeat_a_key, bomb, many_entries,
]  # fmt: skip


def several(rng: random.Random, content: bytes, kinds: Sequence[Damage]) -> bytes:
    """One to three changes; a file that has nothing left keeps one byte to be damaged."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice(kinds)(rng, content) or b"\x00"
    return content
