"""What Snakemake's terminal shows of a run: one line per finished step, the time left, and the cause of a failure last."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cisnake.program import duration

# Seconds that a step of each rule took in the demo, on two cores of a virtual machine. Only their ratios count, for a first
# estimate of rules without a measured time. Those of discover_patterns, make_track, write_coverage and evaluate_coverage are
# guesses: the demo does not run them.
TYPICAL_SECONDS = {
    "train_model": 200.0,
    "attribute_genes": 125.0,
    "discover_patterns": 60.0,
    "probe_motifs": 24.0,
    "write_coverage": 20.0,
    "write_report": 18.0,
    "enrich_motifs": 13.0,
    "fit_baselines": 15.0,
    "fit_words": 10.0,
    "add_words": 8.0,
    "evaluate_model": 13.0,
    "evaluate_coverage": 13.0,
    "score_variants": 13.0,
    "make_track": 10.0,
    "simulate_inputs": 10.0,
    "pair_motifs": 9.0,
    "write_browser_files": 8.0,
    "scan_motifs": 7.0,
    "fetch_motifs": 7.0,
}
OTHER_SECONDS = 3.0

# Messages that repeat what a line per step already tells.
_REPEATED = (
    "Select jobs to execute",
    "Building DAG",
    "Assuming unrestricted shared",
    "Using shell",
    "Conda environments: ignored",
)
_REPEATED_EVENTS = ("job_started", "job_finished", "progress", "resources_info")
_NOTHING_TO_DO = "Nothing to be done"
_ERROR_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d error: ", re.MULTILINE)
_MOST_LINES = 20


def event_of(record: logging.LogRecord) -> str | None:
    """Return the name of a record's Snakemake event (`job_finished`, ...), or None for a plain message."""
    return getattr(getattr(record, "event", None), "value", None)


@dataclass
class TimeLeft:
    """Estimate the time that a run still needs, from the times of its steps.

    A step is expected to take the mean of the steps of its rule that finished in this run; else that of an earlier run of the
    same results folder; else the typical time of its rule, scaled by how long the measured rules took beside theirs.

    Parameters
    ----------
    counts: dict of str to int
        Number of steps by rule.
    earlier: dict of str to float
        Mean seconds of a step by rule, from an earlier run; a rule is known by its name without the prefix of a module.
    """

    counts: Mapping[str, int]
    earlier: Mapping[str, float] = field(default_factory=dict)
    finished: dict[str, list[float]] = field(default_factory=dict)

    def finish(self, rule: str, seconds: float) -> None:
        """Add the time of a finished step."""
        self.finished.setdefault(rule, []).append(seconds)

    def expected(self) -> tuple[dict[str, float], set[str]]:
        """Return the expected seconds of a step by rule, and the rules whose time was never measured."""
        earlier = {rule: self.earlier[name] for rule in self.counts if (name := original_rule(rule)) in self.earlier}
        measured = earlier | {rule: sum(times) / len(times) for rule, times in self.finished.items()}
        typical = {rule: TYPICAL_SECONDS.get(original_rule(rule), OTHER_SECONDS) for rule in {*measured, *self.counts}}
        compared = sum(typical[rule] for rule in measured)
        scale = sum(measured.values()) / compared if compared else 1.0
        unmeasured = {rule for rule in self.counts if rule not in measured}
        return {rule: measured.get(rule, scale * seconds) for rule, seconds in typical.items()}, unmeasured

    def describe(self, elapsed: float, running: Iterable[tuple[str, float]]) -> str:
        """Return the time left as text; empty once every step has finished.

        Parameters
        ----------
        elapsed: float
            Seconds since the run began.
        running: iterable of (str, float)
            Rule and seconds so far of each running step.
        """
        expected, unmeasured = self.expected()
        left = Counter({rule: n - len(self.finished.get(rule, ())) for rule, n in self.counts.items()})
        work = {rule: max(n, 0) * expected[rule] for rule, n in left.items()}
        for rule, seconds in running:
            work[rule] = work.get(rule, 0.0) - min(seconds, expected.get(rule, 0.0))
        total = sum(work.values())
        if total <= 0:
            return ""
        done = sum(map(sum, self.finished.values()))
        parallel = max(1.0, done / elapsed) if elapsed > 0 else 1.0
        rough = sum(seconds for rule, seconds in work.items() if rule in unmeasured) > total / 2
        return f"{'very roughly' if rough else 'about'} {duration(total / parallel)} left"


