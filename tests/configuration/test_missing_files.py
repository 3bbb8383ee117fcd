"""What is said of files that are not there: where they were looked for."""

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


def said(**sections: Any) -> list[str]:
    """What is wrong with a configuration that names files of nobody."""
    with pytest.raises(InputError) as caught:
        checks.prepare(GIVEN | sections)
    return str(caught.value).replace("\n  - ", "\n").splitlines()


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_paths_start_from_the_working_folder(working_folder: Path) -> None:
    start = f"relative paths start from the working folder, {working_folder}"
    assert said()[1:] == [
        f"genome.fasta: mine/genome.fa is not there: {start}",
        "annotation.gtf: /of/all/genes.gtf is not there",
        f"targets.matrix: mine/matrix.tsv is not there: {start}",
        f"motifs.source: some.meme is not there: {start}",
        f"attribution.genes is all, held_out, or a file; ids.txt is not there: {start}",
    ]


@pytest.mark.parametrize("relative", [False, True])
def test_relative_paths_start_from_the_folder_of_data(working_folder: Path, relative: bool) -> None:
    folder = working_folder / "data"
    given = "data" if relative else str(folder)
    problems = said(run={"name": "given", "data_dir": given})
    start = f"is not there: relative paths start from run.data_dir, {folder}"
    assert f"genome.fasta: {given}/mine/genome.fa {start}" in problems
    assert f"motifs.source: {given}/some.meme {start}" in problems
    assert "annotation.gtf: /of/all/genes.gtf is not there" in problems


def test_a_table_of_tracks_is_of_the_folder_of_data_too(working_folder: Path) -> None:
    targets = {"kind": "coverage", "tracks": "tracks.tsv"}
    problems = said(run={"name": "given", "data_dir": "data"}, targets=targets)
    assert f"targets.tracks: tracks.tsv is not there: relative paths start from run.data_dir, {working_folder}/data" in problems


def test_a_parameter_file_is_looked_for_in_two_folders(working_folder: Path) -> None:
    problems = said(model={"params": "models/mine.yaml"})
    place = f"neither in the working folder, {working_folder}, nor in that of the workflow, {ROOT}"
    assert f"model.params: parameter file models/mine.yaml cannot be read: it is {place}" in problems


def test_weights_start_from_the_working_folder(working_folder: Path) -> None:
    # Paths in a parameter file are not inputs of `run.data_dir`.
    problems = said(
        run={"name": "given", "data_dir": "data"},
        model={"params": "config/models/small.yaml", "overrides": {"transfer.weights": "old.keras"}},
    )
    start = f"relative paths start from the working folder, {working_folder}"
    assert f"transfer.weights of {ROOT}/config/models/small.yaml is old.keras, which does not exist: {start}" in problems
