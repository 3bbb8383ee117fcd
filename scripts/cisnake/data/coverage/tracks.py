"""Read the table of tracks: files of coverage and how labels are computed from each."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table

FORMATS = ("bigwig", "bam", "bed", "fragments")
COUNTS = ("fragments", "ends", "reads")
STRANDS = ("+", "-")

# Per sum_stat: the pooling of the bases of a bin, and the power applied to the result.
SUM_STATS = {
    "sum": ("sum", 1.0),
    "mean": ("mean", 1.0),
    "avg": ("mean", 1.0),
    "max": ("max", 1.0),
    "median": ("median", 1.0),
    "peak": ("peak", 1.0),
    "sum_sqrt": ("sum", 0.5),
    "mean_sqrt": ("mean", 0.5),
    "avg_sqrt": ("mean", 0.5),
    "sum_exp75": ("sum", 0.75),
}

_SUFFIXES = {
    ".bw": "bigwig",
    ".bigwig": "bigwig",
    ".bam": "bam",
    ".bed": "bed",
    ".narrowpeak": "bed",
    ".broadpeak": "bed",
    ".tsv": "fragments",
    ".fragments": "fragments",
    ".bed3": "fragments",
}
_TEXT = {"format": "", "sum_stat": "sum", "description": "", "strand_pair": "", "group": "all", "count": "", "strand": ""}
_NUMBERS = {"clip": np.inf, "clip_soft": np.inf, "scale": 1.0}
_REQUIRED = ("identifier", "file")
_COLUMNS = (
    *("identifier", "file", "format", "clip", "clip_soft", "scale", "sum_stat", "description", "strand_pair", "group"),
    *("count", "strand"),
)
_MISSING = ("", "NA", "NaN", "nan", "None")


def read_tracks(path: str | Path, data_dir: str | Path = ".") -> pd.DataFrame:
    """Read a table of tracks; target tables of Basenji and Baskerville are supported.

    Parameters
    ----------
    path: str or Path
        TSV with a header. Required columns: identifier, file. Optional columns: clip, clip_soft, scale, sum_stat, description,
        strand_pair, group, format, count, strand. A first column with any other name, or without a name, numbers the rows.
        Further columns are ignored.
    data_dir: str or Path
        Folder to which relative paths in `file` refer. `~` and environment variables in `file` are expanded.

    Returns
    -------
    pandas.DataFrame
        One row per track, in the order of the table, which is the order of tasks. Columns: identifier; file (absolute);
        format (bigwig, bam, bed or fragments); clip and clip_soft (infinity if empty); scale (if negative, the sign of the
        file's values is flipped); sum_stat; description; strand_pair (0-based row of the track of the other strand, its own
        row if there is none); group; count and strand (what make_track counts, see `count_settings.CountSettings`; empty if
        not in the table).

    Raises
    ------
    InputError
        The table is missing or malformed, or rows are invalid. The message lists up to 20 problems with their lines.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"table of tracks {path} does not exist: check targets.tracks in the configuration.")
    table = read_user_table(path)
    # If rows have one cell more than the header, pandas takes the first column as the index.
    table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index(names="index")
    _check_columns(path, table)
    problems: list[str] = []
    tracks = pd.DataFrame({"identifier": table["identifier"]})
    folder = str(Path(data_dir).absolute())
    tracks["file"] = [_absolute(text, folder) for text in table["file"]]
    for name, default in _TEXT.items():
        tracks[name] = table[name].mask(table[name].isin(_MISSING), default) if name in table else default
    for name, number in _NUMBERS.items():
        tracks[name] = _numbers(table[name], name, number, problems) if name in table else number
    formats = tracks["format"].tolist()
    rows = tracks[["identifier", "file", "format", "sum_stat", "count", "strand"]].itertuples(index=False, name=None)
    for row, track in enumerate(rows):
        try:
            formats[row] = _check_row(*track)
        except InputError as error:
            problems.append(f"{_line(row)}: {error}")
    tracks["format"] = formats
    for row in np.flatnonzero(tracks["identifier"].duplicated()).tolist():
        problems.append(
            f"{_line(row)}: the identifier {tracks['identifier'][row]} is not unique: give each track its own identifier."
        )
    tracks["strand_pair"] = _pairs(table, problems)
    _check_pairs(tracks, problems)
    if problems:
        raise InputError(f"table of tracks {path}:\n" + "\n".join(problems[:20]))
    return tracks[list(_COLUMNS)]


