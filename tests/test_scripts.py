"""Scripts and rules: every rule has one short, documented program with the same name."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
MAX_LINES = 90
# Programs that users start themselves.
BY_HAND = {
    "evaluate_dataset",
    "export_hits",
    "predict",
    "predict_tracks",
    "print_scores",
    "score_vcf",
    "train_heads",
}


def rules() -> dict[str, str]:
    """Return the text of every rule with a command, by name."""
    found = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        pieces = re.split(r"^ *(?:rule|checkpoint) +(\w+) *:", path.read_text(), flags=re.MULTILINE)
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            assert name not in found, f"{name} is defined twice"
            # A rule ends at the next line without indentation.
            found[name] = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[0]
    return found


RULES = rules()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_has_help(path: Path) -> None:
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert len(docstring.splitlines()[0]) > 20
    assert docstring.splitlines()[0] in done.stdout
    assert "--log" in done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES, "logic belongs in the library"


def test_every_script_is_run_by_the_rule_with_its_name() -> None:
    assert {path.stem for path in SCRIPTS} - BY_HAND == set(RULES)
    for name, text in RULES.items():
        assert re.findall(r"(\w+)\.py", text) == [name], name
        assert f"{{params.scripts:q}}/{name}.py" in text, "a path with a space in it"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_required_directives(name: str) -> None:
    text = RULES[name]
    for directive in ("output", "log", "benchmark", "conda", "params", "shell"):
        assert re.search(rf"^ +{directive}:", text, flags=re.MULTILINE), f"{name} has no {directive}"
    assert re.search(r"^ +(resources|localrule):", text, flags=re.MULTILINE), f"{name} has no resources"
    assert "retries" not in text, "a rule's own retries run inside one SLURM job"
    assert "lambda" not in text
    assert "version=VERSION" in text, "a new release must trigger reruns"
    assert re.search(r"--log \{log(:q)?\}", text), f"{name} writes no log"


@pytest.mark.parametrize("name", RULES)
def test_options_in_a_rule_exist_in_its_script(name: str) -> None:
    used = set(re.findall(r"(?<![\w-])(--[a-z][\w-]*)", RULES[name]))
    parser = importlib.import_module(name).parser()
    known = {option for action in parser._actions for option in action.option_strings}
    assert used <= known, used - known


def test_a_stopped_program_leaves_no_partial_file(tmp_path: Path) -> None:
    program = tmp_path / "write_slowly.py"
    program.write_text(
        "import time\nfrom pathlib import Path\nfrom cisnake import program\nfrom cisnake.files import write_whole\n"
        "def main(args):\n    with write_whole(Path('out') / 'table.tsv') as part:\n        part.write_text('half')\n"
        "        print('writing', flush=True)\n        time.sleep(60)\n"
        "program.run(main, program.argument_parser('Write slowly.'))\n"
    )
    command = [sys.executable, program, "--log", "log.txt"]
    environment = {"PYTHONPATH": str(ROOT / "scripts"), "PATH": ""}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        assert len(list((tmp_path / "out").iterdir())) == 1
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert list((tmp_path / "out").iterdir()) == []
    assert (tmp_path / "log.txt").read_text().splitlines()[-1].endswith("error: interrupted")
