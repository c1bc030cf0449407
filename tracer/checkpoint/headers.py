"""The headers of many files, in order; several at once where each must be waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import Format
from tracer.checkpoint.header import Header
from tracer.checkpoint.regular_file import readable
from tracer.checkpoint.stamp import stamp_of
from tracer.errors import InputError

T = TypeVar("T")


def read_headers(files: Files, format: Format, names: Sequence[str]) -> dict[str, Header]:
    """Each file's header. Raises InputError for the first that has none; of local files it counts the others."""
    if files.at_once > 1:
        headers = in_order(lambda name: read_header(files, format, name), names, files.at_once)
        return dict(zip(names, headers, strict=True))
    found: dict[str, Header] = {}
    refused: dict[str, InputError] = {}
    for name in names:
        try:
            found[name] = read_header(files, format, name)
        except InputError as error:
            refused[name] = error
    if refused:
        raise _all_of(refused, len(names))
    return found


def _all_of(refused: Mapping[str, InputError], count: int) -> InputError:
    """The first, and which others there are: of a hundred shards one a day would take a season."""
    first, *others = refused
    error = refused[first]
    if not others:
        return error
    more = f"; {len(others)} more of {count} files cannot be read: {some(others)}"
    return InputError(f"{error}{more}", code=error.code, subject=error.subject)


def read_header(files: Files, format: Format, name: str) -> Header:
    """One file's header, with the stamp of the file that it was read from. Raises InputError."""
    try:
        with files.open(name) as file, readable(files.where(name), name):
            stamp = stamp_of(file)
            size = files.size(name) if stamp is None else stamp.size
            return replace(format.read(file, size, name, files.where(name)), stamp=stamp)
    except InputError as error:
        # With the frames that it came from, all that was read of the file would live for as long as the error does.
        error.__context__ = None
        raise error.with_traceback(None) from None


def in_order(work: Callable[[str], T], names: Sequence[str], at_once: int) -> list[T]:
    """The work's result for each name, up to `at_once` of them in progress at a time.

    Whatever happens at the same time, the error that is raised is that of the first name in order that has one;
    what has not begun by then is not begun. Work in progress is waited for, except after Ctrl-C.
    """
    if at_once == 1 or len(names) < 2:
        return [work(name) for name in names]
    futures: list[Future[T]] = [Future() for _ in names]
    waiting: SimpleQueue[tuple[str, Future[T]]] = SimpleQueue()
    for pair in zip(names, futures, strict=True):
        waiting.put(pair)
    stop = Event()
    # Not an executor's threads: for those the interpreter waits, and after Ctrl-C nobody wants their answers.
    threads = [Thread(target=_worker, args=(work, waiting, stop), daemon=True) for _ in names[:at_once]]
    for thread in threads:
        thread.start()
    try:
        return [future.result() for future in futures]
    except Exception:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    finally:
        stop.set()


def _worker(work: Callable[[str], T], waiting: SimpleQueue[tuple[str, Future[T]]], stop: Event) -> None:
    while not stop.is_set():
        try:
            name, future = waiting.get_nowait()
        except Empty:
            return
        try:
            future.set_result(work(name))
        except BaseException as error:  # whoever waits for the result raises it
            future.set_exception(error)
