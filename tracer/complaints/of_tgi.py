"""What Text Generation Inference says."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, Pattern

PATTERNS = (
    Pattern(
        rf"\b[Ww]eights? ['\"`]?(?P<name>{NAME})['\"`]? does not exist",
        "no-tensor", "Weights.get_filename; TGI#541, TGI#1020", needle="does not exist", program="tgi",
    ),
    Pattern(
        r"No (?:local |\.\w{1,20} )weights found (?:in|for model) (?P<file>\S{1,600})",
        "no-file", "weight_files and weight_hub_files", needle="weights found ", program="tgi",
    ),
    Pattern(
        r"[Cc]annot load [`'\"](?P<field>\w+)[`'\"] weight",
        "quantisation", "GPTQ and AWQ loaders: the tensors are not those of the scheme", needle="annot load ",
        program="tgi",
    ),
    Pattern(
        r"missing field [`'\"](?P<field>\w+)[`'\"]",
        "no-field", "serde, in the router and in backends in Rust", needle="missing field",
    ),
)  # fmt: skip
