"""Read genes and exons from GTF, GFF3 and BED, and transcription start sites from BED."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.annotation import gff3
from cisnake.data.annotation.bed import is_bed, read_bed
from cisnake.data.annotation.gtf import attribute_values, bare_words, is_gff3, read_rows, refuse
from cisnake.data.genome import match_chromosomes
from cisnake.errors import InputError
from cisnake.text_files import check_file

_COLUMNS = ["gene_id", "gene_name", "gene_biotype", "chrom", "start", "end", "strand"]
# gene comes before Name: in SGD's GFF3, Name is the systematic name and gene the common name.
_NAMES = {False: ("gene_name", "gene"), True: ("gene_name", "gene", "Name")}
_BLOCKS_WRONG = "columns 11 and 12 of BED must be comma-separated block sizes and block starts, equal in number."
_BIOTYPES = ("gene_biotype", "gene_type", "biotype")
_FIRST_EXON = r"exon_number\s+[\"']?1[\"']?\s*(?:;|$)"
_ON_CHROM = ["gene_id", "chrom"]
_ON_STRAND = [*_ON_CHROM, "strand"]


def read_genes(path: str | Path, attributes: list[str] | None = None, feature: str = "gene") -> pd.DataFrame:
    """Return the genes of an annotation, in the order of the file.

    The format is detected from the rows, not from the file name. In GTF and GFF3, a row is a gene if its feature ends in
    `gene`: `gene`, `pseudogene`, `ncRNA_gene`, `protein_coding_gene`, `transposable_element_gene`, … If a GTF has no such rows
    (UCSC and some assemblers write none), or a GFF3, genes are built from transcripts (in GFF3 also from CDS without parents)
    with the same gene_id (in GFF3 also geneID or locus_tag). Transcripts on one chromosome and strand that overlap, directly or
    through others, are one locus; an id with several loci has a row for each. In BED every row is a gene, and column 4 is its
    id.

    Parameters
    ----------
    path: str or Path
        GTF, GFF3 or BED with at least six columns, plain or gzipped.
    attributes: list of str, optional
        Further attributes to return as columns; empty where a gene lacks them, and always empty for BED.
    feature: str
        Extent of a gene: "gene" (default), the gene's row; or "CDS", from the start codon to the end of the coding sequence.
        Genes without coding sequence keep their row.

    Returns
    -------
    pandas.DataFrame
        gene_id; gene_name (attribute gene_name, else gene, else GFF3's Name, else the id); gene_biotype (attribute
        gene_biotype, gene_type or biotype; else, in GFF3, the feature if it is not plain `gene`); chrom, start, end
        (0-based, half-open); strand ("." if unknown); and `attributes`. An id occurs several times if it has several gene rows
        or loci, for example on two chromosomes.

    Raises
    ------
    InputError
        The file is missing, or a row is malformed. The message names the line.
    """
    path = check_file(path, "annotation", "annotation.gtf")
    extra = [name for name in attributes or [] if name not in _COLUMNS]
    if is_bed(path):
        return _bed_genes(path, extra, feature)
    is_gff = is_gff3(path)
    table, has_genes = gff3.read_top(path) if is_gff else _read_gtf_genes(path)
    if table.empty:
        raise InputError(f"annotation {path} has no gene or transcript rows: is it GTF, GFF3 or BED?")
    if is_gff:
        table["gene_id"] = gff3.gene_ids(table, has_genes)
    elif has_genes:
        table["gene_id"] = attribute_values(table["attributes"], ("gene_id",), gff3=False)
        table["gene_id"] = table["gene_id"].where(table["gene_id"] != "", bare_words(table["attributes"]))
    refuse(table["gene_id"] == "", path, 'the gene lacks the attribute gene_id "…" (in GFF3: ID=…).')
    if is_gff and not has_genes:
        table["transcript_id"] = attribute_values(table["attributes"], ("ID",), gff3=True)
        table = _loci(_transcripts(table), table[table["feature"].map(gff3.is_transcript)])
    names = {"gene_name": _NAMES[is_gff], "gene_biotype": _BIOTYPES} | {name: (name,) for name in extra}
    for column, keys in names.items():
        table[column] = attribute_values(table["attributes"], keys, is_gff)
    if is_gff and has_genes:
        from_feature = (table["gene_biotype"] == "") & (table["feature"] != "gene")
        table["gene_biotype"] = table["gene_biotype"].mask(from_feature, table["feature"])
    table["gene_name"] = table["gene_name"].where(table["gene_name"] != "", table["gene_id"])
    if feature == "CDS":
        table = _narrow_to_coding(table, path, is_gff)
    return table[[*_COLUMNS, *extra]].reset_index(drop=True)


def _narrow_to_coding(genes: pd.DataFrame, path: Path, is_gff: bool) -> pd.DataFrame:
    """Restrict genes to the extent of the coding sequence in their locus; genes without one are unchanged."""
    blocks = [_union(block, _ON_CHROM) for block in _gene_rows(path, "CDS\t", {"CDS"}.__contains__, is_gff)]
    if not blocks:
        return genes
    extent = (
        _within(pd.concat(blocks), genes, _ON_CHROM).groupby("row").agg({"start": "min", "end": "max"}).reindex(genes.index)
    )
    start = np.maximum(genes["start"], extent["start"].fillna(genes["start"]).astype("int64"))
    return genes.assign(start=start, end=np.minimum(genes["end"], extent["end"].fillna(genes["end"]).astype("int64")))


def _within(intervals: pd.DataFrame, loci: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return intervals that share a base with a locus of the same `keys`, once for each, with its index in the column `row`."""
    pairs = intervals.merge(loci[[*keys, "start", "end"]].reset_index(names="row"), on=keys, suffixes=("", "_of_locus"))
    return pairs[(pairs["start"] < pairs["end_of_locus"]) & (pairs["end"] > pairs["start_of_locus"])]


