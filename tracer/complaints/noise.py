"""What is said because something else has failed, or as the heading of what follows or stands above: never a cause."""

from __future__ import annotations

import re

_NOISE = re.compile(
    r"Error\(s\) in loading state_dict for|For details look at the|see (?:the )?(?:stack trace|root cause|error) above"
    r"|EngineDeadError|Engine core initialization failed|Engine(?:Core)? process failed"
    r"|EngineCore (?:failed|encountered)|WorkerProc initialization failed|WorkerProc (?:failed|hit)|Executor failed"
    r"|worker(?:s)? (?:died|failed)"
    r"|AsyncEngineDeadError|Background loop (?:has|is) |MQEngineDeadError"
    r"|Rank \d+ scheduler (?:died|is dead)|scheduler is dead|Initialization failed\. (?:warmup|Please)"
    r"|BrokenPipe|Broken pipe|ConnectionReset|ConnectionRefused|ConnectionAborted|Connection closed|EOFError"
    r"|KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit|StopIteration"
    r"|destroy_process_group|ProcessGroupNCCL|NCCL (?:error|communicator|watchdog)|DistBackendError|DistNetworkError"
    r"|TCPStore|resource_tracker|leaked (?:semaphore|shared_memory)|ChildFailedError|CalledProcessError"
    r"|BrokenProcessPool|ProcessRaisedException|ProcessExitedException|RayTaskError|RayActorError|ActorDiedError"
    r"|zmq\.error|RemoteTraceback|ShardCannotStart|Exception ignored in|TimeoutError|HTTPException|ClientDisconnect"
)
_SHUTDOWN = re.compile(r"^\s*KeyError: '/[\w.-]{1,200}'\s*$|[Ee]xception ignored in")
"""The resource tracker of multiprocessing misses shared memory that went before it: POSIX calls it `/psm_...`."""


def is_of_shutdown(text: str) -> bool:
    """Whether a line is of a process that ends, whatever words of other errors it has."""
    return ("KeyError: '/" in text or "xception ignored in" in text) and bool(_SHUTDOWN.search(text))


def is_noise(text: str) -> bool:
    """Whether an exception only says that another process, or a connection to it, has gone."""
    return bool(_NOISE.search(text)) or is_of_shutdown(text)
