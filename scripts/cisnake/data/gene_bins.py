"""What a model of coverage says about a gene: bins of its own, and one number from them."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data import hdf5
from cisnake.data.target_transform import TargetTransform
from cisnake.errors import InputError, unknown_name

REGIONS = ("tss", "body", "exons")


def gene_bins(
    windows: pd.DataFrame,
    region: str,
    upstream: int,
    downstream: int,
    bin_size: int,
    crop: int,
    exons: pd.DataFrame | None = None,
) -> np.ndarray:
    """Return how much of each bin of a gene's window is the gene's own.

    Parameters
    ----------
    windows: pandas.DataFrame, n rows
        gene_id, chrom, strand, window_start, window_end, mask_start (the TSS in the window), mask_end; all of one length.
    region: str
        "tss", from `upstream` bases before the TSS to `downstream` bases from it on; "body", from the TSS to the gene's end;
        or "exons", whatever the annotation calls an exon of the gene.
    upstream, downstream: int
        Bases, on the gene's strand.
    bin_size: int
        Bases of a bin.
    crop: int
        Bases at either end of the window that have no bins.
    exons: pandas.DataFrame, optional
        gene_id, chrom, start, end, as `annotation.read_exons` gives them; for region "exons".

    Returns
    -------
    numpy.ndarray, shape=(n, bins), dtype=float32
        0 to 1, bins in the gene's direction.

    Raises
    ------
    InputError
        The region is unknown, or nothing of a gene's region lies in the bins of its window: the message names the gene.
    """
    length = int(windows["window_end"].iloc[0] - windows["window_start"].iloc[0]) if len(windows) else 0
    n_bins = (length - 2 * crop) // bin_size
    first, last = windows["mask_start"].to_numpy(np.int64), windows["mask_end"].to_numpy(np.int64)
    if region == "tss":
        weights = interval_weights(n_bins, first - upstream, first + downstream, bin_size, crop)
    elif region == "body":
        weights = interval_weights(n_bins, first, last, bin_size, crop)
    elif region == "exons":
        if exons is None:
            raise InputError("targets.gene_score.region is exons, but no exons are given: they come from the annotation.")
        weights = _of_exons(windows, exons, n_bins, bin_size, crop)
    else:
        raise unknown_name("targets.gene_score.region", region, REGIONS)
    without = np.flatnonzero(weights.sum(axis=1) == 0)
    if len(without):
        raise InputError(
            f"nothing of the {region} of {len(without)} genes, {windows['gene_id'].iloc[without[0]]} among them, lies in the "
            "bins of their windows: make windows longer or targets.crop smaller, or choose another targets.gene_score.region."
        )
    return weights


def _of_exons(windows: pd.DataFrame, exons: pd.DataFrame, n_bins: int, bin_size: int, crop: int) -> np.ndarray:
    exons = exons.rename(columns={"start": "exon_start", "end": "exon_end"})
    pairs = windows.reset_index(drop=True).reset_index(names="row").merge(exons, on=["gene_id", "chrom"])
    first = np.where(
        pairs["strand"] == "+", pairs["exon_start"] - pairs["window_start"], pairs["window_end"] - pairs["exon_end"]
    )
    of_exon = interval_weights(n_bins, first, first + (pairs["exon_end"] - pairs["exon_start"]), bin_size, crop)
    weights = np.zeros((len(windows), n_bins), np.float32)
    np.add.at(weights, pairs["row"].to_numpy(), of_exon)
    return weights


def interval_weights(length: int, start: np.ndarray, end: np.ndarray, bin_size: int, offset: int = 0) -> np.ndarray:
    """Return how much of each output position an interval covers, such as the gene body.

    Parameters
    ----------
    length: int
        Output positions of the model.
    start, end: numpy.ndarray, shape=(n,), dtype=int
        Half-open, in bases of the window.
    bin_size: int
        Bases of a position.
    offset: int
        Bases of the window before the first position (those that the model crops). Default 0.

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=float32
        0 to 1.
    """
    first = offset + bin_size * np.arange(length)
    start, end = np.asarray(start)[:, None], np.asarray(end)[:, None]
    covered = np.minimum(end, first + bin_size) - np.maximum(start, first)
    return (np.maximum(covered, 0) / bin_size).astype(np.float32)


def gene_values(coverage: Any, bins: Any, transform: TargetTransform, numpy: Any = np) -> Any:
    """Return one number for each gene and task: log2(1 + sum over bins of weight times coverage).

    Parameters
    ----------
    coverage: array of float, shape=(n, bins, tasks)
        As models are trained on it, or predict it: `transform` is undone first. Coverage below 0 counts as 0.
    bins: array of float, shape=(n, bins)
        Weight of each bin; see `gene_bins`.
    transform: TargetTransform
    numpy: module
        numpy (default) or `keras.ops`.

    Returns
    -------
    array of float, shape=(n, tasks)
    """
    # Clipped before the inverse, which is not defined for everything below 0.
    measured = transform.inverse(numpy.maximum(coverage, 0 * coverage), numpy)
    return numpy.log2(1 + numpy.squeeze(numpy.matmul(numpy.expand_dims(bins, 1), measured), 1))


def measured_values(file: h5py.File) -> np.ndarray:
    """Return what was measured of each gene and task of a data set, as `gene_values` where it has bins.

    Parameters
    ----------
    file: h5py.File
        From `hdf5.open_dataset`; genes.h5 in a coverage run.

    Returns
    -------
    numpy.ndarray, shape=(N, tasks), dtype=float32
        NaN where not measured.
    """
    if "gene_bins" not in file:
        return hdf5.read_labels(file)
    transform = TargetTransform.from_dict(hdf5.read_transform(file))
    values = np.empty(file["labels"].shape[:2], np.float32)
    for block in hdf5.row_blocks(file["labels"]):
        coverage = file["labels"][block].transpose(0, 2, 1)
        values[block] = gene_values(coverage, file["gene_bins"][block], transform)
    return values
