"""Whether MODEL is a path or a repository. Asks nobody and imports nothing, since most runs name a path."""

from __future__ import annotations

import os

from tracer.checkpoint.formats import of_file


def is_hub_id(model: str) -> bool:
    """Whether MODEL is a Hub id: `org/name`, unless something of that name is here, or it is spelled as a path."""
    if os.path.lexists(model) or model.startswith((".", "~")) or "\\" in model:
        return False
    organisation, slash, name = model.partition("/")
    return bool(organisation and slash and name) and "/" not in name and of_file(name) is None


def advice(model: str) -> str:
    """What to say beside `no such file or folder`: a bare name was a Hub id once, and addresses get pasted."""
    if "://" in model:
        return "; a repository on the Hub is named by its id, org/name"
    bare = "/" not in model and "\\" not in model and of_file(model) is None
    return "; ids of the Hub have the form org/name (gpt2 is openai-community/gpt2)" if bare else ""
