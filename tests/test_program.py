"""Messages of programs, in the log and on the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cisnake import program

PROGRAM = '''
"""Do nothing much."""
import os, sys, warnings
from cisnake import program
from cisnake.errors import InputError

def main(args):
    program.log.info("an ordinary line")
    program.log.info("a line of progress", extra={"terminal": True})
    program.log.warning("a warning")
    os.write(2, b"native words\\n")
    print("words of Python", file=sys.stderr)
    how = os.environ["HOW"]
    if how == "input":
        raise InputError("the file x is not there: make it.")
    if how == "bug":
        raise KeyError("reason")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "crash":
        os.abort()
    print("result")

program.run(main, program.argument_parser(__doc__))
'''


@pytest.fixture
def start(tmp_path: Path):
    def run(how: str, *options: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "do_nothing.py"
        script.write_text(PROGRAM)
        library = str(Path(program.__file__).parents[1])
        environment = {"HOW": how, "PYTHONPATH": library, "PYTHONFAULTHANDLER": "1"}
        return subprocess.run([sys.executable, str(script), *options], env=environment, capture_output=True, text=True)

    return run


def test_input_error_is_one_line_without_traceback(start, tmp_path: Path):
    found = start("input")
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1] == "do_nothing: error: the file x is not there: make it."
    found = start("input", "--log", str(tmp_path / "logs" / "a.log"))
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == "do_nothing: error: the file x is not there: make it."
    written = (tmp_path / "logs" / "a.log").read_text()
    assert written.splitlines()[-1].endswith("error: the file x is not there: make it.") and "Traceback" not in written


def test_other_errors_keep_their_traceback_and_end_with_the_reason(start, tmp_path: Path):
    for found in (start("bug"), start("bug", "--log", str(tmp_path / "a.log"))):
        assert found.returncode == 1 and "Traceback" in found.stderr
        assert found.stderr.splitlines()[-1] == "do_nothing: error: KeyError: 'reason'"
    written = (tmp_path / "a.log").read_text()
    assert "Traceback" in written and written.splitlines()[-1].endswith("error: KeyError: 'reason'")


def test_log_takes_everything_and_the_terminal_progress_and_warnings(start, tmp_path: Path):
    found = start("well", "--log", str(tmp_path / "a.log"))
    assert found.returncode == 0 and found.stdout == "result\n"
    assert found.stderr.splitlines() == ["do_nothing: a line of progress", "do_nothing: a warning"]
    command, *lines = (tmp_path / "a.log").read_text().splitlines()
    assert " command: " in command and command.endswith(f"do_nothing.py --log {tmp_path}/a.log")
    texts = ["an ordinary line", "a line of progress", "a warning", "native words", "words of Python"]
    assert len(lines) == 5 and all(line.endswith(text) for line, text in zip(lines, texts))


def test_lines_on_the_terminal_name_the_step_whose_log_is_written(start, tmp_path: Path):
    found = start("well", "--log", str(tmp_path / "do_nothing" / "fold_0_replicate_1.log"))
    assert found.stderr.splitlines()[0] == "do_nothing fold_0_replicate_1: a line of progress"


def test_without_log_the_terminal_gets_all(start):
    found = start("well")
    assert found.returncode == 0
    assert found.stderr.splitlines()[0] == "do_nothing: an ordinary line" and "native words" in found.stderr


def test_output_of_a_crash_is_in_the_log(start, tmp_path: Path):
    found = start("crash", "--log", str(tmp_path / "a.log"))
    assert found.returncode < 0
    assert "Fatal Python error: Aborted" in (tmp_path / "a.log").read_text()


def test_interrupt_has_its_own_status(start):
    assert start("interrupt").returncode == 130


def test_new_log_replaces_the_old(start, tmp_path: Path):
    (tmp_path / "a.log").write_text("an earlier run\n" * 100)
    start("well", "--log", str(tmp_path / "a.log"))
    assert "an earlier run" not in (tmp_path / "a.log").read_text()


def test_options_cannot_be_abbreviated_and_help_is_the_docstring(start):
    assert start("well", "--lo", "x").returncode == 2
    assert "Do nothing much." in start("well", "--help").stdout


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(program.time, "monotonic", lambda: Clock.now)
    return Clock


def test_progress_prints_the_remaining_time(clock):
    progress = program.Progress("genes", 100)
    clock.now += 10
    progress.advance(20)
    assert progress.line() == "genes: 20/100, 40 s left"
    assert progress.line("loss 0.5") == "genes: 20/100, 40 s left, loss 0.5"
    clock.now += 90
    progress.advance(5)
    assert progress.line() == "genes: 25/100, 5 min 0 s left"
    progress.advance(75)
    assert progress.line() == "genes: 100/100, 0 s left"


def test_progress_of_a_resumed_task_ignores_earlier_items(clock):
    progress = program.Progress("epochs", 100, done=80)
    clock.now += 50
    progress.advance(10)
    assert progress.line() == "epochs: 90/100, 50 s left"


def test_progress_prints_at_most_every_half_minute(clock, monkeypatch):
    lines = []
    monkeypatch.setattr(program.log, "info", lambda form, *values, extra: lines.append((form % values, extra)))
    progress = program.Progress("genes", 1000)
    for _ in range(100):
        clock.now += 1
        progress.advance()
    assert [line for line, _ in lines] == [
        "genes: 30/1000, 16 min 10 s left",
        "genes: 60/1000, 15 min 40 s left",
        "genes: 90/1000, 15 min 10 s left",
    ]
    assert all(extra == {"terminal": True} for _, extra in lines)


def test_progress_never_exceeds_its_total(clock):
    progress = program.Progress("genes", 1991)
    clock.now += 60
    progress.advance(1666)
    progress.advance(1666)
    assert progress.line() == "genes: 1991/1991, 0 s left"


def test_lines_of_a_long_task_are_farther_apart():
    assert not program.line_due(1029, 1000, 0) and program.line_due(1050, 1000, 950)
    assert not program.line_due(10_100, 10_000, 0) and program.line_due(10_600, 10_000, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_duration(seconds, text):
    assert program.duration(seconds) == text


@pytest.mark.parametrize(("name", "value", "off"), [("TF_CONFIG", "{}", True), ("SLURM_STEP_NUM_TASKS", "1", False)])
def test_onednn_is_off_on_several_nodes_only(monkeypatch, name, value, off):
    for variable in ("TF_ENABLE_ONEDNN_OPTS", "TF_CONFIG", "SLURM_STEP_NUM_TASKS"):
        # Set and deleted, so that the value that the program sets is undone at the end.
        monkeypatch.setenv(variable, "1")
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(program, "_start_log", lambda path, name: None)
    monkeypatch.setattr(program.signal, "signal", lambda *args: None)
    seen = []
    program.run(lambda args: seen.append(dict(os.environ)), program.argument_parser("Do nothing."), [])
    assert (seen[0].get("TF_ENABLE_ONEDNN_OPTS") == "0") is off


def test_tensorflow_is_set_up_before_it_is_imported_unless_the_user_did(monkeypatch):
    # Set and deleted, so that both are undone at the end.
    for name in ("TF_CPU_ALLOCATOR_USE_BFC", "TF_CPU_BFC_MEM_LIMIT_IN_MB", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, "0")
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC")
    monkeypatch.setattr(program, "_start_log", lambda path, name: None)
    monkeypatch.setattr(program.signal, "signal", lambda *args: None)
    seen = []
    program.run(lambda args: seen.append(dict(os.environ)), program.argument_parser("Do nothing."), [])
    assert seen[0]["TF_CPU_ALLOCATOR_USE_BFC"] == "true" and seen[0]["TF_CPP_MIN_LOG_LEVEL"] == "0"
