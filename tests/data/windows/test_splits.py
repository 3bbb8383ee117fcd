"""Training and test windows share no base, for every way of splitting genes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.windows.splits import assign_genes, assign_splits, check_overlap, split_for_fold
from cisnake.errors import InputError
from cisnake.sections import SplitsSection


def by(**keys: Any) -> SplitsSection:
    return configuration.section("splits", **keys)


CHROMOSOMES = dict.fromkeys(["chr1", "chr2", "chr3"], 5000)


def windows(*places: tuple[str, int, int], split: str = "train") -> pd.DataFrame:
    table = pd.DataFrame(places, columns=["chrom", "window_start", "window_end"])
    return table.assign(gene_id=[f"g{i}" for i in range(len(table))], split=split, fold=0)


def random_windows(seed: int, n: int = 60, length: int = 40, span: int = 4000, chromosomes: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, span, n)
    names = rng.choice([f"chr{i + 1}" for i in range(chromosomes)], n)
    return windows(*((name, int(start), int(start) + length) for name, start in zip(names, starts)))


def shared_bases(table: pd.DataFrame, role: np.ndarray, max_shift: int) -> bool:
    """Whether windows of two parts share a base, with training windows shifted both ways; base by base."""
    bases: dict[str, set] = {"train": set(), "val": set(), "test": set()}
    for place, part in zip(table.itertuples(), role):
        extra = max_shift if part == "train" else 0
        bases[part] |= {(place.chrom, i) for i in range(place.window_start - extra, place.window_end + extra)}
    return any(bases[one] & bases[other] for one, other in itertools.combinations(bases, 2))


def test_by_chromosome():
    table = random_windows(0)
    found, dropped = assign_splits(table, by(val=["chr2"], test=["chr3"]), CHROMOSOMES, max_shift=1000)
    role = {"chr1": "train", "chr2": "val", "chr3": "test"}
    assert found["split"].tolist() == [role[chrom] for chrom in table["chrom"]]
    assert (found["fold"] == 0).all() and dropped.empty
    check_overlap(found, 1, 1000)


def test_unknown_chromosome_and_empty_split():
    table = random_windows(0)
    with pytest.raises(InputError, match=r"splits\.test 'chr33'.*chr3"):
        assign_splits(table, by(val=["chr2"], test=["chr33"]), CHROMOSOMES)
    with pytest.raises(InputError, match="no genes are left for the split val"):
        assign_splits(table, by(val=["chr4"], test=["chr3"]), CHROMOSOMES | {"chr4": 9})


def test_by_table(tmp_path: Path):
    table, path = windows(("chr1", 0, 9), ("chr1", 10, 19), ("chr1", 30, 39)), tmp_path / "splits.tsv"

    def assign(text: str) -> list[str]:
        path.write_text("gene_id\tsplit\n" + text)
        return assign_splits(table, by(genes=str(path)), CHROMOSOMES)[0]["split"].tolist()

    assert assign("g2\ttest\nx\tval\ng0\ttrain\ng1\tval\n") == ["train", "val", "test"]
    with pytest.raises(InputError, match=r"no split to 1 of 3 genes: genes\.tsv has g1; the table has no others\. Add them"):
        assign("g2\ttest\ng0\ttrain\n")
    with pytest.raises(InputError, match=r"no split to 3 of 3 genes: .* They differ in upper and lower case \(g0, G0\)"):
        assign("G2\ttest\nG0\ttrain\nG1\tval\n")
    table["gene_name"] = ["one", "two", "three"]
    with pytest.raises(InputError, match="It has gene names: name genes by their gene_id"):
        assign("one\ttest\ntwo\ttrain\nthree\tval\n")
    with pytest.raises(InputError, match="'tests'"):
        assign("g2\ttests\ng0\ttrain\ng1\tval\n")
    with pytest.raises(InputError, match="g0 to two splits"):
        assign("g2\ttest\ng0\ttrain\ng0\ttest\ng1\tval\n")
    path.write_text("gene\tsplit\n")
    with pytest.raises(InputError, match="columns gene_id and split"):
        assign_splits(table, by(genes=str(path)), CHROMOSOMES)


@pytest.mark.parametrize(("chromosomes", "max_shift"), [(1, 0), (1, 25), (2, 7), (8, 7)])
@pytest.mark.parametrize("seed", range(4))
def test_folds_share_no_base_and_hold_out_every_gene_once(seed, chromosomes, max_shift):
    table = random_windows(seed, chromosomes=chromosomes)
    found, dropped = assign_splits(table, by(folds=4), {}, max_shift)
    assert dropped.empty
    roles = np.stack([split_for_fold(found, fold, 4) for fold in range(4)])
    assert set(found["fold"]) == {0, 1, 2, 3} and (found["split"] == "test").all()
    assert ((roles == "test").sum(axis=0) == 1).all() and ((roles == "val").sum(axis=0) == 1).all()
    for role in roles:
        assert set(role) == {"train", "val", "test"}
        assert not shared_bases(found, role, max_shift)
    check_overlap(found, 4, max_shift)


def test_folds_do_not_depend_on_the_order_of_genes_in_the_table():
    table = random_windows(3, chromosomes=1)
    mixed = table.sample(frac=1, random_state=0)
    found = assign_splits(table, by(folds=3), CHROMOSOMES)[0].set_index("gene_id")["fold"]
    again = assign_splits(mixed, by(folds=3), CHROMOSOMES)[0].set_index("gene_id")["fold"]
    assert (found == again[found.index]).all()


def test_too_few_groups_for_the_folds():
    # Two groups of windows, but one if training can shift them together.
    table = windows(("chr1", 0, 10), ("chr1", 5, 15), ("chr1", 17, 30), ("chr1", 29, 40), ("chr2", 0, 10))
    assert assign_splits(table, by(folds=3), CHROMOSOMES)[0]["fold"].nunique() == 3
    assert assign_splits(table, by(folds=3), CHROMOSOMES, max_shift=2)[0]["fold"].nunique() == 3
    with pytest.raises(InputError, match="more than 2 groups"):
        assign_splits(table, by(folds=3), CHROMOSOMES, max_shift=3)


def test_without_folds_the_column_split_is_used():
    table = windows(("chr1", 0, 10), ("chr1", 5, 15)).assign(split=["train", "test"])
    assert split_for_fold(table, 0, 1).tolist() == ["train", "test"]


def planted(seed: int) -> tuple[pd.DataFrame, int, int, bool]:
    """Random windows and parts, the shift and the number of folds, and whether training and test share a base."""
    rng = np.random.default_rng(seed)
    table = random_windows(seed, n=10, length=30, span=1600, chromosomes=2)
    table["window_end"] += rng.integers(0, 60, len(table))
    table["split"] = rng.choice(["train", "val", "test"], len(table), p=[0.4, 0.3, 0.3])
    table["fold"] = rng.integers(0, 3, len(table))
    max_shift, n_folds = int(rng.integers(0, 20)), int(rng.choice([1, 1, 3]))
    roles = [split_for_fold(table, fold, n_folds) for fold in range(n_folds)]
    return table, n_folds, max_shift, any(shared_bases(table, role, max_shift) for role in roles)


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlap_is_found_exactly_where_bases_are_shared(seed):
    table, n_folds, max_shift, shared = planted(seed)
    if shared:
        with pytest.raises(InputError, match="shares bases"):
            check_overlap(table, n_folds, max_shift)
    else:
        check_overlap(table, n_folds, max_shift)


def test_both_outcomes_are_among_the_random_windows():
    shared = [planted(seed)[-1] for seed in SEEDS]
    assert 10 < sum(shared) < len(shared) - 10


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val"), ("val", "test")])
def test_no_two_parts_may_share_a_base(parts):
    apart = windows(("chr1", 0, 100), ("chr1", 100, 200)).assign(split=list(parts))
    check_overlap(apart, 1, 0)
    with pytest.raises(InputError, match=r"of \w+ gene g0 \(chr1:0-100\) shares bases with that of \w+ gene g1 \(99-200\)"):
        check_overlap(apart.assign(window_start=[0, 99]), 1, 0)


def test_touching_windows_overlap_only_when_shifted():
    table = windows(("chr1", 0, 100), ("chr1", 100, 200), ("chr2", 0, 100)).assign(split=["train", "test", "train"])
    check_overlap(table, 1, 0)
    with pytest.raises(InputError, match=r"training gene g0 \(chr1:0-100\).*test gene g1 \(100-200\).*as do 0 other windows"):
        check_overlap(table, 1, 1)
    apart = table.assign(window_start=table["window_start"].where(table.index != 1, 105))
    check_overlap(apart, 1, 5)
    with pytest.raises(InputError, match="shares bases"):
        check_overlap(apart, 1, 6)
    folds = table.assign(split="test", fold=[0, 1, 2])
    check_overlap(folds, 3, 0)
    with pytest.raises(InputError, match="shares bases"):
        check_overlap(folds, 3, 1)


def test_long_test_window_is_found_behind_a_short_one():
    table = windows(("chr1", 0, 500), ("chr1", 50, 60), ("chr1", 300, 310)).assign(split=["test", "test", "train"])
    with pytest.raises(InputError, match=r"training gene g2.*test gene g0 \(0-500\)"):
        check_overlap(table, 1, 0)


def random_tiles(seed: int, folds: int) -> pd.DataFrame:
    """Tiles of 30 bases, most of them adjacent, in runs of the same split or fold."""
    rng = np.random.default_rng(seed)
    table = windows(*((f"chr{i}", 30 * j + 200 * i, 30 * j + 200 * i + 30) for i in (1, 2) for j in range(25)))
    table["fold"] = np.repeat(rng.integers(0, folds, 10), 5)
    table["split"] = "test" if folds > 1 else np.repeat(rng.choice(["train", "val", "test"], 10), 5)
    if folds == 1:
        table.loc[[0, 1, 2], "split"] = ["train", "val", "test"]
    return table[rng.random(len(table)) < 0.7].sample(frac=1, random_state=seed)


def moved_bases(tiles: pd.DataFrame, reach: int) -> set[tuple[str, int]]:
    return {(t.chrom, i) for t in tiles.itertuples() for i in range(t.window_start - reach, t.window_end + reach)}


@pytest.mark.parametrize("max_shift", [0, 12])
@pytest.mark.parametrize("seed", range(12))
def test_genes_get_the_split_of_their_tiles_base_by_base(seed, max_shift):
    tiles, genes = random_tiles(seed, 1), random_windows(seed, n=200, length=17, span=1300)
    genes = genes.drop(columns=["split", "fold"]).assign(start=-5, end=3)
    seen = {
        part: moved_bases(tiles[tiles["split"] == part], max_shift * (part == "train")) for part in ("train", "val", "test")
    }
    wanted, lost = {}, []
    for gene in genes.itertuples():
        own = {(gene.chrom, i) for i in range(gene.window_start, gene.window_end)}
        met = [part for part in ("train", "val", "test") if own & seen[part]]
        if met:
            wanted[gene.gene_id] = met[0]
        else:
            lost.append(gene.gene_id)
    kept, dropped = assign_genes(genes, tiles, max_shift)
    assert dict(zip(kept["gene_id"], kept["split"])) == wanted and kept["gene_id"].tolist() == list(wanted)
    assert (kept["fold"] == 0).all()
    assert dropped["gene_id"].tolist() == lost and set(dropped["reason"]) == {"outside_tiles"}
    assert set(wanted.values()) == {"train", "val", "test"}
    # Held-out genes share no base with training tiles.
    for part in ("val", "test"):
        assert not moved_bases(kept[kept["split"] == part], 0) & seen["train"]


@pytest.mark.parametrize("max_shift", [0, 12])
@pytest.mark.parametrize("seed", range(12))
def test_genes_get_the_fold_of_their_tiles_base_by_base(seed, max_shift):
    tiles, genes = random_tiles(seed, 4), random_windows(seed, n=300, length=40, span=1300)
    seen = {fold: moved_bases(tiles[tiles["fold"] == fold], max_shift) for fold in set(tiles["fold"])}
    wanted, lost = {}, {}
    for gene in genes.itertuples():
        own = {(gene.chrom, i) for i in range(gene.window_start, gene.window_end)}
        met = [fold for fold in seen if own & seen[fold]]
        if len(met) == 1:
            wanted[gene.gene_id] = met[0]
        else:
            lost[gene.gene_id] = "spans_folds" if met else "outside_tiles"
    kept, dropped = assign_genes(genes, tiles, max_shift)
    assert dict(zip(kept["gene_id"], kept["fold"])) == wanted and (kept["split"] == "test").all()
    assert dict(zip(dropped["gene_id"], dropped["reason"])) == lost
    assert "outside_tiles" in lost.values() and "spans_folds" in lost.values()
    for fold in range(4):
        trained_on = tiles[split_for_fold(tiles, fold, 4) == "train"]
        assert not moved_bases(kept[kept["fold"] == fold], 0) & moved_bases(trained_on, max_shift)


def test_a_split_without_genes_is_named():
    tiles = windows(("chr1", 0, 30), ("chr1", 30, 60), ("chr2", 0, 30)).assign(split=["train", "val", "test"])
    genes = windows(("chr1", 5, 9), ("chr1", 40, 50), ("chr2", 30, 40))
    with pytest.raises(InputError, match="no genes are left for the split test"):
        assign_genes(genes, tiles)
    kept, dropped = assign_genes(genes.assign(window_start=[5, 40, 29]), tiles)
    assert kept["split"].tolist() == ["train", "val", "test"] and dropped.empty and "reason" in dropped


def crowded_genome(seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Genes on both strands whose windows overlap their neighbours', up to both ends of each chromosome."""
    rng = np.random.default_rng(seed)
    sizes = {f"chr{i + 1}": int(rng.integers(1500, 3000)) for i in range(3)}
    places = [(chrom, int(start), int(start) + 40) for chrom, size in sizes.items() for start in rng.integers(0, size - 40, 60)]
    places += [(chrom, start, start + 40) for chrom, size in sizes.items() for start in (0, size - 40)]
    return windows(*places).assign(strand=rng.choice(["+", "-"], len(places))), sizes


