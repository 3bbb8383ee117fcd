"""Packed cards keep what they hold, are small, and contain no text that a page could read as HTML."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cisnake.report.cards import pack_card, pack_table
from cisnake.report.cards.card import NO_TASKS, Card

HOSTILE = "</script><!--<script>\"'&é\u2028🧬"


def made_card(length: int = 300) -> Card:
    rng = np.random.default_rng(length)
    places = pd.DataFrame({"start": [1_005, 1_040], "end": [1_012, 1_055]})
    return Card(
        contrast=HOSTILE, gene={"id": HOSTILE, "predicted": 1.23456789, "measured": np.nan, "unseen": True}, chrom="HLA:1",
        start=1_000, end=1_000 + length, focus=(1_002, 1_060), sequence="".join(rng.choice(list("ACGTN"), length)),
        scores=rng.standard_normal(length).astype(np.float32), genes=places.assign(name="A", strand=["+", "-"]),
        peaks=places.assign(name=["+1", "−2"], p_value=[1.23456789e-8, np.nan]), hits=places.assign(name=HOSTILE),
        variants=places.head(0), tasks=NO_TASKS,
    )  # fmt: skip


def unpack(text: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(text, validate=True)))


def test_a_card_is_restored():
    card = made_card()
    found = unpack(pack_card(card))
    assert (found["contrast"], found["gene"]["id"], found["chrom"]) == (HOSTILE, HOSTILE, "HLA:1")
    assert found["gene"]["predicted"] == 1.235 and found["gene"]["measured"] is None and found["gene"]["unseen"] is True
    assert (found["start"], found["end"], found["focus"], found["sequence"]) == (1_000, 1_300, [1_002, 1_060], card.sequence)
    assert np.abs(np.array(found["scores"]) * found["step"] - card.scores).max() <= np.abs(card.scores).max() / 9999
    assert found["peaks"] == {
        "columns": ["start", "end", "name", "p_value"], "rows": [[1005, 1012, "+1", 1.235e-8], [1040, 1055, "−2", None]],
    }  # fmt: skip
    assert found["variants"]["rows"] == [] and found["tasks"]["rows"] == []


def test_no_attribution_is_all_zeros():
    assert set(unpack(pack_card(replace(made_card(), scores=np.zeros(300, np.float32))))["scores"]) == {0}


@pytest.mark.parametrize(("length", "most"), [(600, 4_000), (20_000, 100_000)])
def test_a_card_is_small(length, most):
    scores = (np.random.default_rng(0).standard_normal(length) ** 3).astype(np.float32)
    assert len(pack_card(replace(made_card(length), scores=scores))) < most


def test_the_same_table_gives_the_same_text_without_html():
    table = pd.DataFrame({"name": [HOSTILE, "b"], "value": [0.1234567, np.inf], "n": [1, 2]})
    text = pack_table(table)
    assert text == pack_table(table) and text.isascii() and not set(text) & set("<>&\"'")
    assert unpack(text) == {"columns": ["name", "value", "n"], "rows": [[HOSTILE, 0.1235, 1], ["b", None, 2]]}
