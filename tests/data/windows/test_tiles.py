"""Positions of tiles, separation of splits, and counts of dropped tiles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.splits import check_overlap, split_for_fold
from cisnake.data.windows.tiles import TILE_COLUMNS, TileRegions, TileShape, make_tiles, place_tiles, unmappable_share
from cisnake.errors import InputError

SETTINGS: dict[str, Any] = {
    "exclude_chromosomes": [],
    "break_length": 4000,
    "stride_train": 1,
    "stride_test": 1,
    "snap": 1,
    "sample": 1,
    "unmappable_threshold": 0.5,
    "max_n_fraction": 0.05,
}
BY_CHROMOSOME = {"val": ["chr2"], "test": ["chr3"]}


def regions(*places: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(places, columns=["chrom", "start", "end"]).astype({"start": "int64", "end": "int64"})


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Genome:
    """Four chromosomes; chr1 has a run of 1,500 N, which separates contigs, and runs of 200 and 32 N, which do not."""
    rng = np.random.default_rng(0)
    chromosomes = {name: rng.choice(list("ACGTacgt"), size) for name, size in (("chr1", 20000), ("chr2", 9001), ("chr3", 7000))}
    for start, end in ((6000, 7500), (10000, 10200), (15000, 15032)):
        chromosomes["chr1"][start:end] = "N"
    chromosomes["chrM"] = np.full(500, "A")
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{''.join(bases)}\n" for name, bases in chromosomes.items()))
    return Genome(path)


def make(genome: Genome, splits: dict[str, Any] = BY_CHROMOSOME, **options: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    settings = SETTINGS | {key: options.pop(key) for key in list(options) if key in SETTINGS}
    regions = TileRegions(**{key: options.pop(key) for key in ("gaps", "limit", "unmappable") if key in options})
    seed = options.pop("seed", 0)
    tiles, asked = configuration.section("tiles", **settings), configuration.section("splits", **splits)
    return make_tiles(genome, tiles, asked, TileShape(**({"seq_len": 640, "bin_size": 32} | options)), regions, seed)


def places(tiles: pd.DataFrame, crop: int = 0) -> list[tuple[str, int, int]]:
    """The binned part of each tile."""
    return [(t.chrom, t.window_start + crop, t.window_end - crop) for t in tiles.itertuples()]


def test_tiles_by_chromosome(genome):
    found, summary = make(genome)
    assert list(found.columns) == TILE_COLUMNS
    assert (found["window_end"] - found["window_start"] == 640).all()
    assert (found["strand"] == "+").all() and (found[["mask_start", "mask_end", "fold"]] == 0).all(axis=None)
    assert found["gene_id"].tolist() == [f"{chrom}:{start}-{end}" for chrom, start, end in places(found)]
    assert found["gene_id"].is_unique
    # Two windows of the second contig have more than 5 % N, the one with 32 N exactly 5 %.
    starts = [*range(0, 5400, 640), *range(7500, 20000 - 640, 640)]
    starts.remove(7500 + 3 * 640)
    starts.remove(7500 + 4 * 640)
    assert found["window_start"][found["chrom"] == "chr1"].tolist() == starts
    assert found["window_start"][found["chrom"] == "chr2"].tolist() == [640 * i for i in range(14)]
    role = {"chr1": "train", "chr2": "val", "chr3": "test"}
    assert found["split"].tolist() == [role[chrom] for chrom in found["chrom"]]
    assert summary["n_tiles"] == len(found)
    assert summary["splits"]["train"] == {"contigs": 2, "tiles": 26, "bases": 26 * 640, "share": 26 / (26 + 14 + 10)}
    assert summary["dropped_bases"] == {
        "excluded_chromosomes": 0,
        "gaps": 1500,
        "outside_limit": 0,
        "short_contigs": 500,
        "outside_regions": 0,
        "near_other_split": 0,
    }
    assert summary["dropped_tiles"] == {"too_many_n": 2, "not_sampled": 0}
    assert summary["notices"] == []


@pytest.mark.parametrize("seed", range(20))
def test_places_one_by_one(seed):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 300, 12)
    contigs = regions(*zip(rng.choice(["chr1", "chr2"], 12), starts, starts + rng.integers(1, 200, 12)))
    contigs["name"] = [f"c{i}" for i in range(12)]
    length, snap = int(rng.integers(1, 40)), int(rng.integers(1, 9))
    stride = rng.integers(1, 60, 12)
    wanted = []
    for contig, step in zip(contigs.itertuples(), stride):
        start = next(i for i in range(contig.start, contig.start + snap) if i % snap == 0)
        while start + length <= contig.end:
            wanted.append((contig.chrom, start, start + length, contig.name))
            start += int(step)
    assert list(place_tiles(contigs, length, stride, snap).itertuples(index=False, name=None)) == wanted


@pytest.mark.parametrize("seed", range(8))
def test_unmappable_bins_one_by_one(seed):
    rng = np.random.default_rng(seed)
    starts, holes = rng.integers(0, 500, 9), rng.integers(0, 600, 12)
    tiles = regions(*zip(rng.choice(["chr1", "chr2"], 9), starts, starts + 80))
    unmappable = regions(*zip(rng.choice(["chr1", "chr2"], 12), holes, holes + rng.integers(0, 60, 12)))
    wrong = {(place.chrom, i) for place in unmappable.itertuples() for i in range(place.start, place.end)}
    wanted = [
        sum(sum((tile.chrom, tile.start + 20 * b + i) in wrong for i in range(20)) >= 2 for b in range(4)) / 4
        for tile in tiles.itertuples()
    ]
    assert unmappable_share(tiles, unmappable, 20).tolist() == wanted
    assert unmappable_share(tiles[:0], unmappable, 20).shape == (0,)


def test_unmappable_tiles_are_dropped_from_the_threshold_on(genome):
    # Of 20 bins of chr2:0-640: 10; of the next tile 9 and 3 bases of a tenth; of the third 10 by a bin of which 4 bases are.
    holes = regions(("chr2", 320, 640), ("chr2", 640, 640 + 9 * 32 + 3), ("chr2", 1280, 1280 + 9 * 32 + 4))
    full, _ = make(genome)
    found, summary = make(genome, unmappable=holes)
    assert set(full["gene_id"]) - set(found["gene_id"]) == {"chr2:0-640", "chr2:1280-1920"}
    assert summary["dropped_tiles"] == {"too_many_n": 2, "unmappable": 2, "not_sampled": 0}
    # Without the crop's bins, the first tile has 10 of 16.
    found, summary = make(genome, unmappable=holes, unmappable_threshold=0.6, crop=64)
    assert summary["dropped_tiles"]["unmappable"] == 1


def test_flanks_reach_beyond_contigs_and_chromosomes(genome):
    found, summary = make(genome, crop=160, stride_train=0.5, stride_test=320)
    inner = places(found, crop=160)
    assert ("chr1", 0, 320) in inner and ("chr1", 5680, 6000) not in inner and ("chr1", 7500, 7820) in inner
    assert "chr1:-160-480" in set(found["gene_id"])
    assert summary["splits"]["val"]["tiles"] == 9001 // 320 and summary["splits"]["val"]["bases"] == 9001 // 320 * 320
    assert summary["dropped_bases"]["short_contigs"] == 0


def test_strides_snap_and_overlapping_tiles(genome):
    found, summary = make(genome, stride_train=0.25, stride_test=1024, snap=32, seq_len=1024)
    starts = found.groupby("split")["window_start"]
    assert starts.get_group("val").tolist() == [1024 * i for i in range(8)]
    train = found[(found["chrom"] == "chr1") & (found["window_start"] >= 7500)]["window_start"]
    assert train.iloc[0] == 7520 and set(np.diff(train)) <= {256, 256 * 6}
    # Overlapping tiles count their bases once.
    covered = {i for t in found[found["split"] == "train"].itertuples() for i in range(t.window_start, t.window_end)}
    assert summary["splits"]["train"]["bases"] == len(covered)


def test_limit_gaps_and_excluded_chromosomes(genome):
    limit = regions(("chr1", 100, 2000), ("chr1", 1900, 3000), ("chr2", 0, 9001), ("chr3", 0, 2000))
    found, summary = make(genome, limit=limit, exclude_chromosomes=["chrM", "chrX"])
    assert places(found[found["chrom"] == "chr1"]) == [("chr1", 100 + 640 * i, 740 + 640 * i) for i in range(4)]
    assert summary["dropped_bases"] == {
        "excluded_chromosomes": 500,
        "gaps": 1500,
        "outside_limit": 20000 - 1500 - 2900 + 5000,
        "short_contigs": 0,
        "outside_regions": 0,
        "near_other_split": 0,
    }
    assert summary["notices"] == ["tiles.exclude_chromosomes: 'chrX' is not in the genome."]
    # A file of gaps replaces the runs of N: tiles may then overlap these, up to the permitted fraction.
    gaps = regions(("chr1", 0, 5990))
    found, summary = make(genome, gaps=gaps, max_n_fraction=1)
    assert places(found)[0] == ("chr1", 5990, 6630)
    assert summary["dropped_bases"]["gaps"] == 5990 and summary["dropped_tiles"]["too_many_n"] == 0


def shares_a_base(tiles: pd.DataFrame, role: np.ndarray, max_shift: int) -> bool:
    """Whether tiles of different roles share a base when training tiles are shifted; base by base."""
    bases: dict[str, set[tuple[str, int]]] = {part: set() for part in ("train", "val", "test")}
    for tile, part in zip(tiles.itertuples(), role):
        reach = max_shift if part == "train" else 0
        bases[part].update((tile.chrom, i) for i in range(tile.window_start - reach, tile.window_end + reach))
    return len(set.union(*bases.values())) < sum(map(len, bases.values()))


@pytest.mark.parametrize(("crop", "max_shift"), [(0, 0), (0, 25), (160, 0), (160, 25)])
@pytest.mark.parametrize(
    "splits",
    [
        {"val_fraction": 0.2, "test_fraction": 0.3},
        {"folds": 3},
        {"val": ["chr1:1-5000"], "test": ["chr1:5001-8972", "chr2:8000-9001"]},
        {"val": ["chr1:9001-14000"], "test_fraction": 0.3},
        {"val_fraction": 0.2, "test": ["chr3:1-3000", "chr2"]},
    ],
    ids=str,
)
def test_no_base_is_shared_between_splits(genome, splits, crop, max_shift):
    options = {"crop": crop, "max_shift": max_shift, "break_length": 1280, "stride_train": 32, "stride_test": 32, "seed": 1}
    found, summary = make(genome, splits, **options)
    n_folds = splits.get("folds", 1)
    for fold in range(n_folds):
        role = split_for_fold(found, fold, n_folds)
        assert set(role) == {"train", "val", "test"}
        assert not shares_a_base(found, role, max_shift)
    check_overlap(found, n_folds, max_shift)
    assert (summary["dropped_bases"]["near_other_split"] > 0) == (crop + max_shift > 0)
    touching, summary = make(genome, splits | {"allow_overlap": True}, **options)
    assert summary["dropped_bases"]["near_other_split"] == 0
    if crop + max_shift:
        assert any(shares_a_base(touching, split_for_fold(touching, f, n_folds), max_shift) for f in range(n_folds))
        with pytest.raises(InputError, match="shares bases"):
            check_overlap(touching, n_folds, max_shift)


@pytest.mark.parametrize(("crop", "max_shift"), [(0, 0), (160, 25)])
def test_bins_of_a_tile_lie_in_one_region_of_the_table(genome, tmp_path, crop, max_shift):
    path = tmp_path / "regions.tsv"
    rows = [("chr1", 0, 5000, "train"), ("chr1", 7700, 20000, "train"), ("chr2", 0, 4000, "val"), ("chr2", 4000, 9001, "test")]
    path.write_text("chrom\tstart\tend\tsplit\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    found, summary = make(genome, {"regions": str(path)}, crop=crop, max_shift=max_shift, stride_train=32, stride_test=32)
    for place, split in zip(places(found, crop), found["split"], strict=True):
        homes = [row for row in rows if row[0] == place[0] and row[1] <= place[1] and place[2] <= row[2]]
        assert [home[3] for home in homes] == [split]
    # Of chr1, chr3 and, if it can hold the bins of a tile, chrM.
    assert summary["dropped_bases"]["outside_regions"] == 1000 + 200 + 7000 + 500 * (crop > 0)
    assert not shares_a_base(found, found["split"].to_numpy(), max_shift)
    check_overlap(found, 1, max_shift)


def test_folds(genome):
    found, summary = make(genome, {"folds": 4}, break_length=640, stride_train=0.5)
    assert set(found["fold"]) == {0, 1, 2, 3} and (found["split"] == "test").all()
    # Every tile is used for training by some model.
    assert 320 in np.diff(found["window_start"][found["chrom"] == "chr3"])
    assert list(summary["splits"]) == ["fold0", "fold1", "fold2", "fold3"]
    assert sum(part["tiles"] for part in summary["splits"].values()) == len(found)
    assert sum(part["share"] for part in summary["splits"].values()) == pytest.approx(1)
    assert all(part["share"] == pytest.approx(0.25, abs=0.08) for part in summary["splits"].values())


def test_sampling_is_by_split_and_seeded(genome):
    full, _ = make(genome)
    half, summary = make(genome, sample=0.5)
    counts = {"train": 13, "val": 7, "test": 5}
    assert full["split"].value_counts().to_dict() == {"train": 26, "val": 14, "test": 10}
    assert half["split"].value_counts().to_dict() == counts
    assert summary["dropped_tiles"]["not_sampled"] == 25 and summary["n_tiles"] == 25
    assert make(genome, sample=25)[0].equals(half)
    assert not make(genome, sample=0.5, seed=3)[0].equals(half)
    assert full.merge(half, how="inner").equals(half)
    assert make(genome, sample=3)[0]["split"].value_counts().to_dict() == {"train": 2, "val": 1, "test": 1}
    assert make(genome, sample=0.01)[0]["split"].value_counts().to_dict() == {"train": 1, "val": 1, "test": 1}
    assert make(genome, sample=1000)[0].equals(full)


def test_the_same_seed_gives_the_same_tiles(genome):
    splits = {"val_fraction": 0.2, "test_fraction": 0.3}
    found, summary = make(genome, splits, break_length=640, sample=0.8, seed=5)
    again, summary_again = make(genome, splits, break_length=640, sample=0.8, seed=5)
    assert found.equals(again) and summary == summary_again
    assert json.dumps(summary)
    assert not found.equals(make(genome, splits, break_length=640, sample=0.8, seed=6)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bin_size": 33}, "bins of 33 bp do not fill a window of 640 bp minus 0"),
        ({"crop": 320}, "minus 320 bp at each end"),
        ({"break_length": 639}, "break_length is 639 bp; it must be at least the length of a window"),
        ({"stride_train": 100.0, "snap": 32}, "stride_train is 100 bp; it must be a multiple of tiles.snap"),
        ({"stride_test": 0.0001}, "stride_test is 0 bp"),
        ({"exclude_chromosomes": ["chr1", "chr2", "chr3", "chrM"]}, "excludes every chromosome"),
        ({"limit": regions(("chr1", 0, 5000))}, "none of the 2 contigs.*was assigned to val"),
        ({"limit": regions()}, "none of the 0 contigs"),
        ({"unmappable": regions(("chr2", 0, 9001))}, "no tiles are left for the split val.*'unmappable': 14"),
    ],
)
def test_invalid_settings_are_refused(genome, options, message):
    with pytest.raises(InputError, match=message):
        make(genome, **options)
