"""Pairs of motifs in peaks: how often genes have both, and at what distance of each other."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from cisnake.errors import InputError
from cisnake.files import read_chunks
from cisnake.interpret.motifs.places import distinct
from cisnake.interpret.motifs.spacing import ALONE_ORIENTATIONS, ORIENTATIONS, Sites, Spacing, measure_spacing
from cisnake.interpret.q_values import bh_q_values
from cisnake.processes import map_apart
from cisnake.program import Progress

PAIR_COLUMNS = (
    "first_cluster", "first_name", "second_cluster", "second_name", "n_genes", "n_first", "n_second", "n_both", "expected",
    "odds_ratio", "p_value", "q_value", "median_distance", "orientation", "bin_start", "bin_end", "bin_count",
    "bin_expected", "spacing_p_value", "spacing_q_value",
)  # fmt: skip

BIN_WIDTH = 10
# Hundreds of pairs need smaller p-values than a thousand permutations can give. A pair of which fewer than `REFINED_P`
# permutations reach the real arrangement is measured again with `REFINED` times as many, drawn anew.
REFINED_P, REFINED = 5, 20


@dataclass(frozen=True)
class Places:
    """Sites of some clusters of motifs, none of which overlaps another.

    Attributes
    ----------
    n_genes: int
        Genes with a hit in a peak, of any motif.
    names: list of str
        Of the clusters, best first.
    numbers: list of str
        As in enrichment.tsv.
    sites: list of Sites
        Of each cluster; genes are numbered from 0.
    """

    n_genes: int
    names: list[str]
    numbers: list[str]
    sites: list[Sites]


def read_places(path: str | Path, enrichment: pd.DataFrame, top: int) -> Places:
    """Return the sites of the best clusters from a hits.tsv, which may be far larger.

    A peak is named by one hit of these clusters, that of the smallest p-value. What else lies in a peak need not be there for
    its own sake: hits that stand by chance beside a site that matters would look like pairs that keep close. So two sites in
    one peak are no pair, even where they are two.

    Of sites that overlap on the genome, in peaks of one gene or of two, again only that of the smallest p-value remains, then
    that of the better cluster, then that nearest to its TSS: what the windows of two genes share counts for one of them.

    Parameters
    ----------
    path: str or Path
    enrichment: pandas.DataFrame
        Columns motif_id, motif_name, cluster, cluster_name, rank of enrichment.tsv. A motif with an empty cluster
        stands for itself.
    top: int
        How many clusters at most.
    """
    ordered = enrichment.assign(rank=pd.to_numeric(enrichment["rank"])).sort_values("rank", kind="stable")
    lone = ordered["cluster"].astype(str) == ""
    family = ordered["cluster"].astype(str).mask(lone, "motif " + ordered["motif_id"])
    chosen = family.drop_duplicates().head(top)
    cluster_of = pd.Series(pd.Index(chosen).get_indexer(family), index=ordered["motif_id"].to_numpy())
    names = ordered["cluster_name"].mask(lone, ordered["motif_name"])[chosen.index]
    hits, n_genes = _read_cluster_hits(path, cluster_of[cluster_of >= 0])
    kept = hits.iloc[_best_places(hits)].sort_values(["gene", "window_start"], kind="stable")
    sites = []
    for cluster in range(len(chosen)):
        of_cluster = kept[kept["cluster"] == cluster]
        start, end = of_cluster["window_start"].to_numpy(np.int64), of_cluster["window_end"].to_numpy(np.int64)
        # from_tss is that of the base before the middle.
        tss = (start + end - 1) // 2 - of_cluster["from_tss"].to_numpy(np.int64)
        orientation = np.where(of_cluster["orientation"] == "+", 1, -1).astype(np.int32)
        centre = (start + end - 2 * tss).astype(np.int32)
        sites.append(Sites(of_cluster["gene"].to_numpy(np.int64), centre, (end - start).astype(np.int32), orientation))
    return Places(n_genes, names.tolist(), ordered["cluster"].astype(str)[chosen.index].tolist(), sites)


def _read_cluster_hits(path: str | Path, cluster_of: pd.Series) -> tuple[pd.DataFrame, int]:
    """Return the hits in peaks of motifs, with their clusters and numbers of genes, and how many genes have a hit in a peak."""
    text = ["motif_id", "gene_id", "peak_id", "region", "chrom", "orientation"]
    whole = ["start", "end", "window_start", "window_end", "from_tss"]
    types = dict.fromkeys(text, str) | dict.fromkeys(whole, np.int64) | {"p_value": float}
    genes: set[str] = set()
    hits = []
    for chunk in read_chunks(path, types):
        chunk = chunk[chunk["region"] == "peak"]
        genes.update(chunk["gene_id"].unique())
        chunk = chunk[chunk["motif_id"].isin(cluster_of.index)]
        hits.append(chunk.assign(cluster=cluster_of[chunk["motif_id"]].to_numpy()))
    table = pd.concat(hits, ignore_index=True)
    # Numbered by their ids, so that the order of the file makes no difference.
    numbers = pd.Index(sorted(genes))
    return table.assign(gene=numbers.get_indexer(table["gene_id"]).astype(np.int64)), len(genes)


def _best_places(hits: pd.DataFrame) -> np.ndarray:
    """Return the rows of hits that remain, as `read_places` says; shape=(n,), dtype=int64."""
    order = np.lexsort([
        hits["orientation"] == "-", hits["motif_id"].astype("category").cat.codes, hits["start"], hits["gene"],
        hits["from_tss"].abs(), hits["cluster"], hits["p_value"],
    ])  # fmt: skip
    ranked = hits.iloc[order]
    first = ~ranked.duplicated("peak_id").to_numpy()
    rows, ranked = order[first], ranked[first]
    return rows[first_of_overlapping(*(ranked[name].to_numpy() for name in ("chrom", "start", "end")))]


def first_of_overlapping(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return which intervals remain when they are taken one after the other, and not if they overlap one that was taken.

    Parameters
    ----------
    chrom, start, end: numpy.ndarray, shape=(n,)
        Half-open, in the order in which they are taken.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.pairs import first_of_overlapping
    >>> first_of_overlapping(np.array(["chr1", "chr1", "chr2"]), np.array([5, 0, 0]), np.array([15, 10, 10])).tolist()
    [True, False, True]
    """
    # Chromosomes one after the other on a line, with a gap.
    origin = np.unique(chrom, return_inverse=True)[1] * (int(end.max(initial=0)) + 1)
    return distinct(origin + start, origin + end, np.arange(len(start)), 0)


