"""Settings of an attribution job, and functions that read, shuffle and sample its windows."""

from __future__ import annotations

import dataclasses
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
from cisnake.data.dataset import model_input, read_codes, read_strand_pair, read_transform
from cisnake.data.genome import N
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, BASELINE_SCORES, Method, method_options
from cisnake.interpret.attribution.target_scores import Score
from cisnake.interpret.nulls import dinucleotide_shuffle
from cisnake.model import ONE_VIEW, WindowViews

# Agreement with mutagenesis uses all positions of windows up to the first length, and a sample of positions in longer ones.
WHOLE_WINDOW, SAMPLED_POSITIONS = 512, 256
# These methods evaluate each window once, so a batch never needs to exceed the number of genes.
_SINGLE_PASS = ("gradient", "input_x_gradient", "saliency")
# Approximate memory limit, in bytes, for the contributions of a batch over all scores.
_BATCH_BYTES = 1 << 28


@dataclass(frozen=True)
class Extras:
    """Contents of attribution files in addition to the attributions of genes, and their data type.

    Attributes
    ----------
    dtype: str
        Data type of stored attributions: "float32" (default) or "float16".
    hypothetical: bool
        Whether to store the contributions of all four bases. Default False.
    null_windows: int
        Number of shuffled windows to attribute, in the whole run. Default 0.
    quality_genes: int
        Number of genes, in the whole run, for the quality checks that need additional model evaluations. Default 0.
    seed: int
        Random seed for shuffles, sampled positions and random weights. Default 0.
    """

    dtype: str = "float32"
    hypothetical: bool = False
    null_windows: int = 0
    quality_genes: int = 0
    seed: int = 0


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class AttributionSettings:
    """Settings of an attribution run: method, options, views and additional outputs.

    Attributes
    ----------
    method: str
        One of `ATTRIBUTION_METHODS`.
    options: mapping
        Options of the method. Options of other methods are ignored. Default: the defaults of the method.
    views: WindowViews
        Shifts and strands to average over. Default: the unshifted forward strand.
    extras: Extras
        Outputs in addition to the attributions of genes. Default: none.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    views: WindowViews = ONE_VIEW
    extras: Extras = NO_EXTRAS

    @property
    def attrs(self) -> dict[str, Any]:
        """The settings recorded in an attribution file."""
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
        """The method with its options bound."""
        return functools.partial(ATTRIBUTION_METHODS[self.method], **method_options(self.method, self.options))

    @property
    def baseline(self) -> Callable[..., np.ndarray] | None:
        """The function that scores the method's baseline, with its options bound; None for a method without a baseline."""
        if self.method not in BASELINE_SCORES:
            return None
        options = method_options(self.method, self.options)
        options = {name: value for name, value in options.items() if name not in ("n_steps", "tolerance")}
        return functools.partial(BASELINE_SCORES[self.method], **options)

    def pass_size(self, step: int, n: int) -> int:
        """Return the model batch size for n windows that are read `step` at a time."""
        return min(step, n) if self.method in _SINGLE_PASS else step


@dataclass(frozen=True)
class AttributionJob:
    """An attribution job: the data set, the contrasts and the settings.

    Attributes
    ----------
    file: h5py.File
        Data set opened with `open_dataset`.
    weights: list of numpy.ndarray, shape=(tasks,) or (n, tasks)
        Task weights of each contrast, shared by all genes or one row per gene.
    settings: AttributionSettings
    batch_size: int
        Maximum number of windows read at a time.
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
        """Number of windows read at a time; below the batch size if the contributions would take too much memory."""
        return max(1, min(self.batch_size, _BATCH_BYTES // (16 * self.length * len(self.weights))))

    def batches(self, genes: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Yield genes in batches of `step` rows."""
        for first in range(0, len(genes), self.step):
            yield genes.iloc[first : first + self.step]

    def codes(self, genes: pd.DataFrame) -> np.ndarray:
        """Return the base codes of gene windows, indexed by their column `row`; shape=(n, length), dtype=int8."""
        pad = int(self.file["pad"][()])
        return read_codes(self.file, genes["row"].to_numpy(), pad, pad + self.length)

    def inputs(self, genes: pd.DataFrame, codes: np.ndarray, model: keras.Model) -> np.ndarray:
        """Return the model input for genes with these base codes; shape=(n, length, depth), dtype=float32."""
        return model_input(codes, genes["mask_start"].to_numpy(), genes["mask_end"].to_numpy(), model.input_shape[-1])

    def scores(self, genes: pd.DataFrame) -> list[Score]:
        """Return the score of genes in each contrast; with coverage data, scores use the readout per gene and task."""
        if "gene_bins" not in self.file:
            return [Score(weights) for weights in self.weights]
        bins = read_codes(self.file, genes["row"].to_numpy(), 0, self.file["gene_bins"].shape[1], "gene_bins")
        transform = TargetTransform.from_dict(read_transform(self.file))
        return [Score(weights, bins, link="gene", transform=transform) for weights in self.weights]


def with_strand_pair(settings: AttributionSettings, file: h5py.File) -> AttributionSettings:
    """Return settings whose views swap the tasks of the two strands that the data set pairs."""
    strand_pair = read_strand_pair(file)
    if strand_pair is None:
        return settings
    return dataclasses.replace(settings, views=dataclasses.replace(settings.views, strand_pair=strand_pair.tolist()))


def deal_genes(windows: pd.DataFrame, rows: np.ndarray, extras: Extras) -> pd.DataFrame:
    """Return the chosen genes with the columns row (in the data set), shuffles (number of shuffles) and checked."""
    shuffles = deal_evenly(extras.null_windows, len(rows))
    checked = deal_evenly(min(extras.quality_genes, len(rows)), len(rows)) > 0
    return windows.iloc[rows].assign(row=rows, shuffles=shuffles, checked=checked)


def deal_evenly(count: int, n: int) -> np.ndarray:
    """Distribute `count` draws evenly over n genes in order, and return the number per gene; shape=(n,), dtype=int64.

    Numbers differ by at most one. If there are at least as many draws as genes, every gene gets at least one.

    Examples
    --------
    >>> from cisnake.interpret.attribution.job import deal_evenly
    >>> deal_evenly(3, 6).tolist(), deal_evenly(7, 3).tolist()
    ([0, 1, 0, 1, 0, 1], [2, 3, 2])
    """
    return np.bincount(((2 * np.arange(count) + 1) * n) // (2 * max(count, 1)), minlength=n) if n else np.zeros(0, np.int64)


def gene_rng(gene: str, seed: int, *purpose: int) -> np.random.Generator:
    """Return a random generator that depends only on the gene id, the seed and the purpose of the draws."""
    return np.random.default_rng([seed, zlib.crc32(gene.encode()), *purpose])


def shuffled_windows(codes: np.ndarray, genes: Sequence[str], copies: Sequence[int], seed: int) -> np.ndarray:
    """Return dinucleotide shuffles of windows.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    genes: sequence of str
        The gene of each window.
    copies: sequence of int
        Index of each shuffle among the shuffles of its gene.
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
    """Return a mask of the positions to mutate: all known bases, or a random sample of them in long windows.

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
