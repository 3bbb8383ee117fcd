"""Work dealt to several processes, which neither outlive their parent nor end without a word."""

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
    """Yield `function(state, item)` of each item, in the order in which processes are ready with them.

    With one process, or one item, all happens here and in order.

    Parameters
    ----------
    function: callable
        Of the state and one item; of the top level of a module.
    state: object
        What is the same for all items. It is pickled once for each process, which keeps its copy: what it caches stays there.
    items: sequence
    processes: int
        How many work, at most one an item.
    work: str
        What they do, as it should read after "a process that": "read labels".

    Raises
    ------
    InputError
        A process was killed. What one of them raises is raised here.

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
            f"a process that {work} was killed, most likely for want of memory: run it again with fewer processes or more "
            "memory."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


# Function and state of the process that works for another one.
_task: tuple[Callable[[Any, Any], Any], Any]


def _start(function: Callable[[Any, Any], Any], state: Any) -> None:
    global _task
    # A process whose parent is killed would wait for work for ever.
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
