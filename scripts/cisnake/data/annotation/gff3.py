"""Assign the rows of a GFF3 file to genes by their chain of parents."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from cisnake.data.annotation.gtf import attribute_values, read_rows

# Prefixes of Ensembl (gene:ENSG…, transcript:ENST…), WormBase (Gene:WBGene…) and NCBI (gene-TP53, rna-NM_…).
_PREFIX = re.compile(r"^(?:gene|transcript)[:-]|^rna-", flags=re.IGNORECASE)
_PAR_Y = "_PAR_Y"

EXONS = frozenset({"exon", "noncoding_exon", "pseudogenic_exon", "coding_exon"})
CODING = frozenset(
    {"CDS", "UTR", "five_prime_UTR", "three_prime_UTR", "five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"}
)
# Features that are never parents of other rows.
_LEAVES = EXONS | CODING | {"intron", "polypeptide", "protein"}


def is_gene(feature: str) -> bool:
    """Return whether a feature is a kind of gene: `gene`, `pseudogene`, or any name that ends in `gene`.

    Examples
    --------
    >>> from cisnake.data.annotation import is_gene
    >>> [is_gene(feature) for feature in ("gene", "ncRNA_gene", "pseudogene", "mRNA")]
    [True, True, True, False]
    """
    return feature.endswith("gene")


def is_transcript(feature: str) -> bool:
    """Return whether a feature is a kind of transcript: mRNA, lnc_RNA, tRNA, transcript, primary_transcript, ..."""
    return feature.endswith(("RNA", "transcript"))


def gene_ids(rows: pd.DataFrame, has_genes: bool = True) -> pd.Series:
    """Return the gene id of each gene row, or of each transcript row if the file has no gene rows, as matrices write it.

    The id is the attribute gene_id, else geneID, else locus_tag (only if the file has no gene rows), else ID. A prefix that
    some databases add, such as `gene:`, is removed. Copies in the pseudoautosomal region of Y, to which older releases of
    GENCODE give the gene_id of the copy on X, get the suffix of their ID, `_PAR_Y`, as in the GTF files of these releases.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.annotation import gene_ids
    >>> gene_ids(pd.DataFrame({"attributes": ["ID=gene:ENSG01;Name=TP53", "ID=g2;gene_id=FBgn02"]})).tolist()
    ['ENSG01', 'FBgn02']
    """
    keys = ("gene_id", "geneID", "ID") if has_genes else ("gene_id", "geneID", "locus_tag", "ID")
    ids = attribute_values(rows["attributes"], keys, gff3=True).str.replace(_PREFIX, "", regex=True)
    on_y = attribute_values(rows["attributes"], ("ID",), gff3=True).str.endswith(_PAR_Y) & ~ids.str.endswith(_PAR_Y)
    return ids.mask(on_y, ids + _PAR_Y)


def read_top(path: str | Path) -> tuple[pd.DataFrame, bool]:
    """Return the gene rows of a GFF3 file, or else its transcripts and CDS without parents, and whether it has gene rows.

    A gene row nested in another gene is not counted as a separate gene: some databases write a pseudogene as the transcript
    of a gene.
    """
    blocks = list(read_rows(path, "gene\t", is_gene))
    if not blocks:
        blocks = list(read_rows(path, "", lambda feature: feature == "CDS" or is_transcript(feature)))
        # Annotations of bacteria may consist of coding sequences and a few non-coding transcripts.
        without_parents = (np.array([parent_ids == [""] for parent_ids in parents(block)]) for block in blocks)
        blocks = [
            block[(block["feature"] != "CDS") | parentless] for block, parentless in zip(blocks, without_parents, strict=True)
        ]
        return (pd.concat(blocks) if blocks else pd.DataFrame()), False
    table = pd.concat(blocks)
    ids = set(attribute_values(table["attributes"], ("ID",), gff3=True))
    return table[[ids.isdisjoint(parent_ids) for parent_ids in parents(table)]], True


def parents(rows: pd.DataFrame) -> list[list[str]]:
    """Return the IDs of each row's parents; [""] if it has none."""
    # Split before decoding: a comma within an ID is percent-encoded.
    raw = attribute_values(rows["attributes"], ("Parent",), gff3=True, decode=False)
    return [[unquote(parent) for parent in joined.split(",")] for joined in raw]


def read_owners(path: str | Path) -> dict[str, str]:
    """Return gene ids, as from `gene_ids`, by the attribute ID of genes, transcripts and CDS without parents."""
    top, has_genes = read_top(path)
    if top.empty:
        return {}
    owners = dict(zip(attribute_values(top["attributes"], ("ID",), gff3=True), gene_ids(top, has_genes), strict=True))
    owners.pop("", None)
    if not has_genes:
        return owners
    unresolved: dict[str, str] = {}
    for block in read_rows(path, "Parent=", lambda feature: feature not in _LEAVES):
        ids = attribute_values(block["attributes"], ("ID",), gff3=True)
        unresolved.update(
            (row_id, parent_ids[0])
            for row_id, parent_ids in zip(ids, parents(block), strict=True)
            if row_id and row_id not in owners
        )
    # A parent may come after its child, and may itself have a parent.
    while resolved := {row_id: owners[parent] for row_id, parent in unresolved.items() if parent in owners}:
        owners |= resolved
        unresolved = {row_id: parent for row_id, parent in unresolved.items() if row_id not in resolved}
    return owners


def owners_of(rows: pd.DataFrame, owners: dict[str, str]) -> pd.DataFrame:
    """Return rows with the column gene_id: one per gene among a row's parents, without rows that belong to no gene.

    A row without parents is looked up by its own ID, as it may be one of the rows of `read_top`.
    """
    exploded = rows.assign(gene_id=parents(rows)).explode("gene_id")
    parentless = (exploded["gene_id"] == "").to_numpy()
    exploded.loc[parentless, "gene_id"] = attribute_values(exploded["attributes"][parentless], ("ID",), gff3=True).to_numpy()
    return exploded.assign(gene_id=exploded["gene_id"].map(owners)).dropna(subset=["gene_id"])
