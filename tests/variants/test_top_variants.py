"""The chosen variants against plain sorting of the whole table."""

import numpy as np
import pandas as pd
import pytest

from cisnake import files
from cisnake.errors import InputError
from cisnake.files import write_table
from cisnake.variants.top_variants import choose_top_variants


def effects_table(rng, n_variants=40, tasks=("liver", "brain", "skin"), q=True):
    rows = []
    for i in range(n_variants):
        place = {"variant_id": "rs1", "chrom": "chr1", "start": 10 * i, "end": 10 * i + 1, "ref": "A", "alt": "CGT"[i % 3]}
        if i % 9 == 0:
            rows.append(place | {"gene_id": "", "status": "outside", "task": ""})
            continue
        for gene in range(1 + i % 4):
            for task in tasks:
                # Few different values, so that there are ties.
                effect = {"effect_mean": rng.integers(-4, 5) / 4, "effect_sd": 0.1}
                significance = {"p_value": 0.5, "q_value": rng.integers(1, 4) / 20, "percentile": 50.0} if q else {}
                told = {"gene_id": f"g{gene}", "status": "ok", "from_tss": -5, "task": task}
                rows.append(place | told | effect | significance)
    return pd.DataFrame(rows)


def chosen_plainly(table, number):
    best = {}
    for row in table[table["gene_id"] != ""].to_dict("records"):
        pair = row["start"], row["gene_id"]
        if pair not in best or abs(row["effect_mean"]) > abs(best[pair]["effect_mean"]):
            best[pair] = row
    order = {pair: (row.get("q_value", 0), -abs(row["effect_mean"]), *pair) for pair, row in best.items()}
    taken, kept = set(), []
    for pair in sorted(order, key=order.get):
        if pair[0] not in taken:
            taken.add(pair[0])
            kept.append((*pair, best[pair]["task"]))
    return kept[:number]


@pytest.mark.parametrize("q", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 7, 10_000])
def test_the_lowest_q_then_the_largest_effect_in_chunks_of_any_size(tmp_path, monkeypatch, rows, q):
    table = effects_table(np.random.default_rng(4), q=q)
    write_table(table, tmp_path / "effects.tsv")
    monkeypatch.setattr(files, "CHUNK_ROWS", rows)
    top = choose_top_variants(tmp_path / "effects.tsv", 15)
    expected = chosen_plainly(table, 15)
    assert list(top[["start", "gene_id", "task"]].itertuples(index=False, name=None)) == expected and len(top) == 15
    assert top["q_value"].notna().all() if q else top["q_value"].isna().all()
    assert top["start"].dtype == top["from_tss"].dtype == np.int64


def test_long_alleles_and_tables_without_effects_give_no_variant(tmp_path):
    table = effects_table(np.random.default_rng(4), n_variants=3)
    table.loc[table["start"] == 10, "alt"] = "A" * 51
    table.loc[table["start"] == 20, "ref"] = "A" * 50
    write_table(table, tmp_path / "effects.tsv")
    assert set(choose_top_variants(tmp_path / "effects.tsv", 9)["start"]) == {20}
    write_table(table.iloc[:1], tmp_path / "effects.tsv")
    assert choose_top_variants(tmp_path / "effects.tsv", 9).empty


def test_a_file_that_is_not_a_table_of_effects_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"effects\.tsv cannot be read as a table"):
        choose_top_variants(tmp_path / "effects.tsv", 9)
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "effects.tsv")
    with pytest.raises(InputError, match=r"effects\.tsv cannot be read as a table"):
        choose_top_variants(tmp_path / "effects.tsv", 9)
