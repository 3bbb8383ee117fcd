"""Read tables of variants, in genome or window coordinates, and pair variants with genes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cisnake.data.genome import decode, encode, match_chromosomes, reverse_complement, to_genome
from cisnake.errors import InputError, unknown_name
from cisnake.joins import explain_mismatch
from cisnake.variants.vcf import unscorable_alleles
from cisnake.variants.windows import Window, pair_with_genes, trim

CONVENTIONS = ("current", "older")
VARIANT_GENE_COLUMNS = ("row", "variant_id", "chrom", "start", "end", "ref", "alt", "gene_id", "status")


def pair_variants(
    variants: pd.DataFrame, genes: list[str], stored: list[Window], windows: list[Window], convention: str = "current"
) -> pd.DataFrame:
    """Pair each variant with the genes whose windows it affects; a variant that affects none has one row without a gene.

    Parameters
    ----------
    variants: pandas.DataFrame
        A table in one of two formats; if it has the columns of both, the first is used:

        - genome coordinates: `chrom`; `pos` (1-based, as in VCF) or else `start` (0-based); `ref` and `alt` on the forward
          strand; and optionally `gene_id` or `gene`, which restricts a variant to that gene;
        - window coordinates, as in Decima: `gene_id` or `gene`; `rel_pos`; `ref_tx` and `alt_tx`, in the direction of the
          gene.

        `variant_id` is optional.
    genes: list of str, N entries
        Ids of the genes.
    stored: list of Window, N entries
        The windows to which `rel_pos` refers.
    windows: list of Window, N entries
        The windows of the model input, all of the same length.
    convention: "current" or "older"
        Definition of `rel_pos`, which is counted from 0 at the upstream end of the window. In current Decima it is the
        position of the first base of REF on the forward strand of the genome; on the minus strand, this is the last base of
        `ref_tx`. In Decima's first releases it is one higher on the plus strand and the same on the minus strand.

    Returns
    -------
    pandas.DataFrame
        Ordered by variant, then by window position on the genome. `row`: row number in `variants`. `variant_id`: from
        `variants`, or `chrom:pos:ref:alt` (1-based). `chrom`, `start`, `end`: position of REF, 0-based, half-open. `ref`,
        `alt`: on the forward strand. `gene_id`: empty without a gene. `status`: empty if the alleles remain to be compared;
        otherwise `no_alt`, `symbolic`, `unknown_ref` (see `vcf.read_variants`), `outside` (affects no window of the data set)
        or `unknown_gene`.

    Raises
    ------
    InputError
        Columns are missing, a position is not an integer, or no chromosome or gene of the table is in the data set.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.variants.variant_table import pair_variants
    >>> from cisnake.variants.windows import Window
    >>> windows = [Window("chr1", 100, 200, "-", 60, 90)]
    >>> variants = pd.DataFrame({"gene": ["g1"], "rel_pos": [10], "ref_tx": ["A"], "alt_tx": ["C"]})
    >>> pairs = pair_variants(variants, ["g1"], windows, windows)
    >>> pairs[["variant_id", "start", "ref", "alt", "gene_id"]].to_numpy().tolist()
    [['chr1:190:T:G', 189, 'T', 'G', 'g1']]
    """
    if convention not in CONVENTIONS:
        raise unknown_name("convention", convention, CONVENTIONS)
    named = _named_genes(variants, genes)
    table = _genome_positions(variants, named, stored, convention)
    table.insert(0, "row", np.arange(len(table)))
    table["end"] = table["start"] + np.array([len(ref) for ref in table["ref"]], dtype=np.int64)
    ids = [f"{c}:{s + 1}:{r}:{a}" for c, s, r, a in zip(table["chrom"], table["start"], table["ref"], table["alt"])]
    table["variant_id"] = variants["variant_id"].astype(str).to_numpy() if "variant_id" in variants else ids
    table["status"] = [unscorable_alleles(ref, alt) for ref, alt in zip(table["ref"], table["alt"])]
    if named is not None:
        table.loc[named < 0, "status"] = "unknown_gene"
    return _paired(table, named, genes, windows)


def _named_genes(variants: pd.DataFrame, genes: list[str]) -> np.ndarray | None:
    """Return the index of each variant's gene, -1 if it is unknown; None if the table has no column of genes."""
    column = next((column for column in ("gene_id", "gene") if column in variants), None)
    if column is None:
        return None
    index_of = {gene: index for index, gene in enumerate(genes)}
    named = variants[column].astype(str).map(index_of).fillna(-1).astype(np.int64).to_numpy()
    if len(named) and (named < 0).all():
        why = explain_mismatch("the table", variants[column].astype(str), "the data set", genes)
        raise InputError(f"the table of variants has no gene of the data set: {why}.")
    return named


