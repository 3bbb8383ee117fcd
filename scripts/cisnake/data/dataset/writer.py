"""Writing dataset.h5 and genes.h5."""

from __future__ import annotations

import glob
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake import __version__
from cisnake.data.dataset.layout import SCHEMA_VERSION, WINDOW_COLUMNS
from cisnake.data.dataset.pieces import Job, Rows, copy_piece, is_made, make_pieces
from cisnake.data.genome import Genome
from cisnake.data.windows import SPLITS
from cisnake.errors import InputError, unknown_name
from cisnake.files import digest
from cisnake.program import Progress

_STRING = h5py.string_dtype("utf-8")


def write_dataset(
    path: str | Path,
    windows: pd.DataFrame,
    labels: np.ndarray | Rows,
    tasks: list[str],
    genome: Genome,
    pad: int,
    attributes: Mapping[str, Any],
    transform: Mapping[str, Any] | None = None,
    bin_size: int = 0,
    crop: int = 0,
    gene_bins: np.ndarray | Rows | None = None,
    processes: int = 1,
) -> None:
    """Write the windows, masks and labels of genes or tiles to an HDF5 file.

    Rows are made some at a time, each piece a file in the folder `<name>.pieces-<digest>` beside the output, and put together
    at the end, so that memory does not grow with the number of rows and a second call goes on where a killed one stopped. The
    digest is of all that decides a piece: what a function for labels or gene_bins reads from files must be named, with its
    checksum, in `attributes`. While they are put together, pieces and file take twice the size of the file on disk.

    Parameters
    ----------
    path: str or Path
        The file; it appears under this name when it is whole.
    windows: pandas.DataFrame, N rows
        Columns of genes.tsv: gene_id, split, chrom, strand, window_start, window_end, mask_start, mask_end, fold. All windows
        are of one length. 0-based, half-open; the mask is counted from the 5' end of the window.
    labels: numpy.ndarray, shape=(N, tasks) or (N, tasks, bins), dtype=float32, or callable
        In the order of `windows`, bins in the direction of the strand; NaN where not measured. Or a function, which can be
        pickled, from a slice of rows to an array of shape (n, tasks, bins).
    tasks: list of str
        Names of the tasks.
    genome: Genome
        Where the sequences come from; every process opens the file for itself.
    pad: int
        Bases stored beyond each end of the window, so that training can shift it; N beyond chromosome ends.
    attributes: mapping
        Provenance, kept as attributes of the file.
    transform: mapping, optional
        What was done to the measurements, with a key `kind`. Default None: nothing, {"kind": "none"}.
    bin_size: int
        bp in a bin. Default 0: expression, one number a window and task.
    crop: int
        bp at either end of the window that have no bins. Default 0.
    gene_bins: numpy.ndarray, shape=(N, bins), dtype=float32, or callable, optional
        The weight of each bin in the gene's own score, in the direction of the strand; or a function as for `labels`.
    processes: int
        How many processes make pieces. Default 1: this one.

    Raises
    ------
    InputError
        There is no window, an id stands twice, windows differ in length, a split is unknown, bins do not fill the window, or a
        process was killed.
    """
    path = Path(path)
    seq_len = _check_windows(path, windows)
    bins, rest = divmod(seq_len - 2 * crop, bin_size) if bin_size else (1, 0)
    if rest or bins < 1:
        raise InputError(f"{path}: bins of {bin_size} bp do not fill a window of {seq_len} bp less {crop} bp at either end.")
    padded = seq_len + 2 * pad
    values = {"labels": labels} if gene_bins is None else {"labels": labels, "gene_bins": gene_bins}
    arrays = {name: np.asarray(array, np.float32) for name, array in values.items() if not callable(array)}
    if "labels" in arrays and arrays["labels"].ndim == 2:
        arrays["labels"] = arrays["labels"][:, :, None]
    shapes: dict[str, tuple[int, ...]] = {"sequences": (padded,), "masks": (padded,), "labels": (len(tasks), bins)}
    if gene_bins is not None:
        shapes["gene_bins"] = (bins,)
    job = Job(
        _rename(windows),
        genome.path,
        pad,
        shapes,
        # Labels of expression are small, have no runs to compress, and are asked for row by row.
        contiguous=() if bin_size else ("labels",),
        sources={name: source for name, source in values.items() if callable(source)},
    )
    for name, array in arrays.items():
        if array.shape != (len(windows), *job.shapes[name]):
            raise ValueError(f"{name} has shape {array.shape} instead of {(len(windows), *job.shapes[name])}")
    settings = {**attributes, "bin_size": bin_size, "crop": crop}
    texts = {"target_transform": json.dumps(transform or {"kind": "none"}), "tasks": tasks}
    folder = path.with_name(f"{path.name}.pieces-{_digest(job, settings, texts)[:12]}")
    folder.mkdir(parents=True, exist_ok=True)
    pieces = job.cut()
    missing = [rows for rows in pieces if not is_made(folder, rows)]
    progress = Progress("windows written", len(windows), len(windows) - sum(rows.stop - rows.start for rows in missing))
    for rows in make_pieces(job, genome, folder, missing, processes):
        progress.advance(rows.stop - rows.start)
    # Not `write_whole`: what a killed process leaves of the whole file then lies in the folder of the pieces, and goes with it.
    whole = folder / "whole.h5"
    with h5py.File(whole, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in settings.items():
            file.attrs[key] = value
        for name, number in (("pad", pad), ("seq_len", seq_len), ("padded_seq_len", padded)):
            file[name] = number
        texts["genes"] = windows[["gene_id", "split"]].to_numpy(object)
        for column in WINDOW_COLUMNS:
            if column in ("chrom", "strand"):
                texts[f"windows/{column}"] = job.windows[column].to_numpy(object)
            else:
                file[f"windows/{column}"] = job.windows[column].to_numpy(np.int64)
        for name, text in texts.items():
            file.create_dataset(name, data=text, dtype=_STRING)
        for name in shapes:
            job.create(file, name)
        for name, array in arrays.items():
            file[name][:] = array
        for rows in pieces:
            copy_piece(folder, rows, file)
    os.replace(whole, path)
    for left in path.parent.glob(f"{glob.escape(path.name)}.pieces-*"):
        shutil.rmtree(left)


def _check_windows(path: Path, windows: pd.DataFrame) -> int:
    """Return the length of the windows, refusing tables that make no data set."""
    if windows.empty:
        raise InputError(f"{path} would have no windows: every gene or tile was dropped before.")
    ids = windows["gene_id"].reset_index(drop=True)
    if ids.duplicated().any():
        raise InputError(f"{path}: the id {ids[ids.duplicated()].iloc[0]} stands at two windows: give each an id of its own.")
    for split in sorted(set(windows["split"]) - set(SPLITS)):
        raise unknown_name("split", split, SPLITS)
    lengths = (windows["window_end"] - windows["window_start"]).to_numpy()
    if (lengths != lengths[0]).any():
        other = int(np.argmax(lengths != lengths[0]))
        raise InputError(
            f"{path}: the window of {ids[other]} has {lengths[other]} bp, that of {ids[0]} has {lengths[0]}: make all as long."
        )
    return int(lengths[0])


def _rename(windows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `windows/`."""
    columns = {"window_start": "start", "window_end": "end"}
    kept = ["chrom", "window_start", "window_end", "strand", "mask_start", "mask_end", "fold"]
    return windows[kept].rename(columns=columns).reset_index(drop=True)


def _digest(job: Job, settings: Mapping[str, Any], texts: Mapping[str, Any]) -> str:
    """Return one digest of all that decides the pieces, and of the settings, which name what the sources read."""
    stat = job.genome.stat()
    genome = [str(job.genome.resolve()), stat.st_size, stat.st_mtime_ns]
    shapes = [[name, list(shape)] for name, shape in job.shapes.items()]
    rows = [[piece.start, piece.stop] for piece in job.cut()]
    said = [__version__, SCHEMA_VERSION, genome, job.pad, shapes, rows, dict(settings), dict(texts)]
    windows = pd.util.hash_pandas_object(job.windows, index=False).to_numpy()
    return digest(
        json.dumps(said, sort_keys=True, default=lambda value: np.asarray(value).tolist()),
        windows.tobytes().hex(),
        pickle.dumps(job.sources).hex(),
    )
