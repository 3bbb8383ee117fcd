"""Genes and their exons, of GTF, GFF3 and BED files, and transcription start sites of BED files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.annotation import gff3
from cisnake.data.annotation.bed import is_bed, read_bed
from cisnake.data.annotation.gtf import attribute_values, is_gff3, read_rows, refuse
from cisnake.data.genome import match_chromosomes
from cisnake.errors import InputError
from cisnake.text_files import check_file

_COLUMNS = ["gene_id", "gene_name", "gene_biotype", "chrom", "start", "end", "strand"]
# In SGD's GFF3 Name is the systematic name and gene the one that people use.
_NAMES = {False: ("gene_name", "gene"), True: ("gene_name", "gene", "Name")}
_BLOCKS_WRONG = "columns 11 and 12 of BED must be as many sizes and starts of blocks, separated by commas."
_BIOTYPES = ("gene_biotype", "gene_type", "biotype")


def read_genes(path: str | Path, attributes: list[str] | None = None, feature: str = "gene") -> pd.DataFrame:
    """Return the genes of an annotation, in the order of the file.

    Which format a file has is seen from its rows, not from its name. In GTF and GFF3 those rows are genes whose feature is
    `gene`, `pseudogene`, or ends in either (`ncRNA_gene`, `protein_coding_gene`, `transposable_element_gene`, …). A GTF
    without such rows (some assemblers write none) gives each gene_id the span of its other rows; a GFF3 without them the span
    of the transcripts, and of the CDS without parents, of each gene_id, geneID or locus_tag. In BED every
    row is a gene, named in the fourth column.

    Parameters
    ----------
    path: str or Path
        GTF, GFF3 or BED with at least six columns, plain or gzipped.
    attributes: list of str, optional
        Further attributes wanted as columns, empty where a gene lacks them (in BED, all).
    feature: str
        What a gene spans: "gene" (default), its own row; or "CDS", from its start codon to the end of its coding sequence,
        where it has one.

    Returns
    -------
    pandas.DataFrame
        gene_id; gene_name (attribute gene_name, else gene, else GFF3's Name, else the id); gene_biotype (attribute
        gene_biotype, gene_type or biotype; else, in GFF3, the feature, where it says more than gene); chrom, start, end
        (0-based, half-open), strand ("." where the file does not know it), and `attributes`. Ids may be repeated: in one
        file on two chromosomes, for example.

    Raises
    ------
    InputError
        The file is missing, or a row is wrong; the message names the line.
    """
    path = check_file(path, "annotation", "annotation.gtf")
    wanted = [name for name in attributes or [] if name not in _COLUMNS]
    if is_bed(path):
        return _genes_of_bed(path, wanted, feature)
    is_gff = is_gff3(path)
    table, has_genes = gff3.read_top(path) if is_gff else _top_of_gtf(path)
    if table.empty:
        raise InputError(f"annotation {path} has no rows of genes or transcripts: is it GTF, GFF3 or BED?")
    if is_gff:
        table["gene_id"] = gff3.gene_ids(table, has_genes)
    elif has_genes:
        table["gene_id"] = attribute_values(table["attributes"], ("gene_id",), gff3=False)
    refuse(table["gene_id"] == "", path, 'the gene has no gene_id "…" (in GFF3, no ID=…) among its attributes.')
    if not has_genes:
        table = _spans(table, ["strand", "feature", "attributes"])
    names = {"gene_name": _NAMES[is_gff], "gene_biotype": _BIOTYPES} | {name: (name,) for name in wanted}
    for column, keys in names.items():
        table[column] = attribute_values(table["attributes"], keys, is_gff)
    if is_gff and has_genes:
        plain = (table["gene_biotype"] == "") & (table["feature"] != "gene")
        table["gene_biotype"] = table["gene_biotype"].mask(plain, table["feature"])
    table["gene_name"] = table["gene_name"].where(table["gene_name"] != "", table["gene_id"])
    if feature == "CDS":
        table = _narrow_to_coding(table, path, is_gff)
    return table[[*_COLUMNS, *wanted]].reset_index(drop=True)


def _narrow_to_coding(genes: pd.DataFrame, path: Path, is_gff: bool) -> pd.DataFrame:
    """Return the genes with the extent of their coding sequence, where they have one."""
    coding = [_spans(block) for block in _members(path, "CDS\t", {"CDS"}.__contains__, is_gff)]
    if not coding:
        return genes
    extent = _spans(pd.concat(coding)).set_index(["gene_id", "chrom"])[["start", "end"]]
    extent = genes[["gene_id", "chrom"]].join(extent, on=["gene_id", "chrom"])
    return genes.assign(**{column: extent[column].fillna(genes[column]).astype("int64") for column in ("start", "end")})


def read_exons(path: str | Path) -> pd.DataFrame:
    """Return the exons of each gene: the union of those of its transcripts.

    A gene without exons in the file has its coding sequence and untranslated regions instead, and one without these either
    its whole span.

    Parameters
    ----------
    path: str or Path
        As for `read_genes`. In BED with twelve columns the blocks are the exons.

    Returns
    -------
    pandas.DataFrame
        gene_id, chrom (as in the file), start, end (0-based, half-open), ordered by gene in the order of `read_genes`, then
        by place; the intervals of a gene neither overlap nor abut. A gene id on two chromosomes has rows of both.

    Raises
    ------
    InputError
        As `read_genes`.
    """
    path = check_file(path, "annotation", "annotation.gtf")
    genes = read_genes(path)[["gene_id", "chrom", "start", "end"]]
    # Merged block by block: transcripts of one gene share most of their exons, and stand together.
    found = [_union(genes.assign(rank=2))]
    if is_bed(path):
        found += _blocks_of_bed(path)
    else:
        parts = gff3.EXONS | gff3.CODING
        for block in _members(path, "", parts.__contains__, is_gff3(path)):
            rank = np.where(block["feature"].isin(gff3.EXONS), 0, 1)
            found.append(_union(block.assign(rank=rank)))
    pieces = pd.concat(found)
    pieces = pieces[pieces["rank"] == pieces.groupby("gene_id")["rank"].transform("min")]
    order = pd.Series(np.arange(len(genes)), index=genes["gene_id"])
    order = order[~order.index.duplicated()]
    pieces = _union(pieces[pieces["gene_id"].isin(order.index)])
    pieces = pieces.assign(order=pieces["gene_id"].map(order)).sort_values(["order", "chrom", "start"])
    return pieces[["gene_id", "chrom", "start", "end"]].reset_index(drop=True)


def exons_of_genome(path: str | Path, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Return what `read_exons` does, of the genome's chromosomes and with its names for them.

    Parameters
    ----------
    path: str or Path
    sizes: mapping of str to int
        Lengths of the genome's chromosomes by name.
    """
    exons = read_exons(path)
    return exons.assign(chrom=exons["chrom"].map(match_chromosomes(exons["chrom"], sizes, "annotation.gtf"))).dropna()


