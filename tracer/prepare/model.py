"""Which checkpoint MODEL means, and where its files are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tracer.checkpoint.consistency import some
from tracer.checkpoint.folder import Checkpoint, open_checkpoint, sub_folders
from tracer.checkpoint.hub.address import advice, is_hub_id
from tracer.errors import InputError, UsageError
from tracer.prepare.request import Request


def folder_of(checkpoint: Checkpoint | None) -> Path:
    """Where its files can be mapped."""
    return (checkpoint.files.folder if checkpoint else None) or Path()


def open_model(request: Request) -> Checkpoint | None:
    """What MODEL is: a path, a repository on the Hub, or nothing. An existing path is never a repository.

    Raises InputError, and UsageError where a format is asked for of which no file is here.
    """
    checkpoint = _open(request, only := request.only)
    if only and (checkpoint is None or checkpoint.state != "complete"):
        raise UsageError(f"--load-format {only}: {request.model or 'no MODEL'} has no {only} files here")
    if checkpoint is not None and checkpoint.state != "complete" and request.bytes_wanted:
        rest = f"add {request.instead}" if request.instead else "nothing can be generated without them"
        raise UsageError(f"{checkpoint.files.title}: {_lack(checkpoint)}; {rest}")
    return checkpoint


def _lack(checkpoint: Checkpoint) -> str:
    """Why there is nothing to load, and what is here instead."""
    if checkpoint.pointer_sizes:
        return f"the files of weights are Git-LFS pointers ({some(list(checkpoint.pointer_sizes))}); run git lfs pull"
    promised = f"none of the files that {checkpoint.index.file} names is here" if checkpoint.index else ""
    unfinished = [name for name in checkpoint.files.names() if name.endswith((".incomplete", ".part", ".crdownload"))]
    inside = sub_folders(checkpoint.files)
    found = f", found unfinished downloads: {some(unfinished)}" if unfinished else ""
    found += f", but in its sub-folders: {some(inside)}" if inside else ""
    return (promised or "no file of weights is here") + found


def _open(request: Request, only: str | None) -> Checkpoint | None:
    model, revision = request.model, request.revision
    if model and is_hub_id(model):
        from tracer.checkpoint.hub.opening import open_repository

        return open_repository(model, revision, only, request.bytes_wanted, request.instead)
    if revision is not None:
        found = model or "no MODEL"
        raise UsageError(f"--revision {revision}: expected a repository on the Hub (org/name), found {found}")
    if model is None:
        return None
    if not os.path.lexists(model):
        raise InputError(f"{model}: no such file or folder{advice(model)}", subject=model)
    return open_checkpoint(Path(model), only)


def pinned(request: Request, checkpoint: Checkpoint | None) -> Request:
    """The request for the processes of the ranks: they are to read this very folder, whatever a name means by then."""
    if checkpoint is None or checkpoint.files.folder is None or not request.model or not is_hub_id(request.model):
        return request
    return replace(request, model=str(checkpoint.files.folder), revision=None)
