"""Select the genes of a run from annotation, genome and matrix, and record why each other gene was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, match_chromosomes, to_genome, to_window
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.sections import AnnotationSection, WindowsSection

_VERSIONED = r"^(ENS[A-Z]*\d{6,})\.\d+$"

# Required columns of every table of windows, and columns that hold integers if present.
_NEEDED = ("gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold")
_INTEGERS = ("start", "end", "tss", "window_start", "window_end", "mask_start", "mask_end", "fold")

GENE_COLUMNS = [
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
_DROPPED_COLUMNS = ["gene_id", "gene_name", "chrom", "start", "end", "strand", "reason", "detail"]


def match_ids(wanted: pd.Series, known: pd.Index) -> tuple[pd.Series, int]:
    """Match gene ids between files, with or without Ensembl's version suffix (ENSG….12).

    Parameters
    ----------
    wanted: pandas.Series of str
        Ids to look up.
    known: pandas.Index of str
        Ids to match against.

    Returns
    -------
    matched: pandas.Series
        The matching id in `known` for each id in `wanted`; missing if there is none or if it is ambiguous.
    n_stripped: int
        Number of ids that match only without the version suffix.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import match_ids
    >>> matched, n_stripped = match_ids(pd.Series(["ENSG00000000003.15", "TP53"]), pd.Index(["ENSG00000000003", "TP53"]))
    >>> matched.tolist(), n_stripped
    (['ENSG00000000003', 'TP53'], 1)
    """
    known = known.unique()
    exact = wanted.where(wanted.isin(known))
    plain = pd.Series(known, index=known.str.replace(_VERSIONED, r"\1", regex=True))
    plain = plain[~plain.index.duplicated(keep=False)]
    stripped = wanted.str.replace(_VERSIONED, r"\1", regex=True).map(plain)
    by_version = exact.isna() & stripped.notna()
    return exact.where(~by_version, stripped), int(by_version.sum())


def place_tss(genes: pd.DataFrame, tss: pd.DataFrame | None, max_distance: int) -> pd.DataFrame:
    """Return the genes with the columns `tss` (position of the base) and `tss_source`.

    The TSS is the annotated 5' end, unless `tss` has a TSS of the same gene and strand 0 to `max_distance` bases upstream of
    it. If it has several, the one farthest downstream is used.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, start, end, strand.
    tss: pandas.DataFrame, optional
        gene_id, chrom, tss, strand.
    max_distance: int
        Largest distance from the annotated 5' end, bp.
    """
    genes = genes.copy()
    genes["tss"], genes["tss_source"] = _five_prime_base(genes), "annotation"
    if tss is None:
        return genes
    annotated = genes.reset_index(names="row")[["row", "gene_id", "chrom", "strand", "tss"]]
    pairs = annotated.merge(tss, on=["gene_id", "chrom", "strand"], suffixes=("_annotated", ""))
    at, measured = pairs["tss_annotated"], pairs["tss"]
    upstream = -to_window(at, at + 1, pairs["strand"], measured, measured + 1)[0]
    pairs = pairs.assign(upstream=upstream)[(upstream >= 0) & (upstream <= max_distance)]
    pairs = pairs.sort_values("upstream", kind="stable").drop_duplicates("row")
    genes.loc[pairs["row"], "tss"] = pairs["tss"].to_numpy()
    genes.loc[pairs["row"], "tss_source"] = "bed"
    return genes


def _five_prime_base(genes: pd.DataFrame) -> np.ndarray:
    """Return the 0-based genome position of the 5' base of each gene; shape=(n,), dtype=int64."""
    return to_genome(genes["start"], genes["end"], genes["strand"], 0, 1)[0]


