from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.tracer.values.checkpoints import NUMPY, Raw, opened, patched, raw, sound, weights
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.errors import InputError, UsageError
from tracer.values import examine_values, read_report, scan, write_report


def everything(folder: Path) -> Checkpoint:
    """A tensor of every dtype of any bytes, one that cannot be read, and a sound model."""
    rng = np.random.default_rng(1)
    made = sound("BF16")
    for dtype, kind in NUMPY.items():
        made[f"any.{dtype}"] = Raw(dtype, (300,), rng.bytes(300 * np.dtype(kind).itemsize))
    made["any.F6_E2M3"] = Raw("F6_E2M3", (4,), b"\x12\x34\x56")
    made["huge"] = raw("F64", weights(1, (8,)) * 1e306)
    return opened(folder, made)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    checkpoint = everything(tmp_path)
    scanned = list(scan(checkpoint, target="F16"))
    path = tmp_path.parent / f"{tmp_path.name}.db"
    write_report(path, checkpoint, scanned, "F16")
    report = read_report(path)
    assert (report.model, report.target, report.stamps) == (str(tmp_path), "F16", checkpoint.stamps)
    assert len(report.statistics) == len(scanned)
    for found, expected in zip(report.statistics, scanned, strict=True):
        beyond = expected.dtype == "U64"  # SQLite has 63 bits
        assert beyond or repr(found) == repr(expected)


def test_anyone_with_sql_can_ask_it(tmp_path: Path) -> None:
    checkpoint = everything(tmp_path)
    path = tmp_path.parent / f"{tmp_path.name}.db"
    examine_values(checkpoint, save=path)
    db = sqlite3.connect(path)
    query = "SELECT count(*), sum(nbytes) FROM tensor WHERE zeros = count AND name LIKE '%.q_proj.bias'"
    assert db.execute(query).fetchone() == (4, 4 * 64 * 4)
    (mean,) = db.execute("SELECT mean FROM tensor WHERE name = 'model.layers.0.input_layernorm.weight'").fetchone()
    assert mean == 1.0
    low = "SELECT json_extract(histogram, '$.low') FROM tensor WHERE name = 'model.layers.0.input_layernorm.weight'"
    assert db.execute(low).fetchone() == (0,)
    db.close()


def test_it_says_whether_it_is_of_these_files(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, sound("BF16"))
    path = tmp_path.parent / f"{tmp_path.name}.db"
    examine_values(checkpoint, save=path)
    report = read_report(path)
    assert report.differs(open_checkpoint(tmp_path)) is None
    changed = sound("BF16")
    name = "model.layers.0.self_attn.q_proj.weight"
    changed[name] = patched(changed[name], 0, b"\x12\x34")
    told = report.differs(opened(tmp_path, changed))
    assert told is not None
    assert told.startswith("model.safetensors was ")


def test_a_report_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, sound("BF16"))
    path = tmp_path.parent / f"{tmp_path.name}.db"

    def broken():  # type: ignore[no-untyped-def]
        yield next(iter(scan(checkpoint)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(path, checkpoint, broken())
    assert not list(tmp_path.parent.glob(f"*{path.name}*"))
    with pytest.raises(UsageError, match="cannot write"):
        write_report(tmp_path / "absent" / "report.db", checkpoint, [])


def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path) -> None:
    for content in (b"", b"not SQLite", b"SQLite format 3\0" + bytes(100)):
        path = tmp_path / "some.db"
        path.write_bytes(content)
        with pytest.raises(InputError, match="expected a report of values"):
            read_report(path)
    with pytest.raises(InputError, match="expected a report of values"):
        read_report(tmp_path / "absent.db")
