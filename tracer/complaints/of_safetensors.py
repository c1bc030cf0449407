"""What safetensors says of a file; its words do not tell causes apart (a pointer and a web page are both too large)."""

from __future__ import annotations

from tracer.complaints.pattern import Pattern

_OLD = (
    "HeaderTooLarge|HeaderTooSmall|InvalidHeaderLength|InvalidHeaderStart|InvalidHeaderDeserialization|InvalidHeader"
    "|MetadataIncompleteBuffer|TensorInvalidInfo|InvalidOffset|ValidationOverflow|TensorNotFound"
)
"""Variants of its error type, as versions before 0.6 printed them."""
_NEW = (
    "header too large|header too small|invalid header length|invalid start character in header"
    "|incomplete metadata, file not fully covered|invalid shape, data type, or offset for tensor"
    "|invalid JSON in header|invalid UTF-8 in header|overflow computing buffer size"
)

PATTERNS = tuple(
    pattern.by("safetensors")
    for pattern in (
        Pattern(
            r"(?:deserializing header|SafetensorError)[^\n]{0,300}?unknown variant `(?P<field>\w+)`",
            "dtype", "0.6 and later: a dtype that the installed version does not know", needle="unknown variant",
        ),
        Pattern(
            r"[Cc]annot load safetensors of unknown dtype (?P<field>\w+)",
            "dtype", "load_state_dict of Transformers", needle="safetensors of unknown dtype",
        ),
        Pattern(
            r"(?:deserializing header: |SafetensorError: )?invalid offset for tensor `?(?P<name>[^`\s\n]{1,400})`?",
            "header", "0.6 and later: overlap, hole, two names for the same bytes", needle="invalid offset for tensor",
        ),
        Pattern(
            r"InvalidOffset\(\"?(?P<name>[^\")\n]{1,400})\"?\)",
            "header", "before 0.6", needle="InvalidOffset",
        ),
        Pattern(
            rf"(?:[Ee]rror while )?deserializing header: (?P<field>{_OLD}|{_NEW}|[^\n]{{1,120}})",
            "header", "safe_open and load, before 0.6 a variant's name, later prose", needle="deserializing header",
        ),
        Pattern(
            r"File does not contain tensor (?P<name>[^\s'\"]{1,400})",
            "no-tensor", "safe_open.get_tensor", needle="File does not contain tensor", gathers=True,
        ),
        Pattern(
            rf"\b(?P<field>{_OLD})\b", "header", "before 0.6, quoted alone",
            needle=tuple(_OLD.split("|")), pasted=True,
        ),
        Pattern(
            rf"\b(?P<field>{_NEW})", "header", "0.6 and later, quoted alone", pasted=True,
            needle=tuple(_NEW.split("|")),
        ),
        Pattern(
            r"Some tensors share memory[^\n]{0,120}?: (?P<names>[^\n]*)",
            "duplicate", "save_file and Trainer", needle="Some tensors share memory",
        ),
    )
)  # fmt: skip
