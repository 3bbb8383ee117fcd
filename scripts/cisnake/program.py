"""What all programs share: log files, progress lines, and exit on errors."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from cisnake.errors import InputError
from cisnake.sections import Sections

log = logging.getLogger("cisnake")

# At least so long between two progress lines, and at least this share of the time since the first.
TERMINAL_SECONDS = 30.0
TERMINAL_SHARE = 0.05

# Read when TensorFlow is imported, which programs do inside `main`. The allocator keeps freed memory, as on GPUs: on a CPU,
# pages that are returned after every operation and faulted in again cost up to half of the time. Its limit is in MB.
_TENSORFLOW = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_CPU_ALLOCATOR_USE_BFC": "true",
    "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(2**20),
}


# The last batch of an epoch may leave a node nothing. On some CPUs (AMD EPYC, TensorFlow 2.21), oneDNN's convolutions return
# empty batches in the shape of their input, and training would stop there.
_SEVERAL_NODES = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def _on_several_nodes() -> bool:
    return "TF_CONFIG" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser that describes a program by its docstring and has the option `--log`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--log", type=Path, metavar="FILE", help="write messages to FILE; the terminal shows progress only")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of programs that apply trained models: the models and the number of CPU threads."""
    models = "models, each .../fold_<i>/replicate_<j>/model.keras; or the folder that contains those of the configuration"
    parser.add_argument("--models", type=Path, required=True, nargs="+", metavar="PATH", help=models)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of programs that apply networks without a run: the networks, their tasks, views and batches."""
    parser.add_argument(
        "--networks", type=Path, required=True, nargs="+", metavar="FILE", help=".keras, .h5 with --params, or of PyTorch"
    )
    parser.add_argument("--params", type=Path, metavar="FILE", help="parameter file of .h5 networks of Basenji and Baskerville")
    parser.add_argument("--head", metavar="KEY", help="head to use, if the networks have several")
    tasks = "table with the names of the tasks: column task or identifier, and strand_pair"
    parser.add_argument("--tasks", type=Path, metavar="TSV", help=tasks)
    parser.add_argument("--shifts", type=int, nargs="+", default=[0], metavar="BASES", help="averaged over (default: 0)")
    parser.add_argument("--reverse-complement", action="store_true", help="average over both strands")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="windows per pass (default: 16)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def find_models(paths: Sequence[Path], sections: Sections) -> list[Path]:
    """Return the model files that `--models` names.

    Parameters
    ----------
    paths: sequence of Path
        Files, which are returned unchanged; or one folder, in which the models of all folds and replicates of the
        configuration are found. Models that an earlier run left there are ignored.
    sections: Sections
        With `splits.folds` and `train.replicates`.

    Raises
    ------
    InputError
        The folder lacks a model.
    """
    if len(paths) > 1 or not paths[0].is_dir():
        return list(paths)
    folds, replicates = range(sections.splits.folds or 1), range(sections.train.replicates)
    models = [paths[0] / f"fold_{i}" / f"replicate_{j}" / "model.keras" for i in folds for j in replicates]
    for model in models:
        if not model.is_file():
            raise InputError(
                f"{model} does not exist (splits.folds: {len(folds)}, train.replicates: {len(replicates)}): pass the --config "
                "of the run, or list the model files."
            )
    return models


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> None:
    """Parse the command line, run `main`, and exit with status 1 and one clear last line if it fails.

    An `InputError` is printed without a traceback, any other exception with one, both in the log and on the terminal.
    """
    args = parser.parse_args(argv)
    for name, value in (_TENSORFLOW | (_SEVERAL_NODES if _on_several_nodes() else {})).items():
        os.environ.setdefault(name, value)
    _start_log(args.log, parser.prog.removesuffix(".py"))
    # Snakemake and SLURM stop jobs by SIGTERM. By default Python would exit without removing partial files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(args)
    except InputError as error:
        log.error("error: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("error: interrupted")
        sys.exit(130)
    except Exception as error:
        log.error("%s", traceback.format_exc())
        log.error("error: %s", f"{type(error).__name__}: {error}")
        sys.exit(1)


def _start_log(path: Path | None, name: str) -> None:
    """Send messages to the terminal, or to a log file that begins with the command; lines on the terminal name the step."""
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers.clear()
    stream = sys.stderr
    if path is not None:
        path = _of_this_process(path)
        # Libraries and the interpreter write to standard error directly, for example in a crash; keep that in the log.
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = os.fdopen(os.dup(2), "w", buffering=1)
        with open(path, "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 2)
        to_file = logging.StreamHandler(sys.stderr)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(to_file)
        log.info("command: %s", shlex.join([sys.executable, *sys.argv]))
        # The rules keep the logs of steps in folders of the rules' names: .../call_peaks/<contrast>.log.
        name = f"{name} {path.stem}" if path.parent.name == name else name
    terminal = logging.StreamHandler(stream)
    terminal.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    if path is not None:
        terminal.addFilter(lambda record: record.levelno >= logging.WARNING or getattr(record, "terminal", False))
    log.addHandler(terminal)


def _of_this_process(path: Path) -> Path:
    """Return the path itself for the first process of a SLURM step, and a path with the rank for the others."""
    rank = int(os.environ.get("SLURM_PROCID", 0)) if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 else 0
    return path.with_suffix(f".{rank}{path.suffix}") if rank else path


class Progress:
    """Report how far a long task is and how long it will still take.

    Lines are at least half a minute apart, and later 5% of the time since the task began.

    Parameters
    ----------
    what: str
        The task, as it should read at the start of a line.
    total: int
        Number of items.
    done: int
        Number of items that were done before this process began (a resumed task); the estimate leaves them out.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self.what, self.total, self.done = what, total, min(done, total)
        self._before = self.done
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more items as done, up to the total, and print a line if one is due."""
        self.done = min(self.done + n, self.total)
        now = time.monotonic()
        if line_due(now, self._last, self._start):
            self._last = now
            log.info("%s", self.line(note), extra={"terminal": True})

    def line(self, note: str = "") -> str:
        """Return the progress line."""
        elapsed = time.monotonic() - self._start
        left = elapsed / max(self.done - self._before, 1) * (self.total - self.done)
        return f"{self.what}: {self.done}/{self.total}, {duration(left)} left{', ' + note if note else ''}"


def line_due(now: float, last: float, start: float) -> bool:
    """Return whether it is time for another progress line on the terminal; times in seconds."""
    return now - last >= max(TERMINAL_SECONDS, TERMINAL_SHARE * (now - start))


def duration(seconds: float) -> str:
    """Return a duration as text: 42 s, 3 min 20 s, 2 h 5 min.

    Examples
    --------
    >>> from cisnake.program import duration
    >>> [duration(seconds) for seconds in (42, 200, 7500)]
    ['42 s', '3 min 20 s', '2 h 5 min']
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
