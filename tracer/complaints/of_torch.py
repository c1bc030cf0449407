"""What PyTorch says while a state dict is loaded, and what it refuses to unpickle."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, SHAPE, Pattern

PATTERNS = (
    Pattern(
        rf"size mismatch for (?P<name>{NAME}?): copying a param(?:eter)? with shape (?P<shape1>{SHAPE}) from checkpoint"
        rf", the shape in current model is (?P<shape2>{SHAPE})",
        "shape", "Module.load_state_dict since 0.4.1", needle="size mismatch for", program="torch",
    ),
    Pattern(
        rf"copying a param(?:eter)? with shape (?P<shape1>{SHAPE})(?: from checkpoint)?"
        rf"(?:, the shape in current model is (?P<shape2>{SHAPE}))?",
        "shape", "Module.load_state_dict, quoted without its beginning", needle="copying a param", program="torch",
    ),
    Pattern(
        r"Missing key\(s\) in state_dict: (?P<names>[^\n]*?)(?=\.?\s*(?:Unexpected key\(s\)|size mismatch|$))",
        "no-tensor", "Module.load_state_dict", needle="Missing key(s) in state_dict", program="torch",
    ),
    Pattern(
        r"Unexpected key\(s\) in state_dict: (?P<names>[^\n]*?)(?=\.?\s*(?:Missing key\(s\)|size mismatch|$))",
        "unexpected", "Module.load_state_dict", needle="Unexpected key(s) in state_dict", program="torch",
    ),
)  # fmt: skip
