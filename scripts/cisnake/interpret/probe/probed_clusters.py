"""Probe the representatives of clusters and, where these do not act by themselves, other members of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from cisnake.data import Motif
from cisnake.interpret.motifs import motif_similarity
from cisnake.interpret.probe.effects import ProbeSettings, probe_motifs
from cisnake.interpret.probe.sites import choose_motifs
from cisnake.interpret.probe.window_scorer import Scorer

# Maximum number of other members of a cluster to probe.
_RUNNERS_UP = 3
# Members that are more similar than this are not distinct: inserting them is nearly the same test.
_SAME = 0.95
_ENRICHED_Q = 0.05


@dataclass(frozen=True, eq=False)
class ProbedCluster:
    """The motifs of a cluster that may be probed: its representative, and the best other members."""

    representative: Motif
    runners_up: tuple[Motif, ...]

    @property
    def motif_ids(self) -> list[str]:
        """Return the ids of all motifs, the representative first."""
        return [motif.id for motif in (self.representative, *self.runners_up)]


def choose_clusters(enrichment: pd.DataFrame, motifs: Sequence[Motif], top: int) -> list[ProbedCluster]:
    """Return the best clusters of a contrast, with up to three runners-up each.

    Runners-up are enriched in the contrast (q at most 0.05, odds ratio above 1), best first. Members with a similarity above
    0.95 to the representative or to a better runner-up are skipped.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        Columns motif_id, representative, rank, q_value and odds_ratio (float64) of enrichment.tsv.
    motifs: sequence of Motif
        The motifs used in the scan.
    top: int
        Maximum number of clusters.

    Raises
    ------
    InputError
        A representative is not among the motifs.
    """
    known = {motif.id: motif for motif in motifs}
    ranked = enrichment.assign(rank=pd.to_numeric(enrichment["rank"])).sort_values("rank", kind="stable")
    members = ranked[_enriched(ranked["q_value"], ranked["odds_ratio"]) & ranked["motif_id"].isin(known)]
    clusters = []
    for representative in choose_motifs(enrichment, motifs, top):
        ids = members.loc[members["representative"] == representative.id, "motif_id"]
        others = [known[name] for name in ids if name != representative.id]
        clusters.append(ProbedCluster(representative, _distinct(representative, others)))
    return clusters


def _distinct(representative: Motif, others: Sequence[Motif]) -> tuple[Motif, ...]:
    similarity = motif_similarity([representative, *others])
    kept = [0]
    for index in range(1, len(others) + 1):
        if len(kept) <= _RUNNERS_UP and similarity[index, kept].max() <= _SAME:
            kept.append(index)
    return tuple(others[index - 1] for index in kept[1:])


def _enriched(q_value: pd.Series, odds_ratio: pd.Series) -> pd.Series:
    return (q_value <= _ENRICHED_Q) & (odds_ratio > 1)


def probe_clusters(
    scorer: Scorer,
    clusters: Sequence[ProbedCluster],
    hits: pd.DataFrame,
    occupied: pd.DataFrame,
    enrichment: pd.DataFrame,
    settings: ProbeSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probe the representatives of clusters, then the runners-up where another member may be the motif that acts.

    These are the clusters whose representative has the verdict "sites_only", or neither acts nor is enriched in this contrast.
    q-values of runners-up are computed over the runners-up alone, so that those of representatives do not depend on them.

    Parameters
    ----------
    clusters: sequence of ProbedCluster
    scorer, hits, occupied, enrichment, settings
        See `effects.probe_motifs`.

    Returns
    -------
    effects, site_effects: pandas.DataFrame
        The tables of `effects.probe_motifs`, the runners-up last. `effects` has the additional column representative: the id of
        the representative of the cluster.
    """
    effects, sites = probe_motifs(
        scorer, [cluster.representative for cluster in clusters], hits, occupied, enrichment, settings
    )
    acts = effects["verdict"].isin(["raises", "lowers"])
    enriched = _enriched(effects["enrichment_q_value"], effects["enrichment_odds_ratio"])
    unclear = (effects["verdict"] == "sites_only") | ~(acts | enriched)
    chosen = [cluster for cluster, other in zip(clusters, unclear, strict=True) if other]
    others = [motif for cluster in chosen for motif in cluster.runners_up]
    if others:
        more, more_sites = probe_motifs(scorer, others, hits, occupied, enrichment, settings)
        effects, sites = (pd.concat(parts, ignore_index=True) for parts in ((effects, more), (sites, more_sites)))
    cluster_of = {name: cluster.representative.id for cluster in clusters for name in cluster.motif_ids}
    return effects.assign(representative=effects["motif_id"].map(cluster_of)), sites