def pair_table(places: Places, max_distance: int, permutations: int, seed: int, processes: int = 1) -> pd.DataFrame:
    """Return how often genes have two clusters of motifs, and at what distance, for every pair of clusters.

    Co-occurrence: of the genes with a hit in a peak, Fisher's exact test, one-sided, of more genes with both than if these were
    independent. Genes differ in how many peaks they have, which makes all motifs occur together a little more often. Left
    empty for a cluster with itself, for which there is no such table; n_both then counts genes with two sites or more.

    Spacing: see `spacing.measure_spacing`. Small p-values are measured again with `REFINED` times as many permutations.

    Parameters
    ----------
    places: Places
    max_distance: int
        Bases between centres up to which distances are looked at, in bins of `BIN_WIDTH`.
    permutations: int
    seed: int
        What is drawn for a pair depends on this and on the names of the two clusters only.
    processes: int
        Default is 1: none besides this one.

    Returns
    -------
    pandas.DataFrame
        `PAIR_COLUMNS`, a row for each pair, smallest spacing p-value first. n_first, n_second, n_both: genes; expected: genes
        with both, if independent; odds_ratio with a half added to each count. median_distance
        between the centres of their nearest sites. orientation, bin_start, bin_end, bin_count, bin_expected: the most unusual
        distance, of "first_second" and "second_first" (both on one strand, read in this order), "same_strand" (of a cluster
        with itself), "convergent" (towards each other), "divergent" (away), "any"; spacing_p_value, corrected for this
        choice. q-values by Benjamini-Hochberg over pairs. Empty where there is nothing to measure.

    Raises
    ------
    InputError
        Parameters without sense.
    """
    if max_distance < BIN_WIDTH or permutations < 1 or processes < 1:
        raise InputError(
            f"pairs of motifs: the greatest distance ({max_distance}) must be at least {BIN_WIDTH} bases, permutations "
            f"({permutations}) and processes ({processes}) at least 1."
        )
    pairs = list(itertools.combinations_with_replacement(range(len(places.sites)), 2))
    spacings = _measure(places, pairs, max_distance // BIN_WIDTH, permutations, seed, processes)
    genes = [np.unique(of.gene) for of in places.sites]
    rows = [_row(places, genes, first, second, spacings[first, second]) for first, second in pairs]
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    for name in ("", "spacing_"):
        table[f"{name}q_value"] = bh_q_values(table[f"{name}p_value"].to_numpy(float))
    return table.sort_values(["spacing_p_value", "p_value"], kind="stable", ignore_index=True)


def _row(places: Places, genes: Sequence[np.ndarray], first: int, second: int, spacing: Spacing | None) -> dict[str, object]:
    alone = first == second
    row: dict[str, object] = {
        "first_cluster": places.numbers[first], "first_name": places.names[first],
        "second_cluster": places.numbers[second], "second_name": places.names[second],
        "n_genes": places.n_genes, "n_first": len(genes[first]), "n_second": len(genes[second]),
    }  # fmt: skip
    if alone:
        row["n_both"] = int((np.unique(places.sites[first].gene, return_counts=True)[1] > 1).sum())
    else:
        n, a, b = places.n_genes, len(genes[first]), len(genes[second])
        both = len(np.intersect1d(genes[first], genes[second], assume_unique=True))
        row["n_both"] = both
        if n:
            row["expected"] = a * b / n
            row["odds_ratio"] = (both + 0.5) * (n - a - b + both + 0.5) / ((a - both + 0.5) * (b - both + 0.5))
            row["p_value"] = min(1.0, float(hypergeom.sf(both - 1, n, a, b)))
    if spacing is not None:
        row |= {
            "median_distance": spacing.median_distance,
            "orientation": (ALONE_ORIENTATIONS if alone else ORIENTATIONS)[spacing.orientation],
            "bin_start": spacing.bin * BIN_WIDTH, "bin_end": (spacing.bin + 1) * BIN_WIDTH,
            "bin_count": spacing.count, "bin_expected": spacing.expected, "spacing_p_value": spacing.p_value,
        }  # fmt: skip
    return row


def _measure(
    places: Places, pairs: Sequence[tuple[int, int]], n_bins: int, permutations: int, seed: int, processes: int
) -> dict[tuple[int, int], Spacing | None]:
    progress = Progress("pairs of motifs", len(pairs))
    spacings = {}
    task = places, n_bins, permutations, seed
    for pair, spacing in map_apart(_measure_pair, task, pairs, processes, "compares positions of motifs"):
        spacings[pair] = spacing
        progress.advance()
    return spacings


def _measure_pair(task: tuple[Places, int, int, int], pair: tuple[int, int]) -> tuple[tuple[int, int], Spacing | None]:
    places, n_bins, permutations, seed = task
    first, second = pair
    key = zlib.crc32("\n".join(places.names[at] + places.numbers[at] for at in pair).encode())
    rng = np.random.default_rng([seed, key])
    second_sites = None if first == second else places.sites[second]
    spacing = measure_spacing(places.sites[first], second_sites, BIN_WIDTH, n_bins, permutations, rng)
    if spacing is not None and spacing.p_value <= REFINED_P / (permutations + 1):
        spacing = measure_spacing(places.sites[first], second_sites, BIN_WIDTH, n_bins, REFINED * permutations, rng)
    return pair, spacing
