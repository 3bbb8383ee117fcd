"""Fit a table of words to the training genes of a fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cisnake.data.dataset import LabelScale
from cisnake.program import log
from cisnake.words.kmers import add_reverse_complements, spread_to_strands
from cisnake.words.parts import squared_errors
from cisnake.words.ridge import EXACT, PENALTIES, Ridge
from cisnake.words.table import WordBlock, WordTable, count_words

# Imputing missing labels less exactly is enough to compare penalties.
_ROUGH = 1e-2
# Weight of words in a reading frame, relative to others: there are few of them, and codons matter.
_FRAME_WEIGHT = 3.0


def fit_words(codes: dict[str, np.ndarray], labels: dict[str, np.ndarray], blocks: Sequence[WordBlock]) -> WordTable:
    """Fit a ridge regression to the words of training genes, and choose its penalties on validation genes.

    Labels are standardised. Two regressions share their predictors: one of the mean over tasks, and one of the deviations of
    tasks from it. Each has the penalty with the smallest squared error over validation genes, so that what tasks have in
    common does not decide how the differences between them are predicted. Counts are divided by the root of their mean
    plus 1/2, about the standard deviation of a count, so that frequent and rare words are penalised alike.

    Parameters
    ----------
    codes: dict of str to numpy.ndarray, shape=(n, length), dtype=int8
        Windows of the "train" and "val" genes.
    labels: dict of str to numpy.ndarray, shape=(n, tasks)
        Their labels, NaN where missing.
    blocks: sequence of WordBlock

    Returns
    -------
    WordTable
    """
    counts = {name: _predictors(count_words(windows, blocks), blocks) for name, windows in codes.items()}
    scale = LabelScale.of(labels["train"])
    train, val = (scale.standardize(labels[name]) for name in ("train", "val"))
    # A task without training labels is predicted as 0.
    unknown = ~np.isfinite(train).any(axis=0)
    train[:, unknown], val[:, unknown] = 0.0, np.nan
    weights = _weights(counts["train"], blocks)
    ridge = Ridge(counts["train"] * weights)
    rotated = ridge.rotate(counts["val"] * weights)
    chosen, errors, filled = [PENALTIES[-1]] * 2, [np.inf] * 2, None
    # From the largest penalty on: the imputed labels of one are a good start for the next.
    for penalty in reversed(PENALTIES):
        filled = ridge.fill_missing(train, penalty, _ROUGH, filled)
        for part, error in enumerate(squared_errors(val, ridge.predict(filled, rotated, penalty))):
            if error < errors[part]:
                chosen[part], errors[part] = penalty, error
    coefficients, mean = _fit_parts(ridge, train, *chosen)
    coefficients *= weights[:, None]
    intercept = mean - counts["train"].mean(axis=0, dtype=np.float64) @ coefficients
    table = _entries(coefficients, blocks).astype(np.float32)
    total = squared_errors(val, np.zeros(val.shape))
    explained = [1 - error / sum_of_squares if sum_of_squares else 0.0 for error, sum_of_squares in zip(errors, total)]
    log.info(
        "%d words; penalty %g for the mean over tasks, %g for differences between tasks; of the variance of validation genes "
        "they explain %.0f%% and %.0f%%",
        *(len(table), *chosen, *(100 * share for share in explained)),
    )
    return WordTable(tuple(blocks), table, intercept.astype(np.float32), *chosen)


def _fit_parts(ridge: Ridge, labels: np.ndarray, *penalties: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit the mean over tasks with the first penalty, and the deviations with the second.

    Returns the sums over both regressions of the coefficients, shape=(words, tasks), and of the mean labels, shape=(tasks,).
    The mean includes imputed labels, because genes with and without a label can differ.
    """
    filled = [ridge.fill_missing(labels, penalty, EXACT) for penalty in penalties]
    fitted = [np.vstack([ridge.coefficients(x, penalty), x.mean(axis=0)]) for x, penalty in zip(filled, penalties, strict=True)]
    total = fitted[0].mean(axis=1, keepdims=True) + fitted[1] - fitted[1].mean(axis=1, keepdims=True)
    return total[:-1], total[-1]


def _predictors(counts: np.ndarray, blocks: Sequence[WordBlock]) -> np.ndarray:
    """Return counts in which canonical words are counted together with their reverse complements."""
    ends = np.cumsum([4**block.k for block in blocks])[:-1]
    parts = zip(blocks, np.split(counts, ends, axis=1), strict=True)
    return np.concatenate([add_reverse_complements(part) if block.canonical else part for block, part in parts], axis=1)


def _entries(coefficients: np.ndarray, blocks: Sequence[WordBlock]) -> np.ndarray:
    """Return the entries of all words from the coefficients of the predictors."""
    parts = np.split(coefficients, np.cumsum([_n_predictors(block) for block in blocks])[:-1])
    return np.concatenate(
        [spread_to_strands(part, block.k) if block.canonical else part for block, part in zip(blocks, parts, strict=True)]
    )


def _n_predictors(block: WordBlock) -> int:
    palindromes = 2**block.k if block.k % 2 == 0 else 0
    return (4**block.k + palindromes) // 2 if block.canonical else 4**block.k


def _weights(counts: np.ndarray, blocks: Sequence[WordBlock]) -> np.ndarray:
    frame = np.concatenate([np.full(_n_predictors(block), _FRAME_WEIGHT if block.step == 3 else 1.0) for block in blocks])
    return frame / np.sqrt(counts.mean(axis=0, dtype=np.float64) + 0.5)
