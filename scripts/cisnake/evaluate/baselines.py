"""Baselines for gene-level models: the training mean, and the best ridge regression on k-mer counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cisnake.evaluate.scores import pearson
from cisnake.sections import BaselineSection
from cisnake.words import EXACT, PENALTIES, WORDS, Ridge, count_kmers, kmer_features

# Bases upstream of the anchor that count as promoter.
_PROMOTER = 500
# Imputing missing labels less exactly is enough to compare penalties.
_ROUGH = 1e-2

Codes = Callable[[np.ndarray, int, int], np.ndarray]


def train_mean(train_labels: np.ndarray, n: int) -> np.ndarray:
    """Predict each task's mean over its measured training genes, for `n` genes.

    Parameters
    ----------
    train_labels: numpy.ndarray, shape=(n_train, tasks)
        NaN for missing values.
    n: int

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float64

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import train_mean
    >>> train_mean(np.array([[1.0, 4.0], [2.0, np.nan]]), 2).tolist()
    [[1.5, 4.0], [1.5, 4.0]]
    """
    measured = np.isfinite(train_labels)
    total = np.where(measured, train_labels, 0.0).sum(axis=0, dtype=np.float64)
    # 0 / 0: a task without measurements has no mean.
    with np.errstate(invalid="ignore"):
        return np.broadcast_to(total / measured.sum(axis=0), (n, train_labels.shape[1]))


@dataclass(frozen=True)
class KmerRidge:
    """A ridge regression on k-mer counts, as chosen on validation genes.

    Attributes
    ----------
    upstream, downstream: int
        Bases on either side of the anchor in which k-mers are counted; `downstream` includes the anchor base.
    words: str
        "stranded": each k-mer by itself. "canonical": a k-mer and its reverse complement count as one.
    penalty: float
        Weight of the sum of squared coefficients.
    val_pearson: float
        Pearson correlation over validation genes; the median over tasks if there are several. NaN where undefined.
    """

    upstream: int
    downstream: int
    words: str
    penalty: float
    val_pearson: float


def candidate_windows(baseline: BaselineSection, upstream: int, downstream: int) -> list[tuple[int, int]]:
    """Return the windows to count k-mers in, as bases upstream and downstream of the anchor.

    Parameters
    ----------
    baseline: BaselineSection
        `window`: "best" for promoter and whole window, "promoter", or "whole"; `upstream` and `downstream` replace it.
    upstream, downstream: int
        The window of a gene.

    Examples
    --------
    >>> from cisnake import configuration
    >>> from cisnake.evaluate import candidate_windows
    >>> candidate_windows(configuration.section("evaluate.baseline"), 2000, 1000)
    [(500, 0), (2000, 1000)]
    """
    promoter, whole = (min(_PROMOTER, upstream), 0), (upstream, downstream)
    if baseline.upstream is not None or baseline.downstream is not None:
        return [(promoter[0] if baseline.upstream is None else baseline.upstream, baseline.downstream or 0)]
    windows = {"promoter": [promoter], "whole": [whole], "best": [promoter, whole]}[baseline.window]
    # A window that begins at the anchor has no promoter.
    return [window for window in dict.fromkeys(windows) if sum(window) >= baseline.k] or [whole]


def fit_kmer_ridges(
    codes: Codes,
    labels: np.ndarray,
    groups: np.ndarray,
    roles: dict[str, np.ndarray],
    windows: list[tuple[int, int]],
    baseline: BaselineSection,
) -> tuple[np.ndarray, list[KmerRidge]]:
    """Fit ridge regressions to training genes, choose among them by validation genes, and predict.

    Tasks of one group share a window, a kind of words and a penalty: those with the highest median correlation over
    validation genes. Groups choose independently.

    Parameters
    ----------
    codes: callable
        Returns the bases of genes (rows of `labels`) from `upstream` bases before the anchor to `downstream` bases from it:
        shape=(n, upstream + downstream), dtype=int8.
    labels: numpy.ndarray, shape=(genes, tasks)
        NaN for missing values.
    groups: numpy.ndarray, shape=(tasks,), dtype=int
        Group of each task, numbered from 0.
    roles: dict of str to numpy.ndarray of int
        Rows of the genes "train", "val" and "predicted".
    windows: list of tuple of int
        As `candidate_windows` returns them.
    baseline: BaselineSection
        `k`, `counts`, `words` ("best" for both kinds) and `alpha` ("auto" for all `PENALTIES`).

    Returns
    -------
    predictions: numpy.ndarray, shape=(predicted, tasks), dtype=float64
        NaN for tasks without training labels.
    chosen: list of KmerRidge
        One per group. Where no validation score is defined, the first candidate with the middle penalty.
    """
    train, val, predicted = (roles[name] for name in ("train", "val", "predicted"))
    penalties = PENALTIES if baseline.alpha == "auto" else (float(baseline.alpha),)
    fitted = np.isfinite(labels[train]).any(axis=0)
    of_group = [np.flatnonzero(fitted & (groups == group)) for group in range(groups.max(initial=-1) + 1)]
    predictions = np.full((len(predicted), labels.shape[1]), np.nan)
    chosen: list[KmerRidge | None] = [None] * len(of_group)
    known = labels[train][:, fitted]
    position = np.cumsum(fitted) - 1
    for window in windows:
        counts = {name: count_kmers(codes(rows, *window), baseline.k) for name, rows in roles.items()}
        for words in WORDS if baseline.words == "best" else (baseline.words,):
            ridge = Ridge(kmer_features(counts["train"], words, baseline.counts))
            rotated = {name: ridge.rotate(kmer_features(counts[name], words, baseline.counts)) for name in ("val", "predicted")}
            by_penalty = _validate(ridge, known, rotated["val"], labels[val][:, fitted], penalties)
            for group, tasks in enumerate(of_group):
                scores = _median(by_penalty[:, position[tasks]])
                best = int(np.argmax(scores)) if np.isfinite(scores).any() else len(penalties) // 2
                score = float(scores[best]) if np.isfinite(scores[best]) else float("nan")
                before = chosen[group]
                if before is None or score > before.val_pearson or (np.isnan(before.val_pearson) and not np.isnan(score)):
                    chosen[group] = KmerRidge(*window, words, penalties[best], score)
                    if len(tasks):
                        filled = ridge.fill_missing(labels[train][:, tasks], penalties[best], EXACT)
                        predictions[:, tasks] = ridge.predict(filled, rotated["predicted"], penalties[best])
    return predictions, [choice for choice in chosen if choice is not None]


def _validate(
    ridge: Ridge, labels: np.ndarray, rotated: np.ndarray, val_labels: np.ndarray, penalties: tuple[float, ...]
) -> np.ndarray:
    """Return the correlation over validation genes for each penalty and task, NaN where undefined."""
    scores = np.empty((len(penalties), labels.shape[1]))
    filled = None
    # From the largest penalty on: the imputed labels of one are a good start for the next.
    for i in reversed(range(len(penalties))):
        filled = ridge.fill_missing(labels, penalties[i], _ROUGH, filled)
        scores[i] = pearson(val_labels, ridge.predict(filled, rotated, penalties[i]))
    return scores


def _median(scores: np.ndarray) -> np.ndarray:
    """Return the median over tasks with a score; -inf if none has one; shape=(penalties,)."""
    known = scores[:, np.isfinite(scores).all(axis=0)]
    return np.median(known, axis=1) if known.shape[1] else np.full(len(scores), -np.inf)