def read_exons(path: str | Path) -> pd.DataFrame:
    """Return the exons of each gene: the union of the exons of its transcripts.

    Only exons that overlap the gene's locus belong to it. A gene without exon rows gets its coding sequence and
    untranslated regions. A gene that lacks these too gets its whole span.

    Parameters
    ----------
    path: str or Path
        As for `read_genes`. In BED with twelve columns, blocks are exons.

    Returns
    -------
    pandas.DataFrame
        gene_id, chrom (as in the file), start, end (0-based, half-open). Genes are in the order of `read_genes`; the intervals
        of a locus are sorted by position and neither overlap nor abut. A gene id with several loci has rows for each.

    Raises
    ------
    InputError
        As for `read_genes`.
    """
    path = check_file(path, "annotation", "annotation.gtf")
    genes = read_genes(path)[[*_ON_STRAND, "start", "end"]]
    loci = _union(genes, _ON_STRAND).reset_index(drop=True)
    # Merging block by block saves memory: transcripts of a gene are adjacent and share most of their exons.
    intervals = [loci.drop(columns="strand").assign(rank=2)]
    if is_bed(path):
        intervals += _bed_blocks(path)
    else:
        features = gff3.EXONS | gff3.CODING
        for block in _gene_rows(path, "", features.__contains__, is_gff3(path)):
            rank = np.where(block["feature"].isin(gff3.EXONS), 0, 1)
            intervals.append(_union(block.assign(rank=rank), [*_ON_CHROM, "rank"]))
    exons = _within(pd.concat(intervals), loci, _ON_CHROM)
    exons = _union(exons[exons["rank"] == exons.groupby("row")["rank"].transform("min")], [*_ON_CHROM, "row"])
    order = genes.drop_duplicates("gene_id").reset_index(names="order").set_index("gene_id")["order"]
    exons = exons.assign(order=exons["gene_id"].map(order)).sort_values(["order", "chrom", "start"])
    return exons[["gene_id", "chrom", "start", "end"]].reset_index(drop=True)


