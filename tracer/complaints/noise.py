"""What is said because something else has failed: never a cause."""

from __future__ import annotations

import re

_NOISE = re.compile(
    r"EngineDeadError|Engine core initialization failed|Engine(?:Core)? process failed"
    r"|EngineCore (?:failed|encountered)|WorkerProc initialization failed|WorkerProc (?:failed|hit)|Executor failed|worker(?:s)? (?:died|failed)"
    r"|AsyncEngineDeadError|Background loop (?:has|is) |MQEngineDeadError"
    r"|Rank \d+ scheduler (?:died|is dead)|scheduler is dead|Initialization failed\. (?:warmup|Please)"
    r"|BrokenPipe|Broken pipe|ConnectionReset|ConnectionRefused|ConnectionAborted|Connection closed|EOFError"
    r"|KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit|StopIteration"
    r"|destroy_process_group|ProcessGroupNCCL|NCCL (?:error|communicator|watchdog)|DistBackendError|DistNetworkError"
    r"|TCPStore|resource_tracker|leaked (?:semaphore|shared_memory)|ChildFailedError|CalledProcessError"
    r"|BrokenProcessPool|ProcessRaisedException|ProcessExitedException|RayTaskError|RayActorError|ActorDiedError"
    r"|zmq\.error|RemoteTraceback|ShardCannotStart|Exception ignored in|TimeoutError|HTTPException|ClientDisconnect"
)


def is_noise(text: str) -> bool:
    """Whether an exception only says that another process, or a connection to it, has gone."""
    return bool(_NOISE.search(text))
