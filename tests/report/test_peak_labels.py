"""Peaks are named after the cluster of their best hit among enriched clusters."""

from __future__ import annotations

import pandas as pd
import pytest

from cisnake.report import peak_labels

# FOS is enriched by its member JUND only; TBP and SP1 are not, SP1 for its odds ratio.
ENRICHMENT = pd.DataFrame(
    {
        "motif_id": ["M0", "M1", "M2", "M3", "M4", "M5"], "cluster": ["1", "2", "2", "3", "4", "1"],
        "cluster_name": ["ETS1", "FOS", "FOS", "TBP", "SP1", "ETS1"], "cluster_orientation": list("++-++-"),
        "rank": [1.0, 9.0, 2.0, 7.0, 3.0, 8.0], "q_value": [0.0, 0.9, 0.05, 0.051, 0.0, 0.9],
        "odds_ratio": [3.0, 1.0, 1.1, 2.0, 1.0, 1.0],
    }
)  # fmt: skip
NAMES = {"M0": "ETS1", "M1": "FOS", "M2": "JUND", "M3": "TBP", "M4": "SP1", "M5": "ELK1", "M9": "NEW"}


def hits(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["peak_id", "motif_id", "orientation", "p_value"])
    return table.assign(motif_name=table["motif_id"].map(NAMES))


ROWS = [
    ("a", "M3", "+", 1e-9), ("a", "M1", "-", 1e-5), ("a", "M2", "+", 1e-6),
    ("b", "M1", "+", 1e-4), ("b", "M5", "+", 1e-8), ("c", "M4", "+", 1e-7), ("c", "M3", "-", 1e-8), ("d", "M9", "+", 1e-4),
    ("e", "M5", "-", 1e-5), ("e", "M0", "+", 1e-5), ("f", "M0", "+", 1e-5), ("f", "M1", "+", 1e-7),
]  # fmt: skip
EXPECTED = {
    # A member of an enriched cluster counts, and its orientation is turned to that of the representative.
    "a": ("FOS ←", True, "TBP, p = 1.0e−09"),
    "b": ("ETS1 ←", True, "ELK1, p = 1.0e−08"),
    "c": ("other motif: TBP ←", False, "TBP, p = 1.0e−08"),
    "d": ("other motif: NEW →", False, "NEW, p = 0.00010"),
    # FOS ranks below ETS1, but its hit is better.
    "f": ("FOS →", True, "FOS, p = 1.0e−07"),
    # Equal p-values are decided by the id.
    "e": ("ETS1 →", True, "ETS1, p = 1.0e−05"),
}


@pytest.mark.parametrize("seed", range(3))
def test_the_best_hit_of_an_enriched_cluster_names_the_peak_whatever_the_other_hits(seed):
    table = hits(*ROWS).sample(frac=1, random_state=seed)
    labels = peak_labels.label_peaks(peak_labels.add_clusters(table, ENRICHMENT))
    assert {peak: (label.text, label.enriched, label.best_hit) for peak, label in labels.items()} == EXPECTED


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_give_the_same_labels(size):
    table = hits(*ROWS).sample(frac=1, random_state=7)
    chunks = [table.iloc[first : first + size] for first in range(0, len(table), size)]
    best = peak_labels.best_cluster_hits([*chunks, hits(("", "M0", "+", 1e-9))], ENRICHMENT)
    assert peak_labels.label_peaks(best) == peak_labels.label_peaks(peak_labels.add_clusters(table, ENRICHMENT))
    assert sorted(zip(best["peak_id"], best["motif_id"], strict=True)) == [
        ("a", "M2"), ("a", "M3"), ("b", "M1"), ("b", "M5"), ("c", "M3"), ("c", "M4"), ("d", "M9"), ("e", "M0"),
        ("f", "M0"), ("f", "M1"),
    ]  # fmt: skip


def test_strands_are_those_of_the_representative():
    table = hits(("a", "M1", "+", 0.1), ("a", "M2", "+", 0.1)).assign(strand=["-", "-"])
    assert peak_labels.add_clusters(table, ENRICHMENT)[["orientation", "strand"]].to_numpy().tolist() == [
        ["+", "-"],
        ["-", "+"],
    ]


def test_no_hits_give_no_labels():
    none = hits().astype({"p_value": float})
    assert peak_labels.label_peaks(peak_labels.add_clusters(none, ENRICHMENT)) == {}
    assert peak_labels.best_cluster_hits([none], ENRICHMENT).empty


def test_hits_are_ordered_by_enriched_cluster_and_then_by_p_value():
    table = peak_labels.order_hits(peak_labels.add_clusters(hits(*ROWS), ENRICHMENT))
    assert table["p_value"].iloc[:8].is_monotonic_increasing and table["p_value"].iloc[8:].is_monotonic_increasing
    assert set(table["cluster_name"].iloc[:8]) == {"ETS1", "FOS"}
    assert table["cluster_name"].iloc[8:].tolist() == ["TBP", "TBP", "SP1", "NEW"] and not table["enriched"].iloc[8:].any()
