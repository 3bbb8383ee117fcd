"""Genes of factors and their expression."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake.interpret import Contrast
from cisnake.interpret.motifs import factor_rows, factor_table

TASKS = [f"t{i}" for i in range(5)]
GENES = pd.DataFrame(
    {"gene_id": ["g0", "g1", "g2", "GCN4", "g4"], "gene_name": ["Fos", "JUN", "jun", "", "other"]},
)
LABELS = np.array(
    [[0, 1, 2, 3, 4], [5, np.nan, 5, 5, 5], [1, 1, 1, 1, 9], [np.nan] * 5, [7, 7, 7, 7, 7]], np.float32
)  # fmt: skip


def contrast(i: int) -> Contrast:
    return Contrast(f"c{i}", (f"t{i}",), tuple(task for task in TASKS if task != f"t{i}"), "specificity")


def tables(effect: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return enrichment and effects of a contrast. FOS::JUN was probed; in its cluster, m1 is enriched and m2 is not."""
    enrichment = pd.DataFrame(
        {
            "motif_id": ["m0", "m1", "m2", "m3"], "motif_name": ["FOS::JUN", "GCN4", "OTHER", "JUN"],
            "cluster": ["1", "1", "1", "2"], "q_value": [0.01, 0.05, 0.06, 0.0], "odds_ratio": [9.0, 2.0, 3.0, 4.0],
        }
    )  # fmt: skip
    effects = pd.DataFrame({"motif_id": ["m0"], "motif_name": ["FOS::JUN"], "verdict": ["raises"], "insertion_mean": [effect]})
    effects["insertion_on_mean"] = 0.2 - effect**2
    return enrichment, effects


# The effects on the on-tasks that `tables` gives for those on the score.
ON_EFFECTS = [0.2 - effect**2 for effect in (0.0, 0.1, 0.2, 0.3, 0.4)]


def made(effects=(0.0, 0.1, 0.2, 0.3, 0.4), contrasts=None) -> pd.DataFrame:
    contrasts = contrasts or [contrast(i) for i in range(len(effects))]
    pairs = {c.name: tables(effect) for c, effect in zip(contrasts, effects, strict=True)}
    parts = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    return factor_table(contrasts, *parts, GENES, LABELS, TASKS)


def test_factors_are_those_of_the_name_and_of_enriched_motifs_in_the_cluster():
    table = made()
    assert set(zip(table["factor"], table["gene_id"], strict=True)) == {
        ("FOS", "g0"),
        ("JUN", "g1"),
        ("JUN", "g2"),
        ("GCN4", "GCN4"),
    }
    assert len(table) == 4 * 5


def test_expression_is_the_mean_over_measured_tasks_on_either_side():
    table = made().set_index(["gene_id", "contrast"])
    assert table.loc[("g0", "c1"), ["expression_on", "expression_off"]].tolist() == [1.0, (0 + 2 + 3 + 4) / 4]
    assert np.isnan(table.loc[("g1", "c1"), "expression_on"]) and table.loc[("g1", "c0"), "expression_off"] == 5
    assert np.isnan(table.loc[("GCN4", "c0"), "expression_on"])


def test_correlation_is_that_of_the_effect_on_the_on_tasks_with_their_expression():
    table = made()
    rows = table[table["gene_id"] == "g0"]
    expected = np.corrcoef(range(5), ON_EFFECTS)[0, 1]
    assert rows["pearson"].to_numpy() == pytest.approx(np.full(5, expected)) and set(rows["n_contrasts"]) == {5}
    jun = table[table["gene_id"] == "g2"]
    assert jun["pearson"].iloc[0] == pytest.approx(np.corrcoef([1, 1, 1, 1, 9], ON_EFFECTS)[0, 1])
    # A copy that is constant, and measured in four of five; and a gene that is not measured.
    assert table.loc[table["gene_id"].isin(["g1", "GCN4"]), "pearson"].isna().all()
    assert table.loc[table["gene_id"] == "g1", "n_contrasts"].tolist() == [4] * 5


def test_without_off_tasks_the_effect_is_that_on_the_score():
    alone = [Contrast(f"c{i}", (f"t{i}",), (), "aggregate") for i in range(4)]
    effects = [0.3, 0.1, -0.2, 0.4]
    table = made(effects, alone)
    assert table.loc[table["gene_id"] == "g0", "pearson"].iloc[0] == pytest.approx(np.corrcoef(range(4), effects)[0, 1])


def test_off_tasks_without_measurements_do_not_count_as_zero():
    labels = LABELS.copy()
    labels[0, 1:] = np.nan
    pairs = {contrast(i).name: tables(0.1 * i) for i in range(5)}
    parts = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    table = factor_table([contrast(i) for i in range(5)], *parts, GENES, labels, TASKS).set_index(["gene_id", "contrast"])
    assert np.isnan(table.loc[("g0", "c0"), "expression_off"]) and table.loc[("g0", "c0"), "n_contrasts"] == 1


def test_three_contrasts_are_too_few_for_a_correlation():
    assert made((0.1, 0.5, 0.2))["pearson"].isna().all()


def test_a_contrast_without_other_tasks_has_the_expression_alone():
    table = made((0.1,), [Contrast("all", ("t0", "t4"), (), "aggregate")]).set_index("gene_id")
    assert table.loc["g0", "expression_on"] == 2 and np.isnan(table.loc["g0", "expression_off"])


def test_a_motif_whose_factor_has_no_gene_is_kept():
    effects = pd.DataFrame({"motif_id": ["x"], "motif_name": ["NONE1"], "verdict": ["inert"]})
    effects[["insertion_mean", "insertion_on_mean"]] = 0.0
    table = factor_table([contrast(0)], {"c0": tables(0)[0]}, {"c0": effects}, GENES, LABELS, TASKS)
    assert table[["factor", "gene_id"]].to_numpy().tolist() == [["NONE1", ""]]


def test_nothing_probed_gives_an_empty_table_with_all_columns():
    effects = tables(0)[1].head(0)
    assert list(factor_table([contrast(0)], {"c0": tables(0)[0]}, {"c0": effects}, GENES, LABELS, TASKS)) == list(made())


def test_rows_of_possible_factors_are_found_by_name_or_id():
    assert factor_rows(GENES, ["fos::Jun", "GCN4.H13CORE.0.P.B"]).tolist() == [0, 1, 2, 3]
