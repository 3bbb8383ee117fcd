"""Read Basenji and Baskerville data folders: windows, tasks, target transform, sequences and targets."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.basenji.tfrecords import read_features, read_records
from cisnake.data.coverage import SUM_STATS, read_pairs, transform_of
from cisnake.data.genome import N, reverse_complement
from cisnake.data.windows import TILE_COLUMNS
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_table
from cisnake.program import Progress, log

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_SIZES = ("seq_length", "target_length", "pool_width", "num_targets")


@dataclass(frozen=True)
class FolderSizes:
    """Sizes of the examples in a data folder.

    Attributes
    ----------
    seq_len: int
        Window length in bp.
    bin_size: int
        Bin size in bp.
    crop: int
        bp without bins at either end of a window.
    bins: int
        Bins per window.
    tasks: int
        Number of targets.
    """

    seq_len: int
    bin_size: int
    crop: int
    bins: int
    tasks: int


@dataclass(frozen=True)
class BasenjiFolder:
    """Contents of a data folder, without sequences and targets.

    Attributes
    ----------
    path: Path
        Path of statistics.json.
    seq_len: int
        Window length in bp.
    bin_size: int
        Bin size in bp.
    crop: int
        bp without bins at either end of a window.
    bins: int
        Bins per window.
    tasks: list of str
        Identifiers of the targets.
    strand_pair: tuple of int
        Per target, the row of the target on the other strand; its own row if there is none.
    windows: pandas.DataFrame
        One row per example, in the order of the records, with the columns of tiles.tsv.
    n_folds: int
        Number of folds; 1 if the splits are train, valid and test.
    files: tuple of Path
        TFRecord files, in the order of the rows.
    first_rows: tuple of int
        Row of the first record of each file.
    """

    path: Path
    seq_len: int
    bin_size: int
    crop: int
    bins: int
    tasks: list[str]
    strand_pair: tuple[int, ...]
    windows: pd.DataFrame
    n_folds: int
    files: tuple[Path, ...]
    first_rows: tuple[int, ...]


def read_folder(folder: str | Path) -> BasenjiFolder:
    """Read the metadata of a data folder, and read every TFRecord file once to check that it is complete.

    Parameters
    ----------
    folder: str or Path
        Folder with statistics.json, sequences.bed, tfrecords/<split>-<i>.tfr and, usually, targets.txt. Splits are train,
        valid and test, or fold0, fold1, …

    Raises
    ------
    InputError
        A file is missing, damaged or truncated, or files contradict each other.
    """
    folder = Path(folder)
    sizes = read_sizes(folder)
    windows = _read_windows(folder / "sequences.bed", sizes.seq_len)
    files, first_rows = _find_files(folder, windows["label"])
    tasks, strand_pair = _read_tasks(folder / "targets.txt", sizes.tasks)
    return BasenjiFolder(
        folder / "statistics.json",
        *(sizes.seq_len, sizes.bin_size, sizes.crop, sizes.bins),
        tasks,
        strand_pair,
        windows[TILE_COLUMNS],
        int(windows["fold"].max()) + 1,
        files,
        first_rows,
    )


def read_sizes(folder: str | Path) -> FolderSizes:
    """Read the sizes of the examples in a data folder, without its examples.

    Parameters
    ----------
    folder: str or Path
        As for `read_folder`.

    Raises
    ------
    InputError
        A file of the folder is missing, or statistics.json contradicts itself.
    """
    folder = Path(folder)
    for name in ("statistics.json", "sequences.bed", "tfrecords"):
        if not (folder / name).exists():
            raise InputError(f"{folder} has no {name}: use a data folder written by basenji_data.py or hound_data.py.")
    path = folder / "statistics.json"
    try:
        statistics = json.loads(path.read_text(encoding="utf-8"))
        seq_len, bins, bin_size, n_tasks = (int(statistics[name]) for name in _SIZES)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not JSON with the numbers {', '.join(_SIZES)} ({error!r}).") from error
    # From the target length rather than crop_bp, which older data sets lack.
    crop, rest = divmod(seq_len - bins * bin_size, 2)
    if rest or crop < 0 or bins < 1:
        raise InputError(f"{path}: {bins} bins of {bin_size} bp are not centred in a window of {seq_len} bp.")
    return FolderSizes(seq_len, bin_size, crop, bins, n_tasks)


def _read_windows(path: Path, seq_len: int) -> pd.DataFrame:
    """Return the columns of tiles.tsv and `label`, sorted by label; within a label in the order of the file and records."""
    try:
        options: dict[str, Any] = {"sep": r"\s+", "header": None, "names": ["chrom", "start", "end", "label"], "dtype": str}
        table = pd.read_csv(path, usecols=range(4), keep_default_na=False, **options).astype({"start": int, "end": int})
    except (ValueError, OSError) as error:
        raise InputError(f"{path} must have the columns chrom, start, end and split: {error}") from error
    labels = table["label"].unique()
    folds = [f"fold{i}" for i in range(max(len(labels), 2))]
    known = list(_SPLITS) if set(labels) & set(_SPLITS) else folds
    for label in labels:
        if label not in known:
            raise unknown_name(f"split in {path}", label, known)
    # Regions span the bins of a window; in older files they span the whole window.
    flank, rest = np.divmod(seq_len - (table["end"] - table["start"]), 2)
    if (rest != 0).any() or (flank < 0).any() or table.empty:
        raise InputError(f"{path}: regions are not centred in windows of {seq_len} bp, the seq_length of statistics.json.")
    table = table.assign(
        window_start=table["start"] - flank, window_end=table["end"] + flank, strand="+", mask_start=0, mask_end=0
    )
    table["gene_id"] = table["chrom"] + ":" + table["window_start"].astype(str) + "-" + table["window_end"].astype(str)
    table["split"] = table["label"].map(_SPLITS).fillna("test")
    table["fold"] = 0 if known == list(_SPLITS) else table["label"].map(folds.index)
    return table.sort_values("label", key=lambda label: label.map(known.index), kind="stable").reset_index(drop=True)


def _find_files(folder: Path, labels: pd.Series) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    """Return the TFRecord files in the order of the rows, and the first row of each."""
    files, first_rows, row = [], [], 0
    progress = Progress("TFRecord files checked", len(list((folder / "tfrecords").glob("*.tfr"))))
    for label, n_expected in labels.value_counts(sort=False).items():
        by_number = {
            int(match[1]): path
            for path in (folder / "tfrecords").iterdir()
            if (match := re.fullmatch(rf"{label}-(\d+)\.tfr", path.name))
        }
        missing = [i for i in range(max(by_number, default=0) + 1) if i not in by_number]
        if missing:
            raise InputError(f"{folder / 'tfrecords'} lacks {label}-{missing[0]}.tfr: copy the folder again, or regenerate it.")
        first = row
        for _, path in sorted(by_number.items()):
            files.append(path)
            first_rows.append(row)
            row += sum(1 for _ in read_records(path))
            progress.advance()
        if row - first != n_expected:
            raise InputError(
                f"{folder / 'tfrecords'} has {row - first} examples of {label}, but sequences.bed has {n_expected}: files are "
                "missing or come from another run."
            )
    return tuple(files), tuple(first_rows)


def _read_tasks(path: Path, n_tasks: int) -> tuple[list[str], tuple[int, ...]]:
    """Return the identifiers of the targets (target0, target1, … without a table) and their strand pairs."""
    if not path.exists():
        log.warning("%s does not exist: tasks are named target0, target1, …", path)
        return [f"target{i}" for i in range(n_tasks)], tuple(range(n_tasks))
    table = read_table(path)
    if "identifier" not in table or len(table) != n_tasks:
        raise InputError(f"{path} must have a column identifier and {n_tasks} rows, the num_targets of statistics.json.")
    duplicates = table["identifier"][table["identifier"].duplicated()]
    if len(duplicates):
        raise InputError(f"{path}: several targets have the identifier {duplicates.iloc[0]}: make them unique in a copy.")
    return list(table["identifier"]), tuple(read_pairs(path, table).tolist())


def read_target_transform(folder: str | Path, order: str = "new") -> dict[str, Any]:
    """Return the transform that turned coverage into targets, in the form of `read_transform`.

    Parameters
    ----------
    folder: str or Path
        A data folder; sum_stat, scale and clip_soft are read from its targets.txt.
    order: str
        "new" (default): the order of Basenji and Baskerville; "old": data sets written with `--transform_old`, such as those
        of the Borzoi paper. The folder does not record which one was used.

    Returns
    -------
    dict
        The kind is "none" if there is no targets.txt.

    Raises
    ------
    InputError
        A sum_stat is unknown, or a value is not a number.
    """
    path = Path(folder) / "targets.txt"
    if not path.exists():
        return {"kind": "none"}
    table = read_table(path)
    tracks = pd.DataFrame({"sum_stat": table.get("sum_stat", pd.Series("sum", table.index))})
    for name in tracks["sum_stat"].unique():
        if name not in SUM_STATS:
            raise unknown_name(f"sum_stat in {path}", name, SUM_STATS)
    for name, default in (("scale", 1.0), ("clip_soft", np.inf)):
        text = table.get(name, pd.Series("", table.index)).str.strip()
        numbers = pd.to_numeric(text.where(~text.isin(["", "NA", "nan"]), str(default)), errors="coerce")
        if numbers.isna().any():
            raise InputError(f"{path}: {name} is {text[numbers.isna()].iloc[0]!r}, not a number.")
        tracks[name] = numbers
    return transform_of(tracks, order).to_dict()


class Examples:
    """Sequences and targets of a data folder by row, for `write_dataset`.

    It takes the place of the genome there (`path`, `codes`). Read rows in order: each file is then decompressed only once for
    sequences and once for targets.

    Parameters
    ----------
    folder: BasenjiFolder
    """

    def __init__(self, folder: BasenjiFolder) -> None:
        self.folder = folder
        self.path = folder.path
        windows = folder.windows
        self._rows = {
            window: row for row, window in enumerate(zip(windows["chrom"], windows["window_start"], windows["window_end"]))
        }
        self._cursors = {"sequence": _Cursor(folder), "target": _Cursor(folder)}

    def __getstate__(self) -> dict[str, Any]:
        # Open files cannot be pickled; size and modification time detect files that have changed since.
        stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in self.folder.files]
        return {"folder": self.folder, "stamps": stamps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]

    def codes(self, chrom: str, start: int, end: int, strand: str = "+") -> np.ndarray:
        """Return the sequence of a window as codes, shape=(seq_len,), dtype=int8: A0 C1 G2 T3 N4.

        Older data sets, one-hot encoded in bytes, are supported; a base that is all zeros is N.

        Parameters
        ----------
        chrom: str
        start, end: int
            A window of the folder, 0-based and half-open.
        strand: str
            "+" (default), or "-" for the reverse complement.

        Raises
        ------
        InputError
            The sequence in the record does not have the length of the window, or has invalid codes.
        """
        file, value = self._cursors["sequence"].read(self._rows[chrom, start, end], "sequence")
        codes = np.frombuffer(value, np.uint8)
        length = self.folder.seq_len
        if len(codes) == 4 * length:
            one_hot = codes.reshape(length, 4)
            if (one_hot.sum(axis=1) > 1).any():
                raise InputError(f"{file}: the sequence of {chrom}:{start}-{end} is not one-hot.")
            codes = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), N)
        if len(codes) != length or codes.max() > N:
            raise InputError(
                f"{file}: the sequence of {chrom}:{start}-{end} has {len(codes)} bytes up to {codes.max(initial=0)}, expected "
                f"{length} up to {N}: is statistics.json from another data set?"
            )
        codes = codes.astype(np.int8)
        return reverse_complement(codes) if strand == "-" else codes

    def labels(self, rows: slice) -> np.ndarray:
        """Return the targets of a slice of rows, shape=(n, tasks, bins), dtype=float32.

        Raises
        ------
        InputError
            A record has the wrong number of targets, or an infinite target.
        """
        bins, tasks = self.folder.bins, len(self.folder.tasks)
        labels = np.empty((rows.stop - rows.start, tasks, bins), np.float32)
        for i, row in enumerate(range(rows.start, rows.stop)):
            file, value = self._cursors["target"].read(row, "target")
            name = self.folder.windows["gene_id"].iloc[row]
            if len(value) != 2 * bins * tasks:
                raise InputError(
                    f"{file}: the targets of {name} take {len(value)} bytes, expected {2 * bins * tasks} for {bins} bins of "
                    f"{tasks} targets: is statistics.json from another data set?"
                )
            labels[i] = np.frombuffer(value, "<f2").reshape(bins, tasks).T
            if np.isinf(labels[i]).any():
                raise InputError(
                    f"{file}: {name} has an infinite target: its coverage exceeds the range of float16; regenerate the file."
                )
        return labels


class _Cursor:
    """A position in the TFRecord files that moves forward to the requested row."""

    def __init__(self, folder: BasenjiFolder) -> None:
        self._folder = folder
        self._file = self._next = -1
        self._records: Iterator[bytes] = iter(())

    def read(self, row: int, feature: str) -> tuple[Path, bytes]:
        """Return the file that contains a row, and one feature of its record."""
        # An empty file and the next one start at the same row: bisect_right selects the next one.
        number = bisect_right(self._folder.first_rows, row) - 1
        file = self._folder.files[number]
        if number != self._file or row < self._next:
            self._file, self._next, self._records = number, self._folder.first_rows[number], read_records(file)
        for record in self._records:
            self._next += 1
            if self._next > row:
                try:
                    return file, read_features(record)[feature]
                except (ValueError, KeyError) as error:
                    raise InputError(
                        f"{file}: record {row - self._folder.first_rows[number]} has no {feature} ({error})."
                    ) from error
        raise InputError(f"{file} changed while it was being read: stop other programs from writing to it, and start again.")
