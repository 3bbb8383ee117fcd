"""Read rows and attributes of GTF and GFF3 files."""

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
# Columns with few distinct values, which are stored once each.
_FEW = ("chrom", "feature", "strand")
# Rows per block: a mammalian annotation as one table takes gigabytes.
_BLOCK_ROWS = 100_000
# GFF3 pairs are key=value and GTF pairs are key "value": the first separator after the key decides.
_GFF3_PAIR = re.compile(r"\s*[^\s=;\"']+=")
_BARE_WORD = re.compile(r"\s*([^\s;=\"']+)\s*;?\s*")


def is_gff3(path: str | Path) -> bool:
    """Return whether a file is GFF3: the first row with attributes writes them as `key=value`."""
    for _, line in read_lines(path, "annotation"):
        cells = line.split("\t")
        if not line.startswith("#") and len(cells) == len(GTF_COLUMNS) and cells[-1].strip() not in ("", "."):
            return bool(_GFF3_PAIR.match(cells[-1]))
    return False


def read_rows(path: str | Path, mark: str = "", wanted: Callable[[str], bool] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a GTF or GFF3 file in blocks, with 0-based half-open coordinates.

    Comments, blank lines and the sequences at the end of a GFF3 file (`##FASTA`) are skipped.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped.
    mark: str
        Text that every wanted line contains; other lines are skipped without being parsed. Default "", all lines.
    wanted: callable, optional
        Whether to read a row, given its feature (column 3). Default: all rows.

    Yields
    ------
    pandas.DataFrame
        chrom, feature, start, end (int64), strand ("+", "-", or "." if unknown), attributes. The index holds line numbers.
        Blocks are never empty.

    Raises
    ------
    InputError
        A row does not have nine columns, or has invalid coordinates or an invalid strand. The message names the line.
    """
    path = Path(path)
    line_numbers: list[int] = []
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
                    f"{path}, line {number}: {n_tabs + 1} tab-separated columns, but GTF and GFF3 have {len(GTF_COLUMNS)}."
                )
        if mark not in line or line.startswith("#"):
            continue
        if wanted is None or wanted(line.split("\t", 3)[2].strip()):
            line_numbers.append(number)
            rows.append(line if line.endswith("\n") else line + "\n")
            if len(rows) == _BLOCK_ROWS:
                yield _table(path, line_numbers, rows)
                line_numbers, rows = [], []
    if rows:
        yield _table(path, line_numbers, rows)


def _table(path: Path, line_numbers: list[int], rows: list[str]) -> pd.DataFrame:
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
    table.index = pd.Index(line_numbers)
    for column in ("start", "end"):
        table[column] = whole_numbers(table[column], path, column)
    refuse((table["start"] < 1) | (table["end"] < table["start"]), path, "start must be at least 1, and end not below start.")
    table["start"] -= 1
    for column in _FEW:
        codes, names = pd.factorize(table[column])
        table[column] = np.array([unquote(name.strip()) for name in names], dtype=object)[codes]
    unknown = ~table["strand"].isin(["+", "-", ".", "?"])
    refuse(unknown, path, "the strand (column 7) must be +, -, or '.' if unknown.")
    table["strand"] = table["strand"].replace("?", ".")
    return table


def whole_numbers(texts: pd.Series, path: Path, column: str) -> pd.Series:
    """Convert a column to int64; the index holds line numbers, and the error names the first line without an integer."""
    numbers = pd.to_numeric(texts, errors="coerce")
    refuse(~np.isfinite(numbers) | (numbers % 1 != 0), path, f"{column} is not an integer: is this the right file?")
    return numbers.astype("int64")


def refuse(wrong: pd.Series, path: Path, message: str) -> None:
    """Raise an InputError that names the line of the first row where `wrong` is true; the index holds line numbers."""
    if wrong.any():
        raise InputError(f"{path}, line {wrong.index[wrong.to_numpy()][0]}: {message}")


def attribute_values(attributes: pd.Series, keys: tuple[str, ...], gff3: bool, decode: bool = True) -> pd.Series:
    """Return the value of the first attribute in `keys` that is not empty, per row; "" if there is none.

    GTF: `key "value";`, also with single quotes or without quotes. Quoted values may contain `;`. GFF3: `key=value;`, with
    percent-encoded characters decoded. If an attribute is repeated, the first value is used.

    Parameters
    ----------
    attributes: pandas.Series of str
        The ninth column.
    keys: tuple of str
        Names of attributes, in order of preference.
    gff3: bool
        Whether the attributes are in the syntax of GFF3 rather than GTF.
    decode: bool
        Whether to decode percent-encoded characters in GFF3 (default). Use False to split at commas first.

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
        search = _pattern(key, gff3).search
        texts = attributes[empty]
        matched = [(match[match.lastindex or 0]).strip() if (match := search(text)) else "" for text in texts]
        values[empty] = [unquote(value) if "%" in value else value for value in matched] if gff3 and decode else matched
    return values


def bare_words(attributes: pd.Series) -> pd.Series:
    """Return the only word of each ninth column, without quotes or key, and "" for other rows.

    AUGUSTUS and BRAKER write the id of a gene or transcript like this in its own row.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.annotation.gtf import bare_words
    >>> bare_words(pd.Series(["g1.t1", 'gene_id "g1";', "gene_id g1"])).tolist()
    ['g1.t1', '', '']
    """
    return pd.Series(
        [match[1] if (match := _BARE_WORD.fullmatch(text)) else "" for text in attributes], index=attributes.index, dtype=object
    )


@cache
def _pattern(key: str, gff3: bool) -> re.Pattern[str]:
    name = re.escape(key)
    if gff3:
        return re.compile(rf"(?:^|;)\s*{name}=([^;]*)")
    end = r"(?=\s*(?:;|$))"
    # Skip pairs of other keys as a whole, so that text within a value is not mistaken for a key.
    other = rf"(?!{name}\s)[^\s;\"]+(?:\s+'[^']*'{end}|(?:\"[^\"]*\"|[^\";])*+)"
    return re.compile(rf"^\s*+(?:(?:{other})?;\s*+)*+{name}\s+(?:\"([^\"]*)\"|'([^']*)'{end}|([^;]*))")
