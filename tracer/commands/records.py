"""The records of `tracer generate --json`: each is out as soon as its prompt has ended."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracer.errors import UsageError
from tracer.outputs import partial_of

if TYPE_CHECKING:
    from tracer.execute import Completion


class Records:
    """JSON Lines to a file, to stdout for `-`, or nowhere; whatever comes after a record, it stays.

    A file is begun beside its name with the first record, and has the name from then on: until then, what was there
    stays. It grows by whole records only.
    """

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._file: FileIO | None = None

    def write(self, completion: Completion) -> None:
        """Raises UsageError where it cannot be written."""
        if self._target is None:
            return
        line = json.dumps(_record(completion), ensure_ascii=False) + "\n"
        if self._target == "-":
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        path = Path(self._target)
        try:
            self._file = _append(self._file, line) if self._file else _begin(path, line)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _begin(path: Path, line: str) -> FileIO:
    partial = partial_of(path)
    file = FileIO(partial, "w")
    try:
        _append(file, line)
        os.replace(partial, path)
    except OSError:
        file.close()
        partial.unlink(missing_ok=True)
        raise
    return file


def _append(file: FileIO, line: str) -> FileIO:
    """All of it or nothing."""
    before, left = file.tell(), memoryview(line.encode("utf-8", "surrogatepass"))
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise
    return file


def _record(found: Completion) -> dict[str, object]:
    record = {
        "kind": "completion", "index": found.index, "prompt_ids": found.prompt_ids, "token_ids": found.token_ids,
        "text": found.text, "logprobs": found.logprobs, "top_logprobs": found.top_logprobs,
        "finish_reason": found.finish_reason,
    }  # fmt: skip
    return record if found.error is None else record | {"error": found.error}