def read_tss(path: str | Path) -> pd.DataFrame:
    """Return the transcription start sites of a BED file: gene_id, chrom, tss (0-based position of the base), strand.

    Raises
    ------
    InputError
        The file is missing or not BED with at least six columns; names the line where it can.
    """
    path = check_file(path, "TSS file", "annotation.tss_bed")
    table = read_bed(path, "TSS file").rename(columns={"name": "gene_id", "start": "tss"})
    table.loc[table["strand"] == "-", "tss"] = table["end"] - 1
    return table[["gene_id", "chrom", "tss", "strand"]].reset_index(drop=True)


def _top_of_gtf(path: Path) -> tuple[pd.DataFrame, bool]:
    """Return the rows of genes, or of each gene_id of a file that has none; and whether it has them."""
    blocks = list(read_rows(path, "gene\t", gff3.is_gene))
    if blocks:
        return pd.concat(blocks), True
    spans = []
    for block in read_rows(path):
        block["gene_id"] = attribute_values(block["attributes"], ("gene_id",), gff3=False)
        refuse(block["gene_id"] == "", path, 'the row has no gene_id "…" among its attributes.')
        spans.append(_spans(block, ["strand", "feature", "attributes"]))
    return (pd.concat(spans) if spans else pd.DataFrame()), False


def _members(path: Path, mark: str, wanted: Callable[[str], bool], is_gff: bool) -> Iterator[pd.DataFrame]:
    """Yield blocks of the rows that lie in genes, with their gene_id."""
    owners = gff3.read_owners(path) if is_gff else {}
    for block in read_rows(path, mark, wanted):
        if is_gff:
            yield gff3.owners_of(block, owners)
        else:
            yield block.assign(gene_id=attribute_values(block["attributes"], ("gene_id",), gff3=False))


def _spans(rows: pd.DataFrame, first: list[str] | None = None) -> pd.DataFrame:
    """Return one row for each gene_id and chromosome, from its lowest start to its highest end; the index is its first line."""
    kept = {column: "first" for column in ["line", *(first or [])]}
    grouped = rows.assign(line=rows.index).groupby(["gene_id", "chrom"], sort=False)
    return grouped.agg({**kept, "start": "min", "end": "max"}).reset_index().set_index("line")


def _union(intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the union of intervals with the same gene_id, chrom and rank; those that abut become one."""
    keys = ["gene_id", "chrom", "rank"]
    intervals = intervals[[*keys, "start", "end"]].drop_duplicates().sort_values([*keys, "start"], ignore_index=True)
    if intervals.empty:
        return intervals
    group = intervals.groupby(keys, sort=False)
    before = group["end"].cummax().groupby([intervals[key] for key in keys], sort=False).shift(fill_value=-1)
    piece = (intervals["start"] > before).cumsum()
    return intervals.groupby(piece).agg({**dict.fromkeys(keys, "first"), "start": "first", "end": "max"})


def _genes_of_bed(path: Path, wanted: list[str], feature: str) -> pd.DataFrame:
    if feature == "CDS":
        raise InputError(f"annotation {path} is BED, which names no coding sequence: annotation.feature must be gene.")
    table = read_bed(path, "annotation").rename(columns={"name": "gene_id"})
    table = table.assign(gene_name=table["gene_id"], gene_biotype="", **dict.fromkeys(wanted, ""))
    return table[[*_COLUMNS, *wanted]].reset_index(drop=True)


def _blocks_of_bed(path: Path) -> list[pd.DataFrame]:
    """Return the blocks of a BED file with twelve columns as one table of intervals; none for a narrower one."""
    table = read_bed(path, "annotation")
    if "block_sizes" not in table:
        return []
    parts = table[["name", "chrom", "start"]].rename(columns={"name": "gene_id"}).assign(rank=0)
    for column in ("block_sizes", "block_starts"):
        wrong = ~table[column].str.fullmatch(r"\d+(,\d+)*,?")
        refuse(wrong | (table["block_sizes"].str.count(r"\d+") != table[column].str.count(r"\d+")), path, _BLOCKS_WRONG)
        parts[column] = table[column].str.rstrip(",").str.split(",")
    parts = parts.explode(["block_sizes", "block_starts"])
    parts["start"] = parts["start"].astype("int64") + parts["block_starts"].astype("int64")
    return [_union(parts.assign(end=parts["start"] + parts["block_sizes"].astype("int64")))]
