"""Select the genes of a run from annotation, genome and matrix, and record why each other gene was dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, match_chromosomes, to_genome, to_window
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.joins import explain_mismatch
from cisnake.sections import AnnotationSection, WindowsSection

_VERSIONED = r"^(ENS[A-Z]*\d{6,})\.\d+$"

# Required columns of every table of windows, and columns that hold integers if present.
_NEEDED = ("gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold")
_INTEGERS = ("start", "end", "tss", "window_start", "window_end", "mask_start", "mask_end", "fold", "background")

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
# What becomes of a measured TSS, from the first condition that it fails to its use.
TSS_OUTCOMES = ("unknown_id", "chromosome", "strand", "distance", "not_nearest", "used")
_DROPPED_COLUMNS = ["gene_id", "gene_name", "chrom", "start", "end", "strand", "reason", "detail", "matrix_id"]


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


def place_tss(
    genes: pd.DataFrame, tss: pd.DataFrame | None, max_distance: int, upstream_only: bool = False
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the genes with their TSS, and why each measured TSS is used or not.

    The TSS of a gene is its annotated 5' end (of a region: its middle), unless `tss` has one of the same gene, chromosome
    and strand at most
    `max_distance` bases from it, on either side. The nearest is used; of two equally near, the one upstream.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, start, end, strand; for regions also middle and has_summit.
    tss: pandas.DataFrame, optional
        gene_id, chrom, tss, strand.
    max_distance: int
        Largest distance from the annotated 5' end, bp.
    upstream_only: bool
        Whether to leave out TSSs downstream of the annotated 5' end. For genes that are annotated from the start codon,
        where transcription cannot start further downstream. Default False.

    Returns
    -------
    genes: pandas.DataFrame
        The genes with `tss` (0-based position of the base) and `tss_source` ("annotation" or "bed"; for regions
        "summit" or "middle").
    outcome: pandas.Series of str
        For each row of `tss`, "used" or what prevents it: "unknown_id", "chromosome", "strand", "distance", or "not_nearest".
        The first three mean that no gene has this id, this chromosome besides, or this strand besides.
    """
    genes = genes.copy()
    genes["tss"], genes["tss_source"] = _five_prime_base(genes), "annotation"
    if "middle" in genes:
        genes["tss"], genes["tss_source"] = genes["middle"], np.where(genes["has_summit"], "summit", "middle")
    if tss is None:
        return genes, pd.Series(dtype=object)
    annotated = genes.reset_index(names="row")[["row", "gene_id", "chrom", "strand", "tss"]]
    pairs = tss.reset_index(drop=True).reset_index(names="site").merge(annotated, on="gene_id", suffixes=("", "_annotated"))
    at, measured = pairs["tss_annotated"], pairs["tss"]
    upstream = -to_window(at, at + 1, pairs["strand_annotated"], measured, measured + 1)[0]
    distance = np.abs(upstream)
    out_of_reach = (distance > max_distance) | (upstream_only & (upstream < 0))
    wrong_chrom, wrong_strand = pairs["chrom"] != pairs["chrom_annotated"], pairs["strand"] != pairs["strand_annotated"]
    # How many conditions a pair meets; a site may meet more of them in one gene with its id than in another.
    met = np.select([wrong_chrom, wrong_strand, out_of_reach], [1, 2, 3], 4)
    pairs = pairs.assign(distance=distance, downstream=upstream < 0, met=met)
    used = pairs[pairs["met"] == 4].sort_values(["distance", "downstream"], kind="stable").drop_duplicates("row")
    genes.loc[used["row"], "tss"] = used["tss"].to_numpy()
    genes.loc[used["row"], "tss_source"] = "bed"
    best = pairs.groupby("site")["met"].max().reindex(range(len(tss)), fill_value=0)
    best[best.index.isin(used["site"])] = len(TSS_OUTCOMES) - 1
    return genes, best.map(dict(enumerate(TSS_OUTCOMES))).set_axis(tss.index)


def _five_prime_base(genes: pd.DataFrame) -> np.ndarray:
    """Return the 0-based genome position of the 5' base of each gene; shape=(n,), dtype=int64."""
    return to_genome(genes["start"], genes["end"], genes["strand"], 0, 1)[0]


