"""Lines on Snakemake's terminal: steps, the time left, failures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.logging import DefaultFilter
from snakemake_interface_logger_plugins.common import LogEvent

from cisnake import terminal
from cisnake.terminal import Failure, StepHandler, TimeLeft, failure_lines


class Kind(Enum):
    """How Snakemake names what it is quiet about."""

    RULES = 0
    PROGRESS = 1
    HOST = 3

    def __str__(self) -> str:
        return self.name.lower()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.Logger("snakemake of a test")
    shown: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.shown = shown  # type: ignore[attr-defined]
    yield logger


def workflow(*quiet: Kind, main: bool = True) -> SimpleNamespace:
    return SimpleNamespace(is_main_process=main, output_settings=SimpleNamespace(quiet=set(quiet)))


def start(logger: logging.Logger, job: int, rule: str, **wildcards: str) -> None:
    logger.info(rule, extra={"event": LogEvent.JOB_INFO, "jobid": job, "rule_name": rule, "wildcards": wildcards})


def finish(logger: logging.Logger, job: int) -> None:
    logger.info(f"Finished jobid: {job}", extra={"event": LogEvent.JOB_FINISHED, "job_id": job})
    logger.info(None, extra={"event": LogEvent.PROGRESS, "done": 1, "total": 3})


def test_a_line_per_step_names_rule_wildcards_and_time(logger: Any, clock: Any) -> None:
    terminal.follow(workflow(Kind.RULES, Kind.HOST), logger, [])
    stats = {"train_model": 2, "write_report": 1, "all": 1, "total": 4}
    logger.info("Job stats", extra={"event": LogEvent.RUN_INFO, "stats": stats})
    logger.info("Select jobs to execute...")
    start(logger, 5, "train_model", fold="0", replicate="1")
    clock.now += 65
    finish(logger, 5)
    start(logger, 6, "train_model", fold="0", replicate="0")
    clock.now += 10
    start(logger, 2, "write_report")
    clock.now += 20
    finish(logger, 2)
    finish(logger, 6)
    start(logger, 0, "all")
    finish(logger, 0)
    assert [line for line in logger.shown if line.startswith("[")] == [
        "[1/3] train_model fold 0, replicate 1: 1 min 5 s; about 1 min 11 s left",
        "[2/3] write_report: 20 s; about 35 s left",
        "[3/3] train_model fold 0, replicate 0: 30 s",
    ]
    assert not any("Finished jobid" in line or "Select jobs" in line or line == "None" for line in logger.shown)
    assert "Job stats" in logger.shown


@pytest.mark.parametrize("quiet", [(), (Kind.HOST,), (Kind.RULES, Kind.PROGRESS)])
def test_snakemake_is_left_alone_unless_it_is_quiet_about_rules_only(quiet: Any, logger: Any, clock: Any) -> None:
    terminal.follow(workflow(*quiet), logger, [])
    start(logger, 1, "select_genes")
    finish(logger, 1)
    assert "Finished jobid: 1" in logger.shown and not any(line.startswith("[") for line in logger.shown)


def test_processes_of_single_jobs_are_not_followed(logger: Any) -> None:
    assert terminal.follow(workflow(Kind.RULES, main=False), logger, []) is None
    assert len(logger.handlers) == 1


def test_events_have_the_names_that_snakemake_gives_them() -> None:
    names = {event.value for event in LogEvent}
    assert {"run_info", "job_info", "job_finished", "job_error", "error", *terminal._REPEATED_EVENTS} <= names
    # What the profiles are quiet about, and this module prints instead.
    hidden = DefaultFilter({k for k in _quietness() if str(k) == "rules"}, False, False, False, True)
    record = logging.LogRecord("x", logging.ERROR, "", 1, "x", (), None)
    record.event = LogEvent.JOB_ERROR
    assert not hidden.filter(record)


def _quietness() -> Any:
    from snakemake.settings.enums import Quietness

    return Quietness


def test_nothing_to_do_is_noticed(logger: Any) -> None:
    from snakemake.common import NOTHING_TO_BE_DONE_MSG

    called: list[int] = []
    terminal.follow(workflow(Kind.RULES), logger, [], lambda: called.append(1))
    logger.info("Job stats")
    assert not called
    logger.info(NOTHING_TO_BE_DONE_MSG)
    assert called == [1]


# Time left


def test_a_step_is_expected_to_take_what_steps_of_its_rule_took() -> None:
    left = TimeLeft({"attribute_genes": 4})
    left.finish("attribute_genes", 10)
    left.finish("attribute_genes", 20)
    assert left.describe(elapsed=30, running=[]) == "about 30 s left"
    assert left.describe(elapsed=30, running=[("attribute_genes", 5.0)]) == "about 25 s left"
    # A step that takes longer than expected has nothing left, not less than nothing.
    assert left.describe(elapsed=30, running=[("attribute_genes", 100.0)]) == "about 15 s left"
    assert left.describe(elapsed=15, running=[]) == "about 15 s left", "two at a time"


def test_rules_without_a_time_are_scaled_by_those_with_one() -> None:
    left = TimeLeft({"train_model": 1, "attribute_genes": 1})
    left.finish("attribute_genes", 2 * terminal.TYPICAL_SECONDS["attribute_genes"])
    expected, unmeasured = left.expected()
    assert expected["train_model"] == pytest.approx(2 * terminal.TYPICAL_SECONDS["train_model"])
    assert unmeasured == {"train_model"}
    assert left.describe(elapsed=1000, running=[]) == "very roughly 6 min 40 s left"


def test_times_of_an_earlier_run_count_until_there_are_new_ones(tmp_path: Path) -> None:
    (tmp_path / "train_model").mkdir()
    for i, seconds in enumerate((100, 300)):
        (tmp_path / "train_model" / f"fold_{i}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:00\n")
    (tmp_path / "scan_motifs.tsv").write_text("s\th:m:s\n7.5\t0:00\n")
    (tmp_path / "call_peaks.tsv").write_text("")
    earlier = terminal.earlier_seconds([tmp_path, tmp_path / "none"])
    assert earlier == {"train_model": 200, "scan_motifs": 7.5}
    left = TimeLeft({"cis_train_model": 3}, earlier)
    assert left.describe(elapsed=1, running=[]) == "about 10 min 0 s left"
    left.finish("cis_train_model", 10)
    assert left.describe(elapsed=10, running=[]) == "about 20 s left"


def test_a_finished_run_has_no_time_left() -> None:
    left = TimeLeft({"scan_motifs": 1})
    left.finish("scan_motifs", 3)
    assert left.describe(3, []) == ""


# Failures


def test_failures_are_kept_and_end_with_their_error(logger: Any, clock: Any, tmp_path: Path) -> None:
    steps = terminal.follow(workflow(Kind.RULES), logger, [])
    assert isinstance(steps, StepHandler)
    log = tmp_path / "0.log"
    log.write_text(
        "2026-01-02 03:04:05 command: python x.py\n2026-01-02 03:04:05 error: none\n"
        "2026-01-02 03:04:06 error: matrix m.tsv, line 3: 'x'\nis not a number\n"
    )
    start(logger, 4, "select_genes", split="val")
    logger.error("Error", extra={"event": LogEvent.JOB_ERROR, "jobid": 4, "rule_name": "select_genes", "log": [str(log)]})
    logger.error("RuleException:\nCalledProcessError in file x", extra={"event": LogEvent.ERROR})
    assert logger.shown[-1] == "select_genes split val: failed"
    assert failure_lines(steps.failures) == [
        "select_genes split val failed:",
        "  matrix m.tsv, line 3: 'x'",
        "  is not a number",
        f"  log: {log}",
    ]


def fail(logger: Any, job: int, rule: str, message: str | None = None) -> None:
    extra = {"event": LogEvent.JOB_ERROR, "jobid": job, "rule_name": rule, "log": [], "rule_msg": message}
    logger.error("Error", extra=extra)


def test_a_step_that_succeeds_in_a_later_attempt_has_not_failed(logger: Any, clock: Any) -> None:
    steps = terminal.follow(workflow(Kind.RULES), logger, [])
    assert steps is not None
    start(logger, 1, "train_model")
    fail(logger, 1, "train_model")
    fail(logger, 1, "train_model")
    start(logger, 2, "scan_motifs")
    fail(logger, 2, "scan_motifs")
    assert [failure.step for failure in steps.failures] == ["train_model", "scan_motifs"]
    finish(logger, 1)
    assert [failure.step for failure in steps.failures] == ["scan_motifs"]


def test_the_status_of_a_job_on_a_cluster_is_shown(logger: Any, clock: Any) -> None:
    steps = terminal.follow(workflow(Kind.RULES), logger, [])
    assert steps is not None
    fail(logger, 1, "train_model", "SLURM status is: OUT_OF_MEMORY")
    assert logger.shown[-1] == "train_model: failed (SLURM status is: OUT_OF_MEMORY)"
    lines = failure_lines(steps.failures)
    assert lines[:2] == ["train_model failed:", "  SLURM status is: OUT_OF_MEMORY"] and "has no log" in lines[2]


def test_without_an_error_the_last_lines_of_the_log_are_shown(tmp_path: Path) -> None:
    log, empty = tmp_path / "job.log", tmp_path / "empty.log"
    log.write_text("".join(f"line {i}\n" for i in range(50)))
    empty.write_text("")
    lines = failure_lines([Failure("train_model", (str(log), str(empty), "missing.log"))])
    assert lines[1:21] == [f"  line {i}" for i in range(30, 50)] and lines[-1] == "  log: missing.log"
    assert "killed" in failure_lines([Failure("train_model", (str(empty),))])[1]
