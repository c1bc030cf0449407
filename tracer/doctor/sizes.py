"""Sizes of files and totals against config.json, where no rows tell what they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.dtypes import BITS, from_config
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import PYTORCH
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.admission import Patient
from tracer.doctor.chart import Chart
from tracer.errors import InputError, Refused
from tracer.prepare import Request, prepare
from tracer.prepare.config import FLOATS
from tracer.weighing import told

if TYPE_CHECKING:
    from tracer.doctor.expected import Expected

_CLOSE = 100
"""One part in so many is what headers, buffers and a few unknown vectors may take."""
_WIDTHS = (1, 2, 4, 8)
_WITHOUT_SCHEME = '{"quantization_config": null}'
_BITS = (2, 3, 4, 8)
_MOST_BITS = 32
_GROUPS = (-1, 16, 32, 64, 128, 256, 512, 1024)
_SLACK = 0.001
"""Share of a packed file that its header and biases that nobody asked for may take."""


def examine_sizes(patient: Patient, scheme: Mapping[str, Any] | None, names: Sequence[str], chart: Chart) -> None:
    """Bytes an element by the total; bits and groups by the size of the file."""
    checkpoint = patient.checkpoint
    if scheme is not None:
        _packed(patient, scheme, chart)
    elif checkpoint.state == "index-only" and (total := _total(patient)) and names:
        _widths(patient, names, total, chart)
    elif checkpoint.state == "complete" and checkpoint.tensors:
        _dtypes(checkpoint.config or {}, checkpoint.tensors, chart)


def _total(patient: Patient) -> int | None:
    """What the index says, or the files have together where all their sizes are known."""
    checkpoint = patient.checkpoint
    index = checkpoint.index
    if index is None:
        return None
    sizes = checkpoint.sizes
    if all(file in sizes for file in index.files()):
        return sum(sizes[file] for file in index.files())
    return index.total_size


# --- bytes an element ---


def _widths(patient: Patient, names: Sequence[str], total: int, chart: Chart) -> None:
    from tracer.doctor.expected import expected

    config = patient.checkpoint.config or {}
    spelled = config.get("torch_dtype") or config.get("dtype")
    declared = from_config(spelled) if isinstance(spelled, str) else None
    if declared not in FLOATS:
        chart.unchecked("sizes", "config.json declares no data type")
        return
    found = expected(config, names)
    if found.unknown:
        what = f"the shapes of {len(found.unknown)} kinds of tensors do not follow from config.json"
        chart.unchecked("sizes", f"{what} ({found.unknown[0]} ...)")
    if finding := _unweighed(patient.checkpoint, found):
        chart.found([finding])
        return
    width = BITS[declared] // 8
    fits = fitting(found, total)
    if width in fits:
        chart.told("sizes", f"{total:,} bytes are about {width} an element, as {declared} has")
    elif len(fits) == 1 and not _is_open(found):
        witness = f"the size of its files ({told.number(total)})"
        chart.found([told.other_width(fits[0], declared, True, witness)], "sizes")
    elif not found.unknown:
        chart.unchecked("sizes", f"{total:,} bytes fit no data type for the {found.elements:,} elements that are known")


def _unweighed(checkpoint: Checkpoint, found: Expected) -> Finding | None:
    """A total that is, to the byte, that of some tensors, so that the others would have none.

    In a pickle they may be second names of the same storage.
    """
    index, others = checkpoint.index, [each for each in found.unknown if not each.endswith(_BUFFERS)]
    if index is None or checkpoint.format is PYTORCH or not others or not found.elements:
        return None
    width = next((width for width in _WIDTHS if width * found.elements == index.total_size), None)
    if width is None:
        return None
    known = len(index.weight_map) - found.tensors
    return Finding(
        "index.total-size", "warning", index.file,
        f"{index.file}: metadata.total_size is {told.number(width * found.elements)}, to the byte what {known:,} of the"
        f" {len(index.weight_map):,} tensors have by config.json at {width} bytes an element; nothing is left for the"
        f" other {found.tensors:,} ({some(sorted({each.partition('.')[0] for each in others}))}): it is from before"
        " they were added, or from another checkpoint",
        {"index": index.file, "elements": found.elements, "others": others},
        "set total_size to the bytes of all tensors",
    )  # fmt: skip


def fitting(found: Expected, total: int) -> list[int]:
    """Bytes an element at which the known elements are all of it; heads may share the embedding's storage."""
    counts = {found.elements, found.elements - found.head} - {0}
    return [width for width in _WIDTHS if any(_CLOSE * abs(total - n * width) < n * width for n in counts)]


