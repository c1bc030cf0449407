"""What PEFT says of an adapter, and vLLM of one that it is to serve."""

from __future__ import annotations

from tracer.complaints.pattern import LEADING_NAME, Pattern

PATTERNS = (
    Pattern(
        r"[Ff]ound missing adapter keys while loading the checkpoint:? ?(?P<names>[^\n]*)",
        "adapter", "PeftModel.load_adapter since 0.14; peft#1932", needle="missing adapter keys", warning=True,
    ),
    Pattern(
        r"Loading adapter weights from [^\n]{1,400}? led to (?:unexpected|missing) keys[^\n]{0,60}?: (?P<names>[^\n]*)",
        "adapter", "load_adapter of Transformers", needle="Loading adapter weights from", warning=True,
    ),
    Pattern(
        r"Target modules? (?P<names>[\[{(][^\n]{0,2000}?[\]})]|\S{1,300}) not found in the base model",
        "adapter", "BaseTuner.inject_adapter", needle="not found in the base model",
    ),
    Pattern(
        rf"{LEADING_NAME} is unsupported LoRA weight",
        "adapter", "parse_fine_tuned_lora_name", needle="is unsupported LoRA weight", program="vllm",
    ),
    Pattern(
        r"LoRA rank (?P<number1>\d{1,9}) is greater than max_lora_rank (?P<number2>\d{1,9})",
        "adapter", "PEFTHelper.validate_legal", needle="is greater than max_lora_rank", program="vllm",
    ),
    Pattern(
        r"expected target modules in [^\n]{1,4000}? but received (?P<names>[\[{(][^\n]*?[\]})])",
        "adapter", "LoRAModel.from_local_checkpoint", needle="expected target modules in", program="vllm",
    ),
    Pattern(
        r"Can't find '(?P<file>adapter_config\.json)' at '(?P<field>[^'\n]{1,600})'",
        "no-file", "PeftConfig.from_pretrained", needle="adapter_config.json",
    ),
)  # fmt: skip
