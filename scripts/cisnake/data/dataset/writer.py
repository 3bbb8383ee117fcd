"""Write dataset.h5 and genes.h5."""

from __future__ import annotations

import glob
import json
import os
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake import __version__
from cisnake.data.dataset.layout import DATASET_SCHEMA_VERSION, DATASET_WINDOW_COLUMNS, target_length
from cisnake.data.dataset.pieces import PiecePlan, Rows, copy_piece, is_made, make_pieces
from cisnake.data.genome import Genome
from cisnake.data.windows import SPLITS
from cisnake.errors import InputError, unknown_name
from cisnake.files import digest
from cisnake.program import Progress

_STRING = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class Layout:
    """Padding and binning of the stored windows.

    Parameters
    ----------
    pad: int
        Bases stored beyond each end of the window, so that training can shift it; N beyond chromosome ends. Default 0.
    bin_size: int
        Length of a bin, bp. Default 0: expression, one label per window and task.
    crop: int
        Bases without bins at each end of the window. Default 0.
    """

    pad: int = 0
    bin_size: int = 0
    crop: int = 0


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of N windows, one or several per task.

    Parameters
    ----------
    values: numpy.ndarray, shape=(N, tasks) or (N, tasks, bins), dtype=float32, or callable
        Labels in the order of the windows, bins in the direction of the strand; NaN for missing values. Or a picklable
        function that takes a slice of rows and returns an array of shape (n, tasks, bins).
    tasks: list of str
        Names of the tasks.
    transform: mapping, optional
        The transform applied to the measurements, with a key `kind`. Default None: no transform, {"kind": "none"}.
    gene_bins: numpy.ndarray, shape=(N, bins), dtype=float32, or callable, optional
        The weight of each bin in the score of the gene, in the direction of the strand; or a function as for `values`.
    strand_pair: sequence of int, optional
        For each task, the index of the task that measures the opposite strand; an unstranded task has its own index.
        Default None: all tasks are unstranded.
    """

    values: np.ndarray | Rows
    tasks: list[str]
    transform: Mapping[str, Any] | None = None
    gene_bins: np.ndarray | Rows | None = None
    strand_pair: Sequence[int] | np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the data sets given as arrays: labels, shape=(N, tasks, bins), and gene_bins, both float32."""
        arrays = {name: np.asarray(data, np.float32) for name, data in self._datasets() if not callable(data)}
        if "labels" in arrays and arrays["labels"].ndim == 2:
            arrays["labels"] = arrays["labels"][:, :, None]
        return arrays

    def sources(self) -> dict[str, Rows]:
        """Return the data sets given as functions of rows."""
        return {name: data for name, data in self._datasets() if callable(data)}

    def _datasets(self) -> list[tuple[str, np.ndarray | Rows]]:
        return [("labels", self.values)] + ([] if self.gene_bins is None else [("gene_bins", self.gene_bins)])


