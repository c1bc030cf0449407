"""A program that makes two models, one after the other, and says what they say; for tests that start it as ranks.

    RANK=0 WORLD_SIZE=2 ... python -m tests.engine.apart DIR
"""

from __future__ import annotations

import json
import os
import sys

from engine import LLM, Sampling, Settings

DRAWN = Sampling(temperature=3.0, max_tokens=10, ignore_eos=True)
SETTINGS = Settings(cache_bytes=1 << 20)


def say(folder: str, rank: int) -> list[object]:
    said: list[object] = []
    for tp in (2, 2, 1, 3):
        try:
            with LLM(folder, tp, SETTINGS) as llm:
                said.append([found.token_ids for found in llm.generate([[5, 6], [7]], DRAWN)])
                if tp == 2:
                    llm.generate([[5 + rank]])
        except ValueError as error:
            said.append(str(error))
    return said


if __name__ == "__main__":
    print(json.dumps(say(sys.argv[1], int(os.environ["RANK"]))))