def exons_of_genome(path: str | Path, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Return the exons of `read_exons` on the chromosomes of a genome, with the genome's chromosome names.

    Parameters
    ----------
    path: str or Path
    sizes: mapping of str to int
        Chromosome lengths of the genome by name.
    """
    exons = read_exons(path)
    return exons.assign(chrom=exons["chrom"].map(match_chromosomes(exons["chrom"], sizes, "annotation.gtf"))).dropna()


def read_tss(path: str | Path) -> pd.DataFrame:
    """Read transcription start sites from a BED file.

    Parameters
    ----------
    path: str or Path
        BED with at least six columns, plain or gzipped. The start site is the first base of a row on the plus strand and the
        last base on the minus strand.

    Returns
    -------
    pandas.DataFrame
        gene_id, chrom, tss (0-based position of the base), strand.

    Raises
    ------
    InputError
        The file is missing or not BED with at least six columns. The message names the line if there is one.
    """
    path = check_file(path, "TSS file", "annotation.tss_bed")
    table = read_bed(path, "TSS file").rename(columns={"name": "gene_id", "start": "tss"})
    table.loc[table["strand"] == "-", "tss"] = table["end"] - 1
    return table[["gene_id", "chrom", "tss", "strand"]].reset_index(drop=True)


def _read_gtf_genes(path: Path) -> tuple[pd.DataFrame, bool]:
    """Return the gene rows of a GTF file, or else the loci of each gene_id, and whether the file has gene rows."""
    blocks = list(read_rows(path, "gene\t", gff3.is_gene))
    if blocks:
        return pd.concat(blocks), True
    transcripts, starts, unowned = [], [], []
    for block in read_rows(path):
        for column in ("gene_id", "transcript_id"):
            block[column] = attribute_values(block["attributes"], (column,), gff3=False)
        words = bare_words(block["attributes"]).where(block["feature"].map(gff3.is_transcript), "")
        unowned.append(block[words != ""].assign(transcript_id=words[words != ""]))
        block = block[words == ""]
        refuse(block["gene_id"] == "", path, 'the row lacks the attribute gene_id "…".')
        transcripts.append(_transcripts(block))
        is_first = (block["feature"] == "exon") & block["attributes"].str.contains(_FIRST_EXON)
        starts.append(block[is_first | block["feature"].map(gff3.is_transcript)])
    if not transcripts:
        return pd.DataFrame(), False
    # A transcript may have rows in several blocks.
    spans, rows = _transcripts(pd.concat(transcripts)), pd.concat(unowned)
    owners = spans.drop_duplicates("transcript_id").set_index("transcript_id")["gene_id"]
    rows["gene_id"] = rows["transcript_id"].map(owners).fillna("")
    refuse(rows["gene_id"] == "", path, "no other row says to which gene_id this transcript belongs.")
    return _loci(pd.concat([spans, _transcripts(rows)]), pd.concat([*starts, rows])), False


def _gene_rows(path: Path, mark: str, wanted: Callable[[str], bool], is_gff: bool) -> Iterator[pd.DataFrame]:
    """Yield blocks of rows that belong to genes, with the column gene_id."""
    owners = gff3.read_owners(path) if is_gff else {}
    for block in read_rows(path, mark, wanted):
        if is_gff:
            yield gff3.owners_of(block, owners)
        else:
            yield block.assign(gene_id=attribute_values(block["attributes"], ("gene_id",), gff3=False))


def _transcripts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the extent of each transcript of each gene, lowest start to highest end; the index is its first line number.

    Rows of a gene on one strand of a chromosome that name no transcript are taken as one transcript.
    """
    grouped = rows.assign(line=rows.index).groupby([*_ON_STRAND, "transcript_id"], sort=False)
    first = dict.fromkeys(("line", "feature", "attributes"), "first")
    return grouped.agg({**first, "start": "min", "end": "max"}).reset_index().set_index("line")


def _loci(transcripts: pd.DataFrame, starts: pd.DataFrame) -> pd.DataFrame:
    """Return the loci of each gene_id: transcripts on one strand that overlap, directly or through others.

    Parameters
    ----------
    transcripts: pandas.DataFrame
        As from `_transcripts`, possibly with several rows of a transcript. The index is the line number.
    starts: pandas.DataFrame
        One row per transcript: its own row, or its first exon. A transcript with several that do not
        overlap has been written once for each place at which its sequence occurs, as UCSC does; these rows then stand for it.

    Returns
    -------
    pandas.DataFrame
        Columns of `_transcripts` in the order of the file; the other columns are those of the first transcript of the locus.
    """
    keys = [*_ON_STRAND, "transcript_id"]
    copies = _union(starts[starts["transcript_id"] != ""], keys)
    copies = copies[copies.duplicated(keys, keep=False)]
    if len(copies):
        repeated = pd.MultiIndex.from_frame(transcripts[keys]).isin(pd.MultiIndex.from_frame(copies[keys]))
        copies = copies.merge(
            transcripts.reset_index()[[*keys, "line", "feature", "attributes"]].drop_duplicates(keys), on=keys
        )
        transcripts = pd.concat([transcripts[~repeated], copies.set_index("line")])
    loci = _union(transcripts, _ON_STRAND).reset_index(drop=True)
    first = _within(transcripts.rename_axis("line").reset_index(), loci, _ON_STRAND).sort_values("line", kind="stable")
    first = first.drop_duplicates("row").set_index("row")
    loci = loci.join(first[["line", "feature", "attributes"]])
    return loci.sort_values(["line", "start"]).set_index("line")


def _union(intervals: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the union of the intervals with the same values in the columns `keys`; intervals that abut are merged."""
    intervals = intervals[[*keys, "start", "end"]].drop_duplicates().sort_values([*keys, "start"], ignore_index=True)
    if intervals.empty:
        return intervals
    group = intervals.groupby(keys, sort=False)
    previous_end = group["end"].cummax().groupby([intervals[key] for key in keys], sort=False).shift(fill_value=-1)
    interval = (intervals["start"] > previous_end).cumsum()
    return intervals.groupby(interval).agg({**dict.fromkeys(keys, "first"), "start": "first", "end": "max"})


def _bed_genes(path: Path, extra: list[str], feature: str) -> pd.DataFrame:
    if feature == "CDS":
        raise InputError(f"annotation {path} is BED, which has no CDS rows: set annotation.feature to gene.")
    table = read_bed(path, "annotation").rename(columns={"name": "gene_id"})
    table = table.assign(gene_name=table["gene_id"], gene_biotype="", **dict.fromkeys(extra, ""))
    return table[[*_COLUMNS, *extra]].reset_index(drop=True)


def _bed_blocks(path: Path) -> list[pd.DataFrame]:
    """Return the blocks of a BED file with twelve columns as a list of one table; an empty list if it has fewer columns."""
    table = read_bed(path, "annotation")
    if "block_sizes" not in table:
        return []
    blocks = table[["name", "chrom", "start"]].rename(columns={"name": "gene_id"}).assign(rank=0)
    for column in ("block_sizes", "block_starts"):
        malformed = ~table[column].str.fullmatch(r"\d+(,\d+)*,?")
        refuse(malformed | (table["block_sizes"].str.count(r"\d+") != table[column].str.count(r"\d+")), path, _BLOCKS_WRONG)
        blocks[column] = table[column].str.rstrip(",").str.split(",")
    blocks = blocks.explode(["block_sizes", "block_starts"])
    blocks["start"] = blocks["start"].astype("int64") + blocks["block_starts"].astype("int64")
    return [_union(blocks.assign(end=blocks["start"] + blocks["block_sizes"].astype("int64")), [*_ON_CHROM, "rank"])]
