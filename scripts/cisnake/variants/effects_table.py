"""Write the effects of variants on genes as a table, and as a summary in a copy of the VCF."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.files import write_whole
from cisnake.variants import vcf
from cisnake.variants.controls import Controls, Significance, count_first
from cisnake.variants.effects import Block, VariantGenes


def long_table(
    block: Block,
    variants: pd.DataFrame,
    genes: pd.DataFrame,
    tasks: list[str],
    replicates: list[str],
    significance: Significance | None = None,
) -> pd.DataFrame:
    """Convert a block to a table with one row per variant, gene and task.

    A variant without an effect has one row, without gene and task.

    Parameters
    ----------
    block: Block
    variants, genes: pandas.DataFrame
        Tables of the `VariantGenes`.
    tasks, replicates: list of str
        Names along the axes of the effects.
    significance: Significance, optional
        With all blocks added. Default None: the columns p_value, q_value and percentile are left out.

    Returns
    -------
    pandas.DataFrame
        Columns variant_id chrom start end ref alt gene_id status from_tss task effect_mean effect_sd p_value q_value percentile
        effect_<replicate>.
    """
    counts = np.where(block.gene >= 0, len(tasks), 1)
    pair = np.repeat(np.arange(len(counts)), counts)
    task = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    scored = block.gene[pair] >= 0
    described = variants.iloc[block.variant[pair]]
    table = described[["variant_id", "chrom", "start", "end", "ref", "alt"]].reset_index(drop=True)
    gene_ids = np.append(genes["gene_id"].to_numpy(object), "")
    table["gene_id"] = gene_ids[block.gene[pair]]
    table["status"] = described["status"].to_numpy(object)
    table["from_tss"] = pd.array(block.from_tss[pair], dtype="Int64")
    table.loc[~scored, "from_tss"] = pd.NA
    table["task"] = np.where(scored, np.array(tasks, dtype=object)[task], "")
    table["effect_mean"], table["effect_sd"] = block.mean[pair, task], block.sd[pair, task]
    if significance:
        table["p_value"] = significance.p_values(block.mean)[pair, task]
        table["q_value"] = significance.q_values(block.mean)[pair, task]
        table["percentile"] = significance.controls.percentiles(block.mean)[pair, task]
    for index, name in enumerate(replicates):
        table[f"effect_{name}"] = block.replicates[pair, index, task]
    return table


def info_entries(
    block: Block,
    variants: pd.DataFrame,
    genes: pd.DataFrame,
    tasks: list[str],
    significance: Significance | None = None,
) -> Iterator[tuple[int, str]]:
    """Yield the index of the VCF record and the INFO entry for each pair of a block.

    Parameters
    ----------
    block: Block
    variants, genes: pandas.DataFrame
        Tables of the `VariantGenes`.
    tasks: list of str
        Names along the last axis of the effects.
    significance: Significance, optional
        With all blocks added. Default None: q-values and percentiles are empty.
    """
    size = np.where(np.isnan(block.mean), -1, np.abs(block.mean))
    strongest = size.argmax(axis=1) if len(size) else np.zeros(0, int)
    names = genes["gene_id"].to_numpy(object)
    columns = (variants[column].to_numpy(object)[block.variant] for column in ("record", "alt", "status"))
    unknown = np.full(block.mean.shape, np.nan)
    q = significance.q_values(block.mean) if significance else unknown
    percentiles = significance.controls.percentiles(block.mean) if significance else unknown
    for pair, (record, alt, status) in enumerate(zip(*columns, strict=True)):
        gene, at = block.gene[pair], (pair, strongest[pair])
        effect = block.mean[at]
        task = "" if np.isnan(effect) else tasks[strongest[pair]]
        name = names[gene] if gene >= 0 else ""
        yield record, vcf.annotation(alt, name, status, task, effect, q[at], percentiles[at])


def write_effects(
    blocks: Iterable[Block],
    pairs: VariantGenes,
    tasks: list[str],
    replicates: list[str],
    source: str | Path,
    table_path: str | Path,
    vcf_path: str | Path,
    controls: Controls | None = None,
) -> None:
    """Write effects to a table, block by block, and a summary of them to a copy of the VCF.

    Parameters
    ----------
    blocks: iterable of Block
        From `score_variants`.
    pairs: VariantGenes
        The pairs passed to `score_variants`.
    tasks, replicates: list of str
        Names along the axes of the effects.
    source: str or Path
        The VCF from which the variants were read.
    table_path, vcf_path: str or Path
        The output files: a TSV (see `long_table`) and a compressed VCF (see `vcf.write_annotated`).
    controls: Controls, optional
        From `draw_controls`. Default None: no p-values, q-values and percentiles.
    """
    variants, genes = pairs.variants, pairs.genes
    n_records = int(variants["record"].iloc[-1]) + 1 if len(variants) else 0
    entries: list[list[str]] = [[] for _ in range(n_records)]
    with (
        write_whole(table_path) as part,
        open(part, "w", encoding="utf-8", newline="") as sink,
        tempfile.TemporaryFile(dir=part.parent) as spool,
    ):
        significance = Significance(controls) if controls else None
        for index, block in enumerate(count_first(blocks, lambda block: block.mean, significance, spool)):
            table = long_table(block, variants, genes, tasks, replicates, significance)
            table.to_csv(sink, sep="\t", index=False, header=index == 0, float_format="%.7g")
            for record, entry in info_entries(block, variants, genes, tasks, significance):
                entries[record].append(entry)
    vcf.write_annotated(source, vcf_path, entries)
