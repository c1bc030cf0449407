"""The files of a repository, before any of them is opened: for whoever goes on where one cannot be read."""

from __future__ import annotations

from huggingface_hub import constants

from tracer.checkpoint.files import Files
from tracer.checkpoint.hub.cache import SnapshotFiles, snapshot
from tracer.checkpoint.hub.files import HubFiles


def files_of(repo: str, revision: str | None) -> Files:
    """Those on the Hub, or, offline, what the cache has of them. Raises InputError."""
    if constants.HF_HUB_OFFLINE:
        return SnapshotFiles(repo, snapshot(repo, revision))
    return HubFiles(repo, revision)
