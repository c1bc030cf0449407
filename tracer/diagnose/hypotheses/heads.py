"""Tables that are tied: a head, stored or absent, against what config.json says; and one table of several names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mappings.findings import Finding
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.edited import edited
from tracer.diagnose.hypotheses.rows_alike import Alike, alike
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.infer.canonical import ALIASES
from tracer.repair.changes import Change, Drop, Rename, SetField

HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
TABLES = (
    "embed_tokens.weight", "shared.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight",
    "embeddings.weight", "token_embd.weight",
)  # fmt: skip
_POOLED = ("1_Pooling/config.json", "modules.json", "config_sentence_transformers.json")
"""What sentence-transformers writes beside a model that gives vectors and no tokens."""


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    if not state.tensors:
        return
    tables = _Tables.of(state.tensors)
    yield from _stored(case, tables)
    yield from _converted(case, tables)
    yield from _headless(case, tables)
    for complaint in case.complained("no-tensor"):
        found = _alias(case, complaint, tables) or _absent(case, complaint, tables)
        if found is not None:
            yield found


@dataclass(frozen=True)
class _Tables:
    """The matrices of a vocabulary, each under its name."""

    heads: tuple[TensorInfo, ...]
    embeddings: tuple[TensorInfo, ...]

    @classmethod
    def of(cls, tensors: Sequence[TensorInfo]) -> _Tables:
        flat = [t for t in tensors if len(t.shape) == 2 and not any(part.isdigit() for part in t.name.split("."))]
        return cls(tuple(t for t in flat if _is(t.name, HEADS)), tuple(t for t in flat if _is(t.name, TABLES)))


def stored(state: State) -> bool:
    """Whether a head is among the tensors, whatever its shape: tied, it would never be read."""
    return bool(_Tables.of(state.tensors).heads)


def rows(state: State) -> set[int]:
    """How many rows the tables of a vocabulary have: one number, unless some were resized alone."""
    tables = _Tables.of(state.tensors)
    return {tensor.shape[0] for tensor in (*tables.heads, *tables.embeddings)}


def _is(name: str, ends: Sequence[str]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _tied(state: State) -> tuple[str, bool | None]:
    """Where config.json ties the head, and whether it does; the text's own word before that of the whole."""
    for path, part in (
        *((f"{key}.", held) for key, held in state.config.items() if isinstance(held, dict)),
        ("", state.config),
    ):
        for field in ALIASES["tie"]:
            if isinstance(part.get(field), bool) and not path.startswith(("vision", "audio", "quantization")):
                return f"{path}{field}", part[field]
    return ALIASES["tie"][0], None


# --- stored although tied ---


def _stored(case: Case, tables: _Tables) -> Iterator[Hypothesis]:
    state = case.original
    field, tied = _tied(state)
    if len(tables.heads) != 1 or len(tables.embeddings) != 1 or tied is not True or state.checkpoint.format is GGUF:
        return
    head, table = tables.heads[0], tables.embeddings[0]
    if (head.dtype, head.shape) != (table.dtype, table.shape):
        return
    compared = alike(state, head, table)
    if compared is None:
        return
    if compared.equal:
        yield _copied(case, head, table, compared)
    elif said := tuple(case.complained("garbage", "not-finite")):
        yield _other(head, table, field, compared, said)


def _copied(case: Case, head: TensorInfo, table: TensorInfo, compared: Alike) -> Hypothesis:
    said = tuple(
        each for each in case.complained("no-parameter", "unexpected") if any(_is(n, HEADS) for n in each.names)
    )
    read = "byte for byte" if compared.whole else f"byte for byte in all {compared.rows:,} rows that were compared"
    told = (
        f"{head.name} is {table.name}, {read}, and config.json ties the two: a copy of {head.nbytes:,} bytes that no"
        " loader needs; the checkpoint is whole, and a loader that ties has to leave the copy out"
    )
    finding = Finding("tie.conflict", "info", head.name, told, {"tensors": [head.name, table.name], "equal": True},
                      "leave it out of the files, or use a version of the engine that skips it")  # fmt: skip
    changes: tuple[Change, ...] = (Drop((head.name,), "a copy of the embedding"),) if said else ()
    return Hypothesis(finding, changes, evident=True, answers=said)


def _other(
    head: TensorInfo, table: TensorInfo, field: str, compared: Alike, said: tuple[Complaint, ...]
) -> Hypothesis:  # fmt: skip
    where = ""
    if compared.from_row:
        added = head.shape[0] - compared.from_row
        where = f"; they differ in the last {added} rows only, as if tokens had been added there"
    told = (
        f"{head.name} is stored and is not {table.name} (cosine {compared.cosine:.2f} over {compared.rows:,} rows), and"
        f" config.json ties the two{where}: a loader that ties discards the head that was trained"
    )
    finding = Finding("tie.conflict", "error", head.name, told,
                      {"tensors": [head.name, table.name], "cosine": compared.cosine, "equal": False},
                      f"set {field} to false")  # fmt: skip
    return Hypothesis(finding, _tying(field, tied=False), evident=True, answers=said)


