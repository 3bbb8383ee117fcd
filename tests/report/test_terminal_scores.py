"""The scores of a run as the terminal shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cisnake.errors import InputError
from cisnake.report import score_lines

ROOT = Path(__file__).resolve().parents[2]
RECOVERY = {
    "pearson_possible": 0.9,
    "motifs_planted": 6,
    "motifs_recovered": 5,
    "peak_precision": 0.75,
    "peak_recall": 1.0,
    "peak_q": 0.1,
    "peak_precision_at_q": None,
}


ABOVE, FLAT = "well above the baseline", "no better than the mean"


def write_scores(
    results: Path, split: str, model: float, ridge: float | None, name: str = "summary.json", verdict: str = ABOVE, **contrasts
) -> None:
    folder = results / "evaluation" / split
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"model": {"pearson_median": model}, "baselines": {"kmer_ridge": {"pearson_median": ridge}}, "verdict": verdict}
    scores["contrasts"] = {
        name: {"pearson": 0.5, "kmer_ridge_pearson": None, "verdict": verdict} for name, verdict in contrasts.items()
    }
    (folder / name).write_text(json.dumps(scores))


def values(lines: list[str]) -> dict[str, str]:
    return {name: value.strip() for name, value in (line.strip().split("  ", 1) for line in lines[1:])}


def test_scores_of_any_run_stand_beside_their_baseline(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    write_scores(tmp_path, "test", 0.812, 0.7)
    write_scores(tmp_path, "val", 0.5, None)
    lines = score_lines(tmp_path)
    assert lines[0] == f"Report: {tmp_path}/report.html"
    assert values(lines) == {"Pearson r over held-out genes": f"0.81 (k-mer ridge baseline: 0.70), {ABOVE}"}
    assert values(score_lines(tmp_path, "val")) == {
        "Pearson r over validation genes": f"0.50 (k-mer ridge baseline: –), {ABOVE}"
    }
    write_scores(tmp_path, "test", 0.3, 0.25, "bins.json")
    assert values(score_lines(tmp_path))["Pearson r over held-out bins"] == f"0.30 (k-mer ridge baseline: 0.25), {ABOVE}"


def test_scores_with_background_regions_stand_beside_those_without(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    write_scores(tmp_path, "test", 0.9, 0.8)
    path = tmp_path / "evaluation/test/summary.json"
    without = {"n_background": 1234, "model": {"pearson_median": 0.4}, "kmer_ridge": {"pearson_median": None}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"background": without}))
    found = values(score_lines(tmp_path))
    assert found["without 1,234 background regions"] == "0.40 (k-mer ridge baseline: –)"


def test_what_must_not_be_interpreted_is_said_last(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    good = dict.fromkeys(("a", "b", "c", "d", "e", "f"), ABOVE)
    write_scores(tmp_path, "test", 0.8, 0.7, **good, flat=FLAT, low="below the baseline", few="unknown")
    found = values(score_lines(tmp_path))
    assert found["contrast flat"] == f"0.50 (k-mer ridge baseline: –), {FLAT}" and "contrast low" in found
    assert found["4 more contrasts"] == "in evaluation/test/contrasts.tsv"
    assert list(found.items())[-1] == ("Do not interpret", "peaks, motifs and genes of flat, low")
    write_scores(tmp_path, "test", 0.8, 0.7, few="unknown")
    assert values(score_lines(tmp_path))["contrast few"].endswith(", too few genes for a verdict")
    assert "Do not interpret" not in values(score_lines(tmp_path))
    write_scores(tmp_path, "test", 0.0, 0.7, verdict=FLAT)
    assert values(score_lines(tmp_path))["Do not interpret"] == "any peaks, motifs and genes of this run"


def test_a_simulated_run_has_what_was_found_of_the_truth(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    (tmp_path / "recovery.json").write_text(json.dumps(RECOVERY))
    found = values(score_lines(tmp_path))
    assert [value.strip() for value in found.values()] == ["0.90", "5 of 6", "0.75", "1.00", "–"]
    for damaged in ("{", "{}", "[]"):
        (tmp_path / "recovery.json").write_text(damaged)
        with pytest.raises(InputError, match=r"recovery\.json is damaged"):
            score_lines(tmp_path)


def test_a_run_without_a_report_has_no_scores_to_print(tmp_path: Path) -> None:
    write_scores(tmp_path, "test", 0.812, 0.7)
    assert score_lines(tmp_path) == []
    command = [sys.executable, ROOT / "scripts/print_scores.py", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "has no report.html" in done.stderr.splitlines()[-1]
    (tmp_path / "report.html").write_text("")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "0.81 (k-mer ridge baseline: 0.70)" in done.stdout