def place_windows(genes: pd.DataFrame, anchor: str, upstream: int, downstream: int) -> pd.DataFrame:
    """Return the genes with their windows and the position of the gene body in them.

    Position 0 of a window is its 5' end on the gene's strand; the anchor is at position `upstream`.

    Parameters
    ----------
    genes: pandas.DataFrame
        start, end, strand, tss; for regions also middle.
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
    # A region has no body.
    mask_end = mask_start if "middle" in genes else np.maximum(body_end, mask_start)
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
    tasks: collection of str
        Names of the columns, to recognise a transposed matrix. Default: none.
    """

    ids: pd.Index
    measured: np.ndarray
    poor: pd.DataFrame | None = None
    tasks: Collection[str] = ()


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
        As returned by `annotation.read_genes` or `regions_as_genes`.
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
        gene_id, gene_name, chrom, start, end, strand, reason, detail and matrix_id: one row per dropped gene.
    summary: dict
        n_annotated, n_kept, n_dropped, dropped (by reason), notices, n_version_stripped, tss_source, and, if there are measured
        TSSs, tss_bed: their number by `TSS_OUTCOMES` and "gene_dropped".

    Raises
    ------
    InputError
        The annotation or the table of TSSs shares no chromosome with the genome; or the matrix or the table of TSSs shares no
        gene with the annotation.
    """
    names = match_chromosomes(genes["chrom"], genome.sizes, "regions.file" if "middle" in genes else "annotation.gtf")
    placeable = genes["chrom"].isin(names) & ~genes["chrom"].isin(annotation.exclude_chromosomes)
    reasons = _annotation_reasons(genes, names, placeable, annotation)
    if "reason" in genes:
        reasons += [(reason, genes["reason"] == reason, genes["detail"]) for reason in sorted({*genes["reason"]} - {""})]
    matrix_id, n_stripped = genes["gene_id"], 0
    if matrix is not None:
        matrix_id, n_stripped = match_ids(genes[annotation.match_by], matrix.ids)
        if matrix_id.isna().all():
            raise InputError(f"the matrix has no gene of the annotation: {_unmatched(genes, matrix, annotation.match_by)}.")
        if annotation.match_by == "gene_name":
            reasons.append(_ambiguous_names(genes, placeable))
        reasons += _matrix_reasons(matrix_id, matrix, _dropped(reasons))

    tss = None if tss is None else _match_tss(tss, genes, genome)
    placed = genes.assign(chrom=genes["chrom"].map(names).fillna(genes["chrom"]), matrix_id=matrix_id)
    # Transcription cannot start downstream of the start codon from which these genes are annotated.
    placed, outcome = place_tss(placed, tss, annotation.tss_max_distance, upstream_only=annotation.feature == "CDS")
    placed = place_windows(placed, windows.anchor, windows.upstream, windows.downstream)
    reasons += _genome_reasons(placed, _dropped(reasons), genome, windows.max_n_fraction)

    placed = placed.assign(**_first_reasons(reasons))
    is_kept = placed["reason"] == ""
    kept, dropped = in_genome_order(placed[is_kept], genome)[[*GENE_COLUMNS, "matrix_id"]], placed[~is_kept][_DROPPED_COLUMNS]
    notices = _renamed_chromosomes(names) + _idle_filters(genes, annotation) + _unclear_genes(dropped)
    notices += _unused_inputs(genes, matrix_id, n_stripped, genome, matrix, annotation.match_by)
    sources = kept["tss_source"].value_counts().to_dict()
    summary = {"n_annotated": len(genes), **count_selection(kept, dropped), "notices": notices}
    summary |= {"n_version_stripped": n_stripped, "tss_source": sources}
    if tss is not None:
        of_dropped = (outcome == "used") & ~tss["gene_id"].isin(kept["gene_id"])
        summary["tss_bed"] = outcome.mask(of_dropped, "gene_dropped").value_counts().to_dict()
    return kept.reset_index(drop=True), dropped.reset_index(drop=True), summary


def count_selection(kept: pd.DataFrame, dropped: pd.DataFrame) -> dict[str, Any]:
    """Return n_kept, n_dropped, and the number of genes dropped for each reason."""
    return {"n_kept": len(kept), "n_dropped": len(dropped), "dropped": dropped["reason"].value_counts().to_dict()}


def _annotation_reasons(
    genes: pd.DataFrame, names: Mapping[str, str], placeable: pd.Series, annotation: AnnotationSection
) -> list[_Reason]:
    """Return the reasons that concern rows of the annotation; `placeable`: rows on chromosomes that the run uses."""
    chrom, biotype = genes["chrom"], genes["gene_biotype"]
    repeated = genes[placeable].duplicated("gene_id").reindex(genes.index, fill_value=False)
    reasons: list[_Reason] = [
        _several_loci(genes, placeable),
        ("duplicate_id", repeated, "the annotation has an earlier gene with this id"),
        ("no_strand", genes["strand"] == ".", "the annotation gives no strand"),
        ("excluded_chromosome", chrom.isin(annotation.exclude_chromosomes), chrom),
    ]
    if annotation.biotypes:
        reasons.append(("other_biotype", ~biotype.isin(annotation.biotypes), biotype))
    for attribute, values in annotation.exclude.items():
        reasons.append(("excluded_attribute", genes[attribute].isin(values), attribute + " " + genes[attribute]))
    return [*reasons, ("chromosome_missing", ~chrom.isin(names), chrom + " is not in the genome")]


def _several_loci(genes: pd.DataFrame, placeable: pd.Series) -> _Reason:
    """Return the genes whose id is at several loci; rows on one strand that overlap, directly or through others, are one."""
    rows = genes[placeable & genes["gene_id"].duplicated(keep=False)].sort_values(["gene_id", "chrom", "strand", "start"])
    keys = [rows[key] for key in ("gene_id", "chrom", "strand")]
    reach = rows.groupby(keys)["end"].cummax().groupby(keys).shift(fill_value=-1)
    loci = rows.assign(locus=(rows["start"] > reach).cumsum())
    loci = loci.groupby("locus").agg({"gene_id": "first", "chrom": "first", "strand": "first", "start": "min", "end": "max"})
    place = loci["chrom"] + ":" + loci["start"].astype(str) + "-" + loci["end"].astype(str) + " (" + loci["strand"] + ")"
    several = loci["gene_id"].duplicated(keep=False)
    detail = genes["gene_id"].map(place[several].groupby(loci["gene_id"]).agg(_some))
    return "several_loci", placeable & detail.notna(), detail.fillna("")


def _ambiguous_names(genes: pd.DataFrame, placeable: pd.Series) -> _Reason:
    """Return the genes that share their name with genes of another id: a row of the matrix with this name is of either."""
    ids = genes[placeable].drop_duplicates(["gene_name", "gene_id"])
    shared = ids[ids["gene_name"].duplicated(keep=False)].groupby("gene_name")["gene_id"].agg(_some)
    detail = genes["gene_name"].map("the gene_name is shared by " + shared)
    return "ambiguous_name", placeable & detail.notna(), detail.fillna("")


def _some(names: Collection[str], n: int = 3) -> str:
    """Return up to three of the names as text, and the number of the others."""
    names = list(names)
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def _unmatched(genes: pd.DataFrame, matrix: MatrixGenes, match_by: str) -> str:
    """Explain why genes of the matrix and of the annotation do not match."""
    other = {"gene_id": "gene_name", "gene_name": "gene_id"}[match_by]
    transposed = "The matrix is transposed, with tasks in rows: exchange rows and columns"
    causes = {
        f"The matrix has values of {other}: set annotation.match_by to {other}": (matrix.ids, genes[other]),
        transposed: (matrix.tasks, pd.concat([genes[match_by], genes[other]])),
    }
    return explain_mismatch("the matrix", matrix.ids, "the annotation", genes[match_by], causes)


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


def _match_tss(tss: pd.DataFrame, genes: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Return the TSSs with the genome's chromosome names and the annotation's gene ids; "" for those without a match."""
    chrom = tss["chrom"].map(match_chromosomes(tss["chrom"], genome.sizes, "annotation.tss_bed"))
    gene_id, _ = match_ids(tss["gene_id"], pd.Index(genes["gene_id"]))
    if gene_id.isna().all():
        causes = {"It has gene names: column 4 must be the gene_id": (tss["gene_id"], genes["gene_name"])}
        why = explain_mismatch("annotation.tss_bed", tss["gene_id"], "the annotation", genes["gene_id"], causes)
        raise InputError(f"no TSS of annotation.tss_bed is of an annotated gene: {why}.")
    return tss.assign(chrom=chrom.fillna(""), gene_id=gene_id.fillna(""))


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


