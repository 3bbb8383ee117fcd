"""Clusters and their representatives are the same in all contrasts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data.motif_database import Motif, write_meme
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import representatives
from cisnake.interpret.motifs.clusters import motif_orientations
from cisnake.interpret.motifs.enrichment import SiteCounts, enrichment_tests, log_p_values, rank_clusters

from ...configured import configured
from .scanned import consensus_motif

ROOT = Path(__file__).parents[3]
WORD = "TGACTCAGCA"
MOTIFS = [consensus_motif("GGGTACCTAT", "z"), consensus_motif(WORD, "a1"), consensus_motif(WORD[:9], "a2")]
NUMBERS = dict.fromkeys(("p_value", "q_value", "odds_ratio", "mean_attribution"), "float") | {"rank": "int", "n_hits": "int"}


def of(with_hit, background=(12, 9, 9), n_peaks=40, n_background=100, motifs=MOTIFS) -> pd.DataFrame:
    hits = np.array(with_hit)
    counts = SiteCounts(n_peaks, n_background, hits, np.zeros_like(hits), np.array(background), hits, hits.astype(float))
    return enrichment_tests(motifs, counts)


def test_the_representative_has_the_smallest_p_value_of_any_contrast():
    tests = {"liver": of([5, 30, 20]), "brain": of([5, 8, 33]), "skin": of([20, 9, 9])}
    table = representatives.name_clusters(MOTIFS, tests)
    assert tuple(table) == representatives.CLUSTER_COLUMNS
    assert table["motif_id"].tolist() == ["a2", "a1", "z"]
    assert table["cluster"].tolist() == [1, 1, 2]
    assert table["representative"].tolist() == ["a2", "a2", "z"]
    assert table["cluster_name"].tolist() == ["A2", "A2", "Z"]
    assert table["best_contrast"].tolist() == ["brain", "liver", "skin"]
    for name, found in tests.items():
        enriched = representatives.enrichment_table(found, table).set_index("motif_id")
        assert tuple(enriched.reset_index().columns) == representatives.ENRICHMENT_COLUMNS
        assert enriched.index.tolist() == found["motif_id"].tolist(), name
        assert enriched.loc[["a1", "a2", "z"], "cluster_name"].tolist() == ["A2", "A2", "Z"]
        assert enriched.loc[["a1", "a2", "z"], "cluster"].tolist() == [1, 1, 2]


def test_equal_p_values_are_decided_by_the_id_whatever_the_order_of_motifs_and_contrasts():
    tests = {"liver": of([5, 20, 3]), "brain": of([5, 3, 20])}
    backward = {
        "brain": of([20, 3, 5], (9, 9, 12), motifs=MOTIFS[::-1]),
        "liver": of([3, 20, 5], (9, 9, 12), motifs=MOTIFS[::-1]),
    }
    one, two = representatives.name_clusters(MOTIFS, tests), representatives.name_clusters(MOTIFS[::-1], backward)
    assert one["representative"].tolist() == ["a1", "a1", "z"]
    # The contrast of z is the first of two with the same p-value.
    pd.testing.assert_frame_equal(one.drop(columns="best_contrast"), two.drop(columns="best_contrast"))


def test_p_values_that_underflow_are_still_compared():
    many = dict(background=[9, 9, 9], n_peaks=4000, n_background=4000)
    tests = {"liver": of([9, 3000, 3999], **many), "brain": of([9, 4000, 9], **many)}
    assert (tests["liver"]["p_value"].iloc[:2] == 0).all()
    assert representatives.name_clusters(MOTIFS, tests)["representative"].iloc[0] == "a1"
    log_p = log_p_values(4000, 4000, np.array([3999, 4000, 9]), np.array([9, 9, 9]))
    assert log_p[1] < log_p[0] < -1000 and np.isfinite(log_p).all() and log_p[2] < 0
    assert (log_p_values(0, 0, np.zeros(2, int), np.zeros(2, int)) == 0).all()


def test_no_motifs_and_no_peaks():
    none = enrichment_tests([], SiteCounts.none(0))
    assert representatives.name_clusters([], {"liver": none}).empty
    table = representatives.name_clusters(MOTIFS, {"liver": enrichment_tests(MOTIFS, SiteCounts.none(3))})
    assert table["representative"].tolist() == ["a1", "a1", "z"]


def test_tests_of_other_motifs_are_rejected():
    with pytest.raises(InputError, match="contrast liver was tested with other motifs: rerun the rule enrich_motifs"):
        representatives.name_clusters(MOTIFS, {"liver": of([5, 20], (9, 9), motifs=MOTIFS[:2])})


def test_orientation_is_that_relative_to_the_representative():
    rng = np.random.default_rng(3)
    matrix = rng.dirichlet(np.full(4, 0.3), 9)
    turned = matrix[::-1, ::-1]
    motifs = [Motif("r", "r", matrix), Motif("t", "t", turned), Motif("s", "s", matrix[1:8]), Motif("u", "u", turned[:7])]
    assert motif_orientations(motifs, 0) == ["+", "-", "+", "-"]
    assert motif_orientations(motifs, 1) == ["-", "+", "-", "+"]
    assert motif_orientations([consensus_motif("GAATTC", "p")] * 2, 0) == ["+", "+"]


def test_clusters_are_ranked_by_their_best_motif_in_the_contrast():
    tests = {"liver": of([30, 9, 12]), "brain": of([5, 20, 30])}
    clusters = representatives.name_clusters(MOTIFS, tests)
    ranked = {name: rank_clusters(representatives.enrichment_table(table, clusters)) for name, table in tests.items()}
    assert ranked["brain"]["cluster_name"].tolist() == ["A2", "Z"] and ranked["brain"]["rank"].tolist() == [1, 2]
    assert ranked["liver"]["cluster_name"].tolist() == ["Z", "A2"] and ranked["liver"]["cluster"].tolist() == [2, 1]
    assert ranked["brain"]["members"].tolist() == ["A2, A1", "Z"]
    expected = tests["brain"]["p_value"].iloc[[0, 2]].tolist()
    assert ranked["brain"]["p_value"].tolist() == expected
    np.testing.assert_allclose(ranked["brain"]["mean_attribution"], 1)


def test_the_program_writes_clusters_and_the_enrichment_of_every_contrast(tmp_path):
    write_meme(MOTIFS, tmp_path / "motifs.meme")
    for name, counts in (("liver", [5, 30, 20]), ("brain", [5, 8, 33])):
        write_table(of(counts), tmp_path / name / "tests.tsv")
    contrasts = {name: {"on_tasks": ["t"]} for name in ("liver", "brain")}
    command = [
        sys.executable, ROOT / "scripts/cluster_motifs.py", *configured(tmp_path, attribution={"contrasts": contrasts}),
        "--motifs", tmp_path / "motifs.meme", "--folder", tmp_path, "--output", tmp_path / "clusters.tsv",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 motifs in 2 clusters" in done.stderr + done.stdout
    clusters = read_table(tmp_path / "clusters.tsv")
    assert clusters["representative"].tolist() == ["a2", "a2", "z"]
    for name in ("liver", "brain"):
        table = read_table(tmp_path / name / "enrichment.tsv", **NUMBERS)
        assert table["rank"].tolist() == [1, 2, 3] and set(table["cluster_name"]) == {"A2", "Z"}
        assert table["motif_id"].tolist() == read_table(tmp_path / name / "tests.tsv")["motif_id"].tolist()
