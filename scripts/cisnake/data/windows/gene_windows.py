"""Which genes a run uses: annotation, genome and matrix brought together, and why each other gene was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, match_chromosomes
from cisnake.errors import InputError
from cisnake.files import read_table

_VERSIONED = r"^(ENS[A-Z]*\d{6,})\.\d+$"

# What every table of windows has, and which columns are numbers where it has them.
_NEEDED = ("gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold")
_INTEGERS = ("start", "end", "tss", "window_start", "window_end", "mask_start", "mask_end", "fold")

COLUMNS = [
    "gene_id",
    "gene_name",
    "chrom",
    "start",
    "end",
    "strand",
    "tss",
    "tss_source",
    "window_start",
    "window_end",
    "mask_start",
    "mask_end",
]


def match_ids(wanted: pd.Series, known: pd.Index) -> tuple[pd.Series, int]:
    """Find ids in another naming of the same genes, with or without Ensembl's version suffix (ENSG….12).

    Parameters
    ----------
    wanted: pandas.Series of str
    known: pandas.Index of str

    Returns
    -------
    matched: pandas.Series
        The id in `known` for each wanted one, missing where there is none or where it is ambiguous.
    n_stripped: int
        How many match only without their version.
    """
    known = known.unique()
    exact = wanted.where(wanted.isin(known))
    plain = pd.Series(known, index=known.str.replace(_VERSIONED, r"\1", regex=True))
    plain = plain[~plain.index.duplicated(keep=False)]
    stripped = wanted.str.replace(_VERSIONED, r"\1", regex=True).map(plain)
    by_version = exact.isna() & stripped.notna()
    return exact.where(~by_version, stripped), int(by_version.sum())


def place_tss(genes: pd.DataFrame, tss: pd.DataFrame | None, max_distance: int) -> pd.DataFrame:
    """Return the genes with `tss` (position of the base) and `tss_source`.

    The annotated 5' end counts as the TSS, unless `tss` has one of the same gene and strand 0 to `max_distance` bases
    upstream of it; the one farthest downstream counts if it has several.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, start, end, strand.
    tss: pandas.DataFrame, optional
        gene_id, chrom, tss, strand.
    max_distance: int
        Bases.
    """
    genes = genes.copy()
    forward = (genes["strand"] == "+").to_numpy()
    five_prime = np.where(forward, genes["start"], genes["end"] - 1)
    genes["tss"], genes["tss_source"] = five_prime, "annotation"
    if tss is None:
        return genes
    pairs = genes.reset_index(names="row")[["row", "gene_id", "chrom", "strand"]].merge(tss, on=["gene_id", "chrom", "strand"])
    at = genes.index.get_indexer(pairs["row"])
    upstream = np.where(forward[at], five_prime[at] - pairs["tss"], pairs["tss"] - five_prime[at])
    pairs = pairs.assign(upstream=upstream)[(upstream >= 0) & (upstream <= max_distance)]
    pairs = pairs.sort_values("upstream", kind="stable").drop_duplicates("row")
    genes.loc[pairs["row"], "tss"] = pairs["tss"].to_numpy()
    genes.loc[pairs["row"], "tss_source"] = "bed"
    return genes


def place_windows(genes: pd.DataFrame, anchor: str, upstream: int, downstream: int) -> pd.DataFrame:
    """Return the genes with their windows and the gene body in them.

    Position 0 of a window is its 5' end on the gene's strand; the anchor is at position `upstream`.

    Parameters
    ----------
    genes: pandas.DataFrame
        start, end, strand, tss.
    anchor: str
        "tss", or "start" for the annotated 5' end (the start codon, where the annotation has no untranslated regions).
    upstream, downstream: int
        Bases before the anchor, and from the anchor on.

    Returns
    -------
    pandas.DataFrame
        With window_start, window_end (genome), mask_start, mask_end: the body from TSS to gene end, counted
        from position 0 of the window and not cut to it, so that mask_start is the TSS wherever that lies.
    """
    genes = genes.copy()
    forward = (genes["strand"] == "+").to_numpy()
    five_prime = np.where(forward, genes["start"], genes["end"] - 1)
    at = genes["tss"].to_numpy() if anchor == "tss" else five_prime
    length = upstream + downstream
    genes["window_start"] = np.where(forward, at - upstream, at - downstream + 1)
    genes["window_end"] = genes["window_start"] + length
    last = np.where(forward, genes["end"] - 1, genes["start"])
    in_window = {
        name: np.where(forward, place - genes["window_start"], genes["window_end"] - 1 - place)
        for name, place in (("mask_start", genes["tss"]), ("mask_end", last))
    }
    genes["mask_start"] = in_window["mask_start"]
    genes["mask_end"] = np.maximum(in_window["mask_end"] + 1, genes["mask_start"])
    return genes


def select_genes(
    genes: pd.DataFrame,
    tss: pd.DataFrame | None,
    genome: Genome,
    matrix_genes: pd.Index | None,
    measured: np.ndarray | None,
    annotation: dict[str, Any],
    windows: dict[str, Any],
    poor: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the genes to use, those left out with the reason, and counts of both.

    Parameters
    ----------
    genes: pandas.DataFrame
        As `annotation.read_genes` gives them.
    tss: pandas.DataFrame, optional
        As `annotation.read_tss` gives them.
    genome: Genome
    matrix_genes: pandas.Index, optional
        Ids of the matrix, repeated if it repeats them; None, with `measured`, where there is no matrix.
    measured: numpy.ndarray, shape=(matrix genes,), dtype=bool, optional
        Whether a row of the matrix has any measurement.
    annotation, windows: dict
        These sections of the configuration.
    poor: pandas.DataFrame, one row a matrix gene, optional
        As `matrix_filters.filter_genes` gives it: reason and detail of what the matrix has too little of.

    Returns
    -------
    kept: pandas.DataFrame
        `COLUMNS` and `matrix_id`, in the order of the genome.
    dropped: pandas.DataFrame
        gene_id, gene_name, chrom, start, end, strand, reason, detail: one row a gene left out.
    summary: dict
        n_annotated, n_kept, n_dropped, dropped (by reason), notices, n_version_stripped, tss_source.
    """
    notices: list[str] = []
    names = match_chromosomes(genes["chrom"], genome.sizes, "annotation.gtf")
    renamed = sorted(name for name, known in names.items() if name != known)
    if renamed:
        notices.append(
            f"{len(renamed)} chromosomes of the annotation were matched after adding or removing 'chr' ({renamed[0]}, …)."
        )
    # Reasons are given in this order; a gene is dropped for the first that applies.
    reasons = pd.DataFrame({"reason": "", "detail": ""}, index=genes.index)

    def drop(rows: pd.Series | np.ndarray, reason: str, detail: pd.Series | str) -> None:
        rows = pd.Series(np.asarray(rows), index=genes.index) & (reasons["reason"] == "")
        reasons.loc[rows, "reason"] = reason
        reasons.loc[rows, "detail"] = detail[rows] if isinstance(detail, pd.Series) else detail

    notices += _idle_filters(genes, annotation)
    drop(genes["gene_id"].duplicated(), "duplicate_id", "the annotation has an earlier gene of this id")
    drop(genes["strand"] == ".", "no_strand", "the annotation does not say in which direction it is read")
    drop(genes["chrom"].isin(annotation["exclude_chromosomes"]), "excluded_chromosome", genes["chrom"])
    if annotation["biotypes"]:
        drop(~genes["gene_biotype"].isin(annotation["biotypes"]), "other_biotype", genes["gene_biotype"])
    for attribute, values in annotation["exclude"].items():
        drop(genes[attribute].isin(values), "excluded_attribute", attribute + " " + genes[attribute])
    drop(~genes["chrom"].isin(names), "chromosome_missing", genes["chrom"] + " is not in the genome")

    matrix_id, n_stripped = genes["gene_id"], 0
    if matrix_genes is not None:
        matrix_id, n_stripped = match_ids(genes["gene_id"], matrix_genes)
        repeated = matrix_genes[matrix_genes.duplicated()]
        drop(matrix_id.isin(repeated), "duplicate_id", "the matrix has several rows of this id")
        has_label = matrix_id.isin(matrix_genes[measured])
        drop(~has_label, "no_label", "not in the matrix, or never measured")
        if poor is not None:
            of_id = poor.set_axis(matrix_genes)[~matrix_genes.duplicated()]
            for reason, rows in of_id[of_id["reason"] != ""].groupby("reason"):
                drop(matrix_id.isin(rows.index), str(reason), matrix_id.map(rows["detail"]).fillna(""))
        again = matrix_id[reasons["reason"] == ""].duplicated().reindex(genes.index, fill_value=False)
        drop(again, "duplicate_id", "an earlier gene has the same row of the matrix")

    genes = genes.assign(chrom=genes["chrom"].map(names).fillna(genes["chrom"]), matrix_id=matrix_id)
    if tss is not None:
        tss = tss.assign(
            chrom=tss["chrom"].map(match_chromosomes(tss["chrom"], genome.sizes, "annotation.tss_bed")),
            gene_id=match_ids(tss["gene_id"], pd.Index(genes["gene_id"]))[0],
        ).dropna(subset=["chrom", "gene_id"])
    genes = place_tss(genes, tss, annotation["tss_max_distance"])
    genes = place_windows(genes, windows["anchor"], windows["upstream"], windows["downstream"])
    sizes = genes["chrom"].map(genome.sizes)
    outside = (genes["window_start"] < 0) | (genes["window_end"] > sizes)
    drop(outside, "near_chromosome_end", "the window reaches beyond the chromosome")
    rows = np.flatnonzero((reasons["reason"] == "").to_numpy())
    unknown = np.zeros(len(genes))
    places = genes.iloc[rows][["chrom", "window_start", "window_end"]]
    unknown[rows] = [np.mean(genome.codes(*place) == N) for place in places.itertuples(index=False, name=None)]
    share = pd.Series(unknown, index=genes.index)
    drop(share > windows["max_n_fraction"], "too_many_n", (100 * share).round(1).astype(str) + " % of the window is N")

    kept = genes[reasons["reason"] == ""]
    order = pd.Series({name: rank for rank, name in enumerate(genome.sizes)})
    kept = kept.assign(rank=kept["chrom"].map(order)).sort_values(["rank", "window_start", "gene_id"])
    dropped = genes.assign(**reasons)[reasons["reason"] != ""]
    if genome.n_ambiguous:
        notices.append(f"{genome.n_ambiguous} letters in windows are not A, C, G, T or N (IUPAC's R, Y, …), and count as N.")
    not_annotated = 0 if matrix_genes is None else len(set(matrix_genes) - set(matrix_id.dropna()))
    if not_annotated:
        notices.append(f"{not_annotated} ids of the matrix are not in the annotation, and are not used.")
    if n_stripped:
        notices.append(f"{n_stripped} gene ids of the annotation match the matrix only without their version suffix.")
    if tss is not None and not (kept["tss_source"] == "bed").any():
        notices.append("no TSS of annotation.tss_bed is of a gene that is used: does it name genes as the annotation does?")
    summary = {
        "n_annotated": len(genes),
        "n_kept": len(kept),
        "n_dropped": len(dropped),
        "dropped": dropped["reason"].value_counts().to_dict(),
        "notices": notices,
        "n_version_stripped": n_stripped,
        "tss_source": kept["tss_source"].value_counts().to_dict(),
    }
    columns = ["gene_id", "gene_name", "chrom", "start", "end", "strand", "reason", "detail"]
    return kept[[*COLUMNS, "matrix_id"]].reset_index(drop=True), dropped[columns].reset_index(drop=True), summary


