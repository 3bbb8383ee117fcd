"""Statistics that compare predictions along a window with the alternative and with the reference allele."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cisnake.errors import unknown_name

# Quantile of the reference, over positions, that is added to both sides before they are compared as distributions.
_PSEUDO_QUANTILE = 0.25


def _log(x: np.ndarray) -> np.ndarray:
    return np.log2(x + 1)


def _plain(x: np.ndarray) -> np.ndarray:
    return x


def _total(scale: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda ref, alt: scale(alt).sum(axis=0) - scale(ref).sum(axis=0)


def _norm(order: int, scale: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda ref, alt: np.linalg.norm(scale(alt) - scale(ref), ord=order, axis=0)


def _largest(ref: np.ndarray, alt: np.ndarray) -> np.ndarray:
    change = alt - ref
    return np.take_along_axis(change, np.abs(change).argmax(axis=0)[None], axis=0)[0]


def _divergence(scale: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def compare(ref: np.ndarray, alt: np.ndarray) -> np.ndarray:
        ref, alt = scale(ref), scale(alt)
        pseudo = np.quantile(ref, _PSEUDO_QUANTILE, axis=0)
        p, q = ((side + pseudo) / (side + pseudo).sum(axis=0) for side in (ref, alt))
        return (_relative_entropy(p, q) + _relative_entropy(q, p)) / 2

    return compare


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    return terms.sum(axis=0)


VARIANT_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "SUM": _total(_plain),
    "logSUM": _total(_log),
    "sqrtSUM": _total(np.sqrt),
    "logSED": lambda ref, alt: _log(alt.sum(axis=0)) - _log(ref.sum(axis=0)),
    "SAX": _largest,
    "D1": _norm(1, _plain),
    "logD1": _norm(1, _log),
    "sqrtD1": _norm(1, np.sqrt),
    "D2": _norm(2, _plain),
    "logD2": _norm(2, _log),
    "sqrtD2": _norm(2, np.sqrt),
    "JS": _divergence(_plain),
    "logJS": _divergence(_log),
    "REF": lambda ref, alt: ref.sum(axis=0),
    "ALT": lambda ref, alt: alt.sum(axis=0),
}
"""Statistics of Baskerville's `hound_snp`, by their names there.

r and a are predictions at one position with the reference and the alternative allele; sums are over positions:

- SUM: sum of a - r; logSUM and sqrtSUM: the same of log2(x + 1) and of the square roots;
- logSED: log2(sum of a + 1) - log2(sum of r + 1);
- SAX: a - r where it is largest in absolute value;
- D1, D2: L1 and L2 norm of a - r; logD1, logD2, sqrtD1, sqrtD2: the same of log2(x + 1) and of the square roots;
- JS: mean of the two relative entropies (in nats) between a and r, after the lower quartile of r over positions was added to
  both and they were divided by their sums. It is a symmetrised Kullback-Leibler divergence, although its name stands for
  Jensen-Shannon. logJS: the same of log2(x + 1);
- REF, ALT: sums of r and of a.
"""

# Statistics of one allele; they do not compare alleles, so they have no p-value.
_OF_ONE_ALLELE = ("REF", "ALT")


def comparing_statistics(names: Sequence[str]) -> list[str]:
    """Return the statistics that compare the alleles: all but REF and ALT.

    Examples
    --------
    >>> from cisnake.variants import comparing_statistics
    >>> comparing_statistics(["REF", "SUM", "ALT", "D2"])
    ['SUM', 'D2']
    """
    return [name for name in names if name not in _OF_ONE_ALLELE]


def compare_predictions(ref: np.ndarray, alt: np.ndarray, names: Sequence[str] = tuple(VARIANT_STATISTICS)) -> np.ndarray:
    """Return statistics of the difference between two predictions.

    Parameters
    ----------
    ref, alt: numpy.ndarray, shape=(positions, tasks)
        Predictions with the reference and the alternative allele.
    names: sequence of str
        Keys of `VARIANT_STATISTICS`. Default: all.

    Returns
    -------
    numpy.ndarray, shape=(statistics, tasks), dtype=float64
        NaN for logarithms and roots of negative predictions, and for relative entropies of predictions that sum to 0.

    Raises
    ------
    InputError
        A name is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.variants import compare_predictions
    >>> ref, alt = np.array([[1.0], [3.0]]), np.array([[2.0], [0.0]])
    >>> compare_predictions(ref, alt, ["SUM", "SAX", "D1"]).ravel().tolist()
    [-2.0, -3.0, 4.0]
    """
    for name in names:
        if name not in VARIANT_STATISTICS:
            raise unknown_name("variant statistic", name, VARIANT_STATISTICS)
    ref, alt = np.asarray(ref, np.float64), np.asarray(alt, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([VARIANT_STATISTICS[name](ref, alt) for name in names])
