"""Join attribution shards, and export them as a genome browser track and a quality table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig

from cisnake.data.genome import to_genome
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.interpret import judge_predictions
from cisnake.interpret.attribution.file import AttributionFile, write_attributions

# Values passed to pyBigWig in one call.
_ENTRIES = 1_000_000
# Runs of overlapping windows are processed together up to this many bases.
_PART_BASES = 1 << 24


def collect_shards(shards: list[Path], output: Path) -> None:
    """Join all shards of a contrast to one file, in the given order, and classify the predictions.

    Raises
    ------
    InputError
        A shard differs from the first in its contrast, models, settings, window length, data type or data sets; or two shards
        contain the same gene.
    """
    files = [AttributionFile(path) for path in shards]
    first = files[0]
    for file in files:
        if (file.attrs, file.length) != (first.attrs, first.length):
            raise InputError(
                f"{file.path} and {first.path} have different contrasts, models or settings: rerun attribute_genes for both."
            )
        if any(getattr(file, name) != getattr(first, name) for name in ("dtype", "has_hypothetical", "has_spread")):
            raise InputError(
                f"{file.path} and {first.path} have different data sets or data types: rerun attribute_genes for both."
            )
    windows = pd.concat([file.windows for file in files], ignore_index=True)
    duplicates = windows["gene_id"][windows["gene_id"].duplicated()]
    if len(duplicates):
        raise InputError(
            f"shards of {output} contain the gene {duplicates.iloc[0]} twice: rerun attribute_genes for all shards."
        )
    quality = pd.concat([file.quality for file in files], ignore_index=True)
    with write_attributions(
        output,
        windows,
        first.length,
        first.attrs,
        dtype=first.dtype,
        hypothetical=first.has_hypothetical,
        spread=first.has_spread,
        null_genes=[gene for file in files for gene in file.null_genes],
    ) as append:
        for file in files:
            append.copy(file.path)
        append.quality(quality.assign(prediction=judge_predictions(windows)))


def quality_table(file: AttributionFile) -> pd.DataFrame:
    """Return the quality of each gene's attribution, one row per gene in the order of the file."""
    return file.windows[["gene_id", "split", "measured", "predicted", "predicted_sd"]].join(
        file.quality.drop(columns="gene_id")
    )


def write_bigwig(attributions: Path, sizes: dict[str, int], output: Path) -> None:
    """Write the projected attribution of every base as a BigWig file, in forward-strand coordinates.

    The value of a base is its attribution summed over the four nucleotide channels. Where windows overlap, the value comes from
    the gene with the nearest TSS (ties: the gene that comes first on the chromosome).

    Parameters
    ----------
    attributions: Path
        An attribution file.
    sizes: dict of str to int
        Chromosome lengths.
    output: Path

    Raises
    ------
    InputError
        A window lies outside these chromosomes.
    """
    file = AttributionFile(attributions)
    # Negated <=: an unknown chromosome has length NaN and counts as outside.
    outside = file.windows[~((file.windows["end"] <= file.windows["chrom"].map(sizes)) & (file.windows["start"] >= 0))]
    if len(outside):
        gene, chrom, start, end = outside[["gene_id", "chrom", "start", "end"]].iloc[0]
        raise InputError(
            f"{attributions}: the window of {gene}, {chrom}:{start}-{end}, is outside the genome: use the genome that the data "
            "set was built from."
        )
    with write_whole(output) as part:
        track = pyBigWig.open(str(part), "w")
        track.addHeader(list(sizes.items()))
        for chrom in sizes:
            windows = file.windows[file.windows["chrom"] == chrom].sort_values("start", kind="stable")
            _write_chromosome(track, file, chrom, windows)
        track.close()


def _write_chromosome(track: pyBigWig.pyBigWig, file: AttributionFile, chrom: str, windows: pd.DataFrame) -> None:
    """Write one chromosome, a few runs of overlapping windows at a time.

    Memory is bounded by `_PART_BASES` plus the longest run.
    """
    if windows.empty:
        return
    ends = windows["end"].cummax().shift(fill_value=-1)
    windows = windows.assign(run=(windows["start"] >= ends).cumsum())
    runs = windows.groupby("run").agg(first=("start", "min"), last=("end", "max"))
    # Runs are concatenated in memory: assign each run to a part and to an offset in it.
    before = (runs["last"] - runs["first"]).cumsum().shift(fill_value=0)
    runs["part"] = before // _PART_BASES
    runs["place"] = before - before.groupby(runs["part"]).transform("min")
    windows = windows.join(runs, on="run")
    for part, members in runs.groupby("part"):
        values = _nearest_values(file, windows[windows["part"] == part])
        for run in members.itertuples():
            run_values = values[run.place : run.place + run.last - run.first]
            for start in range(0, len(run_values), _ENTRIES):
                track.addEntries(chrom, run.first + start, values=run_values[start : start + _ENTRIES], span=1, step=1)


def _nearest_values(file: AttributionFile, windows: pd.DataFrame) -> np.ndarray:
    """Return the values of several concatenated runs, each base taking the value of the gene with the nearest TSS."""
    start = windows["place"] + windows["start"] - windows["first"]
    size = int((windows["place"] + windows["last"] - windows["first"]).max())
    values, nearest = np.zeros(size, np.float32), np.full(size, np.iinfo(np.int64).max)
    forward = windows["strand"] == "+"
    mask_start = windows["mask_start"]
    tss, _ = to_genome(start, start + file.length, windows["strand"], mask_start, mask_start + 1)
    order = np.argsort(tss, kind="stable")
    genes = zip(start.iloc[order], mask_start.iloc[order], forward.iloc[order], strict=True)
    base = np.arange(file.length)
    for (first, tss_in_window, on_forward), projected in zip(genes, file.projected(windows.index[order]), strict=True):
        distance = np.abs(base - tss_in_window)
        if not on_forward:
            projected, distance = projected[::-1], distance[::-1]
        covered = slice(first, first + file.length)
        nearer = distance < nearest[covered]
        np.copyto(values[covered], projected, where=nearer)
        np.copyto(nearest[covered], distance, where=nearer)
    return values
