"""A folder for the reference that holds the files that were planned with, under the names it looks for, and no others.

A checkpoint's folder may hold the model several times, code, adapters, or another config.json than the one in use.
Here are links to the very files that the plan was made of, and an index of their tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tracer.prepare import Prepared


class Unstaged(Exception):
    """Why the reference cannot be given these files."""


@contextmanager
def staged(prepared: Prepared) -> Iterator[Path]:
    """The folder, for as long as it lasts. Raises Unstaged."""
    checkpoint = prepared.checkpoint
    index = checkpoint.format.usual_index if checkpoint and checkpoint.format else None
    if index is None:
        raise Unstaged("transformers reads safetensors and PyTorch files under their own names, this is neither;"
                       " --reference transformers=DIR compares it with the model of another folder")  # fmt: skip
    with TemporaryDirectory(prefix="trace-load-reference-") as text:
        folder = Path(text)
        links = _links(prepared, index)
        for file, link in links.items():
            (folder / link).symlink_to((prepared.folder / file).absolute())
        weight_map = {info.name: links[info.file] for info in prepared.infos if info.file is not None}
        (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        (folder / "generation_config.json").write_text("{}")  # else it looks for one in config.json
        yield folder


def _links(prepared: Prepared, index: str) -> dict[str, str]:
    """Each file's name there: `model-00001-of-00002.safetensors` beside `model.safetensors.index.json`."""
    stem, suffix = index.split(".")[:2]
    files = list(dict.fromkeys(info.file for info in prepared.infos if info.file is not None))
    return {file: f"{stem}-{number:05}-of-{len(files):05}.{suffix}" for number, file in enumerate(files, 1)}