def place_windows(genes: pd.DataFrame, anchor: str, upstream: int, downstream: int) -> pd.DataFrame:
    """Return the genes with their windows and the position of the gene body in them.

    Position 0 of a window is its 5' end on the gene's strand; the anchor is at position `upstream`.

    Parameters
    ----------
    genes: pandas.DataFrame
        start, end, strand, tss.
    anchor: str
        "tss", or "start" for the annotated 5' end (the start codon, if the annotation has no untranslated regions).
    upstream, downstream: int
        Bases upstream of the anchor, and downstream of it including the anchor.

    Returns
    -------
    pandas.DataFrame
        The genes with window_start and window_end (on the genome), and mask_start and mask_end: the gene body from TSS to gene
        end, counted from position 0 of the window. The body is not clipped to the window, so mask_start is always the TSS.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import place_windows
    >>> genes = pd.DataFrame({"start": [100, 100], "end": [130, 130], "strand": ["+", "-"], "tss": [100, 129]})
    >>> placed = place_windows(genes, "tss", upstream=20, downstream=50)
    >>> placed[["window_start", "window_end", "mask_start", "mask_end"]].values.tolist()
    [[80, 150, 20, 50], [80, 150, 20, 50]]
    """
    strand = genes["strand"]
    anchors = genes["tss"].to_numpy() if anchor == "tss" else _five_prime_base(genes)
    start, end = to_genome(anchors, anchors + 1, strand, -upstream, downstream)
    mask_start, _ = to_window(start, end, strand, genes["tss"], genes["tss"] + 1)
    _, body_end = to_window(start, end, strand, genes["start"], genes["end"])
    mask_end = np.maximum(body_end, mask_start)
    return genes.assign(window_start=start, window_end=end, mask_start=mask_start, mask_end=mask_end)


@dataclass(frozen=True, eq=False)
class MatrixGenes:
    """The genes of a matrix of measurements.

    Parameters
    ----------
    ids: pandas.Index of str, n rows
        Ids in the order of the matrix, including repeated ones.
    measured: numpy.ndarray, shape=(n,), dtype=bool
        Whether each row has at least one measurement.
    poor: pandas.DataFrame, n rows, optional
        reason and detail of rows with too few measurements, as returned by `filter_genes`; empty strings for other rows.
    """

    ids: pd.Index
    measured: np.ndarray
    poor: pd.DataFrame | None = None


# A reason to drop genes: its name, a mask of the genes that it applies to, and a detail, shared or per gene.
_Reason = tuple[str, pd.Series, pd.Series | str]


