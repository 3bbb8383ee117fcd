"""A peer's side of a benchmark: a process that answers requests for timed blocks. Needs the standard library alone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """What joins this process with the one that measures: settings, requests as they come, and a way to answer."""

    settings: dict[str, Any]
    requests: Iterator[str]
    answer: Callable[[dict[str, Any]], None]


def connect() -> Line:
    """Return the line. Standard output becomes standard error, so that what a library prints is no answer."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return Line(json.loads(sys.argv[1]), map(str.strip, sys.stdin), lambda answer: print(json.dumps(answer), file=answers))


def serve(line: Line, jobs: Mapping[str, Callable[[], float]]) -> None:
    """Do one job a request, timed, until requests end.

    Parameters
    ----------
    line: Line
    jobs: mapping
        By name; each returns how many examples it has processed, of one too large for a block a fraction.
    """
    for name in line.requests:
        begin = time.perf_counter()
        count = jobs[name]()
        line.answer({"count": count, "seconds": time.perf_counter() - begin})
