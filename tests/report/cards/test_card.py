"""Cards of genes are the same for both strands, and cover the right region."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake import files
from cisnake.data.genome.bases import decode, reverse_complement
from cisnake.report.cards import card
from cisnake.report.cards.card import make_card, read_strongest_effects
from cisnake.report.cards.shown_genes import ShownGene
from cisnake.report.peak_labels import PeakLabel

LENGTH = 60
RNG = np.random.default_rng(8)
# The forward strand at chr1:100-160.
CODES = RNG.integers(0, 5, LENGTH).astype(np.int8)
SCORES = RNG.standard_normal(LENGTH).astype(np.float32)
GENES = pd.DataFrame(
    {
        "gene_id": ["g", "touches", "inside", "far", "other"], "gene_name": ["Name", "", "In", "Far", "Oth"],
        "chrom": ["chr1"] * 4 + ["chr2"], "start": [150, 50, 110, 200, 100], "end": [170, 100, 120, 300, 160],
        "strand": ["+", "-", "-", "+", "+"],
    }
)  # fmt: skip
PEAKS = pd.DataFrame(
    {"peak_id": ["p", "q"], "start": [110, 130], "end": [118, 139], "attribution": [1.234567, -0.5], "p_value": [1e-9, np.nan]}
)
HITS = pd.DataFrame(
    {
        "start": [112, 113, 114, 115, 131], "end": [118, 119, 120, 121, 137], "strand": list("++-+-"),
        "motif_id": list("abcde"), "motif_name": list("ABCDE"), "peak_id": ["p"] * 4 + ["q"],
        "p_value": [1e-5, 1e-7, 1e-6, 1e-4, 1e-4], "cluster": ["1", "2", "2", "3", "4"], "cluster_name": list("ACCDE"),
        "enriched": [True, False, False, False, False],
    }
)  # fmt: skip
VARIANTS = pd.DataFrame(
    {
        "variant_id": ["v", "w"], "start": [120, 125], "end": [121, 126], "ref": ["A", "ACGTACGTACGT"], "alt": ["G", "A"],
        "gene_id": "g", "task": ["t <1>", "u"], "effect_mean": [0.5, -0.25],
    }
)  # fmt: skip
FOUR_GENES = GENES.head(4)


def view(strand: str = "+", region: tuple[int, int] = (108, 120), genes: pd.DataFrame = FOUR_GENES, **options) -> card.Card:
    """Return the card of a gene on one of the strands of the same genome."""

    def oriented(table: pd.DataFrame) -> pd.DataFrame:
        first, last = (table["start"] - 100, table["end"] - 100)
        if strand == "-":
            first, last = LENGTH - last, LENGTH - first
        return table.drop(columns=["start", "end"]).assign(window_start=first, window_end=last)

    forward = strand == "+"
    hits = oriented(HITS)
    hits["orientation"] = hits.pop("strand") if forward else hits.pop("strand").map({"+": "-", "-": "+"})
    window = pd.Series(
        {
            "gene_id": "g", "chrom": "chr1", "start": 100, "end": 160, "strand": strand, "mask_start": 50, "split": "test",
            "unseen": True, "prediction": "poor", "predicted": 1.5, "measured": np.nan,
        }
    )  # fmt: skip
    low, high = (region[0] - 100, region[1] - 100)
    arguments = {
        "codes": CODES if forward else reverse_complement(CODES), "scores": SCORES if forward else SCORES[::-1],
        "region": (low, high) if forward else (LENGTH - high, LENGTH - low), "peaks": oriented(PEAKS), "hits": hits,
        "variants": VARIANTS,
    }  # fmt: skip
    return make_card(
        "liver", ShownGene(window, **(arguments | options)), genes, {"p": PeakLabel("RAP1 →", True, "B, p = 1e−07")}
    )


@pytest.mark.parametrize("strand", "+-")
def test_a_card_is_on_the_forward_strand(strand):
    found = view(strand)
    assert (found.chrom, found.start, found.end, found.focus) == ("chr1", 100, 160, (108, 120))
    assert found.sequence == decode(CODES) and np.array_equal(found.scores, SCORES)
    assert (found.gene["id"], found.gene["name"], found.contrast) == ("g", "Name", "liver")
    # The 51st base of the window, counted on the strand of the gene.
    assert found.gene["tss"] == (150 if strand == "+" else 109) and found.gene["window"] == [100, 160]
    assert list(found.peaks["motif"]) == ["RAP1 →", ""] and list(found.peaks["enriched"]) == [True, False]
    assert list(found.peaks["best_hit"]) == ["B, p = 1e−07", ""]
    assert found.peaks[["start", "end", "name"]].to_numpy().tolist() == [[110, 118, "+1.23"], [130, 139, "−0.5"]]
    assert list(found.peaks["color"]) == [card.BLUE, card.VERMILION]
    hits = found.hits.sort_values("start")
    # The best hit of each cluster, named after the cluster.
    assert hits[["start", "end", "name", "motif", "strand"]].to_numpy().tolist() == [
        [112, 118, "A", "A, a", "+"], [113, 119, "C", "B, b", "+"], [115, 121, "D", "D, d", "+"], [131, 137, "E", "E, e", "-"],
    ]  # fmt: skip
    assert list(found.variants["name"]) == ["A>G +0.5", "ACGTAC…12>A −0.25"] and list(found.variants["start"]) == [120, 125]
    assert list(found.genes["gene_id"]) == ["g", "inside"], "a gene that ends where the window begins is not shown"
    assert list(found.genes["strand"]) == ["+", "-"] and found.genes["color"].nunique() == 2


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(("region", "expected"), [((100, 104), (100, 120)), ((156, 160), (140, 160)), ((128, 134), (121, 141))])
def test_a_long_window_is_cropped_around_the_region(monkeypatch, strand, region, expected):
    monkeypatch.setattr(card, "MAX_SHOWN_BASES", 20)
    found = view(strand, region)
    start, end = expected
    assert (found.start, found.end, found.focus) == (start, end, region)
    assert found.sequence == decode(CODES[start - 100 : end - 100])
    assert np.array_equal(found.scores, SCORES[start - 100 : end - 100])
    for shown, everything in ((found.peaks, PEAKS), (found.variants, VARIANTS)):
        inside = (everything["start"] < end) & (everything["end"] > start)
        assert list(shown["start"]) == list(everything.loc[inside, "start"])


def test_a_gene_without_peaks_hits_variants_and_annotation():
    found = view(peaks=PEAKS.assign(window_start=0, window_end=0).head(0), hits=None, variants=None, genes=GENES.iloc[3:4])
    assert found.gene["name"] == "g" and not len(found.peaks) + len(found.hits) + len(found.variants) + len(found.genes)
    assert np.array_equal(view(scores=np.where(SCORES > 0, np.nan, SCORES)).scores, np.minimum(SCORES, 0))


def test_variants_of_the_genes_are_read_in_their_strongest_task(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_ROWS", 3)
    rows = [
        ("v1", "1", "10", "11", "A", "G", "NA", "ok", "t1", "0.5"), ("v1", "1", "10", "11", "A", "G", "NA", "ok", "t2", "-0.7"),
        ("v1", "1", "10", "11", "A", "T", "NA", "ok", "t1", "0.1"), ("v0", "1", "5", "6", "A", "T", "NA", "ok", "t1", "-0.1"),
        ("v2", "1", "20", "21", "A", "T", "NA", "outside", "", ""), ("v1", "1", "10", "11", "A", "G", "h", "ok", "t1", "0.9"),
        ("v3", "1", "10", "11", "A", "G", "", "outside", "", ""),
    ]  # fmt: skip
    columns = ["variant_id", "chrom", "start", "end", "ref", "alt", "gene_id", "status", "task", "effect_mean"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "effects.tsv", sep="\t", index=False)
    found = read_strongest_effects(tmp_path / "effects.tsv", ["NA", "z"])
    assert found[["variant_id", "alt", "task", "effect_mean"]].to_numpy().tolist() == [
        ["v0", "T", "t1", -0.1], ["v1", "G", "t2", -0.7], ["v1", "T", "t1", 0.1],
    ]  # fmt: skip
    assert found["start"].tolist() == [5, 10, 10] and read_strongest_effects(tmp_path / "effects.tsv", []).empty