def _tying(field: str, *, tied: bool) -> tuple[Change, ...]:
    """Of a nested config also the flag of the whole: Transformers 5 goes by that one, vLLM and MLX by the text's."""
    return tuple(SetField(path, tied) for path in dict.fromkeys((field, ALIASES["tie"][0])))


# --- asked for and absent ---


def _absent(case: Case, said: Complaint, tables: _Tables) -> Hypothesis | None:
    """A head that no file has."""
    state = case.original
    name = next((each for each in said.names if _is(each, HEADS)), None)
    if name is None or tables.heads or len(tables.embeddings) != 1 or len(said.names) > 2:
        return None
    field, tied = _tied(state)
    table = tables.embeddings[0]
    if tied is True:
        told = (
            f"no {name} is stored, and none is needed: config.json says {field} = true, and {table.name}"
            f" {list(table.shape)} is the head; the class of the engine does not tie, so that its head was never"
            " written; the checkpoint is complete"
        )
        return _answer(name, told, said, "use a version of the engine whose class ties the head", "error")
    if pooled(state):
        return None
    if state.plan is not None or tied is None:
        return None  # with rows the field itself is tried
    told = (
        f"config.json says {field} = false, and no head is stored ({name}): it was tied, and the flag was lost on the"
        " way, or it is a model without a head; nothing is lost as long as it is not initialised at random"
    )
    return _answer(field, told, said, f"set {field} to true", "error", _tying(field, tied=True))


def pooled(state: State) -> str | None:
    """The file that says that the model gives vectors and no tokens."""
    return next((file for file in _POOLED if state.checkpoint.files.has(file)), None)


def _headless(case: Case, tables: _Tables) -> Iterator[Hypothesis]:
    """No head in a model that needs none."""
    state = case.original
    file, (field, tied) = pooled(state), _tied(state)
    if file is None or tables.heads or len(tables.embeddings) != 1 or tied is True:
        return
    said = tuple(each for each in case.complained("no-tensor") if any(_is(name, HEADS) for name in each.names))
    told = (
        f"no head is stored, and {file} is here: a model that gives vectors needs no head, whatever {field} says; the"
        " checkpoint is complete"
    )
    finding = Finding("tie.conflict", "info", "lm_head.weight", told, {"missing": 1, "file": file},
                      "load it as an embedding model (--runner pooling, --task embed)")  # fmt: skip

    def assume(state: State) -> State:
        return changed(state, edited(state.checkpoint, (SetField(field, True),)))

    yield Hypothesis(finding, assume=assume, evident=True, answers=said)


def _answer(
    subject: str, told: str, said: Complaint, fix: str, severity: str, changes: tuple[Change, ...] = ()
) -> Hypothesis:  # fmt: skip
    finding = Finding("tie.conflict", "info" if severity == "info" else "error", subject, told, {"missing": 1}, fix)
    return Hypothesis(finding, changes, evident=True, answers=(said,))


def _alias(case: Case, said: Complaint, tables: _Tables) -> Hypothesis | None:
    """One table that savers keep under one of its names, and loaders ask for under another."""
    asked = next((each for each in said.names if _is(each, TABLES)), None)
    held = [*tables.embeddings, *tables.heads]
    if asked is None or len({(t.shape, t.dtype) for t in held}) != 1 or any(t.name == asked for t in held):
        return None
    stacks = {part for name in case.original.names for part in name.split(".")} & {"encoder", "decoder"}
    if not stacks or not _is(asked, ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")):
        return None
    stored = held[0]
    told = (
        "the model has one table under up to four names (shared, encoder.embed_tokens, decoder.embed_tokens,"
        f" lm_head), and a file keeps one of them: {stored.name} {list(stored.shape)} is here, the loader asked for"
        f" {asked}; any of them will do, and nothing is lost"
    )
    return _answer(asked, told, said, f"rename {stored.name} to {asked}, or use a loader that knows both", "error",
                   (Rename({stored.name: asked}),))  # fmt: skip


# --- GGUF ---


def _converted(case: Case, tables: _Tables) -> Iterator[Hypothesis]:
    """A converter that kept the head and dropped the embedding, which are one where they are tied."""
    state = case.original
    if state.checkpoint.format is not GGUF or tables.embeddings or len(tables.heads) != 1:
        return
    head, wanted = tables.heads[0], "token_embd.weight"
    said = tuple(each for each in case.complained("no-tensor") if wanted in each.names)
    told = (
        f"the file has {head.name} {list(head.shape)} and no {wanted}: where the two are tied, the converter has kept"
        f" the wrong alias, as {wanted} alone stands for both; where they are not, the embedding is lost"
    )
    finding = Finding("tie.conflict", "error", wanted, told, {"missing": 1, "tensors": [head.name]},
                      f"if the original ties them, rename {head.name} to {wanted}; else convert again")  # fmt: skip

    def assume(state: State) -> State:  # a copy of the file cannot be made, so that it is no change
        return changed(state, edited(state.checkpoint, (Rename({head.name: wanted}),)))

    yield Hypothesis(finding, assume=assume, evident=True, answers=said)
