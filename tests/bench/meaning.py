"""Hits and false alarms of the tests of meaning, over trained models: tests/data/train.py --out DIR makes them.

    PYTHONPATH=. python tests/bench/meaning.py DIR

Without DIR the few models of tests/data are taken.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.tracer.meaning.planted import FAULTS, REPAIRED, Fault, mended, written
from tracer.checkpoint.folder import open_checkpoint
from tracer.meaning import Meant, examine_meaning


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


def main(folder: Path) -> int:
    models = sorted(
        path.parent for path in folder.glob("*/config.json") if (path.parent / "model.safetensors").exists()
    )
    clean: dict[str, Counter[str]] = defaultdict(Counter)
    planted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    with tempfile.TemporaryDirectory() as scratch:
        for path in models:
            family = path.name.split("-")[0]
            for each in examined(path):
                clean[each.check.name][each.check.state] += 1
                if each.check.findings:
                    print(f"false alarm: {path.name}: {each.check.findings[0].message}")
            for name, fault in FAULTS.items():
                spoilt = written(path, Path(scratch) / "model", fault)
                meant = examined(spoilt)
                ended = outcome(meant, fault)
                if ended == "hit" and name in REPAIRED:
                    ended = "hit, mended" if restored(path, spoilt, meant) else "hit, not mended"
                planted[name][family][ended] += 1
                if ended not in ("hit", "hit, mended"):
                    print(f"{path.name}: {name}: {ended}")
    print(f"\n{len(models)} trained models as they are")
    for test, states in clean.items():
        print(f"  {test:14}" + "  ".join(f"{state} {count}" for state, count in sorted(states.items())))
    print("\nwith one fault each")
    for name, families in planted.items():
        told = "; ".join(
            f"{family} " + ", ".join(f"{what} {n}" for what, n in counts.items()) for family, counts in families.items()
        )
        print(f"  {name:26}{told}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "trained"))
