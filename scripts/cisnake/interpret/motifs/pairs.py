"""Co-occurrence and spacing of pairs of motifs in peaks."""

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
# Testing hundreds of pairs requires smaller p-values than a thousand permutations can give. If fewer than `REFINED_P`
# permutations reach the observed arrangement of a pair, the pair is tested again with `REFINED` times as many.
REFINED_P, REFINED = 5, 20


@dataclass(frozen=True)
class Places:
    """Non-overlapping sites of motif clusters.

    Attributes
    ----------
    n_genes: int
        Number of genes with a hit of any motif in a peak.
    names: list of str
        Names of the clusters, best first in this contrast.
    numbers: list of str
        Cluster numbers, as in enrichment.tsv.
    sites: list of Sites
        Sites of each cluster; genes are numbered from 0.
    """

    n_genes: int
    names: list[str]
    numbers: list[str]
    sites: list[Sites]


def read_places(path: str | Path, enrichment: pd.DataFrame, top: int) -> Places:
    """Read the sites of the best clusters from hits.tsv, in chunks.

    Each peak keeps one hit of these clusters, that with the smallest p-value. Other hits in a peak may be there by chance, next
    to the site that matters, and would look like closely spaced pairs. Two sites in one peak are therefore never counted as a
    pair, even if both are functional.

    Where sites overlap on the genome, in peaks of the same gene or of different genes, only one is kept: that with the smallest
    p-value, then that of the better cluster, then that nearest to its TSS. Sequence shared by the windows of two genes thus
    counts for one gene only.

    Parameters
    ----------
    path: str or Path
    enrichment: pandas.DataFrame
        Columns motif_id, motif_name, cluster, cluster_name and rank of enrichment.tsv. A motif with an empty cluster is its own
        cluster.
    top: int
        Maximum number of clusters.
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
        members = kept[kept["cluster"] == cluster]
        start, end = members["window_start"].to_numpy(np.int64), members["window_end"].to_numpy(np.int64)
        # from_tss refers to the base before the middle.
        tss = (start + end - 1) // 2 - members["from_tss"].to_numpy(np.int64)
        orientation = np.where(members["orientation"] == "+", 1, -1).astype(np.int32)
        centre = (start + end - 2 * tss).astype(np.int32)
        sites.append(Sites(members["gene"].to_numpy(np.int64), centre, (end - start).astype(np.int32), orientation))
    return Places(n_genes, names.tolist(), ordered["cluster"].astype(str)[chosen.index].tolist(), sites)


def _read_cluster_hits(path: str | Path, cluster_of: pd.Series) -> tuple[pd.DataFrame, int]:
    """Read the hits of clustered motifs in peaks, with cluster and gene numbers, and count the genes with a hit in a peak."""
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
    # Number genes by id, so that the result does not depend on the order of the file.
    numbers = pd.Index(sorted(genes))
    return table.assign(gene=numbers.get_indexer(table["gene_id"]).astype(np.int64)), len(genes)


def _best_places(hits: pd.DataFrame) -> np.ndarray:
    """Return the rows of the hits to keep, by the rules in `read_places`; shape=(n,), dtype=int64."""
    order = np.lexsort([
        hits["orientation"] == "-", hits["motif_id"].astype("category").cat.codes, hits["start"], hits["gene"],
        hits["from_tss"].abs(), hits["cluster"], hits["p_value"],
    ])  # fmt: skip
    ranked = hits.iloc[order]
    first = ~ranked.duplicated("peak_id").to_numpy()
    rows, ranked = order[first], ranked[first]
    return rows[first_of_overlapping(*(ranked[name].to_numpy() for name in ("chrom", "start", "end")))]


def first_of_overlapping(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Select intervals greedily in the given order, skipping those that overlap a selected interval.

    Parameters
    ----------
    chrom, start, end: numpy.ndarray, shape=(n,)
        Half-open intervals, in order of priority.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool
        Whether each interval is selected.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.pairs import first_of_overlapping
    >>> first_of_overlapping(np.array(["chr1", "chr1", "chr2"]), np.array([5, 0, 0]), np.array([15, 10, 10])).tolist()
    [True, False, True]
    """
    # Place the chromosomes one after the other on a single axis, separated by a gap.
    origin = np.unique(chrom, return_inverse=True)[1] * (int(end.max(initial=0)) + 1)
    return distinct(origin + start, origin + end, np.arange(len(start)), 0)


