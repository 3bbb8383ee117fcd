"""Gene scores of coverage models: the weight of each bin per gene, and one number per gene and task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.coverage.transform import TargetTransform
from cisnake.data.genome import to_window
from cisnake.errors import InputError, unknown_name

REGIONS = ("tss", "body", "exons")

_BLOCK_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class GeneBins:
    """Weights of the bins that score a gene: the fraction of each bin covered by the gene's region.

    Call it with a slice of genes.

    Parameters
    ----------
    windows: pandas.DataFrame, N rows
        gene_id, chrom, strand, window_start, window_end, mask_start (the TSS in the window), mask_end. All windows have the
        same length.
    region: str
        "tss": from `upstream` bases upstream of the TSS to `downstream` bases downstream, the TSS included; "body": from the
        TSS to the end of the gene; or "exons": all exons of the gene in the annotation.
    upstream, downstream: int
        Number of bases, on the gene's strand.
    bin_size: int
        Bases per bin.
    crop: int
        Bases without bins at either end of the window.
    exons: pandas.DataFrame, optional
        gene_id, chrom, start, end as from `annotation.exons_of_genome`, with the genome's chromosome names. Required for
        region "exons".

    Raises
    ------
    InputError
        The region is unknown, or is "exons" without `exons`.
    """

    windows: pd.DataFrame
    region: str
    upstream: int
    downstream: int
    bin_size: int
    crop: int
    exons: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.region not in REGIONS:
            raise unknown_name("targets.gene_score.region", self.region, REGIONS)
        if self.region == "exons" and self.exons is None:
            raise InputError("targets.gene_score.region is exons, but there are no exons: they are read from the annotation.")

    def __call__(self, rows: slice) -> np.ndarray:
        """Return bin weights from 0 to 1 in the direction of each gene; shape=(n, bins), dtype=float32."""
        windows = self.windows.iloc[rows]
        first, last = windows["mask_start"].to_numpy(np.int64), windows["mask_end"].to_numpy(np.int64)
        if self.region == "tss":
            return self._weights(first - self.upstream, first + self.downstream)
        return self._weights(first, last) if self.region == "body" else self._exon_weights(windows)

    def present(self) -> np.ndarray:
        """Return which genes have a region that overlaps the bins of their window; shape=(N,), dtype=bool."""
        overlaps = np.zeros(len(self.windows), bool)
        step = max(1, _BLOCK_NUMBERS // max(1, self._n_bins))
        for start in range(0, len(overlaps), step):
            overlaps[start : start + step] = self(slice(start, start + step)).any(axis=1)
        return overlaps

    @property
    def _n_bins(self) -> int:
        length = int(self.windows["window_end"].iloc[0] - self.windows["window_start"].iloc[0]) if len(self.windows) else 0
        return (length - 2 * self.crop) // self.bin_size

    def _weights(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return interval_weights(self._n_bins, start, end, self.bin_size, self.crop)

    def _exon_weights(self, windows: pd.DataFrame) -> np.ndarray:
        assert self.exons is not None
        exons = self.exons[self.exons["gene_id"].isin(windows["gene_id"])]
        exons = exons.rename(columns={"start": "exon_start", "end": "exon_end"})
        pairs = windows.reset_index(drop=True).reset_index(names="row").merge(exons, on=["gene_id", "chrom"])
        window = pairs["window_start"], pairs["window_end"], pairs["strand"]
        first, last = to_window(*window, pairs["exon_start"], pairs["exon_end"])
        weights = np.zeros((len(windows), self._n_bins), np.float32)
        step = max(1, _BLOCK_NUMBERS // max(1, self._n_bins))
        for start in range(0, len(pairs), step):
            block = slice(start, start + step)
            np.add.at(weights, pairs["row"].to_numpy()[block], self._weights(first[block], last[block]))
        return weights


def interval_weights(length: int, start: np.ndarray, end: np.ndarray, bin_size: int, offset: int = 0) -> np.ndarray:
    """Return the fraction of each output position that an interval, such as a gene body, covers.

    Parameters
    ----------
    length: int
        Number of output positions of the model.
    start, end: numpy.ndarray, shape=(n,), dtype=int
        Half-open intervals, in bases relative to the window.
    bin_size: int
        Bases per output position.
    offset: int
        Bases of the window before the first output position, which the model crops. Default 0.

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=float32
        Fractions from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.coverage import interval_weights
    >>> interval_weights(length=3, start=np.array([5]), end=np.array([25]), bin_size=10).tolist()
    [[0.5, 1.0, 0.5]]
    """
    first = offset + bin_size * np.arange(length)
    start, end = np.asarray(start)[:, None], np.asarray(end)[:, None]
    covered = np.minimum(end, first + bin_size) - np.maximum(start, first)
    return (np.maximum(covered, 0) / bin_size).astype(np.float32)


def gene_values(coverage: Any, bins: Any, transform: TargetTransform, numpy: Any = np) -> Any:
    """Return one number per gene and task: log2(1 + sum over bins of weight * coverage).

    Parameters
    ----------
    coverage: array of float, shape=(n, bins, tasks)
        Transformed coverage: labels or predictions. `transform` is inverted first. Coverage below 0 counts as 0.
    bins: array of float, shape=(n, bins)
        Weight of each bin, as from `GeneBins`.
    transform: TargetTransform
    numpy: module
        numpy (default) or `keras.ops`.

    Returns
    -------
    array of float, shape=(n, tasks)

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.coverage import TargetTransform, gene_values
    >>> coverage = np.array([[[3.0], [8.0], [-1.0]]])
    >>> gene_values(coverage, bins=np.array([[1.0, 0.5, 1.0]]), transform=TargetTransform()).tolist()
    [[3.0]]
    """
    # Clip before the inverse, which is not defined for all values below 0.
    measured = transform.inverse(numpy.maximum(coverage, 0 * coverage), numpy)
    return numpy.log2(1 + numpy.squeeze(numpy.matmul(numpy.expand_dims(bins, 1), measured), 1))