def _is_open(found: Expected) -> bool:
    """Whether what is not known may be large: only buffers are known to be small."""
    return any(not template.endswith(_BUFFERS) for template in found.unknown)


_BUFFERS = ("position_ids", "inv_freq", "masked_bias", ".bias", "num_batches_tracked")


def _dtypes(config: Mapping[str, Any], tensors: Sequence[TensorInfo], chart: Chart) -> None:
    """The data type that most bytes have, against the declared one; loaders convert, so it is worth knowing."""
    spelled = config.get("torch_dtype") or config.get("dtype")
    declared = from_config(spelled) if isinstance(spelled, str) else None
    held: dict[str, int] = {}
    for tensor in tensors:
        held[tensor.dtype] = held.get(tensor.dtype, 0) + tensor.nbytes
    most = max(held, key=lambda dtype: held[dtype])
    if declared not in FLOATS or most not in FLOATS:
        return
    if most == declared:
        chart.told("sizes", f"most bytes are {most}, as config.json says")
        return
    share = round(100 * held[most] / (sum(held.values()) or 1))
    finding = Finding(
        "config.conflict", "info", "torch_dtype",
        f"config.json: torch_dtype is {declared}, but {share} % of the bytes are {most}",
        {"declared": declared, "bytes": held},
    )  # fmt: skip
    chart.found([finding], "sizes")


# --- packed weights ---


class Packed(NamedTuple):
    """One way to pack the linear layers."""

    bits: int
    group: int
    """Inputs that share a scale; -1 for all of them."""

    def __str__(self) -> str:
        return f"{self.bits} bits in groups of {self.group}" if self.group > 0 else f"{self.bits} bits, one group"


def _packed(patient: Patient, scheme: Mapping[str, Any], chart: Chart) -> None:
    """GPTQ in files that are not here: their size against declared bits and group, by the rows of the plain model."""
    checkpoint, method = patient.checkpoint, str(scheme.get("quant_method", "gptq")).lower()
    bits, group = scheme.get("bits"), scheme.get("group_size")
    size = sum(checkpoint.pointer_sizes.values())
    if checkpoint.tensors or not size or method != "gptq" or type(bits) is not int or type(group) is not int:
        return
    if not 0 < bits <= _MOST_BITS:
        chart.unchecked("sizes", f"bits of quantization_config is {told.number(bits)}, which no format packs")
        return
    try:
        plain = prepare(Request(checkpoint.files.title, plan_only=True, overrides=_WITHOUT_SCHEME))
    except (InputError, Refused):
        return
    declared = Packed(bits, group)
    if fits(plain.infos, declared, size):
        chart.told("sizes", f"{size:,} bytes are what {declared} take, with scales, zeros and the order of inputs")
        return
    others = [other for b in _BITS for g in _GROUPS if fits(plain.infos, other := Packed(b, g), size)]
    if others:
        chart.found(_misdeclared(declared, others, size))
    else:
        chart.unchecked("sizes", f"{size:,} bytes fit no bits and groups that are usual, nor {declared}")


def fits(tensors: Sequence[TensorInfo], packed: Packed, size: int) -> bool:
    """Whether files of this size may hold the model so packed; some packers also store a bias for each output."""
    least = packed_bytes(tensors, packed)
    biases = sum(2 * tensor.shape[0] for tensor in tensors if _is_packed(tensor))
    return least <= size <= least + biases + _SLACK * size


def packed_bytes(tensors: Sequence[TensorInfo], packed: Packed) -> int:
    """qweight, qzeros, scales (F16) and g_idx (I32) of each linear layer, the rest as it is (AutoGPTQ's layout)."""
    total = 0.0
    for tensor in tensors:
        if not _is_packed(tensor):
            total += tensor.nbytes
            continue
        outputs, inputs = tensor.shape
        groups = 1 if packed.group < 1 else -(-inputs // packed.group)
        total += outputs * inputs * packed.bits // 8 + groups * outputs * (2 + packed.bits / 8) + 4 * inputs
    return round(total)


def _is_packed(tensor: TensorInfo) -> bool:
    """Linear layers inside of layers; embedding and head stay as they are."""
    return len(tensor.shape) == 2 and any(segment.isdecimal() for segment in tensor.name.split("."))


def _misdeclared(declared: Packed, others: Sequence[Packed], size: int) -> Iterator[Finding]:
    yield Finding(
        "config.conflict", "error", "quantization_config",
        f"config.json declares {declared}, but {size:,} bytes are what {' or '.join(map(str, others[:3]))} take",
        {"declared": list(declared), "fits": [list(other) for other in others], "size": size},
        f"set bits to {others[0].bits} and group_size to {others[0].group}",
    )  # fmt: skip
