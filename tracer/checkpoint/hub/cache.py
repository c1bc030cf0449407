"""What huggingface_hub's cache holds: read, never written."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, IncompleteSnapshotError, LocalEntryNotFoundError

from tracer.checkpoint.files import LocalFiles
from tracer.errors import InputError


class SnapshotFiles(LocalFiles):
    """The cache's folder of one commit."""

    def __init__(self, repo: str, folder: Path) -> None:
        super().__init__(folder)
        self.repo = repo
        self.commit = folder.name

    @property
    def title(self) -> str:
        return f"{self.repo}@{self.folder.name[:8]}"


def cached_file(repo: str, commit: str, file: str, size: int) -> Path | None:
    """A file of that commit, if it is there in its full size."""
    found = try_to_load_from_cache(repo, file, revision=commit)
    if not isinstance(found, str):
        return None
    path = Path(found)
    return path if path.stat().st_size == size else None


def snapshot(repo: str, revision: str | None) -> Path:
    """The folder of what was downloaded of a revision, all of it or not. Raises InputError if that is nothing."""
    try:
        return Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except IncompleteSnapshotError as error:
        return Path(error.snapshot_path)
    except HFValidationError:
        raise InputError(f"{repo}: no such file or folder, and no id of the Hub (org/name)", subject=repo) from None
    except LocalEntryNotFoundError:
        what = f"revision {revision!r} of it" if revision else "nothing of it"
        raise InputError(
            f"{repo}: HF_HUB_OFFLINE is set and {'no ' if revision else ''}{what} is in the cache; unset it,"
            f" or download it where there is a network: hf download {repo}",
            subject=repo,
        ) from None
