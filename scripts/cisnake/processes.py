"""A process pool whose workers exit with their parent and report when they are killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from cisnake.errors import InputError

State = TypeVar("State")
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_apart(
    function: Callable[[State, Item], Result], state: State, items: Sequence[Item], processes: int, work: str
) -> Iterator[Result]:
    """Yield `function(state, item)` for each item, in order of completion.

    With one process or one item, everything runs in the calling process and in order.

    Parameters
    ----------
    function: callable
        Function of the state and one item. It must be importable, that is, defined at the top level of a module.
    state: object
        Argument shared by all items. It is pickled once per process; each process keeps its own copy and its cache.
    items: sequence
        The items.
    processes: int
        Number of processes; at most one per item is started.
    work: str
        The work, as it appears after "a process that": "read labels".

    Raises
    ------
    InputError
        A process was killed. Exceptions raised in a process are raised here unchanged.

    Examples
    --------
    >>> from operator import mul
    >>> from cisnake.processes import map_apart
    >>> list(map_apart(mul, 10, [1, 2, 3], processes=1, work="multiply"))
    [10, 20, 30]
    """
    if processes == 1 or len(items) < 2:
        yield from (function(state, item) for item in items)
        return
    # Spawned, not forked: libraries of the caller may have threads or open files that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(items)), context, initializer=_start, initargs=(function, state))
    try:
        for future in as_completed([pool.submit(_run, item) for item in items]):
            yield future.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that {work} was killed, probably because memory ran out: use fewer processes or more memory."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


# Function and state of a worker process.
_task: tuple[Callable[[Any, Any], Any], Any]


def _start(function: Callable[[Any, Any], Any], state: Any) -> None:
    global _task
    # If the parent is killed, a worker would otherwise wait forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _task = function, state


def _run(item: Any) -> Any:
    function, state = _task
    return function(state, item)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
