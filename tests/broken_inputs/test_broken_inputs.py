"""Every broken input ends its program with one error message; inputs that are only unusual work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .corpus import CASES, NETWORK_CASES, Case, skips
from .outcomes import PAGE, ROOT, Outcome, rows, run_cases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[Case, Outcome]:
    return {outcome.case: outcome for outcome in run_cases(tmp_path_factory.mktemp("corpus"))}


def test_cases_are_unique() -> None:
    keys = [(case.program, case.input, case.wrong) for case in (*CASES, *NETWORK_CASES)]
    assert len(set(keys)) == len(keys) > 150
    assert {(ROOT / "scripts" / f"{program}.py").is_file() for program, _, _ in keys} == {True}


@pytest.mark.parametrize("case", [*CASES, *NETWORK_CASES], ids=lambda case: f"{case.program}-{case.input}-{case.wrong}")
def test_a_broken_input_gives_one_error_message(outcomes: dict[Case, Outcome], case: Case) -> None:
    if skips(case):
        pytest.skip("root can read every file")
    outcome = outcomes[case]
    if case.works:
        assert outcome.code == 0, outcome.printed
        return
    assert outcome.code == 1
    assert "Traceback" not in outcome.printed
    assert outcome.printed.count(": error: ") == 1
    assert (len(outcome.sentence) > 30 and outcome.path.name in outcome.printed) or not case.names, outcome.printed
    assert outcome.left == []


def test_the_page_has_the_messages_of_the_programs(outcomes: dict[Case, Outcome]) -> None:
    page = PAGE.read_text().splitlines()
    expected = rows(outcomes.values())
    missing = [row for row in expected if row not in page]
    assert not missing, "regenerate the page with tools/write_broken_inputs.py:\n" + "\n".join(missing)
    # The page may also have rows of cases that cannot be tested as root.
    left_out = sum(map(skips, (*CASES, *NETWORK_CASES)))
    assert 0 <= sum(line.startswith("| ") for line in page) - 1 - len(expected) <= left_out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: {name: x\ngenome: [", "Config file is not valid JSON or YAML"),
        ("- a\n- b\n", "Config file must be given as JSON or YAML"),
        ("run: {name: x}\ngenom: {fasta: a.fa}\n", "unknown key in the configuration 'genom': did you mean genome?"),
    ],
)
def test_a_broken_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "-s", str(ROOT / "Snakefile")]
    command += ["--configfile", "config.yaml", "-d", str(tmp_path)]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    # In a dry run, Snakemake prints errors to standard output.
    printed = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in printed
    assert message in printed
    assert not (tmp_path / "results").exists()
