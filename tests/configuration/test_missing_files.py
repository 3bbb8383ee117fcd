"""Messages for missing files, with the folder in which they were searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cisnake.configuration import ROOT, checks
from cisnake.errors import InputError

GIVEN: dict[str, Any] = {
    "run": {"name": "given"},
    "genome": {"fasta": "mine/genome.fa"},
    "annotation": {"gtf": "/of/all/genes.gtf"},
    "targets": {"matrix": "mine/matrix.tsv"},
    "splits": {"val": ["chrA"], "test": ["chrB"]},
    "model": {"params": "config/models/small.yaml"},
    "attribution": {"genes": "ids.txt", "contrasts": {"heat": {"on_tasks": ["heat"]}}},
    "motifs": {"source": "some.meme"},
}


def problem_lines(**sections: Any) -> list[str]:
    """Return the lines of the error message for a configuration whose files do not exist."""
    with pytest.raises(InputError) as caught:
        checks.prepare(GIVEN | sections)
    return str(caught.value).replace("\n  - ", "\n").splitlines()


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_paths_refer_to_the_working_folder(working_folder: Path) -> None:
    start = f"relative paths refer to the working folder, {working_folder}"
    assert problem_lines()[1:] == [
        f"genome.fasta: mine/genome.fa does not exist: {start}",
        "annotation.gtf: /of/all/genes.gtf does not exist",
        f"targets.matrix: mine/matrix.tsv does not exist: {start}",
        f"motifs.source: some.meme does not exist: {start}",
        f"attribution.genes must be all, held_out, or a file; ids.txt does not exist: {start}",
    ]


@pytest.mark.parametrize("relative", [False, True])
def test_relative_paths_refer_to_the_data_folder(working_folder: Path, relative: bool) -> None:
    folder = working_folder / "data"
    given = "data" if relative else str(folder)
    problems = problem_lines(run={"name": "given", "data_dir": given})
    start = f"does not exist: relative paths refer to run.data_dir, {folder}"
    assert f"genome.fasta: {given}/mine/genome.fa {start}" in problems
    assert f"motifs.source: {given}/some.meme {start}" in problems
    assert "annotation.gtf: /of/all/genes.gtf does not exist" in problems


def test_a_table_of_tracks_is_searched_for_in_the_data_folder(working_folder: Path) -> None:
    targets = {"kind": "coverage", "tracks": "tracks.tsv"}
    problems = problem_lines(run={"name": "given", "data_dir": "data"}, targets=targets)
    assert f"targets.tracks: tracks.tsv does not exist: relative paths refer to run.data_dir, {working_folder}/data" in problems


def test_a_parameter_file_is_searched_for_in_two_folders(working_folder: Path) -> None:
    problems = problem_lines(model={"params": "models/mine.yaml"})
    place = f"neither in the working folder, {working_folder}, nor in the workflow's folder, {ROOT}"
    assert f"model.params: parameter file models/mine.yaml does not exist, {place}" in problems


def test_paths_of_weights_refer_to_the_working_folder(working_folder: Path) -> None:
    # Paths in a parameter file do not refer to `run.data_dir`.
    problems = problem_lines(
        run={"name": "given", "data_dir": "data"},
        model={"params": "config/models/small.yaml", "overrides": {"transfer.weights": "old.keras"}},
    )
    start = f"relative paths refer to the working folder, {working_folder}"
    assert f"transfer.weights of {ROOT}/config/models/small.yaml is old.keras, which does not exist: {start}" in problems
