"""Windows and gene bodies, base by base, and their symmetry under reversal of the chromosome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cisnake import configuration
from cisnake.data.windows.gene_windows import place_tss, place_windows
from cisnake.data.windows.splits import assign_splits, check_overlap, split_for_fold
from cisnake.errors import InputError
from cisnake.sections import SplitsSection


def by(**keys: Any) -> SplitsSection:
    return configuration.section("splits", **keys)


SIZE = 1000


@st.composite
def gene_tables(draw) -> pd.DataFrame:
    rows = []
    for i in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, SIZE - 1))
        end = draw(st.integers(start + 1, SIZE))
        rows.append((f"g{i}", "c", start, end, draw(st.sampled_from("+-"))))
    return pd.DataFrame(rows, columns=["gene_id", "chrom", "start", "end", "strand"])


@st.composite
def sites(draw, genes: pd.DataFrame, max_distance: int) -> pd.DataFrame:
    """Transcription start sites within and beyond the maximum distance, also of other genes, strands and chromosomes."""
    rows = []
    for gene in genes.itertuples():
        edges = [sign * far for far in (0, 1, max_distance, max_distance + 1) for sign in (1, -1)]
        for far in draw(st.lists(st.sampled_from(edges) | st.integers(-300, 300), min_size=1, max_size=3)):
            place = gene.start - far if gene.strand == "+" else gene.end - 1 + far
            strand = gene.strand if draw(st.integers(0, 4)) else "+"
            rows.append((draw(st.sampled_from([gene.gene_id] * 4 + ["other"])), draw(st.sampled_from("cccd")), place, strand))
    return pd.DataFrame(draw(st.permutations(rows)), columns=["gene_id", "chrom", "tss", "strand"])


@given(st.data(), st.integers(0, 300), st.sampled_from(["tss", "start"]), st.integers(0, 90), st.integers(1, 90), st.booleans())
def test_windows_base_by_base(
    data, max_distance: int, anchor: str, upstream: int, downstream: int, upstream_only: bool
) -> None:
    genes = data.draw(gene_tables())
    bed = data.draw(sites(genes, max_distance))
    with_tss, outcome = place_tss(genes, bed, max_distance, upstream_only)
    assert (outcome == "used").sum() == (with_tss["tss_source"] == "bed").sum() and len(outcome) == len(bed)
    placed = place_windows(with_tss, anchor, upstream, downstream)
    assert placed["gene_id"].tolist() == genes["gene_id"].tolist()
    for gene in placed.itertuples():
        step = 1 if gene.strand == "+" else -1
        body = list(range(gene.start, gene.end))[::step]
        # The nearest site, upstream of the first base before downstream, or the base itself.
        sides = (1,) if upstream_only else (1, -1)
        reach = [body[0] - step * side * distance for distance in range(max_distance + 1) for side in sides]
        known = set(bed.itertuples(index=False, name=None))
        found = [base for base in reach if (gene.gene_id, "c", base, gene.strand) in known]
        tss = found[0] if found else body[0]
        assert (gene.tss, gene.tss_source) == (tss, "bed" if found else "annotation")
        window = list(range(gene.window_start, gene.window_end))[::step]
        assert len(window) == upstream + downstream
        assert window[upstream] == (tss if anchor == "tss" else body[0])
        transcript = set(range(tss, gene.end) if step == 1 else range(gene.start, tss + 1))
        assert [gene.mask_start <= i < gene.mask_end for i in range(len(window))] == [base in transcript for base in window]


@given(gene_tables(), st.sampled_from(["tss", "start"]), st.integers(0, 90), st.integers(1, 90))
def test_a_reversed_chromosome_has_reversed_windows(genes: pd.DataFrame, anchor: str, upstream: int, downstream: int) -> None:
    turned = genes.assign(
        start=SIZE - genes["end"], end=SIZE - genes["start"], strand=genes["strand"].map({"+": "-", "-": "+"})
    )
    one, other = (place_windows(place_tss(table, None, 0)[0], anchor, upstream, downstream) for table in (genes, turned))
    assert (one["window_start"] == SIZE - other["window_end"]).all()
    assert (one["tss"] == SIZE - 1 - other["tss"]).all()
    assert (one[["mask_start", "mask_end"]] == other[["mask_start", "mask_end"]]).all(axis=None)


@st.composite
def window_tables(draw, values: str, n_values: int | None = None) -> pd.DataFrame:
    n = draw(st.integers(1, 12))
    starts = draw(st.lists(st.integers(0, 120), min_size=n, max_size=n))
    lengths = draw(st.lists(st.integers(1, 30), min_size=n, max_size=n))
    table = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n)], "window_start": starts})
    table["chrom"] = draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
    table["window_end"] = table["window_start"] + (lengths[0] if draw(st.booleans()) else np.array(lengths))
    chosen = st.sampled_from(["train", "val", "test"]) if values == "split" else st.integers(0, (n_values or 1) - 1)
    table["fold"] = draw(st.lists(chosen, min_size=n, max_size=n)) if values == "fold" else 0
    table["split"] = draw(st.lists(chosen, min_size=n, max_size=n)) if values == "split" else "test"
    return table


def shares_bases(table: pd.DataFrame, n_folds: int, max_shift: int) -> bool:
    """Whether windows of two splits share a base, with training windows shifted as far as allowed."""
    rows = list(table[["chrom", "window_start", "window_end"]].itertuples(index=False, name=None))
    for fold in range(n_folds):
        role = split_for_fold(table, fold, n_folds)
        for i, (chrom, start, end) in enumerate(rows):
            for j, (other, first, last) in enumerate(rows):
                if role[i] != role[j] and chrom == other:
                    reach = max_shift if role[i] == "train" else 0
                    bases = set(range(start - reach, end + reach))
                    if bases & set(range(first, last)):
                        return True
    return False


@given(st.data(), st.sampled_from([1, 2, 3]), st.integers(0, 6))
def test_shared_bases_are_always_found(data, n_folds: int, max_shift: int) -> None:
    table = data.draw(window_tables("split") if n_folds == 1 else window_tables("fold", n_folds))
    if shares_bases(table, n_folds, max_shift):
        with pytest.raises(InputError, match="shares bases"):
            check_overlap(table, n_folds, max_shift)
    else:
        check_overlap(table, n_folds, max_shift)


@given(window_tables("none"), st.sampled_from([3, 4, 5]), st.integers(0, 6))
def test_assigned_folds_never_share_bases(table: pd.DataFrame, n_folds: int, max_shift: int) -> None:
    try:
        dealt, _ = assign_splits(table, by(folds=n_folds), {}, max_shift)
    except InputError as error:
        assert "groups that share no bases" in str(error)
        return
    assert set(dealt["fold"]) == set(range(n_folds)) and dealt["gene_id"].tolist() == table["gene_id"].tolist()
    assert not shares_bases(dealt, n_folds, max_shift)


WAYS: list[dict[str, Any]] = [
    {"val": ["a:1-40", "b:101-140"], "test": ["a:41-80"]},
    {"val": ["a"], "test": ["b:21-90"]},
    {"val_fraction": 0.3, "test": ["a:31-90"]},
    {"val": ["b"], "test_fraction": 0.3},
    {"val_fraction": 0.3, "test_fraction": 0.3},
]


@given(window_tables("none"), st.sampled_from(WAYS), st.integers(0, 6), st.integers(0, 9))
def test_regions_and_fractions_never_share_bases(table: pd.DataFrame, splits: dict, max_shift: int, seed: int) -> None:
    try:
        kept, dropped = assign_splits(table, by(**splits), {"a": 200, "b": 200}, max_shift, seed)
    except InputError as error:
        assert "no genes are left for the split" in str(error) or "nothing is left for training" in str(error)
        return
    assert sorted([*kept["gene_id"], *dropped["gene_id"]]) == sorted(table["gene_id"])
    assert set(dropped["reason"]) <= {"split_border"} and set(kept["split"]) == {"train", "val", "test"}
    assert not shares_bases(kept, 1, max_shift)
    check_overlap(kept, 1, max_shift)
