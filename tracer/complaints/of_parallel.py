"""What engines say of a number that another one does not divide; each says it in its own words, all of them alike."""

from __future__ import annotations

from tracer.complaints.pattern import Pattern

_GAP = r"[^\d\n]"

PATTERNS = (
    Pattern(
        r"number of attention heads \((?P<number1>\d{1,9})\) must be divisible by tensor parallel size "
        r"\((?P<number2>\d{1,9})\)",
        "divisible", "ModelConfig.verify_with_parallel_config of vLLM", needle="divisible by", program="vllm",
    ),
    Pattern(
        rf"divisible by{_GAP}{{0,60}}?\(got{_GAP}{{0,40}}(?P<number1>\d{{1,9}}){_GAP}{{1,40}}?(?P<number2>\d{{1,9}})",
        "divisible", "`num_heads` must be divisible by `num_shards` of TGI; attention modules of Transformers",
        needle="divisible by",
    ),
    Pattern(
        rf"(?<![\d.\w])(?P<number1>\d{{1,12}}){_GAP}{{0,60}}?\bdivisible by{_GAP}{{0,80}}?(?P<number2>\d{{1,12}})",
        "divisible", "divide() of vLLM, SGLang and Megatron; Marlin and block-FP8 checks (vllm#13640, vllm#17569)",
        needle="divisible by",
    ),
    Pattern(
        rf"(?<![\d.\w])(?P<number1>\d{{1,12}}){_GAP}{{0,60}}?\b(?:cannot be|can't be|not) (?:evenly )?(?:split"
        rf"|sharded|divided"
        rf"|partitioned|distributed){_GAP}{{0,40}}?(?P<number2>\d{{1,12}})",
        "divisible", "the same in the words of smaller engines",
        needle=(" split ", " sharded ", " divided ", " partitioned ", " distributed "),
    ),
    Pattern(
        rf"(?<![\d.\w])(?P<number2>\d{{1,12}}){_GAP}{{0,40}}?\b(?:must|should|does not|doesn't|cannot) (?:evenly"
        rf" )?divide\b"
        rf"{_GAP}{{0,60}}?(?P<number1>\d{{1,12}})",
        "divisible", "the same, the divisor first", needle=" divide ",
    ),
    Pattern(
        r"(?:must|should|needs? to|has to) be (?:evenly )?divisible by|(?:is|are) not (?:evenly )?divisible by",
        "divisible", "the same without numbers", needle="divisible by",
    ),
    Pattern(
        r"\bassert\b[^\n%]{0,80}% ?[\w.()]{1,80} ?== ?0",
        "divisible", "QKVParallelLinear and others of vLLM and SGLang, whose assertions have no words",
        needle="assert ",
    ),
    Pattern(
        r"[Tt]he cho+sen size (?P<number1>\d{1,12}) is not compatible with sharding on (?P<number2>\d{1,9}) shards",
        "divisible", "Weights.get_sharded of TGI", needle="not compatible with sharding on", program="tgi",
    ),
)  # fmt: skip
