"""The command, of which one process is killed while it imports torch: long before it has anything to say.

    DIES=1 HALF_WAY=FILE python -m tests.early_death load DIR --tp 2
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class Killer:
    """Finds no module, and ends the process that looks for torch."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torch":
            Path(os.environ["HALF_WAY"]).write_text(f"{os.getpid()} {os.getppid()} {time.time()}")
            os.kill(os.getpid(), signal.SIGKILL)
        return None


if __name__ == "__main__":
    from tracer.cli import main

    if os.environ["RANK"] == os.environ["DIES"]:
        sys.meta_path.insert(0, Killer())
    sys.exit(main())
