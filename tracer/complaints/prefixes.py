"""What stands before the words of a log line: times, levels, places in code, and which process is speaking.

Containers, orchestrators, torchrun, Ray and the engines each put their own before it, one around the other; so
prefixes are taken off as long as one is recognised.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,40}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = {code: None for code in (*range(9), *range(11, 32), 127) if code not in (9, 13)}
_DATE = r"(?:\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d|\d\d-\d\d|\d\d/\d\d/\d{2,4}|\d\d/\d\d)"
_TIME = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_WHEN = rf"(?:{_DATE}[T ]{_TIME}|{_TIME})(?:Z|[+-]\d\d:?\d\d)?"
_PLACE = r"[\w./<>-]{1,80}:\d{1,6}"
_LEVEL = (
    r"(?:(?:TRACE|DEBUG|INFO|NOTICE|WARN|ERROR|CRITICAL|FATAL|trace|debug|info|warn|error|critical|fatal)(?:ING|ing)?)"
)

_SPEAKER = (
    # vLLM: (EngineCore_0 pid=12), (VllmWorker rank=1 pid=9), (Worker_TP0_EP0 pid=7), (APIServer pid=1);
    # Ray: (RayWorkerWrapper pid=7, ip=10.0.0.2), (pid=7)
    r"\((?P<process>(?:[\w:.-]{1,80} )?(?:(?:rank=(?P<rank1>\d{1,6})) )?pid=\d{1,10}(?:, ip=[\d.:a-f]{2,45})?)\)",
    # torch.distributed and torchrun --tee: [rank1]:, [default0]:
    r"\[(?P<torchrun>(?:rank|default|trainer|Rank )(?P<rank2>\d{1,6}))\] ?:?",
    # SGLang: [2025-01-01 10:00:00 DP1 TP3 EP3]
    rf"\[{_WHEN}(?P<sglang>(?: (?:DP|PP|EP|ATTN_DP|ATTN_TP|MOE_EP|MOE_TP)\d{{1,4}})*(?: TP(?P<rank3>\d{{1,4}}))"
    r"(?: (?:DP|PP|EP|ATTN_DP|ATTN_TP|MOE_EP|MOE_TP)\d{1,4})*)\]",
    rf"\[{_WHEN}(?P<sglang2> (?:DP|PP|EP)\d{{1,4}}(?: (?:DP|PP|EP)\d{{1,4}})*)\]",
)
_PREFIXES = (
    *_SPEAKER,
    rf"\[{_WHEN}\]", rf"{_WHEN}(?: [+-]\d{{4}})?",
    # systemd and syslog: Nov 20 10:11:12 host vllm[123]:
    rf"(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} [ \d]\d {_TIME}(?: [\w.-]{{1,80}} [\w./@-]{{1,80}}(?:\[\d{{1,10}}\])?:)?",
    r"(?:stdout|stderr) [FP]",  # the container runtime's own files under /var/log/pods
    r"\[?pod/[\w./-]{1,200}\]?",  # kubectl logs --prefix
    r"[\w-]{1,100} {1,40}\|",  # docker compose, whose names have no dots
    rf"[\[(]{_LEVEL}[\])]", rf"{_LEVEL}\b:?(?= |$)", rf"\| {_LEVEL} +\|",
    rf"\[{_PLACE}\]", rf"{_PLACE}\](?=[ :])", rf"\[[IWEF]\d{{3,4}} {_TIME} {_PLACE}\]",
    rf"[IWEF]\d{{4}} {_TIME} +\d{{1,10}} {_PLACE}\]",  # glog, as torchrun's own lines
    r" {0,12}\|(?= )",  # groups of exceptions
    r">",  # mails
)  # fmt: skip
_PREFIX = re.compile("(?:" + "|".join(_PREFIXES) + r")(?: |\t|$|(?<=\]:))")
_RANK_IN_PROCESS = re.compile(r"(?:_TP|Worker_|rank)(\d{1,6})\b|TP(\d{1,6})(?=_|\b)")
_IS_ERROR = re.compile(r"ERROR|CRITICAL|FATAL|error|critical|fatal|\[?E\d{3,4} ")
_AT_MOST = 12
_REPEATED = re.compile(r"\s*\[repeated (\d{1,9})x across cluster\].*$", re.DOTALL)


class Said(NamedTuple):
    """A line without what stands before it."""

    text: str
    """With its own indentation."""
    speaker: str
    """What its prefixes say of the process; empty where they say nothing."""
    rank: int | None
    error: bool
    """Whether a prefix says that it is an error."""
    times: int = 1
    """More than once where Ray has taken lines of several processes together."""


def plain(text: str) -> str:
    """Without colours and control characters; carriage returns stay."""
    return _ESCAPES.sub("", text).translate(_CONTROLS) if not text.isprintable() else text


def without_prefixes(text: str) -> Said:
    """What is said in a line, and by whom."""
    speaker, rank, error, start = "", None, False, 0
    for _ in range(_AT_MOST):
        match = _PREFIX.match(text, start)
        if match is None or match.end() == start:
            break
        start = match.end()
        if match.lastgroup is None:
            error = error or _IS_ERROR.search(match.group()) is not None
            continue
        groups = match.groupdict()
        found = groups["process"] or groups["torchrun"] or groups["sglang"] or groups["sglang2"] or ""
        speaker = f"{speaker} {found}".strip()
        rank = _rank(groups, found, rank)
    said, repeated = text[start:], None
    if "across cluster]" in text[-400:]:
        repeated = _REPEATED.search(text, max(start, len(text) - 400))
    if repeated is None:
        return Said(said, speaker, rank, error)
    return Said(text[start : repeated.start()], speaker, rank, error, int(repeated.group(1)))


def _rank(groups: dict[str, str | None], process: str, before: int | None) -> int | None:
    for name in ("rank1", "rank2", "rank3"):
        if (said := groups[name]) is not None:
            return int(said)
    match = _RANK_IN_PROCESS.search(process)
    return int(match.group(1) or match.group(2)) if match else before
