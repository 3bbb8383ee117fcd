"""Rows of GTF and GFF3 files, and the attributes in their last column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.text_files import read_lines

GTF_COLUMNS = ("chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes")

_N_TABS = len(GTF_COLUMNS) - 1
# Columns of few different values, of which each is kept once.
_FEW = ("chrom", "feature", "strand")
# Rows held as text at a time: a mammalian annotation as one table takes gigabytes.
_BLOCK_ROWS = 100_000
# GFF3 pairs are key=value, GTF's key "value": whichever comes first after the key.
_GFF3_PAIR = re.compile(r"\s*[^\s=;\"']+=")


def is_gff3(path: str | Path) -> bool:
    """Return whether the attributes of a file's first row that has any are written as GFF3 does, `key=value`."""
    for _, line in read_lines(path, "annotation"):
        cells = line.split("\t")
        if not line.startswith("#") and len(cells) == len(GTF_COLUMNS) and cells[-1].strip() not in ("", "."):
            return bool(_GFF3_PAIR.match(cells[-1]))
    return False


def read_rows(path: str | Path, mark: str = "", wanted: Callable[[str], bool] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a GTF or GFF3 file in blocks, with 0-based half-open coordinates.

    Comments, blank lines and the sequences that GFF3 may end with (`##FASTA`) are passed over.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped.
    mark: str
        Text that every wanted line has: most lines are then never taken apart. Default "", all lines.
    wanted: callable, optional
        Tells by its feature (third column) whether a row is wanted; default all.

    Yields
    ------
    pandas.DataFrame
        chrom, feature, start, end (int64), strand ("+", "-", or "." where the file does not know), attributes; the index is
        the number of the line. Only blocks with rows.

    Raises
    ------
    InputError
        A row has not nine columns, or an impossible place or strand; the message names the line.
    """
    path = Path(path)
    numbers: list[int] = []
    rows: list[str] = []
    for number, line in read_lines(path, "annotation"):
        if line.startswith(("##FASTA", ">")):
            break
        if line.count("\t") != _N_TABS:
            if line.startswith("#") or line.isspace():
                continue
            line = line.rstrip()
            if (n_tabs := line.count("\t")) != _N_TABS:
                raise InputError(
                    f"{path}, line {number}: {n_tabs + 1} columns separated by tabs, but GTF and GFF3 have {len(GTF_COLUMNS)}."
                )
        if mark not in line or line.startswith("#"):
            continue
        if wanted is None or wanted(line.split("\t", 3)[2].strip()):
            numbers.append(number)
            rows.append(line if line.endswith("\n") else line + "\n")
            if len(rows) == _BLOCK_ROWS:
                yield _table(path, numbers, rows)
                numbers, rows = [], []
    if rows:
        yield _table(path, numbers, rows)


def _table(path: Path, numbers: list[int], rows: list[str]) -> pd.DataFrame:
    table = pd.read_csv(
        io.StringIO("".join(rows)),
        sep="\t",
        header=None,
        names=GTF_COLUMNS,
        usecols=["chrom", "feature", "start", "end", "strand", "attributes"],
        dtype=dict.fromkeys((*_FEW, "attributes"), object),
        quoting=csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
    )
    table.index = pd.Index(numbers)
    for column in ("start", "end"):
        table[column] = whole_numbers(table[column], path, column)
    refuse((table["start"] < 1) | (table["end"] < table["start"]), path, "start must be at least 1, and end at least start.")
    table["start"] -= 1
    for column in _FEW:
        codes, names = pd.factorize(table[column])
        table[column] = np.array([unquote(name.strip()) for name in names], dtype=object)[codes]
    unknown = ~table["strand"].isin(["+", "-", ".", "?"])
    refuse(unknown, path, "the strand (column 7) must be +, - or '.' where it is not known.")
    table["strand"] = table["strand"].replace("?", ".")
    return table


def whole_numbers(texts: pd.Series, path: Path, column: str) -> pd.Series:
    """Return texts as int64; the index has the numbers of the lines, of which the message names the first that is none."""
    numbers = pd.to_numeric(texts, errors="coerce")
    refuse(~np.isfinite(numbers) | (numbers % 1 != 0), path, f"{column} is not a whole number: is this the right file?")
    return numbers.astype("int64")


def refuse(wrong: pd.Series, path: Path, message: str) -> None:
    """Raise an error that names the line, which the index has, of the first row that is wrong."""
    if wrong.any():
        raise InputError(f"{path}, line {wrong.index[wrong.to_numpy()][0]}: {message}")


def attribute_values(attributes: pd.Series, keys: tuple[str, ...], gff3: bool, decode: bool = True) -> pd.Series:
    """Return the value of the first of several attributes that a row has; "" where it has none of them.

    GTF: `key "value";`, also with single quotes or none; what stands inside quotes, `;` too, belongs to the value. GFF3:
    `key=value;`, of which percent-encoded characters are decoded. An attribute given twice has its first value.

    Parameters
    ----------
    attributes: pandas.Series of str
        The ninth column.
    keys: tuple of str
        Names, in the order in which they are looked for.
    gff3: bool
        How the attributes are written.
    decode: bool
        GFF3: whether percent-encoded characters are decoded (default), or left to the caller, who splits at commas first.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.annotation import attribute_values
    >>> attribute_values(pd.Series(['gene_id "G1"; note "a; b";', "gene_id G2"]), ("gene_id",), gff3=False).tolist()
    ['G1', 'G2']
    >>> attribute_values(pd.Series(["ID=gene-1;Name=a%2Cb"]), ("gene", "Name"), gff3=True).tolist()
    ['a,b']
    """
    values = pd.Series("", index=attributes.index, dtype=object)
    for key in keys:
        empty = (values == "").to_numpy()
        if not empty.any():
            break
        find = _pattern(key, gff3).search
        texts = attributes[empty]
        found = [(match[match.lastindex or 0]).strip() if (match := find(text)) else "" for text in texts]
        values[empty] = [unquote(value) if "%" in value else value for value in found] if gff3 and decode else found
    return values


@cache
def _pattern(key: str, gff3: bool) -> re.Pattern[str]:
    name = re.escape(key)
    if gff3:
        return re.compile(rf"(?:^|;)\s*{name}=([^;]*)")
    end = r"(?=\s*(?:;|$))"
    # Pairs of other keys are passed over whole, so that no value is taken for a key.
    other = rf"(?!{name}\s)[^\s;\"]+(?:\s+'[^']*'{end}|(?:\"[^\"]*\"|[^\";])*+)"
    return re.compile(rf"^\s*+(?:(?:{other})?;\s*+)*+{name}\s+(?:\"([^\"]*)\"|'([^']*)'{end}|([^;]*))")
