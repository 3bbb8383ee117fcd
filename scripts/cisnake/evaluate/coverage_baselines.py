"""Baselines for coverage models: the mean, the average profile around TSSs, and a k-mer ridge regression per bin.

Each baseline is fitted to the training tiles block by block, so memory use does not depend on the number of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import linalg

from cisnake.data.genome import N
from cisnake.words import PENALTIES, add_reverse_complements, count_kmers


@dataclass(frozen=True)
class Tiles:
    """A block of n tiles of the genome.

    Attributes
    ----------
    chrom: numpy.ndarray, shape=(n,), of str
    start: numpy.ndarray, shape=(n,), dtype=int64
        Window starts on the chromosome, 0-based.
    codes: numpy.ndarray, shape=(n, length + 2 pad), dtype=int8
        The windows, with `pad` extra bases at each end.
    pad: int
    crop, bin_size, n_bins: int
        A window has `n_bins` bins of `bin_size` bases; the first bin begins `crop` bases after the window start.
    """

    chrom: np.ndarray
    start: np.ndarray
    codes: np.ndarray
    pad: int
    crop: int
    bin_size: int
    n_bins: int


class CoverageBaseline(Protocol):
    """A baseline that is fitted to blocks of training tiles and then predicts other tiles."""

    def add(self, tiles: Tiles, labels: np.ndarray) -> None:
        """Add training tiles with their labels, shape=(n, bins, tasks)."""

    def predict(self, tiles: Tiles) -> np.ndarray:
        """Return predictions; shape=(n, bins, tasks), dtype=float64."""


class TrainMean:
    """The mean of each task over all bins of the training tiles.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import Tiles, TrainMean
    >>> tiles = Tiles(np.array(["chr1"]), np.array([0]), np.zeros((1, 4), np.int8), pad=0, crop=0, bin_size=2, n_bins=2)
    >>> mean = TrainMean(tasks=1)
    >>> mean.add(tiles, np.array([[[1.0], [2.0]]]))
    >>> mean.predict(tiles).tolist()
    [[[1.5], [1.5]]]
    """

    def __init__(self, tasks: int) -> None:
        self._profile = _Means(1, tasks)

    def add(self, tiles: Tiles, labels: np.ndarray) -> None:
        self._profile.add(np.zeros(labels.shape[:2], int), labels)

    def predict(self, tiles: Tiles) -> np.ndarray:
        return self._profile.means()[np.zeros((len(tiles.start), tiles.n_bins), int)]


class TssProfile:
    """The mean of each task over the training bins at the same distance from the nearest TSS.

    Bins farther than `reach` from every TSS form two more classes, one upstream and one downstream.

    Parameters
    ----------
    genes: pandas.DataFrame
        chrom, strand, tss of all annotated genes, held-out ones included: TSS positions are not labels.
    bin_size: int
        Width of the distance classes, in bases.
    tasks: int
    reach: int
        Largest distance from a TSS, in bases. Default 2,000.

    Examples
    --------
    The midpoint of the second bin is the TSS; the midpoint of the third is 2 bases downstream.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.evaluate import Tiles, TssProfile
    >>> genes = pd.DataFrame({"chrom": ["chr1"], "strand": ["+"], "tss": [3]})
    >>> profile = TssProfile(genes, bin_size=2, tasks=1, reach=4)
    >>> tiles = Tiles(np.array(["chr1"]), np.array([0]), np.zeros((1, 6), np.int8), pad=0, crop=0, bin_size=2, n_bins=3)
    >>> profile.add(tiles, np.array([[[0.0], [6.0], [3.0]]]))
    >>> profile.predict(tiles).tolist()
    [[[0.0], [6.0], [3.0]]]
    """

    def __init__(self, genes: pd.DataFrame, bin_size: int, tasks: int, reach: int = 2000) -> None:
        self._starts = {}
        for chrom, chrom_genes in genes.groupby("chrom"):
            chrom_genes = chrom_genes.sort_values("tss", kind="stable")
            self._starts[chrom] = chrom_genes["tss"].to_numpy(np.int64), np.where(chrom_genes["strand"] == "+", 1, -1)
        self._width, self._reach = bin_size, reach
        # Three extra classes: farther upstream, farther downstream, and chromosomes without a TSS.
        self._profile = _Means(2 * (reach // bin_size + 1) + 1, tasks)

    def add(self, tiles: Tiles, labels: np.ndarray) -> None:
        self._profile.add(self._classes(tiles), labels)

    def predict(self, tiles: Tiles) -> np.ndarray:
        return self._profile.means()[self._classes(tiles)]

    def _classes(self, tiles: Tiles) -> np.ndarray:
        middle = tiles.crop + tiles.bin_size * np.arange(tiles.n_bins) + tiles.bin_size // 2
        classes = np.full((len(tiles.start), tiles.n_bins), len(self._profile.counts) - 1)
        for chrom in np.unique(tiles.chrom):
            if chrom in self._starts:
                rows = np.flatnonzero(tiles.chrom == chrom)
                distance = nearest_signed(tiles.start[rows, None] + middle, *self._starts[chrom])
                half = self._reach // self._width + 1
                classes[rows] = np.clip(distance // self._width, -half, half - 1) + half
        return classes


def nearest_signed(position: np.ndarray, starts: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Return the signed distance of each position from the nearest TSS, positive downstream on the strand of the gene.

    Parameters
    ----------
    position: numpy.ndarray of int, any shape
    starts: numpy.ndarray, shape=(k,), dtype=int64
        TSS positions, sorted; at least one.
    strand: numpy.ndarray, shape=(k,), dtype=int
        1 or -1 for each TSS.

    Returns
    -------
    numpy.ndarray of int64, same shape as `position`

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import nearest_signed
    >>> nearest_signed(np.array([90, 120, 480]), np.array([100, 500]), np.array([1, -1])).tolist()
    [-10, 20, 20]
    """
    after = np.searchsorted(starts, position)
    left, right = np.maximum(after - 1, 0), np.minimum(after, len(starts) - 1)
    nearest = np.where(np.abs(position - starts[left]) <= np.abs(starts[right] - position), left, right)
    return (position - starts[nearest]) * strand[nearest]


