"""`LLM`: a model that generates, on one rank in this process or on several in processes of their own.

Under torchrun each process makes one, with tp = WORLD_SIZE, gives it the same prompts and is given the same
completions; with tp = 1 each has a model for itself, on `cuda` on the GPU of its number on its machine.

    from engine import LLM, Sampling

    if __name__ == "__main__":  # ranks are processes that import this file
        with LLM("path/of/a/checkpoint", tp=2) as llm:
            for completion in llm.generate(["The capital of France is"], Sampling(max_tokens=8)):
                print(completion.text)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from engine import opened
from engine.arguments import check_made, check_told, prompts_of, samplings_of
from engine.crew.world import world
from engine.opened import Opener
from engine.processes.failed import Unguarded
from engine.processes.gpus import check_gpus, own_gpu, ranks_here
from engine.sampling.params import Sampling
from engine.sampling.sampler import Choice
from engine.serving.engine import Token
from engine.serving.ranks import Ranks
from engine.serving.refusal import Given, ids_of, numbered
from engine.serving.serve import Prompt, Settings, make_engine, run
from engine.text import Tokenizer


@dataclass
class Completion:
    """What became of one prompt."""

    index: int
    """Its place among the prompts of the call."""
    prompt_ids: list[int]
    token_ids: list[int] = field(default_factory=list)
    text: str | None = None
    """None without a tokenizer."""
    logprobs: list[float] | None = None
    """Of each token, natural logarithms under the unmodified distribution; None if not asked for."""
    top_logprobs: list[list[tuple[int, float]]] | None = None
    """The most likely tokens beside each, most likely first."""
    finish_reason: str = ""
    """`stop`: an end-of-sequence id or a stop string; `length`: max_tokens, or all that the model or cache holds;
    `error`: logits that no token can be chosen from."""
    error: str | None = None
    """Of one that ended so: the position, in prompt and completion together, and what its logits are."""


class LLM:
    """Loads a checkpoint and generates. Close it, or use it in a `with`.

    What it raises, each in one line, and with a name in `engine` where Python itself has none:

        TypeError               an argument of another type than was expected
        ValueError              an argument of the right type and a wrong value; this LLM is closed
        ├── CannotOpen          the checkpoint is not there, cannot be read or is not sound
        └── Refused             a prompt cannot be served, or its sampling has a field that cannot be asked for: `place`
                                is its number, `reason` why; none has been begun
        LookupError             nothing is installed that opens a checkpoint by its name
        MemoryError             no room for the parameters, for the cache or for a pass
        RankFailed              with tp > 1, what a rank raised: `rank`, `kind` is the name of its class, `message`;
                                or that it died
        Unguarded               with tp > 1, a script without `if __name__ == "__main__":`
    """

    def __init__(
        self, model: str | Path | Opener, tp: int = 1, settings: Settings | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """`model` is what `trace-load` takes, or a function that opens a checkpoint in each rank's process.

        `watch` is called ten times a second while there are such processes; what it raises ends them, and is raised
        from every call.

        Raises LookupError where nothing can open a name, CannotOpen or what `model` raises where that is a function,
        ValueError for a model that cannot generate and for GPUs that lack, MemoryError for a cache without room,
        RankFailed for what a rank of several raised.
        """
        check_made(model, tp, settings)
        check_told(watch=watch)
        rank = _place(tp)
        self._apart = rank is not None
        """Whether other ranks are told by other processes; they agree on seeds among themselves."""
        settings = settings or Settings()
        if tp == 1:
            settings = settings._replace(device=own_gpu(settings.device))
        check_gpus(settings.device, tp, ranks_here(tp, self._apart))
        opener = model if callable(model) else opened.opener(str(model), tp)
        self._ranks = None
        if tp == 1:
            found = opener()
            engine, folder = make_engine(found, settings), found.folder
            self._run: Callable[[Sequence[Prompt]], Generator[list[Token]]] | None = partial(run, engine)
        else:
            self._ranks = _ranks(opener, tp, settings, rank, watch)
            self._run, folder = self._ranks.run, self._ranks.folder
        self.tokenizer, self.why_no_tokenizer = Tokenizer.if_sound(folder)

    def generate(
        self, prompts: Sequence[Given], sampling: Sampling | Sequence[Sampling] | None = None,
        told: Callable[[list[Token]], object] | None = None, finished: Callable[[Completion], object] | None = None,
    ) -> list[Completion]:  # fmt: skip
        """Serve all prompts together; completions in their order. `told` hears of every pass's tokens as they come,
        and then `finished` of each completion that has ended by them; what they raise ends the call.

        One `sampling` for all, or one a prompt; greedy, 16 tokens, if none. Ids may be arrays or tensors. Raises
        Refused for a prompt that cannot be served, before any is begun, TypeError for what is none, and ValueError for
        an LLM that is closed.
        """  # fmt: skip
        if self._run is None:
            raise ValueError("this LLM is closed")
        check_told(told=told, finished=finished)
        given = prompts_of(prompts)
        each = samplings_of(sampling, len(given))
        each = each if self._apart else [*map(_seeded, each)]
        requests = [*zip(self._encoded(given), each, strict=True)]
        completions = [_begun(index, ids, own) for index, (ids, own) in enumerate(requests)]
        with closing(self._run(requests)) as passes:
            for tokens in passes:
                for token in tokens:
                    _add(completions[token.number], token, self.tokenizer is not None)
                if told is not None:
                    told(tokens)
                if finished is not None:
                    for number in (token.number for token in tokens if token.finish):
                        finished(completions[number])
        return completions

    def _encoded(self, prompts: Sequence[Given]) -> Iterator[list[int]]:
        for place, prompt in enumerate(prompts):
            with numbered(place, len(prompts)):
                ids = self.encode(prompt)
            yield ids

    def encode(self, prompt: Given) -> list[int]:
        """The ids of a prompt. Raises ValueError for text without a tokenizer, TypeError for neither text nor ids."""
        return ids_of(prompt, self.tokenizer, self.why_no_tokenizer)

    def close(self) -> None:
        """End the ranks' processes, or let go of the model that is here; nothing can be generated any more."""
        self._run = None
        if self._ranks is not None:
            self._ranks.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place(tp: int) -> int | None:
    """Which rank of the model this process is to have, where torchrun started one for each. Raises ValueError."""
    if tp < 1:
        raise ValueError(f"tp {tp}: expected at least 1")
    place = world()
    if tp == 1 or place is None:
        return None
    if tp != place.size:
        raise ValueError(f"tp {tp}: torchrun started {place.size} processes (WORLD_SIZE), expected as many, or 1")
    return place.rank