def _idle_filters(genes: pd.DataFrame, annotation: dict[str, Any]) -> list[str]:
    """Return a notice for each value that was to be kept or excluded and that no gene has: most often it is misspelt."""
    asked = [("exclude_chromosomes", "chrom", annotation["exclude_chromosomes"])]
    asked += [("biotypes", "gene_biotype", annotation["biotypes"])]
    asked += [(f"exclude.{attribute}", attribute, values) for attribute, values in annotation["exclude"].items()]
    return [
        f"annotation.{key}: no gene has {column} '{value}'; it has {', '.join(sorted(set(genes[column]))[:8])}."
        for key, column, values in asked
        for value in values
        if not (genes[column] == value).any()
    ]


def read_genes_table(path: str | Path) -> pd.DataFrame:
    """Read genes.tsv, one row a gene, or tiles.tsv, one row a tile, with their coordinates as integers.

    Raises
    ------
    InputError
        The file is missing, cut off, or no such table; names the column or the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"table of windows {path} is not there: make it with select_genes.py.")
    table = read_table(path)
    for column in _NEEDED:
        if column not in table:
            raise InputError(f"table of windows {path} has no column {column}: make it again with select_genes.py.")
    for column in _INTEGERS:
        if column in table:
            wrong = ~table[column].str.fullmatch(r"-?\d+").fillna(False).astype(bool)
            if wrong.any():
                raise InputError(
                    f"table of windows {path}, line {int(np.argmax(wrong)) + 2}: {column} is no whole number: is the file cut?"
                )
            table[column] = table[column].astype("int64")
    return table
