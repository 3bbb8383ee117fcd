"""What variants do to each gene near them, as the models see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.program import Progress
from cisnake.variants import vcf
from cisnake.variants.windows import Change, Window, alternative_windows, gene_windows, pair_with_genes, trim

if TYPE_CHECKING:
    from cisnake.model import Predictor

# Largest number of bases, and of predicted or tabulated numbers, held at a time.
_BASES = 1 << 27
_NUMBERS = 1 << 20


@dataclass(frozen=True)
class Block:
    """Effects of neighbouring variants; n pairs of a variant and a gene, or of a variant and nothing when it has no effect.

    variant, gene: (n,) int64, rows of the tables of variants and genes; gene is -1 where there is none. from_tss: (n,) int64,
    the first base changed in the gene's direction, counted from the TSS (an insertion: the base that follows it). replicates:
    (n, replicates, tasks) float64, prediction(ALT) - prediction(REF); mean, sd: (n, tasks), over replicates, sd with n - 1
    and NaN for a single one. NaN where there is no gene or no such replicate.
    """

    variant: np.ndarray
    gene: np.ndarray
    from_tss: np.ndarray
    replicates: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def score(
    variants: pd.DataFrame,
    genes: pd.DataFrame,
    genome: Genome,
    predictors: Mapping[int, Mapping[str, Predictor]],
    n_tasks: int,
    seq_len: int,
    batch_size: int = 64,
) -> Iterator[Block]:
    """Predict every variant's effect on every gene whose window it touches.

    A gene is only asked of the models of its own fold. Its window without a variant is predicted once, whatever the number
    of its variants. Memory is bounded, for a sorted VCF, by the block and not by the number of variants.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `vcf.read_variants`. Its status is set to `outside` for variants that touch no gene's window.
    genes: pandas.DataFrame
        Columns of genes.tsv, in the order of the data set.
    genome: Genome
    predictors: mapping of fold to mapping of replicate's name to predictor
    n_tasks: int
        How many numbers a predictor gives for a window.
    seq_len: int
        Length of the windows.
    batch_size: int
        A block has at least as many pairs. Default 64.

    Yields
    ------
    Block
        In the order of `variants`; at least one, which is empty if they are.

    Raises
    ------
    InputError
        A gene to be scored is of a fold that has no model.
    """
    windows = gene_windows(genes, seq_len)
    changes, signs = _changes(variants)
    variant, gene = _pairs(variants, changes, windows)
    folds = genes["fold"].to_numpy()
    missing = sorted(set(folds[gene[gene >= 0]].tolist()) - set(predictors))
    if missing:
        raise InputError(
            f"no model is given for fold {missing[0]}, to which the gene {genes['gene_id'][folds == missing[0]].iloc[0]} "
            "belongs: give all models of the run."
        )
    names = replicate_names(predictors)
    last_pair = dict(zip(gene.tolist(), range(len(gene)), strict=True))
    known: dict[int, np.ndarray] = {}
    size = max(batch_size, min(_BASES // seq_len, _NUMBERS // max(1, n_tasks * len(names))))
    progress = Progress("variants x genes scored", len(variant))
    for first in range(0, max(1, len(variant)), size):
        of, at = variant[first : first + size], gene[first : first + size]
        effects = np.full((len(of), len(names), n_tasks), np.nan)
        mean, sd = np.full((len(of), n_tasks), np.nan), np.full((len(of), n_tasks), np.nan)
        for fold in np.unique(folds[at[at >= 0]]).tolist():
            rows = np.flatnonzero(np.isin(at, np.flatnonzero(folds == fold)))
            found = _effects(
                genome, windows, predictors[fold], known, at[rows], [changes[v] for v in of[rows].tolist()], signs[of[rows]]
            )
            columns = np.array([names.index(name) for name in predictors[fold]])
            effects[np.ix_(rows, columns)] = found
            mean[rows] = found.mean(axis=1)
            if found.shape[1] > 1:
                sd[rows] = found.std(axis=1, ddof=1)
        placed = zip(of.tolist(), at.tolist(), strict=True)
        from_tss = [windows[g].place(changes[v])[0] - windows[g].mask_start if g >= 0 else 0 for v, g in placed]
        yield Block(of, at, np.array(from_tss, dtype=np.int64), effects, mean, sd)
        known = {g: reference for g, reference in known.items() if last_pair[g] >= first + size}
        progress.advance(len(of))


def replicate_names(predictors: Mapping[int, Mapping[str, Predictor]]) -> list[str]:
    """Return the names of all replicates, in the order of the folds and of the replicates in each."""
    return list(dict.fromkeys(name for replicates in predictors.values() for name in replicates))


def _changes(variants: pd.DataFrame) -> tuple[list[Change], np.ndarray]:
    """Return what each variant changes in the genome, and the sign that makes the difference one from REF to ALT."""
    flipped = (variants["status"] == "flipped").to_numpy(bool)
    columns = (variants[column] for column in ("start", "ref", "alt"))
    changes = [
        trim(start, alt, ref) if swap else trim(start, ref, alt)
        for swap, start, ref, alt in zip(flipped, *columns, strict=True)
    ]
    return changes, np.where(flipped, -1.0, 1.0)


def _pairs(variants: pd.DataFrame, changes: list[Change], windows: list[Window]) -> tuple[np.ndarray, np.ndarray]:
    scored = np.flatnonzero(variants["status"].isin(vcf.SCORED))
    variant, gene = pair_with_genes(list(variants["chrom"].iloc[scored]), [changes[v] for v in scored], windows)
    variant = scored[variant]
    alone = np.setdiff1d(np.arange(len(variants)), variant)
    outside = np.intersect1d(alone, scored)
    variants.loc[variants.index[outside], "status"] = "outside"
    variant, gene = np.concatenate([variant, alone]), np.concatenate([gene, np.full(len(alone), -1)])
    order = np.argsort(variant, kind="stable")
    return variant[order], gene[order]


def _effects(
    genome: Genome,
    windows: list[Window],
    predictors: Mapping[str, Predictor],
    known: dict[int, np.ndarray],
    genes: np.ndarray,
    changes: list[Change],
    signs: np.ndarray,
) -> np.ndarray:
    """Return effects, (n, replicates, tasks), of changes in the windows of genes of one fold; adds references to `known`."""
    distinct = list(dict.fromkeys(genes.tolist()))
    new = [g for g in distinct if g not in known]
    n, length = len(genes), windows[distinct[0]].end - windows[distinct[0]].start
    codes = np.empty((n + len(new), length), dtype=np.int8)
    asked = np.array([*genes, *new], dtype=np.int64)
    mask_start = np.array([windows[g].mask_start for g in asked], dtype=np.int64)
    mask_end = np.array([min(windows[g].mask_end, length) for g in asked], dtype=np.int64)
    for g in distinct:
        rows = np.flatnonzero(genes == g)
        reference = windows[g].codes(genome, 0, length)
        codes[rows], mask_end[rows] = alternative_windows(genome, windows[g], reference, [changes[row] for row in rows])
        if g not in known:
            codes[n + new.index(g)] = reference
    predicted = np.stack([predictor(codes, mask_start, mask_end, asked) for predictor in predictors.values()], axis=1)
    known.update(zip(new, predicted[n:], strict=True))
    reference = np.stack([known[g] for g in genes.tolist()])
    return signs[:, None, None] * (predicted[:n].astype(np.float64) - reference)


def long_table(
    block: Block, variants: pd.DataFrame, genes: pd.DataFrame, tasks: list[str], replicates: list[str]
) -> pd.DataFrame:
    """Return one row for each variant, gene and task of a block; one, without gene and task, for a variant without effect.

    Returns
    -------
    pandas.DataFrame
        Columns variant_id chrom start end ref alt gene_id status from_tss task effect_mean effect_sd effect_<replicate>.
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
    for index, name in enumerate(replicates):
        table[f"effect_{name}"] = block.replicates[pair, index, task]
    return table


