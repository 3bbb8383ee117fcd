"""Peers in separate processes, which run timed blocks in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """A program that times itself in its own process.

    Parameters
    ----------
    python: Path
        Python of its environment.
    module: str
        Module of `peers` to run.
    """

    python: Path
    module: str


@dataclass(frozen=True)
class Worker:
    """A running peer, and the answer that it gave when it was ready."""

    module: str
    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any]


@contextmanager
def running(peers: dict[str, Peer], settings: dict[str, Any], threads: int) -> Iterator[dict[str, Worker]]:
    """Run peers with the same settings, threads and processor cores, and stop them at the end.

    Parameters
    ----------
    peers: dict
        Peers by name.
    settings: dict
        Settings for every peer; `threads` and `folder` (an empty folder per peer) are added.
    threads: int
        Number of threads, and of cores if the system can bind processes to them.

    Raises
    ------
    SystemExit
        A peer fails; the message has the last lines that it printed.
    """
    with ExitStack() as stack:
        workers = {}
        for name, peer in peers.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cisnake-benchmark-")))
            print(f"starting {name}", file=sys.stderr)
            process = stack.enter_context(_process(peer, {**settings, "threads": threads, "folder": str(folder)}, threads))
            workers[name] = Worker(peer.module, process, folder / "log", _answer(peer.module, process, folder / "log"))
        yield workers


@contextmanager
def _process(peer: Peer, settings: dict[str, Any], threads: int) -> Iterator[subprocess.Popen[str]]:
    cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else []
    counts = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(counts, str(threads)),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "scripts")]),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with open(Path(settings["folder"]) / "log", "w") as log:
        process = subprocess.Popen(
            [peer.python, "-m", f"peers.{peer.module}", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _answer(module: str, process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"peers.{module} failed:\n" + "\n".join(log.read_text().splitlines()[-15:]))
    return json.loads(line)


def ask(worker: Worker, job: str) -> float:
    """Run one timed block and return its examples per second."""
    assert worker.process.stdin is not None
    print(job, file=worker.process.stdin, flush=True)
    block = _answer(worker.module, worker.process, worker.log)
    return block["count"] / block["seconds"]


def measure(workers: dict[str, Worker], blocks: list[tuple[str, str]], runs: int) -> dict[tuple[str, str], np.ndarray]:
    """Time all blocks once per round, after a warm-up round that does not count.

    The warm-up includes compilation and the first use of memory. Within a round the peers run close in time, so other load on
    the machine affects them equally.

    Parameters
    ----------
    workers: dict
        Workers by name.
    blocks: list of (name of a worker, name of a job)
    runs: int
        Number of counted rounds.

    Returns
    -------
    dict
        Examples per second of each block, shape=(runs,).
    """
    speeds: dict[tuple[str, str], list[float]] = {block: [] for block in blocks}
    for run in range(runs + 1):
        for name, job in blocks:
            speed = ask(workers[name], job)
            print(f"{'warm-up' if run == 0 else f'run {run}/{runs}'}: {name}, {job}: {speed:.3g}/s", file=sys.stderr)
            if run:
                speeds[name, job].append(speed)
    return {block: np.array(values) for block, values in speeds.items()}


def check_equal(workers: dict[str, Worker], what: str, tolerance: float) -> float:
    """Return the largest relative root-mean-square difference between the first peer's answer and the others'.

    Parameters
    ----------
    workers: dict
    what: str
        A key of the answer, such as "predictions".
    tolerance: float

    Raises
    ------
    SystemExit
        The difference exceeds `tolerance`: speeds of different computations cannot be compared.
    """
    values = {name: np.array(worker.ready[what]) for name, worker in workers.items() if what in worker.ready}
    (reference, first), *others = values.items()
    worst = 0.0
    for name, value in others:
        difference = float(np.linalg.norm(value - first) / np.linalg.norm(first)) if value.shape == first.shape else np.inf
        if not difference <= tolerance:
            raise SystemExit(f"{what} of {name} differ by {difference:.2g} from those of {reference}.")
        worst = max(worst, difference)
    return worst


def check_parameters(workers: dict[str, Worker]) -> dict[str, int]:
    """Return the numbers of parameters, and check that they are equal in all peers.

    Raises
    ------
    SystemExit
        The numbers differ.
    """
    counts = {name: worker.ready["parameters"] for name, worker in workers.items()}
    first = next(iter(counts.values()))
    if any(count != first for count in counts.values()):
        raise SystemExit(f"numbers of parameters differ: {counts}.")
    return first
