"""All that is asked of one checkpoint, in the order of causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF, PYTORCH
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.collection import uncollected
from tracer.doctor import copies, quantisation, trainers, zeros
from tracer.doctor.absent import missing_weights
from tracer.doctor.adapter import adapter_of, examine_adapter
from tracer.doctor.admission import Patient, admit
from tracer.doctor.chart import Chart
from tracer.doctor.inferred import examine_inferred
from tracer.doctor.labels import examine_label
from tracer.doctor.numbers import examine_numbers
from tracer.doctor.peers import examine_peers
from tracer.doctor.pickles import SUFFIXES, Listing, beside, list_globals, summary
from tracer.doctor.rows import examine_rows
from tracer.doctor.sizes import examine_sizes
from tracer.doctor.texts import broken_texts, weights_below
from tracer.doctor.tokens import examine_tokens

Values = Callable[[Checkpoint], list[Check]]
"""Reads the values of a checkpoint."""


@dataclass
class Examination:
    """What came of it."""

    title: str
    checks: list[Check]
    listings: list[Listing] = field(default_factory=list)
    """The globals of every pickle that is here."""


@uncollected()
def examine(model: str, revision: str | None = None, values: Values | None = None) -> Examination:
    """Raises InputError where there is nothing to examine, and UsageError."""
    return examine_patient(admit(model, revision), values)


def examine_patient(patient: Patient, values: Values | None = None) -> Examination:
    """The same of what was admitted before. Raises InputError where nothing is here of which anything could be said."""
    chart = Chart()
    listings = list(_list_pickles(patient.files))
    _files(patient, chart)
    _pickles(patient, listings, chart)
    _adapter(patient, chart)
    _trainers(patient, chart)
    if not patient.empty:
        examine_rows(patient, chart)
        _shards(patient, chart)
        _without_rows(patient, chart)
        if values is None:
            _zeros(patient, chart)
    if patient.lack is not None and not chart.codes():
        raise patient.lack
    if values is not None:
        read = _read_values(patient, values)
        for check in read:
            if check.name == "values.tied":  # names alone left it open
                chart.settled("tie.conflict", "" if check.findings else check.told)
        chart.add(read)
    else:
        chart.unchecked("values", "not asked for: --values reads every byte")
    if what := missing_weights(patient):
        chart.absent("files", what)
        chart.absent("adapter", what if patient.empty else "")
    return Examination(patient.files.title, chart.checks(), listings)


def examine_headers(patient: Patient, known: Iterable[Finding]) -> list[Finding]:
    """What names, shapes and config.json alone come to, for a patient that was changed in memory: no file is opened.

    `known` is what the files themselves have, since much is not asked where they are damaged or incomplete.
    """
    chart = Chart()
    chart.found(known)
    _trainers(patient, chart)
    if not patient.empty:
        examine_rows(patient, chart)
        _without_rows(patient, chart)
    return [finding for check in chart.checks() for finding in check.findings]


def _read_values(patient: Patient, values: Values) -> list[Check]:
    """Of the model, or of the adapter where there is no model; why there is nothing to be read, if so."""
    checkpoint = patient.checkpoint
    if patient.empty:
        checkpoint = adapter_of(patient.files) or checkpoint
    if checkpoint.tensors or checkpoint.files.folder is None:
        return values(checkpoint)
    return [Check("values", unchecked=missing_weights(patient) or "no file of weights that is here can be read")]


def _list_pickles(files: Files) -> list[Listing]:
    """Not of a repository: listing them would fetch them, and loaders' own were judged when they were read."""
    if files.folder is None:
        return []
    return list(list_globals(files, [name for name in files.names() if name.endswith(SUFFIXES)]))


# --- files ---