def read_pairs(path: str | Path, table: pd.DataFrame) -> np.ndarray:
    """Return the row of each track's partner on the other strand, or its own row if it has none.

    Parameters
    ----------
    path: str or Path
        Path of the table, for error messages.
    table: pandas.DataFrame
        As from `files.read_table`, with a column identifier. The optional column strand_pair names partners by identifier or
        by the number in the first column (by the 0-based row, if the table does not number its rows).

    Returns
    -------
    numpy.ndarray, shape=(tracks,), dtype=int64

    Raises
    ------
    InputError
        A partner is not in the table, or two tracks do not name each other.
    """
    table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index(names="index")
    problems: list[str] = []
    pairs = _pairs(table, problems)
    if problems:
        raise InputError(f"{path}:\n" + "\n".join(problems[:20]))
    return pairs


def read_network_tasks(path: str | Path | None, count: int) -> tuple[list[str], list[int] | None]:
    """Return the names of the tasks of a network, and for each the task of the other strand.

    Parameters
    ----------
    path: str or Path, optional
        Table with the column `task`, or `identifier` as in Basenji's tables of targets, in the order of the network, and
        optionally strand_pair (see `read_pairs`). Default None: task_0, task_1, ..., without partners.
    count: int
        Number of tasks that the network predicts.

    Returns
    -------
    names: list of str
    strand_pair: list of int, or None
        None if the table has no such column.

    Raises
    ------
    InputError
        The table has neither column or another number of rows, or its strand pairs do not name each other.
    """
    if path is None:
        return [f"task_{i}" for i in range(count)], None
    table = read_user_table(path)
    column = next((name for name in ("task", "identifier") if name in table), None)
    if column is None:
        raise InputError(f"{path} has no column task or identifier: its columns are {', '.join(table.columns)}.")
    if len(table) != count:
        raise InputError(f"{path} names {len(table)} tasks, but the network predicts {count}.")
    names = list(table[column].astype(str))
    return names, read_pairs(path, table.assign(identifier=names)).tolist() if "strand_pair" in table else None


def as_bigwigs(tracks: pd.DataFrame, converted: str | Path) -> pd.DataFrame:
    """Replace files of other formats by the BigWigs that make_track writes: `<identifier>.bw` in the folder `converted`."""
    other = tracks["format"] != "bigwig"
    paths = [str(Path(converted).absolute() / f"{identifier}.bw") for identifier in tracks["identifier"]]
    return tracks.assign(file=tracks["file"].mask(other, pd.Series(paths, tracks.index)), format="bigwig")


def _line(row: int) -> str:
    return f"line {row + 2}"


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    for name in _REQUIRED:
        if name not in table:
            raise InputError(f"table of tracks {path} has no column {name}: its columns are {', '.join(table.columns)}.")
    if table.empty:
        raise InputError(f"table of tracks {path} has no rows: add at least one track.")
    known = [name for name in (*_TEXT, *_NUMBERS) if name not in table]
    for name in table.columns:
        # Users may add columns, but a misspelt name would be ignored silently.
        if name not in (*_REQUIRED, *_TEXT, *_NUMBERS) and difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise unknown_name(f"column of {path}", name, known)


def _absolute(text: str, folder: str) -> str:
    """Return an absolute path without `.`; `..` stays, because the parent of a link is that of its target."""
    # os.path is faster than pathlib, and tables may have thousands of rows.
    path = os.path.join(folder, os.path.expanduser(os.path.expandvars(text)))
    return str(Path(path)) if ".." in path else os.path.normpath(path)


