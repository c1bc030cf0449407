"""A checkpoint whose names, texts and messages would be markup, scripts or commands, were they believed."""

from __future__ import annotations

import json
from pathlib import Path

SCRIPT = "<script>hacked=1</script>"
NAMES = (
    f"model.layers.0.{SCRIPT}.weight",
    "\"onmouseover='hacked=1' x=\"",
    "</code></details></section><h1>nothing is wrong</h1>",
    "<img src=x onerror=hacked=1>",
    "--><svg onload=hacked=1>",
    "{{ 7 * 191 }}{% raw %}",
    "\x1b[31mred\x00\x07\r\nnext\u2028line",
    "to the right \u202e and to the left",
    "&lt;b&gt; &amp;#60; `code` ``` @everyone",
    "javascript:hacked=1",
    "]]></style><style>body{display:none}</style>",
)
TEXTS = (*NAMES, "half a pair \ud800 of what UTF-8 has no spelling for")
"""Headers are refused where a name is not Unicode; configs, messages and the names of files are not."""


def write(folder: Path) -> Path:
    """A model of which nearly every text is hostile; the files themselves are sound."""
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(NAMES)}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4 * len(NAMES)))
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4,
        "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 256, "torch_dtype": "float32",
        SCRIPT: SCRIPT, "auto_map": {text: text for text in TEXTS},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder
