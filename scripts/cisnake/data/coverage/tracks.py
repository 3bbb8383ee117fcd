"""The table of tracks: which files hold coverage, and what is done to each on the way to labels."""

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

# By name: how the bases of a bin become one number, and the power that is then taken of it.
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
    """Read a table of tracks; the target tables of Basenji and Baskerville are such tables.

    Parameters
    ----------
    path: str or Path
        TSV with a header. `identifier` and `file` are needed; clip, clip_soft, scale, sum_stat, description, strand_pair,
        group, format, count and strand may be there. A first column of any other name, or of none, numbers the rows. More
        columns are left alone.
    data_dir: str or Path
        Where files of relative paths lie. `~` and environment variables in `file` are expanded.

    Returns
    -------
    pandas.DataFrame
        One row a track, in the order of the table, which is that of tasks: identifier, file (absolute), format (bigwig, bam,
        bed or fragments), clip and clip_soft (infinity where there is none), scale (below 0: the sign of the file's values is
        turned), sum_stat, description, strand_pair (row,
        from 0, of the track of the other strand; its own where there is none), group, count and strand (what make_track
        counts, see `count_settings.CountSettings`; empty where the table says nothing).

    Raises
    ------
    InputError
        The table is missing or no table, or rows of it are wrong: all that is wrong is named with its line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"table of tracks {path} is not there: check targets.tracks in the configuration.")
    table = read_user_table(path)
    # Names for the rows, with a header of one cell less, become the index.
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
        problems.append(f"{_line(row)}: the identifier {tracks['identifier'][row]} is there before: name each track once.")
    tracks["strand_pair"] = _pairs(table, problems)
    _check_pairs(tracks, problems)
    if problems:
        raise InputError(f"table of tracks {path}:\n" + "\n".join(problems[:20]))
    return tracks[list(_COLUMNS)]


def read_pairs(path: str | Path, table: pd.DataFrame) -> np.ndarray:
    """Return the row of each track's partner on the other strand, its own where it has none.

    Parameters
    ----------
    path: str or Path
        Where the table is from, for messages.
    table: pandas.DataFrame
        As `files.read_table` reads it, with a column identifier. `strand_pair`, if it is there, names partners by identifier or
        by the number in the first column (by the row, from 0, if the table has no such column).

    Returns
    -------
    numpy.ndarray, shape=(tracks,), dtype=int64

    Raises
    ------
    InputError
        A partner is not there, or does not name the track that names it.
    """
    table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index(names="index")
    problems: list[str] = []
    pairs = _pairs(table, problems)
    if problems:
        raise InputError(f"{path}:\n" + "\n".join(problems[:20]))
    return pairs


def as_bigwigs(tracks: pd.DataFrame, converted: str | Path) -> pd.DataFrame:
    """Return the table with the BigWigs that make_track made, `<identifier>.bw` in a folder, for files of other formats."""
    other = tracks["format"] != "bigwig"
    made = [str(Path(converted).absolute() / f"{identifier}.bw") for identifier in tracks["identifier"]]
    return tracks.assign(file=tracks["file"].mask(other, pd.Series(made, tracks.index)), format="bigwig")


def _line(row: int) -> str:
    return f"line {row + 2}"


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    for name in _REQUIRED:
        if name not in table:
            raise InputError(f"table of tracks {path} has no column {name}: it has {', '.join(table.columns)}.")
    if table.empty:
        raise InputError(f"table of tracks {path} names no track.")
    known = [name for name in (*_TEXT, *_NUMBERS) if name not in table]
    for name in table.columns:
        # Other columns are the user's own, but a name that is almost right would be passed over in silence.
        if name not in (*_REQUIRED, *_TEXT, *_NUMBERS) and difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise unknown_name(f"column of {path}", name, known)


def _absolute(text: str, folder: str) -> str:
    """Return a path without `.` in it; that of a link's parent, `..`, stays. Thousands are made: pathlib takes longer."""
    path = os.path.join(folder, os.path.expanduser(os.path.expandvars(text)))
    return str(Path(path)) if ".." in path else os.path.normpath(path)


