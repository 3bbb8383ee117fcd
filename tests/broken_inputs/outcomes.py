"""Outcomes of the programs on the corpus of broken inputs, and their table for docs/broken_inputs.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .corpus import CASES, NETWORK_CASES, Case, skips, write_broken
from .whole import SPLITS, command_line, options

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "broken_inputs.md"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a program: exit code, printed text, and files left in the output folder."""

    case: Case
    place: Path
    path: Path
    code: int
    printed: str
    left: list[str]

    @property
    def sentence(self) -> str:
        """The error message without program name and folders, and with … for wording that depends on libraries."""
        message = self.printed.partition(": error: ")[2] or self.printed.rstrip("\n").rpartition("\n")[2]
        message = " ".join(message.split()).replace(f"{self.path.parent}/", "").replace(f"{self.place}/", "")
        message = re.sub(
            r"\((?:[^()]*\([^()]*\))*[^()]*(?:[Ee]rror|[Uu]nable|[Cc]annot|Compressed|file read)[^()]*(?:\([^()]*\)[^()]*)*\)",
            "(…)",
            message,
        )
        message = re.sub(r"(cannot be read[^:]*: ).*", r"\1…", message)
        return re.sub(r"after line \d+", "after line …", message)


def run_cases(folder: Path) -> list[Outcome]:
    """Run the whole corpus: write the intact inputs, then run the cases without and with networks in two processes."""
    whole = folder / "whole"
    whole.mkdir()
    environment = {"PYTHONPATH": str(ROOT / "scripts"), "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    _python([str(HERE / "whole.py"), str(whole)], environment)
    outcomes = []
    for group in (CASES, NETWORK_CASES):
        cases = [case for case in group if not skips(case)]
        places = [folder / f"{group is CASES}-{i}" for i in range(len(cases))]
        paths, jobs = [], []
        for case, place in zip(cases, places, strict=True):
            (place / "broken").mkdir(parents=True)
            path = write_broken(case, whole, place / "broken")
            arguments = options(case.program, whole, place / "outputs") | dict(case.others) | _option(case, path, whole, place)
            jobs.append({"script": case.program, "arguments": command_line(arguments), "printed": str(place / "printed")})
            paths.append(path)
        (folder / "jobs").write_text(json.dumps(jobs))
        _python([str(HERE / "runner.py"), str(folder / "jobs"), str(folder / "codes")], environment)
        codes = json.loads((folder / "codes").read_text())
        for case, place, path, code in zip(cases, places, paths, codes, strict=True):
            (place / "broken").chmod(0o755)
            left = sorted(str(file) for file in (place / "outputs").rglob("*")) if (place / "outputs").exists() else []
            outcomes.append(Outcome(case, place, path, code, (place / "printed").read_text(errors="replace"), left))
    return outcomes


def _option(case: Case, path: Path, whole: Path, place: Path) -> dict[str, str | None]:
    """Return the options for the broken file; some files are given in a table or in several keys."""
    if path.name == "matrix.mtx" and path.is_dir():
        return {case.option: str(path.parent)}
    if case.option == "splits":
        return {"splits": str(path), "splits.genes": str(path), **dict.fromkeys(SPLITS)}
    if case.option == "tracks" and case.input != "track table":
        track = dict(case.others).get("track", "bed_track" if case.program == "make_track" else "bigwig_track")
        form = track.removesuffix("_track")
        (place / "tracks.tsv").write_text(f"identifier\tfile\tformat\n{track}\t{path}\t{form}\n")
        return {"tracks": str(place / "tracks.tsv")}
    return {case.option: str(path)}


def _python(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def rows(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the rows of the page, one per case."""
    messages = [(outcome.case, "works" if outcome.case.works else outcome.sentence.replace("|", "\\|")) for outcome in outcomes]
    return [f"| {case.input} | {case.wrong} | `{case.program}.py` | {sentence} |" for case, sentence in messages]
