"""Hits and false alarms of the tests of meaning, over trained models: tests/data/train.py --out DIR makes them.

    PYTHONPATH=. python tests/bench/meaning.py DIR

Without DIR the few models of tests/data are taken. Fails where a fault was missed or a sound model was called faulty.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from safetensors.numpy import load_file

from tests.tracer.meaning.planted import FAULTS, REPAIRED, Fault, mended, written
from tracer.checkpoint.folder import open_checkpoint
from tracer.meaning import Meant, examine_meaning

Outcomes: TypeAlias = dict[str, Counter[str]]
FOUND = ("hit", "hit, mended")


def examined(folder: Path) -> list[Meant]:
    checkpoint = open_checkpoint(folder)
    return examine_meaning(checkpoint, checkpoint.config)


def restored(sound: Path, planted: Path, ended: Sequence[Meant]) -> bool:
    """Whether the changes give the sound model back: its tensors, but for what is rounded twice, and its config."""
    changes = [change for each in ended for change in each.changes]
    before = load_file(sound / "model.safetensors")
    after = mended(load_file(planted / "model.safetensors"), changes)
    alike = all(np.allclose(after[name].astype("f4"), before[name].astype("f4"), atol=0.01) for name in before)
    return bool(changes) and alike


def outcome(ended: Sequence[Meant], fault: Fault) -> str:
    """How the test ended that has to find the fault; findings of others are named."""
    others = sorted({f.code for each in ended if each.check.name != fault.test for f in each.check.findings})
    own = next((each.check for each in ended if each.check.name == fault.test), None)
    if own is None:
        return "no such test"
    state = "hit" if any(found.code == fault.code for found in own.findings) else own.state
    return state + (f" with {', '.join(others)}" if others else "")


def measured(models: Sequence[Path]) -> tuple[Outcomes, dict[str, Outcomes]]:
    """Test -> how it ended on the models as they are; fault -> family -> how its test ended. Misses are printed."""
    clean: Outcomes = defaultdict(Counter)
    planted: dict[str, Outcomes] = defaultdict(lambda: defaultdict(Counter))
    with tempfile.TemporaryDirectory() as scratch:
        for path in models:
            for each in examined(path):
                clean[each.check.name][each.check.state] += 1
                if each.check.findings:
                    print(f"false alarm: {path.name}: {each.check.findings[0].message}")
            for name, fault in FAULTS.items():
                spoilt = written(path, Path(scratch) / "model", fault)
                ended = judged(name, fault, path, spoilt)
                planted[name][path.name.split("-")[0]][ended] += 1
                if ended not in FOUND:
                    print(f"{path.name}: {name}: {ended}")
    return clean, planted


def judged(name: str, fault: Fault, sound: Path, spoilt: Path) -> str:
    meant = examined(spoilt)
    ended = outcome(meant, fault)
    if ended != "hit" or name not in REPAIRED:
        return ended
    return "hit, mended" if restored(sound, spoilt, meant) else "hit, not mended"


def main(folder: Path) -> int:
    models = sorted(path.parent for path in folder.glob("*/model.safetensors"))
    clean, planted = measured(models)
    print(f"{len(models)} trained models as they are")
    for test, states in clean.items():
        print(f"  {test:14}" + "  ".join(f"{state} {count}" for state, count in sorted(states.items())))
    print("with one fault each")
    for name, families in planted.items():
        told = [
            f"{family} " + ", ".join(f"{what} {n}" for what, n in ends.items()) for family, ends in families.items()
        ]
        print(f"  {name:26}{'; '.join(told)}")
    missed = any(ended not in FOUND for families in planted.values() for ends in families.values() for ended in ends)
    return int(missed or any(states["finding"] for states in clean.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "trained"))
