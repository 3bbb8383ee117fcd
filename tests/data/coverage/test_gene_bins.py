import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data.coverage import gene_bins
from cisnake.data.coverage.gene_bins import GeneBins, gene_values
from cisnake.data.coverage.transform import TargetTransform
from cisnake.errors import InputError

BIN, CROP = 4, 6
# Windows of 52 bases on the genome. As in genes.tsv, gene bodies are in the direction of the gene and not clipped.
WINDOWS = pd.DataFrame(
    {
        "gene_id": ["plus", "minus"],
        "chrom": "c",
        "strand": ["+", "-"],
        "start": [125, 80],
        "end": [180, 131],
        "window_start": [100, 100],
        "window_end": [152, 152],
        "mask_start": [25, 21],
        "mask_end": [80, 72],
    }
)
EXONS = pd.DataFrame(
    {
        "gene_id": ["plus", "plus", "minus", "minus", "other"],
        "chrom": ["c", "c", "c", "c", "c"],
        "start": [125, 140, 80, 119, 100],
        "end": [131, 180, 110, 131, 150],
    }
)


def by_base(row, belongs):
    """Return the fraction of bases per bin that belong to the gene, base by base."""
    window = WINDOWS.iloc[row]
    bases = list(range(window["window_start"], window["window_end"]))
    if window["strand"] == "-":
        bases.reverse()
    bases = bases[CROP : len(bases) - CROP]
    return [np.mean([belongs(base) for base in bases[i : i + BIN]]) for i in range(0, len(bases), BIN)]


@pytest.mark.parametrize(
    "region, plus, minus",
    [
        ("tss", lambda base: 118 <= base < 130, lambda base: 125 < base <= 137),
        ("body", lambda base: 125 <= base < 180, lambda base: 80 <= base < 131),
        ("exons", lambda base: 125 <= base < 131 or base >= 140, lambda base: base < 110 or 119 <= base < 131),
    ],
)
def test_weights_are_covered_fractions(region, plus, minus, monkeypatch):
    gene_weights = GeneBins(WINDOWS, region, 7, 5, BIN, CROP, EXONS)
    found = gene_weights(slice(None))
    assert found.shape == (2, 10) and found.dtype == np.float32
    np.testing.assert_allclose(found, [by_base(0, plus), by_base(1, minus)])
    np.testing.assert_array_equal(gene_weights(slice(1, 2)), found[1:])
    # The block size does not matter.
    monkeypatch.setattr(gene_bins, "_BLOCK_NUMBERS", 1)
    np.testing.assert_array_equal(gene_weights(slice(None)), found)
    assert gene_weights.present().tolist() == [True, True]


def test_present_finds_genes_without_bins():
    gene_weights = GeneBins(WINDOWS.assign(mask_start=[25, 2]), "tss", 2, 2, BIN, CROP)
    assert gene_weights.present().tolist() == [True, False]
    assert GeneBins(WINDOWS, "exons", 0, 0, BIN, CROP, EXONS.iloc[:2]).present().tolist() == [True, False]
    assert GeneBins(WINDOWS.iloc[:0], "body", 0, 0, BIN, CROP).present().tolist() == []


def test_invalid_regions_are_errors():
    with pytest.raises(InputError, match="there are no exons"):
        GeneBins(WINDOWS, "exons", 0, 0, BIN, CROP)
    with pytest.raises(InputError, match=r"unknown targets\.gene_score\.region 'exon': did you mean exons"):
        GeneBins(WINDOWS, "exon", 0, 0, BIN, CROP)


def test_gene_values_invert_the_transform_and_sum_weighted_bins():
    transform = TargetTransform(scale=(0.5, 2.0), power=0.75, clip_soft=(4.0, np.inf))
    rng = np.random.default_rng(0)
    coverage, weights = rng.gamma(0.5, 20.0, (5, 9, 2)), rng.choice([0, 0.25, 1], (5, 9))
    expected = np.log2(1 + np.stack([weights[i] @ coverage[i] for i in range(5)]))
    transformed = transform.forward(coverage)
    np.testing.assert_allclose(gene_values(transformed, weights, transform), expected, rtol=1e-9)
    on_tensors = gene_values(
        keras.ops.convert_to_tensor(transformed, "float64"),
        keras.ops.convert_to_tensor(weights, "float64"),
        transform,
        keras.ops,
    )
    np.testing.assert_allclose(on_tensors, expected, rtol=1e-9)


def test_negative_predictions_count_as_zero():
    transform = TargetTransform(power=0.5)
    below = np.array([[[-3.0], [1.0], [-0.5]]])
    np.testing.assert_array_equal(
        gene_values(below, np.ones((1, 3)), transform), gene_values(np.maximum(below, 0), np.ones((1, 3)), transform)
    )
