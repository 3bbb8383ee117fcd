"""Clusters of similar motifs that all contrasts of a run share, each named after one motif."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.errors import InputError
from cisnake.interpret.motifs.clusters import MIN_SIMILARITY, cluster_motifs, motif_orientations
from cisnake.interpret.motifs.enrichment import TEST_COLUMNS, log_p_values

CLUSTER_COLUMNS = (
    "cluster", "cluster_name", "representative", "motif_id", "motif_name", "cluster_orientation", "best_contrast",
)  # fmt: skip
_OF_MOTIF = ("cluster", "cluster_name", "representative", "cluster_orientation")
ENRICHMENT_COLUMNS = (*TEST_COLUMNS[:2], *_OF_MOTIF, *TEST_COLUMNS[2:])


def name_clusters(
    motifs: Sequence[Motif], tests: Mapping[str, pd.DataFrame], min_similarity: float = MIN_SIMILARITY
) -> pd.DataFrame:
    """Cluster similar motifs, and choose the representative of each cluster, after which it is named in all contrasts.

    Clusters depend on the motifs alone. The representative is the motif with the smallest p-value of enrichment in any
    contrast; of equal ones, that with the first id.

    Parameters
    ----------
    motifs: sequence of Motif
    tests: mapping of str to pandas.DataFrame
        Tables from `enrichment_tests` by contrast; at least one.
    min_similarity: float
        See `cluster_motifs`. Default is 0.8.

    Returns
    -------
    pandas.DataFrame
        The columns of `CLUSTER_COLUMNS`, one row per motif. Clusters are numbered from 1 by their smallest p-value; within a
        cluster, the representative is first, then the others in the same order. representative is the id of the
        representative. cluster_orientation is "-" if the motif aligns with the representative reverse complemented, else "+".
        best_contrast is that with the smallest p-value of the motif.

    Raises
    ------
    InputError
        A table has other motifs.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs import SiteCounts, enrichment_tests, name_clusters
    >>> words = ["TTAGTCATC", "GATGACTAA", "GGCGGGTTA"]
    >>> motifs = [Motif(f"M{i}", word, np.eye(4)[encode(word)], 20) for i, word in enumerate(words)]
    >>> none, background = np.zeros(3, int), np.full(3, 9)
    >>> counts = {
    ...     "liver": SiteCounts(40, 90, np.array([20, 10, 4]), none, background, none, np.zeros(3)),
    ...     "brain": SiteCounts(40, 90, np.array([9, 30, 4]), none, background, none, np.zeros(3)),
    ... }
    >>> table = name_clusters(motifs, {name: enrichment_tests(motifs, found) for name, found in counts.items()})
    >>> table[["cluster", "cluster_name", "motif_id", "cluster_orientation", "best_contrast"]].to_numpy().tolist()
    [[1, 'GATGACTAA', 'M1', '+', 'brain'], [1, 'GATGACTAA', 'M0', '-', 'liver'], [2, 'GGCGGGTTA', 'M2', '+', 'liver']]
    """
    ids = [motif.id for motif in motifs]
    log_p = pd.DataFrame({name: _log_p(name, table, ids) for name, table in tests.items()}, index=pd.Index(ids, dtype=object))
    table = pd.DataFrame({"label": cluster_motifs(motifs, min_similarity), "motif_id": ids, "place": np.arange(len(ids))})
    table["motif_name"] = [motif.name for motif in motifs]
    table["best"] = log_p.min(axis=1).to_numpy()
    table["best_contrast"] = log_p.columns[log_p.to_numpy().argmin(axis=1)] if len(ids) else []
    table = table.sort_values(["best", "motif_id"], kind="stable")
    first = table.drop_duplicates("label").set_index("label")
    table["cluster"] = table["label"].map(dict(zip(first.index, range(1, len(first) + 1), strict=True)))
    table["representative"] = table["label"].map(first["motif_id"])
    table["cluster_name"] = table["label"].map(first["motif_name"])
    table = table.sort_values("cluster", kind="stable", ignore_index=True)
    # The representative is the first member.
    table["cluster_orientation"] = [
        orientation
        for places in table.groupby("cluster", sort=True)["place"]
        for orientation in motif_orientations([motifs[place] for place in places[1]], 0)
    ]
    return table[list(CLUSTER_COLUMNS)]


def enrichment_table(tests: pd.DataFrame, clusters: pd.DataFrame) -> pd.DataFrame:
    """Add the clusters of motifs to the enrichment tests of a contrast.

    Parameters
    ----------
    tests: pandas.DataFrame
        Table from `enrichment_tests`.
    clusters: pandas.DataFrame
        Table from `name_clusters`.

    Returns
    -------
    pandas.DataFrame
        The columns of `ENRICHMENT_COLUMNS`, in the order of `tests`.
    """
    table = tests.merge(clusters[["motif_id", *_OF_MOTIF]], on="motif_id", how="left", validate="1:1")
    return table[list(ENRICHMENT_COLUMNS)]


def _log_p(name: str, table: pd.DataFrame, ids: Sequence[str]) -> np.ndarray:
    """Return the logarithms of the p-values of a contrast in the order of the ids; shape=(n,), dtype=float64."""
    rows = table.set_index("motif_id")
    if len(rows) != len(ids) or not rows.index.is_unique or set(rows.index) != set(ids):
        raise InputError(f"contrast {name} was tested with other motifs: rerun the rule enrich_motifs.")
    rows = rows.loc[list(ids)]
    if rows.empty:
        return np.zeros(0)
    n_peaks, n_background = (int(rows[column].iloc[0]) for column in ("n_peaks", "n_background"))
    inside, outside = (rows[column].to_numpy(np.int64) for column in ("n_peaks_with_hit", "n_background_with_hit"))
    return log_p_values(n_peaks, n_background, inside, outside)
