import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd

from cisnake.report.page.trust import count_quality, draw_quality


def checks(n: int = 8, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    table = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n)], "prediction": "good", "completeness": np.nan})
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


def test_only_genes_with_a_measurement_are_counted() -> None:
    table = checks(4, prediction=["good", "poor", "poor", "not_measured"], ism=[0.2, np.nan, 0.6, np.nan])
    counted = count_quality(table)
    assert (counted["n_poor"], counted["n_measured"], counted["n_checked"]) == (2, 3, 2)
    assert counted["ism"] == 0.4 and np.isnan(counted["completeness"])
