"""What is asked of the windows of a run, and which of them are shuffled or checked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd

from cisnake.data.coverage import TargetTransform
from cisnake.data.dataset import model_input, read_codes, read_transform
from cisnake.interpret.attribution.methods import BASELINE_SCORES, Method
from cisnake.interpret.attribution.sample import deal_evenly
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model import Views


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
class AttributionJob:
    """What is asked of every window, and where the windows are.

    Attributes
    ----------
    file: h5py.File
        From `open_dataset`.
    weights: list of numpy.ndarray, shape=(tasks,)
        Of the tasks, in each contrast.
    method: callable
        One of `attribution.ATTRIBUTION_METHODS` with its options.
    baseline: callable or None
        From `baseline_scores`.
    views: Views
    extras: Extras
    """

    file: h5py.File
    weights: list[np.ndarray]
    method: Method
    baseline: Callable[..., np.ndarray] | None
    views: Views
    extras: Extras

    @property
    def length(self) -> int:
        """Bases in a window."""
        return int(self.file["seq_len"][()])

    def codes(self, genes: pd.DataFrame) -> np.ndarray:
        """Return the windows of genes, by their column row; shape=(n, length), dtype=int8."""
        pad = int(self.file["pad"][()])
        return read_codes(self.file, genes["row"].to_numpy(), pad, pad + self.length)

    def inputs(self, genes: pd.DataFrame, codes: np.ndarray, model: keras.Model) -> np.ndarray:
        """Return what a model sees of genes with these bases; shape=(n, length, depth), dtype=float32."""
        return model_input(codes, genes["mask_start"].to_numpy(), genes["mask_end"].to_numpy(), model.input_shape[-1])

    def questions(self, genes: pd.DataFrame) -> list[Score]:
        """Return the scores of genes: of coverage, the contrast of what the readout of an ensemble gives for each task."""
        if "gene_bins" not in self.file:
            return [Score(of_tasks) for of_tasks in self.weights]
        bins = read_codes(self.file, genes["row"].to_numpy(), 0, self.file["gene_bins"].shape[1], "gene_bins")
        transform = TargetTransform.from_dict(read_transform(self.file))
        return [Score(of_tasks, bins, link="gene", transform=transform) for of_tasks in self.weights]


def deal_genes(windows: pd.DataFrame, rows: np.ndarray, extras: Extras) -> pd.DataFrame:
    """Return the chosen genes of a run with the columns row (in the data set), shuffles (how many) and checked."""
    shuffles = deal_evenly(extras.null_windows, len(rows))
    checked = deal_evenly(min(extras.quality_genes, len(rows)), len(rows)) > 0
    return windows.iloc[rows].assign(row=rows, shuffles=shuffles, checked=checked)


def baseline_scores(method: str, options: Mapping[str, Any]) -> Callable[..., np.ndarray] | None:
    """Return what gives the scores of a method's baseline with these options, or None if it has none."""
    if method not in BASELINE_SCORES:
        return None
    return functools.partial(BASELINE_SCORES[method], **{k: v for k, v in options.items() if k != "n_steps"})


def batches(genes: pd.DataFrame, step: int) -> Iterator[pd.DataFrame]:
    """Yield so many genes at a time."""
    for first in range(0, len(genes), step):
        yield genes.iloc[first : first + step]