WAYS = [
    {"val": ["chr2"], "test": ["chr3"]},
    {"val": ["chr1:1-500"], "test": ["chr1:501-1,000"]},
    {"val": ["chr1:1-500"], "test": ["chr2:700-1200", "chr3"]},
    {"val": ["chr2:301-600", "chr2:1001-1300"], "test_fraction": 0.15},
    {"val_fraction": 0.15, "test": ["chr3"]},
    {"val_fraction": 0.15, "test": ["chr3:201-700", "chr1:1-300"]},
    {"val_fraction": 0.1, "test_fraction": 0.2},
    {"regions": "regions.tsv"},
]


def chosen(splits: dict[str, Any], folder: Path) -> SplitsSection:
    if "regions" not in splits:
        return by(**splits)
    path = folder / "regions.tsv"
    rows = ["chr1\t0\t700\ttrain", "chr1\t700\t1000\tval", "chr1\t1100\t1400\ttest", "chr2\t0\t1500\ttrain"]
    path.write_text("\n".join(["chrom\tstart\tend\tsplit", *rows]) + "\n")
    return by(regions=str(path))


@pytest.mark.parametrize("max_shift", [0, 13])
@pytest.mark.parametrize("splits", WAYS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_no_split_shares_a_base_with_another_and_no_gene_is_lost_silently(seed, splits, max_shift, tmp_path: Path):
    genes, sizes = crowded_genome(seed)
    kept, dropped = assign_splits(genes, chosen(splits, tmp_path), sizes, max_shift, seed)
    assert set(kept["split"]) == {"train", "val", "test"} and (kept["fold"] == 0).all()
    assert not shared_bases(kept, kept["split"].to_numpy(), max_shift)
    check_overlap(kept, 1, max_shift)
    # All others are dropped, with the split and the place in the detail.
    order = {gene: i for i, gene in enumerate(genes["gene_id"])}
    assert sorted([*kept["gene_id"], *dropped["gene_id"]], key=order.get) == genes["gene_id"].tolist()
    assert kept["gene_id"].map(order).is_monotonic_increasing and dropped["gene_id"].map(order).is_monotonic_increasing
    border = dropped[dropped["reason"] == "split_border"]
    assert border["detail"].str.contains(r"\b(?:val|test)\b.*, chr\d:\d+-\d+$").all()
    assert set(dropped["reason"]) - {"split_border"} == ({"outside_regions"} if "regions" in splits else set())
    if splits == WAYS[0]:
        assert dropped.empty


@pytest.mark.parametrize("splits", WAYS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_no_training_or_validation_gene_is_dropped_without_need(seed, splits, tmp_path: Path):
    genes, sizes = crowded_genome(seed)
    section = chosen(splits, tmp_path)
    kept, dropped = assign_splits(genes, section, sizes, 13, seed)
    for gene in dropped[dropped["reason"] == "split_border"].itertuples():
        if gene.detail.startswith("the window lies partly"):
            first, last = map(int, gene.detail.rpartition(":")[2].split("-"))
            assert gene.window_start <= first - 1 < last <= gene.window_end and last - first + 1 < 40
        else:
            others = kept[kept["chrom"] == gene.chrom]
            near = (others["window_start"] < gene.window_end + 13) & (others["window_end"] > gene.window_start - 13)
            assert set(others["split"][near]) & {"val", "test"}, gene


def test_windows_belong_to_the_region_in_which_they_lie_entirely():
    # Between the regions lie 20 bases of training; windows end and begin exactly at borders, and one base beyond.
    places = [(0, 100), (1, 101), (99, 120), (100, 120), (120, 220), (119, 219), (121, 221), (220, 900), (880, 900)]
    genes = windows(*(("chr1", *place) for place in places))
    splits = by(val=["chr1:1-100"], test=["chr1:121-220"])
    kept, dropped = assign_splits(genes, splits, {"chr1": 900})
    assert dict(zip(kept["gene_id"], kept["split"])) == {
        "g0": "val", "g3": "train", "g4": "test", "g7": "train", "g8": "train"
    }  # fmt: skip
    assert dict(zip(dropped["gene_id"], dropped["detail"])) == {
        "g1": "the window lies partly in val, chr1:2-100",
        "g2": "the window lies partly in val, chr1:100-100",
        "g5": "the window lies partly in test, chr1:121-219",
        "g6": "the window lies partly in test, chr1:122-220",
    }
    kept, dropped = assign_splits(genes, splits, {"chr1": 900}, max_shift=1)
    assert dict(zip(kept["gene_id"], kept["split"])) == {"g0": "val", "g4": "test", "g8": "train"}
    details = dict(zip(dropped["gene_id"], dropped["detail"]))
    # The window of g3 touches both.
    assert details["g3"] == "the window, shifted by up to 1 bp, shares bases with test gene g4, chr1:121-220"
    assert details["g7"] == "the window, shifted by up to 1 bp, shares bases with test gene g4, chr1:121-220"


def test_with_overlap_allowed_no_gene_is_dropped_at_borders():
    genes = windows(("chr1", 0, 50), ("chr1", 40, 90), ("chr1", 90, 140), ("chr1", 95, 145), ("chr1", 150, 200))
    splits = by(val=["chr1:1-60"], test=["chr1:61-142"], allow_overlap=True)
    kept, dropped = assign_splits(genes, splits, {"chr1": 200}, max_shift=30)
    assert kept["split"].tolist() == ["val", "val", "test", "train", "train"] and dropped.empty


@pytest.mark.parametrize("seed", range(10))
def test_fractions_are_of_all_genes(seed):
    table = windows(*((chrom, 50 * i, 50 * i + 40) for chrom in CHROMOSOMES for i in range(100)))
    for splits, wanted in (
        ({"val_fraction": 0.1, "test_fraction": 0.2}, {"train": 210, "val": 30, "test": 60}),
        ({"val_fraction": 0.1, "test": ["chr3"]}, {"train": 170, "val": 30, "test": 100}),
        ({"val": ["chr2:1-1000"], "test_fraction": 0.3}, {"train": 190, "val": 20, "test": 90}),
    ):
        kept, dropped = assign_splits(table, by(**splits), CHROMOSOMES, 0, seed)
        counts = kept["split"].value_counts()
        assert all(abs(counts[split] - n) <= 10 for split, n in wanted.items()), counts
        assert dropped.empty and len(kept) == 300


def test_a_split_that_loses_all_genes_at_borders_is_explained():
    genes = windows(("chr1", 0, 100), ("chr1", 90, 190), ("chr1", 200, 300))
    with pytest.raises(InputError, match="no genes are left for the split train; the windows of 1 genes cross a border"):
        assign_splits(genes, by(val=["chr1:1-100"], test=["chr1:195-300"]), {"chr1": 300})
