"""The corpus, opened once for all tests of this folder."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests import corpus
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.errors import InputError
from tracer.infer import Inferred, infer


class Read(NamedTuple):
    """A checkpoint of the corpus."""

    checkpoint: Checkpoint
    """Without its config, unless it is a GGUF file, whose keys are its config."""
    config: dict[str, Any]
    """What was hidden."""
    found: Inferred


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    """Each that can be opened, by its slug: inferred with config.json hidden."""
    found = {}
    root = tmp_path_factory.mktemp("corpus")
    for slug in corpus.slugs():
        folder = corpus.materialise(slug, root / slug)
        try:
            checkpoint = open_checkpoint(folder)
        except InputError:
            continue
        config = checkpoint.config or {}
        if not any(folder.glob("*.gguf")):
            checkpoint.config = None
        found[slug] = Read(checkpoint, config, infer(checkpoint))
    return found
