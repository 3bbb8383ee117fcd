"""Scouting of an expression run: its advice, and that it does not know test labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

import scout as program
from cisnake import configuration
from cisnake.data.annotation import read_genes
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.scout import fit_to_pooling

FILES = ("windows.tsv", "advice.yaml", "scout.html")


def run(near: Any, config: Path, *words: str) -> Path:
    output = near.folder / "scout"
    options = {"--genome": "genome.fa", "--gtf": "genes.gtf", "--matrix": "matrix.tsv"}
    paths = [part for option, name in options.items() for part in (option, str(near.folder / name))]
    program.main(program.parser().parse_args(["--config", str(config), *paths, "--output", str(output), *words]))
    return output


def windows(output: Path) -> Any:
    table = read_table(
        output / "windows.tsv", upstream="int64", downstream="int64", score="float", levels="float", recommended="bool"
    )
    return table.set_index(["upstream", "downstream"])


def test_the_advice_contains_what_matters_and_not_kilobases(near: Any, stored: Callable[..., Path]) -> None:
    output = run(near, stored())
    advice = yaml.safe_load((output / "advice.yaml").read_text())
    assert set(advice) == {"windows"} and set(advice["windows"]) == {"upstream", "downstream"}
    assert 250 <= advice["windows"]["upstream"] <= 540 and advice["windows"]["downstream"] <= 190
    # What small.yaml pools.
    assert sum(advice["windows"].values()) % 40 == 0
    table = windows(output)
    assert table["score"].idxmax()[0] in (250, 500)
    assert table.loc[(250, 0), "levels"] > 0.5 > 0.3 > table.loc[(0, 1000), "levels"]
    assert table.loc[(4000, 2000), "levels"] < table.loc[(250, 0), "levels"] - 0.1
    assert int(table["recommended"].sum()) == 1
    # Genes at chromosome ends cost nothing here, and every cell has the same genes.
    page = (output / "scout.html").read_text()
    assert "320 training" in page and "left out of all cells" not in page
    assert "contrast:heat" in table and ">heat<" in page
    assert not re.search(r"(?:src|href)=.(?:https?:|/)", page), "self-contained"


def test_the_advice_merges_and_passes_the_checks(near: Any, stored: Callable[..., Path]) -> None:
    # Things that a shorter window would break: the baseline's window, and a length in the parameter file.
    params = near.folder / "params.yaml"
    network = yaml.safe_load(Path(configuration.ROOT, "config/models/small.yaml").read_text())
    params.write_text(yaml.safe_dump(network | {"model": network["model"] | {"seq_length": 3000}}))
    sections = {
        "windows": {"upstream": 2000, "downstream": 1000},
        "evaluate": {"baseline": {"upstream": 1900, "downstream": 900}},
        "model": {"params": str(params)},
    }
    output = run(near, stored(**sections))
    config = near.config(**sections)
    update_config(config, yaml.safe_load((output / "advice.yaml").read_text()))
    completed = configuration.prepare(config)
    assert sum(completed["windows"][side] for side in ("upstream", "downstream")) < 1000
    assert completed["windows"]["anchor"] == "tss"


@pytest.mark.parametrize(
    ("sections", "splits"),
    [
        ({"transform": "zscore", "filters": {"tasks": {"max_missing": 0.5}}}, {"val": ["chr5"], "test": ["chr6"]}),
        (
            {"transform": "log1p_cpm", "filters": {"tasks": {"min_total": 9000, "min_genes": 99}, "genes": {"min_tasks": 2}}},
            {"folds": 3},
        ),
    ],
)
def test_poisoned_test_labels_change_nothing(
    near: Any, stored: Callable[..., Path], sections: dict[str, Any], splits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cisnake.scout.grid.UPSTREAM", (0, 250, 1000))
    monkeypatch.setattr("cisnake.scout.grid.DOWNSTREAM", (0, 150))
    config = stored(targets={"matrix": "matrix.tsv", **sections}, splits=splits)
    before = {name: (run(near, config) / name).read_bytes() for name in FILES}
    # With folds, the first of three: chromosomes are of equal size and go to the folds in turn.
    held_out = ("g6_",) if "test" in splits else ("g1_", "g4_")
    test = np.array([gene.startswith(held_out) for gene in near.genes])
    for poison in (1e6, np.nan):
        values = near.values.copy()
        values[test] = poison
        near.write(values)
        assert {name: (run(near, config) / name).read_bytes() for name in FILES} == before
    values = near.values.copy()
    values[~test] = values[~test][::-1]
    near.write(values)
    assert (run(near, config) / "windows.tsv").read_bytes() != before["windows.tsv"], "other labels do matter"


def test_labels_that_no_window_predicts_get_no_recommendation(near: Any, stored: Callable[..., Path], caplog: Any) -> None:
    near.write(np.random.default_rng(4).normal(size=near.values.shape))
    output = run(near, stored())
    table = windows(output)
    if table["score"].max() < 0.05:
        assert yaml.safe_load((output / "advice.yaml").read_text()) == {}
        assert "No window predicts these labels" in (output / "scout.html").read_text()
    else:
        # Among 29 windows, some correlate with noise by chance; the error of that is known.
        assert table["score"].max() < 0.3


def test_measured_tsss_are_compared_with_annotated_ones(near: Any, stored: Callable[..., Path]) -> None:
    rows = [line.split("\t") for line in (near.folder / "genes.gtf").read_text().splitlines()]
    beds = []
    for row, gene in zip(rows, near.genes, strict=True):
        # The annotated ends are the true TSSs; what was "measured" is 400 bp upstream of them.
        tss = int(row[3]) - 1 - 400 if row[6] == "+" else int(row[4]) - 1 + 400
        beds.append(f"{row[0]}\t{tss}\t{tss + 1}\t{gene}\t0\t{row[6]}\n")
    (near.folder / "tss.bed").write_text("".join(beds))
    bed = str(near.folder / "tss.bed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cisnake.scout.expression._MIN_GENES", 50)
        output = run(near, stored(windows={"anchor": "start"}), "--tss-bed", bed)
    assert "use windows.anchor start" in (output / "scout.html").read_text().replace("\n", " ")
    assert yaml.safe_load((output / "advice.yaml").read_text())["windows"]["upstream"] < 1000


def test_a_matrix_is_needed(near: Any, stored: Callable[..., Path]) -> None:
    words = ["--config", str(stored()), "--genome", "g.fa", "--gtf", "g.gtf", "--output", "x"]
    with pytest.raises(InputError, match="--matrix is missing"):
        program.main(program.parser().parse_args(words))


@pytest.mark.parametrize("divisor", [1, 7, 40, 256])
@pytest.mark.parametrize("window", [(0, 150), (500, 0), (500, 150), (4000, 2000)])
def test_windows_are_lengthened_to_a_multiple(window: tuple[int, int], divisor: int) -> None:
    upstream, downstream = fit_to_pooling(*window, divisor)
    assert (upstream + downstream) % divisor == 0 and min(upstream, downstream) >= 1
    assert upstream >= window[0] and downstream >= window[1]
    assert upstream + downstream - sum(window) <= divisor


def test_regions_around_gene_starts_give_the_windows_of_the_genes(near: Any, stored: Callable[..., Path]) -> None:
    expected = windows(run(near, stored()))
    genes = read_genes(near.folder / "genes.gtf")
    tss = np.where(genes["strand"] == "+", genes["start"], genes["end"] - 1)
    rows = zip(genes["chrom"], tss - 20, tss + 21, genes["strand"], strict=True)
    (near.folder / "genes.gtf").write_text("".join(f"{c}\t{a}\t{b}\tsame name\t0\t{strand}\n" for c, a, b, strand in rows))
    places = genes["chrom"] + "_" + (tss - 20).astype(str) + "_" + (tss + 21).astype(str)
    place_of = dict(zip(genes["gene_id"], places, strict=True))
    head, *lines = (near.folder / "matrix.tsv").read_text().splitlines()
    renamed = [place_of[gene] + "\t" + values for gene, _, values in (line.partition("\t") for line in lines)]
    (near.folder / "matrix.tsv").write_text("\n".join([head, *renamed]) + "\n")
    config = stored(annotation={}, regions={"file": str(near.folder / "genes.gtf")})
    pd.testing.assert_frame_equal(windows(run(near, config)), expected)
