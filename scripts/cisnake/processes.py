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

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_apart(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    work: str,
) -> Iterator[Result]:
    """Yield what a function returns of each item, in the order in which other processes are ready with them.

    Parameters
    ----------
    function: callable
        Of one item; of the top level of a module, as `start` is.
    items: sequence
    processes: int
        How many work, at most one an item.
    start: callable
        Called once in each process before all else.
    arguments: tuple
        Of `start`; they are pickled once for each process.
    work: str
        What they do, as it should read after "a process that": "read labels".

    Raises
    ------
    InputError
        A process was killed. What one of them raises is raised here.
    """
    # Spawned, not forked: libraries of the caller may have threads or open files that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(items)), context, initializer=_start, initargs=(start, arguments))
    try:
        for future in as_completed([pool.submit(function, item) for item in items]):
            yield future.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that {work} was killed, most likely for want of memory: run it again with fewer processes or more "
            "memory."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # A process whose parent is killed would wait for work for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
