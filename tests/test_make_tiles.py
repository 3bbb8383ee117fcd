"""Tiles from genome and BED files, by the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import make_tiles
from cisnake.data.windows.gene_windows import read_genes_table
from cisnake.data.windows.splits import check_overlap
from cisnake.data.windows.tiles import TILE_COLUMNS
from cisnake.errors import InputError

from .configured import configured

TILES = {
    "exclude_chromosomes": ["chrM"],
    "break_length": 65536,
    "stride_train": 0.5,
    "snap": 32,
}


WINDOW = ["--set=windows.upstream=50", "--set=windows.downstream=50", "--set=targets.bin_size=10", "--set=targets.crop=0"]


def run(folder: Path, genome: Path, splits: dict, *options: str, **tiles) -> tuple[Path, dict]:
    given = configured(folder, tiles=TILES | tiles, splits=splits)
    given += [f"--genome={genome}", f"--output={folder / 'tiles.tsv'}", f"--output-summary={folder / 'tiles.json'}"]
    make_tiles.main(make_tiles.parser().parse_args([*given, *options]))
    return folder / "tiles.tsv", json.loads((folder / "tiles.json").read_text())


def test_tiny_genome(tiny, tmp_path: Path):
    for name in ("limit", "gaps", "unmappable"):
        (tmp_path / name).write_text("")
    (tmp_path / "limit").write_text("chr1\t0\t400\n2\t0\t600\nchr3\t0\t600\n")
    (tmp_path / "gaps").write_text("chr1\t0\t100\n")
    (tmp_path / "unmappable").write_text("chr2\t0\t60\n")
    beds = [f"--{name}={tmp_path / name}" for name in ("limit", "gaps", "unmappable")]
    tiles = {"break_length": 600, "snap": 1, "stride_train": 1}
    splits = {"val": ["chr2"], "test": ["chr3"], "allow_overlap": False}
    path, summary = run(tmp_path, tiny.fasta, splits, *WINDOW, *beds, **tiles)
    found = read_genes_table(path)
    assert list(found.columns) == TILE_COLUMNS
    assert found["gene_id"].tolist()[:4] == ["chr1:100-200", "chr1:200-300", "chr1:300-400", "chr2:100-200"]
    assert {name: part["tiles"] for name, part in summary["splits"].items()} == {"train": 3, "val": 5, "test": 6}
    assert summary["dropped_tiles"]["unmappable"] == 1 and summary["dropped_bases"]["gaps"] == 100
    with pytest.raises(InputError, match="unmappable, line 1"):
        (tmp_path / "unmappable").write_text("chr2\t600\t660\n")
        run(tmp_path, tiny.fasta, splits, *WINDOW, *beds, **tiles)


@pytest.mark.parametrize("splits", [{"val_fraction": 0.1, "test_fraction": 0.15}, {"folds": 5}])
def test_yeast(yeast, tmp_path: Path, splits):
    window = ("upstream=8192", "downstream=8192", "max_shift=64")
    options = [f"--set=windows.{text}" for text in window]
    options += ["--set=targets.bin_size=32", "--set=targets.crop=1024", "--set=run.seed=3"]
    options += [f"--unmappable={yeast / 'mask_rossi2021_blacklist.bed'}"]
    genome = yeast / "sacCer3.fa.gz"
    path, summary = run(tmp_path, genome, splits, *options, break_length=32768)
    found = read_genes_table(path)
    n_folds = splits.get("folds", 1)
    check_overlap(found, n_folds, 64)
    aims = {"train": 0.75, "val": 0.1, "test": 0.15} if n_folds == 1 else {f"fold{i}": 0.2 for i in range(5)}
    assert {name: part["share"] for name, part in summary["splits"].items()} == pytest.approx(aims, abs=0.06)
    assert (found["window_end"] - found["window_start"] == 16384).all() and "chrM" not in set(found["chrom"])
    assert found["window_start"].min() >= -1024 and ((found["window_start"] + 1024) % 32 == 0).all()
    assert 12157105 - 85779 > sum(part["bases"] for part in summary["splits"].values()) > 8_000_000
    again, _ = run(tmp_path, genome, splits, *options, break_length=32768)
    assert found.equals(read_genes_table(again))


def test_regions_come_from_a_table(tiny, tmp_path: Path):
    (tmp_path / "regions.tsv").write_text(
        "chrom\tstart\tend\tsplit\nchr1\t0\t350\tval\nchr1\t350\t600\ttest\nchr2\t0\t600\ttrain\n"
    )
    tiles, regions = {"break_length": 600, "snap": 1, "stride_train": 1}, f"--regions={tmp_path / 'regions.tsv'}"
    path, summary = run(tmp_path, tiny.fasta, {"regions": "elsewhere.tsv"}, *WINDOW, regions, **tiles)
    found = read_genes_table(path).groupby("split")["gene_id"].apply(list)
    assert found["val"] == ["chr1:0-100", "chr1:100-200", "chr1:200-300"]
    assert found["test"] == ["chr1:350-450", "chr1:450-550"]
    assert found["train"] == [f"chr2:{i}-{i + 100}" for i in range(0, 600, 100)]
    assert summary["dropped_bases"]["outside_regions"] == 600
