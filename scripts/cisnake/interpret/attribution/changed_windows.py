"""Attribute windows that differ from those of the data set, such as windows with a variant."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.interpret.attribution.job import AttributionJob, AttributionSettings, with_strand_pair
from cisnake.interpret.attribution.methods import attribute, project
from cisnake.interpret.attribution.mutagenesis import in_silico_mutagenesis, mutate_positions
from cisnake.interpret.attribution.shared_words import scored_models
from cisnake.model import load_model


def attribute_changed_windows(
    file: h5py.File,
    models: Sequence[Path],
    genes: pd.DataFrame,
    codes: np.ndarray,
    weights: np.ndarray,
    positions: np.ndarray,
    mutated: np.ndarray,
    settings: AttributionSettings,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return attributions and effects of substitutions at selected positions of windows, averaged over models.

    Parameters
    ----------
    file: h5py.File
        Data set of the genes, opened with `open_dataset`: the readout of coverage models, and the pairs of stranded tasks.
    models: sequence of Path
        The replicates of one fold.
    genes: pandas.DataFrame, n rows
        The gene of each window: row in the data set; mask_start and mask_end in this window.
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        The windows, in the direction of the gene.
    weights: numpy.ndarray, shape=(n, tasks), dtype=float32
        Task weights of the score that is explained, per window.
    positions: numpy.ndarray, shape=(n, k), dtype=int64
        Positions in the window, -1 for none.
    mutated: numpy.ndarray, shape=(n, k), dtype=bool
        Which of these positions to substitute; false where there is none.
    settings: AttributionSettings
        Of the attributions. Substitutions are always scored in the one view that predictions use.
    batch_size: int
        Maximum number of windows per pass.

    Returns
    -------
    attributions: numpy.ndarray, shape=(n, k), dtype=float32
        Of the base at each position; NaN where there is none, 0 at N.
    effects: numpy.ndarray, shape=(n, k, 4), dtype=float32
        Score with the base A, C, G or T at the position minus the score of the window; NaN where it is not substituted.
    """
    settings = with_strand_pair(settings, file)
    job = AttributionJob(file, [weights], settings, batch_size)
    loaded = [load_model(path) for path in models]
    networks = scored_models(loaded, settings.pass_size(job.step, len(genes)), settings.method)
    mutants = scored_models(loaded, min(job.step, len(genes)), in_silico_mutagenesis.__name__)
    attributions = np.full(positions.shape, np.nan, np.float32)
    effects = np.full((*positions.shape, 4), np.nan, np.float32)
    for first in range(0, len(genes), job.step):
        rows = slice(first, first + job.step)
        chosen, at = genes.iloc[rows], positions[rows]
        inputs = job.inputs(chosen, codes[rows], loaded[0])
        scores = dataclasses.replace(job, weights=[weights[rows]]).scores(chosen)
        contributions, _ = attribute(networks, inputs, scores, settings.function, settings.views)
        values = np.take_along_axis(project(inputs, contributions[0]).sum(axis=1), np.maximum(at, 0), axis=1)
        attributions[rows] = np.where(at >= 0, values, np.nan)
        marked = np.zeros(inputs.shape[:2], bool)
        window, column = np.nonzero(mutated[rows])
        marked[window, at[window, column]] = True
        substitute = functools.partial(mutate_positions, positions=marked, correct_mean=False)
        changes = attribute(mutants, inputs, scores, substitute)[0][0]
        effects[rows][window, column] = changes[window, at[window, column]]
    return attributions, effects
