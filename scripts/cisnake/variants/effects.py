"""Predict the effects of variants on nearby genes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, to_window
from cisnake.data.windows import is_background
from cisnake.errors import InputError
from cisnake.program import Progress
from cisnake.variants import vcf
from cisnake.variants.windows import Change, Window, alternative_windows, gene_windows, pair_with_genes, trim

if TYPE_CHECKING:
    from cisnake.model import Predictor

# Maximum number of bases, and of predicted or tabulated values, held in memory at once.
_BASES = 1 << 27
_NUMBERS = 1 << 20


@dataclass(frozen=True)
class Block:
    """Effects of consecutive variants: n pairs of a variant and a gene, and variants without an effect.

    Attributes
    ----------
    variant, gene: numpy.ndarray, shape=(n,), dtype=int64
        Rows of the tables of variants and genes; gene is -1 for a variant without an effect.
    from_tss: numpy.ndarray, shape=(n,), dtype=int64
        Position of the first changed base relative to the TSS, in the direction of the gene; for an insertion, of the base
        that follows it.
    replicates: numpy.ndarray, shape=(n, replicates, tasks), dtype=float64
        prediction(ALT) - prediction(REF); NaN without a gene, or if the gene's fold lacks the replicate.
    mean, sd: numpy.ndarray, shape=(n, tasks), dtype=float64
        Mean and standard deviation (n - 1) over replicates; NaN without a gene, and sd also for a single replicate.
    """

    variant: np.ndarray
    gene: np.ndarray
    from_tss: np.ndarray
    replicates: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True, eq=False)
class VariantGenes:
    """Variants paired with the genes whose windows they affect.

    Attributes
    ----------
    variants: pandas.DataFrame
        The input table, with status `outside` for scorable variants that affect no window.
    genes: pandas.DataFrame
    windows: list of Window
        Windows of the genes.
    changes: list of Change
        The change of the genome made by each variant.
    signs: numpy.ndarray, shape=(variants,), dtype=float64
        Factor that turns prediction(changed) - prediction(unchanged) into ALT - REF: -1 if the genome has ALT, else 1.
    variant, gene: numpy.ndarray, shape=(pairs,), dtype=int64
        Rows of the two tables, ordered by variant. A variant without an effect has one pair, with gene -1.
    """

    variants: pd.DataFrame
    genes: pd.DataFrame
    windows: list[Window]
    changes: list[Change]
    signs: np.ndarray
    variant: np.ndarray
    gene: np.ndarray

    def __len__(self) -> int:
        return len(self.variant)


def find_genes(variants: pd.DataFrame, genes: pd.DataFrame, seq_len: int) -> VariantGenes:
    """Find the genes whose windows are affected by variants. Background regions are left out.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `vcf.read_variants`.
    genes: pandas.DataFrame
        Columns of genes.tsv, in the order of the data set.
    seq_len: int
        Length of the windows.

    Raises
    ------
    InputError
        The length of a window differs from `seq_len`.
    """
    windows = gene_windows(genes, seq_len)
    changes, signs = allele_changes(variants)
    scored = np.flatnonzero(variants["status"].isin(vcf.SCORED))
    variant, gene = pair_with_genes(list(variants["chrom"].iloc[scored]), [changes[v] for v in scored], windows)
    of_interest = ~is_background(genes)[gene]
    variant, gene = scored[variant[of_interest]], gene[of_interest]
    alone = np.setdiff1d(np.arange(len(variants)), variant)
    outside = np.isin(np.arange(len(variants)), np.intersect1d(alone, scored))
    variants = variants.assign(status=variants["status"].mask(outside, "outside"))
    variant, gene = np.concatenate([variant, alone]), np.concatenate([gene, np.full(len(alone), -1)])
    order = np.argsort(variant, kind="stable")
    return VariantGenes(variants, genes, windows, changes, signs, variant[order], gene[order])


def score_variants(
    pairs: VariantGenes,
    genome: Genome,
    predictors: Mapping[int, Mapping[str, Predictor]],
    n_tasks: int,
    batch_size: int = 64,
) -> Iterator[Block]:
    """Predict the effect of every variant on every gene whose window it affects.

    A gene is scored only by the models of its fold. Its reference window is predicted once, independent of the number of
    variants. For a sorted VCF, memory use depends on the size of a block and not on the number of variants.

    Parameters
    ----------
    pairs: VariantGenes
        From `find_genes`.
    genome: Genome
    predictors: mapping of fold to mapping of replicate name to predictor
    n_tasks: int
        Number of values that a predictor returns per window.
    batch_size: int
        Minimum number of pairs per block. Default 64.

    Yields
    ------
    Block
        Blocks in the order of the variants. Without variants, a single empty block.

    Raises
    ------
    InputError
        A gene to be scored belongs to a fold without models.
    """
    check_folds(pairs.genes, pairs.gene[pairs.gene >= 0], predictors)
    names = replicate_names(predictors)
    seq_len = pairs.windows[0].end - pairs.windows[0].start if pairs.windows else 1
    size = max(batch_size, min(_BASES // seq_len, _NUMBERS // max(1, n_tasks * len(names))))
    last_pair = dict(zip(pairs.gene.tolist(), range(len(pairs)), strict=True))
    references: dict[int, np.ndarray] = {}
    progress = Progress("variants x genes scored", len(pairs))
    for first in range(0, max(1, len(pairs)), size):
        block, references = _score_block(pairs, slice(first, first + size), genome, predictors, references, n_tasks)
        yield block
        references = {gene: predicted for gene, predicted in references.items() if last_pair[gene] >= first + size}
        progress.advance(len(block.variant))


def check_folds(genes: pd.DataFrame, rows: np.ndarray, models: Mapping[int, Any]) -> None:
    """Raise an InputError if there is no model for the fold of one of the genes in `rows`, shape=(n,), of `genes`."""
    folds = genes["fold"].to_numpy()
    missing = sorted(set(folds[rows].tolist()) - set(models))
    if missing:
        gene = genes["gene_id"][folds == missing[0]].iloc[0]
        raise InputError(f"there is no model for fold {missing[0]}, to which gene {gene} belongs: pass all models of the run.")


def _score_block(
    pairs: VariantGenes,
    rows: slice,
    genome: Genome,
    predictors: Mapping[int, Mapping[str, Predictor]],
    references: Mapping[int, np.ndarray],
    n_tasks: int,
) -> tuple[Block, dict[int, np.ndarray]]:
    """Return the effects of a block of pairs, and `references` extended by the genes of the block.

    `references` maps rows of genes to predictions for windows without a variant, shape=(replicates of the fold, tasks).
    """
    names = replicate_names(predictors)
    variant, gene = pairs.variant[rows], pairs.gene[rows]
    folds = pairs.genes["fold"].to_numpy()
    effects = np.full((len(variant), len(names), n_tasks), np.nan)
    mean, sd = np.full((2, len(variant), n_tasks), np.nan)
    known = dict(references)
    for fold in np.unique(folds[gene[gene >= 0]]).tolist():
        at = np.flatnonzero(np.isin(gene, np.flatnonzero(folds == fold)))
        changes = [pairs.changes[v] for v in variant[at].tolist()]
        differences, known = _differences(genome, pairs.windows, predictors[fold], known, gene[at], changes)
        differences = pairs.signs[variant[at], None, None] * differences
        effects[np.ix_(at, np.array([names.index(name) for name in predictors[fold]]))] = differences
        mean[at] = differences.mean(axis=1)
        if differences.shape[1] > 1:
            sd[at] = differences.std(axis=1, ddof=1)
    return Block(variant, gene, _from_tss(pairs, variant, gene), effects, mean, sd), known


def _from_tss(pairs: VariantGenes, variant: np.ndarray, gene: np.ndarray) -> np.ndarray:
    distances = np.zeros(len(gene), dtype=np.int64)
    rows = np.flatnonzero(gene >= 0)
    windows = pd.DataFrame([pairs.windows[g] for g in gene[rows]], columns=Window._fields)
    changes = pd.DataFrame([pairs.changes[v] for v in variant[rows]], columns=Change._fields)
    first, _ = to_window(windows["start"], windows["end"], windows["strand"], changes["start"], changes["end"])
    distances[rows] = first - windows["mask_start"].to_numpy(np.int64)
    return distances


def replicate_names(predictors: Mapping[int, Mapping[str, Predictor]]) -> list[str]:
    """Return the names of all replicates, ordered by fold, then by replicate."""
    return list(dict.fromkeys(name for replicates in predictors.values() for name in replicates))


def allele_changes(variants: pd.DataFrame) -> tuple[list[Change], np.ndarray]:
    """Return the change of the genome made by each variant, and the sign that turns changed - unchanged into ALT - REF.

    Parameters
    ----------
    variants: pandas.DataFrame
        start, ref, alt, and status; see `vcf.read_variants`.

    Returns
    -------
    changes: list of Change
        From ALT to REF if the status is `flipped` (the genome has ALT), else from REF to ALT.
    signs: numpy.ndarray, shape=(variants,), dtype=float64
    """
    flipped = (variants["status"] == "flipped").to_numpy(bool)
    columns = (variants[column] for column in ("start", "ref", "alt"))
    changes = [
        trim(start, alt, ref) if swap else trim(start, ref, alt)
        for swap, start, ref, alt in zip(flipped, *columns, strict=True)
    ]
    return changes, np.where(flipped, -1.0, 1.0)


def _differences(
    genome: Genome,
    windows: list[Window],
    predictors: Mapping[str, Predictor],
    references: Mapping[int, np.ndarray],
    genes: np.ndarray,
    changes: list[Change],
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return predictions with changes minus those without, for windows of genes of one fold.

    Returns
    -------
    differences: numpy.ndarray, shape=(n, replicates, tasks), dtype=float64
    references: dict of int to numpy.ndarray, shape=(replicates, tasks)
        The given references, and the predictions without a change for genes missing from them.
    """
    distinct = list(dict.fromkeys(genes.tolist()))
    new = [g for g in distinct if g not in references]
    n, length = len(genes), windows[distinct[0]].end - windows[distinct[0]].start
    codes = np.empty((n + len(new), length), dtype=np.int8)
    rows = np.array([*genes, *new], dtype=np.int64)
    mask_start = np.array([windows[g].mask_start for g in rows], dtype=np.int64)
    mask_end = np.array([min(windows[g].mask_end, length) for g in rows], dtype=np.int64)
    for g in distinct:
        at = np.flatnonzero(genes == g)
        reference = windows[g].codes(genome, 0, length)
        codes[at], mask_end[at] = alternative_windows(genome, windows[g], reference, [changes[row] for row in at])
        if g not in references:
            codes[n + new.index(g)] = reference
    predicted = np.stack([predictor(codes, mask_start, mask_end, rows) for predictor in predictors.values()], axis=1)
    known = {**references, **dict(zip(new, predicted[n:], strict=True))}
    return predicted[:n].astype(np.float64) - np.stack([known[g] for g in genes.tolist()]), known


