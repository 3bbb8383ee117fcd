"""attributions/<contrast>.h5: attribution of every gene's window for one contrast."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.interpret.contrasts import Contrast

WINDOW_COLUMNS = ("chrom", "start", "end", "strand", "mask_start", "mask_end", "fold", "split")
SCORE_COLUMNS = ("predicted", "measured", "predicted_sd")

_STRING = h5py.string_dtype("utf-8")
_TEXT = ("chrom", "strand", "split")
_JSON = ("on_tasks", "off_tasks", "models", "method_options", "reverse_complement", "shifts")


class AttributionFile:
    """One file of attributions, read in blocks of genes.

    Parameters
    ----------
    path: str or Path
        A file written by `write_attributions`.

    Attributes
    ----------
    windows: pandas.DataFrame
        One row a gene: gene_id, the window on the genome (chrom, start, end, strand), mask_start and mask_end in the
        window, fold, split, and the contrast's score as predicted (mean and standard deviation over replicates) and measured.
    attrs: dict
        contrast, score, on_tasks, off_tasks; method, method_options (a dict), reverse_complement, shifts; models (digests),
        replicates.
    length: int
        Bases in a window.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a file of attributions.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with h5py.File(path, "r") as file:
                self.windows = pd.DataFrame({"gene_id": file["genes"].asstr()[:]})
                for column in WINDOW_COLUMNS:
                    values = file[f"windows/{column}"]
                    self.windows[column] = values.asstr()[:] if column in _TEXT else values[:]
                for column in SCORE_COLUMNS:
                    self.windows[column] = file[column][:]
                self.attrs: dict[str, Any] = {
                    key: json.loads(value) if key in _JSON else value for key, value in file.attrs.items()
                }
                self.length: int = file["attributions"].shape[2]
        except (OSError, KeyError) as error:
            raise InputError(
                f"{path} is not a whole file of attributions ({str(error).splitlines()[0]}): make it again."
            ) from error

    @property
    def contrast(self) -> Contrast:
        """What was asked of the models."""
        attrs = self.attrs
        return Contrast(attrs["contrast"], tuple(attrs["on_tasks"]), tuple(attrs["off_tasks"]), attrs["score"])

    @property
    def genes(self) -> list[str]:
        """Ids of the genes, in the order of the file."""
        return list(self.windows["gene_id"])

    def __len__(self) -> int:
        return len(self.windows)

    def read_block(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows [first, last).

        Returns
        -------
        attributions: numpy.ndarray, shape=(n, 4, length), dtype=float32
            Non-zero at the base that stands in the sequence only: positive where it raises the score.
        sequences: numpy.ndarray, shape=(n, length), dtype=int8
            Codes, gene-oriented.
        """
        with h5py.File(self.path, "r") as file:
            return file["attributions"][first:last], file["sequences"][first:last]

    def blocks(self, megabytes: int = 64) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield (rows, attributions, sequences) over the whole file in blocks of about that size."""
        step = max(1, megabytes * 1_000_000 // (16 * self.length))
        for first in range(0, len(self), step):
            attributions, sequences = self.read_block(first, first + step)
            yield slice(first, first + len(sequences)), attributions, sequences


@contextmanager
def write_attributions(
    path: str | Path, windows: pd.DataFrame, length: int, attrs: Mapping[str, Any]
) -> Iterator[Callable[..., None]]:
    """Give a function that appends attributions of consecutive genes to a file, which appears when all are there.

    Parameters
    ----------
    path: str or Path
    windows: pandas.DataFrame
        As `AttributionFile.windows`, without predicted and predicted_sd; may be empty.
    length: int
        Bases in a window.
    attrs: mapping
        As `AttributionFile.attrs`; what is no text or number is stored as JSON.

    Yields
    ------
    callable
        Takes attributions (n, 4, length), sequences (n, length), predicted (n,) and predicted_sd (n,) of the next n genes.

    Raises
    ------
    ValueError
        Not as many genes were appended as `windows` has rows.
    """
    n = len(windows)
    with write_whole(path) as part, h5py.File(part, "w") as file:
        for key, value in attrs.items():
            file.attrs[key] = json.dumps(value) if key in _JSON else value
        file.create_dataset("genes", data=windows["gene_id"].to_numpy(object), dtype=_STRING)
        for column in WINDOW_COLUMNS:
            if column in _TEXT:
                file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(object), dtype=_STRING)
            else:
                file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(np.int64))
        file.create_dataset("measured", data=windows["measured"].to_numpy(np.float32))
        parts = {name: file.create_dataset(name, (n,), np.float32) for name in ("predicted", "predicted_sd")}
        for name, shape, kind in (("attributions", (4, length), np.float32), ("sequences", (length,), np.int8)):
            storage: dict[str, Any] = {"chunks": (1, *shape), "compression": "gzip", "compression_opts": 4} if n else {}
            parts[name] = file.create_dataset(name, (n, *shape), kind, shuffle=bool(n) and kind == np.float32, **storage)
        done = 0

        def append(attributions: np.ndarray, sequences: np.ndarray, predicted: np.ndarray, predicted_sd: np.ndarray) -> None:
            nonlocal done
            rows = slice(done, done + len(sequences))
            parts["attributions"][rows], parts["sequences"][rows] = attributions, sequences
            parts["predicted"][rows], parts["predicted_sd"][rows] = predicted, predicted_sd
            done += len(sequences)

        yield append
        if done != n:
            raise ValueError(f"attributions of {done} genes were given for {n}")
