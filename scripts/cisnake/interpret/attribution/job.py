"""Settings of an attribution job, and the windows of it: read, shuffled, and sampled for checks."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd

from cisnake.data.coverage import TargetTransform
from cisnake.data.dataset import model_input, read_codes, read_transform
from cisnake.data.genome import N
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, BASELINE_SCORES, Method, method_options
from cisnake.interpret.attribution.target_scores import Score
from cisnake.interpret.nulls import dinucleotide_shuffle
from cisnake.model import ONE_VIEW, WindowViews

# Agreement with mutagenesis is measured at all positions of windows up to this length, and at so many of longer ones.
WHOLE_WINDOW, SAMPLED_POSITIONS = 512, 256
# These look at each window once: a batch need not be larger than there are genes.
_SINGLE_PASS = ("gradient", "input_x_gradient", "saliency")
# Contributions of a batch, all scores together, take at most about so much memory.
_BATCH_BYTES = 1 << 28


@dataclass(frozen=True)
class Extras:
    """What files have beside the attributions of genes.

    Attributes
    ----------
    dtype: str
        Of attributions: "float32" (default) or "float16".
    hypothetical: bool
        Whether the contributions of all four bases are kept. Default False.
    null_windows: int
        Shuffled windows that are attributed, in the whole run. Default 0.
    quality_genes: int
        Genes whose attributions are checked in ways that cost passes of their own, in the whole run. Default 0.
    seed: int
        Of shuffles, sampled positions and random weights. Default 0.
    """

    dtype: str = "float32"
    hypothetical: bool = False
    null_windows: int = 0
    quality_genes: int = 0
    seed: int = 0


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class AttributionSettings:
    """How windows are attributed.

    Attributes
    ----------
    method: str
        One of `ATTRIBUTION_METHODS`.
    options: mapping
        Of the method; those of other methods are left aside. Default is its own defaults.
    views: WindowViews
        Shifts and strands to average over. Default: windows as they are.
    extras: Extras
        What is computed besides the attributions of genes. Default: nothing.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    views: WindowViews = ONE_VIEW
    extras: Extras = NO_EXTRAS

    @property
    def attrs(self) -> dict[str, Any]:
        """What a file of attributions records of them."""
        return {
            "method": self.method,
            "method_options": method_options(self.method, self.options),
            "reverse_complement": self.views.reverse_complement,
            "shifts": list(self.views.shifts),
            "null_windows": self.extras.null_windows,
            "quality_genes": self.extras.quality_genes,
            "seed": self.extras.seed,
        }

    @property
    def function(self) -> Method:
        """The method with its options."""
        return functools.partial(ATTRIBUTION_METHODS[self.method], **method_options(self.method, self.options))

    @property
    def baseline(self) -> Callable[..., np.ndarray] | None:
        """Scores of the method's baseline with these options, or None for a method without one."""
        if self.method not in BASELINE_SCORES:
            return None
        options = {name: value for name, value in method_options(self.method, self.options).items() if name != "n_steps"}
        return functools.partial(BASELINE_SCORES[self.method], **options)

    def pass_size(self, step: int, n: int) -> int:
        """Return how many of n windows, which are read `step` at a time, go through a model together."""
        return min(step, n) if self.method in _SINGLE_PASS else step


