"""What people say of an output, and how they shorten what a program said. Looked for in what is pasted, not in logs."""

from __future__ import annotations

from tracer.complaints.pattern import SHAPE, Pattern

PATTERNS = (
    Pattern(
        rf"(?:(?<![\w.])(?P<name>\w{{1,80}}+(?:\.\w{{1,80}}+){{1,30}})[^\[\n]{{1,80}})?(?P<shape1>{SHAPE})"
        rf"[^\[\n]{{1,60}}?(?P<shape2>{SHAPE})",
        "shape", "two shapes with words or an ellipsis between them", needle="[",
    ),
    Pattern(
        r"(?<![\w./-])(?P<file>[\w./-]{1,300}+(?:(?<=\.safetensors)|(?<=\.gguf)|(?<=\.bin)|"
        r"(?<=\.pth)|(?<=\.json)))[^\n]{0,30}?\b(?:missing|not found|absent"
        r"|does not exist)|missing (?:file|shard)s?:? (?P<file2>[\w./-]{1,300}+)",
        "no-file", "a shard that is not there", needle=("missing", "not found", "absent", "not exist"),
        ignore_case=True,
    ),
    Pattern(
        r"(?:^|[^\w'\"`])missing tensors?\b:?\s?(?P<name>\w{1,80}+(?:\.\w{1,80}+){1,30})?", "no-tensor", "LM"
        r" Studio's window; LlamaFactory#7848",
        needle="missing tensor",
        ignore_case=True,
    ),
    Pattern(
        r"\bnan\b[^\n]{0,40}\blogits|\blogits\b[^\n]{0,40}\b(?:nan|inf)|\boutputs? (?:is|are|only)? ?nans?\b|\bnans?\b",
        "not-finite", "vllm#14126, mlx-vlm#1163", needle="nan", ignore_case=True,
    ),
    Pattern(
        r"(?:!\s?){4,}|\bexclamation (?:marks?|points?)|\b(?:only|endless|just)\s+[`'\"“]!",
        "garbage", "token 0 of GPT-style vocabularies; vllm#13035, vllm#14126", needle=("!", "xclamation"),
        ignore_case=True,
    ),
    Pattern(
        r"\bgibberish\b|\bgarbage\b(?! coll)|\bnonsens\w*|\bincoherent\b|\bgarbled?\b|\bmojibake\b|\brubbish\b"
        r"|\bjunk (?:output|text|tokens)|\brandom (?:tokens?|characters?|text|words?|symbols?|output)"
        r"|\b(?:mixed|wrong|random) (?:scripts?|languages?)|\bword salad\b|\bhallucinat\w+ nonsense",
        "garbage", "the words of llama.cpp#2376, llama2.c#286, vllm#31464, sglang#20967", needle="", ignore_case=True,
    ),
    Pattern(
        r"\brepeat\w*\b[^\n]{0,40}\b(?:tokens?|words?|characters?|itself|phrases?|output|infinitely|forever"
        r"|endlessly)\b"
        r"|\bsame (?:token|word|character|phrase)s?\b|\b(?:over and over|stuck in a loop|infinite(?:ly)? (?:loop"
        r"|repe\w+))",
        "garbage", "transformers#45127, sglang#20967", needle="", ignore_case=True,
    ),
    Pattern(
        r"(?<!\w)(?P<field>[^\W\d]\w{0,30}+)(?:\s+(?P=field)\b){2,}",
        "garbage", "an output that repeats one word: `stud stud stud` of vllm#16579", needle=" ",
    ),
    Pattern(
        r"\b(?:bad|wrong|poor|degraded|broken|empty|blank|weird|strange|corrupt\w*) (?:outputs?|text|answers?|quality"
        r"|generations?|responses?|completions?|strings?|results?)"
        r"|\b(?:outputs?|answers?|responses?|texts?|completions?|generations?|results?) (?:is|are|was|were|looks?"
        r"|seems?"
        r"|became|becomes?|turns? into)\b(?: \w{1,12}){0,3}? (?:wrong|bad|broken|empty|blank|weird|strange"
        r"|corrupt\w*|random"
        r"|zeros?|degraded|useless|chinese|unrelated)"
        r"|\bcoherent[- ]looking\b|\bmakes? no sense\b|\brandom stuff\b|\bworse than (?:the )?(?:base|original)"
        r"|\b(?:perplexity|ppl)\b[^\n]{0,20}(?:\d{3,}|explo\w+|huge|high|inf)",
        "garbage", "nntrainer#4194, AutoAWQ#589", needle="", ignore_case=True,
    ),
    Pattern(
        r"(?<![\w.])(?P<name>(?:\w{1,80}+\.){0,30}(?:cos_sin_cache|inv_freq|freqs_cis|cos_cached|sin_cached))(?!\w)",
        "other", "a checker of synchronised weights that comes upon a table; miles#555", gathers=True,
        needle=("cos_sin_cache", "inv_freq", "freqs_cis", "_cached"),
    ),
    Pattern(
        r"(?P<field><[\w|/-]{1,40}>)(?:\s?(?P=field)){2,}", "garbage", "an output of one special token:"
        r" <unk><unk><unk>",
        needle="<",
    ),
    Pattern(
        r"(?<![\w.])(?P<name>\w{1,80}+(?:\.\w{1,80}+){1,30})(?=[\s'\"`,;)]|$)",
        "other", "a tensor's name among other words", gathers=True,
        needle=(".weight", ".bias", ".scale", "_scale", ".qweight", ".layers.", "_proj", ".experts", "blk."),
    ),
    Pattern(r"乱码|胡言乱语|复读|重复输出|输出异常", "garbage", "threads of Qwen and of vllm-ascend", needle=""),
)  # fmt: skip
