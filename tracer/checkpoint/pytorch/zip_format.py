"""PyTorch's files since 1.6: a zip archive of one pickle and one record a storage, none of them compressed.

    NAME/data.pkl | NAME/byteorder (since 2.1) | NAME/data/KEY for each storage | NAME/version ...

NAME is the folder of the directory's first record, as PyTorch itself takes it.
Described in the "Serialization semantics" note of PyTorch's documentation.
"""

from __future__ import annotations

from typing import BinaryIO

from mappings.span import Span
from tracer.checkpoint.pytorch.archive import Archive, Record, read_archive
from tracer.checkpoint.pytorch.contents import Contents
from tracer.checkpoint.pytorch.local import is_local
from tracer.checkpoint.pytorch.opcodes import PICKLE_LIMIT, Outcome, read_pickle
from tracer.checkpoint.pytorch.refusal import Refusal, shown
from tracer.checkpoint.pytorch.tensors import Place

_PICKLE, _ORDER, _DATA = "data.pkl", "byteorder", "data/"
_VERSIONS = (".data/version", "version")
_VERSION_BYTES = 16


def read_zip(file: BinaryIO, size: int, name: str) -> Contents:
    """The contents of an archive of `size` bytes; `name` goes into the spans. Raises Refusal."""
    archive = read_archive(file, size)
    folder = archive.first.partition("/")[0] + "/"
    records = {r.name.removeprefix(folder): r for r in archive.records if r.name.startswith(folder)}
    _expect_checkpoint(records)
    _expect_loadable(file, archive, folder, records)
    pickle = _read_pickle(file, records[_PICKLE])
    places = {
        key.removeprefix(_DATA): Place(record.start, record.stop - record.start)
        for key, record in records.items()
        if key.startswith(_DATA)
    }
    return Contents("zip", pickle, places, _spans(archive, name, size), _is_big_endian(file, records.get(_ORDER)))


def _expect_checkpoint(records: dict[str, Record]) -> None:
    if "constants.pkl" in records or any(key.startswith("code/") for key in records):
        what = "a TorchScript archive, which is a program: save the model's state_dict() instead"
    elif _PICKLE not in records:
        what = f"a zip archive without {_PICKLE}" + (f": {shown(next(iter(records)))} ..." if records else "")
    else:
        return
    raise Refusal("file.wrong-format", f"expected a PyTorch checkpoint, found {what}")


def _expect_loadable(file: BinaryIO, archive: Archive, folder: str, records: dict[str, Record]) -> None:
    """What PyTorch insists on before it looks at the pickle: one folder, and the number of the format's version."""
    outside = next((record for record in archive.records if not record.name.startswith(folder)), None)
    if outside is not None:
        message = f"expected every record in {shown(folder)}, found {shown(outside.name)}"
        raise Refusal("header.invalid", f"byte {outside.header}: {message}")
    version = next((records[name] for name in _VERSIONS if name in records), None)
    if version is None:
        message = f"expected a PyTorch checkpoint, found a zip archive without the record {_VERSIONS[-1]}"
        raise Refusal("file.wrong-format", message)
    if not is_local(file):
        return  # it would cost a request
    number = _bytes_of(file, version) if version.stop - version.start <= _VERSION_BYTES else b"something longer"
    if not number.strip().isdigit():
        message = f"byte {version.start}: expected the number of the format's version, found {shown(number)}"
        raise Refusal("header.invalid", message)


def _read_pickle(file: BinaryIO, record: Record) -> Outcome:
    count = record.stop - record.start
    if count > PICKLE_LIMIT:
        message = f"a pickle of {count} bytes; at most {PICKLE_LIMIT} are read"
        raise Refusal("pickle.unreadable", f"byte {record.start}: {message}")
    outcome = read_pickle(_bytes_of(file, record), 0, record.start)
    if outcome.stop != count:
        message = f"the pickle ends here, its record goes on for {count - outcome.stop} bytes"
        raise Refusal("file.trailing-bytes", f"byte {record.start + outcome.stop}: {message}")
    return outcome


def _is_big_endian(file: BinaryIO, record: Record | None) -> bool:
    if record is None:
        return False  # until 2.1 nothing was said, and only little-endian machines could read the other's files
    order = _bytes_of(file, record) if record.stop - record.start <= len("little") else b"something longer"
    if order not in (b"little", b"big"):
        message = f"byte {record.start}: expected the byte order little or big, found {shown(order)}"
        raise Refusal("header.invalid", message)
    return order == b"big"


def _bytes_of(file: BinaryIO, record: Record) -> bytes:
    file.seek(record.start)
    found = file.read(record.stop - record.start)
    if len(found) != record.stop - record.start:
        raise Refusal("file.truncated", f"byte {record.start + len(found)}: the file ends inside of {record.name}")
    return found


def _spans(archive: Archive, name: str, size: int) -> list[Span]:
    spans = [Span(name, archive.directory, size, "the directory"), Span(name, size, size, "the end of the file")]
    for record in archive.records:
        spans.append(Span(name, record.header, record.start, f"the header of {record.name}"))
        spans.append(Span(name, record.start, record.stop, record.name))
        if record.end > record.stop:
            spans.append(Span(name, record.stop, record.end, f"the descriptor of {record.name}"))
    return spans