def _genome_positions(variants: pd.DataFrame, named: np.ndarray | None, stored: list[Window], convention: str) -> pd.DataFrame:
    """Return chrom, start, ref and alt of variants in genome coordinates, for either format."""
    if {"ref", "alt", "chrom"} <= set(variants) and ("pos" in variants or "start" in variants):
        return _on_genome(variants, stored)
    if named is not None and {"rel_pos", "ref_tx", "alt_tx"} <= set(variants):
        return _in_genes(variants, named, stored, convention)
    raise InputError(
        f"the table of variants has the columns {', '.join(map(str, variants.columns))}; it must have chrom, pos (or start), "
        "ref and alt, or gene, rel_pos, ref_tx and alt_tx."
    )


def _on_genome(variants: pd.DataFrame, stored: list[Window]) -> pd.DataFrame:
    chroms = variants["chrom"].astype(str)
    names = match_chromosomes(chroms, (window.chrom for window in stored), "the table of variants")
    start = _integers(variants, "pos") - 1 if "pos" in variants else _integers(variants, "start")
    alleles = {column: _alleles(variants, column) for column in ("ref", "alt")}
    return pd.DataFrame({"chrom": [names.get(chrom, chrom) for chrom in chroms], "start": start, **alleles})


def _in_genes(variants: pd.DataFrame, named: np.ndarray, stored: list[Window], convention: str) -> pd.DataFrame:
    place = _integers(variants, "rel_pos")
    unknown = Window("", 0, 0, "+", 0, 0)
    windows = [stored[gene] if gene >= 0 else unknown for gene in named.tolist()]
    strand = np.array([window.strand for window in windows], dtype=str)
    starts, ends = (np.array([getattr(window, side) for window in windows], dtype=np.int64) for side in ("start", "end"))
    plus = strand == "+"
    if convention == "older":
        place = place - plus
    start, _ = to_genome(starts, ends, strand, place, place + 1)
    alleles = {
        column: [
            allele if forward or not set(allele.upper()) <= set("ACGTN") else decode(reverse_complement(encode(allele)))
            for allele, forward in zip(_alleles(variants, f"{column}_tx"), plus)
        ]
        for column in ("ref", "alt")
    }
    return pd.DataFrame({"chrom": [window.chrom for window in windows], "start": start, **alleles})


def _paired(table: pd.DataFrame, named: np.ndarray | None, genes: list[str], windows: list[Window]) -> pd.DataFrame:
    open_rows = np.flatnonzero(table["status"] == "")
    alleles = (table[column].to_numpy(object)[open_rows] for column in ("start", "ref", "alt"))
    changes = [trim(int(start), ref, alt) for start, ref, alt in zip(*alleles)]
    variant, gene = pair_with_genes(table["chrom"].to_numpy(object)[open_rows].tolist(), changes, windows)
    variant = open_rows[variant]
    if named is not None:
        kept = named[variant] == gene
        variant, gene = variant[kept], gene[kept]
    alone = np.setdiff1d(np.arange(len(table)), variant)
    table.loc[np.intersect1d(alone, open_rows), "status"] = "outside"
    variant, gene = np.concatenate([variant, alone]), np.concatenate([gene, np.full(len(alone), -1)])
    order = np.argsort(variant, kind="stable")
    paired = table.iloc[variant[order]].reset_index(drop=True)
    paired["gene_id"] = np.append(np.array(genes, dtype=object), "")[gene[order]]
    return paired[list(VARIANT_GENE_COLUMNS)]


def _integers(variants: pd.DataFrame, column: str) -> np.ndarray:
    numbers = pd.to_numeric(variants[column], errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"row {row + 1} of the table of variants: {column} is '{variants[column].iloc[row]}', which is not an integer."
        )
    return numbers.astype(np.int64)


def _alleles(variants: pd.DataFrame, column: str) -> list[str]:
    return ["" if pd.isna(allele) else str(allele) for allele in variants[column]]
