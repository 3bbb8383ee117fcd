"""Regions as units: merging, limits, names in a matrix, and windows around their middles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cisnake.data.annotation.regions import read_bed_regions
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.gene_windows import MatrixGenes, select_genes
from cisnake.data.windows.region_units import match_places, regions_as_genes
from cisnake.errors import InputError
from cisnake.sections import AnnotationSection, WindowsSection

ANNOTATION = AnnotationSection(None, "gene", "gene_id", None, 1000, (), {}, ("chr3",))


def table(tmp_path: Path, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    (tmp_path / "a.bed").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return read_bed_regions(tmp_path / "a.bed")


def test_merged_regions_are_the_union_with_the_name_of_the_strongest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i, start in enumerate(rng.integers(0, 3000, 120)):
        strand, end = "+-."[i % 3], start + rng.integers(1, 60)
        rows.append((f"chr{i % 2}", start, end, f"r{i}", i * 7 % 120, strand))
    given = table(tmp_path, rows)
    found = regions_as_genes(given, overlaps="merge")
    kept = found[found["reason"] == ""]
    assert 10 < len(kept) < len(found) == 120 and found["gene_id"].tolist() == given["name"].tolist()
    covered = {(row.chrom, row.strand, base) for row in given.itertuples() for base in range(row.start, row.end)}
    merged = [
        (row.chrom, given["strand"].iloc[at], base)
        for at, row in zip(kept.index, kept.itertuples(), strict=True)
        for base in range(row.start, row.end)
    ]
    assert len(merged) == len(set(merged)) and set(merged) == covered
    for at, row in zip(kept.index, kept.itertuples(), strict=True):
        inside = given[(given["chrom"] == row.chrom) & (given["strand"] == given["strand"].iloc[at])]
        inside = inside[(inside["start"] >= row.start) & (inside["end"] <= row.end)]
        assert inside["signal"].max() == given["signal"].iloc[at]
        assert row.gene_name == f"{row.chrom}:{row.start}-{row.end}" and row.middle == (row.start + row.end) // 2
    lost = found[found["reason"] == "merged"]
    assert set(lost["detail"]) <= {f"merged into {name}" for name in kept["gene_id"]}


def test_adjacent_regions_do_not_overlap_and_the_summit_of_the_strongest_stays(tmp_path: Path) -> None:
    peak = ("chr1", 50, 90, "b", 0, ".", 5, 1, 1, 3)
    found = regions_as_genes(
        table(tmp_path, [("chr1", 0, 51, "a", 0, ".", 1, 1, 1, 7), peak, ("chr1", 90, 95, "c")]), None, "merge"
    )
    assert found[["start", "end", "middle", "reason"]].values.tolist() == [
        [0, 51, 7, "merged"],
        [0, 90, 53, ""],
        [90, 95, 92, ""],
    ]


def test_regions_that_share_a_name_are_known_by_their_places(tmp_path: Path) -> None:
    rows = [("chr1", 0, 5, "blood"), ("chr1", 9, 12, "blood"), ("chr1", 20, 30, "one")]
    assert regions_as_genes(table(tmp_path, rows))["gene_id"].tolist() == ["chr1:0-5", "chr1:9-12", "one"]


def test_only_the_strongest_are_kept(tmp_path: Path) -> None:
    found = regions_as_genes(
        table(tmp_path, [("chr1", i, i + 1, f"r{i}", score) for i, score in enumerate([3, 9, 9, 1])]), top=2
    )
    assert found.loc[found["reason"] == "", "gene_id"].tolist() == ["r1", "r2"]
    assert set(found.loc[found["reason"] != "", "detail"]) == {"the signal is not among the 2 highest"}
    with pytest.raises(InputError, match="line 2 has none"):
        regions_as_genes(table(tmp_path, [("chr1", 0, 1, "a", 5), ("chr1", 4, 5)]), top=1)


@pytest.mark.parametrize("form", ["{}:{}-{}", "{}-{}-{}", "{}_{}_{}"])
def test_rows_of_a_matrix_match_by_place_in_any_spelling(form: str, tmp_path: Path) -> None:
    places = [("chr1", 5, 9), ("chrUn_gl-1", 10, 20), ("chr2", 0, 4)]
    genes = regions_as_genes(table(tmp_path, [(*place, f"peak{i}") for i, place in enumerate(places)]))
    ids = pd.Index([form.format(*place) for place in places[1:]] + ["not a place"])
    found, match_by = match_places(genes, ids)
    assert match_by == "gene_name" and found["gene_name"].tolist() == ["chr1:5-9", *ids[:2]]
    assert match_places(genes, pd.Index(["peak0", *ids[:1]]))[1] == "gene_id"


@pytest.mark.parametrize(("upstream", "downstream"), [(4, 6), (5, 5)])
def test_windows_lie_around_the_middle_on_both_strands_and_have_no_body(
    upstream: int, downstream: int, tmp_path: Path, tiny: Any
) -> None:
    rows = [("chr1", 100, 121, f"r{strand}", 0, strand) for strand in "+-."]
    rows += [("chr1", 0, 3, "at the start"), ("chr2", 40, 60, "p", 0, ".", 1, 1, 1, 2), ("chr3", 50, 60, "elsewhere")]
    genes = regions_as_genes(table(tmp_path, rows))
    windows = WindowsSection("tss", upstream, downstream, 0, 0.5)
    matrix = MatrixGenes(pd.Index(["r+", "r-", "r.", "p", "at the start"]), np.ones(5, bool))
    kept, dropped, _ = select_genes(genes, None, Genome(tiny.fasta), ANNOTATION, windows, matrix)
    found = kept.set_index("gene_id")
    assert dropped.set_index("gene_id")["reason"].to_dict() == {
        "at the start": "near_chromosome_end",
        "elsewhere": "excluded_chromosome",
    }
    for name, middle in (("r+", 110), ("r.", 110), ("p", 42)):
        assert found.loc[name, ["window_start", "window_end"]].tolist() == [middle - upstream, middle + downstream]
    assert found.loc["r-", ["window_start", "window_end"]].tolist() == [110 - downstream + 1, 110 + upstream + 1]
    assert (found["mask_start"] == upstream).all() and (found["mask_end"] == upstream).all()
    assert found["tss_source"].to_dict() == {"r+": "middle", "r-": "middle", "r.": "middle", "p": "summit"}