def predicted_differences(
    windows: list[Window],
    predictors: Mapping[str, Predictor],
    genes: np.ndarray,
    references: np.ndarray,
    alternatives: np.ndarray,
    mask_end: np.ndarray,
) -> np.ndarray:
    """Return predictions for windows of genes of one fold with a change, minus those for the same windows without it.

    Parameters
    ----------
    windows: list of Window
        Of all genes.
    predictors: mapping of replicate name to predictor
    genes: numpy.ndarray, shape=(n,), dtype=int64
        Rows of the genes.
    references, alternatives: numpy.ndarray, shape=(n, length), dtype=int8
        Windows without and with the change.
    mask_end: numpy.ndarray, shape=(n,), dtype=int64
        End of the gene body in the windows with the change.

    Returns
    -------
    numpy.ndarray, shape=(n, replicates, tasks), dtype=float64
    """
    n, length = references.shape
    start = np.array([windows[g].mask_start for g in genes], dtype=np.int64)
    end = np.array([min(windows[g].mask_end, length) for g in genes], dtype=np.int64)
    inputs = np.concatenate([references, alternatives]), np.tile(start, 2), np.concatenate([end, mask_end]), np.tile(genes, 2)
    predicted = np.stack([predictor(*inputs) for predictor in predictors.values()], axis=1).astype(np.float64)
    return predicted[n:] - predicted[:n]