def info_entries(block: Block, variants: pd.DataFrame, genes: pd.DataFrame, tasks: list[str]) -> Iterator[tuple[int, str]]:
    """Yield, for each pair of a block, the index of the VCF's record and the entry of its INFO field."""
    size = np.where(np.isnan(block.mean), -1, np.abs(block.mean))
    strongest = size.argmax(axis=1) if len(size) else np.zeros(0, int)
    names = genes["gene_id"].to_numpy(object)
    columns = (variants[column].to_numpy(object)[block.variant] for column in ("record", "alt", "status"))
    for pair, (record, alt, status) in enumerate(zip(*columns, strict=True)):
        gene, effect = block.gene[pair], block.mean[pair, strongest[pair]]
        task = "" if np.isnan(effect) else tasks[strongest[pair]]
        yield record, vcf.annotation(alt, names[gene] if gene >= 0 else "", status, task, effect)


def write_effects(
    blocks: Iterable[Block],
    variants: pd.DataFrame,
    genes: pd.DataFrame,
    tasks: list[str],
    replicates: list[str],
    source: str | Path,
    table_path: str | Path,
    vcf_path: str | Path,
) -> None:
    """Write effects as they come to a table, and then their summary to a copy of the VCF.

    Parameters
    ----------
    blocks: iterable of Block
        From `score`.
    variants, genes: pandas.DataFrame
        Those given to `score`.
    tasks, replicates: list of str
        Names along the axes of the effects.
    source: str or Path
        The VCF that `variants` were read from.
    table_path, vcf_path: str or Path
        The files to write: a TSV (see `long_table`) and a compressed VCF (see `vcf.write_annotated`).
    """
    n_records = int(variants["record"].iloc[-1]) + 1 if len(variants) else 0
    entries: list[list[str]] = [[] for _ in range(n_records)]
    with write_whole(table_path) as part, open(part, "w", newline="") as sink:
        for index, block in enumerate(blocks):
            table = long_table(block, variants, genes, tasks, replicates)
            table.to_csv(sink, sep="\t", index=False, header=index == 0, float_format="%.7g")
            for record, entry in info_entries(block, variants, genes, tasks):
                entries[record].append(entry)
    vcf.write_annotated(source, vcf_path, entries)