@dataclass(frozen=True)
class AttributionJob:
    """The score of each contrast, how it is attributed, and where the windows are.

    Attributes
    ----------
    file: h5py.File
        From `open_dataset`.
    weights: list of numpy.ndarray, shape=(tasks,)
        Of the tasks, in each contrast.
    settings: AttributionSettings
    batch_size: int
        Windows that are read at a time, at most.
    """

    file: h5py.File
    weights: list[np.ndarray]
    settings: AttributionSettings
    batch_size: int

    @property
    def length(self) -> int:
        """Bases in a window."""
        return int(self.file["seq_len"][()])

    @property
    def step(self) -> int:
        """Windows that are read at a time: fewer than the batch where contributions would fill memory."""
        return max(1, min(self.batch_size, _BATCH_BYTES // (16 * self.length * len(self.weights))))

    def batches(self, genes: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Yield genes, as many as are read at a time."""
        for first in range(0, len(genes), self.step):
            yield genes.iloc[first : first + self.step]

    def codes(self, genes: pd.DataFrame) -> np.ndarray:
        """Return the windows of genes, by their column row; shape=(n, length), dtype=int8."""
        pad = int(self.file["pad"][()])
        return read_codes(self.file, genes["row"].to_numpy(), pad, pad + self.length)

    def inputs(self, genes: pd.DataFrame, codes: np.ndarray, model: keras.Model) -> np.ndarray:
        """Return what a model sees of genes with these bases; shape=(n, length, depth), dtype=float32."""
        return model_input(codes, genes["mask_start"].to_numpy(), genes["mask_end"].to_numpy(), model.input_shape[-1])

    def scores(self, genes: pd.DataFrame) -> list[Score]:
        """Return the score of genes in each contrast: of coverage, from what the readout of an ensemble gives for each task."""
        if "gene_bins" not in self.file:
            return [Score(weights) for weights in self.weights]
        bins = read_codes(self.file, genes["row"].to_numpy(), 0, self.file["gene_bins"].shape[1], "gene_bins")
        transform = TargetTransform.from_dict(read_transform(self.file))
        return [Score(weights, bins, link="gene", transform=transform) for weights in self.weights]


def deal_genes(windows: pd.DataFrame, rows: np.ndarray, extras: Extras) -> pd.DataFrame:
    """Return the chosen genes of a run with the columns row (in the data set), shuffles (how many) and checked."""
    shuffles = deal_evenly(extras.null_windows, len(rows))
    checked = deal_evenly(min(extras.quality_genes, len(rows)), len(rows)) > 0
    return windows.iloc[rows].assign(row=rows, shuffles=shuffles, checked=checked)


def deal_evenly(count: int, n: int) -> np.ndarray:
    """Return how many of `count` draws each of n genes gets, spread evenly over their order; shape=(n,), dtype=int64.

    Numbers differ by one at most: with more draws than genes every gene gets some.

    Examples
    --------
    >>> from cisnake.interpret.attribution.job import deal_evenly
    >>> deal_evenly(3, 6).tolist(), deal_evenly(7, 3).tolist()
    ([0, 1, 0, 1, 0, 1], [2, 3, 2])
    """
    return np.bincount(((2 * np.arange(count) + 1) * n) // (2 * max(count, 1)), minlength=n) if n else np.zeros(0, np.int64)


def gene_rng(gene: str, seed: int, *purpose: int) -> np.random.Generator:
    """Return a generator that depends on a gene's id, the seed, and what the draws are for, and on nothing else."""
    return np.random.default_rng([seed, zlib.crc32(gene.encode()), *purpose])


def shuffled_windows(codes: np.ndarray, genes: Sequence[str], copies: Sequence[int], seed: int) -> np.ndarray:
    """Return dinucleotide shuffles of windows.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    genes: sequence of str
        The gene of each window.
    copies: sequence of int
        The number of each shuffle among those of its gene.
    seed: int

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=int8
    """
    shuffled = np.empty_like(codes)
    for row, (window, gene, copy) in enumerate(zip(codes, genes, copies, strict=True)):
        shuffled[row] = dinucleotide_shuffle(window, gene_rng(gene, seed, 0, copy))
    return shuffled


def sampled_positions(codes: np.ndarray, genes: Sequence[str], seed: int) -> np.ndarray:
    """Return where windows are mutated: where they have a base, or at some of these positions if the window is long.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    genes: sequence of str
        The gene of each window.
    seed: int

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=bool

    Examples
    --------
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.attribution.job import sampled_positions
    >>> sampled_positions(encode("ACNNG")[None], ["g1"], seed=0).tolist()
    [[True, True, False, False, True]]
    """
    known = codes != N
    if codes.shape[1] <= WHOLE_WINDOW:
        return known
    chosen = np.zeros_like(known)
    for row, gene in enumerate(genes):
        bases = np.flatnonzero(known[row])
        chosen[row, gene_rng(gene, seed, 1).permutation(bases)[:SAMPLED_POSITIONS]] = True
    return chosen