def in_genome_order(genes: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Return genes sorted by chromosome, in the order of the genome, window and id; with an additional column `rank`."""
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


def _unclear_genes(dropped: pd.DataFrame) -> list[str]:
    """Return a notice for each reason why it is not known which gene was measured, with the names of such genes."""
    notices = []
    for reason, meaning in (
        ("several_loci", "gene ids occur at several loci, and it is unknown which one was measured"),
        ("ambiguous_name", "gene names are shared by several genes, and it is unknown which one was measured"),
    ):
        column = "gene_name" if reason == "ambiguous_name" else "gene_id"
        names = dropped.loc[dropped["reason"] == reason, column].unique()
        if len(names):
            notices.append(f"{len(names)} {meaning}; these genes are dropped: {_some(names)}.")
    return notices


def _unused_inputs(
    genes: pd.DataFrame, matrix_id: pd.Series, n_stripped: int, genome: Genome, matrix: MatrixGenes | None, match_by: str
) -> list[str]:
    """Return a notice for each input that is partly ignored or only partly matched."""
    ids = set() if matrix is None else set(matrix.ids)
    n_unannotated = len(ids - set(matrix_id.dropna()))
    unannotated = f"{n_unannotated} ids of the matrix are not in the annotation and are ignored"
    if matrix is not None and n_unannotated > len(ids) / 2:
        unannotated += f": {_unmatched(genes, matrix, match_by)}"
    notices = [
        (
            genome.n_ambiguous,
            f"{genome.n_ambiguous} letters in windows are not A, C, G, T or N (IUPAC's R, Y, …) and are treated as N.",
        ),
        (n_unannotated, f"{unannotated}."),
        (n_stripped, f"{n_stripped} gene ids of the annotation match the matrix only without their version suffix."),
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