@dataclass(frozen=True)
class Failure:
    """A failed step: its log files, and what the executor reports of it (such as a job status of SLURM)."""

    step: str
    logs: tuple[str, ...]
    message: str = ""


class StepHandler(logging.Handler):
    """Print a line per finished step of a run, and remember which steps failed.

    Parameters
    ----------
    logger: logging.Logger
        Snakemake's logger; lines are printed through it, so that they are also in Snakemake's log file.
    benchmarks: collection of Path
        Folders of the benchmark files of an earlier run.
    printing: bool
        Whether to print lines; False only collects failures.
    when_done_before: callable, optional
        Called when Snakemake finds nothing to do.
    """

    def __init__(
        self,
        logger: logging.Logger,
        benchmarks: Collection[Path] = (),
        printing: bool = True,
        when_done_before: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.logger, self.printing, self.when_done_before = logger, printing, when_done_before
        # By job: an attempt that failed is forgotten once the job succeeds.
        self._failed: dict[int, Failure] = {}
        self._earlier = earlier_seconds(benchmarks)
        self._begin = time.monotonic()
        self._left = TimeLeft({}, self._earlier)
        self._steps: dict[int, tuple[str, str]] = {}
        self._started: dict[int, float] = {}
        self._done, self._total = 0, 0

    @property
    def failures(self) -> list[Failure]:
        """Steps that failed and did not succeed in a later attempt."""
        return list(self._failed.values())

    def emit(self, record: logging.LogRecord) -> None:
        """Follow one message of Snakemake."""
        event = event_of(record)
        if event == "run_info":
            counts = {rule: n for rule, n in record.__dict__["stats"].items() if rule not in ("total", "all")}
            self._left, self._total, self._begin = TimeLeft(counts, self._earlier), sum(counts.values()), time.monotonic()
        elif event == "job_info":
            job = record.__dict__["jobid"]
            self._steps[job] = (
                record.__dict__["rule_name"],
                step_name(record.__dict__["rule_name"], record.__dict__["wildcards"]),
            )
            self._started[job] = time.monotonic()
        elif event == "job_finished":
            self._finish(record.__dict__["job_id"])
        elif event == "job_error":
            self._fail(record.__dict__)
        elif event is None and str(record.msg).startswith(_NOTHING_TO_DO) and self.when_done_before:
            self.when_done_before()

    def _finish(self, job: int) -> None:
        now = time.monotonic()
        self._failed.pop(job, None)
        rule, step = self._steps.get(job, ("step", "step"))
        if rule == "all":
            return
        seconds = now - self._started.pop(job, now)
        self._left.finish(rule, seconds)
        self._done += 1
        if not self.printing:
            return
        running = [(self._steps[other][0], now - start) for other, start in self._started.items()]
        left = self._left.describe(now - self._begin, running)
        width = len(str(self._total))
        self._print(f"[{self._done:>{width}}/{self._total}] {step}: {duration(seconds)}{'; ' + left if left else ''}")

    def _fail(self, job: Mapping[str, Any]) -> None:
        _, step = self._steps.get(job["jobid"], ("", job["rule_name"]))
        self._started.pop(job["jobid"], None)
        message = str(job.get("rule_msg") or "")
        self._failed[job["jobid"]] = Failure(step, tuple(map(str, job["log"])), message)
        if self.printing:
            self._print(f"{step}: failed{f' ({message})' if message else ''}", logging.ERROR)

    def _print(self, line: str, level: int = logging.INFO) -> None:
        self.logger.log(level, line)


def original_rule(rule: str) -> str:
    """Return the name of a rule without the prefix that a module gave it, for the rules that have a typical time.

    Examples
    --------
    >>> original_rule("cis_train_model"), original_rule("select_genes")
    ('train_model', 'select_genes')
    """
    return next((name for name in TYPICAL_SECONDS if rule.endswith(f"_{name}")), rule)


def step_name(rule: str, wildcards: Mapping[str, Any]) -> str:
    """Return a step's rule and wildcards as text.

    Examples
    --------
    >>> step_name("train_model", {"fold": 0, "replicate": 1})
    'train_model fold 0, replicate 1'
    """
    return f"{rule} {', '.join(f'{name} {value}' for name, value in wildcards.items())}".rstrip()


def earlier_seconds(folders: Collection[Path]) -> dict[str, float]:
    """Return the mean seconds of a step by rule, from Snakemake's benchmark files: `<rule>.tsv`, `<rule>/<wildcards>.tsv`."""
    times: dict[str, list[float]] = {}
    for folder in folders:
        for path in (*folder.glob("*.tsv"), *folder.glob("*/*.tsv")):
            rule = path.stem if path.parent == folder else path.parent.name
            try:
                header, *rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
                times.setdefault(rule, []).append(float(rows[-1][header.index("s")]))
            except (OSError, ValueError, IndexError):
                # Half-written by a run that was killed: this rule's time is then estimated.
                continue
    return {rule: sum(values) / len(values) for rule, values in times.items()}


def hide_repetitions(record: logging.LogRecord) -> bool:
    """Return whether a handler should show a record: False for what the line of a step or the list of failures repeats."""
    event = event_of(record)
    if event in _REPEATED_EVENTS:
        return False
    message = str(record.msg)
    if event == "error" and "CalledProcessError" in message:
        return False
    return event is not None or not message.startswith(_REPEATED)


def follow(
    workflow: Any, logger: logging.Logger, results: Collection[str | Path], when_done_before: Callable[[], None] | None = None
) -> StepHandler | None:
    """Print the steps of a run as they finish; called by the main Snakefile while it is read.

    Parameters
    ----------
    workflow: snakemake.workflow.Workflow
        Lines are printed if it is quiet about rules but not about progress, as the profiles are.
    logger: logging.Logger
        Snakemake's logger.
    results: collection of str or Path
        Results folders of the run.
    when_done_before: callable, optional
        Called when Snakemake finds nothing to do, as no hook of a Snakefile is.

    Returns
    -------
    StepHandler or None
        Collects failures for `failure_lines`. None in the processes that Snakemake starts for single jobs.
    """
    if not workflow.is_main_process:
        return None
    quiet = {str(kind) for kind in workflow.output_settings.quiet or ()}
    printing = "rules" in quiet and not quiet & {"progress", "all"}
    if printing:
        for handler in logger.handlers:
            handler.addFilter(hide_repetitions)
    steps = StepHandler(logger, [Path(folder) / "benchmarks" for folder in results], printing, when_done_before)
    logger.addHandler(steps)
    return steps


def failure_lines(failures: Iterable[Failure]) -> list[str]:
    """Return what to print of failed steps: each with the error from its log, or the log's last lines, and the log's path."""
    lines = []
    for failure in failures:
        lines.append(f"{failure.step} failed:")
        lines += _indented(failure.message.splitlines())
        texts = {path: _read(Path(path)) for path in failure.logs}
        for text in texts.values():
            if _ERROR_LINE.search(text):
                lines += _indented(_ERROR_LINE.split(text)[-1].splitlines()[:_MOST_LINES])
                break
        else:
            written = next((text for text in reversed(texts.values()) if text.strip()), "")
            unknown = (
                "its log is empty: it was killed or did not start" if failure.logs else "it has no log: see the messages above"
            )
            lines += _indented(written.splitlines()[-_MOST_LINES:] or [unknown])
        lines += [f"  log: {path}" for path in failure.logs]
    return lines


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
