"""The command, with something that happens to one rank in the midst of generating, for tests from outside.

    FAULT=KILLS FAULTY_RANK=1 HALF_WAY=FILE python -m tests.faulty_generation generate DIR --tp 2 --prompt-ids 5

That the midst was reached, and by which processes, is written to HALF_WAY.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from engine.serving import ranks
from engine.serving import serve as serving
from engine.serving.engine import Engine, Token
from tests.faulty_ranks import mark

Step: TypeAlias = Callable[[Engine], "list[Token]"]
PASSES = 3
"""After which it happens: there are tokens by then, and there would be more."""


def kills() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raises() -> None:
    raise RuntimeError("planted failure\nwith a second line")


def waits() -> None:
    time.sleep(60)


FAULTS = {"KILLS": kills, "RAISES": raises, "WAITS": waits}


def faulty(plain: Step) -> Step:
    """`Engine.step`, until it happens."""
    left = PASSES

    def step(engine: Engine) -> list[Token]:
        nonlocal left
        if left == 0:
            mark(Path(os.environ["HALF_WAY"]))
            FAULTS[os.environ["FAULT"]]()
        left -= 1
        return plain(engine)

    return step


def serve(group: Any, *rest: Any) -> None:
    """A rank's life with the fault that the environment names."""
    if group.rank == int(os.environ["FAULTY_RANK"]):
        Engine.step = faulty(Engine.step)  # type: ignore[method-assign, assignment]
    serving.serve(group, *rest)


if __name__ == "__main__":
    from tests import faulty_generation
    from tracer.cli import main

    ranks.serve = faulty_generation.serve  # type: ignore[attr-defined, assignment]
    sys.exit(main())
