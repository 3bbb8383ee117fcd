"""Predict coverage along regions of a genome and write it as BigWig tracks, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pyBigWig

from cisnake.data.dataset import model_input
from cisnake.data.genome import Genome, match_chromosomes
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.model.prediction import ONE_VIEW, WindowViews, predict_batches
from cisnake.program import Progress

# Open files of a process are limited, often to 1,024.
MOST_TRACKS = 500


class TrackPiece(NamedTuple):
    """Bases [start, end) of a chromosome, which one window predicts; start is a multiple of the bin size."""

    chrom: str
    start: int
    end: int


def divide_regions(regions: pd.DataFrame, genome: Genome, bin_size: int, span: int) -> list[TrackPiece]:
    """Divide regions into pieces that one window each can predict.

    Regions are extended to whole bins, and merged where they touch. Each is then covered by windows whose predictions follow
    one another without overlap, so that every bin is predicted once.

    Parameters
    ----------
    regions: pandas.DataFrame
        chrom, start, end (0-based, half-open).
    genome: Genome
    bin_size: int
        Bases per predicted position. Bins begin at multiples of it.
    span: int
        Bases that one window predicts.

    Returns
    -------
    list of TrackPiece
        In the order of the genome; the last bin of a chromosome may be incomplete.

    Raises
    ------
    InputError
        A chromosome is unknown, or a region is outside its chromosome.
    """
    known = match_chromosomes(regions["chrom"], genome.sizes, "the regions")
    pieces = []
    table = regions.assign(known=regions["chrom"].map(known))
    for chrom, start, end, name in table[["chrom", "start", "end", "known"]].itertuples(index=False, name=None):
        if not isinstance(name, str) or not 0 <= start < end <= genome.sizes[name]:
            raise InputError(f"region {chrom}:{start + 1}-{end} is outside the genome: use the genome of the regions.")
    for chrom, size in genome.sizes.items():
        of_chrom = table[table["known"] == chrom].sort_values("start")
        last = -1
        for start, end in of_chrom[["start", "end"]].itertuples(index=False, name=None):
            first, end = max(start // bin_size * bin_size, last), -(-end // bin_size) * bin_size
            pieces += [TrackPiece(chrom, at, min(at + span, end, size)) for at in range(first, end, span)]
            last = max(last, end)
    return pieces


def write_track_predictions(
    regions: pd.DataFrame,
    genome: Genome,
    models: Sequence[keras.Model],
    tasks: Sequence[str],
    folder: str | Path,
    bin_size: int,
    selected: Collection[str] | None = None,
    views: WindowViews = ONE_VIEW,
    batch_size: int = 16,
) -> int:
    """Predict coverage along regions, and write one BigWig per task.

    Parameters
    ----------
    regions, genome, bin_size
        See `divide_regions`.
    models: sequence of keras.Model
        With the same input, of depth 4, and output (batch, positions, tasks). The positions are the middle of the window.
    tasks: sequence of str
        Names of the files, without `.bw`.
    folder: str or Path
        Must not exist yet.
    selected: collection of str, optional
        Tasks to write. Default None: all.
    views: WindowViews
        Shifts and strands to average over. Default: the window as it is.
    batch_size: int
        Windows per pass. Default 16.

    Returns
    -------
    int
        Number of windows.

    Raises
    ------
    InputError
        The networks have no positions or read the gene body, the bin size does not fit their window, there are too many tasks,
        a region is outside the genome, or the folder exists. No file is left.
    """
    folder = Path(folder)
    chosen = {task: i for i, task in enumerate(tasks) if selected is None or task in selected}
    length, positions = _check(models, chosen, bin_size)
    if folder.exists():
        raise InputError(f"{folder} exists already: choose another folder.")
    span = positions * bin_size
    pieces = divide_regions(regions, genome, bin_size, span)
    inputs = _inputs(pieces, genome, length, (length - span) // 2, batch_size)
    progress, waiting = Progress("windows predicted", len(pieces)), iter(pieces)
    with write_whole(folder) as part:
        part.mkdir()
        tracks = [pyBigWig.open(str(part / f"{task}.bw"), "w") for task in chosen]
        try:
            for track in tracks:
                track.addHeader(list(genome.sizes.items()))
            for batch in predict_batches(models, inputs, batch_size, views):
                values = batch[..., list(chosen.values())]
                for piece, predicted in zip(itertools.islice(waiting, len(batch)), values, strict=True):
                    _write_piece(tracks, piece, predicted, bin_size)
                progress.advance(len(batch))
        finally:
            for track in tracks:
                track.close()
    return len(pieces)


def _check(models: Sequence[keras.Model], tasks: Collection[str], bin_size: int) -> tuple[int, int]:
    (_, length, depth), output = models[0].input_shape, models[0].output_shape
    if depth != 4:
        raise InputError("the networks read the gene body: tracks need networks that read bases alone.")
    if len(output) != 3:
        raise InputError("the networks predict one value per window: tracks need networks that predict positions.")
    if len(tasks) > MOST_TRACKS:
        raise InputError(f"{len(tasks)} tracks are too many, because all are written at once: select at most {MOST_TRACKS}.")
    for task in tasks:
        if Path(task).name != task:
            raise InputError(f"task {task} cannot be the name of a file: change its name in the table of tasks.")
    spare = length - output[1] * bin_size
    if spare < 0 or spare % 2:
        raise InputError(
            f"{output[1]} positions of {bin_size} bases are not the middle of a window of {length} bases: correct --bin-size."
        )
    return length, output[1]


def _inputs(pieces: Sequence[TrackPiece], genome: Genome, length: int, crop: int, batch_size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(pieces), batch_size):
        batch = pieces[first : first + batch_size]
        codes = [genome.codes(piece.chrom, piece.start - crop, piece.start - crop + length) for piece in batch]
        none = np.zeros(len(batch), int)
        yield model_input(np.stack(codes), none, none, 4)


def _write_piece(tracks: Sequence[pyBigWig.pyBigWig], piece: TrackPiece, predicted: np.ndarray, bin_size: int) -> None:
    starts = np.arange(piece.start, piece.end, bin_size)
    ends = np.minimum(starts + bin_size, piece.end)
    for track, values in zip(tracks, predicted[: len(starts)].T.astype(np.float64), strict=True):
        track.addEntries([piece.chrom] * len(starts), starts.tolist(), ends=ends.tolist(), values=values.tolist())
