"""What motifs do, tested in silico: their sites destroyed where they are, and put where they were not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.genome import reverse_complement
from cisnake.data.motif_database import Motif
from cisnake.errors import InputError, unknown_name
from cisnake.interpret.nulls import dinucleotide_shuffle, markov_bases
from cisnake.model import Predictor
from cisnake.program import Progress

COLUMNS = [
    "motif_id",
    "motif_name",
    "n_sites",
    "deletion_mean",
    "deletion_low",
    "deletion_high",
    "n_backgrounds",
    "insertion_mean",
    "insertion_low",
    "insertion_high",
]

# Largest number of bases in one call of a predictor.
_BASES = 1 << 27
_RESAMPLES = 2000
_CHUNK_ROWS = 200_000


@dataclass(frozen=True)
class Scorer:
    """The models' score of a contrast, for windows of some genes.

    Attributes
    ----------
    windows: pandas.DataFrame, N rows
        gene_id, mask_start, mask_end, fold, and row, that in the data set. A row of the table, 0 to N - 1, stands for a gene
        below.
    length: int
        Length of the windows.
    read: callable
        From rows, shape=(n,), to their sequences, shape=(n, length), dtype=int8, in the gene's direction.
    predictors: mapping of fold to sequence of predictors
        The replicates of each fold.
    weights: numpy.ndarray, shape=(tasks,), dtype=float64
        From `contrasts.Contrast.weights`.
    """

    windows: pd.DataFrame
    length: int
    read: Callable[[np.ndarray], np.ndarray]
    predictors: Mapping[int, Sequence[Predictor]]
    weights: np.ndarray

    def score(self, rows: np.ndarray, make: Callable[[slice], np.ndarray], what: str) -> np.ndarray:
        """Return the score of each of n windows, mean over the replicates of the fold of its gene.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            The gene that each window belongs to.
        make: callable
            From a slice of the n windows to their codes; called on blocks, so that memory is bounded.
        what: str
            The windows, as they should read in a line of progress.

        Returns
        -------
        numpy.ndarray, shape=(n,), dtype=float64

        Raises
        ------
        InputError
            A gene is of a fold that has no model.
        """
        scores = np.full(len(rows), np.nan)
        columns = ("fold", "mask_start", "mask_end", "row")
        folds, starts, ends, stored = (self.windows[name].to_numpy(np.int64)[rows] for name in columns)
        missing = sorted(set(folds.tolist()) - set(self.predictors))
        if missing:
            gene = self.windows["gene_id"].iloc[rows[folds == missing[0]][0]]
            raise InputError(
                f"no model is given for fold {missing[0]}, to which the gene {gene} belongs: give all models of the run."
            )
        progress = Progress(what, len(rows))
        size = max(1, _BASES // self.length)
        for first in range(0, len(rows), size):
            block = slice(first, min(first + size, len(rows)))
            codes = make(block)
            for fold in np.unique(folds[block]).tolist():
                here = np.flatnonzero(folds[block] == fold)
                at = here + first
                replicates = [predictor(codes[here], starts[at], ends[at], stored[at]) for predictor in self.predictors[fold]]
                scores[at] = np.mean([predicted @ self.weights for predicted in replicates], axis=0)
            progress.advance(len(codes))
        return scores


def choose_motifs(enrichment: pd.DataFrame, motifs: Sequence[Motif], top: int) -> list[Motif]:
    """Return the best motif by rank of each of the `top` best clusters.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        Columns motif_id, cluster, rank of enrichment.tsv. A motif with an empty cluster stands for itself.
    motifs: sequence of Motif
        Those that were scanned.
    top: int
        How many motifs at most.

    Raises
    ------
    InputError
        A motif of the table is not among the motifs.
    """
    ordered = enrichment.assign(rank=pd.to_numeric(enrichment["rank"])).sort_values("rank", kind="stable")
    family = ordered["cluster"].astype(str).mask(ordered["cluster"].astype(str) == "", "motif " + ordered["motif_id"])
    known = {motif.id: motif for motif in motifs}
    chosen = ordered.loc[~family.duplicated(), "motif_id"].head(top)
    for name in chosen:
        if name not in known:
            raise unknown_name("motif", name, known)
    return [known[name] for name in chosen]


def read_hits(path: str | Path, motif_ids: Sequence[str]) -> pd.DataFrame:
    """Return the hits in peaks of some motifs from a hits.tsv, which may be far larger than those.

    Returns
    -------
    pandas.DataFrame
        motif_id, gene_id, region, orientation (text), window_start, window_end (int64), p_value (float64).
    """
    text = ["motif_id", "gene_id", "region", "orientation"]
    types = dict.fromkeys(text, str) | {"window_start": np.int64, "window_end": np.int64, "p_value": float}
    chunks = pd.read_csv(path, sep="\t", dtype=types, usecols=list(types), na_filter=False, chunksize=_CHUNK_ROWS)
    return pd.concat(
        [chunk[(chunk["region"] == "peak") & chunk["motif_id"].isin(motif_ids)] for chunk in chunks], ignore_index=True
    )


def probe_motifs(
    scorer: Scorer, motifs: Sequence[Motif], hits: pd.DataFrame, sites: int, draws: int, backgrounds: int, seed: int
) -> pd.DataFrame:
    """Measure the effect on the score of deleting each motif's sites in peaks, and of inserting it elsewhere.

    Deletion: a site's bases are replaced by random ones that follow the dinucleotide frequencies of its window (see
    `nulls.markov_bases`), `draws` times; the effect is the mean score of those less the score of the intact window, so
    that it is negative for a motif that raises the score. The `sites` hits with the smallest p-values are used; a site
    that matches on both strands counts once.

    Insertion: the motif's consensus is put into the windows of random genes, shuffled with their dinucleotides kept, at the
    median distance of its hits from the TSS and in the orientation that most of them have; the effect is the score with
    it less the score without. All motifs use the same shuffled windows.

    Parameters
    ----------
    scorer: Scorer
    motifs: sequence of Motif
    hits: pandas.DataFrame
        Columns motif_id, gene_id, region, window_start, window_end, orientation, p_value of hits.tsv; those outside of
        peaks, and of genes that the scorer lacks, are left out.
    sites: int
        How many sites of a motif to delete at most.
    draws: int
        How many random replacements of each.
    backgrounds: int
        How many shuffled windows, of as many genes at most as the scorer has.
    seed: int
        Of replacements, shuffles and resampling.

    Returns
    -------
    pandas.DataFrame
        Columns of effects.tsv, in the order of `motifs`: means, with 95 % bootstrap intervals over sites and over
        backgrounds (NaN for fewer than two). A motif without hits in peaks has n_sites and n_backgrounds 0 and no numbers.
    """
    row_of = {gene: row for row, gene in enumerate(scorer.windows["gene_id"])}
    hits = hits[(hits["region"] == "peak") & hits["gene_id"].isin(row_of)]
    hits = hits.assign(row=hits["gene_id"].map(row_of).astype(np.int64))
    hits = hits.sort_values(["p_value", "row", "window_start"], kind="stable")
    chosen = [hits[hits["motif_id"] == motif.id] for motif in motifs]
    best = [of.drop_duplicates(["row", "window_start", "window_end"]).head(sites) for of in chosen]
    deletions = _delete(scorer, best, draws, seed)
    insertions = _insert(scorer, motifs, chosen, backgrounds, seed)
    rng = np.random.default_rng([seed, 2])
    rows = [
        (motif.id, motif.name, len(deleted), *_interval(deleted, rng), len(inserted), *_interval(inserted, rng))
        for motif, deleted, inserted in zip(motifs, deletions, insertions, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _delete(scorer: Scorer, chosen: Sequence[pd.DataFrame], draws: int, seed: int) -> list[np.ndarray]:
    """Return the effect of deleting each of the chosen sites, an array for each motif."""
    rng = np.random.default_rng([seed, 0])
    all_sites = pd.concat([pd.DataFrame({"row": [], "window_start": [], "window_end": []}, dtype=np.int64), *chosen])
    row, start, end = (all_sites[name].to_numpy(np.int64) for name in ("row", "window_start", "window_end"))
    genes, gene = np.unique(row, return_inverse=True)
    intact = scorer.score(genes, lambda block: scorer.read(genes[block]), "windows with their motifs")
    replacements = {}
    for index in range(len(genes)):
        window = scorer.read(genes[index : index + 1])[0]
        for site in np.flatnonzero(gene == index):
            replacements[site] = markov_bases(window, start[site], end[site] - start[site], draws, rng)
    of_site, draw = np.repeat(np.arange(len(row)), draws), np.tile(np.arange(draws), len(row))

    def without(block: slice) -> np.ndarray:
        needed, place = np.unique(row[of_site[block]], return_inverse=True)
        codes = scorer.read(needed)[place]
        for window, site, of_draw in zip(codes, of_site[block], draw[block], strict=True):
            window[start[site] : end[site]] = replacements[site][of_draw]
        return codes

    deleted = scorer.score(row[of_site], without, "windows without a motif").reshape(len(row), draws)
    effects = deleted.mean(axis=1) - intact[gene]
    ends = np.cumsum([len(of) for of in chosen])
    return [effects[last - len(of) : last] for last, of in zip(ends, chosen, strict=True)]


def _insert(
    scorer: Scorer, motifs: Sequence[Motif], hits: Sequence[pd.DataFrame], backgrounds: int, seed: int
) -> list[np.ndarray]:
    """Return the effect of inserting each motif into each background, an array for each motif; empty for one without hits."""
    rng = np.random.default_rng([seed, 1])
    rows = np.sort(rng.choice(len(scorer.windows), min(backgrounds, len(scorer.windows)), replace=False))
    shuffled = dinucleotide_shuffle(scorer.read(rows), rng)
    mask_start = scorer.windows["mask_start"].to_numpy(np.int64)
    present = [index for index, of in enumerate(hits) if len(of)]
    inserts = []
    for index in present:
        of, consensus = hits[index], motifs[index].probabilities.argmax(axis=1).astype(np.int8)
        reverse = (of["orientation"] == "-").mean() > 0.5
        first = np.median(of["window_start"].to_numpy(np.int64) - mask_start[of["row"]])
        inserts.append((int(np.round(first)), reverse_complement(consensus) if reverse else consensus))
    of_motif, background = np.repeat(np.arange(len(present)), len(rows)), np.tile(np.arange(len(rows)), len(present))

    def with_motif(block: slice) -> np.ndarray:
        codes = shuffled[background[block]]
        for window, motif, of_background in zip(codes, of_motif[block], background[block], strict=True):
            from_tss, bases = inserts[motif]
            # The TSS is not at the same place in every window: near an edge the motif is kept whole rather than cut.
            first = min(max(mask_start[rows[of_background]] + from_tss, 0), scorer.length - len(bases))
            window[first : first + len(bases)] = bases
        return codes

    plain = scorer.score(rows if present else rows[:0], lambda block: shuffled[block], "shuffled windows")
    planted = scorer.score(rows[background], with_motif, "shuffled windows with a motif").reshape(len(present), len(rows))
    effects = dict(zip(present, planted - plain, strict=True)) if present else {}
    return [effects.get(index, np.zeros(0)) for index in range(len(motifs))]


def _interval(effects: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the mean of effects and its 95 % bootstrap interval."""
    if len(effects) < 2:
        return (float(effects[0]) if len(effects) else np.nan), np.nan, np.nan
    means = effects[rng.integers(len(effects), size=(_RESAMPLES, len(effects)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(effects.mean()), float(low), float(high)
