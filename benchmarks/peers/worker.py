"""A peer's side of a benchmark: a process that runs timed blocks on request. Requires only the standard library."""

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
    """The connection to the measuring process: settings, incoming requests, and a function to answer."""

    settings: dict[str, Any]
    requests: Iterator[str]
    answer: Callable[[dict[str, Any]], None]


def connect() -> Line:
    """Return the connection, and redirect standard output to standard error.

    Otherwise the output of a library would be taken for an answer.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return Line(json.loads(sys.argv[1]), map(str.strip, sys.stdin), lambda answer: print(json.dumps(answer), file=answers))


def serve(line: Line, jobs: Mapping[str, Callable[[], float]]) -> None:
    """Run and time one job per request until requests end.

    Parameters
    ----------
    line: Line
    jobs: mapping
        Jobs by name; each returns the number of examples processed, or a fraction if one example is too large for a block.
    """
    for name in line.requests:
        begin = time.perf_counter()
        count = jobs[name]()
        line.answer({"count": count, "seconds": time.perf_counter() - begin})