def write_dataset(
    path: str | Path,
    windows: pd.DataFrame,
    labels: Labels,
    genome: Genome,
    layout: Layout,
    attributes: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Write the windows, masks and labels of genes or tiles to an HDF5 file.

    Rows are written in pieces, each a file in the folder `<name>.pieces-<digest>` next to the output, and joined at the end.
    Memory use is therefore independent of the number of rows, and an interrupted run resumes where it stopped. The digest
    covers everything that determines a piece. If a function for labels or gene_bins reads files, name these files and their
    checksums in `attributes`. During the final step, pieces and output together need twice the disk space of the output.

    Parameters
    ----------
    path: str or Path
        The output file; it appears under this name once it is complete.
    windows: pandas.DataFrame, N rows
        Columns of genes.tsv: gene_id, split, chrom, strand, window_start, window_end, mask_start, mask_end, fold. All windows
        have the same length. 0-based, half-open; the mask is counted from the 5' end of the window.
    labels: Labels
    genome: Genome
        Source of the sequences; each process opens the file itself.
    layout: Layout
    attributes: mapping
        Provenance, stored as attributes of the file.
    processes: int
        Number of processes that write pieces. Default 1: this process only.

    Raises
    ------
    InputError
        There are no windows, an id is repeated, window lengths differ, a split is unknown, bins do not fill the window, or a
        process was killed.
    """
    path = Path(path)
    seq_len = _check_windows(path, windows)
    bins = target_length(seq_len, layout.bin_size, layout.crop, path)
    plan = _plan_pieces(windows, labels, genome, layout, seq_len, bins)
    arrays = labels.arrays()
    _check_shapes(arrays, plan)
    settings = {**attributes, "bin_size": layout.bin_size, "crop": layout.crop}
    texts = {"target_transform": json.dumps(labels.transform or {"kind": "none"}), "tasks": labels.tasks}
    pairs = {} if labels.strand_pair is None else {"strand_pair": np.asarray(labels.strand_pair, np.int32)}
    folder = path.with_name(f"{path.name}.pieces-{_digest(plan, settings | pairs, texts)[:12]}")
    folder.mkdir(parents=True, exist_ok=True)
    _make_missing(plan, genome, folder, processes)
    # `write_whole` is not used: a partial file left by a killed process is then in the pieces folder and removed with it.
    whole = folder / "whole.h5"
    with h5py.File(whole, "w") as file:
        file.attrs["schema_version"] = DATASET_SCHEMA_VERSION
        for key, value in settings.items():
            file.attrs[key] = value
        lengths = {"pad": layout.pad, "seq_len": seq_len, "padded_seq_len": seq_len + 2 * layout.pad}
        _write_windows(file, plan, lengths | pairs, texts | {"genes": windows[["gene_id", "split"]].to_numpy(object)})
        _write_rows(file, plan, arrays, folder)
    os.replace(whole, path)
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.pieces-*"):
        shutil.rmtree(leftover)


def _plan_pieces(windows: pd.DataFrame, labels: Labels, genome: Genome, layout: Layout, seq_len: int, bins: int) -> PiecePlan:
    padded = seq_len + 2 * layout.pad
    shapes: dict[str, tuple[int, ...]] = {"sequences": (padded,), "masks": (padded,), "labels": (len(labels.tasks), bins)}
    if labels.gene_bins is not None:
        shapes["gene_bins"] = (bins,)
    # Expression labels are small, hardly compressible, and read row by row.
    contiguous = () if layout.bin_size else ("labels",)
    return PiecePlan(_rename(windows), genome.path, layout.pad, shapes, contiguous, labels.sources())


def _check_shapes(arrays: Mapping[str, np.ndarray], plan: PiecePlan) -> None:
    for name, array in arrays.items():
        shape = (len(plan.windows), *plan.shapes[name])
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; expected {shape}")


def _make_missing(plan: PiecePlan, genome: Genome, folder: Path, processes: int) -> None:
    """Write the pieces that an earlier call did not finish."""
    missing = [rows for rows in plan.cut() if not is_made(folder, rows)]
    n, n_missing = len(plan.windows), sum(rows.stop - rows.start for rows in missing)
    progress = Progress("windows written", n, n - n_missing)
    for rows in make_pieces(plan, genome, folder, missing, processes):
        progress.advance(rows.stop - rows.start)


def _write_windows(file: h5py.File, plan: PiecePlan, numbers: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
    """Write the small data sets: numbers, texts, and the coordinates of the windows."""
    for name, value in numbers.items():
        file[name] = value
    for column in DATASET_WINDOW_COLUMNS:
        if column in ("chrom", "strand"):
            texts = {**texts, f"windows/{column}": plan.windows[column].to_numpy(object)}
        else:
            file[f"windows/{column}"] = plan.windows[column].to_numpy(np.int64)
    if "background" in plan.windows:
        file["windows/background"] = plan.windows["background"].to_numpy(np.int8)
    for name, text in texts.items():
        file.create_dataset(name, data=text, dtype=_STRING)


def _write_rows(file: h5py.File, plan: PiecePlan, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write the data sets with one row per window: the arrays, and the pieces from the folder."""
    for name in plan.shapes:
        plan.create(file, name)
    for name, array in arrays.items():
        file[name][:] = array
    for rows in plan.cut():
        copy_piece(folder, rows, file)


def _check_windows(path: Path, windows: pd.DataFrame) -> int:
    """Check the table of windows and return the window length."""
    if windows.empty:
        raise InputError(f"{path} would contain no windows: every gene or tile was dropped earlier.")
    ids = windows["gene_id"].reset_index(drop=True)
    if ids.duplicated().any():
        raise InputError(f"{path}: two windows have the id {ids[ids.duplicated()].iloc[0]}: ids must be unique.")
    for split in sorted(set(windows["split"]) - set(SPLITS)):
        raise unknown_name("split", split, SPLITS)
    lengths = (windows["window_end"] - windows["window_start"]).to_numpy()
    if (lengths != lengths[0]).any():
        other = int(np.argmax(lengths != lengths[0]))
        raise InputError(
            f"{path}: the window of {ids[other]} has {lengths[other]} bp, that of {ids[0]} has {lengths[0]} bp: all windows "
            "must have the same length."
        )
    return int(lengths[0])


def _rename(windows: pd.DataFrame) -> pd.DataFrame:
    """Return the windows with the column names of `windows/`."""
    columns = {"window_start": "start", "window_end": "end"}
    kept = ["chrom", "window_start", "window_end", "strand", "mask_start", "mask_end", "fold"]
    kept += ["background"] if "background" in windows else []
    return windows[kept].rename(columns=columns).reset_index(drop=True)


def _digest(plan: PiecePlan, settings: Mapping[str, Any], texts: Mapping[str, Any]) -> str:
    """Return a digest of everything that determines the pieces; the settings name the files that the sources read."""
    stat = plan.genome.stat()
    genome = [str(plan.genome.resolve()), stat.st_size, stat.st_mtime_ns]
    shapes = [[name, list(shape)] for name, shape in plan.shapes.items()]
    rows = [[piece.start, piece.stop] for piece in plan.cut()]
    state = [__version__, DATASET_SCHEMA_VERSION, genome, plan.pad, shapes, rows, dict(settings), dict(texts)]
    windows = pd.util.hash_pandas_object(plan.windows, index=False).to_numpy()
    return digest(
        json.dumps(state, sort_keys=True, default=lambda value: np.asarray(value).tolist()),
        windows.tobytes().hex(),
        pickle.dumps(plan.sources).hex(),
    )
