"""`trace-load --tp 2 --load-format dummy` on a fresh start, against importing torch, which it cannot avoid."""

from __future__ import annotations

import subprocess
import sys
import time

ROUNDS = 5
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "trace-load --tp 2 --load-format dummy": ["-m", "tracer", "load", "--tp", "2", "--load-format", "dummy"],
    "trace-load --tp 2 --plan": ["-m", "tracer", "load", "--tp", "2", "--plan"],
    "tracer --help": ["-m", "tracer", "--help"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    best = {name: min(seconds(arguments) for _ in range(ROUNDS)) for name, arguments in COMMANDS.items()}
    for name, value in best.items():
        print(f"{name}: {value:.2f} s, {value / best['import torch']:.2f} x import torch")


if __name__ == "__main__":
    main()
