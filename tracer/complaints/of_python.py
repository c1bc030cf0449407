"""What any Python program says: a key that is not there, an attribute, a file."""

from __future__ import annotations

from tracer.complaints.pattern import Pattern

PATTERNS = (
    Pattern(
        r"'(?P<field>[\w.]+Config)' object has no attribute '(?P<field2>\w+)'",
        "no-field", "PretrainedConfig.__getattribute__, and any code that reads a field it takes for granted",
        needle="has no attribute",
    ),
    Pattern(
        r"['\"]?(?P<field>[\w.]+)['\"]? object has no attribute ['\"](?P<name>\w+)['\"]",
        "attribute", "AttributeError of CPython; vllm#34201, vllm#43564", needle="has no attribute",
    ),
    Pattern(
        r"FileNotFoundError: (?:\[Errno 2\] )?No such file or directory: ?['\"]?(?P<file>[^'\"\n]{1,1000})",
        "no-file", "open() of CPython, safe_open of safetensors", needle="No such file or directory",
    ),
    Pattern(
        r"No such file or directory: ['\"](?P<file>[^'\"\n]{1,1000})['\"]",
        "no-file", "open() of CPython", needle="No such file or directory",
    ),
)  # fmt: skip
