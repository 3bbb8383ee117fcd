"""Which gene each row of a GFF3 file belongs to, by its chain of parents."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from cisnake.data.annotation.gtf import attribute_values, read_rows

# Of Ensembl (gene:ENSG…, transcript:ENST…), WormBase (Gene:WBGene…) and NCBI (gene-TP53, rna-NM_…).
_PREFIX = re.compile(r"^(?:gene|transcript)[:-]|^rna-", flags=re.IGNORECASE)

EXONS = frozenset({"exon", "noncoding_exon", "pseudogenic_exon", "coding_exon"})
CODING = frozenset(
    {"CDS", "UTR", "five_prime_UTR", "three_prime_UTR", "five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"}
)
# What lies in transcripts; nothing lies in it.
_LEAVES = EXONS | CODING | {"intron", "polypeptide", "protein"}


def is_gene(feature: str) -> bool:
    """Return whether rows of a feature are genes: gene, pseudogene, and whatever ends in _gene or pseudogene.

    Examples
    --------
    >>> from cisnake.data.annotation import is_gene
    >>> [is_gene(feature) for feature in ("gene", "ncRNA_gene", "pseudogene", "mRNA")]
    [True, True, True, False]
    """
    return feature.endswith("gene")


def is_transcript(feature: str) -> bool:
    """Return whether rows of a feature are transcripts: mRNA, lnc_RNA, tRNA, transcript, primary_transcript and the like."""
    return feature.endswith(("RNA", "transcript"))


def gene_ids(rows: pd.DataFrame, has_genes: bool = True) -> pd.Series:
    """Return the id of each gene (or of the gene of each transcript without a gene row), as a matrix would have it.

    The attribute gene_id, else geneID, else, in a file without rows of genes, locus_tag, else ID, without the prefix that some
    databases put before it.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.annotation import gene_ids
    >>> gene_ids(pd.DataFrame({"attributes": ["ID=gene:ENSG01;Name=TP53", "ID=g2;gene_id=FBgn02"]})).tolist()
    ['ENSG01', 'FBgn02']
    """
    keys = ("gene_id", "geneID", "ID") if has_genes else ("gene_id", "geneID", "locus_tag", "ID")
    return attribute_values(rows["attributes"], keys, gff3=True).str.replace(_PREFIX, "", regex=True)


def read_top(path: str | Path) -> tuple[pd.DataFrame, bool]:
    """Return the rows of genes of a GFF3 file, or else of transcripts and of CDS without parents, and whether it has genes.

    A gene inside another (a pseudogene as the transcript of a gene, as some databases write it) is none of its own.
    """
    blocks = list(read_rows(path, "gene\t", is_gene))
    if not blocks:
        blocks = list(read_rows(path, "", lambda feature: feature == "CDS" or is_transcript(feature)))
        # Annotation of bacteria may be no more than coding sequences, and a few transcripts that code for nothing.
        alone = (np.array([several == [""] for several in parents(block)]) for block in blocks)
        blocks = [block[(block["feature"] != "CDS") | own] for block, own in zip(blocks, alone, strict=True)]
        return (pd.concat(blocks) if blocks else pd.DataFrame()), False
    table = pd.concat(blocks)
    ids = set(attribute_values(table["attributes"], ("ID",), gff3=True))
    return table[[ids.isdisjoint(several) for several in parents(table)]], True


def parents(rows: pd.DataFrame) -> list[list[str]]:
    """Return the IDs of each row's parents; none is [""]."""
    # A comma that separates them is no part of an ID, where it would be encoded.
    raw = attribute_values(rows["attributes"], ("Parent",), gff3=True, decode=False)
    return [[unquote(parent) for parent in several.split(",")] for several in raw]


def read_owners(path: str | Path) -> dict[str, str]:
    """Return the id of the gene, as `gene_ids` gives it, by the attribute ID of genes, transcripts and CDS without parents."""
    top, has_genes = read_top(path)
    if top.empty:
        return {}
    owners = dict(zip(attribute_values(top["attributes"], ("ID",), gff3=True), gene_ids(top, has_genes), strict=True))
    owners.pop("", None)
    if not has_genes:
        return owners
    waiting: dict[str, str] = {}
    for block in read_rows(path, "Parent=", lambda feature: feature not in _LEAVES):
        ids = attribute_values(block["attributes"], ("ID",), gff3=True)
        waiting.update((i, several[0]) for i, several in zip(ids, parents(block), strict=True) if i and i not in owners)
    # A parent may come after its child, and have a parent itself.
    while found := {i: owners[parent] for i, parent in waiting.items() if parent in owners}:
        owners |= found
        waiting = {i: parent for i, parent in waiting.items() if i not in found}
    return owners


def owners_of(rows: pd.DataFrame, owners: dict[str, str]) -> pd.DataFrame:
    """Return the rows with `gene_id`, one for each gene that is among a row's parents, without those that are of no gene.

    A row without parents may be one that stands for a gene, as `read_top` says.
    """
    several = rows.assign(gene_id=parents(rows)).explode("gene_id")
    alone = (several["gene_id"] == "").to_numpy()
    several.loc[alone, "gene_id"] = attribute_values(several["attributes"][alone], ("ID",), gff3=True).to_numpy()
    return several.assign(gene_id=several["gene_id"].map(owners)).dropna(subset=["gene_id"])
