"""The headers of many files, in order; several at once where each must be waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import Format
from tracer.checkpoint.header import Header

T = TypeVar("T")


def read_headers(files: Files, format: Format, names: Sequence[str]) -> dict[str, Header]:
    """Each file's header. Raises InputError for the first that has none."""
    headers = in_order(lambda name: read_header(files, format, name), names, files.at_once)
    return dict(zip(names, headers, strict=True))


def read_header(files: Files, format: Format, name: str) -> Header:
    """One file's header. Raises InputError."""
    with files.open(name) as file:
        return format.read(file, files.size(name), name, files.where(name))


def in_order(work: Callable[[str], T], names: Sequence[str], at_once: int) -> list[T]:
    """The work's result for each name, up to `at_once` of them in progress at a time.

    Whatever happens at the same time, the error that is raised is that of the first name in order that has one;
    what has not begun by then is not begun.
    """
    if at_once == 1 or len(names) < 2:
        return [work(name) for name in names]
    pool = ThreadPoolExecutor(min(at_once, len(names)), thread_name_prefix="headers")
    try:
        return [future.result() for future in [pool.submit(work, name) for name in names]]
    finally:
        pool.shutdown(cancel_futures=True)
