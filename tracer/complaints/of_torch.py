"""What PyTorch says while a state dict is loaded, when shapes do not fit, and what it refuses to unpickle."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, SHAPE, Pattern

_NEXT = r"(?=\.?\s*(?:Missing key\(s\)|Unexpected key\(s\)|size mismatch|While copying|$))"

_STATE_DICT = (
    Pattern(
        rf"size mismatch for (?P<name>{NAME}): copying a param(?:eter)? with shape (?P<shape1>{SHAPE}) from checkpoint"
        rf",? the shape in current model is (?P<shape2>{SHAPE})",
        "shape", "Module.load_state_dict since 0.4.1", needle="size mismatch for",
    ),
    Pattern(
        rf"While copying the parameter named ['\"](?P<name>[^'\"\n]{{1,400}})['\"], whose dimensions in the model are "
        rf"(?P<shape2>{SHAPE}) and whose dimensions in the checkpoint are (?P<shape1>{SHAPE})",
        "shape", "Module.load_state_dict, where the copy itself fails", needle="While copying the parameter",
    ),
    Pattern(
        rf"copying a param(?:eter)? with shape (?P<shape1>{SHAPE})(?: from checkpoint)?"
        rf"(?:,? the shape in current model is (?P<shape2>{SHAPE}))?",
        "shape", "Module.load_state_dict, quoted without its beginning", needle="copying a param",
    ),
    Pattern(
        rf"Missing key\(s\) in state_dict: (?P<names>[^\n]*?){_NEXT}",
        "no-tensor", "Module.load_state_dict", needle="Missing key(s) in state_dict",
    ),
    Pattern(
        rf"Unexpected key\(s\) in state_dict: (?P<names>[^\n]*?){_NEXT}",
        "unexpected", "Module.load_state_dict", needle="Unexpected key(s) in state_dict",
    ),
    Pattern(
        r"Missing key in checkpoint state_dict: (?P<name>[^\s'\"]{1,400})",
        "no-tensor", "torch.distributed.checkpoint, DefaultLoadPlanner; mbridge#145",
        needle="Missing key in checkpoint state_dict", gathers=True,
    ),
    Pattern(
        rf"Size mismatch between saved (?P<shape1>{SHAPE}) and current: (?P<shape2>{SHAPE}) for (?P<name>{NAME})",
        "shape", "torch.distributed.checkpoint, DefaultLoadPlanner", needle="Size mismatch between saved",
    ),
    Pattern(
        r"_IncompatibleKeys\(missing_keys=\[(?P<names>[^\]\n]+)\]",
        "no-tensor", "load_state_dict(strict=False), printed", needle="_IncompatibleKeys", warning=True,
    ),
    Pattern(
        r"unexpected_keys=\[(?P<names>[^\]\n]+)\]",
        "unexpected", "load_state_dict(strict=False), printed", needle="unexpected_keys=", warning=True,
    ),
)  # fmt: skip

_SHAPES = (
    Pattern(
        r"[Tt]he size of tensor a \((?P<number1>\d{1,19})\) must match the size of tensor b \((?P<number2>\d{1,19})\)",
        "shape", "copy_ and arithmetic of ATen; vllm#12170, vllm#20670", needle="size of tensor a",
    ),
    Pattern(
        rf"shape ['\"]?(?P<shape>{SHAPE})['\"]? is invalid for input of size (?P<number>\d{{1,19}})",
        "shape", "view of ATen; transformers#48307", needle="is invalid for input of size",
    ),
    Pattern(
        r"expanded size of the tensor \((?P<number2>\d{1,19})\) must match the existing size \((?P<number1>\d{1,19})\)"
        rf"(?:[^\n]{{0,80}}?Target sizes: (?P<shape2>{SHAPE})[^\n]{{0,10}}?Tensor sizes: (?P<shape1>{SHAPE}))?",
        "shape", "expand of ATen, below copy_", needle="expanded size of the tensor",
    ),
    Pattern(
        r"start \((?P<number1>\d{1,19})\) \+ length \((?P<number2>\d{1,19})\) exceeds dimension size"
        r" \((?P<number3>\d{1,19})\)",
        "shape", "narrow of ATen, where a loader cuts a shard from too short a tensor", needle="exceeds dimension size",
    ),
    Pattern(
        r"mat1 and mat2 shapes cannot be multiplied \((?P<shape1>\d{1,19}x\d{1,19}) and"
        r" (?P<shape2>\d{1,19}x\d{1,19})\)",
        "shape", "addmm of ATen", needle="shapes cannot be multiplied",
    ),
    Pattern(
        rf"output with shape (?P<shape2>{SHAPE}) doesn't match the broadcast shape (?P<shape1>{SHAPE})",
        "shape", "copy_ of ATen", needle="match the broadcast shape",
    ),
    Pattern(
        rf"cannot reshape array of size (?P<number>\d{{1,19}}) into shape (?P<shape>{SHAPE})",
        "shape", "numpy, in gguf-py and convert_hf_to_gguf.py", needle="cannot reshape array", program="",
    ),
)  # fmt: skip

_FILES = (
    Pattern(
        r"(?:Weights only load failed[^\n]{0,2000}?|WeightsUnpickler error: )?Unsupported (?:global: GLOBAL|class"
        r"|operand) "
        r"(?P<name>[\w.]{1,300})",
        "pickle", "torch.load(weights_only=True)",
        needle=("Unsupported global", "Unsupported class", "Unsupported operand"),
    ),
    Pattern(
        r"Trying to load unsupported GLOBAL (?P<name>[\w.]{1,300}) whose module [\w.]{1,200} is blocked",
        "pickle", "torch.load(weights_only=True) since 2.5", needle="unsupported GLOBAL",
    ),
    Pattern(
        r"Weights only load failed|serious vulnerability issue in `torch\.load`|Only persistent_load of storage is"
        r" allowed",
        "pickle", "torch.load(weights_only=True); check_torch_load_is_safe of Transformers since 4.51",
        needle=("Weights only load", "serious vulnerability issue in", "persistent_load of"),
    ),
    Pattern(
        r"invalid load key, (?P<field>'[^\n]{1,8}?'|\"[^\n]{1,8}?\")",
        "header", "pickle of CPython: the first byte, `v` of a Git-LFS pointer or `<` of a web page",
        needle="invalid load key",
    ),
    Pattern(
        r"PytorchStreamReader failed (?:reading zip archive|reading file|locating file)[^\n]{0,200}",
        "header", "PyTorchFileReader: a zip that is cut off", needle="PytorchStreamReader failed",
    ),
    Pattern(
        r"unexpected EOF, expected (?P<number>\d{1,19}) more bytes",
        "header", "torch.load of the old format, cut off", needle="unexpected EOF",
    ),
    Pattern(r"EOFError: Ran out of input", "header", "pickle of an empty file", needle="Ran out of input"),
    Pattern(
        r"file in archive is not in a subdirectory|not a ZIP archive|BadZipFile: File is not a zip file",
        "header", "PyTorchFileReader, zipfile of CPython",
        needle=("file in archive is not", "not a ZIP archive", "BadZipFile"),
    ),
)  # fmt: skip

_VALUES = (
    Pattern(
        r"probability tensor contains either `?inf`?, `?nan`? or element < 0",
        "not-finite", "multinomial of ATen: sampling from NaN", needle="probability tensor contains",
    ),
    Pattern(
        r"expected (?:scalar type|m1 and m2 to have the same dtype, but got:?) (?P<field1>[\w.]+)"
        r"(?: but found |, | != )(?P<field2>[\w.]+)",
        "dtype", "ATen", needle=("expected scalar type", "expected m1 and m2"),
    ),
    Pattern(
        r"[Gg]ot unsupported ScalarType (?P<field>\w+)|data type '(?P<field2>b?float\w+)' not understood",
        "dtype", "Tensor.numpy() of BF16; the NumPy front end of safetensors",
        needle=("unsupported ScalarType", "data type '"),
    ),
)  # fmt: skip

PATTERNS = tuple(pattern.by("torch") for pattern in (*_STATE_DICT, *_SHAPES, *_FILES, *_VALUES))
