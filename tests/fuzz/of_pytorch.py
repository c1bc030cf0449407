"""PyTorch files, damaged; the second opinions are PyTorch's own loader that runs nothing, and Python's list of opcodes.

Both are asked of what we accept: every global in it must be one that a state dict needs, and PyTorch must find the same
tensors. Neither unpickles anything here.
"""

from __future__ import annotations

import io
import pickletools
import random
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fixtures.hostile_archives import HOSTILE_ARCHIVES
from fixtures.hostile_pickles import HOSTILE_PICKLES
from fixtures.pickles import ODD, Wide, call, legacy_of, mapping, named, number, storage, tensor, text, wide_zip, zip_of
from tests.fuzz.case import Blob, Case, one_file
from tests.fuzz.damage import ANYWHERE, flip, large_number, several, truncate
from tests.fuzz.ours import Errors, Wrong, read_by_us
from tracer.checkpoint.pytorch import read
from tracer.checkpoint.tensor_info import TensorInfo

FILE = "pytorch_model.bin"
HARMLESS = {
    "collections.OrderedDict", "torch.Size", "torch.device", "torch._utils._rebuild_tensor_v2", "torch.Tensor",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter", "torch._tensor._rebuild_from_type_v2",
    "collections.defaultdict", "__builtin__.list", "torch.nn.parameter.Parameter", "torch._utils._rebuild_qtensor",
    *(f"torch.{kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Byte", "Bool")),
    "torch.cuda.FloatStorage", "torch._C._nn.Tensor", "builtins.list", "__builtin__.set", "builtins.set",
}  # fmt: skip
"""By hand, and not from the list that is examined here."""
OPCODES = b"()]}tutsabeRQhq0212cNKMJ\x85\x86\x87\x93\x81.\x94lo"
EXCUSED = ("Unsupported operand", "collections.defaultdict", "expected 5, got 4")
"""What PyTorch's loader without unpickling does not know and its other one does: opcodes of protocol 4, a dict that
trainers keep beside the model, and what files of 2017 say of a storage."""
BESIDE = [
    "archive/byteorder", "../x", "/etc/x", "archive/code/a.py", "archive/data/../0", "b/data.pkl", "archive/data/9",
    "archive/extra.pkl", "archive/inner.zip", "archive/.data/x",
]  # fmt: skip
"""Records of which some mean nothing and some mean another kind of file."""


def _state(*view: bytes) -> bytes:
    """Four tensors, one of them a view, one transposed; `view` is what a legacy file says of its storages' views."""
    first, second = storage("0", 16, "torch FloatStorage", *view), storage("1", 12, "torch FloatStorage", *view)
    half = storage("2", 8, "torch HalfStorage", *view)
    return mapping({
        "a.weight": tensor(first), "b": tensor(second, 2, (2, 5), (5, 1)), "c": tensor(half, 0, (2, 2, 2), (4, 2, 1)),
        "d": tensor(first, 0, (4, 4), (1, 4)),
    })  # fmt: skip


_STORED = {"0": bytes(range(64)), "1": bytes(range(48)), "2": bytes(range(16))}


def framed(body: bytes, zipped: bool) -> bytes:
    """A file around a pickle of which the storages are those of the sound one."""
    if zipped:
        return zip_of(body, {f"data/{key}": content for key, content in _STORED.items()})
    target = io.BytesIO(legacy_of(body, {}, keys=list(_STORED)))
    target.seek(0, 2)
    for key, content in _STORED.items():
        target.write(struct.pack("<q", len(content) // (2 if key == "2" else 4)) + content)
    return target.getvalue()


@cache
def _made() -> tuple[bytes, ...]:
    """Those that others made, to be read or to be refused; the largest take long and are tried elsewhere."""
    makers = [case.make for case in (HOSTILE_PICKLES | HOSTILE_ARCHIVES).values()] + [odd.make for odd in ODD.values()]
    return tuple(content for content in (make() for make in makers) if 0 < len(content) < 50_000)


def rearranged(rng: random.Random, content: bytes) -> bytes:
    """Other opcodes in the pickle itself."""
    body = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body))
        match rng.randrange(5):
            case 0 | 1:
                body[at] = rng.choice(OPCODES)
            case 2:
                body[at] ^= 1 << rng.randrange(8)
            case 3:
                body[at:at] = _inserted(rng)
            case _:
                del body[at : at + rng.randint(1, 8)]
    return bytes(body)


def _inserted(rng: random.Random) -> bytes:
    """Something that a pickle may hold and a state dict should not."""
    return rng.choice([
        named("os system"), named("builtins eval"), named("torch.hub load"), text("posix") + text("system") + b"\x93",
        b"(ios\nsystem\n", b"]" * 300, b"(" * 300, b"2" * 50, b"\x8b\xff\xff\xff\x7f", b"Nr\xff\xff\xff\xff",
        b"L" + b"9" * 5000 + b"L\n", b"\x95" + b"\xff" * 8, b"\x82\x01", call("torch load", text("x")),
        number(2**63), number(-1), text("x" * 3000), b"U\xff", b"\x8d" + b"\xff" * 7 + b"\x7f", b"S'\n", b"Vx\n",
        b"F1e999\n",
        b"\x80\x05", b"\x80\x09", b".", b"\x97", b"\x98", named("collections OrderedDict") + b")\x81}b",
    ])  # fmt: skip


def archived(rng: random.Random) -> bytes:
    """Other records beside, inside or instead of the usual ones."""
    target = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED] * 5 + [zipfile.ZIP_DEFLATED])
    inner = zip_of(_state())
    with zipfile.ZipFile(target, "w", method) as archive:
        names = ["archive/data.pkl", *(f"archive/data/{key}" for key in _STORED), "archive/version"]
        rng.shuffle(names)
        names += rng.sample(BESIDE, 2)
        for name in names[rng.choice([0, 0, 0, 1]) :]:
            archive.writestr(name, _record(rng, name.rpartition("/")[2], inner))
    return target.getvalue()


def _record(rng: random.Random, name: str, inner: bytes) -> bytes:
    if name == "data.pkl":
        return b"\x80\x02" + _state() + b"."
    if name in _STORED:
        return _STORED[name]
    return rng.choice([b"3\n", b"little", b"", inner, bytes(5000), b"\x80\x02N."])


def make(rng: random.Random) -> Case:
    """A file of either form, with its pickle, its archive or just its bytes changed; one in ten is whole."""
    chance = rng.random()
    if chance < 0.1:
        content = rng.choice([framed(_state(), True), framed(_state(b"N"), False)])
    elif chance < 0.5:
        zipped = rng.random() < 0.6
        content = framed(rearranged(rng, _state() if zipped else _state(b"N")), zipped)
    elif chance < 0.65:
        content = archived(rng)
    elif chance < 0.66:
        return one_file(FILE, _wide(rng))
    else:
        content = rng.choice([framed(_state(), True), framed(_state(b"N"), False), rng.choice(_made())])
        content = several(rng, content, [flip, large_number, truncate, *ANYWHERE])
    return one_file(FILE, Blob(content))


def _wide(rng: random.Random) -> Blob:
    """Gigabytes of holes as records, some of which call themselves pickles."""
    target = io.BytesIO()
    at, sizes = 5000, [rng.choice([16, 1000]) for _ in range(rng.choice([1, 30]))]
    records = []
    for position, size in enumerate(sizes):
        name = rng.choice([f"archive/data/{position}", f"archive/x{position}.pkl"])
        records.append(Wide(name, at, size))
        at += size + 1000
    wide_zip(target, mapping({"w": tensor(storage("0", 4), shape=(4,))}), records)
    return Blob(target.getvalue())


class Loaded(NamedTuple):
    dtype: str
    shape: tuple[int, ...]


def judge(case: Case, path: Path, ours: Errors) -> str:
    """What we accept holds nothing but what a state dict needs, and PyTorch finds the same in it."""
    found = read_by_us(path, read, ours)
    if found is None:
        return "refused by us"
    _check_globals(path)
    expected = _loaded(path)
    if expected is None:
        return "read by us alone"
    if expected != (listed := {info.name: _listed(info) for info in found}):
        raise Wrong(f"we read {listed}, PyTorch {expected}"[:2000])
    return "read by both, and contradictory" if ours else "read by both"


def _listed(info: TensorInfo) -> Loaded:
    return Loaded(info.dtype, info.shape)


def _check_globals(path: Path) -> None:
    """By Python's own list of opcodes, in every pickle that PyTorch would unpickle."""
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        _walk(io.BytesIO(content), 5)
        return
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.filename.endswith("/data.pkl"):
                # Not by way of the archive: PyTorch does not look at checksums either.
                at = record.header_offset
                start = at + 30 + sum(struct.unpack_from("<2H", content, at + 26))
                _walk(io.BytesIO(content[start : start + record.file_size]), 1)


def _walk(stream: io.BytesIO, pickles: int) -> None:
    strings: list[Any] = [None, None]
    for _ in range(pickles):
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in ("GLOBAL", "INST"):
                _expect_harmless(str(argument).replace(" ", "."))
            elif opcode.name in ("EXT1", "EXT2", "EXT4"):
                raise Wrong(f"we accept {opcode.name}")
            elif opcode.name == "STACK_GLOBAL" and all(isinstance(part, str) for part in strings[-2:]):
                _expect_harmless(".".join(strings[-2:]))
            strings.append(argument)


def _expect_harmless(name: str) -> None:
    if name not in HARMLESS:
        raise Wrong(f"we accept a pickle that refers to {name}")


def _loaded(path: Path) -> dict[str, Loaded] | None:
    """The tensors that PyTorch finds; None where it refuses what is excused."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # it has many
        if any(excuse in str(error) for excuse in EXCUSED):
            return None
        raise Wrong(f"we read what PyTorch refuses: {error!r}"[:2000]) from error
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
    level, tensors = [found], dict[str, Any]()
    for _ in range(4):  # a file may hold itself
        tensors = next((own for mapping in level if (own := _tensors(mapping))), {})
        if tensors:
            break
        level = [value for mapping in level for value in mapping.values() if isinstance(value, dict)]
    return {n: Loaded(names.get(t.dtype, str(t.dtype)), tuple(t.shape)) for n, t in tensors.items()}


def _tensors(mapping: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: value for name, value in mapping.items() if isinstance(value, torch.Tensor)}
