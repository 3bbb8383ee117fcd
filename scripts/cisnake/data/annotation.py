"""Genes of a GTF file and transcription start sites of a BED file."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError

_COLUMNS = ["chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes"]


def read_genes(path: str | Path, attributes: list[str] | None = None, feature: str = "gene") -> pd.DataFrame:
    """Return the genes of a GTF file, in its order.

    Rows of feature `gene` are taken; a file that has none (some assemblers write none) gives each gene_id the span of its
    other rows.

    Parameters
    ----------
    path: str or Path
        GTF, plain or gzipped.
    attributes: list of str, optional
        Further attributes wanted as columns, empty where a gene lacks them.
    feature: str
        What a gene spans: "gene" (default), its own row; or "CDS", from its start codon to the end of its coding sequence,
        where it has one.

    Returns
    -------
    pandas.DataFrame
        gene_id, gene_name (the id where there is none), gene_biotype, chrom, start, end (0-based, half-open), strand, and
        `attributes`. Ids may be repeated.

    Raises
    ------
    InputError
        The file is missing or no GTF; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"annotation {path} is not there: check annotation.gtf in the configuration.")
    table = _read_rows(path, "gene")
    spans = table.empty
    if spans:
        table = _read_rows(path)
    if table.empty:
        raise InputError(f"annotation {path} has no rows: is it GTF?")
    wanted = {"gene_id": ["gene_id"], "gene_name": ["gene_name"], "gene_biotype": ["gene_biotype", "gene_type"]}
    wanted |= {name: [name] for name in attributes or [] if name not in wanted}
    for column, keys in wanted.items():
        table[column] = _attribute(table["attributes"], keys)
    _refuse(path, table["gene_id"] == "", 'no gene_id "…": GFF3 must be converted to GTF first.')
    _refuse(path, ~table["strand"].isin(["+", "-"]), "a gene without a strand has no direction to be read in.")
    if spans:
        first = {column: "first" for column in ["strand", *wanted] if column != "gene_id"}
        table = table.groupby(["gene_id", "chrom"], sort=False).agg({**first, "start": "min", "end": "max"}).reset_index()
    if feature == "CDS":
        coding = _read_rows(path, "CDS")
        coding["gene_id"] = _attribute(coding["attributes"], ["gene_id"])
        extent = coding.groupby(["gene_id", "chrom"])[["start", "end"]].agg({"start": "min", "end": "max"})
        extent = table[["gene_id", "chrom"]].join(extent, on=["gene_id", "chrom"])
        for column in ("start", "end"):
            table[column] = extent[column].fillna(table[column]).astype("int64")
    table["gene_name"] = table["gene_name"].where(table["gene_name"] != "", table["gene_id"])
    columns = ["gene_id", "gene_name", "gene_biotype", "chrom", "start", "end", "strand"]
    columns += [name for name in wanted if name not in columns]
    return table[columns].reset_index(drop=True)


def _read_rows(path: Path, feature: str | None = None) -> pd.DataFrame:
    """Return the rows of a GTF file, or of one feature, with 0-based half-open coordinates; the index is the line, from 1."""
    # Line by line: as a table a mammalian annotation takes gigabytes, its genes a few megabytes.
    rows: dict[int, list[str]] = {}
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as handle:
            for number, line in enumerate(handle, start=1):
                if line.startswith("#") or line.isspace() or (feature and f"\t{feature}\t" not in line):
                    continue
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) != len(_COLUMNS):
                    raise InputError(f"{path}, line {number}: {len(cells)} columns, but GTF has {len(_COLUMNS)}.")
                if feature in (None, cells[_COLUMNS.index("feature")]):
                    rows[number] = cells
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"annotation {path} cannot be read as GTF: {error}") from error
    table = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS, dtype=str)
    for column in ("start", "end"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        _refuse(path, ~np.isfinite(numbers), f"{column} is not a number: is the file GTF?")
        table[column] = numbers.astype("int64")
    _refuse(path, (table["start"] < 1) | (table["end"] < table["start"]), "start must be at least 1, and end at least start.")
    table["start"] -= 1
    return table


def _refuse(path: Path, wrong: pd.Series, message: str) -> None:
    if wrong.any():
        raise InputError(f"{path}, line {wrong.index[wrong][0]}: {message}")


def _attribute(attributes: pd.Series, keys: list[str]) -> pd.Series:
    values = pd.Series("", index=attributes.index)
    for key in keys:
        found = attributes.str.extract(rf'(?:^|;)\s*{re.escape(key)} +"?([^";]*)"?', expand=False).fillna("").str.strip()
        values = values.where(values != "", found)
    return values


def read_tss(path: str | Path) -> pd.DataFrame:
    """Return the transcription start sites of a BED file: gene_id, chrom, tss (0-based position of the base), strand.

    Raises
    ------
    InputError
        The file is missing or not BED with at least six columns.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"TSS file {path} is not there: check annotation.tss_bed in the configuration.")
    columns = ["chrom", "start", "end", "gene_id", "score", "strand"]
    form: dict[str, Any] = {"sep": "\t", "comment": "#", "header": None, "usecols": range(6), "names": columns}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, **form)
        if table.empty:
            raise ValueError("it has no rows")
        table[["start", "end"]] = table[["start", "end"]].astype("int64")
    except (ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"TSS file {path} must be BED with six columns (chrom, start, end, gene id, score, strand): {error}"
        ) from error
    table["tss"] = table["start"]
    table.loc[table["strand"] == "-", "tss"] = table["end"] - 1
    return table[["gene_id", "chrom", "tss", "strand"]]