def _files(patient: Patient, chart: Chart) -> None:
    checkpoint = patient.checkpoint
    chart.found(damage.finding for damage in patient.damaged)
    chart.found(checkpoint.findings if patient.prepared is None else [])
    if patient.prepared is None and patient.refused is None:
        items = [item for item in checkpoint.unchecked if item.name != "headers" or not patient.lost]
        chart.left(items, "files")
    chart.found(_present(_hollow(checkpoint)))
    read = copies.read_files(checkpoint)
    damaged = [damage.file for damage in patient.damaged]
    findings, good = copies.damaged_beside(patient.files, [*read, *damaged])
    chart.found(findings)
    chart.found(_present(copies.unfinished(patient.files)))
    chart.found(copies.twins(copies.digests(patient.files, list(checkpoint.pointer_sizes)), read))
    for index in copies.other_indexes(patient.files, checkpoint):
        chart.found(_present(index.finding))
        if index.reason:
            chart.unchecked("index", index.reason)
    chart.found(broken_texts(patient.files, {*read, *damaged}, bool(checkpoint.pointer_sizes)))
    if (below := weights_below(patient.files)) and not (checkpoint.index and "/" in "".join(checkpoint.index.files())):
        chart.unchecked("files", below)
    if others := copies.other_programs(patient.files):
        chart.unchecked("files", f"{others[0]}: a format that is not read here ({len(others)} such files)")
    real = len(read) - len(checkpoint.pointer_sizes)
    if real:
        more = f", {good} headers of other copies" if good else ""
        what = f"{_plural(real, 'header')}, {len(checkpoint.tensors):,} tensors, every byte of each file accounted for"
        chart.told("files", f"{what}{more}")
    if checkpoint.pointer_sizes:
        chart.unchecked("files", f"{_plural(len(checkpoint.pointer_sizes), 'file')} of weights are Git-LFS pointers")


def _hollow(checkpoint: Checkpoint) -> Finding | None:
    """Files that can be read and hold nothing."""
    if checkpoint.tensors or not checkpoint.spans:
        return None
    file = checkpoint.spans[0].file
    if checkpoint.format is GGUF:
        what = f"{file} has no tensors: a vocabulary, or the first file of a split model"
        return Finding("tensor.ignored", "info", file, what)
    return Finding("file.empty", "error", file, f"{file} has a header and no tensors", {}, "download the file again")


def _present(finding: Finding | None) -> list[Finding]:
    return [] if finding is None else [finding]


def _shards(patient: Patient, chart: Chart) -> None:
    """What holds of all files together, once everything that may speak against it was looked at."""
    checkpoint = patient.checkpoint
    index, read = checkpoint.index, copies.read_files(checkpoint)
    if index is not None:
        chart.told("index", f"{index.file}: {len(index.weight_map):,} tensors in {_plural(len(index.files()), 'file')}")
        if patient.lost:
            chart.unchecked("index", "what damaged files hold could not be compared with it")
        if checkpoint.state == "index-only":
            chart.unchecked("index", "no header is here that it could be compared with")
    if patient.lost or len(read) < 2 or chart.codes() & _INCOMPLETE:
        return
    real = len(read) - len(checkpoint.pointer_sizes)
    chart.told("shards", f"{len(read)} files of one copy, none missing{', no tensor twice' if real > 1 else ''}")
    if real < len(read):
        chart.unchecked("shards", "which tensors are in files that are not here is told by the index alone")


_INCOMPLETE = {"index.missing-file", "shards.gap", "shards.duplicate-tensor"}


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _pickles(patient: Patient, listings: list[Listing], chart: Chart) -> None:
    own = set(copies.read_files(patient.checkpoint)) | {d.file for d in patient.damaged if d.weights}
    mine = [listing for listing in listings if listing.file in own]
    chart.told("pickles", summary(mine))
    chart.found(beside([listing for listing in listings if listing.file not in own]))
    if cut := [listing.file for listing in listings if not listing.complete]:
        more = f" ({len(cut)} such files)" if len(cut) > 1 else ""
        chart.unchecked("pickles", f"{cut[0]}: its list of globals is not complete{more}")
    if patient.files.folder is None and (far := copies.beside(patient.files, SUFFIXES)):
        what = f"{_plural(len(far), 'pickle')} beside the model ({some(far)})"
        chart.unchecked("pickles", f"{what} would have to be fetched: globals are listed where the files are here")


# --- what is no model, or not yet ---


def _adapter(patient: Patient, chart: Chart) -> None:
    found = examine_adapter(patient.files)
    if found is not None:
        chart.told("adapter", found.told)
        chart.found(found.findings, "adapter")
        chart.left(found.unchecked, "adapter")


def _trainers(patient: Patient, chart: Chart) -> None:
    tensors = patient.checkpoint.tensors
    alone = patient.empty and not patient.damaged
    chart.found(_present(trainers.run_of(patient.files, alone)), "trainer")
    chart.found(trainers.in_tensors(tensors, lambda: _elements(patient)))
    names = patient.checkpoint.names or [tensor.name for tensor in tensors]
    chart.found(_present(trainers.wrapped(names, patient.prepared is not None)))
    if names and not chart.codes() & {"trainer.placeholder", "trainer.flat-shard", "name.rewrite"}:
        chart.told("trainer", f"no wrapper in {len(names):,} names{', no placeholder, no slice' if tensors else ''}")
        if not tensors:
            chart.unchecked("trainer", "placeholders and slices show in headers, and none is here")


def _elements(patient: Patient) -> int | None:
    """Elements of the whole model by its rows."""
    if patient.prepared is None:
        return None
    from mappings.synth import synthesise

    return sum(prod(tensor.shape) for tensor in synthesise(patient.prepared.plan.binding))


# --- without rows ---


def _without_rows(patient: Patient, chart: Chart) -> None:
    checkpoint = patient.checkpoint
    config = checkpoint.config or {}
    names = checkpoint.names or [tensor.name for tensor in checkpoint.tensors]
    examine_tokens(checkpoint, chart)
    scheme, differing = quantisation.declared(config, patient.files)
    chart.found(differing)
    if checkpoint.format is not GGUF and names and patient.whole:
        chart.found(quantisation.pairs_of_sides(names, scheme is not None))
        chart.found(quantisation.against_names(scheme, names))
        chart.found(quantisation.unscaled(checkpoint.tensors))
        chart.found(quantisation.unscaled_eights(checkpoint.tensors, names, scheme))
        chart.found(quantisation.against_shapes(scheme, checkpoint.tensors))
        chart.found(quantisation.against_packing(scheme, checkpoint.tensors))
        if scheme is not None and not chart.codes() & {"quant.orphan", "quant.missing"}:
            shapes = "; bits and groups as far as shapes tell" if checkpoint.tensors else ""
            chart.told("quantisation", f"every side tensor beside its weight in {len(names):,} names{shapes}")
    elif scheme is not None and checkpoint.format is not GGUF:
        chart.unchecked("quantisation", "not all of the model can be read" if names else "no name of a tensor is here")
    if patient.prepared is None:
        examine_label(checkpoint, chart)
    if patient.prepared is None and patient.whole:
        if names:
            _numbers(patient, names, scheme is not None, chart)
        examine_sizes(patient, scheme, names, chart)
    elif patient.prepared is not None and chart.codes() & _CAUSED:
        chart.found(_not_told(examine_inferred(checkpoint), chart))


def _numbers(patient: Patient, names: list[str], packed: bool, chart: Chart) -> None:
    """config.json against names and shapes, then layers against each other."""
    checkpoint = patient.checkpoint
    config = checkpoint.config or {}
    findings, told = examine_numbers(config, names, checkpoint.format is PYTORCH)
    inferred = examine_inferred(checkpoint, alone=True)
    fields = {each.subject for each in inferred}
    # What both say is told with the value that would be right, but that layers are missing may be the files' fault.
    chart.found(each for each in findings if each.severity == "error" or each.evidence.get("field") not in fields)
    chart.found(_not_told(inferred, chart))
    chart.told("config", told)
    if chart.codes() & _INCOMPLETE or checkpoint.format is GGUF:
        return
    if "experts.missing" in chart.codes():
        names = [name for name in names if ".experts." not in name]
    found, compared = examine_peers(config, names, checkpoint.tensors, packed)
    chart.found(found, "layers")
    chart.told("layers", compared)


def _not_told(found: Sequence[Finding], chart: Chart) -> list[Finding]:
    """Without those of fields that something else was said of already."""
    return [each for each in found if each.evidence.get("field", each.subject) not in chart.fields()]


_CAUSED = {"shape.mismatch", "param.unfilled", "tensor.unmapped", "layers.missing", "layers.extra", "experts.missing"}
"""What a wrong field of config.json looks like to the rows."""


# --- bytes ---


def _zeros(patient: Patient, chart: Chart) -> None:
    folder = patient.files.folder
    if folder is None:
        chart.unchecked("zeros", "the files are on the Hub: no page of them was fetched")
        return
    tensors_of: dict[str, list[TensorInfo]] = defaultdict(list)
    for tensor in patient.checkpoint.tensors:
        if tensor.file is not None:
            tensors_of[tensor.file].append(tensor)
    looked = list(zeros.look(folder, tensors_of))
    chart.found(zeros.judged(looked), "zeros")
    chart.absent("zeros", zeros.nothing_written(looked))
    pages = sum(each.pages for each in looked)
    if blind := [each.file for each in looked if not each.pages]:
        chart.unchecked("zeros", f"{blind[0]}: its data cannot be read ({len(blind)} such files)")
    if looked:
        chart.told("zeros", f"{_plural(pages, 'page')} of {_plural(len(looked), 'file')}")
        chart.unchecked("zeros", "a sample: holes in the middle of a file can be missed, --values reads every byte")
