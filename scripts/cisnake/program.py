"""What every script shares: its log, its progress lines, and how it ends when something is wrong."""

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


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser that takes its description from a script's docstring and knows `--log`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--log", type=Path, metavar="FILE", help="write messages to FILE; the terminal gets the progress only")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what every program takes that asks trained models: the models, and CPU threads."""
    models = "models, each .../fold_<i>/replicate_<j>/model.keras; or the folder that has as many as the configuration says"
    parser.add_argument("--models", type=Path, required=True, nargs="+", metavar="PATH", help=models)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def find_models(paths: Sequence[Path], sections: Sections) -> list[Path]:
    """Return the model files that `--models` names.

    Parameters
    ----------
    paths: sequence of Path
        Files, which are returned as they are; or one folder, of which the models of all folds and replicates of the
        configuration are taken, and no others that an earlier run may have left.
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
                f"{model} is not there (splits.folds: {len(folds)}, train.replicates: {len(replicates)}): give the run's "
                "--config, or name the models one by one."
            )
    return models


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> None:
    """Parse the command line, run `main`, and exit with status 1 and one clear last line if it fails.

    An `InputError` is printed as it is; anything else with its traceback, in the log and on the terminal alike.
    """
    args = parser.parse_args(argv)
    _start_log(args.log, parser.prog.removesuffix(".py"))
    # Snakemake and SLURM stop a job by SIGTERM, at which Python would leave half-written files behind.
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
        # What libraries and the interpreter itself write to standard error, a crash's last words among it, belongs in the log.
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
    """Return a path of its own for every process but the first of those that share a SLURM step."""
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
    """Return a span of time as people say it: 42 s, 3 min 20 s, 2 h 5 min.

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
