"""Genes of a GTF file and transcription start sites of a BED file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd

from cisnake.errors import InputError

_COLUMNS = ["chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes"]


def read_genes(path: str | Path, attributes: list[str] | None = None) -> pd.DataFrame:
    """Return the genes of a GTF file, in its order.

    Rows of feature `gene` are taken; a file that has none (some assemblers write none) gives each gene_id the span of its
    other rows.

    Parameters
    ----------
    path: str or Path
        GTF, plain or gzipped.
    attributes: list of str, optional
        Further attributes wanted as columns, empty where a gene lacks them.

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
    try:
        table = pd.read_csv(path, sep="\t", comment="#", names=_COLUMNS, dtype=str, quoting=3, keep_default_na=False)
    except (pd.errors.ParserError, UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"annotation {path} cannot be read as GTF: {error}") from error
    for column in ("start", "end"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.isna().any():
            raise InputError(_at_line(path, table.index[numbers.isna()][0], f"{column} is not a number: is the file GTF?"))
        table[column] = numbers.astype("int64")
    table["start"] -= 1
    bad = ~table["strand"].isin(["+", "-"]) & (table["feature"] == "gene")
    if bad.any():
        raise InputError(_at_line(path, table.index[bad][0], "a gene without a strand has no direction to be read in."))
    if (table["feature"] == "gene").any():
        table = table[table["feature"] == "gene"]
    wanted = {"gene_id": ["gene_id"], "gene_name": ["gene_name"], "gene_biotype": ["gene_biotype", "gene_type"]}
    wanted |= {name: [name] for name in attributes or [] if name not in wanted}
    for column, keys in wanted.items():
        table[column] = _attribute(table["attributes"], keys)
    missing = table["gene_id"] == ""
    if missing.any():
        raise InputError(_at_line(path, table.index[missing][0], 'no gene_id "…": GFF3 must be converted to GTF first.'))
    if not (table["feature"] == "gene").any():
        first = {column: "first" for column in ["strand", *wanted] if column != "gene_id"}
        table = table.groupby(["gene_id", "chrom"], sort=False).agg({**first, "start": "min", "end": "max"}).reset_index()
    table["gene_name"] = table["gene_name"].where(table["gene_name"] != "", table["gene_id"])
    columns = ["gene_id", "gene_name", "gene_biotype", "chrom", "start", "end", "strand"]
    columns += [name for name in wanted if name not in columns]
    return table[columns].reset_index(drop=True)


def _attribute(attributes: pd.Series, keys: list[str]) -> pd.Series:
    values = pd.Series("", index=attributes.index)
    for key in keys:
        found = attributes.str.extract(rf'(?:^|[;\s]){key} +"?([^";]*)"?', expand=False).fillna("").str.strip()
        values = values.where(values != "", found)
    return values


def _at_line(path: Path, row: int, message: str) -> str:
    """Return a message with the line of the `row`-th line that is no comment."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as handle:
        numbers = (number for number, line in enumerate(handle, start=1) if not line.startswith("#") and line.strip())
        for _ in range(row):
            next(numbers)
        return f"{path}, line {next(numbers)}: {message}"


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
    try:
        table = pd.read_csv(path, sep="\t", comment="#", header=None, usecols=range(6), names=columns, dtype=str)
        table["start"] = table["start"].astype("int64")
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"TSS file {path} must be BED with six columns (chrom, start, end, gene id, score, strand): {error}"
        ) from error
    table["tss"] = table["start"]
    table.loc[table["strand"] == "-", "tss"] = table["end"].astype("int64") - 1
    return table[["gene_id", "chrom", "tss", "strand"]]