class BinRidge:
    """Ridge regression of bin labels on counts of canonical k-mers around the bin.

    Parameters
    ----------
    tasks: int
    k: int
        K-mer length.
    counts: str
        "log1p" for log(1 + count), or "counts".
    penalty: float, optional
        Weight of the sum of squared coefficients. None: call `choose_penalty` before `predict`.
    span: int
        Number of bases, centred on the bin, in which k-mers are counted. Default 500.
    sample: float
        Fraction of the bins that are used, spread evenly over the tiles. Default 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.evaluate import BinRidge, Tiles
    >>> codes = encode("AAAACCAC")[None]
    >>> tiles = Tiles(np.array(["chr1"]), np.array([0]), codes, pad=0, crop=0, bin_size=2, n_bins=4)
    >>> ridge = BinRidge(tasks=1, k=1, counts="counts", penalty=1e-9, span=2)
    >>> ridge.add(tiles, np.array([[[0.0], [0.0], [2.0], [1.0]]]))
    >>> ridge.predict(tiles).round(3).tolist()
    [[[0.0], [0.0], [2.0], [1.0]]]
    """

    def __init__(self, tasks: int, k: int, counts: str, penalty: float | None, span: int = 500, sample: float = 1.0) -> None:
        self.k, self.counts, self.penalty, self.span, self.sample = k, counts, penalty, span, sample
        n_kmers = (4**k + (4 ** (k // 2) if k % 2 == 0 else 0)) // 2
        self._gram, self._cross = np.zeros((n_kmers, n_kmers)), np.zeros((n_kmers, tasks))
        self._kmer_sums, self._label_sums, self._n = np.zeros(n_kmers), np.zeros(tasks), 0
        self._label_squares = np.zeros(tasks)
        self._seen = 0
        self._weights: np.ndarray | None = None

    def add(self, tiles: Tiles, labels: np.ndarray) -> None:
        which = np.arange(self._seen, self._seen + labels.shape[0] * labels.shape[1])
        self._seen += len(which)
        chosen = np.floor((which + 1) * self.sample) > np.floor(which * self.sample)
        chosen &= np.isfinite(labels).all(axis=2).reshape(-1)
        kmers, y = self._count(tiles, chosen), labels.reshape(-1, labels.shape[2])[chosen].astype(np.float64)
        # Products in float32 are twice as fast and accurate enough, since blocks are summed in float64.
        self._gram += kmers.T @ kmers
        self._cross += kmers.T @ y.astype(np.float32)
        self._kmer_sums += kmers.sum(axis=0, dtype=np.float64)
        self._label_sums += y.sum(axis=0)
        self._label_squares += (y**2).sum(axis=0)
        self._n += len(y)
        self._weights = None

    def choose_penalty(self, validation: BinRidge) -> float | None:
        """Choose the penalty with the highest correlation over other bins: the median over tasks.

        Parameters
        ----------
        validation: BinRidge
            With the validation tiles, and the same k-mers; only its sums are used.

        Returns
        -------
        float or None
            That correlation; None if it is undefined for all penalties, which gives the middle one.
        """
        gram, cross = self._centred()
        val_gram, val_cross = validation._centred()
        spread = validation._label_squares - validation._label_sums**2 / max(validation._n, 1)
        scores = np.full(len(PENALTIES), -np.inf)
        for i, penalty in enumerate(PENALTIES):
            weights = _solve(gram, cross, penalty)
            size = spread * np.einsum("kt,kt->t", weights, val_gram @ weights)
            known = size > 0
            if known.any():
                scores[i] = np.median(np.einsum("kt,kt->t", weights, val_cross)[known] / np.sqrt(size[known]))
        best = int(np.argmax(scores)) if np.isfinite(scores).any() else len(PENALTIES) // 2
        self.penalty, self._weights = PENALTIES[best], None
        return float(scores[best]) if np.isfinite(scores[best]) else None

    def predict(self, tiles: Tiles) -> np.ndarray:
        if self._weights is None:
            if self.penalty is None:
                raise ValueError("call choose_penalty before predict")
            self._weights = _solve(*self._centred(), self.penalty)
        every = np.ones(len(tiles.start) * tiles.n_bins, bool)
        centred = self._count(tiles, every) - self._kmer_sums / max(self._n, 1)
        return (centred @ self._weights + self._label_sums / max(self._n, 1)).reshape(len(tiles.start), tiles.n_bins, -1)

    def _centred(self) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of products of k-mers with k-mers, and with labels, after subtracting their means."""
        n = max(self._n, 1)
        gram = self._gram - np.outer(self._kmer_sums, self._kmer_sums) / n
        return gram, self._cross - np.outer(self._kmer_sums, self._label_sums) / n

    def _count(self, tiles: Tiles, chosen: np.ndarray) -> np.ndarray:
        """Count k-mers around the chosen bins; shape=(chosen, k-mers), dtype=float32."""
        first = tiles.pad + tiles.crop + tiles.bin_size * np.arange(tiles.n_bins) + (tiles.bin_size - self.span) // 2
        # Bases beyond the stored sequence count as N.
        codes = np.pad(tiles.codes, ((0, 0), (self.span, self.span)), constant_values=N)
        around = np.lib.stride_tricks.sliding_window_view(codes, self.span, axis=1)
        row, at = np.unravel_index(np.flatnonzero(chosen), (len(tiles.start), tiles.n_bins))
        kmers = add_reverse_complements(count_kmers(around[row, first[at] + self.span], self.k))
        return np.log1p(kmers) if self.counts == "log1p" else kmers


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    """Return the coefficients of a ridge regression; shape=(k-mers, tasks)."""
    penalised = gram.copy()
    penalised[np.diag_indices_from(penalised)] += penalty
    return linalg.solve(penalised, cross, assume_a="pos", overwrite_a=True)


class _Means:
    """Running means of labels by class."""

    def __init__(self, classes: int, tasks: int) -> None:
        self.sums, self.counts = np.zeros((classes, tasks)), np.zeros((classes, tasks))

    def add(self, classes: np.ndarray, labels: np.ndarray) -> None:
        classes, flat = classes.reshape(-1), labels.reshape(-1, labels.shape[-1])
        for task, values in enumerate(flat.T):
            known = np.isfinite(values)
            self.sums[:, task] += np.bincount(classes[known], values[known].astype(np.float64), len(self.sums))
            self.counts[:, task] += np.bincount(classes[known], minlength=len(self.sums))

    def means(self) -> np.ndarray:
        """Return the mean of each class, or the overall mean for classes without data; shape=(classes, tasks)."""
        total = self.sums.sum(axis=0) / np.maximum(self.counts.sum(axis=0), 1)
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), total)
