"""Shards of attributions joined to one file, and to a track for genome browsers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig

from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.interpret.attribution_file import AttributionFile, write_attributions

# Values handed to pyBigWig at once, as a list of Python numbers.
_ENTRIES = 1_000_000


def collect_shards(shards: list[Path], output: Path) -> None:
    """Write the genes of all shards of a contrast to one file, in the order of the shards; empty shards are fine.

    Raises
    ------
    InputError
        A shard is of another contrast, of other models, or of other windows than the first.
    """
    files = [AttributionFile(path) for path in shards]
    for file in files:
        if (file.attrs, file.length) != (files[0].attrs, files[0].length):
            raise InputError(f"{file.path} and {files[0].path} are of different contrasts or models: attribute again.")
    windows = pd.concat([file.windows for file in files], ignore_index=True)
    with write_attributions(output, windows, files[0].length, files[0].attrs) as append:
        for file in files:
            for rows, attributions, sequences in file.blocks():
                scores = file.windows.iloc[rows]
                append(attributions, sequences, scores["predicted"].to_numpy(), scores["predicted_sd"].to_numpy())


def write_bigwig(attributions: Path, sizes: dict[str, int], output: Path) -> None:
    """Write the projected score of every base, on the genome's forward strand, as BigWig.

    The value of a base is the sum over nucleotides of its attribution. Where windows of several genes overlap, it is that of
    the gene whose TSS is nearest; of two as near, that of the gene that comes first on the genome.

    Parameters
    ----------
    attributions: Path
        A file of attributions.
    sizes: dict of str to int
        Chromosomes and their lengths.
    output: Path
    """
    file = AttributionFile(attributions)
    with write_whole(output) as part:
        track = pyBigWig.open(str(part), "w")
        track.addHeader(list(sizes.items()))
        for chrom in sizes:
            of_chrom = file.windows[file.windows["chrom"] == chrom].sort_values("start", kind="stable")
            _write_chromosome(track, file, chrom, of_chrom)
        track.close()


def _write_chromosome(track: pyBigWig.pyBigWig, file: AttributionFile, chrom: str, windows: pd.DataFrame) -> None:
    """Write one chromosome, a run of overlapping windows at a time: memory is that of the longest run."""
    if windows.empty:
        return
    ends = windows["end"].cummax().shift(fill_value=-1)
    for _, run in windows.groupby((windows["start"] >= ends).cumsum()):
        first, last = int(run["start"].min()), int(run["end"].max())
        values = np.zeros(last - first, np.float32)
        nearest = np.full(last - first, np.iinfo(np.int64).max)
        forward = run["strand"] == "+"
        tss = run["start"].where(forward, run["end"] - 1) + run["mask_start"].where(forward, -run["mask_start"])
        for row, window in run.loc[tss.sort_values(kind="stable").index].iterrows():
            projected = file.read_block(int(row), int(row) + 1)[0][0].sum(axis=0)
            distance = np.abs(np.arange(file.length) - window["mask_start"])
            if window["strand"] == "-":
                projected, distance = projected[::-1], distance[::-1]
            part = slice(window["start"] - first, window["end"] - first)
            nearer = distance < nearest[part]
            values[part] = np.where(nearer, projected, values[part])
            nearest[part] = np.minimum(distance, nearest[part])
        for start in range(0, len(values), _ENTRIES):
            track.addEntries(chrom, first + start, values=values[start : start + _ENTRIES].tolist(), span=1, step=1)
