"""Opens the checkpoint behind a Hub id: on the Hub; in the cache, where tensors are to be read or we are offline."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants

from tracer.checkpoint.consistency import some
from tracer.checkpoint.copies import choose
from tracer.checkpoint.files import Files
from tracer.checkpoint.folder import Checkpoint, open_files
from tracer.checkpoint.hub.cache import SnapshotFiles, snapshot
from tracer.checkpoint.hub.files import HubFiles
from tracer.errors import UsageError


def open_repository(
    repo: str, revision: str | None, only: str | None, bytes_wanted: bool, instead: str = ""
) -> Checkpoint:
    """Headers only; where `bytes_wanted`, of files that are all on this machine. `instead`: options that want none.

    Raises InputError, and UsageError where tensors are to be read and are not here: before a header is fetched.
    """
    if constants.HF_HUB_OFFLINE:
        return open_files(SnapshotFiles(repo, snapshot(repo, revision)), only)
    remote = HubFiles(repo, revision)
    checkpoint = open_files(_place(remote, only, instead) if bytes_wanted else remote, only)
    checkpoint.findings += remote.findings
    return checkpoint


def _place(remote: HubFiles, only: str | None, instead: str) -> Files:
    """Where the tensors can be read. A repository without weights stays where it is. Raises UsageError."""
    folder = _downloaded(remote, only, instead)
    return remote if folder is None else SnapshotFiles(remote.repo, folder)


def _downloaded(files: HubFiles, only: str | None, instead: str) -> Path | None:
    """The cache's folder of this commit; None where the repository has no weights. Raises UsageError."""
    weights = _weights(files, only)
    if not weights:
        return None
    paths = {file: files.cached(file) for file in weights}
    missing = [file for file, path in paths.items() if path is None]
    if missing:
        size = sum(files.size(file) for file in missing)
        raise UsageError(
            f"{files.repo}: {len(missing)} of {len(weights)} files that a load needs are on the Hub and not here"
            f" ({size:,} bytes: {some(missing)}); {f'add {instead}, or ' if instead else ''}download them:"
            f" hf download {files.repo}"
        )
    file, path = next(iter(paths.items()))
    assert path is not None
    return path.parents[file.count("/")]


def _weights(files: HubFiles, only: str | None) -> list[str]:
    """The files that a load reads, config.json and index included."""
    chosen = choose(files, only)
    if chosen is None:
        return []
    copy, index = chosen
    named = [index.file, *index.files()] if index else copy.files
    return [file for file in [*named, "config.json"] if files.has(file)]
