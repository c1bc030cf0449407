"""LoRA adapters (PEFT): a folder with one is no model, only what is added to one."""

from __future__ import annotations

from tracer.checkpoint.files import Files
from tracer.checkpoint.json_object import read_object
from tracer.errors import InputError

CONFIG = "adapter_config.json"


def not_a_model(files: Files) -> InputError:
    """Says so, and of which model, where the adapter's config.json names it. Raises InputError."""
    config = read_object(files, CONFIG, "config.invalid")
    base, kind = config.get("base_model_name_or_path"), config.get("peft_type")
    named = f" to {base[:200]!a}" if isinstance(base, str) and base else ""
    called = kind[:40] if isinstance(kind, str) and kind.isalnum() else "PEFT"
    found = f"found only {CONFIG}: a {called} adapter{named}; load that model, or merge the two"
    message = f"{files.title}: expected a model, {found}"
    return InputError(message, code="adapter.not-a-model", subject=CONFIG)
