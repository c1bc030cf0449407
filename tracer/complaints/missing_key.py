"""What a bare `KeyError: '...'` was about: its key and the line of code that looked it up tell, and often both do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tracer.complaints.complaint import Complaint, Kind
from tracer.complaints.tracebacks import Frame

_LOOKED_UP_IN: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(?i)CONFIG_MAPPING|_MODELS?\[|MODEL_REGISTRY|model_type\"?\]|_ARCH\w*\["), "no-architecture"),
    (re.compile(r"hparams|config(?:_dict)?\[|config\.pop|params_json|rope_scaling\["), "no-field"),
    (re.compile(r"(?i)QUANT\w*_(?:METHODS|CONFIG|MAPPING)|method_to_config|quantization_map"), "quantisation"),
    (re.compile(r"(?i)_TYPES?\[|dtype"), "dtype"),
    (re.compile(r"param(?:eter)?s?_dict|named_parameters|params?\["), "no-parameter"),
    (re.compile(r"state_dict|weight_map|weights?\[|tensors?\[|quant_description|checkpoint\["), "no-tensor"),
)  # fmt: skip
"""What a line of code searches, by the names that the engines give it, and so which side lacks the key."""
_DTYPE = re.compile(r"(?:torch\.)?(?:BF16|[IUFC]\d{1,3}(?:_E\d+M\d+\w*)?|BOOL|b?float\d+(?:_e\d+m\d+\w*)?|u?int\d+)$")
_CLASS = re.compile(r"[A-Z]\w*(?:For\w+|Model|LMHeadModel)$")
_OF_A_MODEL = re.compile(
    r"(?:^|_)(?:weight|bias|scale|scales|qweight|qzeros|idx|freq|cached|packed|absmax|quant_map|proj|embed\w*|norm|attn"
    r"|mlp|head|wte|wpe|gate|experts?_\w+)(?:_|$)"
)
"""Words of modules and parameters, for keys without a dot."""
_FIELD = re.compile(
    r"(?:^|_)(?:size|num|dim|length|len|max|min|config|theta|eps|id|ids|type|layers|heads|experts|factor|scaling|rope"
    r"|method|bits|group|version|vocab|hidden|window|dtype|token|activation|act|architectures|name|parameters|map)(?:_|$)"
)


def judged(complaint: Complaint, frames: Sequence[Frame]) -> Complaint:
    """The complaint of a missing key, as the kind that it is."""
    key = complaint.names[0]
    if " " in key:
        return replace(complaint, kind="other", names=())
    kind = _kind(key, frames)
    if kind in ("no-field", "no-architecture", "quantisation", "dtype"):
        return replace(complaint, kind=kind, names=(), fields=(key,))
    return replace(complaint, kind=kind)


def _kind(key: str, frames: Sequence[Frame]) -> Kind:
    if _DTYPE.match(key):
        return "dtype"
    if _CLASS.match(key):
        return "no-architecture"
    named = "." in key or bool(_OF_A_MODEL.search(key) and not _FIELD.search(key))
    for pattern, kind in _LOOKED_UP_IN:
        if frames and pattern.search(frames[-1].code) and (named == (kind in ("no-parameter", "no-tensor"))):
            return kind
    if named or any(frame.function.startswith("load_weights") for frame in frames):
        return "no-parameter"
    # A model type is one word (`mistral`, `qwen3_moe`); a field says what it counts or sets.
    return "no-field" if _FIELD.search(key) else "no-architecture"