def select_genes(
    genes: pd.DataFrame,
    tss: pd.DataFrame | None,
    genome: Genome,
    annotation: AnnotationSection,
    windows: WindowsSection,
    matrix: MatrixGenes | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Select the genes of a run and place their windows.

    A gene is dropped for the first reason that applies; reasons from the annotation come first, then those from the matrix,
    then those from the genome.

    Parameters
    ----------
    genes: pandas.DataFrame
        As returned by `annotation.read_genes`.
    tss: pandas.DataFrame, optional
        As returned by `annotation.read_tss`. Default None: use the annotated 5' ends.
    genome: Genome
    annotation: AnnotationSection
    windows: WindowsSection
    matrix: MatrixGenes, optional
        Default None: there is no matrix, and no gene is dropped for a missing label.

    Returns
    -------
    kept: pandas.DataFrame
        `GENE_COLUMNS` and `matrix_id`, in genome order.
    dropped: pandas.DataFrame
        gene_id, gene_name, chrom, start, end, strand, reason, detail: one row per dropped gene.
    summary: dict
        n_annotated, n_kept, n_dropped, dropped (by reason), notices, n_version_stripped, tss_source.

    Raises
    ------
    InputError
        The annotation or the table of TSSs shares no chromosome with the genome.
    """
    names = match_chromosomes(genes["chrom"], genome.sizes, "annotation.gtf")
    reasons = _annotation_reasons(genes, names, annotation)
    matrix_id, n_stripped = (genes["gene_id"], 0) if matrix is None else match_ids(genes["gene_id"], matrix.ids)
    reasons += [] if matrix is None else _matrix_reasons(matrix_id, matrix, _dropped(reasons))

    tss = None if tss is None else _match_tss(tss, genes["gene_id"], genome)
    placed = genes.assign(chrom=genes["chrom"].map(names).fillna(genes["chrom"]), matrix_id=matrix_id)
    placed = place_tss(placed, tss, annotation.tss_max_distance)
    placed = place_windows(placed, windows.anchor, windows.upstream, windows.downstream)
    reasons += _genome_reasons(placed, _dropped(reasons), genome, windows.max_n_fraction)

    placed = placed.assign(**_first_reasons(reasons))
    is_kept = placed["reason"] == ""
    kept, dropped = _in_order(placed[is_kept], genome)[[*GENE_COLUMNS, "matrix_id"]], placed[~is_kept][_DROPPED_COLUMNS]
    notices = _renamed_chromosomes(names) + _idle_filters(genes, annotation)
    notices += _unused_inputs(kept, matrix_id, n_stripped, genome, matrix, tss)
    sources = kept["tss_source"].value_counts().to_dict()
    summary = {"n_annotated": len(genes), **count_selection(kept, dropped), "notices": notices}
    summary |= {"n_version_stripped": n_stripped, "tss_source": sources}
    return kept.reset_index(drop=True), dropped.reset_index(drop=True), summary


def count_selection(kept: pd.DataFrame, dropped: pd.DataFrame) -> dict[str, Any]:
    """Return n_kept, n_dropped, and the number of genes dropped for each reason."""
    return {"n_kept": len(kept), "n_dropped": len(dropped), "dropped": dropped["reason"].value_counts().to_dict()}


def _annotation_reasons(genes: pd.DataFrame, names: Mapping[str, str], annotation: AnnotationSection) -> list[_Reason]:
    chrom, biotype = genes["chrom"], genes["gene_biotype"]
    reasons: list[_Reason] = [
        ("duplicate_id", genes["gene_id"].duplicated(), "the annotation has an earlier gene with this id"),
        ("no_strand", genes["strand"] == ".", "the annotation gives no strand"),
        ("excluded_chromosome", chrom.isin(annotation.exclude_chromosomes), chrom),
    ]
    if annotation.biotypes:
        reasons.append(("other_biotype", ~biotype.isin(annotation.biotypes), biotype))
    for attribute, values in annotation.exclude.items():
        reasons.append(("excluded_attribute", genes[attribute].isin(values), attribute + " " + genes[attribute]))
    return [*reasons, ("chromosome_missing", ~chrom.isin(names), chrom + " is not in the genome")]


def _matrix_reasons(matrix_id: pd.Series, matrix: MatrixGenes, dropped: pd.Series) -> list[_Reason]:
    repeated = matrix.ids[matrix.ids.duplicated()]
    unmeasured = ~matrix_id.isin(matrix.ids[matrix.measured])
    reasons: list[_Reason] = [
        ("duplicate_id", matrix_id.isin(repeated), "the matrix has several rows with this id"),
        ("no_label", unmeasured, "not in the matrix, or all values are missing"),
    ]
    if matrix.poor is not None:
        poor = matrix.poor.set_axis(matrix.ids)[~matrix.ids.duplicated()]
        for reason, rows in poor[poor["reason"] != ""].groupby("reason"):
            reasons.append((str(reason), matrix_id.isin(rows.index), matrix_id.map(rows["detail"]).fillna("")))
    repeats = matrix_id[~(dropped | _dropped(reasons))].duplicated().reindex(matrix_id.index, fill_value=False)
    return [*reasons, ("duplicate_id", repeats, "an earlier gene matches the same row of the matrix")]


def _dropped(reasons: list[_Reason]) -> pd.Series:
    """Return a mask of the genes to which any reason applies."""
    return pd.concat([mask for _, mask, _ in reasons], axis=1).any(axis=1)


def _first_reasons(reasons: list[_Reason]) -> pd.DataFrame:
    """Return the first applicable reason, and its detail, for each gene; empty strings for genes that are kept."""
    first = pd.DataFrame({"reason": "", "detail": ""}, index=reasons[0][1].index)
    for reason, mask, detail in reversed(reasons):
        first.loc[mask, "reason"] = reason
        first.loc[mask, "detail"] = detail[mask] if isinstance(detail, pd.Series) else detail
    return first


def _match_tss(tss: pd.DataFrame, gene_ids: pd.Series, genome: Genome) -> pd.DataFrame:
    """Return the TSSs with the genome's chromosome names and the annotation's gene ids, without those that match neither."""
    chrom = tss["chrom"].map(match_chromosomes(tss["chrom"], genome.sizes, "annotation.tss_bed"))
    gene_id, _ = match_ids(tss["gene_id"], pd.Index(gene_ids))
    return tss.assign(chrom=chrom, gene_id=gene_id).dropna(subset=["chrom", "gene_id"])


def _genome_reasons(genes: pd.DataFrame, dropped: pd.Series, genome: Genome, max_n_fraction: float) -> list[_Reason]:
    """Return the reasons that concern windows; N is counted only in complete windows of genes not dropped yet."""
    outside = (genes["window_start"] < 0) | (genes["window_end"] > genes["chrom"].map(genome.sizes))
    inside = ~(dropped | outside)
    windows = genes.loc[inside, ["chrom", "window_start", "window_end"]].itertuples(index=False, name=None)
    share = pd.Series(0.0, index=genes.index)
    share[inside] = [np.mean(genome.codes(*window) == N) for window in windows]
    detail = (100 * share).round(1).astype(str) + " % of the window is N"
    return [
        ("near_chromosome_end", outside, "the window extends beyond the chromosome"),
        ("too_many_n", share > max_n_fraction, detail),
    ]


def _in_order(genes: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    rank = {name: i for i, name in enumerate(genome.sizes)}
    return genes.assign(rank=genes["chrom"].map(rank)).sort_values(["rank", "window_start", "gene_id"])


def _renamed_chromosomes(names: Mapping[str, str]) -> list[str]:
    renamed = sorted(name for name, known in names.items() if name != known)
    if not renamed:
        return []
    return [f"{len(renamed)} chromosomes of the annotation match after adding or removing 'chr' ({renamed[0]}, …)."]


def _idle_filters(genes: pd.DataFrame, annotation: AnnotationSection) -> list[str]:
    """Return a notice for each value to keep or exclude that no gene has, which is usually misspelt."""
    filters = [("exclude_chromosomes", "chrom", annotation.exclude_chromosomes)]
    filters += [("biotypes", "gene_biotype", annotation.biotypes)]
    filters += [(f"exclude.{attribute}", attribute, values) for attribute, values in annotation.exclude.items()]
    return [
        f"annotation.{key}: no gene has {column} '{value}'; values include {', '.join(sorted(set(genes[column]))[:8])}."
        for key, column, values in filters
        for value in values
        if not (genes[column] == value).any()
    ]


def _unused_inputs(
    kept: pd.DataFrame,
    matrix_id: pd.Series,
    n_stripped: int,
    genome: Genome,
    matrix: MatrixGenes | None,
    tss: pd.DataFrame | None,
) -> list[str]:
    """Return a notice for each input that is partly ignored or only partly matched."""
    n_unannotated = 0 if matrix is None else len(set(matrix.ids) - set(matrix_id.dropna()))
    unused_tss = tss is not None and not (kept["tss_source"] == "bed").any()
    notices = [
        (
            genome.n_ambiguous,
            f"{genome.n_ambiguous} letters in windows are not A, C, G, T or N (IUPAC's R, Y, …) and are treated as N.",
        ),
        (n_unannotated, f"{n_unannotated} ids of the matrix are not in the annotation and are ignored."),
        (n_stripped, f"{n_stripped} gene ids of the annotation match the matrix only without their version suffix."),
        (unused_tss, "no TSS of annotation.tss_bed belongs to a selected gene: do its gene ids match those of the annotation?"),
    ]
    return [text for applies, text in notices if applies]


def read_genes_table(path: str | Path) -> pd.DataFrame:
    """Read genes.tsv (one row per gene) or tiles.tsv (one row per tile), with integer coordinates.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a table of windows. The message names the column or the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"table of windows {path} does not exist: create it with select_genes.py.")
    table = read_table(path)
    for column in _NEEDED:
        if column not in table:
            raise InputError(f"table of windows {path} has no column {column}: regenerate it with select_genes.py.")
    for column in _INTEGERS:
        if column in table:
            wrong = ~table[column].str.fullmatch(r"-?\d+").fillna(False).astype(bool)
            if wrong.any():
                raise InputError(
                    f"table of windows {path}, line {int(np.argmax(wrong)) + 2}: {column} is not an integer: is the file "
                    "truncated?"
                )
            table[column] = table[column].astype("int64")
    return table
