import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from cisnake.data.genome.bases import decode
from cisnake.evaluate.coverage_baselines import BinRidge, Tiles, TrainMean, TssProfile, nearest_signed

PAD, CROP, BIN, BINS, TASKS = 3, 8, 4, 10, 2
RNG = np.random.default_rng(0)


def tiles(n, chrom="c", start=None):
    codes = RNG.integers(0, 5, (n, 2 * PAD + 2 * CROP + BIN * BINS)).astype(np.int8)
    start = RNG.integers(-20, 900, n) if start is None else np.asarray(start)
    return Tiles(np.array([chrom] * n, object), start, codes, PAD, CROP, BIN, BINS)


def labels(n):
    values = RNG.gamma(1.0, 2.0, (n, BINS, TASKS)).astype(np.float32)
    values[RNG.random(values.shape) < 0.1] = np.nan
    return values


def test_distance_to_the_nearest_tss_is_signed_by_its_strand():
    starts, strand = np.array([10, 30, 31]), np.array([1, -1, 1])
    position = np.arange(-5, 60)
    expected = []
    for p in position:
        i = min(range(3), key=lambda i: abs(p - starts[i]))
        expected.append((p - starts[i]) * strand[i])
    assert nearest_signed(position, starts, strand).tolist() == expected


def test_the_mean_and_the_profile_use_all_measured_training_bins():
    genes = pd.DataFrame({"chrom": ["c", "c", "c"], "strand": ["+", "-", "+"], "tss": [500, 120, 780]})
    blocks = [(tiles(7), labels(7)), (tiles(5), labels(5)), (tiles(2, "other"), labels(2))]
    mean, profile = TrainMean(TASKS), TssProfile(genes, BIN, TASKS, reach=40)
    by_class: dict = {}
    everything = []
    for block, y in blocks:
        mean.add(block, y)
        profile.add(block, y)
        everything.append(y.reshape(-1, TASKS))
        for row in range(len(y)):
            for b in range(BINS):
                by_class.setdefault(distance_class(block, row, b, genes), []).append(y[row, b])
    total = np.nanmean(np.concatenate(everything).astype(np.float64), axis=0)
    held_out = tiles(20)
    np.testing.assert_allclose(mean.predict(held_out), np.broadcast_to(total, (20, BINS, TASKS)))
    expected = np.empty((20, BINS, TASKS))
    for row in range(20):
        for b in range(BINS):
            seen = np.array(by_class.get(distance_class(held_out, row, b, genes), np.full((1, TASKS), np.nan)), np.float64)
            known = np.isfinite(seen)
            expected[row, b] = np.where(known.any(axis=0), np.nansum(seen, axis=0) / np.maximum(known.sum(axis=0), 1), total)
    np.testing.assert_allclose(profile.predict(held_out), expected)


def distance_class(block, row, b, genes):
    if block.chrom[row] != "c":
        return "nowhere"
    middle = block.start[row] + CROP + BIN * b + BIN // 2
    near = genes.loc[(genes["tss"] - middle).abs().sort_values(kind="stable").index[0]]
    distance = (middle - near["tss"]) * (1 if near["strand"] == "+" else -1)
    return "upstream" if distance < -40 else "downstream" if distance >= 40 else distance // BIN


@pytest.mark.parametrize("counts", ["log1p", "counts"])
def test_the_ridge_does_not_depend_on_the_blocks(counts):
    blocks = [(tiles(9), labels(9)), (tiles(6), labels(6))]
    ours = BinRidge(TASKS, k=2, counts=counts, penalty=3.0, span=11)
    for block, y in blocks:
        ours.add(block, y)
    held_out = tiles(4)
    x = np.concatenate([words(block, counts) for block, _ in blocks])
    y = np.concatenate([y.reshape(-1, TASKS) for _, y in blocks])
    known = np.isfinite(y).all(axis=1)
    expected = Ridge(alpha=3.0).fit(x[known], y[known]).predict(words(held_out, counts))
    np.testing.assert_allclose(ours.predict(held_out).reshape(-1, TASKS), expected, rtol=1e-4, atol=1e-5)


def words(block, counts):
    """Count canonical 2-mers in the 11 bases centred on each bin, from strings."""
    kinds = sorted({min(word, complement(word)) for a in "ACGT" for b in "ACGT" for word in [a + b]})
    rows = []
    for codes in block.codes:
        text = "N" * 50 + decode(codes) + "N" * 50
        for b in range(BINS):
            first = 50 + PAD + CROP + BIN * b + (BIN - 11) // 2
            around = text[first : first + 11]
            found = [around[i : i + 2] for i in range(10) if "N" not in around[i : i + 2]]
            rows.append([sum(min(word, complement(word)) == kind for word in found) for kind in kinds])
    return np.log1p(rows) if counts == "log1p" else np.array(rows, float)


def complement(word):
    return "".join("TGCA"["ACGT".index(base)] for base in reversed(word))


def test_sampled_bins_are_spread_over_all_blocks():
    ours = BinRidge(TASKS, k=2, counts="log1p", penalty=1.0, span=11, sample=0.3)
    for _ in range(10):
        ours.add(tiles(1), np.zeros((1, BINS, TASKS), np.float32))
    assert ours._n == 30
