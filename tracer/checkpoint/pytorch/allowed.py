"""The short list of globals that a state dict needs, and the value that a call of each stands for.

A subset of what torch.load(weights_only=True) allows. argparse.Namespace and its like are not on it: torch refuses
them too, and a class is only as plain as the module that an attacker can make Python import under its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap

from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.pytorch.refusal import Malformed, shown
from tracer.checkpoint.pytorch.values import UNNAMED_BITS, Oddity, Opaque, Pairs, Storage, Tensor, Value, item_bytes

Build = Callable[[tuple[Value, ...]], Value]
_DIMENSIONS = 64
"""As many as torch allows."""
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Allowed:
    """A global on the list: a function or class to call, a data type, or a class of storages."""

    name: str
    build: Build | None = None
    dtype: str | None = None
    is_storage: bool = False


def find(module: str, name: str) -> Allowed | None:
    """The global of that name, or None if it is not on the list."""
    module = _PYTHON_2.get(module, module)
    full = f"{module}.{name}"
    if full in _CALLED:
        return Allowed(full, _CALLED[full])
    if module in ("torch", "torch.cuda") and name in _STORAGES:
        return Allowed(full, dtype=_STORAGES[name], is_storage=True)
    if full in _UNTYPED:
        return Allowed(full, is_storage=True)
    dtype = _dtype(name) if module == "torch" else None
    return Allowed(full, dtype=dtype) if dtype or full in _NAMED else None


def storage(saved: Value) -> Storage:
    """The storage of a persistent id: `("storage", class, key, device, elements[, view])`. Raises Malformed."""
    if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
        raise Malformed(f"expected a persistent id of a storage, found {shown(saved)}")
    _, kind, key, _, count = saved[:5]
    if not isinstance(kind, Allowed) or not kind.is_storage or not isinstance(key, str) or not _is_count(count):
        raise Malformed("expected the class, key and length of a storage, found something else")
    size = item_bytes(kind.dtype) if kind.dtype else 1
    view = saved[5] if len(saved) == 6 else None
    return Storage(key, kind.dtype, count * size, _view_start(view) * size)


def _view_start(view: Value) -> int:
    """A view of a storage, `(key, offset, length)`, as PyTorch 0.1 saved it."""
    if view is None:
        return 0
    if not isinstance(view, tuple) or len(view) != 3 or not _is_count(view[1]):
        raise Malformed(f"expected key, offset and length of a storage's view, found {shown(view)}")
    return int(view[1])


# --- tensors ---


def _tensor(args: tuple[Value, ...]) -> Tensor:
    """storage, offset, shape, strides."""
    _expect(args, 4, 4)
    return _strided(*args, dtype=None)


def _tensor_v2(args: tuple[Value, ...]) -> Tensor | Oddity:
    """The same and requires_grad, hooks[, bits]."""
    _expect(args, 6, 7)
    _expect_flag(args[4])
    return _lazy(args[6:]) or _strided(*args[:4], dtype=None)


def _tensor_v3(args: tuple[Value, ...]) -> Tensor | Oddity:
    """The same and requires_grad, hooks, dtype[, bits]: for data types that have no storage class."""
    _expect(args, 7, 8)
    _expect_flag(args[4])
    if not isinstance(args[6], Allowed) or args[6].is_storage or args[6].dtype is None:
        raise Malformed(f"expected a data type, found {shown(args[6])}")
    return _lazy(args[7:]) or _strided(*args[:4], dtype=args[6].dtype)


def _expect_flag(requires_grad: Value) -> None:
    """PyTorch refuses the file for anything else."""
    if not isinstance(requires_grad, bool):
        raise Malformed(f"expected requires_grad to be true or false, found {shown(requires_grad)}")


def _lazy(bits: tuple[Value, ...]) -> Oddity | None:
    """Whether reading the tensor means to negate or conjugate what is stored."""
    on = bits and isinstance(bits[0], Pairs) and any(value is not False for _, value in bits[0])
    return Oddity("negated or conjugated when it is read") if on else None


def _strided(base: Value, offset: Value, shape: Value, strides: Value, *, dtype: str | None) -> Tensor:
    if not isinstance(base, Storage):
        raise Malformed(f"expected a storage, found {shown(base)}")
    dtype = dtype or base.dtype
    if dtype is None:
        raise Malformed("a tensor of an untyped storage that does not say its data type")
    if not _is_count(offset) or not _are_counts(shape) or not _are_counts(strides) or len(shape) != len(strides):
        raise Malformed("expected a tensor's offset, shape and strides, found something else")
    return Tensor(base, dtype, offset, shape, strides)


def _parameter(args: tuple[Value, ...]) -> Tensor | Oddity:
    """data, requires_grad, hooks[, attributes]: as good as its data."""
    _expect(args, 1, 4)
    if not isinstance(args[0], Tensor | Oddity):
        raise Malformed(f"expected a parameter's tensor, found {shown(args[0])}")
    return args[0]


def _from_type(args: tuple[Value, ...]) -> Tensor | Oddity:
    """function, type, arguments, attributes: a tensor that carries Python attributes."""
    _expect(args, 4, 4)
    function, kind, inner = args[:3]
    plain = isinstance(function, Allowed) and _REBUILDS.get(function.name)
    if not plain or not isinstance(kind, Allowed) or not isinstance(inner, tuple):
        raise Malformed("expected a tensor's function, type and arguments, found something else")
    return plain(inner)


def _odd(what: str) -> Build:
    return lambda args: Oddity(what)


def _is_count(value: Value) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _are_counts(value: Value) -> bool:
    return isinstance(value, tuple) and len(value) <= _DIMENSIONS and all(map(_is_count, value))


def _expect(args: tuple[Value, ...], fewest: int, most: int) -> None:
    if not fewest <= len(args) <= most:
        raise Malformed(f"expected {fewest} to {most} arguments, found {len(args)}")


# --- everything else ---


def _mapping(args: tuple[Value, ...]) -> Pairs:
    """OrderedDict() or OrderedDict([[key, value], ...]), the latter from Python 2."""
    items = args[0] if args else ()
    if not isinstance(items, list | tuple) or not all(isinstance(i, list | tuple) and len(i) == 2 for i in items):
        raise Malformed("expected the items of a mapping, found something else")
    return Pairs(starmap(_pair, items))


def _pair(key: Value, value: Value) -> tuple[Value, Value]:
    return key, value


def _default_mapping(args: tuple[Value, ...]) -> Pairs:
    _expect(args, 0, 1)
    return Pairs()


def _size(args: tuple[Value, ...]) -> tuple[Value, ...]:
    _expect(args, 1, 1)
    if not isinstance(args[0], list | tuple):
        raise Malformed(f"expected the dimensions of a torch.Size, found {shown(args[0])}")
    return tuple(args[0])


def _harmless(what: str) -> Build:
    return lambda args: Opaque(what)


_REBUILDS: dict[str, Callable[[tuple[Value, ...]], Tensor | Oddity]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
}
_CALLED: dict[str, Build] = {
    **_REBUILDS,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._utils._rebuild_qtensor": _odd("quantised by PyTorch, with scales outside of its bytes"),
    "torch._utils._rebuild_sparse_tensor": _odd("sparse"),
    "torch._utils._rebuild_nested_tensor": _odd("nested"),
    "torch._utils._rebuild_meta_tensor_no_storage": _odd("on the meta device: it was saved without its bytes"),
    "torch._utils._rebuild_wrapper_subclass": _odd("of a subclass that wraps other tensors"),
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _default_mapping,
    "torch.Size": _size,
    "torch.device": _harmless("a device"),
    "torch.serialization._get_layout": _harmless("a layout"),
    "_codecs.encode": _harmless("bytes"),
    "builtins.bytearray": _harmless("bytes"),
    "builtins.complex": _harmless("a complex number"),
    "builtins.set": _harmless("a set"),
    "builtins.frozenset": _harmless("a set"),
}
_NAMED = {
    "torch.Tensor", "torch.nn.parameter.Buffer", "builtins.dict", "builtins.list", "builtins.int", "builtins.float",
    "torch.per_tensor_affine", "torch.per_channel_affine",
}  # fmt: skip
"""Globals that are only mentioned: types of tensors, the factories of a defaultdict, kinds of quantisation."""
_STORAGES: dict[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
_UNTYPED = {"torch.storage.UntypedStorage", "torch.storage._UntypedStorage"}
_PYTHON_2 = {"__builtin__": "builtins"}


def _dtype(name: str) -> str | None:
    """torch.float16 and its like, in safetensors spelling where that has one."""
    if name in UNNAMED_BITS:
        return name
    return None if "." in name else from_config(name)
