"""What vLLM says."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, Pattern

PATTERNS = (
    Pattern(
        rf"[Tt]here is no module or parameter named ['\"]?(?P<name>{NAME})['\"]? in (?P<field>\w+)",
        "no-parameter", "AutoWeightsLoader since 0.6.4", needle="no module or parameter named", program="vllm",
    ),
    Pattern(
        r"[Ff]ollowing weights were not (?:initialized|loaded) from checkpoint: (?P<names>[^\n]*)",
        "no-tensor", "DefaultModelLoader since 0.6.4", needle="weights were not", program="vllm",
    ),
)  # fmt: skip
