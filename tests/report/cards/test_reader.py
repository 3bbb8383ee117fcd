"""Cards read from the results of a run have the numbers of the files; files with all cards are complete."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from cisnake.files import read_table
from cisnake.interpret.attribution.file import AttributionFile
from cisnake.report.cards import CardReader, block_rows, files, reader
from cisnake.report.results import SPLIT_ORDER, read_contrast, read_evaluations, read_run_genes

from ...configured import configured

ROOT = Path(__file__).parents[3]


def card_reader(folder: Path, contrast: str = "heat") -> CardReader:
    results = read_contrast(folder, contrast)
    evaluations = read_evaluations(folder, SPLIT_ORDER)
    genes = results.attributions.genes
    return CardReader(results, read_run_genes(folder), evaluations, genes, folder / "variants/effects.tsv")


def test_cards_have_the_attributions_peaks_hits_and_variants_of_their_gene(whole):
    cards, file = card_reader(whole), AttributionFile(whole / "attributions/heat.h5")
    peaks, hits = (read_table(whole / name, start="int64", end="int64") for name in ("peaks/heat.tsv", "motifs/heat/hits.tsv"))
    for row in (0, 1, 39):
        card = cards.read(row)
        gene = file.windows.iloc[row]
        assert card.gene["id"] == gene["gene_id"] and (card.start, card.end) == (gene["start"], gene["end"])
        scores = file.read_block(row, row + 1)[0][0].sum(axis=0)
        assert np.array_equal(card.scores, scores if gene["strand"] == "+" else scores[::-1])
        for table, shown in ((peaks, card.peaks), (hits, card.hits)):
            # Of two hits in a peak whose motifs are in one cluster, one is shown; they are at the same place.
            expected = table[table["gene_id"] == gene["gene_id"]].drop_duplicates(["start", "end"])
            assert set(zip(shown["start"], shown["end"], strict=True)) == set(
                zip(expected["start"], expected["end"], strict=True)
            )
    assert list(cards.read(0).variants["variant"]) == ["v0"] and cards.read(39).variants.empty


def test_cards_of_held_out_genes_have_the_values_of_every_task(whole):
    cards = card_reader(whole)
    predictions = anndata.read_h5ad(whole / "evaluation/test/predictions.h5ad")
    attrs = cards.contrast.attributions.attrs
    genes = read_run_genes(whole)
    for row, split in enumerate(genes["split"]):
        tasks = cards.read(row).tasks
        if split == "train":
            assert tasks.empty
        elif split == "test":
            gene = genes["gene_id"][row]
            assert list(tasks["task"]) == [*attrs["on_tasks"], *attrs["off_tasks"]]
            assert list(tasks["on"]) == [1] * len(attrs["on_tasks"]) + [-1] * len(attrs["off_tasks"])
            places = (
                [list(predictions.obs_names).index(task) for task in tasks["task"]],
                list(predictions.var_names).index(gene),
            )
            assert np.array_equal(tasks["measured"], predictions.X[places], equal_nan=True)
            assert np.array_equal(tasks["predicted"], predictions.layers["predicted"][places])


def test_of_many_tasks_those_of_the_contrast_come_first(whole, monkeypatch):
    monkeypatch.setattr(reader, "MAX_TASKS", 4)
    evaluations = read_evaluations(whole, ["test"])
    tasks = list(evaluations[0].tasks["task"])
    values = reader.read_task_values(evaluations, [tasks[5]], [tasks[3]])
    assert list(values.table["task"]) == [tasks[5], tasks[3], tasks[0], tasks[1]] and list(values.table["on"]) == [1, -1, 0, 0]
    assert values.measured.shape == (4, 6) and reader.read_task_values([], ["a"], []).of_gene("g").empty


@pytest.mark.parametrize("per_file", [7, 40, 1000])
def test_files_have_the_cards_of_all_genes_in_blocks(whole, tmp_path, monkeypatch, per_file):
    monkeypatch.setattr(files, "_BLOCK_BASES", 400 * per_file)
    assert block_rows(400) == per_file
    n = files.write_card_files(card_reader(whole), tmp_path / "heat")
    names = sorted((tmp_path / "heat").iterdir(), key=lambda path: int(path.stem))
    assert [int(path.stem) for path in names] == list(range(0, 40, per_file)) and len(names) == n
    found = []
    for path in names:
        contrast, first, cards = re.fullmatch(r'report\.cards\.receive\("(\w+)",(\d+),(\[.*\])\);\n', path.read_text()).groups()
        assert (contrast, int(first)) == ("heat", len(found))
        found += json.loads(cards)
    ids = [json.loads(gzip.decompress(base64.b64decode(card)))["gene"]["id"] for card in found]
    assert ids == AttributionFile(whole / "attributions/heat.h5").genes


def test_the_program_writes_the_folder(whole, tmp_path):
    config = configured(tmp_path, **{"evaluate": {"splits": ["test"]}})
    command = [
        sys.executable, ROOT / "scripts/write_cards.py", *config, "--results", whole,
        "--contrast", "acid", "--effects", whole / "variants/effects.tsv", "--output", tmp_path / "report_data/acid",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "report_data/acid").iterdir()] == ["0.js"]
    wrong = subprocess.run([*command[:-1], tmp_path / "x", "--contrast", "nosuch"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "peaks/nosuch.tsv is missing" in wrong.stderr and not (tmp_path / "x").exists()