def _numbers(text: pd.Series, name: str, default: float, problems: list[str]) -> pd.Series:
    """Parse numbers above 0 (scale: other than 0), empty cells as the default; append invalid cells to `problems`."""
    missing = text.str.strip().isin(_MISSING)
    values = pd.to_numeric(text.mask(missing, "1"), errors="coerce")
    signed = name == "scale"
    condition = "other than 0" if signed else "above 0"
    for row in np.flatnonzero(~(((values.abs() if signed else values) > 0) & np.isfinite(values))).tolist():
        problems.append(f"{_line(row)}: {name} is {text[row]!r}: it must be a number {condition}, or empty for the default.")
    return values.astype(float).mask(missing, default)


def _check_row(name: str, file: str, form: str, sum_stat: str, count: str, strand: str) -> str:
    """Return the format of a track's file, and raise an error if its row is invalid."""
    if not name or "/" in name or name != name.strip():
        raise InputError(
            f"the identifier is {name!r}: it is used as a file name, so it must not be empty, contain a slash, or start or end "
            "with a space."
        )
    if "{" in name or "}" in name:
        raise InputError(f"the identifier is {name!r}: remove the braces, which Snakemake would read as a wildcard.")
    if not os.path.isfile(file):
        raise InputError(
            f"the file of {name}, {file}, does not exist: check the path; relative paths refer to the data folder."
        )
    if sum_stat not in SUM_STATS:
        raise unknown_name("sum_stat", sum_stat, SUM_STATS)
    for column, value, known in (("format", form, FORMATS), ("count", count, COUNTS), ("strand", strand, STRANDS)):
        if value and value not in known:
            raise unknown_name(column, value, known)
    if form:
        return form
    suffix = os.path.splitext(os.path.basename(file).lower().removesuffix(".gz"))[1]
    if suffix not in _SUFFIXES:
        raise InputError(
            f"the suffix of {os.path.basename(file)} is not known: add a column format ({', '.join(FORMATS)}), or convert the "
            "file to BigWig first."
        )
    return _SUFFIXES[suffix]


def _pairs(table: pd.DataFrame, problems: list[str]) -> np.ndarray:
    """Return the row of each track's partner, named by identifier or by the number in the table's first column."""
    has_numbers = table.columns[0] not in (*_REQUIRED, *_TEXT, *_NUMBERS)
    numbers = [str(number) for number in (table.iloc[:, 0] if has_numbers else table.index)]
    rows = {name: row for row, name in reversed(list(enumerate(table["identifier"])))}
    rows |= {number: row for row, number in reversed(list(enumerate(numbers)))}
    pairs = np.arange(len(table))
    for row, partner in enumerate(table.get("strand_pair", [])):
        if partner in _MISSING:
            continue
        if partner in rows:
            pairs[row] = rows[partner]
        else:
            problems.append(f"{_line(row)}: strand_pair is {partner!r}: it must be a row number or an identifier of the table.")
    for row in np.flatnonzero(pairs[pairs] != np.arange(len(table))).tolist():
        partner = table["identifier"][pairs[row]]
        problems.append(
            f"{_line(row)}: strand_pair of {table['identifier'][row]} is {partner}, but that of {partner} is "
            f"{table['identifier'][pairs[pairs[row]]]}: the tracks of two strands must name each other."
        )
    return pairs


def _check_pairs(tracks: pd.DataFrame, problems: list[str]) -> None:
    """Append to `problems` the partners whose settings differ."""
    # Minus-strand genes take labels from the partner track, so both must be on the same scale. The sign of scale may differ:
    # some programs write the minus strand as negative values.
    pairs, tracks = tracks["strand_pair"].to_numpy(), tracks.assign(scale=tracks["scale"].abs())
    for name in ("clip", "clip_soft", "scale", "sum_stat", "count"):
        other = tracks[name].to_numpy()[pairs]
        for row in np.flatnonzero((tracks[name].to_numpy() != other) & (pairs > np.arange(len(tracks)))).tolist():
            values = [tracks[name][i] or "empty" for i in (row, pairs[row])]
            problems.append(
                f"{_line(row)}: {name} of {tracks['identifier'][row]} is {values[0]}, but {values[1]} in its "
                f"strand_pair {tracks['identifier'][pairs[row]]}: the settings of partners must be identical."
            )