def pair_table(places: Places, max_distance: int, permutations: int, seed: int, processes: int = 1) -> pd.DataFrame:
    """Test every pair of motif clusters for co-occurrence in genes and for preferred spacing.

    Co-occurrence: a one-sided Fisher's exact test, over genes with a hit in a peak, of whether more genes have both clusters
    than expected under independence. Genes differ in their number of peaks, which slightly raises the co-occurrence of all
    motifs. The test does not apply to a cluster with itself; its columns are then empty, and n_both counts genes with at least
    two sites.

    Spacing: see `spacing.measure_spacing`. Small p-values are recomputed with `REFINED` times as many permutations.

    Parameters
    ----------
    places: Places
    max_distance: int
        Greatest distance between centres, in bases; distances are binned by `BIN_WIDTH`.
    permutations: int
    seed: int
        Random seed. Draws for a pair depend only on the seed and the two clusters.
    processes: int
        Number of processes. Default is 1: the current process only.

    Returns
    -------
    pandas.DataFrame
        The columns of `PAIR_COLUMNS`, one row per pair, smallest spacing p-value first. Empty where a value cannot be computed.

        - n_first, n_second, n_both: number of genes; expected: number of genes with both under independence; odds_ratio: with
          0.5 added to each count.
        - median_distance: between the centres of the nearest sites.
        - orientation, bin_start, bin_end, bin_count, bin_expected: the most unusual distance. The orientation is "first_second"
          or "second_first" (same strand, in this order), "same_strand" (a cluster with itself), "convergent", "divergent" or
          "any".
        - spacing_p_value: corrected for the choice of bin and orientation.
        - q_value, spacing_q_value: Benjamini-Hochberg over pairs.

    Raises
    ------
    InputError
        A parameter is out of range.
    """
    if max_distance < BIN_WIDTH or permutations < 1 or processes < 1:
        raise InputError(
            f"pairs of motifs: the greatest distance ({max_distance}) must be at least {BIN_WIDTH} bases, and permutations "
            f"({permutations}) and processes ({processes}) must be at least 1."
        )
    pairs = list(itertools.combinations_with_replacement(range(len(places.sites)), 2))
    spacings = _measure(places, pairs, max_distance // BIN_WIDTH, permutations, seed, processes)
    genes = [np.unique(sites.gene) for sites in places.sites]
    rows = [_row(places, genes, first, second, spacings[first, second]) for first, second in pairs]
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    for name in ("", "spacing_"):
        table[f"{name}q_value"] = bh_q_values(table[f"{name}p_value"].to_numpy(float))
    return table.sort_values(["spacing_p_value", "p_value"], kind="stable", ignore_index=True)


def _row(places: Places, genes: Sequence[np.ndarray], first: int, second: int, spacing: Spacing | None) -> dict[str, object]:
    same_cluster = first == second
    row: dict[str, object] = {
        "first_cluster": places.numbers[first], "first_name": places.names[first],
        "second_cluster": places.numbers[second], "second_name": places.names[second],
        "n_genes": places.n_genes, "n_first": len(genes[first]), "n_second": len(genes[second]),
    }  # fmt: skip
    if same_cluster:
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
            "orientation": (ALONE_ORIENTATIONS if same_cluster else ORIENTATIONS)[spacing.orientation],
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
    for pair, spacing in map_apart(_measure_pair, task, pairs, processes, "tests pairs of motifs"):
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