def _numbers(text: pd.Series, name: str, default: float, problems: list[str]) -> pd.Series:
    """Return numbers above 0 (scale: other than 0), with the default where there are none; note what is no such number."""
    missing = text.str.strip().isin(_MISSING)
    values = pd.to_numeric(text.mask(missing, "1"), errors="coerce")
    signed = name == "scale"
    least = "other than 0" if signed else "above 0"
    for row in np.flatnonzero(~(((values.abs() if signed else values) > 0) & np.isfinite(values))).tolist():
        problems.append(f"{_line(row)}: {name} is {text[row]!r}: it must be a number {least}, or empty for none.")
    return values.astype(float).mask(missing, default)


def _check_row(name: str, file: str, form: str, sum_stat: str, count: str, strand: str) -> str:
    """Return the format of a track's file; refuse what is wrong in its row."""
    if not name or "/" in name or name != name.strip():
        raise InputError(f"the identifier is {name!r}: it names a file too, so it has no slash, and no space at either end.")
    if "{" in name or "}" in name:
        raise InputError(f"the identifier is {name!r}: Snakemake would read its braces as a wildcard; leave them out.")
    if not os.path.isfile(file):
        raise InputError(f"the file of {name}, {file}, is not there: check it, and the data folder for relative paths.")
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
            f"{os.path.basename(file)} does not say by its suffix what it is: add a column format ({', '.join(FORMATS)}), or "
            "turn it into BigWig first."
        )
    return _SUFFIXES[suffix]


def _pairs(table: pd.DataFrame, problems: list[str]) -> np.ndarray:
    """Return the row of each track's partner, by the number in the table's first column or by identifier."""
    own = table.columns[0] not in (*_REQUIRED, *_TEXT, *_NUMBERS)
    numbers = [str(number) for number in (table.iloc[:, 0] if own else table.index)]
    rows = {name: row for row, name in reversed(list(enumerate(table["identifier"])))}
    rows |= {number: row for row, number in reversed(list(enumerate(numbers)))}
    pairs = np.arange(len(table))
    for row, partner in enumerate(table.get("strand_pair", [])):
        if partner in _MISSING:
            continue
        if partner in rows:
            pairs[row] = rows[partner]
        else:
            problems.append(f"{_line(row)}: strand_pair is {partner!r}: it must be the number of a row or an identifier.")
    for row in np.flatnonzero(pairs[pairs] != np.arange(len(table))).tolist():
        partner = table["identifier"][pairs[row]]
        problems.append(
            f"{_line(row)}: strand_pair of {table['identifier'][row]} is {partner}, but that of {partner} is "
            f"{table['identifier'][pairs[pairs[row]]]}: the tracks of two strands name each other."
        )
    return pairs


def _check_pairs(tracks: pd.DataFrame, problems: list[str]) -> None:
    """Note partners that are treated in different ways."""
    # Labels of minus-strand genes are those of the other track: on another scale they would be another measurement.
    # Their files may differ in sign: some programs write the minus strand below 0.
    pairs, tracks = tracks["strand_pair"].to_numpy(), tracks.assign(scale=tracks["scale"].abs())
    for name in ("clip", "clip_soft", "scale", "sum_stat", "count"):
        other = tracks[name].to_numpy()[pairs]
        for row in np.flatnonzero((tracks[name].to_numpy() != other) & (pairs > np.arange(len(tracks)))).tolist():
            values = [tracks[name][at] or "empty" for at in (row, pairs[row])]
            problems.append(
                f"{_line(row)}: {name} of {tracks['identifier'][row]} is {values[0]}, but {values[1]} in its "
                f"strand_pair {tracks['identifier'][pairs[row]]}: they must be treated alike."
            )
