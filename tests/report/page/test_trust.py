import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd

from cisnake.report.page.trust import count_quality, draw_quality


def checks(n: int = 8, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    table = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n)], "prediction": "correct", "completeness": np.nan})
    table = table.assign(replicates=rng.uniform(0.5, 0.9, n), strands=0.8, ism=0.7, random_weights=rng.normal(0, 0.05, n))
    return table.assign(**columns)


def test_checks_are_drawn_for_each_contrast() -> None:
    svg = ElementTree.fromstring(draw_quality({"a & b": checks(), "c": checks(5, replicates=np.nan)}))
    text = " ".join(svg.itertext())
    for label in ("a & b", "between replicates", "between strands", "with mutagenesis", "with random weights"):
        assert label in text
    alone = " ".join(ElementTree.fromstring(draw_quality({"c": checks(5, replicates=np.nan)})).itertext())
    assert "between replicates" not in alone and "between strands" in alone
    nothing = dict.fromkeys(("replicates", "strands", "ism", "random_weights"), np.nan)
    assert draw_quality({"c": checks(5, **nothing)}) == "" == draw_quality({})


def test_only_measured_genes_that_the_model_has_not_seen_are_counted() -> None:
    table = checks(6, prediction=["correct", "poor", "poor", "not_measured", "correct", "correct"])
    table = table.assign(ism=[0.2, np.nan, 0.6, np.nan, np.nan, np.nan])
    windows = pd.DataFrame({"split": ["test"] * 4 + ["train", "val"], "measured": [1.0, 2.0, 3.0, np.nan, 9.0, 4.0]})
    counted = count_quality(table, windows.assign(predicted=[1.0, 3.0, 2.0, 4.0, 9.0, 5.0]))
    assert (counted["n_correct"], counted["n_measured"], counted["n_checked"]) == (2, 4, 2)
    # Of four genes, one or two are in each third, whatever their values.
    assert counted["by_chance"] == (1 + 4 + 1) / 16
    assert counted["ism"] == 0.4 and np.isnan(counted["completeness"])
