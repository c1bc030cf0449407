"""The long run: new cases of every kind until the time is over, each that is judged wrongly kept as a regression test.

    python -m tests.fuzz [--minutes 10] [--seed N] [--kind safetensors] [--cases 2000]
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.campaign import campaign, keep, report
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import Tally


def main() -> int:
    """Exit status 1 if any case was judged wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (default %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**9, help="default: the time")
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="default: all")
    parser.add_argument("--cases", type=int, default=2000, help="of a kind at a time (default %(default)s)")
    args = parser.parse_args()
    end, wrong, first = time.monotonic() + 60 * args.minutes, 0, 0
    print(f"seed {args.seed}", flush=True)
    while not first or time.monotonic() < end:
        for kind in args.kind or KINDS:
            tally = campaign(kind, args.seed, first, first + args.cases)
            print(report(kind, tally), flush=True)
            wrong += _kept(kind, tally)
        first += args.cases
    return 1 if wrong else 0


def _kept(kind: str, tally: Tally) -> int:
    for path in keep(kind, tally):
        last = path.with_suffix(".txt").read_text(encoding="utf-8").strip().splitlines()[-1]
        print(f"  {path}: {last[:500]}", flush=True)
    return tally.outcomes["wrong"]


if __name__ == "__main__":
    sys.exit(main())