def _ranks(
    opener: Opener, tp: int, settings: Settings, rank: int | None, watch: Callable[[], None] | None
) -> Ranks:  # fmt: skip
    try:
        return Ranks(opener, tp, settings, rank, watch)
    except Unguarded as error:
        raise error.with_traceback(None) from None  # how it was found out is long, and tells nobody more


def _seeded(sampling: Sampling) -> Sampling:
    """Drawn here, so that all ranks draw alike."""
    return sampling if sampling.seed is not None else replace(sampling, seed=random.getrandbits(63))


def _begun(index: int, ids: list[int], sampling: Sampling) -> Completion:
    if sampling.logprobs is None:
        return Completion(index, ids)
    return Completion(index, ids, logprobs=[], top_logprobs=[])


def _add(completion: Completion, token: Token, texts: bool) -> None:
    if texts:
        completion.text = (completion.text or "") + token.text
    if token.choice is not None:
        _add_choice(completion, token.choice)
    if token.finish:
        completion.finish_reason, completion.error = token.finish, token.error or None


def _add_choice(completion: Completion, choice: Choice) -> None:
    completion.token_ids.append(choice.token)
    if completion.logprobs is not None and completion.top_logprobs is not None:
        assert choice.logprob is not None
        completion.logprobs.append(choice.logprob)
        completion.top_logprobs.append(choice.top or [])
