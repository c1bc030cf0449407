"""What MLX and smaller loaders say, which turn up in the same threads."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, SHAPE, Pattern

_DOTTED = r"['\"`]?(?P<name>[\w-]{1,100}+(?:\.[\w-]{1,100}+){1,30})['\"`]?"

PATTERNS = (
    Pattern(
        rf"\b[Uu]n(?:expected|recognised|recognized|known|supported) (?:weight|tensor|key|parameter)(?: name)?s?:?"
        rf" {_DOTTED}",
        "no-parameter", "load_weights of single models of vLLM and SGLang", gathers=True,
        needle=("expected ", "recognised ", "recognized ", "nknown ", "nsupported "),
    ),
    Pattern(
        rf"\b(?:[Ww]eight|[Tt]ensor|[Pp]arameter|[Kk]ey)s? {_DOTTED} (?:(?:is|was|could|does)? ?not|missing) ?(?:be )?"
        r"(?:found|present|exist)?(?: in)? (?:the |any )?(?:model|module|network|engine)\b",
        "no-parameter", "loaders of many a project", needle=(" not ", " missing "), gathers=True,
    ),
    Pattern(
        rf"\b(?:[Ww]eight|[Tt]ensor|[Pp]arameter|[Kk]ey)s? {_DOTTED} (?:(?:is|was|could|does)? ?not|missing) ?(?:be )?"
        r"(?:found|present|exist|in\b|from\b)",
        "no-tensor", "loaders of many a project", needle=(" not ", " missing "), gathers=True,
    ),
    Pattern(
        r"Received (?P<number>\d{1,9}) parameters not in model:?\s?(?P<names>[^\n]*)",
        "no-parameter", "Module.load_weights of MLX; mlx-vlm#1367, mlx-vlm#2216", needle="parameters not in model",
    ),
    Pattern(
        r"Missing (?P<number>\d{1,9}) parameters:\s?(?P<names>[^\n]*)",
        "no-tensor", "Module.load_weights of MLX; Qwen3-VL-Embedding#89", needle=" parameters:",
    ),
    Pattern(
        rf"Expected shape (?P<shape2>{SHAPE}) but received shape (?P<shape1>{SHAPE}) for parameter (?P<name>{NAME})",
        "shape", "Module.load_weights of MLX", needle="but received shape",
    ),
    Pattern(
        rf"(?:(?<![\w.-])(?P<name>[\w-]{{1,100}}+"
        rf"(?:\.[\w-]{{1,100}}+){{1,30}})[^\[(\n]{{1,60}})?[Ee]xpected[^\[(\n]{{0,30}}"
        rf"(?P<shape2>{SHAPE})[^\[(\n]{{0,30}}(?:got|found|received|actual|has)[^\[(\n]{{0,20}}(?P<shape1>{SHAPE})",
        "shape", "loaders of many a project", needle="xpected",
    ),
    Pattern(
        rf"(?:(?<![\w.-])(?P<name>[\w-]{{1,100}}+(?:\.[\w-]{{1,100}}+){{1,30}})[^\[(\n]{{1,60}})?(?:[Gg]ot|[Ff]ound"
        rf"|has shape)"
        rf"[^\[(\n]{{0,20}}(?P<shape1>{SHAPE})[^\[(\n]{{0,30}}expected[^\[(\n]{{0,20}}(?P<shape2>{SHAPE})",
        "shape", "the same, the other way round", needle="expected",
    ),
    Pattern(
        r"got (?P<number1>\d{1,19}) elements,? (?:but )?expected (?P<number2>\d{1,19})",
        "shape", "entrenar#262", needle=" elements",
    ),
    Pattern(
        r"expected (?P<number2>\d{1,19}) elements,? (?:but )?(?:got|found) (?P<number1>\d{1,19})",
        "shape", "the same, the other way round", needle=" elements",
    ),
    Pattern(
        r"load attention data error (?P<number1>\d{1,19}), ?(?P<number2>\d{1,19})",
        "shape", "FlexFlow; flexflow-train#1033", needle="load attention data error",
    ),
)  # fmt: skip
